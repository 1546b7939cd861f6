"""Figures of probes: what is drawn and what is told are the record's numbers."""

import functools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from probe_records import make
from run_records import make as make_run

from resnet_edu.figures import probes
from resnet_edu.figures.style import INK, Picture
from resnet_edu.probes.records import (
    GradientRecord,
    IdentityRecord,
    LandscapeRecord,
    LesionRecord,
    ResponseRecord,
)

PICTURES = {
    "gradients": lambda: probes.gradients(make(GradientRecord)),
    "responses": lambda: probes.responses([make(ResponseRecord), make(ResponseRecord, net="resnet20")]),
    "lesions": lambda: probes.lesions([make(LesionRecord), make(LesionRecord, net="resnet20")]),
    "no shuffles": lambda: probes.lesions([make(LesionRecord, shuffles=[])]),
    "landscape": lambda: probes.landscape([make(LandscapeRecord)]),
    "identity": lambda: probes.identity([make(IdentityRecord), make(IdentityRecord, net="resnet20")]),
}


@functools.cache
def picture_of(name: str) -> Picture:
    return PICTURES[name]()


def drawn(picture, label: str, ax: int = 0) -> tuple[list[float], list[float]]:
    (line,) = [line for line in picture.fig.axes[ax].lines if line.get_label() == label]
    return list(line.get_xdata()), list(line.get_ydata())


@pytest.mark.parametrize("name", PICTURES)
def test_on_light_and_dark_by_eye_and_ear(name):
    picture = picture_of(name)
    svg = picture.svg()
    assert ET.fromstring(svg).get("aria-label") == picture.alt
    assert len(picture.alt) > 60
    assert "nan" not in picture.alt
    assert INK not in svg
    assert not re.search(r"fill: ?(white|black|#000000|#ffffff)", svg)


def test_gradients_are_the_records():
    picture = picture_of("gradients")
    assert drawn(picture, "at the start") == ([1, 2], [0.1 + 0.2, 1e-7])
    x, y = drawn(picture, "after 20 steps")
    assert (x, y[0]) == ([1, 2], 50.0)
    assert math.isnan(y[1])
    told = "at the start from 0.3 to 1e-07; after 20 steps from 50 to 50 (1 of 2 values are no numbers). "
    assert told in picture.alt
    assert picture.alt.endswith("The loss is no longer finite after 21 steps.")
    (start, _), stop = make(GradientRecord).moments, {"diverged": 1}
    assert probes.gradients(make(GradientRecord, moments=[start], **stop)).alt.endswith("finite after 1 step.")
    with pytest.raises(ValueError, match="no moment to draw: it diverged at step 0"):
        probes.gradients(make(GradientRecord, moments=[], diverged=0))


def test_responses_in_order_and_sorted():
    record = make(ResponseRecord, layers=list("abc"), deviations=[1.0, 3.0, 2.0])
    picture = probes.responses([record])
    assert drawn(picture, "plain20") == ([1, 2, 3], [1.0, 3.0, 2.0])
    assert drawn(picture, "plain20", 1) == ([1, 2, 3], [3.0, 2.0, 1.0])
    assert "layers: plain20 from 1 to 2. Strongest first: plain20 from 3 to 1." in picture.alt


def test_nets_of_unequal_depth_go_the_same_way():
    deep = make(ResponseRecord, net="plain56", layers=list("abcde"), deviations=[5.0] * 5)
    picture = probes.responses([make(ResponseRecord), deep])
    assert drawn(picture, "plain20")[0] == [0, 100]
    assert drawn(picture, "plain56")[0] == [0, 25, 50, 75, 100]
    assert "% of the way" in picture.fig.axes[0].get_xlabel()


def test_lesions_are_the_records():
    picture = picture_of("lesions")
    x, y = drawn(picture, "plain20")
    assert (x, y[0]) == ([1, 2], 40.0)
    assert math.isnan(y[1])  # it cannot be left out, which is no error of 0
    assert drawn(picture, "plain20", 1) == ([1], [10.0])
    assert "plain20 has 2.0% as it is; without one of 1 blocks that can be left out" in picture.alt
    assert len(picture_of("no shuffles").fig.axes) == 1


def test_landscapes():
    picture = picture_of("landscape")
    x, y = drawn(picture, "plain20")
    assert (x, y[1:]) == ([-1, 0, 1], [0.1, 3.0])
    assert math.isnan(y[0])
    assert "plain20 0.1 in the middle, no number and 3 at the ends" in picture.alt


def test_identity_beside_trained_nets():
    trained = make_run("plain56", errors=(80.0, 30.0))
    picture = probes.identity([make(IdentityRecord)], [trained])
    assert drawn(picture, "plain20") == ([20, 26], [0.01, 0.01])
    assert "plain20 from 0.01 to 0.01 with 26 layers, change of the logits 0" in picture.alt
    assert f"plain56 trained at its depth {trained.final['train_loss']:.3g}" in picture.alt


def test_identities_in_a_net_that_has_exploded():
    broken = [{**p, "train_loss": None, "change": None} for p in make(IdentityRecord).points]
    picture = probes.identity([make(IdentityRecord), make(IdentityRecord, net="plain56", points=broken)])
    assert "plain56 (2 of 2 values are no numbers) with 26 layers, change of the logits no number" in picture.alt
    some = [{**p, "change": c} for p, c in zip(broken, (0.0, 0.5), strict=True)]
    picture = probes.identity([make(IdentityRecord), make(IdentityRecord, net="plain56", points=some)])
    assert "change of the logits 0.5" in picture.alt


@pytest.mark.parametrize(
    "draw",
    [
        lambda: probes.landscape([make(LandscapeRecord, loss=[None] * 3)]),
        lambda: probes.identity(
            [make(IdentityRecord, points=[{**p, "train_loss": None} for p in make(IdentityRecord).points])]
        ),
    ],
)
def test_nothing_to_draw(draw):
    with pytest.raises(ValueError, match="plain20: there is nothing to draw, since no loss is finite"):
        draw()


def test_what_cannot_stand_in_one_figure():
    with pytest.raises(ValueError, match=r"made of ResponseRecords, but it got \[\]"):
        probes.responses([])
    with pytest.raises(ValueError, match=r"made of LesionRecords, but it got \[.ResponseRecord.\]"):
        probes.lesions([make(ResponseRecord)])
    other = {**make(LesionRecord).dataset, "fingerprint": "cd34"}
    with pytest.raises(ValueError, match="different data"):
        probes.lesions([make(LesionRecord), make(LesionRecord, dataset=other)])
