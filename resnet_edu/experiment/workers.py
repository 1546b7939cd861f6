"""Worker processes that share out a queue of jobs, and never outlive their parent.

Fresh processes ("spawn") are used on every system: a forked one inherits a thread pool that is set up already, in which
`torch.set_flush_denormal` has no effect, and may hang.
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
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ..support.signals import Deferred, ignore_interrupts, interrupts_not_inherited

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

    work:      a module-level function; what it returns goes to `on_result(job, result)`, what it passes to
               `send(event)` to `on_event(job, event)`, both in this process. `job.name` is used in messages.
    shared:    arguments that are sent once to each process.
    setup:     (function, *arguments), called first in each process.

    An exception in a worker is raised here, and a worker that dies raises `WorkerDied`. Whatever ends this call, also
    Ctrl-C, ends all workers: they get a SIGTERM, which a job may hold back for up to `PATIENCE` seconds.
    """
    queue = deque(jobs)
    workers: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(count, len(queue))):
            _start(work, setup, workers)
        for worker in workers.values():  # the processes are importing meanwhile
            worker.send(shared)
            worker.begin(queue.popleft())
        while workers:
            for connection in wait(list(workers)):
                worker = workers[connection]
                kind, value = worker.receive()
                if kind == "error":
                    raise value
                if kind == "event":
                    on_event(worker.job, value)
                    continue
                on_result(worker.job, value)
                worker.begin(queue.popleft() if queue else None)
                if worker.job is None:
                    worker.process.join(10)
                    connection.close()
                    del workers[connection]
    finally:
        _end([worker.process for worker in workers.values()])


@dataclass
class _Worker:
    """A worker process, our end of the pipe to it, and the job that it works on."""

    process: BaseProcess
    connection: Connection
    job: Any = None

    def begin(self, job: Any) -> None:
        """Give it its next job; with None it ends."""
        self.job = job
        self.send(job)

    def send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except ConnectionError:
            raise self._death() from None

    def receive(self) -> tuple[str, Any]:
        """Return what it has sent. Raises `WorkerDied` if it has ended."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionError):  # the other end is closed
            raise self._death() from None

    def _death(self) -> WorkerDied:
        self.process.join(10)
        code = self.process.exitcode
        killed = code is not None and code < 0
        how = f"was ended by {signal.Signals(-code).name}" if killed else f"ended with status {code}"
        doing = "it started" if self.job is None else f"it worked on {self.job.name}"
        why = "memory may have run out: try fewer workers or a smaller batch" if code == -9 else "see its error above"
        return WorkerDied(f"a worker process {how} while {doing}; {why}")


def _start(work: Callable[..., Any], setup: tuple, workers: dict[Connection, _Worker]) -> None:
    """Start a worker process and enter it into `workers`, before a Ctrl-C takes effect."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with _main_hidden(), Deferred("SIGINT"), interrupts_not_inherited():
        process = context.Process(target=_serve, args=(theirs, work, setup), daemon=True)
        process.start()
        workers[ours] = _Worker(process, ours)
    theirs.close()


def _end(processes: list[BaseProcess]) -> None:
    """Ask the processes to end, and after `PATIENCE` kill them; wait until they are gone."""
    with Deferred("SIGINT"):
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


def _serve(connection: Connection, work: Callable[..., Any], setup: tuple) -> None:
    """Serve jobs until there are none; the life of a worker process."""
    ignore_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    function, *arguments = setup
    function(*arguments)
    try:
        shared = connection.recv()
        while (job := connection.recv()) is not None:
            answer = attempt(work, job, shared, lambda event: connection.send(("event", event)))
            connection.send(answer)
            if answer[0] == "error":
                return
    except (EOFError, ConnectionError):  # the parent has gone, or needs this process no longer
        return
    # All is sent. To take torch down in good order would need another second, for which the parent waits.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(0)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def attempt(work: Callable[..., Any], job: Any, shared: tuple, send: Callable[[Any], object]) -> tuple[str, Any]:
    """Do one job and return ("result", what it returned) or ("error", an exception that can be sent)."""
    try:
        return "result", work(job, *shared, send)
    except Exception as error:
        return "error", _portable(error, job)


def _portable(error: Exception, job: Any) -> Exception:
    """Return the exception if its class can be rebuilt from its arguments elsewhere, or one that has its text."""
    try:
        if str(type(error)(*error.args)) == str(error) and type(error).__module__.split(".")[0] == "resnet_edu":
            return error
    except Exception:
        pass
    return WorkerFailed(f"{job.name}: {type(error).__name__}: {error}\n{traceback.format_exc()}")
