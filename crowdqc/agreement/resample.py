"""Intervals of statistics over cases: by the bootstrap, of few cases by the jackknife.

What is resampled are *clusters*: items of one cluster are not independent. A cluster is a
case; a study of fewer than `FEW_CASES` cases has too few for that, and its clusters are blocks
of `BLOCK` consecutive slices of a case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from crowdqc.arrays import Floats, Ints, numbered

Statistic = Callable[..., Floats]
"""A function of sums: of arrays of one shape, to one of that shape."""

FEW_CASES = 5
"""Below this the spread between cases cannot be estimated: two of four say hardly anything."""
BLOCK = 10
"""Slices of one block: errors of neighbours are alike, those of distant slices are not."""
PRIOR_DF = 4.0
"""Degrees of freedom that the spread of all raters gives to each, as of five cases."""
ENOUGH_CASES = 30
"""Below this a bootstrap is too sure (of 15 cases it holds .78 to .92 where it says .95, by
``benchmarks/coverage.py``): the interval is then Student's, with the error of the jackknife."""
_FLAT = 1e-9
"""1 less the square of a statistic, below which Fisher's scale is of no use."""
_CELLS = 2**22
"""Numbers in one block of work, to bound memory (32 MiB)."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: `n` resamples, coverage `level`, seed `seed`."""

    n: int = 1000
    level: float = 0.95
    seed: int = 0

    def weights(self, n_cases: int) -> Floats:
        """How often each case occurs in each resample, shape (n, n_cases)."""
        return case_weights(n_cases, n_resamples=self.n, rng=np.random.default_rng(self.seed))


def clusters(case: Ints, plane: Ints) -> tuple[Ints, str]:
    """Cluster of each item, and what the clusters are.

    Parameters
    ----------
    case : ndarray of int, shape (N,)
        Codes of the cases, from 0.
    plane : ndarray of int, shape (N,)
        Slices, from 0.

    Returns
    -------
    cluster : ndarray of int, shape (N,)
        Cases, or blocks of slices of fewer than `FEW_CASES` cases.
    name : str
        Of such clusters.

    Examples
    --------
    >>> clusters(np.array([0, 0, 1]), np.array([3, 12, 3]))
    (array([0, 1, 2]), 'blocks of 10 slices')
    """
    if len(np.unique(case)) >= FEW_CASES:
        return numbered(case)[1], "cases"
    return blocks(case, plane), f"blocks of {BLOCK} slices"


def blocks(case: Ints, plane: Ints) -> Ints:
    """Number of the block of slices that each item lies in.

    Parameters
    ----------
    case : ndarray of int, shape (N,)
        Codes of the cases, from 0.
    plane : ndarray of int, shape (N,)
        Slices, from 0.

    Returns
    -------
    ndarray of int64, shape (N,)
        From 0; no block reaches over two cases.
    """
    block = case * (int(plane.max(initial=0)) // BLOCK + 1) + plane // BLOCK
    return numbered(block)[1]


def case_weights(n_cases: int, *, n_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each case occurs in each resample.

    Parameters
    ----------
    n_cases : int
        Each as likely as any other.
    n_resamples : int
        Draws with replacement.
    rng : Generator
        Source of the draws.

    Returns
    -------
    ndarray, shape (n_resamples, n_cases)
        Every row adds up to `n_cases`.
    """
    if n_cases == 0:
        return np.zeros((n_resamples, 0))
    chance = np.full(n_cases, 1 / n_cases)
    return rng.multinomial(n_cases, chance, size=n_resamples).astype(np.float64)


def ratio(top: Floats, bottom: Floats) -> Floats:
    """One sum over another: the statistic of most measures.

    Parameters
    ----------
    top : ndarray
        Sums.
    bottom : ndarray
        Sums, of the same shape.

    Returns
    -------
    ndarray
        nan where `bottom` is 0 or less.
    """
    quotient: Floats = np.divide(
        top, bottom, out=np.full(np.shape(bottom), np.nan), where=np.asarray(bottom) > 0
    )
    return quotient


def statistic_interval(
    statistic: Statistic,
    sums: Sequence[Floats],
    weights: Floats,
    *,
    level: float,
    alike: Ints | None = None,
    bounded: bool = True,
) -> tuple[Floats, Floats]:
    """Interval of statistics that are functions of sums over cases.

    That of the bootstrap; of fewer than `ENOUGH_CASES` cases the jackknife's, by Student's t.
    Statistics that are `alike`, such as those of several raters, lend each other their spread.

    Parameters
    ----------
    statistic : callable
        Takes as many arrays as there are `sums`, of one shape, and gives one of that shape.
    sums : sequence of ndarray, shape (C, M)
        Sums of each case (C) for each of M values of the statistic.
    weights : ndarray, shape (B, C)
        As from `case_weights`.
    level : float
        Coverage, in (0, 1).
    alike : ndarray of int, shape (M,), optional
        Statistics of one number are alike. None: none are.
    bounded : bool
        Whether they lie in [-1, 1].

    Returns
    -------
    low, high : ndarray, shape (M,)
        nan where fewer than two cases have any sum, the statistic of every resample is nan, or
        there is no resample.

    References
    ----------
    .. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 11, 13.
    """
    low = np.full(sums[0].shape[1], np.nan)
    high = low.copy()
    if len(weights) == 0 or weights.shape[1] < 2:
        return low, high
    part_of = np.zeros(sums[0].shape, bool)
    for part in sums:
        part_of |= part != 0
    n_parts = part_of.sum(axis=0)
    some = np.flatnonzero(n_parts >= 2)
    if alike is None:
        alike = np.arange(len(low))
        some = some[n_parts[some] < ENOUGH_CASES]
    step = max(1, _CELLS // len(part_of))
    for columns in np.split(some, range(step, len(some), step)):
        own = [part[:, columns] for part in sums]
        totals = [part.sum(axis=0) for part in own]
        without = statistic(*(total - part for total, part in zip(totals, own, strict=True)))
        without = np.where(part_of[:, columns], without, np.nan)
        low[columns], high[columns] = student_interval(
            statistic(*totals), without, level, alike=alike[columns], bounded=bounded
        )
    defined = np.flatnonzero(n_parts >= ENOUGH_CASES)
    step = max(1, _CELLS // len(weights))
    for columns in np.split(defined, range(step, len(defined), step)):
        values = statistic(*(weights @ part[:, columns] for part in sums))
        known = np.isfinite(values).any(axis=0)
        if known.any():
            low[columns[known]], high[columns[known]] = _quantiles(values[:, known], level)
    return low, high


def student_interval(
    value: Floats,
    without: Floats,
    level: float,
    *,
    alike: Ints | None = None,
    bounded: bool = True,
) -> tuple[Floats, Floats]:
    """Student's interval of statistics, from their values without each case.

    The spread between the cases of one is drawn towards that of all that are `alike`, whose others
    lend it up to `PRIOR_DF` degrees of freedom: two cases may be near one another by chance. What
    is `bounded` by 1 has its interval on Fisher's scale: near 1 a statistic is skew.

    Parameters
    ----------
    value : ndarray, shape (M,)
        The statistics.
    without : ndarray, shape (C, M)
        Each without one of C cases; nan where it is not defined.
    level : float
        Of the intervals, 0 to 1.
    alike : ndarray of int, shape (M,), optional
        Group of each statistic; each is its own if `None`.
    bounded : bool
        Whether they end at 1.

    Returns
    -------
    tuple of ndarray, shape (M,)
        Both ends; nan for a statistic of fewer than two cases.
    """
    known = np.isfinite(without)
    n = known.sum(axis=0)
    mean = np.where(known, without, 0.0).sum(axis=0) / np.maximum(n, 1)
    free = np.maximum(n - 1, 0)
    spread = free * np.square(np.where(known, without - mean, 0.0)).sum(axis=0)  # of a case
    group = np.arange(len(n)) if alike is None else np.unique(alike, return_inverse=True)[1]
    everyone = np.bincount(group, free)
    usual = (np.bincount(group, free * spread) / np.maximum(everyone, 1))[group]
    lent = np.minimum(PRIOR_DF, everyone[group] - free)
    reach = np.full(len(n), np.nan)
    several = n >= 2
    all_free = (free + lent)[several]
    spread = (free * spread + lent * usual)[several] / all_free
    reach[several] = scipy.stats.t.ppf((1 + level) / 2, all_free) * np.sqrt(spread / n[several])
    bias = free * (mean - value)
    slope = 1 - np.square(value)
    if not bounded:
        return value - bias - reach, value - bias + reach
    flat = ~(slope > _FLAT)
    slope[flat] = 1.0
    middle = np.arctanh(np.where(flat, 0.0, value)) - bias / slope
    low, high = (np.tanh(middle + side * reach / slope) for side in (-1, 1))
    return np.where(flat, value - reach, low), np.where(flat, value + reach, high)


def _quantiles(values: Floats, level: float) -> tuple[Floats, Floats]:
    """Both ends of the middle share `level` of each column (B, M), without what is nan."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    result = np.empty((2, values.shape[1]))
    whole = np.isfinite(values).all(axis=0)
    result[:, whole] = np.quantile(values[:, whole], ends, axis=0)
    ordered = np.sort(values[:, ~whole], axis=0)  # nan comes last; nanquantile takes a second each
    last = np.isfinite(ordered).sum(axis=0) - 1
    for row, end in enumerate(ends):
        at = end * last
        below = np.floor(at).astype(np.int64)
        a, b = (
            np.take_along_axis(ordered, np.minimum(k, last)[None], axis=0)[0]
            for k in (below, below + 1)
        )
        result[row, ~whole] = a + (b - a) * (at - below)
    return result[0], result[1]


class Estimate(NamedTuple):
    """A measure with its interval, and the number of units that it rests on."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(
    kernel: Callable[[Floats], float],
    data: ArrayLike,
    case: ArrayLike,
    *,
    resampling: Resampling | None = None,
) -> Estimate:
    """Any measure of agreement with its interval over cases: see `statistic_interval`.

    Parameters
    ----------
    kernel : callable
        Gives the measure of values (R, U), for example `krippendorff_alpha` with any level or
        distance, `fleiss_kappa`, `gwet_ac1`, or ``lambda d: icc(d.T).value``.
    data : array_like, shape (R, U)
        Value that each rater gave to each unit; nan where a rater did not value a unit.
    case : array_like, shape (U,)
        Case of each unit: units of one case are drawn together.
    resampling : Resampling, optional
        None: 1000 resamples, 95 %.

    Returns
    -------
    Estimate
        `n` is the number of units with two values or more. No interval (nan) where there are
        fewer than two cases, or the measure of every resample is nan.

    Raises
    ------
    ValueError
        If `case` does not have one entry for each unit.

    Examples
    --------
    >>> from crowdqc.agreement import gwet_ac1
    >>> data = [[0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0]]
    >>> bootstrap(gwet_ac1, data, [0, 0, 1, 1, 2, 2], resampling=Resampling(n=0))[3]
    6
    """
    values = np.asarray(data, np.float64)
    known, of = np.unique(np.asarray(case), return_inverse=True)
    if of.shape != values.shape[1:]:
        raise ValueError(f"'case' must have shape {values.shape[1:]}; got {of.shape}.")
    n = int(((~np.isnan(values)).sum(axis=0) >= 2).sum())
    weights = (resampling := resampling or Resampling()).weights(len(known)).astype(np.int64)
    if len(known) < 2 or not len(weights):
        return Estimate(kernel(values), np.nan, np.nan, n)
    if len(known) < ENOUGH_CASES:
        value = kernel(values)
        without = np.array([[kernel(values[:, of != k])] for k in range(len(known))])
        low, high = student_interval(np.array([value]), without, resampling.level)
        return Estimate(value, float(low[0]), float(high[0]), n)
    drawn = np.array([kernel(np.repeat(values, row[of], axis=1)) for row in weights])
    drawn = drawn[np.isfinite(drawn)]
    tail = (1 - resampling.level) / 2
    bounds = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
    return Estimate(kernel(values), float(bounds[0]), float(bounds[1]), n)
