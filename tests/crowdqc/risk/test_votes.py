"""DiceVotes of masks for each other, by counted pixels and by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crowdqc.risk import paired_dice
from crowdqc.risk.votes import DiceVotes, beyond, ellipses, mask_boxes, neighbours, same_slice

masks = hnp.arrays(bool, st.just((3, 4, 5)))


@given(masks, masks)
def test_dice_is_counted_pixels(a, b):
    for k, dice in enumerate(paired_dice(a, b)):
        size = a[k].sum() + b[k].sum()
        expected = 2 * (a[k] & b[k]).sum() / size if size else np.nan
        assert dice == pytest.approx(expected, nan_ok=True)


def test_two_empty_masks_have_no_vote():
    empty = np.zeros((2, 3, 3), dtype=bool)

    votes = same_slice(empty, empty)

    assert votes.weight.tolist() == [0, 0]
    assert np.isnan(votes.mean).all()


@settings(max_examples=25)
@given(hnp.arrays(bool, (5, 3, 3)), hnp.arrays(bool, (5, 3, 3)), st.floats(0.5, 4))
def test_neighbours_vote_by_their_distance(a, b, width):
    heights = np.array([0.0, 1, 2, 5, 9])
    votes = neighbours(a, b, heights, width=width)

    for i in range(5):
        total = weight = 0.0
        for j in range(5):
            distance = abs(heights[i] - heights[j])
            size = a[i].sum() + b[j].sum()
            if i != j and size and distance <= 3 * width:
                share = np.exp(-0.5 * (distance / width) ** 2)
                weight += share
                total += share * 2 * (a[i] & b[j]).sum() / size
        assert votes.total[i] == pytest.approx(total)
        assert votes.weight[i] == pytest.approx(weight)


def test_beyond_the_ends_there_is_nothing_as_far_as_the_volume_goes():
    weight = beyond(np.array([4, 5, 6]), depth=20, spacing=1.0, width=1.0)
    cut = beyond(np.array([4, 5, 6]), depth=7, spacing=1.0, width=1.0)

    near = np.exp([-0.5, -2.0, -4.5])
    assert weight[0] == pytest.approx(near.sum() + near[2])
    assert weight[1] == pytest.approx(2 * near[1:].sum())
    assert cut[2] == pytest.approx(near[2])


def test_an_ellipse_touches_its_box():
    found = ellipses(np.array([[2.0, 3, 12, 9], [np.nan] * 4]), (12, 14))

    assert mask_boxes(found)[0].tolist() == [2, 3, 12, 9]
    assert found[0].sum() == pytest.approx(np.pi * 5 * 3, rel=0.05)
    assert not found[1].any()


@given(hnp.arrays(bool, (2, 4, 6)))
def test_the_box_round_a_mask(stack):
    for mask, box in zip(stack, mask_boxes(stack), strict=True):
        rows, columns = np.nonzero(mask)
        if not rows.size:
            assert np.isnan(box).all()
            continue
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == expected


def test_votes_add_up():
    a, b = DiceVotes(np.array([1.0]), np.array([2.0])), DiceVotes(np.array([1.0]), np.array([0.5]))

    assert (a + b).mean.tolist() == [0.8]
