"""Risk calibrated on a few masks whose Dice is known: a ridge logistic regression.

`support`, `extent` and the label say how probable it is that the Dice of a mask is below a limit:
support and extent as logits, and an intercept for each label, for some organs are harder. The
penalty is chosen by leaving one case out; `cross_validate` leaves each case out of all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from crowdqc.arrays import Floats

BAD_DICE = 0.5
"""A mask with a smaller Dice coefficient is wrong."""
PENALTIES = (1.0, 3.0, 10.0, 30.0)
"""Ridge penalties that are tried, on standardised features."""
_EDGE = 0.02
"""Shares are kept this far from 0 and 1 before their logit is taken."""


@dataclass(frozen=True)
class Calibration:
    """A fitted model.

    Parameters
    ----------
    labels : tuple of str
        Labels with an intercept of their own.
    mean, scale, weights : ndarray, shape (F,)
        Of the features.
    intercept, penalty : float
    """

    labels: tuple[str, ...]
    mean: Floats
    scale: Floats
    weights: Floats
    intercept: float
    penalty: float

    def predict(self, table: pd.DataFrame) -> Floats:
        """Probability that the Dice of each mask is below the limit.

        Parameters
        ----------
        table : DataFrame
            As from `crowdqc.risk.assess_risk`.

        Returns
        -------
        ndarray, shape (N,)
            In ``[0, 1]``.
        """
        features = (_features(table, self.labels) - self.mean) / self.scale
        probability: Floats = expit(features @ self.weights + self.intercept)
        return probability


def calibrate(table: pd.DataFrame, dice: Floats, *, limit: float = BAD_DICE) -> Calibration:
    """Fit the risk to masks whose Dice is known.

    Parameters
    ----------
    table : DataFrame
        As from `crowdqc.risk.assess_risk`.
    dice : ndarray, shape (N,)
        Dice of each row against an expert mask.
    limit : float
        A mask with a smaller Dice is wrong.

    Returns
    -------
    Calibration
        Predicts the risk of such masks.

    Raises
    ------
    ValueError
        If not all Dice are known, or no mask is wrong, or none is right.
    """
    wrong = _outcomes(dice, limit)
    labels = tuple(sorted(table["label"].unique()))
    features = _features(table, labels)
    cases = table["case"].to_numpy()
    losses = [_loss_left_out(features, wrong, cases, penalty=penalty) for penalty in PENALTIES]
    penalty = PENALTIES[int(np.argmin(losses))]
    return _fit(features, wrong, labels=labels, penalty=penalty)


def cross_validate(table: pd.DataFrame, dice: Floats, *, limit: float = BAD_DICE) -> Floats:
    """Risk of each mask by models that never saw its case.

    Parameters
    ----------
    table : DataFrame
        As from `crowdqc.risk.assess_risk`.
    dice : ndarray, shape (N,)
        Dice of each row against an expert mask.
    limit : float
        A mask with a smaller Dice is wrong.

    Returns
    -------
    ndarray, shape (N,)
        Probability that the Dice is below the limit; the penalty, too, is chosen without the
        case. nan where the other cases have no wrong mask, or no right one.
    """
    wrong = _outcomes(dice, limit)
    risk = np.full(len(table), np.nan)
    cases = table["case"].to_numpy()
    for case in np.unique(cases):
        rest = cases != case
        if 0 < wrong[rest].sum() < rest.sum():
            model = calibrate(table[rest], np.asarray(dice)[rest], limit=limit)
            risk[~rest] = model.predict(table[~rest])
    return risk


def _outcomes(dice: Floats, limit: float) -> Floats:
    dice = np.asarray(dice, dtype=np.float64)
    if not np.isfinite(dice).all():
        raise ValueError(f"'dice' must be known; {(~np.isfinite(dice)).sum()} are not.")
    wrong = dice < limit
    if wrong.all() or not wrong.any():
        raise ValueError(
            f"'dice' must have masks on both sides of {limit:g}; {wrong.sum()} of {len(wrong)} "
            "are below. Score more cases, or use the training-free risk."
        )
    return wrong.astype(np.float64)


def _features(table: pd.DataFrame, labels: tuple[str, ...]) -> Floats:
    """What the model sees, shape (N, F): few numbers, for few masks are wrong."""
    columns = [
        _share(table["support"], 0.0),
        _share(table["extent"], 1.0),
        *((table["label"] == label).to_numpy(dtype=np.float64) for label in labels),
    ]
    return np.column_stack(columns)


def _share(values: pd.Series, missing: float) -> Floats:
    """Logit of a share."""
    share: Floats = logit(values.fillna(missing).to_numpy().clip(_EDGE, 1 - _EDGE))
    return share


def _fit(
    features: Floats, wrong: Floats, *, labels: tuple[str, ...], penalty: float
) -> Calibration:
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (features - mean) / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, score = parameters[1:], x @ parameters[1:] + parameters[0]
        value = np.logaddexp(0.0, score).sum() - wrong @ score + penalty / 2 * weights @ weights
        error = expit(score) - wrong
        return float(value), np.append(error.sum(), x.T @ error + penalty * weights)

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return Calibration(labels, mean, scale, found[1:], float(found[0]), penalty)


def _loss_left_out(
    features: Floats, wrong: Floats, cases: NDArray[np.object_], *, penalty: float
) -> float:
    """Mean logarithmic loss of each case by a model of the others."""
    total = 0.0
    for case in np.unique(cases):
        rest = cases != case
        if not 0 < wrong[rest].sum() < rest.sum():
            return float("inf")
        model = _fit(features[rest], wrong[rest], labels=(), penalty=penalty)
        score = (features[~rest] - model.mean) / model.scale @ model.weights + model.intercept
        total += float((np.logaddexp(0.0, score) - wrong[~rest] * score).sum())
    return total
