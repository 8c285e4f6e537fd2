"""NIfTI files: opened once their header was found possible, and written without leftovers.

A file of zeros packs a thousand to one: a megabyte may claim gigabytes. The claim stands in the
first bytes, so a file that claims too much is refused before it can take memory.

nibabel is imported where a file is opened: commands that only list files start without it.
"""

from __future__ import annotations

import contextlib
import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from crowdqc.files import Unreadable, opened
from crowdqc.findings import InputError
from crowdqc.volumes.grid import APART, Geometry, refuse_impossible
from crowdqc.volumes.pictures import Array
from crowdqc.writing import atomic

VOXELS_MAX = 2**32
"""Most voxels of a volume that is read, whatever the limits of a study."""
RATIO_MAX = 1032
"""What deflate can make of a byte at most."""
OFFSET_MAX = 100_000_000
"""Most bytes of header and extensions before the first voxel."""
SIZE_SHARE = 1e-3
"""Two sizes of a voxel that differ by more than this share are two sizes."""
SHEAR_MAX = 1e-3
"""Cosine of the angle between two axes up to which these count as perpendicular."""
OTHER_CODE = 2
"""Code for an affine to some space: that of headers whose own code means nothing."""
_CODES = frozenset(range(6))
_GZIP = b"\x1f\x8b"
_HEADER = 540
_OFFSETS = {348: ("f", 108), 540: ("q", 168)}
"""Size of the header, which differs between versions 1 and 2 -> type and place of vox_offset."""
_MM = {"meter": 1e3, "micron": 1e-3}
"""Units of length that a header may name, in mm; it means mm where it names none."""


def open_nifti(path: Path) -> Any:
    """Open a NIfTI image, whose values are not read yet.

    Raises
    ------
    InputError
        If it is no NIfTI file, has not three axes of single numbers, or claims more than it holds.
    """
    beginning = _beginning(path)
    if beginning.startswith(_GZIP):
        raise InputError(f"{path}: is packed by gzip. Rename it, with .gz at the end of its name.")
    offset = _offset(beginning)
    if not offset <= OFFSET_MAX:
        raise InputError(
            f"{path}: its header says that voxels begin at byte {offset:g}; more than {OFFSET_MAX} "
            "is a broken or hostile file."
        )
    import nibabel as nib

    try:
        with _silent():
            image = nib.load(path)
    except _unreadable() as error:
        raise InputError(f"{path}: cannot be read as NIfTI: {error}.") from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise InputError(f"{path}: is {type(image).__name__}; convert it to NIfTI.")
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]):
        raise InputError(f"{path}: has shape {shape}; a volume has three axes. {APART}")
    if dtype.kind not in "uif":
        raise InputError(
            f"{path}: holds {dtype}; voxels must be single numbers, not colours. {APART}"
        )
    _refuse_claim(path, image, offset)
    return image


def _unreadable() -> tuple[type[Exception], ...]:
    """What nibabel raises where a file is damaged."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError
    from nibabel.wrapstruct import WrapStructError

    own = (ImageFileError, HeaderDataError, HeaderTypeError, WrapStructError)
    return (OSError, EOFError, ValueError, OverflowError, zlib.error, *own)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What nibabel mends of a header goes to the terminal, without the name of the file."""
    from nibabel.imageglobals import logger

    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def nifti_geometry(image: Any, path: Path) -> Geometry:
    """Geometry of an opened image; `InputError` where it says nothing usable.

    Parameters
    ----------
    image : nibabel image
        Opened, of three axes or with further ones of length 1.
    path : Path
        Of the file, for the message.

    Returns
    -------
    Geometry
        In mm.
    """
    try:
        unit = _MM.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError as error:
        raise InputError(f"{path}: names no unit of length that NIfTI knows ({error}).") from error
    affine = np.array(image.affine, np.float64)
    affine[:3] *= unit
    i, j, k = image.shape[:3]
    geometry = Geometry((int(i), int(j), int(k)), affine)
    refuse_impossible(geometry, path)
    return geometry


def nifti_doubts(image: Any) -> dict[str, str]:
    """Check -> what others make of the header of an image than crowdqc does.

    ITK, and with it SimpleITK and nnU-Net, takes sizes from ``pixdim`` whatever the sform says,
    and refuses axes that are not perpendicular.
    """
    axes = np.asarray(image.affine)[:3, :3]
    sizes = np.sqrt((axes**2).sum(axis=0))
    cosines = (axes / sizes).T @ (axes / sizes) - np.eye(3)
    found = {"volume-spacing": _two_sizes(sizes, image.header)}
    if (worst := np.abs(cosines).max()) > SHEAR_MAX:
        found["volume-sheared"] = (
            f"its axes are sheared by {np.degrees(np.arcsin(min(worst, 1.0))):.3g} degrees. "
            "SimpleITK and nnU-Net refuse to read it: resample it to perpendicular axes."
        )
    return found


def _two_sizes(stated: Array, header: Any) -> str:
    """Where sform and pixdim say two sizes of a voxel; "" where they do not."""
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
    other = np.where(np.isfinite(pixdim) & (pixdim > 0), pixdim, 1.0)
    if np.allclose(stated, other, rtol=SIZE_SHARE, atol=0):
        return ""
    one, two = (" x ".join(f"{x:g}" for x in sizes) for sizes in (stated, other))
    return (
        f"its sform says that voxels are {one} mm large, its pixdim {two} mm. crowdqc takes the "
        "first, SimpleITK and nnU-Net the second, and every length in mm depends on it. Write the "
        "volume anew from its source, so that both agree."
    )


def nifti_values(image: Any, path: Path) -> Array:
    """Values of an opened image, scaled; `InputError` where they cannot be read.

    Parameters
    ----------
    image : nibabel image
        Opened.
    path : Path
        Of the file, for the message.

    Returns
    -------
    ndarray, shape (I, J, K)
        Of the type that is stored, or float64 if they are scaled.
    """
    try:
        values = np.asanyarray(image.dataobj)
    except _unreadable() as error:
        raise InputError(f"{path}: is cut off or damaged: {error}.") from error
    if values.dtype.kind not in "uif":
        raise InputError(f"{path}: holds {values.dtype}; voxels must be single numbers.")
    return values.reshape(values.shape[:3])


def write_nifti(path: Path, data: Array, *, source: Any) -> None:
    """Write voxels as they are, on the grid of an opened image, byte-identical each time.

    Parameters
    ----------
    path : Path
        Is written over, by a rename; packed if its name ends with ``.gz``.
    data : ndarray, shape (I, J, K)
        Voxels.
    source : nibabel image
        Has the grid.
    """
    image = _image_like(source, data)
    with atomic(path) as temporary:
        temporary.write_bytes(_packed(image.to_bytes(), path))


def _packed(data: bytes, path: Path) -> bytes:
    """Compressed if the name says so, without the time and name that gzip likes to add."""
    return gzip.compress(data, compresslevel=6, mtime=0) if _is_packed(path) else data


def _image_like(source: Any, data: Array) -> Any:
    """Voxels with what of a header places them, and nothing else that is in it."""
    header = type(source.header)()
    header.set_data_dtype(data.dtype)
    header.set_xyzt_units(*source.header.get_xyzt_units())
    image = type(source)(data, source.affine, header)
    good = source.affine, _code(source.header["sform_code"])
    image.set_sform(source.get_sform(coded=True)[0], good[1])
    image.set_qform(*(_qform(source) or good))
    return image


def _qform(source: Any) -> tuple[Array | None, int] | None:
    """The matrix of the quaternion and its code; `None` where it is damaged."""
    try:
        affine, code = source.get_qform(coded=True)
    except _unreadable():
        return None
    damaged = affine is not None and not np.isfinite(affine).all()
    return None if damaged else (affine, _code(code))


def _code(code: Any) -> int:
    return int(code) if int(code) in _CODES else OTHER_CODE


def _refuse_claim(path: Path, image: Any, offset: float) -> None:
    """Refuse a file that claims more voxels than there should be, or than it can hold."""
    n_voxels = float(np.prod([float(n) for n in image.shape]))
    n_bytes, there = n_voxels * image.get_data_dtype().itemsize, path.stat().st_size
    if n_voxels > VOXELS_MAX:
        raise InputError(
            f"{path}: claims {n_voxels:.0f} voxels; at most {VOXELS_MAX} are read. Cut the volume "
            "into parts."
        )
    most = RATIO_MAX * there if _is_packed(path) else there - offset
    if n_bytes > most:
        raise InputError(
            f"{path}: claims {n_bytes:.0f} bytes of voxels, and its {there} bytes hold at most "
            f"{max(most, 0):.0f}: it is cut off or damaged."
        )


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _beginning(path: Path) -> bytes:
    try:
        with opened(path) as file:
            stream = gzip.GzipFile(fileobj=file) if _is_packed(path) else file
            return bytes(stream.read(_HEADER))
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    except gzip.BadGzipFile as error:
        raise InputError(
            f"{path}: is not packed by gzip, as its name says. Where it is whole, rename it, "
            "without .gz at the end of its name."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as NIfTI: {error}.") from error


def _offset(head: bytes) -> float:
    """Where voxels begin by the header; 0 where the header is none."""
    for order in "<>" if len(head) >= min(_OFFSETS) else "":
        (size,) = struct.unpack_from(f"{order}i", head)
        kind, place = _OFFSETS.get(size, ("", 0))
        if kind and len(head) >= size:
            return float(struct.unpack_from(f"{order}{kind}", head, place)[0])
    return 0.0
