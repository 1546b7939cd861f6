"""Several processes for one net: two of a real torchrun, against one process and against a loop written by hand."""

import copy
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from processes import HELPERS, ROOT, start_at_terminal
from small_digits import RECIPE, digits

from resnet_edu import cli
from resnet_edu.data.dataset import Batches
from resnet_edu.experiment import records
from resnet_edu.experiment.degradation import build_net
from resnet_edu.training.checkpoint import Checkpoint, Keeper
from resnet_edu.training.group import ALONE, Group, joined
from resnet_edu.training.loop import train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

# What each of the two processes does; the tests look at what it saves.
PROGRAM = """
import sys, time
sys.path.insert(0, {tests!r})
import torch
from pathlib import Path
from small_digits import RECIPE, digits
from resnet_edu.experiment.degradation import build_net
from resnet_edu.training.checkpoint import Checkpoint
from resnet_edu.training.group import joined
from resnet_edu.training.loop import StopTraining, train

torch.set_num_threads(1)
folder = Path(sys.argv[1])
found = {{}}
with joined("cpu") as (group, device):
    with group.first_goes_first():
        if not group.rank:
            time.sleep(0.5)  # a download
            (folder / "downloaded").touch()
        found["downloaded"] = (folder / "downloaded").exists()

    def trained(checkpoint=None, callback=None, **options):
        model = build_net("resnet8", digits(), 1, **options)
        options = dict(device=device, group=group, checkpoint=checkpoint, callback=callback)
        history = train(model, digits(), RECIPE, seed=1, **options)
        return model.state_dict(), history

    losses = []
    note = lambda event: losses.append(event.loss) if event.kind == "step" else None
    found["without batch norm"] = (*trained(callback=note, batch_norm=False), losses)
    found["with batch norm"] = trained()

    def stop(event):
        if event.step == 4:
            raise StopTraining

    steps = []
    file = folder / "a.checkpoint"
    trained(Checkpoint(file, "resnet8"), stop)
    found["resumed"] = trained(Checkpoint(file, "resnet8"), lambda event: steps.append((event.kind, event.step)))
    found["first event"] = steps[0]
    try:
        train(build_net("resnet8", digits(), 1), digits(), RECIPE.replace(lr=1e30, warmup_lr=None), group=group)
    except Exception as error:
        found["diverged"] = str(error)
    torch.save(found, folder / f"{{group.rank}}.pt")
"""


# A run without an end, whose state is saved for one reason only: that it is stopped.
ENDLESS = """
import os, sys
sys.path.insert(0, {tests!r})
import torch
from pathlib import Path
from small_digits import RECIPE, digits
from resnet_edu.experiment.degradation import build_net
from resnet_edu.support.signals import exit_on_termination
from resnet_edu.training.checkpoint import Checkpoint
from resnet_edu.training.group import joined
from resnet_edu.training.loop import train

torch.set_num_threads(1)
folder = Path(sys.argv[1])
with exit_on_termination(), joined("cpu") as (group, device):
    def note(event):
        if event.step == 1:
            (folder / f"{{group.rank}}.pid").write_text(str(os.getpid()))
        (folder / f"{{group.rank}}.step").write_text(str(event.step))

    recipe = RECIPE.replace(steps=10**6, eval_every=10**6)
    checkpoint = Checkpoint(folder / "state", seconds=3600)
    train(build_net("resnet8", digits(), 1), digits(), recipe, group=group, checkpoint=checkpoint, callback=note)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict]:
    """What two processes that train together have found, each."""
    folder = tmp_path_factory.mktemp("two")
    done = torchrun(write_program(PROGRAM, folder), str(folder))
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def write_program(text: str, folder: Path) -> Path:
    program = folder / "program.py"
    program.write_text(textwrap.dedent(text).format(tests=HELPERS))
    return program


def torchrun(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    command = [*TORCHRUN, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ROOT}


def same_weights(a: dict, b: dict) -> None:
    for name, tensor in a.items():
        torch.testing.assert_close(tensor, b[name], rtol=1e-4, atol=1e-6, msg=lambda m: f"{name}: {m}")  # noqa: B023


@pytest.mark.slow
def test_without_batch_norm_two_processes_are_one(two):
    """Nothing but the order of a sum differs: weights and losses agree within rounding, wrong answers exactly."""
    model, losses = build_net("resnet8", digits(), 1, batch_norm=False), []
    note = lambda event: losses.append(event.loss) if event.kind == "step" else None  # noqa: E731
    history = train(model, digits(), RECIPE, seed=1, callback=note)
    for found in two:
        state, theirs, their_losses = found["without batch norm"]
        same_weights(model.state_dict(), state)
        assert their_losses == pytest.approx(losses, rel=1e-4)
        for mine, other in zip(history.evaluations, theirs.evaluations, strict=True):
            assert (mine.step, mine.lr, mine.test_error) == (other.step, other.lr, other.test_error)
            assert (mine.train_error, mine.train_loss) == pytest.approx((other.train_error, other.train_loss), rel=1e-4)
            assert mine.test_loss == pytest.approx(other.test_loss, rel=1e-4)


@pytest.mark.slow
def test_with_batch_norm_each_process_normalises_its_share(two):
    """A loop by hand: each half through the net on its own, gradients averaged, the buffers of the first half."""
    model = build_net("resnet8", digits(), 1)
    batches = Batches(digits(), RECIPE.normalize, torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), 1.0, RECIPE.momentum, weight_decay=RECIPE.weight_decay)
    generator = torch.Generator().manual_seed(1)
    model.train()
    for step in range(RECIPE.steps):
        if step % 4 == 0:  # 70 images are four batches of 16
            order = torch.randperm(70, generator=generator)
        picks = Batches.draw(order[step % 4 * 16 : step % 4 * 16 + 16], generator, True)
        images, labels = batches.training(picks)
        optimizer.zero_grad()
        other = copy.deepcopy(model)  # the second process: the same weights, and buffers that nobody will ask for
        F.cross_entropy(model(images[:8]), labels[:8]).backward()
        F.cross_entropy(other(images[8:]), labels[8:]).backward()
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
            mine.grad = (mine.grad + theirs.grad) / 2
        optimizer.param_groups[0]["lr"] = 0.01  # the slow start ends after 100 steps at the earliest
        optimizer.step()
    model.eval()
    with torch.no_grad():
        ((images, labels),) = batches.evaluation("test", 1100)
        loss = F.cross_entropy(model(images), labels)
    for found in two:
        state, history = found["with batch norm"]
        same_weights(model.state_dict(), state)
        assert history.evaluations[-1].test_loss == pytest.approx(loss.item(), rel=1e-4)
    # The two ways are two experiments: normalising the whole batch gives other weights, by far more than rounding.
    whole = build_net("resnet8", digits(), 1)
    train(whole, digits(), RECIPE, seed=1)
    assert (whole.fc.weight - model.fc.weight).abs().max() > 1e-4


@pytest.mark.slow
def test_the_others_wait_for_what_the_first_process_downloads(two):
    assert [found["downloaded"] for found in two] == [True, True]


@pytest.mark.slow
def test_a_stopped_run_goes_on_in_all_processes(two):
    for rank, found in enumerate(two):
        (state, history), (undisturbed, whole) = found["resumed"], found["with batch norm"]
        assert found["first event"] == ("resumed", 4), rank
        assert history.evaluations == whole.evaluations
        for name, tensor in undisturbed.items():
            assert torch.equal(tensor, state[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("who", "number"),
    [("torchrun", signal.SIGINT), (1, signal.SIGTERM)],
)
def test_a_signal_ends_all_processes_after_the_same_step_and_the_state_is_saved(tmp_path, who, number):
    """Also one that reaches a single process: torchrun ends the others when that one has left."""
    process = start_at_terminal([*TORCHRUN, str(write_program(ENDLESS, tmp_path)), str(tmp_path)], tmp_path)
    deadline = time.monotonic() + 200
    while len(list(tmp_path.glob("?.pid"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid if who == "torchrun" else int((tmp_path / f"{who}.pid").read_text()), number)
    _, err = process.communicate(timeout=100)
    assert process.returncode != 0
    last = [int((tmp_path / f"{rank}.step").read_text()) for rank in (0, 1)]
    saved = json.loads((tmp_path / "state").read_bytes().split(b"\n")[1])["values"]["step"]
    assert last == [saved, saved], err


@pytest.mark.slow
def test_all_processes_end_alike(two):
    first, second = two
    assert first["diverged"] == second["diverged"]
    assert "training diverged" in first["diverged"]
    for name, tensor in first["with batch norm"][0].items():
        assert torch.equal(tensor, second["with batch norm"][0][name]), name
    assert first["with batch norm"][1].evaluations == second["with batch norm"][1].evaluations


@pytest.mark.slow
def test_the_command_in_two_processes_and_in_one(tmp_path, monkeypatch, capsys, one_thread):
    options = ["train", "--net", "resnet8", "--seed", "1"]
    options += ["--steps", "4", "--batch-size", "16", "--eval-every", "2"]
    done = torchrun("-m", "resnet_edu", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "resnet8-digits-seed1"
    endings = ("-curves.png", "-curves.svg", ".checkpoint", ".json", ".safetensors")
    assert sorted(p.name for p in folder.iterdir()) == [f"resnet8-seed1{ending}" for ending in endings]
    record = records.load(folder / "resnet8-seed1.json")
    assert record.device["processes"] == 2
    assert [p["step"] for p in record.curves] == [2, 4]
    assert done.stdout.count("resnet8-seed1.json") == 1  # one process speaks for all
    assert "resnet8 (seed 1) in 2 processes on digits" in done.stderr

    monkeypatch.chdir(tmp_path)
    assert cli.main(options) == 1
    assert "is of a run that has ended" in capsys.readouterr().err
    assert cli.main([*options, "--out", "alone"]) == 0
    one = records.load(tmp_path / "alone" / "resnet8-seed1.json")
    assert "processes" not in one.device
    # Batch norm over 16 images, and over 8: near each other after so few steps, but not the same.
    assert one.final["train_loss"] != record.final["train_loss"]
    assert one.final["train_loss"] == pytest.approx(record.final["train_loss"], rel=0.2)


class Of(Group):
    """Two processes, of which the test is one; the other was asked to end by the signal `theirs`."""

    theirs = 0

    def greatest(self, number, device):
        return max(number, self.theirs)

    def from_first(self, value):
        return value

    def barrier(self):
        pass


class TestHeldSignals:
    @pytest.fixture
    def came(self):
        """What arrives: the signals whose handler has been called."""
        numbers = []
        before = {n: signal.signal(n, lambda n, _: numbers.append(n)) for n in (signal.SIGINT, signal.SIGTERM)}
        yield numbers
        for number, handler in before.items():
            signal.signal(number, handler)

    def keeper(self, folder: Path, rank: int) -> Keeper:
        return Keeper(Checkpoint(folder / "state", seconds=3600), dict, lambda: ({}, {}), Of(rank, 2))

    @pytest.mark.parametrize("rank", [0, 1])
    def test_what_another_process_was_asked_takes_effect_here(self, tmp_path, came, monkeypatch, rank):
        with self.keeper(tmp_path, rank) as keeper:
            keeper.poll()
            monkeypatch.setattr(Of, "theirs", signal.SIGTERM)
            keeper.poll(together=False)
            assert (came, (tmp_path / "state").exists()) == ([], False)
            keeper.poll()
        assert came == [signal.SIGTERM]
        assert (tmp_path / "state").exists() == (rank == 0)  # the first alone saves

    def test_in_an_evaluation_the_state_is_saved_and_the_end_waits_for_the_others(self, tmp_path, came):
        with self.keeper(tmp_path, 0) as keeper:
            for _ in range(2):  # as by torchrun and a terminal
                os.kill(os.getpid(), signal.SIGINT)
            keeper.poll(together=False)
            assert (came, (tmp_path / "state").exists()) == ([], True)
            keeper.poll()
            assert came == [signal.SIGINT]


class TestGroup:
    def test_alone_nothing_changes(self, monkeypatch):
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        model, picks = torch.nn.Linear(2, 2), torch.arange(8).reshape(1, 1, 8)
        assert ALONE.wrap(model) is model
        assert torch.equal(ALONE.share(picks), picks)
        assert ALONE.sums([1.5], torch.device("cpu")) == [1.5]
        assert ALONE.from_first("x") == "x"
        with ALONE.first_goes_first(), joined("mps") as (group, device):
            assert (group, device) == (ALONE, "mps")

    def test_shares_make_up_the_batch(self):
        picks = torch.arange(24).reshape(1, 2, 12)
        shares = [Group(rank, 3).share(picks) for rank in range(3)]
        assert torch.equal(torch.cat(shares, -1), picks)
        assert {share.shape[-1] for share in shares} == {4}

    def test_batch_that_cannot_be_shared_out(self):
        with pytest.raises(ValueError, match=r"`batch_size` is 16, which 3 processes cannot share out evenly"):
            train(build_net("resnet8", digits(), 0), digits(), RECIPE, group=Group(0, 3))

    @pytest.mark.parametrize("device", ["mps", "cuda:1", "gpu"])
    def test_device_that_cannot_be_shared_out(self, monkeypatch, device):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ValueError, match=f"with torchrun .* '{device}'"), joined(device):
            pass
