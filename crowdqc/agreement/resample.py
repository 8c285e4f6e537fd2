"""Intervals by the bootstrap over cases: slices of one case are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: `n` resamples of cases, coverage `level`, seed `seed`."""

    n: int = 1000
    level: float = 0.95
    seed: int = 0

    def weights(self, n_cases: int) -> Floats:
        """How often each case occurs in each resample, shape (n, n_cases)."""
        return case_weights(n_cases, n_resamples=self.n, rng=np.random.default_rng(self.seed))


def case_weights(n_cases: int, *, n_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each case occurs in each resample, shape (n_resamples, n_cases)."""
    if n_cases == 0:
        return np.zeros((n_resamples, 0))
    chance = np.full(n_cases, 1 / n_cases)
    return rng.multinomial(n_cases, chance, size=n_resamples).astype(np.float64)


def ratio_interval(
    numerator: Floats, denominator: Floats, weights: Floats, *, level: float
) -> tuple[Floats, Floats]:
    """Percentile interval of ratios of sums over cases.

    Parameters
    ----------
    numerator, denominator : ndarray, shape (C, M)
        Sums of each case (C) for each of M ratios.
    weights : ndarray, shape (B, C)
        As from `case_weights`.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    low, high : ndarray, shape (M,)
        nan where fewer than two cases have a denominator, or there is no resample.

    References
    ----------
    .. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    nowhere = np.full(numerator.shape[1], np.nan)
    if len(weights) == 0 or weights.shape[1] < 2:
        return nowhere, nowhere.copy()
    below = weights @ denominator
    ratio = np.divide(weights @ numerator, below, out=np.full(below.shape, np.nan), where=below > 0)
    defined = (denominator > 0).sum(axis=0) >= 2
    tail = (1 - level) / 2
    low, high = nowhere, nowhere.copy()
    if defined.any():
        low[defined], high[defined] = np.nanquantile(ratio[:, defined], [tail, 1 - tail], axis=0)
    return low, high
