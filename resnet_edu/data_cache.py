"""Images that took long to read, kept as bytes in a file of their own: read whole and right, or not at all.

Scope: where caches lie, and one .npz file of a few arrays. What belongs into a cache is known where it is made, in
`data_cifar.py` and `data_folder.py`.

Sources
  [1] NumPy, `numpy.lib.format`, version 1.0; each member of an .npz file has a CRC-32, which is checked at its end.
  [2] XDG Base Directory Specification: where a cache belongs.
"""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from .records import write_atomic

_ABANDONED = 3 * 3600.0  # seconds since the last byte, after which nobody is still writing a file


def cache_folder() -> Path:
    """Return where caches go: $RESNET_EDU_CACHE, or `resnet_edu` in the user's cache folder ([2])."""
    named = os.path.expanduser(os.environ.get("RESNET_EDU_CACHE", ""))
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "resnet_edu"


def read_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Return the named arrays of a cache, each whole and with the right checksum ([1]).

    Raises `ValueError` for a file that cannot be read or is damaged, in whatever way.
    """
    arrays = []
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                with archive.open(f"{name}.npy") as member:
                    arrays.append(np.lib.format.read_array(member, allow_pickle=False))
                    if member.read(1):  # a header that tells of fewer bytes: their checksum would not be compared
                        raise ValueError(f"{name} goes on behind its end")
    except Exception as error:  # the readers of zip files and of headers can raise nearly anything
        raise ValueError(f"the cache {path} is damaged ({type(error).__name__}: {error})") from None
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a cache, and the folder that it lies in. Raises `OSError` if it cannot be stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getbuffer())


def remove_abandoned(folder: Path, names: str) -> None:
    """Remove from `folder` what processes left that were killed while they wrote a cache.

    names: what the names of the caches look like, as in `Path.glob`. `write_atomic` adds to them what it has not yet
    renamed. That another process writes one right now cannot be told from its name, but from its age.
    """
    with suppress(OSError):
        for file in folder.glob(f".{names}.*.tmp"):
            with suppress(OSError):  # another process may have removed it, or it may be somebody else's
                if time.time() - file.stat().st_mtime > _ABANDONED:
                    file.unlink()
