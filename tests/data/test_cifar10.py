"""CIFAR-10 from disk, from the network, from the cache; and files that are damaged or forged."""

import hashlib
import os
import pickle
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mirror import Mirror, serve
from PIL import Image
from small_cifar import Small, make_archive
from torchvision.datasets import CIFAR10 as TORCHVISIONS

from resnet_edu import cli
from resnet_edu.data import cifar10, dataset
from resnet_edu.data.cifar10 import MIRRORS, load_cifar10, parse_addresses
from resnet_edu.data.folder import ImageArrays
from resnet_edu.support.files import cache_folder


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Neither the network nor the cache of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("RESNET_EDU_CACHE", str(tmp_path / "user cache"))
    monkeypatch.setenv("RESNET_EDU_CIFAR10_URLS", "none")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return make_archive(tmp_path / "away")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start():
    with ExitStack() as stack:
        yield lambda *mirrors: [stack.enter_context(serve(m)) for m in mirrors]


def load(root: Path, small: Small, urls=None, *, progress=False, **constants) -> ImageArrays:
    """Load a small archive; the reader is the real one, only what it knows of the archive is another."""
    with mock.patch.multiple(cifar10, TIMEOUT=0.3, **small.constants | constants):
        return load_cifar10(root, urls=urls, progress=progress)


def unpack(small: Small, root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, content in small.files.items():
        (folder / name).write_bytes(content)
    return folder


def same(found: ImageArrays, small: Small) -> bool:
    images, labels = (found.train_images, found.test_images), (found.train_labels, found.test_labels)
    return (
        [len(part) for part in images] == [20, 4]
        and all(part.dtype == np.uint8 for part in images)
        and all(part.dtype == np.int64 for part in labels)
        and np.array_equal(np.concatenate(images), small.images)
        and np.array_equal(np.concatenate(labels), small.labels)
        and (found.name, found.classes) == ("cifar10", cifar10.CLASSES)
    )


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_the_real_archive_is_torchvisions():
    assert (TORCHVISIONS.tgz_md5, TORCHVISIONS.filename) == (cifar10.MD5, cifar10.ARCHIVE)
    assert TORCHVISIONS.base_folder == cifar10.FOLDER
    assert [list(pair) for pair in cifar10.TRAIN.items()] == TORCHVISIONS.train_list
    assert [list(pair) for pair in cifar10.TEST.items()] == TORCHVISIONS.test_list
    assert TORCHVISIONS.url in MIRRORS


class TestOnDisk:
    def test_torchvision_reads_the_same(self, small, root):
        unpack(small, root)
        meta = {**TORCHVISIONS.meta, "md5": hashlib.md5(small.files["batches.meta"]).hexdigest()}
        train, test = (list(map(list, part.items())) for part in (small.constants["TRAIN"], small.constants["TEST"]))
        smaller = type("Smaller", (TORCHVISIONS,), {"train_list": train, "test_list": test, "meta": meta})
        found = load(root, small)
        for train, images, labels in (
            (True, found.train_images, found.train_labels),
            (False, found.test_images, found.test_labels),
        ):
            theirs = smaller(str(root), train=train)
            assert np.array_equal(images.transpose(0, 2, 3, 1), theirs.data)
            assert labels.tolist() == theirs.targets
            assert list(found.classes) == theirs.classes

    def test_the_unpacked_folder(self, small, root):
        folder = unpack(small, root)
        assert same(load(root, small), small)
        assert names(root) == ["cifar-10-batches-py", cifar10.CACHE]
        assert same(load(folder, small), small)

    def test_the_archive_is_read_in_place(self, small):
        root = small.path.parent
        assert same(load(root, small), small)
        assert names(root) == [small.path.name, cifar10.CACHE]

    def test_root_is_no_file(self, small):
        with pytest.raises(ValueError, match=r"the folder with cifar-10-python\.tar\.gz in it, but it is the file"):
            load(small.path, small)

    def test_tilde_is_the_home_folder(self, small, tmp_path, monkeypatch):
        home, here = small.path.parent, tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("USERPROFILE", str(home))
        monkeypatch.setenv("RESNET_EDU_CACHE", "~/cache")
        assert same(load(Path("~"), small), small)
        assert cache_folder() == home / "cache"
        assert names(here) == []

    @pytest.mark.parametrize("within", ["", "cifar10"])
    def test_class_folders(self, small, root, within):
        classes = ("cat", "dog")
        labels = np.arange(24) % 2
        for i, (image, label) in enumerate(zip(small.images, labels, strict=True)):
            file = root / within / ("train" if i < 20 else "test") / classes[label] / f"{i:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(file)
        found = load(root, small, CLASSES=classes)
        order = np.argsort(labels[:20], kind="stable")
        assert np.array_equal(found.train_images, small.images[:20][order])
        assert (found.name, found.classes) == ("cifar10", ("cat", "dog"))
        with pytest.raises(RuntimeError, match="is not CIFAR-10"):
            load(root, small, CLASSES=classes, ROWS=5)

    def test_as_a_data_set(self, small, root, monkeypatch):
        unpack(small, root)
        for name, value in small.constants.items():
            monkeypatch.setattr(cifar10, name, value)
        monkeypatch.setenv("RESNET_EDU_DATA", str(root))
        found = dataset.load("cifar10", urls=[])
        assert (found.name, found.classes[3]) == ("cifar10", "cat")
        assert torch.equal(torch.cat((found.train_images, found.test_images)), torch.from_numpy(small.images))
        assert torch.equal(torch.cat((found.train_labels, found.test_labels)), torch.from_numpy(small.labels))
        assert dataset.load("cifar10", urls=[]).fingerprint == found.fingerprint  # from the cache


class TestCache:
    def test_the_second_load_reads_the_cache_only(self, small):
        root = small.path.parent
        load(root, small)
        small.path.unlink()
        assert same(load(root, small), small)

    def test_it_is_no_pickle_and_does_not_depend_on_the_time(self, small, root):
        unpack(small, root)
        load(root, small)
        cache = root / cifar10.CACHE
        before = cache.read_bytes()
        with np.load(cache, allow_pickle=False) as file:
            assert {file[name].dtype for name in file.files} == {np.dtype(np.uint8)}
        cache.unlink()
        load(root, small)
        assert cache.read_bytes() == before

    @pytest.mark.parametrize("damage", ["cut", "bit", "header", "other arrays", "other shapes"])
    def test_a_damaged_one_is_made_anew(self, small, root, capsys, damage):
        unpack(small, root)
        load(root, small)
        cache = root / cifar10.CACHE
        whole = cache.read_bytes()
        middle = len(whole) // 2
        broken = {
            "cut": whole[:middle],
            "bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "header": whole.replace(b"(20,", b"(20("),
        }
        if damage in broken:
            cache.write_bytes(broken[damage])
        elif damage == "other arrays":
            np.savez(cache, train_images=np.zeros(3))
        else:
            np.savez(cache, **dict.fromkeys(cifar10._CACHED, np.zeros(3, np.uint8)))
        assert same(load(root, small), small)
        assert f"{cache} is " in capsys.readouterr().err
        assert cache.read_bytes() == whole

    def test_one_that_asks_for_a_pickle_is_refused(self, small, root, tmp_path):
        unpack(small, root)
        np.savez(root / cifar10.CACHE, train_images=np.array([Trap(tmp_path / "sprung")], dtype=object))
        assert same(load(root, small), small)
        assert not (tmp_path / "sprung").exists()

    def test_a_folder_that_cannot_be_written_to(self, small, root):
        unpack(small, root)
        (root / cifar10.CACHE).mkdir()  # a name that is taken fails for every user, root included
        assert same(load(root, small), small)
        assert names(cache_folder()) == [cifar10.CACHE]
        (root / "cifar-10-batches-py").rename(root / "gone")
        assert same(load(root, small), small)

    def test_no_place_for_it_is_no_error(self, small, root, monkeypatch, capsys, tmp_path):
        unpack(small, root)
        (root / cifar10.CACHE).mkdir()
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("RESNET_EDU_CACHE", str(tmp_path / "file" / "cache"))
        assert same(load(root, small), small)
        assert "could not be cached" in capsys.readouterr().err


class TestDownload:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"status": 503}, "503"),
            ({"data": b"<html>Please log in"}, "it serves another file"),
            ({"stop": 5000}, "IncompleteRead"),  # it breaks off
            ({"stop": 5000, "stall": True}, "timed out"),
            ({"stop": 0, "stall": True}, "timed out"),
        ],
    )
    def test_the_next_address_starts_again(self, small, root, start, capsys, options, reason):
        data = small.path.read_bytes()
        bad, good, third = Mirror(**{"data": data} | options), Mirror(data), Mirror(data)
        urls = start(bad, good, third)
        assert same(load(root, small, urls, progress=True), small)
        assert [m.requests for m in (bad, good, third)] == [1, 1, 0]
        assert names(root) == [cifar10.ARCHIVE, cifar10.CACHE]  # and no temporary file
        assert (root / cifar10.ARCHIVE).read_bytes() == data
        out, err = capsys.readouterr()
        assert out == ""
        (note,) = [line for line in err.splitlines() if line.startswith("note:")]
        assert urls[0] in note
        assert reason in note

    def test_the_error_names_each_address_and_why_and_what_to_do(self, small, root, start):
        urls = [*start(Mirror(b"", status=403)), "http://127.0.0.1:9/closed", "ftp://127.0.0.1/x", "http://[bad/x"]
        unpack(small, root)
        (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"")
        with pytest.raises(RuntimeError) as caught:
            load(root, small, urls)
        for word in (*urls, "403", "refused", "data_batch_3", "By hand", small.constants["MD5"], "RESNET_EDU_DATA"):
            assert word in str(caught.value)
        assert names(root) == ["cifar-10-batches-py"]

    def test_silence_is_kept_without_progress(self, small, root, start, capfd):
        load(root, small, start(Mirror(b"", status=404), Mirror(small.path.read_bytes())))
        assert capfd.readouterr() == ("", "")

    def test_the_bar(self, small, root, start, capsys, monkeypatch):
        monkeypatch.setattr(cifar10, "make_bar", partial(cifar10.make_bar, mininterval=0))
        load(root, small, start(Mirror(small.path.read_bytes())), progress=True)
        assert re.search(r"cifar-10-python\.tar\.gz: +[1-9]\d%", capsys.readouterr().err)

    def test_an_archive_of_another_md5_is_not_read_but_replaced(self, small, root, start, capsys):
        root.mkdir()
        archive = root / cifar10.ARCHIVE
        archive.write_bytes(small.path.read_bytes()[:-100])
        with pytest.raises(RuntimeError, match=r"tar\.gz is damaged or another file: its md5 is [0-9a-f]{32}, not"):
            load(root, small, [])
        assert "is damaged or another file: its md5 is" in capsys.readouterr().err
        with pytest.raises(RuntimeError, match="503"):
            load(root, small, start(Mirror(b"", status=503)))
        assert archive.stat().st_size == small.path.stat().st_size - 100
        assert same(load(root, small, start(Mirror(small.path.read_bytes()))), small)
        assert archive.read_bytes() == small.path.read_bytes()
        assert stat.S_IMODE(archive.stat().st_mode) == 0o644

    def test_a_root_that_cannot_be_written_to(self, small, tmp_path, start):
        (tmp_path / "file").write_text("")
        mirror = Mirror(small.path.read_bytes())
        urls = start(mirror)
        for _ in range(2):
            assert same(load(tmp_path / "file" / "data", small, urls), small)
        assert mirror.requests == 1
        assert names(cache_folder()) == [cifar10.ARCHIVE, cifar10.CACHE]

    def test_a_disk_that_fills_up_is_final(self, small, root, start):
        resource = pytest.importorskip("resource")
        mirrors = Mirror(small.path.read_bytes()), Mirror(small.path.read_bytes())
        urls = start(*mirrors)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
        try:
            with pytest.raises(RuntimeError, match=r"cannot be stored in .*File too large.*make room"):
                load(root, small, urls)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert [m.requests for m in mirrors] == [1, 0]
        assert names(root) == []

    def test_several_at_once_do_each_other_no_harm(self, small, root, start):
        urls = start(Mirror(small.path.read_bytes()))
        with ThreadPoolExecutor(4) as pool, mock.patch.multiple(cifar10, **small.constants):
            found = list(pool.map(lambda _: load_cifar10(root, urls=urls, progress=False), range(8)))
        assert all(same(each, small) for each in found)
        assert (root / cifar10.ARCHIVE).read_bytes() == small.path.read_bytes()
        assert names(root) == [cifar10.ARCHIVE, cifar10.CACHE]


class TestAddresses:
    def test_those_of_the_environment_in_their_order(self, small, root, start, monkeypatch):
        mirrors = Mirror(b"", status=404), Mirror(small.path.read_bytes())
        monkeypatch.setenv("RESNET_EDU_CIFAR10_URLS", " , ".join(start(*mirrors)) + ",")
        assert same(load(root, small), small)
        assert [m.requests for m in mirrors] == [1, 1]

    def test_which_are_tried(self, monkeypatch):
        assert cifar10._addresses(["b", "a"]) == ["b", "a"]
        assert cifar10._addresses(None) == []
        monkeypatch.setenv("RESNET_EDU_CIFAR10_URLS", "")
        assert cifar10._addresses(None) == list(MIRRORS)
        with pytest.raises(TypeError, match="must be a list"):
            cifar10._addresses("http://a")
        assert parse_addresses(" b/ ,a,") == ["b/", "a"]
        assert parse_addresses("None") == []

    @pytest.mark.parametrize("urls", [[], None])
    def test_none_asks_nobody_and_says_what_to_do(self, tmp_path, monkeypatch, urls):
        monkeypatch.setitem(sys.modules, "pooch", None)  # to import it would raise
        with pytest.raises(RuntimeError) as caught:
            dataset.load("cifar10", root=tmp_path / "nowhere", urls=urls)
        for word in ("nowhere", cifar10.MD5, "By hand", "RESNET_EDU_DATA", "class folders", "no address may be tried"):
            assert word in str(caught.value)
        assert not (tmp_path / "nowhere").exists()

    def test_the_command_line_sets_the_order(self, start, capsys, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        (url,) = start(Mirror(b"", status=410))
        assert cli.main(["degrade", "--data", "cifar10", "--mirrors", f"{url},ftp://x/"]) == 1
        err = capsys.readouterr().err
        assert err.index("410") < err.index("ftp://x/")
        assert not any(mirror in err for mirror in MIRRORS)


class Trap:
    """Makes a folder when it is unpickled by something that trusts it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class TestForgedFiles:
    @pytest.mark.parametrize("unpacked", [True, False])
    @pytest.mark.parametrize("checked", [True, False])
    def test_no_code_runs(self, tmp_path, small, root, checked, unpacked):
        forged = make_archive(tmp_path / "forged", {"data_batch_2": pickle.dumps(Trap(tmp_path / "sprung"))})
        known = small if checked else forged  # which has the checksums of the forged files
        message = "its md5 is" if checked else "asks for (posix|nt).mkdir, which no batch"
        where = unpack(forged, root) if unpacked else forged.path.parent
        with pytest.raises(RuntimeError, match=message):
            load(where, known)
        assert not (tmp_path / "sprung").exists()
        pickle.loads(forged.files["data_batch_2"])
        assert (tmp_path / "sprung").exists()  # the trap works

    @pytest.mark.parametrize("value", [len, os.system, Path("a"), np.float64(1), {1, 2}.union, type, 1j])
    def test_nothing_but_arrays_is_read(self, tmp_path, value):
        forged = make_archive(tmp_path / "forged", {"test_batch": pickle.dumps({"data": value}, protocol=2)})
        with pytest.raises(RuntimeError, match="the pickle asks for"):
            load(forged.path.parent, forged)
