"""A study's folder: what was asked for, which runs are done, and where those in flight keep their state.

Scope: `study.json` and the names of files, so that a study that was stopped can go on, from this file alone. The
folder holds that file, a record for each run that is done (`records.py`), and in `checkpoints/` the state of each run
in flight (`checkpoints.py`). Training is in `degradation.py`.

Source
  [1] Linux manual, flock(2): a lock, of a folder too, goes with the process that holds it, however that ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..data import dataset as data
from ..data.dataset import Dataset
from ..support.files import write_atomic
from ..support.system import now
from ..training import checkpoint as checkpoints
from ..training.checkpoint import Checkpoint
from ..training.recipe import Recipe
from . import records
from .records import STUDY_FILE, RecordError, RunRecord

SCHEMA = 2  # 2: the source has a root
CHECKPOINTS = "checkpoints"  # the folder in the study's folder

log = logging.getLogger(__name__)
_locked: ContextVar[frozenset[Path]] = ContextVar("_locked", default=frozenset())  # the folders that this thread holds


class StudyError(ValueError):
    """Raised for a folder that holds no study, or another one than is asked for."""


@dataclass(frozen=True)
class Source:
    """Where a study's images come from, so that they can be loaded again.

    data:   as for `data.load`.
    resize: as for `data.load`.
    head:   how many training and test images are used; None for all.
    held:   how many training images are held out and tested on, see `data.Dataset.hold_out`; None for none.
    root:   where CIFAR-10 is looked for first, without the network; then as `data.load` does. None for nowhere.
    """

    data: str
    resize: int | None = None
    head: tuple[int, int] | None = None
    held: int | None = None
    root: str | None = None

    def __post_init__(self) -> None:
        if self.head is not None:
            object.__setattr__(self, "head", tuple(self.head))

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
        found = None
        if self.root is not None:
            with contextlib.suppress(RuntimeError):  # it is there no longer
                found = data.load(self.data, root=self.root, progress=progress, urls=[])
        if found is None:
            found = data.load(self.data, resize=self.resize, progress=progress, urls=urls)
        found = found if self.head is None else found.head(*self.head)
        return found if self.held is None else found.hold_out(self.held)


@dataclass(frozen=True)
class Study:
    """What a study is: everything that it takes to go on with it.

    nets, seeds, recipe: the grid.
    dataset:    what `facts` returns.
    source:     where they are; None if they were given as a `Dataset`.
    device:     "cpu", "cuda" or "mps".
    precision:  as in `train.train`.
    workers:    processes, 0 for none.
    threads:    of each; on the processor, another number may change the last digits.
    save_weights: whether each net's weights are left beside its record.
    checkpoint_seconds, checkpoint_steps: the schedule, see `checkpoints.Checkpoint`.
    date:       when it began, ISO 8601, UTC.
    schema:     version of this format.
    """

    nets: tuple[str, ...]
    seeds: tuple[int, ...]
    recipe: Recipe
    dataset: dict[str, Any]
    source: Source | None
    device: str
    precision: str
    workers: int
    threads: int
    save_weights: bool = False
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None
    date: str = field(default_factory=now)
    schema: int = SCHEMA

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Net and seed of every run."""
        return [(net, seed) for net in self.nets for seed in self.seeds]

    def save(self, folder: Path) -> None:
        """Write it into its folder."""
        text = json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"
        write_atomic(folder / STUDY_FILE, text.encode())

    def refuse(self, folder: str | os.PathLike[str], **given: Any) -> None:
        """Raise `StudyError` if one of the given fields contradicts the study; None and "auto" leave it the choice."""
        contradictions = [
            f"{name} is {value!r}, but the study has {getattr(self, name)!r}"
            for name, value in given.items()
            if value not in (None, "auto") and value != getattr(self, name)
        ]
        if contradictions:
            raise StudyError(
                f"this contradicts the study in {folder}: {'; '.join(contradictions)}. Leave it out to go on with that "
                "study, or start another one in a new folder"
            )

    def images(self, folder: str | os.PathLike[str], given: Dataset | None = None, progress: bool = True) -> Dataset:
        """Return the study's images, the `given` ones or those from its source, by the name that it knows them by.

        Their folder may have another name now: the fingerprint decides. Raises `StudyError` for other images, or if
        they are not found, and what `Source.load` raises.
        """
        if given is None and self.source is None:
            raise StudyError(f"the images of the study in {folder} were given as a `Dataset`: give it again, as `data`")
        try:
            found = self.source.load(progress) if given is None else given
        except (FileNotFoundError, ValueError) as error:
            raise StudyError(f"{error}; if the images have moved, say where they are now (--data, or `data`)") from None
        about = facts(found)
        if about["fingerprint"] == self.dataset["fingerprint"]:
            about["name"] = self.dataset["name"]
        self.refuse(folder, dataset=about)
        return dataclasses.replace(found, name=about["name"])


def facts(dataset: Dataset) -> dict[str, Any]:
    """Return what a study keeps of its images: name, fingerprint, and how many there are."""
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "train": len(dataset.train_images),
        "test": len(dataset.test_images),
    }


def claim_folder(out: str | os.PathLike[str]) -> Path:
    """Make the folder `out` if need be, see that files can be written there, and return its path.

    Raises `FileExistsError` if it holds JSON files already (records, or a study), `OSError` if it cannot be made or
    written to.
    """
    folder = Path(out)
    _make(folder)
    _check_free(folder)
    return folder


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder in `parent` that was not there, called `name`, or else `name-2`, `name-3`, ..., and return it.

    Raises `OSError` if none can be made.
    """
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:  # another process may have begun within the same second
            continue
        except OSError as error:
            raise _unwritable(folder, error) from None


@contextlib.contextmanager
def claimed(out: str | os.PathLike[str], resume: bool = False, made: bool = False) -> Iterator[Study | None]:
    """Claim the folder `out`, see `claim_folder`, and keep other processes from it meanwhile, see `locked`.

    resume: take the study that is there, if there is one, and give it; else nothing may be there, and None is given.
    made:   whether the caller has just made the folder. If it was made for this, and an error leaves it empty, it is
            removed.
    """
    folder = Path(out)
    made = made or not folder.exists()
    if not (resume and (folder / STUDY_FILE).exists()):
        _make(folder)
    with locked(folder):  # looked into only now: another process may have come first
        there = load(folder) if resume and (folder / STUDY_FILE).exists() else None
        if there is None:
            _check_free(folder)
        try:
            yield there
        except BaseException:
            if made:
                with contextlib.suppress(OSError):  # it is not empty
                    folder.rmdir()
            raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> OSError:
    return OSError(f"cannot write into the output folder {folder} ({error.strerror or error}): name another (--out)")


def _check_free(folder: Path) -> None:
    if (folder / STUDY_FILE).exists():
        raise FileExistsError(
            f"the output folder {folder} already holds a study, and nothing is overwritten: go on with that one "
            f"(--resume {folder}, or resume=True), or name a new folder (--out)"
        )
    old = sorted(folder.glob("*.json"))
    if old:
        raise FileExistsError(
            f"the output folder {folder} already holds {len(old)} records ({old[0].name}, ...), and nothing is "
            "overwritten: name a new folder (--out), or move them away"
        )


def load(folder: str | os.PathLike[str]) -> Study:
    """Return the study in a folder.

    Raises `StudyError` if there is none, saying what is there instead, or if it cannot be read.
    """
    path = Path(folder) / STUDY_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise StudyError(f"there is no study to resume: there is no folder {folder}") from None
        held = "is empty" if not any(path.parent.iterdir()) else f"holds no {STUDY_FILE}"
        raise StudyError(f"there is no study to resume in {folder}: it {held}. Start one without resuming") from None
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise StudyError(f"{path} is damaged: it is no JSON text ({error}); start the study anew") from None
    if isinstance(values, dict) and isinstance(values.get("schema"), int) and values["schema"] > SCHEMA:
        raise StudyError(
            f"{path} has schema {values['schema']}, but this version of resnet_edu ({__version__}) knows only schemas "
            f"up to {SCHEMA}: update resnet_edu to go on with it"
        )
    try:
        values["recipe"] = Recipe(**values["recipe"])
        values["source"] = values["source"] and Source(**values["source"])
        values |= {name: tuple(values[name]) for name in ("nets", "seeds")}
        return Study(**values)
    except (TypeError, KeyError, ValueError) as error:
        raise StudyError(f"{path} is damaged or was edited ({error}); start the study anew") from None


def newest_unfinished(parent: str | os.PathLike[str]) -> Path:
    """Return the folder in `parent` with the study that was begun last, of those that are not finished.

    Raises `StudyError` if there is none.
    """
    found = []
    for path in Path(parent).glob(f"*/{STUDY_FILE}"):
        with contextlib.suppress(StudyError):  # one that cannot be read is not the one that is meant
            study = load(path.parent)
            if done(path.parent, study) < len(study.runs):
                found.append((study.date, path.stat().st_mtime, path.parent))
    if not found:
        raise StudyError(f"there is no unfinished study in {parent}: name the folder of the one to resume")
    return max(found)[-1]


def done(folder: Path, study: Study) -> int:
    """Return how many of a study's runs have left a record, damaged ones aside."""
    found = 0
    for run in study.runs:
        with contextlib.suppress(FileNotFoundError, RecordError):
            found += records.load(folder / records.filename(*run)) is not None
    return found


def finished(folder: Path, study: Study) -> dict[tuple[str, int], RunRecord]:
    """Return the records of the runs that are done, by net and seed.

    A damaged record is renamed to `*.damaged`, with a warning; what a killed process has left half-written is removed.
    Raises `StudyError` for a record of another study.
    """
    for path in folder.glob(".*-seed*.tmp"):
        path.unlink()
    found = {}
    for run in study.runs:
        path = folder / records.filename(*run)
        try:
            record = records.load(path)
        except FileNotFoundError:
            continue
        except RecordError as error:
            os.replace(path, path.with_name(f"{path.name}.damaged"))
            log.warning("%s; set aside as %s.damaged, and that run is done again", error, path.name)
            continue
        mine = study.dataset["fingerprint"], json.loads(json.dumps(dataclasses.asdict(study.recipe)))
        if (record.dataset["fingerprint"], record.recipe) != mine or (record.net, record.seed) != run:
            raise StudyError(f"{path} is no record of the study in {folder}: move it away to go on")
        found[run] = record
    return found


def checkpoint(folder: Path, study: Study, net: str, seed: int) -> Checkpoint:
    """Return where the run of `net` with `seed` keeps its state, and how often."""
    path = folder / CHECKPOINTS / f"{net}-seed{seed}.checkpoint"
    return Checkpoint(path, net, study.checkpoint_seconds, study.checkpoint_steps)


def clear(folder: Path, study: Study) -> None:
    """Remove all checkpoints of a study, and their folder, unless something was set aside in it."""
    for run in study.runs:
        checkpoints.remove(checkpoint(folder, study, *run).path)
    with contextlib.suppress(OSError):
        (folder / CHECKPOINTS).rmdir()


def in_flight(folder: Path) -> bool:
    """Return whether a run of the study in `folder` has left a checkpoint, good or not."""
    return any((folder / CHECKPOINTS).glob("*"))


def discard(folder: Path, study: Study) -> None:
    """Remove a study that has neither records nor checkpoints, and its folder unless something else is in it."""
    clear(folder, study)
    (folder / STUDY_FILE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes, and other threads, from working in `folder` meanwhile, where the system can ([1]).

    The lock is on the folder itself: the files in it are replaced when they are written. Who holds it may ask again.

    Raises `StudyError` if another one holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    held, place = _locked.get(), folder.resolve()
    if place in held:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(f"another process is at work in {folder}: wait for it, or stop it first") from None
        except OSError:  # a file system without locks
            pass
        token = _locked.set(held | {place})
        try:
            yield
        finally:
            _locked.reset(token)
    finally:
        os.close(handle)
