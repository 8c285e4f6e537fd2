"""Volumes: NIfTI files and DICOM series in and out, and the pictures that people annotate."""

from crowdqc.files import VOLUME_ENDINGS, is_volume
from crowdqc.volumes.dicom import is_dicom
from crowdqc.volumes.files import (
    FileAxes,
    file_axes,
    foreign_values,
    hash_volume,
    inspect_volume,
    read_geometry,
    read_labels,
    read_volume,
    series_slices,
    volume_files,
    write_labels,
    write_map,
    write_volume,
)
from crowdqc.volumes.grid import Geometry, grid_mismatch
from crowdqc.volumes.pictures import (
    from_pictures,
    looks_like_labels,
    suggest_window,
    to_grey,
    to_pictures,
    window_limits,
)

__all__ = [
    "VOLUME_ENDINGS",
    "FileAxes",
    "Geometry",
    "file_axes",
    "foreign_values",
    "from_pictures",
    "grid_mismatch",
    "hash_volume",
    "inspect_volume",
    "is_dicom",
    "is_volume",
    "looks_like_labels",
    "read_geometry",
    "read_labels",
    "read_volume",
    "series_slices",
    "suggest_window",
    "to_grey",
    "to_pictures",
    "volume_files",
    "window_limits",
    "write_labels",
    "write_map",
    "write_volume",
]
