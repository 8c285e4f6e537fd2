"""How many random draws a bound needs: the sample size of an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, hypergeom

POWER = 0.85
"""Probability with which the planned draws are to be enough."""
SPENT = 0.7
"""A test that looks once, with this share of the error probability, is about as strict at the
planned number of draws as the one that looks at every draw."""
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
    for found in range(frame + 1):
        allowed = int(goal.limit * (frame + known - found) + 1e-9) + found
        if allowed >= frame:
            return found
        n = _draws(found, bad=allowed + 1, frame=frame, alpha=SPENT * goal.alpha)
        if n >= frame or binom.cdf(found, n, share).mean() >= POWER:
            return min(n, frame)
    return frame


def _draws(found: int, *, bad: int, frame: int, alpha: float) -> int:
    """Fewest draws of which at most `found` are bad with a probability of at most `alpha`."""
    low, high = found, frame
    while low < high:
        middle = (low + high) // 2
        if hypergeom.cdf(found, frame, bad, middle) <= alpha:
            high = middle
        else:
            low = middle + 1
    return int(np.maximum(low, 1))
