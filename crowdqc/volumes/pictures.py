"""The pictures that people annotate, and how they become a volume and back.

People annotate *pictures* of the slices ``volume[:, :, k]``, turned in one of eight ways
(`crowdqc.config.Picture`). A stack of pictures is ``(plane, row, column)`` with plane = k.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.config import Picture, Window

Array = NDArray[Any]

BELOW_WATER = -50.0
"""Half a per cent of a volume below this: fat and air in HU, and no MR, PET or z-score has it."""

LABELS_MAX = 128
"""Most values of a volume that may be labels: a whole body has about a hundred organs."""

TURNS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda a: a,
    "rot90": lambda a: np.rot90(a, 1, axes=(-2, -1)),
    "rot180": lambda a: np.rot90(a, 2, axes=(-2, -1)),
    "rot270": lambda a: np.rot90(a, 3, axes=(-2, -1)),
    "flipud": lambda a: np.flip(a, axis=-2),
    "fliplr": lambda a: np.flip(a, axis=-1),
    "transpose": lambda a: np.swapaxes(a, -2, -1),
    "transverse": lambda a: np.rot90(np.swapaxes(a, -2, -1), 2, axes=(-2, -1)),
}
_INVERSE = {"rot90": "rot270", "rot270": "rot90"}


def swaps_axes(picture: Picture) -> bool:
    """Whether the columns of a picture run along the first axis of its volume."""
    return picture in {"rot90", "rot270", "transpose", "transverse"}


def to_pictures(volume: Array, picture: Picture) -> Array:
    """Pictures of all slices of a volume.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
    picture : str
        How a picture is made from ``volume[:, :, k]``.

    Returns
    -------
    pictures : ndarray, shape (K, rows, columns)
        A view where numpy allows it.

    Examples
    --------
    >>> volume = np.arange(6).reshape(3, 2, 1)
    >>> bool((to_pictures(volume, "rot90")[0] == np.rot90(volume[:, :, 0])).all())
    True
    """
    return TURNS[picture](np.moveaxis(volume, 2, 0))


def from_pictures(pictures: Array, picture: Picture) -> Array:
    """Volume of the pictures of its slices: the inverse of `to_pictures`.

    Parameters
    ----------
    pictures : ndarray, shape (K, rows, columns)
        One for each slice.
    picture : str
        How they were made from ``volume[:, :, k]``.

    Returns
    -------
    ndarray, shape (I, J, K)
        A view where numpy allows it.
    """
    return np.moveaxis(TURNS[_INVERSE.get(picture, picture)](pictures), 0, 2)


def to_grey(volume: Array, window: Window) -> NDArray[np.uint8]:
    """Intensities as grey values 0 to 255: the window's lower end is 0, its upper end 255.

    Parameters
    ----------
    volume : ndarray
        Intensities: HU for CT. The percentiles of MR and PET are those of this array, which
        should be the whole volume, so that its slices stay comparable.
    window : Window

    Returns
    -------
    grey : ndarray of uint8
        Linear within the window, rounded to the nearest, clipped outside; all 0 where the
        window has no width.
    """
    low, high = window_limits(volume, window)
    if not high > low:
        return np.zeros(volume.shape, np.uint8)
    scaled = (np.asarray(volume, np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def suggest_window(volume: Array) -> Window:
    """A window for intensities of which nothing else is known.

    Parameters
    ----------
    volume : ndarray
        Intensities of a whole volume.

    Returns
    -------
    Window
        That of abdominal CT where values are Hounsfield units, which are far below 0 in fat and
        air; else the percentiles that suit MR and PET, which have no such unit.

    Examples
    --------
    >>> suggest_window(np.array([-1000, 0, 60])).level, suggest_window(np.array([0, 900])).level
    (40.0, None)
    """
    if np.percentile(volume, 0.5) < BELOW_WATER:
        return Window(level=40.0, width=400.0)
    return Window(percentiles=(0.5, 99.5))


def looks_like_labels(volume: Array) -> bool:
    """Whether a volume seems to hold labels, such as masks of experts, and no intensities.

    Parameters
    ----------
    volume : ndarray
        A whole volume.

    Returns
    -------
    bool
        True for whole numbers from 0, of `LABELS_MAX` kinds at most, of which most are 0.

    Examples
    --------
    >>> looks_like_labels(np.array([0, 0, 0, 5])), looks_like_labels(np.array([0, -1000, 60, 7]))
    (True, False)
    """
    if volume.min(initial=0) < 0 or (volume == 0).mean() < 0.5:
        return False
    values = np.unique(volume)
    return len(values) <= LABELS_MAX and bool((values % 1 == 0).all())


def window_limits(volume: Array, window: Window) -> tuple[float, float]:
    """Intensities that become black and white.

    Parameters
    ----------
    volume : ndarray
        All of it, where the window is one of percentiles.
    window : Window
        Of the study file.

    Returns
    -------
    low, high : float
        Both ends of the window.
    """
    if window.percentiles is not None:
        low, high = np.percentile(volume, window.percentiles)
        return float(low), float(high)
    level, width = window.level or 0.0, window.width or 0.0
    return level - width / 2, level + width / 2
