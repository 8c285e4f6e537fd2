"""Units of alpha for boxes: boxes that a chain of overlaps connects, one of a rater at most.

Pairs of boxes of two raters that reach the threshold are taken in turn, those of one label
first and the greater IoU before the smaller, and join what they connect, unless that would put
two boxes of one rater together. This is how kalos forms units; objects for fusion are formed
with more care, by `crowdqc.matching`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crowdqc.geometry import Boxes, paired_iou
from crowdqc.matching import linked_pairs

Ints = NDArray[np.int64]


def link_boxes(boxes: Boxes, *, image: Ints, rater: Ints, label: Ints, iou: float) -> Ints:
    """Number of the unit of each box, (N,).

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px.
    image, rater, label : ndarray of int, shape (N,)
        Where a box was drawn, by whom, and as what.
    iou : float
        Threshold, in (0, 1).

    Returns
    -------
    unit : ndarray of int, shape (N,)
        From 0 without gaps.

    Examples
    --------
    A chain: the outer boxes overlap too little, but both go with the middle one.

    >>> boxes = np.array([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])
    >>> none = np.zeros(3, int)
    >>> link_boxes(boxes, image=none, rater=np.arange(3), label=none, iou=0.5)
    array([0, 0, 0])
    """
    order = np.lexsort((label, rater, boxes[:, 0], image))
    a, b = linked_pairs(boxes[order], image[order], rater[order], iou=iou)
    a, b = order[a], order[b]
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(len(boxes), len(boxes)))
    unit = connected_components(graph, directed=False)[1].astype(np.int64)
    crowded = _with_a_rater_twice(unit, rater)
    rows = np.flatnonzero(crowded[unit[a]])
    if len(rows):
        a, b = a[rows], b[rows]
        score = paired_iou(boxes[a], boxes[b]) + (label[a] == label[b])
        first, second = np.minimum(rater[a], rater[b]), np.maximum(rater[a], rater[b])
        turn = np.lexsort((np.maximum(a, b), np.minimum(a, b), second, first, -score))
        mine = np.flatnonzero(crowded[unit])
        joined = _join_in_turn(a[turn], b[turn], members=mine, rater=rater)
        unit[mine] = len(boxes) + joined
    return np.unique(unit, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _with_a_rater_twice(unit: Ints, rater: Ints) -> NDArray[np.bool_]:
    """Whether each unit holds two boxes of one rater."""
    pairs = unit * (int(rater.max(initial=0)) + 1) + rater
    _, first, count = np.unique(pairs, return_index=True, return_counts=True)
    twice = np.zeros(int(unit.max(initial=-1)) + 1, bool)
    twice[unit[first[count > 1]]] = True
    return twice


def _join_in_turn(a: Ints, b: Ints, *, members: Ints, rater: Ints) -> Ints:
    """Unit of each of the `members` after all pairs had their turn."""
    group = {int(box): [int(box)] for box in members}
    raters = {int(box): {int(rater[box])} for box in members}
    home = {int(box): int(box) for box in members}
    for one, other in zip(a.tolist(), b.tolist(), strict=True):
        keep, lose = home[one], home[other]
        if keep == lose or raters[keep] & raters[lose]:
            continue
        if len(group[keep]) < len(group[lose]):
            keep, lose = lose, keep
        for box in group[lose]:
            home[box] = keep
        group[keep] += group.pop(lose)
        raters[keep] |= raters.pop(lose)
    return np.array([home[int(box)] for box in members], dtype=np.int64)
