"""The checker of shortcuts: both options, right in several ways of writing, wrong in the known ones."""

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


WRONG_A = {
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


def projection(i, o, s, k=1, bias=False, norm=True, last=None, anyway=False):
    if s == 1 and i == o and not anyway:
        return nn.Identity()
    conv = nn.Conv2d(i, o, k, s, padding=k // 2, bias=bias)
    return nn.Sequential(conv, *([nn.BatchNorm2d(o)] if norm else []), *([last()] if last else []))


class Idle(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.conv, self.bn = (None, None) if s == 1 and i == o else (nn.Conv2d(i, o, 1, s, bias=False), None)
        if self.conv:
            self.bn = nn.BatchNorm2d(o)

    def forward(self, x):
        return self.conv(x) if self.conv else x


def pooled(i, o, s):
    pool = nn.AvgPool2d(s, ceil_mode=True)
    return nn.Sequential(pool, *projection(i, o, 1, anyway=True)) if s > 1 or i != o else nn.Identity()


WRONG_B = {
    "no batch normalisation": lambda i, o, s: projection(i, o, s, norm=False),
    "has a bias": lambda i, o, s: projection(i, o, s, bias=True),
    "kernel larger than 1x1": lambda i, o, s: projection(i, o, s, k=3),
    "ReLU on the shortcut": lambda i, o, s: projection(i, o, s, last=nn.ReLU),
    "although the shape stays": lambda i, o, s: projection(i, o, s, anyway=True),
    "Height and width stay": lambda i, o, s: projection(i, o, 1),
    "no parameters": lambda i, o, s: nn.Identity(),
    "a shortcut is the identity": lambda i, o, s: nn.ReLU() if s == 1 and i == o else projection(i, o, s),
    "never called": Idle,
    "averaged before the projection": pooled,
}


def ours(i, o, s):
    return make_shortcut("zero_pad", i, o, s) or nn.Identity()


@pytest.mark.parametrize("right", [Pad, PadBothSides, ours, ByConvolution, by_larger_convolution])
def test_option_a(right, capsys):
    check.shortcut(right, option="A")
    assert "option A" in capsys.readouterr().out


@pytest.mark.parametrize("words", WRONG_A)
def test_wrong_zero_padding_is_named(words):
    assert words in refusal(check.shortcut, WRONG_A[words], option="A")


def test_option_b(capsys):
    check.shortcut(projection)
    check.shortcut(projection, option="B")
    assert capsys.readouterr().out.count("option B") == 2


@pytest.mark.parametrize("words", WRONG_B)
def test_wrong_projections_are_named(words):
    assert words in refusal(check.shortcut, WRONG_B[words])


def test_the_options_are_told_apart():
    assert "has parameters" in refusal(check.shortcut, projection, option="A")
    assert "no parameters" in refusal(check.shortcut, Pad, option="B")
    with pytest.raises(ValueError, match="option"):
        check.shortcut(Pad, option="C")
