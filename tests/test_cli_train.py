"""`resnet-edu train`, in this process: what it leaves, and how the same command goes on."""

from pathlib import Path

import pytest
import torch

from resnet_edu import cli, cli_train, records

OPTIONS = ["--steps", "3", "--batch-size", "16", "--eval-every", "1"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A working directory of its own; few images; and this process is not changed for good."""
    load = cli_train.data.load
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_train.data, "load", lambda source, **options: load(source).head(64, 32))
    monkeypatch.setattr(cli_train, "prepare_process", lambda threads: None)
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
    assert [p.name for p in interrupted.iterdir()] == ["resnet8-seed0.json"]
    mine, whole = (records.load(Path(folder) / "resnet8-seed0.json") for folder in ("out", "whole"))
    assert mine.threads == 1
    assert mine.same_result(whole)
