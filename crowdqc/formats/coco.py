"""COCO JSON: ``images``, ``categories`` and ``annotations`` with ``bbox = [x, y, width, height]``.

COCO itself knows no raters. Those who need them write ``rater_list`` into an image (who read it)
and ``rater_id``, ``annotator``, ``rad_id`` or the like into an annotation (who drew it). An image
in whose list a rater stands without a box was reviewed; without a list it is an empty file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crowdqc.files import Unreadable, read_json
from crowdqc.formats.base import Format
from crowdqc.formats.collect import Document, read_each
from crowdqc.formats.files import short, write_json
from crowdqc.formats.guess_documents import ask_rater, guess_documents
from crowdqc.formats.listing import FILES_MAX, Contents, Guess, Listing, beginning, look_into
from crowdqc.formats.output import IMAGE, Output, Written
from crowdqc.formats.raters import Image, rater_key
from crowdqc.formats.shapes import box_of_points, box_of_runs
from crowdqc.formats.values import is_turned, number, rater_name


def _sniff_coco(listing: Listing) -> Guess | None:
    """Files that hold a list of images."""
    contents, files = look_into(listing.ending(".json"), _look)
    guess = guess_documents(listing, contents, files)
    if guess is not None and all(map(str.isdecimal, guess.labels)):
        guess.remarks.append("Categories have no names: write names of labels for their numbers.")
    if guess is not None and not contents.says_rater and "{rater}" not in guess.path:
        boxes = [box for path in files for box in _list(read_json(path).get("annotations"))]
        boxes = [box for box in boxes if isinstance(box, dict)][:FILES_MAX]
        rows = [{k: v for k, v in box.items() if k not in _KEYS} for box in boxes]
        places, labels = (
            [str(box.get(key)) for box in boxes] for key in ("image_id", "category_id")
        )
        guess.more += ask_rater(rows, places, labels=labels)
    return guess


_KEYS = {"id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd", "score"}
"""Keys of annotations that COCO defines."""


def _look(path: Path) -> Contents | None:
    data = read_json(path) if beginning(path).lstrip("\ufeff \t\r\n").startswith("{") else None
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        return None
    images, boxes, categories = (
        [one for one in _list(data.get(key)) if isinstance(one, dict)][:FILES_MAX]
        for key in ("images", "annotations", "categories")
    )
    records = [*images, *boxes]
    names = {str(one["name"]) for one in categories if "name" in one}
    return Contents(
        images=dict.fromkeys(str(one["file_name"]) for one in records if "file_name" in one),
        labels=names or {str(one["category_id"]) for one in boxes if "category_id" in one},
        says_rater=any(map(_rater, boxes)) or any("rater_list" in one for one in images),
    )


class _File:
    """One file while it is read."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.classes: dict[object, str] = {}
        self.images: dict[object, Image] = {}

    def read(self) -> None:
        data = read_json(self.document.path)
        if not isinstance(data, dict) or not isinstance(data.get("images"), list):
            raise Unreadable("is no COCO file: it has no list 'images'.")
        for record, _ in self._records(data, "categories"):
            name, key = record.get("name"), _id(record)
            if key is not None and isinstance(name, str):
                self.classes[key] = name
        self._compare_classes()
        for record, source in self._records(data, "images"):
            self._image(record, source)
        for record, source in self._records(data, "annotations"):
            self._annotation(record, source)

    def _records(self, data: dict[str, Any], key: str) -> Iterator[tuple[dict[str, Any], str]]:
        values = data.get(key, [])
        if not isinstance(values, list):
            raise Unreadable(f"is no COCO file: '{key}' is no list.")
        return self.document.records(values, f"{key}[{{}}]")

    def _compare_classes(self) -> None:
        """Ids of COCO explain themselves; only where the study file names them they may differ."""
        labels = self.document.labels
        named = {str(key): name for key, name in self.classes.items() if labels.named(name) is None}
        self.document.add(labels.differences(named, self.document.where))

    def _image(self, record: dict[str, Any], source: str) -> None:
        key = _id(record)
        if key is None or key in self.images:
            message = f"the id {short(repr(record.get('id')))} is none, or stands twice."
            self.document.fault("image-id", message, source)
            return
        size = None
        if record.get("height") is not None and record.get("width") is not None:
            size = (record["height"], record["width"])
        image = self.document.image(record.get("file_name"), size, source)
        if image is None:
            return
        self.images[key] = image
        raters = _raters(record)
        state = "" if raters is None else "reviewed_empty"
        self.document.read_by(image, raters, state=state)

    def _annotation(self, record: dict[str, Any], source: str) -> None:
        image = self.images.get(_hashable(record.get("image_id")))
        if image is None:
            name = short(repr(record.get("image_id")))
            self.document.fault("image-id", f"there is no sound image with the id {name}.", source)
            return
        rater = _rater(record)
        category = record.get("category_id")
        label = self._label(category)
        shape = _shape(record)
        if shape and not self.document.boxes_of_shapes:
            self.document.shape(image, shape, label=label, source=source, rater=rater)
            return
        corners = _corners(record.get("bbox")) or _outline(record.get("segmentation"))
        turned = _rotation(record)
        if corners is None or turned:
            what = f"is rotated by {turned}" if turned else "has no 'bbox' of four numbers"
            message = f"{what}; a box is upright: x, y, width, height."
            self.document.fault("box-unfit", message, source, image=image, rater=rater, label=label)
            return
        self.document.box(image, corners, label=label, source=source, rater=rater)

    def _label(self, category: object) -> str:
        """The label of a category: by its name where that is one, else by its id."""
        name = self.classes.get(_hashable(category))
        if name is None or self.document.labels.named(name) is None:
            return self.document.labels.of_id(str(category)) or name or str(category)
        return name


def _shape(record: Mapping[str, Any]) -> str | None:
    """What an annotation is, where it is no box: a mask, or a polygon without a box."""
    outline = record.get("segmentation")
    if record.get("iscrowd") in (1, True) or isinstance(outline, dict):
        return "mask" if isinstance(outline, dict) else "box of a group"
    return "polygon" if outline and _corners(record.get("bbox")) is None else None


def _outline(segmentation: object) -> list[object] | None:
    """The box round polygons ``x, y, x, y, ...``, or round an uncompressed mask."""
    if isinstance(segmentation, dict):
        return box_of_runs(segmentation.get("counts"), segmentation.get("size"))
    if not isinstance(segmentation, list):
        return None
    values = [value for part in segmentation for value in (part if isinstance(part, list) else ())]
    return box_of_points(values[::2], values[1::2])


def _rater(record: Mapping[str, Any]) -> str | None:
    """Who drew, as an annotation or its attributes say."""
    attributes = record.get("attributes")
    for place in (record, attributes if isinstance(attributes, dict) else {}):
        key = rater_key(key for key in place if rater_name(place[key]))
        if key is not None:
            return rater_name(place[key])
    return None


def _raters(record: Mapping[str, Any]) -> list[str] | None:
    """Who read an image, where it says so."""
    names = record.get("rater_list")
    if not isinstance(names, list):
        return None
    return [name for name in map(rater_name, names) if name]


def _rotation(record: Mapping[str, Any]) -> str:
    attributes = record.get("attributes")
    turned = attributes.get("rotation", 0) if isinstance(attributes, dict) else 0
    return short(repr(turned)) if is_turned(turned) else ""


def _corners(bbox: object) -> list[object] | None:
    """``x0, y0, x1, y1`` of ``x, y, width, height``."""
    if not isinstance(bbox, list) or len(bbox) != 4 or any(isinstance(v, str) for v in bbox):
        return None
    x, y, width, height = (number(value) for value in bbox)
    if x is None or y is None or width is None or height is None:
        return None
    return [x, y, x + width, y + height]


def _id(record: Mapping[str, Any]) -> object:
    return _hashable(record.get("id"))


def _hashable(value: object) -> object:
    """An id: a number or a text that says one; `None` for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str | float) else None


_FILE = "annotations/instances_default.json"
"""Where CVAT and datumaro look for it."""


def _write_coco(output: Output, folder: Path) -> dict[str, object]:
    """Write one file with ``rater_list`` in images and ``rater_id`` in annotations."""
    return _write(output, folder, raters=True)


def _package_coco(output: Output, folder: Path) -> dict[str, object]:
    """Write the same file as COCO itself has it, without raters."""
    return _write(output, folder, raters=False)


def _write(output: Output, folder: Path, *, raters: bool) -> dict[str, object]:
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    ids = {name: key for key, name in enumerate(output.study.labels, start=1)}  # 0 is background
    for reading in output.readings():
        image = images.setdefault(reading.image, _coco_image(reading, len(images) + 1))
        if raters:
            image.setdefault("rater_list", []).append(reading.rater)
        for place, box in enumerate(reading.boxes):
            annotation = _coco_annotation(box, ids, image["id"], key=len(annotations) + 1)
            if reading.scores:
                annotation["score"] = reading.scores[place]
            if raters:
                annotation["rater_id"] = reading.rater
            annotations.append(annotation)
    data = {
        "info": {"description": output.study.name},
        "images": list(images.values()),
        "categories": [{"id": key, "name": name} for name, key in ids.items()],
        "annotations": annotations,
    }
    (folder / "annotations").mkdir()
    write_json(folder / _FILE, data)
    return {"path": _FILE, "image": IMAGE}


def _coco_annotation(
    box: tuple[str, float, float, float, float], ids: dict[str, int], image: int, *, key: int
) -> dict[str, Any]:
    label, x0, y0, x1, y1 = box
    return {
        "id": key,
        "image_id": image,
        "category_id": ids[label],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
    }


def _coco_image(reading: Written, key: int) -> dict[str, Any]:
    return {
        "id": key,
        "file_name": f"{reading.image}.png",
        "height": reading.height,
        "width": reading.width,
    }


FORMAT = Format(
    title="COCO JSON",
    sniff=_sniff_coco,
    read=read_each(lambda one: _File(one).read()),
    write=_write_coco,
    package=_package_coco,
)


def _list(value: Any) -> list[Any]:
    """A list; an empty one for what is none."""
    return value if isinstance(value, list) else []
