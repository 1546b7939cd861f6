"""Checkers of shapes: `output_size`, `receptive_field`, `stage_table`, and `shape_printer`, which is made from hooks.

Sources
  [1] Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
  [2] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.
  [3] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
"""

import contextlib
import copy
import io
import math
import operator
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from ..nets.blocks import BasicBlock
from ..nets.models import ResNet, get_model
from ..nets.shapes import ReceptiveField, conv_output_size
from ..support.validate import one_of, whole
from .compare import run_order
from .values import compare_values
from .verdict import NotYet, call, check_callable, checker, list_text, shape_text

SIZES = [  # size, kernel, stride, padding
    *((224, 7, 2, 3), (112, 3, 2, 1), (56, 3, 1, 1), (56, 1, 2, 0), (7, 3, 2, 1), (33, 5, 2, 0), (32, 3, 3, 0)),
    *((100, 7, 2, 3), (13, 3, 2, 1), (8, 2, 2, 0), (5, 5, 1, 0), (96, 11, 4, 2), (10, 4, 3, 2), (9, 1, 1, 0)),
]
_SIZE_MISTAKES: dict[str, Callable[[int, int, int, int], int]] = {
    "it rounds up; a step that does not fit is not made": lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1,
    "it rounds to the nearest; a step that nearly fits is not made": lambda n, k, s, p: round((n + 2 * p - k) / s) + 1,
    "the place where the kernel begins is not counted": lambda n, k, s, p: (n + 2 * p - k) // s,
    "the padding is there at one end only; both ends are padded": lambda n, k, s, p: (n + p - k) // s + 1,
    "the padding is not used": lambda n, k, s, p: (n - k) // s + 1,
    "the padding makes the map smaller": lambda n, k, s, p: (n - 2 * p - k) // s + 1,
    "the stride is not used": lambda n, k, s, p: n + 2 * p - k + 1,
    "the kernel is not used": lambda n, k, s, p: (n + 2 * p) // s,
    "the 1 is inside the division, and it belongs after it": lambda n, k, s, p: (n + 2 * p - k + 1) // s,
    "it is right only where the padding keeps the size": lambda n, k, s, p: -(-n // s),
}


@checker
def output_size(function: Callable[[int, int, int, int], int]) -> str:
    """Check convolution arithmetic: `my_size(size, kernel, stride, padding)`, the output size along one side ([1])."""
    name = check_callable(function)
    right = [conv_output_size(*case) for case in SIZES]
    got = [_returned(f"{name}{case}", call(f"{name}{case}", function, *case)) for case in SIZES]
    mistakes = {sentence: [wrong(*case) for case in SIZES] for sentence, wrong in _SIZE_MISTAKES.items()}
    compare_values(name, SIZES, got, right, mistakes)
    return f"{name}: the right size for {len(SIZES)} convolutions"


Layers = list[tuple[int, int]]  # (kernel, stride) of each layer, from the image on
STACKS: list[Layers] = [
    *([(3, 1)], [(3, 1), (3, 1)], [(3, 2), (3, 1)], [(7, 2), (3, 2)], [(1, 2), (3, 1)]),
    *([(7, 2), (3, 2), (3, 1), (3, 1), (3, 2), (3, 1)], [(5, 3), (2, 2), (3, 1)], []),
]


def _field(layers: Layers) -> int:
    field = ReceptiveField()
    for layer in layers:
        field = field.after(*layer)
    return field.size


def _by_strides(jump: Callable[[list[int]], int]) -> Callable[[Layers], int]:
    """Return what gives the field if neighbours of a layer were `jump(strides up to its own)` pixels apart."""
    return lambda v: 1 + sum((k - 1) * jump([s for _, s in v[: i + 1]]) for i, (k, _) in enumerate(v))


_FIELD_MISTAKES: dict[str, Callable[[Layers], int]] = {
    "strides are not used: after one, a step on the map is several pixels": _by_strides(lambda strides: 1),
    "a layer's own stride is used for its own kernel; it counts for those after it": _by_strides(math.prod),
    "strides are added up, and they multiply": _by_strides(lambda strides: 1 + sum(s - 1 for s in strides[:-1])),
    "the kernels are summed up, though neighbouring windows overlap": lambda v: sum(k for k, _ in v),
    "the kernels are multiplied, though neighbouring windows overlap": lambda v: math.prod(k for k, _ in v),
    "it is too small by one: a value without any layer sees itself": lambda v: _field(v) - 1,
    "the layers are taken in the reverse order": lambda v: _field(v[::-1]),
    "the strides are multiplied, and that is how far apart two values look": lambda v: math.prod(s for _, s in v),
}


@checker
def receptive_field(function: Callable[[Layers], int]) -> str:
    """Check the receptive field of a stack: `my_field(layers)`, layers a list of (kernel, stride), the image's first.

    Due is how many pixels there are, along one side, from the first to the last one that can change a value after the
    last layer ([2]); 1 for no layers.
    """
    name = check_callable(function)
    got = []
    for stack in STACKS:
        try:
            got.append(_returned(f"{name}({stack})", call(f"{name}({stack})", function, list(stack))))
        except NotYet as error:
            hint = "" if stack else "\nThere may be no layer at all. How many pixels does a value see then?"
            raise NotYet(f"{error}{hint}") from error.__cause__
    mistakes = {sentence: [wrong(stack) for stack in STACKS] for sentence, wrong in _FIELD_MISTAKES.items()}
    compare_values(name, STACKS, got, [_field(stack) for stack in STACKS], mistakes)
    return f"{name}: the right field for {len(STACKS)} stacks of layers"


def _returned(what: str, value: object) -> int:
    number = _whole_number(value)
    if number is None:
        hint = "Does its last line return it?" if value is None else "Pixels are counted in whole numbers (int)"
        raise NotYet(f"{what} returns {value!r}, a {type(value).__name__}. {hint}")
    return number


def _whole_number(value: object) -> int | None:
    """Return a whole number of Python, numpy or torch as an int, and None for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


Stage = Sequence[int]  # channels, height and width, blocks, and parameters if they are given
_COLUMNS = ("channels", "size", "blocks", "parameters")


@checker
def stage_table(rows: Sequence[Stage], net: str = "resnet34", size: int = 224) -> str:
    """Check a table of the stages conv2_x to conv5_x: for each (channels, size, blocks) or one number more, parameters.

    channels:   that the stage passes on.
    size:       height (and width) of the map that it passes on, in pixels.
    blocks:     in the stage.
    parameters: of the stage, shortcuts with option B and batch norm included.

    net is "resnet18", "resnet34" or "resnet50" and so on; `size` that of the image.
    """
    one_of("net", net, [f"resnet{d}" for d in (18, 34, 50, 101, 152)])
    whole("size", size)
    with torch.device("meta"):
        model = get_model(net)
    height, right = conv_output_size(conv_output_size(size, 7, 2, 3), 3, 2, 1), []
    for i, stage in enumerate(getattr(model, name) for name in model.stages):
        height = conv_output_size(height, 3, 2, 1) if i else height
        last = stage[-1].conv3 if hasattr(stage[-1], "conv3") else stage[-1].conv2
        right.append((last.out_channels, height, len(stage), sum(p.numel() for p in stage.parameters())))
    rows = rows.tolist() if hasattr(rows, "tolist") else rows  # of numpy or torch
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    table = [tuple(row) if isinstance(row, Sequence) and not isinstance(row, str) else (row,) for row in rows]
    places = [f"conv{i + 2}_x" for i in range(len(right))]
    if len(table) != len(right):
        raise NotYet(f"the table has {len(table)} rows; {net} has {len(right)} stages, {places[0]} to {places[-1]}")
    if {len(row) for row in table} not in ({3}, {4}):
        raise NotYet(f"each row has {list_text(_COLUMNS[:3])}, or these and {_COLUMNS[3]}; got {table[0]}")
    titles = _COLUMNS[: len(table[0])]
    for title, given, expected in zip(titles, zip(*table, strict=True), zip(*right, strict=False), strict=False):
        got = [_whole_number(value) for value in given]
        if None in got:
            place, value = next((p, v) for p, v, n in zip(places, given, got, strict=True) if n is None)
            square = "; maps are square, and their height is enough" if title == "size" else ""
            raise NotYet(f"{title}: {place} has {value!r}, and one whole number is asked for{square}")
        compare_values(title, places, got, list(expected), _column_mistakes(title, list(expected), model, size))
    return f"{net}: {list_text(titles)} of all {len(right)} stages are right"


def _column_mistakes(title: str, right: list[int], model: ResNet, size: int) -> dict[str, list[int]]:
    """Return the known mistakes of a column that are none for this net."""
    stages = [getattr(model, name) for name in model.stages]
    if title == "channels":
        inner = "these are the channels of the 3x3 convolutions; a bottleneck passes on more"
        before = "these are the channels that reach a stage, not those that it passes on"
        found = {inner: [s[0].conv2.out_channels for s in stages], before: [s[0].conv1.in_channels for s in stages]}
    elif title == "size":
        halved = conv_output_size(right[-1], 3, 2, 1)
        stem = conv_output_size(size, 7, 2, 3)
        found = {
            "every stage halves the map here; for the first one, the max pooling did it": [*right[1:], halved],
            "these are the sizes of the maps that reach a stage, not of those that it passes on": [stem, *right[:-1]],
            "these are the sizes for an image of 224 pixels; how large is the image here?": [56, 28, 14, 7],
            "the map is never made smaller here: what does the first block of a stage do?": [right[0]] * len(right),
        }
    elif title == "blocks":
        each = 3 if hasattr(stages[0][0], "conv3") else 2
        found = {
            "these are convolutions; several of them make one block": [each * n for n in right],
            "all blocks but the first of each stage are counted": [n - 1 for n in right],
        }
    else:

        def count(keep: Callable[[str, Tensor], bool]) -> list[int]:
            return [sum(p.numel() for n, p in stage.named_parameters() if keep(n, p)) for stage in stages]

        norms = count(lambda name, p: p.dim() == 1)  # half of them are scales, and half shifts
        convs = count(lambda name, p: "downsample" not in name and p.dim() > 1)
        half = count(lambda name, p: p.dim() > 1 or "weight" in name)
        found = {
            "scales and shifts of batch normalisation are left out": count(lambda name, p: p.dim() > 1),
            "the shortcuts' projections are left out": count(lambda name, p: "downsample" not in name),
            "the shortcuts' projections and all of batch normalisation are left out": convs,
            "batch normalisation has two learnt numbers a channel, a scale and a shift": half,
            "running mean and variance are counted, and nothing learns them": [
                a + b for a, b in zip(right, norms, strict=True)
            ],
        }
    return {sentence: wrong for sentence, wrong in found.items() if wrong != right}


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
Printer = Callable[..., object]
Row = tuple[str, tuple[int, ...]]  # name and output shape of a layer


@checker
def shape_printer(function: Printer) -> str:
    """Check a printer of shapes: `print_shapes(net, *shape)`, a line for every layer, in the order in which they run.

    A layer is a module without modules of its own. Its line has its name (`named_modules`) and the shape of its output;
    what else is in it is free. The net is left as it was, and without hooks, also if it fails.
    """
    name = check_callable(function)
    block, relu = BasicBlock(4, 8, stride=2), nn.ReLU()
    block.downsample[1].eval()  # frozen
    pools = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    unordered = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), block, *pools, nn.Linear(8, 5))  # its layers run otherwise
    twice = nn.Sequential(nn.Linear(6, 7), relu, nn.Linear(7, 3), relu)
    for net, shape in ((unordered, (2, 3, 9, 12)), (twice, (4, 6))):
        before = copy.deepcopy(net)
        leaves = {n for n, m in net.named_modules() if not list(m.children())}
        runs = run_order(copy.deepcopy(net).eval(), torch.zeros(shape))
        expected = [(n, tuple(output.shape)) for n, output in runs if n in leaves]
        hooks, out, what = _count_hooks(net), io.StringIO(), f"{name}(net, {', '.join(map(str, shape))})"
        with contextlib.redirect_stdout(out):
            returned = call(what, function, net, *shape)
        if not out.getvalue().strip():
            hint = "Are the hooks registered, and does the net run?"
            raise NotYet(f"{what} prints nothing. {hint if returned is None else 'It returns something: print it'}")
        _check_left_behind(name, net, before, hooks)
        _check_lines(name, out.getvalue(), net, expected)
    # Hooks and modes must not outlive an error of the net either, here of a layer that its input does not fit.
    net = nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.Linear(9, 3))
    state = _count_hooks(net), _modes(net)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        function(net, 4, 6)
    if (_count_hooks(net), _modes(net)) != state:
        raise NotYet(f"{name} works, but if the net fails, its hooks or its mode stay behind. What runs in any case?")
    return f"{name}: a line for every layer in the order of the run, no hook left behind, and the net as it was"


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


_SHAPE = re.compile(r"\d+(?:\s*[,x×]\s*\d+)+|[(\[]\s*\d+\s*,?\s*[)\]]")  # 2, 3 or 2x3, also (2,) and [2]


def _check_lines(name: str, text: str, net: nn.Module, expected: list[Row]) -> None:
    known, lines = {n for n, _ in net.named_modules() if n}, []
    for line in text.splitlines():
        shapes = [tuple(map(int, re.findall(r"\d+", part))) for part in _SHAPE.findall(line)]
        words = re.findall(r"[\w.]+", _SHAPE.sub(" ", line))
        lines += [(word, shapes) for word in words if word in known and shapes][:1]
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
    if sorted(got) == sorted(due) and got != due:
        defined = [n for n, _ in net.named_modules() if n in due]
        why = "the order in which they are defined" if got == sorted(got, key=defined.index) else "another order"
        raise NotYet(f"{name} has all lines, but in {why}; due is the order in which the layers run")
    if len(got) < len(due):
        raise NotYet(f"{name} has one line for a layer that runs twice; a hook is called at every run")
    if got != due:
        hint = "are hooks registered more than once?"
        raise NotYet(f"{name} prints {len(got)} lines for {len(due)} runs of layers: {hint}")
    for (n, shapes), (_, right) in zip(lines, expected, strict=True):
        if right in shapes:
            continue
        if right[1:] in shapes:
            raise NotYet(f"{name}: the line of {n} has a shape without the batch, its first number")
        printed = list_text(map(shape_text, shapes))
        raise NotYet(f"{name}: the line of {n} has {printed}. Is that the shape of its output, and of this layer?")
