"""Worker processes: every job once, every failure told, nothing left behind. No torch here: processes start at once."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from resnet_edu.workers import WorkerDied, WorkerFailed, run_in_workers


def children() -> list:
    return multiprocessing.active_children()


def fail(job, send):
    raise ZeroDivisionError("by nothing")


def die(job, send):
    send("soon")
    os.kill(os.getpid(), signal.SIGKILL)


def leave(job, send):
    os._exit(3)


def double(job, factor, send):
    send(("begun", job))
    return job.value * factor


def ignores_interrupts(job, send):
    os.kill(os.getpid(), signal.SIGINT)
    return job.value


class Job:
    """A job of the tests."""

    def __init__(self, value):
        self.value, self.name = value, f"job {value}"

    def __repr__(self):
        return self.name


def nothing(*args):
    pass


def test_every_job_once():
    events, results = [], {}
    run_in_workers(
        double,
        [Job(i) for i in range(5)],
        (10,),
        2,
        (nothing,),
        lambda job, event: events.append(event[0]),
        lambda job, result: results.update({job.value: result}),
    )
    assert results == {i: 10 * i for i in range(5)}
    assert events == ["begun"] * 5
    assert children() == []


@pytest.mark.parametrize(
    ("work", "error", "words"),
    [
        (fail, WorkerFailed, ("job 7", "ZeroDivisionError: by nothing", "in fail")),
        (die, WorkerDied, ("SIGKILL", "job 7", "memory may have run out")),
        (leave, WorkerDied, ("status 3", "job 7")),
    ],
)
def test_a_failure_names_the_job_and_leaves_no_process(work, error, words):
    with pytest.raises(error) as caught:
        run_in_workers(work, [Job(7)], (), 1, (nothing,), nothing, nothing)
    assert all(word in str(caught.value) for word in words)
    assert children() == []


def test_an_error_in_this_process_ends_the_workers():
    def on_event(job, event):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_in_workers(double, [Job(1), Job(2)], (1,), 2, (nothing,), on_event, nothing)
    assert children() == []


def test_workers_do_not_hear_ctrl_c():
    results = []
    run_in_workers(ignores_interrupts, [Job(1)], (), 1, (nothing,), nothing, lambda job, result: results.append(result))
    assert results == [1]


def test_ctrl_c_while_workers_start_is_not_lost(tmp_path):
    """An interrupt that comes while it is held back is raised after all, and ends the workers."""
    code = f"""
    import multiprocessing, os, signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    sys.path.insert(0, {os.path.dirname(__file__)!r})
    from resnet_edu import workers
    from test_workers import Job, double, nothing
    begin = workers.multiprocessing.context.SpawnProcess.start
    def start(self):
        os.kill(os.getpid(), signal.SIGINT)
        begin(self)
    multiprocessing.context.SpawnProcess.start = start
    try:
        workers.run_in_workers(double, [Job(1)], (1,), 1, (nothing,), nothing, nothing)
    except KeyboardInterrupt:
        print("interrupted", multiprocessing.active_children())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("interrupted []\n", "")


@pytest.mark.parametrize("way", ["script", "-c", "stdin"])
def test_the_callers_program_is_not_run_again(tmp_path, way):
    """Without `if __name__ == "__main__"`, and where there is no file to import at all."""
    code = f"""
    import sys
    sys.path.insert(0, {os.path.dirname(__file__)!r})
    print("once", flush=True)
    from resnet_edu.workers import run_in_workers
    from test_workers import Job, double, nothing
    jobs = [Job(i) for i in range(3)]
    run_in_workers(double, jobs, (2,), 2, (nothing,), nothing, lambda job, result: print(job, result))
    print(sys.modules["__main__"].__name__)
    """
    code = textwrap.dedent(code)
    (tmp_path / "program.py").write_text(code)
    command = {"script": ["program.py"], "-c": ["-c", code], "stdin": ["-"]}[way]
    done = subprocess.run(
        [sys.executable, *command], input=code, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    once, *results, name = done.stdout.splitlines()
    assert (once, sorted(results), name) == ("once", ["job 0 0", "job 1 2", "job 2 4"], "__main__")
    assert done.stderr == ""
