"""How strongly each layer responds: the standard deviations of figure 7.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, "Analysis of Layer Responses",
      and figure 7: of each 3x3 layer the output after batch norm and before the nonlinearity or addition.
"""

import contextlib
import time

import torch
from torch import Tensor, nn

from ..nets.blocks import PreActBlock
from ..support.system import in_double
from .records import ResponseRecord, finite
from .subject import Subject, blocks_of


def responses(subject: Subject, *, images: int | None = 2000) -> ResponseRecord:
    """Return the standard deviation of each 3x3 convolution's response, over images, channels and pixels ([1]).

    A response is what comes out of the batch norm after the convolution, in eval mode; without batch norm, and in a net
    of `PreActBlock`s, whose batch norms belong to the convolutions after them, it is the convolution's own output.

    images: of the test set, drawn by the subject's seed; None for all.

    Raises `TypeError` for another net than a `ResNet`.
    """
    start = time.perf_counter()
    with subject.examined() as net:
        batches = subject.batches("test", images)
        places = response_places(net)
        totals = {name: torch.zeros(3, dtype=torch.float64) for name in places}

        def add(name: str, values: Tensor) -> None:
            """Add count, sum and sum of squares of a response, in double precision."""
            values = in_double(values.detach())
            sums = values.new_tensor(values.numel()), values.sum(), values.square().sum()
            totals[name] += torch.stack(sums).cpu()

        with contextlib.ExitStack() as hooks, torch.no_grad():
            for name, module in places.items():
                hooks.enter_context(module.register_forward_hook(lambda _m, _i, out, name=name: add(name, out)))
            for pixels, _ in batches:
                net(pixels)
    sums = [total.tolist() for total in totals.values()]
    deviations = [finite(max(0.0, squares / count - (sum_ / count) ** 2) ** 0.5) for count, sum_, squares in sums]
    return ResponseRecord(layers=list(places), deviations=deviations, **subject.header("test", batches, start))


def response_places(net: nn.Module) -> dict[str, nn.Module]:
    """Return the name of each 3x3 convolution -> the module whose output is its response: itself or its batch norm."""
    parts = {"": net}
    parts |= {f"{name}.{i}.": block for name, stage in blocks_of(net).items() for i, block in enumerate(stage)}
    found = {}
    for prefix, part in parts.items():
        for name, conv in part.named_children():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                norm = None if isinstance(part, PreActBlock) else getattr(part, name.replace("conv", "bn"))
                found[prefix + name] = norm or conv
    return found
