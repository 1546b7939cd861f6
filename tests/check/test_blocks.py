"""Checkers of blocks reject every wrong answer with its own message, and accept every right one, however it is written.

The right answers are torchvision's block and blocks written here; the wrong ones have one thing changed.
"""

import functools
import random
import re
import traceback

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet as tv

from resnet_edu import check
from resnet_edu.nets.blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock


def conv(i, o, k=3, s=1, bias=False, padding=None):
    return nn.Conv2d(i, o, k, s, padding=k // 2 if padding is None else padding, bias=bias)


class Mine(nn.Module):
    """A right block; the wrong ones below change a method each."""

    def __init__(self, i, o, s):
        super().__init__()
        self.stride = s
        self.c1, self.b1, self.c2, self.b2 = conv(i, o, 3, s), nn.BatchNorm2d(o), conv(o, o), nn.BatchNorm2d(o)
        self.short = self.shortcut(i, o, s)

    def shortcut(self, i, o, s):
        return nn.Sequential(conv(i, o, 1, s), nn.BatchNorm2d(o)) if s != 1 or i != o else nn.Identity()

    def branch(self, x):
        return self.b2(self.c2(torch.relu(self.b1(self.c1(x)))))

    def forward(self, x):
        return torch.relu(self.branch(x) + self.short(x))


# ---------------------------------------------------------------- right answers


def torchvisions(i, o, s):
    down = nn.Sequential(tv.conv1x1(i, o, s), nn.BatchNorm2d(o)) if s != 1 or i != o else None
    return tv.BasicBlock(i, o, s, down)


class ShortcutFirst(nn.Module):
    def __init__(self, inp, out, stride):
        super().__init__()
        self.skip = nn.Identity()
        if stride > 1 or inp != out:
            self.skip = nn.Sequential(conv(inp, out, 1, stride), nn.BatchNorm2d(out))
        self.body = nn.Sequential(
            conv(inp, out, 3, stride), nn.BatchNorm2d(out), nn.ReLU(inplace=True), conv(out, out), nn.BatchNorm2d(out)
        )

    def forward(self, x):
        y = self.skip(x)
        return F.relu(y + self.body(x), inplace=True)


class Backwards(Mine):
    """Defined in another order than it runs."""

    def __init__(self, i, o, s):
        nn.Module.__init__(self)
        self.b2, self.c2 = nn.BatchNorm2d(o), conv(o, o)
        self.b1, self.c1 = nn.BatchNorm2d(o), conv(i, o, 3, s)
        self.short = self.shortcut(i, o, s)


class Functional(nn.Module):
    """No layers, only parameters and buffers."""

    def __init__(self, i, o, s):
        super().__init__()
        self.s, self.project = s, s != 1 or i != o
        for n, (a, k) in enumerate([(i, 3), (o, 3), *([(i, 1)] if self.project else [])]):
            self.register_parameter(f"w{n}", nn.Parameter(torch.randn(o, a, k, k)))
            self.register_parameter(f"g{n}", nn.Parameter(torch.ones(o)))
            self.register_parameter(f"h{n}", nn.Parameter(torch.zeros(o)))
            self.register_buffer(f"m{n}", torch.zeros(o))
            self.register_buffer(f"v{n}", torch.ones(o))

    def layer(self, n, x, stride, padding):
        p = {k: getattr(self, f"{k}{n}") for k in "wghmv"}
        x = F.conv2d(x, p["w"], None, stride, padding)
        return F.batch_norm(x, p["m"], p["v"], p["g"], p["h"], training=self.training)

    def forward(self, x):
        y = self.layer(1, F.relu(self.layer(0, x, self.s, 1)), 1, 1)
        return F.relu(y + (self.layer(2, x, self.s, 0) if self.project else x))


class InPlaceSum(Mine):
    def forward(self, x):
        y = self.branch(x)
        y += self.short(x)
        return y.relu_()


RIGHT = [Mine, BasicBlock, torchvisions, ShortcutFirst, Backwards, Functional, InPlaceSum]


@pytest.mark.parametrize("block", RIGHT, ids=lambda b: b.__name__)
def test_right_blocks_pass_with_one_line(block, capsys):
    check.residual_block(block)
    out = capsys.readouterr().out
    assert out.startswith(f"✓ {block.__name__}: ")
    assert out.count("\n") == 1


# ---------------------------------------------------------------- wrong answers: a word that the message must have


WRONG: list = []


def wrong(*words):
    """Note a wrong answer, and what its message has to name."""

    def note(block):
        WRONG.append(pytest.param(block, words, id=block.__name__))
        return block

    return note


@wrong("ReLU on the branch before the addition")
class EarlyRelu(Mine):
    def forward(self, x):
        return torch.relu(torch.relu(self.branch(x)) + self.short(x))


@wrong("last ReLU comes before the addition")
class OnlyEarlyRelu(Mine):
    def forward(self, x):
        return torch.relu(self.branch(x)) + self.short(x)


@wrong("last ReLU is missing")
class NoLastRelu(Mine):
    def forward(self, x):
        return self.branch(x) + self.short(x)


@wrong("ReLU between the first two convolutions is missing")
class NoInnerRelu(Mine):
    def branch(self, x):
        return self.b2(self.c2(self.b1(self.c1(x))))


@wrong("projection", "batch normalisation")
class BareProjection(Mine):
    def shortcut(self, i, o, s):
        return conv(i, o, 1, s) if s != 1 or i != o else nn.Identity()


@wrong("stride 2", "twice")
class BothStrides(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c2 = conv(o, o, 3, s)


@wrong("applied twice")
class BothStridesAndTheShortcutToo(BothStrides):
    def shortcut(self, i, o, s):
        return nn.Sequential(conv(i, o, 1, s * s), nn.BatchNorm2d(o)) if s != 1 or i != o else nn.Identity()


@wrong("another convolution has the stride")
class LateStride(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c1, self.c2 = conv(i, o), conv(o, o, 3, s)


@wrong("convolutions c1 and c2 have a bias")
class Biased(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c1, self.c2 = conv(i, o, 3, s, True), conv(o, o, 3, 1, True)


@wrong("convolution short.0 has a bias")
class BiasedProjection(Mine):
    def shortcut(self, i, o, s):
        return nn.Sequential(conv(i, o, 1, s, True), nn.BatchNorm2d(o)) if s != 1 or i != o else nn.Identity()


@wrong("addition is forgotten:")
class NoAddition(Mine):
    def forward(self, x):
        return torch.relu(self.branch(x))


@wrong("addition is forgotten, and so is the last ReLU")
class NoAdditionNoRelu(Mine):
    def forward(self, x):
        return self.branch(x)


@wrong("added to itself", "overwritten")
class Overwritten(Mine):
    def forward(self, x):
        x = self.branch(x)
        return torch.relu(x + x)


@wrong("after the first layers", "overwritten")
class OverwrittenAtFirst(Mine):
    def forward(self, x):
        x = torch.relu(self.b1(self.c1(x)))
        return torch.relu(self.b2(self.c2(x)) + x)


@wrong("after the first convolution", "overwritten")
class OverwrittenAtOnce(Mine):
    def forward(self, x):
        x = self.c1(x)
        return torch.relu(self.b2(self.c2(torch.relu(self.b1(x)))) + x)


@wrong("subtracted from the branch")
class Minus(Mine):
    def forward(self, x):
        return torch.relu(self.branch(x) - self.short(x))


@wrong("multiplied")
class Product(Mine):
    def forward(self, x):
        return torch.relu(self.branch(x) * self.short(x))


@wrong("mean of the two branches")
class Mean(Mine):
    def forward(self, x):
        return torch.relu((self.branch(x) + self.short(x)) / 2)


@wrong("concatenated")
class Concatenated(Mine):
    def forward(self, x):
        return torch.relu(torch.cat([self.branch(x), self.short(x)], 1))


@wrong("changes its input", "in place")
class InPlace(Mine):
    def forward(self, x):
        short = self.short(x).clone()
        return torch.relu(self.branch(x.relu_()) + short)


@wrong("returns None")
class Nothing(Mine):
    def forward(self, x):
        torch.relu(self.branch(x) + self.short(x))


@wrong("returns tuple")
class Pair(Mine):
    def forward(self, x):
        return torch.relu(self.branch(x) + self.short(x)), x


@wrong("torch.float64")
class Double(Mine):
    def forward(self, x):
        return torch.relu(self.branch(x) + self.short(x)).double()


@wrong("TypeError", "self.twig(x) + undefined_here")
class Fails(Mine):
    twig = 3

    def forward(self, x):
        return self.twig(x) + undefined_here  # noqa: F821


@wrong("BothArguments(8, 8, 1) raised TypeError")
class BothArguments(Mine):
    def __init__(self, i, o):
        super().__init__(i, o, 1)


@wrong("Height and width stay although the stride is 2")
class NoStride(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, 1)

    def shortcut(self, i, o, s):
        return super().shortcut(i, o, 1)


@wrong("stride above 1 although the block's stride is 1")
class HardCodedStride(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c1 = conv(i, o, 3, 2)


@wrong("halved although the stride is 1")
class HardCodedEverywhere(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c1 = conv(i, o, 3, 2)
        self.short = nn.MaxPool2d(1, 2) if isinstance(self.short, nn.Identity) else self.short


@wrong("makes layers in forward (BatchNorm2d and Conv2d)")
class MadeInForward(Mine):
    def forward(self, x):
        o = self.c1.out_channels
        return torch.relu(nn.BatchNorm2d(o)(conv(o, o)(torch.relu(self.b1(self.c1(x))))) + self.short(x))


@wrong("makes layers in forward (Conv2d)")
class MadeLate(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        del self.c2

    def forward(self, x):
        if not hasattr(self, "c2"):
            self.c2 = conv(self.c1.out_channels, self.c1.out_channels)
        return super().forward(x)


@wrong("plain Python list")
class Listed(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.layers = [conv(i, o, 3, s), nn.BatchNorm2d(o), nn.ReLU(), conv(o, o), nn.BatchNorm2d(o)]

    def forward(self, x):
        y = x
        for layer in self.layers:
            y = layer(y)
        return torch.relu(y + x)


@wrong("last batch normalisation is not used")
class DroppedSecondNorm(Mine):
    def branch(self, x):
        return self.c2(torch.relu(self.b1(self.c1(x))))


@wrong("a batch normalisation is missing", "used in two places")
class SharedNorm(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        del self.b2

    def branch(self, x):
        return self.b1(self.c2(torch.relu(self.b1(self.c1(x)))))


@wrong("first batch normalisation is used in two places", "another one never")
class SharedNormAndOneIdle(Mine):
    def branch(self, x):
        return self.b1(self.c2(torch.relu(self.b1(self.c1(x)))))


@wrong("ReLU comes before batch normalisation")
class ReluThenNorm(Mine):
    def branch(self, x):
        return self.b2(self.c2(self.b1(torch.relu(self.c1(x)))))


@wrong("right in training mode and wrong in evaluation mode")
class AlwaysTraining(Mine):
    def branch(self, x):
        def normal(b, v):
            return F.batch_norm(v, b.running_mean, b.running_var, b.weight, b.bias, training=True)

        return normal(self.b2, self.c2(torch.relu(normal(self.b1, self.c1(x)))))


@wrong("leaves", "running statistics", "as they were")
class NeverRemembers(Mine):
    def branch(self, x):
        def normal(b, v):
            if not self.training:
                return b(v)
            return F.batch_norm(v, None, None, b.weight, b.bias, training=True)

        return normal(self.b2, self.c2(torch.relu(normal(self.b1, self.c1(x)))))


@wrong("momentum")
class OtherMomentum(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.b1.momentum = 0.01


@wrong("no running mean and variance")
class NoStatistics(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.b1, self.b2 = (nn.BatchNorm2d(o, track_running_stats=False) for _ in range(2))


@wrong("scale and shift")
class NoAffine(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.b2 = nn.BatchNorm2d(o, affine=False)


@wrong("batch normalisation b1 has an eps of 0.01")
class OtherEpsilon(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.b1.eps = self.b2.eps = 1e-2


@wrong("too much: 2 scales, shifts or biases of 8 channels and 2 running statistics (mean or variance) of 8 channels")
class OneNormTooMany(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.b3 = nn.BatchNorm2d(o)

    def forward(self, x):
        return self.b3(super().forward(x))


@wrong("projection (1x1) on the shortcut although the shape does not change")
class OptionC(Mine):
    def shortcut(self, i, o, s):
        return nn.Sequential(conv(i, o, 1, s), nn.BatchNorm2d(o))


@wrong("the shape changes, but the shortcut has no projection")
class NeverProjects(Mine):
    def shortcut(self, i, o, s):
        return nn.Identity()


@wrong("stride changes the shape, although the channels do not")
class ProjectsForChannelsOnly(Mine):
    def shortcut(self, i, o, s):
        return super().shortcut(i, o, s) if i != o else nn.Identity()


@wrong("kernel larger than 1x1")
class LargeProjection(Mine):
    def shortcut(self, i, o, s):
        return nn.Sequential(conv(i, o, 3, s), nn.BatchNorm2d(o)) if s != 1 or i != o else nn.Identity()


@wrong("ReLU on the shortcut")
class ReluOnProjection(Mine):
    def shortcut(self, i, o, s):
        return nn.Sequential(*super().shortcut(i, o, s), nn.ReLU()) if s != 1 or i != o else nn.Identity()


@wrong("missing: 1 convolution of 3×3 from 8 to 8 channels; too much: 1 convolution of 5×5")
class LargeKernel(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c2 = conv(o, o, 5)


@wrong("does a 3x3 keep the size?")
class NoPadding(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c1, self.c2 = conv(i, o, 3, s, padding=0), conv(o, o, padding=0)

    def forward(self, x):
        y = self.branch(x)
        return torch.relu(y + self.short(x)[:, :, : y.shape[2], : y.shape[3]])


@wrong("missing: 2 convolutions of 3×3 from 8 to 8 channels; too much: ")
class RightCountWrongShape(Mine):
    """As many parameters as the right block has, in other shapes."""

    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c1 = nn.Conv2d(i, o, (9, 1), s, padding=(4, 0), bias=False)
        self.c2 = nn.Conv2d(o, o, (1, 9), padding=(0, 4), bias=False)


@wrong("too much")
class RightShapeWrongCount(Mine):
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.c3 = conv(o, o)

    def branch(self, x):
        return self.b2(self.c3(self.c2(torch.relu(self.b1(self.c1(x))))))


@wrong("same output for different inputs")
class IgnoresInput(Mine):
    def forward(self, x):
        return super().forward(torch.ones_like(x))


@wrong("gradient of the input is not", "cuts the way back")
class CutShortcut(Mine):
    def forward(self, x):
        return torch.relu(self.branch(x) + self.short(x.detach()))


@wrong("no gradient comes back")
class NoGradient(Mine):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@wrong("random", "dropout")
class RandomAlways(Mine):
    def branch(self, x):
        return F.dropout(super().branch(x), 0.1, training=True)


@wrong("with the same weights its output differs by")
class PreActivated(Mine):
    def branch(self, x):
        return 0.5 * super().branch(x)


@wrong("gives str, and a torch.nn.Module is expected")
def NoModule(i, o, s):
    return "block"


def test_pre_activation_is_told_apart():
    with pytest.raises(check.NotYet):
        check.residual_block(PreActBlock)


@functools.cache
def message_of(block):
    with pytest.raises(check.NotYet) as caught:
        check.residual_block(block)
    return str(caught.value)


@pytest.mark.parametrize(("block", "words"), WRONG)
def test_wrong_blocks_are_named(block, words):
    message = message_of(block)
    for word in words:
        assert word in message
    assert block.__name__ in message
    for leak in ("bias=False", "padding=1", "self.relu(", "out + ", "F.relu", "+ identity", "BasicBlock"):
        assert leak not in message


def test_each_mistake_has_a_message_of_its_own():
    messages = {}
    for parameter in WRONG:
        block, _ = parameter.values
        text = message_of(block).replace(block.__name__, "MyBlock")
        messages.setdefault(re.sub("[0-9,]+", "0", text), []).append(block.__name__)
    shared = {tuple(names) for names in messages.values() if len(names) > 1}
    # The first have numbers that are off in no way that is known, the others a layer made too late.
    assert not shared


class SmallEpsilon(Mine):  # so small a change is seen where the values are small
    def __init__(self, i, o, s):
        super().__init__(i, o, s)
        self.b2.eps = 1e-3


class OtherEpsilonToo(OtherEpsilon):  # beside another mistake, which matters more
    def forward(self, x):
        return torch.relu(self.branch(x))


def test_an_eps_is_told_from_other_mistakes():
    assert "batch normalisation b2 has an eps of 0.001" in message_of(SmallEpsilon)
    assert "the addition is forgotten" in message_of(OtherEpsilonToo)


def test_a_block_that_learns_nothing():
    for nothing in (lambda i, o, s: nn.Identity(), lambda i, o, s: nn.AvgPool2d(1, s)):
        with pytest.raises(check.NotYet, match="no parameters at all"):
            check.residual_block(nothing)


# ---------------------------------------------------------------- plain blocks and bottlenecks


class MyPlain(Mine):
    def shortcut(self, i, o, s):
        return None

    def forward(self, x):
        return torch.relu(self.branch(x))


def test_plain_blocks():
    check.plain_block(PlainBlock)
    check.plain_block(MyPlain)
    for forward, words in {
        (lambda self, x: self.branch(x)): "last ReLU is missing",
        (lambda self, x: torch.relu(self.branch(x) + x)): "a plain block has no shortcut",
    }.items():
        wrong = type("Wrong", (MyPlain,), {"forward": forward})
        with pytest.raises(check.NotYet, match=words):
            check.plain_block(wrong)


class MyBottleneck(nn.Module):
    strides = staticmethod(lambda s: (1, s, 1))

    def __init__(self, i, w, s):
        super().__init__()
        a, b, c = self.strides(s)
        self.body = nn.Sequential(
            *(conv(i, w, 1, a), nn.BatchNorm2d(w), nn.ReLU()),
            *(conv(w, w, 3, b), nn.BatchNorm2d(w), nn.ReLU()),
            *(conv(w, 4 * w, 1, c), nn.BatchNorm2d(4 * w)),
        )
        project = s != 1 or i != 4 * w
        self.short = nn.Sequential(conv(i, 4 * w, 1, s), nn.BatchNorm2d(4 * w)) if project else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))


def torchvision_bottleneck(i, w, s):
    down = nn.Sequential(tv.conv1x1(i, 4 * w, s), nn.BatchNorm2d(4 * w)) if s != 1 or i != 4 * w else None
    return tv.Bottleneck(i, w, s, down)


class V1(MyBottleneck):
    strides = staticmethod(lambda s: (s, 1, 1))


class StrideLast(MyBottleneck):
    strides = staticmethod(lambda s: (1, 1, s))


class NoMiddleRelu(MyBottleneck):
    def __init__(self, i, w, s):
        super().__init__(i, w, s)
        self.body[5] = nn.Identity()


class NotWidened(nn.Module):
    def __init__(self, i, w, s):
        super().__init__()
        self.block = Bottleneck(i, max(1, w // 4), s)

    def forward(self, x):
        return self.block(x)


def test_bottlenecks():
    for right in (Bottleneck, MyBottleneck, torchvision_bottleneck):
        check.bottleneck(right)
    check.bottleneck(V1, stride_on="1x1")
    for wrong, options, words in [
        (V1, {}, "version 1"),
        (MyBottleneck, {"stride_on": "1x1"}, "v1.5"),
        (StrideLast, {}, "last 1x1 convolution has the stride"),
        (NoMiddleRelu, {}, "between the second and the third"),
        (NotWidened, {}, "parameters instead of"),
    ]:
        with pytest.raises(check.NotYet, match=words):
            check.bottleneck(wrong, **options)
    with pytest.raises(ValueError, match="stride_on"):
        check.bottleneck(MyBottleneck, stride_on="2x2")


# ---------------------------------------------------------------- what a checker leaves behind


def test_an_object_is_no_class():
    with pytest.raises(TypeError, match="class itself"):
        check.residual_block(Mine(8, 8, 1))


def test_the_learners_error_is_shown_with_their_line():
    with pytest.raises(check.NotYet) as caught:
        check.residual_block(Fails)
    assert isinstance(caught.value.__cause__, TypeError)
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert frames[0].filename == __file__
    shown = "\n".join(caught.value._render_traceback_())
    assert "undefined_here" in shown
    assert "/resnet_edu/" not in shown


@pytest.mark.parametrize("block", [EarlyRelu, BareProjection, CutShortcut])
def test_the_traceback_does_not_lead_into_the_checker(block):
    with pytest.raises(check.NotYet) as caught:
        check.residual_block(block)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert len(frames) == 2
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    text = "".join(traceback.format_exception(caught.value))
    assert "check_mistakes" not in text
    assert caught.value._render_traceback_() == [f"NotYet: {caught.value}"]


class Meddles(Mine):
    """Right, but changes what belongs to all."""

    def forward(self, x):
        torch.set_default_dtype(torch.float64)
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        return super().forward(x)


@pytest.mark.parametrize("block", [Mine, EarlyRelu, Fails, Meddles])
def test_all_is_left_as_it_was(block):
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.no_grad():
            try:
                check.residual_block(block)
            except check.NotYet:
                assert block is not Mine
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
