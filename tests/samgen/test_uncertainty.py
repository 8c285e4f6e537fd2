import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from samgen.uncertainty import (
    binary_entropy,
    box_iou,
    expected_dice,
    pairwise_dice,
    stability,
    summarise,
)

soft = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.floats(0, 1)
)
hard = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))


@given(st.floats(0, 1))
def test_entropy_is_that_of_a_coin(p):
    assert binary_entropy(p) == pytest.approx(stats.entropy([p, 1 - p]), abs=1e-12)


def test_entropy_is_largest_where_nothing_is_known():
    assert binary_entropy(0.5) == math.log(2)


def information(p, sizes=None):
    """Between sources and within them, of masks (K, ...) given as lists."""
    p = np.atleast_3d(np.array(p, float))
    return [part.ravel() for part in summarise(p, sizes or [len(p)]).information()]


def coin(p):
    return stats.entropy([p, 1 - p])


def test_information_of_masks_that_disagree_is_all_their_entropy():
    assert information([[0.0], [1.0]])[1] == pytest.approx(math.log(2))


def test_information_of_masks_that_agree_on_not_knowing_is_nothing():
    assert information([[0.5, 0.3], [0.5, 0.3]])[1] == pytest.approx(0)


def test_information_in_closed_form():
    # H(1/2) less the mean of H(1/4) and H(3/4), which are equal.
    assert information([[0.25], [0.75]])[1] == pytest.approx(math.log(2) - coin(0.25))


def test_information_of_origins_in_closed_form():
    # Origin one says 0.1 and 0.3, source two 0.8, which weighs a third of the three masks.
    between, within = information([[0.1], [0.3], [0.8]], [2, 1])

    mean, own = coin(1.2 / 3), (2 * coin(0.2) + coin(0.8)) / 3
    assert between == pytest.approx(mean - own)
    assert within == pytest.approx(own - (coin(0.1) + coin(0.3) + coin(0.8)) / 3)


def test_information_of_raters_who_are_sure_but_differ_is_all_between_them():
    between, within = information([[1.0], [1.0], [0.0], [0.0]], [2, 2])

    assert (between[0], within[0]) == pytest.approx((math.log(2), 0))


def test_information_of_raters_who_are_alike_is_all_within_them():
    between, within = information([[1.0], [0.0], [1.0], [0.0]], [2, 2])

    assert (between[0], within[0]) == pytest.approx((0, math.log(2)))


@given(soft, st.data())
def test_both_parts_sum_up_to_the_whole_however_prompts_are_grouped(p, data):
    ends = sorted(data.draw(st.sets(st.integers(1, len(p))))) if len(p) > 1 else []
    sizes = np.diff([0, *[end for end in ends if end < len(p)], len(p)]).tolist()

    between, within = summarise(p, sizes).information()

    total = binary_entropy(p.mean(axis=0)) - binary_entropy(p).mean(axis=0)
    np.testing.assert_allclose(between + within, np.maximum(total, 0), atol=1e-12)
    assert (between >= 0).all()
    assert (within >= 0).all()
    assert (between + within <= binary_entropy(p.mean(axis=0)) + 1e-12).all()


@given(st.lists(st.integers(1, 7), min_size=1, max_size=7))
def test_masks_that_are_sure_stay_sure_however_weights_round(sizes):
    kept = summarise(np.ones((sum(sizes), 1, 1), np.float32), sizes)

    assert kept.mean.item() == 1
    assert [part.item() for part in kept.information()] == [0, 0]


@pytest.mark.parametrize("sizes", [[2], [2, 2], [3, 0], []])
def test_origins_must_have_all_masks_and_one_each(sizes):
    with pytest.raises(ValueError, match="sum up to the 3 masks"):
        summarise(np.zeros((3, 2, 2)), sizes)


def of_masks(masks):
    return pairwise_dice(summarise(masks.astype(float), [len(masks)]).shared)


@given(hard)
def test_pairwise_dice_is_the_mean_over_pairs_counted_one_by_one(masks):
    dice = [
        2 * (a & b).sum() / (a.sum() + b.sum())
        for a, b in itertools.combinations(masks, 2)
        if a.sum() + b.sum()
    ]

    expected = np.mean(dice) if dice else math.nan

    assert of_masks(masks) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("masks", [[[1, 1]], [[0, 0], [0, 0]]], ids=["one mask", "empty masks"])
def test_pairwise_dice_of_nothing_is_nan(masks):
    assert math.isnan(of_masks(np.array(masks)[:, None]))


@given(hnp.arrays(bool, 12))
def test_expected_dice_of_a_sure_mask_is_1(mask):
    expected = 1.0 if mask.any() else math.nan

    assert expected_dice(mask.astype(float)) == pytest.approx(expected, nan_ok=True)


def test_expected_dice_counts_what_the_mask_leaves_out():
    # m = [1, 0]: 2 * 0.8 / (1 + 1.2)
    assert expected_dice([0.8, 0.4]) == pytest.approx(1.6 / 2.2)


@given(hnp.arrays(np.float64, 20, elements=st.floats(-4, 4)))
def test_stability_is_what_segment_anything_computes_from_logits(logits):
    # segment_anything.utils.amg.calculate_stability_score with offset 1: pixels above
    # threshold + offset by pixels above threshold - offset.
    loose = (logits > -1).sum()
    expected = (logits > 1).sum() / loose if loose else math.nan

    at_the_limit = np.abs(np.abs(logits) - 1) < 1e-9
    if not at_the_limit.any():
        assert stability(1 / (1 + np.exp(-logits))) == pytest.approx(expected, nan_ok=True)


def test_stability_falls_as_the_offset_grows():
    p = np.linspace(0, 1, 101)

    assert stability(p, offset=0.5) > stability(p, offset=1.0) > stability(p, offset=2.0)


def test_box_iou_of_a_painted_box_is_1():
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:8] = True

    assert box_iou(mask, [3, 2, 8, 5]) == 1
    assert box_iou(mask, [3, 2, 8, 8]) == pytest.approx(0.5)


def test_box_iou_of_an_empty_mask_is_0():
    assert box_iou(np.zeros((3, 3), bool), [0, 0, 2, 2]) == 0
