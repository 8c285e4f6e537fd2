"""How columns and measures are headed: from what is declared of them, so that new ones show up."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from crowdqc.report.content import Kind, TableColumn
from crowdqc.schema import IF_READ, MEASURES, TABLES, Column, column_of

NAMES = {"case", "label", "rater", "other", "task"}
"""Columns of names."""
KINDS: dict[str, Kind] = {"state": "state", "verdict": "verdict"}
SIGNED = ("shift_", "bias_")
"""How columns of displacements begin: their numbers have a sign."""
DIGITS = {"px": 1, "mm": 1}


def column(table: str, name: str, *, kind: Kind | None = None, title: str = "") -> TableColumn:
    """The heading of a column, with its unit.

    Parameters
    ----------
    table : str
        One of `crowdqc.schema.TABLES`.
    name : str
        Of its column, or of a measure that a check of another package added.
    kind : str, optional
        How cells are written; as the declared type asks if `None`.
    title : str
        As declared if empty; the unit is then added.
    """
    declared = column_of(table, name)
    unit = f", {declared.unit}" if declared.unit in DIGITS else ""
    heading = title or f"{declared.title}{unit}"
    digits = DIGITS.get(declared.unit, 2)
    return TableColumn(name, heading, kind or _kind(declared), digits, declared.about)


def columns(table: str, names: Iterable[str]) -> tuple[TableColumn, ...]:
    """Headings of some columns of a table.

    Parameters
    ----------
    table : str
        As of `column`.
    names : iterable of str
        In the order in which they are shown.
    """
    return tuple(column(table, name) for name in names)


def _kind(declared: Column) -> Kind:
    if declared.name in NAMES:
        return "name"
    if declared.name in KINDS:
        return KINDS[declared.name]
    if declared.kind == "int":
        return "count"
    if declared.name.startswith(SIGNED):
        return "px"
    if declared.kind == "text":
        return "text"
    return "percent" if declared.unit == "share" else "number"


def measure_title(measure: str) -> str:
    """What people call a measure of the table `measurements`."""
    known = measure.removesuffix(IF_READ)
    title = MEASURES[known].title if known in MEASURES else known.replace("_", " ").capitalize()
    return title if known == measure else f"{title}, opened taken as read"


def measure_about(measure: str) -> str:
    """What a measure says; "" where that is not declared."""
    known = MEASURES.get(measure.removesuffix(IF_READ))
    return "" if known is None else known.about


def measure_group(measure: str) -> str:
    """The table of the report that shows a measure by organ; "" for a further one."""
    if measure.endswith(IF_READ):
        return "if_read"
    return MEASURES[measure].group if measure in MEASURES else ""


def legend(measures: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Title and meaning of the measures of which the meaning is declared."""
    known = ((measure_title(name), measure_about(name)) for name in measures)
    return tuple((title, about) for title, about in known if about)


def added(table: str, frame: pd.DataFrame) -> list[str]:
    """Columns of a frame that no table declares: measures of other packages' checks.

    Parameters
    ----------
    table : str
        One of `crowdqc.schema.TABLES`.
    frame : DataFrame
        What was read of it.
    """
    declared = {column.name for column in TABLES[table]}
    return [name for name in frame.columns if name not in declared and not name.startswith("_")]
