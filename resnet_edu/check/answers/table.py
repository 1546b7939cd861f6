"""The table of the exercises that hand something in, and `answer`, which looks there."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable

from ..verdict import NotYet, checker

EXERCISES: dict[str, Callable[..., str]] = {}  # number of an exercise -> function that checks what is handed in


@checker
def answer(exercise: str, **given: object) -> str:
    """Check what an exercise asks to hand in: `check.answer("4.1", early_weights=..., ...)`.

    exercise: chapter and number. The exercise says what it takes, and in which units.

    Raises `NotYet` for a wrong answer; `ValueError` for an exercise that has none here, `TypeError` for names that are
    not the exercise's.
    """
    if exercise not in EXERCISES:
        numbers = sorted(EXERCISES, key=lambda number: [int(part) for part in number.split(".")])
        raise ValueError(f"there is no exercise {exercise!r} to hand in; there are {', '.join(numbers)}")
    names = list(inspect.signature(EXERCISES[exercise]).parameters)
    if set(given) != set(names):
        takes = ", ".join(f"{name}=..." for name in names)
        raise TypeError(f'exercise {exercise} takes all of `check.answer("{exercise}", {takes})` and no other names')
    for name, value in given.items():
        if value is ...:
            raise NotYet(f"`{name}` is still `...`: your answer goes there")
    try:
        return f"exercise {exercise}: {EXERCISES[exercise](**given)}"
    except NotYet:
        for a, b in itertools.combinations(names, 2):
            if _is_right(exercise, {**given, a: given[b], b: given[a]}):
                raise NotYet(f"`{a}` and `{b}` are exchanged: the other way round both are right") from None
        raise


def _is_right(exercise: str, given: dict[str, object]) -> bool:
    try:
        EXERCISES[exercise](**given)
    except Exception:  # an answer in another's place may be of any type
        return False
    return True


def exercise(number: str) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Enter the decorated function into `EXERCISES`."""
    return lambda function: EXERCISES.setdefault(number, function)
