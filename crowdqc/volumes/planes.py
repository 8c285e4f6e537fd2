"""Which axis of a volume the annotated slices follow, and turning volumes to it and back.

A plane is "stored", "axial", "coronal" or "sagittal" (`crowdqc.config.Plane`). "stored" turns
nothing. The others bring the stored axes into the order and direction of the patient's axes that
they are nearest to; nothing is interpolated, and an oblique volume stays oblique.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.config import Plane

Affine = NDArray[np.float64]

AXES = {"axial": "RAS", "coronal": "RSA", "sagittal": "ASR"}
"""Plane -> directions of the patient into which ``i, j, k`` grow."""


def turn_grid(
    shape: tuple[int, int, int], affine: Affine, plane: Plane
) -> tuple[tuple[int, int, int], Affine]:
    """Shape and affine of a volume that is turned to a plane.

    Parameters
    ----------
    shape : tuple of int
        Voxels along ``i, j, k`` as stored.
    affine : ndarray, shape (4, 4)
        Stored voxel index to patient space, RAS+.
    plane : str

    Examples
    --------
    >>> shape, affine = turn_grid((2, 3, 4), np.diag([-1.0, 5, 1, 1]), "coronal")
    >>> shape, affine[:3, :3].tolist()
    ((2, 4, 3), [[1.0, 0.0, 0.0], [0.0, 0.0, 5.0], [0.0, 1.0, 0.0]])
    """
    if plane == "stored":
        return shape, affine
    from nibabel import orientations

    turn = _turn(affine, plane)
    i, j, k = (shape[stored] for stored in turn[:, 0].argsort())
    return (i, j, k), affine @ orientations.inv_ornt_aff(turn, shape)


def turn_voxels(volume: NDArray[Any], affine: Affine, plane: Plane) -> NDArray[Any]:
    """Turn a stored volume so that its slices lie in a plane.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
        As stored.
    affine : ndarray, shape (4, 4)
        Of the volume as stored.
    plane : str
        One of `Plane`.

    Returns
    -------
    ndarray
        A view: its axes are columns, rows and slices of that plane.
    """
    if plane == "stored":
        return volume
    from nibabel import orientations

    turned: NDArray[Any] = orientations.apply_orientation(volume, _turn(affine, plane))
    return turned


def turn_back(volume: NDArray[Any], affine: Affine, plane: Plane) -> NDArray[Any]:
    """Inverse of `turn_voxels`.

    Parameters
    ----------
    volume : ndarray
        As of `turn_voxels`.
    affine : ndarray, shape (4, 4)
        Of the volume as stored.
    plane : str
        One of `Plane`.

    Returns
    -------
    ndarray, shape (I, J, K)
        As stored.
    """
    if plane == "stored":
        return volume
    from nibabel import orientations

    turn = _turn(affine, plane)
    order = turn[:, 0].argsort()
    back = np.column_stack([order, turn[order, 1]])
    stored: NDArray[Any] = orientations.apply_orientation(volume, back)
    return stored


def _turn(affine: Affine, plane: str) -> NDArray[np.float64]:
    """Where each stored axis goes, and whether it is flipped, as nibabel writes it."""
    from nibabel import orientations

    turn: NDArray[np.float64] = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(AXES[plane])
    )
    return turn
