"""Right answers, and known slips, of the exercises about runs and what they show: chapters 1, 6 and 7.

Scope: each function is one exercise; what it takes is what is handed in. Verdicts are compared with what the learner's
own numbers say by the rule of the chapter: another machine may find other numbers.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

import numpy as np

from ...experiment.ablations import interval
from ...experiment.records import RunRecord
from ...experiment.shipped import load_records
from ..verdict import NotYet
from .parts import choice, number, percentages, real, several

WORDS = ("overfitting", "degradation", "unknown")


def three_results(cases: object) -> str:
    """Exercise 1.1."""
    # The results: training and test error, and the training error of a shallower network, if there was one.
    results = ((0.1, 24.0, None), (19.0, 21.0, 6.0), (19.0, 21.0, None))
    for result, given, place in zip(results, several("cases", cases, 3, "words"), ("i", "ii", "iii"), strict=True):
        train, test, shallower = result
        low = train < 1 < test - train
        worse = shallower is not None and train > shallower
        slips = {
            "overfitting": "a network that overfits has learnt its training images, and this one gets "
            f"{train:g}% of them wrong",
            "degradation": f"{train:g}% on the training images, against which shallower network?"
            if not low
            else "its training error is as low as can be",
            "unknown": "there is enough to tell: compare its training error with "
            + ("its test error" if low else "the smaller network's"),
        }
        right = WORDS[0 if low else 1 if worse else 2]
        choice(f"case {place}", given, right, {word: slips[word] for word in WORDS if word != right})
    return "all three cases have their names"


def _records(name: str, given: object, least: int) -> list[RunRecord]:
    records = several(name, given, None, "records, as `degradation.run` returns it,")
    for record in records:
        if not isinstance(record, RunRecord):
            raise NotYet(f"`{name}` holds {record!r}, and the records that `degradation.run` returns are expected")
    if len(records) < least:
        raise NotYet(f"`{name}` has {len(records)} records, and at least {least} are expected")
    return records


def patience_or_rate(patient: object, gentle: object, caught_up: object) -> str:
    """Exercise 1.2."""
    runs = {"patient": _records("patient", patient, 2), "gentle": _records("gentle", gentle, 2)}
    for name, records in runs.items():
        nets, seeds = {r.net for r in records}, [r.seed for r in records]
        if nets != {"plain56"}:
            raise NotYet(f"`{name}` is about {', '.join(sorted(nets))}, and plain56 is asked for")
        if len(set(seeds)) < len(seeds):
            raise NotYet(f"`{name}` has one start twice: two starts are two seeds")
    a, b = (records[0].recipe for records in runs.values())
    if a["steps"] != 2 * b["steps"]:
        raise NotYet(
            f"`patient` has {a['steps']:,} steps and `gentle` {b['steps']:,}: twice as many for the first, and for the "
            "second those of the recipe. One thing is changed at a time"
        )
    if abs(b["lr"] / a["lr"] - 0.1) > 1e-6:
        raise NotYet(
            f"`patient` has the learning rate {a['lr']:g} and `gentle` {b['lr']:g}: that of the recipe for the first, "
            "and a tenth of it for the second. One thing is changed at a time"
        )
    plain20 = statistics.fmean(r.final["train_error"] for r in load_records("digits") if r.net == "plain20")
    best = min(r.final["train_error"] for records in runs.values() for r in records)
    right = best <= plain20
    text = f"your best run ends with a training error of {best:.2f}%, and plain-20 with {plain20:.2f}%"
    choice("caught_up", caught_up, right, {not right: text})
    return "both recipes differ in one thing, and the verdict is that of your runs"


def where_it_begins(runs: object, begins: object) -> str:
    """Exercise 1.4."""
    records = _records("runs", runs, 4)
    errors = {}
    for record in sorted(records, key=lambda r: r.depth):
        if record.kind != "plain":
            raise NotYet(f"`runs` holds {record.net}, and plain networks are asked for")
        errors.setdefault(record.depth, []).append(record.final["train_error"])
    if 8 not in errors:
        raise NotYet(
            f"`runs` has the depths {', '.join(map(str, errors))}: plain-8 is missing, and all are compared with it"
        )
    if any(r.recipe != records[0].recipe for r in records):
        raise NotYet("the recipes of `runs` differ: the depth alone may")
    means = {depth: statistics.fmean(values) for depth, values in errors.items()}
    right = next((d for d, mean in means.items() if mean > means[8] + 1), None)
    if begins != right:
        listed = ", ".join(f"{depth}: {mean:.2f}%" for depth, mean in means.items())
        raise NotYet(
            f"`begins` is {begins!r}. Your training errors are {listed}. Which depth is the first with more than one "
            "percentage point above plain-8 (None if there is none)?"
        )
    return "your runs say so"


def adam_or_sgd(sgd: object, adam: object, verdicts: object) -> str:
    """Exercise 6.4."""
    baseline = percentages("sgd", sgd, 5)
    rates = (1e-4, 1e-3, 1e-2)
    for name, given in (("adam", adam), ("verdicts", verdicts)):
        if not isinstance(given, dict) or set(given) != set(rates):
            raise NotYet(f"`{name}` must be a dictionary with the rates 0.0001, 0.001 and 0.01 as its keys")
    for rate in rates:
        errors = percentages(f"adam[{rate}]", adam[rate], 5)
        _verdict(f"verdicts[{rate}]", verdicts[rate], errors, baseline)
    return "the verdicts are those of your errors"


def _verdict(name: str, given: object, errors: Sequence[float], baseline: Sequence[float]) -> None:
    mean, low, high = interval([a - b for a, b in zip(errors, baseline, strict=True)])
    right = "noise" if low <= 0 <= high else "worse" if mean > 0 else "better"
    text = f"your differences in test error have the mean {mean:+.1f}, and their interval goes from {low:+.1f} to "
    text += f"{high:+.1f}. Is 0 in it? And is a larger error better?"
    choice(name, given, right, {word: text for word in ("worse", "noise", "better") if word != right})


def where_decay_acts(none: object, kernels: object, others: object, verdicts: object) -> str:
    """Exercise 6.5."""
    errors, lengths = {}, {}
    for name, given in (("none", none), ("kernels", kernels), ("others", others)):
        runs = [several(name, run, 2, "numbers, test error and length,") for run in several(name, given, 5, "runs")]
        errors[name] = percentages(name, [run[0] for run in runs], 5)
        lengths[name] = statistics.fmean(real(f"{name}, a length", run[1]) for run in runs)
    if lengths["kernels"] > 0.8 * lengths["none"]:
        raise NotYet(
            f"with decay of the kernels they are {lengths['kernels'] / lengths['none']:.2f} times as long as without. "
            "It should make them a good deal shorter: does their group have its weight_decay of 0.02?"
        )
    if not 0.8 < lengths["others"] / lengths["none"] < 1.25:
        raise NotYet(
            f"with decay of the others the kernels are {lengths['others'] / lengths['none']:.2f} times as long as "
            "without any, and they should be as long: is a kernel in the wrong group?"
        )
    if not isinstance(verdicts, dict) or set(verdicts) != {"kernels", "others"}:
        raise NotYet("`verdicts` must be a dictionary with the keys 'kernels' and 'others'")
    for name in ("kernels", "others"):
        _verdict(f"verdicts[{name!r}]", verdicts[name], errors[name], errors["none"])
    return "the kernels are as long as they should be, and the verdicts are those of your errors"


def five_sigma(mean: object, deviation: object, error: object, deviations_away: object, errors_away: object) -> str:
    """Exercise 7.1."""
    runs, table = (7.4, 7.29, 7.4, 6.89, 8.42, 7.95), 6.61
    right, s = statistics.fmean(runs), statistics.stdev(runs)
    root = len(runs) ** 0.5
    number("mean", mean, right, {statistics.median(runs): "that is the median"})
    divided = "divided by n? These runs are a sample of all that could be made"
    slips = {statistics.pstdev(runs): divided, s**2: "that is its square, the variance"}
    number("deviation", deviation, s, slips, 0.01)
    slips = {
        s / 6: "divided by n, and not by its root",
        s / 5**0.5: "the root of how many?",
        s: "that is the deviation",
    }
    slips[statistics.pstdev(runs) / root] = "the deviation was divided by n on the way here"
    number("error", error, s / root, slips, 0.01)
    away = right - table
    for name, given, unit, other in (
        ("deviations_away", deviations_away, s, s / root),
        ("errors_away", errors_away, s / root, s),
    ):
        if isinstance(given, (int, float)):
            given = abs(given)
        slips = {
            away / other: "measured with the other yardstick",
            away: "in percentage points; divide by the yardstick",
        }
        slips[5.0] = "that is what the letter says; what do the six runs say?"
        number(name, given, away / unit, slips, within=0.02)
    return "all five numbers are right"


def fair_twins(runs: object) -> str:
    """Exercise 7.2."""
    rows = [several("a run", run, 5, "values") for run in several("runs", runs, None, "runs")]
    found: dict[object, dict[str, tuple]] = {}
    for kind, seed, steps, start, error in rows:
        if kind not in ("plain", "resnet"):
            raise NotYet(f"a run is of kind {kind!r}, and it must be 'plain' or 'resnet'")
        if kind in found.setdefault(seed, {}):
            raise NotYet(f"seed {seed} has two runs of kind {kind!r}")
        for name, value in (("steps", steps), ("start", start), ("training error", error)):
            real(f"{name} of {kind}, seed {seed}", value)
        if not 0 <= error <= 100:
            raise NotYet(f"the training error of {kind}, seed {seed}, is {error!r}; it is a percentage")
        found[seed][kind] = steps, start
    for seed, twins in found.items():
        if len(twins) < 2:
            raise NotYet(f"seed {seed} has one run, {next(iter(twins))}: every seed needs a plain and a residual one")
        (steps_a, start_a), (steps_b, start_b) = twins.values()
        if steps_a != steps_b:
            raise NotYet(f"seed {seed}: {steps_a} steps for one and {steps_b} for the other")
        if start_a != start_b:
            raise NotYet(f"seed {seed}: the weights at the start differ ({start_a:.6g} and {start_b:.6g})")
    if len(found) < 3:
        raise NotYet(f"there are {len(found)} seeds: an error bar from fewer than three says little")
    if len({twins["plain"][1] for twins in found.values()}) == 1:
        raise NotYet("the weights at the start are the same for every seed: what does a seed change then?")
    if len({twins["plain"][0] for twins in found.values()}) > 1:
        raise NotYet("not all seeds have the same number of steps")
    return f"{len(found)} pairs of twins: same start, same steps"


def bootstrap(draws: object, means: object, ends: object, right: object) -> str:
    """Exercise 7.4."""

    def between(values: Sequence[float]) -> np.ndarray:
        return np.quantile(np.mean(list(itertools.product(values, repeat=3)), axis=1), [0.025, 0.975])

    number("draws", draws, 27, {9: "three values are drawn, each of three", 6: "a value may be drawn again"}, 1e-9)
    slips = {
        27: "the mean does not depend on the order of the draws",
        9: "count again, or let the computer",
        7: "a mean of 1, 1, 2 is not one of 1, 2, 2",
    }
    number("means", means, 10, slips, 1e-9)
    errors = [r.final["train_error"] for r in load_records("digits") if r.net == "resnet56"]
    for name, given, wanted in zip(
        ("low end", "high end"), several("ends", ends, 2, "numbers"), between(errors), strict=True
    ):
        slips = {min(errors): "that is the lowest value itself", max(errors): "that is the highest value itself"}
        number(name, given, float(wanted), slips, within=0.02)
    studies = np.random.default_rng(0).normal(size=(2000, 3))
    low, high = np.transpose([between(study) for study in studies])
    share = float(np.mean((low <= 0) & (high >= 0)))
    slips = {
        0.95: "that is what it promises",
        1 - share: "that is how often it is wrong",
        100 * share: "a share between 0 and 1 is expected",
    }
    number("right", right, share, slips, within=0.05)
    return "draws, means, ends and share are right"


def thousand_runs(runs: object, alone: object, shared: object, eight: object, least: object) -> str:
    """Exercise 7.5."""
    minutes = {depth: 25 + 40 * (depth - 20) / 36 for depth in (20, 32, 44, 56)}
    count, each = 2 * 4 * 5 * 25, 2 * 5 * 25
    hours = each * sum(minutes.values()) / 60
    half = "both kinds, plain and residual?"
    number("runs", runs, count, {count / 2: half, count / 5: "all learning rates?", count / 25: "all seeds?"}, 1e-9)
    number("alone", alone, hours, {60 * hours: "hours, please, not minutes", hours / 2: half}, 0.01)
    slips = {
        hours / 4: "four at a time, but each takes twice as long",
        2 * hours: "each takes twice as long, but four run at a time",
    }
    number("shared", shared, hours / 2, slips, 0.01)
    slips = {
        hours / 8: "with four runs on each of them?",
        hours / 4: "that is without the second half of the formula",
        hours / 2: "that is one GPU",
    }
    number("eight", eight, hours / 16, slips, 0.01)
    longest = 2 * minutes[56] / 60
    slips = {
        longest / 2: "a run that shares its GPU takes longer",
        60 * longest: "hours, please, not minutes",
    }
    number("least", least, longest, slips, 0.02)
    return "all five numbers are right"
