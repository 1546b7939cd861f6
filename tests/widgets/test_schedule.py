"""The schedule explorer: beside torch's own schedulers and the package's recipe, and by real clicks and keys."""

import re

import javascript
import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch.optim import lr_scheduler
from traitlets import TraitError

from resnet_edu import Recipe
from resnet_edu.widgets import ScheduleExplorer

SETTINGS = ("shape", "peak", "steps", "first", "second", "warmup")


def in_javascript(explorer: ScheduleExplorer) -> list[float]:
    settings = {name: getattr(explorer, name) for name in SETTINGS}
    js = javascript.load("schedule").call
    return [js("rateAt", settings, done) for done in range(explorer.steps)]


def by_torch(make, steps: int) -> list[float]:
    """The rates that one of torch's schedulers gives an optimizer with a rate of 0.1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


def warm(optimizer):
    rise = lr_scheduler.LinearLR(optimizer, start_factor=0.05, end_factor=1.0, total_iters=19)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, 100)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], [20])


@pytest.mark.parametrize(
    ("values", "make"),
    [
        ({}, lambda o: lr_scheduler.MultiStepLR(o, [60, 90])),
        ({"first": 33, "second": 33}, lambda o: lr_scheduler.MultiStepLR(o, [39], gamma=0.01)),
        ({"shape": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, 120)),
        ({"shape": "constant"}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        ({"shape": "cosine", "warmup": 20}, warm),
    ],
)
def test_rates_are_those_of_torchs_schedulers(values: dict, make):
    explorer = ScheduleExplorer(**{"steps": 120, **values})
    wanted = by_torch(make, 120)
    np.testing.assert_allclose(explorer.rates(), wanted, rtol=1e-9)
    np.testing.assert_allclose(in_javascript(explorer), wanted, rtol=1e-9)


def test_it_begins_with_the_papers_recipe():
    paper, explorer = Recipe.paper(), ScheduleExplorer()
    np.testing.assert_allclose(explorer.rates(), [paper.lr_at(step) for step in range(paper.steps)], rtol=1e-9)
    settings = {name: getattr(explorer, name) for name in SETTINGS}
    counts = javascript.load("schedule").call("counts", settings)
    assert counts == [
        ["0.05 and more", 32_000],
        ["0.01 to 0.05", 16_000],
        ["0.001 to 0.01", 16_000],
        ["below 0.001", 0],
    ]
    text = explorer.static_html()
    for name, count in counts:
        assert f"{name}</th>" in text or f"{name}</td>" in text
        assert f">{count:,}<" in text


@pytest.mark.parametrize("values", [{"shape": "line"}, {"peak": 1.0}, {"steps": 0}, {"first": 101}, {"update": 0}])
def test_wrong_values_are_refused(values: dict):
    with pytest.raises(TraitError):
        ScheduleExplorer(**values)


@pytest.mark.browser
def test_shapes_falls_and_updates_by_mouse_and_keys(explorer_page):
    visit = explorer_page(ScheduleExplorer())
    root = visit.page.locator(".rx").first
    expect(root).to_contain_text("Update 32,001 of 64,000 is made at a rate of 0.01.")
    root.get_by_role("textbox", name="Read the rate at update").fill("32000")
    expect(root).to_contain_text("Update 32,000 of 64,000 is made at a rate of 0.1.")
    for steps, update in ((100, "100"), (64_000, "32000")):  # the field says what the sentence says
        root.get_by_role("textbox", name="Updates in all").fill(str(steps))
        expect(root).to_contain_text(f"Update {int(update):,} of {steps:,} is made")
        expect(root.get_by_role("textbox", name="Read the rate at update")).to_have_value(update)
    root.get_by_role("textbox", name="First fall").fill("25")
    expect(root).to_contain_text("Update 32,000 of 64,000 is made at a rate of 0.01.")
    root.get_by_role("radio", name="steps").focus()
    visit.page.keyboard.press("ArrowDown")
    expect(root).to_contain_text("at a rate of 0.05")
    expect(root.get_by_role("textbox", name="First fall")).to_be_hidden()
    expect(root.get_by_role("img").first).to_have_attribute("aria-label", re.compile("0.05 and more: 32,001"))
    assert not visit.complaints
