import json
import re

import pandas as pd
import pytest

from tests.commands import call
from tests.studies import TINY, write_study

RULES = """[assignments]
path = "assignments.csv"
raters = ["ann", "bob", "cem", "dot"]
cases = ["1", "2", "3", "4"]
raters_per_case = 2
due = 2026-12-24
"""
BOX = "0 0.5 0.5 0.2 0.2\n"


@pytest.fixture
def study(tmp_path):
    """Four raters were dealt four cases; `dot` has drawn in none of them."""
    text = TINY + RULES
    write_study(
        tmp_path, raters=("ann", "bob", "cem"), slices=4, lines=lambda *_: BOX, text=text,
        cases=("1", "2", "3", "4"),
    )  # fmt: skip
    return tmp_path / "study.toml"


def test_cases_are_dealt_out_once(study):
    first = call("assign", study)
    table = pd.read_csv(study.parent / "assignments.csv", dtype=str)
    again = call("assign", study)

    assert first.exit_code == 0
    assert "Each rater reads 2 cases" in first.stderr
    assert table.groupby("case").size().eq(2).all()
    assert set(table["due"]) == {"2026-12-24"}
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_a_rater_who_joins_gets_cases_and_nothing_else_changes(study):
    call("assign", study)
    path = study.parent / "assignments.csv"
    before = path.read_text(encoding="utf-8")
    study.write_text(study.read_text(encoding="utf-8").replace('"dot"]', '"dot", "eve"]'))

    result = call("assign", study, "--join", "eve", "--cases", "3", "--due", "2027-01-15")

    assert result.exit_code == 0
    assert path.read_text(encoding="utf-8").startswith(before)
    assert (
        path.read_text(encoding="utf-8").count("eve,")
        == path.read_text(encoding="utf-8").count("2027-01-15")
        == 3
    )
    assert call("assign", study, "--join", "eve").exit_code == 2
    assert "first" in call("assign", study, "--join", "zoe").stderr


def test_rows_are_added_in_the_columns_that_the_table_has(study):
    path = study.parent / "assignments.csv"
    path.write_text("case,rater,due\n1,ann,\n2,ann,\n")
    study.write_text(study.read_text(encoding="utf-8").replace('"dot"]', '"dot", "eve"]'))

    assert call("assign", study, "--join", "eve", "--cases", "1").exit_code == 0
    assert re.fullmatch(
        r"case,rater,due\n1,ann,\n2,ann,\n[12],eve,2026-12-24\n", path.read_text(encoding="utf-8")
    )

    path.write_text("case,rater\n1,ann\n")
    refused = call("assign", study, "--join", "eve")
    assert "the first line must name due" in refused.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('path = "assignments.csv"\n', "", "name the table first"),
        ('raters = ["ann", "bob", "cem", "dot"]\n', "", "name everybody who takes part"),
        ('cases = ["1", "2", "3", "4"]\n', "", "the cases must be given"),
        ('"cem", "dot"', '"ann", "dot"', "raters must differ"),
        ("raters_per_case = 2", "raters_per_case = 9", "raters_per_case is 9"),
        ("due = 2026-12-24", 'due = "soon"', "assignments.due"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(study, old, new, says):
    study.write_text(study.read_text(encoding="utf-8").replace(old, new))

    result = call("assign", study)

    assert (result.exit_code, says in result.stderr) == (2, True)
    assert not (study.parent / "assignments.csv").exists()


def test_status_tells_who_owes_what(study):
    call("assign", study)

    table = json.loads(call("status", study, "--format", "json", "--today", "2026-12-25").stdout)
    cases = json.loads(
        call("status", study, "--by", "case", "--format", "json", "--today", "2026-12-25").stdout
    )

    assert {row["rater"]: (row["done"], row["overdue"]) for row in table} == {
        "ann": (2, 0),
        "bob": (2, 0),
        "cem": (2, 0),
        "dot": (0, 2),
    }
    dot = [row for row in cases if row["rater"] == "dot"]
    assert [(row["state"], row["n_owed"], row["n_left"]) for row in dot] == [("overdue", 4, 4)] * 2
    assert "2 overdue" in call("status", study, "--today", "2026-12-25").stderr
    assert "2 not opened" in call("status", study, "--today", "2026-12-24").stderr
    assert call("status", study, "--today", "tomorrow").exit_code == 2


def test_status_fits_on_a_terminal(study):
    call("assign", study)

    lines = call("status", study).stdout.splitlines()

    assert max(map(len, lines)) <= 80
    assert any("dot" in line for line in lines)


def test_the_cases_that_nobody_opened_are_on_the_work_list(study):
    call("assign", study)

    todo = json.loads(call("complete", study, "--todo", "--format", "json").stdout)

    assert [row["task"] for row in todo if row["rater"] == "dot"] == ["read", "read"]


def test_empty_files_that_were_not_assigned_were_not_passed_on_the_way(tmp_path):
    """Slice 2 lies between boxes and was assigned; slice 1 was not."""
    text = TINY + '[assignments]\npath = "a.csv"\n'
    lines = {0: BOX, 1: "", 2: "", 3: BOX}
    study = write_study(
        tmp_path, raters=("ann", "bob"), slices=4, lines=lambda _, __, k: lines[k], text=text
    )
    (tmp_path / "a.csv").write_text("rater,case,slices\nann,1,0 2 3\n")

    call("check", study)

    readings = pd.read_csv(tmp_path / "out" / "readings.csv").set_index(["rater", "slice"])
    assert readings.loc["ann", "state"].tolist() == ["boxed", "opened", "reviewed_empty", "boxed"]
    assert readings.loc["bob", "state"].tolist() == [
        "boxed", "reviewed_empty", "reviewed_empty", "boxed",
    ]  # fmt: skip


def test_each_run_of_changed_inputs_adds_a_snapshot_and_changes_are_told(study, monkeypatch):
    history = study.parent / "history.csv"
    call("assign", study)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795000000")  # 2026-11-18
    call("run", study)
    first = history.read_bytes()
    call("run", study)
    assert history.read_bytes() == first

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795500000")
    for k in range(4):
        (study.parent / "boxes" / "ann" / f"1-{k}.txt").write_text("0 0.5 0.5 0.3 0.3\n")
    call("run", study)
    rows = json.loads(call("status", study, "--by", "change", "--format", "json").stdout)

    assert history.read_bytes().startswith(first)
    assert [(row["rater"], row["what"], row["n_after"]) for row in rows] == [
        ("ann", "redrawn cases", 1)
    ]
    assert rows[0]["difference"] < 0
    dates = pd.read_csv(history)["date"].unique().tolist()
    assert dates == ["2026-11-18", "2026-11-24"]


def test_changes_need_two_dates(study):
    call("assign", study)
    result = call("status", study, "--by", "change")

    assert result.exit_code == 2
    assert "changes need two" in result.stderr
