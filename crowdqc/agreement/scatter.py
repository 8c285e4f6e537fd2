"""Who scatters: at all labels, or at one label, where a constant offset is no scatter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.profile import scatter_of
from crowdqc.agreement.rater_data import FEWEST, RaterData, reached
from crowdqc.agreement.ratios import Ratio
from crowdqc.arrays import Bools, Floats
from crowdqc.config import RaterLimits
from crowdqc.crowd import Crowd

_SURE = 2.5
"""Standard errors by which the spread of few boxes may be off."""
_MORE = 1.2
"""How many times what can be done a rater must scatter about the others, who scatter, too."""
EDGES = {
    "left": ("left", "right"),
    "upper": ("up", "down"),
    "right": ("left", "right"),
    "lower": ("up", "down"),
}
"""Edges in the order of a box's coordinates; where one lies whose displacement is below 0, and
above."""


@dataclass(frozen=True)
class Scatter:
    """How much each of R raters scatters.

    Parameters
    ----------
    measured : Ratio
        Standard deviation of an edge about the others', as a share of the object's size.
    model : ndarray, shape (R,)
        The part that is the rater's own, by the model: the others scatter, too.
    label : int or None
        The label that it is of; None for all.
    mix : ndarray, shape (R,), or float
        How much more raters scatter at the labels that each of them drew than at those of all:
        `model` is without it.
    """

    measured: Ratio
    model: Floats
    label: int | None = None
    mix: Floats | float = 1.0

    @property
    def best(self) -> float:
        """What can be done here."""
        return reached(self.model)

    def limit(self, limits: RaterLimits) -> float:
        """From where a rater scatters too much."""
        return max(limits.spread_least, limits.spread * self.best)


def overall(data: RaterData) -> Scatter:
    """Scatter at all labels together, without each rater's bias."""
    mix, own = _mix(data.crowd), np.sqrt(np.mean(np.square(data.crowd.sd), axis=1))
    return Scatter(data.placed.spread, own / mix, mix=mix)


def _mix(crowd: Crowd) -> Floats:
    """Scatter of the usual rater at the labels that each one drew, over that at those of all, (R,).

    Edges of small organs scatter more, as a share of their size: who draws these alone would else
    be held against those who draw large ones.
    """
    n, square = crowd.n_label, np.nan_to_num(np.square(crowd.sd_label))
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = (n * square).sum(axis=0) / n.sum(axis=0)
        own = (n * np.nan_to_num(usual)).sum(axis=1) / n.sum(axis=1)
        mix = np.sqrt(own / ((n * np.nan_to_num(usual)).sum() / n.sum()))
    return np.where(mix > 0, mix, 1.0)


def by_label(data: RaterData) -> Iterator[tuple[Scatter, Scatter]]:
    """Scatter at each label: with the rater's bias at this label, and without it."""
    placed, labels = data.placed, data.item_label
    n_labels = len(data.labels)
    about, steady = (
        placed.of_labels(scatter_of(away), labels, n_labels)
        for away in (placed.free, placed.steady(labels, n_labels))
    )
    for label in range(data.crowd.sd_label.shape[1]):
        model = data.crowd.sd_label[:, label]
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.fmin(steady[label].value / about[label].value, 1.0)
        yield (
            Scatter(about[label], model, label),
            Scatter(steady[label], model * np.where(np.isfinite(part), part, 1.0), label),
        )


def label_offsets(data: RaterData, label: int) -> dict[str, Ratio]:
    """Mean displacement of each edge of a label, beyond the rater's bias; share of the size.

    Parameters
    ----------
    data : RaterData
        What was measured of the raters.
    label : int
        Number of the label.
    """
    placed, labels = data.placed, data.item_label
    return {
        name: placed.of_labels(edge, labels, len(data.labels))[label]
        for name, edge in zip(EDGES, placed.free.T, strict=True)
    }


def scatters(data: RaterData, scatter: Scatter) -> Bools:
    """Raters who surely scatter more than the limit, of those held against two others or more.

    What is the rater's own, the model says; how sure that is, the cases.

    Parameters
    ----------
    data : RaterData
        What was measured of the raters.
    scatter : Scatter
        Of the same raters.

    Returns
    -------
    ndarray of bool, shape (R,)
    """
    ratio, share = scatter.measured, 1 if scatter.label is None else len(data.labels)
    low, _ = ratio.bounds(data.places.level, share=share)
    few = 1 - _SURE / np.sqrt(2 * np.maximum(ratio.n, 1))  # of one edge of each box
    with np.errstate(invalid="ignore", divide="ignore"):
        sure = scatter.model * np.fmax(low / ratio.value, few)
    enough = (ratio.n >= FEWEST) & (data.n_others > 1)
    value = ratio.value / scatter.mix
    more = value > _MORE * reached(value)
    found: Bools = (sure > scatter.limit(data.limits)) & more & enough
    return found
