import pandas as pd

from crowdqc.completeness import assess, todo
from crowdqc.completeness.worklist import COLUMNS
from crowdqc.findings import Finding, Severity, from_cell
from tests.crowdqc.completeness.organs import at, drawn, study


def tasks(boxes, **further):
    table, findings = assess(study(boxes, **further))
    return todo(table, findings)


def test_nothing_to_do():
    table = tasks(drawn())

    assert table.empty
    assert list(table.columns) == COLUMNS


def test_the_worst_comes_first_and_raters_stay_together():
    boxes = drawn(raters=("r10", "r2"))
    boxes = boxes[~(at(boxes, rater="r10") & boxes["slice"].between(30, 32))]
    boxes = boxes[~at(boxes, "0004", "liver", "r10")]
    boxes = boxes[~(at(boxes, "0003", rater="r2") & (boxes["slice"] == 36))]

    table = tasks(boxes)

    assert table[["rater", "case", "label", "task", "slices", "n_slices"]].to_numpy().tolist() == [
        ["r2", "0003", "left_kidney", "draw", "36", 1],
        ["r10", "0004", "liver", "draw", "41-71", 31],
        ["r10", "0002", "left_kidney", "draw", "30-32", 3],
    ]


def test_what_is_said_twice_of_one_run_is_one_task():
    boxes = drawn()
    boxes = boxes[~at(boxes) | boxes["slice"].between(38, 39)]

    table = tasks(boxes)

    assert table["task"].tolist() == ["extend"]
    assert from_cell(table["why"].iloc[0]) == ["run-truncated", "run-short"]


def test_a_lost_slice_is_read_once_for_all_labels():
    boxes = drawn()
    boxes = boxes[~((boxes["case"] == "0002") & (boxes["slice"] == 45))]

    table = tasks(boxes)

    assert table[["label", "task", "slices"]].to_numpy().tolist() == [
        ["spleen, right_kidney, left_kidney, liver", "read", "45"]
    ]


def test_an_unread_case_is_read_for_all_labels():
    table = tasks(drawn(cases=3), opened=["0007"])

    assert table[["case", "task", "n_slices"]].to_numpy().tolist() == [["0007", "read", 0]]
    assert "liver" in table["label"].iloc[0]


def test_notes_and_findings_about_nobody_are_no_tasks():
    found = [
        Finding(check="organ-gap", severity=Severity.NOTE, message="", case="1", rater="a"),
        Finding(check="label-unused", severity=Severity.REVIEW, message="", label="x"),
    ]

    assert todo(pd.DataFrame(), found).empty
