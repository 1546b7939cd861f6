"""Signals: Ctrl-C (SIGINT), a request to end (SIGTERM), a terminal that was closed (SIGHUP)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")


class Deferred:
    """A context in which signals wait: they take effect at `release`, or when it ends.

    names:     which. Those that are ignored (by nohup, say), or that the system lacks, are left alone.
    impatient: whether a second Ctrl-C takes effect at once.
    caught:    the numbers of those that wait.

    It works by handlers: a mask would hold signals back in one thread only, and torch has others. Outside of the main
    thread, where Python allows no handlers, nothing waits.
    """

    def __init__(self, *names: str, impatient: bool = False) -> None:
        self.names, self.impatient = names, impatient
        self.caught: list[int] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Deferred:
        if threading.current_thread() is threading.main_thread():
            for number in _numbers(self.names):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: a handler that is not Python's
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        caught, self.caught = self.caught, []
        for number in dict.fromkeys(caught):
            # Also if this thread's mask blocks it: Ray's workers block SIGINT, and get it another way.
            with _mask("SIG_UNBLOCK", number):
                signal.raise_signal(number)

    def release(self) -> None:
        """Let the signals that wait take effect now; if their handlers return, later ones wait again."""
        self.__exit__()
        self.__enter__()

    def _note(self, number: int, frame: FrameType | None) -> None:
        second = number == signal.SIGINT and number in self.caught
        self.caught.append(number)
        if second and self.impatient:
            self.__exit__()


@contextlib.contextmanager
def exit_on_termination() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `SystemExit` meanwhile: a program then cleans up as after Ctrl-C."""

    def leave(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # the clean-up is not to be disturbed
        raise SystemExit(128 + number)  # what shells give for a process that a signal ended

    before = {}
    for number in _numbers(("SIGTERM", "SIGHUP")):
        if signal.getsignal(number) == signal.SIG_DFL:  # not ignored (nohup), nor a handler of the caller's
            before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interrupts_not_inherited() -> Iterator[None]:
    """Let processes that are started meanwhile never see a Ctrl-C: they inherit this thread's signal mask."""
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # it would be started with the first process, and end the mask too early
    with _mask("SIG_BLOCK", signal.SIGINT):
        yield


def ignore_interrupts() -> None:
    """Ignore Ctrl-C in this process, which gets it with all of the terminal's: its parent will end it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def accept_interrupts() -> None:
    """Let SIGINT raise `KeyboardInterrupt` again where it is ignored, as in what a program in the background starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _numbers(names: tuple[str, ...]) -> list[signal.Signals]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextlib.contextmanager
def _mask(change: str, number: int) -> Iterator[None]:
    """Change this thread's signal mask by one signal meanwhile, where the system has masks (not Windows)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(getattr(signal, change), {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
