"""Boxes that nobody drew by looking: the kernels, by hand."""

import numpy as np
import pytest

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import leave_one_out
from crowdqc.agreement.suspicion import fit_gain, recurring, repeated, whole_image
from crowdqc.matching import match
from tests.crowdqc.crowds import crowd_study

BOX = np.array([1.0, 2, 30, 40])


def test_a_box_repeats_the_one_before_it_in_its_own_run():
    boxes = np.array([BOX, BOX, BOX + 1, BOX + 1, BOX])
    run, plane = np.array([0, 0, 0, 1, 0]), np.array([3, 4, 5, 6, 9])

    asked, same = repeated(boxes, run, plane)

    assert asked.tolist() == [False, True, True, False, True]
    assert same.tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("rater", "case", "expected"),
    [([0, 0], [0, 1], True), ([0, 0], [0, 0], False), ([0, 1], [0, 1], False)],
    ids=["in two cases", "in one case", "by two raters"],
)
def test_a_box_recurs_in_another_case_of_the_same_rater(rater, case, expected):
    found = recurring(np.array([BOX, BOX]), np.array(rater), np.array(case))

    assert found.tolist() == [expected] * 2


def everything(others):
    """Rater 0 boxes the whole image of 100 x 100; the two others draw `others`."""
    study, _ = crowd_study(0, sd=[1.0] * 3, things=2)
    drawn = to_drawn(match(study))
    boxes = np.where((drawn.rater == 0)[:, None], [0.0, 0, 100, 100], others)
    drawn = type(drawn)(
        boxes, drawn.object, drawn.rater, drawn.place, drawn.asked_place, drawn.asked_rater, 3
    )
    items = leave_one_out(drawn)
    drew, whole = whole_image(items, boxes, np.full(len(items.iou), 1e4))
    assert drew.all()
    return whole[items.rater == 0], whole[items.rater > 0]


def test_round_the_whole_image_is_wrong_only_where_the_thing_is_a_part_of_it():
    bad, good = everything([10.0, 10, 40, 40])
    assert bad.all()
    assert not good.any()
    assert not np.concatenate(everything([0.0, 0, 99, 99])).any()


def test_true_boxes_fit_their_own_slice_better_and_others_do_not():
    study, _ = crowd_study(1, sd=[2.0] * 4, things=40)
    drawn = to_drawn(match(study))
    label = np.zeros(len(drawn.place), np.int64)

    rows, gain = fit_gain(leave_one_out(drawn), drawn, label)

    assert len(rows) == len(drawn.boxes)
    assert gain.mean() > 0.5
    same = type(drawn)(
        np.tile(BOX, (len(drawn.boxes), 1)), drawn.object, drawn.rater, drawn.place,
        drawn.asked_place, drawn.asked_rater, 4,
    )  # fmt: skip
    assert len(fit_gain(leave_one_out(same), same, label)[0]) == 0
