"""What an empty file means: a slice with nothing there, or one that nobody looked at.

OpenLabeling writes an empty file for every image when it starts, so an empty file alone says
nothing. An empty slice *between* slices on which the same rater drew something in the same
case was passed on the way from one to the other, and is taken as reviewed. Outside that range,
and in a case without any box of the rater, it stays ``opened``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from crowdqc.findings import Finding
from crowdqc.schema import ReadingState, stands_in
from crowdqc.text import count


def infer_states(
    readings: pd.DataFrame,
    boxes: pd.DataFrame,
    *,
    rule: Literal["infer", "nothing", "unread"],
    owed: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Fill in the state of each reading.

    Parameters
    ----------
    readings : DataFrame
        ``case, slice, rater, labels, state``; the state ``""`` asks for an inference.
    boxes : DataFrame
        ``case, slice, rater``: where boxes were drawn.
    rule : {"infer", "nothing", "unread"}
        What an empty file means: to be inferred, nothing there, or not looked at.
    owed : DataFrame, optional
        ``case, slice, rater`` of what was assigned. What a rater who has assignments was not asked
        for was not passed on the way from one box to another.

    Returns
    -------
    readings : DataFrame
        Every state filled in.
    findings : list of Finding
        What was inferred for each rater and case, and the cases that were only opened.
    """
    boxed = stands_in(boxes, readings, ["case", "slice", "rater"])
    state = readings["state"].to_numpy(dtype=object)
    open_question = state == ""
    inside = _inside(readings, boxed) if rule == "infer" else np.array(rule == "nothing")
    if rule == "infer" and owed is not None:
        asked = stands_in(owed, readings, ["case", "slice", "rater"])
        inside = inside & (asked | ~readings["rater"].isin(owed["rater"].unique()).to_numpy())
    state = np.where(open_question & inside, ReadingState.REVIEWED_EMPTY.value, state)
    state = np.where(open_question & ~inside, ReadingState.OPENED.value, state)
    state = np.where(boxed, ReadingState.BOXED.value, state)
    readings = readings.assign(state=state)
    if rule != "infer":
        return readings, []
    return readings, _explain(readings[open_question & ~boxed], readings[boxed])


def _inside(readings: pd.DataFrame, boxed: np.ndarray) -> np.ndarray:
    """Whether a reading lies between the first and the last boxed one of its case and rater."""
    slices = readings["slice"].where(boxed)
    groups = slices.groupby([readings["case"], readings["rater"]])
    first, last = groups.transform("min"), groups.transform("max")
    return ((readings["slice"] > first) & (readings["slice"] < last)).to_numpy()


def _explain(empties: pd.DataFrame, boxed: pd.DataFrame) -> list[Finding]:
    """What was made of the images without a box, for each case and rater."""
    begun = boxed[["case", "rater"]].drop_duplicates()
    started = set(zip(begun["case"], begun["rater"], strict=True))
    findings = []
    for (case, rater), group in empties.groupby(["case", "rater"], sort=True):
        reviewed = int((group["state"] == ReadingState.REVIEWED_EMPTY).sum())
        n, check = len(group) - reviewed, "empty-file-inferred"
        message = (
            f"Without a box, {count(n, 'slice')} before the first or after the last box (not known "
            f"to be read: 'opened') and {reviewed} between boxed ones (taken as reviewed)."
        )
        if (case, rater) not in started:
            check = "case-only-opened"
            message = (
                f"{count(n, 'slice')} and not one box. Tools write empty files, or list images, by "
                "themselves, so the case counts as opened, not as read. Ask the rater; if it was "
                "read, set empty_file = 'nothing'."
            )
        found = Finding(
            check=check,
            message=message,
            case=case,
            rater=rater,
            value=float(reviewed if check == "empty-file-inferred" else n),
            unit="slices",
        )
        findings.append(found)
    return findings
