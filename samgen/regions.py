"""Rectangular parts of a picture, as pairs of slices: rows, then columns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from crowdqc.geometry import Boxes

Region = tuple[slice, slice]
"""Rows and columns, each from start to stop."""


def region_round(boxes: Boxes) -> Region:
    """The pixels that any of some boxes (K, 4) touches.

    Examples
    --------
    >>> region_round(np.array([[2.5, 1.0, 4.0, 3.0], [3.0, 1.0, 5.5, 2.0]]))
    (slice(1, 3, None), slice(2, 6, None))
    """
    low = np.floor(boxes[:, :2].min(axis=0)).astype(int)
    high = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def region_of(mask: NDArray[np.bool_]) -> Region | None:
    """The smallest region that holds a mask (rows, columns); None where it is empty.

    Examples
    --------
    >>> region_of(np.array([[False, False, False], [True, False, True]]))
    (slice(1, 2, None), slice(0, 3, None))
    """
    return region_from(np.asarray(mask.any(axis=1)), np.asarray(mask.any(axis=0)))


def region_from(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> Region | None:
    """The smallest region with all rows and columns that are marked.

    Parameters
    ----------
    rows : ndarray of bool, shape (R,)
        Marks.
    columns : ndarray of bool, shape (C,)
        Marks.

    Returns
    -------
    Region or None
        `None` where no row or no column is.
    """
    if not (rows.any() and columns.any()):
        return None
    return _extent(rows), _extent(columns)


def hull(regions: Iterable[Region]) -> Region:
    """The smallest region that holds all of some; there must be one.

    Examples
    --------
    >>> hull([(slice(1, 3), slice(4, 5)), (slice(2, 6), slice(1, 5))])
    (slice(1, 6, None), slice(1, 5, None))
    """
    rows, columns = (
        slice(min(part.start for part in axis), max(part.stop for part in axis))
        for axis in zip(*regions, strict=True)
    )
    return rows, columns


def common(a: Region, b: Region) -> Region:
    """The part that two regions share; empty slices where they share none.

    Parameters
    ----------
    a : Region
        In px of one picture.
    b : Region
        As `a`.
    """
    rows, columns = (
        slice(start := max(p.start, q.start), max(start, min(p.stop, q.stop)))
        for p, q in zip(a, b, strict=True)
    )
    return rows, columns


def within(region: Region, outer: Region) -> Region:
    """A region in the rows and columns of an array that shows only another.

    Parameters
    ----------
    region : Region
        Inside `outer`.
    outer : Region
        What the array shows.
    """
    rows, columns = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(region, outer, strict=True)
    )
    return rows, columns


def shape_of(region: Region) -> tuple[int, int]:
    """Number of rows and of columns."""
    rows, columns = region
    return rows.stop - rows.start, columns.stop - columns.start


def _extent(marked: NDArray[np.bool_]) -> slice:
    at = np.flatnonzero(marked)
    return slice(int(at[0]), int(at[-1]) + 1)
