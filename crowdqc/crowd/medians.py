"""Medians of weighted values, and one that moves without jumps."""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Floats, Ints

_REACH = 0.1
"""Share of the weight on either side of the median that counts."""


def middle(values: Floats, weight: Floats) -> float:
    """Mean of what lies within a tenth of the weight of the median: it moves without jumps.

    Parameters
    ----------
    values : ndarray, shape (N,)
        In any order.
    weight : ndarray, shape (N,)
        Not below 0.

    Returns
    -------
    float
        0 where there is no weight.

    Examples
    --------
    >>> middle(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0]))
    2.0
    >>> round(middle(np.array([0.0, 1.0]), np.array([1.0, 1.01])), 2)
    0.51
    """
    order = np.argsort(values, kind="stable")
    total = weight.sum()
    if total <= 0:
        return 0.0
    reached = np.cumsum(weight[order]) / total
    upper = np.clip(reached, 0.5 - _REACH, 0.5 + _REACH)
    lower = np.clip(reached - weight[order] / total, 0.5 - _REACH, 0.5 + _REACH)
    part = upper - lower
    return float(values[order] @ part / part.sum())


def median_boxes(
    boxes: Floats, of: Ints, n: int, *, weight: Floats | None = None, share: float = 0.5
) -> Floats:
    """Median of each edge over the boxes of each object.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        Boxes in px.
    of : ndarray of int, shape (N,)
        Object of each box, from 0.
    n : int
        Number of objects.
    weight : ndarray, shape (N,), optional
        With it the value with half of the weight on either side, or between two.

    share : float
        Share of the weight that lies below: another quantile than the median.

    Returns
    -------
    ndarray, shape (n, 4)
        A box for each object; nan where there is none.
    """
    median = np.full((n, 4), np.nan)
    weight = np.ones(len(of)) if weight is None else weight
    some = np.unique(of)
    total = np.bincount(of, weight, n)
    start = np.searchsorted(np.sort(of), some)
    for edge in range(4):
        order = np.lexsort((boxes[:, edge], of))
        values, sorted_of = boxes[order, edge], of[order]
        reached = np.cumsum(weight[order])
        before = np.repeat(reached[start] - weight[order][start], np.diff([*start, len(of)]))
        part = (reached - before) / total[sorted_of]
        below = np.bincount(sorted_of, part < share - 1e-9, n)[some].astype(np.int64)
        within = np.bincount(sorted_of, part < share + 1e-9, n)[some].astype(np.int64)
        last = np.diff([*start, len(of)]) - 1
        high = start + np.minimum(within, last)
        median[some, edge] = (values[start + below] + values[high]) / 2
    return median


def uncrossed(box: Floats, median: Floats) -> Floats:
    """Boxes with the median's edges where two opposite ones have crossed.

    Edges are estimated one by one, from boxes that may hardly overlap; medians never cross.

    Parameters
    ----------
    box, median : ndarray, shape (O, 4)
    """
    crossed = box[:, 2:] <= box[:, :2]
    return np.where(np.hstack([crossed, crossed]), median, box)
