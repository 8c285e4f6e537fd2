"""Cells: the rectangles into which the edges of boxes cut a plane.

Inside a cell every box covers all or nothing, so votes need to be counted once per cell, with
its area, instead of once per pixel. Planes with equally many boxes are cut together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdqc.arrays import Floats, Ints

Flags = NDArray[np.bool_]

_LARGEST = 2**60
"""Codes above this are numbered anew, so that they never overflow."""
_TABLE = 2**22
"""Codes below this are counted in a table instead of sorted."""


@dataclass(frozen=True)
class Cells:
    """Rectangles of several planes, none of them empty.

    Parameters
    ----------
    plane : ndarray of int64, shape (K,)
        Plane of each cell.
    box : ndarray, shape (K, 4)
        ``x0, y0, x1, y1`` in px.
    votes : ndarray of bool, shape (K, R)
        Which rater's boxes cover it.
    """

    plane: Ints
    box: Floats
    votes: Flags

    @property
    def area(self) -> Floats:
        """Area of each cell in px^2, shape (K,)."""
        area: Floats = np.prod(self.box[:, 2:] - self.box[:, :2], axis=1)
        return area


def groups_of_equal_size(ids: Ints, n: int) -> Iterator[tuple[Ints, Ints]]:
    """Rows of each id, for ids with equally many rows at a time.

    Parameters
    ----------
    ids : ndarray of int64, shape (N,)
        From 0 to ``n - 1``.
    n : int
        Number of ids; those without rows come first, with no columns.

    Yields
    ------
    ids : ndarray of int64, shape (G,)
        Ids with m rows each.
    rows : ndarray of int64, shape (G, m)
        Their rows, in order.
    """
    count = np.bincount(ids, minlength=n)
    order = np.argsort(ids, kind="stable")
    start = np.cumsum(count) - count
    for size in np.unique(count):
        same = np.flatnonzero(count == size)
        yield same, order[start[same][:, None] + np.arange(size)]


def cut(boxes: Floats, frame: Floats) -> tuple[Floats, Floats, Flags, Flags]:
    """Cut planes with m boxes each at the edges of their boxes.

    Parameters
    ----------
    boxes : ndarray, shape (G, m, 4)
        Inside `frame`.
    frame : ndarray, shape (G, 4)
        What is cut.

    Returns
    -------
    xs, ys : ndarray, shape (G, 2 m + 2)
        Cuts in order, the frame's own among them; equal cuts give cells without width.
    in_x, in_y : ndarray of bool, shape (G, m, 2 m + 1)
        Whether a box reaches over a column, or a row, of cells.
    """
    found = []
    for low, high in ((0, 2), (1, 3)):
        cuts = np.sort(
            np.hstack([boxes[:, :, low], boxes[:, :, high], frame[:, [low, high]]]), axis=1
        )
        left, right = cuts[:, None, :-1], cuts[:, None, 1:]
        inside = (boxes[:, :, low, None] <= left) & (right <= boxes[:, :, high, None])
        found.append((cuts, inside))
    (xs, in_x), (ys, in_y) = found
    return xs, ys, in_x, in_y


def cut_planes(
    boxes: Floats,
    *,
    rater: Ints,
    plane: Ints,
    shape: tuple[int, int, int],
    raters: int,
    margin: float | None = None,
) -> Cells:
    """Cells of all planes, with the votes of the raters.

    With `margin`, only what lies up to so many px round the boxes of a plane is cut.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        In px; cut off at the image.
    rater : ndarray of int, shape (N,)
        From 0.
    plane : ndarray of int, shape (N,)
        From 0.
    shape : tuple of int
        Planes, rows, columns.
    raters : int
        Number of raters.
    margin : float, optional
        Only so many px round the boxes of a plane are cut, and no plane without boxes.
    """
    planes, rows, columns = shape
    limit = np.array([columns, rows, columns, rows], dtype=np.float64)
    clipped = np.clip(boxes, 0.0, limit)
    parts = []
    for which, chosen in groups_of_equal_size(plane, planes):
        size = chosen.shape[1]
        if size == 0 and margin is not None:
            continue
        frame = np.tile([0.0, 0.0, columns, rows], (len(which), 1))
        if margin is not None:
            frame[:, :2] = np.maximum(clipped[chosen].min(axis=1)[:, :2] - margin, 0)
            frame[:, 2:] = np.minimum(clipped[chosen].max(axis=1)[:, 2:] + margin, limit[2:])
        parts.append(_cells(which, clipped[chosen], frame, who=rater[chosen], raters=raters))
    if not parts:
        return Cells(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros((0, raters), bool))
    return Cells(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _cells(
    which: Ints, boxes: Floats, frame: Floats, *, who: Ints, raters: int
) -> tuple[Ints, Floats, Flags]:
    xs, ys, in_x, in_y = cut(boxes, frame)
    groups, side = len(boxes), xs.shape[1] - 1
    votes = np.zeros((groups, side, side, raters), dtype=bool)
    plane = np.arange(groups)
    for k in range(boxes.shape[1]):
        votes[plane, :, :, who[:, k]] |= in_y[:, k, :, None] & in_x[:, k, None, :]
    corners = np.empty((groups, side, side, 4))
    corners[..., 0], corners[..., 2] = xs[:, None, :-1], xs[:, None, 1:]
    corners[..., 1], corners[..., 3] = ys[:, :-1, None], ys[:, 1:, None]
    real = (np.diff(ys)[:, :, None] > 0) & (np.diff(xs)[:, None, :] > 0)
    places = np.broadcast_to(which[:, None, None], real.shape)
    return places[real], corners[real], votes[real]


def patterns(columns: Iterable[NDArray[np.integer]]) -> tuple[Ints, Ints]:
    """Number the different rows of a table that is given column by column.

    Parameters
    ----------
    columns : iterable of ndarray of int, shape (M,)
        At least one; not negative.

    Returns
    -------
    first : ndarray of int64, shape (K,)
        A row with each pattern.
    pattern : ndarray of int64, shape (M,)
        Pattern of each row.
    """
    code, size = np.zeros(0, np.int64), 0
    for column in columns:
        n = int(column.max(initial=0)) + 1
        if size == 0:
            code, size = column.astype(np.int64), n
            continue
        if size * n > _LARGEST:
            first, code = _numbered(code, size)
            size = len(first)
        code, size = code * n + column, size * n
    return _numbered(code, size)


def _numbered(code: Ints, size: int) -> tuple[Ints, Ints]:
    if size > _TABLE:
        _, first, pattern = np.unique(code, return_index=True, return_inverse=True)
        return first, pattern.reshape(-1)
    first = np.full(size, -1)
    first[code[::-1]] = np.arange(len(code))[::-1]
    used = first >= 0
    return first[used], (np.cumsum(used) - 1)[code]


def paint(cells: Cells, value: Floats, plane: int, *, shape: tuple[int, int]) -> Floats:
    """Paint the cells of one plane into an image.

    A pixel that cells share gets their values by the share of its area.

    Parameters
    ----------
    cells : Cells
        K cells of any planes.
    value : ndarray, shape (K,)
        Of each cell.
    plane : int
        The one that is painted.
    shape : tuple of int
        Rows, columns.

    Returns
    -------
    ndarray, shape (rows, columns)
        0 outside the cells.
    """
    image = np.zeros(shape)
    for index in np.flatnonzero((cells.plane == plane) & (value != 0)):
        x0, y0, x1, y1 = cells.box[index]
        rows, height = _cover(y0, y1)
        columns, width = _cover(x0, x1)
        image[rows, columns] += value[index] * np.outer(height, width)
    return image


def _cover(low: float, high: float) -> tuple[slice, Floats]:
    """Pixels that an interval touches, and the share of each that it covers."""
    first, last = int(np.floor(low)), int(np.ceil(high))
    pixel = np.arange(first, last)
    return slice(first, last), np.minimum(pixel + 1, high) - np.maximum(pixel, low)
