"""How likely each unit is bad, from its risk and from the grades of its neighbours.

Bad masks come in runs: a mask beside a bad one of the same organ is probably bad, too. Expectations
decide what is graded next. A bound never rests on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.risk.scale import Scale, fit_scale

PRIOR, DOUBT = Scale(0.0, 1.0), Scale(1.0, 0.45)
"""The risk is a probability by a stated scale; how far that is off in another study."""
BESIDE = (3.0, -1.5)
"""What a bad or good neighbour one slice away adds to the log odds, about."""
REACH = 2.0
"""Slices over which that fades."""
_FAR = 3


@dataclass(frozen=True)
class Units:
    """What is audited, N units.

    Parameters
    ----------
    risk : ndarray, shape (N,)
        In [0, 1]; nan where it is not known.
    run : ndarray of int64, shape (N,)
        Units of one organ of one case have the same number.
    slice : ndarray of int64, shape (N,)
        Position along the run.
    bad : ndarray, shape (N,)
        1 for graded as bad, 0 for graded as good, nan for not graded.
    """

    risk: Floats
    run: Ints
    slice: Ints
    bad: Floats

    @property
    def graded(self) -> Bools:
        """Units that were graded, shape (N,)."""
        return np.isfinite(self.bad)


def probabilities(units: Units) -> Floats:
    """Probability that each unit is bad, shape (N,): 0 or 1 where it was graded.

    The scale of the risk is learned from the grades, with `PRIOR`.
    """
    risk = np.where(np.isfinite(units.risk), units.risk, np.nanmean([0.5, *units.risk]))
    beside, graded = _beside(units), units.graded
    scale = fit_scale(
        risk[graded], units.bad[graded], offset=beside[graded], prior=PRIOR, doubt=DOUBT
    )
    return np.where(graded, units.bad, scale.probability(risk, beside))


def _beside(units: Units) -> Floats:
    """What graded neighbours add to the log odds of each unit, those of itself left out."""
    total = np.zeros(len(units.run))
    order = np.lexsort((units.slice, units.run))
    run, plane, bad = units.run[order], units.slice[order], units.bad[order]
    effect = np.where(bad == 1, BESIDE[0], np.where(bad == 0, BESIDE[1], 0.0))
    for step in range(1, 2 * _FAR + 1):
        near = np.flatnonzero((run[step:] == run[:-step]) & (plane[step:] - plane[:-step] <= _FAR))
        weight = np.exp(-0.5 * ((plane[near + step] - plane[near]) / REACH) ** 2)
        np.add.at(total, near, weight * effect[near + step])
        np.add.at(total, near + step, weight * effect[near])
    back = np.empty_like(total)
    back[order] = total
    return back
