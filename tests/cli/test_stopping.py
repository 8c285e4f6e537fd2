import numpy as np
import pandas as pd
import pytest

from tests.commands import call
from tests.studies import write_boxes


@pytest.fixture
def study(tmp_path):
    """Three raters, the last of whom drew nothing on slice 1 of a case: he saw its box as done."""
    rng = np.random.default_rng(0)
    rows = [
        (case, k, rater, "liver", *(np.array([5, 5, 45, 41]) + rng.normal(0, 0.5, 4)).round(2))
        for case in "1234"
        for k in range(4)
        for rater in ("ada", "bob", "cyd")
    ]
    rows = [(*row[:4], *[""] * 4) if row[:3] == ("1", 1, "cyd") else row for row in rows]
    return write_boxes(tmp_path, rows)


def fused(study):
    table = pd.read_csv(study.parent / "out" / "consensus.csv", dtype={"case": str})
    return table.set_index(["case", "slice"])


def test_what_is_done_is_shown_to_later_raters_and_not_asked_of_them(study):
    assert call("fuse", study).exit_code == 0
    before = fused(study)
    assert call("fuse", study, "--next-raters").exit_code == 0
    done = pd.read_csv(study.parent / "out" / "done.csv", dtype={"case": str})
    assert done["state"].isin(["stop", "expert"]).all()
    assert done["error_high"].between(0, 1).all()
    one = before.loc[[("1", 1)]].reset_index()[["case", "slice", "label", "x0", "y0", "x1", "y1"]]
    one.assign(rater="cyd").to_csv(study.parent / "shown.csv", index=False)
    text = study.read_text("utf-8") + '[fuse]\nshown = "shown.csv"\n'
    study.write_text(text, "utf-8")
    result = call("fuse", study)
    assert result.exit_code == 0, result.output
    after = fused(study)
    assert before.loc[("1", 1), "n_raters"] == 3
    assert after.loc[("1", 1), "n_raters"] == 2
    assert after.loc[("1", 1), "score"] > before.loc[("1", 1), "score"]
    assert (after["n_raters"].drop(("1", 1)) == 3).all()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("case,slice\n1,0\n", "has no column label, rater, x0"),
        ("case,slice,label,rater,x0,y0,x1,y1\n1,0,liver,cyd,9,5,5,9\n", "shown.csv:2: must have"),
        ("case,slice,label,rater,x0,y0,x1,y1\n1,a,liver,cyd,5,5,9,9\n", "shown.csv:2: must have"),
        ("", "shown.csv"),
    ],
)
def test_a_bad_table_of_what_was_shown_is_refused(study, text, named):
    (study.parent / "shown.csv").write_text(text, "utf-8")
    study.write_text(study.read_text("utf-8") + '[fuse]\nshown = "shown.csv"\n', "utf-8")
    result = call("fuse", study)
    assert result.exit_code == 2
    assert named in result.output.replace("\n", " ")


def test_a_table_of_what_was_shown_that_is_not_there_is_said(study):
    study.write_text(study.read_text("utf-8") + '[fuse]\nshown = "none.csv"\n', "utf-8")
    result = call("fuse", study)
    assert result.exit_code == 2
    assert "none.csv" in result.output


def test_agree_and_complete_know_what_was_shown_as_done(study):
    """Without the table cyd missed the organ and left a gap; with it neither, and it is said."""
    out = study.parent / "out"

    def state():
        assert call("agree", study).exit_code == 0
        assert call("complete", study).exit_code == 0
        raters = pd.read_csv(out / "raters.csv").set_index("rater")
        runs = pd.read_csv(out / "completeness.csv", dtype={"case": str})
        return raters.loc["cyd"], runs.set_index(["case", "rater"]).loc[("1", "cyd")]

    rater, gap = state()
    assert (rater["miss_rate"] > 0, gap["state"]) == (True, "partial")
    shown = "case,slice,label,rater,x0,y0,x1,y1\n1,1,liver,cyd,5,5,45,41\n"
    (study.parent / "shown.csv").write_text(shown, "utf-8")
    study.write_text(study.read_text("utf-8") + '[fuse]\nshown = "shown.csv"\n', "utf-8")
    rater, gap = state()
    assert (rater["miss_rate"], gap["state"], gap["n_gaps"]) == (0, "complete", 0)
    assert rater["n_slices"] == 16
    assert call("gate", study).exit_code in {0, 3}
    told = call("gate", study, "--explain", "rater:cyd").output
    assert "readings-aided" in told
    told = call("gate", study, "--explain", "1/liver").output
    assert "slices-shown-done" in told
