"""What the records of a study say: a table, and one sentence that claims no more than the numbers do.

Scope: from records to text; training error first, because a net that generalises badly is another matter than one that
cannot even fit the images it is shown.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 and figure 6.

--- What a few runs can tell: their spread, the error of their mean, and how many seeds a difference takes.

Scope: numbers in, numbers out, for results such as test errors, one number a run. The simulations draw the results of
whole studies from normal distributions: they say what would happen if a study were done thousands of times.

Sources
  [1] Student, "The Probable Error of a Mean", Biometrika 6 (1908), pages 1-25: a mean of few values and its error.
  [2] Welch, "The generalization of 'Student's' problem when several different population variances are involved",
      Biometrika 34 (1947), pages 28-35: the difference of two means.
"""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..support.validate import is_number, whole
from .records import RunRecord, check_comparable

CLEAR = 1.0  # percentage points: a smaller difference of training errors is called none
LEARNT = 0.75  # of the error of guessing: a net above it has learnt too little to be compared
_COLUMNS = {  # key: (heading, decimals, unit in the cell)
    "net": ("net", None),
    "layers": ("layers", 0),
    "parameters": ("parameters", 0),
    "train_loss": ("train loss", 3),
    "train_error": ("train error %", 2),
    "test_error": ("test error %", 2),
    "seconds": ("seconds", 1),
}


class Summary(list):
    """A list of one dict a net, that prints as a table and shows as one in a notebook.

    Keys: net, layers, parameters, seeds (how many), and mean over the seeds of train_loss (nats), train_error and
    test_error (percent), seconds, each with its sample standard deviation as `<key>_std` (None for one seed).
    """

    def cells(self) -> list[list[str]]:
        """Return heading and rows as text."""
        several = any(row["seeds"] > 1 for row in self)
        rows = [[heading for heading, _ in _COLUMNS.values()] + (["seeds"] if several else [])]
        for row in self:
            cells = [_cell(row, key, decimals) for key, (_, decimals) in _COLUMNS.items()]
            rows.append(cells + ([str(row["seeds"])] if several else []))
        return rows

    def __str__(self) -> str:
        return cells_as_text(self.cells())

    __repr__ = __str__  # the prompt of Python shows the table, as a notebook does

    def _repr_html_(self) -> str:
        caption = "Training first: loss and error in eval mode, after the last step"
        return cells_as_html(self.cells(), "resnet-summary", caption)


def cells_as_text(rows: list[list[str]]) -> str:
    """Return rows of cells, the heading first, as plain text: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([r[0].ljust(widths[0]), *map(str.rjust, r[1:], widths[1:])]).rstrip() for r in rows]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def cells_as_html(rows: list[list[str]], css_class: str, caption: str) -> str:
    """Return rows of cells, the heading first, as an HTML table with a caption."""
    heading, *rows = rows
    head = "".join(f'<th scope="col">{html.escape(c)}</th>' for c in heading)
    body = "".join(
        f'<tr><th scope="row">{html.escape(r[0])}</th>'
        + "".join(f'<td style="text-align:right">{html.escape(c)}</td>' for c in r[1:])
        + "</tr>"
        for r in rows
    )
    return (
        # On a phone the table is pushed sideways, not the page; the arrow keys do so as well.
        f'<div style="overflow-x:auto" tabindex="0" role="group" aria-label="{html.escape(caption)}">'
        f'<table class="resnet-table {css_class}"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(row: dict[str, Any], key: str, decimals: int | None) -> str:
    if decimals is None:
        return row[key]
    spread = row.get(f"{key}_std")
    return f"{row[key]:,.{decimals}f}" + (f" ± {spread:.{decimals}f}" if spread is not None else "")


def summary(records: Iterable[RunRecord]) -> Summary:
    """Return one row a net, in the order of the records: means over the seeds, with standard deviations.

    Raises `records.RecordError` for records of different data sets or recipes, or for none.
    """
    groups: dict[str, list[RunRecord]] = {}
    for record in check_comparable(records):
        groups.setdefault(record.net, []).append(record)
    rows = Summary()
    for net, group in groups.items():
        row = {"net": net, "layers": group[0].depth, "parameters": group[0].parameters, "seeds": len(group)}
        for key in ("train_loss", "train_error", "test_error", "seconds"):
            values = [r.seconds if key == "seconds" else r.final[key] for r in group]
            row[key] = statistics.fmean(values)
            row[f"{key}_std"] = statistics.stdev(values) if len(values) > 1 else None
        rows.append(row)
    return rows


def headline(records: Iterable[RunRecord]) -> str:
    """Return one sentence on what the final training errors show: of the deepest and the shallowest plain net, and then
    of their residual twins.

    It says so when the degradation does not show: too few steps, a difference that is small or within the seeds'
    spread, seeds that disagree, or nets that are missing.

    Raises `records.RecordError` as `summary` does.
    """
    records = check_comparable(records)
    error = {(r.kind, r.depth, r.seed): r.final["train_error"] for r in records}
    depths = sorted({depth for kind, depth, _ in error if kind == "plain"})
    if len(depths) < 2:
        return (
            "Whether depth alone makes training harder cannot be told from these records: it takes plain nets of two "
            "depths, such as plain20 and plain56."
        )
    low, high = depths[0], depths[-1]
    seeds = sorted(
        {s for k, d, s in error if (k, d) == ("plain", low)} & {s for *kd, s in error if kd == ["plain", high]}
    )
    if not seeds:
        return f"Nothing can be said of these records: plain{low} and plain{high} have no seed in common."

    def mean(kind: str, depth: int) -> float:
        return statistics.fmean(error[kind, depth, s] for s in seeds)

    data, steps = records[0].dataset["name"], int(records[0].final["step"])
    shallow, deep = mean("plain", low), mean("plain", high)
    gaps = [error["plain", high, s] - error["plain", low, s] for s in seeds]
    gap = statistics.fmean(gaps)
    spread = statistics.stdev(gaps) if len(gaps) > 1 else 0.0
    chance = 100 * (1 - 1 / max(2, len(records[0].dataset.get("classes", ()))))
    over = "one seed" if len(seeds) == 1 else f"means of {len(seeds)} seeds"
    begin = f"After {steps:,} steps on {data}"
    both = f"plain{low} gets {shallow:.1f}% of its own training images wrong, plain{high} {deep:.1f}% ({over})"
    if shallow > LEARNT * chance:
        return (
            f"{begin} it is too early to tell: even plain{low} still gets {shallow:.1f}% of its own training images "
            f"wrong (guessing: {chance:.0f}%); train for more steps."
        )
    if min(gaps) < 0 < max(gaps) and abs(gap) < 2 * spread:
        worse = sum(g > 0 for g in gaps)
        return (
            f"{begin} the seeds disagree: {both}, but the deeper one is worse in only {worse} of "
            f"{len(gaps)} seeds, so no degradation can be claimed."
        )
    if abs(gap) < CLEAR or abs(gap) < spread:
        why = f"within the seeds' spread of {spread:.1f} points" if abs(gap) >= CLEAR else "no difference to speak of"
        return f"{begin} the degradation does not show: {both}, {why}."
    if gap < 0:
        return f"{begin} the degradation does not show, rather its opposite: {both}."
    told = f"{begin} the deeper plain net is the worse one, in training already: {both}"
    return f"{told}; {_residual(error, low, high, seeds, gap)}."


def _residual(error: dict, low: int, high: int, seeds: list[int], gap: float) -> str:
    """Say what the residual twins do, given the plain nets' gap in percentage points."""
    if not all(("resnet", d, s) in error for d in (low, high) for s in seeds):
        return "for what shortcuts do, residual twins of both depths are needed"
    shallow, deep = (statistics.fmean(error["resnet", d, s] for s in seeds) for d in (low, high))
    numbers = f"resnet{low} {shallow:.1f}%, resnet{high} {deep:.1f}%"
    if deep - shallow < CLEAR:
        return f"with shortcuts the same layers hardly suffer from depth: {numbers}"
    if deep - shallow < gap:
        return f"with shortcuts the same layers suffer less from depth: {numbers}"
    return f"with shortcuts it is no better here: {numbers}"


TRIALS = 10_000  # simulated studies: a share of them is known to about half a percentage point


@dataclass(frozen=True)
class Spread:
    """Results of one net over several seeds, in brief.

    mean: of the runs.
    std:  sample standard deviation (n - 1 below the line): how far single runs are apart. None for one run.
    runs: how many.
    """

    mean: float
    std: float | None
    runs: int

    @property
    def standard_error(self) -> float | None:
        """How far the mean is likely to be from that of endlessly many runs ([1]); None for one run."""
        return None if self.std is None else self.std / math.sqrt(self.runs)

    def __str__(self) -> str:
        if self.std is None:
            return f"{self.mean:.2f} (one run)"
        return f"{self.mean:.2f}, standard deviation {self.std:.2f}, standard error {self.standard_error:.2f}"


@dataclass(frozen=True)
class Gap:
    """A difference of two means, and its standard error ([2])."""

    value: float
    standard_error: float

    @property
    def ratio(self) -> float:
        """The difference in units of its standard error, always positive; infinite if there is none."""
        return abs(self.value) / self.standard_error if self.standard_error else math.inf

    def __str__(self) -> str:
        return f"{self.value:+.2f} with a standard error of {self.standard_error:.2f}: {self.ratio:.1f} of them"


def spread(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and number of `values`, one a run.

    Raises `ValueError` for no value, or one that is not finite.
    """
    values = [float(v) for v in values]
    bad = next((v for v in values if not math.isfinite(v)), None)
    if not values or bad is not None:
        raise ValueError(f"`values` must have one finite number at least, but it is {values}")
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def gap(a: Spread, b: Spread) -> Gap:
    """Return how far the mean of `a` is above that of `b`, for runs that do not depend on each other ([2]).

    Raises `ValueError` for a single run, which says nothing of the spread.
    """
    for what in (a, b):
        if what.std is None:
            raise ValueError(f"one run has no standard error, but {what} was given: run more seeds")
    return Gap(a.mean - b.mean, math.hypot(a.standard_error, b.standard_error))


def coverage(seeds: int, factor: float = 2.0, trials: int = TRIALS) -> float:
    """Return the share of studies whose mean, plus or minus `factor` standard errors, contains the true mean.

    Raises `ValueError` for fewer than two seeds, a factor that is not above 0, or no trial.
    """
    whole("seeds", seeds, 2)
    whole("trials", trials)
    _check_factor(factor)
    runs = np.random.default_rng(0).normal(0.0, 1.0, (trials, seeds))
    return float(np.mean(np.abs(runs.mean(1)) <= factor * _standard_errors(runs)))


def wrong_winner(difference: float, stds: tuple[float, float], seeds: int, trials: int = TRIALS) -> float:
    """Return the share of studies in which the net that is worse by `difference` has the lower mean error.

    difference: of the true means, 0 or more, in the units of `stds`.
    stds:       how much single runs of either net scatter.
    seeds:      runs of each net in a study.

    Raises `ValueError` for other values.
    """
    worse, better = _studies(difference, stds, seeds, 1, trials)
    return float(np.mean(worse.mean(1) < better.mean(1)))


def told_apart(
    difference: float, stds: tuple[float, float], seeds: int, factor: float = 2.0, trials: int = TRIALS
) -> float:
    """Return the share of studies in which the worse net's mean is above the other's by `factor` standard errors.

    The arguments are those of `wrong_winner`, with two seeds at least: a study knows its standard errors only from its
    own runs. Raises `ValueError` as that does, and for a factor that is not above 0.
    """
    _check_factor(factor)
    worse, better = _studies(difference, stds, seeds, 2, trials)
    error = np.hypot(_standard_errors(worse), _standard_errors(better))
    return float(np.mean(worse.mean(1) - better.mean(1) > factor * error))


def seeds_needed(
    difference: float, stds: tuple[float, float], share: float = 0.8, factor: float = 2.0, most: int = 500
) -> int | None:
    """Return the least number of seeds with which `share` of all studies tell the two nets apart (`told_apart`).

    None if `most` seeds, two at least, do not. Raises `ValueError` as `told_apart` does, and for a share outside of
    0..1.
    """
    if not (is_number(share) and 0 < share < 1):
        raise ValueError(f"`share` must lie between 0 and 1, but it is {share!r}")
    whole("most", most, 2)
    if told_apart(difference, stds, most, factor) < share:
        return None
    low, high = 1, most  # `low` is too few, `high` is enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if told_apart(difference, stds, middle, factor) >= share else (middle, high)
    return high


def _studies(
    difference: float, stds: tuple[float, float], seeds: int, least: int, trials: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors, (trials, seeds), of the worse and of the better net."""
    if not (is_number(difference) and difference >= 0):
        raise ValueError(f"`difference` must be 0 or more: worse minus better; but it is {difference!r}")
    if not isinstance(stds, Sequence | np.ndarray) or len(stds) != 2 or not all(is_number(s) and s > 0 for s in stds):
        raise ValueError(f"`stds` must be two numbers above 0, of the worse and the better net, but it is {stds!r}")
    whole("seeds", seeds, least)
    whole("trials", trials)
    draw = np.random.default_rng(0)
    return draw.normal(difference, stds[0], (trials, seeds)), draw.normal(0.0, stds[1], (trials, seeds))


def _check_factor(factor: float) -> None:
    if not (is_number(factor) and factor > 0):
        raise ValueError(f"`factor` must be a number above 0, but it is {factor!r}")


def _standard_errors(runs: np.ndarray) -> np.ndarray:
    return runs.std(1, ddof=1) / math.sqrt(runs.shape[1])
