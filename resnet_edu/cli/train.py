"""`resnet-edu train`: train one net, in one process or, under torchrun, in several; leave record, weights and curves.

What several processes compute is in `training/group.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..data.dataset import Dataset
from ..experiment import folder as folders
from ..experiment import records
from ..experiment import start as starts
from ..experiment.degradation import Progress, build_net, run_cell
from ..experiment.folder import Cell, Study
from ..experiment.records import RunRecord, unseen
from ..experiment.statistics import Summary, progress, summary, versus
from ..figures import curves
from ..nets.models import imported
from ..support.signals import exit_on_termination
from ..support.system import available_cores, code_version, prepare_process, resolve_device
from ..support.validate import whole
from ..training import checkpoint as checkpoints
from ..training.checkpoint import Checkpoint
from ..training.classifier import Classifier, load_classifier
from ..training.group import Group, joined
from ..training.loop import evaluate
from ..training.recipe import Recipe
from ..training.step import resolve_precision
from . import options

DESCRIPTION = """\
Train one net, and leave its record (JSON), its weights (safetensors, with all that it takes to use them), its curves
(PNG, SVG) and its last state. Stopped, by Ctrl-C or otherwise, the same command goes on where it was.
"""

EXAMPLES = """\
examples:
  resnet-edu train --net resnet20
  resnet-edu train --net resnet18 --data photos --resize 224 --optimizer adamw --batch-size 32 --epochs 10
  resnet-edu train --net resnet20 --data photos --resize 32 --hold-out 200 --keep best     best and last weights
  resnet-edu train --net resnet18 --data photos --start-from torchvision --epochs 5        fine-tune trained weights
  resnet-edu train --net resnet20 --data photos --start-from shipped --seeds 3             ... against from scratch
  resnet-edu train --net my_nets:small --data photos --resize 32                           a net of your own
  torchrun --standalone --nproc-per-node 2 -m resnet_edu train --net resnet110 --data cifar10 --recipe paper
                                                           on two GPUs: each process takes half of every batch

With several processes, batch norm uses the statistics of each process's part of the batch: the page "One machine, one
GPU, or many" of the book says what that means. For many nets, `resnet-edu degrade` is the command.
"""


FLAGS = (
    *options.OF_ONE_NET,
    *("--seeds", "--data", "--mirrors", "--resize", "--channels", "--skip-damaged", "--hold-out"),
    *("--recipe", "--steps", "--epochs", "--batch-size", "--lr", "--optimizer", "--weight-decay", "--schedule"),
    *("--augment", "--no-flip", "--eval-every", "--device", "--precision", "--out"),
)
OF_DATA = ("num_classes", "in_channels")  # what the images decide of a net
SCRATCH, FINE = "from-scratch", "fine-tuned"  # folders of a comparison


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    options.add_options(parser, FLAGS)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    start = starts.load_start(args.start, args.net) if args.start else None
    if start is not None:  # what was not given is as these weights have it
        args.net = args.net or start.name
        usual = {"source.resize": start.shape[1]} if args.data not in (None, "digits") else {}
        usual |= {"source.channels": start.shape[0]} if usual and args.data != "cifar10" else {}
        vars(args).update({name: value for name, value in usual.items() if getattr(args, name) is None})
    if args.net is None:
        raise ValueError("name a net, such as --net resnet20")
    if args.keep and not getattr(args, "source.held"):
        raise ValueError("--keep best needs --hold-out N: images to choose by, as the test images must not")
    if args.more_steps is not None:
        whole("--more-steps", args.more_steps)
    study = options.study_of(args, nets=args.net)
    if args.more_steps is not None and len(study.seeds) > 1:
        raise ValueError("--more-steps goes on with one run: name its seed, --seed N, in place of --seeds")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 0))  # torchrun's; it limits each of them to one thread
    prepare_process(max(1, available_cores() // processes) if processes else torch.get_num_threads())
    with exit_on_termination(), joined(study.device) as (group, device):
        which = f"seed{study.seeds[0]}" if len(study.seeds) == 1 else f"{len(study.seeds)}seeds"
        name = f"{args.net.replace(':', '-')}-{Path(args.data or 'digits').resolve().name}-{which}"
        out = Path(args.out or options.RUNS / name)
        several = args.more_steps is not None or len(study.seeds) > 1
        if not several and (done := out / f"{study.cells[0].stem}.json").exists():
            raise FileExistsError(f"{done} is of a run that has ended: name another folder (--out), or --more-steps N")
        claim = folders.locked if several and out.exists() else folders.claimed
        with contextlib.nullcontext() if group.rank else claim(out):
            source = options.source_of(args)
            with group.first_goes_first():  # it may have to download the images; the others find them on the disk
                images = dataclasses.replace(source, held=None).load(not group.rank, args.mirrors)
            dataset = images if source.held is None else images.hold_out(source.held)
            built = {} if start is None else {k: v for k, v in start.options.items() if k not in OF_DATA}
            built = tuple((built | ({"stem": args.stem} if args.stem else {})).items())
            how = group, str(resolve_device(device)), study.precision
            _Runs(args, images, dataset, built, *how).all(study, start, out)
    return 0


@dataclass(frozen=True)
class _Runs:
    """The runs of one command: one, or one for each seed, with weights to start from and without."""

    args: argparse.Namespace
    images: Dataset
    dataset: Dataset  # the same, or what `--hold-out` makes of them
    built: tuple[tuple[str, Any], ...]  # what the net is built with, beside what the data say
    group: Group
    device: str
    precision: str

    def all(self, study: Study, start: Classifier | None, out: Path) -> None:
        """Do all runs that have no record yet, and print what came out."""
        groups, found = {study.nets[0]: (self.args, start, out)}, {}
        if start is not None and len(study.seeds) > 1:
            without = {"start": None, "recipe.body_share": None, "freeze_epochs": None}
            scratch = argparse.Namespace(**vars(self.args) | without)
            groups = {SCRATCH: (scratch, None, out / SCRATCH), FINE: (self.args, start, out / FINE)}
        for kind, (args, given, folder) in groups.items():
            study = dataclasses.replace(study, recipe=options.recipe_of(args, study.depth))
            cells = options.fit_recipe(args, study, self.dataset).cells
            found[kind] = [self.one(dataclasses.replace(cell, options=self.built), given, folder) for cell in cells]
        if not self.group.rank and len(study.seeds) > 1:
            table = Summary(row | {"net": kind} for kind, rows in found.items() for row in summary(rows))
            table.unseen = unseen(self.dataset.name)
            print(table, *([versus(*found.values(), tuple(found))] if start else []), sep="\n\n")

    def one(self, cell: Cell, start: Classifier | None, out: Path) -> RunRecord:
        """Return the record of one run; the first process alone writes and prints."""
        path, state, more = out / f"{cell.stem}.json", out / f"{cell.stem}.checkpoint", self.args.more_steps
        if path.exists() and more is None:
            return self.ended(cell, start, path)
        before, first = self.group.from_first(checkpoints.head_of(state)), not self.group.rank
        # As many as it began with: this process may be allowed fewer cores now, and the numbers must be the same.
        torch.set_num_threads(before.get("identity", {}).get("threads") or torch.get_num_threads())
        cell = cell if more is None else _longer(cell, before, more, out)
        if first:
            together = f" in {self.group.size} processes" if self.group.size > 1 else ""
            origin = f", started from {self.args.start}," if start else ""
            lines = options.describe(cell.name + together + origin, self.dataset, cell.recipe)
            lines.append(f"files: {out}; if it is stopped, the same command goes on")
            print("\n".join(lines), file=sys.stderr, flush=True)
        line = Progress([cell], done=set(), show=first)
        how = {"group": self.group, "start": start, "keep_best": self.args.keep == "best", "weights_folder": out}
        how |= {"precision": self.precision, "checkpoint": Checkpoint(state, longer=more is not None)}
        how["code"] = code_version()  # now: a checkout may move on while the net trains
        with line.bar:
            record = run_cell(cell, self.dataset, self.device, partial(line.update, cell), **how)
        if first:
            record.save(path, replace=True)  # there may be one of fewer steps
            if len(record.curves) > 1:  # one point is no curve
                curves.training(record).save_both(out / f"{cell.stem}-curves")
            print(progress(record), *self.weights(cell, out), sep="\n", end="\n\n")
        return record

    def ended(self, cell: Cell, start: Classifier | None, path: Path) -> RunRecord:
        """Return the record of a run that has ended. Raises `FileExistsError` if this command would train another."""
        record, built = records.load(path), dict(cell.options)
        origin = starts.give(build_net(cell.net, self.dataset, cell.seed, **built), start) if start else ""
        best = path.with_name(f"{cell.stem}-best.safetensors").exists()
        device, here = record.device, torch.device(self.device).type
        pairs = {
            "recipe": (record.recipe, cell.recipe.to_dict()),
            "images": (record.dataset["fingerprint"], self.dataset.fingerprint),
            "options of the net": (record.options, built),
            "weights to start from": (record.start, origin),
            "device": (device["type"], here),
            "precision": (device["precision"], resolve_precision(self.precision, torch.device(here))),
            "number of processes": (record.processes, self.group.size),
            "rule for what to keep": (best, self.args.keep == "best"),
        }
        if different := [name for name, (there, wanted) in pairs.items() if there != wanted]:
            raise FileExistsError(f"{path} is of another run ({', '.join(different)}): name another folder (--out)")
        return record

    def weights(self, cell: Cell, out: Path) -> Iterator[str]:
        """Yield a line for each file of weights; where images were held out, with its error on the test images."""
        yield f"the record is {out / cell.stem}.json; beside it are its curves (.png, .svg), last state and weights"
        for path in filter(Path.exists, (out / f"{cell.stem}{ending}.safetensors" for ending in ("", "-best"))):
            text = f"  {path}"
            if self.dataset is not self.images:
                found = load_classifier(path, imported(cell.net) if ":" in cell.net else None)
                how = {"device": self.device, "precision": self.precision}
                _, error = evaluate(found.net, self.images, normalize=(found.mean, found.deviation), **how)
                text += f": of step {found.about['step']:,}, {error:.2f}% of the test images wrong"
            yield text


def _longer(cell: Cell, before: dict, more: int, out: Path) -> Cell:
    """Return the run with more steps, or, if it was stopped before its end, with the steps that it has."""
    if not before:
        raise FileNotFoundError(f"there is no run of {cell.name} in {out} to go on with: train it without --more-steps")
    its = Recipe(**before["identity"]["recipe"])
    if its.replace(steps=cell.recipe.steps, period=cell.recipe.period) != cell.recipe:
        raise ValueError(f"the run in {out} has another recipe: repeat the command that began it, with --more-steps")
    return dataclasses.replace(cell, recipe=its if before["values"]["step"] < its.steps else its.longer(more))
