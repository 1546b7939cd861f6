"""What all checkers share: the verdict, running a learner's code, and leaving no trace.

Scope: a checker is a function under `@checker` that returns the line for a right answer and raises `NotYet` for a wrong
one. What it asks of the learner's code goes through `ask`, so that an error in that code is shown with its own line.

Sources
  [1] IPython's documentation and `InteractiveShell.showtraceback`: an exception's own `_render_traceback_`.
"""

from __future__ import annotations

import contextlib
import functools
import random
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_TORCH = str(Path(torch.__file__).resolve().parent)


class NotYet(AssertionError):
    """Raised when an answer is not right yet; the message says what differs, and how one may find out why.

    If the learner's own code failed, its exception is the cause. `explained` is False where a known mistake was looked
    for, and none found.
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
        with untouched():
            try:
                line = function(*args, **options)
            except NotYet as error:
                verdict = error
        if verdict is not None:
            raise verdict.with_traceback(None) from verdict.__cause__
        print(f"✓ {line}")

    wrapper.__annotations__ = {**function.__annotations__, "return": "None"}
    return wrapper


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Compute on the CPU in float32, with gradients and a seed of its own; then put everything back as it was.

    What is put back: the random numbers of Python, numpy and torch, the gradient mode, default type and device.
    """
    python, array, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        torch.default_generator.manual_seed(0)
        with torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(python), np.random.set_state(array), torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def name_of(answer: object) -> str:
    """Return what a learner calls their answer."""
    return getattr(answer, "__name__", None) or type(answer).__name__


def ask(what: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return what the learner's `function` returns; raise `NotYet` from the exception that it raises.

    what: is asked of it, such as "MyBlock(8, 16, 2)".
    """
    try:
        return function(*args)
    except NotYet:
        raise
    except Exception as error:
        own = _own_part(error.__traceback__)
        raise NotYet(f"{what} {_failure(error, own)}") from error.with_traceback(own)


def _failure(error: Exception, own: TracebackType | None) -> str:
    lines = [frame for frame in traceback.extract_tb(own) if _is_learners(frame.filename)]
    text = f"raised {type(error).__name__}: {str(error).strip() or 'without a message'}"
    if not lines:
        return text
    last = lines[-1]
    return f"{text}\n  in line {last.lineno}, in {last.name}" + (f": {last.line}" if last.line else "")


def _own_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the learner's first line on; all of it where no line is the learner's."""
    own = trace
    while own is not None and not _is_learners(own.tb_frame.f_code.co_filename):
        own = own.tb_next
    return own or trace


def _is_learners(filename: str) -> bool:
    return not filename.startswith((_PACKAGE, _TORCH))


def close(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are equal but for rounding: within 0.1% of each value, or of the typical one."""
    if a.shape != b.shape:
        return False
    scale = b.detach().abs().mean().item() + 1e-12
    return torch.allclose(a.detach(), b.detach(), rtol=1e-3, atol=1e-3 * scale)


def tensor_of(what: str, value: object) -> Tensor:
    """Return `value` if it is a float32 tensor; otherwise say what it is."""
    if value is None:
        raise NotYet(f"{what} returns None. Does its last line say what to return?")
    if not isinstance(value, Tensor):
        raise NotYet(f"{what} returns {type(value).__name__}, and one tensor is expected")
    if value.dtype != torch.float32:
        raise NotYet(f"{what} returns numbers of type {value.dtype}; its input was torch.float32, and so must it be")
    return value


def times(shape: object) -> str:
    """Return a shape in words: "4×8×9×9"."""
    return "×".join(map(str, shape))


def and_(items: list[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
