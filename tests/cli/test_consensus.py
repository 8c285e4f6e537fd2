"""The consensus back in the tool: every writer's format, scores for Label Studio, and pictures."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crowdqc.config import load_config
from crowdqc.formats.conversion import written_formats
from crowdqc.volumes import read_volume, to_grey, to_pictures
from tests.commands import call
from tests.studies import TINY, write_study

RATERS = ("ann", "bob", "cem")


def lines(rater, _, k):
    """Nothing on the first slice; then the spleen, and by `ann` the liver."""
    n = RATERS.index(rater)
    spleen = f"0 {0.5 + 0.01 * n} {0.5 + 0.01 * k * n} {0.2 + 0.02 * k} {0.2 + 0.01 * n}\n"
    return "" if not k else spleen + ("1 0.3 0.3 0.2 0.2\n" if n == 0 else "")


@pytest.fixture
def study(tmp_path):
    """Three raters on a volume; only one of them draws the liver."""
    text = TINY.replace("size = [100, 100]\n", "") + (
        '[images]\npath = "{case}.nii.gz"\npicture = "rot90"\n'
        "window = { level = 50, width = 100 }\n"
    )
    write_study(tmp_path, raters=RATERS, slices=4, text=text, lines=lines)
    values = np.random.default_rng(0).integers(0, 20, (100, 100, 6)).astype(np.int16)
    turned = np.rot90(values, axes=(0, 1))
    turned[40:60, 40:60], turned[20:40, 20:40] = 80, 70
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "1.nii.gz")
    return tmp_path / "study.toml"


def consensus(study):
    table = pd.read_csv(study.parent / "out" / "consensus.csv")
    return table[table["state"].isin(["agreed", "single"])].dropna(subset=["x0"])


@pytest.mark.parametrize("layout", [one for one in written_formats() if one != "labelstudio"])
def test_the_consensus_is_written_in_every_format_and_read_again(study, tmp_path, layout):
    folder = tmp_path / "there"

    result = call("convert", study, folder, "--to", layout, "--what", "consensus", "--pictures")

    assert result.exit_code == 0, result.output
    assert call("check", folder / "study.toml").exit_code == 0
    boxes = pd.read_csv(folder / "out" / "boxes.csv")
    fused = consensus(study)
    assert set(boxes["rater"]) == {"consensus"}
    key = ["slice", "label"]
    found = boxes.set_index(key)[["x0", "y0", "x1", "y1"]].sort_index()
    expected = fused.set_index(key)[["x0", "y0", "x1", "y1"]].sort_index()
    assert found.index.equals(expected.index)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_label_studio_gets_predictions_with_a_score_and_the_worst_is_lowest(study, tmp_path):
    folder = tmp_path / "there"

    call("convert", study, folder, "--to", "labelstudio", "--what", "consensus", "--pictures")

    tasks = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    fused = consensus(study).set_index(["slice", "label"])["expected_error"]
    predicted = [task for task in tasks if "predictions" in task]
    assert predicted
    for task in predicted:
        (prediction,) = task["predictions"]
        k = int(task["data"]["image"][-8:-4])
        assert prediction["model_version"].startswith("crowdqc ")
        scores = {}
        for one in prediction["result"]:
            label = one["value"]["rectanglelabels"][0]
            scores[label] = one["score"]
            assert one["score"] == pytest.approx(1 - fused[k, label])
        assert prediction["score"] == min(scores.values())
        assert task["data"]["image"].startswith("/data/local-files/?d=images/")


def test_the_label_studio_task_fits_the_documented_schema(study, tmp_path):
    """https://labelstud.io/guide/predictions: what a pre-annotated image task must hold."""
    folder = tmp_path / "there"
    call("convert", study, folder, "--to", "labelstudio", "--what", "consensus")

    for task in json.loads((folder / "annotations.json").read_text(encoding="utf-8")):
        for prediction in task.get("predictions", ()):
            assert isinstance(prediction["model_version"], str)
            assert 0 <= prediction["score"] <= 1
            for one in prediction["result"]:
                assert {"original_width", "original_height", "image_rotation", "value"} <= set(one)
                assert (one["from_name"], one["to_name"], one["type"]) == (
                    "label", "image", "rectanglelabels",
                )  # fmt: skip
                value = one["value"]
                assert all(0 <= value[key] <= 100 for key in ("x", "y", "width", "height"))


def test_scores_follow_the_risk_of_masks_where_there_are_some(study, tmp_path):
    text = study.read_text(encoding="utf-8") + '[masks]\nmodel = "intensity"\nprompts = 2\n'
    study.write_text(text)
    assert call("masks", study).exit_code == 0
    masks = pd.read_csv(study.parent / "out" / "masks.csv").set_index(["slice", "label"])["risk"]

    call("convert", study, tmp_path / "there", "--to", "coco", "--what", "consensus")

    data = json.loads(
        (tmp_path / "there/annotations/instances_default.json").read_text(encoding="utf-8")
    )
    names = {one["id"]: one["name"] for one in data["categories"]}
    slices = {one["id"]: int(one["file_name"][-8:-4]) for one in data["images"]}
    for one in data["annotations"]:
        place = slices[one["image_id"]], names[one["category_id"]]
        if place in masks.index:
            assert one["score"] == pytest.approx(1 - masks[place])


def test_pictures_of_volumes_are_those_that_raters_saw(study, tmp_path):
    folder = tmp_path / "there"

    result = call("convert", study, folder, "--to", "coco", "--pictures")

    assert result.exit_code == 0, result.output
    config = load_config(study)
    volume, _ = read_volume(study.parent / "1.nii.gz")
    seen = to_grey(to_pictures(volume, "rot90"), config.images.window)
    data = json.loads(
        (folder / "annotations" / "instances_default.json").read_text(encoding="utf-8")
    )
    for image in data["images"]:
        pixels = np.asarray(Image.open(folder / "images" / image["file_name"]))
        assert (pixels == seen[int(image["file_name"][-8:-4])]).all()
    assert call("check", folder / "study.toml").exit_code == 0


def test_what_came_back_of_packages_is_written_as_well(tmp_path):
    from tests.crowdqc.packages.raters import work_on
    from tests.crowdqc.packages.raters import write_study as write_rounds

    study = write_rounds(tmp_path / "study")
    assert call("tasks", study, "--rater", "stops").exit_code == 0
    package = study.parent / "packages" / "round2" / "stops"
    back = tmp_path / "back"
    package.rename(back)
    import shutil

    shutil.copytree(back, package)
    work_on(back)
    assert call("receive", study, back, "--empty", "nothing").exit_code == 0

    call("convert", study, tmp_path / "there", "--to", "table")

    boxes = pd.read_csv(tmp_path / "there" / "boxes.csv")
    assert "c4" in set(boxes.loc[boxes["rater"] == "stops", "case"])
