"""YOLO text files: one file a slice, one line a box, ``class x_centre y_centre width height``.

Coordinates are fractions of the image. Who drew a box is said by the path (``{rater}``), by
its label (``[annotations] rater_of``), or once for all (``[annotations] rater``). What a class
is called is said by ``[labels]``, or by a class list beside the files (`readers.labels`).
"""

from __future__ import annotations

import math
import os
from array import array
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.geometry import yolo_to_pixels
from crowdqc.readers.draft import EDGES, FAULTS_MAX, Draft, bad_line
from crowdqc.readers.files import Unreadable, parse_number, read_text, short
from crowdqc.readers.images import KEYS
from crowdqc.readers.labels import ClassLists
from crowdqc.readers.slicefiles import SliceFiles

BYTES_MAX = 10_000_000
"""A text file of boxes larger than this is something else."""

_NUMBERS = ("x_centre", "y_centre", "width", "height")
_INF = math.inf


@dataclass
class _Lines:
    """Sound lines of all files, column by column."""

    file: array[int] = field(default_factory=lambda: array("q"))
    line: array[int] = field(default_factory=lambda: array("q"))
    label: list[str] = field(default_factory=list)
    numbers: array[float] = field(default_factory=lambda: array("d"))


def read_yolo(config: Config) -> Draft:
    """Read every YOLO file that the study names; edges stay fractions.

    Raises
    ------
    InputError
        If no file is found, or the study does not say who drew what.
    """
    files = SliceFiles(config)
    classes = ClassLists(config)
    lines = _Lines()
    for file, path in enumerate(files.paths):
        try:
            text = read_text(path, BYTES_MAX)
        except Unreadable as error:
            files.refuse(file, str(error))
            continue
        _read_lines(
            text, classes.of(path.rpartition(os.sep)[0]), file=file, files=files, lines=lines
        )
    readings = files.readings()
    findings = [*classes.findings, *files.findings]
    return Draft(_boxes(lines, files), readings, findings, fractions=True)


def scale(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Boxes with YOLO fractions in the columns of the edges, in px of their images."""
    size = boxes[KEYS].merge(images, on=KEYS, how="left")[["height", "width"]].to_numpy(np.float64)
    pixels = yolo_to_pixels(boxes[EDGES].to_numpy(np.float64), height=1.0, width=1.0)
    with np.errstate(over="ignore"):  # what is not finite is refused with its line
        pixels = pixels * size[:, [1, 0, 1, 0]]
    return boxes.assign(**dict(zip(EDGES, pixels.T, strict=True)))


def _read_lines(
    text: str, classes: dict[str, str], *, file: int, files: SliceFiles, lines: _Lines
) -> None:
    """Append the sound lines of a file; a finding for each other (the first of very many)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not _read_regular(text, classes, file=file, lines=lines):
        _read_each(text, classes, file=file, files=files, lines=lines)


def _read_regular(text: str, classes: dict[str, str], *, file: int, lines: _Lines) -> bool:
    """Append all lines of a file at once, if each is a box in the usual way; whether they are."""
    rows = [row.split() for row in text.rstrip("\n").split("\n")] if text else []
    try:
        labels = [classes[row[0]] for row in rows]
        numbers = [float(word) for row in rows for word in row[1:]]
    except (IndexError, KeyError, ValueError):
        return False
    if not set(map(len, rows)) <= {5} or not _plain(text):
        return False
    if rows and not (min(numbers) > 0 and sum(numbers) < _INF):  # a nan makes the sum nan
        return False
    lines.file.extend([file] * len(rows))
    lines.line.extend(range(1, len(rows) + 1))
    lines.label.extend(labels)
    lines.numbers.extend(numbers)
    return True


def _plain(text: str) -> bool:
    """Whether all numbers are written plainly: float() reads 1_0 and the digits of all scripts."""
    return text.isascii() and "_" not in text


def _read_each(
    text: str, classes: dict[str, str], *, file: int, files: SliceFiles, lines: _Lines
) -> None:
    """Append the sound lines of a file one by one; a finding for each other."""
    faults = 0
    for number, row in enumerate(text.split("\n"), start=1):
        words = row.split()
        if not words:
            continue
        fault = _fault(words, classes)
        if fault is None:
            lines.file.append(file)
            lines.line.append(number)
            lines.label.append(classes[words[0]])
            lines.numbers.extend(map(float, words[1:]))
            continue
        faults += 1
        if faults <= FAULTS_MAX:
            _note(fault, number, file=file, files=files)
    if faults > FAULTS_MAX:
        rest = f"and {faults - FAULTS_MAX} more lines of this file are not sound either."
        _note(("more-lines", rest), number, file=file, files=files)


def _note(fault: tuple[str, str], number: int, *, file: int, files: SliceFiles) -> None:
    check, message = fault
    files.half_read.add(file)
    where = {"case": files.cases[file], "slice": files.slices[file]}
    files.findings.append(bad_line(check, message, f"{files.names[file]}:{number}", **where))


def _fault(words: list[str], classes: dict[str, str]) -> tuple[str, str] | None:
    """Name and description of what is wrong with a line, if anything is."""
    if len(words) != 5:
        return "field-count", (
            f"has {len(words)} fields ({short(' '.join(words))}); a line is "
            "'class x_centre y_centre width height', 5 fields."
        )
    for name, word in zip(_NUMBERS, words[1:], strict=True):
        number = parse_number(word)
        if number is None:
            return "not-a-number", f"{name} is '{short(word)}', which is not a number."
        if not math.isfinite(number):
            return "box-not-finite", f"{name} is {short(word)}; coordinates must be finite."
        if name in _NUMBERS[2:] and number <= 0:
            return "box-empty", f"{name} is {short(word)}; a box needs a size above zero."
    if words[0] not in classes:
        known = ", ".join(f"{key} ({name})" for key, name in classes.items())
        return "unknown-class", f"class '{short(words[0])}' is not in [labels]: {known}."
    return None


def _boxes(lines: _Lines, files: SliceFiles) -> pd.DataFrame:
    file = np.array(lines.file, dtype=np.int64)
    numbers = np.array(lines.numbers, dtype=np.float64).reshape(-1, 4)
    source = [f"{files.names[f]}:{line}" for f, line in zip(lines.file, lines.line, strict=True)]
    return pd.DataFrame(
        {
            "case": np.array(files.cases, dtype=object)[file],
            "slice": np.array(files.slices, dtype=np.int64)[file],
            "rater": files.drew(lines.file, lines.label),
            "label": lines.label,
            **dict(zip(EDGES, numbers.T, strict=True)),
            "source": source,
        }
    )
