"""Boxes that nothing else supports: no majority drew them, and they are on one slice only.

An organ goes on along the slices. A box that half of the raters who read the slice, or more, did
not draw, and that no box on the slices beside continues, is more often a slip than an organ that so
many missed there and everybody missed on both sides.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.geometry import paired_iou
from crowdqc.schema import BOX, PLACE, ReadingState, Study, stands_in

CONTINUES = 0.1
"""IoU from which a box on a slice beside continues one. Of the slices of real organs 0 to 2 % are
continued by less (CT and MR at 1 to 3 mm), and up to 6 % where only every third is annotated."""


def isolated(consensus: pd.DataFrame, study: Study) -> pd.Series:
    """Whether each fused box has neither a majority nor a box beside it that continues it.

    Parameters
    ----------
    consensus : DataFrame
        Table ``consensus``. Every drawn object counts as a neighbour, usable or not.
    study : Study
        Says which slices were read for which labels, and which labels a slice holds once.

    Returns
    -------
    Series of float
        1 or 0, with the index of `consensus`. Nan where only one voice was asked, for labels of
        which a slice holds several, and where no majority drew it and a slice beside, within the
        case's images, was read by nobody for the label, or the case is a single picture.
    """
    depth = study.images.groupby("case")["slice"].nunique()
    volume = consensus["case"].isin(depth.index[depth > 1])
    organ = volume & consensus["label"].isin(study.single) & (consensus["n_raters"] > 1)
    few = 2 * consensus["support"] <= consensus["n_raters"]
    boxes = consensus.loc[organ & few, [*PLACE, *BOX]]
    sides = [boxes.assign(slice=boxes["slice"] + step, row=boxes.index) for step in (-1, 1)]
    beside = pd.concat(sides)
    unknown = beside.loc[~_was_read(beside, study), "row"]
    found = beside.merge(consensus[[*PLACE, *BOX]], on=PLACE, suffixes=("", "_beside"))
    a, b = (found[[f"{edge}{end}" for edge in BOX]].to_numpy(float) for end in ("", "_beside"))
    continued = found.loc[paired_iou(a, b) >= CONTINUES, "row"]
    value = pd.Series(np.where(organ, 0.0, np.nan), index=consensus.index)
    value[boxes.index] = 1.0
    value[unknown] = np.nan
    value[continued] = 0.0
    return value


def _was_read(places: pd.DataFrame, study: Study) -> Bools:
    """Whether places were read for their label by anybody, or lie beyond the case's images."""
    ends = study.images.groupby("case")["slice"].agg(["min", "max"]).reindex(places["case"])
    at = places["slice"].to_numpy()
    beyond = (at < ends["min"].to_numpy()) | (at > ends["max"].to_numpy())
    readings = study.readings[study.readings["state"] != ReadingState.OPENED.value]
    readings = readings[stands_in(places, readings, ["case", "slice"])]
    rows = places[PLACE].merge(readings[["case", "slice", "labels"]], on=["case", "slice"])
    asked = [
        not text or name in text.split(" ")
        for name, text in zip(rows["label"], rows["labels"], strict=True)
    ]
    return stands_in(rows[np.array(asked, bool)], places, PLACE) | beyond
