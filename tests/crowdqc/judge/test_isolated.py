"""Boxes that no majority drew and nothing on the slices beside continues."""

from __future__ import annotations

import pandas as pd
import pytest

from crowdqc import fuse, match
from crowdqc.judge import isolated
from crowdqc.schema import Study

COLUMNS = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
SLIP = 12


def study_of(
    rows, *, raters="abc", depth=20, skipped=(), single=("liver",), state="reviewed_empty"
):
    """Raters who read all slices but those skipped; a run of the liver on slices 3 to 8."""
    run = [("1", k, r, "liver", 20.0, 20.0, 60.0, 50.0) for k in range(3, 9) for r in raters]
    boxes = pd.DataFrame([*run, *rows], columns=COLUMNS)
    drew = set(boxes[["slice", "rater"]].itertuples(index=False, name=None))
    readings = [
        ("1", k, r, "boxed" if (k, r) in drew else state)
        for k in range(depth)
        for r in raters
        if (k, r) in drew or k not in skipped
    ]
    names = ["case", "slice", "rater", "state"]
    read = pd.DataFrame(readings, columns=names)
    return Study.from_boxes(boxes, readings=read, shape=(80, 80), single=single)


def value_at(study, k, label="liver"):
    consensus = fuse(match(study))
    found = consensus[(consensus["slice"] == k) & (consensus["label"] == label)]
    return isolated(consensus, study)[found.index].tolist()


def box(k, rater="a", x=20.0, label="liver"):
    return ("1", k, rater, label, x, 20.0, x + 40.0, 50.0)


def test_a_box_of_one_rater_away_from_the_run_is_isolated():
    assert value_at(study_of([box(SLIP)]), SLIP) == [1.0]


@pytest.mark.parametrize("beside", [SLIP - 1, SLIP + 1])
def test_a_box_on_a_slice_beside_continues_it_whoever_drew_it(beside):
    study = study_of([box(SLIP), box(beside, rater="b", x=30.0)])
    assert value_at(study, SLIP) == [0.0]


def test_a_box_that_lies_elsewhere_on_the_slice_beside_continues_nothing():
    study = study_of([box(SLIP, x=0.0), box(SLIP + 1, x=38.0)])
    assert value_at(study, SLIP) == [1.0]


def test_the_end_of_a_run_that_one_rater_saw_is_not_isolated():
    assert value_at(study_of([box(9)]), 9) == [0.0]


@pytest.mark.parametrize(("raters", "isolated"), [("abc", 0.0), ("abcd", 1.0), ("abcde", 1.0)])
def test_a_majority_needs_no_neighbour(raters, isolated):
    study = study_of([box(SLIP), box(SLIP, rater="b", x=22.0)], raters=raters)
    assert value_at(study, SLIP) == [isolated]


def test_nothing_is_known_where_the_slices_beside_were_not_read():
    study = study_of([box(SLIP)], skipped=[SLIP + 1])
    assert pd.isna(value_at(study, SLIP)).all()


def test_slices_that_were_only_opened_were_not_read():
    study = study_of([box(SLIP)], state="opened")
    assert pd.isna(value_at(study, SLIP)).all()


def test_beyond_the_last_image_there_is_nothing_to_read():
    assert value_at(study_of([box(19)]), 19) == [1.0]


def test_a_case_of_one_picture_has_no_slices_beside():
    rows = [("2", 0, rater, "liver", 20.0, 20.0, 60.0, 50.0) for rater in "ab"]
    boxes = pd.DataFrame(rows, columns=COLUMNS)
    readings = pd.DataFrame({"case": "2", "slice": 0, "rater": list("abcd")})
    readings["state"] = ["boxed", "boxed", "reviewed_empty", "reviewed_empty"]
    study = Study.from_boxes(boxes, readings=readings, shape=(80, 80), single=("liver",))

    assert isolated(fuse(match(study)), study).isna().all()


def test_of_things_and_of_one_rater_alone_nothing_is_known():
    assert pd.isna(value_at(study_of([box(SLIP)], single=()), SLIP)).all()
    assert pd.isna(value_at(study_of([box(SLIP)], raters="a"), SLIP)).all()


def test_a_neighbour_is_only_missed_by_those_who_were_asked_for_the_label():
    study = study_of([box(SLIP), box(3, label="spleen")], single=("liver", "spleen"))
    read = study.readings
    beside = read["slice"].isin([SLIP - 1, SLIP + 1])
    read = read.assign(labels=read["labels"].where(~beside, "spleen"))
    study = Study(
        name="study",
        labels=study.labels,
        images=study.images,
        readings=read,
        boxes=study.boxes,
        single=study.single,
    )
    assert pd.isna(value_at(study, SLIP)).all()
