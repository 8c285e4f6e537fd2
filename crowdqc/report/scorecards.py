"""What scorecards hold beyond the table of all raters: adjusted, drift, gold standard, edges."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from crowdqc.findings import from_cell
from crowdqc.report.columns import added, column
from crowdqc.report.content import Interval, Table, TableColumn
from crowdqc.report.text import number, readable

MAX_ROWS = 500
EDGES = ("x0", "y0", "x1", "y1")

FURTHER = (
    "n_compared", "adjusted", "reliability", "gold_f1", "gold_iou", "gold_places", "drift",
    "spread",
    *(f"bias_{edge}" for edge in EDGES), "weight", "faults",
)  # fmt: skip
"""Columns of the second table, those that hold something; measures of other packages follow."""


def further(table: pd.DataFrame) -> Table:
    """The second table of scorecards: what is known beyond the first."""
    names = [name for name in (*FURTHER, *added("raters", table)) if _known(table, name)]
    headings = tuple(
        column("raters", name, kind="interval" if f"{name}_low" in table.columns else None)
        for name in names
    )
    rows = [
        (row.rater, *(_value(row, heading) for heading in headings))
        for row in table.head(MAX_ROWS).itertuples(index=False)
    ]
    return Table(
        "raters_further",
        "More of each rater: adjusted for the cases, gold standard, drift, edges, faults",
        (column("raters", "rater"), *headings),
        tuple(rows) if headings else (),
        n_left_out=max(len(table) - MAX_ROWS, 0),
        search=len(rows) > 8,
    )


def edge_biases(table: pd.DataFrame) -> pd.DataFrame:
    """Displacement of each edge in px; that of the whole box where edges are not known."""
    shifts = [table[f"shift_{edge[0]}"] for edge in EDGES]
    return pd.DataFrame(
        {
            edge: table.get(f"bias_{edge}", shift).astype(float)
            for edge, shift in zip(EDGES, shifts, strict=True)
        }
    )


def faults_of(row: Any) -> tuple[str, ...]:
    """Names of the faults of a scorecard, as words: ``rater-drifts`` is "drifts"."""
    return tuple(readable(name.removeprefix("rater-")) for name in from_cell(row.faults))


def further_sentences(row: Any) -> tuple[str, ...]:
    """What a card says beyond shift, size, misses and additions."""
    texts = []
    drift, gold = (float(getattr(row, name, math.nan)) for name in ("drift", "gold_f1"))
    if "rater-drifts" in from_cell(row.faults):
        word = "better" if drift > 0 else "worse"
        texts.append(f"Boxes get {word} on the way: IoU {number(abs(drift))} from first to last.")
    if not math.isnan(gold):
        texts.append(f"F1 against the gold standard: {number(gold)}.")
    return tuple(texts)


def _known(table: pd.DataFrame, name: str) -> bool:
    if name not in table.columns:
        return False
    values = table[name]
    return bool((values.notna() & (values != "")).any())


def _value(row: Any, heading: TableColumn) -> object:
    value = getattr(row, heading.name)
    if heading.kind == "interval":
        low, high = (getattr(row, f"{heading.name}_{end}", math.nan) for end in ("low", "high"))
        return Interval(value, low, high)
    return ", ".join(faults_of(row)) if heading.name == "faults" else value
