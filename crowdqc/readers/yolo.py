"""YOLO text files: one file a slice, one line a box, ``class x_centre y_centre width height``.

Coordinates are fractions of the image. Who drew a box is said by the path (``{rater}``), by
its label (``[annotations] rater_of``), or once for all (``[annotations] rater``).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError, Severity
from crowdqc.geometry import yolo_to_pixels
from crowdqc.readers import patterns
from crowdqc.readers.draft import EDGES, Draft, bad_line
from crowdqc.readers.images import KEYS

BYTES_MAX = 10_000_000
"""A text file of boxes larger than this is something else."""

_NUMBERS = ("x_centre", "y_centre", "width", "height")


@dataclass
class _Lines:
    """Sound lines of all files, column by column."""

    file: list[int] = field(default_factory=list)
    line: list[int] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    numbers: list[tuple[float, ...]] = field(default_factory=list)


class _Files:
    """The files of the study that can be read, and who is asked for what in each."""

    def __init__(self, config: Config) -> None:
        annotations = config.annotations
        self.config = config
        self.labels = {key: label.name for key, label in config.labels.items()}
        pattern = config.resolve(annotations.path)
        _check_raters(config)
        found = patterns.find(pattern)
        self.findings = _strays(found.strays, pattern, config)
        self.files, same = _once(found.files, config)
        self.findings += same
        self.half_read: set[int] = set()

    def source(self, file: int, line: int) -> str:
        return f"{relative(self.files[file].path, self.config)}:{line}"

    def where(self, file: int) -> tuple[str, int]:
        fields = self.files[file].fields
        return fields.get("case", self.config.study.name), int(fields.get("slice", 0))

    def rater(self, file: int, label: str) -> str:
        annotations = self.config.annotations
        fields = self.files[file].fields
        return fields.get("rater") or annotations.rater_of.get(label) or str(annotations.rater)


def read_yolo(config: Config) -> Draft:
    """Read every YOLO file that the study names.

    Raises
    ------
    InputError
        If no file is found, or the study does not say who drew what.
    """
    files = _Files(config)
    lines = _Lines()
    for index, found in enumerate(files.files):
        for number, text in _text_lines(found.path, index, files):
            _read_line(text, file=index, number=number, files=files, lines=lines)
    return Draft(boxes=_boxes(lines, files), readings=_readings(files), findings=files.findings)


def scale(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Boxes with YOLO fractions in the columns of the edges, in px of their images."""
    size = boxes[KEYS].merge(images, on=KEYS, how="left")[["height", "width"]].to_numpy(np.float64)
    fractions = boxes[EDGES].to_numpy(np.float64)
    pixels = yolo_to_pixels(fractions, height=1.0, width=1.0)
    pixels = pixels * size[:, [1, 0, 1, 0]]
    return boxes.assign(**dict(zip(EDGES, pixels.T, strict=True)))


def relative(path: Path, config: Config) -> str:
    """`path` as messages name it: relative to the folder of the study file."""
    return Path(os.path.relpath(path, config.file.parent)).as_posix()


def _text_lines(path: Path, index: int, files: _Files) -> Iterator[tuple[int, str]]:
    """Lines of a file that are not blank, with their numbers from 1."""
    problem = None
    data = b""
    try:
        if path.stat().st_size > BYTES_MAX:
            problem = f"has more than {BYTES_MAX} bytes; a text file of boxes is small."
        else:
            data = path.read_bytes()
            text = data.decode("utf-8-sig")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}."
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start}: {data[error.start]:#04x})."
    if problem:
        files.half_read.add(index)
        where = relative(path, files.config)
        files.findings.append(_bad_file("file-unreadable", f"{where}: {problem}", where))
        return
    for number, line in enumerate(re.split("\r\n|\r|\n", text), start=1):
        if line and not line.isspace():
            yield number, line


def _read_line(text: str, *, file: int, number: int, files: _Files, lines: _Lines) -> None:
    words = text.split()
    label = files.labels.get(words[0])
    fault = _fault(words, label, files)
    if fault:
        case, slice_ = files.where(file)
        check, message = fault
        files.half_read.add(file)
        finding = bad_line(check, message, files.source(file, number), case=case, slice=slice_)
        files.findings.append(finding)
        return
    lines.file.append(file)
    lines.line.append(number)
    lines.label.append(str(label))
    lines.numbers.append(tuple(map(float, words[1:])))


def _fault(words: list[str], label: str | None, files: _Files) -> tuple[str, str] | None:
    """Name and description of what is wrong with a line, if anything is."""
    if len(words) != 5:
        return "field-count", (
            f"has {len(words)} fields ({_short(' '.join(words))}); a line is "
            "'class x_centre y_centre width height', 5 fields."
        )
    for name, word in zip(_NUMBERS, words[1:], strict=True):
        number = parse_number(word)
        if number is None:
            return "not-a-number", f"{name} is '{_short(word)}', which is not a number."
        if not math.isfinite(number):
            return "box-not-finite", f"{name} is {word}; coordinates must be finite."
        if name in _NUMBERS[2:] and number <= 0:
            return "box-empty", f"{name} is {word}; a box needs a size above zero."
    if label is None:
        known = ", ".join(f"{key} ({name})" for key, name in files.labels.items())
        return "unknown-class", f"class '{_short(words[0])}' is not in [labels]: {known}."
    return None


def parse_number(text: str) -> float | None:
    """The number that `text` says, as files write numbers (no ``1_000``); else `None`."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _boxes(lines: _Lines, files: _Files) -> pd.DataFrame:
    places = [files.where(file) for file in lines.file]
    numbers = np.array(lines.numbers, dtype=np.float64).reshape(-1, 4)
    rater = [files.rater(f, label) for f, label in zip(lines.file, lines.label, strict=True)]
    source = [files.source(f, line) for f, line in zip(lines.file, lines.line, strict=True)]
    return pd.DataFrame(
        {
            "case": [case for case, _ in places],
            "slice": [slice_ for _, slice_ in places],
            "rater": rater,
            "label": lines.label,
            **dict(zip(EDGES, numbers.T, strict=True)),
            "source": source,
        }
    )


def _readings(files: _Files) -> pd.DataFrame:
    """A reading of each file by everyone who was asked; states are still to be inferred."""
    asked = _asked(files.config)
    rows = []
    for index, found in enumerate(files.files):
        case, slice_ = files.where(index)
        state = "opened" if index in files.half_read else ""
        for rater, labels in asked.items() if asked else [(found.fields["rater"], "")]:
            rows.append((case, slice_, rater, labels, state))
    return pd.DataFrame(rows, columns=["case", "slice", "rater", "labels", "state"])


def _asked(config: Config) -> dict[str, str]:
    """Rater -> labels; empty where the path names the rater, who is asked for all."""
    annotations = config.annotations
    if patterns.has(annotations.path, "rater"):
        return {}
    if not annotations.rater_of:
        return {str(annotations.rater): ""}
    asked: dict[str, list[str]] = {}
    for label in config.label_names:
        rater = annotations.rater_of.get(label) or str(annotations.rater)
        asked.setdefault(rater, []).append(label)
    return {rater: " ".join(labels) for rater, labels in asked.items()}


def _check_raters(config: Config) -> None:
    annotations = config.annotations
    in_path = patterns.has(annotations.path, "rater")
    if in_path and (annotations.rater or annotations.rater_of):
        raise InputError(
            f"{config.file}: 'annotations.path' names the rater by {{rater}}, so "
            "'annotations.rater' and 'annotations.rater_of' must go."
        )
    nobody = [name for name in config.label_names if name not in annotations.rater_of]
    if not in_path and not annotations.rater and nobody:
        raise InputError(
            f"{config.file}: it is not said who drew {', '.join(nobody)}. Put {{rater}} into "
            "'annotations.path', or give 'annotations.rater_of' (label = rater) or "
            "'annotations.rater' (one for all)."
        )


def _once(
    found: list[patterns.Found], config: Config
) -> tuple[list[patterns.Found], list[Finding]]:
    """Files that are the first of their case, slice and rater; a finding for each other."""
    seen: dict[tuple[str | None, int, str | None], Path] = {}
    files, findings = [], []
    for one in found:
        fields = one.fields
        key = (fields.get("case"), int(fields.get("slice", 0)), fields.get("rater"))
        if key in seen:
            where, first = relative(one.path, config), relative(seen[key], config)
            message = f"{where}: is the same slice as {first}, which is used. Remove one of them."
            findings.append(_bad_file("slice-twice", message, where))
        else:
            seen[key] = one.path
            files.append(one)
    return files, findings


def _strays(strays: list[Path], pattern: Path, config: Config) -> list[Finding]:
    if not strays:
        return []
    names = ", ".join(path.name for path in strays[:3]) + (", ..." if len(strays) > 3 else "")
    message = (
        f"{len(strays)} files beside the annotations do not fit '{relative(pattern, config)}' "
        f"and were not read: {names}."
    )
    return [
        Finding(
            check="file-not-in-pattern",
            severity=Severity.NOTE,
            message=message,
            value=float(len(strays)),
        )
    ]


def _bad_file(check: str, message: str, source: str) -> Finding:
    return Finding(check=check, severity=Severity.REJECT, message=message, source=source)
