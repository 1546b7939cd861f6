"""Figures: readable on white and on dark, by eye and by ear, and honest about the numbers."""

import os
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import matplotlib
import pytest
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from run_records import make

from resnet_edu.experiment.records import RecordError
from resnet_edu.figures import curves as plots
from resnet_edu.figures import style as figure
from resnet_edu.figures.style import COLORS, INK, OTHER_COLORS, Picture, new_figure, spread_labels, style

NETS = {"plain20": (60.0, 9.0), "resnet20": (55.0, 8.0), "plain56": (80.0, 30.0), "resnet56": (58.0, 7.5)}


@pytest.fixture
def study():
    return [make(net, errors=errors) for net, errors in NETS.items()]


def luminance(color: str) -> float:
    """WCAG's relative luminance."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colors.to_rgb(color))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # inline SVG has to be well-formed XML as well


class TestPicture:
    def test_markup(self, study):
        picture = plots.degradation(study, caption="a < b & c")
        html = picture._repr_html_()
        assert html.startswith('<figure class="resnet-figure"')
        assert "<figcaption>a &lt; b &amp; c</figcaption></figure>" in html
        root = parse(picture.svg())
        assert root.get("role") == "img"
        assert root.get("aria-label") == picture.alt
        assert root[0].tag.endswith("title")
        assert root[0].text == picture.alt
        assert root.get("viewBox")
        assert root.get("width") is None
        assert "width:100%" in root.get("style")
        assert "max-width:" in root.get("style")

    def test_no_colour_of_its_own_but_the_lines(self, study):
        svg = plots.degradation(study, "both").svg()
        assert INK not in svg
        assert "currentColor" in svg
        found = {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}\b", svg)}
        assert found == {c.lower() for c in COLORS.values()}
        assert not re.search(r"fill: ?(white|black)", svg)
        # letters are letters, and each has a colour that follows the page
        texts = [e for e in parse(svg).iter() if e.tag.endswith("}text")]
        assert {"plain56", "resnet20", "error (%)"} <= {"".join(t.itertext()).strip() for t in texts}
        assert all("currentColor" in (t.get("style") or "") for t in texts)

    def test_changes_nothing_else_on_the_page(self, study):
        svg = plots.degradation(study).svg()
        for word in ("<style", "<?xml", "<!DOCTYPE", "<metadata", "<script", "http://matplotlib"):
            assert word not in svg

    def test_ids_do_not_clash(self, study):
        a, b = (plots.degradation(study, m).svg() for m in ("train_error", "test_error"))
        ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in (a, b)]
        assert len(set(ids[0] + ids[1])) == len(ids[0]) + len(ids[1])
        for svg, known in zip((a, b), ids, strict=True):
            used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)
            assert used
            assert {x or y for x, y in used} <= set(known)

    def test_same_records_same_picture(self, study):
        first = plots.degradation(study)
        assert first.svg() == first.svg() == plots.degradation(study).svg()

    def test_files(self, study, tmp_path):
        picture = plots.degradation(study)
        with Image.open(picture.save(tmp_path / "a.png")) as image:
            assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
            assert image.getpixel((2, 2))[:3] == (255, 255, 255)
            assert image.getpixel((2, 2))[3:] in ((), (255,))
        root = ET.parse(picture.save(tmp_path / "a.svg")).getroot()
        assert root[0].text == picture.alt
        assert "#ffffff" in (tmp_path / "a.svg").read_text()
        assert (tmp_path / "a.svg").read_bytes() == plots.degradation(study).save(tmp_path / "b.svg").read_bytes()

    def test_a_disk_that_is_full(self, study, tmp_path, monkeypatch):
        """The older figure is kept, whole."""

        def full(handle):
            raise OSError(28, "No space left on device")

        path = plots.degradation(study).save(tmp_path / "a.svg")
        older = path.read_bytes()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"cannot write .*a\.svg \(No space left on device\): make room"):
            plots.figure6(study).save(path)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.svg": older}

    def test_wrong_ending(self, study, tmp_path):
        with pytest.raises(ValueError, match=r"must end in \.png or \.svg, but it is .*a\.jpg"):
            plots.degradation(study).save(tmp_path / "a.jpg")

    @pytest.mark.parametrize("alt", ["", "  "])
    def test_needs_words(self, alt):
        with style():
            fig, _ = new_figure()
        with pytest.raises(ValueError, match="`alt` must say in words"):
            Picture(fig, alt)

    def test_leaves_matplotlib_as_it_was(self, study):
        before = dict(matplotlib.rcParams)
        with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
            odd = plots.degradation(study).svg()
        assert odd == plots.degradation(study).svg()  # and is not touched by others' settings
        assert dict(matplotlib.rcParams) == before

    def test_is_not_known_to_pyplot(self, study):
        import matplotlib.pyplot as plt

        plots.degradation(study)._repr_html_()
        assert plt.get_fignums() == []


class TestColours:
    @pytest.mark.parametrize("color", [*COLORS.values(), *OTHER_COLORS])
    @pytest.mark.parametrize("ground", ["#ffffff", "#14181e"])
    def test_contrast(self, color, ground):
        assert contrast(color, ground) >= 3

    def test_wcag_formula(self):
        assert contrast("#000000", "#ffffff") == pytest.approx(21)
        assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)

    def test_lines_differ_without_colour(self, study):
        lines = [line for line in plots.degradation(study).fig.axes[0].lines if line.get_label() in NETS]
        looks = {(line.get_linestyle(), round(line.get_linewidth(), 2)) for line in lines}
        assert len(lines) == len(looks) == 4


class TestLabels:
    def test_far_apart_stay(self):
        assert spread_labels([0.9, 0.1, 0.5], 0.1, 0, 1) == [0.9, 0.1, 0.5]

    def test_close_ones_part_evenly(self):
        assert spread_labels([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])
        assert spread_labels([0.5, 0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.4, 0.5, 0.6])

    def test_at_the_border(self):
        assert spread_labels([0.0, 0.0, 0.02], 0.1, 0, 1) == pytest.approx([0, 0.1, 0.2])
        assert spread_labels([1.0, 1.0], 0.1, 0, 1) == pytest.approx([0.9, 1.0])

    def test_no_room(self):
        assert spread_labels([0.5] * 5, 0.5, 0, 1) == pytest.approx([0, 0.25, 0.5, 0.75, 1])

    @pytest.mark.parametrize("seed", range(5))
    def test_always_apart_in_order_and_inside(self, seed):
        import random

        wishes = [random.Random(seed).random() ** 3 for _ in range(8)]
        places = spread_labels(wishes, 0.06, 0, 1)
        order = sorted(range(8), key=lambda i: wishes[i])
        ascending = [places[i] for i in order]
        assert all(b - a >= 0.06 - 1e-9 for a, b in pairwise(ascending))
        assert ascending[0] >= 0
        assert ascending[-1] <= 1 + 1e-9

    def test_none_over_another_in_the_picture(self, study):
        same = [make(net, errors=(50.0, 5.0)) for net in NETS]  # all lines end in one point
        for records in (study, same):
            fig = plots.degradation(records, "both").fig
            renderer = FigureCanvasAgg(fig).get_renderer()
            for ax in fig.axes:
                boxes = [t.get_window_extent(renderer) for t in ax.texts]
                assert [t.get_text() for t in ax.texts] == ["plain20", "plain56", "resnet20", "resnet56"]
                assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
                assert all(b.x1 <= fig.bbox.x1 and b.y0 >= 0 for b in boxes)


class TestDegradation:
    def test_training_first(self, study):
        titles = [ax.get_title(loc="left") for ax in plots.degradation(study, "both").fig.axes]
        assert titles[0].startswith("Training error")
        assert titles[1].startswith("Test error")

    def test_draws_the_numbers(self, study):
        (ax,) = plots.degradation(study).fig.axes
        lines = {line.get_label(): line for line in ax.lines}
        for net, errors in NETS.items():
            assert lines[net].get_xdata().tolist() == [10, 20]
            assert lines[net].get_ydata().tolist() == list(errors)
        assert ax.get_xlabel() == "training steps (batches)"
        assert ax.get_ylabel() == "error (%)"

    def test_band_over_seeds(self):
        runs = [make("plain20", seed, errors=(50.0, e)) for seed, e in enumerate((10.0, 20.0, 36.0))]
        (ax,) = plots.degradation(runs).fig.axes
        line = next(x for x in ax.lines if x.get_label() == "plain20")
        assert line.get_ydata().tolist() == [50, 22]
        (band,) = ax.collections
        last = [y for x, y in band.get_paths()[0].vertices if x == 20]
        assert (min(last), max(last)) == (10, 36)

    def test_losses_of_zero_can_be_drawn(self):
        picture = plots.degradation([make(errors=(50.0, 0.0))], "train_loss")
        assert picture.fig.axes[0].get_yscale() == "log"
        assert "plain20 0" in picture.alt
        picture.svg()

    def test_alt_text_says_the_numbers(self, study):
        alt = plots.degradation(study).alt
        assert "20 training steps on digits" in alt
        assert "plain56 from 80.0% to 30.0%; plain20 from 60.0% to 9.0%; resnet20" in alt  # highest first
        assert "means of 2 seeds" in plots.degradation([make(seed=0), make(seed=1)]).alt

    def test_the_mean_is_over_the_steps_that_all_seeds_have(self):
        longer, shorter = make(seed=0, errors=(50, 30, 10)), make(seed=1, errors=(40, 20))
        line = plots.degradation([longer, shorter]).fig.axes[0].lines[0]
        assert line.get_xydata().tolist() == [[10, 45], [20, 25]]

    @pytest.mark.parametrize("metric", ["accuracy", (), ("train_error", "x"), 3])
    def test_unknown_metric(self, study, metric):
        with pytest.raises(ValueError, match="`metric` must be 'both', or of train_loss"):
            plots.degradation(study, metric)

    def test_records_of_two_studies(self, study):
        with pytest.raises(RecordError, match="recipe"):
            plots.degradation([*study, make("plain32", recipe={"steps": 7})])

    def test_other_kinds_of_nets(self):
        picture = plots.degradation([make("preact20"), make("plain20"), make("dense40")])
        (ax,) = picture.fig.axes
        by_net = {line.get_label(): line.get_color() for line in ax.lines if line.get_label() in picture.alt}
        assert len(set(by_net.values())) == 3

    def test_needs_no_torch(self):
        import subprocess
        import sys

        code = "import sys, resnet_edu.plots; print('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


class TestFigure6:
    def test_a_panel_for_plain_and_one_for_residual_nets(self, study):
        picture = plots.figure6(study)
        plain, residual = picture.fig.axes
        assert [ax.get_title(loc="left") for ax in (plain, residual)] == ["Plain nets", "Residual nets"]
        assert plain.get_ylim() == residual.get_ylim()
        assert plain.get_position().y0 == residual.get_position().y0  # side by side
        assert (plain.get_xlabel(), plain.get_ylabel()) == ("iterations", "error (%)")
        upper, lower = plots.figure6(study, stacked=True).fig.axes
        assert upper.get_position().y0 > lower.get_position().y1
        assert (lower.get_xlabel(), lower.get_ylabel()) == ("iterations", "error (%)")

    def test_training_is_dashed_test_is_bold_and_a_depth_has_a_colour(self, study):
        for ax, kind in zip(plots.figure6(study).fig.axes, ("plain", "resnet"), strict=True):
            curves = [line for line in ax.lines if line.get_xdata().tolist() == [10, 20]]
            assert len(curves) == 4
            for depth, (train, test) in zip((20, 56), (curves[:2], curves[2:]), strict=True):
                first, last = NETS[f"{kind}{depth}"]
                assert train.get_ydata().tolist() == [first, last]
                assert test.get_ydata().tolist() == [first + 1, last + 1]  # as `make` has it
                assert train.get_linestyle() == "--"
                assert test.get_linestyle() == "-"
                assert test.get_linewidth() > 1.5 * train.get_linewidth()
                assert train.get_color() == test.get_color()
            assert curves[0].get_color() != curves[2].get_color()

    @pytest.mark.parametrize("seeds", [1, 5])
    def test_band_over_seeds(self, seeds):
        ends = (10.0, 20.0, 36.0, 14.0, 25.0)[:seeds]
        runs = [make("resnet20", seed, errors=(30.0, e)) for seed, e in enumerate(ends)]
        (ax,) = plots.figure6(runs).fig.axes
        assert ax.lines[0].get_ydata().tolist() == [30, 21 if seeds == 5 else 10]  # (10 + 20 + 36 + 14 + 25) / 5
        assert len(ax.collections) == (0 if seeds == 1 else 2)
        for band, more in zip(ax.collections, (0, 1), strict=False):
            last = [y for x, y in band.get_paths()[0].vertices if x == 20]
            assert (min(last), max(last)) == (10 + more, 36 + more)

    @pytest.mark.parametrize(
        ("last", "top"),
        [(13.0, 20.0), (30.0, 45.0), (71.0, 100.0), (0.0, 5.0)],  # 1.4 times the worst end (one more in test), by fives
    )
    def test_the_axis_ends_above_the_worst_end(self, last, top):
        picture = plots.figure6([make(errors=(80.0, last))])
        assert picture.fig.axes[0].get_ylim() == (0, top)
        assert ("The axis ends at" in picture.alt) == (top < 81)

    def test_labels_are_in_the_picture_and_apart(self):
        same = [make(net, errors=(50.0, 5.0)) for net in (*NETS, "resnet110", "plain110")]
        for stacked in (False, True):
            fig = plots.figure6(same, stacked=stacked).fig
            renderer = FigureCanvasAgg(fig).get_renderer()
            boxes = [t.get_window_extent(renderer) for ax in fig.axes for t in ax.texts]
            assert len(boxes) == 12
            assert {t.get_text() for t in fig.axes[0].texts} >= {"20 train", "56 test", "110 test"}
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
            assert all(b.x1 <= fig.bbox.x1 and b.y0 >= 0 for b in boxes)

    def test_alt_text_says_the_numbers(self, study):
        alt = plots.figure6(study).alt
        assert "training error (dashed) and test error (bold) over 20 iterations on digits." in alt
        assert "Plain nets: 20 layers end at 9.0% training and 10.0% test error; 56 layers end at 30.0% tr" in alt
        assert "Residual nets: 20 layers end at 8.0% training" in alt
        two = plots.figure6([make(seed=0), make(seed=1)]).alt
        assert "means of 2 seeds over bands from the least to the greatest" in two

    def test_records_of_two_studies(self, study):
        with pytest.raises(RecordError, match="recipe"):
            plots.figure6([*study, make("plain32", recipe={"steps": 7})])

    def test_other_kinds_get_panels_of_their_own(self):
        titles = [ax.get_title(loc="left") for ax in plots.figure6([make("preact20"), make("resnet20")]).fig.axes]
        assert titles == ["Residual nets", "preact"]


def test_style_does_not_outlive_an_error():
    before = dict(matplotlib.rcParams)
    with pytest.raises(ZeroDivisionError), figure.style():
        1 / 0  # noqa: B018
    assert dict(matplotlib.rcParams) == before
