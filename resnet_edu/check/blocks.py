"""Checkers of blocks (`residual_block`, `bottleneck`), and of the `shortcut` without parameters.

A learner's class is built for several channels and strides, gets the weights of the package's block, and has to give
its outputs, running statistics and gradients. If not, the known mistake that gives the learner's numbers is named.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5, and section 3.3: shortcuts
      with (A) extra zero entries padded, (B) a 1x1 convolution, and stride 2 where the size changes.
  [2] Published code: ReLU before the addition, projections without batch norm, wrong strides (see chapter 2).
  [3] He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, figure 4: the orders that were tried.
"""

import functools
from collections import Counter
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nets.blocks import BasicBlock, Bottleneck
from . import compare
from .compare import Kind, close, tensors
from .verdict import NotYet, build, call, called_with, check_callable, checker, list_text, name_mistake, shape_text

Builder = Callable[[int, int, int], nn.Module]
Args = tuple[int, int, int]  # in_channels, out_channels or width, stride

# A parameter that a net would have to set block by block; the checkers' blocks decide for themselves.
_SWITCH = r"\b(use|is|has|with)_|1x1|downsample|project"
# Arguments, height and width, and the size of the input's values. The smallest change of shape comes first, and small
# values show what batch norm adds to the variance.
SETTINGS = (
    ((8, 8, 1), (10, 11), 1.0),
    ((8, 8, 1), (6, 6), 0.01),
    ((8, 16, 2), (8, 10), 1.0),
    ((8, 16, 1), (7, 7), 1.0),
    ((8, 8, 2), (9, 6), 1.0),
    ((16, 8, 1), (6, 6), 1.0),
    ((8, 12, 3), (10, 7), 1.0),
)


@checker
def residual_block(block: Builder) -> str:
    """Check a block of two 3x3 convolutions and a shortcut with option B: `MyBlock(in_channels, out_channels, stride)`.

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Compared with `BasicBlock`: parameters, outputs in training and evaluation mode, running statistics, gradients.
    Names of layers are free.
    """
    return _check(block, BasicBlock)


@checker
def bottleneck(block: Builder) -> str:
    """Check a bottleneck with option B: `MyBottleneck(in_channels, width, stride)`, which passes on 4 * width channels.

    (B, in_channels, H, W) -> (B, 4 * width, ceil(H / stride), ceil(W / stride))

    The 3x3 has the stride, as in torchvision (v1.5). Everything else as in `residual_block`.
    """
    return _check(block, Bottleneck, expansion=4)


def _check(block: Builder, reference: Builder, expansion: int = 1) -> str:
    name = check_callable(block, "class")
    with called_with(block, "in_channels", "out_channels" if expansion == 1 else "width", "stride", strange=_SWITCH):
        for (channels, width, stride), size, scale in SETTINGS:
            args = (channels * expansion, width, stride)
            compare_block(*build(block, args), reference(*args), args, size, scale)
    return f"{name}: outputs, running statistics and gradients are right, for {len(SETTINGS)} shapes and strides"


def compare_block(
    mine: nn.Module, what: str, reference: nn.Module, args: Args, size: tuple[int, int], scale: float = 1.0
) -> None:
    """Raise `NotYet` if a learner's block, in messages called `what`, is not the reference built with `args`.

    size, scale: height and width of the input, and the standard deviation of its values.
    """
    compare.randomize(reference)
    x = scale * torch.randn(4, args[0], *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        shape = reference(x).shape
    compare.check_forward(mine, x, what)
    _compare_layers(mine, reference, what, args)
    main = [m.stride[0] for m in mine.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    if args[2] > 1 and main.count(args[2]) > 1:
        convolutions = f"{main.count(args[2])} convolutions of the main path have stride {args[2]}"
        raise NotYet(f"{what}: {convolutions}: the map is made smaller twice")
    if args[2] == 1 and any(s > 1 for s in main):
        hint = "is it written into the layer?"
        raise NotYet(f"{what}: a convolution has a stride above 1 although the block's stride is 1: {hint}")
    _check_output(mine, x, what, shape, args)
    known = _ANY_BLOCK | _RESIDUAL | (_BOTTLENECK if hasattr(reference, "conv3") else {})
    mistakes = {sentence: functools.partial(compute_with, mistake=key) for key, sentence in known.items()}
    compare.compare_numbers(mine, reference, x, what, mistakes)


_ANY_BLOCK = {
    "no relu 1": "the ReLU between the first two convolutions is missing: both together are one linear map",
    "no last relu": "the last ReLU is missing: the block passes on negative values",
    "last bn": "the last batch normalisation is not used: is it defined and never called?",
    "first bn": "the first batch normalisation is not used: is it defined and never called?",
    "same bn": "the first batch normalisation is used in two places, and another one never: each has its statistics",
    "relu, bn": "ReLU comes before batch normalisation; the paper normalises first",
    "bn, relu, conv": "batch normalisation and ReLU come before each convolution; here they come after it",
    "late stride": "another convolution has the stride; the first 3x3 of the main path should have it",
}
_RESIDUAL = {
    "early relu": "there is a ReLU on the branch before the addition: the branch can only add, never take away",
    "early relu only": "the last ReLU comes before the addition: the branch can only add. It belongs after it",
    "no addition": "the addition is forgotten: the shortcut does not reach the output",
    "no addition, no relu": "the addition is forgotten, and so is the last ReLU",
    "branch twice": "the branch is added to itself: x was overwritten on the way",
    "from the middle": "the shortcut begins after the first layers, not at the input: x was overwritten on the way",
    "from the first conv": "the shortcut begins after the first convolution, not at the input: x was overwritten",
    "minus": "the shortcut is subtracted from the branch; it should be added",
    "projection bn": "the projection's batch normalisation is not used: is it defined and never called?",
    "projection relu": "there is a ReLU on the shortcut, which cuts off what is negative",
    "shortcut relu": "a ReLU cuts off the negative part of the input on its way to the addition",
}
_BOTTLENECK = {
    "no relu 2": "the ReLU between the second and the third convolution is missing",
    "early stride": "the first 1x1 convolution has the stride (version 1, as in the paper); here the 3x3 has it (v1.5)",
    "late stride": "the last 1x1 convolution has the stride",
}


def compute_with(block: nn.Module, x: Tensor, mistake: str) -> Tensor:
    """Return what a block in training mode computes with a mistake, a key of the tables above; it stays as it is."""
    layers = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    if hasattr(block, "conv3"):
        layers.append((block.conv3, block.bn3))
    strides = [conv.stride[0] for conv, _ in layers]
    moved = {"early stride": 0, "late stride": len(layers) - 1}
    if mistake in moved:
        strides = [max(strides) if i == moved[mistake] else 1 for i in range(len(layers))]
    out, stages = x, []
    for i, ((conv, bn), stride) in enumerate(zip(layers, strides, strict=True)):
        last = i == len(layers) - 1
        if mistake == "bn, relu, conv":
            out = F.conv2d(torch.relu(batch_norm(bn, out)), conv.weight, None, stride, conv.padding)
            continue
        out = F.conv2d(out, conv.weight, None, stride, conv.padding)
        stages.append(out)
        if mistake == "relu, bn" and not last:
            out = batch_norm(bn, torch.relu(out))
        elif not ((mistake == "first bn" and i == 0) or (mistake == "last bn" and last)):
            out = batch_norm(block.bn1 if mistake == "same bn" else bn, out)
        if not last and mistake not in (f"no relu {i + 1}", "relu, bn"):
            out = torch.relu(out)
        stages.append(out)
    out = _add_shortcut(block.downsample, x, out, stages, mistake)
    if mistake in ("no last relu", "early relu only", "no addition, no relu", "bn, relu, conv"):
        return out
    return torch.relu(out)


def _add_shortcut(shortcut: nn.Module | None, x: Tensor, out: Tensor, stages: list[Tensor], mistake: str) -> Tensor:
    """Return the addition at the end of a residual block; `stages` are the values after each layer of its branch."""
    start = x
    if mistake in ("from the middle", "from the first conv"):
        start = stages[1 if mistake == "from the middle" else 0]
    if isinstance(shortcut, nn.Sequential):
        conv, bn = shortcut
        if start is x:
            start = F.conv2d(x, conv.weight, None, conv.stride)
            start = start if mistake == "projection bn" else batch_norm(bn, start)
    elif shortcut is not None:
        start = shortcut(start)
    if mistake == ("shortcut relu" if shortcut is None else "projection relu"):
        start = torch.relu(start)
    if mistake in ("early relu", "early relu only"):
        out = torch.relu(out)
    if mistake.startswith("no addition"):
        return out
    if mistake == "branch twice":
        return out + out
    return out - start if mistake == "minus" else out + start


def batch_norm(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return batch normalisation by the statistics of the batch, without a change of the running ones."""
    return F.batch_norm(x, None, None, bn.weight, bn.bias, training=True, eps=bn.eps)


def _compare_layers(mine: nn.Module, reference: nn.Module, what: str, args: Args) -> None:
    """Raise `NotYet` if a block's parameters and running statistics are not those of the reference, in some order."""
    own, right = compare.kinds(mine), compare.kinds(reference)
    if own == right:
        return
    if not tensors(mine):
        raise NotYet(f"{what}: the module has no parameters at all. Are its layers made in __init__?")
    if text := compare.biased(mine)[1]:
        raise NotYet(f"{what}: {text}")
    missing, extra = right - own, own - right
    about_shortcut = _about_shortcut(reference, missing, extra, args)
    raise NotYet(f"{what}{compare.count_text(mine, reference)}: {about_shortcut or _about_layers(missing, extra)}")


def _about_shortcut(reference: nn.Module, missing: Counter[Kind], extra: Counter[Kind], args: Args) -> str:
    """Return what is wrong with the layers of the shortcut; "" if it is not the shortcut."""
    out = list(reference.parameters())[-1].shape[0]
    projection = ("parameter", (out, args[0], 1, 1))
    norm = {("parameter", (out,)), ("statistic", (out,))}
    if args[2] == 1 and args[0] == out:
        if extra[projection]:
            return "there is a projection (1x1) on the shortcut although the shape does not change"
        return ""
    if missing[projection]:
        if any(len(shape) == 4 and shape[:2] == (out, args[0]) for _, shape in extra):
            return "the projection on the shortcut has a kernel larger than 1x1"
        why = "the stride changes the shape, although the channels do not" if args[0] == out else "the shape changes"
        return f"{why}, but the shortcut has no projection (1x1) that makes the branches fit"
    if ("parameter", (out,)) in missing and not extra and set(missing) <= norm:
        return "the projection on the shortcut has no batch normalisation, or the main path has one too few"
    return ""


def _about_layers(missing: Counter[Kind], extra: Counter[Kind]) -> str:
    if not extra and all(len(shape) == 1 for _, shape in missing):
        roles = {role for role, _ in missing}
        if roles == {"statistic"}:
            return "batch normalisation keeps no running mean and variance, which evaluation mode needs"
        if roles == {"parameter"}:
            return "the learnt scale and shift of a batch normalisation are missing"
        return "a batch normalisation is missing: each convolution has its own, and none is used in two places"
    text = []
    for title, counter in (("missing", missing), ("too much", extra)):
        if counter:
            text.append(f"{title}: {list_text(_kind_text(kind, n) for kind, n in counter.items())}")
    return "; ".join(text)


def _kind_text(kind: Kind, count: int) -> str:
    role, shape = kind
    s = "s" * (count > 1)
    if len(shape) == 4:
        return f"{count} convolution{s} of {shape_text(shape[2:])} from {shape[1]} to {shape[0]} channels"
    if role == "statistic":
        return f"{count} running statistic{s} (mean or variance) of {shape_text(shape or (1,))} channels"
    if len(shape) == 1:
        return f"{count} scale{s}, shift{s} or bias{'es' * (count > 1)} of {shape[0]} channels"
    return f"{count} parameter{s} of shape {shape_text(shape or (1,))}"


@torch.no_grad()
def _check_output(mine: nn.Module, x: Tensor, what: str, shape: torch.Size, args: Args) -> None:
    """Raise `NotYet` for an output of another type or shape, a changed input, or an output that ignores the input."""
    y = compare.output_of(mine.eval(), x, what)
    _check_shape(x, y, shape, what, args[2])
    if close(call(what, mine, x.flip(0).roll(1, 2) + x.mean()), y):
        raise NotYet(f"{what} gives the same output for different inputs. Where does x get lost?")
    call(what, mine.train(), x.clone())


def _check_shape(x: Tensor, y: Tensor, right: Sequence[int], what: str, stride: int) -> None:
    if tuple(y.shape) != tuple(right):
        hint = _shape_hint(tuple(y.shape), tuple(right), tuple(x.shape), stride)
        shapes = f"turns {shape_text(x.shape)} into {shape_text(y.shape)}; it should become {shape_text(right)}"
        raise NotYet(f"{what} {shapes}. {hint}")


def _shape_hint(got: tuple[int, ...], right: tuple[int, ...], given: tuple[int, ...], stride: int) -> str:
    if len(got) != 4:
        return f"The result has {len(got)} dimensions instead of 4"
    if got[2:] != right[2:]:
        if stride > 1 and got[2:] == given[2:]:
            return f"Height and width stay although the stride is {stride}: is the argument used?"
        return "Height and width depend on kernel, stride and padding of each layer: does a 3x3 keep the size?"
    if got[1] in (right[1] + given[1], 2 * right[1]):
        return "The channels of both branches are put side by side (concatenated); they should be added"
    return "The number of channels is wrong: which layer decides about it?"


@checker
def shortcut(shortcut: Builder) -> str:
    """Check a shortcut with option A, zero padding: `MyShortcut(in_channels, out_channels, stride)`.

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Where the zeros are among the channels is free: the paper does not say.
    """
    name = check_callable(shortcut, "class")
    settings = [s for s in SETTINGS if s[0][0] <= s[0][1]]  # zero padding can only add channels
    with called_with(shortcut, "in_channels", "out_channels", "stride", strange=_SWITCH):
        for args, size, scale in settings:
            mine, what = build(shortcut, args)
            x = scale * torch.randn(4, args[0], *size, generator=torch.Generator().manual_seed(2))
            _check_zero_padding(mine, x, compare.output_of(mine, x, what), what, args)
    return f"{name}: option A, with the right numbers for {len(settings)} shapes and strides"


def _check_zero_padding(mine: nn.Module, x: Tensor, y: Tensor, what: str, args: Args) -> None:
    if list(mine.parameters()):  # a buffer is not learnt: a fixed kernel may pick the pixels
        raise NotYet(f"{what} has parameters. Option A costs none: it drops pixels and adds zeros")
    stride, new = args[2], args[1] - args[0]
    kept = x[:, :, ::stride, ::stride]
    height, width = kept.shape[2:]
    _check_shape(x, y, (len(x), args[1], height, width), what, stride)

    def padded(maps: Tensor, value: float = 0.0) -> list[Tensor]:
        return [F.pad(maps, (0, 0, 0, 0, front, new - front), value=value) for front in (0, new, new // 2)]

    if any(close(y, right) for right in padded(kept)):
        return
    mistakes = {
        "the pixels are averaged; option A keeps one of them": padded(F.avg_pool2d(x, stride, ceil_mode=True)),
        "the largest of the pixels is taken; option A keeps the first": padded(F.max_pool2d(x, stride, ceil_mode=True)),
        "the new channels repeat old ones; they should be zero": [torch.cat([kept, kept], 1)[:, : args[1]]],
        "the new channels are ones; they should be zero": padded(kept, 1.0),
        "only the first rows and columns are kept, not every stride-th of all": padded(x[:, :, :height, :width]),
        "everything is zero: where is the input?": [torch.zeros_like(y)],
    }
    name_mistake(what, mistakes, lambda results: any(close(y, wrong) for wrong in results))
    second = x[:, :, 1::stride, 1::stride]
    height, width = second.shape[2:]
    if stride > 1 and any(torch.equal(y[:, :, :height, :width], wrong) for wrong in padded(second)):
        raise NotYet(f"{what}: the pixels that are kept begin with the second one; they should begin with the first")
    raise NotYet(f"{what}: the values are not those of the input. Which pixels stay, and what is in the new channels?")
