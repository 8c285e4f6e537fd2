"""Krippendorff's alpha, from the coincidences of values within units.

Arrays are named by their letters: R raters, U units, V distinct values, K given values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from crowdqc.arrays import Floats, Ints

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Distance = Callable[[Floats, Floats], Floats]

HARDNESS = 0.5, 4.0
"""Beforehand, the log of the disagreement of a case has this standard deviation between cases; and
how many degrees of freedom that is worth."""
_LEAST = 1e-3
"""Least distance from the ends of the scale."""


def krippendorff_alpha(data: ArrayLike, level: Level | Distance = "nominal") -> float:
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
    array = as_ratings(data)
    values, counts = value_counts(array[:, (~np.isnan(array)).sum(axis=0) >= 2])
    coincidences = _coincidences(counts)
    totals = coincidences.sum(axis=0)
    distances = _distances(values, totals, level)
    n = totals.sum()
    observed = (coincidences * distances).sum()
    expected = (np.outer(totals, totals) * distances).sum()
    if not expected > 0:
        return float("nan")
    return float(1 - (n - 1) * observed / expected)


def as_ratings(data: ArrayLike) -> Floats:
    """`data` as a float array of raters x units, or an error that says what is wrong.

    Raises
    ------
    ValueError
        If it is not two-dimensional or holds an infinite value.
    """
    array = np.asarray(data, dtype=np.float64)
    if array.ndim != 2 or np.isinf(array).any():
        raise ValueError(
            f"'data' must have shape (raters, units) and hold numbers or nan; got {array.shape}."
        )
    return array


def summed(group: Ints, weight: NDArray[Any], n: int) -> Floats:
    """Sum of the weights of each group.

    Parameters
    ----------
    group : ndarray of int, shape (K,)
        From 0 to n - 1.
    weight : ndarray, shape (K, ...)
        One number or array for each member.
    n : int
        Number of groups.

    Returns
    -------
    ndarray, shape (n, ...)
        0 for a group without a member.
    """
    shape = np.shape(weight)[1:]
    flat = np.asarray(weight, np.float64).reshape(len(weight), math.prod(shape))
    sums = np.empty((n, flat.shape[1]))
    for k, column in enumerate(flat.T):
        sums[:, k] = np.bincount(group, column, n)
    return sums.reshape(n, *shape)


def nominal_sums(unit: Ints, value: Ints, *, n_units: int, n_values: int) -> tuple[Floats, Floats]:
    """What nominal alpha needs of each unit: sums of these over units give alpha.

    Parameters
    ----------
    unit, value : ndarray of int, shape (K,)
        Unit and code of each value that was given.
    n_units, n_values : int
        U and V.

    Returns
    -------
    totals : ndarray, shape (U, V)
        How often each value was given in a unit; 0 for a unit with fewer than two values.
    same : ndarray, shape (U,)
        Ordered pairs of equal values of a unit, each weighted by 1 / (m - 1), where m values
        were given; 0 for a unit with fewer than two.
    """
    counts = np.bincount(unit * n_values + value, minlength=n_units * n_values)
    totals = counts.reshape(n_units, n_values).astype(np.float64)
    m = totals.sum(axis=1)
    paired = m >= 2
    totals[~paired] = 0
    same = np.zeros(n_units)
    pairs = np.einsum("uv,uv->u", totals, totals) - m
    np.divide(pairs, m - 1, out=same, where=paired)
    return totals, same


def nominal_alpha(totals: Floats, same: Floats) -> Floats:
    """Nominal alpha from sums over units.

    Parameters
    ----------
    totals : ndarray, shape (..., V)
        How often each value was given in units with at least two values.
    same : ndarray, shape (...)
        Weighted pairs of equal values, see `nominal_sums`.

    Returns
    -------
    alpha : ndarray, shape (...)
        As `krippendorff_alpha` with ``level="nominal"``; nan where that is undefined.

    Examples
    --------
    >>> totals, same = nominal_sums(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]),
    ...                             n_units=2, n_values=2)
    >>> float(nominal_alpha(totals.sum(axis=0), same.sum()))
    0.0
    """
    n = totals.sum(axis=-1)
    expected = n**2 - np.square(totals).sum(axis=-1)
    ratio = np.full(np.shape(n), np.nan)
    # Sums of weights that resampling makes are whole numbers: half a pair is none.
    np.divide((n - 1) * (n - same), expected, out=ratio, where=expected > 0.5)
    alpha: Floats = 1 - ratio
    return alpha


def alpha_interval(
    value: float, without: Floats, level: float, *, raters: float
) -> tuple[float, float]:
    """Interval of alpha over cases, from alpha without each case.

    Few cases may all be easy, and then vary little: a few hard ones carry most of the
    disagreement. So the variance between cases is drawn towards what it is where the log of
    their disagreement has the standard deviation `HARDNESS`. The interval is Student's on
    Fisher's scale for m raters [1]_, on which alpha ends at ``-1 / (m - 1)``, with the bias of the
    jackknife taken off.

    Parameters
    ----------
    value : float
        Alpha of all cases.
    without : ndarray, shape (C,)
        Without each of C cases; nan where it is not defined.
    level : float
        Coverage, in (0, 1).
    raters : float
        m, the mean number of values of a unit, above 1.

    Returns
    -------
    low, high : float
        In [-1, 1], with `value` between them; nan where fewer than two of `without` are
        defined. Of an alpha of 1 both are 1: cases that all agree tell of no other.

    References
    ----------
    .. [1] R. A. Fisher, "Statistical Methods for Research Workers", 1925, section 39.

    Examples
    --------
    >>> low, high = alpha_interval(0.6, np.array([0.55, 0.6, 0.65]), 0.95, raters=4)
    >>> round(low, 2), round(high, 2)
    (0.32, 0.8)
    """
    known = without[np.isfinite(without)]
    n, (deviation, worth) = len(known), HARDNESS
    if n < 2 or not np.isfinite(value):
        return float("nan"), float("nan")
    if value > 1 - 1e-9:
        return value, value
    free = n - 1
    own = free * float(np.square(known - known.mean()).sum())  # the variance of one case
    variance = (free * own + worth * (deviation * (1 - value)) ** 2) / (free + worth)
    above, below = max(1 + (raters - 1) * value, _LEAST), max(1 - value, _LEAST)
    slope = ((raters - 1) / above + 1 / below) / 2
    middle = np.log(above / below) / 2 - free * (known.mean() - value) * slope
    reach = stdtrit(free + worth, (1 + level) / 2) * np.sqrt(variance / n) * slope
    ends = np.exp(2 * np.clip(middle + np.array([-reach, reach]), -40, 40))
    low, high = map(float, (ends - 1) / (ends + raters - 1))
    return max(min(low, value), -1.0), min(max(high, value), 1.0)


def value_counts(array: Floats) -> tuple[Floats, Floats]:
    """Distinct values (V,) of (R, U), and how often each was given to each unit, (U, V)."""
    given = ~np.isnan(array)
    values, codes = np.unique(array[given], return_inverse=True)
    counts = np.zeros((array.shape[1], len(values)))
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
