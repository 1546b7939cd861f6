"""Reading a pickle of byte arrays and plain values that may have been forged.

Scope: `pickle.load` runs what a file tells it to run. This reader knows a handful of names and puts harmless things of
its own in their place, so that the worst that a forged file can do is fail, or take memory in proportion to its size.

Sources
  [1] Python's documentation of `pickle`, "Restricting Globals".
  [2] NumPy, `ndarray.__reduce__` and `__setstate__`: what the pickle of an array holds, in Python 2 and 3.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np


class _Dtype:
    """Stands for the dtype in a pickle, which must be the one of bytes."""

    def __init__(self, code: str, *_: Any) -> None:
        if code != "u1":
            raise pickle.UnpicklingError(f"an array has the dtype {code!r}, but a batch has bytes ('u1') only")

    def __setstate__(self, state: Any) -> None:
        """Take no notice of the state (byte order and the like): bytes have none."""


class _Array:
    """Stands for an array in a pickle. NumPy's own makers of arrays trust what they are told about memory."""

    value: np.ndarray | None = None

    def __init__(self, *_: Any) -> None:
        """Take no notice of the arguments: the contents come later, in `__setstate__`."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.fill(raw.encode("latin1") if isinstance(raw, str) else raw, dtype, shape, "F" if fortran else "C")

    def fill(self, raw: bytes, dtype: Any, shape: tuple, order: str) -> _Array:
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array has no dtype")
        self.value = np.frombuffer(raw, np.uint8).reshape(shape, order=order)
        return self


def _from_buffer(raw: bytes, dtype: Any, shape: tuple, order: str) -> _Array:
    return _Array().fill(raw, dtype, shape, order)


def _encode(text: str, coding: str) -> bytes:
    if coding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the coding {coding!r}, which no batch needs")
    return text.encode("latin1")


_KNOWN = {  # what the pickle of a batch may ask for, and what it gets
    ("numpy", "ndarray"): "numpy.ndarray",  # only an argument of _reconstruct
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,  # bytes written by Python 3 in protocol 2
}


class _Unpickler(pickle.Unpickler):
    """Knows what arrays of bytes and plain values are made of, and nothing else ([1])."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return _KNOWN[module, name]


def load_pickle(data: bytes) -> dict[str, Any]:
    """Return the dictionary in a pickle, with its arrays as uint8 arrays (read-only, of the shape that they had).

    Arrays are looked for among the values of the dictionary. Text written by Python 2 is read as Latin-1.

    Raises `ValueError` for anything else than bytes, numbers, text, lists, tuples and dictionaries in it.
    """
    try:
        values = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"it cannot be read as a pickle ({type(error).__name__}: {error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"it must hold a dictionary, but it holds a {type(values).__name__}")
    return {key: value.value if isinstance(value, _Array) else value for key, value in values.items()}
