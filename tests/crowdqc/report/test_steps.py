"""What the report says to do next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crowdqc.findings import Finding, Severity, to_cell
from crowdqc.report import gather
from crowdqc.report.content import Step
from crowdqc.store import Store

from .results_folder import Spec, because, reason, write_results

GATED = ("check", "agree", "fuse", "complete", "gate", "masks")


@pytest.fixture
def quiet(folder: Path) -> Store:
    """A study in which nothing is missing and everybody agrees, as far as its tables say."""
    store = write_results(folder, Spec(n_cases=3, raters=("amy", "ben"), stages=GATED))
    for table, column, value in (
        ("completeness", "state", "complete"),
        ("consensus", "state", "agreed"),
    ):
        store.write(table, store.read(table).assign(**{column: value}))
    todo = store.path("todo.csv")
    if todo.is_file():
        store.write("todo", store.read("todo").iloc[:0])
    store.write_findings("check", [])
    return store


def judge(store: Store, verdict: str, cases: dict[str, tuple[str, list[Any]]], **more: Any) -> None:
    """Let the gate have said this."""
    file = store.path("manifest.json")
    manifest = json.loads(file.read_text(encoding="utf-8"))
    raters = [{"rater": name, "verdict": "accept", "reasons": []} for name in ("amy", "ben")]
    judged = [
        {"case": case, "verdict": status, "reasons": reasons, "labels": {}}
        for case, (status, reasons) in cases.items()
    ]
    manifest |= {"verdict": verdict, "raters": raters, "cases": judged, **more}
    file.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_study_that_passes_goes_on(quiet: Store):
    judge(quiet, "accept", {"0001": ("accept", [])})

    assert [step.what for step in gather(quiet).steps] == ["Run crowdqc dataset"]


def test_a_case_to_see_is_named_with_the_reason(quiet: Store):
    rule = {
        "value": 0.4,
        "op": ">",
        "limit": 0.2,
        "where": {"case": "0002", "label": "left_kidney"},
    }
    why = [reason("one slice in five has no box", **rule)]
    judge(quiet, "review", {"0001": ("accept", []), "0002": ("review", why)})

    assert gather(quiet).steps == (
        Step("Review case 0002", "0002: left kidney: one slice in five has no box.", "gate"),
    )


def test_a_rejected_case_comes_before_one_to_see_and_equal_reasons_are_said_once(quiet: Store):
    seen = ("review", [reason("1 mask to review", where={"case": "0001", "label": "liver"})])
    out = ("reject", [reason("spleen is missing")])
    judge(quiet, "reject", {"0001": seen, "0002": out, "0003": out})

    steps = gather(quiet).steps

    assert steps[0].what == "Finish cases 0002 and 0003, or go on without them"
    assert steps[0].why == "0002 and 0003: spleen is missing."
    assert steps[1].what == "Review case 0001"


def test_the_page_never_says_go_on_where_the_gate_asks_for_a_look(quiet: Store):
    judge(quiet, "review", {"0001": ("accept", [])}, reasons=[reason("too few folds")])

    assert gather(quiet).steps == (
        Step("Review what the gate asks", "too few folds.", "gate", "review"),
    )


def test_every_failing_rater_has_a_reason(quiet: Store):
    judge(quiet, "review", {"0001": ("accept", [])})
    table = quiet.read("raters")
    rule = reason("too low", value=0.3, op="<", limit=0.6)
    reasons = [because("swaps left_kidney and liver (100% of their boxes)"), to_cell([rule])]
    quiet.write("raters", table.assign(verdict="reject", reasons=reasons))
    file = quiet.path("manifest.json")
    manifest = json.loads(file.read_text(encoding="utf-8")) | {"raters": []}
    file.write_text(json.dumps(manifest), encoding="utf-8")

    step = gather(quiet).steps[0]

    assert step.what == "Train amy and ben again, or invite others"
    assert step.why == ("amy: swaps left_kidney and liver (100% of their boxes); ben: too low.")


def test_those_with_the_longest_lists_are_written_to_first(quiet: Store):
    judge(quiet, "accept", {"0001": ("accept", [])})
    runs = quiet.read("completeness")
    quiet.write("completeness", runs.assign(state="partial", n_gaps=1, truncated=""))
    task = {"case": "0001", "label": "liver", "task": "draw", "slices": "7", "n_slices": 1}
    rows = [{"rater": rater, **task, "why": '["organ-gap"]'} for rater in ("amy", "ben", "ben")]
    quiet.write("todo", pd.DataFrame(rows))

    (step,) = gather(quiet).steps

    assert step.what == "Send ben (2 tasks) and amy (1 task) their work lists"
    assert step.why.startswith(f"{len(runs)} slices inside organs have no box; most in ")


def test_raters_to_watch_are_named_when_nothing_is_worse(quiet: Store):
    judge(quiet, "review", {"0001": ("accept", [])})
    judged = [
        {"rater": name, "verdict": "review", "reasons": why}
        for name, why in (("7", []), ("ben", [reason("too few slices")]))
    ]
    file = quiet.path("manifest.json")
    manifest = json.loads(file.read_text(encoding="utf-8")) | {"raters": judged}
    file.write_text(json.dumps(manifest), encoding="utf-8")

    assert gather(quiet).steps == (
        Step("Review raters ben and 7", "ben: too few slices.", "raters"),
    )


def test_a_finding_about_a_case_does_not_name_it_twice(quiet: Store):
    where = {"case": "0002", "label": "liver", "rater": "amy"}
    why = [reason("no box on slice 7. Draw it.", where=where)]
    judge(quiet, "review", {"0002": ("review", why)})

    (step,) = gather(quiet).steps

    assert step.why == "0002: liver, rater amy: no box on slice 7. Draw it."


def test_what_raters_do_differently_from_one_another_is_a_step_of_its_own(quiet: Store):
    judge(quiet, "review", {"0001": ("accept", [])})
    text = "amy draws 4 px larger than ben on every organ."
    found = [Finding(check="raters-disagree", severity=Severity.REVIEW, message=text)]
    quiet.write_findings("agree", found)

    (step,) = [step for step in gather(quiet).steps if step.section == "agreement"]

    assert text in step.why


def test_what_may_have_been_read_wrongly_comes_first(quiet: Store):
    turned = Finding(check="picture-turned", message="Boxes fit pictures by 'rot90' better.")
    of_a_case = Finding(check="slices-unread", message="Not opened.", case="0001")
    quiet.write_findings("check", [turned, of_a_case])
    judge(quiet, "review", {"0001": ("review", [reason("a gap")])})

    first, *others = gather(quiet).steps

    assert (first.what, first.section) == (
        "Boxes fit pictures that are turned otherwise",
        "findings",
    )
    assert all("opened" not in step.what for step in others)


def test_a_rejected_rater_is_sent_no_work_list(quiet: Store):
    raters = [{"rater": "amy", "verdict": "reject", "reasons": []}]
    judge(quiet, "review", {"0001": ("accept", [])}, raters=raters)
    table = quiet.read("completeness")
    quiet.write("completeness", table.assign(state="partial", n_gaps=1))
    tasks = [(rater, "0001", "liver", "draw", "3", 1, '["organ-gap"]') for rater in ("amy", "ben")]
    columns = ["rater", "case", "label", "task", "slices", "n_slices", "why"]
    quiet.write("todo", pd.DataFrame(tasks, columns=columns))

    (step,) = [step for step in gather(quiet).steps if step.what.startswith("Send")]

    assert "ben (1 task)" in step.what
    assert "amy" not in step.what
