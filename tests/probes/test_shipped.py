"""The probe records that come with the package: whole, small, and what chapter 1 says of the gradients."""

import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_edu import probes
from resnet_edu.data import dataset as data
from resnet_edu.experiment import shipped
from resnet_edu.experiment.degradation import build_net
from resnet_edu.probes import records as probe_records
from resnet_edu.probes.records import GradientStudy

DEPTHS = (8, 14, 20, 32, 44, 56, 110)


@pytest.fixture(scope="module")
def study() -> GradientStudy:
    return probes.load_shipped("gradient-study-digits")


def net_of(study: GradientStudy, name: str, batch_norm: bool = True) -> dict:
    return next(n for n in study.nets if n["net"] == name and n["batch_norm"] is batch_norm)


def test_small_enough_for_a_page():
    files = list(probe_records.SHIPPED.glob("*.json"))
    assert len(files) == 5
    assert sum(p.stat().st_size for p in files) < 60_000


def test_the_whole_grid(study):
    assert study.steps == [0, 1, 20]
    assert len(study.seeds) >= 3
    assert (study.training["lr"], study.training["batch_size"]) == (0.1, 128)
    assert study.dataset["fingerprint"] == data.load("digits").fingerprint
    found = {(n["kind"], n["depth"], n["batch_norm"]) for n in study.nets}
    assert found == {(kind, d, bn) for kind in ("plain", "resnet") for d in DEPTHS for bn in (True, False)}
    for net in study.nets:
        for step, moment in zip(study.steps, net["moments"], strict=True):
            assert moment["norms"] is None or len(moment["norms"]) == net["depth"]
            for loss, diverged in zip(moment["loss"], net["diverged"], strict=True):
                assert (loss is None) == (diverged is not None and diverged <= step)


def test_the_first_number_is_that_of_a_textbook_loop(study):
    """Autograd on a fresh net and the images that the record's seed draws."""
    digits = data.load("digits")
    chosen = torch.randperm(len(digits.train_images), generator=torch.Generator().manual_seed(0))[:128]
    x = digits.train_images.float() / 255
    for batch_norm in (True, False):
        net = build_net("plain8", digits, 0, batch_norm=batch_norm).train()
        loss = F.cross_entropy(net((x - x.mean(0))[chosen]), digits.train_labels[chosen])
        loss.backward()
        convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
        moment = net_of(study, "plain8", batch_norm)["moments"][0]
        assert moment["loss"][0] == pytest.approx(loss.item(), rel=1e-3)
        assert moment["first"][0] == pytest.approx(convolutions[0].weight.grad.norm().item(), rel=1e-2)
        assert moment["last"][0] == pytest.approx(convolutions[-1].weight.grad.norm().item(), rel=1e-2)


def test_chapter_1_on_plain_56(study):
    """With batch norm its gradient explodes towards the image, and after 20 steps it has turned round."""
    start, _, after = net_of(study, "plain56")["moments"]
    for first, last in zip(start["first"], start["last"], strict=True):
        assert first > 100 * last
    for first, last in zip(after["first"], after["last"], strict=True):
        assert first < last
    assert after["norms"][0] < 0.1 * after["norms"][-2]  # medians over the seeds; the last one is the linear layer's


@pytest.mark.parametrize("name", ["plain20", "resnet20", "plain56", "resnet56"])
def test_identities_change_nothing(name):
    record = probes.load_shipped(f"identity-{name}")
    assert record.points[-1]["depth"] == 110
    trained, start = shipped.load_record(name, study="digits"), record.points[0]
    assert record.dataset["fingerprint"] == trained.dataset["fingerprint"]
    assert start["parameters"] == trained.parameters
    # the shipped weights are rounded to 11 bits
    assert start["train_error"] == pytest.approx(trained.final["train_error"], abs=0.5)
    assert math.log(start["train_loss"]) == pytest.approx(math.log(trained.final["train_loss"]), abs=0.1)
    for point in record.points:
        assert point["change"] <= 1e-5 * record.logit
        for key in ("train_loss", "train_error", "test_loss", "test_error"):
            assert point[key] == pytest.approx(start[key], rel=1e-5)


def test_a_deeper_solution_that_the_shipped_runs_did_not_reach():
    """Section 1 of the paper, in numbers: plain-20 with 36 layers of identities against plain-56 as trained."""
    point = next(p for p in probes.load_shipped("identity-plain20").points if p["depth"] == 56)
    trained = [r.final for r in shipped.load_records("digits") if r.net == "plain56"]
    assert point["train_error"] < 0.1 * statistics.fmean(final["train_error"] for final in trained)
    assert point["train_loss"] < 0.5 * statistics.fmean(final["train_loss"] for final in trained)


def test_a_name_that_is_not_there():
    with pytest.raises(ValueError, match=r"`name` must be one of 'gradient-study-digits', .* but it is 'moon'"):
        probes.load_shipped("moon")
