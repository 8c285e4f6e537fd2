"""Hashes of what a decision was taken on: where it has changed, the decision is not applied."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.schema import BOX

_DIGITS = 16


def box_inputs(boxes: pd.DataFrame, *, iou: float) -> str:
    """Hash of the boxes at one place: all that raters drew of one label on one slice.

    Parameters
    ----------
    boxes : DataFrame
        Rows of the table ``boxes``: one case, slice and label.
    iou : float
        Threshold of the matching, on which the numbers of objects depend.

    Returns
    -------
    str
        16 hex digits; the same in whatever order the boxes are.
    """
    corners = boxes[BOX].to_numpy(dtype=np.float64).round(2) + 0.0
    rows = sorted(zip(boxes["rater"].tolist(), *corners.T.tolist(), strict=True))
    return _digest(repr((round(iou, 6), rows)).encode())


def mask_inputs(mask: NDArray[Any]) -> str:
    """Hash of a mask on one slice.

    Parameters
    ----------
    mask : ndarray, shape (rows, columns)
        Pixels of the label are not zero.

    Returns
    -------
    str
        16 hex digits.
    """
    inside = np.ascontiguousarray(mask != 0)
    return _digest(repr(inside.shape).encode() + np.packbits(inside).tobytes())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
