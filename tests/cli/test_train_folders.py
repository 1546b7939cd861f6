"""`resnet-edu train` on folders of images: each thing that one wants of it, from the command line."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from resnet_edu import cli
from resnet_edu.cli import train as cli_train
from resnet_edu.data import dataset as data
from resnet_edu.experiment import records
from resnet_edu.figures import curves
from resnet_edu.training.classifier import load_classifier

pytestmark = pytest.mark.usefixtures("one_thread")
PETS = ("cat", "dog")
DRAW = curves.training


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    none = SimpleNamespace(save_both=lambda stem: None)
    monkeypatch.setattr(curves, "training", lambda *about: none)  # to draw takes seconds
    return tmp_path


def photos(classes: tuple[str, ...] = PETS, count: int = 20, size: int = 8, mode: str = "RGB") -> str:
    """A folder with `train/` and `test/`: noise around a grey of its own for each class."""
    rng = np.random.default_rng(0)
    for part, images in (("train", count), ("test", count // 4)):
        for k, name in enumerate(classes):
            (Path("photos") / part / name).mkdir(parents=True)
            for i in range(images):
                pixels = rng.normal(60 + 130 * k / len(classes), 50, (size, size, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).convert(mode).save(Path("photos") / part / name / f"{i}.png")
    return "photos"


def train(*options: str, net: str = "resnet8", out: str = "out") -> int:
    return cli.main(["train", "--net", net, "--data", "photos", "--out", out, *options])


def record(name: str = "out/resnet8-seed0.json") -> records.RunRecord:
    return records.load(name)


def wrong_by_hand(path: str, net=None) -> float:
    """The share of the test images that the net in a file gets wrong, in percent, image by image."""
    found, wrong = load_classifier(path, net), []
    for file in sorted(Path("photos/test").glob("*/*.png")):
        with Image.open(file) as image:
            values = torch.from_numpy(np.asarray(image.convert("RGB")) / np.float32(255)).permute(2, 0, 1)
        with torch.no_grad():
            guess = found.net(((values - found.mean) / found.deviation)[None]).argmax()
        wrong.append(found.classes[guess] != file.parent.name)
    return 100 * float(np.mean(wrong))


def test_one_epoch_of_fewer_images_than_a_batch(capsys):
    photos()
    assert train("--epochs", "1") == 0
    assert "recipe: 4 steps of 10 images (1.0 epochs)" in capsys.readouterr().err
    assert train("--epochs", "1", "--batch-size", "41", out="other") == 1
    assert "--batch-size is 41, but there are only 40 training images" in capsys.readouterr().err


NOTE = """
from torch import nn
from resnet_edu.nets.variants import halved_resnet34

def resnet34(num_classes):
    net = halved_resnet34(num_classes=num_classes)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_normal_(layer.weight)
    return net
"""


@pytest.mark.slow
def test_two_classes_at_224_pixels_with_the_settings_of_a_note(capsys, monkeypatch, here):
    """What Adam and the rate do is compared with torch's in tests/training/test_options.py."""
    photos(count=4, size=224)
    Path("note.py").write_text(NOTE)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "note", raising=False)
    how = ["--optimizer", "adamw", "--lr", "0.001", "--weight-decay", "0", "--schedule", "halves", "--augment", "none"]
    assert train(*how, "--batch-size", "4", "--epochs", "1", "--eval-every", "2", net="note:resnet34") == 0
    said = capsys.readouterr()
    assert "AdamW, learning rate 0.001, halved after each fifth, no augmentation" in said.err
    found = record("out/note-resnet34-seed0.json")
    assert (found.dataset["shape"], found.recipe["steps"]) == ([3, 224, 224], 2)
    whole = sum(p.numel() for p in torchvision.models.resnet34(num_classes=2).parameters())
    # It has a projection more than torchvision's, and none of them has a batch norm.
    assert found.parameters == whole + 64 * 64 - 2 * (128 + 256 + 512)
    import note

    assert wrong_by_hand("out/note-resnet34-seed0.safetensors", note.resnet34) == found.final["test_error"]
    assert not list(Path("out").glob("*.svg"))  # one evaluation is no curve


def test_seven_grey_classes_as_rgb_with_adamw():
    classes = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    photos(classes, count=8, mode="L")
    assert train("--channels", "3", "--optimizer", "adamw", "--schedule", "cosine", "--steps", "6", "--no-flip") == 0
    found, net = record(), load_classifier("out/resnet8-seed0.safetensors")
    assert (net.classes, net.shape) == (classes, (3, 8, 8))
    assert (found.recipe["lr"], found.recipe["weight_decay"], found.recipe["flip"]) == (0.001, 0.01, False)
    assert "milestones" in found.recipe
    assert found.recipe["milestones"] == []
    assert wrong_by_hand("out/resnet8-seed0.safetensors") == pytest.approx(found.final["test_error"])


def test_the_best_weights_are_chosen_on_held_out_images(capsys):
    photos()
    assert train("--steps", "8", "--eval-every", "1", "--hold-out", "10", "--keep", "best", "--lr", "0.05") == 0
    points = record().curves
    best = min(points, key=lambda p: (p["test_error"], p["test_loss"]))
    said = capsys.readouterr().out
    for ending, step in (("", 8), ("-best", best["step"])):
        path = f"out/resnet8-seed0{ending}.safetensors"
        assert load_classifier(path).about["step"] == step
        assert f"{path}: of step {step}, {wrong_by_hand(path):.2f}% of the test images wrong" in said
    assert f"The lowest held-out error is that of step {best['step']}." in said
    assert record().dataset["train"] == 30
    assert train("--keep", "best", out="other") == 1
    assert "--keep best needs --hold-out N" in capsys.readouterr().err


def test_curves_and_table(capsys, monkeypatch):
    photos()
    monkeypatch.setattr(curves, "training", DRAW)
    assert train("--steps", "6", "--eval-every", "2") == 0
    drawn = Path("out/resnet8-seed0-curves.svg").read_text()
    for word in ("training steps (batches)", "loss (nats)", "error (%)", "training", "test"):
        assert word in drawn
    assert Path("out/resnet8-seed0-curves.png").stat().st_size > 10_000
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.split()[:1] in (["2"], ["4"], ["6"])]
    for row, point in zip(rows, record().curves, strict=True):
        numbers = [point["train_loss"], point["train_error"], 100 - point["train_error"]]
        numbers += [point["test_loss"], point["test_error"], 100 - point["test_error"]]
        assert [float(cell) for cell in row[2:]] == pytest.approx(numbers, abs=0.006)


def test_more_steps(capsys):
    photos()
    how = ["--steps", "4", "--eval-every", "2", "--optimizer", "adamw", "--schedule", "cosine"]
    assert train(*how, "--more-steps", "3") == 1
    assert "there is no run of resnet8 (seed 0) in out to go on with" in capsys.readouterr().err
    assert train(*how) == train(*how, "--more-steps", "3") == train(*how, "--more-steps", "2") == 0
    found = record()
    assert [p["step"] for p in found.curves] == [2, 4, 6, 7, 8, 9]
    assert found.final["lr"] == pytest.approx(0.001 / 100)
    assert load_classifier("out/resnet8-seed0.safetensors").about["step"] == 9
    assert train(*how) == 1
    assert "is of a run that has ended: name another folder (--out), or --more-steps N" in capsys.readouterr().err
    assert train(*how, "--more-steps", "2", "--lr", "0.1") == 1
    assert "has another recipe: repeat the command" in capsys.readouterr().err


def test_more_steps_that_were_stopped_are_not_added_twice(monkeypatch):
    photos()
    how = ["--steps", "4", "--eval-every", "2", "--more-steps", "4"]
    assert train(*how[:-2]) == 0
    run_cell = cli_train.run_cell

    def stopped(cell, dataset, device, show, **options):
        def callback(event):
            if event.step == 6:
                raise KeyboardInterrupt

        return run_cell(cell, dataset, device, callback, **options)

    with monkeypatch.context() as patched:
        patched.setattr(cli_train, "run_cell", stopped)
        assert train(*how) == 130
    assert train(*how) == 0
    assert record().final["step"] == 8


def test_fine_tuning_against_from_scratch(capsys):
    photos()
    assert train("--steps", "20", "--optimizer", "adamw", out="first") == 0
    capsys.readouterr()
    start, how = "first/resnet8-seed0.safetensors", ["--steps", "5", "--optimizer", "adamw", "--freeze-epochs", "1"]
    command = ["train", "--data", "photos", "--out", "both", "--seeds", "2", "--start-from", start, *how]
    assert cli.main(command) == 0  # the file knows its net
    said = capsys.readouterr()
    scratch, fine = (
        [record(f"both/{kind}/resnet8-seed{seed}.json") for seed in range(2)] for kind in ("from-scratch", "fine-tuned")
    )
    assert {r.start for r in scratch} == {""}
    assert "resnet8 trained on photos" in fine[0].start
    assert (fine[0].recipe["frozen"], fine[0].recipe["body_share"], fine[0].recipe["normalize"]) == (4, 0.1, "start")
    assert "up to step 4 only the head learns; the body learns at 0.1 times the head's rate" in said.err
    gaps = [b.final["test_error"] - a.final["test_error"] for a, b in zip(scratch, fine, strict=True)]
    told = f"fine-tuned against from-scratch: {np.mean(gaps):+.2f} points of test error, mean of 2 seeds"
    assert f"{told}, 95% interval " in said.out
    assert wrong_by_hand("both/fine-tuned/resnet8-seed1.safetensors") == pytest.approx(fine[1].final["test_error"])
    Path("both/fine-tuned/resnet8-seed1.json").unlink()  # as if it had been stopped there
    assert cli.main(command) == 0
    assert capsys.readouterr().err.count("files: ") == 1
    assert record("both/fine-tuned/resnet8-seed1.json").same_result(fine[1])
    for other, what in {
        "--lr 0.002": "recipe",
        "--channels 1": "images",
        "--precision bfloat16": "precision",
        "--keep best --hold-out 8": "recipe, images, rule for what to keep",
    }.items():
        assert cli.main([*command, *other.split()]) == 1
        assert f"seed0.json is of another run ({what}): name another folder" in capsys.readouterr().err, other
    assert train("--steps", "20", "--optimizer", "adamw", "--augment", "none", out="second") == 0
    command[command.index(start)] = "second/resnet8-seed0.safetensors"
    assert cli.main(command) == 1
    assert "fine-tuned/resnet8-seed0.json is of another run (weights to start from)" in capsys.readouterr().err


def test_nets_of_another_stem_are_another_run(capsys):
    photos(size=32)
    how = ["--steps", "1", "--batch-size", "4", "--seeds", "2"]
    assert train(*how, "--stem", "cifar", net="resnet18") == train(*how, "--stem", "cifar", net="resnet18") == 0
    assert train(*how, net="resnet18") == 1
    assert "resnet18-seed0.json is of another run (options of the net): name another folder" in capsys.readouterr().err


def test_weights_that_come_with_the_package(capsys):
    photos(size=32)
    assert train("--start-from", "shipped", "--epochs", "1", "--freeze-epochs", "1", net="resnet20") == 0
    start = load_classifier("out/resnet20-seed0.safetensors")
    theirs = cli_train.starts.load_start("shipped", "resnet20").net.state_dict()
    ours = start.net.state_dict()
    assert {name for name in ours if not torch.equal(ours[name], theirs[name])} == {"fc.weight", "fc.bias"}
    assert [round(x, 4) for x in start.mean.flatten().tolist()] == [0.4914, 0.4822, 0.4465]
    assert record("out/resnet20-seed0.json").recipe["frozen"] == 4


MINE = """
from torch import nn

def small(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, num_classes))
"""


def test_a_net_of_ones_own(capsys, monkeypatch, here):
    photos()
    Path("my_nets.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)  # another test's
    assert train("--steps", "4", "--keep", "best", "--hold-out", "8", net="my_nets:small") == 0
    import my_nets

    found = load_classifier("out/my_nets-small-seed0.safetensors", my_nets.small)
    assert (found.name, found.options) == ("my_nets:small", {"num_classes": 2})
    assert train("--more-steps", "2", "--steps", "4", "--keep", "best", "--hold-out", "8", net="my_nets:small") == 0
    file = "out/my_nets-small-seed0.safetensors"
    assert train("--start-from", file, "--steps", "2", net="my_nets:small", out="fine") == 0
    assert train("--steps", "4", net="my_nets:none", out="x") == 1
    assert "the net 'my_nets:none' cannot be imported" in capsys.readouterr().err


def test_the_stem_for_small_images():
    photos()
    assert train("--steps", "2", "--stem", "cifar", net="resnet18") == 0
    found = load_classifier("out/resnet18-seed0.safetensors")
    assert found.net.conv1.weight.shape == (64, 3, 3, 3)
    assert (record("out/resnet18-seed0.json").options, found.net.maxpool) == ({"stem": "cifar"}, None)


def test_cifar10_in_another_size(monkeypatch):
    load, seen = data.load, {}

    def fake(source, **options):
        seen.update(options, source=source)
        return load("photos", resize=options["resize"])

    photos()
    monkeypatch.setattr(data, "load", fake)
    assert cli.main(["train", "--net", "resnet8", "--data", "cifar10", "--resize", "12", "--steps", "2"]) == 0
    assert (seen["source"], seen["resize"]) == ("cifar10", 12)


def test_progress_tells_loss_and_error(monkeypatch, capsys):
    photos()
    said = []
    update = cli_train.Progress.update

    def spy(line, cell, event):
        update(line, cell, event)
        said.append((event, line.bar.desc))

    monkeypatch.setattr(cli_train.Progress, "update", spy)
    assert train("--steps", "4", "--eval-every", "2") == 0
    event, text = said[-1]
    last = record().final
    assert f"loss {event.loss:.3g}, error {last['train_error']:.1f}% seen, {last['test_error']:.1f}% unseen" in text
    assert "error" not in said[0][1]


def test_augmentation_by_its_name():
    photos()
    for name, fields in {"none": (False, None), "pad-crop": (True, None), "resized-crop": (True, "resized")}.items():
        assert train("--steps", "2", "--augment", name, out=name) == 0
        its = json.loads((Path(name) / "resnet8-seed0.json").read_text())["recipe"]
        assert (its["augment"], its.get("crop")) == fields
