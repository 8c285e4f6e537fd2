"""DICOM slices as pydicom reads them, and those whose pixels are not all there."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("SimpleITK")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.pixels import apply_rescale  # noqa: E402
from pydicom.uid import (  # noqa: E402
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    RTStructureSetStorage,
)

from crowdqc.findings import InputError  # noqa: E402
from crowdqc.volumes import inspect_volume, read_geometry, read_volume  # noqa: E402

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 4000, (8, 10)).astype("<u2")
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def dataset(pixels=PIXELS, *, k=0, syntax=ExplicitVRLittleEndian, kind=CTImageStorage, **fields):
    """One slice of a series, with other values for some of its fields; `None` leaves one out."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = kind
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = f"1.2.3.{k + 1}"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.Modality = "1.2", "1.3", "CT"
    one.SliceThickness, one.InstanceNumber = "3", str(k + 1)
    one.ImagePositionPatient, one.PixelSpacing = [0, 0, 3 * k], [1, 1]
    one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Rows, one.Columns = pixels.shape[-2:]
    bits = 8 * pixels.dtype.itemsize
    one.BitsAllocated, one.BitsStored, one.HighBit = bits, bits, bits - 1
    one.PixelRepresentation = int(pixels.dtype.kind == "i")
    one.RescaleSlope, one.RescaleIntercept = "1", "-1024"
    # A sequence within a sequence, so that neither of them hides the pixels.
    inner, outer = Dataset(), Dataset()
    inner.CodeValue = outer.CodeValue = "T-62000"
    outer.PurposeOfReferenceCodeSequence = [inner]
    one.SourceImageSequence = [outer]
    big = syntax == ExplicitVRBigEndian
    one.PixelData = (pixels.byteswap() if big else pixels).tobytes()
    one["PixelData"].VR = "OW" if bits > 8 else "OB"
    for name, value in fields.items():
        if value is None:
            delattr(one, name)
        else:
            setattr(one, name, value)
    return one


def nested(depth, *, undefined=True):
    """The bytes of a file with a sequence within a sequence, so many times."""
    buffer = io.BytesIO()
    dataset(SourceImageSequence=None).save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    if undefined:
        ends = b"\xff" * 4
        deep = (b"\x08\x00\x12\x21SQ\x00\x00" + ends + b"\xfe\xff\x00\xe0" + ends) * depth
    else:
        deep = b""
        for _ in range(depth):
            item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(deep)) + deep
            deep = b"\x08\x00\x12\x21SQ\x00\x00" + struct.pack("<I", len(item)) + item
    at = data.index(b"\x18\x00\x50\x00DS")
    return data[:at] + deep + data[at:]


@pytest.mark.parametrize(("depth", "undefined"), [(100_000, True), (5_000, False), (51, False)])
def test_sequences_that_end_the_stack_of_a_library_are_refused_before(tmp_path, depth, undefined):
    (tmp_path / "0.dcm").write_bytes(nested(depth, undefined=undefined))

    with pytest.raises(InputError, match=r"0\.dcm: cannot be read: nests sequences more than 50"):
        read_geometry(tmp_path)


def test_sequences_as_deep_as_files_have_them_are_read(tmp_path):
    (tmp_path / "0.dcm").write_bytes(nested(20, undefined=False))

    assert read_geometry(tmp_path).shape == (10, 8, 1)


def test_elements_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("crowdqc.volumes.elements._ELEMENTS_MAX", 5000)
    data = nested(0)
    at = data.index(b"\x18\x00\x50\x00DS")
    (tmp_path / "0.dcm").write_bytes(data[:at] + b"\x09\x00\x10\x00LO\x00\x00" * 5001 + data[at:])

    with pytest.raises(InputError, match="more than 5000 elements"):
        read_geometry(tmp_path)


def test_a_deflated_file_that_unpacks_to_far_more_than_a_slice_is_refused(tmp_path):
    one = dataset(syntax=DeflatedExplicitVRLittleEndian)
    one.add_new(0x00091010, "OB", bytes(2**28))
    save(tmp_path, one)

    with pytest.raises(InputError, match="unpacks to more than 268435456 bytes"):
        read_geometry(tmp_path)


@pytest.mark.parametrize(("side", "says"), [(65535, "claims"), (40_000, "more than 32767")])
def test_a_size_that_no_file_holds_is_refused(tmp_path, side, says):
    one = dataset(np.zeros((side, 2), np.uint8)) if says != "claims" else dataset()
    if says == "claims":
        one.file_meta.TransferSyntaxUID = RLELossless
        one.Rows = one.Columns = side
        one.PixelData = pydicom.encaps.encapsulate([bytes(64)])
        one["PixelData"].is_undefined_length = True
    save(tmp_path, one)

    with pytest.raises(InputError, match=says):
        read_geometry(tmp_path)


def save(folder, *slices, undefined=False):
    folder.mkdir(exist_ok=True)
    for k, one in enumerate(slices):
        if undefined:
            one["SourceImageSequence"].is_undefined_length = True
            one.SourceImageSequence[0].is_undefined_length_sequence_item = True
        one.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return folder


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_pixels_are_those_that_pydicom_reads(tmp_path, syntax, undefined):
    folder = save(tmp_path / "s", dataset(syntax=syntax), undefined=undefined)

    volume, _ = read_volume(folder)

    one = pydicom.dcmread(folder / "0.dcm")
    np.testing.assert_array_equal(volume[:, :, 0].T, apply_rescale(one.pixel_array, one))


@pytest.mark.parametrize("slope", ["1", "0.5", "0.000123456", "-2"])
@pytest.mark.parametrize("stored", [16, 12])
@pytest.mark.parametrize("kind", ["<u2", "<i2", "u1"])
def test_monochrome1_and_rescale_are_applied_as_pydicom_does(tmp_path, kind, stored, slope):
    pixels = (PIXELS % 120 if kind == "u1" else PIXELS % 2000).astype(kind)
    stored = min(stored, 8 * pixels.dtype.itemsize)
    one = dataset(
        pixels,
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=stored,
        HighBit=stored - 1,
        RescaleSlope=slope,
        RescaleIntercept="3.5",
    )
    folder = save(tmp_path / "s", one)

    volume, _ = read_volume(folder)

    one = pydicom.dcmread(folder / "0.dcm")
    expected = apply_rescale(one.pixel_array, one).astype(np.float32)
    np.testing.assert_allclose(volume[:, :, 0].T, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_a_slice_that_lacks_pixels_is_refused_with_what_is_there(tmp_path, syntax, undefined):
    folder = save(
        tmp_path / "s",
        dataset(),
        dataset(k=1, syntax=syntax, PixelData=bytes(80)),
        undefined=undefined,
    )

    with pytest.raises(InputError, match=r"1.dcm: holds 80 bytes of pixel data, .* need 160"):
        read_geometry(folder)


def test_a_file_that_ends_within_its_pixels_is_refused(tmp_path):
    folder = save(tmp_path / "s", dataset())
    whole = (folder / "0.dcm").read_bytes()
    (folder / "0.dcm").write_bytes(whole[:-60])

    with pytest.raises(InputError, match="holds 100 bytes of pixel data"):
        read_geometry(folder)


def test_compressed_pixels_are_not_taken_for_short(tmp_path):
    one = dataset()
    one.compress(RLELossless)

    volume, _ = read_volume(save(tmp_path / "s", one))

    np.testing.assert_array_equal(volume[:, :, 0].T, PIXELS.astype(float) - 1024)


def table(one):
    lookup = Dataset()
    lookup.add_new(0x00283002, "US", [4096, 0, 16])
    lookup.add_new(0x00283006, "OW", np.arange(4096, dtype="<u2").tobytes())
    one.ModalityLUTSequence = [lookup]
    return one


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: table(dataset()), "Modality LUT Sequence, which is not applied"),
        (lambda: dataset(RescaleSlope="0"), "RescaleSlope is 0"),
        (
            lambda: dataset(kind=EnhancedCTImageStorage),
            "has 1 frames of 1 values a pixel and describes 0",
        ),
        (lambda: dataset(kind=RTStructureSetStorage, PixelData=None), "an RT Structure Set .cont"),
        (lambda: dataset(np.stack([PIXELS, PIXELS]), NumberOfFrames=2), "has 2 frames of 1 values"),
    ],
    ids=["table", "slope", "enhanced", "contours", "frames"],
)
def test_what_is_no_slice_is_refused_by_name(tmp_path, made, says):
    folder = save(tmp_path / "s", made())

    with pytest.raises(InputError, match=says):
        read_geometry(folder)


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([2, 3, 4], "run from 2 to 4: 1 slice may be missing"),
        ([1, 3, 5], "run from 1 to 5: 2 slices may be missing"),
        ([1, 2, 3], ""),
        ([0, 1, 2], ""),
        ([3, 2, 1], ""),
        ([1, 1, 1], "2 instance numbers of its 3 slices repeat others"),
    ],
)
def test_slices_that_the_numbers_miss_are_noted(tmp_path, numbers, says):
    slices = [dataset(k=k, InstanceNumber=str(n)) for k, n in enumerate(numbers)]

    found = inspect_volume(save(tmp_path / "s", *slices))

    assert [says in one.message and one.check for one in found] == ["series-incomplete"] * bool(
        says
    )


@settings(max_examples=200)
@given(place=st.integers(132, 900), value=st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, place, value):
    """Any few bytes of the file."""
    buffer = io.BytesIO()
    dataset().save_as(buffer, enforce_file_format=True)
    data = bytearray(buffer.getvalue())
    place %= len(data)
    data[place : place + len(value)] = value
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "0.dcm").write_bytes(bytes(data))
    try:
        volume, geometry = read_volume(folder)
    except InputError:
        return
    assert volume.shape == geometry.shape
