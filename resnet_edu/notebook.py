"""What a chapter calls beside its subject: `start`, which says what runs and where, `show_source` and `table`."""

import inspect
import textwrap
from collections.abc import Callable, Mapping

import matplotlib
import torch
from IPython.display import Markdown
from torch import nn

from . import __version__
from .figures.style import STYLE
from .support.system import device_name, resolve_device
from .support.table import Column, Table

WHITE = {"figure.facecolor": "white", "axes.facecolor": "white"}  # a picture of one's own has no page behind it


def start(device: str | torch.device = "auto") -> torch.device:
    """Begin a chapter: print the versions and the device (see `resolve_device`), and return the device.

    Plots that a reader makes with matplotlib get the book's sizes and grid, on white.
    """
    found = resolve_device(device)
    matplotlib.rcParams.update(STYLE | WHITE)
    where = f"{found} ({device_name(found)})"
    if found.type == "cpu":
        threads = torch.get_num_threads()
        where = f"the processor ({device_name(found)}, {threads} thread{'s' * (threads != 1)})"
    print(f"resnet_edu {__version__}, torch {torch.__version__}\ncomputing on {where}")
    return found


def show_source(*functions: Callable[..., object]) -> Markdown:
    """Return the source of functions, methods or classes, one below the other, as a notebook shows it.

    A chapter shows what runs instead of a copy that could differ. An `nn.Module` object stands for its class.

    Raises `TypeError` for one that is not written in Python (such as `torch.relu`).
    """
    sources = (inspect.getsource(type(f) if isinstance(f, nn.Module) else f) for f in functions)
    text = "\n\n".join(textwrap.dedent(source).rstrip() for source in sources)
    return Markdown(f"```python\n{text}\n```")


def table(caption: str, rows: Mapping[str, Mapping[str, object]], first: str = "network") -> Table:
    """Return a table of results, name -> {heading: value}; `first` is the heading of the names."""
    headings = dict.fromkeys(heading for row in rows.values() for heading in row)
    columns = [Column("", first), *(Column(heading, heading, True) for heading in headings)]
    return Table(caption, columns, [{"": name, **row} for name, row in rows.items()], results=True)
