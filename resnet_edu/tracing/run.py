"""Run a model once and tell what happened: a table of every operation, with shapes and costs.

    >>> from resnet_edu.models import resnet18
    >>> from resnet_edu.trace import trace
    >>> t = trace(resnet18(), (1, 3, 224, 224))
    >>> t.total_params, t.total_macs, len(t.additions)
    (11689512, 1814073344, 8)

Scope: `trace` and the `Trace` that it returns. It prints nothing and leaves nothing behind. Recording is in
`trace_record.py`, rows are described in `trace_rows.py`, tables in `table_views.py`.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: Table 1 is the "stages" view.
  [2] torch.utils.flop_counter, which counts two operations where `macs` counts one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..support.table import Table
from .errors import TraceError, explain
from .graph import finish
from .meta import map_tensors
from .record import Recorder
from .rows import Row, Shape
from .views import make_view

if TYPE_CHECKING:
    import pandas

__all__ = ["Row", "Trace", "TraceError", "trace"]

MODES = {"eval": False, "train": True, "keep": None}


@dataclass(frozen=True, repr=False)
class Trace:
    """What one forward pass of a model did; shows itself as a table in a notebook and in print.

    model:  name of the model's class.
    inputs: shapes of the tensors that the model got, batch included.
    device: where it ran, "meta" or a real device.
    rows:   one `Row` for each operation, in the order of execution.

    Each `view` below is "layers" (every row), "convs" (the convolutions of each kind of block) or "stages" (the
    paper's Table 1); see `table_views.py`.
    """

    model: str
    inputs: tuple[Shape, ...]
    device: str
    rows: list[Row]

    @cached_property
    def total_params(self) -> int:
        """Learnable values of the model, each counted once: `sum(p.numel() for p in model.parameters())`."""
        return sum(row.params for row in self.rows)

    @cached_property
    def total_macs(self) -> int:
        """Multiply-adds of the whole batch: convolutions, linear layers, matrix products, attention, recurrence."""
        return sum(row.macs for row in self.rows)

    @cached_property
    def total_activation_bytes(self) -> int:
        """Memory of all outputs together, as if none were freed (training keeps about that much)."""
        return sum(row.activation_bytes for row in self.rows)

    @property
    def additions(self) -> list[Row]:
        """The residual additions, in order."""
        return [row for row in self.rows if row.is_add]

    def __len__(self) -> int:
        return len(self.rows)

    def view(self, name: str = "layers") -> Table:
        """Return a table that shows itself: "layers", "convs" or "stages".

        Raises `ValueError` for another name, and for "stages" if the model has no stages of blocks.
        """
        return make_view(self, name)

    def to_text(self, view: str = "layers") -> str:
        """Return a view as plain text in columns."""
        return self.view(view).to_text()

    def to_markdown(self, view: str = "layers") -> str:
        """Return a view as a Markdown table."""
        return self.view(view).to_markdown()

    def to_csv(self, view: str = "layers") -> str:
        """Return a view as comma-separated values with a header line; numbers without separators."""
        return self.view(view).to_csv()

    def to_html(self, view: str = "layers") -> str:
        """Return a view as an HTML table in a scroll container; it takes its colours from the page."""
        return self.view(view).to_html()

    def to_dicts(self, view: str = "layers") -> list[dict[str, object]]:
        """Return a view as one dictionary a row; for "layers" these are all fields of `Row`."""
        return self.view(view).to_dicts()

    def to_pandas(self, view: str = "layers") -> pandas.DataFrame:
        """Return a view as a pandas DataFrame. Raises `ImportError` if pandas is not installed."""
        return self.view(view).to_pandas()

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__  # the prompt of Python shows the table, as a notebook does

    def _repr_html_(self) -> str:
        return self.to_html()


def trace(
    model: nn.Module,
    *inputs: object,
    kwargs: Mapping[str, object] | None = None,
    device: str | torch.device | None = None,
    mode: str = "eval",
) -> Trace:
    """Run `model` once and return a row for every operation that its author wrote.

    inputs: what `forward` gets, one after the other. A tuple of whole numbers such as `(1, 3, 224, 224)` is the shape
            of a tensor, batch included, with the dtype of the model's parameters; tensors are taken as they are (for
            embeddings: `torch.zeros(1, 12, dtype=torch.long)`); anything else is passed on. A single list stands for
            several inputs: `trace(model, [(1, 3, 8, 8), (1, 10)])`.
    kwargs: keyword inputs, passed on as they are (a tuple stays a tuple there).
    device: "meta" works out shapes only: no memory, no arithmetic, at any batch size, and the model stays where it
            is. A real device such as "cpu" runs for real; the model must be there. By default "meta" for shapes, and
            for tensors the device that they are on.
    mode:   "eval" (dropout off, running statistics in batch norm), "train", or "keep" for the flags that the model
            has. All flags are put back afterwards, one by one.

    The model is left as it was: parameters, buffers, flags, hooks, attributes, and what is in attributes that are
    lists, tuples, dictionaries, sets or deques, to any depth; so are the random number generators of torch, Python and
    NumPy. Only what an object of another kind keeps for itself, such as the count of a logger, stays changed. On a real
    device this takes the memory of a second model. A model with lazy layers is copied, and the copy is traced.
    `forward` may not look at values on "meta".

    Raises `TraceError` if the model fails, with the layer and the shapes that reached it; `TypeError` or `ValueError`
    if the inputs are none, and `TypeError` for a model, or a layer in it, that is compiled by torch.jit.
    """
    if isinstance(model, type) or not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a torch.nn.Module, but it is {model!r}; a class has to be called first")
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"`mode` must be one of {', '.join(map(repr, MODES))}, but it is {mode!r}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"`kwargs` must be a dictionary, name of the input -> value, but it is {kwargs!r}")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    given, words = _inputs(inputs), dict(kwargs or {})
    if not given and not words:
        raise TypeError("give the shape of an input, batch included, for example trace(model, (1, 3, 224, 224))")
    place = _place(given, words, device)
    model = _without_lazy(model, place)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if place.type != "meta":
        _same_device(model, place)
    shapes: list[Shape] = []
    error = None
    with Recorder(model, place.type == "meta", MODES[mode]) as recorder:

        def prepare(value: object) -> Tensor:
            shapes.append(tuple(value.shape))
            return recorder.input(value)

        args = [torch.empty(v, dtype=dtype, device="meta") if _is_shape(v) else v for v in given]
        if place.type != "meta":
            args = [torch.zeros_like(a, device=place) if _is_shape(v) else a for a, v in zip(args, given, strict=True)]
        args, words = map_tensors(prepare, args), map_tensors(prepare, words)
        try:
            model(*args, **words)
        except Exception as caught:
            error = caught
    if error is not None:
        failed = explain(model, tuple(shapes), recorder, place, error)
        failed.rows = finish(recorder.nodes)
        raise failed from error
    rows = finish(recorder.nodes + recorder.uncounted())
    return Trace(type(model).__name__, tuple(shapes), str(place), rows)


def _is_shape(value: object) -> bool:
    whole = isinstance(value, (tuple, list)) and len(value) > 0
    return whole and all(isinstance(v, Integral) and not isinstance(v, bool) for v in value)


def _is_bad_shape(value: object) -> bool:
    """Return whether `value` was meant as a shape and is none: numbers of which only some are whole, or nothing."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(v, Real) for v in value):
        return False
    return value == () or (not _is_shape(value) and any(isinstance(v, Integral) for v in value))


def _inputs(inputs: tuple[object, ...]) -> list[object]:
    """Return the positional inputs; a single list stands for several, and shapes must be positive."""
    if inputs and all(isinstance(v, int) for v in inputs):
        raise TypeError(f"give the shape as one tuple, batch included: trace(model, {tuple(inputs)})")
    if len(inputs) == 1 and isinstance(inputs[0], list) and not _is_shape(inputs[0]) and not _is_bad_shape(inputs[0]):
        inputs = tuple(inputs[0])
    inputs = tuple(tuple(map(int, value)) if _is_shape(value) else value for value in inputs)
    for value in inputs:
        if _is_bad_shape(value):
            raise ValueError(
                f"a shape must be whole numbers, batch included, for example (1, 3, 224, 224), but it is {value!r}; "
                "other numbers for `forward` go into `kwargs`"
            )
        if _is_shape(value) and min(value) < 1:
            raise ValueError(f"each size of an input must be at least 1, but the shape is {value}")
        if isinstance(value, str):
            raise TypeError(f"an input must be a shape such as (1, 3, 224, 224) or a tensor, but it is {value!r}")
    return list(inputs)


def _place(given: list[object], words: dict[str, object], device: str | torch.device | None) -> torch.device:
    """Return the device to run on: the one asked for, or that of the first tensor given, or meta."""
    if device is not None:
        try:
            return torch.empty(0, device=device).device  # with the number of the device: "cuda" -> cuda:0
        except (RuntimeError, TypeError, AssertionError) as error:  # no device at all, or none of this machine
            raise ValueError(
                f"`device` must be 'meta' or a device that torch has on this machine, such as 'cpu', but it is "
                f"{device!r}: {str(error).strip().splitlines()[0]}"
            ) from error
    found: list[Tensor] = []
    map_tensors(lambda t: found.append(t) or t, [given, words])
    return found[0].device if found else torch.device("meta")


def _without_lazy(model: nn.Module, place: torch.device) -> nn.Module:
    """Return `model`, or a copy if it has lazy layers: their first run makes parameters, which would stay behind."""
    lazy = [t for t in (*model.parameters(), *model.buffers()) if isinstance(t, nn.parameter.UninitializedTensorMixin)]
    if not lazy:
        return model
    memo = {id(t): type(t)(requires_grad=t.requires_grad, device=place, dtype=t.dtype) for t in lazy}
    return copy.deepcopy(model, memo)  # deepcopy cannot copy uninitialised tensors, so they are given


def _same_device(model: nn.Module, place: torch.device) -> None:
    for name, p in model.named_parameters():
        if p.device != place:
            raise ValueError(
                f"the model's {name} is on {p.device}, but the trace is to run on {place}: move the model with "
                f"model.to({str(place)!r}), or use device='meta'"
            )
