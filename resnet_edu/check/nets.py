"""Checkers of whole nets: `network`, and `same_function` for a deeper net that computes what a shallower one does.

Scope: a learner's net gets the weights of the package's, and has to give its outputs, statistics and gradients.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: table 1, and section 4.2 for 6n+2 layers.
  [2] Published code whose maps shrink in the first stage only, unnoticed because a global pooling follows:
      labmlai/annotated_deep_learning_paper_implementations, issues 83, 136 and 205.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nets.blocks import SHORTCUTS, Bottleneck, ZeroPadShortcut
from ..nets.models import ResNet, cifar_net, get_model
from ..support.validate import one_of, whole
from .blocks import build, builds, numbers
from .compare import kinds, made_in_forward, randomize, tensors
from .mistakes import Mistakes, compute, normal
from .verdict import NotYet, and_, ask, checker, close, name_of, tensor_of, times

LIKE = ("cifar", "resnet18", "resnet34", "resnet50")
DEPTHS = (8, 20)  # two depths of the CIFAR family show whether the argument is used, and are soon computed


@checker
def network(net: Callable[..., nn.Module], like: str = "cifar", shortcut: str | None = None) -> str:
    """Check a residual net that the learner has built.

    (B, 3, H, W) -> (B, classes)

    like:     "cifar": built as `MyNet(depth)`, for 6n+2 layers and 10 classes; names are free.
              "resnet18", "resnet34" or "resnet50": built as `MyNet()`, for 1000 classes, with torchvision's names of
              parameters, so that its weights load.
    shortcut: a key of `blocks.SHORTCUTS`; as in the paper where it is not given (option A for "cifar", else B).

    Raises `NotYet` for a wrong answer, `TypeError` for what cannot be built, `ValueError` for an unknown option.
    """
    one_of("like", like, LIKE)
    builds(net)
    cifar = like == "cifar"
    shortcut = one_of("shortcut", shortcut or ("zero_pad" if cifar else "projection"), SHORTCUTS)
    seen: list[Counter] = []
    for args in [(depth,) for depth in DEPTHS] if cifar else [()]:
        mine, what = build(net, args)
        seen.append(kinds(mine))
        if len(seen) > 1 and seen[-1] == seen[-2]:
            raise NotYet(f"{what} has the very layers of the net with {DEPTHS[0]}: the depth is not used")
        with torch.device("meta"):  # its first weights are not needed, and drawing them takes time
            family = functools.partial(cifar_net, *args) if cifar else functools.partial(get_model, like)
            reference = family(shortcut=shortcut)
        reference.to_empty(device="cpu")
        x = torch.randn(4, 3, *((16, 20) if cifar else (32, 40)), generator=torch.Generator().manual_seed(3))
        _compare(mine, reference, x, what, names=not cifar)
    return f"{name_of(net)}: the layers, outputs, running statistics and gradients of {like} with {_words(shortcut)}"


def _words(shortcut: str) -> str:
    return {"zero_pad": "option A", "projection": "option B", "projection_all": "option C"}.get(shortcut, shortcut)


def _compare(mine: nn.Module, reference: ResNet, x: Tensor, what: str, names: bool) -> None:
    randomize(reference)
    _compare_layers(mine, reference, x, what, names)
    with torch.no_grad():
        y = tensor_of(what, ask(f"{what} with images of {times(x.shape)}", mine.eval(), x.clone()))
    made_in_forward(mine, x, what)
    right = (len(x), reference.fc.out_features)
    if y.shape != right:
        raise NotYet(f"{what} turns {times(x.shape)} into {times(y.shape)}; due are {right[1]} logits for each image")
    errors = []
    for twin in _same_but_for_padding(reference):
        try:
            return numbers(mine, twin, x, what, _mistakes(twin))
        except NotYet as error:
            errors.append(error)
    raise max(errors, key=lambda error: error.explained)  # the first of equals


def _same_but_for_padding(reference: ResNet) -> list[ResNet]:
    """Return the net, and with option A also those whose zeros come before, or around, the old channels."""
    if not any(isinstance(m, ZeroPadShortcut) for m in reference.modules()):
        return [reference]
    return [reference, *(_padded(copy.deepcopy(reference), part) for part in (2, 1))]


class _ZerosInFront(nn.Module):
    """Option A with its zeros in front (all of them, or a half)."""

    def __init__(self, plain: ZeroPadShortcut, part: int) -> None:
        super().__init__()
        self.stride, self.front = plain.stride, plain.new_channels // part
        self.behind = plain.new_channels - self.front

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` subsampled, with zero channels in front and behind."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.front, self.behind))


def _padded(net: ResNet, part: int) -> ResNet:
    for module in net.modules():
        if isinstance(getattr(module, "downsample", None), ZeroPadShortcut):
            module.downsample = _ZerosInFront(module.downsample, part)
    return net


# ---------------------------------------------------------------- layers


def _compare_layers(mine: nn.Module, reference: ResNet, x: Tensor, what: str, names: bool) -> None:
    own, right = kinds(mine), kinds(reference)
    if own != right:
        count, expected = (sum(p.numel() for p in m.parameters()) for m in (mine, reference))
        raise NotYet(f"{what} has {count:,} parameters; {expected:,} are due. {_reason(mine, reference, x)}")
    if names and set(tensors(mine)) != set(tensors(reference)):
        strange = [n for n in tensors(mine) if n not in tensors(reference)]
        raise NotYet(
            f"{what} has the right layers under other names, so that torchvision's weights would not load. First of "
            f"{len(strange)}: {strange[0]!r}. Print the keys of torchvision's state dict beside yours"
        )


def _convolutions(counter: Counter, point: bool) -> int:
    return sum(n for (_, shape), n in counter.items() if len(shape) == 4 and (shape[2:] == (1, 1)) == point)


def _reason(mine: nn.Module, reference: ResNet, x: Tensor) -> str:
    own, right = kinds(mine), kinds(reference)
    missing, extra = right - own, own - right
    biased = [m for m in mine.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    if biased:
        count = f"{len(biased)} convolutions have" if len(biased) > 1 else "one convolution has"
        return f"{count} a bias, which the batch normalisation after it takes away again"
    repeated = _repeated(mine, x)
    if repeated:
        return (
            f"Layers run several times, such as {repeated}: is one block object put into a stage again and again? "
            "Each block has weights of its own"
        )
    heads = [shape for _, shape in extra if len(shape) == 2]
    if heads and set(missing) | set(extra) <= {("parameter", s) for s in (*map(tuple, _head(reference)), *heads)} | {
        ("parameter", s[:1]) for s in heads
    }:
        return f"The last linear layer goes from {heads[0][1]} to {heads[0][0]} values, which is not the size asked for"
    have, due = _convolutions(own, point=False), _convolutions(right, point=False)
    if have != due:
        few = "few" if have < due else "many"
        return f"It has too {few} blocks or layers: {have} convolutions larger than 1x1 instead of {due}"
    have, due = _convolutions(own, point=True), _convolutions(right, point=True)
    if have > due:
        square = any(len(s) == 4 and s[0] == s[1] and s[2] == 1 for _, s in extra)
        if square:
            return "A projection joins equal numbers of channels: does a stage halve the map that should keep its size?"
        return f"There are {have - due} more 1x1 convolutions than due: which shortcut is asked for?"
    if have < due:
        return f"There are {due - have} 1x1 convolutions less than due: which shortcut is asked for?"
    norms = sum(n for (role, _), n in missing.items() if role == "statistic")
    if norms and not extra:
        count = f"{norms // 2} batch normalisations are" if norms > 2 else "a batch normalisation is"
        return f"{count} missing: on the projections, or after the stem?"
    return "The number of layers is right, their sizes are not: how many channels has each stage?"


def _head(reference: ResNet) -> list[torch.Size]:
    return [reference.fc.weight.shape, reference.fc.bias.shape]


def _repeated(mine: nn.Module, x: Tensor) -> str:
    """Return the name of a convolution that runs more than once in a forward pass, or ""."""
    runs: Counter[str] = Counter()
    handles = [
        m.register_forward_pre_hook(lambda *_, name=name: runs.update([name]))
        for name, m in mine.named_modules()
        if isinstance(m, nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            mine.eval()(x.clone())
    except Exception:  # what fails is said elsewhere
        return ""
    finally:
        for handle in handles:
            handle.remove()
    return next((name for name, count in runs.items() if count > 1), "")


# ---------------------------------------------------------------- mistakes


def _mistakes(net: ResNet) -> Mistakes:
    """Return the known mistakes of nets: in the strides of stages, in stem and head, and in the blocks."""
    stages = len(net.stages)
    only_first = "only the first stage halves the map, and the others keep it. A global pooling hides it"
    strides = {
        (2,) + (1,) * (stages - 1): only_first,
        (2,) * stages: "every stage halves the map, the first one too, which is to keep it. A global pooling hides it",
        (1,) * stages: "no stage halves the map: strides do not reach the blocks. A global pooling hides it",
    }
    for late in range(1, stages):
        pattern = tuple(1 if i in (0, late) else 2 for i in range(stages))
        strides.setdefault(pattern, f"stage {late + 1} of {stages} keeps the map, which it should halve")
    every = "the stride is in every block of a stage; only the first one is to halve the map"
    usual = (1,) + (2,) * (stages - 1)
    found: Mistakes = [(every, functools.partial(_strided, strides=usual, blocks=None))]
    found += [(text, functools.partial(_strided, strides=s)) for s, text in strides.items()]
    found += [
        ("the last maps are pooled by their maximum, and their mean is due", functools.partial(_run, head="max")),
        ("a softmax is at the end; the loss has one, and a net passes on logits", functools.partial(_run, head="soft")),
        ("a log-softmax is at the end; a net passes on logits", functools.partial(_run, head="log")),
        ("a ReLU is at the end, after the linear layer; logits may be negative", functools.partial(_run, head="relu")),
        ("the ReLU after the first convolution is missing", functools.partial(_run, stem="no relu")),
        ("the max pooling after the first convolution is missing", functools.partial(_run, stem="no pool")),
        ("the first batch normalisation is not used", functools.partial(_run, stem="no bn")),
    ]
    for key, text in {
        "early relu": "in its blocks a ReLU comes before the addition, so that the branch can only add",
        "no last relu": "in its blocks the ReLU after the addition is missing",
        "no addition": "in its blocks the addition is forgotten: this is a plain net",
        "branch twice": "in its blocks the branch is added to itself: x was overwritten on the way",
        "early stride": "in its blocks another convolution has the stride than is due",
        "late stride": "in its blocks another convolution has the stride than is due",
    }.items():
        found.append((text, functools.partial(_run, mistake=key)))
    return found


def _strided(net: nn.Module, x: Tensor, strides: tuple[int, ...], blocks: int | None = 1) -> Tensor:
    """Return the outputs of the net with other strides in the first blocks of its stages, or in all (None)."""
    net = copy.deepcopy(net)
    changed = [(b, s) for name, s in zip(net.stages, strides, strict=True) for b in getattr(net, name)[:blocks]]
    for block, stride in changed:
        conv = block.conv2 if isinstance(block, Bottleneck) else block.conv1
        conv.stride = (stride, stride)
        if block.downsample is None:
            block.downsample = ZeroPadShortcut(conv.in_channels, conv.in_channels, stride)
        elif isinstance(block.downsample, nn.Sequential):
            block.downsample[0].stride = (stride, stride)
        else:
            block.downsample.stride = stride
    return net(x)


def _run(net: nn.Module, x: Tensor, stem: str = "", head: str = "", mistake: str = "") -> Tensor:
    """Return the outputs of the net in training mode with one thing wrong; the net stays as it is."""
    x = net.conv1(x)
    x = x if stem == "no bn" else normal(net.bn1, x)
    x = x if stem == "no relu" else torch.relu(x)
    if net.maxpool is not None and stem != "no pool":
        x = net.maxpool(x)
    for name in net.stages:
        for block in getattr(net, name):
            x = compute(block, x, mistake)
    x = net.fc(x.amax((2, 3)) if head == "max" else x.mean((2, 3)))
    last = {"soft": lambda v: v.softmax(1), "log": lambda v: v.log_softmax(1), "relu": torch.relu}
    return last.get(head, lambda v: v)(x)


# ---------------------------------------------------------------- a deeper net that is just as good


@checker
def same_function(shallow: nn.Module, deep: nn.Module, blocks: int | None = None) -> str:
    """Check that `deep` has more layers than `shallow` and computes the same in evaluation mode.

    Both are nets of images (B, C, H, W), C as the first convolution of `shallow` says; neither is changed.
    blocks: how many more each stage (`layer1`, `layer2` and so on) has to have; any number where it is not given.
    Raises `NotYet` where it is not so, `TypeError` for what is no module.
    """
    for name, net in (("shallow", shallow), ("deep", deep)):
        if not isinstance(net, nn.Module):
            raise TypeError(f"`{name}` must be a net (a torch.nn.Module), but it is {net!r}")
    counts = [_convolutions_of(net) for net in (shallow, deep)]
    if counts[1] <= counts[0]:
        raise NotYet(f"the deep net has {counts[1]} convolutions, and the shallow one {counts[0]}: it is not deeper")
    if blocks is not None:
        _stages_grown(shallow, deep, blocks)
    channels = next(m.in_channels for m in shallow.modules() if isinstance(m, nn.Conv2d))
    images = torch.randn(8, channels, 16, 16, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        right, got = (
            ask(f"the {name} net", copy.deepcopy(net).cpu().eval(), images)
            for name, net in (("shallow", shallow), ("deep", deep))
        )
    if got.shape != right.shape:
        raise NotYet(f"the deep net gives {times(got.shape)}, and the shallow one {times(right.shape)}")
    if not close(got, right):
        share = (got - right).norm() / right.norm()
        raise NotYet(
            f"the outputs differ by {share:.0%}: the new layers do something. What does each of them pass on, in "
            "evaluation mode, and have the layers in common the same weights?"
        )
    return f"{counts[1]} convolutions compute what {counts[0]} do, on {len(images)} images{_where(shallow, deep)}"


def _convolutions_of(part: nn.Module | None) -> int:
    return 0 if part is None else sum(isinstance(m, nn.Conv2d) for m in part.modules())


def _stages_grown(shallow: nn.Module, deep: nn.Module, blocks: int) -> None:
    """Raise `NotYet` unless each stage has as many convolutions more as so many blocks have."""
    whole("blocks", blocks, 1)
    stages = {n: m for n, m in shallow.named_children() if n.startswith("layer") and isinstance(m, nn.Sequential)}
    if not stages:
        raise ValueError("the shallow net has no stages layer1, layer2 and so on whose blocks could be counted")
    for name, stage in stages.items():
        more = _convolutions_of(getattr(deep, name, None)) - _convolutions_of(stage)
        due = blocks * _convolutions_of(stage[-1])
        if more != due:
            raise NotYet(
                f"{name} of the deep net has {more} convolutions more than before; {blocks} more "
                f"block{'s' * (blocks > 1)} {'have' if blocks > 1 else 'has'} {due}"
            )


def _where(shallow: nn.Module, deep: nn.Module) -> str:
    """Return which parts of the deep net have more convolutions, as the end of a sentence."""
    before, after = ({n: _convolutions_of(m) for n, m in net.named_children()} for net in (shallow, deep))
    more = [f"{n} has {k - before.get(n, 0)} more" for n, k in after.items() if k > before.get(n, 0)]
    return f": {and_(more)}" if more else ""
