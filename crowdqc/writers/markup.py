"""CVAT for images and Pascal VOC: XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from crowdqc.writers.plan import Drawing, Plan

_CVAT_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_VOC_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def write_cvat(plan: Plan, folder: Path) -> dict[str, object]:
    """Write ``<rater>.xml`` for each rater, as CVAT exports a task."""
    roots: dict[str, Element] = {}
    for drawing in plan.drawings():
        root = roots.get(drawing.rater)
        if root is None:
            root = roots.setdefault(drawing.rater, _job(plan, drawing.rater))
        attributes = {
            "id": str(len(root) - 2),  # after version and meta
            "name": f"{drawing.image}.png",
            "width": str(drawing.width),
            "height": str(drawing.height),
        }
        image = SubElement(root, "image", attributes)
        for label, *corners in drawing.boxes:
            edges = {name: repr(x) for name, x in zip(_CVAT_CORNERS, corners, strict=True)}
            common = {"label": label, "source": "manual", "occluded": "0"}
            SubElement(image, "box", {**common, **edges, "z_order": "0"})
    for rater, root in roots.items():
        _write(root, folder / f"{rater}.xml")
    return {"path": "{rater}.xml", "image": "{case}-slice{slice}.png"}


def write_voc(plan: Plan, folder: Path) -> dict[str, object]:
    """Write ``<rater>/<case>-slice<k>.xml``, pixels numbered from 1 as the standard says."""
    for drawing in plan.drawings():
        path = folder / drawing.rater / f"{drawing.image}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(_annotation(drawing), path)
    return {
        "path": "{rater}/{case}-slice{slice}.xml",
        "first_pixel": 1,
        "empty_file": plan.empty_file,
    }


def _job(plan: Plan, rater: str) -> Element:
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "name").text = plan.study.name
    SubElement(task, "mode").text = "annotation"
    SubElement(SubElement(task, "assignee"), "username").text = rater
    labels = SubElement(task, "labels")
    for name in plan.study.labels:
        SubElement(SubElement(labels, "label"), "name").text = name
    return root


def _annotation(drawing: Drawing) -> Element:
    root = Element("annotation")
    SubElement(root, "filename").text = f"{drawing.image}.png"
    size = SubElement(root, "size")
    for name, value in (("width", drawing.width), ("height", drawing.height), ("depth", 1)):
        SubElement(size, name).text = str(value)
    for label, x0, y0, x1, y1 in drawing.boxes:
        one = SubElement(root, "object")
        SubElement(one, "name").text = label
        box = SubElement(one, "bndbox")
        for name, edge in zip(_VOC_CORNERS, (x0 + 1, y0 + 1, x1, y1), strict=True):
            SubElement(box, name).text = repr(edge)
    return root


def _write(root: Element, path: Path) -> None:
    indent(root)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
