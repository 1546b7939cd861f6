"""What the tracer knows about a module before it runs: whether it is one row, and what stands in that row.

Scope: one module at a time, without running it.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from . import trace_ops as ops


class Kind(NamedTuple):
    """What is known of a module before it runs."""

    leaf: bool  # collapsed into one row
    opaque: bool  # one of PyTorch's own leaves: nothing inside is looked at
    kind: str
    geometry: ops.Geometry | None
    bias: bool | None
    local: bool
    step: int  # every how many pixels a zero_pad keeps
    parameters: list[nn.Parameter]


def is_lazy(module: nn.Module) -> bool:
    """Return whether a layer has yet to make its parameters; it changes its class when it has."""
    return isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params()


def describe(module: nn.Module, is_model: bool) -> Kind:
    """Return what is known of a module.

    A module without modules is a leaf. A whole model that is such a module is not, unless it is one of PyTorch's own:
    its functions are all that there is to see.
    """
    cls = type(module)
    own = cls.__module__.startswith("torch.nn.") or cls in ops.KINDS
    childless = not any(m is not None for m in module._modules.values())
    container = cls.__module__ == "torch.nn.modules.container"
    leaf = isinstance(module, nn.MultiheadAttention) or (childless and not container and (own or not is_model))
    return Kind(
        leaf=leaf,
        opaque=leaf and own,
        kind=ops.KINDS.get(cls, cls.__name__),
        geometry=ops.module_geometry(module) if leaf and not is_lazy(module) else None,
        bias=module.bias is not None if isinstance(module, nn.Linear) else None,
        local=ops.is_local(module),
        step=getattr(module, "stride", 1) if cls in ops.KINDS else 1,
        parameters=list(module.parameters()) if leaf else [],
    )


def attribute_of(owner: nn.Module, module: nn.Module) -> str:
    """Return the name under which `owner` holds `module` outside of its registry: "layers[0]", or "<Linear>"."""
    for name, value in vars(owner).items():
        if value is module:
            return name
        if isinstance(value, (list, tuple)):
            found = next((i for i, v in enumerate(value) if v is module), None)
        elif isinstance(value, dict):
            found = next((k for k, v in value.items() if v is module), None)
        else:
            continue
        if found is not None:
            return str(found) if name == "_modules" else f"{name}[{found!r}]"
    return f"<{type(module).__name__}>"
