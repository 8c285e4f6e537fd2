"""All of `crowdqc agree` in one go."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crowdqc.agreement.arrays import compare
from crowdqc.agreement.measures import measurements
from crowdqc.agreement.pool import number_places
from crowdqc.agreement.rater_data import RaterData
from crowdqc.agreement.raters import Review, measure_raters
from crowdqc.agreement.resample import Resampling
from crowdqc.agreement.unaided import aided_findings, unaided, with_all
from crowdqc.config import RaterLimits
from crowdqc.crowd import fit
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


def assess_raters(  # noqa: PLR0913  what a study may name beside its boxes
    matched: Matched,
    *,
    gold: pd.DataFrame | None = None,
    calibrate: bool = False,
    settled: pd.DataFrame | None = None,
    resampling: Resampling | None = None,
    limits: RaterLimits | None = None,
    iou: float = 0.5,
    shown: pd.DataFrame | None = None,
) -> Assessment:
    """Measure agreement and the raters; boxes are held against each other only once.

    Parameters
    ----------
    matched : Matched
        The study.
    gold : DataFrame, optional
        As in `review_raters`.
    calibrate : bool
        Whether `gold` also corrects the model of the raters.
    settled : DataFrame, optional
        Single objects that reviewers decided on, from which the model of the raters learns, as in
        `crowdqc.crowd.with_settled`.
    resampling, limits, iou : optional
        As in `measure_agreement` and `review_raters`.
    shown : DataFrame, optional
        ``case, slice, label, rater`` of what raters were shown as done: nothing but `n_cases`,
        `n_slices` and `n_boxes` counts what they read there.

    Returns
    -------
    Assessment
        Measurements, and the raters with their findings.
    """
    resampling, limits = resampling or Resampling(), limits or RaterLimits()
    whole, matched = matched, unaided(matched, shown)
    # The model first: what it needs for a while comes before what is kept of each pair of boxes.
    crowd = fit(matched, gold=gold if calibrate else None, settled=settled)
    places = number_places(matched, resampling)
    compared = compare(matched, iou=iou)
    table = measurements(matched, compared, places, resampling=resampling)
    review = measure_raters(RaterData(matched, compared, places, limits, crowd), gold=gold)
    if matched is whole:
        return Assessment(review.raters, review.findings, table)
    findings = [*review.findings, *aided_findings(whole, shown)]
    return Assessment(with_all(review.raters, whole), findings, table)
