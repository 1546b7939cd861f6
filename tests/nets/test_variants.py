"""Nets as others published them: repaired they are the right ones, and their sizes are those of their structure."""

import pytest
import torch
import torchvision
from torch import nn

from resnet_edu.nets import variants
from resnet_edu.nets.models import cifar_net, resnet18, resnet34, resnet50

REPAIRED = {  # the changes that make torchvision's net, or the package's, of it
    "halved": (variants.halved_resnet34, {"first_stride": 1, "projection_norm": True}, resnet34, 2),
    "early": (
        variants.early_relu_resnet18,
        {"stem": (7, 2, 3), "early_relu": False, "projection_bias": False, "projection_norm": True, "window": None},
        resnet18,
        10,
    ),
    "projected": (
        variants.projected_resnet50,
        {"stem_norm": True, "stem_relu": True, "extra": (), "bias": False, "projection_bias": False},
        resnet50,
        10,
    ),
    "stem": (variants.cifar_stem_resnet18, {"stem": (7, 2, 3), "stem_pool": True}, resnet18, 10),
    "biased": (variants.biased_resnet50, {"bias": False, "projection_bias": False}, resnet50, 7),
    "labml": (
        variants.labml_resnet20,
        {"stem": (3, 1, 1), "stem_relu": True, "first_stride": 1, "later_stride": 2, "bias": False}
        | {"projection_bias": False},
        lambda num_classes: cifar_net(20, shortcut="projection", num_classes=num_classes),
        10,
    ),
}


@torch.no_grad()
@pytest.mark.parametrize("name", REPAIRED)
def test_a_repaired_net_computes_what_the_right_one_does(name):
    build, changes, right, classes = REPAIRED[name]
    net, reference = build(**changes), right(num_classes=classes)
    shortcuts = [n for n in reference.state_dict() if "downsample" in n]
    theirs = [n for n in reference.state_dict() if n not in shortcuts]
    ours = [n for n in net.state_dict() if "shortcut" not in n]
    weights = dict(zip(ours, (reference.state_dict()[n] for n in theirs), strict=True))
    own_shortcuts = [n for n in net.state_dict() if "shortcut" in n]
    weights |= dict(zip(own_shortcuts, (reference.state_dict()[n] for n in shortcuts), strict=True))
    net.load_state_dict(weights)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(net.eval()(x), reference.eval()(x))


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_numbers_of_the_documented_structures():
    with torch.device("meta"):
        # d2l: torchvision's, one grey channel, ten classes, a bias for each convolution, no batch norm on projections
        right = torchvision.models.resnet18(num_classes=10)
        convs = [m for m in right.modules() if isinstance(m, nn.Conv2d)]
        biases = sum(m.out_channels for m in convs)
        norms = 2 * (128 + 256 + 512)
        assert count(variants.d2l_resnet18()) == count(right) - 2 * 64 * 49 + biases - norms
        # the UvA course: the paper's, with projections that have a bias and no batch norm
        projections = 16 * 32 + 32 + 32 * 64 + 64
        assert count(variants.uva_resnet20()) == count(cifar_net(20)) + projections
        # the six projections, with a batch norm and a bias each
        without = variants.projected_resnet50(extra=())
        extra = sum(n * (c * c + 3 * c) for n, c in ((1, 512), (3, 1024), (2, 2048)))
        assert count(variants.projected_resnet50()) == count(without) + extra
        biased = variants.biased_resnet50()
        assert count(biased) - count(torchvision.models.resnet50(num_classes=7)) == 26_560


def test_the_image_sizes_that_a_fixed_window_takes():
    with torch.device("meta"):
        net = variants.early_relu_resnet18().eval()

        def fits(size):
            try:
                return net(torch.empty(1, 3, size, size)).shape == (1, 10)
            except RuntimeError:
                return False

        assert [fits(size) for size in FITS] == [False, True, True, True, False, False]


FITS = (70, 71, 96, 166, 167, 224)


def test_a_bias_before_a_batch_norm_does_nothing():
    torch.manual_seed(0)
    net, x = variants.biased_resnet50().double(), torch.randn(4, 3, 32, 32).double()
    before = net(x)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.bias.add_(torch.randn_like(module.bias))
    torch.testing.assert_close(net(x), before)
