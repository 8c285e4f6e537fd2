"""Intraclass correlation: the table of Shrout and Fleiss, and pingouin."""

import numpy as np
import pytest

from crowdqc.agreement import icc

# P. E. Shrout, J. L. Fleiss (1979), table 2: 6 targets, 4 judges; coefficients from table 4.
TARGETS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


@pytest.mark.parametrize(
    ("form", "value", "low", "high"),
    [  # intervals: pingouin 0.6.1, intraclass_corr
        ("1,1", 0.17, -0.13, 0.72),
        ("2,1", 0.29, 0.02, 0.76),
        ("3,1", 0.71, 0.34, 0.95),
        ("1,k", 0.44, -0.88, 0.91),
        ("2,k", 0.62, 0.07, 0.93),
        ("3,k", 0.91, 0.68, 0.99),
    ],
)
def test_the_six_targets_of_shrout_and_fleiss(form, value, low, high):
    assert icc(TARGETS, form) == pytest.approx((value, low, high), abs=5.1e-3)


def test_a_constant_bias_counts_as_disagreement_in_form_2_only():
    rng = np.random.default_rng(0)
    subject = rng.normal(0, 3, (40, 1))
    data = subject + np.array([0.0, 5.0]) + rng.normal(0, 0.1, (40, 2))

    assert icc(data, "3,1").value > 0.99
    assert icc(data, "2,1").value < 0.6


@pytest.mark.parametrize("data", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 1.0], [1.0, 1.0]]])
def test_nothing_to_correlate_gives_nan(data):
    assert np.isnan(icc(data)).all()


@pytest.mark.parametrize(
    ("data", "form", "says"),
    [([[1, np.nan], [1, 2]], "2,1", "no gaps"), ([1, 2], "2,1", "shape"), (TARGETS, "4,1", "form")],
)
def test_bad_input_is_refused(data, form, says):
    with pytest.raises(ValueError, match=says):
        icc(data, form)


@pytest.mark.parametrize("form", ["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"])
@pytest.mark.filterwarnings("error")
def test_subjects_that_are_all_alike_have_no_correlation_of_rounding(form):
    found = icc(np.array([[40.1, 41.1, 35.1]] * 3) * 1.1, form)

    assert np.isnan(found.value) or found.value <= 0
