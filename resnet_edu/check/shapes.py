"""Checkers of arithmetic: `output_size`, `receptive_field`, `stage_table`.

Scope: functions and tables of whole numbers. A wrong one is compared with what each known slip would give.

Sources
  [1] Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
  [2] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.
  [3] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

import torch

from ..nets.models import ResNet, get_model
from ..nets.shapes import ReceptiveField, conv_output_size
from ..support.validate import one_of, whole
from .verdict import NotYet, and_, ask, checker, name_of

SIZES = [  # size, kernel, stride, padding
    *((224, 7, 2, 3), (112, 3, 2, 1), (56, 3, 1, 1), (56, 1, 2, 0), (7, 3, 2, 1), (33, 5, 2, 0), (32, 3, 3, 0)),
    *((100, 7, 2, 3), (13, 3, 2, 1), (8, 2, 2, 0), (5, 5, 1, 0), (96, 11, 4, 2), (10, 4, 3, 2), (9, 1, 1, 0)),
]


@checker
def output_size(function: Callable[[int, int, int, int], int]) -> str:
    """Check convolution arithmetic: `my_size(size, kernel, stride, padding)`, the output size along one side.

    Compared with `conv_output_size` ([1]), for sizes that fit. Raises `NotYet` for a wrong answer, `TypeError` for what
    is no function.
    """
    name = _function(function)
    right = [conv_output_size(*case) for case in SIZES]
    got = [_count(f"{name}{case}", ask(f"{name}{case}", function, *case)) for case in SIZES]
    slips = {
        "it rounds up; a step of the kernel that does not fit is not made": lambda n, k, s, p: (
            math.ceil((n + 2 * p - k) / s) + 1
        ),
        "it rounds to the nearest whole number; a step that nearly fits is not made": lambda n, k, s, p: (
            round((n + 2 * p - k) / s) + 1
        ),
        "the place where the kernel begins is not counted": lambda n, k, s, p: (n + 2 * p - k) // s,
        "the padding is there at one end only; both ends are padded": lambda n, k, s, p: (n + p - k) // s + 1,
        "the padding is not used": lambda n, k, s, p: (n - k) // s + 1,
        "the padding makes the map smaller": lambda n, k, s, p: (n - 2 * p - k) // s + 1,
        "the stride is not used": lambda n, k, s, p: n + 2 * p - k + 1,
        "the kernel is not used": lambda n, k, s, p: (n + 2 * p) // s,
        "the 1 is inside the division, and it belongs after it": lambda n, k, s, p: (n + 2 * p - k + 1) // s,
        "it is right only where the padding keeps the size": lambda n, k, s, p: -(-n // s),
    }
    _compare(name, SIZES, got, right, slips)
    return f"{name}: the right size for {len(SIZES)} convolutions"


STACKS: list[list[tuple[int, int]]] = [  # (kernel, stride) of each layer, from the image on
    [(3, 1)],
    [(3, 1), (3, 1)],
    [(3, 2), (3, 1)],
    [(7, 2), (3, 2)],
    [(1, 2), (3, 1)],
    [(7, 2), (3, 2), (3, 1), (3, 1), (3, 2), (3, 1)],
    [(5, 3), (2, 2), (3, 1)],
    [],
]


@checker
def receptive_field(function: Callable[[list[tuple[int, int]]], int]) -> str:
    """Check the receptive field of a stack: `my_field(layers)`, layers a list of (kernel, stride), the image's first.

    Due is how many pixels there are, along one side, from the first to the last one that can change a value after the
    last layer ([2]); 1 for no layers.
    Raises `NotYet` for a wrong answer, `TypeError` for what is no function.
    """
    name = _function(function)
    got = [_count(f"{name}({stack})", _field(name, function, stack)) for stack in STACKS]

    def true(layers: list[tuple[int, int]], early: bool = False) -> int:
        field, jump = 1, 1
        for kernel, stride in layers:
            jump = jump * stride if early else jump
            field += (kernel - 1) * jump
            jump = jump if early else jump * stride
        return field

    def right(layers: list[tuple[int, int]]) -> int:
        field = ReceptiveField()
        for layer in layers:
            field = field.after(*layer)
        return field.size

    slips = {
        "strides are not used: after a stride, one step on the map is several pixels of the image": lambda v: (
            1 + sum(k - 1 for k, _ in v)
        ),
        "a layer's own stride is used for its own kernel; it counts for the layers after it": lambda v: true(v, True),
        "the kernels are summed up, though neighbouring windows overlap": lambda v: sum(k for k, _ in v),
        "the kernels are multiplied, though neighbouring windows overlap": lambda v: math.prod(k for k, _ in v),
        "it is too small by one: a value without any layer sees itself": lambda v: true(v) - 1,
        "the layers are taken in the reverse order": lambda v: true(v[::-1]),
        "the strides are multiplied, and that is how far apart two values look": lambda v: math.prod(s for _, s in v),
        "strides are added up, and they multiply": lambda v: (
            1 + sum((k - 1) * (1 + sum(s - 1 for _, s in v[:i])) for i, (k, _) in enumerate(v))
        ),
    }
    wrong = {text: lambda *layers, slip=slip: slip(list(layers)) for text, slip in slips.items()}
    _compare(name, [tuple(s) for s in STACKS], got, [right(s) for s in STACKS], wrong)
    return f"{name}: the right field for {len(STACKS)} stacks of layers"


def _field(name: str, function: Callable[[list[tuple[int, int]]], int], stack: list[tuple[int, int]]) -> object:
    try:
        return ask(f"{name}({stack})", function, list(stack))
    except NotYet as error:
        if stack:
            raise
        hint = "There may be no layer at all. How many pixels does a value see then, and must there be a first layer?"
        raise NotYet(f"{error}\n{hint}") from error.__cause__


def _function(function: object) -> str:
    if not callable(function):
        raise TypeError(f"give the function itself, without parentheses after it; got {function!r}")
    return name_of(function)


def _count(what: str, value: object) -> int:
    if value is None:
        raise NotYet(f"{what} returns None. Does its last line say what to return?")
    number = _index(value)
    if number is None:
        raise NotYet(f"{what} returns {value!r}, a {type(value).__name__}. Pixels are counted in whole numbers (int)")
    return number


def _index(value: object) -> int | None:
    """Return a whole number of Python, numpy or torch as an int, and None for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _compare(
    name: str, cases: Sequence[tuple], got: list[int], right: list[int], slips: dict[str, Callable[..., int]]
) -> None:
    if got == right:
        return
    for text, slip in slips.items():
        if got == [slip(*case) for case in cases]:
            raise NotYet(f"{name}: {text}")
    if len(set(got)) == 1:
        raise NotYet(f"{name} returns {got[0]} whatever it is asked: are its arguments used?")
    first = next(i for i, (a, b) in enumerate(zip(got, right, strict=True)) if a != b)
    count = sum(a != b for a, b in zip(got, right, strict=True))
    way = "small" if got[first] < right[first] else "large"
    given = cases[first] if cases[first] and isinstance(cases[first][0], int) else list(cases[first])
    raise NotYet(
        f"{name} is wrong for {count} of {len(cases)} cases. The first: for {given} it gives {got[first]}, which is "
        f"too {way}. Work that one out with a pencil"
    )


# ---------------------------------------------------------------- the table of the stages

Stage = Sequence[int]  # channels, height and width, blocks, and parameters if they are given
_COLUMNS = ("channels", "size", "blocks", "parameters")


@checker
def stage_table(rows: Sequence[Stage], net: str = "resnet34", size: int = 224) -> str:
    """Check a table of the stages conv2_x to conv5_x: for each (channels, size, blocks) or one number more, parameters.

    channels:   that the stage passes on.
    size:       height (and width) of the map that it passes on, in pixels.
    blocks:     in the stage.
    parameters: of the stage, shortcuts with option B and batch norm included.

    net is "resnet18", "resnet34" or "resnet50" and so on; `size` that of the image. Raises `NotYet` for a wrong answer.
    """
    one_of("net", net, [f"resnet{d}" for d in (18, 34, 50, 101, 152)])
    whole("size", size, 1)
    with torch.device("meta"):
        model = get_model(net)
    right = _stages(model, size)
    rows = rows.tolist() if hasattr(rows, "tolist") else rows  # of numpy or torch
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    table = [tuple(row) if isinstance(row, Sequence) and not isinstance(row, str) else (row,) for row in rows]
    if len(table) != len(right):
        raise NotYet(
            f"the table has {len(table)} rows; {net} has {len(right)} stages, conv2_x to conv{len(right) + 1}_x. What "
            "comes before them, stem and pooling, is no stage of blocks"
        )
    if {len(row) for row in table} not in ({3}, {4}):
        raise NotYet(f"each row has {and_(list(_COLUMNS[:3]))}, or these and {_COLUMNS[3]}; got {table[0]}")
    for column, title in enumerate(_COLUMNS[: len(table[0])]):
        _compare_column(title, [row[column] for row in table], [row[column] for row in right], model, size)
    return f"{net}: {and_(list(_COLUMNS[: len(table[0])]))} of all {len(right)} stages are right"


def _stages(model: ResNet, size: int) -> list[tuple[int, int, int, int]]:
    size = conv_output_size(conv_output_size(size, 7, 2, 3), 3, 2, 1)
    found = []
    for i, name in enumerate(model.stages):
        stage = getattr(model, name)
        size = conv_output_size(size, 3, 2, 1) if i else size
        last = stage[-1].conv3 if hasattr(stage[-1], "conv3") else stage[-1].conv2
        found.append((last.out_channels, size, len(stage), sum(p.numel() for p in stage.parameters())))
    return found


def _compare_column(title: str, got: list[object], right: list[int], model: ResNet, size: int) -> None:
    places = [f"conv{i + 2}_x" for i in range(len(right))]
    for place, value in zip(places, got, strict=True):
        if _index(value) is None:
            square = "; maps are square, and their height is enough" if title == "size" else ""
            raise NotYet(f"{title}: {place} has {value!r}, and one whole number is asked for{square}")
    got = [_index(value) for value in got]
    if got == right:
        return
    for text, slip in _slips(title, right, model, size).items():
        if got == slip and slip != right:
            raise NotYet(f"{title}: {text}")
    wrong = [i for i, (a, b) in enumerate(zip(got, right, strict=True)) if a != b]
    first = wrong[0]
    way = "small" if got[first] < right[first] else "large"
    raise NotYet(
        f"{title}: not right for {and_([places[i] for i in wrong])}. Begin with {places[first]}: {got[first]:,} is too "
        f"{way}"
    )


def _slips(title: str, right: list[int], model: ResNet, size: int) -> dict[str, list[int]]:
    stages = [getattr(model, name) for name in model.stages]
    if title == "channels":
        return {
            "these are the channels of the 3x3 convolutions; a bottleneck passes on more": [
                stage[0].conv2.out_channels for stage in stages
            ],
            "these are the channels that reach a stage, and due are those that it passes on": [
                stage[0].conv1.in_channels for stage in stages
            ],
        }
    if title == "size":
        halved = [*right[1:], conv_output_size(right[-1], 3, 2, 1)]
        return {
            "every stage halves the map here, the first one too; the max pooling has done that for it": halved,
            "these are the sizes of the maps that reach a stage, and due are those that it passes on": [
                conv_output_size(size, 7, 2, 3),
                *right[:-1],
            ],
            "these are the sizes for an image of 224 pixels; how large is the image here?": [56, 28, 14, 7],
            "the map is never made smaller here: what does the first block of a stage do?": [right[0]] * len(right),
        }
    if title == "blocks":
        deep = 3 if hasattr(stages[0][0], "conv3") else 2
        return {
            "these are convolutions; several of them make one block": [deep * n for n in right],
            "all blocks but the first of each stage are counted": [n - 1 for n in right],
        }
    norms = [sum(p.numel() for p in stage.parameters() if p.dim() == 1) for stage in stages]
    short = [sum(p.numel() for n, p in stage.named_parameters() if "downsample" in n) for stage in stages]
    weights = [
        sum(p.numel() for n, p in stage.named_parameters() if "downsample" in n and p.dim() > 1) for stage in stages
    ]
    return {
        "scales and shifts of batch normalisation are left out": _less(right, norms),
        "the shortcuts' projections are left out": _less(right, short),
        "the shortcuts' projections and all of batch normalisation are left out": _less(right, norms, weights),
        "batch normalisation has two learnt numbers a channel, a scale and a shift": [
            r - n // 2 for r, n in zip(right, norms, strict=True)
        ],
        "running mean and variance are counted; they are no parameters, since nothing learns them": [
            r + n for r, n in zip(right, norms, strict=True)
        ],
        "the convolutions have a bias here, which ResNets have not": [
            r + n // 2 for r, n in zip(right, norms, strict=True)
        ],
    }


def _less(right: list[int], *parts: list[int]) -> list[int]:
    return [r - sum(p) for r, *p in zip(right, *parts, strict=True)]
