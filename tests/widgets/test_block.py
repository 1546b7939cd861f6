"""The block explorer: beside the traces of the real blocks and PyTorch's own `+`, and by real clicks and keys."""

import random
import re

import javascript
import pytest
import torch
from browser import DESKTOP, PHONE, served, settled, write_explorer_page
from playwright.sync_api import expect
from traitlets import TraitError

from resnet_edu.nets.blocks import BasicBlock, Bottleneck, PlainBlock, ShapeMismatchError
from resnet_edu.probes.records import BRANCHES, load_branches
from resnet_edu.tracing.run import Trace, TraceError, trace
from resnet_edu.widgets import BlockExplorer


@pytest.fixture(scope="module")
def js():
    return javascript.load("block").call


def draw(rng: random.Random) -> dict:
    kind = rng.choice(["basic", "bottleneck"])
    step = 4 if kind == "bottleneck" else 1
    cin = rng.choice([1, 3, 8, 16, 64])
    cout = rng.choice([cin * step, *(step * n for n in (1, 2, 4, 16, 32))])
    return {"kind": kind, "cin": cin, "cout": cout, "size": rng.randint(1, 33), "stride": rng.choice([1, 1, 2, 2, 3])}


def real_block(spec: dict, shortcut: str) -> torch.nn.Module:
    with torch.device("meta"):
        if shortcut == "none":
            return PlainBlock(spec["cin"], spec["cout"], spec["stride"])
        if spec["kind"] == "bottleneck":
            return Bottleneck(spec["cin"], spec["cout"] // 4, spec["stride"], shortcut)
        return BasicBlock(spec["cin"], spec["cout"], spec["stride"], shortcut)


def real_trace(spec: dict, shortcut: str) -> Trace:
    return trace(real_block(spec, shortcut), (1, spec["cin"], spec["size"], spec["size"]))


def torch_adds(a: list[int], b: list[int]) -> tuple[list[int] | None, str | None]:
    try:
        return list((torch.empty(a) + torch.empty(b)).shape), None
    except RuntimeError as error:
        return None, str(error)


def as_ours(row) -> dict:
    """A row of the tracer's as the explorer names it: there the block is a part of a net."""
    return row.to_dict() | {"path": f"block.{row.path}"}


def test_every_option_of_a_block_is_as_its_trace(js):
    rng, seen = random.Random(0), {"fits": 0, "refused": 0, "broadcast": 0}
    for _ in range(60):
        spec = draw(rng)
        for ours in js("compare", spec):
            shortcut = ours["shortcut"]
            if shortcut == "none" and spec["kind"] == "bottleneck":
                continue  # the package has no plain bottleneck
            if ours["error"] or ours["broadcast"]:
                seen["broadcast" if ours["broadcast"] else "refused"] += 1
                with pytest.raises((TraceError, ValueError)) as caught:
                    real_trace(spec, shortcut)
                if shortcut == "zero_pad":
                    assert str(caught.value) == ours["error"]["text"]
                else:
                    assert isinstance(caught.value.__cause__, ShapeMismatchError)
                    said = ours["error"] and ours["error"]["text"]
                    assert torch_adds(ours["main"], ours["lane"]) == (ours["shape"], said)
                continue
            seen["fits"] += 1
            real = real_trace(spec, shortcut)
            assert ours["rows"] == [as_ours(row) for row in real.rows], (spec, shortcut)
            assert (ours["params"], ours["macs"]) == (real.total_params, real.total_macs)
            assert tuple(ours["shape"]) == real.rows[-1].output_shape
            inputs = [row.inputs for row in real.additions]
            assert inputs == ([] if shortcut == "none" else [(tuple(ours["main"]), tuple(ours["lane"]))])
    assert min(seen.values()) > 3, seen


def test_additions_are_those_of_pytorch(js):
    rng, refused = random.Random(1), 0
    for _ in range(400):
        a, b = ([rng.choice([1, 2, 3, 8]) for _ in range(4)] for _ in range(2))
        ours = js("add", a, b)
        assert (ours.get("shape"), ours.get("error")) == torch_adds(a, b)
        assert ours.get("broadcast", False) == (a != b and "error" not in ours)
        refused += "error" in ours
    assert 100 < refused < 390


# ---------------------------------------------------------------- the class


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"in_channels": 0}, "`in_channels` must be from 1 to 2,048, but it is 0"),
        ({"stride": 1.5}, "`stride` must be a whole number, but it is 1.5"),
        ({"shortcut": "B"}, "'shortcut' trait .*'none', 'identity', .*'B'"),
        ({"block": "bottleneck", "out_channels": 66}, "must be 4 times the width of its 3x3, but it is 66"),
    ],
)
def test_wrong_values_are_named(values: dict, message: str):
    with pytest.raises(TraitError, match=message):
        BlockExplorer(**values)


def static_table(explorer: BlockExplorer) -> dict[str, list[str]]:
    """The table of a reader without JavaScript: shortcut -> its other cells."""
    text = explorer.static_html().replace("<wbr>", "")
    rows = [re.findall("<td.*?>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", text)]
    return {cells[0]: cells[1:] for cells in rows if cells}


def test_without_javascript_there_is_a_table_of_the_traces():
    table = static_table(BlockExplorer())
    real = real_trace({"kind": "basic", "cin": 64, "cout": 128, "size": 56, "stride": 2}, "projection")
    assert table["projection"] == ["128×28×28", f"{real.total_params:,}", f"{real.total_macs:,}"]
    assert table["identity"][0].startswith("error: cannot add the main path")
    assert table[BRANCHES["before"]][0] == "0.0%"
    assert BRANCHES["before"] not in static_table(BlockExplorer(activations={}))


def test_the_table_without_javascript_has_the_explorers_numbers(js):
    rng, plain = random.Random(2), 0
    specs = [draw(rng) for _ in range(12)]
    specs.append({"kind": "bottleneck", "cin": 64, "cout": 256, "size": 56, "stride": 1})
    for spec in specs:
        values = {"block": spec["kind"], "in_channels": spec["cin"], "out_channels": spec["cout"]}
        table = static_table(BlockExplorer(**values, size=spec["size"], stride=spec["stride"], activations={}))
        for ours in js("compare", spec):
            cells = table[ours["shortcut"]]
            if ours["error"] or ours["broadcast"]:
                assert cells[0].startswith(("error: cannot add", "error: shortcut=")), (spec, cells)
                continue
            output = "×".join(map(str, ours["shape"][1:]))
            assert cells == [output, f"{ours['params']:,}", f"{ours['macs']:,}"], (spec, ours["shortcut"])
            plain += ours["shortcut"] == "none" and spec["kind"] == "bottleneck"
    assert table["none"][1] == "58,112"
    assert plain > 3


@pytest.mark.browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_without_javascript_the_tables_fit_the_page(browser, tmp_path, size: dict):
    context = browser.new_context(java_script_enabled=False, viewport=size)
    with served(tmp_path) as ways:
        page = context.new_page()
        odd = {"in_channels": 256, "out_channels": 128}
        page.goto(ways["http"] + write_explorer_page(tmp_path, [BlockExplorer(), BlockExplorer(**odd)]))
        room = page.locator(".cell").first.bounding_box()["width"]
        for table in page.locator("table").all():
            assert table.bounding_box()["width"] <= room
    context.close()


# ---------------------------------------------------------------- in the browser


class Shown:
    """One block explorer of a page, by what a reader sees of it."""

    def __init__(self, visit, index: int = 0) -> None:
        self.page = visit.page
        self.root = visit.page.locator(".rx").nth(index)
        self.rows = self.root.locator("tbody tr")

    def type(self, label: str, text: str) -> None:
        self.root.get_by_role("textbox", name=label, exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def says(self, text: str) -> None:
        expect(self.root).to_contain_text(text)

    def row(self, name: str) -> list[str]:
        settled(self.page)
        return self.rows.filter(has_text=name).locator("td").all_inner_texts()


@pytest.mark.browser
def test_every_shortcut_shows_what_its_trace_has(explorer_page):
    shown = Shown(explorer_page(BlockExplorer()))
    spec = {"kind": "basic", "cin": 64, "cout": 128, "size": 56, "stride": 2}
    names = {"none": "none", "zero_pad": "A: zero", "projection": "B: projection", "projection_all": "C: projection"}
    for shortcut, name in names.items():
        real = real_trace(spec, shortcut)
        cells = shown.row(name)
        assert cells[2].split()[0] == f"{real.total_params:,}"
        assert cells[3].split()[0] == f"{real.total_macs:,}"
    extra = real_trace(spec, "projection").total_params - real_trace(spec, "none").total_params
    shown.says(f"The projection has {extra:,} of the")
    drawing = shown.root.get_by_role("img").first
    expect(drawing).to_have_attribute("aria-label", re.compile(r"Shortcut: 1×1 conv, 128, stride 2, batch norm\.$"))


@pytest.mark.browser
def test_what_cannot_be_added_shows_the_error_of_pytorch(explorer_page):
    visit = explorer_page(BlockExplorer())
    shown = Shown(visit)
    shown.root.get_by_role("radio", name="B: projection").focus()
    for _ in range(2):
        shown.page.keyboard.press("ArrowUp")  # B, A, identity
    _, error = torch_adds([1, 128, 28, 28], [1, 64, 56, 56])
    shown.says(f"RuntimeError: {error}")
    assert shown.row("identity") == ["64×56×56", "no", "–", "–"]
    expect(shown.root.locator("tr[aria-current]")).to_contain_text("identity")
    shown.type("Stride", "1")
    _, error = torch_adds([1, 128, 56, 56], [1, 64, 56, 56])
    shown.says(f"RuntimeError: {error}")
    shown.type("Channels in", "1")
    shown.says("No error, but 128×56×56 + 1×56×56 becomes 128×56×56 by broadcasting")
    shown.type("Channels in", "128")
    shown.says("The shapes are equal, so the input itself is added")
    shown.type("Channels out", "64")
    shown.root.get_by_role("radio", name="A: zero padding").check()
    with pytest.raises(ValueError) as caught:
        BasicBlock(128, 64, 1, "zero_pad")
    shown.says(f"ValueError: {caught.value}")
    assert not visit.complaints


@pytest.mark.browser
def test_a_bottleneck_keeps_to_multiples_of_four(explorer_page):
    shown = Shown(explorer_page(BlockExplorer(out_channels=66)))
    shown.root.get_by_role("radio", name="bottleneck").check()
    field = shown.root.get_by_role("textbox", name="Channels out")
    expect(field).to_have_value("68")
    shown.type("Channels out", "257")
    expect(field).to_have_value("256")
    shown.says("257 is not one of 4, 8, 12, ...: 256 is taken.")
    shown.type("Channels in", "256")
    shown.type("Stride", "1")
    shown.root.get_by_role("radio", name="C: projection always").check()
    real = real_trace({"kind": "bottleneck", "cin": 256, "cout": 256, "size": 56, "stride": 1}, "projection_all")
    assert shown.row("C: projection")[2].split()[0] == f"{real.total_params:,}"


@pytest.mark.browser
def test_a_wrong_input_is_clamped_and_explained(explorer_page):
    visit = explorer_page(BlockExplorer())
    shown = Shown(visit)
    field = shown.root.get_by_role("textbox", name="Channels in")
    for typed, kept in (("many", "64"), ("0", "1"), ("-7", "1"), ("1e12", "2048"), ("", "64")):
        shown.type("Channels in", "64")
        field.fill("")
        shown.page.keyboard.insert_text(typed)  # as a paste does
        shown.page.keyboard.press("Tab")
        expect(field).to_have_value(kept)
        settled(shown.page)
        assert shown.root.locator(".rx-note:not(:empty)").count() == 1, typed
        for wrong in ("NaN", "undefined", "null", "Infinity"):
            assert wrong not in shown.root.inner_text(), typed
    assert not visit.complaints


@pytest.mark.browser
def test_the_histograms_say_what_the_record_has(explorer_page):
    record = load_branches()
    shown = Shown(explorer_page(BlockExplorer(), BlockExplorer(activations={})))
    expect(shown.root.locator("figure").first).to_be_hidden()
    shown.root.get_by_text("hands to the addition, measured").click()
    expect(shown.root.locator("figure").first).to_be_visible()
    for figure, one in zip(shown.root.locator("figure").all(), record["measured"], strict=True):
        assert f"{one['negative']:.1%} of the branch" in figure.inner_text()
        assert f"correlate by {one['correlation']:.2f}" in figure.inner_text()
        bars = [float(bar.get_attribute("height")) for bar in figure.locator("rect").all()]
        tallest = max(max(m["counts"]) for m in record["measured"])
        assert bars[: len(one["counts"])] == pytest.approx([78 * c / tallest for c in one["counts"]])
    assert shown.page.locator(".rx").nth(1).locator("figure").count() == 0


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_wrong_or_large_is_readable_and_fits_on_a_phone(explorer_page, scheme: str):
    large = {"in_channels": 2048, "out_channels": 2048, "size": 512, "stride": 8, "activations": {}}
    visit = explorer_page(
        BlockExplorer(shortcut="identity", activations={}),
        BlockExplorer(shortcut="zero_pad", in_channels=128, out_channels=64, activations={}),
        BlockExplorer(shortcut="identity", in_channels=1, stride=1, activations={}),
        BlockExplorer(block="bottleneck", **large),
        BlockExplorer(shortcut="identity", **large | {"stride": 1}),  # the longest shapes beside the shortcut
        BlockExplorer(shortcut="none", activations={}),
    )
    visit.show(scheme)
    visit.assert_readable()
    visit.page.set_viewport_size(DESKTOP)
