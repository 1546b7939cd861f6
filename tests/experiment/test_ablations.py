"""Recipes with a part switched off: what a variant is, what a run of it is, what may be said about the difference."""

import math
import statistics

import pytest
import torch
from scipy import stats

from resnet_edu.data import dataset as data
from resnet_edu.experiment import ablations
from resnet_edu.experiment.ablations import Outcome, Variant, effects, interval, switches
from resnet_edu.experiment.degradation import Cell, build_net, run_cell
from resnet_edu.training.recipe import Recipe

TINY = Recipe(3, batch_size=16, milestones=(2,), eval_every=3)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits").head(64, 20)


class TestVariants:
    def test_each_switch_changes_one_thing(self):
        full, *others = switches("resnet8", TINY, moves=1)
        assert (full.net, full.recipe, full.law, full.batch_norm, full.moves) == ("resnet8", TINY, "he", True, 1)
        changed = [
            {f for f in ("law", "batch_norm", "moves") if getattr(v, f) != getattr(full, f)}
            | {f for f in vars(TINY) if getattr(v.recipe, f) != getattr(TINY, f)}
            for v in others
        ]
        assert changed == [{"batch_norm"}, {"law"}, {"milestones"}, {"weight_decay"}, {"moves"}]
        assert (others[2].recipe.milestones, others[3].recipe.weight_decay, others[4].moves) == ((), 0.0, 0)

    def test_what_a_recipe_lacks_has_no_switch(self):
        bare = TINY.replace(milestones=(), weight_decay=0.0)
        assert [v.name for v in switches("resnet8", bare)[1:]] == ["without batch norm", "kernels of std 0.01"]
        assert switches("resnet8", TINY.replace(augment=True))[-1].recipe.augment is False

    def test_nets_are_built_from_the_seed_alone(self, digits):
        full, no_norm, small, *_ = switches("resnet8", TINY)
        ours, theirs = full.build(digits, 1).state_dict(), build_net("resnet8", digits, 1).state_dict()
        assert all(torch.equal(ours[n], t) for n, t in theirs.items())
        without = no_norm.build(digits, 1).state_dict()
        assert not any("bn" in n for n in without)
        assert torch.equal(without["layer1.0.conv1.weight"], ours["layer1.0.conv1.weight"])
        kernel = small.build(digits, 1).layer3[0].conv2.weight
        assert kernel.std().item() == pytest.approx(0.01, rel=0.05)
        assert torch.equal(kernel, small.build(digits, 1).layer3[0].conv2.weight)

    def test_bad_input(self, digits):
        with pytest.raises(ValueError, match=r"`law` must be one of 'he', .* but it is 'huge'"):
            Variant("x", "resnet8", TINY, law="huge").build(digits, 0)
        a = Variant("a", "resnet8", TINY)
        with pytest.raises(TypeError, match="rate"):
            a.but("b", rate=3)
        for wrong in ([], [a, a]):
            with pytest.raises(ValueError, match="a name of its own"):
                ablations.run(wrong, digits)
        with pytest.raises(ValueError, match="`seeds` must be at least 2, but it is 1"):
            ablations.run([a], digits, seeds=1)
        with pytest.raises(ValueError, match="`workers`"):
            ablations.run([a], digits, workers=-1)
        with pytest.raises(ValueError, match="only 64 training"):
            ablations.run([a.but("b", batch_size=128)], digits)


class TestMoves:
    def test_every_move_is_there_once(self):
        small = data.load("digits").head(3, 20)
        more = data.moved(small, 1)
        assert more.train_images.shape == (27, 1, 8, 8)
        assert torch.equal(more.train_labels, small.train_labels.repeat(9))
        assert torch.equal(more.test_images, small.test_images)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                rolled = small.train_images.roll((dy, dx), (2, 3))
                if dy:
                    rolled[:, :, 0 if dy > 0 else -1] = 0
                if dx:
                    rolled[..., 0 if dx > 0 else -1] = 0
                assert sum(torch.equal(part, rolled) for part in more.train_images.split(3)) == 1

    def test_none_and_bad_input(self, digits):
        assert torch.equal(data.moved(digits, 0).train_images, digits.train_images)
        for wrong in (-1, 8, 1.5, True):
            with pytest.raises(ValueError if type(wrong) is int else TypeError, match="`pixels` must be"):
                data.moved(digits, wrong)


class TestRun:
    def test_a_run_is_the_run_of_the_degradation_experiment(self, digits, one_thread):
        variants = [Variant("a", "resnet8", TINY), Variant("b", "resnet8", TINY.replace(lr=0.01))]
        events = []
        found = ablations.run(
            variants,
            digits,
            seeds=2,
            device="cpu",
            workers=0,
            progress=False,
            on_event=lambda *event: events.append(event),
        )
        assert [(o.variant, o.seed) for o in found] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
        for outcome, variant in zip(found, [variants[0]] * 2 + [variants[1]] * 2, strict=True):
            record = run_cell(Cell("resnet8", outcome.seed, variant.recipe), digits)
            wanted = {name: record.final[name] for name in ablations.METRICS}
            assert {name: getattr(outcome, name) for name in ablations.METRICS} == wanted
        assert [(cell.net, cell.seed, event.kind) for cell, event in events] == [
            (o.variant, o.seed, "evaluation") for o in found
        ]

    @pytest.mark.slow
    def test_workers_give_the_same_and_say_so(self, digits, one_thread):
        variants = switches("resnet8", TINY, moves=1)[::5]
        events = []
        apart = ablations.run(
            variants, digits, seeds=2, device="cpu", progress=False, on_event=lambda *event: events.append(event)
        )
        here = ablations.run(variants, digits, seeds=2, device="cpu", workers=0, progress=False)
        for a, b in zip(apart, here, strict=True):
            assert (a.variant, a.seed) == (b.variant, b.seed)
            assert a.test_loss == pytest.approx(b.test_loss, rel=1e-3)
        assert len(events) == 4

    def test_a_run_that_diverges_is_an_outcome(self, digits, one_thread):
        wild = Variant("wild", "plain8", TINY.replace(lr=1e20), batch_norm=False)
        found = ablations.run([wild], digits, seeds=2, device="cpu", workers=0, progress=False)
        assert all(o.diverged_at in (1, 2, 3) and math.isnan(o.test_error) for o in found)

    def test_kernel_length(self, digits, one_thread):
        slow = Variant("slow", "resnet8", TINY.replace(lr=1e-12))
        (outcome, _) = ablations.run([slow], digits, seeds=2, device="cpu", workers=0, progress=False)
        net = build_net("resnet8", digits, 0)
        kernels = torch.cat([p.flatten() for n, p in net.named_parameters() if "conv" in n])
        assert outcome.kernel_length == pytest.approx(kernels.norm().item(), rel=1e-5)


def outcomes(**errors):
    return [
        Outcome(name, seed, test_error=e if e is not None else math.nan, diverged_at=None if e is not None else 7)
        for name, values in errors.items()
        for seed, e in enumerate(values)
    ]


class TestEffects:
    def test_the_interval_is_scipys(self):
        values = [1.3, -0.2, 2.4, 0.9, 1.1]
        mean, low, high = interval(values)
        assert mean == pytest.approx(statistics.fmean(values))
        wanted = stats.t.interval(0.95, 4, loc=mean, scale=stats.sem(values))
        assert (low, high) == pytest.approx(wanted)
        assert all(math.isnan(v) for v in interval([1.0]))
        # "clear" is a paired t-test at 5%
        assert (low > 0) == (stats.ttest_1samp(values, 0).pvalue < 0.05)

    def test_verdicts(self):
        errors = {
            "up": (6, 7.5, 8.2),
            "down": (3.9, 5, 5.8),
            "same": (5, 6, 7),
            "unsure": (4, 6, 9),
            "gone": (5, None, 9),
        }
        found = effects(outcomes(a=(5, 6, 7), **errors))
        wanted = ["higher", "lower", "within the noise", "within the noise", "diverged in 1 of 3 runs"]
        assert [e.verdict for e in found] == wanted
        assert found["up"].differences == pytest.approx((1, 1.5, 1.2))
        assert (found["same"].mean, found["same"].low, found["same"].high) == (0, 0, 0)
        assert found["gone"].mean == 1.0
        assert (found.level, found.baseline) == (6, "a")
        assert list(found.rows) == ["up", "down", "same", "unsure"]
        assert found.rows["same"] == ((0, 0, 0), (0, 0, 0))

    def test_seeds_are_paired_whatever_their_order(self):
        mixed = outcomes(a=(1, 50, 90), b=(2, 51.1, 90.9))
        found = effects([*mixed[:3], *mixed[:2:-1]])
        assert found["b"].verdict == "higher"
        assert found["b"].mean == pytest.approx(1.0)

    def test_the_table_says_what_it_compares(self):
        found = effects(outcomes(recipe=(5, 6, 7), up=(6, 7.5, 8.2)))
        text = str(found)
        assert text.startswith("Against recipe, whose test error is 6.0%; 3 seeds")
        assert all(part in text for part in ("+1.2", "higher", "change in points"))
        html = found._repr_html_()
        assert all(part in html for part in ("<caption>Against recipe", "higher"))

    def test_bad_input(self):
        with pytest.raises(ValueError, match="two variants"):
            effects(outcomes(a=(1, 2)))
        with pytest.raises(ValueError, match=r"no result for seeds \[1\]"):
            effects(outcomes(a=(1, None), b=(1, 2)))
        with pytest.raises(ValueError, match=r"no result for seeds \[2\]"):
            effects(outcomes(a=(1, 2), b=(1, 2, 3)))
        with pytest.raises(ValueError, match="'b' has two outcomes for seed 1"):
            effects([*outcomes(a=(1, 2), b=(1, 2)), Outcome("b", 1, test_error=9.0)])
        with pytest.raises(KeyError, match="'c'"):
            effects(outcomes(a=(1, 2), b=(1, 2)))["c"]
