"""One update: augment a batch on the device, forward, loss, backward, SGD; as fast as the device allows.

On CUDA the update is recorded once as a CUDA graph and replayed, because nets this small wait for the processor to
launch their hundreds of kernels ([1]). What is random is drawn by the caller, on the processor.

Precision: "float32", or "bfloat16" for mixed precision ([2]): convolutions, matrix products and the values between the
layers in bfloat16, while batch norm computes its statistics in float32, and weights, their gradients, the momentum and
the loss stay float32. "auto" is bfloat16 on CUDA cards that compute with it (compute capability 8.0), else float32.

Sources
  [1] PyTorch's documentation, "CUDA semantics", CUDA Graphs: whole-network capture.
  [2] PyTorch's documentation of `torch.autocast`, op lists; Micikevicius et al., "Mixed Precision Training", ICLR 2018.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Batches
from ..support.validate import one_of
from .group import ALONE, Group
from .recipe import Recipe

PRECISIONS = ("auto", "float32", "bfloat16")
GRAPH_WARMUP = 3  # updates done one by one before the recording: libraries choose their algorithms in them


def resolve_precision(name: str, device: torch.device) -> str:
    """Return "float32" or "bfloat16" for `name`, one of `PRECISIONS`, on a device.

    Raises `ValueError` for another name, and for bfloat16 on a device that has no mixed precision here.
    """
    if one_of("precision", name, PRECISIONS) == "auto":
        fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return "bfloat16" if fast else "float32"
    if name == "bfloat16" and device.type not in ("cpu", "cuda"):
        raise ValueError(f"precision 'bfloat16' is for cpu and cuda, but the device is {device.type}: use 'float32'")
    return name


def mixed(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which nets compute in `precision` ("float32" or "bfloat16") on a device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextlib.contextmanager
def exact(device: torch.device, precision: str) -> Iterator[None]:
    """Make CUDA compute reproducibly, and in true float32 where that is asked for; leave the settings as they were.

    By default PyTorch shortens the factors of float32 convolutions to TF32, with 10 bits of mantissa.
    """
    if device.type != "cuda":
        yield
        return
    tf32, before = precision != "float32", torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class Stepper:
    """Updates a model in place by `torch.optim.SGD`.

    model:     (B, C, H, W) -> (B, classes), on the device, in training mode when it is called.
    precision: "float32" or "bfloat16".
    group:     the processes that share each update; each computes its part of the batch, and all do the same update.
    graph:     whether updates are replayed from a CUDA graph; it turns False, with a warning that gives the reason,
               where a net cannot be recorded (one that decides by its values what to compute, say).
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        recipe: Recipe,
        precision: str = "float32",
        group: Group = ALONE,
    ) -> None:
        self.model, self.batches, self.precision, self.group = group.wrap(model), batches, precision, group
        self.device = batches.device
        on_cuda = self.device.type == "cuda"
        self.graph = on_cuda and group.size == 1
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            # In a graph the numbers are fixed, but a tensor can be refilled between replays.
            torch.tensor(recipe.lr, device=self.device) if on_cuda else recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=on_cuda or None,
        )
        self._stream = torch.cuda.Stream(self.device) if self.graph else None  # to warm up and record on ([1])
        self._recorded: torch.cuda.CUDAGraph | None = None
        self._picks: Tensor | None = None  # where a replay reads its picks,
        self._result: tuple[Tensor, Tensor] | None = None  # and leaves loss and number of wrong answers
        self._done = 0

    def __call__(self, picks: Tensor, lr: float) -> tuple[list[float], list[int]]:
        """Do one update for each of the `picks` and return mean losses (nats) and wrong answers before the updates.

        picks: int64 (K, 4, B), or (K, 1, B) without augmentation, on the processor: see `Batches.draw`.
        """
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        picks = self.group.share(picks).to(self.device)  # one copy for all
        results = [self._update(pick) for pick in picks]
        losses, wrong = torch.stack([loss for loss, _ in results]), torch.stack([n for _, n in results])
        values = self.group.sums([*losses.tolist(), *wrong.tolist()], self.device)  # the only wait for the device
        return [loss / self.group.size for loss in values[: len(results)]], values[len(results) :]

    def _update(self, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Do one update, picks: (4 or 1, B); by the graph, after its warm-up. Return as `_compute` does."""
        self._done += 1
        if self.graph and self._recorded is None and self._done > GRAPH_WARMUP:
            self._record(picks)
        if not self.graph:
            return self._compute(picks)
        if self._recorded is None:
            return self._warm_up(picks)
        self._picks.copy_(picks)
        self._recorded.replay()
        loss, wrong = self._result
        return loss.clone(), wrong.clone()

    def _compute(self, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Do one update, picks: (4 or 1, B); return loss and number of wrong answers."""
        images, labels = self.batches.training(picks)  # (B, C, H, W), (B,)
        with mixed(self.device, self.precision):
            logits = self.model(images).float()  # (B, classes)
        loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), (logits.argmax(1) != labels).sum()

    def _warm_up(self, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Do an update on a stream of its own, as recording asks for."""
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            result = self._compute(picks)
        torch.cuda.current_stream(self.device).wait_stream(self._stream)
        return result

    def _record(self, picks: Tensor) -> None:
        """Record an update as a graph, without computing it. Where that fails, say so and go on without."""
        self._picks = picks.clone()
        self.optimizer.zero_grad(set_to_none=True)  # the gradients' memory must belong to the graph
        gc.collect()  # an old graph that is let go while this one is recorded would spoil it
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        try:
            # On a stream of this very card: by default, of the card that is current, and the recording would be empty.
            with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self._stream):
                self._result = self._compute(self._picks)
        except RuntimeError as error:
            torch.cuda.set_stream(before)  # PyTorch before 2.12 stays on the other one
            self.graph = False
            why = error.__context__ or error  # ending a recording that has failed is an error too
            warnings.warn(f"training goes on without a CUDA graph, more slowly: {why}", RuntimeWarning, stacklevel=2)
        else:
            self._recorded = graph
