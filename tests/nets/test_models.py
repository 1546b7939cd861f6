"""Nets against the paper's tables, torchvision's nets and weights, and torch's own FLOP counter."""

import inspect

import pytest
import torch
import torchvision.models as tv
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_edu.nets import models
from resnet_edu.nets.blocks import PreActBlock

# Section 4.2 and Table 6 of the paper; the counts are of the facts that many implementations agree on.
CIFAR_PARAMETERS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
IMAGENET_DEPTHS = (18, 34, 50, 101, 152)
PAPER_GMACS = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}


def _count(net):
    return sum(p.numel() for p in net.parameters())


def _gmacs(net, side):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net.to("meta")(torch.empty(1, 3, side, side))
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("depth", CIFAR_PARAMETERS)
@pytest.mark.parametrize("kind", ["resnet", "plain"])
def test_cifar_parameters_are_the_papers(kind, depth):
    net = models.get_model(f"{kind}{depth}")
    assert _count(net) == CIFAR_PARAMETERS[depth]
    weighted = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth  # option A adds none


def test_a_thousand_layers():
    with torch.device("meta"):
        net = models.get_model("resnet1202")
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 1202
    assert round(_count(net) / 1e6, 1) == 19.4  # Table 6


@pytest.mark.parametrize(("depth", "mmacs"), [(20, 40.6), (56, 125.5)])
def test_cifar_multiply_adds(depth, mmacs):
    for residual in (True, False):
        assert round(1000 * _gmacs(models.cifar_net(depth, residual), 32), 1) == mmacs


@pytest.mark.parametrize("depth", IMAGENET_DEPTHS)
def test_multiply_adds_are_within_2_percent_of_the_papers_row(depth):
    gmacs = _gmacs(models.imagenet_net(depth, stride_on="1x1"), 224)
    assert abs(gmacs / PAPER_GMACS[depth] - 1) < 0.02


@pytest.mark.parametrize("depth", IMAGENET_DEPTHS)
def test_state_dict_is_torchvisions(depth):
    with torch.device("meta"):
        ours, theirs = models.get_model(f"resnet{depth}").state_dict(), getattr(tv, f"resnet{depth}")().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("depth", [18, 50])
def test_weights_load_both_ways_and_train_alike(depth):
    torch.manual_seed(depth)
    ours, theirs = models.get_model(f"resnet{depth}", num_classes=5), getattr(tv, f"resnet{depth}")(num_classes=5)
    theirs.load_state_dict(ours.state_dict())
    # In double precision: in single, a deep net turns the order of a sum into visible differences.
    ours, theirs = ours.double(), theirs.double()
    x, y = torch.randn(4, 3, 32, 32, dtype=torch.double), torch.tensor([0, 1, 2, 3])
    for net in (ours, theirs):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        nn.functional.cross_entropy(net.train()(x), y).backward()
        optimizer.step()
    gradients = {k: p.grad for k, p in theirs.named_parameters()}
    for name, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, gradients[name], msg=lambda m, n=name: f"gradient of {n}: {m}")
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))  # statistics included
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("plain", ["plain20", "plain56", "plain18"])
@pytest.mark.parametrize("shortcut", ["zero_pad", "projection", "projection_all"])
def test_twins_start_from_the_same_weights(plain, shortcut):
    torch.manual_seed(3)
    control = models.get_model(plain).state_dict()
    torch.manual_seed(3)
    twin = models.get_model(plain.replace("plain", "resnet"), shortcut=shortcut).state_dict()
    assert all(torch.equal(value, twin[name]) for name, value in control.items())
    extra = {name for name in twin if name not in control}
    assert all("downsample" in name for name in extra)
    assert bool(extra) == (shortcut != "zero_pad")


def test_seeds_decide_the_weights():
    def weight(seed):
        torch.manual_seed(seed)
        return models.resnet20().layer3[2].conv2.weight

    assert torch.equal(weight(0), weight(0))
    assert not torch.equal(weight(0), weight(1))


def test_he_initialisation():
    torch.manual_seed(0)
    weight = models.resnet34().layer4[2].conv2.weight
    assert abs(weight.std().item() / (2 / (512 * 9)) ** 0.5 - 1) < 0.01
    assert abs(weight.mean().item()) < 1e-4


def test_shortcut_options_cost_what_their_layers_cost():
    def extra(shortcut):
        return _count(models.resnet20(shortcut=shortcut)) - CIFAR_PARAMETERS[20]

    b = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)  # two projections with batch norm
    c = b + 3 * (16 * 16 + 2 * 16) + 2 * (32 * 32 + 2 * 32) + 2 * (64 * 64 + 2 * 64)
    assert (extra("zero_pad"), extra("projection"), extra("projection_all")) == (0, b, c)


def test_cifar_stem_keeps_32_pixels():
    net = models.resnet18(stem="cifar", num_classes=10)
    assert _count(net) == 11_173_962  # as the 3x3-stem ResNet-18 of much CIFAR code
    assert net.layer1(net.conv1(torch.zeros(1, 3, 32, 32))).shape == (1, 64, 32, 32)
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert models.resnet50(width=8, stem="cifar", num_classes=10)(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_widths_double_with_every_stage():
    for net in (models.resnet18(width=24), models.resnet50(width=24), models.resnet20(width=24)):
        stages = [getattr(net, name)[0].conv1.out_channels for name in net.stages]
        assert net.conv1.out_channels == 24
        assert stages == [24, 48, 96, 192][: len(stages)]


def test_a_fixed_pooling_fits_the_image_that_it_was_made_for():
    net = models.resnet18(width=8, num_classes=3, pool=7).eval()  # older torchvision: 224 pixels, and a few more
    assert isinstance(net.avgpool, nn.AvgPool2d)
    assert (net.avgpool.kernel_size, net.avgpool.stride) == (7, 1)
    same = models.resnet18(width=8, num_classes=3).eval()
    same.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(net(x), same(x))
        for side in (160, 288):
            with pytest.raises(RuntimeError):
                net(torch.zeros(1, 3, side, side))


def test_either_stem_on_either_family():
    x = torch.zeros(1, 3, 64, 64)
    for net in (models.resnet20(stem="imagenet", width=4), models.resnet18(stem="imagenet", width=4)):
        assert net.maxpool(net.conv1(x)).shape == (1, 4, 16, 16)
    for net in (models.resnet20(width=4), models.resnet18(stem="cifar", width=4)):
        assert net.maxpool is None
        assert net.conv1(x).shape == (1, 4, 64, 64)


def test_a_subclass_of_the_preactivation_block_makes_the_same_net():
    mine = type("Mine", (PreActBlock,), {})
    names = [list(models.ResNet(block, [1, 1], [4, 8], stem="cifar").state_dict()) for block in (PreActBlock, mine)]
    assert names[0] == names[1]


def test_preactivation_net_runs_and_ends_with_a_norm():
    net = models.cifar_net(20, preact=True)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert net.bn1 is None
    assert net.bn2.num_features == 64


def test_grey_images_of_8_pixels():
    assert models.plain20(in_channels=1)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.cifar_net(21), "6n"),
        (lambda: models.cifar_net(20, num_classes=0), "`num_classes` must be at least 1, but it is 0"),
        (lambda: models.resnet20(shortcut="skip"), "'skip'"),
        (lambda: models.cifar_net(20, residual=False, shortcut="projection"), "plain net.*no shortcut"),
        (lambda: models.resnet18(stem="big"), "`stem` must be one of"),
        (lambda: models.resnet50(stride_on="7x7"), "`stride_on`"),
        (lambda: models.resnet18(width=0), "`width` must be at least 1, but it is 0"),
        (lambda: models.resnet20(pool=0), "`pool` must be at least 1, but it is 0"),
        (lambda: models.imagenet_net(19), "must be one of 18, 34, 50, 101, 152, but it is 19"),
        (lambda: models.imagenet_net(50, residual=False), "plain nets have 18 or 34 layers"),
        (lambda: models.get_model("vgg16"), "unknown net 'vgg16'"),
        (lambda: models.get_model("resnet"), "unknown net 'resnet'"),
        (lambda: models.get_model(50), "but it is 50"),
        (lambda: models.resnet20(width=16.0), "`width` must be a whole number, but it is 16.0"),
        (lambda: models.resnet20(stride_on="1x1"), "stride_on"),
        (lambda: models.ResNet(models.BasicBlock, [1], [16, 32]), "equally long"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_named_nets_say_what_they_take():
    assert "shortcut" in inspect.signature(models.resnet20).parameters
    assert "shortcut" not in inspect.signature(models.plain20).parameters
    assert models.resnet20.__name__ == "resnet20"


@pytest.mark.parametrize("options", [{}, {"residual": False}, {"preact": True}, {"shortcut": "projection"}])
def test_without_batch_norm(options):
    torch.manual_seed(0)
    usual = models.cifar_net(8, **options)
    torch.manual_seed(0)
    bare = models.cifar_net(8, **options, batch_norm=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in bare.modules())
    # a bias of zeros for each channel of a convolution, and the very weights of its twin
    biases = {n: p for n, p in bare.named_parameters() if n.endswith("bias") and not n.startswith("fc")}
    assert sum(map(torch.numel, biases.values())) == sum(
        m.out_channels for m in bare.modules() if isinstance(m, nn.Conv2d)
    )
    assert not any(p.any() for p in biases.values())
    weights = dict(usual.named_parameters())
    assert all(torch.equal(p, weights[n]) for n, p in bare.named_parameters() if n not in biases)
    # batch norms that do nothing: mean 0, and 1 under the root
    for m in usual.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_var.fill_(1 - m.eps)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(bare.eval()(x), usual.eval()(x))
