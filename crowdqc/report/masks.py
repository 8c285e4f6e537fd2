"""Masks: how sure they are, organ by organ, and the worst ones."""

from __future__ import annotations

from typing import Any

import pandas as pd

from crowdqc.report.agreement import Scatter
from crowdqc.report.content import ReportSection, Table, TableColumn
from crowdqc.report.results import Results
from crowdqc.report.text import count, listing

MAX_ROWS = 100
MAX_POINTS = 4000
"""Points of the chart; above it the surest are left out, and the chart says so."""

NEEDS_VOLUMES = "masks are drawn on volumes: give [images] path in the study file; then "
NEEDS_TRUTH = "masks are scored against expert masks: give [truth] path in the study file; then "

SIGNALS = {
    "risk": ("Risk", -1, "Probability that the mask is wrong, as far as can be told without truth"),
    "expected_dice": ("Expected Dice", 1, "Dice that the mask is expected to reach"),
    "pairwise_dice": ("Pairwise Dice", 1, "Mean Dice between masks of different prompts"),
    "box_iou": ("Fit to the box", 1, "IoU of the box round the mask with the prompt"),
    "z_dice": ("Dice with neighbours", 1, "Dice with the masks on the slices before and after"),
    "model_dice": ("Two models", 1, "Dice of the masks of two models from the same prompts"),
    "mutual_information_between_raters": (
        "Uncertainty between raters",
        -1,
        "Uncertainty that the raters' boxes cause, nats",
    ),
    "mutual_information_within_raters": (
        "Uncertainty within raters",
        -1,
        "Uncertainty that a few px of a box cause, nats",
    ),
    "entropy": ("Entropy", -1, "Mean entropy of the mask probability"),
    "stability": ("Stability", 1, "Stability of the mask under its threshold"),
    "predicted_iou": ("Predicted IoU", 1, "What the model itself expects"),
}
"""Signal -> title, whether high is good (1) or bad (-1), explanation."""


def masks_section(
    results: Results, pictures: tuple[Any, ...], problems: tuple[str, ...] = ()
) -> ReportSection:
    """The section on masks, or on the boxes alone where there are no masks.

    `pictures` are of the worst slices; `problems` say which images could not be read.
    """
    if not results.has("masks"):
        lead = ("Until masks are made, look at these first: raters differ, or a box looks wrong.",)
        return ReportSection(
            "masks",
            "Worst slices",
            lead=(*lead, *problems) if pictures else problems,
            missing="crowdqc masks",
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
    said = [f"{count(len(table), 'mask')} of {cases} by {listing(models)}."]
    if signal:
        said.append(f"Sorted by {named(signal)}, the worst first.")
    return ReportSection(
        "masks",
        "Masks",
        lead=(*said, *problems),
        tables=(_table(table, signal),),
        view=(pictures, _scatter(results, table, signal)),
    )


def leading(table: pd.DataFrame) -> str:
    """The first signal that is known at all."""
    return next((name for name in SIGNALS if table[name].notna().any()), "")


def named(signal: str) -> str:
    """A signal inside a sentence."""
    title = SIGNALS[signal][0]
    return title[0].lower() + title[1:]


def worst_masks(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table `masks`, the worst first by the leading signal."""
    signal = leading(table)
    if not signal:
        return table
    return table.sort_values(signal, ascending=SIGNALS[signal][1] > 0, kind="stable")


def _table(table: pd.DataFrame, signal: str) -> Table:
    shown = [name for name in SIGNALS if table[name].notna().any()]
    columns = (
        TableColumn("case", "Case", "name"),
        TableColumn("slice", "Slice", "count"),
        TableColumn("label", "Organ", "name"),
        TableColumn("area_px", "Area, px", "count"),
        *(TableColumn(name, SIGNALS[name][0], "number", note=SIGNALS[name][2]) for name in shown),
    )
    names = [column.name for column in columns]
    rows = worst_masks(table)[names].head(MAX_ROWS)
    return Table(
        "masks",
        f"The worst masks by {named(signal)}" if signal else "Masks",
        columns,
        tuple(rows.itertuples(index=False, name=None)),
        n_left_out=max(len(table) - MAX_ROWS, 0),
        search=True,
        choose="label",
    )


def _scatter(results: Results, table: pd.DataFrame, signal: str) -> Scatter | None:
    if not signal:
        return None
    rows = worst_masks(table[table[signal].notna()]).head(MAX_POINTS)
    groups = {label: rows[rows["label"] == label] for label in results.labels}
    groups = {label: group for label, group in groups.items() if len(group)}
    return Scatter(
        title=SIGNALS[signal][0],
        labels=tuple(groups),
        cases=tuple(
            tuple(f"{r.case}, slice {r.slice}" for r in group.itertuples(index=False))
            for group in groups.values()
        ),
        values=tuple(tuple(float(v) for v in group[signal]) for group in groups.values()),
    )
