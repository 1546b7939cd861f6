"""What tells one ResNet from another, read off a trace: `anatomy`.

Names do not count, nor the order of definition: only what ran, in which order, and what was added to what. A layer is
written by its kernel, "3×3", a batch norm "bn", an addition "+".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

from .rows import Row, shape_text
from .run import Trace

_ACTIVATIONS = ("relu", "gelu", "silu", "elu", "hardswish", "sigmoid", "tanh", "mish", "softplus")
_SHORTCUTS = {"identity": "identity", "zero_pad": "zero padding"}
_WORDS = {"add": "+", "adaptiveavgpool2d": "mean", "adaptive_avg_pool2d": "mean"}
_SILENT = ("identity", "dropout", "dropout2d", "contiguous", "clone", "to", "flatten", "view", "reshape", "squeeze")


@dataclass
class _Block:
    """The rows of one residual block, in order."""

    start: Row | None  # that made its input; None for the net's own
    branch: list[Row]
    shortcut: list[Row]
    addition: Row
    given: tuple[int, ...]  # the shape of its input

    @property
    def changes_shape(self) -> bool:
        return self.given != self.addition.output_shape

    @property
    def last(self) -> int:
        return self.addition.index


def anatomy(trace: Trace) -> dict[str, object]:
    """Return the traits of a traced residual net, each under its name.

    depth:      layers with weights, projections left out, as the paper counts.
    layers:     blocks in each stage, a stage being a run of blocks whose outputs have one shape.
    widths:     channels that each stage passes on; `sizes`: height of its maps; `strides`: of its first block.
    stem:       what comes before the first block; `head`: how the last maps become a vector.
    block:      the layers of most blocks in their order, such as "3×3 bn relu 3×3 bn + relu"; behind it, for a
                bottleneck, how many times its narrowest channels it ends in: ", ×4".
    shortcut:   what is on it where the shape changes, such as "1×1 bn" or "zero padding".
    projections: how many blocks that keep the shape have something on the shortcut all the same.
    biases:     which convolutions have one.
    costs:      multiply-adds of the stem, of each stage and of the head, for the whole batch.
    parameters, macs: of the whole net.

    Raises `ValueError` for a net without a residual addition.
    """
    rows, blocks = trace.rows, _blocks(trace)
    if not blocks:
        raise ValueError(f"{trace.model} adds no two maps (B, C, H, W): it is no residual net")
    stages = [list(group) for _, group in groupby(blocks, key=lambda block: block.addition.output_shape[1:3])]
    first = blocks[0].start.index if blocks[0].start else -1
    ends = [first, *(stage[-1].last for stage in stages), len(rows) - 1]
    convs = [row for row in rows if _is_conv(row)]
    plain = [block for block in blocks if not block.changes_shape] or blocks
    changing = [block for block in blocks if block.changes_shape]
    strided = [block.branch for block in changing if _stride(block) > 1]
    head = [row for row in rows[blocks[-1].last + 1 :] if row.kind != "not called"]
    depth = sum(_is_conv(row) and not row.on_shortcut for row in rows) + sum("inear" in row.kind for row in rows)
    return {
        "depth": depth,
        "layers": tuple(map(len, stages)),
        "widths": tuple(stage[0].addition.output_shape[1] for stage in stages),
        "sizes": tuple(stage[0].addition.output_shape[2] for stage in stages),
        "strides": tuple(_stride(stage[0]) for stage in stages),
        "stem": _text([row for row in rows[: first + 1] if not row.on_shortcut], whole=True),
        "block": _most(_branch_text(block, rows) for block in plain),
        "stride on": _most(_text([row for row in branch if max(row.stride or (1,)) > 1]) for branch in strided),
        "shortcut": _most(_SHORTCUTS.get(b.addition.shortcut_kind) or _text(b.shortcut) for b in changing),
        "projections": sum(block.addition.shortcut_kind != "identity" for block in plain if not block.changes_shape),
        "biases": _biases(convs, first),
        "head": _head_text(head),
        "costs": tuple(sum(r.macs for r in rows[a + 1 : b + 1]) for a, b in zip([-1, *ends], ends, strict=False)),
        "parameters": trace.total_params,
        "macs": trace.total_macs,
    }


def _blocks(trace: Trace) -> list[_Block]:
    """Return the residual blocks of a trace whose additions join maps, (B, C, H, W)."""
    rows, found = trace.rows, []
    for add in trace.additions:
        if len(add.output_shape) != 4:
            continue
        at, side = add.shortcut, []
        while isinstance(at, int) and rows[at].on_shortcut:
            side.append(rows[at])
            at = rows[at].sources[0]
        start = rows[at] if isinstance(at, int) else None
        given = start.output_shape if start else trace.inputs[0]
        seen, waiting = set(), [add.main]
        while waiting:
            index = waiting.pop()
            if isinstance(index, int) and index != at and index not in seen:
                seen.add(index)
                waiting += rows[index].sources
        low = start.index if start else -1
        found.append(_Block(start, [rows[i] for i in sorted(seen) if i > low], side[::-1], add, given))
    return found


def _is_conv(row: Row) -> bool:
    return row.kernel is not None and row.groups is not None


def _stride(block: _Block) -> int:
    return round(block.given[2] / block.addition.output_shape[2])


def _most(texts: object) -> str:
    return Counter(texts).most_common(1)[0][0] if (texts := list(texts)) else "none"


def _word(row: Row, whole: bool = False) -> str:
    """Return a row in one word, "" for what computes nothing; `whole` with stride and unusual padding."""
    kind = row.kind.lower().strip("_")
    if row.kernel is not None:
        text = shape_text(row.kernel, "×") + (f" in {row.groups} groups" if (row.groups or 1) > 1 else "")
        text = text if row.groups is not None else f"{kind.partition('pool')[0].strip('_')} pool {text}"
        if whole and max(row.stride) > 1:
            text += f"/{row.stride[0]}"
        if whole and row.groups is not None and row.padding != tuple(k // 2 for k in row.kernel):
            text += f" padding {row.padding[0]}"
        return text
    if "norm" in kind:
        return "bn" if "batch" in kind else kind
    if kind.rstrip("6") in _ACTIVATIONS:
        return kind
    return "" if kind in _SILENT else _WORDS.get(kind, kind)


def _text(rows: list[Row], whole: bool = False) -> str:
    return " ".join(filter(None, (_word(row, whole) for row in rows))) or "nothing"


def _branch_text(block: _Block, rows: list[Row]) -> str:
    """Return a block's branch, its addition, and the activation behind that, in their order."""
    text = f"{_text(block.branch)} +"
    widths = [row.output_shape[1] for row in block.branch if _is_conv(row)]
    ratio = widths[-1] / min(widths) if widths else 1
    users = [row for row in rows if block.last in row.sources]
    after = next((word for row in users if (word := _word(row)).rstrip("6") in _ACTIVATIONS), "")
    return f"{text} {after}".strip() + (f", ×{ratio:g}" if ratio > 1 else "")


def _biases(convs: list[Row], first: int) -> str:
    """Return on which of the convolutions there are biases."""
    groups = {"stem": [], "branches": [], "projections": []}
    for row in convs:
        groups["projections" if row.on_shortcut else "stem" if row.index <= first else "branches"].append(row)
    has = {name: sum(bool(row.bias) for row in rows) for name, rows in groups.items() if rows}
    if not any(has.values()) or all(has[name] == len(groups[name]) for name in has):
        return "all" if any(has.values()) else "none"
    return ", ".join(name if n == len(groups[name]) else f"{n} in {name}" for name, n in has.items() if n)


def _head_text(rows: list[Row]) -> str:
    """Return how the maps become a vector, and how many linear layers follow."""
    pools = [row for row in rows if "pool" in row.kind.lower() or row.kind == "mean"]
    text = "no pooling"
    if pools:
        last = pools[-1]
        whole = max(last.output_shape[2:], default=1) == 1  # a fixed window over the whole map is a mean, too
        text = _word(last) if not whole else "max" if "max" in last.kind.lower() else "mean"
    linear = sum("inear" in row.kind for row in rows)
    norm = "bn relu " if any("norm" in row.kind.lower() for row in rows) else ""
    return norm + text + ("" if linear == 1 else f", {linear} linear layers")
