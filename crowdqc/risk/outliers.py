"""How far a mask is from what the other cases have. Arrays only, but for the table of boxes.

Organs lie in much the same place and have much the same grey value in all cases of a study. A
fault that runs along an organ (all boxes moved, or round a neighbour) is like itself from slice to
slice, but not like the others; so is a mask that draws the rim of an object for the object.
Distances are robust: from a median of the *other* cases, in units of 1.4826 times the median
absolute distance of all; beyond `LIMIT` of them something is an outlier [1]_.

References
----------
.. [1] B. Iglewicz, D. C. Hoaglin, "How to detect and handle outliers", ASQC Basic References in
   Quality Control 16, 1993 (the limit of 3.5).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from crowdqc.arrays import Floats
from crowdqc.schema import BOX

LIMIT = 3.5
"""Robust standard deviations at which something is as likely an outlier as not."""
STEEPNESS = 6
"""How soon a mask stops being as the others are: at 2 deviations 3 % are not, at 6 96 %."""
UNUSUAL = 0.3
"""Support that is left to an outlier: patients differ, and many outliers are right."""
FEWEST = 3
"""Fewest other cases that make an expectation."""
NODES = np.linspace(0.0, 1.0, 9)
"""Relative heights of an organ at which cases are compared."""
LEAST_MM, LEAST_GREY, LEAST_SHARE = 1.0, 4.0, 0.2
"""Least standard deviation of places, of grey values from 0 to 255, and of shares: what rounding
and the edges of boxes make."""


def usual(distance: Floats) -> Floats:
    """Share of its support that a mask keeps which is so far from what the other cases have.

    Parameters
    ----------
    distance : ndarray
        Robust standard deviations, 0 up; nan, not known, counts as 0.

    Returns
    -------
    ndarray
        Between `UNUSUAL` and 1.

    Examples
    --------
    >>> usual(np.array([0.0, 2.0, 3.5, 6.0, np.nan])).round(2).tolist()
    [1.0, 0.98, 0.65, 0.33, 1.0]
    """
    like_others = 1.0 / (1.0 + (np.nan_to_num(distance, nan=0.0) / LIMIT) ** STEEPNESS)
    share: Floats = UNUSUAL + (1.0 - UNUSUAL) * like_others
    return share


def others_median(values: Floats) -> Floats:
    """Median over the first axis of all but the value itself.

    Parameters
    ----------
    values : ndarray, shape (N, ...)
        Finite.

    Returns
    -------
    ndarray, shape (N, ...)
        nan where there is no other.

    Examples
    --------
    >>> others_median(np.array([1.0, 2, 10])).tolist()
    [6.0, 5.5, 1.5]
    """
    n = len(values)
    if n < 2:
        return np.full(values.shape, np.nan)
    order = np.argsort(values, axis=0)
    rank, ordered = np.argsort(order, axis=0), np.take_along_axis(values, order, 0)

    def without_self(place: int) -> Floats:
        return np.where(rank > place, ordered[place], ordered[place + 1])

    median: Floats = (without_self((n - 2) // 2) + without_self((n - 1) // 2)) / 2
    return median


def robust_spread(distances: Floats, least: float) -> Floats:
    """1.4826 times the median absolute distance over all but the last axis, at least `least`.

    Parameters
    ----------
    distances : ndarray, shape (..., K)
        Distances from what was expected.
    least : float
        In their unit.

    Returns
    -------
    ndarray, shape (K,)
    """
    axes = tuple(range(distances.ndim - 1))
    spread: Floats = np.maximum(1.4826 * np.median(np.abs(distances), axis=axes), least)
    return spread


def place_distances(
    boxes: pd.DataFrame, spacing: Mapping[str, tuple[float, float, float]]
) -> pd.DataFrame:
    """How far the centre of each box is from where the other cases have the label.

    Parameters
    ----------
    boxes : DataFrame
        ``case, slice, label, x0, y0, x1, y1``; several of a label on a slice count as their mean.
    spacing : mapping
        Case -> spacing along x, y and z in mm.

    Returns
    -------
    DataFrame
        ``case, slice, label, place``: robust standard deviations (root of the mean square of both
        axes), nan where fewer than `FEWEST` other cases have the label.

    Notes
    -----
    Cases are compared at the same relative height of the label, by the place in the picture and by
    the place beside the other labels of the case; the two count by their precision.
    """
    centres = _centres(boxes, spacing)
    groups = centres.groupby(["label", "case"], sort=True).indices
    at, place = centres[["x", "y"]].to_numpy(), centres["height"].to_numpy()
    courses: dict[str, dict[str, Floats]] = {}
    for (label, case), rows in groups.items():
        nodes = [np.interp(NODES, place[rows], at[rows, axis]) for axis in (0, 1)]
        courses.setdefault(label, {})[case] = np.stack(nodes, axis=1)
    beside = _offsets_of_others(courses)
    distance = np.full(len(centres), np.nan)
    for label, cases in courses.items():
        if len(cases) <= FEWEST:
            continue
        course = np.stack(list(cases.values()))
        off, spread = _off(course, np.array([beside[case, label] for case in cases]))
        for case, own, wrong in zip(cases, course, off, strict=True):
            rows = groups[label, case]
            expected = [np.interp(place[rows], NODES, (own - wrong)[:, axis]) for axis in (0, 1)]
            ratio = (at[rows] - np.stack(expected, axis=1)) / spread
            distance[rows] = np.sqrt((ratio**2).mean(axis=1))
    return centres[["case", "slice", "label"]].assign(place=distance)


def value_distances(table: pd.DataFrame, name: str, least: float) -> Floats:
    """How far a value of each mask is from what it is in the other cases of the label.

    Parameters
    ----------
    table : DataFrame
        ``case``, ``label`` and the value; nan where there is none. Rows are numbered from 0.
    name : str
        Column of the value.
    least : float
        Least standard deviation, in units of the value.

    Returns
    -------
    ndarray, shape (N,)
        Robust standard deviations from the median of the other cases' medians; where fewer than
        `FEWEST` other cases have the label, from the median of the organ's own slices.
    """
    distance = np.full(len(table), np.nan)
    for _, rows in table[["case", "label", name]].dropna(subset=[name]).groupby("label"):
        own = rows.groupby("case")[name].median()
        if len(own) > FEWEST:
            own = pd.Series(others_median(own.to_numpy()), own.index)
        off = (rows[name] - rows["case"].map(own)).to_numpy()
        distance[rows.index] = np.abs(off) / robust_spread(off[:, None], least)
    return distance


def _centres(
    boxes: pd.DataFrame, spacing: Mapping[str, tuple[float, float, float]]
) -> pd.DataFrame:
    """Centres in mm and relative heights (0 to 1) of the boxes of each label on each slice."""
    key = ["case", "label", "slice"]
    mean = boxes.groupby(key, as_index=False)[BOX].mean()
    pixel = np.array([spacing[case][:2] for case in mean["case"]]).reshape(-1, 2)
    corners = mean[BOX].to_numpy(dtype=np.float64)
    centre = (corners[:, :2] + corners[:, 2:]) / 2 * pixel
    slices = mean.groupby(["case", "label"])["slice"]
    first, last = slices.transform("min"), slices.transform("max")
    height = (mean["slice"] - first) / (last - first).where(last > first, 2)
    return mean[key].assign(x=centre[:, 0], y=centre[:, 1], height=height.where(last > first, 0.5))


def _offsets_of_others(
    courses: Mapping[str, Mapping[str, Floats]],
) -> dict[tuple[str, str], Floats]:
    """By how much the other labels of a case are off, in mm: median (2,); nan without any."""
    off: dict[str, dict[str, Floats]] = {}
    for label, cases in courses.items():
        middle = np.array([np.median(course, axis=0) for course in cases.values()])
        for case, one in zip(cases, middle - others_median(middle), strict=True):
            if np.isfinite(one).all():
                off.setdefault(case, {})[label] = one
    found: dict[tuple[str, str], Floats] = {}
    for case, labels in off.items():
        medians = others_median(np.array(list(labels.values())))
        found |= {(case, label): one for label, one in zip(labels, medians, strict=True)}
    nothing = np.full(2, np.nan)
    return {(c, label): found.get((c, label), nothing) for label in courses for c in courses[label]}


def _off(course: Floats, beside: Floats) -> tuple[Floats, Floats]:
    """By how much each course (C, K, 2) is off, and the robust spread of that (2,)."""
    off = course - others_median(course)
    known = np.isfinite(beside).all(axis=1)
    if known.sum() > FEWEST:
        moved = course[known] - beside[known, None]
        moved -= others_median(moved)
        precise, other = (robust_spread(part, LEAST_MM) ** -2 for part in (off, moved))
        off[known] = (precise * off[known] + other * moved) / (precise + other)
    return off, robust_spread(off, LEAST_MM)
