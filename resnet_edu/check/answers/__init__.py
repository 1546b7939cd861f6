"""The checker of what is no class and no function: numbers, shapes, words, records. `answer`.

Scope: which exercise takes what. The exercises themselves are in `check_answer_shapes` and `check_answer_runs`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from ..answers import runs, shapes
from ..verdict import NotYet, checker

EXERCISES: dict[str, Callable[..., str]] = {
    "1.1": runs.three_results,
    "1.2": runs.patience_or_rate,
    "1.4": runs.where_it_begins,
    "2.2": shapes.shapes_of_a_block,
    "2.3": shapes.mended_block,
    "2.4": shapes.zeros_at_the_end,
    "3.2": shapes.last_maps,
    "3.3": shapes.wrong_stage,
    "4.1": shapes.two_layers,
    "4.3": shapes.one_width,
    "4.4": shapes.without_padding,
    "4.5": shapes.count_of_the_paper,
    "5.3": shapes.same_keys_other_outputs,
    "5.4": shapes.option_c,
    "6.4": runs.adam_or_sgd,
    "6.5": runs.where_decay_acts,
    "7.1": runs.five_sigma,
    "7.2": runs.fair_twins,
    "7.4": runs.bootstrap,
    "7.5": runs.thousand_runs,
}


@checker
def answer(exercise: str, **given: object) -> str:
    """Check what an exercise asks to hand in: `check.answer("4.1", early_weights=..., ...)`.

    exercise: chapter and number. The exercise says what it takes, and in which units.

    Raises `NotYet` for a wrong answer; `ValueError` for an exercise that has none here, `TypeError` for names that are
    not the exercise's.
    """
    if exercise not in EXERCISES:
        raise ValueError(f"there is no exercise {exercise!r} to hand in; there are {', '.join(EXERCISES)}")
    names = list(inspect.signature(EXERCISES[exercise]).parameters)
    if set(given) != set(names):
        takes = ", ".join(f"{name}=..." for name in names)
        raise TypeError(f'exercise {exercise} takes all of `check.answer("{exercise}", {takes})` and no other names')
    for name, value in given.items():
        if value is ...:
            raise NotYet(f"`{name}` is still `...`: your answer goes there")
    return f"exercise {exercise}: {EXERCISES[exercise](**given)}"
