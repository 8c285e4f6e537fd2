"""How well boxes of different raters agree: pairs of raters, and each rater against the others.

Arrays are named by their letters: N drawn boxes, O objects, R raters. A rater who was asked for
a slice and did not draw an object that others drew there missed it; a box that the others did
not draw is extra. Only raters who were asked for the same slice and label are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.geometry import Boxes, paired_iou

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
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
        order = np.argsort(self.asked_place, kind="stable")
        place, rater = self.asked_place[order], self.asked_rater[order]
        low = np.searchsorted(place, self.place, side="left")
        count = np.searchsorted(place, self.place, side="right") - low
        objects = np.repeat(np.arange(len(self.place)), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return objects, rater[np.repeat(low, count) + within]


@dataclass(frozen=True)
class Items:
    """One row per question: a rater, and an object that the rater or the others drew.

    `iou` is 0 for a miss and for an extra box; `missed` and `extra` say which it was.
    """

    object: Ints
    rater: Ints
    iou: Floats
    missed: NDArray[np.bool_]
    extra: NDArray[np.bool_]
    shift: Floats
    """Centre of the box minus that of the others' in x and y, in px (n, 2); nan without both."""
    scale: Floats
    """Ratio of the square roots of the areas (n,); nan without both."""


def leave_one_out(drawn: Drawn, *, share: float = 0.5) -> Items:
    """Each rater against the consensus of the others.

    The others' consensus of an object is the median of each edge of their boxes; it counts
    as drawn by them if more than `share` of those asked drew it, or just `share` and the
    rater drew it too (the benefit of the doubt).

    Returns
    -------
    Items
        Of every rater and object with at least one other rater asked, where the rater or
        the others drew it.
    """
    objects, raters = drawn.asked()
    own = _own_box(drawn, objects, raters)
    n_asked = np.bincount(objects, minlength=len(drawn.place))[objects] - 1
    n_drew = np.bincount(drawn.object, minlength=len(drawn.place))[objects] - (own >= 0)
    has_box = own >= 0
    exists = (n_drew > share * n_asked) | (has_box & (n_drew >= share * n_asked) & (n_drew > 0))
    keep = (n_asked > 0) & (has_box | exists)
    objects, raters, own, exists = objects[keep], raters[keep], own[keep], exists[keep]
    both = (own >= 0) & exists
    others = _median_without(drawn, objects[both], own[both])
    mine = drawn.boxes[own[both]]
    iou = np.zeros(len(objects))
    iou[both] = paired_iou(mine, others)
    shift, scale = np.full((len(objects), 2), np.nan), np.full(len(objects), np.nan)
    shift[both] = (mine[:, :2] + mine[:, 2:] - others[:, :2] - others[:, 2:]) / 2
    sides = (mine[:, 2:] - mine[:, :2]) / (others[:, 2:] - others[:, :2])
    scale[both] = np.sqrt(np.prod(sides, axis=1))
    missed, extra = (own < 0) & exists, (own >= 0) & ~exists
    return Items(objects, raters, iou, missed=missed, extra=extra, shift=shift, scale=scale)


def pair_counts(drawn: Drawn, *, iou: float = 0.5) -> dict[str, Floats]:
    """Sums from which the agreement of each pair of raters follows.

    Returns
    -------
    dict of ndarray, shape (R, R)
        ``objects``: objects that at least one of the two drew where both were asked;
        ``iou``: sum of their IoU, 0 where only one drew; ``same``: how many were drawn by
        both with at least this `iou`; ``boxes``: boxes of the row's rater among them.
        Mean IoU is ``iou / objects``, F1 is ``2 same / (boxes + boxes.T)``; 0/0 is nan.
    """
    objects, raters = drawn.asked()
    own = _own_box(drawn, objects, raters)
    a, b = _pairs_within(objects)
    drew_a, drew_b = own[a] >= 0, own[b] >= 0
    both, either = drew_a & drew_b, drew_a | drew_b
    overlap = np.zeros(len(a))
    overlap[both] = paired_iou(drawn.boxes[own[a[both]]], drawn.boxes[own[b[both]]])
    cell = raters[a] * drawn.n_raters + raters[b]
    weights: dict[str, NDArray[Any]] = {
        "objects": either,
        "iou": overlap,
        "same": both & (overlap >= iou),
        "boxes": drew_a,
    }

    def summed(weight: NDArray[Any]) -> Floats:
        sums = np.bincount(cell, weight.astype(np.float64), drawn.n_raters**2)
        return sums.astype(np.float64).reshape(drawn.n_raters, drawn.n_raters)

    return {name: summed(weight) for name, weight in weights.items()}


def _own_box(drawn: Drawn, objects: Ints, raters: Ints) -> Ints:
    """Box of each rater in each object, -1 where there is none."""
    key = drawn.object * drawn.n_raters + drawn.rater
    order = np.argsort(key)
    wanted = objects * drawn.n_raters + raters
    at = np.searchsorted(key[order], wanted)
    found = at < len(key)
    found[found] = key[order][at[found]] == wanted[found]
    own = np.full(len(objects), -1, dtype=np.int64)
    own[found] = order[at[found]]
    return own


def _median_without(drawn: Drawn, objects: Ints, own: Ints) -> Boxes:
    """Median of each edge of the boxes of each object but the one of the question."""
    order = np.argsort(drawn.object, kind="stable")
    low = np.searchsorted(drawn.object[order], objects, side="left")
    high = np.searchsorted(drawn.object[order], objects, side="right")
    result = np.empty((len(objects), 4))
    for n in np.unique(high - low):
        rows = np.flatnonzero(high - low == n)
        members = order[low[rows][:, None] + np.arange(n)]
        edges = drawn.boxes[members]
        edges[members == own[rows][:, None]] = np.inf  # sorts behind the others
        edges = np.sort(edges, axis=1)
        result[rows] = (edges[:, (n - 2) // 2] + edges[:, (n - 1) // 2]) / 2
    return result


def _pairs_within(groups: Ints) -> tuple[Ints, Ints]:
    """All ordered pairs of different rows of one group; rows of a group are adjacent."""
    _, start, count = np.unique(groups, return_index=True, return_counts=True)
    first, second = [], []
    for n in np.unique(count):
        rows = start[count == n][:, None]
        i, j = np.nonzero(~np.eye(n, dtype=bool))
        first.append((rows + i).ravel())
        second.append((rows + j).ravel())
    if not first:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(first), np.concatenate(second)
