"""CIFAR-10 from disk, from the network, from the cache; and files that are damaged or forged."""

import io
import os
import pickle
import tarfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mirror import Mirror, serve
from PIL import Image
from small_cifar import Small, array2, batch2, dict2, int2, list2, make_archive, text2
from torchvision.datasets import CIFAR10 as TORCHVISIONS

from resnet_edu.data import cifar10 as data_cifar
from resnet_edu.data.cifar10 import CIFAR10, MIRRORS, load_cifar10
from resnet_edu.data.folder import FolderImages
from resnet_edu.data.pickle_ import load_pickle
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


def load(root: Path, small: Small, urls=None, **options) -> FolderImages:
    return load_cifar10(root, urls=urls, **{"progress": False, "layout": small.layout, "timeout": 0.3} | options)


def unpack(small: Small, root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, content in small.files.items():
        (folder / name).write_bytes(content)
    return folder


def same(found: FolderImages, small: Small) -> bool:
    n = len(found.train_images)
    return (
        (n, len(found.test_images)) == (20, 4)
        and all(x.dtype == np.uint8 for x in (found.train_images, found.test_images))
        and all(x.dtype == np.int64 for x in (found.train_labels, found.test_labels))
        and np.array_equal(found.train_images, small.images[:n])
        and np.array_equal(found.test_images, small.images[n:])
        and np.array_equal(found.train_labels, small.labels[:n])
        and np.array_equal(found.test_labels, small.labels[n:])
        and found.classes == CIFAR10.names
        and found.name == "cifar10"
    )


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_the_real_layout_is_torchvisions():
    assert CIFAR10.md5 == TORCHVISIONS.tgz_md5
    assert CIFAR10.archive == TORCHVISIONS.filename
    assert CIFAR10.folder == TORCHVISIONS.base_folder
    assert [list(pair) for pair in CIFAR10.train.items()] == TORCHVISIONS.train_list
    assert [list(pair) for pair in CIFAR10.test.items()] == TORCHVISIONS.test_list
    assert (CIFAR10.meta, CIFAR10.meta_md5) == (TORCHVISIONS.meta["filename"], TORCHVISIONS.meta["md5"])
    assert (CIFAR10.rows * len(CIFAR10.train), CIFAR10.rows * len(CIFAR10.test)) == (50_000, 10_000)
    assert TORCHVISIONS.url.rsplit("/", 1)[1] in MIRRORS[-2]
    assert [url for url in MIRRORS if url.endswith("/")] == [MIRRORS[-1]]  # the rows come last


class TestOnDisk:
    def test_torchvision_reads_the_same(self, small, root):
        unpack(small, root)

        expected = {
            "train_list": [list(pair) for pair in small.layout.train.items()],
            "test_list": [list(pair) for pair in small.layout.test.items()],
            "meta": {**TORCHVISIONS.meta, "md5": small.layout.meta_md5},
        }
        smaller = type("Smaller", (TORCHVISIONS,), expected)
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
        unpack(small, root)
        assert same(load(root, small), small)
        assert names(root) == ["cifar-10-batches-py", small.layout.cache_name]

    def test_the_unpacked_folder_itself(self, small, root):
        folder = unpack(small, root)
        assert same(load(folder, small), small)

    def test_the_archive_is_read_in_place(self, small):
        root = small.path.parent
        assert same(load(root, small), small)
        assert names(root) == [small.path.name, small.layout.cache_name]

    @pytest.mark.parametrize("which", ["archive", "cache_name", "rows_cache_name", "parquet"])
    def test_root_may_name_a_file_in_it(self, small, which):
        root = small.path.parent
        named = root / (next(iter(CIFAR10.parquet)) if which == "parquet" else getattr(small.layout, which))
        if which != "archive":
            named.write_bytes(b"damaged")
        assert same(load(named, small), small)
        assert small.layout.cache_name in names(root)

    def test_root_is_another_file(self, small, root, start):
        mirror = Mirror(small.path.read_bytes())
        other = small.path.rename(small.path.with_name("cifar.tgz"))
        with pytest.raises(ValueError, match=r"one of the files cifar-10-python\.tar\.gz, .*cifar\.tgz.* rename it"):
            load(other, small, start(mirror))
        assert mirror.requests == []

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

    def test_class_folders(self, small, root):
        where = {"train": slice(0, 20), "test": slice(20, 24)}
        layout = replace(small.layout, names=("cat", "dog"))
        labels = np.arange(24) % 2
        for part, rows in where.items():
            for i, (image, label) in enumerate(zip(small.images[rows], labels[rows], strict=True)):
                file = root / part / layout.names[label] / f"{i:02}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.transpose(1, 2, 0)).save(file)
        found = load(root, small, layout=layout)
        order = np.argsort(labels[:20], kind="stable")
        assert np.array_equal(found.train_images, small.images[:20][order])
        assert (found.name, found.classes) == ("cifar10", ("cat", "dog"))
        with pytest.raises(RuntimeError, match="is not CIFAR-10"):
            load(root, small, layout=replace(layout, rows=5))


class TestCache:
    def test_the_second_load_reads_the_cache_only(self, small, root, start):
        mirror = Mirror(small.path.read_bytes())
        urls = start(mirror)
        first = load(root, small, urls)
        assert same(first, small)
        (root / small.layout.archive).unlink()
        second = load(root, small, urls)
        assert same(second, small)
        assert len(mirror.requests) == 1

    def test_it_is_no_pickle_and_does_not_depend_on_the_time(self, small, root):
        unpack(small, root)
        load(root, small)
        cache = root / small.layout.cache_name
        before = cache.read_bytes()
        with np.load(cache, allow_pickle=False) as file:
            assert {file[name].dtype for name in file.files} == {np.dtype(np.uint8)}
        cache.unlink()
        load(root, small)
        assert cache.read_bytes() == before

    @pytest.mark.parametrize(
        "damage", ["cut", "empty", "bit", "header", "garbage", "plain array", "other arrays", "label"]
    )
    def test_a_damaged_one_is_made_anew(self, small, root, capsys, damage):
        unpack(small, root)
        load(root, small)
        cache = root / small.layout.cache_name
        whole = cache.read_bytes()
        middle = len(whole) // 2
        broken = {
            "cut": whole[:middle],
            "empty": b"",
            "bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "header": whole.replace(b"(20,", b"(20("),
            "garbage": bytes(len(whole)),
        }
        if damage in broken:
            cache.write_bytes(broken[damage])
        elif damage == "label":
            labels = np.full(20, 10, np.uint8)
            images = small.images
            np.savez(
                cache, train_images=images[:20], train_labels=labels, test_images=images[20:], test_labels=labels[:4]
            )
        elif damage == "plain array":
            with cache.open("wb") as file:
                np.save(file, small.images)
        else:
            np.savez(cache, train_images=np.zeros(3))
        assert same(load(root, small), small)
        assert f"the cache {cache} is damaged" in capsys.readouterr().err
        assert cache.read_bytes() == whole

    def test_one_that_asks_for_a_pickle_is_refused(self, small, root, tmp_path):
        unpack(small, root)
        np.savez(root / small.layout.cache_name, train_images=np.array([Trap(tmp_path / "sprung")], dtype=object))
        assert same(load(root, small), small)
        assert not (tmp_path / "sprung").exists()

    def test_the_cache_of_another_archive_is_not_taken(self, small, root):
        folder = unpack(small, root)
        load(root, small)
        folder.rename(root / "gone")
        assert same(load(root, small), small)
        with pytest.raises(RuntimeError, match="is not in"):
            load(root, small, layout=replace(small.layout, md5="0" * 32))

    def test_a_folder_that_cannot_be_written_to(self, small, root):
        unpack(small, root)
        (root / small.layout.cache_name).mkdir()  # a name that is taken fails for every user, root included
        assert same(load(root, small), small)
        assert names(cache_folder()) == [small.layout.cache_name]
        (root / "cifar-10-batches-py").rename(root / "gone")
        assert same(load(root, small), small)

    def test_no_place_for_it_is_no_error(self, small, root, monkeypatch, capsys, tmp_path):
        unpack(small, root)
        (root / small.layout.cache_name).mkdir()
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("RESNET_EDU_CACHE", str(tmp_path / "file" / "cache"))
        assert same(load(root, small), small)
        assert "could not be cached" in capsys.readouterr().err

    def test_what_a_killed_process_left_is_removed_once_it_is_old(self, small, root, monkeypatch):
        folder = unpack(small, root)
        written = []
        monkeypatch.setattr(os, "fsync", lambda _: written.extend(set(root.iterdir()) - {folder}))
        load(root, small)
        (left,) = written  # the cache under the name that it has while it is written
        fresh, mine = left.with_name(left.name.replace(".tmp", "x.tmp")), root / ".mine.npz.x.tmp"
        for file in (left, fresh, mine):
            file.write_bytes(b"half")
        for file in (left, mine):
            os.utime(file, (time.time() - 4 * 3600,) * 2)
        assert same(load(root, small), small)
        assert names(root) == sorted([mine.name, fresh.name, folder.name, small.layout.cache_name])


class TestNetwork:
    def test_the_next_mirror(self, small, root, start, capsys):
        data = small.path.read_bytes()
        mirrors = Mirror(data, status=500), Mirror(b"<html>", kind="text/html"), Mirror(data), Mirror(data)
        assert same(load(root, small, start(*mirrors), progress=True), small)
        assert [len(m.requests) for m in mirrors] == [1, 1, 1, 0]
        assert names(root) == [small.layout.archive, small.layout.cache_name]
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("note: http://127.0.0.1") == 2

    def test_addresses_of_the_environment_in_their_order(self, small, root, start, monkeypatch):
        mirrors = Mirror(b"", status=404), Mirror(small.path.read_bytes())
        monkeypatch.setenv("RESNET_EDU_CIFAR10_URLS", " , ".join(start(*mirrors)) + ",")
        assert same(load(root, small), small)
        assert [len(m.requests) for m in mirrors] == [1, 1]

    def test_which_addresses_are_tried(self, monkeypatch):
        assert data_cifar._addresses(["b", "a"]) == ["b", "a"]
        assert data_cifar._addresses(None) == []
        monkeypatch.setenv("RESNET_EDU_CIFAR10_URLS", "")
        assert data_cifar._addresses(None) == list(MIRRORS)
        with pytest.raises(ValueError, match="must be a list"):
            data_cifar._addresses("http://a")

    def test_a_damaged_archive_is_replaced(self, small, root, start, capsys):
        root.mkdir()
        (root / small.layout.archive).write_bytes(small.path.read_bytes()[:-100])
        mirror = Mirror(small.path.read_bytes())
        assert same(load(root, small, start(mirror)), small)
        assert "is damaged or another file: its md5 is" in capsys.readouterr().err
        assert (root / small.layout.archive).read_bytes() == small.path.read_bytes()

    def test_a_root_that_cannot_be_written_to(self, small, tmp_path, start):
        (tmp_path / "file").write_text("")
        mirror = Mirror(small.path.read_bytes())
        urls = start(mirror)
        for _ in range(2):
            assert same(load(tmp_path / "file" / "data", small, urls), small)
        assert len(mirror.requests) == 1
        assert names(cache_folder()) == [small.layout.archive, small.layout.cache_name]

    def test_nowhere_to_be_had(self, small, root, start):
        (url,) = start(Mirror(b"", status=403))
        unpack(small, root)
        (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"")
        with pytest.raises(RuntimeError) as caught:
            load(root, small, [url])
        for word in ("data_batch_3", f"{url}: it answers with the error 403", "By hand", small.layout.md5, "cifar-10"):
            assert word in str(caught.value)
        assert names(root) == ["cifar-10-batches-py"]
        with pytest.raises(RuntimeError, match="RESNET_EDU_CIFAR10_URLS=none"):
            load(root, small)


class Trap:
    """Makes a folder when it is unpickled by something that trusts it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class TestForgedFiles:
    def test_the_trap_works(self, tmp_path):
        pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
        assert (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
    @pytest.mark.parametrize("checked", [True, False])
    @pytest.mark.parametrize("unpacked", [True, False])
    def test_no_code_runs(self, tmp_path, small, root, name, checked, unpacked):
        forged = make_archive(tmp_path / "forged", {name: pickle.dumps(Trap(tmp_path / "sprung"))})
        layout = small.layout if checked else forged.layout  # forged.layout has the checksums of the forged files
        layout = replace(layout, md5=forged.layout.md5)
        if unpacked:
            unpack(forged, root)
        where = root if unpacked else forged.path.parent
        message = "its md5 is" if checked else "asks for (posix|nt).mkdir, which no batch needs"
        with pytest.raises(RuntimeError, match=message):
            load(where, forged, layout=layout)
        assert not (tmp_path / "sprung").exists()

    def test_links_in_the_archive_lead_nowhere(self, tmp_path, small):
        path = tmp_path / "links" / CIFAR10.archive
        path.parent.mkdir()
        with tarfile.open(path, "w:gz") as tar:
            for name, content in small.files.items():
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                if name == "test_batch":
                    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                else:
                    member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            outside = tarfile.TarInfo("../outside")
            tar.addfile(outside)
        layout = replace(small.layout, md5=data_cifar.download.md5_of(path))
        with pytest.raises(RuntimeError, match="lacks test_batch"):
            load(path.parent, small, layout=layout)
        assert not (tmp_path / "outside").exists()

    IMAGES, LABELS = np.zeros((4, 3, 32, 32), np.uint8), np.arange(4)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (batch2(IMAGES, LABELS + 7), r"'labels' must be 4 numbers in 0\.\.9"),
            (batch2(IMAGES, LABELS - 1), r"'labels' must be 4 numbers in 0\.\.9"),
            (batch2(IMAGES, LABELS[:3]), r"'labels' must be 4 numbers"),
            (batch2(IMAGES[:3], LABELS), r"'data' must be uint8 \(4, 3072\), but it is uint8 \(3, 3072\)"),
            (dict2({b"labels": list2([int2(0)] * 4)}), "'data' must be .* but it is a NoneType"),
            (dict2({b"data": array2(np.zeros((4, 3072), np.uint8), b"O8")}), "has the dtype 'O8'"),
            (b"\x80\x02" + text2(b"text") + b".", "must hold a dictionary, but it holds a str"),
            (b"\x80\x02}(", "cannot be read as a pickle"),
            (b"", "cannot be read as a pickle"),
        ],
    )
    def test_a_batch_that_is_none(self, tmp_path, content, message):
        small = make_archive(tmp_path / "forged", {"data_batch_4": content})
        with pytest.raises(RuntimeError, match=r"\(data_batch_4\) is damaged.*" + message):
            load(small.path.parent, small)

    def test_other_class_names(self, tmp_path):
        small = make_archive(tmp_path / "forged", {"batches.meta": dict2({b"label_names": list2([text2(b"cat")])})})
        with pytest.raises(RuntimeError, match=r"'label_names' must be \['airplane'.*but it is \['cat'\]"):
            load(small.path.parent, small)


class TestPickle:
    @pytest.mark.parametrize("protocol", range(2, 6))
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_as_pickles_own_reader(self, protocol, order):
        array = np.asarray(np.random.default_rng(0).integers(0, 256, (3, 5), dtype=np.uint8), order=order)
        values = {"data": array, "labels": [1, 2], "name": "text", "raw": b"\x00\xff"}
        found = load_pickle(pickle.dumps(values, protocol))
        assert np.array_equal(found.pop("data"), array)
        assert found == {k: v for k, v in values.items() if k != "data"}

    def test_python_2_as_pickles_own_reader(self):
        images, labels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.arange(4)
        content = batch2(images, labels)
        theirs, ours = pickle.loads(content, encoding="latin1"), load_pickle(content)
        assert np.array_equal(theirs.pop("data"), ours.pop("data"))
        assert theirs == ours

    @pytest.mark.parametrize(
        "value",
        [len, os.system, Path("a"), np.float64(1), np.zeros(2, object), np.zeros(2), {1, 2}.union, type, 1j],
    )
    def test_anything_else_is_refused(self, value):
        with pytest.raises(ValueError, match=r"\(UnpicklingError: (it asks for|an array has)"):
            load_pickle(pickle.dumps({"value": value}))
