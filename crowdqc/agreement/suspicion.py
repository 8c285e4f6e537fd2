"""Boxes that nobody drew by looking: repeated, copied, round everything, or guessed. Arrays only.

Arrays are named by their letters: N boxes, K items, R raters.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from crowdqc.agreement.boxes import BLOCK, DrawnBoxes, Items, expand
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.geometry import Boxes, paired_iou

SAME_PX = 1e-3
"""Edges closer than this are the same pixel."""
WHOLE = 0.9
"""Share of the image that a box round the whole image covers."""
PART = 0.5
"""Share of the image up to which the others' box shows that the object is only a part."""

ALIKE = 0.8
"""IoU above which what the others drew elsewhere is the same as here."""


def repeated(boxes: Boxes, run: Ints, plane: Ints) -> tuple[Bools, Bools]:
    """Boxes that equal the box before them in their run.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px.
    run : ndarray of int, shape (N,)
        Boxes of one rater, case and label.
    plane : ndarray of int, shape (N,)
        Slice of each box.

    Returns
    -------
    asked, same : ndarray of bool, shape (N,)
        Whether a box has one before it, and whether it equals that one.

    Examples
    --------
    >>> boxes = np.array([[0.0, 0, 9, 9], [0, 0, 9, 9], [1, 0, 9, 9]])
    >>> asked, same = repeated(boxes, np.zeros(3, int), np.arange(3))
    >>> same.tolist()
    [False, True, False]
    """
    order = np.lexsort((plane, run))
    follows = np.zeros(len(order), bool)
    follows[1:] = (run[order][1:] == run[order][:-1]) & (plane[order][1:] > plane[order][:-1])
    equal = np.zeros(len(order), bool)
    equal[1:] = (np.abs(np.diff(boxes[order], axis=0)) < SAME_PX).all(axis=1)
    asked, same = np.empty_like(follows), np.empty_like(follows)
    asked[order], same[order] = follows, follows & equal
    return asked, same


def recurring(boxes: Boxes, rater: Ints, case: Ints) -> Bools:
    """Boxes that the same rater drew to the pixel in another case, too.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px.
    rater : ndarray of int, shape (N,)
        Who drew each.
    case : ndarray of int, shape (N,)
        In which case.

    Returns
    -------
    ndarray of bool, shape (N,)
        True for each of them, the first as well.
    """
    pixels = np.round(boxes / SAME_PX).astype(np.int64)
    key = np.column_stack([rater, pixels])
    order = np.lexsort((case, *key.T[::-1]))
    new = np.ones(len(order), bool)
    new[1:] = (key[order][1:] != key[order][:-1]).any(axis=1)
    kind = np.cumsum(new) - 1
    n_kinds = int(kind.max(initial=-1)) + 1
    first_case = np.zeros(n_kinds, np.int64)
    first_case[kind[new]] = case[order][new]
    several = np.bincount(kind, case[order] != first_case[kind], n_kinds) > 0
    found = np.empty(len(order), bool)
    found[order] = several[kind]
    return found


def whole_image(items: Items, boxes: Boxes, image_area: Floats) -> tuple[Bools, Bools]:
    """Items whose box is round the whole image although the others drew a part of it.

    Parameters
    ----------
    items : Items
        Each rater against the others.
    boxes : ndarray, shape (N, 4)
        In px.
    image_area : ndarray, shape (K,)
        Area of the image of each item in px^2.

    Returns
    -------
    drew, whole : ndarray of bool, shape (K,)
        Items with a box, and those of them with a box round everything.
    """
    drew = items.box >= 0
    whole = np.zeros(len(drew), bool)
    whole[drew] = _area(boxes[items.box[drew]]) >= WHOLE * image_area[drew]
    known = np.isfinite(items.others).all(axis=1)
    most = np.zeros(len(drew))
    most[known] = _area(items.others[known])
    return drew, whole & (most <= PART * image_area)


def fit_gain(items: Items, drawn: DrawnBoxes, boxes: Boxes, *, group: Ints) -> tuple[Ints, Floats]:
    """By how much a rater's boxes fit the others' boxes on their own slice better than elsewhere.

    Each box is held against all that the others drew on its place, and against all that they
    drew on other places of the same rater and group, a quarter, half and three quarters of these
    places away; the better of the IoUs counts, 0 where the others drew nothing. A place where
    the others drew nothing, or the same as elsewhere (mean IoU above `ALIKE`), cannot tell a
    guess from a look.

    Parameters
    ----------
    items : Items
        Each rater against the others.
    drawn : DrawnBoxes
        What was drawn where.
    boxes : ndarray, shape (N, 4)
        The boxes, freed of the bias of their raters: boxes that are too large fit everywhere.
    group : ndarray of int
        Group of each place, such as its label.

    Returns
    -------
    rows : ndarray of int, shape (M,)
        Items with a box on a place that can show it.
    gain : ndarray, shape (M,)
        IoU on the own place less the mean IoU elsewhere.
    """
    place = drawn.place[items.object]
    span = int(place.max(initial=0)) + 1
    who = items.rater * (int(group.max(initial=0)) + 1) + group[place]
    key = who * span + place
    rows = np.flatnonzero(items.box >= 0)
    known = np.unique(key[rows])
    real = np.flatnonzero(np.isfinite(items.others).all(axis=1) & np.isin(key, known))
    fit = partial(_best, real_key=key[real], real=items.others[real])
    at, mine = np.searchsorted(known, key[rows]), boxes[items.box[rows]]
    real_at = np.searchsorted(known, key[real])
    count = np.bincount(real_at, minlength=len(known))
    there, times = np.zeros(len(rows)), np.zeros(len(rows))
    for quarters in (1, 2, 3):
        other = _elsewhere(known, known // span, quarters)
        alike = np.bincount(real_at, fit(items.others[real], other[real_at]), len(known))
        tells = ((count > 0) & (alike <= ALIKE * count))[at]
        there += np.where(tells, fit(mine, other[at]), 0.0)
        times += tells
    counted = times > 0
    return rows[counted], fit(mine, key[rows])[counted] - there[counted] / times[counted]


def _elsewhere(known: Ints, group: Ints, quarters: int) -> Ints:
    """For each place (in order) another one, some quarters of the places of its group away."""
    start = np.searchsorted(group, group, side="left")
    count = np.searchsorted(group, group, side="right") - start
    step = np.maximum(quarters * count // 4, 1)
    return known[start + (np.arange(len(known)) - start + step) % count]


def _best(boxes: Boxes, key: Ints, *, real_key: Ints, real: Boxes) -> Floats:
    """Best IoU of each box with the real boxes of its key; 0 where there is none."""
    mine, theirs = expand(key, real_key, np.arange(len(real_key)))
    best = np.zeros(len(boxes))
    for start in range(0, len(mine), BLOCK):
        a, b = mine[start : start + BLOCK], theirs[start : start + BLOCK]
        np.maximum.at(best, a, paired_iou(boxes[a], real[b]))
    return best


def _area(boxes: Boxes) -> Floats:
    area: Floats = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return area
