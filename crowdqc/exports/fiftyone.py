"""COCO files that FiftyOne merges into one data set: each rater's boxes are a field of their own.

``labels/RATER.json`` is there for each rater, and ``labels/consensus.json`` for the fused boxes;
``fields.csv`` says which file is which field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.csv_files import to_csv
from crowdqc.exports.archive import Archive, loss
from crowdqc.findings import Finding
from crowdqc.schema import BOX, natural_order

CONSENSUS = "consensus"
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Endings of images that are pictures, and keep their names."""
EXTRAS = ("score", "support", "state", "expected_error")
"""Columns of the fused boxes that become attributes of their detections."""


def write_fiftyone(archive: Archive, folder: Path) -> list[Finding]:
    """Write a file for each field.

    Parameters
    ----------
    archive : Archive
        With tables ``images`` and ``boxes``, and maybe ``consensus``.
    folder : Path
        Empty; as of `crowdqc.exports.export`.

    Returns
    -------
    list of Finding
        What COCO files for FiftyOne cannot hold.
    """
    images = _images(archive.tables["images"])
    boxes = archive.tables["boxes"]
    fields: dict[str, pd.DataFrame] = {
        rater: boxes[boxes["rater"] == rater] for rater in natural_order(boxes["rater"].unique())
    }
    if "consensus" in archive.tables:
        fields[CONSENSUS] = archive.tables["consensus"]
    names = _field_names(fields)
    (folder / "labels").mkdir()
    for source, name in names.items():
        content = _coco(archive, images, fields[source])
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        (folder / "labels" / f"{name}.json").write_text(text, encoding="utf-8")
    listed = pd.DataFrame(
        {"field": names.values(), "labels": [f"labels/{n}.json" for n in names.values()]}
    ).assign(source=list(names))
    (folder / "fields.csv").write_text(to_csv(listed), encoding="utf-8")
    return _losses(images)


def _images(images: pd.DataFrame) -> pd.DataFrame:
    """The images with an id and a file name each."""
    made = images["case"] + "-slice" + images["slice"].map("{:04d}".format) + ".png"
    own = images["path"].str.lower().str.endswith(PICTURES)
    file = images["path"].where(own, made)
    return images.assign(id=range(1, len(images) + 1), file=file, own=own)


def _field_names(fields: Mapping[str, Any]) -> dict[str, str]:
    """Source -> name of its field: letters, digits and underscores, each once."""
    names: dict[str, str] = {}
    for source in fields:
        name = stem = re.sub(r"\W", "_", source, flags=re.ASCII) or "rater"
        number = 2
        while name in names.values() or (name == CONSENSUS and source != CONSENSUS):
            name, number = f"{stem}_{number}", number + 1
        names[source] = name
    return names


def _coco(archive: Archive, images: pd.DataFrame, boxes: pd.DataFrame) -> dict[str, Any]:
    ids = {label.name: n for n, label in enumerate(archive.labels, start=1)}
    placed = boxes.merge(images[["case", "slice", "id"]], on=["case", "slice"], validate="m:1")
    extras = [name for name in EXTRAS if name in placed.columns]
    return {
        "images": [
            {"id": row.id, "file_name": row.file, "height": row.height, "width": row.width}
            for row in images.itertuples()
        ],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {
                "id": number,
                "image_id": row["id"],
                "category_id": ids[row["label"]],
                **_geometry([float(row[edge]) for edge in BOX]),
                **{name: row[name] for name in extras if not pd.isna(row[name])},
            }
            for number, row in enumerate(placed.to_dict("records"), start=1)
        ],
    }


def _geometry(box: list[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}


def _losses(images: pd.DataFrame) -> list[Finding]:
    found = [
        loss("COCO has no reading without a box: whether an image was read and is empty is lost.")
    ]
    if not images["own"].all():
        found.append(
            loss("Slices of volumes are named CASE-sliceNNNN.png; their pictures are not written.")
        )
    return found
