"""The three views of a trace: every layer, the convolutions of each kind of block, and the stages of the paper.

Stages are found, not assumed: blocks are the numbered modules that contain a residual addition ("layer1.0"), and all
their numbered sisters; in a net without additions, numbered modules in a container whose name ends in a number.
Blocks of one container are a stage. The first stage is called conv2_x, as in the paper, since conv1 is the stem.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: Table 1.
  [2] The per-layer tables of ResNet-34 and ResNet-50, one row for each kind of convolution, in tests/tracing/golden.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import groupby
from typing import TYPE_CHECKING

from ..support.table import Column, Table
from .rows import Row, Shape, shape_text

if TYPE_CHECKING:
    from .run import Trace


def _inputs_text(shapes: tuple[Shape, ...]) -> str:
    """Return shapes as text; the two equal ones of an addition only once: "2 of 1x64x56x56"."""
    if len(shapes) > 1 and len(set(shapes)) == 1:
        return f"{len(shapes)} of {shape_text(shapes[0])}"
    return ", ".join(map(shape_text, shapes))


def _window_text(window: Shape | str | None) -> str:
    """Return a stride or padding as text, one number for equal ones: (1, 1) -> "1", (0, 3) -> "0x3"."""
    if window is None or isinstance(window, str):
        return window or ""
    return str(window[0]) if len(set(window)) == 1 else shape_text(window)


def _caption(trace: Trace, what: str) -> str:
    return f"{trace.model}, input {' and '.join(map(shape_text, trace.inputs)) or 'none'}: {what}"


def _notes(trace: Trace) -> list[str]:
    """Return what is to be said of the totals."""
    paths = list(dict.fromkeys(row.path or trace.model for row in trace.not_counted))
    return [f"The total is without the MACs of {', '.join(paths)}: these are not counted."] if paths else []


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _is_conv(row: Row) -> bool:
    return row.kernel is not None and row.groups is not None and "ranspose" not in row.kind


def _remark(row: Row) -> str:
    if row.is_add and row.shortcut is not None:
        main, shortcut = (f"#{s}" if isinstance(s, int) else s for s in (row.main, row.shortcut))
        return f"main {main} + shortcut {shortcut} ({row.shortcut_kind.replace('_', ' ')})"
    parts = ["shortcut"] if row.on_shortcut else []
    parts += ["reused: parameters counted above"] if row.reused else []
    return "; ".join([*parts, row.note] if row.note else parts)


_MARKS = {"add": "is_add", "reused": "reused", "shortcut": "on_shortcut"}  # classes of rows in style sheets


def _layer_cells(row: Row, model: str) -> dict[str, object]:
    field = row.receptive_field
    return vars(row) | {
        "path": row.path or model,
        "inputs": _inputs_text(row.inputs),
        "outputs": _inputs_text(row.outputs),
        "kernel": shape_text(row.kernel) if row.kernel else "",
        "stride": _window_text(row.stride),
        "padding": _window_text(row.padding),
        "groups": row.groups if row.groups is not None and row.groups > 1 else None,
        "receptive_field": shape_text(field) if isinstance(field, tuple) else field,
        "remark": _remark(row),
    }


def layers_view(trace: Trace) -> Table:
    """Return every row of a trace, what is asked for most in front; CSV and dictionaries have all fields of `Row`."""
    columns = [
        Column("index", "#", True),
        Column("path", "layer"),
        Column("outputs", "output"),
        Column("params", "parameters", True),
        Column("macs", "MACs", True),
        Column("kind", "kind"),
        Column("inputs", "input"),
        Column("kernel", "kernel"),
        Column("stride", "stride", True),
        Column("padding", "padding", True),
        Column("groups", "groups", True),
        Column("activation_bytes", "bytes", True),
        Column("receptive_field", "field", True),
        Column("remark", "remark", below="path"),
    ]
    rows = [_layer_cells(row, trace.model) for row in trace.rows]
    total = {"path": "total", "params": trace.total_params, "macs": trace.total_macs}
    total["activation_bytes"] = trace.total_activation_bytes
    always = ("path", "kind", "inputs", "outputs")
    return Table(
        _caption(trace, f"{_count(len(rows), 'row')}, {_count(len(trace.additions), 'residual addition')}"),
        [c for c in columns if c.key in always or any(r[c.key] not in (None, "") for r in rows)],
        rows,
        total,
        [" ".join(f"is-{name}" for name in _MARKS if getattr(row, _MARKS[name])) for row in trace.rows],
        [row.to_dict() for row in trace.rows],
        [f.name for f in fields(Row)],
        _notes(trace),
    )


@dataclass(frozen=True)
class Block:
    """One block: its path and its rows; `convs` are those of the main path."""

    path: str
    rows: tuple[Row, ...]

    @property
    def convs(self) -> list[Row]:
        """Convolutions of the main path, in order."""
        return [r for r in self.rows if _is_conv(r) and not r.on_shortcut]


@dataclass(frozen=True)
class Stage:
    """Blocks of one container, called `conv2`, `conv3`, ..."""

    name: str
    path: str
    blocks: tuple[Block, ...]


def find_stages(trace: Trace) -> list[Stage]:
    """Return the stages of a net, or an empty list if it is not a stem, at least two stages of blocks, and a head."""
    paths = [r.path.rpartition(".")[0] if r.path.endswith("()") else r.path for r in trace.rows if r.is_add]
    containers = {m[1] for p in paths if (m := re.fullmatch(r"(.+)\.\d+", p))}
    if not paths:
        containers = {m[1] for r in trace.rows if (m := re.match(r"((?:.*\.)?[A-Za-z_]+\d+)\.\d+\.", r.path))}

    def place(row: Row) -> tuple[str, str]:
        parts = row.path.split(".")
        for i in range(1, len(parts)):
            if ".".join(parts[:i]) in containers and parts[i].isdigit():
                return ".".join(parts[:i]), ".".join(parts[: i + 1])
        return "", ""

    stages: list[Stage] = []
    for container, rows in groupby((r for r in trace.rows if place(r)[0]), key=lambda r: place(r)[0]):
        blocks = tuple(Block(path, tuple(group)) for path, group in groupby(rows, key=lambda r: place(r)[1]))
        if any(not b.convs for b in blocks):
            return []
        stages.append(Stage(f"conv{len(stages) + 2}", container, blocks))
    if len(stages) < 2 or len({s.path for s in stages}) < len(stages):
        return []
    first = stages[0].blocks[0].rows[0].index
    if any(_is_conv(r) and r.index > first and not place(r)[0] for r in trace.rows):
        return []  # convolutions between or after the stages: another kind of net
    return stages


def _conv_cells(name: str, row: Row) -> dict[str, object]:
    dims = len(row.kernel)
    channels = row.inputs[0][-dims - 1] // row.groups
    return {
        "layer": name,
        "in": shape_text(row.inputs[0][-dims - 1 :], "*"),
        "out": shape_text(row.outputs[0][-dims - 1 :], "*"),
        "stride": _window_text(row.stride),
        "padding": _window_text(row.padding),
        "downsample": True if max(row.stride) > 1 else None,
        "kernel": shape_text((row.outputs[0][-dims - 1], channels, *row.kernel), "*"),
    }


def convs_view(trace: Trace) -> Table:
    """Return the convolutions of each kind of block, repeated blocks once ([2]).

    `conv3.1` is the first block of the stage, `conv3.x` stands for all the others; of blocks of two equal
    convolutions the first is shown, of other blocks (bottlenecks) each one, as `conv3.1.2`. Shortcuts and the stem
    are left out. `downsample` is True where the stride is above 1. Shapes are without batch; `kernel` is
    out*in*height*width.

    A net without such stages gets a plain list of all its convolutions by path, shortcuts included.

    Raises `ValueError` if there is no convolution at all.
    """
    stages = find_stages(trace)
    convolutions = [r for r in trace.rows if _is_conv(r) and r.outputs]
    if not convolutions:
        raise ValueError(f"{trace.model} has no convolution to show: use the 'layers' view")
    rows = []
    if not stages:
        rows = [_conv_cells(r.path or trace.model, r) for r in convolutions]
    for stage in stages:
        for number, block in zip(("1", "x"), stage.blocks[:2], strict=False):
            convs = block.convs
            if len(convs) == 1 or (len(convs) == 2 and convs[0].kernel == convs[1].kernel):
                rows.append(_conv_cells(f"{stage.name}.{number}", convs[0]))
            else:
                rows += [_conv_cells(f"{stage.name}.{number}.{i}", r) for i, r in enumerate(convs, start=1)]
    columns = [
        Column("layer", "layer"),
        Column("in", "in (C*H*W)", True),
        Column("out", "out (C*H*W)", True),
        Column("stride", "stride", True),
        Column("padding", "padding", True),
        Column("downsample", "downsample", False, "None"),
        Column("kernel", "kernel (out*in*h*w)", True),
    ]
    what = "the convolutions of each kind of block" if stages else "all convolutions"
    return Table(_caption(trace, what), columns, rows)


def _matrix(block: Block) -> str:
    lines = []
    for row in block.convs:
        groups = f", {row.groups} groups" if row.groups > 1 else ""
        lines.append(f"{shape_text(row.kernel)}, {row.outputs[0][-len(row.kernel) - 1]}{groups}")
    return "; ".join(lines)


def _spatial(rows: list[Row], dims: int) -> str:
    shape = next((r.outputs[0] for r in reversed(rows) if r.outputs and len(r.outputs[0]) == dims + 2), None)
    return shape_text(shape[2:]) if shape else "x".join(["1"] * dims)


def _words(rows: list[Row]) -> list[str]:
    """Return how Table 1 writes the rows before and after the blocks; of most of them it says nothing."""
    words = []
    for row in rows:
        kind = row.kind.lower()
        window = f"{shape_text(row.kernel)} " if row.kernel else ""
        stride = f", stride {_window_text(row.stride)}" if row.kernel and max(row.stride) > 1 else ""
        if _is_conv(row):
            words.append(f"{shape_text(row.kernel)}, {row.outputs[0][1]}{stride}")
        elif "pool" in kind or (kind == "mean" and row.outputs and len(row.outputs[0]) < len(row.inputs[0])):
            words.append(f"{window}{'max' if 'max' in kind else 'average'} pool{stride}")
        elif kind == "linear":
            words.append(f"{row.outputs[0][-1]}-d fc")
        elif "softmax" in kind:
            words.append("softmax")
    return words


def stages_view(trace: Trace) -> Table:
    """Return the net in the form of the paper's Table 1 ([1]), with parameters and MACs of each stage.

    A block is written as its convolutions in brackets, "[3x3, 64; 3x3, 64] x 3". A max pooling before the first
    stage belongs to conv2_x. Parameters and MACs of a stage are those of all its rows: batch norms and shortcuts
    too; MACs are for the batch that was traced.

    Raises `ValueError` if the model has no such stages.
    """
    stages = find_stages(trace)
    if not stages:
        raise ValueError(
            f"{trace.model} is no stem and a series of stages of blocks, so it has no 'stages' view; "
            "use 'layers', or 'convs' for a list of its convolutions"
        )
    dims = len(stages[0].blocks[0].convs[0].kernel)
    first, last = stages[0].blocks[0].rows[0].index, stages[-1].blocks[-1].rows[-1].index
    stem, head = list(trace.rows[:first]), list(trace.rows[last + 1 :])
    pool = next((i for i, r in enumerate(stem) if r.kernel is not None and not _is_conv(r)), len(stem))

    def line(name: str, rows: list[Row], words: list[str], size: str) -> dict[str, object]:
        return {
            "stage": name,
            "output": size,
            "layers": ", then ".join(words),
            "params": sum(r.params for r in rows),
            "macs": sum(r.macs for r in rows),
        }

    rows = [line("conv1", stem[:pool], _words(stem[:pool]), _spatial(stem[:pool], dims))] if pool else []
    for i, stage in enumerate(stages):
        own = [r for b in stage.blocks for r in b.rows]
        before = stem[pool:] if i == 0 else []
        words = _words(before)
        for matrix, same in groupby(stage.blocks, key=_matrix):
            words.append(f"[{matrix}] x {len(list(same))}")
        rows.append(line(f"{stage.name}_x", before + own, words, _spatial(own, dims)))
    if head:
        rows.append(line("head", head, _words(head), "x".join(["1"] * dims)))
    columns = [
        Column("stage", "stage"),
        Column("output", "output size"),
        Column("layers", "layers"),
        Column("params", "parameters", True),
        Column("macs", "MACs", True),
    ]
    total = {"stage": "total", "params": trace.total_params, "macs": trace.total_macs}
    return Table(_caption(trace, "stages, as in Table 1 of the paper"), columns, rows, total, notes=_notes(trace))


VIEWS: dict[str, Callable[[Trace], Table]] = {"layers": layers_view, "convs": convs_view, "stages": stages_view}
