"""The checker of shortcuts: options A and B of the paper, alone and without the rest of the block.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.3: (A) extra zero entries padded,
      (B) a 1x1 convolution; both with stride 2 where the size changes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import _one_of, make_shortcut
from .check_blocks import Builder, build, builds, numbers
from .check_census import made_in_forward
from .check_match import kinds, randomize
from .check_mistakes import Mistakes, normal
from .check_tools import NotYet, ask, checker, close, name_of, tensor_of, times

# (in_channels, out_channels, stride), height and width; zero padding can only add channels
SETTINGS = (
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
    _one_of("option", option, ("A", "B"))
    builds(shortcut)
    settings = [s for s in SETTINGS if option == "B" or s[0][0] <= s[0][1]]
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
