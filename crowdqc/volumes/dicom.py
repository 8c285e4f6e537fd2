"""A DICOM series as a volume: which files it has, where its slices lie, and their values.

Only what places and scales the voxels is read; nothing that says who the patient is ever leaves
this module. SimpleITK reads the files (``pip install crowdqc[dicom]``).
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.files import Unreadable, holds_dicom
from crowdqc.findings import InputError
from crowdqc.text import count
from crowdqc.volumes.elements import (
    LOOKUP,
    PHOTOMETRIC,
    SLOPE,
    Elements,
)
from crowdqc.volumes.enhanced import read_frames, read_pixels
from crowdqc.volumes.itk import RATIO_MAX, reason_of, silent, simpleitk
from crowdqc.volumes.stack import DIRECTION, Series, Slice, make_stack, on_grid

ENDING = ".dcm"
"""Ending of a file that holds all slices of a series."""

_SERIES, _MODALITY, _NUMBER, _DESCRIPTION = "0020|000e", "0008|0060", "0020|0011", "0008|103e"
_POSITION, _ORIENTATION, _SPACING = "0020|0032", "0020|0037", "0028|0030"
_BETWEEN, _THICKNESS, _INSTANCE = "0018|0088", "0018|0050", "0020|0013"
_FRAMES, _SAMPLES = "0028|0008", "0028|0002"


def read_series(folder: Path, *, resample: bool = False) -> Series:
    """The one series in a folder, or in the folders within it, from the headers.

    Parameters
    ----------
    folder : Path
        The folder, or a file that holds all slices.
    resample : bool
        As for `crowdqc.volumes.stack.make_stack`.

    Raises
    ------
    InputError
        If SimpleITK is not installed; if the folder holds no series; or if its slices are no
        stack that `crowdqc.volumes.stack.make_stack` takes.
    """
    slices = [one for path in series_files(folder) for one in _read_slices(path, folder)]
    if not slices:
        raise InputError(f"{folder}: holds no DICOM file; a folder of one series is needed.")
    return make_stack(folder, slices, resample=resample)


def series_gap(series: Series) -> str:
    """What the instance numbers say is not there; "" where nothing is.

    Even distances cannot tell that the first slices are missing, or every second one.
    """
    numbers = series.numbers
    if not numbers or (numbers[0] <= 1 and len(numbers) == numbers[-1] - numbers[0] + 1):
        return ""
    repeated = len(numbers) - len(set(numbers))
    if repeated:
        return (
            f"{count(repeated, 'instance number')} of its {len(numbers)} slices repeat others, so "
            "that they do not tell whether slices are missing; places order the slices"
        )
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
    volume = np.empty((*series.slices[0].size, len(series.slices)), dtype=np.float32)
    places: dict[Path, list[int]] = {}
    for k, path in enumerate(series.files):
        places.setdefault(path, []).append(k)
    for path, own in places.items():
        if series.slices[own[0]].frame is None:
            volume[:, :, own[0]] = _read_plane(path).T
            continue
        pixels = read_pixels(path)
        for k in own:
            slope, intercept = series.slices[k].scale
            volume[:, :, k] = pixels[series.slices[k].frame].T * slope + intercept
    return volume if series.grid is None else on_grid(volume, series.grid)


def _read_plane(path: Path) -> NDArray[np.float32]:
    """Values (row, column) of a file that is one slice."""
    sitk = simpleitk("DICOM series")
    try:
        with silent(sitk), _not_inverted(path) as file:
            image = sitk.ReadImage(str(file), sitk.sitkFloat32, imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise InputError(f"{path}: its pixels cannot be read: {reason_of(error)}.") from error
    return sitk.GetArrayFromImage(image).reshape(image.GetSize()[1::-1])


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


def is_dicom(path: Path) -> bool:
    """Whether a volume is read from DICOM.

    Parameters
    ----------
    path : Path
        The volume.

    Returns
    -------
    bool
        Of a folder, and of a file with the ending of DICOM.
    """
    return path.is_dir() or path.suffix.lower() == ENDING


def series_files(folder: Path) -> list[Path]:
    """All files of a folder and of the folders within it, but for indices and hidden files."""
    if folder.is_file():
        return [folder]
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name != "DICOMDIR" and not path.name.startswith(".")
    )


def hash_files(folder: Path, files: Sequence[Path]) -> str:
    """SHA-256 of what files below a folder hold, wherever the folder lies.

    Parameters
    ----------
    folder : Path
        Above all of them.
    files : sequence of Path
        In an order that the same files have everywhere.

    Returns
    -------
    str
        Hexadecimal.
    """
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"))
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _read_slices(path: Path, folder: Path) -> list[Slice]:
    """What the header of a file says of its slices; none for a file that is not DICOM."""
    sitk = simpleitk("DICOM series")
    elements = _elements(path)
    if elements.kind:
        raise InputError(
            f"{path}: is {elements.kind}, which is not read as slices. Move it out of {folder}; "
            "images in one file can be converted to NIfTI, for example with dcm2niix."
        )
    _refuse_values(path, elements)
    if elements.many_frames:
        return read_frames(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with silent(sitk):
            reader.ReadImageInformation()
    except RuntimeError as error:
        if holds_dicom(path):
            raise InputError(
                f"{path}: is DICOM, but holds no picture that can be read ({reason_of(error)}). "
                f"Leave only the series in {folder}."
            ) from error
        return []
    return [_slice(path, _Header(path, reader))]


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
            got = f"must be {n} numbers; got {text[:60]!r}" if text else "is missing"
            raise InputError(
                f"{self.path}: its {name} ({tag.replace('|', ',')}) {got}. Where a slice lies must "
                "be known: export the series anew, or convert it to NIfTI."
            )
        return values


def _slice(path: Path, header: _Header) -> Slice:
    if header.text(_FRAMES, "1") != "1" or header.text(_SAMPLES, "1") != "1":
        raise InputError(
            f"{path}: has {header.text(_FRAMES, '1')} frames of {header.text(_SAMPLES, '1')} "
            "values a pixel; files must hold one grey slice each. Convert it to NIfTI."
        )
    axes = header.numbers(_ORIENTATION, "ImageOrientationPatient", 6).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > DIRECTION:
        raise InputError(
            f"{path}: its directions {axes.tolist()} are not at right angles. Export the series "
            "anew, or resample it to NIfTI."
        )
    # DICOM gives the distance of rows first: the step along a column.
    spacing = header.numbers(_SPACING, "PixelSpacing", 2)[::-1]
    if not (spacing > 0).all():
        raise InputError(
            f"{path}: its PixelSpacing {spacing.tolist()} must be above 0 mm. Export the series "
            "anew."
        )
    columns, rows = header.size[:2]
    number, words = header.text(_NUMBER, "?"), header.text(_DESCRIPTION) or "no description"
    return Slice(
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


def _positive(text: str) -> float:
    """The length that `text` says; 0 where it says none."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if np.isfinite(value) and value > 0 else 0.0
