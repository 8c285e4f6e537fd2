"""Boxes that the other raters of the same slice contradict, where these agree among themselves."""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.geometry import Boxes, paired_iou

WRONG = 0.4
"""IoU with the others below which a box is contradicted ..."""
WORSE = 0.6
"""... if it is also below this share of what the others reach against one another: tiny things have
low IoU always."""
AGREED = 0.5
"""IoU with their own median that the others must have."""


def contradicted(boxes: Boxes, place: Ints) -> Bools:
    """Boxes that at least two others contradict, all of whom agree.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px, one of a rater at most in a place.
    place : ndarray of int, shape (N,)
        Case, slice and label of each box.

    Returns
    -------
    ndarray of bool, shape (N,)

    Examples
    --------
    >>> boxes = np.array([[0.0, 0, 9, 9], [0, 0, 9, 10], [0, 1, 9, 9], [40, 0, 49, 9]])
    >>> contradicted(boxes, np.zeros(4, int)).tolist()
    [False, False, False, True]
    """
    wrong = np.zeros(len(boxes), bool)
    order = np.argsort(place, kind="stable")
    _, start, count = np.unique(place[order], return_index=True, return_counts=True)
    for n in np.unique(count[count >= 3]):
        rows = order[start[count == n][:, None] + np.arange(n)]
        for k in range(n):
            rest = boxes[np.delete(rows, k, axis=1)]
            wrong[rows[:, k]] = _against(boxes[rows[:, k]], rest)
    return wrong


def _against(own: Boxes, others: Floats) -> Bools:
    """Whether each box (G, 4) is contradicted by the others (G, m, 4) of its place."""
    middle = np.median(others, axis=1)
    each = [others[:, k] for k in range(others.shape[1])]
    agree = np.min([paired_iou(one, middle) for one in each], axis=0)
    mine = paired_iou(own, middle)
    # A median that holds one's own box is always near: what others reach is measured without it.
    reached = np.min(
        [
            paired_iou(one, np.median(np.delete(others, k, axis=1), axis=1))
            for k, one in enumerate(each)
        ],
        axis=0,
    )
    against: Bools = (agree >= AGREED) & (mine < WRONG) & (mine < WORSE * reached)
    return against
