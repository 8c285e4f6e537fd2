"""Agreement: the study as a whole, by organ, by case, and between every two raters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crowdqc.report.columns import column, legend, measure_about, measure_group, measure_title
from crowdqc.report.content import Interval, ReportSection, Table, TableColumn
from crowdqc.report.grras import grras_table
from crowdqc.report.results import Results
from crowdqc.report.text import number

ENDS = ("first_slice_error", "last_slice_error")
"""Measures of lengths, which would squeeze the others on a common scale."""
MAX_MATRIX = 24
"""Raters up to which the matrix is a table with numbers; beyond it is a chart."""
MAX_HEATMAP = 250
"""Raters up to which there is a matrix at all."""
MAX_ROWS = 50


@dataclass(frozen=True)
class Matrix:
    """One measure between all pairs of raters; nan where two never met."""

    measure: str
    title: str
    meaning: str
    raters: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[int, ...], ...]
    low: float
    high: float


@dataclass(frozen=True)
class Scatter:
    """One number per case and organ."""

    title: str
    labels: tuple[str, ...]
    cases: tuple[tuple[str, ...], ...]
    values: tuple[tuple[float, ...], ...]


def pairs_section(results: Results) -> ReportSection:
    """The section with the matrix of rater pairs."""
    if not results.has("measurements"):
        return ReportSection("pairs", "Pairs of raters", missing="agree")
    table = _pair_rows(results)
    met = table[table["value"].notna()]
    matrices = tuple(
        matrix
        for name in met["measure"].unique()
        if len((matrix := _matrix(results, table[table["measure"] == name])).raters) <= MAX_HEATMAP
    )
    return ReportSection(
        "pairs",
        "Pairs of raters",
        lead=_pairs_lead(met),
        tables=(_pairs_table(met),) if len(met) else (),
        view=matrices,
    )


def _pair_rows(results: Results) -> pd.DataFrame:
    """Measurements between two raters over the whole study."""
    table = results.table("measurements")
    if "other" not in table.columns:
        table = table.assign(other="")
    table = table.assign(other=table["other"].fillna("").astype(str))
    whole = (table["case"] == "") & (table["label"] == "")
    return table[whole & (table["rater"] != "") & (table["other"] != "")]


def _pairs_lead(met: pd.DataFrame) -> tuple[str, ...]:
    if not len(met):
        return ("No two raters read the same slice, so no two can be compared.",)
    first = met[met["measure"] == met["measure"].iloc[0]]
    low, high = first.loc[first["value"].idxmin()], first.loc[first["value"].idxmax()]
    name = measure_title(first["measure"].iloc[0])
    text = (
        f"{name}: lowest between {low.rater} and {low.other} ({number(low.value)}), highest "
        f"between {high.rater} and {high.other} ({number(high.value)})."
    )
    return (text,)


def _pairs_table(met: pd.DataFrame) -> Table:
    rows = met.drop_duplicates(["measure", "rater", "other"])
    rows = rows.sort_values("value", kind="stable")
    headings = _headings("measure", "rater", "other", "value", "n")
    return Table(
        "pairs",
        "Every pair of raters, the lowest first",
        headings,
        tuple(
            (measure_title(r.measure), r.rater, r.other, Interval(r.value, r.low, r.high), r.n)
            for r in rows.head(MAX_ROWS).itertuples(index=False)
        ),
        n_left_out=max(len(rows) - MAX_ROWS, 0),
        search=True,
        notes=legend(rows["measure"].unique()),
    )


def _headings(*names: str) -> tuple[TableColumn, ...]:
    """Headings of columns of the table `measurements`; its values have intervals."""
    return tuple(
        column("measurements", name, kind="interval" if name == "value" else None) for name in names
    )


def _matrix(results: Results, table: pd.DataFrame) -> Matrix:
    present = set(table["rater"]) | set(table["other"])
    raters = [name for name in results.raters if name in present]
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for row in table.itertuples(index=False):
        found[row.rater, row.other] = found[row.other, row.rater] = (row.value, row.n)
    nothing = (math.nan, 0)
    known = table["value"].dropna()
    measure = table["measure"].iloc[0]
    return Matrix(
        measure=measure,
        title=measure_title(measure),
        meaning=measure_about(measure),
        raters=tuple(raters),
        values=tuple(tuple(found.get((a, b), nothing)[0] for b in raters) for a in raters),
        counts=tuple(tuple(found.get((a, b), nothing)[1] for b in raters) for a in raters),
        low=float(known.min()) if len(known) else 0.0,
        high=float(known.max()) if len(known) else 1.0,
    )


def agreement_section(results: Results) -> ReportSection:
    """The section on agreement by organ and by case."""
    if not results.has("measurements"):
        return ReportSection("agreement", "Agreement", missing="agree")
    table = results.table("measurements")
    other = table["other"].fillna("") == "" if "other" in table.columns else True
    table = table[(table["rater"] == "") & table["slice"].isna() & other]
    if len(results.labels) == 1:  # what is pooled over labels is the same again
        table = table[(table["case"] == "") | (table["label"] != "")]
    lengths = table["measure"].isin(ENDS)
    ends, table = table[lengths & (table["case"] == "")], table[~lengths]
    whole = table[(table["case"] == "") & (table["label"] == "")]
    organ = table[(table["case"] == "") & (table["label"] != "")]
    cases = table[table["case"] != ""]
    tables = [
        _whole_table(whole),
        *_organ_tables(results, organ),
        _ends_table(results, ends),
        _case_table(cases),
    ]
    if not table["value"].notna().any():
        tables = []
    return ReportSection(
        "agreement",
        "Agreement",
        lead=_lead(whole, results.level),
        tables=(*(table for table in tables if table.rows), grras_table(results)),
        view=_scatter(results, cases),
    )


def _lead(whole: pd.DataFrame, level: float | None) -> tuple[str, ...]:
    known = whole[whole["value"].notna()]
    if not len(known):
        why = next((text for text in whole["why"] if text), "nothing was measured")
        return (f"Agreement cannot be measured in this study: {why}.",)
    first = known.iloc[0]
    text = f"{measure_title(first.measure)} over the whole study: {number(first.value)}"
    if not math.isnan(first.low):
        text += f" ({interval_name(level)} {number(first.low)} to {number(first.high)})"
    return (f"{text}.",)


def _whole_table(whole: pd.DataFrame) -> Table:
    headings = _headings("measure", "value", "n", "why")
    rows = tuple(
        (measure_title(r.measure), Interval(r.value, r.low, r.high), r.n, r.why)
        for r in whole.itertuples(index=False)
    )
    notes = legend(whole["measure"])
    return Table("agreement", "The whole study", headings, rows, notes=notes)


GROUPS = {
    "boxes": ("agreement_by_label", "By organ: boxes"),
    "presence": ("agreement_presence", "By organ: is the organ on the slice?"),
    "if_read": (
        "agreement_if_read",
        "By organ, with slices that were only opened taken as read and empty",
    ),
    "icc": ("agreement_icc", "By organ: intraclass correlation (ICC) of each edge, one rater"),
    "icc_mean": ("agreement_icc_mean", "By organ: ICC of each edge, mean of all raters"),
    "edges": ("agreement_edges", "By organ: Krippendorff's alpha of each edge"),
    "": ("agreement_other", "By organ: further measures"),
}
"""Group of measures -> table by organ and its caption: few enough for the width of a page."""


def _organ_tables(results: Results, organ: pd.DataFrame) -> list[Table]:
    """One row for each organ, one column for each measure, in tables that fit a page."""
    groups = organ["measure"].map(measure_group)
    return [
        Table(name, caption, *_by_organ(results, organ[groups == group]))
        for group, (name, caption) in GROUPS.items()
    ]


def _ends_table(results: Results, ends: pd.DataFrame) -> Table:
    """How far raters are from one another on where an organ begins and ends."""
    unit = ends["unit"].iloc[0] if len(ends) else ""
    caption = f"Where organs begin and end: distance from the median of the others, {unit}"
    return Table("agreement_ends", caption, *_by_organ(results, ends))


def _by_organ(
    results: Results, organ: pd.DataFrame
) -> tuple[tuple[TableColumn, ...], tuple[tuple[Any, ...], ...]]:
    measures = list(dict.fromkeys(organ["measure"]))
    found = {
        (row.label, row.measure): Interval(row.value, row.low, row.high)
        for row in organ.itertuples(index=False)
    }
    nothing = Interval(math.nan, math.nan, math.nan)
    labels = [name for name in (*results.labels, "") if name in set(organ["label"])]
    columns = (
        TableColumn("label", "Organ", "name"),
        *(
            TableColumn(name, measure_title(name), "interval", note=measure_about(name))
            for name in measures
        ),
    )
    rows = tuple(
        (label or "all", *(found.get((label, m), nothing) for m in measures)) for label in labels
    )
    return columns, rows


def _case_table(cases: pd.DataFrame) -> Table:
    known = cases[cases["value"].notna()]
    if len(known):
        known = known[known["measure"] == known["measure"].iloc[0]]
    known = known.sort_values("value", kind="stable")
    measure = known["measure"].iloc[0] if len(known) else "value"
    columns = (
        TableColumn("case", "Case", "name"),
        TableColumn("label", "Organ", "name"),
        TableColumn("value", measure_title(measure), "interval", note=measure_about(measure)),
        TableColumn("n", "n", "count", note="Boxes and misses that it was measured on"),
    )
    rows = tuple(
        (r.case, r.label or "all", Interval(r.value, r.low, r.high), r.n)
        for r in known.head(MAX_ROWS).itertuples(index=False)
    )
    return Table(
        "agreement_by_case",
        "By case, the lowest first",
        columns,
        rows,
        n_left_out=max(len(known) - MAX_ROWS, 0),
        search=True,
    )


def _scatter(results: Results, cases: pd.DataFrame) -> Scatter | None:
    """Points of the first measure that is known by case and organ."""
    known = cases[cases["value"].notna()]
    if not len(known):
        return None
    measure = known["measure"].iloc[0]
    known = known[known["measure"] == measure]
    groups = results.by_label(known, "")
    return Scatter(
        title=measure_title(measure),
        labels=tuple(label or "all organs" for label in groups),
        cases=tuple(tuple(group["case"]) for group in groups.values()),
        values=tuple(tuple(float(v) for v in group["value"]) for group in groups.values()),
    )


def interval_name(level: float | None) -> str:
    """What an interval is called; its level is known where the study file is.

    Examples
    --------
    >>> interval_name(0.95), interval_name(None)
    ('95 % interval', 'interval')
    """
    return "interval" if level is None else f"{100 * level:g} % interval"
