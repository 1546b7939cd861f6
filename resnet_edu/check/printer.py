"""The checker of chapter 3's shape printer, made from forward hooks: `shape_printer`.

Source
  [1] PyTorch's documentation of `torch.nn.Module.register_forward_hook`.
"""

from __future__ import annotations

import contextlib
import copy
import io
import re
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from ..nets.blocks import BasicBlock
from .compare import run_order
from .verdict import NotYet, call, check_callable, checker, list_text, shape_text

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
Printer = Callable[..., object]
Row = tuple[str, tuple[int, ...]]  # name and output shape of a layer


@checker
def shape_printer(function: Printer) -> str:
    """Check a printer of shapes: `print_shapes(net, *shape)`, a line for every layer, in the order in which they run.

    A layer is a module without modules of its own. Its line has its name (`named_modules`) and the shape of its output;
    what else is in it is free. The net is left as it was, and without hooks, also if it fails.

    Raises `NotYet` for a wrong answer, `TypeError` for what is no function.
    """
    name = check_callable(function)
    for net, shape in ((_net(), (2, 3, 9, 12)), (_net_with_one_relu(), (4, 6))):
        before = copy.deepcopy(net)
        leaves = {n for n, m in net.named_modules() if not list(m.children())}
        runs = run_order(copy.deepcopy(net).eval(), torch.zeros(shape))
        expected = [(n, tuple(output.shape)) for n, output in runs if n in leaves]
        hooks = _count_hooks(net)
        text = _printed(f"{name}(net, {', '.join(map(str, shape))})", function, net, shape)
        _check_left_behind(name, net, before, hooks)
        _check_lines(name, text, net, expected)
    _check_after_failure(name, function)
    return f"{name}: a line for every layer in the order of the run, no hook left behind, and the net as it was"


def _net() -> nn.Sequential:
    """Return a net whose layers run in another order than they are defined in, with a frozen batch norm."""
    block = BasicBlock(4, 8, stride=2)
    block.downsample[1].eval()
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def _net_with_one_relu() -> nn.Sequential:
    """Return a net with a layer that runs twice."""
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 7), relu, nn.Linear(7, 3), relu)


def _printed(what: str, function: Printer, net: nn.Module, shape: tuple[int, ...]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        returned = call(what, function, net, *shape)
    if not out.getvalue().strip():
        hint = "Are the hooks registered, and does the net run?"
        raise NotYet(f"{what} prints nothing. {hint if returned is None else 'It returns something: print it'}")
    return out.getvalue()


# ---------------------------------------------------------------- the net afterwards


def _count_hooks(net: nn.Module) -> int:
    own = sum(len(getattr(m, kind, ())) for m in net.modules() for kind in _HOOKS)
    return own + sum(len(getattr(torch_module, f"_global{kind}", ())) for kind in _HOOKS)


def _modes(net: nn.Module) -> list[bool]:
    return [m.training for m in net.modules()]


def _check_left_behind(name: str, net: nn.Module, before: nn.Module, hooks: int) -> None:
    """Raise `NotYet` if the printer leaves hooks behind, or the net in another state than `before`."""
    left = _count_hooks(net) - hooks
    if left > 0:
        raise NotYet(f"{name} leaves {left} hooks behind: the net would go on printing, at every step of a training")
    now = net.state_dict()
    changed = [n for n, t in before.state_dict().items() if n not in now or not torch.equal(now[n], t)]
    if changed:
        raise NotYet(f"{name} changes the net: {list_text(changed[:2])} differ afterwards. In which mode does it run?")
    if _modes(net) != _modes(before):
        raise NotYet(f"{name} leaves the net in another mode. Each module has its own (`training`): some may be frozen")
    needed = [[p.requires_grad for p in n.parameters()] for n in (net, before)]
    if needed[0] != needed[1] or any(p.grad is not None for p in net.parameters()):
        raise NotYet(f"{name} leaves gradients behind, or switches them off: looking at shapes needs none")


def _check_after_failure(name: str, function: Printer) -> None:
    """Raise `NotYet` if hooks or modes outlive an error of the net, here of a layer that its input does not fit."""
    net = nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.Linear(9, 3))
    before = _count_hooks(net), _modes(net)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        function(net, 4, 6)
    if (_count_hooks(net), _modes(net)) != before:
        raise NotYet(f"{name} works, but if the net fails, its hooks or its mode stay behind. What runs in any case?")


# ---------------------------------------------------------------- what is printed

_SHAPE = re.compile(r"\d+(?:\s*[,x×]\s*\d+)+|[(\[]\s*\d+\s*,?\s*[)\]]")  # 2, 3 or 2x3, also (2,) and [2]


def _read(line: str, known: set[str]) -> tuple[str | None, list[tuple[int, ...]]]:
    """Return the first known name of a line, and its shapes."""
    shapes = [tuple(map(int, re.findall(r"\d+", text))) for text in _SHAPE.findall(line)]
    words = re.findall(r"[\w.]+", _SHAPE.sub(" ", line))
    return next((word for word in words if word in known), None), shapes


def _check_lines(name: str, text: str, net: nn.Module, expected: list[Row]) -> None:
    known = {n for n, _ in net.named_modules() if n}
    lines = [(n, shapes) for n, shapes in (_read(line, known) for line in text.splitlines()) if n and shapes]
    if not lines:
        first = text.strip().splitlines()[0]
        raise NotYet(f"no line of {name} has both a name of `named_modules` and a shape. The first is {first!r}")
    got, due = [n for n, _ in lines], [n for n, _ in expected]
    if len(set(got)) == 1 < len(got):
        raise NotYet(f"{name}: every line has the name {got[0]!r}. A hook runs after the loop: it needs its own name")
    containers = sorted(set(got) - set(due))
    if containers:
        hint = "which is no layer but has modules of its own. How deep does the search go?"
        raise NotYet(f"{name} has a line for {list_text(containers)}, {hint}")
    missing = [n for n in due if n not in got]
    if missing:
        raise NotYet(f"{name} leaves out {list_text(missing)}: a layer may be inside a module inside another one")
    if got != due:
        raise NotYet(f"{name} {_about_order(got, due, net)}")
    for (n, shapes), (_, right) in zip(lines, expected, strict=True):
        if right in shapes:
            continue
        if right[1:] in shapes:
            raise NotYet(f"{name}: the line of {n} has a shape without the batch, its first number")
        printed = list_text(map(shape_text, shapes))
        raise NotYet(f"{name}: the line of {n} has {printed}. Is that the shape of its output, and of this layer?")


def _about_order(got: list[str], due: list[str], net: nn.Module) -> str:
    if sorted(got) == sorted(due):
        defined = [n for n, _ in net.named_modules() if n in due]
        places = [defined.index(n) for n in got]
        why = "the order in which they are defined" if places == sorted(places) else "another order"
        return f"has all lines, but in {why}; due is the order in which the layers run"
    if len(got) < len(due):
        return "has one line for a layer that runs twice; a hook is called at every run"
    return f"prints {len(got)} lines for {len(due)} runs of layers: are hooks registered more than once?"
