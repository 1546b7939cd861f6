"""What the expressions behind numbers in the text may use: see `claims.py`.

macs, params, get_model   of a net by its name ("torchvision:vgg19" for torchvision's); as the tracer counts them
IMAGES                    training and test images of CIFAR-10
Recipe                    the package's recipes
gradients                 what the explorer of gradients shows, from the record of the study that comes with the package
seconds                   that a forward pass takes, for one image or 32, as the record that comes along has them
cost                      what a bug of chapter 10 costs, as the chapter's record has it
load_bugs, load_grid, load_record, load_records   the records that come with the package
median, and Python's abs, max, min, range, round, sum, zip
"""

from __future__ import annotations

import json
from functools import cache
from statistics import fmean, median
from typing import Any

import torch
import torchvision

from resnet_edu.experiment import load_bugs, load_grid, load_records
from resnet_edu.experiment.published import IMAGES
from resnet_edu.experiment.shipped import RESULTS, load_record
from resnet_edu.nets import get_model
from resnet_edu.probes import load_shipped
from resnet_edu.tracing import Trace, trace
from resnet_edu.training import Recipe


@cache
def traced(name: str, side: int, **options: Any) -> Trace:
    """Return the trace of a net for one image of `side` x `side` pixels."""
    with torch.device("meta"):
        builder, _, other = name.partition(":")
        net = getattr(torchvision.models, other)(weights=None) if other else get_model(builder, **options)
    return trace(net, (1, 3, side, side))


def macs(name: str, side: int = 224, kind: str = "", **options: Any) -> int:
    """Return the multiply-adds of a net for one image, or those of one kind of its layers ("Conv2d")."""
    return sum(row.macs for row in traced(name, side, **options).rows if kind in ("", row.kind))


def params(name: str, kind: str = "", **options: Any) -> int:
    """Return the parameters of a net, or those of one kind of its layers ("Linear")."""
    return sum(row.params for row in traced(name, 224, **options).rows if kind in ("", row.kind))


def gradients(net: str, place: str, batch_norm: bool = True) -> list[float]:
    """Return the gradient's norm at the first or the last convolution before training, seed by seed."""
    nets = load_shipped("gradient-study-digits").nets
    (entry,) = (e for e in nets if (e["net"], e["batch_norm"]) == (net, batch_norm))
    return entry["moments"][0][place]


def seconds(net: str, batch: int) -> float:
    """Return the shortest time that was measured of a forward pass ("VGG-19", 1 or 32 images)."""
    return min(json.loads((RESULTS / "forward.json").read_text())["nets"][net]["seconds"][str(batch)])


def cost(bug: str, worse: bool = False) -> float:
    """Return the mean cost of a bug (percentage points) in its mild setting or in its worse one."""
    return fmean(load_bugs()["costs"][bug][worse])


NAMES = {
    "__builtins__": {f.__name__: f for f in (abs, max, min, range, round, sum, zip)},
    **{f.__name__: f for f in (macs, params, gradients, seconds, cost)},
    **{f.__name__: f for f in (get_model, Recipe, load_bugs, load_grid, load_record, load_records, median)},
    "IMAGES": IMAGES,
}
