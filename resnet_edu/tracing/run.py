"""Run a model once and return what happened: a table of every operation, with shapes and costs.

    >>> from resnet_edu import resnet18, trace
    >>> t = trace(resnet18(), (1, 3, 224, 224))
    >>> t.total_params, t.total_macs, len(t.additions)
    (11689512, 1814073344, 8)

Nothing is printed and nothing is left behind.
"""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import torch
from torch import Tensor, nn

from ..support.table import Table
from ..support.validate import one_of, shown, whole
from . import ops
from .graph import finish
from .meta import map_tensors, tensors_in
from .record import Failure, Recorder
from .rows import Row, Shape, shape_text
from .views import VIEWS

MODES = {"eval": False, "train": True, "keep": None}


@dataclass(frozen=True, repr=False)
class Trace:
    """What one forward pass of a model did; shows itself as a table in a notebook and in print.

    model:  name of the model's class.
    inputs: shapes of the tensors that the model got, batch included.
    device: where it ran, "meta" or a real device.
    rows:   one `Row` for each operation, in the order of execution.
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

    @property
    def not_counted(self) -> list[Row]:
        """The rows with multiply-adds of unknown number, which `total_macs` is without."""
        return [row for row in self.rows if not row.is_counted]

    def __len__(self) -> int:
        return len(self.rows)

    def view(self, name: str = "layers") -> Table:
        """Return a table that shows itself and can be written as text, Markdown, CSV, HTML or dictionaries.

        name: "layers" (every row), "convs" (the convolutions of each kind of block) or "stages" (the paper's Table 1).

        Raises `ValueError` for another name, for "convs" if there is no convolution, and for "stages" if the model has
        no stages of blocks.
        """
        return VIEWS[one_of("name", name, VIEWS)](self)

    def __str__(self) -> str:
        return self.view().to_text()

    __repr__ = __str__  # the prompt of Python shows the table, as a notebook does

    def _repr_html_(self) -> str:
        return self.view().to_html()


class TraceError(RuntimeError):
    """Raised when the traced model fails; the message names the layer, the cause is what it raised.

    path:   of the layer.
    shapes: of the tensors that reached the layer.
    rows:   of the operations that had run before, as in `Trace.rows`.
    """

    def __init__(self, message: str, path: str = "", shapes: tuple[Shape, ...] = (), rows: list[Row] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.shapes = shapes
        self.rows = list(rows)


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
    `forward` may not look at values on "meta". Of other threads only layers are seen, and not counted; what is not
    computed by torch, such as a product in NumPy, is not seen at all.

    Raises `TraceError` if the model fails, with the layer and the shapes that reached it; `TypeError` or `ValueError`
    if the inputs are none, and `TypeError` for a model, or a layer in it, that is compiled by torch.jit.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a torch.nn.Module (an object, not its class), but it is {model!r}")
    one_of("mode", mode, MODES)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"`kwargs` must be a dictionary, name of the input -> value, but it is {kwargs!r}")
    args, kwargs = _check_inputs(inputs), dict(kwargs or {})
    if not args and not kwargs:
        raise TypeError("give the shape of an input, batch included, for example trace(model, (1, 3, 224, 224))")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    place = _device_for(args, kwargs, device)
    lazy = [t for t in (*model.parameters(), *model.buffers()) if isinstance(t, nn.parameter.UninitializedTensorMixin)]
    if lazy:  # their first run makes parameters, which would stay behind; deepcopy cannot copy them, so they are given
        memo = {id(t): type(t)(requires_grad=t.requires_grad, device=place, dtype=t.dtype) for t in lazy}
        model = copy.deepcopy(model, memo)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point() or p.is_complex()), None)
    for name, p in model.named_parameters() if place.type != "meta" else ():
        if p.device != place:
            raise ValueError(
                f"the model's {name} is on {p.device}, but the trace is to run on {place}: move the model with "
                f"model.to({str(place)!r}), or use device='meta'"
            )

    def run(args: list[object]) -> tuple[Recorder, Exception | None]:
        with Recorder(model, place.type == "meta", MODES[mode]).watching() as recorder:
            given, words = map_tensors(recorder.add_input, args), map_tensors(recorder.add_input, kwargs)
            try:
                model(*given, **words)
            except Exception as error:
                return recorder, error
        return recorder, None

    given = [torch.zeros(v, dtype=dtype, device=place) if _is_shape(v) else v for v in args]
    recorder, error = run(given)
    shapes = tuple(tuple(t.shape) for t in tensors_in((given, kwargs)))
    if error is not None:
        way = "" if recorder.elsewhere else _other_way(args, given, lambda other: run(other)[1] is None)
        raise _explain(model, shapes, recorder, place, error, way, _list_advice(inputs)) from error
    return Trace(type(model).__name__, shapes, str(place), finish(recorder.nodes + recorder.unrecorded()))


def _is_shape(value: object) -> bool:
    """Return whether `value` is meant as a shape: numbers, some of them whole."""
    numbers = isinstance(value, (tuple, list)) and all(isinstance(v, Real) for v in value)
    return numbers and any(isinstance(v, Integral) for v in value)


def _check_inputs(inputs: tuple[object, ...]) -> list[object]:
    """Return the positional inputs, shapes as tuples of `int`; a single list stands for several inputs."""
    if inputs and all(isinstance(v, int) for v in inputs):
        raise TypeError(f"give the shape as one tuple, batch included: trace(model, {inputs})")
    if len(inputs) == 1 and isinstance(inputs[0], list) and not _is_shape(inputs[0]):
        inputs = inputs[0]
    checked = []
    for value in inputs:
        if isinstance(value, str) or (isinstance(value, tuple) and not value):
            way = "; a list of strings is given as [['one', 'two']]" if value else ""
            raise TypeError(f"an input must be a shape such as (1, 3, 224, 224) or a tensor, but it is {value!r}{way}")
        if _is_shape(value):
            value = tuple(whole(f"input {value}", size) for size in value)
        checked.append(value)
    return checked


def _device_for(args: list[object], kwargs: dict[str, object], device: str | torch.device | None) -> torch.device:
    """Return the device to run on: the one asked for, or that of the first tensor given, or meta."""
    if device is None:
        return next((t.device for t in tensors_in((args, kwargs))), torch.device("meta"))
    try:
        return torch.empty(0, device=device).device  # with the number of the device: "cuda" -> cuda:0
    except (RuntimeError, TypeError, AssertionError) as error:  # no device at all, or none of this machine
        raise ValueError(
            f"`device` must be 'meta' or a device that torch has on this machine, such as 'cpu', but it is "
            f"{shown(device)}: {textwrap.shorten(str(error), 100)}"
        ) from error


def _other_way(args: list[object], given: list[object], works: Callable[[list[object]], bool]) -> str:
    """Return, in brackets, how the shapes in `args` are to be written if the model works with that; or nothing.

    given: the inputs with tensors for the shapes, with which it does not work.
    """
    shapes = {i: value for i, value in enumerate(args) if _is_shape(value)}
    ways = [("the batch is missing", {i: (given[i][None], str((1, *shape))) for i, shape in shapes.items()})]
    for chosen in (*([i] for i in shapes), shapes):
        tokens = {i: (given[i].long(), f"torch.zeros({shapes[i]}, dtype=torch.long)") for i in chosen}
        ways.append(("it takes whole numbers", tokens))
    for reason, new in ways:
        if new and works([new[i][0] if i in new else value for i, value in enumerate(given)]):
            texts = (new[i][1] if i in new else shapes.get(i, "...") for i in range(len(args)))
            return f" ({reason}: trace(model, {', '.join(map(str, texts))}))"
    return ""


def _list_advice(inputs: tuple[object, ...]) -> str:
    """Return, in brackets, how a list of tensors is given, if `inputs` are one list; or nothing."""
    value = inputs
    while isinstance(value, (list, tuple)) and value and not _is_shape(value):
        value = value[0]
    if len(inputs) != 1 or not isinstance(inputs[0], list) or not isinstance(value, (Tensor, list, tuple)):
        return ""
    shape = tuple(value.shape if isinstance(value, Tensor) else value)
    return f" (for one input that is a list of tensors, write trace(model, [[torch.zeros{shape}]], device='cpu'))"


def _explain(
    model: nn.Module,
    inputs: tuple[Shape, ...],
    recorder: Recorder,
    place: torch.device,
    error: Exception,
    way: str,
    listed: str,
) -> TraceError:
    """Return the error to raise for `error` of the forward pass; `way` is the first advice, `listed` the last one."""
    failure, rows = recorder.failure, finish(recorder.nodes)
    name, original, given = type(model).__name__, str(error).strip() or repr(error), _shapes_text(inputs)
    said = textwrap.shorten(original.splitlines()[0], 120)  # torch lists all signatures of a function after it
    if failure is None or failure.error is not error:
        return TraceError(f"{name} fails for input {given}: {type(error).__name__}: {said}{way}", rows=rows)
    got, where = _shapes_text(failure.shapes), failure.path or name
    if failure.call and not type(failure.module).__module__.startswith("torch.nn."):
        where += f", in {failure.call}()"
    elif failure.path:
        where += f" ({type(failure.module).__name__})"
    window = ops.module_geometry(failure.module)
    if not way and window and failure.shapes and window.too_small_for(failure.shapes[0]) and len(inputs) == 1:
        picture, reached = (shape_text(s[1:] if len(s) > 3 else s) for s in (inputs[0], failure.shapes[0]))
        padding = window.padding if isinstance(window.padding, str) else shape_text(window.padding)
        message = (
            f"input {picture} is too small: {where} got {reached}, less than its kernel of {shape_text(window.kernel)} "
            f"(padding {padding}); use a larger input"
        )
    else:
        advice = way or _advice(failure, recorder, place.type == "meta", original) or listed
        message = f"{name} fails for input {given} in {where}, which got {got}: {said}{advice}"
    return TraceError(message, failure.path, failure.shapes, rows)


def _shapes_text(shapes: tuple[Shape, ...]) -> str:
    return " and ".join(map(shape_text, shapes)) or "no tensor"


def _advice(failure: Failure, recorder: Recorder, meta: bool, original: str) -> str:
    """Return what helps, in brackets, or nothing."""
    module, shape = failure.module, failure.shapes[0] if failure.shapes else ()
    if isinstance(module, nn.modules.conv._ConvNd) and len(shape) >= len(module.kernel_size) + 1:
        channels = shape[-len(module.kernel_size) - 1]
        if channels != module.in_channels:
            return f" (the layer takes {module.in_channels} channels, not {channels})"
    elif isinstance(module, nn.modules.conv._ConvNd) and shape:
        return f" (the layer takes {len(module.kernel_size) + 2} sizes: batch, channels and those of the image)"
    if isinstance(module, nn.Linear) and shape and shape[-1] != module.in_features:
        return f" (the layer takes {module.in_features} values, not {shape[-1]}: its input follows the image size)"
    norm = isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(failure.error, ValueError)
    if norm and len(shape) > 1 and shape[1] != module.num_features:
        return f" (the layer takes {module.num_features} channels, not {shape[1]})"
    if meta and recorder.elsewhere:
        return " (layers ran in another thread, where the meta device does not work: use device='cpu')"
    if "NVIDIA" in original or "CUDA" in original:
        return " (forward uses a GPU that is not here" + ("" if meta else "; device='meta' moves nothing there") + ")"
    if meta and "meta" in original.lower():
        return (
            " (the meta device has shapes but no values: give a real tensor, or device='cpu', to a model that looks "
            "at values or that torch cannot run there)"
        )
    return ""
