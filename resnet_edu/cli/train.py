"""`resnet-edu train`: train one net, in one process or, under torchrun, in several, and leave its record.

What several processes compute is in `training/group.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from functools import partial
from pathlib import Path

import torch

from ..experiment import folder as folders
from ..experiment.degradation import Progress, run_cell
from ..experiment.folder import Study
from ..experiment.statistics import summary
from ..support.signals import exit_on_termination
from ..support.system import available_cores, prepare_process, resolve_device
from ..training import checkpoint as checkpoints
from ..training.group import Group, joined
from . import options
from .degrade import RUNS

HELP = "train one net, also on several GPUs with torchrun"
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


FLAGS = (
    *("--data", "--mirrors", "--resize", "--channels", "--skip-damaged"),
    *("--recipe", "--steps", "--epochs", "--batch-size", "--lr", "--eval-every"),
    *("--device", "--precision", "--out", "--save-weights"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("--net", required=True, metavar="NAME", help="resnet20, plain56, resnet110, ...")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, batches and augmentation")
    options.add_options(parser, FLAGS)
    parser.set_defaults(quick=None)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    study = options.study_of(args, nets=args.net, seeds=[args.seed])
    prepare_process(max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    with exit_on_termination(), joined(study.device) as (group, device):
        name = f"{args.net}-{Path(args.data or 'digits').resolve().name}-seed{args.seed}"
        out = Path(args.out) if args.out else RUNS / name
        with contextlib.nullcontext() if group.rank else folders.claimed(out):
            _train(args, study, out, group, str(resolve_device(device)))
    return 0


def _train(args: argparse.Namespace, study: Study, out: Path, group: Group, device: str) -> None:
    """Train the net; the first process alone writes and prints."""
    first = not group.rank
    with group.first_goes_first():  # it may have to download the images; the others find them on the disk
        dataset = options.source_of(args).load(first, args.mirrors)
    (cell,) = options.fit_recipe(args, study, dataset).cells
    state = out / f"{cell.stem}.checkpoint"
    # As many as it began with: this process may be allowed fewer cores now, and the numbers must be the same.
    torch.set_num_threads(group.from_first(checkpoints.identity_of(state).get("threads")) or torch.get_num_threads())
    if first:
        together = f" in {group.size} processes" if group.size > 1 else ""
        lines = options.describe(cell.name + together, dataset, cell.recipe)
        lines.append(f"files: {out}; if it is stopped, the same command goes on")
        print("\n".join(lines), file=sys.stderr, flush=True)
    line = Progress([cell], done=set(), show=first)
    with line.bar:
        record = run_cell(
            cell,
            dataset,
            device,
            partial(line.update, cell),
            weights_folder=out if study.save_weights else None,
            precision=study.precision,
            checkpoint=state,
            group=group,
        )
    if first:
        record.save(out / record.filename)
        checkpoints.remove(state)
        print(summary([record]))
        print(f"\nthe record is {out / record.filename}")
