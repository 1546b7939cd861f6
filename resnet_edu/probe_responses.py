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

from .blocks import PreActBlock
from .devices import in_double
from .probe_records import ResponseRecord, finite
from .probe_tools import Subject, count_images


def responses(subject: Subject, *, part: str = "test", images: int | None = 2000) -> ResponseRecord:
    """Return the standard deviation of each 3x3 convolution's response, over images, channels and pixels ([1]).

    A response is what comes out of the batch norm after the convolution, in eval mode; of a net without batch norm and
    of a pre-activation block, where none follows, it is the convolution's own output.

    images: of `part` ("train" or "test"), drawn by the subject's seed; None for all.

    Raises `ValueError` for a net without a 3x3 convolution, or images as `Subject.batches`.
    """
    start = time.perf_counter()
    with subject.examined() as net:
        places = response_places(net)
        if not places:
            raise ValueError(f"{subject.name} has no 3x3 convolution whose response could be measured")
        batches = subject.batches(part, images)
        totals = {name: torch.zeros(3, dtype=torch.float64) for name in places}
        with contextlib.ExitStack() as hooks, torch.no_grad():
            for name, module in places.items():
                handle = module.register_forward_hook(lambda _m, _i, out, name=name: _add(totals[name], out))
                hooks.callback(handle.remove)
            for pixels, _ in batches:
                net(pixels)
    deviations = [finite(_deviation(total)) for total in totals.values()]
    return ResponseRecord(
        layers=list(places), deviations=deviations, **subject.header(part, count_images(batches), start)
    )


def response_places(net: nn.Module) -> dict[str, nn.Module]:
    """Return the name of each 3x3 convolution -> the module whose output is its response.

    The batch norm after `conv1` is its neighbour `bn1`, as everywhere in `blocks.py` and in torchvision.
    """
    places = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            parent = net.get_submodule(name.rpartition(".")[0])
            after = getattr(parent, name.rpartition(".")[2].replace("conv", "bn"), None)
            norm_comes_first = isinstance(parent, PreActBlock) or not isinstance(after, nn.BatchNorm2d)
            places[name] = module if norm_comes_first else after
    return places


def _add(total: Tensor, values: Tensor) -> None:
    """Add count, sum and sum of squares of `values` to `total`, in double precision."""
    values = in_double(values.detach())
    total += torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()]).cpu()


def _deviation(total: Tensor) -> float:
    count, first, second = total.tolist()
    return max(0.0, second / count - (first / count) ** 2) ** 0.5
