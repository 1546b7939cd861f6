"""The convolution explorer: a window that slides over an image, and what a stack of layers sees of it.

Source
  [1] Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

from __future__ import annotations

from html import escape

import traitlets

from ..nets.shapes import ReceptiveField, conv_output_size, pool_output_size
from .base import Explorer, Whole, module

_LIMITS = {"kernel": (1, 11), "stride": (1, 8), "padding": (0, 10), "dilation": (1, 6)}  # as convolution.js has them
_DEFAULTS = {"op": "conv", "kernel": 3, "stride": 1, "padding": 0, "dilation": 1}
_MOST_LAYERS = 12


class Layers(traitlets.TraitType):
    """A trait that is a list of 1 to 12 layers: dicts with some of "op", "kernel", "stride", "padding", "dilation".

    What is left out is as in `Conv2d(..., kernel_size=3)`; "op" is "conv" or "pool", and a pooling has no dilation.
    """

    def validate(self, obj: object, value: object) -> list[dict[str, object]]:
        """Return the layers with all five entries. Raises `TraitError` that names layer, value and rule."""
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= _MOST_LAYERS:
            raise traitlets.TraitError(
                f"`{self.name}` must be a list of 1 to {_MOST_LAYERS} layers, but it is {value!r}"
            )
        return [self._layer(i, layer) for i, layer in enumerate(value)]

    def _layer(self, i: int, layer: object) -> dict[str, object]:
        if not isinstance(layer, dict) or not set(layer) <= set(_DEFAULTS):
            known = ", ".join(map(repr, _DEFAULTS))
            raise traitlets.TraitError(f"`{self.name}[{i}]` must be a dict with some of {known}, but it is {layer!r}")
        whole = _DEFAULTS | layer
        if whole["op"] not in ("conv", "pool"):
            raise traitlets.TraitError(f"`{self.name}[{i}]['op']` must be 'conv' or 'pool', but it is {whole['op']!r}")
        for name, (least, most) in _LIMITS.items():
            most = 1 if (name, whole["op"]) == ("dilation", "pool") else most
            number = whole[name]
            if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
                raise traitlets.TraitError(
                    f"`{self.name}[{i}]['{name}']` must be a whole number from {least} to {most}, but it is {number!r}"
                )
        return whole


class Cell(traitlets.TraitType):
    """A trait that is a pair [row, column] of whole numbers, counted from 0."""

    def validate(self, obj: object, value: object) -> list[int]:
        """Return the pair as a list. Raises `TraitError` that names the value and the rule."""
        if (
            not isinstance(value, (list, tuple))
            or len(value) != 2
            or any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in value)
        ):
            raise traitlets.TraitError(
                f"`{self.name}` must be [row, column], two whole numbers from 0 on, but it is {value!r}"
            )
        return list(value)


class ConvolutionExplorer(Explorer):
    """How a convolution's output size comes about, which pixels one output sees, and how that grows in a stack.

        ConvolutionExplorer(size=8, kernel=3, stride=2, padding=1)

    size:     of the square input in part one, 1 to 512 pixels a side.
    kernel, stride, padding, dilation: of its convolution, as `torch.nn.Conv2d` has them.
    cell:     the output that is looked at, [row, column] from 0; moved inside if the output is smaller.
    image:    of part two, 1 to 512 pixels a side.
    layers:   its stack, from the image on: dicts with some of "op" ("conv" or "pool"), "kernel" (3), "stride" (1),
              "padding" (0) and "dilation" (1).

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
    cell = Cell([2, 3]).tag(sync=True)
    image = Whole(16, 1, 512).tag(sync=True)
    layers = Layers([_DEFAULTS | {"padding": 1}] * 3).tag(sync=True)

    def static_html(self) -> str:
        """Return the formula with its numbers, and a table of the stack: size and receptive field after each layer."""
        one = {name: getattr(self, name) for name in _LIMITS}
        head = "<tr><th>layer</th><th>kind</th><th>kernel</th><th>stride</th><th>padding</th><th>dilation</th>"
        head += "<th>size</th><th>receptive field</th></tr>"
        return (
            f"<p>Convolution: {escape(_in_words(self.size, one))}</p>"
            f'<table class="resnet-table"><caption>A stack of layers on an image of {self.image} × {self.image} pixels'
            f"</caption><thead>{head}</thead><tbody>{''.join(self._stack_rows())}</tbody></table>"
        )

    def _stack_rows(self) -> list[str]:
        """Return a table row for each layer, up to the first that does not fit."""
        size, field, rows = self.image, ReceptiveField(), []
        for i, layer in enumerate(self.layers, 1):
            numbers = {name: layer[name] for name in _LIMITS}
            cells = [i, layer["op"], *numbers.values()]
            try:
                size = (conv_output_size if layer["op"] == "conv" else pool_output_size)(size, **numbers)
                field = field.after(**numbers)
                cells += [size, field.size]
            except ValueError as error:
                cells += [f"error: {error}", "–"]
            rows.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
            if cells[-1] == "–":
                break
        return rows


def _in_words(size: int, one: dict[str, int]) -> str:
    """Return the formula of the output size with its numbers, or what is wrong."""
    try:
        output = conv_output_size(size, **one)
    except ValueError as error:
        return str(error)
    reach = one["dilation"] * (one["kernel"] - 1) + 1
    return f"⌊({size} + 2·{one['padding']} − {reach}) / {one['stride']}⌋ + 1 = {output}"
