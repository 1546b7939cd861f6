"""Checkers of blocks: `residual_block`, `plain_block`, `bottleneck`.

Scope: a learner's class is built for several channels and strides, gets the weights of the package's block, and has to
give its outputs, running statistics and gradients. Where it does not, the same block with each known mistake in it is
computed as well (`check_mistakes.py`): the one that gives the learner's numbers is named.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5, and section 3.3.

--- The checker of shortcuts: options A and B of the paper, alone and without the rest of the block.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.3: (A) extra zero entries padded,
      (B) a 1x1 convolution; both with stride 2 where the size changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nets.blocks import BasicBlock, Bottleneck, PlainBlock, make_shortcut
from ..support.validate import one_of
from .compare import (
    Answers,
    Pairs,
    answers,
    best,
    compare_kinds,
    copy_values,
    kinds,
    made_in_forward,
    pairings,
    randomize,
)
from .mistakes import Mistakes, mistakes_of, normal
from .verdict import NotYet, and_, ask, checker, close, name_of, tensor_of, times

Builder = Callable[[int, int, int], nn.Module]

# (in_channels, out_channels, stride), height and width, and the size of the input's values. The smallest change comes
# first, and small values show what batch norm adds to the variance.
SETTINGS = (
    ((8, 8, 1), (10, 11), 1.0),
    ((8, 8, 1), (6, 6), 0.01),
    ((8, 16, 2), (8, 10), 1.0),
    ((8, 16, 1), (7, 7), 1.0),
    ((8, 8, 2), (9, 6), 1.0),
    ((16, 8, 1), (6, 6), 1.0),
    ((8, 12, 3), (10, 7), 1.0),
)
BOTTLENECKS = (  # the same, with the width of the 3x3 in the middle: 32 channels are 4 * 8
    ((32, 8, 1), (10, 11), 1.0),
    ((32, 8, 1), (6, 6), 0.01),
    ((16, 8, 2), (8, 10), 1.0),
    ((8, 8, 1), (7, 7), 1.0),
    ((32, 8, 2), (9, 6), 1.0),
    ((8, 12, 3), (10, 7), 1.0),
)


@checker
def residual_block(block: Builder) -> str:
    """Check a block of two 3x3 convolutions and a shortcut with option B: `MyBlock(in_channels, out_channels, stride)`.

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Compared with `BasicBlock`: parameters, outputs in training and evaluation mode, running statistics, gradients.
    Names of layers are free. Raises `NotYet` for a wrong answer, `TypeError` for what cannot be built.
    """
    return _check(block, BasicBlock)


@checker
def plain_block(block: Builder) -> str:
    """Check a block of two 3x3 convolutions without shortcut: `MyPlain(in_channels, out_channels, stride)`.

    Everything else as in `residual_block`; compared with `PlainBlock`.
    """
    return _check(block, PlainBlock)


@checker
def bottleneck(block: Builder, stride_on: str = "3x3") -> str:
    """Check a bottleneck with option B: `MyBottleneck(in_channels, width, stride)`, which passes on 4 * width channels.

    (B, in_channels, H, W) -> (B, 4 * width, ceil(H / stride), ceil(W / stride))

    stride_on: "3x3" as in torchvision (v1.5), "1x1" as in the paper. Everything else as in `residual_block`.
    """
    one_of("stride_on", stride_on, ("1x1", "3x3"))
    return _check(block, lambda i, w, s: Bottleneck(i, w, s, stride_on=stride_on), BOTTLENECKS)


def _check(block: Builder, reference: Builder, settings: tuple = SETTINGS) -> str:
    builds(block)
    for args, size, scale in settings:
        _compare(block, reference(*args), args, size, scale)
    return (
        f"{name_of(block)}: outputs in training and evaluation mode, running statistics and all gradients are right, "
        f"for {len(settings)} shapes and strides"
    )


def builds(block: object) -> None:
    """Raise `TypeError` for what is no class or function that builds a module."""
    if isinstance(block, nn.Module) or not callable(block):
        raise TypeError(
            f"give the class itself, without parentheses after it: it is built several times. Got {block!r}"
        )


def build(block: Builder, args: tuple[int, ...]) -> tuple[nn.Module, str]:
    """Return the learner's module, and how its construction is written."""
    what = f"{name_of(block)}({', '.join(map(str, args))})"
    mine = ask(what, block, *args)
    if not isinstance(mine, nn.Module):
        raise NotYet(f"{what} gives {type(mine).__name__}, and a torch.nn.Module is expected")
    return mine, what


def _compare(
    block: Builder, reference: nn.Module, args: tuple[int, int, int], size: tuple[int, int], scale: float
) -> None:
    mine, what = build(block, args)
    randomize(reference)
    x = scale * torch.randn(4, args[0], *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        shape = reference(x).shape
    made_in_forward(mine, x, what)
    failure = _fails(mine, x, what)
    try:
        compare_kinds(mine, reference, what, args)
    except NotYet as error:  # what is missing is likely to be why it fails
        raise NotYet("\n".join(filter(None, [str(error), failure and str(failure)]))) from (
            failure and failure.__cause__
        )
    if failure:
        hint = _about_stride(mine, args[2])
        raise NotYet(f"{failure}{hint and chr(10) + hint}") from failure.__cause__
    plausible(mine, x, what, shape, args)
    numbers(mine, reference, x, what, mistakes_of(reference))


def _fails(mine: nn.Module, x: Tensor, what: str) -> NotYet | None:
    try:
        with torch.no_grad():
            ask(f"{what} with an input of {times(x.shape)}", mine, x.clone())
    except NotYet as error:
        return error
    return None


@torch.no_grad()
def plausible(mine: nn.Module, x: Tensor, what: str, shape: torch.Size, args: tuple[int, ...]) -> None:
    """Raise `NotYet` for an output of another type or shape, a changed input, or an output that ignores the input."""
    given = x.clone()
    y = tensor_of(what, ask(what, mine.eval(), given))
    if not torch.equal(given, x):
        raise NotYet(
            f"{what} changes its input: some operation works in place on x (its name ends in an underscore, or it is "
            "+= or a ReLU with inplace). Whoever gave x to the block, a shortcut above all, still needs it as it was"
        )
    if y.shape != shape:
        raise NotYet(
            f"{what} turns {times(x.shape)} into {times(y.shape)}; it should become {times(shape)}. "
            + _about_shape(tuple(y.shape), tuple(shape), tuple(x.shape), args)
        )
    if close(ask(what, mine, x.flip(0).roll(1, 2) + x.mean()), y):
        raise NotYet(f"{what} gives the same output for different inputs. Where does x get lost?")
    ask(what, mine.train(), x.clone())


def _about_shape(got: tuple[int, ...], right: tuple[int, ...], given: tuple[int, ...], args: tuple[int, ...]) -> str:
    stride = args[-1]
    if len(got) != 4:
        return f"The result has {len(got)} dimensions instead of 4"
    if got[2:] == tuple(-(-n // stride) for n in right[2:]) and stride > 1:
        return f"The stride of {stride} is applied twice on the way; one layer of the main path has it"
    if got[2:] != right[2:]:
        if stride > 1 and got[2:] == given[2:]:
            return f"Height and width stay although the stride is {stride}: is the argument used?"
        if all(g == -(-n // 2) for g, n in zip(got[2:], given[2:], strict=True)):
            return f"Height and width are halved although the stride is {stride}: is a stride written into a layer?"
        return "Height and width depend on kernel, stride and padding of each layer: does a 3x3 keep the size?"
    if got[1] == right[1] + given[1] or got[1] == 2 * right[1]:
        return "The channels of both branches are put side by side (concatenated) where they are to be added"
    return "The number of channels is wrong: which layer decides about it?"


def _about_stride(mine: nn.Module, stride: int) -> str:
    """Say what the strides of the learner's convolutions may have to do with branches that do not fit."""
    main = [m.stride[0] for m in mine.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    if stride > 1 and main.count(stride) > 1:
        return (
            f"{main.count(stride)} convolutions of the main path have stride {stride}, so the map is made smaller "
            "twice; one of them is to do it"
        )
    if stride == 1 and any(s > 1 for s in main):
        return "A convolution has a stride above 1 although the block's stride is 1: is it written into the layer?"
    return ""


def numbers(mine: nn.Module, reference: nn.Module, x: Tensor, what: str, mistakes: Mistakes) -> None:
    """Raise `NotYet` if `mine` does not compute what `reference` computes, with the mistake that explains it."""
    ways = pairings(mine, reference, x)
    names = {name: name for name in ways[0].values()}
    start = {n: t.detach().clone() for n, t in reference.state_dict().items()}
    right = answers(reference, x, names, what)
    reference.load_state_dict(start)
    found: list[Answers] = []
    for tried in _tried(mine, reference, x, what, ways):
        found.append(tried)
        if not tried.first_difference(right):
            return
    strange = _strange_eps(mine, reference)
    if strange:
        found = _with_default_eps(mine, reference, x, what, ways, strange)
        if not best(found, right).first_difference(right):
            name, eps = next(iter(strange.items()))
            raise NotYet(
                f"{what}: the batch normalisation {name} has an eps of {eps:g}, and PyTorch's default is due. It is "
                "added to the variance, and shows where the variance is small"
            )
    nearest = best(found, right)
    where = nearest.first_difference(right)
    if where == "train":
        _explain_output(found, reference, x, what, mistakes, right)
    if where == "statistics":
        _explain_statistics(nearest, right, start, what)
    if where == "evaluation":
        raise NotYet(
            f"{what} is right in training mode and wrong in evaluation mode. There, batch normalisation uses the "
            "stored running mean and variance, not those of the batch: does the mode reach every layer?"
        )
    _explain_gradients(nearest, right, what)


def _tried(mine: nn.Module, reference: nn.Module, x: Tensor, what: str, ways: list[Pairs]) -> Iterator[Answers]:
    """Yield what `mine` answers with the values of the reference, for each way in which their tensors correspond."""
    for pairs in ways:
        copy_values(reference, mine, pairs)
        yield answers(mine, x, pairs, what)


def _strange_eps(mine: nn.Module, reference: nn.Module) -> dict[str, float]:
    """Return the batch normalisations of `mine` whose eps no layer of the reference has."""
    known = {m.eps for m in reference.modules() if isinstance(m, nn.BatchNorm2d)}
    return {n: m.eps for n, m in mine.named_modules() if isinstance(m, nn.BatchNorm2d) and m.eps not in known}


def _with_default_eps(
    mine: nn.Module, reference: nn.Module, x: Tensor, what: str, ways: list[Pairs], strange: dict[str, float]
) -> list[Answers]:
    """Give these batch norms of `mine` the eps of the reference, and return what it answers then."""
    for name in strange:
        mine.get_submodule(name).eps = next(m.eps for m in reference.modules() if isinstance(m, nn.BatchNorm2d))
    return list(_tried(mine, reference, x, what, ways))


def _explain_output(
    found: list[Answers], reference: nn.Module, x: Tensor, what: str, mistakes: Mistakes, right: Answers
) -> None:
    for explanation, compute in mistakes:
        try:
            with torch.no_grad():
                wrong = compute(reference.train(), x)
        except RuntimeError:  # this mistake is none for these shapes: it would have failed
            continue
        if any(close(a.train, wrong) for a in found):
            raise NotYet(f"{what}: {explanation}")
    share = (found[0].train - right.train).norm() / right.train.norm()
    text = f"{what} has the right layers and shapes, but with the same weights its output differs by {share:.0%}"
    if right.train.min() >= 0 > min(a.train.min() for a in found):
        text += ", and some of its values are negative, which a ReLU at the end would not allow"
    raise NotYet(
        f"{text}. Go through the forward pass line by line: which value goes into each layer? If it looks right, "
        "define the layers in the order in which they run, so that their weights are matched",
        explained=False,
    )


def _explain_statistics(nearest: Answers, right: Answers, start: dict[str, Tensor], what: str) -> None:
    wrong = [n for n, v in nearest.statistics.items() if not close(v, right.statistics[n])]
    if all(torch.equal(nearest.statistics[n], start[n]) for n in wrong):
        raise NotYet(
            f"{what}: the output is right, but a forward pass in training mode leaves {len(wrong)} running statistics "
            "(mean and variance) of batch normalisation as they were; evaluation will need them"
        )
    raise NotYet(
        f"{what}: the output is right, but after a forward pass in training mode {len(wrong)} running statistics of "
        "batch normalisation differ. Is its momentum the default, and does each of its layers run once?"
    )


def _explain_gradients(nearest: Answers, right: Answers, what: str) -> None:
    wrong = nearest.wrong_gradients(right)
    if all(g is None for g in nearest.gradients.values()):
        raise NotYet(f"{what}: outputs are right, but no gradient comes back: something switches autograd off")
    if wrong == ["input"]:
        raise NotYet(
            f"{what}: outputs are right, but the gradient of the input is not: on one branch something cuts the way "
            "back (detach, .data or no_grad)"
        )
    raise NotYet(
        f"{what}: outputs are right, but the gradients of {and_(wrong[:4])} are not. What cuts the backward pass?"
    )


# (in_channels, out_channels, stride), height and width; zero padding can only add channels
SHORTCUT_SETTINGS = (
    ((8, 8, 1), (7, 7)),
    ((8, 16, 2), (8, 10)),
    ((8, 16, 2), (9, 7)),
    ((8, 16, 1), (7, 6)),
    ((8, 8, 2), (9, 6)),
    ((8, 12, 3), (10, 7)),
    ((16, 8, 1), (6, 6)),
)


@checker
def shortcut(shortcut: Builder, option: str = "B") -> str:
    """Check a shortcut: `MyShortcut(in_channels, out_channels, stride)`, a module.

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    option: "A", zero padding without parameters (where among the channels the zeros come is free, since the paper does
            not say), or "B", a projection with batch norm where the shape changes and the identity elsewhere.

    Raises `NotYet` for a wrong answer, `TypeError` for what cannot be built, `ValueError` for another option.
    """
    one_of("option", option, ("A", "B"))
    builds(shortcut)
    settings = [s for s in SHORTCUT_SETTINGS if option == "B" or s[0][0] <= s[0][1]]
    for args, size in settings:
        mine, what = build(shortcut, args)
        x = torch.randn(4, args[0], *size, generator=torch.Generator().manual_seed(2))
        given = x.clone()
        with torch.no_grad():
            y = tensor_of(what, ask(f"{what} with an input of {times(x.shape)}", mine, given))
        if not torch.equal(given, x):
            raise NotYet(f"{what} changes its input: something in it works in place, and the branch needs x as it was")
        if option == "A":
            _zero_padding(mine, x, y, what, args)
        else:
            _projection(mine, x, y, what, args)
    return f"{name_of(shortcut)}: option {option}, with the right numbers for {len(settings)} shapes and strides"


def _expect(y: Tensor, x: Tensor, what: str, args: tuple[int, int, int]) -> None:
    right = (x.shape[0], args[1], *(-(-n // args[2]) for n in x.shape[2:]))
    if y.shape == right:
        return
    text = f"{what} turns {times(x.shape)} into {times(y.shape)}; it should become {times(right)}. "
    if y.shape[2:] != right[2:]:
        raise NotYet(text + "What has to happen to height and width, and what do odd sizes become?")
    raise NotYet(text + "The number of channels is not the one asked for")


def _zero_padding(mine: nn.Module, x: Tensor, y: Tensor, what: str, args: tuple[int, int, int]) -> None:
    if list(mine.parameters()):  # a buffer is not learnt: a fixed kernel may pick the pixels
        raise NotYet(f"{what} has parameters. Option A costs none: it drops pixels and adds zeros")
    _expect(y, x, what, args)
    new, stride = args[1] - args[0], args[2]
    kept = x[:, :, ::stride, ::stride]

    def padded(maps: Tensor, value: float = 0.0) -> list[Tensor]:
        return [F.pad(maps, (0, 0, 0, 0, front, new - front), value=value) for front in (0, new, new // 2)]

    if any(close(y, right) for right in padded(kept)):
        return
    explanations = {
        "the pixels are averaged; option A keeps one of them and drops the others": padded(
            F.avg_pool2d(x, stride, ceil_mode=True)
        ),
        "the largest of the pixels is taken; option A keeps the first and drops the others": padded(
            F.max_pool2d(x, stride, ceil_mode=True)
        ),
        "the new channels repeat old ones, and they are to be zero": [torch.cat([kept, kept], 1)[:, : args[1]]],
        "the new channels are ones, and they are to be zero": padded(kept, 1.0),
        "only the first rows and columns are kept; option A takes them all over the map, a stride apart": padded(
            x[:, :, : kept.shape[2], : kept.shape[3]]
        ),
        "everything is zero: where is the input?": [torch.zeros_like(y)],
    }
    for text, wrong in explanations.items():
        if any(close(y, w) for w in wrong):
            raise NotYet(f"{what}: {text}")
    second = x[:, :, 1::stride, 1::stride]
    height, width = second.shape[2:]
    if stride > 1 and any(torch.equal(y[:, :, :height, :width], wrong) for wrong in padded(second)):
        raise NotYet(f"{what}: the pixels that are kept begin with the second one, and they begin with the first")
    raise NotYet(
        f"{what} has the right shape, but its values are not those of the input: which pixels stay, and what is in the "
        "new channels?"
    )


def _projection(mine: nn.Module, x: Tensor, y: Tensor, what: str, args: tuple[int, int, int]) -> None:
    made_in_forward(mine, x, what)
    reference = make_shortcut("projection", *args)
    if reference is None:
        if list(mine.parameters()):
            raise NotYet(f"{what} has parameters although the shape stays: option B projects only where it must")
        if not torch.equal(y, x):
            raise NotYet(f"{what} changes its input although the shape stays: there, a shortcut is the identity")
        return
    _expect_projection(mine, reference, what)
    _expect(y, x, what, args)
    randomize(reference)
    numbers(mine, reference, x, what, _MISTAKES)


def _expect_projection(mine: nn.Module, reference: nn.Module, what: str) -> None:
    own, right = kinds(mine), kinds(reference)
    if own == right:
        return
    if not own:
        raise NotYet(f"{what} has no parameters, but the shape changes: option B projects there, with weights to learn")
    biased = [m for m in mine.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    if biased:
        raise NotYet(f"{what}: the convolution has a bias, which the batch normalisation after it takes away again")
    kernels = {shape[2:] for _, shape in own if len(shape) == 4}
    if kernels != {(1, 1)}:
        sizes = ", ".join(map(times, sorted(kernels))) or "none"
        raise NotYet(f"{what}: the paper's projection looks at one pixel at a time, but the kernels here are: {sizes}")
    if not own - right:
        raise NotYet(f"{what}: the projection has no batch normalisation, so that both branches differ in scale")
    raise NotYet(
        f"{what} has {sum(p.numel() for p in mine.parameters()):,} parameters instead of "
        f"{sum(p.numel() for p in reference.parameters()):,}: a projection has a convolution and a batch normalisation"
    )


def _wrong(block: nn.Module, x: Tensor, how: str) -> Tensor:
    conv, bn = block
    if how == "pooled":
        return normal(bn, F.conv2d(F.avg_pool2d(x, conv.stride, ceil_mode=True), conv.weight))
    y = F.conv2d(x, conv.weight, None, conv.stride)
    return y if how == "bare" else torch.relu(normal(bn, y))


_MISTAKES: Mistakes = [
    ("there is a ReLU on the shortcut, which cuts off what is negative", lambda b, x: _wrong(b, x, "relu")),
    ("the batch normalisation is not used: is it defined and never called?", lambda b, x: _wrong(b, x, "bare")),
    (
        "the pixels are averaged before the projection; the paper's takes one and drops the others",
        lambda b, x: _wrong(b, x, "pooled"),
    ),
]
