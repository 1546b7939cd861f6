"""What many functions ask of their arguments, and say in one way if they do not get it."""

from __future__ import annotations

import math
from numbers import Real


def whole_number(name: str, value: object, least: int = 1) -> int:
    """Return `value` if it is a whole number (`int`, not `bool`) of at least `least`.

    Raises `ValueError`, which names the argument `name`, the rule and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"`{name}` must be a whole number of at least {least}, but it is {value!r}")
    return value


def is_number(value: object) -> bool:
    """Return whether `value` is a finite number: of any kind, also NumPy's, but no `bool`."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
