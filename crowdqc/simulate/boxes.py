"""True boxes from a true mask, in the two ways in which simulated annotations are made.

`tight` boxes touch the organ, one a slice. `paper` boxes are those of Kulkarni et al. [1]_: the
mask is blurred by a 5x5 uniform filter, what is above 0.01 counts, and each connected
component gets its box. One pixel of the mask alone gives 1/25 = 0.04, so a paper box is two
pixels wider on each side than a tight one.

References
----------
.. [1] P. Kulkarni et al., "Anytime, Anywhere, Anyone: Investigating the Feasibility of Segment
   Anything Model for Crowd-Sourcing Medical Image Annotations", 2024. arXiv:2403.15218
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from crowdqc.geometry import Boxes

Model = Literal["tight", "paper"]

FILTER_PX = 5
"""Side of the uniform filter of the paper."""
THRESHOLD = 0.01
"""What the filtered mask must exceed."""


def tight_boxes(mask: ArrayLike) -> Boxes:
    """The box that touches a mask on all four sides.

    Parameters
    ----------
    mask : array_like of bool, shape (R, C)
        One slice of one label.

    Returns
    -------
    boxes : ndarray, shape (1, 4) or (0, 4)
        ``x0, y0, x1, y1`` in px; none for an empty mask.

    Examples
    --------
    >>> tight_boxes([[0, 0, 0], [0, 1, 1]])
    array([[1., 1., 3., 2.]])
    """
    array = np.asarray(mask, dtype=bool)
    if not array.any():
        return np.empty((0, 4))
    return _boxes_of([_extent(array)])


def paper_boxes(mask: ArrayLike) -> Boxes:
    """Boxes round the components of a mask blurred as in the paper.

    Parameters
    ----------
    mask : array_like of bool, shape (R, C)
        One slice of one label.

    Returns
    -------
    boxes : ndarray, shape (N, 4)
        ``x0, y0, x1, y1`` in px, in the order of their first pixel by rows; none for an empty
        mask. Components touch along edges, not corners, and the image is continued by
        reflection: the defaults of scipy, which the paper does not mention.

    References
    ----------
    .. [1] P. Kulkarni et al., 2024. arXiv:2403.15218

    Examples
    --------
    >>> mask = np.zeros((9, 12))
    >>> mask[4, 3] = mask[4, 9] = 1
    >>> paper_boxes(mask)
    array([[ 1.,  2.,  6.,  7.],
           [ 7.,  2., 12.,  7.]])
    """
    array = np.asarray(mask, dtype=bool)
    if not array.any():
        return np.empty((0, 4))
    near = ndimage.uniform_filter(array.astype(np.float64), size=FILTER_PX) > THRESHOLD
    components, _ = ndimage.label(near)
    return _boxes_of(ndimage.find_objects(components))


def label_boxes(
    stack: NDArray[np.integer], value: int, *, model: Model = "tight"
) -> tuple[NDArray[np.int64], Boxes]:
    """Boxes of one label on every slice of a case.

    Parameters
    ----------
    stack : ndarray of int, shape (P, R, C)
        Label values: planes, rows, columns.
    value : int
        The label's value.
    model : {"tight", "paper"}
        How a box is made of a mask.

    Returns
    -------
    planes : ndarray of int, shape (N,)
        Slice of each box, ascending.
    boxes : ndarray, shape (N, 4)
        ``x0, y0, x1, y1`` in px.
    """
    kernel = tight_boxes if model == "tight" else paper_boxes
    masks = stack == value
    found = [(plane, kernel(masks[plane])) for plane in np.flatnonzero(masks.any(axis=(1, 2)))]
    planes = np.repeat([plane for plane, _ in found], [len(boxes) for _, boxes in found])
    boxes = np.concatenate([np.empty((0, 4)), *(boxes for _, boxes in found)])
    return planes.astype(np.int64), boxes


def _extent(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _boxes_of(extents: list[tuple[slice, slice]]) -> Boxes:
    corners = [(c.start, r.start, c.stop, r.stop) for r, c in extents]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)
