"""An interval of the Dice of each mask, from cases whose masks were scored.

Between the quantiles of the Dice of masks that are alike: of nearly the same expected Dice, those
of the same label counting more. The interval is then widened or narrowed until, with each scored
case left out in turn, it holds as often as it should (conformal, by case): masks of a case are
alike, so a case counts once, however many masks it has.

References
----------
.. [1] Y. Romano, E. Patterson, E. Candes, "Conformalized quantile regression", NeurIPS 2019.
.. [2] R. Dunn, L. Wasserman, A. Ramdas, "Distribution-free prediction sets for two-layer
   hierarchical models", JASA 118 (2023). :doi:`10.1080/01621459.2022.2060112`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from crowdqc.arrays import Bools, Floats

LEVEL = 0.9
TAILS = (0.085, 0.985)
"""Quantiles: Dice are skewed, and the upper tail is short, so that it costs little."""
WIDTH = 0.35
"""How alike expected Dice must be, in standard deviations."""
OTHER = 0.3
"""What a mask of another label counts."""
PENALTY = 30.0
_EDGE = 0.02
_LEAST = 0.05
_SIGNALS = {"risk_free": 0.5, "support": 0.3, "extent": 0.5, "z_dice": 0.5, "box_iou": 0.5}
_MORE = {"agreement": 0.8, "box_fill": 0.6}


@dataclass(frozen=True)
class _Masks:
    """Signals, labels, cases of N masks, and the Dice of those that were scored."""

    signals: Floats
    label: NDArray[np.object_]
    case: NDArray[np.object_]
    dice: Floats

    def of(self, rows: Bools) -> _Masks:
        """Some of them."""
        return _Masks(self.signals[rows], self.label[rows], self.case[rows], self.dice[rows])


def dice_interval(table: pd.DataFrame, dice: Floats) -> tuple[Floats, Floats]:
    """Where the Dice of each mask lies with a probability of `LEVEL`.

    Parameters
    ----------
    table : DataFrame
        As from `crowdqc.risk.assess_risk`, with ``risk_free``.
    dice : ndarray, shape (N,)
        Dice of each row against an expert mask; nan where it was not scored.

    Returns
    -------
    low, high : ndarray, shape (N,)
        In [0, 1]. Where masks of a case are scored, too, they are judged by all scored ones. nan
        where fewer than two cases were scored.

    Notes
    -----
    It holds for the masks of new cases like those that were scored, on average over cases.
    """
    masks = _Masks(
        _signals(table), table["label"].to_numpy(), table["case"].to_numpy(), np.asarray(dice)
    )
    scored = masks.of(np.isfinite(masks.dice))
    cases = np.unique(scored.case)
    if len(cases) < 2:
        nothing = np.full(len(table), np.nan)
        return nothing, nothing.copy()
    excess = np.zeros(len(scored.dice))
    for case in cases:
        own = scored.case == case
        low, high = _between(scored.of(~own), scored.of(own))
        true = scored.dice[own]
        excess[own] = np.maximum(low - true, true - high) / (high - low + _LEAST)
    wider = _quantile(excess[None], _per_case(scored.case)[None], LEVEL)[0]
    low, high = _between(scored, masks)
    room = wider * (high - low + _LEAST)
    middle = (low + high) / 2
    return np.clip(np.minimum(low - room, middle), 0, 1), np.clip(
        np.maximum(high + room, middle), 0, 1
    )


def _signals(table: pd.DataFrame) -> Floats:
    """What the expected Dice is made from, shape (N, F)."""
    shares = {**_SIGNALS, **_MORE}
    columns = [
        logit(table[name].fillna(usual).to_numpy(dtype=np.float64).clip(_EDGE, 1 - _EDGE))
        for name, usual in shares.items()
    ]
    return np.column_stack([*columns, np.log(table["area_mm2"].fillna(1.0).clip(lower=1.0))])


def _between(scored: _Masks, masks: _Masks) -> tuple[Floats, Floats]:
    """Quantiles of the Dice of scored masks that are like each of `masks`."""
    known, expected = _expected(scored, masks)
    apart = (expected[:, None] - known) / (WIDTH * known.std() + 1e-9)
    same = np.where(masks.label[:, None] == scored.label, 1.0, OTHER)
    weight = (np.exp(-0.5 * apart**2) + 1e-6) * same * np.sqrt(_per_case(scored.case))
    dice = np.broadcast_to(scored.dice, weight.shape)
    return _quantile(dice, weight, TAILS[0]), _quantile(dice, weight, TAILS[1])


def _expected(scored: _Masks, masks: _Masks) -> tuple[Floats, Floats]:
    """Log odds of the Dice by a ridge regression, of the scored masks and of all."""
    mean, scale = scored.signals.mean(axis=0), scored.signals.std(axis=0) + 1e-9
    labels = np.unique(scored.label)
    design, wanted = (
        np.column_stack(
            [np.ones(len(one.dice)), (one.signals - mean) / scale, one.label[:, None] == labels]
        )
        for one in (scored, masks)
    )
    weight = _per_case(scored.case)[:, None] * len(scored.dice) / len(np.unique(scored.case))
    penalty = PENALTY * np.eye(design.shape[1])
    penalty[0, 0] = 1e-6
    odds = logit(scored.dice.clip(_EDGE, 1 - _EDGE))
    found = np.linalg.solve(
        design.T @ (weight * design) + penalty, design.T @ (weight[:, 0] * odds)
    )
    return design @ found, wanted @ found


def _per_case(case: NDArray[np.object_]) -> Floats:
    """Weights with which cases count alike."""
    _, of, count = np.unique(case, return_inverse=True, return_counts=True)
    weight: Floats = 1.0 / count[of]
    return weight


def _quantile(values: Floats, weight: Floats, level: float) -> Floats:
    """Weighted quantile of each row."""
    order = np.argsort(values, axis=1)
    total = np.cumsum(np.take_along_axis(weight, order, 1), axis=1)
    place = (total < level * total[:, -1:]).sum(axis=1).clip(max=values.shape[1] - 1)
    picked = np.take_along_axis(order, place[:, None], 1)
    return np.take_along_axis(values, picked, 1)[:, 0]
