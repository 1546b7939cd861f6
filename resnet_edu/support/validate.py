"""Checks of arguments, with one rule: a wrong type raises `TypeError`, a wrong value `ValueError`.

Each message names the argument, the rule and the value that was given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TypeVar

T = TypeVar("T")


def whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an `int` if it is a whole number, also one of NumPy's, from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be a whole number, but it is {value!r} ({type(value).__name__})")
    _in_range(name, value, least, most)
    return int(value)


def real(
    name: str, value: object, least: float = -math.inf, most: float = math.inf, *, above: float | None = None
) -> float:
    """Return `value` as a `float` if it is a finite number, also NumPy's, `above` one or from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a number, but it is {value!r} ({type(value).__name__})")
    if not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number, but it is {value!r}")
    if above is not None and not value > above:
        raise ValueError(f"`{name}` must be greater than {above:g}, but it is {value!r}")
    _in_range(name, value, least, most)
    return float(value)


def one_of(name: str, value: T, choices: Iterable[T]) -> T:
    """Return `value` if it is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}, but it is {value!r}")
    return value


def _in_range(name: str, value: Real, least: float, most: float | None) -> None:
    if value < least or (most is not None and value > most):
        rule = f"at least {least:,}" if most in (None, math.inf) else f"from {least:,} to {most:,}"
        rule = f"at most {most:,}" if least == -math.inf else rule
        raise ValueError(f"`{name}` must be {rule}, but it is {value!r}")
