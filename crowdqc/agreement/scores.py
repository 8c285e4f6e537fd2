"""What a rater is judged by: agreement, agreement on an average case, and reliability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.mixed import Adjusted, adjust_scores
from crowdqc.agreement.rater_data import RaterData
from crowdqc.agreement.resample import Ratio, clustered_ratio
from crowdqc.arrays import Floats


@dataclass(frozen=True)
class Scores:
    """What a rater is judged by: agreement, agreement on an average case, and reliability."""

    agreement: Ratio
    adjusted: Adjusted
    reliability: Ratio
    level: float

    def adjusted_bounds(self, level: float, *, share: int | None = None) -> tuple[Floats, Floats]:
        """Bounds of the adjusted agreement; those of the plain one where there is none."""
        many = float(len(self.adjusted.value))
        df = np.full(len(self.adjusted.value), max(self.agreement.df.sum(), 1.0))
        ratio = Ratio(self.adjusted.value, self.adjusted.error, df, np.full(len(df), many))
        return ratio.bounds(level, share=share)

    def simultaneous_bounds(self) -> tuple[Floats, Floats]:
        """Bounds of agreement for all raters together: the outer of plain and adjusted ones."""
        low, high = self.agreement.bounds(self.level)
        other_low, other_high = self.adjusted_bounds(self.level)
        return unit_range(np.fmin(low, other_low)), unit_range(np.fmax(high, other_high))

    def best(self) -> tuple[Floats, Floats]:
        """The better of plain and adjusted agreement, and of their own lower bounds."""
        low, _ = self.agreement.bounds(self.level, share=1)
        other_low, _ = self.adjusted_bounds(self.level, share=1)
        return np.fmax(self.agreement.value, self.adjusted.value), unit_range(
            np.fmax(low, other_low)
        )


def unit_range(values: Floats) -> Floats:
    """Cut to [0, 1], where agreement lies."""
    return np.clip(values, 0.0, 1.0)


def score_all(data: RaterData) -> Scores:
    """Scores of all raters."""
    items, at = data.compared.items, data.item_place
    agreement = data.ratio(items.iou, np.ones(len(items.iou)), rater=items.rater, at=at)
    return Scores(
        agreement=agreement,
        adjusted=_adjusted(data),
        reliability=_reliability(data, agreement.value),
        level=data.places.level,
    )


def _adjusted(data: RaterData) -> Adjusted:
    """Agreement on an average cluster (case), by the mixed model."""
    items = data.compared.items
    cluster = data.places.rater_cluster[data.item_place]
    cell = items.rater * (int(cluster.max(initial=0)) + 1) + cluster
    known, of = np.unique(cell, return_inverse=True)
    mean = np.bincount(of.reshape(-1), items.iou) / np.bincount(of.reshape(-1))
    rater, case = np.divmod(known, int(cluster.max(initial=0)) + 1)
    return adjust_scores(mean, rater, case, n_raters=len(data.people))


def _reliability(rater_data: RaterData, agreement: Floats) -> Ratio:
    """Reliability from the model of the crowd, with the error of its F1 between clusters."""
    crowd = rater_data.crowd
    data = crowd.evidence
    judged = data.n_asked > 1
    boxes, rows = judged[data.object], judged[data.asked_object]
    zero = np.zeros(int(rows.sum()))
    ratio = clustered_ratio(
        np.concatenate([2 * crowd.hits[boxes], zero]),
        np.concatenate([np.ones(int(boxes.sum())), crowd.wanted[rows]]),
        rater=np.concatenate([data.rater[boxes], data.asked_rater[rows]]),
        cluster=rater_data.places.rater_cluster[
            np.concatenate([data.place[data.object[boxes]], data.place[data.asked_object[rows]]])
        ],
        n_raters=data.n_raters,
    )
    value = np.where(np.isfinite(agreement), crowd.reliability, np.nan)
    return Ratio(value, ratio.error, ratio.df, ratio.n)
