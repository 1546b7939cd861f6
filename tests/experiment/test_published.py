"""Our results beside published ones: distances worked out by hand, and no comparison where there can be none."""

import json
import re
import statistics

import pytest
from run_records import make

from resnet_edu import cli
from resnet_edu.experiment import shipped
from resnet_edu.experiment.published import (
    REFERENCES,
    SOURCES,
    Reference,
    deviations,
    references,
    results,
    why_not_comparable,
)
from resnet_edu.experiment.records import RecordError
from resnet_edu.experiment.statistics import mean_and_std
from resnet_edu.training.recipe import Recipe

KEYS = {"net", "dataset", "iterations", "seeds", "train_error", "test_error", "device"}  # of each row in JSON
CIFAR10 = {
    "name": "cifar10", "fingerprint": "cd34", "train": 50_000, "test": 10_000, "shape": [3, 32, 32],
    "classes": list("abcdefghij"),
}  # fmt: skip


def plain(recipe: Recipe) -> dict:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(recipe).items()}


def run(net="resnet20", seed=0, test_error=8.6, recipe=None, dataset=CIFAR10, **changes):
    recipe = recipe or Recipe.paper()
    curve = {"lr": 0.001, "train_loss": 0.01, "train_error": test_error / 10, "test_loss": 0.3}
    curves = [{"step": recipe.steps, "test_error": test_error, **curve}]
    return make(net, seed, dataset=dataset, recipe=plain(recipe), curves=curves, **changes)


class TestReferences:
    # the table of the paper (6), of nabla0001's README, and of the issue's first message
    @pytest.mark.parametrize(
        ("net", "source", "text"),
        [
            ("resnet20", "paper", "8.75"),
            ("resnet32", "paper", "7.51"),
            ("resnet44", "paper", "7.17"),
            ("resnet56", "paper", "6.97"),
            ("resnet110", "paper", "6.61 ± 0.16"),
            ("plain20", "paper", "about 9 to 9.5"),
            ("plain56", "paper", "about 13 to 13.5"),
            ("resnet20", "nabla0001", "8.51 ± 0.22"),
            ("resnet56", "nabla0001", "7.40 ± 0.27"),
            ("resnet110", "nabla0001", "7.14 ± 0.20"),
            ("plain20", "nabla0001", "9.78 ± 0.13"),
            ("plain56", "nabla0001", "12.95 ± 0.22"),
            ("resnet56", "akamaster #18", "7.36"),
        ],
    )
    def test_published_numbers(self, net, source, text):
        (found,) = (r for r in references(net) if r.source == source)
        assert str(found) == text
        assert source in SOURCES

    def test_there_are_no_others(self):
        assert len(REFERENCES) == 13
        assert references("vgg16") == []

    def test_what_the_notes_say_of_the_six_runs(self):
        mean, std = mean_and_std([7.4, 7.29, 7.4, 6.89, 8.42, 7.95])
        assert (round(mean, 2), round(std, 2)) == (7.56, 0.54)


class TestDeviations:
    @pytest.mark.parametrize(
        ("mean", "std", "reference", "expected"),
        [
            # both scatter: the root mean square of 0.3 and 0.4 is sqrt(0.125) = 0.353553...
            (10.5, 0.3, Reference("n", "s", 10.0, 10.0, 0.4), 0.5 / 0.125**0.5),
            (9.5, 0.3, Reference("n", "s", 10.0, 10.0, 0.4), -0.5 / 0.125**0.5),
            # equal scatters: that one
            (8.0, 0.2, Reference("n", "s", 8.5, 8.5, 0.2), -2.5),
            # only ours, only theirs, neither
            (8.6, 0.3, Reference("n", "s", 8.75, 8.75), -0.5),
            (8.95, None, Reference("n", "s", 8.51, 8.51, 0.22), 2.0),
            (8.6, None, Reference("n", "s", 8.75, 8.75), None),
            (8.6, 0.0, Reference("n", "s", 8.75, 8.75), None),
            # a range: 0 within, and from its nearer end outside
            (9.25, 0.1, Reference("n", "s", 9.0, 9.5), 0.0),
            (9.8, 0.1, Reference("n", "s", 9.0, 9.5), 3.0),
            (8.8, 0.1, Reference("n", "s", 9.0, 9.5), -2.0),
        ],
    )
    def test_by_hand(self, mean, std, reference, expected):
        found = deviations(mean, std, reference)
        assert found is None if expected is None else found == pytest.approx(expected)

    def test_mean_and_std(self):
        # squares of the distances from 8.5: 0.09, 0.01, 0.04, 0.04 and 0.04, over 4: 0.055
        assert mean_and_std([8.2, 8.6, 8.3, 8.7, 8.7]) == pytest.approx((8.5, 0.055**0.5))
        assert mean_and_std([8.5]) == (8.5, None)


class TestComparable:
    def test_the_papers_study_is(self):
        assert why_not_comparable(run()) is None
        assert why_not_comparable(run("resnet110", recipe=Recipe.paper(110))) is None
        assert why_not_comparable(run(recipe=Recipe.paper().replace(eval_every=500))) is None
        assert why_not_comparable(run(recipe=Recipe.paper(), device={"type": "cuda", "name": "a card"})) is None
        assert why_not_comparable(run(device={"type": "cuda", "name": "a card", "processes": 2})) is None

    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            (make(), r"another data set \(digits\)"),
            (run(recipe=Recipe.scaled(3000)), r"a shortened schedule \(3,000 of the paper's 64,000 iterations\)"),
            (run(dataset=CIFAR10 | {"train": 45_000}), "other images .45000 and 10000 instead of 50000 and 10000"),
            (run(dataset=CIFAR10 | {"name": "cifar10[:512]"}), "other images"),
            (run(dataset=CIFAR10 | {"shape": [3, 16, 16]}), r"images of another size \(3x16x16\)"),
            (run(options={"shortcut": "projection"}), r"another net \(shortcut=projection\)"),
            (run(start="resnet56 trained on digits"), r"weights to start from \(resnet56 trained on digits\)"),
            (run(recipe=Recipe.paper().replace(lr=0.2)), r"another recipe \(lr is 0\.2 instead of 0\.1\)"),
            (run(recipe=Recipe.paper().replace(augment=False)), "augment is False instead of True"),
            (run(recipe=Recipe.paper().replace(normalize="per_channel")), "normalize is per_channel"),
            (run("resnet110"), r"warmup_lr is None instead of 0\.01"),
            (
                run(device={"type": "cuda", "name": "a card", "processes": 8}),
                r"batch norm over 16 images a process, in 8 processes \(the paper had two GPUs\)",
            ),
            (
                run(recipe=Recipe.paper().replace(milestones=(32_000,))),
                r"milestones is \(32000,\) instead of \(32000, ",
            ),
        ],
    )
    def test_others_are_not(self, record, reason):
        assert re.search(reason, why_not_comparable(record))


class TestTable:
    # test errors 8.4, 8.6, 8.8: mean 8.6, sample standard deviation 0.2
    STUDY = tuple(run(seed=i, test_error=e) for i, e in enumerate((8.4, 8.6, 8.8)))
    FAR = tuple(run("plain56", seed=i, test_error=e) for i, e in enumerate((13.8, 14.0, 14.2)))

    def test_values(self):
        (row,) = results(self.STUDY, "mine")
        assert row["test_error"] == {"mean": pytest.approx(8.6), "std": pytest.approx(0.2)}
        assert row["train_error"] == {"mean": pytest.approx(0.86), "std": pytest.approx(0.02)}
        assert {k: row[k] for k in ("net", "dataset", "iterations", "seeds", "device", "study")} == {
            "net": "resnet20", "dataset": "cifar10", "iterations": 64_000, "seeds": 3,
            "device": "a processor", "study": "mine",
        }  # fmt: skip
        assert row["not_comparable"] is None
        paper, other = row["references"]
        assert (paper["source"], paper["deviations"]) == ("paper", pytest.approx(-0.75))  # (8.6 - 8.75) / 0.2
        # root mean square of 0.2 and 0.22: sqrt(0.0442) = 0.2102380; (8.6 - 8.51) / 0.2102380
        assert (other["source"], other["deviations"]) == ("nabla0001", pytest.approx(0.4280863))

    def test_text(self):
        table = results(self.STUDY + self.FAR)
        _, _, heading, _, first, second, empty, *notes = str(table).splitlines()
        assert re.split(r"\s{2,}", heading) == [
            "net", "train error %", "test error %", "paper", "nabla0001", "iterations", "seeds",
        ]  # fmt: skip
        assert re.split(r"\s{2,}", first) == [
            "resnet20", "0.86 ± 0.02", "8.60 ± 0.20", "8.75 (-0.8 sd)", "8.51 ± 0.22 (+0.4 sd)", "64,000", "3",
        ]  # fmt: skip
        # (14 - 13.5) / 0.2, from the range's nearer end; (14 - 12.95) / 0.2102380
        assert "about 13 to 13.5 (+2.5 sd)" in second
        assert "12.95 ± 0.22 (+5.0 sd)" in second
        assert not empty
        said = " ".join(notes)
        assert "FAR OFF: the test error of plain56 is 2.5 standard deviations above that of paper." in said
        assert "FAR OFF: the test error of plain56 is 5.0 standard deviations above that of nabla0001." in said
        assert said.count("FAR OFF") == 2
        assert "root mean square of ours and theirs" in said
        assert "paper: He et al. 2016" in said
        assert max(map(len, notes)) <= 110

    @pytest.mark.parametrize(("mean", "far"), [(13.88, False), (13.94, True)])
    def test_far_is_more_than_two_standard_deviations(self, mean, far):
        """0.38 and 0.44 points above the paper's range are 1.9 and 2.2 times the standard deviation of 0.2."""
        said = str(results(run("plain56", i, e) for i, e in enumerate((mean - 0.2, mean, mean + 0.2))))
        assert ("standard deviations above that of paper" in said) == far

    def test_markdown_and_html_have_the_same_cells(self):
        table = results(self.STUDY + self.FAR).table()
        lines = table.to_markdown().splitlines()
        cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        page = table.to_html()
        for cell in (c for row in [cells[0], *cells[2:]] for c in row):
            assert f">{cell}</t" in page
        assert page.count("<tr>") == 3
        assert all(f"- {note}" in lines and f">{note}</p>" in page for note in table.notes)

    def test_a_shortened_schedule_gets_no_distance(self):
        short = [run(seed=i, test_error=e, recipe=Recipe.scaled(3000)) for i, e in enumerate((13.0, 13.4))]
        table = results(short)
        assert all(r["deviations"] is None for r in table[0]["references"])
        text = " ".join(str(table).split())
        assert " sd" not in text
        assert "FAR OFF" not in text
        assert "resnet20 cannot be compared with published ones: a shortened schedule (3,000 of the paper's" in text
        assert "for orientation; no difference is computed" in text
        assert "8.51 ± 0.22" in text

    def test_one_seed_has_no_deviation_of_its_own(self):
        (row,) = results(self.STUDY[:1])
        assert row["test_error"] == {"mean": 8.4, "std": None}
        assert [r["deviations"] for r in row["references"]] == [None, pytest.approx(-0.5)]  # (8.4 - 8.51) / 0.22

    def test_records_that_do_not_belong_together(self):
        with pytest.raises(RecordError, match="differ in their recipe"):
            results([run(), run("resnet56", recipe=Recipe.scaled(3000))])
        with pytest.raises(RecordError, match="differ in their number of processes"):
            results([run(), run(seed=1, device={"type": "cpu", "name": "a processor", "processes": 64})])
        with pytest.raises(RecordError, match="a record of resnet20 ends with a train_error that is no number"):
            results([run(test_error=float("nan"))])


class TestCommand:
    def test_json_is_a_list_of_what_is_shipped(self, capsys):
        assert cli.main(["results", "--format", "json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        wanted = [
            (s.name, net) for s in shipped.studies() for net in sorted({r.net for r in shipped.load_records(s.name)})
        ]
        assert sorted((row["study"], row["net"]) for row in rows) == sorted(wanted)
        for row in rows:
            assert set(row) >= KEYS
            ends = [r.final for r in shipped.load_records(row["study"]) if r.net == row["net"]]
            assert row["seeds"] == len(ends)
            for key in ("train_error", "test_error"):
                assert set(row[key]) == {"mean", "std"}
                assert row[key]["mean"] == pytest.approx(statistics.fmean(e[key] for e in ends))

    def test_text_and_markdown_name_the_study_and_where_it_ran(self, capsys):
        study = shipped.load_study("digits")
        assert cli.main(["results", "--study", "digits"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"digits: {study.title}\n")
        assert study.hardware in out
        assert study.command in " ".join(out.split())
        assert "cannot be compared with published ones: another data set (digits)" in " ".join(out.split())
        assert str(results(shipped.load_records("digits"))) in out
        assert cli.main(["results", "--study", "digits", "--format", "markdown"]) == 0
        assert capsys.readouterr().out.startswith("## digits: ")

    def test_records_of_a_folder(self, tmp_path, capsys):
        for r in TestTable.STUDY:
            r.save(tmp_path / r.filename)
        assert cli.main(["results", "--records", str(tmp_path)]) == 0
        assert "\nnet " in capsys.readouterr().out
        assert cli.main(["results", "--records", str(tmp_path), "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["study"] == tmp_path.name

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--study", "imagenet"], "no study 'imagenet' comes with the package: there is"),
            (["--records", "nowhere"], "there is no folder nowhere"),
        ],
    )
    def test_what_is_not_there(self, options, message, capsys):
        assert cli.main(["results", *options]) == 1
        assert message in capsys.readouterr().err
