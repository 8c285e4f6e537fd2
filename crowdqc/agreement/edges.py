"""Intraclass correlation of box edges: do raters place them alike, set against the anatomy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.arrays import EDGES
from crowdqc.agreement.icc import icc
from crowdqc.agreement.pool import ALONE
from crowdqc.matching import Matched

LEAST = 3
"""Objects that the same raters must all have drawn."""


def edge_correlations(matched: Matched, level: float) -> pd.DataFrame:
    """ICC(2,1) and ICC(2,k) of each edge, for each label.

    Of the objects that one and the same set of raters drew: the set with the most boxes, which
    `why` names. Its interval is that of the two-way model, not of the bootstrap.
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
    names = "raters " + " ".join(matched.people[person] for person in raters)
    rows = []
    for column, edge in enumerate(EDGES):
        for form, prefix in (("2,1", "icc"), ("2,k", "icc_mean")):
            row: dict[str, object] = {"measure": f"{prefix}_{edge}", "label": label, "unit": "1"}
            if len(block) < LEAST:
                rows.append({**row, "value": np.nan, "n": len(block), "why": few})
                continue
            value, low, high = icc(block[:, :, column], form, level=level)  # type: ignore[arg-type]
            found = {"value": value, "low": low, "high": high, "n": len(block), "why": names}
            rows.append(row | found)
    return rows


def _largest_block(boxes: pd.DataFrame) -> tuple[np.ndarray, tuple[int, ...]]:
    """Edges (objects, raters, 4) of the objects of one set of raters, and that set."""
    if boxes.empty:
        return np.zeros((0, 0, 4)), ()
    person, edges = boxes["person"].to_numpy(), boxes[EDGES].to_numpy()
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
