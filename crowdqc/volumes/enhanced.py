"""Enhanced DICOM images: all slices of a series as the frames of one file.

ITK takes such frames in the order of the file, at distances of 1 mm, and gives all of them the
scale of the first. So places and scales are read from the functional groups, with pydicom, and
ITK unpacks pixels only.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.volumes.itk import reason_of, silent, simpleitk
from crowdqc.volumes.stack import DIRECTION, Slice

_PLAIN = "1.2.840.10008.5.1.4.1.1.7.3"
"""Secondary capture of many frames: nothing but pixels."""
_DEFLATED, _EXPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1"
_LAYOUT = (
    *("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
)


def read_frames(path: Path) -> list[Slice]:
    """Where the frames of an Enhanced image lie, from its functional groups.

    Raises
    ------
    InputError
        If pydicom is not installed; if a frame does not say where it lies and how its values are
        scaled; if there are not as many frames as the header states, or they are not grey.
    """
    dataset = _read(path, pixels=False)
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    n = int(dataset.get("NumberOfFrames") or 1)
    if len(frames) != n or dataset.get("SamplesPerPixel", 1) != 1:
        raise InputError(
            f"{path}: has {n} frames of {dataset.get('SamplesPerPixel')} values a pixel and "
            f"describes {len(frames)}; each must be grey and described. Convert it to NIfTI."
        )
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    return [_frame(path, dataset, _Groups(path, k, (one, shared))) for k, one in enumerate(frames)]


def read_pixels(path: Path) -> NDArray[Any]:
    """Stored values of all frames, unscaled, as (frame, row, column)."""
    sitk, pydicom = simpleitk("DICOM series"), _pydicom()
    dataset = _read(path, pixels=True)
    plain = pydicom.Dataset()
    plain.file_meta = pydicom.dataset.FileMetaDataset()
    syntax = dataset.file_meta.TransferSyntaxUID
    plain.file_meta.TransferSyntaxUID = _EXPLICIT if syntax == _DEFLATED else syntax
    plain.file_meta.MediaStorageSOPClassUID = plain.SOPClassUID = _PLAIN
    plain.file_meta.MediaStorageSOPInstanceUID = plain.SOPInstanceUID = "2.25.1"
    plain.PhotometricInterpretation = "MONOCHROME2"
    for name in _LAYOUT:
        if name in dataset:
            plain[name] = dataset[name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frames.dcm")
        plain.save_as(file, enforce_file_format=True)
        try:
            with silent(sitk):
                image = sitk.ReadImage(str(file), imageIO="GDCMImageIO")
        except RuntimeError as error:
            raise InputError(f"{path}: its pixels cannot be read: {reason_of(error)}.") from error
    return sitk.GetArrayFromImage(image).reshape(-1, dataset.Rows, dataset.Columns)


class _Groups:
    """Functional groups of a frame: its own, or those that all frames share."""

    def __init__(self, path: Path, frame: int, places: tuple[Any, Any]) -> None:
        self.path, self.frame, self._places = path, frame, places

    def item(self, sequence: str) -> Any:
        """The item of a group; `None` where it is missing."""
        found = (one.get(sequence) for one in self._places if one is not None)
        return next((items[0] for items in found if items), None)

    def numbers(self, sequence: str, name: str, n: int) -> NDArray[np.float64]:
        """`n` finite numbers of an element of a group."""
        item = self.item(sequence)
        value = None if item is None else item.get(name)
        try:
            values = np.atleast_1d(np.array(value, dtype=np.float64))
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (n,) or not np.isfinite(values).all():
            raise InputError(
                f"{self.path}: the {name} of frame {self.frame + 1} must be {n} numbers; got "
                f"{str(value)[:60]}. Where a slice lies must be known: export the series anew."
            )
        return values


def _frame(path: Path, dataset: Any, groups: _Groups) -> Slice:
    axes = groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6).reshape(2, 3)
    spacing = groups.numbers("PixelMeasuresSequence", "PixelSpacing", 2)[::-1]
    if np.abs(axes @ axes.T - np.eye(2)).max() > DIRECTION or not (spacing > 0).all():
        raise InputError(
            f"{path}: frame {groups.frame + 1} has directions {axes.tolist()}, which must be at "
            f"right angles, and a PixelSpacing of {spacing.tolist()} mm, which must be above 0."
        )
    measures = groups.item("PixelMeasuresSequence")
    words = str(dataset.get("SeriesDescription") or "no description")
    return Slice(
        path=path,
        series=str(dataset.get("SeriesInstanceUID", "")),
        title=f"series {dataset.get('SeriesNumber')}, {dataset.get('Modality', '?')}, {words}",
        size=(int(dataset.Columns), int(dataset.Rows)),
        spacing=spacing,
        position=groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        axes=axes,
        thickness=_positive(measures, "SpacingBetweenSlices") or _positive(measures),
        number="",
        frame=groups.frame,
        scale=_scale(path, groups),
    )


def _scale(path: Path, groups: _Groups) -> tuple[float, float]:
    """Slope and intercept of a frame: 1 and 0 where it says none."""
    if groups.item("ModalityLUTSequence") is not None:
        raise InputError(f"{path}: its values go through a Modality LUT. Convert it to NIfTI.")
    group = "PixelValueTransformationSequence"
    if groups.item(group) is None:
        return 1.0, 0.0
    slope, intercept = (
        float(groups.numbers(group, name, 1)[0]) for name in ("RescaleSlope", "RescaleIntercept")
    )
    if slope == 0:
        raise InputError(
            f"{path}: the RescaleSlope of frame {groups.frame + 1} is 0: all its values would be "
            "one. Mend the file."
        )
    return slope, intercept


def _positive(item: Any, name: str = "SliceThickness") -> float:
    """A length of the measures of pixels; 0 where they say none."""
    value = float(item.get(name) or 0)
    return value if np.isfinite(value) and value > 0 else 0.0


def _pydicom() -> ModuleType:
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise InputError(
            "Enhanced DICOM images are read with pydicom, which is not installed: "
            "pip install crowdqc[dicom], or convert them to NIfTI."
        ) from error
    return pydicom


def _read(path: Path, *, pixels: bool) -> Any:
    """A file's elements; `crowdqc.volumes.elements` has looked through it before."""
    pydicom = _pydicom()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are not looked at
            dataset = pydicom.dcmread(path, stop_before_pixels=not pixels)
            _ = [dataset[tag] for tag in list(dataset.keys()) if tag.group in {0x20, 0x28, 0x5200}]
    except Exception as error:  # a broken file makes pydicom raise anything
        raise InputError(f"{path}: cannot be read: {type(error).__name__}, {error}.") from error
    return dataset
