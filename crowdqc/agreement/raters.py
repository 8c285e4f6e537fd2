"""Scorecards of raters, as the table ``raters``, and what was found as findings.

The formulas stand in ``docs/measures.md``, a row for each column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crowdqc.agreement.arrays import compare
from crowdqc.agreement.continuity import check_continuity
from crowdqc.agreement.faults import find_faults
from crowdqc.agreement.gold import gold_scores
from crowdqc.agreement.pool import Places, Summands, number_places, pool
from crowdqc.agreement.rater_data import Fault, RaterData, reached
from crowdqc.agreement.resample import Resampling
from crowdqc.agreement.scores import Scores, score_all, unit_range
from crowdqc.arrays import Floats
from crowdqc.checks import declared, measured
from crowdqc.config import RaterLimits
from crowdqc.crowd import fit
from crowdqc.findings import Finding, Where, check_info, to_cell
from crowdqc.matching import Matched
from crowdqc.schema import BOX, TABLES, conform, natural_order

AGREEMENT = "agreement"


@dataclass(frozen=True)
class Review:
    """What was learnt of the raters of a study.

    Parameters
    ----------
    raters : DataFrame
        Table ``raters``, in natural order of the raters; verdicts are not given yet.
    findings : list of Finding
        One for each fault of a rater, with places that show it, and one for each box or
        organ that does not go with its neighbours.
    """

    raters: pd.DataFrame
    findings: list[Finding]


def score_raters(
    matched: Matched,
    *,
    gold: pd.DataFrame | None = None,
    resampling: Resampling | None = None,
    limits: RaterLimits | None = None,
    iou: float = 0.5,
) -> pd.DataFrame:
    """A scorecard for each rater: the table of `review_raters`.

    Parameters
    ----------
    matched : Matched
        The study.
    gold, resampling, limits, iou : optional
        As in `review_raters`.

    Returns
    -------
    DataFrame
        The table ``raters``, without verdicts.
    """
    return review_raters(matched, gold=gold, resampling=resampling, limits=limits, iou=iou).raters


def review_raters(
    matched: Matched,
    *,
    gold: pd.DataFrame | None = None,
    resampling: Resampling | None = None,
    limits: RaterLimits | None = None,
    iou: float = 0.5,
) -> Review:
    """Score each rater, and name the faults of each.

    Parameters
    ----------
    matched : Matched
        The study with its boxes matched.
    gold : DataFrame, optional
        True boxes: ``case, slice, label, x0, y0, x1, y1``. A slice of which it has no box
        has no gold, unless the whole case has some: then nothing is there.
    resampling : Resampling, optional
        How intervals are made. None: 1000 resamples, 95 %.
    limits : RaterLimits, optional
        Where faults begin. None: the defaults.
    iou : float
        IoU from which two boxes count as the same, in scores against gold and in alpha.

    Returns
    -------
    Review
        In a study in which no slice was read by two raters for the same label, scores are nan.
    """
    resampling = resampling or Resampling()
    places = number_places(matched, resampling)
    compared = compare(matched, iou=iou)
    data = RaterData(matched, compared, places, limits or RaterLimits(), fit(matched))
    return measure_raters(data, gold=gold)


def measure_raters(data: RaterData, *, gold: pd.DataFrame | None) -> Review:
    """As `review_raters`, of a study whose boxes were compared before.

    Parameters
    ----------
    data : RaterData
        A study whose boxes were compared.
    gold : DataFrame or None
        Gold boxes, of which the scores of raters are taken; no such columns if `None`.
    """
    matched, compared, places = data.matched, data.compared, data.places
    faults, noticed = find_faults(data)
    table = counts(matched)
    table = table.join(_agreement(data, score_all(data)))
    table = table.join(_placed_columns(data)).assign(drift=data.drift.value)
    own = [column.name for column in TABLES["raters"]]
    table = table.assign(**measured("rater", data, n=len(table), taken=own))
    if gold is not None:
        table = table.join(gold_scores(matched, gold, iou=compared.iou, level=places.level))
    table = pd.concat([table, _idle(matched)])
    findings = [_finding(fault, matched, places) for fault in sorted(faults, key=_by_rater)]
    named = [sorted({f.check for f in findings if f.rater == name}) for name in table.index]
    table = table.assign(
        faults=[to_cell(checks) for checks in named],
        labels_swapped=[float("labels-swapped" in checks) for checks in named],
    )
    findings += [*noticed, *check_continuity(matched)]
    table = table.loc[natural_order(table.index)].rename_axis("rater").reset_index()
    return Review(conform("raters", table), findings)


def _idle(matched: Matched) -> pd.DataFrame:
    """A row for each rater of whom every file says nothing."""
    readings = matched.study.readings
    names = readings["rater"]
    if matched.study.rater_scope == "case":
        names = readings["case"] + "/" + names
    idle = natural_order(set(names) - set(matched.people))
    counts = {"n_cases": 0, "n_slices": 0, "n_boxes": 0, "n_compared": 0, "n_others": 0}
    return pd.DataFrame(counts, index=pd.Index(idle, name="rater", dtype=object))


def _by_rater(fault: Fault) -> int:
    return fault.rater


def counts(matched: Matched) -> pd.DataFrame:
    """Cases, slices and boxes of each rater, in the order of ``matched.people``."""
    n = len(matched.people)
    asked, boxes = matched.asked, matched.boxes
    slices = asked.drop_duplicates(["case", "slice", "person"])["person"]
    cases = asked.drop_duplicates(["case", "person"])["person"]
    return pd.DataFrame(
        {
            "n_cases": np.bincount(cases, minlength=n),
            "n_slices": np.bincount(slices, minlength=n),
            "n_boxes": np.bincount(boxes["person"], minlength=n),
        },
        index=pd.Index(matched.people, name="rater"),
    )


def _agreement(data: RaterData, scores: Scores) -> pd.DataFrame:
    """Agreement with its intervals, misses, extras, reliability and weight."""
    items, at, places = data.items, data.item_place, data.places
    one = np.ones(len(items.iou))
    pooled = pool(
        Summands(at, (items.iou, one), {"rater": items.rater}), ["rater"], places, measure=AGREEMENT
    ).set_index("rater")[["value", "low", "high"]]
    people = pd.Index(data.people, name="rater")
    table = pooled.reindex(people).set_axis(
        ["agreement", "agreement_low", "agreement_high"], axis=1
    )
    missed = data.ratio(items.missed, ~items.extra, rater=items.rater, at=at)
    extra = data.ratio(items.extra, ~items.missed, rater=items.rater, at=at)
    crowd = data.crowd
    known = np.isfinite(scores.agreement.value)
    reliable, low, high = (
        np.where(known, values, np.nan)
        for values in (crowd.reliability, crowd.reliability_low, crowd.reliability_high)
    )
    own_low, own_high = scores.adjusted_bounds(places.level, share=1)
    best = np.nanmax(reliable, initial=0)
    return table.assign(
        reliability=reliable,
        miss_rate=missed.value,
        extra_rate=extra.value,
        weight=reliable / (best or np.nan),
        reliability_low=unit_range(low),
        reliability_high=unit_range(high),
        adjusted=scores.adjusted.value,
        adjusted_low=unit_range(own_low),
        adjusted_high=unit_range(own_high),
        shrunk=scores.adjusted.shrunk,
        behind=-reached(-reliable) - unit_range(high),
        n_compared=data.n_compared,
        n_others=data.n_others,
        false_rate=crowd.false_rate,
    ).join(_simultaneous(scores, people))


def _simultaneous(scores: Scores, people: pd.Index) -> pd.DataFrame:
    """Bounds of agreement that hold for all raters together, and the better of two scores."""
    low, high = scores.simultaneous_bounds()
    best, best_low = scores.best()
    bounds = {
        "agreement_low_simultaneous": low,
        "agreement_high_simultaneous": high,
        "agreement_best": best,
        "agreement_best_low": best_low,
    }
    return pd.DataFrame(bounds, index=people)


def _placed_columns(data: RaterData) -> pd.DataFrame:
    """Bias and scatter of each edge in px and mm, shift and size."""
    placed, people = data.placed, pd.Index(data.people, name="rater")
    columns: dict[str, Floats] = {
        "shift_x": placed.shift[:, 0],
        "shift_y": placed.shift[:, 1],
        "size_ratio": placed.size_ratio,
        "spread": np.sqrt(np.mean(np.square(placed.scatter), axis=1)),
    }
    spacing = _spacing(data.matched)
    for column, edge in enumerate(BOX):
        columns[f"bias_{edge}"] = placed.bias[:, column]
    for column, edge in enumerate(BOX):
        columns[f"bias_{edge}_mm"] = placed.bias[:, column] * spacing[column % 2]
    columns["spread_mm"] = columns["spread"] * np.sqrt(np.mean(np.square(spacing)))
    return pd.DataFrame(columns, index=people)


def _spacing(matched: Matched) -> Floats:
    """Median width and height of a pixel in mm over the study; nan where any is not known."""
    spacing = matched.study.images[["spacing_x", "spacing_y"]].to_numpy(np.float64)
    return np.median(spacing, axis=0) if len(spacing) else np.full(2, np.nan)


def _finding(fault: Fault, matched: Matched, places: Places) -> Finding:
    """A fault as a finding that names places which show it."""
    return Finding(
        check=fault.check,
        severity=declared("rater").get(fault.check, check_info(fault.check).severity),
        message=fault.what,
        rater=matched.people[fault.rater],
        value=float(fault.value),
        limit=float(fault.limit),
        unit=fault.unit,
        examples=tuple(_where(int(place), places) for place in fault.places),
    )


def _where(place: int, places: Places) -> Where:
    return Where(
        case=str(places.names["case"][places.case[place]]),
        slice=int(places.plane[place]),
        label=str(places.names["label"][places.label[place]]),
    )
