"""How one call runs while a model is being traced: for real, or on the meta device with shapes only.

On the meta device a tensor has a shape and no values, so a trace costs neither memory nor arithmetic. The model is not
moved there: whenever one of its tensors meets a call, an empty stand-in of the same shape takes its place.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from . import ops
from .macs import run_and_count

META = torch.device("meta")
is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_SMALL = 4096  # a constant of up to this many values is made for real, so that forward may look at it
_PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device, torch.memory_format, torch.layout)
_READS = {"item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__", "__repr__"}
_MOVES = {"to", "cpu", "cuda", "xpu", "pin_memory"}
# Operators that are no arithmetic element by element and take several dtypes none the less
_CONVERTS = re.compile(r"_?(copy_?|to_copy|cat|stack|where|mse_loss|bucketize)")
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


def unwrapped(tensor: Tensor) -> Tensor:
    """Return the tensor for which `tensor` stands while torch.vmap or torch.func.grad looks on; mostly itself."""
    while is_wrapped(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def storage_of(tensor: Tensor) -> int | None:
    """Return what is equal for two tensors that share memory; None for a tensor without a storage (sparse)."""
    try:
        return unwrapped(tensor).untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return None


_KNOWN: dict[tuple, tuple] = {}  # call -> (shape, stride and dtype of a new result, multiply-adds)
_MOST_KNOWN = 10_000


class MetaRunner:
    """Runs calls on the meta device, with stand-ins for tensors that have values.

    The shape of a result is worked out by PyTorch's meta kernels, once for each kind of call in a process: a deep net
    repeats the same few layers many times, and the next net has many of them, too.
    """

    def __init__(self, home: torch.device) -> None:
        self._home = home  # of the model
        self.stand_ins: dict[int, tuple[Tensor, Tensor]] = {}  # with the original, which keeps its id its own
        self._originals: dict[int, Tensor] = {}  # by the id of the stand-in
        self._constants: dict[int, Tensor] = {}  # made by forward itself, and with values
        self._written: set[int] = set()  # constants that hold other values by now

    def run(self, func: Callable, name: str, args: tuple, kwargs: dict) -> tuple[object, int | None]:
        """Return (result, multiply-adds) of one call; see `run_and_count`."""
        found = [False, False]  # any tensor, any tensor that is not a constant of forward
        cast = ()  # kind of device and dtype of an autocast; that of a GPU holds for a model on the processor as well
        if torch._C._is_any_autocast_enabled():
            kinds = [kind for kind in (self._home.type, "cuda") if torch.is_autocast_enabled(kind)]
            cast = (kinds[0], torch.get_autocast_dtype(kinds[0])) if kinds else ()
        key = self._scan((*args, *kwargs.items()), [func, torch.get_default_dtype(), *cast], found)
        if not found[0]:
            return self._constant(func, name, args, kwargs), 0
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": META if found[1] else "cpu"}
        if name in _MOVES and isinstance(args[0], Tensor):
            return self._moved(name, args, kwargs), 0
        if not found[1] or (getattr(func, "__name__", "") in _READS and id(args[0]) not in self._written):
            return self._remember(func(*args, **kwargs)), 0
        key = None if key is None else tuple(key)
        layout, macs = _KNOWN.get(key, (None, None))
        if layout is not None:
            shape, stride, dtype = layout
            return torch.empty_strided(shape, stride, dtype=dtype, device=META), macs
        args, kwargs = map_tensors(self.stand_in, args), map_tensors(self.stand_in, kwargs)
        _check_window(name, args, kwargs)
        if cast:
            result, macs = _run_cast(func, name, args, kwargs, cast[0])
        elif key in _KNOWN:  # a view, work in place, or several results: only its multiply-adds are known
            result = func(*args, **kwargs)
        else:
            with _OneDtype():
                result, macs = run_and_count(func, name, args, kwargs)
        if key is not None and key not in _KNOWN:
            used = {storage_of(t) for t in tensors_in((args, kwargs))}
            if type(result) is Tensor and result.is_meta and result.layout is torch.strided:
                layout = None if storage_of(result) in used else (result.shape, result.stride(), result.dtype)
            if len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.clear()
            _KNOWN[key] = (layout, macs)
        written = map_tensors(self._original, args[0] if name == "setitem" else result)
        return (result if name == "setitem" else written), macs

    def _scan(self, values: tuple | list, key: list | None, found: list[bool]) -> list | None:
        """Extend `key` by what the result's shape depends on; None if that cannot be told."""
        for value in values:
            if isinstance(value, Tensor):
                found[0] = True
                found[1] |= id(value) not in self._constants
                plain = (
                    type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided and not is_wrapped(value)
                )
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
        if id(tensor) not in self.stand_ins:
            if is_wrapped(tensor):  # by torch.vmap or torch.func.grad, which are to know of it
                return tensor.to(META)
            stand_in = torch.empty_like(tensor, device=META, requires_grad=False)
            self.stand_ins[id(tensor)], self._originals[id(stand_in)] = (tensor, stand_in), tensor
        return self.stand_ins[id(tensor)][1]

    def _original(self, tensor: Tensor) -> Tensor:
        """Return the tensor that a call worked on in place: the original, not its stand-in."""
        original = self._originals.get(id(tensor), tensor)
        if self._constants.pop(id(original), None) is not None:
            self._written.add(id(original))
        return original

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
        """Run `x.to(...)`, `x.cpu()` or `x.cuda()`, of which only a change of dtype matters here: nothing is moved."""
        tensor = args[0] if id(args[0]) in self._constants else self.stand_in(args[0])
        dtypes = [a.dtype if isinstance(a, Tensor) else a for a in (*args[1:], *kwargs.values())]
        dtype = next((d for d in dtypes if isinstance(d, torch.dtype)), tensor.dtype)
        moved = tensor.to(dtype, copy=kwargs.get("copy", False)) if name == "to" else tensor
        return self._remember(moved) if tensor is args[0] else self._originals.get(id(moved), moved)


class _OneDtype(TorchDispatchMode):
    """Raises where a processor refuses tensors of different dtypes, which PyTorch's meta kernels take.

    Arithmetic element by element converts, and so do copies and joins; the rest wants one dtype, but for the layers
    that normalise, which take 16-bit values with float32 parameters, and products of 8-bit values with their scales.
    """

    supports_higher_order_operators = True

    def __torch_dispatch__(
        self, func: Callable, types: Iterable[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        numbers = (t for t in tensors_in((args, kwargs)) if t.is_floating_point() or t.is_complex())
        dtypes = [t.dtype for t in numbers if t.dim()]  # one number alone takes any
        if len(set(dtypes)) > 1 and isinstance(func, OpOverload) and torch.Tag.pointwise not in func.tags:
            name = func._overloadpacket.__name__
            halves = "norm" in name and dtypes[0].itemsize == 2 and set(dtypes[1:]) == {torch.float32}
            scaled = dtypes[0].itemsize == 1
            if not (halves or scaled) and not _CONVERTS.fullmatch(name):
                kinds = " and ".join(dict.fromkeys(str(d).removeprefix("torch.") for d in dtypes))
                raise RuntimeError(f"{name} takes tensors of one dtype, but got {kinds}")
        return func(*args, **kwargs)


def _run_cast(func: Callable, name: str, args: tuple, kwargs: dict, kind: str) -> tuple[object, int | None]:
    """Return (result, multiply-adds) of a call under the autocast of a kind of device.

    Autocast passes by tensors on meta, but not tensors that pretend to be on a device: these show the dtypes. They
    cannot be counted, which is done with one dtype, as after a cast.
    """
    pretend = FakeTensorMode(allow_non_fake_inputs=True)
    device = torch.device(kind)
    fake_args, fake_kwargs = map_tensors(lambda t: FakeTensor(pretend, t, device), (args, kwargs))
    with _OneDtype():
        fakes = func(*fake_args, **fake_kwargs)
    used = {storage_of(t) for t in tensors_in((args, kwargs))}
    if any(storage_of(t) in used for t in tensors_in(fakes)):
        return run_and_count(func, name, args, kwargs)  # a view or work in place, where nothing is cast
    args, kwargs = map_tensors(lambda t: t.float() if t.is_floating_point() else t, (args, kwargs))
    _, macs = run_and_count(func, name, args, kwargs)
    new = {id(t): torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=META) for t in tensors_in(fakes)}
    return map_tensors(lambda t: new[id(t)], fakes), macs


def _check_window(name: str, args: tuple, kwargs: dict) -> None:
    """Raise where PyTorch's kernels would refuse and its meta kernels (of some versions) do not."""
    geometry = ops.call_geometry(name, args, kwargs)
    if geometry is None or not args:
        return
    shape = tuple(args[0].shape)
    if geometry.too_small_for(shape):
        raise RuntimeError(f"kernel {geometry.kernel} does not fit into an input of {shape}")
    channels = shape[-len(geometry.kernel) - 1]
    if geometry.transposed and channels != (weight := args[1] if len(args) > 1 else kwargs["weight"]).shape[0]:
        raise RuntimeError(f"expected an input of {weight.shape[0]} channels, but got {channels} in {shape}")
