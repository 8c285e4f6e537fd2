"""How reliable each rater is: the expected F1 against the truth, and how far that is known.

A box is right where it shows something that exists and overlaps it well enough; both are
probabilities, because what raters drew is not the truth. Where the object lies is judged by the
others only, a group of dependent raters by those outside of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from scipy.special import ndtr

from crowdqc.arrays import Bools, Floats, Ints, numbered
from crowdqc.crowd.dependence import Dependence
from crowdqc.crowd.edges import Edges, size_of
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.sums import total
from crowdqc.geometry import paired_iou

_BLOCK = 2**17
"""Boxes that are compared at a time, to bound memory."""
_LENT = 4.0
"""Degrees of freedom that the variance between all raters' clusters gives to each."""
_FEW_CASES, _SLICES = 5, 10
"""In fewer cases than this the clusters are blocks of so many slices."""
_DRAWN = 0.05
"""Share of the variance between boxes that stays in what is said of the boxes in hand, where
nobody's errors are shared: these are all there, and in doubt is only which of them are right."""
_REST = 0.02
"""Least standard deviation of an IoU: boxes are not known to the last per cent."""


@dataclass(frozen=True)
class Share:
    """A share of each rater, (R,), with its interval and the clusters that it rests on."""

    value: Floats
    low: Floats
    high: Floats
    n: Ints


def right_boxes(evidence: Evidence, edges: Edges, *, iou: float, shared: Floats) -> Floats:
    """Probability that each drawn box overlaps what it shows by an IoU, judged without its rater.

    Parameters
    ----------
    evidence : Evidence
        What was drawn.
    edges : Edges
        Where objects are.
    iou : float
        IoU with the truth from which a box is right.
    shared : ndarray, shape (O, 4)
        Variance of the error that all raters share, in px^2.

    Returns
    -------
    ndarray, shape (N,)
        In [0, 1], if there is anything.

    Notes
    -----
    How far a box lies from the others' is its own error and theirs. What of it is its own is as
    much of it as the rater's variance has of both; a box that the model does not trust is far
    off by itself. The IoU is taken at eight points round that error, twice its standard
    deviation along each edge, which give its mean and variance to third order.
    """
    chance = np.empty(len(evidence.boxes))
    for start in range(0, len(chance), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(chance)))
        chance[rows] = _overlaps(evidence, edges, rows, iou=iou, shared=shared)
    return chance


def answers(evidence: Evidence) -> Ints:
    """The row of each drawn box among the answers, (N,).

    Parameters
    ----------
    evidence : Evidence
        Boxes (N) and answers (A).
    """
    row = np.empty(len(evidence.boxes), np.int64)
    row[np.lexsort((evidence.rater, evidence.object))] = np.flatnonzero(evidence.drew)
    return row


def _overlaps(
    evidence: Evidence, edges: Edges, rows: Ints, *, iou: float, shared: Floats
) -> Floats:
    """Probability that boxes overlap the truth by `iou`."""
    boxes, size = evidence.boxes[rows], size_of(edges.box)[evidence.object[rows]]
    bias, scale = edges.bias[evidence.rater[rows]] * size, edges.scale[rows] * size
    known: Bools = np.all(np.isfinite(edges.without[rows]), axis=1)
    if not np.isfinite(edges.scale).any():
        return np.ones(len(rows))
    off = np.where(known[:, None], boxes - edges.without[rows], bias)
    others = np.where(known[:, None], edges.error_without[rows] ** 2, np.inf)
    free = scale**2 / edges.trust[rows]
    with np.errstate(invalid="ignore"):
        part = np.where(np.isfinite(others), free / (free + others), 1.0)
        rest = np.where(np.isfinite(others), part * others, free)
    error = bias + part * (off - bias)
    reach = 2 * np.sqrt(rest + shared[evidence.object[rows]])
    overlap = np.stack(
        [
            _iou_or_none(boxes, boxes - error - side * np.eye(4)[edge] * reach)
            for edge in range(4)
            for side in (-1, 1)
        ]
    )
    away = (overlap.mean(axis=0) - iou) / np.maximum(overlap.std(axis=0), _REST)
    probability: Floats = ndtr(away)
    return probability


def _iou_or_none(boxes: Floats, others: Floats) -> Floats:
    """IoU of boxes one by one; 0 where an edge of the other has crossed its opposite."""
    found = np.zeros(len(boxes))
    sound = (others[:, 2:] > others[:, :2]).all(axis=1)
    if sound.any():
        found[sound] = paired_iou(boxes[sound], others[sound])
    return found


def reliability(
    evidence: Evidence,
    edges: Edges,
    *,
    overlap: Floats,
    exists: Floats,
    prior: float,
    level: float,
    shared: float = 1.0,
) -> Share:
    """F1 = 2 TP / (drawn + wanted), shrunk towards what everybody reached at those places.

    Parameters
    ----------
    evidence : Evidence
        What was drawn.
    edges : Edges
        Who is one voice with whom.
    overlap, exists : ndarray, shapes (N,) and (A,)
        Probability that each box overlaps what it shows well enough, and that the object of each
        answer exists.
    prior : float
        How many boxes the prior is worth.
    level : float
        Coverage of the interval.
    shared : float
        Error that all raters share, as a share of a rater's own: where there is some, others are
        wrong in many of a rater's boxes at once, as much as these vary.
    """
    rows = np.flatnonzero(_judged(evidence, edges.dependence)[evidence.asked_object])
    who, objects, n = evidence.asked_rater[rows], evidence.asked_object[rows], evidence.n_raters
    met = np.zeros(len(evidence.drew))
    met[answers(evidence)] = overlap
    met, chance, voice = met[rows], exists[rows], edges.dependence.rater_voice()
    right, outcome = 2 * chance * met, evidence.drew[rows] + chance
    usual = _usual(evidence, who, objects, right=right, outcome=outcome, voice=voice)
    value = total(who, right, n) / np.maximum(total(who, outcome, n), 1e-12)
    few = _minority(evidence, edges)[objects]
    gain = 2 * met - value[who]  # of 2 TP less its share of what is wanted, if the object exists
    lone = _voices(evidence, edges)[objects] <= 1 + 1e-9
    gain[evidence.drew[rows] & lone] = 2.0  # all or nothing reaches beyond its deviation
    doubt = total(who, 4 * chance * met * (1 - met), n)
    doubt += _together(who, chance * (1 - chance) * gain**2, n, few=few)
    return _interval(
        (right, outcome, usual, 2 * prior),
        who=who,
        cluster=clusters(evidence)[objects],
        doubt=doubt,
        voice=voice,
        level=level,
        drawn=_DRAWN + (1 - _DRAWN) * min(shared, 1.0) ** 2,
    )


def false_share(
    evidence: Evidence, edges: Edges, *, hits: Floats, prior: float, level: float
) -> Share:
    """Share of each rater's boxes that show nothing real, shrunk towards everybody's.

    Parameters
    ----------
    evidence : Evidence
        Boxes of R raters, joined to O objects.
    edges : Edges
        Says which raters depend on each other.
    hits : ndarray, shape (N,)
        Probability that each box shows something real.
    prior : float
        Boxes for which everybody's share counts.
    level : float
        Of the intervals, 0 to 1.
    """
    rows = np.flatnonzero(_judged(evidence, edges.dependence)[evidence.object])
    who, wrong = evidence.rater[rows], 1 - hits[rows]
    voice = edges.dependence.rater_voice()
    everybody = np.average(wrong, weights=voice[who]) if len(rows) else np.nan
    return _interval(
        (wrong, np.ones(len(rows)), np.full(evidence.n_raters, everybody), prior),
        who=who,
        cluster=clusters(evidence)[evidence.object[rows]],
        doubt=_together(
            who,
            hits[rows] * wrong,
            evidence.n_raters,
            few=_minority(evidence, edges)[evidence.object[rows]],
        ),
        voice=voice,
        level=level,
    )


def clusters(evidence: Evidence) -> Ints:
    """Cluster of each object, (O,): what is alike within it says less than it seems."""
    if len(np.unique(evidence.case)) >= _FEW_CASES:
        return evidence.case
    blocks = evidence.plane // _SLICES
    code = evidence.case * (int(blocks.max(initial=0)) + 1) + blocks
    return numbered(code)[1]


def _usual(
    evidence: Evidence, who: Ints, objects: Ints, *, right: Floats, outcome: Floats, voice: Floats
) -> Floats:
    """What everybody reached at the places of each rater, (R,)."""
    n = evidence.n_raters
    pair, at = numbered(evidence.place[objects] * n + who)
    rater, where = pair % n, pair // n
    n_places = int(evidence.place.max(initial=-1)) + 1
    outcomes = np.bincount(at, outcome, len(pair))
    reached = np.bincount(at, right, len(pair)) / np.maximum(outcomes, 1e-12)
    voices = voice[rater] * (outcomes > 0)  # nothing to draw, as a reviewer says, and not drawn
    everybody = np.bincount(where, voices * reached, n_places) / np.maximum(
        np.bincount(where, voices, n_places), 1e-12
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        usual: Floats = np.bincount(rater, outcomes * everybody[where], n) / np.bincount(
            rater, outcomes, n
        )
    return usual


def _judged(evidence: Evidence, dependence: Dependence) -> Bools:
    """Whether another voice was asked for each object, (O,)."""
    mates = dependence.mates(evidence.asked_object, evidence.asked_rater)
    voice = mates.voice(len(evidence.asked_object))
    judged: Bools = total(evidence.asked_object, voice, evidence.n_objects) > 1 + 1e-9
    return judged


def _minority(evidence: Evidence, edges: Edges) -> Ints:
    """Number of the set of voices that drew each object, if these are one or no majority; -1, (O,).

    Dependent raters are one voice; the numbers of sets have no other meaning.
    """
    n, group = evidence.n_raters, edges.dependence.groups()
    asked = edges.dependence.mates(evidence.asked_object, evidence.asked_rater)
    voices = _voices(evidence, edges)
    most = total(evidence.asked_object, asked.voice(len(evidence.drew)), evidence.n_objects) / 2
    drawn = np.unique(evidence.object * n + group[evidence.rater])
    mark = np.random.default_rng(0).integers(1, 2**56, n)  # sums of these tell sets apart
    key = np.zeros(evidence.n_objects, np.int64)
    np.add.at(key, drawn // n, mark[drawn % n])
    return np.where(voices <= np.maximum(most, 1) + 1e-9, numbered(key)[1], -1)


def _voices(evidence: Evidence, edges: Edges) -> Floats:
    """Voices that drew each object, (O,)."""
    return total(evidence.object, edges.voice, evidence.n_objects)


def _together(who: Ints, variance: Floats, n: int, *, few: Ints) -> Floats:
    """Variance of each rater's sum: what one voice or the same few alone drew stands together.

    Whether these see what others skip, or invent it, is one question for all such boxes, and for
    what others are held to have missed there.
    """
    alone = few >= 0
    span = int(few.max(initial=0)) + 1
    cell, of = numbered(who[alone] * span + few[alone])
    each = np.bincount(of, np.sqrt(np.clip(variance[alone], 0, None)), len(cell)) ** 2
    return total(who[~alone], variance[~alone], n) + np.bincount(cell // span, each, n)


def _interval(
    share: tuple[Floats, Floats, Floats, float],
    *,
    who: Ints,
    cluster: Ints,
    doubt: Floats,
    voice: Floats,
    level: float,
    drawn: float = 1.0,
) -> Share:
    """Share of sums with a prior, and a t interval from clusters, counts and doubt.

    The variance is that between a rater's clusters, drawn towards that of all raters [1]_, or
    that of a binomial share where this is larger, `drawn` of it, and the doubt about the reference
    on top.

    References
    ----------
    .. [1] G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential
       expression", Stat. Appl. Genet. Mol. Biol. 3(1), 2004. :doi:`10.2202/1544-6115.1027`
    """
    top, bottom, usual, prior = share
    n = len(usual)
    weight = total(who, bottom, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (total(who, top, n) + prior * usual) / (weight + prior)
        value = np.where(weight > 0, value, np.nan)
    cell, of = numbered(who * (int(cluster.max(initial=0)) + 1) + cluster)
    rater = cell // (int(cluster.max(initial=0)) + 1)
    above, below = (np.bincount(of, column, len(cell)) for column in (top, bottom))
    count = np.bincount(rater, below > 0, n)
    free = np.maximum(count - 1, 0)
    square = np.bincount(rater, np.nan_to_num(above - value[rater] * below) ** 2, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where(free > 0, square * count / np.maximum(free, 1) / weight, 0.0)
    pooled = float(own @ (free * voice)) / max(float(free @ voice), 1.0)
    spread = (own * free + pooled * _LENT) / (free + _LENT)
    mean = (value * weight + 1) / (weight + 2)
    variance = drawn * np.maximum(spread, mean * (1 - mean)) * weight + doubt
    variance = variance / np.maximum(weight, 1e-9) ** 2
    reach = scipy.stats.t.ppf((1 + level) / 2, free + _LENT) * np.sqrt(variance)
    low, high = value - reach, value + reach
    low, high = low - np.maximum(high - 1, 0), high + np.maximum(-low, 0)
    return Share(value, np.clip(low, 0, 1), np.clip(high, 0, 1), count)
