"""Spread, standard error and numbers of seeds, beside SciPy, the normal distribution and numbers from a textbook."""

import math
from statistics import NormalDist

import pytest
from scipy import stats

from resnet_edu.experiment.statistics import (
    Gap,
    Spread,
    coverage,
    gap,
    seeds_needed,
    spread,
    told_apart,
    wrong_winner,
)

ISSUE_18 = [7.4, 7.29, 7.4, 6.89, 8.42, 7.95]  # ResNet-56: akamaster/pytorch_resnet_cifar10, issue 18
HALF_A_POINT = 0.02  # four standard errors of a share of 10,000


def test_spread_is_that_of_scipy():
    found = spread(ISSUE_18)
    assert (found.mean, found.runs) == (pytest.approx(sum(ISSUE_18) / 6), 6)
    assert found.std == pytest.approx(stats.tstd(ISSUE_18))
    assert found.standard_error == pytest.approx(stats.sem(ISSUE_18))
    assert str(found) == "7.56, standard deviation 0.54, standard error 0.22"


def test_one_run_has_no_spread():
    one = spread([6.61])
    assert (one.std, one.standard_error, str(one)) == (None, None, "6.61 (one run)")
    with pytest.raises(ValueError, match=r"one run has no standard error, but 6\.61 \(one run\) was given"):
        gap(spread(ISSUE_18), one)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_a_spread_needs_finite_numbers(values):
    with pytest.raises(ValueError, match="`values` must have one finite number at least"):
        spread(values)


def test_gap_is_the_numerator_and_denominator_of_welchs_test():
    a, b = ISSUE_18, [6.97, 7.1, 6.8, 7.4]
    found = gap(spread(a), spread(b))
    assert found.ratio == pytest.approx(stats.ttest_ind(a, b, equal_var=False).statistic)
    assert found.value == pytest.approx(sum(a) / 6 - sum(b) / 4)


def test_gap_of_published_numbers_by_hand():
    found = gap(Spread(7.40, 0.27, 5), Spread(7.14, 0.20, 5))
    assert found.standard_error == pytest.approx(math.sqrt((0.27**2 + 0.20**2) / 5))
    assert str(found) == "+0.26 with a standard error of 0.15: 1.7 of them"
    assert Gap(0.3, 0.0).ratio == math.inf


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("factor", [2.0, 4.303])
def test_coverage_is_that_of_students_distribution(seeds, factor):
    exact = stats.t.cdf(factor, seeds - 1) - stats.t.cdf(-factor, seeds - 1)
    assert coverage(seeds, factor) == pytest.approx(exact, abs=HALF_A_POINT)


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_wrong_winner_is_that_of_the_normal_distribution(seeds):
    exact = NormalDist().cdf(-0.2 / math.sqrt((0.2**2 + 0.3**2) / seeds))
    assert wrong_winner(0.2, (0.2, 0.3), seeds) == pytest.approx(exact, abs=HALF_A_POINT)
    assert wrong_winner(0.0, (0.2, 0.3), seeds) == pytest.approx(0.5, abs=HALF_A_POINT)


@pytest.mark.parametrize("seeds", [4, 12])
def test_told_apart_is_the_power_of_a_t_test(seeds):
    # Equal spreads: Welch's statistic is Student's, whose distribution under a difference is the noncentral t.
    shift = 0.2 / (0.2 * math.sqrt(2 / seeds))
    exact = stats.nct.sf(2.0, 2 * (seeds - 1), shift)
    assert told_apart(0.2, (0.2, 0.2), seeds) == pytest.approx(exact, abs=HALF_A_POINT)


def test_seeds_needed_is_near_the_formula_for_many_seeds():
    z = 2.0 + NormalDist().inv_cdf(0.8)  # of a textbook: n = z^2 (s^2 + t^2) / gap^2
    formula = z**2 * (0.27**2 + 0.20**2) / 0.26**2
    found = seeds_needed(0.26, (0.27, 0.20), most=100)
    assert found == pytest.approx(formula, abs=2)
    assert told_apart(0.26, (0.27, 0.20), found) >= 0.8
    assert seeds_needed(0.01, (0.27, 0.20), most=50) is None
    assert seeds_needed(72.0, (0.3, 3.8), most=100) == 2


def test_simulations_repeat_themselves():
    assert coverage(3) == coverage(3)
    assert wrong_winner(0.1, (0.2, 0.2), 3) == wrong_winner(0.1, (0.2, 0.2), 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coverage(1), "`seeds` must be at least 2, but it is 1"),
        (lambda: coverage(3, 0), "`factor` must be greater than 0, but it is 0"),
        (lambda: wrong_winner("x", (0.2, 0.2), 3), "`difference` must be a number, but it is 'x'"),
        (lambda: wrong_winner(-0.1, (0.2, 0.2), 3), "`difference` must be at least 0"),
        (lambda: wrong_winner(0.1, 0.2, 3), "`stds` must be two numbers, .* 0.2"),
        (lambda: wrong_winner(0.1, (0.2, 0.0), 3), "`stds` must be greater than 0"),
        (lambda: wrong_winner(0.1, (0.2, 0.2), 0), "`seeds` must be at least 1, but it is 0"),
        (lambda: told_apart(0.1, (0.2, 0.2), 1), "`seeds` must be at least 2, but it is 1"),
        (lambda: seeds_needed(1, (1, 1), most=1), "`most` must be at least 2, but it is 1"),
    ],
)
def test_what_cannot_be_asked(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
