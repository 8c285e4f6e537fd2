"""Boxes between two drawn slices, interpolated where the ones between are missing.

Nothing is extrapolated beyond the first and the last slice. Only organs have gaps: a label of
which a slice holds several objects says nothing about which is which in the next slice.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.arrays import Floats, Ints
from crowdqc.schema import BOX, INTERPOLATED, SPREAD, conform


def interpolate_gaps(consensus: pd.DataFrame) -> pd.DataFrame:
    """Fill the gaps of every case and label.

    Parameters
    ----------
    consensus : DataFrame
        Table ``consensus``. A slice counts as drawn if it has exactly one row of the label
        that is ``agreed`` or ``single``; a slice without such a row is a gap.

    Returns
    -------
    DataFrame
        The table with a row more for each slice of each gap: ``method`` is `INTERPOLATED`,
        `support` and `n_raters` are 0, `raters` is empty, `state` that of the neighbours
        (``agreed`` only if both are), and the spread grows with the distance to them.
        Ordered by first appearance of case and label, then by slice.

    Notes
    -----
    Edges are interpolated linearly. The spread is that of a bridge: at the share t of a gap
    of n slices the variance is the interpolated one of the neighbours plus
    ``n t (1 - t) v``, where v is the variance per slice of what linear interpolation misses
    in the same case and label, measured by leaving out every drawn slice between two others
    at the distance of one; without such slices it is the mean squared change per slice.
    """
    usable = consensus[consensus["state"].isin(["agreed", "single"])]
    alone = ~usable.duplicated(["case", "slice", "label"], keep=False)
    several = usable.loc[~alone, ["case", "label"]].drop_duplicates()
    filled = [consensus]
    for (case, label), run in usable[alone].groupby(["case", "label"], sort=False):
        twice = ((several["case"] == case) & (several["label"] == label)).any()
        if len(run) > 1 and not twice:
            filled.append(_fill(run.sort_values("slice")))
    result = pd.concat([part for part in filled if len(part)] or [consensus], ignore_index=True)
    order = result.groupby(["case", "label"], sort=False).ngroup()
    keys = pd.DataFrame({"order": order, "slice": result["slice"]})
    return conform("consensus", result.iloc[keys.sort_values(["order", "slice"]).index])


def _fill(run: pd.DataFrame) -> pd.DataFrame:
    """Rows for the gaps of one run of slices in order."""
    slices = run["slice"].to_numpy()
    missing = np.setdiff1d(np.arange(slices[0], slices[-1]), slices)
    after = np.searchsorted(slices, missing)
    before = after - 1
    gap = slices[after] - slices[before]
    share = ((missing - slices[before]) / gap)[:, None]
    boxes, spread = run[BOX].to_numpy(), np.nan_to_num(run[SPREAD].to_numpy())
    mixed = (1 - share) ** 2 * spread[before] ** 2 + share**2 * spread[after] ** 2
    bridge = gap[:, None] * share * (1 - share) * _roughness(slices, boxes)
    rows = run.iloc[before].assign(
        slice=missing,
        support=0,
        n_raters=0,
        raters="",
        method=INTERPOLATED,
        score=np.minimum(run["score"].to_numpy()[before], run["score"].to_numpy()[after]),
    )
    states = run["state"].to_numpy()
    both = (states[before] == "agreed") & (states[after] == "agreed")
    rows["state"] = np.where(both, "agreed", "single")
    rows[BOX] = (1 - share) * boxes[before] + share * boxes[after]
    rows[SPREAD] = np.sqrt(mixed + bridge)
    return rows


def _roughness(slices: Ints, boxes: Floats) -> Floats:
    """Variance per slice of each edge round the straight line, (4,), in px^2."""
    inner = np.flatnonzero((np.diff(slices)[:-1] == 1) & (np.diff(slices)[1:] == 1)) + 1
    if len(inner):
        away = boxes[inner] - (boxes[inner - 1] + boxes[inner + 1]) / 2
        return 2 * np.mean(away**2, axis=0)  # a gap of 2: n t (1 - t) = 1/2
    change = np.diff(boxes, axis=0) / np.diff(slices)[:, None]
    return np.mean(change**2, axis=0)
