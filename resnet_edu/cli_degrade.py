"""`resnet-edu degrade`: run the degradation experiment and leave records, figures and a table.

Scope: options, messages and files of this one command; what it does is in `degradation.py`.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from datetime import datetime
from pathlib import Path

from . import cli_resume, data_cifar, degradation, plots
from . import study as studies
from .checkpoints import CheckpointError
from .data import Dataset
from .devices import available_cores, resolve_device
from .models import split_name
from .recipe import Recipe
from .records import RunRecord
from .stepper import PRECISIONS
from .study import Source, StudyError
from .train import TrainingDiverged

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
    what.add_argument("--data", metavar="digits|cifar10|FOLDER", help="images (default: digits)")
    what.add_argument(
        "--mirrors",
        metavar="URL,URL,...",
        help="where to download CIFAR-10 from, in this order; an address that ends in / is a folder of Parquet files; "
        f'"none" forbids the network (default: {data_cifar.URLS_VARIABLE}, or else a built-in list)',
    )
    what.add_argument("--nets", metavar="A,B,...", help=f"names of nets (default: {','.join(degradation.NETS)})")
    what.add_argument("--seeds", type=int, metavar="N", help="runs of each net, with seeds 0..N-1 (default: 1)")
    what.add_argument("--resize", type=int, metavar="PIXELS", help="make the images of a folder this wide and high")
    what.add_argument(
        "--quick", action="store_true", help="a smoke run of seconds: 8 and 14 layers, 20 steps, few images"
    )

    how = parser.add_argument_group("how it is trained")
    how.add_argument(
        "--recipe",
        choices=("paper", "digits"),
        help="paper: 64,000 steps, or shortened by --steps or --epochs with its milestones in proportion; digits: 200 "
        "steps without augmentation (default: digits for digits, else paper, shortened to 1,000 steps)",
    )
    length = how.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="updates of the weights")
    length.add_argument("--epochs", type=int, metavar="N", help="passes over the training images")
    how.add_argument("--batch-size", type=int, metavar="N", help="images a step (default: 128)")
    how.add_argument("--lr", type=float, metavar="RATE", help="learning rate at the start (default: 0.1)")
    how.add_argument("--eval-every", type=int, metavar="N", help="steps between evaluations on all images")

    where = parser.add_argument_group("where it runs and what it leaves")
    where.add_argument("--device", default="auto", metavar="auto|cpu|cuda|mps", help="(default: auto)")
    where.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="bfloat16: mixed precision, with batch norm in float32 (default: auto, that where the card is fast at it)",
    )
    where.add_argument("--workers", type=int, metavar="N", help="processes on the processor (default: 2)")
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
        "read from there, and other options must not contradict it",
    )
    stopping.add_argument(
        "--checkpoint-seconds", type=float, metavar="S", help="save where each net is every S seconds (default: 60)"
    )
    stopping.add_argument("--checkpoint-steps", type=int, metavar="N", help="and after every N steps (default: not)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    schedule = {n: getattr(args, n) for n in ("checkpoint_seconds", "checkpoint_steps") if getattr(args, n) is not None}
    with cli_resume.ended_politely():
        return _begin(args, schedule) if args.resume is None else _resume(args, schedule)


def _begin(args: argparse.Namespace, schedule: dict[str, float | int]) -> int:
    """Begin a study in a new folder."""
    nets = _nets(args)
    device = resolve_device(args.device)
    seeds = 1 if args.seeds is None else args.seeds
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, but it is {seeds}")
    if args.mirrors is not None and args.data != "cifar10":
        raise ValueError(f"--mirrors are addresses of CIFAR-10, but --data is {args.data or 'digits'}: leave it out")
    for option in ("steps", "epochs"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ValueError(f"--{option} must be at least 1, but it is {value}")
    degradation.make_grid(nets, seeds, Recipe.digits())  # unknown names, before anything is made or read
    source = Source(args.data or "digits", args.resize, (512, 256) if args.quick else None)
    out = (
        Path(args.out)
        if args.out
        else cli_resume.RUNS / f"{Path(source.data).resolve().name}-{datetime.now():%Y%m%d-%H%M%S}"
    )
    made = not out.exists()
    degradation.claim_folder(out)
    try:
        dataset = source.load(urls=_urls(args))
        recipe = _recipe(args, dataset, max(split_name(n)[1] for n in nets))
        workers = 2 if args.workers is None else args.workers
        _announce(dataset, nets, seeds, recipe, device.type, workers, out)
        records = degradation.run(
            nets,
            dataset,
            recipe,
            seeds=seeds,
            device=device,
            precision=args.precision,
            workers=workers,
            out=out,
            save_weights=args.save_weights,
            source=source,
            **schedule,
        )
    except BaseException as error:
        _say_what_is_left(out, error)
        if made:
            with contextlib.suppress(OSError):
                out.rmdir()  # nothing was written: leave nothing behind
        raise
    _report(records, out)
    return 0


def _resume(args: argparse.Namespace, schedule: dict[str, float | int]) -> int:
    """Go on with a study that was stopped."""
    out, study = cli_resume.find(args)
    before, runs = studies.done(out, study), len(study.runs)
    if before == runs:
        print(f"the study in {out} is finished: {runs} of {runs} runs are done", file=sys.stderr)
    else:
        print(f"going on with the study in {out}: {before} of {runs} runs are done", file=sys.stderr, flush=True)
    try:
        dataset = None if args.mirrors is None or study.source is None else study.source.load(urls=_urls(args))
        records = degradation.resume(out, dataset, workers=args.workers, **schedule)
    except BaseException as error:
        _say_what_is_left(out, error)
        raise
    _report(records, out)
    return 0


def _say_what_is_left(out: Path, error: BaseException) -> None:
    """After an error or Ctrl-C, say which of the work is saved, and how to go on; or clear away what is of no use."""
    try:
        study = studies.load(out)
    except StudyError:  # it had not begun
        return
    done = studies.done(out, study)
    if isinstance(error, TrainingDiverged) and not done:
        studies.discard(out, study)  # it would do so again
    elif isinstance(error, TrainingDiverged):
        print(f"{done} of {len(study.runs)} runs are done, with their records in {out}", file=sys.stderr)
    elif not isinstance(error, StudyError | CheckpointError):
        print(
            f"{done} of {len(study.runs)} runs are done; their records and the state of the others are in {out}. "
            f"To go on:\n  {cli_resume.command(out)}",
            file=sys.stderr,
        )


def _urls(args: argparse.Namespace) -> list[str] | None:
    """Return where to download CIFAR-10 from, None for the usual places."""
    return None if args.mirrors is None else data_cifar.parse_addresses(args.mirrors)


def _nets(args: argparse.Namespace) -> tuple[str, ...]:
    if args.nets is None:
        return QUICK_NETS if args.quick else degradation.NETS
    nets = tuple(n.strip() for n in args.nets.split(",") if n.strip())
    if not nets:
        raise ValueError(f"--nets must name nets with commas between them (plain20,resnet56), but it is {args.nets!r}")
    return nets


def _recipe(args: argparse.Namespace, dataset: Dataset, depth: int) -> Recipe:
    """Return the recipe that the options ask for."""
    batch = args.batch_size if args.batch_size is not None else 32 if args.quick else 128
    if batch < 1:
        raise ValueError(f"--batch-size must be at least 1, but it is {batch}")
    steps = args.steps
    if args.epochs is not None:
        steps = args.epochs * (len(dataset.train_images) // batch)
        if not steps:
            raise ValueError(
                f"--batch-size is {batch}, but there are only {len(dataset.train_images)} training images: use fewer"
            )
    if steps is None and args.quick:
        steps = 20
    kind = args.recipe or ("digits" if args.data in (None, "digits") else "paper")
    if kind == "digits":
        recipe = Recipe.digits()
        if steps is not None:
            recipe = recipe.replace(steps=steps, eval_every=max(1, steps // 10))
    elif steps is None and args.recipe:
        recipe = Recipe.paper(depth)
    else:
        recipe = Recipe.scaled(degradation.DEFAULT_STEPS if steps is None else steps, depth)
    recipe = recipe.replace(batch_size=batch)
    if kind == "paper":
        recipe = degradation.space_evaluations(recipe, dataset)
    changes = {"lr": args.lr, "eval_every": args.eval_every}
    if args.lr is not None and recipe.warmup_lr is not None:
        changes["warmup_lr"] = args.lr / 10
    return recipe.replace(**{k: v for k, v in changes.items() if v is not None})


def _announce(
    dataset: Dataset, nets: tuple[str, ...], seeds: int, recipe: Recipe, device: str, workers: int, out: Path
) -> None:
    """Say what will be done and what it will cost, before it starts."""
    n, m = len(dataset.train_images), len(dataset.test_images)
    times = f" x {seeds} seeds" if seeds > 1 else ""
    falls = f", /10 after {' and '.join(f'{s:,}' for s in recipe.milestones)} steps" if recipe.milestones else ""
    evaluations = -(-recipe.steps // recipe.eval_every)
    slow = f", {recipe.warmup_lr:g} to begin with" if recipe.warmup_lr else ""
    lines = [
        f"{', '.join(nets)}{times} on {dataset.name}: {n:,} + {m:,} images of {'x'.join(map(str, dataset.shape))}",
        f"recipe: {recipe.steps:,} steps of {recipe.batch_size} images ({recipe.steps * recipe.batch_size / n:.1f} "
        f"epochs), learning rate {recipe.lr:g}{slow}{falls}, {'with' if recipe.augment else 'no'} augmentation; "
        f"{evaluations} evaluation{'s' * (evaluations > 1)} of all images",
    ]
    if device == "cpu" and not dataset.name.startswith("digits"):
        seconds = degradation.estimate_seconds(nets, seeds, dataset, recipe, workers)
        lines.append(
            f"cost: about {_duration(seconds)} on the {available_cores()} cores of this machine (from two trial steps)"
        )
    lines += [f"files: {out}", f"if it is stopped, this goes on: {cli_resume.command(out)}"]
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
