"""Drawings of records: errors over steps, with every net labelled at its line.

Scope: from run records to a `figure.Picture`. In `degradation` colour and dash tell plain from residual nets and width
the depth; in `figure6` dash and width tell training from test, and colour the depth. Labels at the lines' ends say the
same, so that nothing depends on colour alone.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 1 and 6.

--- Curves that grow while nets train, in a notebook: one figure, updated in place, and one clean figure left behind.

Scope: hearing from trainings (`degradation.run(on_event=...)`, `train(callback=...)`), deciding when to draw, drawing,
and showing. It needs no widget and no browser of its own: a notebook replaces an output by its display id ([1]), in
Jupyter, VS Code and Colab alike. Outside a notebook nothing is shown, and `picture` has the figure.

While a net trains, the loss of single batches is drawn too, smoothed, as a thin line; how many of them are heard of
depends on the clock. The figure that stays has evaluations only, so that one training leaves one and the same figure.

Sources
  [1] Jupyter's documentation, "Messaging in Jupyter", `update_display_data`.
  [2] Zhang et al., "Dive into Deep Learning", section 3.2: `Animator`, which is what readers know.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..experiment.records import METRICS, RunRecord, check_comparable
from .style import (
    COLORS,
    DASHES,
    METRIC_AXES,
    METRIC_TITLES,
    OTHER_COLORS,
    OTHER_DASH,
    Picture,
    kind_color,
    label_ends,
    line_look,
    net_width,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from ..training.loop import Evaluation, Event


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


PACE = 0.5  # seconds between two drawings at least
SHARE = 0.1  # of the time, at most, goes into drawing ...
LONGEST = 5.0  # seconds: ... but nobody waits longer than this; the first drawing, which loads fonts, may take a few
RESOLUTION = 300  # parts of the width: less progress than this cannot be seen
WINDOW = 1 / 30  # of all steps: about so many are averaged in the smoothed loss of batches
FLOOR = 1e-6  # the least loss on a logarithmic scale, which has no zero
MARKS = 40  # of more evaluations than these a line is enough


@dataclass
class _Curve:
    """What has been heard of one training."""

    steps: int
    step: int = 0
    evaluations: dict[int, Evaluation] = field(default_factory=dict)
    trace: list[tuple[int, float]] = field(default_factory=list)  # (step, smoothed loss of batches)

    def hear(self, event: Event) -> bool:
        """Take an event in and return whether there is something new to see."""
        self.step, self.steps = event.step, event.steps
        for evaluation in (*event.earlier, event.evaluation):
            if evaluation is not None:
                self.evaluations[evaluation.step] = evaluation
        if event.kind != "step":
            return event.kind != "evaluating"
        before, last = self.trace[-1] if self.trace else (0, event.loss)
        if self.trace and event.step - before < self.steps / RESOLUTION:
            return False
        past = math.exp(-(event.step - before) / (self.steps * WINDOW))  # of unevenly spaced steps, too
        self.trace.append((event.step, past * last + (1 - past) * event.loss))
        return True

    def points(self, metric: str) -> tuple[list[int], list[float]]:
        """Return the steps and values of the evaluations; those that are no finite number are left out."""
        values = {step: getattr(e, metric) for step, e in sorted(self.evaluations.items())}
        finite = {step: value for step, value in values.items() if math.isfinite(value)}
        return list(finite), list(finite.values())


class LiveCurves:
    """Curves of nets while they train: `with LiveCurves() as live: degradation.run(on_event=live)`.

    metric:  "train_error" (the training error first), or another of `figure.METRIC_TITLES`, or several, drawn one below
             the other.
    caption: below the figure that stays; None says how to read it.
    clock:   seconds, for tests.

    For nets that are trained one by one: `train(net, ..., callback=live.named("plain20"))`, or `callback=live` for a
    single one. What has a net's name has its look in this book. Several seeds of a net are several lines.

    The figure is redrawn at most twice a second, less often where that would take a tenth of the time, and only if
    something has changed.
    Training that ends in an exception, or by Ctrl-C, leaves the figure of what there is.

    picture: the `figure.Picture` of what has been heard so far; None before anything has.
    drawn:   how often the figure was drawn while training.

    Raises `ValueError` for an unknown metric, `RuntimeError` if it hears something outside of its `with` block.
    """

    def __init__(
        self,
        metric: str | Sequence[str] = "train_error",
        *,
        caption: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = (metric,) if isinstance(metric, str) else tuple(metric)
        if not self.metrics or any(m not in METRIC_TITLES for m in self.metrics):
            raise ValueError(f"`metric` must be one or several of {', '.join(METRIC_TITLES)}, but it is {metric!r}")
        self.caption, self.clock = caption, clock
        self._begin()

    def _begin(self) -> None:
        self.drawn = 0
        self._curves: dict[tuple[str, int], _Curve] = {}
        self._display: Any = None  # the handle of the output, once there is one
        self._open = self._news = self._stopped = False
        self._next = -math.inf  # the time before which nothing is drawn

    def __enter__(self) -> LiveCurves:
        self._begin()
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._open, self._stopped = False, kind is not None
        if self._curves:
            self._show()

    def __call__(self, *told: Any) -> None:
        """Hear of a training: `(cell, event)`, as `degradation.run` tells it, or `(event,)` of a net without a name."""
        cell, event = told if len(told) == 2 else (None, *told)
        self._hear(("net", 0) if cell is None else (cell.net, cell.seed), event)

    def named(self, name: str, seed: int = 0) -> Callable[[Event], None]:
        """Return a callback for the training of a net that is to be called `name` in the figure."""
        return lambda event: self._hear((name, seed), event)

    @property
    def picture(self) -> Picture | None:
        """The figure of what has been heard so far."""
        return self._draw(final=not self._open) if self._curves else None

    def _hear(self, key: tuple[str, int], event: Event) -> None:
        if not self._open:
            raise RuntimeError("these curves are closed: use them inside of `with LiveCurves() as live:`")
        curve = self._curves.setdefault(key, _Curve(event.steps))
        self._news |= curve.hear(event)
        if self._news and self.clock() >= self._next:
            begin, self._news = self.clock(), False
            if self._show():
                self.drawn += 1
            end = self.clock()
            self._next = end + min(max(PACE, (end - begin) / SHARE), LONGEST)

    def _show(self) -> bool:
        """Show the figure, in place of the one before; return False outside of a notebook."""
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if getattr(shell, "kernel", None) is None:
            return False
        picture = self._draw(final=not self._open)
        if self._display is None:
            from IPython.display import display

            self._display = display(picture, display_id=True)
        else:
            self._display.update(picture)
        return True

    def _draw(self, final: bool) -> Picture:
        """Return the figure; `final` is the one that stays."""
        looks = _looks(list(dict.fromkeys(name for name, _ in self._curves)))
        with style():
            fig, axes = _canvas(len(self.metrics), max(map(len, looks)))
            for ax, metric in zip(axes, self.metrics, strict=True):
                for (name, _), curve in self._curves.items():
                    _live_line(ax, curve, metric, looks[name], traced=self._stopped or not final)
                self._scale(ax, metric)
                label_ends(ax, [(ax.get_xlim()[1], y, name, looks[name][0]) for name, y in self._ends(metric).items()])
            axes[-1].set_xlabel("training steps (batches)")
        return Picture(fig, self._alt(final), self._caption(final))

    def _scale(self, ax: Axes, metric: str) -> None:
        ax.set(title=METRIC_TITLES[metric], ylabel=METRIC_AXES[metric])
        ax.set_xlim(0, max(curve.steps for curve in self._curves.values()))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        if metric.endswith("loss"):
            ax.set_yscale("log")
        else:
            top = max((max(curve.points(metric)[1], default=0) for curve in self._curves.values()), default=0)
            ax.set_ylim(0, min(100, max(1, top * 1.06)) if top else 100)

    def _ends(self, metric: str) -> dict[str, float]:
        """Return where each net is, the mean over its seeds; of a loss before its first evaluation, the trace's end."""
        found: dict[str, list[float]] = {}
        for (name, _), curve in self._curves.items():
            values = curve.points(metric)[1]
            if not values and metric == "train_loss":
                values = [loss for _, loss in curve.trace]
            if values:
                found.setdefault(name, []).append(max(values[-1], FLOOR if metric.endswith("loss") else 0.0))
        return {name: sum(values) / len(values) for name, values in found.items()}

    def _under_way(self) -> str:
        """Say which trainings have not ended, and where they are."""
        several = len({seed for _, seed in self._curves}) > 1
        return "; ".join(
            f"{name}{f' (seed {seed})' if several else ''} at step {curve.step:,} of {curve.steps:,}"
            for (name, seed), curve in self._curves.items()
            if curve.steps not in curve.evaluations
        )

    def _caption(self, final: bool) -> str:
        if not final:
            return f"Training: {self._under_way() or 'nearly done'}."
        read = self.caption or "Each point is an evaluation on all of these images, in evaluation mode."
        if self.caption is None and len({seed for _, seed in self._curves}) > 1:
            read += " One line for each seed, labelled at their mean."
        return f"Stopped early: {self._under_way() or 'at the end'}. {read}" if self._stopped else read

    def _alt(self, final: bool) -> str:
        parts = [f"Line chart over {max(curve.steps for curve in self._curves.values()):,} training steps."]
        if not final or self._stopped:
            parts.append(f"Not at the end: {self._under_way() or 'nearly done'}.")
        for metric in self.metrics:
            ends = sorted(self._ends(metric).items(), key=lambda end: -end[1])
            unit = "" if metric.endswith("loss") else "%"
            listed = "; ".join(f"{name} {value:.3g}{unit}" for name, value in ends) or "nothing evaluated yet"
            parts.append(f"{METRIC_TITLES[metric]}, where each net is, highest first: {listed}.")
        return " ".join(parts)


def _looks(names: list[str]) -> dict[str, tuple[str, Any, float]]:
    """Return the look of each line: of nets the deepest has the widest, as in `plots.degradation`."""
    depths = {name: int(d) for name in names if (d := name.removeprefix("plain").removeprefix("resnet")).isdigit()}
    looks = {name: line_look(name, place) for place, name in enumerate(names)}
    return {
        name: (color, dash, net_width(depths[name], list(depths.values())) if name in depths else width)
        for name, (color, dash, width) in looks.items()
    }


def _canvas(panels: int, letters: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels one below the other, with room for labels of so many letters on the right.

    Margins are fixed: to have them fitted takes several times as long as to draw.
    """
    width, height = 5.4, 3.4
    left, right, bottom, top = 0.8, min(2.0, 0.4 + 0.1 * letters), 0.58, 0.42
    fig = Figure(figsize=(width, height * panels))
    share = 1 / panels
    boxes = [
        (left / width, 1 - (k + 1) * share + bottom / height * share, 1 - (left + right) / width) for k in range(panels)
    ]
    return fig, [fig.add_axes((x, y, w, (1 - (bottom + top) / height) * share)) for x, y, w in boxes]


def _live_line(ax: Axes, curve: _Curve, metric: str, look: tuple[str, Any, float], traced: bool) -> None:
    color, dash, width = look
    floor = FLOOR if metric.endswith("loss") else 0.0
    steps, values = curve.points(metric)
    marker = "o" if len(steps) <= MARKS else None
    ax.plot(steps, [max(v, floor) for v in values], color=color, ls=dash, lw=width, marker=marker, ms=width + 1.6)
    if traced and metric == "train_loss" and curve.trace:
        steps, values = zip(*curve.trace, strict=True)
        ax.plot(steps, [max(v, floor) for v in values], color=color, lw=0.8, alpha=0.6)
