"""Student's distribution: its density, and how heavy the tails of errors are."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from crowdqc.arrays import Floats

_TRIED = np.geomspace(1.2, 60, 14)
"""Degrees of freedom that are tried."""
SAMPLE = 50_000
"""About so many errors say how heavy tails are; of more, every so many are taken."""


def log_student(square: Floats, freedom: float) -> Floats:
    """Log density of Student's t at squared values.

    Parameters
    ----------
    square : ndarray
        Squares of standardised errors, of any shape.
    freedom : float
        Degrees of freedom, above 0.
    """
    half = (freedom + 1) / 2
    constant = gammaln(half) - gammaln(freedom / 2) - np.log(freedom * np.pi) / 2
    density: Floats = constant - half * np.log1p(square / freedom)
    return density


def likely_freedom(square: Floats, weight: Floats) -> float:
    """Most likely degrees of freedom of standardised errors, between those that are tried.

    Parameters
    ----------
    square : ndarray, shape (N,)
        Squares of standardised errors; at most about 50,000 of them are looked at.
    weight : ndarray, shape (N,)
        Not below 0.
    """
    if len(square) > SAMPLE:
        some = slice(None, None, len(square) // SAMPLE)
        square, weight = square[some], weight[some]
    fit = np.array([np.sum(weight * log_student(square, f)) for f in _TRIED])
    return likeliest(_TRIED, fit, usual=6.0)


def likeliest(tried: Floats, fit: Floats, *, usual: float) -> float:
    """The likeliest value of a positive number, between those that were tried.

    Parameters
    ----------
    tried : ndarray, shape (K,)
        Values, each the same multiple of the one before.
    fit : ndarray, shape (K,)
        Log likelihood of each.
    usual : float
        Median of the prior, whose logarithm has a standard deviation of 1.
    """
    scale = np.log(tried)
    fit = fit - (scale - np.log(usual)) ** 2 / 2
    best = int(np.clip(fit.argmax(), 1, len(fit) - 2))
    low, middle, high = fit[best - 1 : best + 2]
    bend = low - 2 * middle + high
    step = np.clip((low - high) / (2 * bend), -1, 1) if bend < 0 else 0.0
    return float(np.exp(scale[best] + step * (scale[1] - scale[0])))
