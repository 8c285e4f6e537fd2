"""How well boxes of different raters agree: pairs of raters, and each rater against the others.

Arrays are named by their letters: N drawn boxes, O objects, R raters. A rater who was asked for
a slice and did not draw an object that others drew there missed it; a box that the others did
not draw is extra. Only raters who were asked for the same slice and label are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints, pairs_within
from crowdqc.geometry import Boxes, paired_iou

BLOCK = 2**16
"""Objects whose boxes are sorted at a time, to bound memory."""


@dataclass(frozen=True)
class DrawnBoxes:
    """Everything that was drawn and asked for, as arrays.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px.
    object, rater : ndarray of int, shape (N,)
        Object and rater of each box; a rater has one box in an object at most.
    place : ndarray of int, shape (O,)
        Place (slice and label) of each object.
    asked_place, asked_rater : ndarray of int, shape (Q,)
        Places that each rater was asked for.
    n_raters : int
        R.
    """

    boxes: Boxes
    object: Ints
    rater: Ints
    place: Ints
    asked_place: Ints
    asked_rater: Ints
    n_raters: int

    def asked(self) -> tuple[Ints, Ints]:
        """Objects and raters of all questions: who was asked on the place of each object."""
        return expand(self.place, self.asked_place, self.asked_rater)


@dataclass(frozen=True)
class Items:
    """One row per question: a rater, and an object that the rater or the others drew.

    Parameters
    ----------
    object, rater, box : ndarray of int, shape (K,)
        Object, rater, and the rater's box in it, -1 where there is none.
    iou : ndarray, shape (K,)
        With the consensus of the others; 0 for a miss and for an extra box.
    missed, extra : ndarray of bool, shape (K,)
        Which of the two it was.
    others : ndarray, shape (K, 4)
        Consensus of the others in px; nan where there is none.
    """

    object: Ints
    rater: Ints
    box: Ints
    iou: Floats
    missed: Bools
    extra: Bools
    others: Boxes


def expand(places: Ints, asked_place: Ints, asked: Ints) -> tuple[Ints, Ints]:
    """Row of `places` and what was `asked` there, for each of what was asked at each place.

    Parameters
    ----------
    places : ndarray of int, shape (N,)
        May name a place more than once.
    asked_place : ndarray of int, shape (K,)
        In any order.
    asked : ndarray of int, shape (K,)
        For example the rater who was asked there.

    Returns
    -------
    rows : ndarray of int, shape (M,)
        Place in `places`, ascending.
    asked : ndarray of int, shape (M,)
        What was asked there, in the order in which it is given.

    Examples
    --------
    >>> expand(np.array([7, 5, 7]), np.array([5, 7, 7]), np.array([1, 2, 3]))
    (array([0, 0, 1, 2, 2]), array([2, 3, 1, 2, 3]))
    """
    order = np.argsort(asked_place, kind="stable")
    place = asked_place[order]
    low = np.searchsorted(place, places, side="left")
    count = np.searchsorted(place, places, side="right") - low
    rows = np.repeat(np.arange(len(places)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return rows, asked[order][np.repeat(low, count) + within]


def leave_one_out(drawn: DrawnBoxes, *, share: float = 0.5) -> Items:
    """Each rater against the consensus of the others.

    The others' consensus of an object is the median of each edge of their boxes; it counts
    as drawn by them if more than `share` of those asked drew it, or just `share` and the
    rater drew it too (the benefit of the doubt).

    Parameters
    ----------
    drawn : DrawnBoxes
        Who drew what.
    share : float
        In [0, 1].

    Returns
    -------
    Items
        Of every rater and object with at least one other rater asked, where the rater or
        the others drew it.
    """
    objects, raters = drawn.asked()
    own = own_box(drawn, objects, raters)
    n_asked = np.bincount(objects, minlength=len(drawn.place))[objects] - 1
    n_drew = np.bincount(drawn.object, minlength=len(drawn.place))[objects] - (own >= 0)
    has_box = own >= 0
    exists = (n_drew > share * n_asked) | (has_box & (n_drew >= share * n_asked) & (n_drew > 0))
    keep = (n_asked > 0) & (has_box | exists)
    objects, raters, own, exists = objects[keep], raters[keep], own[keep], exists[keep]
    both = (own >= 0) & exists
    others = np.full((len(objects), 4), np.nan)
    others[exists] = median_without(drawn.boxes, drawn.object, objects[exists], own=own[exists])
    iou = np.zeros(len(objects))
    iou[both] = paired_iou(drawn.boxes[own[both]], others[both])
    missed, extra = (own < 0) & exists, (own >= 0) & ~exists
    return Items(objects, raters, own, iou, missed=missed, extra=extra, others=others)


@dataclass(frozen=True)
class Pairs:
    """One row for each two raters who were asked for an object that one of them drew.

    `a` < `b`. `iou` is 0 where only one of the two drew it.
    """

    object: Ints
    a: Ints
    b: Ints
    iou: Floats
    drew_a: Bools
    drew_b: Bools


def pair_items(drawn: DrawnBoxes) -> Pairs:
    """Each two raters on each object that at least one of them drew where both were asked."""
    objects, raters = drawn.asked()
    own = own_box(drawn, objects, raters)
    a, b = pairs_within(objects)
    later = raters[a] > raters[b]
    a, b = np.where(later, b, a), np.where(later, a, b)
    drew_a, drew_b = own[a] >= 0, own[b] >= 0
    either = drew_a | drew_b
    a, b, drew_a, drew_b = a[either], b[either], drew_a[either], drew_b[either]
    both = drew_a & drew_b
    overlap = np.zeros(len(a))
    overlap[both] = paired_iou(drawn.boxes[own[a[both]]], drawn.boxes[own[b[both]]])
    return Pairs(objects[a], raters[a], raters[b], overlap, drew_a, drew_b)


def own_box(drawn: DrawnBoxes, objects: Ints, raters: Ints) -> Ints:
    """Box of each rater in each object, -1 where there is none.

    Parameters
    ----------
    drawn : DrawnBoxes
        At most one box of a rater in each object.
    objects : ndarray of int, shape (N,)
        Objects.
    raters : ndarray of int, shape (N,)
        One rater for each of them.

    Returns
    -------
    ndarray of int64, shape (N,)
        Rows of `drawn`; -1 where the rater drew no box.
    """
    key = drawn.object * drawn.n_raters + drawn.rater
    order = np.argsort(key)
    wanted = objects * drawn.n_raters + raters
    at = np.searchsorted(key[order], wanted)
    found = at < len(key)
    found[found] = key[order][at[found]] == wanted[found]
    own = np.full(len(objects), -1, dtype=np.int64)
    own[found] = order[at[found]]
    return own


def median_without(boxes: Floats, of: Ints, objects: Ints, *, own: Ints) -> Floats:
    """Median of each edge of the boxes of some objects, without one box of each.

    Parameters
    ----------
    boxes : ndarray, shape (N, M)
        Edges, or any other numbers.
    of : ndarray of int, shape (N,)
        Object of each box.
    objects : ndarray of int, shape (M,)
        The objects that are asked for; each has a box besides `own`.
    own : ndarray of int, shape (M,)
        Row of the box that is left out, -1 for none.

    Returns
    -------
    median : ndarray
        As many rows as `objects`.
    """
    order = np.argsort(of, kind="stable")
    low = np.searchsorted(of[order], objects, side="left")
    high = np.searchsorted(of[order], objects, side="right")
    result = np.empty((len(objects), boxes.shape[1]))
    kind = 2 * (high - low) + (own >= 0)
    for n, has_own in zip(*np.divmod(np.unique(kind), 2), strict=True):
        alike, rest = np.flatnonzero(kind == 2 * n + has_own), n - has_own
        for start in range(0, len(alike), BLOCK):
            rows = alike[start : start + BLOCK]
            members = order[low[rows][:, None] + np.arange(n)]
            edges = boxes[members]
            edges[members == own[rows][:, None]] = np.inf  # sorts behind the others
            edges.sort(axis=1)
            result[rows] = (edges[:, (rest - 1) // 2] + edges[:, rest // 2]) / 2
    return result
