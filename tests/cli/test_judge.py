import json
from xml.etree import ElementTree as ET

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tests.commands import call
from tests.studies import TINY, write_study

STUDY = TINY + "spacing = [1.0, 1.0, 3.0]\n"
CASES = ("1", "2")
LENIENT = """
exclude = "label"
fail_on = "FAIL_ON"
[[rules]]
scope = "study"
measure = "cases_rejected_share"
op = ">"
limit = 0.5
severity = "reject"
because = "too few are left"
[[rules]]
scope = "label"
measure = "n_slices"
op = "<"
limit = 20
severity = "reject"
because = "a slice is missing"
"""


@pytest.fixture
def study(tmp_path):
    """Three raters, two cases, 22 slices; rater b skips slice 5 of case 2."""
    rng = np.random.default_rng(0)

    def lines(*place):
        x, y = 0.3 + rng.normal(0, 0.002, 2)
        return "" if place == ("b", "2", 5) else f"0 {x} {y} .2 .2\n1 .7 .7 .3 .3\n"

    return write_study(tmp_path, raters="abc", cases=CASES, slices=22, lines=lines, text=STUDY)


def with_policy(study, text):
    (study.parent / "gate.toml").write_text(text)
    study.write_text(STUDY + '[gate]\npolicy = "gate.toml"\n')


def test_the_worklist_is_shown_and_written(study):
    result = call("complete", study, "--todo", "--format", "json")

    assert result.exit_code == 0, result.stderr
    (task,) = json.loads(result.stdout)
    assert (task["rater"], task["case"], task["slices"]) == ("b", "2", "5")
    assert (task["task"], task["label"]) == ("read", "spleen, liver")
    assert task["why"] == '["slice-lost"]'
    assert (study.parent / "out" / "todo.csv").read_text(encoding="utf-8").count("\n") == 2


def test_the_worklist_says_why_in_words_on_a_terminal(study):
    result = call("complete", study, "--todo")

    assert "nothing at all drawn on these slices" in " ".join(result.stdout.split())
    assert "slice-lost" not in result.stdout
    assert "1 task of 1 rater." in result.stderr


def test_boxes_that_the_gate_withholds_are_on_the_work_list(study):
    rule = 'scope = "box"\nmeasure = "support"\nop = "<"\nlimit = 3\nseverity = "reject"\n'
    with_policy(study, f'[[rules]]\n{rule}because = "one did not draw it"\n')
    listed = [["b", "read", "5"], *([rater, "check", "5"] for rater in "aacc")]

    def tasks(*stages):
        for stage in stages:
            assert call(stage, study).exit_code != 2
        frame = pd.DataFrame(
            json.loads(call("complete", study, "--todo", "--format", "json").stdout)
        )
        return sorted(frame[["rater", "task", "slices"]].to_numpy().tolist())

    assert tasks("gate") == sorted(listed)
    assert tasks("gate") == sorted(listed)
    assert tasks("complete") == listed[:1]
    assert tasks("report") == sorted(listed)


def test_a_good_study_passes(study):
    result = call("gate", study)

    assert result.exit_code == 0, result.stderr
    manifest = json.loads((study.parent / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert "complete.findings.jsonl" in manifest["created_from"]
    assert len(manifest["prompts"]) == 2 * 2 * 22


@pytest.mark.parametrize(("fail_on", "exit_code"), [("reject", 0), ("review", 3)])
def test_a_policy_decides_what_is_no(study, fail_on, exit_code):
    for rater in ("a", "b", "c"):
        for k in range(3):
            (study.parent / "boxes" / rater / f"2-{k}.txt").write_text("1 .7 .7 .3 .3\n")
    with_policy(study, LENIENT.replace("FAIL_ON", fail_on))

    assert call("gate", study).exit_code == exit_code


def test_too_many_rejected_cases_are_no(study):
    with_policy(study, LENIENT.replace("FAIL_ON", "reject").replace("20", "40").replace(
        '"label"\nfail', '"case"\nfail'))  # fmt: skip

    result = call("gate", study, "--format", "github")

    assert result.exit_code == 3
    assert "::error title=crowdqc%3A case 1::" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("::error title=crowdqc%3A tiny::reject")


def test_junit_on_stdout_is_xml(study):
    result = call("gate", study, "--format", "junit", "--quiet")

    root = ET.fromstring(result.stdout)  # noqa: S314
    assert [suite.get("name") for suite in root] == ["raters", "cases"]
    assert len(root.findall(".//testcase")) == 5


def test_a_verdict_is_explained(study):
    result = call("gate", study, "--explain", "2/liver", "--format", "csv")

    assert result.exit_code == 0
    assert "2/liver,n_gaps > 0,0.0,0.0,passed" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("2/liver,verdict,,,accept")


def test_there_is_nothing_to_explain_of_a_stranger(study):
    result = call("gate", study, "--explain", "heart")

    assert result.exit_code == 2
    assert "'heart' is no unit that was judged" in result.stderr


def test_two_gatings_are_compared(study):
    assert call("gate", study).exit_code == 0
    before = study.parent / "before.json"
    before.write_text((study.parent / "out" / "manifest.json").read_text(encoding="utf-8"))
    for rater in ("a", "b", "c"):
        (study.parent / "boxes" / rater / "2-9.txt").write_text("1 .7 .7 .3 .3\n")

    result = call("gate", study, "--against", before, "--format", "csv")

    rows = pd.read_csv(pd.io.common.StringIO(result.stdout)).set_index(["kind", "name"])
    assert rows.loc[("label", "2/spleen"), ["before", "after"]].tolist() == ["accept", "review"]
    assert rows.loc[("prompts", "boxes that may be used"), "after"] == "87"
    assert ("input", "boxes.csv") in rows.index


def test_what_is_no_manifest_is_named(study):
    result = call("gate", study, "--against", study)

    assert result.exit_code == 2
    assert "study.toml: Not a manifest" in result.stderr


ALL_RATERS = """
[[rules]]
scope = "rater"
measure = "n_boxes"
op = ">"
limit = 0
severity = "reject"
because = "nobody may draw anything"
"""


def test_who_is_rejected_says_nothing_of_boxes_on_which_all_agree(study):
    with_policy(study, ALL_RATERS)

    result = call("gate", study)

    manifest = json.loads((study.parent / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert result.exit_code == 0
    assert manifest["verdict"] == "review"
    assert {one["verdict"] for one in manifest["raters"]} == {"reject"}
    assert len(manifest["prompts"]) == 2 * 2 * 22


@pytest.fixture
def masks(study):
    """Masks of two models that fill the boxes; the spleen of case 2, slice 9 went wrong."""
    for model in ("one", "two"):
        for case in CASES:
            stack = np.zeros((22, 100, 100), dtype=np.uint8)
            stack[:, 20:40, 20:40] = 1
            stack[:, 55:85, 55:85] = 2
            if (model, case) == ("one", "2"):
                stack[9, 20:40, 20:40] = 0
                stack[9, 20:24, 20:22] = 1
            volume = np.rot90(np.moveaxis(stack, 0, 2), -1, axes=(0, 1))
            path = study.parent / model / f"{case}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(np.ascontiguousarray(volume), np.diag([1, 1, 3, 1.0])), path)
    return study


def risk(study, *words):
    sets = ["--masks", "one/{case}.nii.gz", "--masks", "two/{case}.nii.gz"]
    return call("risk", study, *sets, "--quiet", *words)


def read(study):
    return pd.read_csv(study.parent / "out" / "risk.csv", dtype={"case": str})


def test_the_wrong_mask_is_the_riskiest(masks):
    result = risk(masks)

    assert result.exit_code == 0, result.stderr
    table = read(masks)
    inner = table[table["end_mm"] > 9]
    worst = inner.loc[inner["risk"].idxmax()]
    assert (worst["case"], worst["slice"], worst["label"]) == ("2", 9, "spleen")
    assert len(table) == 2 * 2 * 22


def test_spacings_that_the_study_file_lacks_are_those_of_the_masks(masks):
    masks.write_text(TINY)
    for path in (masks.parent / "one").glob("*.nii.gz"):
        stack = np.asarray(nib.load(path).dataobj)
        nib.save(nib.Nifti1Image(stack, np.diag([0.5, 0.8, 6, 1.0])), path)

    assert risk(masks).exit_code == 0

    spleen = read(masks).query("label == 'spleen' and case == '1'").set_index("slice")
    assert spleen.loc[4, "area_mm2"] == pytest.approx(400 * 0.5 * 0.8)
    assert spleen.loc[4, "end_mm"] == pytest.approx(4 * 6)


def test_a_policy_may_reject_masks(masks):
    assert risk(masks).exit_code == 0
    rule = LENIENT.replace("FAIL_ON", "reject").replace('"label"\nmeasure = "n_slices"\nop = "<"',
        '"mask"\nmeasure = "risk"\nop = ">"').replace("20", "0.2")  # fmt: skip
    with_policy(masks, rule)

    assert call("gate", masks).exit_code == 0
    manifest = json.loads((masks.parent / "out" / "manifest.json").read_text(encoding="utf-8"))
    rejected = {(u["case"], u["slice"], u["label"]) for u in manifest["units"]["mask"]}
    assert ("2", 9, "spleen") in rejected
    assert "risk.csv" in manifest["created_from"]


def scores(study, dice):
    path = study.parent / "scores.csv"
    read(study)[["case", "slice", "label"]].assign(dice=dice).to_csv(path, index=False)
    return path


def test_the_risk_is_calibrated_on_scores(masks):
    assert risk(masks).exit_code == 0
    free = read(masks)["risk_free"]
    path = scores(masks, np.where(free > free.quantile(0.8), 0.1, 0.9))

    result = risk(masks, "--scores", path)

    assert result.exit_code == 0, result.stderr
    table = read(masks)
    assert table["risk_free"].tolist() == pytest.approx(free.tolist())
    assert table["risk"].between(0, 1).all()
    bad = free > free.quantile(0.8)
    assert table.loc[bad, "risk"].mean() > 2 * table.loc[~bad, "risk"].mean()


@pytest.mark.parametrize(
    ("text", "says"),
    [("case,dice\n1,0.5\n", "columns case, slice, label, dice"),
     ("case,slice,label,dice\n1,1,liver,0.9\n", "both sides of 0.5"),
     ("case,slice,label,dice\n1,1,liver,0.9\n1,1,liver,0.1\n", "one for case 1, slice 1, liver")],
    ids=["columns", "no bad mask", "twice"],
)  # fmt: skip
def test_bad_scores_are_refused(masks, text, says):
    path = masks.parent / "scores.csv"
    path.write_text(text)

    result = risk(masks, "--scores", path)

    assert result.exit_code == 2
    assert says in result.stderr
