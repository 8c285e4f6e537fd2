"""Geometry of axis-aligned boxes, on plain arrays.

A box is ``x0, y0, x1, y1`` in pixels. ``x`` runs along columns and ``y`` along rows;
``(0, 0)`` is the outer corner of the first pixel, so a box round exactly one pixel is
one pixel wide and the area of a box is ``(x1 - x0) * (y1 - y0)``. Coordinates are floats
and are never rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]
"""Boxes ``x0, y0, x1, y1`` in px, shape (N, 4)."""


def as_boxes(name: str, boxes: ArrayLike) -> Boxes:
    """`boxes` as a float array (N, 4), or an error that names the first bad row.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    boxes : array_like, shape (N, 4)
        ``x0, y0, x1, y1`` in px.

    Raises
    ------
    ValueError
        If `boxes` is not ``(N, 4)``, or a box has ``x1 <= x0``, ``y1 <= y0`` or a value
        that is not finite. `name` is used in the message.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"'{name}' must have shape (N, 4); got {array.shape}.")
    x0, y0, x1, y1 = array.T  # columns: numpy is slow along an axis of two or four
    good, finite = (x1 > x0) & (y1 > y0), np.isfinite(array)
    if not (good.all() and finite.all()):
        bad = ~(good & finite.all(axis=1))
        first = int(bad.argmax())
        raise ValueError(
            f"'{name}' has {bad.sum()} of {len(array)} boxes that are empty, reversed "
            f"or not finite; the first is row {first}: {array[first].tolist()}. "
            "A box is x0, y0, x1, y1 with x0 < x1 and y0 < y1."
        )
    return array


def pairwise_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every box in `a` with every box in `b`.

    Parameters
    ----------
    a : array_like, shape (N, 4)
        Boxes ``x0, y0, x1, y1`` in pixels.
    b : array_like, shape (M, 4)
        As `a`.

    Returns
    -------
    iou : ndarray, shape (N, M)
        In ``[0, 1]``. Boxes without area are refused, so the union is never empty.

    Raises
    ------
    ValueError
        As `as_boxes`.

    References
    ----------
    .. [1] P. Jaccard, "The distribution of the flora in the alpine zone", New
       Phytologist 11(2), 1912. :doi:`10.1111/j.1469-8137.1912.tb05611.x`

    Examples
    --------
    >>> pairwise_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]])
    array([[0.33333333, 0.        ]])
    """
    a, b = as_boxes("a", a), as_boxes("b", b)
    return _iou(a[:, None, :], b[None, :, :])


def paired_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each box in `a` with the box in the same row of `b`.

    Parameters
    ----------
    a, b : array_like, shape (N, 4)
        Boxes ``x0, y0, x1, y1`` in pixels.

    Returns
    -------
    iou : ndarray, shape (N,)
        In ``[0, 1]``.

    Raises
    ------
    ValueError
        As `as_boxes`, or if `a` and `b` differ in length.

    Examples
    --------
    >>> paired_iou([[0, 0, 2, 2], [0, 0, 1, 1]], [[1, 0, 3, 2], [0, 0, 1, 1]])
    array([0.33333333, 1.        ])
    """
    a, b = as_boxes("a", a), as_boxes("b", b)
    if len(a) != len(b):
        raise ValueError(f"'a' and 'b' must have as many boxes; got {len(a)} and {len(b)}.")
    return _iou(a, b)


def known_iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """As `paired_iou`, of boxes of which some are not known.

    Parameters
    ----------
    a, b : ndarray, shape (N, 4)
        As of `paired_iou`; nan is what is not known.

    Returns
    -------
    iou : ndarray, shape (N,)
        In ``[0, 1]``; nan where a number of either box is nan.

    Examples
    --------
    >>> known_iou(np.array([[0, 0, 2, 2], [np.nan] * 4]), np.array([[0, 0, 1, 2], [0, 0, 1, 1]]))
    array([0.5, nan])
    """
    iou = np.full(len(a), np.nan)
    known = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    iou[known] = paired_iou(a[known], b[known])
    return iou


def _iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    a0, b0, a1, b1 = (a[..., edge] for edge in range(4))
    c0, d0, c1, d1 = (b[..., edge] for edge in range(4))
    width = np.minimum(a1, c1) - np.maximum(a0, c0)
    height = np.minimum(b1, d1) - np.maximum(b0, d0)
    overlap = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = (a1 - a0) * (b1 - b0) + (c1 - c0) * (d1 - d0) - overlap
    iou: NDArray[np.float64] = overlap / union
    return iou


def yolo_to_pixels(yolo: ArrayLike, *, height: float, width: float) -> Boxes:
    """YOLO boxes ``x_centre, y_centre, width, height`` (fractions) as boxes in pixels.

    Parameters
    ----------
    yolo : array_like, shape (N, 4)
        Fractions of the image's width and height.
    height, width : float
        Size of the image in px (rows, columns).

    Returns
    -------
    boxes : ndarray, shape (N, 4)
        ``x0, y0, x1, y1`` in px; not checked, not clipped and not rounded.

    Examples
    --------
    >>> yolo_to_pixels([[0.5, 0.5, 0.5, 0.25]], height=100, width=200)
    array([[ 50. ,  37.5, 150. ,  62.5]])
    """
    array = np.asarray(yolo, dtype=np.float64).reshape(-1, 4)
    centre, half = array[:, :2], array[:, 2:] / 2
    return np.hstack([centre - half, centre + half]) * np.array([width, height, width, height])


def pixels_to_yolo(boxes: ArrayLike, *, height: float, width: float) -> NDArray[np.float64]:
    """Inverse of `yolo_to_pixels`.

    Parameters
    ----------
    boxes : array_like, shape (N, 4)
        ``x0, y0, x1, y1`` in px.
    height : float
        Of the image, in px.
    width : float
        Of the image, in px.

    Returns
    -------
    ndarray, shape (N, 4)
        Centre and sides as a share of the image.

    Examples
    --------
    >>> pixels_to_yolo([[50, 37.5, 150, 62.5]], height=100, width=200)
    array([[0.5 , 0.5 , 0.5 , 0.25]])
    """
    array = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    array = array / np.array([width, height, width, height])
    low, high = array[:, :2], array[:, 2:]
    return np.hstack([(low + high) / 2, high - low])
