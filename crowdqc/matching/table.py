"""Matching of a whole study: `Study` in, `Matched` out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crowdqc.arrays import Ints
from crowdqc.matching.kernel import match_boxes
from crowdqc.schema import ReadingState, Study, natural_order


@dataclass(frozen=True)
class Matched:
    """A study whose boxes are matched: the same object has the same number.

    Parameters
    ----------
    study : Study
        What was matched.
    boxes : DataFrame
        ``study.boxes`` with ``object``, ``person`` and ``place``.
    objects : DataFrame
        ``object, case, slice, label, n_boxes, n_asked, place``, one row per object; `n_asked`
        raters were asked for that label on that slice.
    asked : DataFrame
        ``case, slice, rater, label, state, person, place``: the readings that count, once for
        each label that their rater was asked for.
    people : tuple of str
        Name of each `person`. Where a rater's name means a person only within a case, people
        are called ``case/rater``.
    iou : float
        Threshold of the matching.
    places : DataFrame
        ``case, slice, label`` of each place, in the order of case, slice and label, with
        ``case_number`` and ``label_number`` in the orders of the study.

    Notes
    -----
    ``person`` indexes `people`, ``place`` the rows of `places`, which were asked for or hold boxes;
    ``object`` counts from 0 in the order of case, slice, label and position.
    """

    study: Study
    boxes: pd.DataFrame
    objects: pd.DataFrame
    asked: pd.DataFrame
    people: tuple[str, ...]
    iou: float
    places: pd.DataFrame


def match(study: Study, *, iou: float = 0.3, opened: bool = False) -> Matched:
    """Match all boxes of a study.

    Parameters
    ----------
    study : Study
        Its `single` labels have one object per slice.
    iou : float
        Pairs of boxes above this IoU pull together, see `crowdqc.matching.kernel`.
    opened : bool
        Whether a reading that was only opened counts as asked: the other way to read a file
        that says nothing.

    Returns
    -------
    Matched
        Boxes with their objects, and who was asked for each object.

    Raises
    ------
    ValueError
        If `iou` is not between 0 and 1.

    Examples
    --------
    >>> import crowdqc
    >>> matched = crowdqc.match(crowdqc.Study.from_boxes(crowdqc.example_boxes()))
    >>> len(matched.boxes), len(matched.objects)
    (71, 24)
    """
    asked = study.asked()
    counts = [ReadingState.BOXED, ReadingState.REVIEWED_EMPTY]
    if not opened:
        asked = asked[asked["state"].isin(counts)].reset_index(drop=True)
    people, (box_person, asked_person) = _people(study, asked)
    places, (box_place, asked_place) = _places(study, asked)
    boxes = study.boxes.assign(person=box_person, place=box_place)
    boxes["object"] = match_boxes(
        boxes[["x0", "y0", "x1", "y1"]].to_numpy(),
        image=box_place,
        rater=box_person,
        iou=iou,
        single=boxes["label"].isin(study.single).to_numpy(),
    )
    asked = asked.assign(person=asked_person, place=asked_place)
    return Matched(study, boxes, _objects(boxes, asked, places), asked, people, iou, places)


def _people(study: Study, asked: pd.DataFrame) -> tuple[tuple[str, ...], list[Ints]]:
    frames = (study.boxes, asked)
    names = [frame["rater"] for frame in frames]
    if study.rater_scope == "case":
        names = [frame["case"] + "/" + frame["rater"] for frame in frames]
    everybody = natural_order(pd.unique(pd.concat(names)))
    index = pd.Index(everybody)
    return tuple(everybody), [index.get_indexer(name).astype(np.int64) for name in names]


def _places(study: Study, asked: pd.DataFrame) -> tuple[pd.DataFrame, list[Ints]]:
    frames = (study.boxes, asked)
    cases, labels = pd.Index(study.cases), pd.Index(study.labels)
    depth = int(study.images["slice"].max() + 1) if len(study.images) else 1
    keys = []
    for frame in frames:
        case = cases.get_indexer(frame["case"]).astype(np.int64)
        label = labels.get_indexer(frame["label"])
        keys.append((case * depth + frame["slice"].to_numpy()) * len(labels) + label)
    codes, known = pd.factorize(np.concatenate(keys), sort=True)
    slices, label = np.divmod(known, len(labels))
    case, slices = np.divmod(slices, depth)
    names = {"case": cases[case], "slice": slices, "label": labels[label]}
    places = pd.DataFrame({**names, "case_number": case, "label_number": label})
    return places, np.split(codes.astype(np.int64), [len(frames[0])])


def _objects(boxes: pd.DataFrame, asked: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    n_boxes = np.bincount(boxes["object"])
    place = np.zeros(len(n_boxes), dtype=np.int64)
    place[boxes["object"]] = boxes["place"]
    n_asked = np.bincount(asked["place"], minlength=len(places))[place]
    objects = places[["case", "slice", "label"]].iloc[place].reset_index(drop=True)
    objects.insert(0, "object", np.arange(len(n_boxes)))
    return objects.assign(n_boxes=n_boxes, n_asked=n_asked, place=place)
