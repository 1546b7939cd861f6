"""The loss around a trained net: along one or two random directions, in a scale that nets can be compared in.

Weights before a batch norm can be made longer without any effect, and a step of a given length then matters less. So
each filter's direction gets the length of that filter ([1]).

Source
  [1] Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, sections 3 and 4: filter normalisation;
      biases and the parameters of batch norm are left where they are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..support.system import make_bar
from ..support.validate import real, whole
from .records import LandscapeRecord, finite
from .subject import Subject, loss_and_error

Direction = dict[str, Tensor]


def loss_landscape(
    subject: Subject,
    *,
    plane: bool = False,
    points: int | None = None,
    reach: float = 1.0,
    part: str = "train",
    images: int | None = 512,
    progress: bool = False,
) -> LandscapeRecord:
    """Return loss and error along one random direction, or on the plane of two, from -reach to +reach, in eval mode.

    points: along a direction, an odd number so that the net itself is one of them; None for 41, or 15 of a plane. Each
            costs one pass over the images.
    reach:  at 1, each filter has moved by its own length.
    images: of `part` ("train" or "test"), drawn by the subject's seed, which also draws the directions; None for all.

    Raises `ValueError` for a number out of range.
    """
    points = (15 if plane else 41) if points is None else whole("points", points, 3)
    if points % 2 == 0:
        raise ValueError(f"`points` must be odd, so that the net itself is one of them, but it is {points}")
    reach, half = real("reach", reach, above=0), points // 2
    x = [reach * i / half for i in range(-half, half + 1)]
    y = x if plane else [0.0]
    start = time.perf_counter()
    with subject.examined() as net:
        batches = subject.batches(part, images)
        generator = subject.generator()
        directions = [filter_direction(net, generator) for _ in range(2 if plane else 1)]
        centre = {name: p.detach().clone() for name, p in net.named_parameters()}
        loss, error = [], []
        with make_bar(len(x) * len(y), f"loss around {subject.name}", show=progress) as bar:
            for b in y:
                row = []
                for a in x:
                    _move(net, centre, directions, (a, b))
                    row.append(loss_and_error(net, batches))
                    bar.update()
                loss.append([finite(value) for value, _ in row])
                error.append([value for _, value in row])
    return LandscapeRecord(x=x, y=y, loss=loss, error=error, **subject.header(part, batches, start))


@torch.no_grad()
def _move(
    net: nn.Module, centre: Mapping[str, Tensor], directions: Sequence[Direction], steps: tuple[float, float]
) -> None:
    """Move the net's parameters to centre + steps[0] * first direction + steps[1] * second one, if there is one."""
    for name, parameter in net.named_parameters():
        value = centre[name].clone()
        for step, direction in zip(steps, directions, strict=False):
            value.add_(direction[name], alpha=step)
        parameter.copy_(value)


@torch.no_grad()
def filter_direction(net: nn.Module, generator: torch.Generator) -> Direction:
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
