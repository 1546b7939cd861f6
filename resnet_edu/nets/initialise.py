"""Where training begins: laws that a net's first weights are drawn from, and how a signal passes through them.

Scope: convolutions, which is where the laws differ; the package's own nets are initialised by `blocks.init_weights`.

With weights of mean 0 and variance v, and ReLU before each layer, a layer of fan_in inputs changes the mean square of
what passes through by the factor fan_in * v / 2: half of the values are zero behind a ReLU ([1], section 2.2). It is
kept for v = 2 / fan_in, and on the way back for v = 2 / fan_out.

Sources
  [1] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2.
  [2] Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
  [3] Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", NIPS 2012, section 5.
  [4] PyTorch's documentation of `torch.nn.init`, and `nn.Conv2d.reset_parameters`.
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
def draw_kernels(net: nn.Module, law: str, seed: int = 0) -> nn.Module:
    """Draw the kernels of all convolutions of `net` from one of `LAWS`, in place, and return `net`.

    Biases, linear layers and batch norms stay as they are, and so does the global random state.

    Raises `ValueError` for an unknown law.
    """
    one_of("law", law, LAWS)
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if law == "he":
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif law == "xavier":
            nn.init.xavier_normal_(module.weight, generator=generator)
        elif law == "pytorch":
            nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
        else:
            nn.init.normal_(module.weight, 0, 0.01, generator=generator)
    return net


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
