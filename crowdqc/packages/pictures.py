"""Pictures of slices as files: those of the study as its raters saw them, or a grey canvas."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from crowdqc.files import Unreadable, read_bytes
from crowdqc.findings import InputError
from crowdqc.report.slice_files import VolumeSlices

COMPRESSION = 3
"""Of a PNG: half the time of the default, and hardly larger."""
PICTURE_BYTES_MAX = 200_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
GREY, LINE, TEXT, STEP = 128, 112, 60, 50
"""Grey values of a canvas, its lines and its numbers, and px from line to line."""


@dataclass(frozen=True)
class WantedPicture:
    """A picture that is wanted: of which slice, how large, and as which file."""

    case: str
    slice: int
    height: int
    width: int
    path: Path


def write_pictures(
    wanted: Sequence[WantedPicture],
    *,
    open_source: Callable[[str], VolumeSlices],
    originals: Mapping[tuple[str, int], Path],
) -> int:
    """Write pictures, case by case, on as many cores as there are.

    Parameters
    ----------
    wanted : sequence of WantedPicture
    open_source : callable
        Opens what shows the slices of a case.
    originals : mapping
        Case and slice -> a picture of the study, which is copied where it is a PNG.

    Returns
    -------
    int
        How many of them are canvases, since the study has no image of the slice.

    Raises
    ------
    InputError
        If an image cannot be read.
    """
    cases: dict[str, list[WantedPicture]] = {}
    for one in wanted:
        cases.setdefault(one.case, []).append(one)

    def write(of_case: list[WantedPicture]) -> int:
        source = open_source(of_case[0].case)
        return sum(_write(one, source, originals) for one in of_case)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(write, cases.values()))


def _write(
    one: WantedPicture, source: VolumeSlices, originals: Mapping[tuple[str, int], Path]
) -> bool:
    original = originals.get((one.case, one.slice))
    if original is not None and original.suffix.lower() == ".png":
        try:
            data = read_bytes(original, PICTURE_BYTES_MAX)
        except Unreadable as error:
            raise InputError(f"{original}: {error}") from error
        if data.startswith(_PNG) and b"eXIf" not in data:
            one.path.write_bytes(data)
            return False
    grey = source.grey(one.case, one.slice)
    if grey is None and source.problems:
        raise InputError(source.problems[0])
    picture = _canvas(one.height, one.width) if grey is None else Image.fromarray(grey)
    picture.save(one.path, format="PNG", compress_level=COMPRESSION)
    return grey is None


def _canvas(height: int, width: int) -> Any:
    """A grey picture with lines every 50 px and their coordinates, where there is no image."""
    pixels: NDArray[np.uint8] = np.full((height, width), GREY, np.uint8)
    pixels[STEP::STEP], pixels[:, STEP::STEP] = LINE, LINE
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for x in range(STEP, width, STEP):
        draw.text((x + 2, 1), str(x), fill=TEXT)
    for y in range(STEP, height, STEP):
        draw.text((1, y + 1), str(y), fill=TEXT)
    return picture
