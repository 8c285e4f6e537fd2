"""Volumes in the other formats of the field, read with SimpleITK: NRRD, MetaImage, Analyze.

A header in one file may name another one that holds the voxels. That must lie beside it under a
bare name, so that opening a volume opens nothing else; and since ITK fills up what a file lacks,
what a header claims is compared with the bytes that are there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.files import Unreadable, opened
from crowdqc.findings import InputError
from crowdqc.volumes.grid import APART, Geometry, refuse_impossible
from crowdqc.volumes.pictures import Array

ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img")
"""Endings of files that are read here."""
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's and DICOM's axes point to the patient's left and back, NIfTI's to the right and front."""
RATIO_MAX = 1032
"""What deflate can make of a byte at most."""
_PAIR = {".hdr": ".img", ".img": ".hdr"}
_HEADER_MAX = 2**20
_FLAGS = re.IGNORECASE | re.MULTILINE
_DATA = re.compile(rb"^[ \t]*(?:element)?data[ _]?file[ \t]*[=:][ \t]*([^\n]*)", _FLAGS)
_PACKED = re.compile(rb"^(CompressedData\s*=\s*T|BinaryData\s*=\s*F|encoding:\s*+(?!raw))", _FLAGS)

_NUMBER = r"(?:[-+]?(?:\d{1,15}\.?\d{0,20}|\.\d{1,20})(?:[eE][-+]?\d{1,3})?|[-+]?(?i:nan))"
_VECTOR = rf"(?:none|\({_NUMBER}(?:\ ?,\ ?{_NUMBER}){{1,3}}\))"
_NRRD = re.compile(
    rf"""(?:NRRD\d{{4}}|\#.{{0,200}}|[^:=]{{1,200}}:=.{{0,10000}}
    |type:\ ?[\w\ ]{{1,30}}|dimension:\ ?\d|space\ dimension:\ ?\d|space:\ ?[\w-]{{1,40}}
    |sizes:\ ?\d{{1,9}}(?:\ \d{{1,9}}){{0,8}}|endian:\ ?\w{{1,8}}|encoding:\ ?\w{{1,8}}
    |space\ directions:\ ?{_VECTOR}(?:\ {{1,2}}{_VECTOR}){{0,8}}|space\ origin:\ ?{_VECTOR}
    |measurement\ frame:\ ?{_VECTOR}(?:\ {_VECTOR}){{0,2}}
    |(?:spacings|thicknesses|axis\ mins|axis\ maxs):\ ?{_NUMBER}(?:\ {_NUMBER}){{0,8}}
    |(?:kinds|centerings|labels|units|space\ units):\ ?[\w\ "?.()-]{{0,60}}
    |content:\ ?[ -~]{{0,200}}|(?:old\ )?(?:min|max):\ ?{_NUMBER}
    |(?:byte\ skip|line\ skip):\ ?-?\d{{1,9}}|data\ ?file:\ ?.{{1,200}}|)""",
    re.VERBOSE,
)
_OWN = (
    *("ObjectType", "NDims", "DimSize", "BinaryData", "Element", "CompressedData", "HeaderSize"),
    *("TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin", "CenterOf"),
)
_NUMBERS = rf"{_NUMBER}(?:\ +{_NUMBER}){{0,15}}\ ?"
_META = re.compile(
    rf"""(?:ObjectType\ ?=\ ?Image|NDims\ ?=\ ?[1-9]
    |DimSize\ ?=\ ?\d{{1,9}}(?:\ +\d{{1,9}}){{0,8}}\ ?
    |(?:BinaryData|BinaryDataByteOrderMSB|ElementByteOrderMSB|CompressedData)\ ?=\ ?\w{{1,5}}
    |(?:CompressedDataSize|HeaderSize|ElementNumberOfChannels)\ ?=\ ?-?\d{{1,15}}
    |(?:TransformMatrix|Rotation|Orientation|Offset|Position|Origin|CenterOfRotation|ElementSpacing
    |ElementSize|ElementOrigin|ElementMin|ElementMax|ID|ParentID)\ ?=\ ?{_NUMBERS}
    |(?:AnatomicalOrientation|ElementType|Modality|DistanceUnits)\ ?=\ ?\w{{1,30}}
    |ElementDataFile\ ?=\ ?[ -~]{{1,200}}
    |(?!{"|".join(_OWN)})[A-Za-z]\w{{0,60}}\ ?=[ -~]{{0,200}}|)""",
    re.VERBOSE,
)
"""The lines that a header of NRRD, and one of MetaImage, may have."""


def simpleitk(what: str) -> ModuleType:
    """SimpleITK, which is an extra.

    Raises
    ------
    InputError
        If it is not installed; `what` is read with it.
    """
    try:
        import SimpleITK
    except ModuleNotFoundError as error:
        raise InputError(
            f"{what} are read with SimpleITK, which is not installed: "
            "pip install crowdqc[dicom], or convert them to NIfTI."
        ) from error
    return SimpleITK


@contextlib.contextmanager
def silent(sitk: ModuleType) -> Iterator[None]:
    """ITK's own warnings go to the terminal and name neither file nor remedy."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # noqa: FBT003
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def reason_of(error: RuntimeError) -> str:
    """The last line of ITK's message: those before name its source files."""
    return str(error).strip().splitlines()[-1].rstrip(". ")


_WHAT = f"Volumes that end with {', '.join(ENDINGS)}"


def itk_geometry(path: Path) -> Geometry:
    """Geometry of a file with one of `ENDINGS`, from its header.

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the file cannot be read, holds no volume of single
        numbers, names voxels elsewhere, or claims more of them than there are.
    """
    sitk = simpleitk(_WHAT)
    _, there, raw = _checked(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with silent(sitk):
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}.") from error
    size = reader.GetSize()
    alone = all(n == 1 for n in size[3:]) and reader.GetNumberOfComponents() == 1
    if len(size) < 3 or min(size) < 1 or not alone:
        raise InputError(
            f"{path}: has shape {size} with {reader.GetNumberOfComponents()} values a voxel; a "
            f"volume has three axes and single numbers. {APART}"
        )
    n_bytes = float(np.prod([float(n) for n in size])) * _item_bytes(sitk, reader.GetPixelID())
    if n_bytes > there * (1 if raw else RATIO_MAX):
        raise InputError(
            f"{path}: claims {n_bytes:.0f} bytes of voxels, and there are {there}: it is cut off "
            "or damaged."
        )
    geometry = Geometry((size[0], size[1], size[2]), _affine(reader))
    refuse_impossible(geometry, path)
    return geometry


def itk_values(path: Path, geometry: Geometry) -> Array:
    """Values of a file whose geometry was read; `InputError` where they cannot be.

    Parameters
    ----------
    path : Path
        Of the file.
    geometry : Geometry
        As read from it.

    Returns
    -------
    ndarray, shape (I, J, K)
        Of the type that is stored.
    """
    sitk = simpleitk(_WHAT)
    try:
        with silent(sitk):
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}.") from error
    array: Array = sitk.GetArrayFromImage(image).T
    if array.dtype.kind not in "uif":
        raise InputError(f"{path}: holds {array.dtype}; voxels must be single numbers.")
    return array.reshape(geometry.shape)


def is_analyze(path: Path) -> bool:
    """Whether a header is Analyze's, which says nothing of the patient's directions."""
    if path.suffix.lower() not in _PAIR:
        return False
    header = next(file for file in data_files(path) if file.suffix.lower() == ".hdr")
    return _beginning(header)[344:347] != b"ni1"


def data_files(path: Path) -> list[Path]:
    """The files that make up a volume: itself, and the one beside it that it names.

    Raises
    ------
    InputError
        If it names a file that is not beside it, or cannot be read.
    """
    return _checked(path)[0]


def _checked(path: Path) -> tuple[list[Path], int, bool]:
    """Files of a volume, bytes of its voxels, and whether they are stored as they are."""
    other = _PAIR.get(path.suffix.lower())
    if other is not None:
        beside = [p for end in (other, other.upper()) if (p := path.with_suffix(end)).is_file()]
        if not beside:
            raise InputError(f"{path}: has no {path.stem}{other} beside it; both are needed.")
        _beginning(beside[0])
        voxels = path if path.suffix.lower() == ".img" else beside[0]
        return [path, beside[0]], voxels.stat().st_size, True
    header = _header(path, _beginning(path).replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    _refuse_odd(path, header)
    names = [found[1].strip() for found in _DATA.finditer(header)]
    named = [path.parent / _bare(path, name) for name in names if name.upper() != b"LOCAL"]
    for file in named:
        _beginning(file)
    sizes = [file.stat().st_size for file in named] or [path.stat().st_size - len(header)]
    return [path, *named], min(sizes), not _PACKED.search(header)


def _refuse_odd(path: Path, header: bytes) -> None:
    """Refuse a header with lines that ITK may overrun a buffer, or crash, to make sense of."""
    known = _NRRD if path.suffix.lower() in {".nrrd", ".nhdr"} else _META
    for number, line in enumerate(header.decode("latin-1").split("\n"), start=1):
        if not known.fullmatch(line):
            raise InputError(
                f"{path}: cannot be read: line {number} of its header is none of the format: "
                f"{line[:60]!r}. Write the volume anew, or convert it to NIfTI."
            )


def _header(path: Path, head: bytes) -> bytes:
    """The text before the voxels, in which ITK looks for the name of their file."""
    if path.suffix.lower() in {".nrrd", ".nhdr"}:
        end = re.search(rb"\n\n", head)
    else:  # the line that names the voxels is the last one
        end = re.search(rb"^ElementDataFile *= *[^\n]*\n?", head, re.MULTILINE)
    if end is None and len(head) > _HEADER_MAX // 2:
        raise InputError(f"{path}: has no end of its header in the first {len(head)} bytes.")
    return head if end is None else head[: end.end()]


def _bare(path: Path, name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    if not text or text in {".", "..", "LIST"} or re.search(r"[/\\%:\s]", text):
        raise InputError(
            f"{path}: names '{text[:60]}' as the file of its voxels; it must be one file beside it."
        )
    return text


def _beginning(path: Path) -> bytes:
    try:
        with opened(path) as file:
            return file.read(_HEADER_MAX)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error


def _item_bytes(sitk: ModuleType, pixel: int) -> int:
    """Bytes of a voxel; 0 where they are not single numbers."""
    wide = {sitk.sitkUInt64, sitk.sitkInt64, sitk.sitkFloat64}
    half = {sitk.sitkUInt16, sitk.sitkInt16}
    if pixel in {sitk.sitkUInt8, sitk.sitkInt8}:
        return 1
    return 8 if pixel in wide else 2 if pixel in half else 4


def _affine(reader: Any) -> NDArray[np.float64]:
    """Voxel index to patient space, RAS+."""
    affine = np.eye(4)
    n = reader.GetDimension()
    axes = np.reshape(reader.GetDirection(), (n, n))[:3, :3]
    affine[:3, :3] = axes * np.array(reader.GetSpacing())[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    turned: NDArray[np.float64] = LPS @ affine
    return turned
