"""Where a volume lies: its shape and affine, and whether two volumes lie on one grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdqc.config import Picture
from crowdqc.findings import InputError
from crowdqc.volumes.pictures import TURNS, Array, swaps_axes

APART = "Write each time point or channel to a file of its own; a case is one of them."
"""Remedy for a file that holds several volumes."""
SIDE_MAX = 32_767
"""Most voxels along an axis of a NIfTI file."""
SMALL_MM, FAR_MM = 1e-6, 1e7
"""No voxel is smaller or larger, and none lies further away."""
FLAT = 1e-6
"""Axes whose unit vectors span less volume lie in one plane."""
TOLERANCE_MM = 1e-4
"""Largest difference of two affine matrices that counts as the same grid."""


@dataclass(frozen=True)
class Geometry:
    """Shape of a volume and where it lies: what a header says.

    Parameters
    ----------
    shape : tuple of int
        Voxels along ``i, j, k``.
    affine : ndarray, shape (4, 4)
        Voxel index to patient space, RAS+, in mm.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of voxels along ``i, j, k`` in mm."""
        i, j, k = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(i), float(j), float(k)

    def picture_shape(self, picture: Picture) -> tuple[int, int]:
        """Rows and columns of a picture."""
        i, j, _ = self.shape
        return (j, i) if swaps_axes(picture) else (i, j)

    def picture_spacing(self, picture: Picture) -> tuple[float, float, float]:
        """Width and height of a pixel, and distance of slices, in mm."""
        i, j, k = self.spacing
        return (i, j, k) if swaps_axes(picture) else (j, i, k)

    def picture_axes(self, picture: Picture) -> tuple[str, str]:
        """Patient direction into which columns and rows of a picture grow.

        Returns
        -------
        x, y : {"R", "L", "A", "P", "S", "I"}
            The nearest anatomical direction of growing `x` and of growing `y`.

        Examples
        --------
        >>> Geometry((4, 4, 4), np.diag([-1.0, 1, 1, 1])).picture_axes("rot90")
        ('L', 'P')
        """
        # An index grid is turned like a slice; its steps along rows and columns say which
        # axis of the volume each follows, and in which direction.
        grid = np.stack(np.meshgrid([0, 1], [0, 1], indexing="ij"))
        turned = TURNS[picture](grid)
        step_x, step_y = turned[:, 0, 1] - turned[:, 0, 0], turned[:, 1, 0] - turned[:, 0, 0]
        x, y = (self._direction(step) for step in (step_x, step_y))
        return x, y

    def _direction(self, step: Array) -> str:
        vector = self.affine[:3, :2] @ step
        axis = int(np.abs(vector).argmax())
        return ("RAS" if vector[axis] > 0 else "LPI")[axis]


def refuse_impossible(geometry: Geometry, path: Path) -> None:
    """Refuse a volume that lies nowhere, or that NIfTI cannot hold, as masks of it must be.

    Parameters
    ----------
    geometry : Geometry
        Shape and affine, in mm.
    path : Path
        Of the file, for the message.

    Raises
    ------
    InputError
        If it has too many voxels along an axis, its affine is not finite or too large, or its
        axes are of no length or in one plane.
    """
    if max(geometry.shape) > SIDE_MAX:
        raise InputError(
            f"{path}: has {max(geometry.shape)} voxels along one axis, more than {SIDE_MAX}. Cut "
            "the volume into parts."
        )
    affine, spacing = geometry.affine, np.array(geometry.spacing)
    bad = not np.isfinite(affine).all() or np.abs(affine).max() > FAR_MM
    if not bad:
        bad = not (spacing > SMALL_MM).all()
    if bad or abs(np.linalg.det(affine[:3, :3] / spacing)) < FLAT:
        raise InputError(
            f"{path}: has an affine that is singular, not finite, or puts it further away than "
            f"{FAR_MM:g} mm: {affine[:3].tolist()}. Write the volume anew from its source."
        )


def grid_mismatch(a: Geometry, b: Geometry) -> str:
    """How two volumes differ in shape or affine.

    Parameters
    ----------
    a, b : Geometry
        Of the two volumes.

    Returns
    -------
    str
        What differs, and by how much; "" where they share a grid.

    Examples
    --------
    >>> a, b = Geometry((2, 2, 2), np.eye(4)), Geometry((2, 2, 2), np.diag([1, 1, 3, 1]))
    >>> grid_mismatch(a, a), grid_mismatch(a, b)
    ('', 'their affine matrices differ by 2 (at most 0.0001 mm)')
    """
    off = float(np.abs(a.affine - b.affine).max())
    if a.shape != b.shape:
        differ = f"their shapes are {a.shape} and {b.shape}"
    elif off > TOLERANCE_MM:
        differ = f"their affine matrices differ by {off:.4g} (at most {TOLERANCE_MM} mm)"
    else:
        return ""
    return differ + _turned_otherwise(a, b)


def _turned_otherwise(a: Geometry, b: Geometry) -> str:
    """That two volumes are stored in different orientations, and what turns them alike."""
    from nibabel.orientations import aff2axcodes

    one, other = ("".join(map(str, aff2axcodes(volume.affine))) for volume in (a, b))
    if one == other:
        return ""
    return (
        f", and their axes point to {one} and {other}: [images] plane = 'axial' (or 'coronal', "
        "'sagittal') turns both alike"
    )
