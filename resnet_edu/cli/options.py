"""Options that commands share: which images, how a net is trained on them, and on which device.

Scope: the options, their checks, and the recipe they ask for, in words too; commands are in `cli_degrade.py` and
`cli_train.py`.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""

from __future__ import annotations

import argparse

from ..data import cifar10 as data_cifar
from ..data.dataset import Dataset
from ..experiment.degradation import DEFAULT_STEPS, space_evaluations
from ..training.recipe import Recipe
from ..training.step import PRECISIONS


def add_data_options(group: argparse._ArgumentGroup) -> None:
    """Add --data, --mirrors and --resize."""
    group.add_argument("--data", metavar="digits|cifar10|FOLDER", help="images (default: digits)")
    group.add_argument(
        "--mirrors",
        metavar="URL,URL,...",
        help="where to download CIFAR-10 from, in this order; "
        f'"none" forbids the network (default: {data_cifar.URLS_VARIABLE}, or else a built-in list)',
    )
    group.add_argument("--resize", type=int, metavar="PIXELS", help="make the images of a folder this wide and high")


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add a group of options for how a net is trained."""
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


def add_device_options(group: argparse._ArgumentGroup) -> None:
    """Add --device and --precision."""
    group.add_argument("--device", default="auto", metavar="auto|cpu|cuda|mps", help="(default: auto)")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="bfloat16: mixed precision, with batch norm in float32 (default: auto, that where the card is fast at it)",
    )


def check(args: argparse.Namespace, data: str) -> None:
    """Raise `ValueError` for options that cannot be with images from `data`, before anything is made or read."""
    if args.mirrors is not None and data != "cifar10":
        raise ValueError(f"--mirrors are addresses of CIFAR-10, but --data is {data}: leave it out")
    for name in ("steps", "epochs", "batch_size", "eval_every"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, but it is {value}")
    if args.lr is not None:
        Recipe.digits().replace(lr=args.lr)  # raises for a rate that cannot be
    if args.steps is not None and _kind(args) == "paper":
        Recipe.scaled(args.steps)  # raises for too few


def _kind(args: argparse.Namespace) -> str:
    return args.recipe or ("digits" if args.data in (None, "digits") else "paper")


def urls_of(args: argparse.Namespace) -> list[str] | None:
    """Return where to download CIFAR-10 from, None for the usual places."""
    return None if args.mirrors is None else data_cifar.parse_addresses(args.mirrors)


def recipe_of(args: argparse.Namespace, dataset: Dataset, depth: int) -> Recipe:
    """Return the recipe that the options ask for."""
    batch = args.batch_size if args.batch_size is not None else 32 if args.quick else 128
    steps = args.steps
    if args.epochs is not None:
        steps = args.epochs * (len(dataset.train_images) // batch)
        if not steps:
            raise ValueError(
                f"--batch-size is {batch}, but there are only {len(dataset.train_images)} training images: use fewer"
            )
    if steps is None and args.quick:
        steps = 20
    kind = _kind(args)
    if kind == "digits":
        recipe = Recipe.digits()
        if steps is not None:
            recipe = recipe.replace(steps=steps, eval_every=max(1, steps // 10))
    elif steps is None and args.recipe:
        recipe = Recipe.paper(depth)
    else:
        recipe = Recipe.scaled(DEFAULT_STEPS if steps is None else steps, depth)
    recipe = recipe.replace(batch_size=batch)
    if kind == "paper":
        recipe = space_evaluations(recipe, dataset)
    changes = {"lr": args.lr, "eval_every": args.eval_every}
    if args.lr is not None and recipe.warmup_lr is not None:
        changes["warmup_lr"] = args.lr / 10
    return recipe.replace(**{k: v for k, v in changes.items() if v is not None})


def describe(what: str, dataset: Dataset, recipe: Recipe) -> list[str]:
    """Return two lines that say what will be trained, on which images and how."""
    n, m = len(dataset.train_images), len(dataset.test_images)
    falls = f", /10 after {' and '.join(f'{s:,}' for s in recipe.milestones)} steps" if recipe.milestones else ""
    evaluations = -(-recipe.steps // recipe.eval_every)
    slow = f", {recipe.warmup_lr:g} to begin with" if recipe.warmup_lr else ""
    return [
        f"{what} on {dataset.name}: {n:,} + {m:,} images of {'x'.join(map(str, dataset.shape))}",
        f"recipe: {recipe.steps:,} steps of {recipe.batch_size} images ({recipe.steps * recipe.batch_size / n:.1f} "
        f"epochs), learning rate {recipe.lr:g}{slow}{falls}, {'with' if recipe.augment else 'no'} augmentation; "
        f"{evaluations} evaluation{'s' * (evaluations > 1)} of all images",
    ]
