"""Segmentations that 3D Slicer reads with the names of their labels: ``CASE.seg.nrrd``.

The header's keys are those of Slicer's segmentation files, as its documentation has them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crowdqc.exports.archive import Archive, MaskVolume, loss
from crowdqc.findings import Finding
from crowdqc.volumes.itk import simpleitk


def write_nrrd(archive: Archive, folder: Path) -> list[Finding]:
    """Write a file for each case.

    Parameters
    ----------
    archive : Archive
        Has masks.
    folder : Path
        Empty; as of `crowdqc.exports.export`.

    Returns
    -------
    list of Finding
        What NRRD cannot hold.
    """
    for volume in archive.needed_volumes():
        _write(volume, archive, folder / f"{volume.case}.seg.nrrd")
    return [loss("NRRD files hold labels only: maps of uncertainty are not written.")]


def _write(volume: MaskVolume, archive: Archive, path: Path) -> None:
    sitk = simpleitk("NRRD files")
    labels, geometry = volume.labels()
    image = sitk.GetImageFromArray(labels.transpose(2, 1, 0).astype(np.uint16))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    for n, label in enumerate(archive.labels):
        keys = {"ID": label.name, "Name": label.name, "LabelValue": str(label.value), "Layer": "0"}
        if label.code:
            code = f"{label.code.scheme}^{label.code.value}^{label.code.meaning}"
            keys["Tags"] = f"TerminologyEntry:Segmentation category and type^{code}|"
        for key, value in keys.items():
            image.SetMetaData(f"Segment{n}_{key}", value)
    sitk.WriteImage(image, str(path), useCompression=True)
