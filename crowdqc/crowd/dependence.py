"""Raters who are not independent: a group that copies or colludes counts as one voice.

Two raters who err independently differ by the sum of their own variances, and what each of them
varies by shows in how far they are from all the others. Two who differ by less than that have
errors in common. Every rater's variance is fitted to the differences of all pairs, those pairs
left out whose differences are too small for it, and what is missing in a pair is what the two
share. With three raters this cannot be told from one bad rater among them; then, and of two,
only boxes that are nearer to one another than hands can draw are taken for copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crowdqc.arrays import Floats, Ints, numbered, pairs_within
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.same_misses import SLICES, same_misses
from crowdqc.crowd.sums import blocks, sums, total

HAND = 0.5, 0.01
"""Standard deviation of a careful hand, in px and as a share of size: pairs that are nearer count
less where variances are fitted."""
_EXACT = 0.05
"""Of that, what no two independent raters are nearer than."""
_BEGINS, _CERTAIN = 0.4, 0.8
"""Share of variance in common at which raters begin to count as one voice, and do so fully."""
_PRIOR = 2.0
"""How many shared boxes the prior, that raters are independent and alike, is worth."""
_STEPS = 300
_FAR, _NONE = 3.0, 10.0
"""Errors, over the usual one, that count as no more; and errors that say that none are alike."""
_NORMAL = 2.198
"""Mean over median of the square of a normal value."""


@dataclass(frozen=True)
class Dependence:
    """Which raters share their errors.

    Parameters
    ----------
    first, second : ndarray of int64, shape (P,)
        Pairs of raters with something in common.
    share : ndarray, shape (P,)
        How far the two are one voice, in (0, 1].
    n_raters : int
        R.
    """

    first: Ints
    second: Ints
    share: Floats
    n_raters: int

    def mates(self, objects: Ints, rater: Ints) -> Mates:
        """Rows of one object by raters who depend on one another."""
        order = np.lexsort((objects, rater))
        start = np.searchsorted(rater[order], np.arange(self.n_raters + 1))
        first, second, share = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
        for a, b, common in zip(self.first, self.second, self.share, strict=True):
            one, other = (order[start[r] : start[r + 1]] for r in (a, b))
            _, i, j = np.intersect1d(objects[one], objects[other], return_indices=True)
            first.append(one[i])
            second.append(other[j])
            share.append(np.full(len(i), common))
        return Mates(np.concatenate(first), np.concatenate(second), np.concatenate(share))

    def rater_voice(self) -> Floats:
        """What each rater counts among all, (R,)."""
        shared = np.bincount(self.first, self.share, self.n_raters)
        voice: Floats = 1 / (1 + shared + np.bincount(self.second, self.share, self.n_raters))
        return voice

    def table(self) -> Floats:
        """How far two raters are one voice, (R, R)."""
        table = np.zeros((self.n_raters, self.n_raters))
        table[self.first, self.second] = table[self.second, self.first] = self.share
        return table

    def groups(self) -> Ints:
        """Number of the group of each rater, (R,): those who are one voice for the most part."""
        tied = self.share > 0.5
        pairs = self.first[tied], self.second[tied]
        graph = coo_array((np.ones(tied.sum()), pairs), (self.n_raters, self.n_raters))
        return connected_components(graph, directed=False)[1].astype(np.int64)


@dataclass(frozen=True)
class Mates:
    """Pairs of rows, and how far their raters are one voice; each of shape (M,)."""

    first: Ints
    second: Ints
    share: Floats

    def sums(self, values: Floats) -> Floats:
        """Sum of `values` (N, K) over the mates of each row, by what is shared, (N, K)."""
        if not len(self.first):
            return np.broadcast_to(0.0, values.shape)
        total = np.zeros(values.shape)
        np.add.at(total, self.first, self.share[:, None] * values[self.second])
        np.add.at(total, self.second, self.share[:, None] * values[self.first])
        return total

    def between(self, first: Ints, second: Ints) -> Floats:
        """How far the raters of each two rows are one voice, of the shape of `first`."""
        if not len(self.first):
            return np.zeros(len(first))
        n = 1 + max(int(rows.max(initial=0)) for rows in (self.first, self.second, first, second))
        known, asked = (
            np.minimum(a, b) * n + np.maximum(a, b)
            for a, b in ((self.first, self.second), (first, second))
        )
        order = np.argsort(known)
        at = np.minimum(np.searchsorted(known, asked, sorter=order), len(known) - 1)
        row = order[at]
        shared: Floats = np.where(known[row] == asked, self.share[row], 0.0)
        return shared

    def voice(self, n: int) -> Floats:
        """What each of n rows counts among those of its object: 1 / (1 + what it shares)."""
        shared: Floats = 1 / (1 + self.sums(np.ones((n, 1)))[:, 0])
        return shared


def find_dependence(
    evidence: Evidence, away: Floats, *, unit: Floats, size: Floats, rows: Ints
) -> Dependence:
    """Raters whose errors agree beyond what their own variances allow.

    Parameters
    ----------
    evidence : Evidence
        What was drawn.
    away : ndarray, shape (N, 4)
        Distance of each edge from the median box, less the rater's bias, in `unit`.
    unit : ndarray, shape (N, 4)
        The usual distance for its label and edge, as a share of the object's size.
    size : ndarray, shape (N, 4)
        The object's width or height in px.
    rows : ndarray of int64
        Boxes that are compared: those that lie elsewhere say nothing of a hand.

    References
    ----------
    .. [1] F. E. Grubbs, "On estimating precision of measuring instruments and product
       variability", JASA 43(242), 1948. :doi:`10.1080/01621459.1948.10483261`
    """
    a, b = pairs_within(evidence.object[rows])
    a, b = rows[a], rows[b]
    n = evidence.n_raters
    who = np.sort(np.stack([evidence.rater[a], evidence.rater[b]]), axis=0)
    code, pair = numbered(who[0] * n + who[1])
    count = np.bincount(pair)
    if not len(code):
        return Dependence(code, code, np.zeros(0), n)
    first, second = code // n, code % n
    variance = _NORMAL * _median_of(
        pair, lambda some: (away[a[some]] - away[b[some]]) ** 2, len(code)
    )
    hand = np.empty(len(a))
    if evidence.same_line:  # equal boxes may be apart
        for some in blocks(len(a)):
            apart = evidence.same_line / (unit[a[some]] * size[a[some]]) ** 2
            hand[some] = apart.mean(axis=1)
        variance = variance + np.bincount(pair, hand) / count
    for some in blocks(len(a)):
        steady = 2 * ((HAND[0] / size[a[some]]) ** 2 + HAND[1] ** 2)
        hand[some] = (steady / unit[a[some]] ** 2).mean(axis=1)
    floor = np.bincount(pair, hand) / count
    worth = _effective(evidence, away, (a, b), pair=pair)
    common = _common(first, second, variance, count=worth, floor=floor, n=n)
    share = np.clip((common - _BEGINS) / (_CERTAIN - _BEGINS), 0, 1)
    share = np.maximum(share * share * (3 - 2 * share), _by_misses(evidence, code))
    tied = share > 0
    found = Dependence(first[tied], second[tied], share[tied], n)
    together = np.unique(found.groups()[np.unique(who)])
    # Where all agree with all, nobody shows how far apart hands lie: things may be crisp.
    return found if len(together) > 1 else Dependence(code[:0], code[:0], np.zeros(0), n)


def _by_misses(evidence: Evidence, code: Ints) -> Floats:
    """How far pairs (P, in order) are one voice by what they miss, (P,)."""
    known, share = same_misses(evidence)
    at = np.minimum(np.searchsorted(known, code), max(len(known) - 1, 0))
    return np.where(known[at] == code, share[at], 0.0) if len(known) else np.zeros(len(code))


def _effective(evidence: Evidence, away: Floats, rows: tuple[Ints, Ints], *, pair: Ints) -> Floats:
    """How many independent boxes those of each pair are worth, (P,).

    Errors of one rater in one image, or on slices near one another, are alike: a pair that shares
    many boxes of few places is compared on less than it seems.
    """
    organ = evidence.case * (int(evidence.label.max(initial=0)) + 1) + evidence.label
    near = evidence.plane // SLICES
    stretch = numbered(organ * (int(near.max(initial=0)) + 1) + near)[1][evidence.object]
    span = int(stretch.max(initial=0)) + 1
    compared = np.zeros(len(away), bool)
    compared[rows[0]] = compared[rows[1]] = True
    known = np.flatnonzero(compared)
    alike = likeness((evidence.rater * span + stretch)[known], away[known])
    cells, count = np.unique(pair * span + stretch[rows[0]], return_counts=True)
    return total(cells // span, count / (1 + (count - 1) * alike), int(pair.max()) + 1)


def likeness(run: Ints, error: Floats) -> float:
    """Correlation of errors of one run: with it, m of them are worth less.

    Each run counts with its errors but the first one; ten of them say that there is none.

    Parameters
    ----------
    run : ndarray of int, shape (N,)
        Run to which each error belongs.
    error : ndarray, shape (N, K)
        Of K edges, in standard deviations.

    Returns
    -------
    float
        From 0 to 1.
    """
    of = numbered(run)[1]
    count = np.bincount(of)
    error = np.clip(error, -_FAR, _FAR)
    error = error - error.mean(axis=0)
    several = count > 1
    top = sums(of, error, len(count)) ** 2 - sums(of, error**2, len(count))
    product = top.mean(axis=1)[several] / (count * (count - 1))[several]
    weight = count[several] - 1.0
    found = float(weight @ product) / (float(weight.sum()) + _NONE)
    return float(np.clip(found / max(float(np.mean(error**2)), 1e-12), 0, 1))


def _common(
    first: Ints, second: Ints, variance: Floats, *, count: Floats, floor: Floats, n: int
) -> Floats:
    """Share of the variance that two raters have in common, (P,), up to 1.

    The variances of raters are the most likely ones where that of a pair has a gamma
    distribution round the sum of its two; a pair counts the less the more it has in common.
    """
    ends = np.concatenate([first, second])
    usual = float(np.median(variance)) / 2 + 1e-12
    both = np.tile(variance, 2)
    own = np.maximum(_median_of(ends, lambda rows: both[rows], n) / 2, 1e-6 * usual)
    plain = count * (variance / (variance + floor + 1e-12)) ** 2
    apart = np.sqrt(variance)
    for step in range(_STEPS):
        expected = own[first] + own[second]
        missing = np.clip(variance / expected, 0, 1) if step > 2 * _STEPS // 3 else 1.0
        weight = plain * missing**2 / expected
        top = np.bincount(ends, np.tile(weight * variance / expected, 2), n)
        bottom = np.bincount(ends, np.tile(weight, 2), n)
        prior = _PRIOR * 0.1 / usual
        own = own * np.sqrt((top + prior * usual / own) / (bottom + prior))
        # Nobody's error is greater than another's and the difference of the two.
        reach = (np.sqrt(own)[np.concatenate([second, first])] + np.tile(apart, 2)) ** 2
        np.minimum.at(own, ends, reach)
    expected = np.maximum(own[first] + own[second], _EXACT**2 * floor)
    errors = np.sqrt(1 + 2 * np.log(len(first)))  # the smallest of so many is small by chance
    likely = variance * np.exp(errors * np.sqrt(1.35 / count))
    likely = (count * likely + _PRIOR * expected) / (count + _PRIOR)
    share: Floats = np.clip(1 - likely / expected, 0, 1)
    return share


def _median_of(pair: Ints, values: Callable[[Ints], Floats], n: int) -> Floats:
    """Median of all `values` of the rows of each of n pairs, (n,); of one pair after the other."""
    order = np.argsort(pair, kind="stable")
    stops = np.cumsum(np.bincount(pair, minlength=n))[:-1]
    return np.array(
        [np.median(values(rows)) if len(rows) else 0.0 for rows in np.split(order, stops)]
    )
