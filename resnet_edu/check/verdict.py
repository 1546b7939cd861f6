"""What all checkers share: the verdict `NotYet`, the decorator `checker`, calls of a learner's code, values compared.

A checker is a function under `@checker` that returns the line to print for a right answer and raises `NotYet` for a
wrong one. It runs the learner's code through `call`, so that an error in that code is shown with its own line.

Source
  [1] IPython's documentation of `InteractiveShell.showtraceback`: an exception's own `_render_traceback_`.
"""

import contextlib
import functools
import inspect
import math
import os
import re
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import nn

from ..support.system import random_states_kept
from ..tracing import rows

shape_text = functools.partial(rows.shape_text, sign="×")  # 4×8×9×9
WIDTH = 72  # letters of a line for a right answer: what a page shows without scrolling

# Where frames of a traceback are not the learner's. Links are not resolved: frames have the paths of the import.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep


class NotYet(AssertionError):
    """Raised when an answer is not right yet; the message says what differs, and how one may find out why.

    If the learner's own code failed, its exception is the cause. `explained` is False if no known mistake was found.
    """

    def __init__(self, message: str, explained: bool = True) -> None:
        super().__init__(message)
        self.explained = explained

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows ([1]): the message, and the learner's own lines, but none of the checker's."""
        cause = self.__cause__
        own = [] if cause is None else traceback.format_exception(type(cause), cause, cause.__traceback__)
        return [line.rstrip("\n") for line in own] + [f"NotYet: {self}"]


def checker(function: Callable[..., str]) -> Callable[..., None]:
    """Turn a function that returns the line for a right answer into a checker, which prints it.

    A traceback of `NotYet` ends in this wrapper: what the checker compares with would give the answer away.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> None:
        __tracebackhide__ = True
        verdict = None
        with preserved_state():
            try:
                line = function(*args, **options)
            except NotYet as error:
                verdict = error
        if verdict is not None:
            raise verdict.with_traceback(None) from verdict.__cause__
        print(textwrap.fill(f"✓ {line}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))

    wrapper.__annotations__ = {**function.__annotations__, "return": "None"}
    return wrapper


@contextlib.contextmanager
def preserved_state() -> Iterator[None]:
    """Compute on the CPU in float32, with gradients and a fixed seed; then restore the state of the process.

    Restored are the random numbers of Python, numpy and torch, the gradient mode, and the default type and device.
    """
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        with random_states_kept(), torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
            torch.default_generator.manual_seed(0)
            yield
    finally:
        torch.set_default_dtype(dtype)


def name_of(answer: object) -> str:
    """Return the name of a learner's function or class."""
    return getattr(answer, "__name__", None) or type(answer).__name__


def check_callable(answer: object, kind: str = "function") -> str:
    """Return the name of a learner's function or class (`kind`); raise `TypeError` if it is none."""
    if not callable(answer) or (kind == "class" and isinstance(answer, nn.Module)):
        raise TypeError(f"give the {kind} itself, without parentheses after it; got {answer!r}")
    return name_of(answer)


def build(builder: Callable[..., nn.Module], args: tuple[int, ...]) -> tuple[nn.Module, str]:
    """Return the module that a learner's class or function builds, and the text of that call."""
    text = f"{name_of(builder)}({', '.join(map(str, args))})"
    module = call(text, builder, *args)
    if not isinstance(module, nn.Module):
        raise NotYet(f"{text} gives {type(module).__name__}, and a torch.nn.Module is expected")
    return module, text


@contextlib.contextmanager
def called_with(builder: Callable[..., nn.Module], *names: str, strange: str = "(?!)") -> Iterator[None]:
    """If an answer is wrong and its class seems to take other arguments than `names`, say first how to wrap it.

    strange: pattern that tells such a class by its parameters' names, "a, b, c"; by default none does.
    """
    try:
        yield
    except NotYet as error:
        try:
            signature = inspect.signature(builder)
        except ValueError:  # it is one of Python's own
            raise error from error.__cause__
        own = list(signature.parameters)
        takes = ", ".join(own)
        last = [place for place, name in enumerate(own) if names and names[-1] in name]
        try:
            signature.bind(*names)
        except TypeError:
            pass
        else:
            if last in ([], [len(names) - 1]) and not re.search(strange, takes):
                raise
        name, due = name_of(builder), ", ".join(names)
        wrapped = f"lambda {due}: {name}(...)" if names else f"lambda: {name}(...)"
        hint = f"{name}({takes}) is called with ({due}). Wrap it: `{wrapped}`"
        raise NotYet(f"{hint}, the dots being its own arguments\n{error}", error.explained) from error.__cause__


def call(what: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return what the learner's `function` returns, or raise `NotYet` from what it raises, as the call `what`."""
    try:
        return function(*args)
    except NotYet:
        raise
    except Exception as error:
        own = error.__traceback__  # from the learner's first line on; all of it if no line is the learner's
        while own is not None and not _is_learners(own.tb_frame.f_code.co_filename):
            own = own.tb_next
        own = own or error.__traceback__
        text = f"{what} raised {type(error).__name__}: {str(error).strip() or 'without a message'}"
        lines = [frame for frame in traceback.extract_tb(own) if _is_learners(frame.filename)]
        if lines:
            last = lines[-1]
            text += f"\n  in line {last.lineno}, in {last.name}" + (f": {last.line}" if last.line else "")
        raise NotYet(text) from error.with_traceback(own)


def _is_learners(filename: str) -> bool:
    return not filename.startswith((_PACKAGE, _TORCH))


def name_mistake(what: str, mistakes: Mapping[str, Any], explains: Callable[[Any], bool]) -> None:
    """Raise `NotYet` with the first of the known mistakes that explains the learner's result; do nothing without one.

    mistakes: sentence about a mistake -> the wrong result that it gives, or what computes it.
    explains: tells whether that is the learner's result.
    """
    for sentence, wrong in mistakes.items():
        if explains(wrong):
            raise NotYet(f"{what}: {sentence}")


def list_text(items: Iterable[object]) -> str:
    """Return "a, b and c"."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


# Handed-in values beside the right ones, and beside what each known slip would give; no message has the right one.


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
    raise NotYet(f"`{name}` is {given:,.6g}: {hint}")


def as_number(name: str, given: object) -> float:
    """Return `given` if it is a number, also one in a tensor or an array."""
    if hasattr(given, "item") and math.prod(given.shape) == 1:
        given = given.item()
    if isinstance(given, bool) or not isinstance(given, Real):
        text = f"of shape {tuple(given.shape)}" if hasattr(given, "shape") else repr(given)
        raise NotYet(f"`{name}` is {text}, and a number is expected")
    return given


def check_shape(name: str, given: object, right: Sequence[int], slips: Mapping[tuple, str]) -> None:
    """Raise `NotYet` unless `given` is the shape, or list of sizes, `right`; a batch of one in front is left out."""
    try:
        given = tuple(given)
        values = tuple(map(int, given))
    except (TypeError, ValueError):
        values = None
    if values is None or values != given:
        raise NotYet(f"`{name}` is {given!r}, and whole numbers are expected, such as (16, 32, 32)")
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
    if not any(type(given) is type(choice) and given == choice for choice in choices):
        raise NotYet(f"`{name}` is {given!r}, and it must be one of {', '.join(sorted(map(repr, choices)))}")
    if given != right:
        raise NotYet(f"`{name}` is {given!r}: {hint}")


def as_list(name: str, given: object, count: int | None = None, what: str = "values") -> list:
    """Return `given` as a list, of `count` entries if that is given; `what` they are, for messages."""
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise NotYet(f"`{name}` is {given!r}, and a list of {what} is expected")
    values = list(given)
    if count is not None and len(values) != count:
        raise NotYet(f"`{name}` has {len(values)} entries, and {count} {what} are expected")
    return values


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
