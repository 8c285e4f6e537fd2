"""Leave-one-out and pairs of raters, by brute force and by hand."""

import itertools

import numpy as np
import pytest

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import leave_one_out, pair_items
from crowdqc.geometry import pairwise_iou
from crowdqc.matching import match
from tests.crowdqc.crowds import crowd_study


@pytest.fixture(scope="module")
def drawn():
    study, _ = crowd_study(5, sd=[3.0] * 4, miss=0.3, extra=0.3, things=25, single=False)
    return to_drawn(match(study))


def boxes_of(drawn, thing):
    return {
        int(r): drawn.boxes[i]
        for i, (o, r) in enumerate(zip(drawn.object, drawn.rater, strict=True))
        if o == thing
    }


def test_leave_one_out_by_brute_force(drawn):
    items = leave_one_out(drawn)
    found = {
        (int(o), int(r)): (iou, missed, extra)
        for o, r, iou, missed, extra in zip(
            items.object, items.rater, items.iou, items.missed, items.extra, strict=True
        )
    }
    expected = {}
    for thing, rater in itertools.product(range(len(drawn.place)), range(4)):
        own = boxes_of(drawn, thing)
        others = [box for r, box in own.items() if r != rater]
        there = len(others) > 1.5 or (rater in own and len(others) >= 1.5)
        if rater in own and there:
            median = np.median(others, axis=0)
            iou = pairwise_iou([own[rater]], [median])[0, 0]
            expected[thing, rater] = (pytest.approx(iou), False, False)
        elif rater in own or there:
            expected[thing, rater] = (0.0, there, not there)

    assert found == expected


def test_half_of_the_others_are_enough_for_a_rater_who_drew_it_too():
    study, _ = crowd_study(0, sd=[1.0] * 3, miss=[0, 0, 1.0], things=4)
    items = leave_one_out(to_drawn(match(study)))

    assert not items.extra.any()
    assert items.missed[items.rater == 2].all()
    assert not items.missed[items.rater < 2].any()


def test_half_of_the_others_are_not_enough_for_a_rater_who_did_not_draw_it():
    study, _ = crowd_study(0, sd=[1.0] * 3, miss=[0, 1.0, 1.0], things=4)
    items = leave_one_out(to_drawn(match(study)))

    assert items.rater.tolist() == [0] * 4
    assert items.extra.all()


def test_pairs_by_brute_force(drawn):
    pairs = pair_items(drawn)
    found = {
        (int(o), int(a), int(b)): iou
        for o, a, b, iou in zip(pairs.object, pairs.a, pairs.b, pairs.iou, strict=True)
    }
    expected = {}
    for thing in range(len(drawn.place)):
        own = boxes_of(drawn, thing)
        for a, b in itertools.combinations(range(4), 2):
            if a in own and b in own:
                iou = pairwise_iou([own[a]], [own[b]])[0, 0]
                expected[thing, a, b] = pytest.approx(iou)
            elif a in own or b in own:
                expected[thing, a, b] = 0.0

    assert found == expected
    assert (pairs.a < pairs.b).all()


def test_one_rater_alone_is_compared_with_nobody():
    study, _ = crowd_study(0, sd=[1.0], things=3)
    alone = to_drawn(match(study))

    assert len(leave_one_out(alone).iou) == 0
    assert len(pair_items(alone).iou) == 0
