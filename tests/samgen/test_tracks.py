"""Edges along an organ: errors, outliers, gaps and jumps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from samgen.tracks import follow_edges

SLICES = np.arange(20.0)


def ellipsoid(slices=SLICES, drift=0.5):
    """Tight boxes round an ellipsoid whose middle drifts."""
    half = np.sqrt(1 - ((slices - 9.5) / 10.5) ** 2)[:, None] * [20, 15]
    middle = np.column_stack([60 + drift * slices, np.full(len(slices), 50.0)])
    return np.hstack([middle - half, middle + half])


def error_of(boxes, truth):
    return np.abs(boxes - truth).mean()


def test_errors_are_averaged_along_the_organ():
    truth = ellipsoid()
    noisy = truth + np.random.default_rng(0).normal(scale=2, size=truth.shape)

    tracks = follow_edges(SLICES, noisy, wanted=SLICES)

    assert error_of(tracks.mean, truth) < 0.6 * error_of(noisy, truth)


def test_exact_boxes_stay_where_they_are():
    truth = ellipsoid()
    assert error_of(follow_edges(SLICES, truth, wanted=SLICES).mean, truth) < 0.2


def test_a_box_that_strays_is_not_followed():
    truth = ellipsoid()
    boxes = truth + np.random.default_rng(1).normal(scale=0.5, size=truth.shape)
    boxes[7] += 15

    tracks = follow_edges(SLICES, boxes, wanted=SLICES)

    assert error_of(tracks.mean[7], truth[7]) < 1.5
    assert error_of(tracks.mean, truth) < 0.7


def test_a_lasting_jump_is_followed():
    jump = np.array([0.0, 0, 25, 0])
    truth = np.tile([40.0, 40, 60, 70], (20, 1)) + np.where(SLICES < 10, 0, 1)[:, None] * jump

    tracks = follow_edges(SLICES, truth, wanted=SLICES)

    assert error_of(tracks.mean, truth) < 1


def test_gaps_are_bridged_and_less_sure():
    truth, seen = ellipsoid(), np.delete(np.arange(20), [8, 9, 10, 11])
    noisy = truth + np.random.default_rng(2).normal(scale=1, size=truth.shape)

    tracks = follow_edges(SLICES[seen], noisy[seen], wanted=SLICES)

    assert error_of(tracks.mean[8:12], truth[8:12]) < 1.5
    spread = tracks.draws(41, np.random.default_rng(0)).std(axis=0).mean(axis=1)
    assert spread[9:11].min() > spread[2:7].max()


@given(
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(0.5, 20),
    stretch=st.floats(0.1, 10),
)
def test_units_do_not_matter(shift, scale, stretch):
    boxes = ellipsoid() + np.random.default_rng(3).normal(size=(20, 4))
    plain = follow_edges(SLICES, boxes, wanted=SLICES)
    moved = follow_edges(SLICES * stretch + 7, boxes * scale + shift, wanted=SLICES * stretch + 7)

    assert_allclose((moved.mean - shift) / scale, plain.mean, atol=1e-4)


def test_draws_are_the_mean_and_pairs_round_it():
    boxes = ellipsoid() + np.random.default_rng(4).normal(size=(20, 4))
    tracks = follow_edges(SLICES, boxes, wanted=SLICES)

    mean, one, other = tracks.draws(3, np.random.default_rng(0))

    assert_allclose(mean, tracks.mean)
    assert_allclose((one + other) / 2, tracks.mean)
    assert np.abs(np.diff(one - mean, axis=0)).max() < np.abs(one - mean).max() + 1  # smooth


def test_many_slices_and_boxes_all_alike():
    slices = np.arange(150.0)
    boxes = np.tile([10.0, 10, 12, 30], (150, 1))
    assert_allclose(follow_edges(slices, boxes, wanted=slices).mean, boxes, atol=1e-3)


@pytest.mark.parametrize("n", [5, 6])
def test_few_slices_are_enough(n):
    truth = ellipsoid(np.linspace(0, 19, n))
    tracks = follow_edges(np.linspace(0, 19, n), truth, wanted=np.linspace(0, 19, n))
    assert np.isfinite(tracks.mean).all()
