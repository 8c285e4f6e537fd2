import dataclasses

import numpy as np
import pandas as pd
import pytest

from crowdqc.formats.never_drawn import CASES, SLICES, infer_labels
from crowdqc.schema import Study

LABELS = ("liver", "spleen", "aorta")
THINGS = {"single": frozenset()}
PLACES = {"liver": 0.0, "spleen": 200.0, "aorta": 400.0}


def study(drawn, *, cases=4, depth=8, at=PLACES, **fields):
    """Raters who read all slices of all cases and draw some labels on each: rater -> labels."""
    slices = [(f"c{case}", k) for case in range(cases) for k in range(depth)]
    readings = [(case, k, rater, "boxed") for case, k in slices for rater in drawn]
    boxes = [
        (case, k, rater, label, x, 10.0, x + 50.0, 60.0)
        for case, k in slices
        for rater, labels in drawn.items()
        for label in labels.split()
        for x in [at[label] + ord(rater[-1]) % 3]
    ]
    columns = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
    frame = pd.DataFrame(boxes, columns=columns)
    return Study(
        "s",
        LABELS,
        pd.DataFrame(slices, columns=["case", "slice"]).assign(height=512, width=512),
        pd.DataFrame(readings, columns=["case", "slice", "rater", "state"]),
        frame.assign(box=range(len(frame))),
        **{"single": frozenset(LABELS)} | fields,
    )


def asked(found):
    """What each rater was asked for, where that is not everything."""
    readings = found.readings.drop_duplicates(["rater", "labels"])
    return {row.rater: row.labels for row in readings.itertuples() if row.labels}


def test_what_two_others_drew_time_and_again_was_not_asked_of_who_never_drew_it():
    crowd = study({"a": "liver spleen", "b": "liver spleen", "c": "liver"}, **THINGS)

    found, findings = infer_labels(crowd)

    assert asked(found) == {"c": "liver aorta"}  # nobody drew the aorta: that says nothing
    (finding,) = findings
    assert (finding.check, finding.rater, finding.label) == ("label-never-drawn", "c", "spleen")
    assert finding.value == 32
    assert "two or more others drew 32 times on slices of 4 cases that c read" in finding.message
    assert "never_drawn = 'missed'" in finding.message


def test_where_the_labels_were_divided_one_other_is_enough():
    crowd = study({"a": "liver", "b": "spleen", "c": "aorta"}, **THINGS)

    found, findings = infer_labels(crowd)

    assert asked(found) == {"a": "liver", "b": "spleen", "c": "aorta"}
    assert [finding.rater for finding in findings] == ["a", "b", "c"]


def test_of_things_one_who_draws_more_than_the_others_may_invent():
    crowd = study({"a": "liver", "b": "liver", "c": "liver spleen"}, **THINGS)

    assert infer_labels(crowd) == (crowd, [])


def test_an_organ_that_goes_on_along_the_slices_is_not_invented():
    crowd = study({"a": "liver", "b": "liver", "c": "liver spleen"})
    spleen, rng = crowd.boxes["label"] == "spleen", np.random.default_rng(0)
    boxes = crowd.boxes.copy()
    boxes.loc[spleen, ["x0", "x1"]] += rng.uniform(0, 250, (spleen.sum(), 1))
    invented = dataclasses.replace(crowd, boxes=boxes)

    found, findings = infer_labels(crowd)

    assert asked(found) == {"a": "liver aorta", "b": "liver aorta"}
    assert "which others drew 32 times" in findings[0].message
    assert infer_labels(invented) == (invented, [])


@pytest.mark.parametrize(
    ("cases", "depth"), [(CASES, (SLICES - 1) // CASES), (CASES - 1, SLICES), (1, 2 * SLICES)]
)
def test_few_slices_or_cases_are_not_enough(cases, depth):
    crowd = study(
        {"a": "liver spleen", "b": "liver spleen", "c": "liver"}, cases=cases, depth=depth
    )

    assert infer_labels(crowd) == (crowd, [])


def test_what_was_seen_and_named_otherwise_was_asked_for():
    """The spleen of c is an aorta: c saw it, and does not know its name."""
    crowd = study({"a": "liver spleen", "b": "liver spleen", "c": "liver"})
    renamed = crowd.boxes[(crowd.boxes["rater"] == "a") & (crowd.boxes["label"] == "spleen")]
    renamed = renamed.assign(rater="c", label="aorta")
    boxes = pd.concat([crowd.boxes, renamed], ignore_index=True)
    crowd = dataclasses.replace(crowd, boxes=boxes.assign(box=range(len(boxes))))

    assert infer_labels(crowd) == (crowd, [])


def test_what_is_known_is_not_inferred():
    drawn = {"a": "liver spleen", "b": "liver spleen", "c": "liver"}
    crowd, elsewhere = study(drawn), study(drawn, rater_scope="case")
    named = dataclasses.replace(crowd, readings=crowd.readings.assign(labels=" ".join(LABELS)))

    assert infer_labels(crowd, rule="missed") == (crowd, [])
    assert infer_labels(crowd, owed=pd.DataFrame({"rater": ["c"]})) == (crowd, [])
    assert infer_labels(named) == (named, [])
    assert infer_labels(elsewhere) == (elsewhere, [])


def test_a_study_without_boxes():
    crowd = study({"a": "", "b": ""})

    assert infer_labels(crowd) == (crowd, [])
