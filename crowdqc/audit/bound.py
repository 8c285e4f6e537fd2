"""How many units of a finite population are bad at most, from graded random draws.

Units are drawn without replacement and graded one after the other. Each hypothesis "M of the N
units are bad" is tested after every draw: it is rejected as soon as no more than ``a_n(M)`` of the
first n draws are bad, with the largest limits for which the probability that it is ever rejected
by the n-th draw, if it is true, is at most what may be spent by then. That probability is exact
(Markov chain of the count of bad draws), so the bound holds in finite samples, at all looks
together, whenever grading stops.

References
----------
.. [1] K. K. G. Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials",
   Biometrika 70 (1983) 659-663. :doi:`10.1093/biomet/70.3.659`
.. [2] I. Waudby-Smith, A. Ramdas, "Confidence sequences for sampling without replacement",
   NeurIPS 2020, whose martingales are the alternative that `benchmarks/audit.py` compares with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crowdqc.arrays import Bools, Floats, Ints

RESERVE = 0.1
"""Share of the error that is kept for draws beyond those that were planned."""
POWER = 3
"""The part up to the planned number grows with this power of the draws: looks before it cost
little, and at the planned number the test is nearly as sharp as one that looks only there."""
BLOCKS = 4000
"""Neighbouring hypotheses about a large population are tested together, by the limits of the
lowest of them, which is the hardest to reject: no more than so many groups."""


@dataclass(frozen=True)
class Spending:
    """How much of the error probability may be spent by the n-th draw.

    Parameters
    ----------
    planned : int
        Draws that are planned, 1 or more; must be fixed before the first grade of a draw is known.
    alpha : float
        Error probability in all, in (0, 1): one less the confidence.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    planned: int
    alpha: float

    def __post_init__(self) -> None:
        if self.planned < 1 or not 0 < self.alpha < 1:
            raise ValueError(
                f"'planned' must be 1 or more and 'alpha' in (0, 1); got {self.planned}, "
                f"{self.alpha}."
            )

    def by(self, n: ArrayLike) -> Floats:
        """Error probability that may be spent by the n-th draw, shape of `n`; never falls."""
        share = np.asarray(n, dtype=np.float64) / self.planned
        early = (1 - RESERVE) * np.minimum(share, 1.0) ** POWER
        late = RESERVE * (1 - 1 / np.maximum(share, 1.0))
        spent: Floats = self.alpha * (early + late)
        return spent


def upper_bound(bad: ArrayLike, *, population: int, spending: Spending) -> int:
    """Upper bound of the number of bad units in a population.

    Parameters
    ----------
    bad : array_like of bool, shape (n,)
        Whether each unit drawn was bad, in the order of the draws.
    population : int
        Units that were drawn from, N.
    spending : Spending
        The plan, made before the draws.

    Returns
    -------
    int
        Between the bad ones found and N less the good ones found. With probability 1 - alpha or
        more it is never, after any number of draws, below the true number.

    Raises
    ------
    ValueError
        If there are more draws than units.

    Examples
    --------
    >>> upper_bound([False] * 59, population=10_000, spending=Spending(59, 0.05))
    512
    """
    drawn = np.asarray(bad, dtype=np.bool_)
    n, found = len(drawn), int(drawn.sum())
    if n > population:
        raise ValueError(f"'bad' must have at most {population} draws; got {n}.")
    most = population - (n - found)
    width = -(-(most - found + 1) // BLOCKS)
    kept = not_rejected(
        drawn, np.arange(found, most + 1, width), population=population, spending=spending
    )
    return min(int(kept[-1]) + width - 1, most) if len(kept) else found


def not_rejected(drawn: Bools, counts: Ints, *, population: int, spending: Spending) -> Ints:
    """Hypotheses about the number of bad units that no draw has rejected.

    Parameters
    ----------
    drawn : ndarray of bool, shape (n,)
        Whether each unit drawn was bad.
    counts : ndarray of int64, shape (M,)
        Hypotheses, ascending; each at least the number of bad draws.
    population : int
        Units that were drawn from.
    spending : Spending
        The plan.

    Returns
    -------
    ndarray of int64
        Those of `counts` that are left.

    Notes
    -----
    Only paths with no more bad draws than there were matter: a hypothesis whose limit lies higher
    is rejected.
    """
    width = int(drawn.sum()) + 1
    states = np.arange(width)
    reach = np.zeros((len(counts), width))
    reach[:, 0] = 1.0
    spent = np.zeros(len(counts))
    observed, allowed = np.cumsum(drawn), spending.by(np.arange(1, len(drawn) + 1))
    for step in range(len(drawn)):
        chance = np.clip((counts[:, None] - states) / (population - step), 0.0, 1.0)
        moved = reach * chance
        reach -= moved
        reach[:, 1:] += moved[:, :-1]
        total = spent[:, None] + np.cumsum(reach, axis=1)
        limit = np.count_nonzero(total <= allowed[step], axis=1)  # counts that reject
        left = limit <= observed[step]
        crossed = states < limit[:, None]
        spent = spent + (reach * crossed).sum(axis=1)
        reach[crossed] = 0.0
        counts, reach, spent = counts[left], reach[left], spent[left]
    return counts
