"""The block explorer: one residual block with each of the shortcuts, and what breaks without one.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5, sections 3.3 and 4.1.
"""

from __future__ import annotations

from html import escape
from typing import Any

import torch
import traitlets
from torch import nn

from ..nets.blocks import SHORTCUTS, BasicBlock, Bottleneck, PlainBlock
from ..probes.records import BRANCHES, load_branches
from ..tracing.run import TraceError, trace
from .base import Explorer, Whole, module

_WRAPS = 'style="white-space:normal;text-align:left"'  # the book's tables of results do not
_IN_A_ROW = ("conv1", "bn1", "relu", "conv2", "bn2", "relu", "conv3", "bn3", "relu")


class BlockExplorer(Explorer):
    """One residual block: shapes on branch and shortcut, parameters and multiply-adds with each shortcut, side by side.

        BlockExplorer(in_channels=64, out_channels=128, size=56, stride=2)

    block:        "basic" (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1).
    in_channels, out_channels: 1 to 2048; a bottleneck needs `out_channels` that 4 divides.
    size:         of the square input, 1 to 512 pixels a side.
    stride:       1 to 8; in a bottleneck of the 3x3 convolution, as in torchvision.
    shortcut:     "none" or a key of `nets.blocks.SHORTCUTS`.
    activations:  measured values of the branch, as `tools/explorer_records.py` measures them; the record of the
                  package if nothing is given, {} for none.

    Raises `traitlets.TraitError` for a wrong value. Shapes that cannot be added are no wrong value: the explorer shows
    PyTorch's error.
    """

    _esm = module("block")
    _explorer = traitlets.Unicode("block").tag(sync=True)
    block = traitlets.Enum(("basic", "bottleneck"), "basic").tag(sync=True)
    in_channels = Whole(64, 1, 2048).tag(sync=True)
    out_channels = Whole(128, 1, 2048).tag(sync=True)
    size = Whole(56, 1, 512).tag(sync=True)
    stride = Whole(2, 1, 8).tag(sync=True)
    shortcut = traitlets.Enum(("none", *SHORTCUTS), "projection").tag(sync=True)
    activations = traitlets.Dict().tag(sync=True)

    @traitlets.default("activations")
    def _shipped_activations(self) -> dict[str, Any]:
        return load_branches()

    @traitlets.validate("block", "out_channels")
    def _four_divides(self, proposal: dict[str, Any]) -> object:
        now = {"block": self.block, "out_channels": self.out_channels, proposal["trait"].name: proposal["value"]}
        if now["block"] == "bottleneck" and now["out_channels"] % 4:
            rule = "`out_channels` of a bottleneck must be 4 times the width of its 3x3"
            raise traitlets.TraitError(f"{rule}, but it is {now['out_channels']}")
        return proposal["value"]

    def static_html(self) -> str:
        """Return a table of all shortcuts of this block, and the measured shares below 0."""
        rows = "".join(
            f"<tr><td {_WRAPS}>{name.replace('_', '_<wbr>')}</td>{self._cells(name)}</tr>"
            for name in ("none", *SHORTCUTS)
        )
        return (
            f'<table class="resnet-table"><caption>A {self.block} block from {self.in_channels} to {self.out_channels} '
            f"channels, {self.size} × {self.size} pixels, stride {self.stride}</caption><thead><tr><th>shortcut</th>"
            f"<th>output</th><th>param&shy;eters</th><th>MACs</th></tr></thead><tbody>{rows}</tbody></table>"
            + _measured_html(self.activations)
        )

    def _cells(self, shortcut: str) -> str:
        """Return the table's cells for one shortcut, from the trace of the real block; an error takes all of them."""
        try:
            traced = trace(self._make(shortcut), (1, self.in_channels, self.size, self.size))
        except (TraceError, ValueError) as error:
            return f'<td colspan="3" {_WRAPS}>{escape(f"error: {error.__cause__ or error}")}</td>'
        output = "×".join(map(str, traced.rows[-1].output_shape[1:]))
        return f"<td>{output}</td><td>{traced.total_params:,}</td><td>{traced.total_macs:,}</td>"

    def _make(self, shortcut: str) -> nn.Module:
        sizes = self.in_channels, self.out_channels, self.stride
        with torch.device("meta"):
            if self.block == "basic":
                return PlainBlock(*sizes) if shortcut == "none" else BasicBlock(*sizes, shortcut)
            kind = "projection" if shortcut == "none" else shortcut
            block = Bottleneck(self.in_channels, self.out_channels // 4, self.stride, kind)
        if shortcut == "none":  # the package has no plain one: the layers of a residual one in a row
            return nn.Sequential(*(block.get_submodule(name) for name in _IN_A_ROW))
        return block


def _measured_html(record: dict[str, Any]) -> str:
    """Return a table of the measured branches, or nothing without a record."""
    if not record:
        return ""
    rows = "".join(
        f"<tr><td {_WRAPS}>{escape(BRANCHES[m['variant']])}</td><td>{m['negative']:.1%}</td>"
        f"<td>{m['correlation']:.2f}</td><td>{m['test_error']:.1f}%</td></tr>"
        for m in record["measured"]
    )
    return (  # folded away, as in the explorer: it answers a question that comes later
        "<details><summary>What the branch hands to the addition, measured</summary>"
        f'<table class="resnet-table"><caption>The branch of {escape(record["block"])} in three nets of '
        f"{record['depth']} layers after {record['steps']} steps on the {escape(record['dataset'])}</caption><thead>"
        "<tr><th>block</th><th>branch below 0</th><th>correlation with the input</th><th>test error</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )
