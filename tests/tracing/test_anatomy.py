"""The traits that `anatomy` reads off a trace, beside the paper's table 1 and what is known of other nets."""

import pytest
import torch
import torchvision

from resnet_edu import plain20, resnet18, resnet50, trace
from resnet_edu.nets import cifar_net, get_model
from resnet_edu.tracing.anatomy import anatomy

TABLE_1 = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # of the paper


@pytest.mark.parametrize("depth", TABLE_1)
def test_the_nets_of_table_1(depth):
    with torch.device("meta"):
        t = trace(get_model(f"resnet{depth}"), (1, 3, 224, 224))
    found = anatomy(t)
    assert (found["depth"], found["layers"]) == (depth, TABLE_1[depth])
    assert (found["sizes"], found["strides"]) == ((56, 28, 14, 7), (1, 2, 2, 2))
    assert found["widths"] == tuple(c * (4 if depth > 34 else 1) for c in (64, 128, 256, 512))
    assert sum(found["costs"]) == found["macs"] == t.total_macs
    assert (found["biases"], found["projections"], found["head"]) == ("none", 0, "mean")


def traits(net, size=32):
    return anatomy(trace(net, (1, 3, size, size)))


def test_what_tells_nets_of_one_depth_apart():
    assert traits(resnet18())["block"] == "3×3 bn relu 3×3 bn + relu"
    assert traits(cifar_net(14, preact=True))["block"] == "bn relu 3×3 bn relu 3×3 +"
    assert traits(resnet50(stride_on="1x1"))["stride on"] == "1×1"
    assert traits(torchvision.models.resnet50())["stride on"] == "3×3"
    assert [traits(cifar_net(14, shortcut=kind))["shortcut"] for kind in ("zero_pad", "projection")] == [
        "zero padding",
        "1×1 bn",
    ]
    assert traits(resnet18(shortcut="projection_all"))["projections"] == 5  # of 8 blocks, 3 change the shape
    assert traits(resnet18(pool=1))["head"] == "mean"
    assert traits(resnet18(stem="cifar"))["stem"] == "3×3 bn relu"


def test_a_squeeze_on_the_branch_is_seen():
    block = traits(torchvision.models.regnet_y_400mf(), 64)["block"]
    assert "sigmoid" in block
    assert block.startswith("1×1 bn relu 3×3 in ")


def test_a_net_without_additions_is_refused():
    with pytest.raises(ValueError, match="adds no two maps"):
        traits(plain20())
