"""Data sets: the digits, the split, what is held out, and the batches of the training loop."""

import pickle

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tvf
from sklearn.datasets import load_digits

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Batches, Dataset


class TestDigits:
    def test_is_scikit_learns_set_scaled_to_bytes(self):
        found = data.load("digits")
        original = load_digits()
        assert (len(found.train_images), len(found.test_images), found.shape) == (1437, 360, (1, 8, 8))
        every = torch.cat([found.train_images, found.test_images]).flatten(1).numpy()
        ours = sorted(map(tuple, every))
        assert ours == sorted(tuple(round(v * 255 / 16) for v in row) for row in original.data)
        assert found.train_images.dtype == torch.uint8
        assert found.train_labels.dtype == torch.int64
        assert found.classes == tuple("0123456789")

    def test_labels_stay_with_their_images(self):
        found, original = data.load("digits"), load_digits()
        known = {
            tuple(np.rint(x * 255 / 16).astype(int)): y for x, y in zip(original.data, original.target, strict=True)
        }
        for image, label in zip(found.test_images.flatten(1).tolist(), found.test_labels.tolist(), strict=True):
            assert known[tuple(image)] == label

    def test_split_is_stratified_and_fixed(self):
        a, b = data.load("digits", seed=0), data.load("digits", seed=5)
        whole = np.bincount(load_digits().target)
        share = np.bincount(a.test_labels.numpy()) / whole
        assert (np.abs(share - 0.2) < 0.01).all()
        assert a.fingerprint == b.fingerprint


class TestSplit:
    def test_largest_remainders(self):
        labels = np.repeat([0, 1, 2], [7, 5, 3])  # 20%: 1.4, 1.0, 0.6; in all 3
        assert np.bincount(labels[data.split_mask(labels, 0.2, 0)]).tolist() == [1, 1, 1]

    def test_every_class_on_either_side(self):
        labels = np.repeat([0, 1], [2, 50])
        for fraction in (0.01, 0.99):
            mask = data.split_mask(labels, fraction, 0)
            assert {tuple(np.unique(labels[m])) for m in (mask, ~mask)} == {(0, 1)}

    @pytest.mark.parametrize(
        ("counts", "fraction", "taken"),
        [
            ([2, 2, 996], 0.003, [1, 1, 1]),  # two of the shares are rounded up: the third gives back
            ([2, 2, 996], 0.996, [1, 1, 994]),  # and here it takes over
            ([2, 2, 2], 0.1, [1, 1, 1]),  # the total would be 1: the nearest number that is possible is 3
            ([2, 2, 2], 0.9, [1, 1, 1]),
        ],
    )
    def test_the_total_is_kept_by_classes_that_have_room(self, counts, fraction, taken):
        labels = np.repeat([0, 1, 2], counts)
        assert np.bincount(labels[data.split_mask(labels, fraction, 0)]).tolist() == taken

    def test_seed_changes_which_images(self):
        labels = np.repeat([0, 1], 50)
        a, b, c = (data.split_mask(labels, 0.2, seed) for seed in (0, 0, 1))
        assert (a == b).all()
        assert (a != c).any()


class TestDataset:
    def test_fingerprint_changes_with_any_pixel_label_and_class(self):
        def make(pixel=0, label=0, name="a"):
            images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
            images[1, 0, 1, 1] = pixel
            return Dataset("x", images, torch.tensor([label, 1]), images.clone(), torch.tensor([0, 1]), (name, "b"))

        prints = [make().fingerprint, make(pixel=1).fingerprint, make(label=1).fingerprint, make(name="c").fingerprint]
        assert len(set(prints)) == 4
        assert make().fingerprint == prints[0]
        assert len(prints[0]) == 16

    def test_head_by_hand(self):
        whole = data.load("digits")
        part = whole.head(7, 3)
        assert part.name == "digits[:7]"
        assert torch.equal(part.train_images, whole.train_images[torch.arange(7)])
        assert torch.equal(part.test_labels, whole.test_labels[torch.arange(3)])
        assert len(whole.head(5000, 5000).test_images) == 360

    @pytest.mark.parametrize(
        ("name", "sizes", "error"),
        [("train", (-1, 3), ValueError), ("test", (3, 0), ValueError), ("train", (True, 3), TypeError)],
    )
    def test_head_of_nothing(self, name, sizes, error):
        with pytest.raises(error, match=f"`{name}` must be"):
            data.load("digits").head(*sizes)

    def test_head_draws_from_every_class_where_they_lie_one_after_another(self):
        labels, some = (torch.repeat_interleave(torch.arange(3), torch.tensor(n)) for n in ((500, 12, 88), (9, 9, 2)))
        images = torch.arange(600).view(600, 1, 1, 1).expand(-1, 2, -1, -1) % torch.tensor([256, 255]).view(2, 1, 1)
        whole = Dataset("pets", images.byte(), labels, images[:20].byte(), some, ("cat", "dog", "eel"))
        part = whole.head(60, 10)
        assert torch.bincount(part.train_labels).tolist() == [50, 1, 9]  # 50, 1.2 and 8.8: the largest remainder
        assert part.test_labels.tolist() == [0] * 5 + [1] * 4 + [2]  # 4.5, 4.5 and 1
        pairs = {tuple(image.flatten().tolist()): i for i, image in enumerate(whole.train_images)}
        drawn = [pairs[tuple(image.flatten().tolist())] for image in part.train_images]
        assert len(set(drawn)) == 60
        assert labels[drawn].tolist() == part.train_labels.tolist()
        assert drawn[:50] != list(range(50))  # not the first ones
        assert whole.head(60, 10).fingerprint == whole.head(60, 10).fingerprint
        assert whole.head(600, 20).fingerprint == whole.head(9999, 99).fingerprint == whole.fingerprint
        assert len(whole.head(2, 1).train_labels) == 2  # fewer than classes

    def test_head_keeps_rare_classes(self):
        labels = torch.repeat_interleave(torch.arange(2), torch.tensor([999, 1]))
        images = torch.zeros(1000, 1, 1, 1, dtype=torch.uint8)
        part = Dataset("rare", images, labels, images, labels, ("a", "b")).head(10, 2)
        assert part.train_labels.tolist() == [0] * 9 + [1]
        assert part.test_labels.tolist() == [0, 1]

    def test_survives_pickling_without_shared_memory(self):
        before = data.load("digits")
        raw = pickle.dumps(before)
        after = pickle.loads(raw)
        assert after.fingerprint == before.fingerprint
        assert len(raw) > before.train_images.numel()  # the pixels are in it, not a handle to shared memory
        after.train_images[0] = 0  # and the copy can be written to

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"train_images": torch.zeros(2, 1, 2, 2)}, "must be a non-empty uint8 tensor"),
            ({"train_labels": torch.tensor([0, 2])}, r"must lie in 0\.\.1"),
            ({"test_labels": torch.tensor([0])}, r"an int64 tensor \(2,\)"),
            ({"test_images": torch.zeros(2, 3, 2, 2, dtype=torch.uint8)}, "one shape"),
            (
                {"classes": ("a",), "train_labels": torch.tensor([0, 0]), "test_labels": torch.tensor([0, 0])},
                "two classes",
            ),
        ],
    )
    def test_refuses_nonsense(self, change, message):
        images, labels = torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1])
        good = dict(name="x", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
        with pytest.raises(ValueError, match=message):
            Dataset(**{**good, "classes": ("a", "b"), **change})


class TestBatches:
    def test_per_pixel_mean_by_hand(self):
        images = torch.tensor([[[[0, 51]]], [[[102, 153]]]], dtype=torch.uint8)  # (2, 1, 1, 2)
        mean, deviation = data.normalization(images)
        assert torch.allclose(mean, torch.tensor([[[0.2, 0.4]]]))
        assert deviation == 1

    def test_per_channel_against_numpy(self):
        images = data.load("digits").train_images.expand(-1, 3, -1, -1).clone()
        images[:, 1] //= 2
        mean, deviation = data.normalization(images, "per_channel")
        values = images.numpy() / 255
        assert np.allclose(mean.flatten(), values.mean((0, 2, 3)))
        assert np.allclose(deviation.flatten(), values.std((0, 2, 3)))

    def test_a_channel_that_never_varies(self):
        with pytest.raises(ValueError, match="never varies"):
            data.normalization(torch.zeros(3, 2, 4, 4, dtype=torch.uint8), "per_channel")
        with pytest.raises(ValueError, match="`normalize` must be one of 'per_pixel_mean', 'per_channel', but it is"):
            data.normalization(torch.zeros(3, 2, 4, 4, dtype=torch.uint8), "mean")

    def test_crop_and_flip_as_torchvision(self):
        images = torch.rand(81 * 2, 3, 6, 5)
        places = torch.cartesian_prod(torch.arange(9), torch.arange(9), torch.arange(2))
        ours = data.crop_and_flip(images, places[:, 0], places[:, 1], places[:, 2].bool())
        for image, (top, left, flip), got in zip(images, places.tolist(), ours, strict=True):
            wanted = tvf.crop(tvf.pad(image, [4]), top, left, 6, 5)
            assert torch.equal(got, tvf.hflip(wanted) if flip else wanted)

    def test_augmentation_draws_every_place_and_both_sides(self):
        n = 4000
        images = torch.zeros(2, 1, 9, 9, dtype=torch.uint8)
        images[0, 0, 4, 4] = 255  # a dot in the middle: where it lands tells the crop
        dataset = Dataset("dot", images, torch.tensor([0, 1]), images, torch.tensor([0, 1]), ("a", "b"))
        batches = Batches(dataset, "per_pixel_mean", torch.device("cpu"))
        picks = Batches.draw(torch.zeros(n, dtype=torch.int64), torch.Generator().manual_seed(0), augment=True)
        found, labels = batches.training(picks)
        places = found[:, 0].flatten(1).argmax(1)
        counts = torch.bincount(places, minlength=81)
        assert (counts > 0).all()
        assert counts.max() < 5 * counts.min()  # n / 81 = 49 each on average
        assert labels.unique().tolist() == [0]

    def test_evaluation_serves_everything_once_in_order(self):
        dataset = data.load("digits")
        batches = Batches(dataset, "per_channel", torch.device("cpu"))
        images, labels = zip(*batches.evaluation("test", 100), strict=True)
        assert torch.equal(torch.cat(labels), dataset.test_labels)
        values = dataset.train_images.numpy() / 255
        wanted = (dataset.test_images.numpy() / 255 - values.mean()) / values.std()
        assert np.allclose(torch.cat(images), wanted, atol=1e-5)


class TestHoldOut:
    def test_training_images_are_parted_and_test_images_unseen(self):
        labels = torch.arange(200) % 4
        images = torch.arange(200, dtype=torch.uint8).view(200, 1, 1, 1)
        whole = Dataset("numbers", images, labels, images[:4] + 250, labels[:4], ("a", "b", "c", "d"))
        parted = whole.hold_out(40, seed=1)
        trained, tested = parted.train_images.flatten().tolist(), parted.test_images.flatten().tolist()
        assert sorted(trained + tested) == list(range(200))
        assert torch.bincount(parted.test_labels).tolist() == [10, 10, 10, 10]
        assert (parted.train_images.flatten() % 4 == parted.train_labels).all()
        assert parted.name == "numbers[160+40 held out]"
        assert tested != whole.hold_out(40, seed=2).test_images.flatten().tolist()

    def test_the_paper_split(self):
        labels = torch.arange(50_000) % 10
        images = torch.zeros(50_000, 1, 1, 1, dtype=torch.uint8)
        parted = Dataset("c", images, labels, images[:10], labels[:10], tuple("0123456789")).hold_out(5000)
        assert (len(parted.train_images), len(parted.test_images)) == (45_000, 5_000)

    def some(self, *counts: int) -> Dataset:
        labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        images = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
        return Dataset("some", images, labels, images[:1], labels[:1], ("a", "b", "c")[: len(counts)])

    @pytest.mark.parametrize("count", [3, 4, 500, 996, 997])
    def test_exactly_so_many_and_each_class_on_either_side(self, count):
        parted = self.some(2, 2, 996).hold_out(count)
        assert len(parted.test_labels) == count
        assert set(parted.train_labels.tolist()) == set(parted.test_labels.tolist()) == {0, 1, 2}

    @pytest.mark.parametrize(("counts", "message"), [((1, 100), "'a' has 1:"), ((50, 0, 50), "'b' has 0:")])
    def test_a_class_of_one_image_cannot_be_parted(self, counts, message):
        with pytest.raises(ValueError, match=f"two or more images.*class {message} add images"):
            self.some(*counts).hold_out(10)

    @pytest.mark.parametrize("count", [0, 9, -5, 1428, True, 2.5])
    def test_each_class_needs_an_image_on_either_side(self, count):
        with pytest.raises(ValueError if type(count) is int else TypeError, match=r"`count` must be .*, but it is"):
            data.load("digits").hold_out(count)
