"""From the content of a report to one HTML file.

Every text is escaped where it enters the page (jinja2's autoescape; JSON without a ``<``), and a
content security policy that knows the hashes of our own scripts lets no other one run and
nothing be loaded.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.resources
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import jinja2

from crowdqc.catalogue import STAGES
from crowdqc.report import text
from crowdqc.report.agreement import MAX_MATRIX
from crowdqc.report.completeness import MAX_LANES, CompletenessView
from crowdqc.report.content import (
    PAGE,
    Interval,
    Link,
    ReportContent,
    ReportSection,
    Table,
    TableColumn,
)
from crowdqc.report.figures import figures, viridis
from crowdqc.report.svg import REFERENCE
from crowdqc.text import plural

LANE_PX = 14
"""Height of a rater's lane of a strip on the page, so that the name fits beside it."""
PILLS = ("verdict", "state", "severity")
"""Kinds of columns whose words stand in a coloured mark."""
_STATUS = {
    "reject": "reject", "missing": "reject",
    "review": "review", "partial": "review", "no consensus": "review",
    "note": "", "unread": "", "single": "", "not judged": "",
    "accept": "accept", "complete": "accept", "agreed": "accept", "absent": "accept",
}  # fmt: skip
"""Word of a verdict, a severity or a state -> status that gives its colour; the worst first."""
_RANKS = {word: place for place, word in enumerate(_STATUS)}


def render(content: ReportContent, *, charts: bool = True) -> str:
    """One self-contained HTML page.

    Parameters
    ----------
    content : ReportContent
        From `crowdqc.report.gather`.
    charts : bool, optional
        Whether charts that one can point at are in the page. Without them it is smaller by
        5 MB, and the tables hold their numbers.

    Returns
    -------
    str
        The page. The same content gives the same page.
    """
    drawn = figures(content) if charts else {}
    content = dataclasses.replace(content, sections=tuple(map(_trimmed, content.sections)))
    script = asset("viewer.js") + asset("report.js")
    plotly = _plotly() if drawn else ""
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=content,
            style=asset("report.css"),
            script=script,
            plotly=plotly,
            policy=_policy([script, plotly] if plotly else [script]),
            data=_json(_data(content, drawn)),
            charts=drawn,
            reference=REFERENCE,
            interval_column=TableColumn("agreement", "Agreement", "interval"),
            pills=PILLS,
            page=PAGE,
            most=MAX_MATRIX,
            most_lanes=MAX_LANES,
            lane_px=LANE_PX,
            words=list(_RANKS.items()),
            stages=STAGES,
        )
    )


def _trimmed(section: ReportSection) -> ReportSection:
    """A section whose tables show only columns that hold something."""
    return dataclasses.replace(section, tables=tuple(map(_without_blanks, section.tables)))


def _without_blanks(table: Table) -> Table:
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    kept = [i for i, values in enumerate(columns) if not values or not all(map(_blank, values))]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return dataclasses.replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)


def _blank(value: object) -> bool:
    if isinstance(value, Interval):
        value = value.value
    return value in {"", ()} if isinstance(value, str | tuple) else _unknown(value)


def _unknown(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def environment() -> jinja2.Environment:
    """Where templates of this package come from, every text of which is escaped."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("crowdqc.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "cell": cell,
        "key": sort_key,
        "readable": text.readable,
        "shortened": text.shortened,
        "number": text.number,
        "status": lambda word: _STATUS.get(text.readable(word), ""),
        "bar": interval_bar,
        "plural": plural,
    }
    templates.globals |= {"viridis": viridis, "scale_of": _scale_of, "isnan": math.isnan}
    return templates


def cell(value: Any, column: TableColumn) -> str:
    """A value as its column writes it.

    Parameters
    ----------
    value : object
        Of a type that `column` can write, a `Link` or an `Interval`.
    column : TableColumn
        Says the kind and the number of decimals.
    """
    if isinstance(value, Link):
        return value.text
    if isinstance(value, Interval):
        return _interval(value, column.digits)
    if column.kind == "name" and column.name in {"label", "check"}:
        return text.readable(value)
    return _WRITERS[column.kind](value, column)


_WRITERS: dict[str, Callable[[Any, TableColumn], str]] = {
    "text": lambda value, _: str(value),
    "name": lambda value, _: str(value),
    "hash": lambda value, _: str(value),
    "reasons": lambda value, _: "; ".join(value),
    "interval": lambda value, _: str(value),
    "count": lambda value, _: text.number(float(value), 0),
    "number": lambda value, column: text.number(value, column.digits),
    "px": lambda value, column: _signed(value, column.digits),
    "percent": lambda value, _: text.percent(value),
    "p": lambda value, _: text.p_value(value),
    "state": lambda value, _: text.readable(value) or "not judged",
    "severity": lambda value, _: text.readable(value) or "not judged",
    "verdict": lambda value, _: text.readable(value) or "not judged",
}


def _interval(value: Interval, digits: int) -> str:
    written = text.number(value.value, digits)
    if math.isnan(value.low):
        return written
    return f"{written} ({text.number(value.low, digits)} to {text.number(value.high, digits)})"


def _signed(value: float, digits: int) -> str:
    written = text.number(value, digits)
    positive = math.isfinite(value) and value > 0 and float(written.replace(",", "")) != 0
    return f"+{written}" if positive else written


def sort_key(value: Any, column: TableColumn) -> str:
    """What a column is sorted by, as the page keeps it; "" sorts last.

    Parameters
    ----------
    value : object
        As of `cell`.
    column : TableColumn
        Verdicts and states are ordered from bad to good, all else by value.
    """
    if isinstance(value, Link):
        return value.text
    if isinstance(value, Interval):
        value = value.value
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    if column.kind in PILLS:
        return str(_RANKS.get(cell(value, column), len(_RANKS)))
    return str(value)


@dataclasses.dataclass(frozen=True)
class IntervalBar:
    """An interval on a scale, in percent of its width; `zero` where the scale has one."""

    left: float
    width: float
    point: float
    zero: float | None


def _scale_of(table: Table, place: int) -> tuple[float, float]:
    """Ends of the scale on which the intervals of a column are drawn."""
    values = [v for row in table.rows for v in row[place] if math.isfinite(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if table.columns[place].name == "difference":
        reach = max(abs(low), abs(high), 0.01)
        return -reach, reach
    return (min(low, 0.0), max(high, 1.0))


def interval_bar(value: Interval, scale: tuple[float, float]) -> IntervalBar | None:
    """The bar of an interval; `None` where there is no number.

    Parameters
    ----------
    value : Interval
        Its ends may be nan: the bar has then no width.
    scale : tuple of float
        Values at the left and the right end of the bar's room; unequal.

    Returns
    -------
    IntervalBar or None
        Places in percent of the room.
    """
    if math.isnan(value.value):
        return None
    low, high = scale

    def place(v: float) -> float:
        return round(100 * (min(max(v, low), high) - low) / (high - low), 1)

    point = place(value.value)
    ends = (point, point) if math.isnan(value.low) else (place(value.low), place(value.high))
    return IntervalBar(ends[0], round(ends[1] - ends[0], 1), point, place(0.0) if low < 0 else None)


def _data(content: ReportContent, charts: dict[str, Any]) -> dict[str, Any]:
    """What the scripts of the page need, each text once."""
    texts = _Texts()
    view = content.section("completeness").view
    cells = _cells(view, texts) if isinstance(view, CompletenessView) else []
    long = {
        table.name: [
            [texts.place(cell(v, c)) for v, c in zip(row, table.columns, strict=True)]
            for row in table.rows
        ]
        for table in _tables(content.sections)
        if table.paged
    }
    return {"texts": texts.all, "cells": cells, "tables": long, "charts": charts}


class _Texts:
    """Texts by number, so that one that occurs a thousand times is kept once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Number of a text."""
        if text not in self._places:
            self._places[text] = len(self.all)
            self.all.append(text)
        return self._places[text]


def _cells(view: CompletenessView, texts: _Texts) -> list[list[list[list[int]]]]:
    return [
        [[[texts.place(text) for text in detail] for detail in cell.details] for cell in row.cells]
        for row in view.rows
    ]


def _tables(sections: Iterable[ReportSection]) -> list[Table]:
    return [table for section in sections for table in section.tables]


def _json(data: Any) -> str:
    """JSON that may stand inside a script element: it holds no ``<``, ``>`` or ``&``."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def asset(name: str) -> str:
    """A file of the templates as text."""
    folder = importlib.resources.files("crowdqc.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script").replace("\r\n", "\n")


def _policy(scripts: Iterable[str]) -> str:
    """Content security policy: only these scripts run, and nothing is loaded."""
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
