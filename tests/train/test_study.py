"""Which cases and masks the manifest puts into each dataset of a study."""

import dataclasses
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crowdqc.config import load_config
from crowdqc.findings import InputError
from tests.niftis import save
from train.study import Sources, build_datasets

CASES = [f"c{number}" for number in range(1, 8)]
STUDY = """
[study]
name = "trial"
[labels]
0 = {{ name = "spleen", value = 1 }}
5 = {{ name = "liver", value = 5 }}
[annotations]
format = "yolo"
path = "boxes/{{rater}}/{{case}}-slice{{slice}}.txt"
[truth]
path = "t/{{case}}.nii.gz"
values = {{ spleen = 2 }}
[dataset]
test = ["c7"]
folds = 3
{more}
"""


def config_of(folder, more='sets = ["unfiltered", "filtered", "ignore", "truth"]'):
    (folder / "study.toml").write_text(STUDY.format(more=more))
    return load_config(folder / "study.toml")


def because(text, **where):
    return {"measure": "x", "because": text, "where": where}


def manifest_of():
    """c1 has a rejected liver, c2 is rejected whole, c3 has one rejected box."""
    record = {"verdict": "accept", "reasons": []}
    cases = [
        {"case": c, **record, "labels": {"spleen": dict(record), "liver": dict(record)}}
        for c in CASES
    ]
    cases[0]["verdict"] = "reject"
    cases[0]["labels"]["liver"] = {
        "verdict": "reject",
        "reasons": [because("3 gaps", label="liver")],
    }
    cases[1].update(verdict="reject", reasons=[because("nobody agrees")])
    prompts = [
        {"case": c, "slice": k, "label": label}
        for c in CASES
        for label in ("spleen", "liver")
        for k in (1, 2, 3)
    ]
    rejected = ("c3", 2, "spleen")
    prompts = [p for p in prompts if (p["case"], p["slice"], p["label"]) != rejected]
    return {"cases": cases, "prompts": prompts}


@pytest.fixture
def sources(tmp_path):
    mask = np.zeros((6, 6, 5))
    mask[0:2, :, 1:4], mask[4:6, :, 1:4] = 1, 5
    accepted = {c: mask.copy() for c in CASES}
    accepted["c3"][0:2, :, 2] = 0
    accepted["c1"][4:6] = 0
    truth = np.where(mask == 1, 2, mask)
    truth[3, 3, 3] = 117  # an organ that the study does not ask for
    return Sources(
        images={c: save(tmp_path / "i" / f"{c}.nii.gz", mask * 9) for c in CASES},
        masks={c: save(tmp_path / "m" / f"{c}.nii.gz", accepted[c]) for c in CASES},
        unfiltered={c: save(tmp_path / "u" / f"{c}.nii.gz", mask) for c in CASES},
        truth={c: save(tmp_path / "t" / f"{c}.nii.gz", truth) for c in CASES},
        manifest=manifest_of(),
    )


def label(raw, dataset, case):
    return np.asarray(nib.load(raw / dataset / "labelsTr" / f"{case}.nii.gz").dataobj)


def test_each_set_has_the_cases_that_it_should(tmp_path, sources):
    table, findings = build_datasets(config_of(tmp_path), sources, raw=tmp_path / "raw")

    table = table.set_index("set")
    assert findings == []
    assert table["dataset"].tolist() == [
        "Dataset501_trial-unfiltered",
        "Dataset502_trial-filtered",
        "Dataset503_trial-ignore",
        "Dataset504_trial-truth",
    ]
    assert table["n_training"].to_dict() == {
        "unfiltered": 6, "filtered": 4, "ignore": 5, "truth": 6,
    }  # fmt: skip
    assert table["left_out"].to_dict() == {
        "unfiltered": "", "filtered": "c1 c2", "ignore": "c2", "truth": "",
    }  # fmt: skip
    filtered = json.loads(
        (tmp_path / "raw/Dataset502_trial-filtered/dataset.json").read_text(encoding="utf-8")
    )
    assert filtered["crowdqc"]["left_out"] == {"c1": "liver: 3 gaps", "c2": "nobody agrees"}


def test_a_dataset_names_the_licences_of_the_weights_behind_its_masks(tmp_path, sources):
    manifest = sources.manifest | {"licences": ["CC-BY-SA-4.0"]}
    named = dataclasses.replace(sources, manifest=manifest)

    build_datasets(config_of(tmp_path), named, raw=tmp_path / "raw")

    found = {
        path.parent.name.rpartition("-")[2]: json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "raw").glob("*/dataset.json")
    }
    licences = {name: one["crowdqc"]["licences"] for name, one in found.items()}
    drawn = {name: ["CC-BY-SA-4.0"] for name in ("unfiltered", "filtered", "ignore")}
    assert licences == {**drawn, "truth": []}


def test_the_masks_of_each_set_hold_what_it_knows(tmp_path, sources):
    raw = tmp_path / "raw"
    build_datasets(config_of(tmp_path), sources, raw=raw)

    everything = label(raw, "Dataset501_trial-unfiltered", "c3")
    assert set(np.unique(everything)) == {0, 1, 2}
    accepted = label(raw, "Dataset502_trial-filtered", "c3")
    assert (accepted[..., 2] != 1).all()
    assert (accepted[..., [1, 3]] == everything[..., [1, 3]]).all()
    ignored = label(raw, "Dataset503_trial-ignore", "c3")
    assert set(np.unique(ignored[..., 2])) == {2, 3}  # the liver is known, the rest is not
    assert (ignored[..., [0, 1, 3, 4]] == everything[..., [0, 1, 3, 4]]).all()
    no_liver = label(raw, "Dataset503_trial-ignore", "c1")
    assert set(np.unique(no_liver)) == {1, 3}  # it may hide anywhere in the background
    truth = label(raw, "Dataset504_trial-truth", "c3")
    assert (truth == everything).all()


def test_a_gap_between_drawn_slices_is_not_known_in_the_ignore_set(tmp_path, sources):
    sources.manifest["prompts"][:] = [
        p for p in sources.manifest["prompts"] if (p["slice"], p["label"]) != (2, "liver")
    ]

    build_datasets(config_of(tmp_path), sources, raw=tmp_path / "raw")

    ignored = label(tmp_path / "raw", "Dataset503_trial-ignore", "c4")
    assert set(np.unique(ignored[..., 2])) == {1, 3}
    assert (ignored[..., [0, 4]] == 0).all()


def test_a_slice_that_nobody_read_is_not_known_in_the_ignore_set(tmp_path, sources):
    rows = [(c, k, "ann", "", "boxed") for c in CASES for k in range(5)]
    rows[5 * CASES.index("c4") + 4] = ("c4", 4, "ann", "", "opened")
    rows[5 * CASES.index("c5") + 4] = ("c5", 4, "ann", "liver", "reviewed_empty")
    readings = pd.DataFrame(rows, columns=["case", "slice", "rater", "labels", "state"])
    read = dataclasses.replace(sources, readings=readings)

    build_datasets(config_of(tmp_path), read, raw=tmp_path / "raw")

    for case in ("c4", "c5"):  # nobody looked at all; nobody looked for the spleen
        labels = label(tmp_path / "raw", "Dataset503_trial-ignore", case)
        assert (labels[..., 4] == 3).all()
        assert (labels[..., 0] == 0).all()
    labels = label(tmp_path / "raw", "Dataset503_trial-ignore", "c6")
    assert (labels[..., 4] == 0).all()


def test_a_slice_read_by_a_rejected_rater_only_is_not_known_in_the_ignore_set(tmp_path, sources):
    rows = [(c, k, rater, "", "boxed") for c in CASES for k in range(5) for rater in ("ann", "bob")]
    readings = pd.DataFrame(rows, columns=["case", "slice", "rater", "labels", "state"])
    ann_left_out = (readings["rater"] == "ann") & (readings["case"] == "c4")
    readings = readings[~(ann_left_out & (readings["slice"] == 4))]
    sources.manifest["raters"] = [
        {"rater": "ann", "verdict": "review"},
        {"rater": "bob", "verdict": "reject"},
    ]

    build_datasets(
        config_of(tmp_path),
        dataclasses.replace(sources, readings=readings),
        raw=tmp_path / "raw",
    )

    labels = label(tmp_path / "raw", "Dataset503_trial-ignore", "c4")
    assert (labels[..., 4] == 3).all()
    assert (labels[..., 0] == 0).all()


@pytest.mark.parametrize(
    ("scope", "left"),
    [("mask", {2, 3}), ("box", {2, 3}), ("slice", {3})],
)
def test_what_is_rejected_by_itself_is_not_known_in_the_ignore_set(tmp_path, sources, scope, left):
    unit = {"case": "c4", "slice": 2, "label": "spleen", "reasons": ""}
    sources.manifest["units"] = {
        scope: [{**unit, "verdict": "reject"}, {**unit, "slice": 1, "verdict": "review"}]
    }

    build_datasets(config_of(tmp_path), sources, raw=tmp_path / "raw")

    labels = label(tmp_path / "raw", "Dataset503_trial-ignore", "c4")
    assert set(np.unique(labels[..., 2])) == left
    assert 3 not in labels[..., [0, 1, 3, 4]]


def test_splits_are_the_same_in_every_dataset(tmp_path, sources):
    raw = tmp_path / "raw"
    build_datasets(config_of(tmp_path), sources, raw=raw)

    whole, part = (
        json.loads((raw / name / "splits_final.json").read_text(encoding="utf-8"))
        for name in ("Dataset501_trial-unfiltered", "Dataset503_trial-ignore")
    )
    assert len(whole) == 3
    assert "c7" not in [case for split in whole for side in split.values() for case in side]
    for a, b in zip(whole, part, strict=True):
        assert b["val"] == [case for case in a["val"] if case != "c2"]


def test_folds_that_cannot_be_had_are_told(tmp_path, sources):
    sources.manifest["cases"][2]["verdict"] = "reject"
    sources.manifest["cases"][3]["verdict"] = "reject"
    config = config_of(tmp_path, more='sets = ["filtered", "unfiltered"]')
    config = config.model_copy(update={"dataset": config.dataset.model_copy(update={"folds": 5})})

    _, findings = build_datasets(config, sources, raw=tmp_path / "raw")

    assert [f.check for f in findings] == ["dataset-splits", "dataset-few-folds"]
    splits = json.loads(
        (tmp_path / "raw/Dataset502_trial-filtered/splits_final.json").read_text(encoding="utf-8")
    )
    assert len(splits) == 2


def test_a_patient_on_both_sides_is_refused(tmp_path, sources):
    config = config_of(tmp_path, more="patient = '^(c)'")

    with pytest.raises(InputError, match="1 patients are in training and in test"):
        build_datasets(config, sources, raw=tmp_path / "raw")


def test_a_test_case_without_an_image_is_refused(tmp_path, sources):
    images = {case: path for case, path in sources.images.items() if case != "c7"}
    fewer = dataclasses.replace(sources, images=images)

    with pytest.raises(InputError, match="no image of case 'c7'"):
        build_datasets(config_of(tmp_path, more=""), fewer, raw=tmp_path / "raw")
