"""Images and labels: the digits, CIFAR-10 or a folder, as batches on the device."""

from .dataset import Batches, Dataset, crop_and_flip, load

__all__ = ["Batches", "Dataset", "crop_and_flip", "load"]
