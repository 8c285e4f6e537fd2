"""Tables on a terminal, in 80 columns; or as JSON or CSV for other programs."""

from __future__ import annotations

import json
import math
from typing import Any

import click
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

VERDICT_COLOURS = {
    "accept": "green",
    "pass": "green",
    "complete": "green",
    "agreed": "green",
    "review": "yellow",
    "watch": "yellow",
    "partial": "yellow",
    "reject": "red",
    "fail": "red",
    "missing": "red",
    "unread": "red",
}


def show(
    frame: pd.DataFrame, style: str, *, title: str = "", columns: list[str] | None = None
) -> None:
    """Write `frame` on stdout.

    Parameters
    ----------
    frame : DataFrame
        The result.
    style : {"table", "json", "csv"}
        ``"table"`` shows `columns` only; the others write everything.
    title : str
        Line above the table.
    columns : list of str, optional
        Columns for people; all where it is not given.
    """
    if style == "csv":
        click.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
    elif style == "json":
        click.echo(json.dumps(_records(frame), indent=1, ensure_ascii=False))
    else:
        _print(frame[columns] if columns else frame, title)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; what is missing is `None`, since JSON has no nan."""
    return [
        {name: None if _missing(value) else value for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def _missing(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _print(frame: pd.DataFrame, title: str) -> None:
    console = Console(highlight=False, soft_wrap=False)
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for name in frame.columns:
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(
            name.replace("_", " "), justify="right" if numeric else "left", overflow="fold"
        )
    for row in frame.itertuples(index=False):
        table.add_row(*[_cell(value) for value in row])
    console.print(table)


def _cell(value: object) -> Text:
    """A value as people read it: three digits behind the point, a dash where it is missing."""
    if isinstance(value, float):
        text = "-" if math.isnan(value) else f"{value:.3f}".rstrip("0").rstrip(".")
        return Text(text)
    return Text(str(value), style=VERDICT_COLOURS.get(str(value), ""))
