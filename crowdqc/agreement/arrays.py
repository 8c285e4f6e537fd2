"""A matched study as the arrays of the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.boxes import DrawnBoxes, Pairs, pair_items
from crowdqc.agreement.linkage import link_boxes
from crowdqc.agreement.units import LabelledBoxes, Units, make_units
from crowdqc.arrays import Ints
from crowdqc.matching import Matched
from crowdqc.schema import BOX


@dataclass(frozen=True)
class Compared:
    """A study of which every box was held against those of the other raters, once.

    Parameters
    ----------
    drawn : DrawnBoxes
        Boxes and questions.
    pairs : Pairs
        Each two raters.
    units : Units
        Units for alpha.
    iou : float
        IoU from which two boxes count as the same.
    """

    drawn: DrawnBoxes
    pairs: Pairs
    units: Units
    iou: float


def compare(matched: Matched, *, iou: float) -> Compared:
    """Hold every box of a matched study against those of the other raters.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    iou : float
        From which boxes of two raters are linked for alpha: 0 to 1.
    """
    drawn = to_drawn(matched)
    return Compared(
        drawn=drawn,
        pairs=pair_items(drawn),
        units=to_units(matched, iou=iou),
        iou=iou,
    )


def to_drawn(matched: Matched) -> DrawnBoxes:
    """Boxes and questions of a study."""
    boxes, asked = matched.boxes, matched.asked
    return DrawnBoxes(
        boxes=boxes[BOX].to_numpy(np.float64),
        object=boxes["object"].to_numpy(np.int64),
        rater=boxes["person"].to_numpy(np.int64),
        place=matched.objects["place"].to_numpy(np.int64),
        asked_place=asked["place"].to_numpy(np.int64),
        asked_rater=asked["person"].to_numpy(np.int64),
        n_raters=len(matched.people),
    )


def to_units(matched: Matched, *, iou: float) -> Units:
    """Units for alpha: boxes linked without regard to the objects that fusion will use.

    Images are numbered as in `number_of_places`.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    iou : float
        From which boxes are linked: 0 to 1.
    """
    boxes, asked, number = matched.boxes, matched.asked, number_of_places(matched)
    person, place = boxes["person"].to_numpy(np.int64), boxes["place"].to_numpy(np.int64)
    asked_place = asked["place"].to_numpy(np.int64)
    image, label = number.image[place], number.label[place]
    edges = np.column_stack([boxes[edge].to_numpy(np.float64) for edge in BOX])
    votes = LabelledBoxes(
        object=link_boxes(edges, image=image, rater=person, label=label, iou=iou),
        rater=person,
        label=label,
        image=image,
        asked_image=number.image[asked_place],
        asked_rater=asked["person"].to_numpy(np.int64),
        asked_label=number.label[asked_place],
        n_labels=len(matched.study.labels),
    )
    return make_units(votes)


@dataclass(frozen=True)
class PlaceNumbers:
    """Case, slice, label and image of each place, as numbers, shape (P,).

    Cases are numbered in natural order, labels in that of the study, images in the order of
    case and slice.
    """

    case: Ints
    plane: Ints
    label: Ints
    image: Ints


def number_of_places(matched: Matched) -> PlaceNumbers:
    """Numbers of all places that were asked for or hold boxes."""
    names = ("case_number", "slice", "label_number")
    case, plane, label = (matched.places[name].to_numpy(np.int64) for name in names)
    new = np.ones(len(case), bool)
    new[1:] = (np.diff(case) != 0) | (np.diff(plane) != 0)
    return PlaceNumbers(case, plane, label, np.cumsum(new) - 1)
