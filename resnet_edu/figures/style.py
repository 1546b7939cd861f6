"""Figures for pages and files: one drawing that is readable on white, on dark and on paper, and to a screen reader.

Scope: what all figures of the book share: colours, style, labels at the ends of lines, and `Picture`, which shows
itself in a notebook as inline SVG. What is drawn is elsewhere (`plots.py`).

Lines and letters are drawn in one sentinel colour, which becomes `currentColor` in the page's SVG: they take the page's
text colour, in light and dark alike.

Sources
  [1] Okabe and Ito, "Color Universal Design", 2008: a palette for all kinds of colour vision.
  [2] WCAG 2.2, success criteria 1.1.1 (text alternative), 1.4.1 (not by colour alone) and 1.4.11 (3:1 for graphics).
  [3] W3C, "SVG Accessibility API Mappings": `role="img"` and `aria-label` on an inline SVG.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..support.files import write_atomic

INK = "#010203"  # the sentinel: no other element may have this colour
COLORS = {"plain": "#D55E00", "resnet": "#0072B2"}  # vermillion and blue of [1]; at least 3:1 on white and on #14181e
DASHES = {"plain": (0, (4, 1.6)), "resnet": "-"}  # so that the two are told apart without colour as well
OTHER_DASH = (0, (1, 1.5))
WIDTHS = (1.2, 2.8)  # points, of the shallowest and the deepest net
OTHER_COLORS = ("#8A6FD1", "#0E8A63", "#B5651D", "#A3568B")  # for further kinds of nets; as strong on both grounds
PALETTE = (COLORS["resnet"], COLORS["plain"], *OTHER_COLORS)  # for what is no net, in turn
LINE_DASHES = (DASHES["resnet"], DASHES["plain"], OTHER_DASH, (0, (6, 1.5, 1, 1.5)))
METRIC_TITLES = {
    "train_loss": "Training loss, on all training images",
    "train_error": "Training error, on all training images",
    "test_loss": "Test loss, on all test images",
    "test_error": "Test error, on all test images",
}
METRIC_AXES = {metric: "loss (nats)" if metric.endswith("loss") else "error (%)" for metric in METRIC_TITLES}
STYLE = {
    "font.family": "sans-serif",
    "font.size": 12.0,  # on a phone a figure is drawn at two thirds of its size
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.labelsize": 12.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.linewidth": 0.6,
    "grid.alpha": 0.25,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # letters stay letters: searchable, and in the page's own size and colour
    **{
        key: INK
        for key in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    },
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the book: `with style(): ...`. matplotlib's own settings are left as they were."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the caller has set elsewhere, a figure looks the same
        matplotlib.rcParams.update(STYLE)
        yield


def new_figure(width: float = 5.4, height: float = 3.4, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` x `height` inches and its axes, row by row; call it inside `style()`.

    It is not known to pyplot, so that a notebook does not show it a second time.
    """
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, list(fig.subplots(rows, columns, squeeze=False).flat)


def kind_color(kind: str, kinds: Sequence[str] = ()) -> str:
    """Return the colour of a kind of net; further `kinds` than plain and resnet get the other colours in turn."""
    if kind in COLORS:
        return COLORS[kind]
    others = [k for k in kinds if k not in COLORS]
    return OTHER_COLORS[others.index(kind) % len(OTHER_COLORS) if kind in others else 0]


def net_width(depth: int, depths: Sequence[int]) -> float:
    """Return the width, in points, of the line of a net of `depth` among those of `depths`."""
    others = sorted(set(depths))
    share = others.index(depth) / max(1, len(others) - 1)
    return WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * share


def line_look(name: str, place: int) -> tuple[str, Any, float]:
    """Return colour, dash and width (points) of the line of `name`, the one at `place` of several, from 0.

    Nets such as plain20 and resnet56 have the look that they have in the whole book, others get one in turn.
    """
    for kind, dash in DASHES.items():
        depth = name.removeprefix(kind)
        if depth != name and depth.isdigit():
            return COLORS[kind], dash, 1.2 if int(depth) < 40 else 2.6
    return PALETTE[place % len(PALETTE)], LINE_DASHES[place % len(LINE_DASHES)], 2.0


def spread_labels(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return label positions as near as can be to the wished ones, at least `gap` apart, within `low`..`high`.

    The order is kept. Where there is no room for all at that gap, they are spaced evenly.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    if len(order) > 1 and gap * (len(order) - 1) > high - low:
        gap = (high - low) / (len(order) - 1)
    # Blocks of labels that touch: each block sits at the mean of what its members wish for.
    blocks: list[list[float]] = []  # [sum of (wish - offset), members]
    for i in order:
        blocks.append([positions[i], 1])
        while len(blocks) > 1 and _start(blocks[-2], gap, low, high) + blocks[-2][1] * gap > _start(
            blocks[-1], gap, low, high
        ):
            total, count = blocks.pop()
            # A member k places into the block wishes the block's start at its own wish minus k gaps.
            blocks[-1][0] += total - count * blocks[-1][1] * gap
            blocks[-1][1] += count
    placed = [_start(b, gap, low, high) + k * gap for b in blocks for k in range(int(b[1]))]
    result = [0.0] * len(positions)
    for i, place in zip(order, placed, strict=True):
        result[i] = place
    return result


def _start(block: list[float], gap: float, low: float, high: float) -> float:
    total, count = block
    return min(max(total / count, low), high - (count - 1) * gap)


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write a label to the right of each line's end, none over another: (x, y, text, colour) in data coordinates.

    Letters are in the text's colour (thin letters in a line's colour are hard to read); a short stroke in the line's
    colour leads to each. Call it last, when limits and scales are set.
    """
    fig = ax.figure
    if fig.get_layout_engine() is not None:
        fig.draw_without_rendering()  # the layout decides on the axes' height
    box = ax.get_window_extent()
    line_height = matplotlib.rcParams["font.size"] * 1.25 * fig.dpi / 72
    wishes = [ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[1] for x, y, _, _ in ends]
    places = spread_labels(wishes, line_height / box.height, 0.0, 1.0)
    for (x, y, text, color), place in zip(ends, places, strict=True):
        start = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))
        ax.plot(
            [start[0], 1.03, 1.05], [start[1], place, place], color=color, lw=0.9, transform=ax.transAxes, clip_on=False
        )
        ax.text(1.06, place, text, transform=ax.transAxes, va="center", ha="left")


class Picture:
    """A figure with a text alternative.

    fig:     drawn inside `style()`.
    alt:     what it shows, in words, for those who do not see it ([2]).
    caption: shown below it, or None.
    """

    def __init__(self, fig: Figure, alt: str, caption: str | None = None) -> None:
        if not alt.strip():
            raise ValueError("`alt` must say in words what the picture shows, but it is empty")
        self.fig, self.alt, self.caption = fig, alt, caption
        if fig.get_layout_engine() is not None:
            with style():
                fig.draw_without_rendering()
                fig.draw_without_rendering()  # labels at the lines' ends have moved the axes
            fig.set_layout_engine("none")  # each drawing would move them by a hair, and no two files would be equal

    def svg(self) -> str:
        """Return the picture as SVG for inlining in a page: no ids that clash, letters in the page's colour.

        The same picture gives the same text every time. Ids begin with a digest of drawing, alt text and caption.
        """
        width = self.fig.get_figwidth() * 96  # CSS pixels an inch
        svg = _clean(self._raw("svg", "none"))
        mark = hashlib.sha256("\n".join((svg, self.alt, self.caption or "")).encode()).hexdigest()[:10]
        svg = re.sub(r'\bid="([^"]+)"', rf'id="p{mark}-\1"', svg)
        svg = re.sub(r'(href="#|url\(#)', rf"\1p{mark}-", svg)
        view = re.search(r'viewBox="[^"]+"', svg).group()
        # Line joins are matplotlib's defaults, which it sets for every element of a page with a rule for `*`.
        root = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view} role="img" '
            f'aria-label="{html.escape(self.alt)}" style="width:100%;height:auto;max-width:{width:.0f}px;'
            'stroke-linejoin:round;stroke-linecap:butt">'
        )
        # The class keeps the search of a built book from marking words in a title, which it cannot.
        root += f'<title class="nohighlight">{html.escape(self.alt)}</title>'
        svg = re.sub(r"<svg\b[^>]*>", lambda _: root, svg, count=1)
        return svg.replace(INK, "currentColor")

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure class="resnet-figure" style="margin:1em 0">{self.svg()}{caption}</figure>'

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a `.png` (150 dots an inch) or `.svg` file on white and return its path; an older one is replaced.

        Raises `ValueError` for another ending, `OSError` if it cannot be written; the older one is kept then.
        """
        path = Path(path)
        if path.suffix not in (".png", ".svg"):
            raise ValueError(f"`path` must end in .png or .svg, but it is {str(path)!r}")
        raw = self._raw(path.suffix[1:], "white")
        if path.suffix == ".svg":
            title = f"<title>{html.escape(self.alt)}</title>"
            text = re.sub(r"(<svg\b)([^>]*>)", rf'\1 role="img"\2{_plain(title)}', raw.decode(), count=1)
            raw = text.encode()
        write_atomic(path, raw)
        return path

    def _raw(self, form: str, ground: str) -> bytes:
        buffer = io.BytesIO()
        no_date: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        with style(), matplotlib.rc_context({"svg.hashsalt": "resnet_edu"}):
            self.fig.savefig(buffer, format=form, dpi=150 if form == "png" else 72, facecolor=ground, metadata=no_date)
        return buffer.getvalue()


def _plain(text: str) -> str:
    """Return `text` for use in a regular expression's replacement."""
    return text.replace("\\", r"\\")


def _clean(raw: bytes) -> str:
    """Return the SVG without prolog, metadata, and the style sheet that would apply to the whole page."""
    svg = raw.decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"<defs>\s*<style\b.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
