"""COCO JSON, Label Studio JSON, and tables: one file for the whole study."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from crowdqc.writers.plan import EDGES, Drawing, Plan

_COCO = "annotations/instances_default.json"
"""Where CVAT and datumaro look for it."""
_IMAGE = "{case}-slice{slice}.png"


def write_coco(plan: Plan, folder: Path) -> dict[str, object]:
    """Write one file with ``rater_list`` in images and ``rater_id`` in annotations."""
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    ids = {name: key for key, name in enumerate(plan.study.labels, start=1)}  # 0 is background
    for drawing in plan.drawings():
        image = images.setdefault(drawing.image, _coco_image(drawing, len(images) + 1))
        image["rater_list"].append(drawing.rater)
        for label, x0, y0, x1, y1 in drawing.boxes:
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image["id"],
                "category_id": ids[label],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "rater_id": drawing.rater,
            }
            annotations.append(annotation)
    categories = [{"id": key, "name": name} for name, key in ids.items()]
    data = {
        "info": {"description": plan.study.name},
        "images": list(images.values()),
        "categories": categories,
        "annotations": annotations,
    }
    (folder / "annotations").mkdir()
    _write_json(folder / _COCO, data)
    return {"path": _COCO, "image": _IMAGE}


def write_labelstudio(plan: Plan, folder: Path) -> dict[str, object]:
    """Write ``annotations.json``: a task for each image, an annotation for each reading."""
    tasks: dict[str, dict[str, Any]] = {}
    people = {rater: key for key, rater in enumerate(plan.raters.values(), start=1)}
    for drawing in plan.drawings():
        task = tasks.setdefault(drawing.image, _task(drawing, len(tasks) + 1))
        annotation = {
            "completed_by": {"id": people[drawing.rater], "email": drawing.rater},
            "was_cancelled": drawing.opened,
            "ground_truth": False,
            "result": [_result(drawing, box) for box in drawing.boxes],
        }
        task["annotations"].append(annotation)
    _write_json(folder / "annotations.json", list(tasks.values()))
    return {"path": "annotations.json", "image": _IMAGE}


def write_table(plan: Plan, folder: Path) -> dict[str, object]:
    """Write ``boxes.csv``: a row for each box, and one for each reading without a box."""
    columns = ["case", "slice", "rater", "label", *EDGES, "height", "width"]
    with (folder / "boxes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for drawing in plan.drawings():
            nothing: list[tuple[object, ...]] = [("", "", "", "", "")]
            for box in drawing.boxes or nothing:
                place = (drawing.case, drawing.slice, drawing.rater)
                writer.writerow([*place, *box, drawing.height, drawing.width])
    return {"path": "boxes.csv", "columns": {name: name for name in columns}}


def _coco_image(drawing: Drawing, key: int) -> dict[str, Any]:
    return {
        "id": key,
        "file_name": f"{drawing.image}.png",
        "height": drawing.height,
        "width": drawing.width,
        "rater_list": [],
    }


def _task(drawing: Drawing, key: int) -> dict[str, Any]:
    data = {"image": f"{drawing.image}.png", "height": drawing.height, "width": drawing.width}
    return {"id": key, "data": data, "annotations": []}


def _result(drawing: Drawing, box: tuple[str, float, float, float, float]) -> dict[str, Any]:
    """One box in percent of the image."""
    label, x0, y0, x1, y1 = box
    return {
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": drawing.width,
        "original_height": drawing.height,
        "image_rotation": 0,
        "value": {
            "x": 100 * x0 / drawing.width,
            "y": 100 * y0 / drawing.height,
            "width": 100 * (x1 - x0) / drawing.width,
            "height": 100 * (y1 - y0) / drawing.height,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
