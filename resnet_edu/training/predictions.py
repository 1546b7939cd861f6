"""What a classifier says of images and, where the truth is known, how often and how it is wrong.

Source
  [1] Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927): the interval of a
      share that was counted, which stays within 0 and 1 and is of use for few images too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.folder import read_images
from ..support.table import Column, Table


def error_interval(wrong: int, images: int) -> tuple[float, float, float]:
    """Return the error of `images`, 1 or more, and the ends of its 95% interval ([1]), all in percent."""
    from scipy.stats import binomtest  # here, because it takes a second to import

    found = binomtest(wrong, images).proportion_ci(0.95, "wilson")
    return 100 * wrong / images, 100 * found.low, 100 * found.high


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """What a classifier says of N images. It prints as a table, and shows as one in a notebook.

    classes:       names of the K classes.
    names:         of the images: the paths of their files, or "image 0", "image 1", ...
    probabilities: float32 (N, K).
    pixels:        of the images, uint8 (N, C, H, W), if they were given so, or else their shape (C, H, W) for reading.
    known:         bool (N,): the net was trained on this very image, so that its answer proves nothing.
    truth:         int64 (N,), or None.
    """

    classes: tuple[str, ...]
    names: Sequence[str]
    probabilities: Tensor
    pixels: Tensor | tuple[int, int, int]
    known: Tensor
    truth: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image."""
        return [self.classes[k] for k in self.probabilities.argmax(1).tolist()]

    def pick(self, which: Tensor) -> Predictions:
        """Return those of some images: which is bool (N,), or int64 indices in the order wished for."""
        places = which.nonzero()[:, 0] if which.dtype == torch.bool else which
        names = [self.names[i] for i in places.tolist()]
        pixels = self.pixels[places] if isinstance(self.pixels, Tensor) else self.pixels
        truth = None if self.truth is None else self.truth[places]
        return Predictions(self.classes, names, self.probabilities[places], pixels, self.known[places], truth)

    def images(self, count: int | None = None) -> Tensor:
        """Return the first images as the net got them, uint8 (N, C, H, W)."""
        if isinstance(self.pixels, Tensor):
            return self.pixels[:count].cpu()
        return torch.from_numpy(read_images(self.names[:count], self.pixels)[0])

    def wrong(self, count: int | None = None) -> Predictions:
        """Return those of the mistakes, the worst first: where the truth was thought least probable."""
        truth = self._known_truth()
        given = self.probabilities.gather(1, truth[:, None])[:, 0]
        order = given.argsort(stable=True)
        return self.pick(order[(self.probabilities.argmax(1) != truth)[order]][:count])

    def confusion(self) -> np.ndarray:
        """Return how many images of each class (rows) are taken for which (columns), int64 (K, K)."""
        count = len(self.classes)
        pairs = self._known_truth() * count + self.probabilities.argmax(1)
        return np.bincount(pairs.numpy(), minlength=count**2).reshape(count, count)

    def confusion_table(self) -> Table:
        """Return `confusion()` as a table."""
        said = [f"as {name}" for name in self.classes]
        counts = zip(self.classes, self.confusion().tolist(), strict=True)
        rows = [{"truth": name} | dict(zip(said, row, strict=True)) for name, row in counts]
        columns = [Column("truth", "truth"), *(Column(name, name, True) for name in said)]
        return Table(f"Confusion matrix of {len(self):,} images", columns, rows, results=True)

    def errors(self) -> Table:
        """Return the error of each class that is there, and of all, with 95% intervals ([1])."""
        matrix = self.confusion()
        images, right = [*matrix.sum(1).tolist(), int(matrix.sum())], [*matrix.diagonal().tolist(), int(matrix.trace())]
        records = []
        for name, count, good in zip((*self.classes, "all"), images, right, strict=True):
            if count:
                ends = dict(zip(("error", "low", "high"), error_interval(count - good, count), strict=True))
                records.append({"class": name, "images": count, "wrong": count - good, **ends})
        rows = [r | {"error": f"{r['error']:.1f}", "interval": f"{r['low']:.1f} to {r['high']:.1f}"} for r in records]
        columns = [Column("class", "class"), Column("images", "images", True), Column("wrong", "wrong", True)]
        columns += [Column("error", "error %", True), Column("interval", "95% interval", True)]
        return Table("Errors", columns, rows[:-1], rows[-1], records=records, fields=list(records[0]), results=True)

    def table(self) -> Table:
        """Return a row an image: its label, the probability of it, and what comes next; fields have every class."""
        records, rows = [], []
        for i, (name, label) in enumerate(zip(self.names, self.labels, strict=True)):
            chances = dict(zip(self.classes, self.probabilities[i].tolist(), strict=True))
            record = {"image": name, "label": label, "probability": chances[label]}
            if self.truth is not None:
                record["truth"] = self.classes[int(self.truth[i])]
            records.append(record | {"trained_on": bool(self.known[i])} | {f"p({c})": p for c, p in chances.items()})
            after = sorted(chances, key=chances.get, reverse=True)[1:3]
            rest = ", ".join(f"{c} {100 * chances[c]:.1f}" for c in after)
            rows.append(record | {"probability": f"{100 * chances[label]:.1f}", "rest": rest})
        columns = [Column("image", "image"), Column("label", "label"), Column("probability", "probability %", True)]
        columns += [Column("rest", "then"), *([] if self.truth is None else [Column("truth", "truth")])]
        count = int(self.known.sum())
        notes = [f"{count:,} of {len(self):,} images are among those that the net was trained on."] if count else []
        fields = list(records[0]) if records else None
        return Table("Predictions", columns, rows, records=records, fields=fields, notes=notes, results=True)

    def _known_truth(self) -> Tensor:
        if self.truth is None or not len(self):
            raise ValueError("there are no images with labels: give a folder of class folders, or `truth`")
        return self.truth

    def __repr__(self) -> str:
        return self.table().to_text()

    def _repr_html_(self) -> str:
        return self.table().to_html()
