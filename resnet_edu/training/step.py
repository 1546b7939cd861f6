"""One update: augment a batch on the device, forward, loss, backward, optimizer; as fast as the device allows.

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
from collections.abc import Iterator, Sequence

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

    Raises `RuntimeError` in one line, with the ways out, if the device's memory is not enough for what is done in it.
    """
    try:
        with _settings(precision) if device.type == "cuda" else contextlib.nullcontext():
            yield
    except torch.OutOfMemoryError:
        ways = "take smaller images, a smaller net or another device (--resize, --net, --device cpu)"
        raise RuntimeError(f"the memory of {device} is not enough: {ways}") from None


@contextlib.contextmanager
def _settings(precision: str) -> Iterator[None]:
    tf32, before = precision != "float32", torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """Return the name and the module of a net's head, its last linear layer. Raises `ValueError` without one."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer, so that it has no head to replace")
    return found[-1]


class Stepper:
    """Updates a model in place by `torch.optim.SGD` or `AdamW`.

    model:     (B, C, H, W) -> (B, classes), on the device, in training mode when it is called.
    group:     the processes that share each update; each computes its part of the batch, and all do the same update.
    graph:     whether updates are replayed from a CUDA graph; it turns False, with a warning that gives the reason,
               where a net cannot be recorded (one that decides by its values what to compute, say).
    """

    def __init__(
        self, model: nn.Module, batches: Batches, recipe: Recipe, precision: str = "float32", group: Group = ALONE
    ) -> None:
        self.model, self.batches, self.precision, self.group = group.wrap(model), batches, precision, group
        self.net, self.device, self._frozen = model, batches.device, False
        on_cuda = self.device.type == "cuda"
        self.graph = on_cuda and group.size == 1
        parts = [{"params": list(model.parameters()), "share": 1.0}]
        self._body: list[nn.Parameter] = []
        if recipe.frozen or recipe.body_share != 1:
            head = list(head_of(model)[1].parameters())
            others = (p for p in model.parameters() if all(p is not own for own in head))
            self._body = [p for p in others if p.requires_grad]
            parts = [{"params": self._body, "share": recipe.body_share}, {"params": head, "share": 1.0}]
        for part in parts:  # in a graph the numbers are fixed, but a tensor can be refilled between replays
            part["lr"] = torch.tensor(recipe.lr, device=self.device) if on_cuda else recipe.lr
        more = {"weight_decay": recipe.weight_decay, "fused": on_cuda or None}
        if recipe.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(parts, recipe.lr, momentum=recipe.momentum, **more)
        else:
            self.optimizer = torch.optim.AdamW(parts, recipe.lr, capturable=on_cuda, **more)
        self._stream = torch.cuda.Stream(self.device) if self.graph else None  # to warm up and record on ([1])
        self._recorded: torch.cuda.CUDAGraph | None = None
        self._picks: Tensor | None = None  # where a replay reads its picks,
        self._result: tuple[Tensor, Tensor] | None = None  # and leaves loss and number of wrong answers
        self._done = 0

    def prepare(self, frozen: bool) -> None:
        """Put the net into training mode; frozen: into evaluation mode, and only the head has gradients."""
        self.net.train(not frozen)
        if frozen != self._frozen:
            for parameter in self._body:
                parameter.requires_grad_(not frozen)
                parameter.grad = None
            self._frozen, self._recorded, self._done = frozen, None, 0
            self.model = self.group.wrap(self.net)  # it has to know which gradients there are

    def release(self) -> None:
        """Give the body its gradients back, however the training ended."""
        for parameter in self._body:
            parameter.requires_grad_(True)

    def __call__(self, picks: Tensor, lr: float | Sequence[float]) -> tuple[list[float], list[int]]:
        """Do one update for each of the `picks` and return mean losses (nats) and wrong answers before the updates.

        picks: int64 (K, P, B) on the processor: see `Batches.draw`.
        lr:    of all K updates, or of each.
        """
        picks = self.group.share(picks).to(self.device)  # one copy for all
        rates = lr if isinstance(lr, Sequence) else [lr] * len(picks)
        results = [self._update(pick, rate) for pick, rate in zip(picks, rates, strict=True)]
        losses, wrong = torch.stack([loss for loss, _ in results]), torch.stack([n for _, n in results])
        values = self.group.sums([*losses.tolist(), *wrong.tolist()], self.device)  # the only wait for the device
        return [loss / self.group.size for loss in values[: len(results)]], values[len(results) :]

    def _update(self, picks: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """Do one update, picks: (P, B); by the graph, after its warm-up. Return as `_compute` does."""
        for part in self.optimizer.param_groups:
            if isinstance(part["lr"], Tensor):
                part["lr"].fill_(lr * part["share"])
            else:
                part["lr"] = lr * part["share"]
        self._done += 1
        if self.graph and self._recorded is None and self._done > GRAPH_WARMUP:
            self._record(picks)
        if not self.graph:
            return self._compute(picks)
        if self._recorded is None:  # a warm-up, on a stream of its own, as recording asks for
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(self._stream):
                result = self._compute(picks)
            torch.cuda.current_stream(self.device).wait_stream(self._stream)
            return result
        self._picks.copy_(picks)
        self._recorded.replay()
        loss, wrong = self._result
        return loss.clone(), wrong.clone()

    def _compute(self, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Do one update, picks: (P, B); return loss and number of wrong answers."""
        images, labels = self.batches.training(picks)  # (B, C, H, W), (B,)
        with mixed(self.device, self.precision):
            logits = self.model(images).float()  # (B, classes)
        loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), (logits.argmax(1) != labels).sum()

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
