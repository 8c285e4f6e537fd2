"""Volumes in and out, the pictures that people annotate, and how one becomes the other.

Volumes are read from NIfTI files and DICOM series, and written as NIfTI. A volume is an array
``(i, j, k)`` with an affine to the patient's space (RAS+, mm). People annotate *pictures* of its
slices ``volume[:, :, k]``, turned in one of eight ways (`crowdqc.config.Picture`). A stack of
pictures is ``(plane, row, column)`` with plane = k.

Which axis is the third is said by a plane (`crowdqc.config.Plane`), and settled at the door:
what is read is turned so that the slices that were annotated are ``volume[:, :, k]``, and what is
written is turned back to the grid of its source. ``"stored"`` turns nothing.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from crowdqc.config import Picture, Plane, Window
from crowdqc.dicom import hash_series, read_series, read_values
from crowdqc.findings import InputError
from crowdqc.nifti import refuse_claim, refuse_large
from crowdqc.planes import turn_back, turn_grid, turn_voxels
from crowdqc.store import atomic, sha256

Array = NDArray[Any]

VOXELS_MAX = 2**30
"""Most voxels of a volume that is read; more is a broken or hostile header."""
WHOLE = 1e-3
"""How far a label may lie from a whole number: scaled masks read as 5.000000177."""

_UNREADABLE = (
    *(OSError, EOFError, ValueError, OverflowError, zlib.error),
    *(ImageFileError, HeaderDataError, HeaderTypeError, WrapStructError),
)
"""What nibabel raises where a file is damaged."""
_MM = {"meter": 1e3, "micron": 1e-3}
"""Units of length that a header may name, in mm; it means mm where it names none."""

_TURNS: dict[str, Callable[[Array], Array]] = {
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
        return (j, i) if _swaps(picture) else (i, j)

    def picture_spacing(self, picture: Picture) -> tuple[float, float, float]:
        """Width and height of a pixel, and distance of slices, in mm."""
        i, j, k = self.spacing
        return (i, j, k) if _swaps(picture) else (j, i, k)

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
        turned = _TURNS[picture](grid)
        step_x, step_y = turned[:, 0, 1] - turned[:, 0, 0], turned[:, 1, 0] - turned[:, 0, 0]
        x, y = (self._direction(step) for step in (step_x, step_y))
        return x, y

    def _direction(self, step: Array) -> str:
        vector = self.affine[:3, :2] @ step
        axis = int(np.abs(vector).argmax())
        return ("RAS" if vector[axis] > 0 else "LPI")[axis]


def _swaps(picture: Picture) -> bool:
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
    return _TURNS[picture](np.moveaxis(volume, 2, 0))


def from_pictures(pictures: Array, picture: Picture) -> Array:
    """Inverse of `to_pictures`: ``(K, rows, columns)`` to ``(I, J, K)``."""
    return np.moveaxis(_TURNS[_INVERSE.get(picture, picture)](pictures), 0, 2)


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
        `crowdqc.dicom.read_series` takes.
    """
    return _turned(_geometry(_load(path), path), plane)


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
        image = _load(path)
        volume = np.asarray(_values(image, path), dtype=np.float32)
        geometry = _geometry(image, path)
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
    image = _load(path)
    values = _values(image, path)
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
    return _view(labels.astype(np.int32), _geometry(image, path), plane)


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


def window_limits(volume: Array, window: Window) -> tuple[float, float]:
    """Intensities that become black and white."""
    if window.percentiles is not None:
        low, high = np.percentile(volume, window.percentiles)
        return float(low), float(high)
    level, width = window.level or 0.0, window.width or 0.0
    return level - width / 2, level + width / 2


def _load(path: Path) -> Any:
    """A NIfTI image whose values are not read yet; of a DICOM series, the frame alone."""
    if path.is_dir():
        return _frame(path)
    refuse_large(path)
    try:
        image = nib.load(path)
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as NIfTI: {error}.") from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise InputError(f"{path}: is {type(image).__name__}; a NIfTI file is needed.")
    shape = image.shape
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]):
        raise InputError(f"{path}: has shape {shape}; a volume has three axes.")
    if np.prod([float(n) for n in shape]) > VOXELS_MAX:
        raise InputError(f"{path}: has shape {shape}, more than {VOXELS_MAX} voxels.")
    refuse_claim(path, np.prod([float(n) for n in shape]) * image.get_data_dtype().itemsize)
    return image


def _frame(folder: Path) -> Any:
    series = read_series(folder)
    image = nib.Nifti1Image(np.broadcast_to(np.uint8(0), series.shape), series.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(series.affine, code="scanner")
    image.set_qform(series.affine, code="scanner")
    return image


def _geometry(image: Any, path: Path) -> Geometry:
    try:
        unit = _MM.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError as error:
        raise InputError(f"{path}: names no unit of length that NIfTI knows ({error}).") from error
    affine = np.diag([unit, unit, unit, 1.0]) @ np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise InputError(f"{path}: has an affine that is singular or not finite.")
    i, j, k = image.shape[:3]
    return Geometry((int(i), int(j), int(k)), affine)


def _values(image: Any, path: Path) -> Array:
    try:
        values = np.asanyarray(image.dataobj)
    except _UNREADABLE as error:
        raise InputError(f"{path}: is cut off or damaged: {error}.") from error
    if values.dtype.kind not in "uif":
        raise InputError(f"{path}: holds {values.dtype}; voxels must be single numbers.")
    return values.reshape(values.shape[:3])


def _turned(geometry: Geometry, plane: Plane) -> Geometry:
    return Geometry(*turn_grid(geometry.shape, geometry.affine, plane))


def _view(volume: Any, geometry: Geometry, plane: Plane) -> tuple[Any, Geometry]:
    """A volume, as stored, and its geometry turned to a plane."""
    return turn_voxels(volume, geometry.affine, plane), _turned(geometry, plane)


def _write(path: Path, data: Array, *, like: Path, plane: Plane) -> None:
    source = _load(like)
    data = turn_back(data, _geometry(source, like).affine, plane)
    if data.shape != source.shape[:3]:
        raise InputError(f"{path}: has shape {data.shape}, but {like} has {source.shape[:3]}.")
    header = source.header.copy()
    header.set_data_dtype(data.dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    header.extensions.clear()  # these are about the source's values, or its patient
    for name in ("descrip", "aux_file", "intent_name", "db_name"):
        header[name] = b""
    image = type(source)(data, source.affine, header)
    for name in ("sform", "qform"):  # the constructor guesses codes; the source's own are kept
        affine, code = getattr(source, f"get_{name}")(coded=True)
        getattr(image, f"set_{name}")(affine, int(code))
    with atomic(path) as temporary:
        temporary.write_bytes(_packed(image.to_bytes(), path))


def _packed(data: bytes, path: Path) -> bytes:
    """Compressed if the name says so, without the time and name that gzip likes to add."""
    return gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data
