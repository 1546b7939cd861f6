"""The degradation experiment: plain and residual nets of several depths, trained alike, on one data set.

The question ([1], section 4.2): a deep plain net could do no worse than a shallow one, since its further layers could
be identities. Is its TRAINING error higher all the same? And does a shortcut around every two layers change that?

What a study is, and its folder, are in `folder.py`; what its records say, a table and a sentence, in `statistics.py`.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, sections 1, 3.1 and 4.2.
"""

import contextlib
import dataclasses
import functools
import inspect
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.dataset import Dataset
from ..nets.models import get_model, imported, split_name
from ..support import system
from ..support.validate import of_type, whole
from ..training import checkpoint as checkpoints
from ..training.checkpoint import Checkpoint
from ..training.classifier import Classifier
from ..training.group import ALONE, Group
from ..training.loop import Evaluation, Event, StopTraining, TrainingDiverged, best_of, check_fit, check_output, train
from ..training.recipe import Recipe
from ..training.step import resolve_precision
from . import folder as folders
from . import start as starts
from .folder import Cell, Images, Source, Study
from .records import RunRecord
from .workers import EVENT_PACE, RayEngine, import_ray, run_in_workers

DEFAULT_STEPS = 1000  # of the paper's shortened recipe, for images that are not digits
EVALUATION_SHARE = 0.5  # at most about this much computation goes into evaluations, beside 1 for training


def build_net(name: str, dataset: Dataset, seed: int, **options: object) -> nn.Module:
    """Return the net `name` for a data set, with initial weights drawn from `seed`; `options` as `models.get_model`.

    name: of `models.get_model`, or "module:callable" for a net of your own.

    A plain net and its residual twin get equal weights. The global random state is left as it was.
    """
    options = net_options(name, dataset, **options)
    whole("seed", seed, 0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the processor's only: torch.manual_seed sets graphics cards too
        if ":" not in name:
            return get_model(name, **options)
        try:
            return imported(name)(**options)
        except Exception as error:  # it is somebody else's code
            raise RuntimeError(f"{name}() failed: {type(error).__name__}: {error}") from error


def net_options(name: str, dataset: Dataset, **options: object) -> dict[str, Any]:
    """Return all that a net for a data set is built with: `num_classes`, `in_channels`, and `options`.

    A callable of your own ("module:callable") gets the first two only if it names them, or `**` something the first.
    """
    found: dict[str, Any] = {"num_classes": len(dataset.classes), "in_channels": dataset.shape[0]}
    if ":" in name:
        parameters = inspect.signature(imported(name)).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            parameters = {"num_classes", *parameters}
        found = {key: value for key, value in found.items() if key in parameters}
    return found | options


def default_recipe(dataset: Dataset, steps: int | None = None, depth: int = 56) -> Recipe:
    """Return the recipe that fits a data set: `Recipe.digits` for the digits, or else the paper's, shortened.

    steps: None is what `Recipe.digits` has, or else 1,000. Evaluations of others are spaced by `space_evaluations`.
    """
    looks = dataset.shape, dataset.classes  # a folder of that name may hold other images
    if dataset.name.partition("[")[0] == "digits" and looks == ((1, 8, 8), tuple("0123456789")):
        return Recipe.digits() if steps is None else Recipe.digits(steps)
    return space_evaluations(Recipe.scaled(DEFAULT_STEPS if steps is None else steps, depth), dataset)


def space_evaluations(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Return the recipe with evaluations as often as `EVALUATION_SHARE` affords, 3 to 64 times in all."""
    images = len(dataset.train_images) + len(dataset.test_images)
    affordable = int(EVALUATION_SHARE * recipe.steps * 3 * recipe.batch_size / images)
    return recipe.replace(eval_every=-(-recipe.steps // min(64, max(3, affordable), recipe.steps)))


def run(
    study: Study | None = None,
    data: Images | None = "digits",
    folder: str | os.PathLike[str] | None = None,
    *,
    resume: bool = False,
    engine: str | RayEngine = "local",
    progress: bool = True,
    on_record: Callable[[RunRecord], object] | None = None,
    on_event: Callable[[Cell, Event], object] | None = None,
) -> list[RunRecord]:
    """Train every net of a study with every seed and return the records, in the order of nets and seeds.

    study:    None is `Study()`: plain and residual nets of 20 and 56 layers, one seed.
    data:     a source of `data.load`, a `Source`, or a `Dataset`.
    folder:   for the records, each written as soon as its net is done, and for all that it takes to go on if the study
              is stopped (`folder.py`); it must not hold records yet.
    resume:   go on with the study in `folder`, if nothing in `study` contradicts it; begin it if there is none.
    engine:   "local", processes of this machine; "ray", tasks of a Ray cluster, or of this machine if there is none; or
              a `RayEngine`. The records are the same. The machines of a cluster must share `folder`.
    progress: show one line on stderr: what is running, steps done, time left.
    on_record: called with each record when its net is done.
    on_event: called with a `Cell` and an `Event` while that net trains, such as `LiveCurves`. From other processes
              come all evaluations, and of the steps a few a second. What it raises ends the study.

    Works in scripts without `if __name__ == "__main__"`. No worker outlives this call or this process.
    Raises `ValueError`, `OSError` or `RuntimeError` before any training for data, a device or a folder that cannot be
    used; `TrainingDiverged` and `WorkerDied` name the net.
    """
    study = Study() if study is None else study
    if not isinstance(study, Study):
        raise TypeError(f"`study` must be a Study, such as Study(nets, recipe, seeds=3), but it is {study!r}")
    if folder is None and (resume or study.save_weights):
        raise ValueError(f"`{'resume' if resume else 'save_weights'}` needs a folder: name it with `folder`")
    folder = folder and Path(folder)
    if isinstance(data, str | os.PathLike):
        data = Source(data)
    with folders.claimed(folder, resume) if folder else contextlib.nullcontext() as stored:
        if stored is not None:
            study = stored.continued(study, folder)
            if len(folders.finished(folder, study)) == len(study.cells):  # no images, no card and no cluster are needed
                return _train_all(study, None, folder, None, progress, on_record, on_event)
        study, engine = choose_device(study, engine)
        if stored is not None:
            dataset = study.images(data, folder, progress)
        else:
            of_type("data", data, Dataset, Source, str, os.PathLike)
            source, dataset = (study.source, data) if isinstance(data, Dataset) else (data, data.load(progress))
            study = complete(dataclasses.replace(study, source=source), dataset, engine)
            if folder:
                study.save(folder)
        return _train_all(study, dataset, folder, engine, progress, on_record, on_event)


def resume(folder: str | os.PathLike[str], data: Images | None = None, **options: Any) -> list[RunRecord]:
    """Go on with the study in `folder`, however it was stopped, and return all of its records.

    On a processor these are, number for number, those of a study that was never stopped. Raises `StudyError` if there
    is none in the folder, or another process is at work on it.
    data:    the images, if they were given to `run` as a `Dataset` without its source, or are elsewhere now.
    options: `engine`, `progress`, `on_record` and `on_event`, as for `run`.
    """
    study = folders.load(folder)
    return run(study, study.source if data is None else data, folder, resume=True, **options)


def choose_device(study: Study, engine: str | RayEngine | None = "local") -> tuple[Study, RayEngine | None]:
    """Return the study with device and precision chosen as far as this machine can tell, and Ray or None for "local".

    Raises `ValueError` for an unknown engine, device or precision, `RuntimeError` for a device that is not there,
    `ImportError` without Ray.
    """
    if engine in (None, "local"):
        device = system.resolve_device(study.device)
        precision = resolve_precision(study.precision, device)
        return dataclasses.replace(study, device=str(device), precision=precision), None
    if engine != "ray" and not isinstance(engine, RayEngine):
        raise ValueError(f'`engine` must be "local", "ray" or a RayEngine, but it is {engine!r}')
    import_ray()
    engine, device = (RayEngine() if engine == "ray" else engine).resolve(study.device, torch.cuda.is_available())
    if device == "cpu":
        study = dataclasses.replace(study, precision=resolve_precision(study.precision, torch.device("cpu")))
    return dataclasses.replace(study, device=device), engine  # "auto" on a card: chosen where the card is


def complete(study: Study, dataset: Dataset, engine: RayEngine | None = None) -> Study:
    """Return the study with all that was left open: recipe, workers, threads, and what its images are.

    The device must be chosen. Raises `ValueError` for a recipe, or a net of one's own, that does not fit the images.
    """
    recipe = study.recipe or default_recipe(dataset)
    check_fit(recipe, dataset)
    for net in study.nets:
        if ":" in net:  # those of this package do
            check_output(build_net(net, dataset, 0).eval(), torch.zeros(2, *dataset.shape), len(dataset.classes))
    workers, threads = study.workers, study.threads
    if workers is None:
        workers = 2 if study.device == "cpu" else 0
    if threads is None and engine is not None:
        threads = engine.cpus_per_run
    elif threads is None:
        shares = min(workers, len(study.cells))
        threads = max(1, system.available_cores() // shares) if shares else torch.get_num_threads()
    found = {"source": study.source and study.source.absolute(), "dataset": folders.facts(dataset)}
    return dataclasses.replace(study, recipe=recipe, workers=workers, threads=threads, **found)


def _train_all(
    study: Study,
    dataset: Dataset | None,
    folder: Path | None,
    engine: RayEngine | None,
    progress: bool,
    on_record: Callable[[RunRecord], object] | None,
    on_event: Callable[[Cell, Event], object] | None,
) -> list[RunRecord]:
    """Do the runs of a study that have no record in `folder` yet (without `dataset` there are none such)."""
    shared = study, dataset, folder and folder.resolve(), system.code_version()
    cells = study.cells
    done = folders.finished(folder, study) if folder else {}
    # Long runs first: no worker is left alone with one at the end.
    queue = sorted((cell for cell in cells if cell not in done), key=_cost, reverse=True)
    line = Progress(cells, done=set(done), show=progress)
    with line.bar:

        def watch(cell: Cell, event: Event) -> None:
            line.update(cell, event)
            if on_event is not None:
                on_event(cell, event)

        def finish(cell: Cell, record: RunRecord) -> None:
            done[cell] = record
            if folder:
                record.save(folder / record.filename)
                checkpoints.remove(folders.checkpoint(folder, study, cell).path)
            if on_record is not None:
                on_record(record)

        for cell, record in done.items() if on_event is not None else ():
            earlier = tuple(Evaluation(**point) for point in record.curves)
            last = earlier[-1]
            on_event(cell, Event("resumed", last.step, last.step, last.lr, last.train_loss, 1.0, earlier=earlier))
        setup = (system.prepare_process, study.threads)
        if engine is not None:
            engine.run(functools.partial(_run_one, pace=EVENT_PACE), queue, shared, setup, watch, finish)
        elif study.workers:
            run_in_workers(_run_one, queue, shared, min(study.workers, len(queue)), setup, watch, finish)
        else:
            for cell in queue:
                with system.computing_threads(study.threads):
                    record = _run_one(cell, *shared, functools.partial(watch, cell), pace=0.0)
                finish(cell, record)
    if folder:
        folders.clear(folder, study)
    return [done[cell] for cell in cells]


def _run_one(
    cell: Cell,
    study: Study,
    dataset: Dataset,
    folder: Path | None,
    code: dict[str, str | None],
    send: Callable[[Event], object],
    pace: float = 0.1,
) -> RunRecord:
    """Do one run; `folder` gets what it leaves, `send` all evaluations, and a step in `pace` seconds at most."""
    last = 0.0

    def callback(event: Event) -> None:
        nonlocal last
        if event.kind in ("evaluation", "resumed") or time.monotonic() - last >= pace:
            last = time.monotonic()
            send(event)

    weights_folder = folder if study.save_weights else None
    how = {"precision": study.precision, "checkpoint": folder and folders.checkpoint(folder, study, cell)}
    try:
        return run_cell(cell, dataset, study.device, callback, code, weights_folder, **how)
    except TrainingDiverged as error:
        raise TrainingDiverged(error.step, error.lr, f"{cell.name}: {error.what}") from None


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
    start: Classifier | None = None,
    keep_best: bool = False,
) -> RunRecord:
    """Train one net and return its record. Nothing outside of the arguments has a say in the numbers.

    code:       `code_version()` at the start of the study: a checkout may move on while a long one runs.
    weights_folder: gets the final weights, and the best ones (`-best`) if they are kept; None leaves none.
    checkpoint: as for `train`. The file is left: a caller removes it (`checkpoints.remove`) when the record is safe.
    start:      the trained net to start from, see `start.py`. The others are those of `train`.

    Raises what `train` raises, `OSError` if the weights cannot be written, and `StopTraining` if the callback has ended
    the training by it (its state is saved then, if there is a checkpoint): a record is of a whole run.
    """
    device = system.resolve_device(device)
    precision = resolve_precision(precision, device)
    options = dict(cell.options)
    model = build_net(cell.net, dataset, cell.seed, **options)
    origin, normalize, known = "", cell.recipe.normalize, None
    if start is not None:
        origin = starts.give(model, start)
        normalize = known = starts.normalization_for(start, dataset.shape)
    if checkpoint is not None:
        checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        title = " ".join([cell.net, *(f"{k}={v}" for k, v in options.items()), *filter(None, [origin])])
        checkpoint = dataclasses.replace(checkpoint, net=title)
    how = {"seed": cell.seed, "device": device, "precision": precision, "normalization": known, "keep_best": keep_best}
    history = train(model, dataset, cell.recipe, callback=callback, checkpoint=checkpoint, group=group, **how)
    if history.stopped:
        raise StopTraining(f"{cell.name} was stopped by its callback")
    if weights_folder is not None and not group.rank:
        built = net_options(cell.net, dataset, **options)
        trained = Classifier.of(model, dataset, cell.net, normalize, built, seed=cell.seed)
        states = {"": (cell.recipe.steps, model.state_dict())}
        if history.best is not None:
            states["-best"] = (best_of(history.evaluations).step, history.best)
        for ending, (step, state) in states.items():
            trained.net.load_state_dict(state)
            about = {**trained.about, "step": step}
            dataclasses.replace(trained, about=about).save(weights_folder / f"{cell.stem}{ending}.safetensors")
    together = {"processes": group.size} if group.size > 1 else {}
    return RunRecord(
        net=cell.net,
        parameters=sum(p.numel() for p in model.parameters()),
        dataset={**folders.facts(dataset), "shape": list(dataset.shape), "classes": list(dataset.classes)},
        recipe=cell.recipe.to_dict(),
        seed=cell.seed,
        device={"type": device.type, "name": system.device_name(device), "precision": precision, **together},
        threads=torch.get_num_threads(),
        curves=[dataclasses.asdict(e) for e in history.evaluations],
        seconds=round(history.seconds, 3),
        date=system.now(),
        versions=system.library_versions(),
        code=code or system.code_version(),
        options=options,
        start=origin,
    )


def _cost(cell: Cell) -> float:
    """Return a number that grows with a cell's computing time: layers with weights, times steps."""
    return max(1, split_name(cell.net)[1]) * cell.recipe.steps


class Progress:
    """One line for the whole grid: nets in flight, share of the work, steps, time left."""

    def __init__(self, cells: Sequence[Cell], done: set[Cell], show: bool) -> None:
        self.share = {cell: float(cell in done) for cell in cells}
        self.steps = {cell: cell.recipe.steps if cell in done else 0 for cell in cells}
        self.several_seeds = len({cell.seed for cell in cells}) > 1
        self.last: Evaluation | None = None  # of a net that is trained alone
        self.total_steps = sum(cell.recipe.steps for cell in cells)
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        total, before = sum(map(_cost, cells)), sum(map(_cost, done))  # what was done must not make the rest look fast
        # Smoothing 0: time left from the mean pace so far; evaluations make the recent pace jump.
        self.bar = system.make_bar(total, "starting", show=show, bar_format=form, smoothing=0, initial=before)

    def update(self, cell: Cell, event: Event) -> None:
        """Take in what a cell's training loop tells."""
        gain = (event.work - self.share[cell]) * _cost(cell)
        self.share[cell], self.steps[cell] = event.work, event.step
        running = [c for c, share in self.share.items() if 0 < share < 1 - 1e-9]
        names = ", ".join(f"{c.net}/{c.seed}" if self.several_seeds else c.net for c in running)
        steps = f"{sum(self.steps.values()):,} of {self.total_steps:,} steps"
        if len(self.share) == 1:
            steps += f", loss {event.loss:.3g}"
            known = [*event.earlier, *filter(None, [event.evaluation])]
            self.last = known[-1] if known else self.last
            if self.last is not None:
                steps += f", error {self.last.train_error:.1f}% seen, {self.last.test_error:.1f}% unseen"
        self.bar.set_description_str(f"{names or 'finishing'}: {steps}", refresh=False)
        self.bar.update(min(gain, self.bar.total - self.bar.n))  # sums of fractions: tqdm warns of more than all
        if event.kind == "resumed" and not self.bar.disable:
            self.bar.initial += gain  # as above
            self.bar.refresh()
