"""The network explorer's class: its settings, what it refuses, and what a page without JavaScript shows."""

import html
import re
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn
from traitlets import TraitError

from resnet_edu.nets import models
from resnet_edu.tracing.run import TraceError, trace
from resnet_edu.widgets import NetworkExplorer
from resnet_edu.widgets.network import DEPTHS


def test_a_name_gives_the_net_as_it_is_usually_used():
    for name in ("resnet50", "plain18", "resnet20", "plain110"):
        with torch.device("meta"):
            shown, usual = NetworkExplorer(name).net().state_dict(), models.get_model(name).state_dict()
        assert {k: v.shape for k, v in shown.items()} == {k: v.shape for k, v in usual.items()}
    assert NetworkExplorer("resnet20").input == [3, 32, 32]
    assert NetworkExplorer("resnet50", family="cifar").net().fc.in_features == 64


def test_settings_reach_the_net_and_its_trace():
    explorer = NetworkExplorer(
        "resnet50",
        input=(1, 64, 96),
        shortcut="zero_pad",
        stride_on="1x1",
        stem="cifar",
        width=8,
        num_classes=3,
        batch=5,
    )
    net = models.imagenet_net(
        50, shortcut="zero_pad", stride_on="1x1", stem="cifar", width=8, num_classes=3, in_channels=1
    )
    assert explorer.trace().rows == trace(net, (5, 1, 64, 96)).rows
    explorer.pool, explorer.input = 7, (1, 224, 224)
    with pytest.raises(TraceError, match="fc"):
        explorer.trace()
    with explorer.hold_trait_notifications():
        explorer.residual = False
        explorer.depth = 34
    assert not explorer.net().layer1[0]._modules.get("downsample")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet50", {"residual": False}, "plain nets of this family have 18 or 34 layers, but `depth` is 50"),
        ("plain101", {}, "plain nets of this family have 18 or 34 layers"),
        ("resnet21", {}, "`depth` of the family 'cifar' must be one of 8, 14, 20, .*, but it is 21"),
        ("resnet1202", {}, "`depth` must be from 8 to 152, but it is 1202"),
        ("resnet18", {"input": (3, 4, 224)}, r"`input\[1\]` must be from 8 to 512, but it is 4"),
        ("resnet18", {"input": (3, 224)}, "'input' trait .* must be of length 3"),
        ("resnet18", {"input": "3x224x224"}, "'input' trait .* must be of length 3"),
        ("resnet18", {"shortcut": "skip"}, "'shortcut' trait .*'identity', .*'skip'"),
        ("resnet18", {"batch": 0}, "`batch` must be from 1 to 256, but it is 0"),
        ("resnet18", {"width": 2.5}, "`width` must be a whole number, but it is 2.5"),
    ],
)
def test_what_no_net_has_is_refused(name: str, settings: dict, message: str):
    with pytest.raises(TraitError, match=message):
        NetworkExplorer(name, **settings)


def test_a_wrong_setting_leaves_the_old_one():
    explorer = NetworkExplorer("resnet18")
    with pytest.raises(TraitError):
        explorer.depth = 20
    with pytest.raises(TraitError):
        explorer.input = [3, 0, 0]
    assert (explorer.depth, explorer.input) == (18, [3, 224, 224])


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match="unknown net 'vgg16'"):
        NetworkExplorer("vgg16")
    with pytest.raises(TypeError, match="but it is 50"):
        NetworkExplorer(50)
    with pytest.raises(TypeError, match="give the input's shape too"):
        NetworkExplorer(nn.ReLU())
    with pytest.raises(TypeError, match=r"no setting 'depht'; it has .*depth"):
        NetworkExplorer("resnet18", depht=34)


@pytest.mark.parametrize("family", DEPTHS)
def test_every_depth_that_is_offered_can_be_built(family: str):
    explorer = NetworkExplorer("resnet20", family=family, depth=DEPTHS[family][0])
    for depth in DEPTHS[family]:
        explorer.depth = depth
    with torch.device("meta"):
        assert explorer.net() is not None


# ---------------------------------------------------------------- a model of one's own


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (models.resnet34, (2, 3, 96, 96)),
        (torchvision.models.vgg11, (1, 3, 64, 64)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), (1, 3, 2, 2)),
        (nn.ReLU, (1, 3)),
    ],
)
def test_a_model_of_ones_own_is_cut_into_parts(build: Callable[[], nn.Module], shape: tuple):
    with torch.device("meta"):
        model = build()
    result = trace(model, shape)
    for explorer in (NetworkExplorer(model, shape), NetworkExplorer(result)):
        own = explorer.traced
        assert len(own["rows"]) == len(result.rows)
        covered = [i for part in own["parts"] for i in range(part["first"], part["last"] + 1)]
        assert covered == list(range(len(result.rows)))
        assert [part["shape"] for part in own["parts"]][-1] == list(result.rows[-1].outputs[0])
        assert explorer.trace().rows == result.rows
        with pytest.raises(ValueError, match="model of your own"):
            explorer.net()


# ---------------------------------------------------------------- without JavaScript


def words(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", markup))


def test_without_javascript_there_are_stages_and_layers():
    explorer = NetworkExplorer("resnet18")
    text = words(explorer.static_html())
    assert "11,689,512" in text
    assert "layer4.1.add()" in text
    assert "conv5_x" in explorer.static_text()
    assert len(NetworkExplorer("resnet152").static_html()) < 10_000  # the stages only


def test_without_javascript_an_error_is_told_with_the_layers_before_it():
    text = words(NetworkExplorer("resnet18", shortcut="identity").static_html())
    assert "cannot add the main path (1, 128, 28, 28) and the shortcut (1, 64, 56, 56)" in text
    assert "layer2.0.bn2" in text
    assert "layer2.1" not in text


def test_without_javascript_a_model_of_ones_own_is_a_table():
    with torch.device("meta"):
        model = torchvision.models.vgg11()
    assert "classifier.6" in words(NetworkExplorer(model, (1, 3, 64, 64)).static_html())
