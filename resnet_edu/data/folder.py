"""Reading a folder of class folders into arrays, with every way in which it can be wrong told plainly.

Scope: files to unsigned bytes. All checks that need no decoding come before the first image is decoded. Large folders
are kept in a cache outside the user's folder, keyed by names, sizes and times of all files.

Source
  torchvision, `ImageFolder`: the layout `class name / image file`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..support.files import cache_folder, read_arrays, remove_abandoned, write_arrays
from ..support.system import make_bar

TEST_NAMES = ("test", "val", "valid")
CACHE_FROM = 2000  # files; fewer are read in about a second
_GREY = ("1", "L", "LA")
_COLOUR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True)
class FolderImages:
    """What a folder holds: images uint8 (N, C, H, W), labels int64 (N,); test parts are None if it is to be split."""

    name: str
    classes: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray | None
    test_labels: np.ndarray | None


def read_folder(path: Path, *, resize: int | None = None, progress: bool = True) -> FolderImages:
    """Return the images of `path`: folders `train` and `test` (or `val`, `valid`) of class folders, or class folders.

    Raises `FileNotFoundError` or `ValueError` naming the file or folder at fault and what to do.
    """
    if resize is not None and (not isinstance(resize, int) or resize < 1):
        raise ValueError(f"`resize` must be a whole number of pixels of at least 1, but it is {resize!r}")
    if not path.exists():
        raise FileNotFoundError(
            f"there is no folder {path}: give 'digits', 'cifar10' or the path of a folder of class folders"
        )
    if not path.is_dir():
        raise ValueError(f"{path} is a file, but a folder of class folders is needed (unpack it if it is an archive)")
    path = path.resolve()
    parts = _parts(path)
    listed = [_class_files(part) for part in parts]
    classes = tuple(listed[0])
    if len(listed) == 2 and tuple(listed[1]) != classes:
        only = [sorted(set(a) - set(b)) for a, b in (listed, listed[::-1])]
        raise ValueError(
            f"the classes of {parts[0]} and {parts[1]} differ: only in {parts[0].name}: {', '.join(only[0]) or '-'}; "
            f"only in {parts[1].name}: {', '.join(only[1]) or '-'}. Each class needs a folder of the same name in both"
        )
    if len(classes) < 2:
        raise ValueError(
            f"{parts[0]} holds one class only ({classes[0]!r}), but telling classes apart needs two or more: put the "
            "images of each class into a folder of its own"
        )
    files = [[f for c in classes for f in part[c]] for part in listed]
    labels = [np.repeat(np.arange(len(classes)), [len(part[c]) for c in classes]).astype(np.int64) for part in listed]
    everything = [f for part in files for f in part]
    images = _cached(everything, path, resize, lambda: _decode(everything, resize, progress))
    n = len(files[0])
    test = (images[n:], labels[1]) if len(parts) == 2 else (None, None)
    return FolderImages(path.name, classes, images[:n], labels[0], *test)


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__MACOSX")))


def _parts(path: Path) -> list[Path]:
    """Return [train, test] if the folder has them, or [the folder itself]."""
    names = {p.name: p for p in _folders(path)}
    test = next((names[n] for n in TEST_NAMES if n in names), None)
    if "train" in names and test:
        return [names["train"], test]
    if "train" in names or (test and len(names) == 1):
        there, lacking = ("train", "test (or val, or valid)") if "train" in names else (test.name, "train")
        raise ValueError(
            f"{path} has the folder {there} but not {lacking}: add it, or give {path / there} itself to have it split "
            "into training and test images"
        )
    if not names:
        what = "has no class folders, only files" if any(path.iterdir()) else "is empty"
        raise ValueError(
            f"{path} {what}: it must hold one folder a class (or train/ and test/ with one folder a class each)"
        )
    return [path]


def _class_files(path: Path) -> dict[str, list[str]]:
    """Return the files of each class folder in `path`, in the order of their names; hidden files do not count.

    As text: making a `Path` of each of 60,000 files takes longer than looking them up.
    """
    found = {}
    for folder in _folders(path):
        with os.scandir(folder) as listing:
            listed = [e for e in listing if not e.name.startswith(".") and e.name != "Thumbs.db"]
        listed.sort(key=lambda entry: entry.name)
        entries = [entry.path for entry in listed]
        nested = next((entry for entry in listed if entry.is_dir()), None)
        if nested:
            raise ValueError(
                f"the class folder {folder} holds a folder ({nested.name}), but it may hold only images: move them up, "
                "or give the folder whose folders are the classes"
            )
        if not entries:
            raise ValueError(f"class {folder.name!r} has no image: {folder} is empty; add images or remove the folder")
        found[folder.name] = entries
    if not found:
        raise ValueError(f"{path} has no class folders: it must hold one folder a class")
    return found


def _open(file: str) -> Image.Image:
    """Return the image with its header read, but not yet decoded."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        raise ValueError(
            f"{file} is no image that Pillow can read: remove it from the class folder, or convert it to PNG or JPEG"
        ) from None


def _header(file: str) -> tuple[bool, tuple[int, int]]:
    """Return whether an image is grey, and its (width, height)."""
    with _open(file) as image:
        if image.mode not in _GREY + _COLOUR:
            raise ValueError(
                f"{file} has pixels of mode {image.mode!r}, but only 8 bits a channel are supported: convert it to "
                "8-bit grey or RGB"
            )
        return image.mode in _GREY, image.size


def _decode(files: list[str], resize: int | None, progress: bool) -> np.ndarray:
    """Return all images as uint8 (N, C, H, W), after a check of all headers."""
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 1)) as pool:

        def run(work: Callable, what: str) -> list:
            with make_bar(len(files), what, show=progress and len(files) >= CACHE_FROM, unit="image") as bar:
                results = []
                for start in range(0, len(files), 1000):  # an error is raised after at most 1000 further files
                    results += pool.map(work, files[start : start + 1000])
                    bar.update(min(1000, len(files) - start))
            return results

        headers = run(_header, "checking images")
        grey, size = headers[0]
        for file, (its_grey, its_size) in zip(files, headers, strict=True):
            if its_grey != grey:
                a, b = (files[0], file) if grey else (file, files[0])
                raise ValueError(
                    f"grey and colour images are mixed: {a} is grey and {b} is in colour; convert them to one mode"
                )
            if its_size != size and resize is None:
                raise ValueError(
                    f"all images must have one size, but {files[0]} has {size[0]}x{size[1]} pixels and {file} has "
                    f"{its_size[0]}x{its_size[1]}: resize them, or have it done (resize=32, or --resize 32)"
                )
        width, height = (resize, resize) if resize else size
        images = np.empty((len(files), 1 if grey else 3, height, width), np.uint8)
        places = {file: i for i, file in enumerate(files)}

        def decode(file: str) -> None:
            try:
                with _open(file) as image:
                    image = image.convert("L" if grey else "RGB")
                    if image.size != (width, height):
                        image = image.resize((width, height), Image.Resampling.BILINEAR)
                    pixels = np.asarray(image)  # (H, W) or (H, W, 3)
            except (OSError, SyntaxError) as error:
                raise ValueError(f"{file} is damaged ({error}): replace it or remove it") from None
            images[places[file]] = pixels if grey else pixels.transpose(2, 0, 1)

        run(decode, "reading images")
    return images


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
