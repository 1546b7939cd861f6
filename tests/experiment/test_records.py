"""Records: what is written is read again, whole or not at all, and everything that is wrong is told."""

import json
import math
import os
import stat
import subprocess
import sys
from datetime import datetime

import pytest
from run_records import make

from resnet_edu.experiment import records
from resnet_edu.experiment.records import RecordError
from resnet_edu.experiment.shipped import load_grid
from resnet_edu.support.files import write_atomic
from resnet_edu.support.system import code_version, library_versions, now


class TestRoundTrip:
    def test_save_and_load(self, tmp_path):
        before = make()
        path = before.save(tmp_path / before.filename)
        assert path.name == "plain20-seed0.json"
        assert records.load(path) == before
        assert json.loads(path.read_text())["schema"] == records.SCHEMA
        assert json.loads(path.read_text())["final"]["train_error"] == 10.0

    def test_numbers_survive_to_the_last_bit(self, tmp_path):
        before = make(errors=(0.1 + 0.2, 1 / 3, math.pi * 1e-300))
        assert records.load(before.save(tmp_path / "x.json")) == before

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_no_bare_nan(self, tmp_path, value):
        path = make(errors=(value, 10.0)).save(tmp_path / "x.json")
        json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert math.isnan(records.load(path).curves[0]["train_error"])
        assert records.load(path).same_result(make(errors=(value, 10.0)))

    def test_derived(self):
        r = make("resnet110")
        assert (r.kind, r.depth) == ("resnet", 110)
        assert make("mynet").depth == 0
        assert r.curve("test_error") == ([10, 20], [51.0, 11.0])
        with pytest.raises(ValueError, match=r"`metric` must be one of .*, but it is 'accuracy'"):
            r.curve("accuracy")

    def test_load_dir_sorts(self, tmp_path):
        for net, seed in (("resnet56", 0), ("plain110", 0), ("plain20", 1), ("plain20", 0)):
            r = make(net, seed)
            r.save(tmp_path / r.filename)
        found = [(r.net, r.seed) for r in records.load_dir(tmp_path)]
        assert found == [("plain20", 0), ("plain20", 1), ("plain110", 0), ("resnet56", 0)]


class TestWriting:
    def test_nothing_is_overwritten(self, tmp_path):
        path = make().save(tmp_path / "x.json")
        with pytest.raises(FileExistsError, match=r"x\.json exists"):
            make(seed=1).save(path)
        assert records.load(path).seed == 0

    def test_a_failed_write_leaves_nothing(self, tmp_path):
        with pytest.raises(TypeError):
            make(recipe={"steps": {1, 2}}).save(tmp_path / "x.json")  # a set is no JSON
        assert list(tmp_path.iterdir()) == []

    def test_a_write_that_breaks_off_leaves_the_old_file(self, tmp_path):
        path = make().save(tmp_path / "x.json")
        # a real full disk: no file of the child may grow beyond 100 bytes
        code = (
            "import resource, signal, sys; from pathlib import Path; from resnet_edu.support.files import write_atomic;"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
            f"write_atomic(Path({str(path)!r}), b'x' * 5000)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert f"cannot write {path} (File too large): make room on its disk, or see that" in done.stderr
        assert records.load(path) == make()
        assert [p.name for p in tmp_path.iterdir()] == ["x.json"]

    def test_it_is_on_the_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        """Or a power cut would leave an empty file by the right name, and nothing of the old one."""
        called = []
        for name in ("fsync", "replace"):
            real = getattr(os, name)

            def noted(*arguments, name=name, real=real):
                called.append((name, os.fstat(arguments[0]).st_size if name == "fsync" else str(arguments[1])))
                return real(*arguments)

            monkeypatch.setattr(os, name, noted)
        write_atomic(tmp_path / "x", b"12345")
        assert called == [("fsync", 5), ("replace", str(tmp_path / "x"))]

    def test_the_error_has_the_systems_words(self, tmp_path):
        with pytest.raises(OSError) as caught:
            write_atomic(tmp_path / "nowhere" / "x", b"")
        assert str(caught.value).startswith(f"cannot write {tmp_path / 'nowhere' / 'x'} (No such file or directory): ")

    @pytest.mark.skipif(os.name == "nt", reason="no permission bits")
    def test_others_may_read_it(self, tmp_path):
        assert stat.S_IMODE(make().save(tmp_path / "x.json").stat().st_mode) == 0o644


def fails(tmp_path, content: object, *words: str) -> None:
    """Reading a file with this content says what is wrong with it, and names it."""
    path = tmp_path / "bad.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(RecordError) as caught:
        records.load(path)
    for word in ("bad.json", *words):
        assert word in str(caught.value)


class TestDamage:
    @pytest.mark.parametrize("content", [json.dumps(make().to_dict()).encode()[:200], b"\xff\xfe\x00"])
    def test_no_json(self, tmp_path, content):
        fails(tmp_path, content, "damaged", "no JSON")

    @pytest.mark.parametrize("content", [[], 3, {}, {"net": "x"}])
    def test_something_else(self, tmp_path, content):
        fails(tmp_path, content, "'schema'")

    @pytest.mark.parametrize("name", ["net", "curves", "seed", "dataset"])
    def test_missing_field(self, tmp_path, name):
        values = make().to_dict()
        del values[name]
        fails(tmp_path, values, f"lacks {name}")

    @pytest.mark.parametrize(
        ("name", "value", "word"),
        [
            ("schema", 2, "schema 2"),
            *(("schema", wrong, "'schema' must be a whole number") for wrong in (0, -1, "1", True, None)),
            ("acuracy", 1, "unknown fields: acuracy"),
            ("curves", [], "'curves' must be evaluations"),
            ("curves", [{"step": 1}], "'curves' must be evaluations, each with step, lr"),
        ],
    )
    def test_wrong_field(self, tmp_path, name, value, word):
        values = make().to_dict()
        del values["final"]
        fails(tmp_path, {**values, name: value}, word)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            records.load(tmp_path / "x.json")
        with pytest.raises(FileNotFoundError, match="holds no record"):
            records.load_dir(tmp_path)
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            records.load_dir(tmp_path / "nowhere")


class TestComparing:
    def test_same_result_ignores_when_how_fast_and_from_which_checkout(self):
        other = make(seconds=99.0, date="2030-01-01T00:00:00+00:00", code={"version": "0.2", "git": "abc"})
        assert make().same_result(other)

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 1},
            {"errors": (50.0, 10.000000000000002)},
            {"recipe": {"steps": 21}},
            {"threads": 2},
            {"versions": {"torch": "2.4.0"}},
            {"device": {"type": "cuda", "name": "a card"}},
            {"options": {"width": 32}},
            {"start": "ImageNet"},
        ],
    )
    def test_and_nothing_else(self, change):
        assert not make().same_result(make(**change))
        assert not make(**change).same_result(make())

    def test_records_that_do_not_belong_together(self):
        other = make("plain56", dataset={**make().dataset, "fingerprint": "other"})
        with pytest.raises(RecordError, match=r"plain20 \(seed 0\) and plain56 \(seed 0\) differ in their dataset"):
            records.check_comparable([make(), other])
        with pytest.raises(RecordError, match="differ in their recipe"):
            records.check_comparable([make(), make("plain56", recipe={"steps": 9})])
        several = make(seed=1, device={"type": "cpu", "name": "a processor", "processes": 2})
        odd = make(seed=1, options={"shortcut": "projection"})
        with pytest.raises(
            RecordError, match=r"plain20 \(seed 0\) and plain20 \(seed 1\) differ in their net's options"
        ):
            records.check_comparable([make("plain56"), make(), odd])
        assert records.check_comparable([make("plain56"), odd])  # of two nets, one may need them
        with pytest.raises(RecordError, match="differ in their weights to start from"):
            records.check_comparable([make(), make(seed=1, start="plain20 trained on digits")])
        with pytest.raises(RecordError, match="differ in their number of processes"):
            records.check_comparable([make(), several])
        assert records.check_comparable([several, make(device=several.device)])
        with pytest.raises(RecordError, match="plain20 with seed 0 occurs twice"):
            records.check_comparable([make(), make()])
        with pytest.raises(RecordError, match="there are no records"):
            records.check_comparable([])


class TestProvenance:
    def test_versions(self):
        import torch

        found = library_versions()
        assert found["python"] == ".".join(map(str, sys.version_info[:3]))
        assert found["torch"] == torch.__version__.split("+")[0]

    def test_git_names_the_commit_of_our_own_checkout_only(self, root, tmp_path):
        found = code_version()
        if not (root / ".git").exists():
            pytest.skip("this is no checkout")
        head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
        assert head.startswith(found["git"].removesuffix("-dirty"))
        # the package installed inside somebody else's checkout: a commit of theirs is none of ours
        for name in ("__init__.py", "support/__init__.py", "support/system.py", "support/validate.py"):
            (tmp_path / "resnet_edu" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "resnet_edu" / name).write_bytes((root / "resnet_edu" / name).read_bytes())
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        code = "from resnet_edu.support import system as s; print(s.__file__, s.code_version()['git'])"
        alone = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=alone, capture_output=True, text=True)
        assert done.stdout.split() == [str(tmp_path / "resnet_edu" / "support" / "system.py"), "None"]

    def test_date_is_utc(self):
        assert datetime.fromisoformat(now()).utcoffset().total_seconds() == 0


def test_a_data_sets_name_in_words():
    assert records.dataset_words("digits") == "digits"
    (name,) = {r.dataset["name"] for r in load_grid()[0.01]}
    assert records.dataset_words(name) == "digits (237 training images held out, and tested on)"
