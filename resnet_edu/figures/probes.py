"""Drawings of probe records, in the book's one style and with what they show in words.

Colour and dash tell plain from residual nets, or one moment from another; every line is labelled at its end.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 7: responses.
  [2] Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016,
      figures 3 and 5: lesions and reordering.
  [3] Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, figure 2: slices.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..experiment.records import RunRecord
from ..probes.records import GradientRecord, IdentityRecord, LandscapeRecord, LesionRecord, ProbeRecord, ResponseRecord
from .style import (
    End,
    Look,
    Picture,
    drawable,
    in_words,
    kind_color,
    label_ends,
    looks,
    new_figure,
    set_decades,
    short,
    style,
)

Line = tuple[str, Sequence[float | None], Look]  # name, values, look


def gradients(record: GradientRecord, caption: str | None = None) -> Picture:
    """Return the gradient's length at each layer, a line for each moment of the record."""
    if not record.moments:
        raise ValueError(f"{_name(record)} has no moment to draw: it diverged at step {record.diverged}")
    norms = {_after(moment["step"]): moment["norms"] for moment in record.moments}
    found = looks(norms)
    with style():
        fig, (ax,) = new_figure()
        lines = [(when, values, found[when]) for when, values in norms.items()]
        ends = _draw_lines(ax, lines, "layer, from image to classes")
        set_decades(ax)
        ax.set(ylabel="length of the gradient", title=f"Gradients of {_name(record)}")
        label_ends(ax, ends)
    stop = "" if record.diverged is None else f" The loss is no longer finite {_after(record.diverged)}."
    what = f"Line chart of the gradient's length by layer, on a logarithmic scale, of {_name(record)}"
    return Picture(fig, f"{what}: {in_words(lines)}.{stop}", caption)


def responses(records: Iterable[ResponseRecord], caption: str | None = None) -> Picture:
    """Return the standard deviations of the layers' responses, in their order above and sorted below ([1])."""
    records = _checked(ResponseRecord, records)
    found = looks(r.net for r in records)
    in_order = [(_name(r), r.deviations, found[r.net]) for r in records]
    ranked = [(name, sorted(_known(values), reverse=True), look) for name, values, look in in_order]
    with style():
        fig, axes = new_figure(7.6, rows=2)
        labels = ("layer, from image to classes", "layer, strongest response first")
        for ax, lines, xlabel in zip(axes, (in_order, ranked), labels, strict=True):
            ends = _draw_lines(ax, lines, xlabel)
            ax.set_ylim(0, None)
            ax.set_ylabel("standard deviation")
            label_ends(ax, ends)
        axes[0].set_title("Responses of the layers")
    alt = (
        f"Two line charts of the standard deviation of each 3x3 layer's response on {_images(records[0])}. In the "
        f"order of the layers: {in_words(in_order)}. Strongest first: {in_words(ranked)}."
    )
    return Picture(fig, alt, caption)


def lesions(records: Iterable[LesionRecord], caption: str | None = None) -> Picture:
    """Return the error without each single block, and with blocks exchanged where a record has that ([2])."""
    records = _checked(LesionRecord, records)
    found = looks(r.net for r in records)
    shuffled = any(r.shuffles for r in records)
    with style():
        fig, axes = new_figure(8.0 if shuffled else 4.2, rows=2 if shuffled else 1)
        lines = [(_name(r), [drop["error"] for drop in r.drops], found[r.net]) for r in records]
        ends = _draw_lines(axes[0], lines, "block left out, from image to classes", marker="o")
        for r in records:
            axes[0].axhline(r.error, color=found[r.net].color, lw=0.8, alpha=0.7)
        axes[0].set(ylabel="error (%)", ylim=(0, 100), title="One block left out")
        if shuffled:
            label_ends(axes[1], _draw_shuffles(axes[1], records, found))
        label_ends(axes[0], ends)
    what = "Two line charts" if shuffled else "Line chart"
    words = ". ".join(map(_lesion_words, records))
    return Picture(fig, f"{what} of the error on {_images(records[0])}. {words}.", caption)


def _draw_shuffles(ax: Axes, records: list[LesionRecord], found: dict[str, Look]) -> list[End]:
    """Draw each trial as a point and the mean of each number of swaps as a line; return the lines' ends."""
    ends = []
    for r in records:
        look, errors = found[r.net], {}
        for trial in r.shuffles:
            errors.setdefault(trial["swaps"], []).append(trial["error"])
        for swaps, values in errors.items():
            look.draw(ax, [swaps] * len(values), values, "", ls="", marker="o", ms=3.5, alpha=0.6)
        ends += look.draw(ax, list(errors), [fmean(values) for values in errors.values()], _name(r))
    ticks = sorted({trial["swaps"] for r in records for trial in r.shuffles})
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set(xlabel="pairs of blocks exchanged", ylabel="error (%)", ylim=(0, 100), title="Blocks of a stage exchanged")
    return ends


def _lesion_words(record: LesionRecord) -> str:
    drops = {drop["block"]: drop["error"] for drop in record.drops if drop["error"] is not None}
    worst = max(drops, key=drops.get)
    text = (
        f"{_name(record)} has {record.error:.1f}% as it is; without one of {len(drops)} blocks that can be left out a "
        f"median of {median(drops.values()):.1f}%, at most {drops[worst]:.1f}%, without {worst}"
    )
    errors = [trial["error"] for trial in record.shuffles]
    return text + (f"; with blocks exchanged {min(errors):.1f}% to {max(errors):.1f}%" if errors else "")


def landscape(records: Iterable[LandscapeRecord], caption: str | None = None) -> Picture:
    """Return the loss along a random direction, a line for each record ([3])."""
    records = _checked(LandscapeRecord, records)
    _check_finite(records, [loss for r in records for loss in r.loss])
    found, ends, words = looks(r.net for r in records), [], []
    with style():
        fig, (ax,) = new_figure()
        for r in records:
            ends += found[r.net].draw(ax, r.x, drawable(r.loss), _name(r))
            first, middle, last = (short(r.loss[i]) for i in (0, len(r.x) // 2, -1))
            words.append(f"{_name(r)} {middle} in the middle, {first} and {last} at the ends")
        set_decades(ax)
        ax.set(xlabel="step along a random direction, in filter lengths", ylabel="loss (nats)")
        ax.set_title("The loss around the trained weights")
        ax.set_xlim(min(r.x[0] for r in records), max(r.x[-1] for r in records))
        label_ends(ax, ends)
    alt = f"Line chart of the loss along a random direction, on a logarithmic scale: {'; '.join(words)}."
    return Picture(fig, alt, caption)


def identity(
    records: Iterable[IdentityRecord], trained: Iterable[RunRecord] = (), caption: str | None = None
) -> Picture:
    """Return the training loss of nets with identity blocks over their depth, beside nets trained at their depth.

    trained: run records of the same data, drawn at their depths as unconnected marks, for comparison.
    """
    records = _checked(IdentityRecord, records)
    _check_finite(records, [p["train_loss"] for r in records for p in r.points])
    found, ends, words = looks(r.net for r in records), [], []
    with style():
        fig, (ax,) = new_figure()
        for r in records:
            depths, losses, changes = ([p[key] for p in r.points] for key in ("depth", "train_loss", "change"))
            ends += found[r.net].draw(ax, depths, drawable(losses), _name(r), marker="o", ms=4)
            change = short(None if None in changes else max(changes))
            words.append(f"{in_words([(_name(r), losses)])} with {depths[-1]} layers, change of the logits {change}")
        for r in trained:
            (loss,) = drawable([r.final["train_loss"]])
            words.append(f"{r.net} trained at its depth {short(loss)}")
            if r.net not in found:  # else it is where a line begins
                look = Look(kind_color(r.kind), "", 1.5)
                look.draw(ax, [r.depth], [loss], r.net, marker="D", ms=7, mfc="none", mew=1.8)
                where = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center"}
                ax.annotate(f"{r.net}, trained", (r.depth, loss), **where)
        set_decades(ax)
        ax.set(xlabel="layers", ylabel="training loss (nats)", title="Identity blocks added to a trained net")
        ax.set_xlim(0, None)
        ax.margins(y=0.15)
        label_ends(ax, ends)
    alt = f"Line chart of the training loss over depth, on a logarithmic scale: {'; '.join(words)}."
    return Picture(fig, alt, caption)


def _checked(kind: type[ProbeRecord], records: Iterable[Any]) -> list[Any]:
    """Return the records as a list if there are any, and of one kind and one data set."""
    records = list(records)
    if not records or not all(isinstance(r, kind) for r in records):
        raise ValueError(f"this figure is made of {kind.__name__}s, but it got {[type(r).__name__ for r in records]}")
    if len({r.dataset["fingerprint"] for r in records}) > 1:
        raise ValueError("the records were made with different data, so they cannot be compared in one figure")
    return records


def _check_finite(records: Sequence[ProbeRecord], losses: Iterable[float | None]) -> None:
    if not _known(losses):
        raise ValueError(f"{', '.join(map(_name, records))}: there is nothing to draw, since no loss is finite")


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _name(record: ProbeRecord) -> str:
    return record.net if record.batch_norm else f"{record.net}, no batch norm"


def _images(record: ProbeRecord) -> str:
    return "{images} {part} images of {name}".format(**record.dataset)


def _after(step: int) -> str:
    return "at the start" if step == 0 else f"after {step} step{'s' * (step > 1)}"


def _draw_lines(ax: Axes, lines: Sequence[Line], what: str, marker: str | None = None) -> list[End]:
    """Draw values over 1, 2, 3, ... and return the lines' ends for `label_ends`.

    Lines of unequal length are drawn over their share of the way instead, so that all of them end at the right.
    """
    ends = []
    longest = max(len(values) for _, values, _ in lines)
    share = any(len(values) != longest for _, values, _ in lines)
    for name, values, look in lines:
        x = [100 * i / max(1, len(values) - 1) if share else i + 1 for i in range(len(values))]
        ends += look.draw(ax, x, values, name, marker=marker, ms=3.5)
    ax.set_xlim(*((0, 100) if share else (1, max(2, longest))))
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xlabel(f"{what} (% of the way)" if share else what)
    return ends
