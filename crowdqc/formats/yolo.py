"""YOLO text files: one file a slice, one line a box, ``class x_centre y_centre width height``.

Coordinates are fractions of the image. Who drew a box is given by the path (``{rater}``), by
its label (``[annotations] rater_of``), or once for all (``[annotations] rater``). What a class
is called is given by ``[labels]``, or by a class list beside the files (`formats.labels`).
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.config import Config
from crowdqc.files import Unreadable, decoded, read_bytes
from crowdqc.formats.base import Format
from crowdqc.formats.draft import FRACTIONS, Draft
from crowdqc.formats.files import not_a_number, parse_number, short
from crowdqc.formats.guess_documents import NO_BOX, guess_path, one_name_each
from crowdqc.formats.labels import (
    CLASS_LISTS,
    LEVELS_UP,
    Classes,
    ClassLists,
    find_class_list,
    read_class_list,
    whole,
)
from crowdqc.formats.listing import FILES_MAX, Guess, Listing, beginning
from crowdqc.formats.output import Output, Written
from crowdqc.formats.shapes import box_of_points
from crowdqc.formats.slicefiles import SliceFiles
from crowdqc.geometry import pixels_to_yolo
from crowdqc.text import count

Floats = NDArray[np.float64]
_Contents = dict[int, bytes]
_Line = tuple[int | str | float, ...]

BYTES_MAX = 10_000_000
"""A text file of boxes larger than this is something else."""

_TYPES = {
    "file": np.int64,
    "line": np.int64,
    "label": object,
    **dict.fromkeys(FRACTIONS, np.float64),
}
FRACTION_MAX = 2.0
"""A number above this is no fraction of an image, but of px."""
_BATCH = 100_000
"""About so many bytes of files are parsed at once: alone, a small file is mostly overhead."""
_BOM = b"\xef\xbb\xbf"
_ALPHABET = b"0123456789.+-eE \t\r\n"
"""All that a file holds that can be parsed with others; the rest is read line by line."""


NOT_BOXES = frozenset(
    {
        *(*CLASS_LISTS, "train.txt", "val.txt", "valid.txt", "test.txt", "notes.txt", "readme.txt"),
        *("readme.dataset.txt", "readme.roboflow.txt", "license.txt", "licence.txt"),
    }
)
"""Names of files that lie beside YOLO files and hold no boxes."""


def _sniff_yolo(listing: Listing) -> Guess | None:
    """Text files, if one of them is empty or has lines of a class and numbers."""
    texts = [path for path in listing.ending(".txt") if path.name.lower() not in NOT_BOXES]
    seen = texts[:FILES_MAX]
    empty = not listing.ending(".json", ".xml", ".csv") and not all(map(_size, seen))
    if not (empty or any(map(_box_lines, seen))):
        return None  # such as a licence or an empty log beside the annotations
    guess = Guess("", texts)
    guess_path(guess, listing, slices=True)
    lines = [line for path in seen for line in _box_lines(path)]
    odd = sum(len(words) != 5 for words in lines)
    if odd:
        guess.remarks.append(
            f"{odd} of {count(len(lines), 'line')} with other than 5 fields (a confidence, or a "
            "polygon instead of a box) will be refused: 'class x_centre y_centre width height'. "
            "Export boxes without confidence; of polygons shapes = 'box' takes the box round each."
        )
    guess.labels, remarks = _label_names(listing, seen)
    guess.remarks += remarks
    if not lines:
        guess.remarks.append(NO_BOX)
    elif any(name == f"label_{key}" for key, name in guess.labels.items()):
        guess.remarks.append(
            "No class list names all ids: write names in place of label_0 and so on."
        )
    return guess


def _label_names(listing: Listing, files: list[Path]) -> tuple[dict[str, str], list[str]]:
    """Ids that occur in the files, with their names where class lists are at hand."""
    lists: dict[Path, dict[str, str]] = {}
    names: dict[str, str] = {}
    for path in files:
        if path.parent not in lists:
            found = find_class_list(path.parent, LEVELS_UP) or find_class_list(listing.folder, 1)
            lists[path.parent] = {}
            with contextlib.suppress(Unreadable):
                lists[path.parent] = read_class_list(found) if found else {}
        for key in {whole(words[0]) for words in _box_lines(path)}:
            name = lists[path.parent].get(key, f"label_{key}" if key.isdecimal() else key)
            if name not in names.values():
                names[name if key in names else key] = name
    order = sorted(names, key=lambda text: (not text.isdecimal(), text.zfill(12)))
    return one_name_each({key: names[key] for key in order}) if names else ({"0": "label_0"}, [])


def _size(path: Path) -> int:
    return path.stat().st_size


def _box_lines(path: Path) -> list[list[str]]:
    """Words of the lines that are a class and at least four numbers."""
    lines = [line.split() for line in beginning(path).lstrip("\ufeff").splitlines()]
    lines = [words for words in lines if len(words) >= 5]
    return [words for words in lines if all(parse_number(word) is not None for word in words[1:])]


def read_yolo(config: Config) -> Draft:
    """Read every YOLO file that the study names; boxes stay fractions of their image.

    Raises
    ------
    InputError
        If no file is found, or the study does not say who drew what.
    """
    files = SliceFiles(config, not_slices=NOT_BOXES)
    lists = ClassLists(config)
    lines = [_lines(batch, classes, files) for batch, classes in _batches(files, lists)]
    boxes = _boxes(pd.concat(lines, ignore_index=True), files)
    readings = files.readings()
    return Draft(boxes, readings, [*lists.findings(), *files.findings])


def _batches(files: SliceFiles, lists: ClassLists) -> Iterator[tuple[_Contents, Classes]]:
    """What files hold, many at a time, and their classes; a finding for one it cannot read."""
    batch: _Contents = {}
    classes = lists.of("")
    size = 0
    for folder, some in groupby(enumerate(files.paths), lambda one: one[1].rpartition(os.sep)[0]):
        its_classes = lists.of(folder)
        for file, path in some:
            if its_classes is not classes or size > _BATCH:
                yield batch, classes
                batch, classes, size = {}, its_classes, 0
            try:
                batch[file] = read_bytes(path, BYTES_MAX)
            except Unreadable as error:
                files.refuse(file, str(error))
            else:
                size += len(batch[file])
    yield batch, classes


def _lines(batch: _Contents, classes: Classes, files: SliceFiles) -> pd.DataFrame:
    """The sound lines of some files; a finding for each other."""
    together = _all_lines(batch, classes)
    if together is not None:
        return together
    lines: list[_Line] = []
    for file, data in batch.items():
        try:
            text = decoded(data)
        except Unreadable as error:
            files.refuse(file, str(error))
        else:
            lines += _each_line(text, classes, file=file, files=files)
    return _table(list(zip(*lines, strict=True)) or [[]] * len(_TYPES))


def _all_lines(batch: _Contents, classes: Classes) -> pd.DataFrame | None:
    """The lines of some files, parsed at once; `None` where one may not be a box."""
    stripped = {file: data.removeprefix(_BOM).rstrip() for file, data in batch.items()}
    filled = {file: data + b"\n" for file, data in stripped.items() if data}
    if not filled:
        return _table([[]] * len(_TYPES))
    text = b"".join(filled.values())
    counts = np.array([data.count(b"\n") for data in filled.values()])
    rows = _parsed(text)
    if rows is None or rows.shape != (counts.sum(), 5) or not _in_range(rows):
        return None
    keys, which = np.unique(rows[:, 0], return_inverse=True)
    words = [f"{key:.0f}" for key in keys]
    labels = np.array([classes.get(word) for word in words], dtype=object)
    if None in labels:
        return None
    line = 1 + np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    return _table([np.repeat(list(filled), counts), line, labels[which], *rows[:, 1:].T])


def _parsed(text: bytes) -> Floats | None:
    """The numbers of each line; `None` where there is something else."""
    if text.translate(None, _ALPHABET):
        return None
    try:
        return np.loadtxt(io.BytesIO(text), comments=None, ndmin=2)
    except ValueError:
        return None


def _in_range(rows: Floats) -> bool:
    """Whether all numbers are such as `_fault` allows, and classes are held exactly."""
    ids = rows[:, 0]
    whole_ids = ids.max() < 1e9 and ids.min() > -1e9 and (ids % 1 == 0).all()
    boxes = rows[:, 1:]
    fractions = np.isfinite(boxes).all() and boxes.max() <= FRACTION_MAX and boxes[:, 2:].min() > 0
    return bool(fractions and whole_ids)


def _each_line(text: str, classes: Classes, *, file: int, files: SliceFiles) -> list[_Line]:
    """The sound lines of a file, one by one; a finding for each other."""
    lines: list[_Line] = []
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, row in enumerate(text.split("\n"), start=1):
        words = row.split()
        if not words:
            continue
        words = _boxed(words) if files.config.annotations.shapes == "box" else words
        fault = _fault(words, classes)
        if fault is None:
            lines.append((file, number, classes[whole(words[0])], *map(float, words[1:])))
        else:
            files.fault(file, number, fault)
    return lines


def _boxed(words: list[str]) -> list[str]:
    """The line of the box round a polygon, ``class x y x y x y ...``; any other line as it is."""
    found = box_of_points(words[1::2], words[2::2]) if len(words) > 6 else None
    if found is None:
        return words
    x0, y0, x1, y1 = (float(str(value)) for value in found)
    return [words[0], *map(repr, ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))]


def _fault(words: list[str], classes: Classes) -> tuple[str, str] | None:
    """Name and description of what is wrong with a line, if anything is."""
    if len(words) != 5:
        more = {6: "A confidence is none of them: export without it."}
        return "field-count", (
            f"has {count(len(words), 'field')} ({short(' '.join(words))}); a line is "
            "'class x_centre y_centre width height', 5 fields. "
            + more.get(len(words), "Of a polygon the box is taken where shapes is 'box'.")
        )
    for name, word in zip(FRACTIONS, words[1:], strict=True):
        fault = _number_fault(name, word)
        if fault is not None:
            return fault
    if whole(words[0]) not in classes:
        known = ", ".join(f"{key} ({name})" for key, name in classes.items())
        return "unknown-class", f"class '{short(words[0])}' is not in {classes.where}: {known}."
    return None


def _number_fault(name: str, word: str) -> tuple[str, str] | None:
    number = parse_number(word)
    met = f"{name} is {short(word)}"
    if number is None:
        return "not-a-number", f"{name} is {not_a_number(word)}"
    if not math.isfinite(number):
        return "box-not-finite", f"{met}; coordinates must be finite."
    if name in FRACTIONS[2:] and number <= 0:
        return "box-empty", f"{met}; a box needs a size above zero."
    if number > FRACTION_MAX:
        return "box-outside-image", f"{met}; numbers are fractions of the image, up to 1, not px."
    return None


def _table(columns: Sequence[Any]) -> pd.DataFrame:
    """A table of lines, with its types also where there is none."""
    types = zip(_TYPES.items(), columns, strict=True)
    return pd.DataFrame({name: np.asarray(values, kind) for (name, kind), values in types})


def _boxes(lines: pd.DataFrame, files: SliceFiles) -> pd.DataFrame:
    file = lines["file"].to_numpy()
    which, numbers = pd.factorize(lines["line"])
    ends = np.array([f":{number}" for number in numbers], dtype=object)
    return pd.DataFrame(
        {
            "case": np.array(files.cases, dtype=object)[file],
            "slice": np.array(files.slices, dtype=np.int64)[file],
            "rater": files.drew(file, lines["label"]),
            "label": lines["label"],
            **lines[FRACTIONS],
            "source": np.array(files.names, dtype=object)[file] + ends[which],
        }
    )


def _write_yolo(output: Output, folder: Path) -> dict[str, object]:
    """Write ``labels/<rater>/<case>-slice<k>.txt`` and ``data.yaml``."""
    classes = {name: key for key, name in enumerate(output.study.labels)}
    for one in output.readings():
        path = folder / "labels" / one.rater / f"{one.image}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(one, classes), encoding="utf-8", newline="")
    _write_names(classes, folder)
    return {
        "path": "labels/{rater}/{case}-slice{slice}.txt",
        "empty_file": output.empty_file,
    }


def _package_yolo(output: Output, folder: Path) -> dict[str, object]:
    """Write ``labels/<case>-slice<k>.txt`` of what is drawn already, and lists of the classes.

    What is still to be drawn has no file: it is there when somebody has read the slice.
    """
    classes = {name: key for key, name in enumerate(output.study.labels)}
    (folder / "labels").mkdir()
    for one in output.readings():
        if one.boxes:
            path = folder / "labels" / f"{one.image}.txt"
            path.write_text(_text(one, classes), encoding="utf-8", newline="")
    _write_names(classes, folder)
    for name in ("classes.txt", "class_list.txt"):  # as LabelImg and OpenLabeling call it
        (folder / name).write_text("".join(f"{one}\n" for one in classes), encoding="utf-8")
    return {"path": "labels/{case}-slice{slice}.txt"}


def _write_names(classes: dict[str, int], folder: Path) -> None:
    names = "".join(f"  {key}: {json.dumps(name)}\n" for name, key in classes.items())
    text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _text(one: Written, classes: dict[str, int]) -> str:
    fractions = pixels_to_yolo(
        [corners for _, *corners in one.boxes], height=one.height, width=one.width
    )
    rows = zip(one.boxes, fractions.tolist(), strict=True)
    return "".join(
        f"{classes[label]} {x!r} {y!r} {width!r} {height!r}\n"
        for (label, *_), (x, y, width, height) in rows
    )


FORMAT = Format(
    title="YOLO text files",
    sniff=_sniff_yolo,
    read=read_yolo,
    write=_write_yolo,
    package=_package_yolo,
    one_file_per_slice=True,
    says_size=False,
    precedence=2,
)
