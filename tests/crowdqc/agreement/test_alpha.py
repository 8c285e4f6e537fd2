"""Krippendorff's alpha: published values, the package krippendorff, brute force, properties."""

import itertools
import math
from types import SimpleNamespace

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, stats

from crowdqc.agreement import krippendorff_alpha
from crowdqc.agreement.alpha import HARDNESS, alpha_interval, nominal_alpha, nominal_sums
from crowdqc.agreement.pool import alpha_of
from tests.crowdqc.agreement.reliability import FOUR

NAN = np.nan
# The reliability data of the README of the package krippendorff: 3 coders, 15 units.
THREE = np.array(
    [
        [NAN] * 5 + [3, 4, 1, 2, 1, 1, 3, 3, NAN, 3],
        [1, NAN, 2, 1, 3, 3, 4, 3] + [NAN] * 7,
        [NAN, NAN, 2, 1, 3, 4, 4, NAN, 2, 1, 1, 3, 3, NAN, 4],
    ]
)

ratings = arrays(
    np.float64,
    st.tuples(st.integers(2, 4), st.integers(1, 6)),
    elements=st.sampled_from([1.0, 2.0, 3.0, 5.0, NAN]),
)


@pytest.mark.parametrize(
    ("data", "level", "expected"),
    [
        (FOUR, "nominal", 0.743),
        (FOUR, "ordinal", 0.815),
        (FOUR, "interval", 0.849),
        (FOUR, "ratio", 0.797),
        (THREE, "nominal", 0.691),
        (THREE, "interval", 0.811),
    ],
)
def test_published_values(data, level, expected):
    assert krippendorff_alpha(data, level=level) == pytest.approx(expected, abs=5e-4)
    assert krippendorff_alpha(data, level) == krippendorff_alpha(data, level=level)


@given(ratings, st.sampled_from(["nominal", "ordinal", "interval", "ratio"]))
@settings(max_examples=60)
def test_the_package_krippendorff_agrees(data, level):
    alpha = krippendorff_alpha(data, level=level)
    paired = data[:, (~np.isnan(data)).sum(axis=0) >= 2]
    given_values = paired[~np.isnan(paired)]
    if len(np.unique(given_values)) < 2:
        assert np.isnan(alpha)
        return

    expected = krippendorff.alpha(data, level_of_measurement=level)

    assert alpha == pytest.approx(expected)


@given(ratings)
@settings(max_examples=40)
def test_any_distance_by_brute_force(data):
    def distance(a, b):
        return np.abs(a - b) ** 1.5

    units = [column[~np.isnan(column)] for column in data.T]
    units = [unit for unit in units if len(unit) >= 2]
    values = np.concatenate([*units, []])
    observed = sum(
        sum(distance(a, b) for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1)
        for unit in units
    )
    expected = sum(distance(a, b) for a, b in itertools.permutations(values, 2))
    alpha = krippendorff_alpha(data, distance)
    if expected == 0:
        assert np.isnan(alpha)
    else:
        assert alpha == pytest.approx(1 - observed * (len(values) - 1) / expected)


@given(ratings, st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_order_and_names_do_not_matter(data, random):
    rows, columns = list(range(data.shape[0])), list(range(data.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    renamed = 7 - data[np.ix_(rows, columns)]

    assert krippendorff_alpha(renamed) == pytest.approx(krippendorff_alpha(data), nan_ok=True)


@given(ratings)
@settings(max_examples=30)
def test_sums_over_units_give_nominal_alpha(data):
    given_where = np.argwhere(~np.isnan(data.T))
    unit = given_where[:, 0]
    value = data.T[~np.isnan(data.T)].astype(np.int64)
    totals, same = nominal_sums(unit, value, n_units=data.shape[1], n_values=6)

    alpha = nominal_alpha(totals.sum(axis=0), same.sum())

    assert float(alpha) == pytest.approx(krippendorff_alpha(data), nan_ok=True)


@pytest.mark.parametrize(
    ("data", "level", "says"),
    [
        ([1, 2], "nominal", "must have shape"),
        ([[1, np.inf]], "nominal", "must have shape"),
        ([[1, 2], [1, 3]], "cardinal", "'level' must be"),
    ],
)
def test_bad_input_is_refused(data, level, says):
    with pytest.raises(ValueError, match=says):
        krippendorff_alpha(data, level=level)


def by_hand(value, without, level, raters):
    """The interval, with the inverse of Fisher's scale by a search and its slope by a quotient."""

    def scale(alpha):
        return 0.5 * math.log((1 + (raters - 1) * alpha) / (1 - alpha))

    n = len(without)
    pseudo = [n * value - (n - 1) * one for one in without]
    own = np.var(pseudo, ddof=1)
    prior = (HARDNESS[0] * (1 - value)) ** 2
    variance = ((n - 1) * own + HARDNESS[1] * prior) / (n - 1 + HARDNESS[1])
    slope = (scale(value + 1e-6) - scale(value - 1e-6)) / 2e-6
    t = stats.t.ppf((1 + level) / 2, n - 1 + HARDNESS[1])
    middle = scale(value) + (np.mean(pseudo) - value) * slope
    ends = (
        middle - t * math.sqrt(variance / n) * slope,
        middle + t * math.sqrt(variance / n) * slope,
    )
    least = -1 / (raters - 1) + 1e-12
    return [optimize.brentq(lambda a, z=z: scale(a) - z, least, 1 - 1e-12) for z in ends]


@pytest.mark.parametrize("value", [-0.1, 0.3, 0.9])
@pytest.mark.parametrize("raters", [2.0, 3.7, 9.0])
def test_the_interval_is_that_by_hand(value, raters):
    rng = np.random.default_rng(3)
    without = value + rng.normal(0, 0.02, 6)

    found = alpha_interval(value, without, 0.9, raters=raters)

    assert found == pytest.approx(by_hand(value, without, 0.9, raters), abs=1e-6)


def test_alpha_of_units_takes_clusters_with_a_pair_and_the_mean_number_of_their_answers():
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(5), 12)
    n = np.where(cluster == 4, 1, rng.integers(1, 6, 60))  # nobody is compared in the last
    unit = np.repeat(np.arange(60), n)
    value = (rng.random(n.sum()) < np.where(cluster[unit] < 2, 0.2, 0.5)).astype(np.int64)
    totals, same = nominal_sums(unit, value, n_units=60, n_values=2)
    places = SimpleNamespace(weights=np.ones((1, 5)), level=0.9)

    found = alpha_of(totals, same, cluster, places=places)

    def alpha(rows):
        table = np.full((5, rows.sum()), NAN)
        for column, u in enumerate(np.flatnonzero(rows)):
            table[: n[u], column] = value[unit == u]
        return krippendorff_alpha(table)

    without = np.array([alpha(cluster != k) for k in range(4)])
    whole = alpha(cluster >= 0)
    interval = alpha_interval(whole, without, 0.9, raters=n[n > 1].mean())
    assert found == pytest.approx((whole, *interval))
    assert np.isnan(alpha_of(totals, same, cluster * 0, places=places)[1:]).all()


@given(
    value=st.floats(-1, 1),
    without=arrays(np.float64, st.integers(0, 9), elements=st.floats(-1, 1) | st.just(NAN)),
    raters=st.floats(1.5, 50),
)
def test_an_interval_of_alpha_holds_it_and_stays_in_range(value, without, raters):
    low, high = alpha_interval(value, without, 0.95, raters=raters)

    if np.isfinite(without).sum() < 2:
        assert np.isnan([low, high]).all()
    else:
        assert -1 <= low <= value <= high <= 1


def test_cases_that_all_agree_have_an_interval_of_no_width():
    assert alpha_interval(1.0, np.ones(4), 0.95, raters=3) == (1.0, 1.0)
    assert np.isnan(alpha_interval(NAN, np.ones(4), 0.95, raters=3)).all()


def test_more_cases_of_the_same_spread_make_it_narrower():
    widths = []
    for n in (3, 6, 12, 24):
        pseudo = 0.5 + np.tile([-0.2, 0.0, 0.2], n // 3)
        without = (n * 0.5 - pseudo) / (n - 1)
        low, high = alpha_interval(0.5, without, 0.95, raters=4)
        widths.append(high - low)
    assert (np.diff(widths) < 0).all()


@pytest.mark.parametrize("n_cases", [3, 5, 8, 15])
def test_it_holds_where_a_few_hard_cases_carry_the_disagreement(n_cases):
    rng = np.random.default_rng(n_cases)
    population = _cases(rng, 40_000)
    true = float(nominal_alpha(*(part.sum(axis=0) for part in population)))
    held = 0
    for _ in range(400):
        rows = rng.integers(0, 40_000, n_cases)
        totals, same = (part[rows] for part in population)
        value = float(nominal_alpha(totals.sum(axis=0), same.sum()))
        without = nominal_alpha(totals.sum(axis=0) - totals, same.sum() - same)
        low, high = alpha_interval(value, without, 0.95, raters=4)
        held += low <= true <= high

    assert held / 400 >= 0.88


def _cases(rng, n):
    """Sums of n cases: eight things each, which four raters miss the more, the harder the case."""
    missed = np.minimum(0.15 * np.exp(rng.normal(0, 0.5, n)), 0.9)
    drew = rng.random((n, 8, 4)) >= missed[:, None, None]
    k = drew.sum(axis=2).astype(float)
    totals = np.stack([k.sum(axis=1), (4 - k).sum(axis=1)], axis=1)
    return totals, ((k * (k - 1) + (4 - k) * (3 - k)) / 3).sum(axis=1)
