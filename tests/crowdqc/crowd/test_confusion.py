"""The model of Dawid and Skene: their own table, and crowds with known confusions."""

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats import inter_rater
from statsmodels.stats.inter_rater import aggregate_raters

from crowdqc.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from crowdqc.crowd import Given, dawid_skene

# A. P. Dawid, A. M. Skene, Applied Statistics 28(1), 1979, table 1: 45 patients were classed from 1
# to 4 by five anaesthetists, the first of whom saw each three times. A patient is a word: the
# three classes that the first gave, then those of the others.
TABLE_1 = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343
1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222
1111111 1111111 2322222 1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343
2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""
# Table 2 of the paper, as printed: shares of the four classes; and the rates of the first of the
# anaesthetists (rows: true class, columns: class said).
SHARES = [0.40, 0.42, 0.11, 0.07]
FIRST = [
    [0.89, 0.11, 0.00, 0.00],
    [0.07, 0.88, 0.05, 0.00],
    [0.00, 0.34, 0.66, 0.00],
    [0.00, 0.00, 0.56, 0.44],
]
PRINTED = 0.0051  # two decimals


def words():
    return np.array([[int(c) - 1 for c in word] for word in TABLE_1.split()])


def anaesthetists():
    said = words()
    unit, column = np.divmod(np.arange(said.size), 7)
    return Given(unit, np.maximum(column - 2, 0), said.ravel(), len(said), 5, 4)


def test_the_anaesthetists_of_dawid_and_skene():
    found = dawid_skene(anaesthetists())

    assert found.prevalence == pytest.approx(SHARES, abs=PRINTED)
    assert found.rates[0] == pytest.approx(np.array(FIRST), abs=PRINTED)
    assert found.rates.sum(axis=2) == pytest.approx(1)


def test_the_anaesthetists_agree_as_other_programs_say():
    said = words().T.astype(float)
    counts, _ = aggregate_raters(said.T)

    assert fleiss_kappa(said) == pytest.approx(inter_rater.fleiss_kappa(counts))
    pair = np.histogram2d(said[0], said[3], bins=4)[0]
    kappa = inter_rater.cohens_kappa(pair, return_results=False)
    assert cohen_kappa(said[0], said[3]) == pytest.approx(kappa)
    for level in ("nominal", "ordinal", "interval", "ratio"):
        values = said + 1
        alpha = krippendorff.alpha(values, level_of_measurement=level)
        assert krippendorff_alpha(values, level) == pytest.approx(alpha)


def likelihood(given, shares, rates):
    """Log likelihood, unit by unit: the product over raters of what each said."""
    total = 0.0
    for unit in range(given.n_units):
        mine = given.unit == unit
        of_class = [
            shares[j] * np.prod(rates[given.rater[mine], j, given.value[mine]])
            for j in range(given.n_values)
        ]
        total += np.log(sum(of_class))
    return total


def test_no_other_rates_nearby_are_likelier():
    given = anaesthetists()
    found = dawid_skene(given)
    rates = np.nan_to_num(found.rates, nan=0.25)
    best = likelihood(given, found.prevalence, rates)
    rng = np.random.default_rng(0)

    for _ in range(20):
        other = rates + 0.02 * rng.random(rates.shape) * (rates > 0)
        other /= other.sum(axis=2, keepdims=True)
        assert likelihood(given, found.prevalence, other) < best
        shares = found.prevalence * rng.uniform(0.9, 1.1, 4)
        assert likelihood(given, shares / shares.sum(), rates) < best


RATES = np.array(
    [
        [[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]],
        [[0.8, 0.2, 0.0], [0.0, 0.9, 0.1], [0.1, 0.1, 0.8]],
        [[0.95, 0.0, 0.05], [0.1, 0.85, 0.05], [0.0, 0.1, 0.9]],
        [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]],
        [[0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0]],  # swaps the first two
    ]
)


def crowd(rng, n=3000, shares=(0.5, 0.3, 0.2), asked=0.8):
    """Votes of raters with known rates, and the true classes."""
    true = rng.choice(3, n, p=shares)
    said = (rng.random((n, 5, 1)) > np.cumsum(RATES[:, true], axis=2).swapaxes(0, 1)).sum(axis=2)
    unit, rater = np.nonzero(rng.random((n, 5)) < asked)
    return Given(unit, rater, said[unit, rater], n, 5, 3), true


def test_known_confusions_are_found():
    votes, true = crowd(np.random.default_rng(1))

    found = dawid_skene(votes)

    assert found.rates == pytest.approx(RATES, abs=0.05)
    assert found.prevalence == pytest.approx([0.5, 0.3, 0.2], abs=0.04)
    assert (found.posterior.argmax(axis=1) == true).mean() > 0.95


def test_who_said_little_is_taken_for_a_usual_rater():
    votes, _ = crowd(np.random.default_rng(2), n=500)
    one = Given(
        np.append(votes.unit, 0), np.append(votes.rater, 5), np.append(votes.value, 2), 500, 6, 3
    )

    strict, mild = dawid_skene(one), dawid_skene(one, prior=10)

    assert np.isnan(strict.rates[5]).any(axis=1).sum() <= 2  # of a class never met
    assert np.nanmax(np.abs(strict.rates[5] - np.eye(3)[2])) == pytest.approx(0, abs=1e-9)
    assert mild.rates[5] == pytest.approx(mild.rates[:5].mean(axis=0), abs=0.15)


def test_units_without_a_value_have_the_prevalences():
    found = dawid_skene(Given(np.zeros(3, int), np.arange(3), np.array([1, 1, 0]), 2, 3, 2))

    assert found.posterior[1] == pytest.approx(found.prevalence)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_raters_and_units_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    votes, _ = crowd(rng, n=60)
    raters, units = rng.permutation(5), rng.permutation(60)
    turned = Given(units[votes.unit], raters[votes.rater], votes.value, 60, 5, 3)

    one, other = dawid_skene(votes, prior=1), dawid_skene(turned, prior=1)

    assert other.rates[raters] == pytest.approx(one.rates, abs=1e-6)
    assert other.posterior[units] == pytest.approx(one.posterior, abs=1e-6)
