"""What the expressions behind numbers in the text may use: see `claims.py`.

macs, params, get_model   of a net by its name ("torchvision:vgg19" for torchvision's); as the tracer counts them
IMAGES                    training and test images of CIFAR-10
Recipe                    the package's recipes
gradients                 what the explorer of gradients shows, from the record of the study that comes with the package
shorter_gradient, longer_without_edges    two computations behind a sentence of chapter 1
median, and Python's abs, max, min, range, round, sum, zip
"""

from __future__ import annotations

from functools import cache
from statistics import median
from typing import Any

import torch
import torchvision

from resnet_edu.data import load
from resnet_edu.experiment.published import IMAGES
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
    """Return the gradient's length at the first or the last convolution before training, seed by seed."""
    nets = load_shipped("gradient-study-digits").nets
    (entry,) = (e for e in nets if (e["net"], e["batch_norm"]) == (net, batch_norm))
    return entry["moments"][0][place]


def shorter_gradient(times: float) -> float:
    """Return how many times shorter a kernel's gradient is if the kernel is longer, with a batch norm behind it."""
    torch.manual_seed(0)
    x, wanted = torch.randn(8, 3, 8, 8, dtype=torch.float64), torch.randn(8, 4, 8, 8, dtype=torch.float64)
    norm, kernel = torch.nn.BatchNorm2d(4, eps=1e-12).double(), torch.randn(4, 3, 3, 3, dtype=torch.float64)

    def length(factor: float) -> float:
        weight = (factor * kernel).requires_grad_()
        (norm(torch.conv2d(x, weight, padding=1)) * wanted).sum().backward()
        return weight.grad.norm().item()

    return length(1.0) / length(times)


def longer_without_edges() -> float:
    """Return how many times the first gradient of plain-56 without batch norm is as long with circular padding.

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


NAMES = {
    "__builtins__": {f.__name__: f for f in (abs, max, min, range, round, sum, zip)},
    **{
        f.__name__: f
        for f in (macs, params, get_model, Recipe, gradients, shorter_gradient, longer_without_edges, median)
    },
    "IMAGES": IMAGES,
}
