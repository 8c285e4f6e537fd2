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


def pairs_within(groups: Ints) -> tuple[Ints, Ints]:
    """All pairs of different rows of one group; rows of a group are adjacent."""
    _, start, count = np.unique(groups, return_index=True, return_counts=True)
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for n in np.unique(count):
        rows = start[count == n][:, None]
        i, j = np.triu_indices(n, 1)
        first.append((rows + i).ravel())
        second.append((rows + j).ravel())
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
