"""NRRD, MetaImage and Analyze: as SimpleITK reads them, and what they must not open."""

import sys

import nibabel as nib
import numpy as np
import pytest

from crowdqc.findings import InputError
from crowdqc.volumes import (
    hash_volume,
    inspect_volume,
    is_volume,
    read_geometry,
    read_labels,
    read_volume,
    volume_files,
    write_labels,
)
from crowdqc.volumes.itk import ENDINGS

VALUES = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
AFFINE = np.array([[-1.0, 0, 0, -5], [0, -2, 0, -6], [0, 0, 3, 7], [0, 0, 0, 1]])


@pytest.fixture
def sitk():
    return pytest.importorskip("SimpleITK")


@pytest.fixture
def image(sitk):
    one = sitk.GetImageFromArray(np.ascontiguousarray(VALUES.T))
    one.SetSpacing((1, 2, 3))
    one.SetOrigin((5, 6, 7))
    return one


@pytest.fixture
def save(sitk, tmp_path):
    def save(image, name, *, compress=False):
        sitk.WriteImage(image, str(tmp_path / name), useCompression=compress)
        return tmp_path / name

    return save


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_values_and_geometry_are_those_of_the_file(save, image, tmp_path, ending, compress):
    path = save(image, f"a{ending}", compress=compress and ending in {".nrrd", ".mha"})

    volume, geometry = read_volume(path)

    assert is_volume(path.name)
    np.testing.assert_array_equal(volume, VALUES)
    np.testing.assert_allclose(geometry.affine, AFFINE)
    write_labels(tmp_path / "m.nii.gz", VALUES > 4, like=path)
    labels, found = read_labels(tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(labels, VALUES > 4)
    np.testing.assert_allclose(found.affine, AFFINE)


def test_labels_may_be_in_any_of_them(save, image):
    np.testing.assert_array_equal(read_labels(save(image, "a.nrrd"))[0], VALUES)


def test_upper_case_is_the_same_format(tmp_path):
    nib.save(nib.Nifti1Image(VALUES, AFFINE), tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").rename(tmp_path / "A.NII.GZ")

    np.testing.assert_array_equal(read_volume(tmp_path / "A.NII.GZ")[0], VALUES)


def test_analyze_has_no_directions_and_that_is_noted(tmp_path, sitk):
    nib.save(nib.AnalyzeImage(VALUES, np.diag([-1, 2, 3, 1])), tmp_path / "a.img")

    np.testing.assert_array_equal(read_volume(tmp_path / "a.hdr")[0], VALUES)
    assert [one.check for one in inspect_volume(tmp_path / "a.img")] == ["volume-orientation"]


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd", "a.hdr"])
def test_a_volume_of_two_files_depends_on_both(save, image, name):
    path = save(image, name)
    other = volume_files(path)[1]
    before = hash_volume(path)

    data = other.read_bytes()
    other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    assert hash_volume(path) != before


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nhdr", "a.mhd", "a.hdr"])
def test_a_file_that_lacks_voxels_is_refused(save, image, name):
    path = save(image, name)
    voxels = volume_files(path)[-1]
    voxels.write_bytes(voxels.read_bytes()[:-10])

    with pytest.raises(InputError, match="claims 48 bytes of voxels, and there are 38"):
        read_geometry(path)


@pytest.mark.parametrize(
    "elsewhere", ["/etc/passwd", "../secret.raw", "LIST", "a%03d.raw 1 2 1", "c:secret.raw"]
)
@pytest.mark.parametrize(
    ("name", "line"), [("a.mhd", "ElementDataFile = "), ("a.nhdr", "data file: ")]
)
def test_no_header_opens_a_file_elsewhere(save, image, tmp_path, name, line, elsewhere):
    path = save(image, name)
    (tmp_path.parent / "secret.raw").write_bytes(bytes(48))
    (tmp_path / "LIST").write_text("/etc/passwd\n")
    other = path.with_suffix(".mha" if name == "a.mhd" else ".nrrd")
    text = path.read_bytes().replace(f"{line}a.raw".encode(), f"{line}{elsewhere}".encode())
    for one, data in ((path, text), (other, text), (path, text.replace(b"\n", b"\r\n"))):
        one.write_bytes(data)
        with pytest.raises(InputError, match="as the file of its voxels; it must be one file"):
            read_geometry(one)


def test_what_is_no_volume_of_numbers_is_refused(save, image, sitk):
    colours = save(sitk.Compose(image, image, image), "a.nrrd")
    series = save(sitk.JoinSeries(image, image), "b.nrrd")
    flat = save(image[:, :, 0], "c.mha")

    for path in (colours, series, flat):
        with pytest.raises(
            InputError, match=r"a volume has three axes and single numbers. Write each time"
        ):
            read_geometry(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.hdr"])
def test_junk_is_refused(sitk, tmp_path, name):
    (tmp_path / name).write_bytes(b"junk")
    (tmp_path / "a.img").write_bytes(b"junk")

    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        read_geometry(tmp_path / name)


def test_without_simpleitk_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)

    with pytest.raises(InputError, match=r"pip install crowdqc\[dicom\]"):
        read_geometry(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.nrrd", b"dimension: 3", b"dimension: " + b"9" * 400),
        ("a.nrrd", b"(0,2,0)", b"(0,2," * 60),
        ("a.nrrd", b"encoding: raw", b"encoding: " + b"x" * 300),
        ("a.mha", b"NDims = 3", b"NDims = -1"),
        ("a.mha", b"DimSize = 2 3 4", b"DimSize = 2 -3 4"),
        ("a.mha", b"Offset = ", b"Off\xed\xa0\x80set = "),
    ],
)
def test_lines_that_crash_itk_are_refused_before_it_sees_them(save, image, name, old, new):
    path = save(image, name)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))

    with pytest.raises(InputError, match=r"line \d+ of its header is none of the format"):
        read_geometry(path)


@pytest.mark.parametrize(
    "line",
    [
        "# a comment",
        "Segment0_Name:=liver (" + "long " * 500 + ")",
        "measurement frame: (1,0,0) (0,1,0) (0,0,1)",
        'space units: "mm" "mm" "mm"',
        "content: scan of 2026-01-01, phase 2",
        "old min: -1024.5",
    ],
)
def test_what_other_programs_write_into_nrrd_is_read(save, image, line):
    path = save(image, "a.nrrd")
    head, blank, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes(b"\n".join([head, line.encode()]) + blank + voxels)

    np.testing.assert_array_equal(read_volume(path)[0], VALUES)
