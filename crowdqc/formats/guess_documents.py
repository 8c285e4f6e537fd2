"""What JSON and XML files of annotations seem to be: the half of `guess` that looks into them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from crowdqc.files import Unreadable, read_json
from crowdqc.formats.labelstudio import find_image_name
from crowdqc.formats.markup import children

LOOKED_AT = 5000
"""Images, boxes or files that are looked at."""
RATER_KEYS = ("rater_id", "rater", "annotator", "rad_id", "rater_list")


@dataclass
class Contents:
    """What some files of one format hold."""

    format: str
    images: dict[str, None] = field(default_factory=dict)
    """Names of images, in their order."""
    labels: set[str] = field(default_factory=set)
    says_rater: bool = False
    first_pixel: int | None = None
    """0 where a box of a voc file begins there."""


def look_into(files: Iterable[Path]) -> tuple[Contents, list[Path]] | None:
    """What the JSON or XML files are, and which of them are of that format.

    Files of the format that most of them have count; `None` where none has one that is known.
    """
    groups: dict[str, tuple[Contents, list[Path]]] = {}
    for path in itertools.islice(files, LOOKED_AT):
        try:
            found = _json(path) if path.suffix == ".json" else _xml(path)
        except Unreadable:
            continue
        if found is not None:
            together, paths = groups.setdefault(found.format, (Contents(found.format), []))
            _add(together, found)
            paths.append(path)
    return max(groups.values(), key=lambda group: len(group[1]), default=None)


def _add(together: Contents, one: Contents) -> None:
    together.images |= one.images
    together.labels |= one.labels
    together.says_rater |= one.says_rater
    if one.first_pixel is not None:
        together.first_pixel = one.first_pixel


def _json(path: Path) -> Contents | None:
    data = read_json(path)
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        return _coco(data)
    if isinstance(data, list) and data and _is_task(data[0]):
        return _labelstudio(data)
    return None


def _is_task(record: object) -> bool:
    """Whether a record is a task of Label Studio, or a row of its JSON-MIN."""
    return isinstance(record, dict) and (
        {"data", "annotations"} <= record.keys() or {"annotator", "annotation_id"} <= record.keys()
    )


def _coco(data: dict[str, Any]) -> Contents:
    found = Contents("coco")
    records = [*_records(data["images"]), *_records(data.get("annotations"))]
    found.images = dict.fromkeys(str(one["file_name"]) for one in records if "file_name" in one)
    found.labels = {str(one["name"]) for one in _records(data.get("categories")) if "name" in one}
    found.says_rater = any(key in one for one in records for key in RATER_KEYS)
    return found


def _labelstudio(data: list[Any]) -> Contents:
    found = Contents("labelstudio", says_rater=True)
    for task in _records(data):
        name = find_image_name(task.get("data", task))
        if name:
            found.images[name] = None
        found.labels |= set(_words(task, "rectanglelabels"))
    return found


def _words(value: object, key: str) -> Iterator[str]:
    """Texts in lists under `key`, wherever it stands in a tree."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, list):
                yield from (text for text in inner if isinstance(text, str))
            else:
                yield from _words(inner, key)
    elif isinstance(value, list):
        for inner in value[:LOOKED_AT]:
            yield from _words(inner, key)


def _records(value: object) -> Iterator[dict[str, Any]]:
    """The objects among the first of a list."""
    rows = value[:LOOKED_AT] if isinstance(value, list) else []
    return (one for one in rows if isinstance(one, dict))


def _xml(path: Path) -> Contents | None:
    """Whichever of the formats begins as the file does."""
    for root, look in _ROOTS.items():
        try:
            elements = [one for one, _ in itertools.islice(children(path, root), LOOKED_AT)]
        except Unreadable:
            continue
        return look(elements)
    return None


def _cvat(elements: list[Element]) -> Contents:
    found = Contents("cvat")
    for one in elements:
        if one.tag == "image":
            found.images[one.get("name", "")] = None
        found.labels |= {box.get("label", "") for box in one.iter("box")}
        found.labels |= {(label.findtext("name") or "") for label in one.iter("label")}
        found.says_rater |= any((name.text or "").strip() for name in one.iter("username"))
    found.labels.discard("")
    return found


def _voc(elements: list[Element]) -> Contents:
    found = Contents("voc")
    boxes = [one for one in elements if one.tag == "object"]
    found.labels = {(one.findtext("name") or "").strip() for one in boxes} - {""}
    starts = {one.findtext(f"bndbox/{edge}") for one in boxes for edge in ("xmin", "ymin")}
    if starts & {"0", "0.0"}:
        found.first_pixel = 0
    return found


def _lidc(_: list[Element]) -> Contents:
    return Contents("lidc", labels={"nodule"}, says_rater=True)


_ROOTS: dict[str, Callable[[list[Element]], Contents]] = {
    "annotations": _cvat,
    "annotation": _voc,
    "LidcReadMessage": _lidc,
}
