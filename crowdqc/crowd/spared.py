"""Which objects exist where some were shown as done to later raters: their answers are imputed.

What is stopped early is what the first raters agreed on. Without the answers of those who were
spared, easy objects look like all others, and a box of two raters of nine like a real one. So the
answers are drawn from a model that knows that all who read the place would have met the object,
several times, and what follows is averaged.

References
----------
.. [1] D. B. Rubin, "Multiple imputation for nonresponse in surveys", Wiley 1987.
   :doi:`10.1002/9780470316696`
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import expit

from crowdqc.arrays import Bools
from crowdqc.crowd.dependence import Dependence
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.existence import Existence, ExistenceSettings
from crowdqc.crowd.existence_fit import ExistenceFit, fit_existence
from crowdqc.crowd.votes import distinct, rows_of

_DRAWS = 5
_FIELDS = [one.name for one in dataclasses.fields(Existence)]


def fit_completed(
    evidence: Evidence, settings: ExistenceSettings, dependence: Dependence
) -> Existence:
    """As `fit_existence`, where raters may have been spared objects that were done.

    Parameters
    ----------
    evidence : Evidence
        With ``spared_object`` and ``spared_rater``, which may be empty.
    settings : ExistenceSettings
        Of each fit.
    dependence : Dependence
        Of the raters.

    Returns
    -------
    Existence
        The mean over the imputed answers; ``without`` is of the questions that were asked.
    """
    if not len(evidence.spared_object):
        return fit_existence(evidence, settings, dependence)
    whole, spared = _whole(evidence)
    model, same = _model(whole, spared, settings=settings, dependence=dependence)
    rng = np.random.default_rng(0)
    fits = []
    for _ in range(_DRAWS):
        drew = whole.drew | (spared & _answers(model, whole, same=same, rng=rng))
        completed = dataclasses.replace(whole, drew=drew)
        found = fit_existence(completed, settings, dependence)
        fits.append(dataclasses.replace(found, without=found.without[~spared]))
    means = {name: np.mean([getattr(one, name) for one in fits], axis=0) for name in _FIELDS}
    return Existence(**means)


def _whole(evidence: Evidence) -> tuple[Evidence, Bools]:
    """The evidence with spared raters as asked ones who drew nothing, and which those are, (A,)."""
    none, n = np.zeros(len(evidence.spared_object), bool), len(evidence.drew)
    objects = np.concatenate([evidence.asked_object, evidence.spared_object])
    order = np.argsort(objects, kind="stable")
    whole = dataclasses.replace(
        evidence,
        asked_object=objects[order],
        asked_rater=np.concatenate([evidence.asked_rater, evidence.spared_rater])[order],
        drew=np.concatenate([evidence.drew, none])[order],
        spared_object=evidence.spared_object[:0],
        spared_rater=evidence.spared_rater[:0],
    )
    return whole, order >= n


def _model(
    whole: Evidence, spared: Bools, *, settings: ExistenceSettings, dependence: Dependence
) -> tuple[ExistenceFit, np.ndarray]:
    """The model in which difficulty varies at will, and which of its objects each one is, (O,)."""
    votes, same, times = distinct(whole, spared)
    rows = rows_of(votes, same, whole)
    spared_votes = np.zeros(len(votes.asked_object), bool)
    spared_votes[rows] = spared
    model = ExistenceFit(
        votes, times, settings=settings, dependence=dependence, tempting=False, spared=spared_votes
    )
    model.run(same, rows)
    return model, same


def _answers(
    model: ExistenceFit, whole: Evidence, *, same: np.ndarray, rng: np.random.Generator
) -> Bools:
    """What each rater would have answered of each object, (A,): kind and difficulty drawn first."""
    posterior = model.posterior.transpose(1, 0, 2).reshape(model.posterior.shape[1], -1)
    reached = np.cumsum(posterior, axis=1)[same]
    state = np.count_nonzero(reached <= rng.random((len(same), 1)), axis=1)
    slip = state == reached.shape[1]
    kind, node = np.divmod(np.where(slip, 0, state), len(model.node))
    of, who = whole.asked_object, whole.asked_rater
    odds = model.mean[kind[of]] + model.shift[kind[of], who]
    odds += model.spread[kind[of]] * model.node[node[of]]
    drew: Bools = (rng.random(len(of)) < expit(odds)) & ~slip[of]
    return drew
