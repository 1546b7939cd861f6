"""Small drawings for chapters: named lines, bars in groups, differences with intervals, and a sheet of images.

They draw numbers that are at hand in a cell. Curves of whole studies are in curves.py.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..support.validate import one_of, whole
from .style import (
    GREY,
    INK,
    STYLE,
    WIDTH,
    Picture,
    columns_of,
    in_words,
    kind_color,
    label_ends,
    looks,
    new_figure,
    set_decades,
    short,
    style,
)

_HATCHES = ("", "////", "||||", "xxxx")  # told apart without colour as well; dots would be 250 kB a drawing


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    yscale: str = "linear",
    caption: str | None = None,
) -> Picture:
    """Return one line for each entry of `series`, name -> (x values, y values), labelled at its end.

    Names that begin with "plain", "resnet" or "residual" have the colours of such nets in the whole book; others are in
    the text's colour and grey. `yscale` is "linear" or "log". The text alternative tells each line's ends.

    Raises `ValueError` for no series, or for values that are not finite, or of 0 or less on a logarithmic scale.
    """
    one_of("yscale", yscale, ("linear", "log"))
    data = {name: (_numbers(name, x), _numbers(name, y)) for name, (x, y) in _some(series).items()}
    for name, (_, y) in data.items():
        if yscale == "log" and min(y) <= 0:
            raise ValueError(f"a logarithmic scale has no place for {min(y)} of {name!r}: use yscale='linear'")
    with style():
        fig, (ax,) = new_figure()
        ends = []
        for (name, (x, y)), look in zip(data.items(), looks(data).values(), strict=True):
            ends += look.draw(ax, x, y, name, marker="o" if len(x) <= 4 else None)
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
        ax.set_xlim(min(x[0] for x, _ in data.values()), max(x[-1] for x, _ in data.values()))
        if yscale == "log":
            set_decades(ax)
        else:
            ax.set_ylim(min(0.0, *(min(y) for _, y in data.values())), None)
        label_ends(ax, ends)
    words = in_words((name, y) for name, (_, y) in data.items())
    return Picture(fig, f"Line chart: {title}. {ylabel} over {xlabel}: {words}.", caption)


def bars(series: Mapping[str, Mapping[str, float]], *, xlabel: str, title: str, caption: str | None = None) -> Picture:
    """Return horizontal bars: a group for each category, in it a bar for each of `series`, name -> {category: value}.

    Categories come in the order in which they are met, from the top. Where a series lacks one, or has 0 there, no bar
    is drawn. Each bar has its value written at its end. Names that begin with "plain" or "ResNet" have the colours that
    such nets have in the whole book, and others are grey beside them. The text alternative tells all values.

    Raises `ValueError` for no series or more than four, or for values that are negative or not finite.
    """
    if len(series) > len(_HATCHES):
        raise ValueError(f"`series` can be {len(_HATCHES)} at most, to be told apart, but there are {len(series)}")
    for name, values in _some(series).items():
        if min(_numbers(name, values.values())) < 0:
            raise ValueError(f"{name!r} must have values of 0 or more, but there is a {min(values.values())}")
    categories = list(dict.fromkeys(category for values in series.values() for category in values))
    thick = 0.8 / len(series)
    with style():
        fig, (ax,) = new_figure(1.5 + len(categories) * (0.12 + 0.27 * len(series)))
        for i, (name, values) in enumerate(series.items()):
            drawn = [(k + (i - (len(series) - 1) / 2) * thick, values.get(c, 0)) for k, c in enumerate(categories)]
            ys, widths = [y for y, value in drawn if value], [value for _, value in drawn if value]
            color, hatch = kind_color(name), _HATCHES[i % len(_HATCHES)]
            filled = "none" if hatch else color
            made = ax.barh(ys, widths, thick * 0.9, label=name, fc=filled, ec=color, hatch=hatch, lw=1)
            ax.bar_label(made, [short(value) for value in widths], padding=4)
        ax.set(xlabel=xlabel, title=title)
        _name_rows(ax, categories)
        ax.margins(x=0.12, y=0.02)
        ax.invert_yaxis()
        if len(series) > 1:
            fig.legend(loc="outside lower center", ncols=columns_of(series))
    words = "; ".join(
        f"{name}: " + ", ".join(f"{category} {short(value)}" for category, value in values.items())
        for name, values in series.items()
    )
    return Picture(fig, f"Bar chart: {title}. {xlabel}. {words}.", caption)


def differences(
    rows: Mapping[str, tuple[Sequence[float], tuple[float, float, float]]],
    *,
    xlabel: str,
    title: str,
    caption: str | None = None,
) -> Picture:
    """Return a row for each name -> (single values, (mean, low, high)): a circle a value, the mean, and its interval.

    A line marks 0, where there is no difference. Filled diamonds are means whose interval lies beside it, hollow ones
    are those whose interval contains it. The text alternative tells means and intervals.

    Raises `ValueError` for no row, or for numbers that are not finite.
    """
    rows = {name: tuple(_numbers(name, numbers) for numbers in row) for name, row in _some(rows).items()}
    with style():
        fig, (ax,) = new_figure(1.4 + 0.62 * len(rows))
        ax.axvline(0, color=INK, lw=1.2)
        for y, (values, (mean, low, high)) in enumerate(rows.values()):
            clear = low > 0 or high < 0
            ax.plot([low, high], [y, y], color=GREY, lw=4, alpha=0.6)
            ax.plot(values, [y + 0.24] * len(values), "o", mfc="none", mec=INK, ms=5, mew=1)
            ax.plot([mean], [y], "D", color=INK, mfc=INK if clear else "none", ms=8, mew=1.8)
        ax.set(xlabel=xlabel, title=title)
        _name_rows(ax, list(rows))
        ax.set_ylim(len(rows) - 0.4, -0.6)
    told = {" ".join(name.split()): numbers for name, (_, numbers) in rows.items()}
    words = "; ".join(f"{name} {m:+.3g}, from {low:+.3g} to {high:+.3g}" for name, (m, low, high) in told.items())
    return Picture(fig, f"Chart of differences: {title}. {xlabel}, mean and interval: {words}.", caption)


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Write the names of rows 0, 1, 2 and so on: each line a text of its own, so that all end at one place.

    Matplotlib sets the lines of one text by the widths of its own letters, and a page may have others.
    """
    ax.set_yticks([])
    for y, lines in enumerate(name.split("\n") for name in names):
        for i, line in enumerate(lines):
            above = 1.25 * STYLE["font.size"] * ((len(lines) - 1) / 2 - i)
            place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
            ax.annotate(line, (0, y), (-7, above), ha="right", va="center", **place)


def images(
    pixels: Any, labels: Sequence[Any] | None = None, *, columns: int = 10, title: str = "", caption: str | None = None
) -> Picture:
    """Return a sheet of images, (N, C, H, W), uint8 or numbers from 0 to 1; C is 1 (grey), 3 (colour) or 4 (opacity).

    Each pixel is a square. `labels`, one for each image, are written above them. Tensors and arrays are taken alike.

    Raises `ValueError` for another shape, no image, or a different number of labels.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3, 4) or not len(pixels):
        raise ValueError(f"`pixels` must be (N, C, H, W) with N >= 1 and C of 1, 3 or 4, but it is {pixels.shape}")
    if labels is not None and len(labels) != len(pixels):
        raise ValueError(f"there must be a label for each image, but there are {len(labels)} for {len(pixels)}")
    columns = min(whole("columns", columns), len(pixels))
    rows = math.ceil(len(pixels) / columns)
    names = [] if labels is None else [str(label.item() if hasattr(label, "item") else label) for label in labels]
    with style():
        height = WIDTH / columns * 0.93 * pixels.shape[2] / pixels.shape[3] + 0.06 + (0.3 if names else 0)
        fig, axes = new_figure(rows * height + (0.4 if title else 0), rows, columns)
        for ax in axes[len(pixels) :]:
            fig.delaxes(ax)
        top = 255 if pixels.dtype == np.uint8 else 1
        # Long labels in small letters, as they are beside each other: a letter is 0.6 of its size wide.
        size = min(STYLE["font.size"], 72 * 0.95 * WIDTH / columns / (0.6 * max(map(len, names), default=1)))
        for i, (ax, image) in enumerate(zip(axes, pixels, strict=False)):
            shown = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            ax.imshow(shown, cmap="gray" if len(image) == 1 else None, vmin=0, vmax=top, interpolation="none")
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.spines[:].set(visible=True, color=GREY, linewidth=0.6)
            if names:
                ax.set_title(names[i], fontweight="normal", fontsize=size, loc="center", pad=4)
        if title:
            fig.suptitle(title, fontweight="bold")
    what = f"{len(pixels)} images of {pixels.shape[3]} by {pixels.shape[2]} pixels"
    alt = f"{title + ': ' if title else ''}{what}{', labelled ' + ', '.join(names) if names else ''}."
    return Picture(fig, alt, caption)


def _some(series: Mapping[str, Any]) -> Mapping[str, Any]:
    if not series:
        raise ValueError("there is nothing to draw: give one name with its values at least")
    return series


def _numbers(name: str, values: Iterable[float]) -> list[float]:
    numbers = [float(value) for value in values]
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name!r} must have one value at least, and finite ones, but it has {numbers}")
    return numbers
