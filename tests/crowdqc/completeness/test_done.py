"""Slices on which a rater was shown the fused box as done are not missing."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import crowdqc
from crowdqc.completeness import assess
from crowdqc.completeness.done import with_done
from crowdqc.completeness.runs import SHOWN
from crowdqc.schema import BOX, Study

LIVER = (10.0, 10.0, 50.0, 40.0)
COLUMNS = ["case", "slice", "label", "rater", *BOX]


def study(drawn):
    """`drawn` are the slices of each rater, of ten, in one case."""
    rows = [("1", k, "liver", rater, *LIVER) for rater, slices in drawn.items() for k in slices]
    readings = [
        ("1", k, rater, "boxed" if k in drawn[rater] else "reviewed_empty")
        for rater in drawn
        for k in range(10)
    ]
    read = pd.DataFrame(readings, columns=["case", "slice", "rater", "state"])
    return Study.from_boxes(
        pd.DataFrame(rows, columns=COLUMNS),
        readings=read,
        labels=["liver"],
        single=["liver"],
        shape=(64, 64),
    )


def shown(rater, slices):
    return pd.DataFrame([("1", k, "liver", rater, *LIVER) for k in slices], columns=COLUMNS)


def run(result, rater="c"):
    return result[0].set_index("rater").loc[rater]


THREE = {"a": range(2, 8), "b": range(2, 8), "c": [2, 3, 6]}


def test_a_gap_that_was_shown_as_done_is_none():
    blind = assess(study(THREE))
    told = assess(study(THREE), shown=shown("c", [4, 5, 7]))
    assert (run(blind)["state"], run(blind)["gap_slices"]) == ("partial", "4 5")
    assert (run(told)["state"], run(told)["n_gaps"], run(told)["coverage"]) == ("complete", 0, 1)
    note = [f for f in told[1] if f.check == "slices-shown-done"]
    assert [(f.rater, f.value, f.slices) for f in note] == [("c", 3, "4-5 7")]
    assert not [f for f in told[1] if f.rater == "c" and f.check != "slices-shown-done"]


def test_a_slice_that_was_not_shown_is_still_missing():
    told = assess(study(THREE), shown=shown("c", [4, 7]))
    assert (run(told)["state"], run(told)["gap_slices"]) == ("partial", "5")


def test_a_run_of_nothing_but_what_was_shown_is_complete():
    told = assess(
        study({"a": range(2, 8), "b": range(2, 8), "c": []}), shown=shown("c", range(2, 8))
    )
    assert run(told)["state"] == "complete"


def test_what_was_stopped_as_nothing_does_not_count_as_drawn():
    """A box of a alone, which b was asked for and did not draw, is shown to c."""
    drawn = {"a": [2, 3, 4, 5, 6, 7, 9], "b": range(2, 8), "d": range(2, 8), "c": range(2, 8)}
    told = assess(study(drawn), shown=shown("c", [9]))
    assert run(told)["last"] == 7
    assert not [f for f in told[1] if f.check == "slices-shown-done"]


def test_who_draws_what_was_shown_has_one_box():
    own = study({**THREE, "c": [2, 3, 4, 5, 6, 7]})
    assert with_done(own, shown("c", [4]))[0] is own


def test_what_was_shown_speaks_for_nobody_elses_box():
    """b drew elsewhere on slice 4; a and a shown box are no two who agree against b."""
    plain = study({"a": range(2, 8), "b": range(2, 8), "c": [2, 3, 5, 6, 7]})
    boxes = plain.boxes.copy()
    far = (boxes["rater"] == "b") & (boxes["slice"] == 4)
    boxes.loc[far, BOX] = (10.0, 44.0, 30.0, 60.0)
    moved = Study(
        plain.name, plain.labels, plain.images, plain.readings, boxes, single=plain.single
    )
    found = assess(moved, shown=shown("c", [4]))[1]
    assert "box-contradicted" not in {f.check for f in found}
    done = with_done(moved, shown("c", [4]))[0].boxes
    assert done.loc[done["source"] == SHOWN, ["rater", "slice"]].to_numpy().tolist() == [["c", 4]]


@pytest.mark.parametrize("table", [None, shown("c", []), shown("nobody", [4])])
def test_without_shown_boxes_nothing_changes(table):
    one = study(THREE)
    assert with_done(one, table) == (one, [])
    assert_frame_equal(assess(one)[0], crowdqc.assess_completeness(one, shown=table)[0])
