"""The identity slider by real keys, beside PyTorch; its arithmetic has its test in test_dissecting_engine.py."""

from __future__ import annotations

import re

import pytest
import torch
from playwright.sync_api import expect
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from traitlets import TraitError

from resnet_edu.data import load
from resnet_edu.data.dataset import Batches
from resnet_edu.experiment import load_trained
from resnet_edu.probes.identity import insert_identities
from resnet_edu.probes.subject import blocks_of
from resnet_edu.widgets import IdentityExplorer

LONG = 60_000  # milliseconds: a busy machine may take a while


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "dense"}, "'kind' trait .*'plain', 'resnet'"),
        ({"percent": 101}, "`percent` must be from 0 to 100, but it is 101"),
    ],
)
def test_wrong_settings_are_told(options: dict, message: str):
    with pytest.raises(TraitError, match=message):
        IdentityExplorer(**options)


def test_only_the_two_nets_of_the_kind_are_sent(monkeypatch: pytest.MonkeyPatch):
    slider, sent = IdentityExplorer(kind="resnet"), []
    assert list(slider.files) == ["resnet20", "resnet56"]
    monkeypatch.setattr(slider, "send", lambda content, buffers: sent.append((content["weights"], len(buffers[0]))))
    for net in ("resnet20", "plain20"):
        slider._handle_custom_msg({"weights": net}, [])
    assert sent == [("resnet20", slider.files["resnet20"]["bytes"])]


@torch.no_grad()
def losses(kind: str) -> dict[str, float]:
    """The losses of the two trained nets on the images of the slider."""
    digits = Batches(load("digits"), "per_pixel_mean", torch.device("cpu"))
    images, labels = digits.normalized(digits.train[0][:40]), digits.train[1][:40]
    nets = {depth: load_trained(f"{kind}{depth}", study="digits") for depth in (20, 56)}
    return {depth: nn.functional.cross_entropy(net(images), labels).item() for depth, net in nets.items()}


@torch.no_grad()
@pytest.mark.parametrize("random", [False, True])
def test_what_chapter_1_says_of_kernels_that_shrink_nothing(random: bool):
    """To "do nothing" a part of other kernels is added: those of plain-56, or random ones of the same norm."""
    digits = Batches(load("digits"), "per_pixel_mean", torch.device("cpu"))
    images, labels = digits.normalized(digits.train[0][:200]), digits.train[1][:200]
    trained, draw, wrong = load_trained("plain56", study="digits"), torch.Generator().manual_seed(0), {}
    for part in (0.05, 0.2, 0.25):
        net = insert_identities(load_trained("plain20", study="digits"), 6)
        for ours, theirs in zip(blocks_of(net).values(), blocks_of(trained).values(), strict=True):
            for block, other in zip(ours[3:], theirs[3:], strict=True):
                for i in "12":
                    conv, norm = getattr(block, f"conv{i}"), getattr(block, f"bn{i}")
                    fused = fuse_conv_bn_eval(getattr(other, f"conv{i}"), getattr(other, f"bn{i}"))
                    kernel, shift = fused.weight, fused.bias
                    if random:
                        drawn, shift = torch.randn(kernel.shape, generator=draw), 0 * shift
                        kernel = drawn * (kernel - conv.weight).norm() / drawn.norm()
                    conv.weight += part * kernel
                    norm.bias += part * shift
        wrong[part] = 100 * (net(images).argmax(1) != labels).float().mean().item()
    assert wrong[0.05] < 10
    assert wrong[0.2] > 50
    assert wrong[0.25] > 80


@pytest.mark.browser
@pytest.mark.parametrize(("kind", "way"), [("plain", "http"), ("resnet", "file")])
def test_the_loss_follows_the_slider(explorer_page, kind: str, way: str):
    visit = explorer_page(IdentityExplorer(kind=kind), way=way)
    page, weights = visit.page, r"() => [...document.scripts].filter((s) => /dissecting\.\w+\.js/.test(s.src)).length"
    story = page.locator(".rx-story")
    expect(story).to_contain_text("MB of weights come into the page")
    assert page.evaluate(weights) == 0
    slider = page.get_by_role("slider", name="From doing nothing to what was learnt")
    slider.press("ArrowRight")
    told = re.compile(r"^1% of the way: loss ([\d.]+), [0-4] of 40 images wrong")
    expect(story).to_have_text(told, timeout=LONG)
    assert page.evaluate(weights) == 3  # the worker and two nets
    near = float(told.match(story.inner_text())[1])
    slider.press("Home")
    expect(story).to_contain_text("18 blocks that do nothing", timeout=LONG)
    start, scratch = map(float, re.findall(r"loss (?:of )?([\d.]+\d)", story.inner_text()))
    expected = losses(kind)
    assert start == pytest.approx(expected[20], rel=0.02)  # written with three digits
    assert scratch == pytest.approx(expected[56], rel=0.02)
    assert near > 1.5 * start if kind == "plain" else near < 1.1 * start
    slider.press("End")
    expect(story).to_contain_text(f"The 18 blocks are those of {kind}56", timeout=LONG)
    everything = re.compile(r"(\d+%: [\d.]+[,.]? ?){16}")  # the rest is computed without being asked for
    expect(page.get_by_role("img", name="Loss along the way")).to_have_attribute("aria-label", everything, timeout=LONG)
    assert not visit.foreign
    assert not visit.complaints
