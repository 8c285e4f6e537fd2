"""Types of the arrays that kernels take and give; their shapes are in the docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
"""Numbers of things: indices, counts, codes."""
Floats = NDArray[np.float64]
"""Measures; nan is what is not known."""
Bools = NDArray[np.bool_]
"""One answer for each row."""
_DENSE = 2
"""Largest code, over the number of rows, up to which codes are counted."""


def numbered(codes: Ints) -> tuple[Ints, Ints]:
    """Distinct codes in order, and which of them each code is.

    As `numpy.unique` with its inverse, but for codes that are no larger than they are many without
    sorting them.

    Examples
    --------
    >>> [part.tolist() for part in numbered(np.array([7, 0, 7, 3]))]
    [[0, 3, 7], [2, 0, 2, 1]]
    """
    if not len(codes) or codes.min() < 0 or codes.max() > _DENSE * len(codes):
        known, of = np.unique(codes, return_inverse=True)
        return known, of.reshape(-1)
    there = np.zeros(int(codes.max()) + 1, bool)
    there[codes] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[codes]


def pairs_within(groups: Ints) -> tuple[Ints, Ints]:
    """All pairs of rows of one group, the earlier row first; groups may lie in any order.

    Examples
    --------
    >>> [rows.tolist() for rows in pairs_within(np.array([5, 2, 5, 5]))]
    [[0, 2, 0], [2, 3, 3]]
    """
    order = np.argsort(groups, kind="stable")
    ordered, rows, step = groups[order], np.arange(len(groups)), 0
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    while len(rows):  # only who has one of its group `step` rows on can have one further on
        step += 1
        rows = rows[rows + step < len(groups)]
        rows = rows[ordered[rows + step] == ordered[rows]]
        first.append(order[rows])
        second.append(order[rows + step])
    return np.concatenate(first), np.concatenate(second)


def pickled_numbers() -> list[Any]:
    """What a pickle needs for NumPy's numbers, by the names of either version of NumPy.

    nnU-Net keeps such numbers in its checkpoints, among those of torch; nothing in this list runs
    a program.
    """
    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(name)) for name in ("f4", "f8", "i4", "i8", "u1", "?")]
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    return [np.dtype, *dtypes, *((scalar, name) for name in names)]


def known_medians(values: Floats) -> Floats:
    """Median of what is known over the first axis; nan where nothing is.

    Examples
    --------
    >>> known_medians(np.array([[1.0, np.nan], [4.0, np.nan], [2.0, np.nan]])).tolist()
    [2.0, nan]
    """
    ordered = np.sort(values, axis=0)  # nan comes last
    known = np.isfinite(values).sum(axis=0)
    middle = [np.maximum(known - 1, 0) // 2, known // 2]
    low, high = (np.take_along_axis(ordered, row[None], axis=0)[0] for row in middle)
    return np.where(known > 0, (low + high) / 2, np.nan)
