"""An archive of CIFAR-10's layout with four images a batch, written as Python 2 wrote the real one."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edu.data import cifar10

ROWS = 4


@dataclass(frozen=True)
class Small:
    """The archive at `path`, what it holds (uint8 (24, 3, 32, 32), int64 (24,)), its files, and what
    `data.cifar10` says of the real one."""

    path: Path
    images: np.ndarray
    labels: np.ndarray
    files: dict[str, bytes]
    constants: dict[str, object]


def text2(value: bytes) -> bytes:
    """A `str` of Python 2 in the opcodes of protocol 2."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def int2(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def list2(values: list[bytes]) -> bytes:
    return b"](" + b"".join(values) + b"e"


def array2(array: np.ndarray) -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\n" + text2(b"u1") + b"K\x00K\x01\x87R(K\x03U\x01|NNN" + int2(-1) + int2(-1) + b"K\x00tb"
    shape = b"(" + b"".join(int2(n) for n in array.shape) + b"t"
    return made + b"(K\x01" + shape + kind + b"\x89" + text2(array.tobytes()) + b"tb"


def dict2(values: dict[bytes, bytes]) -> bytes:
    """A whole pickle of a dictionary, from names and the opcodes of their values."""
    return b"\x80\x02}(" + b"".join(text2(k) + v for k, v in values.items()) + b"u."


def batch2(images: np.ndarray, labels: np.ndarray) -> bytes:
    return dict2(
        {
            b"batch_label": text2(b"a batch"),
            b"labels": list2([int2(int(v)) for v in labels]),
            b"data": array2(images.reshape(len(images), -1)),
            b"filenames": list2([text2(b"image.png")] * len(images)),
        }
    )


def make_archive(folder: Path, files: dict[str, bytes] | None = None) -> Small:
    """Write the archive into `folder`. `files` replaces some of its files; the checksums are those of what it holds."""
    rng = np.random.default_rng(0)
    names = [*cifar10.TRAIN, *cifar10.TEST]
    images = rng.integers(0, 256, (ROWS * len(names), 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, len(images))
    parts = [slice(i * ROWS, (i + 1) * ROWS) for i in range(len(names))]
    content = {name: batch2(images[p], labels[p]) for name, p in zip(names, parts, strict=True)}
    content["batches.meta"] = dict2({b"label_names": list2([text2(n.encode()) for n in cifar10.CLASSES])})
    content |= files or {}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / cifar10.ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {"readme.html": b"<html>", **dict(reversed(content.items()))}.items():
            member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    sums = {name: hashlib.md5(data).hexdigest() for name, data in content.items()}
    constants = {
        "MD5": hashlib.md5(path.read_bytes()).hexdigest(),
        "SIZE": path.stat().st_size,
        "TRAIN": {name: sums[name] for name in cifar10.TRAIN},
        "TEST": {name: sums[name] for name in cifar10.TEST},
        "ROWS": ROWS,
    }
    return Small(path, images, labels, content, constants)
