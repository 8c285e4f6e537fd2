"""CVAT for images 1.1 (XML): one file a job or replica, one ``<image>`` a slice.

Every image of a job is listed, so an image without a box was reviewed. Who drew is said by the
path (``{rater}``), by the job's assignee in the file, or by the study file.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from crowdqc.config import Config
from crowdqc.findings import Severity
from crowdqc.formats.base import Format
from crowdqc.formats.collect import Collector, Document, Image, number, rater_name
from crowdqc.formats.draft import Draft
from crowdqc.formats.files import short
from crowdqc.formats.guess_documents import guess_documents
from crowdqc.formats.listing import FILES_MAX, Contents, Guess, Listing, look_into
from crowdqc.formats.markup import children, write_xml
from crowdqc.formats.output import IMAGE, Output

_ASSIGNEE = "job/assignee/username", "task/assignee/username", "job/assignee", "task/assignee"
_ROOT = "annotations"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_SHAPES = {"polygon", "polyline", "points", "ellipse", "mask", "skeleton", "cuboid"}


def sniff_cvat(listing: Listing) -> Guess | None:
    """Files whose root element is that of CVAT."""
    return guess_documents(listing, *look_into(listing.ending(".xml"), _look))


def _look(path: Path) -> Contents:
    found = Contents()
    for one, _ in itertools.islice(children(path, _ROOT), FILES_MAX):
        if one.tag == "image":
            found.images[one.get("name", "")] = None
        found.labels |= {box.get("label", "") for box in one.iter("box")}
        found.labels |= {(label.findtext("name") or "") for label in one.iter("label")}
        found.says_rater |= any((name.text or "").strip() for name in one.iter("username"))
    found.labels.discard("")
    return found


def read_cvat(config: Config) -> Draft:
    """Read every CVAT file that the study names.

    Raises
    ------
    InputError
        If no file is found, or the study file contradicts itself about who drew.
    """
    return Collector(config).read(lambda document: _Job(document).read())


class _Job:
    """One file while it is read."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.rater: str | None = None
        self.others: Counter[str] = Counter()

    def read(self) -> None:
        for element, line in children(self.document.path, _ROOT):
            if element.tag == "meta":
                names = (rater_name(element.findtext(place)) for place in _ASSIGNEE)
                self.rater = next((name for name in names if name), None)
            elif element.tag == "image":
                self._image(element, str(line))
            elif element.tag == "track":
                self.others["track"] += 1
        for kind, n in sorted(self.others.items()):
            self._left_out(kind, n)

    def _image(self, element: Element, line: str) -> None:
        size = (element.get("height"), element.get("width"))
        image = self.document.image(element.get("name"), size, line)
        if image is None:
            return
        raters = None if self.rater is None else [self.rater]
        self.document.read_by(image, raters, state="reviewed_empty")
        for place, shape in enumerate(element, start=1):
            if shape.tag == "box":
                self._box(image, shape, f"{line}, shape {place}")
            elif shape.tag in _SHAPES:
                self.others[shape.tag] += 1

    def _box(self, image: Image, box: Element, source: str) -> None:
        turned = box.get("rotation", "0")
        if number(turned) != 0:
            message = f"the box is rotated by {short(turned)} degrees; boxes must be upright."
            self.document.fault("box-rotated", message, source, image=image, rater=self.rater or "")
            return
        corners = [box.get(corner, "") for corner in _CORNERS]
        self.document.box(
            image, corners, label=box.get("label", ""), source=source, rater=self.rater
        )

    def _left_out(self, kind: str, n: int) -> None:
        hint = " Export as 'CVAT for images 1.1'." if kind == "track" else ""
        message = f"{n} of the kind <{kind}> are no boxes and were left out.{hint}"
        self.document.note("shape-not-a-box", message, severity=Severity.REVIEW)


def write_cvat(output: Output, folder: Path) -> dict[str, object]:
    """Write ``<rater>.xml`` for each rater, as CVAT exports a task."""
    roots: dict[str, Element] = {}
    for reading in output.readings():
        root = roots.get(reading.rater)
        if root is None:
            root = roots.setdefault(reading.rater, _job(output, reading.rater))
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
    for rater, root in roots.items():
        write_xml(root, folder / f"{rater}.xml")
    return {"path": "{rater}.xml", "image": IMAGE}


def _job(output: Output, rater: str) -> Element:
    root = Element(_ROOT)
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "name").text = output.study.name
    SubElement(task, "mode").text = "annotation"
    SubElement(SubElement(task, "assignee"), "username").text = rater
    labels = SubElement(task, "labels")
    for name in output.study.labels:
        SubElement(SubElement(labels, "label"), "name").text = name
    return root


FORMAT = Format(title="CVAT for images XML", sniff=sniff_cvat, read=read_cvat, write=write_cvat)
