"""The known mistakes of blocks, each as a computation: a learner's mistake is the one that gives the learner's numbers.

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

from .compare import Mistakes

_ANY_BLOCK = {
    "no relu 1": "the ReLU between the first two convolutions is missing: both together are one linear map",
    "no last relu": "the last ReLU is missing: the block passes on negative values",
    "last bn": "the last batch normalisation is not used: is it defined and never called?",
    "first bn": "the first batch normalisation is not used: is it defined and never called?",
    "same bn": "the first batch normalisation is used in two places, and another one never: each has its statistics",
    "relu, bn": "ReLU comes before batch normalisation; the paper normalises first",
    "bn, relu, conv": "batch normalisation and ReLU come before each convolution; here they come after it",
    "leaky": "the activation passes on a share of the negative values: it is not ReLU",
    "gelu": "the activation is smooth around zero: it is not ReLU",
    "sigmoid": "the last activation squeezes its values between 0 and 1: it is not ReLU",
    "late stride": "another convolution has the stride; the first 3x3 of the main path should have it",
}
_RESIDUAL = {
    "early relu": "there is a ReLU on the branch before the addition: the branch can only add, never take away",
    "early relu only": "the last ReLU comes before the addition: the branch can only add. It belongs after it",
    "no addition": "the addition is forgotten: the shortcut does not reach the output",
    "no addition, no relu": "the addition is forgotten, and so is the last ReLU",
    "branch twice": "the branch is added to itself: x was overwritten on the way",
    "from the middle": "the shortcut begins after the first layers, not at the input: x was overwritten on the way",
    "from the first conv": "the shortcut begins after the first convolution, not at the input: x was overwritten",
    "minus": "the shortcut is subtracted from the branch; it should be added",
    "branch from shortcut": "the branch is subtracted from the shortcut; it should be added",
    "product": "the two branches are multiplied; they should be added",
    "mean": "the mean of the two branches is taken; their sum is wanted",
    "added twice": "the shortcut is added twice",
    "projection bn": "the projection's batch normalisation is not used: is it defined and never called?",
    "projection relu": "there is a ReLU on the shortcut, which cuts off what is negative",
    "shortcut relu": "a ReLU cuts off the negative part of the input on its way to the addition",
    "projection behind": "the projection gets what the first layers made, not the block's input",
}
_BOTTLENECK = {
    "no relu 2": "the ReLU between the second and the third convolution is missing",
    "early stride": "the first 1x1 convolution has the stride (version 1, as in the paper); here the 3x3 has it (v1.5)",
    "middle stride": "the 3x3 convolution has the stride (v1.5); as in the paper, the first 1x1 should have it",
    "late stride": "the last 1x1 convolution has the stride",
}


def mistakes_of(block: nn.Module) -> Mistakes:
    """Return the known mistakes of a block of the package."""
    known = _ANY_BLOCK | _RESIDUAL
    if hasattr(block, "conv3"):
        known |= _BOTTLENECK
    return {sentence: functools.partial(compute, mistake=key) for key, sentence in known.items()}


def compute(block: nn.Module, x: Tensor, mistake: str) -> Tensor:
    """Return what a block in training mode computes with a mistake in it; the block stays as it is.

    mistake: a key of the tables above.
    """
    layers = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    if hasattr(block, "conv3"):
        layers.append((block.conv3, block.bn3))
    strides = [conv.stride[0] for conv, _ in layers]
    moved = {"early stride": 0, "middle stride": 1, "late stride": len(layers) - 1}
    if mistake in moved:
        strides = [max(strides) if i == moved[mistake] else 1 for i in range(len(layers))]
    relu = {"leaky": F.leaky_relu, "gelu": F.gelu}.get(mistake, torch.relu)
    out, stages = x, []
    for i, ((conv, bn), stride) in enumerate(zip(layers, strides, strict=True)):
        last = i == len(layers) - 1
        if mistake == "bn, relu, conv":
            out = F.conv2d(relu(batch_norm(bn, out)), conv.weight, None, stride, conv.padding)
            continue
        out = F.conv2d(out, conv.weight, None, stride, conv.padding)
        stages.append(out)
        if mistake == "relu, bn" and not last:
            out = batch_norm(bn, relu(out))
        elif not ((mistake == "first bn" and i == 0) or (mistake == "last bn" and last)):
            out = batch_norm(block.bn1 if mistake == "same bn" else bn, out)
        if not last and mistake not in (f"no relu {i + 1}", "relu, bn"):
            out = relu(out)
        stages.append(out)
    out = _add_shortcut(block.downsample, x, out, stages, mistake)
    if mistake in ("no last relu", "early relu only", "no addition, no relu", "bn, relu, conv"):
        return out
    return torch.sigmoid(out) if mistake == "sigmoid" else relu(out)


def _add_shortcut(shortcut: nn.Module | None, x: Tensor, out: Tensor, stages: list[Tensor], mistake: str) -> Tensor:
    """Return the addition at the end of a residual block; `stages` are the values after each layer of its branch."""
    start = x
    if mistake in ("from the middle", "from the first conv"):
        start = stages[1 if mistake == "from the middle" else 0]
    if isinstance(shortcut, nn.Sequential):
        conv, bn = shortcut
        if mistake == "projection behind":
            start = batch_norm(bn, F.conv2d(stages[1], conv.weight))
        elif start is x:
            start = F.conv2d(x, conv.weight, None, conv.stride)
            start = start if mistake == "projection bn" else batch_norm(bn, start)
    elif shortcut is not None:
        start = shortcut(start)
    if mistake == ("shortcut relu" if shortcut is None else "projection relu"):
        start = torch.relu(start)
    if mistake in ("early relu", "early relu only"):
        out = torch.relu(out)
    if mistake.startswith("no addition"):
        return out
    sums: dict[str, Callable[[], Tensor]] = {
        "branch twice": lambda: out + out,
        "minus": lambda: out - start,
        "branch from shortcut": lambda: start - out,
        "product": lambda: out * start,
        "mean": lambda: (out + start) / 2,
        "added twice": lambda: out + 2 * start,
    }
    return sums.get(mistake, lambda: out + start)()


def batch_norm(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return batch normalisation by the statistics of the batch, without a change of the running ones."""
    return F.batch_norm(x, None, None, bn.weight, bn.bias, training=True, eps=bn.eps)
