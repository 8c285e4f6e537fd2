"""YOLO text files, one for each reading, in whatever layout a pattern says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crowdqc.geometry import pixels_to_yolo
from crowdqc.schema import BOX, Study

PATTERN = "{rater}/{case}-slice{slice:03d}.txt"
"""Name of a file, unless another is given."""


def write_slices(
    study: Study, folder: Path, *, ids: Mapping[str, str], pattern: str = PATTERN
) -> int:
    """Write the boxes of a study as YOLO text files, one for each reading.

    A reading without a box is an empty file; a slice that was not read has no file.

    Parameters
    ----------
    study : Study
        What to write; every image needs its size.
    folder : Path
        Where to.
    ids : mapping of str to str
        Label and its class in the files.
    pattern : str
        Name of a file, with ``{rater}``, ``{case}`` and ``{slice}``.

    Returns
    -------
    int
        Number of files.
    """
    key = ["case", "slice"]
    boxes = study.boxes.merge(study.images[[*key, "height", "width"]], on=key)
    size = boxes[["height", "width"]].to_numpy()
    yolo = pixels_to_yolo(boxes[list(BOX)], height=1, width=1) / size[:, [1, 0, 1, 0]]
    text = [
        f"{ids[label]} " + " ".join(f"{number:.8f}" for number in row)
        for label, row in zip(boxes["label"], yolo, strict=True)
    ]
    lines = pd.Series(text, dtype=object).groupby([boxes["rater"], boxes["case"], boxes["slice"]])
    content = {place: "\n".join(group) + "\n" for place, group in lines}
    for row in study.readings.itertuples():
        path = folder / pattern.format(rater=row.rater, case=row.case, slice=row.slice)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.get((row.rater, row.case, row.slice), ""), encoding="utf-8")
    return len(study.readings)
