"""Tables on a terminal, in 80 columns; or as JSON or CSV for other programs."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import click
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crowdqc.csv_files import to_csv
from crowdqc.findings import Finding
from crowdqc.judge.text import message
from crowdqc.text import for_spreadsheets, visible, visible_json

COLOURS = {
    **dict.fromkeys(["accept", "complete", "agreed"], "green"),
    **dict.fromkeys(["review", "partial"], "yellow"),
    **dict.fromkeys(["reject", "missing", "unread"], "red"),
}

WORD = 24
"""Names up to so many letters are never broken."""


def write_out(frame: pd.DataFrame, style: str) -> None:
    """Write a whole table on stdout.

    Parameters
    ----------
    frame : DataFrame
    style : {"json", "csv", "spreadsheet"}
        In JSON nan is null; a spreadsheet is CSV without formulas, see `crowdqc.text`. Into a
        file or a pipe all cells go as they are.
    """
    if style == "json":
        click.echo(visible_json(json.dumps(_records(frame), indent=1, ensure_ascii=False)))
        return
    text = to_csv(for_spreadsheets(frame) if style == "spreadsheet" else frame)
    click.echo(visible(text) if sys.stdout.isatty() else text, nl=False)


def finding_line(finding: Finding) -> str:
    """A finding on one line: how grave it is, where, and what."""
    return f"{finding.severity.value}: {message(finding)}"


def print_table(frame: pd.DataFrame, title: str) -> None:
    """Print a table for people on stdout; an empty one is a line that says so.

    Parameters
    ----------
    frame : DataFrame
        Its text may hold what a user wrote.
    title : str
        Line above it.
    """
    if frame.empty:
        click.echo(visible(f"{title}: none."))
        return
    table = Table(
        box=SIMPLE_HEAD, title=Text(visible(title)), title_justify="left", title_style="bold"
    )
    for name in frame.columns:
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        cells = [_cell(value).plain for value in frame[name]]
        table.add_column(
            Text(_heading(visible(str(name)), max(map(len, cells)))),
            justify="right" if numeric else "left",
            overflow="fold",
            min_width=_longest_word(cells),
            no_wrap=numeric or all(_is_word(text) for text in cells),
        )
    for row in frame.itertuples(index=False):
        table.add_row(*[_cell(value) for value in row])
    Console(highlight=False).print(table)


def _is_word(text: str) -> bool:
    """Whether a cell is a name that would be hard to read in two parts, and is short."""
    return len(text) <= WORD and " " not in text


def _longest_word(cells: list[str]) -> int:
    """Letters that a column needs so that no short word in it is broken."""
    return max((len(w) for text in cells for w in text.split() if len(w) <= WORD), default=0)


def _heading(name: str, width: int) -> str:
    """A name of a column as words, one below the other where they are wider than the cells."""
    words = name.replace("_", " ")
    return words if len(words) <= width else words.replace(" ", "\n")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if _missing(value) else value for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _cell(value: object) -> Text:
    """A value as people read it: three digits behind the point, a dash where it is missing."""
    if _missing(value):
        return Text("-")
    if isinstance(value, float):
        return Text(f"{value:.3f}".rstrip("0").rstrip("."))
    return Text(visible(str(value)), style=COLOURS.get(str(value), ""))
