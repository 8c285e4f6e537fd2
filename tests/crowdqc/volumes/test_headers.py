"""NIfTI headers that contradict themselves, claim what is not there, or cannot be copied."""

import contextlib
import gzip
import re
import warnings

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.findings import InputError
from crowdqc.volumes import inspect_volume, read_geometry, read_labels, read_volume, write_labels

AFFINE = np.diag([1.5, 1.5, 3, 1])
VOLUME = np.arange(24, dtype="<i2").reshape(2, 3, 4)


def raw(kind=nib.Nifti1Image, *, sform=1, qform=1):
    """The bytes of a volume."""
    image = kind(VOLUME, AFFINE)
    image.set_sform(AFFINE, sform)
    image.set_qform(AFFINE, qform)
    return bytearray(image.to_bytes())


def put(data, name, values, *, kind=nib.Nifti1Header):
    """Overwrite a field of a header."""
    dtype, offset = kind.template_dtype.fields[name][:2]
    field = np.asarray(values, dtype.base.newbyteorder("<")).tobytes()
    data[offset : offset + len(field)] = field
    return data


def written(path, data):
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("quaternion", [(0.70711, 0.70711), (np.nan, 0), (2, 2), (np.inf, 0)])
def test_masks_are_written_with_the_sform_where_the_quaternion_is_no_rotation(tmp_path, quaternion):
    image = written(
        tmp_path / "a.nii", put(put(raw(), "quatern_b", quaternion[0]), "quatern_c", quaternion[1])
    )
    geometry = read_geometry(image)

    write_labels(tmp_path / "m.nii.gz", np.ones((2, 3, 4), int), like=image)

    np.testing.assert_array_equal(geometry.affine, AFFINE)
    mask = nib.load(tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(mask.affine, AFFINE)
    np.testing.assert_allclose(mask.get_qform(coded=True)[0], AFFINE)


@pytest.mark.parametrize(
    ("pixdim", "says"),
    [
        (
            [1, 0.8658, 0.8658, 0.796],
            "voxels are 1.5 x 1.5 x 3 mm .* pixdim 0.8658 x 0.8658 x 0.796",
        ),
        ([1, np.nan, 1.5, 3], "pixdim 1 x 1.5 x 3 mm"),
        ([1, 0, 0, 0], "pixdim 1 x 1 x 1 mm"),
        ([-1, 1.5, 1.5, 3], ""),
        ([1, 1.5001, 1.5, 3], ""),
    ],
)
def test_two_sizes_of_a_voxel_are_told_with_what_other_programs_take(tmp_path, pixdim, says):
    sitk = pytest.importorskip("SimpleITK")
    image = written(tmp_path / "a.nii", put(raw(qform=0), "pixdim", pixdim))

    found = inspect_volume(image)

    assert [one.check for one in found] == (["volume-spacing"] if says else [])
    if says:
        assert found[0].severity == "review"
        assert re.search(says, found[0].message)
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        theirs = " x ".join(f"{x:g}" for x in sitk.ReadImage(str(image)).GetSpacing())
        assert f"its pixdim {theirs} mm" in found[0].message


@pytest.mark.parametrize("dtype", [[("R", "u1"), ("G", "u1"), ("B", "u1")], np.complex64])
def test_colours_and_complex_numbers_are_refused_by_their_header(tmp_path, dtype):
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), dtype), AFFINE), tmp_path / "a.nii")

    with pytest.raises(
        InputError, match=r"single numbers, not colours. Write each time point or channel to a file"
    ):
        read_geometry(tmp_path / "a.nii")


def test_axes_that_are_not_perpendicular_are_told_before_itk_refuses_them(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.4
    nib.save(nib.Nifti1Image(VOLUME, sheared), tmp_path / "c.nii")

    found = inspect_volume(tmp_path / "c.nii")

    assert [one.check for one in found] == ["volume-sheared"]
    assert "sheared by 14.9 degrees" in found[0].message
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(tmp_path / "c.nii"))


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    """544 bytes that claim 2^30 slices."""
    header = nib.Nifti2Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((1, 1, 2**30))
    header.set_data_offset(544)
    path = written(tmp_path / "a.nii", header.binaryblock + bytes(4))

    with pytest.raises(
        InputError, match=r"claims 1073741824 bytes .* its 544 bytes hold at most 0"
    ):
        read_geometry(path)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@settings(max_examples=150)
@given(data=st.data())
def test_what_check_accepts_can_be_read_and_written(tmp_path_factory, kind, data):
    """Any value in any one or two fields of the header."""
    folder = tmp_path_factory.mktemp("fuzz")
    header = raw(kind)
    fields = kind.header_class.template_dtype.fields
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2)):
        dtype, offset = fields[name][:2]
        if dtype.base.kind == "f":
            some = st.sampled_from([np.nan, np.inf, -np.inf, 0, -1, 1e40, 3e9, 1e-40, 0.7, 7])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = np.array(data.draw(some), dtype.base.newbyteorder("<")).tobytes()
        else:
            value = data.draw(st.binary(min_size=1, max_size=dtype.itemsize))
        header[offset : offset + len(value)] = value
    path = written(folder / "a.nii", header)
    try:
        geometry = read_geometry(path)
        inspect_volume(path)
    except InputError:
        return
    write_labels(folder / "m.nii.gz", np.ones(geometry.shape, int), like=path)
    labels, found = read_labels(folder / "m.nii.gz")
    assert labels.all()
    np.testing.assert_allclose(found.affine, geometry.affine, rtol=1e-5, atol=1e-5)
    with contextlib.suppress(InputError):  # a slope that makes voxels infinite
        read_volume(path)


def test_a_name_that_lies_about_packing_is_told(tmp_path):
    plain, packed = tmp_path / "a.nii", tmp_path / "b.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), plain)
    data = plain.read_bytes()
    packed.write_bytes(data)
    plain.write_bytes(gzip.compress(data))

    with pytest.raises(InputError, match=r"a.nii: is packed by gzip. Rename it, with .gz"):
        read_geometry(plain)
    with pytest.raises(InputError, match=r"b.nii.gz: is not packed by gzip, as its name says"):
        read_geometry(packed)
