"""Matching as a kernel: boxes, images and raters as arrays in, a number per box out.

What is solved: the boxes of one image and label are divided into objects so that the sum of
``IoU - iou`` over all pairs of boxes in one object is greatest, and no object holds two boxes
of one rater. Pairs that overlap by more than the threshold pull together and the others push
apart, so one box can neither chain two objects together nor draw a vote twice. Boxes that no
chain of pairs above the threshold connects cannot share an object; each connected group of up
to `EXACT` boxes is solved exactly, by trying every division of it. Larger groups (crowds of
things, dozens of raters) start from average linkage, and then each rater's boxes in turn are
reassigned in the best possible way (Hungarian method) until no rater's reassignment gains:
exact for two raters, a local optimum for more.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crowdqc.arrays import Bools, Floats, Ints, numbered
from crowdqc.geometry import Boxes, as_boxes, paired_iou, pairwise_iou

EXACT = 9
"""Largest group of connected boxes that is solved by trying every division (21,147 of 9)."""

_SLACK = 1e-9
"""An IoU of the threshold itself links; scores closer than this are ties."""
_STRIP_PX = 1e-3
"""Rounding that is granted to the sweep along x, which only sorts out what is far apart."""
_PAIRS = 2**16
"""Pairs in one block of the sweep: their numbers stay in the cache of a processor."""
_CELLS = 2**22
"""Numbers in one block of work, to bound memory (32 MiB)."""


def match_boxes(
    boxes: ArrayLike,
    *,
    image: ArrayLike,
    rater: ArrayLike,
    label: ArrayLike | None = None,
    iou: float = 0.3,
    single: ArrayLike | None = None,
) -> Ints:
    """Number of the object that each box shows; see the module for what is solved.

    Parameters
    ----------
    boxes : array_like, shape (N, 4)
        Boxes ``x0, y0, x1, y1`` in px.
    image, rater : array_like, shape (N,)
        Where a box was drawn, and by whom.
    label : array_like, shape (N,), optional
        Boxes of different labels are never the same object. None: all of one label.
    iou : float
        Threshold, between 0 and 1.
    single : array_like of bool, shape (N,), optional
        Whether the image holds one object of the box's label at most; the same for all
        boxes of one image and label. None: nowhere.

    Returns
    -------
    object : ndarray of int64, shape (N,)
        From 0 without gaps, in the order of image, label and position (of the first box by
        ``x0, y0, x1, y1``); it does not depend on the order of the rows.

    Raises
    ------
    ValueError
        If the arrays do not have one length, or as `crowdqc.geometry.as_boxes`.

    References
    ----------
    .. [1] N. Bansal, A. Blum, S. Chawla, "Correlation clustering", Machine Learning 56, 2004.
       :doi:`10.1023/B:MACH.0000033116.57574.95`

    Examples
    --------
    Two raters drew two things; one of them drew a third.

    >>> boxes = [[0, 0, 9, 9], [20, 0, 29, 9], [1, 0, 9, 9], [20, 1, 29, 9], [0, 50, 9, 59]]
    >>> match_boxes(boxes, image=[0] * 5, rater=["a", "a", "b", "b", "b"])
    array([0, 2, 0, 2, 1])
    """
    array = as_boxes("boxes", boxes)
    if not 0 < iou < 1:
        raise ValueError(f"'iou' must be between 0 and 1; got {iou}.")
    codes = [_codes(name, of, len(array)) for name, of in (("image", image), ("rater", rater))]
    if label is not None:
        code = _codes("label", label, len(array))
        codes[0] = codes[0] * (code.max(initial=0) + 1) + code
    place, person = codes
    once = np.zeros(len(array), bool) if single is None else np.asarray(single, bool)
    if once.shape != place.shape:
        raise ValueError(f"'single' must have shape {place.shape}; got {once.shape}.")
    order = np.lexsort((person, *array.T[::-1], place))
    array, place, person, once = array[order], place[order], person[order], once[order]
    several = ~once | _drawn_twice(place, person)
    found = len(array) ** 2 + place  # apart from the numbers below
    found[several] = _match_sorted(array[several], place[several], person[several], iou=iou)
    for rows in _places_of(place, several & once):
        found[rows] = _join_single(found[rows], array[rows], person[rows])
    result = np.empty(len(array), dtype=np.int64)
    result[order] = _by_appearance(found)
    return result


def _codes(name: str, values: ArrayLike, n: int) -> Ints:
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"'{name}' must have one value per box, shape ({n},); got {array.shape}.")
    if array.dtype.kind == "i":
        return numbered(array)[1]
    return np.unique(array, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _by_appearance(ids: Ints) -> Ints:
    """`ids` numbered from 0 in the order in which they first appear."""
    known, number = numbered(ids)
    first = np.full(len(known), len(ids))
    np.minimum.at(first, number, np.arange(len(ids)))
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number]


def _match_sorted(boxes: Boxes, place: Ints, person: Ints, *, iou: float) -> Ints:
    """Objects of boxes that are sorted by place and ``x0``; solves each connected group."""
    n = len(boxes)
    first, second = linked_pairs(boxes, place, person, iou=iou)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(n, n))
    group = _by_appearance(connected_components(graph, directed=False)[1].astype(np.int64))
    size = np.bincount(group)
    whole = _cliques(group, first)
    found = group * (size.max(initial=0) + 1)  # room for the parts of each group
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(size)[:-1])
    for n_boxes in np.unique(size[~whole]):
        groups = np.flatnonzero((size == n_boxes) & ~whole)
        rows = np.array([members[index] for index in groups])
        if n_boxes <= EXACT:
            found[rows] += _best_divisions(boxes[rows], person[rows], iou)
        else:
            for row in rows:
                gains = _gains(boxes[row][None], person[row][None], iou)[0]
                found[row] += _search(gains, person[row])
    return found


def linked_pairs(boxes: Boxes, place: Ints, person: Ints, *, iou: float) -> tuple[Ints, Ints]:
    """All pairs of one place and two people with at least `iou`, by a sweep along x.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        Sorted by place and ``x0``.
    place, person : ndarray of int, shape (N,)
        Image and label, and rater of each box.
    iou : float
        Least IoU of a pair.

    Returns
    -------
    first, second : ndarray of int, shape (P,)
        Positions of the two boxes of each pair, the first of them first.
    """
    x0, y0, x1, y1 = np.ascontiguousarray(boxes.T)
    # No IoU is above the overlap along one axis: where another box may begin at the latest.
    share = iou - 2 * _SLACK
    right, low = x1 - share * (x1 - x0), y1 - share * (y1 - y0)
    least = x0.min(initial=0.0)
    width = x1.max(initial=0.0) - least + 1  # of a strip in which each place lies alone
    reach = np.searchsorted(place * width + x0 - least, place * width + right - least + _STRIP_PX)
    count = np.maximum(reach - np.arange(len(boxes)) - 1, 0)
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for rows in _blocks(count):
        a = np.repeat(rows, count[rows])
        b = a + 1 + _within(count[rows])
        may = (y0[b] <= low[a]) & (y0[a] <= low[b]) & (person[a] != person[b])
        a, b = a[may], b[may]
        near = paired_iou(boxes[a], boxes[b]) >= iou - _SLACK
        first.append(a[near])
        second.append(b[near])
    return np.concatenate(first), np.concatenate(second)


def _blocks(count: Ints) -> Iterator[Ints]:
    """Rows in blocks that have about `_PAIRS` of `count` together."""
    block = np.cumsum(count) // _PAIRS
    yield from np.split(np.arange(len(count)), np.flatnonzero(np.diff(block)) + 1)


def _within(count: Ints) -> Ints:
    """0, 1, ... below each of `count`, one after the other."""
    within: Ints = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return within


def _cliques(group: Ints, first: Ints) -> Bools:
    """Whether a group is an object as it is: all its pairs are linked, so nothing is gained."""
    size = np.bincount(group)
    links = np.bincount(group[first], minlength=len(size))
    whole: Bools = links == size * (size - 1) // 2
    return whole


def _gains(boxes: Floats, person: Ints, iou: float) -> Floats:
    """What each pair gains by being one object, (G, n, n), for `boxes` (G, n, 4).

    Two boxes of one person lose more than all other pairs together can gain.
    """
    groups, n = person.shape
    left, right = np.triu_indices(n, 1)
    pairs = paired_iou(boxes[:, left].reshape(-1, 4), boxes[:, right].reshape(-1, 4))
    gains = np.zeros((groups, n, n))
    gains[:, left, right] = pairs.reshape(groups, -1) - iou + _SLACK
    gains += gains.transpose(0, 2, 1)
    same = person[:, :, None] == person[:, None, :]
    gains[same] = -float(n * n)
    return gains


@functools.cache
def _divisions(n: int) -> NDArray[np.int8]:
    """Every division of `n` things into parts, (P, n): part 0 holds the first thing, and so on."""
    rows = np.zeros((1, 1), dtype=np.int8)
    for _ in range(n - 1):
        parts = rows.max(axis=1) + 1
        wide = np.repeat(rows, parts + 1, axis=0)
        start = np.repeat(np.cumsum(parts + 1) - parts - 1, parts + 1)
        rows = np.column_stack([wide, np.arange(len(wide)) - start]).astype(np.int8)
    return rows


def _best_divisions(boxes: Floats, person: Ints, iou: float) -> Ints:
    """The best division of each of G groups of n boxes, (G, n)."""
    n = person.shape[1]
    divisions = _divisions(n)
    left, right = np.triu_indices(n, 1)
    together = (divisions[:, left] == divisions[:, right]).T.astype(np.float64)
    best = []
    step = max(1, _CELLS // len(divisions))
    for start in range(0, len(boxes), step):
        block = slice(start, start + step)
        gains = _gains(boxes[block], person[block], iou)[:, left, right]
        best.append(np.argmax(np.round(gains @ together, 9), axis=1))
    return divisions[np.concatenate(best)].astype(np.int64)


def _search(gains: Floats, person: Ints) -> Ints:
    """A good division of n boxes, (n,): merge parts, reassign each person, until neither gains."""
    part = np.arange(len(gains))
    value = -np.inf
    while True:
        part = _reassign(gains, person, _merge(gains, part))
        now = gains[part[:, None] == part].sum() - gains.trace()
        if now <= value + _SLACK:
            return part
        value = now


def _merge(gains: Floats, part: Ints) -> Ints:
    """Average linkage: join the two parts of greatest mean gain while that is positive."""
    part = _by_appearance(part)
    member = np.eye(part.max() + 1)[part]
    between = member.T @ gains @ member
    size = member.sum(axis=0)
    alive = np.ones(len(size), bool)
    while True:
        mean = np.where(alive & alive[:, None], between / np.outer(size, size), -1.0)
        np.fill_diagonal(mean, -1.0)
        keep, drop = np.unravel_index(np.argmax(np.round(mean, 12)), mean.shape)
        if mean[keep, drop] <= 0:
            return part
        part[part == drop] = keep
        between[keep] += between[drop]
        between[:, keep] += between[:, drop]
        size[keep] += size[drop]
        alive[drop] = False


def _reassign(gains: Floats, person: Ints, part: Ints) -> Ints:
    """Give each person's boxes in turn to the parts where they gain most, until none gains."""
    part = _by_appearance(part)
    improved = True
    while improved:
        improved = False
        for who in np.unique(person):
            rows, others = np.flatnonzero(person == who), np.flatnonzero(person != who)
            member = np.eye(len(gains))[part]  # a part for every box, most of them empty
            worth = gains[np.ix_(rows, others)] @ member[others]
            mine = np.arange(len(rows))
            best = linear_sum_assignment(worth, maximize=True)[1]
            if worth[mine, best].sum() > worth[mine, part[rows]].sum() + _SLACK:
                part[rows] = best
                improved = True
    return part


def _drawn_twice(place: Ints, person: Ints) -> Bools:
    """Whether a box's place holds two boxes of one person."""
    pairs = place * (person.max(initial=0) + 1) + person
    code = numbered(pairs)[1]
    twice = np.zeros(place.max(initial=0) + 1, bool)
    twice[place[np.bincount(code)[code] > 1]] = True
    found: Bools = twice[place]
    return found


def _places_of(place: Ints, rows: Bools) -> list[Ints]:
    """The given rows of the sorted `place`, apart for each place."""
    chosen = np.flatnonzero(rows)
    cuts = np.flatnonzero(np.diff(place[chosen])) + 1
    return np.split(chosen, cuts) if len(chosen) else []


def _join_single(found: Ints, boxes: Boxes, person: Ints) -> Ints:
    """Make one object of what was found of an organ: its largest, and all who are not in it.

    Of a person who is not in it, the box that overlaps it best joins; further boxes stay.
    """
    names, size = np.unique(found, return_counts=True)
    main = found == names[size.argmax()]
    overlap = pairwise_iou(boxes, boxes[main]).mean(axis=1)
    joined = found.copy()
    for who in np.setdiff1d(person, person[main]):
        rows = np.flatnonzero(person == who)
        joined[rows[overlap[rows].argmax()]] = names[size.argmax()]
    return joined
