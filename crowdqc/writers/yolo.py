"""YOLO text files in a folder for each rater, with a ``data.yaml`` as Ultralytics reads it."""

from __future__ import annotations

import json
from pathlib import Path

from crowdqc.geometry import pixels_to_yolo
from crowdqc.writers.plan import Drawing, Plan


def write_yolo(plan: Plan, folder: Path) -> dict[str, object]:
    """Write ``labels/<rater>/<case>-slice<k>.txt`` and ``data.yaml``."""
    classes = {name: key for key, name in enumerate(plan.study.labels)}
    for drawing in plan.drawings():
        path = folder / "labels" / drawing.rater / f"{drawing.image}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_lines(drawing, classes), encoding="utf-8", newline="")
    names = "".join(f"  {key}: {json.dumps(name)}\n" for name, key in classes.items())
    text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return {
        "path": "labels/{rater}/{case}-slice{slice}.txt",
        "empty_file": plan.empty_file,
    }


def _lines(drawing: Drawing, classes: dict[str, int]) -> str:
    fractions = pixels_to_yolo(
        [corners for _, *corners in drawing.boxes], height=drawing.height, width=drawing.width
    )
    rows = zip(drawing.boxes, fractions.tolist(), strict=True)
    return "".join(
        f"{classes[label]} {x!r} {y!r} {width!r} {height!r}\n"
        for (label, *_), (x, y, width, height) in rows
    )
