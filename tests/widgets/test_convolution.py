"""The convolution explorer: its arithmetic beside resnet_edu.shapes and PyTorch itself, and by real clicks and keys."""

import random
import re
from datetime import datetime

import javascript
import pytest
import torch
from browser import DESKTOP, Visit, served, settled, write_explorer_page
from playwright.sync_api import expect
from torch import nn
from traitlets import TraitError

from resnet_edu.nets.shapes import ReceptiveField, conv_output_size
from resnet_edu.tracing.run import trace
from resnet_edu.widgets import ConvolutionExplorer


@pytest.fixture(scope="module")
def js():
    return javascript.load("convolution").call


def draw(rng: random.Random, op: str = "conv") -> dict:
    return {
        "op": op,
        "kernel": rng.randint(1, 7),
        "stride": rng.randint(1, 4),
        "padding": rng.randint(0, 4),
        "dilation": rng.randint(1, 3) if op == "conv" else 1,
    }


def torch_layer(layer: dict) -> nn.Module:
    options = {name: value for name, value in layer.items() if name not in ("op", "kernel")}
    if layer["op"] == "pool":
        return nn.MaxPool2d(layer["kernel"], **options)
    return nn.Conv2d(1, 1, layer["kernel"], **options, bias=False)


def torch_says(size: int, layer: dict) -> tuple[int | None, str | None]:
    try:
        return torch_layer(layer)(torch.zeros(1, 1, size, size)).shape[-1], None
    except RuntimeError as error:
        return None, str(error)


@pytest.mark.parametrize("op", ["conv", "pool"])
def test_sizes_and_errors_are_those_of_pytorch(js, op: str):
    rng, refused = random.Random(op), 0
    for _ in range(400):
        size, layer = rng.randint(1, 14), draw(rng, op)
        expected, error = torch_says(size, layer)
        assert js("refusal", size, layer) == error, (size, layer)
        assert js("outputSize", size, layer) == expected, (size, layer)
        refused += error is not None
    assert 40 < refused < 360  # both kinds were drawn


def test_sizes_are_those_of_the_package(js):
    rng = random.Random(1)
    for _ in range(300):
        size, layer = rng.randint(1, 512), draw(rng)
        options = {name: value for name, value in layer.items() if name != "op"}
        if js("refusal", size, layer):
            with pytest.raises(ValueError, match="the kernel reaches over"):
                conv_output_size(size, **options)
        else:
            assert js("outputSize", size, layer) == conv_output_size(size, **options)


def seen_by_autograd(size: int, layers: list[dict], index: int) -> list[int]:
    """The image pixels of one row on which an output depends: those with a gradient, all weights being 1."""
    x = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    y = x
    for layer in layers:
        conv = nn.Conv1d(
            1, 1, layer["kernel"], layer["stride"], layer["padding"], layer["dilation"], bias=False, dtype=torch.float64
        )
        nn.init.ones_(conv.weight)
        y = conv(y)
    (grad,) = torch.autograd.grad(y[0, 0, index], x)
    return grad[0, 0].nonzero().flatten().tolist()


def test_what_an_output_sees_is_where_autograd_finds_a_gradient(js):
    rng, compared = random.Random(2), 0
    while compared < 100:
        size, layers = rng.randint(4, 40), [draw(rng) for _ in range(rng.randint(1, 4))]
        sizes = [row["size"] for row in js("walk", size, layers)]
        if None in sizes:
            continue
        index = rng.randrange(sizes[-1])
        levels = js("seen", index, layers, sizes)
        assert levels[0] == seen_by_autograd(size, layers, index), (size, layers, index)
        assert levels[-1] == [index]
        assert len(levels) == len(layers) + 1
        compared += 1


def test_pixels_that_no_window_reads_have_no_gradient(js):
    rng, dropped = random.Random(3), 0
    for _ in range(60):
        size, layer = rng.randint(1, 12), draw(rng)
        output = js("outputSize", size, layer)
        if output is None:
            continue
        read = {p for index in range(output) for p in seen_by_autograd(size, [layer], index)}
        assert js("unread", size, layer) == sorted(set(range(size)) - read), (size, layer)
        dropped += len(read) < size
    assert dropped > 10


def test_a_stack_walks_as_receptive_field_does(js):
    rng = random.Random(4)
    for _ in range(200):
        size, layers = rng.randint(1, 300), [draw(rng) for _ in range(rng.randint(1, 6))]
        rows, field = js("walk", size, layers), ReceptiveField()
        assert rows[0] == {"size": size, "error": None, "field": 1, "jump": 1, "start": 0}
        for below, row, layer in zip(rows, rows[1:], layers, strict=False):
            field = field.after(*(layer[name] for name in ("kernel", "stride", "padding", "dilation")))
            assert (row["field"], row["jump"], row["start"]) == (field.size, field.jump, field.start)
            assert (row["size"] is None) == (row["error"] is not None)
            assert row["size"] == js("outputSize", below["size"], layer)
        assert len(rows) == len(layers) + 1 or rows[-1]["error"]


@pytest.mark.parametrize(
    ("positions", "expected"), [([], []), ([3], [[3, 3]]), ([0, 1, 2, 5, 7, 8], [[0, 2], [5, 5], [7, 8]])]
)
def test_neighbours_make_a_run(js, positions: list[int], expected: list[list[int]]):
    assert js("runs", positions) == expected


# ---------------------------------------------------------------- the class


def test_layers_are_completed_and_read_back():
    explorer = ConvolutionExplorer(size=28, layers=[{"kernel": 5}, {"op": "pool", "kernel": 2, "stride": 2}])
    assert explorer.layers == [
        {"op": "conv", "kernel": 5, "stride": 1, "padding": 0, "dilation": 1},
        {"op": "pool", "kernel": 2, "stride": 2, "padding": 0, "dilation": 1},
    ]
    assert ConvolutionExplorer().layers is not explorer.layers


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "`size` must be from 1 to 512, but it is 0"),
        ({"kernel": "3"}, "`kernel` must be a whole number, but it is '3'"),
        ({"cell": [1]}, "'cell' trait .* must be of length 2"),
        ({"cell": [0, -1]}, "less than 0, but a value of -1"),
        ({"layers": []}, "'layers' trait .* of length 1 <= L <= 12"),
        ({"layers": [{}] * 13}, "'layers' trait .* of length 1 <= L <= 12"),
        ({"layers": [{"size": 3}]}, "key of layers.0.` must be one of 'op', 'kernel', .* but it is 'size'"),
        ({"layers": [{}, {"op": "mean"}]}, "`layers.1...op..` must be one of 'conv', 'pool', but it is 'mean'"),
        ({"layers": [{"stride": 0}]}, "`layers.0...stride..` must be from 1 to 8, but it is 0"),
        ({"layers": [{"op": "pool", "dilation": 2}]}, "`layers.0...dilation..` must be from 1 to 1"),
    ],
)
def test_wrong_values_are_named(values: dict, message: str):
    with pytest.raises(TraitError, match=message):
        ConvolutionExplorer(**values)


def test_without_javascript_there_are_formula_and_stack():
    text = ConvolutionExplorer(size=8, stride=2, image=9, layers=[{"stride": 2}] * 3).static_html()
    assert "⌊(8 + 2·1 − 3) / 2⌋ + 1 = 4" in text
    cells = [re.findall("<td.*?>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", text)[1:]]
    assert [row[-2:] for row in cells[:2]] == [["4", "3"], ["1", "7"]]  # 9 -> 4 -> 1, and then no 3x3 fits
    assert "has 1 pixels, but the kernel" in cells[2][-2]
    assert "reaches over 3" in ConvolutionExplorer(size=1, padding=0).static_html()


# ---------------------------------------------------------------- in the browser


class Shown:
    """One convolution explorer of a page, by what a reader sees of it."""

    def __init__(self, visit, index: int = 0) -> None:
        self.page = visit.page
        self.root = visit.page.locator(".rx").nth(index)
        self.output = self.root.get_by_role("slider", name="Output cell")
        self.rows = self.root.locator("tbody tr")

    def field(self, label: str):
        return self.root.get_by_role("textbox", name=label, exact=True)

    def type(self, label: str, text: str) -> None:
        self.field(label).fill(text)
        self.field(label).press("Enter")

    def says(self, text: str) -> None:
        expect(self.root).to_contain_text(text)

    def column(self, index: int) -> list[str]:
        settled(self.page)
        return [row.locator("td").nth(index).inner_text() for row in self.rows.all()]


@pytest.mark.browser
def test_the_window_follows_keys_and_clicks(explorer_page):
    shown = Shown(explorer_page(ConvolutionExplorer()))
    shown.says("Output [2, 3] sees rows 1 to 3 and columns 2 to 4 of the input.")
    shown.output.focus()
    moves = {
        "ArrowRight": "[2, 4]",
        "ArrowDown": "[3, 4]",
        "End": "[3, 7]",
        "PageUp": "[0, 7]",
        "ArrowUp": "[0, 7]",  # there is no row above
        "Home": "[0, 0]",
        "PageDown": "[7, 0]",
    }
    for key, cell in moves.items():
        shown.page.keyboard.press(key)
        expect(shown.output).to_have_attribute("aria-valuetext", re.compile(rf"^Output {re.escape(cell)}"))
    shown.says("Output [7, 0] sees rows 6 and 7 and columns 0 and 1 of the input, and 5 zeros of the padding.")
    box = shown.output.bounding_box()
    shown.page.mouse.click(box["x"] + box["width"] * 6.5 / 8, box["y"] + box["height"] * 5.5 / 8)
    shown.says("Output [5, 6] sees rows 4 to 6 and columns 5 to 7")


@pytest.mark.browser
def test_the_formula_and_the_error_follow_the_fields(explorer_page):
    shown = Shown(explorer_page(ConvolutionExplorer()))
    shown.says("= ⌊(8 + 2·1 − 3) / 1⌋ + 1 = 7 + 1 = 8")
    shown.says("The kernel costs k − 1 = 2 pixels, the padding gives 2 · 1 = 2: the size stays.")
    shown.type("Stride s", "2")
    shown.says("= ⌊(8 + 2·1 − 3) / 2⌋ + 1 = ⌊3.5⌋ + 1 = 3 + 1 = 4")
    shown.type("Dilation d", "3")
    shown.says("= ⌊(8 + 2·1 − 3·(3 − 1) − 1) / 2⌋ + 1 = ⌊1.5⌋ + 1 = 1 + 1 = 2")
    shown.type("Kernel k", "5")
    size, error = torch_says(8, {"op": "conv", "kernel": 5, "stride": 2, "padding": 1, "dilation": 3})
    assert size is None
    shown.says(f"RuntimeError: {error}")
    expect(shown.output).to_have_attribute("aria-disabled", "true")
    shown.output.focus()
    shown.page.keyboard.press("ArrowRight")  # there is nowhere to go, and nothing breaks
    shown.type("Input size n", "20")
    expect(shown.root.locator(".rx-error").first).to_be_hidden()
    shown.says(f"{conv_output_size(20, 5, 2, 1, 3)} × {conv_output_size(20, 5, 2, 1, 3)}")


TYPED = [  # what is typed in the place of a 3, and what is taken
    ("abc", "3"),
    ("", "3"),
    ("0", "1"),
    ("-4", "1"),
    ("999999999999", "11"),
    ("4.6", "5"),
    (" 7\t", "7"),
    ("1e999", "3"),
]


@pytest.mark.browser
def test_a_wrong_input_is_clamped_and_explained(explorer_page):
    visit = explorer_page(ConvolutionExplorer())
    shown = Shown(visit)
    field, note = shown.field("Kernel k"), shown.root.locator(".rx-note").nth(1)
    for typed, kept in TYPED:
        shown.type("Kernel k", "3")
        field.fill("")
        shown.page.keyboard.insert_text(typed)  # as a paste does
        field.press("Enter")
        expect(field).to_have_value(kept)
        settled(shown.page)
        assert bool(note.inner_text()) == (typed.strip() != kept), typed
        for wrong in ("NaN", "undefined", "null", "Infinity"):
            assert wrong not in shown.root.inner_text(), typed
    assert not visit.complaints


@pytest.mark.browser
def test_play_steps_and_pause(browser, tmp_path):
    context = browser.new_context(viewport=DESKTOP, reduced_motion="no-preference")
    page = context.new_page()
    page.clock.install(time=datetime(2026, 1, 1))
    with served(tmp_path) as ways:
        shown = Shown(Visit(page, ways["http"]).open(write_explorer_page(tmp_path, [ConvolutionExplorer()])))
        page.clock.pause_at(datetime(2026, 1, 2))  # from here on time passes only when the test says so

        def expect_cell(text: str) -> None:
            page.clock.run_for(50)  # the frame in which it is drawn
            expect(shown.output).to_have_attribute("aria-valuetext", re.compile(rf"^Output {re.escape(text)}"))

        page.clock.run_for(5_000)
        expect_cell("[2, 3]")  # nothing moves by itself
        shown.root.get_by_role("button", name="Next place").click()
        expect_cell("[2, 4]")
        shown.root.get_by_role("button", name="Previous place").click()
        expect_cell("[2, 3]")
        shown.root.get_by_role("button", name="Play").press("Enter")
        page.clock.run_for(2_020)
        expect_cell("[2, 7]")  # four steps of half a second
        shown.root.get_by_role("button", name="Pause").press("Space")
        page.clock.run_for(5_000)
        expect_cell("[2, 7]")
        shown.output.focus()
        page.keyboard.press("PageDown")
        page.keyboard.press("End")
        expect_cell("[7, 7]")
        shown.root.get_by_role("button", name="Play").click()
        page.clock.run_for(520)
        expect_cell("[0, 0]")  # from the last place on to the first
        page.clock.run_for(60_000)
        expect_cell("[7, 7]")  # and there it ends
        expect(shown.root.get_by_role("button", name="Play")).to_be_visible()
    context.close()


@pytest.mark.browser
def test_nothing_plays_where_motion_is_not_wanted(explorer_page):
    shown = Shown(explorer_page(ConvolutionExplorer()))  # the fixture's browser asks for reduced motion
    assert shown.root.get_by_role("button", name="Play").count() == 0
    shown.root.get_by_role("button", name="Next place").click()
    shown.says("Output [2, 4]")


@pytest.mark.browser
def test_a_stack_answers_why_seven_times_seven(explorer_page):
    shown = Shown(explorer_page(ConvolutionExplorer()))
    shown.says("After layer 3, output 7 sees 7 pixels along each side: 4 to 10.")
    shown.root.get_by_label("A stack of layers").select_option(label="two blocks of conv, conv, pool")
    shown.says("A map of 7 × 7 is left. With c channels, flattened, it is Linear(c * 7 * 7, …).")
    net = nn.Sequential(*(torch_layer(layer) for layer in [
        {"op": op, "kernel": kernel, "stride": stride, "padding": padding, "dilation": 1}
        for op, kernel, stride, padding in [("conv", 3, 1, 1), ("conv", 3, 1, 1), ("pool", 2, 2, 0)] * 2
    ]))  # fmt: skip
    rows = trace(net, (1, 1, 28, 28)).rows
    assert shown.column(5) == [str(row.output_shape[-1]) for row in rows]
    assert [text.rpartition("= ")[2] for text in shown.column(6)] == [str(row.receptive_field) for row in rows]
    shown.root.get_by_label("A stack of layers").select_option(label="where a ResNet halves")
    assert shown.column(5) == ["112", "56", "28", "14", "7"]
    shown.type("Image size", "100")
    expect(shown.rows.nth(4).locator("td").nth(5)).to_have_text("4")
    expect(shown.root.get_by_label("A stack of layers")).to_have_value("-1")
    shown.type("Look at output", "77")
    shown.says("77 is too large: the most is 3.")
    shown.says("After layer 5, output 3 sees")


@pytest.mark.browser
def test_a_stack_grows_shrinks_and_fails_by_keyboard(explorer_page):
    visit = explorer_page(ConvolutionExplorer(image=9, layers=[{"stride": 2}, {"stride": 2}]))
    shown = Shown(visit)
    assert shown.column(5) == ["4", "1"]
    add = shown.root.get_by_role("button", name="Add a layer")
    add.focus()
    shown.page.keyboard.press("Enter")  # a 3x3 with padding 1 still fits on one pixel
    expect(shown.rows).to_have_count(3)
    shown.field("Layer 3, padding").fill("0")
    _, error = torch_says(1, {"op": "conv", "kernel": 3, "stride": 1, "padding": 0, "dilation": 1})
    shown.says(f"PyTorch, in layer 3: RuntimeError: {error}")
    shown.root.get_by_label("Layer 3, kind").select_option("pool")
    _, error = torch_says(1, {"op": "pool", "kernel": 3, "stride": 1, "padding": 0, "dilation": 1})
    shown.says(f"PyTorch, in layer 3: RuntimeError: {error}")
    assert not [line for _, _, line in visit.barriers()]
    shown.root.get_by_role("button", name="Remove layer 3").focus()
    shown.page.keyboard.press("Space")
    expect(shown.rows).to_have_count(2)
    expect(add).to_be_focused()
    for _ in range(12):  # two more than there can be
        shown.page.keyboard.press("Enter")
        shown.page.wait_for_timeout(20)
    expect(shown.rows).to_have_count(12)
    expect(add).to_be_disabled()
    expect(add).to_be_focused()
    assert not visit.complaints


@pytest.mark.browser
def test_the_output_is_named_under_its_middle(explorer_page):
    page = explorer_page(ConvolutionExplorer()).page
    name, plane = page.locator(".rx-cv-names > :last-child"), page.locator(".rx-cv-plane [role=slider]")
    middle = """e => { const r = document.createRange(); r.selectNodeContents(e);
      const b = (e.ownerSVGElement ? e : r).getBoundingClientRect(); return b.x + b.width / 2; }"""
    assert name.evaluate(middle) == pytest.approx(plane.evaluate(middle), abs=6)


@pytest.mark.browser
def test_two_on_a_page_do_not_disturb_each_other(explorer_page):
    visit = explorer_page(ConvolutionExplorer(), ConvolutionExplorer(size=5))
    first, second = Shown(visit, 0), Shown(visit, 1)
    read_out = second.root.get_by_role("status").filter(has_text="After layer 3, output 7 sees")
    expect(read_out).to_have_count(1)  # it comes last, a moment after the drawing that says the same
    before = second.root.inner_text()
    first.type("Kernel k", "5")
    first.root.get_by_role("button", name="Add a layer").click()
    expect(first.rows).to_have_count(4)
    assert second.root.inner_text() == before


@pytest.mark.browser
def test_fast_dragging_ends_where_the_hand_does(explorer_page):
    visit = explorer_page(ConvolutionExplorer(size=24))
    shown = Shown(visit)
    box = shown.output.bounding_box()
    shown.page.mouse.move(box["x"] + 2, box["y"] + 2)
    shown.page.mouse.down()
    for i in range(40):
        shown.page.mouse.move(box["x"] + (i * 37) % box["width"], box["y"] + (i * 53) % box["height"])
    shown.page.mouse.move(box["x"] + box["width"] + 400, box["y"] + box["height"] + 400)  # far outside
    shown.page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    shown.page.mouse.up()
    shown.says("Output [23, 23]")
    slider = shown.root.get_by_role("slider", name="Kernel k, slider")
    slider.evaluate(
        "e => { for (let i = 1; i < 60; i++) { e.value = (i * 7) % 12; e.dispatchEvent(new Event('input')); } }"
    )
    expect(shown.field("Kernel k")).to_have_value("5")  # 59 * 7 = 413 = 34 * 12 + 5
    shown.says("− 5) / 1⌋")
    assert not visit.complaints


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_wrong_or_large_is_readable_and_fits_on_a_phone(explorer_page, scheme: str):
    visit = explorer_page(
        ConvolutionExplorer(size=1, padding=0, image=2, layers=[{"kernel": 11}]),
        ConvolutionExplorer(size=512, kernel=11, stride=8, image=512, layers=[{"padding": 1}] * 12),
        ConvolutionExplorer(size=9, stride=3, kernel=1, padding=10),
    )
    visit.show(scheme)
    visit.assert_readable()
    visit.page.set_viewport_size(DESKTOP)


FOCUSED = """() => {
  const e = document.activeElement;
  if (e === document.body) return null;
  const ring = e.querySelector(".rx-cv-ring"); // a part of a drawing has no outline of its own
  const seen = ring ? getComputedStyle(ring).stroke !== "none" : parseFloat(getComputedStyle(e).outlineWidth) >= 2;
  const label = document.querySelector(`label[for="${e.id}"]`);
  return [e.getAttribute("aria-label") ?? (label ?? e).textContent, seen];
}"""


@pytest.mark.browser
def test_the_keyboard_reaches_everything_in_order(explorer_page):
    shown = Shown(explorer_page(ConvolutionExplorer(layers=[{}])))
    reached = []
    for _ in range(40):
        shown.page.keyboard.press("Tab")
        reached.append(shown.page.evaluate(FOCUSED))
        if reached[-1] is None:
            break
    names = [entry[0] for entry in reached[:-1]]
    assert all(seen for _, seen in reached[:-1])
    wanted = ["Input size n", "Kernel k", "Kernel k, slider", "Dilation d, slider", "Next place of the window"]
    wanted += ["Output cell", "A stack of layers", "Image size", "Look at output", "Layer 1, kind", "Layer 1, kernel"]
    wanted += ["Add a layer"]
    assert [name for name in names if name in wanted] == wanted
