"""Errors and losses over training steps: of finished records, and of nets while they train; a label at each line.

In `degradation` and `LiveCurves` colour and dash tell plain from residual nets and width the depth; in `figure6` dash
and width tell training from test, and colour the depth. Labels at the lines' ends say the same.

Live curves are one figure, updated in place: a notebook replaces an output by its display id ([2]), in Jupyter, VS Code
and Colab alike. Outside a notebook nothing is shown, and `picture` has the figure. While a net trains, the loss of
single batches is drawn too, smoothed, as a thin line; how many of them are seen depends on the clock. The figure that
stays has evaluations only, so that one training leaves one and the same figure.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 1 and 6.
  [2] Jupyter's documentation, "Messaging in Jupyter", `update_display_data`.
  [3] Zhang et al., "Dive into Deep Learning", section 3.2: `Animator`, which is what readers know.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..experiment.records import METRICS, RunRecord, check_comparable
from ..nets.models import split_name
from ..training.loop import Evaluation, Event
from .style import (
    COLORS,
    METRIC_AXES,
    METRIC_TITLES,
    OTHER_COLORS,
    End,
    Look,
    Picture,
    label_ends,
    line_look,
    net_look,
    new_figure,
    set_steps,
    style,
)

BOTH = ("train_error", "test_error")
LEAST_LOSS = 1e-6  # nats; a loss that is smaller is drawn there: a logarithmic scale has no zero


# What finished and live curves share.


def _metrics(metric: str | Sequence[str]) -> tuple[str, ...]:
    """Return the metrics to draw, a panel for each; "both" is training and then test error."""
    several = isinstance(metric, Iterable) and not isinstance(metric, str)
    metrics = BOTH if metric == "both" else tuple(metric) if several else (metric,)
    if not metrics or any(m not in METRICS for m in metrics):
        raise ValueError(f"`metric` must be 'both', or of {', '.join(METRICS)}, but it is {metric!r}")
    return metrics


def _drawable(metric: str, values: Iterable[float]) -> list[float]:
    return [max(value, LEAST_LOSS) for value in values] if metric.endswith("loss") else list(values)


def _set_axes(ax: Axes, metric: str, values: Sequence[float], last_step: int, ticks: int) -> None:
    """Set the title, labels and scales of a panel that shows `values` of `metric`."""
    ax.set(title=METRIC_TITLES[metric], ylabel=METRIC_AXES[metric])
    set_steps(ax, last_step, ticks)
    if metric.endswith("loss"):
        ax.set_yscale("log")
        if not any(map(math.isfinite, values)):
            ax.set_ylim(0.1, 10)  # matplotlib finds no limits of a logarithmic axis without data
    else:
        top = max(values, default=0)
        ax.set_ylim(0, min(100, max(1, top * 1.06)) if top else 100)


# Finished records.

_DEPTH_COLORS = (*OTHER_COLORS, COLORS["resnet"], COLORS["plain"])
_KINDS = {"plain": "Plain nets", "resnet": "Residual nets"}
_PARTS = {"train_error": ("train", (0, (4, 1.6)), 1.3), "test_error": ("test", "-", 2.6)}  # dash and width in figure6


class _Curve(NamedTuple):
    """The steps that all records of a net have, and mean, least and greatest value of a metric at each."""

    metric: str
    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    seeds: int

    @classmethod
    def of(cls, records: list[RunRecord], metric: str) -> _Curve:
        curves = [dict(zip(*record.curve(metric), strict=True)) for record in records]
        steps = sorted(set.intersection(*map(set, curves)))
        columns = [[curve[step] for curve in curves] for step in steps]
        mean, low, high = ([combine(column) for column in columns] for combine in (fmean, min, max))
        return cls(metric, steps, mean, low, high, len(records))

    def draw(self, ax: Axes, look: Look, label: str) -> list[End]:
        """Draw the mean, over a band of several seeds, and return its end for `label_ends`."""
        mean, low, high = (_drawable(self.metric, values) for values in (self.mean, self.low, self.high))
        if self.seeds > 1:
            ax.fill_between(self.steps, low, high, color=look.color, alpha=0.18, linewidth=0)
        marker = "o" if len(self.steps) <= 4 else None  # a curve of few points should not look like more
        return look.draw(ax, self.steps, mean, label, marker=marker, ms=look.width + 2)


def _by_net(records: Iterable[RunRecord]) -> list[list[RunRecord]]:
    """Return the records of each net, by kind and depth."""
    groups: dict[tuple[str, int, str], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.kind, record.depth, record.net), []).append(record)
    return [groups[key] for key in sorted(groups)]


def _last_step(records: Iterable[RunRecord]) -> int:
    return max(int(record.final["step"]) for record in records)


def degradation(
    records: Iterable[RunRecord], metric: str | Sequence[str] = "train_error", caption: str | None = None
) -> Picture:
    """Return the curves of a study over training steps.

    metric:  one of `METRICS`, or several, drawn one below the other; "both" is training and then test error.
    caption: shown below the picture.

    Of several seeds the mean is drawn, over a band from the least to the greatest. Losses are on a logarithmic scale.

    Raises `ValueError` for another metric, `RecordError` for records that cannot be compared.
    """
    records, metrics = check_comparable(records), _metrics(metric)
    nets = [(r.kind, r.depth) for r in records]
    panels = {name: [(group[0], _Curve.of(group, name)) for group in _by_net(records)] for name in metrics}
    ends: list[list[End]] = [[] for _ in metrics]
    with style():
        fig, axes = new_figure(5.4, 3.4 * len(metrics), rows=len(metrics))
        for ax, (name, curves), labels in zip(axes, panels.items(), ends, strict=True):
            for net, curve in curves:
                labels += curve.draw(ax, net_look(net.kind, net.depth, nets), net.net)
            _set_axes(ax, name, [v for r in records for v in r.curve(name)[1]], _last_step(records), ticks=6)
        axes[-1].set_xlabel("training steps (batches)")
        for ax, labels in zip(axes, ends, strict=True):
            label_ends(ax, labels)
    return Picture(fig, _alt(records, panels), caption)


def _alt(records: list[RunRecord], panels: dict[str, list[tuple[RunRecord, _Curve]]]) -> str:
    """Return what `degradation` shows, in words and numbers."""
    seeds = len({r.seed for r in records})
    over = f", means of {seeds} seeds" if seeds > 1 else ""
    parts = [f"Line chart over {_last_step(records):,} training steps on {records[0].dataset['name']}{over}."]
    for metric, curves in panels.items():
        percent, listed = metric.endswith("error"), []
        for net, curve in sorted(curves, key=lambda found: -found[1].mean[-1]):
            first, last = curve.mean[0], curve.mean[-1]
            listed.append(f"{net.net} from {first:.1f}% to {last:.1f}%" if percent else f"{net.net} {last:.3g}")
        what = metric.replace("_", " ").replace("train ", "training ").capitalize()
        parts.append(f"{what}, highest at the end first: {'; '.join(listed)}.")
    return " ".join(parts)


def figure6(records: Iterable[RunRecord], caption: str | None = None, *, stacked: bool = False) -> Picture:
    """Return a study's curves in the layout of the paper's figure 6 ([1]): a panel for plain, one for residual nets.

    Training error is dashed, test error bold, over iterations; each depth has a colour. Of several seeds the mean is
    drawn, over a band from the least to the greatest. The axis ends somewhat above the worst final error, as the
    paper's ends at 20%, so that the ends can be told apart: what is above it at the beginning is cut off.

    caption: shown below the picture.
    stacked: one panel below the other, readable on a phone, instead of side by side.

    Raises `RecordError` for records that cannot be compared.
    """
    records = check_comparable(records)
    kinds = sorted({r.kind for r in records}, key=lambda kind: (kind not in _KINDS, kind))
    depths = sorted({r.depth for r in records})
    panels = {
        kind: [(g[0].depth, [_Curve.of(g, m) for m in _PARTS]) for g in _by_net(r for r in records if r.kind == kind)]
        for kind in kinds
    }
    worst = max(r.final[metric] for r in records for metric in _PARTS)
    top = min(100, max(1, 5 * math.ceil(1.4 * worst / 5)))
    ends: list[list[End]] = [[] for _ in kinds]
    with style():
        size = (5.4, 3.4 * len(kinds)) if stacked else (4.5 * len(kinds), 3.8)
        fig, axes = new_figure(*size, rows=len(kinds) if stacked else 1, columns=1 if stacked else len(kinds))
        for ax, (kind, nets), labels in zip(axes, panels.items(), ends, strict=True):
            for depth, curves in nets:
                color = _DEPTH_COLORS[depths.index(depth) % len(_DEPTH_COLORS)]
                for curve, (part, dash, width) in zip(curves, _PARTS.values(), strict=True):
                    labels += curve.draw(ax, Look(color, dash, width), f"{depth} {part}")
            set_steps(ax, _last_step(records), ticks=6 if stacked else 4)
            ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.set(title=_KINDS.get(kind, kind), ylim=(0, top))
        for ax in axes[-1:] if stacked else axes:
            ax.set_xlabel("iterations")
        for ax in axes if stacked else axes[:1]:
            ax.set_ylabel("error (%)")
        for ax, labels in zip(axes, ends, strict=True):
            label_ends(ax, labels)
    return Picture(fig, _alt6(records, panels, top), caption)


def _alt6(records: list[RunRecord], panels: dict[str, list[tuple[int, list[_Curve]]]], top: float) -> str:
    """Return what `figure6` shows, in words and numbers."""
    seeds = len({r.seed for r in records})
    over = f"{_last_step(records):,} iterations on {records[0].dataset['name']}"
    over += f", means of {seeds} seeds over bands from the least to the greatest" if seeds > 1 else ""
    parts = [f"Line charts of training error (dashed) and test error (bold) over {over}."]
    for kind, nets in panels.items():
        ends = [(depth, train.mean[-1], test.mean[-1]) for depth, (train, test) in nets]
        listed = [f"{depth} layers end at {a:.1f}% training and {b:.1f}% test error" for depth, a, b in ends]
        parts.append(f"{_KINDS.get(kind, kind)}: {'; '.join(listed)}.")
    if max(max(r.curve(metric)[1]) for r in records for metric in _PARTS) > top:
        parts.append(f"The axis ends at {top}%; higher errors at the beginning are cut off.")
    return " ".join(parts)


# Nets while they train.

PACE = 0.5  # seconds between two drawings at least
SHARE = 0.1  # of the time, at most, goes into drawing ...
LONGEST = 5.0  # seconds: ... but nobody waits longer than this; the first drawing, which loads fonts, may take a few
RESOLUTION = 300  # parts of the width: less progress than this cannot be seen
WINDOW = 1 / 30  # of all steps: about so many are averaged in the smoothed loss of batches
MARKS = 40  # of more evaluations than these a line is enough


@dataclass
class _Training:
    """What is known of one training so far."""

    steps: int
    step: int = 0
    evaluations: dict[int, Evaluation] = field(default_factory=dict)
    smoothed: list[tuple[int, float]] = field(default_factory=list)  # (step, loss of batches)

    def update(self, event: Event) -> bool:
        """Take in an event and return whether there is something new to see."""
        self.step, self.steps = event.step, event.steps
        for evaluation in (*event.earlier, event.evaluation):
            if evaluation is not None:
                self.evaluations[evaluation.step] = evaluation
        if event.kind != "step":
            return event.kind != "evaluating"
        before, last = self.smoothed[-1] if self.smoothed else (0, event.loss)
        if self.smoothed and event.step - before < self.steps / RESOLUTION:
            return False
        past = math.exp(-(event.step - before) / (self.steps * WINDOW))  # of unevenly spaced steps, too
        self.smoothed.append((event.step, past * last + (1 - past) * event.loss))
        return True

    def points(self, metric: str) -> tuple[list[int], list[float]]:
        """Return the steps and values of the evaluations; those that are no finite number are left out."""
        values = {step: getattr(e, metric) for step, e in sorted(self.evaluations.items())}
        finite = {step: value for step, value in values.items() if math.isfinite(value)}
        return list(finite), list(finite.values())


class LiveCurves:
    """Curves of nets while they train: `with LiveCurves() as live: degradation.run(on_event=live)`.

    metric:  one of `METRICS`, or several, drawn one below the other; "both" is training and then test error.
    caption: below the figure that stays; None says how to read it.
    clock:   seconds, for tests.

    For nets that are trained one by one: `train(net, ..., callback=live.named("plain20"))`, or `callback=live` for a
    single one. What has a net's name has its look in this book. Several seeds of a net are several lines.

    The figure is redrawn at most twice a second, less often where that would take a tenth of the time, and only if
    something has changed. Training that ends in an exception, or by Ctrl-C, leaves the figure of what there is.

    picture: the `Picture` of what is known so far; None before anything is.
    drawn:   how often the figure was drawn while training.

    Raises `ValueError` for an unknown metric, `RuntimeError` for an event outside of its `with` block.
    """

    def __init__(
        self,
        metric: str | Sequence[str] = "train_error",
        *,
        caption: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics, self.caption, self.clock = _metrics(metric), caption, clock
        self._reset()

    def _reset(self) -> None:
        self.drawn = 0
        self._trainings: dict[tuple[str, int], _Training] = {}  # (net, seed) -> training
        self._display: Any = None  # the handle of the output, once there is one
        self._open = self._changed = self._stopped = False
        self._next = -math.inf  # the time before which nothing is drawn

    def __enter__(self) -> LiveCurves:
        self._reset()
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._open, self._stopped = False, kind is not None
        if self._trainings:
            self._show()

    def __call__(self, *arguments: Any) -> None:
        """Take in `(cell, event)`, as `degradation.run` calls it, or `(event,)` of a net without a name."""
        *cell, event = arguments
        self._update((cell[0].net, cell[0].seed) if cell else ("net", 0), event)

    def named(self, name: str, seed: int = 0) -> Callable[[Event], None]:
        """Return a callback for the training of a net that is to be called `name` in the figure."""
        return lambda event: self._update((name, seed), event)

    @property
    def picture(self) -> Picture | None:
        """The figure of what is known so far."""
        return self._draw() if self._trainings else None

    def _update(self, key: tuple[str, int], event: Event) -> None:
        if not self._open:
            raise RuntimeError("these curves are closed: use them inside of `with LiveCurves() as live:`")
        training = self._trainings.setdefault(key, _Training(event.steps))
        self._changed |= training.update(event)
        if self._changed and self.clock() >= self._next:
            begin, self._changed = self.clock(), False
            self.drawn += self._show()
            end = self.clock()
            self._next = end + min(max(PACE, (end - begin) / SHARE), LONGEST)

    def _show(self) -> bool:
        """Show the figure, in place of the one before; return False outside of a notebook."""
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if getattr(shell, "kernel", None) is None:
            return False
        if self._display is None:
            from IPython.display import display

            self._display = display(self._draw(), display_id=True)
        else:
            self._display.update(self._draw())
        return True

    def _draw(self) -> Picture:
        names = list(dict.fromkeys(name for name, _ in self._trainings))
        depths = [depth for kind, depth in map(split_name, names) if kind in COLORS and depth]
        looks = {name: line_look(name, place, depths) for place, name in enumerate(names)}
        last_step = max(training.steps for training in self._trainings.values())
        with style():
            fig, axes = _new_figure(len(self.metrics), letters=max(map(len, names)))
            for ax, metric in zip(axes, self.metrics, strict=True):
                values: list[float] = []
                for (name, _), training in self._trainings.items():
                    values += self._draw_training(ax, name, training, metric, looks[name])
                _set_axes(ax, metric, values, last_step, ticks=5)
                label_ends(ax, [(last_step, y, name, looks[name].color) for name, y in self._ends(metric).items()])
            axes[-1].set_xlabel("training steps (batches)")
        return Picture(fig, self._alt(last_step), self._caption())

    def _draw_training(self, ax: Axes, name: str, training: _Training, metric: str, look: Look) -> list[float]:
        """Draw one training and return the values that were drawn."""
        steps, values = training.points(metric)
        marker = "o" if len(steps) <= MARKS else None
        look.draw(ax, steps, _drawable(metric, values), name, marker=marker, ms=look.width + 1.6)
        if metric == "train_loss" and training.smoothed and (self._open or self._stopped):
            steps, losses = zip(*training.smoothed, strict=True)
            ax.plot(steps, _drawable(metric, losses), color=look.color, lw=0.8, alpha=0.6)
            values = [*values, *losses]
        return values

    def _ends(self, metric: str) -> dict[str, float]:
        """Return where each net is, the mean over its seeds: at its last evaluation, or at its batches' loss so far."""
        found: dict[str, list[float]] = {}
        for (name, _), training in self._trainings.items():
            values = training.points(metric)[1]
            if not values and metric == "train_loss":
                values = [loss for _, loss in training.smoothed]
            if values:
                found.setdefault(name, []).extend(_drawable(metric, values[-1:]))
        return {name: fmean(values) for name, values in found.items()}

    def _progress(self) -> str:
        """Return which trainings have not ended, and where they are, in words."""
        several = len({seed for _, seed in self._trainings}) > 1
        return "; ".join(
            f"{name}{f' (seed {seed})' if several else ''} at step {training.step:,} of {training.steps:,}"
            for (name, seed), training in self._trainings.items()
            if training.steps not in training.evaluations
        )

    def _caption(self) -> str:
        if self._open:
            return f"Training: {self._progress() or 'nearly done'}."
        caption = self.caption
        if caption is None:
            caption = "Each point is an evaluation on all of these images, in evaluation mode."
            if len({seed for _, seed in self._trainings}) > 1:
                caption += " One line for each seed, labelled at their mean."
        return f"Stopped early: {self._progress() or 'at the end'}. {caption}" if self._stopped else caption

    def _alt(self, last_step: int) -> str:
        parts = [f"Line chart over {last_step:,} training steps."]
        if self._open or self._stopped:
            parts.append(f"Not at the end: {self._progress() or 'nearly done'}.")
        for metric in self.metrics:
            ends = sorted(self._ends(metric).items(), key=lambda end: -end[1])
            unit = "" if metric.endswith("loss") else "%"
            listed = "; ".join(f"{name} {value:.3g}{unit}" for name, value in ends) or "nothing evaluated yet"
            parts.append(f"{METRIC_TITLES[metric]}, where each net is, highest first: {listed}.")
        return " ".join(parts)


def _new_figure(panels: int, letters: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels one below the other, with room for labels of so many letters on the right.

    Margins are fixed: to have them fitted takes several times as long as to draw.
    """
    width, height = 5.4, 3.4  # inches, of a panel
    left, right, bottom, top = 0.8, min(2.0, 0.4 + 0.1 * letters), 0.58, 0.42
    fig = Figure(figsize=(width, height * panels))
    size = (1 - (left + right) / width, (1 - (bottom + top) / height) / panels)
    corners = [(left / width, 1 - (k + 1 - bottom / height) / panels) for k in range(panels)]
    return fig, [fig.add_axes((*corner, *size)) for corner in corners]
