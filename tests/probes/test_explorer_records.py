"""The records of the explorers: a study by single measurements, a block's branch by hand and by what must hold."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explorer_records import EDGES, describe, gradient_study, main, measure_branches, run_block

from resnet_edu import probes
from resnet_edu.data.dataset import load
from resnet_edu.experiment.degradation import build_net
from resnet_edu.probes.records import BRANCHES, load_branches
from resnet_edu.training.recipe import Recipe


def test_numbers_of_a_block_by_hand():
    x = torch.tensor([0.0, 1.0, 2.0, 3.0])
    branch = torch.tensor([-9.0, -0.5, 0.0, 1.25])  # one below the last edge, one zero
    found = describe(x, branch, torch.relu(x + branch))  # 0, 0.5, 2, 4.25
    assert found["values"] == 4
    assert found["zeros"] == 1
    assert {float(EDGES[i]): c for i, c in enumerate(found["counts"]) if c} == {-4.0: 1, -0.5: 1, 1.25: 1}
    assert found["negative"] == 0.5
    assert found["lowered"] == 0.25
    assert found["correlation"] == pytest.approx(np.corrcoef([0, 1, 2, 3], [0, 0.5, 2, 4.25])[0, 1])
    assert (found["input_mean"], found["output_mean"]) == (1.5, 1.6875)


def test_what_is_seen_at_a_block_is_what_its_layers_give():
    digits, net = load("digits"), build_net("resnet8", load("digits"), seed=0)
    block = net.layer1[0]
    x, branch, y = run_block(net, block, digits, Recipe.digits())
    with torch.no_grad():
        block.eval()
        expected = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    torch.testing.assert_close(branch, expected)
    torch.testing.assert_close(y, F.relu(expected + x))
    assert len(x) == len(digits.test_images)
    assert not block._forward_hooks
    assert not block.bn2._forward_hooks


@pytest.fixture(scope="module")
def small() -> dict:
    return measure_branches(depth=8, steps=4, seed=3, block="layer1.0")


def test_a_relu_before_the_addition_leaves_nothing_to_take_away(small: dict):
    after, before, none = small["measured"]
    assert [one["variant"] for one in small["measured"]] == list(BRANCHES)
    assert before["negative"] == before["lowered"] == 0
    assert before["output_mean"] > before["input_mean"]
    assert 0.2 < after["negative"] < 0.8
    assert after["lowered"] > 0.1
    assert abs(none["correlation"]) < 0.3 < after["correlation"]


def test_one_seed_gives_the_same_numbers(small: dict):
    assert measure_branches(depth=8, steps=4, seed=3, block="layer1.0")["measured"] == small["measured"]


def test_the_record_of_the_package_is_whole(small: dict):
    record = load_branches()
    assert set(record) == set(small)
    for one, fresh in zip(record["measured"], small["measured"], strict=True):
        assert set(one) == set(fresh)
        assert sum(one["counts"]) + one["zeros"] == one["values"] == record["images"] * 32 * 4 * 4  # of layer2
        share_below = sum(one["counts"][: len(EDGES) // 2]) / one["values"]
        assert one["negative"] == pytest.approx(share_below, abs=1e-9)


def test_a_block_that_is_not_there_or_changes_the_shape_is_named():
    for wrong in ("layer9.0", "layer2.0", "conv1"):
        with pytest.raises(ValueError, match=f"`block` must be one of 'layer1.0', but it is '{wrong}'"):
            measure_branches(depth=8, steps=1, block=wrong)
    with pytest.raises(ValueError, match="`depth` must be 6n"):
        measure_branches(depth=9)


def test_a_study_is_made_of_single_measurements():
    digits = load("digits")
    study = gradient_study(digits, (8,), (0, 1), seeds=3, batch_size=64)
    assert [(n["net"], n["batch_norm"]) for n in study.nets] == [
        ("plain8", True), ("resnet8", True), ("plain8", False), ("resnet8", False)
    ]  # fmt: skip
    net = study.nets[3]
    nets = [build_net("resnet8", digits, seed, batch_norm=False) for seed in range(3)]
    subjects = [probes.Subject("resnet8", net, digits, seed=seed) for seed, net in enumerate(nets)]
    single = [probes.gradients(s, (0, 1), recipe=Recipe(1, batch_size=64), images=64) for s in subjects]
    last_conv = single[0].layers.index("layer3.0.conv2")
    for i, moment in enumerate(net["moments"]):
        assert moment["loss"] == pytest.approx([r.moments[i]["loss"] for r in single], rel=1e-3)
        assert moment["first"] == pytest.approx([r.moments[i]["norms"][0] for r in single], rel=1e-3)
        assert moment["last"] == pytest.approx([r.moments[i]["norms"][last_conv] for r in single], rel=1e-3)
        middle = [sorted(norms)[1] for norms in zip(*(r.moments[i]["norms"] for r in single), strict=True)]
        assert moment["norms"] == pytest.approx(middle, rel=1e-3)
    assert net["diverged"] == [None] * 3


def test_a_study_keeps_those_that_blow_up():
    digits = load("digits")
    study = gradient_study(digits, (8,), (0, 3), seeds=2, lr=1e6, batch_size=32)
    net = next(n for n in study.nets if n["net"] == "resnet8" and not n["batch_norm"])
    assert all(1 <= step <= 3 for step in net["diverged"])
    assert net["moments"][1] == {"norms": None, "loss": [None] * 2, "first": [None] * 2, "last": [None] * 2}


@pytest.mark.slow
def test_the_tool_leaves_all_records(tmp_path, monkeypatch):
    monkeypatch.setattr("explorer_records.measure_branches", lambda: measure_branches(8, 1, block="layer1.0"))
    monkeypatch.setattr(
        "explorer_records.gradient_study", lambda digits, _: gradient_study(digits, (8,), (0, 1), seeds=1)
    )
    monkeypatch.setattr("explorer_records.available_cores", lambda: 1)
    assert main(["--out", str(tmp_path), "--depths", "8", "26"]) == 0
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["branches.json", "gradient-study-digits.json", "identity-plain20.json", "identity-resnet20.json"]
    assert [p["depth"] for p in probes.load(tmp_path / "identity-plain20.json").points] == [20, 26]
