"""What files with many slices say, row by row: the common half of their readers.

A `Document` is one such file while it is read. It knows what its path says, finds the slice of an
image by the image's name, asks who drew, and refuses what is not sound with a finding. Which of
several readings of a slice counts is settled when all files have been read.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from crowdqc.config import Config
from crowdqc.files import Unreadable, refuse_more
from crowdqc.findings import Finding
from crowdqc.formats import patterns
from crowdqc.formats.draft import (
    FAULTS_MAX,
    Draft,
    bad_line,
    box_frame,
    file_finding,
    point_frame,
)
from crowdqc.formats.files import not_a_number, relative, short
from crowdqc.formats.labels import Labels
from crowdqc.formats.raters import Image, Made, Reading, asked, attribute, check_raters, settle
from crowdqc.formats.slicefiles import slice_number, strays
from crowdqc.formats.times import WHEN
from crowdqc.formats.values import number, side

UNKNOWN = Made()
NAME_MAX = 1000
"""Characters of an image's name."""

_OPENED = "opened"


class Collector:
    """Collects what the files of a study say.

    Parameters
    ----------
    config : Config
        The study file.

    Raises
    ------
    InputError
        If no file is found, or the study file contradicts itself about who drew.
    """

    def __init__(self, config: Config) -> None:
        check_raters(config, file_says=True)
        self.config = config
        self.labels = Labels(config)
        self.asked = asked(config)
        self.findings: list[Finding] = []
        self.name = patterns.Name(config.annotations.image or "{case}")
        self.readings: list[Reading] = []
        self._counts: Counter[tuple[object, ...]] = Counter()
        self._last: dict[tuple[object, ...], Finding] = {}

    def read(self, read: Callable[[Document], None]) -> Draft:
        """All that `read` finds in the files; one that is `Unreadable` is a finding."""
        for document in self.documents():
            try:
                read(document)
            except Unreadable as error:
                self.readings = [one for one in self.readings if one.file != document.where]
                document.refuse(error)
            document.note_shapes()
        return self.draft()

    def documents(self) -> list[Document]:
        """The files that fit the pattern of ``[annotations] path``."""
        found = patterns.find(self.config.resolve(self.config.annotations.path))
        self.findings += strays(found, self.config)
        return [Document(self, one) for one in found.files]

    def add(self, finding: Finding) -> None:
        """Keep a finding; of very many of one kind, file and case only the first."""
        file = (finding.source or "").rpartition(":")[0] or finding.source
        key = (finding.check, file, finding.case)
        self._counts[key] += 1
        if self._counts[key] <= FAULTS_MAX:
            self.findings.append(finding)
        else:
            self._last[key] = finding

    def draft(self) -> Draft:
        """All that was collected."""
        self.findings += [*attribute(self.readings), *self.labels.spellings()]
        kept, findings = settle(self.readings)
        for finding in findings:
            self.add(finding)
        columns = ["case", "slice", "rater", "labels", "state", "height", "width", *WHEN]
        readings = pd.DataFrame([_row(one) for one in kept], columns=columns)
        readings = readings.drop(columns=[name for name in WHEN if readings[name].isna().all()])
        if readings["height"].isna().all():
            readings = readings.drop(columns=["height", "width"])
        boxes = [(*_place(one), *box) for one in kept for box in one.boxes]
        refused = [(*_place(one), label) for one in kept for label in one.refused]
        points = [(*_place(one), *point) for one in kept for point in one.points]
        return Draft(
            box_frame(boxes),
            readings,
            [*self.findings, *self._uncounted()],
            points=point_frame(points),
            refused=refused,
        )

    def _uncounted(self) -> list[Finding]:
        """What is beyond the first of very many, as severe as these and in the same place."""
        return [
            dataclasses.replace(
                last,
                message=f"{key[1]}: and {self._counts[key] - FAULTS_MAX} more of the kind "
                f"'{last.check}', the last at {last.source}.",
                value=float(self._counts[key]),
            )
            for key, last in self._last.items()
        ]


def read_each(read: Callable[[Document], None]) -> Callable[[Config], Draft]:
    """The `read` of a `Format`, from what reads one of its files."""
    return lambda config: Collector(config).read(read)


def _place(one: Reading) -> tuple[str, int, str]:
    return one.image.case, one.image.slice, one.rater


def _row(one: Reading) -> tuple[object, ...]:
    image, made = one.image, one.made
    details = (one.labels, one.state, image.height, image.width, made.time, made.seconds)
    return (*_place(one), *details)


class Document:
    """One file of the annotations."""

    def __init__(self, collector: Collector, found: patterns.Found) -> None:
        self.path = found.path
        self.where = relative(found.path, collector.config)
        self.fields = found.fields
        self.labels = collector.labels
        self.boxes_of_shapes = collector.config.annotations.shapes == "box"
        self._all = collector
        self._n_boxes = 0
        self._readings: dict[Image, dict[str | None, Reading]] = {}
        self._shapes: dict[tuple[str, str], list[tuple[int, str, str]]] = {}

    def refuse(self, error: Unreadable) -> None:
        """Note that the whole file cannot be read."""
        message = f"{error} The file is left out."
        self._all.findings.append(file_finding("file-unreadable", self.where, message))

    def note(self, check: str, message: str) -> None:
        """Note something about the file as a whole."""
        self._all.add(file_finding(check, self.where, message))

    def add(self, findings: Sequence[Finding]) -> None:
        """Keep findings."""
        self._all.findings += findings

    def records(self, values: Sequence[object], place: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The objects of a JSON list, each with its place, such as ``task {}``."""
        for k, value in enumerate(values):
            if isinstance(value, dict):
                yield value, place.format(k)
            else:
                self.fault("not-a-record", "it must be an object.", place.format(k))

    def fault(
        self,
        check: str,
        message: str,
        source: str,
        *,
        image: Image | None = None,
        rater: str | None = None,
        label: str | None = None,
    ) -> None:
        """Note that something is left out; an image of which something was, is no empty one."""
        where: dict[str, object] = {}
        if image is not None:
            where = {"case": image.case, "slice": image.slice, "rater": rater}
            self.leave_open(image, rater, label)
        self._all.add(bad_line(check, message, f"{self.where}:{source}", **where))

    def shape(
        self, image: Image, kind: str, *, label: object, source: str, rater: str | None = None
    ) -> None:
        """Note a shape that is no box and is left out, as `fault`; all are reported together."""
        self.leave_open(image, rater, str(label))
        place = (image.case, rater or self.fields.get("rater", ""))
        self._shapes.setdefault(place, []).append((image.slice, kind, source))

    def note_shapes(self) -> None:
        """Tell what shapes were left out, once for each case and rater."""
        self._note_bare_points()
        for (case, rater), shapes in self._shapes.items():
            kinds = Counter(kind for _, kind, _ in shapes)
            counts = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
            slices = sorted({k for k, _, _ in shapes})
            message = (
                f"{self.where}: shapes that are no boxes were left out ({counts}), the first at "
                f"{shapes[0][2]}. Where nothing else was drawn, the slices count as opened, not as "
                'read. To take the box round each polygon or mask, set shapes = "box".'
            )
            if kinds.keys() <= {"point", "scribble"}:
                message = (
                    f"{self.where}: points and scribbles without a box of the same label by the "
                    f"same rater ({counts}), the first at {shapes[0][2]}. They are kept as prompts "
                    "of masks; where nothing else was drawn, the slices count as opened, not as "
                    "read."
                )
            finding = Finding(
                check="shape-not-a-box",
                message=message,
                case=case,
                rater=rater or None,
                slices=" ".join(map(str, slices[:100])),
                value=float(len(shapes)),
                source=f"{self.where}:{shapes[0][2]}",
            )
            self._all.add(finding)
        self._shapes.clear()

    def _note_bare_points(self) -> None:
        """Points and scribbles say that something is there, and not where it ends."""
        for image, readings in self._readings.items():
            for one in readings.values():
                boxed = {label for label, *_ in one.boxes}
                marks = dict.fromkeys((label, *rest[-2:]) for label, *rest in one.points)
                for label, source, line in marks:
                    if label not in boxed:
                        kind = "scribble" if line else "point"
                        where = str(source).removeprefix(f"{self.where}:")
                        self.shape(image, kind, label=label, source=where, rater=one.record_rater)

    def image(self, name: object, size: tuple[object, object] | None, source: str) -> Image | None:
        """The image of this name, ``size = (height, width)``; `None` where it is not clear."""
        fields = self._fields(name)
        if fields is None:
            rule = self._all.config.annotations.image or "{case}"
            message = f"the image '{short(str(name))}' does not fit [annotations] image = '{rule}'."
            if name is None:
                message = "no image is named, as for tasks of text or of several pages."
            self.fault("image-name", message, source)
            return None
        slice_ = slice_number(fields.get("slice", "0"))
        if slice_ is None:
            self.fault("slice-number", f"'{short(fields['slice'])}' is no slice number.", source)
            return None
        height, width = (math.nan, math.nan) if size is None else map(side, size)
        if height is None or width is None:
            self.fault("image-size", f"the size {size!r:.60} of the image is none.", source)
            return None
        case = fields.get("case", self._all.config.study.name)
        return Image(str(name), case, slice_, height, width, source)

    def read_by(
        self,
        image: Image,
        raters: Sequence[str] | None,
        *,
        state: str,
        made: Made = UNKNOWN,
        cancelled: bool = False,
    ) -> None:
        """Note that an image was read by `raters`, or by whoever was asked (`None`).

        `state` is that of a reading without a box; "" leaves it to be inferred. `made` says when
        it was read. One that was `cancelled` counts only where the rater has no other.
        """
        for rater in raters if raters is not None else self._no_rater_named():
            one = self._reading(image, rater if raters is not None else None, asked_rater=rater)
            one.state, one.made, one.cancelled = state, made, cancelled

    def box(
        self,
        image: Image,
        corners: Sequence[object],
        *,
        label: object,
        source: str,
        rater: str | None = None,
    ) -> None:
        """Note a box ``x0, y0, x1, y1`` in px; `label` is its class as the file names it."""
        found = self._sound(image, corners, label=label, source=source, rater=rater)
        if found is not None:
            one, name, edges = found
            one.boxes.append((name, *edges, f"{self.where}:{source}"))

    def point(
        self,
        image: Image,
        place: Sequence[object],
        *,
        positive: bool,
        label: object,
        source: str,
        rater: str | None = None,
    ) -> None:
        """Note a point ``x, y`` in px, on what `label` names, or beside it."""
        found = self._sound(image, place, label=label, source=source, rater=rater)
        if found is not None:
            one, name, (x, y) = found
            one.points.append((name, x, y, positive, f"{self.where}:{source}", ""))

    def scribble(
        self,
        image: Image,
        corners: Sequence[Sequence[object]],
        *,
        positive: bool,
        label: object,
        source: str,
        rater: str | None = None,
    ) -> None:
        """Note a line through corners ``x, y`` in px; nothing of it where one is unsound."""
        place, rows = f"{self.where}:{source}", []
        for corner in corners:
            found = self._sound(image, corner, label=label, source=source, rater=rater)
            if found is None:
                return
            one, name, (x, y) = found
            rows.append((name, x, y, positive, place, place))
        if rows:
            one.points += rows

    def _sound(
        self,
        image: Image,
        values: Sequence[object],
        *,
        label: object,
        source: str,
        rater: str | None,
    ) -> tuple[Reading, str, list[float | None]] | None:
        """The reading, label and numbers of what was drawn; `None`, and a fault, if unsound."""
        name = self.labels.find(str(label)) if isinstance(label, str | int | float) else None
        annotations = self._all.config.annotations
        asked_rater = annotations.rater_of.get(name or "") or annotations.rater
        if not (rater or asked_rater or "rater" in self.fields):
            self.fault("name-missing", "it has no name of who drew it.", source, image=image)
            return None
        self._n_boxes += 1
        refuse_more(self._n_boxes, self._all.config.limits.rows, "rows")
        one = self._reading(image, rater, asked_rater=asked_rater)
        numbers = [number(value) for value in values]
        if name is None:
            message = f"class '{short(str(label))}' is not in [labels]: {self.labels.known}."
            self.fault("unknown-class", message, source, image=image, rater=rater)
        elif None in numbers:
            odd = values[numbers.index(None)]
            message = f"a corner is {not_a_number(str(odd))}"
            self.fault("not-a-number", message, source, image=image, rater=rater, label=name)
        else:
            return one, name, numbers
        return None

    def _reading(self, image: Image, rater: str | None, *, asked_rater: str | None) -> Reading:
        """The reading of an image by a rater, which is new where there is none."""
        of_image = self._readings.setdefault(image, {})
        path_rater = self.fields.get("rater")
        key = rater or (None if path_rater else asked_rater)
        if key not in of_image:
            labels = "" if rater or path_rater else self._all.asked.get(asked_rater or "", "")
            of_image[key] = Reading(
                image, self.where, path_rater, rater, asked_rater, labels, _OPENED
            )
            self._all.readings.append(of_image[key])
        return of_image[key]

    def leave_open(self, image: Image, rater: str | None, label: str | None) -> None:
        """An image of which a rater's shape was left out was not seen to be empty."""
        if rater:
            self._reading(image, rater, asked_rater=None)
        of_image = self._readings.get(image, {})
        for one in [of_image[rater]] if rater else of_image.values():
            one.state = _OPENED
            one.refused.append(self.labels.find(label or "") or "")

    def _no_rater_named(self) -> list[str | None]:
        return [None] if "rater" in self.fields else list(self._all.asked)

    def _fields(self, name: object) -> dict[str, str] | None:
        if not isinstance(name, str) or len(name) > NAME_MAX:
            return None
        found = self._all.name.fields(name)
        return None if found is None else patterns.merged(self.fields, found)
