"""Boxes in the wrong place: jumps within a run, and the wrong side. Arrays only."""

from __future__ import annotations

import itertools

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints, known_medians
from crowdqc.completeness.ends import run_medians
from crowdqc.completeness.runs import Runs
from crowdqc.geometry import Boxes, paired_iou
from crowdqc.schema import BOX

UNUSUAL = 5.0
"""Small boxes drawn by an unsteady hand have low IoU everywhere: a jump is beyond that."""
REACH = 3
"""Boxes on either side whose median stays right when one of them is wrong."""
TIP = 0.2
"""Share of the run's median area below which boxes at its ends are a tip, whose place is
uncertain."""
SHORT = 0.6
"""Share of the longest part of a run up to which a part that is torn off it is out of place."""
TORN = 0.05
"""Overlap, as a share of the smaller box, below which the boxes of adjacent slices do not belong
to one organ."""
_BLOCK = 2**16
"""About so many boxes are looked at together, to bound memory."""


def run_places(runs: Runs) -> tuple[Floats, Floats]:
    """Median centre and size of each run along x, y and slices, in px and slices: (R, 3)."""
    box = runs.drawn[BOX].to_numpy(dtype=np.float64)
    centre, size = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    middle, extent = (
        np.column_stack([run_medians(values[:, axis], runs.starts) for axis in range(2)])
        for values in (centre, size)
    )
    first, last = runs.table["first"].to_numpy(), runs.table["last"].to_numpy()
    return np.column_stack([middle, (first + last) / 2]), np.column_stack(
        [extent, last - first + 1]
    )


def run_jumps(runs: Runs) -> Bools:
    """Rows of what was drawn that lie elsewhere than those before and after, of organs."""
    boxes = runs.drawn[BOX].to_numpy(dtype=np.float64)
    jumped = jumps(boxes, runs.drawn["slice"].to_numpy(dtype=np.int64), runs.starts)
    jumped &= (runs.drawn["n_boxes"] == 1).to_numpy() & ~runs.of_things[runs.drawn["run"]]
    return jumped


def jumps(boxes: Boxes, slices: Ints, starts: Ints) -> Bools:
    """Boxes that lie far from those before and after them.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        ``x0, y0, x1, y1`` in px, runs one after another and by ascending slice.
    slices : ndarray of int, shape (N,)
    starts : ndarray of int, shape (R + 1,)
        Where each run begins, and N.

    Returns
    -------
    ndarray of bool, shape (N,)
        A box jumps where the box before and the one after overlap well (IoU at least 0.5), the
        one interpolated between them has an IoU below 0.25 with it, and an edge is off by more
        than `UNUSUAL` times what is usual for that edge in the run; or where the same holds of
        the medians of `REACH` boxes before and after; or where it belongs to
        a stretch that hardly touches (`TORN`) the rest of the run on the slices beside
        it, and is much shorter (`SHORT`); of parts that are nearly as long, the two boxes beside
        the tear. Tips (`TIP`) at the ends of a run never jump.

    Examples
    --------
    >>> boxes = np.array([[0.0, 0, 9, 9], [50, 0, 59, 9], [1, 0, 10, 9]])
    >>> jumps(boxes, np.array([4, 5, 6]), np.array([0, 3])).tolist()
    [False, True, False]
    """
    jumped = np.zeros(len(boxes), dtype=bool)
    cuts = np.flatnonzero(np.diff(starts[:-1] // _BLOCK)) + 1
    for low, high in itertools.pairwise([0, *cuts.tolist(), len(starts) - 1]):
        rows = slice(starts[low], starts[high])
        jumped[rows] = _jumps(boxes[rows], slices[rows], starts[low : high + 1] - starts[low])
    return jumped


def _jumps(boxes: Boxes, slices: Ints, starts: Ints) -> Bools:
    """As `jumps`, of all runs together."""
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    run = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    solid = area >= TIP * run_medians(area, starts)[run]
    jumped = _outliers(boxes, slices, starts) | _stretches(boxes, slices, starts)
    return jumped & _within(solid, run, n=len(starts) - 1)


def _within(solid: Bools, run: Ints, *, n: int) -> Bools:
    """Boxes from the first solid one of their run to the last: a sliver between them is no tip."""
    at = np.arange(len(solid))
    first, last = np.full(n, len(solid)), np.full(n, -1)
    np.minimum.at(first, run[solid], at[solid])
    np.maximum.at(last, run[solid], at[solid])
    within: Bools = (at >= first[run]) & (at <= last[run])
    return within


def _outliers(boxes: Boxes, slices: Ints, starts: Ints) -> Bools:
    """Single boxes between two that agree, or between the medians of `REACH` on either side.

    A wrong box beside another wrong one is found by the medians, which one of three does not move.
    """
    run = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    jumped, places = np.zeros(len(boxes), dtype=bool), np.column_stack([boxes, slices])
    for reach in (1, REACH):
        before, after = (_beside(places, run, sign * reach) for sign in (-1, 1))
        at = np.flatnonzero(np.isfinite(before[:, 0] + after[:, 0]))
        share = (slices[at] - before[at, 4]) / (after[at, 4] - before[at, 4])
        low, high = before[at, :4], after[at, :4]
        between = low + share[:, None] * (high - low)
        off = np.full((len(boxes), 4), np.nan)
        off[at] = np.abs(between - boxes[at])
        usual = np.column_stack([run_medians(edge, starts) for edge in off.T])[run[at]]
        unusual = (off[at] > UNUSUAL * usual).any(axis=1)
        alike, kept = paired_iou(low, high) >= 0.5, paired_iou(between, boxes[at]) >= 0.25
        jumped[at] |= unusual & alike & ~kept
    return jumped


def _beside(places: Floats, run: Ints, reach: int) -> Floats:
    """Medians (N, 5) of up to so many boxes and slices of the run before (negative) or after."""
    n = len(places)
    near = np.full((abs(reach), n, 5), np.nan)
    for row, offset in enumerate(range(1, abs(reach) + 1)):
        at = np.arange(n)
        other = at + int(np.sign(reach)) * offset
        there = (other >= 0) & (other < n)
        there[there] = run[other[there]] == run[at[there]]
        near[row, there] = places[other[there]]
    beside = np.full((n, 5), np.nan)
    some = np.isfinite(near[0, :, 0])
    beside[some] = known_medians(near[:, some])
    return beside


def _stretches(boxes: Boxes, slices: Ints, starts: Ints) -> Bools:
    """Boxes of short stretches that are torn off the rest of their run.

    Where the parts are nearly as long as one another, only the boxes beside the tear jump: nothing
    says which part is right.
    """
    jumped = np.zeros(len(boxes), dtype=bool)
    run = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    beside = np.flatnonzero((np.diff(run) == 0) & (np.diff(slices) <= 2))
    torn = beside[_apart(boxes[beside], boxes[beside + 1])]
    for one in np.unique(run[torn]):
        first, stop = int(starts[one]), int(starts[one + 1])
        cuts = torn[run[torn] == one] + 1
        part = _joined(boxes, [first, *cuts.tolist(), stop])
        sizes = np.bincount(part)
        jumped[first:stop] = sizes[part] <= SHORT * sizes.max()
        for cut in cuts[~(jumped[cuts - 1] | jumped[cuts])].tolist():
            jumped[cut - 1 : cut + 1] = True
    return jumped


def _joined(boxes: Boxes, edges: list[int]) -> Ints:
    """Number of the part to which each box belongs: stretches that meet again are one part.

    A stretch goes on from the one before the last if their boxes touch: what lies between them
    is the one that is out of place.
    """
    parts: list[int] = []
    for k in range(len(edges) - 1):
        again = k >= 2 and not _apart(boxes[[edges[k - 1] - 1]], boxes[[edges[k]]])[0]
        parts.append(parts[k - 2] if again else k)
    return np.repeat(np.array(parts, dtype=np.int64), np.diff(edges))


def _apart(a: Boxes, b: Boxes) -> Bools:
    """Whether boxes of adjacent slices belong to different things, row by row.

    They share less than `TORN` of the smaller one (a tip lies within what follows it), and their
    centres are further apart than the larger one is wide or high.
    """
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    smaller = np.minimum(*(np.prod(one[:, 2:] - one[:, :2], axis=1) for one in (a, b)))
    size = np.maximum(a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2])
    step = np.abs(a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    apart: Bools = common < TORN * smaller
    return apart & (step > size).any(axis=1)


def wrong_side(x: Floats, sides: Floats, *, middle: float, width: float) -> Bools:
    """Labels that lie on the wrong side of the patient.

    Parameters
    ----------
    x : ndarray, shape (L,)
        Centre of each label, growing to the patient's left; nan where it is not there.
    sides : ndarray, shape (L,)
        +1 for a label of the left side, -1 for the right, 0 where that is not certain.
    middle, width : float
        Middle and width of the picture, in the unit of `x`.

    Returns
    -------
    ndarray of bool, shape (L,)
        True where a label lies on the wrong side of the midline by more than a twentieth of the
        width. The midline is halfway between the left and the right labels, where both are
        there: that stays where it is when they change places; else the middle of the picture.
    """
    there = np.isfinite(x)
    left, right = there & (sides > 0), there & (sides < 0)
    if left.any() and right.any():
        middle = (x[left].mean() + x[right].mean()) / 2
    wrong: Bools = there & (sides * (x - middle) < -width / 20)
    return wrong
