"""Downloading one file of known checksum, or at least size, from the first of several addresses that serves it.

Scope: the file is under its final name whole and checked, or not at all. What has arrived of a broken download is
kept in a file `.part` beside it and resumed, at the same address or at the next one: the checksum decides in the end.
An address that is slow is left while there is another, and taken up again if none is faster.
Only the standard library and the progress bar are used, and proxies are taken from the environment, as urllib does.

Sources
  [1] RFC 9110, "HTTP Semantics", section 14: Range, Content-Range, and the answers 206 and 416.
  [2] Python's documentation of `urllib.request` (proxies, timeouts) and of `os.replace` (atomic in one folder).
  [3] RFC 1952, section 2.3.1: a gzip file begins with the bytes 1f 8b.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from .. import __version__
from .system import make_bar

try:
    import fcntl
except ImportError:  # Windows: two processes that download into one folder at once are not kept apart there
    fcntl = None

GZIP = b"\x1f\x8b"  # [3]
TIMEOUT = 30.0  # seconds without a byte
MIN_SPEED = 200_000  # bytes a second: CIFAR-10 in a quarter of an hour
_CHUNK = 1 << 18  # bytes
_ROUNDS = 1000  # connections to one address
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DownloadError(RuntimeError):
    """Raised if no address served the file, or it could not be stored.

    reasons: one pair (address, why it failed) for each address that was tried, in their order.
    """

    def __init__(self, message: str, reasons: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)


class _AddressFailed(Exception):
    """One address does not serve the file; the next one may."""


class _TooSlow(_AddressFailed):
    """An address serves the file, but at `speed` bytes a second only."""

    def __init__(self, speed: float, least: float, seconds: float) -> None:
        super().__init__(f"it is slow: {speed:,.0f} bytes a second for {seconds:.1f} s, fewer than {least:,.0f}")
        self.speed = speed


class _BrokenOff(Exception):
    """The connection ended or stalled before the end of the file: it can be resumed."""


class _Patience:
    """How long one address is waited for: `timeout` seconds for a byte, and as long for a speed of `least` bytes/s."""

    def __init__(self, timeout: float, least: float) -> None:
        self.timeout, self._least = timeout, least
        self._since: float | None = None
        self._count = 0

    def got(self, count: int) -> None:
        """Take notice of bytes that came; raise `_TooSlow` once a whole span of `timeout` seconds brought too few."""
        now = time.monotonic()
        if self._since is None:  # connecting does not count, only what lies between the first byte and the last
            self._since = now
        self._count += count
        seconds = now - self._since
        if seconds < self.timeout:
            return
        if self._count < self._least * seconds:
            raise _TooSlow(self._count / seconds, self._least, seconds)
        self._since, self._count = now, 0


def fetch(
    urls: Sequence[str],
    path: str | os.PathLike[str],
    *,
    md5: str | None,
    size: int | None = None,
    magic: bytes = GZIP,
    progress: bool = True,
    timeout: float = TIMEOUT,
    min_speed: float = MIN_SPEED,
) -> Path:
    """Return `path`, after downloading it from the first of `urls` that serves the right file.

    md5:      the checksum in hexadecimal digits. A file at `path` that has it is returned without a download. None if
              it is not known: then the size decides, and the caller has to check what is in the file.
    size:     in bytes, if it is known: then a wrong length is found before the download, not after it.
    magic:    the bytes that the file begins with; an error page begins otherwise.
    progress: show a bar on stderr, and a note on each address that failed.
    timeout:  seconds without a byte after which a connection counts as stalled.
    min_speed: bytes a second. An address that sends fewer for `timeout` seconds is left while there is another to try;
              if none serves the file, the slow ones are taken up again, the fastest first, at whatever speed.

    Raises `DownloadError` if no address serves the file, naming each and why; and at once, without trying the next
    address, if the file cannot be stored (a full disk, a folder that may not be written to). `ValueError` if neither
    md5 nor size is known.
    """
    if md5 is None and size is None:
        raise ValueError("`md5` or `size` must be known, or a broken download could not be told from a whole one")
    path = Path(path)
    if _is_whole(path, md5, size):
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _open_alone(part, progress)
    except OSError as error:
        raise _cannot_store(path, size, error) from None
    try:
        # Another process may have finished it while this one waited, or one was killed just before the renaming.
        if _is_whole(path, md5, size):
            part.unlink()
            return path
        if _length(file) and _is_right(file, md5, size):
            return _finish(file, part, path, size)
        _check_room(path, size, _length(file))

        def attempt(url: str, least: float) -> None:
            _from_address(url, file, path, md5, size, magic, progress, _Patience(timeout, least))

        try:
            reasons = _try_each(urls, attempt, min_speed, progress)
        except DownloadError:  # a full disk: give back what was taken of it
            file.truncate(0)
            raise
        if reasons is None:
            return _finish(file, part, path, size)
    finally:
        _close(file, part)
    told = "".join(f"\n  {url}: {why}" for url, why in reasons) or "\n  there is no address to try"
    raise DownloadError(f"{path.name} could not be downloaded:{told}", reasons)


def _try_each(
    urls: Sequence[str], attempt: Callable[[str, float], None], min_speed: float, progress: bool
) -> list[tuple[str, str]] | None:
    """Call `attempt(address, least speed)` until one address serves the file; if none does, return why of each."""
    reasons: dict[str, str] = {}
    slow: dict[str, float] = {}  # address: its speed
    waiting = list(urls)
    while waiting:
        url = waiting.pop(0)
        try:
            attempt(url, min_speed if waiting or slow else 0)  # the last one that is left may be slow
            return None
        except _AddressFailed as error:
            reasons[url] = str(error)
            if isinstance(error, _TooSlow):
                slow[url] = error.speed
        if progress:
            print(f"note: {url}: {reasons[url]}", file=sys.stderr)
        if slow and not waiting:
            waiting, min_speed = sorted(slow, key=lambda url: -slow[url]), 0
            slow = {}
            if progress:
                print(f"note: {waiting[0]}: no address is faster: it is taken up again", file=sys.stderr)
    return list(reasons.items())


def _is_whole(path: Path, md5: str | None, size: int | None) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _is_right(file, md5, size)


def _is_right(file: BinaryIO, md5: str | None, size: int | None) -> bool:
    return _length(file) == size if md5 is None else _md5(file) == md5


def md5_of(path: Path) -> str:
    """Return the MD5 of a file, in hexadecimal digits. It finds accidents; it is no proof against forgery."""
    with path.open("rb") as file:
        return _md5(file)


def _md5(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _open_alone(part: Path, progress: bool) -> BinaryIO:
    """Return `part` open for reading and writing, unbuffered; wait while another process is downloading into it."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b", buffering=0)
        if fcntl is None:
            return file
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if progress:
                    print(f"note: another process is downloading {part.stem}: waiting for it", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            return file  # a file system without locks
        try:
            if os.path.samestat(os.fstat(file.fileno()), os.stat(part)):
                return file
        except FileNotFoundError:
            pass
        file.close()  # the other process has renamed or removed it meanwhile


def _from_address(
    url: str,
    file: BinaryIO,
    path: Path,
    md5: str | None,
    size: int | None,
    magic: bytes,
    progress: bool,
    patience: _Patience,
) -> None:
    """Fill `file` from one address until its checksum (or size) is right, or raise `_AddressFailed`."""
    if not url.startswith(("http://", "https://")):
        raise _AddressFailed("an address must begin with http:// or https://")
    started_over = False
    for _ in range(_ROUNDS):  # each gains some bytes
        if size is not None and _length(file) >= size:
            file.truncate(0)  # too long, or of the right length and wrong
        before = _length(file)
        try:
            first = _transfer(url, file, path, size, magic, progress, patience)
        except _BrokenOff as error:
            if _length(file) > before:
                continue
            raise _AddressFailed(str(error)) from None
        if _is_right(file, md5, size):
            return
        found = _md5(file)
        file.truncate(0)
        if first == 0 or started_over:
            raise _AddressFailed(f"it serves another file: its md5 is {found}, not {md5}")
        started_over = True  # its pieces may be of two files: this address may serve all of the right one now
    raise _AddressFailed("the connection broke off again and again")


def _transfer(
    url: str, file: BinaryIO, path: Path, size: int | None, magic: bytes, progress: bool, patience: _Patience
) -> int:
    """Append to `file` what is missing of it, from one connection; start over where it cannot be resumed ([1]).

    Starting over writes upon what is there: it is the same file, as far as anybody knows, and stays if this breaks off.
    Returns the place of the first byte that came.
    """
    start = _length(file)
    response = _request(url, start, patience.timeout)
    with response:
        kind = response.headers.get_content_type()
        if kind in ("text/html", "application/xhtml+xml"):
            raise _AddressFailed(f"it sends a web page ({kind}) instead of the file")
        first, total = 0, _number(response.headers.get("Content-Length", ""))
        if response.status == 206:
            given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            first, total = (_number(g) for g in given.groups()) if given else (None, None)
        if size is not None and total is not None and total != size:
            raise _AddressFailed(f"its file has {total:,} bytes, but the right one has {size:,}")
        if first not in (0, start):
            raise _AddressFailed(f"it answers with another part than was asked for (from byte {start:,} on)")
        end = size if total is None else total
        file.seek(first)
        with make_bar(
            end, path.name, show=progress, initial=first, unit="B", unit_scale=True, unit_divisor=1000
        ) as bar:
            position = first
            while end is None or position < end:
                try:
                    data = response.read1(_CHUNK if end is None else min(_CHUNK, end - position))
                except TimeoutError:
                    raise _BrokenOff(
                        f"it stalled at {_of(position, end)}: nothing came for {patience.timeout:g} s"
                    ) from None
                except (OSError, http.client.HTTPException) as error:
                    raise _BrokenOff(f"it broke off at {_of(position, end)} ({_reason(error)})") from None
                if not data:
                    break
                if position < len(magic) and not magic[position:].startswith(data[: len(magic) - position]):
                    raise _AddressFailed(f"it sends something else: the first bytes are {data[:16]!r}, not {magic!r}")
                _write(file, data, path, size)
                position += len(data)
                bar.update(len(data))
                if end is None or position < end:
                    patience.got(len(data))
    if end is not None and position < end:
        raise _BrokenOff(f"it broke off at {_of(position, end)}")
    file.truncate(position)
    return first


def _request(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    """Return the open answer to a request for the bytes from `start` on, or for all where there are none there."""
    headers = {"User-Agent": f"resnet_edu/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        # A new opener each time: `urlopen` keeps the proxies that the environment named when it was first called.
        return urllib.request.build_opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            return _request(url, 0, timeout)
        raise _AddressFailed(f"it answers with the error {error.code} {error.reason}") from None
    except TimeoutError:
        raise _AddressFailed(f"no answer within {timeout:g} s") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _AddressFailed(f"no connection ({_reason(error)})") from None


def _number(digits: str) -> int | None:
    """Return a number of bytes that a server tells; None if it tells none, or one that no file has."""
    return int(digits) if re.fullmatch("[0-9]{1,18}", digits) else None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(reason).__name__


def _of(position: int, end: int | None) -> str:
    return f"{position:,} bytes" + (f" of {end:,}" if end is not None else "")


def _write(file: BinaryIO, data: bytes, path: Path, size: int | None) -> None:
    rest = memoryview(data)
    try:
        while rest:  # an unbuffered file may take a part only
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _cannot_store(path, size, error) from None


def _finish(file: BinaryIO, part: Path, path: Path, size: int | None) -> Path:
    """Put the whole and checked file in its place."""
    try:
        os.fsync(file.fileno())
        if os.name == "nt":
            file.close()  # an open file cannot be renamed there
        os.replace(part, path)
    except OSError as error:
        raise _cannot_store(path, size, error) from None
    return path


def _close(file: BinaryIO, part: Path) -> None:
    """Close `part`, and remove it if there is nothing in it."""
    if file.closed:
        return
    empty = not _length(file)
    if os.name == "nt":
        file.close()  # an open file cannot be removed there
    if empty:
        part.unlink(missing_ok=True)  # while it is locked: the next process must not lose its own
    file.close()


def _check_room(path: Path, size: int | None, there: int) -> None:
    """Raise before the download what would come to light at its end."""
    if size is None:
        return
    free = shutil.disk_usage(path.parent).free
    if free + there < size:
        raise _cannot_store(path, size, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _cannot_store(path: Path, size: int | None, error: OSError) -> DownloadError:
    folder = path.parent.resolve()
    why = error.strerror or str(error)
    if error.errno not in _FULL:
        return DownloadError(f"{path.name} cannot be stored in {folder} ({why}): give a folder that can be written to")
    try:
        free = f"{shutil.disk_usage(folder).free / 1e6:,.0f} MB"
    except OSError:
        free = "an unknown amount"
    need = f"it has {size / 1e6:,.0f} MB" if size else "its size is unknown"
    return DownloadError(
        f"{path.name} does not fit into {folder} ({why}): {need}, and {free} is free; make room there, or give another "
        "folder"
    )
