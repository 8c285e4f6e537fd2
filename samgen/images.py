"""The pictures that a model sees: the ones that were annotated, as grey values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdqc.config import Picture, Plane, Window
from crowdqc.volumes import Geometry, read_volume, to_grey, to_pictures


def read_pictures(
    path: Path, *, plane: Plane = "stored", picture: Picture, window: Window
) -> tuple[NDArray[np.uint8], Geometry]:
    """Grey pictures of all slices of a volume.

    Parameters
    ----------
    path : Path
        NIfTI file.
    plane : str
        Which slices of it were annotated.
    picture : str
        How the annotated picture was made from ``volume[:, :, k]``.
    window : Window
        Percentiles are those of the whole volume, so that its slices stay comparable.

    Returns
    -------
    pictures : ndarray of uint8, shape (planes, rows, columns)
    geometry : Geometry
        Of the volume, turned to `plane`.

    Raises
    ------
    InputError
        If the volume cannot be read.
    """
    volume, geometry = read_volume(path, plane=plane)
    return to_pictures(to_grey(volume, window), picture), geometry
