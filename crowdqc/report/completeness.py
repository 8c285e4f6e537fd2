"""Completeness: what is drawn and what is not, case by case, with a strip of slices for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crowdqc.completeness.slices import from_ranges
from crowdqc.completeness.worklist import ALL
from crowdqc.judge.text import checks_in_words
from crowdqc.report.columns import added, columns
from crowdqc.report.content import PAGE, ReportSection, Table, TableColumn
from crowdqc.report.results import Results
from crowdqc.report.svg import Lane, Strip, ranges_text, strip
from crowdqc.report.text import percent, readable, share
from crowdqc.schema import natural_order
from crowdqc.text import capitalised, count

MAX_ROWS = 300
"""Rows of the list that goes into the page; the file has all."""

MAX_TASKS = 1000
"""Tasks of the worklist that go into the page; ``todo.csv`` has all."""

MAX_LANES = 12
"""Raters of a case up to whom every one has a lane with the name beside it."""
SLICES_MAX = 12
"""Groups of slices that a cell of a table lists."""
STATUS = {"complete": "accept", "absent": "accept", "partial": "review", "missing": "reject"}
DONE = ("complete", "absent")
"""States in which nothing is left to draw."""
_RANK = {"missing": 0, "partial": 1, "unread": 2, "complete": 3, "absent": 4}

SHOWN = (
    "case", "label", "rater", "state", "n_gaps", "gap_slices", "truncated", "coverage", "reasons",
)  # fmt: skip
"""Columns of the list of runs that are not complete; those of other packages follow."""
TASKS = ("rater", "case", "label", "task", "slices", "n_slices", "why")


@dataclass(frozen=True)
class Cell:
    """One organ of one case: its worst state, a word on it, and a lane for each rater."""

    label: str
    state: str
    word: str
    strip: Strip | None
    details: tuple[tuple[str, ...], ...]
    """A row per rater: rater, state, slices, gaps, cut off, coverage, why."""


@dataclass(frozen=True)
class Row:
    """One case."""

    case: str
    state: str
    extent: str
    raters: tuple[str, ...]
    """Whose lanes the strips have, from the top."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CompletenessView:
    """The matrix of cases and organs."""

    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    n_unfinished: int


def completeness_section(results: Results) -> ReportSection:
    """The section on completeness."""
    if not results.has("completeness"):
        return ReportSection("completeness", "Completeness", missing="complete")
    table, todo = results.table("completeness"), results.table("todo")
    view = _view(results, table)
    return ReportSection(
        "completeness",
        "Completeness",
        lead=tuple(_lead(table)),
        tables=tuple(t for t in (_totals_by_rater(todo), _tasks(todo), _table(table)) if t.rows),
        status=_status(table),
        view=view,
    )


def _worst_state(states: Sequence[str]) -> str:
    """The state that most needs work."""
    return min(states, key=lambda state: _RANK.get(state, 9), default="complete")


def _status(table: pd.DataFrame) -> str:
    return STATUS.get(_worst_state(list(table["state"].unique())), "")


def _lead(table: pd.DataFrame) -> list[str]:
    n = int((table["state"] == "complete").sum())
    verb = "is" if n == 1 else "are"
    whole = share(n, len(table), "run") if n else f"None of {count(len(table), 'run')}"
    meaning = "(a run is one organ of one case by one rater)"
    lead = [f"{capitalised(whole)} {verb} complete {meaning}."]
    gaps = int(table["n_gaps"].sum())
    if gaps:
        runs = int((table["n_gaps"] > 0).sum())
        verb = "has" if gaps == 1 else "have"
        where = f"{count(gaps, 'slice')} in {count(runs, 'run')}"
        lead.append(f"{where} {verb} no box between two that do.")
    for state, text in (
        ("missing", "never drawn"),
        ("unread", "not read at all"),
        ("absent", "read and found to hold no such organ"),
    ):
        n = int((table["state"] == state).sum())
        if n:
            lead.append(f"{count(n, 'run')} {'was' if n == 1 else 'were'} {text}.")
    cut = int((table["truncated"] != "").sum())
    if cut:
        lead.append(f"{count(cut, 'run')} {'stops' if cut == 1 else 'stop'} too early at one end.")
    return lead


def _tasks(tasks: pd.DataFrame) -> Table:
    """The worklist, a row for each task of a rater."""
    rows = [
        (
            *(task.rater, task.case, readable(task.label), task.task),
            *(
                _slices(task.slices) if task.n_slices else ALL,
                float(task.n_slices or math.nan),
                checks_in_words(task.why),
            ),
        )
        for task in tasks.head(MAX_TASKS)[list(TASKS)].itertuples(index=False)
    ]
    return Table(
        "todo",
        "The work list: what each rater has to do again",
        columns("todo", TASKS),
        tuple(rows),
        n_left_out=max(len(tasks) - MAX_TASKS, 0),
        search=True,
        paged=len(rows) > PAGE,
        choose="rater",
    )


def _slices(cell: str) -> str:
    return ranges_text(from_ranges(cell), SLICES_MAX)


def _totals_by_rater(tasks: pd.DataFrame) -> Table:
    """How much each rater has to do, the most first."""
    groups = tasks.groupby("rater", sort=False)
    counts = groups.agg(
        n_tasks=("task", "size"), n_slices=("n_slices", "sum"), n_cases=("case", "nunique")
    )
    counts = counts.sort_values("n_tasks", ascending=False, kind="stable")
    counts["n_slices"] = counts["n_slices"].where(counts["n_slices"] > 0)
    columns = (
        TableColumn("rater", "Rater", "name"),
        TableColumn("n_tasks", "Tasks", "count", note="Rows of the work list"),
        TableColumn(
            "n_slices",
            "Slices",
            "number",
            0,
            note="Slices to look at, those of all tasks added; a dash: whole cases",
        ),
        TableColumn("n_cases", "Cases", "count"),
    )
    rows = tuple(counts.itertuples(name=None)) if len(counts) > 1 else ()
    return Table("todo_by_rater", "Whom to write to", columns, rows)


def _table(table: pd.DataFrame) -> Table:
    work = table[~table["state"].isin(DONE)]
    work = work.assign(_rank=work["state"].map(lambda s: _RANK.get(s, 9)))
    work = work.sort_values(["_rank", "n_gaps"], ascending=[True, False], kind="stable")
    names = [*SHOWN, *added("completeness", table)]
    rows = tuple(
        tuple(
            _slices(value) if name == "gap_slices" else value
            for name, value in zip(names, row, strict=True)
        )
        for row in work[names].head(MAX_ROWS).itertuples(index=False, name=None)
    )
    return Table(
        "completeness",
        "Every run that is not complete",
        columns("completeness", names),
        rows,
        n_left_out=max(len(work) - MAX_ROWS, 0),
        search=True,
        choose="state",
    )


def _view(results: Results, table: pd.DataFrame) -> CompletenessView:
    extents = _extents(results, table)
    labels = tuple(name for name in results.labels if name in set(table["label"]))
    groups: dict[str, dict[str, list[Any]]] = {}
    for row in table.itertuples(index=False):
        groups.setdefault(row.case, {}).setdefault(row.label, []).append(row)
    rows = tuple(
        _row(case, groups[case], labels=labels, extent=extents[case])
        for case in natural_order(groups)
    )
    if all(first == last for first, last in extents.values()):  # pictures, not volumes
        rows = tuple(row for row in rows if row.state not in DONE)
    return CompletenessView(labels, rows, sum(row.state not in DONE for row in rows))


def _extents(results: Results, table: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Case -> first and last slice that is known of it."""
    images = results.table("images").groupby("case")["slice"].agg(["min", "max"])
    runs = table.groupby("case").agg(min=("first", "min"), max=("last", "max")).fillna(0)
    both = pd.concat([images, runs]).groupby(level=0).agg({"min": "min", "max": "max"})
    return {row.Index: (int(row.min), int(row.max)) for row in both.itertuples()}


def _row(
    case: str, organs: dict[str, list[Any]], *, labels: Sequence[str], extent: tuple[int, int]
) -> Row:
    raters = natural_order({row.rater for runs in organs.values() for row in runs})
    cells = tuple(_cell(label, organs.get(label, []), extent, raters=raters) for label in labels)
    state = _worst_state([cell.state for cell in cells if cell.details])
    return Row(case, state, f"{extent[0]}\u2013{extent[1]}", tuple(raters), cells)


def _cell(label: str, runs: list[Any], extent: tuple[int, int], *, raters: Sequence[str]) -> Cell:
    if not runs:
        return Cell(label, "", "not asked", None, ())
    by_rater = {row.rater: row for row in runs}
    lanes = [_lane(by_rater.get(rater)) for rater in raters]
    return Cell(
        label,
        _worst_state([row.state for row in runs]),
        _word(runs),
        strip(lanes, *extent),
        tuple(_detail(row) for row in runs),
    )


def _lane(run: Any) -> Lane:
    """The lane of one rater; empty for one who was not asked for this organ."""
    if run is None:
        return Lane("", math.nan, math.nan)
    return Lane(run.state, run.first, run.last, tuple(from_ranges(run.gap_slices)), run.truncated)


def _word(runs: list[Any]) -> str:
    """The worst of a cell in two or three words."""
    missing = sum(row.state == "missing" for row in runs)
    if missing:
        return "missing" if missing == len(runs) else f"{missing} of {len(runs)} missing"
    gaps, cut = sum(row.n_gaps for row in runs), any(row.truncated for row in runs)
    if gaps:
        return count(gaps, "empty slice") + (", cut off" if cut else "")
    if cut:
        return "cut off"
    state = _worst_state([row.state for row in runs])
    return "" if state == "complete" else state


def _detail(row: Any) -> tuple[str, ...]:
    slices = "" if pd.isna(row.first) else f"{row.first:.0f}\u2013{row.last:.0f}"
    cut = {"low": "low end", "high": "high end", "both": "both ends"}.get(row.truncated, "")
    return (
        row.rater,
        row.state,
        slices,
        ranges_text(from_ranges(row.gap_slices), 40),
        cut,
        percent(row.coverage),
        row.reasons,
    )
