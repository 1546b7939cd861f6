"""Which ResNet is this? `which_resnet` looks at what a net does, not at its names, and names the nearest known one."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from ..nets import variants
from ..nets.blocks import Bottleneck
from ..nets.models import ResNet, cifar_net
from ..tracing.anatomy import anatomy
from ..tracing.run import TraceError, trace
from .verdict import build, called_with, preserved_state

SIZES = (224, 96, 32)  # of images that are tried, in pixels
# The traits by which nets are told apart, and what each decides.
TRAITS = {
    "widths": "channels of the stages: parameters and work go with their square",
    "stem": "what the first layers do to the image: they decide the size of all maps",
    "strides": "which stages shrink the map: a mistake here is hidden by a global pooling",
    "block": "order of the layers in a block, ×N: how much wider its end is; a ReLU before the addition: it only adds",
    "stride on": "which convolution of a bottleneck moves in steps: 1×1 in the paper, 3×3 in torchvision (v1.5)",
    "shortcut": "what makes shapes fit: zero padding (A), or a 1×1 convolution (B), in the paper with a batch norm",
    "projections": "blocks with something on the shortcut although their shape stays: the identity would do",
    "biases": "of convolutions; before a batch norm they do nothing",
    "head": "how the last maps become a vector",
    "images": "whether the net takes images of another size",
}
_SHORT = (2, 2, 2, 2)
KNOWN: dict[str, Callable[[], nn.Module]] = {  # the fewest blocks that show all traits
    "torchvision's": lambda: variants.Variant(_SHORT),
    "torchvision's (v1.5)": lambda: variants.Variant(_SHORT, bottleneck=True),
    "the paper's for ImageNet (stride on 1×1)": lambda: ResNet(
        Bottleneck, _SHORT, (64, 128, 256, 512), stride_on="1x1"
    ),
    "the paper's for CIFAR-10": lambda: cifar_net(14),
    "the paper's for CIFAR-10, with option B": lambda: cifar_net(14, shortcut="projection"),
    "pre-activation, for CIFAR-10": lambda: cifar_net(14, preact=True),
    "Dive into Deep Learning's": variants.d2l_resnet18,
    "the UvA course's": lambda: variants.uva_resnet20(layers=(2, 2, 2)),
    "labml's": lambda: variants.labml_resnet20(layers=(2, 2, 2)),
    "a tutorial's, halved in its first stage": lambda: variants.halved_resnet34(layers=_SHORT),
    "a tutorial's, with an early ReLU": variants.early_relu_resnet18,
    "a tutorial's, with projections where none are needed": variants.projected_resnet50,
    "a tutorial's, with a stem for CIFAR-10": variants.cifar_stem_resnet18,
    "a tutorial's, with biases everywhere": lambda: variants.biased_resnet50(layers=_SHORT),
}
_BASIC = {(2, 2, 2, 2): 18, (3, 4, 6, 3): 34}
_BOTTLENECK = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


@dataclass(frozen=True, repr=False)
class Which:
    """What `which_resnet` found; shows itself as text.

    name:        "ResNet-34" where depth and blocks are those of a net of the paper, else how many layers it has.
    nearest:     the known net with the fewest other traits, a key of `KNOWN`; it may have another depth.
    differences: trait -> (this net's, that of the nearest).
    distances:   known net -> the number of traits in which it differs.
    traits:      of this net, as `tracing.anatomy` has them, and `images`.
    size:        height and width of the image with which it was traced, in pixels.
    """

    name: str
    nearest: str
    differences: dict[str, tuple[object, object]]
    distances: dict[str, int]
    traits: dict[str, object]
    size: int

    def __str__(self) -> str:
        t, same = self.traits, "the same in all that is compared" if not self.differences else "but for:"
        lines = [
            f"{self.name}, with blocks {', '.join(map(str, t['layers']))} in its stages",
            f"{t['parameters']:,} parameters; for an image of {self.size}×{self.size} {t['macs']:,} multiply-adds, and "
            f"maps of {', '.join(map(str, t['sizes']))} pixels",
            f"nearest: {self.nearest}, {same}",
        ]
        for trait, values in self.differences.items():
            own, other = (", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values)
            lines += [f"  {trait}: {own}", f"  {'':{len(trait)}}  there {other}", f"    ({TRAITS[trait]})"]
        return "\n".join(
            textwrap.fill(line, 78, subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2)) for line in lines
        )

    __repr__ = __str__


def which_resnet(net: nn.Module | Callable[[], nn.Module]) -> Which:
    """Return which ResNet a net, or a class that is built without arguments, is: its name, and how it departs from it.

    It is traced, so that neither names nor the order of definition count: see `tracing.anatomy`. Classes, channels of
    the image and numbers of blocks are left out of the comparison. The images have the first of `SIZES` that the net
    takes, or the last if its first stage keeps the whole image.

    Raises `ValueError` for a net without residual additions, `NotYet` if it cannot be built, and `TraceError` if it
    fails.
    """
    with preserved_state():
        if not isinstance(net, nn.Module):
            with called_with(net):
                net, _ = build(net, ())
        traits, tried = traits_of(net)
        if traits["sizes"][0] == tried:  # a net that keeps the whole image is one for small images
            traits, tried = traits_of(net, SIZES[-1:])
    found = {
        name: {t: (traits[t], other[t]) for t in TRAITS if traits[t] != other[t]} for name, other in _known().items()
    }
    nearest = min(found, key=lambda name: len(found[name]))
    layers, depth = traits["layers"], traits["depth"]
    table = _BOTTLENECK if traits["block"].startswith("1×1") else _BASIC
    paper = table.get(layers) == depth or (len(layers) == 3 and layers == ((depth - 2) // 6,) * 3)
    name = f"ResNet-{depth}" if paper else f"a residual net of {depth} layers"
    return Which(name, nearest, found[nearest], {n: len(d) for n, d in found.items()}, traits, tried)


def traits_of(net: nn.Module, sizes: Sequence[int] = SIZES) -> tuple[dict[str, object], int]:
    """Return the traits of a net, and the first of these sizes of images, in pixels, that it takes."""
    taken = [m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    channels = next((c for c in (3, 1) if c in taken), (taken or [3])[0] or 3)  # 0: of a lazy layer
    for size in sizes:
        try:
            found = trace(net, (1, channels, size, size))
            break
        except TraceError:
            if size == sizes[-1]:
                raise
    try:
        trace(net, (1, channels, 3 * size, 3 * size))
        images = "any size"
    except TraceError:
        images = "one size"
    return anatomy(found) | {"images": images}, size


@cache
def _known() -> dict[str, dict[str, object]]:
    """Return the traits of the known nets."""
    with torch.device("meta"):
        return {name: traits_of(build())[0] for name, build in KNOWN.items()}
