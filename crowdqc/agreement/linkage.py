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

from crowdqc.arrays import Bools, Floats, Ints, numbered
from crowdqc.geometry import Boxes, paired_iou
from crowdqc.matching import linked_pairs

PAIRS_MAX = 10_000_000
"""About so many pairs of boxes are looked at together."""


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
    unit, n_units = np.empty(len(boxes), np.int64), 0
    for rows in _batches(image):
        found = _link(boxes[rows], image[rows], rater=rater[rows], label=label[rows], iou=iou)
        unit[rows] = n_units + found
        n_units += int(found.max(initial=-1)) + 1
    return unit


def _batches(image: Ints) -> list[Ints]:
    """Rows of some images each, so that pairs of boxes fit into memory however many there are."""
    order = np.argsort(image, kind="stable")
    n_boxes = np.bincount(numbered(image)[1])
    batch = np.cumsum(n_boxes**2) // PAIRS_MAX
    return np.split(order, np.cumsum(n_boxes)[:-1][np.diff(batch) > 0])


def _link(boxes: Boxes, image: Ints, *, rater: Ints, label: Ints, iou: float) -> Ints:
    """As `link_boxes`, of all boxes at once."""
    order = _by_image_and_x(image, boxes[:, 0])
    a, b = linked_pairs(boxes[order], image[order], rater[order], iou=iou)
    a, b = order[a], order[b]
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(len(boxes), len(boxes)))
    unit = connected_components(graph, directed=False)[1].astype(np.int64)
    crowded = _with_a_rater_twice(unit, rater)
    rows = np.flatnonzero(crowded[unit[a]])
    if len(rows):
        a, b = a[rows], b[rows]
        score = paired_iou(boxes[a], boxes[b]) + (label[a] == label[b])
        names = np.minimum(rater[a], rater[b]) * (int(rater.max()) + 1) + np.maximum(
            rater[a], rater[b]
        )
        drawn = np.minimum(a, b) * len(boxes) + np.maximum(a, b)
        turn = np.lexsort((drawn, names, -score))  # ties go by raters, then by rows
        mine = np.flatnonzero(crowded[unit])
        number = np.zeros(len(boxes), np.int64)
        number[mine] = np.arange(len(mine))
        joined = _join_in_turn(number[a[turn]], number[b[turn]], rater[mine])
        unit[mine] = len(boxes) + joined
    used = np.zeros(int(unit.max(initial=-1)) + 1, np.int64)
    used[unit] = 1
    return (np.cumsum(used) - 1)[unit]


def _by_image_and_x(image: Ints, x: Floats) -> Ints:
    """Order by image and x: as `numpy.lexsort`, which takes twice as long."""
    rank = np.empty(len(x), np.int64)
    rank[np.argsort(x)] = np.arange(len(x))
    return np.argsort(image * len(x) + rank)


def _with_a_rater_twice(unit: Ints, rater: Ints) -> Bools:
    """Whether each unit holds two boxes of one rater."""
    span = int(rater.max(initial=0)) + 1
    pairs = np.sort(unit * span + rater)
    twice = np.zeros(int(unit.max(initial=-1)) + 1, bool)
    twice[pairs[1:][pairs[1:] == pairs[:-1]] // span] = True
    return twice


def _join_in_turn(a: Ints, b: Ints, rater: Ints) -> Ints:
    """Unit of each box after all pairs had their turn, in the order in which they stand.

    A pair that comes before all other pairs of both of its units need not wait for its turn:
    nothing that happens before can touch it. So all such pairs join at once, round by round.
    A pair of units with a rater in common never joins, as units only grow.
    """
    home = np.arange(len(rater))
    raters = _as_bits(rater)
    while len(a):
        one, other = home[a], home[b]
        open_ = (one != other) & ~(raters[one] & raters[other]).any(axis=1)
        a, b, one, other = a[open_], b[open_], one[open_], other[open_]
        turn = np.arange(len(a))
        first = np.full(len(rater), len(a))
        np.minimum.at(first, one, turn)
        np.minimum.at(first, other, turn)
        now = (first[one] == turn) & (first[other] == turn)
        keep, lose = one[now], other[now]
        raters[keep] |= raters[lose]
        moved = np.arange(len(rater))
        moved[lose] = keep
        home = moved[home]
    return home


def _as_bits(rater: Ints) -> NDArray[np.uint64]:
    """The set that holds each rater alone, as bits, (N, words)."""
    word, bit = np.divmod(rater, 64)
    bits = np.zeros((len(rater), int(word.max(initial=0)) + 1), np.uint64)
    bits[np.arange(len(rater)), word] = np.left_shift(np.uint64(1), bit.astype(np.uint64))
    return bits
