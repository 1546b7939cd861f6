"""Where to compute: finding a device, naming it, and setting a process up for training on the processor.

Source
  [1] PyTorch's documentation of `torch.set_flush_denormal` and of the CPU threading model.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import Tensor

from .records import processor_name


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device called `name`: "cpu", "cuda", "cuda:1", "mps", or for "auto" the fastest that is there.

    Raises `ValueError` for an unknown name and `RuntimeError` for a device that this machine does not have.
    """
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"`device` must be auto, cpu, cuda or mps, but it is {str(name)!r}") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"`device` must be auto, cpu, cuda or mps, but it is {str(name)!r}")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise RuntimeError(
            f"device {str(name)!r} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices: use "
            "device 'cpu', or check the driver and that this PyTorch was built for CUDA"
        )
    if device.type == "mps" and not _has_mps():
        raise RuntimeError("device 'mps' was asked for, but this is no Mac with a graphics unit for PyTorch: use 'cpu'")
    return device


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def device_name(device: torch.device) -> str:
    """Return what the device is called by its maker, as far as the system tells it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_double(values: Tensor) -> Tensor:
    """Return `values` in double precision; on the processor if they come from MPS, which has no such numbers."""
    return (values.cpu() if values.device.type == "mps" else values).double()


@contextlib.contextmanager
def computing_threads(count: int) -> Iterator[None]:
    """Compute with `count` threads meanwhile: on the processor the last digits depend on how many share out a sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare_process(threads: int) -> None:
    """Set a fresh process up for training on the processor: `threads` threads, and denormal numbers flushed to zero.

    Numbers below 1e-38 arise in deep nets, and arithmetic on them is up to 6 times slower ([1]). The switch belongs to
    a thread and is inherited by threads that it starts, so call this before anything else is computed.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
