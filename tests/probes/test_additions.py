"""What is added where: found in our nets and in torchvision's, against hooks on the blocks."""

import pytest
import torch
import torchvision
from model_state import state, surroundings
from torch import nn

from resnet_edu.nets.models import get_model
from resnet_edu.probes.additions import additions


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", 8), ("resnet50", 16)])
def test_the_sums_of_torchvisions_net(name, blocks):
    """With one state both nets add the same; ReLU of each sum is what its block returns."""
    reference = torchvision.models.get_model(name, weights=None, num_classes=5).eval()
    net = get_model(name, num_classes=5).eval()
    net.load_state_dict(reference.state_dict())
    images, outputs = torch.randn(2, 3, 48, 48), {}
    for path, module in reference.named_modules():
        if path.count(".") == 1 and path.startswith("layer"):
            module.register_forward_hook(lambda _m, i, out, path=path: outputs.update({path: (i[0], out)}))
    theirs, ours = additions(reference, images), additions(net, images)
    assert [a.path for a in ours] == [a.path for a in theirs] == list(outputs)
    assert len(ours) == blocks
    for mine, their in zip(ours, theirs, strict=True):
        entered, left = outputs[mine.path]
        down = reference.get_submodule(mine.path).downsample
        with torch.no_grad():
            shortcut = entered if down is None else down(entered)
        for found in (mine, their):
            assert torch.allclose(found.shortcut, shortcut, atol=1e-5)
            assert torch.allclose(found.branch + found.shortcut, found.total)
            assert torch.allclose(found.total.relu(), left, atol=1e-5)


def test_the_order_of_the_operands_does_not_matter():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return x + self.conv(x)

    class Add(nn.Module):
        def forward(self, one, other):
            return one + other

    class Apart(Block):
        def __init__(self):
            super().__init__()
            self.add = Add()

        def forward(self, x):
            return self.add(self.conv(x), x)

    for block, x in ((Block(), torch.randn(1, 2, 3, 3)), (Apart(), torch.randn(1, 2, 3, 3))):
        (found,) = additions(block, x)
        assert torch.equal(found.shortcut, x)
        assert torch.equal(found.branch, block.conv(x))


def test_nothing_is_changed():
    """Not even in training mode, where batch norm counts and dropout draws."""
    net = nn.Sequential(get_model("resnet8"), nn.Dropout())
    before, values = (state(net), surroundings()), {k: v.clone() for k, v in net.state_dict().items()}
    additions(net, torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert (state(net), surroundings()) == before
    assert all(torch.equal(values[k], v) for k, v in net.state_dict().items())


def test_a_plain_net_adds_nothing_and_no_hook_stays():
    net = get_model("plain8", in_channels=1)
    assert additions(net, torch.randn(2, 1, 8, 8)) == []
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
