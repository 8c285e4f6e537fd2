"""Fusion: how many fused boxes there are, who supports them, and what nobody agrees on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from crowdqc.decisions.rows import MEANING
from crowdqc.report.columns import columns
from crowdqc.report.content import ReportSection, Table, TableColumn
from crowdqc.report.results import Results
from crowdqc.report.text import listing, readable, share
from crowdqc.text import count

MAX_ROWS = 200
STATES = ("agreed", "single", "no_consensus")

DECIDED = ["case", "slice", "label", "decision", "reviewers", "time", "state"]
LIST = ["case", "slice", "label", "support", "n_raters", "raters", "score"]
"""Columns of the list of objects without consensus."""


@dataclass(frozen=True)
class LabelBar:
    """Objects of one organ by state: numbers, in the order of `STATES`."""

    label: str
    counts: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class FusionView:
    """Bars of all organs, to the same scale."""

    bars: tuple[LabelBar, ...]
    largest: int


def fusion_section(results: Results) -> ReportSection:
    """The section on fusion."""
    if not results.has("consensus"):
        return ReportSection("fusion", "Fused boxes", missing="fuse")
    table = results.table("consensus")
    apart = int((table["state"] == "no_consensus").sum())
    return ReportSection(
        "fusion",
        "Fused boxes",
        lead=tuple(_lead(table, apart)),
        tables=tuple(t for t in (_support(table), _apart(table), _settled(results)) if t.rows),
        status=_status(table, apart),
        view=_view(results, table),
    )


def _status(table: pd.DataFrame, apart: int) -> str:
    """Without a second rater, boxes are neither good nor bad."""
    if apart:
        return "review"
    return "" if (table["state"] == "single").all() else "accept"


def _lead(table: pd.DataFrame, apart: int) -> list[str]:
    methods = [readable(name) for name in table["method"].unique() if name not in {"", "review"}]
    by = f" by {listing(methods)}" if methods else ""
    lead = [f"{count(len(table), 'object')} fused{by}."]
    if apart:
        lead.append(
            f"{count(apart, 'object')} {'was' if apart == 1 else 'were'} drawn by too few of the "
            "raters who looked: kept in the list below, never used as a prompt."
        )
    settled = int((table["method"] == "review").sum())
    if settled:
        lead.append(f"{share(settled, len(table), 'object').capitalize()} settled by reviewers.")
    single = int((table["state"] == "single").sum())
    if single:
        lead.append(
            f"{share(single, len(table), 'object').capitalize()} "
            f"{'was' if single == 1 else 'were'} read by one rater only: nothing confirms them."
        )
    return lead


def _support(table: pd.DataFrame) -> Table:
    """How many objects have how many supporters of how many asked."""
    names = ["n_raters", "support", "state"]
    counts = table.groupby(names, sort=True).size().reset_index(name="n")
    headings = (*columns("consensus", names), TableColumn("n", "Objects", "count"))
    rows = tuple(counts.itertuples(index=False, name=None))
    return Table("support", "Support of the fused boxes", headings, rows)


def _apart(table: pd.DataFrame) -> Table:
    rows = table[table["state"] == "no_consensus"].sort_values(
        ["n_raters", "support"], ascending=[False, False], kind="stable"
    )
    return Table(
        "no_consensus",
        "Objects without consensus",
        columns("consensus", LIST),
        tuple(rows[LIST].head(MAX_ROWS).itertuples(index=False, name=None)),
        n_left_out=max(len(rows) - MAX_ROWS, 0),
        search=True,
        choose="label",
    )


def _settled(results: Results) -> Table:
    """What reviewers decided, and what of it does not count."""
    rows = results.table("settled").sort_values("state", kind="stable")
    day = pd.to_datetime(rows["time"], unit="s").dt.strftime("%Y-%m-%d").fillna("")
    rows = rows.assign(time=day, decision=rows["decision"].map(MEANING).fillna(rows["decision"]))
    headings = tuple(
        replace(one, kind="text", title="Day") if one.name == "time" else one
        for one in columns("settled", DECIDED)
    )
    return Table(
        "settled",
        "Decisions of reviewers",
        headings,
        tuple(rows[DECIDED].head(MAX_ROWS).itertuples(index=False, name=None)),
        n_left_out=max(len(rows) - MAX_ROWS, 0),
        search=True,
        choose="state",
    )


def _view(results: Results, table: pd.DataFrame) -> FusionView:
    counts = table.groupby(["label", "state"]).size()
    bars = []
    for label in results.labels:
        numbers = tuple(int(counts.get((label, state), 0)) for state in STATES)
        if sum(numbers):
            bars.append(LabelBar(label, numbers, sum(numbers)))
    return FusionView(tuple(bars), max((bar.total for bar in bars), default=1))
