"""`resnet-edu degrade`: what it leaves and says. In processes of its own it is stopped in `test_resume`."""

from pathlib import Path

import pytest
from class_folders import draw
from filelock import FileLock

from resnet_edu import cli
from resnet_edu.experiment import records
from resnet_edu.experiment.folder import LOCK_FILE


@pytest.mark.slow
def test_quick_run_leaves_everything(tmp_path, monkeypatch, capsys, one_thread):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["degrade", "--quick", "--workers", "0"]) == 0
    out, err = capsys.readouterr()
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("digits-")
    nets = ["plain8", "plain14", "resnet8", "resnet14"]
    figures = {f"degradation.{ending}" for ending in ("png", "svg")}
    assert {p.name for p in folder.iterdir()} == {*(f"{n}-seed0.json" for n in nets), "study.json", *figures}
    found = records.load_dir(folder)
    assert [r.net for r in found] == nets
    _, _, heading, rule, *rows = out.splitlines()
    assert heading == heading.strip()
    assert " ".join(heading.split()) == "net train error % test error % train loss seconds layers parameters"
    assert set(rule) == {"-"}
    by_net = {row.split()[0]: row.split() for row in rows[:4]}
    for r in found:
        wanted = [f"{r.final['train_error']:,.2f}", f"{r.final['test_error']:,.2f}", f"{r.final['train_loss']:,.3f}"]
        assert by_net[r.net][1:4] == wanted
    assert rows[4] == ""
    assert rows[5].startswith("After 20 steps on digits")
    assert str(folder) in rows[7]
    assert "20 steps of 32 images" in err  # what will be done, before it is done


@pytest.mark.slow
def test_folder_of_images_with_the_papers_recipe(tmp_path, monkeypatch, capsys, one_thread):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        draw(Path("pets") / part, ("cat", "dog", "eel"))
    options = ["--data", "pets", "--nets", "resnet8", "--epochs", "4", "--batch-size", "16", "--lr", "0.02"]
    assert cli.main(["degrade", *options, "--seeds", "2", "--workers", "0", "--out", "out"]) == 0
    out, err = capsys.readouterr()
    found = records.load_dir(Path("out"))
    assert [r.seed for r in found] == [0, 1]
    recipe = found[0].recipe
    assert (recipe["steps"], recipe["milestones"], recipe["lr"]) == (12, [6, 9], 0.02)  # 60 // 16 = 3 steps an epoch
    assert recipe["augment"] is True
    assert "learning rate 0.02, /10 after step 6 and step 9, with augmentation" in err
    assert "±" in out
    assert "it takes plain nets of two depths" in out


@pytest.mark.parametrize(
    "options",
    [
        ["--batch-size", "0"],
        ["--lr", "nan"],
        ["--eval-every", "0"],
        ["--steps", "0"],
        ["--workers", "-1"],
        ["--checkpoint-seconds", "inf"],
        ["--checkpoint-seconds", "-1"],
    ],
)
def test_numbers_that_cannot_be_are_told_before_a_download(tmp_path, options, capsys, monkeypatch):
    from resnet_edu.data import dataset as data

    def load(*arguments, **options):
        raise AssertionError("the images were asked for")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", load)
    assert cli.main(["degrade", "--data", "cifar10", *options]) == 1
    assert "must be" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_device_that_is_not_there(tmp_path, device, capsys, monkeypatch):
    import torch

    if (torch.cuda if device == "cuda" else torch.backends.mps).is_available():
        pytest.skip("it is there")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["degrade", "--device", device]) == 1
    assert f"device '{device}' was asked for" in capsys.readouterr().err


def test_the_study_of_another_process_is_left_alone(tmp_path, capsys):
    options = ["--quick", "--nets", "plain8", "--workers", "0"]
    ways = (["--out", str(tmp_path), *options], ["--resume", str(tmp_path)])
    assert cli.main(["degrade", *ways[0], "--steps", "1"]) == 0
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    capsys.readouterr()
    theirs = FileLock(tmp_path / LOCK_FILE)
    theirs.acquire()
    said = f"resnet-edu degrade: another process is at work in {tmp_path}: wait for it, or stop it first\n"
    for way in ways:
        assert cli.main(["degrade", *way]) == 1
        assert capsys.readouterr() == ("", said)  # and no word of how to go on with it
    theirs.release()
    (tmp_path / LOCK_FILE).unlink()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_disk_that_is_full_when_the_figures_are_drawn(tmp_path, capsys, monkeypatch):
    from resnet_edu.figures import style as figure

    def full(path, raw):
        raise OSError(f"cannot write {path} (No space left on device): make room")

    def interrupt(path, raw):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    options = ["--quick", "--nets", "plain8,resnet8", "--steps", "1", "--workers", "0", "--out", "out"]
    for way, wrong, status in ((options, full, 1), (["--resume", "out"], interrupt, 130)):
        with monkeypatch.context() as patched:
            patched.setattr(figure, "write_atomic", wrong)
            assert cli.main(["degrade", *way]) == status
        out, err = capsys.readouterr()
        assert out == ""
        assert "2 of 2 runs are done; what is saved is in out. To go on:\n" in err
        assert err.splitlines()[-2].endswith("degrade --resume out")
    assert list(Path("out").glob("*.png")) == []
    assert cli.main(["degrade", "--resume", "out"]) == 0
    assert len(list(Path("out").glob("*.png"))) == 1


def test_help_says_what_it_leaves(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["degrade", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for word in ("--data", "--recipe", "--out", "runs/", "--resume", "Ctrl-C saves"):
        assert word in out


def test_divergence_stops_with_step_and_rate(tmp_path, capsys):
    options = ["--quick", "--lr", "1e30", "--workers", "0", "--out", str(tmp_path / "out")]
    assert cli.main(["degrade", *options]) == 1
    err = capsys.readouterr().err
    assert "training diverged: " in err
    assert "with learning rate 1e+30" in err
    assert "Traceback" not in err


def test_divergence_leaves_what_the_other_nets_have(tmp_path, capsys, monkeypatch):
    """Whether a net is done or in flight: the one that diverges, of a study that was begun or resumed, ends none."""
    from resnet_edu.experiment import degradation
    from resnet_edu.training.loop import TrainingDiverged

    def run(failing: str, *options: str) -> str:
        """Let a net diverge at once, and the others stop after their first evaluation, as workers that are ended."""

        def run_cell(cell, dataset, device, callback, *rest, **options):
            def stop(event):
                callback(event)
                if event.kind == "evaluation":
                    raise TrainingDiverged(event.step, event.lr, "another net")

            if cell.net == failing:
                raise TrainingDiverged(1, 0.1)
            return real(cell, dataset, device, stop, *rest, **options)

        monkeypatch.setattr(degradation, "run_cell", run_cell)
        assert cli.main(["degrade", *options]) == 1
        return capsys.readouterr().err

    real, out = degradation.run_cell, tmp_path / "out"
    quick = ["--quick", "--nets", "plain8,resnet8", "--steps", "4", "--workers", "0"]
    said = f"0 of 2 runs are done; what is saved is in {out}, but to go on would diverge again"
    assert said in run("resnet8", *quick, "--out", str(out))
    saved = {p.name: p.read_bytes() for p in (out / "checkpoints").iterdir()}
    assert set(saved) == {"plain8-seed0.checkpoint"}
    assert said in run("plain8", "--resume", str(out))
    assert {p.name: p.read_bytes() for p in (out / "checkpoints").iterdir()} == saved


def test_held_out_images_are_tested_on(tmp_path):
    from resnet_edu.experiment import folder as study

    out = tmp_path / "out"
    options = ["--quick", "--nets", "plain8", "--steps", "4", "--hold-out", "112", "--workers", "0", "--out", str(out)]
    assert cli.main(["degrade", *options]) == 0
    (record,) = records.load_dir(out)
    assert (record.dataset["train"], record.dataset["test"]) == (400, 112)  # --quick takes 512 training images
    assert study.load(out).source.load().fingerprint == record.dataset["fingerprint"]
