"""A folder with one folder of images for each class, read into arrays.

Each image is turned upright by its EXIF orientation, laid on white where it is transparent, and made 8-bit grey or RGB;
of several frames the first is taken.

Sources
  [1] torchvision, `ImageFolder`: the layout `class name / image file`.
  [2] Pillow's documentation of `ImageOps.exif_transpose`, `Image.alpha_composite`, `Image.draft` and its modes.
"""

import contextlib
import itertools
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..support.system import free_memory, make_bar
from ..support.validate import listed, one_of, whole

BAR_FROM = 2000  # files; fewer are read in about a second, without a bar
LARGE = 1_000_000  # pixels from which a JPEG that is made smaller is not decoded in full
_PART = re.compile(r"(?:(train|test)(?:ing)?|(val)(?:id(?:ation)?)?)[-_ ]?(?:set|data|images)?", re.IGNORECASE)
_HIDDEN = (".", "__MACOSX", "@eaDir")  # what systems leave in folders
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF"}  # formats that Pillow knows, but cannot decode by itself
_SNIFFED = ("JPEG", "PNG", "GIF", "BMP", "WEBP")  # are recognised whatever a file is called
_ORIENTED = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # where Pillow finds an orientation ([2])
Size = tuple[int, int] | None  # width and height that images are given; None: as they are
_GREY = ("1", "L", "LA", "La")


@dataclass(frozen=True)
class ImageArrays:
    """Images uint8 (N, C, H, W) and labels int64 (N,); the test parts are None if the images are yet to be split.

    files: where each image is, within the folder: the training images, then the test images.
    notes: what is to be said about the reading.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    classes: tuple[str, ...]
    files: Sequence[str] = ()
    notes: tuple[str, ...] = ()


def read_folder(
    path: Path,
    *,
    resize: int | None = None,
    channels: int | None = None,
    skip_damaged: bool = False,
    progress: bool = True,
) -> ImageArrays:
    """Return the images of `path`: folders for training and test images of class folders, or class folders.

    The arguments are those of `dataset.load`. Raises `FileNotFoundError` or `ValueError` naming the file or folder at
    fault and what to do; of files that cannot be read, all.
    """
    if resize is not None:
        resize = whole("resize", resize)
    one_of("channels", channels, (None, 1, 3))
    if not path.exists():
        raise FileNotFoundError(f"there is no folder {path}: give 'digits', 'cifar10' or a folder of class folders")
    if not path.is_dir():
        raise ValueError(f"{path} is a file, but a folder of class folders is needed: if it is an archive, unpack it")
    path = path.resolve()
    parts, notes = _parts(path)
    in_parts = [_class_files(part, path, notes) for part in parts]
    classes = tuple(in_parts[0])
    if len(parts) == 2 and in_parts[0].keys() != in_parts[1].keys():
        only = [", ".join(sorted(set(a) - set(b))) or "-" for a, b in (in_parts, in_parts[::-1])]
        where = f"only in {parts[0].name}: {only[0]}; only in {parts[1].name}: {only[1]}"
        raise ValueError(f"the classes of {parts[0]} and {parts[1]} differ: {where}; each must be in both")
    if len(classes) < 2:
        inside = f"or give {parts[0] / classes[0]} if the classes are in there"
        raise ValueError(f"{parts[0]} holds one class only, {classes[0]!r}: add a folder, {inside}")
    files = [file for part in in_parts for in_class in part.values() for file in in_class]
    labels = [np.repeat(np.arange(len(classes)), [len(f) for f in part.values()]).astype(np.int64) for part in in_parts]
    size = resize and (resize, resize)
    images, kept, read_notes = _decode(files, path, size, channels, skip_damaged, progress)
    kept = np.split(kept, [len(labels[0])])[: len(parts)]
    labels = [of_part[keep] for of_part, keep in zip(labels, kept, strict=True)]
    for part, of_part in zip(parts, labels, strict=True):
        counts = np.bincount(of_part, minlength=len(classes))
        if not counts.all():
            raise ValueError(f"{part / classes[counts.argmin()]} has no image that can be read: add some, or remove it")
    files = [file for file, keep in zip(_within(path, files), np.concatenate(kept), strict=True) if keep]
    n = len(labels[0])
    test = (images[n:], labels[1]) if len(parts) == 2 else (None, None)
    return ImageArrays(path.name, images[:n], labels[0], *test, classes, files, (*notes, *read_notes))


def check_memory(count: int, shape: Sequence[int]) -> None:
    """Raise `ValueError` if the memory has no room for `count` images of (C, H, W), twice while being read."""
    free, size = free_memory(), count * math.prod(shape)
    if free is not None and 2 * size > free:
        fits = math.isqrt(free // (2 * count * shape[0]))
        takes = f"{count:,} images of {'x'.join(map(str, shape))} take {size / 1e9:.1f} GB, twice that while being read"
        raise ValueError(f"{takes}, but {free / 1e9:.1f} GB are free: at most --resize {fits}, or fewer images")


def list_images(path: str | os.PathLike[str], classes: Sequence[str]) -> tuple[list[str], list[int] | None]:
    """Return the image files at `path`, and for each the index of its class; None where they are not sorted.

    path: a file, a folder of images, or folders for `classes` or some of them; of a folder with parts the test part.

    Raises `FileNotFoundError` or `ValueError`, saying what to change.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}: give a photo, or a folder")
        return [str(path)], None
    if not _folders(path):
        with os.scandir(path) as listing:
            files = sorted(e.path for e in listing if not e.name.startswith(_HIDDEN) and _is_image(e))
        if not files:
            raise ValueError(f"{path} holds no image that Pillow can read: give another folder")
        return files, None
    found = _class_files(_parts(path)[0][-1], path, [])
    if strange := sorted(found.keys() - set(classes)):
        folders = f"{path} has folders that are no classes of this net ({', '.join(strange[:3])})"
        raise ValueError(f"{folders}: it has {listed(classes, 9)}")
    labels = [list(classes).index(name) for name, files in found.items() for _ in files]
    return [file for files in found.values() for file in files], labels


def read_images(
    files: Sequence[str | os.PathLike[str]], shape: Sequence[int], skip_damaged: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images in `files` as `read_folder` reads them, uint8 (K, C, H, W), and which they are, bool (N,).

    shape: (C, H, W) that each is given. Raises `ValueError` with all files that cannot be read, and why; with
    `skip_damaged` they are left out.
    """
    channels, height, width = shape
    names = [os.path.abspath(file) for file in files]
    unique, root = list(dict.fromkeys(names)), Path()  # a file may be named twice
    with contextlib.suppress(ValueError):  # there are none, or they are on several drives of Windows
        root = Path(os.path.commonpath([os.path.dirname(name) for name in unique]))
    try:
        images, kept, _ = _decode(unique, root, (width, height), channels, skip_damaged, False)
    except _UnreadableError:
        if names and not skip_damaged:
            raise
        images, kept = np.empty((0, channels, height, width), np.uint8), np.zeros(len(unique), bool)
    place = {name: i for i, name in enumerate(itertools.compress(unique, kept))}
    return images[[place[name] for name in names if name in place]], np.array([name in place for name in names], bool)


def image_array(image: Image.Image, shape: Sequence[int]) -> np.ndarray:
    """Return an image of Pillow as uint8 (C, H, W): upright, laid on white, grey or RGB, made this high and wide."""
    channels, height, width = shape
    return _array(_upright(image), channels, (width, height))


def _folders(path: Path) -> list[Path]:
    inside = sorted(p for p in path.iterdir() if not p.name.startswith(_HIDDEN))
    broken = next((p for p in inside if p.is_symlink() and not p.exists() and not p.suffix), None)
    if broken:
        raise ValueError(f"{broken} is a broken link: mend it or remove it")
    return [p for p in inside if p.is_dir()]


def _parts(path: Path) -> tuple[list[Path], list[str]]:
    """Return [train, test] if the folder has them, or [the folder itself]; and what to say of other folders."""
    folders = _folders(path)
    if not folders:
        what = "has no class folders, only files" if any(path.iterdir()) else "is empty"
        raise ValueError(f"{path} {what}: it must hold one folder a class, or train/ and test/ with these in each")
    found: dict[str, Path] = {}
    for folder in folders:
        if match := _PART.fullmatch(folder.name):
            part = (match[1] or match[2]).lower()
            if part in found:
                raise ValueError(f"{path} has both {found[part].name} and {folder.name}: move one of them away")
            found[part] = folder
    if not found:
        return [path], []
    train, test = found.get("train"), found.get("test", found.get("val"))
    if not (train and test):
        present, lacking = (train, "test (or val, or validation)") if train else (test, "train")
        way = f"add it, or give {present} to have it split, or rename {present.name} if it is a class"
        raise ValueError(f"{path} has the folder {present.name} but not {lacking}: {way}")
    others = [folder.name for folder in folders if folder not in (train, test)]
    note = f"left out: {', '.join(others)} (trained on: {train.name}, tested on: {test.name})"
    return [train, test], [note] if others else []


def _class_files(path: Path, root: Path, notes: list[str]) -> dict[str, list[str]]:
    """Return the image files of each class folder in `path`, in the order of their names; add to `notes`.

    As text: making a `Path` of each of 60,000 files takes longer than looking them up.
    """
    found, junk = {}, []
    for folder in _folders(path):
        with os.scandir(folder) as listing:
            entries = sorted((e for e in listing if not e.name.startswith(_HIDDEN)), key=lambda e: e.name)
        nested = next((e.name for e in entries if _is_folder(e)), None)
        if nested:
            way = f"move its images up, or give {folder}, if its folders are classes; parts are called train and test"
            raise ValueError(f"the class folder {folder} holds a folder ({nested}): {way}")
        images = {e.path: _is_image(e) for e in entries}
        found[folder.name] = [file for file, yes in images.items() if yes]
        junk += (others := [file for file, yes in images.items() if not yes])
        if not found[folder.name]:
            what = f"holds no file that Pillow can read{_example(others, folder)}" if others else "is empty"
            raise ValueError(f"class {folder.name!r} has no image: {folder} {what}; add images or remove the folder")
    with os.scandir(path) as listing:
        loose = [e.path for e in listing if not e.name.startswith(_HIDDEN) and not _is_folder(e) and _is_image(e)]
    if not found:
        way = "sort its images into one folder a class, or move it away" if loose else "it must hold one folder a class"
        raise ValueError(f"{path} has no class folders: {way}")
    if junk:
        notes.append(f"{_number(junk, 'file')} skipped, being no images{_example(junk, root)}")
    if loose:
        notes.append(f"{_number(loose, 'image')} left out, lying beside the class folders{_example(loose, root)}")
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # links may form a ring


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether a file has the ending of an image, or is one of the usual kinds under another name."""
    if not (entry.is_symlink() or entry.is_file()):
        return False
    kind = Image.registered_extensions().get(os.path.splitext(entry.name)[1].lower())
    if kind is not None and kind not in _NO_PICTURES:
        return True  # or a damaged one
    try:
        with Image.open(entry.path, formats=_SNIFFED):
            return True
    except Exception:
        return False


def _within(root: Path, files: Sequence[str]) -> list[str]:
    start = len(os.path.join(root, ""))
    return [file[start:] for file in files]


def _number(files: Sequence[str], what: str) -> str:
    return f"{len(files):,} {what}{'s were' if len(files) > 1 else ' was'}"


def _example(files: Sequence[str], root: Path) -> str:
    first = sorted(_within(root, files))[:3]
    return f" ({', '.join(first)}{', ...' if len(files) > 3 else ''})"


class _Unreadable(ValueError):
    """Raised for an image that is whole, but of no use."""


@dataclass(frozen=True)
class _Header:
    """What is known of an image before it is read.

    white: the value that its format has for white if it is grey of more than 8 bits, or else 0.
    wide:  whether it has more than 8 bits a colour, of which the upper 8 are read.
    size:  (width, height), upright if it is not to be changed.
    """

    grey: bool
    white: int
    wide: bool
    frames: bool
    size: tuple[int, int]


def _header(file: str, resized: bool) -> _Header:
    with open(file, "rb") as stream, Image.open(stream) as image:
        deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
        if image.mode in ("I", "F") and not deep:
            raise _Unreadable(f"has pixels of 32 bits (mode {image.mode}): convert it to 8 or 16")
        bits = image.tag_v2[258][0] if deep and image.format == "TIFF" else 16  # BitsPerSample
        wide = not deep and ";16" in str(image.tile[:1])
        frames = getattr(image, "is_animated", False) and image.format != "MPO"  # a photograph and its preview
        size = image.size
        if not resized and _ORIENTED & image.info.keys() and image.format != "TIFF":  # its size is upright already
            size = _upright(image).size
        return _Header(deep or image.mode in _GREY, 2**bits - 1 if deep else 0, wide, frames, size)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image) if _ORIENTED & image.info.keys() else image
    except Exception:  # EXIF data that cannot be read say nothing
        return image


def _pixels(file: str, headers: dict[str, _Header], resized: bool, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Return an image of (width, height) as uint8 (C, H, W)."""
    # A stream, as Pillow 13 scrambles a TIFF that it maps into memory by its name and then turns by a quarter.
    with open(file, "rb") as stream, Image.open(stream) as image:
        if resized and image.width * image.height > LARGE:
            image.draft(None, (2 * size[0], 2 * size[1]))  # a JPEG by a half, quarter or eighth, still twice the size
        image = _upright(image)
        if white := headers[file].white:  # `convert` would make everything above 255 white
            values = np.asarray(image).astype(np.uint32)
            scaled = (255 * values + white // 2) // white
            scaled[values == image.info.get("transparency")] = 255
            image = Image.fromarray(scaled.astype(np.uint8))
        if image.size != size and not resized:
            raise _Unreadable(f"has {image.width}x{image.height} pixels, once upright")
        return _array(image, channels, size)


def _array(image: Image.Image, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Return an upright image as uint8 (C, H, W), laid on white where it is transparent."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)  # (H, W) or (H, W, 3)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _attempt(work: Callable, file: str) -> object:
    """Return `work(file)`, or as a text why the file cannot be read: decoders of images raise nearly anything."""
    try:
        return work(file)
    except _Unreadable as error:
        return str(error)
    except UnidentifiedImageError:
        return "is no image that Pillow can read"
    except Image.DecompressionBombError:
        return f"has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: make it smaller"
    except FileNotFoundError:
        return "is a broken link"
    except Exception as error:
        return f"is damaged ({getattr(error, 'strerror', None) or error or type(error).__name__})"


def _decode(
    files: list[str], root: Path, size: Size, channels: int | None, skip_damaged: bool, progress: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the images, uint8 (K, C, H, W), which of the files they are, bool (N,), and what is to be said of them."""
    bad: dict[str, str] = {}
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 1)) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what is decided here: large images, palettes, odd EXIF data

        def results(work: Callable, what: str, good: list[str]) -> Iterator:
            with make_bar(len(good), what, show=progress and len(files) >= BAR_FROM, unit="image") as bar:
                for file, result in zip(good, pool.map(partial(_attempt, work), good), strict=True):
                    if isinstance(result, str):
                        bad[file] = result
                    else:
                        yield file, result
                    bar.update()

        headers = dict(results(partial(_header, resized=size is not None), "checking images", files))
        if not headers:
            raise _report_of(bad, files, root)
        notes = _check_headers(headers, root, size, channels)
        channels = channels or (1 if all(h.grey for h in headers.values()) else 3)
        width, height = size or next(iter(headers.values())).size
        check_memory(len(headers), (channels, height, width))
        images = np.empty((len(headers), channels, height, width), np.uint8)
        work = partial(_pixels, headers=headers, resized=size is not None, channels=channels, size=(width, height))
        count = 0
        for _, pixels in results(work, "reading images", list(headers)):
            images[count] = pixels
            count += 1
    if bad:
        if not skip_damaged:
            raise _report_of(bad, files, root)
        notes.append(f"{_number(list(bad), 'file')} left out, being unreadable{_example(list(bad), root)}")
    return images[:count], np.array([file not in bad for file in files]), notes


class _UnreadableError(ValueError):
    """Raised with all files that cannot be read."""


def _report_of(bad: dict[str, str], files: list[str], root: Path) -> _UnreadableError:
    lines = [f"  {file} {bad[path]}" for path, file in zip(files, _within(root, files), strict=True) if path in bad]
    return _UnreadableError(
        f"{len(bad):,} of {len(files):,} files in {root} cannot be read:\n" + "\n".join(lines) + "\n"
        "replace or remove them, or have them left out (skip_damaged=True, --skip-damaged)"
    )


def _check_headers(headers: dict[str, _Header], root: Path, wanted: Size, channels: int | None) -> list[str]:
    """Return what is to be said of the images. Raises `ValueError` if they have several sizes and keep them."""
    first, (width, height) = next((file, header.size) for file, header in headers.items())
    others = [file for file, header in headers.items() if header.size != (width, height)]
    if others and wanted is None:
        sizes = f"{first} has {width}x{height} pixels, {others[0]} {'x'.join(map(str, headers[others[0]].size))}"
        raise ValueError(f"all images must have one size, but {sizes}: resize=32 or --resize 32 makes them equal")

    def where(test: Callable[[_Header], bool]) -> list[str]:
        return [file for file, header in headers.items() if test(header)]

    grey = where(lambda header: header.grey)
    mixed = grey if channels is None and len(grey) < len(headers) else []
    found = {"read as RGB, being grey among images in colour": mixed}
    for white in sorted({header.white for header in headers.values()} - {0}):
        found[f"read as {white.bit_length()} bits, {white:,} being white"] = where(lambda h, w=white: h.white == w)
    found["read by the upper 8 of 16 bits a colour"] = where(lambda header: header.wide)
    found["read up to the first of several frames"] = where(lambda header: header.frames)
    if wanted is not None:
        small = where(lambda header: any(2 * old < new for old, new in zip(header.size, wanted, strict=True)))
        found[f"enlarged to more than twice the size, {max(wanted)} pixels"] = small
    return [f"{_number(which, 'image')} {what}{_example(which, root)}" for what, which in found.items() if which]
