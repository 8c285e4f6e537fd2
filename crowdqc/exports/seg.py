"""DICOM Segmentation objects of the series that was annotated, by ``highdicom``.

Voxels keep their places: each frame refers to the slice of the series that it was drawn on.
Identifiers are made from the content, so that the same masks give the same file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from crowdqc.config import Label
from crowdqc.exports.archive import Archive, MaskVolume, loss
from crowdqc.findings import Finding, InputError
from crowdqc.volumes import is_dicom, read_geometry, series_slices

PRIVATE = "99CROWDQC"
"""Scheme of codes that are names of labels."""
FRACTION_MAX = 255
"""What stands for a probability of 1 in files of probabilities."""
SERIES_NUMBER = 1000
_SHARED = "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"
"""Identifiers that all slices of a series have in common."""
_EMPTY = dict.fromkeys(
    (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID"),
        *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
    ),
    "",
)
"""What a file must have, though it may be empty."""
_CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
"""Modality -> class of its slices."""
_MOMENT = "20000101", "000000"
"""Date and time of files whose series has none: the same content gives the same file."""


def write_seg(archive: Archive, folder: Path) -> list[Finding]:
    """Write the labels of each case: ``CASE.seg.dcm``, of type BINARY.

    Parameters
    ----------
    archive : Archive
        Has masks and the DICOM series on which they were drawn.
    folder : Path
        Empty; as of `crowdqc.exports.export`.

    Returns
    -------
    list of Finding
        What DICOM SEG cannot hold, and labels without a code.
    """
    for volume in archive.needed_volumes():
        labels, _ = volume.labels()
        parts = {name: labels == value for name, value in archive.numbers.items()}
        _write(volume, archive, parts, folder=folder)
    text = "BINARY holds labels only; dicom-seg-fractional has their probability."
    return [*_uncoded(archive), loss(text)]


def write_fractional(archive: Archive, folder: Path) -> list[Finding]:
    """Write the probability of each label of each case, of type FRACTIONAL.

    Parameters
    ----------
    archive : Archive
        Has masks, their uncertainty and the DICOM series on which they were drawn.
    folder : Path
        Empty; as of `crowdqc.exports.export`.

    Returns
    -------
    list of Finding
        What DICOM SEG cannot hold, and labels without a code.
    """
    for volume in archive.needed_volumes():
        _write(volume, archive, volume.probabilities(archive.numbers), folder=folder)
    text = (
        "Masks come with one map of uncertainty: the probability of a voxel is that of its own "
        f"label, and outside that of the nearest, in steps of 1/{FRACTION_MAX}."
    )
    return [*_uncoded(archive), loss(text)]


def _write(
    volume: MaskVolume, archive: Archive, parts: dict[str, NDArray[Any]], *, folder: Path
) -> None:
    if not is_dicom(volume.image):
        raise InputError(
            f"{volume.image}: is no DICOM series, which DICOM Segmentations refer to. Export as "
            "nrrd or bids."
        )
    present = [label for label in archive.labels if parts[label.name].any()]
    if not present:
        raise InputError(f"{volume.mask}: has no voxel of any label, so there is nothing to write.")
    pixels = np.stack([parts[label.name].transpose(2, 1, 0) for label in present], axis=-1)
    sources, order = _sources(volume)
    pixels = pixels[order]
    data = str(pixels.dtype).encode() + np.ascontiguousarray(pixels).tobytes()
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type="BINARY" if pixels.dtype == bool else "FRACTIONAL",
        segment_descriptions=[_segment(label, n, archive) for n, label in enumerate(present, 1)],
        series_instance_uid=_uid(volume.case, "series", data),
        series_number=SERIES_NUMBER,
        sop_instance_uid=_uid(volume.case, "instance", data),
        instance_number=1,
        manufacturer="crowdqc",
        manufacturer_model_name=archive.models,
        software_versions=archive.version,
        device_serial_number="0",
        series_description=f"{archive.name}: masks from boxes of several raters"[:64],
        max_fractional_value=FRACTION_MAX,
    )
    _make_reproducible(seg, sources[0])
    seg.save_as(folder / f"{volume.case}.seg.dcm")


def _sources(volume: MaskVolume) -> tuple[list[Any], list[int]]:
    """The slices of the series, with what a Segmentation refers to though it was removed.

    And which plane each is: files come in the order of planes, frames in that of their file.
    Programs that remove names from a series often empty its identifiers, too. Those that stand in
    for them are made from the content, the same for every export.
    """
    places = series_slices(volume.image, resample=volume.resample)
    files = dict.fromkeys(file for file, _ in places)
    frames = [frame for _, frame in places if frame is not None]
    if frames and (len(files) > 1 or sorted(frames) != list(range(len(places)))):
        raise InputError(f"{volume.image}: has its frames in {len(files)} files. Export as nrrd.")
    thickness = float(np.linalg.norm(read_geometry(volume.image).affine[:3, 2]))
    shared = {name: _uid(volume.case, name, volume.image.name) for name in _SHARED}
    slices = []
    for file in files:
        one = pydicom.dcmread(file)
        kind = one.file_meta.get("MediaStorageSOPClassUID") or _CLASSES.get(one.get("Modality"))
        own = one.file_meta.get("MediaStorageSOPInstanceUID") or _uid(volume.case, file.name)
        _fill(one, {"SOPClassUID": kind, "SOPInstanceUID": own, **shared, **_EMPTY})
        if not frames:
            _fill(one, {"SliceThickness": thickness})
        slices.append(one)
    return slices, np.argsort(frames).tolist() if frames else list(range(len(places)))


def _fill(one: Any, values: dict[str, Any]) -> None:
    """Set elements that are not there, or are empty."""
    for name, value in values.items():
        if not one.get(name):
            setattr(one, name, value)


def _segment(label: Label, number: int, archive: Archive) -> Any:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=_code(label),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=f"crowdqc, {archive.models}"[:64],
            version=archive.version,
            family=codes.DCM.ArtificialIntelligence,
        ),
    )


def _code(label: Label) -> Any:
    """The code of a label: the study file's, that of SNOMED CT for its name, or the name itself."""
    if label.code is not None:
        return hd.sr.CodedConcept(label.code.value, label.code.scheme, label.code.meaning)
    keyword = "".join(word.capitalize() for word in label.name.replace("_", " ").split())
    known = getattr(codes.SCT, keyword, None)
    if known is not None:
        return hd.sr.CodedConcept.from_code(known)
    return hd.sr.CodedConcept(label.name[:16], PRIVATE, label.name[:64])


def _uncoded(archive: Archive) -> list[Finding]:
    names = [
        label.name
        for label in archive.labels
        if _code(label).scheme_designator == PRIVATE and label.code is None
    ]
    if not names:
        return []
    return [
        loss(
            f"No code of SNOMED CT is known for {', '.join(names)}: the name stands as a private "
            'code. Give one in [labels]: code = { scheme = "SCT", value = "...", meaning = "..." }.'
        )
    ]


def _uid(*content: str | bytes) -> str:
    """An identifier of some content, below the root of those that are made of a UUID."""
    whole = hashlib.sha256()
    for part in content:
        whole.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest())
    return f"2.25.{int.from_bytes(whole.digest()[:16], 'big')}"


def _make_reproducible(seg: Any, source: Any) -> None:
    """Give the date of the series instead of that of the export, and no random identifier."""
    organization = _uid(seg.SOPInstanceUID, "dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    date = source.get("SeriesDate") or source.get("StudyDate") or _MOMENT[0]
    time = source.get("SeriesTime") or source.get("StudyTime") or _MOMENT[1]
    for name in ("Content", "InstanceCreation", "Series"):
        if f"{name}Date" in seg:
            setattr(seg, f"{name}Date", date)
            setattr(seg, f"{name}Time", time)
    for item in seg.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = f"{date}{time}"
