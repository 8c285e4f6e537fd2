"""What `import crowdqc` offers."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crowdqc
from crowdqc.schema import BOX, SchemaError

COLUMNS = ["case", "slice", "rater", "label", *BOX]
ROW = ("1", 0, "a", "left kidney", 1.0, 2.0, 5.0, 6.0)
ROWS = st.lists(
    st.builds(
        lambda case, k, rater, label, x, y: (case, k, rater, label, x, y, x + 3.5, y + 2.0),
        st.integers(1, 3),
        st.integers(0, 9),
        st.sampled_from(["a", "b b", "ç"]),
        st.sampled_from(["left kidney", "liver"]),
        st.floats(0, 50),
        st.floats(0, 50),
    ),
    min_size=1,
    max_size=25,
)


def frame(rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import crowdqc, sys; print([m for m in ('numpy', 'pandas', 'click') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_every_name_is_there_and_documented():
    assert 20 <= len(crowdqc.__all__) <= 25
    assert set(crowdqc.__all__) <= set(dir(crowdqc))
    assert all(getattr(crowdqc, name).__doc__ for name in crowdqc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fuze'"):
        crowdqc.fuze  # noqa: B018


def test_packages_are_called_as_their_main_function():
    study = crowdqc.Study.from_boxes(crowdqc.example_boxes())
    matched = crowdqc.match(study)

    table, _ = crowdqc.completeness(study)
    pd.testing.assert_frame_equal(crowdqc.agreement(matched), crowdqc.measure_agreement(matched))
    pd.testing.assert_frame_equal(table, crowdqc.assess_completeness(study)[0])


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_a_study_of_boxes_alone_is_whole(rows):
    boxes = frame(rows)

    study = crowdqc.Study.from_boxes(boxes)

    assert study.boxes[BOX].to_numpy() == pytest.approx(boxes[BOX].to_numpy())
    assert set(study.raters) == set(boxes["rater"])
    read = study.readings.merge(study.images, on=["case", "slice"])
    assert len(read) == len(study.readings)
    ends = boxes.groupby("case")["slice"].agg(["min", "max"])
    people = boxes.groupby("case")["rater"].nunique()
    assert len(study.readings) == ((ends["max"] - ends["min"] + 1) * people).sum()
    boxed = study.readings[study.readings["state"] == "boxed"]
    assert len(boxed) == len(boxes.drop_duplicates(["case", "slice", "rater"]))
    assert len(study.asked()) == len(study.readings) * len(study.labels)
    assert len(crowdqc.match(study).boxes) == len(boxes)


@given(ROWS)
@settings(max_examples=4, deadline=None)
def test_boxes_alone_are_enough_for_a_verdict(rows):
    manifest = crowdqc.gate(crowdqc.Study.from_boxes(frame(rows)))

    assert manifest.verdict.value in {"accept", "review", "reject"}
    assert {one["case"] for one in manifest.cases} == {str(row[0]) for row in rows}


def test_what_is_known_of_readings_and_pictures_is_taken():
    readings = pd.DataFrame(
        [("1", 0, "a", "boxed"), ("1", 0, "b", "reviewed_empty"), ("1", 7, "b", "opened")],
        columns=["case", "slice", "rater", "state"],
    )

    study = crowdqc.Study.from_boxes(
        frame([ROW]), readings=readings, shape=(30, 40), labels=["left kidney", "liver"], single=[]
    )

    assert study.readings["state"].tolist() == ["boxed", "reviewed_empty", "opened"]
    assert study.images[["slice", "height", "width"]].to_numpy().tolist() == [
        [0, 30, 40],
        [7, 30, 40],
    ]
    assert (study.labels, study.single) == (("left kidney", "liver"), frozenset())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": None}, r"lacks \['label'\]"),
        ({"case": np.nan}, "'case': row 0 is empty"),
        ({"slice": 0.5}, "'slice' must be int"),
        ({"slice": -1}, "Slices count from 0; got -1"),
        ({"x1": 1.0}, "empty, reversed or not finite"),
        ({"y0": np.inf}, "finite"),
        ({"x0": "left"}, "'x0' must be float"),
    ],
)
def test_boxes_that_are_none_are_refused(change, says):
    boxes = frame([ROW]).assign(
        **{name: value for name, value in change.items() if value is not None}
    )
    boxes = boxes.drop(columns=[name for name, value in change.items() if value is None])

    with pytest.raises(SchemaError, match=says):
        crowdqc.Study.from_boxes(boxes)


def test_the_verdict_is_that_of_the_commands(tmp_path):
    study = crowdqc.Study.from_boxes(crowdqc.example_boxes())
    crowdqc.convert(study, "table", tmp_path / "study")
    said = []

    there = crowdqc.run(tmp_path / "study" / "study.toml", out=tmp_path / "out", say=said.append)

    here = crowdqc.gate(study)
    assert here.verdict == there.verdict
    assert [one["verdict"] for one in here.raters] == [one["verdict"] for one in there.raters]
    assert said[0] == "crowdqc check ..."
    assert (tmp_path / "out" / "report.html").exists()
