"""The register of numbers in the prose that no cell of their chapter puts out, each with where it comes from.

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

import torch
import torchvision

from resnet_edu.models import get_model
from resnet_edu.recipe import Recipe
from resnet_edu.shipped import load_records
from resnet_edu.trace import trace

Numbers = float | Sequence[float]


@dataclass(frozen=True)
class Published:
    """Numbers that others have published.

    key:    in references.bib; cited in the chapter.
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


def final(study: str, net: str, key: str = "train_error") -> list[float]:
    """Return what the shipped records of a study say of a net at the end, in percent, seed after seed."""
    return [record.final[key] for record in load_records(study) if record.net == net]


PAPER = "he2016deep"
V1 = {"stride_on": "1x1"}

QUOTES: list[Quote] = [
    # 2
    Quote("02", "Option B adds less than one percent", under(lambda: 100 * (params("resnet34") / params("plain34") - 1))),
    Quote("02", "| 28.54% | 25.03% | 24.52% | 24.19% |", published(PAPER, "table 3", 28.54, 25.03, 24.52, 24.19)),
    Quote("02", "From plain to A: 3.5 points", lambda: 28.54 - 25.03),
    Quote("02", "From A to C: less than one point", under(lambda: 25.03 - 24.19)),
]
