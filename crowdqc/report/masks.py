"""Masks: how sure they are, organ by organ, and the worst ones."""

from __future__ import annotations

from typing import Any

import pandas as pd

from crowdqc.report.agreement import Scatter
from crowdqc.report.columns import column, columns
from crowdqc.report.content import ReportSection, Table
from crowdqc.report.results import Results
from crowdqc.report.text import listing
from crowdqc.text import count

MAX_ROWS = 100
MAX_POINTS = 4000
"""Points of the chart; above it the surest are left out, and the chart says so."""

NEEDS_VOLUMES = "masks are drawn on volumes: give [images] path in the study file; then "
NEEDS_TRUTH = "masks are scored against expert masks: give [truth] path in the study file; then "

SIGNALS = {
    "risk": -1,
    "expected_dice": 1,
    "pairwise_dice": 1,
    "box_iou": 1,
    "z_dice": 1,
    "model_dice": 1,
    "propagation_dice": 1,
    "mutual_information_between_raters": -1,
    "mutual_information_within_raters": -1,
    "entropy": -1,
    "stability": 1,
    "predicted_iou": 1,
}
"""Signal -> whether high is good (1) or bad (-1); masks are sorted by the first that is known."""


def masks_section(
    results: Results, pictures: tuple[Any, ...], problems: tuple[str, ...] = ()
) -> ReportSection:
    """The section on masks, or on the boxes alone where there are no masks.

    `pictures` are of the worst slices; `problems` say which images could not be read.

    Parameters
    ----------
    results : Results
        All tables.
    pictures : tuple
        Of the worst slices.
    problems : tuple of str
        Sentences on images that could not be read.
    """
    if not results.has("masks"):
        lead = ("Until masks are made, look at these first: raters differ, or a box looks wrong.",)
        return ReportSection(
            "masks",
            "Worst slices",
            lead=(*lead, *problems) if pictures else problems,
            missing="masks",
            remedy="" if results.has_volumes else NEEDS_VOLUMES,
            view=(pictures, None) if pictures else None,
        )
    table = results.table("masks")
    if not len(table):
        return ReportSection(
            "masks", "Masks", lead=("No mask was drawn: nothing passed the gate.",)
        )
    signal = leading(table)
    models = [name for name in table["model"].unique() if name]
    cases = count(table["case"].nunique(), "case")
    texts = [f"{count(len(table), 'mask')} of {cases} by {listing(models)}."]
    licences = sorted(set(table["licence"].dropna()) - {""})
    if licences:
        texts.append(f"Licence of the weights behind them: {listing(licences)}.")
    refused = [
        one for one in licences if results.allowed is not None and one not in results.allowed
    ]
    if refused:
        texts.append(
            f"The study file does not allow {listing(refused)} ([masks] allow_licences): do not "
            "use these masks, nor what was trained on them. Draw others: crowdqc masks."
        )
    if signal:
        texts.append(f"Sorted by {_named(signal)}, the worst first.")
    return ReportSection(
        "masks",
        "Masks",
        lead=(*texts, *problems),
        tables=(_table(table, signal),),
        view=(pictures, _scatter(results, table, signal)),
    )


def leading(table: pd.DataFrame) -> str:
    """The first signal that is known at all."""
    return next((name for name in SIGNALS if table[name].notna().any()), "")


def _named(signal: str) -> str:
    """A signal inside a sentence."""
    name = title(signal)
    return name[0].lower() + name[1:]


def title(signal: str) -> str:
    """What people call a signal."""
    return column("masks", signal).title


def worst_masks(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table `masks`, the worst first by the leading signal."""
    signal = leading(table)
    if not signal:
        return table
    return table.sort_values(signal, ascending=SIGNALS[signal] > 0, kind="stable")


def _table(table: pd.DataFrame, signal: str) -> Table:
    shown = [name for name in SIGNALS if table[name].notna().any()]
    names = ["case", "slice", "label", "area_px", *shown]
    rows = worst_masks(table)[names].head(MAX_ROWS)
    return Table(
        "masks",
        f"The worst masks by {_named(signal)}" if signal else "Masks",
        columns("masks", names),
        tuple(rows.itertuples(index=False, name=None)),
        n_left_out=max(len(table) - MAX_ROWS, 0),
        search=True,
        choose="label",
    )


def _scatter(results: Results, table: pd.DataFrame, signal: str) -> Scatter | None:
    if not signal:
        return None
    rows = worst_masks(table[table[signal].notna()]).head(MAX_POINTS)
    groups = results.by_label(rows)
    return Scatter(
        title=title(signal),
        labels=tuple(groups),
        cases=tuple(
            tuple(f"{r.case}, slice {r.slice}" for r in group.itertuples(index=False))
            for group in groups.values()
        ),
        values=tuple(tuple(float(v) for v in group[signal]) for group in groups.values()),
    )
