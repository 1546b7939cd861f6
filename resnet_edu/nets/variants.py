"""ResNets as others have published them: five tutorials' nets and three courses', each with what differs and why.

All are one class, `Variant`, whose defaults are the conventions of torchvision. Every function here builds a net that
somebody published, rebuilt from its structure; keywords change single conventions, so that a repair is a line:

    >>> halved_resnet34()                                        # as it was published
    >>> halved_resnet34(first_stride=1, projection_norm=True)    # repaired: torchvision's, for two classes

First weights are PyTorch's defaults, wherever the authors' were others.

Sources
  [1] The five tutorials that the project began from; each is named at its net.
  [2] d2l-ai/d2l-en, chapter_convolutional-modern/resnet.md (PyTorch).
  [3] phlippe/uvadlc_notebooks, docs/tutorial_notebooks/tutorial5.
  [4] labmlai/annotated_deep_learning_paper_implementations, labml_nn/resnet, and its issues 83, 136 and 205.
  [5] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; "Identity Mappings in Deep Residual
      Networks", ECCV 2016, table 2, for what a ReLU before the addition costs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..support.validate import whole
from .blocks import add_shortcut


class VariantBlock(nn.Module):
    """One residual block with the choices in which published nets differ.

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    width:           channels of a bottleneck's 3x3 (1x1, 3x3, 1x1; the 3x3 has the stride); None for two 3x3.
    projection:      whether a 1x1 convolution is on the shortcut.
    bias:            whether the convolutions of the branch have one.
    projection_bias, projection_norm: whether the projection has a bias, and a batch norm behind it.
    early_relu:      whether a ReLU comes before the addition as well as after it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        width: int | None = None,
        projection: bool = False,
        bias: bool = False,
        projection_bias: bool = False,
        projection_norm: bool = True,
        early_relu: bool = False,
    ) -> None:
        super().__init__()
        if width is None:
            windows = [(in_channels, out_channels, 3, stride), (out_channels, out_channels, 3, 1)]
        else:
            windows = [(in_channels, width, 1, 1), (width, width, 3, stride), (width, out_channels, 1, 1)]
        layers: list[nn.Module] = []
        for before, after, kernel, step in windows:
            conv = nn.Conv2d(before, after, kernel, step, padding=kernel // 2, bias=bias)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
        self.branch = nn.Sequential(*layers if early_relu else layers[:-1])
        self.shortcut = nn.Sequential()  # the identity
        if projection:
            self.shortcut.append(nn.Conv2d(in_channels, out_channels, 1, stride, bias=projection_bias))
            if projection_norm:
                self.shortcut.append(nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(F(x) + shortcut(x))."""
        return torch.relu(add_shortcut(self.branch(x), self.shortcut(x)))


class Variant(nn.Module):
    """A residual net whose conventions are free; the defaults are torchvision's.

    (B, in_channels, H, W) -> (B, num_classes)

    layers, widths: blocks in each stage, and channels (of the 3x3, for a bottleneck, whose outputs have four times as
                    many).
    stem:           kernel, stride and padding of the first convolution.
    stem_norm:      whether a batch norm is behind it; `stem_relu`, `stem_pool` (3x3, stride 2) likewise.
    first_stride:   of the first stage's first block; `later_stride` of the other stages'.
    extra:          for each stage the blocks behind the first, counted from 1, that have a projection without need.
    bias:           whether convolutions of stem and branches have one.
    window:         None for global average pooling; a number of pixels for a fixed one.
    options:        those of `VariantBlock`: projection_bias, projection_norm, early_relu.
    """

    def __init__(
        self,
        layers: Sequence[int],
        widths: Sequence[int] = (64, 128, 256, 512),
        *,
        bottleneck: bool = False,
        in_channels: int = 3,
        num_classes: int = 1000,
        stem: tuple[int, int, int] = (7, 2, 3),
        stem_norm: bool = True,
        stem_relu: bool = True,
        stem_pool: bool = True,
        first_stride: int = 1,
        later_stride: int = 2,
        extra: Sequence[Sequence[int]] = (),
        bias: bool = False,
        window: int | None = None,
        **options: bool,
    ) -> None:
        super().__init__()
        whole("in_channels", in_channels), whole("num_classes", num_classes)
        kernel, stride, padding = stem
        parts = [nn.Conv2d(in_channels, widths[0], kernel, stride, padding, bias=bias)]
        parts += [nn.BatchNorm2d(widths[0])] if stem_norm else []
        parts += [nn.ReLU()] if stem_relu else []
        parts += [nn.MaxPool2d(3, 2, 1)] if stem_pool else []
        self.stem = nn.Sequential(*parts)
        self.stages = nn.Sequential()
        channels = widths[0]
        for i, (count, width) in enumerate(zip(layers, widths, strict=True)):
            out = 4 * width if bottleneck else width
            stage = nn.Sequential()
            for b in range(count):
                stride = 1 if b else later_stride if i else first_stride
                projection = stride > 1 or channels != out or (i < len(extra) and b in extra[i])
                inner = width if bottleneck else None
                stage.append(
                    VariantBlock(channels, out, stride, width=inner, projection=projection, bias=bias, **options)
                )
                channels = out
            self.stages.append(stage)
        self.pool = nn.AdaptiveAvgPool2d(1) if window is None else nn.AvgPool2d(window)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of images (B, C, H, W)."""
        return self.fc(self.pool(self.stages(self.stem(x))).flatten(1))


def halved_resnet34(**changes: object) -> Variant:
    """Return a note's ResNet-34 for two classes at 224 pixels ("21-ResNet网络", [1]).

    Its first stage begins with a downsampling block, though the stem's pooling has halved the map already: maps of 28,
    14, 7 and 4 pixels instead of 56, 28, 14 and 7. The global pooling takes any size, so nothing fails; the net does
    less than a third of the work and sees a quarter of the places. Its projections have no batch norm: the branch is
    normalised and the shortcut is not, so nothing keeps the two at one scale.
    """
    return Variant(**{"layers": (3, 4, 6, 3), "num_classes": 2, "first_stride": 2, "projection_norm": False} | changes)


def early_relu_resnet18(**changes: object) -> Variant:
    """Return a blog's ResNet-18 for CIFAR-10 enlarged to 96 pixels ("Pytorch-第九回卷积神经网络ResNet模型", [1]).

    A ReLU ends the branch, before the addition: no block can lower a value, and what the trunk has it keeps (7.84%
    error instead of 6.61% for 110 layers on CIFAR-10, [5]). Projections have a bias and no batch norm. The stem has no
    padding and the head a window of 3x3, so the net takes images of 71 to 166 pixels only.
    Left out are the bias of the stem's convolution, and the eps of 1e-3 of the batch norm behind it.
    """
    options = {"stem": (7, 2, 0), "early_relu": True, "projection_bias": True, "projection_norm": False, "window": 3}
    return Variant(**{"layers": (2, 2, 2, 2), "num_classes": 10} | options | changes)


def projected_resnet50(**changes: object) -> Variant:
    """Return a tutorial's ResNet-50 for CIFAR-10 at 32 pixels ("分类模型--ResNet系列--ResNet50", [1]).

    Six of the twelve blocks that keep the shape have a projection in the identity's place: 11.8 million parameters
    more, and no clean path through their stages. No batch norm and no ReLU follow the first convolution, and every
    convolution has a bias. The stem is made for 224 pixels: on 32, the last stage has maps of one pixel.
    The convolutions of its blocks are missing from the text that came to us; public copies of the same code have them,
    with biases.
    """
    options = {"bottleneck": True, "stem_norm": False, "stem_relu": False, "extra": ((), (3,), (3, 4, 5), (1, 2))}
    options |= {"bias": True, "projection_bias": True, "num_classes": 10}
    return Variant(**{"layers": (3, 4, 6, 3)} | options | changes)


def cifar_stem_resnet18(**changes: object) -> Variant:
    """Return a page's ResNet-18 with a stem for 32 pixels ("ResNet", front matter of 2023-10-8, [1]).

    Blocks, stages and channels are those for ImageNet, the stem is a 3x3 with stride 1 and no pooling: maps of 32, 16,
    8 and 4 pixels on CIFAR-10. It is a common net, and none of the paper's: with 11.2 million parameters it has 41
    times as many as the paper's ResNet-20 for the same images. Its linear layer counts on 512 channels, so bottlenecks,
    which end in four times as many, do not fit into its class.
    """
    return Variant(**{"layers": (2, 2, 2, 2), "num_classes": 10, "stem": (3, 1, 1), "stem_pool": False} | changes)


def biased_resnet50(**changes: object) -> Variant:
    """Return a report's ResNet-50 for the seven classes of FER2013 at 224 pixels ([1], with `stroke=` for `stride=`).

    Every convolution has a bias, though a batch norm follows each: it subtracts the mean of every channel, bias
    included, so the biases have no effect and no gradient. That is the only difference in structure: 26,560 values.
    """
    options = {"bottleneck": True, "bias": True, "projection_bias": True, "num_classes": 7}
    return Variant(**{"layers": (3, 4, 6, 3)} | options | changes)


def d2l_resnet18(**changes: object) -> Variant:
    """Return the ResNet-18 of "Dive into Deep Learning", for grey images of 96 pixels and ten classes ([2]).

    All convolutions have biases, and the projection has no batch norm, so there the bias is not lost. Torchvision's
    weights do not fit into it.
    """
    options = {"in_channels": 1, "num_classes": 10, "bias": True, "projection_bias": True, "projection_norm": False}
    return Variant(**{"layers": (2, 2, 2, 2)} | options | changes)


def uva_resnet20(**changes: object) -> Variant:
    """Return the ResNet of the UvA deep learning course, tutorial 5, for CIFAR-10 ([3]): 3 blocks in 3 stages.

    The paper's net for CIFAR-10, with projections instead of zero padding (option B for A), and these with a bias and
    without a batch norm. The convolutions of the branches have none.
    """
    options = {"stem": (3, 1, 1), "stem_pool": False, "projection_bias": True, "projection_norm": False}
    return Variant(**{"layers": (3, 3, 3), "widths": (16, 32, 64), "num_classes": 10} | options | changes)


def labml_resnet20(**changes: object) -> Variant:
    """Return the ResNet of labml's annotated papers with the defaults of its CIFAR-10 experiment ([4]).

    The stem halves the map, the first stage halves it again, and no later stage does: maps of 8, 8 and 8 pixels, where
    the comment in the code promises a stride of 2 for every stage but the first. A global pooling hides it. No ReLU
    follows the stem's batch norm, and all convolutions have biases.
    """
    options = {"stem": (3, 2, 1), "stem_relu": False, "stem_pool": False, "first_stride": 2, "later_stride": 1}
    options |= {"bias": True, "projection_bias": True, "num_classes": 10}
    return Variant(**{"layers": (3, 3, 3), "widths": (16, 32, 64)} | options | changes)
