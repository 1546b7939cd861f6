"""Records of probes made by hand, for tests of what is done with them."""

from resnet_edu.probes.records import (
    GradientRecord,
    GradientStudy,
    IdentityRecord,
    LandscapeRecord,
    LesionRecord,
    ProbeRecord,
    ResponseRecord,
)

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
    LandscapeRecord: {"x": [-1.0, 0.0, 1.0], "loss": [None, 0.1, 3.0], "error": [90.0, 1.0, 60.0]},
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
