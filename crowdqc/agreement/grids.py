"""Boxes that a tool makes equal: it puts edges on multiples of some pixels. Arrays only.

Two who draw one object with such a tool often hand in the very same box, though nobody copied. How
often that is by chance, boxes of other hands tell that are put on the same grid.
"""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Bools, Floats
from crowdqc.geometry import Boxes

_NEAR = 0.02
"""Distance from a multiple, px, that comes from coordinates that were rounded when written."""
_MOST = 0.95
"""Share of the edges that lie on the grid: some were cut at the border of the image."""
_FEWEST = 20
"""Different places of edges from which a grid can be told: fewer may lie on one by chance."""
_EDGE = np.linspace(0, 0.999, 1000)
"""Probabilities that one edge is equal."""


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
