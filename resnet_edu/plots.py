"""Drawings of records: errors over steps, with every net labelled at its line.

Scope: from run records to a `figure.Picture`. In `degradation` colour and dash tell plain from residual nets and width
the depth; in `figure6` dash and width tell training from test, and colour the depth. Labels at the lines' ends say the
same, so that nothing depends on colour alone.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 1 and 6.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .figure import (
    COLORS,
    DASHES,
    METRIC_AXES,
    METRIC_TITLES,
    OTHER_COLORS,
    OTHER_DASH,
    Picture,
    kind_color,
    label_ends,
    net_width,
    new_figure,
    style,
)
from .records import METRICS, RunRecord, check_comparable

BOTH = ("train_error", "test_error")
_DEPTH_COLORS = (*OTHER_COLORS, COLORS["resnet"], COLORS["plain"])
_KINDS = {"plain": "Plain nets", "resnet": "Residual nets"}
_PARTS = {  # in figure6: what is drawn, and how
    "train_error": ("train", {"lw": 1.3, "ls": (0, (4, 1.6))}),
    "test_error": ("test", {"lw": 2.6, "ls": "-"}),
}


def degradation(
    records: Iterable[RunRecord], metric: str | Sequence[str] = "train_error", caption: str | None = None
) -> Picture:
    """Return the curves of a study over training steps.

    metric:  one of `records.METRICS`, or several, drawn one below the other; "both" is training and then test error.
    caption: shown below the picture.

    Of several seeds the mean is drawn, over a band from the least to the greatest. Losses are on a logarithmic scale.

    Raises `ValueError` for another metric, `records.RecordError` for records that cannot be compared.
    """
    records = check_comparable(records)
    several = isinstance(metric, Iterable) and not isinstance(metric, str)
    metrics = BOTH if metric == "both" else tuple(metric) if several else (metric,)
    if not metrics or any(m not in METRICS for m in metrics):
        raise ValueError(f"`metric` must be 'both', or of {', '.join(METRICS)}, but it is {metric!r}")
    with style():
        fig, axes = new_figure(5.4, 3.4 * len(metrics), rows=len(metrics))
        for ax, name in zip(axes, metrics, strict=True):
            _draw(ax, records, name)
        axes[-1].set_xlabel("training steps (batches)")
        for ax, name in zip(axes, metrics, strict=True):
            label_ends(ax, _ends(records, name))
    return Picture(fig, _alt(records, metrics), caption)


def figure6(records: Iterable[RunRecord], caption: str | None = None, *, stacked: bool = False) -> Picture:
    """Return a study's curves in the layout of the paper's figure 6 ([1]): a panel for plain, one for residual nets.

    Training error is dashed, test error bold, over iterations; each depth has a colour. Of several seeds the mean is
    drawn, over a band from the least to the greatest. The axis ends somewhat above the worst final error, as the
    paper's ends at 20%, so that the ends can be told apart: what is above it at the beginning is cut off.

    caption: shown below the picture.
    stacked: one panel below the other, readable on a phone, instead of side by side.

    Raises `records.RecordError` for records that cannot be compared.
    """
    records = check_comparable(records)
    kinds = sorted(
        {r.kind for r in records}, key=lambda kind: (list(_KINDS).index(kind) if kind in _KINDS else 9, kind)
    )
    depths = sorted({r.depth for r in records})
    worst = max(r.final[metric] for r in records for metric in _PARTS)
    top = min(100, max(1, 5 * math.ceil(1.4 * worst / 5)))
    with style():
        size = (5.4, 3.4 * len(kinds)) if stacked else (4.5 * len(kinds), 3.8)
        fig, axes = new_figure(*size, rows=len(kinds) if stacked else 1, columns=1 if stacked else len(kinds))
        ends = []
        for ax, kind in zip(axes, kinds, strict=True):
            here = []
            for _, group in _groups([r for r in records if r.kind == kind]):
                depth = group[0].depth
                color = _DEPTH_COLORS[depths.index(depth) % len(_DEPTH_COLORS)]
                for metric, (part, look) in _PARTS.items():
                    steps, mean, low, high = _curve(group, metric)
                    _line(ax, steps, (mean, low, high), len(group) > 1, color=color, **look)
                    here.append((steps[-1], mean[-1], f"{depth} {part}", color))
            _over_steps(ax, records, ticks=6 if stacked else 4)
            ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.set_title(_KINDS.get(kind, kind))
            ax.set_ylim(0, top)
            ends.append(here)
        for ax in axes[-1:] if stacked else axes:
            ax.set_xlabel("iterations")
        for ax in axes if stacked else axes[:1]:
            ax.set_ylabel("error (%)")
        for ax, here in zip(axes, ends, strict=True):
            label_ends(ax, here)
    return Picture(fig, _alt6(records, kinds, top), caption)


def _alt6(records: list[RunRecord], kinds: Sequence[str], top: float) -> str:
    """Return what `figure6` shows, in words and numbers."""
    data, steps = records[0].dataset["name"], max(int(r.final["step"]) for r in records)
    seeds = len({r.seed for r in records})
    over = f", means of {seeds} seeds over bands from the least to the greatest" if seeds > 1 else ""
    parts = [f"Line charts of training error (dashed) and test error (bold) over {steps:,} iterations on {data}{over}."]
    for kind in kinds:
        ends = []
        for _, group in _groups([r for r in records if r.kind == kind]):
            train, test = (_curve(group, metric)[1][-1] for metric in _PARTS)
            ends.append(f"{group[0].depth} layers end at {train:.1f}% training and {test:.1f}% test error")
        parts.append(f"{_KINDS.get(kind, kind)}: {'; '.join(ends)}.")
    if max(max(r.curve(metric)[1]) for r in records for metric in _PARTS) > top:
        parts.append(f"The axis ends at {top}%; higher errors at the beginning are cut off.")
    return " ".join(parts)


def _line(
    ax: Axes,
    steps: list[int],
    values: tuple[list[float], ...],
    band: bool,
    *,
    color: str,
    lw: float,
    ls: Any,
    **rest: Any,
) -> None:
    """Draw a mean, and its band from the least to the greatest value if there is one: `values` are these three."""
    mean, low, high = values
    if band:
        ax.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
    marker = "o" if len(steps) <= 4 else None  # a curve of few points should not look like more
    ax.plot(steps, mean, color=color, lw=lw, ls=ls, marker=marker, ms=lw + 2, **rest)


def _over_steps(ax: Axes, records: list[RunRecord], ticks: int = 6) -> None:
    """Set the axis of steps, for all the records alike."""
    ax.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.set_xlim(0, max(int(r.final["step"]) for r in records))


def _groups(records: list[RunRecord]) -> list[tuple[str, list[RunRecord]]]:
    """Return (net, its records) by kind and depth."""
    nets = sorted({(r.kind, r.depth, r.net) for r in records})
    return [(net, [r for r in records if r.net == net]) for _, _, net in nets]


def _curve(records: list[RunRecord], metric: str) -> tuple[list[int], list[float], list[float], list[float]]:
    """Return the steps that all the records have, and mean, least and greatest value at each."""
    curves = [dict(zip(*r.curve(metric), strict=True)) for r in records]
    steps = sorted(set.intersection(*(set(c) for c in curves)))
    columns = [[c[s] for c in curves] for s in steps]
    return steps, [statistics.fmean(c) for c in columns], [min(c) for c in columns], [max(c) for c in columns]


def _draw(ax: Axes, records: list[RunRecord], metric: str) -> None:
    depths = sorted({r.depth for r in records})
    kinds = sorted({r.kind for r in records})
    floor = _floor(records, metric)
    for net, group in _groups(records):
        kind, depth = group[0].kind, group[0].depth
        steps, mean, low, high = _curve(group, metric)
        width = net_width(depth, depths)
        dash = DASHES.get(kind, OTHER_DASH)
        color = kind_color(kind, kinds)
        values = tuple([max(v, floor) for v in column] for column in (mean, low, high))
        _line(ax, steps, values, len(group) > 1, color=color, lw=width, ls=dash, label=net)
    ax.set_title(METRIC_TITLES[metric])
    ax.set_ylabel(METRIC_AXES[metric])
    _over_steps(ax, records)
    if metric.endswith("loss"):
        ax.set_yscale("log")
    else:
        top = max(max(r.curve(metric)[1]) for r in records)
        ax.set_ylim(0, min(100, max(1, top * 1.06)))


def _floor(records: list[RunRecord], metric: str) -> float:
    """Return the least value that can be drawn: a logarithmic scale has no zero."""
    return 1e-6 if metric.endswith("loss") else 0.0


def _ends(records: list[RunRecord], metric: str) -> list[tuple[float, float, str, str]]:
    kinds = sorted({r.kind for r in records})
    floor = _floor(records, metric)
    ends = []
    for net, group in _groups(records):
        steps, mean, _, _ = _curve(group, metric)
        ends.append((steps[-1], max(mean[-1], floor), net, kind_color(group[0].kind, kinds)))
    return ends


def _alt(records: list[RunRecord], metrics: Sequence[str]) -> str:
    """Return what the picture shows, in words and numbers."""
    data, steps = records[0].dataset["name"], max(int(r.final["step"]) for r in records)
    seeds = len({r.seed for r in records})
    parts = []
    for metric in metrics:
        percent = metric.endswith("error")
        ends = []
        for net, group in _groups(records):
            _, mean, _, _ = _curve(group, metric)
            text = f"{net} from {mean[0]:.1f}% to {mean[-1]:.1f}%" if percent else f"{net} {mean[-1]:.3g}"
            ends.append((mean[-1], text))
        listed = "; ".join(text for _, text in sorted(ends, key=lambda e: -e[0]))
        what = metric.replace("_", " ").replace("train ", "training ")
        parts.append(f"{what[0].upper()}{what[1:]}, highest at the end first: {listed}.")
    over = f", means of {seeds} seeds" if seeds > 1 else ""
    return f"Line chart over {steps:,} training steps on {data}{over}. " + " ".join(parts)
