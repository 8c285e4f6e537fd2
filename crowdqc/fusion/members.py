"""From a fused box back to the boxes that raters drew of the same object, and to their points."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.geometry import paired_iou
from crowdqc.schema import BOX, PLACE
from crowdqc.text import names_of

COLUMN = "rater_boxes"
"""Column that `with_members` adds to the table ``consensus``."""

POINTS = "rater_points"
"""Column that `with_points` adds to the table ``consensus``."""
SCRIBBLES = "rater_scribbles"
"""Another one, where there are any."""
Mark = tuple[float, float, bool]
"""``x, y`` in px, and whether it lies on the object."""


def with_members(consensus: pd.DataFrame, boxes: pd.DataFrame, *, iou: float = 0.3) -> pd.DataFrame:
    """The table ``consensus`` with the box of each rater who supports an object.

    Parameters
    ----------
    consensus : DataFrame
        Table ``consensus``; its column `raters` names those who support an object.
    boxes : DataFrame
        Table ``boxes``. A rater without a box here has no member.
    iou : float
        What supporting means: the IoU with the fused box that a box must reach, as in the
        matching. Of several boxes of a rater the one with the highest counts.

    Returns
    -------
    DataFrame
        `consensus` with the column ``rater_boxes``: a tuple of boxes ``(x0, y0, x1, y1)``, in
        the order of the raters' names, empty where nobody drew the box (an interpolated one).

    Examples
    --------
    >>> place = {"case": ["a"], "slice": [3], "label": ["liver"]}
    >>> fused = pd.DataFrame(place | {"x0": 1.0, "y0": 2.0, "x1": 9.0, "y1": 8.0, "raters": "AK"})
    >>> drawn = pd.DataFrame(place | {"x0": 1.0, "y0": 2.0, "x1": 8.0, "y1": 8.0, "rater": "AK"})
    >>> with_members(fused, drawn)["rater_boxes"].iloc[0]
    ((1.0, 2.0, 8.0, 8.0),)
    """
    rows = consensus.reset_index(drop=True)
    rows = rows[rows[BOX].notna().all(axis=1)].reset_index(names="row")
    pairs = rows[["row", "raters", *PLACE, *BOX]].merge(
        boxes[[*PLACE, "rater", *BOX]], on=PLACE, suffixes=("_fused", "")
    )
    fused = pairs[[f"{edge}_fused" for edge in BOX]].to_numpy(dtype=np.float64)
    pairs["iou"] = paired_iou(fused, pairs[BOX].to_numpy(dtype=np.float64))
    names = zip(pairs["rater"], pairs["raters"], strict=True)
    named = np.array([rater in names_of(raters) for rater, raters in names], dtype=bool)
    found = pairs[named & (pairs["iou"] >= iou)].sort_values(
        ["row", "rater", "iou", *BOX], ascending=[True, True, False, True, True, True, True]
    )
    found = found.drop_duplicates(["row", "rater"])
    members: list[tuple[tuple[float, ...], ...]] = [()] * len(consensus)
    for row, group in found.groupby("row"):
        members[row] = tuple(map(tuple, group[BOX].to_numpy(dtype=np.float64).tolist()))
    return consensus.assign(**{COLUMN: pd.Series(members, index=consensus.index, dtype=object)})


def with_points(consensus: pd.DataFrame, points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table ``consensus`` with the points that raters set on or beside each object.

    Parameters
    ----------
    consensus : DataFrame
        Table ``consensus``.
    points : DataFrame
        Table ``points``.

    Returns
    -------
    consensus : DataFrame
        With the column ``rater_points``: a tuple of ``(x, y, positive)``. A point on an object
        belongs to each box of its label that holds it, a point beside one to all boxes of its
        label on the slice. With scribbles also ``rater_scribbles``: a tuple of tuples of their
        corners; one on an object belongs to each box that holds half of them.
    unused : DataFrame
        Rows of `points` that belong to no box.

    Examples
    --------
    >>> place = {"case": ["a"], "slice": [3], "label": ["liver"]}
    >>> fused = pd.DataFrame(place | {"x0": 1.0, "y0": 2.0, "x1": 9.0, "y1": 8.0})
    >>> point = pd.DataFrame(place | {"x": 4.0, "y": 5.0, "positive": True})
    >>> with_points(fused, point)[0]["rater_points"].iloc[0]
    ((4.0, 5.0, True),)
    """
    rows = consensus.reset_index(drop=True)
    rows = rows[rows[BOX].notna().all(axis=1)].reset_index(names="row")
    lines = points.get("scribble", pd.Series("", points.index)).to_numpy()
    pairs = points.assign(scribble=lines).reset_index(drop=True).reset_index(names="point_row")
    own = ["point_row", *PLACE, "rater", "x", "y", "positive", "scribble"]
    pairs = pairs[[name for name in own if name in pairs]].merge(
        rows[["row", *PLACE, *BOX]], on=PLACE
    )
    pairs = pairs[_held(pairs) | ~pairs["positive"].astype(bool)]
    line = pairs["scribble"] != ""
    given: list[tuple[Mark, ...]] = [()] * len(consensus)
    for row, group in pairs[~line].groupby("row"):
        given[row] = _marks(group)
    table = consensus.assign(**{POINTS: pd.Series(given, index=consensus.index, dtype=object)})
    if (lines != "").any():
        drawn: list[tuple[tuple[Mark, ...], ...]] = [()] * len(consensus)
        for (row, *_), group in pairs[line].groupby(["row", *_line_of(pairs)], sort=False):
            drawn[row] += (_marks(group),)
        table[SCRIBBLES] = pd.Series(drawn, index=consensus.index, dtype=object)
    return table, points[~np.isin(np.arange(len(points)), pairs["point_row"])]


def _line_of(pairs: pd.DataFrame) -> list[str]:
    """Columns that tell scribbles of a slice apart."""
    return [name for name in ("rater", "scribble") if name in pairs]


def _held(pairs: pd.DataFrame) -> pd.Series:
    """Whether a box holds a point, or half of the corners of its scribble."""
    inside = pairs["x"].between(pairs["x0"], pairs["x1"])
    inside &= pairs["y"].between(pairs["y0"], pairs["y1"])
    half = inside.groupby([pairs["row"], *(pairs[name] for name in _line_of(pairs))])
    return inside.where(pairs["scribble"] == "", half.transform("mean") >= 0.5)


def _marks(group: pd.DataFrame) -> tuple[Mark, ...]:
    places = zip(group["x"], group["y"], group["positive"], strict=True)
    return tuple((float(x), float(y), bool(positive)) for x, y, positive in places)
