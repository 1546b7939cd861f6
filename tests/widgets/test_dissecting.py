"""The dissecting table: its settings, and real cuts in a real browser. What it computes: test_dissecting_engine.py."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import Visit, served, settled, write_explorer_page
from dissecting_worker import dissecting_worker
from javascript import load
from make_widgets import MODULES
from playwright.sync_api import Page, expect
from traitlets import TraitError

from resnet_edu.data import load as load_digits
from resnet_edu.experiment.shipped import load_record, load_study, read_file
from resnet_edu.widgets import DissectingTable
from resnet_edu.widgets.dissecting import NETS, removable, weights

LONG = 60_000  # milliseconds: a busy machine may take a while
SEVEN = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.82)]


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"net": "resnet110"}, "'net' trait .*plain20"),
        ({"image": 200}, "`image` must be from 0 to 199, but it is 200"),
        ({"net": "plain20", "off": ["layer2.0"]}, "that can be left out, layer1.0 to layer3.2, but one is 'layer2.0'"),
        ({"off": ["layer1.3"]}, "blocks of resnet20 .* but one is 'layer1.3'"),
        ({"files": {}}, "files.* trait is read-only"),
    ],
)
def test_wrong_settings_are_told(options, message):
    with pytest.raises(TraitError, match=message):
        DissectingTable(**options)


def test_the_table_without_javascript_has_the_errors_of_the_records():
    html = DissectingTable().static_html()
    for net in NETS:
        (row,) = re.findall(rf">{net}</th>(.*?)</tr>", html)
        assert float(re.findall(r"([\d.]+)%", row)[0]) == pytest.approx(
            load_record(net, study="digits").final["test_error"],
            abs=0.3,  # the weights were rounded to float16
        )


def test_a_kernel_sends_the_weights_that_are_asked_for(monkeypatch):
    sent = []
    table = DissectingTable()
    monkeypatch.setattr(table, "send", lambda content, buffers: sent.append((content, buffers)))
    table._handle_custom_msg({"weights": "plain20"}, [])
    table._handle_custom_msg({"weights": "../plain20"}, [])
    assert sent == [({"weights": "plain20"}, [weights("plain20")])]


def test_a_kernel_without_the_weights_says_so(monkeypatch, tmp_path):
    def missing(net: str) -> bytes:
        return read_file(replace(load_study("digits"), folder=tmp_path), f"{net}-seed0.safetensors")

    sent = []
    table = DissectingTable()
    monkeypatch.setattr("resnet_edu.widgets.dissecting.weights", missing)
    monkeypatch.setattr(table, "send", lambda content, buffers=None: sent.append(content))
    table._handle_custom_msg({"weights": "plain20"}, [])
    ((problem,),) = [[content["problem"]] for content in sent]
    assert "plain20-seed0.safetensors is missing" in problem


def test_a_drawing_is_counted_in_cells_as_the_training_images_were():
    module = load("dissecting")
    across = np.reshape(module.call("rasterise", [[[0.2, 0.5], [0.8, 0.5]]], False), (8, 8))
    assert across[:, :1].sum() == 0
    assert across.max() <= 16
    assert set(np.flatnonzero(across.sum(1))) == {3, 4}  # a line in the middle, a cell thick
    assert (across[3] == across[4]).all()
    assert module.call("rasterise", [], True) == [0] * 64
    for moved in ([[0.1, 0.1], [0.1, 0.5]], [[0.9, 0.2], [0.9, 0.9]]):  # an upright line fills the frame
        upright = np.reshape(module.call("rasterise", [moved], True), (8, 8))
        assert (upright.sum(1) > 0).all()
        assert set(np.flatnonzero(upright.sum(0))) <= {2, 3, 4}


def test_a_drawing_has_as_much_ink_as_a_training_image_so_a_bare_line_is_a_one():
    images = load_digits("digits").train_images.float() * (16 / 255)  # (N, 1, 8, 8)
    ink = images.sum((1, 2, 3)).mean().item()
    for strokes in ([[[0.5, 0.1], [0.5, 0.9]]], [[[0.52, 0.12], [0.48, 0.9]]]):
        line = load("dissecting").call("rasterise", strokes, True)
        assert sum(line) == pytest.approx(ink, rel=0.1)
        code = "(net, x) => flat(nets[net].logits(engine.prepared(x), 1))"
        answers = {net: int(np.argmax(dissecting_worker().run(code, net, line))) for net in NETS}
        assert {answers[net] for net in ("plain20", "resnet20", "resnet56")} == {1}  # plain56 reads badly
    thin = load("dissecting").call("rasterise", [[[0.5, 0.1], [0.5, 0.9]]], False)
    assert sum(thin) < 0.5 * ink


# ---------------------------------------------------------------- in the browser


def open_nets(page: Page) -> None:
    page.get_by_role("button", name="Open the four nets").click()
    page.wait_for_function("() => document.querySelectorAll('.rx-ds-net:not(:disabled)').length === 4", timeout=LONG)
    finished(page)


def finished(page: Page) -> None:
    """Wait until the errors and the lesions are there."""
    settled(page)
    expect(page.locator(".rx-ds-results").first).not_to_contain_text("…", timeout=LONG)
    expect(page.locator(".rx-ds-share").first).not_to_contain_text("…", timeout=LONG)
    settled(page)


def results(page: Page) -> list[list[str]]:
    rows = page.locator(".rx-ds-results tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in rows]


def await_results(page: Page, cut: list[str]) -> None:
    """Wait until the row of the cut net is `cut`: errors that are known stand there before a new answer does."""
    expect(page.locator(".rx-ds-results tbody tr").nth(1).locator("td")).to_have_text(cut, timeout=LONG)


def in_v8(net: str, changes: dict, image: int = 0) -> list[str]:
    """A row of the results as the worker's own code gives it, without a browser."""
    code = """(net, changes, image) => {
      const x = engine.prepared(engine.testImage(image).image);
      const logits = flat(nets[net].logits(x, 1, changes));
      const most = Math.max(...logits);
      const sum = logits.reduce((all, v) => all + Math.exp(v - most), 0);
      return [logits.indexOf(most), 100 / sum, Array.from(engine.testError(nets[net], changes)).at(-1).percent];
    }"""
    answer, sure, error = dissecting_worker().run(code, net, changes, image)
    return [str(answer), f"{sure:.0f}%", f"{error:.2f}%"]


@pytest.mark.browser
@pytest.mark.parametrize("way", ["http", "file"])
def test_a_cut_by_click_changes_answer_and_error(explorer_page, way: str):
    visit = explorer_page(DissectingTable(), way=way)
    page = visit.page
    loaded = "() => [...document.scripts].map((s) => s.src).filter((src) => /dissecting\\.\\w+\\.js/.test(src)).length"
    assert page.evaluate(loaded) == 0
    open_nets(page)
    assert page.evaluate(loaded) == 5  # the worker and the weights
    whole = in_v8("resnet20", {})
    await_results(page, whole)
    page.get_by_role("switch", name="Branch of layer2.0").click()
    finished(page)
    await_results(page, in_v8("resnet20", {"factors": {"layer2.0": 0}}))
    assert results(page)[0] == whole != results(page)[1]
    page.get_by_role("button", name="Put it together again").click()
    finished(page)
    await_results(page, whole)
    for net in NETS:
        told = re.compile(rf"{net} \d+ of {len(removable(net))}\b")
        expect(page.locator(".rx-ds-share")).to_contain_text(told, timeout=LONG)
    assert not visit.foreign
    assert not visit.complaints


@pytest.mark.browser
def test_branches_are_scaled_blocks_exchanged_and_plain_blocks_left_out(explorer_page):
    page = (visit := explorer_page(DissectingTable(image=9))).page
    open_nets(page)
    page.get_by_role("button", name="Look into layer1.1").click()
    slider = page.get_by_role("slider", name="Branch, times")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
    expect(page.get_by_role("switch", name="Branch of layer1.1")).to_have_text("× 1.3")
    page.get_by_label("Change places with").select_option(label="layer1.2")
    finished(page)
    expect(page.locator(".rx-ds-block strong")).to_have_text(
        ["layer1.0", "layer1.2", "layer1.1", *(f"layer{s}.{i}" for s in (2, 3) for i in range(3))]
    )
    changes = {"factors": {"layer1.1": 1.3}, "order": [0, 2, 1, *range(3, 9)]}
    await_results(page, in_v8("resnet20", changes, 9))

    page.get_by_role("button", name=re.compile("^plain20")).press("Enter")
    expect(page.get_by_text("plain20: this image")).to_be_visible(timeout=LONG)
    page.get_by_role("switch", name="layer3.0").click()
    expect(page.locator(".rx-ds-note")).to_contain_text("So it stays")
    page.get_by_role("switch", name="layer3.1").press("Space")
    finished(page)
    await_results(page, in_v8("plain20", {"factors": {"layer3.1": 0}}, 9))
    assert page.get_by_role("slider", name="Branch, times").count() == 0
    page.get_by_role("button", name=re.compile("^resnet20, cut")).click()
    expect(page.get_by_text("resnet20: this image")).to_be_visible(timeout=LONG)
    finished(page)
    assert results(page)[1] == in_v8("resnet20", changes, 9)  # each net keeps its own changes
    assert not visit.complaints


@pytest.mark.browser
def test_a_seven_is_drawn_by_mouse_and_a_line_by_keyboard(explorer_page):
    page = (visit := explorer_page(DissectingTable())).page
    open_nets(page)
    box = page.locator(".rx-pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    resnet56 = page.get_by_role("button", name=re.compile("^resnet56"))
    expect(resnet56).to_have_accessible_name(re.compile("says 7"), timeout=LONG)
    page.get_by_role("button", name="Clear the pad").click()
    expect(page.get_by_text("What the nets see: an empty pad")).to_be_visible(timeout=LONG)
    page.get_by_role("application").focus()
    for key in ("ArrowUp", *["ArrowUp"] * 6, "Space", *["ArrowDown"] * 12, "Space"):
        page.keyboard.press(key)
    expect(page.get_by_text("What the nets see: your drawing")).to_be_visible(timeout=LONG)
    expect(resnet56).not_to_have_accessible_name(re.compile("says 7"), timeout=LONG)
    test = page.get_by_role("textbox", name="Test image")
    test.fill("500")
    test.press("Enter")
    expect(page.get_by_text("500 is too large: the most is 199.")).to_be_visible()
    expect(page.get_by_text("What the nets see: test image 199")).to_be_visible(timeout=LONG)
    assert not visit.complaints


@pytest.mark.browser
def test_a_pixel_shows_what_it_depends_on(explorer_page):
    page = explorer_page(DissectingTable(off=["layer1.0"])).page
    open_nets(page)
    pixel = page.get_by_role("slider", name="Pixel of the map")
    page.get_by_role("radio", name="x + F(x)").check()
    expect(pixel).to_have_attribute("aria-valuetext", re.compile("row 0, column 0.* its field is 3 × 3"))
    page.get_by_role("switch", name="Branch of layer1.0").click()
    expect(pixel).to_have_attribute("aria-valuetext", re.compile("its field is 7 × 7"), timeout=LONG)
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        pixel.press(key)
    expect(pixel).to_have_attribute("aria-valuetext", re.compile("row 1, column 2.*5 × 6 pixels of the image"))
    figure = page.locator(".rx-ds-big").bounding_box()
    page.mouse.move(figure["x"] + figure["width"] - 3, figure["y"] + figure["height"] - 3)
    expect(pixel).to_have_attribute("aria-valuetext", re.compile("row 7, column 7"))


@pytest.mark.browser
def test_damaged_weights_are_refused(context, tmp_path):
    name = write_explorer_page(tmp_path, [DissectingTable()])
    script = tmp_path / "explorers" / "dissecting.plain56.js"
    code = script.read_text()
    script.write_text(code[:9000] + ("A" if code[9000] != "A" else "B") + code[9001:])
    with served(tmp_path) as ways:
        visit = Visit(context.new_page(), ways["http"]).open(name)
        visit.page.get_by_role("button", name="Open the four nets").click()
        alert = visit.page.get_by_role("alert")
        expect(alert).to_contain_text("plain56: its weights are damaged", timeout=LONG)
        visit.page.close()


LIVE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="place"></div>
<script type="module">
  import widget from "./dissecting.js";
  const state = STATE;
  let hear = null;
  const model = {
    get: (k) => state[k], set: (k, v) => (state[k] = v), save_changes() {}, off() {},
    on: (event, f) => event === "msg:custom" && (hear = f),
    async send({ weights }) {
      const answer = await fetch(`${weights}.bin`);
      if (answer.ok) hear({ weights }, [new DataView(await answer.arrayBuffer())]);
      else if (window.answers !== false) hear({ weights, problem: `${weights} is missing` });
    },
  };
  window.end = widget.render({ model, el: document.querySelector("#place") });
</script>"""


def write_live(folder: Path) -> None:
    """Write a page with the module of JupyterLab and Colab, and a model as anywidget hands it over."""
    state = {k: v for k, v in DissectingTable(net="plain20").get_state().items() if k not in ("layout", "_esm")}
    shutil.copy(MODULES / "dissecting.js", folder)
    text = json.dumps(state, default=str).replace("</", "<\\/")
    (folder / "live.html").write_text(LIVE.replace("STATE", text), encoding="utf-8")


@pytest.mark.browser
def test_as_a_live_widget_it_takes_weights_and_worker_from_its_kernel(context, tmp_path):
    """It cleans up after itself."""
    write_live(tmp_path)
    for net in NETS:
        (tmp_path / f"{net}.bin").write_bytes(weights(net))
    with served(tmp_path) as ways:
        visit = Visit(context.new_page(), ways["http"]).open("live.html")
        open_nets(visit.page)
        assert results(visit.page)[0] == in_v8("plain20", {})
        visit.page.evaluate("() => end()")
        assert not visit.foreign
        assert not visit.complaints
        visit.page.close()


@pytest.mark.browser
def test_a_live_widget_never_waits_for_ever(context, tmp_path):
    """A kernel without the weights, then one that does not answer: both are told, and the reader may try again."""
    with served(tmp_path) as ways:
        visit = Visit(context.new_page(), ways["http"])
        visit.page.clock.install()
        write_live(tmp_path)
        visit.open("live.html")
        alert = visit.page.get_by_role("alert")
        visit.page.get_by_role("button", name="Open the four nets").click()
        expect(alert).to_contain_text("plain20 is missing", timeout=LONG)
        visit.page.evaluate("() => (window.answers = false)")
        visit.page.get_by_role("button", name="Try again").click()
        expect(visit.page.get_by_role("button", name="Loading plain20")).to_be_disabled(timeout=LONG)
        visit.page.clock.run_for(31_000)
        expect(alert).to_contain_text("the kernel has sent nothing for 30 seconds", timeout=LONG)
        for net in NETS:
            (tmp_path / f"{net}.bin").write_bytes(weights(net))
        visit.page.get_by_role("button", name="Try again").click()
        nets = visit.page.locator(".rx-ds-net:not(:disabled)")
        expect(nets).to_have_count(4, timeout=LONG)
        expect(alert).to_be_hidden()
        visit.page.close()


@pytest.mark.browser
def test_an_open_net_is_readable_on_a_phone_and_in_the_dark(explorer_page):
    visit = explorer_page(DissectingTable(net="resnet56", off=["layer2.3"]), DissectingTable(net="plain56"))
    page = visit.page
    for table in page.locator(".rx-mount").all():
        table.get_by_role("button", name="Open the four nets").click()
    page.wait_for_function("() => document.querySelectorAll('.rx-ds-net:not(:disabled)').length === 8", timeout=LONG)
    settled(page)
    visit.assert_readable()
    visit.assert_readable_on_a_phone_in_the_dark()
