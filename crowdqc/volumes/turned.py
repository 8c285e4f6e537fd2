"""Whether boxes fit the pictures of a volume better when these are turned otherwise.

Organs end where grey values change, so the edges of boxes lie on steps. A box that was drawn on a
picture turned another way lies anywhere: the steps along its edges are smaller there than on the
picture that was drawn on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from crowdqc.config import Picture
from crowdqc.volumes.pictures import to_pictures

Array = NDArray[Any]

GREYS = 256
"""Steps to which a slice is reduced, each of as many pixels: air outside does not count more."""
SIDE_LEAST = 4
"""Sides in px from which on a box has an inside and an outside."""
GROUPS_LEAST = 5
P_MOST = 0.01
"""Probability, over all ways to turn, that a way which fits no better is reported."""
SHARE_LEAST = 0.8
"""Share of cases and labels that the other way must fit better."""
RATIO_LEAST = 1.3
"""How many times as high the steps must be."""


class Turn(NamedTuple):
    """A way to make the pictures of a volume."""

    picture: Picture
    backwards: bool
    """Whether slices are numbered from the other end."""


TURNS = [Turn(*way) for way in itertools.product(get_args(Picture), (False, True))]


def edge_steps(picture: Array, boxes: Array) -> NDArray[np.float64]:
    """How much grey values change along the edges of boxes.

    Parameters
    ----------
    picture : ndarray, shape (H, W)
        Grey values.
    boxes : ndarray, shape (N, 4)
        ``x0, y0, x1, y1`` in px.

    Returns
    -------
    ndarray, shape (N,)
        Mean over the edges inside the picture of the difference between the means of a strip
        inside and one outside, each an eighth of the box deep and along the middle half of the
        edge; nan for a box with a side below `SIDE_LEAST`, or round the whole picture.

    Examples
    --------
    >>> picture = np.zeros((9, 9)); picture[2:6, 2:6] = 1.0
    >>> edge_steps(picture, np.array([[2, 2, 6, 6], [5, 5, 9, 9]])).tolist()
    [1.0, 0.0]
    """
    total = np.pad(picture.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    x0, y0, x1, y1 = np.rint(boxes).astype(int).T
    width, height = x1 - x0, y1 - y0
    deep_x, deep_y = np.maximum(width // 8, 1), np.maximum(height // 8, 1)
    left, right = x0 + width // 4, x1 - width // 4
    top, lower = y0 + height // 4, y1 - height // 4
    strips = [
        (x0, top, x0 + deep_x, lower, x0 - deep_x, top, x0, lower),
        (x1 - deep_x, top, x1, lower, x1, top, x1 + deep_x, lower),
        (left, y0, right, y0 + deep_y, left, y0 - deep_y, right, y0),
        (left, y1 - deep_y, right, y1, left, y1, right, y1 + deep_y),
    ]
    steps = np.abs([_mean(total, one[:4]) - _mean(total, one[4:]) for one in strips])
    steps[:, np.minimum(width, height) < SIDE_LEAST] = np.nan
    known = np.isfinite(steps)
    n = known.sum(axis=0)
    summed = np.where(known, steps, 0.0).sum(axis=0)
    return np.divide(summed, n, out=np.full(len(boxes), np.nan), where=n > 0)


def turned_steps(volume: Array, slices: Sequence[int], boxes: Sequence[Array]) -> Array:
    """Steps along the edges of boxes on the pictures of all `TURNS`.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
        Intensities.
    slices : sequence of int
        Slices that were drawn on.
    boxes : sequence of ndarray, shape (N, 4)
        Boxes of each of these slices.

    Returns
    -------
    ndarray, shape (sum of N, len(TURNS))
        As of `edge_steps`, of grey values in 0 to 1.
    """
    found = []
    for k, some in zip(slices, boxes, strict=True):
        planes = [_evened(volume[:, :, one]) for one in (k, volume.shape[2] - 1 - k)]
        columns = [
            edge_steps(to_pictures(planes[turn.backwards][:, :, None], turn.picture)[0], some)
            for turn in TURNS
        ]
        found.append(np.column_stack(columns))
    return np.concatenate(found) if found else np.empty((0, len(TURNS)))


def better_turn(steps: Array, now: Turn, allowed: Sequence[Turn] = TURNS) -> Turn | None:
    """The way to turn pictures that boxes fit clearly better than the present one.

    Parameters
    ----------
    steps : ndarray, shape (G, len(TURNS))
        Steps of groups of boxes that say it independently, as those of one case and label.
    now : Turn
        The present way.
    allowed : sequence of Turn
        Ways that give pictures of the size that was drawn on.

    Returns
    -------
    Turn or None
        `None` where no way is better beyond chance (Student's t of the differences between
        groups, Bonferroni over the ways), in most groups and by much; or where too few groups are
        known.
    """
    steps = steps[np.isfinite(steps).all(axis=1)]
    if len(steps) < GROUPS_LEAST:
        return None
    base = steps[:, TURNS.index(now)]
    best = max(allowed, key=lambda turn: steps[:, TURNS.index(turn)].mean())
    values = steps[:, TURNS.index(best)]
    gain = np.log(values) - np.log(base)
    error = max(gain.std(ddof=1) / np.sqrt(len(gain)), np.finfo(float).tiny)
    p = stats.t.sf(gain.mean() / error, len(gain) - 1) * len(TURNS)
    clear = p < P_MOST and values.mean() >= RATIO_LEAST * base.mean()
    return best if clear and (gain > 0).mean() >= SHARE_LEAST else None


def _evened(plane: Array) -> Array:
    """Grey values of a plane, 0 to 1, of each of which there are as many pixels as can be."""
    limits = np.unique(np.quantile(plane, np.linspace(0, 1, GREYS + 1)[1:-1]))
    return np.searchsorted(limits, plane, side="right") / GREYS


def _mean(total: Array, strip: tuple[Array, ...]) -> Array:
    """Means of rectangles by a table of summed values; nan for those with no pixel inside."""
    rows, columns = total.shape[0] - 1, total.shape[1] - 1
    x0, x1 = (np.clip(x, 0, columns) for x in strip[::2])
    y0, y1 = (np.clip(y, 0, rows) for y in strip[1::2])
    summed = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
    area = (x1 - x0) * (y1 - y0)
    return np.divide(summed, area, out=np.full(len(x0), np.nan), where=area > 0)
