"""Where a label should begin and end, learned from the other cases. Arrays only.

Patients differ in height and scans in where they begin, but organs lie above one another in the
same order. A *reference* case is shifted so that the ends of all labels that it shares with the
case at hand fit best; its own ends of a label then say where that label could begin and end here.
Medians make up for references that are themselves not complete.
"""

from __future__ import annotations

import warnings

import numpy as np

from crowdqc.arrays import Bools, Floats

REFERENCES = 50
"""Most reference cases of a case: more make medians no better, only slower."""
COMMON_ENDS = 4
"""Fewest ends (two labels) by which a reference is aligned: by one label alone, a run that is too
short would be laid over the middle of a good one."""
FEWEST = 3
"""Fewest references that make an expectation."""


def reference_ends(ends: Floats) -> Floats:
    """Ends of each label of each case as other cases have them.

    Parameters
    ----------
    ends : ndarray, shape (C, L, 2)
        Height of the lower and upper end of each label of each case in mm; nan where a case
        lacks the label.

    Returns
    -------
    expected : ndarray, shape (C, L, K, 2)
        What each of K reference cases, shifted to fit, says; nan where it cannot be aligned or
        lacks the label. K is the number of cases, or `REFERENCES` spread evenly over them; a
        case is no reference of itself (nan).

    Examples
    --------
    >>> ends = np.array([[[0, 50], [30, 80]], [[10, 60], [40, 90]], [[0, 50], [30, 50.0]]])
    >>> reference_ends(ends)[2, 1, :2].tolist()
    [[30.0, 80.0], [30.0, 80.0]]
    """
    n = len(ends)
    chosen = np.unique(np.linspace(0, n - 1, min(n, REFERENCES)).astype(int))
    expected = np.full((*ends.shape[:2], len(chosen), 2), np.nan)
    for k, reference in enumerate(chosen):
        difference = (ends - ends[reference]).reshape(n, -1)
        usable = np.isfinite(difference).sum(axis=1) >= COMMON_ENDS
        usable[reference] = False
        if usable.any():
            shift = np.nanmedian(difference[usable], axis=1)
            expected[usable, :, k] = ends[reference] + shift[:, None, None]
    return expected


def expected_ends(expected: Floats) -> Floats:
    """Median of what the references say.

    Parameters
    ----------
    expected : ndarray, shape (C, L, K, 2)
        As from `reference_ends`.

    Returns
    -------
    ends : ndarray, shape (C, L, 2)
        Lower and upper end in mm; nan where fewer than `FEWEST` references know.
    """
    return _median(expected, axis=2, enough=np.isfinite(expected).sum(axis=2) >= FEWEST)


def spread_of_ends(ends: Floats, expected: Floats) -> float:
    """How far ends lie from what is expected: a robust standard deviation, in mm.

    Parameters
    ----------
    ends : ndarray, shape (N, L, 2)
        First and last end of L labels in N cases, in mm; nan where a case has none.
    expected : ndarray, shape (N, L, K, 2)
        As from `reference_ends`.

    Returns
    -------
    float
        1.4826 times the median absolute difference over all ends; nan without any.
    """
    difference = np.abs(ends - expected_ends(expected))
    finite = difference[np.isfinite(difference)]
    return float(1.4826 * np.median(finite)) if finite.size else float("nan")


def presence(heights: Floats, expected: Floats, *, spread: float) -> Floats:
    """Share of the references in which a label reaches a height.

    Parameters
    ----------
    heights : ndarray, shape (N,)
        Heights in mm.
    expected : ndarray, shape (K, 2)
        Ends of the label by each reference, in mm, as one entry of `reference_ends`.
    spread : float
        Standard deviation of ends in mm: an end is a Gaussian step of this width.

    Returns
    -------
    ndarray, shape (N,)
        In ``[0, 1]``; nan where fewer than `FEWEST` references know or `spread` is nan.

    Examples
    --------
    >>> ends = np.array([[0.0, 50], [0, 50], [0, 50]])
    >>> presence(np.array([25.0, 50, 90]), ends, spread=10).round(2).tolist()
    [0.99, 0.5, 0.0]
    """
    known = expected[np.isfinite(expected).all(axis=1)]
    if len(known) < FEWEST or not spread > 0:
        return np.full(len(heights), np.nan)
    from scipy.special import ndtr  # noqa: PLC0415 - long to import, and only used here

    above = ndtr((heights[:, None] - known[:, 0]) / spread)
    below = ndtr((known[:, 1] - heights[:, None]) / spread)
    share: Floats = (above * below).mean(axis=1)
    return share


def _median(values: Floats, *, axis: int, enough: Bools) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-nan slices are nan, as wanted
        median = np.nanmedian(values, axis=axis)
    return np.where(enough, median, np.nan)
