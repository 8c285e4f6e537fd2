"""What tables of boxes seem to hold: which column is which, by its name or by what stands in it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crowdqc.findings import InputError
from crowdqc.formats.csvfile import MISSING, csv_rows, read_header
from crowdqc.formats.files import parse_number, printable
from crowdqc.formats.guess_documents import (
    ask_rater,
    gold_remarks,
    guess_image,
    guess_path,
    one_name_each,
)
from crowdqc.formats.listing import FILES_MAX, Guess, Listing
from crowdqc.formats.patterns import split_ending
from crowdqc.formats.raters import rater_key

ROWS_MAX = 100_000
"""Rows that are looked at to recognise tables."""
SEVERAL = 0.05
"""Share of readings with several objects of a label above which these are no slips of the hand."""
BOXES = [
    ["x0", "y0", "x1", "y1"],
    ["x0", "y0", "box_width", "box_height"],
    ["x_centre", "y_centre", "box_width", "box_height"],
]
"""The ways in which four columns say a box."""

_NAMES = {
    "case": "case caseid scanid imageid image imagename imageindex filename file item study "
    "studyid patient patientid uid seriesuid seriesinstanceuid studyinstanceuid externalid",
    "slice": "slice sliceindex sliceidx sliceid slicenumber slicenum sliceno slicenr zslice slicez "
    "slicepos frame frameindex frameidx frameid framenumber frameno z zindex zidx instancenumber "
    "imagenumber planeindex",
    "label": "label labelname class classname category categoryname organ structure finding "
    "findinglabel",
    "x0": "x0 xmin xtl left x1 x bboxx",
    "y0": "y0 ymin ytl top y1 y bboxy",
    "x1": "xmax xbr right x2 x1",
    "y1": "ymax ybr bottom y2 y1",
    "x_centre": "cx xc xcenter xcentre centerx centrex",
    "y_centre": "cy yc ycenter ycentre centery centrey",
    "box_width": "w boxwidth bboxwidth width",
    "box_height": "h boxheight bboxheight height",
    "width": "imagewidth width",
    "height": "imageheight height",
    "point_x": "pointx",
    "point_y": "pointy",
    "positive": "positive",
    "scribble": "scribble",
}


@dataclass
class _Table:
    columns: dict[str, str | int]
    rows: list[dict[str, str]]
    """The first rows, by the names of the columns or their places."""
    files: list[int] = field(default_factory=list)
    """Which of several tables each row is of."""

    def values(self, name: str) -> list[str]:
        """What stands in the column that has this name among ours."""
        return [row.get(str(self.columns.get(name)), "") for row in self.rows]

    def places(self) -> list[tuple[str, ...]]:
        """Case and slice of each row."""
        return list(zip(self.values("case"), self.values("slice"), strict=True))


def sniff_table(listing: Listing) -> Guess | None:
    """The table that has most of the columns, and those that have the same ones."""
    paths = listing.ending(".csv", ".csv.gz", ".tsv")[:FILES_MAX]
    tables, errors = {}, []
    for path in paths:
        try:
            tables[path] = _look(path, ROWS_MAX // len(paths))
        except InputError as error:
            errors.append(error)
    if not tables:
        if errors:
            raise errors[0]
        return None
    columns = max((one.columns for one in tables.values()), key=len)
    tables = {path: one for path, one in tables.items() if one.columns == columns}
    guess = Guess("", list(tables), columns=dict(columns))
    _remark(guess, [path.name for path in paths if path not in tables])
    inner = {
        listing.relative(path): list(dict.fromkeys(map("/".join, one.places())))
        for path, one in tables.items()
    }
    together = _Table(columns, [row for one in tables.values() for row in one.rows])
    together.files = [k for k, one in enumerate(tables.values()) for _ in one.rows]
    guess_path(guess, listing, slices=False, contents=inner, raters="rater" not in columns)
    if any(split_ending(name)[1] or "/" in name for name in together.values("case")):
        guess.columns["image"] = guess.columns.pop("case")
        guess_image(guess, list(dict.fromkeys(together.values("case"))))
    known = set(map(str, columns.values()))
    rows = [{k: v for k, v in row.items() if k not in known} for row in together.rows]
    guess.remarks += _unused(guess, rows)
    if "rater" not in columns and "{rater}" not in guess.path:
        guess.more += ask_rater(rows, together.places(), labels=together.values("label"))
    _labels(guess, together)
    guess.remarks += gold_remarks(together.values("rater"))
    if guess.more:  # several boxes of a label may be those of several people
        guess.several = set()
    return guess


def _look(path: Path, limit: int) -> _Table:
    rows = [row for _, row in itertools.islice(csv_rows(path, str(path)), max(limit, 100))]
    header = read_header(iter([(1, row) for row in rows[:1]]), str(path))
    if len(header) == 1 and any(len(row) > 1 for row in rows[1:]):
        raise InputError(
            f"{path}: its first line must name the columns; got '{printable(header[0])[:60]}'. "
            "Take out what stands above the names."
        )
    named = _named(header)
    if not named and sum(parse_number(cell) is not None for cell in header) >= 4:
        header = [str(place) for place in range(1, len(header) + 1)]
        return _Table(_placed(rows), _records(header, rows))
    records = _records(header, [row for row in rows[1:] if row != rows[0]])
    _refuse_json(header, records[:1], path)
    return _Table(named, records)


def _refuse_json(header: Sequence[str], records: list[dict[str, str]], path: Path) -> None:
    """Refuse a table whose boxes are no columns of their own."""
    for name in header:
        if any(row.get(name, "").startswith(("[{", '{"')) for row in records):
            raise InputError(
                f"{path}: its column '{printable(name)[:60]}' holds JSON, as in CSV exports of "
                "Label Studio and VIA. Export JSON, JSON-MIN or COCO instead, or give the corners "
                "of boxes columns of their own."
            )


def _records(header: Sequence[str], rows: list[list[str]]) -> list[dict[str, str]]:
    return [dict(zip(header, map(str.strip, row), strict=False)) for row in rows]


def _named(header: Sequence[str]) -> dict[str, str | int]:
    """Our name of a column -> its name in the table."""
    plain = {"".join(filter(str.isalnum, name.lower())): name for name in header[::-1]}
    found = {
        ours: next(plain[name] for name in names.split() if name in plain)
        for ours, names in _NAMES.items()
        if set(names.split()) & plain.keys()
    }
    if found.get("x1") == found.get("x0"):  # x1 is the first corner only beside x2
        found = {name: column for name, column in found.items() if name not in {"x1", "y1"}}
    box = next((one for one in BOXES if set(one) <= found.keys()), BOXES[0])
    unused = {name for one in BOXES for name in one} - set(box)
    if not {"point_x", "point_y"} <= found.keys():
        unused |= {"point_x", "point_y", "positive", "scribble"}
    if "box_width" in box:  # one column is not both
        unused |= {name for name in ("width", "height") if found.get(name) == found[f"box_{name}"]}
    found = {name: column for name, column in found.items() if name not in unused}
    rater = rater_key(name for name in header if name not in found.values())
    return {**found, "rater": rater} if rater and found else dict(found)


def _placed(rows: list[list[str]]) -> dict[str, str | int]:
    """Our name of a column -> its place from 1, where no line names them."""
    columns = list(zip(*rows, strict=False))
    numbers = [all(map(_is_number, filter(str.strip, column))) for column in columns]
    first, box = _corners(columns, numbers)
    if not box:
        return {}
    found: dict[str, str | int] = dict(zip(box, range(first + 1, first + 5), strict=True))
    rest = [k for k in range(len(columns)) if k not in range(first, first + 4)]
    texts = [k for k in rest if not numbers[k]]
    whole = [k for k in rest if numbers[k] and all(map(str.isdecimal, map(str.strip, columns[k])))]
    images = [k for k in texts if any(split_ending(name)[1] for name in columns[k])]
    ids = whole[:1] if len(whole) > 1 or len(texts) == 1 else []
    case = next(iter([*images, *ids, *texts]), None)
    label = next((k for k in reversed(texts) if k != case), None)
    number = next((k for k in whole if k != case), None) if not images else None
    named = {"case": case, "slice": number, "label": label}
    return found | {name: place + 1 for name, place in named.items() if place is not None}


def _corners(
    columns: Sequence[Sequence[str]], numbers: Sequence[bool]
) -> tuple[int, Sequence[str]]:
    """Which is the first of four columns that say a box, and what they are; none: no columns.

    The last four that may be two corners: numbers of a case and slice may stand before them.
    """
    starts = [k for k in range(len(numbers) - 3) if all(numbers[k : k + 4])]
    for first in reversed(starts):
        cells = [[parse_number(cell) or 0.0 for cell in one] for one in columns[first : first + 4]]
        if all(a <= b for a, b in zip(cells[0] + cells[1], cells[2] + cells[3], strict=True)):
            return first, BOXES[0]
    return (starts[0], BOXES[1]) if starts else (0, ())


def _is_number(cell: str) -> bool:
    return parse_number(cell) is not None


def _remark(guess: Guess, others: list[str]) -> None:
    """What a reader of the study file should know of the columns."""
    columns = guess.columns
    if not any(set(one) <= columns.keys() for one in BOXES):
        absent = [name for name in BOXES[0] if name not in columns]
        guess.remarks.append(f"Say in 'columns' which column is {', '.join(absent)}.")
    if "case" not in columns:
        guess.remarks.append("Say in 'columns' which column is case.")
    if {"x0", "box_width"} <= columns.keys():
        guess.remarks.append(
            f"'{columns['x0']}', '{columns['y0']}' are taken for a corner: if they are the centre "
            "of the box, name them x_centre and y_centre."
        )
    if any(isinstance(column, int) for column in columns.values()):
        guess.remarks.append("The first line names no columns: 'columns' has their places. Check.")
    if others:
        guess.remarks.append(f"Tables that are not read: {printable(', '.join(others))[:200]}.")


def _unused(guess: Guess, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """A remark on columns that are not read, and on one that may number the slices."""
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name]
    if not names:
        return []
    said = [f"Columns that are not read: {printable(', '.join(names))[:200]}."]
    if "slice" in guess.columns or "{slice}" in (guess.image or ""):
        return said
    for name in names:
        values = [row.get(name, "") for row in rows]
        if len(set(values)) > 1 and all(map(str.isdecimal, values)):
            said.append(
                f"If '{printable(name)[:60]}' numbers the slices, name it as 'slice' in 'columns': "
                "without it each case is one image."
            )
            break
    return said


def _labels(guess: Guess, table: _Table) -> None:
    """Labels of the rows with a box or a point, and those of which a reading drew several boxes."""
    labels = table.values("label") if "label" in guess.columns else ["object"] * len(table.rows)
    keys = [labels, *(table.values(name) for name in ("case", "slice", "rater")), table.files]
    edge = next((name for name in ("x0", "x_centre") if name in table.columns), "")
    there = [value.lower() not in MISSING or not edge for value in table.values(edge)]
    drawn = Counter(key for key, box in zip(zip(*keys, strict=True), there, strict=True) if box)
    places = Counter(key[0] for key in drawn)
    more = Counter(key[0] for key, n in drawn.items() if n > 1)
    pointed = {name for name, x in zip(labels, table.values("point_x"), strict=True) if x}
    found = {name: name for name in sorted({*places, *pointed}) if name} or {"object": "object"}
    guess.labels, remarks = one_name_each(found)
    guess.several = {name for name in guess.labels if more[name] > SEVERAL * places[name]}
    guess.remarks += remarks
    guess.remarks.append("Where a slice may hold several objects of a label: single = false.")
