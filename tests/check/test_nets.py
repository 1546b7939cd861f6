"""The checker of whole nets: known mistakes of stages, stem and head are named; torchvision's nets are right."""

import copy
import inspect

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from resnet_edu import check
from resnet_edu.nets import variants
from resnet_edu.nets.blocks import BasicBlock
from resnet_edu.nets.models import cifar_net, plain20, resnet18, resnet20, resnet34


class Block(nn.Module):
    """A block with option A, its zeros on both sides; `relu` says where it has its ReLU."""

    def __init__(self, i, o, s, relu="after"):
        super().__init__()
        self.i, self.o, self.s, self.relu = i, o, s, relu
        self.c1, self.n1 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)
        self.c2, self.n2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)

    def forward(self, x):
        y = self.n2(self.c2(F.relu(self.n1(self.c1(x)))))
        new = self.o - self.i
        short = F.pad(x[:, :, :: self.s, :: self.s], (0, 0, 0, 0, new // 2, new - new // 2))
        return F.relu(y + short) if self.relu == "after" else F.relu(y) + short


class MyNet(nn.Module):
    """A right net for CIFAR; keywords make it wrong."""

    def __init__(self, depth, strides=(1, 2, 2), everywhere=False, less=0, shared=False, classes=10, **wrong):
        super().__init__()
        n = (depth - 2) // 6 - less
        bias, head, stem = wrong.pop("bias", False), wrong.pop("head", "mean"), wrong.pop("stem", nn.ReLU)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=bias), nn.BatchNorm2d(16), stem())
        channels, blocks = 16, []
        for width, stride in zip((16, 32, 64), strides, strict=True):
            blocks.append(Block(channels, width, stride, **wrong))
            more = [Block(width, width, stride if everywhere else 1, **wrong) for _ in range(n - 1)]
            blocks += [more[0]] * len(more) if shared and more else more
            channels = width
        self.body, self.fc, self.head = nn.Sequential(*blocks), nn.Linear(channels, classes), head

    def forward(self, x):
        x = self.body(self.stem(x))
        x = x.amax((2, 3)) if self.head == "max" else x.mean((2, 3))
        x = self.fc(x)
        return {"softmax": F.softmax, "log": F.log_softmax}.get(self.head, lambda v, _: v)(x, 1)


def option_b(depth):
    return cifar_net(depth, shortcut="projection")


def shortened(depth):
    net = MyNet(depth)
    net.body = net.body[:-1]
    return net


WRONG = {
    "first stage only": (lambda d: MyNet(d, strides=(2, 1, 1)), "only the first stage halves"),
    "all stages": (lambda d: MyNet(d, strides=(2, 2, 2)), "every stage halves the map, the first one too"),
    "no stage": (lambda d: MyNet(d, strides=(1, 1, 1)), "no stage halves"),
    "last stage not": (lambda d: MyNet(d, strides=(1, 2, 1)), "stage 3 of 3 keeps"),
    "stride in every block": (lambda d: MyNet(d, everywhere=True), "the stride is in every block of a stage"),
    "too few": (lambda d: MyNet(d, less=1) if d > 8 else MyNet(d), "too few blocks"),
    "missing block": (shortened, "too few blocks"),
    "depth unused": (lambda d: MyNet(8), "the depth is not used"),
    "shared": (lambda d: MyNet(d + 12, shared=True), "layers? run several times"),
    "classes": (lambda d: MyNet(d, classes=100), "from 64 to 100 values"),
    "bias": (lambda d: MyNet(d, bias=True), "convolution stem.0 has a bias"),
    "maximum": (lambda d: MyNet(d, head="max"), "by their maximum"),
    "softmax": (lambda d: MyNet(d, head="softmax"), "a softmax is at the end"),
    "log-softmax": (lambda d: MyNet(d, head="log"), "log-softmax"),
    "stem": (lambda d: MyNet(d, stem=nn.Identity), "ReLU after the first convolution"),
    "relu": (lambda d: MyNet(d, relu="before"), "a ReLU comes before the addition"),
    "plain": (lambda d: cifar_net(d, residual=False), "this is a plain net"),
    "option B": (option_b, "2 more 1x1 convolutions"),
    "unasked": (lambda d: MyNet(d + 6), "too many blocks"),
    "nothing": (lambda d: nn.Sequential(*MyNet(d).children(), nn.Flatten()), "raised RuntimeError"),
}


def test_right_nets_for_cifar(capsys):
    check.network(MyNet)  # zeros on both sides
    check.network(cifar_net)  # zeros after
    check.network(option_b, shortcut="projection")
    assert capsys.readouterr().out.count("✓") == 3


@pytest.mark.parametrize("name", WRONG)
def test_wrong_nets_for_cifar_are_named(name):
    net, words = WRONG[name]
    with pytest.raises(check.NotYet, match=f"(?i){words}"):
        check.network(net)


def by_count(n):
    return MyNet(6 * n + 2)


def by_blocks(block, num_blocks):
    return MyNet(6 * num_blocks[0] + 2)


def by_classes(num_classes, depth):
    return MyNet(depth, classes=num_classes)


def of_blocks(block, layers, num_classes=1000):
    return resnet18(num_classes=num_classes)


@pytest.mark.parametrize(
    ("net", "like", "wrapped"),
    [
        (by_count, "cifar", lambda depth: by_count((depth - 2) // 6)),
        (by_blocks, "cifar", lambda depth: by_blocks(Block, [(depth - 2) // 6] * 3)),
        (by_classes, "cifar", lambda depth: by_classes(10, depth)),
        (of_blocks, "resnet18", lambda: of_blocks(BasicBlock, [2, 2, 2, 2])),
    ],
)
def test_other_arguments_are_the_first_thing_said(net, like, wrapped):
    own, due = (", ".join(inspect.signature(f).parameters) for f in (net, wrapped))
    with pytest.raises(check.NotYet) as told:
        check.network(net, like=like)
    call = f"lambda {due}".rstrip()
    name = net.__name__
    assert str(told.value).startswith(f"{name}({own}) is called with ({due}). Wrap it: `{call}: {name}(...)`")
    check.network(wrapped, like=like)


def test_a_wrong_net_with_the_right_arguments_is_not_told_to_wrap():
    for net in (MyNet, lambda depth, block=Block, num_classes=10: MyNet(depth, bias=True)):
        with pytest.raises(check.NotYet) as told:
            check.network(net, shortcut="projection")
        assert "Wrap it" not in str(told.value)


def test_right_net_for_imagenet():
    check.network(torchvision.models.resnet18, like="resnet18")


@pytest.mark.slow
def test_right_nets_for_imagenet():
    check.network(torchvision.models.resnet50, like="resnet50")
    check.network(resnet34, like="resnet34")


def strided_first(net):
    net.layer1[0] = BasicBlock(64, 64, 2)
    return net


def renamed(net):
    net.blocks1 = net.layer1
    del net.layer1
    net.stages[0] = "blocks1"
    return net


def shorter(net):
    net.layer3 = net.layer3[:-1]
    return net


def first_stage_only(net):
    """The mistake of labml's issues 83, 136 and 205: strides 2, 1, 1, 1."""
    for layer in (net.layer2, net.layer3, net.layer4):
        layer[0].conv1.stride = layer[0].downsample[0].stride = (1, 1)
    return net


def without_pooling(net):
    net.maxpool = nn.Identity()
    return net


def without_norms(net):
    net.layer2[0].downsample = net.layer2[0].downsample[0]
    return net


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (strided_first, "equal numbers of channels"),
        (renamed, "other names"),
        (shorter, "too few blocks"),
        (first_stage_only, "no stage halves"),
        (without_pooling, "max pooling after the first convolution is missing"),
        (without_norms, "a batch normalisation is missing"),
    ],
    ids=lambda v: getattr(v, "__name__", "words"),
)
def test_wrong_nets_for_imagenet_are_named(change, words):
    with pytest.raises(check.NotYet, match=words):
        check.network(lambda: change(resnet18()), like="resnet18")


def test_several_causes_are_ranked_by_the_parameters_that_they_explain():
    """A published net: 11.8 million parameters in six projections, and 59 biases that are nearly none."""
    with pytest.raises(check.NotYet) as told:
        check.network(variants.projected_resnet50, like="resnet50")
    lines = str(told.value).splitlines()[1:]
    explained = [int(line.split()[0].replace(",", "")) for line in lines]
    assert explained == sorted(explained, reverse=True)
    assert "6 projections join equal numbers of channels: where the shape stays" in lines[0]
    assert explained[0] == sum(n * (c * c) for n, c in ((1, 512), (3, 1024), (2, 2048)))
    assert "from 2048 to 10 values" in lines[1]
    assert explained[1] == 990 * (2048 + 1)
    assert "59 convolutions have a bias" in str(told.value)


def test_a_stem_for_small_images_is_named():
    build = variants.cifar_stem_resnet18
    with pytest.raises(check.NotYet, match="the stem, a 3×3 with stride 1, is made for small images"):
        check.network(lambda: build(num_classes=1000), like="resnet18")
    with pytest.raises(check.NotYet, match="7×7 with stride 2, is made for large images"):
        check.network(lambda depth: variants.Variant([(depth - 2) // 6] * 3, (16, 32, 64), num_classes=10))
    with pytest.raises(check.NotYet, match="first convolution has another stride"):
        check.network(lambda d: strided_stem(cifar_net(d)))


def strided_stem(net):
    net.conv1.stride = (2, 2)
    return net


def test_a_published_net_that_is_halved_early_has_two_causes():
    with pytest.raises(check.NotYet) as told:
        check.network(lambda: variants.halved_resnet34(num_classes=1000), like="resnet34")
    assert "does a stage halve the map that should keep its size?" in str(told.value)
    assert "4 batch normalisations are missing" in str(told.value)


def test_options_are_checked():
    with pytest.raises(ValueError, match="like"):
        check.network(MyNet, like="vgg")
    with pytest.raises(TypeError, match="class itself"):
        check.network(MyNet(8))


def test_a_deeper_net_that_is_as_good(capsys):
    shallow = resnet20()
    deep = cifar_net(26)
    for name in ("layer1", "layer2", "layer3"):
        ours, theirs = getattr(deep, name), getattr(shallow, name)
        for block, right in zip(ours, theirs, strict=False):
            block.load_state_dict(right.state_dict())
        nn.init.zeros_(ours[-1].bn2.weight)
    for name in ("conv1", "bn1", "fc"):
        getattr(deep, name).load_state_dict(getattr(shallow, name).state_dict())
    modes = deep.training, shallow.training
    check.same_function(shallow, deep)
    said = capsys.readouterr().out
    assert "25 convolutions compute what 19 do" in said
    assert "layer1 has 2 more, layer2 has 2 more and layer3 has 2 more" in said
    check.same_function(shallow, deep, blocks=1)
    with pytest.raises(check.NotYet, match=r"layer1 of the deep net has 2 more .*; with blocks=2, 4 are due"):
        check.same_function(shallow, deep, blocks=2)
    with pytest.raises(ValueError, match="no stages"):
        check.same_function(nn.Conv2d(3, 3, 1), deep, blocks=2)
    with pytest.raises(ValueError, match="blocks"):
        check.same_function(shallow, deep, blocks=0)
    nested = copy.deepcopy(shallow)
    for name in ("layer1", "layer2", "layer3"):
        setattr(nested, name, nn.Sequential(getattr(nested, name), getattr(deep, name)[-1]))
    check.same_function(shallow, nested, blocks=1)
    capsys.readouterr()
    one_stage = copy.deepcopy(shallow)
    one_stage.layer2.append(deep.layer2[-1])
    check.same_function(shallow, one_stage)
    assert "images: layer2 has 2 more\n" in capsys.readouterr().out
    with pytest.raises(check.NotYet, match="has 0 more convolutions; with blocks=1, 2 are due"):
        check.same_function(shallow, one_stage, blocks=1)
    assert (deep.training, shallow.training) == modes
    assert int(deep.bn1.num_batches_tracked) == 0

    nn.init.ones_(deep.layer2[-1].bn2.weight)
    with pytest.raises(check.NotYet, match="the new layers do something"):
        check.same_function(shallow, deep)
    with pytest.raises(check.NotYet, match="not deeper"):
        check.same_function(shallow, plain20())
    with pytest.raises(check.NotYet, match="the deep net gives 8×7, and the shallow one 8×10"):
        check.same_function(shallow, cifar_net(26, num_classes=7))
    with pytest.raises(TypeError, match="deep"):
        check.same_function(shallow, cifar_net)
    assert torch.is_grad_enabled()
