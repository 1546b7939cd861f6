"""The stride explorer: beside the gradients of the real blocks, and by real clicks and keys."""

import itertools

import javascript
import pytest
from playwright.sync_api import expect
from traitlets import TraitError

from resnet_edu.widgets import StrideExplorer
from resnet_edu.widgets.stride import PARTS, VERSIONS, pixels_read


@pytest.mark.parametrize(("version", "part"), list(itertools.product(VERSIONS, PARTS)))
def test_reads_the_pixels_whose_gradient_is_not_zero(version: str, part: str):
    js = javascript.load("stride").call
    assert js("readByAny", version, part) == pixels_read(version, part).tolist()
    for row, column in ((0, 0), (1, 2), (3, 3)):
        assert js("reads", version, part, row, column) == pixels_read(version, part, row, column).tolist()


def test_the_table_has_the_three_quarters_that_are_dropped():
    text = StrideExplorer().static_html()
    assert "<tr><td>1</td><td>25%</td><td>25%</td><td>25%</td></tr>" in text
    assert "<tr><td>1.5</td><td>100%</td><td>100%</td><td>25%</td></tr>" in text
    assert "<tr><td>D</td><td>100%</td><td>100%</td><td>100%</td></tr>" in text


@pytest.mark.parametrize("values", [{"version": "2"}, {"part": "all"}, {"row": 0}, {"column": 5}])
def test_wrong_values_are_refused(values: dict):
    with pytest.raises(TraitError):
        StrideExplorer(**values)


@pytest.mark.browser
def test_versions_parts_and_pixels_by_mouse_and_keys(explorer_page):
    visit = explorer_page(StrideExplorer())
    root = visit.page.locator(".rx").first
    expect(root).to_contain_text("reads 16 of 64 pixels (25%). The chosen pixel of the output reads 9.")
    root.get_by_role("radio", name="shortcut", exact=True).check()
    expect(root).to_contain_text("reads 16 of 64 pixels (25%). The chosen pixel of the output reads 1.")
    root.get_by_role("radio", name="1: stride").focus()
    for _ in range(2):
        visit.page.keyboard.press("ArrowDown")
    expect(root).to_contain_text("The shortcut of version D reads 64 of 64 pixels (100%).")
    root.locator("svg").nth(1).locator("g").nth(15).click()
    expect(root.get_by_role("textbox", name="Row of the output")).to_have_value("4")
    expect(root.locator("svg").nth(1)).to_have_attribute("aria-label", "Output: row 4, column 4 is chosen")
    assert not visit.complaints
