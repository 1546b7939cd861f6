"""Probe records: written and read again, whole or not at all; what is wrong is told."""

import dataclasses
import json

import pytest
from probe_records import ANSWERS, make

from resnet_edu.experiment.records import RecordError
from resnet_edu.probes import records as probe_records
from resnet_edu.probes.records import (
    GradientRecord,
    GradientStudy,
    LandscapeRecord,
    ResponseRecord,
)


@pytest.mark.parametrize("kind", ANSWERS)
def test_save_and_load(kind, tmp_path):
    before = make(kind)
    path = before.save(tmp_path / before.filename)
    assert probe_records.load(path) == before
    values = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert values["probe"] == kind.probe
    assert values["schema"] == probe_records.SCHEMA
    assert path.name == ("gradient-study-digits.json" if kind is GradientStudy else f"{kind.probe}-plain20.json")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        before.save(path)
    assert make(kind, seed=1).save(path, overwrite=True)
    assert probe_records.load(path).seed == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ANSWERS)
def test_each_missing_field_is_named(kind):
    values = make(kind).to_dict()
    for f in dataclasses.fields(kind):
        if f.default is f.default_factory is dataclasses.MISSING:
            with pytest.raises(RecordError, match=f"the record is damaged or was edited: it lacks {f.name}"):
                probe_records.from_dict({k: v for k, v in values.items() if k != f.name})


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (GradientRecord, {"probe": "guess"}, "'probe' must be one of gradients, .*, but it is 'guess'"),
        (GradientRecord, {"schema": 99}, "has schema 99, .* update resnet_edu"),
        (GradientRecord, {"schema": "1"}, "'schema' must be a whole number"),
        (GradientRecord, {"mood": "good"}, "unknown fields: mood"),
        (GradientRecord, {"layers": ["conv1"]}, "step 0 has 2 norms, not 1"),
        (GradientRecord, {"dataset": {"name": "digits"}}, "there is no 'fingerprint'"),
        (GradientRecord, {"moments": [{"step": 0}]}, "there is no 'norms'"),
        (ResponseRecord, {"deviations": [1.0]}, "1 deviations for 2 layers"),
        (LandscapeRecord, {"x": [0.0]}, "'loss' must have 1 rows of 1 values"),
        (GradientStudy, {"steps": [0]}, "plain8 has 2 moments, not 1"),
        (GradientStudy, {"seeds": [0]}, "plain8 has 2 of 'loss', not 1"),
    ],
)
def test_what_is_wrong_is_told(kind, changes, message):
    with pytest.raises(RecordError, match=message):
        probe_records.from_dict({**make(kind).to_dict(), **changes})


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x80", '{"schema": 1}'])
def test_no_record_at_all(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordError, match=r"x\.json"):
        probe_records.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*x\.json"):
        probe_records.load(tmp_path / "x.json")


def test_rounding():
    assert probe_records.finite(123456.0, 4) == 123500
    assert probe_records.finite(1.23456e-9, 4) == 1.235e-9
    assert [probe_records.finite(v) for v in (float("nan"), float("inf"), 3)] == [None, None, 3.0]
