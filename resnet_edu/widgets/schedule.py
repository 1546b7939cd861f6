"""The schedule explorer: the learning rate of each update, falling in steps or along a cosine, with a warm-up.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: the steps.
  [2] Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5: the cosine.
  [3] Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2: the gradual warm-up.
"""

from __future__ import annotations

import numpy as np
import traitlets

from ..support.table import Column, Table
from .base import Explorer, Whole, module

SHAPES = ("steps", "cosine", "constant")
PEAKS = (0.3, 0.1, 0.03, 0.01)
SHARES = (1 / 2, 1 / 10, 1 / 100)  # of the peak: where the table's rows end
MOST = 100_000  # updates


class ScheduleExplorer(Explorer):
    """The learning rate over a training, as a curve, and how many updates are made at which rate.

    shape:  "steps" (divided by 10 at two milestones), "cosine" or "constant".
    peak:   the highest rate: one of `PEAKS`.
    steps:  updates of the whole training.
    first, second: the milestones, in percent of `steps`.
    warmup: updates over which the rate rises to its peak; 0 for none.
    update: the one whose rate is read off, from 1.

    Raises `traitlets.TraitError` for a wrong value.
    """

    _esm = module("schedule")
    _explorer = traitlets.Unicode("schedule").tag(sync=True)
    shape = traitlets.Enum(SHAPES, "steps").tag(sync=True)
    peak = traitlets.Enum(PEAKS, 0.1).tag(sync=True)
    steps = Whole(64_000, 100, MOST).tag(sync=True)
    first = Whole(50, 1, 100).tag(sync=True)
    second = Whole(75, 1, 100).tag(sync=True)
    warmup = Whole(0, 0, 10_000).tag(sync=True)
    update = Whole(32_001, 1, MOST).tag(sync=True)

    def rates(self) -> np.ndarray:
        """Return the rate of each update: (steps,)."""
        done = np.arange(self.steps)  # before it
        if self.shape == "steps":
            rates = self.peak / 10.0 ** sum(done >= share * self.steps // 100 for share in (self.first, self.second))
        else:
            along = (done - self.warmup) / max(1, self.steps - self.warmup)
            rates = self.peak * ((1 + np.cos(np.pi * along)) / 2 if self.shape == "cosine" else np.ones_like(along))
        return np.where(done < self.warmup, self.peak * (done + 1) / max(1, self.warmup), rates)

    def static_html(self) -> str:
        """Return a table of how many updates are made at which rate."""
        edges = [np.inf, *(self.peak * share for share in SHARES), 0]
        names = [f"{edges[1]:g} and more", f"{edges[2]:g} to {edges[1]:g}", f"{edges[3]:g} to {edges[2]:g}"]
        rates = self.rates() * (1 + 1e-9)  # of rounding
        rows = [
            {"rate": name, "updates": f"{np.sum((rates >= low) & (rates < high)):,}"}
            for name, high, low in zip([*names, f"below {edges[3]:g}"], edges, edges[1:], strict=False)
        ]
        return Table(
            "Updates at each rate", [Column("rate", "rate"), Column("updates", "updates", True)], rows
        ).to_html()
