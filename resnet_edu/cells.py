"""The grid of the degradation experiment (nets x seeds), and one cell of it: a net trained with a seed.

Scope: what a run depends on, and its record. How a whole study is carried out is in `degradation.py`.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from . import weights
from .checkpoints import Checkpoint
from .data import Dataset
from .devices import device_name, resolve_device
from .distributed import ALONE, Group
from .models import get_model
from .recipe import Recipe
from .records import RunRecord, code_version, library_versions, now
from .stepper import resolve_precision
from .train import Event, StopTraining, train

NETS = ("plain20", "resnet20", "plain56", "resnet56")
DEFAULT_STEPS = 1000  # of the paper's shortened recipe, for images that are not digits
EVALUATION_SHARE = 0.5  # at most about this much computation goes into evaluations, beside 1 for training


@dataclass(frozen=True)
class Cell:
    """One run of the grid: everything it depends on but the data, the device and the threads."""

    net: str
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.net} (seed {self.seed})"


def build_net(name: str, dataset: Dataset, seed: int, **options: object) -> nn.Module:
    """Return the net `name` for a data set, with initial weights drawn from `seed`; `options` as `models.get_model`.

    A plain net and its residual twin get equal weights. The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the processor's only: torch.manual_seed sets graphics cards too
        return get_model(name, num_classes=len(dataset.classes), in_channels=dataset.shape[0], **options)


def run_cell(
    cell: Cell,
    dataset: Dataset,
    device: str | torch.device = "cpu",
    callback: Callable[[Event], object] | None = None,
    code: dict[str, str | None] | None = None,
    weights_folder: Path | None = None,
    *,
    precision: str = "auto",
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    group: Group = ALONE,
) -> RunRecord:
    """Train one net and return its record. Nothing outside of the arguments has a say in the numbers.

    `precision` is that of `train.train`.
    `code` is `records.code_version()` at the start of the study: a checkout may move on while a long one runs.
    `weights_folder` gets the final weights, as `weights.filename(net, seed)`; None leaves none.
    `checkpoint` is the file, or the `Checkpoint`, to keep the run's state in, and to go on from if it is there; see
    `train.train`. The file is left: a caller removes it (`checkpoints.remove`) when the record is safe.
    `group` is the processes that train the net together, see `train.train`; the first one alone writes weights, and
    the record says how many there are (`device["processes"]`).

    Raises what `train.train` raises, `OSError` if the weights cannot be written, and `StopTraining` if the callback has
    ended the training by it (its state is saved then, if there is a checkpoint): a record is of a whole run.
    """
    code = code or code_version()
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    model = build_net(cell.net, dataset, cell.seed)
    if checkpoint is not None:
        known = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        checkpoint = dataclasses.replace(known, net=cell.net)
    history = train(
        model,
        dataset,
        cell.recipe,
        seed=cell.seed,
        device=device,
        precision=precision,
        callback=callback,
        checkpoint=checkpoint,
        group=group,
    )
    if history.stopped:
        raise StopTraining(f"{cell.name} was stopped by its callback")
    if weights_folder is not None and not group.rank:
        about = {"net": cell.net, "seed": cell.seed, "step": cell.recipe.steps, "dataset": dataset.name}
        about["fingerprint"] = dataset.fingerprint
        weights.save(model.state_dict(), weights_folder / weights.filename(cell.net, cell.seed), about)
    return RunRecord(
        net=cell.net,
        parameters=sum(p.numel() for p in model.parameters()),
        dataset={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "train": len(dataset.train_images),
            "test": len(dataset.test_images),
            "shape": list(dataset.shape),
            "classes": list(dataset.classes),
        },
        recipe={k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(cell.recipe).items()},
        seed=cell.seed,
        device={"type": device.type, "name": device_name(device), "precision": precision}
        | ({"processes": group.size} if group.size > 1 else {}),
        threads=torch.get_num_threads(),
        curves=[dataclasses.asdict(e) for e in history.evaluations],
        seconds=round(history.seconds, 3),
        date=now(),
        versions=library_versions(),
        code=code,
    )


def is_digits(dataset: Dataset) -> bool:
    """Return whether these are scikit-learn's digits, or some of them; a folder of that name may hold other images."""
    named = dataset.name == "digits" or dataset.name.startswith("digits[")
    return named and dataset.shape == (1, 8, 8) and dataset.classes == tuple("0123456789")


def default_recipe(dataset: Dataset, steps: int | None = None, depth: int = 56) -> Recipe:
    """Return the recipe that fits a data set: `Recipe.digits` for the digits, or else the paper's, shortened.

    `steps` is 1,000 for the latter where it is not given. Evaluations are spaced so that they cost at most about half
    as much as the training, but there are at least three.
    """
    if is_digits(dataset):
        recipe = Recipe.digits()
        return recipe if steps is None else recipe.replace(steps=steps, eval_every=max(1, steps // 10))
    return space_evaluations(Recipe.scaled(DEFAULT_STEPS if steps is None else steps, depth), dataset)


def space_evaluations(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Return the recipe with evaluations as often as `EVALUATION_SHARE` affords, 3 to 64 times in all."""
    images = len(dataset.train_images) + len(dataset.test_images)
    affordable = int(EVALUATION_SHARE * recipe.steps * 3 * recipe.batch_size / images)
    return recipe.replace(eval_every=-(-recipe.steps // min(64, max(3, affordable), recipe.steps)))


def make_grid(nets: Sequence[str], seeds: int | Sequence[int], recipe: Recipe) -> list[Cell]:
    """Return the cells of nets x seeds, after a check of every name; `seeds` is a number, or the seeds themselves.

    Raises `ValueError` for an unknown net, one named twice, or no seed.
    """
    nets = [nets] if isinstance(nets, str) else list(nets)
    numbers = list(range(seeds)) if isinstance(seeds, int) else [int(s) for s in seeds]
    if not nets or not numbers:
        raise ValueError(f"there must be a net and a seed at least, but nets={nets!r} and seeds={seeds!r}")
    if min(numbers) < 0:
        raise ValueError(f"seeds must be at least 0, but they are {numbers}")
    for what, values in (("net", nets), ("seed", numbers)):
        twice = next((v for v in values if values.count(v) > 1), None)
        if twice is not None:
            raise ValueError(f"{what} {twice!r} is named twice: name each once")
    for net in nets:
        with torch.device("meta"):  # shapes only: even 1202 layers take no memory
            get_model(net)
    return [Cell(net, seed, recipe) for net in nets for seed in numbers]
