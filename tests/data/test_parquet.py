"""CIFAR-10 from Parquet rows, as Hugging Face serves them: real files, real servers, and what can be wrong."""

import hashlib
import io
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from mirror import Mirror, serve, serve_files
from PIL import Image
from small_cifar import Small, make_archive

from resnet_edu.data.cifar10 import CIFAR10, MIRRORS, ROWS_FOLDER, load_cifar10, parse_addresses
from resnet_edu.data.folder import FolderImages
from resnet_edu.data.parquet import content_digest, read_rows

TRAIN, TEST = CIFAR10.parquet


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Neither the network nor the cache of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("RESNET_EDU_CACHE", str(tmp_path / "user cache"))
    monkeypatch.setenv("RESNET_EDU_CIFAR10_URLS", "none")


def encode(image: np.ndarray, form: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).convert(mode).save(buffer, format=form)
    return buffer.getvalue()


def table(pictures: list, labels: list, column: str = "img") -> bytes:
    """A file with the columns of huggingface.co/datasets/uoft-cs/cifar10, in several row groups."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [p if p is None else {"bytes": p, "path": None} for p in pictures]
    content = pa.table({column: pa.array(values, image), "label": pa.array(labels)})
    buffer = io.BytesIO()
    pa.parquet.write_table(content, buffer, row_group_size=7)
    return buffer.getvalue()


class Rows:
    """The small archive's images as rows, in another order, and the layout that describes both."""

    def __init__(self, small: Small) -> None:
        order = np.random.default_rng(1).permutation(20)
        self.images = np.concatenate([small.images[:20][order], small.images[20:]])
        self.labels = np.concatenate([small.labels[:20][order], small.labels[20:]])
        self.files = {TRAIN: self.file(slice(0, 20)), TEST: self.file(slice(20, 24))}
        self.layout = replace(
            small.layout,
            parquet={name: len(content) for name, content in self.files.items()},
            content=tuple(content_digest(small.images[p], small.labels[p]) for p in (slice(0, 20), slice(20, 24))),
        )

    def file(self, part: slice) -> bytes:
        return table([encode(image) for image in self.images[part]], self.labels[part].tolist())

    def load(self, root: Path, urls=(), **options) -> FolderImages:
        return load_cifar10(root, urls=urls, **{"progress": False, "layout": self.layout, "timeout": 2.0} | options)

    def same(self, found: FolderImages) -> bool:
        return (
            np.array_equal(found.train_images, self.images[:20])
            and np.array_equal(found.test_images, self.images[20:])
            and np.array_equal(found.train_labels, self.labels[:20])
            and np.array_equal(found.test_labels, self.labels[20:])
            and found.train_images.dtype == np.uint8
            and found.train_labels.dtype == np.int64
            and (found.name, found.classes) == ("cifar10", CIFAR10.names)
        )


@pytest.fixture
def small(tmp_path) -> Small:
    return make_archive(tmp_path / "away")


@pytest.fixture
def rows(small) -> Rows:
    return Rows(small)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start():
    """Serve files in a folder: `start({name: Mirror})` gives its address."""
    with ExitStack() as stack:
        yield lambda mirrors: stack.enter_context(serve_files(mirrors))


def mirrors_of(files: dict[str, bytes], **options) -> dict[str, Mirror]:
    return {name: Mirror(data, **{"kind": "application/octet-stream"} | options) for name, data in files.items()}


def put(rows: Rows, folder: Path, **files: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in rows.files.items():
        (folder / name).write_bytes(files.get(name.split("-")[0], content))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


class TestNetwork:
    def test_the_last_resort_after_the_archive(self, rows, root, start, capsys):
        with serve(Mirror(b"", status=503)) as archive:
            served = mirrors_of(rows.files)
            assert rows.same(rows.load(root, [archive, start(served)], progress=True))
        assert [len(m.requests) for m in served.values()] == [1, 1]
        assert names(root) == [ROWS_FOLDER, rows.layout.rows_cache_name]
        assert names(root / ROWS_FOLDER) == [TEST, TRAIN]
        assert "it answers with the error 503" in capsys.readouterr().err

    def test_or_the_first_if_it_is_asked_for_first(self, rows, small, root, start, monkeypatch):
        archive = Mirror(small.path.read_bytes())
        with serve(archive) as url:
            monkeypatch.setenv("RESNET_EDU_CIFAR10_URLS", f"{start(mirrors_of(rows.files))}, {url}")
            assert rows.same(rows.load(root, None))
        assert archive.requests == []

    def test_the_second_load_reads_the_cache_only(self, rows, root, start, monkeypatch):
        served = mirrors_of(rows.files)
        url = start(served)
        rows.load(root, [url])
        for name in rows.files:
            (root / ROWS_FOLDER / name).unlink()
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        assert rows.same(rows.load(root, [url]))
        assert [len(m.requests) for m in served.values()] == [1, 1]

    def test_an_archive_that_comes_later_has_its_own_cache(self, rows, small, root, start):
        rows.load(root, [start(mirrors_of(rows.files))])
        (root / small.layout.archive).write_bytes(small.path.read_bytes())
        found = rows.load(root)
        assert np.array_equal(found.train_images, small.images[:20])
        assert {rows.layout.cache_name, rows.layout.rows_cache_name} < set(names(root))

    def test_redirected_and_resumed(self, rows, root, start):
        """Hugging Face redirects to another host, and a range that was asked for has to come along."""
        served = mirrors_of(rows.files, stop=1000, stops=1)
        target = start(served)
        assert rows.same(rows.load(root, [start({n: Mirror(b"", location=target + n) for n in rows.files})]))
        assert [m.requests for m in served.values()] == [[None, "bytes=1000-"]] * 2

    def test_what_was_downloaded_is_not_downloaded_again(self, rows, root, start):
        served = mirrors_of(rows.files)
        served[TEST].status = 500
        url = start(served)
        with pytest.raises(RuntimeError, match=f"{TEST} could not be downloaded"):
            rows.load(root, [url])
        served[TEST].status = 200
        assert rows.same(rows.load(root, [url]))
        assert len(served[TRAIN].requests) == 1

    @pytest.mark.parametrize(
        ("change", "options", "message"),
        [
            (lambda data: b"PAR1" + bytes(len(data) - 8) + b"PAR1", {}, "is damaged, or no file of the columns"),
            (lambda data: data + b"x", {}, "bytes, but the right one has"),
            (lambda data: data, {"kind": "text/html"}, "it sends a web page"),
        ],
    )
    def test_other_files_are_refused_and_the_next_address_is_tried(self, rows, root, start, change, options, message):
        bad = start(mirrors_of({name: change(data) for name, data in rows.files.items()}, **options))
        with pytest.raises(RuntimeError, match=message):
            rows.load(root, [bad])
        assert not list(root.glob("*.npz"))
        assert rows.same(rows.load(root, [bad, start(mirrors_of(rows.files))]))

    @pytest.mark.parametrize("change", ["pixel", "label"])
    def test_rows_of_another_content_are_refused(self, rows, root, start, change):
        if change == "pixel":
            rows.images[0, 0, 0, 0] ^= 1
        else:
            rows.labels[0] = (rows.labels[0] + 1) % 10
        files = rows.files | {TRAIN: rows.file(slice(0, 20))}
        rows.layout = replace(rows.layout, parquet={name: len(data) for name, data in files.items()})
        with pytest.raises(RuntimeError, match=r"does not hold the training images of CIFAR-10 \(its labels occur \["):
            rows.load(root, [start(mirrors_of(files))])
        assert not list(root.glob("*.npz"))

    def test_without_pyarrow(self, rows, root, start, monkeypatch):
        served = mirrors_of(rows.files)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(RuntimeError) as caught:
            rows.load(root, [start(served)])
        assert "Parquet files need pyarrow, which is not installed: pip install pyarrow" in str(caught.value)
        assert not any(m.requests for m in served.values())  # nothing is downloaded for nothing

    def test_the_command_line_sets_the_order(self, capsys, monkeypatch, tmp_path):
        from resnet_edu import cli

        monkeypatch.chdir(tmp_path)
        assert parse_addresses(" b/ ,a,") == ["b/", "a"]
        assert parse_addresses("None") == []
        with serve(Mirror(b"", status=410)) as url:
            assert cli.main(["degrade", "--data", "cifar10", "--mirrors", f"{url},ftp://x/"]) == 1
        err = capsys.readouterr().err
        assert err.index("it answers with the error 410") < err.index("ftp://x/")
        assert not any(mirror in err for mirror in MIRRORS)
        assert cli.main(["degrade", "--mirrors", "none"]) == 1
        assert "--mirrors are addresses of CIFAR-10, but --data is digits" in capsys.readouterr().err


class TestOnDisk:
    @pytest.mark.parametrize("where", ["", ROWS_FOLDER])
    def test_both_files(self, rows, root, where):
        put(rows, root / where)
        assert rows.same(rows.load(root))
        assert rows.layout.rows_cache_name in names(root)

    def test_damaged_ones_are_replaced(self, rows, root, start, capsys):
        put(rows, root / ROWS_FOLDER, train=b"PAR1" + bytes(len(rows.files[TRAIN]) - 4))
        assert rows.same(rows.load(root, [start(mirrors_of(rows.files))]))
        assert "is damaged, or no file of the columns 'img' and 'label'" in capsys.readouterr().err
        assert (root / ROWS_FOLDER / TRAIN).read_bytes() == rows.files[TRAIN]

    def test_without_pyarrow(self, rows, root, monkeypatch):
        put(rows, root)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(RuntimeError, match=r"can be read with pyarrow only, .* pip install pyarrow"):
            rows.load(root)

    def test_too_few_rows(self, rows, root):
        put(rows, root, test=rows.file(slice(20, 23)))
        with pytest.raises(RuntimeError, match=r"has 3 rows, but there are 4 test images"):
            rows.load(root)


class TestFile:
    PIXELS = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(3, 32, 32)

    def read(self, tmp_path: Path, content: bytes):
        path = tmp_path / "x.parquet"
        path.write_bytes(content)
        return read_rows(path, (3, 32, 32), 10, progress=False)

    def test_rows_in_their_order(self, tmp_path):
        pictures = np.random.default_rng(0).integers(0, 256, (2500, 3, 32, 32), dtype=np.uint8)
        labels = [i % 10 for i in range(2500)]
        images, found = self.read(tmp_path, table([encode(p) for p in pictures], labels))
        assert np.array_equal(images, pictures)
        assert found.tolist() == labels

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is damaged, or no file"),
            (b"PAR1 and more PAR1", "is damaged, or no file"),
            (table([encode(PIXELS)], [0], column="image"), "no file of the columns 'img' and 'label'"),
            (table([], pa.array([], pa.int64())), "has no rows"),
            (table([encode(PIXELS)], [10]), r"row 0: the label must be in 0\.\.9, but it is 10"),
            (table([encode(PIXELS)], [None]), r"the label must be in 0\.\.9, but it is None"),
            (table([encode(PIXELS)], [0.5]), r"the label must be in 0\.\.9, but it is 0\.5"),
            (table([None], [0]), "row 0: there is no picture"),
            (table([encode(PIXELS), encode(PIXELS)[:90]], [0, 0]), "row 1: the picture is damaged"),
            (table([encode(PIXELS, "JPEG")], [0]), "row 0: the picture is damaged .cannot identify"),
            (table([encode(PIXELS, mode="L")], [0]), "row 0: the picture is L of 32x32, not RGB of 32x32"),
            (table([encode(PIXELS[:, :16])], [0]), "row 0: the picture is RGB of 32x16, not RGB of 32x32"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, content, message):
        with pytest.raises(ValueError, match=message):
            self.read(tmp_path, content)


class TestContentDigest:
    def test_by_hand(self):
        images, labels = np.array([[[[1]]], [[[2]]]], np.uint8), np.array([7, 8])
        first, second = hashlib.sha256(b"\x07\x01").digest(), hashlib.sha256(b"\x08\x02").digest()
        assert content_digest(images, labels) == hashlib.sha256(min(first, second) + max(first, second)).hexdigest()

    def test_any_order_but_nothing_else(self, rows):
        images, labels = rows.images, rows.labels
        order = np.random.default_rng(2).permutation(24)
        first = content_digest(images, labels)
        assert content_digest(images[order], labels[order]) == first
        assert content_digest(images, labels[order]) != first
        assert content_digest(images[:23], labels[:23]) != first
        assert content_digest(np.concatenate([images[:23], images[:1]]), labels) != first
        assert content_digest(images.transpose(0, 1, 3, 2), labels) != first
