"""A classifier: what is in its file, and what it says of images, against other people's code for the same."""

from __future__ import annotations

import json
import ntpath
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.metrics import confusion_matrix
from small_photos import CLASSES, classifier_of, cut, photos
from torchvision.transforms.v2 import functional as TF

from resnet_edu import load_classifier
from resnet_edu.data import dataset as data
from resnet_edu.training import weights
from resnet_edu.training.classifier import Classifier
from resnet_edu.training.loop import evaluate
from resnet_edu.training.predictions import Predictions, error_interval
from resnet_edu.training.weights import WeightsError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    dataset, classifier = photos(folder)
    return folder, dataset, classifier


@pytest.fixture(scope="module")
def digits():
    return data.load("digits").head(300, 100)


class TestFile:
    def test_a_plain_reading_finds_all_of_it(self, trained, tmp_path):
        _, dataset, classifier = trained
        raw = classifier.save(tmp_path / "w.safetensors").read_bytes()
        end = 8 + struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8:end])
        told = json.loads(header["__metadata__"]["resnet_edu"])
        assert told == {
            "schema": 1, "net": "resnet8", "options": {"num_classes": 2, "in_channels": 3}, "classes": list(CLASSES),
            "shape": [3, 32, 32], "resize": "stretch", "dataset": dataset.name, "fingerprint": dataset.fingerprint,
            "seed": 3,
        }  # fmt: skip
        place = header["resnet_edu.mean"]["data_offsets"]
        mean = np.frombuffer(raw[end + place[0] : end + place[1]], "<f4").reshape(3, 32, 32)
        wanted = dataset.train_images.double().mean(0).numpy() / 255
        assert np.allclose(mean, wanted, atol=1e-6)

    @pytest.mark.parametrize("normalize", ["per_pixel_mean", "per_channel", "given"])
    @pytest.mark.parametrize(
        ("net", "options"), [("resnet8", {"shortcut": "projection"}), ("resnet18", {"stem": "cifar", "width": 16})]
    )
    def test_the_net_comes_back_as_it_was(self, digits, tmp_path, net, options, normalize):
        given = torch.full((1, 1, 1), 0.25), torch.tensor(2.0)
        before = classifier_of(digits, net, given if normalize == "given" else normalize, **options)
        state = torch.get_rng_state()
        after = load_classifier(before.save(tmp_path / "w.safetensors"))
        assert torch.equal(torch.get_rng_state(), state)
        assert not after.net.training
        assert (after.classes, after.shape, after.about) == (digits.classes, (1, 8, 8), before.about)
        images = digits.test_images[:9]
        batches = data.Batches(digits, given if normalize == "given" else normalize, torch.device("cpu"))
        assert torch.equal(after.normalized(images), batches.normalized(images))
        with torch.no_grad():
            assert torch.equal(after.net(after.normalized(images)), before.net(batches.normalized(images)))

    def test_a_net_of_ones_own_is_built_by_who_opens_the_file(self, trained, tmp_path):
        def small(num_classes: int) -> torch.nn.Module:
            return torch.nn.Sequential(
                torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, num_classes)
            )

        _, dataset, _ = trained
        before = Classifier.of(small(2), dataset, "my_nets:small", "per_channel", {"num_classes": 2})
        path = before.save(tmp_path / "w.safetensors")
        with pytest.raises(WeightsError, match="my_nets:small, not of this package"):
            load_classifier(path)
        for net in (small, small(2)):
            assert torch.equal(load_classifier(path, net).net[2].weight, before.net[2].weight)

    def test_files_that_are_no_classifier(self, trained, tmp_path):
        _, _, classifier = trained
        bare = weights.save(classifier.net.state_dict(), tmp_path / "bare", {"net": "resnet8"})
        with pytest.raises(WeightsError, match="bare holds weights alone"):
            load_classifier(bare)
        with pytest.raises(FileNotFoundError, match="there is no file"):
            load_classifier(tmp_path / "none")
        (tmp_path / "bad").write_bytes(b"bad")
        with pytest.raises(WeightsError, match="bad is damaged"):
            load_classifier(tmp_path / "bad")
        with pytest.raises(WeightsError, match="does not fit the net"):
            load_classifier(classifier.save(tmp_path / "w"), torch.nn.Linear(2, 2))


class TestPredict:
    def test_photos_against_torchvision(self, tmp_path):
        """The same weights in torchvision's net, its resizing, and its normalisation."""
        dataset = data.load(cut(tmp_path / "photos"), resize=48)
        classifier = classifier_of(dataset, "resnet18", "per_channel")
        reference = torchvision.models.resnet18(weights=None, num_classes=2)
        reference.load_state_dict(classifier.net.state_dict())
        files = sorted((tmp_path / "photos" / "flower").iterdir())[:4]
        found = classifier.predict(files)
        images = [TF.resize(Image.open(file), [48, 48]) for file in files]
        values = torch.stack([TF.pil_to_tensor(image) for image in images]).float() / 255
        values = TF.normalize(values, classifier.mean.flatten().tolist(), classifier.deviation.flatten().tolist())
        with torch.no_grad():
            wanted = reference.eval()(values).softmax(1)
        assert torch.allclose(found.probabilities, wanted, atol=1e-5)
        assert found.labels == [CLASSES[k] for k in wanted.argmax(1)]
        assert classifier.predict(files[0]).names == [str(files[0])]
        opened = classifier.predict([Image.open(file) for file in files])
        assert torch.equal(opened.probabilities, found.probabilities)

    def test_a_test_folder_gives_the_error_of_the_training_loop(self, trained):
        folder, dataset, classifier = trained
        found = classifier.predict(folder)
        assert (len(found), found.known.sum()) == (16, 0)
        _, error = evaluate(classifier.net, dataset)
        assert found.errors().to_dicts()[-1]["error"] == pytest.approx(error)
        assert torch.equal(found.probabilities, classifier.predict(dataset.test_images).probabilities)

    def test_a_file_that_is_named_twice_is_labelled_twice(self, trained, monkeypatch):
        folder, _, classifier = trained
        names = [str(path) for path in sorted((folder / "test").rglob("*.*"))[:2]]
        monkeypatch.chdir(Path(names[0]).parent)
        twice = [*names, Path(names[0]).name, names[1]]
        found = classifier.predict(twice)
        assert found.names == twice
        once = classifier.predict(names)
        assert torch.equal(found.probabilities, once.probabilities[[0, 1, 0, 1]])
        assert torch.equal(found.images(4), once.images(2)[[0, 1, 0, 1]])

    def test_photos_on_several_drives_of_windows(self, trained, monkeypatch):
        """They have no path in common, as `ntpath.commonpath` says there."""
        folder, dataset, classifier = trained
        monkeypatch.setattr(os.path, "commonpath", lambda _: ntpath.commonpath(["C:\\a", "D:\\b"]))
        found = classifier.predict(folder)
        assert torch.equal(found.probabilities, classifier.predict(dataset.test_images).probabilities)

    def test_images_of_the_training_are_known_again(self, trained):
        folder, dataset, classifier = trained
        both = classifier.predict([folder / "train", folder / "test"])
        assert (len(both), int(both.known.sum())) == (32, 16)
        new = both.pick(~both.known)
        assert new.names == classifier.predict(folder).names
        assert "16 of 32 images are among those" in str(both)
        changed = dataset.train_images.clone()
        changed[:, 0, 0, 0] ^= 1
        assert not classifier.predict(changed).known.any()

    def test_batches_change_nothing_and_are_bounded(self, digits, monkeypatch):
        classifier = classifier_of(digits)
        sizes = []
        classifier.net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        whole = classifier.predict(digits.test_images)
        monkeypatch.setattr("resnet_edu.training.loop.EVALUATION_PIXELS", 64 * 30)
        small = classifier.predict(digits.test_images)
        assert sizes == [100, 30, 30, 30, 10]
        assert torch.allclose(whole.probabilities, small.probabilities, atol=1e-6)

    def test_the_classifier_stays_as_it_was(self, digits):
        classifier = classifier_of(digits)
        classifier.net.train()
        before = {k: v.clone() for k, v in classifier.net.state_dict().items()}
        classifier.predict(digits.test_images)
        assert classifier.net.training
        assert all(torch.equal(before[k], v) for k, v in classifier.net.state_dict().items())

    def test_damaged_files(self, trained, tmp_path, caplog):
        _, _, classifier = trained
        folder = cut(tmp_path, count=2)
        (folder / "china" / "0.jpg").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"china.0\.jpg is no image that Pillow can read"):
            classifier.predict(folder)
        found = classifier.predict(folder, skip_damaged=True)
        assert [name[-12:] for name in found.names] == ["/china/1.png", "flower/0.jpg", "flower/1.png"]
        assert found.truth.tolist() == [0, 1, 1]
        assert "1 of 4 files are left out" in caplog.text
        with pytest.raises(ValueError, match="there is no image to predict"):
            classifier.predict(folder / "china" / "0.jpg", skip_damaged=True)

    def test_what_cannot_be_predicted(self, trained, tmp_path):
        _, _, classifier = trained
        with pytest.raises(FileNotFoundError, match=r"there is no .*none\.jpg"):
            classifier.predict(tmp_path / "none.jpg")
        with pytest.raises(ValueError, match="holds no image"):
            classifier.predict(tmp_path)
        (cut(tmp_path) / "flower").rename(tmp_path / "rose")
        with pytest.raises(ValueError, match=r"no classes of this net \(rose\): it has china, flower"):
            classifier.predict(tmp_path)
        with pytest.raises(ValueError, match=r"must be uint8 \(B, 3, 32, 32\)"):
            classifier.predict(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        with pytest.raises(ValueError, match="there is no image to predict"):
            classifier.predict([])
        with pytest.raises(ValueError, match="`truth` must have a label for each image, but it has 1 for 2"):
            classifier.predict(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.tensor([1]))


class TestPredictions:
    @pytest.fixture
    def found(self):
        rng = np.random.default_rng(0)
        chances = torch.from_numpy(rng.dirichlet(np.ones(3), 50)).float()
        truth = torch.from_numpy(rng.integers(0, 3, 50))
        pixels = torch.zeros(50, 1, 2, 2, dtype=torch.uint8)
        names = [f"image {i}" for i in range(50)]
        return Predictions(("a", "b", "c"), names, chances, pixels, torch.zeros(50, dtype=torch.bool), truth)

    def test_confusion_against_scikit_learn(self, found):
        said = [found.classes.index(label) for label in found.labels]
        wanted = confusion_matrix(found.truth.numpy(), said)
        assert np.array_equal(found.confusion(), wanted)
        rows = found.confusion_table().to_dicts()
        assert [[row["as a"], row["as b"], row["as c"]] for row in rows] == wanted.tolist()
        errors = found.errors().to_dicts()
        assert [row["images"] for row in errors] == [*wanted.sum(1), 50]
        assert [row["wrong"] for row in errors] == [*(wanted.sum(1) - wanted.diagonal()), 50 - wanted.trace()]

    @pytest.mark.parametrize(
        ("wrong", "images", "low", "high"),
        [(81, 263, 25.53, 36.62), (15, 148, 6.24, 16.05), (0, 20, 0, 16.11), (1, 29, 0.61, 17.18)],
    )
    def test_intervals_as_published(self, wrong, images, low, high):
        """Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
        assert error_interval(wrong, images) == pytest.approx((100 * wrong / images, low, high), abs=0.006)

    def test_the_worst_come_first(self, found):
        worst = found.wrong()
        given = [float(found.probabilities[i, found.truth[i]]) for i in range(50)]
        wrong = [i for i in range(50) if found.probabilities[i].argmax() != found.truth[i]]
        assert worst.names == [f"image {i}" for i in sorted(wrong, key=lambda i: given[i])]
        assert found.wrong(3).names == worst.names[:3]

    def test_without_truth(self, found):
        unlabelled = Predictions(found.classes, found.names, found.probabilities, found.pixels, found.known)
        with pytest.raises(ValueError, match="no images with labels"):
            unlabelled.confusion()
        (first, *_) = unlabelled.table().to_dicts()
        assert list(first) == ["image", "label", "probability", "trained_on", "p(a)", "p(b)", "p(c)"]
        assert first["p(a)"] + first["p(b)"] + first["p(c)"] == pytest.approx(1)
