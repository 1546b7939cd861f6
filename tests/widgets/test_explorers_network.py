"""The network explorer in a real browser: it shows what the tracer says, whatever is clicked, typed or dragged."""

import pytest
import torch
import torchvision
from browser import DESKTOP, PHONE, Visit, settled
from playwright.sync_api import Page, expect
from torch import nn

from resnet_edu.nets.blocks import ShapeMismatchError
from resnet_edu.tracing.run import TraceError
from resnet_edu.widgets import NetworkExplorer

pytestmark = pytest.mark.browser

ROWS = """root => [...root.querySelectorAll(".rx-layers tbody:not(.rx-fail) tr")].map(tr =>
  [...tr.children].map(cell => cell.firstChild.data))"""


def choose(page: Page, label: str, value: str) -> None:
    """Choose from a list, or one of several words, by its label."""
    field = page.get_by_label(label, exact=True)
    if field.evaluate("e => e.tagName") == "SELECT":
        field.select_option(value)
    else:
        field.check()
    settled(page)


def totals(page: Page, nth: int = 0) -> list[str]:
    return page.locator(".rx").nth(nth).locator(".rx-total strong").all_inner_texts()


def same_rows(page: Page, explorer: NetworkExplorer, nth: int = 0) -> None:
    """The table, cell by cell, is that of the tracer."""
    result = explorer.trace()
    shown = page.locator(".rx").nth(nth).evaluate(ROWS)
    for row, r in zip(shown, result.rows, strict=True):
        shape = "x".join(map(str, r.outputs[0]))
        assert row[:6] == [r.path, shape, f"{r.params:,}", f"{r.macs:,}", r.kind, str(r.index)]
        assert row[7] == f"{r.activation_bytes:,}"
    assert [row[8] for row in shown] == [str(r.receptive_field or "") for r in result.rows]
    numbers = (result.total_params, result.total_macs, result.total_activation_bytes, len(result.additions))
    assert totals(page, nth) == [f"{v:,}" for v in numbers]


@pytest.fixture
def resnet18(explorer_page) -> Visit:
    visit = explorer_page(NetworkExplorer("resnet18"))
    yield visit
    assert not visit.complaints
    assert not visit.foreign


def test_every_choice_shows_the_table_of_the_tracer(resnet18: Visit):
    page = resnet18.page
    explorer = NetworkExplorer("resnet18")
    same_rows(page, explorer)
    choose(page, "Depth (layers)", "152")
    explorer.depth = 152
    same_rows(page, explorer)
    assert "+48,503,296 (+415%)" in page.locator(".rx-total").first.inner_text()
    assert "ResNet-18, 1x3x224x224" in page.locator(".rx-versus").inner_text()
    choose(page, "Shortcut", "zero_pad")
    choose(page, "1×1 (the paper)", "")
    explorer.shortcut, explorer.stride_on = "zero_pad", "1x1"
    same_rows(page, explorer)
    page.get_by_text("More settings").click()
    choose(page, "3×3", "")
    explorer.stem = "cifar"
    same_rows(page, explorer)
    choose(page, "CIFAR-10", "")
    same_rows(page, NetworkExplorer("resnet20"))
    choose(page, "plain", "")
    same_rows(page, NetworkExplorer("plain20"))


def test_two_views_of_one_explorer_follow_each_other(explorer_page):
    """All that one sets is set before the other looks: ImageNet's family has no net of 20 layers."""
    explorer = NetworkExplorer("resnet20")
    visit = explorer_page(explorer, explorer)
    visit.page.get_by_label("ImageNet", exact=True).first.check()
    settled(visit.page)
    for nth in range(2):
        same_rows(visit.page, NetworkExplorer("resnet50"), nth)
    visit.page.get_by_label("CIFAR-10", exact=True).nth(1).check()
    settled(visit.page)
    for nth in range(2):
        same_rows(visit.page, explorer, nth)
    assert not visit.complaints


def test_unequal_strides_are_both_named(explorer_page):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=(1, 2), padding=1), nn.ReLU())
    visit = explorer_page(NetworkExplorer(model, (1, 3, 32, 32), selected="0"))
    expect(visit.page.locator(".rx-block")).to_contain_text("3×3 conv, 8, stride 1×2")


def versus(page: Page) -> tuple[str, list[str]]:
    """The sentence on the previous choice, and the difference below each total."""
    settled(page)
    return page.locator(".rx-versus").inner_text(), page.locator(".rx-delta").all_inner_texts()


def test_what_changes_nothing_is_no_choice(resnet18: Visit):
    page = resnet18.page
    choose(page, "Depth (layers)", "34")
    before = versus(page)
    assert before[0] == "Difference to your previous choice: ResNet-18, 1x3x224x224."
    assert before[1][0] == "+10,108,160 (+86.5%)"
    box = page.get_by_label("Image height (pixels)")
    for typed in ("letters", "224"):
        box.fill(typed)
        box.press("Enter")
        assert versus(page) == before
    page.get_by_label("Image height, slider").focus()
    page.keyboard.press("End")
    settled(page)
    page.keyboard.press("ArrowRight")  # it is at its end
    assert versus(page)[0] == "Difference to your previous choice: ResNet-34, 1x3x224x224."


def test_quick_keys_compare_with_the_choice_that_is_named(resnet18: Visit):
    page = resnet18.page
    box = page.get_by_label("Image height (pixels)")
    box.evaluate("""box => { for (let i = 0; i < 5; i++)
      box.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true, cancelable: true })); }""")
    told, deltas = versus(page)
    assert told == "Difference to your previous choice: ResNet-18, 1x3x228x228."
    now, before = (NetworkExplorer("resnet18", input=(3, n, n)).trace() for n in (229, 228))
    assert deltas[1].startswith(f"+{now.total_macs - before.total_macs:,} (")
    assert deltas[2].startswith(f"+{now.total_activation_bytes - before.total_activation_bytes:,} (")


def test_a_choice_is_named_by_what_has_changed(resnet18: Visit):
    page = resnet18.page
    page.get_by_text("More settings").click()
    was = "Difference to your previous choice: ResNet-18, 1x3x224x224"
    choose(page, "Shortcut", "zero_pad")
    assert versus(page)[0] == f"{was} (Shortcut “B: 1×1 where the shape changes”)."
    choose(page, "3×3", "")
    assert versus(page)[0] == f"{was} (Stem “7×7, stride 2, pool”)."
    page.get_by_label("Channels of the first stage", exact=True).fill("32")
    assert versus(page)[0] == f"{was} (Channels of the first stage “64”)."
    choose(page, "train()", "")
    assert versus(page)[0] == f"{was} (Batch norm in “eval()”)."
    choose(page, "7×7 window, fixed", "")
    assert "ResNet-18, 1x3x224x224 (Pooling at the end “global mean”)" in versus(page)[0]
    choose(page, "CIFAR-10", "")
    assert "(Family “ImageNet”, Pooling at the end “7×7 window, fixed”, " in versus(page)[0]
    assert "Stride" not in versus(page)[0]


def test_nothing_is_compared_with_a_count_that_ended_in_an_error(resnet18: Visit):
    page = resnet18.page
    choose(page, "Shortcut", "identity")
    told, deltas = versus(page)
    assert told.startswith("Counted up to the error. Your previous choice was ResNet-18, 1x3x224x224 (Shortcut “B:")
    assert deltas == [""] * 4
    choose(page, "Shortcut", "zero_pad")
    told, deltas = versus(page)
    assert told == (
        "Your previous choice was ResNet-18, 1x3x224x224 (Shortcut “x as it is, always”), which ends in an error: "
        "nothing to compare."
    )
    assert deltas == [""] * 4


def test_sizes_follow_the_slider_and_the_keys(resnet18: Visit):
    page = resnet18.page
    slider, box = page.get_by_label("Image height, slider"), page.get_by_label("Image height (pixels)")
    slider.focus()
    page.keyboard.press("ArrowRight")
    settled(page)
    same_rows(page, NetworkExplorer("resnet18", input=(3, 225, 225)))
    page.get_by_label("square image").uncheck()
    box.focus()
    page.keyboard.press("ArrowDown")
    settled(page)
    same_rows(page, NetworkExplorer("resnet18", input=(3, 224, 225)))
    place = slider.bounding_box()
    page.mouse.move(place["x"] + 20, place["y"] + place["height"] / 2)
    page.mouse.down()
    for step in range(40):  # faster than anything can be drawn
        page.mouse.move(place["x"] + 20 + 3 * step, place["y"] + place["height"] / 2)
    page.mouse.up()
    settled(page)
    assert box.input_value() == slider.input_value()
    same_rows(page, NetworkExplorer("resnet18", input=(3, int(box.input_value()), 225)))


TYPED = [  # what is typed as a size, what is taken, and what is said
    ("96", "96", ""),
    (" 128 ", "128", ""),
    ("+128", "128", ""),
    ("1,024", "512", "1,024 is too large: the most is 512."),
    ("1,5", "224", "A whole number"),
    ("12,34", "224", "A whole number"),
    ("1 28", "224", "A whole number"),
    ("1_28", "224", "A whole number"),
    ("0x40", "224", "A whole number"),
    ("0b11", "224", "A whole number"),
    ("Infinity", "224", "A whole number"),
    ("7" * 300, "512", "777777777777… is too large: the most is 512."),
    ("7" * 400, "224", "A whole number"),
    ("abc", "224", "A whole number from 8 to 512 is needed; 224 is kept."),
    ("", "224", "A whole number"),
    ("0", "8", "0 is too small: the least is 8."),
    ("-300", "8", "-300 is too small"),
    ("1e9", "512", "1e9 is too large: the most is 512."),
    ("NaN", "224", "A whole number"),
    ("99.6", "100", "99.6 is not a whole number: 100 is taken."),
    ("<b>9</b>", "224", "A whole number"),
]


def test_what_is_no_size_is_explained(resnet18: Visit):
    page = resnet18.page
    box = page.get_by_label("Image height (pixels)")
    for typed, taken, told in TYPED:
        box.fill("224")
        box.press("Enter")
        box.fill(typed)
        box.press("Enter") if typed == "96" else box.blur()
        settled(page)
        assert box.input_value() == taken, typed
        assert told in page.locator(".rx-note").first.inner_text(), typed
        assert not resnet18.check("sideways"), typed
        assert "NaN" not in page.locator(".rx").inner_text(), typed
        macs = NetworkExplorer("resnet18", input=(3, int(taken), int(taken))).trace().total_macs
        assert totals(page)[1] == f"{macs:,}", typed


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, [("Shortcut", "identity")]),
        ({"mode": "train"}, [("Image height (pixels)", "32")]),
        ({"pool": 7}, [("Image height (pixels)", "96")]),
        ({"pool": 7}, [("Image height (pixels)", "300")]),
    ],
)
def test_an_error_is_the_tracers_and_stands_where_it_happens(explorer_page, settings: dict, steps: list):
    page = explorer_page(NetworkExplorer("resnet18", **settings)).page
    assert page.locator(".rx-error").is_hidden()
    explorer = NetworkExplorer("resnet18", **settings)
    for label, value in steps:
        if label == "Shortcut":
            choose(page, label, value)
            explorer.shortcut = value
        else:
            page.get_by_label(label).fill(value)
            explorer.input = (3, int(value), int(value))
    settled(page)
    with pytest.raises(TraceError) as caught:
        explorer.trace()
    error = caught.value
    told = page.locator(".rx-error").inner_text()
    assert f"{type(error.__cause__).__name__} in {error.path}" in told
    if "too small" in str(error):
        assert str(error) in told
    elif "layer" in error.path:  # the linear layer's words differ between devices: see test_explorer_engine.py
        assert str(error.__cause__) in told
    if type(error.__cause__) is ShapeMismatchError:  # beside the package's advice, PyTorch's own words
        with pytest.raises(RuntimeError) as plain:
            torch.zeros(error.rows[-1].outputs[0]) + torch.zeros(error.shapes[0])
        assert f"PyTorch's own +: RuntimeError: {plain.value}" in told
    cells = page.locator(".rx-fail tr > *").all_text_contents()
    assert cells[0] == f"✕ {error.path}"
    assert len(page.locator(".rx").evaluate(ROWS)) == len(error.rows)
    red = page.locator(".rx-fail th").evaluate("e => getComputedStyle(e).color")
    assert red == page.locator(".rx-error strong").evaluate("e => getComputedStyle(e).color")
    if error.path != "avgpool":  # nothing of the head has run, so nothing of it is drawn
        assert page.locator(".rx-slab.rx-bad").count() == 1
        expect(page.locator(".rx-block svg")).to_be_visible()  # the part that failed is open


CUT = """root => [...root.querySelectorAll(".rx-layers :is(th, td)")].filter(cell => {
  const range = document.createRange(), box = cell.getBoundingClientRect();
  range.selectNodeContents(cell);
  const text = range.getBoundingClientRect();
  return text.width && (text.left < box.left - .5 || text.right > box.right + .5);
}).map(cell => cell.textContent)"""


def test_no_number_of_the_table_is_cut(explorer_page):
    large = {"width": 256, "batch": 256, "num_classes": 10_000, "input": (64, 512, 512), "stem": "cifar"}
    page = explorer_page(
        NetworkExplorer("resnet152", shortcut="projection_all", **large),
        NetworkExplorer("resnet50", shortcut="identity", **large),
        NetworkExplorer("resnet18", pool=16, **large),
        NetworkExplorer(torchvision.models.googlenet(init_weights=False), (2**16, 3, 224, 224)),
    ).page
    page.add_style_tag(content=".rx .rx-layers tbody{content-visibility:visible!important}")
    settled(page)
    for explorer in page.locator(".rx").all():
        assert explorer.locator(".rx-layers td").count() > 100
        assert explorer.evaluate(CUT) == []


BEYOND = """root => {
  const box = root.querySelector(".rx-long");
  const edge = box.getBoundingClientRect().left + box.clientLeft + box.clientWidth;
  return [...root.querySelectorAll(".rx-layers tr")].flatMap(tr => [...tr.children].slice(0, 4))
    .filter(cell => !cell.closest(".rx-fail") && cell.getBoundingClientRect().right > edge)
    .map(cell => cell.textContent);
}"""
COUNTS = """root => [...root.querySelectorAll(".rx-layers :is(tbody:not(.rx-fail), tfoot) tr")].map(tr =>
  [2, 3].map(i => [tr.children[i].textContent, tr.children[i].title]))"""
UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def test_layer_output_parameters_and_multiply_adds_are_whole_on_a_phone(explorer_page):
    names = ("resnet18", "resnet50", "resnet152", "plain34", "resnet20", "resnet110")
    explorers = [
        *map(NetworkExplorer, names),
        NetworkExplorer("resnet152", (64, 512, 512), width=256, batch=256, num_classes=10_000, stem="cifar"),
        NetworkExplorer("resnet50", shortcut="identity"),  # ends in an error
        NetworkExplorer(torchvision.models.googlenet(init_weights=False), (2**16, 3, 224, 224)),
    ]
    page = (visit := explorer_page(*explorers)).page
    page.add_style_tag(content=".rx .rx-layers tbody{content-visibility:visible!important}")
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            visit.show(scheme)
            settled(page)
            for shown in page.locator(".rx").all():
                assert shown.locator(".rx-layers td").count() > 100
                assert shown.evaluate(BEYOND) == []
                assert shown.evaluate(CUT) == []
    page.set_viewport_size(PHONE)
    settled(page)
    for explorer, shown in zip(explorers[:6], page.locator(".rx").all(), strict=False):
        result = explorer.trace()
        exact = [(r.params, r.macs) for r in result.rows] + [(result.total_params, result.total_macs)]
        for cells, counts in zip(shown.evaluate(COUNTS), exact, strict=True):
            for (text, full), count in zip(cells, counts, strict=True):
                if count < 10_000:
                    assert (text, full) == (f"{count:,}", "")
                else:  # three digits of it, and the exact number beside them
                    assert full == f"{count:,}"
                    assert abs(float(text[:-1]) * UNITS[text[-1]] / count - 1) <= 0.005


def test_the_table_shows_that_there_is_more_to_the_right(resnet18: Visit):
    page, box = resnet18.page, resnet18.page.locator(".rx-long")
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        assert box.evaluate("e => e.scrollWidth > e.clientWidth")
        for place, mask in (("0", "linear-gradient"), ("e.scrollWidth", "none")):
            box.evaluate(f"e => e.scrollLeft = {place}")
            settled(page)
            assert box.evaluate("e => getComputedStyle(e).maskImage").startswith(mask)
    page.set_viewport_size({"width": 1800, "height": 900})
    page.add_style_tag(content="article{max-width:none!important}")
    settled(page)
    assert box.evaluate("e => getComputedStyle(e).maskImage") == "none"  # all of it is to be seen
    page.set_viewport_size(DESKTOP)


def test_drawing_table_and_formula_point_at_each_other(resnet18: Visit):
    page = resnet18.page
    row = page.locator(".rx-layers tr", has_text="layer2.0.conv1")
    row.hover()
    assert "rx-hot" in row.get_attribute("class")
    assert page.locator(".rx-slab.rx-lit").get_attribute("aria-label").startswith("layer2.0, block of conv3_x")
    explained = page.locator(".rx-explain").inner_text()
    assert "⌊(56 + 2·1 − 3) / 2⌋ + 1 = 28" in explained
    assert "128 · 64 · 3 · 3 = 73,728" in explained
    assert "1 · 28 · 28 places · 128 · 64 · 3 · 3 weights = 57,802,752" in explained
    assert "43 + (3 − 1) · 4 = 51 pixels across" in explained
    page.locator(".rx-slab[aria-label^='layer3.1'] .rx-hit").hover()
    assert "layer3.1.conv1" in page.locator(".rx-layers tbody.rx-lit tr").first.text_content()
    assert "layer3.1.add()" in page.locator(".rx-explain").inner_text()


def test_a_block_opens_into_its_branches_by_the_keyboard_alone(resnet18: Visit):
    page = resnet18.page
    page.locator("h1").evaluate("e => { e.tabIndex = -1; e.focus(); }")
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
          const hit = e.querySelector?.(":scope > .rx-hit");
          return [e.className.baseVal ?? e.className, s.outlineStyle !== "none" ||
            (hit && getComputedStyle(hit).stroke !== "none")]; }""")
        )
        if "rx-slab" in seen[-1][0]:
            break
    assert all(visible for _, visible in seen), seen
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    label = page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    assert label.startswith("layer2.0, block of conv3_x, output 1x128x28x28")
    page.keyboard.press("Enter")
    settled(page)
    block = page.locator(".rx-block svg")
    said = block.get_attribute("aria-label")
    assert "input 64×56×56; 3×3 conv, 128, stride 2 to 128×28×28" in said
    assert "Shortcut: 1×1 conv, 128, stride 2, batch norm." in said
    assert block.locator(".rx-plus").count() == 1
    assert block.locator("text", has_text="128×28×28").count() == 9  # every arrow but the first has its shape
    page.keyboard.press(" ")
    settled(page)
    expect(block).to_have_count(0)
    page.locator(".rx-layers tr").nth(1).focus()
    page.keyboard.press("End")
    assert page.evaluate("() => document.activeElement.querySelector('th').firstChild.data") == "fc"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    settled(page)
    assert page.locator(".rx-opened .rx-title").inner_text() == "head"


def test_closing_a_block_leaves_the_focus_on_its_slab(resnet18: Visit):
    page = resnet18.page
    page.locator(".rx-slab[aria-label^='layer2.0'] .rx-hit").click()
    page.get_by_role("button", name="Close the block").focus()
    page.keyboard.press("Enter")
    settled(page)
    expect(page.locator(".rx-block svg")).to_have_count(0)
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')").startswith("layer2.0, block")


def test_the_addition_of_an_open_block_is_linked_like_its_layers(resnet18: Visit):
    page = resnet18.page
    page.locator(".rx-slab[aria-label^='layer2.0'] .rx-hit").click()
    settled(page)
    for place, path in ((".rx-box", "layer2.0.conv1"), (".rx-plus", "layer2.0.add()"), (".rx-side", "downsample.0")):
        page.locator(f".rx-block {place}").first.hover()
        assert path in page.locator(".rx-explain .rx-title").inner_text()
        assert path in page.locator(".rx-layers tr.rx-hot").text_content()


def test_two_of_them_are_independent(explorer_page):
    visit = explorer_page(NetworkExplorer("resnet18"), NetworkExplorer("resnet34"))
    page = visit.page
    before = totals(page, 1)
    page.get_by_label("Depth (layers)").first.select_option("50")
    page.get_by_label("plain", exact=True).last.check()
    settled(page)
    same_rows(page, NetworkExplorer("resnet50"), 0)
    same_rows(page, NetworkExplorer("plain34"), 1)
    assert totals(page, 1)[:1] != before[:1]
    assert not visit.complaints


def test_a_model_of_ones_own_is_shown_without_settings(explorer_page):
    explorer = NetworkExplorer(torchvision.models.vgg11(), (1, 3, 64, 64))
    page = explorer_page(explorer).page
    assert page.locator(".rx :is(input, select)").count() == 0
    same_rows(page, explorer)
    page.locator(".rx-slab[aria-label^='features.3,'] .rx-hit").click()
    settled(page)
    assert page.locator(".rx-opened .rx-title").inner_text().startswith("features.3")
    residual = NetworkExplorer(torchvision.models.resnet18(), (2, 3, 64, 64))
    page = explorer_page(residual).page
    same_rows(page, residual)
    assert page.locator(".rx-names text").all_text_contents()[2] == "conv1"
