"""A learner's module and the right one get the same weights; then everything that they compute is compared.

Parameters and running statistics are matched by name where the names agree. Otherwise they are matched by shape and
order: that of the definition, or that in which the layers run, with a shortcut before or after the main path.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from .verdict import NotYet, call, list_text, name_mistake

Kind = tuple[str, tuple[int, ...]]  # "parameter" or "statistic", and a shape
Pairs = dict[str, str]  # name in the learner's module -> name in the reference
Mistakes = dict[str, Callable[[nn.Module, Tensor], Tensor]]  # sentence -> what a reference computes with the mistake


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


def count_text(mine: nn.Module, reference: nn.Module) -> str:
    """Return " (9 parameters instead of 8)", or "" if both have as many."""
    own, right = (sum(p.numel() for p in module.parameters()) for module in (mine, reference))
    return f" ({own:,} parameters instead of {right:,})" if own != right else ""


def close(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are equal but for rounding: within 0.1% of each value, or of the typical one."""
    if a.shape != b.shape:
        return False
    scale = b.detach().abs().mean().item() + 1e-12
    if not math.isfinite(scale):
        return False
    return torch.allclose(a.detach(), b.detach(), rtol=1e-3, atol=1e-3 * scale)


def expect_tensor(what: str, value: object) -> Tensor:
    """Return `value` if it is a float32 tensor; raise `NotYet` otherwise."""
    if value is None:
        raise NotYet(f"{what} returns None. Does its last line say what to return?")
    if not isinstance(value, Tensor):
        raise NotYet(f"{what} returns {type(value).__name__}, and one tensor is expected")
    if value.dtype != torch.float32:
        raise NotYet(f"{what} returns numbers of type {value.dtype}, and those of its input are torch.float32")
    if not value.isfinite().all():
        raise NotYet(f"{what} returns NaN or infinity: is there a root, a logarithm or a division by zero?")
    return value


@torch.no_grad()
def output_of(module: nn.Module, x: Tensor, what: str) -> Tensor:
    """Return the output of a learner's module; raise `NotYet` if it is no tensor, or if `x` is changed in place."""
    given = x.clone()
    y = expect_tensor(what, call(what, module, given))
    if not torch.equal(given, x):
        raise NotYet(f"{what} changes its input: something works in place on x (+=, relu_), which is still needed")
    return y


@torch.no_grad()
def run_order(net: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """Return name and output of every module that runs in a forward pass of `net`, in the order in which they end."""
    seen: list[tuple[str, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.append((name, output)))
        for name, module in net.named_modules()
    ]
    try:
        net(x.clone())
    finally:
        for handle in handles:
            handle.remove()
    return seen


@torch.no_grad()
def randomize(module: nn.Module) -> None:
    """Give every tensor of a module values of its own, so that none can be left out or exchanged unnoticed."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in tensors(module).items():
        if tensor.dim() > 1:  # He initialisation keeps the signal's size through any number of layers
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("weight", "running_var")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(0, 0.3, generator=generator)


def _pairings(mine: nn.Module, reference: nn.Module, x: Tensor) -> list[Pairs]:
    """Return the ways in which the tensors of both, which are of the same kinds, may correspond, likeliest first."""
    own, theirs = tensors(mine), tensors(reference)
    if {n: t.shape for n, t in own.items()} == {n: t.shape for n, t in theirs.items()}:
        return [{name: name for name in own}]
    layers = [name for name, _ in run_order(mine, x)]
    rank = {name: place for place, name in reversed(list(enumerate(layers)))}  # a layer that runs twice: its first run
    running = sorted(own, key=lambda name: rank.get(name.rpartition(".")[0], len(layers)))
    result: list[Pairs] = []
    for order in (list(own), running):
        for shortcut_first in (False, True):
            waiting = defaultdict(list)
            for name in _order_shortcuts(list(theirs), shortcut_first):
                waiting[_kind(theirs[name])].append(name)
            pairs = {name: waiting[_kind(own[name])].pop(0) for name in order}
            if pairs not in result:
                result.append(pairs)
    return result


def _order_shortcuts(names: list[str], first: bool) -> list[str]:
    """Return the reference's names with each block's shortcut before or after its main path."""
    blocks: dict[str, int] = {}

    def place(name: str) -> tuple[int, bool]:
        block = re.match(r"(layer\d+\.\d+)?", name).group()
        return blocks.setdefault(block, len(blocks)), ("downsample" in name) != first

    return sorted(names, key=place)  # sorted() is stable


# What a module computes from one input: part -> name in the reference -> value. The parts are the output in training
# mode, the running statistics after it, the output in evaluation mode, and the gradients, None where none arrived.
Results = dict[str, dict[str, Tensor | None]]
_PARTS = ("train", "statistics", "evaluation", "gradients")


def _results(module: nn.Module, x: Tensor, pairs: Pairs, what: str) -> Results:
    """Return what a module computes from `x`; its statistics and gradients change."""
    start = x.clone().requires_grad_()
    module.train().zero_grad()
    train = expect_tensor(what, call(what, module, start * 1))  # times 1: an in-place operation may change its input
    cotangent = torch.randn(train.shape, generator=torch.Generator().manual_seed(7))
    if train.requires_grad:
        call(f"the backward pass of {what}", (train * cotangent).sum().backward)
    own = tensors(module)
    statistics = {pairs[n]: t.clone() for n, t in own.items() if not isinstance(t, nn.Parameter)}
    gradients = {pairs[n]: t.grad for n, t in own.items() if isinstance(t, nn.Parameter)} | {"input": start.grad}
    with torch.no_grad():
        evaluation = expect_tensor(what, call(what, module.eval(), x.clone()))
    outputs = {"train": {"output": train.detach()}, "evaluation": {"output": evaluation}}
    return outputs | {"statistics": statistics, "gradients": gradients}


def _first_difference(got: Results, right: Results) -> tuple[str, list[str]]:
    """Return the first part that differs from the right results, and the names in it that do; "" if none does."""

    def same(value: Tensor | None, expected: Tensor | None) -> bool:
        if value is None or expected is None:  # a missing gradient is as good as zeros
            return value is expected or not (expected if value is None else value).any()
        return close(value, expected)

    for part in _PARTS:
        wrong = [name for name, expected in right[part].items() if not same(got[part][name], expected)]
        if wrong:
            return part, wrong
    return "", []


def compare_numbers(mine: nn.Module, reference: nn.Module, x: Tensor, what: str, mistakes: Mistakes) -> None:
    """Raise `NotYet` if `mine` does not compute what `reference` computes, with the mistake that explains it."""
    ways = _pairings(mine, reference, x)
    start = {n: t.detach().clone() for n, t in reference.state_dict().items()}
    right = _results(reference, x, {name: name for name in tensors(reference)}, what)
    reference.load_state_dict(start)

    norms = [(name, m, m.eps) for name, m in mine.named_modules() if isinstance(m, nn.BatchNorm2d)]
    usual = nn.BatchNorm2d(1).eps
    for _, norm, _ in norms:  # other mistakes are told before this one
        norm.eps = usual
    found: list[Results] = []
    for pairs in ways:
        with torch.no_grad():
            for name, tensor in tensors(mine).items():
                tensor.copy_(start[pairs[name]])
        found.append(_results(mine, x, pairs, what))
        if not _first_difference(found[-1], right)[0]:
            for name, _, eps in norms:
                if eps != usual:
                    raise NotYet(f"{what}: the batch normalisation {name} has an eps of {eps:g} instead of {usual:g}")
            return
    nearest = max(found, key=lambda results: (*_PARTS, "").index(_first_difference(results, right)[0]))
    part, wrong = _first_difference(nearest, right)
    if part == "train":
        outputs = [results["train"]["output"] for results in found]
        _explain_output(outputs, right["train"]["output"], reference, x, what, mistakes)
    if part == "statistics":
        if all(torch.equal(nearest["statistics"][n], start[n]) for n in wrong):
            raise NotYet(f"{what}: training mode leaves {len(wrong)} running statistics as they were")
        raise NotYet(f"{what}: only running statistics are wrong. Is the momentum of batch normalisation the default?")
    if part == "evaluation":
        raise NotYet(f"{what} is right in training mode and wrong in evaluation mode. Does the mode reach every layer?")
    if all(gradient is None for gradient in nearest["gradients"].values()):
        raise NotYet(f"{what}: outputs are right, but no gradient comes back: something switches autograd off")
    if wrong == ["input"]:
        raise NotYet(f"{what}: only the gradient of the input is not right. What cuts the way back on one branch?")
    raise NotYet(f"{what}: the gradients of {list_text(wrong[:4])} are not right. What cuts the backward pass?")


def _explain_output(
    outputs: list[Tensor], right: Tensor, reference: nn.Module, x: Tensor, what: str, mistakes: Mistakes
) -> None:
    @torch.no_grad()
    def explains(compute: Callable[[nn.Module, Tensor], Tensor]) -> bool:
        try:
            wrong = compute(reference.train(), x)
        except RuntimeError:  # this mistake cannot be made with these shapes
            return False
        return any(close(output, wrong) for output in outputs)

    name_mistake(what, mistakes, explains)
    share = (outputs[0] - right).norm() / right.norm()
    text = f"{what} has the right layers, but with the same weights its output differs by {share:.0%}"
    hint = "Which value goes into each layer, and are they defined in the order in which they run?"
    raise NotYet(f"{text}. {hint}", explained=False)


def check_forward(mine: nn.Module, x: Tensor, what: str) -> None:
    """Raise `NotYet` if layers are made while the module runs, or if it is random in evaluation mode."""
    known, others = set(mine.modules()), []  # layers that run without being the learner's attributes

    def note(module: nn.Module, _: object) -> None:
        if module not in known and tensors(module):
            others.append(module)

    handle = register_module_forward_pre_hook(note)  # of all modules there are
    mine.eval()
    try:
        with torch.no_grad():
            first, second = (call(what, mine, x.clone()) for _ in range(2))
    except NotYet:
        return  # the comparison says what fails
    finally:
        handle.remove()
    names = list_text(sorted({type(m).__name__ for m in others}) or [""])
    if len(set(others)) < len(others) and not set(mine.modules()) & set(others):
        raise NotYet(f"{what} uses layers ({names}) that are none of its modules: a plain Python list hides them")
    if others:
        raise NotYet(f"{what} makes layers in forward ({names}). No optimizer finds them; they belong in __init__")
    if isinstance(first, Tensor) and isinstance(second, Tensor) and not close(first, second):
        raise NotYet(f"{what} gives two outputs for one input in evaluation mode: is there something random (dropout)?")


def biased(mine: nn.Module) -> tuple[int, str]:
    """Return how many parameters are biases of convolutions, and what to say of them; (0, "") without any."""
    found = {name: m.bias for name, m in mine.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None}
    if not found:
        return 0, ""
    names = list_text([name or "itself" for name in found][:4])
    text = f"the convolutions {names} have" if len(found) > 1 else f"the convolution {names} has"
    text = f"{len(found)} convolutions have" if len(found) > 4 else text
    why = "which does nothing: a batch normalisation belongs after it, and takes it away"
    return sum(bias.numel() for bias in found.values()), f"{text} a bias, {why}"
