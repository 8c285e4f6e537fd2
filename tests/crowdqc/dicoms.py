"""DICOM series that tests write with SimpleITK."""

import numpy as np
import SimpleITK

FIELDS = {"0008|0060": "CT", "0020|0011": "4", "0008|103e": "abdomen", "0010|0010": "Doe^Jane"}
"""Fields of every slice: modality, number of the series, its description, the patient."""

BITS = {"0028|0100": "16", "0028|0101": "16", "0028|0102": "15", "0028|0103": "1"}
"""How real values are stored."""


def write_series(
    folder,
    values,
    *,
    axes=((1, 0, 0), (0, 1, 0)),
    spacing=(0.5, 0.75, 2.0),
    origin=(-10.0, 20.0, 30.0),
    uid="1.2.3.4",
    shear=(0.0, 0.0, 0.0),
    skip=(),
    prefix="",
    fields=None,
    fields_of=None,
):
    """Write (i, j, k) values as slices along row direction x column direction, in LPS mm.

    Real values need a slope among the fields.
    Files are named in the reverse order of their slices. `shear` is added to the position for
    each slice; `skip` are slices that are not written; `fields_of` gives more fields of slice k.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(axes, float)
    normal = np.cross(row, column)
    direction = np.column_stack([row, column, normal]).ravel()
    n = values.shape[2]
    for k in range(n):
        if k in skip:
            continue
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values[:, :, k : k + 1].T))
        image.SetSpacing(spacing)
        image.SetDirection(direction)
        position = np.array(origin) + k * (spacing[2] * normal + np.array(shear))
        image.SetOrigin(position)
        header = {
            **FIELDS,
            "0020|000e": uid,
            "0020|0032": "\\".join(f"{x:.6f}" for x in position),
            "0020|0037": "\\".join(f"{x:.8f}" for x in (*row, *column)),
            **(BITS if values.dtype.kind == "f" else {}),
            **(fields or {}),
            **(fields_of(k) if fields_of else {}),
        }
        for tag, value in header.items():
            image.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(folder / f"{prefix}{n - k:03d}.dcm"))
        writer.Execute(image)
    return folder
