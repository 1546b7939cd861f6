"""`resnet-edu ship FOLDER`: make a study out of a run's folder that comes with the package.

Scope: options and messages; what it does is in `ship.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path

from . import records, study
from .records import RecordError
from .ship import KINDS, ship
from .shipped import RESULTS
from .study import Source, StudyError

DESCRIPTION = """\
Take the records and the weights that `resnet-edu degrade --save-weights` left in FOLDER, and put them into the
package's results, with a manifest that says what they are and has the checksum of every file. The weights are tried on
the test images first: as they were trained, and as they are stored.
"""


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `ship` to the parser of `cli.py`."""
    parser = subparsers.add_parser(
        "ship",
        help="put a study's records and weights into the package",
        description=DESCRIPTION,
        epilog="example:\n  resnet-edu ship runs/digits --name digits --title 'Four nets on digits' "
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return 0; errors are raised as exceptions with a message for the user."""
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
        if (source := study.load(args.folder).source) is not None:
            return source if args.data is None else dataclasses.replace(source, data=args.data)
    name = args.data or records.load_dir(args.folder)[0].dataset["name"]
    if args.data is None and name not in ("digits", "cifar10"):
        raise RecordError(f"the records are of {name}, which cannot be loaded by that name: say where it is, --data")
    return Source(name)
