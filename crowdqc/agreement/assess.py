"""All of `crowdqc agree` in one go."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crowdqc.agreement.arrays import compare
from crowdqc.agreement.measures import measurements
from crowdqc.agreement.pool import number_places
from crowdqc.agreement.raters import Judging, judge_raters
from crowdqc.agreement.resample import Resampling
from crowdqc.findings import Finding
from crowdqc.matching import Matched


@dataclass(frozen=True)
class Assessment:
    """Agreement, scorecards and findings of a study.

    Parameters
    ----------
    measurements : DataFrame
        As from `measure_agreement`.
    raters : DataFrame
        Table ``raters``, as from `score_raters`.
    findings : list of Finding
        As from `review_raters`.
    """

    measurements: pd.DataFrame
    raters: pd.DataFrame
    findings: list[Finding]


def assess_raters(
    matched: Matched,
    *,
    gold: pd.DataFrame | None = None,
    resampling: Resampling | None = None,
    judging: Judging | None = None,
    iou: float = 0.5,
) -> Assessment:
    """Measure agreement and judge the raters; boxes are held against each other only once.

    Parameters
    ----------
    matched, gold, resampling, judging, iou
        As in `measure_agreement` and `review_raters`.
    """
    resampling = resampling or Resampling()
    places = number_places(matched, resampling)
    compared = compare(matched, iou=iou)
    table = measurements(matched, compared, places, resampling=resampling)
    review = judge_raters(matched, compared, places, gold=gold, judging=judging or Judging())
    return Assessment(table, review.raters, review.findings)
