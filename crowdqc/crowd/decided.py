"""What reviewers' decisions on some objects say of the others.

Which objects are decided on is chosen by what raters drew, so that they are no sample of all: rates
that are learned from them as if they were would be those of doubtful objects. So nothing is
estimated anew. Given what was drawn, the choice says nothing more of the truth, and all that is
learned here is how the truth differs, *given what was drawn*, from what the model expects: a factor
of each rater in the odds that its objects exist, an offset that all fused boxes share, each rater's
bias beyond it, and how much farther than expected its boxes are from the truth.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy
from scipy.optimize import minimize
from scipy.special import expit, logit

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd.edges import Edges, size_of
from crowdqc.crowd.evidence import SAME, Evidence
from crowdqc.crowd.existence import Existence
from crowdqc.crowd.reliability import clusters
from crowdqc.crowd.sums import sums, total
from crowdqc.geometry import paired_iou

_EFFECT = 1.0
"""Standard deviation among raters of the log odds that their boxes show something, beforehand."""
_SURE = 1e-3
"""The model is never taken to be surer than this of an object that a reviewer decides on."""
_CLUSTERS, _LEVEL = 4, 0.95
"""Cases in which decisions must lie before an offset is learned, and how sure effects must be."""
_TAILS = 4.0
"""Degrees of freedom of fused boxes about the truth: disputed ones have heavy tails."""
_BOXES = 10.0
"""How many boxes "as far away as expected" is worth, besides what the crowd knows of a rater."""
_MOST = 9.0
"""Greatest square of a standardised distance: one slip says no more."""
_LEAST = 0.005
"""Least spread of a fused edge, as a share of size: decisions are no more exact."""


def decided_existence(data: Evidence, existence: Existence, voice: Floats) -> Existence:
    """Existence of objects, with decisions obeyed and what they say of their raters applied.

    Parameters
    ----------
    data : Evidence
        With `decided`.
    existence : Existence
        As fitted without them.
    voice : ndarray, shape (N,)
        What each drawn box counts among those of its object.

    Returns
    -------
    Existence

    Notes
    -----
    A logistic regression of the decisions on who drew the objects, with the log odds of the model
    as offset and normal effects of raters [1]_, less what may be chance of so many raters. An
    object that n voices drew takes the sum of their effects over the square root of n.

    References
    ----------
    .. [1] A. Gelman, J. Hill, "Data analysis using regression and multilevel/hierarchical models",
       Cambridge University Press, 2007, chapter 14.
    """
    known = np.isfinite(data.decided)
    if not known.any():
        return existence
    share = voice / np.sqrt(total(data.object, voice, data.n_objects))[data.object]
    odds = logit(np.clip(existence.probability, _SURE, 1 - _SURE))
    effect = _effects(data, share, odds)
    moved = expit(logit(existence.probability) + total(data.object, share * effect, len(odds)))
    of = data.decided[data.asked_object]
    return dataclasses.replace(
        existence,
        probability=np.where(known, data.decided, moved),
        without=np.where(np.isfinite(of), of, existence.without),
    )


def _effects(data: Evidence, share: Floats, odds: Floats) -> Floats:
    """Effect of the rater of each box, (N,): the most likely ones."""
    rows = np.flatnonzero(np.isfinite(data.decided[data.object]))
    of, who = np.unique(data.object[rows], return_inverse=True)[1], data.rater[rows]
    raters, who = np.unique(who, return_inverse=True)
    asked = np.unique(data.object[rows])
    sign, base, part = 2 * data.decided[asked] - 1, odds[asked], share[rows]

    def loss(effect: Floats) -> tuple[float, Floats]:
        away = sign * (base + total(of, part * effect[who], len(asked)))
        slope = -sign * expit(-away)
        penalty = effect / _EFFECT**2
        value = np.logaddexp(0, -away).sum() + effect @ penalty / 2
        return float(value), total(who, part * slope[of], len(raters)) + penalty

    effect = minimize(loss, np.zeros(len(raters)), jac=True, method="L-BFGS-B").x
    expected = expit(base)
    found = total(who, part * (data.decided[asked] - expected)[of], len(raters))
    chance = total(who, part**2 * (expected * (1 - expected))[of], len(raters))
    chance = chance * scipy.stats.norm.ppf(1 - (1 - _LEVEL) / 2 / len(raters)) ** 2
    every = np.zeros(data.n_raters)
    every[raters] = effect * np.maximum(0, 1 - chance / np.maximum(found**2, 1e-12))
    of_boxes: Floats = every[data.rater]
    return of_boxes


def decided_edges(data: Evidence, edges: Edges, shared: float) -> Edges:
    """Edges without the offset that decided boxes show in all, and raters weighed by them, too.

    Parameters
    ----------
    data : Evidence
        With `settled`.
    edges : Edges
        As fitted without them.
    shared : float
        Error that all raters share, as a share of a rater's own.

    Returns
    -------
    Edges

    Notes
    -----
    Only objects that most of those asked drew tell something of others: what few see has edges
    of its own kind. The offset is a robust mean over them; what may be chance between cases is
    taken from it. Raters are compared with one another on these objects, and as far as the crowd
    itself tells them apart, which takes three of them, decisions add little. A bias of their own
    is held to what the crowd knows by every box that somebody shares.
    """
    known = np.isfinite(data.settled).all(axis=1) & np.isfinite(edges.spread).all(axis=1)
    known &= 2 * data.n_boxes > data.n_asked
    if not known.any():
        return edges
    rows = np.flatnonzero(known)
    size = size_of(edges.box)
    voices = total(data.object, edges.voice, data.n_objects)
    spread = edges.spread * np.sqrt(1 + shared**2 * voices)[:, None]
    error = (edges.box[rows] - data.settled[rows]) / size[rows]
    offset = common_offset(error, spread[rows] / size[rows], clusters(data)[rows])
    rows, away = _away(data, edges, offset, known=known)
    factor = _factors(data, edges, away / edges.scale[rows], rows=rows, shared=shared)
    own = _biases(data, edges, away, rows=rows)
    box, precision = _relocated(data, edges, factor=factor, own=own)
    before, usual = _relocated(data, edges, factor=np.ones(len(factor)), own=np.zeros_like(own))
    moved = edges.box + box - before - offset * size
    crossed = moved[:, 2:] <= moved[:, :2]
    wider = np.sqrt(factor)[:, None]
    return dataclasses.replace(
        edges,
        box=np.where(np.hstack([crossed, crossed]), edges.box, moved),
        spread=edges.spread * np.sqrt(usual / precision),
        without=edges.without - offset * size[data.object],
        bias=edges.bias + offset + own,
        sd=edges.sd * wider,
        sd_label=edges.sd_label * wider,
        scale=edges.scale * wider[data.rater],
    )


def common_offset(error: Floats, spread: Floats, cluster: Ints) -> Floats:
    """The mean of errors, less what may be chance.

    Parameters
    ----------
    error, spread : ndarray, shape (N, 4)
        Errors of fused edges, and their standard deviations, as shares of size.
    cluster : ndarray of int64, shape (N,)
        Errors of one cluster (case) depend on one another.

    Returns
    -------
    offset : ndarray, shape (4,)
        A robust mean m, times ``1 - (t s / m)^2`` where that is above 0, with s its standard error
        between clusters and t the 97.5 % point of Student's distribution; 0 of fewer than four
        clusters.
    """
    number = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    n = int(number.max(initial=-1)) + 1
    if n < _CLUSTERS:
        return np.zeros(4)
    variance = np.maximum(spread, _LEAST) ** 2
    mean = np.median(error, axis=0)
    for _ in range(10):
        weight = (_TAILS + 1) / (_TAILS + (error - mean) ** 2 / variance) / variance
        mean = (weight * error).sum(axis=0) / weight.sum(axis=0)
    between = sums(number, weight * (error - mean), n)
    square = (between**2).sum(axis=0) / weight.sum(axis=0) ** 2 * n / (n - 1)
    square = (
        np.maximum(square, 1 / weight.sum(axis=0)) * scipy.stats.t.ppf((1 + _LEVEL) / 2, n - 1) ** 2
    )
    offset: Floats = mean * np.maximum(0, 1 - square / np.maximum(mean**2, 1e-12))
    return offset


def _away(data: Evidence, edges: Edges, offset: Floats, *, known: Bools) -> tuple[Ints, Floats]:
    """Boxes that show known objects, and how far they lie from them beyond bias and offset."""
    rows = np.flatnonzero(known[data.object])
    rows = rows[paired_iou(data.boxes[rows], data.settled[data.object[rows]]) >= SAME]
    of = data.object[rows]
    away = (data.boxes[rows] - data.settled[of]) / size_of(edges.box)[of]
    return rows, away - edges.bias[data.rater[rows]] - offset


def _factors(data: Evidence, edges: Edges, away: Floats, *, rows: Ints, shared: float) -> Floats:
    """Factor of the variance of each rater, (R,), from how many spreads its boxes are away."""
    who, n = data.rater[rows], data.n_raters
    square = np.minimum(away**2 / (1 + shared**2), _MOST).mean(axis=1)
    usual = max(float(square.mean()), 1e-12) if len(square) else 1.0
    others = total(data.object, edges.voice, data.n_objects)[data.object]
    apart = np.maximum(others - 2, 0) / np.maximum(others - 1, 1)
    worth = _BOXES + total(data.rater, apart, n)
    found: Floats = (total(who, square / usual, n) + worth) / (
        np.bincount(who, minlength=n) + worth
    )
    return found


def _biases(data: Evidence, edges: Edges, away: Floats, *, rows: Ints) -> Floats:
    """Bias of each rater beyond what the crowd knows of it, (R, 4)."""
    who, n, scale = data.rater[rows], data.n_raters, edges.scale[rows]
    away = np.clip(away, -(_MOST**0.5) * scale, _MOST**0.5 * scale)
    mean = sums(who, away / scale**2, n) / np.maximum(sums(who, scale**-2, n), 1e-12)
    shared = total(data.object, edges.voice, data.n_objects)[data.object] > 1 + 1e-9
    count, worth = np.bincount(who, minlength=n), _BOXES + np.bincount(data.rater, shared, n)
    biases: Floats = mean * (count / (count + worth))[:, None]
    return biases


def _relocated(
    data: Evidence, edges: Edges, *, factor: Floats, own: Floats
) -> tuple[Floats, Floats]:
    """Boxes (O, 4) where raters have more variance and bias, by factor and sum, and the weights."""
    size = size_of(edges.box)[data.object]
    weight = edges.voice[:, None] * edges.trust / (edges.scale * size) ** 2
    weight = weight / factor[data.rater, None]
    drawn = data.boxes - (edges.bias + own)[data.rater] * size
    whole = sums(data.object, weight, data.n_objects)
    return sums(data.object, weight * drawn, data.n_objects) / whole, whole
