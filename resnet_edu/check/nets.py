"""Checkers of whole nets: `network`, and `same_function` for a deeper net that computes what a shallower one does.

A learner's net gets the weights of the package's, and has to give its outputs, statistics and gradients.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: table 1, and section 4.2 for 6n+2 layers.
  [2] Published code whose maps shrink in the first stage only, unnoticed because a global pooling follows:
      labmlai/annotated_deep_learning_paper_implementations, issues 83, 136 and 205.
"""

import contextlib
import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nets.blocks import SHORTCUTS, Bottleneck, ZeroPadShortcut
from ..nets.models import ResNet, cifar_net, get_model
from ..support.validate import one_of, whole
from . import compare
from .blocks import batch_norm, compute_with
from .compare import Mistakes, close, tensors
from .verdict import NotYet, build, call, called_with, check_callable, checker, list_text, shape_text

LIKE = ("cifar", "resnet18", "resnet34", "resnet50")
DEPTHS = (8, 20)  # two depths of the CIFAR family show whether the argument is used, and are soon computed
_NO_DEPTH = r"^(n\b|\w*(block|class|channel))"  # a net's first parameter that says something else
_OPTIONS = {"zero_pad": "option A", "projection": "option B", "projection_all": "option C"}


@checker
def network(net: Callable[..., nn.Module], like: str = "cifar", shortcut: str | None = None) -> str:
    """Check a residual net that the learner has built.

    (B, 3, H, W) -> (B, classes)

    like:     "cifar": built as `MyNet(depth)`, for 6n+2 layers and 10 classes; names are free.
              "resnet18", "resnet34" or "resnet50": built as `MyNet()`, for 1000 classes, with torchvision's names of
              parameters, so that its weights load.
    shortcut: a key of `nets.blocks.SHORTCUTS`; as in the paper if not given (option A for "cifar", else B).
    """
    one_of("like", like, LIKE)
    name = check_callable(net, "class")
    cifar = like == "cifar"
    shortcut = one_of("shortcut", shortcut or ("zero_pad" if cifar else "projection"), SHORTCUTS)
    seen: list[Counter] = []
    with called_with(net, "depth", strange=_NO_DEPTH) if cifar else called_with(net):
        for args in [(depth,) for depth in DEPTHS] if cifar else [()]:
            mine, what = build(net, args)
            seen.append(compare.kinds(mine))
            if len(seen) > 1 and seen[-1] == seen[-2]:
                raise NotYet(f"{what} has the very layers of the net with {DEPTHS[0]}: the depth is not used")
            with torch.device("meta"):  # its first weights are not needed, and drawing them takes time
                reference = cifar_net(*args, shortcut=shortcut) if cifar else get_model(like, shortcut=shortcut)
            reference.to_empty(device="cpu")
            x = torch.randn(4, 3, *((16, 20) if cifar else (32, 40)), generator=torch.Generator().manual_seed(3))
            _compare(mine, reference, x, what, names=not cifar)
    option = _OPTIONS.get(shortcut, shortcut)
    return f"{name}: the layers, outputs, running statistics and gradients of {like} with {option}"


def _compare(mine: nn.Module, reference: ResNet, x: Tensor, what: str, names: bool) -> None:
    compare.randomize(reference)
    if compare.kinds(mine) != compare.kinds(reference):
        raise NotYet(f"{what}{compare.count_text(mine, reference)}: {_about_layers(mine, reference, x)}")
    other = [n for n in tensors(mine) if n not in tensors(reference)]
    if names and other:
        raise NotYet(f"{what} has {len(other)} tensors with other names than torchvision's, such as {other[0]!r}")
    with torch.no_grad():
        y = compare.expect_tensor(what, call(f"{what} with images of {shape_text(x.shape)}", mine.eval(), x.clone()))
    compare.check_forward(mine, x, what)
    right = (len(x), reference.fc.out_features)
    if y.shape != right:
        raise NotYet(f"{what} gives {shape_text(y.shape)} for {len(x)} images; it should give {right[1]} logits each")
    errors = []
    for net in _with_other_padding(reference):
        try:
            return compare.compare_numbers(mine, net, x, what, _mistakes(net))
        except NotYet as error:
            errors.append(error)
    raise max(errors, key=lambda error: error.explained)  # the first of equals


def _with_other_padding(reference: ResNet) -> list[ResNet]:
    """Return the net, and with option A also those whose zeros come around, or before, the old channels."""
    nets = [reference]
    if any(isinstance(m, ZeroPadShortcut) for m in reference.modules()):
        for part in (2, 1):
            net = copy.deepcopy(reference)
            for module in net.modules():
                if isinstance(module, ZeroPadShortcut):  # its zeros come last: half of them, or all, move to the front
                    module.register_forward_hook(lambda m, _, y, part=part: y.roll(m.new_channels // part, dims=1))
            nets.append(net)
    return nets


def _about_layers(mine: nn.Module, reference: ResNet, x: Tensor) -> str:
    """Return what differs in the layers; of several causes that which explains the most parameters comes first."""
    with contextlib.suppress(Exception):  # the comparison says what fails
        names = Counter(name for name, _ in compare.run_order(mine.eval(), x))
        repeated = [n for n, c in names.items() if c > 1 and isinstance(mine.get_submodule(n), nn.Conv2d)]
        if repeated:
            way = "each block of a stage should be an object of its own"
            return f"layers run several times, such as {repeated[0]}: {way}"
    causes = sorted(_causes(mine, reference), reverse=True)
    if len(causes) > 1:
        return "".join(f"\n  {count:,} parameters: {sentence}" for count, sentence in causes)
    return causes[0][1] if causes else "the number of layers is right, their sizes are not: how many channels has each?"


def _causes(mine: nn.Module, reference: ResNet) -> list[tuple[int, str]]:
    """Return the known causes of other layers: the number of parameters that each explains, and a sentence."""
    own, right = (compare.kinds(net) for net in (mine, reference))
    found = [compare.biased(mine)]
    own.subtract(("parameter", tuple(m.bias.shape)) for m in _all(mine, nn.Conv2d) if m.bias is not None)
    head = next(reversed(_all(mine, nn.Linear)), None)
    stem = next((m for m in _all(mine, nn.Conv2d) if m.in_channels == reference.conv1.in_channels), None)
    for layer, due, about in ((head, reference.fc, _about_head), (stem, reference.conv1, _about_stem)):
        if layer is not None and (text := about(layer, due)):
            ours, theirs = (Counter(("parameter", tuple(p.shape)) for p in _weights(m)) for m in (layer, due))
            own, right = own - ours, right - theirs
            found.append((abs(_size(ours) - _size(theirs)), text))
    missing, extra = right - own, own - right
    for larger in (True, False):
        count = _convolutions(own, larger) - _convolutions(right, larger)
        changed = {k: n for k, n in (extra if count > 0 else missing).items() if _is_kernel(k, larger)}
        equal = sum(n for (_, shape), n in changed.items() if shape[0] == shape[1] and count > 0 and not larger)
        if larger and count:
            amount, due = ("many" if count > 0 else "few"), _convolutions(right, larger)
            text = f"too {amount} blocks or layers: {due + count} convolutions are larger than 1x1, and {due} should be"
        elif equal:
            joins = [m for m in _all(mine, nn.Conv2d) if m.kernel_size == (1, 1) and m.in_channels == m.out_channels]
            why = "does a stage halve the map that should keep its size?"
            if all(m.stride[0] == 1 for m in joins):
                why = "where the shape stays, the shortcut is the identity"
            subject = "a projection joins" if equal == 1 else f"{equal} projections join"
            text = f"{subject} equal numbers of channels: {why}"
        else:
            text = f"{abs(count)} {'more' if count > 0 else 'fewer'} 1x1 convolutions than due: which shortcut is it?"
        found.append((_size(changed) if count else 0, text))
    norms = [len(_all(net, nn.BatchNorm2d)) - len(_all(net, nn.Conv2d)) for net in (reference, mine)]
    if norms[0] > norms[1] and any(role == "statistic" for role, _ in missing):
        lost = norms[0] - norms[1]
        text = "a batch normalisation is" if lost == 1 else f"{lost} batch normalisations are"
        flat = {k: n for k, n in missing.items() if len(k[1]) == 1}
        found.append((_size(flat), f"{text} missing: on the projections, or after the stem?"))
    return [(count, text) for count, text in found if count]


def _about_head(mine: nn.Linear, right: nn.Linear) -> str:
    sizes = f"the last linear layer goes from {mine.in_features} to {mine.out_features} values"
    return "" if mine.weight.shape == right.weight.shape else f"{sizes}, which is not the size asked for"


def _about_stem(mine: nn.Conv2d, right: nn.Conv2d) -> str:
    """Return what to say of another first convolution; "" for one that differs in channels only, or not at all."""
    if mine.kernel_size == right.kernel_size:
        return ""
    made = "small images, of 32 pixels" if mine.kernel_size[0] < right.kernel_size[0] else "large images, of 224 pixels"
    return f"the stem, a {shape_text(mine.kernel_size)} with stride {mine.stride[0]}, is made for {made}"


def _weights(layer: nn.Linear | nn.Conv2d) -> list[nn.Parameter]:
    """Return the parameters of a layer; of a convolution without its bias, which is counted by itself."""
    return [layer.weight] if isinstance(layer, nn.Conv2d) else list(layer.parameters())


def _all(net: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [m for m in net.modules() if isinstance(m, kind)]


def _size(counter: Mapping[compare.Kind, int]) -> int:
    """Return how many parameters there are of these kinds."""
    return sum(n * math.prod(shape) for (role, shape), n in counter.items() if role == "parameter")


def _is_kernel(kind: compare.Kind, larger: bool) -> bool:
    return len(kind[1]) == 4 and (kind[1][2:] != (1, 1)) == larger


def _convolutions(counter: Counter, larger: bool) -> int:
    """Return how many convolutions are larger than 1x1, or how many are 1x1."""
    return sum(n for kind, n in counter.items() if _is_kernel(kind, larger))


def _mistakes(net: ResNet) -> Mistakes:
    """Return the known mistakes of nets: in the strides of stages, in stem and head, and in the blocks."""
    count = len(net.stages)
    strides = {
        (2,) + (1,) * (count - 1): "only the first stage halves the map. A global pooling hides it",
        (2,) * count: "every stage halves the map, the first one too, which should keep it. A global pooling hides it",
        (1,) * count: "no stage halves the map: strides do not reach the blocks. A global pooling hides it",
    }
    for late in range(1, count):
        pattern = tuple(1 if i in (0, late) else 2 for i in range(count))
        strides.setdefault(pattern, f"stage {late + 1} of {count} keeps the map, which it should halve")
    everywhere = partial(_with_strides, strides=(1,) + (2,) * (count - 1), every_block=True)
    found: Mistakes = {"the stride is in every block of a stage; only the first should halve the map": everywhere}
    found |= {sentence: partial(_with_strides, strides=pattern) for pattern, sentence in strides.items()}
    return found | {sentence: partial(_run, mistake=key) for key, sentence in _MISTAKES.items()}


_MISTAKES = {
    "max head": "the last maps are pooled by their maximum instead of their mean",
    "softmax": "a softmax is at the end; the loss has one, and a net passes on logits",
    "log-softmax": "a log-softmax is at the end; a net passes on logits",
    "relu head": "a ReLU is at the end, after the linear layer; logits may be negative",
    "no stem relu": "the ReLU after the first convolution is missing",
    "no stem pool": "the max pooling after the first convolution is missing",
    "stem stride": "the first convolution has another stride than that of the paper",
    "no stem bn": "the first batch normalisation is not used",
    # in the blocks, as `blocks.compute_with` calls them:
    "early relu": "in its blocks a ReLU comes before the addition, so that the branch can only add",
    "no last relu": "in its blocks the ReLU after the addition is missing",
    "no addition": "in its blocks the addition is forgotten: this is a plain net",
    "branch twice": "in its blocks the branch is added to itself: x was overwritten on the way",
    "early stride": "in its blocks the first convolution has the stride, and another should have it",
    "late stride": "in its blocks the last convolution has the stride, and another should have it",
}


def _with_strides(net: nn.Module, x: Tensor, strides: tuple[int, ...], every_block: bool = False) -> Tensor:
    """Return the outputs of the net with other strides in the first block of each stage, or in every block."""
    net = copy.deepcopy(net)
    for name, stride in zip(net.stages, strides, strict=True):
        for block in getattr(net, name)[: None if every_block else 1]:
            conv = block.conv2 if isinstance(block, Bottleneck) else block.conv1
            conv.stride = (stride, stride)
            if block.downsample is None:
                block.downsample = ZeroPadShortcut(conv.in_channels, conv.in_channels, stride)
            elif isinstance(block.downsample, nn.Sequential):
                block.downsample[0].stride = (stride, stride)
            else:
                block.downsample.stride = stride
    return net(x)


def _run(net: nn.Module, x: Tensor, mistake: str) -> Tensor:
    """Return the outputs of the net in training mode with one mistake; the net stays as it is."""
    step = 3 - net.conv1.stride[0] if mistake == "stem stride" else net.conv1.stride
    x = F.conv2d(x, net.conv1.weight, None, step, net.conv1.padding)
    x = x if mistake == "no stem bn" else batch_norm(net.bn1, x)
    x = x if mistake == "no stem relu" else torch.relu(x)
    if net.maxpool is not None and mistake != "no stem pool":
        x = net.maxpool(x)
    for name in net.stages:
        for block in getattr(net, name):
            x = compute_with(block, x, mistake)
    x = net.fc(x.amax((2, 3)) if mistake == "max head" else x.mean((2, 3)))
    last = {"softmax": lambda: x.softmax(1), "log-softmax": lambda: x.log_softmax(1), "relu head": lambda: x.relu()}
    return last.get(mistake, lambda: x)()


@checker
def same_function(shallow: nn.Module, deep: nn.Module, blocks: int | None = None) -> str:
    """Check that `deep` has more layers than `shallow` and computes the same in evaluation mode.

    Both are nets of images (B, C, H, W), C as the first convolution of `shallow` says; neither is changed.
    blocks: how many more each stage (`layer1`, `layer2` and so on) has to have; any number if not given.
    """
    for name, net in (("shallow", shallow), ("deep", deep)):
        if not isinstance(net, nn.Module):
            raise TypeError(f"`{name}` must be a net (a torch.nn.Module), but it is {net!r}")
    before, after = _convolutions_of(shallow), _convolutions_of(deep)
    if after <= before:
        raise NotYet(f"the deep net has {after} convolutions, and the shallow one {before}: it is not deeper")
    grown = {
        name: _convolutions_of(part) - _convolutions_of(getattr(shallow, name, None))
        for name, part in deep.named_children()
    }
    if blocks is not None:
        whole("blocks", blocks)
        stages = {n: m for n, m in shallow.named_children() if n.startswith("layer") and isinstance(m, nn.Sequential)}
        if not stages:
            raise ValueError("the shallow net has no stages layer1, layer2 and so on whose blocks could be counted")
        for name, stage in stages.items():
            more, due = grown.get(name, 0), blocks * _convolutions_of(stage[-1])
            if more != due:
                text = f"{name} of the deep net has {more} more convolutions"
                raise NotYet(f"{text}; with blocks={blocks}, {due} are due")
    channels = next(m.in_channels for m in shallow.modules() if isinstance(m, nn.Conv2d))
    images = torch.randn(8, channels, 16, 16, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        right = call("the shallow net", copy.deepcopy(shallow).cpu().eval(), images)
        got = call("the deep net", copy.deepcopy(deep).cpu().eval(), images)
    if got.shape != right.shape:
        raise NotYet(f"the deep net gives {shape_text(got.shape)}, and the shallow one {shape_text(right.shape)}")
    if not close(got, right):
        share = (got - right).norm() / right.norm()
        raise NotYet(f"the outputs differ by {share:.0%}: the new layers do something, or others have new weights")
    more = [f"{name} has {count} more" for name, count in grown.items() if count > 0]
    where = f": {list_text(more)}" if more else ""
    return f"{after} convolutions compute what {before} do, on {len(images)} images{where}"


def _convolutions_of(part: nn.Module | None) -> int:
    return 0 if part is None else sum(isinstance(m, nn.Conv2d) for m in part.modules())
