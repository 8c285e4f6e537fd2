"""Where a path of candidates is stopped, and whether its end beats its beginning.

The cases that are held out do two things: they say when to stop, and how good the result is. If a
case had a say in the stop by which it is then scored, the scores would be too good. So each case
is scored by the candidate that all the *other* held-out cases choose; the model that is kept is
the one that all of them choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Scores = NDArray[np.float64]

LEVEL = 0.95
"""Coverage of the interval of the gain."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A candidate, and what it gains.

    Parameters
    ----------
    step : int
        Which candidate is kept; 0 is the model as it was.
    before, after : ndarray, shape (C,)
        Score of each held-out case by the model as it was, and by the candidate that the other
        cases choose.
    """

    step: int
    before: Scores
    after: Scores

    @property
    def gain(self) -> tuple[float, float, float]:
        """Mean of after less before, and its interval (Student's t over cases)."""
        differences = self.after - self.before
        mean, n = float(differences.mean()), len(differences)
        half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n)
        return mean, mean - float(half), mean + float(half)

    @property
    def better(self) -> bool:
        """Whether the candidate beats the model: the whole interval of the gain is above 0."""
        return self.step > 0 and self.gain[1] > 0


def choose(scores: Scores) -> Choice:
    """Choose among candidates by their scores on cases that they did not learn from.

    Parameters
    ----------
    scores : ndarray, shape (T, C)
        Of each candidate, in the order of the path, on each held-out case; C is at least 3.

    Returns
    -------
    Choice
        Of equal means the earliest.

    Raises
    ------
    ValueError
        If there are fewer than three cases, or a score is not finite.

    Examples
    --------
    >>> found = choose(np.array([[0.5, 0.6, 0.4], [0.7, 0.8, 0.7], [0.9, 0.7, 0.6]]))
    >>> found.step, found.after.tolist()
    (1, [0.7, 0.7, 0.6])
    """
    if scores.ndim != 2 or scores.shape[1] < 3 or not np.isfinite(scores).all():
        raise ValueError(
            f"'scores' must be finite, of at least three cases; got the shape {scores.shape}."
        )
    cases = np.arange(scores.shape[1])
    others = scores.sum(axis=1, keepdims=True) - scores
    return Choice(
        step=_first_best(scores.mean(axis=1)),
        before=scores[0],
        after=np.array([scores[_first_best(others[:, case]), case] for case in cases]),
    )


def patient(means: Scores, epochs: int) -> bool:
    """Whether to go on: the best mean is among the last `epochs`.

    Parameters
    ----------
    means : ndarray, shape (T,)
        Of each candidate so far.
    epochs : int

    Examples
    --------
    >>> patient(np.array([0.5, 0.7, 0.6, 0.6]), 3), patient(np.array([0.7, 0.6, 0.6, 0.6]), 3)
    (True, False)
    """
    return len(means) - 1 - _first_best(means) < epochs


def _first_best(values: Scores) -> int:
    """Place of the largest, the first of those that differ by rounding only."""
    return int(np.flatnonzero(values >= values.max() - 1e-9)[0])
