"""Where the true edges are: each rater's bias and spread per edge, and how hard each object is.

Rater r draws edge e of object o at ``truth + size * (bias_re + noise)``, where `size` is the
object's width for x edges and its height for y edges, and the noise has a Student
distribution of scale ``sd_re * hardness_o``: people who slip once in a while should not move
the box. Priors keep raters with few boxes, and objects with few raters, near the average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdqc.crowd.evidence import Evidence

Floats = NDArray[np.float64]


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
        How many boxes the prior on an object's hardness is worth.
    steps : int
        Steps of EM.
    """

    freedom: float = 3.0
    rater_boxes: float = 5.0
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
        Standard deviation of where the true edge lies, in px.
    without : ndarray, shape (N, 4)
        The box of a drawn box's object, estimated without it; nan where it is alone.
    weight : ndarray, shape (N,)
        Share that each drawn box has in the box of its object, mean over edges.
    bias, sd : ndarray, shape (R, 4)
        Of each rater and edge, as a share of the object's width (x) or height (y).
    """

    box: Floats
    spread: Floats
    without: Floats
    weight: Floats
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
    boxes, of, who = evidence.boxes, evidence.object, evidence.rater
    box = median_boxes(boxes, of, evidence.n_objects)
    bias = np.zeros((evidence.n_raters, 4))
    sd = np.full((evidence.n_raters, 4), 0.05)
    hard = np.ones(evidence.n_objects)
    for _ in range(settings.steps):
        size = _size(box)[of]
        miss = (boxes - box[of]) / size - bias[who]
        scale = (sd[who] * hard[of, None]) ** 2
        trust = (settings.freedom + 1) / (settings.freedom + miss**2 / scale)
        bias = _bias(evidence, miss + bias[who], trust / hard[of, None] ** 2, settings=settings)
        sd, hard = _scales(evidence, trust * miss**2, sd, hard=hard, settings=settings)
        weight = trust / ((sd[who] * hard[of, None]) ** 2 * size**2)
        drawn = boxes - bias[who] * size
        top, total = (
            _sums(of, weight * drawn, evidence.n_objects),
            _sums(of, weight, evidence.n_objects),
        )
        box = np.where(total > 0, top / np.where(total > 0, total, 1), box)
    rest = total[of] - weight
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.where(rest > 1e-9 * total[of], (top[of] - weight * drawn) / rest, np.nan)
        spread = total**-0.5
    share = (weight / total[of]).mean(axis=1)
    return Edges(box, spread, without, share, bias, sd)


def median_boxes(boxes: Floats, of: NDArray[np.int64], n: int) -> Floats:
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


def _size(box: Floats) -> Floats:
    """Width for x edges and height for y edges, (O, 4), never nothing."""
    size = np.maximum(box[:, 2:] - box[:, :2], 1e-6)
    return np.hstack([size, size])


def _sums(of: NDArray[np.int64], values: Floats, n: int) -> Floats:
    """Sum of the rows of `values` (N, 4) for each of n numbers, (n, 4)."""
    return np.stack([np.bincount(of, column, n) for column in values.T], axis=1)


def _bias(evidence: Evidence, miss: Floats, trust: Floats, *, settings: EdgeSettings) -> Floats:
    top = _sums(evidence.rater, trust * miss, evidence.n_raters)
    bias: Floats = top / (_sums(evidence.rater, trust, evidence.n_raters) + settings.bias_boxes)
    return bias


def _scales(
    evidence: Evidence, error: Floats, sd: Floats, *, hard: Floats, settings: EdgeSettings
) -> tuple[Floats, Floats]:
    """Spread of raters (R, 4) and hardness of objects (O,), by turns."""
    of, who = evidence.object, evidence.rater
    everyone = np.sqrt(np.mean(error / hard[of, None] ** 2, axis=0) + 1e-8)
    top = _sums(who, error / hard[of, None] ** 2, evidence.n_raters)
    count = np.bincount(who, minlength=evidence.n_raters)[:, None]
    prior = settings.rater_boxes
    sd = np.sqrt((top + prior * everyone**2) / (count + prior))
    told = np.bincount(of, (error / sd[who] ** 2).mean(axis=1), evidence.n_objects)
    prior = settings.object_boxes
    hard = np.sqrt((told + prior) / (evidence.n_boxes + prior))
    return sd, hard
