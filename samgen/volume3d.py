"""What the slices of a volume say about each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
