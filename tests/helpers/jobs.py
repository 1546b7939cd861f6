"""Jobs for worker processes, which import them from here. Those that train are in `training_jobs`."""

import os
import signal
import time
from pathlib import Path


class Job:
    """A job of the tests."""

    def __init__(self, value):
        self.value, self.name = value, f"job {value}"

    def __repr__(self):
        return self.name


def nothing(*args):
    pass


def double(job, factor, send):
    send(("begun", job))
    return job.value * factor


def fail(job, send):
    raise ZeroDivisionError("by nothing")


def die(job, send):
    send("soon")
    os.kill(os.getpid(), signal.SIGKILL)


def die_beside_another(job, send):
    """Be killed, when the other job works."""
    if job.value == 7:
        while not Path("works").exists():
            time.sleep(0.01)
        die(job, send)
    Path("works").touch()
    time.sleep(60)


def leave(job, send):
    os._exit(3)


def interrupt(job, send):
    os.kill(os.getpid(), signal.SIGINT)
    return job.value


def sleep(job, send):
    Path(f"{job.value}.new").write_text(str(os.getpid()))
    os.rename(f"{job.value}.new", job.value)
    time.sleep(60)


def wait_for_release(job, folder, send):
    """Wait in a Ray worker until the test releases the job; return the machines of all its lives."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    with (folder / f"{job.value}.nodes").open("a") as file:
        file.write(f"{node}\n")
    while not (folder / f"{job.value}.release").exists():
        send(node)
        time.sleep(0.02)
    return (folder / f"{job.value}.nodes").read_text().split()


def chat(job, send):
    """Send a lot."""
    for i in range(1, 501):
        send(i)
    return "done"


def processes_with(words: str) -> list[int]:
    """The processes that have `words` in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if words.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
