"""How strongly each layer responds: the standard deviations of figure 7.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, "Analysis of Layer Responses",
      and figure 7: of each 3x3 layer the output after batch norm and before the nonlinearity or addition.
"""

from __future__ import annotations

import contextlib
import time

import torch
from torch import Tensor, nn

from ..nets.blocks import PreActBlock
from ..support.system import in_double
from .records import ResponseRecord, finite
from .subject import Subject


def responses(subject: Subject, *, part: str = "test", images: int | None = 2000) -> ResponseRecord:
    """Return the standard deviation of each 3x3 convolution's response, over images, channels and pixels ([1]).

    A response is what comes out of the batch norm after the convolution, in eval mode; where no batch norm takes the
    convolution's output as it is, and in a net of `PreActBlock`s, whose batch norms belong to the convolutions after
    them, it is the convolution's own output. A convolution that the net does not call has none.

    images: of `part` ("train" or "test"), drawn by the subject's seed; None for all.

    Raises `ValueError` for a net without a 3x3 convolution, or images as `Subject.batches`.
    """
    start = time.perf_counter()
    with subject.examined() as net:
        batches = subject.batches(part, images)
        places = response_places(net, batches[0][0][:2])
        if not places:
            raise ValueError(f"{subject.name} has no 3x3 convolution whose response could be measured")
        totals = {name: torch.zeros(3, dtype=torch.float64) for name in places}
        with contextlib.ExitStack() as hooks, torch.no_grad():
            for name, module in places.items():
                hooks.enter_context(
                    module.register_forward_hook(lambda _m, _i, out, name=name: _add(totals[name], out))
                )
            for pixels, _ in batches:
                net(pixels)
    deviations = [finite(_deviation(*total.tolist())) for total in totals.values()]
    return ResponseRecord(layers=list(places), deviations=deviations, **subject.header(part, batches, start))


@torch.no_grad()
def response_places(net: nn.Module, images: Tensor) -> dict[str, nn.Module]:
    """Return the name of each 3x3 convolution -> the module whose output is its response: itself or a batch norm.

    Found in one pass of `images` (B, C, H, W): a batch norm comes after a convolution if the very tensor that left the
    one enters the other, and nothing has written into it in between.
    """
    before = {m for block in net.modules() if isinstance(block, PreActBlock) for m in block.children()}
    left: list[tuple[nn.Module, Tensor, int]] = []
    found: dict[nn.Module, nn.Module] = {}

    def leave(conv: nn.Module, _inputs: object, out: Tensor) -> None:
        left.append((conv, out, out._version))
        found.setdefault(conv, conv)

    def enter(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for conv, out, version in left:
            if inputs[0] is out and out._version == version:
                found[conv] = norm

    with contextlib.ExitStack() as hooks:
        for module in net.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                hooks.enter_context(module.register_forward_hook(leave))
            elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module not in before:
                hooks.enter_context(module.register_forward_pre_hook(enter))
        net(images)
    return {name: found[module] for name, module in net.named_modules() if module in found}


def _add(total: Tensor, values: Tensor) -> None:
    """Add count, sum and sum of squares of `values` to `total`, in double precision."""
    values = in_double(values.detach())
    total += torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()]).cpu()


def _deviation(count: float, sum_: float, squares: float) -> float:
    return max(0.0, squares / count - (sum_ / count) ** 2) ** 0.5
