"""A trained net with all that it takes to use it, in memory and in one file: classes, sizes, normalisation, data.

The file is safetensors: the net's tensors under their own names, those of `TENSORS` beside them, and the rest as JSON
in the header. A program of yours can read it without this package.
"""

from __future__ import annotations

import copy
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..data.dataset import Dataset, Normalize, digests, normalization, normalized
from ..data.folder import image_array, list_images, read_images
from ..nets.models import get_model
from ..support.files import read_file
from ..support.system import make_bar, resolve_device
from ..support.validate import listed, of_type, shown, wholes
from . import weights
from .loop import check_output, evaluation_batch
from .predictions import Predictions
from .step import exact
from .weights import BESIDE, WeightsError

SCHEMA = 1  # the version of what the header holds
FIELDS = {"net": str, "options": dict, "classes": list, "shape": list, "resize": str}  # of the header, by their types
TENSORS = ("mean", "deviation", "trained_on")  # beside the net's

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained net, and what turns a photo into its input and its output into words.

    net:       (B, C, H, W) -> (B, classes); from a file in eval mode, on the processor.
    name:      the net's, such as "resnet20", or "module:callable" for one that is not of this package.
    options:   what it is built with: `get_model(name, **options)`, or the callable.
    classes:   their names.
    shape:     (C, H, W) of the images.
    mean:      is subtracted from values in 0..1: a mean image (C, H, W), or a value for each channel (C, 1, 1).
    deviation: what is divided by then: (), or (C, 1, 1).
    trained_on: `data.dataset.digests` of the training images, int64 (N,), to know them again.
    resize:    how photos get their size: "stretch" to the height and width, whatever their proportions.
    about:     what else is told: dataset (its name), fingerprint, seed, step, ...
    """

    net: nn.Module
    name: str
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: Tensor
    deviation: Tensor
    trained_on: Tensor
    resize: str = "stretch"
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        net: nn.Module,
        dataset: Dataset,
        name: str,
        normalize: Normalize = "per_pixel_mean",
        options: Mapping[str, Any] | None = None,
        **about: Any,
    ) -> Classifier:
        """Return the classifier of a net that was trained on `dataset` with the recipe's `normalize`.

        options: all that the net is built with; None for `num_classes` and `in_channels`, as the data has them.
        """
        of_type("net", net, nn.Module), of_type("dataset", dataset, Dataset)
        mean, deviation = normalization(dataset.train_images, normalize)
        if options is None:
            options = {"num_classes": len(dataset.classes), "in_channels": dataset.shape[0]}
        about = {"dataset": dataset.name, "fingerprint": dataset.fingerprint} | about
        seen = digests(dataset.train_images)
        return cls(net, name, options, dataset.classes, dataset.shape, mean, deviation, seen, about=about)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all of it to one file, whole or not at all, and return its path. Raises `OSError` if it cannot be."""
        header = {"schema": SCHEMA, "net": self.name, "options": dict(self.options), "classes": list(self.classes)}
        header |= {"shape": list(self.shape), "resize": self.resize} | dict(self.about)
        beside = {BESIDE + name: getattr(self, name) for name in TENSORS}
        return weights.save({**self.net.state_dict(), **beside}, path, header)

    def normalized(self, images: Tensor) -> Tensor:
        """Return uint8 (B, C, H, W) of this classifier's shape as the net's input, float32, on the same device."""
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != self.shape:
            found = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be uint8 (B, {', '.join(map(str, self.shape))}), but they are {found}")
        return normalized(images, self.mean.to(images.device), self.deviation.to(images.device))

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """Return images of Pillow in this classifier's shape, uint8 (B, C, H, W)."""
        return torch.from_numpy(np.stack([image_array(image, self.shape) for image in images]))

    def predict(
        self,
        images: Any,
        truth: Tensor | None = None,
        *,
        device: str | torch.device = "cpu",
        skip_damaged: bool = False,
        progress: bool = False,
    ) -> Predictions:
        """Return what the net says of images, a batch of bounded size after the other.

        images: a path, or several: of photos, of folders of photos, or of folders with a folder for each class, whose
                names are the truth (of their training and test part, the test part); or images of Pillow; or uint8
                (N, C, H, W) of this classifier's shape.
        truth:  int64 (N,), of images that are not in folders.
        skip_damaged: leave out files that cannot be read, instead of raising an error that lists them.

        Raises `FileNotFoundError` or `ValueError` for what cannot be read, or has another shape.
        """
        device = resolve_device(device)
        if not isinstance(images, Tensor):
            images = [images] if isinstance(images, str | os.PathLike | Image.Image) else list(images)
        if isinstance(images, Tensor) or any(isinstance(image, Image.Image) for image in images):
            pixels = images if isinstance(images, Tensor) else self.pixels(images)
            names = [f"image {i}" for i in range(len(pixels))]
        else:
            parts = [list_images(path, self.classes) for path in images]
            pixels, names = self.shape, [file for files, _ in parts for file in files]
            if truth is None and parts and all(labels for _, labels in parts):
                truth = torch.tensor([label for _, labels in parts for label in labels])
        if truth is not None:
            if len(of_type("truth", truth, Tensor)) != len(names):
                raise ValueError(f"`truth` must have a label for each image, but it has {len(truth)} for {len(names)}")
            if truth.dtype != torch.int64 or (len(truth) and not 0 <= truth.min() <= truth.max() < len(self.classes)):
                raise ValueError(f"`truth` must be int64 from 0 to {len(self.classes) - 1}, but it is {shown(truth)}")
        net, size = copy.deepcopy(self.net).to(device).eval(), evaluation_batch(self.shape, device)
        bar = make_bar(len(names), "predicting", show=progress and len(names) > size)
        found, known, kept = [], [], []
        with torch.no_grad(), exact(device, "float32"), bar:
            for start in range(0, len(names), size):
                here = slice(start, start + size)
                if isinstance(pixels, Tensor):
                    part = pixels[here]
                    kept += [True] * len(part)
                else:
                    part, keep = read_images(names[here], self.shape, skip_damaged)
                    part = torch.from_numpy(part)
                    kept += keep.tolist()
                if len(part):
                    known.append(torch.isin(digests(part), self.trained_on))
                    found.append(net(self.normalized(part.to(device))).float().softmax(1).cpu())
                bar.update(len(names[here]))
        if damaged := [name for name, keep in zip(names, kept, strict=True) if not keep]:
            some = listed(damaged, 3)
            log.warning("%d of %d files are left out, being unreadable: %s", len(damaged), len(names), some)
        if not found:
            raise ValueError("there is no image to predict: give one, at least, that can be read")
        truth = None if truth is None else truth.cpu()[torch.tensor(kept)]
        names = list(itertools.compress(names, kept))
        return Predictions(self.classes, names, torch.cat(found), pixels, torch.cat(known), truth)


def load_classifier(
    path: str | os.PathLike[str], net: nn.Module | Callable[..., nn.Module] | None = None
) -> Classifier:
    """Return the classifier in a file that `Classifier.save` wrote.

    net: for a net that is not of this package: one built already, or what builds it from the options in the file. A
         file never says which code to run; who opens it does.

    Raises `FileNotFoundError`, and `WeightsError` for a file that holds no weights, or weights without their classes,
    or those of another net.
    """
    data = read_file(path, ": give the .safetensors that `resnet-edu train` left")
    header, tensors = weights.contents(data, path)
    if header.setdefault("schema", SCHEMA) != SCHEMA:
        raise WeightsError(f"{path} has schema {header['schema']}, but {SCHEMA} is known here: update resnet_edu")
    beside = [tensors.pop(BESIDE + name, None) for name in TENSORS]
    missing = [name for name, kind in FIELDS.items() if type(header.get(name)) is not kind]
    if missing or any(tensor is None for tensor in beside):
        what = ", ".join(missing) or "normalisation"
        raise WeightsError(f"{path} holds weights alone (no {what}): train again with `resnet-edu train`")
    found = {name: header.pop(name) for name in ("schema", *FIELDS)}
    if found["resize"] != Classifier.resize:
        known = f"but {Classifier.resize!r} alone is known here: update resnet_edu"
        raise WeightsError(f"{path} gives photos their size by {shown(found['resize'])}, {known}")
    if net is None and ":" in found["net"]:
        way = "give the code that builds it (--net)"
        raise WeightsError(f"{path} is of the net {found['net']}, not of this package: {way}")
    try:
        if not isinstance(net, nn.Module):
            with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and then replaced
                net = net(**found["options"]) if net else get_model(found["net"], **found["options"])
        weights.load_into(net, tensors, path)
        how = tuple(found["classes"]), tuple(found["shape"]), *beside, found["resize"], header
        classifier = Classifier(net.eval(), found["net"], found["options"], *how)
        pixel = torch.zeros(1, *wholes("shape", found["shape"]), dtype=torch.uint8)
        check_output(net, classifier.normalized(pixel), len(found["classes"]))
    except WeightsError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(f"the net of {path} cannot be built: {error}") from error
    return classifier
