"""Checkers of blocks reject every wrong answer with its own message, and accept every right one, however it is written.

The right answers are torchvision's block and blocks written here; the wrong ones have one thing changed.
"""

import functools
import inspect
import random
import re
import traceback

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn, relu
from torchvision.models import resnet as tv

from resnet_edu import check
from resnet_edu.nets.blocks import BasicBlock, Bottleneck, PreActBlock, add_shortcut

pytestmark = pytest.mark.usefixtures("one_thread")


def conv(i, o, k=3, s=1, bias=False, padding=None):
    return nn.Conv2d(i, o, k, s, padding=k // 2 if padding is None else padding, bias=bias)


def projection(i, o, s, k=1, bias=False, anyway=False):
    if s == 1 and i == o and not anyway:
        return nn.Identity()
    return nn.Sequential(conv(i, o, k, s, bias), nn.BatchNorm2d(o))


class Mine(nn.Module):
    """A right block; the wrong ones below change a method each."""

    def __init__(self, i, o, s):
        super().__init__()
        self.c1, self.b1, self.c2, self.b2 = conv(i, o, 3, s), nn.BatchNorm2d(o), conv(o, o), nn.BatchNorm2d(o)
        self.short = self.shortcut(i, o, s)
        for name, layer in self.layers(i, o, s).items():
            setattr(self, name, layer)

    def shortcut(self, i, o, s):
        return projection(i, o, s)

    def layers(self, i, o, s):
        """Layers in the place of the right ones."""
        return {}

    def branch(self, x):
        return self.b2(self.c2(relu(self.b1(self.c1(x)))))

    def forward(self, x):
        return relu(self.branch(x) + self.short(x))


# ---------------------------------------------------------------- right answers


def torchvisions(i, o, s):
    down = nn.Sequential(tv.conv1x1(i, o, s), nn.BatchNorm2d(o)) if s != 1 or i != o else None
    return tv.BasicBlock(i, o, s, down)


class ShortcutFirst(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.skip = projection(i, o, s)
        self.body = nn.Sequential(
            conv(i, o, 3, s), nn.BatchNorm2d(o), nn.ReLU(inplace=True), conv(o, o), nn.BatchNorm2d(o)
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
        w, g, h, m, v = (getattr(self, f"{k}{n}") for k in "wghmv")
        return F.batch_norm(F.conv2d(x, w, None, stride, padding), m, v, g, h, training=self.training)

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
def test_right_blocks_pass_with_one_sentence(block, capsys):
    check.residual_block(block)
    out = capsys.readouterr().out
    assert out.startswith(f"✓ {block.__name__}: ")
    assert out.count("✓") == 1
    assert max(map(len, out.splitlines())) <= 72


# ---------------------------------------------------------------- wrong answers: words that the message must have

WRONG = {}


def wrong(*words):
    """Enter a wrong block, and what its message has to name."""

    def enter(block):
        WRONG[block.__name__] = block, words
        return block

    return enter


def variant(name, *words, **methods):
    """Enter `Mine` with other methods."""
    return wrong(*words)(type(name, (Mine,), {"__module__": __name__, **methods}))


def norm(b, v, *statistics):
    """Batch norm by the statistics of the batch, in any mode; the running ones are changed if they are given."""
    return F.batch_norm(v, *(statistics or (None, None)), b.weight, b.bias, training=True)


# the addition, and the ReLU after it
variant("EarlyRelu", "ReLU on the branch before the", forward=lambda b, x: relu(relu(b.branch(x)) + b.short(x)))
variant("OnlyEarlyRelu", "last ReLU comes before the addition", forward=lambda b, x: relu(b.branch(x)) + b.short(x))
variant("NoLastRelu", "last ReLU is missing", forward=lambda b, x: b.branch(x) + b.short(x))
variant("NoAddition", "addition is forgotten:", forward=lambda b, x: relu(b.branch(x)))
variant("NoAdditionNoRelu", "addition is forgotten, and so is the last ReLU", forward=lambda b, x: b.branch(x))
variant("Overwritten", "added to itself", "overwritten", forward=lambda b, x: relu(2 * b.branch(x)))
variant("Minus", "subtracted from the branch", forward=lambda b, x: relu(b.branch(x) - b.short(x)))
variant("Concatenated", "concatenated", forward=lambda b, x: relu(torch.cat([b.branch(x), b.short(x)], 1)))


@wrong("after the first layers", "overwritten")
class OverwrittenAtFirst(Mine):
    def forward(self, x):
        x = relu(self.b1(self.c1(x)))
        return relu(self.b2(self.c2(x)) + x)


@wrong("after the first convolution", "overwritten")
class OverwrittenAtOnce(Mine):
    def forward(self, x):
        x = self.c1(x)
        return relu(self.b2(self.c2(relu(self.b1(x)))) + x)


# ReLU and batch norm on the branch
variant("NoInnerRelu", "between the first two convolutions", branch=lambda b, x: b.b2(b.c2(b.b1(b.c1(x)))))
variant("DroppedNorm", "last batch normalisation is not used", branch=lambda b, x: b.c2(relu(b.b1(b.c1(x)))))
variant("OneIdle", "first batch normalisation is", "never", branch=lambda b, x: b.b1(b.c2(relu(b.b1(b.c1(x))))))
variant("ReluThenNorm", "ReLU comes before batch norm", branch=lambda b, x: b.b2(b.c2(b.b1(relu(b.c1(x))))))
variant("PreActivated", "with the same weights its output differs by", branch=lambda b, x: 0.5 * Mine.branch(b, x))
variant("RandomAlways", "random", "dropout", branch=lambda b, x: F.dropout(Mine.branch(b, x), 0.1, training=True))
variant("OtherMomentum", "momentum", layers=lambda b, i, o, s: {"b1": nn.BatchNorm2d(o, momentum=0.01)})
variant(
    "OtherEps", "b1 has an eps of 0.01", layers=lambda b, i, o, s: {k: nn.BatchNorm2d(o, 0.01) for k in ("b1", "b2")}
)
variant("NoAffine", "scale and shift", layers=lambda b, i, o, s: {"b2": nn.BatchNorm2d(o, affine=False)})
variant(
    *("NoStatistics", "no running mean and variance"),
    layers=lambda b, i, o, s: {k: nn.BatchNorm2d(o, track_running_stats=False) for k in ("b1", "b2")},
)
variant(
    *("OneNormTooMany", "too much: 2 scales, shifts or biases of 8 channels and 2 running statistics"),
    layers=lambda b, i, o, s: {"b3": nn.BatchNorm2d(o)},
    forward=lambda b, x: b.b3(Mine.forward(b, x)),
)
variant(
    *("SharedNorm", "a batch normalisation is missing", "used in two places"),
    layers=lambda b, i, o, s: {"b2": None},
    branch=lambda b, x: b.b1(b.c2(relu(b.b1(b.c1(x))))),
)


@wrong("right in training mode and wrong in evaluation mode")
class AlwaysTraining(Mine):
    def branch(self, x):
        x = relu(norm(self.b1, self.c1(x), self.b1.running_mean, self.b1.running_var))
        return norm(self.b2, self.c2(x), self.b2.running_mean, self.b2.running_var)


@wrong("leaves", "running statistics", "as they were")
class NeverRemembers(Mine):
    def branch(self, x):
        return norm(self.b2, self.c2(relu(norm(self.b1, self.c1(x))))) if self.training else super().branch(x)


# strides and kernels
variant("BothStrides", "stride 2", "twice", layers=lambda b, i, o, s: {"c2": conv(o, o, 3, s)})
variant("LateStride", "another convolution", layers=lambda b, i, o, s: {"c1": conv(i, o), "c2": conv(o, o, 3, s)})
variant("HardCodedStride", "block's stride is 1", layers=lambda b, i, o, s: {"c1": conv(i, o, 3, 2)})
variant(
    *("NoStride", "Height and width stay although the stride is 2"),
    layers=lambda b, i, o, s: {"c1": conv(i, o)},
    shortcut=lambda b, i, o, s: projection(i, o, 1),
)
variant(
    *("NoPadding", "does a 3x3 keep the size?"),
    layers=lambda b, i, o, s: {"c1": conv(i, o, 3, s, padding=0), "c2": conv(o, o, padding=0)},
    forward=lambda b, x: relu((y := b.branch(x)) + b.short(x)[:, :, : y.shape[2], : y.shape[3]]),
)
variant(
    *("LargeKernel", "missing: 1 convolution of 3×3 from 8 to 8 channels; too much: 1 convolution of 5×5"),
    layers=lambda b, i, o, s: {"c2": conv(o, o, 5)},
)
variant(  # as many parameters as the right block has, in other shapes
    *("RightCountWrongShape", "missing: 2 convolutions of 3×3 from 8 to 8 channels; too much: "),
    layers=lambda b, i, o, s: {"c1": conv(i, o, (9, 1), s, padding=(4, 0)), "c2": conv(o, o, (1, 9), padding=(0, 4))},
)
variant(
    *("OneTooMany", "too much"),
    layers=lambda b, i, o, s: {"c3": conv(o, o)},
    branch=lambda b, x: b.b2(b.c3(b.c2(relu(b.b1(b.c1(x)))))),
)
variant(
    *("Biased", "convolutions c1 and c2 have a bias"),
    layers=lambda b, i, o, s: {"c1": conv(i, o, 3, s, True), "c2": conv(o, o, 3, 1, True)},
)

# the shortcut
variant("BiasedProjection", "short.0 has a bias", shortcut=lambda b, i, o, s: projection(i, o, s, bias=True))
variant("LargeProjection", "kernel larger than 1x1", shortcut=lambda b, i, o, s: projection(i, o, s, k=3))
variant("OptionC", "although the shape does not", shortcut=lambda b, i, o, s: projection(i, o, s, anyway=True))
variant("NeverProjects", "the shape changes, but the shortcut has no", shortcut=lambda b, i, o, s: nn.Identity())
variant(
    *("BareProjection", "projection", "batch normalisation"),
    shortcut=lambda b, i, o, s: conv(i, o, 1, s) if s != 1 or i != o else nn.Identity(),
)
variant(
    *("ProjectsForChannelsOnly", "stride changes the shape, although the channels do not"),
    shortcut=lambda b, i, o, s: projection(i, o, s) if i != o else nn.Identity(),
)
variant(
    *("ReluOnProjection", "ReLU on the shortcut"),
    shortcut=lambda b, i, o, s: nn.Sequential(*p, nn.ReLU()) if list((p := projection(i, o, s)).children()) else p,
)

# what is returned, and what is done to the input
variant("Nothing", "returns None", forward=lambda b, x: None)
variant("Pair", "returns tuple", forward=lambda b, x: (Mine.forward(b, x), x))
variant("Double", "torch.float64", forward=lambda b, x: Mine.forward(b, x).double())
variant("IgnoresInput", "same output for different", forward=lambda b, x: Mine.forward(b, torch.ones_like(x)))
variant("CutShortcut", "gradient of the input", "cuts", forward=lambda b, x: relu(b.branch(x) + b.short(x.detach())))
variant("NoGradient", "no gradient comes back", forward=torch.no_grad()(Mine.forward))


@wrong("changes its input", "in place")
class InPlace(Mine):
    def forward(self, x):
        short = self.short(x).clone()
        return relu(self.branch(x.relu_()) + short)


@wrong("TypeError", "self.twig(x) + undefined_here")
class Fails(Mine):
    twig = 3

    def forward(self, x):
        return self.twig(x) + undefined_here  # noqa: F821


@wrong("ShapeMismatchError", "in forward: return relu(add_shortcut(self.branch(x), x[:, :, 1:]))")
class FailsInThePackage(Mine):
    def forward(self, x):
        return relu(add_shortcut(self.branch(x), x[:, :, 1:]))


@wrong("BothArguments(8, 8, 1) raised TypeError")
class BothArguments(Mine):
    def __init__(self, i, o):
        super().__init__(i, o, 1)


@wrong("gives str, and a torch.nn.Module is expected")
def NoModule(i, o, s):
    return "block"


# where the layers are made
@wrong("makes layers in forward (BatchNorm2d and Conv2d)")
class MadeInForward(Mine):
    def forward(self, x):
        o = self.c1.out_channels
        return relu(nn.BatchNorm2d(o)(conv(o, o)(relu(self.b1(self.c1(x))))) + self.short(x))


@wrong("makes layers in forward (Conv2d)")
class MadeLate(Mine):
    def layers(self, i, o, s):
        del self.c2
        return {}

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
        return relu(functools.reduce(lambda y, layer: layer(y), self.layers, x) + x)


@functools.cache
def message_of(block):
    with pytest.raises(check.NotYet) as caught:
        check.residual_block(block)
    return str(caught.value)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_blocks_are_named(name):
    block, words = WRONG[name]
    message = message_of(block)
    assert [word for word in (*words, name) if word not in message] == []
    for leak in ("bias=False", "padding=1", "self.relu(", "out + ", "F.relu", "+ identity", "BasicBlock"):
        assert leak not in message


def test_each_mistake_has_a_message_of_its_own():
    messages = {
        re.sub("[0-9,]+", "0", message_of(block).replace(name, "My")): name for name, (block, _) in WRONG.items()
    }
    assert len(messages) == len(WRONG)


def test_an_eps_is_told_from_other_mistakes():
    small = {"layers": lambda b, i, o, s: {"b2": nn.BatchNorm2d(o, 1e-3)}}  # seen where the values are small
    assert "batch normalisation b2 has an eps of 0.001" in message_of(type("Small", (Mine,), small))
    both = {"forward": WRONG["NoAddition"][0].forward}  # another mistake matters more
    assert "the addition is forgotten" in message_of(type("Both", (WRONG["OtherEps"][0],), both))


def test_other_blocks_and_what_learns_nothing():
    with pytest.raises(check.NotYet):
        check.residual_block(PreActBlock)
    for nothing in (lambda i, o, s: nn.Identity(), lambda i, o, s: nn.AvgPool2d(1, s)):
        with pytest.raises(check.NotYet, match="no parameters at all"):
            check.residual_block(nothing)


# ---------------------------------------------------------------- blocks with other arguments


class ByFlag(nn.Module):
    """A right block whose caller says whether it projects, and whose layers find their channels at the first run."""

    def __init__(self, num_channels, use_1x1conv, strides):
        super().__init__()
        lazy = functools.partial(nn.LazyConv2d, num_channels, bias=False)
        self.c1, self.c2 = lazy(kernel_size=3, stride=strides, padding=1), lazy(kernel_size=3, padding=1)
        self.c3 = lazy(kernel_size=1, stride=strides) if use_1x1conv else None
        norms = (nn.BatchNorm2d(num_channels) for _ in range(3 if use_1x1conv else 2))
        self.norms = nn.ModuleList(norms)

    def forward(self, x):
        y = self.norms[1](self.c2(relu(self.norms[0](self.c1(x)))))
        return relu(y + (self.norms[2](self.c3(x)) if self.c3 else x))


def strided(in_channels, stride, out_channels):
    return Mine(in_channels, out_channels, stride)


def four(in_channels, width, out_channels, stride):
    return Mine(in_channels, out_channels, stride)


@pytest.mark.parametrize(
    ("block", "wrapped"),
    [
        (ByFlag, lambda i, o, s: ByFlag(o, i != o or s > 1, s)),
        (tv.BasicBlock, torchvisions),
        (strided, lambda i, o, s: strided(i, s, o)),
        (four, lambda i, o, s: four(i, o, o, s)),
    ],
)
def test_other_arguments_are_the_first_thing_said(block, wrapped):
    due = "in_channels, out_channels, stride"
    own = ", ".join(inspect.signature(block).parameters)
    hint = f"{block.__name__}({own}) is called with ({due}). Wrap it: `lambda {due}: {block.__name__}(...)`"
    assert message_of(block).startswith(hint)
    assert f"\n{block.__name__}(8, " in message_of(block)
    check.residual_block(wrapped)


# ---------------------------------------------------------------- bottlenecks


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
        self.short = projection(i, 4 * w, s)

    def forward(self, x):
        return relu(self.body(x) + self.short(x))


def torchvisions_bottleneck(i, w, s):
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


def not_widened(i, w, s):
    return Bottleneck(i, max(1, w // 4), s)


def test_bottlenecks():
    for right in (Bottleneck, MyBottleneck, torchvisions_bottleneck):
        check.bottleneck(right)
    for block, words in [
        (V1, "version 1"),
        (StrideLast, "last 1x1 convolution has the stride"),
        (NoMiddleRelu, "between the second and the third"),
        (not_widened, "parameters instead of"),
    ]:
        with pytest.raises(check.NotYet, match=words):
            check.bottleneck(block)


# ---------------------------------------------------------------- what a checker leaves behind


def test_an_object_is_no_class():
    with pytest.raises(TypeError, match="class itself"):
        check.residual_block(Mine(8, 8, 1))


@pytest.mark.parametrize("block", [Fails, FailsInThePackage])
def test_the_learners_error_is_shown_with_their_line(block):
    with pytest.raises(check.NotYet) as caught:
        check.residual_block(block)
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert frames[0].filename == __file__
    shown = "\n".join(caught.value._render_traceback_())
    assert "in forward" in shown
    assert "/check/verdict.py" not in shown
    assert "/check/blocks.py" not in shown


@pytest.mark.parametrize("name", ["EarlyRelu", "BareProjection", "CutShortcut"])
def test_the_traceback_does_not_lead_into_the_checker(name):
    with pytest.raises(check.NotYet) as caught:
        check.residual_block(WRONG[name][0])
    assert len(traceback.extract_tb(caught.value.__traceback__)) == 2
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "mistakes.py" not in "".join(traceback.format_exception(caught.value))
    assert caught.value._render_traceback_() == [f"NotYet: {caught.value}"]


class Meddles(Mine):
    """Right, but changes what belongs to all."""

    def forward(self, x):
        torch.set_default_dtype(torch.float64)
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        return super().forward(x)


@pytest.mark.parametrize("block", [Mine, WRONG["EarlyRelu"][0], Fails, Meddles])
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
