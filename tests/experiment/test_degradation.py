"""The experiment: fair twins, the same numbers every time, no process left behind, and no claim beyond the numbers."""

import errno
import math
import multiprocessing
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from run_records import make

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset
from resnet_edu.experiment import degradation, records
from resnet_edu.experiment.degradation import build_net, default_recipe, run, space_evaluations
from resnet_edu.experiment.folder import Cell, Study
from resnet_edu.experiment.records import RecordError
from resnet_edu.experiment.shipped import load_record
from resnet_edu.experiment.statistics import headline, summary
from resnet_edu.training.loop import Recipe, TrainingDiverged

TINY = Recipe(4, batch_size=16, lr=0.05, augment=True, eval_every=2)
TWO = Study(("plain8", "resnet8"), TINY, seeds=2, device="cpu", workers=0, threads=1)
ONE = Study("plain8", TINY, workers=0)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits").head(64, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("study") / "new" / "folder"


@pytest.fixture(scope="module")
def tiny(digits, folder) -> list[records.RunRecord]:
    """A small study, whose records were written to `folder`."""
    seen = []

    def on_record(record):
        seen.append((record.net, record.seed))
        assert records.load(folder / record.filename) == record

    found = run(TWO, digits, folder, progress=False, on_record=on_record)
    assert sorted(seen) == [(r.net, r.seed) for r in found]
    return found


def children() -> set[int]:
    return {p.pid for p in multiprocessing.active_children()}


class TestRun:
    def test_records(self, tiny, digits):
        assert [(r.net, r.seed) for r in tiny] == [("plain8", 0), ("plain8", 1), ("resnet8", 0), ("resnet8", 1)]
        r = tiny[0]
        assert r.dataset["fingerprint"] == digits.fingerprint
        assert (r.dataset["train"], r.dataset["test"], r.dataset["shape"]) == (64, 32, [1, 8, 8])
        assert r.recipe["steps"] == 4
        assert Recipe(**r.recipe) == TINY
        assert [p["step"] for p in r.curves] == [2, 4]
        # by hand: 9 weights a 3x3 filter, 2 values a channel for batch norm, 10 outputs of 64 inputs and a bias
        convolutions = 9 * (16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
        assert r.parameters == convolutions + 2 * (3 * 16 + 2 * 32 + 2 * 64) + 650
        assert r.device["type"] == "cpu"
        assert r.device["name"]
        assert all(0 <= p["train_error"] <= 100 for p in r.curves)

    @pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
    def test_same_seed_same_record_and_events_wherever_it_is_trained(self, tiny, digits, workers):
        seen = []
        again = run(replace(TWO, workers=workers), digits, progress=False, on_event=lambda *event: seen.append(event))
        assert all(a.same_result(b) for a, b in zip(tiny, again, strict=True))
        assert not tiny[0].same_result(tiny[1])
        for r in again:
            mine = [event.evaluation for cell, event in seen if (cell.net, cell.seed) == (r.net, r.seed)]
            assert [asdict(evaluation) for evaluation in mine if evaluation] == r.curves

    def test_twins_start_equal_and_the_global_state_is_left(self, digits):
        before = torch.get_rng_state()
        plain, residual, other = (build_net(n, digits, s) for n, s in (("plain20", 3), ("resnet20", 3), ("plain20", 4)))
        for (name, a), b in zip(plain.state_dict().items(), residual.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
        assert not torch.equal(plain.conv1.weight, other.conv1.weight)
        assert torch.equal(torch.get_rng_state(), before)

    def test_writes_each_record_when_its_net_is_done(self, tiny, folder):
        # the fixture has looked into the folder at each call of `on_record`
        assert {(r.net, r.seed): r for r in records.load_dir(folder)} == {(r.net, r.seed): r for r in tiny}

    def test_progress_is_one_line_on_stderr(self, digits, capfd):
        run(ONE, digits)
        out, err = capfd.readouterr()
        assert out == ""
        assert "0%" in err
        assert err.endswith("\r")  # the line is wiped

    def test_colour_folder(self, tmp_path):
        from PIL import Image

        for k, name in enumerate(("red", "green", "blue")):
            (tmp_path / name).mkdir()
            for i in range(10):
                colour = [20 * i] * 3
                colour[k] = 255
                Image.new("RGB", (8, 8), tuple(colour)).save(tmp_path / name / f"{i}.png")
        (record,) = run(Study("resnet8", Recipe(3, batch_size=8), workers=0), tmp_path, progress=False)
        assert record.dataset["classes"] == ["blue", "green", "red"]
        assert record.dataset["shape"] == [3, 8, 8]


def test_a_disk_that_is_full_when_the_record_is_written(digits, tmp_path, monkeypatch):
    """The checkpoint is kept: the run is not done over again."""

    def full(record, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(records.RunRecord, "save", full)
        with pytest.raises(OSError, match="No space left"):
            run(ONE, digits, tmp_path, progress=False)
    assert [p.name for p in (tmp_path / "checkpoints").glob("*.checkpoint")] == ["plain8-seed0.checkpoint"]
    steps = []
    degradation.resume(tmp_path, digits, progress=False, on_event=lambda cell, event: steps.append(event.step))
    assert set(steps) == {4}
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_the_shipped_study_has_the_same_numbers():
    """Up to the first evaluation, as far as rounding lets it; losses of another start are several times as far away."""
    record = load_record("resnet20", study="digits")
    found = []

    class Enough(Exception):
        pass

    def stop(cell, event):
        if event.kind == "evaluation":
            found.append(asdict(event.evaluation))
            raise Enough

    with pytest.raises(Enough):
        run(Study("resnet20", device="cpu", workers=1, threads=record.threads), progress=False, on_event=stop)
    slack = {"train_loss": 0.005, "test_loss": 0.005, "train_error": 2.5, "test_error": 2.5}
    there = record.curves[0].items()
    assert found == [{key: pytest.approx(value, abs=slack.get(key, 0)) for key, value in there}]


def test_divergence_is_told_as_such(digits):
    with pytest.raises(TrainingDiverged, match=r"plain8 \(seed 0\): the loss of the batch .* step") as caught:
        run(replace(ONE, recipe=TINY.replace(lr=1e30)), digits, progress=False)
    assert caught.value.lr == 1e30


@pytest.mark.parametrize(("device", "count"), [("cpu", 2), ("cuda", 0), ("cuda:1", 0), ("mps", 0)])
def test_processes_where_nothing_is_said(digits, device, count):
    assert degradation.complete(replace(ONE, workers=None, device=device), digits).workers == count


@pytest.mark.gpu
def test_processes_share_a_graphics_card(digits):
    """The same numbers, whether nets take turns in one process or share the card."""
    study = Study(("plain8", "resnet8"), TINY, device="cuda", precision="float32")
    alone, shared = (run(replace(study, workers=workers), digits, progress=False) for workers in (0, 2))
    assert [r.curves for r in shared] == [r.curves for r in alone]
    assert children() == set()


class TestBadArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"nets": ("resnet21",)}, "6n"),
            ({"nets": ("vgg16",)}, "unknown net 'vgg16'"),
            ({"nets": ()}, "`nets` must have one entry at least, and each once"),
            ({"nets": ("plain8", "plain8")}, "`nets` must have one entry at least, and each once"),
            ({"seeds": 0}, "`seeds`"),
            ({"seeds": [1, 1]}, "`seeds` must have one entry at least, and each once"),
            ({"seeds": [-1]}, "at least 0"),
            ({"precision": "float16"}, "`precision`"),
            ({"recipe": "digits"}, "`recipe` must be of type Recipe"),
            ({"workers": -1}, "`workers`"),
            ({"threads": 0.5}, "`threads`"),
            ({"checkpoint_seconds": -5}, "`checkpoint_seconds`"),
            ({"checkpoint_seconds": math.nan}, "`checkpoint_seconds`"),
            ({"checkpoint_seconds": math.inf}, "`checkpoint_seconds`"),
            ({"checkpoint_seconds": -1}, "`checkpoint_seconds`"),
        ],
    )
    def test_a_study_that_cannot_be(self, arguments, message):
        with pytest.raises((TypeError, ValueError), match=message):
            Study(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"device": "gpu"}, "`device`"),
            ({"recipe": Recipe(2, batch_size=100)}, "`batch_size` is 100, but .* only 64"),
        ],
    )
    def test_said_before_any_training(self, digits, tmp_path, arguments, message):
        with pytest.raises(ValueError, match=message):
            run(replace(TWO, **arguments), digits, tmp_path / "new")
        assert children() == set()
        assert not (tmp_path / "new").exists()

    def test_names_in_the_place_of_a_study(self, digits):
        with pytest.raises(TypeError, match="`study` must be a Study, such as"):
            run(("plain8",), digits)

    def test_folder_with_records(self, digits, tmp_path):
        make().save(tmp_path / "old.json")
        with pytest.raises(FileExistsError, match=r"already holds old.json, and nothing is overwritten"):
            run(ONE, digits, tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["old.json"]

    @pytest.mark.parametrize("where", ["file/inside", "/proc/nowhere"])  # root may write into read-only folders
    def test_folder_that_cannot_be_written(self, digits, tmp_path, where):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"cannot write into the output folder .* \(--out\)"):
            run(ONE, digits, tmp_path / where)


class TestRecipeForTheData:
    def test_digits(self):
        digits = data.load("digits")
        assert default_recipe(digits) == Recipe.digits()
        assert default_recipe(digits, 100) == Recipe.digits().replace(steps=100, milestones=(75,), eval_every=12)
        assert default_recipe(digits, 1).steps == 1

    def test_parts_of_them(self):
        digits = data.load("digits")
        for some in (digits.head(64, 32), digits.hold_out(100), digits.head(500, 50).hold_out(100)):
            assert default_recipe(some) == Recipe.digits()

    def test_a_folder_of_that_name(self):
        pixels, labels = torch.zeros(20, 3, 32, 32, dtype=torch.uint8), torch.arange(20) % 10
        assert default_recipe(Dataset("digits", pixels, labels, pixels, labels, tuple("0123456789"))).augment
        small = pixels[:, :1, :8, :8]
        assert default_recipe(Dataset("digits", small, labels, small, labels, tuple("abcdefghij"))).augment

    def test_others_take_the_papers_recipe_shortened(self, digits):
        other = Dataset("photos", *(getattr(digits, n) for n in list(digits.__dataclass_fields__)[1:]))
        recipe = default_recipe(other)
        assert (recipe.steps, recipe.milestones, recipe.augment) == (1000, (500, 750), True)
        assert default_recipe(other, 400).milestones == (200, 300)
        assert default_recipe(other, 400, depth=110).warmup_lr == 0.01

    @pytest.mark.parametrize(
        ("steps", "images", "evaluations"),
        [(300, 60_000, 3), (64_000, 60_000, 64), (6_000, 60_000, 19), (2, 60_000, 2), (300, 100, 60)],
    )
    def test_evaluations_cost_at_most_half_of_the_training(self, steps, images, evaluations):
        pixels, labels = torch.zeros(images, 1, 1, 1, dtype=torch.uint8), torch.arange(images) % 2
        dataset = Dataset("x", pixels[1:], labels[1:], pixels[:1], labels[:1], ("a", "b"))
        recipe = space_evaluations(Recipe(steps), dataset)
        assert -(-steps // recipe.eval_every) == evaluations
        if evaluations > 3:
            assert evaluations * images <= 0.5 * 3 * 128 * steps

    def test_longest_first(self):
        cells = Study(("plain20", "resnet56", "plain110"), Recipe(10)).cells
        assert [c.net for c in sorted(cells, key=degradation._cost, reverse=True)] == [
            "plain110",
            "resnet56",
            "plain20",
        ]
        assert Cell("plain20", 3, TINY).name == "plain20 (seed 3)"


def study(**errors) -> list[records.RunRecord]:
    """Records whose final training error is the given one, or one a seed."""
    found = []
    for net, value in errors.items():
        values = value if isinstance(value, tuple) else (value,)
        found += [make(net, seed, errors=(90.0, e)) for seed, e in enumerate(values)]
    return found


class TestHeadline:
    def test_degradation_and_its_cure(self):
        said = headline(study(plain20=5.0, plain56=30.0, resnet20=4.0, resnet56=3.5))
        assert said == (
            "After 20 steps on digits the deeper plain net is the worse one, in training already: plain20 gets 5.0% "
            "of its own training images wrong, plain56 30.0% (one seed); with shortcuts the same layers hardly suffer "
            "from depth: resnet20 4.0%, resnet56 3.5%."
        )

    @pytest.mark.parametrize(
        ("errors", "words"),
        [
            ({"plain20": 5.0, "plain56": 30.0, "resnet20": 4.0, "resnet56": 12.0}, "suffer less from depth"),
            ({"plain20": 5.0, "plain56": 30.0, "resnet20": 4.0, "resnet56": 40.0}, "suffer too from depth"),
            ({"plain20": 5.0, "plain56": 30.0}, "residual twins of both depths are needed"),
            ({"plain20": 0.0, "plain56": 0.3}, "does not show: plain20 gets 0.0%"),
            ({"plain20": 9.0, "plain56": 3.0}, "does not show: "),
            ({"plain20": (5.0, 9.0, 5.0), "plain56": (9.0, 4.0, 8.0)}, "does not show: "),  # the seeds disagree
            ({"plain20": (5.0, 5.0, 5.0), "plain56": (5.0, 5.1, 15.0)}, "3 seeds do not tell whether"),  # they scatter
            (
                {"plain20": (5.0, 5.0, 5.0), "plain56": (6.0, 8.0, 10.0)},
                "95% interval of the gap -2.0 to +8.0",
            ),
            ({"plain20": (5.0, 5.0), "plain56": (30.0, 32.0)}, "plain56 31.0% (means of 2 seeds, "),
            ({"plain20": 80.0, "plain56": 90.0}, "too early to tell (guessing gets 90% wrong): plain20 gets 80.0%"),
            ({"plain20": 5.0, "resnet56": 3.0}, "it takes plain nets of two depths"),
        ],
    )
    def test_what_else_it_may_say(self, errors, words):
        said = headline(study(**errors))
        assert words in said
        assert said.endswith(".")
        assert said.count(". ") == 0  # one sentence

    def test_not_enough_to_compare(self):
        assert "plain nets of two depths" in headline([make("plain20", 0), make("plain56", 1)])
        with pytest.raises(RecordError):
            headline([])


class TestSummary:
    def test_mean_and_deviation_by_hand(self):
        table = summary(study(plain20=(4.0, 6.0, 8.0), resnet20=(1.0, 1.0, 1.0)))
        assert [row["net"] for row in table] == ["plain20", "resnet20"]
        assert table[0]["train_error"] == pytest.approx(6)
        assert table[0]["train_error_std"] == pytest.approx(2)
        assert (table[0]["layers"], table[0]["parameters"], table[0]["seeds"]) == (20, 269_722, 3)
        assert "6.00 ± 2.00" in str(table)

    def test_one_seed_has_no_deviation(self):
        table = summary(study(plain20=4.0))
        assert table[0]["train_error_std"] is None
        assert "±" not in str(table)

    def test_text_lines_up(self):
        lines = str(summary(study(plain20=4.0, resnet110=12.0))).splitlines()[2:]  # below the caption
        assert lines[0].split()[0] == "net"
        assert len(set(map(len, lines))) == 1

    def test_html(self):
        page = summary(study(plain20=4.0))._repr_html_()
        assert '<table class="resnet-table">' in page
        assert '<th scope="row">plain20</th>' in page
        assert page.count("<td ") == 6
