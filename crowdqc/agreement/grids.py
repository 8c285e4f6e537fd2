"""Boxes that a tool makes equal: it puts edges on multiples of some pixels. Arrays only.

Two who draw one object with such a tool often hand in the very same box, though nobody copied. How
often that is by chance, boxes of other hands tell that are put on the same grid.
"""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Bools, Floats
from crowdqc.geometry import Boxes

_EDGE = np.linspace(0, 0.999, 1000)
"""Probabilities that one edge is equal."""


def on_grid(boxes: Boxes, step: float) -> Boxes:
    """Boxes whose edges are put on the nearest line of a grid, in numbers of lines.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px.
    step : float
        Distance of the lines in px.
    """
    lines: Boxes = np.round(boxes / step)
    return lines


def equal_by_chance(equal: Bools) -> float:
    """Share of boxes that are equal, if each edge is so by itself as often as where boxes differ.

    Parameters
    ----------
    equal : ndarray of bool, shape (N, 4)
        Which edges of two raters' boxes are equal.

    Returns
    -------
    float
        0 where no box differs: then nothing tells how often edges are equal by chance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(equal_by_chance(rng.random((200_000, 4)) < 0.8), 2), round(0.8**4, 2)
    (0.41, 0.41)
    """
    differ = ~equal.all(axis=1)
    if not differ.any():
        return 0.0
    among: Floats = _EDGE * (1 - _EDGE**3) / (1 - _EDGE**4)
    return float(np.interp(equal[differ].mean(), among, _EDGE**4))
