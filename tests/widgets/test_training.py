"""The training laboratory: its settings, and real runs in a real browser. What it computes: test_training_engine.py."""

import json
import re
import shutil

import pytest
from book_pages import explorer_html
from browser import Visit, served, settled
from dense_nets import DenseNet
from finish import strip_state
from make_widgets import MODULES
from playwright.sync_api import Page, expect
from training_worker import Worker
from traitlets import TraitError

from resnet_edu.widgets import TrainingLab
from resnet_edu.widgets.training import DEFAULT, KINDS

SMALL = {"nets": ["plain-8", "residual-8"], "width": 8, "batch": 32, "steps": 50, "rate": 0.05}
LONG = 60_000  # milliseconds: a busy machine may take a while


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nets": []}, "`nets` must name one to four nets, but it has 0"),
        ({"nets": ["plain-8"] * 5}, "but it has 5"),
        ({"nets": ["vgg-16"]}, "'plain', 'residual', 'zeroed', 'preact', but it is 'vgg'"),
        ({"nets": ["plain-7"]}, "even number of layers from 4 to 110, as in plain-56, but one is 'plain-7'"),
        ({"nets": ["plain-112"]}, "but one is 'plain-112'"),
        ({"nets": ["plain"]}, "but one is 'plain'"),
        ({"width": 66}, "`width` must be from 8 to 64, but it is 66"),
        ({"width": 10}, "`width` must be a multiple of 4, but it is 10"),
        ({"steps": 60}, "`steps` must be a multiple of 50"),
        ({"rate": 2.0}, "`rate` must be from 0.001 to 1, but it is 2.0"),
        ({"batch": 100}, "'batch' trait .*16"),
        ({"seed": -1}, "`seed` must be from 0"),
    ],
)
def test_wrong_settings_are_told(options, message):
    with pytest.raises(TraitError, match=message):
        TrainingLab(**options)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_those_of_the_nets_in_pytorch(kind: str, batch_norm: bool):
    net = DenseNet(kind, 20, 24, batch_norm)
    lab = TrainingLab(width=24, batch_norm=batch_norm)
    assert lab.parameters(f"{kind}-20") == sum(p.numel() for p in net.parameters())


def test_the_table_without_javascript_names_the_nets_and_the_recipe():
    html = TrainingLab().static_html()
    assert all(f">{net}</th>" in html for net in DEFAULT)
    assert "300 steps" in html
    assert "61,194" in html


def test_a_page_of_prose_holds_what_a_cell_would_and_not_the_worker():
    lab = TrainingLab()
    page = strip_state(explorer_html(lab))
    assert "_worker" not in page
    assert lab.static_html() in page
    (state,) = re.findall(r"widget-state\+json\">(.*?)</script>", page)
    assert json.loads(state)["state"][lab.model_id]["state"]["nets"] == list(DEFAULT)


# ---------------------------------------------------------------- in the browser


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def finish(page: Page) -> None:
    """Wait for the end of the run."""
    page.get_by_role("button", name="more steps").wait_for(timeout=LONG)
    for _ in range(6):  # two frames each; a frame has one part of the picture
        settled(page)


def table(page: Page) -> dict[str, list[str]]:
    rows = page.get_by_role("region", name="The nets now").locator("tbody tr").all()
    return {row.locator("th").inner_text().strip(): row.locator("td").all_inner_texts() for row in rows}


def in_v8(lab: TrainingLab, net: str) -> list[str]:
    """The row that the worker's own code gives without a browser."""
    kind, depth = net.split("-")
    names = ("width", "batch_norm", "rate", "batch", "seed", "steps")
    settings = {**{n: getattr(lab, n) for n in names}, "kind": kind, "depth": int(depth)}
    code = """(settings) => {
      const run = new engine.Run(settings);
      while (!run.over) run.advance();
      const { loss, error } = run.report();
      return [loss, error.train, error.test];
    }"""
    loss, *errors = Worker().run(code, settings)
    return [loss, *(f"{e:.2f}%" for e in errors)]


@pytest.mark.browser
@pytest.mark.parametrize("way", ["http", "file"])
def test_start_trains_the_nets_and_nothing_is_loaded_before(explorer_page, way: str):
    lab = TrainingLab(**SMALL)
    visit = explorer_page(lab, way=way)
    page = visit.page
    scripts = "() => performance.getEntriesByType('resource').map((e) => e.name).filter((n) => n.includes('.worker.'))"
    assert page.locator("script[src*='.worker.']").count() == 0
    assert page.evaluate(scripts) == []
    page.get_by_role("radio", name="residual-8").check()
    press(page, "Start")
    finish(page)
    assert page.locator("script[src*='.worker.']").count() == 1
    found = table(page)
    for net in lab.nets:
        loss, train, test = in_v8(lab, net)
        assert float(found[net][0]) == pytest.approx(loss, rel=5e-3)  # three digits
        assert found[net][1:] == [train, test]
    told = page.locator(".rx-lab-told").inner_text()
    assert "You expected residual-8 to make the most mistakes" in told
    assert f"residual-8 {found['residual-8'][1]}" in told
    assert not visit.foreign
    assert not visit.complaints


@pytest.mark.browser
def test_a_run_is_paused_taken_up_and_started_anew_with_the_same_numbers(explorer_page):
    page = (visit := explorer_page(TrainingLab(**SMALL))).page
    press(page, "One step")
    expect(page.locator(".rx-lab-progress")).to_have_text("step 1 of 50")
    press(page, "One step")
    expect(page.locator(".rx-lab-progress")).to_have_text("step 2 of 50")
    press(page, "Go on")
    finish(page)
    first = table(page)
    press(page, "Restart")
    expect(page.locator(".rx-lab-progress")).to_have_text("step 0 of 50")
    assert {cell for row in table(page).values() for cell in row} == {"–"}
    page.get_by_role("button", name="Start", exact=True).press("Enter")  # by keyboard
    finish(page)
    assert table(page) == first
    press(page, "50 more steps")
    expect(page.locator(".rx-lab-progress")).to_have_text("step 100 of 100", timeout=LONG)
    finish(page)
    assert table(page) != first
    assert not visit.complaints


@pytest.mark.browser
def test_pause_stops_all_nets_at_one_step(explorer_page):
    page = explorer_page(TrainingLab(nets=["plain-4", "residual-56"], steps=2000)).page
    press(page, "Start")
    page.wait_for_function("() => !/^step [0-3] /.test(document.querySelector('.rx-lab-progress').textContent)")
    press(page, "Pause")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.wait_for_function(
        """() => {
          const step = document.querySelector(".rx-lab-progress").textContent.split(" ")[1];
          const told = [...document.querySelectorAll("svg.rx-lab-inside")].map((e) => e.getAttribute("aria-label"));
          return told.length === 2 && told.every((text) => text.includes(` after ${step} steps`));
        }"""
    )
    at = page.locator(".rx-lab-progress").inner_text()
    page.wait_for_timeout(500)
    assert page.locator(".rx-lab-progress").inner_text() == at


@pytest.mark.browser
def test_choices_change_the_nets_and_begin_anew(explorer_page):
    page = (visit := explorer_page(TrainingLab(**SMALL))).page
    page.get_by_text("Change nets and recipe").click()
    page.get_by_label("Net 1", exact=True).select_option("preact")
    layers = page.get_by_role("textbox", name="Layers").first
    layers.fill("13")
    layers.press("Enter")
    expect(page.get_by_text("13 is not one of 4, 6, 8, ...: 14 is taken.")).to_be_visible()
    press(page, "Add a net (at most 4)")
    expect(page.get_by_role("button", name="Remove net 3")).to_be_visible()
    assert list(table(page)) == ["preact-14", "residual-8", "preact-56"]
    page.get_by_role("button", name="Remove net 3").click()
    expect(page.get_by_role("button", name="Remove net 3")).to_have_count(0)
    width = page.get_by_role("textbox", name="Width")
    width.fill("900")
    width.press("Enter")
    expect(page.get_by_text("900 is too large: the most is 64.")).to_be_visible()
    width.fill("12")
    width.press("Enter")
    page.get_by_label("Learning rate").press("Home")
    page.get_by_role("radio", name="off").check()
    press(page, "Start")
    finish(page)
    assert table(page)["preact-14"][1].endswith("%")
    page.get_by_label("Batch (images)").select_option("16")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    assert not visit.complaints


@pytest.mark.browser
@pytest.mark.parametrize("way", ["http", "file"])
def test_a_link_brings_the_choices_to_another_page(explorer_page, way: str):
    page = explorer_page(TrainingLab(**SMALL, seed=7), TrainingLab(), way=way).page
    page.get_by_role("button", name="Link to these choices").first.click()
    address = page.get_by_label("Link to these choices").first.input_value()
    assert address == page.url
    assert page.evaluate("() => document.querySelector(location.hash)") is None  # what the book's theme asks
    other = page.context.new_page()
    other.goto(address.replace("plain-8", "plain-9999").replace("seed-7", "seed-nine"))
    rows = other.get_by_role("region", name="The nets now")
    expect(rows.first.locator("tbody th")).to_have_text(["plain-110", "residual-8"])  # brought into its limits
    expect(rows.nth(1).locator("tbody th")).to_have_text(list(DEFAULT))  # the link is for the first one
    expect(other.locator(".rx-lab-progress").first).to_have_text("step 0 of 50")
    other.goto(address.replace("#lab1", "#lab2"))
    expect(rows.nth(1).locator("tbody th")).to_have_text(["plain-8", "residual-8"])
    expect(other.locator(".rx-mount").nth(1)).to_be_in_viewport(ratio=0.9)  # a friend sees what was meant
    other.close()


@pytest.mark.browser
def test_what_failed_at_the_start_is_tried_again(explorer_page):
    page = explorer_page(TrainingLab(**SMALL)).page
    page.get_by_role("radio", name="residual-8").check()
    page.route("**/*.worker.js*", lambda route: route.abort())
    press(page, "Start")
    expect(page.get_by_text("The nets could not be trained here")).to_be_visible()
    page.unroute("**/*.worker.js*")
    expect(page.get_by_role("radio", name="residual-8")).to_be_checked()  # the prediction stands
    press(page, "Start")
    finish(page)
    expect(page.get_by_text("The nets could not be trained here")).to_be_hidden()
    expect(page.locator(".rx-lab-told")).to_contain_text("You expected residual-8 to make the most mistakes")


@pytest.mark.browser
def test_nets_that_are_wrong_about_equally_many_images(explorer_page):
    page = explorer_page(TrainingLab(nets=["residual-4", "residual-6"], steps=1000, rate=0.05, width=64)).page
    page.get_by_role("radio", name="residual-4").check()
    press(page, "Start")
    finish(page)
    assert {row[1] for row in table(page).values()} == {"0.00%"}
    told = "You expected residual-4 to make the most mistakes; residual-4 and residual-6 made equally many."
    expect(page.locator(".rx-lab-told")).to_contain_text(told)


@pytest.mark.browser
def test_a_run_is_saved_as_json(explorer_page):
    lab = TrainingLab(**SMALL)
    page = explorer_page(lab).page
    press(page, "Start")
    finish(page)
    with page.expect_download() as waiting:
        press(page, "Save the run as JSON")
    record = json.loads(waiting.value.path().read_text())
    assert record["choices"] == {**SMALL, "batch_norm": True, "seed": 0}
    for net in record["nets"]:
        assert net["parameters"] == lab.parameters(net["net"])
        assert [e["step"] for e in net["errors"]] == sorted({0, *range(4, 50, 4), 50})
        assert net["losses"][-1][0] == 50
        assert len(net["sizes"]["gradients"]) == 8


@pytest.mark.browser
def test_a_net_that_diverges_says_so_and_the_other_goes_on(explorer_page):
    page = (
        visit := explorer_page(TrainingLab(nets=["residual-20", "plain-4"], batch_norm=False, rate=0.05, steps=50))
    ).page
    press(page, "Start")
    finish(page)
    text = page.get_by_role("region", name="The nets now").inner_text()
    assert "diverged at step" in text
    assert "first in layer" in text
    assert table(page)["plain-4"][1].endswith("%")
    assert "NaN" not in page.locator("article").inner_html()
    assert not visit.complaints


@pytest.mark.browser
def test_with_reduced_motion_only_the_count_moves_until_the_end(explorer_page):
    page = explorer_page(TrainingLab(**{**SMALL, "nets": ["residual-56"]})).page
    press(page, "Start")
    page.wait_for_function("() => !/^step [01] /.test(document.querySelector('.rx-lab-progress').textContent)")
    curve = page.locator(".rx-chart .rx-lab-curve").first
    assert not curve.get_attribute("d")
    finish(page)
    assert curve.get_attribute("d").count("L") >= 10


LIVE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="place"></div>
<script type="module">
  import widget from "./training.js";
  const state = STATE;
  const model = {
    get: (k) => state[k], set: (k, v) => (state[k] = v), save_changes() { window.saved = state; }, on() {}, off() {},
  };
  window.end = widget.render({ model, el: document.querySelector("#place") });
</script>"""


@pytest.mark.browser
def test_as_a_live_widget_it_takes_the_worker_from_its_kernel(context, tmp_path):
    """The module of JupyterLab and Colab, with a model as anywidget hands it over; it cleans up after itself."""
    lab = TrainingLab(**SMALL)
    state = {k: v for k, v in lab.get_state().items() if k not in ("layout", "_esm")}
    shutil.copy(MODULES / "training.js", tmp_path)
    text = json.dumps(state, default=str).replace("</", "<\\/")
    (tmp_path / "live.html").write_text(LIVE.replace("STATE", text), encoding="utf-8")
    with served(tmp_path) as ways:
        visit = Visit(context.new_page(), ways["http"]).open("live.html")
        press(visit.page, "Start")
        finish(visit.page)
        assert visit.page.evaluate("() => saved.record.nets.map((net) => net.net)") == lab.nets
        assert not visit.page.get_by_role("button", name="Link to these choices").is_visible()
        visit.page.evaluate("() => end()")
        assert not visit.foreign
        assert not visit.complaints
        visit.page.close()


@pytest.mark.browser
def test_a_run_is_readable_on_a_phone_and_in_the_dark(explorer_page):
    visit = explorer_page(TrainingLab(**SMALL), TrainingLab(nets=["zeroed-8", "preact-8"], steps=50, width=8))
    page = visit.page
    for lab in page.locator(".rx-mount").all():
        lab.get_by_role("button", name="Start", exact=True).click()
        lab.get_by_role("button", name="more steps").wait_for(timeout=LONG)
        lab.get_by_text("Change nets and recipe").click()
    settled(page)
    visit.assert_readable()
    visit.assert_readable_on_a_phone_in_the_dark()
