"""Drawings of probe records, in the book's one style and with what they show in words.

Scope: from probe records to a `figure.Picture`. Colour and dash tell plain from residual nets, or one moment from
another; every line is labelled at its end.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 7: responses.
  [2] Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
      figures 3 and 5: lesions and reordering.
  [3] Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, figures 2 and 5: slices and contours.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..experiment.records import RunRecord
from ..probes.records import (
    GradientRecord,
    GradientStudy,
    IdentityRecord,
    LandscapeRecord,
    LesionRecord,
    ProbeRecord,
    ResponseRecord,
)
from .style import COLORS, DASHES, INK, OTHER_COLORS, Picture, label_ends, new_figure, style

_DASHES = ("-", (0, (4, 1.6)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))
_MOMENTS = (COLORS["resnet"], COLORS["plain"], *OTHER_COLORS)
LEAST = 1e-9  # nats; a loss that is smaller is drawn there: a logarithmic scale has no zero


def gradients(record: GradientRecord, caption: str | None = None) -> Picture:
    """Return the gradient's length at each layer, a line for each moment of the record."""
    _of(GradientRecord, [record])
    if not record.moments:
        raise ValueError(f"{_name(record)} has no moment to draw: it diverged at step {record.diverged}")
    lines = [
        (_after(m["step"]), m["norms"], _MOMENTS[i % len(_MOMENTS)], _DASHES[i % len(_DASHES)], 2.0)
        for i, m in enumerate(record.moments)
    ]
    with style():
        fig, (ax,) = new_figure()
        ends = _lines(ax, lines, "layer, from image to classes")
        ax.set_yscale("log", nonpositive="mask")
        ax.set_ylabel("length of the gradient")
        ax.set_title(f"Gradients of {_name(record)}")
        _decades(ax)
        label_ends(ax, ends)
    told = "; ".join(
        f"{_after(m['step'])} {_short(m['norms'][0])} at the first layer and {_short(m['norms'][-1])} at the last, "
        f"loss {_short(m['loss'])}"
        for m in record.moments
    )
    stop = "" if record.diverged is None else f" The loss is no longer finite {_after(record.diverged)}."
    alt = f"Line chart of the gradient's length by layer, on a logarithmic scale, of {_name(record)}: {told}.{stop}"
    return Picture(fig, alt, caption)


def gradient_study(study: GradientStudy, step: int = 0, caption: str | None = None) -> Picture:
    """Return the gradient's length at the first convolution, and how many times that of the last one it is, over depth.

    A line for plain and residual nets with and without batch norm: medians over the seeds whose loss is still finite.

    Raises `ValueError` for a step that the study has not.
    """
    _of(GradientStudy, [study])
    if step not in study.steps:
        raise ValueError(f"`step` must be one of {study.steps}, but it is {step!r}")
    place = study.steps.index(step)
    told = []
    with style():
        fig, axes = new_figure(5.4, 6.0, rows=2)
        for ax, ratio in zip(axes, (False, True), strict=True):
            ends = []
            for (kind, batch_norm), nets in _families(study).items():
                points = [(net["depth"], _first(net["moments"][place], ratio)) for net in nets]
                told.append(_told(f"{kind} {'with' if batch_norm else 'without'} batch norm", points))
                known = [(x, y) for x, y in points if y]  # a logarithmic scale has no zero
                if known:
                    name = kind if batch_norm else f"{kind}, no BN"
                    ends.append((*known[-1], name, _draw_family(ax, known, kind, batch_norm, name)))
            ax.set_yscale("log", nonpositive="mask")
            ax.set(
                xlim=(0, max(net["depth"] for net in study.nets)),
                ylabel="first / last" if ratio else "length of the gradient",
            )
            _decades(ax)
            _label(ax, ends)
        axes[0].set_title(f"At the first convolution, {_after(step)}")
        axes[1].set_title("Divided by that at the last convolution")
        axes[1].set_xlabel("layers")
    half = len(told) // 2
    alt = (
        f"Two line charts over depth on logarithmic scales, {_after(step)} of training on {study.dataset['name']}. "
        f"Length of the gradient at the first convolution: {'; '.join(told[:half])}. The same divided by the length at "
        f"the last convolution: {'; '.join(told[half:])}."
    )
    return Picture(fig, alt, caption)


def _families(study: GradientStudy) -> dict[tuple[str, bool], list[dict[str, Any]]]:
    families: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for net in study.nets:
        families.setdefault((net["kind"], net["batch_norm"]), []).append(net)
    return families


def _first(moment: dict[str, Any], ratio: bool) -> float | None:
    """Return the median over the seeds, of those that have not diverged."""
    pairs = zip(moment["first"], moment["last"], strict=True)
    known = [a / b if ratio else a for a, b in pairs if a is not None and (b or not ratio)]
    return statistics.median(known) if known else None


def _told(name: str, points: list[tuple[int, float | None]]) -> str:
    known = [(depth, value) for depth, value in points if value is not None]
    lost = ", ".join(str(depth) for depth, value in points if value is None)
    text = name
    if known:
        (a, first), (b, last) = known[0], known[-1]
        text += f" {_short(first)} with {a} layers and {_short(last)} with {b}"
    return f"{text}{',' if known else ''} diverged with {lost} layers" if lost else text


def _draw_family(ax: Axes, points: list[tuple[int, float]], kind: str, batch_norm: bool, name: str) -> str:
    """Draw one family's line and return its colour."""
    color = COLORS[kind] if batch_norm else {"plain": OTHER_COLORS[3], "resnet": OTHER_COLORS[1]}[kind]
    look = {"lw": 2.4, "marker": "o"} if batch_norm else {"lw": 1.4, "marker": "s"}
    ax.plot(*zip(*points, strict=True), color=color, ls=DASHES[kind], ms=4, label=name, **look)
    return color


def _label(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Label lines at the right, or where they end, if that is earlier."""
    right = ax.get_xlim()[1]
    label_ends(ax, [end for end in ends if end[0] > 0.9 * right])
    for x, y, name, _ in ends:
        if x <= 0.9 * right:
            ax.annotate(name, (x, y), xytext=(6, 0), textcoords="offset points", va="center")


def responses(records: Iterable[ResponseRecord], caption: str | None = None) -> Picture:
    """Return the standard deviations of the layers' responses, in their order above and sorted below ([1])."""
    records = _of(ResponseRecord, records)
    with style():
        fig, axes = new_figure(5.4, 5.8, rows=2)
        for ax, in_order in zip(axes, (True, False), strict=True):
            lines = []
            for record in records:
                values = [math.nan if v is None else v for v in record.deviations]
                lines.append(
                    (_name(record), values if in_order else sorted(values, reverse=True), *_look(record, records))
                )
            ends = _lines(ax, lines, "layer, from image to classes" if in_order else "layer, strongest response first")
            ax.set_ylim(0, None)
            ax.set_ylabel("standard deviation")
            label_ends(ax, ends)
        axes[0].set_title("Responses of the layers")
    told = "; ".join(
        f"{_name(r)} mean {_short(statistics.fmean(known))}, from {_short(min(known))} to {_short(max(known))}"
        for r in records
        if (known := [v for v in r.deviations if v is not None])
    )
    where = records[0].dataset
    alt = (
        f"Two line charts of the standard deviation of each 3x3 layer's response on {where['images']} {where['part']} "
        f"images of {where['name']}, in the order of the layers and sorted: {told}."
    )
    return Picture(fig, alt, caption)


def lesions(records: Iterable[LesionRecord], caption: str | None = None) -> Picture:
    """Return the error without each single block, and with blocks exchanged where a record has that ([2])."""
    records = _of(LesionRecord, records)
    shuffled = any(r.shuffles for r in records)
    told = []
    with style():
        fig, axes = new_figure(5.4, 6.2 if shuffled else 3.4, rows=2 if shuffled else 1)
        lines = [
            (_name(r), [math.nan if d["error"] is None else d["error"] for d in r.drops], *_look(r, records))
            for r in records
        ]
        ends = _lines(axes[0], lines, "block left out, from image to classes", marker="o")
        for r in records:
            axes[0].axhline(r.error, color=_look(r, records)[0], lw=0.8, alpha=0.7)
        axes[0].set(ylabel="error (%)", ylim=(0, 100))
        axes[0].set_title("One block left out")
        if shuffled:
            label_ends(axes[1], _shuffled(axes[1], records))
        label_ends(axes[0], ends)
    for r in records:
        known = [d for d in r.drops if d["error"] is not None]
        text = f"{_name(r)} has {r.error:.1f}% as it is"
        if known:
            worst = max(known, key=lambda d: d["error"])
            text += (
                f", a median of {statistics.median(d['error'] for d in known):.1f}% without one block and at most "
                f"{worst['error']:.1f}%, without {worst['block']}"
            )
        if len(known) < len(r.drops):
            text += f" ({len(r.drops) - len(known)} of {len(r.drops)} change the shape and cannot be left out)"
        if r.shuffles:
            low, high = (f(s["error"] for s in r.shuffles) for f in (min, max))
            text += f"; with blocks exchanged {low:.1f}% to {high:.1f}%"
        told.append(text)
    where = records[0].dataset
    what = "Two line charts" if shuffled else "Line chart"
    alt = f"{what} of the error on {where['images']} {where['part']} images of {where['name']}. {'. '.join(told)}."
    return Picture(fig, alt, caption)


def _shuffled(ax: Axes, records: list[LesionRecord]) -> list[tuple[float, float, str, str]]:
    """Draw each trial as a point and the mean of each number of swaps as a line; return what `label_ends` wants."""
    ends = []
    for r in records:
        color, dash, width = _look(r, records)
        groups = {s["swaps"]: [t["error"] for t in r.shuffles if t["swaps"] == s["swaps"]] for s in r.shuffles}
        if not groups:
            continue
        for swaps, errors in groups.items():
            ax.plot([swaps] * len(errors), errors, color=color, ls="", marker="o", ms=3.5, alpha=0.6)
        means = [statistics.fmean(errors) for errors in groups.values()]
        ax.plot(list(groups), means, color=color, ls=dash, lw=width, label=_name(r))
        ends.append((list(groups)[-1], means[-1], _name(r), color))
    ticks = sorted({s["swaps"] for r in records for s in r.shuffles})
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.set(xlabel="pairs of blocks exchanged", ylabel="error (%)", ylim=(0, 100), title="Blocks of a stage exchanged")
    return ends


def landscape(records: LandscapeRecord | Iterable[LandscapeRecord], caption: str | None = None) -> Picture:
    """Return the loss along one direction, a line for each record, or the contours of one record's plane ([3]).

    Raises `ValueError` for several planes, or for planes and slices together.
    """
    records = _of(LandscapeRecord, [records] if isinstance(records, ProbeRecord) else records)
    if all(len(r.y) == 1 for r in records):
        return _slices(records, caption)
    if len(records) > 1:
        raise ValueError("a picture holds several slices or one plane: draw each plane by itself")
    return _plane(records[0], caption)


def _slices(records: list[LandscapeRecord], caption: str | None) -> Picture:
    told = []
    with style():
        fig, (ax,) = new_figure()
        ends = []
        for r in records:
            color, dash, width = _look(r, records)
            x = [a for a, loss in zip(r.x, r.loss[0], strict=True) if loss is not None]
            y = [max(loss, LEAST) for loss in r.loss[0] if loss is not None]
            ax.plot(x, y, color=color, ls=dash, lw=width, label=_name(r))
            ends += [(x[-1], y[-1], _name(r), color)] if x else []
            first, middle, last = (_short(r.loss[0][i]) for i in (0, len(r.x) // 2, -1))
            told.append(f"{_name(r)} {middle} in the middle, {first} and {last} at the ends")
        _any(ends, records)
        ax.set(xlabel="step along a random direction, in filter lengths", ylabel="loss (nats)", yscale="log")
        ax.set_title("The loss around the trained weights")
        ax.set_xlim(min(r.x[0] for r in records), max(r.x[-1] for r in records))
        _decades(ax)
        label_ends(ax, ends)
    alt = f"Line chart of the loss along a random direction, on a logarithmic scale: {'; '.join(told)}."
    return Picture(fig, alt, caption)


def _plane(record: LandscapeRecord, caption: str | None) -> Picture:
    values = np.array([[np.nan if v is None else max(v, LEAST) for v in row] for row in record.loss])
    _any(np.isfinite(values).any(), [record])
    low, high = np.nanmin(values), np.nanmax(values)
    levels = np.geomspace(low, high, 10) if high > low else [low, low * 2]
    blue = LinearSegmentedColormap.from_list("depth", [(*_rgb(COLORS["resnet"]), a) for a in (0.85, 0.0)])
    with style():
        fig, (ax,) = new_figure(4.8, 4.4)
        ax.grid(False)
        ax.contourf(record.x, record.y, np.log(values), levels=np.log(levels), cmap=blue)
        drawn = ax.contour(
            record.x, record.y, np.log(values), levels=np.log(levels), colors=INK, linewidths=0.7, linestyles="-"
        )
        ax.clabel(drawn, fmt=lambda v: f"{math.exp(v):.2g}", fontsize=9, colors=INK)
        ax.plot([0], [0], marker="+", color=INK, ms=10, mew=2)
        ax.set(xlabel="first direction, in filter lengths", ylabel="second direction", aspect="equal")
        ax.set_title(f"The loss around {_name(record)}")
    corners = [values[i, j] for i in (0, -1) for j in (0, -1)]
    middle = values[len(record.y) // 2, len(record.x) // 2]
    alt = (
        f"Contours of the loss of {_name(record)} on the plane of two random directions: {_short(middle)} in the "
        f"middle, {_short(low)} at the lowest, {_short(high)} at the highest point, and "
        f"{', '.join(map(_short, corners))} in the corners."
    )
    return Picture(fig, alt, caption)


def identity(
    records: Iterable[IdentityRecord], trained: Iterable[RunRecord] = (), caption: str | None = None
) -> Picture:
    """Return the training loss of nets with identity blocks over their depth, beside nets trained at their depth.

    trained: run records of the same data, drawn at their depths as unconnected marks, for comparison.
    """
    records, trained = _of(IdentityRecord, records), list(trained)
    told = []
    with style():
        fig, (ax,) = new_figure()
        ends = []
        for r in records:
            color, dash, width = _look(r, records)
            known = [p for p in r.points if p["train_loss"] is not None]
            x, y = [p["depth"] for p in known], [max(p["train_loss"], LEAST) for p in known]
            ax.plot(x, y, color=color, ls=dash, lw=width, marker="o", ms=4, label=_name(r))
            ends += [(x[-1], y[-1], _name(r), color)] if x else []
            (first, a), (last, b) = ((_short(p["train_loss"]), p["depth"]) for p in (r.points[0], r.points[-1]))
            told.append(f"{_name(r)} {first} with {a} layers and {last} with {b}, {_moved(r)}")
        _any(ends, records)
        asked = {r.net for r in records}
        for r in trained:
            loss = max(r.final["train_loss"], LEAST)
            told.append(f"{r.net} trained at its depth {_short(loss)}")
            if r.net not in asked:  # else it is where a line begins
                color = COLORS.get(r.kind, OTHER_COLORS[0])
                ax.plot([r.depth], [loss], color=color, ls="", marker="D", ms=7, mfc="none", mew=1.8)
                ax.annotate(
                    f"{r.net}, trained", (r.depth, loss), xytext=(0, 9), textcoords="offset points", ha="center"
                )
        ax.set(xlabel="layers", ylabel="training loss (nats)", yscale="log")
        ax.set_title("Identity blocks added to a trained net")
        ax.set_xlim(0, None)
        ax.margins(y=0.15)
        _decades(ax)
        label_ends(ax, ends)
    alt = f"Line chart of the training loss over depth, on a logarithmic scale: {'; '.join(told)}."
    return Picture(fig, alt, caption)


def _moved(record: IdentityRecord) -> str:
    changes = [p["change"] for p in record.points]
    if None in changes:
        return "with logits of which some are no numbers"
    return f"with no logit changed by more than {_short(max(changes))}" if any(changes) else "with the very same logits"


# What they share.


def _any(found: object, records: Sequence[ProbeRecord]) -> None:
    """Raise `ValueError` if no loss has been found that could be drawn."""
    if not found:
        raise ValueError(f"{', '.join(map(_name, records))}: there is nothing to draw, since no loss is finite")


def _of(kind: type[ProbeRecord], records: Iterable[Any]) -> list[Any]:
    """Return the records as a list if there are any, and of one kind and one data set."""
    records = list(records)
    wrong = next((r for r in records if not isinstance(r, kind)), None)
    if not records or wrong is not None:
        found = "there is none" if not records else f"there is a {type(wrong).__name__}"
        raise ValueError(f"this figure is made of {kind.__name__}s, but {found}")
    if len({r.dataset["fingerprint"] for r in records}) > 1:
        raise ValueError("the records were made with different data, so they cannot be compared in one figure")
    return records


def _kind(record: ProbeRecord) -> str:
    return re.sub(r"\d+$", "", record.net)


def _depth(record: ProbeRecord) -> int:
    found = re.search(r"\d+$", record.net)
    return int(found.group()) if found else 0


def _name(record: ProbeRecord) -> str:
    return record.net if record.batch_norm else f"{record.net}, no batch norm"


def _look(record: ProbeRecord, among: Sequence[ProbeRecord]) -> tuple[str, Any, float]:
    """Return colour, dash and width of a net's line: width tells the depth."""
    kind, depths = _kind(record), sorted({_depth(r) for r in among})
    width = 1.2 + 1.6 * depths.index(_depth(record)) / max(1, len(depths) - 1)
    others = sorted({_kind(r) for r in among} - set(COLORS))
    color = COLORS.get(kind) or OTHER_COLORS[others.index(kind) % len(OTHER_COLORS)]
    return color, DASHES.get(kind, _DASHES[2]), width


def _lines(
    ax: Axes, lines: Sequence[tuple], what: str, marker: str | None = None
) -> list[tuple[float, float, str, str]]:
    """Draw (name, values, colour, dash, width) over 1, 2, 3, ... and return what `label_ends` wants.

    Lines of unequal length are drawn over their share of the way instead, so that all of them end at the right.
    """
    ends = []
    longest = max(len(values) for _, values, *_ in lines)
    share = any(len(values) != longest for _, values, *_ in lines)
    for name, values, color, dash, width in lines:
        x = [100 * i / max(1, len(values) - 1) if share else i + 1 for i in range(len(values))]
        y = [math.nan if v is None else v for v in values]
        ax.plot(x, y, color=color, ls=dash, lw=width, marker=marker, ms=3.5, label=name)
        known = [point for point in zip(x, y, strict=True) if math.isfinite(point[1])]
        if known:
            ends.append((*known[-1], name, color))
    ax.set_xlim(*((0, 100) if share else (1, max(2, longest))))
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xlabel(f"{what} (% of the way)" if share else what)
    return ends


def _decades(ax: Axes) -> None:
    """Give a logarithmic axis round numbers, not powers that are hard to read, unless they get long."""
    ax.yaxis.set_major_locator(LogLocator(numticks=7))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _after(step: int) -> str:
    return "at the start" if step == 0 else f"after {step} step{'s' * (step > 1)}"


def _short(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "no number"
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
