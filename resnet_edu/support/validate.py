"""Checks of arguments, with one rule: a wrong type raises `TypeError`, a wrong value `ValueError`.

Each message names the argument, the rule and the value that was given.
"""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TypeVar

T = TypeVar("T")
LONGEST = 60  # characters of a value in a message


def shown(value: object) -> str:
    """Return `value` as a message shows it: its `repr` in one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def listed(names: Sequence[str], most: int) -> str:
    """Return the first names, `most` of them, as a message lists them."""
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


def whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an `int` if it is a whole number, also one of NumPy's, from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be a whole number, but it is {shown(value)} ({type(value).__name__})")
    _in_range(name, value, least, most)
    return int(value)


def real(
    name: str, value: object, least: float = -math.inf, most: float = math.inf, *, above: float | None = None
) -> float:
    """Return `value` as a `float` if it is a finite number, also NumPy's, `above` one or from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a number, but it is {shown(value)} ({type(value).__name__})")
    if not math.isfinite(_bounded(name, value)):
        raise ValueError(f"`{name}` must be a finite number, but it is {shown(value)}")
    if above is not None and not value > above:
        raise ValueError(f"`{name}` must be greater than {above:g}, but it is {shown(value)}")
    _in_range(name, value, least, most)
    return float(value)


def wholes(name: str, values: object, least: int = 1) -> list[int]:
    """Return `values` as a list if it is a list, a tuple, or another collection of whole numbers from `least` on."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"`{name}` must be whole numbers, such as (1, 2), but it is {shown(values)}")
    return [whole(name, value, least) for value in values]


def of_type(name: str, value: T, *kinds: type) -> T:
    """Return `value` if it is an object of one of these classes."""
    if not isinstance(value, kinds):
        rule = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise TypeError(f"`{name}` must be of type {rule}, but it is {shown(value)}")
    return value


def one_of(name: str, value: T, choices: Iterable[T]) -> T:
    """Return `value` if it is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}, but it is {shown(value)}")
    return value


def _bounded(name: str, value: Real) -> Real:
    """Return `value` unless it is a whole number that takes more than 64 bits: torch and `float` fail at those."""
    if isinstance(value, Integral) and abs(value) >= 2**63:
        raise ValueError(f"`{name}` must be below 2**63, but it has {int(value).bit_length():,} bits")
    return value


def _in_range(name: str, value: Real, least: float, most: float | None) -> None:
    if _bounded(name, value) < least or (most is not None and value > most):
        rule = f"at least {least:,}" if most in (None, math.inf) else f"from {least:,} to {most:,}"
        rule = f"at most {most:,}" if least == -math.inf else rule
        raise ValueError(f"`{name}` must be {rule}, but it is {shown(value)}")
