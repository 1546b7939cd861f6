"""What comes with the package: it loads, it is what its records say, and nothing damaged passes."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.numpy
import torch
import torchvision
from grid import pack
from ship import NEAR, main, ship

from resnet_edu.data import dataset as data
from resnet_edu.experiment import shipped
from resnet_edu.experiment.degradation import run
from resnet_edu.experiment.folder import NETS, Source, Study
from resnet_edu.experiment.records import RecordError, load_dir
from resnet_edu.experiment.shipped import (
    RESULTS,
    ShippedError,
    load_grid,
    load_record,
    load_records,
    load_study,
    load_trained,
)
from resnet_edu.training.loop import evaluate
from resnet_edu.training.recipe import Recipe
from resnet_edu.training.weights import WeightsError

TINY = Recipe(4, batch_size=16, lr=0.05, eval_every=2)
SHIPPED = sorted(path.parent.name for path in RESULTS.glob("*/study.json"))
WORDS = {"title": "Two small nets", "command": "resnet-edu degrade --quick"}


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits").head(64, 32)


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory) -> Path:
    """What a small study leaves: two nets, two seeds, weights."""
    out = tmp_path_factory.mktemp("run")
    run(Study(("plain8", "resnet8"), TINY, 2, workers=0, save_weights=True), digits, out, progress=False)
    return out


@pytest.fixture(scope="module")
def made(folder, digits, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("results")
    ship(folder, "small", dataset=digits, root=root, **WORDS)
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    """A copy of the shipped study that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "results"))


class TestWhatIsShipped:
    def test_there_is_something(self):
        assert "digits" in SHIPPED
        assert sorted(s.name for s in shipped.studies()) == SHIPPED
        assert load_record("plain20") == load_record("plain20", 0, load_study().name)

    @pytest.mark.parametrize("name", SHIPPED)
    def test_every_file_has_its_checksum_and_there_is_no_other(self, name):
        study = load_study(name)
        there = {p.name for p in (RESULTS / name).iterdir()} - {"study.json"}
        assert there == set(study.files)
        for file, said in study.files.items():
            content = (RESULTS / name / file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == said["sha256"]
            assert len(content) == said["bytes"]
        assert sum(f["bytes"] for f in study.files.values()) < 10e6

    @pytest.mark.parametrize("name", SHIPPED)
    def test_the_manifest_says_what_the_records_say(self, name):
        study, found = load_study(name), load_records(name)
        assert found == load_dir_without_manifest(name)
        assert study.title
        assert study.about
        assert study.command.startswith(("resnet-edu degrade", "resnet-edu train"))
        assert study.date == max(r.date for r in found)[:10]
        assert all(r.device["name"] in study.hardware for r in found)
        assert set(study.weights) <= {r.net for r in found}
        assert study.shortened == (found[0].dataset["name"] == "cifar10" and found[0].recipe["steps"] < 64_000)

    @pytest.mark.parametrize(
        "name",
        [pytest.param(n, marks=() if n == "digits" else pytest.mark.slow) for n in SHIPPED if load_study(n).weights],
    )
    def test_the_weights_have_the_errors_of_their_records(self, name):
        """The stored weights are tried on all test images; on CIFAR-10's where it is at hand, nothing is downloaded."""
        source = load_records(name)[0].dataset["name"]
        try:
            images = data.load(source, urls=[])
        except RuntimeError:
            pytest.skip(f"{source} is not here: name its folder by RESNET_EDU_DATA")
        for net, said in load_study(name).weights.items():
            record, model = load_record(net, said["seed"], name), load_trained(net, said["seed"], name)
            assert not model.training
            assert name != "digits" or record.dataset["fingerprint"] == images.fingerprint
            _, error = evaluate(model, images, "test", normalize=record.recipe["normalize"])
            # another machine's rounding may turn two images, or one in a thousand; a run in bfloat16 was tested in it
            few = 100 * max(2 / len(images.test_images), 1e-3) + 1e-6
            assert error == pytest.approx(said["test_error_stored"], abs=few)
            assert error == pytest.approx(record.final["test_error"], abs=few if name == "digits" else NEAR)


def load_dir_without_manifest(name: str):
    """The records, read without the manifest's help."""
    from resnet_edu.experiment import records

    found = [records.load(p) for p in (RESULTS / name).glob("*-seed*.json")]
    return sorted(found, key=lambda r: (r.kind, r.depth, r.seed))


class TestShip:
    def test_records_and_weights_of_seed_0(self, made, folder):
        assert sorted(p.name for p in (made / "small").iterdir()) == [
            "plain8-seed0.json", "plain8-seed0.safetensors", "plain8-seed1.json",
            "resnet8-seed0.json", "resnet8-seed0.safetensors", "resnet8-seed1.json",
            "study.json",
        ]  # fmt: skip
        assert [p.name for p in made.iterdir()] == ["small"]
        assert load_records("small", made) == load_dir(folder)
        study = load_study("small", made)
        assert (study.title, study.command, study.shortened) == (*WORDS.values(), False)
        (device,) = {(r.device["name"], r.threads, r.device["precision"]) for r in load_records("small", made)}
        assert study.hardware == f"{device[0]}, {device[1]} thread{'s' * (device[1] > 1)} a run, {device[2]}"

    @pytest.mark.parametrize("kind", ["float32", "float16"])
    def test_weights_are_those_of_the_run(self, folder, digits, tmp_path, kind):
        study = ship(folder, "other", dataset=digits, kind=kind, seed=1, root=tmp_path, **WORDS)
        before = safetensors.numpy.load_file(folder / "resnet8-seed1.safetensors")
        after = load_trained("resnet8", 1, "other", tmp_path).state_dict()
        assert after.keys() == {name for name in before if not name.startswith("resnet_edu.")}
        for name in after:
            tensor = before[name]
            wanted = tensor.astype(kind).astype("float32") if tensor.ndim > 1 else tensor
            assert torch.equal(after[name], torch.from_numpy(wanted))
        said = study.weights["resnet8"]
        assert (said["seed"], said["dtype"]) == (1, kind)
        record = load_record("resnet8", 1, "other", tmp_path)
        assert said["test_error"] == pytest.approx(record.final["test_error"], abs=1e-3)
        _, error = evaluate(load_trained("resnet8", 1, "other", tmp_path), digits)
        assert said["test_error_stored"] == pytest.approx(error, abs=1e-3)

    def test_the_same_folder_gives_the_same_bytes(self, made, folder, digits, tmp_path):
        ship(folder, "small", dataset=digits, root=tmp_path, **WORDS)
        for path in (made / "small").iterdir():
            assert (tmp_path / "small" / path.name).read_bytes() == path.read_bytes()

    def test_records_only(self, folder, tmp_path):
        study = ship(folder, "bare", dataset=None, kind="none", root=tmp_path, **WORDS)
        assert study.weights == {}
        with pytest.raises(ValueError, match="has no weights of plain8 with seed 0: there are none"):
            load_trained("plain8", study="bare", root=tmp_path)

    def test_an_older_one_is_replaced_only_if_asked_for(self, folder, digits, root):
        with pytest.raises(FileExistsError, match="there is a study"):
            ship(folder, "small", dataset=digits, root=root, **WORDS)
        words = WORDS | {"title": "Newer"}
        assert ship(folder, "small", dataset=digits, root=root, replace=True, **words).title == "Newer"
        assert [p.name for p in root.iterdir()] == ["small"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
    def test_a_replacement_that_is_broken_off_leaves_the_older_one(self, folder, root, monkeypatch, error):
        replace = os.replace

        def broken(source, target):
            if Path(target) == root / "small" and Path(source).name == "small":
                raise error
            replace(source, target)

        monkeypatch.setattr(os, "replace", broken)
        with pytest.raises(error):
            ship(folder, "small", dataset=None, kind="none", root=root, replace=True, **WORDS | {"title": "Newer"})
        assert load_study("small", root).title == WORDS["title"]
        assert [p.name for p in root.iterdir()] == ["small"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": "../up"}, "`name` must be of small letters"),
            ({"title": " "}, "`title` must say something"),
            ({"command": ""}, "`command` must say something"),
            ({"kind": "int8"}, "`kind` must be one of 'float32', 'float16', 'none'"),
            ({"seed": 7}, r"`seed` is 7, but .* has seeds \[0, 1\] only"),
            ({"dataset": None}, "tried on the data they were trained on, .*, but none was given"),
            ({"dataset": data.load("digits").head(32, 32)}, r"the one given \(digits\[:32\]\) has other images"),
            ({"folder": "nowhere"}, "there is no folder nowhere"),
        ],
    )
    def test_what_cannot_be_shipped(self, folder, digits, tmp_path, change, message):
        arguments = {"folder": folder, "name": "x", "dataset": digits, "root": tmp_path / "results", **WORDS} | change
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            ship(arguments.pop("folder"), arguments.pop("name"), **arguments)
        assert not list(tmp_path.glob("results/*"))  # nothing half-made

    def test_weights_of_another_run(self, folder, digits, tmp_path):
        run_folder = shutil.copytree(folder, tmp_path / "run")
        (run_folder / "plain8-seed0.safetensors").unlink()
        with pytest.raises(FileNotFoundError, match="run the study with --save-weights"):
            ship(run_folder, "x", dataset=digits, root=tmp_path, **WORDS)
        shutil.copy(run_folder / "resnet8-seed0.safetensors", run_folder / "plain8-seed0.safetensors")
        with pytest.raises(ValueError, match=r"is not of the run that plain8-seed0\.json describes"):
            ship(run_folder, "x", dataset=digits, root=tmp_path, **WORDS)

    def test_command(self, tmp_path, capsys):
        whole = data.load("digits")
        run(Study("resnet8", TINY, workers=0, save_weights=True), whole, tmp_path / "run", progress=False)
        assert command(tmp_path / "run", tmp_path, "--weights", "float16") == 0
        output = capsys.readouterr().out
        assert "one: 2 files, 0.2 MB" in output
        assert "as stored in float16" in output
        assert load_record("resnet8", study="one", root=tmp_path).dataset["fingerprint"] == whole.fingerprint

    @pytest.mark.parametrize("given", [[], ["--data", "digits"]])
    def test_command_for_a_part_of_the_images(self, tmp_path, capsys, given):
        """The study says which part: as `--quick`, `--hold-out` and `--resize` make it."""
        source, out = Source("digits", head=(64, 32), held=16), tmp_path / "run"
        few = Recipe(2, batch_size=16, eval_every=2)
        run(Study("resnet8", few, workers=0, save_weights=True), source, out, progress=False)
        assert command(out, tmp_path, *given) == 0, capsys.readouterr().err

    def test_what_the_command_cannot_do(self, folder, tmp_path, capsys):
        file = tmp_path / "file"
        file.touch()
        assert command(folder, file, "--weights", "none") == 1
        assert f"`root` must be a folder, but {file} is a file: name another (--into)" in capsys.readouterr().err
        assert command(folder, tmp_path) == 1
        assert "the records are of digits[:64], which cannot be loaded by that name" in capsys.readouterr().err


def command(folder: Path, into: Path, *options: str) -> int:
    """The status of `python tools/ship.py FOLDER --name one ...`."""
    return main([str(folder), "--name", "one", "--title", "T", "--made-by", "C", "--into", str(into), *options])


class TestErrors:
    def test_what_is_not_there_is_answered_by_what_is(self, made):
        with pytest.raises(ValueError, match="no study 'imagenet' comes with the package: there is small"):
            load_study("imagenet", made)
        with pytest.raises(
            ValueError, match="no record of plain8 with seed 2: there are plain8-seed0, plain8-seed1, r"
        ):
            load_record("plain8", 2, "small", made)
        with pytest.raises(ValueError, match="no record of vgg with seed 0: there are plain8-seed0, plain8-seed1, r"):
            load_trained("vgg", study="small", root=made)
        with pytest.raises(ValueError, match="no weights of plain8 with seed 1: there are plain8-seed0, resnet8-seed0"):
            load_trained("plain8", 1, "small", made)
        with pytest.raises(ValueError, match="no study None comes with the package: there is none"):
            load_study(root=made / "small")

    @pytest.mark.parametrize("ending", ["json", "safetensors"])
    def test_a_flipped_bit(self, root, ending):
        path = root / "small" / f"resnet8-seed0.{ending}"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ShippedError, match=f"resnet8-seed0.{ending} is damaged or was changed: its sha256 is"):
            load_trained("resnet8", study="small", root=root)

    def test_a_missing_file(self, root):
        (root / "small" / "resnet8-seed0.safetensors").unlink()
        with pytest.raises(ShippedError, match=r"is missing, but study\.json names it"):
            load_trained("resnet8", study="small", root=root)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda m: m.update(schema=2), "has schema 2, but this version"),
            (lambda m: m.pop("title"), "lacks title"),
        ],
    )
    def test_a_damaged_manifest(self, root, change, message):
        path = root / "small" / "study.json"
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))
        with pytest.raises(ShippedError, match=message):
            load_records("small", root)
        path.write_text("{")
        with pytest.raises(ShippedError, match="is no JSON text"):
            shipped.studies(root)

    def test_files_whose_content_does_not_fit(self, root):
        """The checksums agree, but the weights are another net's, or the record is none."""
        place, path = root / "small", root / "small" / "study.json"
        values = json.loads(path.read_text())
        for name, content in (
            ("resnet8-seed0.safetensors", safetensors.numpy.save({"x": torch.zeros(1).numpy()})),
            ("plain8-seed0.json", b"{"),
        ):
            (place / name).write_bytes(content)
            values["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        path.write_text(json.dumps(values))
        with pytest.raises(WeightsError, match="does not fit the net: Missing key"):
            load_trained("resnet8", study="small", root=root)
        with pytest.raises(RecordError, match=r"plain8-seed0\.json is damaged"):
            load_record("plain8", study="small", root=root)

    def test_the_random_state_is_left(self, made):
        before = torch.get_rng_state()
        load_trained("resnet8", study="small", root=made)
        assert torch.equal(before, torch.get_rng_state())


def test_the_record_of_timed_passes_counts_what_torchvision_counts():
    record = json.loads((RESULTS / "forward.json").read_text())
    assert record["hardware"].endswith("1 thread")
    weights = {
        "VGG-19": torchvision.models.VGG19_Weights.DEFAULT,
        "ResNet-50": torchvision.models.ResNet50_Weights.DEFAULT,
    }
    for name, published in weights.items():
        assert record["nets"][name]["params"] == published.meta["num_params"]
        assert record["nets"][name]["macs"] / 1e9 == pytest.approx(published.meta["_ops"], rel=0.002)
    plain, residual = (record["nets"][name] for name in ("plain-34", "ResNet-34"))
    assert (plain["macs"], plain["params"]) == (residual["macs"], residual["params"])


def test_the_grid_that_comes_with_the_package_is_whole():
    grid = load_grid()
    assert list(grid) == sorted(grid)
    for rate, found in grid.items():
        assert {(r.net, r.seed) for r in found} == {(net, seed) for net in NETS for seed in range(3)}
        assert {(r.recipe["lr"], r.final["step"]) for r in found} == {(rate, 1000)}
        assert {r.dataset["train"] + r.dataset["test"] for r in found} == {1437}  # of the training images alone


def test_a_grid_is_packed_and_read_again(folder, tmp_path):
    runs = load_dir(folder)
    (tmp_path / shipped.GRID).write_text(json.dumps(pack({0.05: runs})))
    (found,) = load_grid(tmp_path).values()
    assert [(r.net, r.seed, r.recipe, r.dataset) for r in found] == [(r.net, r.seed, r.recipe, r.dataset) for r in runs]
    for mine, theirs in zip(found, runs, strict=True):
        assert mine.curve("train_error")[0] == theirs.curve("train_error")[0]
        assert mine.curve("test_loss")[1] == pytest.approx(theirs.curve("test_loss")[1], abs=1e-4)
