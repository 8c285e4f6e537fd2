"""How many random draws a bound needs: the sample size of an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, gammaln

from crowdqc.arrays import Floats, Ints

POWER = 0.8
"""Probability with which the planned draws are to be enough."""
SPENT = 0.7
"""A test that looks once, with this share of the error probability, is about as strict at the
planned number of draws as the one that looks at every draw."""
LARGE = 20_000
"""Frames from here on are planned as if units were put back, which asks for slightly more draws."""
ONE_BY_ONE = 64
"""Numbers of bad units found that are tried one by one; more are searched by halves."""
_NODES = np.array([-1.22, 0.0, 1.22])
"""Three values with the mean and the variance of a standard normal one."""


@dataclass(frozen=True)
class Goal:
    """What is to be shown: at most a share `limit` of what is left is bad.

    Parameters
    ----------
    limit : float
        Share of bad units among those left, in (0, 1).
    confidence : float
        In (0, 1).

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    limit: float
    confidence: float

    def __post_init__(self) -> None:
        if not (0 < self.limit < 1 and 0 < self.confidence < 1):
            raise ValueError(
                f"'limit' and 'confidence' must be in (0, 1); got {self.limit}, {self.confidence}."
            )

    @property
    def alpha(self) -> float:
        """Error probability."""
        return 1 - self.confidence


def draws_needed(expected: float, *, frame: int, known: int, goal: Goal, doubt: float = 0.0) -> int:
    """Random draws with which the goal is probably reached.

    Parameters
    ----------
    expected : float
        Bad units that are expected in the frame.
    frame : int
        Units that are drawn from.
    known : int
        Units outside the frame that were graded and are good: they dilute the bad ones.
    goal : Goal
        What is to be shown. A bad unit that is found is taken out.
    doubt : float
        Standard deviation of the logarithm of what is expected.

    Returns
    -------
    int
        Draws, 0 where even a frame of bad units only would do, and the whole frame where fewer
        do not reach the goal with a probability of `POWER`.

    Examples
    --------
    >>> draws_needed(0.0, frame=10_000, known=0, goal=Goal(0.05, 0.95))
    66
    """
    share = np.minimum(expected * np.exp(doubt * _NODES) / max(frame, 1), 1.0)

    def planned(found: int) -> tuple[bool, int]:
        """Whether this many bad ones found probably reach the goal, and in how many draws."""
        allowed = int(goal.limit * (frame + known - found) + 1e-9) + found
        if allowed >= frame:
            return True, found
        n = _draws(found, bad=allowed + 1, frame=frame, alpha=SPENT * goal.alpha)
        return n >= frame or bdtr(found, n, share).mean() >= POWER, min(n, frame)

    low, high = -1, 0
    while high < frame and not planned(high)[0]:
        low, high = high, min(high + 1 if high < ONE_BY_ONE else 2 * high, frame)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if planned(middle)[0] else (middle, high)
    return planned(high)[1]


def _draws(found: int, *, bad: int, frame: int, alpha: float) -> int:
    """Fewest draws of which at most `found` are bad with a probability of at most `alpha`."""
    low, high = found, frame
    while low < high:
        middle = (low + high) // 2
        if _chance(found, bad=bad, frame=frame, draws=middle) <= alpha:
            high = middle
        else:
            low = middle + 1
    return int(np.maximum(low, 1))


def _chance(found: int, *, bad: int, frame: int, draws: int) -> float:
    """Probability that at most `found` of some draws without replacement are bad."""
    if frame >= LARGE:
        return float(bdtr(found, draws, bad / frame))
    few, good = np.arange(max(0, draws - (frame - bad)), min(found, bad, draws) + 1), frame - bad
    log = _log_ways(bad, few) + _log_ways(good, draws - few) - _log_ways(frame, np.array(draws))
    return float(np.exp(log).sum())


def _log_ways(n: int, k: Ints) -> Floats:
    """Logarithm of the ways to choose k of n, shape of `k`."""
    ways: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return ways
