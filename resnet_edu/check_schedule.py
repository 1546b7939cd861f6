"""The checker of a schedule: `schedule`, the learning rate at each update of the paper's recipe.

Scope: a learner's function of the step; its values are compared with the paper's at all places where they may differ,
and with what each known mistake would give.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: 0.1, divided by 10 at 32k and
      48k iterations, stop at 64k.
  [2] Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2: warm-up, which this recipe has not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .check_tools import NotYet, ask, checker, name_of

FIRST, SECOND, END = 32_000, 48_000, 64_000
EPOCH = 391  # updates an epoch: 50,000 images in batches of 128, the last one smaller
STEPS = (0, 1, 100, 1000, 20_000, FIRST - 1, FIRST, FIRST + 1, 40_000, SECOND - 1, SECOND, SECOND + 1, END - 1)


def _rate(step: int) -> float:
    return 0.1 if step < FIRST else 0.01 if step < SECOND else 0.001


_MISTAKES: list[tuple[Callable[[int], float], str]] = [
    (
        lambda s: 0.1 if s <= FIRST else 0.01 if s <= SECOND else 0.001,
        "both changes come one update late. Counting begins at 0: which update is the first after 32,000?",
    ),
    (
        lambda s: _rate(s + 1),
        "both changes come one update early. Counting begins at 0: how many updates have been done before this one?",
    ),
    (
        lambda s: 0.1 / 2 ** ((s >= FIRST) + (s >= SECOND)),
        "the rate is halved, and it is to be divided by another number",
    ),
    (
        lambda s: 0.1 if s < FIRST else 0.01,
        "only the first change is made, or the second has no effect: is 0.1 divided again, and not what it has become?",
    ),
    (lambda s: 0.1 if s < SECOND else 0.01, "only the second change is made; there is one before it"),
    (
        lambda s: 0.1 if s < FIRST else 0.01 if s < SECOND else 0.01 / 100,
        "the second change divides by too much: what is divided is the rate as it was just before",
    ),
    (lambda s: 0.1, "the rate never changes. Are the steps counted in epochs here? They are updates"),
    (lambda s: 0.1 / 10 ** (s // 16_000), "there is one change too many: the first 32,000 updates have one rate"),
    (lambda s: 0.1 * (1 - s / END), "the rate falls in a straight line, and it is to fall in two stairs"),
    (lambda s: 0.05 * (1 + math.cos(math.pi * s / END)), "the rate follows a cosine, and it is to fall in two stairs"),
    (
        lambda s: 0.1 / 10 ** ((s / EPOCH >= 100) + (s / EPOCH >= 150)),
        "the changes come at 100 and 150 epochs of 391 updates: close, but the recipe counts updates",
    ),
    (
        lambda s: 0.1 / 10 ** ((s >= 30_000) + (s >= 60_000)),
        "the changes come at 30,000 and 60,000; those are others' milestones, or the epochs of ImageNet",
    ),
    (lambda s: 10 * _rate(s), "every rate is ten times too high. Where does the recipe begin?"),
    (lambda s: _rate(s) / 10, "every rate is a tenth of what it should be. Where does the recipe begin?"),
]


@checker
def schedule(lr_at: Callable[[int], object]) -> str:
    """Check `lr_at(step)`, the learning rate of the update that follows `step` updates, in the paper's recipe [1].

    Raises `NotYet` for a wrong answer, `TypeError` for what is no function.
    """
    if not callable(lr_at):
        raise TypeError(f"give the function itself, without parentheses after it; got {lr_at!r}")
    name = name_of(lr_at)
    # Not in their order: a function that remembers the last call would be found out.
    order = [*STEPS[::2], *STEPS[1::2][::-1]]
    got = {step: _number(name, step, ask(f"{name}({step})", lr_at, step)) for step in order}
    again = {step: _number(name, step, ask(f"{name}({step})", lr_at, step)) for step in STEPS}
    if got != again:
        raise NotYet(f"{name} gives another rate when it is asked a second time: it should depend on the step alone")
    if _near(got, _rate):
        return f"{name}: right at {len(STEPS)} of 64,000 steps, among them those around both changes"
    for mistake, text in _MISTAKES:
        if _near(got, mistake):
            raise NotYet(f"{name}: {text}")
    if got[0] < 0.99 * got[1000] and _near({s: v for s, v in got.items() if s >= 1000}, _rate):
        raise NotYet(f"{name}: the rate starts low and rises. That is a warm-up; this recipe has none below 110 layers")
    wrong = next(step for step in STEPS if abs(got[step] / _rate(step) - 1) > 1e-6)
    raise NotYet(
        f"{name}: {sum(abs(got[s] / _rate(s) - 1) > 1e-6 for s in STEPS)} of {len(STEPS)} steps have another rate than "
        f"in the recipe. The first of them: {name}({wrong}) is {got[wrong]:g}",
        explained=False,
    )


def _number(name: str, step: int, value: object) -> float:
    value = getattr(value, "item", lambda: value)()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotYet(f"{name}({step}) returns {value!r}; a learning rate is due, one number")
    if not (math.isfinite(value) and value > 0):
        raise NotYet(f"{name}({step}) returns {value!r}; a learning rate is a number above 0")
    return float(value)


def _near(got: dict[int, float], rate: Callable[[int], float]) -> bool:
    return all(abs(value / rate(step) - 1) < 1e-6 for step, value in got.items()) if all(map(rate, got)) else False
