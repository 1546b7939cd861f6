"""Train what chapter 8 asks for on the digits, and put the curves into the package: `tools/why.py`.

Plain-56 in three ways that leave its layers as they are: by Adam; with gradients of one size in all layers; from a
start near the identity. All else is as in `tools/grid.py`: the same images held out to choose rates by, the same starts
and batches. It goes on where it was stopped, in `runs/why`.

Sources
  [1] Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
  [2] You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks", 2017: steps as large as the weights.
  [3] Zagoruyko and Komodakis, "DiracNets", 2017: kernels that begin near the identity.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from resnet_edu import data
from resnet_edu.experiment.degradation import build_net
from resnet_edu.experiment.shipped import RESULTS
from resnet_edu.support.files import write_atomic
from resnet_edu.support.system import library_versions, prepare_process
from resnet_edu.training import Recipe, train

HELD, STEPS, EVERY, NOISE = 237, 100, 50, 0.1
FOLDER = Path("runs/why")
SGD = torch.optim.SGD
RATES = {"identity": (0.01, 0.03), "adam": (0.0003, 0.001, 0.003, 0.01), "equal": (0.0003, 0.001, 0.003, 0.01)}


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


def run(how: str, lr: float, seed: int) -> list[list[float]]:
    """Return (step, training error, held-out error) of each evaluation, in percent, from the folder if it is there."""
    path = FOLDER / f"{how}-{lr:g}-seed{seed}.json"
    if not path.exists():
        digits = data.load("digits").hold_out(HELD)
        net = build_net("plain56", digits, seed)
        if how == "identity":
            begin_near_identity(net)
        with mock.patch("torch.optim.SGD", {"adam": adam, "equal": Equal}.get(how, SGD)):
            history = train(net, digits, Recipe(STEPS, lr=lr, eval_every=EVERY), seed=seed)
        curves = [[e.step, round(e.train_error, 3), round(e.test_error, 3)] for e in history.evaluations]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(curves).encode())
        print(path.name, curves[-1], flush=True)
    return json.loads(path.read_text())


def compare(how: str) -> dict[str, Any]:
    """Return the held-out error of one start at each rate, the best rate, and the curves of three starts at it."""
    rates = {lr: run(how, lr, 0)[-1][2] for lr in RATES[how]}
    best = min(rates, key=rates.__getitem__)
    return {
        "rates": {f"{lr:g}": error for lr, error in rates.items()},
        "best": best,
        "curves": [run(how, best, seed) for seed in range(3)],
    }


def main() -> None:
    """Run what is missing, then write the record."""
    prepare_process(1)
    found: dict[str, Any] = {"steps": STEPS, "noise": NOISE, "threads": 1, "versions": library_versions()}
    found["plain56"] = {how: compare(how) for how in RATES}
    write_atomic(RESULTS / "why-digits.json", (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    main()
