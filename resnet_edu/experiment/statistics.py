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

import bisect
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

    The degradation shows if the deeper net is worse by `CLEAR` and more than the seeds scatter, by twice as much if
    they disagree on which net is worse.

    Raises `records.RecordError` as `summary` does.
    """
    records = check_comparable(records)
    error = {(r.kind, r.depth, r.seed): r.final["train_error"] for r in records}
    depths = sorted(depth for kind, depth, _ in error if kind == "plain") or [0]
    low, high = depths[0], depths[-1]
    seeds = [s for kind, depth, s in error if (kind, depth) == ("plain", low) and ("plain", high, s) in error]
    if low == high or not seeds:
        return (
            "Whether depth alone makes training harder cannot be told from these records: it takes plain nets of two "
            "depths, such as plain20 and plain56, with a seed in common."
        )
    shallow, deep = (statistics.fmean(error["plain", depth, s] for s in seeds) for depth in (low, high))
    gaps = [error["plain", high, s] - error["plain", low, s] for s in seeds]
    gap, scatter = mean_and_std(gaps)
    over = "one seed" if scatter is None else f"means of {len(seeds)} seeds, whose gaps scatter by {scatter:.1f} points"
    begin = f"After {int(records[0].final['step']):,} steps on {records[0].dataset['name']}"
    both = f"plain{low} gets {shallow:.1f}% of its own training images wrong, plain{high} {deep:.1f}% ({over})"
    guessing = 100 * (1 - 1 / max(2, len(records[0].dataset.get("classes", ()))))  # percent
    if shallow > LEARNT * guessing:
        return f"{begin} it is too early to tell (guessing gets {guessing:.0f}% wrong): {both}; train for more steps."
    if gap < max(CLEAR, (scatter or 0.0) * (2 if min(gaps) < 0 else 1)):
        return f"{begin} the degradation does not show: {both}."
    shallow, deep = (
        statistics.fmean(error.get(("resnet", depth, s), math.nan) for s in seeds) for depth in (low, high)
    )
    if math.isnan(deep - shallow):
        twins = "for what shortcuts do, residual twins of both depths are needed"
    else:
        suffer = "hardly suffer" if deep - shallow < CLEAR else "suffer less" if deep - shallow < gap else "suffer too"
        twins = (
            f"with shortcuts the same layers {suffer} from depth: resnet{low} {shallow:.1f}%, resnet{high} {deep:.1f}%"
        )
    return f"{begin} the deeper plain net is the worse one, in training already: {both}; {twins}."


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


def coverage(seeds: int, factor: float = 2.0) -> float:
    """Return the share of studies whose mean, plus or minus `factor` standard errors, contains the true mean.

    `seeds` is at least 2, `factor` above 0.
    """
    whole("seeds", seeds, 2), real("factor", factor, above=0)
    runs = np.random.default_rng(0).normal(0.0, 1.0, (TRIALS, seeds))
    return float(np.mean(np.abs(runs.mean(1)) <= factor * _standard_errors(runs)))


def wrong_winner(difference: float, stds: tuple[float, float], seeds: int) -> float:
    """Return the share of studies in which the net that is worse by `difference` has the lower mean error.

    difference: of the true means, 0 or more, in the units of `stds`.
    stds:       how much single runs of the worse and of the better net scatter, above 0.
    seeds:      runs of each net in a study, at least 1.
    """
    worse, better = _studies(difference, stds, whole("seeds", seeds))
    return float(np.mean(worse.mean(1) < better.mean(1)))


def told_apart(difference: float, stds: tuple[float, float], seeds: int) -> float:
    """Return the share of studies in which the worse net's mean is above the other's by two standard errors.

    The arguments are those of `wrong_winner`, with two seeds at least: a study knows its standard errors only from its
    own runs.
    """
    worse, better = _studies(difference, stds, whole("seeds", seeds, 2))
    error = np.hypot(_standard_errors(worse), _standard_errors(better))
    return float(np.mean(worse.mean(1) - better.mean(1) > 2 * error))


def seeds_needed(difference: float, stds: tuple[float, float], most: int = 500) -> int | None:
    """Return the least number of seeds with which 80% of all studies tell the two nets apart (`told_apart`).

    None if `most` seeds, two at least, do not.
    """
    whole("most", most, 2)
    found = 2 + bisect.bisect_left(range(2, most + 1), 0.8, key=lambda seeds: told_apart(difference, stds, seeds))
    return found if found <= most else None


def _studies(difference: float, stds: tuple[float, float], seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors, (`TRIALS`, seeds), of the worse and of the better net."""
    real("difference", difference, 0)
    if not isinstance(stds, Sequence | np.ndarray) or len(stds) != 2:
        raise TypeError(f"`stds` must be two numbers, of the worse and the better net, but it is {stds!r}")
    of_worse, of_better = (real("stds", std, above=0) for std in stds)
    random = np.random.default_rng(0)
    return random.normal(difference, of_worse, (TRIALS, seeds)), random.normal(0.0, of_better, (TRIALS, seeds))


def _standard_errors(runs: np.ndarray) -> np.ndarray:
    return runs.std(1, ddof=1) / math.sqrt(runs.shape[1])
