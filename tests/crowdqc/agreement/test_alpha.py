"""Krippendorff's alpha: published values, the package krippendorff, brute force, properties."""

import itertools

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crowdqc.agreement import krippendorff_alpha
from crowdqc.agreement.alpha import nominal_alpha, nominal_sums
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
