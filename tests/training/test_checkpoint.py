"""Stopping a run anywhere: what goes on from a checkpoint ends in the numbers of a run that was never stopped."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset
from resnet_edu.experiment.degradation import Cell, run_cell
from resnet_edu.experiment.records import RunRecord
from resnet_edu.support.system import computing_threads
from resnet_edu.training import checkpoint as checkpoints
from resnet_edu.training.checkpoint import Checkpoint, CheckpointError
from resnet_edu.training.loop import Recipe, StopTraining, train
from resnet_edu.training.weights import WeightsError

RECIPE = Recipe(12, batch_size=20, lr=0.05, milestones=(7,), augment=True, eval_every=5)  # 3 batches an epoch
CELL = Cell("resnet8", 3, RECIPE)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits").head(64, 32)


@pytest.fixture(scope="module")
def undisturbed(digits) -> RunRecord:
    """The record of a run that was never stopped."""
    with computing_threads(1):
        return run_cell(CELL, digits)


class Stop(Exception):
    """Ends a run as nothing foresees."""


def stop_at(count: int):
    """A callback that breaks the run off at its event number `count`."""
    left = [count]

    def callback(event):
        left[0] -= 1
        if not left[0]:
            raise Stop

    return callback


def dropout_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 64, 10)
    )


def final(net: nn.Module, history) -> tuple:
    return history.evaluations, [p.tolist() for p in net.state_dict().values()]


class TestGoingOn:
    # Events come at steps and in evaluations (2 "evaluating" and 1 "evaluation"): 12 + 3 * 3 = 21 of them.
    @pytest.mark.parametrize("event", [1, 2, 3, 5, 6, 7, 8, 9, 13, 16, 17, 20, 21])
    def test_same_numbers_wherever_it_was_broken_off(self, digits, undisturbed, tmp_path, event):
        every_step = Checkpoint(tmp_path / "c", seconds=0)
        with pytest.raises(Stop):
            run_cell(CELL, digits, callback=stop_at(event), checkpoint=every_step)
        events = []
        record = run_cell(CELL, digits, callback=events.append, checkpoint=every_step)
        assert record.same_result(undisturbed)
        assert record.seconds > 0
        if event > 1:  # the state is saved after a step's event
            first = events[0]
            assert first.kind == "resumed"
            assert 0 < first.work == min(e.work for e in events)
            assert len(events) <= 21
        assert events[-1].work == pytest.approx(1)

    def test_a_finished_run_is_not_run_again(self, digits, tmp_path):
        whole = run_cell(CELL, digits, checkpoint=tmp_path / "c")
        events = []
        again = run_cell(CELL, digits, callback=events.append, checkpoint=tmp_path / "c")
        assert [e.kind for e in events] == ["resumed"]
        assert again.same_result(whole)
        earlier = json.loads((tmp_path / "c").read_bytes().split(b"\n")[1])["values"]["seconds"]
        assert again.seconds >= round(earlier, 3) > 0  # time accumulates

    def test_dropout_momentum_statistics_and_weights(self, digits, tmp_path):
        recipe = RECIPE.replace(momentum=0.9, lr=0.02)
        net = dropout_net()
        undisturbed = final(net, train(net, digits, recipe, seed=1))
        for event in (4, 11):
            with pytest.raises(Stop):
                train(
                    dropout_net(),
                    digits,
                    recipe,
                    seed=1,
                    callback=stop_at(event),
                    checkpoint=Checkpoint(tmp_path / "c", seconds=0),
                )
        net = dropout_net()
        torch.rand(7)  # wherever the global state is
        assert final(net, train(net, digits, recipe, seed=1, checkpoint=tmp_path / "c")) == undisturbed

    @pytest.mark.parametrize("stop", [50, 99, 101, 115])
    def test_a_slow_start_goes_on_where_it_was(self, digits, tmp_path, stop):
        recipe = Recipe(130, batch_size=30, warmup_lr=0.01, eval_every=130)  # the slow start takes 100 steps or more
        rates: list[float] = []

        def watch(event):
            if event.kind == "step":
                rates.append(event.lr)
                if event.step == stop and len(rates) == stop:
                    raise StopTraining

        def linear():
            torch.manual_seed(0)
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

        train(linear(), digits, recipe, callback=lambda e: rates.append(e.lr) if e.kind == "step" else None)
        expected, rates[:] = list(rates), []
        assert set(expected) == {0.01, 0.1}
        for _ in range(2):  # a callback that stops the training leaves the state of that very step
            train(linear(), digits, recipe, callback=watch, checkpoint=tmp_path / "c")
        assert rates == expected

    def test_a_callback_may_stop_it_at_once(self, digits, tmp_path):
        def stop(event):
            raise StopTraining

        first = train(dropout_net(), digits, RECIPE, callback=stop, checkpoint=tmp_path / "c")
        again = train(dropout_net(), digits, RECIPE, callback=stop, checkpoint=tmp_path / "c")  # when it is "resumed"
        assert first.stopped
        assert again.stopped

    @pytest.mark.gpu
    def test_on_a_graphics_card(self, digits, tmp_path):
        """Also where updates are replayed from a CUDA graph: the recording begins anew with the restored state."""
        recipe = RECIPE.replace(steps=40, milestones=(), eval_every=20, lr=0.01)
        cell = Cell("resnet8", 3, recipe)

        def stop(event):
            if event.step == 20 and event.kind == "evaluating":
                raise Stop

        undisturbed = run_cell(cell, digits, "cuda", precision="float32")
        every_chunk = Checkpoint(tmp_path / "c", seconds=0)
        with pytest.raises(Stop):
            run_cell(cell, digits, "cuda", precision="float32", callback=stop, checkpoint=every_chunk)
        events = []
        found = run_cell(cell, digits, "cuda", precision="float32", callback=events.append, checkpoint=every_chunk)
        assert (events[0].kind, events[0].step) == ("resumed", 20)
        for name in ("train_loss", "test_loss"):
            assert found.final[name] == pytest.approx(undisturbed.final[name], rel=0.01)

    def test_schedule(self, digits, tmp_path):
        path = tmp_path / "new" / "c"

        def steps_saved(**schedule) -> list[int]:
            seen = []

            def look(event):
                step = json.loads(path.read_bytes().split(b"\n")[1])["values"]["step"] if path.exists() else 0
                if event.kind == "step" and step not in seen:
                    seen.append(step)

            train(dropout_net(), digits, RECIPE, callback=look, checkpoint=Checkpoint(path, **schedule))
            checkpoints.remove(path)
            assert list(path.parent.iterdir()) == []
            return seen

        assert steps_saved() == [0, 5, 10]  # at evaluations, as a minute has not passed
        assert steps_saved(seconds=0) == list(range(12))

    def test_nothing_is_written_unless_asked_for(self, digits, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        run_cell(CELL, digits)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def half_done(digits, tmp_path) -> Path:
    """The checkpoint of a run that was broken off."""
    path = tmp_path / "c"
    with pytest.raises(Stop):
        run_cell(CELL, digits, callback=stop_at(8), checkpoint=Checkpoint(path, seconds=0))
    return path


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 4
    path.write_bytes(raw)


class TestDamage:
    @pytest.mark.parametrize("where", [0.0, 0.0004, 0.01, 0.3, 0.999])  # checksum, numbers, header, tensors
    def test_one_bit(self, digits, undisturbed, half_done, where, caplog):
        flip(half_done, int(where * half_done.stat().st_size))
        self.starts_afresh(digits, undisturbed, half_done, caplog, "they begin with")

    @pytest.mark.parametrize("size", [0, 10, 65, 5000, -1])
    def test_cut_off(self, digits, undisturbed, half_done, size, caplog):
        half_done.write_bytes(half_done.read_bytes()[:size])
        self.starts_afresh(digits, undisturbed, half_done, caplog, "they begin with")

    def test_another_file(self, digits, undisturbed, half_done, caplog):
        half_done.write_bytes(b"<html>503</html>\n")
        self.starts_afresh(digits, undisturbed, half_done, caplog, "its 17 bytes")

    def starts_afresh(self, digits, undisturbed, path, caplog, words):
        damaged = path.read_bytes()
        events = []
        record = run_cell(CELL, digits, callback=events.append, checkpoint=path)
        assert record.same_result(undisturbed)
        assert events[0].kind == "step"
        (message,) = caplog.messages
        assert message.startswith(f"the checkpoint {path} is damaged (")
        assert words in message
        assert message.endswith("renamed to *.damaged, and the run starts afresh")
        assert path.with_name("c.damaged").read_bytes() == damaged

    def test_identity_of_a_whole_one(self, half_done):
        whole = checkpoints.head_of(half_done)["identity"]
        assert (whole["net"], whole["seed"], whole["threads"], whole["recipe"]["steps"]) == ("resnet8", 3, 1, 12)
        flip(half_done, 100)
        assert checkpoints.head_of(half_done) == checkpoints.head_of(half_done.parent / "none") == {}
        assert sorted(p.name for p in half_done.parent.iterdir()) == ["c"]  # it only looks

    def test_no_code_is_run(self, tmp_path):
        """Not even for a file with a right checksum."""
        import hashlib
        import pickle

        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "evil"),)

        body = json.dumps({"format": 1, "identity": {}, "values": {}}).encode() + b"\n" + pickle.dumps(Evil())
        (tmp_path / "c").write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        assert checkpoints.load(tmp_path / "c", {}) is None
        assert [p.name for p in tmp_path.iterdir()] == ["c.damaged"]


class TestOfAnotherRun:
    @pytest.mark.parametrize(
        ("cell", "difference"),
        [
            (Cell("plain8", 3, RECIPE), "net is 'resnet8' there and 'plain8' here"),  # with the very same parameters
            (Cell("resnet8", 4, RECIPE), "seed is 3 there and 4 here"),
            (Cell("resnet8", 3, RECIPE.replace(lr=0.06)), "recipe.lr is 0.05 there and 0.06 here"),
            (
                Cell("resnet8", 3, RECIPE.replace(augment=False, steps=13)),
                "recipe.steps is 12 there and 13 here; recipe.augment is True there and False here",
            ),
        ],
    )
    def test_other_cells(self, digits, half_done, cell, difference):
        before = half_done.read_bytes()
        with pytest.raises(CheckpointError, match=rf"{half_done} belongs to another run: {difference}\. Train with"):
            run_cell(cell, digits, checkpoint=half_done)
        assert half_done.read_bytes() == before

    def test_other_images_and_threads(self, digits, half_done):
        other = Dataset(
            digits.name,
            digits.train_images ^ 1,
            digits.train_labels,
            digits.test_images,
            digits.test_labels,
            digits.classes,
        )
        with pytest.raises(CheckpointError, match=f"dataset is '{digits.fingerprint}' there and '{other.fingerprint}'"):
            run_cell(CELL, other, checkpoint=half_done)
        torch.set_num_threads(2)
        with pytest.raises(CheckpointError, match="threads is 1 there and 2 here"):
            run_cell(CELL, digits, checkpoint=half_done)

    def test_other_torch(self, digits, half_done, monkeypatch):
        monkeypatch.setattr(torch, "__version__", "9.9")
        with pytest.raises(CheckpointError, match=r"torch is '2.* there and '9.9' here"):
            run_cell(CELL, digits, checkpoint=half_done)

    def test_newer_format(self, digits, half_done, monkeypatch):
        monkeypatch.setattr(checkpoints, "FORMAT", 3)
        with pytest.raises(Stop):
            run_cell(CELL, digits, callback=stop_at(8), checkpoint=Checkpoint(half_done.with_name("d"), seconds=0))
        monkeypatch.undo()
        with pytest.raises(CheckpointError, match="has format 3, and 2 is the last known: update"):
            run_cell(CELL, digits, checkpoint=half_done.with_name("d"))

    def test_another_net_without_a_name(self, digits, tmp_path):
        def net(width: int) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))

        train(net(8), digits, RECIPE, checkpoint=tmp_path / "c")
        with pytest.raises(WeightsError, match=r"size mismatch for 1.weight: .*\[8, 64\].*\[9, 64\]"):
            train(net(9), digits, RECIPE, checkpoint=tmp_path / "c")


class TestFullDisk:
    CODE = """
    import resource, signal
    from resnet_edu.data import dataset as data
    from resnet_edu.experiment.degradation import Cell, run_cell
    from resnet_edu.training.checkpoint import Checkpoint
    from resnet_edu.training.recipe import Recipe
    import torch
    torch.set_num_threads(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the limit is an error of the write, as a full disk is

    def fill(until):
        def callback(event):
            limit = 1000 if 3 <= event.step < until else resource.RLIM_INFINITY
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        return callback

    cell = Cell("resnet8", 3, Recipe(8, batch_size=20, lr=0.05, eval_every=4))
    digits = data.load("digits").head(64, 32)
    for until, path in ((6, "for a while"), (99, "to the end")):
        record = run_cell(cell, digits, callback=fill(until), checkpoint=Checkpoint(path, seconds=0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(record.final["step"], record.same_result(run_cell(cell, digits)))
    """

    @pytest.mark.slow
    def test_training_goes_on(self, tmp_path):
        code = textwrap.dedent(self.CODE)
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.stdout == "8 True\n8 True\n", done.stderr
        for line, path in zip(done.stderr.splitlines(), ("for a while", "to the end"), strict=True):  # each once
            assert line.startswith(f"cannot write {path} (File too large): ")
            assert line.endswith("; training goes on")
        # A new one, as there is space again; the last good one.
        for path, step in (("for a while", 8), ("to the end", 2)):
            head = json.loads((tmp_path / path).read_bytes().split(b"\n")[1])
            assert head["values"]["step"] == step
        names = {p.name for p in tmp_path.iterdir()}
        assert names == {"for a while", "to the end"}  # none half-written

    def test_folder_that_cannot_be_made(self, digits, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError):
            run_cell(CELL, digits, checkpoint=tmp_path / "file" / "c")


class TestSignals:
    def saved_step(self, path: Path) -> int:
        return json.loads(path.read_bytes().split(b"\n")[1])["values"]["step"]

    @pytest.mark.parametrize("kind", ["step", "evaluating"])
    def test_ctrl_c_waits_until_the_state_is_saved(self, digits, undisturbed, tmp_path, kind):
        path = tmp_path / "c"
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
        try:

            def interrupt(event):
                if event.step == 5 and event.kind == kind:
                    os.kill(os.getpid(), signal.SIGINT)

            with pytest.raises(KeyboardInterrupt):
                run_cell(CELL, digits, callback=interrupt, checkpoint=path)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, before)
        assert self.saved_step(path) == 5
        assert run_cell(CELL, digits, checkpoint=path).same_result(undisturbed)

    def test_a_second_ctrl_c_is_at_once(self, digits, tmp_path):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        came = []
        try:

            def interrupt(event):
                for _ in range(2):
                    came.append(event.step)
                    os.kill(os.getpid(), signal.SIGINT)

            with pytest.raises(KeyboardInterrupt):
                run_cell(CELL, digits, callback=interrupt, checkpoint=tmp_path / "c")
        finally:
            signal.signal(signal.SIGINT, before)
        assert came == [1, 1]
        assert not (tmp_path / "c").exists()

    def test_a_handler_of_the_programs_own(self, digits, tmp_path):
        """It is called once the state is saved, and if it returns, training goes on."""
        steps = []
        before = signal.signal(signal.SIGTERM, lambda *_: steps.append(self.saved_step(tmp_path / "c")))
        try:
            run_cell(
                CELL,
                digits,
                callback=lambda e: (
                    os.kill(os.getpid(), signal.SIGTERM) if e.kind == "step" and e.step in (3, 7) else None
                ),
                checkpoint=tmp_path / "c",
            )
        finally:
            signal.signal(signal.SIGTERM, before)
        assert steps == [3, 7]

    def test_in_another_thread(self, digits, tmp_path):
        """Python gives signals to the main thread only, so there the schedule alone counts."""
        found = []
        thread = threading.Thread(target=lambda: found.append(run_cell(CELL, digits, checkpoint=tmp_path / "c")))
        thread.start()
        thread.join()
        assert len(found) == 1

    def test_ignored_signals_stay_ignored(self, digits, tmp_path):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        try:
            run_cell(CELL, digits, callback=lambda e: os.kill(os.getpid(), signal.SIGHUP), checkpoint=tmp_path / "c")
        finally:
            signal.signal(signal.SIGHUP, before)
