"""A learner's module beside the one it should equal: whose tensors correspond, and whether both compute the same.

Scope: parameters and running statistics are matched by name where the names agree, otherwise by shape and order: the
order in which they are defined, or that in which their layers run, with a shortcut before or after the main path. Then
both get the same values, and outputs, running statistics and gradients are compared.

--- Which parameters a learner's module has, beside those that it should have: what is missing, and what is too much.

Scope: blocks; `check_nets.py` counts whole nets. Shapes alone prove nothing, but where they differ, they say why.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from .verdict import NotYet, and_, ask, close, tensor_of

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


def made_in_forward(mine: nn.Module, x: Tensor, what: str) -> None:
    """Raise `NotYet` if layers are made while the module runs, or if it is random in evaluation mode."""
    known, strangers = set(mine.modules()), []  # those that run without being the learner's attributes

    def note(module: nn.Module, _: object) -> None:
        if module not in known and tensors(module):
            strangers.append(module)

    handle = register_module_forward_pre_hook(note)  # of all modules there are
    mine.eval()
    try:
        with torch.no_grad():
            first, second = (ask(what, mine, x.clone()) for _ in range(2))
    except NotYet:
        return  # what fails is said elsewhere
    finally:
        handle.remove()
    listed = and_(sorted({type(m).__name__ for m in strangers}))
    if strangers and len(set(strangers)) < len(strangers) and not set(mine.modules()) & set(strangers):
        raise NotYet(
            f"{what} uses layers ({listed}) that are not among its modules, so that no optimizer finds them. A layer "
            "has to be an attribute of the module itself; a plain Python list or dictionary hides it"
        )
    if strangers:
        raise NotYet(
            f"{what} makes layers in forward ({listed}). They belong in __init__: there the "
            "optimizer finds their parameters, and what they learn is kept from one call to the next"
        )
    if isinstance(first, Tensor) and isinstance(second, Tensor) and not close(first, second):
        raise NotYet(
            f"{what} gives two outputs for one input in evaluation mode: something in forward is random, such as "
            "dropout that does not follow the mode, or weights that are drawn anew"
        )


def compare_kinds(mine: nn.Module, reference: nn.Module, what: str, args: tuple[int, int, int]) -> None:
    """Raise `NotYet` if a block's parameters and running statistics are not those of the reference, in some order."""
    own, right = kinds(mine), kinds(reference)
    if own == right:
        return
    missing, extra = right - own, own - right
    count = sum(t.numel() for t in mine.parameters())
    expected = sum(t.numel() for t in reference.parameters())
    numbers = f" ({count:,} parameters instead of {expected:,})" if count != expected else ""
    raise NotYet(f"{what}{numbers}: {_reason(mine, reference, missing, extra, args)}")


def _reason(
    mine: nn.Module, reference: nn.Module, missing: Counter[Kind], extra: Counter[Kind], args: tuple[int, int, int]
) -> str:
    if not tensors(mine):
        return "the module has no parameters at all: nothing in it can learn. Are its layers made in __init__?"
    biased = [name for name, m in mine.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    if biased:
        return (
            f"the convolution{'s' * (len(biased) > 1)} {and_(biased)} with a bias. A batch normalisation follows and "
            "takes the mean away, the bias with it: it is a weight that does nothing"
        ).replace(" with a bias", f" {'have' if len(biased) > 1 else 'has'} a bias", 1)
    return _about_shortcut(mine, reference, missing, extra, args) or _about_layers(missing, extra)


def _about_shortcut(
    mine: nn.Module, reference: nn.Module, missing: Counter[Kind], extra: Counter[Kind], args: tuple[int, int, int]
) -> str:
    if not hasattr(reference, "downsample"):
        return ""
    out = next(reversed(list(reference.parameters()))).shape[0]
    point = ("parameter", (out, args[0], 1, 1))
    same = args[2] == 1 and args[0] == out
    vectors = missing[("parameter", (out,))]
    if same and extra[point]:
        return "there is a projection (1x1) on the shortcut although the shape does not change: the identity would do"
    if not same and missing[point]:
        why = "the stride changes the shape, although the channels do not" if args[0] == out else "the shape changes"
        if any(shape[:2] == point[1][:2] and len(shape) == 4 for _, shape in extra):
            return "the projection on the shortcut has a kernel larger than 1x1"
        return f"{why}, but the shortcut has no projection (1x1) that makes the branches fit"
    if not same and vectors and not extra and set(missing) <= {("parameter", (out,)), ("statistic", (out,))}:
        return "the projection on the shortcut has no batch normalisation, or the main path has one too few"
    if not same and extra and not missing and set(extra) <= {("parameter", (out,)), ("statistic", (out,))}:
        return "there is one batch normalisation too many for this shape"
    return ""


def _about_layers(missing: Counter[Kind], extra: Counter[Kind]) -> str:
    sizes = {kind: (missing[kind], extra[kind]) for kind in (*missing, *extra)}
    if all(len(shape) == 1 for _, shape in sizes) and not extra:
        if all(kind == "statistic" for kind, _ in sizes):
            return "batch normalisation keeps no running mean and variance here, which evaluation mode needs"
        if any(kind == "statistic" for kind, _ in sizes):
            return (
                "a batch normalisation is missing: one follows each convolution, with statistics of its own. (One "
                "that is used in two places is a single one.)"
            )
        return "the learnt scale and shift of a batch normalisation are missing"
    text = []
    if missing:
        text.append(f"missing: {and_([_words(kind, n) for kind, n in missing.items()])}")
    if extra:
        text.append(f"too much: {and_([_words(kind, n) for kind, n in extra.items()])}")
    return "; ".join(text)


def _words(kind: Kind, count: int) -> str:
    role, shape = kind
    s = "s" * (count > 1)
    if len(shape) == 4:
        return f"{count} convolution{s} of {shape[2]}×{shape[3]} from {shape[1]} to {shape[0]} channels"
    if role == "statistic":
        return f"{count} running statistic{s} (mean or variance) of {shape[0] if shape else 1} channels"
    if len(shape) == 1:
        return f"{count} scale{s}, shift{s} or bias{'es' * (count > 1)} of {shape[0]} channels"
    return f"{count} parameter{s} of shape {'×'.join(map(str, shape)) or '1'}"
