"""Blocks against hand-written formulas, torchvision's blocks and autograd."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import resnet as tv
from torchvision.models.feature_extraction import create_feature_extractor

from resnet_edu.nets import blocks
from resnet_edu.nets.models import get_model


def _image(channels=8, size=8):
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("out_channels", "stride"), [(8, 1), (16, 1), (16, 2), (8, 2), (16, 3)])
def test_zero_pad_is_the_formula_of_option_a(size, out_channels, stride):
    x = _image(size=size)
    y = blocks.ZeroPadShortcut(8, out_channels, stride)(x)
    assert torch.equal(y[:, :8], x[:, :, ::stride, ::stride])
    assert y.shape[1] == out_channels
    assert not y[:, 8:].any()


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shortcut", ["zero_pad", "projection", "projection_all"])
@pytest.mark.parametrize("block", [blocks.BasicBlock, blocks.Bottleneck, blocks.PreActBlock])
def test_every_block_gives_the_documented_shape(block, shortcut, stride, size):
    y = block(8, 16, stride, shortcut=shortcut)(_image(size=size))
    side = -(-size // stride)
    assert y.shape == (2, 16 * block.expansion, side, side)


def _conv_bn(x, conv, bn):
    x = F.conv2d(x, conv.weight, None, conv.stride, conv.padding)
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + bn.eps).sqrt()


def test_basic_block_is_relu_of_f_plus_x():
    block, x = blocks.BasicBlock(8, 8), _image()
    f = _conv_bn(F.relu(_conv_bn(x, block.conv1, block.bn1)), block.conv2, block.bn2)
    torch.testing.assert_close(block(x), F.relu(f + x))


def test_plain_block_is_the_same_without_x():
    block, x = blocks.PlainBlock(8, 8), _image()
    f = _conv_bn(F.relu(_conv_bn(x, block.conv1, block.bn1)), block.conv2, block.bn2)
    torch.testing.assert_close(block(x), F.relu(f))


def test_preact_block_is_x_plus_f_of_the_activated_x():
    block, x = blocks.PreActBlock(8, 8), _image()

    def bn(z):
        return (z - z.mean((0, 2, 3), keepdim=True)) / (z.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()

    f = F.conv2d(F.relu(bn(x)), block.conv1.weight, padding=1)
    f = F.conv2d(F.relu(bn(f)), block.conv2.weight, padding=1)
    torch.testing.assert_close(block(x), x + f)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("train", [True, False])
def test_blocks_equal_torchvisions(train, stride):
    x = _image(channels=64)
    downsample = blocks.make_shortcut("projection", 64, 128, stride)
    theirs = tv.BasicBlock(64, 128, stride, downsample).train(train)
    ours = blocks.BasicBlock(64, 128, stride).train(train)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    theirs = tv.Bottleneck(64, 32, stride, blocks.make_shortcut("projection", 64, 128, stride)).train(train)
    ours = blocks.Bottleneck(64, 32, stride).train(train)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_zeroed_branch_leaves_the_identity():
    block, x = blocks.BasicBlock(8, 8), _image().relu()
    torch.nn.init.zeros_(block.bn2.weight)
    assert torch.equal(block(x), x)
    plain = blocks.PlainBlock(8, 8)
    torch.nn.init.zeros_(plain.bn2.weight)
    assert not plain(x).any()


def test_stride_of_a_bottleneck_is_where_it_was_asked_for():
    paper = blocks.Bottleneck(256, 128, 2, stride_on="1x1")
    v15 = blocks.Bottleneck(256, 128, 2)
    assert (paper.conv1.stride, paper.conv2.stride) == ((2, 2), (1, 1))
    assert (v15.conv1.stride, v15.conv2.stride) == ((1, 1), (2, 2))


def test_projection_is_only_where_the_option_says():
    kinds = {
        kind: [blocks.make_shortcut(kind, 8, 8), blocks.make_shortcut(kind, 8, 16, 2)] for kind in blocks.SHORTCUTS
    }
    drawn = {kind: [type(module).__name__ for module in modules] for kind, modules in kinds.items()}
    assert drawn == {
        "identity": ["NoneType", "NoneType"],
        "zero_pad": ["NoneType", "ZeroPadShortcut"],
        "projection": ["NoneType", "Sequential"],
        "projection_all": ["Sequential", "Sequential"],
    }


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (lambda: blocks.BasicBlock(64, 128, 2, shortcut="identity"), r"\(1, 128, 4, 4\).*\(1, 64, 8, 8\).*stride 2"),
        (lambda: blocks.BasicBlock(64, 128, shortcut="identity"), "'projection'.*'zero_pad'.*stride 1"),
        (lambda: blocks.BasicBlock(64, 32, shortcut="identity"), r"'projection' \(option B\) with stride 1"),
    ],
)
def test_shapes_that_cannot_be_added_name_both_and_what_fits(block, message):
    with pytest.raises(blocks.ShapeMismatchError, match=message):
        block()(torch.zeros(1, 64, 8, 8))


def test_the_advice_works():
    for channels, stride in [(128, 2), (64, 1), (32, 2), (96, 4)]:
        try:
            blocks.BasicBlock(64, channels, stride, shortcut="identity")(torch.zeros(2, 64, 8, 8))
        except blocks.ShapeMismatchError as error:
            for kind in ("projection", "zero_pad"):
                if repr(kind) in str(error):
                    blocks.BasicBlock(64, channels, stride, shortcut=kind)(torch.zeros(2, 64, 8, 8))


def test_addition_never_broadcasts():
    with pytest.raises(blocks.ShapeMismatchError, match="no shortcut reaches"):
        blocks.add_shortcut(torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 1, 1))
    with pytest.raises(blocks.ShapeMismatchError, match="same batch size"):
        blocks.add_shortcut(torch.zeros(2, 8, 4, 4), torch.zeros(1, 8, 4, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: blocks.BasicBlock(8, 8, shortcut="skip"), "must be one of 'identity'.*but it is 'skip'"),
        (lambda: blocks.BasicBlock(16, 8, shortcut="zero_pad"), "16 would become 8"),
        (lambda: blocks.BasicBlock(0, 8), "`in_channels` must be at least 1"),
        (lambda: blocks.Bottleneck(8, 8, 2, stride_on="5x5"), "`stride_on` must be one of"),
        (lambda: blocks.PlainBlock(8, 8, 0), "`stride` must be at least 1"),
        (lambda: blocks.ZeroPadShortcut(4, 8, 0), "`stride` must be at least 1, but it is 0"),
        (lambda: blocks.ZeroPadShortcut(0, 8), "`in_channels` must be at least 1"),
        (lambda: blocks.ZeroPadShortcut("4", 8), r"`in_channels` must be a whole number, but it is '4' \(str\)"),
        (lambda: blocks.make_shortcut("projection", 4, 8, 0), "`stride` must be at least 1"),
        (lambda: blocks.make_shortcut("identity", 4, "8"), "`out_channels` must be a whole number"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("name", ["resnet8", "resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_nets_can_be_traced_and_taken_apart(name):
    """torch.fx, torch.export, and torchvision's feature extraction, against the net and hooks on it."""
    net, x, wanted = get_model(name).eval(), torch.randn(2, 3, 32, 32), {}
    for stage in ("layer1", "layer3"):
        net.get_submodule(stage).register_forward_hook(lambda _m, _i, out, stage=stage: wanted.update({stage: out}))
    whole, kept = net(x), dict(wanted)  # the hooks will see what is traced as well
    found = create_feature_extractor(net, ["layer1", "layer3"])(x)
    assert found.keys() == {"layer1", "layer3"}
    assert all(torch.equal(found[stage], kept[stage]) for stage in found)
    assert torch.equal(torch.fx.symbolic_trace(net)(x), whole)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(program.module()(x), whole)
    assert program.module()(x[:1]).shape == (1, whole.shape[1])


def test_a_traced_block_adds_what_the_block_adds():
    class Own(torch.nn.Module):
        def forward(self, main, shortcut):
            return blocks.add_shortcut(main, shortcut)

    traced, x = torch.fx.symbolic_trace(Own()), torch.randn(1, 2, 3, 3)
    assert torch.equal(traced(x, 2 * x), 3 * x)
    with pytest.raises(blocks.ShapeMismatchError):
        Own()(x, x[:, :, :1, :1])
