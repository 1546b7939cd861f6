"""The machine and the code: devices, computing threads, the versions that a record names, and a progress bar."""

import contextlib
import importlib
import os
import platform
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.std import tqdm  # not tqdm.auto: its notebook widget vanishes from a page that is built from the notebook

from .. import __version__
from .validate import shown


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device called `name`: "cpu", "cuda", "cuda:1", "mps", or for "auto" the fastest that is there.

    Raises `ValueError` for an unknown name and `RuntimeError` for a device that this machine does not have.
    """
    has_mps = torch.backends.mps.is_available()
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError):
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"`device` must be auto, cpu, cuda or mps, but it is {shown(name)}")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count()
        raise RuntimeError(f"device {str(name)!r} was asked for, but PyTorch sees {count} CUDA devices: use 'cpu'")
    if device.type == "mps" and not has_mps:
        raise RuntimeError("device 'mps' was asked for, but this is no Mac with a GPU that PyTorch can use: use 'cpu'")
    return device


def layout(device: torch.device) -> torch.memory_format:
    """Return how images and weights lie in the memory of a device: channels last, which is faster, but not on MPS.

    There batch norm gives wrong gradients for such images, without an error (github.com/pytorch/pytorch/issues/175189).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def device_name(device: torch.device) -> str:
    """Return what the device, or the processor, is called by its maker, as far as the system tells it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "unknown processor"


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def import_here(module: str) -> ModuleType:
    """Return a module by its name; the current directory can be imported from, as by `python -m`."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(module)


def free_memory() -> int | None:
    """Return how many bytes are free on this machine, at most as many as its container may have; None if unknown."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # of control groups, versions 2 and 1
        with contextlib.suppress(OSError, ValueError):
            found.append(int(Path("/sys/fs/cgroup", limit).read_text()))
    return min(found, default=None)


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


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """Put the generators of random numbers of Python, NumPy and torch back afterwards."""
    python, array = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()):
            yield
    finally:
        random.setstate(python), np.random.set_state(array)


def prepare_process(threads: int) -> None:
    """Set a fresh process up for training on the processor: `threads` threads, and denormal numbers flushed to zero.

    Numbers below 1e-38 arise in deep nets, and arithmetic on them is up to 6 times slower. The switch belongs to
    a thread and is inherited by threads that it starts, so call this before anything else is computed.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)


def now() -> str:
    """Return the present time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy", "scikit-learn", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def code_version() -> dict[str, str | None]:
    """Return the package's version and, in a checkout of its own, what `git describe` calls the commit."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # installed inside somebody else's checkout: not our commit
        return {"version": __version__, "git": git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")}
    except (OSError, subprocess.SubprocessError):
        return {"version": __version__, "git": None}


def make_bar(total: float, description: str, *, show: bool = True, **options: Any) -> tqdm:
    """Return a tqdm bar on standard error that leaves no line behind when it is closed."""
    # A terminal and a notebook get ten redraws a second. A file keeps every one, so it gets one in ten seconds.
    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    pace = {"mininterval": 0.1 if live else 10.0, "maxinterval": 10.0, "dynamic_ncols": True}
    return tqdm(total=total, desc=description, file=sys.stderr, disable=not show, leave=False, **pace | options)
