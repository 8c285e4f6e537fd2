"""A small synthetic abdomen: CT-like volumes with five organs, made from a seed.

Enough of an abdomen for every stage to meet what it meets in a real one: five organs of
plausible shape, place and density in a body of fat, muscle, bone and bowel, with soft edges,
texture and noise. It is no substitute for a real volume: its organs are ellipsoids with dents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LABELS = {"spleen": 1, "right_kidney": 2, "left_kidney": 3, "liver": 4, "aorta": 5}
"""Labels and their values in the masks."""

SIDES = {"spleen": "left", "right_kidney": "right", "left_kidney": "left", "liver": "right"}
"""Side of the patient's body on which a label lies; the aorta is in the middle."""

AIR_HU, FAT_HU, MUSCLE_HU = -1000.0, -100.0, 60.0
NOISE_HU = 10.0
"""Standard deviation of the scanner's noise, before it is smoothed."""
TEXTURE_HU = 6.0
"""Standard deviation of the texture of tissue."""
BLUR_PX = 0.6
"""Standard deviation of the blur in the plane: an edge is about two pixels wide."""
DENT = 0.12
"""Standard deviation of the dents of a surface, as a share of the radius."""
CAVITY = 0.86
"""Radius of the abdominal cavity as a share of the body's."""
WALL = 0.93
"""Outer radius of the muscles of its wall; what is left is fat under the skin."""

Field = NDArray[np.floating]


@dataclass(frozen=True)
class Part:
    """Something in the abdomen: ellipsoids of one density.

    Parameters
    ----------
    density_hu : float
        Mean density.
    ellipsoids : tuple of (centre, radii)
        ``x, y, z`` in mm: x to the left of the patient (right of the picture) and y to the
        back, both from the middle of the body, z upwards from the lowest slice.
    label : int
        Value in the mask; 0 where it has none.
    """

    density_hu: float
    ellipsoids: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
    label: int = 0


ENDLESS = 1e6
"""Radius along z, in mm, of what passes through the whole volume."""

PARTS = (
    Part(60.0, (((-34, 76, 0), (27, 17, ENDLESS)), ((34, 76, 0), (27, 17, ENDLESS)))),
    Part(230.0, (((0, 58, 0), (22, 18, ENDLESS)),)),
    Part(20.0, (((0, 82, 0), (8, 8, ENDLESS)),)),
    Part(35.0, (((58, -34, 84), (36, 32, 28)),)),
    Part(30.0, (((-30, -55, 18), (44, 22, 22)), ((40, -40, 14), (38, 24, 22)))),
    Part(-650.0, (((44, -50, 16), (14, 9, 10)), ((62, -50, 84), (14, 9, 12)))),
    Part(105.0, (((-62, -22, 76), (62, 54, 36)), ((6, -52, 86), (46, 26, 22))), LABELS["liver"]),
    Part(122.0, (((99, 12, 82), (25, 38, 30)),), LABELS["spleen"]),
    Part(130.0, (((-18, 30, 0), (10, 9, ENDLESS)),)),
    Part(175.0, (((-54, 44, 46), (22, 20, 38)),), LABELS["right_kidney"]),
    Part(175.0, (((54, 44, 54), (22, 20, 38)),), LABELS["left_kidney"]),
    Part(155.0, (((14, 29, 0), (11, 11, ENDLESS)),), LABELS["aorta"]),
)
"""What is in the abdomen, each over those before it: muscles of the back, spine, its canal,
stomach, bowel, gas, and the organs (contrast medium in the portal venous phase)."""


@dataclass(frozen=True)
class Abdomen:
    """One synthetic case, as pictures: rows to the back, columns to the patient's left.

    Parameters
    ----------
    density : ndarray of int16, shape (P, R, C)
        CT numbers in HU; planes from the lowest slice up.
    mask : ndarray of uint8, shape (P, R, C)
        Label values, see `LABELS`.
    spacing : (float, float, float)
        Width of a pixel, height of a pixel, distance of slices, in mm.
    """

    density: NDArray[np.int16]
    mask: NDArray[np.uint8]
    spacing: tuple[float, float, float]

    @property
    def affine(self) -> Field:
        """Matrix from indices of the NIfTI array (column, row from the back, plane) to mm.

        The first axis runs to the patient's left and the second to the front ("LAS"), so that
        ``np.rot90`` of a slice of the array is the picture as radiologists look at it.
        """
        dx, dy, dz = self.spacing
        _, rows, columns = self.density.shape
        affine = np.diag([-dx, dy, dz, 1.0])
        affine[:2, 3] = [dx * (columns - 1) / 2, -dy * (rows - 1) / 2]
        return affine


def make_abdomen(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int, int] = (24, 96, 96),
    spacing: tuple[float, float, float] = (3.5, 3.5, 5.0),
) -> Abdomen:
    """Make one abdomen.

    Parameters
    ----------
    rng : Generator
        Source of its size, the place and shape of its organs, and all noise.
    shape : (int, int, int)
        Planes, rows, columns.
    spacing : (float, float, float)
        Width of a pixel, height of a pixel, distance of slices, in mm. The body is about
        300 mm wide and its organs lie in the first 120 mm of height.

    Returns
    -------
    Abdomen
        Every label is there, each in one piece.

    Examples
    --------
    >>> abdomen = make_abdomen(np.random.default_rng(0))
    >>> abdomen.density.shape, [int(value) for value in np.unique(abdomen.mask)]
    ((24, 96, 96), [0, 1, 2, 3, 4, 5])
    """
    grid = _grid(shape, spacing)
    body = _body(grid)
    density = np.select(
        [body < CAVITY, body < WALL, body < 1.0], [FAT_HU, MUSCLE_HU, FAT_HU], AIR_HU
    )
    mask = np.zeros(shape, dtype=np.uint8)
    stretch, lift = rng.normal(1.0, 0.04, size=3), rng.normal(0.0, 3.0)
    stretch[2] = 1.0
    for part in PARTS:
        inside = _shape_of(part, grid, stretch=stretch, lift=lift, rng=rng) & (body < CAVITY)
        density[inside] = part.density_hu + rng.normal(0.0, 5.0)
        mask[inside] = part.label
    _tidy(density, mask)
    return Abdomen(_scan(density, body, rng), mask, spacing)


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> list[Field]:
    """Coordinates x, y, z in mm of every voxel, each broadcastable to (P, R, C)."""
    planes, rows, columns = shape
    dx, dy, dz = spacing
    x = (np.arange(columns) - (columns - 1) / 2) * dx
    y = (np.arange(rows) - (rows - 1) / 2) * dy
    z = np.arange(planes) * dz
    return [x[None, None, :], y[None, :, None], z[:, None, None]]


def _body(grid: list[Field]) -> Field:
    """Distance from the axis of the body as a share of its radius."""
    x, y, z = grid
    radius: Field = np.sqrt((x / 150.0) ** 2 + (y / 110.0) ** 2) + 0.0 * z
    return radius


def _shape_of(
    part: Part,
    grid: list[Field],
    *,
    stretch: NDArray[np.float64],
    lift: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Voxels of a part, moved, stretched and dented as patients differ."""
    move = rng.normal(0.0, 2.0, size=3) + np.array([0.0, 0.0, lift])
    grow = rng.normal(1.0, 0.05)
    distance = np.full(np.broadcast_shapes(*(axis.shape for axis in grid)), np.inf)
    for centre, radii in part.ellipsoids:
        place = np.array(centre) * stretch + move
        terms = [
            ((axis - at) / (radius * grow)) ** 2
            for axis, at, radius in zip(grid, place, radii, strict=True)
        ]
        distance = np.minimum(distance, np.sqrt(sum(terms)))
    return distance + DENT * _smooth_noise(distance.shape, (1.5, 4.0, 4.0), rng) < 1.0


def _smooth_noise(
    shape: tuple[int, ...], sigma: tuple[float, ...], rng: np.random.Generator
) -> Field:
    """Gaussian noise, smoothed, of mean 0 and standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    field: Field = (noise - noise.mean()) / noise.std()
    return field


def _tidy(density: Field, mask: NDArray[np.uint8]) -> None:
    """Keep the largest piece of each label in place; crumbs become fat."""
    for value in LABELS.values():
        pieces, n = ndimage.label(mask == value)
        sizes = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
        crumbs = (pieces > 0) & (pieces != sizes.argmax() + 1)
        mask[crumbs] = 0
        density[crumbs] = FAT_HU


def _scan(density: Field, body: Field, rng: np.random.Generator) -> NDArray[np.int16]:
    """What a scanner would show: soft edges, texture where there is tissue, noise."""
    tissue = TEXTURE_HU * _smooth_noise(density.shape, (0.8, 1.2, 1.2), rng) * (body < 1.0)
    noise = NOISE_HU * _smooth_noise(density.shape, (0.0, 0.6, 0.6), rng)
    soft = ndimage.gaussian_filter(density, (0.0, BLUR_PX, BLUR_PX))
    return np.clip(np.rint(soft + tissue + noise), -1024, 3071).astype(np.int16)
