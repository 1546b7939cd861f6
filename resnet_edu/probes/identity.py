"""Blocks that do nothing, put into a trained net: a deeper net exists that is just as good.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 1: "There exists a solution by
      construction to the deeper model: the added layers are identity mapping, and the other layers are copied".
"""

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..nets.blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock
from ..nets.models import init_weights, remove_batch_norm
from ..support.validate import whole, wholes
from .records import IdentityRecord, finite
from .subject import Batch, Subject, blocks_of, loss_and_error, weighted_layers


def identity(subject: Subject, added: Sequence[int] = (1, 2, 4), *, images: int | None = 2000) -> IdentityRecord:
    """Return the losses of a net with so many blocks that do nothing added to the end of each stage, in eval mode.

    images: of the training set and of the test set, drawn by the subject's seed; None for all.

    Raises `TypeError` for another net than a `ResNet`, `ValueError` for a number below 1.
    """
    added = wholes("added", added)
    start = time.perf_counter()
    with subject.examined() as net:
        blocks_of(net)
        parts = {part: subject.batches(part, images) for part in ("train", "test")}
        before = _logits(net, parts)
        points = []
        for number in (0, *added):
            deeper = insert_identities(net, number)
            point = {"added": number, "depth": sum("downsample" not in name for name in weighted_layers(deeper))}
            point["parameters"] = sum(p.numel() for p in deeper.parameters())
            for part, batches in parts.items():
                loss, error = loss_and_error(deeper, batches)
                point |= {f"{part}_loss": finite(loss), f"{part}_error": error}
            changes = [a - b for a, b in zip(_logits(deeper, parts), before, strict=True)]
            points.append({**point, "change": _largest(changes)})
    header = subject.header("both", parts["train"] + parts["test"], start)
    return IdentityRecord(points=points, logit=_largest(before), **header)


def insert_identities(net: nn.Module, added: int) -> nn.Module:
    """Return a copy of `net` with `added` blocks that do nothing at the end of each stage; exact in eval mode.

    A residual block does nothing if the last scale of its branch is 0 (or the last kernel, where no batch norm follows
    it). A plain block does nothing if its kernels hand each channel on and its batch norms, in eval mode, divide by 1;
    its ReLUs do nothing to an input that is not negative, and it comes out of a ReLU.

    In training mode the batch norms of a plain block take the batch's own statistics, and it is no identity any more.
    """
    whole("added", added, 0)
    deeper = copy.deepcopy(net)
    for stage in blocks_of(deeper).values():
        for _ in range(added):
            stage.append(identity_block(stage[-1]))
    return deeper


@torch.no_grad()
def identity_block(after: nn.Module) -> nn.Module:
    """Return a block that does nothing to the output of the block `after`, of its kind, mode and device."""
    weight = after.conv1.weight
    channels = weight.shape[0] * after.expansion
    batch_norm = isinstance(after.bn1, nn.BatchNorm2d)
    shortcut = {} if isinstance(after, PlainBlock) else {"shortcut": "identity"}
    with torch.random.fork_rng(devices=[]):
        block = type(after)(channels, weight.shape[0], **shortcut)
    init_weights(block, torch.Generator().manual_seed(0))  # a branch that is switched off can still learn
    if not batch_norm:
        remove_batch_norm(block)
    if isinstance(block, PlainBlock):
        for conv in (block.conv1, block.conv2):
            nn.init.dirac_(conv.weight)
        for norm in (block.bn1, block.bn2):
            if batch_norm:
                norm.running_var.fill_(1 - norm.eps)  # it divides by the root of this plus eps
    elif isinstance(block, PreActBlock):
        nn.init.zeros_(block.conv2.weight)
    elif isinstance(block, BasicBlock | Bottleneck):
        last = "3" if isinstance(block, Bottleneck) else "2"
        nn.init.zeros_(getattr(block, ("bn" if batch_norm else "conv") + last).weight)
    return block.to(weight.device, weight.dtype).train(after.training)


@torch.no_grad()
def _logits(net: nn.Module, parts: dict[str, list[Batch]]) -> list[Tensor]:
    return [net(images) for batches in parts.values() for images, _ in batches]


def _largest(batches: list[Tensor]) -> float | None:
    """Return the largest absolute value, or None where there is one that is not finite."""
    return finite(torch.stack([values.abs().max() for values in batches]).max())  # Python's max() passes over NaN
