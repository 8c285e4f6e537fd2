"""Surfaces of masks: closed forms, DeepMind's surface-distance, SimpleITK, and empty masks."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from train.surface import hd95_mm, measure_surfaces, surface_dice

CUBIC = (1.0, 1.0, 1.0)
SLICED = (0.8, 0.7, 3.0)


def block(low, high, shape=(16, 16, 16)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = True
    return mask


def blobs(seed, shape=(14, 15, 12)):
    rng = np.random.default_rng(seed)
    return tuple(ndimage.gaussian_filter(rng.standard_normal(shape), 1.6) > 0.05 for _ in range(2))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_moved_by_two_voxels_is_that_far_away(axis):
    shape, low, high = [9, 9, 9], [0, 0, 0], [9, 9, 9]
    high[axis] = 3
    thin = block(low, high, shape)
    high[axis] = 5
    thick = block(low, high, shape)
    surfaces = measure_surfaces(thin, thick, spacing_mm=SLICED)

    assert hd95_mm(*surfaces) == pytest.approx(2 * SLICED[axis])


def test_the_surface_dice_of_moved_cubes_is_the_share_of_faces_that_stayed():
    # Moved by half its width, a cube keeps half of each of four faces: a third of its surface.
    # Marching cubes cut its edges off, and the rim of each face that left still touches.
    n, grid = 24, (40, 40, 40)
    a, b = block([2, 2, 2], [26, 26, 26], grid), block([2, 2, 14], [26, 26, 38], grid)
    surfaces = measure_surfaces(a, b, spacing_mm=CUBIC)

    assert surfaces[0].area_mm2.sum() == pytest.approx(6 * n**2, rel=0.03)
    assert surface_dice(*surfaces, tolerance_mm=0) == pytest.approx(1 / 3, abs=0.03)
    assert surface_dice(*surfaces, tolerance_mm=12) == 1
    assert hd95_mm(*surfaces) == 12


def test_the_area_counts_and_not_the_number_of_elements():
    # A flat plate in thick slices: its sides have few, large elements; the caps many, small.
    plate = block([2, 2, 2], [12, 12, 12])
    grown = plate.copy()
    grown[..., 12] = plate[..., 11]
    for spacing in ((1.0, 1.0, 5.0), (5.0, 5.0, 1.0)):
        surfaces = measure_surfaces(plate, grown, spacing_mm=spacing)
        x, y, z = (10 * one for one in spacing)
        cap, whole = x * y, 2 * (x * y + y * z + z * x)
        side_strip = 2 * (x + y) * spacing[2]  # only the grown one has it
        far = (2 * cap + side_strip) / (2 * whole + side_strip)

        got = surface_dice(*surfaces, tolerance_mm=0.5 * spacing[2])

        assert got == pytest.approx(1 - far, abs=0.05)


# surface-distance 0.1 of DeepMind (Apache-2.0), on blobs(seed) with spacing SLICED:
# compute_surface_dice_at_tolerance at 0.5 and 1 mm, compute_robust_hausdorff at 95.
DEEPMIND = {
    0: (0.4056, 0.6233, 4.060788),
    1: (0.2284, 0.4120, 4.243819),
    2: (0.3971, 0.5805, 6.735726),
    3: (0.3926, 0.6050, 3.310589),
}


@pytest.mark.parametrize("seed", DEEPMIND)
def test_the_values_are_deepmind_s(seed):
    surfaces = measure_surfaces(*blobs(seed), spacing_mm=SLICED)

    at_half, at_one, hd95 = DEEPMIND[seed]
    # Where a surface through eight voxels can be drawn in two ways, the two draw differently.
    assert surface_dice(*surfaces, tolerance_mm=0.5) == pytest.approx(at_half, abs=0.003)
    assert surface_dice(*surfaces, tolerance_mm=1.0) == pytest.approx(at_one, abs=0.003)
    assert hd95_mm(*surfaces) == pytest.approx(hd95, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_distances_are_simpleitk_s_up_to_half_a_voxel(seed):
    # SimpleITK measures between the centres of voxels on the contour, we between corners.
    a, b = blobs(seed)
    mine = measure_surfaces(a, b, spacing_mm=SLICED)
    images = [SimpleITK.GetImageFromArray(m.astype(np.uint8).transpose(2, 1, 0)) for m in (a, b)]
    for one in images:
        one.SetSpacing(SLICED)
    edges = [SimpleITK.LabelContour(one) for one in images]
    maps = [
        SimpleITK.GetArrayFromImage(
            SimpleITK.Abs(SimpleITK.SignedMaurerDistanceMap(one, False, False, True))
        )
        for one in edges
    ]
    inside = [SimpleITK.GetArrayFromImage(one) > 0 for one in edges]
    theirs = max(maps[1][inside[0]].max(), maps[0][inside[1]].max())

    ours = max(surface.distance_mm.max() for surface in mine)

    assert ours == pytest.approx(theirs, abs=np.linalg.norm(SLICED))


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_two_masks_are_as_far_from_each_other_either_way(seed):
    a, b = blobs(seed, shape=(6, 5, 4))
    a[0, 0, 0] = b[5, 4, 3] = True
    there = measure_surfaces(a, b, spacing_mm=SLICED)
    back = measure_surfaces(b, a, spacing_mm=SLICED)

    assert hd95_mm(*there) == hd95_mm(*back)
    shares = [surface_dice(*there, tolerance_mm=t) for t in (0, 1, 2, 100)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[1] == pytest.approx(surface_dice(*back, tolerance_mm=1))


def test_a_mask_is_at_no_distance_from_itself():
    a, _ = blobs(0)
    surfaces = measure_surfaces(a, a, spacing_mm=SLICED)

    assert hd95_mm(*surfaces) == 0
    assert surface_dice(*surfaces, tolerance_mm=0) == 1


def test_the_hd95_lets_a_twentieth_of_the_surface_be_anywhere():
    a = block([2, 2, 2], [12, 12, 12])
    b = a.copy()
    b[15, 15, 15] = True
    surfaces = measure_surfaces(a, b, spacing_mm=CUBIC)

    assert hd95_mm(*surfaces) == 0
    assert max(surface.distance_mm.max() for surface in surfaces) > 4


def test_an_organ_that_one_side_lacks_is_infinitely_far_and_one_that_both_lack_undefined():
    a, nothing = block([2, 2, 2], [4, 4, 4]), np.zeros((16, 16, 16), dtype=bool)

    for pair in ((a, nothing), (nothing, a)):
        surfaces = measure_surfaces(*pair, spacing_mm=CUBIC)
        assert surface_dice(*surfaces, tolerance_mm=100) == 0
        assert hd95_mm(*surfaces) == np.inf
    surfaces = measure_surfaces(nothing, nothing, spacing_mm=CUBIC)
    assert np.isnan(surface_dice(*surfaces, tolerance_mm=1))
    assert np.isnan(hd95_mm(*surfaces))


def test_a_mask_at_the_edge_of_the_grid_has_a_surface_there():
    whole = np.ones((3, 3, 3), dtype=bool)
    surface, _ = measure_surfaces(whole, whole, spacing_mm=CUBIC)

    assert surface.area_mm2.sum() == pytest.approx(6 * 3**2, rel=0.35)
