"""Label volumes (NIfTI) in and out, strict about what a label is."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.store import atomic

INTEGER_TOLERANCE = 1e-3
"""How far from a whole number a label may be: files scaled by 1/51 read as 1.00000004."""
AFFINE_TOLERANCE = 1e-4
"""Largest difference of two affine matrices, in mm, that counts as the same grid."""

VALUE_MAX = 65535
"""Largest label value."""

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class LabelVolume:
    """Labels on the grid of a NIfTI file.

    Parameters
    ----------
    labels : ndarray of uint16, shape (X, Y, Z)
        Label values, as the file lays them out; slices are along the last axis.
    affine : ndarray, shape (4, 4)
        Indices to mm.
    """

    labels: Labels
    affine: NDArray[np.float64]


def open_volume(path: Path) -> Nifti1Image:
    """Open a three-dimensional NIfTI file; its voxels are not read yet.

    Raises
    ------
    InputError
        If it is not there, is no NIfTI, or has not three dimensions.
    """
    try:
        image = nib.load(path)
    except (OSError, EOFError, ImageFileError, zlib.error) as error:
        raise InputError(f"{path}: is not a NIfTI file that can be read: {error}.") from error
    if not isinstance(image, Nifti1Image):
        raise InputError(f"{path}: must be a NIfTI file; got {type(image).__name__}.")
    if len(image.shape) != 3:
        raise InputError(f"{path}: must have three dimensions; got the shape {image.shape}.")
    return image


def read_voxels(path: Path, image: Nifti1Image) -> NDArray[Any]:
    """Voxels of an open file, scaled as it says.

    Raises
    ------
    InputError
        If the file ends before its voxels do, or is damaged.
    """
    try:
        return np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path}: its voxels cannot be read, the file is cut short or damaged: {error}."
        ) from error


def read_labels(path: Path) -> LabelVolume:
    """Read a volume of labels.

    Raises
    ------
    InputError
        If the file cannot be read, or a voxel is negative, no whole number or not finite.
    """
    image = open_volume(path)
    voxels = read_voxels(path, image)
    whole = np.rint(voxels) if np.issubdtype(voxels.dtype, np.floating) else voxels
    good = (np.abs(voxels - whole) <= INTEGER_TOLERANCE) & (whole >= 0) & (whole <= VALUE_MAX)
    if not good.all():
        place = np.unravel_index(int(good.argmin()), good.shape)
        raise InputError(
            f"{path}: {(~good).sum()} voxels are no labels; the first, at "
            f"{[int(index) for index in place]}, is {voxels[place]}. Labels are whole numbers "
            f"from 0 to {VALUE_MAX}."
        )
    return LabelVolume(whole.astype(np.uint16), np.asarray(image.affine, dtype=np.float64))


def grid_mismatch(a: Nifti1Image | LabelVolume, b: Nifti1Image | LabelVolume) -> str:
    """How two volumes differ in shape or affine; the empty text where they share a grid."""
    shapes = [v.labels.shape if isinstance(v, LabelVolume) else v.shape for v in (a, b)]
    if shapes[0] != shapes[1]:
        return f"shapes {shapes[0]} and {shapes[1]}"
    off = float(np.abs(a.affine - b.affine).max())
    if not off <= AFFINE_TOLERANCE:
        return f"affine matrices differ by {off:.4g} (limit {AFFINE_TOLERANCE})"
    return ""


def write_labels(path: Path, labels: Labels, like: Nifti1Image) -> None:
    """Write labels as uint8 on the grid of `like`, with its header's geometry; always alike.

    Raises
    ------
    ValueError
        If a label does not fit into uint8, or the shape is not that of `like`.
    """
    if labels.shape != like.shape:
        raise ValueError(f"'labels' must have the shape {like.shape}; got {labels.shape}.")
    if labels.min(initial=0) < 0 or labels.max(initial=0) > 255:
        raise ValueError(f"'labels' must be in 0..255; got up to {labels.max()}.")
    header = like.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    header["cal_min"], header["cal_max"] = 0, 0
    header.extensions.clear()
    image = Nifti1Image(labels.astype(np.uint8), like.affine, header)
    write_gz(path, image.to_bytes())


def write_gz(path: Path, data: bytes) -> None:
    """Write bytes gzipped, without the time and the name that gzip likes to add."""
    with atomic(path) as temporary:
        temporary.write_bytes(gzip.compress(data, compresslevel=6, mtime=0))
