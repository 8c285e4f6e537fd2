"""Tools that put edges on the lines of a grid: how far apart these are, and what error they make.

Hands that are steadier than the grid is wide put an edge on the same line all of them, and their
agreement says nothing of where between two lines it is.
"""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Floats
from crowdqc.geometry import Boxes

COARSE = 2.0
"""Distance in px of the lines of a grid from which its boxes are no longer those of a hand."""
_NEAR = 0.02
"""Distance from a multiple, px, that comes from coordinates that were rounded when written."""
_MOST = 0.95
"""Share of the edges that lie on the grid: some were cut at the border of the image."""
_FEWEST = 20
"""Different places of edges from which a grid can be told: fewer may lie on one by chance."""
_HAND = np.linspace(0, 0.5, 251)
_TERMS = np.arange(1, 500)
_WAVES = np.exp(-((2 * np.pi * _HAND[:, None] * _TERMS) ** 2)) / _TERMS**2
_COMMON = _WAVES.sum(axis=1) / (2 * np.pi**2)
"""Covariance of the errors of rounding of two hands of such standard deviations, for steps of 1."""


def tool_grid(boxes: Boxes) -> float:
    """Distance in px of the lines on which nearly all edges lie; 0 where there is no such grid.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px.

    Examples
    --------
    >>> edges = 8.0 * np.random.default_rng(0).integers(0, 32, (20, 4))
    >>> tool_grid(edges), tool_grid(edges + np.linspace(0, 7, 80).reshape(20, 4))
    (8.0, 0.0)
    """
    edges = boxes.ravel()
    values = np.unique(np.round(edges / _NEAR).astype(np.int64))
    if len(values) < _FEWEST:
        return 0.0
    gaps, n = np.unique(np.diff(values), return_counts=True)
    step = float(gaps[n.argmax()] * _NEAR)
    on_line = np.abs(edges - step * np.round(edges / step)) <= _NEAR
    return step if step > 10 * _NEAR and on_line.mean() >= _MOST else 0.0


def common_rounding(variance: Floats, step: float) -> Floats:
    """Variance of the error that all readings of an edge have in common from rounding, in px^2.

    A reading is the line nearest to where a hand with standard deviation s would put the edge,
    which lies anywhere between two lines. The error of rounding has the variance step^2 / 12 and
    does not depend on that of the hand. Errors of rounding of two hands have the covariance
    step^2 / (2 pi^2) sum_k exp(-(2 pi k s / step)^2) / k^2, by the Fourier series of a sawtooth
    [1]_: all of it where hands are steady, nothing from half a step on.

    Parameters
    ----------
    variance : ndarray
        Of one reading about the true edge, its rounding included, in px^2; of any shape.
    step : float
        Distance of the lines in px; 0 for none.

    References
    ----------
    .. [1] B. Widrow, I. Kollar, M.-C. Liu, "Statistical theory of quantization", IEEE Transactions
       on Instrumentation and Measurement 45(2), 1996. :doi:`10.1109/19.492748`

    Examples
    --------
    >>> common_rounding(np.array([0.0, 4**2 / 12, 16.0]), 4.0).round(2)
    array([1.33, 1.33, 0.  ])
    """
    if not step:
        return np.zeros_like(variance)
    hand = np.sqrt(np.maximum(variance / step**2 - 1 / 12, 0))
    common: Floats = step**2 * np.interp(hand, _HAND, _COMMON)
    return common


def of_hand(error: Floats, tool: Floats, *, scale: Floats) -> Floats:
    """Squared errors of the hand alone, as expected of those of hand and tool together.

    Parameters
    ----------
    error : ndarray
        Squared errors of readings.
    tool, scale : ndarray
        Variance that the tool adds, and that of readings, in the same unit and shape.
    """
    hand = 1 - tool / scale
    alone: Floats = hand**2 * error + hand * tool
    return alone
