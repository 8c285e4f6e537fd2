"""What a row of ``decisions.csv`` may say, and what is wrong with one that says something else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from crowdqc.schema import BOX, TABLES

COLUMNS = [column.name for column in TABLES["decisions"]]
NEEDED = ["decision", "unit", "case", "slice", "label", "reviewer"]
"""Columns that a file must have; the others may be left out, or empty."""

REAL = ("accept", "rater", "draw", "real")
"""There is an object, and its box is that of the row: the fused one as it was shown, that of the
rater of the row, one that the reviewer drew, or, of an object that most raters missed, the fused
one."""
UNREAL = ("nothing", "relabel")
"""There is no object of this label: nothing at all, or something else, which a row of its own
(`draw`, with the right label) says."""
_OPEN = ("skip", "undo")
"""Nothing is decided; `undo` takes back the reviewer's last row on the same object."""
BOX_DECISIONS = (*REAL, *UNREAL, "grade", *_OPEN)
MASK_DECISIONS = ("grade", *_OPEN)
MEANING = {
    "accept": "fused box accepted",
    "rater": "box of a rater taken",
    "draw": "box drawn",
    "real": "real, though others missed it",
    "nothing": "nothing there",
    "relabel": "another label",
    "grade": "graded",
    "skip": "skipped",
    "undo": "taken back",
}
"""Decision -> what it means, in words."""
GRADES = ("good", "usable", "bad")
"""Grades of a mask, or of a fused box as it was shown, the best first."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_NAME = re.compile(r"[^\W_][\w .@+-]{0,79}")


class BadRow(ValueError):  # noqa: N818 - says what the row is
    """A row that breaks a rule; the message names the column, the value, the rule and a remedy."""


def parse_row(cells: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row, checked.

    Parameters
    ----------
    cells : mapping of str to str
        Column -> cell. Columns that are not there are empty.

    Returns
    -------
    dict of str to object
        A value for each column of the table ``decisions``.

    Raises
    ------
    BadRow
        If it breaks a rule.
    """
    text = {name: cells.get(name, "").strip() for name in COLUMNS}
    for name, value in text.items():
        if _CONTROL.search(value):
            raise _bad(name, value, "must be one line of text", remedy="Remove the line break")
    for name in ("case", "label"):
        if not text[name]:
            raise _bad(name, "", "must not be empty", remedy=f"Write the {name}")
    if not _NAME.fullmatch(text["reviewer"]):
        raise _bad(
            "reviewer",
            text["reviewer"],
            "must be a name of at most 80 letters, digits, spaces and ._@+-, the first a "
            "letter or a digit",
            remedy="Write who decided",
        )
    row: dict[str, Any] = {**text}
    row["unit"] = _one_of("unit", text["unit"], ("box", "mask"))
    allowed = BOX_DECISIONS if text["unit"] == "box" else MASK_DECISIONS
    row["decision"] = _one_of("decision", text["decision"], allowed)
    row |= {name: _number(name, text[name]) for name in (*BOX, "dice", "seconds", "object")}
    row["time"] = _moment(text["time"])
    row["slice"] = int(_whole("slice", text["slice"], _number("slice", text["slice"])))
    _check(row, text)
    return row


def _check(row: dict[str, Any], text: dict[str, str]) -> None:
    box = [row[edge] for edge in BOX]
    known = [not math.isnan(edge) for edge in box]
    shown = ", ".join(text[edge] for edge in BOX)
    if any(known) and not (all(known) and box[0] < box[2] and box[1] < box[3]):
        rule = "must have x0 < x1 and y0 < y1, or be empty"
        raise _bad("x0, y0, x1, y1", shown, rule, remedy="Write all four edges in px")
    if row["decision"] in REAL and not all(known):
        rule = f"must be given where the decision is '{row['decision']}'"
        raise _bad("x0, y0, x1, y1", shown, rule, remedy="Write the true box in px")
    if row["decision"] == "rater" and not row["rater"]:
        raise _bad("rater", "", "must say whose box was taken", remedy="Write the rater")
    if not math.isnan(row["object"]):
        _whole("object", text["object"], row["object"])
    if not math.isnan(row["dice"]) and not 0 <= row["dice"] <= 1:
        raise _bad("dice", text["dice"], "must be 0 to 1", remedy="Write it as a share")
    if not math.isnan(row["seconds"]) and row["seconds"] < 0:
        raise _bad("seconds", text["seconds"], "must be 0 or more", remedy="Leave it empty")
    if row["decision"] == "grade":
        _one_of("grade", row["grade"], GRADES)
    elif row["grade"]:
        rule = "is for the decision 'grade' only"
        raise _bad("grade", row["grade"], rule, remedy="Leave it empty")


def _bad(name: str, value: str, rule: str, *, remedy: str) -> BadRow:
    return BadRow(f"'{name}' {rule}; got '{value[:80]}'. {remedy}.")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise _bad(name, value, f"must be {' or '.join(allowed)}", remedy="Write one of these")
    return value


def _number(name: str, value: str) -> float:
    try:
        number = float(value) if value else math.nan
    except ValueError:
        number = math.inf
    if math.isinf(number):
        raise _bad(name, value, "must be a number or empty", remedy="Use a point: 1.5")
    return number


def _whole(name: str, value: str, number: float) -> float:
    if not (number >= 0 and number == math.floor(number) and number < 2**53):
        raise _bad(name, value, "must be a whole number from 0", remedy="Count from 0")
    return number


def _moment(value: str) -> float:
    """Seconds since 1970 of a time in ISO 8601, or of such a number; nan of an empty cell."""
    try:
        return _number("time", value)
    except BadRow:
        pass
    try:
        when = datetime.fromisoformat(value)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        rule = "must be like 2026-01-31T12:00:00Z, or seconds since 1970"
        raise _bad("time", value, rule, remedy="Leave it empty where it is not known") from error


def to_cells(row: Mapping[str, Any]) -> list[str]:
    """Inverse of `parse_row`: the cells of all columns in order.

    Raises
    ------
    BadRow
        If the row breaks a rule.
    """
    cells = [_cell(name, row.get(name)) for name in COLUMNS]
    parse_row(dict(zip(COLUMNS, cells, strict=True)))
    return cells


def _cell(name: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if name == "time" and isinstance(value, float):
        moment = datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds")
        return moment.replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)
