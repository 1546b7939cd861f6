"""A learner's module beside the one it should equal: whose tensors correspond, and whether both compute the same.

Scope: parameters and running statistics are matched by name where the names agree, otherwise by shape and order: the
order in which they are defined, or that in which their layers run, with a shortcut before or after the main path. Then
both get the same values, and outputs, running statistics and gradients are compared.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .check_tools import ask, close, tensor_of

Kind = tuple[str, tuple[int, ...]]  # "parameter" or "statistic", and a shape
Pairs = dict[str, str]  # name in the learner's module -> name in the reference


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and running statistics of a module by name, each once, in the order of definition."""
    found = dict(module.named_parameters())
    found.update((name, b) for name, b in module.named_buffers() if b.is_floating_point())
    return found


def kinds(module: nn.Module) -> Counter[Kind]:
    """Return how often each kind of tensor occurs."""
    return Counter(map(_kind, tensors(module).values()))


def _kind(tensor: Tensor) -> Kind:
    return "parameter" if isinstance(tensor, nn.Parameter) else "statistic", tuple(tensor.shape)


@torch.no_grad()
def randomize(module: nn.Module, seed: int = 0) -> None:
    """Give every tensor of a module values of its own, so that none can be left out or exchanged unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in tensors(module).items():
        if tensor.dim() > 1:  # He initialisation keeps the signal's size through any number of layers
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("weight", "running_var")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(0, 0.3, generator=generator)


def pairings(mine: nn.Module, reference: nn.Module, x: Tensor) -> list[Pairs]:
    """Return the ways in which the tensors of `mine` may correspond to those of `reference`, likeliest first.

    Both have the same kinds of tensors. x: an input for `mine`, to see in which order its layers run.
    """
    own, theirs = tensors(mine), tensors(reference)
    if {n: t.shape for n, t in own.items()} == {n: t.shape for n, t in theirs.items()}:
        return [{name: name for name in own}]
    result = []
    for order in (list(own), _in_running_order(mine, x)):
        for first in (False, True):
            pairs = _by_kind({n: own[n] for n in order}, {n: theirs[n] for n in _shortcut(list(theirs), first)})
            if pairs not in result:
                result.append(pairs)
    return result


def _by_kind(own: dict[str, Tensor], theirs: dict[str, Tensor]) -> Pairs:
    waiting = defaultdict(list)
    for name, tensor in theirs.items():
        waiting[_kind(tensor)].append(name)
    return {name: waiting[_kind(tensor)].pop(0) for name, tensor in own.items()}


def _shortcut(names: list[str], first: bool) -> list[str]:
    """Return the reference's names with each block's shortcut before or after its main path."""

    blocks: dict[str, int] = {}

    def place(name: str) -> tuple[int, bool]:
        block = re.match(r"(layer\d+\.\d+)?", name).group()
        return blocks.setdefault(block, len(blocks)), ("downsample" in name) != first

    return sorted(names, key=place)  # sorted() is stable


def _in_running_order(module: nn.Module, x: Tensor) -> list[str]:
    """Return the names of a module's tensors in the order in which its layers run for the first time."""
    order: list[nn.Module] = []
    handles = [m.register_forward_pre_hook(lambda m, _: order.append(m)) for m in module.modules()]
    try:
        with torch.no_grad():
            module(x.clone())
    finally:
        for handle in handles:
            handle.remove()
    ranks = {id(m): i for i, m in reversed(list(enumerate(order)))}
    owner = {
        (f"{path}." if path else "") + name: m
        for path, m in module.named_modules()
        for name in (*m._parameters, *m._buffers)
    }
    return sorted(tensors(module), key=lambda name: ranks.get(id(owner[name]), len(order)))


@torch.no_grad()
def copy_values(reference: nn.Module, mine: nn.Module, pairs: Pairs) -> None:
    """Copy the reference's values into the learner's tensors."""
    theirs = tensors(reference)
    for name, tensor in tensors(mine).items():
        tensor.copy_(theirs[pairs[name]])


@dataclass(frozen=True)
class Answers:
    """What a module answers to one input. Statistics and gradients are keyed by the reference's names.

    train:      output in training mode.
    statistics: running statistics after it.
    evaluation: output in evaluation mode, with those statistics.
    gradients:  of all parameters, and of the input ("input"); None where none arrived.
    """

    train: Tensor
    statistics: dict[str, Tensor]
    evaluation: Tensor
    gradients: dict[str, Tensor | None]

    def first_difference(self, right: Answers) -> str:
        """Return the first of these fields that differs from the right answers; "" if none does."""
        if not close(self.train, right.train):
            return "train"
        if any(not close(v, right.statistics[n]) for n, v in self.statistics.items()):
            return "statistics"
        if not close(self.evaluation, right.evaluation):
            return "evaluation"
        return "gradients" if self.wrong_gradients(right) else ""

    def wrong_gradients(self, right: Answers) -> list[str]:
        """Return the names of the tensors whose gradient is missing or wrong."""
        return [n for n, g in right.gradients.items() if not _same(self.gradients[n], g)]


def _same(gradient: Tensor | None, right: Tensor | None) -> bool:
    if gradient is None or right is None:
        return gradient is right or not (right if gradient is None else gradient).any()
    return close(gradient, right)


def answers(
    module: nn.Module, x: Tensor, pairs: Pairs, what: str, forward: Callable[[nn.Module, Tensor], Tensor] | None = None
) -> Answers:
    """Return what a module answers to `x`; it and its gradients are changed by that.

    forward: computes in the module's place, for references.
    """
    run = forward or (lambda m, v: m(v))
    start = x.clone().requires_grad_()
    module.train().zero_grad()
    train = tensor_of(what, ask(what, run, module, start * 1))  # times 1: an in-place operation may change its input
    cotangent = torch.randn(train.shape, generator=torch.Generator().manual_seed(7))
    if train.requires_grad:
        ask(f"the backward pass of {what}", (train * cotangent).sum().backward)
    own = tensors(module)
    statistics = {pairs[n]: t.clone() for n, t in own.items() if not isinstance(t, nn.Parameter)}
    gradients = {pairs[n]: t.grad for n, t in own.items() if isinstance(t, nn.Parameter)}
    with torch.no_grad():
        evaluation = tensor_of(what, ask(what, run, module.eval(), x.clone()))
    return Answers(train.detach(), statistics, evaluation, {**gradients, "input": start.grad})


def best(found: Sequence[Answers], right: Answers) -> Answers:
    """Return the answers that are right the longest; the first of equals."""
    order = ["train", "statistics", "evaluation", "gradients", ""]
    return max(found, key=lambda a: order.index(a.first_difference(right)))
