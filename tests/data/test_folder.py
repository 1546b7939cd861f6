"""Folders of images: how each kind is read, each way in which one can be wrong; and files of arrays, damaged."""

import logging
import os
import shutil
import struct
import zlib
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
    return save(path, pixels)


def save(path: Path, pixels: np.ndarray, **options) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def every(found: data.Dataset) -> torch.Tensor:
    """All images, those to train on first."""
    return torch.cat([found.train_images, found.test_images])


def read(tmp_path: Path, pixels: np.ndarray, name="a.png", **options) -> torch.Tensor:
    """Return how an image is read from a file: (C, H, W)."""
    how = {key: options.pop(key) for key in ("resize", "channels") if key in options}
    for part in ("train", "test"):
        save(tmp_path / part / "a" / name, pixels, **options)
        save(tmp_path / part / "b" / name, pixels, **options)
    return data.load(tmp_path, progress=False, **how).train_images[0]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff_of_12_bits(pixels: np.ndarray) -> bytes:
    """A TIFF 6.0 of grey with BitsPerSample = 12: two pixels in three bytes; Pillow cannot write it."""
    first, second = pixels.reshape(-1, 2).astype(int).T
    body = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()
    height, width = pixels.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def tiff_of_16_bits(pixels: np.ndarray, order: str, packed: bool) -> bytes:
    """A TIFF 6.0 of RGB with BitsPerSample = 16, in either order of the bytes; Pillow cannot write it."""
    body = pixels.astype(f"{order}u2").tobytes()
    body, kind = (zlib.compress(body), 8) if packed else (body, 1)
    height, width, _ = pixels.shape
    tags = {256: width, 257: height, 258: 8, 259: kind, 262: 2, 273: 14, 277: 3, 278: height, 279: len(body)}
    kinds = {258: (3, 3)}  # three values of two bytes; the others are one of four
    entries = b"".join(struct.pack(f"{order}HHII", tag, *kinds.get(tag, (4, 1)), tags[tag]) for tag in tags)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I3H", 14 + len(body), 16, 16, 16)
    return start + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


# A PNG of 20,000 x 20,000 pixels, as far as its header tells.
HUGE = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"")


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
        found = data.load(folder)
        assert found.name == "pets"
        assert found.classes == ("cat", "dog")
        assert (len(found.train_images), len(found.test_images)) == (8, 2)
        assert found.test_labels.tolist() == [0, 1]
        with Image.open(folder / "cat" / "0.png") as image:
            wanted = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
        assert any(torch.equal(wanted, image) for image in every(found))

    @pytest.mark.parametrize(
        ("train", "name"),
        [
            ("train", "test"),
            ("train", "val"),
            ("train", "valid"),
            ("Train", "Test"),
            ("training", "validation"),
            ("TRAINING_SET", "test_set"),
            ("train-data", "Testing"),
            ("trainset", "val images"),
        ],
    )
    def test_train_and_test_folders(self, split_folder: Path, train: str, name: str):
        (split_folder / "train").rename(split_folder / train)
        (split_folder / "test").rename(split_folder / name)
        (split_folder / name / "dog" / "4.png").unlink()
        found = data.load(split_folder)
        assert (len(found.train_images), len(found.test_images)) == (10, 9)
        for label, kind in enumerate(found.classes):
            with Image.open(split_folder / train / kind / "3.png") as image:
                wanted = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
            assert torch.equal(found.train_images[5 * label + 3], wanted)
            assert found.train_labels[5 * label + 3] == label

    def test_test_comes_before_val(self, split_folder: Path, caplog):
        shutil.copytree(split_folder / "test", split_folder / "val")
        (split_folder / "val" / "cat" / "0.png").unlink()
        assert len(data.load(split_folder).test_images) == 10
        assert "left out: val (trained on: train, tested on: test)" in caplog.text

    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3)])
    def test_grey_is_one_channel_colour_three(self, tmp_path: Path, mode: str, channels: int):
        pixels = [picture(tmp_path / name / f"{i}.png", (5, 4), mode, seed=i) for name in "ab" for i in range(2)]
        found = data.load(tmp_path)
        assert found.shape == (channels, 4, 5)
        if mode == "L":
            assert sorted(p.tobytes() for p in pixels) == sorted(p.tobytes() for p in every(found).numpy())

    def test_hidden_and_stray_files_do_not_count(self, folder: Path):
        (folder / "cat" / ".DS_Store").write_bytes(b"x")
        (folder / "README.txt").write_text("stray")
        for hidden in (".git", "cat/.ipynb_checkpoints", "dog/@eaDir"):
            (folder / hidden).mkdir()
        assert data.load(folder).classes == ("cat", "dog")

    def test_other_files_are_skipped_in_one_line(self, folder: Path, caplog):
        for junk in ("desktop.ini", "Thumbs.db", "labels.csv", "clip.mp4", "photo.heic", "notes", "scan.pdf"):
            (folder / "dog" / junk).write_bytes(b"\0\0\0\x18ftypmp42 no image" * 9)
        os.mkfifo(folder / "dog" / "pipe.png")  # to open it would wait for ever
        (folder / "cat" / "0.png").rename(folder / "cat" / "0")  # an image all the same
        assert len(every(data.load(folder))) == 10
        (line,) = [line for line in caplog.text.splitlines() if "skipped" in line]
        assert line.strip() == (
            "8 files were skipped, being no images (dog/Thumbs.db, dog/clip.mp4, dog/desktop.ini, ...)".replace(
                "/", os.sep
            )
        )

    def test_resize(self, folder: Path):
        pixels = picture(folder / "cat" / "0.png", (16, 12))
        found = data.load(folder, resize=6)
        assert found.shape == (3, 6, 6)
        wanted = np.asarray(Image.fromarray(pixels).resize((6, 6), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        assert any((wanted == image.numpy()).all() for image in every(found))


class TestPixels:
    """How an image is read, against what NumPy or arithmetic says of its pixels."""

    UPRIGHT = {  # noqa: RUF012 - EXIF 2.3, tag 274: where the stored rows and columns begin
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.T,
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].T,
        8: lambda p: np.rot90(p),
    }

    @pytest.mark.parametrize("orientation", UPRIGHT)
    @pytest.mark.parametrize("ending", ["png", "tiff", "jpg", "webp"])
    @pytest.mark.parametrize("resize", [None, 64])
    def test_upright(self, tmp_path, orientation, ending, resize):
        exif = Image.Exif()
        exif[274] = orientation
        stored = np.kron([[10, 90], [170, 250], [50, 130]], np.ones((32, 32))).astype(np.uint8)  # 64 wide, 96 high
        options = {"lossless": True} if ending == "webp" else {"quality": 100} if ending == "jpg" else {}
        found = read(tmp_path, stored, f"a.{ending}", exif=exif, resize=resize, **options)[0].int().numpy()
        wanted = self.UPRIGHT[orientation](stored)
        if resize:  # the corners are enough
            assert found.shape == (64, 64)
            found, wanted = found[::63, ::63], wanted[:: wanted.shape[0] - 1, :: wanted.shape[1] - 1]
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 2

    def test_an_exif_that_cannot_be_read_says_nothing(self, tmp_path):
        pixels = np.full((4, 6), 77, np.uint8)
        assert read(tmp_path, pixels, exif=b"Exif\0\0II*\0\xff\xff\xff\xffdamaged").tolist() == [[[77] * 6] * 4]

    def test_transparency_is_white(self, tmp_path):
        rgba = picture(tmp_path / "x.png", (7, 5), "RGBA").astype(float)
        rgba[0, :, 3], rgba[1, :, 3] = 0, 255
        alpha = rgba[..., 3:] / 255
        wanted = rgba[..., :3] * alpha + 255 * (1 - alpha)
        found = read(tmp_path / "rgba", rgba.astype(np.uint8)).permute(1, 2, 0).numpy()
        assert (found[0] == 255).all()
        assert (found[1] == rgba[1, :, :3]).all()
        assert np.abs(found - wanted).max() <= 1
        grey = read(tmp_path / "la", rgba[..., 2:].astype(np.uint8)).permute(1, 2, 0).numpy()
        assert np.abs(grey - wanted[..., 2:]).max() <= 1

    @pytest.mark.parametrize("mode", ["P", "L", "RGB", "I;16"])
    def test_a_transparent_colour_is_white(self, tmp_path, mode):
        image = Image.new(mode, (4, 4), 0)
        image.putpixel((1, 2), {"P": 1, "L": 51, "RGB": (51, 51, 51), "I;16": 51 * 257}[mode])
        if mode == "P":
            image.putpalette([200, 0, 0, 51, 51, 51])
        transparent = (0, 0, 0) if mode == "RGB" else 0
        for part in ("train/a", "train/b", "test/a", "test/b"):
            (tmp_path / part).mkdir(parents=True)
            image.save(tmp_path / part / "a.png", transparency=transparent)
        found = data.load(tmp_path).train_images[0, 0]
        assert found[2, 1] == 51
        found[2, 1] = 255
        assert found.unique().tolist() == [255]

    @pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
    def test_16_bits_of_grey(self, tmp_path, caplog, ending):
        values = np.linspace(0, 65535, 1024).astype(np.uint16).reshape(32, 32)
        found = read(tmp_path, values, f"a.{ending}")[0].numpy()
        assert (found == np.rint(values.astype(float) * 255 / 65535)).all()
        assert "4 images were read as 16 bits, 65,535 being white (test" in caplog.text

    def test_12_bits_of_grey(self, tmp_path, caplog):
        values = np.linspace(0, 4095, 512).astype(int).reshape(16, 32)
        for i, name in enumerate(("a", "b")):
            (tmp_path / name).mkdir()
            for k in range(2):  # each darker than the one before: all have one scale
                (tmp_path / name / f"{k}.tif").write_bytes(tiff_of_12_bits(values >> 2 * i + k))
        found = every(data.load(tmp_path)).numpy()[:, 0]
        for shift in range(4):
            wanted = np.rint((values >> shift) * 255 / 4095)
            assert any((image == wanted).all() for image in found), shift
        assert "4 images were read as 12 bits, 4,095 being white (a" in caplog.text

    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("packed", [False, True])
    def test_of_16_bits_of_colour_in_a_tiff_the_upper_8(self, tmp_path, order, packed):
        values = np.linspace(0, 65535, 8 * 6 * 3).astype(int).reshape(8, 6, 3)
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            for k in range(2):
                (tmp_path / name / f"{k}.tif").write_bytes(tiff_of_16_bits(values, order, packed))
        for image in every(data.load(tmp_path)).numpy():
            assert (image.transpose(1, 2, 0) == values // 256).all()

    def test_16_bits_of_colour_are_said(self, tmp_path, caplog):
        body = b"".join(b"\0" + struct.pack(">6H", 51 * 257, 0, 65535, 257, 514, 771) for _ in range(2))
        png = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(body))
        for part in ("train/a", "train/b", "test/a", "test/b"):
            (tmp_path / part).mkdir(parents=True)
            (tmp_path / part / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png + chunk(b"IEND", b""))
        assert data.load(tmp_path).train_images[0, :, 0].T.tolist() == [[51, 0, 255], [1, 2, 3]]
        assert "4 images were read by the upper 8 of 16 bits a colour" in caplog.text

    @pytest.mark.parametrize("channels", [None, 1, 3])
    def test_grey_beside_colour(self, folder, caplog, channels):
        grey = picture(folder / "cat" / "0.png", mode="L")
        if channels != 1:
            found = every(data.load(folder, channels=channels)).numpy()
            assert any((image == grey).all() for image in found)  # in all three
            said = f"1 image was read as RGB, being grey among images in colour (cat{os.sep}0.png)"
            assert (said in caplog.text) == (channels is None)
            return
        found = every(data.load(folder, channels=1)).numpy()[:, 0]
        with Image.open(folder / "dog" / "2.png") as image:
            luma = np.asarray(image) @ [0.299, 0.587, 0.114]  # ITU-R 601
        assert any((image == grey).all() for image in found)
        assert any(np.abs(image - luma).max() <= 1 for image in found)

    def test_grey_as_colour(self, tmp_path):
        pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
        assert read(tmp_path, pixels, channels=3).tolist() == [pixels.tolist()] * 3

    def test_a_large_jpeg_is_decoded_in_part_only(self, tmp_path, monkeypatch):
        rows = np.linspace(20, 220, 1000)[:, None] + np.linspace(0, 30, 1200)
        photo = np.stack([rows, rows / 2, 255 - rows], 2).astype(np.uint8)  # 1.2 megapixels
        sizes, load = [], Image.Image.resize
        monkeypatch.setattr(Image.Image, "resize", lambda image, *a: sizes.append(image.size) or load(image, *a))
        found = read(tmp_path, photo, "a.jpg", quality=95, resize=50).numpy()
        assert set(sizes) == {(150, 125)}  # an eighth, which is more than twice the size
        blocks = photo.reshape(50, 20, 50, 24, 3).mean((1, 3)).transpose(2, 0, 1)
        assert np.abs(found - blocks).max() < 4

    def test_of_several_frames_the_first(self, tmp_path, caplog):
        frames = [Image.new("L", (8, 8), value) for value in (10, 200)]
        found = read(tmp_path, np.asarray(frames[0]), "a.gif", save_all=True, append_images=frames[1:])
        assert found.unique().tolist() == [10]
        assert "4 images were read up to the first of several frames" in caplog.text


class TestReport:
    """What is said once a folder has been read."""

    def test_a_sound_folder_is_no_warning(self, folder, caplog):
        caplog.set_level(logging.INFO)
        data.load(folder)
        ((_, level, said),) = caplog.record_tuples
        assert level == logging.INFO
        assert said == "pets: 8 + 2 images, 5 of 'cat', 5 of 'dog'"

    def test_pictures_in_both_parts_and_in_two_classes(self, split_folder, caplog):
        for i in range(5):
            for k, kind in enumerate(("cat", "dog")):
                picture(split_folder / "test" / kind / f"{i}.png", seed=100 + 10 * k + i)
        shutil.copy(split_folder / "train" / "cat" / "3.png", split_folder / "test" / "cat" / "1.png")
        with Image.open(split_folder / "train" / "dog" / "2.png") as image:
            image.save(split_folder / "test" / "cat" / "2.bmp")  # the same pixels in another file
        data.load(split_folder)
        said = caplog.text.replace(os.sep, "/")
        assert (
            "2 of 11 test images among the training images too: test/cat/1.png is the same picture as train/cat/3"
            in said
        )
        assert "1 images also in another class: test/cat/2.bmp is the same picture as train/dog/2.png" in said

    def test_pictures_are_found_by_name_after_the_split(self, folder, caplog):
        shutil.copy(folder / "cat" / "3.png", folder / "dog" / "9.png")
        data.load(folder)
        said = {f"{a} is the same picture as {b}" for a, b in [("cat/3.png", "dog/9.png"), ("dog/9.png", "cat/3.png")]}
        assert any(text in caplog.text.replace(os.sep, "/") for text in said)

    def test_uneven_classes(self, tmp_path, caplog):
        for i in range(20):
            picture(tmp_path / "cat" / f"{i}.png", seed=i)
        for i in range(2):
            picture(tmp_path / "dog" / f"{i}.png", seed=100 + i)
        data.load(tmp_path)
        assert "20 of 'cat', 2 of 'dog'" in caplog.text

    def test_many_classes_in_one_line(self, tmp_path, caplog):
        for k in range(11):
            for i in range(3 if k == 7 else 30):
                picture(tmp_path / f"class {k}" / f"{i}.png", (4, 4), seed=100 * k + i)
        data.load(tmp_path)
        assert "242 + 61 images, 3 of 'class 7' to 30 of 'class 0'" in caplog.text

    def test_tiny_and_loose_images(self, folder, caplog):
        picture(folder / "cat" / "0.png", (1, 3))
        picture(folder / "cat" / "1.png", (4, 4))
        picture(folder / "stray.png")
        assert len(every(data.load(folder, resize=8))) == 10
        said = caplog.text.replace(os.sep, "/")
        assert "1 image was enlarged to more than twice the size, 8 pixels (cat/0.png)" in said
        assert "1 image was left out, lying beside the class folders (stray.png)" in said


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
            case "sizes that differ":
                picture(dog / "3.png", (9, 8))
            case "floats":
                save(cat / "0.tiff", np.zeros((8, 8), np.float32))
            case "broken link":
                (dog / "4.png").unlink()
                (dog / "4.png").symlink_to(tmp_path / "nowhere.png")
            case "ring of links":
                (dog / "4.png").unlink()
                (dog / "4.png").symlink_to(dog / "4.png")
            case "broken link to a class":
                (folder / "eel").symlink_to(tmp_path / "nowhere")
            case "400 megapixels":
                (dog / "4.png").write_bytes(HUGE)
            case "empty file":
                (dog / "4.png").write_bytes(b"")
            case "class of films":
                (folder / "eel").mkdir()
                (folder / "eel" / "a.mp4").write_bytes(b"film")
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
            case "test without class folders":
                shutil.rmtree(split_folder / "test")
                picture(split_folder / "test" / "1.png")
                return split_folder
            case "class called test":
                picture(folder / "Test" / "1.png")
            case "two for training":
                (split_folder / "Training").mkdir()
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
            ("no image", ["1 of 11 files in", "dog/9.png is no image", "remove them", "--skip-damaged"]),
            ("truncated", ["dog/4.png is damaged", "replace or remove"]),
            ("empty file", ["dog/4.png is no image"]),
            ("broken link", ["dog/4.png is a broken link"]),
            ("ring of links", ["dog/4.png is damaged (Too many levels of symbolic links)"]),
            ("broken link to a class", ["pets/eel is a broken link"]),
            ("400 megapixels", ["dog/4.png has more than 178,956,970 pixels", "smaller"]),
            ("floats", ["cat/0.tiff has pixels of 32 bits (mode F)"]),
            ("class of films", ["'eel' has no image", "eel holds no file that Pillow can read (a.mp4)"]),
            (
                "test without class folders",
                ["test has no class folders: sort its images", "or move it away"],
            ),
            ("class called test", ["has the folder Test but not train", "or rename Test if it is a class"]),
            ("two for training", ["has both Training and train"]),
            ("sizes that differ", ["one size", "dog/3.png 9x8", "8x8", "--resize 32"]),
            ("one class", ["one class only, 'cat'", "or give", "pets/cat"]),
            ("one image to split", ["class 'dog' has 1", "two or more"]),
            ("nested", ["cat holds a folder (inner)", "move"]),
            ("classes that differ", ["differ", "only in train: dog;", "only in test: dogs;"]),
            ("train alone", ["has the folder train but not test", "both/train to have it split"]),
            ("test alone", ["has the folder test but not train"]),
        ],
    )
    def test_the_error_names_what_is_wrong_and_what_to_do(self, change, name, words):
        with pytest.raises(FileNotFoundError if name == "missing" else ValueError) as caught:
            data.load(change(name), progress=False)
        for word in words:
            assert word in str(caught.value).replace(os.sep, "/")

    def test_all_bad_files_are_reported_at_once_or_skipped(self, folder, tmp_path, caplog):
        kept = every(data.load(folder))[1:]
        (folder / "cat" / "0.png").write_bytes(b"")
        for i, text in enumerate((b"x", b"y")):
            (folder / "dog" / f"{7 + i}.png").write_bytes(text)
        picture(folder / "dog" / "9.png", (40, 40))
        (folder / "dog" / "9.png").write_bytes((folder / "dog" / "9.png").read_bytes()[:2000])  # its header is whole
        with pytest.raises(ValueError, match="4 of 13 files in") as caught:
            data.load(folder, resize=8)
        assert [line.split()[0] for line in str(caught.value).splitlines()[1:-1]] == [
            str(Path(name)) for name in ("cat/0.png", "dog/7.png", "dog/8.png", "dog/9.png")
        ]
        found = data.load(folder, resize=8, skip_damaged=True)
        with Image.open(folder / "cat" / "1.png") as image:
            wanted = np.asarray(image).transpose(2, 0, 1)
        labels = torch.cat([found.train_labels, found.test_labels])
        assert labels.bincount().tolist() == [4, 5]
        assert any((image.numpy() == wanted).all() for image in every(found)[labels == 0])
        assert len(kept) == len(labels)
        assert "4 files were left out, being unreadable (cat" in caplog.text

    def test_a_class_whose_images_are_all_damaged(self, folder):
        for file in (folder / "dog").iterdir():
            file.write_bytes(b"x")
        with pytest.raises(ValueError, match=r"dog has no image that can be read"):
            data.load(folder, skip_damaged=True)
        for file in (folder / "cat").iterdir():
            file.write_bytes(b"x")
        with pytest.raises(ValueError, match="10 of 10 files"):
            data.load(folder, skip_damaged=True)

    @pytest.mark.parametrize(
        ("source", "option", "value", "error", "message"),
        [
            ("digits", "resize", 5, ValueError, "`resize` is for a folder, but 'digits' has images of 8x8"),
            ("digits", "channels", 3, ValueError, "`channels` is for a folder, but 'digits'"),
            ("cifar10", "skip_damaged", True, ValueError, "`skip_damaged` is for a folder, but 'cifar10'"),
            ("folder", "channels", 4, ValueError, "`channels` must be one of None, 1, 3, but it is 4"),
            ("folder", "resize", 0, ValueError, "`resize` must be at least 1, but it is 0"),
            ("folder", "resize", -3, ValueError, "`resize` must be at least 1, but it is -3"),
            ("folder", "resize", 2.5, TypeError, "`resize` must be a whole number, but it is 2.5"),
        ],
    )
    def test_options(self, folder, source, option, value, error, message):
        with pytest.raises(error, match=message):
            data.load(folder if source == "folder" else source, urls=[], **{option: value})


class TestProgress:
    def test_progress_goes_to_stderr(self, folder, capsys, monkeypatch):
        monkeypatch.setattr(data_folder, "BAR_FROM", 4)
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
