"""Diagrams of blocks and nets: what they say is what runs, and the SVG is well formed."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
import torchvision
from torch import nn

from resnet_edu.figures import diagrams
from resnet_edu.figures.diagrams import _ADD, _SHORTCUT, Drawing
from resnet_edu.figures.style import COLORS
from resnet_edu.nets.blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock
from resnet_edu.nets.models import plain34, resnet20, resnet34, resnet50
from resnet_edu.tracing.rows import rows_by_size
from resnet_edu.tracing.run import trace

SHAPE = (1, 64, 56, 56)
PHOTO = (1, 3, 224, 224)


def elements(drawing: Drawing, name: str, part: int = 0) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(drawing.parts[part]).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


def draw_block(block: nn.Module) -> Drawing:
    return diagrams.blocks({"Block": block}, SHAPE)


def assert_boxes_are_inside_and_apart(drawing: Drawing, beside: float = 0) -> None:
    _, _, width, height = map(float, elements(drawing, "svg")[0].get("viewBox").split())
    boxes = [[float(box.get(k)) for k in ("x", "y", "width", "height")] for box in elements(drawing, "rect")]
    assert boxes
    assert all(x >= 0 and y >= 0 and x + w + beside <= width and y + h <= height for x, y, w, h in boxes)
    assert len({(x, y) for x, y, _, _ in boxes}) == len(boxes)


class TestBlocks:
    def test_a_plain_block_is_a_straight_line(self):
        drawing = draw_block(PlainBlock(64, 128, 2))
        assert drawing.alts == [
            "Block: input 64×56×56; 3×3 conv, 128, stride 2, batch norm, ReLU, 3×3 conv, 128, batch norm, ReLU; "
            "output 128×28×28. No shortcut."
        ]
        assert len(elements(drawing, "rect")) == 6
        assert not elements(drawing, "circle")
        assert [t.text for t in elements(drawing, "text")].count("128×28×28") == 3  # after convolutions and at the end

    def test_unequal_strides_are_both_named(self):
        drawing = draw_block(nn.Sequential(nn.Conv2d(64, 8, 3, stride=(1, 2), padding=1)))
        assert "3×3 conv, 8, stride 1×2; output 8×56×28" in drawing.alts[0]

    @pytest.mark.parametrize(
        ("block", "shortcut"),
        [
            (BasicBlock(64, 64), "from the input to the addition: unchanged."),
            (BasicBlock(64, 128, 2, shortcut="zero_pad"), "from the input to the addition: zero padding."),
            (BasicBlock(64, 128, 2), "from the input to the addition: 1×1 conv, 128, stride 2, batch norm."),
            (PreActBlock(64, 128, 2), "from the output of ReLU to the addition: 1×1 conv, 128, stride 2."),
            (Bottleneck(64, 16), "from the input to the addition: unchanged."),
        ],
    )
    def test_shortcuts_are_told_from_where_they_begin(self, block, shortcut):
        drawing = draw_block(block)
        assert drawing.alts[0].endswith(f"Shortcut {shortcut}")
        assert len(elements(drawing, "circle")) == 2  # the branching point and the addition
        layers = [m for m in block.modules() if not list(m.children())]
        relu_calls = 1 if isinstance(block, BasicBlock | PreActBlock) else 2  # one module, called several times
        assert len(elements(drawing, "rect")) == len(layers) + relu_calls
        assert_boxes_are_inside_and_apart(drawing)

    def test_a_bottleneck_is_as_wide_as_its_channels(self):
        drawing = diagrams.blocks({"bottleneck": Bottleneck(256, 64)}, (1, 256, 56, 56))
        widths = [float(box.get("width")) for box in elements(drawing, "rect")]
        assert len(widths) == 9  # three convolutions with batch norm and ReLU; the last ReLU is behind the addition
        assert widths[1] == widths[5] == 64 / 256 * widths[6] == 64 / 256 * widths[8]
        assert widths[0] == pytest.approx(widths[1], abs=4)  # a label may need a little more
        bands = [path.get("d") for path in elements(drawing, "path") if path.get("fill-opacity")]
        assert len(bands) == 1 + 2 * 10  # the input; above and behind each box and the addition
        assert_boxes_are_inside_and_apart(drawing)

    def test_a_layer_that_does_not_run_is_not_drawn(self):
        block = PlainBlock(64, 64)
        wanted = draw_block(block).alts
        block.spare = nn.Linear(2, 2)
        assert draw_block(block).alts == wanted

    def test_several_blocks_stand_side_by_side_with_a_caption(self):
        models = {"plain <b>": PlainBlock(64, 64), "residual": BasicBlock(64, 64)}
        drawing = diagrams.blocks(models, SHAPE, caption="a < b")
        html = drawing._repr_html_()
        assert html.count('role="img"') == 2
        assert "<figcaption>a &lt; b</figcaption>" in html
        assert "<b>" not in html
        assert str(drawing).startswith("plain <b>: input 64")

    @pytest.mark.parametrize(
        ("modules", "message"),
        [
            ({}, "it is empty"),
            ({"net": resnet20().layer1}, "'net' has 3 additions"),
            ({"x": nn.Conv2d(3, 8, 3)}, "takes 3 chan"),
            ({"empty": nn.Sequential()}, "'empty' does nothing"),
        ],
    )
    def test_bad_input_is_named(self, modules, message):
        with pytest.raises((ValueError, RuntimeError), match=message):
            diagrams.blocks(modules, (1, 16, 8, 8))


def on_meta(build, **options):
    with torch.device("meta"):
        return build(**options)


@pytest.fixture(scope="module")
def figure3() -> Drawing:
    models = {"VGG-19": on_meta(torchvision.models.vgg19), "plain-34": on_meta(plain34)}
    return diagrams.nets({**models, "ResNet-34": on_meta(resnet34, shortcut="zero_pad")}, PHOTO)


def shortcuts(drawing: Drawing) -> list[ElementTree.Element]:
    return [path for path in elements(drawing, "path") if path.get("stroke") == _SHORTCUT]


def numbers(path: ElementTree.Element) -> list[float]:
    return [float(n) for n in re.findall(r"-?[\d.]+", path.get("d"))]


def marks(drawing: Drawing) -> list[tuple[float, float, float]]:
    """Centre and radius of each addition's circle."""
    circles = [c for c in elements(drawing, "circle") if c.get("stroke") == _ADD]
    return [tuple(float(c.get(k)) for k in ("cx", "cy", "r")) for c in circles]


class TestNets:
    """Boxes, bands and shortcuts are those of the paper's figure 3 and Table 1."""

    def test_figure_3_in_words(self, figure3):
        vgg, plain, resnet = figure3.alts
        assert vgg == (
            "VGG-19: 224×224: 2 times 3×3, 64; 112×112: max pool, /2, 2 times 3×3, 128; 56×56: max pool, /2, "
            "4 times 3×3, 256; 28×28: max pool, /2, 4 times 3×3, 512; 14×14: max pool, /2, 4 times 3×3, 512; "
            "7×7: max pool, /2; 1×1: 2 times fc, 4096, fc, 1000; no shortcut."
        )
        layers = (
            "112×112: 7×7, 64, /2; 56×56: max pool, /2, 6 times 3×3, 64; 28×28: 3×3, 128, /2, 7 times 3×3, 128; "
            "14×14: 3×3, 256, /2, 11 times 3×3, 256; 7×7: 3×3, 512, /2, 5 times 3×3, 512; 1×1: mean pool, fc, 1000; "
        )
        assert plain == f"plain-34: {layers}no shortcut."
        assert resnet == f"ResNet-34: {layers}16 shortcuts, 3 of them dashed."

    def test_every_layer_is_a_box_and_every_shortcut_a_line(self, figure3):
        # 19 layers with weights and 5 poolings; 34 layers and 2 poolings, twice
        assert len(elements(figure3, "rect")) == 19 + 5 + 2 * (34 + 2)
        lines = shortcuts(figure3)
        assert len(lines) == 16
        assert sum(bool(line.get("stroke-dasharray")) for line in lines) == 3
        assert elements(figure3, "svg")[0].get("aria-label") == " ".join(figure3.alts)
        assert len(marks(figure3)) == 16
        assert_boxes_are_inside_and_apart(figure3, beside=18)  # a shortcut's arc

    def test_shortcuts_end_at_their_additions_and_keep_clear_of_the_boxes(self, figure3):
        rects = elements(figure3, "rect")
        boxes = [[float(box.get(k)) for k in ("x", "y", "width", "height")] for box in rects]
        for (x, y, r), line in zip(marks(figure3), shortcuts(figure3), strict=True):
            left, top, right, bend, *_, bottom, end = numbers(line)  # out of the line, along an arc, and back
            assert x <= left < right < bend
            assert x + r < end < right
            assert abs(bottom - y) < r
            for column, box_top, width, height in boxes:
                if column <= x <= column + width:
                    assert right >= column + width
                    assert abs(y - (box_top + height / 2)) > height / 2 + r + 2
                    assert all(abs(edge - (box_top + height / 2)) > height / 2 + 3 for edge in (top, bottom))

    def test_one_band_is_one_height_and_one_colour_in_all_nets(self, figure3):
        names = {t.text: float(t.get("y")) for t in elements(figure3, "text") if t.get("text-anchor") == "end"}
        assert list(names) == ["224×224", "112×112", "56×56", "28×28", "14×14", "7×7", "1×1"]
        colours = {}
        for box in elements(figure3, "rect"):
            band = sum(top <= float(box.get("y")) + 8.5 + 1e-6 for top in names.values())
            colours.setdefault(band, set()).add(box.get("fill"))
        assert [len(found) for found in colours.values()] == [1] * 7
        used = set.union(*colours.values())
        assert len(used) == 7
        assert not used & set(COLORS.values())  # those of plain and residual nets

    def test_a_bottleneck_net_has_four_dashed_shortcuts(self):
        (alt,) = diagrams.nets({"a <b>": on_meta(resnet50)}, PHOTO, caption="c < d").alts
        assert alt.startswith("a <b>: 112×112: 7×7, 64, /2; 56×56: max pool, /2, 1×1, 64, 3×3, 64, 1×1, 256")
        assert alt.endswith("16 shortcuts, 4 of them dashed.")  # conv2_x begins with a change of channels

    def test_a_shortcut_from_the_input_is_drawn_from_the_top(self):
        class Around(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(4, 4, 3, padding=1)

            def forward(self, x):
                return self.conv(x) + x

        drawing = diagrams.nets({"around": Around()}, (1, 4, 8, 8))
        assert drawing.alts == ["around: 8×8: 3×3, 4; 1 shortcut, 0 of them dashed."]
        (line,), (box,) = shortcuts(drawing), elements(drawing, "rect")
        assert float(line.get("d").split()[1].split("H")[0]) < float(box.get("y"))

    def test_rows_by_size_lose_nothing(self):
        t = trace(on_meta(resnet34), PHOTO)
        groups = rows_by_size(t)
        assert list(groups) == ["112×112", "56×56", "28×28", "14×14", "7×7", "1×1"]
        assert sorted(r.index for rows in groups.values() for r in rows) == list(range(len(t.rows)))
        stages = t.view("stages").to_dicts()  # a basic block's stage is a map size
        for stage, rows in zip(stages, groups.values(), strict=True):
            assert sum(r.params for r in rows) == stage["params"]
            assert sum(r.macs for r in rows) == stage["macs"]

    @pytest.mark.parametrize(
        ("model", "shape", "message"),
        [
            (None, PHOTO, "it is empty"),
            (nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(4, 4, 1)), PHOTO, "'x' gr"),
            (nn.Sequential(nn.Linear(4, 4)), (1, 2, 4), r"'0' \(Linear\) puts out \(1, 2, 4\)"),
        ],
    )
    def test_bad_input_is_named(self, model, shape, message):
        with pytest.raises(ValueError, match=message):
            diagrams.nets({"x": model} if model else {}, shape)


def test_the_sketch_of_function_classes_says_what_nesting_implies():
    drawing = diagrams.function_classes("A sketch.")
    large, small = ({k: float(e.get(k)) for k in ("cx", "cy", "rx", "ry")} for e in elements(drawing, "ellipse"))

    def inside(region: dict, x: float, y: float) -> float:
        return ((x - region["cx"]) / region["rx"]) ** 2 + ((y - region["cy"]) / region["ry"]) ** 2

    angles = torch.linspace(0, 2 * torch.pi, 721)
    edge = small["cx"] + small["rx"] * angles.cos(), small["cy"] + small["ry"] * angles.sin()
    assert (inside(large, *edge) < 1).all()
    goal_x, goal_y = diagrams._GOAL
    best = [(float(c.get("cx")), float(c.get("cy"))) for c in elements(drawing, "circle") if c.get("r") == "5"]
    for region, (x, y) in zip((large, small), best, strict=True):
        assert inside(region, x, y) == pytest.approx(1, abs=0.01)
        xs, ys = region["cx"] + region["rx"] * angles.cos(), region["cy"] + region["ry"] * angles.sin()
        nearest = torch.hypot(xs - goal_x, ys - goal_y).min().item()
        assert ((x - goal_x) ** 2 + (y - goal_y) ** 2) ** 0.5 == pytest.approx(nearest, abs=0.5)
    assert inside(large, goal_x, goal_y) > 1
    (start,) = ((float(c.get("cx")), float(c.get("cy"))) for c in elements(drawing, "circle") if c.get("r") == "3.5")
    assert inside(large, *start) < 1 < inside(small, *start)
