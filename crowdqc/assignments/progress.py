"""How far the work has come: what is owed held against what was read, for each rater and case."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crowdqc.assignments.owed import UNKNOWN
from crowdqc.schema import READING, ReadingState, Study, conform, natural_order

PAIR = ["rater", "case"]
DAY = 86400.0
"""Seconds."""
STATES = ("done", "partly", "not opened", "overdue", "not assigned")
COUNTS = {"n_owed": 0, "n_left": 0, "n_read": 0, "n_opened": 0, "n_boxes": 0, "round": 1}
"""Numbers of a rater and a case, and what they are where nothing is known."""


@dataclass(frozen=True)
class Work:
    """What progress is measured on.

    Parameters
    ----------
    study : Study
        What was read.
    owed : DataFrame, optional
        ``case, slice, rater, due, round`` as from `crowdqc.assignments.owed_readings`; without it
        nothing is known to be owed.
    agreement : Series, optional
        Agreement with the others, indexed by rater and case.
    """

    study: Study
    owed: pd.DataFrame | None = None
    agreement: pd.Series | None = None


def measure_progress(work: Work, *, today: dt.date) -> pd.DataFrame:
    """Progress of each rater in each case.

    Parameters
    ----------
    work : Work
    today : date
        What is due before it and not done is overdue.

    Returns
    -------
    DataFrame
        Table ``progress``, by rater and case. A slice is left (`n_left`) if it is owed and there
        is no file of it, or one that says nothing while most of the others who read it drew
        something. A case without a slice that is left is done; one that nobody owes is
        "not assigned".
    """
    readings = _readings(work.study)
    parts = [_read(readings), work.study.boxes.groupby(PAIR).size().rename("n_boxes")]
    if work.owed is not None:
        parts.append(_owed(work.owed, readings))
    table = pd.concat(parts, axis=1)
    for name, default in COUNTS.items():
        known = table[name] if name in table else pd.Series(np.nan, table.index)
        table[name] = known.fillna(default).astype(np.int64)
    table["due"] = table["due"].fillna("") if "due" in table else ""
    table["boxes_per_slice"] = table["n_boxes"] / table["n_read"].where(table["n_read"] > 0)
    table["agreement"] = np.nan if work.agreement is None else work.agreement.reindex(table.index)
    assigned = "assigned" in table and table["assigned"].eq(True)  # noqa: FBT003 - nan is not
    table["state"] = _states(table, np.asarray(assigned), today)
    return _in_order(conform("progress", table.reset_index()))


def _readings(study: Study) -> pd.DataFrame:
    """The readings with `read`, `boxed` and whether most others drew something there."""
    state = study.readings["state"]
    readings = study.readings.assign(
        read=state != ReadingState.OPENED.value, boxed=state == ReadingState.BOXED.value
    )
    groups = readings.groupby(["case", "slice"], sort=False)[["read", "boxed"]]
    others = groups.transform("sum") - readings[["read", "boxed"]]
    return readings.assign(expected=2 * others["boxed"] > others["read"])


def _read(readings: pd.DataFrame) -> pd.DataFrame:
    groups = readings.groupby(PAIR)
    found = groups.agg(n_read=("read", "sum"), n_files=("read", "size"))
    found["n_opened"] = found.pop("n_files") - found["n_read"]
    if "seconds" in readings:
        found["seconds_per_slice"] = groups["seconds"].median()
    return found


def _owed(owed: pd.DataFrame, readings: pd.DataFrame) -> pd.DataFrame:
    found = owed.merge(readings[[*READING, "read", "expected"]], on=READING, how="left")
    there = found["read"].notna()
    silent = there & found["read"].eq(False) & found["expected"].eq(True)  # noqa: FBT003
    found = found.assign(left=~there | silent, known=found["slice"] != UNKNOWN, assigned=True)
    groups = found.groupby(PAIR)
    return groups.agg(
        n_owed=("known", "sum"),
        n_left=("left", "sum"),
        due=("due", "max"),
        round=("round", "max"),
        assigned=("assigned", "first"),
    )


def _states(table: pd.DataFrame, assigned: np.ndarray, today: dt.date) -> np.ndarray:
    nothing = table["n_read"] == 0
    done = (table["n_left"] == 0) & ~nothing
    late = (table["due"] != "") & (table["due"] < today.isoformat()) & ~done
    choices = [~assigned, done, late, nothing]
    names = ["not assigned", "done", "overdue", "not opened"]
    return np.select(choices, names, "partly").astype(object)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    ranks = [
        table[key].map({name: k for k, name in enumerate(natural_order(table[key].unique()))})
        for key in reversed(PAIR)
    ]
    return table.iloc[np.lexsort(ranks)].reset_index(drop=True)


def by_rater(progress: pd.DataFrame, pace: pd.Series, *, today: dt.date) -> pd.DataFrame:
    """One row for each rater.

    Parameters
    ----------
    progress : DataFrame
        Table ``progress``.
    pace : Series
        Slices that each rater reads in a day.
    today : date
        When the rest is begun.

    Returns
    -------
    DataFrame
        ``rater``, cases of each state, ``n_left`` slices, ``boxes_per_slice``,
        ``seconds_per_slice``, ``agreement`` (mean of the cases), ``slices_per_day`` and
        ``expected_end``: the date at this pace, "" where it is not known.
    """
    groups = progress.groupby("rater", sort=False)
    counts = pd.crosstab(progress["rater"], progress["state"]).reindex(columns=STATES, fill_value=0)
    table = counts.rename(columns=lambda name: name.replace(" ", "_")).join(
        groups[["n_left", "n_boxes", "n_read"]].sum()
    )
    table["boxes_per_slice"] = table.pop("n_boxes") / table["n_read"].where(table["n_read"] > 0)
    table = table.join(groups[["seconds_per_slice", "agreement"]].mean())
    table["slices_per_day"] = pace.reindex(table.index)
    table["expected_end"] = [
        _end(left, speed, today)
        for left, speed in zip(table["n_left"], table["slices_per_day"], strict=True)
    ]
    return table.drop(columns="n_read").loc[groups.size().index].reset_index()


def _end(left: int, speed: float, today: dt.date) -> str:
    if not left:
        return ""
    days = left / speed if speed > 0 else np.inf
    return (today + dt.timedelta(days=float(np.ceil(days)))).isoformat() if days < 1e5 else ""


def by_day(study: Study) -> pd.DataFrame:
    """What was done on each day by each rater, where readings have a time.

    Returns
    -------
    DataFrame
        ``date, rater, n_slices, boxes_per_slice, seconds_per_slice``; UTC.
    """
    columns = ["date", "rater", "n_slices", "boxes_per_slice", "seconds_per_slice"]
    if "time" not in study.readings:
        return pd.DataFrame(columns=columns)
    readings = study.readings[study.readings["time"].notna()]
    boxes = study.boxes.groupby(READING, sort=False).size().rename("n_boxes").reset_index()
    readings = readings.merge(boxes, on=READING, how="left").fillna({"n_boxes": 0})
    if "seconds" not in readings:
        readings = readings.assign(seconds=np.nan)
    moment = pd.to_datetime(readings["time"] // DAY * DAY, unit="s")
    readings = readings.assign(date=moment.dt.strftime("%Y-%m-%d"))
    found = readings.groupby(["date", "rater"]).agg(
        n_slices=("slice", "size"),
        boxes_per_slice=("n_boxes", "mean"),
        seconds_per_slice=("seconds", "median"),
    )
    return found.reset_index()[columns]


def pace_of(study: Study, history: pd.DataFrame, progress: pd.DataFrame) -> pd.Series:
    """Slices that each rater reads in a day.

    By the times of readings where there are any: from the first to the last day of work, the days
    without work in between included. Else by the history: what was read since the first date.

    Parameters
    ----------
    study : Study
        Its readings may have a column ``time``, in seconds since 1970.
    history : DataFrame
        With columns ``date``, ``rater`` and ``n_read``.
    progress : DataFrame
        Names the raters that are wanted, in a column ``rater``.

    Returns
    -------
    Series
        Indexed by rater; nan where neither says it.
    """
    raters = progress["rater"].unique()
    if "time" in study.readings:
        times = study.readings.dropna(subset="time").groupby("rater")["time"]
        days = times.max() // DAY - times.min() // DAY + 1
        return (times.size() / days).reindex(raters)
    return _pace_by_history(history).reindex(raters)


def _pace_by_history(history: pd.DataFrame) -> pd.Series:
    totals = history[(history["rater"] != "") & (history["case"] == "")]
    if totals.empty:
        return pd.Series(dtype=np.float64)
    dated = totals.assign(day=pd.to_datetime(totals["date"]))
    groups = dated.sort_values("day", kind="stable").groupby("rater")
    first, last = groups.first(), groups.last()
    days = (last["day"] - first["day"]).dt.days
    read = (last["n_read"] - first["n_read"]).where(days > 0)
    return read / days.where(days > 0)
