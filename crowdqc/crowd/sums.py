"""Sums of rows that have a number in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints


def sums(of: Ints, values: Floats, n: int) -> Floats:
    """Sum of the rows of values that have one number.

    Parameters
    ----------
    of : ndarray of int, shape (N,)
        From 0 to n - 1.
    values : ndarray, shape (N, K)
        One row for each of them.
    n : int
        Number of sums.

    Returns
    -------
    ndarray, shape (n, K)
        0 for a number without a row.
    """
    return np.stack([np.bincount(of, column, n) for column in values.T], axis=1)


def total(of: Ints, values: Floats | Bools, n: int) -> Floats:
    """Sum of the values that have one number.

    Parameters
    ----------
    of : ndarray of int, shape (N,)
        From 0 to n - 1.
    values : ndarray, shape (N,)
        One for each of them.
    n : int
        Number of sums.

    Returns
    -------
    ndarray, shape (n,)
        0 for a number without a value.
    """
    return np.bincount(of, values, n).astype(np.float64)


_ROWS = 2**16


def blocks(n: int) -> Iterator[slice]:
    """All of n rows, some at a time: what is worked out of them on the way is soon gone again."""
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))
