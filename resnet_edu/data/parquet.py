"""Images out of the Parquet files that Hugging Face serves: a column of encoded pictures, and a column of labels.

Scope: one file to arrays, and a fingerprint of rows that does not depend on their order. pyarrow is imported where a
file is read: it is an optional dependency. Which files CIFAR-10 has is in `data_cifar.py`.

Sources
  [1] Apache Parquet, file format: a file begins and ends with the bytes PAR1.
  [2] Hugging Face datasets, `Image` feature: a struct of `bytes` (an encoded picture) and `path`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..support.system import make_bar

MAGIC = b"PAR1"  # [1]
INSTALL = "pip install pyarrow"


def is_readable() -> bool:
    """Return whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def read_rows(
    path: Path, shape: tuple[int, int, int], classes: int, *, column: str = "img", progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images uint8 (N, 3, H, W) and the labels int64 (N,) of one file, in its order.

    shape:   (3, H, W), which every picture must have: PNG, red, green, blue.
    classes: labels must lie in 0..classes - 1.
    column:  of the pictures ([2]); the labels are in `label`.

    Raises `ValueError`, naming the file and the row, for anything else, and `ImportError` without pyarrow.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ImportError(f"{path} can be read with pyarrow only, which is not installed: {INSTALL}") from None
    images, labels = [], []
    try:
        with ParquetFile(path) as file, make_bar(file.metadata.num_rows, f"reading {path.name}", show=progress) as bar:
            for batch in file.iter_batches(batch_size=1000, columns=[column, "label"]):
                pictures = batch.column(column).field("bytes")
                for picture in pictures:
                    images.append(_decode(picture.as_py(), shape, f"{path}, row {len(images)}"))
                labels += batch.column("label").to_pylist()
                bar.update(len(batch))
    except (ArrowException, OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged, or no file of the columns {column!r} and 'label' ({error})") from None
    wrong = next((i for i, v in enumerate(labels) if type(v) is not int or not 0 <= v < classes), None)
    if wrong is not None:
        raise ValueError(f"{path}, row {wrong}: the label must be in 0..{classes - 1}, but it is {labels[wrong]!r}")
    if not images:
        raise ValueError(f"{path} has no rows")
    return np.stack(images), np.array(labels, np.int64)


def _decode(data: object, shape: tuple[int, int, int], where: str) -> np.ndarray:
    """Return a PNG as uint8 (3, H, W)."""
    if not isinstance(data, bytes):
        raise ValueError(f"{where}: there is no picture")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if (picture.mode, *picture.size[::-1]) != ("RGB", *shape[1:]):
                size = "x".join(map(str, picture.size))
                raise ValueError(f"{where}: the picture is {picture.mode} of {size}, not RGB of {shape[2]}x{shape[1]}")
            return np.asarray(picture).transpose(2, 0, 1)
    except (OSError, SyntaxError) as error:  # Pillow tells a broken PNG by either
        raise ValueError(f"{where}: the picture is damaged ({error})") from None


def content_digest(images: np.ndarray, labels: np.ndarray) -> str:
    """Return a SHA-256, in hexadecimal digits, that is the same for the same rows in any order.

    It is the digest of the sorted digests of the rows, and a row is its label as one byte and its pixels (C, H, W).
    So it tells whether two data sets hold the same labelled images equally often, and nothing of their order.
    """
    rows = zip(np.ascontiguousarray(images), labels.tolist(), strict=True)
    digests = sorted(hashlib.sha256(bytes([label]) + image.tobytes()).digest() for image, label in rows)
    return hashlib.sha256(b"".join(digests)).hexdigest()
