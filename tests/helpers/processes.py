"""The command line in processes of its own: started, watched and looked for."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended but was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pids, seconds=20) -> bool:
    """Wait for processes to end; a test fails by this only when they do not end at all."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(map(alive, pids)):
            return True
        time.sleep(0.05)
    return False


def workers_of(process: subprocess.Popen, count: int | None = 2) -> list[int]:
    """Wait until a process has `count` worker processes that compute (None: take it as it is); return their ids."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = []
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            try:
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
            except OSError:
                continue
        busy = [p for p in found if _seconds(p) > 3]  # importing torch takes less
        if count is None or len(busy) == count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no workers: {process.communicate()}")


HELPERS = str(Path(__file__).resolve().parent)  # to be importable in other processes
ROOT = str(Path(__file__).resolve().parent.parent.parent)


def _seconds(pid: int) -> float:
    """Processor time of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")


COMMAND = [sys.executable, "-m", "resnet_edu", "degrade"]


def start_at_terminal(options: list[str], folder: Path, environment: dict | None = None) -> subprocess.Popen:
    """Start the command as a shell at a terminal does: in a group of its own, and open to Ctrl-C.

    A job in the background of a script, such as a whole test run, has Ctrl-C ignored, and its children inherit that.
    """
    return subprocess.Popen(
        options,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def steps_done(out: Path) -> int:
    """The steps of all runs of a study, each by its record or its checkpoint."""
    steps: dict[str, int] = {}
    for pattern in ("checkpoints/*.checkpoint", "*-seed0.json"):
        for path in out.glob(pattern):
            with contextlib.suppress(OSError):  # gone meanwhile
                raw = path.read_bytes()
                record = raw.startswith(b"{")
                done = json.loads(raw)["final"] if record else json.loads(raw.split(b"\n")[1])["values"]
                name = path.name.partition(".")[0]
                steps[name] = max(done["step"], steps.get(name, 0))
    return sum(steps.values())


def wait_for_steps(process: subprocess.Popen, out: Path, steps: int) -> None:
    deadline = time.monotonic() + 300
    while steps_done(out) < steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
