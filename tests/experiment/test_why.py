"""What chapter 8 has on record, and the ways of training that `tools/why.py` compares."""

import json

import pytest
import torch
import why
from torch import nn

from resnet_edu.experiment.shipped import RESULTS
from resnet_edu.nets.models import plain20


@pytest.fixture(scope="module")
def record():
    return json.loads((RESULTS / "why-digits.json").read_text())


def test_without_noise_the_other_start_is_the_identity(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(why, "NOISE", 0.0)
    net = plain20().eval()
    why.begin_near_identity(net)
    x = torch.rand(2, 32, 8, 8)
    with torch.no_grad():
        assert torch.allclose(net.layer2[1](x), x, atol=1e-4)
        halved = net.layer3[0](x)
    assert torch.allclose(halved[:, :32], x[:, :, ::2, ::2], atol=1e-4)  # option A, written into a kernel
    assert not halved[:, 32:].any()


def test_equal_sizes_move_each_kernel_by_one_share_of_itself_along_its_gradient():
    layers = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    before = [p.detach().clone() for p in layers.parameters()]
    layers(torch.randn(8, 4)).square().sum().backward()
    gradients = [p.grad.clone() for p in layers.parameters()]
    why.Equal(layers.parameters(), lr=0.01).step()
    for old, gradient, new in zip(before, gradients, layers.parameters(), strict=True):
        wanted = gradient * (old.norm() / gradient.norm() if old.dim() > 1 else 1)
        assert torch.allclose(new, old - 0.01 * wanted, atol=1e-6)


@pytest.mark.parametrize("how", ["identity", "adam", "equal"])
def test_the_rate_is_the_best_on_held_out_images(record: dict, how: str):
    tried = record["plain56"][how]
    assert [[step for step, *_ in curve] for curve in tried["curves"]] == [[50, 100]] * 3
    first = tried["rates"]
    assert first[f"{tried['best']:g}"] == min(first.values()) == tried["curves"][0][-1][2]
