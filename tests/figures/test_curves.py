"""Figures: readable on white and on dark, by eye and by ear, and honest about the numbers."""

import os
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from run_records import make
from scipy.optimize import minimize

from resnet_edu.experiment.records import RecordError
from resnet_edu.experiment.shipped import load_grid
from resnet_edu.experiment.statistics import summary
from resnet_edu.figures import curves, style
from resnet_edu.figures.style import COLORS, GREY, INK, Picture, spread_labels

STYLE_SHEET = Path(__file__).parents[2] / "book" / "assets" / "book.css"
NETS = {"plain20": (60.0, 9.0), "resnet20": (55.0, 8.0), "plain56": (80.0, 30.0), "resnet56": (58.0, 7.5)}


@pytest.fixture(scope="module")
def study():
    return [make(net, errors=errors) for net, errors in NETS.items()]


@pytest.fixture(scope="module")
def both(study) -> Picture:
    return curves.degradation(study, caption="a < b & c")


@pytest.fixture(scope="module")
def panels(study) -> Picture:
    return curves.degradation(study)


def contrast(a: str, b: str) -> float:
    """WCAG's contrast of two colours, from their relative luminances."""

    def luminance(color: str) -> float:
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colors.to_rgb(color))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def assert_labels_are_apart(fig) -> None:
    renderer = FigureCanvasAgg(fig).get_renderer()
    for ax in fig.axes:
        boxes = [t.get_window_extent(renderer) for t in ax.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(b.x1 <= fig.bbox.x1 and b.y0 >= 0 for b in boxes)


class TestPicture:
    def test_markup(self, both):
        html = both._repr_html_()
        assert html.startswith('<figure class="resnet-figure"')
        assert "<figcaption>a &lt; b &amp; c</figcaption></figure>" in html
        root = ET.fromstring(both.svg())  # inline SVG has to be well-formed XML as well
        assert root.get("role") == "img"
        assert root.get("aria-label") == root[0].text == both.alt
        assert root[0].tag.endswith("title")
        assert root.get("viewBox")
        assert root.get("width") is None
        assert "width:100%" in root.get("style")
        assert "max-width:" in root.get("style")
        assert plt.get_fignums() == []  # or a notebook would show the figure a second time

    def test_no_colour_of_its_own_but_the_lines_and_nothing_else_on_the_page_changes(self, both):
        svg = both.svg()
        assert INK not in svg
        found = {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}\b", svg)}
        assert found == {c.lower() for c in COLORS.values()}
        assert not re.search(r"fill: ?(white|black)", svg)
        # letters are letters, and each has a colour that follows the page
        texts = [e for e in ET.fromstring(svg).iter() if e.tag.endswith("}text")]
        assert {"plain56", "resnet20", "error (%)"} <= {"".join(t.itertext()).strip() for t in texts}
        assert all("currentColor" in (t.get("style") or "") for t in texts)
        for word in ("<style", "<?xml", "<!DOCTYPE", "<metadata", "<script", "http://matplotlib"):
            assert word not in svg

    def test_it_fills_the_column_and_can_be_read_on_a_phone(self, both):
        assert "max-width:704px" in both.svg()
        _, _, width, _ = map(float, re.search(r'viewBox="([^"]+)"', both.svg())[1].split())
        sizes = [float(size) for size in re.findall(r"font-size: calc\(([\d.]+)px", both.svg())]
        assert len(sizes) == both.svg().count("<text")
        assert min(sizes) * (360 - 16) / width >= 9  # CSS pixels on the narrowest phone, 8 px of margin on either side

    def test_ids_do_not_clash(self, both, panels):
        svgs = both.svg(), panels.svg()
        ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in svgs]
        assert len(set(ids[0] + ids[1])) == len(ids[0]) + len(ids[1])
        for svg, known in zip(svgs, ids, strict=True):
            used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)
            assert used
            assert {x or y for x, y in used} <= set(known)

    def test_same_records_same_picture_whatever_others_have_set(self, study, both):
        before = dict(matplotlib.rcParams)
        with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
            again = curves.degradation(study, caption=both.caption).svg()
        assert both.svg() == both.svg() == again
        with pytest.raises(ZeroDivisionError), style.style():
            1 / 0  # noqa: B018
        assert dict(matplotlib.rcParams) == before

    def test_files(self, both, tmp_path, monkeypatch):
        with Image.open(both.save(tmp_path / "a.png")) as image:
            assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
            assert image.getpixel((2, 2))[:3] == (255, 255, 255)
            assert image.getpixel((2, 2))[3:] in ((), (255,))
        path = both.save(tmp_path / "a.svg")
        older = path.read_bytes()
        assert ET.fromstring(older)[0].text == both.alt
        assert b"#ffffff" in older
        assert both.save(tmp_path / "b.svg").read_bytes() == older
        with pytest.raises(ValueError, match=r"must end in \.png or \.svg, but it is .*a\.jpg"):
            both.save(tmp_path / "a.jpg")

        def full(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"cannot write .*a\.svg \(No space left on device\)"):
            Picture(both.fig, "another").save(path)
        assert path.read_bytes() == older  # whole
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg", "b.svg"]

    @pytest.mark.parametrize("alt", ["", "  "])
    def test_needs_words(self, both, alt):
        with pytest.raises(ValueError, match="`alt` must say in words"):
            Picture(both.fig, alt)


class TestColours:
    @pytest.mark.parametrize("color", [*COLORS.values(), GREY])
    @pytest.mark.parametrize("ground", ["#ffffff", "#14181e"])
    def test_contrast(self, color, ground):
        assert contrast(color, ground) >= 3

    def test_the_pages_colours_in_dark_mode(self):
        dark = "".join(re.findall(r'^html\[data-theme="dark"\] \{(.*?)^\}', STYLE_SHEET.read_text(), re.M | re.S))
        ground = re.search(r"--pst-color-background: (#\w+)", dark)[1]
        for name in ("plain", "resnet", "grey"):  # what a picture asks for
            assert contrast(re.search(rf"--book-{name}: (#\w+)", dark)[1], ground) >= 4.5

    def test_wcag_formula(self):
        assert contrast("#000000", "#ffffff") == pytest.approx(21)
        assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)

    def test_lines_differ_without_colour(self, both):
        lines = [line for line in both.fig.axes[0].lines if line.get_label() in NETS]
        looks = {(line.get_linestyle(), round(line.get_linewidth(), 2)) for line in lines}
        assert len(lines) == len(looks) == 4


class TestLabels:
    @pytest.mark.parametrize(
        ("wishes", "gap", "places"),
        [
            ([0.9, 0.1, 0.5], 0.1, [0.9, 0.1, 0.5]),
            ([0.5, 0.5], 0.1, [0.45, 0.55]),
            ([0.0, 0.0, 0.02], 0.1, [0, 0.1, 0.2]),
            ([1.0, 1.0], 0.1, [0.9, 1.0]),
            ([0.5] * 5, 0.5, [0, 0.25, 0.5, 0.75, 1]),  # no room
            ([0.3], 2.0, [0.3]),
        ],
    )
    def test_by_hand(self, wishes, gap, places):
        assert spread_labels(wishes, gap, 0, 1) == pytest.approx(places)

    @pytest.mark.parametrize("seed", range(5))
    def test_as_near_as_can_be(self, seed):
        """The quadratic programme that it solves, given to a general solver."""
        draw = random.Random(seed)
        wishes = sorted(draw.random() ** 3 for _ in range(8))
        best = minimize(
            lambda places: sum((p - w) ** 2 for p, w in zip(places, wishes, strict=True)),
            [k / 7 for k in range(8)],
            method="SLSQP",
            bounds=[(0, 1)] * 8,
            constraints=[{"type": "ineq", "fun": lambda p, k=k: p[k + 1] - p[k] - 0.06} for k in range(7)],
            options={"ftol": 1e-12},
        )
        assert spread_labels(wishes, 0.06, 0, 1) == pytest.approx(best.x, abs=1e-4)
        assert spread_labels(wishes[::-1], 0.06, 0, 1)[::-1] == spread_labels(wishes, 0.06, 0, 1)

    def test_none_over_another_in_the_picture(self, both):
        same = curves.degradation([make(net, errors=(50.0, 5.0)) for net in NETS])  # all lines end in one point
        for picture in (both, same):
            for ax in picture.fig.axes:
                assert [t.get_text() for t in ax.texts] == ["plain20", "plain56", "resnet20", "resnet56"]
            assert_labels_are_apart(picture.fig)

    def test_of_two_lines_each(self):
        with style.style():
            fig, (ax,) = style.new_figure(3)
            ax.plot([0, 1], [0, 1])
            style.label_ends(ax, [(1, 0.5, f"a label\nof {n} lines", INK) for n in range(3)])
        assert_labels_are_apart(Picture(fig, "A line with three labels.").fig)


class TestDegradation:
    def test_draws_the_numbers(self, both):
        first, second = both.fig.axes
        lines = {line.get_label(): line for line in first.lines}
        for net, errors in NETS.items():
            assert lines[net].get_xdata().tolist() == [10, 20]
            assert lines[net].get_ydata().tolist() == list(errors)
        assert [ax.get_title(loc="left").split(",")[0] for ax in (first, second)] == ["Training error", "Test error"]
        assert (second.get_xlabel(), first.get_ylabel()) == ("training steps (batches)", "error (%)")

    def test_images_held_out_are_no_test_images(self):
        records = load_grid()[0.003]
        second = curves.degradation(records).fig.axes[1]
        assert second.get_title(loc="left") == "Held-out error, on all held-out images"
        assert "held-out error %" in str(summary(records))

    def test_band_over_seeds(self):
        picture = curves.degradation([make(seed=k, errors=(50.0, e)) for k, e in enumerate((10.0, 20.0, 36.0))])
        ax, _ = picture.fig.axes
        line = next(x for x in ax.lines if x.get_label() == "plain20")
        assert line.get_ydata().tolist() == [50, 22]
        (band,) = ax.collections
        last = [y for x, y in band.get_paths()[0].vertices if x == 20]
        assert (min(last), max(last)) == (10, 36)
        assert "means of 3 seeds" in picture.alt

    def test_alt_text_says_the_numbers(self, both):
        assert "20 training steps on digits" in both.alt
        assert "plain56 from 80% to 30%; plain20 from 60% to 9%; resnet20" in both.alt  # highest first

    def test_the_mean_is_over_the_steps_that_all_seeds_have(self):
        longer, shorter = make(seed=0, errors=(50, 30, 10)), make(seed=1, errors=(40, 20))
        line = curves.degradation([longer, shorter]).fig.axes[0].lines[0]
        assert line.get_xydata().tolist() == [[10, 45], [20, 25]]

    def test_records_of_two_studies(self, study):
        with pytest.raises(RecordError, match="recipe"):
            curves.degradation([*study, make("plain32", recipe={"steps": 7})])

    def test_other_kinds_of_nets(self):
        picture = curves.degradation([make("preact20"), make("plain20"), make("dense40")])
        ax, _ = picture.fig.axes
        by_net = {line.get_label(): line.get_color() for line in ax.lines if line.get_label() in picture.alt}
        assert len(set(by_net.values())) == 3


class TestRates:
    def test_means_lie_over_their_rates_with_a_dot_a_run(self):
        grid = {0.1: [make("plain8", seed, errors=(90.0, 8.0 + seed)) for seed in (0, 1)]}
        grid[0.01] = [make("plain8", seed, errors=(80.0, 2.0)) for seed in (0, 1)]
        (first, last) = (int(grid[0.1][0].curves[i]["step"]) for i in (0, -1))
        picture = curves.rates(grid, (first, last))
        upper, lower = picture.fig.axes
        assert (list(upper.lines[0].get_xdata()), list(upper.lines[0].get_ydata())) == ([0.01, 0.1], [80.0, 90.0])
        assert list(lower.lines[0].get_ydata()) == [2.0, 8.5]
        assert sorted(zip(*lower.lines[1].get_data(), strict=True)) == [
            (0.01, 2.0),
            (0.01, 2.0),
            (0.1, 8.0),
            (0.1, 9.0),
        ]
        assert upper.get_ylim() == lower.get_ylim()
        assert "plain8 from 2% to 8.5%" in picture.alt

    def test_a_step_without_an_evaluation_is_refused(self):
        with pytest.raises(ValueError, match="`steps` must be one of"):
            curves.rates({0.1: [make("plain8")]}, (7,))
