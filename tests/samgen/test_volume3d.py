import math
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label as skimage_label

from samgen.volume3d import (
    odd_one_out,
    runs_of,
    smooth_slices,
    without_holes,
    without_islands,
    z_dice,
)

small = hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)))


@given(hnp.arrays(bool, st.tuples(st.integers(1, 5), st.just(2), st.just(3))))
def test_z_dice_is_the_mean_over_neighbours_counted_one_by_one(masks):
    for k, dice in enumerate(z_dice(masks)):
        neighbours = [masks[n] for n in (k - 1, k + 1) if 0 <= n < len(masks) and masks[n].any()]
        values = [2 * (masks[k] & m).sum() / (masks[k].sum() + m.sum()) for m in neighbours]
        expected = np.mean(values) if values and masks[k].any() else math.nan
        assert dice == pytest.approx(expected, nan_ok=True)


def test_the_slice_that_differs_from_both_neighbours_stands_out():
    masks = np.zeros((5, 8, 8), bool)
    masks[:, 2:6, 2:6] = True
    masks[2] = np.roll(masks[2], 3, axis=1)

    assert np.argmin(z_dice(masks)) == 2


@given(st.sets(st.integers(0, 30)))
def test_runs_have_no_gap_and_are_as_long_as_can_be(numbers):
    slices = sorted(numbers)

    runs = [slices[run] for run in runs_of(slices)]

    assert [k for run in runs for k in run] == slices
    assert all(run == list(range(run[0], run[-1] + 1)) for run in runs)
    assert all(b[0] - a[-1] > 1 for a, b in pairwise(runs))


@settings(max_examples=40)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.just(2), st.just(1)),
        elements=st.floats(0, 1, width=32),
    ),
    st.floats(0.5, 8),
    st.floats(0, 5),
)
def test_smoothing_is_the_weighted_mean_of_as_many_slices_on_either_side(p, spacing, sigma):
    smooth = smooth_slices(p, spacing_mm=spacing, sigma_mm=sigma)

    n = len(p)
    for k in range(n):
        reach = min(k, n - 1 - k, int(3 * sigma / spacing))
        near = np.arange(k - reach, k + reach + 1)
        weights = np.exp(-(((near - k) * spacing) ** 2) / (2 * sigma**2)) if reach else np.ones(1)
        expected = np.average(p[near].astype(float), axis=0, weights=weights)
        np.testing.assert_allclose(smooth[k], expected, atol=1e-6)


def test_smoothing_leaves_even_change_and_the_ends_as_they_are():
    ramp = np.linspace(0, 1, 7, dtype=np.float32).reshape(7, 1, 1)

    np.testing.assert_allclose(smooth_slices(ramp, spacing_mm=1, sigma_mm=2), ramp, atol=1e-6)


@pytest.mark.parametrize("spacing", [0.5, 1.0, 2.0])
def test_smoothing_goes_by_mm_and_not_by_slices(spacing):
    # A bell of 4 mm smoothed by one of 2 mm is one of sqrt(20) mm, however finely it is cut.
    z = np.arange(-20, 20 + spacing, spacing)
    bell = np.exp(-0.5 * (z / 4) ** 2).astype(np.float32).reshape(-1, 1, 1)

    smooth = smooth_slices(bell, spacing_mm=spacing, sigma_mm=2.0).ravel()

    expected = 4 / 20**0.5 * np.exp(-0.5 * z**2 / 20)
    np.testing.assert_allclose(smooth[8:-8], expected[8:-8], atol=0.006)
    assert abs(bell.ravel() - smooth).max() > 0.1


def test_slices_far_apart_do_not_touch_each_other():
    step = np.array([0, 1, 0], np.float32).reshape(3, 1, 1)

    np.testing.assert_array_equal(smooth_slices(step, spacing_mm=9.0, sigma_mm=2.9), step)


@settings(max_examples=60)
@given(small)
def test_islands_are_what_is_largest_nowhere(mask):
    kept = without_islands(mask)

    pieces = skimage_label(mask, connectivity=3)
    sizes = np.bincount(pieces.ravel())[1:].tolist()
    for piece, size in enumerate(sizes, start=1):
        own = pieces == piece
        stays = kept[own].all()
        assert stays or not kept[own].any()
        if size == max(sizes) and sizes.count(size) == 1:
            assert stays
        on_top = any(
            plane.any() and plane.sum() >= np.bincount(pieces[k].ravel())[1:].max()
            for k, plane in enumerate(own)
        )
        if not on_top and size < max(sizes):
            assert not stays
    assert not (kept & ~mask).any()
    np.testing.assert_array_equal(kept.any(axis=(1, 2)), mask.any(axis=(1, 2)))


@settings(max_examples=40)
@given(small)
def test_holes_are_those_that_simpleitk_fills(mask):
    image = SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
    expected = SimpleITK.GetArrayFromImage(SimpleITK.BinaryFillhole(image, fullyConnected=False))

    filled = without_holes(mask)

    # What touches the first or last slice is open: the organ may not end there.
    np.testing.assert_array_equal(filled, expected[1:-1, 1:-1, 1:-1].astype(bool))


def test_a_hole_is_closed_in_three_dimensions():
    mask = np.ones((3, 3, 3), bool)
    mask[1, 1, 1] = False
    tunnel = mask.copy()
    tunnel[:, 1, 1] = False

    assert without_holes(mask).all()
    np.testing.assert_array_equal(without_holes(tunnel), tunnel)


@pytest.mark.parametrize(
    ("fit", "odd"),
    [((0.5, 0.5, 0.9), True), ((0.5, 0.9, 0.5), False), ((0.88, 0.88, 0.9), False)],
)
def test_a_slice_is_odd_only_if_its_neighbours_agree_without_it(fit, odd):
    assert odd_one_out(*fit) == odd
