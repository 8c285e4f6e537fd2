"""Studies that were annotated on coronal or sagittal slices, and studies of DICOM series."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crowdqc.volumes import write_labels, write_volume
from tests.commands import call
from tests.crowdqc.dicoms import write_series

STUDY = """
[study]
name = "planes"
[labels]
0 = {{ name = "liver", value = 1, side = "right" }}
1 = {{ name = "spleen", value = 2, side = "left" }}
[images]
path = "{path}"
plane = "{plane}"
picture = "transverse"
window = {{ level = 50, width = 300 }}
[truth]
path = "truth/{{case}}.nii.gz"
[simulate]
raters.steady = {{ noise = 0.3 }}
raters.careful = {{ noise = 0.3 }}
raters.lazy = {{ noise = 0.3, stop = 0.4 }}
[masks]
prompts = 2
smooth_mm = 1.0
remove_islands = true
fill_holes = true
reprompt = true
"""
SHAPE, SPACING = (26, 22, 18), (2.0, 3.0, 4.0)
"""Left, back, head: voxels and their size in mm."""


def write_case(folder, name, shift):
    """A patient of two organs as a DICOM series, stored from right to left and front to back."""
    i, j, k = np.indices(SHAPE)

    def ellipsoid(centre, radii):
        steps = zip((i, j, k), centre, radii, strict=True)
        return sum(((axis - c) / r) ** 2 for axis, c, r in steps) <= 1

    labels = np.zeros(SHAPE, np.uint8)
    labels[ellipsoid((7 + shift, 11, 9), (5, 7, 7))] = 1
    labels[ellipsoid((20, 12, 8 + shift), (4, 5, 5))] = 2
    noise = np.random.default_rng(shift).normal(0, 4, SHAPE)
    values = np.rint(np.choose(labels, [-60, 110, 60]) + noise).astype(np.int16)
    write_series(folder / "dicom" / name, values, spacing=SPACING)
    (folder / "truth").mkdir(exist_ok=True)
    write_labels(folder / "truth" / f"{name}.nii.gz", labels, like=folder / "dicom" / name)


@pytest.fixture
def folder(tmp_path):
    for shift, name in enumerate("ab"):
        write_case(tmp_path, name, shift)
    return tmp_path


@pytest.mark.parametrize(
    ("plane", "slices", "size", "spacing"),
    [
        ("coronal", 22, (18, 26), (2.0, 4.0, 3.0)),
        ("sagittal", 26, (18, 22), (3.0, 4.0, 2.0)),
    ],
)
def test_other_planes_of_a_dicom_series(folder, plane, slices, size, spacing):
    study, out = folder / "study.toml", folder / "out"
    study.write_text(STUDY.format(path="dicom/{case}/", plane=plane))

    result = call("run", study)

    assert result.exit_code in {0, 3}, result.stderr
    images = pd.read_csv(out / "images.csv")
    assert len(images) == 2 * slices
    kinds = images[["height", "width", "spacing_x", "spacing_y", "spacing_z"]].drop_duplicates()
    assert kinds.to_numpy().tolist() == [[*size, *spacing]]
    scores = pd.read_csv(out / "scores.csv")
    volumes = scores[scores["slice"].isna() & (scores["set"] == "unfiltered")]
    assert volumes["dice"].min() > 0.85
    assert scores["slice"].max() < slices
    findings = (out / "complete.findings.jsonl").read_text(encoding="utf-8")
    assert "wrong-side" not in findings
    assert "labels-swapped" not in findings
    truth = nib.load(folder / "truth" / "a.nii.gz")
    for path in [
        out / "masks" / "unfiltered" / "a.nii.gz",
        *sorted((out / "nnUNet_raw").glob("*unfiltered/*/a*.nii.gz")),
    ]:
        np.testing.assert_allclose(nib.load(path).affine, truth.affine, atol=1e-5)
        assert nib.load(path).shape == SHAPE
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "data:image" in text
    assert "cannot be read" not in text


def test_a_study_of_dicom_is_that_of_its_nifti(folder):
    (folder / "nifti").mkdir()
    for name in "ab":
        write_volume(folder / "nifti" / f"{name}.nii.gz", folder / "dicom" / name)
    for name, path in (("d", "dicom/{case}/"), ("n", "nifti/{case}.nii.gz")):
        (folder / f"{name}.toml").write_text(STUDY.format(path=path, plane="coronal"))
        assert call("evaluate", folder / f"{name}.toml", "--out", folder / name).exit_code == 0

    for name in ("masks.csv", "scores.csv", "completeness.csv"):
        assert (folder / "d" / name).read_bytes() == (folder / "n" / name).read_bytes()
    for path in (folder / "d" / "masks").rglob("*.nii.gz"):
        other = folder / "n" / path.relative_to(folder / "d")
        assert path.read_bytes() == other.read_bytes()


def test_a_changed_dicom_file_makes_masks_anew(folder):
    study = folder / "study.toml"
    study.write_text(STUDY.format(path="dicom/{case}/", plane="axial"))
    assert call("masks", study).exit_code == 0
    before = (folder / "out" / "masks" / "unfiltered" / "a.json").read_text(encoding="utf-8")

    write_case(folder, "a", 1)
    result = call("masks", study)

    assert result.exit_code == 0
    assert "crowdqc check ..." in result.stderr
    assert (folder / "out" / "masks" / "unfiltered" / "a.json").read_text(
        encoding="utf-8"
    ) != before


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("dicom/{case}", "end the path with '/'"),
        ("other/{case}/", "other: there is no such folder"),
        ("dicom/", "holds 2 series"),
    ],
)
def test_check_says_what_is_wrong_with_a_path(folder, path, says):
    write_series(folder / "dicom" / "b", np.zeros((3, 3, 2), np.int16), uid="1.2.3.9")
    (folder / "study.toml").write_text(STUDY.format(path=path, plane="axial"))

    result = call("check", folder / "study.toml")

    assert result.exit_code == 2
    assert says in result.stderr


def test_check_refuses_a_series_with_a_slice_missing(folder):
    (folder / "dicom" / "b" / "009.dcm").unlink()
    (folder / "study.toml").write_text(STUDY.format(path="dicom/{case}/", plane="axial"))

    result = call("check", folder / "study.toml")

    assert result.exit_code == 2
    assert "8 mm apart, where most slices are 4 mm apart; 1 slice may be missing" in result.stderr


POLICY = """
[[rules]]
scope = "case"
measure = "n_slices"
op = ">"
limit = 0
severity = "reject"
because = "nothing may be used"
"""


def test_a_study_of_which_the_gate_lets_nothing_through_has_unfiltered_masks_only(folder):
    study, out = folder / "study.toml", folder / "out"
    text = STUDY.format(path="dicom/{case}/", plane="axial")
    study.write_text(text + '[gate]\npolicy = "policy.toml"\n')
    (folder / "policy.toml").write_text(POLICY)

    result = call("masks", study)

    assert result.exit_code == 0
    assert "0 masks of 0 cases" in result.stderr
    assert [path.name for path in (out / "masks" / "unfiltered").glob("?.nii.gz")]
