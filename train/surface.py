"""Distances of the surfaces of two masks in mm, and what is made of them.

The surface is that of marching cubes through the centres of voxels: an element lies at each
corner that eight voxels share, if they are not all in the mask or all out of it, and weighs as
much as its area, so that neither slices further apart than pixels nor oblique surfaces count for
more or less than they are. This is how Nikolov et al. [1]_ define the surface Dice.

References
----------
.. [1] S. Nikolov et al., "Clinically Applicable Segmentation of Head and Neck Anatomy for
   Radiotherapy", J. Med. Internet Res. 23(7), 2021. :doi:`10.2196/26151`
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from crowdqc.arrays import Floats

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

ROBUST = 0.95
"""Share of the surface whose largest distance is the HD95."""
_CORNERS = tuple(product((0, 1), repeat=3))
"""Voxels round a corner, in the order of the bits of its code."""


@dataclass(frozen=True)
class Surface:
    """Elements of the surface of one mask.

    Parameters
    ----------
    distance_mm : ndarray, shape (N,)
        To the surface of the other mask; inf where that is empty.
    area_mm2 : ndarray, shape (N,)
        Of each element.
    """

    distance_mm: Floats
    area_mm2: Floats


def measure_surfaces(a: Mask, b: Mask, *, spacing_mm: Spacing) -> tuple[Surface, Surface]:
    """Measure how far the surface of each of two masks is from that of the other.

    Parameters
    ----------
    a, b : ndarray of bool, shape (X, Y, Z)
        Two masks on one grid. What lies beyond the grid is not in them.
    spacing_mm : (float, float, float)
        Distance of voxels along each axis.

    Returns
    -------
    (Surface, Surface)
        Of `a` and of `b`; without an element where the mask is empty.
    """
    box = _extent(a | b)
    codes = [_codes(np.pad(mask[box], 1)) for mask in (a, b)]
    edges = [(code > 0) & (code < 255) for code in codes]
    areas = _areas(spacing_mm)
    mine, other = (
        Surface(_distance(to, spacing_mm)[at], areas[code[at]])
        for code, at, to in zip(codes, edges, edges[::-1], strict=True)
    )
    return mine, other


def surface_dice(a: Surface, b: Surface, *, tolerance_mm: float) -> float:
    """Share of two surfaces that lies within a tolerance of the other one [1]_.

    Parameters
    ----------
    a, b : Surface
        From `measure_surfaces`.
    tolerance_mm : float
        Distance that is no error, usually that of two experts.

    Returns
    -------
    float
        In [0, 1]; 0 where one mask is empty, nan where both are (0/0).

    References
    ----------
    .. [1] S. Nikolov et al., 2021, equation 7. :doi:`10.2196/26151`

    Examples
    --------
    >>> a = np.zeros((8, 8, 8), dtype=bool)
    >>> a[2:5, 2:6, 2:6] = True
    >>> surfaces = measure_surfaces(a, np.roll(a, 2, axis=0), spacing_mm=(1, 1, 1))
    >>> surface_dice(*surfaces, tolerance_mm=2)
    1.0
    """
    total = float(a.area_mm2.sum() + b.area_mm2.sum())
    near = sum(float(x.area_mm2[x.distance_mm <= tolerance_mm].sum()) for x in (a, b))
    return near / total if total else np.nan


def hd95_mm(a: Surface, b: Surface) -> float:
    """Robust Hausdorff distance: what 95 % of each surface are nearer to the other than.

    Parameters
    ----------
    a, b : Surface
        From `measure_surfaces`.

    Returns
    -------
    float
        The larger of the two 95th percentiles (by area, without interpolation), in mm. inf
        where one mask is empty: no distance is large enough for an organ that was missed, and
        nan would forgive it. nan where both are empty.

    Examples
    --------
    >>> a = np.zeros((8, 8, 8), dtype=bool)
    >>> a[2:5, 2:6, 2:6] = True
    >>> hd95_mm(*measure_surfaces(a, np.roll(a, 2, axis=0), spacing_mm=(1.5, 1, 1)))
    3.0
    """
    if not len(a.area_mm2) and not len(b.area_mm2):
        return np.nan
    return max(_percentile(surface) for surface in (a, b))


def _percentile(surface: Surface) -> float:
    if not len(surface.area_mm2):
        return np.inf
    order = np.argsort(surface.distance_mm)
    share = np.cumsum(surface.area_mm2[order])
    place = np.searchsorted(share, ROBUST * share[-1])
    return float(surface.distance_mm[order][min(place, len(order) - 1)])


def _extent(mask: Mask) -> tuple[slice, ...]:
    found: list[Any] = ndimage.find_objects(mask.astype(np.uint8))
    return found[0] if found else (slice(0, 0),) * 3


def _codes(padded: Mask) -> NDArray[np.uint8]:
    """For each corner inside the grid, which of the eight voxels round it are in the mask."""
    code = np.zeros([n - 1 for n in padded.shape], dtype=np.uint8)
    for bit, place in enumerate(_CORNERS):
        part = tuple(slice(p, p + n) for p, n in zip(place, code.shape, strict=True))
        code |= padded[part].astype(np.uint8) << np.uint8(bit)
    return code


@lru_cache(maxsize=16)
def _areas(spacing_mm: Spacing) -> Floats:
    """Area of the surface in the cube between eight voxels, by code: shape (256,)."""
    areas = np.zeros(256)
    for code in range(1, 255):
        cube = np.array([code >> bit & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(cube, 0.5, spacing=spacing_mm)
        areas[code] = mesh_surface_area(vertices, faces)
    return areas


def _distance(edge: Mask, spacing_mm: Spacing) -> Floats:
    """Distance of every corner to the nearest one on an edge; inf where there is none."""
    if not edge.any():
        return np.full(edge.shape, np.inf)
    distance: Floats = ndimage.distance_transform_edt(~edge, sampling=spacing_mm)
    return distance
