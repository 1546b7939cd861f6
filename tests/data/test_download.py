"""Downloads from real servers on loopback that do everything wrong that a server can do."""

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from mirror import Mirror, serve

from resnet_edu.support import download
from resnet_edu.support.download import DownloadError, fetch

DATA = gzip.compress(np.random.default_rng(0).bytes(600_000), mtime=0)
MD5 = hashlib.md5(DATA).hexdigest()
SIZE = len(DATA)
HALF = SIZE // 2


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """A proxy of this machine must not stand between the tests and loopback."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def start():
    with ExitStack() as stack:
        yield lambda *mirrors: [stack.enter_context(serve(m)) for m in mirrors]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "archive.tar.gz"


def get(urls, path, **options):
    return fetch(urls, path, **{"md5": MD5, "size": SIZE, "progress": False, "timeout": 0.3} | options)


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir())


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class TestFetch:
    def test_a_good_server(self, start, path):
        mirror = Mirror(DATA)
        assert get(start(mirror), path) == path
        assert path.read_bytes() == DATA
        assert names(path) == ["archive.tar.gz"]
        assert mirror.requests == [None]
        assert mirror.sent == SIZE

    def test_what_is_there_is_not_downloaded(self, start, path):
        mirror = Mirror(DATA)
        path.parent.mkdir()
        path.write_bytes(DATA)
        get(start(mirror), path)
        assert mirror.requests == []

    def test_a_wrong_file_under_the_name_is_replaced_only_by_the_right_one(self, start, path):
        path.parent.mkdir()
        path.write_bytes(b"mine")
        with pytest.raises(DownloadError):
            get(start(Mirror(DATA, status=503)), path)
        assert path.read_bytes() == b"mine"
        get(start(Mirror(DATA)), path)
        assert path.read_bytes() == DATA

    def test_without_a_checksum_the_size_decides(self, start, path):
        mirror = Mirror(DATA, stop=HALF, stops=1)
        assert get(start(mirror), path, md5=None).read_bytes() == DATA
        assert mirror.requests == [None, f"bytes={HALF}-"]
        get(start(mirror), path, md5=None)
        assert len(mirror.requests) == 2
        path.write_bytes(DATA[:-1])
        assert get(start(mirror), path, md5=None).read_bytes() == DATA

    def test_neither_checksum_nor_size(self, path):
        with pytest.raises(ValueError, match="`md5` or `size` must be known"):
            get([], path, md5=None, size=None)

    def test_without_a_size(self, start, path):
        get(start(Mirror(DATA, length="none")), path, size=None)
        assert path.read_bytes() == DATA

    def test_progress_and_notes_go_to_stderr(self, start, path, capsys):
        urls = start(Mirror(DATA, status=404), Mirror(DATA))
        get(urls, path, progress=True)
        out, err = capsys.readouterr()
        assert out == ""
        assert f"note: {urls[0]}: it answers with the error 404" in err
        assert "archive.tar.gz" in err


BAD = {
    "not found": (dict(status=404), "error 404"),
    "overloaded": (dict(status=503), "error 503"),
    "a page for an error": (dict(data=b"<html>Please log in", kind="text/html; charset=utf-8"), "web page (text/html)"),
    "a page, called a file": (dict(data=b"<html>" + b" " * (SIZE - 6)), "the first bytes are b'<html>"),
    "garbage": (dict(data=DATA[:2] + bytes(SIZE - 2)), "it serves another file: its md5 is"),
    "garbage of another length": (dict(data=DATA[:2] + bytes(100)), "its file has 102 bytes, but the right one has"),
    "truncated": (dict(data=DATA[:HALF]), f"its file has {HALF:,} bytes"),
    "truncated, length unknown": (dict(data=DATA[:HALF], length="none"), f"broke off at {HALF:,} bytes of {SIZE:,}"),
    "claims more than it has": (dict(data=DATA[:HALF], length=SIZE, ranges=False), f"broke off at {HALF:,} bytes"),
    "claims less than it has": (dict(length=HALF), f"its file has {HALF:,} bytes"),
    "silent from the start": (dict(stop=0, then="stall"), "stalled at 0 bytes"),
    "silent in the middle": (dict(stop=HALF, then="stall", ranges=False), f"stalled at {HALF:,} bytes"),
    "another part than asked": (dict(whole_range=True), "another part"),
}  # fmt: skip


class TestBadServers:
    @pytest.mark.parametrize("case", BAD)
    def test_the_next_address_is_taken(self, start, path, case):
        options, _ = BAD[case]
        bad, good, third = Mirror(**{"data": DATA} | options), Mirror(DATA), Mirror(DATA)
        get(start(bad, good, third), path)
        assert path.read_bytes() == DATA
        assert names(path) == ["archive.tar.gz"]
        assert len(good.requests) == 1
        assert bad.requests
        assert third.requests == []

    @pytest.mark.parametrize("case", BAD)
    def test_the_error_names_the_address_and_why(self, start, path, case):
        options, reason = BAD[case]
        urls = start(Mirror(**{"data": DATA} | options))
        with pytest.raises(DownloadError) as caught:
            get(urls, path)
        ((url, why),) = caught.value.reasons
        assert url == urls[0]
        assert reason in why
        assert f"{url}: {why}" in str(caught.value)
        assert not path.exists()
        left = names(path)  # what can be resumed may stay, as a part; what is known to be wrong may not
        assert left == (["archive.tar.gz.part"] if "middle" in case or "truncated, " in case or "more" in case else [])

    def test_no_network_and_no_address(self, path):
        urls = [f"http://127.0.0.1:{closed_port()}/a", "ftp://127.0.0.1/a", "http://[bad/a"]
        with pytest.raises(DownloadError) as caught:
            get(urls, path)
        assert [url for url, _ in caught.value.reasons] == urls
        for word in ("no connection", "refused", "must begin with http", *urls):
            assert word in str(caught.value)
        with pytest.raises(DownloadError, match="no address to try"):
            get([], path)
        assert names(path) == []

    @pytest.mark.parametrize("options", [dict(length="9" * 5000, data=DATA[:HALF]), dict(total="9" * 5000)])
    def test_numbers_that_no_file_has(self, start, path, options):
        """Python refuses to read whole numbers of more than 4300 digits."""
        bad, good = Mirror(**{"data": DATA} | options), Mirror(DATA)
        path.parent.mkdir()
        path.with_name("archive.tar.gz.part").write_bytes(DATA[:1000])
        get(start(bad, good), path)
        assert bad.requests[0] == "bytes=1000-"
        assert path.read_bytes() == DATA


class TestResume:
    def test_at_the_same_address(self, start, path):
        mirror = Mirror(DATA, stop=200_000, stops=2)
        get(start(mirror), path)
        assert path.read_bytes() == DATA
        assert mirror.requests == [None, "bytes=200000-", "bytes=400000-"]
        assert mirror.sent == SIZE  # not a byte twice

    def test_at_the_next_address(self, start, path):
        first, second = Mirror(DATA, stop=HALF, ranges=False, then="stall"), Mirror(DATA)
        get(start(first, second), path)
        assert path.read_bytes() == DATA
        assert second.requests == [f"bytes={HALF}-"]
        assert second.sent == SIZE - HALF

    def test_the_length_of_the_whole_may_be_left_out(self, start, path):
        """RFC 9110, section 14.4: "An asterisk character in place of the complete-length"."""
        mirror = Mirror(DATA, stop=HALF, stops=1, total="*")
        get(start(mirror), path)
        assert mirror.requests == [None, f"bytes={HALF}-"]
        assert mirror.sent == SIZE
        assert path.read_bytes() == DATA

    def test_many_small_parts(self, start, path, monkeypatch):
        mirror = Mirror(DATA, stop=SIZE // 30)
        get(start(mirror), path)
        assert len(mirror.requests) == 31
        assert mirror.sent == SIZE
        assert path.read_bytes() == DATA
        path.unlink()
        monkeypatch.setattr(download, "_ROUNDS", 5)
        with pytest.raises(DownloadError, match="broke off again and again"):
            get(start(Mirror(DATA, stop=1000)), path)

    def test_a_file_that_is_replaced_meanwhile_is_started_over(self, start, path):
        class Replaced(Mirror):
            def answer(self, handler):
                if self.requests:
                    self.data = DATA
                super().answer(handler)

        mirror = Replaced(DATA[:2] + bytes(SIZE - 2), stop=HALF, stops=1)
        get(start(mirror), path)
        assert mirror.requests == [None, f"bytes={HALF}-", None]
        assert path.read_bytes() == DATA

    def test_another_file_is_started_over_once(self, start, path):
        mirror = Mirror(DATA[:2] + bytes(SIZE - 2), stop=HALF)
        with pytest.raises(DownloadError, match="it serves another file"):
            get(start(mirror), path)
        assert mirror.sent == 2 * SIZE

    @pytest.mark.parametrize("options", [dict(stop=1000), dict(data=b"<html>" + bytes(SIZE - 6)), dict(status=500)])
    def test_a_server_that_ignores_range_and_fails_loses_nothing(self, start, path, options):
        path.parent.mkdir()
        path.with_name("archive.tar.gz.part").write_bytes(DATA[:HALF])
        bad, good = Mirror(**{"data": DATA, "ranges": False} | options), Mirror(DATA)
        get(start(bad, good), path)
        assert good.requests == [f"bytes={HALF}-"]
        assert path.read_bytes() == DATA

    def test_in_the_next_run(self, start, path):
        broken, mirror = Mirror(DATA, stop=HALF, ranges=False), Mirror(DATA)
        with pytest.raises(DownloadError):
            get([*start(broken), f"http://127.0.0.1:{closed_port()}/a"], path)
        assert names(path) == ["archive.tar.gz.part"]
        get(start(mirror), path)
        assert mirror.requests == [f"bytes={HALF}-"]
        assert mirror.sent == SIZE - HALF
        assert path.read_bytes() == DATA

    def test_a_server_that_ignores_range_starts_over(self, start, path):
        path.parent.mkdir()
        path.with_name("archive.tar.gz.part").write_bytes(DATA[:HALF])
        mirror = Mirror(DATA, ranges=False)
        get(start(mirror), path)
        assert mirror.requests == [f"bytes={HALF}-"]
        assert mirror.sent == SIZE
        assert path.read_bytes() == DATA

    @pytest.mark.parametrize("size", [SIZE, None])
    @pytest.mark.parametrize("part", [b"\x1f\x8b" + bytes(1000), bytes(SIZE), bytes(SIZE + 7)])
    def test_a_wrong_part_costs_time_but_no_address(self, start, path, part, size):
        path.parent.mkdir()
        path.with_name("archive.tar.gz.part").write_bytes(part)
        get(start(Mirror(DATA)), path, size=size)
        assert path.read_bytes() == DATA
        assert names(path) == ["archive.tar.gz"]

    def test_a_whole_part_needs_no_server(self, path):
        path.parent.mkdir()
        path.with_name("archive.tar.gz.part").write_bytes(DATA)
        get([], path)
        assert names(path) == ["archive.tar.gz"]

    def test_a_file_of_another_length_is_not_appended(self, start, path):
        path.parent.mkdir()
        path.with_name("archive.tar.gz.part").write_bytes(DATA[:HALF])
        other, good = Mirror(DATA + b"more"), Mirror(DATA)
        get(start(other, good), path)
        assert (other.requests, good.requests) == ([f"bytes={HALF}-"],) * 2
        assert good.sent == SIZE - HALF
        assert path.read_bytes() == DATA

    @pytest.mark.skipif(download.fcntl is None, reason="needs file locks")
    def test_two_at_once_download_it_once(self, start, path):
        mirror = Mirror(DATA)
        urls = start(mirror)
        threads = [threading.Thread(target=get, args=(urls, path)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mirror.requests == [None]
        assert path.read_bytes() == DATA
        assert names(path) == ["archive.tar.gz"]

    @pytest.mark.skipif(download.fcntl is None, reason="needs file locks")
    @pytest.mark.parametrize("replaced", [True, False])
    def test_a_part_that_another_process_has_finished_is_not_written_to(self, path, replaced, capsys):
        path.parent.mkdir()
        part = path.with_name("archive.tar.gz.part")
        part.write_bytes(b"of the other process")
        with ThreadPoolExecutor(1) as pool:
            with part.open("rb") as other:
                download.fcntl.flock(other, download.fcntl.LOCK_EX)
                waiting = pool.submit(download._open_alone, part, True)
                while "waiting for it" not in capsys.readouterr().err:
                    time.sleep(0.01)
                part.rename(path)
                if replaced:
                    part.write_bytes(b"of a third one")
            with waiting.result(10) as file:
                assert os.path.samestat(os.fstat(file.fileno()), part.stat())
        assert path.read_bytes() == b"of the other process"


class TestSlowServers:
    def test_the_next_address_goes_on_with_it(self, start, path):
        slow, good = Mirror(DATA, pace=(1000, 0.02)), Mirror(DATA)
        get(start(slow, good), path)
        (asked,) = good.requests
        there = int(asked.removeprefix("bytes=").removesuffix("-"))
        assert 0 < there <= 0.5 * SIZE
        assert good.sent == SIZE - there
        assert path.read_bytes() == DATA

    @pytest.mark.parametrize("before", [[], [dict(status=404)]])
    def test_the_only_one_is_waited_for(self, start, path, before):
        slow = Mirror(DATA, pace=(SIZE // 5, 0.05))
        get(start(*(Mirror(DATA, **options) for options in before), slow), path, timeout=0.1, min_speed=1e12)
        assert slow.requests == [None]
        assert path.read_bytes() == DATA

    def test_the_fastest_is_taken_up_again(self, start, path, capsys):
        slow, faster, gone = (
            Mirror(DATA, pace=(10, 0.02)),
            Mirror(DATA, pace=(SIZE // 40, 0.02)),
            Mirror(b"", status=404),
        )
        urls = start(slow, faster, gone)
        get(urls, path, min_speed=1e12, timeout=0.2, progress=True)
        assert path.read_bytes() == DATA
        assert len(gone.requests) == 1
        starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in faster.requests]
        assert 0 < starts[0] < starts[-1]  # nothing that was got is asked for again
        err = capsys.readouterr().err
        assert f"note: {urls[0]}: it is slow: " in err
        assert f"note: {urls[1]}: no address is faster: it is taken up again" in err

    def test_one_that_is_slow_and_then_fails_is_told_once(self, start, path):
        slow, gone = Mirror(DATA, pace=(1000, 0.02), stop=20_000), Mirror(b"", status=404)
        slow.ranges = False
        urls = start(slow, gone)
        with pytest.raises(DownloadError) as caught:
            get(urls, path, timeout=0.1)
        assert [url for url, _ in caught.value.reasons] == urls
        assert "it broke off at 20,000 bytes" in caught.value.reasons[0][1]

    def test_small_parts_are_slow_if_they_come_slowly(self, start, path):
        """The speed counts over all connections to an address, and the time between them counts."""
        slow, good = Mirror(DATA, stop=10_000, then="stall"), Mirror(DATA)
        slow.released.wait = lambda seconds: time.sleep(0.06)  # the stall ends before it counts as one
        get(start(slow, good), path)
        assert 1 < len(slow.requests) < 10
        assert len(good.requests) == 1

    def test_the_speed_by_hand(self, monkeypatch):
        clock = iter([100.0, 104.0, 110.0, 119.0, 120.0, 130.0])
        monkeypatch.setattr(download.time, "monotonic", lambda: next(clock))
        patience = download._Patience(timeout=10, least=50)
        for count in (300, 100, 100, 499, 1):  # 500 in each of two spans of 10 s
            patience.got(count)
        with pytest.raises(
            download._TooSlow, match=r"it is slow: 50 bytes a second for 10\.0 s, fewer than 50"
        ) as caught:
            patience.got(499)
        assert caught.value.speed == 49.9


class TestDisk:
    def test_too_large_is_said_before_the_download(self, start, path):
        mirror = Mirror(DATA)
        with pytest.raises(DownloadError, match=r"does not fit into .*1,000,000,000,000 MB.*free.*make room"):
            get(start(mirror), path, size=10**18)
        assert mirror.requests == []

    @pytest.mark.skipif(os.name == "nt", reason="needs limits of processes")
    def test_a_disk_that_fills_up_is_final(self, start, path):
        first, second = Mirror(DATA), Mirror(DATA)
        code = (
            "import resource, sys; from resnet_edu.download import *\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({HALF}, {HALF}))\n"
            f"fetch({start(first, second)!r}, {str(path)!r}, md5={MD5!r}, size={SIZE}, progress=False)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "DownloadError: archive.tar.gz does not fit into" in done.stderr
        assert str(path.parent) in done.stderr
        assert len(first.requests) == 1
        assert second.requests == []
        assert names(path) == []

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
    def test_no_space_left_on_the_device(self, path):
        path.parent.mkdir()
        with (
            open("/dev/full", "wb", buffering=0) as full,
            pytest.raises(DownloadError, match=r"No space left on device.*it has 1 MB"),
        ):
            download._write(full, DATA, path, SIZE)

    def test_a_folder_that_cannot_be(self, tmp_path, start):
        (tmp_path / "file").write_text("")
        mirror = Mirror(DATA)
        with pytest.raises(DownloadError, match=r"cannot be stored in .*give a folder"):
            get(start(mirror), tmp_path / "file" / "archive.tar.gz")
        assert mirror.requests == []


def test_a_proxy_of_the_environment_is_used(start, path, monkeypatch):
    proxy = Mirror(DATA)
    (address,) = start(proxy)
    monkeypatch.setenv("http_proxy", address.rsplit("/", 1)[0])
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    get(["http://archive.invalid/archive.tar.gz"], path)
    assert path.read_bytes() == DATA
