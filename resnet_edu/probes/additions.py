"""What meets at each addition of a net: x, F(x), and their sum."""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..support.system import random_states_kept
from ..support.validate import of_type

ADDITIONS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__)


@dataclass(frozen=True, eq=False)
class Addition:
    """One addition: `total` = `branch` + `shortcut`, all (B, C, H, W), in the module at `path`."""

    path: str
    shortcut: Tensor
    branch: Tensor
    total: Tensor


def additions(net: nn.Module, images: Tensor) -> list[Addition]:
    """Return what is added where, in order, when `images` (B, C, H, W) pass the net, in the mode that it is in.

    An addition is one of two maps of equal shape, in whatever net. The shortcut is the operand that came into the
    module, or into the one around it, as it is; or else the second one, as in `add_shortcut` and in torchvision. The
    net is left as it is, as by every probe.
    """
    of_type("net", net, nn.Module), of_type("images", images, Tensor)
    net, watch = copy.deepcopy(net), _Watch()
    with contextlib.ExitStack() as stack:
        for path, module in net.named_modules():
            handles = (
                module.register_forward_pre_hook(lambda _, inputs, path=path: watch.running.append((path, inputs))),
                module.register_forward_hook(lambda *_: watch.running.pop() and None),
            )
            for handle in handles:
                stack.callback(handle.remove)
        with torch.no_grad(), random_states_kept(), watch:
            net(images)
    return watch.found


class _Watch(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.running: list[tuple[str, tuple]] = []  # the modules that run, the innermost last, and what came in
        self.found: list[Addition] = []

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        maps = [value for value in args if isinstance(value, Tensor) and value.dim() == 4]
        if func not in ADDITIONS or len(maps) != 2 or maps[0].shape != maps[1].shape:
            return func(*args, **kwargs or {})
        path = self.running[-1][0]
        for _, inputs in reversed(self.running):
            came = [any(one is value for value in inputs) for one in maps]
            if came[0] != came[1]:  # an addition may be a module of its own, into which both have come
                maps = maps[::-1] if came[0] else maps  # x + F(x), not F(x) + x
                break
        branch, shortcut = (value.clone() for value in maps)  # the sum may be written over one of them
        total = func(*args, **kwargs or {})
        self.found.append(Addition(path, shortcut, branch, total.clone()))
        return total
