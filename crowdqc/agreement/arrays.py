"""A matched study as the arrays of the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.agreement.boxes import Drawn, Items, Pairs, leave_one_out, pair_items
from crowdqc.agreement.linkage import link_boxes
from crowdqc.agreement.units import Units, Votes, make_units
from crowdqc.matching import Matched

Ints = NDArray[np.int64]

EDGES = ["x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class Compared:
    """A study of which every box was held against those of the other raters, once.

    Parameters
    ----------
    drawn : Drawn
        Boxes and questions.
    items : Items
        Each rater against the others.
    pairs : Pairs
        Each two raters.
    units : Units
        Units for alpha.
    iou : float
        IoU from which two boxes count as the same.
    """

    drawn: Drawn
    items: Items
    pairs: Pairs
    units: Units
    iou: float


def compare(matched: Matched, *, iou: float) -> Compared:
    """Hold every box of a matched study against those of the other raters."""
    drawn = to_drawn(matched)
    return Compared(
        drawn=drawn,
        items=leave_one_out(drawn),
        pairs=pair_items(drawn),
        units=to_units(matched, iou=iou),
        iou=iou,
    )


def to_drawn(matched: Matched) -> Drawn:
    """Boxes and questions of a study."""
    boxes, asked = matched.boxes, matched.asked
    return Drawn(
        boxes=boxes[EDGES].to_numpy(np.float64),
        object=boxes["object"].to_numpy(np.int64),
        rater=boxes["person"].to_numpy(np.int64),
        place=matched.objects["place"].to_numpy(np.int64),
        asked_place=asked["place"].to_numpy(np.int64),
        asked_rater=asked["person"].to_numpy(np.int64),
        n_raters=len(matched.people),
    )


def to_units(matched: Matched, *, iou: float) -> Units:
    """Units for alpha: boxes linked without regard to the objects that fusion will use.

    Images are numbered in the order of case and slice, over all places of the study.
    """
    boxes, asked = matched.boxes, matched.asked
    labels = pd.Index(matched.study.labels)
    box_image, asked_image = image_numbers(matched)
    person = boxes["person"].to_numpy(np.int64)
    label = labels.get_indexer(boxes["label"]).astype(np.int64)
    edges = boxes[EDGES].to_numpy(np.float64)
    votes = Votes(
        object=link_boxes(edges, image=box_image, rater=person, label=label, iou=iou),
        rater=person,
        label=label,
        image=box_image,
        asked_image=asked_image,
        asked_rater=asked["person"].to_numpy(np.int64),
        asked_label=labels.get_indexer(asked["label"]).astype(np.int64),
        n_labels=len(labels),
    )
    return make_units(votes)


def image_numbers(matched: Matched) -> tuple[Ints, Ints]:
    """Image of each box and of each question, numbered in the order of case and slice."""
    cases = pd.Index(matched.study.cases)
    frames = [matched.boxes, matched.asked]
    case = np.concatenate([cases.get_indexer(frame["case"]) for frame in frames])
    plane = np.concatenate([frame["slice"].to_numpy(np.int64) for frame in frames])
    key = case.astype(np.int64) * (int(plane.max(initial=0)) + 1) + plane
    number = np.unique(key, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return number[: len(matched.boxes)], number[len(matched.boxes) :]
