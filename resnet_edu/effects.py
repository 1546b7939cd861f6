"""What may be said about runs that differ in one thing: the mean difference, its interval, and a verdict.

Scope: numbers of runs in, a table out. What the runs are is in `ablations.py`.

The rule: with one seed, a variant and the recipe it is compared with see the same batches and, unless the law of the
first weights is what differs, begin with the same weights. So their difference is taken seed by seed. Its mean has a
95% confidence interval of Student's t ([1]); an effect is called clear only if 0 lies outside. One comparison in
twenty is called clear by chance alone: of seven, one should not be surprised by one.

Source
  [1] "Student", "The probable error of a mean", Biometrika 6(1), 1908.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .findings import cells_as_html, cells_as_text

METRICS = {  # what is compared: name, unit in words
    "test_error": ("test error", "points"),
    "train_error": ("training error", "points"),
    "test_loss": ("test loss", "nats"),
    "train_loss": ("training loss", "nats"),
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: losses (nats) and errors (percent) in eval mode, or the step at which it diverged.

    kernel_length: of all kernels of convolutions together, the root of the sum of squares, after the last step.
    """

    variant: str
    seed: int
    train_loss: float = math.nan
    train_error: float = math.nan
    test_loss: float = math.nan
    test_error: float = math.nan
    kernel_length: float = math.nan
    diverged_at: int | None = None


@dataclass(frozen=True)
class Effect:
    """What a variant changes, in the metric's unit, against the first variant.

    differences: seed by seed; those of runs that diverged are left out.
    mean, low, high: of the differences, and the ends of the 95% confidence interval; NaN for fewer than two.
    diverged:    how many runs did.
    """

    variant: str
    differences: tuple[float, ...]
    mean: float
    low: float
    high: float
    diverged: int

    @property
    def clear(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """The rule's answer in words: "higher", "lower", "within the noise", or how many runs diverged."""
        if self.diverged:
            return f"diverged in {self.diverged} of {self.diverged + len(self.differences)} runs"
        return ("higher" if self.mean > 0 else "lower") if self.clear else "within the noise"


class Effects(list):
    """A list of `Effect`, one for each variant but the first, that prints as a table and shows as one in a notebook.

    metric: a key of `METRICS`. baseline: the name of the first variant, and `level` its mean.
    """

    def __init__(self, effects: Iterable[Effect], metric: str, baseline: str, level: float) -> None:
        super().__init__(effects)
        self.metric, self.baseline, self.level = metric, baseline, level

    def __getitem__(self, key: Any) -> Any:
        """Return an effect by its place, or by its variant's name; `KeyError`, which lists them, for no variant's."""
        if isinstance(key, str):
            found = {effect.variant: effect for effect in self}
            if key not in found:
                raise KeyError(f"{key!r} is none of the variants: {', '.join(map(repr, found))}")
            return found[key]
        return super().__getitem__(key)

    def cells(self) -> list[list[str]]:
        """Return heading and rows as text."""
        what, unit = METRICS[self.metric]
        decimals = 1 if unit == "points" else 3
        heading = ["variant", f"{what}: change in {unit}", "95% interval", "verdict"]
        return [heading] + [
            [
                e.variant,
                "–" if math.isnan(e.mean) else f"{e.mean:+.{decimals}f}",
                "–" if math.isnan(e.low) else f"{e.low:+.{decimals}f} to {e.high:+.{decimals}f}",
                e.verdict,
            ]
            for e in self
        ]

    @property
    def rows(self) -> dict[str, tuple[tuple[float, ...], tuple[float, float, float]]]:
        """What `charts.differences` draws: of every variant that did not diverge."""
        return {e.variant: (e.differences, (e.mean, e.low, e.high)) for e in self if not e.diverged}

    @property
    def caption(self) -> str:
        """What the numbers are compared with."""
        what, unit = METRICS[self.metric]
        level = f"{self.level:.1f}%" if unit == "points" else f"{self.level:.3f}"
        seeds = max((len(e.differences) + e.diverged for e in self), default=0)
        return f"Against {self.baseline}, whose {what} is {level}; {seeds} seeds"

    def __str__(self) -> str:
        return f"{self.caption}\n{cells_as_text(self.cells())}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return cells_as_html(self.cells(), "resnet-effects", self.caption)


def effects(outcomes: Iterable[Outcome], metric: str = "test_error") -> Effects:
    """Return what each variant changes against the first one, by the rule at the top of this module.

    Raises `ValueError` for an unknown metric, two outcomes of one variant and seed, no variant to compare, or a first
    variant that diverged or lacks a seed that another has.
    """
    if metric not in METRICS:
        raise ValueError(f"`metric` must be one of {', '.join(METRICS)}, but it is {metric!r}")
    groups: dict[str, dict[int, Outcome]] = {}
    for outcome in outcomes:
        group = groups.setdefault(outcome.variant, {})
        if outcome.seed in group:
            raise ValueError(
                f"a variant must have one outcome for each seed, but {outcome.variant!r} has two for {outcome.seed}: "
                "leave one out, or give runs that differ variants of their own"
            )
        group[outcome.seed] = outcome
    if len(groups) < 2:
        raise ValueError(f"there must be two variants at least, to compare them, but there is {list(groups)}")
    (baseline, first), *others = groups.items()
    needed = {seed for group in groups.values() for seed in group}
    if missing := [s for s in sorted(needed) if s not in first or first[s].diverged_at is not None]:
        raise ValueError(f"{baseline!r}, which all are compared with, has no result for seeds {missing}")
    found = []
    for name, group in others:
        ended = [o for o in group.values() if o.diverged_at is None]
        differences = tuple(getattr(o, metric) - getattr(first[o.seed], metric) for o in ended)
        found.append(Effect(name, differences, *interval(differences), len(group) - len(ended)))
    return Effects(found, metric, baseline, statistics.fmean(getattr(o, metric) for o in first.values()))


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, and the ends of its 95% confidence interval by Student's t ([1]); NaN for fewer than two values."""
    from scipy.special import stdtrit  # scipy comes with scikit-learn; here, because it takes a while to import

    n = len(differences)
    if n < 2:
        return (math.nan,) * 3
    mean = statistics.fmean(differences)
    half = float(stdtrit(n - 1, 0.975)) * statistics.stdev(differences) / n**0.5
    return mean, mean - half, mean + half
