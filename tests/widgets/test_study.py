"""The study player: what Python hands over, and a reader who predicts, looks, scrubs and reads."""

import dataclasses
import math
import re
import statistics

import pytest
from browser import Visit, served, settled, write_explorer_page
from playwright.sync_api import Page, expect
from traitlets import TraitError

from resnet_edu.experiment.records import METRICS, RecordError, RunRecord
from resnet_edu.experiment.shipped import load_grid, load_records
from resnet_edu.figures import style as figure
from resnet_edu.training.recipe import Recipe
from resnet_edu.widgets import StudyPlayer
from resnet_edu.widgets.study import curves


@pytest.fixture(scope="module")
def digits() -> list[RunRecord]:
    return load_records("digits")


def run(net: str, seed: int, errors: list[float], **changes: object) -> RunRecord:
    """A record with these training errors at steps 0, 10, 20, ...; the test errors are one point higher."""
    points = [
        {"step": 10 * i, "lr": 0.1, **dict.fromkeys(METRICS, 0.5), "train_error": e, "test_error": e + 1}
        for i, e in enumerate(errors)
    ]
    dataset = {"name": "toy", "fingerprint": "f", "train": 1000, "test": 200, "shape": [1, 8, 8], "classes": ["a", "b"]}
    record = RunRecord(
        net,
        100,
        dataset,
        {"steps": 20, "batch_size": 100},
        seed,
        {"type": "cpu", "name": "a processor"},
        1,
        points,
        1.0,
    )
    return dataclasses.replace(record, date="2026-01-02T00:00:00+00:00", **changes)


TOY = [
    run("plain8", 0, [90.0, 40.0, 6.0]),
    run("plain8", 1, [80.0, 30.0, 4.0]),
    run("resnet8", 0, [90.0, 20.0, 0.0]),
    run("resnet8", 1, [70.0, 10.0, 0.0]),
]


# ---------------------------------------------------------------- what is handed over


def test_the_curves_are_those_of_the_records(digits):
    for net in curves(digits)["nets"]:
        runs = [r for r in digits if r.net == net["net"]]
        for metric in ("train_error", "test_error"):
            for mine, theirs in zip(net[metric], runs, strict=True):
                assert mine == pytest.approx(theirs.curve(metric)[1], abs=5e-4)
        assert net["steps"] == runs[0].curve("train_error")[0]


def test_colours_dashes_and_widths_are_those_of_the_figures(digits):
    drawn = {net["net"]: net for net in curves(digits)["nets"]}
    assert {net: d["color"] for net, d in drawn.items()} == {net: figure.COLORS[net[:-2]] for net in drawn}
    assert drawn["plain56"]["dash"] == list(figure.DASHES["plain"][1])
    assert drawn["resnet56"]["dash"] == []
    points = [drawn[net]["width"] * 72 / 96 for net in ("plain20", "plain56", "resnet56")]
    assert points == pytest.approx([1.2, 2.8, 2.8], abs=0.01)


def test_a_run_that_diverged_has_no_number():
    bad = run("plain8", 2, [90.0, math.nan, math.nan])
    (plain,) = (n for n in curves([*TOY, bad])["nets"] if n["net"] == "plain8")
    assert plain["train_error"][2] == [90.0, None, None]


def test_runs_without_a_common_step_are_told():
    other = dataclasses.replace(TOY[0], seed=9, curves=[{**TOY[0].curves[0], "step": 7}])
    with pytest.raises(RecordError, match="plain8 were never evaluated at the same step"):
        StudyPlayer([TOY[0], other])


def cifar(net: str, **recipe: object) -> RunRecord:
    settings = {**dataclasses.asdict(Recipe.paper()), **recipe}
    dataset = {**TOY[0].dataset, "name": "cifar10", "train": 50_000, "test": 10_000, "shape": [3, 32, 32]}
    return dataclasses.replace(TOY[0], net=net, dataset=dataset, recipe=settings)


def test_the_papers_numbers_stand_beside_its_own_recipe_only(digits):
    full = StudyPlayer([cifar("resnet20"), cifar("plain56")]).study["marks"]
    assert [(m["net"], m["value"], m["text"]) for m in full] == [
        ("plain56", 13.25, "about 13 to 13.5"),  # read off figure 6
        ("resnet20", 8.75, "8.75"),  # table 6
    ]
    assert {m["metric"] for m in full} == {"test_error"}
    assert StudyPlayer([cifar("resnet20", steps=1000, milestones=[500, 750])]).study["marks"] == []
    assert StudyPlayer(digits).study["marks"] == []


def test_the_table_without_javascript_has_the_final_errors(digits):
    html = StudyPlayer(digits).static_html()
    for net in ("plain20", "plain56", "resnet20", "resnet56"):
        mean = statistics.fmean(r.final["train_error"] for r in digits if r.net == net)
        assert re.search(rf">{net}</th>.*?{mean:.2f}", html)


@pytest.mark.parametrize("rate", [0.003, 0.1])
def test_the_table_without_javascript_is_that_of_the_rate(rate):
    grid = load_grid()
    mean = statistics.fmean(r.final["train_error"] for r in grid[rate] if r.net == "plain56")
    assert re.search(rf">plain56</th>.*?{mean:.2f}", StudyPlayer(grid, rate=rate).static_html())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nets": ["plain8", "vgg"]}, r"`nets` must be of plain8, resnet8, each once, but it is \['plain8', 'vgg'\]"),
        ({"nets": []}, "`nets` must be of"),
        ({"nets": ["plain8", "plain8"]}, "each once"),
        ({"metric": "train_loss"}, "'metric' trait .*'train_error', 'test_error'"),
        ({"scale": "cubic"}, "'scale' trait .*'linear', 'log'"),
        ({"step": 21}, "`step` must be from 0 to 20, but it is 21"),
        ({"step": -1}, "but it is -1"),
    ],
)
def test_wrong_settings_are_told(options, message):
    with pytest.raises(TraitError, match=message):
        StudyPlayer(TOY, **options)


def test_a_prediction_ranks_all_nets():
    player = StudyPlayer(TOY)
    player.prediction = ["resnet8", "plain8"]
    for wrong in (["plain8"], ["plain8", "plain8"], ["plain8", "vgg16"]):
        with pytest.raises(TraitError, match="`prediction` must"):
            player.prediction = wrong
    player.prediction = []


def at_rate(rate: float, share: float) -> list[RunRecord]:
    """The records, learnt at another rate, with a share of the errors."""
    return [
        dataclasses.replace(
            r,
            recipe={**r.recipe, "lr": rate},
            curves=[{**p, "train_error": share * p["train_error"]} for p in r.curves],
        )
        for r in TOY
    ]


def test_the_learning_rate_is_one_of_the_grid():
    grid = {0.1: at_rate(0.1, 1.0), 0.01: at_rate(0.01, 0.5)}
    player = StudyPlayer(grid, rate=0.01)
    assert [(each["rate"], each["nets"]) for each in player.study["rates"]] == [
        (rate, curves(records)["nets"]) for rate, records in grid.items()
    ]
    assert (player.rate, StudyPlayer(grid).rate, StudyPlayer(TOY).rate) == (0.01, 0.1, None)
    with pytest.raises(TraitError, match=r"`rate` must be one of 0.1, 0.01, but it is 0.5"):
        player.rate = 0.5
    with pytest.raises(TraitError, match=r"`rate` must be one of None, but it is 0.1"):
        StudyPlayer(TOY, rate=0.1)


def test_an_unknown_study_names_those_there_are():
    with pytest.raises(ValueError, match=r"no study 'mnist' comes with the package: there is .*digits"):
        StudyPlayer("mnist")


# ---------------------------------------------------------------- a reader


def cells(page) -> dict[str, list[str]]:
    """The live table: net -> its cells."""
    settled(page)
    rows = page.locator(".rx-table tbody tr").all()
    return {row.locator("th").inner_text().strip(): row.locator("td").all_inner_texts() for row in rows}


@pytest.mark.browser
def test_rank_by_keyboard_commit_and_compare(explorer_page):
    page = (visit := explorer_page(StudyPlayer(TOY))).page
    assert not page.locator(".rx-table").is_visible()
    page.get_by_role("button", name="Move plain8 down").focus()
    page.keyboard.press("Enter")
    assert page.locator(".rx-mount ol.rx-rank").first.locator("li > span").all_inner_texts() == ["resnet8", "plain8"]
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Move plain8 down"
    page.keyboard.press("Enter")  # at the bottom already: nothing happens
    page.get_by_role("button", name="Commit and show the curves").press("Enter")
    result = page.get_by_role("group", name="Your prediction and the result")
    assert page.evaluate("document.activeElement.className") == "rx-result"
    assert "right order: 1 of the 1 that" in result.inner_text()  # two seeds each, five points apart
    assert result.locator("li").all_inner_texts() == ["resnet8 0.00%", "plain8 5.00%"]
    page.get_by_role("button", name="Predict again").click()
    page.get_by_role("button", name="Commit and show the curves").click()
    assert "right order: 1 of the 1 that" in result.inner_text()  # the ranking was kept
    assert not visit.barriers()
    assert not visit.complaints


@pytest.mark.browser
def test_a_wrong_ranking_is_told_with_the_gap(explorer_page):
    page = explorer_page(StudyPlayer(TOY)).page
    page.get_by_role("button", name="Commit and show the curves").click()
    result = page.locator(".rx-result").inner_text()
    assert "Pairs in the right order: 0 of the 1 that can be told apart." in result
    assert "You expected less error of plain8 than of resnet8. It ended 5.0 percentage points higher." in result


@pytest.mark.browser
@pytest.mark.parametrize("way", ["http", "file"])
def test_show_me_now_scrub_and_read(explorer_page, way):
    page = (visit := explorer_page(StudyPlayer(TOY), way=way)).page
    page.get_by_role("button", name="Show me now").click()
    assert not page.locator(".rx-result").is_visible()
    assert cells(page) == {"plain8": ["5.00%", "4.00 to 6.00"], "resnet8": ["0.00%", "0.00 to 0.00"]}
    slider = page.get_by_role("slider", name="Step")
    assert slider.evaluate("s => s === document.activeElement")
    for button, step in (("Next evaluation", 0), ("Previous evaluation", 20)):  # round, from the last to the first
        page.get_by_role("button", name=button).click()
        page.wait_for_function(
            f"() => document.querySelector('.rx-table caption').textContent.includes('after {step} of')"
        )
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.querySelector('.rx-table caption').textContent.includes('after 10 of 20')")
    assert cells(page) == {"plain8": ["35.00%", "30.00 to 40.00"], "resnet8": ["15.00%", "10.00 to 20.00"]}
    assert slider.get_attribute("aria-valuetext") == "step 10: plain8 35.00%, resnet8 15.00%"
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('.rx-table caption').textContent.includes('after 0 of 20')")
    assert cells(page)["plain8"][0] == "85.00%"
    page.get_by_role("button", name="Next evaluation").click()
    page.wait_for_function("() => document.querySelector('.rx-table caption').textContent.includes('after 10 of 20')")
    page.get_by_label("test images").check()
    page.wait_for_function("() => document.querySelector('.rx-table caption').textContent.startsWith('test error')")
    assert cells(page)["plain8"] == ["36.00%", "31.00 to 41.00"]
    assert not visit.foreign
    assert not visit.complaints


@pytest.mark.browser
def test_another_learning_rate_shows_its_curves(explorer_page):
    page = (visit := explorer_page(StudyPlayer({0.1: at_rate(0.1, 1.0), 0.01: at_rate(0.01, 0.5)}, predict=False))).page
    assert cells(page)["plain8"] == ["5.00%", "4.00 to 6.00"]
    page.get_by_label("0.01").check()
    page.wait_for_function("() => document.querySelector('.rx-table').textContent.includes('2.50%')")
    assert cells(page)["plain8"] == ["2.50%", "2.00 to 3.00"]
    assert "at learning rate 0.01" in page.locator(".rx-holder:not(:has(.rx-pad)) .rx-chart").get_attribute(
        "aria-label"
    )
    assert not visit.barriers()
    assert not visit.complaints


@pytest.mark.browser
def test_the_drawing_is_to_scale(explorer_page):
    """The mean's line and the band are where the axes' own ticks say that they are."""
    page = explorer_page(StudyPlayer(TOY, predict=False)).page
    page.wait_for_selector(".rx-chart path[stroke]")
    heights = page.evaluate("""() => {
        const chart = document.querySelector(".rx-holder:not(:has(.rx-pad)) .rx-chart");
        const tick = (text) => [...chart.querySelectorAll(".rx-axes text")].find((t) => t.textContent === text);
        const zero = Number(tick("0").getAttribute("y")), eighty = Number(tick("80").getAttribute("y"));
        const path = chart.querySelector("g[clip-path] path:not(.rx-band)").getAttribute("d");
        return path.match(/[\\d.]+ [\\d.]+/g).map((p) => 80 * (zero - 4 - Number(p.split(" ")[1])) / (zero - eighty));
    }""")
    assert heights == pytest.approx([85, 35, 5], abs=0.3)  # a tenth of a pixel
    colours = page.locator(".rx-chart g[clip-path] path:not(.rx-band)").evaluate_all(
        "paths => paths.map(p => [p.getAttribute('stroke'), p.getAttribute('stroke-dasharray')])"
    )
    assert [c for c, _ in colours] == [figure.COLORS["plain"], figure.COLORS["resnet"]]
    assert [bool(d) for _, d in colours] == [True, False]


@pytest.mark.browser
def test_nets_come_and_go_but_one_stays(explorer_page):
    page = explorer_page(StudyPlayer(TOY, predict=False)).page
    page.get_by_role("checkbox", name="plain8").uncheck()
    page.wait_for_function("() => document.querySelectorAll('.rx-table tbody tr').length === 1")
    assert list(cells(page)) == ["resnet8"]
    page.get_by_role("checkbox", name="resnet8").click()
    assert page.get_by_role("checkbox", name="resnet8").is_checked()
    page.get_by_text("One network has to stay.").wait_for(state="attached")
    page.get_by_label("logarithmic").check()
    page.wait_for_function("() => document.querySelector('.rx-axes').textContent.includes('0.1')")
    assert list(cells(page)) == ["resnet8"]


@pytest.mark.browser
def test_pointing_at_the_chart_scrubs_and_wild_dragging_stays_within(explorer_page):
    page = (visit := explorer_page(StudyPlayer(TOY, predict=False))).page
    page.wait_for_selector(".rx-now")
    box = page.locator(".rx-chart:visible").last.bounding_box()
    for x, y in ((5, 50), (5000, -80), (-4000, 700), (box["x"] + box["width"] * 0.45, box["y"] + 60)):
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 3, y + 3, steps=3)
        page.mouse.up()
    page.wait_for_function("() => document.querySelector('.rx-table caption').textContent.includes('after 10 of 20')")
    assert not visit.complaints


@pytest.mark.browser
def test_the_papers_marks_and_diverged_runs(explorer_page):
    marked = [cifar("resnet20"), cifar("plain20")]
    diverged = [run("plain8", 0, [90.0, math.nan, math.nan]), run("resnet8", 0, [90.0, 10.0, 0.0])]
    page = (visit := explorer_page(StudyPlayer(marked, metric="test_error", predict=False), StudyPlayer(diverged))).page
    expect(page.locator(".rx-mark")).to_have_count(2)
    assert cells(page.locator(".rx-mount").first)["resnet20"] == ["7.00%", "8.75"]
    second = page.locator(".rx-mount").nth(1)
    second.get_by_role("button", name="Commit and show the curves").click()
    assert cells(second) == {"plain8": ["no number"], "resnet8": ["0.00%"]}
    assert "without a number, because its training diverged" in second.locator(".rx-result").inner_text()
    assert "NaN" not in page.locator("article").inner_text()
    assert "NaN" not in page.locator("article").inner_html()
    assert not visit.complaints


def sketch(page: Page, begin: int, end: int) -> None:
    """Draw a line on the pad, from one height to another in pixels below its top, and have the curves shown."""
    box = page.locator(".rx-pad").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + begin)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + end, steps=8)
    page.mouse.up()
    page.get_by_role("button", name="Show me now").click()
    settled(page)


@pytest.mark.browser
def test_a_sketch_is_drawn_kept_and_erased(explorer_page):
    page = explorer_page(StudyPlayer(TOY)).page
    sketch(page, 60, 160)
    assert page.locator(".rx-sketch:visible").count() == 1
    assert page.get_by_text("Dotted: your sketch.").is_visible()
    page.get_by_role("button", name="Predict again").click()
    page.get_by_role("button", name="Erase").click()
    page.get_by_role("button", name="Show me now").click()
    settled(page)
    assert page.locator(".rx-sketch:visible").count() == 0


@pytest.mark.browser
def test_a_sketch_stays_within_the_axes_and_is_told_where_it_is(explorer_page):
    """The pad goes up to 100%, whatever the errors are."""
    page = explorer_page(StudyPlayer([run("plain8", 0, [20.0, 10.0, 5.0]), run("resnet8", 0, [20.0, 8.0, 2.0])])).page
    box = page.locator(".rx-pad").bounding_box()
    page.mouse.click(box["x"] + 90, box["y"] + 60)
    page.get_by_role("button", name="Show me now").click()
    settled(page)
    note = page.get_by_text("Dotted: your sketch.")
    assert note.count() == 0  # a single point is no line
    page.get_by_role("button", name="Predict again").click()
    sketch(page, 20, 30)
    top, highest = page.evaluate("""() => {
      const chart = [...document.querySelectorAll(".rx-chart")].at(-1);
      const tick = [...chart.querySelectorAll(".rx-axes text")].find((t) => t.textContent === "100");
      const d = chart.querySelector(".rx-sketch").getAttribute("d");
      const ys = d.match(/[\\d.]+ [\\d.]+/g).map((p) => +p.split(" ")[1]);
      return [tick ? tick.getAttribute("y") - 4 : Infinity, Math.min(...ys)]; }""")
    assert highest >= top - 0.1
    assert note.is_visible()
    page.get_by_label("test images").check()
    settled(page)
    assert page.locator(".rx-sketch:visible").count() == 0
    assert note.count() == 0


@pytest.mark.browser
def test_playing_moves_on_by_itself_and_can_be_stopped(browser, tmp_path):
    context = browser.new_context()  # one in which motion is allowed
    with served(tmp_path) as ways:
        name = write_explorer_page(tmp_path, [StudyPlayer(TOY, step=0, predict=False)])
        page = Visit(context.new_page(), ways["http"]).open(name).page
        page.get_by_role("button", name="Play").click()
        page.wait_for_function(
            "() => document.querySelector('.rx-table caption').textContent.includes('after 20 of 20')"
        )
        page.get_by_role("button", name="Play").wait_for()  # it has stopped at the end
    context.close()


@pytest.mark.browser
def test_playing_stops_when_motion_is_no_longer_wanted(browser, tmp_path):
    context = browser.new_context()
    with served(tmp_path) as ways:
        slow = [run("plain8", 0, [50.0] * 400), run("resnet8", 0, [50.0] * 400)]
        name = write_explorer_page(tmp_path, [StudyPlayer(slow, step=0, predict=False)])
        page = Visit(context.new_page(), ways["http"]).open(name).page
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("() => !document.querySelector('.rx-table caption').textContent.includes('after 0 of')")
        page.emulate_media(reduced_motion="reduce")
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        expect(page.get_by_role("button", name="Play")).to_have_count(0)
        caption = page.locator(".rx-table caption").inner_text()
        page.wait_for_timeout(200)
        assert page.locator(".rx-table caption").inner_text() == caption
        page.emulate_media(reduced_motion="no-preference")
        expect(page.get_by_role("button", name="Play")).to_be_visible()
    context.close()


@pytest.mark.browser
def test_two_players_do_not_disturb_each_other(explorer_page):
    page = explorer_page(StudyPlayer(TOY, predict=False), StudyPlayer(TOY, predict=False)).page
    first, second = page.locator(".rx-mount").first, page.locator(".rx-mount").nth(1)
    first.get_by_role("slider").press("Home")
    first.get_by_label("test images").check()
    page.wait_for_function("() => document.querySelector('.rx-table caption').textContent.includes('after 0 of 20')")
    assert cells(first)["plain8"][0] == "86.00%"
    assert cells(second)["plain8"][0] == "5.00%"
    assert second.get_by_label("training images").is_checked()
    page.get_by_role("slider").nth(1).press("Home")
    names = page.evaluate("() => [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(names)) == len(names)
