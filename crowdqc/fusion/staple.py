"""STAPLE: the hidden truth and each rater's performance, estimated together, on boxes or masks.

All that the algorithm needs is how many pixels carry each pattern of votes, and boxes cut a
slice into few rectangles. So boxes are never painted: the slice is cut at their edges, each
rectangle counts with its area, and a pixel that an edge crosses counts with the share on
either side. For boxes with whole coordinates this is STAPLE on the painted masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd import Evidence, median_boxes
from crowdqc.fusion.cells import cut, cut_planes, groups_of_equal_size, paint, patterns
from crowdqc.fusion.em import UNREAD, Solution, Votes, solve
from crowdqc.fusion.methods import Fused, Method, round_cells, share_of_asked, standard_error
from crowdqc.geometry import as_boxes

POOLED_PRIOR = np.array([[4.0, 1.0], [1.0, 4.0]])
"""Five objects already seen of every rater, who was right on four fifths of their area."""
_BLOCK = 2**12
"""Objects that are cut into cells at a time, to bound memory."""


@dataclass(frozen=True)
class Prior:
    """What is known of raters beforehand, as pixels already seen: a beta prior.

    Parameters
    ----------
    hits, misses : float
        Pixels of the truth that the rater marked, and did not mark; more than 0.
    rejects, extras : float
        Pixels outside the truth that the rater left alone, and marked; more than 0.
    """

    hits: float
    misses: float
    rejects: float
    extras: float

    @property
    def table(self) -> Floats:
        """As pseudo-counts of a confusion matrix, shape (2, 2)."""
        return np.array([[self.rejects, self.extras], [self.misses, self.hits]])


@dataclass(frozen=True)
class Staple:
    """What STAPLE found.

    Parameters
    ----------
    sensitivity, specificity : ndarray, shape (R,)
        Share of the truth that each rater marked, and of the rest that it left alone; in
        [0, 1], nan where there is no truth (or no rest) in what the rater read.
    prevalence : float
        Share of the pixels that STAPLE took to be foreground beforehand: the mean vote.
    n_iter : int
        Iterations of EM.
    converged : bool
        Whether EM ended before it was stopped.
    probability : callable
        ``probability(plane) -> (rows, columns)``: how likely each pixel is foreground.
    """

    sensitivity: Floats
    specificity: Floats
    prevalence: float
    n_iter: int
    converged: bool
    probability: Callable[[int], Floats]


def staple_masks(
    masks: ArrayLike,
    *,
    region: ArrayLike | None = None,
    prior: Prior | None = None,
    max_iter: int = 1000,
) -> Staple:
    """STAPLE on binary masks.

    Parameters
    ----------
    masks : array_like of bool, shape (R, ...)
        One mask per rater: (R, rows, columns) or (R, planes, rows, columns).
    region : array_like of bool, shape (...), optional
        Pixels that count; the rest has probability 0. None: all. The more background is
        counted, the nearer every specificity is to 1 and the less it tells.
    prior : Prior, optional
        What is known of raters. None: nothing, as in the paper.
    max_iter : int
        Iterations at most.

    Returns
    -------
    Staple
        For ``(R, rows, columns)``, ``probability(0)`` is the only plane.

    Raises
    ------
    ValueError
        If `masks` has no rater, or `region` is of another shape.

    Notes
    -----
    Start and prior are those of SimpleITK: the truth starts as the mean of the votes, and the
    prevalence is its mean. Where nobody marked anything (SimpleITK: nan) the probability is 0,
    every sensitivity nan and every specificity 1; where all raters marked all of it, the
    probability is 1. A single rater is believed. Which of two raters who contradict one another
    is right the votes alone cannot say: without a prior one of them, both or neither may be
    believed, as in SimpleITK; a prior that takes raters for good believes what both marked.

    References
    ----------
    .. [1] S. K. Warfield, K. H. Zou, W. M. Wells, "Simultaneous truth and performance level
       estimation (STAPLE)", IEEE Trans. Med. Imaging 23(7), 2004, eq. 14-18.
       :doi:`10.1109/TMI.2004.828354`

    Examples
    --------
    >>> masks = np.zeros((3, 4, 4), dtype=bool)
    >>> masks[:, 1:3, 1:3] = True
    >>> staple_masks(masks).probability(0)[1].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    array = np.asarray(masks, dtype=bool)
    if array.ndim < 3 or len(array) == 0:
        raise ValueError(f"'masks' must have shape (R, ..., rows, columns); got {array.shape}.")
    counted = np.ones(array.shape[1:], bool) if region is None else np.asarray(region, bool)
    if counted.shape != array.shape[1:]:
        raise ValueError(f"'region' must have shape {array.shape[1:]}; got {counted.shape}.")
    inside = array[:, counted]
    first, pattern = patterns(row.view(np.int8) for row in inside)
    count = np.bincount(pattern, minlength=len(first)).astype(np.float64)
    found = _solve(inside[:, first].T.astype(np.int8), count, prior=prior, max_iter=max_iter)
    whole = np.zeros(counted.shape)
    whole[counted] = found.posterior[pattern, 1]
    planes = whole.reshape(-1, *whole.shape[-2:])
    return _staple(found, lambda plane: planes[plane])


def staple_labels(
    maps: ArrayLike,
    *,
    labels: int,
    prior: ArrayLike | None = None,
    max_iter: int = 1000,
) -> tuple[Floats, Floats]:
    """STAPLE on maps of several labels: a confusion matrix for each rater.

    Parameters
    ----------
    maps : array_like of int, shape (R, ...)
        One map per rater; -1 where a rater did not read the pixel.
    labels : int
        Number of labels, 0 (background) included.
    prior : array_like, shape (labels, labels), optional
        Pixels of each truth (row) that every rater was already seen to call each label
        (column). None: nothing.
    max_iter : int
        Iterations at most.

    Returns
    -------
    probability : ndarray, shape (labels, ...)
        Probability of each label.
    confusion : ndarray, shape (R, labels, labels)
        ``confusion[r, t, d]``: how often rater r says d where the truth is t; nan where t is
        nowhere.

    Raises
    ------
    ValueError
        If a label is not below `labels`.

    Examples
    --------
    >>> probability, _ = staple_labels([[0, 1, 2], [0, 1, 2], [0, 2, 2]], labels=3)
    >>> probability.argmax(axis=0)
    array([0, 1, 2])
    """
    array = np.asarray(maps)
    if array.size and not UNREAD <= array.min() <= array.max() < labels:
        raise ValueError(f"'maps' must hold labels below {labels}; got {array.max()}.")
    flat = array.reshape(len(array), -1).astype(np.int64)
    first, pattern = patterns(row - UNREAD for row in flat)
    count = np.bincount(pattern, minlength=len(first)).astype(np.float64)
    votes = Votes(flat[:, first].T, np.arange(len(flat))[None], count, len(flat), labels)
    seen = None if prior is None else np.asarray(prior, dtype=np.float64)
    found = solve(votes, prior=seen, max_iter=max_iter)
    probability = found.posterior[pattern].T.reshape(labels, *array.shape[1:])
    return probability, found.confusion


def staple_boxes(
    boxes: ArrayLike,
    *,
    rater: ArrayLike,
    plane: ArrayLike,
    shape: tuple[int, int, int],
    read: ArrayLike | None = None,
    margin: float | None = None,
    prior: Prior | None = None,
) -> Staple:
    """STAPLE on boxes, without painting them: equal to `staple_masks` of the painted boxes.

    Parameters
    ----------
    boxes : array_like, shape (N, 4)
        Boxes ``x0, y0, x1, y1`` in px. What lies outside the slice is cut off.
    rater : array_like of int, shape (N,)
        Who drew each box, from 0. The boxes of a rater in a plane are one mask.
    plane : array_like of int, shape (N,)
        Slice of each box.
    shape : tuple of int
        Number of slices, rows and columns.
    read : array_like of bool, shape (R, planes), optional
        Which rater read which slice. None: raters 0 to the greatest in `rater` read all.
    margin : float, optional
        Count only the pixels up to so many px round the boxes of each slice: the region of
        interest, so that background does not decide specificity. None: the whole slice.
    prior : Prior, optional
        What is known of raters.

    Returns
    -------
    Staple
        Performance is pooled over all slices that a rater read.

    Raises
    ------
    ValueError
        If a rater or plane is outside its range, or as `crowdqc.geometry.as_boxes`.

    References
    ----------
    .. [1] S. K. Warfield, K. H. Zou, W. M. Wells, "Simultaneous truth and performance level
       estimation (STAPLE)", IEEE Trans. Med. Imaging 23(7), 2004. :doi:`10.1109/TMI.2004.828354`

    Examples
    --------
    >>> boxes = [[10, 10, 30, 30], [10, 10, 30, 30], [10, 10, 30, 34]]
    >>> found = staple_boxes(boxes, rater=[0, 1, 2], plane=[0, 0, 0], shape=(1, 64, 64))
    >>> found.sensitivity.round(3).tolist(), found.specificity.round(3).tolist()
    ([1.0, 1.0, 1.0], [1.0, 1.0, 0.978])
    """
    array = as_boxes("boxes", boxes)
    who, where = _index("rater", rater, len(array)), _index("plane", plane, len(array))
    seen = _read(read, who, shape[0])
    if len(array) and (who.max() >= len(seen) or where.max() >= shape[0]):
        raise ValueError(
            f"'rater' and 'plane' must be below {len(seen)} and {shape[0]}; "
            f"got {who.max()} and {where.max()}."
        )
    cells = cut_planes(array, rater=who, plane=where, shape=shape, raters=len(seen), margin=margin)
    marked = cells.votes.astype(np.int8)
    marked[~seen[:, cells.plane].T] = UNREAD
    first, pattern = patterns(column - UNREAD for column in marked.T)
    count = np.bincount(pattern, cells.area, len(first)).astype(np.float64)
    found = _solve(marked[first], count, prior=prior, max_iter=1000)
    value = found.posterior[pattern, 1]
    return _staple(found, lambda plane: paint(cells, value, plane, shape=shape[1:]))


def _solve(
    label: NDArray[np.int8], count: Floats, *, prior: Prior | None, max_iter: int
) -> Solution:
    raters = label.shape[1]
    votes = Votes(label, np.arange(raters)[None], count, raters)
    return solve(votes, prior=None if prior is None else prior.table, max_iter=max_iter)


def _staple(found: Solution, probability: Callable[[int], Floats]) -> Staple:
    return Staple(
        sensitivity=found.confusion[:, 1, 1],
        specificity=found.confusion[:, 0, 0],
        prevalence=float(found.prevalence[1]),
        n_iter=found.n_iter,
        converged=found.converged,
        probability=probability,
    )


def _index(name: str, values: ArrayLike, n: int) -> Ints:
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"'{name}' must have one value per box, shape ({n},); got {array.shape}.")
    whole = array.astype(np.int64)
    if (whole != array).any() or whole.min(initial=0) < 0:
        raise ValueError(f"'{name}' must hold whole numbers from 0; got {array.min()}.")
    return whole


def _read(read: ArrayLike | None, rater: Ints, planes: int) -> Bools:
    if read is None:
        return np.ones((rater.max(initial=-1) + 1, planes), bool)
    array = np.asarray(read, bool)
    if array.ndim != 2 or array.shape[1] != planes:
        raise ValueError(f"'read' must have shape (R, {planes}); got {array.shape}.")
    return array


@dataclass(frozen=True)
class _Part:
    """Objects with equally many boxes, cut into cells."""

    objects: Ints
    xs: Floats
    ys: Floats
    real: Bools
    pattern: Ints
    label: NDArray[np.int8]
    rater: Ints
    count: Floats


@Method
def staple(data: Evidence) -> Fused:
    """STAPLE as a method of fusion: the box round all that is more likely foreground than not.

    Each object is a plane of its own, the hull of its boxes, so that all count alike whatever
    their size, and only who drew it votes: STAPLE cannot tell a rater who missed an object from
    one who drew it small. Raters are pooled over all objects, with a prior, so that neither
    background nor one odd object decides them, and two raters have a result too.

    References
    ----------
    .. [1] S. K. Warfield, K. H. Zou, W. M. Wells, "Simultaneous truth and performance level
       estimation (STAPLE)", IEEE Trans. Med. Imaging 23(7), 2004. :doi:`10.1109/TMI.2004.828354`
    """
    parts = list(_parts(data))
    posterior = _posterior(parts, data.n_raters)
    box = median_boxes(data.boxes, data.object, data.n_objects)
    for part, values in zip(parts, posterior, strict=True):
        likely = np.zeros(part.real.shape)
        likely[part.real] = values[part.pattern]
        box[part.objects] = round_cells(likely > 0.5, part.xs, part.ys, otherwise=box[part.objects])
    return Fused(box, standard_error(data) * (np.pi / 2) ** 0.5, share_of_asked(data))


def _parts(data: Evidence) -> Iterator[_Part]:
    for objects, rows in groups_of_equal_size(data.object, data.n_objects):
        for start in range(0, len(objects), _BLOCK):
            block = slice(start, start + _BLOCK)
            yield _cut(data, objects[block], rows[block])


def _cut(data: Evidence, objects: Ints, rows: Ints) -> _Part:
    boxes, who = data.boxes[rows], data.rater[rows]
    hull = np.concatenate([boxes[:, :, :2].min(axis=1), boxes[:, :, 2:].max(axis=1)], axis=1)
    xs, ys, in_x, in_y = cut(boxes, hull)
    covers = in_y[:, :, :, None] & in_x[:, :, None, :]
    width, height = np.diff(xs), np.diff(ys)
    real = (height[:, :, None] > 0) & (width[:, None, :] > 0)
    area = height[:, :, None] * width[:, None, :]
    area = area / area.sum(axis=(1, 2), keepdims=True)
    plane = np.nonzero(real)[0]
    label = np.moveaxis(covers, 1, -1)[real].astype(np.int8)
    first, pattern = patterns(2 * who[plane, k] + label[:, k] for k in range(who.shape[1]))
    count = np.bincount(pattern, area[real], len(first)).astype(np.float64)
    return _Part(
        objects, xs, ys, real, pattern, label=label[first], rater=who[plane[first]], count=count
    )


def _posterior(parts: list[_Part], raters: int) -> list[Floats]:
    """Probability of foreground of each part's patterns, with raters pooled over all."""
    width = max((part.label.shape[1] for part in parts), default=0)

    def wide(values: NDArray[np.integer], fill: int) -> NDArray[np.integer]:
        return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=fill)

    if not parts:
        return []
    votes = Votes(
        np.concatenate([wide(part.label, UNREAD) for part in parts]),
        np.concatenate([wide(part.rater, 0) for part in parts]),
        np.concatenate([part.count for part in parts]),
        raters,
    )
    found = solve(votes, prior=POOLED_PRIOR).posterior[:, 1]
    return np.split(found, np.cumsum([len(part.count) for part in parts])[:-1])
