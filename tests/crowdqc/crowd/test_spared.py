"""Objects that later raters were shown as done: what they would have answered is imputed."""

import dataclasses

import numpy as np
import pytest

from crowdqc.crowd import ExistenceSettings
from crowdqc.crowd.dependence import Dependence
from crowdqc.crowd.existence_fit import fit_existence
from crowdqc.crowd.spared import fit_completed
from tests.crowdqc.crowd.test_crowd import votes

NOBODY = np.zeros(0, np.int64)
RATERS = 9


def alone(n=RATERS):
    return Dependence(NOBODY, NOBODY, np.zeros(0), n)


def crowd(seed=0):
    """Answers of nine raters of objects easy and hard, and of what tempts; which are real."""
    rng = np.random.default_rng(seed)
    odds = np.concatenate([rng.normal(2.0, 2.0, 300), rng.normal(-2.3, 0.6, 200)])
    drew = rng.random((500, RATERS)) < 1 / (1 + np.exp(-odds))[:, None]
    met = drew.any(axis=1)
    return drew[met].astype(int), np.repeat([1, 0], [300, 200])[met]


def stopped(table):
    """The answers until an object was drawn by the first two or three who were asked for it."""
    early = np.array([2 * row[:2].all() or 3 * (row[:3].sum() == 3) for row in table])
    spared = (early > 0)[:, None] & (np.arange(RATERS) >= np.maximum(early, 1)[:, None])
    data = votes(np.where(spared, -1, table))
    of, who = np.nonzero(spared)
    return dataclasses.replace(data, spared_object=of, spared_rater=who)


def test_nobody_spared_is_the_fit_as_it_was():
    data = votes(crowd()[0][:80])
    for name in ("probability", "without", "detection", "invention", "slips", "weight"):
        one, other = (
            getattr(how(data, ExistenceSettings(), alone()), name)
            for how in (fit_completed, fit_existence)
        )
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", [0, 1])
def test_probabilities_are_better_than_without_those_who_were_spared(seed):
    table, real = crowd(seed)
    data = stopped(table)
    plain = dataclasses.replace(data, spared_object=NOBODY, spared_rater=NOBODY)
    brier, before = (
        ((how(one, ExistenceSettings(), alone()).probability - real) ** 2).mean()
        for how, one in ((fit_completed, data), (fit_existence, plain))
    )
    assert brier < 0.98 * before


def test_questions_that_were_asked_keep_their_order():
    data = stopped(crowd()[0])
    found = fit_completed(data, ExistenceSettings(steps=5), alone())
    assert found.without.shape == data.drew.shape
    assert np.isfinite(found.without).all()
    again = fit_completed(data, ExistenceSettings(steps=5), alone())
    np.testing.assert_array_equal(found.without, again.without)
