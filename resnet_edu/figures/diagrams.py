"""Diagrams of blocks, drawn from their traces: what runs is what is shown.

Scope: one block, or a few side by side, with the shape on every arrow that follows a convolution, and the shortcut as a
line of its own that ends at the addition. The drawing is an inline SVG in the page's text colour.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5: the way to draw a block.
  [2] W3C, "SVG Accessibility API Mappings": `role="img"` and `aria-label` on an inline SVG.

--- Whole nets side by side, layer by layer, drawn from their traces: the paper's figure 3.

Scope: one box for each convolution, pooling and linear layer of the main path, in bands of one map size, and a line for
each shortcut, dashed where it changes the shape. Batch norms and ReLUs are left out, as in the paper.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 3.
  [2] W3C, "SVG Accessibility API Mappings": `role="img"` and `aria-label` on an inline SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from torch import nn

from ..tracing.rows import rows_by_size
from ..tracing.run import Row, Trace, trace
from .style import COLORS, OTHER_COLORS

_MAIN, _LANE = 88, 262  # x of the main path and of the shortcut; two such drawings fit a page side by side
_BOX_WIDTH, _BOX_HEIGHT, _GAP = 166, 30, 26
_SHORTCUT = "var(--book-accent, #2a78b8)"
_ADD = "var(--book-add, #c2571f)"
_NAMES = {"BatchNorm2d": "batch norm", "zero_pad": "zero padding"}


@dataclass(frozen=True)
class Drawing:
    """Diagrams side by side, as SVG texts, with one text alternative each; shows itself in a notebook.

    On a narrow page they stand below each other.
    """

    parts: Sequence[str]
    alts: Sequence[str]
    caption: str | None = None

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            '<figure class="resnet-figure" style="margin:1em 0">'
            '<div style="display:flex;flex-wrap:wrap;align-items:flex-start;gap:1.5rem 2rem">'
            f"{''.join(self.parts)}</div>{caption}</figure>"
        )

    def __str__(self) -> str:
        return "\n".join(self.alts)

    __repr__ = __str__


def blocks(modules: Mapping[str, nn.Module], shape: Sequence[int], caption: str | None = None) -> Drawing:
    """Return diagrams of blocks side by side.

    modules: title -> a module of one input with at most one residual addition.
    shape:   of the input, (B, C, H, W); the batch size is not shown.

    Raises `ValueError` for no module, for one that does nothing or has several additions (a whole net), and what
    `trace` raises.
    """
    if not modules:
        raise ValueError("`modules` must have one block at least, but it is empty")
    drawn = [_draw(title, module, tuple(shape)) for title, module in modules.items()]
    return Drawing([svg for svg, _ in drawn], [alt for _, alt in drawn], caption)


def _draw(title: str, module: nn.Module, shape: tuple[int, ...]) -> tuple[str, str]:
    """Return SVG and text alternative of one block."""
    rows = [r for r in trace(module, shape).rows if r.kind != "not called"]
    if not rows:
        raise ValueError(f"a diagram shows what a block does, but {title!r} does nothing: give a module with layers")
    adds = [r for r in rows if r.is_add]
    if len(adds) > 1:
        raise ValueError(f"a diagram shows one block, but {title!r} has {len(adds)} additions: give one of its blocks")
    lane = [r for r in rows if r.on_shortcut]
    path = [r for r in rows if not r.on_shortcut]
    y, centre, shapes = 46.0, {}, {"input": shape}
    out = [_text(_MAIN, 16, title, bold=True), _text(_MAIN, 38, f"x: {_size(shape)}", small=True)]
    places = {"input": y}  # where the line below each row begins: there a shortcut can branch off
    for row in path:
        top = y + _GAP
        half = 13 if row.is_add else _BOX_HEIGHT / 2
        out.append(_arrow(_MAIN, y, top))
        centre[row.index] = top + half
        out.append(_plus(_MAIN, top + half) if row.is_add else _box(_MAIN, top + half, _label(row)))
        y = top + 2 * half
        places[row.index], shapes[row.index] = y, row.output_shape
        if row.kind == "Conv2d" and row is not path[-1]:
            out.append(_text(_MAIN + 9, y + 18, _size(row.output_shape), small=True, anchor="start"))
    out.append(_arrow(_MAIN, y, y + _GAP))
    out.append(_text(_MAIN, y + _GAP + 16, _size(path[-1].output_shape), small=True))
    height, width = y + _GAP + 26, _LANE + 86 if adds else 2 * _MAIN
    if adds:
        begin = lane[0].sources[0] if lane else adds[0].shortcut
        out += _shortcut(places[begin] + 9, centre[adds[0].index], lane, adds[0].shortcut_kind)
    alt = _alt(title, shape, path, lane, adds)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" role="img" '
        f'aria-label="{escape(alt)}" style="width:100%;max-width:{width}px;height:auto;overflow:visible;'
        f'flex:0 1 {width}px;font-family:inherit"><title class="nohighlight">{escape(alt)}</title>{"".join(out)}</svg>'
    )
    return svg, alt


def _shortcut(begin: float, end: float, lane: list[Row], kind: str) -> list[str]:
    """Return the line around the layers, with the shortcut's own layers on it."""
    step = _BOX_HEIGHT + 16
    first = (begin + end - max(0, len(lane) - 1) * step) / 2
    centres = [first + i * step for i in range(len(lane))]
    # Boxes have no ground of their own, since a page may be light or dark: the line is drawn around them.
    line = f"M{_MAIN} {begin:.1f}H{_LANE}"
    for centre in centres:
        line += f"V{centre - _BOX_HEIGHT / 2:.1f}m0 {_BOX_HEIGHT}"
    line += f"V{end:.1f}H{_MAIN + 15}"
    out = [
        f'<path d="{line}" fill="none" stroke="{_SHORTCUT}" stroke-width="2.5"/>',
        _head(_MAIN + 13, end, "left", _SHORTCUT),
        f'<circle cx="{_MAIN}" cy="{begin:.1f}" r="3.5" fill="{_SHORTCUT}"/>',
    ]
    if not lane:
        return [*out, _text(_LANE + 9, first + 4, kind.replace("_", " "), small=True, anchor="start")]
    out += [_box(_LANE, centre, _label(row), color=_SHORTCUT) for row, centre in zip(lane, centres, strict=True)]
    below = centres[-1] + _BOX_HEIGHT / 2 + 18
    return [*out, _text(_LANE + 9, below, _size(lane[-1].output_shape), small=True, anchor="start")]


def _label(row: Row) -> str:
    if row.kind == "Conv2d":
        stride = f", stride {row.stride[0]}" if max(row.stride) > 1 else ""
        return f"{'×'.join(map(str, row.kernel))} conv, {row.output_shape[1]}{stride}"
    return _NAMES.get(row.kind, row.kind)


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape[1:]))


def _box(x: float, y: float, label: str, color: str = "currentColor") -> str:
    half = _BOX_WIDTH / 2
    return (
        f'<rect x="{x - half:.1f}" y="{y - _BOX_HEIGHT / 2:.1f}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="5" '
        f'fill="none" stroke="{color}" stroke-width="1.5"/>' + _text(x, y + 4.5, label)
    )


def _plus(x: float, y: float) -> str:
    return (
        f'<circle cx="{x}" cy="{y:.1f}" r="13" fill="none" stroke="{_ADD}" stroke-width="2.5"/>'
        f'<path d="M{x - 6} {y:.1f}h12M{x} {y - 6:.1f}v12" stroke="{_ADD}" stroke-width="2.5"/>'
    )


def _arrow(x: float, top: float, bottom: float) -> str:
    line = f'<path d="M{x} {top:.1f}V{bottom - 5:.1f}" stroke="currentColor" stroke-width="1.5"/>'
    return line + _head(x, bottom, "down", "currentColor")


def _head(x: float, y: float, to: str, color: str) -> str:
    corners = "l-4 -8h8z" if to == "down" else "l8 -4v8z"
    return f'<path d="M{x} {y:.1f}{corners}" fill="{color}"/>'


def _text(x: float, y: float, text: str, *, small: bool = False, bold: bool = False, anchor: str = "middle") -> str:
    weight = ' font-weight="650"' if bold else ""
    return (
        f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" font-size="{12 if small else 13}"{weight} '
        f'fill="currentColor">{escape(text)}</text>'
    )


def _alt(title: str, shape: tuple[int, ...], path: list[Row], lane: list[Row], adds: list[Row]) -> str:
    """Return the diagram in words."""
    layers = ", ".join("the addition" if r.is_add else _label(r) for r in path)
    text = f"{title}: input {_size(shape)}; {layers}; output {_size(path[-1].output_shape)}."
    if not adds:
        return f"{text} No shortcut."
    begin = lane[0].sources[0] if lane else adds[0].shortcut
    where = "the input" if begin == "input" else f"the output of {_label(next(r for r in path if r.index == begin))}"
    how = ", ".join(map(_label, lane)) or "unchanged"
    return f"{text} Shortcut from {where} to the addition: {how}."


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
        out.append(_net_text(_MARGIN - 8, y + 8.5, size, anchor="end"))
        if band:
            line = f"M0 {y - _BAND / 2 - 1:.1f}H{_MARGIN + _COLUMN * len(columns)}"
            out.append(f'<path d="{line}" stroke="currentColor" stroke-width=".5" opacity=".35"/>')
        y += most * _STEP + _BAND
    for place, (title, layers) in enumerate(columns.items()):
        out += _column(_MARGIN + place * _COLUMN, title, traces[title], layers, tops, order)
    alts = [_net_alt(title, traces[title], layers) for title, layers in columns.items()]
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


def _net_label(row: Row) -> str:
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
    out = [_net_text(centre, 11, title, bold=True)]
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
                f'stroke="{color}" stroke-width="1"/>' + _net_text(centre, y + 8.5, _net_label(row))
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


def _net_text(x: float, y: float, text: str, *, bold: bool = False, anchor: str = "middle") -> str:
    weight = ' font-weight="650"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{10 if bold else 9}"{weight} '
        f'fill="currentColor">{escape(text)}</text>'
    )


def _net_alt(title: str, t: Trace, layers: dict[str, list[Row]]) -> str:
    """Return one net in words: the layers at each map size, equal ones counted, and the shortcuts."""
    parts = []
    for size, rows in layers.items():
        counts: list[tuple[str, int]] = []
        for label in map(_net_label, rows):
            count = counts.pop()[1] if counts and counts[-1][0] == label else 0
            counts.append((label, count + 1))
        parts.append(f"{size}: " + ", ".join(label if n == 1 else f"{n} times {label}" for label, n in counts))
    count = len(t.additions)
    dashed = sum(_changes(t, add) for add in t.additions)
    end = f"{count} shortcut{'s' * (count > 1)}, {dashed} of them dashed" if count else "no shortcut"
    return f"{title}: {'; '.join(parts)}; {end}."
