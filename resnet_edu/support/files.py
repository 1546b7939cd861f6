"""Files: written whole or not at all, JSON with a version, and caches of arrays.

Sources
  [1] Python's documentation of `os.replace`: a rename within one folder is atomic.
  [2] XDG Base Directory Specification: where a cache belongs.
  [3] NumPy, `numpy.lib.format`, version 1.0; each member of an .npz file has a CRC-32, which is checked at its end.
"""

import dataclasses
import io
import json
import os
import tempfile
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .validate import shown


def read_file(path: str | os.PathLike[str], way: str = "") -> bytes:
    """Return the bytes of a file. Raises `FileNotFoundError` if there is none, `OSError` if it cannot be read.

    way: what a message ends with that says that there is none.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}{way}") from None
    except OSError as error:
        raise OSError(f"cannot read {path} ({error.strerror or error}): name a file that can be read") from None


def read_json(path: str | os.PathLike[str], error: type[ValueError] = ValueError) -> Any:
    """Return the values in a JSON file. Raises `FileNotFoundError`, and `error` for what is no JSON text."""
    path = Path(path)
    try:
        return json.loads(read_file(path).decode())
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is damaged: it is no JSON text ({reason}); restore it or remove it") from None


def fields_of(
    kind: type, values: Any, origin: object, error: type[ValueError], schema: int, derived: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the arguments of the data class `kind` that a file of a versioned format holds.

    values:  what `read_json` has returned: an object with the class's fields, and `schema`, its version.
    schema:  the newest version that is known.
    derived: names in the file that are no fields.

    Raises `error`, naming `origin`, for no object, a newer version, a missing or an unknown field, or another type.
    """
    if not isinstance(values, dict) or "schema" not in values:
        raise error(f"{origin} is none of our files: it has no field 'schema'")
    found = values["schema"]
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise error(f"{origin}: 'schema' must be a whole number of at least 1, but it is {found!r}")
    if found > schema:
        raise error(f"{origin} has schema {found}, but this version of resnet_edu knows {schema} at most: update it")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    needed = {n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing, unknown = sorted(needed - set(values)), sorted(set(values) - set(fields) - {"schema", *derived})
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has unknown fields: {', '.join(unknown)}"
        raise error(f"{origin} is damaged or was edited: it {what}")
    found, hints = {name: values[name] for name in fields if name in values}, typing.get_type_hints(kind)
    for name, value in found.items():
        if not _can_be(value, hints[name]):
            raise error(f"{origin} is damaged or was edited: {name!r} cannot be {shown(value)}")
    return found


def _can_be(value: Any, hint: Any) -> bool:
    """Return whether a value that was read from JSON can be of this type, which may be a union; not what is in it."""
    hints = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [typing.get_origin(hint) or hint for hint in hints]
    as_json = {tuple: (list,), float: (float, int)}
    return any(type(value) in as_json.get(k, (dict,) if dataclasses.is_dataclass(k) else (k,)) for k in kinds)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, flush it to the disk, and rename it into place ([1]).

    Raises `OSError`, which names the file, if that cannot be done; what was there before is kept then.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except OSError as error:
        how = "make room on its disk, or see that its folder can be written to"
        raise OSError(f"cannot write {path} ({error.strerror or error}): {how}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)  # gone already where it was renamed


def write_json(path: str | os.PathLike[str], values: Any, indent: int | None = None, replace: bool = False) -> Path:
    """Write `values` as JSON to `path`, whole or not at all, and return it.

    Raises `OSError` if it cannot be written, then what was there stays, and `FileExistsError` unless it may `replace`.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise FileExistsError(f"{path} exists: give another path, or remove it")
    write_atomic(path, (json.dumps(values, indent=indent, allow_nan=False) + "\n").encode())
    return path


def cache_folder() -> Path:
    """Return where caches go: $RESNET_EDU_CACHE, or `resnet_edu` in the user's cache folder ([2])."""
    named = os.path.expanduser(os.environ.get("RESNET_EDU_CACHE", ""))
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "resnet_edu"


def read_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Return the named arrays of a cache ([3]). Raises `ValueError` if it cannot be read, or is damaged in any way."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except Exception as error:  # the readers of zip files and of headers can raise nearly anything
        raise ValueError(f"the cache {path} is damaged ({type(error).__name__}: {error})") from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a cache, and the folder that it lies in. Raises `OSError` if it cannot be stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getbuffer())
