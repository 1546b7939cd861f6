"""How one call runs while a model is being traced: for real, or on the meta device with shapes only.

On the meta device a tensor has a shape and no values, so a trace costs neither memory nor arithmetic. The model is not
moved there: whenever one of its tensors meets a call, an empty stand-in of the same shape takes its place.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping

import torch
from torch import Tensor, nn

from . import ops
from .macs import run_and_count

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
        """Return (result, multiply-adds) of one call; see `run_and_count`."""
        return run_and_count(func, name, args, kwargs)

    def storages(self, tensors: list[Tensor]) -> set[int | None]:
        """Return what identifies the memory that a call with these tensors worked on."""
        return {storage_of(t) for t in tensors}


class MetaRunner(RealRunner):
    """Runs calls on the meta device, with stand-ins for tensors that have values.

    The shape of a result is worked out by PyTorch's meta kernels, once for each kind of call: a deep net repeats the
    same few layers many times.
    """

    def __init__(self) -> None:
        self._stand_ins: dict[int, tuple[Tensor, Tensor]] = {}  # with the original, which keeps its id its own
        self._constants: dict[int, Tensor] = {}  # made by forward itself, and with values
        self._known: dict[tuple, tuple] = {}  # call -> (shape, stride and dtype of a new result, multiply-adds)

    def run(self, func: Callable, name: str, args: tuple, kwargs: dict) -> tuple[object, int | None]:
        """Return (result, multiply-adds) of one call; see `run_and_count`."""
        found = [False, False]  # any tensor, any tensor that is not a constant of forward
        key = self._scan((*args, *kwargs.items()), [func], found)
        if not found[0]:
            return self._constant(func, name, args, kwargs), 0
        if not found[1] or func.__name__ in _READS:
            return self._remember(func(*args, **kwargs)), 0
        key = None if key is None else tuple(key)
        layout, macs = self._known.get(key, (None, None))
        if layout is not None:
            shape, stride, dtype = layout
            return torch.empty_strided(shape, stride, dtype=dtype, device=META), macs
        if name in ("to", "cuda", "cpu") and isinstance(args[0], Tensor):
            return self._moved(name, args, kwargs), 0
        args, kwargs = map_tensors(self.stand_in, args), map_tensors(self.stand_in, kwargs)
        if kwargs.get("device") is not None:
            kwargs["device"] = META
        _check_window(name, args, kwargs)
        if key in self._known:  # a view, work in place, or several results: only its multiply-adds are known
            return func(*args, **kwargs), macs
        result, macs = run_and_count(func, name, args, kwargs)
        if key is not None:
            used = {storage_of(t) for t in tensors_in((args, kwargs))}
            if type(result) is Tensor and result.is_meta and result.layout is torch.strided:
                layout = None if storage_of(result) in used else (result.shape, result.stride(), result.dtype)
            self._known[key] = (layout, macs)
        return result, macs

    def _scan(self, values: tuple | list, key: list | None, found: list[bool]) -> list | None:
        """Extend `key` by what the result's shape depends on; None if that cannot be told."""
        for value in values:
            if isinstance(value, Tensor):
                found[0] = True
                found[1] |= id(value) not in self._constants
                plain = type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided
                part = (value.shape, value.stride(), value.dtype) if plain and key is not None else None
            elif isinstance(value, _PLAIN):
                part = (value.__class__, value)
            elif isinstance(value, (tuple, list)):
                key = self._scan(value, key, found)
                part = (value.__class__, len(value))
            else:
                part = None
            if part is None:
                key = None
            elif key is not None:
                key += part
        return key

    def stand_in(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the same shape on the meta device; always the same one for the same tensor."""
        if tensor.is_meta or isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            return tensor
        if id(tensor) not in self._stand_ins:
            self._stand_ins[id(tensor)] = (tensor, torch.empty_like(tensor, device=META, requires_grad=False))
        return self._stand_ins[id(tensor)][1]

    def storages(self, tensors: list[Tensor]) -> set[int | None]:
        """See `RealRunner.storages`; of the stand-ins."""
        return {storage_of(self._stand_ins[id(t)][1] if id(t) in self._stand_ins else t) for t in tensors}

    def _remember(self, result: object) -> object:
        self._constants.update((id(t), t) for t in tensors_in(result) if not t.is_meta)
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
        dtypes = [a.dtype if isinstance(a, Tensor) else a for a in (*args[1:], *kwargs.values())]
        dtype = next((d for d in dtypes if isinstance(d, torch.dtype)), None)
        return tensor if name != "to" or dtype is None else tensor.to(dtype)


def _check_window(name: str, args: tuple, kwargs: dict) -> None:
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
