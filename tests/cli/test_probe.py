"""`resnet-edu probe` as a user runs it: files, messages, and no files where it fails."""

from pathlib import Path

import pytest
from small_photos import classifier_of, cut, parts

from resnet_edu import cli, probes
from resnet_edu.data import dataset as data
from resnet_edu.experiment import shipped
from resnet_edu.experiment.degradation import build_net
from resnet_edu.probes import records as probe_records
from resnet_edu.training.classifier import Classifier
from resnet_edu.training.loop import evaluate


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """A working directory of its own."""
    monkeypatch.chdir(tmp_path)


def probe(*words: str) -> int:
    return cli.main(["probe", *words])


def files(folder: str) -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir())


def test_gradients(capsys):
    assert probe("gradients", "--nets", "plain8", "--steps", "0,1", "--out", "o") == 0
    assert files("o") == ["gradients-plain8.json", "gradients-plain8.png", "gradients-plain8.svg"]
    record = probe_records.load("o/gradients-plain8.json")
    assert (record.batch_norm, record.weights) == (True, "untrained, seed 0")
    assert [m["step"] for m in record.moments] == [0, 1]
    out = capsys.readouterr().out
    assert "of plain8: at the start" in out  # what is to be seen, in words
    assert out.endswith("1 record and gradients-plain8 (.png, .svg) are in o\n")


def test_weights_of_ones_own(capsys):
    digits = data.load("digits")
    net = build_net("resnet8", digits, 4)
    Classifier.of(net.eval(), digits, "resnet8").save("mine.safetensors")
    words = ("lesions", "--weights", "mine.safetensors", "--trials", "1", "--out", "o")
    assert probe(*words) == 0
    assert "warning" not in capsys.readouterr().err
    record = probe_records.load("o/lesions-resnet8.json")
    assert record.weights == "file mine.safetensors"
    assert (record.loss, record.error) == pytest.approx(evaluate(net, digits), rel=1e-5)
    assert probe(*words) == 1
    assert "already holds lesions-resnet8.json" in capsys.readouterr().err


def test_a_file_says_how_a_folder_is_read_and_normalised(capsys):
    folder = parts(Path("photos"), count=4, size=40)
    dataset = data.load(folder, resize=20)
    classifier = classifier_of(dataset, "resnet8", "per_channel")
    classifier.save("mine.safetensors")
    words = ("lesions", "--weights", "mine.safetensors", "--trials", "1")
    assert probe(*words, "--data", "photos", "--out", "o") == 0
    assert "warning" not in capsys.readouterr().err
    record = probe_records.load("o/lesions-resnet8.json")
    assert (record.loss, record.error) == pytest.approx(evaluate(classifier.net, dataset, normalize="per_channel"))
    others = cut(Path("others"), seed=5, count=5, size=40)
    assert probe(*words, "--data", str(others), "--out", "p") == 0
    assert "come from photos (china, flower, ...) and know 0% of" in capsys.readouterr().err
    assert probe(*words, "--data", "digits", "--out", "q") == 1
    assert "are ((3, 20, 20), 2), of digits ((1, 8, 8), 10)" in capsys.readouterr().err
    assert not Path("q").exists()


def test_the_nets_of_the_package_are_asked_unless_others_are_named():
    assert probe("responses", "--images", "20") == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("probe-responses-")
    nets = list(shipped.load_study("digits").weights)
    assert files(str(folder)) == sorted([*(f"responses-{n}.json" for n in nets), "responses.png", "responses.svg"])
    record = probe_records.load(folder / "responses-plain20.json")
    assert record.weights == "shipped: digits, seed 0"
    trained = shipped.load_trained("plain20", study="digits")
    expected = probes.responses(probes.Subject("plain20", trained, data.load("digits")), images=20)
    assert record.deviations == pytest.approx(expected.deviations, rel=1e-4)


def test_landscapes_of_two_nets_are_one_figure():
    words = ("landscape", "--nets", "resnet20,plain20", "--points", "3", "--images", "20", "--out", "o")
    assert probe(*words) == 0
    assert files("o") == ["landscape-plain20.json", "landscape-resnet20.json", "landscape.png", "landscape.svg"]
    assert probe_records.load("o/landscape-resnet20.json").x == [-1, 0, 1]


def test_identity_beside_the_trained_nets(capsys):
    assert probe("identity", "--nets", "plain20", "--added", "6", "--images", "50", "--out", "o") == 0
    assert [p["depth"] for p in probe_records.load("o/identity-plain20.json").points] == [20, 56]
    loss = shipped.load_record("plain56", study="digits").final["train_loss"]
    assert f"plain56 trained at its depth {loss:.3g}" in capsys.readouterr().out


def test_help_of_every_question(capsys):
    questions = ("gradients", "responses", "lesions", "landscape", "identity")
    for words in (["--help"], *([question, "--help"] for question in questions)):
        with pytest.raises(SystemExit, match="0"):
            cli.main(["probe", *words])
        out = capsys.readouterr().out
        assert all(question in out for question in (questions if len(words) == 1 else words[:1]))
