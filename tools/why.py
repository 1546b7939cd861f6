"""Train what chapter 8 asks for on the digits, and put the curves into the package: `tools/why.py`.

Plain-56 in three ways that leave its layers as they are: by Adam; with gradients of one size in all layers; from a
start near the identity. And ResNet-20 by Adam and by SGD, for the test images, each at its own best rate. All else is
as in `tools/grid.py`: the same images held out to choose rates by, the same starts and batches. It goes on where it was
stopped, in `runs/why`.

Sources
  [1] Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
  [2] You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks", 2017: steps as large as the weights.
  [3] Zagoruyko and Komodakis, "DiracNets", 2017: kernels that begin near the identity.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from resnet_edu import data
from resnet_edu.experiment.degradation import build_net
from resnet_edu.experiment.shipped import RESULTS, load_grid
from resnet_edu.support.files import write_atomic
from resnet_edu.support.system import library_versions, prepare_process
from resnet_edu.training import Recipe, train

HELD, STEPS, EVERY, NOISE = 237, 100, 50, 0.1
FOLDER = Path("runs/why")
SGD = torch.optim.SGD
RATES = {"identity": (0.01, 0.03), "adam": (0.0003, 0.001, 0.003, 0.01), "equal": (0.0003, 0.001, 0.003, 0.01)}
ADAM_20 = (0.001, 0.003, 0.01)
BEYOND_GRID = (0.3,)  # SGD's best rate of `tools/grid.py` is its highest


class Equal(SGD):
    """SGD that gives the gradient of each kernel the norm of that kernel, before momentum and learning rate ([2])."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Do one update."""
        for weight in (p for group in self.param_groups for p in group["params"] if p.dim() > 1):
            weight.grad.mul_(weight.norm() / weight.grad.norm().clamp_min(1e-30))
        super().step(closure)


def adam(parameters: Iterator[Tensor], lr: float, **_: object) -> torch.optim.Adam:
    """Return Adam with its defaults ([1]), whatever else SGD would be given."""
    return torch.optim.Adam(parameters, lr)


@torch.no_grad()
def begin_near_identity(net: nn.Module) -> None:
    """Make each kernel of `net`, but for the first, a Dirac kernel and `NOISE` times the kernel that it was ([3])."""
    for conv in (m for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and n != "conv1"):
        drawn = conv.weight.clone()
        nn.init.dirac_(conv.weight).add_(NOISE * drawn)


def run(name: str, how: str, lr: float, seed: int, held: int = HELD) -> list[list[float]]:
    """Return (step, training error, other error) at each evaluation of a run, from the folder if it is there.

    Errors are in percent; the other one is on `held` training images that were held out, or on the test set for 0.
    """
    path = FOLDER / f"{name}-{how}-{lr:g}-seed{seed}{'' if held else '-test'}.json"
    if not path.exists():
        digits = data.load("digits")
        digits = digits.hold_out(held) if held else digits
        net = build_net(name, digits, seed)
        if how == "identity":
            begin_near_identity(net)
        with mock.patch("torch.optim.SGD", {"adam": adam, "equal": Equal}.get(how, SGD)):
            history = train(net, digits, Recipe(STEPS, lr=lr, eval_every=EVERY), seed=seed)
        curves = [[e.step, round(e.train_error, 3), round(e.test_error, 3)] for e in history.evaluations]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(curves).encode())
        print(path.name, curves[-1], flush=True)
    return json.loads(path.read_text())


def choose(rates: dict[float, list[float]]) -> dict[str, Any]:
    """Return the rates with their errors, and the one with the lowest mean error."""
    return {"rates": {f"{rate:g}": e for rate, e in rates.items()}, "best": min(rates, key=lambda r: fmean(rates[r]))}


def plain(how: str) -> dict[str, Any]:
    """Return the choice of a rate for plain-56, from one start, and the curves of three starts at that rate."""
    chosen = choose({lr: [run("plain56", how, lr, 0)[-1][2]] for lr in RATES[how]})
    return {**chosen, "curves": [run("plain56", how, chosen["best"], seed) for seed in range(3)]}


def shallow(how: str) -> dict[str, Any]:
    """Return the choice of a rate for ResNet-20, from two or three starts, and the test errors of five others."""
    tried: dict[float, list[float]] = {}
    if how == "sgd":
        for lr, records in load_grid().items():
            for steps, errors in (r.curve("test_error") for r in records if r.net == "resnet20"):
                tried.setdefault(lr, []).append(errors[steps.index(STEPS)])
        tried |= {lr: [run("resnet20", how, lr, seed)[-1][2] for seed in range(3)] for lr in BEYOND_GRID}
    else:
        tried = {lr: [run("resnet20", how, lr, seed)[-1][2] for seed in range(2)] for lr in ADAM_20}
    chosen = choose(tried)
    return {**chosen, "test": [run("resnet20", how, chosen["best"], seed, 0)[-1][2] for seed in range(10, 15)]}


def main() -> None:
    """Run what is missing, then write the record."""
    prepare_process(1)
    found: dict[str, Any] = {"steps": STEPS, "noise": NOISE, "threads": 1, "versions": library_versions()}
    found["plain56"] = {how: plain(how) for how in RATES}
    found["resnet20"] = {how: shallow(how) for how in ("sgd", "adam")}
    write_atomic(RESULTS / "why-digits.json", (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    main()
