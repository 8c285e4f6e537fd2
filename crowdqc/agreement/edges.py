"""Intraclass correlation and alpha of box edges: do raters place them alike, by the anatomy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.alpha import summed
from crowdqc.agreement.icc import icc
from crowdqc.agreement.pool import Places, Summands, pool
from crowdqc.arrays import Floats
from crowdqc.matching import Matched
from crowdqc.schema import BOX
from crowdqc.text import ALONE, names_cell

LEAST = 3
"""Objects that the same raters must all have drawn."""


def edge_correlations(matched: Matched, level: float) -> pd.DataFrame:
    """ICC(2,1) and ICC(2,k) of each edge, for each label.

    Of the objects that one and the same set of raters drew: the set with the most boxes, which
    `why` names. Its interval is that of the two-way model, not of the bootstrap.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    level : float
        Of the intervals, 0 to 1.

    Returns
    -------
    DataFrame
        Empty without labels; nan, and why, for a label that no two raters share.
    """
    boxes = matched.boxes.sort_values(["object", "person"], kind="stable")
    shared = boxes[boxes.groupby("object")["box"].transform("size") >= 2]
    rows = []
    for label in matched.study.labels:
        rows += _rows(shared[shared["label"] == label], label, matched, level=level)
    return pd.DataFrame(rows)


def _rows(
    boxes: pd.DataFrame, label: str, matched: Matched, *, level: float
) -> list[dict[str, object]]:
    block, raters = _largest_block(boxes)
    few = f"no {LEAST} objects were drawn by the same raters" if len(boxes) else ALONE
    names = "raters " + names_cell(matched.people[person] for person in raters)
    rows = []
    for column, edge in enumerate(BOX):
        for form, prefix in (("2,1", "icc"), ("2,k", "icc_mean")):
            row: dict[str, object] = {"measure": f"{prefix}_{edge}", "label": label, "unit": "1"}
            if len(block) < LEAST:
                rows.append({**row, "value": np.nan, "n": len(block), "why": few})
                continue
            value, low, high = icc(block[:, :, column], form, level=level)  # type: ignore[arg-type]
            found = {"value": value, "low": low, "high": high, "n": len(block), "why": names}
            rows.append(row | found)
    return rows


def edge_alphas(matched: Matched, places: Places) -> pd.DataFrame:
    """Krippendorff's alpha (interval) of each edge, for each label; raters may be missing.

    The same question as `edge_correlations` asks, of all objects that two raters or more drew.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    places : Places
        Clusters and resamples.

    Returns
    -------
    DataFrame
        nan where all edges are the same.
    """
    boxes = matched.boxes
    group = boxes["object"].to_numpy(np.int64)
    m = summed(group, np.ones(len(group)), len(matched.objects))
    place = matched.objects["place"].to_numpy(np.int64)
    shared = np.flatnonzero(m >= 2)
    rows = []
    for edge in BOX:
        value = boxes[edge].to_numpy(np.float64)
        value = value - value.sum() / max(len(value), 1)  # so that the sums of squares lose less
        total = summed(group, value, len(m))[shared]
        squares = summed(group, np.square(value), len(m))[shared]
        n = m[shared]
        apart = 2 * (n * squares - np.square(total)) / (n - 1)
        summands = Summands(place[shared], (n, total, squares, apart), statistic=_interval_alpha)
        rows.append(pool(summands, ["label"], places, measure=f"alpha_{edge}"))
    found = pd.concat(rows, ignore_index=True)
    return found.assign(why=np.where(found["value"].isna(), "all edges are the same", ""))


def _interval_alpha(*sums: Floats) -> Floats:
    """Alpha with squared distances, from the sums over units of n, values, squares, distances."""
    n, total, squares, apart = sums
    expected = 2 * (n * squares - np.square(total))
    ratio = np.full(np.shape(n), np.nan)
    np.divide((n - 1) * apart, expected, out=ratio, where=expected > 1e-9 * np.maximum(n, 1) ** 2)
    alpha: Floats = 1 - ratio
    return alpha


def _largest_block(boxes: pd.DataFrame) -> tuple[np.ndarray, tuple[int, ...]]:
    """Edges (objects, raters, 4) of the objects of one set of raters, and that set."""
    if boxes.empty:
        return np.zeros((0, 0, 4)), ()
    person, edges = boxes["person"].to_numpy(), boxes[BOX].to_numpy()
    start = np.flatnonzero(np.diff(boxes["object"].to_numpy(), prepend=-1))
    size = np.diff(start, append=len(boxes))
    best: tuple[int, np.ndarray, tuple[int, ...]] = (0, np.zeros((0, 0, 4)), ())
    for n in np.unique(size):
        rows = start[size == n][:, None] + np.arange(n)
        sets, of, count = np.unique(person[rows], axis=0, return_inverse=True, return_counts=True)
        most = int(count.argmax())
        if count[most] * n > best[0]:
            chosen = rows[of.reshape(-1) == most]
            best = (int(count[most] * n), edges[chosen], tuple(map(int, sets[most])))
    return best[1], best[2]
