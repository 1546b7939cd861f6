"""Probe records: written and read again, whole or not at all; what is wrong is told."""

import dataclasses
import json

import pytest

from resnet_edu import probe_records
from resnet_edu.probe_records import (
    GradientRecord,
    GradientStudy,
    IdentityRecord,
    LandscapeRecord,
    LesionRecord,
    ProbeRecord,
    ResponseRecord,
)
from resnet_edu.records import RecordError

HEADER = {
    "net": "plain20",
    "weights": "seed 0",
    "parameters": 269_722,
    "batch_norm": True,
    "dataset": {"name": "digits", "fingerprint": "ab12", "part": "train", "images": 128},
    "seed": 0,
    "device": {"type": "cpu", "name": "a processor"},
    "threads": 1,
    "seconds": 1.5,
    "date": "2026-01-02T03:04:05+00:00",
    "versions": {"torch": "2.15.0"},
    "code": {"version": "0.1.0", "git": None},
}
ANSWERS = {
    GradientRecord: {
        "layers": ["conv1", "fc"],
        "training": {"lr": 0.1},
        "moments": [
            {"step": 0, "loss": 2.3, "norms": [0.1 + 0.2, 1e-7], "lengths": [1.0, 2.0]},
            {"step": 20, "loss": 1.5, "norms": [50.0, None], "lengths": [1.0, 2.0]},
        ],
        "diverged": 21,
    },
    ResponseRecord: {"layers": ["conv1", "layer1.0.conv1"], "deviations": [1.25, 0.5]},
    LesionRecord: {
        "loss": 0.1,
        "error": 2.0,
        "drops": [
            {"block": "layer1.0", "loss": 1.0, "error": 40.0},
            {"block": "layer2.0", "loss": None, "error": None},
        ],
        "shuffles": [{"swaps": 1, "tau": 0.9, "loss": 0.5, "error": 10.0}],
    },
    LandscapeRecord: {"x": [-1.0, 0.0, 1.0], "y": [0.0], "loss": [[None, 0.1, 3.0]], "error": [[90.0, 1.0, 60.0]]},
    IdentityRecord: {
        "points": [
            {"added": a, "depth": 20 + 6 * a, "train_loss": 0.01, "change": 0.0, "parameters": 1} for a in (0, 1)
        ],
        "logit": 12.0,
    },
    GradientStudy: {
        "net": "many",
        "training": {"lr": 0.1},
        "steps": [0, 1],
        "seeds": [0, 1],
        "nets": [
            {
                "net": f"{kind}{depth}",
                "kind": kind,
                "depth": depth,
                "batch_norm": bn,
                "diverged": [None, None] if bn else [1, 1],
                "moments": [
                    {"norms": [5.0, 1.0], "loss": [2.0, 2.0], "first": [5.0, 7.0], "last": [2.0, 2.0]},
                    {"norms": [2.0, 1.0], "loss": [2.0, 2.0], "first": [2.0, 2.0], "last": [1.0, 1.0]}
                    if bn
                    else {"norms": None, "loss": [None] * 2, "first": [None] * 2, "last": [None] * 2},
                ],
            }
            for kind in ("plain", "resnet")
            for depth in (8, 20)
            for bn in (True, False)
        ],
    },
}


def make(kind: type[ProbeRecord], **changes) -> ProbeRecord:
    return kind(**{**HEADER, **ANSWERS[kind], **changes})


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
    with pytest.raises(FileNotFoundError, match=r"there is no record at .*x\.json"):
        probe_records.load(tmp_path / "x.json")


def test_rounding():
    assert probe_records.finite(123456.0, 4) == 123500
    assert probe_records.finite(1.23456e-9, 4) == 1.235e-9
    assert [probe_records.finite(v) for v in (float("nan"), float("inf"), 3)] == [None, None, 3.0]
