"""Where the true edges are: each rater's bias and spread per edge, and how hard each object is.

Rater r draws edge e of object o at ``truth + size * (bias_re + noise)``, where `size` is the
object's width for x edges and its height for y edges, and the noise has a Student
distribution of scale ``sd_re * difficulty_o``: people who slip once in a while should not move
the box. Priors keep raters with few boxes, and objects with few raters, near the average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Floats, Ints
from crowdqc.crowd.evidence import Evidence

_LEAST = 1e-8
"""Least variance, as a share of size: raters who agree to the pixel are not perfect."""


@dataclass(frozen=True)
class EdgeSettings:
    """Settings of the model.

    Parameters
    ----------
    freedom : float
        Degrees of freedom of the Student noise; few mean heavy tails.
    rater_boxes : float
        How many boxes the prior on a rater's spread is worth.
    bias_boxes : float
        How many boxes the prior on a rater's bias (none) is worth.
    object_boxes : float
        How many boxes the prior on an object's difficulty is worth.
    steps : int
        Steps of EM.
    """

    freedom: float = 8.0
    rater_boxes: float = 3.0
    bias_boxes: float = 10.0
    object_boxes: float = 5.0
    steps: int = 20


@dataclass(frozen=True)
class Edges:
    """True edges, and how raters draw them.

    Parameters
    ----------
    box : ndarray, shape (O, 4)
        Estimated true box in px.
    spread : ndarray, shape (O, 4)
        Standard deviation of where the true edge lies, in px, as far as raters err apart from
        one another; nan where no object of the study was drawn by two raters.
    without : ndarray, shape (N, 4)
        The box of a drawn box's object, estimated without it; nan where it is alone.
    weight : ndarray, shape (N,)
        Share that each drawn box has in the box of its object, mean over edges.
    difficulty : ndarray, shape (O,)
        Factor of the raters' spread on this object; 1 where it was drawn once.
    bias, sd : ndarray, shape (R, 4)
        Of each rater and edge, as a share of the object's width (x) or height (y); nan where
        no object of the study was drawn by two raters.
    """

    box: Floats
    spread: Floats
    without: Floats
    weight: Floats
    difficulty: Floats
    bias: Floats
    sd: Floats


def fit_edges(evidence: Evidence, settings: EdgeSettings) -> Edges:
    """Estimate boxes, raters and objects in turn, from the median box on.

    References
    ----------
    .. [1] S. K. Warfield, K. H. Zou, W. M. Wells, "Validation of image segmentation by
       estimating rater bias and variance", Phil. Trans. R. Soc. A 366, 2008.
       :doi:`10.1098/rsta.2008.0040`
    .. [2] K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust statistical modeling using
       the t distribution", JASA 84(408), 1989. :doi:`10.1080/01621459.1989.10478852`
    """
    n, n_raters = evidence.n_objects, evidence.n_raters
    boxes, of, who = evidence.boxes, evidence.object, evidence.rater
    box = median = median_boxes(boxes, of, n)
    shared = (evidence.n_boxes[of] > 1).astype(np.float64)[:, None]
    if not shared.any():
        return _unknown(evidence, box)
    away = np.sqrt(
        np.sum(((boxes - box[of]) / _size(box)[of]) ** 2, axis=0) / shared.sum() + _LEAST
    )
    bias, sd = np.zeros((n_raters, 4)), np.tile(away, (n_raters, 1))
    hard, trust = np.ones(n), np.ones((len(boxes), 4))
    for _ in range(settings.steps):
        size = _size(box)[of]
        weight = trust / (sd[who] * hard[of, None] * size) ** 2
        drawn = boxes - bias[who] * size
        top, total = _sums(of, weight * drawn, n), _sums(of, weight, n)
        box = _uncrossed(top / total, median)
        miss = (boxes - box[of]) / size
        error = (miss - bias[who]) ** 2 + 1 / (total[of] * size**2)  # the truth is not certain
        scale = (sd[who] * hard[of, None]) ** 2
        trust = (settings.freedom + 1) / (settings.freedom + error / scale)
        bias = _bias(evidence, miss, shared * trust / scale, sd=sd, settings=settings)
        sd, hard = _scales(evidence, shared * trust * error, sd, hard=hard, settings=settings)
    rest = total[of] - weight
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.where(shared > 0, (top[of] - weight * drawn) / rest, np.nan)
    share = (weight / total[of]).mean(axis=1)
    known = (settings.freedom + 1) / (settings.freedom + 3)  # a Student value tells less
    return Edges(box, (known * total) ** -0.5, without, share, hard, bias, sd)


def _unknown(evidence: Evidence, box: Floats) -> Edges:
    """What is known where no object was drawn twice: nothing of the raters."""
    n, n_raters = len(evidence.boxes), evidence.n_raters
    return Edges(
        box=box,
        spread=np.full_like(box, np.nan),
        without=np.full((n, 4), np.nan),
        weight=np.ones(n),
        difficulty=np.ones(len(box)),
        bias=np.full((n_raters, 4), np.nan),
        sd=np.full((n_raters, 4), np.nan),
    )


def median_boxes(boxes: Floats, of: Ints, n: int) -> Floats:
    """Median of each edge over the boxes of each object, (n, 4); nan where there is none."""
    median = np.full((n, 4), np.nan)
    count = np.bincount(of, minlength=n)
    start = np.cumsum(count) - count
    some = count > 0
    low, high = (start + (count - 1) // 2)[some], (start + count // 2)[some]
    for edge in range(4):
        sorted_edge = boxes[np.lexsort((boxes[:, edge], of)), edge]
        median[some, edge] = (sorted_edge[low] + sorted_edge[high]) / 2
    return median


def _uncrossed(box: Floats, median: Floats) -> Floats:
    """Boxes (O, 4) with the median's edges where two opposite ones have crossed.

    Edges are estimated one by one, from boxes that may hardly overlap; medians never cross.
    """
    crossed = box[:, 2:] <= box[:, :2]
    return np.where(np.hstack([crossed, crossed]), median, box)


def _size(box: Floats) -> Floats:
    """Width for x edges and height for y edges, (O, 4), never nothing."""
    size = np.maximum(box[:, 2:] - box[:, :2], 1e-6)
    return np.hstack([size, size])


def _sums(of: Ints, values: Floats, n: int) -> Floats:
    """Sum of the rows of `values` (N, 4) for each of n numbers, (n, 4)."""
    return np.stack([np.bincount(of, column, n) for column in values.T], axis=1)


def _bias(
    evidence: Evidence, miss: Floats, weight: Floats, *, sd: Floats, settings: EdgeSettings
) -> Floats:
    """Bias of raters (R, 4): the mean of what they miss by, towards that of the median rater.

    The truth is only known as well as raters agree on it, so that a bias which all share
    cannot be seen; the median is what a few biased raters cannot move.
    """
    top = _sums(evidence.rater, weight * miss, evidence.n_raters)
    total = _sums(evidence.rater, weight, evidence.n_raters)
    bias = top / (total + settings.bias_boxes / sd**2)
    count = np.bincount(evidence.rater, minlength=evidence.n_raters)
    usual = [weighted_median(edge, count.astype(np.float64)) for edge in bias.T]
    return np.where(count[:, None] > 0, bias - np.array(usual), 0.0)


def weighted_median(values: Floats, weight: Floats) -> float:
    """Value with half of the weight on either side; the midpoint where two have that.

    Examples
    --------
    >>> weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0]))
    2.0
    """
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    half = share[-1] / 2
    low, high = np.searchsorted(share, [half * (1 - 1e-12), half * (1 + 1e-12)])
    return float((values[order][low] + values[order][min(high, len(values) - 1)]) / 2)


def _scales(
    evidence: Evidence, error: Floats, sd: Floats, *, hard: Floats, settings: EdgeSettings
) -> tuple[Floats, Floats]:
    """Spread of raters (R, 4) and difficulty of objects (O,), by turns, from shared objects."""
    of, who, n_raters = evidence.object, evidence.rater, evidence.n_raters
    n_boxes = np.where(evidence.n_boxes > 1, evidence.n_boxes, 0)
    count = np.bincount(who, n_boxes[of] > 0, n_raters)[:, None]
    top = _sums(who, error / hard[of, None] ** 2, n_raters)
    everyone = top.sum(axis=0) / count.sum() + _LEAST
    prior = settings.rater_boxes
    sd = np.sqrt((top + prior * everyone) / (count + prior))
    told = np.bincount(of, (error / sd[who] ** 2).mean(axis=1), evidence.n_objects)
    prior = settings.object_boxes
    hard = np.sqrt((told + prior) / (n_boxes + prior))
    return sd, hard
