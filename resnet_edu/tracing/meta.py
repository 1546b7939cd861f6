"""How a call runs while a model is being traced: for real, or on the meta device with shapes only.

Scope: one call of one torch function. On the meta device a tensor has a shape and no values, so a trace costs neither
memory nor arithmetic. The model is not moved there: whenever one of its tensors meets a call, an empty stand-in of the
same shape is handed over instead. PyTorch's own meta kernels work out the shape of the result, and the answer is
remembered for the rest of the trace, since a deep net repeats the same few layers many times.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping

import torch
from torch import Tensor, nn

from . import ops

META = torch.device("meta")
_SMALL = 4096  # a constant of up to this many values is made for real, so that forward may look at it
_PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device, torch.memory_format, torch.layout)
_READS = {"item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__", "__repr__"}
_FACTORIES = {"zeros", "ones", "empty", "full", "rand", "randn", "randint", "randperm", "arange", "linspace", "eye"}


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a nested value: tuples, lists, mappings, dataclasses; in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            yield from tensors_in(getattr(value, f.name, None))


def map_tensors(change: Callable[[Tensor], Tensor], value: object) -> object:
    """Return `value` with each tensor replaced by `change(tensor)`, where `tensors_in` finds one; types stay."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        items = [map_tensors(change, v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if type(value) is dict:
        return {k: map_tensors(change, v) for k, v in value.items()}
    if next(tensors_in(value), None) is None:
        return value
    if isinstance(value, MutableMapping):
        changed = copy.copy(value)
        for key, item in value.items():
            changed[key] = map_tensors(change, item)
        return changed
    if isinstance(value, Mapping):
        return type(value)({k: map_tensors(change, v) for k, v in value.items()})
    changed = copy.copy(value)  # a dataclass; not through its constructor, which may do more than store
    for f in dataclasses.fields(value):
        if hasattr(value, f.name):
            object.__setattr__(changed, f.name, map_tensors(change, getattr(value, f.name)))  # frozen ones too
    return changed


def storage_of(tensor: Tensor) -> int | None:
    """Return what is equal for two tensors that share memory; None for a tensor without a storage (sparse)."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return None


class RealRunner:
    """Runs calls as they are."""

    def run(self, func: Callable, name: str, args: tuple, kwargs: dict) -> tuple[object, int | None]:
        """Return (result, multiply-adds) of one call; `name` is the function's name without underscores.

        None for multiply-adds: there are some, but how many is not known.
        """
        result = func(*args, **kwargs)
        return result, _macs(name, args, kwargs, result)

    def storages(self, tensors: list[Tensor]) -> set[int | None]:
        """Return what identifies the memory that a call with these tensors worked on."""
        return {storage_of(t) for t in tensors}


def _macs(name: str, args: tuple, kwargs: dict, result: object) -> int | None:
    count = ops.MACS.get(name)
    if count is None:
        return 0
    out = next(tensors_in(result), None)
    return 0 if out is None else count(args, kwargs, out)


class MetaRunner:
    """Runs calls on the meta device, with stand-ins for tensors that have values."""

    def __init__(self) -> None:
        self._stand_ins: dict[int, tuple[Tensor, Tensor]] = {}
        self._constants: dict[int, Tensor] = {}  # made by forward itself, and with values
        self._memo: dict[tuple, tuple] = {}

    def run(self, func: Callable, name: str, args: tuple, kwargs: dict) -> tuple[object, int | None]:
        """Return (result, multiply-adds) of one call; see `RealRunner.run`."""
        key: list | None = [func]
        found = [False, False]  # any tensor, any tensor that is not a constant of forward
        key = self._scan(args, key, found)
        for word, value in kwargs.items():
            if key is not None:
                key.append(word)
            key = self._scan((value,), key, found)
        if not found[0]:
            return self._constant(func, name, args, kwargs), 0
        if not found[1] or func.__name__ in _READS:
            return self._remember(func(*args, **kwargs)), 0
        if key is not None:
            key = tuple(key)
            known = self._memo.get(key)
            if known is not None:
                shape, stride, dtype, macs = known
                return torch.empty_strided(shape, stride, dtype=dtype, device=META), macs
        if name in ("to", "cuda", "cpu") and isinstance(args[0], Tensor):
            return self._moved(name, args, kwargs), 0
        given, options = map_tensors(self.stand_in, args), map_tensors(self.stand_in, kwargs)
        if options.get("device") is not None:
            options["device"] = META
        _check(name, given, options)
        result = func(*given, **options)
        macs = _macs(name, given, options, result)
        if key is not None and type(result) is Tensor and result.is_meta and result.layout is torch.strided:
            used = {storage_of(t) for t in tensors_in((given, options))}
            if storage_of(result) not in used:  # neither a view nor work in place
                self._memo[key] = (result.shape, result.stride(), result.dtype, macs)
        return result, macs

    def _scan(self, values: tuple | list, key: list | None, found: list[bool]) -> list | None:
        """Extend `key` by what the result's shape depends on; None if that cannot be told."""
        for value in values:
            if isinstance(value, Tensor):
                found[0] = True
                if id(value) not in self._constants:
                    found[1] = True
                if key is not None and type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided:
                    key += (value.shape, value.stride(), value.dtype)
                else:
                    key = None
            elif isinstance(value, _PLAIN):
                if key is not None:
                    key += (value.__class__, value)
            elif isinstance(value, (tuple, list)):
                if key is not None:
                    key += (value.__class__, len(value))
                key = self._scan(value, key, found)
            else:
                key = None
        return key

    def stand_in(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the same shape on the meta device; always the same one for the same tensor."""
        if tensor.is_meta or isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            return tensor
        known = self._stand_ins.get(id(tensor))
        if known is None:
            known = (tensor, torch.empty_like(tensor, device=META, requires_grad=False))
            self._stand_ins[id(tensor)] = known  # the tensor is kept, so that its id stays its own
        return known[1]

    def storages(self, tensors: list[Tensor]) -> set[int | None]:
        """Return what identifies the memory that a call with these tensors worked on."""
        return {storage_of(self._stand_ins[id(t)][1] if id(t) in self._stand_ins else t) for t in tensors}

    def _remember(self, result: object) -> object:
        for t in tensors_in(result):
            if not t.is_meta:
                self._constants[id(t)] = t
        return result

    def _constant(self, func: Callable, name: str, args: tuple, kwargs: dict) -> object:
        """Run a call without tensors: small constants get values, large ones only a shape."""
        if "device" in kwargs:
            kwargs = {**kwargs, "device": None}
        if name in _FACTORIES and "out" not in kwargs:
            options = {k: v for k, v in kwargs.items() if k not in ("generator", "pin_memory")}
            shape_only = func(*args, **{**options, "device": META})
            if shape_only.numel() > _SMALL:
                return shape_only
        return self._remember(func(*args, **kwargs))

    def _moved(self, name: str, args: tuple, kwargs: dict) -> Tensor:
        """Run `x.to(...)`, `x.cpu()` or `x.cuda()`, of which only a change of dtype matters here."""
        tensor = self.stand_in(args[0])
        if name != "to":
            return tensor
        dtypes = [a.dtype if isinstance(a, Tensor) else a for a in (*args[1:], *kwargs.values())]
        dtype = next((d for d in dtypes if isinstance(d, torch.dtype)), None)
        return tensor if dtype is None else tensor.to(dtype)


def _check(name: str, args: tuple, kwargs: dict) -> None:
    """Raise where PyTorch's kernels would refuse and its meta kernels (of some versions) do not."""
    geometry = ops.call_geometry(name, args, kwargs)
    if geometry is None or not args:
        return
    shape = tuple(args[0].shape)
    if geometry.too_small_for(shape):
        raise RuntimeError(f"kernel {geometry.kernel} does not fit into an input of {shape}")
    weight = args[1] if len(args) > 1 else kwargs.get("weight")
    if isinstance(weight, Tensor) and len(shape) >= weight.dim() - 1:
        channels = shape[-(weight.dim() - 1)]
        expected = weight.shape[0] if geometry.transposed else weight.shape[1] * geometry.groups
        if channels != expected:
            raise RuntimeError(f"expected an input of {expected} channels, but got {channels} in {shape}")
