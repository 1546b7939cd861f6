"""The nets of the paper: ResNet-18 to -152 for 224 pixels, the 6n+2 family for CIFAR-10, and their plain twins.

Parameter names are torchvision's, so that its weights load.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: Table 1 (ImageNet), section 4.2 (CIFAR-10).
  [2] torchvision `models/resnet.py`, whose weights load into `resnet18` ... `resnet152`.
  [3] torchvision 0.2, the same file: `AvgPool2d(7, stride=1)` where there is a global pooling now.
  [4] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2; for [1], its section 3.4.
"""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..support.system import import_here
from ..support.validate import of_type, one_of, shown, whole, wholes
from .blocks import SHORTCUTS, BasicBlock, Bottleneck, PlainBlock, PreActBlock, conv3x3
from .shapes import cifar_blocks_per_stage

STEMS = ("imagenet", "cifar")


class ResNet(nn.Module):
    """A stem, stages of equal blocks, global average pooling, one linear layer.

    (B, in_channels, H, W) -> (B, num_classes)

    block:      PlainBlock, BasicBlock, Bottleneck or PreActBlock.
    layers:     blocks in each stage; every stage but the first begins with stride 2.
    widths:     channels of each stage (of the 3x3, for a bottleneck).
    stem:       "imagenet": 7x7 with stride 2 and a 3x3 max pooling with stride 2; "cifar": 3x3 with stride 1.
    pool:       None for global average pooling, which takes maps of any size. A number of pixels gives the fixed window
                of older code ([3]): such a net fails for other images than those that it was made for.
    block_args: passed to each block, for example shortcut="zero_pad" or stride_on="1x1".

    Two nets built after the same `torch.manual_seed` have equal weights in all the layers that they share: the seed
    is drawn before any layer is made, and main paths are drawn before shortcuts (`init_weights`).
    """

    def __init__(
        self,
        block: type[nn.Module],
        layers: Sequence[int],
        widths: Sequence[int],
        *,
        stem: str = "imagenet",
        pool: int | None = None,
        in_channels: int = 3,
        num_classes: int = 1000,
        **block_args: str,
    ) -> None:
        super().__init__()
        one_of("stem", stem, STEMS), whole("num_classes", num_classes), whole("in_channels", in_channels)
        layers, widths = wholes("layers", layers), wholes("width", widths)
        if len(layers) != len(widths) or not layers:
            raise ValueError(f"`layers` and `widths` must be equally long, but they are {layers!r} and {widths!r}")
        if not hasattr(block, "expansion"):
            raise TypeError(f"`block` must be the class of a block, such as BasicBlock, but it is {shown(block)}")
        seed = int(torch.randint(2**62, (), device="cpu"))
        preact = isinstance(block, type) and issubclass(block, PreActBlock)
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, widths[0], 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = conv3x3(in_channels, widths[0])
            self.maxpool = None
        self.bn1 = None if preact else nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.stages = [f"layer{i}" for i in range(1, len(layers) + 1)]  # layer1 is the paper's conv2_x
        channels = widths[0]
        for i, (name, count, width) in enumerate(zip(self.stages, layers, widths, strict=True)):
            blocks = [block(channels, width, 1 if i == 0 else 2, **block_args)]
            channels = block.expansion * width
            blocks += [block(channels, width, 1, **block_args) for _ in range(1, count)]
            setattr(self, name, nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(channels) if preact else None  # pre-activation nets end with one more
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1)) if pool is None else nn.AvgPool2d(whole("pool", pool), stride=1)
        self.fc = nn.Linear(channels, num_classes)
        if not self.fc.weight.is_meta:  # a net on the meta device has shapes but no values
            init_weights(self, torch.Generator(self.fc.weight.device).manual_seed(seed))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of images (B, C, H, W)."""
        x = self.conv1(x)
        if self.bn1 is not None:
            x = self.relu(self.bn1(x))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for name in self.stages:
            x = getattr(self, name)(x)
        if self.bn2 is not None:
            x = self.relu(self.bn2(x))
        x = torch.flatten(self.avgpool(x), 1)  # (B, C, H, W) -> (B, C, 1, 1) -> (B, C)
        return self.fc(x)


@torch.no_grad()
def init_weights(net: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of one of the package's nets from `generator`: He initialisation for convolutions ([4]).

    With mean 0, variance v and a ReLU before each layer, a layer changes the mean square of what passes through by the
    factor fan_in * v / 2: half of the values are zero behind a ReLU. It is kept for v = 2 / fan_in, and on the way back
    for v = 2 / fan_out, as here.

    The main path is drawn first and the shortcuts after it, so that a plain net, and its residual twins with any
    shortcut, get the very same weights in the layers that they share. Linear layers keep PyTorch's default.
    """
    layers = list(net.named_modules())
    for _, module in sorted(layers, key=lambda item: "downsample" in item[0].split(".")):  # sorted() is stable
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight), nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)


def cifar_net(
    depth: int,
    residual: bool = True,
    shortcut: str = "zero_pad",
    num_classes: int = 10,
    *,
    in_channels: int = 3,
    width: int = 16,
    stem: str = "cifar",
    pool: int | None = None,
    preact: bool = False,
    batch_norm: bool = True,
) -> ResNet:
    """Return the paper's CIFAR-10 net of 6n+2 layers: n blocks each in stages of 16, 32, 64 channels ([1], 4.2).

    (B, in_channels, H, W) -> (B, num_classes); made for 32x32 pixels, any H and W of at least 1 pass.

    residual: False gives the plain twin: the same layers, parameters and (from one seed) initial weights.
    shortcut: a key of `SHORTCUTS`; the paper uses "zero_pad" (option A) here.
    width:    channels of the first stage; each further stage has twice as many. `stem` and `pool` as in `ResNet`.
    preact:   True takes `PreActBlock` instead of `BasicBlock`.
    batch_norm: False leaves it out and gives the convolutions biases instead: for experiments, the paper has it always.

    Raises `ValueError` for a depth that is not 6n+2, an unknown shortcut, no classes, or a shortcut of a plain net.
    """
    n, width = cifar_blocks_per_stage(depth), whole("width", width)
    for name, switch in (("residual", residual), ("preact", preact), ("batch_norm", batch_norm)):
        of_type(name, switch, bool)
    one_of("shortcut", shortcut, SHORTCUTS)
    if not residual and (shortcut != "zero_pad" or preact):
        raise ValueError(f"a plain net has no shortcut, but shortcut={shortcut!r} and preact={preact} were given")
    block = (PreActBlock if preact else BasicBlock) if residual else PlainBlock
    options = {"stem": stem, "pool": pool, "in_channels": in_channels, "num_classes": num_classes}
    if residual:
        options["shortcut"] = shortcut
    net = ResNet(block, [n, n, n], [width, 2 * width, 4 * width], **options)
    return net if batch_norm else remove_batch_norm(net)


def remove_batch_norm(net: nn.Module) -> nn.Module:
    """Put the identity in the place of every batch norm of `net`, and return `net`.

    Batch norm also shifts each channel, so every convolution gets a bias for it, of zeros. The weights stay.
    """
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.Conv2d) and child.bias is None:
                child.bias = nn.Parameter(torch.zeros_like(child.weight.detach()[:, 0, 0, 0]))
    return net


_IMAGENET = {  # Table 1 of [1]
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def imagenet_net(
    depth: int,
    residual: bool = True,
    shortcut: str = "projection",
    num_classes: int = 1000,
    *,
    in_channels: int = 3,
    width: int = 64,
    stem: str = "imagenet",
    pool: int | None = None,
    stride_on: str = "3x3",
) -> ResNet:
    """Return a net of the paper's Table 1: depth 18, 34, 50, 101 or 152, four stages of 64 to 512 channels.

    (B, in_channels, H, W) -> (B, num_classes); made for 224x224 pixels, or for 32x32 with stem="cifar".

    residual:  False gives the plain twin, for 18 and 34 layers as in the paper.
    width:     channels of the first stage's 3x3; each further stage has twice as many.
    stem, pool: as in `ResNet`.
    stride_on: "3x3" as torchvision (v1.5) or "1x1" as the paper; matters for bottlenecks only.

    Raises `ValueError` for another depth, an unknown option, or a plain net of bottlenecks.
    """
    one_of("depth", depth, _IMAGENET)
    one_of("shortcut", shortcut, SHORTCUTS), one_of("stride_on", stride_on, ("1x1", "3x3"))
    block, layers, width = *_IMAGENET[depth], whole("width", width)
    if not residual and (block is Bottleneck or shortcut != "projection"):
        raise ValueError(f"plain nets have 18 or 34 layers and no shortcut, not {depth} layers or {shortcut!r}")
    options = {"stem": stem, "pool": pool, "in_channels": in_channels, "num_classes": num_classes}
    if residual:
        options["shortcut"] = shortcut
    if block is Bottleneck:
        options["stride_on"] = stride_on
    widths = [width, 2 * width, 4 * width, 8 * width]
    return ResNet(block if residual else PlainBlock, layers, widths, **options)


def _named(family: Callable[..., ResNet], depth: int, residual: bool = True) -> Callable[..., ResNet]:
    """Return the function that builds one net of a family, with a name and a signature of its own."""

    def build(**options: object) -> ResNet:
        return family(depth, residual, **options)

    missing = {"depth", "residual"} if residual else {"depth", "residual", "shortcut", "preact", "stride_on"}
    parameters = inspect.signature(family).parameters.values()
    options = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters if p.name not in missing]
    build.__name__ = build.__qualname__ = f"{'resnet' if residual else 'plain'}{depth}"
    build.__signature__ = inspect.Signature(options, return_annotation="ResNet")
    build.__doc__ = f"Return a {'residual' if residual else 'plain'} net of {depth} layers, as `{family.__name__}`."
    return build


resnet20, resnet32, resnet44, resnet56, resnet110 = (_named(cifar_net, d) for d in (20, 32, 44, 56, 110))
plain20, plain32, plain44, plain56, plain110 = (_named(cifar_net, d, False) for d in (20, 32, 44, 56, 110))
resnet18, resnet34, resnet50, resnet101, resnet152 = (_named(imagenet_net, d) for d in _IMAGENET)
plain18, plain34 = (_named(imagenet_net, d, False) for d in (18, 34))


def split_name(name: str) -> tuple[str, int]:
    """Return ("resnet", 56) for "resnet56": the kind of a net, and its depth, or 0 where the name ends in no number."""
    kind = name.rstrip("0123456789")
    return kind, int(name[len(kind) :] or 0)


def get_model(name: str, **options: object) -> ResNet:
    """Return the net called `name`, such as "resnet50", "plain56" or "resnet1202", with options of its family.

    18, 34, 50, 101 and 152 layers are of the ImageNet family (`imagenet_net`), all others of 6n+2 layers of the CIFAR
    family (`cifar_net`). 50 and 152 are 6n+2 as well: for those use `cifar_net(50)`, `cifar_net(152)`.

    Raises `ValueError` for a name that is neither.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be text such as 'resnet50', but it is {shown(name)}")
    kind, depth = split_name(name)
    if kind not in ("resnet", "plain") or not depth:
        raise ValueError(f"unknown net {name!r}: names are resnet or plain with a depth, as in 'resnet50' or 'plain20'")
    family = imagenet_net if depth in _IMAGENET else cifar_net
    return family(depth, kind == "resnet", **options)


def imported(name: str) -> Callable[..., nn.Module]:
    """Return what builds a net of your own, by a name such as "my_nets:small_resnet": module, colon, callable.

    The current directory can be imported from, as by `python -m`. Raises `ValueError` if there is no such thing.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_here(module), attribute)
    except (Exception, SystemExit) as error:  # whatever a file may do
        what = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise ValueError(f"the net {name!r} cannot be imported: {what}{error}") from None
    if not callable(found):
        raise ValueError(f"the net {name!r} must be a callable that returns a net, but it is {shown(found)}")
    return found


def is_cifar_name(name: str) -> bool:
    """Return whether `get_model(name)` is of the CIFAR family, made for 32x32 pixels."""
    depth = split_name(name)[1]
    return depth > 0 and depth not in _IMAGENET
