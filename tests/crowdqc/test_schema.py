import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.agreement import assess_raters
from crowdqc.completeness import assess
from crowdqc.matching import match
from crowdqc.schema import (
    IF_READ,
    MEASURES,
    TABLES,
    SchemaError,
    Study,
    column_of,
    conform,
    empty,
    natural_order,
)
from tests.crowdqc.agreement.organs import GOOD, NONE, organ_study


def image(case="1", slice_=0):
    return {"case": case, "slice": slice_, "height": 10, "width": 10}


def reading(rater="a", labels="", state="boxed", **where):
    return {"case": "1", "slice": 0, "rater": rater, "labels": labels, "state": state, **where}


def box(**changes):
    row = {"box": 0, "case": "1", "slice": 0, "rater": "a", "label": "liver"}
    return {**row, "x0": 1.0, "y0": 1.0, "x1": 2.0, "y1": 2.0, **changes}


def study(images, readings, boxes, **more):
    frames = [pd.DataFrame(rows) for rows in (images, readings)]
    drawn = pd.DataFrame(boxes) if boxes else empty("boxes")
    return Study("s", ("liver", "spleen"), *frames, drawn, **more)


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table_has_all_its_columns(table):
    assert list(empty(table).columns) == [c.name for c in TABLES[table] if not c.extra]
    assert len(empty(table)) == 0


def test_conform_orders_casts_fills_and_keeps_what_is_more():
    frame = pd.DataFrame({"more": [1], "width": [3.0], "height": [2], "slice": [7], "case": ["1"]})

    table = conform("images", frame.set_index(pd.Index([5])))

    assert list(table.columns) == [*[c.name for c in TABLES["images"]], "more"]
    assert table.loc[0, "width"] == 3
    assert table["width"].dtype == np.int64
    assert table.loc[0, "path"] == ""
    assert np.isnan(table.loc[0, "spacing_x"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": None}, "lacks"),
        ({"width": [1.5]}, "'width' must be int"),
        ({"width": ["x"]}, "'width' must be int"),
        ({"case": [None]}, "'case': row 0 is empty"),
    ],
)
def test_conform_names_the_column(change, says):
    columns = {"case": ["1"], "slice": [0], "height": [1], "width": [1], **change}
    frame = pd.DataFrame({name: values for name, values in columns.items() if values})

    with pytest.raises(SchemaError, match=says):
        conform("images", frame)


def test_a_study_asks_each_rater_for_the_labels_of_the_reading():
    s = study([image()], [reading(), reading(rater="b", labels="spleen")], [])

    asked = s.asked()

    assert list(zip(asked["rater"], asked["label"], strict=True)) == [
        ("a", "liver"),
        ("a", "spleen"),
        ("b", "spleen"),
    ]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (([image(), image()], [reading()], []), "'images' has .* more than once"),
        (([image()], [reading(), reading()], []), "'readings' has .* more than once"),
        (([image()], [reading(slice=3)], []), "not in 'images'"),
        (([image()], [reading()], [box(rater="b")]), "not in 'readings'"),
        (([image()], [reading()], [box(label="gut")]), r"\['gut'\]"),
        (([image()], [reading()], [box(x1=1.0)]), "empty, reversed"),
        (([image()], [reading()], [box(y1=np.inf)]), "not finite"),
        (([image()], [reading()], [box(), box()]), "'boxes' has .* more than once"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(parts, says):
    with pytest.raises(SchemaError, match=says):
        study(*parts)


@given(st.lists(st.integers(0, 10**6)))
def test_natural_order_sorts_numbers_in_names(numbers):
    names = [f"r{number}" for number in numbers]

    assert natural_order(names) == [f"r{number}" for number in sorted(numbers)]


def test_natural_order_takes_any_text():
    assert natural_order(["b", "", "1a", "a1", "²", "٣"])[0] == ""


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_title_and_every_number_a_meaning_or_unit(table):
    for column in TABLES[table]:
        assert column.title
        assert not column.about.endswith(".")
        assert column.kind in {"text", "int", "float", "bool"}


def test_all_that_is_written_of_raters_and_masks_is_declared():
    study_ = organ_study(GOOD, cases=2, slices=8)
    found = assess_raters(match(study_), resampling=NONE, gold=None)
    table, _ = assess(study_)

    for frame, name in ((found.raters, "raters"), (table, "completeness")):
        assert set(frame.columns) <= {column.name for column in TABLES[name]}
    measures = set(found.measurements["measure"].str.removesuffix(IF_READ))
    assert {m for m in measures if not m.startswith("called_")} <= set(MEASURES)


def test_a_column_that_nobody_declared_has_its_name_as_title():
    assert column_of("raters", "n_yawns").title == "N yawns"
    assert column_of("raters", "agreement").unit == "1"
