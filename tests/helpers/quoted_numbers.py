"""The register of numbers in the prose that no cell of their chapter puts out, each with where it comes from.

Chapters go by their two digits, pages of book/ by their name.

Scope: the list, and what a source may be. The rule is in prose.py, the tests are in test_prose_numbers.py. To add a
number, copy its phrase from the chapter, long enough to stand there once in this sense, and say where it is from:

    Quote("05", "About five percent more multiply-adds", lambda: 100 * (macs("resnet50") / macs("resnet34") - 1))
    Quote("05", "more than two and a half ...", over(lambda: ...))
    Quote("02", "| 28.54% | 25.03% |", published("he2016deep", "table 3", 28.54, 25.03))

A function gives one number, or as many as the phrase has, in their order. What it gives is rounded to the digits of the
text. `over`, `under` and `about` say how the text compares. `published` needs the place in the publication, which has
to stand in the same cell, and its citation in the chapter. `setting` is for a number that the text itself makes up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

import torch
import torchvision

from resnet_edu.data.dataset import load
from resnet_edu.experiment.published import IMAGES
from resnet_edu.nets.models import get_model
from resnet_edu.probes.records import load_shipped
from resnet_edu.tracing.run import trace
from resnet_edu.training.recipe import Recipe

Numbers = float | Sequence[float]


@dataclass(frozen=True)
class Published:
    """Numbers that others have published.

    key:    in references.bib, and cited in the chapter; or an address that the same cell links to.
    where:  the words for the place, such as "table 2"; they stand in the same cell.
    values: as they stand there.
    """

    key: str
    where: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Setting:
    """Numbers that the text makes up, such as those of a made-up example; `why` says so."""

    why: str


@dataclass(frozen=True)
class Compared:
    """What a function gives, and how far it may be from what the text says, as shares of what the text says."""

    compute: Callable[[], Numbers]
    low: float
    high: float
    words: str


def over(compute: Callable[[], Numbers]) -> Compared:
    """The text says less than it is ("more than 100 million"), but not less than half of it."""
    return Compared(compute, 1.0, 2.0, "a little less than")


def under(compute: Callable[[], Numbers]) -> Compared:
    """The text says more than it is ("less than one percent"), but not more than ten times as much."""
    return Compared(compute, 0.1, 1.0, "a little more than")


def about(compute: Callable[[], Numbers], within: float = 0.1) -> Compared:
    """The text says "about": within a tenth, or another share, of what it is."""
    return Compared(compute, 1 - within, 1 + within, "about")


def published(key: str, where: str, *values: float) -> Published:
    """Numbers of a publication, at a place in it."""
    return Published(key, where, values)


def setting(why: str) -> Setting:
    """Numbers that the text makes up."""
    return Setting(why)


@dataclass(frozen=True)
class Quote:
    """A phrase of a chapter, with one number or more, and where these come from."""

    chapter: str
    phrase: str
    source: Callable[[], Numbers] | Compared | Published | Setting


# ---------------------------------------------------------------- what the functions below compute with


@cache
def traced(name: str, side: int = 224, **options: str) -> object:
    """Return the trace of a net of this package, or of torchvision's (`torchvision:vgg19`)."""
    with torch.device("meta"):
        builder, _, other = name.partition(":")
        net = getattr(torchvision.models, other)(weights=None) if other else get_model(builder, **options)
    return trace(net, (1, 3, side, side))


def macs(name: str, side: int = 224, **options: str) -> int:
    """Return the multiply-adds of a net for one image."""
    return traced(name, side, **options).total_macs


def params(name: str, **options: str) -> int:
    """Return the parameters of a net."""
    return traced(name, **options).total_params


PAPER = "he2016deep"
V1 = {"stride_on": "1x1"}

VGG, VGG16 = "torchvision:vgg19", "torchvision:vgg16"
RERUN = "https://github.com/akamaster/pytorch_resnet_cifar10"
REPORT = "https://github.com/facebookresearch/maskrcnn-benchmark/issues/643"
TABLE_1 = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}  # of the paper, in 10^9 multiply-adds
TABLE_2 = (27.94, 28.54, 27.88, 25.03)  # top-1 error: plain-18, plain-34, ResNet-18, ResNet-34
TABLE_3 = {"plain-34": 28.54, "A": 25.03, "B": 24.52, "C": 24.19, "VGG-16": 28.07, 50: 22.85, 101: 21.75, 152: 21.43}


def farthest_from_the_paper() -> float:
    """Return how many percent our multiply-adds are off those of the paper's table 1, at most."""
    ours = {depth: macs(f"resnet{depth}", **V1 if depth >= 50 else {}) for depth in TABLE_1}
    return 100 * max(abs(ours[depth] / 1e9 / claimed - 1) for depth, claimed in TABLE_1.items())


def convolutions(name: str) -> int:
    """Return the multiply-adds of a net's convolutions alone."""
    return sum(row.macs for row in traced(name).rows if row.kind == "Conv2d")


def linear_share(name: str) -> float:
    """Return which share of a net's parameters its linear layers have."""
    return sum(row.params for row in traced(name).rows if row.kind == "Linear") / params(name)


def resnet110_gradient() -> tuple[int, float]:
    """Return how many numbers the gradient of ResNet-110 has, and how many MB in float32."""
    count = sum(p.numel() for p in get_model("resnet110").parameters())
    return count, 4 * count / 1e6


def megabytes(images: int) -> float:
    """Return how many MB so many images of CIFAR-10 take."""
    return images * 3 * 32 * 32 / 1e6


def longer_kernel() -> tuple[float, float]:
    """Return a factor of a kernel's length, and by how much its gradient is shorter then, behind it a batch norm."""
    torch.manual_seed(0)
    x, wanted = torch.randn(8, 3, 8, 8, dtype=torch.float64), torch.randn(8, 4, 8, 8, dtype=torch.float64)
    norm, kernel = torch.nn.BatchNorm2d(4, eps=1e-12).double(), torch.randn(4, 3, 3, 3, dtype=torch.float64)

    def gradient(factor: float) -> float:
        weight = (factor * kernel).requires_grad_()
        (norm(torch.conv2d(x, weight, padding=1)) * wanted).sum().backward()
        return weight.grad.norm().item()

    return 100.0, gradient(1.0) / gradient(100.0)


def before_training(net: str, batch_norm: bool) -> dict[str, list[float]]:
    """Return what the explorer of gradients shows: the lengths at the first and the last convolution, seed by seed."""
    nets = load_shipped("gradient-study-digits").nets
    (entry,) = (e for e in nets if (e["net"], e["batch_norm"]) == (net, batch_norm))
    return entry["moments"][0]


def longer_without_edges() -> float:
    """Return how many times the first gradient of plain-56 is as long with circular padding, without batch norm.

    Before training, on a batch of the digits, in the seed where it is least.
    """
    digits = load("digits")
    pixels = digits.train_images[:128].float() / 255

    def first_gradient(padding: str, seed: int) -> float:
        torch.manual_seed(seed)
        net = get_model("plain56", in_channels=1, batch_norm=False)
        convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
        for conv in convolutions:
            conv.padding_mode = padding
        logits = net(pixels - pixels.mean(0))
        torch.nn.functional.cross_entropy(logits, digits.train_labels[:128]).backward()
        return convolutions[0].weight.grad.norm().item()

    return min(first_gradient("circular", seed) / first_gradient("zeros", seed) for seed in range(3))


def longest_first_gradient() -> float:
    """Return how many times the first gradient of plain-110 is as long as the last, in the seed where it is most."""
    found = before_training("plain110", True)
    return max(first / last for first, last in zip(found["first"], found["last"], strict=True))


QUOTES: list[Quote] = [
    # 1
    Quote("01", "100 times longer gets a gradient that is 100 times shorter", longer_kernel),
    Quote("01", "more than ten times the last one's", setting("a threshold that the question names")),
    Quote("01", "about 10⁻⁷ for 56 layers", about(lambda: median(before_training("plain56", False)["first"]), 0.6)),
    Quote("01", "more than 10,000 times longer before training", over(longer_without_edges)),
    Quote("01", "one to four million times the last", longest_first_gradient),
    Quote("01", "*(i)* 0.1% and 24%; *(ii)* 19% and 21%", setting("made-up results to be named")),
    Quote("01", "had 6% and 9%; *(iii)* 19% and 21%", setting("made-up results to be named")),
    Quote("01", "A training error of 19%", setting("the made-up result (iii)")),
    Quote("01", "more than one percentage point above that of plain-8", setting("the exercise's definition of worse")),
    Quote("01", "with these 200 steps", lambda: Recipe.digits().steps),
    # 2
    Quote(
        "02", "Option B adds less than one percent", under(lambda: 100 * (params("resnet34") / params("plain34") - 1))
    ),
    Quote("02", "| 28.54% | 25.03% | 24.52% | 24.19% |", published(PAPER, "table 3", 28.54, 25.03, 24.52, 24.19)),
    Quote("02", "From plain to A: 3.5 points", lambda: TABLE_3["plain-34"] - TABLE_3["A"]),
    Quote("02", "From A to C: less than one point", under(lambda: TABLE_3["A"] - TABLE_3["C"])),
    # 3
    Quote("03", "All within two percent", under(farthest_from_the_paper)),
    Quote("03", "but it is 3.7 times", lambda: macs("resnet18", 224) / macs("resnet18", 112)),
    Quote("03", "after five halvings 112 pixels are 3.5, rounded up", lambda: (112, 112 / 2**5)),
    Quote("03", "more than 100 million parameters in one layer", over(lambda: 512 * 7 * 7 * 4096 + 4096)),
    Quote("03", "512 · 1,000 weights", lambda: tuple(reversed(get_model("resnet34").fc.weight.shape))),
    # 4
    Quote("04", "86% of the parameters in the last row", lambda: 100 * linear_share(VGG)),
    Quote("04", "less than one percent of its work", under(lambda: 100 * (1 - convolutions(VGG) / macs(VGG)))),
    Quote(
        "04", "the difference is about one percent", about(lambda: 100 * (macs(VGG16) / convolutions(VGG16) - 1), 0.5)
    ),
    Quote("04", "| plain | 27.94% | 28.54% | | ResNet | 27.88% | 25.03% |", published(PAPER, "table 2", *TABLE_2)),
    # 5
    Quote("05", "About five percent more", about(lambda: 100 * (macs("resnet50", **V1) / macs("resnet34") - 1))),
    Quote("05", "The paper's table 1 says 3.6 and 3.8 billion", published(PAPER, "table 1", TABLE_1[34], TABLE_1[50])),
    Quote("05", "(288 to 17)", lambda: 2 * 9 * 4 * 4),  # two 3x3 from 4c to 4c channels, in units of c^2
    Quote("05", "a paper's 3.8 billion and a library's 4.1 billion", lambda: (TABLE_1[50], macs("resnet50") / 1e9)),
    Quote("05", "fell from 0.73 to 0.58", published(REPORT, "maintainers", 0.73, 0.58)),
    Quote(
        "05",
        "| 28.07% | 24.19% | 22.85% | 21.75% | 21.43% |",
        published(PAPER, "table 3", *(TABLE_3[key] for key in ("VGG-16", "C", 50, 101, 152))),
    ),
    Quote(
        "05",
        "more than 40 times the parameters",
        over(lambda: params("resnet18", stem="cifar", num_classes=10) / params("resnet20")),
    ),
    # 6
    Quote("06", "a gradient counts 0.9 times as much", lambda: Recipe.paper().momentum),
    Quote("06", "adds up to ten times itself", lambda: 1 / (1 - Recipe.paper().momentum)),
    Quote("06", "the paper starts at a rate of 0.01", lambda: Recipe.paper(110).warmup_lr),
    Quote("06", "lists 6.61% for ResNet-56", published(RERUN, "much-used repository", 6.61)),
    Quote("06", "got 7.36%", published(f"{RERUN}/issues/18", "issue 18", 7.36)),
    # 7
    Quote(
        "07",
        "45,000 of the training images to train on, 5,000 to decide on",
        published(PAPER, "section 4.2", 45_000, 5_000),
    ),
    Quote("07", "once more on all 50,000", lambda: IMAGES[0]),
    Quote("07", "truly worse by 0.2 points", setting("the made-up case of the question, computed below it")),
    Quote("07", "The middle 95% of these means", setting("what a bootstrap interval is said to be")),
    Quote(
        "07",
        "promises 95% and is right in less than 75%",
        lambda: (95, 100 * (1 - 2 * 0.5**3)),  # all three values on one side of the true mean: above, or below
    ),
    Quote("07", "65 minutes alone, 130 while it shares", lambda: (65, 2 * 65)),
    Quote("07", "40 runs instead of 1,000", lambda: 2 * 4 * 5 * 25),
    Quote("07", "8 networks with 25 seeds are 200 runs", lambda: 8 * 25),
    # pages
    Quote("notation", "224×224", lambda: (224, 224)),
    Quote("notation", "about 164 epochs of CIFAR-10's 50,000", lambda: (64_000 * 128 / IMAGES[0], IMAGES[0])),
    Quote("more-machines", "184 MB for CIFAR-10 (60,000 images", lambda: (megabytes(sum(IMAGES)), sum(IMAGES))),
    Quote("more-machines", "with 0.25, four runs", lambda: 1 / 4),
    Quote("more-machines", "10 x 20 x 5 = 1,000 runs", lambda: 10 * 20 * 5),
    Quote("more-machines", "A learning rate of 0.4", setting("the largest of the example above")),
    Quote("more-machines", "64,000 with `--recipe paper`", lambda: Recipe.paper().steps),
    Quote("more-machines", "on all 60,000 images", lambda: sum(IMAGES)),
    Quote(
        "more-machines",
        "64,000 x 0.01 + 64 x 5 = 960 seconds, and a thousand are 267 hours",
        lambda: (Recipe.paper().steps, 0.01, 64_000 * 0.01 + 64 * 5, 1000 * 960 / 3600),
    ),
    Quote("more-machines", "makes that 133 hours", lambda: 1000 * 960 / 3600 / 2),
    Quote("more-machines", "the same batch of 128", lambda: Recipe.paper().batch_size),
    Quote("more-machines", "not the 128 of the batch", lambda: Recipe.paper().batch_size),
    Quote("more-machines", '"with a mini-batch size of 128 on two GPUs"', published(PAPER, "CIFAR-10 nets", 128)),
    Quote("more-machines", "1,727,962 numbers for ResNet-110, 7 MB", resnet110_gradient),
]
