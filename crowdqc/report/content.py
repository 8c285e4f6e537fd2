"""What a report says, apart from how it looks: sections, each of sentences and tables.

HTML, and any other form, is made from these records alone. A section whose stage has not been
run has no tables but names the command that makes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "text", "name", "verdict", "severity", "state", "count", "number", "px", "percent",
    "interval", "p", "hash", "reasons",
]  # fmt: skip
"""How a column is written: decides digits, alignment and marks, never the order of rows."""


PAGE = 100
"""Rows of a paged table that are in the page from the start; the rest is data."""


class Interval(NamedTuple):
    """A number with the interval round it; nan where either is not known."""

    value: float
    low: float
    high: float


class Link(NamedTuple):
    """A text that leads to a place of the page; with an empty target it is only a heading."""

    text: str
    target: str


@dataclass(frozen=True)
class TableColumn:
    """A column of a table: a name for programs, a title and an explanation for people."""

    name: str
    title: str
    kind: Kind = "text"
    digits: int = 2
    note: str = ""

    @property
    def numeric(self) -> bool:
        """Whether values are numbers, set flush right."""
        return self.kind in {"count", "number", "px", "percent", "p"}


@dataclass(frozen=True)
class Table:
    """Rows of plain values (text, numbers, `Interval`, `Link`), in the order to show them.

    A column of kind ``reasons`` holds tuples of texts.
    """

    name: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Any, ...], ...]
    n_left_out: int = 0
    """Rows of the same kind that are not here, because there are too many."""
    search: bool = False
    """Whether people will want to look for a row."""
    paged: bool = False
    """Whether there are so many rows that a page should show them in parts."""
    choose: str = ""
    """Name of a column by whose values rows are chosen."""
    notes: tuple[tuple[str, str], ...] = ()
    """What words in the rows mean: word, meaning."""

    @property
    def narrow(self) -> bool:
        """Whether all columns are short, so that the table need not fill the page."""
        return len(self.columns) < 6 and all(
            column.numeric or column.kind in {"name", "state"} for column in self.columns
        )

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        """What columns and words in the rows mean: title, meaning."""
        columns = tuple((column.title, column.note) for column in self.columns if column.note)
        return (*columns, *self.notes)

    def choices(self) -> list[str]:
        """Values of the column `choose`, in the order of their first row."""
        names = [column.name for column in self.columns]
        if self.choose not in names:
            return []
        place = names.index(self.choose)
        return list(dict.fromkeys(str(row[place]) for row in self.rows))

    def records(self) -> Iterator[dict[str, object]]:
        """Rows as flat records: an interval becomes three fields, nan becomes `None`."""
        for row in self.rows:
            record: dict[str, object] = {}
            for column, value in zip(self.columns, row, strict=True):
                record |= _flat(column.name, value)
            yield record


def _flat(name: str, value: object) -> dict[str, object]:
    if isinstance(value, Interval):
        parts = zip(("", "_low", "_high"), value, strict=True)
        return {f"{name}{end}": _known(part) for end, part in parts}
    if isinstance(value, Link):
        return {name: value.text}
    if isinstance(value, tuple):
        return {name: "; ".join(value)}
    return {name: _known(value)}


def _known(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class ReportSection:
    """One section of the report.

    Parameters
    ----------
    key, title : str
        Anchor and heading.
    lead : tuple of str
        What it says, in sentences, the most important first.
    tables : tuple of Table
        Its numbers.
    missing : str
        The stage that makes what the section shows, where that was not run.
    remedy : str
        What to do before that command, where it cannot work yet.
    status : {"accept", "review", "reject", ""}
        What its worst entry asks for.
    view : object
        What only the HTML needs: drawings, pictures, data for charts.
    notice : str
        Why what it shows should not be relied on as it is.
    """

    key: str
    title: str
    lead: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: str = ""
    remedy: str = ""
    status: str = ""
    view: Any = None
    notice: str = ""


@dataclass(frozen=True)
class Step:
    """Something to do next: what, why, and the section that shows it."""

    what: str
    why: str
    section: str
    status: str = "review"
    place: str = ""
    """Where on the page it is, if not at the top of the section."""


@dataclass(frozen=True)
class Fact:
    """A key figure at the top: a number, of how many, what it counts, and how good that is."""

    title: str
    value: str
    note: str
    section: str
    status: str = ""
    whole: str = ""


@dataclass(frozen=True)
class ReportContent:
    """A whole report."""

    study: str
    version: str
    verdict: str
    """``accept``, ``review``, ``reject``, or "" where the gate was not run."""
    headline: str
    lead: str
    steps: tuple[Step, ...]
    facts: tuple[Fact, ...]
    sections: tuple[ReportSection, ...] = field(default=())
    notices: tuple[str, ...] = ()
    """Why results should not be relied on as they are: out of date, or of unknown origin."""

    def section(self, key: str) -> ReportSection:
        """The section of this key."""
        return next(section for section in self.sections if section.key == key)
