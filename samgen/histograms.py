"""Histograms of grey values, and how an object's are told from those of its surroundings.

Kernels of the embedded models, of one histogram or of one a slice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

BINS = 128
BIN_WIDTH = 2.0
"""Histograms have a bin for every second grey value."""
_LEVELS = np.arange(BINS, dtype=np.float32) * np.float32(BIN_WIDTH)
"""Grey value of each bin."""
_BLUR_BINS = 2.0
"""Standard deviation by which histograms are smoothed, in bins."""
_FLOOR = 0.02
"""Share of every histogram that is spread evenly: no grey value is impossible."""


def smooth_counts(counts: Floats) -> Floats:
    """Blur histograms (..., bins).

    Parameters
    ----------
    counts : ndarray of float32, shape (..., bins)
    """
    smooth: Floats = ndimage.gaussian_filter1d(counts, _BLUR_BINS, mode="nearest")
    return smooth


def share_of(counts: Floats) -> Floats:
    """Histograms that sum up to 1, and a little everywhere.

    Parameters
    ----------
    counts : ndarray of float32, shape (..., bins)
    """
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1e-6) + _FLOOR / BINS


def odds_between(tissue: Floats, background: Floats, limit: float) -> Floats:
    """Log odds of one histogram (..., bins) against another at each grey value, for one pixel.

    Parameters
    ----------
    tissue, background : ndarray of float32, shape (..., bins)
        Counts.
    limit : float
        What one pixel is worth at most.
    """
    odds = np.log(share_of(tissue) / share_of(background))
    return np.clip(odds, -limit, limit)


def strongest_excess(box: Floats, around: Floats) -> float:
    """The grey value that one histogram has most in excess over another.

    Parameters
    ----------
    box, around : ndarray of float32, shape (bins,)
    """
    excess = share_of(smooth_counts(box)) - share_of(smooth_counts(around))
    return float(np.argmax(excess)) * BIN_WIDTH


def robust_moments(counts: Floats, centre: float, spread: float) -> tuple[float, float]:
    """Mean and standard deviation, looking away from what is far (a bell of two spreads).

    Parameters
    ----------
    counts : ndarray of float32, shape (bins,)
    centre, spread : float
        The last ones, in grey values.
    """
    near = counts * bell(centre, 2 * spread)
    total = float(near.sum()) + 1e-6
    mean = float((near * _LEVELS).sum()) / total
    variance = float((near * (_LEVELS - mean) ** 2).sum()) / total
    # The bell narrows a normal distribution of the same centre: 1/s^2 = 1/a^2 + 1/(2a)^2.
    return mean, float(np.sqrt(1.25 * variance))


def bell(centre: float, spread: float) -> Floats:
    """Normal density at the grey value of each bin, (bins,), but for a factor.

    Parameters
    ----------
    centre, spread : float
        In grey values.
    """
    bell: Floats = np.exp(-0.5 * ((_LEVELS - np.float32(centre)) / np.float32(spread)) ** 2)
    return bell
