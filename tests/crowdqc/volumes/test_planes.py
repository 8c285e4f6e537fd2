import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations
from scipy.spatial.transform import Rotation

from crowdqc.volumes.planes import AXES, turn_back, turn_grid, turn_voxels

CODES = [
    tuple(pair[flip] for pair, flip in zip(order, flips, strict=True))
    for order in itertools.permutations([("L", "R"), ("P", "A"), ("I", "S")])
    for flips in itertools.product([0, 1], repeat=3)
]


@settings(max_examples=60)
@given(
    codes=st.sampled_from(CODES),
    plane=st.sampled_from(["stored", *AXES]),
    angles=st.tuples(*[st.floats(-20, 20)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 9)] * 3),
)
def test_every_voxel_stays_where_it_is_in_the_patient(codes, plane, angles, spacing):
    shape = (3, 4, 5)
    ornt = orientations.axcodes2ornt(codes)
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3)[:, ornt[:, 0].astype(int)] * ornt[:, 1]) @ np.diag(spacing)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = 5, -7, 11
    indices = np.moveaxis(np.indices(shape), 0, -1)
    world = indices @ affine[:3, :3].T + affine[:3, 3]

    turned = np.stack([turn_voxels(world[..., axis], affine, plane) for axis in range(3)], axis=-1)
    grid, its_affine = turn_grid(shape, affine, plane)

    assert turned.shape[:3] == grid
    expected = np.moveaxis(np.indices(grid), 0, -1) @ its_affine[:3, :3].T + its_affine[:3, 3]
    np.testing.assert_allclose(turned, expected, atol=1e-9)
    np.testing.assert_array_equal(turn_back(turned[..., 1], affine, plane), world[..., 1])
    if plane == "stored":
        np.testing.assert_array_equal(turned, world)
    else:
        assert "".join(orientations.aff2axcodes(its_affine)) == AXES[plane]


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_slices_follow_the_patients_axis_from_feet_back_and_left(plane, axis):
    _, affine = turn_grid((2, 3, 4), np.diag([-1.0, -2, -3, 1]), plane)

    step = affine[:3, 2]
    assert step.tolist() == [0 if a != axis else (1, 2, 3)[axis] for a in range(3)]
