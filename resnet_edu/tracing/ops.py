"""Windows of convolutions and poolings, and what they do to receptive fields.

Source
  [1] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from torch import nn

from ..nets.blocks import ZeroPadShortcut
from ..nets.shapes import ReceptiveField

Fields = tuple[ReceptiveField, ...] | None  # one for each spatial dimension

# Calls by name, with the number of spatial dimensions
CONVS = {f"conv{d}d": d for d in (1, 2, 3)}
TRANSPOSED = {f"conv_transpose{d}d": d for d in (1, 2, 3)}
POOLS = {f"{kind}_pool{d}d": d for kind in ("max", "avg") for d in (1, 2, 3)}

KINDS = {ZeroPadShortcut: "zero_pad"}  # modules that are shown under a word of their own
PADS = {"zero_pad", "pad", "cat", "concat", "constant_pad_nd", "zeros", "zeros_like", "new_zeros", "ZeroPad2d"}
ADDS = {"add", "iadd", "radd"}


@dataclass(frozen=True)
class Geometry:
    """Window of a convolution or pooling, one number for each spatial dimension (see `Row`)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int | None = None
    bias: bool | None = None
    transposed: bool = False
    ceil_mode: bool = False

    def left_padding(self, dim: int) -> int:
        """Return the padding before the first pixel along spatial dimension `dim`."""
        if self.padding == "valid":
            return 0
        if self.padding == "same":
            return self.dilation[dim] * (self.kernel[dim] - 1) // 2
        return self.padding[dim]

    def too_small_for(self, shape: Sequence[int]) -> bool:
        """Return whether not even one window fits into an input of `shape` (channels and spatial dimensions last)."""
        sizes = list(shape)[-len(self.kernel) :]
        if self.transposed or self.padding == "same" or len(sizes) < len(self.kernel):
            return False
        for i, size in enumerate(sizes):
            room = size + 2 * self.left_padding(i) - self.dilation[i] * (self.kernel[i] - 1) - 1
            if room <= -(self.stride[i] if self.ceil_mode else 1):  # ceil_mode: a window may hang over
                return True
        return False


def _each(value: object, dims: int) -> tuple[int, ...] | str:
    """Return `value` for every dimension: 3 -> (3, 3), [3] -> (3, 3); words stay."""
    if isinstance(value, str):
        return value
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return tuple(int(v) for v in (values * dims if len(values) == 1 else values))


def call_geometry(name: str, args: Sequence[object], kwargs: dict[str, object]) -> Geometry | None:
    """Return the window of a call such as `F.conv2d(x, weight, ...)` or `F.max_pool2d(x, 3)`; None for others."""
    dims = CONVS.get(name) or TRANSPOSED.get(name) or POOLS.get(name)
    if dims is None:
        return None

    def argument(position: int, key: str, default: object) -> object:
        return args[position] if len(args) > position else kwargs.get(key, default)

    if name in POOLS:
        kernel = argument(1, "kernel_size", 1)
        is_max = name.startswith("max")
        return Geometry(
            _each(kernel, dims),
            _each(argument(2, "stride", None) or kernel, dims),
            _each(argument(3, "padding", 0), dims),
            _each(argument(4, "dilation", 1) if is_max else 1, dims),
            ceil_mode=bool(argument(5 if is_max else 4, "ceil_mode", False)),
        )
    transposed = name in TRANSPOSED
    return Geometry(
        tuple(argument(1, "weight", None).shape[2:]),
        _each(argument(3, "stride", 1), dims),
        _each(argument(4, "padding", 0), dims),
        _each(argument(7 if transposed else 5, "dilation", 1), dims),
        int(argument(6, "groups", 1)),
        argument(2, "bias", None) is not None,
        transposed,
    )


def module_geometry(module: nn.Module) -> Geometry | None:
    """Return the window of a convolution or pooling layer; None for other modules."""
    if isinstance(module, nn.modules.conv._ConvNd):
        dims = len(module.kernel_size)
    elif isinstance(module, (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)):
        name = type(module).__name__
        dims = int(name[-2]) if name[-2:-1].isdigit() else 2
    else:
        return None
    groups = getattr(module, "groups", None)
    return Geometry(
        _each(module.kernel_size, dims),
        _each(module.stride or module.kernel_size, dims),
        _each(module.padding, dims),
        _each(getattr(module, "dilation", 1), dims),
        groups,
        None if groups is None else module.bias is not None,
        getattr(module, "transposed", False),
        getattr(module, "ceil_mode", False),
    )


_LOCAL_MODULES = {"torch.nn.modules.activation", "torch.nn.modules.batchnorm", "torch.nn.modules.dropout"}
_LOCAL_NAMES = {"Identity", "StochasticDepth", "FrozenBatchNorm2d", "LayerNorm2d", "DropPath", "ChannelShuffle"}
_GLOBAL_NAMES = {"MultiheadAttention", "Softmax", "Softmin", "LogSoftmax"}
_LOCAL_CALLS = {
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh", "softplus"),
    *("hardtanh", "hardswish", "hardsigmoid", "prelu", "rrelu", "logsigmoid", "clamp", "exp", "log", "sqrt", "abs"),
    *("neg", "square", "pow", "batch_norm", "dropout", "dropout2d", "feature_dropout", "contiguous", "clone"),
    *("detach", "to", "float", "half", "type", "add", "iadd", "radd", "add_constant", "sub", "isub", "rsub", "mul"),
    *("imul", "rmul", "div", "truediv", "rdiv", "maximum", "minimum", "where", "nan_to_num", "cat", "concat"),
}


def is_local(module: nn.Module) -> bool:
    """Return whether the layer works on each pixel by itself (in training mode batch norm's means are ignored)."""
    name = type(module).__name__
    return name not in _GLOBAL_NAMES and (type(module).__module__ in _LOCAL_MODULES or name in _LOCAL_NAMES)


def after_window(geometry: Geometry, fields: Fields) -> Fields:
    """Return the fields after a convolution or pooling; None after a transposed one, which has none of its own."""
    if fields is None or geometry.transposed or len(fields) != len(geometry.kernel):
        return None
    return tuple(
        f.after(geometry.kernel[i], geometry.stride[i], geometry.left_padding(i), geometry.dilation[i])
        for i, f in enumerate(fields)
    )


def after_call(
    name: str, geometry: Geometry | None, fields: Fields, args: Sequence[object], kwargs: dict[str, object]
) -> Fields:
    """Return the fields after a call of the function `name`, which took values with `fields`."""
    if fields is None:
        return None
    if geometry is not None:
        return after_window(geometry, fields)
    if name == "getitem":
        return _after_slicing(args[1], fields)
    if name == "pad":
        return _after_padding(args[1] if len(args) > 1 else kwargs["pad"], fields)
    return fields if name in _LOCAL_CALLS else None


def _after_slicing(index: object, fields: tuple[ReceptiveField, ...]) -> Fields:
    """Return the fields after `x[index]` where `index` keeps every k-th pixel, as option A does; None otherwise."""
    if not isinstance(index, tuple) or len(index) != len(fields) + 2 or not all(isinstance(s, slice) for s in index):
        return None
    if any(s.start not in (None, 0) or s.stop is not None or (s.step or 1) < 1 for s in index[2:]):
        return None
    return tuple(f.after(1, s.step or 1) for f, s in zip(fields, index[2:], strict=True))


def _after_padding(pads: Sequence[int], fields: tuple[ReceptiveField, ...]) -> Fields:
    """Return the fields after `F.pad(x, pads)`, whose numbers begin with the last dimension; they move, that is all."""
    before = [*pads[::2], *[0] * len(fields)]  # of the last dimension, of the one before it, ...
    moved = zip(fields, reversed(before[: len(fields)]), strict=True)
    return tuple(replace(f, start=f.start - pad * f.jump) for f, pad in moved)


def union(candidates: Sequence[Fields], shapes: Sequence[tuple[int, ...]]) -> Fields:
    """Return what several fields see together, one dimension at a time; None if one is None or they drift apart.

    shapes: of the tensors that have these fields. Where there is one pixel only, nothing can drift.
    """
    if not candidates or any(f is None or len(f) != len(candidates[0] or ()) for f in candidates):
        return None
    if all(f == candidates[0] for f in candidates[1:]):
        return candidates[0]
    found = []
    for i, fields in enumerate(zip(*candidates, strict=True), -len(candidates[0])):
        jump = max(f.jump for f in fields)
        if any(f.jump != jump for f in fields) and any(len(shape) >= -i and shape[i] > 1 for shape in shapes):
            return None
        found.append(reduce(ReceptiveField.union, (replace(f, jump=jump) for f in fields)))
    return tuple(found)


def field_size(fields: Fields) -> int | tuple[int, ...] | None:
    """Return the sizes to show: one number if all dimensions agree."""
    if not fields:
        return None
    sizes = tuple(f.size for f in fields)
    return sizes[0] if len(set(sizes)) == 1 else sizes
