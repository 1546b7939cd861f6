"""Putting a model back exactly as it was: the tracer may not be noticed afterwards.

Scope: what `forward` can change. Attributes, parameters, buffers and submodules by identity, lists, dicts and sets
held by a module by content, training flags, random number generators, and, on real tensors, the values of buffers and
of whatever is written in place. Hooks and grad mode are undone by the context managers of `trace.py`.
"""

from __future__ import annotations

import random
import sys
from collections import OrderedDict

import torch
from torch import Tensor, nn

_CONTAINERS = (dict, OrderedDict, list, set)


class Snapshot:
    """State of modules and random number generators at one moment; `restore()` brings it back.

    With `values=True` the values of buffers are copied as well (needed on real tensors only).
    """

    def __init__(self, values: bool) -> None:
        self._values = values
        self._modules: list[tuple[dict, dict, list]] = []
        self._tensors: dict[int, tuple[Tensor, Tensor]] = {}
        self._rng = torch.get_rng_state()
        self._cuda_rng = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self._python_rng = random.getstate()
        numpy = sys.modules.get("numpy")
        self._numpy_rng = (numpy.random, numpy.random.get_state()) if numpy else None

    def add(self, module: nn.Module) -> None:
        """Remember one module, without its children."""
        contents = []
        for value in module.__dict__.values():
            if type(value) in _CONTAINERS:
                contents.append((value, value.copy() if value else None))
        self._modules.append((module.__dict__, module.__dict__.copy(), contents))
        if self._values:
            for buffer in module._buffers.values():
                if buffer is not None:
                    self.keep_values(buffer)

    def keep_values(self, tensor: Tensor) -> None:
        """Remember the values of a tensor that is about to be written to."""
        if id(tensor) not in self._tensors and not isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            self._tensors[id(tensor)] = (tensor, tensor.detach().clone())

    def restore(self) -> None:
        """Bring everything back."""
        for attributes, before, contents in self._modules:
            attributes.clear()
            attributes.update(before)
            for value, copy in contents:
                if copy is None:
                    if value:
                        value.clear()
                elif type(value) is list:
                    value[:] = copy
                else:
                    value.clear()
                    value.update(copy)
        with torch.no_grad():
            for tensor, values in self._tensors.values():
                if not torch.equal(tensor, values):
                    tensor.data.copy_(values)  # .data: a backward pass that is still to come must not notice
        torch.set_rng_state(self._rng)
        if self._cuda_rng is not None:
            torch.cuda.set_rng_state_all(self._cuda_rng)
        random.setstate(self._python_rng)
        if self._numpy_rng is not None:
            self._numpy_rng[0].set_state(self._numpy_rng[1])
