"""Live curves: what they show, when they draw, and what a real kernel is left with. Time is a number in these tests."""

import itertools

import pytest

from resnet_edu.data import dataset as data
from resnet_edu.experiment import Study, degradation
from resnet_edu.experiment.degradation import Cell
from resnet_edu.figures.curves import LONGEST, PACE, LiveCurves
from resnet_edu.training.loop import Evaluation, Event, StopTraining, train
from resnet_edu.training.recipe import Recipe

RECIPE = Recipe(6, batch_size=16, eval_every=2)
NETS = ("plain8", "resnet8")


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits").head(64, 32)


def cell(net: str = "plain8", seed: int = 0, steps: int = 1000) -> Cell:
    return Cell(net, seed, Recipe(steps))


def stepped(step: int, loss: float = 1.0, steps: int = 1000) -> Event:
    return Event("step", step, steps, 0.1, loss, step / steps)


def evaluated(step: int, error: float, loss: float = 1.0, steps: int = 1000) -> Event:
    found = Evaluation(step, 0.1, loss, error, loss, error)
    return Event("evaluation", step, steps, 0.1, loss, step / steps, found)


def lines(picture) -> list[tuple[list[float], list[float]]]:
    """The lines of the first panel, without the strokes that lead to labels."""
    ax = picture.fig.axes[0]
    found = [line for line in ax.lines if line.get_transform() == ax.transData]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in found]


class TestEvents:
    def test_the_figure_has_the_evaluations_of_the_records(self, digits):
        with LiveCurves() as live:
            records = degradation.run(Study(NETS, RECIPE, 2, workers=0), digits, progress=False, on_event=live)
        assert sorted(lines(live.picture)) == sorted(r.curve("train_error") for r in records)
        assert "One line for each seed" in live.picture.caption

    def test_the_same_training_leaves_the_same_figure(self, digits):
        found = []
        for _ in range(2):
            with LiveCurves() as live:
                degradation.run(Study(NETS, RECIPE, workers=0), digits, progress=False, on_event=live)
            found.append(live.picture._repr_html_())
        assert found[0] == found[1]

    def test_one_net(self, digits):
        with LiveCurves() as live:
            history = train(degradation.build_net("resnet8", digits, 0), digits, RECIPE, callback=live)
        assert lines(live.picture) == [
            ([e.step for e in history.evaluations], [e.train_error for e in history.evaluations])
        ]

    def test_nets_by_names_of_their_own(self):
        with LiveCurves() as live:
            assert live.picture is None
            live.named("warm-up")(evaluated(1000, 10.0))
            live.named("none")(evaluated(1000, 20.0))
        assert lines(live.picture) == [([1000], [10.0]), ([1000], [20.0])]
        assert "highest first: none 20%; warm-up 10%." in live.picture.alt

    def test_a_study_that_goes_on_shows_what_was_before(self, digits, tmp_path):
        def stop(where, event):
            if (where.net, event.step) == ("plain8", 5):
                raise StopTraining

        study = Study(("resnet14", "plain8"), RECIPE, workers=0)
        with pytest.raises(StopTraining, match=r"plain8 \(seed 0\)"):
            degradation.run(study, digits, tmp_path / "study", progress=False, on_event=stop)  # deeper ones first
        assert [path.name for path in (tmp_path / "study").glob("*-*.json")] == ["resnet14-seed0.json"]
        with LiveCurves() as live:
            records = degradation.resume(tmp_path / "study", digits, progress=False, on_event=live)
        whole = degradation.run(study, digits, progress=False)
        assert all(a.same_result(b) for a, b in zip(records, whole, strict=True))
        assert sorted(lines(live.picture)) == sorted(r.curve("train_error") for r in whole)


class TestDrawing:
    def test_caption_and_alternative(self):
        with LiveCurves() as live:
            live(cell("plain8"), evaluated(1000, 40.0))
            live(cell("resnet8"), stepped(250))
            assert live.picture.caption.startswith("Training: resnet8 (seed 0) at step 250 of 1,000. Each")
            live(cell("resnet8"), evaluated(1000, 8.0, 0.25))
        assert live.picture.caption == "Each point is an evaluation on all of these images, in evaluation mode."
        assert live.picture.alt == (
            "Line chart over 1,000 training steps. Training error, on all training images, where each net is, highest "
            "first: plain8 40%; resnet8 8%."
        )

    def test_before_the_first_evaluation(self):
        with LiveCurves() as live:
            live(cell(), stepped(1))
            assert "nothing evaluated yet" in live.picture.alt

    @pytest.mark.parametrize(
        ("cost", "wait"),
        [(0, PACE), (1 / 64, PACE), (0.125, 4.0), (100, LONGEST)],  # the wait is 32 times the cost, within limits
    )
    def test_the_pace_follows_what_a_drawing_costs(self, monkeypatch, cost, wait):
        now, drawn = [0.0], []
        live = LiveCurves(clock=lambda: now[0])

        def draw():
            drawn.append(now[0])
            now[0] += cost

        with live:
            with monkeypatch.context() as patch:
                patch.setattr(live, "_show", draw)
                for step in range(1, 900, 10):  # every one of them is to be seen
                    live(cell(), stepped(step))
                    now[0] += 0.25
            assert len(drawn) > 2
        gaps = {b - a - cost for a, b in itertools.pairwise(drawn)}
        assert min(gaps) == wait
        assert max(gaps) <= wait + 0.25

    def test_what_cannot_be_seen_is_not_drawn(self):
        now = itertools.count(step=1000)
        with LiveCurves(clock=lambda: next(now)) as live:
            live(cell(), stepped(1))
            before = live._next
            live(cell(), Event("evaluating", 1, 1000, 0.1, 1.0, 0.1))
            assert live._next == before

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
    def test_an_exception_leaves_what_there_is(self, error):
        live = LiveCurves()

        def fail():
            with live:
                live(cell(), evaluated(500, 40.0, 0.5))
                live(cell(), stepped(600, 0.4))
                raise error

        with pytest.raises(error):
            fail()
        assert lines(live.picture) == [([500], [40.0])]
        assert live.picture.caption.startswith("Stopped early: plain8 (seed 0) at step 600 of 1,000.")

    def test_used_again_it_begins_anew(self):
        live = LiveCurves()
        for net in NETS:
            with live:
                live(cell(net), evaluated(1000, 40.0))
            assert len(lines(live.picture)) == 1

    def test_outside_of_its_block(self):
        with pytest.raises(RuntimeError, match="with LiveCurves"):
            LiveCurves()(cell(), stepped(1))


# What a reader's notebook has: the drawings are counted by the messages that the kernel sends.

SETUP = """
from resnet_edu import Recipe, data
from resnet_edu.experiment import degradation
from resnet_edu.figures import LiveCurves

now = 0.0
digits = data.load("digits").head(64, 32)

def run(seconds, stop=None):
    def on_event(cell, event):
        global now
        now += seconds
        live(cell, event)
        if event.step == stop:
            raise KeyboardInterrupt
    with LiveCurves(clock=lambda: now) as live:
        study = degradation.Study(("plain8", "resnet8"), Recipe(6, batch_size=16, eval_every=2), workers=0)
        degradation.run(study, digits, progress=False, on_event=on_event)
"""


def execute(*cells: str):
    """Execute cells in a real kernel after the set-up; return their outputs, and the pages that replaced outputs."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    replaced = {}

    class Client(nbclient.NotebookClient):
        def process_message(self, message, cell, index):
            if message["msg_type"] == "update_display_data":
                replaced.setdefault(index, []).append(message["content"]["data"]["text/html"])
            return super().process_message(message, cell, index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in (SETUP, *cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    Client(notebook, timeout=300, allow_errors=True).execute()
    nbformat.validate(notebook)
    assert not notebook.cells[0].outputs
    return [cell.outputs for cell in notebook.cells[1:]], [replaced.get(k, []) for k in range(1, len(cells) + 1)]


@pytest.mark.slow
def test_in_a_notebook_one_figure_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runs = f"run({2 * PACE})", "run(0)", "run(0, stop=3)"
    (fast, still, stopped), replaced = execute(*runs)
    (output,) = fast
    assert output.output_type == "display_data"
    page = output.data["text/html"]
    assert page.count("<svg") == page.count("<figcaption>") == 1
    assert 'aria-label="Line chart over 6 training steps. Training error' in page
    assert "Each point is an evaluation" in page
    assert "Training: " not in page
    # Each of the 2 nets has 6 steps and 3 evaluations with something new to see. The first makes the output, the others
    # replace what is in it, and so does the figure that stays.
    assert len(replaced[0]) == 2 * 9
    assert "Training: plain8 (seed 0) at step 2 of 6." in replaced[0][0]
    assert replaced[0][-1] == page
    # Where no time passes, nothing is drawn between the first event and the end.
    (output,) = still
    assert replaced[1] == [output.data["text/html"]] == [page]
    figure, error = stopped
    assert "Stopped early: plain8 (seed 0) at step 3 of 6." in figure.data["text/html"]
    assert error.ename == "KeyboardInterrupt"


def test_outside_a_notebook_nothing_is_shown(digits, capfd):
    with LiveCurves() as live:
        degradation.run(Study("plain8", RECIPE, workers=0), digits, progress=False, on_event=live)
    assert capfd.readouterr() == ("", "")
