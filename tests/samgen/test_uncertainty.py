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
    mutual_information,
    pairwise_dice,
    stability,
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


def test_information_of_masks_that_disagree_is_all_their_entropy():
    assert mutual_information([[0.0], [1.0]]) == pytest.approx(math.log(2))


def test_information_of_masks_that_agree_on_not_knowing_is_nothing():
    assert mutual_information([[0.5, 0.3], [0.5, 0.3]]) == pytest.approx(0)


def test_information_in_closed_form():
    # H(1/2) less the mean of H(1/4) and H(3/4), which are equal.
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))

    assert mutual_information([[0.25], [0.75]]) == pytest.approx(math.log(2) - quarter)


@given(soft)
def test_information_is_a_part_of_the_entropy(p):
    information = mutual_information(p)

    assert (information >= 0).all()
    assert (information <= binary_entropy(p.mean(axis=0)) + 1e-12).all()


@given(hard)
def test_pairwise_dice_is_the_mean_over_pairs_counted_one_by_one(masks):
    dice = [
        2 * (a & b).sum() / (a.sum() + b.sum())
        for a, b in itertools.combinations(masks, 2)
        if a.sum() + b.sum()
    ]

    expected = np.mean(dice) if dice else math.nan

    assert pairwise_dice(masks) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("masks", [[[1, 1]], [[0, 0], [0, 0]]], ids=["one mask", "empty masks"])
def test_pairwise_dice_of_nothing_is_nan(masks):
    assert math.isnan(pairwise_dice(masks))


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
