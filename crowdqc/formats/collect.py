"""What files with many slices say, row by row: the common half of their readers.

A `Document` is one such file while it is read. It knows what its path says, finds the slice of an
image by the image's name, asks who drew, and refuses what is not sound with a finding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from crowdqc.config import Config
from crowdqc.files import Unreadable
from crowdqc.findings import Finding, Severity
from crowdqc.formats import patterns
from crowdqc.formats.draft import FAULTS_MAX, SIDE_MAX, Draft, bad_file, bad_line, box_frame
from crowdqc.formats.files import parse_number, relative, short
from crowdqc.formats.labels import Labels
from crowdqc.formats.raters import asked, check_raters
from crowdqc.formats.slicefiles import slice_number, strays
from crowdqc.formats.times import WHEN, moment

NAME_MAX = 1000
"""Characters of an image's name."""

_OPENED = "opened"


@dataclass(frozen=True)
class Image:
    """An image of a file: which slice it is, its size (nan: not said), and where it stands."""

    case: str
    slice: int
    height: float
    width: float
    source: str


@dataclass
class _Reading:
    labels: str
    state: str
    height: float
    width: float
    source: str
    time: float = math.nan
    seconds: float = math.nan


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
        self.readings: dict[tuple[str, int, str], _Reading] = {}
        self.boxes: list[tuple[object, ...]] = []
        self._faults: Counter[tuple[object, ...]] = Counter()

    def read(self, read: Callable[[Document], None]) -> Draft:
        """All that `read` finds in the files; one that is `Unreadable` is a finding."""
        for document in self.documents():
            try:
                read(document)
            except Unreadable as error:
                document.refuse(error)
        return self.draft()

    def documents(self) -> list[Document]:
        """The files that fit the pattern of ``[annotations] path``."""
        found = patterns.find(self.config.resolve(self.config.annotations.path))
        self.findings += strays(found, self.config)
        return [Document(self, one) for one in found.files]

    def add(self, finding: Finding) -> None:
        """Keep a finding; of very many of one kind, file and case only the first."""
        file = (finding.source or "").rpartition(":")[0]
        key = (finding.check, file, finding.case)
        self._faults[key] += 1
        if self._faults[key] <= FAULTS_MAX:
            self.findings.append(finding)

    def draft(self) -> Draft:
        """All that was collected."""
        rows = [
            (*key, one.labels, one.state, one.height, one.width, one.time, one.seconds)
            for key, one in self.readings.items()
        ]
        columns = ["case", "slice", "rater", "labels", "state", "height", "width", *WHEN]
        readings = pd.DataFrame(rows, columns=columns)
        readings = readings.drop(columns=[name for name in WHEN if readings[name].isna().all()])
        if readings["height"].isna().all():
            readings = readings.drop(columns=["height", "width"])
        return Draft(box_frame(self.boxes), readings, [*self.findings, *self._uncounted()])

    def _uncounted(self) -> list[Finding]:
        return [
            Finding(
                check=str(check),
                severity=Severity.REJECT,
                message=f"{file}: and {n - FAULTS_MAX} more of the kind '{check}'.",
                case=None if case is None else str(case),
                value=float(n),
                source=str(file),
            )
            for (check, file, case), n in self._faults.items()
            if n > FAULTS_MAX
        ]


class Document:
    """One file of the annotations."""

    def __init__(self, collector: Collector, found: patterns.Found) -> None:
        self.path = found.path
        self.where = relative(found.path, collector.config)
        self.fields = found.fields
        self.labels = collector.labels
        self._all = collector

    def refuse(self, error: Unreadable) -> None:
        """Note that the whole file cannot be read."""
        message = f"{self.where}: {error} The file is left out."
        self._all.findings.append(bad_file("file-unreadable", message, self.where))

    def note(self, check: str, message: str, *, severity: Severity = Severity.NOTE) -> None:
        """Note something about the file as a whole."""
        text = f"{self.where}: {message}"
        finding = Finding(check=check, severity=severity, message=text, source=self.where)
        self._all.add(finding)

    def add(self, findings: Sequence[Finding]) -> None:
        """Keep findings."""
        self._all.findings += findings

    def fault(
        self, check: str, message: str, source: str, *, image: Image | None = None, rater: str = ""
    ) -> None:
        """Note that something is left out; an image of which something was, is no empty one."""
        where: dict[str, object] = {}
        if image is not None:
            where = {"case": image.case, "slice": image.slice, "rater": rater or None}
            for name in [rater] if rater else self._asked_of(None):
                reading = self._all.readings.get((image.case, image.slice, name))
                if reading is not None:
                    reading.state = _OPENED
        self._all.add(bad_line(check, message, f"{self.where}:{source}", **where))

    def image(self, name: object, size: tuple[object, object] | None, source: str) -> Image | None:
        """The image of this name, ``size = (height, width)``; `None` where it cannot be told."""
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
        return Image(case, slice_, height, width, source)

    def read_by(self, image: Image, raters: Sequence[str] | None, *, state: str) -> None:
        """Note that an image was read by `raters`, or by whoever was asked (`None`).

        `state` is that of a reading without a box; "" leaves it to be inferred.
        """
        for rater, labels in self._asked_of(raters).items():
            self._reading(image, rater, labels=labels, state=state)

    def took(self, image: Image, rater: str | None, *, time: object, seconds: object) -> None:
        """Note when an image was read, and how long that took, as far as the file says it."""
        for name in self._asked_of(None if rater is None else [rater]):
            reading = self._all.readings.get((image.case, image.slice, name))
            if reading is not None and reading.source == f"{self.where}:{image.source}":
                reading.time = math.nan if (when := moment(time)) is None else when
                reading.seconds = math.nan if (spent := number(seconds)) is None else spent

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
        name = self.labels.find(str(label)) if isinstance(label, str | int) else None
        who = self._who(rater, name)
        if who is None:
            self.fault("name-missing", "nobody is said to have drawn it.", source, image=image)
            return
        if not self._reading(image, who, labels=self._all.asked.get(who, ""), state=_OPENED):
            return
        edges = [number(value) for value in corners]
        if name is None:
            message = f"class '{short(str(label))}' is not in [labels]: {self.labels.known}."
            self.fault("unknown-class", message, source, image=image, rater=who)
        elif None in edges:
            odd = corners[edges.index(None)]
            message = f"'{short(str(odd))}' is not a number."
            self.fault("not-a-number", message, source, image=image, rater=who)
        else:
            row = (image.case, image.slice, who, name, *edges, f"{self.where}:{source}")
            self._all.boxes.append(row)

    def _reading(self, image: Image, rater: str, *, labels: str, state: str) -> bool:
        """Note a reading; whether it is the first of its slice and rater, or the same one."""
        key = (image.case, image.slice, rater)
        source = f"{self.where}:{image.source}"
        known = self._all.readings.get(key)
        if known is None:
            reading = _Reading(labels, state, image.height, image.width, source)
            self._all.readings[key] = reading
        elif known.source != source:
            message = (
                f"is the same slice, read by the same rater, as {known.source}, which is used."
            )
            where = {"case": image.case, "slice": image.slice, "rater": rater}
            self._all.add(bad_line("slice-twice", message, source, **where))
            return False
        return True

    def _asked_of(self, raters: Sequence[str] | None) -> Mapping[str, str]:
        if "rater" in self.fields:
            return {self.fields["rater"]: ""}
        return self._all.asked if raters is None else dict.fromkeys(raters, "")

    def _who(self, rater: str | None, label: str | None) -> str | None:
        annotations = self._all.config.annotations
        by_label = annotations.rater_of.get(label or "")
        return self.fields.get("rater") or rater or by_label or annotations.rater

    def _fields(self, name: object) -> dict[str, str] | None:
        if not isinstance(name, str) or len(name) > NAME_MAX:
            return None
        found = self._all.name.fields(name)
        return None if found is None else patterns.merged(self.fields, found)


def number(value: object) -> float | None:
    """The number that a JSON value or a text is; `None` where it is none."""
    if isinstance(value, str):
        return parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def side(value: object) -> float | None:
    """The side of an image in px that `value` is: whole, and of a size that makes sense."""
    length = number(value)
    if length is None or not 1 <= length <= SIDE_MAX or length % 1:
        return None
    return length


def rater_name(value: object) -> str | None:
    """Name of a rater: a text or a number; `None` where it is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return text or None
