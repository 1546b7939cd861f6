"""Images in memory: scikit-learn's digits, CIFAR-10, or a folder; and the batches that a training loop asks for.

A `Dataset` holds all images as unsigned bytes. `Batches` keeps them on the computing device and makes normalised,
augmented float32 batches there, so that no worker process and no copy per batch is needed.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: per-pixel mean, 4 zero pixels
      of padding, random crop, random horizontal flip.
  [2] scikit-learn, `load_digits`: 1,797 grey images of 8x8 pixels, values 0 to 16 (UCI, "Optical Recognition of
      Handwritten Digits"; bundled, no download).
  [3] Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009: CIFAR-10.
  [4] torchvision, `transforms/transforms.py`, `RandomResizedCrop.get_params`: 8% to 100% of the area, sides 3:4 to 4:3.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..support.system import layout
from ..support.validate import of_type, one_of, shown, whole
from .cifar10 import load_cifar10
from .folder import ImageArrays, check_memory, read_folder

NORMALIZE = ("per_pixel_mean", "per_channel")
Normalize = str | tuple[Tensor, Tensor]  # one of `NORMALIZE`, or what `normalization` returns
UNEVEN = 10  # so many times as many images in one class as in another are worth a warning
_PIXELS = {"digits": "8x8", "cifar10": "32x32"}  # the sources whose images have one size

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification, whole in memory.

    name:         what it is called in tables and records.
    train_images: uint8 (N, C, H, W); C is 1 for grey and 3 for colour.
    train_labels: int64 (N,), indices into `classes`.
    test_images, test_labels: likewise, M of them.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.classes, tuple) or not all(isinstance(name, str) for name in self.classes):
            raise TypeError(f"`classes` must be a tuple of names, but it is {shown(self.classes)}")
        if not 2 <= len(self.classes) == len(set(self.classes)):
            raise ValueError(f"there must be two classes or more, each once, but `classes` is {shown(self.classes)}")
        for part in ("train", "test"):
            names = f"{part}_images", f"{part}_labels"
            images, labels = (of_type(name, getattr(self, name), Tensor) for name in names)
            if images.dtype != torch.uint8 or images.dim() != 4 or not images.numel():
                found = f"{images.dtype} {tuple(images.shape)}"
                raise ValueError(f"`{part}_images` must be a non-empty uint8 tensor (N, C, H, W), but it is {found}")
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                found = f"{labels.dtype} {tuple(labels.shape)}"
                raise ValueError(f"`{part}_labels` must be an int64 tensor ({len(images)},), but it is {found}")
            least, most, last = int(labels.min()), int(labels.max()), len(self.classes) - 1
            if least < 0 or most > last:
                raise ValueError(f"`{part}_labels` must lie in 0..{last} (`classes`), but they lie in {least}..{most}")
        if self.shape != self.test_images.shape[1:]:
            found = f"{self.shape} and {tuple(self.test_images.shape[1:])}"
            raise ValueError(f"training and test images must have one shape (C, H, W), but they have {found}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return tuple(self.train_images.shape[1:])

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all images, labels and class names."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for part in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(str(tuple(part.shape)).encode())
            digest.update(np.ascontiguousarray(part.cpu().numpy()))
        return digest.hexdigest()[:16]

    def head(self, train: int, test: int) -> Dataset:
        """Return the data set of `train` training and `test` test images, to try things out.

        These are the first ones where the classes are mixed, as in the digits and CIFAR-10. Where most images are
        followed by one of their own class, as in a folder, the same share of every class is drawn, always the same.
        """
        name = f"{self.name}[:{train}]"
        train = _few(self.train_labels, whole("train", train))
        test = _few(self.test_labels, whole("test", test))
        images, labels = self.train_images[train], self.train_labels[train]
        return Dataset(name, images, labels, self.test_images[test], self.test_labels[test], self.classes)

    def hold_out(self, count: int, seed: int = 0) -> Dataset:
        """Return the data set for choosing a recipe: `count` of the training images are tested on, the rest trained on.

        The same share of every class is drawn from `seed`, as nearly as `count` allows; the test images are left out,
        so that no choice can be made by them. Raises `ValueError` unless every class has an image on either side.
        """
        total = len(self.train_labels)
        whole("seed", seed, 0, 2**32 - 1), whole("count", count, len(self.classes), total - len(self.classes))
        _check_splittable(self.train_labels.numpy(), self.classes)
        held = torch.from_numpy(split_mask(self.train_labels.numpy(), count / total, seed))
        images, labels = self.train_images, self.train_labels
        name = f"{self.name}[{total - int(held.sum())}+{int(held.sum())} held out]"
        return Dataset(name, images[~held], labels[~held], images[held], labels[held], self.classes)

    def __repr__(self) -> str:
        n, m, (c, h, w) = len(self.train_images), len(self.test_images), self.shape
        return f"Dataset({self.name!r}: {n} + {m} images of {c}x{h}x{w}, {len(self.classes)} classes)"

    def __reduce__(self) -> tuple:
        # As NumPy arrays: torch would send tensors through shared memory, which is 64 MB small in many containers.
        parts = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        return _from_arrays, (ImageArrays(self.name, *(p.cpu().numpy() for p in parts), self.classes),)


def _from_arrays(found: ImageArrays) -> Dataset:
    parts = (found.train_images, found.train_labels, found.test_images, found.test_labels)
    return Dataset(found.name, *(torch.from_numpy(np.require(p, requirements="W")) for p in parts), found.classes)


def load(
    source: str | os.PathLike[str] = "digits",
    *,
    root: str | os.PathLike[str] | None = None,
    resize: int | None = None,
    channels: int | None = None,
    skip_damaged: bool = False,
    progress: bool = True,
    urls: Sequence[str] | None = None,
) -> Dataset:
    """Return a data set.

    source: "digits" ([2]: 1,437 training and 360 test images of 1x8x8, a fixed stratified split);
            "cifar10" ([3]: 50,000 and 10,000 of 3x32x32); or the path of a folder: of `train/` and `test/` (or `val/`,
            if there is no `test/`; also `Training`, `test_set`, `validation` and the like), each with one folder a
            class; or of one folder a class, of which a fifth is then tested on, in every class alike.
    root:   where CIFAR-10 is, or is to be downloaded to; without it $RESNET_EDU_DATA, or else the folder `data`.
    resize: make each image of a folder, or of CIFAR-10, `resize` x `resize` pixels; the digits' size is fixed.
    channels: 1 reads a folder as grey, 3 as RGB; None as grey if all its images are.
    skip_damaged: leave out the files of a folder that cannot be read, instead of raising an error that lists them.
    progress: show a bar on stderr while a large folder is read, or CIFAR-10 is downloaded.
    urls:   the addresses to download CIFAR-10 from; `load_cifar10` has the rules for them and for `root`.

    What was read of a folder is logged, as a warning where something is odd, such as a picture that is in both parts.
    Raises `FileNotFoundError` or `ValueError` for a folder or an option that cannot be used, saying what to change, and
    `RuntimeError` if CIFAR-10 is neither on disk nor can be downloaded.
    """
    if not os.fspath(of_type("source", source, str, os.PathLike)):
        raise ValueError("`source` must be 'digits', 'cifar10' or a folder, but it is ''")
    for name, given in {"resize": resize, "channels": channels, "skip_damaged": skip_damaged or None}.items():
        if source in _PIXELS and given is not None and (source, name) != ("cifar10", "resize"):
            raise ValueError(f"`{name}` is for a folder, but {source!r} has images of {_PIXELS[source]}: leave it out")
    if source == "digits":
        file = Path(find_spec("sklearn").origin).with_name("datasets") / "data" / "digits.csv.gz"
        rows = np.loadtxt(file, delimiter=",")  # 64 pixels and the digit; to import scikit-learn would take a second
        images = np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)  # from 0..16
        found = ImageArrays("digits", images, rows[:, -1].astype(np.int64), None, None, tuple("0123456789"))
        return _from_arrays(_split(found))
    if source == "cifar10":
        root = root or os.environ.get("RESNET_EDU_DATA") or "data"
        return _resized(_from_arrays(load_cifar10(root, urls=urls, progress=progress)), resize)
    found = read_folder(Path(source), resize=resize, channels=channels, skip_damaged=skip_damaged, progress=progress)
    found = _split(found) if found.test_images is None else found
    _report(found)
    return _from_arrays(found)


def _resized(dataset: Dataset, size: int | None) -> Dataset:
    """Return the data set with images of `size` x `size` pixels, smoothed as Pillow does it; None leaves them."""
    if size is None:
        return dataset
    parts = dataset.train_images, dataset.test_images
    check_memory(sum(map(len, parts)), (dataset.shape[0], whole("resize", size), size))
    changed = []
    for images in parts:
        changed.append(torch.empty(*images.shape[:2], size, size, dtype=torch.uint8))
        for new, old in zip(changed[-1].split(1024), images.split(1024), strict=True):  # bounded memory
            new.copy_(F.interpolate(old, (size, size), mode="bilinear", antialias=True))
    return dataclasses.replace(dataset, train_images=changed[0], test_images=changed[1])


def _split(found: ImageArrays) -> ImageArrays:
    """Return the same images, a fifth of the training images now being test images."""
    images, labels = found.train_images, found.train_labels
    _check_splittable(labels, found.classes)
    test = split_mask(labels, 0.2, seed=0)
    parts = (images[~test], labels[~test], images[test], labels[test])
    files = [*itertools.compress(found.files, ~test), *itertools.compress(found.files, test)]
    return ImageArrays(found.name, *parts, found.classes, files, found.notes)


def _report(found: ImageArrays) -> None:
    """Log how many images each class has and what is odd about them; as a warning if anything is."""
    labels = np.concatenate([found.train_labels, found.test_labels])
    train, files = len(found.train_labels), found.files
    first_of: dict[bytes, int] = {}
    in_both, in_classes = [], []  # (image, the first one with the same pixels)
    for i, image in enumerate(itertools.chain(found.train_images, found.test_images)):
        first = first_of.setdefault(hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest(), i)
        if first < train <= i:
            in_both.append((i, first))
        if labels[i] != labels[first]:
            in_classes.append((i, first))
    notes = [
        f"{len(pairs):,} {what}: {files[pairs[0][0]]} is the same picture as {files[pairs[0][1]]}"
        for what, pairs in (
            (f"of {len(labels) - train:,} test images among the training images too", in_both),
            ("images also in another class", in_classes),
        )
        if pairs
    ]
    counts, each = np.bincount(labels, minlength=len(found.classes)), counts_text(labels, found.classes)
    notes = [f"{found.name}: {train:,} + {len(labels) - train:,} images, {each}", *found.notes, *notes]
    odd = len(notes) > 1 or counts.max() >= UNEVEN * counts.min()
    log.log(logging.WARNING if odd else logging.INFO, "\n  ".join(notes))


def counts_text(labels: np.ndarray, classes: Sequence[str]) -> str:
    """Return how many images each class has, of more than ten classes the fewest and the most."""
    counts = np.bincount(labels, minlength=len(classes))
    order = range(len(counts)) if len(counts) <= 10 else [counts.argmin(), counts.argmax()]
    return (", " if len(counts) <= 10 else " to ").join(f"{counts[k]:,} of {classes[k]!r}" for k in order)


def _check_splittable(labels: np.ndarray, classes: tuple[str, ...]) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        few = f"class {classes[int(counts.argmin())]!r} has {counts.min()}"
        raise ValueError(f"each class needs two or more images, but {few}: add images, or leave the class out")


def split_mask(labels: np.ndarray, test_fraction: float, seed: int) -> np.ndarray:
    """Return a boolean mask (N,) of the images to test on: drawn at random, the same share of every class.

    Each class, of two images or more, keeps one at least on either side; the total is about `ceil(N * test_fraction)`.
    """
    counts = np.bincount(labels)
    exact = counts * test_fraction
    total = int(np.clip(math.ceil(round(exact.sum(), 9)), len(counts), len(labels) - len(counts)))
    return _draw(labels, _shares(exact, total, np.ones_like(counts), counts - 1), seed)


def _few(labels: Tensor, count: int) -> slice | Tensor:
    """Return which `count` images `Dataset.head` takes."""
    if count >= len(labels) or (labels[1:] != labels[:-1]).double().mean() >= 0.5:  # the classes are mixed
        return slice(count)
    counts = np.bincount(labels.numpy())
    least = np.minimum(counts, 1) if count >= np.count_nonzero(counts) else np.zeros_like(counts)
    take = _shares(counts * (count / len(labels)), count, least, counts)
    return torch.from_numpy(np.flatnonzero(_draw(labels.numpy(), take, seed=0)))


def _shares(exact: np.ndarray, total: int, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return `exact` as whole numbers from `least` to `most` with the sum `total`."""
    take = np.floor(exact).astype(int)
    take[np.argsort(take - exact, kind="stable")[: max(total - take.sum(), 0)]] += 1  # the largest remainders first
    take = np.clip(take, least, most)
    while take.sum() > total:  # what small classes were given, the largest one gives back
        take[take.argmax()] -= 1
    while take.sum() < total:
        take[(most - take).argmax()] += 1
    return take


def _draw(labels: np.ndarray, take: np.ndarray, seed: int) -> np.ndarray:
    """Return a boolean mask (N,) of `take[k]` images of each class k, drawn at random."""
    mask = np.zeros(len(labels), bool)
    generator = np.random.RandomState(seed)  # the legacy one, whose stream is frozen for all versions
    for label, count in enumerate(take):
        mask[generator.permutation(np.flatnonzero(labels == label))[:count]] = True
    return mask


def normalization(images: Tensor, kind: Normalize = "per_pixel_mean") -> tuple[Tensor, Tensor]:
    """Return what to subtract and what to divide by, for values scaled to 0..1, of training images uint8 (N, C, H, W).

    "per_pixel_mean": the mean image (C, H, W), and 1 ([1]); "per_channel": mean and standard deviation (C, 1, 1). A
    pair that is known from elsewhere is returned as it is.

    Raises `ValueError` for another kind, or if a channel never varies (there is nothing to learn from it).
    """
    if isinstance(kind, tuple | list):
        mean, deviation = kind
        return of_type("mean", mean, Tensor), of_type("deviation", deviation, Tensor)
    one_of("normalize", kind, NORMALIZE)
    total = torch.zeros(images.shape[1:], dtype=torch.float64)
    squares = torch.zeros(images.shape[1:], dtype=torch.float64)
    for part in images.cpu().split(4096):  # bounded memory
        values = part.double() / 255
        total += values.sum(0)
        squares += values.square().sum(0)
    if kind == "per_pixel_mean":
        return (total / len(images)).float(), torch.ones(())
    count = len(images) * images.shape[2] * images.shape[3]
    mean = total.sum((1, 2), keepdim=True) / count  # (C, 1, 1)
    deviation = (squares.sum((1, 2), keepdim=True) / count - mean.square()).clamp_min(0).sqrt()
    if (deviation < 1e-6).any():
        raise ValueError("normalize='per_channel' divides by each channel's deviation, but one channel never varies")
    return mean.float(), deviation.float()


def normalized(images: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return uint8 (B, C, H, W) as float32: scaled to 0..1, mean subtracted, divided by the deviation."""
    values = (images.float() / 255 - mean) / deviation
    return values.contiguous(memory_format=layout(values.device))


def digests(images: Tensor) -> Tensor:
    """Return a number for each image of uint8 (N, C, H, W), int64 (N,): the same for the same pixels, and only then."""
    parts = (hashlib.blake2b(np.ascontiguousarray(image), digest_size=8).digest() for image in images.cpu().numpy())
    return torch.from_numpy(np.frombuffer(b"".join(parts), "<i8").copy())


def crop_and_flip(images: Tensor, top: Tensor, left: Tensor, flip: Tensor, padding: int = 4) -> Tensor:
    """Pad with zeros, cut (H, W) out at (top, left) of the padded image, mirror where `flip` ([1]).

    images (B, C, H, W); top, left int64 (B,) in 0..2*padding, where `padding` is the centre; flip bool (B,).
    """
    batch, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)  # (B, C, H + 2p, W + 2p)
    device = images.device
    rows = top[:, None] + torch.arange(height, device=device)  # (B, H)
    columns = torch.arange(width, device=device).expand(batch, width)  # (B, W)
    columns = left[:, None] + torch.where(flip[:, None], columns.flip(1), columns)
    which = torch.arange(batch, device=device)[:, None, None]
    cut = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return cut.permute(0, 3, 1, 2).contiguous(memory_format=layout(device))  # (B, C, H, W)


def resized_crop(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, flip: Tensor) -> Tensor:
    """Cut `height` x `width` pixels out at (top, left), enlarge them to the old size, mirror where `flip` ([4]).

    images (B, C, H, W); top, left, height, width int64 (B,), inside of the images; flip bool (B,).
    """

    def places(first: Tensor, length: Tensor, size: int, flip: Tensor | None = None) -> Tensor:
        """Return where each of `size` pixels comes from, (B, size), from -1 at the first pixel to 1 at the last."""
        middle = torch.arange(size, device=images.device) + 0.5
        found = (middle * length[:, None] / size - 0.5).clamp_min(0).minimum(length[:, None] - 1) + first[:, None]
        found = found if flip is None else torch.where(flip[:, None], found.flip(1), found)
        return 2 * found / max(1, size - 1) - 1

    rows = places(top, height, images.shape[2])[:, :, None].expand(-1, -1, images.shape[3])
    columns = places(left, width, images.shape[3], flip)[:, None].expand_as(rows)
    return F.grid_sample(images, torch.stack([columns, rows], -1), align_corners=True)


def draw_crops(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return top, left, height and width of random parts of an image, int64 (4, count), as [4] draws them."""
    area = height * width * torch.empty(10, count).uniform_(0.08, 1, generator=generator)  # ten attempts for each
    ratio = torch.empty(10, count).uniform_(math.log(3 / 4), math.log(4 / 3), generator=generator).exp()
    high, wide = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (high > 0) & (high <= height) & (wide > 0) & (wide <= width)
    first, some = fits.int().argmax(0, keepdim=True), fits.any(0)
    high = torch.where(some, high.gather(0, first)[0], min(height, round(width * 4 / 3)))  # none fits: the largest part
    wide = torch.where(some, wide.gather(0, first)[0], min(width, round(height * 4 / 3)))
    place = torch.rand(2, count, generator=generator)
    top, left = (place[0] * (height - high + 1)).long(), (place[1] * (width - wide + 1)).long()
    return torch.stack([top, left, high, wide])


class Batches:
    """A data set on a device, served in normalised float32 batches, in memory as `layout` says.

    The order of the batches and the augmentation come from `generator`, which lives on the processor, so that they
    are the same on every device. They do not depend on the net.
    """

    def __init__(self, dataset: Dataset, normalize: Normalize, device: torch.device) -> None:
        mean, deviation = normalization(dataset.train_images, normalize)
        self.device, self.classes = device, len(dataset.classes)
        self.mean, self.deviation = mean.to(device), deviation.to(device)
        self.train = dataset.train_images.to(device), dataset.train_labels.to(device)
        self.test = dataset.test_images.to(device), dataset.test_labels.to(device)

    def normalized(self, images: Tensor) -> Tensor:
        """Return uint8 (B, C, H, W) as float32: scaled to 0..1, mean subtracted, divided by the deviation."""
        return normalized(images, self.mean, self.deviation)

    @staticmethod
    def draw(
        indices: Tensor,
        generator: torch.Generator,
        augment: bool,
        flip: bool = True,
        within: tuple[int, int] | None = None,
    ) -> Tensor:
        """Return picks, int64 (4, B): `indices`, top and left of the crop (0..8), whether to mirror (0, 1); on the
        processor. Without augmentation they are the indices alone, (1, B).

        flip:   without it nothing is mirrored.
        within: height and width of images of which a part is enlarged: its height and width are added, (6, B).
        """
        if not augment:
            return indices[None]
        count = len(indices)
        if within is None:
            crop = torch.randint(0, 9, (2, count), generator=generator)
        else:
            crop = draw_crops(count, *within, generator)
        mirror = torch.randint(0, 2, (1, count), generator=generator) * int(flip)
        return torch.cat([indices[None], crop[:2], mirror, crop[2:]])

    def training(self, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the training images (B, C, H, W) and labels (B,) of picks as `draw` makes them, on the device.

        The mean is subtracted first: it belongs to a pixel's place, and the padding is zero, the mean colour.
        """
        indices = picks[0]
        images = self.normalized(self.train[0][indices])
        if len(picks) == 4:
            images = crop_and_flip(images, picks[1], picks[2], picks[3].bool())
        elif len(picks) == 6:
            images = resized_crop(images, picks[1], picks[2], picks[4], picks[5], picks[3].bool())
        return images, self.train[1][indices]

    def evaluation(self, part: str, size: int, first: int = 0, every: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images and labels of "train" or "test" in their order, `size` at a time, never augmented.

        Of these batches those numbered `first`, `first + every`, `first + 2 * every` and so on: by default all.
        """
        images, labels = getattr(self, part)
        for start in range(first * size, len(images), every * size):
            yield self.normalized(images[start : start + size]), labels[start : start + size]
