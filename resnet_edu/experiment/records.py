"""Run records: what one training run was, where it ran, and what came out, as versioned JSON.

Source
  [1] RFC 8259, "The JavaScript Object Notation (JSON) Data Interchange Format", section 6: no NaN, no Infinity.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..nets.models import split_name
from ..support.files import fields_of, read_json, write_json
from ..support.validate import one_of

SCHEMA = 1
STUDY_FILE = "study.json"  # beside the records of a study, what it is: see `folder.py`
METRICS = ("train_loss", "train_error", "test_loss", "test_error")
_POINT = ("step", "lr", *METRICS)


class RecordError(ValueError):
    """Raised for a file that is no valid record, or a set of records that do not belong together."""


@dataclass(frozen=True)
class RunRecord:
    """One training run of one net. Losses are mean cross-entropies in nats, errors are in percent.

    net:        the net's name, such as "plain56".
    dataset:    name, fingerprint, train and test (numbers of images), shape (C, H, W) and classes (their names).
    recipe:     the fields of `recipe.Recipe`, as plain values.
    seed:       of the initial weights, the order of the batches and the augmentation.
    device:     type ("cpu", "cuda", "mps"), name (the processor's or the card's) and precision ("float32", "bfloat16");
                and processes, if several trained the net together.
    curves:     one dict an evaluation: step, lr, and `METRICS`, in eval mode over the whole training and test set.
    seconds:    wall time of the training with its evaluations.
    date:       when the run ended, ISO 8601, UTC.
    code:       version of this package, and git's description of the checkout (None outside of one).
    options:    what the net was built with, beside what the data say.
    start:      the weights that it started from; empty for fresh ones.
    """

    net: str
    parameters: int
    dataset: dict[str, Any]
    recipe: dict[str, Any]
    seed: int
    device: dict[str, str | int]
    threads: int
    curves: list[dict[str, float]]
    seconds: float
    date: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    code: dict[str, str | None] = dataclasses.field(default_factory=dict)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    start: str = ""
    schema: int = SCHEMA

    @property
    def final(self) -> dict[str, float]:
        """The last evaluation: step, lr and `METRICS`."""
        return self.curves[-1]

    @property
    def kind(self) -> str:
        """The net's name without its depth: "plain" or "resnet" for the nets of the experiment."""
        return split_name(self.net)[0]

    @property
    def depth(self) -> int:
        """The number at the end of the net's name (its layers with weights), 0 if there is none."""
        return split_name(self.net)[1]

    @property
    def processes(self) -> int:
        """How many processes trained the net together."""
        return self.device.get("processes", 1)

    @property
    def filename(self) -> str:
        """The name of the file that a study writes this record to."""
        return run_name(self.net, self.seed) + ".json"

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Return the steps and the values of one of `METRICS`; `ValueError` for another name."""
        one_of("metric", metric, METRICS)
        return [int(p["step"]) for p in self.curves], [p[metric] for p in self.curves]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values that JSON can hold; a number that is not finite becomes None ([1])."""
        plain = dataclasses.asdict(self)
        plain["final"] = dict(plain["curves"][-1])
        plain = {k: v for k, v in plain.items() if v or k not in ("options", "start")}  # there since they are of use
        return _finite({"schema": plain.pop("schema"), **plain})

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str = "the record") -> RunRecord:
        """Return the record that `to_dict` described; None in a curve becomes NaN.

        Raises `RecordError`, naming `origin`, for a newer format, a missing or an unknown field, or no evaluations.
        """
        record = cls(**fields_of(cls, values, origin, RecordError, SCHEMA, derived=("final",)))
        points = [p for p in record.curves if isinstance(p, dict) and set(p) == set(_POINT)]
        wrong = [v for p in points for v in p.values() if type(v) not in (int, float, type(None))]
        if wrong or not points or len(points) < len(record.curves):
            raise RecordError(f"{origin} is damaged: 'curves' must be evaluations, each with {', '.join(_POINT)}")
        if missing := {"name", "fingerprint"} - set(record.dataset):
            raise RecordError(f"{origin} is damaged: 'dataset' lacks {', '.join(sorted(missing))}")
        curves = [{k: math.nan if v is None else v for k, v in point.items()} for point in record.curves]
        return dataclasses.replace(record, curves=curves)

    def save(self, path: str | os.PathLike[str], replace: bool = False) -> Path:
        """Write the record to `path` and return it, see `write_json`."""
        return write_json(path, self.to_dict(), indent=1, replace=replace)

    def same_result(self, other: RunRecord) -> bool:
        """Return whether two runs agree in everything but when, how fast, and from which checkout they ran."""
        ignored = {"date", "seconds", "code"}
        mine, theirs = self.to_dict(), other.to_dict()
        return all(mine.get(k) == theirs.get(k) for k in (mine.keys() | theirs) - ignored)


def run_name(net: str, seed: int) -> str:
    """Return what the files of a run are called, up to their endings."""
    return f"{net.replace(':', '-')}-seed{seed}"


def _finite(value: Any) -> Any:
    """Return `value` with every float that is not finite replaced by None, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def load(path: str | os.PathLike[str]) -> RunRecord:
    """Return the record in the file at `path`. Raises `FileNotFoundError`, or `RecordError` with the reason."""
    return RunRecord.from_dict(read_json(path, RecordError), str(Path(path)))


def load_dir(path: str | os.PathLike[str]) -> list[RunRecord]:
    """Return all the records (files *.json but `STUDY_FILE`) of a folder, in the order of kind, depth and seed.

    Raises `FileNotFoundError` if the folder does not exist or has no record, `RecordError` for a damaged one.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}")
    found = [load(p) for p in sorted(path.glob("*.json")) if p.name != STUDY_FILE]
    if not found:
        raise FileNotFoundError(f"the folder {path} holds no record (no file *.json)")
    return sorted(found, key=lambda r: (r.kind, r.depth, r.seed))


def check_comparable(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return `records` as a list if they may stand in one table.

    That is: one data set, one recipe, one number of processes; each net with the same options and start in all its
    runs, and no net and seed twice.

    Raises `RecordError` naming the first two that differ.
    """
    records = list(records)
    if not records:
        raise RecordError("there are no records to compare")
    firsts: dict[str, RunRecord] = {}
    seen = set()
    for r in records:
        first, of_net = records[0], firsts.setdefault(r.net, r)
        for what, other, theirs, mine in (
            ("dataset", first, first.dataset.get("fingerprint"), r.dataset.get("fingerprint")),
            ("recipe", first, _finite(first.recipe), _finite(r.recipe)),
            ("number of processes", first, first.processes, r.processes),
            ("net's options", of_net, of_net.options, r.options),
            ("weights to start from", of_net, of_net.start, r.start),
        ):
            if mine != theirs:
                runs = f"{other.net} (seed {other.seed}) and {r.net} (seed {r.seed})"
                raise RecordError(f"{runs} differ in their {what}: pass the records of one study")
        if (r.net, r.seed) in seen:
            raise RecordError(f"{r.net} with seed {r.seed} occurs twice: pass each run once")
        seen.add((r.net, r.seed))
    return records


def by_net(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return comparable records as one list for each net, in their order. Raises as `check_comparable`."""
    groups: dict[str, list[RunRecord]] = {}
    for record in check_comparable(records):
        groups.setdefault(record.net, []).append(record)
    return groups


def unseen(name: str) -> str:
    """Return what the images of a data set are called that a net does not learn from: "held-out" or "test"."""
    return "held-out" if name.endswith(" held out]") else "test"


def dataset_words(name: str) -> str:
    """Return a data set's name for a reader: of "digits[1200+237 held out]" it says what the second number is."""
    return re.sub(r"\[\d+\+(\d+) held out\]$", r" (\1 training images held out, and tested on)", name)
