"""A study (what is trained, how and where), and the folder that keeps it, so that it can be stopped and go on.

The folder holds `study.json`, a record of each run that is done, and in `checkpoints/` the state of each run in flight.
How a study is carried out is in `degradation.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ..data import dataset as data
from ..data.dataset import Dataset
from ..nets.models import get_model, imported, split_name
from ..support.files import fields_of, read_json, write_atomic
from ..support.system import now
from ..support.validate import of_type, one_of, real, whole, wholes
from ..training import checkpoint as checkpoints
from ..training.checkpoint import Checkpoint
from ..training.recipe import Recipe
from ..training.step import PRECISIONS
from . import records
from .records import STUDY_FILE, RunRecord, run_name

NETS = ("plain20", "resnet20", "plain56", "resnet56")
SCHEMA = 3  # 2: the source has a root; 3: it says how a folder is read
CHECKPOINTS = "checkpoints"  # the folder in the study's folder
LOCK_FILE = ".lock"  # there while a process is at work in the folder
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # file systems that have none


class StudyError(ValueError):
    """Raised for a folder that holds no study, or another one than is asked for."""


@dataclass(frozen=True)
class Source:
    """Where a study's images come from, so that they can be loaded again.

    data, resize, channels, skip_damaged: as for `data.load`.
    head:   how many training and test images are used; None for all.
    held:   how many training images are held out and tested on, see `Dataset.hold_out`; None for none.
    root:   where CIFAR-10 is looked for first, without the network; then as `data.load` does. None for nowhere.
    """

    data: str
    resize: int | None = None
    head: tuple[int, int] | None = None
    held: int | None = None
    root: str | None = None
    channels: int | None = None
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("resize", "held", "channels")}
        plain = {name: whole(name, value) for name, value in given.items() if value is not None}
        plain["head"] = None if self.head is None else tuple(wholes("head", self.head))
        if not isinstance(self.data, str):  # a path is a folder's, whatever it is called, as in `data.load`
            plain["data"] = os.path.abspath(of_type("data", self.data, os.PathLike))
        vars(self).update(plain)  # what a file can hold, where paths or NumPy's numbers were given
        if self.head is not None and len(self.head) != 2:
            raise ValueError(f"`head` must be numbers of training and of test images, but it is {self.head}")

    def absolute(self) -> Source:
        """Return the same source, to be found from any working directory."""
        if self.data == "digits":
            return self
        if self.data == "cifar10":  # where `data.load` looks for it, and puts it
            root = self.root or os.environ.get("RESNET_EDU_DATA") or "data"
            return dataclasses.replace(self, root=str(Path(root).expanduser().resolve()))
        return dataclasses.replace(self, data=str(Path(self.data).resolve()))

    def load(self, progress: bool = True, urls: Sequence[str] | None = None) -> Dataset:
        """Return the data set; `urls` as for `data.load`. Raises what that raises."""
        found, how = None, {name: getattr(self, name) for name in ("resize", "channels", "skip_damaged")}
        if self.root is not None:
            with contextlib.suppress(RuntimeError):  # it is there no longer
                found = data.load(self.data, **how, root=self.root, progress=progress, urls=[])
        if found is None:
            found = data.load(self.data, **how, progress=progress, urls=urls)
        found = found if self.head is None else found.head(*self.head)
        return found if self.held is None else found.hold_out(self.held)


Images = str | os.PathLike[str] | Source | Dataset  # a source of `data.load`, one with its options, or a data set


@dataclass(frozen=True)
class Cell:
    """One run of a study: everything it depends on but the data, the device, the threads and the weights to start from.

    options: pairs of what the net is built with, beside what the data say.
    """

    net: str
    seed: int
    recipe: Recipe
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.net} (seed {self.seed})"

    @property
    def stem(self) -> str:
        """What its files are called: its record (.json), its checkpoint, its weights (.safetensors)."""
        return run_name(self.net, self.seed)


@dataclass(frozen=True)
class Study:
    """What is trained, how and where. What is None or "auto" is decided when the study begins.

    nets:       names of `models.get_model`; each net is trained with each seed.
    recipe:     how to train. None takes what fits the images, see `default_recipe`.
    seeds:      how many (0, 1, ...), or which. One seed gives all nets the same batches, and twins the same weights.
    device:     "auto" (CUDA, else MPS, else the processor), "cpu", "cuda" or "mps".
    precision:  "float32", "bfloat16" (mixed precision), or "auto": what is fast on the device (`training/step.py`).
    workers:    processes that train side by side, on the processor or on one card; 0 trains one net after another in
                this process (slower on the processor, see `prepare_process`). None: 2 on the processor, else 0.
    threads:    computing threads of each worker, or of this process. None shares the processor's cores out, is Ray's
                `cpus_per_run`, or without workers what torch is set to. Another number may change the last digits.
    save_weights: leave each net's final weights beside its record, 4 bytes a parameter (safetensors).
    checkpoint_seconds: how often the state of each run is saved, see `Checkpoint`.
    source:     where its images come from; None if they were given as a `Dataset`.
    dataset:    name, fingerprint and numbers of its images, once they have been read.
    date:       when it began, ISO 8601, UTC.

    Raises `ValueError` for an unknown net, a net or a seed named twice, none of them, or a number that cannot be.
    """

    nets: tuple[str, ...] = NETS
    recipe: Recipe | None = None
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    threads: int | None = None
    save_weights: bool = False
    checkpoint_seconds: float = 60.0
    source: Source | None = None
    dataset: dict[str, Any] | None = None
    date: str = field(default_factory=now)

    def __post_init__(self) -> None:
        nets = (self.nets,) if isinstance(self.nets, str) else tuple(of_type("nets", self.nets, list, tuple))
        several = range(whole("seeds", self.seeds, 1, 10_000)) if isinstance(self.seeds, Integral) else self.seeds
        seeds = tuple(wholes("seeds", several, 0))
        numbers = {"checkpoint_seconds": real("checkpoint_seconds", self.checkpoint_seconds, 0)}
        for name, least in (("workers", 0), ("threads", 1)):
            if getattr(self, name) is not None:
                numbers[name] = whole(name, getattr(self, name), least)
        vars(self).update(numbers, nets=nets, seeds=seeds, device=str(self.device))
        for name, value in (("nets", nets), ("seeds", seeds)):
            if not 0 < len(value) == len(set(value)):
                raise ValueError(f"`{name}` must have one entry at least, and each once, but it is {value}")
        for net in nets:
            _check_net(net)
        of_type("recipe", self.recipe, Recipe, type(None)), of_type("source", self.source, Source, type(None))
        of_type("save_weights", self.save_weights, bool)
        one_of("precision", self.precision, PRECISIONS)

    @property
    def cells(self) -> list[Cell]:
        """Its runs: every net with every seed."""
        return [Cell(net, seed, self.recipe) for net in self.nets for seed in self.seeds]

    @property
    def depth(self) -> int:
        """Layers of its deepest net."""
        return max(split_name(net)[1] for net in self.nets)

    def save(self, folder: Path) -> None:
        """Write it into its folder."""
        text = json.dumps({**dataclasses.asdict(self), "schema": SCHEMA}, indent=1, allow_nan=False) + "\n"
        write_atomic(folder / STUDY_FILE, text.encode())

    def continued(self, asked: Study, folder: str | os.PathLike[str]) -> Study:
        """Return this study with the workers and seconds asked for now. Raises `StudyError` if it contradicts."""
        names = ("nets", "seeds", "recipe", "device", "precision", "threads", "save_weights")
        refuse(folder, {name: (getattr(asked, name), getattr(self, name)) for name in names})
        workers = self.workers if asked.workers is None else asked.workers
        if self.device == "cpu" and bool(workers) != bool(self.workers):  # another way to compute: `prepare_process`
            refuse(folder, {"workers": (workers, self.workers)})
        return dataclasses.replace(self, workers=workers, checkpoint_seconds=asked.checkpoint_seconds)

    def images(self, data: Source | Dataset | None, folder: Path, progress: bool = True) -> Dataset:
        """Return the images, by the study's name for them. Raises `StudyError` if they are not there, or are others."""
        if data is None:
            raise StudyError(f"the images of the study in {folder} were given as a `Dataset`: give it again, as `data`")
        try:
            found = data if isinstance(data, Dataset) else data.load(progress)
        except (FileNotFoundError, ValueError) as error:
            raise StudyError(f"{error}; if the images have moved, say where they are now (--data, or `data`)") from None
        about = facts(found)
        if about["fingerprint"] == self.dataset["fingerprint"]:
            about["name"] = self.dataset["name"]
        refuse(folder, {"dataset": (about, self.dataset)})
        return dataclasses.replace(found, name=about["name"])


@functools.cache
def _check_net(name: str) -> None:
    """Raise `ValueError` for an unknown net."""
    if ":" in of_type("nets", name, str):
        imported(name)
        return
    with torch.device("meta"):  # shapes only: even 1202 layers take no memory
        get_model(name)


def refuse(folder: str | os.PathLike[str], options: dict[str, tuple[Any, Any]]) -> None:
    """Raise `StudyError` if an option, name: (given, the study's), contradicts the study; None and "auto" never do."""
    wrong = [
        f"{name} is {given}, but the study has {its}"
        for name, (given, its) in options.items()
        if given not in (None, "auto", its)
    ]
    if wrong:
        raise StudyError(f"this contradicts the study in {folder}: {'; '.join(wrong)}. Leave it out, or begin another")


def facts(dataset: Dataset) -> dict[str, Any]:
    """Return what a study keeps of its images: name, fingerprint, and how many there are."""
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "train": len(dataset.train_images),
        "test": len(dataset.test_images),
    }


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes and threads from it meanwhile; who holds it may ask again.

    The lock ends with its process, however that ends. A file system without locks goes without.
    Raises `StudyError` if another one holds it, `OSError` if the folder cannot be made or written to.
    """
    lock = FileLock(folder.resolve() / LOCK_FILE, timeout=0, is_singleton=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StudyError(f"another process is at work in {folder}: wait for it, or stop it first") from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            why = error.strerror or error
            raise OSError(f"cannot write into the output folder {folder} ({why}): name another (--out)") from None
    except NotImplementedError:  # the same, in older versions of filelock
        pass
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                os.unlink(lock.lock_file)
        lock.release()


@contextlib.contextmanager
def claimed(folder: str | os.PathLike[str], resume: bool = False) -> Iterator[Study | None]:
    """Make the folder if need be, and keep other processes from it meanwhile, see `locked`.

    resume: give the study that is there, if there is one; else nothing may be there, and None is given.

    An error that leaves the folder empty removes it.
    Raises `FileExistsError` if it holds JSON files already (records, or a study), and what `locked` raises.
    """
    folder = Path(folder)
    try:
        with locked(folder):  # looked into only now: another process may have come first
            stored = load(folder) if resume and (folder / STUDY_FILE).exists() else None
            if stored is None and (found := sorted(folder.glob("*.json"))):
                way = f"name a new one (--out), or go on with its study (--resume {folder}, or resume=True)"
                raise FileExistsError(f"{folder} already holds {found[0].name}, and nothing is overwritten: {way}")
            yield stored
    except BaseException:
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()
        raise


def load(folder: str | os.PathLike[str]) -> Study:
    """Return the study in a folder. Raises `StudyError` if there is none, or if it is damaged."""
    path = Path(folder) / STUDY_FILE
    if not path.exists():
        raise StudyError(f"there is no study to resume in {folder}: there is no file {path}")
    values = fields_of(Study, read_json(path, StudyError), path, StudyError, SCHEMA)
    try:
        values["recipe"] = Recipe(**values["recipe"])
        values["source"] = values["source"] and Source(**values["source"])
        return Study(**{f.name: values[f.name] for f in dataclasses.fields(Study)})
    except (TypeError, KeyError, ValueError) as error:
        raise StudyError(f"{path} is damaged or was edited ({error}); start the study anew") from None


def newest_unfinished(parent: str | os.PathLike[str]) -> Path:
    """Return the folder in `parent` with the unfinished study that was begun last. Raises `StudyError` without one."""
    found = []
    for path in Path(parent).glob(f"*/{STUDY_FILE}"):
        with contextlib.suppress(ValueError, OSError):  # one that cannot be read is not the one that is meant
            study = load(path.parent)
            if len(finished(path.parent, study)) < len(study.cells):
                found.append((study.date, path.parent))
    if not found:
        raise StudyError(f"there is no unfinished study in {parent}: name the folder of the one to resume")
    return max(found)[-1]


def finished(folder: Path, study: Study) -> dict[Cell, RunRecord]:
    """Return the records of the runs that are done. Raises `StudyError` for one of another study, or `RecordError`."""
    recipe, found = study.recipe.to_dict(), {}
    for cell in study.cells:
        path = folder / f"{cell.stem}.json"
        try:
            record = records.load(path)
        except FileNotFoundError:
            continue
        mine = (cell.net, cell.seed, recipe, study.dataset["fingerprint"])
        if (record.net, record.seed, record.recipe, record.dataset["fingerprint"]) != mine:
            raise StudyError(f"{path} is no record of the study in {folder}: move it away to go on")
        found[cell] = record
    return found


def checkpoint(folder: Path, study: Study, cell: Cell) -> Checkpoint:
    """Return where a run keeps its state, and how often."""
    path = folder / CHECKPOINTS / f"{cell.stem}.checkpoint"
    return Checkpoint(path, cell.net, study.checkpoint_seconds)


def clear(folder: Path, study: Study) -> None:
    """Remove all checkpoints of a study, and their folder unless something was set aside in it."""
    for cell in study.cells:
        checkpoints.remove(checkpoint(folder, study, cell).path)
    with contextlib.suppress(OSError):
        (folder / CHECKPOINTS).rmdir()
