"""Readings that raters made without help, apart from those where they saw what others had drawn.

A rater who was shown a fused box as done drew the rest of that place, which is what the others
doubted, and perhaps drew after what was shown. Neither tells how far raters agree, so that all that
was asked of the rater there is left out.
"""

from __future__ import annotations

import pandas as pd

from crowdqc.agreement.raters import counts
from crowdqc.findings import Finding
from crowdqc.matching import Matched, match
from crowdqc.schema import Study, conform, natural_order
from crowdqc.text import count

_PLACE = ["case", "slice", "label", "rater"]
_READING = ["case", "slice", "rater"]


def unaided(matched: Matched, shown: pd.DataFrame | None) -> Matched:
    """The study without what raters did at places where they were shown boxes as done.

    Parameters
    ----------
    matched : Matched
        The study.
    shown : DataFrame, optional
        ``case, slice, label, rater``: who was shown boxes of which label on which slice.

    Returns
    -------
    Matched
        `matched` itself where none of its readings was aided.
    """
    asked = matched.study.asked()
    aided = _aided(asked, shown)
    if aided.empty:
        return matched
    study = matched.study
    left = asked[~_in(asked, aided)]
    labels = left.groupby(_READING, sort=False)["label"].agg(" ".join).rename("labels")
    readings = study.readings.drop(columns="labels").merge(labels.reset_index(), on=_READING)
    boxes = study.boxes[~_in(study.boxes, aided)]
    return match(_with(study, readings, boxes), iou=matched.iou)


def with_all(raters: pd.DataFrame, matched: Matched) -> pd.DataFrame:
    """The table ``raters`` with the cases, slices and boxes of all readings, and with all raters.

    Parameters
    ----------
    raters : DataFrame
        Of the unaided readings.
    matched : Matched
        The whole study.

    Returns
    -------
    DataFrame
        A rater of whom no reading was unaided has nothing but these numbers.
    """
    every = counts(matched)
    table = raters.set_index("rater")
    table = table.reindex(natural_order({*table.index, *every.index}))
    table.loc[every.index, list(every)] = every
    numbers = ["n_compared", "n_others"]
    table[numbers] = table[numbers].fillna(0)
    table["faults"] = table["faults"].fillna("")
    return conform("raters", table.rename_axis("rater").reset_index())


def aided_findings(matched: Matched, shown: pd.DataFrame | None) -> list[Finding]:
    """What is left out of each rater, said once for each.

    Parameters
    ----------
    matched, shown
        As of `unaided`.

    Returns
    -------
    list of Finding
        In natural order of the raters.
    """
    aided = _aided(matched.study.asked(), shown)
    found = []
    for rater in natural_order(aided["rater"].unique()):
        own = aided[aided["rater"] == rater]
        n = len(own[["case", "slice"]].drop_duplicates())
        text = (
            f"was shown fused boxes as done on {count(n, 'slice')}: what was read there is no "
            "independent evidence, and is left out of agreement, alpha, reliability and dependence"
        )
        found.append(
            Finding(check="readings-aided", message=text, rater=rater, value=n, unit="slices")
        )
    return found


def _aided(asked: pd.DataFrame, shown: pd.DataFrame | None) -> pd.DataFrame:
    """``case, slice, label, rater`` of questions whose rater was shown boxes."""
    if shown is None or shown.empty:
        return asked[_PLACE].iloc[:0]
    return asked.loc[_in(asked, shown), _PLACE]


def _in(table: pd.DataFrame, places: pd.DataFrame) -> pd.Series:
    known = pd.MultiIndex.from_frame(places[_PLACE])
    return pd.Series(pd.MultiIndex.from_frame(table[_PLACE]).isin(known), table.index)


def _with(study: Study, readings: pd.DataFrame, boxes: pd.DataFrame) -> Study:
    return Study(
        name=study.name,
        labels=study.labels,
        images=study.images,
        readings=readings,
        boxes=boxes,
        rater_scope=study.rater_scope,
        single=study.single,
    )
