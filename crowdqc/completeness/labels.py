"""Labels that changed places: against the other cases, and against the other raters. Arrays only.

Everything is computed for the organs that were drawn, so that a thousand labels of which a case
shows ten cost no more than ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from crowdqc.arrays import Floats, Ints

APART = 0.25
"""Two organs lie apart along an axis where their centres differ by more than this share of the
sum of their sizes, halfway to touching: to change sides, one must move by twice as much."""
ALIKE = 0.8
"""Share of the other units in which two labels must lie in the same order."""
ELSEWHERE = 0.3
"""Share of its size by which an organ that others drew, too, lies elsewhere or is of another
size: raters of the same case differ by less."""
FEWEST = 3
"""Fewest other units that say how two labels lie."""
BLOCK = 2_000_000
"""Pairs of organs that are held at a time: a thousand labels on an image make half a million."""


class Organs(NamedTuple):
    """Organs that were drawn, each once in a unit (a case as one rater drew it).

    Parameters
    ----------
    unit, label : ndarray of int, shape (N,)
        Where, and as what.
    centre, size : ndarray, shape (N, 3)
        Along x, y (px) and slices.
    """

    unit: Ints
    label: Ints
    centre: Floats
    size: Floats


class LabelPairs(NamedTuple):
    """Two organs of one unit, the one with the smaller label number first.

    Parameters
    ----------
    unit, a, b : ndarray of int, shape (P,)
        The unit and both labels.
    relation : ndarray, shape (P, 4)
        Difference of the centres over the sum of the sizes, first label minus second, along
        three axes; last a quarter of the binary logarithm of the ratio of their areas in x and
        y, so that `APART` is one that is twice the other.
    """

    unit: Ints
    a: Ints
    b: Ints
    relation: Floats


def _pair_blocks(organs: Organs) -> Iterator[LabelPairs]:
    """Every two organs of a unit, and how they lie to each other, some labels at a time.

    Parameters
    ----------
    organs : Organs

    Yields
    ------
    LabelPairs
        About `BLOCK` pairs; those of the same two labels, in whatever unit, are together.
    """
    order = np.lexsort((organs.label, organs.unit))
    organs = Organs._make(part[order] for part in organs)
    partners = np.searchsorted(organs.unit, organs.unit, side="right") - np.arange(len(order)) - 1
    by_label = np.argsort(organs.label, kind="stable")
    block = np.cumsum(partners[by_label]) // BLOCK
    _, start, of = np.unique(organs.label[by_label], return_index=True, return_inverse=True)
    cuts = np.flatnonzero(np.diff(block[start][of.reshape(-1)])) + 1
    for rows in np.split(by_label, cuts):
        yield _with_those_after(organs, rows, partners[rows])


def _with_those_after(organs: Organs, rows: Ints, partners: Ints) -> LabelPairs:
    """Pairs of some organs with the next so many of their unit."""
    first = np.repeat(rows, partners)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    apart = (organs.centre[first] - organs.centre[second]) / (
        organs.size[first] + organs.size[second]
    )
    area = 0.25 * np.log2(organs.size[:, 0] * organs.size[:, 1])
    relation = np.column_stack([apart, area[first] - area[second]])
    return LabelPairs(organs.unit[first], organs.label[first], organs.label[second], relation)


def swapped_pairs(organs: Organs) -> list[tuple[int, int, int]]:
    """Pairs of labels that lie the other way round than in nearly all other units.

    Parameters
    ----------
    organs : Organs

    Returns
    -------
    list of (unit, label, label)
        The two labels in ascending order, each label of a unit at most once: of several
        explanations the pair that is furthest apart. A unit in which no pair can be judged,
        because fewer than `FEWEST` others have both labels, has none.

    Examples
    --------
    >>> x = np.array([0.0, 9, 0, 9, 0, 9, 9, 0])
    >>> unit, label = np.repeat(np.arange(4), 2), np.tile(np.arange(2), 4)
    >>> centre = np.column_stack([x, 0 * x, 0 * x])
    >>> swapped_pairs(Organs(unit, label, centre, np.full_like(centre, 4.0)))
    [(3, 0, 1)]
    """
    blocks = [_turned(pairs) for pairs in _pair_blocks(organs)]
    unit, a, b, distance = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    order = np.lexsort((b, a, -distance, unit))
    found: list[tuple[int, int, int]] = []
    taken: set[tuple[int, int]] = set()
    for one, of, other in zip(*(part[order].tolist() for part in (unit, a, b)), strict=True):
        if not taken & {(one, of), (one, other)}:
            taken |= {(one, of), (one, other)}
            found.append((one, of, other))
    return found


def _turned(pairs: LabelPairs) -> tuple[Ints, Ints, Ints, Floats]:
    """Unit and labels of the pairs that lie the other way round, and how far apart they are."""
    span = int(pairs.b.max(initial=0)) + 1
    _, same = np.unique(pairs.a * span + pairs.b, return_inverse=True)
    same = same.reshape(-1)
    others = np.bincount(same)[same] - 1 if len(same) else same
    most = np.maximum(ALIKE * others, FEWEST)
    distance = np.zeros(len(same))
    for axis in pairs.relation.T:
        ahead, behind = axis > APART, axis < -APART
        n_ahead, n_behind = (np.bincount(same, w)[same] - w for w in (ahead, behind))
        flipped = (behind & (n_ahead >= most)) | (ahead & (n_behind >= most))
        distance = np.maximum(distance, np.where(flipped & (others >= FEWEST), np.abs(axis), 0.0))
    rows = np.flatnonzero(distance)
    return pairs.unit[rows], pairs.a[rows], pairs.b[rows], distance[rows]


def drawn_as_another(organs: Organs, group: Ints) -> list[tuple[int, int, int]]:
    """Labels that a rater drew where the others of the case drew another label.

    Parameters
    ----------
    organs : Organs
    group : ndarray of int, shape (N,)
        Case of each organ: units of one case show the same organs.

    Returns
    -------
    list of (unit, label, label)
        The label, and the one that it was drawn for: its place and size differ from the median
        of the other units of the case by at least `ELSEWHERE` of an organ's size, and are three
        times closer to that of the other label. At least two other units must have drawn both.
    """
    found: list[tuple[int, int, int]] = []
    what = np.concatenate([organs.centre, organs.size], axis=-1)
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        units, at = np.unique(organs.unit[rows], return_inverse=True)
        labels, of = np.unique(organs.label[rows], return_inverse=True)
        if len(units) < 3:
            continue
        drawn = np.full((len(units), len(labels), 6), np.nan)
        drawn[at.reshape(-1), of.reshape(-1)] = what[rows]
        for k, unit in enumerate(units):
            found += [
                (int(unit), int(labels[a]), int(labels[b]))
                for a, b in _mistaken(drawn[k], np.delete(drawn, k, axis=0))
            ]
    return found


def _mistaken(own: Floats, others: Floats) -> list[tuple[int, int]]:
    """Labels (L, 6) of one unit that lie where the other units (U, L, 6) have another one."""
    enough = np.isfinite(others[..., 0]).sum(axis=0) >= 2
    usual = np.full(own.shape, np.nan)
    usual[enough] = np.nanmedian(others[:, enough], axis=0)
    distance = _distance(own, usual)
    right = np.diag(distance)
    rest = np.where(np.eye(len(own), dtype=bool) | np.isnan(distance), np.inf, distance)
    there = rest.argmin(axis=1)
    wrong = (right >= ELSEWHERE) & (rest.min(axis=1) * 3 <= right)
    return [(int(a), int(there[a])) for a in np.flatnonzero(wrong)]


def _distance(drawn: Floats, usual: Floats) -> Floats:
    """Largest difference in place or size of each label drawn and each that is usual: (L, L)."""
    size = (drawn[:, None, 3:] + usual[None, :, 3:]) / 2
    difference = np.abs(drawn[:, None] - usual[None])
    distance: Floats = (difference / np.concatenate([size, size], axis=-1)).max(axis=-1)
    return distance
