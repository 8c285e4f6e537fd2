"""Boxes on the lines of a grid: against drawn readings, and crowds with a truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.crowd import fit_evidence, median_boxes
from crowdqc.crowd.grid import common_rounding, of_hand
from crowdqc.geometry import paired_iou
from tests.crowdqc.crowd.test_wrong import drawn


@pytest.mark.parametrize("step", [2.0, 7.5])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.15, 0.3, 0.6])
def test_errors_of_rounding_have_in_common_what_drawn_readings_have(part, step):
    rng = np.random.default_rng(3)
    at = rng.uniform(0, step, 200_000)
    hands = at + part * step * rng.standard_normal((2, at.size))
    error = step * np.round(hands / step) - at
    covariance = np.mean(error[0] * error[1])
    found = common_rounding(np.array(np.mean(error**2)), step)
    assert found == pytest.approx(covariance, abs=0.004 * step**2)


@given(st.floats(0.05, 50), st.floats(0, 4))
@settings(max_examples=50, deadline=None)
def test_what_is_in_common_is_no_more_than_the_rounding_and_grows_with_steadiness(step, hand):
    variance = np.array([hand, hand + 0.1, hand + 1]) * step**2
    found = common_rounding(variance, step)
    assert (np.diff(found) <= 1e-12).all()
    assert found.min() >= 0
    assert found.max() <= step**2 / 12 * 1.001


def test_without_a_grid_nothing_is_in_common():
    assert common_rounding(np.ones(3), 0.0).tolist() == [0, 0, 0]
    assert of_hand(np.array([2.0]), np.array([0.0]), scale=np.array([4.0])).tolist() == [2]


def test_of_a_reading_the_part_of_the_hand_is_that_of_drawn_ones():
    rng = np.random.default_rng(0)
    hand, tool = rng.normal(0, 2, 400_000), rng.uniform(-1.5, 1.5, 400_000)
    near = np.abs(hand + tool - 1) < 0.05
    expected = of_hand(np.array([1.0]), np.array([0.75]), scale=np.array([4.75]))
    assert np.mean(hand[near] ** 2) == pytest.approx(expected[0], rel=0.05)


def readings(step, *, seed=0, raters=5, n=300):
    """A crowd whose tool puts the edges of steady hands on multiples of a step; and the truth."""
    rng = np.random.default_rng(seed)
    side = rng.uniform(15, 90, (n, 2))
    low = rng.uniform(20, 120, (n, 2))
    true = np.hstack([low, low + side])
    error = np.hypot(0.03 * np.hstack([side, side]), 0.8)[:, None]
    boxes = true[:, None] + error * rng.standard_normal((n, raters, 4))
    boxes = step * np.round(boxes / step)
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + step)
    return drawn(boxes, np.ones((n, raters), bool)), true


@pytest.mark.parametrize("step", [2.0, 4.0])
def test_fused_boxes_lie_between_the_lines_and_spreads_hold(step):
    data, true = readings(step)
    assert (data.grid, data.whole_pixels) == (step, False)
    crowd = fit_evidence(data)
    median = median_boxes(data.boxes, data.object, data.n_objects)
    gain = paired_iou(crowd.box, true) - paired_iou(median, true)
    assert gain.mean() > 0.01
    held = np.abs(crowd.box - true) <= 1.96 * crowd.spread
    assert 0.9 <= held.mean() <= 0.995
    assert len(np.unique(crowd.group)) == data.n_raters, "equal boxes are the tool's"


def test_hands_that_are_steadier_than_the_grid_say_nothing_of_what_lies_between_two_lines():
    _, true = readings(8.0, n=150)
    steady = np.repeat(8 * np.round(true / 8), 5, axis=0)
    steady[:, 2:] = np.maximum(steady[:, 2:], steady[:, :2] + 8)
    drew = np.ones((150, 5), bool)
    crowd = fit_evidence(drawn(steady.reshape(150, 5, 4), drew))
    assert np.sqrt(np.mean((crowd.box - true) ** 2)) == pytest.approx(8 / 12**0.5, rel=0.1)
    assert 0.9 <= (crowd.spread.mean() / (8 / 12**0.5)) <= 2.5
