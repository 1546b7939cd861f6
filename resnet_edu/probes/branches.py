"""What a block's branch hands to the addition, measured in small nets that were trained on the digits.

One block of a net in three variants: as the paper has it, with a ReLU before the addition, and without a shortcut. The
numbers that tell them apart are plain values, for the block explorer. `python -m resnet_edu.probes.branches` makes the
record that comes with the package.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 2: the ReLU after the addition.
  [2] He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, section 4.1: a ReLU before the addition makes
      the branch non-negative, and the error of a 110-layer net rises from 6.61% to 7.84%.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.dataset import Batches, Dataset, load
from ..experiment.degradation import build_net
from ..nets.blocks import BasicBlock, PlainBlock
from ..support.files import read_json, write_atomic
from ..support.system import library_versions, now
from ..support.validate import one_of
from ..training.loop import train
from ..training.recipe import Recipe
from .subject import keeps_shape

VARIANTS = {
    "after": "ReLU after the addition, as in the paper",
    "before": "ReLU before the addition as well",
    "none": "no shortcut: a plain block",
}
RECORD = Path(__file__).resolve().parent.parent / "experiment" / "results" / "branches.json"
EDGES = np.linspace(-4, 4, 33)  # of the histogram's bars; 0 is one of them


def measure_branches(depth: int = 20, steps: int = 100, seed: int = 0, block: str = "layer2.1") -> dict[str, Any]:
    """Train a net on the digits in each of `VARIANTS`, and return what arrives at one block's addition.

    depth: of the nets, 6n+2. All three begin with the same weights and see the same batches.
    steps: of training, with the recipe of the digits.
    block: its path in the net. It must keep the shape, so that input and output can be compared value by value.

    Measured in eval mode on all test images: `edges` of the histogram and, for each variant, what `describe` returns
    and `test_error` in percent. One seed gives the same numbers again on one machine with as many threads. On a
    processor, `torch.set_flush_denormal(True)` makes it several times faster.

    Raises `ValueError` for a depth that is not 6n+2, or a block that is not there or changes the shape.
    """
    digits = load("digits")
    recipe = Recipe.digits(steps).replace(eval_every=steps)
    measured = []
    for variant in VARIANTS:
        net = build_net(f"{'plain' if variant == 'none' else 'resnet'}{depth}", digits, seed)
        module = _block(net, block)
        if variant == "before":
            for each in net.modules():
                if isinstance(each, BasicBlock):
                    each.bn2 = nn.Sequential(each.bn2, nn.ReLU())  # the branch's last layer, and a ReLU behind it
        history = train(net, digits, recipe, seed=seed)
        values = describe(*_run(net, module, digits, recipe))
        measured.append({"variant": variant, **values, "test_error": history.evaluations[-1].test_error})
    return {
        "dataset": digits.name,
        "images": len(digits.test_images),
        "depth": depth,
        "steps": steps,
        "seed": seed,
        "block": block,
        "edges": EDGES.tolist(),
        "measured": measured,
        "date": now(),
        "versions": library_versions(),
    }


def load_branches(path: Path = RECORD) -> dict[str, Any]:
    """Return the record that comes with the package: what `measure_branches()` returned when it was made."""
    return read_json(path)


def _block(net: nn.Module, path: str) -> nn.Module:
    """Return the block at `path`, if it is one that keeps the shape."""
    blocks = {n: m for n, m in net.named_modules() if isinstance(m, BasicBlock | PlainBlock) and keeps_shape(m)}
    return blocks[one_of("block", path, blocks)]


def _run(net: nn.Module, block: nn.Module, dataset: Dataset, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Return the block's input, its branch and its output (B, C, H, W) for all test images, in eval mode."""
    kept: dict[str, Tensor] = {}

    def at_block(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept["input"], kept["output"] = inputs[0].clone(), output.clone()

    def at_branch(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        kept["branch"] = output.clone()

    batches = Batches(dataset, recipe.normalize, torch.device("cpu"))
    images, _ = next(batches.evaluation("test", len(dataset.test_images)))
    with block.register_forward_hook(at_block), block.bn2.register_forward_hook(at_branch), torch.no_grad():
        net.eval()(images)
    return kept["input"], kept["branch"], kept["output"]


def describe(x: Tensor, branch: Tensor, y: Tensor) -> dict[str, Any]:
    """Return a block's numbers from its input `x`, its `branch` at the addition and its output `y`, equal in shape.

    values:   how many there are.
    counts:   of the branch's values other than 0 between `EDGES`; those beyond are counted in the outermost bars.
    zeros:    how many of them are exactly 0.
    negative: share of them below 0.
    lowered:  share of the output's values that are smaller than the input's.
    correlation: of output and input, 1 if the block hands its input on.
    input_mean, output_mean: over all values.
    """
    values = branch.flatten().double().numpy()
    inner = np.clip(values[values != 0], EDGES[0], EDGES[-1])
    pairs = torch.stack([x.flatten(), y.flatten()]).double()
    return {
        "values": values.size,
        "counts": np.histogram(inner, EDGES)[0].tolist(),
        "zeros": int((values == 0).sum()),
        "negative": float((values < 0).mean()),
        "lowered": float((y < x).double().mean()),
        "correlation": float(torch.corrcoef(pairs)[0, 1]),
        "input_mean": float(pairs[0].mean()),
        "output_mean": float(pairs[1].mean()),
    }


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    write_atomic(RECORD, (json.dumps(measure_branches()) + "\n").encode())
