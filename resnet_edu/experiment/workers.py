"""Worker processes that share out a queue of jobs, and never outlive their parent.

Scope: starting them, feeding them, hearing from them, ending them. What a job is, is not known here.

Fresh processes ("spawn") are used on every system: a forked one inherits a thread pool that is set up already, in which
`torch.set_flush_denormal` has no effect, and may hang.

Sources
  [1] Python's documentation of `multiprocessing`, "Contexts and start methods" and `connection.wait`.
  [2] Python's documentation of `signal`: handlers run in the main thread, between two bytecode instructions.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

PATIENCE = 20.0  # seconds that a worker is given to save what it is doing when it is asked to end


class WorkerDied(RuntimeError):
    """Raised when a worker process ended in the middle of a job."""


class WorkerFailed(RuntimeError):
    """Raised for an exception in a worker that cannot be sent as it is; holds the traceback's text."""


def run_in_workers(
    work: Callable[..., Any],
    jobs: Sequence[Any],
    shared: tuple,
    count: int,
    setup: tuple,
    on_event: Callable[[Any, Any], object],
    on_result: Callable[[Any, Any], object],
) -> None:
    """Run `work(job, *shared, send)` for every job, in `count` processes; jobs are started in their order.

    work:      a module-level function; what it returns goes to `on_result(job, result)`, what it passes to `send` goes
               to `on_event(job, event)`, both in this process. `send(event, True)` asks for an event not to be left
               out where engines thin them; here all arrive. `job.name` is used in messages.
    shared:    arguments that are sent once to each process.
    setup:     (function, *arguments), called first in each process.

    An exception in a worker is raised here, and a worker that dies raises `WorkerDied`. Whatever ends this call, also
    Ctrl-C, ends all workers: they get a SIGTERM, which a job may hold back for up to `PATIENCE` seconds.
    """
    queue = deque(jobs)
    workers: dict[Connection, tuple[BaseProcess, Any]] = {}
    try:
        for _ in range(min(count, len(queue))):
            _start(work, setup, workers)
        for connection in workers:  # the processes are importing meanwhile
            _send(workers, connection, shared)
            _next_job(workers, connection, queue)
        while workers:
            for connection in wait(list(workers)):
                process, job = workers[connection]
                try:
                    kind, value = connection.recv()
                except (EOFError, ConnectionError):  # the other end is closed: the process has ended
                    process.join(10)
                    raise _death(process, job) from None
                if kind == "event":
                    on_event(job, value)
                elif kind == "result":
                    on_result(job, value)
                    _next_job(workers, connection, queue)
                else:
                    raise value
    finally:
        _end([process for process, _ in workers.values()])


def _start(work: Callable[..., Any], setup: tuple, workers: dict[Connection, tuple[BaseProcess, Any]]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with _main_hidden(), _interrupts_held(), _interrupts_not_inherited():
        process = context.Process(target=_worker, args=(theirs, work, setup), daemon=True)
        process.start()
        workers[ours] = process, None
    theirs.close()


def _send(workers: dict, connection: Connection, message: object) -> None:
    try:
        connection.send(message)
    except (BrokenPipeError, ConnectionError):
        process, job = workers[connection]
        process.join(10)
        raise _death(process, job) from None


def _next_job(workers: dict, connection: Connection, queue: deque) -> None:
    """Give the worker its next job, or let it go if there is none."""
    process, _ = workers[connection]
    workers[connection] = process, (queue.popleft() if queue else None)
    job = workers[connection][1]
    _send(workers, connection, job)
    if job is None:
        process.join(10)
        del workers[connection]
        connection.close()


def _death(process: BaseProcess, job: Any) -> WorkerDied:
    code = process.exitcode
    how = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with status {code}"
    doing = "it started" if job is None else f"it worked on {job.name}"
    why = "memory may have run out: try fewer workers or a smaller batch" if code == -9 else "its error is shown above"
    return WorkerDied(f"a worker process {how} while {doing}; {why}")


def _end(processes: list[BaseProcess]) -> None:
    """End the processes, kindly and then not, and wait until they are gone."""
    with _interrupts_held():
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep spawned processes from importing the caller's main module.

    They would run a script without `if __name__ == "__main__"` a second time, and find none in `python -c`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment: it has its usual effect at the end.

    By a handler that takes note ([2]): a mask would hold it back in this thread only, and torch has others.
    """
    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):  # no handler of Python's will run here
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _interrupts_not_inherited() -> Iterator[None]:
    """Start processes meanwhile that never see a Ctrl-C: they inherit the signal mask of this thread."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would be started with the first process, and end the mask too early
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worker(connection: Connection, work: Callable[..., Any], setup: tuple) -> None:
    """Serve jobs until there are none; the life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    function, *arguments = setup
    function(*arguments)
    try:
        shared = connection.recv()
        while (job := connection.recv()) is not None:
            try:
                result = work(job, *shared, lambda event, keep=False: connection.send(("event", event)))
            except Exception as error:
                connection.send(("error", portable(error, job)))
                return
            connection.send(("result", result))
    except (EOFError, ConnectionError):  # the parent has gone, or has no use for us
        return
    # All is sent. To take torch down in good order would need another second, for which the parent waits.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(0)


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def portable(error: Exception, job: Any) -> Exception:
    """Return the exception if its class can be rebuilt from its arguments elsewhere, or one that has its text."""
    try:
        if str(type(error)(*error.args)) == str(error) and type(error).__module__.split(".")[0] == "resnet_edu":
            return error
    except Exception:
        pass
    return WorkerFailed(f"{job.name}: {type(error).__name__}: {error}\n{traceback.format_exc()}")
