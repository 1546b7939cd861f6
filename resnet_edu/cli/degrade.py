"""`resnet-edu degrade`: run the degradation experiment, or go on with it, and leave records, figures and a table."""

import argparse
import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from ..data.dataset import Dataset
from ..experiment import degradation
from ..experiment import folder as folders
from ..experiment.folder import Source, Study, StudyError
from ..experiment.records import STUDY_FILE, RunRecord
from ..experiment.statistics import headline, summary
from ..experiment.workers import RayEngine, import_ray
from ..figures import curves
from ..support.signals import exit_on_termination
from ..training.checkpoint import CheckpointError
from ..training.loop import TrainingDiverged
from . import options
from .options import RUNS, add_options, out_folder  # noqa: F401 - all of the table

DESCRIPTION = """\
Train plain and residual nets of several depths alike, and compare how well they fit their own training images.

With no option: plain and residual nets of 20 and 56 layers on scikit-learn's digits (bundled, no download), in two
worker processes, under a minute on two cores. It prints a table and one sentence on what is to be seen, and leaves
records (JSON) and a figure (PNG, SVG), degradation, in a new folder in runs/.
"""

EXAMPLES = """\
examples:
  resnet-edu degrade
  resnet-edu degrade --seeds 3
  resnet-edu degrade --data path/to/folder --steps 300     class folders, or train/ and test/ of class folders
  resnet-edu degrade --data cifar10 --recipe paper         the paper's study: hours on a graphics card, days without
  resnet-edu degrade --data cifar10 --recipe paper --seeds 5 --engine ray --address auto --gpus-per-run 0.25
                                                           the same on a Ray cluster, four runs on each GPU
  resnet-edu degrade --data cifar10 --recipe paper --hold-out 5000    to choose: 45,000 + 5,000 training images

  resnet-edu degrade --resume                              go on with the study that was stopped last
  resnet-edu degrade --resume runs/digits-20260101-120000  or with this one

Ctrl-C saves where every net is, and says the command to go on with. After a crash or a power cut the same command goes
on from the last checkpoints, about a minute old at most. On a processor the result is the same to the last digit.
"""


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    with exit_on_termination():
        if args.resume is not None:
            return _go_on(args)
        study, engine = degradation.choose_device(options.study_of(args), _engine(args))
        source = options.source_of(args)
        out = out_folder(args, Path(source.data).resolve().name)
        with folders.claimed(out), _how_to_go_on(args, out):
            dataset = source.load(urls=args.mirrors)
            study = options.fit_recipe(args, dataclasses.replace(study, source=source), dataset)
            _announce(args, study, dataset, engine, out)
            _report(degradation.run(study, dataset, out, engine=engine), out)
    return 0


def _go_on(args: argparse.Namespace) -> int:
    """Go on with a study that was stopped, and return the exit status."""
    engine = _engine(args)
    out = Path(args.resume) if args.resume else folders.newest_unfinished(RUNS)
    study = options.changed(args, folders.load(out))
    with folders.locked(out), _how_to_go_on(args, out):
        done, runs, data = len(folders.finished(out, study)), len(study.cells), study.source
        begin = f"the study in {out} is finished" if done == runs else f"going on with the study in {out}"
        print(f"{begin}: {done} of {runs} runs are done", file=sys.stderr, flush=True)
        if done < runs and args.data is not None:  # where the images are now
            data = dataclasses.replace(data or Source(""), data=args.data)
        if done < runs and args.mirrors is not None:
            data = data.load(urls=args.mirrors)
        _report(degradation.run(study, data, out, resume=True, engine=engine), out)
    return 0


@contextlib.contextmanager
def _how_to_go_on(args: argparse.Namespace, out: Path) -> Iterator[None]:
    """After an error or Ctrl-C, say how much is saved, and how to go on if that is of use."""
    try:
        yield
    except (BrokenPipeError, StudyError, CheckpointError):  # `| head`, or the same command would do the same again
        raise
    except BaseException as error:
        if (out / STUDY_FILE).exists():
            study = folders.load(out)
            kept = f"{len(folders.finished(out, study))} of {len(study.cells)} runs are done; what is saved is in {out}"
            again = f". To go on:\n  {command(args, out)}"
            diverged = ", but to go on would diverge again"
            print(kept + (diverged if isinstance(error, TrainingDiverged) else again), file=sys.stderr)
        raise


def _engine(args: argparse.Namespace) -> str | RayEngine:
    """Return the engine; without Ray installed, say so before anything else is done."""
    given = options.given(args, "engine")
    if args.engine != "ray":
        for name in given:
            raise ValueError(f"--{name.replace('_', '-')} is for a Ray cluster: add --engine ray, or leave it out")
        return "local"
    import_ray()
    return RayEngine(**given)


def _announce(args: argparse.Namespace, study: Study, dataset: Dataset, engine: RayEngine | None, out: Path) -> None:
    """Say what will be done, before it starts."""
    seeds = len(study.seeds)
    what = ", ".join(study.nets) + (f" x {seeds} seeds" if seeds > 1 else "")
    lines = options.describe(what, dataset, study.recipe)
    if engine is not None:
        shares = f"{engine.cpus_per_run} CPU and {engine.gpus_per_run:g} GPU"
        lines.append(f"Ray gives each run {shares}; its machines must share the file system of the folder below")
    lines += [f"files: {out}", f"if it is stopped, this goes on: {command(args, out)}"]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _report(records: list[RunRecord], out: Path) -> None:
    """Write the figure, and print the table, the sentence and where everything is."""
    curves.degradation(records).save_both(out / "degradation")
    files = f"{len(records)} records, and the figure degradation (.png, .svg), are in {out}"
    print(summary(records), headline(records), files, sep="\n\n")


def command(args: argparse.Namespace, out: Path) -> str:
    """Return what to paste into the shell to go on with the study: the images from the same place, the same engine."""
    called = Path(sys.argv[0]).name == "resnet-edu"
    words = [sys.argv[0]] if called else [sys.executable, "-m", "resnet_edu"]
    words += ["degrade", "--resume", str(out)]
    if args.resume is not None and args.data:
        words += ["--data", args.data]
    if args.engine == "ray":
        words += ["--engine", "ray"]
    for name, value in options.given(args, "engine").items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
