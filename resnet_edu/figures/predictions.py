"""Drawings of what a trained net does with photos: its worst mistakes, and what it adds where."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..probes.additions import Addition
from ..training.predictions import Predictions
from .charts import images
from .style import Picture


def mistakes(predictions: Predictions, count: int = 12, caption: str | None = None) -> Picture:
    """Return the worst mistakes, what they are and what was said. Raises `ValueError` without labels or mistakes."""
    worst = predictions.wrong(count)
    if not len(worst):
        raise ValueError("there is no mistake to draw: all images are recognised")
    chances = worst.probabilities.amax(1).tolist()
    said = [
        f"{worst.classes[int(k)][:12]}: {label[:12]} {100 * p:.0f}%"
        for k, label, p in zip(worst.truth, worst.labels, chances, strict=True)
    ]
    title = "The worst mistakes: what it is, and what the net says"
    return images(worst.images(), said, columns=4, title=title, caption=caption)


def maps(found: Sequence[Addition], title: str = "What is added", caption: str | None = None) -> Picture:
    """Return a line for each addition: x, F(x) and their sum for the first image, averages over the channels' squares.

    The three of one addition have one scale: white is the largest of their values, black is 0.

    Raises `ValueError` for a net without additions.
    """
    if not found:
        raise ValueError("this net has no addition: there is nothing to draw")
    size = found[0].total.shape[-2:]  # later maps are smaller; their pixels are drawn larger
    shown, names = [], []
    for addition in found:
        three = torch.stack([addition.shortcut[0], addition.branch[0], addition.total[0]])  # (3, C, H, W)
        strength = three.float().square().mean(1, keepdim=True).sqrt()
        shown.append(F.interpolate(strength / strength.max().clamp_min(1e-12), size))
        means = three.float().square().mean((1, 2, 3)).sqrt().tolist()
        path = addition.path or "net"
        names += [f"{path}: x {means[0]:.2g}", f"F(x) {means[1]:.2g}", f"sum {means[2]:.2g}"]
    return images(torch.cat(shown).cpu(), names, columns=3 if len(found) < 9 else 6, title=title, caption=caption)
