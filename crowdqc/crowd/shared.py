"""The error that all raters share, which their boxes do not show, and how wide it makes a spread.

Raters who err apart from one another are uncertain about nothing but their own hands. Where an
object is hard to see, they are uncertain together, and then part of the error is common to all.
What can be seen without gold is whether disagreement goes with the edge: whether two raters who
differ by much there are met by two others who do. On all sets with gold where that is so, the
shared error is about as large as a rater's own; where it is not so, there is none.
"""

from __future__ import annotations

import numpy as np

from crowdqc.arrays import Floats, Ints, pairs_within
from crowdqc.crowd.edges import Edges, size_of
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.sums import blocks, sums

SHARED = 1.0
"""Shared error over a rater's own, standard deviations: from sets with gold."""
_NONE, _FULL = 0.02, 0.045
"""Covariance of log disagreements at which the shared error begins, and is full."""
_EQUAL = 0.2
"""Difference, over the usual one, below which raters are equal: whole pixels make many so."""
_FEWEST = 5
"""Objects with four raters below which nothing is learned: the prior holds."""


def shared_error(evidence: Evidence, edges: Edges) -> float:
    """Standard deviation of the shared error, as a share of a rater's own, 0 to `SHARED`.

    Where fewer than five objects have four voices, nothing is known: it is `SHARED`.

    Parameters
    ----------
    evidence : Evidence
        Boxes of R raters, joined to O objects.
    edges : Edges
        Biases and spreads of the raters.
    """
    value, error, n = _covariance(evidence, edges)
    if n < _FEWEST:
        return SHARED
    evident = float(np.clip((value + error / 2 - _NONE) / (_FULL - _NONE), 0, 1))
    return SHARED * (evident * evident * (3 - 2 * evident)) ** 0.5


def _covariance(evidence: Evidence, edges: Edges) -> tuple[float, float, int]:
    """Covariance of the log differences of two pairs of four raters, its error, and objects."""
    of, n = evidence.object, evidence.n_objects
    mates = edges.dependence.mates(of, evidence.rater)
    second = np.zeros(len(of), bool)
    where = evidence.boxes.sum(axis=1)  # one of two, whoever of the raters comes first
    later = where[mates.first] >= where[mates.second]
    second[np.where(later, mates.first, mates.second)[mates.share > 0.05]] = True
    rows = np.flatnonzero((edges.astray < 0.5) & ~second & np.isfinite(edges.sd[evidence.rater, 0]))
    count = np.bincount(of[rows], minlength=n)
    rows = rows[count[of[rows]] >= 4]
    count = np.where(count >= 4, count, 0)
    some = count > 0
    if some.sum() < _FEWEST:
        return 0.0, 0.0, int(some.sum())
    logs, a, b = _log_differences(evidence, edges, rows)
    whole, square = sums(of[a], logs, n), sums(of[a], logs**2, n)
    both = np.concatenate([a, b])
    rater = np.hstack([sums(both, np.tile(one, (2, 1)), len(of)) for one in logs.T[..., None]])
    apart = whole**2 + square - sums(of, rater**2, n)  # of pairs that share no rater, twice
    times = count * (count - 1) * (count - 2) * (count - 3) / 4
    found = apart[some].mean(axis=1) / times[some]
    return float(found.mean()), float(found.std() / np.sqrt(len(found))), len(found)


def _log_differences(evidence: Evidence, edges: Edges, rows: Ints) -> tuple[Floats, Ints, Ints]:
    """Log of how far two raters differ, over their spread, less what label and size explain."""
    a, b = pairs_within(evidence.object[rows])
    a, b = rows[a], rows[b]
    of, label = evidence.object[a], evidence.label[evidence.object[a]]
    width = size_of(edges.box)
    boxes = evidence.boxes - edges.bias[evidence.rater] * width[evidence.object]
    own = edges.sd_label[evidence.rater, evidence.label[evidence.object]] ** 2
    if evidence.grid:  # where an edge lies between two lines, all agree, or nobody does
        boxes += evidence.grid * (np.random.default_rng(0).random(boxes.shape) - 0.5)
        own = own + (evidence.grid / width[evidence.object]).mean(axis=1) ** 2 / 6
    logs, large = np.empty((len(a), 4)), np.empty((len(a), 4))
    for some in blocks(len(a)):  # there are more pairs than boxes
        one, other, size = a[some], b[some], width[of[some]]
        apart = (boxes[one] - boxes[other]) / (np.sqrt(own[one] + own[other])[:, None] * size)
        logs[some], large[some] = np.log(np.hypot(apart, _EQUAL)), np.log(size)
    del boxes
    _centre(logs, label)
    _centre(large, label)
    slope = float((logs * large).sum()) / max(float((large**2).sum()), 1e-12)
    for some in blocks(len(a)):
        logs[some] -= slope * large[some]
    return logs, a, b


def _centre(values: Floats, label: Ints) -> None:
    """Take the mean of their label from `values` (M, 4)."""
    count = np.maximum(np.bincount(label), 1)[:, None]
    mean = sums(label, values, len(count)) / count
    for some in blocks(len(label)):
        values[some] -= mean[label[some]]
