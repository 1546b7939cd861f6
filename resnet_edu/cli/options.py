"""The options of `degrade` and `train`, and the study, the recipe and the images that they ask for."""

import argparse
import dataclasses
from collections.abc import Container
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from ..data import cifar10
from ..data.dataset import Dataset, counts_text
from ..experiment.degradation import DEFAULT_STEPS, space_evaluations
from ..experiment.folder import NETS, Source, Study, StudyError
from ..nets.models import STEMS
from ..support.validate import whole
from ..training.loop import check_fit
from ..training.recipe import ADAMW, OPTIMIZERS, SCHEDULES, Recipe
from ..training.step import PRECISIONS

RUNS = Path("runs")  # for the files of commands that are given no --out
# Options of `train` alone. torchrun has a --start-method: `--start` would be short for that.
OF_ONE_NET = ("--net", "--seed", "--stem", "--start-from", "--freeze-epochs", "--body-share", "--keep", "--more-steps")
CROPS = {"pad-crop": {"augment": True, "crop": "pad"}, "resized-crop": {"augment": True, "crop": "resized"}}
CROPS |= {"none": {"augment": False}}
FINE = {"lr": 0.01, "body_share": 0.1, "normalize": "start", "warmup_lr": None}  # what differs with --start-from
QUICK_NETS = ("plain8", "resnet8", "plain14", "resnet14")
QUICK_IMAGES = (512, 256)  # for training, and to test on
# Destinations that go with --resume, beside those of Ray.
LATER = {"command", "run", "resume", "data", "mirrors", "engine", "study.workers", "study.checkpoint_seconds"}


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text such as "plain20,resnet56"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def seed(text: str) -> tuple[int]:
    """Return the seeds of a study that has this one."""
    return (int(text),)


def out_folder(args: argparse.Namespace, name: str) -> Path:
    """Return the folder that --out names, or a new one in `RUNS` with this name and the time."""
    return Path(args.out) if args.out else RUNS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def add_options(parser: argparse.ArgumentParser, flags: Container[str] | None = None) -> None:
    """Add to a parser all options of a study, or those of these flags.

    The destination of many says what they set: an attribute of a `Study`, a `Recipe`, a `Source` or a `RayEngine`.
    """
    parser.set_defaults(start=None, freeze_epochs=None, quick=None)  # not every command has them

    def add(group: argparse._ArgumentGroup, flag: str, text: str, **more: Any) -> None:
        if flag in flags if flags is not None else flag not in OF_ONE_NET:
            group.add_argument(flag, help=text, **more)

    switch = {"action": "store_true", "default": None}  # None: it was not given
    # fmt: off
    what = parser.add_argument_group("what is trained")
    add(what, "--data", "images (default: digits)", metavar="digits|cifar10|FOLDER")
    add(what, "--mirrors", 'where to download CIFAR-10 from, in this order; "none" forbids the network '
        f"(default: {cifar10.URLS_VARIABLE}, or else a built-in list)", type=cifar10.parse_addresses,
        metavar="URL,URL,...")
    add(what, "--net", "resnet20, plain56, resnet110, ..., or module:callable, which is called with num_classes and, "
        "if it names it, in_channels (default: that of --start-from FILE)", metavar="NAME")
    add(what, "--stem", "cifar: 3x3 with stride 1, for small images; imagenet: 7x7 with stride 2 and pooling",
        choices=STEMS)
    seeds = what.add_mutually_exclusive_group()
    add(seeds, "--seed", "of weights, batches and augmentation (default: 0)", dest="study.seeds", type=seed,
        metavar="K")
    add(seeds, "--seeds", "runs of each net, with seeds 0..N-1 (default: 1)", dest="study.seeds", type=int, metavar="N")
    add(what, "--resize", "make the images of a folder or of cifar10 this wide and high", dest="source.resize",
        type=int, metavar="PIXELS")
    add(what, "--channels", "read a folder as grey (1) or RGB (3) (default: grey if all its images are)",
        dest="source.channels", type=int, choices=(1, 3))
    add(what, "--skip-damaged", "leave out the files of a folder that cannot be read", dest="source.skip_damaged",
        **switch)
    add(what, "--hold-out", "to choose a recipe or weights: test on N of the training images, and not on the test "
        "images (the paper: 5000)", dest="source.held", type=int, metavar="N")
    add(what, "--nets", f"names of nets (default: {','.join(NETS)})", dest="study.nets", type=names, metavar="A,B,...")
    add(what, "--quick", "a smoke run of seconds: 8 and 14 layers, 20 steps, few images", **switch)

    how, digits = parser.add_argument_group("how it is trained"), Recipe.digits()
    add(how, "--recipe", "paper: 64,000 steps, or shortened by --steps or --epochs with its milestones in proportion; "
        f"digits: {digits.steps} steps at {digits.lr:g} without augmentation (default: digits for digits, else paper, "
        "shortened to 1,000 steps)", choices=("paper", "digits"))
    length = how.add_mutually_exclusive_group()
    add(length, "--steps", "updates of the weights", type=int, metavar="N")
    add(length, "--epochs", "passes over the training images", type=int, metavar="N")
    add(how, "--batch-size", "images a step (default: 128)", dest="recipe.batch_size", type=int, metavar="N")
    add(how, "--optimizer", f"(default: sgd; adamw has {ADAMW['lr']:g} as learning rate and {ADAMW['weight_decay']:g} "
        "as weight decay)", dest="recipe.optimizer", choices=OPTIMIZERS)
    add(how, "--lr", f"learning rate at the start (default: 0.1; {FINE['lr']:g} with --start-from)",
        dest="recipe.lr", type=float, metavar="RATE")
    add(how, "--weight-decay", "(default: 0.0001)", dest="recipe.weight_decay", type=float, metavar="SHARE")
    add(how, "--schedule", "steps: the rate falls twice to a tenth; cosine: it falls to 0 in half a wave; halves: it "
        "is halved after each fifth (default: steps)", dest="recipe.schedule", choices=SCHEDULES)
    add(how, "--augment", "pad-crop: shifted by up to 4 pixels; resized-crop: a random part, enlarged; both mirrored "
        "at random (default: the recipe's)", choices=CROPS)
    add(how, "--no-flip", "mirror nothing: for letters, digits and signs", dest="recipe.flip", action="store_const",
        const=False)
    add(how, "--start-from", "begin with trained weights and a new head: torchvision's, those that come with the "
        "package, or those in a file (of `train`, or torchvision's .pth); with --seeds also from scratch, to compare",
        dest="start", metavar="torchvision|shipped|FILE")
    add(how, "--freeze-epochs", "epochs in which only the new head learns (default: 1, and at most a fifth of all)",
        type=int, metavar="N")
    add(how, "--body-share", f"learning rate of the rest, as a share of the head's (default: {FINE['body_share']:g})",
        dest="recipe.body_share", type=float, metavar="SHARE")
    add(how, "--eval-every", "steps between evaluations on all images", dest="recipe.eval_every", type=int, metavar="N")

    where = parser.add_argument_group("where it runs and what it leaves")
    add(where, "--device", "(default: auto)", dest="study.device", metavar="auto|cpu|cuda|mps")
    add(where, "--precision", "bfloat16: mixed precision, with batch norm in float32 (default: auto, that where the "
        "card is fast at it)", dest="study.precision", choices=PRECISIONS)
    add(where, "--workers", "processes that train side by side (default: 2 on the processor; on a GPU 0, one net after "
        "another)", dest="study.workers", type=int, metavar="N")
    add(where, "--out", "for the files (default: a folder in runs/, named after what is trained)", metavar="FOLDER")
    add(where, "--save-weights", "leave each net's final weights (safetensors) beside its record",
        dest="study.save_weights", **switch)
    add(where, "--keep", "best: leave the weights with the lowest error on the images of --hold-out too",
        choices=("best",))

    later = parser.add_argument_group("stopping and going on")
    add(later, "--more-steps", "with the command of a run that has ended: go on for N steps, at its last learning rate "
        "(cosine: a hundredth of --lr)", type=int, metavar="N")
    add(later, "--resume", "go on with the study in this folder (default: the newest unfinished one in runs/); what it "
        "trains is read from there; --data says where a folder of images is now", metavar="FOLDER", nargs="?", const="")
    add(later, "--checkpoint-seconds", "save where each net is every S seconds (default: 60)",
        dest="study.checkpoint_seconds", type=float, metavar="S")

    ray = parser.add_argument_group("on a Ray cluster (with --engine ray; needs the extra `cluster`)")
    add(ray, "--engine", "who shares out the runs (default: local processes)", choices=("local", "ray"))
    add(ray, "--address", "auto: the cluster that this machine is part of (default: $RAY_ADDRESS, or else this machine "
        "alone)", dest="engine.address", metavar="auto|ray://HOST:PORT")
    add(ray, "--gpus-per-run", "of one GPU, 0 to 1 (default: 1 on CUDA, else 0)", dest="engine.gpus_per_run",
        type=float, metavar="SHARE")
    add(ray, "--cpus-per-run", "cores, and threads, of each run (default: 1)", dest="engine.cpus_per_run", type=int,
        metavar="N")
    add(ray, "--retries", "how often a run that lost its machine is started again (default: 3)", dest="engine.retries",
        type=int, metavar="N")
    # fmt: on


def given(args: argparse.Namespace, what: str) -> dict[str, Any]:
    """Return the options that were given for "study", "recipe", "source" or "engine", as {attribute: value}."""
    start = f"{what}."
    return {n.removeprefix(start): v for n, v in vars(args).items() if n.startswith(start) and v is not None}


def changed(args: argparse.Namespace, study: Study) -> Study:
    """Return a study that goes on, with what may change then. Raises `StudyError` for other options or images."""
    if any(v is not None and n not in LATER and not n.startswith("engine.") for n, v in vars(args).items()):
        allowed = "--data, --mirrors, --workers, --checkpoint-seconds and those of Ray"
        raise StudyError(f"a study goes on as it began: with --resume go only {allowed}")
    its = study.source.data if study.source else "unknown"
    if args.data not in (None, its) and {args.data, its} & {"digits", "cifar10"}:  # of two folders the images decide
        raise StudyError(f"--data is {args.data}, but the study has {its}: leave it out")
    check_mirrors(args, args.data or its)
    return dataclasses.replace(study, **given(args, "study"))


def study_of(args: argparse.Namespace, **fields: Any) -> Study:
    """Return the study that the options ask for, as far as it does not depend on the images: see `fit_recipe`.

    fields: of the study, that options do not set. Raises `ValueError` for options that cannot be, before anything is
    made or read.
    """
    check_mirrors(args, args.data or "digits")
    quick = {"nets": QUICK_NETS} if args.quick else {}
    study = Study(**quick | given(args, "study") | fields)
    return dataclasses.replace(study, recipe=recipe_of(args, study.depth))


def source_of(args: argparse.Namespace) -> Source:
    """Return where the images come from that the options ask for."""
    head = QUICK_IMAGES if args.quick else None
    return Source(args.data or "digits", head=head, **given(args, "source"))


def check_mirrors(args: argparse.Namespace, data: str) -> None:
    """Raise `ValueError` for addresses of CIFAR-10 where other images are asked for."""
    if args.mirrors is not None and data != "cifar10":
        raise ValueError(f"--mirrors are addresses of CIFAR-10, but --data is {data}: leave it out")


def recipe_of(args: argparse.Namespace, depth: int, steps: int | None = None) -> Recipe:
    """Return the recipe asked for, as far as no images are needed; `steps` are those of --epochs, once known."""
    if args.epochs is not None:
        whole("--epochs", args.epochs)
    elif args.quick and args.steps is None:
        steps = 20
    steps = args.steps if steps is None else steps
    if _kind(args) == "digits":
        recipe = Recipe.digits() if steps is None else Recipe.digits(steps)
    elif steps is None and args.recipe:
        recipe = Recipe.paper(depth)
    else:
        recipe = Recipe.scaled(DEFAULT_STEPS if steps is None else steps, depth)
    changes, own = {"batch_size": 32} if args.quick else {}, given(args, "recipe")
    slow = recipe.warmup_lr is not None
    if args.start:
        changes |= FINE
    elif "body_share" in own:
        raise ValueError("--body-share is for weights to start from: add --start-from")
    if own.get("optimizer") == "adamw":
        changes |= ADAMW
    elif "lr" in own and slow and not args.start:
        changes["warmup_lr"] = own["lr"] / 10
    if own.get("schedule", "steps") != "steps":
        changes["milestones"] = ()
    return recipe.replace(**changes | CROPS.get(args.augment, {}) | own)


def _kind(args: argparse.Namespace) -> str:
    return args.recipe or ("digits" if args.data in (None, "digits") else "paper")


def fit_recipe(args: argparse.Namespace, study: Study, dataset: Dataset) -> Study:
    """Return the study with its recipe fitted to the images: a batch, steps of epochs, evaluations by their cost."""
    recipe, images, own = study.recipe, len(dataset.train_images), given(args, "recipe")
    size = recipe.batch_size
    if images < size and "batch_size" not in own:
        size = max(2, images // 4)
    each = images // size  # steps of an epoch
    if args.epochs is not None:
        if not each:
            raise ValueError(f"--batch-size is {size}, but there are only {images} training images")
        recipe = recipe_of(args, study.depth, args.epochs * each)
    if args.start:
        epochs = args.freeze_epochs
        frozen = min(each, recipe.steps // 5) if epochs is None else whole("--freeze-epochs", epochs, 0) * each
        recipe = recipe.replace(frozen=frozen)
    elif args.freeze_epochs is not None:
        raise ValueError("--freeze-epochs is for weights to start from: add --start-from")
    recipe = recipe.replace(batch_size=size)
    check_fit(recipe, dataset)
    if _kind(args) == "paper" and "eval_every" not in own:
        recipe = space_evaluations(recipe, dataset)
    return dataclasses.replace(study, recipe=recipe)


def describe(what: str, dataset: Dataset, recipe: Recipe) -> list[str]:
    """Return lines that say what will be trained, on which images and how."""
    n, m = len(dataset.train_images), len(dataset.test_images)
    tenths = ", /10 after step " + " and step ".join(f"{step:,}" for step in recipe.milestones)
    falls = {"cosine": ", falling to 0 in half a cosine wave", "halves": ", halved after each fifth"}
    falls = falls.get(recipe.schedule, tenths if recipe.milestones else "")
    how = f"{'no' if not recipe.augment else 'with' if recipe.crop == 'pad' else 'resized-crop'} augmentation"
    how += ", nothing mirrored" if recipe.augment and not recipe.flip else ""
    how += f"; up to step {recipe.frozen:,} only the head learns" if recipe.frozen else ""
    how += f"; the body learns at {recipe.body_share:g} times the head's rate" if recipe.body_share != 1 else ""
    labels = torch.cat([dataset.train_labels, dataset.test_labels])
    slow = f", {recipe.warmup_lr:g} to begin with" if recipe.warmup_lr else ""
    return [
        f"{what} on {dataset.name}: {n:,} + {m:,} images of {'x'.join(map(str, dataset.shape))}",
        f"classes: {counts_text(labels.numpy(), dataset.classes)}",
        f"recipe: {recipe.steps:,} steps of {recipe.batch_size} images ({recipe.steps * recipe.batch_size / n:.1f} "
        f"epochs){', AdamW' * (recipe.optimizer == 'adamw')}, learning rate {recipe.lr:g}{slow}{falls}, {how}; "
        f"evaluations of all images: {-(-recipe.steps // recipe.eval_every)}",
    ]
