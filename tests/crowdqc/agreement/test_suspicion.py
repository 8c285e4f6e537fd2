"""Boxes that nobody drew by looking: the kernels, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import DrawnBoxes, leave_one_out
from crowdqc.agreement.profile import straight
from crowdqc.agreement.suspicion import ALIKE, fit_gain, recurring, repeated, whole_image
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from tests.crowdqc.crowds import crowd_study

BOX = np.array([1.0, 2, 30, 40])


def test_a_box_repeats_the_one_before_it_in_its_own_run():
    boxes = np.array([BOX, BOX, BOX + 1, BOX + 1, BOX])
    run, plane = np.array([0, 0, 0, 1, 0]), np.array([3, 4, 5, 6, 9])

    asked, same = repeated(boxes, run, plane)

    assert asked.tolist() == [False, True, True, False, True]
    assert same.tolist() == [False, True, False, False, False]


@settings(max_examples=50)
@given(st.integers(0, 10**6))
def test_repeats_and_recurrences_are_those_that_a_loop_finds(seed):
    rng = np.random.default_rng(seed)
    boxes = BOX + rng.integers(0, 3, (12, 1))
    run, plane, case = rng.integers(0, 3, (3, 12))

    asked, same = repeated(boxes, run, plane)
    recurs = recurring(boxes, run, case)

    for one in range(12):
        earlier = [k for k in range(12) if run[k] == run[one] and plane[k] < plane[one]]
        first = [k for k in range(one) if run[k] == run[one] and plane[k] == plane[one]]
        assert asked[one] == (bool(earlier) and not first)
        last = max(earlier, key=lambda k: (plane[k], k), default=one)
        assert same[one] == (asked[one] and (boxes[last] == boxes[one]).all())
        twins = [k for k in range(12) if run[k] == run[one] and (boxes[k] == boxes[one]).all()]
        assert recurs[one] == (len({case[k] for k in twins}) > 1)


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

    rows, gain = fit_gain(leave_one_out(drawn), drawn, drawn.boxes, group=label)

    assert len(rows) == len(drawn.boxes)
    assert gain.mean() > 0.5
    same = type(drawn)(
        np.tile(BOX, (len(drawn.boxes), 1)), drawn.object, drawn.rater, drawn.place,
        drawn.asked_place, drawn.asked_rater, 4,
    )  # fmt: skip
    assert len(fit_gain(leave_one_out(same), same, same.boxes, group=label)[0]) == 0


def drawing(boxes, plane, rater):
    """Boxes of objects that each slice holds one of; all raters were asked for all slices."""
    slices, raters = np.unique(plane), np.unique(rater)
    asked = np.repeat(slices, len(raters)), np.tile(raters, len(slices))
    return DrawnBoxes(np.array(boxes, float), plane, rater, slices, *asked, int(rater.max()) + 1)


def test_a_guess_may_come_from_another_slice():
    """Two slices, two raters who agree, and a third who draws the box of the other slice."""
    near, far = [0, 0, 10, 10], [20, 0, 30, 10]
    drawn = drawing(
        [near, near, far, far, far, near], np.repeat([0, 1], 3), np.tile(np.arange(3), 2)
    )
    items = leave_one_out(drawn)
    rows, gain = fit_gain(items, drawn, drawn.boxes, group=np.zeros(2, int))

    assert gain[items.rater[rows] == 2].tolist() == [-1.0, -1.0]
    assert len(fit_gain(items, drawn, drawn.boxes, group=np.arange(2))[0]) == 0


def box_iou(one, other):
    return paired_iou(one[None], other[None])[0]


def gains(items, drawn, group):
    """`fit_gain` for one object a place that all drew, place by place."""
    found = {}
    for row, rater in enumerate(items.rater):
        places = [p for p in range(len(drawn.place)) if group[p] == group[items.object[row]]]
        own = places.index(items.object[row])
        of_others = {items.object[k]: items.others[k] for k in np.flatnonzero(items.rater == rater)}
        lost = []
        for quarter in (1, 2, 3):
            step = max(quarter * len(places) // 4, 1)
            other = of_others[places[(own + step) % len(places)]]
            if box_iou(other, items.others[row]) <= ALIKE:
                lost.append(box_iou(drawn.boxes[items.box[row]], other))
        if lost:
            found[row] = items.iou[row] - np.mean(lost)
    return found


@settings(max_examples=25)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=3), st.integers(0, 10**6))
def test_gains_are_those_of_a_loop_over_places(sizes, seed):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    low = np.repeat(rng.uniform(0, 15, (len(group), 1, 2)), 3, axis=1)
    low = low + rng.uniform(-1, 1, low.shape)
    boxes = np.concatenate([low, low + rng.uniform(9, 11, low.shape)], axis=2).reshape(-1, 4)
    drawn = drawing(boxes, np.repeat(np.arange(len(group)), 3), np.tile(np.arange(3), len(group)))
    items = leave_one_out(drawn)

    rows, gain = fit_gain(items, drawn, drawn.boxes, group=group)

    assert dict(zip(rows.tolist(), gain, strict=True)) == pytest.approx(gains(items, drawn, group))


@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_a_known_bias_is_undone(low, high):
    true = np.array([[10.0, 20, 30, 70], [0, 0, 5, 5]])
    sides = true[:, 2:] - true[:, :2]
    bias = np.array([[0.0, 0, 0, 0], [low, high, high, low]])
    seen = drawing(true + bias[1] * np.hstack([sides, sides]), np.arange(2), np.ones(2, int))

    assert straight(seen, bias) == pytest.approx(true)
