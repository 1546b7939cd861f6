"""Data sets from every source, each way in which a folder can be wrong, and the batches of the training loop."""

import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tvf
from PIL import Image
from sklearn.datasets import load_digits
from small_cifar import make_archive

from resnet_edu.data import dataset as data
from resnet_edu.data import folder as data_folder
from resnet_edu.data.cifar10 import load_cifar10
from resnet_edu.data.dataset import Batches, Dataset


def picture(path: Path, size=(8, 8), mode="RGB", seed=0) -> np.ndarray:
    """Write a picture of noise and return its pixels."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of five colour pictures."""
    for k, name in enumerate(("cat", "dog")):
        for i in range(5):
            picture(tmp_path / "pets" / name / f"{i}.png", seed=10 * k + i)
    return tmp_path / "pets"


@pytest.fixture
def split_folder(folder: Path) -> Path:
    shutil.copytree(folder, folder.parent / "both" / "train")
    shutil.copytree(folder, folder.parent / "both" / "test")
    return folder.parent / "both"


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

    @pytest.mark.parametrize(("name", "sizes"), [("train", (-1, 3)), ("test", (3, 0)), ("train", (True, 3))])
    def test_head_of_nothing(self, name, sizes):
        with pytest.raises(ValueError, match=f"`{name}` must be a whole number of images of at least 1, but it is"):
            data.load("digits").head(*sizes)

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
            ({"test_labels": torch.tensor([0])}, "one label for each of 2 images"),
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


class TestFolder:
    def test_class_folders_are_split(self, folder: Path):
        found = data.load(folder, test_fraction=0.4)
        assert found.name == "pets"
        assert found.classes == ("cat", "dog")
        assert (len(found.train_images), len(found.test_images)) == (6, 4)
        assert found.test_labels.tolist() == [0, 0, 1, 1]
        with Image.open(folder / "cat" / "0.png") as image:
            wanted = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
        everything = torch.cat([found.train_images, found.test_images])
        assert any(torch.equal(wanted, image) for image in everything)

    @pytest.mark.parametrize("name", ["test", "val", "valid"])
    def test_train_and_test_folders(self, split_folder: Path, name: str):
        (split_folder / "test").rename(split_folder / name)
        (split_folder / name / "dog" / "4.png").unlink()
        found = data.load(split_folder)
        assert (len(found.train_images), len(found.test_images)) == (10, 9)
        for label, kind in enumerate(found.classes):
            with Image.open(split_folder / "train" / kind / "3.png") as image:
                wanted = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
            assert torch.equal(found.train_images[5 * label + 3], wanted)
            assert found.train_labels[5 * label + 3] == label

    def test_test_comes_before_val(self, split_folder: Path):
        shutil.copytree(split_folder / "test", split_folder / "val")
        (split_folder / "val" / "cat" / "0.png").unlink()
        assert len(data.load(split_folder).test_images) == 10

    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3)])
    def test_grey_is_one_channel_colour_three(self, tmp_path: Path, mode: str, channels: int):
        pixels = [picture(tmp_path / name / f"{i}.png", (5, 4), mode, seed=i) for name in "ab" for i in range(2)]
        found = data.load(tmp_path)
        assert found.shape == (channels, 4, 5)
        if mode == "L":
            everything = torch.cat([found.train_images, found.test_images])[:, 0].numpy()
            assert sorted(p.tobytes() for p in pixels) == sorted(p.tobytes() for p in everything)

    def test_hidden_and_stray_files_do_not_count(self, folder: Path):
        (folder / "cat" / ".DS_Store").write_bytes(b"x")
        (folder / "cat" / "Thumbs.db").write_bytes(b"x")
        (folder / "README.txt").write_text("stray")
        (folder / ".git").mkdir()
        assert len(data.load(folder).classes) == 2

    def test_resize(self, folder: Path):
        pixels = picture(folder / "cat" / "0.png", (16, 12))
        found = data.load(folder, resize=6)
        assert found.shape == (3, 6, 6)
        wanted = np.asarray(Image.fromarray(pixels).resize((6, 6), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        assert any((wanted == image.numpy()).all() for image in torch.cat([found.train_images, found.test_images]))


class TestBadFolders:
    def fails(self, path: Path, *words: str, **options) -> None:
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            data.load(path, **options)
        for word in words:
            assert word in str(caught.value)

    def test_missing(self, tmp_path):
        self.fails(tmp_path / "nowhere", "there is no folder", "nowhere", "'digits', 'cifar10'")

    def test_a_file(self, tmp_path):
        (tmp_path / "x.zip").write_bytes(b"PK")
        self.fails(tmp_path / "x.zip", "is a file", "unpack")

    def test_empty(self, tmp_path):
        self.fails(tmp_path, "is empty", "one folder a class")

    def test_images_without_class_folders(self, tmp_path):
        picture(tmp_path / "a.png")
        self.fails(tmp_path, "has no class folders, only files")

    def test_train_and_test_empty(self, tmp_path):
        (tmp_path / "train").mkdir()
        (tmp_path / "test").mkdir()
        self.fails(tmp_path, str(tmp_path / "train"), "has no class folders")

    def test_class_without_image(self, folder):
        (folder / "eel").mkdir()
        self.fails(folder, "class 'eel' has no image", "remove the folder")

    def test_no_image(self, folder):
        (folder / "dog" / "9.png").write_text("I am no image")
        self.fails(folder, str(folder / "dog" / "9.png"), "no image", "remove it")

    def test_truncated(self, folder):
        file = folder / "dog" / "4.png"
        picture(file, (8, 8))
        file.write_bytes(file.read_bytes()[:-90])
        self.fails(folder, str(file), "damaged", "replace it")

    def test_mixed_grey_and_colour(self, folder):
        picture(folder / "dog" / "2.png", mode="L")
        self.fails(folder, "mixed", f"{folder / 'dog' / '2.png'} is grey", f"{folder / 'cat' / '0.png'} is in colour")

    def test_mixed_colour_among_grey(self, folder):
        for file in folder.rglob("*.png"):
            picture(file, mode="L")
        picture(folder / "dog" / "2.png")
        self.fails(folder, "mixed", f"{folder / 'cat' / '0.png'} is grey", f"{folder / 'dog' / '2.png'} is in colour")

    def test_sizes_that_differ(self, folder):
        picture(folder / "dog" / "3.png", (9, 8))
        self.fails(folder, "one size", str(folder / "dog" / "3.png"), "9x8", "8x8", "--resize 32")

    def test_sixteen_bits(self, folder):
        Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "cat" / "0.png")
        self.fails(folder, "cat/0.png", "I;16", "convert it to 8-bit")

    def test_one_class(self, folder):
        shutil.rmtree(folder / "dog")
        self.fails(folder, "one class only", "'cat'", "two or more")

    def test_one_image_to_split(self, folder):
        for i in range(1, 5):
            (folder / "dog" / f"{i}.png").unlink()
        self.fails(folder, "class 'dog'", "has one image", "two or more")

    def test_nested(self, folder):
        picture(folder / "cat" / "inner" / "1.png")
        self.fails(folder, "holds a folder (inner)", "move them up")

    def test_classes_that_differ(self, split_folder):
        (split_folder / "test" / "dog").rename(split_folder / "test" / "dogs")
        self.fails(split_folder, "differ", "only in train: dog;", "only in test: dogs.")

    def test_train_alone(self, split_folder):
        shutil.rmtree(split_folder / "test")
        self.fails(split_folder, "has the folder train but not test", str(split_folder / "train"))

    def test_test_alone(self, split_folder):
        shutil.rmtree(split_folder / "train")
        self.fails(split_folder, "has the folder test but not train")

    @pytest.mark.parametrize(("source", "size"), [("digits", "8x8"), ("cifar10", "32x32")])
    def test_resize_of_no_folder(self, source, size):
        self.fails(
            source, "`resize` is for a folder", "it is 5", repr(source), size, "--resize) out", resize=5, urls=[]
        )

    @pytest.mark.parametrize("value", [0, -3, 2.5])
    def test_resize_of_nothing(self, folder, value):
        self.fails(folder, "`resize`", str(value), resize=value)

    @pytest.mark.parametrize("value", [0, 1, -0.1])
    def test_test_fraction(self, folder, value):
        self.fails(folder, "`test_fraction` must lie between 0 and 1", test_fraction=value)


class TestCache:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch, tmp_path):
        monkeypatch.setattr(data_folder, "CACHE_FROM", 4)
        monkeypatch.setenv("RESNET_EDU_CACHE", str(tmp_path / "cache"))

    def test_second_load_reads_the_cache_and_leaves_the_folder_alone(self, folder, tmp_path):
        before = sorted(folder.rglob("*"))
        first = data.load(folder, progress=False)
        (file,) = (tmp_path / "cache").iterdir()
        with np.load(file, allow_pickle=False) as arrays:
            changed = arrays["images"]
        changed[:] = 7  # to see that it is read
        np.savez(file, images=changed)
        assert data.load(folder, progress=False).train_images.unique().tolist() == [7]
        assert first.train_images.unique().numel() > 1
        assert sorted(folder.rglob("*")) == before

    def test_a_changed_file_is_seen(self, folder, tmp_path):
        first = data.load(folder, progress=False)
        picture(folder / "cat" / "0.png", seed=99)
        os.utime(folder / "cat" / "0.png", ns=(1, 1))
        assert data.load(folder, progress=False).fingerprint != first.fingerprint

    @pytest.mark.parametrize("damage", ["cut", "pixel", "header", "another size", "plain array"])
    def test_a_damaged_cache_is_made_anew(self, folder, tmp_path, damage):
        first = data.load(folder, progress=False)
        (file,) = (tmp_path / "cache").iterdir()
        whole = file.read_bytes()
        middle = len(whole) // 2  # among the pixels
        file.write_bytes(
            {
                "cut": whole[:100],
                "pixel": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
                "header": whole.replace(b"(10,", b"(10("),
                "another size": whole.replace(b"(10, 3, 8, 8)", b"(10, 3, 8, 4)"),
                "plain array": b"",
            }[damage]
        )
        if damage == "plain array":
            with file.open("wb") as opened:
                np.save(opened, np.zeros((10, 3, 8, 8), np.uint8))
        assert data.load(folder, progress=False).fingerprint == first.fingerprint
        assert file.read_bytes() == whole

    def test_what_a_killed_process_left_is_removed_once_it_is_old(self, folder, tmp_path):
        data.load(folder, progress=False)
        (cache,) = (tmp_path / "cache").iterdir()
        old, fresh = (cache.with_name(f".folder-of-{age}.npz.x.tmp") for age in ("another", "mine"))
        for file in (old, fresh):
            file.write_bytes(b"half")
        os.utime(old, (1, 1))
        data.load(folder, progress=False)
        assert sorted((tmp_path / "cache").iterdir()) == sorted([cache, fresh])

    def test_no_place_for_it_is_no_error(self, folder, tmp_path, monkeypatch, capsys):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("RESNET_EDU_CACHE", str(tmp_path / "file" / "cache"))
        assert len(data.load(folder, progress=False).train_images) == 8
        assert "could not be cached" in capsys.readouterr().err

    def test_progress_goes_to_stderr(self, folder, capsys):
        data.load(folder, progress=True)
        out, err = capsys.readouterr()
        assert out == ""
        assert "reading images" in err


class TestCifar10:
    def test_says_what_to_do_by_hand(self, tmp_path):
        env = {**os.environ, "RESNET_EDU_CIFAR10_URLS": "none", "RESNET_EDU_CACHE": str(tmp_path / "cache")}
        code = f"from resnet_edu import data; data.load('cifar10', root={str(tmp_path)!r})"
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert done.returncode == 1
        for word in (str(tmp_path), "c58f30108f718f92721af3b95e74349a", "By hand", "RESNET_EDU_DATA", "class folders"):
            assert word in done.stderr

    def test_reads_what_torchvision_has_downloaded(self, tmp_path, monkeypatch):
        small = make_archive(tmp_path)
        with tarfile.open(small.path) as tar:
            tar.extractall(tmp_path, filter="data")
        small.path.unlink()
        # the real archive has 170 MB: the reader is the real one, only the layout that it expects is a smaller one
        monkeypatch.setattr(data, "load_cifar10", partial(load_cifar10, layout=small.layout))
        monkeypatch.setenv("RESNET_EDU_DATA", str(tmp_path))
        found = data.load("cifar10", urls=[])
        assert found.name == "cifar10"
        assert found.classes[3] == "cat"
        for ours, theirs in ((found.train_images, small.images[:20]), (found.test_images, small.images[20:])):
            assert torch.equal(ours, torch.from_numpy(theirs))
        assert torch.equal(torch.cat((found.train_labels, found.test_labels)), torch.from_numpy(small.labels))
        assert data.load("cifar10", urls=[]).fingerprint == found.fingerprint  # from the cache


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
        with pytest.raises(ValueError, match="per_pixel_mean, per_channel, but it is 'mean'"):
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
        with pytest.raises(ValueError, match=f"two or more training images.*class {message} add images"):
            self.some(*counts).hold_out(10)

    @pytest.mark.parametrize("count", [0, 9, -5, 1430, True, 2.5])
    def test_each_class_needs_an_image_on_either_side(self, count):
        with pytest.raises(ValueError, match=r"`count` must be a whole number from 10 to 1427.*but it is"):
            data.load("digits").hold_out(count)
