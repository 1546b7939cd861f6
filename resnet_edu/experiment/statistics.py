"""What the records of a study say, and what a few runs can tell.

Tables have training error first: a net that generalises badly is another matter than one that cannot even fit the
images it is shown. Simulations draw the results of whole studies from normal distributions: they say what would happen
if a study were done thousands of times.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 and figure 6.
  [2] Student, "The Probable Error of a Mean", Biometrika 6 (1908), pages 1-25: a mean of few values and its error.
  [3] Welch, "The generalization of 'Student's' problem when several different population variances are involved",
      Biometrika 34 (1947), pages 28-35: the difference of two means.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..support.table import Column, Table, TableList
from ..support.validate import real, whole
from .records import RunRecord, by_net, check_comparable

CLEAR = 1.0  # percentage points: a smaller difference of training errors is called none
LEARNT = 0.75  # of the error of guessing: a net above it has learnt too little to be compared
TRIALS = 10_000  # simulated studies: a share of them is known to about half a percentage point
_MEANS = {  # what a summary has the means of: (heading, decimals)
    "train_loss": ("train loss", 3),
    "train_error": ("train error %", 2),
    "test_error": ("test error %", 2),
    "seconds": ("seconds", 1),
}


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (n - 1 below the line), None for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def with_spread(mean: float, std: float | None, decimals: int = 2) -> str:
    """Return a mean as text, with "±" and the standard deviation if there is one."""
    return f"{mean:,.{decimals}f}" + (f" ± {std:.{decimals}f}" if std is not None else "")


class Summary(TableList):
    """A list of one dict a net, that prints as a table and shows as one in a notebook.

    Keys: net, layers, parameters, seeds (how many), and mean over the seeds of train_loss (nats), train_error and
    test_error (percent), seconds, each with its sample standard deviation as `<key>_std` (None for one seed).
    """

    def table(self) -> Table:
        """Return the table; numbers of seeds are in it if a net has several."""
        columns = [Column("net", "net"), Column("layers", "layers", True), Column("parameters", "parameters", True)]
        columns += [Column(key, heading, True) for key, (heading, _) in _MEANS.items()]
        if any(row["seeds"] > 1 for row in self):
            columns.append(Column("seeds", "seeds", True))
        rows = [
            row | {key: with_spread(row[key], row[f"{key}_std"], decimals) for key, (_, decimals) in _MEANS.items()}
            for row in self
        ]
        return Table("Training first: loss and error in eval mode, after the last step", columns, rows, results=True)


def summary(records: Iterable[RunRecord]) -> Summary:
    """Return one row a net, in the order of the records: means over the seeds, with standard deviations.

    Raises `records.RecordError` for records of different data sets or recipes, or for none.
    """
    rows = Summary()
    for net, group in by_net(records).items():
        row = {"net": net, "layers": group[0].depth, "parameters": group[0].parameters, "seeds": len(group)}
        for key in _MEANS:
            values = [r.seconds if key == "seconds" else r.final[key] for r in group]
            row[key], row[f"{key}_std"] = mean_and_std(values)
        rows.append(row)
    return rows


def headline(records: Iterable[RunRecord]) -> str:
    """Return one sentence on the final training errors of the deepest and the shallowest plain net, and of their twins.

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
    seeds = sorted({s for *_, s in error if ("plain", low, s) in error and ("plain", high, s) in error})
    if not seeds:
        return f"Nothing can be said of these records: plain{low} and plain{high} have no seed in common."

    shallow, deep = (statistics.fmean(error["plain", depth, s] for s in seeds) for depth in (low, high))
    gaps = [error["plain", high, s] - error["plain", low, s] for s in seeds]
    mean_gap, scatter = mean_and_std(gaps)
    scatter = scatter or 0.0
    guessing = 100 * (1 - 1 / max(2, len(records[0].dataset.get("classes", ()))))  # percent
    over = "one seed" if len(seeds) == 1 else f"means of {len(seeds)} seeds"
    begin = f"After {int(records[0].final['step']):,} steps on {records[0].dataset['name']}"
    both = f"plain{low} gets {shallow:.1f}% of its own training images wrong, plain{high} {deep:.1f}% ({over})"
    if shallow > LEARNT * guessing:
        return (
            f"{begin} it is too early to tell: even plain{low} still gets {shallow:.1f}% of its own training images "
            f"wrong (guessing: {guessing:.0f}%); train for more steps."
        )
    if min(gaps) < 0 < max(gaps) and abs(mean_gap) < 2 * scatter:
        worse = sum(g > 0 for g in gaps)
        return (
            f"{begin} the seeds disagree: {both}, but the deeper one is worse in only {worse} of "
            f"{len(gaps)} seeds, so no degradation can be claimed."
        )
    if abs(mean_gap) < CLEAR or abs(mean_gap) < scatter:
        why = (
            f"within the seeds' spread of {scatter:.1f} points"
            if abs(mean_gap) >= CLEAR
            else "no difference to speak of"
        )
        return f"{begin} the degradation does not show: {both}, {why}."
    if mean_gap < 0:
        return f"{begin} the degradation does not show, rather its opposite: {both}."
    twins = _residual_twins(error, low, high, seeds, mean_gap)
    return f"{begin} the deeper plain net is the worse one, in training already: {both}; {twins}."


def _residual_twins(error: dict, low: int, high: int, seeds: list[int], gap: float) -> str:
    """Return what the residual twins do, given the plain nets' gap in percentage points."""
    if not all(("resnet", d, s) in error for d in (low, high) for s in seeds):
        return "for what shortcuts do, residual twins of both depths are needed"
    shallow, deep = (statistics.fmean(error["resnet", d, s] for s in seeds) for d in (low, high))
    numbers = f"resnet{low} {shallow:.1f}%, resnet{high} {deep:.1f}%"
    if deep - shallow < CLEAR:
        return f"with shortcuts the same layers hardly suffer from depth: {numbers}"
    if deep - shallow < gap:
        return f"with shortcuts the same layers suffer less from depth: {numbers}"
    return f"with shortcuts it is no better here: {numbers}"


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
        """How far the mean is likely to be from that of endlessly many runs ([2]); None for one run."""
        return None if self.std is None else self.std / math.sqrt(self.runs)

    def __str__(self) -> str:
        if self.std is None:
            return f"{self.mean:.2f} (one run)"
        return f"{self.mean:.2f}, standard deviation {self.std:.2f}, standard error {self.standard_error:.2f}"


@dataclass(frozen=True)
class Gap:
    """A difference of two means, and its standard error ([3])."""

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
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"`values` must have one finite number at least, but it is {values}")
    return Spread(*mean_and_std(values), len(values))


def gap(a: Spread, b: Spread) -> Gap:
    """Return how far the mean of `a` is above that of `b`, for runs that do not depend on each other ([3]).

    Raises `ValueError` for a single run, which says nothing of the spread.
    """
    for one in (a, b):
        if one.std is None:
            raise ValueError(f"one run has no standard error, but {one} was given: run more seeds")
    return Gap(a.mean - b.mean, math.hypot(a.standard_error, b.standard_error))


def coverage(seeds: int, factor: float = 2.0, trials: int = TRIALS) -> float:
    """Return the share of studies whose mean, plus or minus `factor` standard errors, contains the true mean.

    `seeds` is at least 2, `factor` above 0.
    """
    whole("seeds", seeds, 2), whole("trials", trials), real("factor", factor, above=0)
    runs = np.random.default_rng(0).normal(0.0, 1.0, (trials, seeds))
    return float(np.mean(np.abs(runs.mean(1)) <= factor * _standard_errors(runs)))


def wrong_winner(difference: float, stds: tuple[float, float], seeds: int, trials: int = TRIALS) -> float:
    """Return the share of studies in which the net that is worse by `difference` has the lower mean error.

    difference: of the true means, 0 or more, in the units of `stds`.
    stds:       how much single runs of the worse and of the better net scatter, above 0.
    seeds:      runs of each net in a study, at least 1.
    """
    worse, better = _studies(difference, stds, whole("seeds", seeds), trials)
    return float(np.mean(worse.mean(1) < better.mean(1)))


def told_apart(
    difference: float, stds: tuple[float, float], seeds: int, factor: float = 2.0, trials: int = TRIALS
) -> float:
    """Return the share of studies in which the worse net's mean is above the other's by `factor` standard errors.

    The arguments are those of `wrong_winner`, with two seeds at least: a study knows its standard errors only from its
    own runs. `factor` is above 0.
    """
    real("factor", factor, above=0)
    worse, better = _studies(difference, stds, whole("seeds", seeds, 2), trials)
    error = np.hypot(_standard_errors(worse), _standard_errors(better))
    return float(np.mean(worse.mean(1) - better.mean(1) > factor * error))


def seeds_needed(
    difference: float, stds: tuple[float, float], share: float = 0.8, factor: float = 2.0, most: int = 500
) -> int | None:
    """Return the least number of seeds with which `share` of all studies tell the two nets apart (`told_apart`).

    None if `most` seeds, two at least, do not.
    """
    real("share", share, most=1, above=0), whole("most", most, 2)
    if told_apart(difference, stds, most, factor) < share:
        return None
    low, high = 1, most  # `low` is too few, `high` is enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if told_apart(difference, stds, middle, factor) >= share else (middle, high)
    return high


def _studies(difference: float, stds: tuple[float, float], seeds: int, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors, (trials, seeds), of the worse and of the better net."""
    real("difference", difference, 0), whole("trials", trials)
    if not isinstance(stds, Sequence | np.ndarray) or len(stds) != 2:
        raise TypeError(f"`stds` must be two numbers, of the worse and the better net, but it is {stds!r}")
    of_worse, of_better = (real("stds", std, above=0) for std in stds)
    random = np.random.default_rng(0)
    return random.normal(difference, of_worse, (trials, seeds)), random.normal(0.0, of_better, (trials, seeds))


def _standard_errors(runs: np.ndarray) -> np.ndarray:
    return runs.std(1, ddof=1) / math.sqrt(runs.shape[1])
