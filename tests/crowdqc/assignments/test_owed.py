import pandas as pd
import pytest

from crowdqc.assignments.owed import contradictions, owed_readings
from crowdqc.completeness import assess, todo
from crowdqc.schema import Study
from tests.crowdqc.assignments.work import assigned, drawn


def test_what_is_owed_is_every_slice_of_a_case_or_those_that_are_named():
    study = drawn({"ann": {"1": range(3)}, "bob": {"1": range(3)}})

    owed = owed_readings(assigned([("ann", "1"), ("bob", "1", "", "2 5")]), study.images)

    slices = owed.groupby("rater")["slice"].apply(list).to_dict()
    assert slices == {"ann": [0, 1, 2], "bob": [2, 5]}


def test_labels_of_several_rows_come_together_and_the_last_date_counts():
    rows = [("ann", "1", "liver", "2", "2026-01-01"), ("ann", "1", "spleen", "1-2", "2026-02-01")]

    owed = owed_readings(assigned(rows), pd.DataFrame({"case": ["1"], "slice": [0]}))

    assert owed[["slice", "labels", "due"]].to_numpy().tolist() == [
        [1, "spleen", "2026-02-01"],
        [2, "liver spleen", "2026-02-01"],
    ]


def test_a_case_that_nobody_opened_is_unread_and_on_the_work_list():
    study = drawn({"ann": {"1": range(4)}, "bob": {"1": range(4)}})
    owed = owed_readings(
        assigned([("ann", "1"), ("bob", "1"), ("ann", "2"), ("bob", "2")]), study.images
    )

    table, findings = assess(study, owed=owed)
    tasks = todo(table, findings)

    assert table.set_index(["case", "rater"])["state"].to_dict() == {
        ("1", "ann"): "complete",
        ("1", "bob"): "complete",
        ("2", "ann"): "unread",
        ("2", "bob"): "unread",
    }
    assert tasks[["rater", "case", "task", "slices"]].to_numpy().tolist() == [
        ["ann", "2", "read", "all"],
        ["bob", "2", "read", "all"],
    ]


def test_who_stopped_owes_the_cases_after_and_who_came_late_owes_none_before():
    cases = [f"{k:02}" for k in range(1, 7)]
    work = {
        "ann": dict.fromkeys(cases, range(5)),
        "bob": dict.fromkeys(cases[:4], range(5)),
        "late": dict.fromkeys(cases[4:], range(5)),
    }
    rows = [(rater, case) for rater in ("ann", "bob") for case in cases]
    rows += [("late", case) for case in cases[4:]]
    study = drawn(work)

    table, _ = assess(study, owed=owed_readings(assigned(rows), study.images))

    unread = table[table["state"] == "unread"]
    assert unread[["rater", "case"]].to_numpy().tolist() == [["bob", "05"], ["bob", "06"]]
    assert set(table.loc[table["rater"] == "late", "case"]) == {"05", "06"}


def test_what_was_not_assigned_is_not_missing():
    study = drawn({"ann": {"1": range(5)}, "bob": {"1": range(5)}}, labels=("liver", "spleen"))
    keep = (study.boxes["rater"] != "bob") | (study.boxes["label"] == "liver")
    study = Study(**{**vars(study), "boxes": study.boxes[keep]})

    missing, _ = assess(study)
    asked, _ = assess(
        study, owed=owed_readings(assigned([("ann", "1"), ("bob", "1", "liver")]), study.images)
    )

    assert (missing["state"] == "missing").sum() == 1
    assert set(asked["state"]) == {"complete"}
    assert len(asked) == 3


def test_single_slices_that_were_assigned_leave_no_gap_and_those_without_a_file_are_told():
    work = {"ann": {"1": range(9)}, "bob": {"1": range(9)}, "cem": {"1": [2, 4, 6]}}
    study = drawn(work)
    rows = [("ann", "1"), ("bob", "1"), ("cem", "1", "", "2 4 6 8")]

    table, findings = assess(study, owed=owed_readings(assigned(rows), study.images))

    cem = table[table["rater"] == "cem"].iloc[0]
    assert (cem.n_gaps, cem.truncated) == (0, "")
    told = [one for one in findings if one.check == "slices-unread"]
    assert [(one.rater, one.slices) for one in told] == [("cem", "8")]


def test_what_was_drawn_unasked_is_kept_and_told():
    study = drawn({"ann": {"1": range(3)}, "bob": {"1": range(3), "2": range(3)}})
    table = assigned([("ann", "1"), ("bob", "1"), ("ann", "3"), ("bop", "1")])

    runs, _ = assess(study, owed=owed_readings(table, study.images))
    told = {one.check: one for one in contradictions(table, study, has_images=True)}

    assert ["bob", "2", 3] in runs[["rater", "case", "n_slices"]].to_numpy().tolist()
    assert (told["box-not-assigned"].rater, told["box-not-assigned"].case) == ("bob", "2")
    assert told["case-unknown"].case == "3"
    assert told["rater-without-annotations"].rater == "bop"


def test_a_rater_without_assignment_is_named_beside_one_without_annotations():
    study = drawn({"anna": {"1": range(3)}, "bob": {"1": range(3)}})

    told = contradictions(assigned([("ana", "1"), ("bob", "1")]), study, has_images=False)

    assert [one.check for one in told] == ["rater-without-annotations", "rater-not-assigned"]
    assert "Is it 'anna'" in told[0].message


@pytest.mark.parametrize("whole", [True, False])
def test_an_unknown_case_is_owed_without_slices(whole):
    owed = owed_readings(assigned([("ann", "9")]), pd.DataFrame({"case": ["1"], "slice": [0]}))

    assert owed["slice"].tolist() == [-1]
