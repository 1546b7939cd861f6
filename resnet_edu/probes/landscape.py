"""The loss around a trained net: along a random direction, in a scale that nets can be compared in.

Weights before a batch norm can be made longer without any effect, and a step of a given length then matters less. So
each filter's direction gets the length of that filter ([1]).

Source
  [1] Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, sections 3 and 4: filter normalisation;
      biases and the parameters of batch norm are left where they are.
"""

import time

import torch
from torch import Tensor, nn

from ..support.validate import real, whole
from .records import LandscapeRecord, finite
from .subject import Subject, loss_and_error


def loss_landscape(
    subject: Subject, *, points: int = 41, reach: float = 1.0, images: int | None = 512
) -> LandscapeRecord:
    """Return loss and error along a random direction, from -reach to +reach, in eval mode.

    points: an odd number so that the net itself is one of them. Each costs one pass over the images.
    reach:  at 1, each filter has moved by its own length.
    images: of the training set, drawn by the subject's seed, which also draws the direction; None for all.

    Raises `ValueError` for a number out of range.
    """
    if whole("points", points, 3) % 2 == 0:
        raise ValueError(f"`points` must be odd, so that the net itself is one of them, but it is {points}")
    reach, half = real("reach", reach, above=0), points // 2
    x = [reach * i / half for i in range(-half, half + 1)]
    start = time.perf_counter()
    with subject.examined() as net:
        batches = subject.batches("train", images)
        direction = filter_direction(net, subject.generator())
        centre = {name: p.detach().clone() for name, p in net.named_parameters()}
        found = []
        for step in x:
            with torch.no_grad():
                for name, parameter in net.named_parameters():
                    parameter.copy_(centre[name].add(direction[name], alpha=step))
            found.append(loss_and_error(net, batches))
    loss, error = [finite(value) for value, _ in found], [value for _, value in found]
    return LandscapeRecord(x=x, loss=loss, error=error, **subject.header("train", batches, start))


@torch.no_grad()
def filter_direction(net: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Return a random direction, parameter name -> tensor of its shape, each filter as long as the net's own ([1]).

    A filter is one output channel's kernel, or one row of a linear layer: what one index of the first dimension holds,
    which in a transposed convolution is one input channel's kernel. Biases and the scales and shifts of batch norm get
    zeros.
    """
    direction = {}
    for name, parameter in net.named_parameters():
        if parameter.dim() < 2:
            direction[name] = torch.zeros_like(parameter)
            continue
        drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
        others = tuple(range(1, parameter.dim()))
        scale = parameter.pow(2).sum(others, keepdim=True).sqrt() / drawn.pow(2).sum(others, keepdim=True).sqrt()
        direction[name] = drawn * scale
    return direction
