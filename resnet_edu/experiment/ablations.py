"""What does each part of a recipe do? The same net is trained with the part and without it, from several seeds.

With one seed, a variant and the recipe it is compared with see the same batches and, unless the law of the first
weights is what differs, begin with the same weights. So their difference is taken seed by seed. Its mean has a 95%
confidence interval of Student's t ([1]); an effect is called clear only if 0 lies outside. One comparison in twenty is
called clear by chance alone: of seven, one should not be surprised by one.

Source
  [1] "Student", "The probable error of a mean", Biometrika 6(1), 1908.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..data.dataset import Dataset, moved
from ..nets.initialise import draw_kernels
from ..support.system import available_cores, in_double, make_bar, prepare_process, resolve_device
from ..support.table import Column, Table, TableList
from ..support.validate import whole
from ..training.loop import Event, TrainingDiverged, check_fit, train
from ..training.recipe import Recipe
from .degradation import build_net
from .folder import Cell
from .records import METRICS
from .statistics import interval
from .workers import run_in_workers


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
    """What a variant changes in the test error, in percentage points, against the first variant.

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
    def verdict(self) -> str:
        """The rule's answer in words: "higher", "lower", "within the noise", or how many runs diverged."""
        if self.diverged:
            return f"diverged in {self.diverged} of {self.diverged + len(self.differences)} runs"
        return "higher" if self.low > 0 else "lower" if self.high < 0 else "within the noise"


class Effects(TableList):
    """A list of `Effect`, one for each variant but the first, that prints as a table and shows as one in a notebook.

    baseline: the name of the first variant, and `level` its mean test error in percent.
    """

    def __init__(self, effects: Iterable[Effect], baseline: str, level: float) -> None:
        super().__init__(effects)
        self.baseline, self.level = baseline, level

    def __getitem__(self, key: Any) -> Any:
        """Return an effect by its place, or by its variant's name; `KeyError` for no variant's."""
        if isinstance(key, str):
            return {effect.variant: effect for effect in self}[key]
        return super().__getitem__(key)

    @property
    def rows(self) -> dict[str, tuple[tuple[float, ...], tuple[float, float, float]]]:
        """What `charts.differences` draws: of every variant that did not diverge."""
        return {e.variant: (e.differences, (e.mean, e.low, e.high)) for e in self if not e.diverged}

    def table(self) -> Table:
        """Return the table: change, interval and verdict of each variant."""
        seeds = max((len(e.differences) + e.diverged for e in self), default=0)
        columns = [
            Column("variant", "variant"),
            Column("change", "test error: change in points", True),
            Column("interval", "95% interval", True),
            Column("verdict", "verdict", True),
        ]
        rows = [
            {
                "variant": e.variant,
                "change": "–" if math.isnan(e.mean) else f"{e.mean:+.1f}",
                "interval": "–" if math.isnan(e.low) else f"{e.low:+.1f} to {e.high:+.1f}",
                "verdict": e.verdict,
            }
            for e in self
        ]
        caption = f"Against {self.baseline}, whose test error is {self.level:.1f}%; {seeds} seeds"
        return Table(caption, columns, rows, results=True)


def effects(outcomes: Iterable[Outcome]) -> Effects:
    """Return how each variant changes the test error of the first one, by the rule at the top of this module.

    Raises `ValueError` for two outcomes of one variant and seed, no variant to compare, or a first variant that
    diverged or lacks a seed that another has.
    """
    groups: dict[str, dict[int, Outcome]] = {}
    for outcome in outcomes:
        group = groups.setdefault(outcome.variant, {})
        if outcome.seed in group:
            raise ValueError(f"{outcome.variant!r} has two outcomes for seed {outcome.seed}: leave one of them out")
        group[outcome.seed] = outcome
    if len(groups) < 2:
        raise ValueError(f"there must be two variants at least, to compare them, but there is {list(groups)}")
    (baseline, first), *others = groups.items()
    seeds = {seed for group in groups.values() for seed in group}
    if missing := [s for s in sorted(seeds) if s not in first or first[s].diverged_at is not None]:
        raise ValueError(f"{baseline!r}, which all are compared with, has no result for seeds {missing}")
    found = []
    for name, group in others:
        ended = [o for o in group.values() if o.diverged_at is None]
        differences = tuple(o.test_error - first[o.seed].test_error for o in ended)
        found.append(Effect(name, differences, *interval(differences), len(group) - len(ended)))
    return Effects(found, baseline, statistics.fmean(o.test_error for o in first.values()))


@dataclass(frozen=True)
class Variant:
    """One way to build and to train a net.

    name:       what it is called in tables and figures.
    net:        a name of `get_model`.
    recipe:     how to train it.
    law:        of the first kernels, a key of `LAWS`.
    batch_norm: False leaves it out, see `cifar_net`.
    moves:      pixels by which training images are moved in all directions, see `data.moved`.
    """

    name: str
    net: str
    recipe: Recipe
    law: str = "he"
    batch_norm: bool = True
    moves: int = 0

    def but(self, name: str, **changes: Any) -> Variant:
        """Return a variant of another name; `changes` are fields of it or of its recipe."""
        own = {f.name: changes.pop(f.name) for f in dataclasses.fields(self) if f.name in changes}
        return dataclasses.replace(self, name=name, **{"recipe": self.recipe.replace(**changes), **own})

    def build(self, dataset: Dataset, seed: int) -> nn.Module:
        """Return the untrained net; its weights depend on the seed alone."""
        net = build_net(self.net, dataset, seed, **({} if self.batch_norm else {"batch_norm": False}))
        return net if self.law == "he" else draw_kernels(net, self.law, seed)


def switches(net: str, recipe: Recipe, moves: int = 0) -> list[Variant]:
    """Return the recipe as it is, and then with one part of it switched off at a time.

    Parts are batch norm, He initialisation, the falling learning rate, weight decay, and augmentation (the recipe's, or
    `moves`, see `Variant`); one that the recipe lacks has no switch.
    """
    full = Variant("the recipe", net, recipe, moves=moves)
    variants = [full, full.but("without batch norm", batch_norm=False), full.but("kernels of std 0.01", law="gaussian")]
    if recipe.milestones:
        variants.append(full.but("constant learning rate", milestones=()))
    if recipe.weight_decay:
        variants.append(full.but("without weight decay", weight_decay=0.0))
    if recipe.augment or moves:
        variants.append(full.but("without augmentation", augment=False, moves=0))
    return variants


def run(
    variants: Sequence[Variant],
    dataset: Dataset,
    *,
    seeds: int = 5,
    device: str | torch.device = "auto",
    workers: int = 2,
    progress: bool = True,
    on_event: Callable[[Cell, Event], object] | None = None,
) -> list[Outcome]:
    """Train every variant from every seed and return the outcomes, in the order of `variants` and seeds.

    seeds:    how many (0, 1, ...); at least 2, or there would be no spread to compare an effect with.
    device:   "auto" (CUDA, else MPS, else the processor), "cpu", "cuda" or "mps".
    workers:  processes that train side by side on the processor; 0 trains in this one, as other devices do.
    progress: show one line on stderr.
    on_event: called with a `Cell`, whose `net` is the variant's name, and a `training.Event`: `figures.LiveCurves`.

    A run that diverges is an outcome, not an error. Raises `ValueError` for no variant, two of one name, or a recipe
    that does not fit the data.
    """
    by_name = {variant.name: variant for variant in variants}
    if not 0 < len(variants) == len(by_name):
        names = [variant.name for variant in variants]
        raise ValueError(f"`variants` must be one at least, each with a name of its own, but they are {names}")
    whole("seeds", seeds, 2), whole("workers", workers, 0)
    for variant in variants:
        check_fit(variant.recipe, dataset)
    device = resolve_device(device)
    cells = [Cell(variant.name, seed, variant.recipe) for variant in variants for seed in range(seeds)]
    done: dict[Cell, Outcome] = {}
    report = on_event or (lambda cell, event: None)
    with make_bar(len(cells), "training", show=progress) as bar:

        def finish(cell: Cell, outcome: Outcome) -> None:
            done[cell] = outcome
            bar.update(1)

        if device.type == "cpu" and workers:
            count = min(workers, len(cells))
            setup = (prepare_process, max(1, available_cores() // count))
            run_in_workers(_run_one, cells, (by_name, dataset, "cpu"), count, setup, report, finish)
        else:
            for cell in cells:
                finish(cell, _run_one(cell, by_name, dataset, device, functools.partial(report, cell)))
    return [done[cell] for cell in cells]


def _run_one(
    cell: Cell,
    variants: dict[str, Variant],
    dataset: Dataset,
    device: str | torch.device,
    send: Callable[[Event], object],
) -> Outcome:
    """Do one run, in a worker process or in this one; `cell.net` is the name of a variant."""
    variant = variants[cell.net]
    net = variant.build(dataset, cell.seed)

    def callback(event: Event) -> None:
        if event.kind == "evaluation":
            send(event)

    try:
        images = moved(dataset, variant.moves)
        history = train(net, images, variant.recipe, seed=cell.seed, device=device, callback=callback)
    except TrainingDiverged as error:
        return Outcome(variant.name, cell.seed, diverged_at=error.step)
    kernels = [in_double(m.weight.detach()) for m in net.modules() if isinstance(m, nn.Conv2d)]
    length = sum(k.square().sum().item() for k in kernels) ** 0.5
    metrics = {name: getattr(history.evaluations[-1], name) for name in METRICS}
    return Outcome(variant.name, cell.seed, **metrics, kernel_length=length)
