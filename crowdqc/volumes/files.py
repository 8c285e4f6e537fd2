"""Volumes in and out: read from files and DICOM series, written as NIfTI.

A volume is an array ``(i, j, k)`` with an affine to the patient's space (RAS+, mm). Which axis is
the third is given by a plane (`crowdqc.config.Plane`), and settled at the door: what is read is
turned so that the slices that were annotated are ``volume[:, :, k]``, and what is written is turned
back to the grid of its source. ``"stored"`` turns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.config import Picture, Plane
from crowdqc.files import sha256
from crowdqc.findings import Finding, InputError
from crowdqc.volumes.dicom import (
    hash_files,
    is_dicom,
    read_series,
    read_values,
    series_files,
    series_gap,
)
from crowdqc.volumes.grid import Geometry
from crowdqc.volumes.itk import ENDINGS as ITK_ENDINGS
from crowdqc.volumes.itk import data_files, is_analyze, itk_geometry, itk_values
from crowdqc.volumes.nifti import (
    nifti_doubts,
    nifti_geometry,
    nifti_values,
    open_nifti,
    write_nifti,
)
from crowdqc.volumes.pictures import Array, to_pictures
from crowdqc.volumes.planes import turn_back, turn_grid, turn_voxels

FileAxes = tuple[tuple[int, bool], tuple[int, bool], tuple[int, bool]]
"""Of each axis of a file, the slowest first: axis of the pictures, and whether backwards."""
WHOLE = 1e-3
"""How far a label may lie from a whole number: scaled masks read as 5.000000177."""


def read_geometry(path: Path, *, plane: Plane = "stored", resample: bool = False) -> Geometry:
    """Geometry of a volume, from its header alone.

    Parameters
    ----------
    path : Path
        NIfTI file, file of one of `crowdqc.volumes.itk.ENDINGS`, or folder of a DICOM series (or
        the one file, ``.dcm``, that holds it).
    plane : str
        Which of its axes becomes the third.
    resample : bool
        Whether a DICOM series with uneven distances, or of a tilted gantry, is laid on an even
        grid; else it is refused.

    Returns
    -------
    Geometry
        Turned to `plane`.

    Raises
    ------
    InputError
        If it cannot be read, does not have three axes of single numbers, or claims more than it
        holds; if the series is none that `crowdqc.volumes.dicom.read_series` takes.
    """
    return _turned(nifti_geometry(_open(path, resample=resample), path), plane)


def file_axes(path: Path, *, plane: Plane, picture: Picture, resample: bool = False) -> FileAxes:
    """How the axes of a stack of pictures lie in the volume's file.

    Parameters
    ----------
    path : Path
        As for `read_geometry`.
    plane : str
        Which of its axes becomes the third.
    picture : str
        How pictures are made, as for `to_pictures`.
    resample : bool
        As for `read_geometry`.

    Returns
    -------
    tuple of (int, bool)
        Of each axis of the file, the slowest first: which axis of the pictures (plane, row,
        column) follows it, and whether backwards.
    """
    shape = (2, 3, 4)
    probe = np.arange(np.prod(shape)).reshape(shape)
    stored = read_geometry(path, resample=resample)
    turned = to_pictures(turn_voxels(probe, stored.affine, plane), picture)
    steps = [int(np.diff(turned, axis=axis).flat[0]) for axis in range(3)]
    along = {abs(step): (axis, step < 0) for axis, step in enumerate(steps)}
    k, j, i = (along[step] for step in (1, shape[2], shape[1] * shape[2]))
    return k, j, i


def inspect_volume(path: Path, *, resample: bool = False) -> list[Finding]:
    """What the header of a volume leaves in doubt.

    Parameters
    ----------
    path, resample : Path, bool
        As for `read_geometry`.

    Returns
    -------
    list of Finding
        ``volume-spacing`` where two sizes of a voxel are stated, ``volume-sheared`` where axes are
        not perpendicular, ``volume-orientation`` where the patient's directions are not stated,
        ``series-incomplete`` where instance numbers say so, ``series-resampled`` where it is.

    Raises
    ------
    InputError
        As `read_geometry`.
    """
    if is_dicom(path):
        series = read_series(path, resample=resample)
        doubts = {
            "series-incomplete": series_gap(series),
            "series-resampled": series.grid.report if series.grid else "",
        }
    elif not _is_itk(path):
        doubts = nifti_doubts(open_nifti(path))
    else:
        unsaid = "an Analyze file does not say where left is"
        doubts = {"volume-orientation": unsaid if is_analyze(path) else ""}
    return [
        Finding(check=check, message=f"{path}: {text.rstrip('.')}.")
        for check, text in doubts.items()
        if text
    ]


def foreign_values(labels: Array, values: Mapping[str, int]) -> str:
    """What a mask holds in place of all the values that are looked for.

    Parameters
    ----------
    labels : ndarray of int
        The mask.
    values : mapping of str to int
        Label -> its value.

    Returns
    -------
    str
        Which values it has; "" where it holds one that is looked for, or nothing at all.

    Examples
    --------
    >>> foreign_values(np.array([0, 255]), {"liver": 1})
    'holds the values [255] and none of liver = 1'
    """
    found = set(np.unique(labels).tolist()) - {0}
    if not found or found & set(values.values()):
        return ""
    wanted = ", ".join(f"{label} = {value}" for label, value in values.items())
    return f"holds the values {sorted(found)[:10]} and none of {wanted}"


def volume_files(path: Path) -> list[Path]:
    """All files that a volume is read from."""
    if is_dicom(path):
        return series_files(path)
    return data_files(path) if _is_itk(path) else [path]


def series_slices(path: Path, *, resample: bool = False) -> tuple[tuple[Path, int | None], ...]:
    """File of each slice of a DICOM series, and its frame there, along the third axis as stored.

    Parameters
    ----------
    path, resample : Path, bool
        As for `read_geometry`.

    Returns
    -------
    tuple of (Path, int or None)
        `None` for a file that is one slice.

    Raises
    ------
    InputError
        As `read_geometry`; or if the series is resampled, so that its volume has other slices.
    """
    series = read_series(path, resample=resample)
    if series.grid is not None:
        raise InputError(
            f"{path}: was resampled, so masks lie on other slices than those of its files."
        )
    return tuple((one.path, one.frame) for one in series.slices)


def read_volume(
    path: Path, *, plane: Plane = "stored", resample: bool = False
) -> tuple[NDArray[np.float32], Geometry]:
    """Intensities of a volume, scaled as its header says.

    Parameters
    ----------
    path, plane, resample : Path, str, bool
        As for `read_geometry`.

    Returns
    -------
    volume : ndarray of float32, shape (I, J, K)
        Turned to `plane`.
    geometry : Geometry
        Turned likewise.

    Raises
    ------
    InputError
        As `read_geometry`, or if a voxel is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused below
        values, geometry = _stored(path, resample=resample)
        volume = np.asarray(values, dtype=np.float32)
    if not np.isfinite(volume).all():
        bad = np.argwhere(~np.isfinite(volume))[0].tolist()
        raise InputError(
            f"{path}: voxel {bad} is not finite; intensities must be numbers. Write the volume "
            "anew with the value of air, or of the background, there."
        )
    return _view(volume, geometry, plane)


def read_labels(path: Path, *, plane: Plane = "stored") -> tuple[NDArray[np.int32], Geometry]:
    """Labels of a NIfTI file, as whole numbers.

    Parameters
    ----------
    path : Path
        As for `read_geometry`; a DICOM series holds no labels.
    plane : str
        Which of its axes becomes the third.

    Returns
    -------
    labels : ndarray of int32, shape (I, J, K)
        0 is background. Values that a scaled header moves off whole numbers by less than
        0.001 are rounded.
    geometry : Geometry
        Turned to `plane`.

    Raises
    ------
    InputError
        If it cannot be read, or a voxel is negative or no whole number.
    """
    if is_dicom(path):
        raise InputError(f"{path}: is a DICOM series; labels must be a NIfTI file.")
    with np.errstate(over="ignore", invalid="ignore"):
        values, geometry = _stored(path)
    exact = values.dtype.kind in "ui"
    labels = values if exact else np.rint(np.nan_to_num(values, nan=-1.0, posinf=-1.0, neginf=-1.0))
    bad = (labels < 0) | (labels > 65535)
    if not exact:
        bad |= ~(np.abs(values - labels) <= WHOLE)
    if bad.any():
        voxel = tuple(np.argwhere(bad)[0].tolist())
        raise InputError(
            f"{path}: voxel {list(voxel)} is {values[voxel]:g}; labels must be whole numbers "
            "from 0 to 65535."
        )
    return _view(labels.astype(np.int32), geometry, plane)


def write_labels(
    path: Path, labels: Array, *, like: Path, plane: Plane = "stored", resample: bool = False
) -> None:
    """Write labels as a NIfTI file on the grid of another, byte-identical each time.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    labels : ndarray of int, shape (I, J, K)
        Stored as uint8, or uint16 where a label is above 255.
    like : Path
        NIfTI file whose affine, codes and units are kept, or folder of a DICOM series.
    plane : str
        How `labels` is turned, as it was read; it is turned back to the grid of `like`.
    resample : bool
        How `like` was read.

    Raises
    ------
    InputError
        If `like` cannot be read or has another shape, or `path` cannot be written.
    """
    dtype = np.uint8 if labels.max(initial=0) <= 255 else np.uint16
    _write(path, labels.astype(dtype), like=_open(like, resample=resample), plane=plane)


def write_map(
    path: Path, values: Array, *, like: Path, plane: Plane = "stored", resample: bool = False
) -> None:
    """Write a map of real numbers as float32.

    Parameters
    ----------
    path, values, like, plane, resample : Path, ndarray, Path, str, bool
        As for `write_labels`.
    """
    _write(path, values.astype(np.float32), like=_open(like, resample=resample), plane=plane)


def write_volume(path: Path, source: Path, *, resample: bool = False) -> None:
    """Write the intensities of a volume as NIfTI: int16 where they are whole numbers, as in CT.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    source, resample : Path, bool
        As for `read_geometry`.
    """
    values, _ = read_volume(source, resample=resample)
    whole = (np.rint(values) == values).all() and np.abs(values).max(initial=0) < 2**15
    like = _open(source, resample=resample)
    _write(path, values.astype(np.int16) if whole else values, like=like, plane="stored")


def hash_volume(path: Path) -> str:
    """SHA-256 of a volume's file, or of all the files that it is read from."""
    files = volume_files(path)
    if files == [path]:
        return sha256(path)
    return hash_files(path if path.is_dir() else path.parent, files)


def _is_itk(path: Path) -> bool:
    return path.name.lower().endswith(ITK_ENDINGS)


def _stored(path: Path, *, resample: bool = False) -> tuple[Array, Geometry]:
    """Values (I, J, K) as stored, and where they lie."""
    if is_dicom(path):
        series = read_series(path, resample=resample)
        return read_values(series), Geometry(series.shape, series.affine)
    if _is_itk(path):
        geometry = itk_geometry(path)
        return itk_values(path, geometry), geometry
    image = open_nifti(path)
    return nifti_values(image, path), nifti_geometry(image, path)


def _open(path: Path, *, resample: bool = False) -> Any:
    """A NIfTI image whose values are not read; of other volumes, their frame alone."""
    import nibabel as nib

    if is_dicom(path):
        series = read_series(path, resample=resample)
        shape, affine = series.shape, series.affine
    elif _is_itk(path):
        geometry = itk_geometry(path)
        shape, affine = geometry.shape, geometry.affine
    else:
        return open_nifti(path)
    image = nib.Nifti1Image(np.broadcast_to(np.uint8(0), shape), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    return image


def _turned(geometry: Geometry, plane: Plane) -> Geometry:
    return Geometry(*turn_grid(geometry.shape, geometry.affine, plane))


def _view(volume: Any, geometry: Geometry, plane: Plane) -> tuple[Any, Geometry]:
    """A volume, as stored, and its geometry turned to a plane."""
    return turn_voxels(volume, geometry.affine, plane), _turned(geometry, plane)


def _write(path: Path, data: Array, *, like: Any, plane: Plane) -> None:
    data = turn_back(data, like.affine, plane)
    if data.shape != like.shape[:3]:
        raise InputError(f"{path}: has shape {data.shape}, but its image has {like.shape[:3]}.")
    write_nifti(path, data, source=like)
