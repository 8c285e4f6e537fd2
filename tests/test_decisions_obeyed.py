"""Every stage obeys what a reviewer decided."""

import itertools

import numpy as np
import pandas as pd
import pytest

from crowdqc.config import load_config
from crowdqc.decisions import append_decisions, decisions_file
from crowdqc.decisions.hashes import box_inputs
from crowdqc.schema import BOX
from tests.commands import call
from tests.studies import COLUMNS, write_boxes

RATERS = "abcde"


@pytest.fixture
def study(tmp_path):
    """Five raters on twelve slices of two cases; on slice 5 of case 1 they lie in two places."""
    rng = np.random.default_rng(0)
    rows = []
    for case, k, rater in itertools.product("12", range(12), RATERS):
        left = 20.0 if (case, k) != ("1", 5) or rater in "abc" else 60.0
        box = np.round(np.array([left, 20, left + 30, 50]) + rng.normal(0, 1, 4), 1)
        rows.append((case, k, rater, "liver", *box))
    return write_boxes(tmp_path, rows)


def decide(study, decision, box=None, **more):
    edges = dict(zip(BOX, box, strict=True)) if box else {}
    where = {"case": "1", "slice": 5, "label": "liver", "reviewer": "ann", "time": 1.8e9}
    row = {"decision": decision, "unit": "box", **where, **edges, **more}
    append_decisions(decisions_file(load_config(study)), [row])


def table(study, name):
    return pd.read_csv(study.parent / "out" / f"{name}.csv", dtype={"case": str})


def at(frame, k=5, case="1"):
    return frame[(frame["case"] == case) & (frame["slice"] == k)]


def test_the_fused_box_is_that_of_the_reviewer(study):
    before = call("fuse", study)
    free = table(study, "consensus")
    decide(study, "draw", (61, 21, 91, 51), object=0)

    after = call("fuse", study)

    row = at(table(study, "consensus")).iloc[0]
    assert (before.exit_code, after.exit_code) == (0, 0)
    assert row[BOX].tolist() == [61, 21, 91, 51]
    assert row[[f"spread_{edge}" for edge in BOX]].tolist() == [0] * 4
    assert (row["method"], row["state"], row["score"]) == ("review", "agreed", 1)
    assert (row["expected_error"], row["wrong"]) == (0, 0)
    assert row["raters"] == "d e"
    assert (at(free)["method"] == "edges").all()
    assert "1 settled by reviewers" in after.stderr


def test_nothing_there_and_an_object_that_all_missed(study):
    decide(study, "nothing", object=0)
    decide(study, "draw", (5, 5, 9, 9), slice=11, object=1)

    call("fuse", study)

    fused = table(study, "consensus")
    assert at(fused)["state"].tolist() == ["no_consensus"]
    assert at(fused, 11)["support"].tolist() == [5, 0]
    assert at(fused, 11).iloc[1][BOX].tolist() == [5, 5, 9, 9]


def test_raters_are_judged_by_what_was_settled(study):
    call("agree", study)
    before = table(study, "raters").set_index("rater")["reliability"]
    decide(study, "draw", (60, 20, 90, 50), object=0)

    call("agree", study)

    change = table(study, "raters").set_index("rater")["reliability"] - before
    assert (change[["a", "b", "c"]] < change[["d", "e"]].min()).all()


def test_a_decision_on_other_boxes_is_reported_and_not_obeyed(study):
    decide(study, "nothing", object=0, inputs="0123456789abcdef")

    result = call("gate", study)
    explained = call("gate", study, "--explain", "1/liver", "--format", "csv")

    assert "1 to be decided again" in call("fuse", study).stderr
    assert at(table(study, "consensus"))["method"].tolist() == ["edges"]
    assert "ann decided on other boxes than those of now" in explained.stdout
    assert "changed" in explained.stdout
    assert "review" in result.stdout


def test_explain_cites_the_reviewer(study):
    boxes = pd.read_csv(study.parent / "boxes.csv", dtype={"case": str})
    inputs = box_inputs(at(boxes), iou=0.3)
    decide(study, "rater", (60, 20, 90, 50), rater="d", object=0, inputs=inputs)

    result = call("gate", study, "--explain", "1/liver", "--format", "csv")

    assert "1/liver,slice 5,,,settled,box of a rater taken: ann on 2027-01-15" in result.stdout
    assert "1 settled by reviewers" in result.stderr


@pytest.mark.parametrize(
    ("more", "check"),
    [
        ({"slice": 99}, "decision-unplaced"),
        ({"label": "heart"}, "decision-unplaced"),
        ({"x1": 5000.0}, "decision-outside"),
    ],
)
def test_what_cannot_be_obeyed_is_a_finding(study, more, check):
    decide(study, "draw", (60, 20, 90, 50), object=0, **more)

    call("fuse", study)

    assert check in (study.parent / "out" / "fuse.findings.jsonl").read_text(encoding="utf-8")
    assert (table(study, "consensus")["method"] == "edges").all()


def test_two_reviewers_in_conflict_are_not_obeyed(study):
    decide(study, "draw", (60, 20, 90, 50), object=0)
    decide(study, "draw", (20, 20, 50, 50), object=0, reviewer="bob")

    fused = call("fuse", study).stderr
    assert "0 settled by reviewers, 1 in conflict" in fused
    assert "ann and bob agree on 0% of 1." in fused
    assert at(table(study, "consensus"))["method"].tolist() == ["edges"]
    assert "decision-conflict" in (study.parent / "out" / "fuse.findings.jsonl").read_text(
        encoding="utf-8"
    )


def test_a_bad_file_of_decisions_is_refused(study):
    (study.parent / "decisions.csv").write_text("decision,unit\n")

    result = call("fuse", study)

    assert result.exit_code == 2
    assert "decisions.csv:1: the column 'case' is not there" in result.stderr


def test_interpolation_leaves_out_where_a_reviewer_found_nothing(study):
    drawn = pd.read_csv(study.parent / "boxes.csv", dtype={"case": str})
    gap = (drawn["case"] == "1") & drawn["slice"].isin([7, 8])
    study = write_boxes(study.parent, drawn.loc[~gap, COLUMNS])
    study.write_text(study.read_text(encoding="utf-8") + "[fuse]\ninterpolate = true\n")
    call("fuse", study)
    gaps = table(study, "consensus").query("method == 'interpolated'")

    assert gaps["slice"].tolist() == [7, 8]
    decide(study, "nothing", slice=7, object=0)
    call("fuse", study)
    assert table(study, "consensus").query("method == 'interpolated'")["slice"].tolist() == [8]


def test_an_experts_folder_becomes_decisions(study, tmp_path):
    folder = tmp_path / "expert"
    folder.mkdir()
    rows = [("1", 5, "eve", "liver", 60, 20, 90, 50), ("1", 6, "eve", "liver", 21, 20, 51, 50)]
    rows += [("1", 6, "eve", "liver", 5, 5, 15, 15)]
    expert = write_boxes(folder, rows)

    result = call("convert", expert, study, "--to", "decisions")

    assert result.exit_code == 0
    assert "3 decisions added" in result.stderr
    call("fuse", study)
    fused = table(study, "consensus")
    assert at(fused)[BOX].to_numpy().tolist() == [[60, 20, 90, 50]]
    assert at(fused, 6)[BOX].to_numpy().tolist() == [[21, 20, 51, 50], [5, 5, 15, 15]]
    assert set(table(study, "settled")["reviewers"]) == {"eve"}


def test_an_expert_of_another_study_is_refused(study, tmp_path):
    folder = tmp_path / "expert"
    folder.mkdir()
    expert = write_boxes(folder, [("99", 5, "eve", "liver", 60, 20, 90, 50)])

    result = call("convert", expert, study, "--to", "decisions")

    assert result.exit_code == 2
    assert "Names of cases must be the same" in result.stderr
    assert not (study.parent / "decisions.csv").exists()
