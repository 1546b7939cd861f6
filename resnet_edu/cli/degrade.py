"""`resnet-edu degrade`: run the degradation experiment and leave records, figures and a table.

Scope: options, messages and files of this one command; what it does is in `degradation.py`.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.

--- `resnet-edu degrade --resume`: which study is meant, and how to say it when one is stopped.

Scope: what the command line adds to `degradation.resume`; options and messages of the command are in `cli_degrade.py`.

Source
  [1] Python's documentation of `signal`; the exit status of a process that a signal ended, in shells: 128 + its number.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path

import torch

from ..data.dataset import Dataset
from ..experiment import degradation
from ..experiment import folder as studies
from ..experiment.cluster import RayEngine, import_ray
from ..experiment.degradation import is_digits
from ..experiment.folder import Source, Study, StudyError
from ..experiment.records import RunRecord
from ..figures import curves as plots
from ..nets.models import split_name
from ..support.signals import exit_on_termination
from ..support.system import available_cores, resolve_device
from ..support.validate import whole
from ..training.checkpoint import Checkpoint, CheckpointError
from ..training.loop import TrainingDiverged, check_fit
from ..training.recipe import Recipe
from . import options as cli_recipe

QUICK_NETS = ("plain8", "resnet8", "plain14", "resnet14")

DESCRIPTION = """\
Train plain and residual nets of several depths alike, and compare how well they fit their own training images.

With no option: plain and residual nets of 20 and 56 layers on scikit-learn's digits (bundled, no download), in two
worker processes, about half a minute on two cores. It prints a table and one sentence on what is to be seen, and leaves
records (JSON) and figures (PNG, SVG) in a new folder in runs/: degradation, with all nets in one panel, and figure6, in
the layout of the paper's.
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


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `degrade` to the parser of `cli.py`."""
    parser = subparsers.add_parser(
        "degrade",
        help="train plain and residual nets and compare them",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is trained")
    cli_recipe.add_data_options(what)
    what.add_argument(
        "--hold-out",
        type=int,
        metavar="N",
        help="to choose a recipe: test on N of the training images, and never on the test images (the paper: 5000)",
    )
    what.add_argument("--nets", metavar="A,B,...", help=f"names of nets (default: {','.join(degradation.NETS)})")
    what.add_argument("--seeds", type=int, metavar="N", help="runs of each net, with seeds 0..N-1 (default: 1)")
    what.add_argument(
        "--quick", action="store_true", help="a smoke run of seconds: 8 and 14 layers, 20 steps, few images"
    )

    cli_recipe.add_recipe_options(parser)
    where = parser.add_argument_group("where it runs and what it leaves")
    cli_recipe.add_device_options(where)
    where.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that train side by side (default: 2 on the processor; on a GPU 0, one net after another)",
    )
    where.add_argument("--out", metavar="FOLDER", help="for the files (default: runs/<data>-<date>-<time>)")
    where.add_argument(
        "--save-weights", action="store_true", help="leave each net's final weights (safetensors) beside its record"
    )

    stopping = parser.add_argument_group("stopping and going on")
    stopping.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="go on with the study in this folder (default: the newest unfinished one in runs/); what it trains is "
        "read from there, and other options must not contradict it; --data says where a folder of images is now",
    )
    stopping.add_argument(
        "--checkpoint-seconds", type=float, metavar="S", help="save where each net is every S seconds (default: 60)"
    )
    stopping.add_argument("--checkpoint-steps", type=int, metavar="N", help="and after every N steps (default: not)")
    _add_ray_options(parser)
    parser.set_defaults(run=run)


def _add_ray_options(parser: argparse.ArgumentParser) -> None:
    ray = parser.add_argument_group("on a Ray cluster", "with --engine ray; needs the extra `cluster`")
    ray.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="who shares out the runs (default: local processes)"
    )
    ray.add_argument(
        "--address",
        metavar="auto|ray://HOST:PORT",
        help="auto: the cluster that this machine is part of (default: $RAY_ADDRESS, or else this machine alone)",
    )
    ray.add_argument(
        "--gpus-per-run", type=float, metavar="SHARE", help="of one GPU, 0 to 1 (default: 1 on CUDA, else 0)"
    )
    ray.add_argument("--cpus-per-run", type=int, metavar="N", help="cores, and threads, of each run (default: 1)")
    ray.add_argument(
        "--retries", type=int, metavar="N", help="how often a run that lost its machine is started again (default: 3)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    schedule = {n: getattr(args, n) for n in ("checkpoint_seconds", "checkpoint_steps") if getattr(args, n) is not None}
    Checkpoint("", "", **{n.removeprefix("checkpoint_"): v for n, v in schedule.items()})  # raises for what cannot be
    whole("workers", args.workers or 0, 0)
    with exit_on_termination():
        return _begin(args, schedule) if args.resume is None else _resume(args, schedule)


def _begin(args: argparse.Namespace, schedule: dict[str, float | int]) -> int:
    """Begin a study in a new folder."""
    nets = _nets(args)
    engine = _engine(args)
    if isinstance(engine, RayEngine):
        engine, device = engine.resolve(args.device, torch.cuda.is_available())
    else:
        device = str(resolve_device(args.device))
    seeds = 1 if args.seeds is None else args.seeds
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, but it is {seeds}")
    cli_recipe.check(args, args.data or "digits")
    degradation.make_grid(nets, seeds, Recipe.digits())  # unknown names, before anything is made or read
    source = Source(args.data or "digits", args.resize, (512, 256) if args.quick else None, args.hold_out)
    name = f"{Path(source.data).resolve().name}-{datetime.now():%Y%m%d-%H%M%S}"
    out = Path(args.out) if args.out else studies.new_folder(RUNS, name)
    with studies.claimed(out, made=not args.out):
        try:
            dataset = source.load(urls=cli_recipe.urls_of(args))
            recipe = cli_recipe.recipe_of(args, dataset, max(split_name(n)[1] for n in nets))
            check_fit(recipe, dataset)
            _announce(args, dataset, nets, seeds, recipe, engine, device, out)
            records = degradation.run(
                nets,
                dataset,
                recipe,
                seeds=seeds,
                device=device,
                precision=args.precision,
                engine=engine,
                workers=args.workers,
                out=out,
                save_weights=args.save_weights,
                source=source,
                **schedule,
            )
            _report(records, out)
        except BaseException as error:
            _say_what_is_left(args, out, error, began=True)
            raise
    return 0


def _resume(args: argparse.Namespace, schedule: dict[str, float | int]) -> int:
    """Go on with a study that was stopped."""
    engine = _engine(args)
    out, study = find(args)
    with studies.locked(out):
        before, runs = studies.done(out, study), len(study.runs)
        if before == runs:
            print(f"the study in {out} is finished: {runs} of {runs} runs are done", file=sys.stderr)
        else:
            print(f"going on with the study in {out}: {before} of {runs} runs are done", file=sys.stderr, flush=True)
        try:
            dataset = None if before == runs else images(args, study)
            records = degradation.resume(out, dataset, engine=engine, workers=args.workers, **schedule)
            _report(records, out)
        except BaseException as error:
            _say_what_is_left(args, out, error)
            raise
    return 0


def _say_what_is_left(args: argparse.Namespace, out: Path, error: BaseException, began: bool = False) -> None:
    """After an error or Ctrl-C, say which of the work is saved, and how to go on.

    A study that this call `began`, and that has diverged before anything was saved, is of no use and cleared away.
    """
    if isinstance(error, BrokenPipeError):  # `| head`: all was done, and nobody wants to hear the rest
        return
    try:
        study = studies.load(out)
    except StudyError:  # it had not begun
        return
    done = studies.done(out, study)
    if isinstance(error, TrainingDiverged) and began and not done and not studies.in_flight(out):
        studies.discard(out, study)
    elif isinstance(error, TrainingDiverged):
        print(
            f"{done} of {len(study.runs)} runs are done; their records and the state of the others stay in {out}, but "
            "to go on would diverge again",
            file=sys.stderr,
        )
    elif done == len(study.runs):
        print(
            f"all {done} runs are done, with their records in {out}. For the table and the figures:\n"
            f"  {_command(args, out)}",
            file=sys.stderr,
        )
    elif not isinstance(error, StudyError | CheckpointError):
        print(
            f"{done} of {len(study.runs)} runs are done; their records and the state of the others are in {out}. "
            f"To go on:\n  {_command(args, out)}",
            file=sys.stderr,
        )


def _nets(args: argparse.Namespace) -> tuple[str, ...]:
    if args.nets is None:
        return QUICK_NETS if args.quick else degradation.NETS
    nets = tuple(n.strip() for n in args.nets.split(",") if n.strip())
    if not nets:
        raise ValueError(f"--nets must name nets with commas between them (plain20,resnet56), but it is {args.nets!r}")
    return nets


def _engine(args: argparse.Namespace) -> str | RayEngine:
    """Return what `degradation.run` calls the engine; without Ray installed, say so before anything else is done."""
    given = _given(args)
    if args.engine == "local":
        if given:
            option = "--" + next(iter(given)).replace("_", "-")
            raise ValueError(f"{option} is for a Ray cluster: add --engine ray, or leave it out")
        return "local"
    import_ray()
    return RayEngine(**given)


def _given(args: argparse.Namespace) -> dict[str, str | float]:
    """Return the fields of `RayEngine` that the options give."""
    names = (field.name for field in dataclasses.fields(RayEngine))
    return {n: getattr(args, n) for n in names if getattr(args, n) is not None}


def _command(args: argparse.Namespace, out: Path) -> str:
    """Return the command that goes on with the study, with images from the same place, on the same engine."""
    data = [f"--data {shlex.quote(args.data)}"] if args.resume is not None and args.data else []
    ray = [f"--{name.replace('_', '-')} {value}" for name, value in _given(args).items()]
    return " ".join([command(out), *data, *(["--engine ray", *ray] if args.engine == "ray" else [])])


def _announce(
    args: argparse.Namespace,
    dataset: Dataset,
    nets: tuple[str, ...],
    seeds: int,
    recipe: Recipe,
    engine: str | RayEngine,
    device: str,
    out: Path,
) -> None:
    """Say what will be done and what it will cost, before it starts."""
    times = f" x {seeds} seeds" if seeds > 1 else ""
    lines = cli_recipe.describe(f"{', '.join(nets)}{times}", dataset, recipe)
    if isinstance(engine, RayEngine):
        lines.append(
            f"Ray gives each run {engine.cpus_per_run} CPU and {engine.gpus_per_run:g} GPU; if it has several "
            "machines, the folder below must be on a file system that they share"
        )
    elif device == "cpu" and not is_digits(dataset):
        seconds = degradation.estimate_seconds(nets, seeds, dataset, recipe)
        lines.append(
            f"cost: about {_duration(seconds)} on the {available_cores()} cores of this machine (from two trial steps)"
        )
    lines += [f"files: {out}", f"if it is stopped, this goes on: {_command(args, out)}"]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _report(records: list[RunRecord], out: Path) -> None:
    """Write the figures, and print the table, the sentence and where everything is."""
    for name, picture in (("degradation", plots.degradation(records, "both")), ("figure6", plots.figure6(records))):
        for ending in ("png", "svg"):
            picture.save(out / f"{name}.{ending}")
    print(degradation.summary(records))
    print()
    print(degradation.headline(records))
    print()
    print(f"{len(records)} records, and the figures degradation and figure6 (.png, .svg), are in {out}")


RUNS = Path("runs")  # where studies go that are given no folder


def find(args: argparse.Namespace) -> tuple[Path, Study]:
    """Return the folder that `--resume` names, or the newest unfinished one in `RUNS`, and the study in it.

    Raises `StudyError` if there is none, or if another option contradicts it.
    """
    folder = Path(args.resume) if args.resume else studies.newest_unfinished(RUNS)
    study = studies.load(folder)
    recipe, source = study.recipe, study.source
    cli_recipe.check(args, args.data or (source.data if source else "unknown"))
    epochs = None if args.epochs is None else args.epochs * (study.dataset["train"] // recipe.batch_size)
    _refuse(
        folder,
        {
            "--out": (args.out and Path(args.out).resolve(), folder.resolve()),
            "--nets": (args.nets and tuple(n.strip() for n in args.nets.split(",") if n.strip()), study.nets),
            "--seeds": (args.seeds, len(study.seeds)),
            "--data": (_other_data(args.data, source), source and source.data),
            "--resize": (args.resize, source and source.resize),
            "--hold-out": (args.hold_out, source and source.held),
            "--quick": (args.quick or None, bool(source and source.head)),
            "--recipe": (args.recipe, "paper" if recipe.augment else "digits"),
            "--steps": (args.steps, recipe.steps),
            "--epochs": (epochs, recipe.steps),
            "--batch-size": (args.batch_size, recipe.batch_size),
            "--lr": (args.lr, recipe.lr),
            "--eval-every": (args.eval_every, recipe.eval_every),
            "--device": (None if args.device == "auto" else args.device, study.device),
            "--precision": (None if args.precision == "auto" else args.precision, study.precision),
            "--save-weights": (args.save_weights or None, study.save_weights),
        },
    )
    return folder, study


def _other_data(given: str | None, source: Source | None) -> str | None:
    """Return what --data says if it can be no other place of the same images; of two folders the images decide."""
    named = ("digits", "cifar10")
    return given if source is not None and (given in named or source.data in named) else None


def images(args: argparse.Namespace, study: Study) -> Dataset | None:
    """Return the images of the study if the options say where to find them; None if that is left to the study.

    Raises `StudyError` if they are not there, and else what `Source.load` raises.
    """
    if args.data is None and args.mirrors is None:
        return None
    source = study.source if args.data is None else dataclasses.replace(study.source or Source(""), data=args.data)
    try:
        return source.load(urls=cli_recipe.urls_of(args))
    except (FileNotFoundError, ValueError) as error:
        raise StudyError(str(error)) from None


def _refuse(folder: Path, options: dict[str, tuple[object, object]]) -> None:
    """Raise `StudyError` for options {name: (given, the study's)} that are given and differ; None is not given."""
    wrong = [f"{o} is {_text(g)} but the study has {_text(s)}" for o, (g, s) in options.items() if g not in (None, s)]
    if wrong:
        raise StudyError(
            f"this contradicts the study in {folder}: {'; '.join(wrong)}. Leave it out, or start another study"
        )


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else "none" if value in (None, "") else str(value)


def command(folder: Path) -> str:
    """Return the words that a user can paste into the shell to go on with the study in `folder`."""
    program = Path(sys.argv[0])
    if program.name != "resnet-edu":
        words = [sys.executable, "-m", "resnet_edu"]
    elif (found := shutil.which("resnet-edu")) and Path(found).samefile(program):
        words = ["resnet-edu"]
    else:
        words = [str(program)]
    return shlex.join([*words, "degrade", "--resume", str(folder)])
