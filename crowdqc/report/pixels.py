"""Pixels of slices as small PNGs for a page, and the outlines of masks as vectors."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE = 320
"""Side of a PNG in px at most."""
_UNCERTAINTY_COLOUR = (213, 94, 0)
"""Colour of uncertainty: the vermillion of the Okabe-Ito palette."""


@dataclass(frozen=True)
class PixelLayer:
    """Pixels of a part of the slice as a PNG in a data URI."""

    uri: str
    x: int
    y: int
    width: int
    height: int


def crop(corners: NDArray[np.float64], tall: float) -> tuple[float, float, float, float]:
    """A part that is square on the body, round all boxes, with room: x, y, width, height.

    Parameters
    ----------
    corners : ndarray, shape (N, 4)
        Boxes ``x0, y0, x1, y1`` in px; N at least 1.
    tall : float
        Height of a pixel over its width.

    Returns
    -------
    tuple of float
        ``x, y, width, height`` in px; may reach beyond the picture.
    """
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    width, height = high - low
    side = max(width, height * tall, 16.0) * 1.5
    x, y = (low + high) / 2 - np.array([side, side / tall]) / 2
    return (math.floor(x), math.floor(y), math.ceil(side), math.ceil(side / tall))


def outline(mask: NDArray[np.bool_]) -> str:
    """Outline of a mask as an SVG path; (0, 0) is the outer corner of the first pixel.

    Examples
    --------
    >>> outline(np.array([[False, False], [False, True]]))
    'M1.5 2L1 1.5L1.5 1L2 1.5z'
    """
    if not mask.any():
        return ""
    padded = np.pad(mask.astype(np.float64), 1)
    parts = []
    for line in skimage.measure.find_contours(padded, 0.5):
        points = skimage.measure.approximate_polygon(line, 0.4)[:-1] - 0.5
        parts.append("M" + "L".join(f"{x:.4g} {y:.4g}" for y, x in points) + "z")
    return "".join(parts)


def uncertainty_colours(uncertainty: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Uncertainty in [0, 1] as colours that are clear where there is none, shape (H, W, 4)."""
    level = np.clip(np.nan_to_num(uncertainty), 0.0, 1.0)
    pixels = np.empty((*uncertainty.shape, 4), dtype=np.uint8)
    pixels[..., :3] = _UNCERTAINTY_COLOUR
    pixels[..., 3] = np.rint(230 * level)
    return pixels


def canvas(size: tuple[int, int]) -> PixelLayer | None:
    """Where the image would be, without pixels."""
    return PixelLayer("", 0, 0, size[1], size[0]) if all(size) else None


def layer(pixels: NDArray[np.uint8], view: tuple[float, ...]) -> PixelLayer | None:
    """The part of the pixels that is in view, as a PNG of at most `MAX_SIDE` px.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns) or (rows, columns, 4)
        Grey, or red, green, blue and opacity.
    view : tuple of float
        ``x, y, width, height`` in px, as of `crop`.

    Returns
    -------
    PixelLayer or None
        `None` if the view lies beside the picture.
    """
    rows, columns = pixels.shape[:2]
    x0, y0 = max(int(view[0]), 0), max(int(view[1]), 0)
    x1, y1 = min(int(view[0] + view[2]), columns), min(int(view[1] + view[3]), rows)
    if x1 <= x0 or y1 <= y0:
        return None
    image = Image.fromarray(pixels[y0:y1, x0:x1])
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    if image.mode == "RGBA":
        image = image.quantize(64)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return PixelLayer(uri, x0, y0, x1 - x0, y1 - y0)
