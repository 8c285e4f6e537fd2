"""Agreement on where an organ begins and ends along the slices."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.pool import Places, Summands, pool
from crowdqc.arrays import Floats
from crowdqc.matching import Matched
from crowdqc.schema import ORGAN


def extents(matched: Matched, places: Places) -> pd.DataFrame:
    """How far raters' first and last slices of an organ are from the others' median.

    Of labels that a slice holds once; for the study, each label, case and rater. In mm, or in
    slices (`unit` says which) where the distance of slices is not known for every case.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    places : Places
        Clusters and resamples.

    Returns
    -------
    DataFrame
        Empty if no two raters drew an organ of the same case.
    """
    found = run_ends(matched)
    if found.empty:
        return pd.DataFrame()
    spacing = matched.study.images.groupby("case")["spacing_z"].first()
    step = found["case"].map(spacing).to_numpy(np.float64)
    unit = "mm" if np.isfinite(step).all() else "slices"
    step = step if unit == "mm" else np.ones(len(found))
    rows = []
    for end, name in (("first", "first_slice_error"), ("last", "last_slice_error")):
        away = np.abs(past_others(found, end)) * step
        summands = Summands(
            found["place"].to_numpy(),
            (away, np.ones(len(found))),
            {"rater": found["person"].to_numpy()},
        )
        parts: list[list[str]] = [[], ["label"], ["case"], ["rater"]]
        rows += [pool(summands, keys, places, measure=name, unit=unit) for keys in parts]
    return pd.concat(rows, ignore_index=True)


def run_ends(matched: Matched) -> pd.DataFrame:
    """First and last slice of each organ of each case by each rater, where two drew it.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.

    Returns
    -------
    DataFrame
        ``case, label, person, first, last, place``.
    """
    boxes = matched.boxes[matched.boxes["label"].isin(matched.study.single)]
    runs = boxes.groupby([*ORGAN, "person"], sort=True)
    ends = runs.agg(first=("slice", "min"), last=("slice", "max"), place=("place", "min"))
    ends = ends.reset_index()
    return ends[ends.groupby(ORGAN)["person"].transform("size") >= 2].reset_index(drop=True)


def past_others(ends: pd.DataFrame, column: str) -> Floats:
    """How far each value lies past the median of the others of its case and label, in slices.

    Parameters
    ----------
    ends : DataFrame
        As of `run_ends`.
    column : {"first", "last"}
        Which end.
    """
    order = ends.sort_values([*ORGAN, column], kind="stable")
    value = order[column].to_numpy(np.float64)
    group = order.groupby(ORGAN, sort=False)
    n = group[column].transform("size").to_numpy()
    rank = group.cumcount().to_numpy()
    start = np.arange(len(value)) - rank
    low, high = (n - 2) // 2, (n - 1) // 2  # of the n - 1 others, in order
    middle = (value[start + low + (low >= rank)] + value[start + high + (high >= rank)]) / 2
    away = np.empty(len(value))
    away[order.index.to_numpy()] = value - middle
    return away
