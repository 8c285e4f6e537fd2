"""LIDC-IDRI XML: one file a CT scan, a ``readingSession`` for each of up to four radiologists.

A nodule of 3 mm or more is outlined on each slice. The outline lies outside the nodule: it "did
not overlap pixels belonging to the nodule" (Armato et al. 2011, doi:10.1118/1.3528204). Its box
is therefore that of the pixels strictly inside. Smaller nodules and non-nodules are single points,
and no boxes. Everybody read the whole scan: a slice on which others outlined something and a
session did not was reviewed. Sessions have no names, and the same number in two scans is not the
same person.

The file gives positions in mm and no numbers of slices: they are counted from the lowest position
that was marked, in steps of ``[annotations] spacing`` or of the smallest distance in the file.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from crowdqc.config import Config
from crowdqc.files import Unreadable
from crowdqc.findings import InputError
from crowdqc.formats.base import Format
from crowdqc.formats.collect import Collector, Document
from crowdqc.formats.draft import SLICE_MAX, Draft
from crowdqc.formats.guess_documents import SIZE, guess_documents
from crowdqc.formats.listing import Contents, Guess, Listing, look_into
from crowdqc.formats.markup import children
from crowdqc.formats.raters import Image
from crowdqc.formats.values import number
from crowdqc.text import count

LABEL = "nodule"
"""Label of all boxes, unless the study has a single one of another name."""
STEP_TOLERANCE = 0.1
"""How far a position may lie off a whole number of steps, in steps."""


_ROOT = "LidcReadMessage"


def _sniff_lidc(listing: Listing) -> Guess | None:
    """Files whose root element is that of LIDC."""
    guess = guess_documents(listing, *look_into(listing.ending(".xml"), _look))
    if guess is not None:
        guess.no_images = True  # its slices cannot be laid on images
        guess.more += ['rater_scope = "case"   # a session of two scans is two people', SIZE]
    return guess


def _look(path: Path) -> Contents:
    next(children(path, _ROOT), None)
    return Contents(labels={LABEL}, says_rater=True)


def read_lidc(config: Config) -> Draft:
    """Read every LIDC file that the study names.

    Raises
    ------
    InputError
        If no file is found, raters are declared to be the same persons in all scans, or images are
        given, to whose slices positions cannot be laid.
    """
    if config.annotations.rater_scope != "case":
        raise InputError(
            f"{config.file}: LIDC's reading sessions are other people in every scan: set "
            "[annotations] rater_scope = 'case'."
        )
    if config.images.path or config.images.geometry:
        raise InputError(
            f"{config.file}: LIDC files do not number slices, so they cannot be laid on [images]. "
            "Leave [images] out, or give a table with slice numbers (pylidc finds them)."
        )
    label = config.label_names[0] if len(config.labels) == 1 else LABEL
    return Collector(config).read(lambda document: _Scan(document, config, label).read())


@dataclass(frozen=True)
class _Outline:
    """One outline: who drew it, at which position (mm), its box in px, and where it stands."""

    rater: str
    z: float
    box: tuple[float, float, float, float]
    source: str


class _Scan:
    """One file while it is read."""

    def __init__(self, document: Document, config: Config, label: str) -> None:
        self.document = document
        self.config = config
        self.label = label
        self.case = document.fields.get("case", config.study.name)
        self.raters: list[str] = []
        self.outlines: list[_Outline] = []
        self.others: Counter[str] = Counter()
        self.small: list[tuple[str, float]] = []

    def read(self) -> None:
        for element, line in children(self.document.path, _ROOT):
            if element.tag == "readingSession":
                self.raters.append(str(len(self.raters) + 1))
                self._session(element, line)
        for kind, n in sorted((+self.others).items()):
            self.document.note("marks-left-out", f"left out as no boxes: {count(n, kind)}.")
        if self.outlines:
            self._put(self._step())

    def _session(self, session: Element, line: int) -> None:
        self.others["non-nodule mark"] += sum(1 for _ in session.iterfind("nonNodule"))
        for nodule in session.iterfind("unblindedReadNodule"):
            name = (nodule.findtext("noduleID") or "").strip()[:40]
            for place, roi in enumerate(nodule.iterfind("roi"), start=1):
                self._roi(roi, f"{line}, nodule {name}, roi {place}")

    def _roi(self, roi: Element, source: str) -> None:
        points = list(_points(roi))
        z = number(roi.findtext("imageZposition"))
        if None in points or not points or z is None or not math.isfinite(z):
            self.document.fault("not-a-number", "a position is no number.", source)
        elif len(points) == 1:
            self.others["single-point mark"] += 1
            self.small.append((self.raters[-1], z))
        elif (roi.findtext("inclusion") or "").strip().upper() == "FALSE":
            self.others["exclusion outline"] += 1
        else:
            x, y = ([float(point[axis]) for point in points if point] for axis in (0, 1))
            box = (min(x) + 1, min(y) + 1, max(x), max(y))
            self.outlines.append(_Outline(self.raters[-1], z, box, source))

    def _step(self) -> float:
        """Distance of slices in mm."""
        if self.config.annotations.spacing is not None:
            return self.config.annotations.spacing[2]
        positions = sorted({outline.z for outline in self.outlines})
        distances = [b - a for a, b in itertools.pairwise(positions)]
        return min(distances, default=1.0)

    def _put(self, step: float) -> None:
        """Number the slices, and note readings and boxes."""
        lowest = min(outline.z for outline in self.outlines)
        steps = {outline.z: (outline.z - lowest) / step for outline in self.outlines}
        if max(steps.values()) > SLICE_MAX:
            raise Unreadable(f"has slices more than {SLICE_MAX} steps of {step:g} mm apart.")
        if any(abs(n - round(n)) > STEP_TOLERANCE for n in steps.values()):
            self.document.note(
                "slice-position",
                f"positions are not whole steps of {step:g} mm apart; the nearest slice is taken. "
                "Give [annotations] spacing.",
            )
        images = {
            k: Image(self.document.where, self.case, k, math.nan, math.nan, f"slice {k}")
            for k in sorted({round(n) for n in steps.values()})
        }
        for image in images.values():
            self.document.read_by(image, self.raters, state="reviewed_empty")
        for rater, z in self.small:
            place = (z - lowest) / step
            if abs(place) < SLICE_MAX and round(place) in images:  # seen, but not outlined
                self.document.leave_open(images[round(place)], rater, self.label)
        for one in self.outlines:
            self.document.box(
                images[round(steps[one.z])],
                one.box,
                label=self.label,
                source=one.source,
                rater=one.rater,
            )


def _points(roi: Element) -> Iterator[tuple[float, float] | None]:
    """Columns and rows of an outline; `None` for what is no number."""
    for edge in roi.iterfind("edgeMap"):
        x, y = number(edge.findtext("xCoord")), number(edge.findtext("yCoord"))
        yield None if x is None or y is None else (x, y)


FORMAT = Format(title="LIDC-IDRI XML", sniff=_sniff_lidc, read=read_lidc)
