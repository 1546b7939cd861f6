"""Run records: what one training run was, where it ran, and what came out, as versioned JSON.

Scope: the data class, writing and reading it safely, and comparing two runs. Only the standard library is imported,
so that a figure or a table can be made from records without torch.

Sources
  [1] RFC 8259, "The JavaScript Object Notation (JSON) Data Interchange Format", section 6: no NaN, no Infinity.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..support.files import write_atomic

SCHEMA = 1
STUDY_FILE = "study.json"  # beside the records of a study, what it is: see `study.py`
METRICS = ("train_loss", "train_error", "test_loss", "test_error")
_POINT = ("step", "lr", *METRICS)


class RecordError(ValueError):
    """Raised for a file that is no valid record, or a set of records that do not belong together."""


@dataclass(frozen=True)
class RunRecord:
    """One training run of one net. Losses are mean cross-entropies in nats, errors are in percent.

    net:        the net's name, such as "plain56".
    parameters: how many learnable values it has.
    dataset:    name, fingerprint, train and test (numbers of images), shape (C, H, W) and classes (their names).
    recipe:     the fields of `recipe.Recipe`, as plain values.
    seed:       of the initial weights, the order of the batches and the augmentation.
    device:     type ("cpu", "cuda", "mps"), name (the processor's or the card's) and precision ("float32", "bfloat16");
                and processes, if several trained the net together (`distributed.py`).
    threads:    computing threads on the processor.
    curves:     one dict an evaluation: step, lr, and `METRICS`, in eval mode over the whole training and test set.
    seconds:    wall time of the training with its evaluations.
    date:       when the run ended, ISO 8601, UTC.
    versions:   of Python and the libraries.
    code:       version of this package, and git's description of the checkout (None outside of one).
    schema:     version of this format.
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
    schema: int = SCHEMA

    @property
    def final(self) -> dict[str, float]:
        """The last evaluation: step, lr and `METRICS`."""
        return self.curves[-1]

    @property
    def kind(self) -> str:
        """The net's name without its depth: "plain" or "resnet" for the nets of the experiment."""
        return re.sub(r"\d+$", "", self.net)

    @property
    def depth(self) -> int:
        """The number at the end of the net's name (its layers with weights), 0 if there is none."""
        found = re.search(r"\d+$", self.net)
        return int(found.group()) if found else 0

    @property
    def processes(self) -> int:
        """How many processes trained the net together."""
        return self.device.get("processes", 1)

    @property
    def filename(self) -> str:
        """The name of the file that a study writes this record to."""
        return filename(self.net, self.seed)

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Return the steps and the values of one of `METRICS`.

        Raises `ValueError` for another name.
        """
        if metric not in METRICS:
            raise ValueError(f"`metric` must be one of {', '.join(METRICS)}, but it is {metric!r}")
        return [int(p["step"]) for p in self.curves], [p[metric] for p in self.curves]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values that JSON can hold; a number that is not finite becomes None ([1])."""
        plain = dataclasses.asdict(self)
        plain["final"] = dict(plain["curves"][-1])
        return _finite({"schema": plain.pop("schema"), **plain})

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str = "the record") -> RunRecord:
        """Return the record that `to_dict` described; None in a curve becomes NaN.

        Raises `RecordError`, naming `origin`, for a newer format, a missing or a wrong field.
        """
        if not isinstance(values, dict) or "schema" not in values:
            raise RecordError(f"{origin} is no run record: it has no field 'schema'")
        schema = values["schema"]
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise RecordError(f"{origin}: 'schema' must be a whole number of at least 1, but it is {schema!r}")
        if schema > SCHEMA:
            raise RecordError(
                f"{origin} has schema {schema}, but this version of resnet_edu ({__version__}) knows only schemas "
                f"up to {SCHEMA}: update resnet_edu to read it"
            )
        fields = {f.name: f for f in dataclasses.fields(cls)}
        optional = {"date", "versions", "code", "schema"}
        missing = sorted(set(fields) - optional - set(values))
        unknown = sorted(set(values) - set(fields) - {"final"})
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"has unknown fields: {', '.join(unknown)}"
            raise RecordError(f"{origin} is damaged or was edited: it {what}")
        record = cls(**{name: values[name] for name in fields if name in values})
        curves = _check(record, origin)
        if values.get("final", record.curves[-1]) != record.curves[-1]:
            raise RecordError(f"{origin} contradicts itself: 'final' is not the last point of 'curves'")
        return dataclasses.replace(record, curves=curves)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the record to `path` and return it. The file is there whole or not at all.

        Raises `FileExistsError` if there is a file and `overwrite` is False, `OSError` if it cannot be written.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists: give another path, or overwrite=True to replace it")
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        write_atomic(path, text.encode())
        return path

    def same_result(self, other: RunRecord) -> bool:
        """Return whether two runs agree in everything but when, how fast, and from which checkout they ran.

        That is: the same net, data, recipe, seed, device, threads and library versions, and the very same numbers.
        """
        ignored = {"date", "seconds", "code"}
        mine, theirs = self.to_dict(), other.to_dict()
        return all(mine[k] == theirs[k] for k in mine if k not in ignored)


def _finite(value: Any) -> Any:
    """Return `value` with every float that is not finite replaced by None, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check(record: RunRecord, origin: str) -> list[dict[str, float]]:
    """Return the record's curves with None as NaN, or say which field is wrong and how."""

    def wrong(field: str, rule: str, value: Any) -> RecordError:
        return RecordError(f"{origin} is damaged: '{field}' must be {rule}, but it is {value!r}")

    for name in ("net", "date"):
        if not isinstance(getattr(record, name), str):
            raise wrong(name, "text", getattr(record, name))
    for name in ("parameters", "seed", "threads"):
        if not isinstance(getattr(record, name), int) or isinstance(getattr(record, name), bool):
            raise wrong(name, "a whole number", getattr(record, name))
    if not _number(record.seconds):
        raise wrong("seconds", "a number", record.seconds)
    for name in ("dataset", "recipe", "device", "versions", "code"):
        if not isinstance(getattr(record, name), dict):
            raise wrong(name, "an object", getattr(record, name))
    if not isinstance(record.processes, int) or isinstance(record.processes, bool) or record.processes < 1:
        raise wrong("device.processes", "a whole number of at least 1", record.processes)
    for name in ("name", "fingerprint"):
        if not isinstance(record.dataset.get(name), str):
            raise wrong(f"dataset.{name}", "text", record.dataset.get(name))
    if not isinstance(record.curves, list) or not record.curves:
        raise wrong("curves", "a list of at least one evaluation", record.curves)
    curves = []
    for i, point in enumerate(record.curves):
        if not isinstance(point, dict) or set(point) != set(_POINT):
            raise wrong(f"curves[{i}]", f"an object with {', '.join(_POINT)}", point)
        for name, value in point.items():
            if not (_number(value) or (value is None and name in METRICS)):
                raise wrong(f"curves[{i}].{name}", "a number", value)
        curves.append({k: math.nan if v is None else v for k, v in point.items()})
    steps = [p["step"] for p in curves]
    if steps != sorted(set(steps)):
        raise wrong("curves", "in ascending order of steps", steps)
    return curves


def filename(net: str, seed: int) -> str:
    """Return the name of the file that a study writes the record of `net` with `seed` to."""
    return f"{net}-seed{seed}.json"


def load(path: str | os.PathLike[str]) -> RunRecord:
    """Return the record in the file at `path`.

    Raises `FileNotFoundError` if there is none and `RecordError` if it is no valid record, with the reason.
    """
    return RunRecord.from_dict(read_json(path), str(Path(path)))


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the values in the JSON file of a record.

    Raises `FileNotFoundError` if there is none and `RecordError` if it is no JSON text.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no record at {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is damaged: it is no JSON text ({error}); restore it or remove it") from None


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

    That is: one dataset, one recipe, one number of processes (`distributed.py`), no net and seed twice.

    Raises `RecordError` naming the first two that differ.
    """
    records = list(records)
    if not records:
        raise RecordError("there are no records to compare")
    first = records[0]
    for r in records[1:]:
        for what, mine, theirs in (
            ("dataset", first.dataset.get("fingerprint"), r.dataset.get("fingerprint")),
            ("recipe", _finite(first.recipe), _finite(r.recipe)),
            ("number of processes", first.processes, r.processes),
        ):
            if mine != theirs:
                raise RecordError(
                    f"{first.net} (seed {first.seed}) and {r.net} (seed {r.seed}) differ in their {what}, so they "
                    "cannot be compared in one table or figure: pass the records of one study"
                )
    keys = [(r.net, r.seed) for r in records]
    twice = next((k for k in keys if keys.count(k) > 1), None)
    if twice:
        raise RecordError(f"{twice[0]} with seed {twice[1]} occurs twice: pass each run once")
    return records
