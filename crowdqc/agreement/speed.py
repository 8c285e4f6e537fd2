"""Raters who draw faster than anybody can look, where readings say how long they took."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.rater_data import EXAMPLES, FEWEST, Fault, RaterData
from crowdqc.checks import check
from crowdqc.matching import Matched
from crowdqc.schema import READING


def seconds_per_box(matched: Matched) -> pd.DataFrame:
    """Seconds that a rater took for each box of a slice.

    Returns
    -------
    DataFrame
        ``person, place, each``: a row for each reading with boxes of which it is known, from the
        column `seconds` of the readings, else from the time since the rater's reading before, in
        the column `time`. A rater of whose steps half or more took no time has none of the
        latter: such files were copied, not written one by one.
    """
    readings = matched.study.readings
    boxes = matched.boxes.groupby([*READING, "person"], sort=True)
    boxes = boxes.agg(boxes=("box", "size"), place=("place", "min")).reset_index()
    known = [name for name in ("time", "seconds") if name in readings]
    timed = readings[[*READING, *known]].merge(boxes, on=READING, how="left")
    took = _steps(timed) if "time" in known else pd.Series(np.nan, index=timed.index)
    took = timed["seconds"].fillna(took) if "seconds" in known else took
    rows = timed.assign(each=took / timed["boxes"]).dropna(subset=["each"])
    return rows[["person", "place", "each"]].astype({"person": np.int64, "place": np.int64})


def _steps(timed: pd.DataFrame) -> pd.Series:
    """Seconds since the reading of the rater before; nan for those who took none."""
    order = timed.sort_values(["rater", "time"], kind="stable")
    steps = order.groupby("rater")["time"].diff()
    still = (steps <= 0).where(steps.notna() & order["boxes"].notna())
    copied = still.astype(np.float64).groupby(order["rater"]).transform("mean") >= 0.5
    return steps.mask(copied).reindex(timed.index)


@check("rater", "rater-too-fast", order=160)
def too_fast(data: RaterData) -> list[Fault]:
    """Raters whose median box took too little time, with the fastest of their slices."""
    faults, limit = [], data.limits.seconds
    for person, mine in seconds_per_box(data.matched).groupby("person", sort=True):
        typical = float(mine["each"].median())
        if typical < limit and len(mine) >= 2 * FEWEST:
            places = mine.sort_values("each", kind="stable")["place"].to_numpy()[:EXAMPLES]
            what = f"takes {typical:.2g} s for a box"
            fault = Fault(int(person), "rater-too-fast", what, typical, limit, "s", places)
            faults.append(fault)
    return faults
