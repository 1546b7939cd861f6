"""Small drawings for chapters: named lines, bars in groups, differences with intervals, and a sheet of images.

They draw numbers that are at hand in a cell. Curves of whole studies are in curves.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..support.validate import one_of, whole
from .style import COLORS, GREY, INK, PALETTE, Picture, in_words, label_ends, looks, new_figure, short, style

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

    Names that begin with "plain" or "resnet" have the colours and dashes that such nets have in the whole book; others
    get colours and dashes in turn. `yscale` is "linear" or "log". The text alternative tells each line's ends.

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
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title, yscale=yscale)
        ax.set_xlim(min(x[0] for x, _ in data.values()), max(x[-1] for x, _ in data.values()))
        if yscale == "linear":
            ax.set_ylim(min(0.0, *(min(y) for _, y in data.values())), None)
        label_ends(ax, ends)
    words = in_words((name, y) for name, (_, y) in data.items())
    return Picture(fig, f"Line chart: {title}. {ylabel} over {xlabel}: {words}.", caption)


def bars(series: Mapping[str, Mapping[str, float]], *, xlabel: str, title: str, caption: str | None = None) -> Picture:
    """Return horizontal bars: a group for each category, in it a bar for each of `series`, name -> {category: value}.

    Categories come in the order in which they are met, from the top. Where a series lacks one, or has 0 there, no bar
    is drawn. Each bar has its value written at its end. Names that begin with "plain" or "ResNet" have the colours that
    such nets have in the whole book, and others are grey beside them. The text alternative tells all values.

    Raises `ValueError` for no series, or for values that are negative or not finite.
    """
    for name, values in _some(series).items():
        if min(_numbers(name, values.values())) < 0:
            raise ValueError(f"{name!r} must have values of 0 or more, but there is a {min(values.values())}")
    categories = list(dict.fromkeys(category for values in series.values() for category in values))
    thick = 0.8 / len(series)
    colors = [next((c for kind, c in COLORS.items() if name.lower().startswith(kind)), None) for name in series]
    colors = [color or GREY for color in colors] if any(colors) else PALETTE
    with style():
        fig, (ax,) = new_figure(5.0, 0.9 + len(categories) * max(0.36, 0.1 + 0.2 * len(series)))
        for i, (name, values) in enumerate(series.items()):
            drawn = [(k + (i - (len(series) - 1) / 2) * thick, values.get(c, 0)) for k, c in enumerate(categories)]
            ys, widths = [y for y, value in drawn if value], [value for _, value in drawn if value]
            color, hatch = colors[i % len(colors)], _HATCHES[i % len(_HATCHES)]
            made = ax.barh(
                ys, widths, thick * 0.9, label=name, fc="none" if hatch else color, ec=color, hatch=hatch, lw=0.8
            )
            ax.bar_label(made, [short(value) for value in widths], padding=3, fontsize=10)
        ax.set(xlabel=xlabel, title=title, yticks=range(len(categories)), yticklabels=categories)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.margins(x=0.12, y=0.02)
        ax.invert_yaxis()
        fig.legend(loc="outside lower center", ncols=len(series), frameon=False, fontsize=11)
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
        fig, (ax,) = new_figure(6.2, 1.1 + 0.46 * len(rows))
        ax.axvline(0, color=INK, lw=1)
        for y, (values, (mean, low, high)) in enumerate(rows.values()):
            clear = low > 0 or high < 0
            color = PALETTE[1 if clear else 0]
            ax.plot([low, high], [y, y], color=color, lw=3, alpha=0.55)
            ax.plot(values, [y + 0.22] * len(values), "o", mfc="none", mec=INK, ms=4, mew=0.8)
            ax.plot([mean], [y], "D", color=color, mfc=color if clear else "none", ms=7, mew=1.6)
        ax.set(xlabel=xlabel, title=title, yticks=range(len(rows)), yticklabels=list(rows))
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.set_ylim(len(rows) - 0.4, -0.6)
    told = {" ".join(name.split()): numbers for name, (_, numbers) in rows.items()}
    words = "; ".join(f"{name} {m:+.3g}, from {low:+.3g} to {high:+.3g}" for name, (m, low, high) in told.items())
    return Picture(fig, f"Chart of differences: {title}. {xlabel}, mean and interval: {words}.", caption)


def images(
    pixels: Any, labels: Sequence[Any] | None = None, *, columns: int = 10, title: str = "", caption: str | None = None
) -> Picture:
    """Return a sheet of images, (N, C, H, W) with C of 1 (grey) or 3 (colour), uint8 or numbers from 0 to 1.

    `labels`, one for each image, are written above them. Tensors and arrays are taken alike.

    Raises `ValueError` for another shape, no image, or a different number of labels.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or not len(pixels):
        raise ValueError(f"`pixels` must be (N, C, H, W) with N >= 1 and C of 1 or 3, but it is {pixels.shape}")
    if labels is not None and len(labels) != len(pixels):
        raise ValueError(f"there must be a label for each image, but there are {len(labels)} for {len(pixels)}")
    columns = min(whole("columns", columns), len(pixels))
    rows = math.ceil(len(pixels) / columns)
    names = [] if labels is None else [str(label.item() if hasattr(label, "item") else label) for label in labels]
    with style():
        side = 6.0 / columns
        fig, (ax,) = new_figure(6.0, rows * side * (1.3 if names else 1.08) + (0.3 if title else 0))
        fig.delaxes(ax)
        for i, image in enumerate(pixels):
            ax = fig.add_subplot(rows, columns, i + 1)
            image = image.transpose(1, 2, 0)
            grey = image.shape[2] == 1
            top = 255 if pixels.dtype == np.uint8 else 1
            ax.imshow(image[:, :, 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=top)
            ax.set_axis_off()
            if names:
                ax.set_title(names[i], fontsize=10, fontweight="normal", loc="center", pad=3)
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
