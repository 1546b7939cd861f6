"""The grid of the degradation experiment (nets x seeds), and one cell of it: a net trained with a seed.

Scope: what a run depends on, and its record. How a whole study is carried out is in `degradation.py`.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.

--- The degradation experiment: plain and residual nets of several depths, trained alike, on one data set.

Scope: a whole study, from its arguments to its records. One run of it is in `cells.py`, its folder in `study.py`, the
worker processes in `workers.py`; what the records say, a table and a sentence, in `findings.py`. What these have to
offer is to be had from here as well.

The question ([1], section 4.2): a deep plain net could do no worse than a shallow one, since its further layers could
be identities. Is its TRAINING error higher all the same? And does a shortcut around every two layers change that?

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, sections 1, 3.1 and 4.2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..data.dataset import Dataset
from ..nets.models import get_model, split_name
from ..support.system import (
    available_cores,
    code_version,
    computing_threads,
    device_name,
    library_versions,
    make_bar,
    now,
    prepare_process,
    resolve_device,
)
from ..support.validate import whole
from ..training import checkpoint as checkpoints
from ..training import weights
from ..training.checkpoint import Checkpoint
from ..training.group import ALONE, Group
from ..training.loop import Evaluation, Event, StopTraining, TrainingDiverged, check_fit, train
from ..training.recipe import Recipe
from ..training.step import resolve_precision
from . import folder as studies
from .cluster import RayEngine, import_ray
from .folder import Source, Study, claim_folder
from .records import RunRecord
from .statistics import Summary, headline, summary
from .workers import run_in_workers

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


__all__ = [
    "NETS",
    "Cell",
    "RayEngine",
    "Recipe",
    "Source",
    "Summary",
    "build_net",
    "claim_folder",
    "default_recipe",
    "estimate_seconds",
    "headline",
    "make_grid",
    "resume",
    "run",
    "run_cell",
    "space_evaluations",
    "summary",
]


def run(
    nets: Sequence[str] = NETS,
    data: str | os.PathLike[str] | Dataset = "digits",
    recipe: Recipe | None = None,
    *,
    seeds: int | Sequence[int] = 1,
    device: str | torch.device = "auto",
    precision: str = "auto",
    engine: str | RayEngine = "local",
    workers: int | None = None,
    threads: int | None = None,
    progress: bool = True,
    out: str | os.PathLike[str] | None = None,
    save_weights: bool = False,
    resume: bool = False,
    source: Source | None = None,
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int | None = None,
    on_record: Callable[[RunRecord], object] | None = None,
    on_event: Callable[[Cell, Event], object] | None = None,
) -> list[RunRecord]:
    """Train every net with every seed and return the records, in the order of `nets` and seeds.

    nets:     names of `models.get_model`.
    data:     a source of `data.load`, or a `Dataset`.
    recipe:   None takes `default_recipe(dataset)`.
    seeds:    how many (0, 1, ...), or which. One seed gives all nets the same batches, and twins the same weights.
    device:   "auto" (CUDA, else MPS, else the processor), "cpu", "cuda" or "mps".
    precision: "float32", "bfloat16" (mixed precision), or "auto": what is fast on the device (`stepper.py`).
    engine:   "local", processes of this machine; "ray", tasks of a Ray cluster, or of this machine if there is none; or
              a `RayEngine`, which says which cluster and what a run gets. The records are the same. A cluster of
              several machines must share `out`: a run that moves to another one goes on from what is there.
    workers:  processes of "local" that train side by side, on the processor or on one card; 0 trains one net after
              another in this process (slower on the processor: see `devices.prepare_process`). None takes 2 on the
              processor, and 0 on CUDA and MPS.
    threads:  of each worker, or of this process meanwhile if there are none; None shares the processor's cores out, is
              Ray's `cpus_per_run`, or with no workers what torch is set to. Another number may change the last digits.
    progress: show one line on stderr: what is running, steps done, time left.
    out:      a folder for the records, each written as soon as its net is done, and for all that it takes to go on if
              the study is stopped (`study.py`); it must not hold records yet.
    save_weights: leave each net's final weights in `out` as well, 4 bytes a parameter (safetensors, see `weights.py`).
    resume:   go on with the study in `out`, if it is this very study; begin it if there is none. A script can so be
              started again until it is through. `degradation.resume` goes on without being told what the study is.
    source:   how to load `data` again if it is a `Dataset`, for `degradation.resume`.
    checkpoint_seconds, checkpoint_steps: how often the state of each net in flight is saved in `out`, besides after
              evaluations and on Ctrl-C: see `checkpoints.Checkpoint`.
    on_record: called with each record when its net is done.
    on_event: called with a `Cell` and a `train.Event` while that net trains, such as `live.LiveCurves`. From other
              processes come all evaluations, and of the steps a few a second. A run that was done before, or goes on
              from a checkpoint, begins with "resumed", which has the evaluations of before. What it raises ends the
              study.

    Works in notebooks and in scripts without `if __name__ == "__main__"`. No worker outlives this call or this process.

    Raises `ValueError`, `OSError` or `RuntimeError` before any training for arguments, data, a device or a folder that
    cannot be used; `train.TrainingDiverged` and `workers.WorkerDied` name the net.
    """
    engine, device, precision = _settle(engine, device, precision)
    whole("workers", 0 if workers is None else workers, 0)
    whole("threads", 1 if threads is None else threads, 1)
    Checkpoint("", "", checkpoint_seconds, checkpoint_steps)  # raises for a schedule that cannot be
    if out is None and (resume or save_weights):
        raise ValueError(f"`{'resume' if resume else 'save_weights'}` needs a folder: name it with `out`")
    make_grid(nets, seeds, recipe or Recipe.digits())  # before the data is read, which may take a while
    folder = None if out is None else Path(out)
    with contextlib.nullcontext() if folder is None else studies.claimed(folder, resume) as there:
        if isinstance(data, Dataset):
            dataset = data
        else:
            source = Source(os.fspath(data))
            dataset = source.load(progress)
        cells = make_grid(nets, seeds, recipe or default_recipe(dataset))
        check_fit(cells[0].recipe, dataset)
        count = default_workers(device) if workers is None else workers
        study = Study(
            nets=tuple(dict.fromkeys(cell.net for cell in cells)),
            seeds=tuple(dict.fromkeys(cell.seed for cell in cells)),
            recipe=cells[0].recipe,
            dataset=studies.facts(dataset),
            source=source and source.absolute(),
            device=str(device),
            precision=precision,
            workers=count,
            threads=threads or _share_of_cores(engine, count, len(cells)),
            save_weights=save_weights,
            checkpoint_seconds=checkpoint_seconds,
            checkpoint_steps=checkpoint_steps,
        )
        if there is not None:
            fields = ("nets", "seeds", "recipe", "device", "precision", "save_weights")
            there.refuse(folder, **{name: getattr(study, name) for name in fields}, threads=threads)
            dataset = there.images(folder, dataset)
            study, count = there, _workers_of(there, folder, workers)
        elif folder is not None:
            study.save(folder)
        return _carry_out(study, dataset, folder, engine, count, progress, on_record, on_event)


def resume(
    folder: str | os.PathLike[str],
    data: Dataset | None = None,
    *,
    engine: str | RayEngine = "local",
    workers: int | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = None,
    checkpoint_steps: int | None = None,
    on_record: Callable[[RunRecord], object] | None = None,
    on_event: Callable[[Cell, Event], object] | None = None,
) -> list[RunRecord]:
    """Go on with the study in `folder`, however it was stopped, and return all of its records.

    Nets that are done are not trained again; those in flight go on from their last checkpoints. On a processor the
    records are then, number for number, those of a study that was never stopped.

    data:    the images, if they were given to `run` as a `Dataset` without its source, or are elsewhere now. None are
             read if all nets are done.
    engine:  as for `run`; it need not be the one that the study began with.
    workers: another number of processes than the study began with.
    checkpoint_seconds, checkpoint_steps: another schedule, see `run`.
    on_record, on_event: as for `run`.

    Raises `study.StudyError` if there is no study in the folder, or another process is at work on it, and what `run`
    raises.
    """
    folder = Path(folder)
    study = studies.load(folder)
    schedule = {"checkpoint_seconds": checkpoint_seconds, "checkpoint_steps": checkpoint_steps}
    study = dataclasses.replace(study, **{name: value for name, value in schedule.items() if value is not None})
    Checkpoint("", "", study.checkpoint_seconds, study.checkpoint_steps)  # raises for a schedule that cannot be
    workers = _workers_of(study, folder, workers)
    with studies.locked(folder):
        if studies.done(folder, study) == len(study.runs):  # no images, no card and no cluster are needed
            return _carry_out(study, None, folder, None, 0, progress, on_record, on_event)
        engine, _, _ = _settle(engine, study.device, study.precision)
        dataset = study.images(folder, data, progress)
        return _carry_out(study, dataset, folder, engine, workers, progress, on_record, on_event)


def default_workers(device: torch.device) -> int:
    """Return how many processes train side by side where nothing was said: 2 on a processor, on a card none."""
    return 2 if device.type == "cpu" else 0


def _workers_of(study: Study, folder: Path, given: int | None) -> int:
    """Return how many processes go on with a study; raises `StudyError` for a number that would change its numbers."""
    if given is None:
        return study.workers
    whole("workers", given, 0)
    if study.device == "cpu" and bool(given) != bool(study.workers):
        study.refuse(folder, workers=given)  # processes of their own compute in another way: see `prepare_process`
    return given


def _settle(
    engine: str | RayEngine, device: str | torch.device, precision: str
) -> tuple[RayEngine | None, torch.device, str]:
    """Return Ray or None for "local", the device and the precision, "auto" settled as far as this machine can tell."""
    if engine == "local":
        device = resolve_device(device)
        return None, device, resolve_precision(precision, device)
    if engine != "ray" and not isinstance(engine, RayEngine):
        raise ValueError(f'`engine` must be "local", "ray" or a RayEngine, but it is {engine!r}')
    import_ray()
    engine, name = (RayEngine() if engine == "ray" else engine).resolve(str(device), torch.cuda.is_available())
    on_cpu = resolve_precision(precision, torch.device("cpu"))
    return engine, torch.device(name), on_cpu if name == "cpu" else precision  # "auto": settled where the card is


def _share_of_cores(engine: RayEngine | None, workers: int, runs: int) -> int:
    """Return the number of computing threads of each worker, or of this process where there are none."""
    if engine is not None:
        return engine.cpus_per_run
    if not workers:
        return torch.get_num_threads()
    return max(1, available_cores() // min(workers, runs))


def _carry_out(
    study: Study,
    dataset: Dataset | None,
    folder: Path | None,
    engine: RayEngine | None,
    workers: int,
    progress: bool,
    on_record: Callable[[RunRecord], object] | None,
    on_event: Callable[[Cell, Event], object] | None,
) -> list[RunRecord]:
    """Do the runs of a study that have no record in `folder` yet; the caller has locked it.

    `dataset` is None if there are no such runs.
    """
    code = code_version()
    cells = make_grid(study.nets, study.seeds, study.recipe)
    done = {} if folder is None else studies.finished(folder, study)

    def finish(cell: Cell, record: RunRecord) -> None:
        done[cell.net, cell.seed] = record
        if folder is not None:
            record.save(folder / record.filename)
            checkpoints.remove(studies.checkpoint(folder, study, cell.net, cell.seed).path)
        if on_record is not None:
            on_record(record)

    # Long runs first: no worker is left alone with one at the end.
    queue = sorted((c for c in cells if (c.net, c.seed) not in done), key=_cost, reverse=True)
    with _Progress(cells, done=set(cells) - set(queue), show=progress) as bar:

        def hear(cell: Cell, event: Event) -> None:
            bar.update(cell, event)
            if on_event is not None:
                on_event(cell, event)

        for cell in cells if on_event is not None else ():
            if (record := done.get((cell.net, cell.seed))) is not None:
                on_event(cell, _done_before(record))
        setup = (prepare_process, study.threads)
        if engine is not None:
            shared = dataset, code, study, folder and folder.resolve()
            engine.run(_work, queue, shared, setup, hear, finish)
        elif workers:
            count = min(workers, len(queue))
            run_in_workers(_work, queue, (dataset, code, study, folder), count, setup, hear, finish)
        else:
            for cell in queue:
                with computing_threads(study.threads):
                    record = _run_one(cell, dataset, code, study, folder, functools.partial(hear, cell))
                finish(cell, record)
    if folder is not None:
        studies.clear(folder, study)
    return [done[cell.net, cell.seed] for cell in cells]


def _run_one(
    cell: Cell,
    dataset: Dataset,
    code: dict[str, str | None],
    study: Study,
    folder: Path | None,
    callback: Callable[[Event], object],
) -> RunRecord:
    """Run a cell of a study; what it leaves goes to `folder`."""
    try:
        return run_cell(
            cell,
            dataset,
            study.device,
            callback,
            code,
            folder if study.save_weights else None,
            precision=study.precision,
            checkpoint=folder and studies.checkpoint(folder, study, cell.net, cell.seed),
        )
    except TrainingDiverged as error:
        raise TrainingDiverged(error.step, error.lr, f"{cell.name}: {error.what}") from None


def _work(
    cell: Cell,
    dataset: Dataset,
    code: dict[str, str | None],
    study: Study,
    folder: Path | None,
    send: Callable[[Event, bool], object],
) -> RunRecord:
    """Run a cell in a worker process; steps are sent at most ten times a second, evaluations all."""
    last = 0.0

    def callback(event: Event) -> None:
        nonlocal last
        keep = event.kind in ("evaluation", "resumed")
        if keep or time.monotonic() - last > 0.1:
            last = time.monotonic()
            send(event, keep)

    return _run_one(cell, dataset, code, study, folder, callback)


def _done_before(record: RunRecord) -> Event:
    """Return the event that tells of a run which is done already."""
    earlier = tuple(Evaluation(**point) for point in record.curves)
    last = earlier[-1]
    return Event("resumed", last.step, last.step, last.lr, last.train_loss, 1.0, earlier=earlier)


def _cost(cell: Cell) -> float:
    """Return a number that grows with a cell's computing time: layers with weights, times steps."""
    return _depth(cell.net) * cell.recipe.steps


def estimate_seconds(nets: Sequence[str], seeds: int, dataset: Dataset, recipe: Recipe) -> float:
    """Return roughly how long a study will take on the processor, from a few steps of the shallowest net, timed now.

    The time of a step is taken as proportional to the depth, and of an image in an evaluation as a third of training.
    """
    shallow = min(nets, key=_depth)
    trial = recipe.replace(steps=5, milestones=(), warmup_lr=None, eval_every=5)
    few = dataset.head(recipe.batch_size, 1)
    begin = _stopwatch(build_net(shallow, dataset, 0), few, trial)
    images = len(dataset.train_images) + len(dataset.test_images)
    passes = 3 * recipe.batch_size * recipe.steps + images * -(-recipe.steps // recipe.eval_every)
    seconds = begin * passes / (3 * recipe.batch_size)
    whole = seeds * seconds * sum(_depth(net) for net in nets) / _depth(shallow)
    # One process with all the cores was timed here; worker processes with few threads each do a little better.
    return max(whole, seconds * max(map(_depth, nets)) / _depth(shallow))


def _stopwatch(model: torch.nn.Module, dataset: Dataset, recipe: Recipe) -> float:
    """Return the seconds of the quickest of a few training steps: what else the machine does only slows them down."""
    times = []
    train(
        model,
        dataset,
        recipe,
        callback=lambda event: times.append(time.perf_counter()) if event.kind == "step" else None,
    )
    return min(after - before for before, after in itertools.pairwise(times))


def _depth(net: str) -> int:
    return split_name(net)[1]


class _Progress:
    """One line for the whole grid: nets in flight, share of the work, steps, time left."""

    def __init__(self, cells: Iterable[Cell], done: set[Cell], show: bool) -> None:
        self.cost = {cell: _cost(cell) for cell in cells}
        self.share = {cell: float(cell in done) for cell in self.cost}
        self.steps = {cell: cell.recipe.steps if cell in done else 0 for cell in self.cost}
        self.total_steps = sum(cell.recipe.steps for cell in self.cost)
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        # Smoothing 0: time left from the mean pace so far; evaluations make the recent pace jump.
        before = sum(self.cost[cell] for cell in done)  # it must not make the rest look fast
        self.bar = make_bar(
            sum(self.cost.values()), "starting", show=show, bar_format=form, smoothing=0, initial=before
        )

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
        if event.kind == "resumed" and not self.bar.disable:
            self.bar.initial += gain * self.cost[cell]  # as above
            self.bar.refresh()
