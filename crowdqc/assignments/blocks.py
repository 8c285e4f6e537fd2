"""Dealing cases to raters so that all have as much to do and every two can be compared.

Each case is a block of k of the R raters. Loads differ by one case at most, and exchanges between
cases then even out how many cases every two raters share, as in a balanced incomplete block design
[1]_: where such a design exists, it is where the exchanges lead, or near it.

References
----------
.. [1] F. Yates, "Incomplete randomized blocks", Annals of Eugenics 7, 1936.
   :doi:`10.1111/j.1469-1809.1936.tb02134.x`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Bools, Ints
from crowdqc.findings import InputError

EXCHANGES = 30
FEWEST = 4_000
"""Exchanges that are tried for each case, and at least; they end where nothing can be evener."""
ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True)
class AssignmentDesign:
    """Who reads what.

    Parameters
    ----------
    reads : ndarray of bool, shape (N, R)
        Whether a case is read by a rater.
    """

    reads: Bools

    @property
    def shared(self) -> Ints:
        """Cases that two raters share, shape (R, R); on the diagonal what each reads."""
        reads = self.reads.astype(np.int64)
        return reads.T @ reads

    @property
    def least_shared(self) -> int:
        """Fewest cases that any two raters share; 0 for one rater."""
        pairs = self.shared[np.triu_indices(self.reads.shape[1], 1)]
        return int(pairs.min(initial=len(self.reads))) if len(pairs) else 0

    @property
    def detectable(self) -> float:
        """Smallest difference of two raters that `agree` would see, by the cases they share.

        In standard deviations of the difference from case to case; at 5 %, two-sided, in four of
        five such studies. nan where two raters share fewer than three cases.
        """
        n = self.least_shared
        if n < 3:
            return math.nan
        from statsmodels.stats.power import TTestPower  # noqa: PLC0415 - seconds to import

        return float(TTestPower().solve_power(nobs=n, alpha=ALPHA, power=POWER))


def deal(
    n_cases: int, n_raters: int, per_case: int, *, rng: np.random.Generator
) -> AssignmentDesign:
    """Deal cases to raters.

    Parameters
    ----------
    n_cases, n_raters, per_case : int
        N, R and k.
    rng : Generator
        Decides between what is equally good.

    Returns
    -------
    AssignmentDesign
        Every case has k raters; loads differ by one at most.

    Raises
    ------
    InputError
        If there are fewer raters than a case needs.

    Examples
    --------
    >>> design = deal(7, 7, 3, rng=np.random.default_rng(0))
    >>> design.reads.sum(axis=0).tolist(), design.least_shared
    ([3, 3, 3, 3, 3, 3, 3], 1)
    """
    if per_case > n_raters:
        raise InputError(
            f"[assignments] raters_per_case is {per_case}, and there are {n_raters} raters. Name "
            "more of them in [assignments] raters, or ask for fewer."
        )
    reads = np.zeros((n_cases, n_raters), dtype=bool)
    load = np.zeros(n_raters, dtype=np.int64)
    shared = np.zeros((n_raters, n_raters), dtype=np.int64)
    for case in range(n_cases):
        chosen: list[int] = []
        for _ in range(per_case):
            keys = (rng.random(n_raters), shared[chosen].sum(axis=0), load)
            order = np.lexsort(keys)
            chosen.append(int(next(r for r in order if r not in chosen)))
        reads[case, chosen] = True
        load[chosen] += 1
        shared[np.ix_(chosen, chosen)] += 1
    _even_out(reads, rng=rng)
    return AssignmentDesign(reads)


def _even_out(reads: Bools, *, rng: np.random.Generator) -> None:
    """Exchange raters between cases while that evens out what pairs share; loads stay.

    What changes nothing is exchanged as well: it leads out of designs that no single exchange
    improves.
    """
    hands = [set(np.flatnonzero(row).tolist()) for row in reads]
    pairs = AssignmentDesign(reads).shared.tolist()
    excess = _excess(pairs)
    for case, other in rng.integers(0, len(hands), (EXCHANGES * len(hands) + FEWEST, 2)).tolist():
        mine, theirs = hands[case] - hands[other], hands[other] - hands[case]
        if excess == 0:
            break
        if not mine:
            continue
        a, b = (int(rng.choice(sorted(some))) for some in (mine, theirs))
        leaves, joins = mine - {a}, theirs - {b}
        change = 2 * sum(1 - pairs[a][x] + pairs[b][x] for x in leaves)
        change += 2 * sum(1 + pairs[a][y] - pairs[b][y] for y in joins)
        if change > 0:
            continue
        excess += change
        hands[case], hands[other] = hands[case] ^ {a, b}, hands[other] ^ {a, b}
        for one, step in ((a, -1), (b, 1)):
            for x, sign in [*((x, step) for x in leaves), *((y, -step) for y in joins)]:
                pairs[one][x] += sign
                pairs[x][one] += sign
    reads[:] = False
    for row, hand in zip(reads, hands, strict=True):
        row[list(hand)] = True


def _excess(pairs: list[list[int]]) -> int:
    """How far the squares of what pairs share exceed those of the evenest design."""
    shared = np.array(pairs)[np.triu_indices(len(pairs), 1)]
    low, more = divmod(int(shared.sum()), max(len(shared), 1))
    return int((shared**2).sum()) - (len(shared) - more) * low**2 - more * (low + 1) ** 2


def join(reads: Bools, n: int, *, rng: np.random.Generator) -> Ints:
    """Cases for a rater who joins late: those that even out what is shared with the others.

    Parameters
    ----------
    reads : ndarray of bool, shape (N, R)
        Whether a case is read by a rater who is there already.
    n : int
        How many cases.
    rng : Generator
        Decides between what is equally good.

    Returns
    -------
    ndarray of int, shape (min(n, N),)
        Rows of `reads`, ascending.
    """
    shared = np.zeros(reads.shape[1])
    left = rng.permutation(len(reads)).tolist()
    chosen: list[int] = []
    while left and len(chosen) < n:
        gain = [float((reads[case] / (1 + shared)).sum()) for case in left]
        chosen.append(left.pop(int(np.argmax(gain))))
        shared += reads[chosen[-1]]
    return np.array(sorted(chosen), dtype=np.int64)


def describe(design: AssignmentDesign, raters: Sequence[str]) -> str:
    """What a design can show, in a sentence for people.

    Parameters
    ----------
    design : AssignmentDesign
    raters : sequence of str, length R
        Their names.

    Examples
    --------
    >>> design = deal(30, 4, 3, rng=np.random.default_rng(0))
    >>> print(describe(design, "abcd"))
    Each rater reads 22 to 23 cases; every two share 14 or more.
    A difference in their agreement is seen, in four of five studies, from 0.81 SD between cases.
    """
    loads = design.reads.sum(axis=0)
    n_cases = f"{loads.min()}" if loads.min() == loads.max() else f"{loads.min()} to {loads.max()}"
    i, j = np.triu_indices(len(raters), 1)
    apart = np.flatnonzero(design.shared[i, j] == 0)
    if len(apart):
        a, b = raters[i[apart[0]]], raters[j[apart[0]]]
        also = f"{len(apart)} pairs, such as {a} and {b}, share none: ask for more raters a case."
    elif math.isnan(design.detectable):
        also = f"every two share {design.least_shared} or more; for a test they need three."
    else:
        also = (
            f"every two share {design.least_shared} or more.\nA difference in their agreement is "
            f"seen, in four of five studies, from {design.detectable:.2f} SD between cases."
        )
    return f"Each rater reads {n_cases} cases; {also}"
