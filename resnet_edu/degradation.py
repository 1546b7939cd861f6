"""The degradation experiment: plain and residual nets of several depths, trained alike, on one data set.

Scope: the grid (nets x seeds) and one cell of it (`run_cell`). How cells are spread over worker processes is in
`workers.py`; what the records say, a table and a sentence, in `findings.py`, to be had from here as well.

The question ([1], section 4.2): a deep plain net could do no worse than a shallow one, since its further layers could
be identities. Is its TRAINING error higher all the same? And does a shortcut around every two layers change that?

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, sections 1, 3.1 and 4.2.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from . import data as data_module
from . import weights
from .checkpoints import Checkpoint
from .data import Dataset
from .devices import available_cores, device_name, prepare_process, resolve_device
from .findings import Summary, headline, summary
from .models import get_model, split_name
from .progress import make_bar
from .recipe import Recipe
from .records import RunRecord, code_version, library_versions, now
from .stepper import resolve_precision
from .train import Event, TrainingDiverged, check_fit, train
from .workers import run_in_workers

__all__ = [
    "NETS",
    "Cell",
    "Recipe",
    "Summary",
    "build_net",
    "claim_folder",
    "default_recipe",
    "estimate_seconds",
    "headline",
    "make_grid",
    "run",
    "run_cell",
    "space_evaluations",
    "summary",
]

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
) -> RunRecord:
    """Train one net and return its record. Nothing outside of the arguments has a say in the numbers.

    `precision` is that of `train.train`.
    `code` is `records.code_version()` at the start of the study: a checkout may move on while a long one runs.
    `weights_folder` gets the final weights, as `weights.filename(net, seed)`; None leaves none.
    `checkpoint` is the file, or the `Checkpoint`, to keep the run's state in, and to go on from if it is there; see
    `train.train`. The file is left: a caller removes it (`checkpoints.remove`) when the record is safe.

    Raises what `train.train` raises, and `OSError` if the weights cannot be written.
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
    )
    if weights_folder is not None:
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
        device={"type": device.type, "name": device_name(device), "precision": precision},
        threads=torch.get_num_threads(),
        curves=[dataclasses.asdict(e) for e in history.evaluations],
        seconds=round(history.seconds, 3),
        date=now(),
        versions=library_versions(),
        code=code,
    )


def default_recipe(dataset: Dataset, steps: int | None = None, depth: int = 56) -> Recipe:
    """Return the recipe that fits a data set: `Recipe.digits` for the digits, or else the paper's, shortened.

    `steps` is 1,000 for the latter where it is not given. Evaluations are spaced so that they cost at most about half
    as much as the training, but there are at least three.
    """
    if dataset.name == "digits" or dataset.name.startswith("digits["):
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


def run(
    nets: Sequence[str] = NETS,
    data: str | os.PathLike[str] | Dataset = "digits",
    recipe: Recipe | None = None,
    *,
    seeds: int | Sequence[int] = 1,
    device: str | torch.device = "auto",
    precision: str = "auto",
    workers: int = 2,
    threads: int | None = None,
    progress: bool = True,
    out: str | os.PathLike[str] | None = None,
    save_weights: bool = False,
    on_record: Callable[[RunRecord], object] | None = None,
) -> list[RunRecord]:
    """Train every net with every seed and return the records, in the order of `nets` and seeds.

    nets:     names of `models.get_model`.
    data:     a source of `data.load`, or a `Dataset`.
    recipe:   None takes `default_recipe(dataset)`.
    seeds:    how many (0, 1, ...), or which. One seed gives all nets the same batches, and twins the same weights.
    device:   "auto" (CUDA, else MPS, else the processor), "cpu", "cuda" or "mps".
    precision: "float32", "bfloat16" (mixed precision), or "auto": what is fast on the device (`stepper.py`).
    workers:  processes that train side by side on the processor; 0 trains in this one (slower: see
              `devices.prepare_process`). On CUDA and MPS the nets run one after another in this process.
    threads:  of each worker; None shares the processor's cores out. Another number may change the last digits.
    progress: show one line on stderr: what is running, steps done, time left.
    out:      a folder for the records, each written as soon as its net is done; it must not hold records yet.
    save_weights: leave each net's final weights in `out` as well, 4 bytes a parameter (safetensors, see `weights.py`).
    on_record: called with each record when its net is done.

    Works in notebooks and in scripts without `if __name__ == "__main__"`. No worker outlives this call or this process.

    Raises `ValueError`, `OSError` or `RuntimeError` before any training for arguments, data, a device or a folder that
    cannot be used; `train.TrainingDiverged` and `workers.WorkerDied` name the net.
    """
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    for name, value, least in (("workers", workers, 0), ("threads", threads or 1, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"`{name}` must be a whole number of at least {least}, but it is {value!r}")
    if save_weights and out is None:
        raise ValueError("`save_weights` needs a folder to put them into: name it with `out`")
    make_grid(nets, seeds, recipe or Recipe.digits())  # before the data is read, which may take a while
    folder = None if out is None else claim_folder(out)
    weights_folder = folder if save_weights else None
    dataset = data if isinstance(data, Dataset) else data_module.load(data, progress=progress)
    cells = make_grid(nets, seeds, recipe or default_recipe(dataset))
    check_fit(cells[0].recipe, dataset)
    code = code_version()
    done: dict[Cell, RunRecord] = {}

    def finish(cell: Cell, record: RunRecord) -> None:
        done[cell] = record
        if folder is not None:
            record.save(folder / record.filename)
        if on_record is not None:
            on_record(record)

    queue = sorted(cells, key=_cost, reverse=True)  # long runs first: no worker is left alone with one at the end
    with _Progress(cells, show=progress) as bar:
        if device.type == "cpu" and workers:
            count = min(workers, len(queue))
            threads = threads or max(1, available_cores() // count)
            run_in_workers(
                _work,
                queue,
                (dataset, code, weights_folder, precision),
                count,
                (prepare_process, threads),
                bar.update,
                finish,
            )
        else:
            for cell in queue:
                try:
                    callback = functools.partial(bar.update, cell)
                    finish(cell, run_cell(cell, dataset, device, callback, code, weights_folder, precision=precision))
                except TrainingDiverged as error:
                    raise _named(error, cell) from None
    return [done[cell] for cell in cells]


def _named(error: TrainingDiverged, cell: Cell) -> TrainingDiverged:
    return TrainingDiverged(error.step, error.lr, f"{cell.name}: {error.what}")


def _work(
    cell: Cell,
    dataset: Dataset,
    code: dict[str, str | None],
    weights_folder: Path | None,
    precision: str,
    send: Callable[[Event], object],
) -> RunRecord:
    """Run a cell in a worker process; progress is sent at most ten times a second."""
    last = 0.0

    def callback(event: Event) -> None:
        nonlocal last
        if event.kind == "evaluation" or time.monotonic() - last > 0.1:
            last = time.monotonic()
            send(event)

    try:
        return run_cell(cell, dataset, "cpu", callback, code, weights_folder, precision=precision)
    except TrainingDiverged as error:
        raise _named(error, cell) from None


def _cost(cell: Cell) -> float:
    """Return a number that grows with a cell's computing time: layers with weights, times steps."""
    return _depth(cell.net) * cell.recipe.steps


def estimate_seconds(nets: Sequence[str], seeds: int, dataset: Dataset, recipe: Recipe, workers: int = 2) -> float:
    """Return roughly how long a study will take on the processor, from two steps of the shallowest net, timed now.

    The time of a step is taken as proportional to the depth, and of an image in an evaluation as a third of training.
    """
    shallow = min(nets, key=_depth)
    trial = recipe.replace(steps=2, milestones=(), warmup_lr=None, eval_every=2)
    few = dataset.head(recipe.batch_size, 1)
    begin = _stopwatch(build_net(shallow, dataset, 0), few, trial)
    images = len(dataset.train_images) + len(dataset.test_images)
    passes = 3 * recipe.batch_size * recipe.steps + images * -(-recipe.steps // recipe.eval_every)
    seconds = begin * passes / (3 * recipe.batch_size)
    whole = seeds * seconds * sum(_depth(net) for net in nets) / _depth(shallow)
    # One process with all the cores was timed here; worker processes with few threads each do a little better.
    return max(whole, seconds * max(map(_depth, nets)) / _depth(shallow))


def _stopwatch(model: nn.Module, dataset: Dataset, recipe: Recipe) -> float:
    """Return the seconds of the last of a few training steps."""
    times = []
    train(
        model,
        dataset,
        recipe,
        callback=lambda event: times.append(time.perf_counter()) if event.kind == "step" else None,
    )
    return times[-1] - times[-2]


def _depth(net: str) -> int:
    return split_name(net)[1]


class _Progress:
    """One line for the whole grid: nets in flight, share of the work, steps, time left."""

    def __init__(self, cells: Iterable[Cell], show: bool) -> None:
        self.cost = {cell: _cost(cell) for cell in cells}
        self.share = dict.fromkeys(self.cost, 0.0)
        self.steps = dict.fromkeys(self.cost, 0)
        self.total_steps = sum(cell.recipe.steps for cell in self.cost)
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        # Smoothing 0: time left from the mean pace so far; evaluations make the recent pace jump.
        self.bar = make_bar(sum(self.cost.values()), "starting", show=show, bar_format=form, smoothing=0)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()

    def update(self, cell: Cell, event: Event) -> None:
        """Take in what a cell's training loop tells."""
        gain, self.share[cell], self.steps[cell] = event.work - self.share[cell], event.work, event.step
        several_seeds = len({c.seed for c in self.cost}) > 1
        running = [f"{c.net}/{c.seed}" if several_seeds else c.net for c, s in self.share.items() if 0 < s < 1 - 1e-9]
        steps = f"{sum(self.steps.values()):,} of {self.total_steps:,} steps"
        self.bar.set_description_str(f"{', '.join(running) or 'finishing'}: {steps}", refresh=False)
        self.bar.update(gain * self.cost[cell])


def claim_folder(out: str | os.PathLike[str]) -> Path:
    """Make the folder `out` if need be, see that files can be written there, and return its path.

    Raises `FileExistsError` if it holds JSON files already, `OSError` if it cannot be made or written to.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write into the output folder {folder} ({error.strerror or error}): name another (--out)"
        ) from None
    old = sorted(folder.glob("*.json"))
    if old:
        raise FileExistsError(
            f"the output folder {folder} already holds {len(old)} records ({old[0].name}, ...), and nothing is "
            "overwritten: name a new folder (--out), or move them away"
        )
    return folder
