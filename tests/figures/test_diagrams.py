"""Diagrams of blocks: what they say is what the block does, and the SVG is well formed."""

import xml.etree.ElementTree as ElementTree

import pytest
from torch import nn

from resnet_edu.figures import diagrams
from resnet_edu.nets.blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock
from resnet_edu.nets.models import resnet20

SVG = "{http://www.w3.org/2000/svg}"
SHAPE = (1, 64, 56, 56)


def _draw(block, title="Block"):
    drawing = diagrams.blocks({title: block}, SHAPE)
    root = ElementTree.fromstring(drawing.parts[0])
    texts = [t.text for t in root.iter(f"{SVG}text")]
    return drawing.alts[0], root, texts


def test_a_plain_block_is_a_straight_line():
    alt, root, texts = _draw(PlainBlock(64, 128, 2))
    assert alt == (
        "Block: input 64×56×56; 3×3 conv, 128, stride 2, batch norm, ReLU, 3×3 conv, 128, batch norm, ReLU; "
        "output 128×28×28. No shortcut."
    )
    assert len(list(root.iter(f"{SVG}rect"))) == 6
    assert not list(root.iter(f"{SVG}circle"))
    assert texts.count("128×28×28") == 3  # behind each convolution, and at the end


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
def test_shortcuts_are_told_from_where_they_begin(block, shortcut):
    alt, root, _ = _draw(block)
    assert alt.endswith(f"Shortcut {shortcut}")
    assert len(list(root.iter(f"{SVG}circle"))) == 2  # the branching point and the addition
    layers = [m for m in block.modules() if not list(m.children())]
    relu_calls = 1 if isinstance(block, BasicBlock | PreActBlock) else 2  # one module, called several times
    assert len(list(root.iter(f"{SVG}rect"))) == len(layers) + relu_calls


def test_nothing_is_drawn_outside():
    for block in (PlainBlock(64, 64), BasicBlock(64, 128, 2), PreActBlock(64, 128, 2), Bottleneck(64, 64, 2)):
        _, root, _ = _draw(block)
        _, _, width, height = map(float, root.get("viewBox").split())
        for box in root.iter(f"{SVG}rect"):
            x, y, w, h = (float(box.get(k)) for k in ("x", "y", "width", "height"))
            assert x >= 0
            assert y >= 0
            assert x + w <= width
            assert y + h <= height


def test_a_layer_that_does_not_run_is_not_drawn():
    block = PlainBlock(64, 64)
    wanted = _draw(block)[0]
    block.spare = nn.Linear(2, 2)
    assert _draw(block)[0] == wanted


def test_several_blocks_stand_side_by_side_with_a_caption():
    drawing = diagrams.blocks({"plain <b>": PlainBlock(64, 64), "residual": BasicBlock(64, 64)}, SHAPE, caption="a < b")
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
def test_bad_input_is_named(modules, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        diagrams.blocks(modules, (1, 16, 8, 8))
