"""Putting a model back exactly as it was: the tracer may not be noticed afterwards.

What `forward` can change is remembered: attributes, parameters, buffers and submodules by identity; containers held by
a module by content, to any depth; training flags; and, on a real device, the values of all tensors found there. What
an object of another kind keeps for itself is not looked at.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_CONTAINERS = {dict, OrderedDict, defaultdict, Counter, list, deque, set}  # these have copy() and clear()


class Snapshot:
    """State of modules at one moment; `restore()` brings it back.

    With `values=True` the values of all tensors are copied as well (needed on a real device only): a write reaches
    them through views, `.data`, `out=` or a kernel, so it is not watched for but found out afterwards.
    """

    def __init__(self, values: bool) -> None:
        self._values = values
        self._attributes: list[tuple[dict, dict]] = []
        self._empty: list[Any] = []
        self._contents: dict[int, tuple[Any, Any]] = {}
        self._tensors: dict[int, tuple[Tensor, Tensor]] = {}
        self._copies: dict[object, tuple[Tensor, Tensor]] = {}  # tensors of the same memory share a copy

    def add(self, module: nn.Module) -> None:
        """Remember one module, without its children."""
        self._attributes.append((module.__dict__, module.__dict__.copy()))
        self._keep(module.__dict__.values())

    def _keep(self, values: Iterable) -> None:
        """Remember what the containers among `values` hold, to any depth, and the values of tensors."""
        for value in values:
            kind = type(value)
            if kind in _CONTAINERS:
                if not value:  # most are: a module has a dozen dictionaries for hooks
                    self._empty.append(value)
                elif id(value) not in self._contents:
                    self._contents[id(value)] = (value, value.copy())
                    self._keep(value.values() if isinstance(value, dict) else value)
            elif isinstance(value, tuple):
                self._keep(value)
            elif self._values and isinstance(value, Tensor):
                self._keep_values(value)

    def _keep_values(self, tensor: Tensor) -> None:
        lazy = isinstance(tensor, nn.parameter.UninitializedTensorMixin)
        if lazy or tensor.is_meta or tensor.layout is not torch.strided or id(tensor) in self._tensors:
            return
        alias = tensor.data  # the same memory, but a backward pass that is still to come must not notice a write to it
        self._tensors[id(tensor)] = (tensor, alias)
        memory, place = alias, id(tensor)
        if type(alias) is Tensor:
            memory = _memory(alias)
            place = (memory.data_ptr(), memory.numel(), memory.dtype, memory.device)
        if place not in self._copies:
            self._copies[place] = (memory, memory.clone())

    def restore(self) -> None:
        """Bring everything back."""
        for attributes, before in self._attributes:
            attributes.clear()
            attributes.update(before)
        for value in self._empty:
            if value:
                value.clear()
        for value, copy in self._contents.values():
            value.clear()
            value.extend(copy) if isinstance(value, (list, deque)) else value.update(copy)
        with torch.no_grad():
            for tensor, alias in self._tensors.values():
                if type(alias) is Tensor and not tensor.is_set_to(alias):
                    tensor.data = alias  # forward gave it other memory or another shape
            for memory, copy in self._copies.values():
                if not torch.equal(memory, copy):
                    memory.copy_(copy)


def _memory(tensor: Tensor) -> Tensor:
    """Return the memory of a tensor, from its first value to its last, as a flat tensor; whatever its strides are."""
    if not tensor.numel():
        return tensor.flatten()
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((last + 1,), (1,))
