"""Right answers, and known slips, of the exercises about shapes and costs: chapters 2 to 5.

Scope: each function is one exercise; what it takes is what is handed in. What is right is computed here and now, by
running or tracing the networks of the package and of torchvision.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...nets.blocks import BasicBlock, Bottleneck, PlainBlock
from ...nets.models import ResNet, plain34, plain56, resnet18, resnet34, resnet50, resnet56
from ...tracing.run import trace
from ..blocks import _compare, builds
from ..verdict import NotYet, ask, name_of
from .parts import choice, number, several, shape

IMAGE = (1, 3, 224, 224)
BUILT = "how the network is built"
COSTS = {"parameters": "total_params", "multiply-adds": "total_macs"}  # what a learner calls them, and a trace


def shapes_of_a_block(conv1: object, conv2: object, shortcut: object) -> str:
    """Exercise 2.2."""
    block, image = BasicBlock(64, 128, stride=2, shortcut="zero_pad"), torch.rand(1, 64, 7, 7)
    first = block.conv1(image)
    floor = "the size is rounded down. Where does the kernel stand last, if it begins at the first pixel?"
    kept = "these are the channels of the input, and the block has 128"
    for name, given, right in (
        ("conv1", conv1, first),
        ("conv2", conv2, block.conv2(first)),
        ("shortcut", shortcut, block.downsample(image)),
    ):
        channels, *size = right.shape[1:]
        down = tuple(s - 1 for s in size)
        slips = {(channels, *down): floor, (64, *size): kept, (64, *down): f"{floor} And {kept}"}
        shape(name, given, (channels, *size), slips)
    return "all three shapes are right, and they fit"


def mended_block(block: Callable[[int], nn.Module]) -> str:
    """Exercise 2.3."""
    builds(block)

    def halve(in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return block(in_channels)

    halve.__name__ = name_of(block)
    for channels, size in ((8, (8, 10)), (16, (7, 9))):
        args = (channels, 2 * channels, 2)
        try:
            _compare(halve, BasicBlock(*args), args, size, 1.0)
        except NotYet as error:
            raise NotYet(str(error).replace(str(args), f"({channels})")) from error.__cause__
    return f"{name_of(block)}: parameters, outputs, statistics and gradients are those of the paper's block"


def zeros_at_the_end(plain: object, residual: object) -> str:
    """Exercise 2.4."""
    found = []
    for net in (plain56(), resnet56()):
        for module in net.modules():
            if isinstance(module, (BasicBlock, PlainBlock)):
                nn.init.zeros_(module.bn2.weight)
        with torch.no_grad():
            a, b = net.eval()(torch.randn(2, 3, 32, 32))
        found.append(int((a != b).sum()))
    every = "what does a plain block pass on if its last scale, and its last shift, is zero?"
    number("plain", plain, found[0], {10: every})
    number("residual", residual, found[1], {0: "is there no other way around the blocks?"})
    return "right for both networks"


def last_maps(imagenet: object, cifar: object) -> str:
    """Exercise 3.2."""
    for name, given in (("imagenet", imagenet), ("cifar", cifar)):
        t = trace(resnet18(stem=name, num_classes=10), (1, 3, 32, 32))
        slips = {
            (512, 7, 7): "that is the last map for an image of 224×224",
            tuple(t.additions[-2].output_shape[1:]): "that is not the last addition",
            (10,): "those are the classes; asked for is the last map, before it is averaged",
        }
        right = tuple(t.additions[-1].output_shape[1:])
        shape(name, given, right, {k: v for k, v in slips.items() if k != right})
    return "both last maps are right"


def wrong_stage(sizes: object, share: object) -> str:
    """Exercise 3.3."""
    net = resnet34()
    net.layer1[0] = BasicBlock(64, 64, stride=2)
    wrong, right = trace(net, IMAGE), trace(resnet34(), IMAGE)

    def of_stages(t: object) -> tuple[int, ...]:
        return tuple(dict.fromkeys(row.output_shape[-1] for row in t.additions))

    slips = {
        of_stages(right): "those are the maps of the right network. Does `layer1[0]` have its new block?",
        (112, 56, 28, 14): "with which stride does the first stage begin now?",
    }
    shape("sizes", sizes, of_stages(wrong), slips)
    whole = wrong.total_macs / right.total_macs
    slips = {
        1 / whole: "it is asked how much is left: wrong by right, not right by wrong",
        1 - whole: "that is what is saved; it is asked how much is left",
        100 * whole: "that is in percent, and a share between 0 and 1 is expected",
        wrong.total_params / right.total_params: "those are parameters, and multiply-adds are asked for",
    }
    number("share", share, whole, slips, within=0.02)
    return "the sizes, and what is left of the multiply-adds, are right"


def two_layers(early_weights: object, early_macs: object, late_weights: object, late_macs: object) -> str:
    """Exercise 4.1."""
    given = {"early": (early_weights, early_macs), "late": (late_weights, late_macs)}
    for when, channels, size in (("early", 64, 224), ("late", 512, 14)):
        weights = nn.Conv2d(channels, channels, 3, bias=False, device="meta").weight.numel()
        slips = {
            weights + channels: "the biases are counted as well",
            weights / 9: "a 3×3 kernel has more than one weight for a pair of channels",
            weights / channels: "every output channel has a kernel for every input channel",
        }
        number(f"{when}_weights", given[when][0], weights, slips, 1e-9)
        slips = {
            weights * size: "an image has height and width",
            2 * weights * size**2: "a multiplication with its addition counts as one",
            weights: "those are the weights; each is used at every pixel",
            weights * (size - 2) ** 2: "with padding 1 the kernel stands at every pixel, the outer ones too",
            (weights + channels) * size**2: "the biases are counted as well",
        }
        number(f"{when}_macs", given[when][1], weights * size**2, slips, 1e-9)
    return "weights and multiply-adds of both layers are right"


def one_width(net: object, falls_more: object) -> str:
    """Exercise 4.3."""
    if not isinstance(net, nn.Module):
        raise NotYet(f"`net` is {net!r}, and a network is expected: not its class, not its trace")
    with torch.device("meta"):
        nets = ResNet(PlainBlock, [3, 4, 6, 3], [64] * 4), plain34()
    thin, usual = (trace(n, IMAGE) for n in nets)
    mine = ask("tracing `net`", trace, net, IMAGE)

    def layers(t: object) -> list[tuple]:
        return [(r.kind, *r.output_shape[1:]) for r in t.rows if r.kind in ("Conv2d", "Linear")]

    if mine.additions:
        raise NotYet(f"`net` has {len(mine.additions)} additions, and a plain network has none")
    if layers(mine) != layers(thin):
        if layers(mine) == layers(usual):
            raise NotYet("`net` is plain-34 as it was: its stages have 64, 128, 256 and 512 channels")
        count = len(layers(mine))
        raise NotYet(
            f"`net` has {count} layers, and plain-34 has 34"
            if count != 34
            else "`net` has 34 layers, but not all have the channels and map sizes that they should"
        )
    factors = {name: getattr(usual, key) / getattr(thin, key) for name, key in COSTS.items()}
    right = max(factors, key=factors.get)
    text = "divide what plain-34 has by what this one has, for both costs"
    choice("falls_more", falls_more, right, {name: text for name in factors if name != right})
    return "the network, and what falls more, are right"


def without_padding(plain_sizes: object, tells: object) -> str:
    """Exercise 4.4."""
    net = plain34()
    for stage in (net.layer2, net.layer3, net.layer4):
        old = stage[0].conv1
        stage[0].conv1 = nn.Conv2d(old.in_channels, old.out_channels, 3, stride=2, bias=False)
    rows = trace(net, IMAGE).rows
    right = tuple(r.output_shape[-1] for r in rows if r.path.endswith("0.conv1"))
    usual = tuple(r.output_shape[-1] for r in trace(plain34(), IMAGE).rows if r.path.endswith("0.conv1"))
    slips = {usual: "those are the sizes with padding 1. Which padding has your new convolution?"}
    shape("plain_sizes", plain_sizes, right, slips)
    choice("tells", tells, "residual", {"plain": "does it raise an error? Its next layer takes maps of any size"})
    return "the sizes, and the network that tells, are right"


def count_of_the_paper(vgg16: object, vgg19: object, nearer: object) -> str:
    """Exercise 4.5."""
    import torchvision  # here and below, because it takes a second

    published = {16: 15.3, 19: 19.6}  # billions, section 4.1 of the paper
    names, right = ("convolutions", "all"), []
    for depth, given in ((16, vgg16), (19, vgg19)):
        with torch.device("meta"):
            t = trace(getattr(torchvision.models, f"vgg{depth}")(), IMAGE)
        counts = [sum(r.macs for r in t.rows if r.kind == "Conv2d") / 1e9, t.total_macs / 1e9]
        values = several(f"vgg{depth}", given, 2, "numbers, convolutions and all,")
        for name, value, count, other in zip(names, values, counts, counts[::-1], strict=True):
            slips = {
                2 * count: "a multiplication with its addition counts as one",
                count * 1e9: "in billions, please",
                other: "the two are exchanged: convolutions first, then all",
            }
            number(f"{name} of vgg{depth}", value, count, slips)
        right.append(names[min((0, 1), key=lambda i: abs(counts[i] - published[depth]))])
    words = several("nearer", nearer, 2, "words")
    for depth, word, wanted in zip(published, words, right, strict=True):
        text = f"which of your two counts is nearer to the paper's {published[depth]}?"
        choice(f"nearer, vgg{depth}", word, wanted, {name: text for name in names if name != wanted})
    return "all four counts, and which of them the paper's numbers are nearer to, are right"


def same_keys_other_outputs(changes: object) -> str:
    """Exercise 5.3."""
    import torchvision

    theirs = torchvision.models.resnet50(weights=None).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs(images)
    kinds, outputs = [], []
    for place, change in enumerate(several("changes", changes, 3, "pairs (network, preparation)"), start=1):
        net, prepare = several(f"change {place}", change, 2, "things, a network and what is done to its images,")
        kind, output = _kind_of_change(f"change {place}", net, prepare, theirs, images, wanted)
        for other, before in enumerate(outputs, start=1):
            if torch.allclose(output, before, atol=1e-2 * wanted.std().item()):
                raise NotYet(f"changes {other} and {place} give the same output: they are one change")
            if kinds[other - 1] == kind != BUILT:  # a network can be built in several wrong ways
                raise NotYet(f"changes {other} and {place} are both of {kind}. What else has no weights?")
        kinds.append(kind)
        outputs.append(output)
    return "three changes: all keys match, and every output is another"


def _kind_of_change(
    place: str, net: object, prepare: Callable[[Tensor], Tensor], theirs: nn.Module, images: Tensor, wanted: Tensor
) -> tuple[str, Tensor]:
    if not isinstance(net, nn.Module) or not callable(prepare):
        raise NotYet(f"{place} is {(net, prepare)!r}: a network, and a function of the images, are expected")
    net = copy.deepcopy(net)
    mode = any(isinstance(m, nn.BatchNorm2d) and m.training for m in net.modules())
    ask(f"{place}: load_state_dict", net.load_state_dict, theirs.state_dict())
    given = ask(f"{place}: the preparation", prepare, images.clone())
    with torch.no_grad():
        output = ask(f"{place}: the network", net, given)
    if output.shape != wanted.shape:
        raise NotYet(f"{place} gives {tuple(output.shape)}, and it should look like an answer: {tuple(wanted.shape)}")
    if ((output - wanted).abs().max() / wanted.std()).item() < 0.1:
        raise NotYet(f"{place} changes the output by less than a tenth of its deviation: it has no effect")
    changed = not torch.equal(given, images)
    with torch.no_grad():
        built = not torch.allclose(net.eval()(images), wanted, atol=1e-2 * wanted.std().item())
    found = {"the images": changed, "the mode": mode, BUILT: built}
    return " and ".join(name for name, is_so in found.items() if is_so), output


def option_c(block: object, parameters: object, macs: object) -> str:
    """Exercise 5.4."""

    def weights(kind: str) -> float:
        made = Bottleneck(256, 64, shortcut=kind)
        return sum(m.weight.numel() for m in made.modules() if isinstance(m, nn.Conv2d)) / 64**2

    slips = {
        weights("projection"): "that is the block as it was; the projection is still to be added",
        weights("projection_all") - weights("projection"): "that is the projection alone",
    }
    number("block", block, weights("projection_all"), slips, 1e-9)
    with torch.device("meta"):
        b, c = (trace(resnet50(shortcut=kind), IMAGE) for kind in ("projection", "projection_all"))
    for name, given in (("parameters", parameters), ("macs", macs)):
        key = COSTS["parameters" if name == "parameters" else "multiply-adds"]
        ratio = getattr(c, key) / getattr(b, key)
        slips = {
            ratio: "that is how many times as many there are; asked for is what is added, as a share of what was",
            100 * (ratio - 1): "that is in percent, and a share is expected",
            1 - 1 / ratio: "that is the share of the larger network; the smaller one is what it is added to",
        }
        number(name, given, ratio - 1, slips, within=0.02)
    return "the block, and what is added to the whole network, are right"
