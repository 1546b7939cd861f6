"""The checker of shortcuts: both options, right in several ways of writing, wrong in the known ones."""

import pytest
import torch
import torch.nn.functional as F
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


class Averages(Pad):
    def keep(self, x):
        return F.avg_pool2d(x, self.s, ceil_mode=True)


class Largest(Pad):
    def keep(self, x):
        return F.max_pool2d(x, self.s, ceil_mode=True)


class Repeats(Pad):
    def fill(self, x):
        return torch.cat([x, x], 1)[:, : x.shape[1] + self.new]


class Ones(Pad):
    def fill(self, x):
        return F.pad(x, (0, 0, 0, 0, 0, self.new), value=1.0)


class Corner(Pad):
    def keep(self, x):
        return x[:, :, : -(-x.shape[2] // self.s), : -(-x.shape[3] // self.s)]


class FromSecond(Pad):
    def keep(self, x):
        return x.roll((-1, -1), (2, 3))[:, :, :: self.s, :: self.s] if self.s > 1 else x


class OnlyHeight(Pad):
    def keep(self, x):
        return x[:, :, :: self.s]


class NoChannels(Pad):
    def fill(self, x):
        return x


class Blank(Pad):
    def forward(self, x):
        return torch.zeros_like(super().forward(x))


class Overwrites(Pad):
    def forward(self, x):
        x *= 1.5
        return super().forward(x / 1.5)


class Noise(Pad):
    def forward(self, x):
        return super().forward(x) * 3 + 1


WRONG_A = {
    LearntConvolution: "has parameters",
    Averages: "averaged",
    Largest: "largest",
    Repeats: "repeat old ones",
    Ones: "are ones",
    Corner: "only the first rows",
    FromSecond: "begin with the second",
    OnlyHeight: "height and width",
    NoChannels: "number of channels",
    Blank: "everything is zero",
    Overwrites: "changes its input",
    Noise: "are not those of the input",
}


def projection(i, o, s, k=1, bias=False, norm=True, last=None, anyway=False, before=None):
    if s == 1 and i == o and not anyway:
        return nn.Identity()
    conv = nn.Conv2d(i, o, k, s, padding=k // 2, bias=bias)
    return nn.Sequential(
        *([before(s)] if before else []), conv, *([nn.BatchNorm2d(o)] if norm else []), *([last()] if last else [])
    )


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
    (lambda i, o, s: projection(i, o, s, norm=False)): "no batch normalisation",
    (lambda i, o, s: projection(i, o, s, bias=True)): "has a bias",
    (lambda i, o, s: projection(i, o, s, k=3)): "one pixel at a time",
    (lambda i, o, s: projection(i, o, s, last=nn.ReLU)): "ReLU on the shortcut",
    (lambda i, o, s: projection(i, o, s, anyway=True)): "although the shape stays",
    (lambda i, o, s: projection(i, o, 1)): "height and width",
    (lambda i, o, s: nn.Identity()): "no parameters",
    (lambda i, o, s: nn.ReLU() if s == 1 and i == o else projection(i, o, s)): "there, a shortcut is the identity",
    Idle: "never called",
    pooled: "averaged before the projection",
}


def ours(i, o, s):
    return make_shortcut("zero_pad", i, o, s) or nn.Identity()


@pytest.mark.parametrize("right", [Pad, PadBothSides, ours, ByConvolution, by_larger_convolution])
def test_option_a(right, capsys):
    check.shortcut(right, option="A")
    assert "option A" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", WRONG_A)
def test_wrong_zero_padding_is_named(wrong):
    with pytest.raises(check.NotYet, match=WRONG_A[wrong]):
        check.shortcut(wrong, option="A")


def test_option_b(capsys):
    check.shortcut(projection)
    check.shortcut(projection, option="B")
    assert capsys.readouterr().out.count("option B") == 2


@pytest.mark.parametrize("wrong", WRONG_B)
def test_wrong_projections_are_named(wrong):
    with pytest.raises(check.NotYet, match=WRONG_B[wrong]):
        check.shortcut(wrong)


def test_the_options_are_told_apart():
    with pytest.raises(check.NotYet, match="has parameters"):
        check.shortcut(projection, option="A")
    with pytest.raises(check.NotYet, match="no parameters"):
        check.shortcut(Pad, option="B")
    with pytest.raises(ValueError, match="option"):
        check.shortcut(Pad, option="C")
    assert len(set(WRONG_A.values())) == len(WRONG_A)
    assert len(set(WRONG_B.values())) == len(WRONG_B)
