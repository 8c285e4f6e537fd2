"""Label Studio JSON and JSON-MIN: a list of tasks, boxes in percent of the image.

``completed_by`` (JSON) or ``annotator`` (JSON-MIN) says who drew. Of several annotations of an
image by one person the newest that was submitted counts. An annotation without a region was
reviewed, one that was cancelled (skipped) only opened; a task without any is as an empty file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from crowdqc.files import Unreadable, read_json
from crowdqc.formats.base import Format
from crowdqc.formats.collect import Document, read_each
from crowdqc.formats.files import short
from crowdqc.formats.guess_documents import guess_documents
from crowdqc.formats.labelstudio_output import (
    POSITIVE,
    package_labelstudio,
    write_labelstudio,
)
from crowdqc.formats.listing import FILES_MAX, Contents, Guess, Listing, beginning, look_into
from crowdqc.formats.patterns import ENDINGS
from crowdqc.formats.raters import Image
from crowdqc.formats.shapes import PIXELS_MAX, box_of_brush, box_of_ellipse, box_of_points
from crowdqc.formats.values import is_turned, made, number, rater_name
from crowdqc.text import count

_UPLOAD = re.compile(r"[0-9a-f]{8}-(.+)")
_PROJECT = re.compile(r"(?:.*/)?upload(?:/\d+)?")
"""Label Studio puts these before the name of a file that was uploaded: a prefix, the project."""
_IMAGE_KEYS = ("image", "img", "image_url", "url", "picture", "photo", "file_name", "filename")
"""Keys of a task's data that name its image, whatever they say."""
_PICTURES = tuple(one for one in ENDINGS if one not in {".json", ".xml", ".txt"})
_QUERIES = ("d", "file", "filename", "name", "image", "key", "path", "objectUID", "id")
"""Parameters of a URL that say which image it is, where its path does not."""
_ORIGINAL = ("original_width", "original_height")
_NUMBERS = ("x", "y", "width", "height", *_ORIGINAL)


def _sniff_labelstudio(listing: Listing) -> Guess | None:
    """Files that hold a list of tasks, or of rows of JSON-MIN."""
    return guess_documents(listing, *look_into(listing.ending(".json"), _look))


def _look(path: Path) -> Contents | None:
    data = read_json(path) if beginning(path).lstrip("\ufeff \t\r\n").startswith("[") else None
    if not isinstance(data, list) or not data or not _is_task(data[0]):
        return None
    tasks = list(_objects(data[:FILES_MAX]))
    names = [_find_image_name(task.get("data", task)) for task in tasks]
    return Contents(
        images=dict.fromkeys(name for name in names if name),
        labels={label for task in tasks for label in _texts_under(task)},
        says_rater=True,
    )


def _is_task(record: object) -> bool:
    """Whether a record is a task, or a row of JSON-MIN."""
    ways = ({"data", "annotations"}, {"data", "completions"}, {"annotator", "annotation_id"})
    return isinstance(record, dict) and any(way <= record.keys() for way in ways)


def _texts_under(value: object) -> Iterator[str]:
    """Labels in a tree: texts in the lists under keys such as ``rectanglelabels``."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith("labels") and isinstance(inner, list):
                yield from (text for text in inner if isinstance(text, str))
            else:
                yield from _texts_under(inner)
    elif isinstance(value, list):
        for inner in value[:FILES_MAX]:
            yield from _texts_under(inner)


class _File:
    """One file while it is read."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.answers = self.predicted = 0
        self.raters: set[str | None] = set()
        self.bare: list[tuple[Image, str]] = []

    def read(self) -> None:
        tasks = read_json(self.document.path)
        if not isinstance(tasks, list):
            raise Unreadable("is no export of Label Studio: it holds no list of tasks.")
        for task, source in self.document.records(tasks, "task {}"):
            if "annotations" in task or "completions" in task:
                self._task(task, source)
            else:
                self._annotation(task, task.get("annotator"), _row_regions(task), source)
        for image, state in self.bare:
            one = next(iter(self.raters)) if len(self.raters) == 1 else None
            if one or not self.raters:  # of several people nobody knows who was to read it
                self.document.read_by(image, None if one is None else [one], state=state)
        if self.answers:
            message = f"no shapes, and not used: {count(self.answers, 'answer')} (choices, texts)."
            self.document.note("answer-not-used", message)
        if self.predicted:
            tasks = count(self.predicted, "task")
            message = f"not read, as no person drew them: predictions of models, alone in {tasks}."
            self.document.note("predictions-not-read", message)

    def _task(self, task: dict[str, Any], source: str) -> None:
        """A task of the full JSON: annotations by several people."""
        data = task.get("data")
        annotations = list(_objects(task.get("annotations", task.get("completions"))))
        for place, one in enumerate(annotations):
            regions = _regions(list(_objects(one.get("result"))))
            where = f"{source}, annotation {place}"
            self._annotation({**one, "data": data}, one.get("completed_by"), regions, where)
        image = None
        if not annotations:
            self.predicted += bool(task.get("predictions"))
            image = self.document.image(_find_image_name(data), _stated_size(data), source)
        if image is not None:
            self.bare.append((image, "opened" if task.get("is_labeled") is False else ""))

    def _annotation(  # noqa: PLR0917 - what one person did with one task
        self, record: dict[str, Any], who: object, regions: list[dict[str, Any]], source: str
    ) -> None:
        data = record.get("data", record)
        size = _size(regions) or _stated_size(data)
        image = self.document.image(_find_image_name(data), size, source)
        if image is None:
            return
        rater = rater_name(who)
        self.raters.add(rater)
        cancelled = record.get("was_cancelled") is True
        self.document.read_by(
            image,
            None if rater is None else [rater],
            state="opened" if cancelled else "reviewed_empty",
            made=made(
                {**record, "id": record.get("annotation_id", record.get("id"))},
                time=("updated_at", "created_at"),
                seconds="lead_time",
            ),
            cancelled=cancelled,
        )
        original = {} if size is None else dict(zip(_ORIGINAL[::-1], size, strict=True))
        for place, region in enumerate(regions):
            where = f"{source}, result {place}"
            self._region({**original, **region}, image, rater=rater, source=where)

    def _region(
        self, region: dict[str, Any], image: Image, *, rater: str | None, source: str
    ) -> None:
        kind, label = _kind(region), _label(region)
        if kind is None:
            self.answers += 1
            return
        place = _place_of(region) if kind == "point" else None
        if place is not None and label is not None:
            self.document.point(
                image, place, positive=_is_positive(region), label=label, source=source, rater=rater
            )
            return
        line = _line_of(region) if kind == "polyline" else None
        if line is not None and label is not None:
            self.document.scribble(
                image, line, positive=_is_positive(region), label=label, source=source, rater=rater
            )
            return
        fault = _fault(region, label) if kind == "box" else None
        corners = None if fault else _corners(region, kind)
        if fault is not None:
            check, message = fault
            self.document.fault(check, message, source, image=image, rater=rater, label=label)
        elif corners is None or (kind != "box" and not self.document.boxes_of_shapes):
            self.document.shape(image, kind, label=label, source=source, rater=rater)
        else:
            self.document.box(image, corners, label=label, source=source, rater=rater)


def _regions(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What results say of each region: shape, label and more may be results of their own."""
    found: dict[object, dict[str, Any]] = {}
    for place, one in enumerate(results):
        key, value = one.get("id"), one.get("value")
        region = found.setdefault(key if isinstance(key, str) else place, {})
        region |= {name: one[name] for name in (*_ORIGINAL, POSITIVE) if name in one}
        region |= value if isinstance(value, dict) else {"kind": one.get("type")}
    return list(found.values())


def _row_regions(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The regions of a row of JSON-MIN: they stand under the name of the control tag."""
    return [one for value in row.values() for one in _objects(value)]


def _kind(region: Mapping[str, Any]) -> str | None:
    """What a region is: a box, another shape, or (`None`) an answer without a place."""
    if {"rle", "imageDataURL"} & region.keys():
        return "mask"
    shapes = {"points": "polygon", "vertices": "polyline", "radiusX": "ellipse"}
    shapes |= {"keypointlabels": "point"}
    shape = next((kind for key, kind in shapes.items() if key in region), None)
    if shape is not None:
        return shape
    boxed = {"x", "y", "width", "height"} <= region.keys() or "rectanglelabels" in region
    if boxed or region.get("kind") in {"rectanglelabels", "rectangle"}:
        return "box"
    if "x" in region:
        return "point"
    drawn = [*region, str(region.get("kind", ""))]
    return "region" if any(name.endswith("labels") for name in drawn) else None


def _label(region: Mapping[str, Any]) -> str | None:
    """The label of a region, where it has exactly one."""
    lists = [value for key, value in region.items() if key.endswith("labels")]
    names = lists[0] if lists and isinstance(lists[0], list) else []
    return names[0] if len(names) == 1 and isinstance(names[0], str) else None


def _fault(box: Mapping[str, Any], label: str | None) -> tuple[str, str] | None:
    """What is wrong with a box, if anything is."""
    turned = box.get("rotation") or 0
    if is_turned(turned):
        return "box-rotated", f"is rotated by {short(repr(turned))} degrees; boxes must be upright."
    if label is None:
        return "unknown-class", "must have exactly one label under 'rectanglelabels'."
    for name in _NUMBERS:
        if box.get(name) is None:
            size = " Percent are no px without it: export anew." if name in _ORIGINAL else ""
            return "not-a-number", f"{name} is missing.{size}"
        if number(box.get(name)) is None:
            return "not-a-number", f"{name} is {short(repr(box.get(name)))}, which is no number."
    return None


def _corners(region: Mapping[str, Any], kind: str) -> list[object] | None:
    """Corners in px, from percent, of a box or of the box round what determines one."""
    columns, rows = (number(region.get(name)) or 0.0 for name in _ORIGINAL)
    if kind == "mask":
        whole = 0 < columns * rows <= PIXELS_MAX
        return box_of_brush(region.get("rle"), int(columns), int(rows)) if whole else None
    sides = {"box": ("x", "y", "width", "height"), "ellipse": ("x", "y", "radiusX", "radiusY")}
    if kind == "polygon":
        points = [one for one in region["points"] or () if isinstance(one, list) and len(one) == 2]
        found = box_of_points([one[0] for one in points], [one[1] for one in points])
    else:
        found = [number(region.get(name)) for name in sides.get(kind, ())]
    if not found or None in found:
        return None
    a, b, c, d = (number(value) or 0.0 for value in found)
    if kind == "box":
        c, d = a + c, b + d
    a, b, c, d = a * columns / 100, b * rows / 100, c * columns / 100, d * rows / 100
    if kind == "ellipse":
        return box_of_ellipse((a, b), (c, d), number(region.get("rotation")) or 0.0)
    return [a, b, c, d]


def _is_positive(region: Mapping[str, Any]) -> bool:
    return str(region.get(POSITIVE, True)).lower() not in {"0", "0.0", "false"}


def _place_of(region: Mapping[str, Any]) -> tuple[float, float] | None:
    """A keypoint in px, from percent of an image whose size is known."""
    x, y, columns, rows = (number(region.get(name)) for name in ("x", "y", *_ORIGINAL))
    if x is None or y is None or not columns or not rows:
        return None
    return x * columns / 100, y * rows / 100


def _line_of(region: Mapping[str, Any]) -> list[tuple[object, object]] | None:
    """The corners of a line in px, "" where one is no number; none of an image of unknown size."""
    columns, rows = (number(region.get(name)) for name in _ORIGINAL)
    if not columns or not rows or not isinstance(region["vertices"], list):
        return None
    found: list[tuple[object, object]] = []
    for corner in region["vertices"]:
        x, y = (number(corner.get(name)) if isinstance(corner, dict) else None for name in "xy")
        if x is None or y is None:
            found.append(("", ""))
        else:
            found.append((x * columns / 100, y * rows / 100))
    return found or None


def _size(regions: list[dict[str, Any]]) -> tuple[object, object] | None:
    """Rows and columns of the image, as regions say them."""
    for region in regions:
        if region.get("original_height") is not None and region.get("original_width") is not None:
            return region["original_height"], region["original_width"]
    return None


def _stated_size(data: object) -> tuple[object, object] | None:
    """Rows and columns where the task's own data say them."""
    if not isinstance(data, dict) or "height" not in data or "width" not in data:
        return None
    return data["height"], data["width"]


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))


def _find_image_name(data: object) -> str | None:
    """Name of the image of a task: what stands under a key for images, else what is a picture's."""
    if not isinstance(data, dict):
        return None
    keys = [key for one in _IMAGE_KEYS for key in data if key.casefold() == one]
    named = [data[key] for key in keys if isinstance(data[key], str) and data[key]]
    texts = (value for value in data.values() if isinstance(value, str))
    pictures = (one for one in map(_file_name, texts) if one.lower().endswith(_PICTURES))
    return _file_name(named[0]) if named else next(pictures, None)


def _file_name(url: str) -> str:
    """The file that a URL of Label Studio names.

    Examples
    --------
    >>> _file_name("/data/upload/1/0a1b2c3d-img%201.png")
    'img 1.png'
    >>> _file_name("/data/local-files/?d=scans/img1.png")
    'scans/img1.png'
    >>> _file_name("https://h/instances/42"), _file_name("s3://b/p1/7.png?sig=a/b")
    ('/instances/42', '/p1/7.png')
    """
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
    except ValueError:
        return url
    path = unquote(parts.path)
    name = next((query[key][0] for key in _QUERIES if key in query), None)
    if name and not path.lower().endswith(_PICTURES):
        path = name
    folder, _, name = path.rpartition("/")
    if not _PROJECT.fullmatch(folder):
        return path
    return uploaded.group(1) if (uploaded := _UPLOAD.fullmatch(name)) else name


FORMAT = Format(
    title="Label Studio JSON or JSON-MIN",
    sniff=_sniff_labelstudio,
    read=read_each(lambda one: _File(one).read()),
    write=write_labelstudio,
    package=package_labelstudio,
    says_opened=True,
    holds_points=True,
)
