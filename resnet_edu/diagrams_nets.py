"""Whole nets side by side, layer by layer, drawn from their traces: the paper's figure 3.

Scope: one box for each convolution, pooling and linear layer of the main path, in bands of one map size, and a line for
each shortcut, dashed where it changes the shape. Batch norms and ReLUs are left out, as in the paper.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 3.
  [2] W3C, "SVG Accessibility API Mappings": `role="img"` and `aria-label` on an inline SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from torch import nn

from .diagrams import Drawing
from .figure import COLORS, OTHER_COLORS
from .trace import Row, Trace, trace
from .trace_sizes import rows_by_size

_MARGIN, _COLUMN, _BOX, _HEIGHT, _STEP = 54, 104, 68, 11, 15  # in units of the drawing; its letters have 9
_TOP, _BAND, _SCALE = 22, 9, 1.45  # head line; space between bands; CSS pixels a unit, where there is room
_PALETTE = (*COLORS.values(), *OTHER_COLORS)


def nets(models: Mapping[str, nn.Module], shape: Sequence[int], caption: str | None = None) -> Drawing:
    """Return a drawing of nets side by side, their layers in bands of one map size, one colour for each size.

    models: title -> a net that takes maps and whose maps never grow; three are readable on a phone.
    shape:  of the input, (B, C, H, W).

    Raises `ValueError` for no net, for maps that grow again (a decoder), and what `trace` and `rows_by_size` raise.
    """
    if not models:
        raise ValueError("`models` must have one net at least, but it is empty")
    traces = {title: trace(model, tuple(shape)) for title, model in models.items()}
    columns = {title: _layers(title, t) for title, t in traces.items()}
    sizes = {size for layers in columns.values() for size in layers}
    order = sorted(sizes, key=_area, reverse=True)
    out, y, tops = [], float(_TOP), {}
    for band, size in enumerate(order):
        tops[size] = y
        most = max(len(layers.get(size, ())) for layers in columns.values())
        out.append(_text(_MARGIN - 8, y + 8.5, size, anchor="end"))
        if band:
            line = f"M0 {y - _BAND / 2 - 1:.1f}H{_MARGIN + _COLUMN * len(columns)}"
            out.append(f'<path d="{line}" stroke="currentColor" stroke-width=".5" opacity=".35"/>')
        y += most * _STEP + _BAND
    for place, (title, layers) in enumerate(columns.items()):
        out += _column(_MARGIN + place * _COLUMN, title, traces[title], layers, tops, order)
    alts = [_alt(title, traces[title], layers) for title, layers in columns.items()]
    width, words = _MARGIN + _COLUMN * len(columns), escape(" ".join(alts))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y:.0f}" role="img" aria-label="{words}" '
        f'style="width:100%;max-width:{width * _SCALE:.0f}px;height:auto;font-family:inherit">'
        f'<title class="nohighlight">{words}</title>{"".join(out)}</svg>'
    )
    return Drawing([svg], alts, caption)


def _area(size: str) -> int:
    height, width = map(int, size.split("×"))
    return height * width


def _layers(title: str, t: Trace) -> dict[str, list[Row]]:
    """Return map size -> the rows that are drawn, in the order of the run."""
    found = {size: [r for r in rows if _is_drawn(r)] for size, rows in rows_by_size(t).items()}
    found = {size: rows for size, rows in found.items() if rows}
    drawn = [(r.index, _area(size)) for size, rows in found.items() for r in rows]
    areas = [area for _, area in sorted(drawn)]
    if areas != sorted(areas, reverse=True):
        raise ValueError(f"the maps of {title!r} grow again; this drawing is for nets whose maps only shrink")
    return found


def _is_drawn(row: Row) -> bool:
    pools = "Pool" in row.kind and row.output_shape != row.input_shape  # VGG's adaptive pooling of 7x7 to 7x7 does not
    return not row.on_shortcut and (row.kind in ("Conv2d", "Linear") or pools)


def _label(row: Row) -> str:
    if row.kind == "Linear":
        return f"fc, {row.output_shape[-1]}"
    if "Adaptive" in row.kind:
        return "mean pool"
    stride = f", /{row.stride[0]}" if max(row.stride) > 1 else ""
    if row.kind == "Conv2d":
        return f"{'×'.join(map(str, row.kernel))}, {row.output_shape[1]}{stride}"
    return f"{'max' if 'Max' in row.kind else 'mean'} pool{stride}"


def _column(
    x: float, title: str, t: Trace, layers: dict[str, list[Row]], tops: dict[str, float], order: list[str]
) -> list[str]:
    """Return one net: the line through its layers, their boxes, and its shortcuts."""
    centre = x + _BOX / 2
    places = {row.index: tops[size] + i * _STEP for size, rows in layers.items() for i, row in enumerate(rows)}
    out = [_text(centre, 11, title, bold=True)]
    ends = sorted(places.values())
    for above, below in pairwise(ends):
        line = f"M{centre} {above + _HEIGHT:.1f}V{below:.1f}"
        out.append(f'<path d="{line}" stroke="currentColor" stroke-width="1"/>')
    for size, rows in layers.items():
        color = _PALETTE[order.index(size) % len(_PALETTE)]
        for row in rows:
            y = places[row.index]
            out.append(
                f'<rect x="{x}" y="{y:.1f}" width="{_BOX}" height="{_HEIGHT}" rx="2" fill="{color}" fill-opacity=".14" '
                f'stroke="{color}" stroke-width="1"/>' + _text(centre, y + 8.5, _label(row))
            )
    for add in t.additions:
        begin = _begin(t, add)
        top, bottom = (_last(places, index) + _HEIGHT + (_STEP - _HEIGHT) / 2 for index in (begin, add.index))
        dash = ' stroke-dasharray="2.5 2"' if _changes(t, add) else ""
        right, bend = x + _BOX, x + _BOX + 24
        line = f"M{centre} {top:.1f}H{right}C{bend} {top:.1f} {bend} {bottom:.1f} {right} {bottom:.1f}H{centre}"
        out.append(f'<path d="{line}" fill="none" stroke="var(--book-accent, #2a78b8)" stroke-width="1.3"{dash}/>')
    return out


def _begin(t: Trace, add: Row) -> int:
    """Return the index of the row that an addition's shortcut starts from; -1 for the net's input."""
    source = add.shortcut
    while isinstance(source, int) and t.rows[source].on_shortcut:
        source = t.rows[source].sources[0]
    return source if isinstance(source, int) else -1


def _changes(t: Trace, add: Row) -> bool:
    begin = _begin(t, add)
    return (t.rows[begin].output_shape if begin >= 0 else t.inputs[0]) != add.output_shape


def _last(places: Mapping[int, float], index: int) -> float:
    """Return the place of the last layer that has been drawn when row `index` is reached."""
    return max((y for i, y in places.items() if i <= index), default=float(_TOP - _STEP))


def _text(x: float, y: float, text: str, *, bold: bool = False, anchor: str = "middle") -> str:
    weight = ' font-weight="650"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{10 if bold else 9}"{weight} '
        f'fill="currentColor">{escape(text)}</text>'
    )


def _alt(title: str, t: Trace, layers: dict[str, list[Row]]) -> str:
    """Return one net in words: the layers at each map size, equal ones counted, and the shortcuts."""
    parts = []
    for size, rows in layers.items():
        counts: list[tuple[str, int]] = []
        for label in map(_label, rows):
            count = counts.pop()[1] if counts and counts[-1][0] == label else 0
            counts.append((label, count + 1))
        parts.append(f"{size}: " + ", ".join(label if n == 1 else f"{n} times {label}" for label, n in counts))
    count = len(t.additions)
    dashed = sum(_changes(t, add) for add in t.additions)
    end = f"{count} shortcut{'s' * (count > 1)}, {dashed} of them dashed" if count else "no shortcut"
    return f"{title}: {'; '.join(parts)}; {end}."
