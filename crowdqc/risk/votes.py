"""How far a mask is like other versions of itself. Arrays only.

A mask that is right looks like what another model draws on the slice, like the slices beside it,
and like the box that it was prompted with. Each of these is a *vote*, a Dice coefficient; beyond
the last slice on which a rater drew the organ there is none, and a vote is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdqc.arrays import Floats, Ints
from crowdqc.geometry import Boxes

Masks = NDArray[np.bool_]

REACH = 3.0
"""Neighbours further away than this many widths have no vote (weight below 0.012)."""


@dataclass(frozen=True)
class DiceVotes:
    """Weighted sums over the votes on each of N masks, and their weights.

    Parameters
    ----------
    total, weight : ndarray, shape (N,)
        Sum of weight times Dice, and sum of weights.
    """

    total: Floats
    weight: Floats

    def __add__(self, other: DiceVotes) -> DiceVotes:
        """All votes of both."""
        return DiceVotes(self.total + other.total, self.weight + other.weight)

    @property
    def mean(self) -> Floats:
        """Mean vote in ``[0, 1]``; nan without any."""
        weight = np.where(self.weight > 0, self.weight, np.nan)
        return self.total / weight


def paired_dice(a: Masks, b: Masks) -> Floats:
    """Dice coefficient of each mask in `a` with the mask in the same place of `b`.

    Parameters
    ----------
    a, b : ndarray of bool, shape (N, R, C)

    Returns
    -------
    dice : ndarray, shape (N,)
        In ``[0, 1]``; nan where both masks are empty.

    References
    ----------
    .. [1] L. R. Dice, "Measures of the Amount of Ecologic Association Between Species",
       Ecology 26(3), 1945. :doi:`10.2307/1932409`

    Examples
    --------
    >>> a = np.array([[[1, 1, 0]], [[0, 0, 0]]], dtype=bool)
    >>> paired_dice(a, np.array([[[0, 1, 0]], [[0, 0, 0]]], dtype=bool)).round(3).tolist()
    [0.667, nan]
    """
    size = (_count(a) + _count(b)).astype(np.float64)
    return 2.0 * _count(a & b) / np.where(size > 0, size, np.nan)


def same_slice(judged: Masks, other: Masks) -> DiceVotes:
    """One vote for each mask: its Dice with another version of the same slice.

    Parameters
    ----------
    judged : Masks
        N masks.
    other : Masks
        The same objects by other means, in the same order.
    """
    return _as_votes(paired_dice(judged, other), np.ones(len(judged)))


def neighbours(judged: Masks, other: Masks, heights: Floats, *, width: float) -> DiceVotes:
    """DiceVotes of the other slices of a run: the nearer, the heavier.

    Parameters
    ----------
    judged, other : ndarray of bool, shape (N, R, C)
        The masks judged, and those of the same or another model, by ascending height.
    heights : ndarray, shape (N,)
        Height of each slice, in the unit of `width`.
    width : float
        A slice at a distance `d` has the weight ``exp(-(d / width)^2 / 2)``.
    """
    votes = DiceVotes(np.zeros(len(judged)), np.zeros(len(judged)))
    for lower, upper in _pairs(heights, REACH * width):
        weight = np.exp(-0.5 * ((heights[upper] - heights[lower]) / width) ** 2)
        for at, beside in ((lower, upper), (upper, lower)):
            found = _as_votes(paired_dice(judged[at], other[beside]), weight)
            np.add.at(votes.total, at, found.total)
            np.add.at(votes.weight, at, found.weight)
    return votes


def beyond(planes: Ints, *, depth: int, spacing: float, width: float) -> Floats:
    """Weight of the slices beyond both ends of a run, where nobody drew anything.

    Parameters
    ----------
    planes : ndarray of int, shape (N,)
        Ascending slices of the run.
    depth : int
        Number of slices of the volume: beyond its ends there is nothing to be seen.
    spacing, width : float
        Distance of slices, and width of the weights, in one unit.

    Returns
    -------
    weight : ndarray, shape (N,)
    """
    reach = int(np.ceil(REACH * width / spacing))
    below = np.arange(max(0, planes[0] - reach), planes[0])
    above = np.arange(planes[-1] + 1, min(depth, planes[-1] + 1 + reach))
    distance = (planes[:, None] - np.concatenate([below, above])[None]) * spacing
    near = np.abs(distance) <= REACH * width
    weight: Floats = (np.exp(-0.5 * (distance / width) ** 2) * near).sum(axis=1)
    return weight


def ellipses(boxes: Boxes, shape: tuple[int, int]) -> Masks:
    """The ellipse that touches each box on its four sides: what fills a box best.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        ``x0, y0, x1, y1`` in px; a row of nan gives an empty mask.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    ndarray of bool, shape (N, R, C)
        Pixels whose centre lies inside.
    """
    rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    x = ((columns[None] - centre[:, :1]) / half[:, :1]) ** 2
    y = ((rows[None] - centre[:, 1:]) / half[:, 1:]) ** 2
    inside: Masks = x[:, None, :] + y[:, :, None] <= 1.0
    return inside


def filled_share(masks: Masks, parts: Masks) -> Floats:
    """Share of each part that the mask in the same place fills.

    Parameters
    ----------
    masks, parts : ndarray of bool, shape (N, R, C)

    Returns
    -------
    ndarray, shape (N,)
        In ``[0, 1]``; nan of an empty part.
    """
    size = _count(parts).astype(np.float64)
    share: Floats = _count(masks & parts) / np.where(size > 0, size, np.nan)
    return share


def mask_boxes(masks: Masks) -> Boxes:
    """The box round each mask: shape (N, 4), nan for an empty one."""
    boxes = np.full((len(masks), 4), np.nan)
    for axis, columns in ((1, (0, 2)), (2, (1, 3))):
        along: Masks = np.any(masks, axis=axis)
        there = along.any(axis=1)
        boxes[there, columns[0]] = along.argmax(axis=1)[there]
        boxes[there, columns[1]] = (along.shape[1] - along[:, ::-1].argmax(axis=1))[there]
    return boxes


def _pairs(heights: Floats, reach: float) -> Iterator[tuple[Ints, Ints]]:
    """Positions of the slices that are at most `reach` apart, by how many lie between them."""
    for step in range(1, len(heights)):
        lower = np.flatnonzero(heights[step:] - heights[:-step] <= reach)
        if not lower.size:
            return
        yield lower, lower + step


def _as_votes(dice: Floats, weight: Floats) -> DiceVotes:
    """Two empty masks say nothing of each other."""
    known = np.isfinite(dice)
    return DiceVotes(np.where(known, dice, 0.0) * weight, weight * known)


def _count(masks: Masks) -> Ints:
    counts: Ints = np.count_nonzero(masks, axis=(1, 2))
    return counts


def sum_votes(votes: Sequence[DiceVotes]) -> DiceVotes:
    """All votes together."""
    return DiceVotes(
        np.sum([vote.total for vote in votes], axis=0),
        np.sum([vote.weight for vote in votes], axis=0),
    )
