"""What a trace is made of: one `Row` for each operation that the author of a model wrote."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..support.table import plain

if TYPE_CHECKING:
    from .run import Trace

Shape = tuple[int, ...]
NOT_COUNTED = "its multiply-adds are not counted"


def shape_text(shape: Shape, sign: str = "x") -> str:
    """Return a shape as text, for tables and messages: (1, 3, 224, 224) -> "1x3x224x224"; () -> "scalar"."""
    return sign.join(map(str, shape)) or "scalar"


@dataclass(frozen=True)
class Row:
    """One operation of a traced model, in the order of execution.

    index:    position in `Trace.rows`, from 0.
    path:     where the author wrote it: "layer1.0.conv1" for a module, "layer1.0.add()" for a function or operator
              called in the `forward` of `layer1.0`, "class_token" for a parameter that is no layer's.
    call:     how often this path had been reached before: 0 the first time.
    kind:     the class of a module ("Conv2d"), the name of a function ("relu", "flatten", "cat"), or one of
              "add"            a residual addition: two tensors of one shape that both come from the input,
              "add_constant"   a sum with a number, a parameter or another tensor that does not depend on the input,
              "add_broadcast"  a sum of two tensors of different shapes that both come from the input,
              "zero_pad"       `blocks.ZeroPadShortcut`, option A,
              "parameter"      a parameter that `forward` uses directly, shown where it is first used,
              "other thread"   a layer that ran in another thread, where nothing is recorded,
              "not called"     parameters of a layer that `forward` did not reach; these two end the table.
    inputs:   shapes of the tensors that went in, batch included, taken before the call.
    outputs:  shapes of the tensors that came out, nested ones in order.
    sources:  for each input the index of the row that made it, "input" for the model's own input, or None for a
              tensor that no row made (a constant).
    kernel, stride, padding, dilation: of convolutions and poolings, one number for each dimension; `padding` may be a
              word, "same" or "valid". None elsewhere, as are the next two.
    groups:   of convolutions.
    bias:     whether a convolution or linear layer has one.
    params:   learnable values that this row is the first to use: a layer that is called again has 0 here, so that
              the column adds up to `Trace.total_params`.
    macs:     multiply-adds of convolutions, linear layers, matrix products, attention and recurrent layers, for the
              whole batch, without biases. Everything else counts 0; see `is_counted`.
    activation_bytes: memory of the outputs; 0 for a view of the input (flatten) or work in place.
    receptive_field: how many input pixels across can change one output pixel, ignoring the image's border; one
              number, or one for each dimension where they differ. None where an output depends on all pixels
              (global pooling, flatten, linear) or where it is not defined, as for a sum of branches whose strides
              differ; None stays None downstream.
    cumulative_params, cumulative_macs: running totals, this row included.
    reused:   True if the layer has parameters and an earlier row counted them.
    main, shortcut: of an addition: the rows that made the two operands (index or "input").
    shortcut_kind: of an addition: "identity", "zero_pad", "projection", or "other" for a shortcut that works
              without parameters and without padding, such as a pooling. None elsewhere, as are the two before.
    on_shortcut: True if the row is part of a shortcut, such as the 1x1 convolution of a projection.
    note:     a short remark for the reader, or "".
    """

    index: int
    path: str
    call: int
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    sources: tuple[int | str | None, ...] = ()
    kernel: Shape | None = None
    stride: Shape | None = None
    padding: Shape | str | None = None
    dilation: Shape | None = None
    groups: int | None = None
    bias: bool | None = None
    params: int = 0
    macs: int = 0
    activation_bytes: int = 0
    receptive_field: int | Shape | None = None
    cumulative_params: int = 0
    cumulative_macs: int = 0
    reused: bool = False
    main: int | str | None = None
    shortcut: int | str | None = None
    shortcut_kind: str | None = None
    on_shortcut: bool = False
    note: str = ""

    @property
    def input_shape(self) -> Shape | None:
        """Shape of the first tensor that went in, or None."""
        return self.inputs[0] if self.inputs else None

    @property
    def output_shape(self) -> Shape | None:
        """Shape of the first tensor that came out, or None."""
        return self.outputs[0] if self.outputs else None

    @property
    def is_counted(self) -> bool:
        """Whether `macs` is known; if not, as for `nn.Bilinear`, it is 0 or too low, and the note says so."""
        return NOT_COUNTED not in self.note

    @property
    def is_add(self) -> bool:
        """Whether the row is a residual addition."""
        return self.kind == "add"

    def to_dict(self) -> dict[str, object]:
        """Return the fields as a dictionary that `json` can write: shapes become lists."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}


def rows_by_size(trace: Trace) -> dict[str, list[Row]]:
    """Return map size -> rows with an output of that size, the largest first; every row is in one of them.

    A size is written "56×56". A vector, (B, features), counts as "1×1", as in Table 1 of He et al., 2016. A stage of
    the paper is a run of blocks on one size; nets without blocks, such as VGG, can be compared with it by size.

    Raises `ValueError` for a row whose output is neither a map, (B, C, H, W), nor a vector.
    """
    found: dict[Shape, list[Row]] = {}
    for row in trace.rows:
        shape = row.output_shape
        if shape is None or len(shape) not in (2, 4):
            raise ValueError(
                f"every row must put out (B, C, H, W) or (B, features), but {row.path!r} ({row.kind}) puts out {shape}"
            )
        found.setdefault(shape[2:] or (1, 1), []).append(row)
    return {"×".join(map(str, size)): found[size] for size in sorted(found, key=math.prod, reverse=True)}
