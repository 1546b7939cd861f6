"""Small drawings: what they say in words, and what they refuse."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from resnet_edu.figures import charts
from resnet_edu.figures import style as figure


def _lines(series, **options):
    return charts.lines(series, xlabel="layer", ylabel="norm", title="Norms", **options)


def test_lines_tell_their_ends_in_words_and_are_labelled():
    picture = _lines({"plain56": ([1, 2, 3], [640.4, 8.0, 0.25]), "resnet56": ([1, 2, 3], [5, 1, 0.5])}, yscale="log")
    assert "plain56 from 640 to 0.25; resnet56 from 5 to 0.5" in picture.alt
    svg = picture.svg()
    assert 'role="img"' in svg
    for label in ("plain56", "resnet56", "layer", "norm", "Norms"):
        assert re.search(rf"<text[^>]*>{label}</text>", svg), label


def test_nets_have_their_colours_and_dashes_and_others_differ():
    picture = _lines(
        {name: ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) for name in ("plain20", "resnet20", "other", "one more")}
    )
    drawn = [(line.get_color(), str(line.get_linestyle())) for line in picture.fig.axes[0].lines[:4]]
    assert drawn[0][0] == figure.COLORS["plain"]
    assert drawn[1][0] == figure.COLORS["resnet"]
    assert len(set(drawn)) == 4


def test_names_that_begin_with_a_kind_have_its_colour_and_others_none():
    names = ["residual, ReLU before", "residual, ReLU after", "plain56, seed 0", "missed", "promised"]
    found = figure.looks(names)
    blue, orange = figure.COLORS["resnet"], figure.COLORS["plain"]
    assert [found[name].color for name in names] == [blue, blue, orange, figure.INK, figure.GREY]
    assert len({str(look.dash) for look in found.values()}) >= 4
    assert figure.kind_color("ResNet-34") == blue
    assert figure.kind_color("VGG-19") == figure.GREY


def test_a_line_that_ends_early_is_labelled_where_it_ends():
    picture = _lines({"short": ([1, 2], [3, 4]), "long": (range(1, 21), range(1, 21))})
    (ax,) = picture.fig.axes
    (label,) = [t for t in ax.texts if t.get_text() == "short"]
    assert label.xy == pytest.approx(tuple((ax.transData + ax.transAxes.inverted()).transform((2, 4))))


def test_labels_of_lines_that_end_early_side_by_side_are_apart():
    picture = _lines({"first": ([0, 1], [5, 6]), "second": ([0, 1.1], [5, 6.1]), "third": ([0, 10], [4, 3])})
    picture.fig.draw_without_rendering()
    first, second = (t.get_window_extent() for t in picture.fig.axes[0].texts if t.get_text() in ("first", "second"))
    assert first.y1 <= second.y0


def test_bars_are_as_long_as_their_values_and_told_in_words():
    picture = charts.bars({"a": {"x": 3, "y": 0}, "b": {"y": 1.25}}, xlabel="units", title="Lengths")
    assert picture.alt == "Bar chart: Lengths. units. a: x 3, y 0; b: y 1.25."
    ax = picture.fig.axes[0]
    drawn = {c.get_label(): [(round(p.get_y() + p.get_height() / 2), p.get_width()) for p in c] for c in ax.containers}
    assert drawn == {"a": [(0, 3)], "b": [(1, 1.25)]}
    assert ax.yaxis_inverted()  # the first category is on top
    assert [t.get_text() for t in ax.texts] == ["3", "1.25", "x", "y"]
    assert [t.xy[1] for t in ax.texts[2:]] == [0, 1]
    assert len({p[0].get_hatch() for p in ax.containers}) == 2


def test_a_legend_of_long_names_stays_in_the_figure():
    picture = charts.bars({f"a rather long name, {k}": {"a": 1} for k in range(4)}, xlabel="x", title="t")
    picture.fig.draw_without_rendering()
    (legend,) = picture.fig.legends
    assert all(picture.fig.bbox.contains(*corner) for corner in legend.get_window_extent().get_points())


def test_differences_show_each_value_mean_and_interval():
    rows = {"more\n(p = 0.03)": ([1.0, 2.0], (1.5, 0.5, 2.5)), "none": ([-1.0, 1.5, 0.1], (0.2, -1.0, 1.4))}
    picture = charts.differences(rows, xlabel="points", title="Effects")
    assert (
        "points, mean and interval: more (p = 0.03) +1.5, from +0.5 to +2.5; none +0.2, from -1 to +1.4." in picture.alt
    )
    ax = picture.fig.axes[0]
    assert [text.get_text() for text in ax.texts] == ["more", "(p = 0.03)", "none"]
    upper, lower, middle = (text.get_window_extent() for text in ax.texts)
    assert upper.x1 == pytest.approx(lower.x1, abs=1) == pytest.approx(middle.x1, abs=1)
    assert lower.y1 < upper.y0 < ax.bbox.y1
    # In the page's letters, whatever their width, the lines of a name end at one place.
    for line in ("more", "(p = 0.03)", "none"):
        assert re.search(rf"text-anchor: end;[^>]*>{re.escape(line)}</text>", picture.svg())
    drawn = {line.get_marker(): line for line in ax.lines}
    assert [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"] == [[1.0, 2.0], [-1.0, 1.5, 0.1]]
    assert [list(line.get_xdata()) for line in ax.lines[1::3]] == [[0.5, 2.5], [-1.0, 1.4]]
    filled = [line.get_mfc() != "none" for line in ax.lines if line.get_marker() == "D"]
    assert filled == [True, False]  # an interval beside 0, and one that contains it
    assert set(drawn) == {"None", "o", "D"}


def test_images_take_tensors_and_arrays_grey_and_colour():
    grey = charts.images(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([7, 8, 9]))
    assert "3 images of 8 by 8 pixels, labelled 7, 8, 9" in grey.alt
    assert len(grey.fig.axes) == 3
    colour = charts.images(np.full((12, 3, 4, 6), 0.5), columns=5, title="Half")
    assert colour.alt == "Half: 12 images of 6 by 4 pixels."
    assert len(colour.fig.axes) == 12


def test_pixels_are_shown_as_they_are():
    pixels = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8)
    (shown,) = charts.images(pixels).fig.axes[0].images
    assert np.array_equal(shown.get_array(), pixels[0, 0].numpy())
    assert (shown.norm.vmin, shown.norm.vmax) == (0, 255)  # a dark image stays dark


def _embedded(svg):
    """Return the only picture in an SVG: how it is stored, and its pixels (H, W, 3)."""
    ((kind, data),) = re.findall(r"data:image/(\w+);base64,([\w+/=\s]+)", svg)
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return kind, np.asarray(image).astype(float), len(data)


def test_a_picture_in_a_figure_is_smaller_and_the_same():
    ramp = Image.fromarray(np.add.outer(np.arange(128), np.arange(128)).astype("uint8"))
    noise = np.random.default_rng(0).integers(0, 12, (128, 128)).astype("uint8")
    picture = Image.fromarray((np.asarray(ramp) // 2 + noise).astype("uint8")).convert("RGB")
    stored = io.BytesIO()
    picture.save(stored, "PNG")
    page = f'<image xlink:href="data:image/png;base64,\n{base64.b64encode(stored.getvalue()).decode()}"/>'
    (small,) = re.findall('"data:image/webp;base64,([^"]*)"', figure.smaller_pictures(page))
    again = Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB")
    assert again.size == picture.size
    assert np.abs(np.asarray(again, float) - np.asarray(picture, float)).mean() < 6
    assert len(small) < 0.6 * len(page)


def test_a_page_has_a_photo_as_a_small_file_and_a_digit_pixel_by_pixel():
    photo = load_sample_image("china.jpg")[:160, :240]
    kind, pixels, size = _embedded(charts.images(photo.transpose(2, 0, 1)[None]).svg())
    assert kind == "webp"
    assert abs(pixels - photo).mean() < 4  # of 255
    assert size < photo.size / 4
    digit = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    kind, pixels, _ = _embedded(charts.images(digit).svg())
    assert kind == "png"
    assert abs(pixels[..., 0] - digit[0, 0]).max() <= 1  # as matplotlib rounds its greys


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _lines({}), "nothing to draw"),
        (lambda: _lines({"a": ([], [])}), "'a' must have one value"),
        (lambda: _lines({"a": ([1, 2], [1])}), "same first dimension"),  # as matplotlib says it
        (lambda: _lines({"a": ([1], [float("nan")])}), r"'a' must have .* it has \[nan\]"),
        (lambda: _lines({"a": ([1], [0])}, yscale="log"), "no place for 0.0 of 'a'"),
        (lambda: _lines({"a": ([1], [1])}, yscale="cubic"), "'cubic'"),
        (lambda: charts.bars({}, xlabel="x", title="t"), "nothing to draw"),
        (lambda: charts.bars({"a": {}}, xlabel="x", title="t"), "'a' must have one value"),
        (lambda: charts.bars({"a": {"x": -1}}, xlabel="x", title="t"), "'a' must have values of 0 or more"),
        (
            lambda: charts.bars({str(k): {"a": 1} for k in range(5)}, xlabel="x", title="t"),
            "4 at most, to be told apart",
        ),
        (lambda: charts.differences({}, xlabel="x", title="t"), "nothing to draw"),
        (lambda: charts.differences({"a": ([], (0, 0, 0))}, xlabel="x", title="t"), "'a' must have one value"),
        (lambda: charts.differences({"a": ([1], (0, 0, float("inf")))}, xlabel="x", title="t"), "'a' must have one"),
        (lambda: charts.images(np.zeros((2, 8, 8))), r"but it is \(2, 8, 8\)"),
        (lambda: charts.images(np.zeros((0, 1, 8, 8))), "N >= 1"),
        (lambda: charts.images(np.zeros((2, 1, 8, 8)), [1]), "there are 1 for 2"),
        (lambda: charts.images(np.zeros((2, 1, 8, 8)), columns=0), "`columns`"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
