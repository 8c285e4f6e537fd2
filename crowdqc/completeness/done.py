"""Boxes that raters were shown as done: of their runs, they need no box of their own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.completeness.runs import SHOWN
from crowdqc.completeness.slices import to_ranges
from crowdqc.findings import Finding
from crowdqc.geometry import paired_iou
from crowdqc.schema import BOX, ReadingState, Study

_PLACE = ["case", "slice", "label"]
_READING = ["case", "slice", "rater"]
_SAME = 0.3
"""IoU with what was shown from which a box is of it, as of `crowdqc.crowd.without_shown`."""
_HALF = 0.5
"""Share of those who were not shown it that must have drawn it: what was stopped as nothing is not
to be drawn."""


def with_done(study: Study, shown: pd.DataFrame | None) -> tuple[Study, list[Finding]]:
    """The study with what raters were shown as done as boxes of theirs.

    Parameters
    ----------
    study : Study
        As it was read.
    shown : DataFrame, optional
        ``case, slice, label, rater, x0, y0, x1, y1``.

    Returns
    -------
    study : Study
        `study` itself where nothing was shown to anybody who read it. A shown box counts where half
        of those who were not shown it drew it, and its rater drew none of it.
    findings : list of Finding
        One for each run that has such slices.
    """
    if shown is None or shown.empty:
        return study, []
    key = [*_PLACE, "rater"]
    asked = study.asked()[key].drop_duplicates()
    rows = shown[[*key, *BOX]].drop_duplicates().merge(asked, on=key).reset_index(drop=True)
    drawn = study.boxes[[*key, *BOX]]
    rows = rows[_is_there(rows, asked, drawn) & ~_drew(rows, drawn)]
    if rows.empty:
        return study, []
    first = int(study.boxes["box"].max()) + 1 if len(study.boxes) else 0
    rows = rows.assign(box=np.arange(first, first + len(rows)), source=SHOWN)
    readings = study.readings
    read = pd.MultiIndex.from_frame(readings[_READING])
    boxed = read.isin(pd.MultiIndex.from_frame(rows[_READING]))
    readings = readings.assign(state=readings["state"].mask(boxed, ReadingState.BOXED.value))
    boxes = pd.concat([study.boxes, rows], ignore_index=True)
    return dataclasses.replace(study, readings=readings, boxes=boxes), _findings(rows)


def _is_there(rows: pd.DataFrame, asked: pd.DataFrame, drawn: pd.DataFrame) -> Bools:
    """Whether half of those who were asked at the place, and shown nothing there, drew a box."""
    key = [*_PLACE, "rater"]
    aided = pd.MultiIndex.from_frame(rows[key])
    free = asked[~pd.MultiIndex.from_frame(asked).isin(aided)]
    every = rows.reset_index(names="row").merge(free, on=_PLACE, suffixes=("", "_other"))
    theirs = every[["row", *_PLACE, "rater_other", *BOX]].merge(
        drawn.rename(columns={"rater": "rater_other"}),
        on=[*_PLACE, "rater_other"],
        suffixes=("", "_other"),
    )
    same = theirs[_overlap(theirs, "_other") >= _SAME].drop_duplicates(["row", "rater_other"])
    n_drew = same["row"].value_counts().reindex(rows.index, fill_value=0)
    n_free = every["row"].value_counts().reindex(rows.index, fill_value=0)
    there: Bools = ((n_drew > 0) & (n_drew >= _HALF * n_free)).to_numpy()
    return there


def _drew(rows: pd.DataFrame, drawn: pd.DataFrame) -> Bools:
    """Whether the rater drew a box of what was shown."""
    both = rows.reset_index(names="row").merge(
        drawn, on=[*_PLACE, "rater"], suffixes=("", "_other")
    )
    own: Bools = rows.index.isin(both.loc[_overlap(both, "_other") >= _SAME, "row"])
    return own


def _overlap(rows: pd.DataFrame, suffix: str) -> np.ndarray:
    other = [f"{edge}{suffix}" for edge in BOX]
    return paired_iou(rows[BOX].to_numpy(np.float64), rows[other].to_numpy(np.float64))


def _findings(rows: pd.DataFrame) -> list[Finding]:
    found = []
    for (case, label, rater), group in rows.groupby(["case", "label", "rater"]):
        found.append(
            Finding(
                check="slices-shown-done",
                message="was shown the fused box as done, which counts as drawn",
                case=str(case),
                label=str(label),
                rater=str(rater),
                value=group["slice"].nunique(),
                unit="slices",
                slices=to_ranges(group["slice"]),
            )
        )
    return found
