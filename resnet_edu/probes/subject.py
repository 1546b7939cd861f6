"""What all probes share: a net and the images it is asked with, a copy to work on, and a record's header.

No probe touches the net it is given: each works on a deep copy, so that parameters, buffers, gradients, flags and hooks
stay as they were whatever happens. The global random state is put back as well.
"""

import contextlib
import copy
import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Batches, Dataset, Normalize
from ..nets.blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock
from ..nets.models import ResNet
from ..support.system import code_version, device_name, library_versions, now, random_states_kept, resolve_device
from ..support.validate import of_type, whole
from ..training.loop import check_output, evaluation_batch
from ..training.step import exact

Batch = tuple[Tensor, Tensor]
BLOCKS = (PlainBlock, BasicBlock, Bottleneck, PreActBlock)  # whose parts and shortcuts are known
_code = functools.cache(code_version)  # what is loaded stays as it is, while a checkout may move on


@dataclass(frozen=True, eq=False)
class Subject:
    """A net, and the images that it is asked with.

    name:      what records and figures call the net, such as "plain56".
    net:       (B, C, H, W) -> (B, classes); it is left exactly as it is.
    dataset:   images and labels; give the one that the net was trained on.
    weights:   where the net's weights came from, for the record.
    normalize: as in the net's training; see `Recipe`. Or the (mean, deviation) that its file has.
    seed:      of whatever a probe draws: images, directions, orders.
    """

    name: str
    net: nn.Module
    dataset: Dataset
    weights: str = "as given"
    normalize: Normalize = "per_pixel_mean"
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        of_type("net", self.net, nn.Module), of_type("dataset", self.dataset, Dataset), whole("seed", self.seed, 0)

    @contextlib.contextmanager
    def examined(self) -> Iterator[nn.Module]:
        """Yield a copy of the net, in eval mode, on the device; frozen parameters stay frozen."""
        device = resolve_device(self.device)
        with random_states_kept(), torch.enable_grad(), exact(device, "float32"):
            torch.default_generator.manual_seed(self.seed)
            yield copy.deepcopy(self.net).to(device).eval()

    def generator(self) -> torch.Generator:
        """Return a fresh source of random numbers, on the processor so that it gives the same on every device."""
        return torch.Generator().manual_seed(self.seed)

    def batches(self, part: str, count: int | None = None, size: int | None = None) -> list[Batch]:
        """Return normalised images (B, C, H, W) and labels (B,) of "train" or "test", in batches.

        size:  of a batch; None for what `evaluation_batch` says.
        count: how many images, drawn by the seed; None, or more than there are, for all of them in their order.

        Raises `ValueError` for a count below 1, or if the net's output does not fit the classes.
        """
        source = Batches(self.dataset, self.normalize, resolve_device(self.device))
        images, labels = getattr(source, part)
        size = size or evaluation_batch(self.dataset.shape, source.device)
        if count is not None and whole("images", count) < len(images):
            chosen = torch.randperm(len(images), generator=self.generator())[:count].to(images.device)
            images, labels = images[chosen], labels[chosen]
        found = [(source.normalized(images[i : i + size]), labels[i : i + size]) for i in range(0, len(images), size)]
        with self.examined() as net:
            check_output(net, found[0][0][:2], len(self.dataset.classes))
        return found

    def header(self, part: str, batches: Sequence[Batch], start: float) -> dict[str, Any]:
        """Return the fields that all records have; `start` is `time.perf_counter()` at the probe's start."""
        device = resolve_device(self.device)
        return {
            "net": self.name,
            "weights": self.weights,
            "parameters": sum(p.numel() for p in self.net.parameters()),
            "batch_norm": any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.net.modules()),
            "dataset": {
                "name": self.dataset.name,
                "fingerprint": self.dataset.fingerprint,
                "part": part,
                "images": sum(len(labels) for _, labels in batches),
            },
            "seed": self.seed,
            "device": {"type": device.type, "name": device_name(device)},
            "threads": torch.get_num_threads(),
            "seconds": round(time.perf_counter() - start, 3),
            "date": now(),
            "versions": library_versions(),
            "code": dict(_code()),
        }


@torch.no_grad()
def loss_and_error(net: nn.Module, batches: Sequence[Batch]) -> tuple[float, float]:
    """Return mean cross-entropy (nats) and error (percent) of `net`, in the mode that it is in.

    Either may be inf or NaN for weights far from any sensible ones; a logit that is NaN counts as an error.
    """
    total, right, seen = 0.0, 0, 0
    for images, labels in batches:
        logits = net(images).float()
        total += F.cross_entropy(logits, labels, reduction="sum").item()
        right += int((logits.argmax(1) == labels)[logits.isfinite().all(1)].sum())
        seen += len(labels)
    return total / seen, 100 * (seen - right) / seen


def weighted_layers(net: nn.Module) -> dict[str, nn.Module]:
    """Return name -> module of every `Conv2d` and `Linear`, shortcuts included, in the order of their definition."""
    return {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def blocks_of(net: nn.Module) -> dict[str, nn.Sequential]:
    """Return stage name -> its blocks. Raises `TypeError` for a net, or a block in it, that is not of this package."""
    if not isinstance(net, ResNet):
        raise TypeError(f"blocks can be found in nets of resnet_edu.nets only, but this is a {type(net).__name__}")
    found = {name: getattr(net, name) for name in net.stages}
    for block in (block for stage in found.values() for block in stage):
        if not isinstance(block, BLOCKS):
            raise TypeError(f"the blocks of resnet_edu.nets are known here only, but this is a {type(block).__name__}")
    return found


def keeps_shape(block: nn.Module) -> bool:
    """Return whether a block's output has the shape of its input, so that it can be left out or moved."""
    layers = [m for n, m in block.named_modules() if isinstance(m, nn.Conv2d) and "downsample" not in n]
    return layers[0].in_channels == layers[-1].out_channels and all(m.stride == (1, 1) for m in layers)
