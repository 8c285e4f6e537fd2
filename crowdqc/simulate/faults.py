"""What a rater with known faults makes of the true boxes of one case. Arrays only.

Each fault draws from a random stream of its own, so that turning one on leaves what the
others do as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdqc.config import FaultyRater
from crowdqc.geometry import Boxes, pairwise_iou

RUN = 3
"""Slices that are skipped in one go."""
TRIES = 20
"""Places that are tried for a box where there is nothing."""


@dataclass(frozen=True)
class Drawing:
    """Boxes on the slices of one case.

    Parameters
    ----------
    planes : ndarray of int, shape (N,)
        Slice of each box.
    labels : ndarray of int, shape (N,)
        Position of each box's label in the list of labels.
    boxes : ndarray, shape (N, 4)
        ``x0, y0, x1, y1`` in px.
    read : ndarray of bool, shape (P,)
        Which slices were read.
    """

    planes: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: Boxes
    read: NDArray[np.bool_]


def draw(
    true: Drawing,
    faults: FaultyRater,
    *,
    names: tuple[str, ...],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Drawing:
    """What a rater with these faults draws.

    Parameters
    ----------
    true : Drawing
        The true boxes.
    faults : FaultyRater
        What the rater does wrong.
    names : tuple of str, length L
        Names of the labels that ``true.labels`` counts.
    size : (int, int)
        Rows and columns of a slice, in px.
    rng : Generator
        Source of everything random.

    Returns
    -------
    Drawing
        Boxes inside the image, at least 1 px wide and high, ordered by slice.
    """
    skip, miss, noise, extra = rng.spawn(4)
    read = true.read & ~skipped_runs(len(true.read), faults.skip, rng=skip)
    kept = read[true.planes] & (miss.random(len(true.planes)) >= faults.miss)
    kept &= ~np.isin(true.labels, [names.index(name) for name in faults.omit])
    kept &= ~_given_up(true, faults.stop)
    moved = _move(_held(true, faults.hold), faults, rng=noise)
    invented = _invent(true, read, rate=faults.extra, size=size, rng=extra)
    planes = np.concatenate([true.planes[kept], invented.planes])
    labels = np.concatenate([true.labels[kept], invented.labels])
    boxes = _inside(np.concatenate([moved[kept], invented.boxes]), size)
    if faults.swap:
        labels = _swapped(labels, names.index(faults.swap[0]), names.index(faults.swap[1]))
    order = np.lexsort((labels, planes))
    return Drawing(planes[order], labels[order], boxes[order], read)


def skipped_runs(n: int, share: float, *, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which slices are skipped: the nearest number to a share, in runs of `RUN`.

    Parameters
    ----------
    n : int
        Number of slices.
    share : float
        From 0 to 1.
    rng : Generator
        Source of the draws.

    Returns
    -------
    ndarray of bool, shape (n,)
        Two runs may touch.

    Examples
    --------
    >>> int(skipped_runs(24, 0.25, rng=np.random.default_rng(0)).sum())
    6
    """
    total = round(share * n)
    lengths = np.full(-(-total // RUN), RUN)
    if total:
        lengths[-1] = total - RUN * (len(lengths) - 1)
    # Runs are put behind kept slices, of which the same one may be chosen twice.
    before = np.sort(rng.integers(0, n - total + 1, size=len(lengths)))
    starts = before + np.concatenate([[0], np.cumsum(lengths)])[: len(lengths)]
    skipped = np.zeros(n, dtype=bool)
    for start, length in zip(starts, lengths, strict=True):
        skipped[start : start + length] = True
    return skipped


def _given_up(true: Drawing, share: float) -> NDArray[np.bool_]:
    """Boxes on the last slices of each label, where the rater has lost patience."""
    given_up = np.zeros(len(true.planes), dtype=bool)
    for label in np.unique(true.labels):
        mine = true.labels == label
        planes = np.unique(true.planes[mine])
        lost = planes[len(planes) - round(share * len(planes)) :]
        given_up |= mine & np.isin(true.planes, lost)
    return given_up


def _held(true: Drawing, hold: int) -> Boxes:
    """Each box replaced by the one of its label that was drawn first of `hold` slices."""
    boxes = true.boxes.copy()
    if hold == 1:
        return boxes
    for label in np.unique(true.labels):
        mine = np.flatnonzero(true.labels == label)
        first: dict[int, int] = {}
        for row in mine:
            period = int(true.planes[row] - true.planes[mine[0]]) // hold
            boxes[row] = true.boxes[first.setdefault(period, int(row))]
    return boxes


def _move(boxes: Boxes, faults: FaultyRater, *, rng: np.random.Generator) -> Boxes:
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    centre = centre + np.asarray(faults.shift)
    half = half * faults.scale
    return np.hstack([centre - half, centre + half]) + faults.noise * rng.standard_normal(
        boxes.shape
    )


def _invent(
    true: Drawing,
    read: NDArray[np.bool_],
    *,
    rate: float,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Drawing:
    """Boxes with the size and the label of a true one, where nothing is."""
    planes = np.repeat(np.arange(len(read)), rng.poisson(rate, size=len(read)) * read)
    if not len(true.boxes):
        planes = planes[:0]
    model = rng.integers(0, max(1, len(true.boxes)), size=len(planes))
    free = [
        _free_place(true.boxes[row], true.boxes[true.planes == plane], size=size, rng=rng)
        for row, plane in zip(model, planes, strict=True)
    ]
    found = np.array([box is not None for box in free], dtype=bool)
    boxes = np.array([box for box in free if box is not None]).reshape(-1, 4)
    return Drawing(planes[found], true.labels[model[found]], boxes, read)


def _free_place(
    box: Boxes, taken: Boxes, *, size: tuple[int, int], rng: np.random.Generator
) -> Boxes | None:
    """`box` moved to a place of the image that touches nothing in `taken`, if one is found."""
    extent = box[2:] - box[:2]
    room = np.maximum(np.array(size[::-1]) - extent, 0)
    corners = rng.random((TRIES, 2)) * room
    places = np.hstack([corners, corners + extent])
    free = (pairwise_iou(places, taken) == 0).all(axis=1)
    return places[free.argmax()] if free.any() else None


def _inside(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """`boxes` cut at the edges of the image, as a drawing tool does."""
    limit = np.array(size[::-1], dtype=np.float64)
    ends = boxes.reshape(-1, 2, 2)
    low = np.clip(ends.min(axis=1), 0, limit - 1)
    high = np.clip(ends.max(axis=1), low + 1, limit)
    return np.hstack([low, high])


def _swapped(labels: NDArray[np.int64], a: int, b: int) -> NDArray[np.int64]:
    return np.where(labels == a, b, np.where(labels == b, a, labels))
