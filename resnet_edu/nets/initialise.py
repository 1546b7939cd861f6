"""Where training begins: the first weights of a net.

With weights of mean 0 and variance v, and ReLU before each layer, a layer of fan_in inputs changes the mean square of
what passes through by the factor fan_in * v / 2: half of the values are zero behind a ReLU ([1], section 2.2). It is
kept for v = 2 / fan_in, and on the way back for v = 2 / fan_out.

Sources
  [1] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2.
  [2] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.4.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def init_weights(net: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of one of the package's nets from `generator`: He initialisation for convolutions ([2]).

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
