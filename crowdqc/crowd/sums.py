"""Sums of rows that have a number in common."""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints


def sums(of: Ints, values: Floats, n: int) -> Floats:
    """Sum of the rows of `values` (N, K) for each of n numbers, (n, K)."""
    return np.stack([np.bincount(of, column, n) for column in values.T], axis=1)


def total(of: Ints, values: Floats | Bools, n: int) -> Floats:
    """Sum of `values` (N,) for each of n numbers, (n,)."""
    return np.bincount(of, values, n).astype(np.float64)
