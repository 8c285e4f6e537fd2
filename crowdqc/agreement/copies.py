"""Raters who copied a part: on some slices two lie nearer to one another than hands can.

Two raters who err apart differ, at an edge, by what their spreads and the object's difficulty say,
or at least by what they would if both were as steady as the steadier one;
where one copied the other, or moved what the other drew by a little, they differ by much less. The
slices of a pair are a mixture of both kinds. How many were copied is the share that makes the
differences likeliest, and the gain in log likelihood over none is the evidence for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Floats, Ints, numbered, pairs_within
from crowdqc.crowd import Crowd, size_of
from crowdqc.crowd.student import log_student
from crowdqc.crowd.sums import total

NEAR = 0.25
"""Standard deviation of a copy's edges from those copied, over that of two steady hands."""
_LEAST = -3.0
"""Log likelihood ratio of one edge below which it says no more: a copy may be corrected."""
_SHARES = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0])
_BLOCK = 2**18
"""Pairs of boxes that are compared at a time, to bound memory."""


@dataclass(frozen=True)
class Copies:
    """What pairs of raters (P) may have copied from one another.

    Parameters
    ----------
    first, second : ndarray of int64, shape (P,)
        Pairs of raters who drew the same objects.
    gain : ndarray, shape (P,)
        Gain in log likelihood of some copied slices over none; below 0 where there are none.
    share : ndarray, shape (P,)
        Share of the slices with boxes of both that were copied, in (0, 1].
    n : ndarray of int64, shape (P,)
        Number of these slices.
    pair : ndarray of int64, shape (M,)
        Pair of each slice with boxes of both.
    object : ndarray of int64, shape (M,)
        An object of that slice.
    ratio : ndarray, shape (M,)
        Log likelihood ratio of the slice: copied over drawn apart.
    """

    first: Ints
    second: Ints
    gain: Floats
    share: Floats
    n: Ints
    pair: Ints
    object: Ints
    ratio: Floats


def part_copies(crowd: Crowd) -> Copies:
    """How likely each pair of raters copied some slices; see the module."""
    data = crowd.evidence
    known = np.isfinite(crowd.sd_label[data.rater, data.label[data.object]])
    rows = np.flatnonzero((crowd.astray < 0.5) & known)
    a, b = (rows[side] for side in pairs_within(data.object[rows]))
    ratio = np.empty(len(a))
    for start in range(0, len(a), _BLOCK):
        block = slice(start, start + _BLOCK)
        ratio[block] = _ratio(crowd, a[block], b[block])
    who = np.sort(np.stack([data.rater[a], data.rater[b]]), axis=0)
    depth = int(data.plane.max(initial=0)) + 1
    image = numbered(data.case * depth + data.plane)[1][data.object[a]]
    span = int(image.max(initial=0)) + 1
    cells, first, of = np.unique(
        (who[0] * data.n_raters + who[1]) * span + image, return_index=True, return_inverse=True
    )
    slices = total(of, ratio, len(cells))
    code, pair = numbered(cells // span)
    with np.errstate(divide="ignore"):
        none = np.log1p(-_SHARES)
    gains = [
        np.bincount(pair, np.logaddexp(no, np.log(share) + slices), len(code))
        for share, no in zip(_SHARES, none, strict=True)
    ]
    best = np.argmax(gains, axis=0) if len(code) else np.zeros(0, np.int64)
    return Copies(
        first=code // data.n_raters,
        second=code % data.n_raters,
        gain=np.max(gains, axis=0) if len(code) else np.zeros(0),
        share=_SHARES[best],
        n=np.bincount(pair, minlength=len(code)),
        pair=pair,
        object=data.object[a[first]],
        ratio=slices,
    )


def _ratio(crowd: Crowd, a: Ints, b: Ints) -> Floats:
    """Log likelihood ratio of pairs of boxes of one object: copied over drawn apart, (M,)."""
    data = crowd.evidence
    of, one, other = data.object[a], data.rater[a], data.rater[b]
    size, label = size_of(crowd.box)[of], data.label[of]
    apart = (data.boxes[a] - data.boxes[b]) / size
    own = np.stack([crowd.sd_label[rater, label] ** 2 for rater in (one, other)])
    hard, rounding = crowd.difficulty[of, None] ** 2, data.same_line / size**2
    square = (apart - crowd.bias[one] + crowd.bias[other]) ** 2
    steady = 2 * own.min(axis=0)[:, None] * hard
    # One who is unsteady elsewhere may have been as steady as the other on this slice.
    hands = [variance + rounding for variance in (own.sum(axis=0)[:, None] * hard, steady)]
    drawn = np.maximum(
        *(log_student(square / part, crowd.freedom) - np.log(part) / 2 for part in hands)
    )
    near = NEAR**2 * steady + rounding
    copied = -(apart**2 / near + np.log(2 * np.pi * near)) / 2
    ratio: Floats = np.maximum(copied - drawn, _LEAST).sum(axis=1)
    return ratio
