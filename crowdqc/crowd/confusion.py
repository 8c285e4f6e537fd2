"""Which class is true, and how each rater confuses classes, estimated together.

Arrays are named by their letters: K given values, U units, R raters, V classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Floats, Ints

STEPS = 200
"""Most steps of EM."""
SETTLED = 1e-7
"""Change of a probability below which EM has come to rest."""


@dataclass(frozen=True)
class Given:
    """Values that raters gave to units; a rater may give several to one.

    Parameters
    ----------
    unit, rater, value : ndarray of int, shape (K,)
        Each from 0.
    n_units, n_raters, n_values : int
        U, R and V.
    """

    unit: Ints
    rater: Ints
    value: Ints
    n_units: int
    n_raters: int
    n_values: int


@dataclass(frozen=True)
class Confusion:
    """Estimates of the model of Dawid and Skene.

    Parameters
    ----------
    posterior : ndarray, shape (U, V)
        How likely each class is for each unit.
    prevalence : ndarray, shape (V,)
        Share of each class.
    rates : ndarray, shape (R, V, V)
        ``rates[r, true, given]``: how likely rater r gives a class where another is true; nan
        where the rater met no unit of that class.
    """

    posterior: Floats
    prevalence: Floats
    rates: Floats


def dawid_skene(given: Given, *, prior: float = 0.0) -> Confusion:
    """True classes and rates of confusion by EM, from the shares of values in each unit on.

    Parameters
    ----------
    given : Given
        Who gave which class to which unit. Three raters or more are needed: of two who differ,
        nothing says who is right.
    prior : float
        Votes, at the rates of all raters together, that are added to those of each rater for each
        true class: who gave few is taken for a usual rater. 0: maximum likelihood, as in [1]_.

    Returns
    -------
    Confusion
        A unit without a value has the prevalences as its posterior.

    References
    ----------
    .. [1] A. P. Dawid, A. M. Skene, "Maximum likelihood estimation of observer error-rates using
       the EM algorithm", Applied Statistics 28(1), 1979, equations 2.3 to 2.5.
       :doi:`10.2307/2346806`

    Examples
    --------
    Two who agree outvote a third.

    >>> unit, rater = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    >>> value = np.array([0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0])
    >>> found = dawid_skene(Given(unit, rater, value, 4, 3, 2))
    >>> found.rates[2].round(2).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    shape = given.n_units, given.n_values
    votes = np.bincount(given.unit * shape[1] + given.value, minlength=shape[0] * shape[1])
    votes = votes.reshape(shape)
    valued = votes.sum(axis=1) > 0
    posterior = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    for _ in range(STEPS):
        prevalence = posterior[valued].mean(axis=0)
        rates = _rates(given, posterior, prior=prior)
        before, posterior = posterior, _posterior(given, prevalence, rates)
        if np.abs(posterior - before)[valued].max(initial=0.0) < SETTLED:
            break
    return Confusion(posterior, prevalence, rates)


def _rates(given: Given, posterior: Floats, *, prior: float) -> Floats:
    """Rates (R, V, V) that fit the posterior best: [1]_, equation 2.3."""
    r, v = given.n_raters, given.n_values
    answer = given.rater * v + given.value
    weight = [np.bincount(answer, true[given.unit], r * v).reshape(r, v) for true in posterior.T]
    counts = np.stack(weight, axis=1)
    if prior > 0:
        total = counts.sum(axis=0)
        usual = total / np.maximum(total.sum(axis=1, keepdims=True), 1e-300)
        counts = counts + prior * usual
    met = counts.sum(axis=2, keepdims=True)
    rates: Floats = np.divide(counts, met, out=np.full(counts.shape, np.nan), where=met > 1e-12)
    return rates


def _posterior(given: Given, prevalence: Floats, rates: Floats) -> Floats:
    """How likely each class is for each unit, (U, V): [1]_, equation 2.5."""
    with np.errstate(divide="ignore"):
        log_rates = np.log(np.nan_to_num(rates, nan=1 / given.n_values))
        log_share = np.log(prevalence)
    evidence = log_rates[given.rater, :, given.value]
    columns = [np.bincount(given.unit, column, given.n_units) for column in evidence.T]
    score = log_share + np.stack(columns, axis=1)
    likely = np.exp(score - score.max(axis=1, keepdims=True))
    posterior: Floats = likely / likely.sum(axis=1, keepdims=True)
    return posterior
