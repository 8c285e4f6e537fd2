"""Small inputs on which crowdqc once went wrong (``../shared/cases``), through the command line.

Each test is named after its folder and holds the right value of the folder's README.
"""

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crowdqc.geometry import pairwise_iou
from tests.commands import call

BESIDE = Path(__file__).parents[2] / "shared" / "cases"
CASES = Path(os.environ.get("CROWDQC_CASES", BESIDE))
EDGES = ["x0", "y0", "x1", "y1"]

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there")


@pytest.fixture
def work(request, tmp_path, monkeypatch):
    """A copy of the folder that the test is named after, and its study file where it has one."""
    name = request.function.__name__.removeprefix("test_").replace("_", "-")
    folder = shutil.copytree(CASES / name, tmp_path / name)
    if (folder / "make.py").exists():
        monkeypatch.setattr(sys, "argv", ["make.py", str(folder)])
        runpy.run_path(str(folder / "make.py"))
    return folder


def run(work, command, *words, study="study.toml", code=0):
    """Everything that a command says; it must end with this exit code."""
    result = call(command, work / study, *words)
    assert result.exit_code == code, result.output
    return result.output


def start(work, size=(100, 200)):
    """``crowdqc init``, with the size filled in that it asks for, and ``crowdqc check``."""
    said = run(work, "init", study=".")
    study = work / "study.toml"
    lines = study.read_text(encoding="utf-8").splitlines()
    lines = [f"size = {list(size)}" if line.startswith("# size") else line for line in lines]
    study.write_text("\n".join(lines) + "\n")
    return said + run(work, "check")


def table(work, name, out="out"):
    return pd.read_csv(work / out / f"{name}.csv", dtype={"case": str, "rater": str})


def states(work):
    rows = table(work, "readings")[["case", "slice", "rater", "state"]]
    return {f"{case}/{k}/{rater}": state for case, k, rater, state in rows.itertuples(index=False)}


def found(work, name="findings"):
    """Check and severity of each finding."""
    lines = (work / "out" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [(one["check"], one["severity"]) for one in map(json.loads, lines)]


def verdicts(work):
    return table(work, "raters").set_index("rater")["verdict"].to_dict()


def test_every_folder_has_its_test():
    folders = {path.name for path in CASES.iterdir() if path.is_dir()}
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals()}
    assert folders - tested == set()


# Reading annotations ---------------------------------------------------------------------------


def test_labelstudio_two_annotations(work):
    start(work)
    assert found(work) == [("annotation-superseded", "note")] * 2
    assert set(states(work).values()) == {"boxed"}
    run(work, "fuse")
    boxes = table(work, "consensus")
    assert boxes[["slice", "label", "state", "support"]].to_numpy().tolist() == [
        *([k, "liver", "agreed", 2] for k in (1, 2, 3)),
        [3, "spleen", "agreed", 2],
    ]


def test_cvat_polygon_only(work):
    run(work, "check")
    assert found(work) == [("shape-not-a-box", "review")]
    assert {v for k, v in states(work).items() if k.endswith("/c")} == {"opened"}
    run(work, "gate")
    assert "draw" not in set(table(work, "todo")["task"])
    assert table(work, "raters").set_index("rater")["miss_rate"].fillna(0).eq(0).all()


def test_cvat_unfinished_job(work):
    run(work, "check")
    assert [k for k, v in states(work).items() if v == "opened"] == [
        f"p1/{k}/b" for k in (3, 4, 5, 6)
    ]
    assert found(work) == [("empty-file-inferred", "note")]
    run(work, "agree")
    run(work, "fuse")
    assert table(work, "raters")[["miss_rate", "extra_rate"]].eq(0).all(axis=None)
    assert "no_consensus" not in set(table(work, "consensus")["state"])


def test_batch_files_with_rater_field(work):
    start(work)
    assert states(work) == {f"1/{k}/{who}": "boxed" for k in (1, 2) for who in ("R1", "R2")}
    assert len(table(work, "boxes")) == 4


def test_rater_column_rad_id(work):
    start(work)
    seen = states(work)
    assert len(seen) == 6  # of five people: R10 reads both pictures
    assert {k for k, v in seen.items() if v == "reviewed_empty"} == {
        f"img_a/0/{who}" for who in ("R10", "R11", "R15")
    }


def test_nested_phase_folders(work):
    start(work)
    seen = table(work, "readings")
    assert (len(seen), seen["case"].nunique(), seen["rater"].nunique()) == (24, 4, 2)
    assert found(work) == []


def test_unnumbered_names(work):
    start(work)
    seen = table(work, "readings")
    assert (len(seen), seen["case"].nunique(), set(seen["slice"])) == (6, 3, {0})
    assert "\nimage " not in (work / "study.toml").read_text(encoding="utf-8")


def test_coco_dotted_file_names(work):
    start(work)
    boxes = table(work, "boxes")
    assert (len(boxes), len(boxes[["case", "slice"]].drop_duplicates())) == (6, 3)
    assert found(work) == []


def test_upload_hash_prefix_coco(work):
    start(work)
    run(work, "fuse")
    objects = table(work, "consensus")[["slice", "state", "support"]]
    assert objects.to_numpy().tolist() == [[1, "agreed", 2], [2, "agreed", 2]]


def test_classes_txt_per_rater(work):
    said = run(work, "check", "--verbose", code=3)
    boxes = table(work, "boxes")
    assert boxes.loc[boxes["rater"] == "c", "label"].tolist() == ["spleen"]
    assert ("unknown-class", "reject") in found(work)
    assert "c/img1.txt:1: class '1' is not in c/classes.txt" in said


def test_classes_txt_read_as_slice(work):
    run(work, "check")
    assert table(work, "images")["case"].nunique() == 2
    assert found(work) == []


def test_class_list_names(work):
    start(work)
    boxes = table(work, "boxes").groupby("label")["x0"]
    assert boxes.agg(["min", "max"]).round(6).to_dict("index") == {
        "liver": {"min": 80, "max": 80},
        "spleen": {"min": 30, "max": 30},
    }


def test_float_class_ids(work):
    start(work)
    boxes = table(work, "boxes")
    assert (set(boxes["label"]), set(boxes["rater"])) == ({"liver"}, {"a", "b"})
    assert found(work) == []


def test_label_spelling(work):
    start(work)
    assert found(work) == [("label-spelled", "note")]
    run(work, "fuse")
    assert table(work, "consensus")[["label", "support"]].to_numpy().tolist() == [["liver", 3]] * 2


def test_lidc_folders(work):
    start(work, (64, 64))
    assert table(work, "readings").groupby("case")["rater"].nunique().tolist() == [2, 2]
    assert found(work) == []


def test_exif_orientation(work):
    run(work, "check")
    images = table(work, "images").set_index("case")[["height", "width"]]
    assert images.to_numpy().tolist() == [[200, 100], [100, 200]]
    boxes = table(work, "boxes")
    turned = boxes.loc[boxes["case"] == "img1", EDGES]
    np.testing.assert_allclose(turned, [[30, 40, 70, 60]] * 2)


def test_thousand_notes(work):
    run(work, "check")
    marks = [severity for check, severity in found(work) if check == "marks-left-out"]
    assert marks == ["note"] * 1002
    assert "reject" not in dict(found(work)).values()


# Fusion, raters, completeness, gate ------------------------------------------------------------


def near_median(work, raters):
    """How far the fused boxes lie from the median of some raters, in px, for each box."""
    drawn = table(work, "boxes").query("rater in @raters")
    median = drawn.groupby(["case", "slice"])[EDGES].median()
    fused = table(work, "consensus").set_index(["case", "slice"])[EDGES]
    return (fused - median).abs().max(axis=1)


def test_astray_once(work):
    run(work, "fuse")
    one = table(work, "consensus").query("slice == 3")
    assert (len(one), one["support"].item(), one["raters"].item()) == (1, 2, "a b")
    assert near_median(work, ["a", "b"]).loc[("1", 3)] < 1


def test_blame(work):
    said = run(work, "agree")
    run(work, "fuse")
    assert verdicts(work) == {"a": "accept", "b": "accept", "c": "review"}
    assert "c: review; draws elsewhere than the others" in said
    assert near_median(work, ["a", "b"]).loc[[("1", k) for k in (3, 7, 9, 12)]].max() < 1


def test_flood_of_boxes(work):
    run(work, "agree")
    run(work, "fuse")
    reliability = table(work, "raters").set_index("rater")["reliability"]
    assert reliability[["a", "b"]].min() > 0.9
    assert reliability["c"] < 0.5
    fused = table(work, "consensus")
    small = fused["x1"] - fused["x0"] < 10
    assert fused.loc[small, "score"].max() < 0.1 < fused.loc[~small, "score"].min()


def test_exact_copiers(work):
    mean = {}
    truth = pd.read_csv(work / "truth.csv", dtype={"case": str})
    for name in ("with", "without"):
        run(work, "fuse", study=f"{name}.toml")
        keys = ["case", "slice", "label"]
        both = truth.merge(table(work, "consensus", f"out_{name}"), on=keys, how="left")
        pairs = zip(both[[f"{e}_x" for e in EDGES]].to_numpy(),
                    both[[f"{e}_y" for e in EDGES]].to_numpy(), strict=True)  # fmt: skip
        mean[name] = np.mean([pairwise_iou([a], [b]) for a, b in pairs])
    assert len(both) == len(truth)
    assert mean["with"] == pytest.approx(mean["without"], abs=0.01)
    assert mean["with"] > 0.9
    said = run(work, "agree", study="with.toml")
    for copier in "fg":
        assert f"{copier}: review; has the same boxes as another rater" in said


def test_box_jump_noise(work):
    run(work, "complete", "--todo")
    tasks = table(work, "todo")
    assert tasks[["rater", "task", "slices"]].to_numpy().tolist() == [["a", "check", "13-14"]]


def test_astray_boxes_not_tasked(work):
    run(work, "complete", "--todo")
    tasks = table(work, "todo")[["rater", "case", "task", "slices"]]
    assert tasks.to_numpy().tolist() == [["a", "1", "check", "5-12"]]


def test_single_false_gate(work):
    said = run(work, "gate")
    runs = table(work, "completeness")
    assert (set(runs["state"]), set(runs["n_gaps"])) == ({"complete"}, {0})
    assert "Verdict: accept. 6 cases accepted" in said


def test_many_labels_memory(work):
    """Rows by what was drawn, not by cases x labels x raters; memory is measured in benchmarks."""
    run(work, "complete")
    assert len(table(work, "completeness")) <= 2000 + 200 * 2
    assert len(found(work, "complete.findings")) < 500


# Volumes, masks, scores ------------------------------------------------------------------------


def test_nifti_quaternion(work):
    run(work, "masks")
    for case in ("c0", "c1"):
        mask = nib.load(work / "out" / "masks" / f"{case}.nii.gz")
        image = next((work / "images").glob(f"{case}*"))
        np.testing.assert_array_equal(mask.affine, nib.load(image).get_sform())


def test_sform_scale(work):
    said = run(work, "check", "--verbose")
    assert found(work) == [("volume-spacing", "review")]
    assert "1 x 1 x 1 mm" in said
    assert "0.8658 x 0.8658 x 0.796 mm" in said


def test_dicom_short_pixel_data(work):
    said = run(work, "check", code=2)
    assert "dicom/c0/2.dcm: holds 1920 bytes of pixel data" in said
    assert "need 3840" in said


def test_truth_not_scored(work):
    run(work, "check")
    assert found(work) == [("truth-geometry", "review")] * 2
    said = run(work, "evaluate")
    assert "(1 of 3 cases)" in said
    assert "affine matrices differ" in said


def test_truth_255(work):
    said = run(work, "check", "--verbose")
    assert found(work) == [("truth-values", "review")]
    assert "holds the values [255] and none of liver = 1" in said
    assert "[truth] values" in said
    run(work, "evaluate", code=3)
    assert len(table(work, "scores")) == 0


def test_one_training_case(work):
    for command in ("dataset", "train"):
        said = run(work, command, code=2)
        assert "one patient cannot be cross-validated" in said
        assert "Annotate more patients" in said


def test_stale_masks(work):
    run(work, "run")
    shutil.copy(work / "boxes_changed.csv", work / "boxes.csv")
    said = run(work, "report")
    assert "Out of date, and shown as they were: masks, risk" in said
    assert "crowdqc run" in said
    assert "out of date" in (work / "out" / "report.html").read_text(encoding="utf-8").lower()


def test_compare_mixed_units(work):
    out = work / "comparison.csv"
    words = (work / "b.csv", "--on", "case", "--label", "label", "--output", out)
    run(work, "compare", *words, study="a.csv")
    rows = pd.read_csv(out).set_index("label")
    overall = rows[rows.index.str.startswith("overall")]["mean_a"].round(3).to_dict()
    assert overall == {"overall|dice": 0.845, "overall|surface_dice": 0.773, "overall|hd95_mm": 6.5}


def test_compare_slices_with_volumes(work):
    words = ("--by", "set", "--on", "case", "--label", "label", "--output", work / "comparison.csv")
    said = run(work, "compare", *words, study="scores.csv")
    assert set(pd.read_csv(work / "comparison.csv")["n"]) == {6}
    assert "Left out: 24 rows of single slices" in said
    said = run(work, "compare", *words, "--on", "slice", study="scores.csv")
    assert pd.read_csv(work / "comparison.csv")["n"].max() == 24
    assert "pairs of one case are not independent" in said
