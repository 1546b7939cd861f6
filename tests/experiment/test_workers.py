"""Worker processes: every job once, every failure told, nothing left behind."""

import multiprocessing
import pickle
import subprocess
import sys
import textwrap
import time

import pytest
from jobs import Job, die, die_beside_another, double, fail, interrupt, leave, nothing
from processes import HELPERS, gone, linux

from resnet_edu.experiment.workers import WorkerDied, WorkerFailed, attempt, run_in_workers
from resnet_edu.training.loop import TrainingDiverged

pytestmark = pytest.mark.slow  # processes


def children() -> list:
    return multiprocessing.active_children()


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


def test_a_worker_that_dies_ends_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkerDied, match="SIGKILL while it worked on job 7"):
        run_in_workers(die_beside_another, [Job(7), Job(8)], (), 2, (nothing,), nothing, nothing)
    assert children() == []


def test_an_error_of_the_package_arrives_as_it_is():
    """So a study says that a net diverged, and where, whichever process trained it."""
    error = TrainingDiverged(3, 0.5, "plain8 (seed 0): the loss of the batch")

    def work(job, send):
        raise error

    kind, found = attempt(work, Job(7), (), nothing)
    there = pickle.loads(pickle.dumps(found))
    assert kind == "error"
    assert (type(there), str(there), there.step, there.lr) == (TrainingDiverged, str(error), 3, 0.5)


def test_an_error_in_this_process_ends_the_workers():
    def on_event(job, event):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_in_workers(double, [Job(1), Job(2)], (1,), 2, (nothing,), on_event, nothing)
    assert children() == []


def test_workers_ignore_ctrl_c():
    results = []
    run_in_workers(interrupt, [Job(1)], (), 1, (nothing,), nothing, lambda job, result: results.append(result))
    assert results == [1]


@pytest.mark.parametrize("threads", [0, 1])  # a signal goes to any thread that does not block it
def test_ctrl_c_while_workers_start_is_not_lost(threads):
    """An interrupt is held back while a process is there that nobody knows of yet; then it ends the workers."""
    code = f"""
    import multiprocessing, os, signal, sys, threading, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    sys.path.insert(0, {HELPERS!r})
    from resnet_edu.experiment import workers
    from jobs import Job, double, nothing
    for _ in range({threads}):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    begin = multiprocessing.context.SpawnProcess.start
    def start(self):
        begin(self)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        print("held", flush=True)
    multiprocessing.context.SpawnProcess.start = start
    try:
        workers.run_in_workers(double, [Job(1)], (1,), 1, (nothing,), nothing, nothing)
    except KeyboardInterrupt:
        print("interrupted", multiprocessing.active_children())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("held\ninterrupted []\n", "")


@linux
def test_workers_ignore_ctrl_c_while_they_start():
    """From the first instruction on, the first worker too: before any line of ours, a traceback would be printed."""
    code = f"""
    import multiprocessing, os, sys
    sys.path.insert(0, {HELPERS!r})
    from resnet_edu.experiment import workers
    from jobs import Job, double, nothing
    begin = multiprocessing.context.SpawnProcess.start
    def start(self):
        begin(self)
        with open(f"/proc/{{self.pid}}/status") as file:
            (blocked,) = (line.split()[1] for line in file if line.startswith("SigBlk"))
        print("blocked", bool(int(blocked, 16) & 2))  # bit 1 is SIGINT, signal 2
    multiprocessing.context.SpawnProcess.start = start
    workers.run_in_workers(double, [Job(1), Job(2)], (1,), 2, (nothing,), nothing, nothing)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("blocked True\n" * 2, "")


@linux
def test_a_silent_worker_ends_with_its_parent(tmp_path):
    """It sends nothing, so no broken pipe tells it that it is alone."""
    code = f"""
    import sys
    sys.path.insert(0, {HELPERS!r})
    from resnet_edu.experiment.workers import run_in_workers
    from jobs import Job, nothing, sleep
    run_in_workers(sleep, [Job({str(tmp_path / "pid")!r})], (), 1, (nothing,), nothing, nothing)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    try:
        worker = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    finally:
        parent.kill()
        parent.wait()
    assert gone([worker])


def wait_for(condition, seconds: float = 20) -> object:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("way", ["script", "-c", "stdin"])
def test_the_callers_program_is_not_run_again(tmp_path, way):
    """Without `if __name__ == "__main__"`, and where there is no file to import at all."""
    code = f"""
    import sys
    sys.path.insert(0, {HELPERS!r})
    print("once", flush=True)
    from resnet_edu.experiment.workers import run_in_workers
    from jobs import Job, double, nothing
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
