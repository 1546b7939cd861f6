"""A study's folder, and going on with what is in it."""

import dataclasses
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from class_folders import draw

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset
from resnet_edu.experiment import degradation, records
from resnet_edu.experiment import folder as studies
from resnet_edu.experiment.degradation import Cell
from resnet_edu.experiment.folder import Source, Study, StudyError
from resnet_edu.support.system import prepare_process
from resnet_edu.training.loop import Recipe

TINY = Recipe(4, batch_size=16, lr=0.05, augment=True, eval_every=2)
HEAD = Source("digits", head=(64, 32))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return HEAD.load()


def run(digits: Dataset, out: Path | None, **options) -> list[records.RunRecord]:
    options = {"workers": 0, "progress": False, "source": HEAD, **options}
    return degradation.run(("plain8", "resnet8"), digits, TINY, out=out, **options)


def in_thread(call) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


class Stop(BaseException):
    """Like Ctrl-C."""


def raise_stop(record):
    raise Stop


@pytest.fixture
def half(digits, tmp_path) -> Path:
    """The folder of a study with one of two runs done."""
    folder = tmp_path / "half"
    with pytest.raises(Stop):
        run(digits, folder, on_record=raise_stop)
    assert len(records.load_dir(folder)) == 1
    return folder


@pytest.fixture(scope="module")
def undisturbed(digits) -> list[records.RunRecord]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run(digits, None)
    finally:
        torch.set_num_threads(before)


def same(found, expected) -> bool:
    return all(a.same_result(b) for a, b in zip(found, expected, strict=True))


class TestGoingOn:
    def test_what_is_done_is_kept(self, half, undisturbed):
        (first,) = records.load_dir(half)
        new = []
        found = degradation.resume(half, progress=False, on_record=new.append)
        assert same(found, undisturbed)
        assert len(new) == 1
        assert first in found  # with its date and seconds
        assert sorted(p.name for p in half.iterdir()) == ["plain8-seed0.json", "resnet8-seed0.json", "study.json"]

    def test_by_the_same_call_again(self, digits, half, undisturbed):
        assert same(run(digits, half, resume=True), undisturbed)
        assert same(run(digits, half, resume=True), undisturbed)  # nothing is left to do

    def test_the_same_call_begins_a_study_too(self, digits, tmp_path, undisturbed):
        assert same(run(digits, tmp_path / "new", resume=True), undisturbed)

    def test_a_finished_study(self, digits, tmp_path, undisturbed):
        run(digits, tmp_path / "all")
        new = []
        assert same(degradation.resume(tmp_path / "all", progress=False, on_record=new.append), undisturbed)
        assert new == []

    def test_the_bar_begins_at_the_share_that_is_done(self, half, capfd):
        degradation.resume(half)
        first = capfd.readouterr().err.strip("\r").split("\r")[0]
        assert first.startswith("starting  50%|")

    def test_a_run_in_flight_goes_on_from_its_checkpoint(self, digits, half, undisturbed, caplog, capfd):
        study = studies.load(half)
        where = dataclasses.replace(studies.checkpoint(half, study, "resnet8", 0), seconds=0)

        def stop(event):
            if event.step == 3:
                raise Stop

        with pytest.raises(Stop):
            degradation.run_cell(Cell("resnet8", 0, TINY), digits, callback=stop, checkpoint=where)
        with open(where.path, "r+b") as file:  # so that one can see that it is read
            file.truncate(1000)
        assert same(degradation.resume(half), undisturbed)
        assert caplog.messages[1] == f"going on from the checkpoint before it, {where.path}.previous"
        assert "resnet8: 6 of 8 steps" in capfd.readouterr().err  # of plain8's 4, and 2
        assert [p.name for p in (half / "checkpoints").iterdir()] == ["resnet8-seed0.checkpoint.damaged"]

    def test_what_was_half_written_is_removed(self, half):
        (half / ".resnet8-seed0.json.x1y2z3.tmp").write_text("{")
        degradation.resume(half, progress=False)
        assert sorted(p.name for p in half.iterdir()) == ["plain8-seed0.json", "resnet8-seed0.json", "study.json"]

    def test_a_damaged_record_is_set_aside(self, half, undisturbed, caplog):
        (path,) = half.glob("*-seed0.json")
        path.write_bytes(path.read_bytes()[:100])
        assert studies.done(half, studies.load(half)) == 0
        assert same(degradation.resume(half, progress=False), undisturbed)
        (message,) = caplog.messages
        assert message.startswith(f"{path} is damaged: it is no JSON text")
        assert message.endswith(f"set aside as {path.name}.damaged, and that run is done again")
        assert len(path.with_name(f"{path.name}.damaged").read_bytes()) == 100

    def test_weights_are_left_as_the_study_asked_for(self, digits, tmp_path):
        with pytest.raises(Stop):
            run(digits, tmp_path / "w", save_weights=True, on_record=raise_stop)
        degradation.resume(tmp_path / "w", progress=False)
        names = {p.name for p in (tmp_path / "w").glob("*.safetensors")}
        assert names == {"plain8-seed0.safetensors", "resnet8-seed0.safetensors"}


class TestImagesThatHaveMoved:
    @pytest.fixture
    def pets(self, tmp_path) -> Path:
        """Where the images are now; of the study in `half`, with one of two runs done."""
        with pytest.raises(Stop):
            degradation.run(
                ("plain8", "resnet8"),
                draw(tmp_path / "pets"),
                TINY,
                out=tmp_path / "half",
                workers=0,
                progress=False,
                on_record=raise_stop,
            )
        return (tmp_path / "pets").rename(tmp_path / "animals")

    def test_it_goes_on_with_those_that_are_given(self, pets, tmp_path):
        with pytest.raises(StudyError, match=r"no folder .*pets.* have moved, say where they are now \(--data, or"):
            degradation.resume(tmp_path / "half", progress=False)
        found = degradation.resume(tmp_path / "half", data.load(pets), progress=False)
        assert [r.dataset["name"] for r in found] == ["pets", "pets"]  # one study, one name
        undisturbed = degradation.run(("plain8", "resnet8"), pets, TINY, workers=0, progress=False)
        assert [r.curves for r in found] == [r.curves for r in undisturbed]

    def test_by_the_same_call_again(self, pets, tmp_path):
        options = {"out": tmp_path / "half", "workers": 0, "progress": False, "resume": True}
        assert len(degradation.run(("plain8", "resnet8"), pets, TINY, **options)) == 2

    def test_a_finished_study_needs_none(self, pets, tmp_path, monkeypatch):
        found = degradation.resume(tmp_path / "half", data.load(pets), progress=False)
        monkeypatch.setattr(degradation, "resolve_device", raise_stop)  # nor a device
        assert degradation.resume(tmp_path / "half", progress=False) == found


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"seeds": 2}, r"seeds is \(0, 1\), but the study has \(0,\)"),
            ({"precision": "bfloat16"}, "precision is 'bfloat16', but the study has 'float32'"),
            ({"threads": 7}, "threads is 7, but the study has 1"),
            ({"save_weights": True}, "save_weights is True, but the study has False"),
        ],
    )
    def test_a_call_that_contradicts_the_study(self, digits, half, change, words):
        with pytest.raises(StudyError, match=f"contradicts the study in {half}: {words}. Leave it out"):
            run(digits, half, resume=True, **change)

    def test_other_images(self, digits, half):
        other = data.load("digits").head(65, 32)
        for call in (lambda: run(other, half, resume=True), lambda: degradation.resume(half, other, progress=False)):
            with pytest.raises(StudyError, match=f"{other.fingerprint}.*{digits.fingerprint}"):
                call()

    def test_images_that_cannot_be_loaded_again(self, digits, tmp_path, undisturbed):
        with pytest.raises(Stop):
            run(digits, tmp_path / "m", source=None, on_record=raise_stop)
        with pytest.raises(StudyError, match="were given as a `Dataset`: give it again"):
            degradation.resume(tmp_path / "m", progress=False)
        assert same(degradation.resume(tmp_path / "m", digits, progress=False), undisturbed)

    def test_processes_where_there_were_none(self, digits, half):
        for call in (lambda: degradation.resume(half, workers=2), lambda: run(digits, half, resume=True, workers=2)):
            with pytest.raises(StudyError, match="workers is 2, but the study has 0"):
                call()
        with pytest.raises(ValueError, match="`workers` must be a whole number of at least 0"):
            degradation.resume(half, workers=-1)

    @pytest.mark.parametrize(
        "schedule", [{"checkpoint_seconds": s} for s in (-5, math.nan, math.inf)] + [{"checkpoint_steps": 0}]
    )
    def test_a_schedule_that_cannot_be(self, half, schedule, monkeypatch):
        monkeypatch.setattr(degradation, "_carry_out", raise_stop)
        with pytest.raises(ValueError, match="between checkpoints` must be"):
            degradation.resume(half, **schedule)

    def test_it_goes_on_with_as_many_threads_as_it_began(self, digits, half, undisturbed):
        torch.set_num_threads(2)
        assert same(degradation.resume(half, progress=False), undisturbed)
        assert torch.get_num_threads() == 2

    def test_more_workers_have_as_many_threads_as_it_began_with(self, digits, tmp_path, monkeypatch):
        """Though they share the cores out otherwise."""
        counts, setups = [], []

        def in_this_process(work, jobs, shared, count, setup, on_event, on_result):
            counts.append(count)
            setups.append(setup)
            for job in jobs:
                on_result(job, work(job, *shared, lambda event, keep: None))

        monkeypatch.setattr(degradation, "run_in_workers", in_this_process)
        monkeypatch.setattr(degradation, "available_cores", lambda: 8)
        with pytest.raises(Stop):
            run(digits, tmp_path, workers=1, seeds=2, on_record=raise_stop)
        degradation.resume(tmp_path, workers=2, progress=False)
        assert counts == [1, 2]
        assert setups == [(prepare_process, 8), (prepare_process, 8)]

    def test_threads_of_this_process(self, digits, tmp_path):
        assert [r.threads for r in run(digits, tmp_path / "two", threads=2)] == [2, 2]
        assert studies.load(tmp_path / "two").threads == 2
        assert torch.get_num_threads() == 1

    def test_where_nothing_is_said_it_goes_on_as_it_began(self, digits, half, undisturbed, monkeypatch):
        monkeypatch.setattr(degradation, "run_in_workers", raise_stop)
        assert same(run(digits, half, resume=True, workers=None), undisturbed)

    def test_another_process_is_at_work_on_it(self, half):
        pytest.importorskip("fcntl")
        with studies.locked(half):
            with studies.locked(half):  # who holds it may ask again
                pass

            def other():
                with pytest.raises(StudyError, match="another process is at work in"):
                    degradation.resume(half, progress=False)
                refused.append(True)

            refused = []
            in_thread(other)
            assert refused
        degradation.resume(half, progress=False)  # and when it has gone

    def test_two_that_begin_in_one_folder(self, digits, tmp_path, monkeypatch):
        """The second one comes while the first reads its images: after the folder was looked into, before it writes."""
        pytest.importorskip("fcntl")
        said, load = [], Source.load
        options = {"out": tmp_path / "one", "resume": True, "workers": 0, "progress": False}

        def second():
            with pytest.raises(StudyError, match="another process is at work in"):
                degradation.run(("plain8",), digits, TINY.replace(lr=0.5), **options)
            said.append("refused")

        def load_slowly(source, progress):
            in_thread(second)
            return load(source, progress).head(64, 32)

        monkeypatch.setattr(Source, "load", load_slowly)
        first = degradation.run(("plain8",), "digits", TINY, **options)
        assert said == ["refused"]
        monkeypatch.undo()
        assert studies.load(tmp_path / "one").recipe == TINY
        assert degradation.resume(tmp_path / "one", digits, progress=False) == first

    def test_what_came_while_it_waited_is_not_overwritten(self, half, monkeypatch):
        """Between the look at the folder and the lock another process may have begun, and gone."""
        new, make = half.parent / "new", studies._make

        def make_late(folder):
            make(folder)
            os.rename(half, new)

        monkeypatch.setattr(studies, "_make", make_late)
        with pytest.raises(FileExistsError, match="already holds a study"), studies.claimed(new):
            pass

    def test_a_record_of_something_else(self, half):
        (path,) = half.glob("*-seed0.json")
        values = json.loads(path.read_text())
        values["recipe"]["lr"] = 0.5
        path.write_text(json.dumps(values))
        with pytest.raises(StudyError, match=f"{path} is no record of the study"):
            degradation.resume(half, progress=False)

    def test_no_study(self, tmp_path):
        with pytest.raises(StudyError, match="there is no folder"):
            studies.load(tmp_path / "nowhere")
        with pytest.raises(StudyError, match="it is empty"):
            studies.load(tmp_path)
        (tmp_path / "note.txt").write_text("")
        with pytest.raises(StudyError, match=r"it holds no study\.json"):
            studies.load(tmp_path)
        with pytest.raises(StudyError, match="there is no unfinished study"):
            studies.newest_unfinished(tmp_path)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda text: text[:-40], "is no JSON text"),
            (lambda text: "[]", "is damaged or was edited"),
            (lambda text: text.replace('"nets"', '"nests"'), "is damaged or was edited"),
            (lambda text: text.replace('"lr": 0.05', '"lr": -1'), "`lr` must be greater than 0"),
            (lambda text: text.replace('"schema": 2', '"schema": 3'), "knows only schemas up to 2: update"),
        ],
    )
    def test_a_study_that_cannot_be_read(self, half, change, words):
        path = half / "study.json"
        path.write_text(change(path.read_text()))
        with pytest.raises(StudyError, match=words):
            degradation.resume(half)

    def test_a_folder_that_holds_a_study_is_not_overwritten(self, digits, half):
        with pytest.raises(FileExistsError, match=rf"already holds a study, .* \(--resume {half}, or"):
            run(digits, half)

    def test_resume_without_a_folder(self, digits):
        with pytest.raises(ValueError, match="`resume` needs a folder"):
            run(digits, None, resume=True)


def test_what_is_written_is_read(half):
    study = studies.load(half)
    assert (study.nets, study.seeds, study.recipe, study.source) == (("plain8", "resnet8"), (0,), TINY, HEAD)
    assert study.runs == [("plain8", 0), ("resnet8", 0)]
    study.save(half)
    assert studies.load(half) == study


def test_source_of_a_folder_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Source("pets", 32).absolute() == Source(str(tmp_path / "pets"), 32)
    assert Source("digits").absolute() == Source("digits")


def test_cifar10_is_found_from_anywhere(digits, tmp_path, monkeypatch):
    """Where the study found it; if it is there no longer, where it would be looked for without the study."""
    asked = []

    def load(source, root=None, urls=None, **options):
        asked.append((root, urls))
        if urls == [] and not Path(root).exists():
            raise RuntimeError("it is neither on disk nor to be had")
        return digits

    monkeypatch.setattr(data, "load", load)
    monkeypatch.delenv("RESNET_EDU_DATA", raising=False)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    degradation.run(("plain8",), "cifar10", TINY, out=tmp_path / "new", workers=0, progress=False)
    monkeypatch.chdir("/")
    source = studies.load(tmp_path / "new").source
    assert source.load() is digits
    (tmp_path / "data").rmdir()
    assert source.load(urls=["http://x/"]) is digits
    there = str(tmp_path / "data")
    assert asked == [(None, None), (there, []), (there, []), (None, ["http://x/"])]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESNET_EDU_DATA", "~/images")
    assert Source("cifar10").absolute() == Source("cifar10", root=str(tmp_path / "images"))


def test_a_study_of_schema_1_goes_on(half, undisturbed):
    """Without a root in its source, as the releases before wrote it."""
    path = half / "study.json"
    values = json.loads(path.read_text())
    assert values["source"].pop("root") is None
    path.write_text(json.dumps({**values, "schema": 1}))
    assert same(degradation.resume(half, progress=False), undisturbed)


def test_newest_unfinished(digits, half, tmp_path):
    run(digits, tmp_path / "whole")
    assert studies.newest_unfinished(tmp_path) == half
    study = studies.load(half)
    for name, date in (("older", "2020-01-01T00:00:00+00:00"), ("newer", "2099-01-01T00:00:00+00:00")):
        (tmp_path / name).mkdir()
        Study(**{**vars(study), "date": date}).save(tmp_path / name)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "study.json").write_text("{")
    assert studies.newest_unfinished(tmp_path) == tmp_path / "newer"


KILLED = """
import os, random, signal, sys, time
import torch
import torch._dynamo  # an optimizer's first step imports it, which takes longer than all the rest
from resnet_edu import degradation, records, study

torch.set_num_threads(1)  # and no pool of threads that a forked process would miss
nets, source = ("plain8", "resnet8"), study.Source("digits", head=(64, 32))
images, recipe = source.load(), degradation.Recipe(150, batch_size=16, lr=0.05, augment=True, eval_every=40)


def go(out):
    return degradation.run(
        nets, images, recipe, out=out, source=source, workers=0, progress=False, resume=True, checkpoint_steps=5
    )


def in_child(out, seconds):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            go(out)
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def timed(out):
    begin = time.monotonic()
    assert in_child(out, None) == 0
    return time.monotonic() - begin


whole, nothing = timed("undisturbed"), timed("undisturbed")
moments = random.Random(0)
kills, folders = 0, ["killed0"]
while kills < 20:
    # At any moment from the start, but so that about twenty lives make one whole run.
    status = in_child(folders[-1], moments.uniform(0, nothing + whole / 10))
    assert status in (0, -signal.SIGKILL), status
    if status:
        kills += 1
    else:  # it was faster
        folders.append(f"killed{len(folders)}")
progress = os.listdir("killed0")  # whatever is there was left by a process that was killed
assert in_child(folders[-1], None) == 0
expected = records.load_dir("undisturbed")
for folder in folders:
    found = records.load_dir(folder)
    print(len(found), all(a.same_result(b) for a, b in zip(found, expected, strict=True)), len(progress) > 1)
    assert sorted(os.listdir(folder)) == ["plain8-seed0.json", "resnet8-seed0.json", "study.json"]
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_20_random_moments(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {"2 True True"}
    assert done.stderr == ""  # not a word about damage: every file was whole
