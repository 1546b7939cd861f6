"""Put a study's records and weights into the package: `python tools/ship.py FOLDER --name NAME ...`.

Copies the records, chooses and rounds the weights, measures what the rounding costs, and writes the manifest that
`resnet_edu.experiment.shipped` reads.

Sources
  [1] IEEE 754: binary16 has 11 significant bits, a relative error of at most 2**-11 for a rounded value.
  [2] Python's documentation of `os.replace`: a rename is atomic where the target is not there.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from resnet_edu.data import Dataset
from resnet_edu.experiment import folder as study_folder
from resnet_edu.experiment.folder import Source, StudyError
from resnet_edu.experiment.published import is_shortened
from resnet_edu.experiment.records import RecordError, RunRecord, check_comparable, load_dir
from resnet_edu.experiment.shipped import MANIFEST, RESULTS, SCHEMA, ShippedStudy, build, load_study
from resnet_edu.support.files import write_atomic
from resnet_edu.support.validate import one_of
from resnet_edu.training import evaluate, weights

KINDS = ("float32", "float16", "none")
NEAR = 0.5  # percentage points: weights whose test error is farther from their record's are not of that run


def ship(
    folder: str | os.PathLike[str],
    name: str,
    *,
    title: str,
    command: str,
    dataset: Dataset | None,
    about: str = "",
    hardware: str | None = None,
    kind: str = "float32",
    seed: int = 0,
    root: Path = RESULTS,
    replace: bool = False,
) -> ShippedStudy:
    """Make a shipped study of the records and weights in `folder`, and return it.

    folder:   of `degradation.run(Study(save_weights=True), data, folder)`.
    name:     of the study: small letters, digits and hyphens.
    title:    one line on what it is; `about` says more.
    command:  what made the records.
    dataset:  what the nets were trained on, to measure the test error that the stored weights have; None if `kind`
              is "none".
    hardware: what it ran on; None takes the names of the devices from the records.
    kind:     "float32"; "float16", half the size; or "none" for records only.
    seed:     of the runs whose weights are taken.
    root:     where the folder of the study is made.
    replace:  an older study of that name.

    The folder is there whole or not at all. Raises `ValueError` for a name, records, weights or a data set that do not
    fit, `FileNotFoundError` for weights that are not there, `FileExistsError` for a study that is, and
    `NotADirectoryError` if `root` is a file.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"`name` must be of small letters and digits with hyphens between, but it is {name!r}")
    for what, text in (("title", title), ("command", command)):
        if not text.strip():
            raise ValueError(f"`{what}` must say something, but it is empty")
    one_of("kind", kind, KINDS)
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"`root` must be a folder, but {root} is a file: name another (--into)")
    target = root / name
    if target.exists() and not replace:
        raise FileExistsError(f"there is a study {target} already: choose another name, or replace it")
    found = check_comparable(load_dir(folder))
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=root) as temporary:
        made = Path(temporary) / name
        made.mkdir()
        for record in found:
            record.save(made / record.filename)
        chosen = [r for r in found if r.seed == seed and kind != "none"]
        if not chosen and kind != "none":
            raise ValueError(f"`seed` is {seed}, but {folder} has seeds {sorted({r.seed for r in found})} only")
        stored = {r.net: _weights(r, Path(folder), made, kind, dataset) for r in chosen}
        study = ShippedStudy(
            name=name,
            title=title,
            about=about,
            date=max(r.date for r in found)[:10],
            hardware=hardware or _hardware(found),
            command=command,
            shortened=any(is_shortened(r) for r in found),
            weights=stored,
            files={p.name: _sums(p) for p in sorted(made.iterdir())},
            folder=made,
        )
        manifest = {k: v for k, v in dataclasses.asdict(study).items() if k != "folder"}
        write_atomic(made / MANIFEST, (json.dumps({"schema": SCHEMA, **manifest}, indent=1) + "\n").encode())
        old = Path(temporary) / "old"
        try:
            if target.exists():
                os.replace(target, old)
            os.replace(made, target)
        except BaseException:  # also Ctrl-C: what is still in the temporary folder is lost
            if old.exists() and not target.exists():
                os.replace(old, target)
            raise
    return load_study(name, root)


def _weights(record: RunRecord, folder: Path, made: Path, kind: str, dataset: Dataset | None) -> dict[str, Any]:
    """Store the weights of a run, and return what the manifest says of them."""
    if dataset is None or dataset.fingerprint != record.dataset["fingerprint"]:
        given = "none was given" if dataset is None else f"the one given ({dataset.name}) has other images"
        raise ValueError(
            f"the weights of {record.net} are tried on the data they were trained on, {record.dataset['name']}, but "
            + given
        )
    name = record.filename.replace(".json", ".safetensors")
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there are no weights {folder / name}: run the study with --save-weights, or ship records only (none)"
        ) from None
    state = weights.read(data, folder / name)
    error = _test_error(record, state, dataset, folder / name)
    if abs(error - record.final["test_error"]) > NEAR:
        raise ValueError(
            f"{folder / name} is not of the run that {record.filename} describes: its test error is {error:.2f}%, but "
            f"the record has {record.final['test_error']:.2f}%"
        )
    about = {"net": record.net, "seed": record.seed, "step": int(record.final["step"])}
    about |= {"dataset": record.dataset["name"], "fingerprint": record.dataset["fingerprint"]}
    path = weights.save(rounded(state) if kind == "float16" else state, made / name, about)
    read = weights.read(path.read_bytes(), path)
    same = all(torch.equal(read[key], state[key]) for key in state)
    stored = error if same else _test_error(record, read, dataset, path)
    return {"seed": record.seed, "dtype": kind, "test_error": round(error, 4), "test_error_stored": round(stored, 4)}


def rounded(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state with the weights of convolutions and linear layers in float16.

    Biases and batch norm keep their type: they are small, and variances may be large.
    Raises `ValueError` for a value that float16 cannot hold.
    """
    found = {name: t.half() if t.is_floating_point() and t.dim() > 1 else t for name, t in state.items()}
    for name, tensor in found.items():
        if state[name].isfinite().all() and not tensor.isfinite().all():
            raise ValueError(f"{name} has values beyond the range of float16: store it as float32")
    return found


def _test_error(record: RunRecord, state: dict, dataset: Dataset, origin: Path) -> float:
    """Return the test error (percent) of a net with these weights, on the processor in float32."""
    model = build(record)
    weights.load_into(model, state, origin)
    return evaluate(model, dataset, "test", normalize=record.recipe["normalize"])[1]


def _hardware(found: Sequence[RunRecord]) -> str:
    """Return what the runs were computed on, and how: each way once."""
    ways = set()
    for r in found:
        threads = f"{r.threads} thread{'s' * (r.threads > 1)} a run" if r.device["type"] == "cpu" else ""
        ways.add(", ".join(part for part in (r.device["name"], threads, r.device.get("precision")) if part))
    return "; ".join(sorted(ways))


def _sums(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


DESCRIPTION = """\
Take the records and the weights that `resnet-edu degrade --save-weights` left in FOLDER, and put them into the
package's results, with a manifest that says what they are and has the checksum of every file. The weights are tried on
the test images first: as they were trained, and as they are stored.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 could not be done."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog="example:\n  python tools/ship.py runs/digits --name digits --title 'Four nets on digits' "
        "--made-by 'resnet-edu degrade --seeds 3'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="of a study: records (JSON) and weights (safetensors)")
    parser.add_argument("--name", required=True, help="of the study: small letters, digits, hyphens")
    parser.add_argument("--title", required=True, metavar="TEXT", help="one line on what it is")
    parser.add_argument("--made-by", required=True, metavar="COMMAND", help="the command that ran the study")
    parser.add_argument("--about", default="", metavar="TEXT", help="what it is and what it is not, in a few sentences")
    parser.add_argument("--hardware", metavar="TEXT", help="what it ran on (default: from the records)")
    parser.add_argument("--weights", choices=KINDS, default="float32", help="how they are stored (default: float32)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the weights (default: 0)")
    parser.add_argument(
        "--data", metavar="digits|cifar10|FOLDER", help="where the images of the study are (default: as it says itself)"
    )
    parser.add_argument("--into", metavar="FOLDER", default=RESULTS, type=Path, help="(default: the package's results)")
    parser.add_argument("--replace", action="store_true", help="an older study of that name")
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except (ValueError, OSError) as error:
        print(f"ship: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    dataset = None if args.weights == "none" else _source(args).load()
    made = ship(
        args.folder,
        args.name,
        title=args.title,
        about=args.about,
        command=args.made_by,
        hardware=args.hardware,
        dataset=dataset,
        kind=args.weights,
        seed=args.seed,
        root=args.into,
        replace=args.replace,
    )
    total = sum(f["bytes"] for f in made.files.values())
    print(f"{made.folder}: {len(made.files)} files, {total / 1e6:.1f} MB")
    for net, w in made.weights.items():
        cost = w["test_error_stored"] - w["test_error"]
        print(f"{net}: test error {w['test_error']:.2f}% as trained, {cost:+.2f} points as stored in {w['dtype']}")
    return 0


def _source(args: argparse.Namespace) -> Source:
    """Return where the images of the study in the folder come from: as `--data`, the study, or the records say."""
    with contextlib.suppress(StudyError):  # records alone, or what was shipped before
        if (source := study_folder.load(args.folder).source) is not None:
            return source if args.data is None else dataclasses.replace(source, data=args.data)
    name = args.data or load_dir(args.folder)[0].dataset["name"]
    if args.data is None and name not in ("digits", "cifar10"):
        raise RecordError(f"the records are of {name}, which cannot be loaded by that name: say where it is, --data")
    return Source(name)


if __name__ == "__main__":
    sys.exit(main())
