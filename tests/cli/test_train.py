"""`resnet-edu train`, in this process: what it leaves, and how the same command goes on."""

import os
from pathlib import Path

import pytest
import torch
from class_folders import draw
from filelock import FileLock

from resnet_edu import cli
from resnet_edu.cli import train as cli_train
from resnet_edu.data import dataset as data
from resnet_edu.experiment import records
from resnet_edu.experiment.folder import LOCK_FILE

OPTIONS = ["--steps", "3", "--batch-size", "16", "--eval-every", "1"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A working directory of its own, and few images."""
    load = data.load
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda source, **options: load(source, **options).head(64, 32))
    return tmp_path


def train(*options: str, out: str = "out") -> int:
    return cli.main(["train", "--net", "resnet8", "--out", out, *OPTIONS, *options])


@pytest.fixture
def interrupted(monkeypatch) -> Path:
    """The folder of a run that Ctrl-C stopped after two of three steps."""
    run_cell = cli_train.run_cell

    def stopped(cell, dataset, device, show, **options):
        def callback(event):
            show(event)
            if event.step == 2:
                raise KeyboardInterrupt

        return run_cell(cell, dataset, device, callback, **options)

    with monkeypatch.context() as patched:
        patched.setattr(cli_train, "run_cell", stopped)
        assert train() == 130
    assert Path("out/resnet8-seed0.checkpoint").exists()
    return Path("out")


def test_the_same_command_goes_on_with_as_many_threads(interrupted, capsys):
    assert train(out="whole") == 0
    torch.set_num_threads(2)  # as on a machine, or in a container, with other cores
    assert train() == 0
    assert (interrupted / "resnet8-seed0.safetensors").exists()
    mine, whole = (records.load(Path(folder) / "resnet8-seed0.json") for folder in ("out", "whole"))
    assert mine.threads == 1
    assert mine.same_result(whole)


def test_a_run_of_another_process_is_left_alone(interrupted, capsys):
    """Two at once would write one checkpoint in turn."""
    before = {p.name: p.read_bytes() for p in interrupted.iterdir()}
    capsys.readouterr()
    with FileLock(interrupted / LOCK_FILE):
        assert train() == 1
    (interrupted / LOCK_FILE).unlink()
    said = "resnet-edu train: another process is at work in out: wait for it, or stop it first\n"
    assert capsys.readouterr() == ("", said)
    assert {p.name: p.read_bytes() for p in interrupted.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--batch-size", "99"], "`batch_size` is 99"),
        (["--lr", "1e30"], "training diverged"),
    ],
)
def test_an_error_leaves_no_empty_folder(options, words, capsys):
    assert train(*options, "--steps", "4", "--eval-every", "4") == 1
    err = capsys.readouterr().err
    assert words in err
    assert ("the same command goes on" in err) == ("--lr" in options)
    assert not Path("out").exists()


def test_how_a_folder_is_read(capsys):
    (draw(Path("pets")) / "cat" / "0.png").write_bytes(b"damaged")
    assert train("--data", "pets", "--recipe", "digits") == 1
    assert f"cat{os.sep}0.png is no image" in capsys.readouterr().err
    assert train("--data", "pets", "--recipe", "digits", "--skip-damaged", "--channels", "3") == 0
    err = capsys.readouterr().err
    assert "31 + 8 images of 3x8x8" in err  # a fifth of 39 to test on
    assert "classes: 19 of 'cat', 20 of 'dog'" in err


def test_one_image_a_step(capsys):
    """Two strides make 4x4 pixels one, and torch's batch norm refuses one value a channel."""
    draw(Path("pets"))
    assert train("--data", "pets", "--recipe", "digits", "--resize", "4", "--batch-size", "1") == 1
    assert "Expected more than 1 value per channel" in capsys.readouterr().err
    assert not Path("out").exists()
    assert train("--data", "pets", "--recipe", "digits", "--resize", "5", "--batch-size", "1") == 0
