"""Residual blocks, the plain block that they are compared with, and the shortcuts between shapes.

One block each, as small as the paper draws it. Attribute names are torchvision's, so that its weights load.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: equations 1 and 2, figures 2 and 5,
      section 3.3 (options A and B) and section 4.1 (option C).
  [2] He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016: figure 4e, full pre-activation.
  [3] torchvision `models/resnet.py`: the stride of a bottleneck on its 3x3 convolution ("v1.5").
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..support.validate import one_of, whole

SHORTCUTS = {
    "identity": "the input as it is; shapes must match",
    "zero_pad": "option A: every stride-th pixel, new channels filled with zeros; no parameters",
    "projection": "option B: a 1x1 convolution and batch norm where the shape changes, identity elsewhere",
    "projection_all": "option C: a 1x1 convolution and batch norm in every block",
}


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size at stride 1; no bias, since batch norm follows."""
    check_sizes(in_channels, out_channels, stride)
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 1x1 convolution: a linear map of the channels at each pixel; no bias, since batch norm follows."""
    check_sizes(in_channels, out_channels, stride)
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


class PlainBlock(nn.Module):
    """Two 3x3 convolutions in a row and nothing around them: the control of the experiment.

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Layers, parameters and names are those of `BasicBlock` with a parameter-free shortcut; only the addition is missing.
    """

    expansion = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return H(x), learnt without a reference to x."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them: ResNet-18 and -34, and the CIFAR nets ([1], figure 5 left).

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    `shortcut` is a key of `SHORTCUTS`. The ReLU comes after the addition: before it, the branch could only add.
    """

    expansion = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, shortcut: str = "projection") -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = make_shortcut(shortcut, in_channels, out_channels, stride)  # torchvision's name

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(F(x) + shortcut(x))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out = add_shortcut(out, identity)
        return self.relu(out)


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3 there, 1x1 back to four times as many: ResNet-50 and deeper ([1], figure 5 right).

    (B, in_channels, H, W) -> (B, 4 * width, ceil(H / stride), ceil(W / stride))

    `width` is the number of channels of the 3x3. `stride_on` says which convolution has the stride: "1x1" as in
    the paper, "3x3" as in torchvision, called v1.5 (6% more multiply-adds in ResNet-50; more accurate, says [3]).
    """

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, shortcut: str = "projection", stride_on: str = "3x3"
    ) -> None:
        super().__init__()
        one_of("stride_on", stride_on, ("1x1", "3x3"))
        out_channels = self.expansion * width
        self.conv1 = conv1x1(in_channels, width, stride if stride_on == "1x1" else 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride if stride_on == "3x3" else 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = make_shortcut(shortcut, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(F(x) + shortcut(x))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out = add_shortcut(out, identity)
        return self.relu(out)


class PreActBlock(nn.Module):
    """Batch norm and ReLU before each convolution, nothing after the addition ([2], figure 4e).

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    The shortcut is a clean path through the blocks of a stage: no ReLU cuts it. A shortcut that changes the
    shape starts after the first batch norm and ReLU, as in the authors' code; a projection has no batch norm then.
    """

    expansion = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, shortcut: str = "projection") -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.relu = nn.ReLU()
        self.downsample = make_shortcut(shortcut, in_channels, out_channels, stride)
        if isinstance(self.downsample, nn.Sequential):
            self.downsample = self.downsample[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x) + shortcut(x)."""
        out = self.relu(self.bn1(x))
        identity = x if self.downsample is None else self.downsample(out)
        out = self.conv1(out)
        out = self.conv2(self.relu(self.bn2(out)))
        return add_shortcut(out, identity)


class ZeroPadShortcut(nn.Module):
    """Option A: keep every `stride`-th pixel, append zero channels. No parameters ([1], section 3.3).

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Raises `ValueError` if `out_channels` is smaller than `in_channels`: zeros can be added, not taken away.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        check_sizes(in_channels, out_channels, stride)
        if out_channels < in_channels:
            change = f"{in_channels} would become {out_channels}: use 'projection'"
            raise ValueError(f"shortcut='zero_pad' can only add channels, but here {change}")
        self.new_channels = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` subsampled and padded with zero channels."""
        x = x[:, :, :: self.stride, :: self.stride]  # (B, C, H, W) -> (B, C, H/s, W/s)
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))  # new channels come last

    def extra_repr(self) -> str:
        """Show stride and new channels when printed."""
        return f"stride={self.stride}, new_channels={self.new_channels}"


def make_shortcut(kind: str, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module | None:
    """Return the module of a shortcut, a key of `SHORTCUTS`, None for the identity; `ValueError` for another kind."""
    one_of("shortcut", kind, SHORTCUTS), check_sizes(in_channels, out_channels, stride)
    same_shape = stride == 1 and in_channels == out_channels
    if kind == "identity" or (same_shape and kind != "projection_all"):
        return None
    if kind == "zero_pad":
        return ZeroPadShortcut(in_channels, out_channels, stride)
    return nn.Sequential(conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))


def check_sizes(in_channels: int, out_channels: int, stride: int) -> None:
    """Raise `TypeError` or `ValueError` for channels or a stride that are no whole numbers of at least 1."""
    whole("in_channels", in_channels), whole("out_channels", out_channels), whole("stride", stride)


class ShapeMismatchError(ValueError):
    """Raised when branch and shortcut of a block cannot be added."""


def add_shortcut(main: Tensor, shortcut: Tensor) -> Tensor:
    """Return main path plus shortcut: y = F(x) + x, or F(x) + W_s x ([1], equations 1 and 2).

    Both are (B, C, H, W). PyTorch's `+` would broadcast a (B, C, 1, 1) map over a larger one without a word;
    here shapes must be equal.

    Raises `ShapeMismatchError` with both shapes and the shortcuts that would fit.
    """
    # What torch.fx traces has no shape yet; it is checked when the traced net runs, by PyTorch's own rule.
    if isinstance(main.shape, torch.Size) and main.shape != shortcut.shape:
        main_shape, shortcut_shape = tuple(main.shape), tuple(shortcut.shape)
        advice = _advice(main_shape, shortcut_shape)
        raise ShapeMismatchError(f"cannot add the main path {main_shape} and the shortcut {shortcut_shape}: {advice}")
    return main + shortcut


def _advice(main: tuple[int, ...], shortcut: tuple[int, ...]) -> str:
    """Return which shortcut would turn the shape `shortcut` into the shape `main`, in words."""
    if len(main) != 4 or len(shortcut) != 4 or main[0] != shortcut[0]:
        return "both must be (B, C, H, W) with the same batch size"
    strides = {-(-s // m) for m, s in zip(main[2:], shortcut[2:], strict=True)}
    if len(strides) != 1 or any(-(-s // max(strides)) != m for m, s in zip(main[2:], shortcut[2:], strict=True)):
        return "no shortcut reaches that height and width; check stride and padding of the main path"
    fits = "shortcut='projection' (option B)"
    if main[1] >= shortcut[1]:
        fits += " or shortcut='zero_pad' (option A)"
    return f"{fits} with stride {max(strides)} would fit"
