"""What all figures share: colours, style, the look and the labels of lines, and `Picture`, which shows itself as SVG.

A figure is readable on white, on dark and on paper, and to a screen reader. It is as wide as the page's column, and its
letters are so large that a phone shows them. Axes and letters are drawn in one sentinel colour, which becomes
`currentColor` in the page's SVG; the other colours become variables, such as `--book-plain`, of which a page may have
others in dark mode. `--book-letters` is a factor by which a wide page makes the letters smaller.

Sources
  [1] Okabe and Ito, "Color Universal Design", 2008: a palette for all kinds of colour vision.
  [2] WCAG 2.2, success criteria 1.1.1 (text alternative), 1.4.1 (not by colour alone) and 1.4.11 (3:1 for graphics).
  [3] W3C, "SVG Accessibility API Mappings": `role="img"` and `aria-label` on an inline SVG.
"""

import base64
import contextlib
import hashlib
import html
import io
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from ..nets.models import split_name
from ..support.files import write_atomic

WIDTH = 704 / 96  # inches: the column of a page
INK = "#010203"  # the sentinel: no other element may have this colour
COLORS = {"plain": "#D55E00", "resnet": "#0072B2"}  # vermillion and blue of [1]; at least 3:1 on white and on #14181e
DASHES = {"plain": (0, (4, 1.6)), "resnet": "-"}  # so that the two are told apart without colour as well
OTHER_DASH = (0, (1, 1.5))
WIDTHS = (1.2, 2.8)  # points, of the shallowest and the deepest net
GREY = "#6B7580"  # beside the colours of nets, for what is no net
LINE_DASHES = (DASHES["resnet"], DASHES["plain"], OTHER_DASH, (0, (6, 1.5, 1, 1.5)))
_ON_PAGE = {color: kind for kind, color in COLORS.items()} | {GREY: "grey"}
LEAST_LOSS = 1e-9  # nats
LARGE_PNG = 4_000  # letters of base64
STYLE = {
    "font.family": "sans-serif",
    "font.size": 14.0,  # on a phone a figure is drawn at half of its size
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12.0,
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), "medium"),
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.08,
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


def new_figure(height: float = 4.2, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of `height` inches, as wide as the page, and its axes, row by row; call it inside `style()`.

    It is not known to pyplot, so that a notebook does not show it a second time.
    """
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    return fig, list(fig.subplots(rows, columns, squeeze=False).flat)


End = tuple[float, float, str, str]  # of a line: x and y in data coordinates, what it is called, its colour


class Look(NamedTuple):
    """How a line is drawn: colour, dash and width (points)."""

    color: str
    dash: Any
    width: float

    def draw(self, ax: Axes, x: Sequence[float], y: Sequence[float | None], label: str, **options: Any) -> list[End]:
        """Draw a line, as `Axes.plot`, with gaps where y is None; return its end for `label_ends`, if any."""
        values = [math.nan if value is None else value for value in y]
        ax.plot(x, values, **{"color": self.color, "ls": self.dash, "lw": self.width, "label": label, **options})
        known = [(a, b) for a, b in zip(x, values, strict=True) if math.isfinite(b)]
        return [(*point, label, self.color) for point in known[-1:]]


def kind_color(name: str) -> str:
    """Return the colour of the kind of net that a name begins with, in whatever case; grey for what is no such net."""
    begin = name.lower().replace("residual", "resnet")
    return next((color for kind, color in COLORS.items() if begin.startswith(kind)), GREY)


def net_width(depth: int, depths: Sequence[int]) -> float:
    """Return the width, in points, of the line of a net of `depth` among those of `depths`."""
    others = sorted(set(depths))
    share = others.index(depth) / max(1, len(others) - 1)
    return WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * share


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return name -> the look of its line.

    Nets such as plain20 and resnet56 have the look that they have in the whole book: kind by colour and dash, depth by
    width. Other names that begin with plain, resnet or residual have the colour of that kind, the rest is in the
    text's colour and grey; their dashes differ.
    """
    names = list(dict.fromkeys(names))
    nets = {name: split_name(name) for name in names if split_name(name)[0] in COLORS and split_name(name)[1]}
    depths, greys, dashes, found = [depth for _, depth in nets.values()], cycle((INK, GREY)), cycle(LINE_DASHES), {}
    for name in names:
        if name in nets:
            kind, depth = nets[name]
            found[name] = Look(COLORS[kind], DASHES[kind], net_width(depth, depths))
        else:
            color = kind_color(name)
            found[name] = Look(next(greys) if color == GREY else color, next(dashes), 2.4)
    return found


def drawable(losses: Iterable[float | None]) -> list[float | None]:
    """Return the losses with `LEAST_LOSS` in the place of smaller ones: a logarithmic scale has no zero."""
    return [None if loss is None else max(loss, LEAST_LOSS) for loss in losses]


def short(value: float | None) -> str:
    """Return a number in few letters: three digits, or all of them from 100 to a million; "no number" for none."""
    if value is None or not math.isfinite(value):
        return "no number"
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def in_words(lines: Iterable[tuple], unit: str = "") -> str:
    """Return where each line, (name, values, ...), begins and ends, and how many of its values are None."""
    parts = []
    for name, values, *_ in lines:
        known = [short(value) + unit for value in values if value is not None]
        part = f"{name} from {known[0]} to {known[-1]}" if known else name
        lost = len(values) - len(known)
        parts.append(f"{part} ({lost} of {len(values)} values are no numbers)" if lost else part)
    return "; ".join(parts)


def set_decades(ax: Axes) -> None:
    """Give a logarithmic y axis, whose lines are drawn, round numbers instead of powers that are hard to read."""
    ax.set_yscale("log", nonpositive="mask")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(MaxNLocator(6) if 0 < high < 10 * low else LogLocator(numticks=7))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def set_steps(ax: Axes, last: int, ticks: int = 6) -> None:
    """Make the x axis one of training steps, from 0 to `last`."""
    ax.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.set_xlim(0, last)


def spread_labels(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return label positions as near as can be to the wished ones, at least `gap` apart, within `low`..`high`.

    The order is kept. Where there is no room for all at that gap, they are spaced evenly.
    """
    from sklearn.isotonic import isotonic_regression  # here, because it takes a while to import

    order = sorted(range(len(positions)), key=lambda i: positions[i])
    last = len(order) - 1
    gap = min(gap, (high - low) / max(1, last))
    # Without the gaps before it, each label only has to be no lower than the one before.
    wishes = [positions[i] - k * gap for k, i in enumerate(order)]
    found = isotonic_regression(wishes, y_min=low, y_max=high - last * gap)
    places = {i: float(place) + k * gap for k, (i, place) in enumerate(zip(order, found, strict=True))}
    return [places[i] for i in range(len(positions))]


def columns_of(names: Iterable[str]) -> int:
    """Return in how many columns a legend of these names fits below a figure: a name has its letters, and its mark."""
    names = list(names)
    return max(1, min(len(names), 60 // (6 + max(map(len, names)))))


def label_ends(ax: Axes, ends: Sequence[End]) -> None:
    """Write a label to the right of each line's end, none over another; call it when limits and scales are set.

    A line that ends before the last tenth of the axis is labelled near its end. Letters are in the text's colour (thin
    letters in a line's colour are hard to read); a short stroke in the line's colour leads to each at the axis' end.
    """
    fig = ax.figure
    if fig.get_layout_engine() is not None:
        fig.draw_without_rendering()  # the layout decides on the axes' height
    to_axes = ax.transData + ax.transAxes.inverted()
    starts = [(*to_axes.transform((x, y)), text, color) for x, y, text, color in ends]
    groups = [[start for start in starts if start[0] > 0.9]]  # of ends so near each other that labels could collide
    for start in sorted((start for start in starts if start[0] <= 0.9), key=lambda start: start[0]):
        if not groups[1:] or start[0] - groups[-1][0][0] > 0.1:
            groups.append([])
        groups[-1].append(start)
    for group in filter(None, groups):
        lines = max(text.count("\n") + 1 for *_, text, _ in group)
        line_height = lines * matplotlib.rcParams["font.size"] * 1.25 * fig.dpi / 72
        places = spread_labels([y for _, y, *_ in group], line_height / ax.get_window_extent().height, 0.0, 1.0)
        for (x, y, text, color), place in zip(group, places, strict=True):
            if group is groups[0]:
                ax.plot([x, 1.03, 1.05], [y, place, place], color=color, lw=0.9, transform=ax.transAxes, clip_on=False)
                ax.text(1.06, place, text, transform=ax.transAxes, va="center", ha="left")
            else:
                beside = {"xycoords": "axes fraction", "textcoords": "offset points"}
                ax.annotate(text, (x, place), xytext=(6, 0), va="center", **beside)


def on_page(svg: str) -> str:
    """Return an SVG in the colours of the page that it is put into, with this style's where that has none."""
    for color, name in _ON_PAGE.items():
        svg = re.sub(rf"{color}\b", f"var(--book-{name},{color})", svg, flags=re.IGNORECASE)
    return svg.replace(INK, "currentColor")


class Picture:
    """A figure with a text alternative.

    fig: drawn inside `style()`.
    alt: what it shows, in words, for those who do not see it ([2]).
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
        svg = _clean(self._raw("svg", "none"))
        mark = hashlib.sha256("\n".join((svg, self.alt, self.caption or "")).encode()).hexdigest()[:10]
        svg = re.sub(r'\bid="([^"]+)"', rf'id="p{mark}-\1"', svg)
        svg = re.sub(r'(href="#|url\(#)', rf"\1p{mark}-", svg)
        view = re.search(r'viewBox="[^"]+"', svg).group()
        # Line joins are matplotlib's defaults, which it sets for every element of a page with a rule for `*`.
        root = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view} role="img" '
            f'aria-label="{html.escape(self.alt)}" style="width:100%;height:auto;max-width:{WIDTH * 96:.0f}px;'
            'stroke-linejoin:round;stroke-linecap:butt">'
        )
        # The class keeps the search of a built book from marking words in a title, which it cannot.
        root += f'<title class="nohighlight">{html.escape(self.alt)}</title>'
        return on_page(re.sub(r"<svg\b[^>]*>", lambda _: root, svg, count=1))

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure class="resnet-figure" style="margin:1em 0">{self.svg()}{caption}</figure>'

    def save_both(self, stem: str | os.PathLike[str]) -> None:
        """Write the files `stem`.png and `stem`.svg, see `save`."""
        for ending in (".png", ".svg"):
            self.save(f"{stem}{ending}")

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
            raw = re.sub(r"<svg\b([^>]*>)", lambda m: f'<svg role="img"{m[1]}{title}', raw.decode(), count=1).encode()
        write_atomic(path, raw)
        return path

    def _raw(self, form: str, ground: str) -> bytes:
        buffer = io.BytesIO()
        no_date: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        with style(), matplotlib.rc_context({"svg.hashsalt": "resnet_edu"}):
            self.fig.savefig(buffer, format=form, dpi=150 if form == "png" else 72, facecolor=ground, metadata=no_date)
        return buffer.getvalue()


def _clean(raw: bytes) -> str:
    """Return the SVG without prolog, metadata and style sheet, with the page's font, sized by `--book-letters`."""
    svg = raw.decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style\b.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = smaller_pictures(svg)
    return re.sub(r"font-size: ([\d.]+px); font-family: [^;]+", r"font-size: calc(\1*var(--book-letters,1))", svg)


def smaller_pictures(svg: str) -> str:
    """Return an SVG whose large embedded PNGs are WebPs of about a fifth: a page with twenty photos is long.

    A small one, such as a digit or a kernel, stays what it is, pixel by pixel.
    """

    def smaller(found: re.Match[str]) -> str:
        if len(found[1]) < LARGE_PNG:
            return found[0]
        buffer = io.BytesIO()
        Image.open(io.BytesIO(base64.b64decode(found[1]))).save(buffer, "webp", quality=85, method=6)
        return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    return re.sub(r"data:image/png;base64,\s*([\w+/=\s]+)", smaller, svg)
