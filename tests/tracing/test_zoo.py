"""The tracer's sums against independent counters, on our nets and on nets of other families."""

import d2l.torch as d2l
import pytest
import torch
import torchinfo
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_edu.nets import models
from resnet_edu.tracing.run import trace

OURS = [
    ("resnet18", {}, 8),
    ("resnet34", {}, 16),
    ("resnet50", {}, 16),
    ("resnet50", {"stride_on": "1x1"}, 16),
    ("resnet101", {}, 33),
    ("resnet152", {}, 50),
    ("plain18", {}, 0),
    ("plain34", {}, 0),
    ("resnet20", {}, 9),
    ("resnet56", {}, 27),
    ("resnet56", {"preact": True}, 27),
    ("resnet20", {"shortcut": "projection"}, 9),
    ("resnet20", {"shortcut": "projection_all"}, 9),
    ("plain20", {}, 0),
    ("plain56", {}, 0),
]
# The additions of other families: blocks with stride 1 and equal channels (MobileNet, MNASNet, EfficientNet), every
# block (ConvNeXt, RegNet, ResNeXt), two an encoder layer (ViT, Swin), none (VGG, DenseNet, Inception, ...).
OTHERS = [
    ("alexnet", 0),
    ("vgg11", 0),
    ("vgg16_bn", 0),
    ("squeezenet1_1", 0),
    ("densenet121", 0),
    ("googlenet", 0),
    ("inception_v3", 0),
    ("shufflenet_v2_x0_5", 0),
    ("mobilenet_v2", 10),
    ("mobilenet_v3_small", 6),
    ("mnasnet0_5", 10),
    ("efficientnet_b0", 9),
    ("convnext_tiny", 18),
    ("regnet_y_400mf", 16),
    ("resnext50_32x4d", 16),
    ("resnet50", 16),
    ("vit_b_32", 24),
    ("swin_t", 24),
]


def flops(net: nn.Module, shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.empty(shape, device="meta"))
    return counter.get_total_flops()


def build(name: str) -> nn.Module:
    words = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith(("regnet", "swin")):
        return torchvision.models.get_model(name, weights=None)  # their constructors look at values
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None, **words)


def check_sums(net: nn.Module, result) -> None:
    rows = result.rows
    assert result.total_params == sum(r.params for r in rows) == sum(p.numel() for p in net.parameters())
    assert result.total_macs == sum(r.macs for r in rows)
    assert (rows[-1].cumulative_params, rows[-1].cumulative_macs) == (result.total_params, result.total_macs)
    assert [r.index for r in rows] == list(range(len(rows)))
    assert len({(r.path, r.call) for r in rows}) == len(rows)
    for row in rows:
        assert all(s is None or s == "input" or s < row.index for s in row.sources)
        if row.is_add:
            assert {row.main, row.shortcut} == set(row.sources[:2])
            assert row.inputs[0] == row.inputs[1] == row.outputs[0]


@pytest.mark.parametrize(("name", "options", "additions"), OURS)
def test_our_nets(name, options, additions):
    shape = (2, 3, 32, 32) if models.is_cifar_name(name) else (1, 3, 224, 224)
    with torch.device("meta"):
        net = models.get_model(name, **options)
    result = trace(net, shape)
    check_sums(net, result)
    assert len(result.additions) == additions
    assert 2 * result.total_macs == flops(net, shape)


@pytest.mark.parametrize(("name", "additions"), OTHERS)
def test_torchvision_nets(name, additions):
    shape = (1, 3, 299, 299) if name == "inception_v3" else (1, 3, 224, 224)
    net = build(name)
    result = trace(net, shape)
    check_sums(net, result)
    assert len(result.additions) == additions
    assert 2 * result.total_macs == flops(net.to("meta"), shape)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_run_in_training_mode_and_are_listed_otherwise(name):
    net = build(name)
    shape = (2, 3, 299, 299)
    quiet, busy = trace(net, shape), trace(net, shape, mode="train")
    for result in (quiet, busy):
        check_sums(net, result)
    assert any(r.kind == "not called" and r.path.lower().startswith("aux") for r in quiet.rows)
    assert not any(r.kind == "not called" for r in busy.rows)
    assert any(r.path.lower().startswith("aux") and r.macs for r in busy.rows)


@pytest.mark.parametrize("name", ["resnet50", "vgg11", "mobilenet_v2", "squeezenet1_1", "googlenet"])
def test_agrees_with_torchinfo_where_torchinfo_sees_the_layer(name):
    net = build(name).eval()
    shape = (2, 3, 224, 224)
    ours = [r for r in trace(net, shape).rows if not r.path.endswith("()") and r.kind != "not called"]
    summary = torchinfo.summary(net, input_size=shape, device="meta", verbose=0)
    theirs = [layer for layer in summary.summary_list if layer.is_leaf_layer and layer.executed]
    assert [r.kind for r in ours] == [layer.class_name for layer in theirs]
    assert [list(r.outputs[0]) for r in ours] == [layer.output_size for layer in theirs]
    with_params = [(r, t) for r, t in zip(ours, theirs, strict=True) if r.params]
    assert [r.params for r, _ in with_params] == [t.num_params for _, t in with_params]
    for row, layer in with_params:
        if row.kind in ("Conv2d", "Linear") and not row.bias:
            assert row.macs == layer.macs  # torchinfo adds the bias, and counts norms


def test_d2l_net_with_lazy_layers_is_left_lazy():
    net = d2l.resnet18(10, 3) if "resnet18" in dir(d2l) else nn.Sequential(d2l.Residual(8))
    before = {n: type(m) for n, m in net.named_modules()}
    result = trace(net, (1, 3, 96, 96))
    assert {n: type(m) for n, m in net.named_modules()} == before
    assert any(isinstance(p, nn.parameter.UninitializedParameter) for p in net.parameters())
    net(torch.zeros(1, 3, 96, 96))
    check_sums(net, result)
    assert len(result.additions) == 8
    assert [r["stage"] for r in result.view("stages").to_dicts()][1:5] == ["conv2_x", "conv3_x", "conv4_x", "conv5_x"]


class KuangliuBlock(nn.Module):
    """The other common spelling: functional ReLU, `+=`, and an empty Sequential for the identity."""

    def __init__(self, inside, outside, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut = nn.Sequential()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return torch.relu(out)


def test_kuangliu_like_net_has_the_same_tables_as_ours():
    widths = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    blocks = [KuangliuBlock(*w) for w in widths]
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(3, 16, 3, 1, 1, bias=False))
    net.add_module("bn1", nn.BatchNorm2d(16))
    for i in range(3):
        net.add_module(f"layer{i + 1}", nn.Sequential(*blocks[2 * i : 2 * i + 2]))
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("linear", nn.Linear(64, 10))
    shape = (1, 3, 32, 32)
    result, ours = trace(net, shape), trace(models.cifar_net(14, shortcut="projection"), shape)
    check_sums(net, result)
    assert result.view("convs").to_csv() == ours.view("convs").to_csv()
    assert result.total_macs == ours.total_macs
    kinds = [r.shortcut_kind for r in result.additions]
    assert kinds == ["identity", "identity", "projection", "identity", "projection", "identity"]
