"""`resnet-edu degrade`, stopped in every way, and `--resume`: real processes, real signals, the printed command."""

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
import torch
from class_folders import draw
from processes import COMMAND, gone, linux, start_at_terminal, steps_done, wait_for_steps, workers_of

from resnet_edu import cli
from resnet_edu.experiment import degradation, records
from resnet_edu.experiment import folder as folders
from resnet_edu.experiment.folder import Cell, Source, Study
from resnet_edu.training import Recipe
from resnet_edu.training.checkpoint import Checkpoint

HEAD = Source("digits", head=(512, 256))  # what --quick uses
QUICK = ["--quick", "--nets", "plain8,resnet8", "--steps", "4", "--workers", "0"]


pytestmark = pytest.mark.usefixtures("one_thread")


@linux
@pytest.mark.slow
def test_stopped_in_every_way_and_gone_on_with_the_printed_command(tmp_path, monkeypatch, capsys):
    options = ["--nets", "plain8,resnet8", "--quick", "--steps", "60"]
    options += ["--checkpoint-seconds", "0", "--workers", "2"]
    out, command, printed = tmp_path / "out", [*COMMAND, *options, "--out", "out"], []
    ways = [
        (signal.SIGINT, os.killpg, 130),  # Ctrl-C: the whole group hears it
        (signal.SIGKILL, os.kill, -signal.SIGKILL),
    ]  # `kill` without -9: see test_images_that_have_moved
    for i, (number, to, status) in enumerate(ways):
        process = start_at_terminal(printed or command, tmp_path)
        wait_for_steps(process, out, 10 + 20 * i)
        workers, before = workers_of(process, None), steps_done(out)
        to(process.pid, number)
        said, err = process.communicate(timeout=100)
        assert (process.returncode, said) == (status, "")
        assert gone(workers)
        assert "Traceback" not in err
        assert steps_done(out) >= before
        if i == 0:
            printed = shlex.split(err.split("this goes on: ")[1].splitlines()[0])  # at the start
        if number != signal.SIGKILL:
            said = err.split("what is saved is in out. To go on:\n")[1]
            assert shlex.split(said.splitlines()[0]) == printed
    monkeypatch.chdir(tmp_path)
    assert printed[: len(COMMAND)] == COMMAND
    assert cli.main(printed[len(COMMAND) - 1 :]) == 0
    assert "going on with the study in out: " in capsys.readouterr().err
    assert not (out / "checkpoints").exists()

    found = records.load_dir(out)
    recipe = Recipe(**found[0].recipe)
    alone = Study(("plain8", "resnet8"), recipe, workers=0, threads=found[0].threads)
    undisturbed = degradation.run(alone, HEAD, progress=False)
    assert recipe.steps == 60
    assert all(a.same_result(b) for a, b in zip(found, undisturbed, strict=True))


class Stop(BaseException):
    """Like Ctrl-C."""


@pytest.fixture
def half(tmp_path, monkeypatch) -> Path:
    """The folder of a study with one of two runs done; the working directory is the folder with runs/ in it."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / "half"

    def stop(record):
        raise Stop

    recipe = Recipe.digits(4).replace(batch_size=32)
    with pytest.raises(Stop):
        degradation.run(Study(("plain8", "resnet8"), recipe, workers=0), HEAD, folder, progress=False, on_record=stop)
    return folder


def test_resume_finds_the_newest_study(half, capsys):
    assert cli.main(["degrade", *QUICK, "--out", "runs/whole"]) == 0
    whole = capsys.readouterr().out
    assert cli.main(["degrade", "--resume"]) == 0
    out, err = capsys.readouterr()
    assert f"going on with the study in {half}: 1 of 2 runs are done" in err
    assert [r.net for r in records.load_dir(half)] == ["plain8", "resnet8"]
    for a, b in zip(records.load_dir(half), records.load_dir("runs/whole"), strict=True):
        assert a.same_result(b)
    assert out.splitlines()[-3] == whole.splitlines()[-3]  # the sentence
    assert (half / "degradation.png").exists()
    assert cli.main(["degrade", "--resume"]) == 1
    assert "there is no unfinished study in runs: name the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "cifar10"], "--data is cifar10, but the study has digits"),
        (["--data", "pets"], "--data is pets, but the study has digits"),
        *(
            (options, "a study goes on as it began: with --resume go only --data")
            for options in (
                *(["--nets", "plain20"], ["--seeds", "3"], ["--quick"], ["--resize", "16"], ["--hold-out", "50"]),
                *(["--recipe", "paper"], ["--steps", "9"], ["--epochs", "2"], ["--batch-size", "7"], ["--lr", "0.2"]),
                *(["--device", "cuda"], ["--precision", "bfloat16"], ["--save-weights"], ["--out", "elsewhere"]),
            )
        ),
        (["--workers", "2"], "workers is 2, but the study has 0"),
        (["--checkpoint-seconds", "-1"], "`checkpoint_seconds` must be at least 0"),
        (["--workers", "-1"], "`workers` must be at least 0"),
        (["--mirrors", "http://x/"], "--mirrors are addresses of CIFAR-10, but --data is digits"),
    ],
)
def test_contradictions_are_refused(half, options, words, capsys):
    assert cli.main(["degrade", "--resume", str(half), *options]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert "To go on:" not in err
    assert len(records.load_dir(half)) == 1


def test_images_that_have_moved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--nets", "plain8,resnet8", "--steps", "4", "--batch-size", "16", "--workers", "0"]
    draw(Path("pets"))

    def stop(record, path, **options):
        save(record, path, **options)
        raise KeyboardInterrupt

    save = records.RunRecord.save
    with monkeypatch.context() as patched:
        patched.setattr(records.RunRecord, "save", stop)
        assert cli.main(["degrade", "--data", "pets", "--out", "out", *options]) == 130
    Path("pets").rename("animals")
    capsys.readouterr()
    assert cli.main(["degrade", "--resume", "out"]) == 1
    err = capsys.readouterr().err
    assert "have moved, say where they are now (--data, or `data`)" in err
    assert "To go on:" not in err  # the same command would do the same again

    def terminate(record, path, **options):
        save(record, path, **options)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(records.RunRecord, "save", terminate)
        with pytest.raises(SystemExit, match="143"):
            cli.main(["degrade", "--resume", "out", "--data", "animals"])
    assert "degrade --resume out --data animals\n" in capsys.readouterr().err
    draw(Path("others"), classes=("cat", "eel"))
    Path("out/resnet8-seed0.json").unlink()
    for wrong, words in (("others", "contradicts the study in out: dataset is "), ("pets", "no folder pets")):
        assert cli.main(["degrade", "--resume", "out", "--data", wrong]) == 1
        err = capsys.readouterr().err
        assert words in err
        assert "To go on:" not in err
    assert cli.main(["degrade", "--resume", "out", "--data", "animals"]) == 0
    capsys.readouterr()
    assert cli.main(["degrade", "--resume", "out"]) == 0  # it prints the table again, without any images
    assert "the study in out is finished: 2 of 2 runs are done" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no study to resume in there: there is no file there/study.json"),
        (lambda path: path.mkdir(), "there is no study to resume in there: there is no file there/study.json"),
        (lambda path: (path.mkdir(), (path / "study.json").write_text("{")), "is damaged: it is no JSON text"),
    ],
)
def test_nothing_to_resume(tmp_path, monkeypatch, make, words, capsys):
    monkeypatch.chdir(tmp_path)
    make(Path("there"))
    assert cli.main(["degrade", "--resume", "there"]) == 1
    assert words in capsys.readouterr().err
    assert cli.main(["degrade", "--resume"]) == 1
    assert "there is no unfinished study in runs" in capsys.readouterr().err


def test_a_checkpoint_of_another_torch_is_refused(half, capsys, monkeypatch):
    study, cell = folders.load(half), Cell("resnet8", 0, Recipe(4, batch_size=32, eval_every=1))
    where = folders.checkpoint(half, study, cell)
    with pytest.raises(Stop):
        degradation.run_cell(
            cell,
            study.source.load(),
            callback=lambda e: (_ for _ in ()).throw(Stop) if e.step == 3 else None,
            checkpoint=Checkpoint(where.path, seconds=0),
        )
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert cli.main(["degrade", "--resume", str(half)]) == 1
    err = capsys.readouterr().err
    assert "there and '9.9' here" in err
    assert "To go on:" not in err  # the same command would do the same again


def test_an_interrupt_before_anything_was_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Source, "load", interrupt)
    assert cli.main(["degrade", *QUICK]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert list(Path("runs").iterdir()) == []


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/x/bin/resnet-edu", "/x/bin/resnet-edu"),
        ("/x/resnet_edu/__main__.py", f"{sys.executable} -m resnet_edu"),
    ],
)
def test_the_command_is_the_one_that_was_called(program, words, monkeypatch):
    from resnet_edu.cli.degrade import command

    args = cli.build_parser().parse_args(["degrade", "--engine", "ray", "--retries", "2"])
    monkeypatch.setattr(sys, "argv", [program])
    assert command(args, Path("a study")) == f"{words} degrade --resume 'a study' --engine ray --retries 2"
