import gzip
import itertools
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel import orientations

from crowdqc.config import Window
from crowdqc.findings import InputError
from crowdqc.volumes import (
    Geometry,
    from_pictures,
    read_geometry,
    read_labels,
    read_volume,
    to_grey,
    to_pictures,
    window_limits,
    write_labels,
    write_map,
)
from tests.turns import TURNS

ALL_ORIENTATIONS = [
    orientations.axcodes2ornt(tuple(pair[flip] for pair, flip in zip(order, flips, strict=True)))
    for order in itertools.permutations([("L", "R"), ("P", "A"), ("I", "S")])
    for flips in itertools.product([0, 1], repeat=3)
]


def save(path, data, affine=None, **changes):
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    for name, value in changes.items():
        image.header[name] = value
    nib.save(image, path)
    return path


@pytest.mark.parametrize("picture", TURNS)
def test_a_picture_is_a_turned_slice_and_back(picture):
    volume = np.arange(2 * 3 * 4).reshape(2, 3, 4)

    pictures = to_pictures(volume, picture)

    for k in range(4):
        np.testing.assert_array_equal(pictures[k], TURNS[picture](volume[:, :, k]))
    np.testing.assert_array_equal(from_pictures(pictures, picture), volume)


@pytest.mark.parametrize("picture", TURNS)
def test_shape_and_spacing_of_a_picture(picture):
    geometry = Geometry((2, 3, 4), np.diag([0.5, 0.7, 5.0, 1.0]))

    rows, columns = to_pictures(np.zeros(geometry.shape), picture).shape[1:]
    x, y, z = geometry.picture_spacing(picture)

    assert geometry.picture_shape(picture) == (rows, columns)
    assert (columns * x, rows * y) in [(2 * 0.5, 3 * 0.7), (3 * 0.7, 2 * 0.5)]
    assert z == 5.0


@pytest.mark.parametrize("picture", TURNS)
@pytest.mark.parametrize(
    "orientation", ALL_ORIENTATIONS, ids=lambda o: "".join(orientations.ornt2axcodes(o))
)
def test_directions_of_a_picture_are_those_of_the_patient(picture, orientation):
    # A volume whose value is the patient coordinate along one axis: the picture must grow in
    # the direction that is named.
    shape = np.array([4, 5, 6])
    affine = orientations.inv_ornt_aff(orientation, shape) @ np.diag([1, 1, 1, 1])
    affine[:3, :3] += 0.05 * np.array([[0, 1, -1], [1, 0, 1], [-1, 1, 0]])  # oblique
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = indices @ affine[:3, :3].T + affine[:3, 3]

    x, y = Geometry(tuple(shape), affine).picture_axes(picture)

    for direction, axis in ((x, 2), (y, 1)):
        along = "RAS".find(direction) if direction in "RAS" else "LPI".find(direction)
        step = np.diff(to_pictures(world[..., along], picture), axis=axis)
        assert (step > 0).all() if direction in "RAS" else (step < 0).all()
        assert abs(step.mean()) > 0.9


def test_labels_keep_the_geometry_of_their_source(tmp_path):
    affine = np.array([[0.0, 0.7, 0.1, -3], [-0.6, 0, 0, 5], [0, 0.1, 2.5, 7], [0, 0, 0, 1]])
    source = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    source.header.set_xyzt_units("mm", "sec")
    source.set_sform(affine, code=4)
    source.set_qform(np.diag([0.7, 0.6, 2.5, 1.0]), code=1)
    nib.save(source, tmp_path / "ct.nii.gz")
    labels = np.zeros((3, 4, 5), int)
    labels[1, 2, 3] = 7

    write_labels(tmp_path / "l.nii.gz", labels, like=tmp_path / "ct.nii.gz")

    written = nib.load(tmp_path / "l.nii.gz")
    assert written.get_data_dtype() == np.uint8
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (4, 1)
    assert written.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-6)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.nii.gz")[0], labels)


@pytest.mark.parametrize(("unit", "step"), [("meter", 7e-4), ("micron", 700.0), ("mm", 0.7)])
def test_spacing_is_in_mm_whatever_the_unit_of_the_file(tmp_path, unit, step):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.diag([step, step, 2 * step, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "ct.nii")

    assert read_geometry(tmp_path / "ct.nii").spacing == pytest.approx((0.7, 0.7, 1.4))


def test_what_a_header_says_of_the_patient_is_not_copied_into_masks(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"name, date of birth"))
    nib.save(image, tmp_path / "ct.nii")

    write_labels(tmp_path / "l.nii", np.zeros((3, 4, 5), int), like=tmp_path / "ct.nii")

    assert b"date of birth" in (tmp_path / "ct.nii").read_bytes()
    assert b"date of birth" not in (tmp_path / "l.nii").read_bytes()


def test_files_are_byte_identical_whenever_and_wherever_written(tmp_path):
    source = save(tmp_path / "ct.nii.gz", np.zeros((2, 2, 2), np.int16))
    for name in ("a.nii.gz", "b.nii.gz"):
        write_map(tmp_path / name, np.full((2, 2, 2), 0.5), like=source)

    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_large_labels_are_stored_as_uint16(tmp_path):
    source = save(tmp_path / "ct.nii", np.zeros((2, 2, 2), np.int16))

    write_labels(tmp_path / "l.nii", np.full((2, 2, 2), 300), like=source)

    assert nib.load(tmp_path / "l.nii").get_data_dtype() == np.uint16
    assert read_labels(tmp_path / "l.nii")[0].max() == 300


def test_scaled_labels_are_rounded(tmp_path):
    data = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1)
    image = nib.Nifti1Image(data, np.eye(4))
    image.header.set_slope_inter(1 / 51, 0)
    nib.save(image, tmp_path / "l.nii")
    raw = bytearray((tmp_path / "l.nii").read_bytes())
    raw[-3:] = data.tobytes()  # nibabel scales back when it writes; a tool had not
    (tmp_path / "l.nii").write_bytes(bytes(raw))

    assert read_labels(tmp_path / "l.nii")[0].ravel().tolist() == [0, 1, 5]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.5], r"voxel \[0, 0, 0\] is 0.5"),
        ([1, -1], r"voxel \[1, 0, 0\] is -1"),
        ([np.nan], "nan"),
    ],
)
def test_labels_must_be_whole_numbers(tmp_path, values, says):
    path = save(tmp_path / "l.nii", np.array(values, np.float32).reshape(-1, 1, 1))

    with pytest.raises(InputError, match=says):
        read_labels(path)


def test_intensities_must_be_finite(tmp_path):
    path = save(tmp_path / "ct.nii", np.array([0, np.inf], np.float32).reshape(-1, 1, 1))

    with pytest.raises(InputError, match=r"voxel \[1, 0, 0\] is not finite"):
        read_volume(path)


def test_files_that_are_no_volumes_are_refused(tmp_path):
    good = save(tmp_path / "ct.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)))
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:-800])
    (tmp_path / "text.nii.gz").write_text("hello")
    save(tmp_path / "flat.nii", np.zeros((3, 3)))
    save(tmp_path / "film.nii", np.zeros((3, 3, 3, 2)))
    save(tmp_path / "film of a slice.nii", np.zeros((3, 3, 1, 2)))
    save(tmp_path / "rgb.nii", np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")]))

    for name in (
        "cut.nii.gz",
        "text.nii.gz",
        "flat.nii",
        "film.nii",
        "film of a slice.nii",
        "rgb.nii",
        "none.nii",
    ):
        with pytest.raises(InputError, match=name):
            read_volume(tmp_path / name)


def test_a_mask_of_another_shape_is_refused(tmp_path):
    source = save(tmp_path / "ct.nii", np.zeros((2, 2, 2)))

    with pytest.raises(InputError, match=r"\(1, 2, 2\)"):
        write_labels(tmp_path / "l.nii", np.zeros((1, 2, 2), int), like=source)


@given(st.floats(-3000, 3000))
def test_a_window_is_linear_and_clipped(value):
    grey = to_grey(np.array([value]), Window(level=40, width=400))[0]

    assert (
        grey == np.rint(np.clip((np.float32(value) + 160) / 400 * 255, 0, 255))
        or abs(float(grey) - (value + 160) / 400 * 255) <= 0.5 + 1e-3
    )


def test_percentiles_are_those_of_the_volume():
    volume = np.arange(101.0).reshape(101, 1, 1)

    assert window_limits(volume, Window(percentiles=(10, 90))) == (10.0, 90.0)
    assert to_grey(volume, Window(percentiles=(10, 90))).ravel()[[10, 50, 90]].tolist() == [
        0,
        128,
        255,
    ]


def test_a_constant_volume_is_black():
    assert to_grey(np.ones((2, 2, 2)), Window(percentiles=(0.5, 99.5))).max() == 0


def test_real_headers(data):
    crowd = read_geometry(data / "btcv_crowd" / "SAM-labels" / "label0001.nii.gz")
    ct = read_geometry(data / "totalsegmentator_ct" / "ct.nii.gz")

    # Patient-left grows to the right of the crowd's pictures, as radiologists look at them.
    assert crowd.picture_axes("rot90") == ("L", "P")
    assert crowd.picture_shape("rot90") == (512, 512)
    assert ct.picture_axes("rot90") == ("R", "P")


# Hostile files ---------------------------------------------------------------------------------


def claiming(shape, *, offset=352, dtype=np.uint8, kind=nib.Nifti1Header):
    """A packed NIfTI file of zeros whose header claims more than there is."""
    header = kind()
    header.set_data_dtype(dtype)
    header["dim"][:4] = [3, *shape]
    header["vox_offset"] = offset
    header["magic"] = header.default_structarr()["magic"]
    return gzip.compress(header.binaryblock + bytes(20_000_000), mtime=0)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (claiming((32_767, 32_767, 32_767)), "voxels"),
        (claiming((10, 10, 10), offset=1e30), "begin at byte 1e\\+30"),
        (claiming((10, 10, 10), offset=np.nan), "begin at byte nan"),
        (claiming((10, 10, 10), offset=2**62, kind=nib.Nifti2Header), "begin at byte 4"),
        (claiming((500, 500, 500)), "cut off or damaged"),
    ],
    ids=["voxels", "offset", "nan", "offset of version 2", "less than claimed"],
)
def test_a_packed_volume_that_claims_too_much_takes_no_memory(tmp_path, data, says):
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=says):
            read_labels(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 60e6


def test_pictures_are_windowed_turned_slices(tmp_path):
    values = np.zeros((3, 4, 2))
    values[2, 1, 0], values[0, 3, 1] = 100, 50
    nib.save(nib.Nifti1Image(values, np.diag([1, 2, 3, 1])), tmp_path / "a.nii")

    volume, geometry = read_volume(tmp_path / "a.nii")
    pictures = to_pictures(to_grey(volume, Window(level=50, width=100)), "rot90")

    assert geometry.spacing == (1, 2, 3)
    assert pictures.shape == (2, 4, 3)
    assert pictures.dtype == np.uint8
    assert np.argwhere(pictures[0]).tolist() == [[2, 2]]
    assert np.argwhere(pictures[1]).tolist() == [[0, 0]]
    assert (pictures[0, 2, 2], pictures[1, 0, 0]) == (255, 128)
