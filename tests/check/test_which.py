"""`which_resnet` tells nets by what they do: names, order of definition and style of writing do not count."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from resnet_edu import check, plain20, resnet50
from resnet_edu.nets import variants
from resnet_edu.nets.models import cifar_net


class Cell(nn.Module):
    """A block of nobody: defined backwards, functional, with option A by slices and zeros."""

    def __init__(self, i, o, s, where="after"):
        super().__init__()
        self.second_norm, self.second = nn.BatchNorm2d(o), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.first_norm, self.first = nn.BatchNorm2d(o), nn.Conv2d(i, o, 3, s, 1, bias=False)
        self.i, self.o, self.s, self.where = i, o, s, where

    def forward(self, tensor):
        short = tensor
        if self.s > 1 or self.i != self.o:
            short = F.pad(
                tensor[:, :, :: self.s, :: self.s], (0, 0, 0, 0, (self.o - self.i) // 2, (self.o - self.i) // 2)
            )
        tensor = F.relu(self.first_norm(self.first(tensor)), inplace=True)
        tensor = self.second_norm(self.second(tensor))
        if self.where == "before":
            tensor = F.relu(tensor)
        tensor += short
        return tensor.relu_()


class Foreign(nn.Module):
    """A net for CIFAR-10 without a name that anybody knows; `n` cells in each of three stages."""

    def __init__(self, n=5, strides=(1, 2, 2), pool="mean", where="after"):
        super().__init__()
        self.out = nn.Linear(64, 10)
        self.cells = nn.ModuleList()
        channels = 16
        for width, stride in zip((16, 32, 64), strides, strict=True):
            for k in range(n):
                self.cells.append(Cell(channels, width, 1 if k else stride, where))
                channels = width
        self.norm, self.begin, self.pool = nn.BatchNorm2d(16), nn.Conv2d(3, 16, 3, 1, 1, bias=False), pool
        self.never_used = nn.Conv2d(16, 16, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.begin(x)))
        for cell in self.cells:
            x = cell(x)
        x = F.avg_pool2d(x, x.size()[3]).view(len(x), -1) if self.pool == "whole" else x.mean(dim=[2, 3])
        return self.out(x)


class LazyD2l(nn.Module):
    """d2l's net as its structure says, of lazy layers."""

    class Block(nn.Module):
        def __init__(self, channels, first):
            super().__init__()
            self.a = nn.LazyConv2d(channels, 3, 2 if first else 1, 1)
            self.b = nn.LazyConv2d(channels, 3, 1, 1)
            self.c = nn.LazyConv2d(channels, 1, 2) if first else None
            self.m, self.n = nn.LazyBatchNorm2d(), nn.LazyBatchNorm2d()

        def forward(self, x):
            y = self.n(self.b(F.relu(self.m(self.a(x)))))
            y += x if self.c is None else self.c(x)
            return F.relu(y)

    def __init__(self):
        super().__init__()
        stem = [nn.LazyConv2d(64, 7, 2, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        body = [self.Block(c, first=not b and c > 64) for c in (64, 128, 256, 512) for b in range(2)]
        self.net = nn.Sequential(*stem, *body, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.LazyLinear(10))

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize(
    ("net", "name", "nearest"),
    [
        (torchvision.models.resnet18, "ResNet-18", "torchvision's"),
        (torchvision.models.resnet50, "ResNet-50", "torchvision's (v1.5)"),
        (lambda: resnet50(stride_on="1x1"), "ResNet-50", "the paper's for ImageNet (stride on 1×1)"),
        (Foreign, "ResNet-32", "the paper's for CIFAR-10"),
        (lambda: Foreign(2, pool="whole"), "ResNet-14", "the paper's for CIFAR-10"),
        (lambda: cifar_net(26, shortcut="projection"), "ResNet-26", "the paper's for CIFAR-10, with option B"),
        (LazyD2l, "ResNet-18", "Dive into Deep Learning's"),
        (lambda: variants.uva_resnet20(layers=(5, 5, 5)), "ResNet-32", "the UvA course's"),
        (lambda: variants.labml_resnet20(num_classes=3), "ResNet-20", "labml's"),
        (variants.halved_resnet34, "ResNet-34", "a tutorial's, halved in its first stage"),
        (variants.early_relu_resnet18, "ResNet-18", "a tutorial's, with an early ReLU"),
        (variants.projected_resnet50, "ResNet-50", "a tutorial's, with projections where none are needed"),
        (
            lambda: variants.cifar_stem_resnet18(layers=(3, 4, 6, 3)),
            "ResNet-34",
            "a tutorial's, with a stem for CIFAR-10",
        ),
        (variants.biased_resnet50, "ResNet-50", "a tutorial's, with biases everywhere"),
    ],
)
def test_known_nets_are_named(net, name, nearest):
    found = check.which_resnet(net)
    assert (found.name, found.nearest, found.differences) == (name, nearest, {})
    assert found.distances[nearest] == 0
    assert [n for n, distance in found.distances.items() if not distance] == [nearest]


@pytest.mark.parametrize(
    ("net", "nearest", "differs"),
    [
        (lambda: Foreign(strides=(2, 1, 1)), "the paper's for CIFAR-10", {"strides"}),
        (lambda: Foreign(where="before"), "the paper's for CIFAR-10", {"block"}),
        (lambda: variants.Variant((2, 2, 2, 2), first_stride=2), "torchvision's", {"strides"}),
        (lambda: variants.Variant((2, 2, 2, 2), stem_relu=False), "torchvision's", {"stem"}),
        (lambda: variants.Variant((2, 2, 2, 2), window=7), "torchvision's", {"images"}),
        (torchvision.models.wide_resnet50_2, "torchvision's (v1.5)", {"block"}),
        (torchvision.models.resnext50_32x4d, "torchvision's (v1.5)", {"block", "stride on"}),
    ],
)
def test_what_differs_from_the_nearest_is_said(net, nearest, differs):
    found = check.which_resnet(net)
    assert (found.nearest, set(found.differences)) == (nearest, differs)
    for trait, pair in found.differences.items():
        assert trait in str(found)
        assert pair[0] != pair[1]


def test_a_net_stays_as_it_was_and_may_be_given_itself():
    net = Foreign(1).train()
    state = {n: t.clone() for n, t in net.state_dict().items()}
    found = check.which_resnet(net)
    assert (found.size, found.traits["sizes"], net.training) == (32, (32, 16, 8), True)
    assert all(torch.equal(t, state[n]) for n, t in net.state_dict().items())


def test_odd_numbers_of_blocks_have_no_name():
    assert check.which_resnet(lambda: variants.Variant((2, 3, 2, 2))).name == "a residual net of 20 layers"


def test_what_is_no_residual_net_is_refused():
    for net in (plain20, torchvision.models.densenet121):
        with pytest.raises(ValueError, match="no residual net"):
            check.which_resnet(net)
    with pytest.raises(check.NotYet, match="Wrap it"):
        check.which_resnet(Cell)
