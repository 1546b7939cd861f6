"""The start of a chapter: which versions run, and where it computes.

Scope: what the set-up cell of every chapter calls once `resnet_edu` is there. Installing is the cell's own business
(`tools/book/chapter_files.py`): a package that is missing cannot install itself.

--- The source of a function, shown where a chapter talks about it, instead of a copy that could differ from what runs.

Scope: one function. What is shown is Markdown in a notebook, so that JupyterLab, Colab and the built page each
highlight it in their own colours, and plain text elsewhere.

Source
  [1] IPython's documentation, "Rich display": `_repr_markdown_`.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
import torch
from torch import nn

from . import __version__
from .figures.style import STYLE
from .support.system import device_name, resolve_device

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


@dataclass(frozen=True)
class Source:
    """Python source that shows itself: highlighted in a notebook, as it is by `print`."""

    text: str

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def show_source(*functions: Callable[..., object]) -> Source:
    """Return the source of functions, methods or classes, one below the other, without their indentation.

    An `nn.Module` object stands for its class.

    Raises `TypeError` for no object, or for one that is not written in Python (such as `torch.relu`); `OSError` where
    its file is not there.

    >>> from resnet_edu.blocks import PlainBlock
    >>> print(str(show_source(PlainBlock.forward)).splitlines()[0])
    def forward(self, x: Tensor) -> Tensor:
    """
    if not functions:
        raise TypeError("`show_source` needs a function, a method or a class to show, but got none")
    return Source("\n\n".join(_source(function) for function in functions))


def _source(function: object) -> str:
    if isinstance(function, nn.Module):
        function = type(function)
    try:
        text = inspect.getsource(function)
    except TypeError:
        raise TypeError(
            f"{function!r} has no Python source to show: give a function, a method or a class written in Python"
        ) from None
    return textwrap.dedent(text).rstrip()
