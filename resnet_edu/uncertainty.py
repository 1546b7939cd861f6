"""What a few runs can tell: their spread, the error of their mean, and how many seeds a difference takes.

Scope: numbers in, numbers out, for results such as test errors, one number a run. The simulations draw the results of
whole studies from normal distributions: they say what would happen if a study were done thousands of times.

Sources
  [1] Student, "The Probable Error of a Mean", Biometrika 6 (1908), pages 1-25: a mean of few values and its error.
  [2] Welch, "The generalization of 'Student's' problem when several different population variances are involved",
      Biometrika 34 (1947), pages 28-35: the difference of two means.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arguments import is_number, whole_number

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
    whole_number("seeds", seeds, 2)
    whole_number("trials", trials)
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
    whole_number("most", most, 2)
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
    whole_number("seeds", seeds, least)
    whole_number("trials", trials)
    draw = np.random.default_rng(0)
    return draw.normal(difference, stds[0], (trials, seeds)), draw.normal(0.0, stds[1], (trials, seeds))


def _check_factor(factor: float) -> None:
    if not (is_number(factor) and factor > 0):
        raise ValueError(f"`factor` must be a number above 0, but it is {factor!r}")


def _standard_errors(runs: np.ndarray) -> np.ndarray:
    return runs.std(1, ddof=1) / math.sqrt(runs.shape[1])
