"""How many boxes a prior on a spread is worth, from how much the spreads themselves differ."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

from crowdqc.arrays import Floats
from crowdqc.crowd.student import SAMPLE, likeliest

USUAL_BOXES = 5.0
"""Boxes that the prior is worth beforehand."""
_TRIED = np.geomspace(0.1, 64, 20)
"""Numbers of boxes that are tried."""
_LEAST = 1e-3
"""Least mean square: boxes that are alike to the pixel are still no proof of no error."""


def likely_boxes(square: Floats, boxes: Floats, *, per_box: float) -> float:
    """How many boxes a common prior of variances is worth, at its likeliest.

    Of each unit (an object, say) the mean square of its errors is known, as a multiple of what is
    usual. Given its own variance, that is a Gamma value, and variances are scattered as the
    inverse of one; so it has an F distribution, whose second degrees of freedom say how much
    units differ [1]_: few boxes where they differ much.

    Parameters
    ----------
    square : ndarray, shape (N,)
        Mean square of each unit over the four edges of its boxes; about `SAMPLE` are looked at.
    boxes : ndarray, shape (N,)
        Boxes that it rests on, above 0.
    per_box : float
        Degrees of freedom of the mean square of one box: with weights by trust it varies less.

    Returns
    -------
    float
        Between 0.1 and 64; near `USUAL_BOXES` of few units, and equal to it of none.

    References
    ----------
    .. [1] G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential
       expression in microarray experiments", Stat. Appl. Genet. Mol. Biol. 3(1), 2004.
       :doi:`10.2202/1544-6115.1027`
    """
    some = slice(None, None, max(1, len(square) // SAMPLE))
    mean, own = np.maximum(square[some], _LEAST), per_box * boxes[some]
    fit = np.array([np.sum(_log_f(mean, own, per_box * n)) for n in _TRIED])
    return likeliest(_TRIED, fit, usual=USUAL_BOXES)


def _log_f(mean: Floats, own: Floats, prior: float) -> Floats:
    """Log density of mean squares with `own` and `prior` degrees of freedom."""
    density: Floats = own / 2 * np.log(own / prior) + (own / 2 - 1) * np.log(mean)
    density -= betaln(own / 2, prior / 2) + (own + prior) / 2 * np.log1p(own * mean / prior)
    return density
