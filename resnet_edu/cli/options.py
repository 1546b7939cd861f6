"""The options of `degrade` and `train`: one table, from which come the parser, the study, and what --resume takes.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..data import cifar10
from ..data.dataset import Dataset, counts_text
from ..experiment.degradation import DEFAULT_STEPS, space_evaluations
from ..experiment.folder import NETS, Source, Study, StudyError
from ..support.validate import whole
from ..training.loop import check_fit
from ..training.recipe import Recipe
from ..training.step import PRECISIONS

QUICK_NETS = ("plain8", "resnet8", "plain14", "resnet14")
QUICK_IMAGES = (512, 256)  # for training, and to test on


@dataclass(frozen=True)
class Option:
    """One option of the command line.

    flag, metavar, help, kind: for `argparse`; further arguments are in `more`.
    place:   what it sets alone: an attribute of a `Study`, of its "recipe." or "source.", or of a `RayEngine`
             ("engine.").
    """

    flag: str
    metavar: str | None
    help: str
    place: str = ""
    kind: Callable[[str], Any] | None = int
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in the parsed arguments."""
        return self.flag.removeprefix("--").replace("-", "_")


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text such as "plain20,resnet56"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


LATER = {"--data", "--mirrors", "--workers"}  # and all of the last two groups: what --resume takes
SWITCH = {"action": "store_true", "default": None}  # None: it was not given
# fmt: off
OPTIONS = {
    "what is trained": (
        Option("--data", "digits|cifar10|FOLDER", "images (default: digits)", "source.data", str),
        Option("--mirrors", "URL,URL,...", "where to download CIFAR-10 from, in this order; "
               f'"none" forbids the network (default: {cifar10.URLS_VARIABLE}, or else a built-in list)', kind=str),
        Option("--resize", "PIXELS", "make the images of a folder this wide and high", "source.resize"),
        Option("--channels", None, "read a folder as grey (1) or RGB (3) (default: grey if all its images are)",
               "source.channels", more={"choices": (1, 3)}),
        Option("--skip-damaged", None, "leave out the files of a folder that cannot be read", "source.skip_damaged",
               more=SWITCH),
        Option("--hold-out", "N", "to choose a recipe: test on N of the training images, and never on the test images "
               "(the paper: 5000)", "source.held"),
        Option("--nets", "A,B,...", f"names of nets (default: {','.join(NETS)})", "nets", names),
        Option("--seeds", "N", "runs of each net, with seeds 0..N-1 (default: 1)", "seeds"),
        Option("--quick", None, "a smoke run of seconds: 8 and 14 layers, 20 steps, few images", more=SWITCH),
    ),
    "how it is trained": (
        Option("--recipe", None, "paper: 64,000 steps, or shortened by --steps or --epochs with its milestones in "
               "proportion; digits: 400 steps at 0.01 without augmentation (default: digits for digits, else paper, "
               "shortened to 1,000 steps)", kind=str, more={"choices": ("paper", "digits")}),
        Option("--steps", "N", "updates of the weights"),
        Option("--epochs", "N", "passes over the training images"),
        Option("--batch-size", "N", "images a step (default: 128)", "recipe.batch_size"),
        Option("--lr", "RATE", "learning rate at the start (default: 0.1)", "recipe.lr", float),
        Option("--eval-every", "N", "steps between evaluations on all images", "recipe.eval_every"),
    ),
    "where it runs and what it leaves": (
        Option("--device", "auto|cpu|cuda|mps", "(default: auto)", "device", str, more={"default": "auto"}),
        Option("--precision", None, "bfloat16: mixed precision, with batch norm in float32 (default: auto, that where "
               "the card is fast at it)", "precision", str, more={"choices": PRECISIONS, "default": "auto"}),
        Option("--workers", "N", "processes that train side by side (default: 2 on the processor; on a GPU 0, one net "
               "after another)", "workers"),
        Option("--out", "FOLDER", "for the files (default: a folder in runs/, named after what is trained)", kind=str),
        Option("--save-weights", None, "leave each net's final weights (safetensors) beside its record",
               "save_weights", more=SWITCH),
    ),
    "stopping and going on": (
        Option("--resume", "FOLDER", "go on with the study in this folder (default: the newest unfinished one in "
               "runs/); what it trains is read from there; --data says where a folder of images is now", kind=str,
               more={"nargs": "?", "const": ""}),
        Option("--checkpoint-seconds", "S", "save where each net is every S seconds (default: 60)",
               "checkpoint_seconds", float),
    ),
    "on a Ray cluster (with --engine ray; needs the extra `cluster`)": (
        Option("--engine", None, "who shares out the runs (default: local processes)", kind=str,
               more={"choices": ("local", "ray"), "default": "local"}),
        Option("--address", "auto|ray://HOST:PORT", "auto: the cluster that this machine is part of (default: "
               "$RAY_ADDRESS, or else this machine alone)", "engine.address", str),
        Option("--gpus-per-run", "SHARE", "of one GPU, 0 to 1 (default: 1 on CUDA, else 0)", "engine.gpus_per_run",
               float),
        Option("--cpus-per-run", "N", "cores, and threads, of each run (default: 1)", "engine.cpus_per_run"),
        Option("--retries", "N", "how often a run that lost its machine is started again (default: 3)",
               "engine.retries"),
    ),
}
# fmt: on
ALL = [option for options in OPTIONS.values() for option in options]


def add_options(parser: argparse.ArgumentParser, flags: Container[str] | None = None) -> None:
    """Add the options of the table to a parser, or those of these flags only, in groups."""
    for title, options in OPTIONS.items():
        group, length = parser.add_argument_group(title), None
        for option in options:
            if flags is None or option.flag in flags:
                place = group
                if option.flag in ("--steps", "--epochs"):
                    place = length = length or group.add_mutually_exclusive_group()
                of_value = {} if "action" in option.more else {"type": option.kind, "metavar": option.metavar}
                place.add_argument(option.flag, help=option.help, **of_value, **option.more)


def given(args: argparse.Namespace, place: str = "") -> dict[str, Any]:
    """Return the options that were given, of those that set an attribute of `place`, as {attribute: value}.

    place: "" for a `Study`, "recipe.", "source.", or "engine." for a `RayEngine`.
    """
    found = {}
    for option in ALL:
        start, dot, attribute = option.place.rpartition(".")
        if attribute and start + dot == place and getattr(args, option.name, None) is not None:
            found[attribute] = getattr(args, option.name)
    return found


def changed(args: argparse.Namespace, study: Study) -> Study:
    """Return a study that goes on, with what may change then.

    Raises `StudyError` if another option was given, or other images.
    """
    begun = [o for title in list(OPTIONS)[:3] for o in OPTIONS[title] if o.flag not in LATER]
    if fixed := [o.flag for o in begun if getattr(args, o.name) not in (None, o.more.get("default"))]:
        raise StudyError(f"{', '.join(fixed)}: a study goes on as it began; leave that out, or start another study")
    its = study.source.data if study.source else "unknown"
    if args.data not in (None, its) and {args.data, its} & {"digits", "cifar10"}:  # of two folders the images decide
        raise StudyError(f"--data is {args.data}, but the study has {its}: leave it out")
    check_mirrors(args, args.data or its)
    later = {name: value for name, value in given(args).items() if name not in ("device", "precision")}
    return dataclasses.replace(study, **later)


def study_of(args: argparse.Namespace, **fields: Any) -> Study:
    """Return the study that the options ask for, as far as it does not depend on the images: see `fit_recipe`.

    fields: of the study, that options do not set. Raises `ValueError` for options that cannot be, before anything is
    made or read.
    """
    check_mirrors(args, args.data or "digits")
    quick = {"nets": QUICK_NETS} if args.quick else {}
    study = Study(**quick | given(args) | fields)
    return dataclasses.replace(study, recipe=recipe_of(args, study.depth))


def source_of(args: argparse.Namespace) -> Source:
    """Return where the images come from that the options ask for."""
    head = QUICK_IMAGES if args.quick else None
    return Source(**{"data": "digits", **given(args, "source.")}, head=head)


def check_mirrors(args: argparse.Namespace, data: str) -> None:
    """Raise `ValueError` for addresses of CIFAR-10 where other images are asked for."""
    if args.mirrors is not None and data != "cifar10":
        raise ValueError(f"--mirrors are addresses of CIFAR-10, but --data is {data}: leave it out")


def urls_of(args: argparse.Namespace) -> list[str] | None:
    """Return where to download CIFAR-10 from, None for the usual places."""
    return None if args.mirrors is None else cifar10.parse_addresses(args.mirrors)


def recipe_of(args: argparse.Namespace, depth: int, steps: int | None = None) -> Recipe:
    """Return the recipe that the options ask for, as far as it does not depend on the images.

    steps: of --epochs, when the images are known.
    """
    if args.epochs is not None:
        whole("--epochs", args.epochs)
    elif args.quick and args.steps is None:
        steps = 20
    steps = args.steps if steps is None else steps
    kind = args.recipe or ("digits" if args.data in (None, "digits") else "paper")
    if kind == "digits":
        recipe = Recipe.digits() if steps is None else Recipe.digits(steps)
    elif steps is None and args.recipe:
        recipe = Recipe.paper(depth)
    else:
        recipe = Recipe.scaled(DEFAULT_STEPS if steps is None else steps, depth)
    changes = {"batch_size": 32} if args.quick else {}
    changes |= given(args, "recipe.")
    if args.lr is not None and recipe.warmup_lr is not None:
        changes["warmup_lr"] = args.lr / 10
    return recipe.replace(**changes)


def fit_recipe(args: argparse.Namespace, study: Study, dataset: Dataset) -> Study:
    """Return the study with its recipe fitted to the images: steps of --epochs, evaluations by their cost."""
    recipe, images = study.recipe, len(dataset.train_images)
    if args.epochs is not None:
        steps = args.epochs * (images // recipe.batch_size)
        if not steps:
            raise ValueError(f"--batch-size is {recipe.batch_size}, but there are only {images} training images")
        recipe = recipe_of(args, study.depth, steps)
    check_fit(recipe, dataset)
    if recipe.augment and args.eval_every is None:
        recipe = space_evaluations(recipe, dataset)
    return dataclasses.replace(study, recipe=recipe)


def describe(what: str, dataset: Dataset, recipe: Recipe) -> list[str]:
    """Return lines that say what will be trained, on which images and how."""
    n, m = len(dataset.train_images), len(dataset.test_images)
    falls = f", /10 after {' and '.join(f'{s:,}' for s in recipe.milestones)} steps" if recipe.milestones else ""
    labels = torch.cat([dataset.train_labels, dataset.test_labels])
    evaluations = -(-recipe.steps // recipe.eval_every)
    slow = f", {recipe.warmup_lr:g} to begin with" if recipe.warmup_lr else ""
    return [
        f"{what} on {dataset.name}: {n:,} + {m:,} images of {'x'.join(map(str, dataset.shape))}",
        f"classes: {counts_text(labels.numpy(), dataset.classes)}",
        f"recipe: {recipe.steps:,} steps of {recipe.batch_size} images ({recipe.steps * recipe.batch_size / n:.1f} "
        f"epochs), learning rate {recipe.lr:g}{slow}{falls}, {'with' if recipe.augment else 'no'} augmentation; "
        f"{evaluations} evaluation{'s' * (evaluations > 1)} of all images",
    ]
