"""Pascal VOC XML: one file a slice, one ``<object>`` a box, corners in whole or broken pixels.

The standard numbers pixels from 1 and counts the last one as inside; OpenLabeling and many
others write coordinates from 0. The files do not say which: ``[annotations] first_pixel`` must.
Paths and raters are as for YOLO files; an XML file without an object is an empty file.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from crowdqc.config import Config
from crowdqc.files import Unreadable
from crowdqc.findings import InputError
from crowdqc.formats.base import Format
from crowdqc.formats.draft import Draft, box_frame
from crowdqc.formats.files import not_a_number, parse_number, short
from crowdqc.formats.guess_documents import guess_documents
from crowdqc.formats.labels import Labels
from crowdqc.formats.listing import FILES_MAX, Contents, Guess, Listing, look_into
from crowdqc.formats.markup import children, write_xml
from crowdqc.formats.output import Output, Written
from crowdqc.formats.slicefiles import SliceFiles
from crowdqc.formats.values import side
from crowdqc.formats.yolo import BYTES_MAX

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


_ROOT = "annotation"
_YES = {"yes", "true", "1"}
"""What labelImg and others write into ``verified`` once somebody has looked at the image."""
_FIRST_PIXEL = {
    0: "first_pixel = 0          # a box begins at 0",
    None: "# first_pixel = 1        # 1 as in Pascal VOC itself, 0 as OpenLabeling: fill in",
}


def _sniff_voc(listing: Listing) -> Guess | None:
    """Files whose root element is that of Pascal VOC."""
    starts: set[str | None] = set()

    def look(path: Path) -> Contents:
        boxes = [
            one
            for one, _ in itertools.islice(children(path, _ROOT), FILES_MAX)
            if one.tag == "object"
        ]
        starts.update(one.findtext(f"bndbox/{edge}") for one in boxes for edge in ("xmin", "ymin"))
        return Contents(labels={(one.findtext("name") or "").strip() for one in boxes} - {""})

    contents, paths = look_into(listing.ending(".xml"), look)
    guess = guess_documents(listing, contents, paths, one_file_per_slice=True)
    if guess is not None:
        guess.more.append(_FIRST_PIXEL[0 if starts & {"0", "0.0"} else None])
    return guess


class _Boxes:
    """Boxes and sizes of images, as they are read."""

    def __init__(self, config: Config) -> None:
        self.files = SliceFiles(config)
        self.labels = Labels(config)
        self.first_pixel = int(config.annotations.first_pixel or 0)
        self.rows: list[tuple[object, ...]] = []
        self.sizes: list[tuple[float, float]] = []

    def read(self, file: int) -> None:
        self.sizes.append((math.nan, math.nan))
        root: dict[str, str] = {}
        path = self.files.paths[file]
        for element, line in children(path, _ROOT, BYTES_MAX, attributes=root):
            if element.tag == "size":
                self.sizes[file] = _size(element)
            elif element.tag == "object":
                fault = self._object(element, file, line)
                if fault is not None:
                    self.files.fault(file, line, fault)
        if root.get("verified", "").strip().lower() in _YES:
            self.files.verified.add(file)

    def _object(self, element: Element, file: int, line: int) -> tuple[str, str] | None:
        """Keep an object, or say what is wrong with it."""
        name = (element.findtext("name") or "").strip()
        label = self.labels.find(name)
        if label is None:
            return "unknown-class", f"'{short(name)}' is not in [labels]: {self.labels.known}."
        if element.find("bndbox") is None:
            turned = element.find("robndbox") is not None
            return "box-rotated" if turned else "box-unfit", "has no <bndbox>, an upright box."
        texts = [(element.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS]
        corners = []
        for corner, text in zip(_CORNERS, texts, strict=True):
            value = parse_number(text)
            if value is None:
                return "not-a-number", f"{corner} is {not_a_number(text)}"
            corners.append(value - self.first_pixel * corner.endswith("min"))
        files = self.files
        place = (files.cases[file], files.slices[file], *files.drew([file], [label]), label)
        self.rows.append((*place, *corners, f"{files.names[file]}:{line}"))
        return None


def read_voc(config: Config) -> Draft:
    """Read every Pascal VOC file that the study names.

    Raises
    ------
    InputError
        If no file is found, or the study does not say who drew what, or where pixels begin.
    """
    if config.annotations.first_pixel is None:
        raise InputError(
            f"{config.file}: 'annotations.first_pixel' must say how voc files number pixels: 1 as "
            "in Pascal VOC itself, 0 as OpenLabeling writes. A box at the left edge has this xmin."
        )
    boxes = _Boxes(config)
    for file in range(len(boxes.files)):
        try:
            boxes.read(file)
        except Unreadable as error:
            boxes.files.refuse(file, str(error))
    readings = boxes.files.readings(boxes.sizes)
    return Draft(box_frame(boxes.rows), readings, boxes.files.findings)


def _size(element: Element) -> tuple[float, float]:
    """Rows and columns; nan where they are not given (tools write 0)."""
    height, width = side(element.findtext("height")), side(element.findtext("width"))
    return (height, width) if height and width else (math.nan, math.nan)


def _write_voc(output: Output, folder: Path) -> dict[str, object]:
    """Write ``<rater>/<case>-slice<k>.xml``, pixels numbered from 1 as the standard says."""
    for reading in output.readings():
        path = folder / reading.rater / f"{reading.image}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_xml(_annotation(reading), path)
    return {
        "path": "{rater}/{case}-slice{slice}.xml",
        "first_pixel": 1,
        "empty_file": output.empty_file,
    }


def _annotation(reading: Written) -> Element:
    root = Element(_ROOT)
    SubElement(root, "filename").text = f"{reading.image}.png"
    size = SubElement(root, "size")
    for name, value in (("width", reading.width), ("height", reading.height), ("depth", 1)):
        SubElement(size, name).text = str(value)
    for label, x0, y0, x1, y1 in reading.boxes:
        one = SubElement(root, "object")
        SubElement(one, "name").text = label
        box = SubElement(one, "bndbox")
        for name, edge in zip(_CORNERS, (x0 + 1, y0 + 1, x1, y1), strict=True):
            SubElement(box, name).text = repr(edge)
    return root


FORMAT = Format(
    title="Pascal VOC XML",
    sniff=_sniff_voc,
    read=read_voc,
    write=_write_voc,
    one_file_per_slice=True,
)
