"""Probe records: written and read again, whole or not at all; what is wrong is named."""

import dataclasses
import json

import pytest
from probe_records import ANSWERS, make

from resnet_edu.experiment.records import RecordError
from resnet_edu.probes import records
from resnet_edu.probes.records import GradientRecord, GradientStudy


@pytest.mark.parametrize("kind", ANSWERS)
def test_save_and_load(kind, tmp_path):
    before = make(kind)
    path = before.save(tmp_path / before.filename)
    assert records.load(path) == before
    values = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert values["probe"] == kind.probe
    assert values["schema"] == records.SCHEMA
    assert path.name == ("gradient-study-digits.json" if kind is GradientStudy else f"{kind.probe}-plain20.json")
    with pytest.raises(FileExistsError, match="give another path"):
        before.save(path)
    assert records.load(path) == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ANSWERS)
def test_each_missing_field_is_named(kind):
    values = make(kind).to_dict()
    for f in dataclasses.fields(kind):
        if f.default is f.default_factory is dataclasses.MISSING:
            with pytest.raises(RecordError, match=f"the record is damaged or was edited: it lacks {f.name}"):
                records.from_dict({k: v for k, v in values.items() if k != f.name})


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (GradientRecord, {"probe": "guess"}, "'probe' must be one of gradients, .*, but it is 'guess'"),
        (GradientRecord, {"schema": 99}, "has schema 99, .*update"),
        (GradientRecord, {"schema": "1"}, "'schema' must be a whole number"),
        (GradientRecord, {"mood": "good"}, "unknown fields: mood"),
    ],
)
def test_what_is_wrong_is_told(kind, changes, message):
    with pytest.raises(RecordError, match=message):
        records.from_dict({**make(kind).to_dict(), **changes})


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x80", '{"schema": 1}', '{"probe": []}'])
def test_no_record_at_all(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordError, match=r"x\.json"):
        records.load(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"x\.json"):
        records.load(path)


def test_rounding():
    assert records.finite(123456.0, 4) == 123500
    assert records.finite(1.23456e-9, 4) == 1.235e-9
    assert [records.finite(v) for v in (float("nan"), float("inf"), 3)] == [None, None, 3.0]
