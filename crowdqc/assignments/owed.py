"""The readings that are owed, slice by slice, and where assignments and annotations contradict."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from crowdqc.completeness.slices import from_ranges
from crowdqc.findings import Finding
from crowdqc.schema import READING, Study, natural_order, stands_in

UNKNOWN = -1
"""Slice of a whole case of which nobody knows what slices it has."""


def owed_readings(
    assignments: pd.DataFrame, images: pd.DataFrame, number: int | None = None
) -> pd.DataFrame:
    """Every reading that is owed, once.

    Parameters
    ----------
    assignments : DataFrame
        Table ``assignments``.
    images : DataFrame
        Table ``images``: which slices a case has.
    number : int, optional
        Number of a round; none given: all of them.

    Returns
    -------
    DataFrame
        ``case, slice, rater, labels, due, round``: `labels` "" for all, `due` the last date and
        `round` the last round of those that ask for it. `slice` is `UNKNOWN` where a whole case is
        owed that has no image.

    Examples
    --------
    >>> rows = [("ann", "1", "liver", "", "", 1), ("ann", "1", "spleen", "2", "", 1)]
    >>> columns = ["rater", "case", "label", "slices", "due", "round"]
    >>> images = pd.DataFrame({"case": "1", "slice": range(3)})
    >>> owed = owed_readings(pd.DataFrame(rows, columns=columns), images)
    >>> owed[["slice", "labels"]].values.tolist()
    [[0, 'liver'], [1, 'liver'], [2, 'liver spleen']]
    """
    parts = assignments.rename(columns={"label": "labels"})
    if number is not None:
        parts = parts[parts["round"] == number]
    whole = parts["slices"] == ""
    all_slices = parts[whole].merge(images[["case", "slice"]], on="case", how="left")
    all_slices["slice"] = all_slices["slice"].fillna(UNKNOWN).astype(np.int64)
    some = parts[~whole].assign(slice=[from_ranges(text) for text in parts.loc[~whole, "slices"]])
    some = some.explode("slice").astype({"slice": np.int64})
    owed = pd.concat([all_slices, some], ignore_index=True)
    return _once(owed[[*READING, "labels", "due", "round"]])


def _once(owed: pd.DataFrame) -> pd.DataFrame:
    """One row for each slice and rater: labels together, the last date and round."""
    several = owed.duplicated(READING, keep=False)
    if several.any():
        groups = owed[several].groupby(READING, sort=False)
        labels = groups["labels"].agg(lambda names: "" if (names == "").any() else " ".join(names))
        last = groups[["due", "round"]].max()
        together = last.assign(labels=labels.map(_distinct)).reset_index()
        owed = pd.concat([owed[~several], together], ignore_index=True)[owed.columns]
    return owed.sort_values(READING, kind="stable", ignore_index=True)


def _distinct(labels: str) -> str:
    return " ".join(dict.fromkeys(labels.split()))


def contradictions(assignments: pd.DataFrame, study: Study, *, has_images: bool) -> list[Finding]:
    """Where the assignments and what was read do not fit together.

    Parameters
    ----------
    assignments : DataFrame
        Table ``assignments``, with `line`.
    study : Study
        What was read.
    has_images : bool
        Whether the study names images, so that a case without one is none.

    Returns
    -------
    list of Finding
        Raters and cases that only one of the two knows, and boxes that nobody was asked for.
    """
    return [
        *_unknown_raters(assignments, study),
        *(_unknown_cases(assignments, study) if has_images else ()),
        *_unasked(assignments, study),
    ]


def _unknown_raters(assignments: pd.DataFrame, study: Study) -> Iterator[Finding]:
    drawn, named = set(study.raters), set(assignments["rater"])
    spare = sorted(drawn - named)
    for rater in natural_order(named - drawn):
        near = difflib.get_close_matches(rater, spare, n=1, cutoff=0.6)
        hint = f" Is it '{near[0]}', who has annotations and no assignment?" if near else ""
        n = int((assignments["rater"] == rater).sum())
        yield Finding(
            check="rater-without-annotations",
            message=f"{n} assignments, and no annotation at all.{hint}",
            rater=rater,
            value=float(n),
            unit="assignments",
        )
    for rater in natural_order(drawn - named):
        message = "annotations, and no assignment: nothing is known to be owed by this rater."
        yield Finding(check="rater-not-assigned", message=message, rater=rater)


def _unknown_cases(assignments: pd.DataFrame, study: Study) -> Iterator[Finding]:
    known = set(study.cases)
    for case, group in assignments.groupby("case", sort=False):
        if case in known:
            continue
        near = difflib.get_close_matches(case, sorted(known), n=1, cutoff=0.6)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raters = ", ".join(natural_order(group["rater"].unique()))
        message = f"is assigned to {raters}, and there is no image of it.{hint}"
        yield Finding(check="case-unknown", message=message, case=case)


def _unasked(assignments: pd.DataFrame, study: Study) -> Iterator[Finding]:
    """Boxes on slices, or of labels, that their rater was not asked for."""
    mine = study.boxes[study.boxes["rater"].isin(assignments["rater"].unique())]
    owed = owed_readings(assignments, study.images)
    owed["label"] = [text.split() or list(study.labels) for text in owed["labels"]]
    whole = (owed["labels"] == "").to_numpy()
    right = stands_in(owed[whole], mine, READING)
    right |= stands_in(owed[~whole].explode("label"), mine, [*READING, "label"])
    for (case, rater), group in mine[~right].groupby(["case", "rater"]):
        labels = ", ".join(sorted(group["label"].unique()))
        message = f"{len(group)} boxes ({labels}) that the rater was not asked for; they count."
        yield Finding(
            check="box-not-assigned",
            message=message,
            case=case,
            rater=rater,
            value=float(len(group)),
            unit="boxes",
        )
