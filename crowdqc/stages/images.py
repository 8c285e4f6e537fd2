"""The images of a study: which there are, how large they are, and their pictures."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.files import VOLUME_ENDINGS, Unreadable, is_volume, opened, refuse_more
from crowdqc.findings import Finding, InputError, refuse_all
from crowdqc.formats.files import relative
from crowdqc.formats.patterns import find, has

if TYPE_CHECKING:
    from PIL import Image

    from crowdqc.volumes import Geometry

T = TypeVar("T")
Made = TypeVar("Made")
PACKED_RATIO = 256
"""Most voxels of a packed image for each of its bytes; noise alone makes it a few."""
UNPACKED_MAX = 2**26
"""Voxels that a file may have, however small it is."""
TURNED = {5, 6, 7, 8}
"""EXIF orientations of pictures that are shown with rows and columns exchanged."""
_COLUMNS = [
    "case",
    "slice",
    "height",
    "width",
    "spacing_x",
    "spacing_y",
    "spacing_z",
    "path",
]


def image_files(config: Config) -> dict[str, Path]:
    """Case -> volume of ``[images] path`` or ``geometry``; empty where there is none.

    A volume is a NIfTI file, or the folder of a DICOM series.
    """
    pattern = config.images.path or config.images.geometry
    return {} if pattern is None else case_files(config, pattern)


def case_files(config: Config, pattern: str) -> dict[str, Path]:
    """Files of the cases of a study.

    Parameters
    ----------
    config : Config
        The study file.
    pattern : str
        With ``{case}``; with a slash at its end it means folders. Without ``{case}`` it is the
        one file of a study with a single case, which then has the name of the study.

    Returns
    -------
    dict of str to Path
        Case -> file or folder.

    Raises
    ------
    InputError
        If no file fits.
    """
    path, folders = config.resolve(pattern), _is_series(pattern)
    if not has(path, "case"):
        if not (path.is_dir() if folders else path.is_file()):
            raise InputError(f"{path}: there is no such {'folder' if folders else 'file'}.")
        return {config.study.name: path}
    return {found.fields["case"]: found.path for found in find(path, folders=folders).files}


def input_files(config: Config) -> list[Path]:
    """All files that the study's images are read from."""
    volumes = image_files(config)
    if not volumes:
        return []
    from crowdqc.volumes import volume_files

    return [file for path in volumes.values() for file in volume_files(path)]


def known_images(config: Config) -> pd.DataFrame | None:
    """The table `images` from the headers of volumes or pictures.

    Returns
    -------
    DataFrame or None
        One row for each slice of each volume, or each picture. `None` where the study file
        names neither.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    pattern = config.images.path or config.images.geometry
    if pattern is None:
        return None
    if is_volume(pattern):
        rows = _each(lambda one: _volume_rows(*one, config), image_files(config).items())
        return pd.concat(rows, ignore_index=True)
    return _pictures(config, pattern)


def _each(make: Callable[[T], Made], things: Iterable[T]) -> list[Made]:
    """What is made of each thing; all that cannot be read are refused together."""
    made, faults = [], []
    for thing in things:
        try:
            made.append(make(thing))
        except InputError as error:
            faults.append(str(error))
    refuse_all(faults)
    return made


def _is_series(pattern: str) -> bool:
    """Whether a pattern means folders with one DICOM series each: it ends with a slash."""
    return pattern.endswith("/")


def has_volumes(config: Config) -> bool:
    """Whether a study has volumes to draw masks on."""
    return config.images.path is not None and is_volume(config.images.path)


def geometries(config: Config) -> dict[str, Geometry]:
    """Case -> geometry of its volume; empty where the study file names no volumes."""
    pattern = config.images.path or config.images.geometry
    if pattern is None or not is_volume(pattern):
        return {}
    return {case: volume_geometry(path, config) for case, path in image_files(config).items()}


def volume_geometry(path: Path, config: Config) -> Geometry:
    """Geometry of a volume that is within the limits of the study.

    A packed image that unpacks to more than any image does, and is large, is no image.

    Parameters
    ----------
    path : Path
        The volume.
    config : Config
        The study file.
    """
    from crowdqc.volumes import read_geometry

    images, limits = config.images, config.limits
    geometry = read_geometry(path, plane=images.plane, resample=images.resample)
    n_voxels = math.prod(geometry.shape)
    most = limits.voxels
    if path.is_file() and "voxels" not in limits.model_fields_set:
        most = min(most, max(UNPACKED_MAX, PACKED_RATIO * path.stat().st_size))
    try:
        refuse_more(n_voxels, most, "voxels")
        refuse_more(max(geometry.shape), limits.slices, "slices")
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    return geometry


def volume_findings(config: Config) -> list[Finding]:
    """What the headers of the volumes leave in doubt, case by case."""
    pattern = config.images.path or config.images.geometry
    if pattern is None or not is_volume(pattern):
        return []
    from crowdqc.volumes import inspect_volume

    return [
        dataclasses.replace(finding, case=case)
        for case, path in image_files(config).items()
        for finding in inspect_volume(path, resample=config.images.resample)
    ]


def _volume_rows(case: str, path: Path, config: Config) -> pd.DataFrame:
    geometry = volume_geometry(path, config)
    height, width = geometry.picture_shape(config.images.picture)
    spacing = geometry.picture_spacing(config.images.picture)
    where = config.images.path and relative(path, config)
    return pd.DataFrame(
        {
            "case": case,
            "slice": np.arange(geometry.shape[2]),
            "height": height,
            "width": width,
            **dict(zip(["spacing_x", "spacing_y", "spacing_z"], spacing, strict=True)),
            "path": where or "",
        }
    )


def _pictures(config: Config, pattern: str) -> pd.DataFrame:
    spacing = config.annotations.spacing or (np.nan, np.nan, np.nan)
    found = find(config.resolve(pattern)).files
    sizes = _each(_picture_size, (one.path for one in found))
    rows = [
        (
            one.fields.get("case", config.study.name),
            int(one.fields.get("slice", 0)),
            *size[::-1],
            *spacing,
            relative(one.path, config),
        )
        for one, size in zip(found, sizes, strict=True)
    ]
    images = pd.DataFrame(rows, columns=_COLUMNS)
    twice = images[images.duplicated(["case", "slice"], keep=False)]
    if len(twice):
        paths = ", ".join(twice["path"].iloc[:2])
        raise InputError(
            f"{config.file}: two pictures are of one case and slice: {paths}. Remove one of them, "
            "or let [images] path tell them apart by more of {case} and {slice}."
        )
    return images


def _picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it is shown, from its header alone."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fields that say nothing of the size
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with opened(path) as file, Image.open(file) as picture:
                _refuse_stack(picture, path)
                width, height = picture.size
                return (height, width) if _orientation(picture) in TURNED else (width, height)
    except InputError:
        raise
    except Exception as error:  # a broken file makes Pillow raise anything
        raise InputError(
            f"{path}: cannot be read as a picture: {str(error).partition(' <')[0]}. Volumes end "
            f"with {', '.join(VOLUME_ENDINGS)}; a DICOM series is named by its folder, with a / "
            "behind."
        ) from error


def _refuse_stack(picture: Image.Image, path: Path) -> None:
    """Refuse several pictures in one file, of which only the first would be looked at."""
    n_frames = getattr(picture, "n_frames", 1) if picture.format in {"TIFF", "GIF"} else 1
    if n_frames > 1:
        raise InputError(
            f"{path}: holds {n_frames} pictures, and a slice is one. Write each into a file of its "
            "own, or convert the stack to NIfTI."
        )


def _orientation(picture: Image.Image) -> int:
    """Orientation that EXIF data say; of a PNG only where they come first, or all is unpacked."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1
    from PIL import ExifTags

    return int(picture.getexif().get(ExifTags.Base.Orientation, 1))


__all__ = [
    "case_files",
    "geometries",
    "image_files",
    "input_files",
    "is_volume",
    "known_images",
]
