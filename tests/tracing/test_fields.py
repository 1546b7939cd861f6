"""Receptive fields of a trace, against hand calculation and against what the gradient reaches."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_edu.nets import models
from resnet_edu.tracing.run import trace


class Call(nn.Module):
    """A module whose forward is a function of itself and the input."""

    def __init__(self, function, **children):
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, x):
        return self.function(self, x)


def test_receptive_fields_of_the_imagenet_stem_and_resnet50():
    result = trace(models.resnet50(), (1, 3, 224, 224))
    found = {r.path: r.receptive_field for r in result.rows}
    assert (found["conv1"], found["maxpool"]) == (7, 11)
    # by hand: 11, then in each block the 3x3 adds 2 * jump; jump 4, 8, 16, 32 (v1.5: the first with the jump before)
    size = 11 + 3 * 2 * 4 + (4 + 3 * 8) * 2 + (8 + 5 * 16) * 2 + (16 + 2 * 32) * 2
    assert found["layer4.2.add()"] == size == 427
    assert found["avgpool"] is None
    assert found["fc"] is None


def measured_field(net: nn.Module, size: int) -> int:
    """Return over how many pixels the centre output depends on the input, by its gradient."""
    x = torch.ones(1, 1, size, size, dtype=torch.double, requires_grad=True)
    y = net(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    touched = x.grad[0, 0].abs().sum(0).nonzero()
    return int(touched.max() - touched.min() + 1)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 5, stride=2), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3)),
        nn.Sequential(nn.Conv2d(1, 1, 3, dilation=3), nn.Conv2d(1, 1, 3, padding="same")),
        Call(lambda s, x: s.a(x) + s.b(x), a=nn.Conv2d(1, 1, 3, padding=1), b=nn.Conv2d(1, 1, 7, padding=3)),
        Call(lambda s, x: s.a(x[:, :, ::2, ::2]), a=nn.Conv2d(1, 1, 3, padding=1)),
    ],
)
def test_receptive_field_is_what_the_gradient_reaches(net):
    net = net.double()
    for p in net.parameters():
        nn.init.ones_(p)
    last = [r for r in trace(net, (1, 1, 41, 41)).rows if r.outputs][-1]
    shown = last.receptive_field
    # an output in a stride-2 slice touches every second pixel only; its reach is the same
    assert shown == measured_field(net, 41)


JOIN = nn.Conv2d(2, 1, 1, bias=False)


def conv(*window):
    return nn.Conv2d(1, 1, *window, bias=False)


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (Call(lambda s, x: s.a(x) + s.b(x), a=conv(3, 3, 1), b=conv(3, 3, 0)), 4),  # pixels -1 to 1, and 0 to 2
        (Call(lambda s, x: s.b(x) * s.a(x), a=conv(1, 3), b=conv(3, 3, 0)), 3),
        (Call(lambda s, x: s.c(torch.cat([s.a(x), s.b(x)], 1)), a=conv(3, 3, 1), b=conv(3, 3), c=JOIN), 4),
        (Call(lambda s, x: s.a(x) + s.a(F.pad(x, (1, 0, 1, 0))), a=conv(3, 3)), 4),
        (Call(lambda s, x: s.a(F.pad(x, pad=(1, 1, 1, 1))) + x, a=conv(3)), 3),
        (Call(lambda s, x: s.a(F.pad(x, (2, 0, 2, 0))) + x, a=conv(3)), 3),  # x is the last of the three
        (Call(lambda s, x: s.a(F.pad(x, (3, -1, 3, -1))) + x, a=conv(3)), 4),
        (Call(lambda s, x: s.b(s.a(x) + s.c(x)), a=conv(3, 3, 1), b=conv(2), c=conv(3, 3, 0)), 7),
    ],
)
def test_receptive_field_of_branches_that_are_out_of_line(net, size):
    net = net.double()
    for p in net.parameters():
        nn.init.ones_(p)
    rows = trace(net, (1, 1, 42, 42)).rows
    assert rows[-1].receptive_field == size == measured_field(net, 42)


def test_branches_that_drift_apart_have_no_receptive_field_of_one_size():
    net = Call(lambda s, x: s.a(x) + s.b(x), a=conv(2, 2), b=conv(5))
    *_, a, b, add = trace(net, (1, 1, 8, 8)).rows  # both give 4 pixels: every second one, and four in a row
    assert (a.receptive_field, b.receptive_field, add.receptive_field) == (2, 5, None)
    net = Call(lambda s, x: s.a(x) + x, a=conv(3, 2, 1))
    assert trace(net, (1, 1, 1, 1)).rows[-1].receptive_field == 3  # a single pixel cannot drift
    flat = Call(lambda s, x: s.a(x) + x, a=conv((3, 1), (2, 1), (1, 0)))
    assert trace(flat, (1, 1, 1, 5)).rows[-1].receptive_field == (3, 1)


def test_receptive_field_of_unequal_kernels_and_of_pooled_branches():
    assert trace(nn.Conv2d(1, 1, (1, 7)), (1, 1, 9, 9)).rows[0].receptive_field == (1, 7)
    gate = Call(lambda s, x: s.f(x) * x.mean((2, 3), keepdim=True), f=nn.Conv2d(1, 1, 3))
    assert trace(gate, (1, 1, 9, 9)).rows[-1].receptive_field is None
    assert trace(nn.ConvTranspose2d(1, 1, 3), (1, 1, 9, 9)).rows[0].receptive_field is None
