"""Series that are uneven or tilted, laid on an even grid where that is asked for."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from crowdqc.findings import InputError
from crowdqc.volumes import (
    inspect_volume,
    read_geometry,
    read_labels,
    read_volume,
    series_slices,
    write_labels,
    write_volume,
)
from crowdqc.volumes.stack import SHIFT_PX
from tests.crowdqc.dicoms import write_series

VALUES = np.random.default_rng(0).integers(-1000, 2000, (5, 6, 8)).astype(np.int16)


def read(folder):
    return read_volume(folder, resample=True)


def world(geometry):
    """Place of each voxel in RAS+, shape (I, J, K, 3)."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    return index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]


@settings(max_examples=15, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    shear=st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)),
    jumps=st.lists(st.integers(1, 3), min_size=7, max_size=7),
)
@example(angles=(0.0, 0.0, 0.0), shear=(0.0, 0.03125), jumps=[1] * 7)
def test_what_grows_evenly_in_the_patient_still_does(tmp_path_factory, angles, shear, jumps):
    folder = tmp_path_factory.mktemp("series")
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    along = np.concatenate([[0], np.cumsum(jumps)]) * 2.0
    places = (-10, 20, 30) + along[:, None] * (axes[2] + np.array(shear) / 2 @ axes[:2])
    gradient = np.array([40.0, -30.0, 20.0])
    i, j = np.meshgrid(np.arange(5), np.arange(6), indexing="ij")
    inside = i[..., None] * 0.5 * axes[0] + j[..., None] * 0.75 * axes[1]
    values = np.stack([(inside + place) @ gradient for place in places], axis=-1)
    write_series(
        folder,
        np.rint(values).astype(np.int16),
        axes=axes[:2],
        fields_of=lambda k: {"0020|0032": "\\".join(f"{x:.9f}" for x in places[k])},
    )

    volume, geometry = read(folder)

    lps = world(geometry) * (-1, -1, 1)
    expected = lps @ gradient
    rows = (lps - places[0]) @ axes.T / (0.5, 0.75, 1)
    aside = rows[..., 2:] * (np.array(shear) / 2 / (0.5, 0.75))
    own = rows[..., :2] - aside  # column and row within the slices round a voxel
    near = np.diff(along).max() * np.abs(np.array(shear) / 2 / (0.5, 0.75))
    within = ((own >= near) & (own <= np.array((4, 5)) - near)).all(axis=-1)
    assert volume.shape == geometry.shape
    # Slices that lie less than SHIFT_PX beside the first one are taken as lying above it.
    beside = np.linalg.norm(np.array(shear) / 2) * along[-1]
    left = beside * np.linalg.norm(axes[:2] @ gradient) if beside <= SHIFT_PX * 0.5 else 0.0
    np.testing.assert_allclose(volume[within], expected[within], atol=1.5 + left)
    depth = geometry.spacing[2] * (geometry.shape[2] - 1)
    assert depth == pytest.approx(along[-1], abs=1e-3)


def test_a_missing_slice_is_between_its_neighbours_and_the_others_are_as_they_were(tmp_path):
    volume, geometry = read(write_series(tmp_path, VALUES, skip=[3]))

    assert geometry.shape == VALUES.shape
    there = [0, 1, 2, 4, 5, 6, 7]
    np.testing.assert_allclose(volume[:, :, there], VALUES[:, :, there], atol=1e-3)
    np.testing.assert_allclose(
        volume[:, :, 3], VALUES[:, :, [2, 4]].astype(float).mean(axis=2), atol=1e-3
    )
    assert geometry.spacing == pytest.approx((0.5, 0.75, 2.0))


def test_a_tilt_is_straightened_as_simpleitk_does(tmp_path):
    shear = (0.2, -0.6, 0.0)  # mm for each slice, 2 mm apart
    volume, geometry = read(write_series(tmp_path, VALUES, shear=shear))

    image = SimpleITK.GetImageFromArray(VALUES.T.astype(np.float32))
    image.SetSpacing((0.5, 0.75, 2.0))
    back = SimpleITK.AffineTransform(3)  # from where a voxel lies to where its slice has it
    back.SetMatrix((1, 0, -0.1, 0, 1, 0.3, 0, 0, 1))
    to = np.diag([-1, -1, 1, 1]) @ geometry.affine
    origin = (to[:3, 3] - (-10.0, 20.0, 30.0)).tolist()
    size, low = list(geometry.shape), float(VALUES.min())
    direction = np.eye(3).ravel().tolist()
    linear = SimpleITK.sitkLinear
    expected = SimpleITK.GetArrayFromImage(
        SimpleITK.Resample(image, size, back, linear, origin, geometry.spacing, direction, low)
    ).T

    assert geometry.shape == (8, 12, 8)
    i, j, k = np.indices(geometry.shape)
    own = np.stack([i - 0.4 * k, j + 0.8 * k - 6])  # column and row within slice k
    inside = ((own >= 0).T & (own.T <= (4, 5))).all(axis=-1).T
    np.testing.assert_allclose(volume[inside], expected[inside], atol=0.1)


def test_what_was_done_is_a_finding(tmp_path):
    folder = write_series(tmp_path / "a", VALUES, skip=[3], shear=(0, 0.6, 0))

    (found,) = [f for f in inspect_volume(folder, resample=True) if f.check == "series-resampled"]

    assert "7 slices lie 1 to 2 times their usual distance apart" in found.message
    assert "5.6 rows aside (a tilt)" in found.message
    assert "onto 8 even ones of 5 x 12 px" in found.message
    assert "slice numbers and pixels are theirs" in found.message
    with pytest.raises(InputError, match="resample = true"):
        read_geometry(folder)
    with pytest.raises(InputError, match="lie on other slices"):
        series_slices(folder, resample=True)


def test_a_series_that_is_even_is_not_touched(tmp_path):
    write_series(tmp_path, VALUES)

    np.testing.assert_array_equal(read(tmp_path)[0], VALUES)
    assert not [f for f in inspect_volume(tmp_path, resample=True) if "resampled" in f.check]


def test_masks_and_images_of_a_resampled_series_share_its_grid(tmp_path):
    folder = write_series(tmp_path / "dicom", VALUES, skip=[2], shear=(0, 0.6, 0))
    volume, geometry = read(folder)

    write_labels(tmp_path / "mask.nii", (volume > 0).astype(int), like=folder, resample=True)
    write_volume(tmp_path / "ct.nii", folder, resample=True)

    labels, grid = read_labels(tmp_path / "mask.nii")
    np.testing.assert_array_equal(labels, volume > 0)
    np.testing.assert_allclose(grid.affine, geometry.affine, atol=1e-5)
    np.testing.assert_allclose(read_volume(tmp_path / "ct.nii")[0], volume)


def test_two_slices_at_one_place_are_refused_all_the_same(tmp_path):
    write_series(tmp_path, VALUES, fields_of=lambda k: {"0020|0032": f"0\\0\\{2 * max(k, 1)}"})

    with pytest.raises(InputError, match="lie at one place"):
        read(tmp_path)
