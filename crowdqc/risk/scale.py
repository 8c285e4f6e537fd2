"""From the training-free risk, a rank, to the probability that a mask is bad.

The log odds of being bad are a line in those of the risk. Without grades its intercept and slope
are those of other studies; with grades they are learned, with these as the prior, so that a few
grades cannot mislead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from crowdqc.arrays import Floats

EDGE = 0.001
"""Risks are kept this far from 0 and 1 before their log odds are taken."""


@dataclass(frozen=True)
class Scale:
    """A line in the log odds of a risk.

    Parameters
    ----------
    intercept, slope : float
    """

    intercept: float
    slope: float

    def probability(self, risk: Floats, offset: Floats | float = 0.0) -> Floats:
        """Probability of being bad, shape and nan as `risk`; `offset` is added to the log odds."""
        chance: Floats = expit(self.intercept + self.slope * _log_odds(risk) + offset)
        return chance


STATED = Scale(-3.4, 1.8)
"""Where nothing was graded: about the mean of what fits SAM's masks of the crowd study (-2.9, 1.9)
and those of the embedded model on hippocampi (-3.9, 1.7); see ``benchmarks/risk_scale.py``."""
STATED_BOXES = Scale(-0.5, 0.5)
"""From `wrong` of a fused box to how often such boxes are bad: about what fits 543 boxes of
photographs (-0.43, 0.49). What raters get wrong alike is not in `wrong`, which pulls it to the
middle."""
DOUBT = Scale(1.0, 1.0)
"""Standard deviation of intercept and slope between studies."""


def _log_odds(risk: Floats) -> Floats:
    """Log odds of a risk in [0, 1], shape and nan as `risk`."""
    odds: Floats = logit(np.clip(risk, EDGE, 1 - EDGE))
    return odds


def fit_scale(
    risk: Floats,
    bad: Floats,
    *,
    offset: Floats | float = 0.0,
    prior: Scale = STATED,
    doubt: Scale = DOUBT,
) -> Scale:
    """The most probable scale, from grades.

    Parameters
    ----------
    risk : ndarray, shape (N,)
        Risk of the graded masks, in [0, 1].
    bad : ndarray, shape (N,)
        1 where the grade was bad, else 0.
    offset : ndarray, shape (N,)
        What else is known, in log odds.
    prior, doubt : Scale
        Mean and standard deviation of a normal prior.

    Returns
    -------
    Scale
        The prior where nothing was graded.

    Examples
    --------
    >>> fit_scale(np.zeros(0), np.zeros(0)) == STATED
    True
    """
    if not len(bad):
        return prior
    design = np.column_stack([np.ones(len(bad)), _log_odds(risk)])
    mean = np.array([prior.intercept, prior.slope])
    width = np.array([doubt.intercept, doubt.slope])

    def loss(weights: Floats) -> tuple[float, Floats]:
        score, off = design @ weights + offset, (weights - mean) / width
        value = np.logaddexp(0.0, score).sum() - bad @ score + 0.5 * off @ off
        return float(value), design.T @ (expit(score) - bad) + off / width

    found = minimize(loss, mean, jac=True, method="L-BFGS-B").x
    return Scale(float(found[0]), float(found[1]))
