"""Every fault that breaks or spoils a training is found before it, and a sound dataset is not."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from crowdqc.config import Train
from tests.niftis import AFFINE, save
from train.dataset import DatasetPlan, TrainingCase, build_dataset
from train.preflight import preflight
from train.splits import make_splits

CASES = ("c1", "c2", "c3", "c4", "c5")
SETTINGS = Train()
FLIPPED = AFFINE @ np.diag([-1.0, 1.0, 1.0, 1.0])
MOVED = AFFINE + np.outer([10, 0, 0, 0], [0, 0, 0, 1])


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 5, 4))
    mask[0:2], mask[3:5] = 1, 2
    training = [
        TrainingCase(
            case=case,
            image=save(tmp_path / f"{case}.nii.gz", rng.integers(-100, 200, size=mask.shape)),
            mask=save(tmp_path / f"{case}-mask.nii.gz", mask),
        )
        for case in CASES
    ]
    plan = DatasetPlan(
        number=501, name="x", labels={"spleen": 1, "liver": 2}, training=training[:-1],
        test={"c5": training[-1].image},
    )  # fmt: skip
    built = build_dataset(tmp_path / "raw", plan).folder
    (built / "splits_final.json").write_text(json.dumps(make_splits(CASES[:-1], folds=2)))
    return built


def image(folder, case="c2"):
    return folder / "imagesTr" / f"{case}_0000.nii.gz"


def mask(folder, case="c2"):
    return folder / "labelsTr" / f"{case}.nii.gz"


def voxels(path):
    return np.asarray(nib.load(path).dataobj).copy()


def describe(folder, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes))


def split(folder, change):
    path = folder / "splits_final.json"
    splits = json.loads(path.read_text(encoding="utf-8"))
    change(splits)
    path.write_text(json.dumps(splits))


def sheared():
    affine = AFFINE.copy()
    affine[0, 1] = 0.2
    return affine


def both(folder, **how):
    save(image(folder), voxels(image(folder)), **how)
    save(mask(folder), voxels(mask(folder)), **how)


def without_codes(folder):
    whole = nib.load(image(folder))
    header = whole.header.copy()
    header["qform_code"] = header["sform_code"] = 0
    nib.save(nib.Nifti1Image(np.asarray(whole.dataobj), None, header), image(folder))
    save(mask(folder), voxels(mask(folder)), affine=nib.load(image(folder)).affine)


def everywhere(folder, value, other):
    for case in CASES[:-1]:
        labels = voxels(mask(folder, case))
        save(mask(folder, case), np.where(labels == value, other, labels))


def image_to_test(folder):
    return folder / "imagesTs" / "c5_0000.nii.gz"


def only_validated(folder):
    """Only the two cases on which fold 0 validates keep the label 2."""
    validated = json.loads((folder / "splits_final.json").read_text(encoding="utf-8"))[0]["val"]
    for case in CASES[:-1]:
        if case not in validated:
            labels = voxels(mask(folder, case))
            save(mask(folder, case), np.where(labels == 2, 1, labels))


FAULTS = {
    "shape": ("geometry", lambda f: save(mask(f), voxels(mask(f))[:-1])),
    "origin off by 10 mm": (
        "geometry", lambda f: save(mask(f), voxels(mask(f)), affine=MOVED),
    ),
    "direction flipped": (
        "geometry", lambda f: save(mask(f), voxels(mask(f)), affine=FLIPPED),
    ),
    "sheared": ("sheared", lambda f: both(f, affine=sheared())),
    "no orientation": ("no-orientation", without_codes),
    "undeclared label": ("undeclared-label", lambda f: save(mask(f), voxels(mask(f)) * 2)),
    "label nan": (
        "unreadable", lambda f: save(mask(f), voxels(mask(f)) * np.nan, dtype=np.float32),
    ),
    "label 0.5": (
        "unreadable", lambda f: save(mask(f), voxels(mask(f)) / 2, dtype=np.float32),
    ),
    "image inf": (
        "unreadable", lambda f: save(image(f), voxels(image(f)) * np.inf, dtype=np.float32),
    ),
    "empty mask": ("empty-mask", lambda f: save(mask(f), voxels(mask(f)) * 0)),
    "label in no case": ("absent-label", lambda f: everywhere(f, 2, 0)),
    "label in one case": (
        "rare-label",
        lambda f: (everywhere(f, 2, 0), save(mask(f), np.where(voxels(mask(f)) == 1, 2, 0)))[1],
    ),
    "constant image": ("constant-image", lambda f: save(image(f), voxels(image(f)) * 0)),
    "cut label": ("unreadable", lambda f: mask(f).write_bytes(mask(f).read_bytes()[:-12])),
    "cut image": ("unreadable", lambda f: image(f).write_bytes(image(f).read_bytes()[:-12])),
    "label without an image": ("files", lambda f: image(f).unlink()),
    "image without a label": ("files", lambda f: mask(f).unlink()),
    "one image twice": ("same-image", lambda f: shutil.copy(image(f, "c1"), image(f))),
    "a test image in training": (
        "same-image", lambda f: shutil.copy(f / "imagesTs" / "c5_0000.nii.gz", image(f)),
    ),
    "a test image cut": (
        "unreadable", lambda f: image_to_test(f).write_bytes(image_to_test(f).read_bytes()[:-12]),
    ),
    "a test image with nan": (
        "unreadable",
        lambda f: save(image_to_test(f), voxels(image_to_test(f)) * np.nan, dtype=np.float32),
    ),
    "a test image sheared": (
        "sheared", lambda f: save(image_to_test(f), voxels(image_to_test(f)), affine=sheared()),
    ),
    "label that one fold validates only": ("label-not-trained", only_validated),
    "no description": ("description", lambda f: (f / "dataset.json").unlink()),
    "half a description": ("description", lambda f: (f / "dataset.json").write_text("{}")),
    "labels with a gap": (
        "labels", lambda f: describe(f, labels={"background": 0, "a": 1, "b": 3}),
    ),
    "no background": ("labels", lambda f: describe(f, labels={"a": 1, "b": 2})),
    "ignore not last": (
        "labels", lambda f: describe(f, labels={"background": 0, "ignore": 1, "b": 2}),
    ),
    "wrong count": ("files", lambda f: describe(f, numTraining=9)),
    "few cases": ("few-cases", lambda f: (f / "splits_final.json").unlink()),
    "split of strangers": ("splits", lambda f: split(f, lambda s: s[0]["val"].append("c9"))),
    "split without training": ("splits", lambda f: split(f, lambda s: s[0]["train"].clear())),
    "split that leaks": ("leak", lambda f: split(f, lambda s: s[0]["val"].extend(s[0]["train"]))),
    "splits that are none": ("splits", lambda f: (f / "splits_final.json").write_text("[3]")),
}  # fmt: skip


def test_a_sound_dataset_has_nothing_but_estimates(folder):
    findings = preflight(folder, settings=SETTINGS)

    assert [(f.check, f.severity) for f in findings] == [
        ("preflight-estimate-disk", "note"),
        ("preflight-estimate-memory", "note"),
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(folder, fault):
    check, spoil = FAULTS[fault]
    spoil(folder)

    findings = [f for f in preflight(folder, settings=SETTINGS) if f.severity != "note"]

    assert f"preflight-{check}" in [f.check for f in findings]
    expected = (
        "review" if check in {"rare-label", "no-orientation", "label-not-trained"} else "reject"
    )
    assert {f.severity for f in findings if f.check == f"preflight-{check}"} == {expected}


@pytest.mark.parametrize(("value", "check"), [(3, "all-ignored"), (0, "empty-mask")])
def test_a_case_that_is_all_ignored_is_found(folder, value, check):
    describe(folder, labels={"background": 0, "spleen": 1, "liver": 2, "ignore": 3})
    labels = voxels(mask(folder)) * 0 + value
    labels[0] = 3
    save(mask(folder), labels)

    found = [f.check for f in preflight(folder, settings=SETTINGS) if f.severity == "reject"]

    assert found == [f"preflight-{check}"]


def test_a_patient_in_two_folds_is_found(folder):
    findings = preflight(folder, settings=SETTINGS, patient="^(c)")

    assert {f.check for f in findings if f.severity == "reject"} == {"preflight-leak"}


def test_what_does_not_fit_this_machine_is_told(folder, monkeypatch):
    usage = shutil._ntuple_diskusage(10**6, 10**6, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    disk = preflight(folder, settings=SETTINGS)[0]

    # Two folds of three checkpoints of 250 MB.
    assert (disk.check, disk.severity) == ("preflight-too-little-disk", "review")
    assert disk.value == pytest.approx(1.5, abs=0.01)
