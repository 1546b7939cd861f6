"""A study's folder, and going on with what is in it."""

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from class_folders import draw

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset
from resnet_edu.experiment import degradation, records
from resnet_edu.experiment import folder as folders
from resnet_edu.experiment.folder import Cell, Source, Study, StudyError
from resnet_edu.support.system import prepare_process
from resnet_edu.training.loop import Recipe

TINY = Recipe(4, batch_size=16, lr=0.05, augment=True, eval_every=2)
HEAD = Source("digits", head=(64, 32))
TWO = Study(("plain8", "resnet8"), TINY, device="cpu", workers=0)
ONE = replace(TWO, nets=("plain8",))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return HEAD.load()


def run(digits: Dataset, out: Path | None, study: Study = TWO, **options) -> list[records.RunRecord]:
    return degradation.run(replace(study, source=HEAD), digits, out, progress=False, **options)


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

    def test_a_run_in_flight_goes_on_from_its_checkpoint(self, digits, half, undisturbed, capfd):
        cell = Cell("resnet8", 0, TINY)
        where = replace(folders.checkpoint(half, folders.load(half), cell), seconds=0)

        def stop(event):
            if event.step == 3:
                raise Stop

        with pytest.raises(Stop):
            degradation.run_cell(cell, digits, callback=stop, checkpoint=where)
        assert same(degradation.resume(half), undisturbed)
        assert "resnet8: 6 of 8 steps" in capfd.readouterr().err  # of plain8's 4, and 2
        assert not (half / "checkpoints").exists()

    def test_a_damaged_checkpoint_is_set_aside(self, digits, half, undisturbed, caplog):
        where = folders.checkpoint(half, folders.load(half), Cell("resnet8", 0, TINY)).path
        where.parent.mkdir(exist_ok=True)
        where.write_bytes(b"half")
        assert same(degradation.resume(half, progress=False), undisturbed)
        assert "is damaged" in caplog.messages[0]
        assert [p.name for p in where.parent.iterdir()] == ["resnet8-seed0.checkpoint.damaged"]

    def test_a_damaged_record_is_named(self, half):
        (path,) = half.glob("*-seed0.json")
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(records.RecordError, match=f"{path} is damaged: it is no JSON text .*; restore it"):
            degradation.resume(half, progress=False)

    def test_weights_are_left_as_the_study_asked_for(self, digits, tmp_path):
        with pytest.raises(Stop):
            run(digits, tmp_path / "w", replace(TWO, save_weights=True), on_record=raise_stop)
        degradation.resume(tmp_path / "w", progress=False)
        names = {p.name for p in (tmp_path / "w").glob("*.safetensors")}
        assert names == {"plain8-seed0.safetensors", "resnet8-seed0.safetensors"}


class TestImagesThatHaveMoved:
    @pytest.fixture
    def pets(self, tmp_path) -> Path:
        """Where the images are now; of the study in `half`, with one of two runs done."""
        with pytest.raises(Stop):
            degradation.run(TWO, draw(tmp_path / "pets"), tmp_path / "half", progress=False, on_record=raise_stop)
        return (tmp_path / "pets").rename(tmp_path / "animals")

    def test_it_goes_on_with_those_that_are_given(self, pets, tmp_path):
        with pytest.raises(StudyError, match=r"no folder .*pets.* have moved, say where they are now \(--data, or"):
            degradation.resume(tmp_path / "half", progress=False)
        found = degradation.resume(tmp_path / "half", data.load(pets), progress=False)
        assert [r.dataset["name"] for r in found] == ["pets", "pets"]  # one study, one name
        undisturbed = degradation.run(TWO, pets, progress=False)
        assert [r.curves for r in found] == [r.curves for r in undisturbed]

    def test_by_the_same_call_again(self, pets, tmp_path):
        assert len(degradation.run(TWO, pets, tmp_path / "half", progress=False, resume=True)) == 2

    def test_a_finished_study_needs_none(self, pets, tmp_path, monkeypatch):
        found = degradation.resume(tmp_path / "half", data.load(pets), progress=False)
        monkeypatch.setattr(degradation.system, "resolve_device", raise_stop)  # nor a device
        assert degradation.resume(tmp_path / "half", progress=False) == found


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"seeds": 2}, r"seeds is \(0, 1\), but the study has \(0,\)"),
            ({"precision": "bfloat16"}, "precision is bfloat16, but the study has float32"),
            ({"threads": 7}, "threads is 7, but the study has 1"),
            ({"save_weights": True}, "save_weights is True, but the study has False"),
        ],
    )
    def test_a_call_that_contradicts_the_study(self, digits, half, change, words):
        with pytest.raises(StudyError, match=f"contradicts the study in {half}: {words}. Leave it out"):
            run(digits, half, replace(TWO, **change), resume=True)

    def test_other_images(self, digits, half):
        other = data.load("digits").head(65, 32)
        for call in (lambda: run(other, half, resume=True), lambda: degradation.resume(half, other, progress=False)):
            with pytest.raises(StudyError, match=f"{other.fingerprint}.*{digits.fingerprint}"):
                call()

    def test_images_that_cannot_be_loaded_again(self, digits, tmp_path, undisturbed):
        with pytest.raises(Stop):
            degradation.run(TWO, digits, tmp_path / "m", progress=False, on_record=raise_stop)
        with pytest.raises(StudyError, match="were given as a `Dataset`: give it again"):
            degradation.resume(tmp_path / "m", progress=False)
        assert same(degradation.resume(tmp_path / "m", digits, progress=False), undisturbed)

    def test_processes_where_there_were_none(self, digits, half):
        with pytest.raises(StudyError, match="workers is 2, but the study has 0"):
            run(digits, half, replace(TWO, workers=2), resume=True)

    def test_another_schedule(self, digits, half, monkeypatch):
        found = []
        monkeypatch.setattr(degradation, "_train_all", lambda study, *rest: found.append(study))
        study = replace(folders.load(half), checkpoint_seconds=5.0)
        run(digits, half, study, resume=True)
        assert found == [study]

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
                on_result(job, work(job, *shared, lambda event: None))

        monkeypatch.setattr(degradation, "run_in_workers", in_this_process)
        monkeypatch.setattr(degradation.system, "available_cores", lambda: 8)
        with pytest.raises(Stop):
            run(digits, tmp_path, replace(TWO, workers=1, seeds=2), on_record=raise_stop)
        run(digits, tmp_path, replace(TWO, workers=2, seeds=2), resume=True)
        assert counts == [1, 2]
        assert setups == [(prepare_process, 8), (prepare_process, 8)]

    @pytest.mark.slow  # two threads wait long for each other where other processes want the cores
    def test_threads_of_this_process(self, digits, tmp_path):
        assert [r.threads for r in run(digits, tmp_path / "two", replace(TWO, threads=2))] == [2, 2]
        assert folders.load(tmp_path / "two").threads == 2
        assert torch.get_num_threads() == 1

    def test_where_nothing_is_said_it_goes_on_as_it_began(self, digits, half, undisturbed, monkeypatch):
        monkeypatch.setattr(degradation, "run_in_workers", raise_stop)
        assert same(run(digits, half, replace(TWO, workers=None), resume=True), undisturbed)

    def test_another_process_is_at_work_on_it(self, half):
        with folders.locked(half):
            with folders.locked(half):  # who holds it may ask again
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
        said, load, one = [], Source.load, tmp_path / "one"

        def second():
            with pytest.raises(StudyError, match="another process is at work in"):
                degradation.run(replace(ONE, recipe=TINY.replace(lr=0.5)), digits, one, resume=True, progress=False)
            said.append("refused")

        def load_slowly(source, progress):
            in_thread(second)
            return load(source, progress).head(64, 32)

        monkeypatch.setattr(Source, "load", load_slowly)
        first = degradation.run(ONE, "digits", one, resume=True, progress=False)
        assert said == ["refused"]
        monkeypatch.undo()
        assert folders.load(tmp_path / "one").recipe == TINY
        assert degradation.resume(tmp_path / "one", digits, progress=False) == first

    def test_what_came_while_it_waited_is_not_overwritten(self, half, monkeypatch):
        """Between the look at the folder and the lock another process may have begun, and gone."""
        new, locked = half.parent / "new", folders.locked

        def locked_late(folder):
            os.rename(half, new)
            return locked(folder)

        monkeypatch.setattr(folders, "locked", locked_late)
        with pytest.raises(FileExistsError, match="nothing is overwritten"), folders.claimed(new):
            pass

    def test_a_record_of_something_else(self, half):
        (path,) = half.glob("*-seed0.json")
        values = json.loads(path.read_text())
        values["recipe"]["lr"] = 0.5
        path.write_text(json.dumps(values))
        with pytest.raises(StudyError, match=f"{path} is no record of the study"):
            degradation.resume(half, progress=False)

    def test_no_study(self, tmp_path):
        with pytest.raises(StudyError, match=r"there is no study to resume in .*nowhere"):
            folders.load(tmp_path / "nowhere")
        with pytest.raises(StudyError, match=r"there is no file .*study\.json"):
            folders.load(tmp_path)
        with pytest.raises(StudyError, match="there is no unfinished study"):
            folders.newest_unfinished(tmp_path)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda text: text[:-40], "is no JSON text"),
            (lambda text: "[]", "is none of our files"),
            (lambda text: text.replace('"nets"', '"nests"'), "is damaged or was edited"),
            (lambda text: text.replace('"lr": 0.05', '"lr": -1'), "is damaged or was edited .*`lr`"),
            (lambda text: text.replace('"nets": [\n  "plain8",\n  "resnet8"\n ],', ""), "is damaged or was edited"),
            (lambda text: text.replace('"schema": 3', '"schema": 4'), "knows 3 at most: update"),
        ],
    )
    def test_a_study_that_cannot_be_read(self, half, change, words):
        path = half / "study.json"
        path.write_text(change(path.read_text()))
        with pytest.raises(StudyError, match=words):
            degradation.resume(half)

    def test_a_folder_that_holds_a_study_is_not_overwritten(self, digits, half):
        with pytest.raises(FileExistsError, match=rf"nothing is overwritten: .* \(--resume {half}, or"):
            run(digits, half)

    def test_resume_without_a_folder(self, digits):
        with pytest.raises(ValueError, match="`resume` needs a folder"):
            run(digits, None, resume=True)


def test_what_is_written_is_read(half):
    study = folders.load(half)
    assert (study.nets, study.seeds, study.recipe, study.source) == (("plain8", "resnet8"), (0,), TINY, HEAD)
    assert study.cells == [Cell("plain8", 0, TINY), Cell("resnet8", 0, TINY)]
    study.save(half)
    assert folders.load(half) == study


def test_numpys_numbers_are_as_good_as_pythons(tmp_path):
    """They are written to the study, to records and to checkpoints, which hold Python's alone."""
    sizes = {"steps": np.int64(4), "batch_size": np.int32(16), "eval_every": np.uint8(2), "milestones": np.array([2])}
    rates = {"lr": np.float32(0.5), "warmup_lr": np.float32(0.25), "weight_decay": np.float64(0)}
    study = Study(["plain8"], Recipe(**sizes, **rates), np.arange(2), "cpu", workers=np.int64(0), threads=np.int64(1))
    found = degradation.run(study, Source("digits", head=np.array([64, 32])), tmp_path / "new", progress=False)
    plain = Recipe(4, 16, 0.5, weight_decay=0.0, milestones=(2,), warmup_lr=0.25, eval_every=2)
    assert folders.load(tmp_path / "new").recipe == plain
    study = Study(("plain8",), plain, 2, "cpu", workers=0, threads=1)
    assert [r.curves for r in found] == [r.curves for r in degradation.run(study, HEAD, progress=False)]


def test_a_path_is_a_folders_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "digits")
    (record,) = degradation.run(ONE, Path("digits"), progress=False)
    assert list(record.dataset["classes"]) == ["cat", "dog"]
    assert Source(Path("digits")).absolute() == Source(str(tmp_path / "digits"))


def test_source_of_a_folder_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Source("pets", 32).absolute() == Source(str(tmp_path / "pets"), 32)
    assert Source("digits").absolute() == Source("digits")


def test_cifar10_is_found_from_anywhere(digits, tmp_path, monkeypatch):
    """Where the study found it; if it is there no longer, where it would be looked for without the study."""
    asked = []

    def load(source, root=None, urls=None, **options):
        asked.append((root, urls, options["resize"]))
        if urls == [] and not Path(root).exists():
            raise RuntimeError("it is neither on disk nor to be had")
        return digits

    monkeypatch.setattr(data, "load", load)
    monkeypatch.delenv("RESNET_EDU_DATA", raising=False)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    degradation.run(ONE, Source("cifar10", resize=8), tmp_path / "new", progress=False)
    monkeypatch.chdir("/")
    source = folders.load(tmp_path / "new").source
    assert source.load() is digits
    (tmp_path / "data").rmdir()
    assert source.load(urls=["http://x/"]) is digits
    there = str(tmp_path / "data")
    assert asked == [(None, None, 8), (there, [], 8), (there, [], 8), (None, ["http://x/"], 8)]
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
    assert folders.newest_unfinished(tmp_path) == half
    study = folders.load(half)
    for name, date in (("older", "2020-01-01T00:00:00+00:00"), ("newer", "2099-01-01T00:00:00+00:00")):
        (tmp_path / name).mkdir()
        replace(study, date=date).save(tmp_path / name)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "study.json").write_text("{")
    assert folders.newest_unfinished(tmp_path) == tmp_path / "newer"


KILLED = """
import os, random, signal, sys, time
import torch
import torch._dynamo  # an optimizer's first step imports it, which takes longer than all the rest
from resnet_edu import Recipe
from resnet_edu.experiment import Source, Study, records, run

torch.set_num_threads(1)  # and no pool of threads that a forked process would miss
source = Source("digits", head=(64, 32))
recipe = Recipe(40, batch_size=16, lr=0.05, augment=True, eval_every=10)
study = Study(("plain8", "resnet8"), recipe, device="cpu", workers=0, checkpoint_seconds=0, source=source)
images = source.load()


def go(out):
    return run(study, images, out, progress=False, resume=True)


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
while kills < 8:
    # At any moment from the start, but so that about eight lives make one whole run.
    status = in_child(folders[-1], moments.uniform(0, nothing + whole / 4))
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


LOCKED = """
import sys, time
from pathlib import Path
from resnet_edu.experiment.folder import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_lock_ends_with_its_process(half):
    """Of whatever it dies."""
    process = subprocess.Popen([sys.executable, "-c", LOCKED, str(half)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(StudyError, match="another process is at work in"):
        degradation.resume(half, progress=False)
    process.kill()
    process.communicate()
    assert len(degradation.resume(half, progress=False)) == 2


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)), NotImplementedError("no flock")])
def test_a_file_system_without_locks(tmp_path, monkeypatch, error):
    def acquire(lock):
        raise error

    monkeypatch.setattr(folders.FileLock, "acquire", acquire)
    with folders.claimed(tmp_path / "new") as stored:
        assert stored is None
    assert (tmp_path / "new").is_dir()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_8_random_moments(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {"2 True True"}
    assert done.stderr == ""  # not a word about damage: every file was whole
