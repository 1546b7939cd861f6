"""The gradient explorer: what Python hands over, and a reader who moves the depth and the moment."""

import re
import statistics

import pytest
from browser import settled
from traitlets import TraitError

from resnet_edu.figures import style as figure
from resnet_edu.probes.records import GradientStudy, load_shipped
from resnet_edu.widgets import GradientExplorer
from resnet_edu.widgets.gradients import gradients

HEADER = {
    "net": "many", "weights": "untrained", "parameters": 0, "batch_norm": True, "seed": 0, "threads": 1,
    "dataset": {"name": "toy", "fingerprint": "f", "part": "train", "images": 64}, "seconds": 1.0,
    "device": {"type": "cpu", "name": "a processor"}, "date": "2026-01-02T00:00:00+00:00",
}  # fmt: skip


def net(kind: str, depth: int, grows: float, batch_norm: bool = True, gone: bool = False) -> dict:
    """A net whose gradient grows by this factor at each layer towards the image; `gone`: diverged at step 3."""
    norms = [grows ** (depth - 1 - i) for i in range(depth)]
    here = {"norms": norms, "loss": [2.0, 4.0, 2.5], "first": [norms[0]] * 3, "last": [grows] * 3}
    lost = {"norms": None, "loss": [None] * 3, "first": [None] * 3, "last": [None] * 3}
    return {
        "net": f"{kind}{depth}", "kind": kind, "depth": depth, "batch_norm": batch_norm,
        "diverged": [3, 3, 3] if gone else [None] * 3, "moments": [here, lost if gone else here],
    }  # fmt: skip


STUDY = GradientStudy(
    training={"batch_size": 64, "lr": 0.1},
    steps=[0, 20],
    seeds=[0, 1, 2],
    nets=[
        *(net("plain", depth, 1.2) for depth in (8, 20)),
        *(net("resnet", depth, 1.01) for depth in (8, 20)),
        *(net("plain", depth, 0.5, batch_norm=False) for depth in (8, 20)),
        *(net("resnet", depth, 1.5, batch_norm=False, gone=depth == 20) for depth in (8, 20)),
    ],
    **HEADER,
)


def explorer(**settings: object) -> GradientExplorer:
    return GradientExplorer(STUDY, **settings)


# ---------------------------------------------------------------- what is handed over


def test_the_norms_are_those_of_the_convolutions():
    handed = gradients(STUDY)
    for mine, theirs in zip(handed["nets"], STUDY.nets, strict=True):
        assert mine["norms"][0] == theirs["moments"][0]["norms"][:-1]  # the last layer is linear
        assert mine["first"][0] == statistics.median(theirs["moments"][0]["first"])
        assert mine["color"] == figure.COLORS[theirs["kind"]]
    gone = next(n for n in handed["nets"] if n["net"] == "resnet20" and not n["batch_norm"])
    assert (gone["norms"][1], gone["first"][1], gone["loss"]) == ([], None, [2.5, None])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 9}, "`depth` must be one of 8, 20, but it is 9"),
        ({"step": 1}, "`step` must be one of 0, 20"),
        ({"kind": "dense"}, "'kind' trait .*'plain', 'resnet', 'both'"),
    ],
)
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(TraitError, match=message):
        explorer(**settings)


def cells_of(page: str) -> list[list[str]]:
    """The rows of a table in HTML."""
    return [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", page)]


def test_the_tables_without_javascript():
    rows = cells_of(explorer(batch_norm=False, step=20).static_html())
    assert ["resnet20", "diverged", "–", "–"] in rows
    assert ["plain8", f"{0.5**7:.3g}", "0.5", f"{0.5**6:.3g}"] in rows


def test_the_shipped_records_are_there_by_default():
    shown = GradientExplorer()
    assert shown.depth == 56
    assert {n["kind"] for n in shown.data["nets"]} == {"plain", "resnet"}


def test_what_chapter_1_reads_there():
    """The numbers of the fold below the explorer: between which depths, how many times, at which step."""
    study = load_shipped("gradient-study-digits")
    ends = {
        (n["kind"], n["depth"], n["batch_norm"]): tuple(
            statistics.median(n["moments"][0][k]) for k in ("first", "last")
        )
        for n in study.nets
    }
    plain, residual = (
        {d: a / b for (k, d, bn), (a, b) in ends.items() if k == kind and bn} for kind in ("plain", "resnet")
    )
    assert max(ratio for depth, ratio in plain.items() if depth <= 20) < 10
    assert min(ratio for depth, ratio in plain.items() if depth >= 32) > 10
    (deepest,) = (n["moments"][0] for n in study.nets if n["kind"] == "plain" and n["depth"] == 110 and n["batch_norm"])
    factors = [first / last for first, last in zip(deepest["first"], deepest["last"], strict=True)]
    assert (round(min(factors) / 1e6), round(max(factors) / 1e6)) == (1, 4)
    assert max(residual.values()) < 30
    for length in ends["plain", 56, False]:
        assert 10**-7.5 < length < 10**-6.5
    (plain56,) = (n for n in study.nets if (n["net"], n["batch_norm"]) == ("plain56", False))
    vanishing = [statistics.median(m["first"]) / statistics.median(m["last"]) for m in plain56["moments"]]
    assert 0.5 < vanishing[0] < 2  # alike before training
    assert max(vanishing[1:]) < 0.01  # and then smallest at the first
    deep = [n for n in study.nets if n["kind"] == "resnet" and n["depth"] >= 56 and not n["batch_norm"]]
    assert deep
    assert all(step is not None and step <= 2 for n in deep for step in n["diverged"])


# ---------------------------------------------------------------- a reader


def rows(page) -> dict[str, list[str]]:
    """The table that is to be seen: name -> its cells."""
    settled(page)
    found = page.locator(".rx-table:visible tbody tr").all()
    return {row.locator("th").inner_text().strip(): row.locator("td").all_inner_texts() for row in found}


def story(page) -> str:
    settled(page)
    return page.locator(".rx-story:visible").inner_text()


def until(page, text: str) -> None:
    """Wait until the story says so: what the reader does is drawn in the next frame."""
    page.wait_for_function("t => document.querySelector('.rx-story').textContent.includes(t)", arg=text)


@pytest.mark.browser
@pytest.mark.parametrize("way", ["http", "file"])
def test_depth_norm_and_moment_by_keyboard(explorer_page, way):
    page = (visit := explorer_page(explorer(depth=20), way=way)).page
    ratio = 1.2**18
    assert rows(page)["plain20"] == [f"{1.2**19:.3g}", "1.2", f"{ratio:.3g}", "2.5"]
    assert f"plain20: the first convolution's gradient is {ratio:.3g} times as large as the last one's." in story(page)
    assert "resnet20: the first convolution's gradient is about as large as the last one's." in story(page)
    slider = page.get_by_role("slider", name="Layers of the network")
    slider.press("ArrowLeft")
    until(page, "plain8")
    assert slider.get_attribute("aria-valuetext") == "8"
    slider.press("End")
    page.get_by_label("without").check()
    until(page, "times smaller than the last one's")
    assert "plain20: the first convolution's gradient is 262,000 times smaller" in story(page)
    page.get_by_role("radio", name="before training").press("ArrowDown")
    until(page, "resnet20 has diverged: its loss is no longer a number.")
    assert rows(page)["resnet20"] == ["diverged", "–", "–", "–"]
    assert page.locator(".rx-chart:visible text", has_text="resnet20 has diverged").count() == 1
    page.get_by_role("radio", name="plain").check()
    page.wait_for_function("() => !document.querySelector('.rx-story').textContent.includes('resnet')")
    assert list(rows(page)) == ["plain20"]
    assert "NaN" not in page.locator("article").inner_html()
    assert not visit.foreign
    assert not visit.complaints


@pytest.mark.browser
def test_the_drawing_is_to_scale(explorer_page):
    """A gradient that grows by a constant factor is a straight line on a logarithmic axis, between the ticks."""
    page = explorer_page(explorer(depth=20, kind="plain")).page
    found = page.evaluate("""() => {
        const chart = document.querySelector(".rx-chart");
        const tick = (text) => [...chart.querySelectorAll(".rx-axes text")].find((t) => t.textContent === text);
        const one = Number(tick("1").getAttribute("y")), hundred = Number(tick("100").getAttribute("y"));
        const path = chart.querySelector("path[stroke-width]").getAttribute("d");
        const ys = path.match(/[\\d.]+ [\\d.]+/g).map((p) => Number(p.split(" ")[1]));
        return ys.map((y) => 100 ** ((one - 4 - y) / (one - hundred)));
    }""")
    assert found == pytest.approx([1.2**k for k in range(19, 0, -1)], rel=0.01)
