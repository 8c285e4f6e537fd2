import datetime as dt

import numpy as np
import pandas as pd
import pytest

from crowdqc.assignments.history import (
    added,
    changes,
    latest,
    read_history,
    snapshot,
    work_digests,
    write_history,
)
from crowdqc.assignments.owed import owed_readings
from crowdqc.assignments.progress import Work, by_day, by_rater, measure_progress, pace_of
from crowdqc.findings import InputError
from crowdqc.schema import Study, empty
from tests.crowdqc.assignments.work import assigned, drawn

TODAY = dt.date(2026, 11, 30)


def progress_of(study, rows, **more):
    owed = owed_readings(assigned(rows), study.images)
    return measure_progress(Work(study, owed, **more), today=TODAY)


def test_each_state_is_told():
    study = drawn(
        {"ann": {"1": range(4), "2": range(2), "4": range(4)}, "bob": {"2": range(4)}},
        opened=[("ann", "2", 2), ("ann", "2", 3)],
    )
    rows = [
        ("ann", "1"),
        ("ann", "2", "", "", "2026-12-01"),
        ("ann", "3", "", "0-3", "2026-11-29"),
        ("bob", "2", "", "", "2026-11-01"),
        ("bob", "1", "", "", "2026-12-01"),
    ]

    table = progress_of(study, rows).set_index(["rater", "case"])

    assert table["state"].to_dict() == {
        ("ann", "1"): "done",
        ("ann", "2"): "partly",  # bob drew on the slices that ann left empty
        ("ann", "3"): "overdue",
        ("ann", "4"): "not assigned",
        ("bob", "1"): "not opened",
        ("bob", "2"): "done",
    }
    assert table.loc[("ann", "2"), ["n_owed", "n_left", "n_read", "n_opened"]].tolist() == [
        4, 2, 2, 2,
    ]  # fmt: skip


def test_empty_files_where_others_drew_nothing_are_not_left():
    opened = [(rater, "1", k) for rater in ("ann", "bob") for k in (4, 5)]
    study = drawn({"ann": {"1": range(4)}, "bob": {"1": range(4)}}, opened=opened)

    table = progress_of(study, [("ann", "1"), ("bob", "1")])

    assert table["state"].tolist() == ["done", "done"]


def test_what_is_due_today_is_not_overdue():
    study = drawn({"bob": {"1": range(4)}})

    assert progress_of(study, [("ann", "1", "", "", "2026-11-30")])["state"][0] == "not opened"


def timed(days, per_day=10, seconds=4.0):
    study = drawn({"ann": {"1": range(days * per_day)}})
    time = [86400.0 * (20000 + k // per_day) + 60 * k for k in range(days * per_day)]
    return Study(**{**vars(study), "readings": study.readings.assign(time=time, seconds=seconds)})


def test_the_end_is_expected_at_the_pace_of_the_days_worked():
    study = timed(days=3)
    progress = progress_of(study, [("ann", "1"), ("ann", "2", "", "0-24")])

    pace = pace_of(study, empty("history"), progress)
    row = by_rater(progress, pace, today=TODAY).iloc[0]

    assert (row.slices_per_day, row.n_left, row.expected_end) == (10.0, 25, "2026-12-03")
    assert row.seconds_per_slice == 4.0
    assert by_day(study)["n_slices"].tolist() == [10, 10, 10]


def test_without_times_the_pace_is_that_of_the_history():
    study = drawn({"ann": {"1": range(10)}})
    progress = progress_of(study, [("ann", "1"), ("ann", "2", "", "0-9")])
    rows = snapshots([("2026-11-20", study, 0.9)], progress)
    rows.loc[rows["rater"] == "ann", "n_read"] = 0
    later = snapshots([("2026-11-25", study, 0.9)], progress)

    pace = pace_of(study, pd.concat([rows, later]), progress)

    assert pace["ann"] == 2.0


def snapshots(states, progress):
    found = [
        snapshot(
            progress.assign(agreement=agreement),
            {"": "review", "ann": "accept"},
            date=dt.date.fromisoformat(date),
            inputs=date,
            digests=work_digests(study),
        )
        for date, study, agreement in states
    ]
    return pd.concat(found, ignore_index=True)


def test_a_history_grows_only_by_what_is_new_and_reads_back(tmp_path):
    study = drawn({"ann": {"1": range(4)}, "bob": {"1": range(4)}})
    progress = progress_of(study, [("ann", "1"), ("bob", "1")])
    first = snapshots([("2026-11-20", study, 0.5)], progress)
    second = snapshots([("2026-11-21", study, 0.5)], progress)
    path = tmp_path / "history.csv"

    write_history(path, empty("history"), first)
    more = added(read_history(path), second)
    before = path.read_bytes()
    write_history(path, read_history(path), more)

    assert path.read_bytes().startswith(before)
    assert (more["case"] == "").all()  # the study and its raters, no case
    assert len(more) == 3
    assert added(read_history(path), second).empty
    assert latest(read_history(path))["verdict"].tolist().count("review") == 1


def test_what_is_no_history_is_refused(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("a,b\n1,2\n")

    with pytest.raises(InputError, match="is not a history of crowdqc"):
        read_history(path)


def test_a_link_in_place_of_the_history_is_not_followed(tmp_path):
    (tmp_path / "secret.csv").write_text("secret-word\n")
    (tmp_path / "history.csv").symlink_to(tmp_path / "secret.csv")

    with pytest.raises(InputError, match="symbolic link") as told:
        read_history(tmp_path / "history.csv")

    assert "secret-word" not in str(told.value)


def history_of(values, date, work):
    return pd.DataFrame(
        {
            "date": date,
            "inputs": date,
            "rater": "ann",
            "work": work,
            "verdict": "",
            **dict.fromkeys(["n_owed", "n_left", "n_read", "n_boxes"], 5),
            "case": list(values),
            "agreement": list(values.values()),
        }
    )


def test_drift_is_a_test_of_new_cases_against_those_of_before():
    old = history_of({f"a{k}": 0.9 - 0.001 * k for k in range(10)}, "2026-11-01", "x")
    new = history_of({f"b{k}": 0.6 + 0.001 * k for k in range(10)}, "2026-11-08", "x")

    table = changes(pd.concat([old, new]), since="2026-11-01", rng=np.random.default_rng(0))

    row = table.iloc[0]
    assert (row.what, row.n_before, row.n_after, row.test) == ("new cases", 10, 10, "mann-whitney")
    assert row.p == pytest.approx(0.0001827, rel=1e-3)  # R: wilcox.test, exact = FALSE
    assert row.low < row.difference < row.high < 0


def test_improvement_is_a_paired_test_of_the_cases_whose_boxes_changed():
    cases = [f"a{k}" for k in range(8)]
    old = history_of({c: 0.5 + 0.01 * k for k, c in enumerate(cases)}, "2026-11-01", "x")
    new = history_of({c: 0.8 + 0.013 * k for k, c in enumerate(cases[:7])}, "2026-11-08", "y")

    table = changes(pd.concat([old, new]), since="2026-11-01", rng=np.random.default_rng(0))

    row = table[table["what"] == "redrawn cases"].iloc[0]
    assert (row.n_before, row.p) == (7, pytest.approx(2 / 2**7))
    assert row.low > 0.29
