import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from crowdqc.findings import InputError
from crowdqc.volumes import (
    hash_volume,
    read_geometry,
    read_labels,
    read_volume,
    write_labels,
    write_volume,
)
from crowdqc.volumes.dicom import read_series, read_values
from tests.crowdqc.dicoms import write_series

VALUES = np.random.default_rng(0).integers(-1000, 2000, (4, 5, 6)).astype(np.int16)


def itk(folder):
    """The volume and its affine (RAS+) as SimpleITK's own series reader has them."""
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = SimpleITK.ReadImage(files)
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ affine


@settings(max_examples=12)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3),
)
def test_a_series_is_what_simpleitk_reads(tmp_path_factory, angles, spacing):
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()[:2]
    folder = write_series(tmp_path_factory.mktemp("dicom"), VALUES, axes=axes, spacing=spacing)

    volume, geometry = read_volume(folder)

    expected, affine = itk(folder)
    np.testing.assert_array_equal(volume, expected)
    np.testing.assert_array_equal(volume, VALUES)
    np.testing.assert_allclose(geometry.affine, affine, atol=1e-4)
    np.testing.assert_allclose(read_geometry(folder).spacing, spacing, atol=1e-4)


def test_slices_are_ordered_by_place_and_not_by_name(tmp_path):
    series = read_series(write_series(tmp_path, VALUES))

    assert [path.name for path in series.files] == [f"{n:03d}.dcm" for n in range(6, 0, -1)]


def test_every_slice_has_its_own_scale(tmp_path):
    values = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    write_series(
        tmp_path,
        values / 8,
        fields={"0008|0060": "PT"},
        fields_of=lambda k: {"0028|1053": str(0.125 * (k + 1)), "0028|1052": "0"},
    )

    got = read_values(read_series(tmp_path))

    steps = 0.125 * np.arange(1, 7)  # what a file holds is rounded to its own step
    assert (np.abs(got - values / 8) <= steps / 2 + 1e-6).all()
    assert np.abs(got - values / 8).max() > 0.05


def test_masks_of_a_series_take_its_geometry_and_nothing_of_its_patient(tmp_path):
    axes = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix()[:2]
    folder = write_series(tmp_path / "dicom", VALUES, axes=axes)
    labels = (VALUES > 500).astype(int)

    write_labels(tmp_path / "labels.nii", labels, like=folder)
    write_volume(tmp_path / "ct.nii", folder)

    _, affine = itk(folder)
    for name, expected in (("labels.nii", labels), ("ct.nii", VALUES)):
        image = nib.load(tmp_path / name)
        np.testing.assert_array_equal(np.asarray(image.dataobj), expected)
        np.testing.assert_allclose(image.get_sform(), affine, atol=1e-4)
        np.testing.assert_allclose(image.get_qform(), affine, atol=1e-4)
        assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
        assert image.header.get_xyzt_units()[0] == "mm"
        assert b"Jane" not in (tmp_path / name).read_bytes()
        seen = SimpleITK.ReadImage(str(tmp_path / name))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(seen).T, expected)
    assert nib.load(tmp_path / "ct.nii").get_data_dtype() == np.int16
    assert b"Jane" in (folder / "001.dcm").read_bytes()


def test_values_that_are_no_whole_numbers_are_written_as_such(tmp_path):
    fields = {"0028|1053": "0.5", "0028|1052": "0"}
    folder = write_series(tmp_path / "pet", VALUES / np.float32(2), fields=fields)

    write_volume(tmp_path / "pet.nii", folder)

    np.testing.assert_array_equal(nib.load(tmp_path / "pet.nii").get_fdata(), VALUES / 2)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_planes_of_a_series_and_of_its_nifti_are_the_same(tmp_path, plane):
    folder = write_series(tmp_path / "dicom", VALUES, axes=((0, 1, 0), (0, 0, -1)))
    write_volume(tmp_path / "ct.nii", folder)

    (a, grid_a), (b, grid_b) = (
        read_volume(tmp_path / name, plane=plane) for name in ("dicom", "ct.nii")
    )

    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(grid_a.affine, grid_b.affine, atol=1e-4)


def test_a_series_may_lie_deeper_and_beside_other_files(tmp_path):
    write_series(tmp_path / "study" / "series", VALUES)
    (tmp_path / "README.txt").write_text("hello")
    (tmp_path / "DICOMDIR").write_text("index")
    (tmp_path / ".hidden").write_text("x")

    assert read_series(tmp_path).shape == VALUES.shape


def test_several_series_are_refused_by_name(tmp_path):
    write_series(tmp_path / "case" / "a", VALUES)
    more = {"0020|0011": "7", "0008|103e": "lung", "0008|0060": "MR"}
    write_series(tmp_path / "case" / "b", VALUES, uid="1.2.3.5", fields=more)

    says = r"holds 2 series.*series 4, CT, abdomen \(6 files, such as a/001.dcm\); series 7, MR"
    with pytest.raises(InputError, match=says):
        read_series(tmp_path / "case")
    assert read_series(tmp_path / "case" / "b").shape == VALUES.shape


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"skip": [2, 3]}, r"6 mm apart, where most slices are 2 mm apart; 2 slices may"),
        ({"shear": (0.0, 0.3, 0.0)}, r"sheared: .* gantry tilt of 8\.5"),
        ({"fields_of": lambda _: {"0020|0032": "0\\0\\5"}}, "lie at one place"),
        (
            {"fields_of": lambda k: {"0020|0032": f"0\\0\\{2 * max(k, 1)}"}},
            r"lie at one place \(2 mm .* 1 slice twice",
        ),
        ({"fields_of": lambda k: {"0020|0032": f"0\\0\\{2 * k + 0.5 * (k == 3)}"}}, "2.5 mm apart"),
        (
            {"fields_of": lambda k: {"0020|0037": "1\\0\\0\\0\\0\\1"} if k == 2 else {}},
            "differs in direction",
        ),
    ],
    ids=["missing", "tilt", "one place", "twice", "uneven", "scout"],
)
def test_stacks_that_are_not_straight_and_even_are_refused(tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        read_geometry(write_series(tmp_path, VALUES, **changes))


def test_positions_that_were_rounded_are_even(tmp_path):
    def rounded(k):
        return {"0020|0032": f"0\\0\\{0.625 * k:.2f}"}

    folder = write_series(tmp_path, VALUES, spacing=(1, 1, 0.625), fields_of=rounded)

    assert read_geometry(folder).spacing[2] == pytest.approx(0.625, abs=0.003)


def test_slices_of_another_size_are_refused(tmp_path):
    write_series(tmp_path, VALUES)
    write_series(tmp_path, VALUES[:3, :, :1], origin=(0, 0, 99), prefix="more")

    with pytest.raises(InputError, match="differs in rows and columns"):
        read_series(tmp_path)


def test_a_single_slice_must_say_how_thick_it_is(tmp_path):
    folder = write_series(tmp_path, VALUES[:, :, :1])
    # SimpleITK adds the distance of slices (0018,0088), or not, as it did before.
    distance = rb"(\x18\x00\x88\x00(?:DS\x02\x00|\x02\x00\x00\x00))2 "
    file = folder / "001.dcm"
    file.write_bytes(re.sub(distance, rb"\g<1>0 ", file.read_bytes()))
    with pytest.raises(InputError, match="does not say how thick"):
        read_series(folder)

    write_series(tmp_path, VALUES[:, :, :1], spacing=(0.5, 0.75, 3.5), fields={"0018|0050": "3.5"})

    assert read_geometry(folder).spacing == pytest.approx((0.5, 0.75, 3.5))


def test_files_that_are_broken_are_named(tmp_path):
    write_series(tmp_path, VALUES)
    whole = (tmp_path / "003.dcm").read_bytes()
    (tmp_path / "003.dcm").write_bytes(whole[:200])
    with pytest.raises(InputError, match=r"003\.dcm"):
        read_series(tmp_path)

    (tmp_path / "003.dcm").write_bytes(whole[:-30])
    with pytest.raises(InputError, match=r"003\.dcm"):
        read_volume(tmp_path)


def test_colour_and_many_frames_are_refused(tmp_path):
    image = SimpleITK.GetImageFromArray(np.zeros((4, 4, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "colour.dcm"), imageIO="GDCMImageIO")
    with pytest.raises(InputError, match=r"colour\.dcm"):
        read_series(tmp_path)


def test_no_series_is_said_so(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match="holds no DICOM file"):
        read_series(tmp_path)
    with pytest.raises(InputError, match="labels must be a NIfTI file"):
        read_labels(tmp_path)


def test_the_hash_is_that_of_names_and_bytes(tmp_path):
    for name in "ab":
        write_series(tmp_path / name, VALUES)
        for path in (tmp_path / name).iterdir():
            path.write_bytes((tmp_path / "a" / path.name).read_bytes())
    assert hash_volume(tmp_path / "a") == hash_volume(tmp_path / "b")

    (tmp_path / "b" / "001.dcm").write_bytes(b"")

    assert hash_volume(tmp_path / "a") != hash_volume(tmp_path / "b")


def test_without_simpleitk_the_remedy_is_told(tmp_path):
    write_series(tmp_path, VALUES)
    code = (
        "import sys; sys.modules['SimpleITK'] = None\n"
        "from pathlib import Path\n"
        "from crowdqc.volumes.dicom import read_series\n"
        "from crowdqc.findings import InputError\n"
        f"try: read_series(Path({str(tmp_path)!r}))\n"
        "except InputError as error: print(error)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "pip install crowdqc[dicom]" in result.stdout


def test_a_real_series(data):
    folder = data / "totalsegmentator_ct" / "dicom"

    volume, geometry = read_volume(folder)

    expected, affine = itk(folder)
    np.testing.assert_array_equal(volume, expected)
    np.testing.assert_allclose(geometry.affine, affine)
    assert geometry.spacing == pytest.approx((0.9765625, 0.9765625, 2.0))
