"""The convolution explorer: a window that slides over an image, and what a stack of layers sees of it.

Source
  [1] Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

from __future__ import annotations

from html import escape

import traitlets

from ..nets.shapes import ReceptiveField, conv_output_size, pool_output_size
from ..support.table import Column, Table
from ..support.validate import one_of, whole
from .base import Explorer, Whole, checked, module

_LIMITS = {"kernel": (1, 11), "stride": (1, 8), "padding": (0, 10), "dilation": (1, 6)}  # as convolution.js has them
_DEFAULTS = {"op": "conv", "kernel": 3, "stride": 1, "padding": 0, "dilation": 1}


class ConvolutionExplorer(Explorer):
    """How a convolution's output size comes about, which pixels one output sees, and how that grows in a stack.

        ConvolutionExplorer(size=8, kernel=3, stride=2, padding=1)

    size:     of the square input in part one, 1 to 512 pixels a side.
    kernel, stride, padding, dilation: of its convolution, as `torch.nn.Conv2d` has them.
    cell:     the output that is looked at, [row, column] from 0; moved inside if the output is smaller.
    image:    of part two, 1 to 512 pixels a side.
    layers:   its stack of 1 to 12, from the image on: dicts with some of "op" ("conv" or "pool"), "kernel" (3),
              "stride" (1), "padding" (0) and "dilation" (1); a pooling has no dilation.

    Raises `traitlets.TraitError` for a wrong value. A kernel that does not fit the input is no wrong value: the
    explorer shows PyTorch's error.
    """

    _esm = module("convolution")
    _explorer = traitlets.Unicode("convolution").tag(sync=True)
    size = Whole(8, 1, 512).tag(sync=True)
    kernel = Whole(3, *_LIMITS["kernel"]).tag(sync=True)
    stride = Whole(1, *_LIMITS["stride"]).tag(sync=True)
    padding = Whole(1, *_LIMITS["padding"]).tag(sync=True)
    dilation = Whole(1, *_LIMITS["dilation"]).tag(sync=True)
    cell = traitlets.List(traitlets.Int(min=0), [2, 3], minlen=2, maxlen=2).tag(sync=True)
    image = Whole(16, 1, 512).tag(sync=True)
    layers = traitlets.List(traitlets.Dict(), [_DEFAULTS | {"padding": 1}] * 3, minlen=1, maxlen=12).tag(sync=True)

    @traitlets.validate("layers")
    def _complete(self, proposal: dict) -> list[dict[str, object]]:
        return [_complete_layer(f"layers[{i}]", layer) for i, layer in enumerate(proposal["value"])]

    def static_html(self) -> str:
        """Return the formula with its numbers, and a table of the stack: size and receptive field after each layer."""
        window = {name: getattr(self, name) for name in _LIMITS}
        columns = [Column("layer", "layer"), Column("op", "kind"), *(Column(name, name, True) for name in _LIMITS)]
        columns += [Column("size", "size", True), Column("field", "receptive field", True, "–")]
        caption = f"A stack of layers on an image of {self.image} × {self.image} pixels"
        stack = Table(caption, columns, self._stack_rows(), results=True)
        return f"<p>Convolution: {escape(_in_words(self.size, window))}</p>{stack.to_html()}"

    def _stack_rows(self) -> list[dict[str, object]]:
        """Return a row for each layer, up to the first that does not fit."""
        size, field, rows = self.image, ReceptiveField(), []
        for i, layer in enumerate(self.layers, 1):
            window = {name: layer[name] for name in _LIMITS}
            rows.append({"layer": str(i), **layer})
            try:
                size = (conv_output_size if layer["op"] == "conv" else pool_output_size)(size, **window)
            except ValueError as error:
                rows[-1]["size"] = f"error: {error}"
                break
            field = field.after(**window)
            rows[-1] |= {"size": size, "field": field.size}
        return rows


def _complete_layer(name: str, layer: dict[str, object]) -> dict[str, object]:
    """Return the layer with all five entries."""
    for key in layer:
        checked(one_of, f"key of {name}", key, _DEFAULTS)
    full = _DEFAULTS | layer
    checked(one_of, f"{name}['op']", full["op"], ("conv", "pool"))
    limits = _LIMITS | ({"dilation": (1, 1)} if full["op"] == "pool" else {})
    for key, (least, most) in limits.items():
        checked(whole, f"{name}['{key}']", full[key], least, most)
    return full


def _in_words(size: int, window: dict[str, int]) -> str:
    """Return the formula of the output size with its numbers, or what is wrong."""
    try:
        output = conv_output_size(size, **window)
    except ValueError as error:
        return str(error)
    reach = window["dilation"] * (window["kernel"] - 1) + 1
    return f"⌊({size} + 2·{window['padding']} − {reach}) / {window['stride']}⌋ + 1 = {output}"
