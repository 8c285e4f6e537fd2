"""Krippendorff's alpha, from the coincidences of values within units.

Arrays are named by their letters: R raters, U units, V distinct values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]
Distance = Callable[[Floats, Floats], Floats]


def krippendorff_alpha(data: ArrayLike, *, level: Level | Distance = "nominal") -> float:
    """Krippendorff's alpha: agreement of any number of raters, with values missing.

    Parameters
    ----------
    data : array_like, shape (R, U)
        Value that each rater gave to each unit; nan where a rater did not value a unit.
    level : {"nominal", "ordinal", "interval", "ratio"} or callable
        Level of measurement, which says how far apart two values are. A callable takes two
        arrays of values and gives their squared distances, 0 for equal values.

    Returns
    -------
    alpha : float
        1 for perfect agreement, 0 for what chance would give, negative below that. nan where
        it is undefined: no unit has two values, or all paired values are the same.

    Raises
    ------
    ValueError
        If `data` is not two-dimensional or holds an infinite value, or `level` is unknown.

    References
    ----------
    .. [1] K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section C to E.
       https://repository.upenn.edu/asc_papers/43

    Examples
    --------
    >>> round(krippendorff_alpha([[1, 2, 3, np.nan], [1, 2, 2, 3]], level="interval"), 3)
    0.706
    """
    array = np.asarray(data, dtype=np.float64)
    if array.ndim != 2 or np.isinf(array).any():
        raise ValueError(
            f"'data' must have shape (raters, units) and hold numbers or nan; got {array.shape}."
        )
    values, counts = _value_counts(array)
    coincidences = _coincidences(counts)
    totals = coincidences.sum(axis=0)
    distances = _distances(values, totals, level)
    n = totals.sum()
    observed = (coincidences * distances).sum()
    expected = (np.outer(totals, totals) * distances).sum()
    if not expected > 0:
        return float("nan")
    return float(1 - (n - 1) * observed / expected)


def _value_counts(array: Floats) -> tuple[Floats, Floats]:
    """Distinct values (V,), and how often each was given to each unit with a pair, (U, V)."""
    pairable = array[:, (~np.isnan(array)).sum(axis=0) >= 2]
    given = ~np.isnan(pairable)
    values, codes = np.unique(pairable[given], return_inverse=True)
    counts = np.zeros((pairable.shape[1], len(values)))
    np.add.at(counts, (np.nonzero(given)[1], codes), 1)
    return values, counts


def _coincidences(counts: Floats) -> Floats:
    """Coincidence matrix (V, V): pairs within units, each unit weighted by 1 / (m - 1)."""
    weight = 1 / (counts.sum(axis=1) - 1)
    ordered_pairs = counts.T @ (counts * weight[:, None])
    with_itself = np.diag((counts * weight[:, None]).sum(axis=0))
    matrix: Floats = ordered_pairs - with_itself
    return matrix


def _distances(values: Floats, totals: Floats, level: Level | Distance) -> Floats:
    """Squared distance of each pair of values, (V, V)."""
    a, b = values[:, None], values[None, :]
    if callable(level):
        return level(a, b)
    match level:
        case "nominal":
            return (a != b).astype(np.float64)
        case "ordinal":
            rank = np.cumsum(totals) - totals / 2
            return np.square(rank[:, None] - rank[None, :])
        case "interval":
            return np.square(a - b)
        case "ratio":
            total = a + b
            return np.square(np.divide(a - b, total, out=np.zeros(total.shape), where=total != 0))
    raise ValueError(
        f"'level' must be nominal, ordinal, interval, ratio or a distance; got {level!r}."
    )
