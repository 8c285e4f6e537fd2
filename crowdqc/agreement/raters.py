"""Scorecards of raters, as the table ``raters``, and what was found as findings.

The formulas stand in ``docs/measures.md``, a row for each column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crowdqc.agreement.arrays import EDGES, Compared, compare
from crowdqc.agreement.continuity import check_continuity
from crowdqc.agreement.faults import drifts, find_faults, item_clusters
from crowdqc.agreement.gold import gold_scores
from crowdqc.agreement.pool import Places, Summands, number_places, pool
from crowdqc.agreement.profile import Placement, drift, placement
from crowdqc.agreement.rater_data import Fault, RaterData, confused_boxes
from crowdqc.agreement.resample import Resampling
from crowdqc.agreement.scores import Scores, score_all, unit_range
from crowdqc.agreement.speed import too_fast
from crowdqc.arrays import Floats
from crowdqc.config import RaterLimits
from crowdqc.crowd import fit
from crowdqc.findings import Finding, Severity
from crowdqc.matching import Matched
from crowdqc.schema import conform, natural_order

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
    faults : dict of str to list of Fault
        Rater -> what was found of them.
    """

    raters: pd.DataFrame
    findings: list[Finding]
    faults: dict[str, list[Fault]]


def score_raters(
    matched: Matched,
    *,
    gold: pd.DataFrame | None = None,
    resampling: Resampling | None = None,
    limits: RaterLimits | None = None,
    iou: float = 0.5,
) -> pd.DataFrame:
    """A scorecard for each rater: the table of `review_raters`."""
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
    return measure_raters(matched, compared, places, gold=gold, limits=limits or RaterLimits())


def measure_raters(
    matched: Matched,
    compared: Compared,
    places: Places,
    *,
    gold: pd.DataFrame | None,
    limits: RaterLimits,
) -> Review:
    """As `review_raters`, of a study whose boxes were held against each other before."""
    crowd = fit(matched)
    bias = np.nan_to_num(crowd.bias)
    data = _rater_data(matched, places, compared, limits=limits, bias=bias)
    placed = _placement(data)
    change = drift(compared.items, _moments(matched, data), item_clusters(data))
    faults = [
        *find_faults(data, placed),
        *drifts(data, change),
        *too_fast(matched, limit=limits.seconds),
    ]
    scores = score_all(data, crowd)
    table = _counts(matched)
    table = table.join(_agreement(data, places, scores))
    table = table.join(_placed_columns(matched, placed)).assign(drift=change.value)
    if gold is not None:
        table = table.join(gold_scores(matched, gold, iou=compared.iou, level=places.level))
    table = pd.concat([table, _idle(matched)])
    named: dict[str, list[Fault]] = {name: [] for name in table.index}
    for fault in faults:
        named[matched.people[fault.rater]].append(fault)
    checks = [sorted({fault.check for fault in found}) for found in named.values()]
    table = table.assign(
        faults=[" ".join(names) for names in checks],
        labels_swapped=[float("labels-swapped" in names) for names in checks],
    )
    findings = [_finding(fault, matched, places) for fault in sorted(faults, key=_by_rater)]
    findings += check_continuity(matched)
    table = table.loc[natural_order(table.index)].rename_axis("rater").reset_index()
    return Review(conform("raters", table), findings, named)


def _idle(matched: Matched) -> pd.DataFrame:
    """A row for each rater of whom every file says nothing."""
    readings = matched.study.readings
    names = readings["rater"]
    if matched.study.rater_scope == "case":
        names = readings["case"] + "/" + names
    idle = natural_order(set(names) - set(matched.people))
    counts = {"n_cases": 0, "n_slices": 0, "n_boxes": 0}
    return pd.DataFrame(counts, index=pd.Index(idle, name="rater", dtype=object))


def _by_rater(fault: Fault) -> int:
    return fault.rater


def _rater_data(
    matched: Matched, places: Places, compared: Compared, *, limits: RaterLimits, bias: Floats
) -> RaterData:
    images = matched.study.images.set_index(["case", "slice"])
    area = (images["height"] * images["width"]).astype(np.float64)
    key = pd.MultiIndex.from_arrays([places.names["case"][places.case], places.plane])
    return RaterData(
        compared=compared,
        place_case=places.case,
        place_plane=places.plane,
        place_label=places.label,
        place_image=places.image,
        place_area=area.reindex(key).to_numpy(np.float64),
        place_cluster=places.rater_cluster,
        labels=matched.study.labels,
        people=matched.people,
        limits=limits,
        level=places.level,
        bias=bias,
    )


def _counts(matched: Matched) -> pd.DataFrame:
    """Cases, slices and boxes of each rater."""
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


def _agreement(data: RaterData, places: Places, scores: Scores) -> pd.DataFrame:
    """Agreement with its intervals, misses, extras, reliability and weight."""
    items, at = data.compared.items, data.item_place
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
    low, high = scores.reliability.bounds(places.level, share=1)
    own_low, own_high = scores.adjusted_bounds(places.level, share=1)
    best = np.nanmax(scores.reliability.value, initial=0)
    return table.assign(
        reliability=scores.reliability.value,
        miss_rate=missed.value,
        extra_rate=extra.value,
        weight=scores.reliability.value / (best or np.nan),
        reliability_low=unit_range(low),
        reliability_high=unit_range(high),
        adjusted=scores.adjusted.value,
        adjusted_low=unit_range(own_low),
        adjusted_high=unit_range(own_high),
        shrunk=scores.adjusted.shrunk,
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


def _placement(data: RaterData) -> Placement:
    """How raters place the edges of what the others drew, too, and called the same."""
    items = data.compared.items
    confused = np.isin(items.box, confused_boxes(data)[0])
    return placement(
        data.compared.drawn,
        items,
        item_clusters(data),
        rows=np.flatnonzero((items.iou > 0) & ~confused),
        bias=data.bias,
    )


def _placed_columns(matched: Matched, placed: Placement) -> pd.DataFrame:
    """Bias and scatter of each edge in px and mm, shift and size."""
    people = pd.Index(matched.people, name="rater")
    columns: dict[str, Floats] = {
        "shift_x": placed.shift[:, 0],
        "shift_y": placed.shift[:, 1],
        "size_ratio": placed.size_ratio,
        "spread": np.sqrt(np.mean(np.square(placed.scatter), axis=1)),
    }
    spacing = _spacing(matched)
    for column, edge in enumerate(EDGES):
        columns[f"bias_{edge}"] = placed.bias[:, column]
    for column, edge in enumerate(EDGES):
        columns[f"bias_{edge}_mm"] = placed.bias[:, column] * spacing[column % 2]
    columns["spread_mm"] = columns["spread"] * np.sqrt(np.mean(np.square(spacing)))
    return pd.DataFrame(columns, index=people)


def _spacing(matched: Matched) -> Floats:
    """Median width and height of a pixel in mm over the study; nan where any is not known."""
    spacing = matched.study.images[["spacing_x", "spacing_y"]].to_numpy(np.float64)
    return np.median(spacing, axis=0) if len(spacing) else np.full(2, np.nan)


def _moments(matched: Matched, data: RaterData) -> Floats:
    """When each item's slice was read: 0 for a rater's first slice, 1 for the last.

    In the order of the readings' column `time` where there is one, else of their rows.
    """
    items = data.compared.items
    asked = matched.asked
    asked_image = data.place_image[asked["place"].to_numpy(np.int64)]
    span = int(asked_image.max(initial=0)) + 1
    key = asked["person"].to_numpy(np.int64) * span + asked_image
    reading, first = np.unique(key, return_index=True)
    time = first.astype(np.float64)
    if "time" in matched.study.readings.columns:
        merged = asked.iloc[first].merge(
            matched.study.readings[["case", "slice", "rater", "time"]],
            on=["case", "slice", "rater"],
            how="left",
        )
        time = merged["time"].to_numpy(np.float64)
    order = np.lexsort((time, reading // span))
    who = (reading // span)[order]
    rank = np.arange(len(who)) - np.searchsorted(who, who)
    count = np.bincount(who, minlength=len(matched.people))[who]
    moment = np.empty(len(who))
    moment[order] = rank / np.maximum(count - 1, 1)
    wanted = items.rater * span + data.place_image[data.item_place]
    at = np.minimum(np.searchsorted(reading, wanted), max(len(reading) - 1, 0))
    return np.where(reading[at] == wanted, moment[at], np.nan) if len(reading) else np.zeros(0)


def _limit(fault: Fault) -> str:
    """The limit of a fault, in the unit in which the fault is told."""
    if fault.unit.startswith("share"):
        return f"{fault.limit:.1%}".replace(".0%", "%")
    return f"{fault.limit:.3g} {fault.unit}".rstrip()


def _finding(fault: Fault, matched: Matched, places: Places) -> Finding:
    """A fault as a finding that names places which show it."""
    name = matched.people[fault.rater]
    shown = [
        f"case {places.names['case'][places.case[place]]} slice {places.plane[place]} "
        f"{places.names['label'][places.label[place]]}"
        for place in fault.places
    ]
    where = f" See {', '.join(shown)}." if shown else ""
    return Finding(
        check=fault.check,
        severity=Severity.REJECT if fault.fatal else Severity.REVIEW,
        message=f"Rater {name} {fault.what}; the limit is {_limit(fault)}.{where}",
        rater=name,
        value=float(fault.value),
        limit=float(fault.limit),
        unit=fault.unit,
    )
