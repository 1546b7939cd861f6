"""First weights of the package's nets: their spread by He's formula, and what the seed decides."""

import pytest
import torch
from torch import nn

from resnet_edu.nets.models import cifar_net, init_weights


def test_kernels_have_hes_variance_for_the_way_back():
    for conv in (m for m in cifar_net(20, width=64).modules() if isinstance(m, nn.Conv2d)):
        out, _, height, width = conv.weight.shape
        wanted = 2 / (out * height * width)
        assert conv.weight.var().item() == pytest.approx(wanted, rel=0.1)
        assert abs(conv.weight.mean().item()) < 4 * wanted**0.5 / conv.weight.numel() ** 0.5


def test_the_generator_alone_decides():
    nets = [cifar_net(8) for _ in range(3)]
    state = torch.get_rng_state()
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        init_weights(net, torch.Generator().manual_seed(seed))
    assert torch.equal(torch.get_rng_state(), state)
    one, same, other = (net.conv1.weight for net in nets)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
