"""What it means that a rater never drew a label: not asked for it, or missed it every time.

Where each rater draws some of the organs, tables and files seldom say so, and a slice that was
read is taken as read for all labels. But nobody who looks for an organ misses all of it: a label
that a rater never drew in the whole study, though others drew it time and again on what that rater
read, is taken as not asked for, with a finding that says so. Two others must have drawn it there,
since one may invent; one is enough where the boxes go on from slice to slice as an organ does, and
where the labels were divided, so that nobody who drew it draws anything that the rater draws.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.findings import Finding
from crowdqc.geometry import paired_iou
from crowdqc.schema import BOX, ReadingState, Study, natural_order
from crowdqc.text import count

SLICES, CASES = 20, 3
"""On how many slices, of how many cases, others must have drawn a label that a rater never drew."""
_SAME, _OTHERWISE = 0.5, 0.1
"""IoU from which a box of another label is of the same thing, and the share of such slices from
which a rater has seen the label and named it otherwise."""
_PLACE = ["case", "slice"]


def infer_labels(
    study: Study,
    *,
    rule: Literal["infer", "missed"] = "infer",
    owed: pd.DataFrame | None = None,
) -> tuple[Study, list[Finding]]:
    """Take labels that a rater never drew as not asked for.

    Parameters
    ----------
    study : Study
        Readings that name their labels stay as they are, and so do all where the name of a rater
        means another person in each case.
    rule : {"infer", "missed"}
        "missed" leaves the study as it is.
    owed : DataFrame, optional
        ``rater`` (and more) of what was assigned: what these raters were asked for is known.

    Returns
    -------
    study : Study
        With the labels of such raters in ``readings``.
    findings : list of Finding
        One for each of these raters.
    """
    if rule == "missed" or study.rater_scope == "case" or len(study.labels) < 2:
        return study, []
    unused = _never_drawn(study, set() if owed is None else set(owed["rater"]))
    if unused.empty:
        return study, []
    readings, findings = study.readings, []
    labels = readings["labels"].to_numpy(dtype=object)
    for rater, of in unused.groupby("rater", sort=False):
        rest = [label for label in study.labels if label not in set(of["label"])]
        mine = (readings["rater"] == rater).to_numpy() & (labels == "")
        labels = np.where(mine, " ".join(rest), labels)
        findings.append(_finding(str(rater), of))
    readings = readings.assign(labels=labels)
    return dataclasses.replace(study, readings=readings), findings


def _never_drawn(study: Study, assigned: set[str]) -> pd.DataFrame:
    """``rater, label, n_slices, n_cases, least``, a row for each label taken as not asked for."""
    boxes = study.boxes
    drawn = pd.crosstab(boxes["rater"], boxes["label"])
    asked = drawn.index[(drawn.sum(axis=1) >= SLICES) & ~drawn.index.isin(assigned)]
    rater, label = np.nonzero(drawn.loc[asked].to_numpy() == 0)
    pairs = pd.DataFrame({"rater": asked[rater], "label": drawn.columns[label]})
    theirs = boxes[boxes["label"].isin(pairs["label"])]
    runs = theirs["label"].isin(_organs_that_go_on(theirs, study.single))
    shown = theirs.assign(run=runs).groupby([*_PLACE, "label"], as_index=False)
    shown = shown.agg(voices=("rater", "nunique"), run=("run", "first"))
    pairs = pairs.assign(divided=_divided(drawn, pairs))
    rows = _read(study).merge(shown, on=_PLACE).merge(pairs, on=["rater", "label"])
    rows["least"] = np.where(rows["divided"] | rows["run"], 1, 2)
    rows = rows[rows["voices"] >= rows["least"]]
    found = rows.groupby(["rater", "label"]).agg(
        n_slices=("slice", "size"), n_cases=("case", "nunique"), least=("least", "first")
    )
    found = found[(found["n_slices"] >= SLICES) & (found["n_cases"] >= CASES)].reset_index()
    otherwise = _named_otherwise(rows, boxes, found)
    return found[otherwise <= _OTHERWISE * found["n_slices"]]


def _organs_that_go_on(boxes: pd.DataFrame, single: Collection[str]) -> list[str]:
    """Organs of which most boxes go on in one of the same rater on a slice beside: not invented."""
    boxes = boxes[boxes["label"].isin(single)].reset_index(names="row")
    key = ["rater", *_PLACE, "label"]
    sides = [boxes.assign(slice=boxes["slice"] + step) for step in (-1, 1)]
    pairs = pd.concat(sides).merge(boxes[[*key, *BOX]], on=key)
    first, second = (pairs[[f"{edge}_{of}" for edge in BOX]].to_numpy(float) for of in "xy")
    on = pairs.loc[paired_iou(first, second) >= _SAME, "row"] if len(pairs) else pairs["row"]
    share = boxes["row"].isin(on).groupby(boxes["label"]).mean()
    return list(share.index[share > 0.5])


def _divided(drawn: pd.DataFrame, pairs: pd.DataFrame) -> Bools:
    """Whether whoever drew each label drew none of those that its rater drew."""
    used = drawn.to_numpy() > 0
    rater, label = (
        index.get_indexer(pairs[name])
        for name, index in (("rater", drawn.index), ("label", drawn.columns))
    )
    shared = used.astype(np.int64) @ used.T.astype(np.int64) > 0
    divided: Bools = ~(shared[rater] & used.T[label]).any(axis=1)
    return divided


def _read(study: Study) -> pd.DataFrame:
    """``case, slice, rater`` of the readings for all labels."""
    readings = study.readings
    whole = (readings["labels"] == "") & (readings["state"] != ReadingState.OPENED.value)
    return readings.loc[whole, [*_PLACE, "rater"]]


def _named_otherwise(rows: pd.DataFrame, boxes: pd.DataFrame, found: pd.DataFrame) -> np.ndarray:
    """On how many slices each rater drew what others have under a label that the rater never drew.

    What was seen and named otherwise was asked for.
    """
    key = ["rater", "label"]
    rows = rows.merge(found[key], on=key)[["rater", *_PLACE, "label"]]
    theirs = boxes[[*_PLACE, "label", *BOX]]
    own = boxes[["rater", *_PLACE, *BOX]]
    pairs = rows.merge(theirs, on=[*_PLACE, "label"]).merge(own, on=["rater", *_PLACE])
    first, second = (pairs[[f"{edge}_{of}" for edge in BOX]].to_numpy(float) for of in "xy")
    same = pairs[paired_iou(first, second) >= _SAME] if len(pairs) else pairs
    n = same.drop_duplicates([*key, *_PLACE]).groupby(key).size()
    return n.reindex(pd.MultiIndex.from_frame(found[key]), fill_value=0).to_numpy()


def _finding(rater: str, of: pd.DataFrame) -> Finding:
    labels = natural_order(of["label"])
    n, cases = int(of["n_slices"].sum()), int(of["n_cases"].max())
    who = "others" if (of["least"] == 1).any() else "two or more others"
    return Finding(
        check="label-never-drawn",
        message=(
            f"never drew {', '.join(labels)}, which {who} drew {n:,} times on slices of "
            f"{count(cases, 'case')} that {rater} read: taken as not asked for, so that nothing of "
            "it counts as missed. If it was asked for, set never_drawn = 'missed' in [annotations]."
        ),
        rater=rater,
        label=labels[0] if len(labels) == 1 else None,
        value=float(n),
        unit="boxes",
    )
