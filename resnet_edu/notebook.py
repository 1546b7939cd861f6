"""The start of a chapter: which versions run, and where it computes.

Scope: what the set-up cell of every chapter calls once `resnet_edu` is there. Installing is the cell's own business
(`book/setup_cell.py`): a package that is missing cannot install itself.
"""

from __future__ import annotations

import matplotlib
import torch

from . import __version__
from .devices import device_name, resolve_device
from .figure import STYLE

ON_PAPER = {"figure.facecolor": "white", "axes.facecolor": "white"}  # a picture of one's own has no page behind it


def start(device: str | torch.device = "auto") -> torch.device:
    """Begin a chapter: print the versions and the device, set matplotlib's style, and return the device.

    device: "auto" (a CUDA card, else an Apple graphics unit, else the processor), or what `torch.device` takes.

    Plots that a reader makes with matplotlib get the book's sizes and grid, on white. Random numbers, the number of
    threads and all else in the process are left alone.
    Raises `ValueError` for an unknown device and `RuntimeError` for one that this machine does not have.
    """
    found = resolve_device(device)
    matplotlib.rcParams.update(STYLE | ON_PAPER)
    where = f"{found} ({device_name(found)})"
    if found.type == "cpu":
        threads = torch.get_num_threads()
        where = f"the processor ({device_name(found)}, {threads} thread{'s' * (threads != 1)})"
    print(f"resnet_edu {__version__}, torch {torch.__version__}\ncomputing on {where}")
    return found
