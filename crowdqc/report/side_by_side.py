"""Two folders of results side by side: two studies, or one study on two dates.

Every difference is this minus the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from crowdqc.report.columns import measure_title
from crowdqc.report.content import Interval, ReportSection, Table, TableColumn
from crowdqc.report.raters import verdict_of
from crowdqc.report.results import Results
from crowdqc.report.text import listing, readable
from crowdqc.text import count

MAX_ROWS = 300
MEASURES = ("mean_iou", "f1", "alpha_box", "alpha_presence", "ac1_presence")

Verdicts = dict[tuple[str, str], str]


def _pair(name: str, title: str, kind: str, *, digits: int = 2) -> tuple[TableColumn, TableColumn]:
    """Columns of both sides."""
    return (
        TableColumn(name, f"{title}: this", kind, digits),  # type: ignore[arg-type]
        TableColumn(f"{name}_other", f"{title}: other", kind, digits),  # type: ignore[arg-type]
    )


def side_by_side_section(results: Results, other: Results, where: str) -> ReportSection:
    """The section that compares two folders of results.

    Parameters
    ----------
    results, other : Results
        Both sides. What only one of them has stands beside a dash.
    where : str
        What people call the other folder.
    """
    tables = (
        _counts(results, other),
        _verdicts(results, other),
        _raters(results, other),
        _agreement(results, other),
        _completeness(results, other),
    )
    return ReportSection(
        "side_by_side",
        f"Compared with {where}",
        lead=tuple(_lead(results, other, where)),
        tables=tuple(table for table in tables if table.rows),
    )


def place_of(folder: Path) -> str:
    """What to call a folder: its name and that of the folder it is in."""
    folder = folder.resolve()
    return f"{folder.parent.name}/{folder.name}".lstrip("/")


def _lead(results: Results, other: Results, where: str) -> list[str]:
    sides = f"This is the study {results.study}; the other is {other.study} in {where}."
    lead = [f"{sides} Differences are this minus the other."]
    here, there = _judged(results), _judged(other)
    both = [key for key in here if key in there]
    changed = [key for key in both if here[key] != there[key]]
    if both:
        names = listing([f"{kind} {name}" if name else "the study's own" for kind, name in changed])
        whole = f"of {count(len(both), 'verdict')} that both have"
        differ = f"{len(changed)} {whole} differ: {names}."
        lead.append(differ if changed else f"None {whole} differs.")
    return lead


def _counts(results: Results, other: Results) -> Table:
    rows = []
    for title, ask in _COUNTS.items():
        here, there = ask(results), ask(other)
        if here > 0 or there > 0:
            rows.append((title, here, there, float(here - there)))
    return Table(
        "other-counts",
        "How much there is",
        (
            TableColumn("what", "What"),
            TableColumn("this", "This", "number", 0, note="A dash: that stage has not been run"),
            TableColumn("other", "Other", "number", 0),
            TableColumn("difference", "Difference", "px", 0),
        ),
        tuple(rows),
    )


def _rows_in(table: str, column: str = "", value: str = "") -> Callable[[Results], float]:
    def ask(results: Results) -> float:
        if not results.has(table):
            return math.nan
        frame = results.table(table)
        return int((frame[column] == value).sum()) if column else len(frame)

    return ask


def _gaps(results: Results) -> float:
    has = results.has("completeness")
    return int(results.table("completeness")["n_gaps"].sum()) if has else math.nan


def _prompts(results: Results) -> float:
    return math.nan if results.n_prompts is None else results.n_prompts


_COUNTS: dict[str, Callable[[Results], float]] = {
    "Cases": lambda results: len(results.cases),
    "Slices": _rows_in("images"),
    "Raters": lambda results: len(results.raters),
    "Readings": _rows_in("readings"),
    "Boxes": _rows_in("boxes"),
    "Fused boxes": _rows_in("consensus"),
    "Fused boxes without consensus": _rows_in("consensus", "state", "no_consensus"),
    "Boxes that may be used": _prompts,
    "Runs that are complete": _rows_in("completeness", "state", "complete"),
    "Runs with a part missing": _rows_in("completeness", "state", "partial"),
    "Runs that nobody drew": _rows_in("completeness", "state", "missing"),
    "Slices in gaps": _gaps,
    "Masks": _rows_in("masks"),
    "Findings": lambda results: len(results.findings),
}


def _judged(results: Results) -> Verdicts:
    """Verdicts of the gate by kind and name; the study's own has no name."""
    manifest = results.manifest
    if not manifest:
        return {}
    found = {("study", ""): verdict_of(manifest)}
    for kind in ("rater", "case"):
        for entry in manifest.get(f"{kind}s") or []:
            found[kind, str(entry[kind])] = verdict_of(entry)
    return found


def _verdicts(results: Results, other: Results) -> Table:
    here, there = _judged(results), _judged(other)
    keys = list(dict.fromkeys([*here, *there]))
    rows = [
        (kind, name, here.get((kind, name), ""), there.get((kind, name), "")) for kind, name in keys
    ]
    rows.sort(key=lambda row: row[2] == row[3])
    return Table(
        "other-verdicts",
        "Verdicts, those that differ first",
        (
            TableColumn("kind", "What"),
            TableColumn("name", "Which", "name"),
            *_pair("verdict", "Verdict", "verdict"),
        ),
        tuple(rows[:MAX_ROWS]),
        n_left_out=max(len(rows) - MAX_ROWS, 0),
        search=len(rows) > 8,
    )


def _raters(results: Results, other: Results) -> Table:
    here, there = (_by_name(r.table("raters"), "agreement") for r in (results, other))
    return _differences(
        "other-raters",
        "Agreement of each rater with the others",
        (TableColumn("rater", "Rater", "name"),),
        sides=(here, there),
    )


def _by_name(table: pd.DataFrame, column: str) -> dict[tuple[str, ...], Interval]:
    values = table[["rater", column, f"{column}_low", f"{column}_high"]]
    return {(row[0],): Interval(*row[1:]) for row in values.itertuples(index=False, name=None)}


def _agreement(results: Results, other: Results) -> Table:
    return _differences(
        "other-agreement",
        "Agreement of all raters",
        (TableColumn("measure", "Measure"), TableColumn("label", "Organ", "name")),
        sides=(_measured(results), _measured(other)),
    )


def _measured(results: Results) -> dict[tuple[str, ...], Interval]:
    """Pooled measurements, by measure and organ."""
    table = results.table("measurements")
    pooled = (table["case"] == "") & (table["rater"] == "") & table["slice"].isna()
    table = table[pooled & table["measure"].isin(MEASURES)]
    return {
        (measure_title(row.measure), readable(row.label) or "all"): Interval(
            row.value, row.low, row.high
        )
        for row in table.itertuples(index=False)
    }


def _differences(
    name: str,
    caption: str,
    keys: tuple[TableColumn, ...],
    *,
    sides: tuple[dict[tuple[str, ...], Interval], dict[tuple[str, ...], Interval]],
) -> Table:
    """One row for each key of either side: both values with interval, and the difference."""
    here, there = sides
    unknown = Interval(math.nan, math.nan, math.nan)
    rows = []
    for key in dict.fromkeys([*here, *there]):
        a, b = here.get(key, unknown), there.get(key, unknown)
        rows.append((*key, a, b, a.value - b.value))
    columns = (
        *keys,
        TableColumn("value", "This", "interval"),
        TableColumn("value_other", "Other", "interval"),
    )
    return Table(name, caption, (*columns, TableColumn("change", "Difference", "px")), tuple(rows))


def _completeness(results: Results, other: Results) -> Table:
    here, there = _complete(results), _complete(other)
    nothing = (math.nan, 0)
    rows = []
    for label in dict.fromkeys([*here, *there]):
        (a, gaps), (b, gaps_other) = here.get(label, nothing), there.get(label, nothing)
        rows.append((readable(label), a, b, gaps, gaps_other))
    return Table(
        "other-completeness",
        "Completeness of each organ: runs (case x rater) that are complete, slices in gaps",
        (
            TableColumn("label", "Organ", "name"),
            *_pair("complete", "Complete", "percent"),
            *_pair("gaps", "Gaps", "count"),
        ),
        tuple(rows),
    )


def _complete(results: Results) -> dict[str, tuple[float, int]]:
    """Of each organ the share of complete runs among those that were read, and slices in gaps."""
    table = results.table("completeness")
    read = table[table["state"] != "unread"]
    found = {}
    for label in results.labels:
        runs = read[read["label"] == label]
        if len(runs):
            share = float((runs["state"] == "complete").mean())
            found[label] = (share, int(runs["n_gaps"].sum()))
    return found
