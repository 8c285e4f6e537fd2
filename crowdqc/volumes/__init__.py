"""Volumes: NIfTI files and DICOM series in and out, and the pictures that people annotate."""

from crowdqc.volumes.dicom import series_files
from crowdqc.volumes.files import (
    hash_volume,
    read_geometry,
    read_labels,
    read_volume,
    write_labels,
    write_map,
    write_volume,
)
from crowdqc.volumes.grid import Geometry, grid_mismatch
from crowdqc.volumes.pictures import from_pictures, to_grey, to_pictures, window_limits

__all__ = [
    "Geometry",
    "from_pictures",
    "grid_mismatch",
    "hash_volume",
    "read_geometry",
    "read_labels",
    "read_volume",
    "series_files",
    "to_grey",
    "to_pictures",
    "window_limits",
    "write_labels",
    "write_map",
    "write_volume",
]
