"""Several rounds of one study as one: a later reading takes the place of an earlier one.

What is replaced is kept apart, so that a rater's boxes before and after can be held against each
other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.formats.draft import in_order, numbered_points
from crowdqc.schema import READING, ReadingState, Study, conform, empty, stands_in

_NOT_READ = ReadingState.OPENED.value


class Round(NamedTuple):
    """One round: its number, from 1, and what was read of it."""

    number: int
    study: Study


def configs_of_rounds(config: Config) -> list[Config]:
    """A study file for each round; the one that was given, where it names no rounds."""
    annotations = config.annotations
    if not annotations.rounds:
        return [config]
    inner = annotations.path.removeprefix(annotations.rounds[0])
    found = []
    for folder in annotations.rounds:
        one = annotations.model_copy(update={"path": folder + inner, "rounds": []})
        found.append(config.model_copy(update={"annotations": one}))
    return found


def restricted(study: Study, asked: pd.DataFrame) -> Study:
    """A study whose readings are of the labels that were asked for, where that is known.

    Parameters
    ----------
    study : Study
    asked : DataFrame
        ``case, slice, rater, labels``, each reading once.

    Returns
    -------
    Study
        A label that was drawn without being asked for counts as asked for.
    """
    labels = study.readings[READING].merge(asked[[*READING, "labels"]], on=READING, how="left")[
        "labels"
    ]
    limited = labels.fillna("").to_numpy()
    drawn = study.boxes.groupby(READING)["label"].agg(lambda names: " ".join(dict.fromkeys(names)))
    more = drawn.reindex(pd.MultiIndex.from_frame(study.readings[READING])).fillna("").to_numpy()
    both = [" ".join(dict.fromkeys([*a.split(), *b.split()])) if a else "" for a, b in
            zip(limited, more, strict=True)]  # fmt: skip
    old = study.readings["labels"]
    readings = study.readings.assign(labels=np.where(old == "", both, old))
    return dataclasses.replace(study, readings=readings)


def merge_rounds(rounds: Sequence[Round]) -> tuple[Study, pd.DataFrame]:
    """All rounds as one study.

    Parameters
    ----------
    rounds : sequence of Round
        In the order in which they were drawn; the first has all labels.

    Returns
    -------
    study : Study
        Of each case, slice, rater and label what the last round says that read it; a reading that
        was only opened replaces none. With more than one round, readings have their `round`.
    superseded : DataFrame
        Table ``superseded``: boxes that a later reading replaced.
    """
    if len(rounds) == 1:
        return rounds[0].study, empty("superseded")
    number, study = rounds[0]
    readings = study.readings.assign(round=number)
    first = dataclasses.replace(study, readings=readings, boxes=study.boxes.assign(round=number))
    merged, old = reduce(_merge, rounds[1:], (first, empty("superseded")))
    boxes = in_order(merged.boxes.drop(columns="round"), [*READING, "label"])
    boxes = boxes.assign(box=np.arange(len(boxes)))
    order = in_order(merged.readings, READING)
    return dataclasses.replace(merged, boxes=boxes, readings=order), conform("superseded", old)


def _merge(state: tuple[Study, pd.DataFrame], later: Round) -> tuple[Study, pd.DataFrame]:
    study, superseded = state
    number, new = later
    known = stands_in(study.readings, new.readings, READING)
    counts = (new.readings["state"] != _NOT_READ).to_numpy() | ~known
    readings = new.readings[counts].assign(round=number)
    replaced = _replaced(study.boxes, readings, study.labels)
    fresh = new.boxes[stands_in(readings, new.boxes, READING)].assign(round=number)
    kept = study.boxes[~replaced]
    boxes = pd.concat([kept, fresh], ignore_index=True)
    boxes = boxes.assign(box=np.arange(len(boxes)))
    images = pd.concat([study.images, new.images]).drop_duplicates(["case", "slice"])
    both = _readings(study.readings, readings, boxes)
    points = pd.concat(
        [
            study.points[~_replaced(study.points, readings, study.labels)],
            new.points[stands_in(readings, new.points, READING)],
        ],
        ignore_index=True,
    )
    merged = dataclasses.replace(
        study,
        images=in_order(images, ["case", "slice"]),
        readings=both,
        boxes=boxes,
        points=numbered_points(points),
    )
    return merged, pd.concat([superseded, study.boxes[replaced]], ignore_index=True)


def _replaced(boxes: pd.DataFrame, readings: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Which boxes are of a label that a later reading was asked for, shape (N,)."""
    again = readings[readings["state"] != _NOT_READ]
    asked = again[READING].assign(label=[text.split() or list(labels) for text in again["labels"]])
    return stands_in(asked.explode("label", ignore_index=True), boxes, [*READING, "label"])


def _readings(old: pd.DataFrame, new: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """Readings of both, one for each slice and rater: labels together, the state of all boxes."""
    mine = old.set_index(READING)
    new = new.set_index(READING)
    shared = new.index.intersection(mine.index)
    before, after = mine.loc[shared], new.loc[shared]
    labels = [
        later if state == _NOT_READ else _together(earlier, later)
        for earlier, later, state in zip(
            before["labels"], after["labels"], before["state"], strict=True
        )
    ]
    after = after.assign(labels=labels)
    rest = new.loc[new.index.difference(shared, sort=False)]
    together = pd.concat([mine.drop(index=shared), after, rest]).reset_index()
    boxed = stands_in(boxes, together, READING)
    empty_ = together["state"].where(
        together["state"] != ReadingState.BOXED.value, ReadingState.REVIEWED_EMPTY.value
    )
    return together.assign(state=empty_.where(~boxed, ReadingState.BOXED.value))


def _together(a: str, b: str) -> str:
    """Labels of two readings; "" is all of them."""
    return " ".join(dict.fromkeys([*a.split(), *b.split()])) if a and b else ""
