"""Enhanced DICOM images, whose slices are the frames of one file, as other readers see them."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
pytest.importorskip("SimpleITK")

from pydicom.dataset import Dataset  # noqa: E402
from pydicom.pixels import apply_rescale  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from crowdqc.findings import InputError  # noqa: E402
from crowdqc.volumes import hash_volume, is_volume, read_geometry, read_volume  # noqa: E402
from tests.crowdqc.volumes.test_elements import dataset  # noqa: E402

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 4000, (6, 5, 4)).astype("<u2")
"""Frames in the order of their places."""
ORDER = [3, 0, 5, 1, 4, 2]
"""Which place each frame of the file has."""
TOP = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")


def item(**elements):
    one = Dataset()
    for name, value in elements.items():
        setattr(one, name, value)
    return one


def enhanced(path, *, axes=((1, 0, 0), (0, 1, 0)), spacing=(0.5, 0.75, 2.0), shared=True, **more):
    """Write an Enhanced image with a scale for each frame, and return its values, (i, j, k)."""
    syntax = more.pop("syntax", ExplicitVRLittleEndian)
    gone = dict.fromkeys((*TOP, "RescaleSlope", "RescaleIntercept"))
    one = dataset(PIXELS[ORDER], kind=EnhancedMRImageStorage, syntax=syntax, **gone)
    row, column = np.array(axes, float)
    step = spacing[2] * np.cross(row, column)
    measures = item(PixelSpacing=[spacing[1], spacing[0]], SliceThickness=9)
    plane = item(ImageOrientationPatient=[round(x, 12) for x in (*row, *column)])
    common = {"PixelMeasuresSequence": [measures], "PlaneOrientationSequence": [plane]}
    one.SharedFunctionalGroupsSequence = [item(**(common if shared else {}))]
    frames = []
    for k in ORDER:
        place = item(ImagePositionPatient=[round(x, 9) for x in (-10, 20, 30) + k * step])
        scale = item(RescaleSlope=1 + k, RescaleIntercept=-k, RescaleType="US")
        groups = {"PlanePositionSequence": [place], "PixelValueTransformationSequence": [scale]}
        frames.append(item(**groups, **({} if shared else common)))
    one.PerFrameFunctionalGroupsSequence, one.NumberOfFrames = frames, len(ORDER)
    one.FrameOfReferenceUID = "1.4"
    for name, value in more.items():
        setattr(one, name, value)
    if syntax == RLELossless:
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.compress(RLELossless, generate_instance_uid=False)
    one.save_as(path, enforce_file_format=True)
    scaled = [frame * (1.0 + k) - k for k, frame in enumerate(PIXELS)]
    return np.stack(scaled).transpose(2, 1, 0)


@settings(max_examples=12, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3),
    shared=st.booleans(),
)
def test_it_is_what_highdicom_reads_in_every_orientation(tmp_path_factory, angles, spacing, shared):
    path = tmp_path_factory.mktemp("enhanced") / "a.dcm"
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()[:2]
    expected = enhanced(path, axes=axes, spacing=spacing, shared=shared)

    volume, geometry = read_volume(path.parent)

    other = highdicom.imread(path).get_volume()  # frame, row, column in LPS, from the other end
    other = other.flip_spatial(0)
    turned = np.diag([-1, -1, 1, 1]) @ other.affine[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(geometry.affine, turned, atol=1e-5)
    np.testing.assert_allclose(volume, other.array.transpose(2, 1, 0))
    np.testing.assert_array_equal(volume, expected)
    assert geometry.shape == (4, 5, 6)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
    ],
)
def test_every_way_of_writing_is_read(tmp_path, syntax):
    expected = enhanced(tmp_path / "a.dcm", syntax=syntax)

    np.testing.assert_array_equal(read_volume(tmp_path)[0], expected)


def test_white_that_is_the_lowest_value_is_not_turned_round(tmp_path):
    expected = enhanced(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")

    np.testing.assert_array_equal(read_volume(tmp_path)[0], expected)


def test_a_file_may_be_named_instead_of_its_folder(tmp_path):
    expected = enhanced(tmp_path / "a.dcm")

    assert is_volume("{case}.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm")[0], expected)
    assert read_geometry(tmp_path / "a.dcm").spacing == pytest.approx((0.5, 0.75, 2.0))
    before = hash_volume(tmp_path / "a.dcm")
    enhanced(tmp_path / "a.dcm", spacing=(1, 1, 1))
    assert hash_volume(tmp_path / "a.dcm") != before


def test_a_single_frame_has_its_thickness(tmp_path):
    enhanced(tmp_path / "a.dcm")
    one = pydicom.dcmread(tmp_path / "a.dcm")
    one.PerFrameFunctionalGroupsSequence = one.PerFrameFunctionalGroupsSequence[:1]
    one.NumberOfFrames, one.PixelData = 1, one.PixelData[: PIXELS[0].nbytes]
    one.save_as(tmp_path / "a.dcm")

    assert read_geometry(tmp_path).spacing[2] == 9


def test_a_real_series_converted_to_one_file_is_the_same_volume(tmp_path, data):
    folder = data / "totalsegmentator_ct" / "dicom"
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())[:12]]
    uid = pydicom.uid.generate_uid
    for k, one in enumerate(slices):
        one.SOPClassUID = pydicom.uid.CTImageStorage
        fields = {"PatientID": "", "PatientName": "", "StudyID": "", "AccessionNumber": ""}
        fields |= {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "InstanceNumber": k + 1}
        fields |= {"SOPInstanceUID": uid(), "PatientSex": "", "PatientBirthDate": ""}
        fields |= {"StudyDate": "", "StudyTime": "", "ReferringPhysicianName": ""}
        fields |= {"Manufacturer": "", "BurnedInAnnotation": "NO"}
        for name, value in fields.items():
            if name not in one or not one[name].value:
                setattr(one, name, value)
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            if not one.get(name):
                setattr(one, name, f"2.25.{len(name)}")
        (tmp_path / "series").mkdir(exist_ok=True)
        one.save_as(tmp_path / "series" / f"{k}.dcm")
    whole = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        slices, uid(), series_number=2, sop_instance_uid=uid(), instance_number=1
    )
    whole.save_as(tmp_path / "whole.dcm")

    (a, grid_a), (b, grid_b) = (read_volume(tmp_path / name) for name in ("series", "whole.dcm"))

    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(grid_a.affine, grid_b.affine, atol=1e-6)
    stored = min(slices, key=lambda one: one.ImagePositionPatient[2])
    np.testing.assert_array_equal(a[:, :, 0], apply_rescale(stored.pixel_array, stored).T)


def broken(path, change):
    enhanced(path)
    one = pydicom.dcmread(path)
    change(one)
    one.save_as(path)


def no_place(one):
    del one.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence


def one_place(one):
    frames = one.PerFrameFunctionalGroupsSequence
    frames[0].PlanePositionSequence = frames[1].PlanePositionSequence


def no_slope(one):
    one.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence[0].RescaleSlope = 0


def skew(one):
    plane = one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]


def cut(one):
    one.PixelData = one.PixelData[:-40]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (no_place, "ImagePositionPatient of frame 2 must be 3 numbers; got None"),
        (one_place, r"frame 1 and .*frame 2: lie at one place .*several phases or echoes"),
        (no_slope, "RescaleSlope of frame 3 is 0"),
        (skew, "must be at right angles"),
        (cut, "cut off or damaged"),
        (lambda one: setattr(one, "NumberOfFrames", 7), "cut off or damaged"),
        (lambda one: setattr(one, "NumberOfFrames", 5), "has 5 frames .* describes 6"),
    ],
    ids=["no place", "one place", "no slope", "skew", "cut", "more", "fewer"],
)
def test_what_has_no_place_or_scale_is_refused(tmp_path, change, says):
    broken(tmp_path / "a.dcm", change)

    with pytest.raises(InputError, match=says):
        read_geometry(tmp_path)


def test_without_pydicom_the_remedy_is_told(tmp_path):
    enhanced(tmp_path / "a.dcm")
    code = (
        "import sys; sys.modules['pydicom'] = None\n"
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
