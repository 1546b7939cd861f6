"""One way of showing progress: a bar on standard error, in terminals and notebooks alike.

Source: tqdm's documentation of `bar_format` and `mininterval`.
"""

from __future__ import annotations

import sys
from typing import Any

from tqdm.std import tqdm  # not tqdm.auto: its notebook widget vanishes from a page that is built from the notebook


def make_bar(total: float, description: str, *, show: bool = True, **options: Any) -> tqdm:
    """Return a tqdm bar that leaves no line behind when it is closed.

    A file or a pipe (a log) keeps every redraw, so it gets one in ten seconds; a terminal and a notebook get ten a
    second.
    """
    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    pace = {"mininterval": 0.1 if live else 10.0, "maxinterval": 10.0, "dynamic_ncols": True}
    return tqdm(total=total, desc=description, file=sys.stderr, disable=not show, leave=False, **pace | options)
