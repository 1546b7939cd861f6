"""The mistakes that blocks are known for, each as a computation: whose numbers a learner gets says which one it is.

Scope: basic blocks, plain blocks and bottlenecks of the package, computed with one thing wrong.

Sources
  [1] Published code: ReLU before the addition, projections without batch norm, wrong strides (see chapter 2).
  [2] He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, figure 4: the orders that were tried.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Mistakes = list[tuple[str, Callable[[nn.Module, Tensor], Tensor]]]

_ANY = {  # of every block of ours
    "no relu 1": "the ReLU between the first two convolutions is missing: both together are one linear map",
    "no last relu": "the last ReLU is missing: the block passes on negative values",
    "last bn": "the last batch normalisation is not used on the way: is it defined and never called?",
    "first bn": "the first batch normalisation is not used on the way: is it defined and never called?",
    "same bn": "the first batch normalisation is used in two places, and another one never: each has its statistics",
    "relu, bn": "ReLU comes before batch normalisation; the paper normalises first, then cuts off what is negative",
    "bn, relu, conv": "batch normalisation and ReLU come before each convolution; here they are to come after it",
    "leaky": "the activation passes on a share of the negative values: it is not ReLU",
    "gelu": "the activation is smooth around zero: it is not ReLU",
    "sigmoid": "the last activation squeezes its values between 0 and 1: it is not ReLU",
    "late stride": "another convolution has the stride; the first 3x3 of the main path is to have it",
}
_RESIDUAL = {
    "early relu": "there is a ReLU on the branch before the addition: the branch can only add, never take away",
    "early relu only": (
        "the last ReLU comes before the addition. It belongs after it: before it, the branch can only add, never "
        "take away, and what the block passes on is not cut off"
    ),
    "no addition": "the addition is forgotten: the shortcut does not reach the output",
    "no addition, no relu": "the addition is forgotten, and so is the last ReLU",
    "branch twice": "the branch is added to itself: x was overwritten on the way, the input is gone at the addition",
    "from the middle": (
        "the shortcut begins after the first layers and not at the block's input: x was overwritten on the way"
    ),
    "from the first conv": (
        "the shortcut begins after the first convolution and not at the block's input: x was overwritten on the way"
    ),
    "minus": "the shortcut is subtracted from the branch, and it is to be added",
    "branch from shortcut": "the branch is subtracted from the shortcut, and it is to be added",
    "product": "the two branches are multiplied, and they are to be added",
    "mean": "the mean of the two branches is taken, and their sum is wanted",
    "added twice": "the shortcut is added twice",
    "projection bn": "the projection's batch normalisation is not used: is it defined and never called?",
    "projection relu": "there is a ReLU on the shortcut; it should bring the input to the addition unchanged in sign",
    "shortcut relu": "a ReLU cuts off the negative part of the input on its way to the addition",
    "projection behind": (
        "the shortcut's projection does not get the block's input, but what the first layers made of it"
    ),
}
_PLAIN = {"addition": "the input is added to the output; a plain block has no shortcut"}
_BOTTLENECK = {
    "no relu 2": "the ReLU between the second and the third convolution is missing",
    "early stride": (
        "the first 1x1 convolution has the stride, as in the paper (version 1); here the 3x3 is to have it (v1.5)"
    ),
    "middle stride": "the 3x3 convolution has the stride (v1.5); as in the paper, the first 1x1 is to have it",
    "late stride": "the last 1x1 convolution has the stride",
}


def mistakes_of(block: nn.Module) -> Mistakes:
    """Return the known mistakes of a block: what to say, and a function that computes the block with it."""
    found = dict(_ANY)
    found.update(_RESIDUAL if hasattr(block, "downsample") else _PLAIN)
    if hasattr(block, "conv3"):
        found.update(_BOTTLENECK)
    return [(text, functools.partial(compute, mistake=key)) for key, text in found.items()]


def compute(block: nn.Module, x: Tensor, mistake: str) -> Tensor:
    """Return what a block in training mode computes with a mistake in it ("" for none); the block stays as it is."""
    layers = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    if hasattr(block, "conv3"):
        layers.append((block.conv3, block.bn3))
    act = {"leaky": F.leaky_relu, "gelu": F.gelu}.get(mistake, torch.relu)
    strides = _strides([conv for conv, _ in layers], mistake)
    out, stages = x, []
    for i, ((conv, bn), stride) in enumerate(zip(layers, strides, strict=True)):
        last = i == len(layers) - 1
        if mistake == "bn, relu, conv":
            out = F.conv2d(act(normal(bn, out)), conv.weight, None, stride, conv.padding)
            continue
        out = F.conv2d(out, conv.weight, None, stride, conv.padding)
        stages.append(out)
        if mistake == "relu, bn" and not last:
            out = normal(bn, act(out))
        elif not ((mistake == "first bn" and i == 0) or (mistake == "last bn" and last)):
            out = normal(block.bn1 if mistake == "same bn" else bn, out)
        if not last and mistake not in (f"no relu {i + 1}", "relu, bn"):
            out = act(out)
        stages.append(out)
    if not hasattr(block, "downsample"):
        out = out + x if mistake == "addition" else out
        return out if mistake in ("no last relu", "bn, relu, conv") else _last(out, act, mistake)
    return _joined(block, x, out, stages, act, mistake)


def _joined(block: nn.Module, x: Tensor, out: Tensor, stages: list[Tensor], act: Callable, mistake: str) -> Tensor:
    """Return the end of a residual block: shortcut, addition, ReLU."""
    start = {"from the middle": lambda: stages[1], "from the first conv": lambda: stages[0]}.get(mistake, lambda: x)()
    same = block.downsample is None
    if mistake == "projection behind" and isinstance(block.downsample, nn.Sequential):
        conv, bn = block.downsample
        start = normal(bn, F.conv2d(stages[1], conv.weight))
    elif not same and not isinstance(block.downsample, nn.Sequential):
        start = block.downsample(start)
    elif not same and not mistake.startswith("from"):
        conv, bn = block.downsample
        start = F.conv2d(x, conv.weight, None, conv.stride)
        start = start if mistake == "projection bn" else normal(bn, start)
    if mistake == ("shortcut relu" if same else "projection relu"):
        start = torch.relu(start)
    if mistake in ("early relu", "early relu only"):
        out = torch.relu(out)
    total = {
        "no addition": lambda: out,
        "no addition, no relu": lambda: out,
        "branch twice": lambda: out + out,
        "minus": lambda: out - start,
        "branch from shortcut": lambda: start - out,
        "product": lambda: out * start,
        "mean": lambda: (out + start) / 2,
        "added twice": lambda: out + 2 * start,
    }.get(mistake, lambda: out + start)()
    bare = ("no last relu", "early relu only", "no addition, no relu", "bn, relu, conv")
    return total if mistake in bare else _last(total, act, mistake)


def _last(out: Tensor, act: Callable, mistake: str) -> Tensor:
    return torch.sigmoid(out) if mistake == "sigmoid" else act(out)


def _strides(convs: list[nn.Conv2d], mistake: str) -> list[int]:
    """Return the stride of each convolution of the main path."""
    strides = [conv.stride[0] for conv in convs]
    places = {"early stride": 0, "middle stride": 1, "late stride": len(convs) - 1}
    if mistake not in places:
        return strides
    return [max(strides) if i == places[mistake] else 1 for i in range(len(convs))]


def normal(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return batch normalisation by the statistics of the batch, without a change of the running ones."""
    return F.batch_norm(x, None, None, bn.weight, bn.bias, training=True, eps=bn.eps)
