"""What the slices of a volume say about each other, and what can be made better by it.

Kernels for the masks of one organ on consecutive slices. `samgen.refine` says when they are used.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Stack = NDArray[np.float32]
"""Probabilities of one organ, shape (planes, rows, columns)."""

REACH = 3.0
"""Standard deviations after which the kernel across slices ends."""
ODD_MARGIN = 0.05
"""By so much Dice must the neighbours of a slice agree better with each other than with it."""


def z_dice(masks: ArrayLike) -> NDArray[np.float64]:
    """Dice of the mask on each slice with those on the slices before and after.

    Organs change slowly from slice to slice; a mask unlike both its neighbours is suspect.

    Parameters
    ----------
    masks : array_like of bool, shape (planes, rows, columns)
        Masks of one organ.

    Returns
    -------
    dice : ndarray, shape (planes,)
        In ``[0, 1]``: the mean over those neighbours that are not empty. nan where the slice
        itself is empty or both neighbours are.

    Examples
    --------
    >>> z_dice([[[1, 1]], [[1, 1]], [[0, 1]], [[0, 0]]]).round(3)
    array([1.   , 0.833, 0.667,   nan])
    """
    flat = np.asarray(masks, dtype=bool)
    flat = flat.reshape(len(flat), -1)
    size = flat.sum(axis=1).astype(np.float64)
    shared = (flat[1:] & flat[:-1]).sum(axis=1)
    filled = size > 0
    pair = np.where(filled[1:] & filled[:-1], 2 * shared / np.maximum(size[1:] + size[:-1], 1), 0.0)
    both = (filled[1:] & filled[:-1]).astype(np.float64)
    total = np.append(pair, 0.0) + np.insert(pair, 0, 0.0)
    count = np.append(both, 0.0) + np.insert(both, 0, 0.0)
    return np.divide(total, count, out=np.full(len(flat), np.nan), where=count > 0)


def runs_of(slices: ArrayLike) -> list[slice]:
    """Parts of an increasing sequence of slice numbers without a gap.

    Examples
    --------
    >>> runs_of([3, 4, 5, 8, 9])
    [slice(0, 3, None), slice(3, 5, None)]
    """
    numbers = np.asarray(slices)
    edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def smooth_slices(probability: Stack, *, spacing_mm: float, sigma_mm: float) -> Stack:
    """Average probabilities across consecutive slices, with Gaussian weights in mm.

    A slice is averaged with as many slices above as below it. So the ends stay untouched, and
    an organ that changes evenly is not drawn towards its larger side.

    Parameters
    ----------
    probability : ndarray of float32, shape (P, R, C)
        The organ is there on all P slices.
    spacing_mm : float
        Distance of slices.
    sigma_mm : float
        Standard deviation of the kernel, which ends after `REACH` of them; 0 changes nothing.

    Returns
    -------
    ndarray of float32, shape (P, R, C)
        In ``[0, 1]``.

    Examples
    --------
    >>> one = np.array([0, 0, 1, 0, 0], np.float32).reshape(5, 1, 1)
    >>> smooth_slices(one, spacing_mm=2.0, sigma_mm=2.0).ravel().round(3)
    array([0.   , 0.274, 0.403, 0.274, 0.   ], dtype=float32)
    """
    n = len(probability)
    reach = min(int(REACH * sigma_mm / spacing_mm), (n - 1) // 2)
    total, weight = probability.copy(), np.ones(n, dtype=np.float32)
    for step in range(1, reach + 1):
        share = np.float32(np.exp(-0.5 * (step * spacing_mm / sigma_mm) ** 2))
        inner = slice(step, n - step)
        total[inner] += share * probability[: n - 2 * step]
        total[inner] += share * probability[2 * step :]
        weight[inner] += 2 * share
    total /= weight[:, None, None]
    return total


def without_islands(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask without the pieces that hang on to nothing.

    Kept are the largest piece in 3D (neighbours share a face, an edge or a corner) and every
    piece that is the largest one on some slice: no slice loses all that it has, because somebody
    said that the organ is there.

    Parameters
    ----------
    mask : ndarray of bool, shape (P, R, C)
        One organ, on those slices only that were asked about: a slice between that nobody drew
        cuts no organ in two.

    Examples
    --------
    >>> mask = np.array([[[1, 1, 0, 0, 1]], [[1, 1, 0, 0, 0]], [[0, 0, 0, 1, 0]]], bool)
    >>> without_islands(mask).astype(int)[:, 0].tolist()
    [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    """
    pieces, n = ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=int))
    if n < 2:
        return mask
    sizes = np.stack([np.bincount(plane.ravel(), minlength=n + 1) for plane in pieces])
    sizes[:, 0] = 0  # background
    kept = np.zeros(n + 1, dtype=bool)
    kept[sizes.sum(axis=0).argmax()] = True
    kept[sizes.argmax(axis=1)] = True
    kept[0] = False
    found: NDArray[np.bool_] = kept[pieces]
    return found


def without_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (P, R, C) with the background filled that it encloses in 3D, through faces."""
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled


def odd_one_out(before: float, after: float, across: float) -> bool:
    """Whether a slice disagrees with both its neighbours, which agree with each other.

    Parameters
    ----------
    before, after : float
        Dice of its mask with those of its neighbours.
    across : float
        Dice of the neighbours' masks: two slices apart, so by itself the lowest of the three. No
        limit for what Dice is good depends on how far slices are apart, or on the organ.

    Examples
    --------
    >>> odd_one_out(0.6, 0.7, 0.9), odd_one_out(0.6, 0.95, 0.7)
    (True, False)
    """
    return max(before, after) < across - ODD_MARGIN
