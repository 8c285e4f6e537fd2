"""Student's distribution: its density, and how heavy the tails of errors are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from crowdqc.arrays import Floats

_TRIED = np.geomspace(1.2, 60, 14)
"""Degrees of freedom that are tried."""
_NONE, _FULL = 0.08, 0.16
"""Gain in log likelihood per box at which the tails begin to be those of boxes, and are so. On real
sets it is .07 at most, and fused boxes are no better with the tails of boxes."""
SAMPLE = 50_000
"""About so many errors say how heavy tails are; of more, every so many are taken."""


def log_student(square: Floats, freedom: float, *, n: float | Floats = 1.0) -> Floats:
    """Log density of Student's t, of one value or of several together, at their squares.

    Parameters
    ----------
    square : ndarray
        Squares of standardised errors, or sums of `n` of them, of any shape.
    freedom : float
        Degrees of freedom, above 0.
    n : float or ndarray
        Number of values that are distributed together; not below 0.
    """
    half = (freedom + n) / 2
    constant = gammaln(half) - gammaln(freedom / 2) - n / 2 * np.log(freedom * np.pi)
    density: Floats = constant - half * np.log1p(square / freedom)
    return density


@dataclass(frozen=True)
class Tails:
    """How heavy the tails of errors are: of each edge by itself, or of the edges of a box together.

    A hand slips at one edge, or draws a whole box without care. The two readings are averaged.

    Parameters
    ----------
    edge, box : float
        Degrees of freedom of Student's t for each edge, and for the four edges of a box together.
    share : float
        How far the tails are those of boxes, 0 to 1.
    """

    edge: float
    box: float
    share: float = 0.0

    def trust(self, square: Floats) -> Floats:
        """Weights of edges with these squares of standardised errors, (N, 4)."""
        each = (self.edge + 1) / (self.edge + square)
        if not self.share:
            return each
        together = (self.box + 4) / (self.box + square.sum(axis=1, keepdims=True))
        trust: Floats = (1 - self.share) * each + self.share * together
        return trust

    def log_density(self, square: Floats) -> Floats:
        """Log density of boxes with these squares of standardised errors (N, 4), shape (N,)."""
        each = log_student(square, self.edge).sum(axis=1)
        if not self.share:
            return each
        together = log_student(square.sum(axis=1), self.box, n=4)
        density: Floats = (1 - self.share) * each + self.share * together
        return density

    @property
    def freedom(self) -> float:
        """Degrees of freedom of an edge, whatever the others do."""
        return (1 - self.share) * self.edge + self.share * self.box

    @property
    def known(self) -> float:
        """What one error tells of where an edge is, over what a normal one does."""
        each, together = (self.edge + 1) / (self.edge + 3), (self.box + 4) / (self.box + 6)
        return (1 - self.share) * each + self.share * together

    @property
    def per_box(self) -> float:
        """Degrees of freedom of the mean square of a box, weighed by its trust."""
        each, together = (self.edge + 3) / self.edge, (self.box + 6) / self.box
        return 4 * ((1 - self.share) * each + self.share * together)


def likely_tails(square: Floats, weight: Floats) -> Tails:
    """Most likely degrees of freedom of standardised errors, between those that are tried.

    Parameters
    ----------
    square : ndarray, shape (N, 4)
        Squares of standardised errors; at most about 50,000 boxes are looked at.
    weight : ndarray, shape (N,)
        Not below 0.
    """
    if len(square) > SAMPLE:
        some = slice(None, None, len(square) // SAMPLE)
        square, weight = square[some], weight[some]
    edges = [float(weight @ log_student(square, f).sum(axis=1)) for f in _TRIED]
    boxes = [float(weight @ log_student(square.sum(axis=1), f, n=4)) for f in _TRIED]
    edge, box = (likeliest(_TRIED, np.array(fit), usual=6.0) for fit in (edges, boxes))
    gain = (max(boxes) - max(edges)) / max(float(weight.sum()), 1e-9)
    share = np.clip((gain - _NONE) / (_FULL - _NONE), 0, 1)
    return Tails(edge, box, float(share**2 * (3 - 2 * share)))


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
