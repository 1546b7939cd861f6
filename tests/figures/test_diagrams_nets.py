"""Nets side by side: boxes, bands and shortcuts are those of the paper's figure 3 and Table 1."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch
import torchvision
from torch import nn

from resnet_edu.figures.diagrams import nets
from resnet_edu.nets.models import plain34, resnet34, resnet50
from resnet_edu.tracing.rows import rows_by_size
from resnet_edu.tracing.run import trace

SVG = "{http://www.w3.org/2000/svg}"
SHAPE = (1, 3, 224, 224)


def _meta(build, **options):
    with torch.device("meta"):
        return build(**options)


@pytest.fixture(scope="module")
def figure3():
    models = {
        "VGG-19": _meta(torchvision.models.vgg19),
        "plain-34": _meta(plain34),
        "ResNet-34": _meta(resnet34, shortcut="zero_pad"),
    }
    return nets(models, SHAPE)


def _root(drawing):
    return ElementTree.fromstring(drawing.parts[0])


def test_figure_3_in_words(figure3):
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


def test_every_layer_is_a_box_and_every_shortcut_a_line(figure3):
    root = _root(figure3)
    # 19 layers with weights and 5 poolings; 34 layers and 2 poolings, twice
    assert len(list(root.iter(f"{SVG}rect"))) == 19 + 5 + 2 * (34 + 2)
    lines = [p for p in root.iter(f"{SVG}path") if p.get("fill") == "none"]
    assert len(lines) == 16
    assert sum(bool(p.get("stroke-dasharray")) for p in lines) == 3
    assert root.get("aria-label") == " ".join(figure3.alts)


def test_one_band_is_one_height_and_one_colour_in_all_nets(figure3):
    boxes = list(_root(figure3).iter(f"{SVG}rect"))
    texts = [t for t in _root(figure3).iter(f"{SVG}text")]
    names = {t.text: float(t.get("y")) for t in texts if t.get("text-anchor") == "end"}
    assert list(names) == ["224×224", "112×112", "56×56", "28×28", "14×14", "7×7", "1×1"]
    tops = sorted(names.values())
    colours = {}
    for box in boxes:
        band = sum(top <= float(box.get("y")) + 8.5 + 1e-6 for top in tops)
        colours.setdefault(band, set()).add(box.get("fill"))
    assert len(colours) == 7
    assert all(len(found) == 1 for found in colours.values())


def test_nothing_is_drawn_outside_or_over_another(figure3):
    root = _root(figure3)
    _, _, width, height = map(float, root.get("viewBox").split())
    places = set()
    for box in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(box.get(k)) for k in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + w + 18 <= width  # a shortcut's arc beside it
        assert y + h <= height
        places.add((x, y))
    assert len(places) == len(list(root.iter(f"{SVG}rect")))


def test_a_bottleneck_net_has_four_dashed_shortcuts():
    alt = nets({"a <b>": _meta(resnet50)}, SHAPE, caption="c < d").alts[0]
    assert alt.startswith("a <b>: 112×112: 7×7, 64, /2; 56×56: max pool, /2, 1×1, 64, 3×3, 64, 1×1, 256")
    assert alt.endswith("16 shortcuts, 4 of them dashed.")  # conv2_x begins with a change of channels


def test_a_shortcut_from_the_input_is_drawn_from_the_top():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(x) + x

    drawing = nets({"around": Around()}, (1, 4, 8, 8))
    assert drawing.alts == ["around: 8×8: 3×3, 4; 1 shortcut, 0 of them dashed."]
    (line,) = [p for p in _root(drawing).iter(f"{SVG}path") if p.get("fill") == "none"]
    (box,) = _root(drawing).iter(f"{SVG}rect")
    assert float(line.get("d").split()[1].split("H")[0]) < float(box.get("y"))


def test_rows_by_size_lose_nothing():
    t = trace(_meta(resnet34), SHAPE)
    groups = rows_by_size(t)
    assert list(groups) == ["112×112", "56×56", "28×28", "14×14", "7×7", "1×1"]
    assert sorted(r.index for rows in groups.values() for r in rows) == list(range(len(t.rows)))
    stages = t.view("stages").to_dicts()  # a basic block's stage is a map size
    for stage, rows in zip(stages, groups.values(), strict=True):
        assert sum(r.params for r in rows) == stage["params"]
        assert sum(r.macs for r in rows) == stage["macs"]


@pytest.mark.parametrize(
    ("models", "shape", "message"),
    [
        ({}, SHAPE, "it is empty"),
        ({"up": nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(4, 4, 1))}, SHAPE, "up"),
        ({"line": nn.Sequential(nn.Linear(4, 4))}, (1, 2, 4), r"'0' \(Linear\) puts out \(1, 2, 4\)"),
    ],
)
def test_bad_input_is_named(models, shape, message):
    with pytest.raises(ValueError, match=message):
        nets(models, shape)
