"""What all checkers share: the verdict `NotYet`, the decorator `checker`, and calls of a learner's code.

A checker is a function under `@checker` that returns the line to print for a right answer and raises `NotYet` for a
wrong one. It runs the learner's code through `call`, so that an error in that code is shown with its own line.

Source
  [1] IPython's documentation of `InteractiveShell.showtraceback`: an exception's own `_render_traceback_`.
"""

import contextlib
import functools
import inspect
import os
import re
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..support.system import random_states_kept
from ..support.validate import shown
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
        raise TypeError(f"give the {kind} itself, without parentheses after it; got {shown(answer)}")
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
