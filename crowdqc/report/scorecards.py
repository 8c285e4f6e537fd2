"""What scorecards hold beyond the table of all raters: adjusted, drift, gold standard, edges."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from crowdqc.report.content import Interval, Table, TableColumn
from crowdqc.report.text import number, readable

MAX_ROWS = 500
_RULE = re.compile(
    r"(?P<label>[^:]+: )??(?P<asked>\S+ \S+ (?:[<>]=?|[!=]=) \S+): (?P<because>.*)", re.DOTALL
)
"""What a rule of the policy says: measure, value, operator and limit; and its reason."""
_UNKNOWN = re.compile(r"(?P<label>[^:]+: )??(?P<asked>\S+ is not known), so it could not be judged")
"""What a rule says whose measure is not known."""
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


def told(reasons: str) -> tuple[str, ...]:
    """Reasons of a verdict for people: what the rater does first, then the rules that it broke.

    Examples
    --------
    >>> told("best 0.35 < 0.6: agreement is close to IoU 0.5; scatters edges by 28%")
    ('scatters edges by 28%', 'agreement is close to IoU 0.5 (best 0.35 < 0.6)')
    """
    parts = [part for part in reasons.split("; ") if part]
    rules = [part for part in parts if _RULE.fullmatch(part) or _UNKNOWN.fullmatch(part)]
    return (*(part for part in parts if part not in rules), *map(reworded, rules))


def reworded(reason: str, *, bare: bool = False) -> str:
    """A reason of the gate with the words of the rule before its numbers, or without these.

    Examples
    --------
    >>> reworded("liver: n_gaps 5 > 0: a slice has no box"), reworded("2 masks rejected")
    ('liver: a slice has no box (n_gaps 5 > 0)', '2 masks rejected')
    >>> reworded("best is not known, so it could not be judged")
    'not enough is known to judge (best is not known)'
    """
    unknown = _UNKNOWN.fullmatch(reason)
    if unknown:
        text = f"{unknown['label'] or ''}not enough is known to judge"
        return text if bare else f"{text} ({unknown['asked']})"
    rule = _RULE.fullmatch(reason)
    if rule is None:
        return reason
    text = f"{rule['label'] or ''}{rule['because']}"
    return text if bare else f"{text} ({rule['asked']})"


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
    named = getattr(row, "faults", "")
    text = named if isinstance(named, str) else ""
    return tuple(readable(name.removeprefix("rater-")) for name in text.split())


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
