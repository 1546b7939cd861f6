"""Multiply-adds of a call, counted in the operators that PyTorch runs for it.

Whatever a call is named and however its arguments are given, its products end in a few operators of `torch.ops`: a
matrix product in `aten.mm`, attention in `aten.bmm`. PyTorch has formulas for these ([1]); a few are added here.

Source
  [1] torch.utils.flop_counter, which counts two operations where a multiply-add is counted as one here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from math import prod

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# Layers that run as one operator on some devices and as many on others: counted by their weights.
_RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
# Operators with a word of these in their names are products; without a formula they count as unknown.
_PRODUCT = re.compile(
    r"(?!_thnn_fused|.*flatten_weight|linalg_vector_norm|linalg_cross)"
    r"(.*_)?([a-z]*mm|(add)?mv|v?dot|matmul|conv([123]d)?|convolution|linear|trilinear|attention|transformer|rnn|lstm"
    r"|gru|linalg|matrix_exp|(c|euclidean_)dist)(_.*)?"
)


def run_and_count(func: Callable, name: str, args: tuple, kwargs: dict) -> tuple[object, int | None]:
    """Return (result, multiply-adds or None if unknown) of a call; `name` has no underscores around it."""
    if name in _RECURRENT:
        return func(*args, **kwargs), _recurrent(args)
    if isinstance(func, HigherOrderOperator) and func not in flop_registry:
        return func(*args, **kwargs), None  # what is inside is not all run, such as both branches of torch.cond
    with _Counter() as counter:
        result = func(*args, **kwargs)
    return result, counter.macs


class _Counter(TorchDispatchMode):
    """Adds up the multiply-adds of the operators that run under it in `macs`; None if one of them is unknown."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.macs: int | None = 0

    def __torch_dispatch__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        if any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented  # such as a nested tensor, which runs operators on the tensors that it is made of
        if _is_composite(func) and func._overloadpacket not in flop_registry:
            with self:
                return func.decompose(*args, **kwargs)  # into operators that may have a formula
        result = func(*args, **kwargs)
        macs = _operator_macs(func, args, kwargs, result)
        self.macs = None if macs is None or self.macs is None else self.macs + macs
        return result


@cache
def _is_composite(func: Callable) -> bool:
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return isinstance(func, OpOverload) and (
        key in func.py_kernels or torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)
    )


def _operator_macs(func: Callable, args: tuple, kwargs: dict, result: object) -> int | None:
    packet = func._overloadpacket if isinstance(func, OpOverload) else func  # a higher-order operator
    name = packet.__name__.removesuffix("_")  # `addmm_` works in place and counts as `addmm`
    try:
        if name in _FORMULAS:
            return _FORMULAS[name](result, *args)
        formula = flop_registry.get(packet) or flop_registry.get(getattr(torch.ops.aten, name, None))
        if formula is not None:
            return formula(*args, **kwargs, out_val=result) // 2
    except Exception:  # formulas refuse what they were not made for, such as nested tensors
        return None
    if packet is func or func.namespace not in ("aten", "prim", "prims"):
        return None  # of another library
    return None if _PRODUCT.fullmatch(name) else 0


def _recurrent(args: tuple) -> int:
    """Count a recurrent layer: every weight works once on each vector of the sequence, which is the first argument."""
    weights = [w for group in args if isinstance(group, (tuple, list)) for w in group if w.dim() == 2]
    return args[0].numel() // args[0].shape[-1] * sum(w.numel() for w in weights)


def _convolution(out: Tensor, x: Tensor, weight: Tensor, *rest: object) -> int:
    transposed = rest[4]
    return (x if transposed else out).numel() * weight[0].numel()


def _product(_: object, *args: object) -> int:
    left, right = [value for value in args if isinstance(value, Tensor)][-2:]  # before them may be what is added
    return left.numel() * (right.shape[-1] if right.dim() > 1 else 1)


def _attention(_: object, query: Tensor, key: Tensor, value: Tensor, *__: object) -> int:
    return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _grouped(_: object, left: Tensor, right: Tensor, *__: object) -> int:
    """Count products of groups of matrices; with one batch dimension alone, the groups share out the other factor."""
    return left.numel() * right.shape[-1] // (left.shape[0] if left.dim() > right.dim() else 1)


_ATTENTIONS = ("flash_attention", "flash_attention_for_cpu", "efficient_attention", "cudnn_attention")
_FORMULAS: dict[str, Callable[..., int]] = {
    "convolution": _convolution,
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "_int_mm"), _product),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv"), _product),
    "_grouped_mm": _grouped,
    **{f"_scaled_dot_product_{kind}": _attention for kind in _ATTENTIONS},
}
