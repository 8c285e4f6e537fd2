"""What scorecards hold beyond the table of all raters: adjusted, drift, gold standard, edges."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from crowdqc.findings import from_cell
from crowdqc.report.content import Interval, Table, TableColumn
from crowdqc.report.text import number, readable

MAX_ROWS = 500
EDGES = ("x0", "y0", "x1", "y1")

COLUMNS = (
    TableColumn(
        "adjusted",
        "Adjusted agreement",
        "interval",
        note="Agreement as it would be on an average case: some raters get harder ones",
    ),
    TableColumn(
        "gold_f1", "F1, gold standard", "interval", note="F1 at IoU 0.5 against the gold boxes"
    ),
    TableColumn(
        "gold_iou", "IoU, gold standard", "number", note="Mean IoU with the gold boxes hit"
    ),
    TableColumn(
        "reliability", "Reliability", "interval", note="Best estimate of F1 against the truth"
    ),
    TableColumn(
        "drift",
        "Drift",
        "number",
        note="Change of IoU, less that of the others, from the rater's first slice to the last",
    ),
    TableColumn(
        "spread", "Scatter, px", "number", 1, note="Scatter of edges round their own mean, px"
    ),
    TableColumn(
        "bias_x0", "Left", "px", 1, note="Mean displacement of the left edge, px rightwards"
    ),
    TableColumn("bias_y0", "Upper", "px", 1, note="Mean displacement of the upper edge, px down"),
    TableColumn(
        "bias_x1", "Right", "px", 1, note="Mean displacement of the right edge, px rightwards"
    ),
    TableColumn("bias_y1", "Lower", "px", 1, note="Mean displacement of the lower edge, px down"),
    TableColumn(
        "weight", "Weight", "number", note="Share that fusion gives the rater, 1 is the most"
    ),
    TableColumn("faults", "Faults", "text"),
)
"""Columns of `further`; one that is not in the scorecards, or holds nothing, is left out."""


def with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Scorecards whose further columns are numbers, which the schema does not type."""
    names = [f"{column.name}{end}" for column in COLUMNS for end in ("", "_low", "_high")]
    present = [name for name in names if name in table.columns and name != "faults"]
    return table.assign(**{n: pd.to_numeric(table[n], errors="coerce") for n in present})


def further(table: pd.DataFrame) -> Table:
    """The second table of scorecards: what is known beyond the first."""
    columns = [column for column in COLUMNS if _known(table, column.name)]
    rows = [
        (row.rater, *(_value(row, column) for column in columns))
        for row in table.head(MAX_ROWS).itertuples(index=False)
    ]
    return Table(
        "raters_further",
        "More of each rater: adjusted for the cases, gold standard, drift, edges, faults",
        (TableColumn("rater", "Rater", "name"), *columns),
        tuple(rows) if columns else (),
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
    said = []
    drift, gold = (float(getattr(row, name, math.nan)) for name in ("drift", "gold_f1"))
    if "drifts" in faults_of(row):
        word = "better" if drift > 0 else "worse"
        said.append(f"Boxes get {word} on the way: IoU {number(abs(drift))} from first to last.")
    if not math.isnan(gold):
        said.append(f"F1 against the gold standard: {number(gold)}.")
    return tuple(said)


def _known(table: pd.DataFrame, name: str) -> bool:
    if name not in table.columns:
        return False
    values = table[name]
    return bool((values.notna() & (values != "")).any())


def _value(row: Any, column: TableColumn) -> object:
    value = getattr(row, column.name)
    if column.kind == "interval":
        low, high = (getattr(row, f"{column.name}_{end}", math.nan) for end in ("low", "high"))
        return Interval(value, low, high)
    return ", ".join(faults_of(row)) if column.name == "faults" else value
