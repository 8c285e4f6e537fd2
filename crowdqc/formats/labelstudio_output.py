"""Tasks for Label Studio: readings as annotations, boxes to start from as predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement

from crowdqc.formats.files import write_json
from crowdqc.formats.markup import write_xml
from crowdqc.formats.output import IMAGE, Output, Scribble, Written

POSITIVE = "is_positive"
"""Key of a keypoint that is 0 where it lies beside the object."""


def write_labelstudio(output: Output, folder: Path) -> dict[str, object]:
    """Write ``annotations.json``: a task for each image, an annotation for each reading.

    What a model made are predictions, of which Label Studio shows those of the lowest score first.

    Parameters
    ----------
    output : Output
        What is written.
    folder : Path
        Where to.

    Returns
    -------
    dict
        What ``[annotations]`` has to say to read it again.
    """
    write_json(folder / "annotations.json", list(_tasks(output).values()))
    return {"path": "annotations.json", "image": IMAGE}


def package_labelstudio(output: Output, folder: Path) -> dict[str, object]:
    """Write ``tasks.json`` to import, what is drawn already as predictions, and ``config.xml``.

    Parameters
    ----------
    output, folder
        As of `write_labelstudio`.

    Returns
    -------
    dict
        As of `write_labelstudio`, for what will come back.
    """
    tasks = _tasks(output, drawn="predictions")
    write_json(folder / "tasks.json", list(tasks.values()))
    view = Element("View")
    SubElement(view, "Image", {"name": "image", "value": "$image"})
    labels = SubElement(view, "RectangleLabels", {"name": "label", "toName": "image"})
    for name in output.study.labels:
        SubElement(labels, "Label", {"value": name})
    write_xml(
        view, folder / "config.xml", declared=False
    )  # it is pasted, and then refused with one
    return {"path": "annotations.json", "image": IMAGE}


def _tasks(output: Output, *, drawn: str = "annotations") -> dict[str, dict[str, Any]]:
    """Image -> its task; boxes are annotations, or predictions where somebody starts from them."""
    tasks: dict[str, dict[str, Any]] = {}
    people = {rater: key for key, rater in enumerate(output.raters.values(), start=1)}
    drawn = "predictions" if output.model else drawn
    for reading in output.readings():
        task = tasks.setdefault(reading.image, _task_of(reading, output, len(tasks) + 1))
        result = [_result_of(reading, box) for box in reading.boxes]
        result += [_keypoint_of(reading, point) for point in reading.points]
        result += [_vector_of(reading, scribble) for scribble in reading.scribbles]
        if drawn == "predictions":
            if result:
                task.setdefault(drawn, []).append(_prediction(result, reading, output.model))
            continue
        annotation = {
            "completed_by": {"id": people[reading.rater], "email": reading.rater},
            "was_cancelled": reading.opened and not (reading.points or reading.scribbles),
            "ground_truth": False,
            "result": result,
        }
        task["annotations"].append(annotation)
    return tasks


def _prediction(result: list[dict[str, Any]], reading: Written, model: str) -> dict[str, Any]:
    """Boxes that nobody drew, each with its score; the score of all is the lowest of them."""
    if not reading.scores:
        return {"model_version": model or "drawn before", "result": result}
    scored = [{**one, "score": score} for one, score in zip(result, reading.scores, strict=True)]
    return {"model_version": model, "score": min(reading.scores), "result": scored}


def _task_of(reading: Written, output: Output, key: int) -> dict[str, Any]:
    image = f"{reading.image}.png"
    if output.pictures:  # as local storage serves it, below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
        image = f"/data/local-files/?d=images/{quote(image)}"
    data = {"image": image, "height": reading.height, "width": reading.width}
    return {"id": key, "data": data, "annotations": []}


def _result_of(reading: Written, box: tuple[str, float, float, float, float]) -> dict[str, Any]:
    """One box in percent of the image."""
    label, x0, y0, x1, y1 = box
    return {
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": reading.width,
        "original_height": reading.height,
        "image_rotation": 0,
        "value": {
            "x": 100 * x0 / reading.width,
            "y": 100 * y0 / reading.height,
            "width": 100 * (x1 - x0) / reading.width,
            "height": 100 * (y1 - y0) / reading.height,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }


def _keypoint_of(reading: Written, point: tuple[str, float, float, bool]) -> dict[str, Any]:
    """One point in percent of the image."""
    label, x, y, positive = point
    place = {"x": 100 * x / reading.width, "y": 100 * y / reading.height}
    return {
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "original_width": reading.width,
        "original_height": reading.height,
        "image_rotation": 0,
        POSITIVE: int(positive),
        "value": {**place, "width": 0.5, "keypointlabels": [label]},
    }


def _vector_of(reading: Written, scribble: Scribble) -> dict[str, Any]:
    """One scribble in percent of the image."""
    label, places, positive = scribble
    keypoint = _keypoint_of(reading, (label, 0.0, 0.0, positive))
    corners = [{"x": 100 * x / reading.width, "y": 100 * y / reading.height} for x, y in places]
    value = {"vertices": corners, "closed": False, "vectorlabels": [label]}
    return {**keypoint, "type": "vectorlabels", "from_name": "scribble", "value": value}
