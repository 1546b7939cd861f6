"""Shape arithmetic: sizes and receptive fields, as plain integers.

Nothing here imports torch: every number in a shape table can be worked out with a pencil, and these are the rules.

Sources
  [1] Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016 (sections 2 to 5).
  [2] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..support.validate import of_type, whole

DEEPEST = 10_000  # layers; the paper's deepest net has 1,202, and to build a thousand times more takes all memory


def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Return the output length of a convolution along one dimension, in pixels.

    The formula ([1], relationship 15): `floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1`.

    Raises `ValueError` if the padded input is shorter than the kernel's reach, so that not even one window fits.

    >>> conv_output_size(224, kernel=7, stride=2, padding=3)
    112
    """
    whole("size", size), _check_window(kernel, stride, padding, dilation)
    reach = dilation * (kernel - 1) + 1
    if size + 2 * padding < reach:
        padded = f"an input of {size} with padding {padding} has {size + 2 * padding} pixels"
        raise ValueError(f"{padded}, but the kernel reaches over {reach}")
    return (size + 2 * padding - reach) // stride + 1


def _check_window(kernel: int, stride: int, padding: int, dilation: int) -> None:
    whole("kernel", kernel), whole("stride", stride), whole("padding", padding, 0), whole("dilation", dilation)


def pool_output_size(size: int, kernel: int, stride: int | None = None, padding: int = 0, dilation: int = 1) -> int:
    """Return the output length of a max or average pooling along one dimension, in pixels.

    `stride` is the kernel size where it is not given, as in PyTorch.

    Raises `ValueError` for padding above half the kernel (PyTorch's own rule) or an input smaller than the window.
    """
    if whole("padding", padding, 0) > whole("kernel", kernel) // 2:
        raise ValueError(f"`padding` must be at most half of the kernel ({kernel} // 2), but it is {padding}")
    return conv_output_size(size, kernel, kernel if stride is None else stride, padding, dilation)


@dataclass(frozen=True)
class ReceptiveField:
    """How one output pixel of a stack of layers looks back at the image, along one dimension ([2]).

    size:  how many image pixels can change it.
    jump:  the distance in image pixels between two neighbouring output pixels (the product of the strides).
    start: the image coordinate of the centre of the first output pixel's field (0 is the first pixel's centre).
    """

    size: int = 1
    jump: int = 1
    start: float = 0.0

    def after(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> ReceptiveField:
        """Return the field after one more convolution or pooling on top.

        >>> ReceptiveField().after(7, 2, 3).after(3, 2, 1).size  # ResNet's stem
        11
        """
        _check_window(kernel, stride, padding, dilation)
        reach = dilation * (kernel - 1)
        return ReceptiveField(
            size=self.size + reach * self.jump,
            jump=self.jump * stride,
            start=self.start + (reach / 2 - padding) * self.jump,
        )

    def union(self, other: ReceptiveField) -> ReceptiveField:
        """Return the field of a sum of two outputs: from the first pixel that either sees to the last.

        Raises `ValueError` for fields of different jumps: their distance grows from one output pixel to the next.

        >>> ReceptiveField(3, start=0.0).union(ReceptiveField(3, start=1.0)).size
        4
        """
        if self.jump != of_type("other", other, ReceptiveField).jump:
            raise ValueError(f"fields of jumps {self.jump} and {other.jump} have no union that fits all output pixels")
        low = min(self.start - self.size / 2, other.start - other.size / 2)
        high = max(self.start + self.size / 2, other.start + other.size / 2)
        return ReceptiveField(round(high - low), self.jump, (low + high) / 2)


def cifar_blocks_per_stage(depth: int) -> int:
    """Return n for a CIFAR net of `depth` = 6n+2 layers (paper, section 4.2): blocks in each of the three stages.

    Raises `ValueError` for a depth that is not 6n+2, naming the nearest ones that are.
    """
    whole("depth", depth, most=DEEPEST)
    if depth < 8 or (depth - 2) % 6:
        below = max(8, depth - (depth - 2) % 6)
        raise ValueError(f"`depth` must be 6n+2, but it is {depth}; the nearest are {below} and {below + 6}")
    return (depth - 2) // 6
