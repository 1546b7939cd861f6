"""Run records made by hand, for tests of what is done with them."""

from resnet_edu.experiment.records import RunRecord


def make(net="plain20", seed=0, errors=(50.0, 10.0), **changes) -> RunRecord:
    curves = [
        {
            "step": 10 * (i + 1),
            "lr": 0.1,
            "train_loss": e / 50,
            "train_error": e,
            "test_loss": e / 40,
            "test_error": e + 1,
        }
        for i, e in enumerate(errors)
    ]
    values = {
        "net": net,
        "parameters": 269_722,
        "dataset": {"name": "digits", "fingerprint": "ab12", "train": 8, "test": 2, "classes": list("0123456789")},
        "recipe": {"steps": 20, "milestones": [5]},
        "seed": seed,
        "device": {"type": "cpu", "name": "a processor"},
        "threads": 1,
        "curves": curves,
        "seconds": 1.5,
        "date": "2026-01-02T03:04:05+00:00",
        "versions": {"torch": "2.15.0"},
        "code": {"version": "0.1.0", "git": None},
    }
    return RunRecord(**{**values, **changes})
