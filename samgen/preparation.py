"""Pictures and boxes as the image encoders of SAM and MedSAM want them, on plain arrays.

Both models come from one architecture, but MedSAM was trained on pictures that were stretched to
a square and scaled to 0 to 1; given SAM's, it draws nonsense.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.filters import sobel
from skimage.transform import resize

from crowdqc.geometry import Boxes

MEAN = np.array([123.675, 116.28, 103.53], np.float32)[:, None, None]
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)[:, None, None]
"""Of the colours of SA-1B, on which SAM was trained; for values from 0 to 255."""


def prepare_for_sam(
    picture: NDArray[np.uint8], side: int
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """What SAM's own predictor makes of a grey picture.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns)
    side : int
        Side S of the encoder's input in px.

    Returns
    -------
    pixels : ndarray of float32, shape (3, S, S)
        Normalised, the longer side resized to S, padded at the right and at the bottom.
    covered : tuple of int
        Rows and columns that are not padding.
    """
    rows, columns = picture.shape
    scale = side / max(rows, columns)
    covered = int(rows * scale + 0.5), int(columns * scale + 0.5)
    grey = Image.fromarray(picture).resize(covered[::-1], Image.Resampling.BILINEAR)
    pixels = np.zeros((3, side, side), np.float32)
    normalised = (np.asarray(grey, np.float32) - MEAN) / DEVIATION
    pixels[:, : covered[0], : covered[1]] = normalised
    return pixels, covered


def prepare_for_medsam(
    picture: NDArray[np.uint8], side: int
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """What MedSAM's own script makes of a grey picture.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns)
    side : int
        Side S of the encoder's input in px.

    Returns
    -------
    pixels : ndarray of float32, shape (3, S, S)
        From 0 to 1 (all 0 for a picture of one grey value), stretched to a square.
    covered : tuple of int
        ``(S, S)``: nothing is padding.
    """
    large = resize(picture, (side, side), order=3, preserve_range=True, anti_aliasing=True).astype(
        np.uint8
    )
    low, high = float(large.min()), float(large.max())
    pixels = ((large - low) / max(high - low, 1e-8)).astype(np.float32)
    return np.broadcast_to(pixels, (3, side, side)).copy(), (side, side)


def enhance_picture(picture: NDArray[np.uint8], *, edges: bool) -> NDArray[np.uint8]:
    """The picture that the study gave to `SamPredictor`.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns)
    edges : bool
        Whether the magnitude of the Sobel gradient is added, as the study did for SAM.

    Returns
    -------
    enhanced : ndarray of uint8, shape (rows, columns, 3)
        Stretched to 0 to 255 and truncated. A picture of one grey value, which the study's code
        could not stretch, is black.
    """
    colour = np.repeat(picture[..., None], 3, axis=2).astype(np.float32)
    stretched = _stretch(colour)
    if edges:
        # Of all three axes, as the study did it: the third has no edges, but its rounding counts.
        stretched = _stretch(stretched + _stretch(sobel(stretched)))
    return stretched.astype(np.uint8)


def _stretch(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros_like(values)
    return (values - low) / (high - low) * 255.0


def place_points(
    points: NDArray[np.float64], *, picture: tuple[int, int], covered: tuple[int, int]
) -> NDArray[np.float64]:
    """Points in the encoder's pixels, as `place_boxes` places the corners of boxes.

    Parameters
    ----------
    points : ndarray, shape (..., 2)
        ``x, y`` in px of the picture.
    picture, covered : tuple of int
        As for `place_boxes`.
    """
    scale = np.array([covered[1] / picture[1], covered[0] / picture[0]])
    placed: NDArray[np.float64] = points * scale - 0.5
    return placed


def place_boxes(
    boxes: Boxes, *, picture: tuple[int, int], covered: tuple[int, int]
) -> NDArray[np.float64]:
    """Boxes in the encoder's pixels, so that SAM sees their edges where they are.

    SAM takes coordinates for the indices of pixels and adds 0.5 to find their middle. Ours are
    edges already, and would come out half a pixel too far right and down.

    Parameters
    ----------
    boxes : ndarray, shape (K, 4)
        In px of the picture.
    picture, covered : tuple of int
        Rows and columns of the picture, and of the part of the encoder's input that it fills.

    Returns
    -------
    placed : ndarray, shape (K, 4)

    Examples
    --------
    >>> place_boxes(np.array([[0, 0, 512, 256.0]]), picture=(256, 512), covered=(512, 1024))
    array([[-5.0000e-01, -5.0000e-01,  1.0235e+03,  5.1150e+02]])
    """
    corners = boxes.reshape(*boxes.shape[:-1], 2, 2)
    return place_points(corners, picture=picture, covered=covered).reshape(boxes.shape)
