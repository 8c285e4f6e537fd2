"""Tables with the columns that people give them."""

import json

import pytest

from crowdqc.formats.guess import guess_study, render_study
from tests.crowdqc.formats.exported import (
    LABELS,
    states,
)

# Tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["rad_id", "Labeled By", "WorkerId", "user_name", "created_by"])
def test_the_column_of_raters_is_found_by_its_name(start, column):
    text = f"image_id,class_name,class_id,{column},x_min,y_min,x_max,y_max\n"
    text += "a,No finding,14,R1,,,,\na,No finding,14,R2,,,,\nb,liver,3,R1,1,2,30,40\n"

    study, _, guess = start({"train.csv": text})

    assert guess.columns["rater"] == column
    assert states(study) == {
        "a/0/R1": "reviewed_empty",
        "a/0/R2": "reviewed_empty",
        "b/0/R1": "boxed",
    }


def test_a_column_that_looks_like_people_is_asked_for(write, tmp_path):
    rows = [f"img{k},liver,{who},{k},2,30,40" for k in range(5) for who in ("Jo", "Al")]
    write("t.csv", "case,label,made_with,x0,y0,x1,y1\n" + "\n".join(rows))

    text = render_study(guess_study(tmp_path), name="mine")

    assert "# Does 'made_with' say who drew?" in text


CENTRE = 'x_centre = "x", y_centre = "y", box_width = "w", box_height = "h"'


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ('x0 = "x", y0 = "y", box_width = "w", box_height = "h"', "x,y,w,h\np,a,10,20,4,6"),
        (
            'x_centre = "x", y_centre = "y", box_width = "w", box_height = "h"',
            "x,y,w,h\np,a,12,23,4,6",
        ),
        ("x0 = 3, y0 = 4, x1 = 5, y1 = 6", "p,a,10,20,14,26"),
    ],
    ids=["corner", "centre", "no header"],
)
def test_a_box_may_be_said_in_several_ways(read, columns, row):
    places = "case = 1, rater = 2" if "3" in columns else 'case = "case", rater = "rater"'
    text = row if "3" in columns else f"case,rater,{row}"

    study, _ = read(
        f'format = "table"\npath = "t.csv"\ncolumns = {{ {places}, {columns} }}',
        {"t.csv": text},
        LABELS,
    )

    assert study.boxes[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == [[10, 20, 14, 26]]


def test_a_table_for_each_rater_and_one_without_a_header(start):
    rows = "".join(f"img{k}.png,{k},10,2{k},30,liver\n" for k in range(3))

    study, _, guess = start({"ann.csv": rows, "bob.csv": rows})

    assert guess.path == "{rater}.csv"
    assert (study.raters, len(study.boxes), len(study.cases)) == (["ann", "bob"], 6, 3)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ("0001,{k},bob,liver,10,20,30,40", {"case": 1, "slice": 2, "label": 4, "x0": 5, "y1": 8}),
        ("p1,{k},liver,10,20,30,40", {"case": 1, "slice": 2, "label": 3, "x0": 4, "y1": 7}),
        ("7,{k},10,20,30,40,liver", {"case": 1, "slice": 2, "label": 7, "x0": 3, "y1": 6}),
        ("007,liver,10,20,30,40,0.9{k}", {"case": 1, "label": 2, "x0": 3, "y1": 6}),
        ("p1,liver,10,20,3,4", {"case": 1, "label": 2, "x0": 3, "box_height": 6}),
    ],
)
def test_places_of_columns_without_names_are_guessed(write, tmp_path, rows, columns):
    write("t.csv", "\n".join(rows.format(k=k) for k in range(3)))

    guess = guess_study(tmp_path)

    assert {name: guess.columns.get(name) for name in columns} == columns
    assert ("slice" in guess.columns) == ("slice" in columns)


def test_columns_that_are_not_read_are_named(write, tmp_path):
    rows = [f"p1,liver,{k},good,1,2,30,40" for k in range(3)]
    write("t.csv", "case,label,position,quality,x0,y0,x1,y1\n" + "\n".join(rows))

    said = " ".join(guess_study(tmp_path).remarks)

    assert "Columns that are not read: position, quality." in said
    assert "If 'position' numbers the slices" in said


def test_a_key_that_looks_like_people_is_asked_for(write, tmp_path):
    images = [{"id": k, "file_name": f"p{k}.png"} for k in range(4)]
    boxes = [
        {"id": k, "image_id": k % 4, "category_id": 1, "bbox": [1, 1, 2, 2], "by": f"R{k // 4}"}
        for k in range(8)
    ]
    data = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "liver"}]}
    write("all.json", json.dumps(data))

    assert "# Does 'by' say who drew?" in render_study(guess_study(tmp_path), name="mine")
