"""The computing parts of the study player and the gradient explorer, run in V8, beside NumPy, SciPy and matplotlib."""

import itertools
import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.ticker import MaxNLocator
from py_mini_racer import MiniRacer
from scipy.optimize import minimize
from scipy.stats import kendalltau

LIBRARY = Path(__file__).resolve().parent.parent.parent / "resnet_edu" / "widgets" / "src" / "lib"


@pytest.fixture(scope="module")
def js():
    """Call a function of lib/plot.js or lib/ranking.js with plain values; both files import nothing."""
    engine = MiniRacer()
    for name in ("plot.js", "ranking.js"):
        engine.eval(re.sub(r"^export ", "", (LIBRARY / name).read_text(encoding="utf-8"), flags=re.M))

    def call(expression: str, *values: object):
        arguments = ", ".join(json.dumps(v) for v in values)
        return json.loads(engine.eval(f"JSON.stringify(({expression})({arguments}))"))

    return call


def test_mean_and_range_are_those_of_numpy(js):
    runs = np.random.default_rng(0).uniform(0, 100, (5, 65))
    found = js("meanRange", runs.tolist())
    np.testing.assert_allclose(found["mean"], runs.mean(0), rtol=1e-12)
    np.testing.assert_array_equal(found["low"], runs.min(0))
    np.testing.assert_array_equal(found["high"], runs.max(0))


def test_a_run_without_a_number_leaves_a_gap(js):
    found = js("meanRange", [[1.0, 2.0, 3.0], [3.0, None, 5.0]])
    assert found == {"mean": [2, None, 4], "low": [1, None, 3], "high": [3, None, 5]}


def test_nearest_is_the_least_distance(js):
    steps = sorted(random.Random(0).sample(range(64_000), 40))
    for x in [-5, 0, 1, 70_000, *range(0, 64_000, 997)]:
        assert js("nearest", steps, x) == int(np.argmin(np.abs(np.array(steps) - x)))


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_scales_interpolate(js, kind):
    values = [0.02, 0.5, 1.0, 7.0, 100.0]
    found = js("(kind, values) => values.map(scaler(kind, [0.02, 100], [300, 10]))", kind, values)
    forward = np.log(values) if kind == "log" else np.array(values)
    np.testing.assert_allclose(found, np.interp(forward, forward[[0, -1]], [300, 10]), rtol=1e-12)


def test_a_log_scale_puts_zero_at_its_bottom(js):
    assert js("(v) => v.map(scaler('log', [0.01, 100], [300, 10]))", [0, 0.001, 0.01]) == [300, 300, 300]


@pytest.mark.parametrize("high", [0.07, 1, 3, 14, 74.4, 95, 200, 64_000])
def test_ticks_are_those_of_matplotlib(js, high):
    theirs = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, high)
    np.testing.assert_allclose(js("ticks", 0, high), [t for t in theirs if t <= high])


@pytest.mark.parametrize(("low", "high"), [(0.01, 100), (1e-12, 1e9), (0.1, 100), (0.1, 1)])
def test_ticks_of_a_log_scale(js, low, high):
    found = js("logTicks", low, high)
    assert found == sorted(found)
    assert 2 <= len(found) <= 9
    for tick in found:
        assert low * 0.999 <= tick <= high * 1.001
        assert round(tick / 10 ** math.floor(math.log10(tick) + 1e-9), 6) in (1, 2, 5)


def test_decades_hold_every_positive_value(js):
    assert js("decades", [0.003, None, 40, 0]) == [0.001, 100]
    assert js("decades", [1, 1]) == [1, 10]
    assert js("decades", [None, 0]) == [0.1, 1]


def points(path: str) -> list[list[tuple[float, float]]]:
    """The pieces of a path, each a list of points."""
    return [[tuple(map(float, p.split())) for p in re.split("[LZ]", piece) if p] for piece in path.split("M")[1:]]


def test_a_path_goes_through_the_points_and_breaks_at_a_gap(js):
    assert points(js("line", [[0, 1], [2, 3.04], [4, None], [6, 7], [8, 9]])) == [
        [(0, 1), (2, 3)],
        [(6, 7), (8, 9)],
    ]


def test_an_area_is_the_integral_of_high_minus_low(js):
    xs, low, high = [0, 10, 20, 40], [0, 5, 5, 10], [10, 15, 25, 10]
    (outline,) = points(js("area", xs, low, high))
    x, y = np.array(outline).T
    shoelace = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert shoelace == pytest.approx(np.trapezoid(np.array(high) - low, xs))
    assert js("area", [0, 1, 2], [None, 1, 2], [None, 2, 3]).startswith("M1 2")
    assert js("area", [0, 1, 2], [1, None, 2], [2, None, 3]) == ""  # pieces of one point have no area


@pytest.mark.parametrize("seed", range(6))
def test_labels_are_apart_and_as_near_to_their_wishes_as_can_be(js, seed):
    wishes = np.random.default_rng(seed).uniform(0, 100, 5)
    found = np.array(js("spread", wishes.tolist(), 16.0, 0.0, 100.0))
    order = np.argsort(wishes)
    assert (np.diff(found[order]) >= 16 - 1e-9).all()
    assert found.min() >= 0
    assert found.max() <= 100
    rules = [{"type": "ineq", "fun": lambda p, i=i: p[order[i + 1]] - p[order[i]] - 16} for i in range(4)]
    best = minimize(
        lambda p: ((p - wishes) ** 2).sum(),
        np.linspace(0, 100, 5)[np.argsort(order)],
        bounds=[(0, 100)] * 5,
        constraints=rules,
    )
    assert ((found - wishes) ** 2).sum() <= best.fun + 1e-3


def test_labels_without_room_are_spaced_evenly(js):
    np.testing.assert_allclose(js("spread", [50, 50, 50], 80, 0, 100), [0, 50, 100])
    assert js("spread", [], 16, 0, 100) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12.345, "12.3"),
        (1234.5, "1,230"),
        (0.00004567, "4.57 · 10⁻⁵"),
        (1e9, "10⁹"),
        (0.00099996, "0.001"),  # rounded before the power is chosen
        (0.000099996, "10⁻⁴"),
        (999_999, "10⁶"),
        (None, "no number"),
        (-2.5, "-2.5"),
    ],
)
def test_numbers_are_written_for_people(js, value, text):
    assert js("number", value) == text


# ---------------------------------------------------------------- the ranking


def final(*runs: float | None) -> dict:
    if None in runs:
        return {"mean": None, "low": None, "high": None, "runs": len(runs)}
    return {"mean": float(np.mean(runs)), "low": min(runs), "high": max(runs), "runs": len(runs)}


def test_moving_swaps_neighbours_and_stops_at_the_ends(js):
    assert js("moved", ["a", "b", "c"], 1, -1) == ["b", "a", "c"]
    assert js("moved", ["a", "b", "c"], 1, 1) == ["a", "c", "b"]
    assert js("moved", ["a", "b"], 0, -1) == ["a", "b"]
    assert js("moved", ["a", "b"], 1, 1) == ["a", "b"]


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (final(5.0), final(6.0), True),
        (final(5.0), final(5.9), False),  # one run each: less than a point is called no difference
        (final(5.0, 5.2, 5.1), final(5.3, 5.4, 5.5), True),  # three runs each, ranges apart
        (final(5.0, 9.0, 5.1), final(6.0, 10.0, 9.9), False),  # ranges overlap, however far the means
        (final(None), final(50.0), True),
        (final(None), final(None), False),
    ],
)
def test_who_can_be_told_apart(js, a, b, told):
    assert js("apart", a, b) is told
    assert js("apart", b, a) is told


def test_every_ranking_is_judged_as_kendall_does(js):
    """Of n pairs, tau = (right - wrong) / n: SciPy counts them in its own way."""
    values = {"a": 0.0, "b": 5.0, "c": 12.0, "d": 74.0}
    finals = {name: final(v) for name, v in values.items()}
    for guess in itertools.permutations(values):
        found = js("judge", list(guess), finals)
        tau = kendalltau(range(4), [values[n] for n in guess]).statistic
        assert (found["pairs"], found["order"]) == (6, ["a", "b", "c", "d"])
        assert (2 * found["right"] - 6) / 6 == pytest.approx(tau)
        assert len(found["wrong"]) == 6 - found["right"]


def test_pairs_that_cannot_be_told_apart_do_not_count(js):
    finals = {"a": final(0.0), "b": final(0.3), "c": final(74.0)}
    found = js("judge", ["b", "c", "a"], finals)
    assert (found["pairs"], found["right"], found["wrong"]) == (2, 1, [["a", "c"]])


def test_a_net_without_a_number_is_the_worst(js):
    found = js("judge", ["x", "a"], {"a": final(80.0), "x": final(None)})
    assert (found["order"], found["right"]) == (["a", "x"], 0)
