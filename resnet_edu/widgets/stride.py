"""The stride explorer: which pixels of its input a bottleneck that halves the map reads, and which it never does.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: version 1, the stride on the first 1x1.
  [2] torchvision `models/resnet.py`: version 1.5, the stride on the 3x3.
  [3] He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", CVPR 2019, section 4: D.
"""

from __future__ import annotations

import torch
import traitlets
from torch import Tensor, nn

from ..nets.blocks import Bottleneck
from .base import Explorer, Whole, module

VERSIONS = ("1", "1.5", "D")
PARTS = {"block": "whole block", "main": "main path", "shortcut": "shortcut"}
SIZE = 8  # of the input, height and width; the output has half of it


class StrideExplorer(Explorer):
    """A bottleneck with stride 2: the pixels of an 8 x 8 input that it reads, and those for one pixel of its output.

    version: where the stride is: "1", "1.5", or "D", which is 1.5 with a mean of 2 x 2 on the shortcut.
    part:    "block", or one of its branches: "main" or "shortcut".
    row, column: of the output's pixel, 1 to 4.

    Raises `traitlets.TraitError` for a wrong value.
    """

    _esm = module("stride")
    _explorer = traitlets.Unicode("stride").tag(sync=True)
    version = traitlets.Enum(VERSIONS, "1").tag(sync=True)
    part = traitlets.Enum(tuple(PARTS), "block").tag(sync=True)
    row = Whole(2, 1, SIZE // 2).tag(sync=True)
    column = Whole(2, 1, SIZE // 2).tag(sync=True)

    def static_html(self) -> str:
        """Return a table of the share of pixels that each version reads, on each branch."""
        rows = "".join(
            f"<tr><td>{version}</td>"
            + "".join(f"<td>{pixels_read(version, part).float().mean():.0%}</td>" for part in PARTS)
            + "</tr>"
            for version in VERSIONS
        )
        heads = "".join(f"<th>{name}</th>" for name in ("version", *PARTS.values()))
        return (
            '<table class="resnet-table"><caption>Share of the pixels of its input that a bottleneck with stride 2 '
            f"reads</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )


def pixels_read(version: str, part: str, row: int | None = None, column: int | None = None) -> Tensor:
    """Return which pixels of the input can change the output, or one pixel of it: (8, 8) of bool, from the gradient.

    version, part: as of `StrideExplorer`. row, column: of the output, from 0; None for all of it.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        block = Bottleneck(16, 8, stride=2, stride_on="1x1" if version == "1" else "3x3").eval()
        if version == "D":
            conv, norm = block.downsample
            conv.stride = (1, 1)
            block.downsample = nn.Sequential(nn.AvgPool2d(2), conv, norm)
        x = torch.randn(8, 16, SIZE, SIZE, requires_grad=True)
        main = [block.conv1, block.bn1, block.relu, block.conv2, block.bn2, block.relu, block.conv3, block.bn3]
        y = {"block": block, "main": nn.Sequential(*main), "shortcut": block.downsample}[part](x)
        chosen = y[:, :, slice(None) if row is None else row, slice(None) if column is None else column]
        (chosen * torch.randn_like(chosen)).sum().backward()
        return (x.grad != 0).any(dim=0).any(dim=0)
