"""Folders of images: each way in which one can be wrong; and their cache, damaged in many ways."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_edu.data import dataset as data
from resnet_edu.data import folder as data_folder
from resnet_edu.support.files import read_arrays, write_arrays


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


@pytest.fixture
def change(folder: Path, split_folder: Path, tmp_path: Path):
    """Makes one thing wrong by its name; returns the folder to load."""

    def make(name: str) -> Path:
        cat, dog = folder / "cat", folder / "dog"
        empty = tmp_path / "empty"
        empty.mkdir()
        match name:
            case "missing":
                return tmp_path / "nowhere"
            case "a file":
                (tmp_path / "x.zip").write_bytes(b"PK")
                return tmp_path / "x.zip"
            case "empty":
                return empty
            case "images without class folders":
                picture(empty / "a.png")
                return empty
            case "train and test empty":
                (empty / "train").mkdir()
                (empty / "test").mkdir()
                return empty
            case "class without image":
                (folder / "eel").mkdir()
            case "no image":
                (dog / "9.png").write_text("I am no image")
            case "truncated":
                (dog / "4.png").write_bytes((dog / "4.png").read_bytes()[:-90])
            case "grey among colour":
                picture(dog / "2.png", mode="L")
            case "colour among grey":
                for file in folder.rglob("*.png"):
                    picture(file, mode="L")
                picture(dog / "2.png")
            case "sizes that differ":
                picture(dog / "3.png", (9, 8))
            case "sixteen bits":
                Image.fromarray(np.zeros((8, 8), np.uint16)).save(cat / "0.png")
            case "one class":
                shutil.rmtree(dog)
            case "one image to split":
                for i in range(1, 5):
                    (dog / f"{i}.png").unlink()
            case "nested":
                picture(cat / "inner" / "1.png")
            case "classes that differ":
                (split_folder / "test" / "dog").rename(split_folder / "test" / "dogs")
                return split_folder
            case "train alone" | "test alone":
                shutil.rmtree(split_folder / ("test" if name == "train alone" else "train"))
                return split_folder
        return folder

    return make


class TestBadFolders:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("missing", ["there is no folder", "nowhere", "'digits', 'cifar10'"]),
            ("a file", ["x.zip is a file", "unpack"]),
            ("empty", ["is empty", "one folder a class"]),
            ("images without class folders", ["has no class folders, only files"]),
            ("train and test empty", ["empty/train has no class folders"]),
            ("class without image", ["class 'eel' has no image", "remove the folder"]),
            ("no image", ["dog/9.png is no image", "remove it"]),
            ("truncated", ["dog/4.png is damaged", "replace it"]),
            ("grey among colour", ["mixed", "dog/2.png is grey", "cat/0.png is in colour"]),
            ("colour among grey", ["mixed", "cat/0.png is grey", "dog/2.png is in colour"]),
            ("sizes that differ", ["one size", "dog/3.png has 9x8", "8x8", "--resize 32"]),
            ("sixteen bits", ["cat/0.png", "I;16", "convert it to 8-bit"]),
            ("one class", ["one class only ('cat')", "two or more"]),
            ("one image to split", ["class 'dog' has 1", "two or more"]),
            ("nested", ["cat holds a folder (inner)", "move"]),
            ("classes that differ", ["differ", "only in train: dog;", "only in test: dogs."]),
            ("train alone", ["has the folder train but not test", "both/train itself"]),
            ("test alone", ["has the folder test but not train"]),
        ],
    )
    def test_the_error_names_what_is_wrong_and_what_to_do(self, change, name, words):
        with pytest.raises(FileNotFoundError if name == "missing" else ValueError) as caught:
            data.load(change(name), progress=False)
        for word in words:
            assert word in str(caught.value).replace(os.sep, "/")

    @pytest.mark.parametrize(
        ("source", "option", "value", "error", "message"),
        [
            ("digits", "resize", 5, ValueError, "`resize` is for a folder, but 'digits' has images of 8x8"),
            ("cifar10", "resize", 5, ValueError, "`resize` is for a folder, but 'cifar10' has images of 32x32"),
            ("folder", "resize", 0, ValueError, "`resize` must be at least 1, but it is 0"),
            ("folder", "resize", -3, ValueError, "`resize` must be at least 1, but it is -3"),
            ("folder", "resize", 2.5, TypeError, "`resize` must be a whole number, but it is 2.5"),
            ("folder", "test_fraction", 0, ValueError, "`test_fraction` must lie between 0 and 1, but it is 0"),
            ("folder", "test_fraction", 1, ValueError, "`test_fraction` must lie between 0 and 1, but it is 1"),
            ("folder", "test_fraction", "a", TypeError, "`test_fraction` must be a number, but it is 'a'"),
        ],
    )
    def test_options(self, folder, source, option, value, error, message):
        with pytest.raises(error, match=message):
            data.load(folder if source == "folder" else source, urls=[], **{option: value})


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

    @pytest.mark.parametrize("damage", ["pixel", "header", "fewer images", "another size"])
    def test_a_damaged_cache_is_made_anew(self, folder, tmp_path, damage):
        first = data.load(folder, progress=False)
        (file,) = (tmp_path / "cache").iterdir()
        whole = file.read_bytes()
        middle = len(whole) // 2  # among the pixels
        file.write_bytes(
            {
                "pixel": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
                "header": whole.replace(b"(10,", b"(10("),
                "fewer images": whole.replace(b"(10, 3, 8, 8)", b"(9, 3, 8, 8) "),
                "another size": whole.replace(b"(10, 3, 8, 8)", b"(10, 3, 8, 4)"),
            }[damage]
        )
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


class TestArrays:
    """The file of arrays that both caches are: whole and right, or `ValueError`."""

    ARRAYS = {"images": np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2), "labels": np.array([0, 1], np.uint8)}  # noqa: RUF012

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        path = tmp_path / "new folder" / "cache.npz"
        write_arrays(path, self.ARRAYS)
        return path

    def test_numpy_reads_the_same(self, cache):
        with np.load(cache, allow_pickle=False) as file:
            for found in (read_arrays(cache, tuple(self.ARRAYS)), [file[name] for name in file.files]):
                for a, b in zip(found, self.ARRAYS.values(), strict=True):
                    assert a.dtype == b.dtype
                    assert np.array_equal(a, b)

    @pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header parsing")
    def test_any_byte_that_differs_is_found_or_does_not_matter(self, cache):
        write_arrays(cache, {"labels": self.ARRAYS["labels"]})
        whole = cache.read_bytes()
        found = 0
        for place, byte in enumerate(whole):
            for other in {byte ^ 1, ord("(")} - {byte}:
                cache.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
                try:
                    (labels,) = read_arrays(cache, ["labels"])
                except ValueError:
                    found += 1
                else:
                    assert np.array_equal(labels, self.ARRAYS["labels"]), (place, other)
        assert found > len(whole)  # more than every second change

    def test_any_other_length_is_found(self, cache):
        whole = cache.read_bytes()
        for length in range(0, len(whole), 7):
            cache.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="is damaged"):
                read_arrays(cache, tuple(self.ARRAYS))

    def test_more_bytes_than_the_header_tells_of(self, cache):
        with zipfile.ZipFile(cache, "w") as archive:  # the checksums are right
            for name, array in self.ARRAYS.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array)
                    member.write(b"more")
        with pytest.raises(ValueError, match="images goes on behind its end"):
            read_arrays(cache, tuple(self.ARRAYS))

    @pytest.mark.parametrize("kind", ["a plain array", "a folder", "other names", "objects", "nothing"])
    def test_something_else_in_its_place(self, cache, kind):
        cache.unlink()
        if kind == "a plain array":
            with cache.open("wb") as file:
                np.save(file, self.ARRAYS["images"])
        elif kind == "a folder":
            cache.mkdir()
        elif kind == "other names":
            np.savez(cache, images=self.ARRAYS["images"])
        elif kind == "objects":
            np.savez(cache, images=np.array([os.mkdir], dtype=object), labels=self.ARRAYS["labels"])
        with pytest.raises(ValueError, match="is damaged"):
            read_arrays(cache, tuple(self.ARRAYS))
