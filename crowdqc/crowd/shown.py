"""Objects that a rater was shown as done, and so was not asked for.

Where a study stops asking for an object, later raters see its box as done and draw the rest. That
they did not draw it says nothing of whether it exists.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.crowd.evidence import SAME, Evidence
from crowdqc.crowd.medians import median_boxes
from crowdqc.geometry import pairwise_iou
from crowdqc.matching import Matched
from crowdqc.schema import BOX

PLACE = ["case", "slice", "label"]


def without_shown(data: Evidence, matched: Matched, shown: pd.DataFrame) -> Evidence:
    """The evidence without questions that raters were not asked.

    Parameters
    ----------
    data : Evidence
        Of `matched`.
    matched : Matched
        The study.
    shown : DataFrame
        ``case, slice, label, rater, x0, y0, x1, y1``: boxes that a rater was shown as done.

    Returns
    -------
    Evidence
        The same boxes. A rater who drew what was shown counts as asked for it.
    """
    asked = matched.asked.drop_duplicates([*PLACE, "rater"])[[*PLACE, "rater", "person"]]
    rows = shown.merge(asked, on=[*PLACE, "rater"])
    boxes = median_boxes(data.boxes, data.object, data.n_objects)
    places = matched.objects.groupby(PLACE).indices
    spared = []
    for key, group in rows.groupby(PLACE, sort=False):
        here = places.get(key, np.zeros(0, np.int64))
        if not len(here):
            continue
        overlap = pairwise_iou(boxes[here], group[BOX].to_numpy(np.float64))
        same = overlap.max(axis=0) >= SAME
        objects = here[overlap.argmax(axis=0)[same]]
        spared.append(objects * data.n_raters + group["person"].to_numpy(np.int64)[same])
    pairs = data.asked_object * data.n_raters + data.asked_rater
    kept: Bools = data.drew | ~np.isin(pairs, np.concatenate([np.zeros(0, np.int64), *spared]))
    return dataclasses.replace(
        data,
        asked_object=data.asked_object[kept],
        asked_rater=data.asked_rater[kept],
        drew=data.drew[kept],
        spared_object=data.asked_object[~kept],
        spared_rater=data.asked_rater[~kept],
    )
