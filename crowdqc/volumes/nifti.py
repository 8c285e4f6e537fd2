"""NIfTI files: opened once their header was found possible, and written without leftovers.

A file of zeros packs a thousand to one: a megabyte may claim gigabytes. The claim stands in the
first bytes, so a file that claims too much is refused before it can take memory.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError

from crowdqc.files import atomic
from crowdqc.findings import InputError
from crowdqc.volumes.grid import Geometry
from crowdqc.volumes.pictures import Array

VOXELS_MAX = 2**30
"""Most voxels of a volume that is read; more is a broken or hostile header."""
BYTES_MAX = 2**33
"""Most bytes of voxels, unpacked: 4,000 slices of 1024 x 1024 in 16 bits."""
RATIO_MAX = 1032
"""What deflate can make of a byte at most."""
OFFSET_MAX = 100_000_000
"""Most bytes of header and extensions before the first voxel."""
_HEADER = 540
_OFFSETS = {348: ("f", 108), 540: ("q", 168)}
"""Size of the header, by which versions 1 and 2 are told apart -> type and place of vox_offset."""
_UNREADABLE = (
    *(OSError, EOFError, ValueError, OverflowError, zlib.error),
    *(ImageFileError, HeaderDataError, HeaderTypeError, WrapStructError),
)
"""What nibabel raises where a file is damaged."""
_MM = {"meter": 1e3, "micron": 1e-3}
"""Units of length that a header may name, in mm; it means mm where it names none."""


def open_nifti(path: Path) -> Any:
    """Open a NIfTI image, whose values are not read yet.

    Raises
    ------
    InputError
        If it is no NIfTI file, has not three axes, or claims more than it can hold.
    """
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


def nifti_geometry(image: Any, path: Path) -> Geometry:
    """Geometry of an opened image; `InputError` where it says nothing usable."""
    try:
        unit = _MM.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError as error:
        raise InputError(f"{path}: names no unit of length that NIfTI knows ({error}).") from error
    affine = np.diag([unit, unit, unit, 1.0]) @ np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise InputError(f"{path}: has an affine that is singular or not finite.")
    i, j, k = image.shape[:3]
    return Geometry((int(i), int(j), int(k)), affine)


def nifti_values(image: Any, path: Path) -> Array:
    """Values (I, J, K) of an opened image, scaled; `InputError` where they cannot be read."""
    try:
        values = np.asanyarray(image.dataobj)
    except _UNREADABLE as error:
        raise InputError(f"{path}: is cut off or damaged: {error}.") from error
    if values.dtype.kind not in "uif":
        raise InputError(f"{path}: holds {values.dtype}; voxels must be single numbers.")
    return values.reshape(values.shape[:3])


def write_nifti(path: Path, data: Array, *, source: Any) -> None:
    """Write voxels as they are, on the grid of an opened image, byte-identical each time."""
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


def refuse_large(path: Path) -> None:
    """Refuse a NIfTI file whose voxels begin too far behind its header.

    What is no NIfTI file is left to its reader.

    Raises
    ------
    InputError
        If it claims more than `OFFSET_MAX` bytes before the first voxel, or cannot be opened.
    """
    offset = _offset(_beginning(path))
    if not offset <= OFFSET_MAX:
        raise InputError(
            f"{path}: its header says that voxels begin at byte {offset:g}; more than {OFFSET_MAX} "
            "is a broken or hostile file."
        )


def refuse_claim(path: Path, n_bytes: float) -> None:
    """Refuse a file that claims more voxels than there should be, or than it can unpack to.

    Parameters
    ----------
    path : Path
    n_bytes : float
        Bytes of all voxels, as the header says.

    Raises
    ------
    InputError
        If they are more than `BYTES_MAX`, or a packed file is too small to hold them.
    """
    if n_bytes > BYTES_MAX:
        raise InputError(f"{path}: holds more than {BYTES_MAX} bytes of voxels when unpacked.")
    if path.suffix == ".gz" and n_bytes > RATIO_MAX * path.stat().st_size:
        raise InputError(f"{path}: is cut off or damaged: too small for {n_bytes:g} bytes.")


def _beginning(path: Path) -> bytes:
    opened = gzip.open if path.name.endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            return bytes(file.read(_HEADER))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as NIfTI: {error}.") from error


def _offset(head: bytes) -> float:
    """Where voxels are said to begin; 0 where the header is none."""
    for order in "<>" if len(head) >= min(_OFFSETS) else "":
        (size,) = struct.unpack_from(f"{order}i", head)
        kind, place = _OFFSETS.get(size, ("", 0))
        if kind and len(head) >= size:
            return float(struct.unpack_from(f"{order}{kind}", head, place)[0])
    return 0.0
