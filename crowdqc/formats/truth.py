"""Boxes that count as the truth: a table of their own, or one rater of the annotations."""

from __future__ import annotations

import dataclasses

import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError
from crowdqc.formats.draft import Draft
from crowdqc.formats.table import read_boxes
from crowdqc.schema import BOX

COLUMNS = ["case", "slice", "label", *BOX]


def read_truth_boxes(config: Config) -> tuple[pd.DataFrame, list[Finding]]:
    """Boxes of ``[truth] boxes``: ``case, slice, label, x0, y0, x1, y1`` in px.

    Raises
    ------
    InputError
        If the study file names no such table, or it cannot be read.
    """
    if config.truth is None or config.truth.boxes is None:
        raise InputError(f"{config.file}: 'truth.boxes' does not name a table of boxes.")
    columns = config.truth.columns or config.annotations.columns
    columns = {name: column for name, column in columns.items() if name != "rater"}
    named = config.model_copy(
        update={"annotations": config.annotations.model_copy(update={"rater": "truth"})}
    )
    draft = read_boxes(config.resolve(config.truth.boxes), columns, named)
    return draft.boxes[COLUMNS], draft.findings


def without_gold(draft: Draft, gold: str) -> Draft:
    """The draft without the rater `gold`.

    Parameters
    ----------
    draft : Draft
        All that was read.
    gold : str
        A name of a rater.

    Raises
    ------
    InputError
        If no rater of this name drew a box.
    """
    is_gold = draft.boxes["rater"] == gold
    if not is_gold.any():
        raise InputError(f"'truth.rater' is '{gold}', but no box was drawn by a rater so named.")
    readings = draft.readings[draft.readings["rater"] != gold]
    points = draft.points[draft.points["rater"] != gold]
    return dataclasses.replace(draft, boxes=draft.boxes[~is_gold], readings=readings, points=points)
