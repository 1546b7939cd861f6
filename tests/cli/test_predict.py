"""`resnet-edu predict` as a user runs it: what is printed, which files are left, and what is told of mistakes."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_photos import photos

from resnet_edu import cli
from resnet_edu.training import export as exports
from resnet_edu.training.classifier import Classifier

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    _, classifier = photos(folder / "photos")
    classifier.save(folder / "net.safetensors")
    return folder, classifier


@pytest.fixture(autouse=True)
def here(trained, tmp_path, monkeypatch):
    """A working directory with the file and the photos."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "net.safetensors"):
        Path(name).symlink_to(trained[0] / name)


def predict(*words: str) -> int:
    return cli.main(["predict", "net.safetensors", *words, "--device", "cpu"])


def test_a_photo(trained, capsys):
    photo = "photos/test/flower/1.png"
    wanted = trained[1].predict(photo)
    assert predict(photo) == 0
    out = capsys.readouterr().out
    assert wanted.labels[0] in out
    assert f"{100 * float(wanted.probabilities.max()):.1f}" in out
    assert not Path("runs").exists()


def test_a_folder_as_csv_and_as_json(trained, capsys):
    wanted = trained[1].predict("photos/test/china")
    assert predict("photos/test/china", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert predict("photos/test/china", "--format", "json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in rows] == [record["image"] for record in records] == wanted.names
    for row, record, chances, label in zip(rows, records, wanted.probabilities, wanted.labels, strict=True):
        for k, name in enumerate(wanted.classes):
            assert float(row[f"p({name})"]) == record[f"p({name})"] == pytest.approx(float(chances[k]))
        assert row["label"] == record["label"] == label


def test_labelled_folders(trained, capsys):
    assert predict("photos", "--out", "o") == 0
    out, err = capsys.readouterr()
    assert "trained on none of these images" in out
    wanted = trained[1].predict("photos")
    assert str(wanted.errors()) in out
    assert str(wanted.confusion_table()) in out
    assert sorted(p.name for p in Path("o").iterdir()) == ["mistakes.png", "mistakes.svg"]
    worst = wanted.wrong(1)
    assert f"labelled {worst.classes[int(worst.truth)]}: {worst.labels[0]} " in err


def test_images_of_the_training_do_not_count(trained, capsys):
    assert predict("photos/train", "photos/test", "--out", "o") == 0
    out = capsys.readouterr().out
    assert "trained on 16 of the 32 images: they are left out" in out
    assert str(trained[1].predict("photos").errors()) in out
    assert predict("photos/train", "--out", "p") == 0
    assert "trained on all 16 images" in capsys.readouterr().out


def test_maps(trained, capsys):
    assert predict("photos/test/china/0.jpg", "--maps", "--out", "o") == 0
    assert "layer1.0: x " in capsys.readouterr().err
    assert sorted(p.name for p in Path("o").iterdir()) == ["maps-1-0.png", "maps-1-0.svg"]
    with Image.open("o/maps-1-0.png") as image:
        assert np.asarray(image.convert("L")).std() > 20


@pytest.mark.slow
def test_onnx_runtime_gives_the_probabilities(trained, capsys):
    for name in exports.NEEDED:
        pytest.importorskip(name)
    import onnx
    import onnxruntime

    assert predict("--export", "onnx", "--out", "o") == 0
    said = capsys.readouterr().err.split()
    assert float(said[said.index("by") + 1]) < 1e-4
    onnx.checker.check_model("o/net.onnx")
    session = onnxruntime.InferenceSession("o/net.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(trained[1].classes)
    for count in (1, 7):
        found = trained[1].predict(sorted(Path("photos/test/china").iterdir())[:count])
        pixels = found.images()
        assert found.images(0).shape == (0, *pixels.shape[1:])
        logits, probabilities = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            wanted = trained[1].net(trained[1].normalized(pixels)).numpy()
        assert np.abs(logits - wanted).max() < 1e-4
        assert np.allclose(probabilities, found.probabilities.numpy(), atol=1e-5)


def test_a_net_of_ones_own(monkeypatch, trained, capsys):
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)  # another test's
    Path("my_nets.py").write_text(
        "from torch import nn\n"
        "def small(classes):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2))
    theirs = trained[1]
    own = Classifier(net, "my_nets:small", {"classes": 2}, theirs.classes, theirs.shape, theirs.mean, theirs.deviation,
                     theirs.trained_on)  # fmt: skip
    own.save("own.safetensors")
    words = ("predict", "own.safetensors", "photos/test/china/0.jpg", "--format", "csv")
    assert cli.main([*words]) == 1
    assert "not of this package" in capsys.readouterr().err
    assert cli.main([*words, "--net", "my_nets:small"]) == 0
    assert own.predict("photos/test/china/0.jpg").labels[0] in capsys.readouterr().out
