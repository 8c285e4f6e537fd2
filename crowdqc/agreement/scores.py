"""What raters are scored by: agreement, and agreement on an average case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.mixed import Adjusted, adjust_scores
from crowdqc.agreement.rater_data import RaterData
from crowdqc.agreement.ratios import Ratio
from crowdqc.arrays import Floats, numbered


@dataclass(frozen=True)
class Scores:
    """What raters are scored by: agreement, and agreement on an average case."""

    agreement: Ratio
    adjusted: Adjusted
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
    items, at = data.items, data.item_place
    agreement = data.ratio(items.iou, np.ones(len(items.iou)), rater=items.rater, at=at)
    return Scores(
        agreement=agreement,
        adjusted=_adjusted(data),
        level=data.places.level,
    )


def _adjusted(data: RaterData) -> Adjusted:
    """Agreement on an average cluster (case), by the mixed model."""
    items = data.items
    cluster = data.places.rater_cluster[data.item_place]
    cell = items.rater * (int(cluster.max(initial=0)) + 1) + cluster
    known, of = numbered(cell)
    mean = np.bincount(of, items.iou) / np.bincount(of)
    rater, case = np.divmod(known, int(cluster.max(initial=0)) + 1)
    return adjust_scores(mean, rater, case, n_raters=len(data.people))
