import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.fusion import fuse, with_members
from crowdqc.matching import match
from tests.crowdqc.crowds import BOX, crowd_study


def members(consensus, boxes, **more):
    return with_members(consensus, boxes, **more)["rater_boxes"].tolist()


def rows(boxes, **columns):
    frame = pd.DataFrame(boxes, columns=BOX, dtype=float)
    return frame.assign(case="a", slice=3, label="cell", **columns)


FUSED = rows([[0, 0, 10, 10], [40, 40, 60, 60]], raters=["A B", "A"])


def test_each_rater_who_supports_an_object_has_the_box_that_fits_it_best():
    drawn = rows(
        [[41, 41, 60, 60], [1, 0, 10, 10], [0, 0, 10, 9], [0, 3, 10, 10]],
        rater=["A", "B", "A", "A"],
    )

    assert members(FUSED, drawn) == [((0, 0, 10, 9), (1, 0, 10, 10)), ((41, 41, 60, 60),)]


def test_boxes_of_raters_who_are_not_named_or_lie_elsewhere_are_none_of_its():
    drawn = rows([[0, 0, 10, 10], [6, 6, 16, 16], [0, 0, 9, 10]], rater=["C", "B", "AB"])

    assert members(FUSED, drawn) == [(), ()]


def test_a_name_in_another_one_is_another_person():
    drawn = rows([[0, 0, 10, 10], [0, 0, 9, 10]], rater=["Lee", "Ann Lee"])
    fused = rows([[0, 0, 10, 10]], raters="'Ann Lee'")

    assert members(fused, drawn) == [((0, 0, 9, 10),)]


def test_other_places_do_not_count():
    drawn = rows([[0, 0, 10, 10]] * 3, rater="A")
    drawn.loc[0, "case"], drawn.loc[1, "slice"], drawn.loc[2, "label"] = "b", 4, "liver"

    assert members(FUSED, drawn) == [(), ()]


def test_an_interpolated_or_missing_box_has_none():
    fused = FUSED.assign(raters=["", "A"])
    fused.loc[1, BOX] = np.nan

    assert members(fused, rows([[40, 40, 60, 60]], rater="A")) == [(), ()]


@given(st.permutations(range(4)), st.permutations(range(2)))
def test_the_order_of_rows_does_not_matter(order, first):
    drawn = rows(
        [[41, 41, 60, 60], [1, 0, 10, 10], [0, 0, 10, 9], [0, 1, 10, 10]],
        rater=["A", "B", "A", "A"],
    )

    shuffled = members(FUSED.iloc[list(first)], drawn.iloc[list(order)])

    assert [shuffled[list(first).index(n)] for n in range(2)] == members(FUSED, drawn)


@pytest.mark.parametrize("single", [True, False])
def test_they_are_the_boxes_that_were_matched(single):
    # Raters who hit: their boxes of an object are those that the matching gave to it.
    study, _ = crowd_study(0, sd=[1, 2, 2], extra=0.3, things=30, single=single)
    matched = match(study)
    fused = fuse(matched, method="median")

    found = members(fused, study.boxes, iou=matched.iou)

    of_object = matched.boxes.sort_values("rater").groupby("object")
    for number, group in of_object:
        if fused.loc[number, "support"] == len(group):
            assert found[number] == tuple(map(tuple, group[BOX].to_numpy()))
    assert fused["support"].tolist() == [len(one) for one in found]


def test_a_rater_who_was_left_out_has_no_box():
    study, _ = crowd_study(0, sd=[1, 1, 1], things=5, miss=0.0)
    kept = {
        table: frame[frame["rater"] != "r1"]
        for table, frame in (("readings", study.readings), ("boxes", study.boxes))
    }
    fused = fuse(match(dataclasses.replace(study, **kept)))

    assert all(len(one) == 2 for one in members(fused, study.boxes))
