"""Volumes in and out: read from NIfTI files and DICOM series, written as NIfTI.

A volume is an array ``(i, j, k)`` with an affine to the patient's space (RAS+, mm). Which axis is
the third is said by a plane (`crowdqc.config.Plane`), and settled at the door: what is read is
turned so that the slices that were annotated are ``volume[:, :, k]``, and what is written is turned
back to the grid of its source. ``"stored"`` turns nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crowdqc.config import Plane
from crowdqc.files import sha256
from crowdqc.findings import InputError
from crowdqc.volumes.dicom import hash_series, read_series, read_values
from crowdqc.volumes.grid import Geometry
from crowdqc.volumes.nifti import nifti_geometry, nifti_values, open_nifti, write_nifti
from crowdqc.volumes.pictures import Array
from crowdqc.volumes.planes import turn_back, turn_grid, turn_voxels

WHOLE = 1e-3
"""How far a label may lie from a whole number: scaled masks read as 5.000000177."""


def read_geometry(path: Path, *, plane: Plane = "stored") -> Geometry:
    """Geometry of a volume, from its header alone.

    Parameters
    ----------
    path : Path
        NIfTI file, or folder of a DICOM series.
    plane : str
        Which of its axes becomes the third.

    Raises
    ------
    InputError
        If it is no readable NIfTI file, or does not have three axes; if the series is none that
        `crowdqc.volumes.dicom.read_series` takes.
    """
    return _turned(nifti_geometry(_open(path), path), plane)


def read_volume(path: Path, *, plane: Plane = "stored") -> tuple[NDArray[np.float32], Geometry]:
    """Intensities of a volume, scaled as its header says.

    Parameters
    ----------
    path, plane
        As for `read_geometry`.

    Returns
    -------
    volume : ndarray of float32, shape (I, J, K)
    geometry : Geometry

    Raises
    ------
    InputError
        As `read_geometry`, or if a voxel is not finite.
    """
    if path.is_dir():
        series = read_series(path)
        volume, geometry = read_values(series), Geometry(series.shape, series.affine)
    else:
        image = _open(path)
        volume = np.asarray(nifti_values(image, path), dtype=np.float32)
        geometry = nifti_geometry(image, path)
    if not np.isfinite(volume).all():
        bad = np.argwhere(~np.isfinite(volume))[0].tolist()
        raise InputError(f"{path}: voxel {bad} is not finite; intensities must be numbers.")
    return _view(volume, geometry, plane)


def read_labels(path: Path, *, plane: Plane = "stored") -> tuple[NDArray[np.int32], Geometry]:
    """Labels of a NIfTI file, as whole numbers.

    Parameters
    ----------
    path, plane
        As for `read_geometry`; a DICOM series holds no labels.

    Returns
    -------
    labels : ndarray of int32, shape (I, J, K)
        0 is background. Values that a scaled header moves off whole numbers by less than
        0.001 are rounded.
    geometry : Geometry

    Raises
    ------
    InputError
        If it cannot be read, or a voxel is negative or no whole number.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; labels must be a NIfTI file.")
    image = _open(path)
    values = nifti_values(image, path)
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
    return _view(labels.astype(np.int32), nifti_geometry(image, path), plane)


def write_labels(path: Path, labels: Array, *, like: Path, plane: Plane = "stored") -> None:
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

    Raises
    ------
    InputError
        If `like` cannot be read or has another shape, or `path` cannot be written.
    """
    dtype = np.uint8 if labels.max(initial=0) <= 255 else np.uint16
    _write(path, labels.astype(dtype), like=like, plane=plane)


def write_map(path: Path, values: Array, *, like: Path, plane: Plane = "stored") -> None:
    """Write a map of real numbers as float32, as `write_labels`."""
    _write(path, values.astype(np.float32), like=like, plane=plane)


def write_volume(path: Path, source: Path) -> None:
    """Write the intensities of a volume as NIfTI: int16 where they are whole numbers, as in CT."""
    values, _ = read_volume(source)
    whole = (np.rint(values) == values).all() and np.abs(values).max(initial=0) < 2**15
    _write(path, values.astype(np.int16) if whole else values, like=source, plane="stored")


def hash_volume(path: Path) -> str:
    """SHA-256 of a volume's file, or of all files of its DICOM series."""
    return hash_series(path) if path.is_dir() else sha256(path)


def _open(path: Path) -> Any:
    """A NIfTI image; of a DICOM series, the frame alone."""
    return _frame(path) if path.is_dir() else open_nifti(path)


def _frame(folder: Path) -> Any:
    series = read_series(folder)
    image = nib.Nifti1Image(np.broadcast_to(np.uint8(0), series.shape), series.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(series.affine, code="scanner")
    image.set_qform(series.affine, code="scanner")
    return image


def _turned(geometry: Geometry, plane: Plane) -> Geometry:
    return Geometry(*turn_grid(geometry.shape, geometry.affine, plane))


def _view(volume: Any, geometry: Geometry, plane: Plane) -> tuple[Any, Geometry]:
    """A volume, as stored, and its geometry turned to a plane."""
    return turn_voxels(volume, geometry.affine, plane), _turned(geometry, plane)


def _write(path: Path, data: Array, *, like: Path, plane: Plane) -> None:
    source = _open(like)
    data = turn_back(data, nifti_geometry(source, like).affine, plane)
    if data.shape != source.shape[:3]:
        raise InputError(f"{path}: has shape {data.shape}, but {like} has {source.shape[:3]}.")
    write_nifti(path, data, source=source)
