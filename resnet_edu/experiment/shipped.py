"""What comes with the package: the records of studies, and trained weights of one seed a net.

A study is a folder in `results/` with a manifest, `study.json`, which says what was run and has the SHA-256 ([1]) of
every other file. Nothing is read before that agrees. `tools/ship.py` makes such a folder.

Source
  [1] FIPS 180-4, "Secure Hash Standard".
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..nets.models import get_model
from ..support.files import fields_of, read_json
from ..support.validate import listed
from ..training import weights
from . import records
from .records import RecordError, RunRecord, run_name

RESULTS = Path(__file__).resolve().parent / "results"
MANIFEST = "study.json"
GRID = "grid-digits.json"
BUGS = "bugs.json"
SCHEMA = 1
PREFERRED = ("cifar10-paper", "cifar10-8k", "digits")  # the first that is there is taken if no study is named


class ShippedError(ValueError):
    """Raised for a study whose files are not those that were shipped."""


@dataclass(frozen=True)
class ShippedStudy:
    """What a manifest says of a study.

    about:     what it is and what it is not, in a few sentences.
    date:      of the day on which the last run ended, ISO 8601.
    shortened: whether the schedule is shorter than the paper's for this data set.
    weights:   net -> seed, dtype, and the test errors (percent) of the trained net and of the stored weights.
    files:     name -> sha256 and bytes, of every file but the manifest.
    """

    name: str
    title: str
    about: str
    date: str
    hardware: str
    command: str
    shortened: bool
    weights: dict[str, dict[str, Any]]
    files: dict[str, dict[str, Any]]
    folder: Path = field(default=RESULTS, compare=False)


def studies(root: Path = RESULTS) -> list[ShippedStudy]:
    """Return all studies that come with the package: those of `PREFERRED` first, then by name."""
    return [load_study(name, root) for name in _names(root)]


def load_study(study: str | None = None, root: Path = RESULTS) -> ShippedStudy:
    """Return the study of that name; without one, the first of `PREFERRED` that is there.

    Raises `ValueError`, naming those that are there, for another name; `ShippedError` for a damaged manifest.
    """
    names = _names(root)
    if study is None and names and names[0] in PREFERRED:
        study = names[0]
    if study not in names:
        raise ValueError(f"no study {study!r} comes with the package: there is {', '.join(names) or 'none'}")
    path = root / study / MANIFEST
    values = fields_of(ShippedStudy, read_json(path, ShippedError), path, ShippedError, SCHEMA)
    return ShippedStudy(**values | {"folder": path.parent})


def _names(root: Path) -> list[str]:
    names = sorted(path.parent.name for path in root.glob(f"*/{MANIFEST}"))
    return sorted(names, key=lambda name: PREFERRED.index(name) if name in PREFERRED else len(PREFERRED))


def load_records(study: str | None = None, root: Path = RESULTS) -> list[RunRecord]:
    """Return all records of a study, by kind, depth and seed; `RecordError` or `ShippedError` for a damaged file."""
    found = load_study(study, root)
    runs = [_record(found, name) for name in found.files if name.endswith(".json")]
    return sorted(runs, key=lambda r: (r.kind, r.depth, r.seed))


def load_record(net: str, seed: int = 0, study: str | None = None, root: Path = RESULTS) -> RunRecord:
    """Return the record of one net and seed of a study. Raises `ValueError`, naming what is there, for another one."""
    found = load_study(study, root)
    return _record(found, filename(found, net, seed, ".json"))


def load_trained(net: str, seed: int = 0, study: str | None = None, root: Path = RESULTS) -> nn.Module:
    """Return a trained net, in eval mode, on the processor, with weights in float32; raises as `load_record`.

    What it takes: images normalised as its record's recipe says, by the statistics of the training images
    (`data.Batches`), (B, C, H, W) with the C, H, W of `load_record(...).dataset["shape"]`.
    """
    found = load_study(study, root)
    model = build(_record(found, filename(found, net, seed, ".json")))
    name = filename(found, net, seed, ".safetensors")
    weights.load_into(model, weights.read(read_file(found, name), found.folder / name), found.folder / name)
    return model.eval()


def load_grid(root: Path = RESULTS) -> dict[float, list[RunRecord]]:
    """Return the study of learning rates on the digits, rate -> records, ascending (`tools/grid.py` makes it).

    Each run lasts 1,000 steps at one rate. Its "test" images are 237 of the training images, held out: who chooses a
    rate by them has not looked at the test images.
    """
    path = root / GRID
    stored = read_json(path, RecordError)
    found: dict[float, list[RunRecord]] = {}
    for run in stored["runs"]:
        rate, points = run.pop("lr"), run.pop("curves")
        curves = [dict(zip(("step", "lr", *records.METRICS), (p[0], rate, *p[1:]), strict=True)) for p in points]
        fields = stored["common"] | run | {"recipe": stored["common"]["recipe"] | {"lr": rate}, "curves": curves}
        found.setdefault(rate, []).append(RunRecord.from_dict(fields, str(path)))
    return dict(sorted(found.items()))


def load_bugs(root: Path = RESULTS) -> dict[str, Any]:
    """Return what the bugs of chapter 10 cost on the digits (`tools/bugs.py` makes it, and says what each number is).

    costs:  bug -> two lists, of its mild setting and of its worse one: percentage points, a number a seed.
    error:  of the net without bugs on new images (percent), seed by seed.
    curves: of the first seed, errors (percent) at the end of each epoch.
    """
    return read_json(root / BUGS, RecordError)


def build(record: RunRecord) -> nn.Module:
    """Return the net that a record is of, with fresh weights. The global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return get_model(record.net, num_classes=len(record.dataset["classes"]), in_channels=record.dataset["shape"][0])


def filename(study: ShippedStudy, net: str, seed: int, ending: str) -> str:
    """Return the name of a run's record (".json") or weights (".safetensors"). Raises `ValueError` without such."""
    name = run_name(net, seed) + ending
    if name not in study.files:
        what = "record" if ending == ".json" else "weights"
        runs = [file.removesuffix(ending) for file in sorted(study.files) if file.endswith(ending)]
        there = listed(runs, 6) or "none"
        raise ValueError(f"study {study.name!r} has no {what} of {net} with seed {seed}: there are {there}")
    return name


def _record(study: ShippedStudy, name: str) -> RunRecord:
    read_file(study, name)
    return records.load(study.folder / name)


def read_file(study: ShippedStudy, name: str) -> bytes:
    """Return a file's bytes if their checksum is that of the manifest."""
    path = study.folder / name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        way = "install the whole package (a downloaded chapter has room for few weights)"
        raise ShippedError(f"{path} is missing, but {MANIFEST} names it: {way}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != study.files[name]["sha256"]:
        raise ShippedError(f"{path} is damaged or was changed: its sha256 is {found}: install the package again")
    return data
