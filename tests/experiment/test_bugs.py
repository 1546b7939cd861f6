"""What the bugs of chapter 10 cost: the record that comes with the package, and how it is made."""

import json

import bugs
import pytest
import torch

from resnet_edu.experiment.shipped import load_bugs


def test_the_record_has_every_bug_and_every_seed():
    record = load_bugs()
    assert list(record["costs"]) == [bug.__name__ for bug in bugs.MEASURED]
    assert len(record["error"]) == bugs.SEEDS
    for name, (mild, worse) in record["costs"].items():
        assert len(mild) == bugs.SEEDS
        assert len(worse) == (bugs.DEEP_SEEDS if name in ("relu", "projection") else bugs.SEEDS)
    assert {len(curve) for curve in record["curves"]["steps_on_test"]} == {bugs.EPOCHS}


def test_the_record_is_made_of_what_the_seeds_left(tmp_path, monkeypatch):
    record = load_bugs()
    for seed, error in enumerate(record["error"]):
        costs = {n: [c[seed] if seed < len(c) else None for c in both] for n, both in record["costs"].items()}
        curves = record["curves"] if seed == 0 else {}
        (tmp_path / f"seed-{seed}.json").write_text(json.dumps({"error": error, "costs": costs, "curves": curves}))
    monkeypatch.setattr(bugs, "FOLDER", tmp_path)
    monkeypatch.setattr(bugs, "RESULTS", tmp_path)
    bugs.main()
    assert load_bugs(tmp_path) == record


def test_one_wrong_image_in_the_last_batch_counts_for_a_quarter():
    """Of 385 images w are wrong, one of them alone in the last of four batches."""
    possible = [(3 * 100 * (w - 1) / 384 + 100) / 4 - 100 * w / 385 for w in range(1, 40)]
    for off in load_bugs()["costs"]["batch_means"][1]:
        assert min(abs(off - p) for p in possible) < 1e-3


def test_exchanged_labels_show_the_number_of_an_epoch_as_the_error():
    """The first epoch has the number 0. The eight mild runs have 400 test images, so true errors are quarters."""
    record = load_bugs()
    mild, worse = record["costs"]["axes"]
    assert mild[0] == -record["curves"]["test"][-1]
    assert all((4 * off).is_integer() for off in mild + worse)
    assert max(worse) < -20


def test_a_random_crop_is_a_part_of_the_image_at_the_old_size():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(2000, 1, 8, 8)
    steps = bugs.cropped(ramp, torch.Generator().manual_seed(0)).diff(dim=3)
    assert (steps >= 0).all()
    width = steps.flatten(1).median(1).values  # of the part, in images
    assert (0.08 * 3 / 4) ** 0.5 - 0.01 < width.min() < 0.3
    assert width.max() == pytest.approx(1, abs=0.01)


def test_a_move_shows_the_image_itself_or_its_neighbours():
    images = torch.rand(50, 1, 8, 8)
    inner = bugs.moved(images, torch.Generator().manual_seed(0))[:, 0, 1:7, 1:7]
    near = torch.stack([images[:, 0, 1 + i : 7 + i, 1 + j : 7 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    assert (near == inner).all(dim=(2, 3)).any(dim=0).all()
