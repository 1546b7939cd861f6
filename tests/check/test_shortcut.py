"""The checker of shortcuts without parameters: right in several ways of writing, wrong in the known ones."""

import pytest
import torch
import torch.nn.functional as F
from refusal import refusal
from torch import nn

from resnet_edu import check
from resnet_edu.nets.blocks import make_shortcut


class Pad(nn.Module):
    """Option A; the wrong ones below change one of its two steps."""

    def __init__(self, i, o, s):
        super().__init__()
        self.new, self.s = o - i, s

    def keep(self, x):
        return x[:, :, :: self.s, :: self.s]

    def fill(self, x):
        return torch.cat([x, x.new_zeros(x.shape[0], self.new, *x.shape[2:])], 1)

    def forward(self, x):
        return self.fill(self.keep(x))


class PadBothSides(Pad):  # as in a well-known implementation for CIFAR-10
    def fill(self, x):
        return F.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))


class ByConvolution(nn.Module):
    """Picks pixels and channels by a fixed kernel, which is a buffer: nothing in it is learnt."""

    def __init__(self, i, o, s, size=1):
        super().__init__()
        self.s, self.p = s, size // 2
        kernel = torch.zeros(o, i, size, size)
        kernel[range(i), range(i), self.p, self.p] = 1
        self.register_buffer("k", kernel)

    def forward(self, x):
        return F.conv2d(x, self.k, stride=self.s, padding=self.p)


def by_larger_convolution(i, o, s):
    return ByConvolution(i, o, s, size=3)


class LearntConvolution(ByConvolution):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        kernel = self.k
        del self.k
        self.k = nn.Parameter(kernel)


def pad(**methods):
    """Option A with one of its steps changed."""
    return type("Wrong", (Pad,), methods)


def overwrite(p, x):
    x *= 1.5
    return Pad.forward(p, x / 1.5)


WRONG = {
    "has parameters": LearntConvolution,
    "averaged": pad(keep=lambda p, x: F.avg_pool2d(x, p.s, ceil_mode=True)),
    "largest": pad(keep=lambda p, x: F.max_pool2d(x, p.s, ceil_mode=True)),
    "repeat old ones": pad(fill=lambda p, x: torch.cat([x, x], 1)[:, : x.shape[1] + p.new]),
    "are ones": pad(fill=lambda p, x: F.pad(x, (0, 0, 0, 0, 0, p.new), value=1.0)),
    "only the first rows": pad(keep=lambda p, x: x[:, :, : -(-x.shape[2] // p.s), : -(-x.shape[3] // p.s)]),
    "begin with the second": pad(keep=lambda p, x: x.roll((-1, -1), (2, 3))[:, :, :: p.s, :: p.s] if p.s > 1 else x),
    "Height and width depend": pad(keep=lambda p, x: x[:, :, :: p.s]),
    "number of channels": pad(fill=lambda p, x: x),
    "everything is zero": pad(forward=lambda p, x: torch.zeros_like(Pad.forward(p, x))),
    "changes its input": pad(forward=overwrite),
    "are not those of the input": pad(forward=lambda p, x: Pad.forward(p, x) * 3 + 1),
}


def ours(i, o, s):
    return make_shortcut("zero_pad", i, o, s) or nn.Identity()


@pytest.mark.parametrize("right", [Pad, PadBothSides, ours, ByConvolution, by_larger_convolution])
def test_option_a(right, capsys):
    check.shortcut(right)
    assert "option A" in capsys.readouterr().out


@pytest.mark.parametrize("words", WRONG)
def test_wrong_zero_padding_is_named(words):
    assert words in refusal(check.shortcut, WRONG[words])
