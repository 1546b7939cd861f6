"""What the tracer says when a model fails: which layer, which shapes reached it, and what would help.

Scope: messages. The original exception is always kept as the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from . import ops
from .rows import Row, Shape, written

if TYPE_CHECKING:
    import torch

    from .record import Failure, Recorder


class TraceError(RuntimeError):
    """Raised when the traced model fails; the message names the layer, `path` is where, the cause is what it raised.

    shapes: of the tensors that reached the layer.
    rows:   of the operations that had run before, as in `Trace.rows`.
    """

    def __init__(self, message: str, path: str = "", shapes: tuple[Shape, ...] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.shapes = shapes
        self.rows: list[Row] = []


def explain(
    model: nn.Module, inputs: tuple[Shape, ...], recorder: Recorder, place: torch.device, error: Exception
) -> TraceError:
    """Return the error to raise for `error`, which came out of the model's forward pass."""
    failure = recorder.failure
    name, original = type(model).__name__, str(error).strip() or repr(error)
    given = " and ".join(map(written, inputs)) or "no tensor"
    if failure is None or failure.error is not error:
        return TraceError(f"{name} fails for input {given}: {type(error).__name__}: {original}")
    got = " and ".join(map(written, failure.shapes)) or "no tensor"
    where = failure.path or name
    if failure.call and not _is_layer(failure.module):
        where += f", in {failure.call}()"
    elif failure.path:
        where += f" ({type(failure.module).__name__})"
    short = _too_small(failure)
    if short and len(inputs) == 1:
        picture = written(inputs[0][1:]) if len(inputs[0]) > 3 else given
        reached = written(failure.shapes[0][1:]) if len(failure.shapes[0]) > 3 else got
        message = f"input {picture} is too small: {where} got {reached}, {short}; use a larger input"
    else:
        message = f"{name} fails for input {given} in {where}, which got {got}: {original}"
        message += _advice(failure, place.type == "meta", original)
    return TraceError(message, failure.path, failure.shapes)


def _is_layer(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.")


def _too_small(failure: Failure) -> str | None:
    """Say that a window does not fit, if that is what happened."""
    geometry = ops.module_geometry(failure.module)
    if geometry is None or not failure.shapes or not geometry.too_small_for(failure.shapes[0]):
        return None
    padding = geometry.padding if isinstance(geometry.padding, str) else written(geometry.padding)
    return f"less than its kernel of {written(geometry.kernel)} (padding {padding})"


def _advice(failure: Failure, meta: bool, original: str) -> str:
    """Return one sentence on the way out, or nothing."""
    module, shape = failure.module, failure.shapes[0] if failure.shapes else ()
    if isinstance(module, nn.modules.conv._ConvNd) and len(shape) >= len(module.kernel_size) + 1:
        channels = shape[-len(module.kernel_size) - 1]
        if channels != module.in_channels:
            return f" (the layer takes {module.in_channels} channels, not {channels})"
    if isinstance(module, nn.Linear) and shape and shape[-1] != module.in_features:
        return f" (the layer takes {module.in_features} values, not {shape[-1]}: its input follows the image size)"
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and len(shape) > 1 and shape[1] != module.num_features:
        return f" (the layer takes {module.num_features} channels, not {shape[1]})"
    if meta and "meta" in original.lower():
        return (
            " (the meta device has shapes but no values: give a real tensor, or device='cpu', to a model that looks "
            "at values or that torch cannot run there)"
        )
    return ""
