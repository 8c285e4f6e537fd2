"""Expectation maximisation for STAPLE: votes of raters with hidden truth, on patterns of votes.

One kernel for two labels and for many: a rater is a confusion matrix, and sensitivity and
specificity are the diagonal of the one for two labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdqc.arrays import Floats

CHANGE = 1e-7
"""EM ends when no entry of a confusion matrix changed by more than this, as in ITK."""
UNREAD = -1
"""Vote of a rater who did not read the pixel."""
_TINY = 1e-300


@dataclass(frozen=True)
class Votes:
    """Patterns of votes.

    Parameters
    ----------
    label : ndarray of int, shape (K, W)
        What each of W votes says: a label from 0, or `UNREAD`.
    rater : ndarray of int, shape (K, W) or (1, W)
        Whose vote it is, from 0 to ``raters - 1``.
    count : ndarray, shape (K,)
        How many pixels carry the pattern.
    raters, labels : int
        Number of raters, and of labels.
    """

    label: NDArray[np.integer]
    rater: NDArray[np.integer]
    count: Floats
    raters: int
    labels: int = 2


@dataclass(frozen=True)
class Solution:
    """What EM found.

    Parameters
    ----------
    confusion : ndarray, shape (R, L, L)
        ``confusion[r, t, d]``: how often rater r says d where the truth is t; nan where no
        pixel of label t was read.
    prevalence : ndarray, shape (L,)
        Share of each label, taken from the votes beforehand.
    posterior : ndarray, shape (K, L)
        Probability of each label for each pattern.
    n_iter : int
        Iterations.
    converged : bool
        Whether EM ended before it was stopped.
    """

    confusion: Floats
    prevalence: Floats
    posterior: Floats
    n_iter: int
    converged: bool


def solve(votes: Votes, *, prior: Floats | None = None, max_iter: int = 1000) -> Solution:
    """Estimate the truth and the raters together.

    Parameters
    ----------
    votes : Votes
        Which label each rater gave to each voxel.
    prior : ndarray, shape (L, L), optional
        Pixels already seen of every rater: a Dirichlet prior on the rows of its confusion
        matrix. None: nothing.
    max_iter : int
        Iterations at most.

    Returns
    -------
    Solution
        A pattern that nobody read has the prevalence for its posterior.
    """
    posterior = _shares(votes)
    total = votes.count.sum()
    prevalence = votes.count @ posterior / total if total > 0 else np.zeros(votes.labels)
    seen = np.zeros((votes.labels, votes.labels)) if prior is None else prior
    last = np.full((votes.raters, votes.labels, votes.labels), np.inf)
    steps, settled = 0, False
    while steps < max_iter and not settled:
        steps += 1
        confusion = _confusion(votes, posterior, seen)
        posterior = _posterior(votes, confusion, prevalence)
        settled = not np.any(np.abs(confusion - last) > CHANGE)  # nan: nothing to settle
        last = confusion
    return Solution(last, prevalence, posterior, steps, settled)


def _shares(votes: Votes) -> Floats:
    """Share of the votes for each label, (K, L); where nobody read, of all votes."""
    given = np.stack([(votes.label == d).sum(axis=1) for d in range(votes.labels)], axis=1)
    total = given.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = given / total
        overall = votes.count @ given / (votes.count @ total)
    return np.where(total > 0, share, overall)


def _confusion(votes: Votes, posterior: Floats, seen: Floats) -> Floats:
    size = votes.raters * (votes.labels + 1)
    code = votes.rater * (votes.labels + 1) + votes.label + 1
    code = np.broadcast_to(code, votes.label.shape).ravel()
    table = np.empty((votes.raters, votes.labels, votes.labels))
    for truth in range(votes.labels):
        weight = np.repeat(votes.count * posterior[:, truth], votes.label.shape[1])
        found = np.bincount(code, weights=weight, minlength=size)
        table[:, truth] = found.reshape(votes.raters, -1)[:, 1:] + seen[truth]
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = table / table.sum(axis=2, keepdims=True)
    return share


def _posterior(votes: Votes, confusion: Floats, prevalence: Floats) -> Floats:
    known = np.nan_to_num(confusion, nan=1.0)
    rates = np.ones((votes.raters, votes.labels, votes.labels + 1))  # the last: unread
    rates[:, :, :-1] = known
    logs = np.log(np.maximum(rates, _TINY))[votes.rater, :, votes.label].sum(axis=1)
    with np.errstate(divide="ignore"):
        logs = logs + np.log(prevalence)  # a label that nobody gave has no chance at all
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    share: Floats = weight / weight.sum(axis=1, keepdims=True)
    return share
