"""`resnet-edu train`: train one net, in one process or, under torchrun, in several, and leave its record.

Scope: options, messages and files of this one command; training is in `train.py`, and what several processes compute
in `distributed.py`.

Source
  [1] PyTorch's documentation of `torchrun`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

import torch

from ..data import dataset as data
from ..experiment import degradation, records
from ..experiment import folder as studies
from ..experiment.degradation import Cell, make_grid, run_cell
from ..nets.models import split_name
from ..support.signals import exit_on_termination
from ..support.system import available_cores, make_bar, prepare_process, resolve_device
from ..training import checkpoint as checkpoints
from ..training.group import Group, joined
from ..training.loop import Event, check_fit
from ..training.recipe import Recipe
from . import degrade as cli_resume
from . import options as cli_recipe

DESCRIPTION = """\
Train one net and leave its record (JSON). Stopped, by Ctrl-C or otherwise, the same command goes on where it was.
"""

EXAMPLES = """\
examples:
  resnet-edu train --net resnet20
  torchrun --standalone --nproc-per-node 2 -m resnet_edu train --net resnet110 --data cifar10 --recipe paper
                                                           on two GPUs: each process takes half of every batch

With several processes, batch norm uses the statistics of each process's part of the batch: the page "One machine, one
GPU, or many" of the book says what that means. For many nets, `resnet-edu degrade` is the command.
"""


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train` to the parser of `cli.py`."""
    parser = subparsers.add_parser(
        "train",
        help="train one net, also on several GPUs with torchrun",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is trained")
    what.add_argument("--net", required=True, metavar="NAME", help="resnet20, plain56, resnet110, ...")
    cli_recipe.add_data_options(what)
    what.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, batches and augmentation")
    cli_recipe.add_recipe_options(parser)
    where = parser.add_argument_group("where it runs and what it leaves")
    cli_recipe.add_device_options(where)
    where.add_argument("--out", metavar="FOLDER", help="for the files (default: runs/<net>-<data>-seed<N>)")
    where.add_argument(
        "--save-weights", action="store_true", help="leave the final weights (safetensors) beside the record"
    )
    parser.set_defaults(run=run, quick=False)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    cli_recipe.check(args, args.data or "digits")
    make_grid([args.net], [args.seed], Recipe.digits())  # an unknown name, before anything is made or read
    prepare_process(max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    with exit_on_termination(), joined(args.device) as (group, device):
        name = f"{args.net}-{Path(args.data or 'digits').resolve().name}-seed{args.seed}"
        out = Path(args.out) if args.out else cli_resume.RUNS / name
        with contextlib.nullcontext() if group.rank else _claimed(out, args):
            _train(args, out, group, str(resolve_device(device)))
    return 0


def _state(out: Path, args: argparse.Namespace) -> Path:
    return out / f"{args.net}-seed{args.seed}.checkpoint"


def _claimed(out: Path, args: argparse.Namespace) -> contextlib.AbstractContextManager[object]:
    """Return `study.claimed(out)`, after what a run that was killed behind its record has left is cleared away."""
    with contextlib.suppress(FileNotFoundError, records.RecordError):
        records.load(out / records.filename(args.net, args.seed))
        with studies.locked(out):
            checkpoints.remove(_state(out, args))
    return studies.claimed(out)


def _train(args: argparse.Namespace, out: Path, group: Group, device: str) -> None:
    """Train the net; the first process alone writes and prints."""
    first = not group.rank
    source = args.data or "digits"
    with group.first_goes_first():  # it may have to download the images; the others find them on the disk
        dataset = data.load(source, resize=args.resize, urls=cli_recipe.urls_of(args), progress=first)
    cell = Cell(args.net, args.seed, cli_recipe.recipe_of(args, dataset, split_name(args.net)[1]))
    check_fit(cell.recipe, dataset)
    state = _state(out, args)
    # As many as it began with: this process may be allowed fewer cores now, and the numbers must be the same.
    torch.set_num_threads(group.from_first(checkpoints.identity_of(state).get("threads")) or torch.get_num_threads())
    if first:
        together = f" in {group.size} processes" if group.size > 1 else ""
        lines = cli_recipe.describe(cell.name + together, dataset, cell.recipe)
        print(
            *lines, f"files: {out}; if it is stopped, the same command goes on", sep="\n", file=sys.stderr, flush=True
        )
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    with make_bar(1.0, cell.name, show=first, bar_format=form, smoothing=0) as bar:

        def show(event: Event) -> None:
            bar.set_description_str(f"{cell.name}: {event.step:,} of {event.steps:,} steps", refresh=False)
            bar.update(event.work - bar.n)

        record = run_cell(
            cell,
            dataset,
            device,
            show,
            weights_folder=out if args.save_weights else None,
            precision=args.precision,
            checkpoint=state,
            group=group,
        )
    if first:
        record.save(out / record.filename)
        checkpoints.remove(state)
        print(degradation.summary([record]))
        print(f"\nthe record is {out / record.filename}")
