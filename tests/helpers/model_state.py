"""All that a trace or a probe has to leave as it was."""

import random

import numpy as np
import torch
from torch import nn


def state(net: nn.Module) -> dict:
    """Everything about a net that could change: identities, values, flags, hooks, attributes."""
    found = {}
    for name, m in net.named_modules():
        found[name] = (
            m.training,
            {k: id(v) for k, v in m.__dict__.items()},
            {k: (id(p), p.requires_grad, p.device) for k, p in m._parameters.items() if p is not None},
            {k: (id(b), b.device) for k, b in m._buffers.items() if b is not None},
            list(m._modules),
            *(list(getattr(m, k)) for k in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs")),
        )
    return found


def surroundings() -> tuple:
    hooks = nn.modules.module
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        len(hooks._global_forward_hooks),
        len(hooks._global_forward_pre_hooks),
        len(torch.overrides._get_current_function_mode_stack()),
    )
