"""Volumes and expert masks that do not fit, as a user meets them."""

import json
import zlib

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from crowdqc.volumes import read_labels
from tests.commands import call
from tests.crowdqc.dicoms import write_series
from tests.crowdqc.volumes.test_headers import put, written
from tests.studies import TABLE, write_boxes

STUDY = (
    TABLE
    + """[masks]
model = "intensity"
[images]
path = "images/{case}.nii"
picture = "identity"
window = { level = 40, width = 400 }
"""
)
TRUTH = STUDY + '[truth]\npath = "truth/{case}.nii"\n'
ORGAN = np.zeros((48, 40, 6), bool)
ORGAN[15:33, 12:28, 1:5] = True
AFFINE = np.diag([1.5, 1.5, 3, 1])


@pytest.fixture
def study(tmp_path):
    """Writes a study of cases; `truth` gives the affine and the value of each case's mask."""

    def write(text=STUDY, *, cases=("c0",), truth=None, volume=None):
        volume = np.where(ORGAN, 120, -50).astype("<i2") if volume is None else volume
        for folder in ("images", "truth"):
            (tmp_path / folder).mkdir()
        rows = []
        for case in cases:
            nib.save(nib.Nifti1Image(volume, AFFINE), tmp_path / "images" / f"{case}.nii")
            rows += [(case, k, r, "liver", 12, 15, 28, 33) for k in range(1, 5) for r in "abc"]
        for case, (affine, value) in (truth or {}).items():
            mask = nib.Nifti1Image((ORGAN * value).astype("u1"), affine)
            nib.save(mask, tmp_path / "truth" / f"{case}.nii")
        return write_boxes(tmp_path, rows, text)

    return write


def findings(study, name="findings.jsonl"):
    lines = (study.parent / "out" / name).read_text(encoding="utf-8").splitlines()
    return [(one["check"], one.get("case")) for one in map(json.loads, lines)]


def test_a_quaternion_that_is_no_rotation_beside_a_good_sform(study):
    file = study(cases=("c0", "c1"))
    for case, value in (("c0", 0.70711), ("c1", np.nan)):
        path = file.parent / "images" / f"{case}.nii"
        data = put(put(bytearray(path.read_bytes()), "quatern_b", value), "quatern_c", 0.70711)
        written(path, data)

    assert call("check", file).exit_code == 0
    result = call("masks", file)

    assert result.exit_code == 0, result.stderr
    for case in ("c0", "c1"):
        mask = nib.load(file.parent / "out" / "masks" / f"{case}.nii.gz")
        np.testing.assert_array_equal(mask.affine, AFFINE)
        np.testing.assert_array_equal(np.asanyarray(mask.dataobj), ORGAN)


def test_a_sform_and_pixdim_of_two_sizes_are_a_finding_to_review(study):
    file = study()
    path = file.parent / "images" / "c0.nii"
    written(path, put(bytearray(path.read_bytes()), "pixdim", [1, 0.8658, 0.8658, 0.796]))

    result = call("check", file, "--verbose")

    assert findings(file) == [("volume-spacing", "c0")]
    assert "1.5 x 1.5 x 3 mm" in result.stderr
    assert "0.8658 x 0.8658 x 0.796 mm" in result.stderr


def test_that_a_truth_lies_elsewhere_is_told_before_and_with_the_score(study):
    mirrored, other = np.diag([-1.5, 1.5, 3, 1]), np.diag([1.6, 1.5, 3, 1])
    truth = {"c0": (mirrored, 1), "c1": (other, 1), "c2": (AFFINE, 1)}
    file = study(TRUTH, cases=("c0", "c1", "c2"), truth=truth)

    assert call("check", file).exit_code == 0
    assert findings(file) == [("truth-geometry", "c0"), ("truth-geometry", "c1")]
    result = call("evaluate", file)

    assert result.exit_code == 0
    assert "filtered 1.000 (1 of 3 cases)" in result.stderr
    assert "c0: " in result.stderr
    assert "affine matrices differ by 3" in result.stderr
    assert "c1: " in result.stderr


@pytest.mark.parametrize(
    ("truth", "text", "says"),
    [
        ({"c0": (AFFINE, 255)}, TRUTH, "holds the values [255] and none of liver = 1"),
        ({"c0": (np.diag([2, 1, 1, 1]), 1)}, TRUTH, "affine matrices differ"),
    ],
)
def test_where_nothing_can_be_scored_evaluate_says_no(study, truth, text, says):
    file = study(text, truth=truth)

    result = call("evaluate", file)

    assert result.exit_code == 3
    assert "filtered none (0 of 1 cases)" in result.stderr
    assert says in result.stderr
    assert len(pd.read_csv(file.parent / "out" / "scores.csv")) == 0


def test_values_of_a_truth_that_the_labels_lack_are_a_finding_and_no_score_of_0(study):
    file = study(TRUTH, truth={"c0": (AFFINE, 255)})

    result = call("check", file, "--verbose")

    assert findings(file) == [("truth-values", "c0")]
    assert "[truth] values" in result.stderr
    file.write_text(TRUTH + "values = { liver = 255 }\n")
    assert call("check", file).exit_code == 0
    assert findings(file) == []
    assert "filtered 1.000, unfiltered 1.000" in call("evaluate", file).stderr


def test_a_truth_that_cannot_be_read_is_told_and_the_others_are_scored(study):
    file = study(TRUTH, cases=("c0", "c1"), truth=dict.fromkeys(("c0", "c1"), (AFFINE, 1)))
    (file.parent / "truth" / "c0.nii").write_bytes(b"junk")

    assert call("check", file).exit_code == 0
    assert findings(file) == [("truth-unreadable", "c0")]
    result = call("evaluate", file)

    assert result.exit_code == 0
    assert "filtered 1.000 (1 of 2 cases)" in result.stderr


def test_a_truth_without_files_is_a_finding(study):
    file = study(TRUTH)

    assert call("check", file).exit_code == 0
    assert findings(file) == [("truth-missing", None)]


def test_truth_of_other_names_is_a_finding_with_one_of_each(study):
    file = study(TRUTH, truth={"c0_gt": (AFFINE, 1)})

    result = call("check", file, "--verbose")

    assert findings(file) == [("truth-missing", None)]
    assert "'truth/{case}.nii' names c0_gt, 'images/{case}.nii' c0" in result.stderr


def test_colours_are_refused_by_check(study):
    file = study(volume=np.zeros((48, 40, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")]))

    result = call("check", file)

    assert result.exit_code == 2
    assert "voxels must be single numbers" in result.stderr


DATASET = STUDY + '[dataset]\nsets = ["unfiltered"]\n[train]\ndevice = "cpu"\n'


@pytest.mark.parametrize(
    ("words", "code"),
    [(("dataset",), 2), (("train",), 2), (("train", "--print"), 2), (("train", "--check"), 3)],
)
def test_one_case_cannot_be_cross_validated_and_every_command_says_so(study, words, code):
    name, *options = words
    result = call(name, study(DATASET), *options)

    assert result.exit_code == code, result.stderr
    assert "cannot be cross-validated" in " ".join((result.stderr + result.stdout).split())


def test_a_study_of_one_case_still_runs_to_its_report(study):
    file = study(DATASET)

    result = call("run", file)

    assert result.exit_code == 0
    assert "crowdqc dataset is left out: the study has 1 case to train on" in result.stderr
    assert (file.parent / "out" / "report.html").is_file()


def test_a_dataset_of_two_cases_says_that_it_has_two_folds(study):
    file = study(DATASET, cases=("c0", "c1"))

    result = call("dataset", file, "--verbose")

    assert result.exit_code == 0
    assert "has 2 folds instead of 5" in result.stderr
    splits = next(file.parent.glob("out/nnUNet_raw/*/splits_final.json"))
    splits.write_text("[]")
    checked = call("train", file, "--check")
    assert checked.exit_code == 3
    assert "cannot be cross-validated" in " ".join((checked.stderr + checked.stdout).split())
    result = call("train", file)
    assert result.exit_code == 2
    assert "what 'crowdqc dataset' wrote. Run that again" in result.stderr


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_has_the_size_in_which_it_is_shown(tmp_path, ending, orientation):
    picture = Image.new("L", (200, 100))
    exif = Image.Exif()
    exif[274] = orientation
    picture.save(tmp_path / f"img.{ending}", exif=exif)
    (tmp_path / "img.txt").write_text("0 0.5 0.5 0.4 0.2\n")
    (tmp_path / "study.toml").write_text(
        '[study]\nname = "s"\n[labels]\n0 = { name = "liver", value = 1 }\n[annotations]\n'
        'format = "yolo"\npath = "{case}.txt"\nrater = "a"\n[images]\npath = "{case}.'
        + ending
        + '"\n'
    )

    result = call("check", tmp_path / "study.toml")

    assert result.exit_code == 0, result.stderr
    row = pd.read_csv(tmp_path / "out" / "images.csv").iloc[0]
    shown = ImageOps.exif_transpose(Image.open(tmp_path / f"img.{ending}"))
    assert (row["width"], row["height"]) == shown.size
    box = pd.read_csv(tmp_path / "out" / "boxes.csv").iloc[0]
    assert box["x1"] - box["x0"] == pytest.approx(0.4 * shown.width)


@pytest.mark.parametrize("ending", ["tif", "gif"])
def test_several_pictures_in_one_file_are_refused(tmp_path, ending):
    pictures = [Image.fromarray(np.full((100, 200), k, "u1")) for k in (9, 90, 200)]
    pictures[0].save(tmp_path / f"img.{ending}", save_all=True, append_images=pictures[1:])
    (tmp_path / "img.txt").write_text("0 0.5 0.5 0.4 0.2\n")
    assert call("init", tmp_path).exit_code == 0

    result = call("check", tmp_path / "study.toml")

    assert result.exit_code == 2
    assert f"img.{ending}: holds 3 pictures, and a slice is one." in result.stderr


@pytest.mark.parametrize(
    ("shape", "limits", "says"),
    [
        ((512, 512, 1024), "", "has more than 67108864 voxels. Where that is right, set [limits]"),
        ((512, 512, 1024), "[limits]\nvoxels = 300_000_000\n", ""),
        ((2, 2, 30_000), "", "has more than 20000 slices"),
        ((2, 2, 30_000), "[limits]\nslices = 30_000\n", ""),
    ],
)
def test_small_files_that_claim_large_volumes_are_within_limits_of_the_study(
    study, shape, limits, says
):
    """A packed volume of 2^28 voxels in 261 KB."""
    file = study(STUDY.replace(".nii", ".nii.gz") + limits)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_data_offset(352)
    whole = header.binaryblock + bytes(4)
    packed = zlib.compressobj(9, wbits=31)
    data = packed.compress(whole)
    for _ in range(0, int(np.prod(shape)), 2**20):
        data += packed.compress(bytes(2**20))
    (file.parent / "images" / "c0.nii.gz").write_bytes(data + packed.flush())

    result = call("check", file)

    assert says in result.stderr
    assert (result.exit_code == 2) == bool(says)


def test_where_the_window_leaves_one_grey_value_there_is_a_finding_and_no_mask(study):
    """An MR volume, all of it above the window of CT but for one corner."""
    rng = np.random.default_rng(0)
    volume = (np.where(ORGAN, 900, 600) + rng.integers(0, 50, ORGAN.shape)).astype("<i2")
    volume[:4, :4] = 0
    file = study(volume=volume)

    result = call("masks", file)

    assert result.exit_code == 0, result.stderr
    assert "liver has no mask on 4 slices of case c0: [images] window" in result.stderr
    assert findings(file, "masks.findings.jsonl") == [("mask-no-contrast", "c0")]
    assert not np.asanyarray(nib.load(file.parent / "out" / "masks" / "c0.nii.gz").dataobj).any()
    table = pd.read_csv(file.parent / "out" / "masks.csv")
    assert (table["area_px"] == 0).all()
    assert (table["risk"] > 0.999).all()
    assert "no_contrast" not in table
    file.write_text(STUDY.replace("{ level = 40, width = 400 }", "{ percentiles = [0.5, 99.5] }"))
    assert "no mask" not in call("masks", file).stderr
    assert pd.read_csv(file.parent / "out" / "masks.csv")["area_px"].min() > 200


@pytest.mark.parametrize("kind", ["uneven", "tilted", "many frames"])
def test_series_of_every_kind_from_boxes_to_masks_and_report(study, kind):
    file = study(STUDY.replace('images/{case}.nii"', 'dicom/{case}/"\nresample = true'))
    values = np.where(ORGAN, 120, -50).astype(np.int16)
    folder = file.parent / "dicom" / "c0"
    changes = {"skip": [2]} if kind == "uneven" else {"shear": (0, 1.5, 0)}
    write_series(
        folder, values, spacing=(1.5, 1.5, 3), **({} if kind == "many frames" else changes)
    )
    if kind == "many frames":
        one_file(folder)

    result = call("run", file)

    assert result.exit_code in {0, 3}, result.stderr
    assert (("series-resampled", "c0") in findings(file)) == (kind != "many frames")
    masks, geometry = read_labels(file.parent / "out" / "masks" / "c0.nii.gz")
    assert geometry.shape == (48, 45 if kind == "tilted" else 40, 6)
    assert masks[:, :, 2].sum() > 100
    assert (file.parent / "out" / "report.html").is_file()
    refused = call("check", write_text(file, file.read_text().replace("resample = true", "")))
    assert (refused.exit_code == 2) == (kind != "many frames")
    if kind != "many frames":
        assert "or set [images] resample = true" in refused.stderr


def write_text(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def one_file(folder):
    """Make one Enhanced image of a series."""
    pydicom, highdicom = pytest.importorskip("pydicom"), pytest.importorskip("highdicom")
    new = pydicom.uid.generate_uid
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    shared = {"StudyInstanceUID": new(), "FrameOfReferenceUID": new(), "PatientBirthDate": ""}
    shared |= {"StudyID": "", "ReferringPhysicianName": "", "Manufacturer": "", "PatientSex": ""}
    shared |= {"StudyDate": "", "StudyTime": "", "AccessionNumber": "", "PatientID": ""}
    for k, one in enumerate(slices):
        one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, new()
        one.InstanceNumber, one.ImageType = k + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        for name, value in shared.items():
            setattr(one, name, value)
    whole = highdicom.legacy.LegacyConvertedEnhancedCTImage(slices, new(), 2, new(), 1)
    for path in folder.iterdir():
        path.unlink()
    whole.save_as(folder / "whole.dcm")
