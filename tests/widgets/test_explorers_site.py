"""The explorers in the chapters of the built site, by real clicks and keys.

Needs `make book`. That all are mounted, over HTTP and from a folder, is tested with the pages
(tests/book/test_site.py); what each explorer does in detail, on pages of its own (the files named after them).
"""

import re

import pytest
from browser import DESKTOP, PHONE, Visit
from chapters import toc_documents
from playwright.sync_api import BrowserContext, expect

from resnet_edu.experiment.shipped import load_grid
from resnet_edu.widgets import NetworkExplorer

pytestmark = pytest.mark.browser

DEEPER = "notebooks/01-deeper-is-not-better.html"
READING_SHAPES = "notebooks/03-reading-shapes.html"


def skip_without(path: str) -> None:
    """Skip a test of a chapter that a fork of the book has left out."""
    if path.removesuffix(".html") not in toc_documents():
        pytest.skip(f"the book has no {path}")


@pytest.fixture
def chapter(context: BrowserContext, bases: dict[str, str]):
    """Return a function that opens a chapter; it must have asked for nothing and complained of nothing."""
    visits = []

    def open_chapter(path: str, way: str = "http") -> Visit:
        skip_without(path)
        visits.append(Visit(context.new_page(), bases[way]).open(path))
        return visits[-1]

    yield open_chapter
    for visit in visits:
        assert not visit.foreign
        assert not visit.complaints
        visit.page.close()


def test_the_explorers_of_chapter_3_answer_its_questions(chapter):
    visit = chapter(READING_SHAPES)
    page = visit.page
    explorer = page.locator(".rx-mount").filter(has=page.locator(".rx-drawing"))
    slab = page.locator(".rx-slab[aria-label^='layer2.0,']")
    slab.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".rx-block svg")).to_be_visible()  # an open block fits, too
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        assert not visit.check("sideways")
        assert not visit.check("cutLetters")
    macs = explorer.locator(".rx-total strong").nth(1)
    expect(macs).to_have_text("485,359,616")
    explorer.get_by_label("Image height (pixels)").fill("224")
    expect(macs).to_have_text("1,814,073,344")
    expect(explorer.locator(".rx-total").first).to_contain_text("no change")  # the parameters
    expect(explorer.locator(".rx-total").nth(1)).to_contain_text("+274%")
    for depth, path in (("18", "layer2.0"), ("50", "layer1.0")):
        explorer.get_by_label("Depth (layers)").select_option(depth)
        explorer.get_by_label("Shortcut", exact=True).select_option("identity")
        expect(explorer.locator(".rx-error strong")).to_contain_text(f"ShapeMismatchError in {path}")
    explorer.get_by_label("Shortcut", exact=True).select_option("projection")
    explorer.get_by_label("Image height (pixels)").fill("32")
    explorer.get_by_text("More settings").click()
    expect(explorer.locator(".rx-error")).to_be_hidden()
    explorer.get_by_label("train()").check()
    expect(explorer.locator(".rx-error")).to_contain_text("Expected more than 1 value per channel when training")
    explorer.get_by_label("Batch (images)").fill("2")
    expect(explorer.locator(".rx-error")).to_be_hidden()

    explorer = page.get_by_role("group", name="Convolution explorer")

    def set_to(**values: int) -> None:
        for label, value in values.items():
            field = explorer.get_by_role("textbox", name=re.compile(f"^{label} "))
            field.fill(str(value))
            field.press("Enter")

    expect(explorer).to_contain_text("the size stays.")  # a 3x3 with padding 1
    set_to(Kernel=5)
    expect(explorer).to_contain_text("2 pixels fewer.")
    set_to(Padding=2)
    expect(explorer).to_contain_text("the size stays.")
    set_to(Kernel=3, Dilation=2)
    expect(explorer).to_contain_text("reach over 5 pixels")
    expect(explorer).to_contain_text("the size stays.")
    set_to(Kernel=1, Dilation=1, Stride=2, Padding=0)
    expect(explorer).to_contain_text("48 of 64 pixels (red) are never read.")  # three quarters
    explorer.get_by_label("A stack of layers").select_option(label="two blocks of conv, conv, pool")
    expect(explorer).to_contain_text("Linear(c * 7 * 7, …)")
    output = explorer.get_by_role("slider", name="Output cell")
    output.focus()
    page.keyboard.press("Home")
    expect(explorer).to_contain_text("Output [2, 0] sees row 4 and column 0 of the input.")


def test_the_block_explorer_answers_the_questions_of_its_chapter(chapter):
    page = chapter("notebooks/02-the-residual-block.html").page
    explorer = page.get_by_role("group", name="Block explorer")
    explorer.get_by_role("radio", name="bottleneck").check()
    for label, value in (("Channels in", 256), ("Channels out", 256), ("Stride", 1)):
        explorer.get_by_role("textbox", name=label).fill(str(value))
        page.keyboard.press("Enter")
    expect(explorer.get_by_role("row", name="C: projection always")).to_contain_text("(+94.1%)")  # "nearly twice"
    explorer.get_by_role("radio", name="identity").check()
    expect(explorer).to_contain_text("The shapes are equal, so the input itself is added")
    explorer.get_by_role("textbox", name="Stride").fill("2")
    expect(explorer.locator(".rx-error")).to_contain_text("RuntimeError: The size of tensor a")
    assert explorer.locator("figcaption").first.is_hidden()  # it belongs to a later question
    explorer.get_by_text("hands to the addition, measured").click()
    shares = explorer.locator("figcaption strong").all_inner_texts()
    assert [share == "0.0%" for share in shares] == [False, True, False]  # behind the ReLU nothing is negative


def test_without_javascript_a_chapter_has_the_tables(browser, bases: dict[str, str]):
    skip_without(READING_SHAPES)
    context = browser.new_context(java_script_enabled=False, viewport=DESKTOP)
    page = context.new_page()
    page.goto(bases["http"] + READING_SHAPES)
    table = page.locator(".rx-static table").filter(has_text="conv5_x").first
    table.scroll_into_view_if_needed()  # what is far from the window has no text yet
    assert table.is_visible()
    total = f"{NetworkExplorer('resnet18', input=(3, 112, 112)).trace().total_macs:,}"
    assert total in table.inner_text()
    context.close()


@pytest.mark.parametrize("way", ["http", "file"])  # two places to keep it
def test_a_reader_of_chapter_1_commits_and_finds_it_kept(chapter, way: str):
    visit = chapter(DEEPER, way)
    page = visit.page
    question = page.locator(".rx-mount").filter(has_text="Which one makes fewer mistakes")
    question.get_by_label("The one with 20 layers.").check()
    question.get_by_role("button", name="Commit", exact=True).press("Enter")
    visit.reload()
    expect(question.get_by_role("status")).to_contain_text("You have committed to C.")
    other = page.locator(".rx-mount").filter(has_text="How large is the gradient")
    expect(other.get_by_role("status")).to_be_empty()
    question.get_by_role("button", name="Show the answer").press("Enter")
    expect(question.get_by_role("status")).to_have_text("C is right.")
    question.get_by_role("button", name="Start over").press("Enter")


def test_a_link_opens_chapter_1_at_its_laboratory(context, bases):
    """Nobody scrolls or presses a key."""
    skip_without(DEEPER)
    page = context.new_page()
    page.goto(bases["http"] + DEEPER + "#lab1_plain-20_residual-20_rate-0p1_steps-100")
    rows = page.get_by_role("region", name="The nets now")
    expect(rows.locator("tbody th")).to_have_text(["plain-20", "residual-20"])
    expect(page.get_by_role("group", name="Training laboratory")).to_be_in_viewport()
    page.close()


def test_the_gradient_explorer_answers_the_questions_of_chapter_1(chapter):
    page = chapter(DEEPER).page
    explorer = page.get_by_role("group", name="Gradient explorer")
    story = explorer.locator(".rx-story:visible")
    explorer.get_by_role("slider", name="Layers of the network").press("End")
    expect(story).to_contain_text("plain110: the first convolution's gradient is")


def test_the_identity_sliders_of_chapter_1_say_what_its_text_says(chapter):
    page = chapter(DEEPER).page
    losses = []
    for kind, share, stops in (("plain", "5%", 5), ("resnet", "20%", 9)):
        slider = page.get_by_role("group", name="Identity slider").filter(has_text=f"{kind}20, trained")
        for _ in range(stops):
            slider.get_by_role("slider").press("ArrowRight")
        told = re.compile(rf"^{share} of the way: loss ([\d.]+),")
        expect(slider.locator(".rx-story")).to_have_text(told, timeout=60_000)
        losses.append(float(told.match(slider.locator(".rx-story").inner_text())[1]))
    assert losses[0] > 2
    assert losses[1] < 0.1  # a guess has 2.3


def test_the_study_player_has_the_learning_rates_of_chapter_1(chapter):
    page = chapter(DEEPER).page
    values = page.get_by_role("region", name="Values at this step")
    plain56 = values.get_by_role("row", name=re.compile("plain56")).locator("td").first
    for rate, records in sorted(load_grid().items(), reverse=True):
        page.get_by_role("radio", name=str(rate), exact=True).check()
        errors = [r.final["train_error"] for r in records if r.net == "plain56"]
        expect(plain56).to_have_text(f"{sum(errors) / len(errors):.2f}%")
