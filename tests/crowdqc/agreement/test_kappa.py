"""Kappa and AC1: published tables."""

import numpy as np
import pytest

from crowdqc.agreement import cohen_kappa, fleiss_kappa, gwet_ac1
from tests.crowdqc.agreement.reliability import FOUR

NAN = np.nan
# J. L. Fleiss (1971), table 1: diagnoses of 30 patients by 6 psychiatrists each; kappa 0.430.
FLEISS = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555
144444 124444 222333 144444 224445 333335 111455 111112 224444 133555
555555 244444 224555 114444 144445 222224 111155 224444 133333 555555
""".split()  # noqa: SIM905 - a table is read more easily


def test_fleiss_of_thirty_patients():
    ratings = np.array([list(patient) for patient in FLEISS], float).T

    assert fleiss_kappa(ratings) == pytest.approx(0.430, abs=5e-4)


def test_fleiss_needs_as_many_raters_everywhere():
    with pytest.raises(ValueError, match="as many values in each unit"):
        fleiss_kappa(FOUR)


def test_cohen_of_a_two_by_two_table():
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: po .7, pe .5, kappa .4 (by hand)
    a = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    b = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])

    assert cohen_kappa(a, b) == pytest.approx(0.4)


def test_weights_forgive_neighbours():
    a, b = [1, 2, 3, 4, NAN], [1, 2, 4, 4, 1]

    plain, linear = cohen_kappa(a, b), cohen_kappa(a, b, weights="linear")

    assert plain == pytest.approx(1 - (1 / 4) / (1 - 4 / 16))
    assert plain < linear < cohen_kappa(a, b, weights="quadratic") < 1


def test_gwet_as_irrcac_gives_it():
    # irrCAC 0.4.4: CAC(FOUR.T).gwet() = 0.77544, as in K. L. Gwet's handbook of 2014
    assert gwet_ac1(FOUR) == pytest.approx(0.77544, abs=5e-6)


def test_gwet_stays_high_where_one_value_prevails():
    # 118 both +, 5 + -, 2 - +, none both -. By hand: observed 118 / 125 = .944, share of +
    # 243 / 250 = .972, chance 2 * .972 * .028 = .0544, AC1 (.944 - .0544) / (1 - .0544)
    a = np.repeat([1, 1, 0], [118, 5, 2])
    b = np.repeat([1, 0, 1], [118, 5, 2])

    assert gwet_ac1([a, b]) == pytest.approx(0.9408, abs=5e-4)
    assert cohen_kappa(a, b) < 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (cohen_kappa([1, 1], [1, 1]), NAN),
        (cohen_kappa([NAN], [1]), NAN),
        (fleiss_kappa([[1, 1], [1, 1]]), NAN),
        (gwet_ac1([[1, 1], [1, 1]]), 1.0),
        (gwet_ac1([[1, NAN], [NAN, 1]]), NAN),
    ],
    ids=["one value", "no unit of both", "one value of all", "AC1 of one value", "no pair"],
)
def test_undefined_cases(value, expected):
    assert value == pytest.approx(expected, nan_ok=True)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="one value per unit"):
        cohen_kappa([1, 2], [1])
