"""Errors and losses over training steps: of finished records, and of nets while they train; a label at each line.

Colour and dash tell plain from residual nets, and width the depth.

Live curves are one figure, updated in place by its display id ([1]). Outside a notebook nothing is shown, and `picture`
has the figure.

Source
  [1] Jupyter's documentation, "Messaging in Jupyter", `update_display_data`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..experiment.records import RunRecord, by_net, check_comparable, dataset_words, unseen
from ..support.validate import one_of
from ..training.loop import Event
from .style import (
    WIDTH,
    Picture,
    columns_of,
    drawable,
    in_words,
    label_ends,
    looks,
    new_figure,
    set_decades,
    set_steps,
    style,
)

TITLE = "Training error, on all training images"
MARKS = 40  # of more evaluations than these a line is enough


def _set_axes(ax: Axes, title: str, last_step: int, ticks: int = 6, unit: str = "%") -> None:
    """Set the title, labels and scales of a panel of errors, or of losses in nats, whose lines have been drawn."""
    set_steps(ax, last_step, ticks)
    if unit == "%":
        top = ax.dataLim.y1  # -inf without data
        ax.set(title=title, ylabel="error (%)", ylim=(0, min(100, max(1, top * 1.06)) if top > 0 else 100))
    else:
        ax.set(title=title, ylabel="loss (nats)")
        set_decades(ax)


def degradation(records: Iterable[RunRecord], caption: str | None = None) -> Picture:
    """Return the curves of a study over training steps: training errors, and below them test errors, or those on
    the images held out.

    Of several seeds the mean is drawn, over a band from the least to the greatest.

    Raises `RecordError` for records that cannot be compared.
    """
    records = sorted(check_comparable(records), key=lambda record: (record.kind, record.depth))
    nets, last = by_net(records), max(int(record.final["step"]) for record in records)
    found, seeds, other = looks(nets), len({r.seed for r in records}), unseen(records[0].dataset["name"])
    titles = {"train_error": TITLE, "test_error": f"{other.capitalize()} error, on all {other} images"}
    over = f", means of {seeds} seeds over bands from the least to the greatest" if seeds > 1 else ""
    alt = [f"Line chart over {last:,} training steps on {dataset_words(records[0].dataset['name'])}{over}."]
    with style():
        fig, axes = new_figure(8.4, rows=2)
        for ax, (metric, title) in zip(axes, titles.items(), strict=True):
            means, ends = {}, []
            for net, group in nets.items():
                look, curves = found[net], [dict(zip(*record.curve(metric), strict=True)) for record in group]
                steps = sorted(set.intersection(*map(set, curves)))  # those that all records of the net have
                columns = [[curve[step] for curve in curves] for step in steps]
                means[net], low, high = ([combine(column) for column in columns] for combine in (fmean, min, max))
                if low != high:
                    ax.fill_between(steps, low, high, color=look.color, alpha=0.18, linewidth=0)
                marker = "o" if len(steps) <= 4 else None  # a curve of few points should not look like more
                ends += look.draw(ax, steps, means[net], net, marker=marker, ms=look.width + 2)
            _set_axes(ax, title, last)
            label_ends(ax, ends)
            words = in_words(sorted(means.items(), key=lambda line: -line[1][-1]), "%")
            alt.append(f"{title}, highest at the end first: {words}.")
        axes[-1].set_xlabel("training steps (batches)")
    return Picture(fig, " ".join(alt), caption)


def training(record: RunRecord, caption: str | None = None) -> Picture:
    """Return loss and error of one run over its steps."""
    names, last = {"train": "training", "test": unseen(record.dataset["name"])}, int(record.final["step"])
    alt = [f"Line charts over {last:,} training steps of {record.net} on {record.dataset['name']}."]
    with style():
        fig, axes = new_figure(8.4, rows=2)
        for ax, what in zip(axes, ("loss", "error"), strict=True):
            ends, found, unit = [], looks(names.values()), "%" if what == "error" else ""
            for part, name in names.items():
                steps, values = record.curve(f"{part}_{what}")
                marker = "o" if len(steps) <= MARKS else None
                ends += found[name].draw(ax, steps, drawable(values), name, marker=marker, ms=found[name].width + 1.6)
            title = "Loss" if what == "loss" else "Error (accuracy is 100% less this)"
            _set_axes(ax, title, last, unit=unit)
            label_ends(ax, ends)
            told = ((name, record.curve(f"{part}_{what}")[1]) for part, name in names.items())
            alt.append(f"{what.capitalize()}: {in_words(told, unit)}.")
        axes[-1].set_xlabel("training steps (batches)")
    return Picture(fig, " ".join(alt), caption)


def rates(
    grid: Mapping[float, Iterable[RunRecord]], steps: Sequence[int] = (200, 1000), caption: str | None = None
) -> Picture:
    """Return the training error over the rate, a row for each number of steps: the mean of the seeds, and a dot a run.

    grid: learning rate -> the records of a study, such as `load_grid()`.

    Raises `ValueError` for a step without an evaluation, `RecordError` for records that cannot be compared.
    """
    rates, values = sorted(grid), {}  # values: net -> step -> values of the runs, a list for each rate
    for rate in rates:
        for net, group in by_net(grid[rate]).items():
            curves = [dict(zip(*record.curve("train_error"), strict=True)) for record in group]
            for step in steps:
                found = [curve[one_of("steps", step, curve)] for curve in curves]
                values.setdefault(net, {}).setdefault(step, []).append(found)
    means = {step: {net: list(map(fmean, found[step])) for net, found in values.items()} for step in steps}
    top = 1.04 * max(value for found in values.values() for runs in found.values() for run in runs for value in run)
    with style():
        fig, axes = new_figure(2 + 1.9 * len(steps), rows=len(steps))
        for ax, step in zip(axes, steps, strict=True):
            for net, look in looks(values).items():
                look.draw(ax, rates, means[step][net], net)
                dots = [(rate, value) for rate, runs in zip(rates, values[net][step], strict=True) for value in runs]
                ax.plot(*zip(*dots, strict=True), "o", color=look.color, ms=look.width + 2, alpha=0.5, mew=0)
            ax.set(title=f"after {step:,} steps", xlabel="learning rate", xscale="log", ylim=(0, top))
            ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
            ax.minorticks_off()
            ax.label_outer()
            ax.set_ylabel("error (%)")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns_of(values))
    words = ". ".join(f"After {step:,} steps: {in_words(means[step].items(), '%')}" for step in steps)
    over = f"over the learning rate, {rates[0]:g} to {rates[-1]:g}"
    return Picture(fig, f"{TITLE}, {over}. {words}.", caption)


PACE = 0.5  # seconds between two drawings at least
SHARE = 1 / 32  # of the time, at most, goes into drawing ...
LONGEST = 5.0  # seconds: ... but nobody waits longer than this; the first drawing, which loads fonts, may take a few


@dataclass
class _Training:
    """What is known of one training so far."""

    steps: int
    step: int = 0
    errors: dict[int, float] = field(default_factory=dict)  # step of an evaluation -> training error (percent)

    @property
    def ended(self) -> bool:
        return self.steps in self.errors


class LiveCurves:
    """Training errors of nets while they train: `with LiveCurves() as live: degradation.run(on_event=live)`.

    For nets that are trained one by one: `train(net, ..., callback=live.named("plain20"))`, or `callback=live` for a
    single one. What has a net's name has its look in this book. Several seeds of a net are several lines.

    The figure is redrawn at most twice a second, less often where that would take a 32nd of the time, and only if
    something has changed. Training that ends in an exception, or by Ctrl-C, leaves the figure of what there is.

    Raises `RuntimeError` for an event outside of its `with` block.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self._open, self._trainings = clock, False, {}

    def __enter__(self) -> LiveCurves:
        self._trainings: dict[tuple[str, int], _Training] = {}  # (net, seed) -> training
        self._display: Any = None  # the handle of the output, once there is one
        self._open, self._changed = True, False
        self._next = -math.inf  # the time before which nothing is drawn
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
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
        """The figure of what is known so far; None before anything is."""
        return self._draw() if self._trainings else None

    def _update(self, key: tuple[str, int], event: Event) -> None:
        if not self._open:
            raise RuntimeError("these curves are closed: use them inside of `with LiveCurves() as live:`")
        training = self._trainings.setdefault(key, _Training(event.steps))
        training.step, training.steps = event.step, event.steps
        training.errors |= {e.step: e.train_error for e in (*event.earlier, event.evaluation) if e is not None}
        self._changed |= event.kind != "evaluating"
        if self._changed and self.clock() >= self._next:
            begin, self._changed = self.clock(), False
            self._show()
            end = self.clock()
            self._next = end + min(max(PACE, (end - begin) / SHARE), LONGEST)

    def _show(self) -> None:
        """Show the figure, in place of the one before; do nothing outside of a notebook."""
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if getattr(shell, "kernel", None) is None:
            return
        if self._display is None:
            from IPython.display import display

            self._display = display(self._draw(), display_id=True)
        else:
            self._display.update(self._draw())

    def _draw(self) -> Picture:
        found, ends, height = looks(name for name, _ in self._trainings), {}, 4.2  # inches
        last_step = max(training.steps for training in self._trainings.values())
        with style():
            # Margins are fixed, with room for the labels' letters: to have them fitted takes longer than to draw.
            fig, right = Figure(figsize=(WIDTH, height)), min(2.6, 0.45 + 0.12 * max(map(len, found)))
            ax = fig.subplots()
            fig.subplots_adjust(0.8 / WIDTH, 0.68 / height, 1 - right / WIDTH, 1 - 0.42 / height)
            for (name, _), training in self._trainings.items():
                look, errors = found[name], list(training.errors.values())
                marker = "o" if len(errors) <= MARKS else None
                look.draw(ax, list(training.errors), errors, "", marker=marker, ms=look.width + 1.6)
                ends.setdefault(name, []).extend(errors[-1:])
            means = sorted(((name, fmean(values)) for name, values in ends.items() if values), key=lambda end: -end[1])
            _set_axes(ax, TITLE, last_step, ticks=5)
            label_ends(ax, [(last_step, y, name, found[name].color) for name, y in means])
            ax.set_xlabel("training steps (batches)")
        words = "; ".join(f"{name} {y:.3g}%" for name, y in means) or "nothing evaluated yet"
        where = f"{TITLE}, where each net is, highest first: {words}."
        alt = " ".join(filter(None, [f"Line chart over {last_step:,} training steps.", self._progress(), where]))
        caption = "Each point is an evaluation on all of these images, in evaluation mode."
        if len({seed for _, seed in self._trainings}) > 1:
            caption += " One line for each seed, labelled at their mean."
        return Picture(fig, alt, f"{self._progress()} {caption}".strip())

    def _progress(self) -> str:
        """Return which trainings have not ended, and where they are, in words."""
        places = [
            f"{name} (seed {seed}) at step {training.step:,} of {training.steps:,}"
            for (name, seed), training in self._trainings.items()
            if not training.ended
        ]
        return f"{'Training' if self._open else 'Stopped early'}: {'; '.join(places)}." if places else ""
