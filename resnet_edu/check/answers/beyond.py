"""Answers to the exercises of chapters 8 to 14."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...data.dataset import load
from ...experiment.shipped import load_trained
from ...nets import variants
from ...nets.blocks import PreActBlock
from ...nets.models import resnet18, resnet50
from ...probes.subject import Subject, loss_and_error
from ...tracing.anatomy import anatomy
from ...tracing.run import Trace, trace
from ...training.recipe import Recipe
from ..compare import check_forward, compare_numbers, randomize
from ..values import as_list, as_number, check_choice, check_number, check_shape
from ..verdict import NotYet, build, call, called_with, check_callable
from ..which import which_resnet
from .table import exercise

IMAGE = (1, 3, 224, 224)


@exercise("8.1")
def _paths(paths: object, left: object, branches: object) -> str:
    check_number("paths", paths, 2**27, {54: "each block doubles the ways, it does not add two"}, 0)
    check_number("left", left, 1 / 32, {22 / 27: "that is the share of the blocks", 31 / 32: "that is what is gone"})
    check_number("branches", branches, 13.5, {27: "that is the longest way"}, 0)
    return "ways, what is left of them, and their mean length are right"


@exercise("8.2")
def _turned_round(plain: object, residual: object) -> str:
    for name, kind, given in (("plain", "plain", plain), ("residual", "resnet", residual)):
        net = load_trained(f"{kind}56", study="digits")
        batches = Subject(name, net, load("digits")).batches("test")
        slips = {loss_and_error(net, batches)[1]: "that is the network as it was"}
        net.layer3 = nn.Sequential(net.layer3[0], *list(net.layer3)[:0:-1])
        right = loss_and_error(net, batches)[1]
        check_number(name, given, right, slips, within=0.6 / right)  # two images of 360
    return "both errors are those of the last stage turned round"


@exercise("8.3")
def _decay(share: object) -> str:
    recipe = Recipe.paper()
    pull = recipe.weight_decay * sum(map(recipe.lr_at, range(recipe.steps)))
    slips = {math.exp(-pull): "momentum makes a steady pull ten times as strong"}
    check_number("share", share, math.exp(-pull / (1 - recipe.momentum)), slips)
    return "so little would be left"


@exercise("9.1")
def _one_name(depth: object, option: object) -> str:
    check_number("depth", depth, 20, {18: "that is its name; what does the number of parameters say?"}, 1e-9)
    check_choice("option", option, "B", "ABC", "count the parameters of a network of that depth with each option")
    return "the parameters tell which network it is"


@exercise("9.2")
def _needless(reader: Callable[[Trace], object]) -> str:
    name = check_callable(reader)
    for net in (variants.projected_resnet50(), variants.labml_resnet20(), resnet18(shortcut="projection_all")):
        traced = trace(net, (1, 3, 32, 32))
        got, right = as_number(f"{name}(t)", call(f"{name}(t)", reader, traced)), anatomy(traced)["projections"]
        every = sum(a.shortcut_kind != "identity" for a in traced.additions)
        check_number(f"{name}(t)", got, right, {every: "that is every shortcut with something on it"}, 1e-9)
    return f"{name} is right for three networks"


@exercise("9.3")
def _repaired(net: nn.Module) -> str:
    found, due = which_resnet(net), "the paper's for CIFAR-10, with option B"
    if found.nearest != due or found.differences:
        raise NotYet(f"`net` is nearest to {found.nearest}; it differs in {', '.join(found.differences) or 'nothing'}")
    check_number("the number of layers", found.traits["depth"], 20, within=1e-9)
    return f"{found.name} with option B, in all that a trace shows"


@exercise("10.1")
def _five_reports(bugs: object) -> str:
    hints = {
        "steps on test": "which images does it know by heart?",
        "no eval": "what changes for a net when it is asked about one image at a time?",
        "strict=False": "how many of its tensors were loaded?",
        "last epoch": "which of two nets is in the file?",
        "training transforms": "the weights and the mode are the same both times. Are the images?",
    }
    words = as_list("bugs", bugs, 5, "words")
    for place, word, right in zip(("i", "ii", "iii", "iv", "v"), words, hints, strict=True):
        check_choice(f"report {place}", word, right, hints, hints[right])
    return "all five reports have their bugs"


@exercise("10.3")
def _loads_all(load: Callable[[nn.Module, dict[str, Tensor]], object]) -> str:
    name, fresh = check_callable(load), nn.Sequential(nn.Conv2d(1, 2, 3), nn.ModuleDict({"module": nn.BatchNorm2d(2)}))
    trained = copy.deepcopy(fresh)
    randomize(trained)
    for prefix in ("", "module."):
        saved = {prefix + key: tensor for key, tensor in trained.state_dict().items()}
        mine, (first, *rest) = copy.deepcopy(fresh), saved
        call(f"{name}(net, saved)", load, mine, dict(saved))
        if not all(torch.equal(t, saved[prefix + key]) for key, t in mine.state_dict().items()):
            raise NotYet(f"{name}: not all tensors arrive in the net if the names begin with {prefix + '0.weight'!r}")
        for what, wrong in (("lacks", {k: saved[k] for k in rest}), ("has more than", saved | {"more": saved[first]})):
            try:
                load(copy.deepcopy(fresh), wrong)
            except Exception:  # as it should be, of whatever kind
                continue
            raise NotYet(f"{name} is silent if a file {what} what the net needs")
    return f"{name}: all tensors, with a prefix and without, or an error"


@exercise("11.1")
def _speed(per_second: object, hours: object) -> str:
    right = 20 * 50_000 / 4555.5
    slips = {right / 20: "there are 20 epochs", right * 1.2: "test images are not trained on"}
    check_number("per_second", per_second, right, slips, 0.01)
    check_number("hours", hours, 64_000 * 128 / right / 3600, {64_000 / right / 3600: "a step is 128 images"}, 0.01)
    return "speed and hours are right"


@exercise("11.3")
def _sizes(as_published: object, padded: object) -> str:
    for name, given, right in (("as_published", as_published, (71, 166)), ("padded", padded, (65, 160))):
        given = as_list(name, given, 2, "numbers")
        check_number(f"{name}[0]", given[0], right[0], {right[0] + 1: "one pixel less passes, too"}, 1e-9)
        check_number(f"{name}[1]", given[1], right[1], {right[1] - 1: "one pixel more passes, too"}, 1e-9)
    return "smallest and largest images are right"


@exercise("12.1")
def _always(error: object, mean_of_classes: object) -> str:
    check_number("error", error, 10.0, {0.1: "in percent, please", 90: "that is how many are right"}, 1e-9)
    slips = {0.5: "in percent, please", 10: "each class counts once"}
    check_number("mean_of_classes", mean_of_classes, 50.0, slips, 1e-9)
    return "both errors are right"


@exercise("12.2")
def _without_mistake(images: object) -> str:
    right = 381  # the first n with z^2 / (n + z^2) below 0.01, z = 1.96
    slips = {right - 1: "with one picture less the end lies above 1% still", 299: "that is for the exact interval"}
    check_number("images", images, right, slips, 1e-9)
    return "from 381 pictures on"


@exercise("12.3")
def _confusion(confusion: Callable[[Tensor, Tensor, int], Tensor]) -> str:
    from sklearn.metrics import confusion_matrix

    name, (truth, said) = check_callable(confusion), torch.randint(4, (2, 60))
    right = torch.from_numpy(confusion_matrix(truth, said, labels=range(5)))  # no image is of the last class
    found = call(f"{name}(...)", confusion, truth, said, 5)
    check_shape(f"{name}(...)", getattr(found, "shape", ()), right.shape, {(): "a tensor is due"})
    if torch.equal(found.long(), right.T):
        raise NotYet("rows and columns are exchanged: a row is what an image is, a column what it is called")
    if not torch.equal(found.long(), right):
        raise NotYet(f"{name}: the counts are not right for 60 images of which none is of the last class")
    return f"{name}: the counts are right"


@exercise("13.1")
@torch.no_grad()
def _overwritten(overwritten: object) -> str:
    from torchvision.models import resnet18 as theirs

    net, kept, given = theirs().eval(), {}, as_list("overwritten", overwritten, None, "names of layers")
    for name in ("conv1", "bn1", "conv2", "bn2"):
        layer = getattr(net.layer1[0], name)
        layer.register_forward_hook(lambda _, __, out, name=name: kept.update({name: (out, out.clone())}))
    net(torch.randn(1, 3, 64, 64))
    for name in (*given, *kept):
        check_choice("overwritten", name, name, kept, "")
        if (name in given) == torch.equal(*kept[name]):
            raise NotYet(f"what comes after {name}: does it write over its input, or make a new tensor?")
    return "both batch normalisations' outputs are overwritten"


@exercise("13.2")
def _first_to_see_all(block: object, field: object) -> str:
    with torch.device("meta"):
        fields = {row.path.removesuffix(".add()"): row.receptive_field for row in trace(resnet50(), IMAGE).additions}
    right = next(name for name, size in fields.items() if size > IMAGE[-1])
    hint = f"that one has a field of {fields.get(block)} pixels; the image has {IMAGE[-1]}"
    check_choice("block", block, right, fields, hint)
    check_number("field", field, fields[right], {IMAGE[-1]: "that is the image"}, 1e-9)
    return f"{right}, with a field of {fields[right]} pixels"


@exercise("13.3")
def _activation_map(cam: Callable[[Tensor, Tensor, int], Tensor]) -> str:
    name = check_callable(cam)
    maps, weight = torch.randn(8, 3, 5), torch.randn(4, 8)
    for kind in range(4):
        found, right = call(f"{name}(...)", cam, maps, weight, kind), (weight[kind][:, None, None] * maps).sum(0) / 15
        check_shape(f"{name}(...)", getattr(found, "shape", ()), right.shape, {(): "a value for each place is due"})
        if torch.allclose(found, 15 * right, atol=1e-4):
            raise NotYet("the places add up to 15 times the logit: the network takes the mean over them, not the sum")
        if not torch.allclose(found, right, atol=1e-4):
            raise NotYet(f"for class {kind} the places do not add up to the logit without its bias")
    return f"{name}: the places add up to the logit, for every class"


@exercise("14.1")
def _excitation(parameters: object, macs: object) -> str:
    channels = [c for c, blocks in ((256, 3), (512, 4), (1024, 6), (2048, 3)) for _ in range(blocks)]
    weights, biases = sum(2 * c * c // 16 for c in channels), sum(c + c // 16 for c in channels)
    slips = {weights: "both convolutions have biases", weights / 2: "and the second convolution?"}
    check_number("parameters", parameters, weights + biases, slips, 1e-6)
    check_number("macs", macs, weights, {weights + biases: "a bias is no multiply-add"}, 1e-6)
    return "parameters and multiply-adds are right"


@exercise("14.2")
def _stochastic_depth(blocks: object, factor: object) -> str:
    slips = {27: "that is for a probability of a half for all blocks", 40.5: "the first block is number 1, and not 0"}
    check_number("blocks", blocks, 40.25, slips)
    check_number("factor", factor, 1.25, {0.8: "that is how many are kept", 5: "0.2 is the share that is skipped"})
    return "the mean depth and the factor are right"


@exercise("14.3")
def _preactivation(block: Callable[..., nn.Module]) -> str:
    name, images = check_callable(block, "class"), torch.randn(4, 8, 8, 10, generator=torch.Generator().manual_seed(1))
    with called_with(block, "in_channels", "out_channels", "stride"):
        for args in ((8, 8, 1), (8, 16, 2)):
            reference = PreActBlock(*args)
            randomize(reference)
            mine, what = build(block, args)
            check_forward(mine, images, what)
            compare_numbers(mine, reference, images, what, {})
    return f"{name}: outputs, running statistics and gradients are right"
