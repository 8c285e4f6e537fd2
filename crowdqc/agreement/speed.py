"""Raters who draw faster than anybody can look, where readings have a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.agreement.evidence import FEWEST, Fault
from crowdqc.matching import Matched

Floats = NDArray[np.float64]


def seconds_per_box(matched: Matched) -> pd.DataFrame:
    """Median seconds that each rater took for a box, from the column `time` of the readings.

    Returns
    -------
    DataFrame
        Indexed by the number of the rater: ``seconds``, the median over slices with boxes of
        the time since the reading before over the number of boxes; ``n``, these slices. A
        rater of whose steps half or more took no time is left out: such files were copied,
        not written one by one. No row where readings have no column `time`, in seconds.
    """
    readings = matched.study.readings
    if "time" not in readings.columns:
        return pd.DataFrame({"seconds": [], "n": []})
    key = ["case", "slice", "rater"]
    boxes = matched.boxes.groupby([*key, "person"], sort=True).size().rename("boxes").reset_index()
    timed = readings[[*key, "time"]].merge(boxes, on=key, how="left")
    timed = timed.sort_values(["rater", "time"], kind="stable")
    timed["took"] = timed.groupby("rater")["time"].diff()
    drawn = timed.dropna(subset=["boxes", "took"])
    groups = drawn.assign(each=drawn["took"] / drawn["boxes"]).groupby(drawn["person"].astype(int))
    table = groups.agg(seconds=("each", "median"), n=("each", "size"))
    return table[groups["took"].agg(lambda took: float((took <= 0).mean())) < 0.5]


def hurrying(matched: Matched, *, limit: float) -> list[Fault]:
    """Raters whose median box took less than `limit` seconds."""
    table = seconds_per_box(matched)
    fast = table[(table["seconds"] < limit) & (table["n"] >= 2 * FEWEST)]
    return [
        Fault(
            int(person),
            "rater-too-fast",
            f"takes {row['seconds']:.1f} s for a box",
            *(float(row["seconds"]), limit, "s"),
            np.zeros(0, np.int64),
        )
        for person, row in fast.iterrows()
    ]
