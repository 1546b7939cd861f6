"""Laws of first weights: their variances by torch's own formulas, and what they do to a signal by He's."""

import pytest
import torch
from torch import nn

from resnet_edu.nets.initialise import LAWS, draw_kernels, init_weights, signal_sizes
from resnet_edu.nets.models import cifar_net

VARIANCES = {  # of a convolution with fan_in, fan_out
    "he": lambda i, o: 2 / o,
    "xavier": lambda i, o: 2 / (i + o),
    "pytorch": lambda i, o: 1 / (3 * i),
    "gaussian": lambda i, o: 1e-4,
}


@pytest.mark.parametrize("law", LAWS)
def test_each_law_has_its_variance_and_mean(law):
    net = draw_kernels(nn.Sequential(nn.Conv2d(32, 128, 3), nn.Conv2d(128, 32, 5)), law)
    for conv in net:
        taps = conv.kernel_size[0] ** 2
        wanted = VARIANCES[law](conv.in_channels * taps, conv.out_channels * taps)
        assert conv.weight.var().item() == pytest.approx(wanted, rel=0.03)
        assert abs(conv.weight.mean().item()) < 4 * wanted**0.5 / conv.weight.numel() ** 0.5


def test_pytorchs_law_is_what_a_new_convolution_has():
    torch.manual_seed(0)
    fresh = nn.Conv2d(64, 64, 3).weight.detach()
    drawn = draw_kernels(nn.Conv2d(64, 64, 3), "pytorch").weight.detach()
    assert drawn.var().item() == pytest.approx(fresh.var().item(), rel=0.03)
    assert drawn.abs().max().item() == pytest.approx(fresh.abs().max().item(), rel=0.01)


def test_the_packages_nets_have_the_law_called_he():
    net = cifar_net(20)
    before = [m.weight.var().item() for m in net.modules() if isinstance(m, nn.Conv2d)]
    draw_kernels(net, "he")
    after = [m.weight.var().item() for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert after == pytest.approx(before, rel=0.2)
    init_weights(net, torch.Generator().manual_seed(0))
    assert torch.equal(net.conv1.weight, draw_kernels(cifar_net(20), "he", 0).conv1.weight)


def test_only_kernels_change_and_the_seed_alone_decides():
    state = torch.get_rng_state()
    net = cifar_net(8, batch_norm=False)
    kept = {n: p.clone() for n, p in net.named_parameters() if "conv" not in n or n.endswith("bias")}
    torch.set_rng_state(state)
    one = draw_kernels(net, "gaussian", 3).conv1.weight.clone()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, kept[n]) for n, p in net.named_parameters() if n in kept)
    assert torch.equal(draw_kernels(net, "gaussian", 3).conv1.weight, one)
    assert not torch.equal(draw_kernels(net, "gaussian", 4).conv1.weight, one)
    with pytest.raises(ValueError, match=r"`law` must be one of 'he', 'xavier', .* but it is 'xaver'"):
        draw_kernels(net, "xaver")


def stack(depth, width):
    """Convolutions and ReLU without an edge, where He's derivation is exact for many channels."""
    layers = [nn.Conv2d(width, width, 3, padding=1, bias=False, padding_mode="circular") for _ in range(depth)]
    return nn.Sequential(*(m for conv in layers for m in (conv, nn.ReLU())))


@pytest.mark.parametrize("law", LAWS)
def test_a_layer_changes_the_mean_square_by_fan_in_times_variance_halved(law, one_thread):
    depth, width = 9, 64
    net = draw_kernels(stack(depth, width), law)
    sizes = signal_sizes(net, torch.randn(4, width, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert len(sizes) == depth
    factor = (9 * width * VARIANCES[law](9 * width, 9 * width) / 2) ** 0.5
    assert (sizes[-1] / sizes[0]) ** (1 / (depth - 1)) == pytest.approx(factor, rel=0.04)


def test_sizes_are_of_each_convolutions_output_and_leave_the_net_alone(one_thread):
    net = cifar_net(8).eval()
    before = {n: t.clone() for n, t in net.state_dict().items()}
    images = torch.randn(4, 3, 16, 16)
    sizes = signal_sizes(net, images)
    assert len(sizes) == 7
    assert sizes[0] == pytest.approx(net.conv1(images).square().mean().sqrt().item(), rel=1e-5)
    assert not net.training
    assert not net.conv1._forward_hooks
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


def test_batch_norm_takes_the_statistics_of_these_images(one_thread):
    first, norm, second = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)
    nn.init.constant_(norm.running_var, 100)  # as in eval mode
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = first(images)
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    y = second((x - mean) / (variance + norm.eps).sqrt())
    expected = [v.square().mean().sqrt().item() for v in (x, y)]
    assert signal_sizes(nn.Sequential(first, norm, second).eval(), images) == pytest.approx(expected, rel=1e-4)


def test_sizes_whose_squares_are_too_small_for_float32():
    net = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(net.weight, 1e-30)
    assert signal_sizes(net, torch.ones(1, 1, 2, 2)) == pytest.approx([1e-30], rel=1e-5)
