"""What does each part of a recipe do? The same net is trained with the part and without it, from several seeds.

Scope: variants of one training, and carrying them out, on the processor side by side. What may be said about the
differences is in `effects.py`, and to be had from here as well.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, sections 3.4, 4.2: the parts of the recipe.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .arguments import whole_number
from .cells import Cell, build_net
from .data import Dataset, moved
from .devices import available_cores, in_double, prepare_process, resolve_device
from .effects import METRICS, Effect, Effects, Outcome, effects, interval
from .initialise import LAWS, draw_kernels
from .progress import make_bar
from .recipe import Recipe
from .train import Event, TrainingDiverged, check_fit, train
from .workers import run_in_workers

__all__ = ["METRICS", "Effect", "Effects", "Outcome", "Variant", "effects", "interval", "run", "switches"]


@dataclass(frozen=True)
class Variant:
    """One way to build and to train a net.

    name:       what it is called in tables and figures.
    net:        a name of `models.get_model`.
    recipe:     how to train it.
    law:        of the first kernels, a key of `initialise.LAWS`.
    batch_norm: False leaves it out, see `models.cifar_net`.
    moves:      pixels by which training images are moved in all directions, see `data.moved`.
    """

    name: str
    net: str
    recipe: Recipe
    law: str = "he"
    batch_norm: bool = True
    moves: int = 0

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ValueError(f"`law` must be one of {', '.join(LAWS)}, but it is {self.law!r}")

    def but(self, name: str, **changes: Any) -> Variant:
        """Return a variant of another name; `changes` are fields of it or of its recipe."""
        own = {f.name for f in dataclasses.fields(self)}
        recipe = self.recipe.replace(**{k: v for k, v in changes.items() if k not in own})
        return dataclasses.replace(
            self, name=name, **{"recipe": recipe, **{k: v for k, v in changes.items() if k in own}}
        )

    def build(self, dataset: Dataset, seed: int) -> nn.Module:
        """Return the untrained net; its weights depend on the seed alone."""
        net = build_net(self.net, dataset, seed, **({} if self.batch_norm else {"batch_norm": False}))
        return net if self.law == "he" else draw_kernels(net, self.law, seed)


def switches(net: str, recipe: Recipe, moves: int = 0) -> list[Variant]:
    """Return the recipe as it is, and then with one part of it switched off at a time.

    Parts are batch norm, He initialisation, the falling learning rate, weight decay, and augmentation (the recipe's, or
    `moves`, see `Variant`); one that the recipe lacks has no switch.
    """
    whole = Variant("the recipe", net, recipe, moves=moves)
    found = [
        whole,
        whole.but("without batch norm", batch_norm=False),
        whole.but("kernels of std 0.01", law="gaussian"),
    ]
    if recipe.milestones:
        found.append(whole.but("constant learning rate", milestones=()))
    if recipe.weight_decay:
        found.append(whole.but("without weight decay", weight_decay=0.0))
    if recipe.augment or moves:
        found.append(whole.but("without augmentation", augment=False, moves=0))
    return found


@dataclass(frozen=True)
class _Trial:
    """One run: what a worker is told."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant.name} (seed {self.seed})"

    @property
    def cell(self) -> Cell:
        """What a callback of `degradation.run` would get, with the variant's name for the net's."""
        return Cell(self.variant.name, self.seed, self.variant.recipe)


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
    on_event: called with a `cells.Cell`, whose `net` is the variant's name, and a `train.Event`: `live.LiveCurves`.

    A run that diverges is an outcome, not an error. Raises `ValueError` for no variant, two of one name, a number of
    seeds or workers that cannot be, or a recipe that does not fit the data.
    """
    variants = list(variants)
    names = [v.name for v in variants]
    if not variants or len(set(names)) < len(names):
        raise ValueError(f"`variants` must be one at least, each with a name of its own, but they are {names}")
    for name, value, least in (("seeds", seeds, 2), ("workers", workers, 0)):
        whole_number(name, value, least)
    for variant in variants:
        check_fit(variant.recipe, dataset)
    device = resolve_device(device)
    trials = [_Trial(variant, seed) for variant in variants for seed in range(seeds)]
    done: dict[_Trial, Outcome] = {}
    with make_bar(len(trials), "training", show=progress) as bar:

        def hear(trial: _Trial, event: Event) -> None:
            if on_event is not None:
                on_event(trial.cell, event)

        def finish(trial: _Trial, outcome: Outcome) -> None:
            done[trial] = outcome
            bar.update(1)

        if device.type == "cpu" and workers:
            count = min(workers, len(trials))
            setup = (prepare_process, max(1, available_cores() // count))
            run_in_workers(_work, trials, (dataset, "cpu"), count, setup, hear, finish)
        else:
            for trial in trials:
                finish(trial, _work(trial, dataset, device, functools.partial(hear, trial)))
    return [done[trial] for trial in trials]


def _work(trial: _Trial, dataset: Dataset, device: str | torch.device, send: Callable[[Event], object]) -> Outcome:
    """Do one run; in a worker process or in this one."""
    variant = trial.variant
    net = variant.build(dataset, trial.seed)

    def callback(event: Event) -> None:
        if event.kind == "evaluation":
            send(event)

    try:
        history = train(
            net, moved(dataset, variant.moves), variant.recipe, seed=trial.seed, device=device, callback=callback
        )
    except TrainingDiverged as error:
        return Outcome(variant.name, trial.seed, diverged_at=error.step)
    last = history.evaluations[-1]
    kernels = [in_double(m.weight.detach()) for m in net.modules() if isinstance(m, nn.Conv2d)]
    length = sum(k.square().sum().item() for k in kernels) ** 0.5
    metrics = {name: getattr(last, name) for name in METRICS}
    return Outcome(variant.name, trial.seed, **metrics, kernel_length=length)
