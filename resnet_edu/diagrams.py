"""Diagrams of blocks, drawn from their traces: what runs is what is shown.

Scope: one block, or a few side by side, with the shape on every arrow that follows a convolution, and the shortcut as a
line of its own that ends at the addition. The drawing is an inline SVG in the page's text colour.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5: the way to draw a block.
  [2] W3C, "SVG Accessibility API Mappings": `role="img"` and `aria-label` on an inline SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from torch import nn

from .trace import Row, trace

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
