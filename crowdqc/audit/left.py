"""Bounds of the share of bad units among those that are left, for all and for any part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.audit.bound import Spending, upper_bound


@dataclass(frozen=True)
class Sample:
    """What was graded of N units.

    Parameters
    ----------
    bad : ndarray, shape (N,)
        1 for graded as bad, 0 for graded as good, nan for not graded.
    order : ndarray of int64, shape (N,)
        Place of each unit in the order of random draws.
    frame : ndarray of bool, shape (N,)
        Units that random draws are made from: not one of them had been graded when they began.
    planned : int
        Random draws that were planned; 0 where they have not begun.
    """

    bad: Floats
    order: Ints
    frame: Bools
    planned: int


@dataclass(frozen=True)
class Left:
    """What is known of a part of the units.

    Parameters
    ----------
    n : int
        Units, those found bad left out.
    n_graded, n_drawn, n_bad : int
        Units that were graded, of these random draws that count, and bad ones.
    bad_high : int
        Upper bound of the bad units that are left.
    """

    n: int
    n_graded: int
    n_drawn: int
    n_bad: int
    bad_high: int

    @property
    def share(self) -> float:
        """Upper bound of the share of bad units among those left; 0 where none is left."""
        return self.bad_high / self.n if self.n else 0.0


def bad_left(sample: Sample, part: Bools, *, alpha: float) -> Left:
    """Upper bound of the bad units that are left in a part.

    Parameters
    ----------
    sample : Sample
        What was graded.
    part : ndarray of bool, shape (N,)
        The part; must be chosen without knowing the grades.
    alpha : float
        Error probability of the bound: of this part alone, at all looks together.

    Returns
    -------
    Left
        Its bound is the number of units that were not graded where there were no random draws.

    Notes
    -----
    Draws count up to the first that was not graded: which draws are graded must not depend on
    what they are. Bad units that were found in other ways are taken off the bound, too.
    """
    graded = np.isfinite(sample.bad)
    wrong = sample.bad == 1
    frame, outside = part & sample.frame, part & ~sample.frame
    rows = np.flatnonzero(frame)
    rows = rows[np.argsort(sample.order[rows])]
    open_rows = np.flatnonzero(~graded[rows])
    drawn = rows[: open_rows[0] if len(open_rows) else len(rows)]
    planned = max(1, round(sample.planned * len(rows) / max(sample.frame.sum(), 1)))
    found = int(wrong[rows].sum())
    high = upper_bound(wrong[drawn], population=len(rows), spending=Spending(planned, alpha))
    unknown = int((~graded[rows]).sum())
    return Left(
        n=int(part.sum() - wrong[part].sum()),
        n_graded=int(graded[part].sum()),
        n_drawn=len(drawn),
        n_bad=int(wrong[part].sum()),
        bad_high=min(max(high - found, 0), unknown) + int((~graded[outside]).sum()),
    )
