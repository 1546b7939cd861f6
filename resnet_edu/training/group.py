"""One net on several GPUs, or in several processes, started by torchrun ([1]); in one process all of this does nothing.

Every process draws the same batch, in the same order with the same augmentation, and takes its share of it.
`DistributedDataParallel` averages the gradients, so that every process does the same update: the one of the whole
batch, but for batch norm, which each process computes over its own share; evaluations use the running averages of the
first process. With two processes and a batch of 128 that is "a mini-batch size of 128 on two GPUs" ([2], section 4.2)
in a framework that computes batch norm on each GPU; with more processes it is another, noisier, experiment.

Sources
  [1] PyTorch's documentation of `torchrun`: RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE.
  [2] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = datetime.timedelta(hours=1)  # for what the others wait for: the first process may be downloading the data


@dataclass(frozen=True)
class Group:
    """The processes that train one net together, seen from that with the number `rank`; alone by default."""

    rank: int = 0
    size: int = 1

    def share(self, picks: Tensor) -> Tensor:
        """Return this process's part of picks (K, P, B), see `data.Batches.draw`: (K, P, B / size)."""
        return picks.chunk(self.size, dim=-1)[self.rank]

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return what to call in training: `model`, or around it what averages the gradients of all processes."""
        if self.size == 1:
            return model
        device = next(model.parameters()).device
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def sums(self, values: list[float], device: torch.device) -> list[float]:
        """Return the sum of each value over all processes; every process gets the very same numbers."""
        if self.size == 1:
            return values
        totals = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(totals)
        return totals.tolist()

    def greatest(self, number: int, device: torch.device | str) -> int:
        """Return the greatest number that a process has; every process gets it."""
        if self.size == 1:
            return number
        found = torch.tensor(number, device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def barrier(self) -> None:
        """Wait until all the processes have come here."""
        if self.size > 1:
            dist.barrier()

    def share_buffers(self, model: nn.Module) -> None:
        """Give the model's buffers (running averages of batch norm) everywhere the values of the first process."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def from_first(self, value: Any) -> Any:
        """Return the `value` that the first process has."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    @contextlib.contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Let the others wait until the first process has left this context: it may write files that they read."""
        if self.rank:
            self.barrier()
        yield
        if not self.rank:
            self.barrier()


ALONE = Group()


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[tuple[Group, str]]:
    """Join the processes that torchrun started, and leave them in the end: gives the group and this one's device.

    device: "auto", "cpu", "cuda" or "mps"; with torchrun "cuda" becomes "cuda:0", "cuda:1"... and "auto" is "cuda" or
            "cpu". NCCL connects the processes on CUDA, and Gloo on the processor.

    Raises `ValueError` for a device that cannot be shared out, `RuntimeError` for more processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield ALONE, device
        return
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise ValueError(f"with torchrun `device` must be auto, cpu or cuda (a GPU a process), but it is {device!r}")
    if device == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise RuntimeError(f"torchrun started a process for GPU {local}, but there are {gpus}: --nproc-per-node")
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device != "cpu" else "gloo", timeout=TIMEOUT)
    try:
        yield Group(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
