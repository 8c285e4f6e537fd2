"""Raters who were shown fused boxes as done are judged by what they read without."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import crowdqc
from crowdqc.agreement import assess_raters
from crowdqc.agreement.unaided import aided_findings, unaided
from crowdqc.schema import BOX, Study

SHOWN = ["case", "slice", "label", "rater", *BOX]
BOX_OF = {"liver": (10, 10, 50, 40), "spleen": (60, 60, 80, 90)}


def study(*, redrawn=False, raters="abcd"):
    """Four raters; d drew nothing of the liver of case 3, or the very same boxes as c."""
    rng = np.random.default_rng(1)
    rows = []
    for case in "123":
        for k in range(6):
            for label, box in BOX_OF.items():
                for rater in raters:
                    own = np.array(box) + rng.normal(0, 1, 4)
                    if (case, label, rater) == ("3", "liver", "d"):
                        if not redrawn:
                            continue
                        own = np.array(rows[-1][4:])
                    rows.append((case, k, rater, label, *own))
    return Study.from_boxes(pd.DataFrame(rows, columns=["case", "slice", "rater", "label", *BOX]))


def shown(rater="d", slices=range(6)):
    rows = [("3", k, "liver", rater, *BOX_OF["liver"]) for k in slices]
    return pd.DataFrame(rows, columns=SHOWN)


def card(result, rater="d"):
    return result.raters.set_index("rater").loc[rater]


def test_what_was_shown_as_done_is_not_missed():
    matched = crowdqc.match(study())
    blind, told = assess_raters(matched), assess_raters(matched, shown=shown())
    assert card(blind)["miss_rate"] > 0.1
    assert card(told)["miss_rate"] == 0
    assert card(told)["reliability"] > card(blind)["reliability"]
    assert card(told)[["n_cases", "n_slices", "n_boxes"]].tolist() == [3, 18, 30]
    note = [f for f in told.findings if f.check == "readings-aided"]
    assert [(f.rater, f.value) for f in note] == [("d", 6)]


def test_boxes_drawn_after_what_was_shown_do_not_count_as_agreement():
    """Whatever is drawn there changes nothing but the number of boxes."""
    one, other = (
        assess_raters(crowdqc.match(study(redrawn=redrawn)), shown=shown())
        for redrawn in (False, True)
    )
    assert_frame_equal(one.measurements, other.measurements)
    rest = [name for name in one.raters if name != "n_boxes"]
    assert_frame_equal(one.raters[rest], other.raters[rest])
    assert card(other)["n_boxes"] == card(one)["n_boxes"] + 6


def test_measures_are_those_of_the_study_without_these_readings():
    matched = crowdqc.match(study())
    left = unaided(matched, shown())
    boxes = matched.study.boxes
    gone = (boxes["case"] == "3") & (boxes["label"] == "liver") & (boxes["rater"] == "d")
    assert len(left.boxes) == len(boxes) - gone.sum()
    asked = left.asked[left.asked["rater"] == "d"].groupby(["case", "label"]).size()
    assert asked.to_dict() == {
        ("1", "liver"): 6,
        ("1", "spleen"): 6,
        ("2", "liver"): 6,
        ("2", "spleen"): 6,
        ("3", "spleen"): 6,
    }
    assert_frame_equal(
        assess_raters(matched, shown=shown()).measurements, assess_raters(left).measurements
    )


def test_a_rater_who_was_always_shown_something_has_no_scores_but_a_row():
    rows = [
        (case, k, label, "d", *box)
        for case in "123"
        for k in range(6)
        for label, box in BOX_OF.items()
    ]
    table = pd.DataFrame(rows, columns=SHOWN)
    result = assess_raters(crowdqc.match(study()), shown=table)
    assert card(result)[["n_cases", "n_slices", "n_boxes"]].tolist() == [3, 18, 30]
    assert np.isnan(card(result)["reliability"])
    assert result.raters["rater"].tolist() == list("abcd")


@pytest.mark.parametrize("table", [None, shown().iloc[:0], shown("nobody")])
def test_without_aided_readings_nothing_changes(table):
    matched = crowdqc.match(study())
    assert unaided(matched, table) is matched
    assert aided_findings(matched, table) == []
    same = assess_raters(matched, shown=table)
    assert_frame_equal(assess_raters(matched).raters, same.raters)
