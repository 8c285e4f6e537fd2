"""Which of the drawn objects exist: raters who miss and who invent, objects easy and hard.

An object is real or an invention. A real one is drawn by rater r with log odds
``mu + skill_r + difficulty``, an invention with log odds ``nu + temptation_r + appeal``:
difficulty and appeal are normal, belong to the object, and are integrated out, because raters
agree on the hard objects that most of them skip and on the false ones that tempt them. Skill
and temptation belong to the rater and have normal priors, so that a rater who read little is taken
for an average one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, roots_hermitenorm

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd.evidence import Evidence


@dataclass(frozen=True)
class ExistenceSettings:
    """Settings of the model: those without a unit here are in log odds.

    Parameters
    ----------
    drawn : tuple of float
        Mean log odds that a real object, and an invention, is drawn by one more rater.
    spread : tuple of float
        Standard deviation of difficulty, and of appeal.
    raters : tuple of float
        Standard deviation of skill, and of temptation, among raters.
    share : float
        Share of real objects among all that were drawn, beforehand.
    objects : float
        How many objects the prior on that share is worth.
    nodes : int
        Nodes of the quadrature over difficulty.
    steps : int
        Steps of EM.
    """

    drawn: tuple[float, float] = (1.0, -3.0)
    spread: tuple[float, float] = (1.5, 0.7)
    raters: tuple[float, float] = (1.0, 0.5)
    share: float = 0.6
    objects: float = 10.0
    nodes: int = 7
    steps: int = 30


@dataclass(frozen=True)
class Existence:
    """Which objects exist, and how raters see them.

    Parameters
    ----------
    probability : ndarray, shape (O,)
        That the object exists, given who drew it. Of an object that only one rater was
        asked for this is what is known of drawn objects in general.
    without : ndarray, shape (A,)
        The same without the vote of the asked rater in that row of the evidence.
    detection, invention : ndarray, shape (R,)
        Probability that a rater draws an average real object, and that a rater joins in an
        average invention of others.
    """

    probability: Floats
    without: Floats
    detection: Floats
    invention: Floats


def fit_existence(evidence: Evidence, settings: ExistenceSettings) -> Existence:
    """Estimate objects and raters by EM, each step one Newton step for every rater.

    References
    ----------
    .. [1] A. P. Dawid, A. M. Skene, "Maximum likelihood estimation of observer error-rates
       using the EM algorithm", Applied Statistics 28(1), 1979. :doi:`10.2307/2346806`
    .. [2] S. Branson, G. Van Horn, P. Perona, "Lean crowdsourcing: combining humans and
       machines in an online system", CVPR 2017. :doi:`10.1109/CVPR.2017.647`
    """
    node, weight = roots_hermitenorm(settings.nodes)
    log_weight = np.log(weight / weight.sum())
    shift = np.zeros((2, evidence.n_raters))
    share = settings.share
    votes, same, times = _distinct(evidence)
    told = times * (votes.n_asked > 1)  # one rater alone tells nothing of itself
    for _ in range(settings.steps):
        odds = _odds(votes, shift, node, settings=settings)
        each = _log_votes(odds, votes.drew)
        joint = _per_object(votes, each) + log_weight
        joint += np.log([share, 1 - share])[:, None, None]
        kinds = np.logaddexp.reduce(joint, axis=2)
        posterior = np.exp(joint - np.logaddexp.reduce(kinds, axis=0)[:, None])
        real = posterior[0].sum(axis=1)
        share = _shrunk(float(real @ told), float(told.sum()), settings=settings)
        counted = posterior * told[:, None]
        shift = _newton(votes, shift, odds, posterior=counted, settings=settings)
    kinds = np.logaddexp.reduce(joint[:, votes.asked_object] - each, axis=2)
    without = expit(kinds[0] - kinds[1])[_rows_of(votes, same, evidence)]
    mean = _average(shift, node, log_weight, settings=settings)
    return Existence(real[same], without, mean[0], mean[1])


def _distinct(evidence: Evidence) -> tuple[Evidence, Ints, Ints]:
    """Objects with different votes only, which of them each object is, and how often it is.

    Five raters leave a study of a million boxes no more than 243 kinds of objects. Votes are
    told apart by a sum of 64-bit numbers, one for each rater and answer.
    """
    number = np.random.default_rng(0).integers(2**63, size=(evidence.n_raters, 2), dtype=np.uint64)
    start = np.searchsorted(evidence.asked_object, np.arange(evidence.n_objects))
    answer = number[evidence.asked_rater, evidence.drew.astype(np.int64)]
    sums = np.add.reduceat(answer, start) if len(start) else answer
    _, first, same, times = np.unique(
        sums, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.argsort(np.argsort(first))
    kept = np.isin(evidence.asked_object, first)
    votes = dataclasses.replace(
        evidence,
        asked_object=np.searchsorted(np.sort(first), evidence.asked_object[kept]),
        asked_rater=evidence.asked_rater[kept],
        drew=evidence.drew[kept],
        n_objects=len(first),
    )
    return votes, rank[same.reshape(-1)], times[np.argsort(first)]


def _rows_of(votes: Evidence, same: Ints, evidence: Evidence) -> Ints:
    """The row of `votes` that says the same as each row of `evidence`, (A,)."""
    start = np.searchsorted(evidence.asked_object, np.arange(evidence.n_objects))
    first = np.searchsorted(votes.asked_object, np.arange(votes.n_objects))
    offset = np.arange(len(evidence.asked_object)) - start[evidence.asked_object]
    rows: Ints = first[same[evidence.asked_object]] + offset
    return rows


def _shrunk(real: float, total: float, *, settings: ExistenceSettings) -> float:
    return (real + settings.objects * settings.share) / (total + settings.objects)


def _odds(
    evidence: Evidence, shift: Floats, node: Floats, *, settings: ExistenceSettings
) -> Floats:
    """Log odds that the asked rater draws, (2, A, Q)."""
    base = np.array(settings.drawn)[:, None, None] + shift[:, evidence.asked_rater, None]
    spread: Floats = base + np.array(settings.spread)[:, None, None] * node
    return spread


def _log_votes(odds: Floats, drew: Bools) -> Floats:
    """Log probability of what the asked rater did, (2, A, Q)."""
    sign = np.where(drew, -1.0, 1.0)[None, :, None]
    votes: Floats = -np.logaddexp(0.0, sign * odds)
    return votes


def _per_object(evidence: Evidence, each: Floats) -> Floats:
    """Sum of the rows (2, A, Q) of each object, (2, O, Q)."""
    if evidence.n_objects == 0:
        return np.zeros((2, 0, each.shape[2]))
    start = np.searchsorted(evidence.asked_object, np.arange(evidence.n_objects))
    total: Floats = np.add.reduceat(each, start, axis=1)
    return total


def _newton(
    evidence: Evidence,
    shift: Floats,
    odds: Floats,
    *,
    posterior: Floats,
    settings: ExistenceSettings,
) -> Floats:
    """One step towards the best skill and temptation of every rater, (2, R)."""
    chance = expit(odds)
    weight = posterior[:, evidence.asked_object]
    slope = (weight * (evidence.drew[:, None] - chance)).sum(axis=2)
    curve = (weight * chance * (1 - chance)).sum(axis=2)
    moved = np.empty_like(shift)
    for kind in (0, 1):
        tight = settings.raters[kind] ** -2
        gain = np.bincount(evidence.asked_rater, slope[kind], evidence.n_raters)
        bend = np.bincount(evidence.asked_rater, curve[kind], evidence.n_raters)
        step = (gain - tight * shift[kind]) / (bend + tight)
        moved[kind] = shift[kind] + np.clip(step, -1.0, 1.0)
    return moved


def _average(
    shift: Floats, node: Floats, log_weight: Floats, *, settings: ExistenceSettings
) -> Floats:
    """Probability that a rater draws, over all difficulties, (2, R)."""
    spread = np.array(settings.spread)[:, None, None] * node
    odds = np.array(settings.drawn)[:, None, None] + shift[:, :, None] + spread
    mean: Floats = expit(odds) @ np.exp(log_weight)
    return mean
