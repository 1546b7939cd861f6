"""Jobs that are shared out, with the same results: to processes of this machine, or by Ray to those of a cluster.

Processes never outlive their parent. They are fresh ones ("spawn") on every system: a forked one inherits a thread pool
that is set up already, in which `torch.set_flush_denormal` has no effect, and may hang.

Ray is an optional dependency, imported when it is needed. Each job is a Ray task ([1]). The data goes into Ray's object
store once and from there to each machine ([2]). A task whose process or machine is lost is started again by Ray; an
error raised by the work itself is not ([3]).

Sources (Ray's documentation)
  [1] "Tasks", "Resources" and "Accelerator support": what num_cpus and num_gpus of a task mean, fractions of a GPU.
  [2] "Objects": `ray.put`, and references inside other objects, which are not fetched before they are asked for.
  [3] "Task fault tolerance": max_retries and retry_exceptions.
  [4] "Environment dependencies": py_modules, by which this package travels to the machines of a cluster.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from pathlib import Path
from types import ModuleType
from typing import Any

from ..support.signals import Deferred, accept_interrupts, ignore_interrupts, interrupts_not_inherited
from ..support.validate import one_of, real, whole

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


REPORTS = "RAY_USAGE_STATS_ENABLED"
GRACE = 10.0  # seconds for a cancelled task to end by itself
EVENT_PACE = 1.0  # seconds between two looks for messages of jobs, of which a driver may have hundreds


@dataclass(frozen=True)
class RayEngine:
    """Which Ray runs the jobs, and what each of them gets.

    address:      "auto" for the cluster that this machine is part of, "ray://host:10001" or "host:6379" for another.
                  None takes the Ray that this process is connected to already, else $RAY_ADDRESS, and if there is
                  neither, starts one on this machine, which ends with the study.
    gpus_per_run: share of one GPU that a run gets, 0 to 1: with 0.25 four runs share one. Ray counts shares and keeps
                  no run from using more memory than its own. None is 1 on a CUDA device and else 0.
    cpus_per_run: processor cores that a run gets, and its computing threads.
    retries:      how often a run is started again after its process or its machine was lost.
    """

    address: str | None = None
    gpus_per_run: float | None = None
    cpus_per_run: int = 1
    retries: int = 3

    def __post_init__(self) -> None:
        if self.gpus_per_run is not None:
            real("gpus_per_run", self.gpus_per_run, 0, 1)
        whole("cpus_per_run", self.cpus_per_run)
        whole("retries", self.retries, 0)

    def resolve(self, device: str, cuda_here: bool) -> tuple[RayEngine, str]:
        """Return this with a number for `gpus_per_run`, and the device of the runs: "cpu" or "cuda".

        device:    "auto", "cpu" or "cuda". "auto" goes by `gpus_per_run`, and where that is None by `cuda_here`.
        cuda_here: whether this machine has CUDA; those that compute may be others.

        Raises `ValueError` for another device, or one that contradicts `gpus_per_run`.
        """
        gpus = self.gpus_per_run
        if one_of("device with Ray", device, ("auto", "cpu", "cuda")) == "auto":
            device = "cuda" if gpus or (gpus is None and cuda_here) else "cpu"
        if gpus is None:
            gpus = float(device == "cuda")
        if (gpus > 0) != (device == "cuda"):
            better = "a share above 0 (--gpus-per-run 1)" if device == "cuda" else "0, or leave it out"
            raise ValueError(f"`device` is {device!r}, but `gpus_per_run` is {gpus:g}: give {better}")
        return dataclasses.replace(self, gpus_per_run=gpus), device

    def run(
        self,
        work: Callable[..., Any],
        jobs: Sequence[Any],
        shared: tuple,
        setup: tuple,
        on_event: Callable[[Any, Any], object],
        on_result: Callable[[Any, Any], object],
    ) -> None:
        """Run `work(job, *shared, send)` for every job as a Ray task; the arguments are those of `run_in_workers`.

        work:   a function of a module that the machines have too.
        setup:  called before anything else, even before `shared` has arrived.

        An exception of the work is raised here; it is not tried again. `WorkerDied` is raised when a job was lost more
        than `retries` times. Whatever ends this call, also Ctrl-C, cancels the tasks that are left.

        Raises `ImportError` without Ray, `ConnectionError` if it is not at the address, or cannot be started, and
        `RuntimeError` if none of its machines can ever run a job.
        """
        ray = import_ray()
        with _connected(ray, self.address):
            from ray.util.queue import Queue

            self._check_resources(ray)
            # No share of a core for what holds the events: a full cluster must still have room for it.
            events = Queue(actor_options={"num_cpus": 0, "max_restarts": -1})
            task = ray.remote(_task).options(
                num_cpus=self.cpus_per_run,
                num_gpus=self.gpus_per_run or 0,
                max_retries=self.retries,
                retry_exceptions=False,
            )
            box = [ray.put(shared)]  # in a list: a bare reference would be fetched before `setup` was called
            running: dict[Any, Any] = {}  # the jobs whose results are not there yet
            try:
                for number, job in enumerate(jobs):
                    running[task.remote(setup, work, job, number, box, events)] = job
                while running:
                    done, _ = ray.wait(list(running), timeout=EVENT_PACE)
                    with contextlib.suppress(ray.exceptions.RayError):  # lost with its machine: Ray starts another
                        for number, event in events.get_nowait_batch(events.qsize()):
                            on_event(jobs[number], event)
                    for reference in done:
                        job = running.pop(reference)
                        try:
                            kind, value = ray.get(reference)
                        except ray.exceptions.RayError as error:
                            given_up = f"Ray gave {job.name} up after {self.retries} retries (--retries)"
                            raise WorkerDied(f"{given_up}: {type(error).__name__}: {error}") from None
                        if kind == "error":
                            raise value
                        on_result(job, value)
            finally:
                _cancel(ray, list(running))
                events.shutdown(force=True)

    def _check_resources(self, ray: ModuleType) -> None:
        """Raise `RuntimeError` if no machine of the cluster is large enough: Ray would wait for one for ever."""
        wanted = {"CPU": self.cpus_per_run, "GPU": self.gpus_per_run or 0}
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(machine.get(kind, 0) >= amount for kind, amount in wanted.items()) for machine in machines):
            have = ", ".join(f"{m.get('CPU', 0):g} CPU and {m.get('GPU', 0):g} GPU" for m in machines)
            need = f"a run needs {wanted['CPU']:g} CPU and {wanted['GPU']:g} GPU"
            raise RuntimeError(f"{need}, but no machine has both ({have}): --cpus-per-run, --gpus-per-run")


def import_ray() -> ModuleType:
    """Return the module `ray`, or raise `ImportError` with the command that installs it."""
    try:
        import ray
    except ImportError as error:
        raise ImportError(f'the engine "ray" needs Ray ({error}): pip install "ray>=2.40"') from None
    return ray


@contextlib.contextmanager
def _connected(ray: ModuleType, address: str | None) -> Iterator[None]:
    """Connect to Ray, or start one that ends with this context; a connection that is there already is used and kept."""
    if ray.is_initialized():
        if address is not None:
            raise RuntimeError("this process is connected to a Ray already: leave `address` out, or ray.shutdown()")
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    package = str(Path(__file__).resolve().parent.parent)
    options["runtime_env"] = {"py_modules": [package]}  # [4]: one version everywhere
    os.environ.setdefault(REPORTS, "0")  # a Ray that is started here reports nothing to its makers
    try:
        ray.init(address, logging_level="ERROR", **options)
    except Exception as error:  # Ray raises plain ones too: a node that was not up within its 30 seconds, say
        text = f"Ray could not be started or reached at {address!r} ({error})"
        raise ConnectionError(f"{text}: leave that out, or `ray start --head`") from error
    try:
        yield
    finally:
        ray.shutdown()


def _cancel(ray: ModuleType, references: list[Any]) -> None:
    """Cancel what is queued or running: as by Ctrl-C at first, so that a run can save its state, and then by force.

    Ray does the first at its best effort; a run that it does not reach goes on later from its last scheduled state.
    """
    with contextlib.suppress(ray.exceptions.RayError):  # the cluster itself may be gone
        for force in (False, True):
            for reference in references:
                ray.cancel(reference, force=force)
            if references:
                _, references = ray.wait(references, num_returns=len(references), timeout=GRACE)


def _task(setup: tuple, work: Callable[..., Any], job: Any, number: int, box: list, events: Any) -> tuple[str, Any]:
    """Do one job in a Ray worker: ("result", what it returned) or ("error", the exception)."""
    import ray

    accept_interrupts()  # by which Ray cancels
    function, *arguments = setup
    function(*arguments)

    def send(event: Any) -> None:
        with contextlib.suppress(ray.exceptions.RayError):  # no event is worth a run
            events.put((number, event))  # it is there before the result is

    return attempt(work, job, ray.get(box[0]), send)
