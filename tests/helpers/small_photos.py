"""Small photos of two classes, cut from the two that scikit-learn ships, and a net that was trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset
from resnet_edu.nets.models import get_model
from resnet_edu.training.classifier import Classifier

CLASSES = ("china", "flower")


def cut(folder: Path, count: int = 8, size: int = 60, seed: int = 0) -> Path:
    """A folder a class with `count` pieces of `size` pixels, JPEG and PNG in turn."""
    rng = np.random.default_rng(seed)
    for name, photo in zip(CLASSES, load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            top, left = rng.integers(0, photo.shape[0] - size), rng.integers(0, photo.shape[1] - size)
            piece = Image.fromarray(photo[top : top + size, left : left + size])
            piece.save(folder / name / f"{i}.{'png' if i % 2 else 'jpg'}")
    return folder


def parts(folder: Path, **options: int) -> Path:
    """Such pieces to train and to test on."""
    cut(folder / "train", seed=0, **options)
    cut(folder / "test", seed=1, **options)
    return folder


def lived_in(net: torch.nn.Module, images: torch.Tensor) -> torch.nn.Module:
    """The net with statistics of batch norm that fit images (B, C, H, W), so that its answers differ."""
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(images)
    for norm in norms:
        norm.momentum = 0.1
    return net.eval()


def classifier_of(dataset: Dataset, name: str = "resnet8", normalize="per_pixel_mean", **options) -> Classifier:
    """A classifier with weights of chance, whose batch norm has seen the training images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"num_classes": len(dataset.classes), "in_channels": dataset.shape[0], **options}
        net = get_model(name, **sizes)
    found = Classifier.of(net, dataset, name, normalize, sizes, seed=3)
    lived_in(net, found.normalized(dataset.train_images[:64]))
    return found


def photos(folder: Path, resize: int = 32) -> tuple[Dataset, Classifier]:
    """The data set of `parts(folder)` and a classifier of it."""
    dataset = data.load(parts(folder), resize=resize)
    return dataset, classifier_of(dataset)
