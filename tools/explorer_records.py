"""Make the records that the explorers show, in the package: `python tools/explorer_records.py`, about ten minutes.

Gradients of fresh nets of many depths, trained nets with identity blocks, and what a block's branch hands to the
addition. The first two are probe records. The third is of one block in three variants: as the paper has it, with a ReLU
before the addition, and without a shortcut.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 2: the ReLU after the addition.
  [2] He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, section 4.1: a ReLU before the addition makes
      the branch non-negative, and the error of a 110-layer net rises from 6.61% to 7.84%.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_edu import probes
from resnet_edu.data.dataset import Batches, Dataset, load
from resnet_edu.experiment.degradation import build_net
from resnet_edu.experiment.shipped import load_record, load_study, load_trained
from resnet_edu.nets.blocks import BasicBlock, PlainBlock
from resnet_edu.nets.models import split_name
from resnet_edu.probes.records import BRANCHES, BRANCHES_FILE, SHIPPED, GradientRecord, GradientStudy, finite
from resnet_edu.probes.subject import Subject, keeps_shape
from resnet_edu.support.files import write_atomic
from resnet_edu.support.system import available_cores, library_versions, now, prepare_process
from resnet_edu.support.validate import one_of
from resnet_edu.training import Recipe, train

DEPTHS = (8, 14, 20, 32, 44, 56, 110)
STEPS = (0, 1, 20)
DIGITS = 4  # of a study's numbers
EDGES = np.linspace(-4, 4, 33)  # of the histogram's bars; 0 is one of them


def gradient_study(
    dataset: Dataset,
    depths: Sequence[int] = DEPTHS,
    steps: Sequence[int] = STEPS,
    *,
    seeds: int = 3,
    lr: float = 0.1,
    batch_size: int = 128,
) -> GradientStudy:
    """Return gradients of fresh plain and residual nets of the CIFAR family, with and without batch norm.

    depths: 6n+2 each. steps: of training, ascending from 0. seeds: how many, from 0 on. Numbers are rounded to `DIGITS`
    significant digits.
    """
    recipe = Recipe(max(1, steps[-1]), batch_size=batch_size, lr=lr)
    start = time.perf_counter()
    nets = []
    names = [(f"{kind}{d}", bn) for bn in (True, False) for kind in ("plain", "resnet") for d in depths]
    for name, batch_norm in names:
        records = []
        for seed in range(seeds):
            net = build_net(name, dataset, seed, batch_norm=batch_norm)
            subject = Subject(name, net, dataset, "untrained", seed=seed)
            records.append(probes.gradients(subject, steps, recipe=recipe, images=batch_size))
        nets.append(_condensed(records, steps))
    header = subject.header("train", subject.batches("train", batch_size), start)
    header |= {"net": "many", "parameters": None, "batch_norm": None, "seed": 0}  # each net has its own
    training = records[0].training or {}
    return GradientStudy(training=training, steps=list(steps), seeds=list(range(seeds)), nets=nets, **header)


def _condensed(records: list[GradientRecord], steps: Sequence[int]) -> dict[str, Any]:
    """Return one net's entry of a study, from a record for each seed."""
    kind, depth = split_name(records[0].net)
    last = max(i for i, name in enumerate(records[0].layers) if "conv" in name)
    moments = []
    for step in steps:
        found = [next((m for m in record.moments if m["step"] == step), None) for record in records]
        norms = list(zip(*(m["norms"] for m in found if m), strict=True))  # (layers, seeds that are left)
        moments.append(
            {
                "norms": [_median(values) for values in norms] or None,
                "loss": [m and finite(m["loss"], DIGITS) for m in found],
                "first": [m and finite(m["norms"][0], DIGITS) for m in found],
                "last": [m and finite(m["norms"][last], DIGITS) for m in found],
            }
        )
    return {
        "net": records[0].net,
        "kind": kind,
        "depth": depth,
        "batch_norm": records[0].batch_norm,
        "diverged": [record.diverged for record in records],
        "moments": moments,
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return finite(statistics.median(known), DIGITS) if known else None


def identities(dataset: Dataset, depths: Sequence[int] = DEPTHS) -> Iterator[probes.ProbeRecord]:
    """Yield what becomes of each trained net when identity blocks bring it to the deeper ones of `depths`."""
    for name in sorted(load_study("digits").weights, key=split_name):
        record, depth = load_record(name, study="digits"), split_name(name)[1]
        about, normalize = f"shipped: digits, seed {record.seed}", record.recipe["normalize"]
        subject = Subject(name, load_trained(name, study="digits"), dataset, about, normalize)
        added = [(deeper - depth) // 6 for deeper in depths if deeper > depth]
        if added:
            yield probes.identity(subject, added, images=None)


def measure_branches(depth: int = 20, steps: int = 100, seed: int = 0, block: str = "layer2.1") -> dict[str, Any]:
    """Train a net on the digits in each of `BRANCHES`, and return what arrives at one block's addition.

    depth: of the nets, 6n+2. All three begin with the same weights and see the same batches.
    steps: of training, with the recipe of the digits.
    block: its path in the net. It must keep the shape, so that input and output can be compared value by value.

    Measured in eval mode on all test images: `edges` of the histogram and, for each variant, what `describe` returns
    and `test_error` in percent. One seed gives the same numbers again on one machine with as many threads.

    Raises `ValueError` for a depth that is not 6n+2, or a block that is not there or changes the shape.
    """
    digits = load("digits")
    recipe = Recipe.digits(steps).replace(eval_every=steps)
    measured = []
    for variant in BRANCHES:
        net = build_net(f"{'plain' if variant == 'none' else 'resnet'}{depth}", digits, seed)
        module = _block(net, block)
        if variant == "before":
            for each in net.modules():
                if isinstance(each, BasicBlock):
                    each.bn2 = nn.Sequential(each.bn2, nn.ReLU())  # the branch's last layer, and a ReLU behind it
        history = train(net, digits, recipe, seed=seed)
        values = describe(*run_block(net, module, digits, recipe))
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


def _block(net: nn.Module, path: str) -> nn.Module:
    """Return the block at `path`, if it is one that keeps the shape."""
    blocks = {n: m for n, m in net.named_modules() if isinstance(m, BasicBlock | PlainBlock) and keeps_shape(m)}
    return blocks[one_of("block", path, blocks)]


def run_block(net: nn.Module, block: nn.Module, dataset: Dataset, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
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


def main(argv: Sequence[str] | None = None) -> int:
    """Make all records, in the package or in the folder that is named, and return 0."""
    parser = argparse.ArgumentParser(description="Make the records that the explorers show.")
    parser.add_argument("--out", type=Path, help="a folder for them (default: the package)")
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS, help="of the nets, 6n+2 each")
    args = parser.parse_args(argv)
    prepare_process(available_cores())
    digits, path = load("digits"), (args.out or BRANCHES_FILE.parent) / BRANCHES_FILE.name
    write_atomic(path, json.dumps(measure_branches()).encode() + b"\n")
    for record in (gradient_study(digits, args.depths), *identities(digits, args.depths)):
        path = (args.out or SHIPPED) / record.filename
        path.unlink(missing_ok=True)
        record.save(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
