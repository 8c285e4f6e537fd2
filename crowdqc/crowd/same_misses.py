"""Raters who miss the same things: copies, even if boxes were moved by more than a hand errs.

What a rater misses by a slip, among things that all others drew, two who work apart miss on other
slices. Slices near one another are looked at together, and only where both draw most of what is
there: who skips ends, or an organ, does so by habit, and two may have the same one.
"""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints, numbered, pairs_within
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.sums import total

SLICES = 10
"""Slices that are near one another."""
_SAME = 0.1
"""Differences of a copy from what was copied, over those of two raters who work apart."""
_BEGINS, _CERTAIN = 3.0, 6.0
"""Log likelihood ratio, less the log of the number of pairs, from which two begin to count as one
voice, and do so fully: twenty, and four hundred, to one. Among pairs of real sets it is -5 at most,
among honest simulated ones -1."""


def same_misses(evidence: Evidence) -> tuple[Ints, Floats]:
    """How far two raters are one voice by what they miss.

    Parameters
    ----------
    evidence : Evidence
        Who was asked for what, and drew it.

    Returns
    -------
    code : ndarray of int64, shape (P,)
        Pairs, in order: R times the smaller number of a rater, plus the larger one.
    share : ndarray, shape (P,)
        From 0 to 1.
    """
    who, drew, run = _slips(evidence)
    code, pair = numbered(who)
    if not len(code):
        return code, np.zeros(0)
    n = np.bincount(pair)
    a, b = (total(pair, one.astype(np.float64), len(code)) / n for one in drew)
    apart = (a * (1 - b) + b * (1 - a))[pair]
    runs, first, of = np.unique(run, return_index=True, return_inverse=True)
    of = of.reshape(-1)
    some = 1 - np.exp(total(of, np.log1p(-np.minimum(apart, 1 - 1e-9)), len(runs)))
    differ = total(of, (drew[0] != drew[1]).astype(np.float64), len(runs)) > 0
    expected = total(pair[first], some, len(code))
    found = total(pair[first], differ.astype(np.float64), len(code))
    known = expected >= 1
    if not known.any():
        return code, np.zeros(len(code))
    usual = float(np.clip(np.median(found[known] / expected[known]), _SAME, 1))
    ratio = expected * (usual - _SAME) + found * np.log(_SAME / usual) - np.log(len(code))
    share = np.clip((ratio - _BEGINS) / (_CERTAIN - _BEGINS), 0, 1)
    return code, share * share * (3 - 2 * share)


def _slips(evidence: Evidence) -> tuple[Ints, tuple[Bools, Bools], Ints]:
    """Pair, answers of both, and run of slices of each object that all others drew, (M,)."""
    asked, of = evidence.n_asked, evidence.asked_object
    rows = np.flatnonzero(asked[of] > 2)
    first, second = (rows[side] for side in pairs_within(of[rows]))
    others = evidence.n_boxes[of[first]] - evidence.drew[first] - evidence.drew[second]
    seen = others == asked[of[first]] - 2
    first, second = first[seen], second[seen]
    swapped = evidence.asked_rater[first] > evidence.asked_rater[second]
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    who = evidence.asked_rater[first] * evidence.n_raters + evidence.asked_rater[second]
    organ = evidence.case * (int(evidence.label.max(initial=0)) + 1) + evidence.label
    near = evidence.plane // SLICES
    stretch = numbered(organ * (int(near.max(initial=0)) + 1) + near)[1][of[first]]
    run = numbered(who * (int(stretch.max(initial=0)) + 1) + stretch)[1]
    drew = evidence.drew[first], evidence.drew[second]
    count = np.bincount(run)
    most = np.logical_and(*(np.bincount(run, one) > count / 2 for one in drew))[run]
    return who[most], (drew[0][most], drew[1][most]), run[most]
