"""Scores of raters as if all had read the same cases: a mixed model of rater and case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from crowdqc.arrays import Floats, Ints

_LARGEST = 12.0
"""Natural logarithm up to which the ratio of the variances is searched."""


@dataclass(frozen=True)
class Adjusted:
    """Scores of raters, adjusted for the cases that they read.

    Parameters
    ----------
    value, error : ndarray, shape (R,)
        Score on an average case, and its standard error; nan for a rater without a score.
    shrunk, shrunk_error : ndarray, shape (R,)
        The score drawn towards the mean of all raters by as much as it is uncertain.
    between_cases, between_raters, residual : float
        Variance components.
    """

    value: Floats
    error: Floats
    shrunk: Floats
    shrunk_error: Floats
    between_cases: float
    between_raters: float
    residual: float


def adjust_scores(score: Floats, rater: Ints, case: Ints, *, n_raters: int) -> Adjusted:
    """Fit ``score = rater + case + rest`` with random cases, by REML; then shrink the raters.

    Parameters
    ----------
    score : ndarray, shape (K,)
        Score of a rater on a case.
    rater, case : ndarray of int, shape (K,)
        Who, and which.
    n_raters : int
        R.

    Returns
    -------
    Adjusted
        nan where no rater has more than one case, so that there is nothing to estimate from.

    Notes
    -----
    The same model as ``statsmodels.MixedLM`` with a fixed effect of each rater and a random
    intercept of each case, which is too slow here: with one random intercept the likelihood
    depends on the ratio of two variances alone. Shrinking uses the variance between raters by
    the method of moments.

    References
    ----------
    .. [1] H. D. Patterson, R. Thompson, "Recovery of inter-block information when block sizes
       are unequal", Biometrika 58(3), 1971. :doi:`10.1093/biomet/58.3.545`
    .. [2] R. DerSimonian, N. Laird, "Meta-analysis in clinical trials", Controlled Clinical
       Trials 7(3), 1986. :doi:`10.1016/0197-2456(86)90046-2`
    """
    present, who = np.unique(rater, return_inverse=True)
    _, group = np.unique(case, return_inverse=True)
    who, group = who.reshape(-1), group.reshape(-1)
    if len(score) <= len(present):
        none = np.full(n_raters, np.nan)
        return Adjusted(none, none, none, none, np.nan, np.nan, np.nan)

    def cost(log_ratio: float) -> float:
        return _fit(score, who, group, ratio=float(np.exp(log_ratio)))[0]

    best = minimize_scalar(cost, bounds=(-_LARGEST, _LARGEST), method="bounded").x
    _, beta, covariance, residual = _fit(score, who, group, ratio=float(np.exp(best)))
    error = np.sqrt(np.diag(covariance))
    between, shrunk, shrunk_error = _shrink(beta, error)

    def spread(values: Floats) -> Floats:
        every = np.full(n_raters, np.nan)
        every[present] = values
        return every

    return Adjusted(
        value=spread(beta),
        error=spread(error),
        shrunk=spread(shrunk),
        shrunk_error=spread(shrunk_error),
        between_cases=residual * float(np.exp(best)),
        between_raters=between,
        residual=residual,
    )


def _fit(
    score: Floats, who: Ints, group: Ints, *, ratio: float
) -> tuple[float, Floats, Floats, float]:
    """-2 REML log likelihood (but for a constant), raters, their covariance, and the residual.

    `ratio` is the variance between cases over that of the rest.
    """
    n, r, g = len(score), int(who.max()) + 1, int(group.max()) + 1
    size = np.bincount(group).astype(np.float64)
    weight = ratio / (1 + ratio * size)  # of the mean of a group, in the inverse covariance
    cells = np.zeros((g, r))
    np.add.at(cells, (group, who), 1.0)
    total = np.bincount(group, score)
    information = np.diag(np.bincount(who).astype(np.float64)) - cells.T @ (cells * weight[:, None])
    right = np.bincount(who, score) - cells.T @ (weight * total)
    beta = np.linalg.solve(information, right).astype(np.float64)
    rest: Floats = score - beta[who]
    squares = float(rest @ rest - weight @ np.square(np.bincount(group, rest)))
    residual = max(squares, 1e-300) / (n - r)
    log_det = float(np.linalg.slogdet(information)[1] + np.log1p(ratio * size).sum())
    covariance = np.asarray(residual * np.linalg.inv(information), np.float64)
    return (n - r) * np.log(residual) + log_det, beta, covariance, residual


def _shrink(value: Floats, error: Floats) -> tuple[float, Floats, Floats]:
    """Variance between raters, and their values drawn towards the mean."""
    weight = np.maximum(error, 1e-12) ** -2
    mean = (weight @ value) / weight.sum()
    spare = weight.sum() - np.square(weight).sum() / weight.sum()
    excess = weight @ np.square(value - mean) - (len(value) - 1)
    between = float(max(excess / spare, 0.0)) if spare > 0 else 0.0
    share = between / (between + np.maximum(error, 1e-12) ** 2)
    return between, mean + share * (value - mean), np.sqrt(share) * error
