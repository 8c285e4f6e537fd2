"""Two rounds from start to end, with five raters of one planted fault each."""

import json
import shutil

import pandas as pd
import pytest

from tests.commands import call
from tests.crowdqc.packages.raters import CASES, RATERS, work_on, write_study


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """Everything, with the four commands run, tasks, receive, run; results after each of them."""
    folder = tmp_path_factory.mktemp("two")
    study = write_study(folder / "study")
    out = study.parent / "out"
    found = {"study": study}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1795737600")  # 2026-11-27
        found["run1"] = call("run", study)
        found["status1"] = table(call("status", study, "--by", "case", "--format", "json",
                                      "--today", "2026-11-30"))  # fmt: skip
        found["raters1"] = pd.read_csv(out / "raters.csv").set_index("rater")
        found["tasks"] = call("tasks", study, "--due", "2026-12-04", "--format", "json")
        packages = study.parent / "packages" / "round2"
        found["asked"] = {}
        for package in sorted(packages.iterdir()):
            back = folder / "back" / package.name
            shutil.copytree(package, back)
            found["asked"][package.name] = work_on(back)
        found["received"] = {
            one.name: call("receive", study, one, "--empty", "nothing")
            for one in sorted((folder / "back").iterdir())
        }
        patch.setenv("SOURCE_DATE_EPOCH", "1796342400")  # 2026-12-04
        found["run2"] = call("run", study)
        found["raters2"] = pd.read_csv(out / "raters.csv").set_index("rater")
        found["status2"] = table(call("status", study, "--by", "case", "--format", "json"))
        found["returns"] = pd.read_csv(out / "returns.csv")
        found["change"] = table(call("status", study, "--by", "change", "--format", "json"))
    return found


def table(result):
    assert result.exit_code == 0, result.output
    return pd.DataFrame(json.loads(result.stdout))


def test_what_is_owed_is_told_before(rounds):
    states = rounds["status1"].set_index(["rater", "case"])["state"]

    assert (states.drop(index=["stops", "skips"], level=0) == "done").all()
    assert states["stops"].to_dict() == {
        "c1": "done", "c2": "done", "c3": "overdue", "c4": "overdue",
    }  # fmt: skip
    assert set(states["skips"]) == {"overdue"}


def test_each_fault_is_what_the_package_asks_to_mend(rounds):
    asked = {
        rater: {task for one in said["slices"] for task in one["tasks"]}
        for rater, said in rounds["asked"].items()
    }
    slices = {
        rater: {(one["case"], one["slice"]) for one in said["slices"]}
        for rater, said in rounds["asked"].items()
    }

    assert {(case, k) for case in ("c3", "c4") for k in range(12)} <= slices["stops"]
    assert "read" in asked["stops"]
    assert {(case, k) for case in CASES for k in (2, 5, 8)} <= slices["skips"]
    assert "relabel" in asked["swaps"]
    assert "redraw" in asked["large"]
    assert "redraw" in asked["copies"]
    assert "steady" not in asked


@pytest.mark.parametrize(
    ("rater", "words"),
    [
        ("stops", "have not been opened yet"),
        ("swaps", "have changed names"),
        ("large", "larger than the organ"),
        ("skips", "left out"),
        ("copies", "the same, to the point"),
    ],
)
def test_the_feedback_names_the_fault_and_nobody_else(rounds, rater, words):
    folder = rounds["study"].parent / "packages" / "round2" / rater
    html = (folder / "feedback.html").read_text(encoding="utf-8")

    assert words in html
    for other in set(RATERS) - {rater}:
        for file in folder.rglob("*"):
            text = (
                file.name
                if file.suffix == ".png"
                else file.read_text(encoding="utf-8")
                if file.is_file()
                else ""
            )
            assert f'"{other}"' not in text
            assert f">{other}<" not in text
            assert f"for {other}" not in text


def test_all_comes_back_whole(rounds):
    for rater, result in rounds["received"].items():
        assert result.exit_code == 0, result.output
        n = len(rounds["asked"][rater]["slices"])
        assert f"{n} of {n} slices of {rater} came back" in result.stderr


def test_what_is_done_is_no_longer_owed(rounds):
    assert set(rounds["status2"]["state"]) == {"done"}


def test_what_came_back_is_better(rounds):
    outcome = rounds["returns"].set_index(["rater", "task"])["outcome"]
    returns = rounds["returns"].set_index(["rater", "task"])

    assert (returns["n_back"] == returns["n_asked"]).all()
    assert outcome["stops", "read"] == "better"
    assert outcome["skips", "read"] == "better"
    assert outcome["large", "redraw"] == "better"
    assert outcome["swaps", "relabel"] == "better"
    assert outcome["copies", "redraw"] != "worse"
    assert returns.loc[("large", "redraw"), "n_shown"] > 0


def test_raters_improve(rounds):
    before, after = rounds["raters1"], rounds["raters2"]

    for rater in ("swaps", "large"):
        assert after.loc[rater, "agreement"] > before.loc[rater, "agreement"] + 0.1
    assert "labels-swapped" in before.loc["swaps", "faults"]
    assert "labels-swapped" not in str(after.loc["swaps", "faults"])


def test_nothing_of_the_first_round_is_lost(rounds):
    out = rounds["study"].parent / "out"
    boxes, old = pd.read_csv(out / "boxes.csv"), pd.read_csv(out / "superseded.csv")
    first = sum(
        len(path.read_text(encoding="utf-8").splitlines())
        for path in (rounds["study"].parent / "boxes").rglob("*.txt")
    )

    assert boxes["source"].str.startswith("boxes/").sum() + len(old) == first


def test_the_history_tells_the_change(rounds):
    change = rounds["change"].set_index(["rater", "what"])

    assert change.loc[("swaps", "redrawn cases"), "difference"] > 0.1
    assert change.loc[("stops", "new cases"), "n_after"] == 2


def test_there_is_less_to_do_in_the_next_round(rounds):
    todo = pd.read_csv(rounds["study"].parent / "out" / "todo.csv")

    assert not set(todo["rater"]) & {"stops", "swaps", "skips"}
