"""A folder with one folder of images for each class, read into arrays.

All checks that need no decoding come before the first image is decoded. The images of large folders are cached.

Source
  torchvision, `ImageFolder`: the layout `class name / image file`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..support.files import cache_folder, read_arrays, remove_abandoned, write_arrays
from ..support.system import make_bar
from ..support.validate import whole

TEST_NAMES = ("test", "val", "valid")
CACHE_FROM = 2000  # files; fewer are read in about a second
_GREY = ("1", "L", "LA")
_COLOUR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True)
class ImageArrays:
    """Images uint8 (N, C, H, W) and labels int64 (N,); the test parts are None if the images are yet to be split."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    classes: tuple[str, ...]


def read_folder(path: Path, *, resize: int | None = None, progress: bool = True) -> ImageArrays:
    """Return the images of `path`: folders `train` and `test` (or `val`, `valid`) of class folders, or class folders.

    Raises `FileNotFoundError` or `ValueError` naming the file or folder at fault and what to do.
    """
    if resize is not None:
        resize = whole("resize", resize)
    if not path.exists():
        raise FileNotFoundError(f"there is no folder {path}: give 'digits', 'cifar10' or a folder of class folders")
    if not path.is_dir():
        raise ValueError(f"{path} is a file, but a folder of class folders is needed: if it is an archive, unpack it")
    path = path.resolve()
    parts = _parts(path)
    listed = [_class_files(part) for part in parts]
    classes = tuple(listed[0])
    if len(parts) == 2 and listed[0].keys() != listed[1].keys():
        only = [", ".join(sorted(set(a) - set(b))) or "-" for a, b in (listed, listed[::-1])]
        raise ValueError(
            f"the classes of {parts[0]} and {parts[1]} differ: only in {parts[0].name}: {only[0]}; "
            f"only in {parts[1].name}: {only[1]}. Each class needs a folder of the same name in both"
        )
    if len(classes) < 2:
        raise ValueError(f"{parts[0]} holds one class only ({classes[0]!r}), but two or more are needed: add a folder")
    files = [file for part in listed for in_class in part.values() for file in in_class]
    labels = [np.repeat(np.arange(len(classes)), [len(f) for f in part.values()]).astype(np.int64) for part in listed]
    images = _cached(files, path, resize, partial(_decode, files, resize, progress))
    n = len(labels[0])
    test = (images[n:], labels[1]) if len(parts) == 2 else (None, None)
    return ImageArrays(path.name, images[:n], labels[0], *test, classes)


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__MACOSX")))


def _parts(path: Path) -> list[Path]:
    """Return [train, test] if the folder has them, or [the folder itself]."""
    folders = {p.name: p for p in _folders(path)}
    train, test = folders.get("train"), next((folders[name] for name in TEST_NAMES if name in folders), None)
    if train and test:
        return [train, test]
    if train or (test and len(folders) == 1):
        present, lacking = (train, "test (or val, or valid)") if train else (test, "train")
        raise ValueError(
            f"{path} has the folder {present.name} but not {lacking}: add it, or give {present} itself to have it split"
        )
    if not folders:
        what = "has no class folders, only files" if any(path.iterdir()) else "is empty"
        raise ValueError(f"{path} {what}: it must hold one folder a class, or train/ and test/ with these in each")
    return [path]


def _class_files(path: Path) -> dict[str, list[str]]:
    """Return the files of each class folder in `path`, in the order of their names; hidden files do not count.

    As text: making a `Path` of each of 60,000 files takes longer than looking them up.
    """
    found = {}
    for folder in _folders(path):
        with os.scandir(folder) as listing:
            entries = [e for e in listing if not e.name.startswith(".") and e.name != "Thumbs.db"]
        nested = next((e.name for e in entries if e.is_dir()), None)
        if nested:
            raise ValueError(f"the class folder {folder} holds a folder ({nested}): move the images in it up")
        if not entries:
            raise ValueError(f"class {folder.name!r} has no image: {folder} is empty; add images or remove the folder")
        found[folder.name] = [e.path for e in sorted(entries, key=lambda e: e.name)]
    if not found:
        raise ValueError(f"{path} has no class folders: it must hold one folder a class")
    return found


def _open(file: str) -> Image.Image:
    """Return the image with its header read, but not yet decoded."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        raise ValueError(f"{file} is no image that Pillow can read: remove it, or convert it to PNG or JPEG") from None


def _header(file: str) -> tuple[bool, tuple[int, int]]:
    """Return whether an image is grey, and its (width, height)."""
    with _open(file) as image:
        if image.mode not in _GREY + _COLOUR:
            raise ValueError(f"{file} has pixels of mode {image.mode!r}: convert it to 8-bit grey or RGB")
        return image.mode in _GREY, image.size


def _pixels(file: str, grey: bool, size: tuple[int, int]) -> np.ndarray:
    """Return an image of (width, height) as uint8 (C, H, W)."""
    try:
        with _open(file) as image:
            image = image.convert("L" if grey else "RGB")
            if image.size != size:
                image = image.resize(size, Image.Resampling.BILINEAR)
            pixels = np.asarray(image)  # (H, W) or (H, W, 3)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{file} is damaged ({error}): replace it or remove it") from None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _decode(files: list[str], resize: int | None, progress: bool) -> np.ndarray:
    """Return all images as uint8 (N, C, H, W), after a check of all headers."""
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 1)) as pool:

        def results(work: Callable, what: str) -> Iterator:
            with make_bar(len(files), what, show=progress and len(files) >= CACHE_FROM, unit="image") as bar:
                for result in pool.map(work, files):
                    yield result
                    bar.update()

        headers = list(results(_header, "checking images"))
        _check_headers(files, headers, resize)
        grey, size = headers[0]
        size = (resize, resize) if resize else size
        images = np.empty((len(files), 1 if grey else 3, size[1], size[0]), np.uint8)
        for i, pixels in enumerate(results(partial(_pixels, grey=grey, size=size), "reading images")):
            images[i] = pixels
    return images


def _check_headers(files: list[str], headers: list[tuple[bool, tuple[int, int]]], resize: int | None) -> None:
    grey, (width, height) = headers[0]
    for file, (its_grey, (its_width, its_height)) in zip(files, headers, strict=True):
        if its_grey != grey:
            a, b = (files[0], file) if grey else (file, files[0])
            raise ValueError(f"grey and colour images are mixed: {a} is grey and {b} is in colour; convert one of them")
        if (its_width, its_height) != (width, height) and resize is None:
            raise ValueError(
                f"all images must have one size, but {files[0]} has {width}x{height} pixels and {file} has "
                f"{its_width}x{its_height}: resize them, or have it done (resize=32, or --resize 32)"
            )


def _cached(files: list[str], root: Path, resize: int | None, decode: Callable[[], np.ndarray]) -> np.ndarray:
    """Return `decode()`, or what it returned before for the very same files. A cache that fails is no error."""
    if len(files) < CACHE_FROM:
        return decode()
    key = hashlib.sha256(f"1 {root} {resize}".encode())
    within = len(os.path.join(root, ""))
    for file in files:
        state = os.stat(file)
        key.update(f"\n{file[within:]} {state.st_size} {state.st_mtime_ns}".encode())
    cache = cache_folder() / f"folder-{key.hexdigest()[:24]}.npz"
    remove_abandoned(cache.parent, "folder-*.npz")
    try:
        (images,) = read_arrays(cache, ("images",))
        if images.dtype == np.uint8 and images.ndim == 4 and len(images) == len(files):
            return images
    except ValueError:  # there is none, or it is damaged
        pass
    images = decode()
    try:
        write_arrays(cache, {"images": images})
    except OSError:
        print(f"note: the images could not be cached in {cache.parent}", file=sys.stderr)
    return images
