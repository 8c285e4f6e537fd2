"""CVAT for images 1.1 (XML): one file a job, task, project or replica, one ``<image>`` a slice.

Every image of a job is listed. Whether one without a box was looked at is given by the state of its
job, where the export has it, else by ``empty_file``. Who drew is given by the assignee of the
segment, job or task, by the path (``{rater}``), or by the study file.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from crowdqc.formats.base import Format
from crowdqc.formats.collect import Document, read_each
from crowdqc.formats.files import short
from crowdqc.formats.guess_documents import guess_documents
from crowdqc.formats.listing import FILES_MAX, Contents, Guess, Listing, look_into
from crowdqc.formats.markup import children, write_xml
from crowdqc.formats.output import IMAGE, Output
from crowdqc.formats.raters import Image
from crowdqc.formats.shapes import box_of_ellipse, box_of_points
from crowdqc.formats.values import is_turned, number, rater_name
from crowdqc.text import count

_ROOT = "annotations"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_SHAPES = {"polygon", "polyline", "points", "ellipse", "mask", "skeleton", "cuboid"}


def _sniff_cvat(listing: Listing) -> Guess | None:
    """Files whose root element is that of CVAT."""
    return guess_documents(listing, *look_into(listing.ending(".xml"), _look))


def _look(path: Path) -> Contents:
    found = Contents()
    for one, _ in itertools.islice(children(path, _ROOT), FILES_MAX):
        if one.tag == "image":
            found.images[one.get("name", "")] = None
        found.labels |= {box.get("label", "") for box in one.iter("box")}
        found.labels |= {(label.findtext("name") or "") for label in one.iter("label")}
        found.says_rater |= one.tag == "meta" and any(part.rater for part in _parts(one))
    found.labels.discard("")
    return found


class _Job:
    """One file while it is read: a job, a task, or a project of several tasks."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.parts: list[_Part] = []
        self.tracks = 0
        self.tags = 0

    def read(self) -> None:
        for element, line in children(self.document.path, _ROOT):
            if element.tag == "meta":
                self.parts += _parts(element)
            elif element.tag == "image":
                self._image(element, str(line))
            elif element.tag == "track":
                self.tracks += 1
        if self.tracks:
            self.document.note(
                "track-not-read",
                f"left out: {count(self.tracks, 'track')} of a video, which name no images. Export "
                "as 'CVAT for images 1.1'.",
            )
        if self.tags:
            self.document.note(
                "answer-not-used",
                f"no shapes, and not used: {count(self.tags, 'tag')} of images. Where tags say "
                "that images without a box were read, set empty_file = 'nothing'.",
            )

    def _image(self, element: Element, line: str) -> None:
        size = (element.get("height"), element.get("width"))
        image = self.document.image(element.get("name"), size, line)
        if image is None:
            return
        rater, state = self._rater_and_state(element)
        self.document.read_by(image, None if rater is None else [rater], state=state)
        self.tags += len(element.findall("tag"))
        for place, shape in enumerate(element, start=1):
            if shape.tag == "box" or shape.tag in _SHAPES:
                self._shape(image, shape, source=f"{line}, shape {place}", rater=rater)

    def _rater_and_state(self, image: Element) -> tuple[str | None, str]:
        """Who did the part of the work that an image belongs to, and what no box means there."""
        task, frame = image.get("task_id"), number(image.get("id"))
        fits = [one for one in self.parts if one.holds(task, frame)]
        rater = next((one.rater for one in fits if one.rater), None)
        done = next((one.done for one in fits if one.done is not None), None)
        return rater, "" if done is None else "reviewed_empty" if done else "opened"

    def _shape(self, image: Image, shape: Element, *, source: str, rater: str | None) -> None:
        label = shape.get("label", "")
        if shape.tag in {"points", "polyline"}:
            self._marks(image, shape, source=source, rater=rater)
            return
        corners = _corners(shape)
        if shape.tag != "box" and (corners is None or not self.document.boxes_of_shapes):
            self.document.shape(image, shape.tag, label=label, source=source, rater=rater)
        elif shape.tag == "box" and is_turned(turned := shape.get("rotation", "0")):
            message = f"the box is rotated by {short(turned)} degrees; boxes must be upright."
            self.document.fault(
                "box-rotated", message, source, image=image, rater=rater, label=label
            )
        else:
            self.document.box(image, corners or [], label=label, source=source, rater=rater)

    def _marks(self, image: Image, shape: Element, *, source: str, rater: str | None) -> None:
        """Points, or the corners of a scribble."""
        places = [place.partition(",")[::2] for place in shape.get("points", "").split(";")]
        on, label = _is_positive(shape), shape.get("label", "")
        if shape.tag == "polyline":
            self.document.scribble(
                image, places, positive=on, label=label, source=source, rater=rater
            )
            return
        for place in places:
            self.document.point(image, place, positive=on, label=label, source=source, rater=rater)


@dataclass(frozen=True)
class _Part:
    """A task, job or segment of the file, from the inmost on."""

    rater: str | None
    done: bool | None
    task: str | None
    first: float
    last: float

    def holds(self, task: str | None, frame: float | None) -> bool:
        """Whether an image of a task belongs to it."""
        same = self.task is None or task is None or self.task == task
        return same and (frame is None or self.first <= frame <= self.last)


def _parts(meta: Element) -> list[_Part]:
    """The parts of the work that a file names; its owner is not who did it."""
    found = []
    several = len(list(meta.iter("task"))) > 1
    for whole in [*meta.iter("job"), *meta.iter("task"), *meta.iter("project")]:
        task = whole.findtext("id") if several and whole.tag == "task" else None
        for segment in whole.iterfind("segments/segment"):
            first, last = (number(segment.findtext(key)) for key in ("start", "stop"))
            if first is not None and last is not None:
                found.append(_Part(_assignee(segment), _done(segment), task, first, last))
        found.append(_Part(_assignee(whole), _done(whole), task, -math.inf, math.inf))
    return found


def _assignee(part: Element) -> str | None:
    names = (rater_name(part.findtext(place)) for place in ("assignee/username", "assignee"))
    return next((name for name in names if name), None)


def _done(part: Element) -> bool | None:
    """Whether a part of the work is finished, where the export says so."""
    words = {(part.findtext(key) or "").strip().lower() for key in ("state", "status", "stage")}
    if words & {"completed", "acceptance", "validation"}:
        return True
    return (
        False if words & {"annotation", "new", "in progress", "in_progress", "rejected"} else None
    )


def _corners(shape: Element) -> list[object] | None:
    """Corners of a box, or of the box round what determines one."""
    if shape.tag == "box":
        return [shape.get(corner, "") for corner in _CORNERS]
    if shape.tag == "polygon":
        points = [point.split(",") for point in shape.get("points", "").split(";")]
        return box_of_points([one[0] for one in points], [one[-1] for one in points])
    keys = {"mask": ("left", "top", "width", "height"), "ellipse": ("cx", "cy", "rx", "ry")}
    values = [number(shape.get(key)) for key in keys.get(shape.tag, ())]
    if not values or None in values:
        return None
    a, b, c, d = (value or 0.0 for value in values)
    if shape.tag == "mask":
        return [a, b, a + c, b + d]
    return box_of_ellipse((a, b), (c, d), number(shape.get("rotation", "0")) or 0.0)


def _is_positive(points: Element) -> bool:
    """Whether points or a line lie on the object: unless an attribute ``positive`` is false."""
    said = {one.get("name"): (one.text or "").strip().lower() for one in points.iter("attribute")}
    return said.get("positive", "true") not in {"false", "0", "no"}


def _write_cvat(output: Output, folder: Path) -> dict[str, object]:
    """Write ``<rater>.xml`` for each rater, as CVAT exports a task."""
    for rater, root in _tasks(output, state="completed").items():
        write_xml(root, folder / f"{rater}.xml")
    return {"path": "{rater}.xml", "image": IMAGE}


def _package_cvat(output: Output, folder: Path) -> dict[str, object]:
    """Write ``annotations.xml`` of one rater, as CVAT uploads annotations into a task."""
    for root in _tasks(output, state="annotation").values():
        write_xml(root, folder / "annotations.xml")
    return {"path": "annotations.xml", "image": IMAGE}


def _tasks(output: Output, *, state: str) -> dict[str, Element]:
    """Rater -> a task in `state`."""
    roots: dict[str, Element] = {}
    for reading in output.readings():
        root = roots.get(reading.rater)
        if root is None:
            root = roots.setdefault(reading.rater, _job(output, reading.rater, state=state))
        attributes = {
            "id": str(len(root) - 2),  # after version and meta
            "name": f"{reading.image}.png",
            "width": str(reading.width),
            "height": str(reading.height),
        }
        image = SubElement(root, "image", attributes)
        for label, *corners in reading.boxes:
            edges = {name: repr(x) for name, x in zip(_CORNERS, corners, strict=True)}
            common = {"label": label, "source": "manual", "occluded": "0"}
            SubElement(image, "box", {**common, **edges, "z_order": "0"})
        marks = [("points", label, [(x, y)], said) for label, x, y, said in reading.points]
        marks += [("polyline", *scribble) for scribble in reading.scribbles]
        for shape, label, places, positive in marks:
            common = {"label": label, "source": "manual", "occluded": "0", "z_order": "0"}
            line = ";".join(f"{x!r},{y!r}" for x, y in places)
            drawn = SubElement(image, shape, {**common, "points": line})
            SubElement(drawn, "attribute", {"name": "positive"}).text = str(positive).lower()
    return roots


def _job(output: Output, rater: str, *, state: str) -> Element:
    root = Element(_ROOT)
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "name").text = output.study.name
    SubElement(task, "mode").text = "annotation"
    SubElement(task, "state").text = state  # of a completed one, nothing was only opened
    SubElement(SubElement(task, "assignee"), "username").text = rater
    labels = SubElement(task, "labels")
    for name in output.study.labels:
        SubElement(SubElement(labels, "label"), "name").text = name
    return root


FORMAT = Format(
    title="CVAT for images XML",
    sniff=_sniff_cvat,
    read=read_each(lambda one: _Job(one).read()),
    write=_write_cvat,
    package=_package_cvat,
    holds_points=True,
)
