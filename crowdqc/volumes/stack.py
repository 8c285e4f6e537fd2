"""Slices as a stack: in which order they lie, and whether straight and evenly above each other.

A stack that is not is refused with the reason, because any volume made of it as it is would be
wrong: with a slice missing, the slices behind the gap would lie elsewhere, and under other
numbers, than on the pictures that people annotated. On request it is laid on an even grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crowdqc.findings import InputError
from crowdqc.text import count
from crowdqc.volumes.grid import Geometry, refuse_impossible
from crowdqc.volumes.itk import LPS

STEP_SHARE = 0.1
"""Distances of neighbouring slices may differ by this share: positions are rounded in files."""
SHIFT_PX = 0.5
"""By so much, in px, may slices lie beside the first one, seen along their normal."""
DIRECTION = 1e-3
"""By so much may the directions (cosines) of two slices differ."""
_ROUNDED_PX = 1e-3
_ASK = "or set [images] resample = true"

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slice:
    """What a file, or a frame of it, says of its slice: places in LPS+, mm."""

    path: Path
    series: str
    title: str
    size: tuple[int, int]
    spacing: Array
    position: Array
    axes: Array
    thickness: float
    number: str
    frame: int | None = None
    """Which frame of the file, from 0; `None` where the file is one slice."""
    scale: tuple[float, float] = (1.0, 0.0)
    """Slope and intercept of a frame; those of a file are applied when it is read."""

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self.path) if self.frame is None else f"{self.path}, frame {self.frame + 1}"


@dataclass(frozen=True, eq=False)
class Grid:
    """The even grid that slices are resampled onto.

    Parameters
    ----------
    planes : ndarray, shape (N,)
        Where each slice lies along the third axis of the grid, in voxels.
    aside : ndarray, shape (N, 2)
        By how many columns and rows each slice is moved.
    shape : tuple of int
        Columns, rows and planes.
    report : str
        What is done, and why.
    """

    planes: Array
    aside: Array
    shape: tuple[int, int, int]
    report: str


@dataclass(frozen=True, eq=False)
class Series:
    """A stack of slices.

    Parameters
    ----------
    slices : tuple of Slice
        Ordered along the normal of the slices (row direction x column direction: towards the head
        for axial slices seen from the feet, as usual).
    shape : tuple of int
        Columns, rows and slices: voxels along ``i, j, k``.
    affine : ndarray, shape (4, 4)
        Voxel index to patient space, RAS+, in mm.
    grid : Grid, optional
        Where the slices are resampled, onto what.
    """

    slices: tuple[Slice, ...]
    shape: tuple[int, int, int]
    affine: Array
    grid: Grid | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """File of each slice."""
        return tuple(one.path for one in self.slices)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Instance numbers, ascending; empty where a file has none."""
        try:
            return tuple(sorted(int(one.number) for one in self.slices))
        except ValueError:
            return ()


def make_stack(place: Path, slices: Sequence[Slice], *, resample: bool = False) -> Series:
    """The series that slices make.

    Parameters
    ----------
    place : Path
        Their folder or file, for messages.
    slices : sequence of Slice
        In any order; one at least.
    resample : bool
        Whether slices at uneven distances, or under a tilted gantry, are laid on an even grid.

    Raises
    ------
    InputError
        If they are of several series, differ in size, spacing or direction, or two lie at one
        place; without `resample`, if they are not straight above each other at equal distances.
    """
    _refuse_several(place, slices)
    first = slices[0]
    for other in slices:
        _refuse_unlike(first, other)
    normal = np.cross(*first.axes)
    slices = sorted(slices, key=lambda one: float(one.position @ normal))
    first = slices[0]
    away = np.array([one.position for one in slices]) - first.position
    along = away @ normal
    step, grid = _spacing(place, slices, along), None
    uneven, tilted = _uneven(slices, along), _tilted(slices, along, away - np.outer(along, normal))
    if (uneven or tilted) and not resample:
        raise InputError(uneven or f"{place}: {tilted}")
    corner = first.position
    if uneven or tilted:
        aside = (away @ first.axes.T) / first.spacing * bool(tilted)
        planes = along / np.median(np.diff(along)) if uneven else np.arange(float(len(slices)))
        corner = corner + np.floor(aside.min(axis=0) + _ROUNDED_PX) * first.spacing @ first.axes
        grid = _grid(slices, planes, aside)
        step = along[-1] / (grid.shape[2] - 1)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([*(first.axes * first.spacing[:, None]), normal * step])
    affine[:3, 3] = corner
    shape = (*first.size, len(slices)) if grid is None else grid.shape
    series = Series(tuple(slices), shape, LPS @ affine, grid)
    refuse_impossible(Geometry(series.shape, series.affine), place)
    return series


def on_grid(values: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Values of slices, interpolated linearly at the voxels of a grid.

    Parameters
    ----------
    values : ndarray, shape (I, J, N)
        Slice by slice.
    grid : Grid
        Where they lie.

    Returns
    -------
    ndarray of float32, shape `grid.shape`
        The smallest value where there is no slice.
    """
    fill = values.min()
    moved = np.full((*grid.shape[:2], values.shape[2]), fill, dtype=np.float32)
    moved[: values.shape[0], : values.shape[1]] = values
    for k, aside in enumerate(grid.aside):
        if aside.any():
            moved[:, :, k] = ndimage.shift(moved[:, :, k], aside, order=1, cval=fill)
    at = np.minimum(np.arange(grid.shape[2]), grid.planes[-1])
    after = np.searchsorted(grid.planes, at).clip(1, None)
    before = after - 1
    share = (at - grid.planes[before]) / (grid.planes[after] - grid.planes[before])
    share = share.astype(np.float32)
    for_each: NDArray[np.float32] = moved[:, :, before] * (1 - share) + moved[:, :, after] * share
    return for_each


def _grid(slices: Sequence[Slice], planes: Array, aside: Array) -> Grid:
    """The grid that holds all slices, and what it takes to get there."""
    low, high = np.floor(aside.min(axis=0) + _ROUNDED_PX), np.ceil(aside.max(axis=0) - _ROUNDED_PX)
    columns, rows = (int(n) for n in np.array(slices[0].size) + high - low)
    n = round(planes[-1]) + 1
    planes = planes * (n - 1) / planes[-1]
    gaps = np.diff(planes)
    what = []
    if not np.allclose(gaps, 1):
        what.append(f"lie {gaps.min():.3g} to {gaps.max():.3g} times their usual distance apart")
    if aside.any():
        most = np.abs(aside).max(axis=0)
        what.append(f"are up to {most[0]:.3g} columns and {most[1]:.3g} rows aside (a tilt)")
    report = (
        f"its {len(slices)} slices {' and '.join(what)}: they are resampled linearly onto {n} even "
        f"ones of {columns} x {rows} px. Boxes must be drawn on pictures of these: slice numbers "
        "and pixels are theirs, not those of the files"
    )
    aside = (aside - low).round(6)  # a shift by nearly nothing would lose the rim
    return Grid(planes, aside, (columns, rows, n), report)


def _refuse_several(place: Path, slices: Sequence[Slice]) -> None:
    ordered = sorted(slices, key=lambda one: (one.series, str(one.path)))
    groups = [list(group) for _, group in itertools.groupby(ordered, key=lambda one: one.series)]
    if len(groups) > 1:
        named = "; ".join(
            f"{group[0].title} ({count(len(group), 'file')}, such as "
            f"{group[0].path.relative_to(place)})"
            for group in groups
        )
        raise InputError(
            f"{place}: holds {len(groups)} series, and a case is one: {named}. Give each its own "
            "folder, and name it in [images] path, for example 'dicom/{case}/ct/'."
        )


def _refuse_unlike(first: Slice, other: Slice) -> None:
    """Refuse a scout among slices, and whatever else is no slice of the same stack."""
    different = {
        "rows and columns": first.size != other.size,
        "spacing": not np.allclose(first.spacing, other.spacing, rtol=1e-3),
        "direction": np.abs(first.axes - other.axes).max() > DIRECTION,
    }
    what = [name for name, differs in different.items() if differs]
    if what:
        raise InputError(
            f"{other.name}: is in a series with {first.name}, but differs in {' and '.join(what)}. "
            "A series must be one stack of slices: move out what does not belong to it."
        )


def _spacing(place: Path, slices: Sequence[Slice], along: Array) -> float:
    """Mean distance of slices in mm; `InputError` where two lie at one place."""
    if len(slices) == 1:
        if not slices[0].thickness:
            raise InputError(f"{slices[0].name}: is a single slice that does not say how thick.")
        return slices[0].thickness
    steps = np.diff(along)
    usual = abs(float(np.median(steps)))
    if (twice := steps <= STEP_SHARE * usual).any():
        a, b = slices[at := int(twice.argmax())], slices[at + 1]
        height = a.position @ np.cross(*a.axes)
        raise InputError(
            f"{a.name} and {b.name}: lie at one place ({height:g} mm along the stack); "
            f"in {place}, {count(int(twice.sum()), 'slice')} twice. Leave one of each: a series "
            "of several phases or echoes is several cases."
        )
    return float(along[-1] / (len(slices) - 1))


def _uneven(slices: Sequence[Slice], along: Array) -> str:
    """Which slices are not as far apart as most; "" where all are."""
    steps = np.diff(along)
    usual = float(np.median(steps)) if len(steps) else 0.0
    uneven = np.abs(steps - usual) > STEP_SHARE * usual
    if not uneven.any():
        return ""
    a, b = slices[at := int(uneven.argmax())], slices[at + 1]
    missing = round(steps[at] / usual) - 1
    guess = f"; {count(missing, 'slice')} may be missing" if missing > 0 else ""
    return (
        f"{a.name} and {b.name}: are {steps[at]:g} mm apart, where most slices are {usual:g} mm "
        f"apart{guess}; in all, {count(int(uneven.sum()), 'such distance')}. Slices must be evenly "
        f"spaced: find the missing files, {_ASK}, or resample the series to NIfTI."
    )


def _tilted(slices: Sequence[Slice], along: Array, aside: Array) -> str:
    """That slices lie beside the first one, by `aside` mm; "" where all lie above it."""
    away = np.linalg.norm(aside, axis=1)
    worst = int(away.argmax())
    if away[worst] <= SHIFT_PX * slices[0].spacing.min():
        return ""
    degrees = np.degrees(np.arctan2(away[worst], along[worst]))
    return (
        f"its slices are sheared: {slices[worst].path.name} lies {away[worst]:.3g} "
        f"mm beside {slices[0].path.name} (a gantry tilt of {degrees:.3g} degrees?). "
        f"Straighten it first: dcm2niix writes a NIfTI file without the tilt; {_ASK}."
    )
