"""The recorder: watches a model run and writes down each operation that the author wrote.

Calls of functions come through a `TorchFunctionMode`. Calls of modules come through one hook for all modules, which
gives each module that runs a hook of its own with `always_call=True`: only such a hook sees keyword inputs and failures
in every version of torch. What happens inside a leaf (a module without modules) is collapsed into one row.
"""

from __future__ import annotations

import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function
from torch.utils.hooks import RemovableHandle

from ..nets.shapes import ReceptiveField
from ..support.system import random_states_kept
from . import ops
from .graph import Node, resolve
from .macs import run_and_count
from .meta import META, MetaRunner, storage_of, tensors_in, unwrapped
from .restore import Snapshot
from .rows import NOT_COUNTED, Shape

_VIEWS_BY_PROPERTY = {"T", "mT", "H", "mH", "real", "imag"}
_WITHOUT_ROW = {"requires_grad", "retain_grad", "as_subclass", "deepcopy"}
_REMARKS = r"Using `torch.compile\(module\)` when there are global hooks|flex_attention called without torch.compile"
_CALL = torch.jit.ScriptFunction.__call__
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


@dataclass
class Failure:
    """Where an exception came up first: the innermost module, the call in it, and the shapes that reached it."""

    error: Exception
    path: str
    module: nn.Module
    call: str | None
    shapes: tuple[Shape, ...]


@dataclass(eq=False)
class _Frame:
    """A module that is running."""

    module: nn.Module
    path: str
    args: tuple
    leaf: bool  # collapsed into one row
    opaque: bool  # one of PyTorch's own leaves: nothing inside is looked at
    lazy: bool  # has yet to make its parameters; it changes its class when it has
    first: int = 0  # number of nodes when it began
    macs: int = 0
    not_counted: bool = False  # whether there were multiply-adds of unknown number
    called_modules: bool = False
    inputs: list[tuple[Shape, Node | None, int | None]] = field(default_factory=list)  # shape, source, storage


class Recorder(TorchFunctionMode):
    """Records one forward pass into `nodes`; modules have the flag `training` meanwhile, or their own if it is None."""

    def __init__(self, model: nn.Module, meta: bool, training: bool | None) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.failure: Failure | None = None
        self._model, self._meta, self._training = model, meta, training
        # where the model is: tensors on meta say that they are there, too, for autocast(x.device.type)
        self._home = next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))
        self._runner = MetaRunner(self._home) if meta else None
        self._run = self._runner.run if meta else run_and_count
        self._paths: dict[int, str] = {}  # here and below, keys are ids of modules, parameters or tensors
        self._parameters: dict[int, str] = {}
        self._counted_by: dict[int, Node] = {}
        self._made_by: dict[int, tuple[weakref.ref, Node]] = {}
        self._handles: dict[int, RemovableHandle] = {}
        self._stack: list[_Frame] = []
        self._unregistered: list[nn.Module] = []  # kept, so that their ids stay their own
        self._thread = threading.get_ident()
        self.elsewhere: dict[str, nn.Module] = {}  # layers that ran in other threads, by path
        self._outer_error = sys.exc_info()[1]

    @contextmanager
    def watching(self) -> Iterator[Recorder]:
        """Record what happens inside the block, and undo everything afterwards, whatever happened."""
        with ExitStack() as stack:
            stack.enter_context(random_states_kept())
            self._snapshot = Snapshot(values=not self._meta)
            stack.callback(self._snapshot.restore)
            for path, module in self._model.named_modules():
                self._add_module(path, module)
            self._parameters = {id(p): _written(path) for path, p in self._model.named_parameters()}
            stack.enter_context(torch.no_grad())
            stack.enter_context(torch.compiler.set_stance("force_eager"))  # what is compiled runs as it was written
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", _REMARKS)
            stack.callback(setattr, torch.jit.ScriptFunction, "__call__", torch.jit.ScriptFunction.__call__)
            torch.jit.ScriptFunction.__call__ = _call_as_torch
            stack.callback(register_module_forward_pre_hook(self._before_module).remove)
            stack.callback(lambda: [handle.remove() for handle in self._handles.values()])
            yield stack.enter_context(self)

    def _add_module(self, path: str, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                f"{f'the layer {path!r}' if path else '`model`'} is a torch.jit.ScriptModule, inside which nothing can "
                "be watched: trace the torch.nn.Module that it was made from"
            )
        self._paths[id(module)] = _written(path)
        self._snapshot.add(module)
        if self._training is not None:
            module.__dict__["training"] = self._training  # not .eval(), which a model may have overridden
        if isinstance(module, _WRAPPERS):
            module.__dict__["forward"] = module.module  # not to other devices and processes

    def add_input(self, tensor: Tensor) -> Tensor:
        """Return the tensor that the model gets for `tensor`: a copy, or a stand-in on the meta device."""
        with torch._C.DisableTorchFunction():
            given = torch.empty_like(tensor, device=META) if self._meta else tensor.detach().clone()
            fields = tuple(ReceptiveField() for _ in range(given.dim() - 2)) if 3 <= given.dim() <= 5 else None
            node = Node("input", "input", outputs=(tuple(given.shape),), fields=fields, from_input=True)
            self._made_by[id(given)] = (weakref.ref(given), node)
        return given

    def _source(self, tensor: Tensor) -> Node | None:
        """Return the node that made `tensor`; a parameter that is used directly gets a row of its own."""
        made = self._made_by.get(id(tensor))
        if made is not None and made[0]() is tensor:
            return made[1]
        tensor = unwrapped(tensor)
        if id(tensor) not in self._parameters:
            return None
        node = self._counted_by.get(id(tensor))
        if node is None:
            path = self._parameters[id(tensor)]
            node = Node(path, "parameter", outputs=(tuple(tensor.shape),), note="used directly in forward")
            self._count_parameters(node, [tensor])
            self.nodes.append(node)
        return node if node.kind == "parameter" else None  # the row of its layer has counted it

    def _count_parameters(self, node: Node, parameters: Iterable[Tensor]) -> None:
        """Give `node` those of the model's parameters that no row has counted yet."""
        for p in map(unwrapped, parameters):
            if id(p) in self._counted_by:
                node.reused = True
            elif id(p) in self._parameters:
                self._counted_by[id(p)] = node
                node.parameter_ids.append(id(p))
                node.params += p.numel()

    def unrecorded(self) -> list[Node]:
        """Return a node for each layer that ran in another thread or whose parameters the forward pass did not use."""
        nodes: dict[str, Node] = {}
        for path, module in self.elsewhere.items():
            nodes[path] = Node(path, "other thread", note=f"ran in another thread: {NOT_COUNTED}")
            self._count_parameters(nodes[path], module.parameters())
        modules = dict(self._model.named_modules())
        for path, p in self._model.named_parameters():
            if id(p) in self._counted_by or isinstance(p, nn.parameter.UninitializedTensorMixin):
                continue
            owner = path.rpartition(".")[0]
            name = _written(owner if owner and next(modules[owner].children(), None) is None else path)
            node = nodes.setdefault(name, Node(name, "not called", note="not reached by this forward pass"))
            self._count_parameters(node, [p])
        return list(nodes.values())

    def _before_module(self, module: nn.Module, args: tuple) -> None:
        """Note the inputs of a module that is about to run."""
        if threading.get_ident() != self._thread:
            if id(module) in self._paths and self._is_leaf(module):
                self.elsewhere[self._paths[id(module)]] = module
            return
        with torch._C.DisableTorchFunction():
            parent = self._stack[-1] if self._stack else None
            path = self._paths.get(id(module))
            if path is None:
                path = self._add_unregistered(parent, module)
            if id(module) not in self._handles:  # a hook of the module itself, for only those see keyword inputs
                hook = module.register_forward_hook(self._after_module, with_kwargs=True, always_call=True)
                self._handles[id(module)] = hook
            leaf = self._is_leaf(module)
            frame = _Frame(module, path, args, leaf, leaf and _is_own(module), _is_lazy(module))
            if parent is not None:
                parent.called_modules = True
            if leaf and not (parent is not None and parent.opaque):
                self._note_inputs(frame, args)
            frame.first = len(self.nodes)
            self._stack.append(frame)

    def _is_leaf(self, module: nn.Module) -> bool:
        """Return whether a module becomes one row: it has no modules, and is one of PyTorch's own or not the model."""
        childless = not any(m is not None for m in module._modules.values())
        container = type(module).__module__ == "torch.nn.modules.container"
        own = _is_own(module) or module is not self._model
        return isinstance(module, nn.MultiheadAttention) or (childless and not container and own)

    def _note_inputs(self, frame: _Frame, values: object) -> None:
        frame.inputs += [(tuple(t.shape), self._source(t), storage_of(t)) for t in tensors_in(values)]

    def _add_unregistered(self, parent: _Frame | None, module: nn.Module) -> str:
        """Return a path for a module that is in no registry, such as one in a plain list: "layers[0]"."""
        name = _attribute_of(parent.module if parent is not None else self._model, module)
        path = f"{parent.path}.{name}" if parent is not None and parent.path else name
        for inner_name, inner in module.named_modules():
            if id(inner) not in self._paths:
                self._add_module(f"{path}.{inner_name}" if inner_name else path, inner)
                self._unregistered.append(inner)
        return path

    def _after_module(self, module: nn.Module, args: tuple, kwargs: dict, result: object) -> None:
        """Write the row of a leaf that has run; after an exception `result` is None."""
        if threading.get_ident() != self._thread or not self._stack or self._stack[-1].module is not module:
            return
        with torch._C.DisableTorchFunction():
            frame = self._stack.pop()
            error = sys.exc_info()[1]
            if result is None and isinstance(error, Exception) and error is not self._outer_error:
                if frame.leaf and not frame.called_modules:
                    del self.nodes[frame.first :]  # calls inside a layer are no rows, and the layer has not become one
                self._note_failure(error, frame, None, (args, kwargs))
                return
            parent = self._stack[-1] if self._stack else None
            if parent is not None:
                parent.macs += frame.macs
                parent.not_counted |= frame.not_counted
                if parent.opaque:
                    return
            # a leaf that called modules which it keeps out of its registry stays open
            if frame.leaf and (frame.opaque or not frame.called_modules):
                inner = self.nodes[frame.first :]
                del self.nodes[frame.first :]
                self._note_inputs(frame, kwargs)
                self._add_leaf(frame, inner, result)

    def _add_leaf(self, frame: _Frame, inner: list[Node], result: object) -> None:
        """Write one row for a leaf in place of those of the calls inside it."""
        module = frame.module
        kind = ops.KINDS.get(type(module), type(module).__name__)
        shapes, sources, storages = tuple(zip(*frame.inputs, strict=True)) or ((), (), ())
        if len(inner) == 1 and inner[0].kind == "add":  # a module that does nothing but add
            kind, shapes, sources = "add", inner[0].inputs, inner[0].sources
        bias = module.bias is not None if isinstance(module, nn.Linear) else None
        node = Node(frame.path, kind, shapes, (), sources, ops.module_geometry(module), bias, macs=frame.macs)
        for call in inner:
            call.collapsed_into = node
            for key in call.parameter_ids:
                del self._counted_by[key]
        node.pads = any(n.pads or n.kind in ops.PADS for n in inner)
        self._count_parameters(node, module.parameters())
        hidden = sum(p.numel() for p in map(unwrapped, module.parameters()) if id(p) not in self._parameters)
        notes = [f"not registered: {hidden:,} parameters that model.parameters() does not have"] if hidden else []
        node.note = "; ".join([*notes, NOT_COUNTED] if frame.not_counted else notes)
        fields = _join_inputs(node)
        if node.geometry is not None:
            node.fields = ops.after_window(node.geometry, fields)
        elif kind == "zero_pad":
            node.fields = fields and tuple(f.after(1, module.stride) for f in fields)
        elif kind == "add" or ops.is_local(module):
            node.fields = fields
        self._finish(node, result, set(storages))

    def _finish(self, node: Node, result: object, storages: set[int | None]) -> None:
        """Add a node to the record, with its outputs; memory counts where it is not the input's."""
        shapes = []
        for t in tensors_in(result):
            shapes.append(tuple(t.shape))
            whole = unwrapped(t)  # with the dimension that torch.vmap hides
            if (storage := storage_of(whole)) not in storages:
                node.activation_bytes += whole.numel() * whole.element_size()
                storages.add(storage)
            self._made_by[id(t)] = (weakref.ref(t), node)
        node.outputs = tuple(shapes)
        self.nodes.append(node)

    def __torch_function__(
        self, func: Callable, types: Iterable[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Run one call of a torch function, and write its row unless it is inside one of PyTorch's own layers."""
        kwargs = kwargs or {}
        raw, name, is_property = _names_of(func)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.lazy and _is_lazy(frame.module):
            return func(*args, **kwargs)  # parameters are being made
        if is_property and raw not in _VIEWS_BY_PROPERTY:
            return self._home if raw == "device" and self._meta else func(*args, **kwargs)
        try:
            if frame is None or frame.opaque:
                result, macs = self._run(func, name, args, kwargs)
            else:
                result, macs = self._call(frame, func, name, args, kwargs)
        except Exception as error:
            self._note_failure(error, frame, name, (args, kwargs))
            raise
        if frame is not None:
            frame.macs += macs or 0
            frame.not_counted |= macs is None
        return result

    def _call(self, frame: _Frame, func: Callable, name: str, args: tuple, kwargs: dict) -> tuple[object, int | None]:
        given = list(tensors_in((args, {key: value for key, value in kwargs.items() if key != "out"})))
        shapes = tuple(tuple(t.shape) for t in given)  # before the call, which may work in place
        makers = [self._made_by.get(id(t)) for t in given]
        result, macs = self._run(func, name, args, kwargs)
        output = args[0] if name == "setitem" else result
        if name in _WITHOUT_ROW or next(tensors_in(output), None) is None:
            return result, macs  # .size(), .item(), ...: nothing that a table of shapes could show
        sources = tuple(
            m[1] if m is not None and m[0]() is t else self._source(t) for t, m in zip(given, makers, strict=True)
        )
        path = f"{frame.path}.{name}()" if frame.path else f"{name}()"
        geometry = ops.call_geometry(name, args, kwargs)
        node = Node(path, _kind(name, shapes, sources), shapes, (), sources, geometry, macs=macs or 0)
        node.note = NOT_COUNTED if macs is None else ""
        node.fields = ops.after_call(name, geometry, _join_inputs(node), args, kwargs)
        used = list(tensors_in((args, kwargs)))
        used += [self._runner.stand_ins[id(t)][1] for t in used if self._meta and id(t) in self._runner.stand_ins]
        self._finish(node, output, set(map(storage_of, used)))
        return result, macs

    def _note_failure(self, error: Exception, frame: _Frame | None, call: str | None, values: object) -> None:
        """Remember where an exception came up; layers further out that it passes on its way add nothing."""
        if self.failure is not None:
            if self.failure.error is error:
                return
            if self.failure.error in (error.__cause__, error.__context__):
                self.failure.error = error
                return
        with torch._C.DisableTorchFunction():
            shapes = tuple(tuple(t.shape) for t in tensors_in(values))
            if frame is not None and frame.leaf:
                shapes = tuple(tuple(t.shape) for t in tensors_in(frame.args)) or shapes
        module = frame.module if frame is not None else self._model
        self.failure = Failure(error, frame.path if frame is not None else "", module, call, shapes)


@lru_cache(maxsize=4096)
def _names_of(func: Callable) -> tuple[str, str, bool]:
    """Return (name, name without underscores around it, whether it is a property) of a torch function."""
    raw = getattr(func, "__name__", type(func).__name__)
    is_property = raw in ("__get__", "__set__", "__delete__")
    if is_property:
        raw = getattr(getattr(func, "__self__", None), "__name__", raw)
    raw = raw.partition(".")[0]  # an operator of an exported program is "add.Tensor"
    return raw, raw.strip("_"), is_property


def _call_as_torch(self: torch.jit.ScriptFunction, *args: object, **kwargs: object) -> object:
    """Call a function of torch.jit as those of torch are called, so that a `TorchFunctionMode` sees it."""
    if has_torch_function(args):
        return handle_torch_function(self, args, *args, **kwargs)
    return _CALL(self, *args, **kwargs)


def _written(path: str) -> str:
    """Return a path without the steps into wrappers of torch.compile: "0._orig_mod.conv1" -> "0.conv1"."""
    return path.replace("._orig_mod", "")


def _join_inputs(node: Node) -> ops.Fields:
    """Return what the inputs of a node see together, and note whether any of them depends on the model's input."""
    made = [s for s in map(resolve, node.sources) if s is not None and s.from_input]
    node.from_input = bool(made)
    return ops.union([s.fields for s in made], node.inputs)


def _kind(name: str, shapes: tuple[Shape, ...], sources: tuple[Node | None, ...]) -> str:
    """Return the kind of a call; there are three of sums: see `Row.kind`."""
    if name not in ops.ADDS:
        return name
    if len(shapes) != 2 or not all(s is not None and s.from_input for s in map(resolve, sources)):
        return "add_constant"
    return "add" if shapes[0] == shapes[1] else "add_broadcast"


def _is_lazy(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params()


def _is_own(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") or type(module) in ops.KINDS


def _attribute_of(owner: nn.Module, module: nn.Module) -> str:
    """Return the name under which `owner` holds `module` outside of its registry: "layers[0]", or "<Linear>"."""
    for name, value in vars(owner).items():
        if value is module:
            return name
        held = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, (list, tuple)) else {}
        for key, item in held.items():
            if item is module:
                return str(key) if name == "_modules" else f"{name}[{key!r}]"
    return f"<{type(module).__name__}>"
