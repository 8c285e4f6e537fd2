"""How a run ends: where it should have gone on. Arrays only.

An organ tapers off towards its ends; a run that stops at the full size of the organ was given up.
A tube, like the aorta, does not taper, so that a label is judged by how it ends elsewhere.
"""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Floats, Ints

LONG = 5
"""Fewest boxes of a run that has a middle to hold its ends against."""
ENOUGH = 3
"""Fewest other cases that say how a label usually ends."""
_BLOCK = 2**16
"""Boxes of runs that are sorted at a time: sorting what fits in a cache is faster."""


def end_sizes(area: Floats, starts: Ints) -> Floats:
    """Area of the first and the last box of each run as a share of the run's median.

    Parameters
    ----------
    area : ndarray, shape (N,)
        Area of each box, runs one after another and by ascending slice.
    starts : ndarray of int, shape (R + 1,)
        Where each run begins, and N.

    Returns
    -------
    sizes : ndarray, shape (R, 2)
        nan for a run with fewer than `LONG` boxes, in which every box is near an end.

    Examples
    --------
    >>> end_sizes(np.array([1.0, 4, 4, 4, 4]), np.array([0, 5])).tolist()
    [[0.25, 1.0]]
    """
    n = np.diff(starts)
    sizes = np.full((len(n), 2), np.nan)
    long = n >= LONG
    if long.any():
        middle = run_medians(area, starts)[long]
        sizes[long, 0] = area[starts[:-1][long]] / middle
        sizes[long, 1] = area[starts[1:][long] - 1] / middle
    return sizes


def run_medians(values: Floats, starts: Ints) -> Floats:
    """Median of each run.

    Parameters
    ----------
    values : ndarray, shape (N,)
        nan where there is none.
    starts : ndarray of int, shape (R + 1,)
        Where each run begins, and N.

    Returns
    -------
    ndarray, shape (R,)
        nan for a run without values.

    Examples
    --------
    >>> run_medians(np.array([1.0, 9, 2, np.nan, 4]), np.array([0, 3, 3, 5])).tolist()
    [2.0, nan, 4.0]
    """
    run = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    known = np.isfinite(values)
    values, n = values[known], np.bincount(run[known], minlength=len(starts) - 1)
    begin = np.cumsum(n) - n
    medians = np.full(len(n), np.nan)
    for size in np.unique(n[n > 0]).tolist():
        alike = np.flatnonzero(n == size)
        step = max(1, _BLOCK // size)
        for block in np.split(alike, range(step, len(alike), step)):
            ordered = np.sort(values[begin[block][:, None] + np.arange(size)], axis=1)
            medians[block] = (ordered[:, (size - 1) // 2] + ordered[:, size // 2]) / 2
    return medians


def usual_sizes(sizes: Floats, labels: Ints, cases: Ints) -> Floats:
    """How the runs of the same label usually end in the *other* cases.

    Parameters
    ----------
    sizes : ndarray, shape (R, 2)
        As from `end_sizes`.
    labels, cases : ndarray of int, shape (R,)
        Label and case of each run.

    Returns
    -------
    usual : ndarray, shape (R, 2)
        Median over the other cases (of each case's median); with fewer than `ENOUGH` of them,
        the other end of the same run.
    """
    usual = sizes[:, ::-1].copy()
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        found, place = np.unique(cases[mine], return_inverse=True)
        for end in range(2):
            per_case = np.array(
                [_nanmedian(sizes[mine[place == k], end]) for k in range(len(found))]
            )
            usual[mine, end] = _left_out(per_case, usual[mine, end], place)
    return usual


def _left_out(per_case: Floats, otherwise: Floats, place: Ints) -> Floats:
    """Median of all cases but one's own; `otherwise` where too few are known."""
    result = otherwise.copy()
    for k in range(len(per_case)):
        others = np.delete(per_case, k)
        others = others[np.isfinite(others)]
        if others.size >= ENOUGH:
            result[place == k] = np.median(others)
    return result


def _nanmedian(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def shared_ends(ends: Ints, cases: Ints, labels: Ints) -> Ints:
    """With how many labels of its case each run shares its end.

    Parameters
    ----------
    ends : ndarray of int, shape (R,)
        First (or last) slice of each run.
    cases, labels : ndarray of int, shape (R,)

    Returns
    -------
    ndarray of int, shape (R,)
        Number of different labels of the case with a run that ends on this slice, its own
        included.

    Examples
    --------
    >>> shared_ends(np.array([4, 4, 9]), np.array([0, 0, 0]), np.array([0, 1, 2])).tolist()
    [2, 2, 1]
    """
    triples = np.unique(np.stack([cases, ends, labels], axis=1), axis=0)
    pairs, counts = np.unique(triples[:, :2], axis=0, return_counts=True)
    found = {(case, end): n for (case, end), n in zip(pairs.tolist(), counts.tolist(), strict=True)}
    both = zip(cases.tolist(), ends.tolist(), strict=True)
    return np.array([found[pair] for pair in both], dtype=np.int64)
