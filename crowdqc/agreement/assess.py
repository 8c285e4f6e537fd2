"""All of `crowdqc agree` in one go."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crowdqc.agreement.arrays import compare
from crowdqc.agreement.measures import measurements
from crowdqc.agreement.pool import number_places
from crowdqc.agreement.raters import Review, measure_raters
from crowdqc.agreement.resample import Resampling
from crowdqc.config import RaterLimits
from crowdqc.matching import Matched


@dataclass(frozen=True)
class Assessment(Review):
    """Agreement, scorecards and findings of a study.

    Parameters
    ----------
    raters, findings
        As of a `Review`.
    measurements : DataFrame
        As from `measure_agreement`.
    """

    measurements: pd.DataFrame


def assess_raters(
    matched: Matched,
    *,
    gold: pd.DataFrame | None = None,
    resampling: Resampling | None = None,
    limits: RaterLimits | None = None,
    iou: float = 0.5,
) -> Assessment:
    """Measure agreement and the raters; boxes are held against each other only once.

    Parameters
    ----------
    matched : Matched
        The study.
    gold, resampling, limits, iou : optional
        As in `measure_agreement` and `review_raters`.

    Returns
    -------
    Assessment
        Measurements, and the raters with their findings.
    """
    resampling = resampling or Resampling()
    places = number_places(matched, resampling)
    compared = compare(matched, iou=iou)
    table = measurements(matched, compared, places, resampling=resampling)
    limits = limits or RaterLimits()
    review = measure_raters(matched, compared, places, gold=gold, limits=limits)
    return Assessment(review.raters, review.findings, table)
