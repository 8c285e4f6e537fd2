"""A DICOM series as a volume: which files it has, where its slices lie, and their values.

Only what places and scales the voxels is read; nothing that says who the patient is ever leaves
this module. A series that is no straight and even stack of slices is refused with the reason,
because any volume made of it would be wrong: with a slice missing, the slices behind the gap
would lie elsewhere, and under other numbers, than on the pictures that people annotated.

SimpleITK reads the files (``pip install crowdqc[dicom]``).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.files import Unreadable
from crowdqc.findings import InputError
from crowdqc.text import count
from crowdqc.volumes.elements import (
    LOOKUP,
    PHOTOMETRIC,
    SLOPE,
    Elements,
)
from crowdqc.volumes.grid import Geometry, refuse_impossible
from crowdqc.volumes.itk import LPS, RATIO_MAX, reason_of, silent, simpleitk

STEP_SHARE = 0.1
"""Distances of neighbouring slices may differ by this share: positions are rounded in files."""
SHIFT_PX = 0.5
"""By so much, in px, may slices lie beside the first one, seen along their normal."""
DIRECTION = 1e-3
"""By so much may the directions (cosines) of two slices differ."""

_SERIES, _MODALITY, _NUMBER, _DESCRIPTION = "0020|000e", "0008|0060", "0020|0011", "0008|103e"
_POSITION, _ORIENTATION, _SPACING = "0020|0032", "0020|0037", "0028|0030"
_BETWEEN, _THICKNESS, _INSTANCE = "0018|0088", "0018|0050", "0020|0013"
_FRAMES, _SAMPLES = "0028|0008", "0028|0002"


@dataclass(frozen=True, eq=False)
class Series:
    """A stack of slices.

    Parameters
    ----------
    files : tuple of Path
        One slice each, ordered along the normal of the slices (row direction x column direction:
        towards the head for axial slices seen from the feet, as usual).
    shape : tuple of int
        Columns, rows and slices: voxels along ``i, j, k``.
    affine : ndarray, shape (4, 4)
        Voxel index to patient space, RAS+, in mm.
    """

    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    numbers: tuple[int, ...] = ()
    """Instance numbers, ascending; empty where a file has none."""


@dataclass(frozen=True, eq=False)
class _Slice:
    """What a file says of its slice."""

    path: Path
    series: str
    title: str
    size: tuple[int, int]
    spacing: NDArray[np.float64]
    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    thickness: float
    number: str


def read_series(folder: Path) -> Series:
    """The one series in a folder, or in the folders within it, from the headers.

    Raises
    ------
    InputError
        If SimpleITK is not installed; if the folder holds no series or more than one; or if the
        files are no slices of one size and direction, straight above each other, at equal
        distances: with a slice missing or there twice, or under a tilted gantry.
    """
    read = [_read_slice(path, folder) for path in series_files(folder)]
    slices = [one for one in read if one is not None]
    if not slices:
        raise InputError(f"{folder}: holds no DICOM file; a folder of one series is needed.")
    _refuse_several(folder, slices)
    first = slices[0]
    for other in slices:
        _refuse_unlike(first, other)
    normal = np.cross(*first.axes)
    slices.sort(key=lambda one: float(one.position @ normal))
    step = _step(folder, slices, normal)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([*(first.axes * first.spacing[:, None]), normal * step])
    affine[:3, 3] = slices[0].position
    files = tuple(one.path for one in slices)
    series = Series(files, (*first.size, len(files)), LPS @ affine, _numbers(slices))
    refuse_impossible(Geometry(series.shape, series.affine), folder)
    return series


def series_gap(series: Series) -> str:
    """What the instance numbers say is not there; "" where nothing is.

    Even distances cannot tell that the first slices are missing, or every second one.
    """
    numbers = series.numbers
    if not numbers or (numbers[0] <= 1 and len(numbers) == numbers[-1] - numbers[0] + 1):
        return ""
    n = numbers[-1] - len(numbers) + (numbers[0] < 1)
    return (
        f"the instance numbers of its {len(numbers)} slices run from {numbers[0]} to "
        f"{numbers[-1]}: {count(n, 'slice')} may be missing, before the first or evenly between "
        "the others"
    )


def read_values(series: Series) -> NDArray[np.float32]:
    """Values of all voxels, scaled by each slice's own slope and intercept, as (i, j, k).

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the pixels of a slice cannot be read.
    """
    sitk = simpleitk("DICOM series")
    volume = np.empty(series.shape, dtype=np.float32)
    for k, path in enumerate(series.files):
        try:
            with silent(sitk), _not_inverted(path) as file:
                image = sitk.ReadImage(str(file), sitk.sitkFloat32, imageIO="GDCMImageIO")
        except RuntimeError as error:
            raise InputError(f"{path}: its pixels cannot be read: {reason_of(error)}.") from error
        volume[:, :, k] = sitk.GetArrayViewFromImage(image).reshape(series.shape[1::-1]).T
    return volume


@contextlib.contextmanager
def _not_inverted(path: Path) -> Iterator[Path]:
    """A file whose values ITK leaves as they are: it would turn those of MONOCHROME1 round."""
    elements = _elements(path)
    if elements.text(PHOTOMETRIC) != "MONOCHROME1":
        yield path
        return
    if elements.photometric_at is None:
        raise InputError(f"{path}: is deflated and MONOCHROME1. Convert the series to NIfTI.")
    with tempfile.TemporaryDirectory() as folder:
        data = bytearray(path.read_bytes())
        data[elements.photometric_at + len("MONOCHROME")] = ord("2")
        copy = Path(folder, "slice.dcm")
        copy.write_bytes(data)
        yield copy


def series_files(folder: Path) -> list[Path]:
    """All files of a folder and of the folders within it, but for indices and hidden files."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name != "DICOMDIR" and not path.name.startswith(".")
    )


def hash_files(folder: Path, files: Sequence[Path]) -> str:
    """SHA-256 of what files below a folder hold, wherever the folder lies."""
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"))
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _read_slice(path: Path, folder: Path) -> _Slice | None:
    """A file's header; `None` for a file that is not DICOM."""
    sitk = simpleitk("DICOM series")
    elements = _elements(path)
    if elements.kind:
        raise InputError(
            f"{path}: is {elements.kind}, which is not read as slices. Move it out of {folder}; "
            "images in one file can be converted to NIfTI, for example with dcm2niix."
        )
    _refuse_values(path, elements)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with silent(sitk):
            reader.ReadImageInformation()
    except RuntimeError as error:
        if _is_dicom(path):
            raise InputError(
                f"{path}: is DICOM, but holds no picture that can be read ({reason_of(error)}). "
                f"Leave only the series in {folder}."
            ) from error
        return None
    return _slice(path, _Header(path, reader))


def _elements(path: Path) -> Elements:
    try:
        return Elements(path)
    except (Unreadable, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _refuse_values(path: Path, elements: Elements) -> None:
    """Refuse pixels that are cut off, or that are scaled in a way that is not applied."""
    there, expected = elements.pixel_bytes, elements.expected_bytes
    if there is None and expected > RATIO_MAX * path.stat().st_size:
        raise InputError(
            f"{path}: claims {expected} bytes of pixels, more than a file of its size can hold "
            "packed: it is cut off or damaged. Fetch the file again."
        )
    if there is not None and there < expected:
        raise InputError(
            f"{path}: holds {there} bytes of pixel data, where its rows, columns and bits need "
            f"{expected}: it is cut off or damaged. Fetch the file again."
        )
    if elements.has(LOOKUP):
        raise InputError(
            f"{path}: its values go through a Modality LUT Sequence, which is not applied. Convert "
            "the series to NIfTI."
        )
    if elements.has(SLOPE) and elements.real(SLOPE, 1.0) == 0:
        raise InputError(f"{path}: its RescaleSlope is 0: all values would be one. Mend the file.")


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


class _Header:
    """Fields of a file, by tag."""

    def __init__(self, path: Path, reader: Any) -> None:
        self.path, self._reader = path, reader
        self.size: tuple[int, ...] = reader.GetSize()

    def text(self, tag: str, default: str = "") -> str:
        known = self._reader.HasMetaDataKey(tag)
        return self._reader.GetMetaData(tag).strip(" \0") if known else default

    def numbers(self, tag: str, name: str, n: int) -> NDArray[np.float64]:
        text = self.text(tag)
        try:
            values = np.array([float(part) for part in text.split("\\")], dtype=np.float64)
        except ValueError:
            values = np.empty(0)
        if values.shape != (n,) or not np.isfinite(values).all():
            raise InputError(
                f"{self.path}: its {name} ({tag.replace('|', ',')}) must be {n} numbers; got "
                f"{text[:60]!r}. Where a slice lies must be known."
            )
        return values


def _slice(path: Path, header: _Header) -> _Slice:
    if header.text(_FRAMES, "1") != "1" or header.text(_SAMPLES, "1") != "1":
        raise InputError(
            f"{path}: has {header.text(_FRAMES, '1')} frames of {header.text(_SAMPLES, '1')} "
            "values a pixel; files must hold one grey slice each. Convert it to NIfTI."
        )
    axes = header.numbers(_ORIENTATION, "ImageOrientationPatient", 6).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > DIRECTION:
        raise InputError(f"{path}: its directions {axes.tolist()} are not at right angles.")
    # DICOM gives the distance of rows first: the step along a column.
    spacing = header.numbers(_SPACING, "PixelSpacing", 2)[::-1]
    if not (spacing > 0).all():
        raise InputError(f"{path}: its PixelSpacing {spacing.tolist()} must be above 0 mm.")
    columns, rows = header.size[:2]
    number, words = header.text(_NUMBER, "?"), header.text(_DESCRIPTION) or "no description"
    return _Slice(
        path=path,
        series=header.text(_SERIES),
        title=f"series {number}, {header.text(_MODALITY, '?')}, {words}",
        size=(columns, rows),
        spacing=spacing,
        position=header.numbers(_POSITION, "ImagePositionPatient", 3),
        axes=axes,
        thickness=_positive(header.text(_BETWEEN)) or _positive(header.text(_THICKNESS)),
        number=header.text(_INSTANCE),
    )


def _numbers(slices: Sequence[_Slice]) -> tuple[int, ...]:
    try:
        return tuple(sorted(int(one.number) for one in slices))
    except ValueError:
        return ()


def _positive(text: str) -> float:
    """The length that `text` says; 0 where it says none."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if np.isfinite(value) and value > 0 else 0.0


def _refuse_several(folder: Path, slices: Sequence[_Slice]) -> None:
    ordered = sorted(slices, key=lambda one: (one.series, str(one.path)))
    groups = [list(group) for _, group in itertools.groupby(ordered, key=lambda one: one.series)]
    if len(groups) > 1:
        named = "; ".join(
            f"{group[0].title} ({len(group)} files, such as {group[0].path.relative_to(folder)})"
            for group in groups
        )
        raise InputError(
            f"{folder}: holds {len(groups)} series, and a case is one: {named}. Give each its own "
            "folder, and name it in [images] path, for example 'dicom/{case}/ct/'."
        )


def _refuse_unlike(first: _Slice, other: _Slice) -> None:
    """Refuse a scout among slices, and whatever else is no slice of the same stack."""
    different = {
        "rows and columns": first.size != other.size,
        "spacing": not np.allclose(first.spacing, other.spacing, rtol=1e-3),
        "direction": np.abs(first.axes - other.axes).max() > DIRECTION,
    }
    what = [name for name, differs in different.items() if differs]
    if what:
        raise InputError(
            f"{other.path}: is in a series with {first.path}, but differs in {' and '.join(what)}. "
            "A series must be one stack of slices: move out what does not belong to it."
        )


def _step(folder: Path, slices: Sequence[_Slice], normal: NDArray[np.float64]) -> float:
    """Distance of slices in mm, if they are a straight and even stack."""
    if len(slices) == 1:
        if not slices[0].thickness:
            raise InputError(f"{slices[0].path}: is a single slice that does not say how thick.")
        return slices[0].thickness
    positions = np.array([one.position for one in slices])
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    if (twice := steps <= STEP_SHARE * abs(usual)).any():
        a, b = slices[at := int(twice.argmax())], slices[at + 1]
        raise InputError(
            f"{a.path} and {b.path}: lie at one place ({along[at]:g} mm along the stack); "
            f"in {folder}, {count(int(twice.sum()), 'slice')} twice. Leave one of each: a series "
            "of several phases or echoes is several cases."
        )
    _refuse_uneven(slices, steps, usual)
    _refuse_tilt(folder, slices, positions - positions[0] - np.outer(along - along[0], normal))
    return float((along[-1] - along[0]) / (len(slices) - 1))


def _refuse_uneven(slices: Sequence[_Slice], steps: NDArray[np.float64], usual: float) -> None:
    uneven = np.abs(steps - usual) > STEP_SHARE * usual
    if not uneven.any():
        return
    a, b = slices[at := int(uneven.argmax())], slices[at + 1]
    gap = steps[at] / usual
    missing = round(gap) - 1
    guess = f"; {count(missing, 'slice')} may be missing" if missing > 0 else ""
    raise InputError(
        f"{a.path} and {b.path}: are {steps[at]:g} mm apart, where most slices are {usual:g} mm "
        f"apart{guess}; in all, {count(int(uneven.sum()), 'such distance')}. Slices must be evenly "
        "spaced: find the missing files, or resample the series to NIfTI."
    )


def _refuse_tilt(folder: Path, slices: Sequence[_Slice], aside: NDArray[np.float64]) -> None:
    """Refuse slices that do not lie straight above each other; `aside` is how far, in mm."""
    away = np.linalg.norm(aside, axis=1)
    worst = int(away.argmax())
    if away[worst] > SHIFT_PX * slices[0].spacing.min():
        height = np.linalg.norm(slices[worst].position - slices[0].position - aside[worst])
        degrees = np.degrees(np.arctan2(away[worst], height))
        raise InputError(
            f"{folder}: its slices are sheared: {slices[worst].path.name} lies {away[worst]:.3g} "
            f"mm beside {slices[0].path.name} (a gantry tilt of {degrees:.3g} degrees?). "
            "Straighten it first: dcm2niix writes a NIfTI file without the tilt."
        )
