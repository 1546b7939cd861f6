"""Caches that are damaged in every way that could be thought of, and what killed processes leave of them."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from resnet_edu.support.files import read_arrays, write_arrays

ARRAYS = {"images": np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2), "labels": np.array([0, 1], np.uint8)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "new folder" / "cache.npz"
    write_arrays(path, ARRAYS)
    return path


def is_right(arrays: list[np.ndarray]) -> bool:
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(arrays, ARRAYS.values(), strict=True))


def test_numpy_reads_the_same(cache):
    assert is_right(read_arrays(cache, tuple(ARRAYS)))
    with np.load(cache, allow_pickle=False) as file:
        assert is_right([file[name] for name in file.files])


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header parsing")
def test_any_byte_that_differs_is_found_or_does_not_matter(cache):
    write_arrays(cache, {"labels": ARRAYS["labels"]})
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
                assert np.array_equal(labels, ARRAYS["labels"]), (place, other)
    assert found > len(whole)  # more than every second change


def test_any_other_length_is_found(cache):
    whole = cache.read_bytes()
    for length in range(0, len(whole), 7):
        cache.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is damaged"):
            read_arrays(cache, tuple(ARRAYS))


def test_a_header_that_tells_of_fewer_images(cache):
    """It is a right array with a right name; only the checksum of what follows it would tell."""
    whole = cache.read_bytes()
    cache.write_bytes(whole.replace(b"(2, 3, 2, 2)", b"(1, 3, 2, 2)"))
    with pytest.raises(ValueError, match="is damaged"):
        read_arrays(cache, tuple(ARRAYS))
    with zipfile.ZipFile(cache, "w") as archive:  # here the checksums are right
        for name, array in ARRAYS.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
                member.write(b"more")
    with pytest.raises(ValueError, match="images goes on behind its end"):
        read_arrays(cache, tuple(ARRAYS))


@pytest.mark.parametrize("kind", ["a plain array", "a folder", "other names", "objects", "nothing"])
def test_something_else_in_its_place(cache, kind):
    cache.unlink()
    if kind == "a plain array":
        with cache.open("wb") as file:
            np.save(file, ARRAYS["images"])
    elif kind == "a folder":
        cache.mkdir()
    elif kind == "other names":
        np.savez(cache, images=ARRAYS["images"])
    elif kind == "objects":
        np.savez(cache, images=np.array([os.mkdir], dtype=object), labels=ARRAYS["labels"])
    with pytest.raises(ValueError, match="is damaged"):
        read_arrays(cache, tuple(ARRAYS))
