"""The Ray engine on a real Ray of two machines (two nodes on this one): the same numbers, and losses cost nothing."""

import _thread
import contextlib
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from jobs import Job, chat, die, double, nothing, processes_with, wait_for_release
from processes import HELPERS, ROOT, gone, linux, start_at_terminal
from training_jobs import denormals, train_for_ever

from resnet_edu.data import dataset as data
from resnet_edu.experiment.degradation import Cell, Recipe, Study, run
from resnet_edu.experiment.workers import RayEngine, WorkerDied
from resnet_edu.support.system import prepare_process
from resnet_edu.training.loop import TrainingDiverged

TINY = Recipe(4, batch_size=16, lr=0.05, augment=True, eval_every=2)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two machines with a core each, which this process is connected to; it does without a network."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_AUTH_MODE", "disabled")  # or Ray would leave a token in the home folder
    patch.setenv("PYTHONPATH", os.pathsep.join([ROOT, HELPERS, os.environ.get("PYTHONPATH", "")]))
    for _ in range(4):  # Ray gives a node 30 seconds to start, which may be too short where other tests compute
        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=1, include_dashboard=False)
            cluster.add_node(num_cpus=1)
            break
        except Exception as error:
            cluster.shutdown()
            failure = error
    else:
        raise failure
    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    patch.undo()


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, and theirs."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):  # those of each thread
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def spread(engine: RayEngine, work, jobs, shared=(), setup=(nothing,), on_event=nothing) -> dict:
    """Run jobs and return the results by the jobs' values."""
    results = {}
    engine.run(work, jobs, shared, setup, on_event, lambda job, result: results.update({job.value: result}))
    return results


@pytest.mark.slow
class TestSpread:
    def test_every_job_once_and_all_its_events_before_its_result(self, cluster):
        received = {1: [], 2: [], 3: []}
        engine = RayEngine().resolve("cpu", cuda_here=False)[0]
        setup, note = (nothing,), lambda job, what: received[job.value].append(what)
        engine.run(chat, [Job(i) for i in received], (), setup, note, note)
        assert received == {i: [*range(1, 501), "done"] for i in (1, 2, 3)}

    def test_denormal_numbers_are_flushed_in_every_thread(self, cluster):
        assert spread(RayEngine(), denormals, [Job(1)], setup=(prepare_process, 2)) == {1: (0, 2)}

    def test_a_job_that_is_lost_for_ever_is_named(self, cluster):
        with pytest.raises(WorkerDied, match="gave job 7 up after 1 retries"):
            spread(RayEngine(retries=1), die, [Job(7)])

    def test_more_than_any_machine_has(self, cluster):
        with pytest.raises(RuntimeError, match=r"needs 2 CPU and 0 GPU, but no machine has both \(1 CPU and 0 GPU, 1"):
            spread(RayEngine(cpus_per_run=2), double, [Job(1)], (10,))
        with pytest.raises(RuntimeError, match=r"needs 1 CPU and 0.25 GPU"):
            spread(RayEngine(gpus_per_run=0.25), double, [Job(1)], (10,))

    def test_an_error_of_the_driver_cancels_what_runs(self, cluster, tmp_path):
        import ray

        def on_event(job, event):
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            spread(RayEngine(), wait_for_release, [Job(i) for i in range(9)], (tmp_path,), on_event=on_event)
        assert spread(RayEngine(), double, [Job(1)], (10,)) == {1: 10}  # there is room again
        assert ray.is_initialized()  # the connection was there before


@pytest.mark.slow
class TestStudy:
    def test_same_numbers_as_the_local_engine(self, cluster, tmp_path):
        digits = data.load("digits").head(64, 32)
        study = Study(("plain8", "resnet8"), TINY, 2, workers=0, threads=1)
        local = run(study, digits, progress=False)
        spread = run(study, digits, tmp_path, engine="ray", progress=False)
        assert [r.name for r in tmp_path.iterdir()] != []
        assert len(local) == 4
        assert all(a.same_result(b) for a, b in zip(local, spread, strict=True))

    def test_a_study_whose_process_is_killed_from_outside(self, cluster, tmp_path):
        digits = data.load("digits").head(64, 32)
        recipe = TINY.replace(steps=150, eval_every=50)
        study = Study("resnet8", recipe, workers=0, threads=1, checkpoint_seconds=0)
        (undisturbed,) = run(study, digits, progress=False)
        killed, resumed = [], []

        def kill() -> None:
            state = tmp_path / "checkpoints" / "resnet8-seed0.checkpoint"
            deadline = time.monotonic() + 200
            while not killed and time.monotonic() < deadline:
                time.sleep(0.05)
                for pid in set(processes_with("ray::_task")) & set(descendants(os.getpid())) if state.exists() else ():
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

        thread = threading.Thread(target=kill)
        thread.start()
        note = lambda cell, event: resumed.append(event.step) if event.kind == "resumed" else None  # noqa: E731
        (found,) = run(study, digits, tmp_path, engine="ray", progress=False, on_event=note)
        thread.join()
        assert len(killed) == len(resumed) == 1
        assert 0 < resumed[0] < 150
        assert found.same_result(undisturbed)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["resnet8-seed0.json", "study.json"]

    def test_a_run_that_is_cancelled_saves_its_state(self, cluster, tmp_path):
        def on_event(cell, event):
            if event.step > 5:
                raise KeyboardInterrupt

        digits = data.load("digits").head(64, 32)
        cells = [Cell("resnet8", 0, TINY.replace(steps=10**6, eval_every=10**6))]
        for _ in range(3):  # Ray cancels at its best effort: a worker that is in Ray's own code may miss it
            with pytest.raises(KeyboardInterrupt):
                RayEngine().run(train_for_ever, cells, (digits, tmp_path), (prepare_process, 1), on_event, nothing)
            if (tmp_path / "state").exists():
                break
        assert (tmp_path / "state").exists()

    def test_divergence_is_told_as_such(self, cluster):
        digits = data.load("digits").head(64, 32)
        with pytest.raises(TrainingDiverged, match=r"plain8 \(seed 0\): the loss of the batch") as caught:
            run(Study("plain8", TINY.replace(lr=1e30)), digits, engine=RayEngine(retries=2), progress=False)
        assert caught.value.lr == 1e30

    def test_a_lost_machine_costs_a_retry(self, cluster, tmp_path):
        """This comes last of those that use the cluster: one of its machines goes away."""
        (lost,) = cluster.worker_nodes
        places = {}

        def on_event(job, node):
            moved = places.setdefault(job.value, node) != node
            if len(places) == 2 and cluster.worker_nodes:
                cluster.remove_node(lost, allow_graceful=False)
            if moved or (node != lost.node_id and not cluster.worker_nodes):
                (tmp_path / f"{job.value}.release").touch()

        found = spread(RayEngine(), wait_for_release, [Job(0), Job(1)], (tmp_path,), on_event=on_event)
        (moved,) = [value for value, node in places.items() if node == lost.node_id]
        stayed = places[1 - moved]
        assert found == {moved: [lost.node_id, stayed], 1 - moved: [stayed]}


STUDY = """
import os, sys
import ray
from resnet_edu import cli

status = cli.main(sys.argv[1:])
print(status, ray.is_initialized(), os.environ["RAY_USAGE_STATS_ENABLED"])
"""


def session_of(processes: list[int]) -> str:
    """The folder of the Ray that some of the processes belong to, by their command lines."""
    for pid in processes:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                if found := re.search(r"[^\s=:,]*/session_\d[\w-]+", word):
                    return found[0]
    return "no session"


def without_ray_settings() -> dict[str, str]:
    """The environment of a user who has set nothing up, but for the tests' modules."""
    found = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return found | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": ROOT}


@linux
@pytest.mark.slow
def test_a_ray_that_we_start_is_silent_and_ends_with_us(tmp_path):
    """By Ctrl-C, which saves the state first."""
    command = [sys.executable, "-c", STUDY, "degrade", "--engine", "ray", "--nets", "resnet8", "--quick"]
    command += ["--steps", "100000", "--eval-every", "100", "--checkpoint-seconds", "0.1"]
    for attempt in "1234":
        out, ours = tmp_path / attempt, []
        process = start_at_terminal([*command, "--out", str(out)], tmp_path, without_ray_settings())
        deadline = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline and not list(out.glob("checkpoints/*.checkpoint")):
            time.sleep(0.1)
        ours = descendants(process.pid)
        session = session_of(ours)
        environments = [Path("/proc", str(pid), "environ").read_bytes() for pid in processes_with(session)]
        dashboards = processes_with(f"{session}/dashboard")
        os.killpg(process.pid, signal.SIGINT)
        said, err = process.communicate(timeout=100)
        if "Ray could not be started" not in err:  # it gives itself 30 seconds, too few under load
            break
    assert said == "130 False 0\n", err
    assert f"degrade --resume {out}" in err
    assert err.rstrip().endswith("interrupted")
    assert "Traceback" not in err
    assert len(environments) > 1
    assert all(b"RAY_USAGE_STATS_ENABLED=0" in environment for environment in environments)
    assert dashboards == []
    assert len(ours) > 3
    assert gone([*ours, *processes_with(session)])


@linux
def test_an_interrupt_arrives_where_the_signal_is_blocked(tmp_path):
    """As in Ray's workers, which block SIGINT and are interrupted without one: the state is saved, the run ends."""

    def interrupt(event):
        if event.step == 2:
            _thread.interrupt_main()

    digits = data.load("digits").head(64, 32)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with pytest.raises(KeyboardInterrupt):
            train_for_ever(Cell("resnet8", 0, TINY.replace(steps=50, eval_every=50)), digits, tmp_path, interrupt)
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    assert (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("gpus_per_run", 2, ValueError),
        ("gpus_per_run", -0.5, ValueError),
        ("gpus_per_run", True, TypeError),
        ("gpus_per_run", "x", TypeError),
        ("cpus_per_run", 0, ValueError),
        ("cpus_per_run", 0.5, TypeError),
        ("retries", -1, ValueError),
    ],
)
def test_bad_options(name, value, error):
    with pytest.raises(error, match=f"`{name}` must be .* but it is {value!r}"):
        RayEngine(**{name: value})


@pytest.mark.parametrize(
    ("asked", "gpus", "cuda_here", "resolved"),
    [
        ("auto", None, True, ("cuda", 1)),
        ("auto", None, False, ("cpu", 0)),
        ("auto", 0.25, False, ("cuda", 0.25)),  # the GPUs may be in other machines
        ("auto", 0, True, ("cpu", 0)),
        ("cuda", None, False, ("cuda", 1)),
        ("cpu", None, True, ("cpu", 0)),
    ],
)
def test_the_device_follows_the_share_of_a_gpu(asked, gpus, cuda_here, resolved):
    engine, device = RayEngine(gpus_per_run=gpus).resolve(asked, cuda_here)
    assert (device, engine.gpus_per_run) == resolved
    assert engine.resolve(device, cuda_here) == (engine, device)


@pytest.mark.parametrize(("asked", "gpus"), [("cpu", 0.5), ("cuda", 0), ("mps", None), ("cuda:1", None)])
def test_a_device_that_contradicts(asked, gpus):
    with pytest.raises(ValueError, match=repr(asked)):
        RayEngine(gpus_per_run=gpus).resolve(asked, True)


def test_without_ray_the_command_that_installs_it_is_told(tmp_path, monkeypatch, capsys):
    from resnet_edu import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)  # what makes `import ray` fail
    assert cli.main(["degrade", "--quick", "--engine", "ray"]) == 1
    err = capsys.readouterr().err
    assert 'pip install "ray>=2.40"' in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
    with pytest.raises(ImportError, match="pip install"):
        run(Study("plain8"), engine="ray")
    assert cli.main(["degrade", "--quick", "--nets", "plain8", "--workers", "0"]) == 0  # nothing else needs it


def test_options_of_ray_without_ray(capsys):
    from resnet_edu import cli

    assert cli.main(["degrade", "--address", "auto"]) == 1
    assert "--address is for a Ray cluster: add --engine ray" in capsys.readouterr().err


def test_unknown_engine():
    with pytest.raises(ValueError, match=r"`engine` must be .* but it is 'slurm'"):
        run(Study("plain8"), engine="slurm")
