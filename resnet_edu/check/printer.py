"""The checker of chapter 3's shape printer, made from forward hooks: `shape_printer`.

Source
  [1] PyTorch's documentation of `torch.nn.Module.register_forward_hook`.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from ..nets.blocks import BasicBlock
from .verdict import NotYet, and_, ask, checker, name_of, times

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_SHAPE = (2, 3, 9, 12)


@checker
def shape_printer(function: Callable[..., object]) -> str:
    """Check a printer of shapes: `print_shapes(net, *shape)`, a line for every layer, in the order in which they run.

    A layer is a module without modules of its own. Its line has its name (`named_modules`) and the shape of its output;
    what else is in it is free. The net is left as it was, and without hooks, also if it fails.

    Raises `NotYet` for a wrong answer, `TypeError` for what is no function.
    """
    if not callable(function):
        raise TypeError(f"give the function itself, without parentheses after it; got {function!r}")
    name = name_of(function)
    for net in (_net(), nn.Sequential(*_twice())):
        shape = _SHAPE if isinstance(net[0], nn.Conv2d) else (4, 6)
        what = f"{name}(net, {', '.join(map(str, shape))})"
        expected = _layers(net, shape)
        before = _state(net)
        text = _printed(what, function, net, shape)
        _clean(name, net, before)
        _rows(name, text, net, expected)
    _after_failure(name, function)
    return f"{name}: a line for every layer in the order of the run, no hook left behind, and the net as it was"


def _net() -> nn.Sequential:
    """Return a net whose layers run in another order than they are defined in, with a frozen batch norm."""
    block = BasicBlock(4, 8, stride=2)
    block.downsample[1].eval()
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def _twice() -> list[nn.Module]:
    relu = nn.ReLU()
    return [nn.Linear(6, 7), relu, nn.Linear(7, 3), relu]


def _layers(net: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Return name and output shape of every layer, in the order of the run."""
    rows: list[tuple[str, tuple[int, ...]]] = []

    def watch(name: str) -> Callable[..., None]:
        return lambda _, __, output: rows.append((name, tuple(output.shape)))

    leaves = [(n, m) for n, m in net.named_modules() if not list(m.children())]
    handles = [m.register_forward_hook(watch(n)) for n, m in leaves]
    modes = {m: m.training for m in net.modules()}
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(shape))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return rows


def _printed(what: str, function: Callable[..., object], net: nn.Module, shape: tuple[int, ...]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        returned = ask(what, function, net, *shape)
    text = out.getvalue()
    if not text.strip():
        hint = (
            "Are the hooks registered, and does the net run?" if returned is None else "It returns something: print it"
        )
        raise NotYet(f"{what} prints nothing. {hint}")
    return text


# ---------------------------------------------------------------- the net afterwards


def _hooks(net: nn.Module) -> int:
    own = sum(len(getattr(m, kind, ())) for m in net.modules() for kind in _HOOKS)
    return own + sum(len(getattr(torch_module, f"_global{kind}", ())) for kind in _HOOKS)


def _state(net: nn.Module) -> tuple[int, dict[str, Tensor], list[bool], list[bool]]:
    return (
        _hooks(net),
        {n: t.clone() for n, t in net.state_dict().items()},
        [m.training for m in net.modules()],
        [p.requires_grad for p in net.parameters()],
    )


def _clean(name: str, net: nn.Module, before: tuple[int, dict[str, Tensor], list[bool], list[bool]]) -> None:
    hooks, values, modes, gradients = before
    left = _hooks(net) - hooks
    if left > 0:
        raise NotYet(f"{name} leaves {left} hooks behind: the net would go on printing, at every step of a training")
    now = net.state_dict()
    changed = [n for n, t in values.items() if n not in now or not torch.equal(now[n], t)]
    if changed:
        raise NotYet(
            f"{name} changes the net: {and_(changed[:2])} differ afterwards. In which mode does it run? In training "
            "mode, batch normalisation takes notes of all that it sees"
        )
    if [m.training for m in net.modules()] != modes:
        raise NotYet(
            f"{name} leaves the net in another mode than it was in, so that a training would go on differently. Each "
            "module has a mode of its own (`training`); some may be frozen"
        )
    if [p.requires_grad for p in net.parameters()] != gradients or any(p.grad is not None for p in net.parameters()):
        raise NotYet(f"{name} leaves gradients behind, or switches them off: looking at shapes needs none")


def _after_failure(name: str, function: Callable[..., object]) -> None:
    """Raise `NotYet` if hooks or modes outlive an error of the net, here of a layer that its input does not fit."""
    net = nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.Linear(9, 3))
    hooks, modes = _hooks(net), [m.training for m in net.modules()]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        function(net, 4, 6)
    if _hooks(net) > hooks or [m.training for m in net.modules()] != modes:
        raise NotYet(
            f"{name} works, but not if the net fails: its hooks or its mode stay behind then. What has to happen in "
            "any case belongs where it happens in any case"
        )


# ---------------------------------------------------------------- what is printed


_WRITTEN = re.compile(r"\d+(?:\s*[,x×]\s*\d+)+|[(\[]\s*\d+\s*,?\s*[)\]]")  # 2, 3 or 2x3, also (2,) and [2]


def _read(line: str, known: set[str]) -> tuple[str | None, list[tuple[int, ...]]]:
    """Return the first known name of a line, and its shapes."""
    shapes = [tuple(map(int, re.findall(r"\d+", text))) for text in _WRITTEN.findall(line)]
    words = re.findall(r"[\w.]+", _WRITTEN.sub(" ", line))
    return next((word for word in words if word in known), None), shapes


def _rows(name: str, text: str, net: nn.Module, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    known = {n for n, _ in net.named_modules() if n}
    lines = [(n, s) for n, s in (_read(line, known) for line in text.splitlines()) if n is not None and s]
    if not lines:
        raise NotYet(
            f"no line that {name} prints has both a layer's name, as `named_modules` gives it, and a shape. Its first "
            f"line is {text.strip().splitlines()[0]!r}"
        )
    names = {n for n, _ in lines}
    if len(names) == 1 < len(lines) and len({n for n, _ in expected}) > 1:
        raise NotYet(
            f"{name}: every line has the name {min(names)!r}. The hook looks the name up when it runs, and by then the "
            "loop over the modules has ended: give each hook a name of its own"
        )
    containers = sorted(names - {n for n, _ in expected})
    whole = [c for c in containers if not any(n.startswith(f"{c}.") for n in names)]
    if whole:
        raise NotYet(
            f"{name} has a line for {and_(whole)}, which is no layer but has modules of its own, and none for those: "
            "how far down does the search for layers go?"
        )
    if containers:
        raise NotYet(
            f"{name} has lines for {and_(containers)}, which are no layers but have modules of their own: everything "
            "in them is printed twice"
        )
    missing = [n for n, _ in expected if n not in names]
    if missing:
        raise NotYet(f"{name} leaves out {and_(missing)}: a layer may be inside a module that is inside another one")
    _order(name, [n for n, _ in lines], [n for n, _ in expected], net)
    for (n, shapes), (_, right) in zip(lines, expected, strict=True):
        if right in shapes:
            continue
        if any(s == right[1:] for s in shapes):
            raise NotYet(f"{name}: the line of {n} has a shape without the batch, its first number")
        got = " and ".join(map(times, shapes))
        raise NotYet(f"{name}: the line of {n} has {got}. Is that the shape of its output, and of this layer?")


def _order(name: str, got: list[str], right: list[str], net: nn.Module) -> None:
    if got == right:
        return
    if sorted(got) == sorted(right):
        defined = [n for n, _ in net.named_modules() if n in right]
        places = [defined.index(n) for n in got]
        why = "the order in which they are defined" if places == sorted(places) else "another order"
        raise NotYet(f"{name} has all lines, but in {why}; due is the order in which the layers run")
    if set(got) == set(right) and len(got) < len(right):
        raise NotYet(f"{name} has one line for a layer that runs twice; a hook is called at every run")
    raise NotYet(
        f"{name} prints {len(got)} lines for {len(right)} runs of layers: are hooks registered more than once?"
    )
