"""Diagrams drawn from traces, as inline SVG in the page's text colour: what runs is what is shown.

`blocks` draws blocks side by side, each layer as wide as its channels, with the shape on every arrow that follows a
convolution, and the shortcut as a line of its own that ends at the addition. `nets` draws whole nets: a box for each
convolution, pooling and linear layer of the main path, in bands of one map size, a mark for each addition, and a line
to it for each shortcut, dashed where it changes the shape. There batch norms and ReLUs are left out, as in the paper.
`function_classes` is a sketch of an argument.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5 (blocks) and 3 (nets).
  [2] W3C, "SVG Accessibility API Mappings": `role="img"` and `aria-label` on an inline SVG.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from torch import nn

from ..tracing.rows import rows_by_size
from ..tracing.run import Row, Trace, trace
from .style import COLORS, GREY, WIDTH, on_page

_SHORTCUT = "var(--book-accent, #2a78b8)"
_ADD = "var(--book-add, #c2571f)"
_INPUT = -1  # in the place of a row's index


@dataclass(frozen=True)
class Drawing:
    """SVGs side by side, on a narrow page below each other, each with a text alternative; a notebook shows it."""

    parts: Sequence[str]
    alts: Sequence[str]
    caption: str | None = None

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            '<figure class="resnet-figure" style="margin:1em 0">'
            '<div style="display:flex;flex-wrap:wrap;justify-content:space-evenly;gap:1.5rem">'
            f"{''.join(self.parts)}</div>{caption}</figure>"
        )

    def __str__(self) -> str:
        return "\n".join(self.alts)

    __repr__ = __str__


def _element(name: str, content: str = "", **attributes: object) -> str:
    """Return an SVG element; `stroke_width=2` becomes `stroke-width="2"`, and None leaves an attribute out."""
    words = [f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items() if value is not None]
    return f"<{name}{''.join(words)}>{content}</{name}>"


def _svg(width: float, height: float, most_width: float, alt: str, elements: Sequence[str]) -> str:
    """Return a whole drawing; `most_width` is its width in CSS pixels where there is room."""
    svg = _element(
        "svg",
        f'<title class="nohighlight">{escape(alt)}</title>{"".join(elements)}',
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height:.0f}",
        role="img",
        aria_label=escape(alt),
        style=f"width:100%;max-width:{most_width:.0f}px;height:auto;overflow:visible;flex:0 1 {most_width:.0f}px;"
        "font-family:inherit",
    )
    return on_page(svg)


def _text(x: float, y: float, text: str, size: int, *, bold: bool = False, anchor: str = "middle") -> str:
    weight = 650 if bold else None
    style = {"text_anchor": anchor, "font_size": size, "font_weight": weight, "fill": "currentColor"}
    return _element("text", escape(text), x=f"{x:g}", y=f"{y:.1f}", **style) if text else ""


def _path(line: str, color: str, width: float, **attributes: object) -> str:
    return _element("path", d=line, fill="none", stroke=color, stroke_width=width, **attributes)


def _label(row: Row, *, brief: bool = False) -> str:
    """Return what a row does, in the words of a block's diagram, or as brief as in the paper's figure 3."""
    stride = "×".join(map(str, row.stride if len(set(row.stride)) > 1 else row.stride[:1])) if row.stride else ""
    stride = f", {'/' if brief else 'stride '}{stride}" if stride not in ("", "1") else ""
    if row.kind == "Conv2d":
        return f"{'×'.join(map(str, row.kernel))}{'' if brief else ' conv'}, {row.output_shape[1]}{stride}"
    if not brief:
        return {"BatchNorm2d": "batch norm", "relu": "ReLU", "zero_pad": "zero padding"}.get(row.kind, row.kind)
    if row.kind == "Linear":
        return f"fc, {row.output_shape[-1]}"
    return "mean pool" if "Adaptive" in row.kind else f"{'max' if 'Max' in row.kind else 'mean'} pool{stride}"


def _shortcut_start(t: Trace, add: Row) -> int:
    """Return the index of the row that an addition's shortcut starts from, or `_INPUT`."""
    source = add.shortcut
    while isinstance(source, int) and t.rows[source].on_shortcut:
        source = t.rows[source].sources[0]
    return source if isinstance(source, int) else _INPUT


_BOX_WIDTH, _WIDEST, _BOX_HEIGHT = 166, 384, 30  # of boxes of equal channels; of the most channels where they differ
_GAP, _SHAPE_GAP = 16, 26  # between boxes; with a shape beside the arrow
_RADIUS, _LETTER, _BESIDE = 13, 7.0, 78  # of the addition; mean width of a letter; room for words beside the shortcut


def blocks(modules: Mapping[str, nn.Module], shape: Sequence[int], caption: str | None = None) -> Drawing:
    """Return diagrams of blocks side by side.

    modules: title -> a module of one input with at most one residual addition.
    shape:   of the input, (B, C, H, W); the batch size is not shown.

    Raises `ValueError` for no module, for one that does nothing or has several additions (a whole net), and what
    `trace` raises.
    """
    if not modules:
        raise ValueError("`modules` must have one block at least, but it is empty")
    traces = {title: _trace_block(title, module, tuple(shape)) for title, module in modules.items()}
    channels = {row.output_shape[1] for _, rows in traces.values() for row in rows} | {shape[1]}
    unit = (_BOX_WIDTH if len(channels) == 1 else _WIDEST) / max(channels)
    drawn = [_draw_block(title, *found, tuple(shape), unit) for title, found in traces.items()]
    return Drawing([svg for svg, _ in drawn], [alt for _, alt in drawn], caption)


def _trace_block(title: str, module: nn.Module, shape: tuple[int, ...]) -> tuple[Trace, list[Row]]:
    """Return a block's trace, and the rows of it that run."""
    t = trace(module, shape)
    rows = [r for r in t.rows if r.kind != "not called"]
    if not rows:
        raise ValueError(f"a diagram shows what a block does, but {title!r} does nothing: give a module with layers")
    adds = sum(r.is_add for r in rows)
    if adds > 1:
        raise ValueError(f"a diagram shows one block, but {title!r} has {adds} additions: give one of its blocks")
    return t, rows


def _fitting(label: str) -> float:
    """Return the width of a box that a label fits into."""
    return len(label) * _LETTER + 14


def _draw_block(title: str, t: Trace, rows: list[Row], shape: tuple[int, ...], unit: float) -> tuple[str, str]:
    """Return SVG and text alternative of one block; a channel is `unit` wide, where the label has room."""
    path, lane = [r for r in rows if not r.on_shortcut], [r for r in rows if r.on_shortcut]
    adds, first, last = [r for r in path if r.is_add], f"x: {_size(shape)}", _size(path[-1].output_shape)
    start = _shortcut_start(t, adds[0]) if adds else None
    widths = [max(_fitting(first), unit * shape[1])]  # of the input, and of each row
    widths += [max(0 if r.is_add else _fitting(_label(r)), unit * r.output_shape[1]) for r in path]
    x, y = max(*widths, _fitting(title)) / 2 + 2, 56.0
    bottoms, centres = {_INPUT: y}, {}  # of each row's box; below its bottom a shortcut can branch off
    out = [_text(x, 16, title, 13, bold=True), _band(x, 26, y, widths[0], widths[0]), _text(x, 45, first, 13)]
    above, shown = _INPUT, ""  # index and shape, where it is told, of the row before
    for row, before, width in zip(path, widths, widths[1:], strict=False):
        half, gap = _RADIUS if row.is_add else _BOX_HEIGHT / 2, _SHAPE_GAP if shown or above == start else _GAP
        centre = centres[row.index] = y + gap + half
        out += [_band(x, y, y + gap, before, width), _band(x, y + gap, centre + half, width, width)]
        out += [_arrow(x, y, y + gap), _text(x + 9, y + 18, shown, 13, anchor="start")]
        out.append(_plus(x, centre) if row.is_add else _box(x, centre, _label(row), width))
        y = bottoms[row.index] = centre + half
        above, shown = row.index, _size(row.output_shape) if row.kind == "Conv2d" else ""
    out += [_arrow(x, y, y + _GAP), _text(x, y + _GAP + 16, last, 13)]
    layers = ", ".join("the addition" if r.is_add else _label(r) for r in path)
    alt, width = f"{title}: input {_size(shape)}; {layers}; output {last}.", 2 * x
    if adds:
        box = max((_fitting(_label(r)) for r in lane), default=0)
        right = x + max(widths) / 2 + 22 + box / 2
        ends = bottoms[start] + 9, centres[adds[0].index]
        out += _draw_shortcut(x, right, *ends, lane, box, adds[0].shortcut_kind)
        where = "the input" if start == _INPUT else f"the output of {_label(t.rows[start])}"
        alt += f" Shortcut from {where} to the addition: {', '.join(map(_label, lane)) or 'unchanged'}."
        width = right + max(box / 2 + 2, _BESIDE)
    else:
        alt += " No shortcut."
    return _svg(width, y + _GAP + 26, 1.2 * width, alt, out), alt


def _draw_shortcut(
    x: float, right: float, begin: float, end: float, lane: list[Row], box: float, kind: str
) -> list[str]:
    """Return the line around the layers, at `right`, with the shortcut's own layers on it."""
    step = _BOX_HEIGHT + 16
    first = (begin + end - max(0, len(lane) - 1) * step) / 2
    centres = [first + i * step for i in range(len(lane))]
    # Boxes have no ground of their own, since a page may be light or dark: the line is drawn around them.
    around = "".join(f"V{centre - _BOX_HEIGHT / 2:.1f}m0 {_BOX_HEIGHT}" for centre in centres)
    out = [
        _path(f"M{x:.1f} {begin:.1f}H{right:.1f}{around}V{end:.1f}H{x + _RADIUS + 2:.1f}", _SHORTCUT, 2.5),
        _element("path", d=f"M{x + _RADIUS:.1f} {end:.1f}l8 -4v8z", fill=_SHORTCUT),
        _element("circle", cx=f"{x:.1f}", cy=f"{begin:.1f}", r=3.5, fill=_SHORTCUT),
        *(_box(right, centre, _label(row), box, _SHORTCUT) for row, centre in zip(lane, centres, strict=True)),
    ]
    text = _size(lane[-1].output_shape) if lane else kind.replace("_", " ")
    below = centres[-1] + _BOX_HEIGHT / 2 + 18 if lane else first + 4
    return [*out, _text(right + 9, below, text, 13, anchor="start")]


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape[1:]))


def _box(x: float, y: float, label: str, width: float, color: str = "currentColor") -> str:
    corner = {"x": f"{x - width / 2:.1f}", "y": f"{y - _BOX_HEIGHT / 2:.1f}"}
    size = {"width": f"{width:.1f}", "height": _BOX_HEIGHT, "rx": 5}
    box = _element("rect", **corner, **size, fill="none", stroke=color, stroke_width=1.5)
    return box + _text(x, y + 4.5, label, 13)


def _band(x: float, top: float, bottom: float, above: float, below: float) -> str:
    """Return a tint between two boxes, from the width of the one to that of the other."""
    d = f"M{x - above / 2:.1f} {top:.1f}h{above:.1f}L{x + below / 2:.1f} {bottom:.1f}h{-below:.1f}z"
    return _element("path", d=d, fill="currentColor", fill_opacity=0.08)


def _plus(x: float, y: float) -> str:
    circle = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": _RADIUS, "fill": "none", "stroke": _ADD, "stroke_width": 2.5}
    return _element("circle", **circle) + _path(f"M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12", _ADD, 2.5)


def _arrow(x: float, top: float, bottom: float) -> str:
    line = _path(f"M{x:.1f} {top:.1f}V{bottom - 5:.1f}", "currentColor", 1.5)
    return line + _element("path", d=f"M{x:.1f} {bottom:.1f}l-4 -8h8z", fill="currentColor")


_MARGIN, _COLUMN, _BOX, _HEIGHT = 47, 98, 68, 11  # in units of the drawing; its letters have 9
_NEAR, _FAR, _BAND = 4, 14, 18  # space below a box, where a shortcut begins or ends, and between bands
_MARK = 4.2  # radius of an addition
_TOP, _SCALE = 22, 1.75  # head line; CSS pixels a unit, where there is room
# Of the map sizes. Not the orange, blue and red of the book, which mean plain, residual and wrong.
_PALETTE = ("#B5891D", "#8A6FD1", "#0E8A63", "#A3568B", "#1F97A8", "#7F8C1F", GREY)
_Layers = dict[str, list[Row]]  # map size, such as "56×56" -> rows


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
    sizes = sorted({size for layers in columns.values() for size in layers}, key=_area, reverse=True)
    width = _MARGIN + _COLUMN * len(columns)
    out, y, places = [], float(_TOP), {}
    wide = {  # the layers below which a shortcut begins or ends
        _last(layers, i)
        for title, layers in columns.items()
        for add in traces[title].additions
        for i in (add.index, _shortcut_start(traces[title], add))
    }
    for size in sizes:
        count = max(len(layers.get(size, ())) for layers in columns.values())
        if places:
            out.append(_path(f"M0 {y - 3:.1f}H{width}", "currentColor", 0.5, opacity=0.35))
        out.append(_text(_MARGIN - 8, y + 8.5, size, 9, anchor="end"))
        for i in range(count):
            places[size, i] = y
            y += _HEIGHT + (_BAND if i == count - 1 else _FAR if (size, i) in wide else _NEAR)
    for place, (title, layers) in enumerate(columns.items()):
        out += _draw_column(_MARGIN + place * _COLUMN, title, traces[title], layers, places)
    alts = [_net_alt(title, traces[title], layers) for title, layers in columns.items()]
    return Drawing([_svg(width, y, width * _SCALE, " ".join(alts), out)], alts, caption)


def _area(size: str) -> int:
    height, width = map(int, size.split("×"))
    return height * width


def _layers(title: str, t: Trace) -> _Layers:
    """Return map size -> the rows that are drawn, in the order of the run."""

    def is_drawn(row: Row) -> bool:
        pools = "Pool" in row.kind and row.output_shape != row.input_shape  # VGG's pooling of 7x7 to 7x7 does not
        return not row.on_shortcut and (row.kind in ("Conv2d", "Linear") or pools)

    found = {size: [r for r in rows if is_drawn(r)] for size, rows in rows_by_size(t).items()}
    found = {size: rows for size, rows in found.items() if rows}
    areas = [area for _, area in sorted((r.index, _area(size)) for size, rows in found.items() for r in rows)]
    if areas != sorted(areas, reverse=True):
        raise ValueError(f"the maps of {title!r} grow again; this drawing is for nets whose maps only shrink")
    return found


def _last(layers: _Layers, index: int) -> tuple[str, int] | None:
    """Return size and place in its band of the last layer that is drawn when row `index` is reached, if any is."""
    done = [(size, i) for size, rows in layers.items() for i, row in enumerate(rows) if row.index <= index]
    return done[-1] if done else None


def _draw_column(x: float, title: str, t: Trace, layers: _Layers, places: Mapping[tuple[str, int], float]) -> list[str]:
    """Return one net, with boxes that begin at `places`: (map size, place in its band) -> height."""
    centre, right = x + _BOX / 2, x + _BOX
    out, bands = [_text(centre, 11, title, 10, bold=True)], list(dict.fromkeys(size for size, _ in places))
    marks = {_last(layers, add.index) for add in t.additions}

    def joint(index: int) -> float:
        """Return the height at which a shortcut that row `index` begins or ends meets the line."""
        last = _last(layers, index)
        return places[last] + _HEIGHT + _FAR / 2 if last else _TOP - 3.0

    boxes = [(size, i, row) for size, rows in layers.items() for i, row in enumerate(rows)]
    tops = [places[size, i] for size, i, _ in boxes]
    for (size, i, _), y, after in zip(boxes, tops, [*tops[1:], None], strict=True):
        mark = y + _HEIGHT + _FAR / 2
        way = [y + _HEIGHT, mark - _MARK, mark + _MARK, after] if (size, i) in marks else [y + _HEIGHT, after]
        ends = [(a, b) for a, b in zip(way[::2], way[1::2], strict=True) if b is not None]
        out += [_path(f"M{centre} {a:.1f}V{b:.1f}", "currentColor", 1) for a, b in ends]
    for size, i, row in boxes:
        y, color = places[size, i], _PALETTE[bands.index(size) % len(_PALETTE)]
        look = {"rx": 2, "fill": color, "fill_opacity": 0.2, "stroke": color, "stroke_width": 1}
        out.append(_element("rect", x=x, y=f"{y:.1f}", width=_BOX, height=_HEIGHT, **look))
        out.append(_text(centre, y + 8.5, _label(row, brief=True), 9))
    for add in t.additions:
        start = _shortcut_start(t, add)
        begins_at_mark = _last(layers, start) in marks
        top, bottom, bend = joint(start) + 1.6 * begins_at_mark, joint(add.index) - 1.6, right + 28
        left, end = centre + begins_at_mark * _MARK, centre + _MARK + 4
        line = f"M{left} {top:.1f}H{right}C{bend} {top:.1f} {bend} {bottom:.1f} {right} {bottom:.1f}H{end}"
        out.append(_path(line, _SHORTCUT, 1.3, stroke_dasharray="2.5 2" if _changes_shape(t, add) else None))
        out.append(_element("path", d=f"M{end - 4} {bottom:.1f}l4.5 -2.2v4.4z", fill=_SHORTCUT))
        y = joint(add.index)
        circle = {"cx": centre, "cy": f"{y:.1f}", "r": _MARK, "fill": "none", "stroke": _ADD, "stroke_width": 1.2}
        out.append(_element("circle", **circle))
        out.append(_path(f"M{centre - 2.2} {y:.1f}h4.4M{centre} {y - 2.2:.1f}v4.4", _ADD, 1.2))
    return out


def _changes_shape(t: Trace, add: Row) -> bool:
    start = _shortcut_start(t, add)
    return (t.inputs[0] if start == _INPUT else t.rows[start].output_shape) != add.output_shape


def _net_alt(title: str, t: Trace, layers: _Layers) -> str:
    """Return one net in words: the layers at each map size, equal ones counted, and the shortcuts."""
    parts = []
    for size, rows in layers.items():
        runs = [(label, len(list(run))) for label, run in groupby(_label(row, brief=True) for row in rows)]
        parts.append(f"{size}: " + ", ".join(label if n == 1 else f"{n} times {label}" for label, n in runs))
    count = len(t.additions)
    dashed = sum(_changes_shape(t, add) for add in t.additions)
    end = f"{count} shortcut{'s' * (count > 1)}, {dashed} of them dashed" if count else "no shortcut"
    return f"{title}: {'; '.join(parts)}; {end}."


_GOAL = (352, 62)
_CLASSES = {
    56: ((166, 124), (156, 104), (311.2, 86)),
    20: ((112, 138), (84, 56), (193.3, 123.9)),
}  # centre, radii, best


def function_classes(caption: str | None = None) -> Drawing:
    """Return a sketch: what 20 layers can compute, within what 56 can, the best of each, and the way of a training."""
    color = COLORS["plain"]
    out, (x, y) = [], _GOAL
    for r in (30, 66, 113, 175):  # arcs of equal distance, within the drawing
        up, down = min(r, y), min(r, 170)
        begin, end = (x - (r * r - part * part) ** 0.5 for part in (up, down))
        line = f"M{begin:.1f} {y - up}A{r} {r} 0 0 0 {end:.1f} {y + down}"
        out.append(_path(line, "currentColor", 1, opacity=0.4, stroke_dasharray="1 4"))
    for depth, (centre, radii, best) in _CLASSES.items():
        place = {"cx": centre[0], "cy": centre[1], "rx": radii[0], "ry": radii[1]}
        out.append(_element("ellipse", **place, fill=color, fill_opacity=0.1, stroke=color, stroke_width=depth / 20))
        out.append(_element("circle", cx=best[0], cy=best[1], r=5, fill=color))
    way = "M62 66C84 30 108 84 132 60S168 34 186 62S214 84 226 60"
    out += [
        _path(way, "currentColor", 1.6, stroke_dasharray="5 4"),
        _element("circle", cx=62, cy=66, r=3.5, fill="currentColor"),
        _path(f"M{x - 6} {y}h12M{x} {y - 6}v12", "currentColor", 2.5),
        _text(238, 60, "?", 17, bold=True),
        _text(62, 84, "start", 11),
        _text(x, 46, "no mistakes", 11),
        _text(105, 143, "20 layers", 12.5, bold=True),
        _text(186, 120, "best", 11, anchor="end"),
        _text(198, 206, "56 layers", 12.5, bold=True),
        _text(303, 90, "best", 11, anchor="end"),
    ]
    alt = (
        "A sketch: a region, all that 20 layers can compute, lies within a larger one, all that 56 layers can compute. "
        "So the best of 56 layers is at least as near to the goal, no mistakes, as the best of 20. A dashed line, the "
        "way of training, begins in the larger region and ends in a question mark."
    )
    return Drawing([_svg(396, 236, WIDTH * 96, alt, out)], [alt], caption)
