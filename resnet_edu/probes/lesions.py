"""What a single block matters, and what the order of the blocks matters.

One block at a time is left out, and blocks of one shape are exchanged; no training in between. Of a residual block the
branch is left out and the shortcut stays; a plain block can only be left out where it keeps the shape.

Source
  [1] Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016:
      section 4.1 (single lesions, with VGG for comparison) and 4.3 (reordering, measured by Kendall's tau).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..nets.blocks import PlainBlock, PreActBlock
from ..support.validate import whole, wholes
from .records import LesionRecord, finite
from .subject import Subject, blocks_of, keeps_shape, loss_and_error


def lesions(
    subject: Subject, *, images: int | None = 2000, swaps: Sequence[int] = (1, 2, 4, 8, 16), trials: int = 5
) -> LesionRecord:
    """Return loss and error without each block in turn, and with blocks exchanged, in eval mode ([1]).

    images: of the test set, drawn by the subject's seed; None for all.
    swaps:  for each number of them, `trials` orders are drawn by the seed; each swap exchanges two blocks of one stage
            that keep the shape. A net that has no such two gets no shuffles.

    Raises `TypeError` for another net than a `ResNet`, `ValueError` for a number out of range.
    """
    swaps = wholes("swaps", swaps)
    whole("trials", trials)
    start = time.perf_counter()
    with subject.examined() as net:
        stages = blocks_of(net)
        batches = subject.batches("test", images)

        def measure() -> dict[str, float | None]:
            loss, error = loss_and_error(net, batches)
            return {"loss": finite(loss), "error": error}

        whole_net, drops = measure(), []
        for name, stage in stages.items():
            for i, block in enumerate(stage):
                without = {"loss": None, "error": None}
                if not isinstance(block, PlainBlock) or keeps_shape(block):
                    stage[i] = nn.Identity() if isinstance(block, PlainBlock) else Bypass(block)
                    without = measure()
                    stage[i] = block
                drops.append({"block": f"{name}.{i}", **without})
        shuffles = _shuffles(stages, swaps, trials, subject.generator(), measure)
    return LesionRecord(**whole_net, drops=drops, shuffles=shuffles, **subject.header("test", batches, start))


class Bypass(nn.Module):
    """What is left of a residual block without its branch: the shortcut, and the ReLU after the addition if any."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(shortcut(x)), or shortcut(x) for a pre-activation block."""
        block = self.block
        if isinstance(block, PreActBlock):
            return x if block.downsample is None else block.downsample(block.relu(block.bn1(x)))
        return block.relu(x if block.downsample is None else block.downsample(x))


def _shuffles(
    stages: dict[str, nn.Sequential],
    swaps: Sequence[int],
    trials: int,
    generator: torch.Generator,
    measure: Callable[[], dict[str, float | None]],
) -> list[dict[str, Any]]:
    """Exchange blocks and measure, `trials` times for each number of `swaps`; the last order is left in place."""
    places = [(stage, i) for stage in stages.values() for i in range(len(stage))]
    blocks = [stage[i] for stage, i in places]
    pairs = [
        (a, b)
        for b in range(len(places))
        for a in range(b)
        if places[a][0] is places[b][0] and keeps_shape(blocks[a]) and keeps_shape(blocks[b])
    ]
    if not pairs:
        return []
    from scipy.stats import kendalltau  # here, because it takes a while to import

    found = []
    for number in swaps:
        for _ in range(trials):
            order = list(range(len(places)))
            for pick in torch.randint(len(pairs), (number,), generator=generator).tolist():
                a, b = pairs[pick]
                order[a], order[b] = order[b], order[a]
            for (stage, i), which in zip(places, order, strict=True):
                stage[i] = blocks[which]
            tau = round(float(kendalltau(range(len(order)), order).statistic), 4)
            found.append({"swaps": number, "tau": tau, **measure()})
    return found
