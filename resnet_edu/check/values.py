"""Handed-in numbers, shapes, words and lists beside the right ones, and beside what each known slip would give.

Each function raises `NotYet` for a wrong value; no message has the right one.
"""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from torch import nn

from ..experiment.records import RunRecord
from ..support.validate import shown
from .verdict import NotYet, list_text, name_mistake


def check_number(
    name: str, given: object, right: float, slips: Mapping[float, str] | None = None, within: float = 1e-3
) -> None:
    """Raise `NotYet` unless `given` is the number `right`.

    slips:  what a known slip gives -> the sentence about it.
    within: how far off it may be: that share of `right`, or as much where `right` is smaller than 1.
    """
    given = as_number(name, given)
    if math.isclose(given, right, rel_tol=within, abs_tol=within if abs(right) < 1 else 0):
        return
    hint = "too large" if given > right else "too small" if given < right else "not a number"
    _, point, places = repr(float(given)).partition(".")
    if point and places.isdigit() and not float(given).is_integer():
        unit = 10.0 ** -len(places)
        if given in (round(right, len(places)), round(math.trunc(right / unit) * unit, len(places))):
            hint = "that may be right, rounded too far to tell: give more digits"
    slips = dict(slips or {})
    if 0 < right < 1:
        slips.setdefault(100 * right, "that is 100 times too much. Is it in percent?")
    for value, sentence in slips.items():
        if math.isclose(given, value, rel_tol=3 * within):  # a slip is made with numbers that are a little off, too
            hint = sentence
            break
    raise NotYet(f"`{name}` is {float(given):,.6g}: {hint}")


def as_number(name: str, given: object) -> float:
    """Return `given` if it is a number, also one in a tensor or an array."""
    given = _plain(given)
    if isinstance(given, bool) or not isinstance(given, Real):
        text = f"of shape {tuple(given.shape)}" if hasattr(given, "shape") else shown(given)
        raise NotYet(f"`{name}` is {text}, and a number is expected")
    if abs(given) > sys.float_info.max:
        raise NotYet(f"`{name}` is beyond all numbers that a computer's float can hold")
    return given


def _plain(value: Any) -> Any:
    """Return a number or a word that is alone in a tensor or an array, or NumPy's own, as Python's."""
    return value.item() if hasattr(value, "item") and math.prod(value.shape) == 1 else value


def check_shape(name: str, given: object, right: Sequence[int], slips: Mapping[tuple, str]) -> None:
    """Raise `NotYet` unless `given` is the shape, or list of sizes, `right`; a batch of one in front is left out."""
    try:
        given = tuple(given)
        values = tuple(map(int, given))
    except (OverflowError, TypeError, ValueError):
        values = None
    if values is None or values != given:
        raise NotYet(f"`{name}` is {shown(given)}, and whole numbers are expected, such as (16, 32, 32)")
    right = tuple(right)
    if len(values) == len(right) + 1 == 4 and values[0] == 1:
        values = values[1:]
    if values == right:
        return
    if values in slips:
        raise NotYet(f"`{name}` is {values}: {slips[values]}")
    if len(values) != len(right):
        raise NotYet(f"`{name}` is {values}, with {len(values)} numbers, and {len(right)} are expected")
    wrong = [place for place, (a, b) in enumerate(zip(values, right, strict=True), start=1) if a != b]
    raise NotYet(f"`{name}` is {values}: not right in place {list_text(wrong)}")


def check_choice(name: str, given: object, right: Any, choices: Iterable[Any], hint: str) -> None:
    """Raise `NotYet` unless `given` is `right`, with `hint` if it is another of the possible answers `choices`."""
    given, choices = _plain(given), [_plain(choice) for choice in choices]
    if not any(type(given) is type(choice) and given == choice for choice in choices):
        raise NotYet(f"`{name}` is {shown(given)}, and it must be one of {', '.join(sorted(map(repr, choices)))}")
    if given != right:
        raise NotYet(f"`{name}` is {shown(given)}: {hint}")


def as_list(name: str, given: object, count: int | None = None, what: str = "values") -> list:
    """Return `given` as a list, of `count` entries if that is given; `what` they are, for messages."""
    try:
        values = None if isinstance(given, (str, bytes)) else list(given)
    except TypeError:  # one number in a tensor is among what cannot be listed
        values = None
    if values is None:
        raise NotYet(f"`{name}` is {shown(given)}, and a list of {what} is expected")
    if count is not None and len(values) != count:
        raise NotYet(f"`{name}` has {len(values)} entries, and {count} {what} are expected")
    return values


def as_records(name: str, given: object, least: int) -> list[RunRecord]:
    """Return `given` as a list of run records, `least` or more."""
    records = as_list(name, given, None, "records, as `degradation.run` returns it,")
    for record in records:
        if not isinstance(record, RunRecord):
            raise NotYet(f"`{name}` holds {shown(record)}, and the records that `degradation.run` returns are expected")
    if len(records) < least:
        raise NotYet(f"`{name}` has {len(records)} records, and at least {least} are expected")
    return records


def as_net(name: str, given: object) -> nn.Module:
    """Return `given` if it is a network."""
    if not isinstance(given, nn.Module):
        raise NotYet(f"`{name}` is {shown(given)}, and a network is expected: not its class, not its trace")
    return given


def as_percentages(name: str, given: object, count: int | None) -> list[float]:
    """Return `count` errors in percent (None: any number of them) as floats; shares of 1 are refused."""
    values = as_list(name, given, count, "errors in percent")
    if not values:
        raise NotYet(f"`{name}` is empty: errors in percent are expected")
    for value in values:
        if not 0 <= as_number(f"{name}, one of its errors,", value) <= 100:
            raise NotYet(f"`{name}` holds {value!r}, and errors in percent lie between 0 and 100")
    if 0 < max(values) <= 1:
        raise NotYet(f"`{name}` holds nothing above 1: errors in percent are expected, not shares")
    return [float(v) for v in values]


def compare_values(
    name: str,
    cases: Sequence[object],
    got: Sequence[float],
    right: Sequence[float],
    mistakes: Mapping[str, Sequence[float]],
    within: float = 0.0,
) -> None:
    """Raise `NotYet` with the mistake that gives these numbers, `within` a share, or with the first wrong case."""

    def wrong(due: Sequence[float]) -> list[int]:
        return [i for i, (a, b) in enumerate(zip(got, due, strict=True)) if not math.isclose(a, b, rel_tol=within)]

    if not wrong(right):
        return
    name_mistake(name, mistakes, lambda due: not wrong(due))
    if len(set(got)) == 1:
        raise NotYet(f"{name}: {got[0]:,} in all cases: is what differs between them used?")
    first, *_ = places = wrong(right)
    size = "small" if got[first] < right[first] else "large"
    example = f"{cases[first]}: {got[first]:,} is too {size}"
    raise NotYet(f"{name}: {len(places)} of {len(got)} are wrong. The first is {example}")
