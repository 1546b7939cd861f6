"""What the tracer knows about single operations: geometry, multiply-adds, and receptive fields.

Everything not listed here still gets a row, with 0 multiply-adds and no receptive field. A product that is known but
cannot be counted has None.

Sources
  [1] torch.utils.flop_counter: the formulas of convolutions, matrix products and attention, halved here because a
      multiply-add is one operation.
  [2] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from math import prod

from torch import Tensor, nn

from ..nets.blocks import ZeroPadShortcut
from ..nets.shapes import ReceptiveField

Fields = tuple[ReceptiveField, ...] | None  # one for each spatial dimension

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
            if room < 0 and not (self.ceil_mode and room > -self.stride[i]):  # ceil_mode: a window may hang over
                return True
        return False


def _each(value: object, dims: int) -> tuple[int, ...] | str:
    """Return `value` for every dimension: 3 -> (3, 3), [3] -> (3, 3); words stay."""
    if isinstance(value, str):
        return value
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return tuple(int(v) for v in (values * dims if len(values) == 1 else values))


def _argument(args: Sequence[object], kwargs: dict[str, object], position: int, name: str, default: object) -> object:
    if len(args) > position:
        return args[position]
    return kwargs.get(name, default)


def call_geometry(name: str, args: Sequence[object], kwargs: dict[str, object]) -> Geometry | None:
    """Return the window of a call such as `F.conv2d(x, weight, ...)` or `F.max_pool2d(x, 3)`; None for others."""
    dims = CONVS.get(name) or TRANSPOSED.get(name) or POOLS.get(name)
    if dims is None:
        return None

    def get(position: int, key: str, default: object) -> object:
        return _argument(args, kwargs, position, key, default)

    if name in POOLS:
        kernel = get(1, "kernel_size", 1)
        stride = get(2, "stride", None)
        largest = name.startswith("max")
        dilation = get(4, "dilation", 1) if largest else 1
        return Geometry(
            _each(kernel, dims),
            _each(kernel if stride is None or stride == [] else stride, dims),
            _each(get(3, "padding", 0), dims),
            _each(dilation, dims),
            ceil_mode=bool(get(5 if largest else 4, "ceil_mode", False)),
        )
    weight, bias = get(1, "weight", None), get(2, "bias", None)
    transposed = name in TRANSPOSED
    return Geometry(
        tuple(weight.shape[2:]),
        _each(get(3, "stride", 1), dims),
        _each(get(4, "padding", 0), dims),
        _each(get(7, "dilation", 1) if transposed else get(5, "dilation", 1), dims),
        int(get(6, "groups", 1)),
        bias is not None,
        transposed,
    )


def module_geometry(module: nn.Module) -> Geometry | None:
    """Return the window of a convolution or pooling layer; None for other modules."""
    if isinstance(module, nn.modules.conv._ConvNd):
        dims = len(module.kernel_size)
        return Geometry(
            tuple(module.kernel_size),
            tuple(module.stride),
            _each(module.padding, dims),
            tuple(module.dilation),
            module.groups,
            module.bias is not None,
            module.transposed,
        )
    if isinstance(module, (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)):
        dims = int(type(module).__name__.rstrip("d")[-1]) if type(module).__name__[-2:-1].isdigit() else 2
        stride = module.kernel_size if module.stride is None else module.stride
        return Geometry(
            _each(module.kernel_size, dims),
            _each(stride, dims),
            _each(module.padding, dims),
            _each(getattr(module, "dilation", 1), dims),
            ceil_mode=module.ceil_mode,
        )
    return None


# ---- multiply-adds -------------------------------------------------------------------------------------------------


def _conv(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    weight = _argument(args, kwargs, 1, "weight", None)
    return out.numel() * (weight.numel() // weight.shape[0])


def _conv_transpose(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    x, weight = _argument(args, kwargs, 0, "input", None), _argument(args, kwargs, 1, "weight", None)
    return x.numel() * (weight.numel() // weight.shape[0])


def _linear(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    return out.numel() * _argument(args, kwargs, 1, "weight", None).shape[-1]


def _product(first: int) -> Callable[..., int]:
    """Matrix product whose left factor is argument number `first`: every output value sums over its last dimension."""

    def macs(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
        left = args[first] if len(args) > first else next((v for v in kwargs.values() if isinstance(v, Tensor)), out)
        return out.numel() * left.shape[-1]

    return macs


def _attention(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    query, key, value = (_argument(args, kwargs, i, n, None) for i, n in enumerate(("query", "key", "value")))
    return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _multi_head(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    query, key, value = (_argument(args, kwargs, i, n, None) for i, n in enumerate(("query", "key", "value")))
    width = query.shape[-1]
    batch = query.shape[1] if query.dim() == 3 else 1  # (L, B, E), or (L, E) without a batch
    learned = _argument(args, kwargs, 7, "bias_k", None) is not None
    keys = key.shape[0] + learned + bool(_argument(args, kwargs, 9, "add_zero_attn", False))
    projections = (2 * query.numel() + key.numel() + value.numel()) * width
    return projections + 2 * batch * query.shape[0] * keys * width


def _axes(letters: str, dims: int) -> list[str | int]:
    """Return a name for each dimension of a factor of an einsum; those under the dots are numbered from the last."""
    before, dots, after = letters.partition("...")
    return [*before, *range(len(before) + len(after) - dims, 0), *after] if dots else list(before)


def _einsum(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int | None:
    """Count a product of two factors; None for more, since their order is a matter of what is installed."""
    factors = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
    if len(factors) != 2:
        return None if len(factors) > 2 else 0
    left, arrow, result = args[0].replace(" ", "").partition("->")
    if not arrow:
        once = [letter for letter in left if letter.isalpha() and left.count(letter) == 1]
        result = ("..." if "..." in left else "") + "".join(once)
    first, second = (  # without sizes of 1, which are broadcast
        {axis: size for axis, size in zip(_axes(letters, x.dim()), x.shape, strict=True) if size != 1}
        for letters, x in zip(left.split(","), factors, strict=True)
    )
    kept = set(_axes(result, out.dim()))
    summed = (first.keys() & second.keys()) - kept  # a letter of one factor alone is summed before the product
    sizes = {**first, **second}
    return prod(sizes.get(axis, 1) for axis in kept | summed) if summed else 0


def _tensordot(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    left, dims = args[0], _argument(args, kwargs, 2, "dims", 2)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        dims = [range(left.dim() - dims, left.dim())]
    summed = (dims[0],) if isinstance(dims[0], int) else dims[0]
    return out.numel() * prod(left.shape[d] for d in summed)


def _inner(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    left, right = _argument(args, kwargs, 0, "input", None), _argument(args, kwargs, 1, "other", None)
    return out.numel() * left.shape[-1] if left.dim() and right.dim() else 0


def _chain(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    """Count a product of several matrices in the order that costs the least; the outer two may be vectors."""
    given = _argument(args, kwargs, 0, "tensors", None)
    factors = given if isinstance(given, (list, tuple)) else args
    sizes = [factors[0].shape[0] if factors[0].dim() > 1 else 1, *(f.shape[0] for f in factors[1:])]
    sizes.append(factors[-1].shape[1] if factors[-1].dim() > 1 else 1)

    @cache
    def least(i: int, j: int) -> int:
        return min((least(i, k) + least(k, j) + sizes[i] * sizes[k] * sizes[j] for k in range(i + 1, j)), default=0)

    return least(0, len(factors))


def _cell(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    x, weights = args[0], args[2:4]
    return (x.numel() // x.shape[-1]) * sum(w.numel() for w in weights)


def _recurrent(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> int:
    x, packed = args[0], isinstance(args[1], Tensor) and isinstance(args[3], (list, tuple))
    weights = args[3] if packed else args[2]
    return (x.numel() // x.shape[-1]) * sum(w.numel() for w in weights if w.dim() == 2)


def _unknown(args: Sequence[object], kwargs: dict[str, object], out: Tensor) -> None:
    """Say that there are multiply-adds, but how many is not known."""


MACS: dict[str, Callable[..., int | None]] = {
    **dict.fromkeys(CONVS, _conv),
    **dict.fromkeys(TRANSPOSED, _conv_transpose),
    "linear": _linear,
    **dict.fromkeys(("matmul", "linalg_matmul", "mm", "bmm", "mv", "dot", "vdot"), _product(0)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _product(1)),
    "rmatmul": _product(1),
    "einsum": _einsum,
    "tensordot": _tensordot,
    "inner": _inner,
    **dict.fromkeys(("linalg_multi_dot", "chain_matmul"), _chain),
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _cell),
    **dict.fromkeys(("bilinear", "addbmm", "linalg_matrix_power", "matrix_power", "conv_tbc", "convolution"), _unknown),
}


# ---- receptive fields ----------------------------------------------------------------------------------------------

_LOCAL_MODULES = {"torch.nn.modules.activation", "torch.nn.modules.batchnorm", "torch.nn.modules.dropout"}
_LOCAL_NAMES = {"Identity", "StochasticDepth", "FrozenBatchNorm2d", "LayerNorm2d", "DropPath", "ChannelShuffle"}
_GLOBAL_NAMES = {"MultiheadAttention", "Softmax", "Softmin", "LogSoftmax"}
LOCAL_CALLS = {
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh", "softplus"),
    *("hardtanh", "hardswish", "hardsigmoid", "prelu", "rrelu", "logsigmoid", "clamp", "exp", "log", "sqrt", "abs"),
    *("neg", "square", "pow", "batch_norm", "dropout", "dropout2d", "feature_dropout", "contiguous", "clone"),
    *("detach", "to", "float", "half", "type", "add", "iadd", "radd", "add_constant", "sub", "isub", "rsub", "mul"),
    *("imul", "rmul", "div", "truediv", "rdiv", "maximum", "minimum", "where", "nan_to_num"),
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


def after_slicing(index: object, fields: Fields) -> Fields:
    """Return the fields after `x[index]` where `index` keeps every k-th pixel, as option A does; None otherwise."""
    if fields is None or not isinstance(index, tuple) or len(index) != len(fields) + 2:
        return None
    if not all(isinstance(s, slice) for s in index):
        return None
    if any(s.start not in (None, 0) or s.stop is not None or (s.step or 1) < 1 for s in index[2:]):
        return None
    return tuple(f.after(1, s.step or 1) for f, s in zip(fields, index[2:], strict=True))


def after_padding(pads: Sequence[int], fields: Fields) -> Fields:
    """Return the fields after `F.pad(x, pads)`, whose numbers begin with the last dimension; they move, that is all."""
    if fields is None:
        return None
    before = [*pads[::2], *[0] * len(fields)]  # of the last dimension, of the one before it, ...
    moved = zip(fields, reversed(before[: len(fields)]), strict=True)
    return tuple(replace(f, start=f.start - pad * f.jump) for f, pad in moved)


def union(candidates: Sequence[Fields], shapes: Sequence[tuple[int, ...]]) -> Fields:
    """Return what several fields see together, one dimension at a time; None if one is None or they drift apart.

    shapes: of the tensors that have these fields. Where there is one pixel only, nothing can drift.
    """
    if not candidates or any(f is None or len(f) != len(candidates[0] or ()) for f in candidates):
        return None
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
