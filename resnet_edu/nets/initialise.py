"""Where training begins: laws that a net's first weights are drawn from, and how a signal passes through them.

With weights of mean 0 and variance v, and ReLU before each layer, a layer of fan_in inputs changes the mean square of
what passes through by the factor fan_in * v / 2: half of the values are zero behind a ReLU ([1], section 2.2). It is
kept for v = 2 / fan_in, and on the way back for v = 2 / fan_out.

Sources
  [1] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2.
  [2] Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
  [3] Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", NIPS 2012, section 5.
  [4] PyTorch's documentation of `torch.nn.init`, and `nn.Conv2d.reset_parameters`.
  [5] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.4.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..support.validate import one_of

LAWS = {
    "he": "normal, variance 2 / fan_out: keeps the way back behind ReLU",  # [1]; the paper's, and the package's
    "xavier": "normal, variance 2 / (fan_in + fan_out): as if without ReLU",  # [2]
    "pytorch": "uniform, variance 1 / (3 fan_in): of nn.Conv2d by itself",  # [4]
    "gaussian": "normal, standard deviation 0.01 for layers of any size",  # [3]
}


@torch.no_grad()
def init_weights(net: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of one of the package's nets from `generator`: He initialisation for convolutions ([5]).

    The main path is drawn first and the shortcuts after it, so that a plain net, and its residual twins with any
    shortcut, get the very same weights in the layers that they share. Linear layers keep PyTorch's default law.
    """
    layers = list(net.named_modules())
    for _, module in sorted(layers, key=lambda item: "downsample" in item[0].split(".")):  # sorted() is stable
        if isinstance(module, nn.Conv2d):
            _draw(module.weight, "he", generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight), nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)


def draw_kernels(net: nn.Module, law: str, seed: int = 0) -> nn.Module:
    """Draw the kernels of all convolutions of `net` from one of `LAWS`, in place, and return `net`.

    Biases, linear layers and batch norms stay as they are, and so does the global random state.

    Raises `ValueError` for an unknown law.
    """
    one_of("law", law, LAWS)
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            _draw(module.weight, law, generator)
    return net


def _draw(kernel: nn.Parameter, law: str, generator: torch.Generator) -> None:
    if law == "he":
        nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu", generator=generator)
    elif law == "xavier":
        nn.init.xavier_normal_(kernel, generator=generator)
    elif law == "pytorch":
        nn.init.kaiming_uniform_(kernel, a=5**0.5, generator=generator)
    else:
        nn.init.normal_(kernel, 0, 0.01, generator=generator)


@torch.no_grad()
def signal_sizes(net: nn.Module, images: Tensor) -> list[float]:
    """Return the root mean square of what each convolution puts out for `images` (B, C, H, W), in their order.

    Measured on a copy in training mode, where batch norm takes the statistics of these images. Summed up in double
    precision: the squares of a signal of 1e-30 are too small for float32.
    """
    net = copy.deepcopy(net).train()
    sizes: list[float] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, out: sizes.append(out.double().square().mean().sqrt().item()))
    with torch.random.fork_rng(devices=[]):
        net(images)
    return sizes
