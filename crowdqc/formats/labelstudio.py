"""Label Studio JSON and JSON-MIN: a list of tasks, boxes in percent of the image.

``completed_by`` (JSON) or ``annotator`` (JSON-MIN) says who drew. An annotation without a box was
reviewed, one that was cancelled (skipped) only opened. Boxes that are rotated are refused.
``updated_at`` and ``lead_time`` say when an annotation was made and how many seconds it took.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from crowdqc.config import Config
from crowdqc.files import Unreadable, read_json
from crowdqc.formats.base import Format
from crowdqc.formats.collect import Collector, Document, Image, number, rater_name
from crowdqc.formats.draft import Draft
from crowdqc.formats.files import short, write_json
from crowdqc.formats.guess_documents import guess_documents
from crowdqc.formats.listing import FILES_MAX, Contents, Guess, Listing, beginning, look_into
from crowdqc.formats.output import IMAGE, Output, Written

_UPLOAD = re.compile(r"[0-9a-f]{8}-(.+)")
"""Label Studio puts this before the name of a file that was uploaded."""
_KINDS = ("rectanglelabels", "rectangle")


def sniff_labelstudio(listing: Listing) -> Guess | None:
    """Files that hold a list of tasks, or of rows of JSON-MIN."""
    return guess_documents(listing, *look_into(listing.ending(".json"), _look))


def _look(path: Path) -> Contents | None:
    data = read_json(path) if beginning(path).lstrip("\ufeff \t\r\n").startswith("[") else None
    if not isinstance(data, list) or not data or not _is_task(data[0]):
        return None
    tasks = list(_objects(data[:FILES_MAX]))
    names = [find_image_name(task.get("data", task)) for task in tasks]
    return Contents(
        images=dict.fromkeys(name for name in names if name),
        labels={label for task in tasks for label in _texts_under(task, "rectanglelabels")},
        says_rater=True,
    )


def _is_task(record: object) -> bool:
    """Whether a record is a task, or a row of JSON-MIN."""
    return isinstance(record, dict) and (
        {"data", "annotations"} <= record.keys() or {"annotator", "annotation_id"} <= record.keys()
    )


def _texts_under(value: object, key: str) -> Iterator[str]:
    """Texts in lists under `key`, wherever it stands in a tree."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, list):
                yield from (text for text in inner if isinstance(text, str))
            else:
                yield from _texts_under(inner, key)
    elif isinstance(value, list):
        for inner in value[:FILES_MAX]:
            yield from _texts_under(inner, key)


def read_labelstudio(config: Config) -> Draft:
    """Read every Label Studio file that the study names.

    Raises
    ------
    InputError
        If no file is found, or the study file contradicts itself about who drew.
    """
    return Collector(config).read(lambda document: _File(document).read())


class _File:
    """One file while it is read."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.others: Counter[str] = Counter()

    def read(self) -> None:
        tasks = read_json(self.document.path)
        if not isinstance(tasks, list):
            raise Unreadable("is no export of Label Studio: it holds no list of tasks.")
        for place, task in enumerate(tasks):
            if not isinstance(task, dict):
                self.document.fault("not-a-record", "a task must be an object.", f"task {place}")
            elif "annotations" in task or "completions" in task:
                self._task(task, f"task {place}")
            else:
                self._row(task, f"task {place}")
        for kind, n in sorted(self.others.items()):
            self.document.note("shape-not-a-box", f"{n} results of the kind '{kind}' left out.")

    def _task(self, task: dict[str, Any], source: str) -> None:
        """A task of the full JSON: annotations by several people."""
        name = find_image_name(task.get("data"))
        said = _said_size(task.get("data"))
        annotations = task.get("annotations", task.get("completions"))
        for place, one in enumerate(_objects(annotations)):
            where = f"{source}, annotation {place}"
            results = list(_objects(one.get("result")))
            image = self.document.image(name, _size(results) or said, where)
            if image is None:
                continue
            rater = _rater(one.get("completed_by"))
            skipped = one.get("was_cancelled") is True
            self._read_by(image, rater, state="opened" if skipped else "reviewed_empty", said=one)
            for number_, result in enumerate(results):
                self._result(result, image, rater=rater, source=f"{where}, result {number_}")

    def _row(self, row: dict[str, Any], source: str) -> None:
        """A row of JSON-MIN: one annotation, the boxes under the name of the control tag."""
        boxes = [
            box
            for value in row.values()
            if isinstance(value, list)
            for box in _objects(value)
            if "rectanglelabels" in box or {"x", "y", "width", "height"} <= box.keys()
        ]
        image = self.document.image(find_image_name(row), _size(boxes), source)
        if image is None:
            return
        rater = _rater(row.get("annotator"))
        self._read_by(image, rater, state="reviewed_empty", said=row)
        for place, box in enumerate(boxes):
            where = f"{source}, box {place}"
            self._box(box, image, rater=rater, source=where)

    def _read_by(
        self, image: Image, rater: str | None, *, state: str, said: dict[str, Any]
    ) -> None:
        self.document.read_by(image, None if rater is None else [rater], state=state)
        time = said.get("updated_at") or said.get("created_at")
        self.document.took(image, rater, time=time, seconds=said.get("lead_time"))

    def _result(
        self, result: dict[str, Any], image: Image, *, rater: str | None, source: str
    ) -> None:
        kind, value = result.get("type"), result.get("value")
        if kind not in _KINDS:
            self.others[short(str(kind))] += 1
        elif isinstance(value, dict):
            original = {key: result[key] for key in _ORIGINAL if key in result}
            self._box({**value, **original}, image, rater=rater, source=source)
        else:
            self.document.fault(
                "box-unfit", "has no 'value'.", source, image=image, rater=rater or ""
            )

    def _box(self, box: dict[str, Any], image: Image, *, rater: str | None, source: str) -> None:
        labels = box.get("rectanglelabels", box.get("labels"))
        label = labels[0] if isinstance(labels, list) and len(labels) == 1 else None
        fault = _fault(box, label)
        if fault is None:
            corners = _corners(box)
            self.document.box(image, corners, label=label, source=source, rater=rater)
        else:
            self.document.fault(*fault, source, image=image, rater=rater or "")


_ORIGINAL = ("original_width", "original_height")
_NUMBERS = ("x", "y", "width", "height", *_ORIGINAL)


def _fault(box: Mapping[str, Any], label: object) -> tuple[str, str] | None:
    """What is wrong with a box, if anything is."""
    turned = box.get("rotation") or 0
    if turned != 0:
        return "box-rotated", f"is rotated by {short(repr(turned))} degrees; boxes must be upright."
    if not isinstance(label, str):
        return "unknown-class", "must have exactly one label under 'rectanglelabels'."
    for name in _NUMBERS:
        if number(box.get(name)) is None:
            return "not-a-number", f"{name} is {short(repr(box.get(name)))}, which is no number."
    return None


def _corners(box: Mapping[str, Any]) -> list[float]:
    """``x0, y0, x1, y1`` in px from percent."""
    x, y, width, height, columns, rows = (number(box[name]) or 0.0 for name in _NUMBERS)
    x0, x1 = x * columns / 100, (x + width) * columns / 100
    y0, y1 = y * rows / 100, (y + height) * rows / 100
    return [x0, y0, x1, y1]


def _size(boxes: list[dict[str, Any]]) -> tuple[object, object] | None:
    """Rows and columns of the image, as boxes say them."""
    for box in boxes:
        if box.get("original_height") is not None and box.get("original_width") is not None:
            return box["original_height"], box["original_width"]
    return None


def _said_size(data: object) -> tuple[object, object] | None:
    """Rows and columns where the task's own data say them."""
    if not isinstance(data, dict) or "height" not in data or "width" not in data:
        return None
    return data["height"], data["width"]


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))


def _rater(value: object) -> str | None:
    """Who drew: a number, a text, or a person with an e-mail address or a name or a number."""
    if isinstance(value, dict):
        names = (rater_name(value.get(key)) for key in ("email", "username", "id"))
        return next((name for name in names if name), None)
    return rater_name(value)


def find_image_name(data: object) -> str | None:
    """Name of the image of a task: of several texts the first that looks like a file's."""
    if not isinstance(data, dict):
        return None
    texts = [data.get("image"), *data.values()]
    names = [text for text in texts if isinstance(text, str) and "." in text.rpartition("/")[2]]
    return _file_name(names[0]) if names else None


def _file_name(url: str) -> str:
    """The file that a URL of Label Studio names.

    Examples
    --------
    >>> _file_name("/data/upload/1/0a1b2c3d-img%201.png")
    '/data/upload/1/img 1.png'
    >>> _file_name("/data/local-files/?d=scans/img1.png")
    'scans/img1.png'
    """
    try:
        parts = urlsplit(url)
        local = parse_qs(parts.query).get("d")
    except ValueError:
        return url
    path = local[0] if local else unquote(parts.path)
    folder, slash, name = path.rpartition("/")
    uploaded = _UPLOAD.fullmatch(name) if "/upload/" in path or "/upload" in folder else None
    return folder + slash + (uploaded.group(1) if uploaded else name)


def write_labelstudio(output: Output, folder: Path) -> dict[str, object]:
    """Write ``annotations.json``: a task for each image, an annotation for each reading."""
    tasks: dict[str, dict[str, Any]] = {}
    people = {rater: key for key, rater in enumerate(output.raters.values(), start=1)}
    for reading in output.readings():
        task = tasks.setdefault(reading.image, _task_of(reading, len(tasks) + 1))
        annotation = {
            "completed_by": {"id": people[reading.rater], "email": reading.rater},
            "was_cancelled": reading.opened,
            "ground_truth": False,
            "result": [_result_of(reading, box) for box in reading.boxes],
        }
        task["annotations"].append(annotation)
    write_json(folder / "annotations.json", list(tasks.values()))
    return {"path": "annotations.json", "image": IMAGE}


def _task_of(reading: Written, key: int) -> dict[str, Any]:
    data = {"image": f"{reading.image}.png", "height": reading.height, "width": reading.width}
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


FORMAT = Format(
    title="Label Studio JSON or JSON-MIN",
    sniff=sniff_labelstudio,
    read=read_labelstudio,
    write=write_labelstudio,
    says_opened=True,
)
