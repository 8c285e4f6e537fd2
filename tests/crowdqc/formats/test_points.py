"""Points of raters: read beside boxes, checked, carried, and written again."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.config import load_config
from crowdqc.formats import Round, merge_rounds, read_rounds, read_study
from crowdqc.formats.conversion import convert
from crowdqc.formats.guess import guess_study
from crowdqc.fusion.members import with_points
from crowdqc.packages import sent
from crowdqc.schema import BOX
from tests.crowdqc.formats.exported import STUDIO, annotation, checks, region, states

PLACE = ["case", "slice", "rater", "label", "x", "y", "positive"]
COLUMNS = ["case", "slice", "rater", "label", *BOX, "point_x", "point_y", "positive"]
TABLE = 'format = "table"\npath = "a.csv"\nsize = [100, 200]\n[annotations.columns]\n' + "\n".join(
    f'{name} = "{name}"' for name in COLUMNS
)


def table(*rows):
    return "\n".join([",".join(COLUMNS), *rows]) + "\n"


def points_of(study):
    return list(study.points[PLACE].itertuples(index=False, name=None))


def test_a_row_of_a_table_may_be_a_point(read):
    rows = [
        "p,1,a,liver,1,2,30,40,,,",
        "p,1,a,liver,,,,,20,30.5,",
        "p,1,a,spleen,,,,,50,60,false",
        "p,1,b,liver,1,2,30,40,,,",
        "p,2,b,,,,,,,,",
    ]
    study, findings = read(TABLE, {"a.csv": table(*rows)})

    assert points_of(study) == [
        ("p", 1, "a", "liver", 20.0, 30.5, True),
        ("p", 1, "a", "spleen", 50.0, 60.0, False),
    ]
    assert study.points["source"].tolist() == ["a.csv:3", "a.csv:4"]
    assert len(study.boxes) == 2
    assert states(study) == {"p/1/a": "boxed", "p/1/b": "boxed", "p/2/b": "reviewed_empty"}
    assert checks(findings) == []


def test_who_only_sets_a_point_has_not_said_that_there_is_nothing(read):
    rows = ["p,1,a,liver,1,2,30,40,,,", "p,1,b,liver,,,,,20,30,"]
    study, _ = read(TABLE, {"a.csv": table(*rows)})

    assert states(study) == {"p/1/a": "boxed", "p/1/b": "opened"}
    assert len(study.points) == 1


@pytest.mark.parametrize(
    ("row", "check"),
    [
        ("p,1,a,liver,,,,,200.5,30,", "point-outside-image"),
        ("p,1,a,liver,,,,,nan,30,", "point-outside-image"),
        ("p,1,a,liver,,,,,20,,", "not-a-number"),
        ("p,1,a,liver,,,,,20,x,", "not-a-number"),
        ("p,1,a,liver,,,,,20,-inf,", "point-outside-image"),
        ("p,1,a,lung,,,,,20,30,", "unknown-class"),
    ],
)
def test_a_point_that_is_not_sound_is_a_finding(read, row, check):
    study, findings = read(TABLE, {"a.csv": table("p,1,a,liver,1,2,30,40,,,", row)})

    assert checks(findings) == [check]
    assert findings[0].source == "a.csv:3"
    assert study.points.empty
    assert len(study.boxes) == 1
    assert states(study) == {"p/1/a": "boxed"}


def test_a_point_on_the_edge_and_a_point_twice(read):
    rows = ["p,1,a,liver,1,2,30,40,,,", *["p,1,a,liver,,,,,200,100,"] * 2]
    study, findings = read(TABLE, {"a.csv": table(*rows)})

    assert points_of(study) == [("p", 1, "a", "liver", 200.0, 100.0, True)]
    assert checks(findings) == []


POINT = {"x": 5, "y": 50, "width": 0.5, "keypointlabels": ["liver"]}


@pytest.mark.parametrize(("said", "positive"), [({}, True), ({"is_positive": 0}, False)])
def test_a_keypoint_of_label_studio(read, said, positive):
    point = {**region(id="k", type="keypointlabels", value=POINT), **said}
    task = {"data": {"image": "p1_1.png"}, "annotations": [annotation(5, region(), point)]}

    study, findings = read(STUDIO, {"all.json": [task]})

    assert points_of(study) == [("1", 1, "5", "liver", 10.0, 50.0, positive)]
    assert study.points["source"].tolist() == ["all.json:task 0, annotation 0, result 1"]
    assert states(study) == {"1/1/5": "boxed"}
    assert checks(findings) == []


def test_a_keypoint_without_a_box_leaves_its_slice_open(read):
    point = region(id="k", type="keypointlabels", value=POINT)
    task = {"data": {"image": "p1_1.png"}, "annotations": [annotation(5, point)]}

    study, findings = read(STUDIO, {"all.json": [task]})

    assert len(study.points) == 1
    assert states(study) == {"1/1/5": "opened"}
    assert checks(findings) == ["shape-not-a-box"]
    assert "kept as prompts" in findings[0].message
    assert findings[0].source == "all.json:task 0, annotation 0, result 0"


def test_a_newer_annotation_takes_the_points_of_the_older_one_away(read):
    point = region(id="k", type="keypointlabels", value=POINT)
    both = [annotation(5, region(), point, day=1), annotation(5, region(), day=2)]
    task = {"data": {"image": "p1_1.png"}, "annotations": both}

    study, _ = read(STUDIO, {"all.json": [task]})

    assert study.points.empty


CVAT = """<annotations><version>1.1</version>
<image id="0" name="p1_1.png" width="200" height="100">
<box label="liver" xtl="1" ytl="2" xbr="30" ybr="40"/>
<points label="liver" points="10,20;12.5,30"/>
<points label="liver" points="60,70"><attribute name="positive">false</attribute></points>
POINTS</image></annotations>"""


def test_points_of_cvat(read):
    rule = 'format = "cvat"\npath = "{rater}.xml"\nimage = "p{case}_{slice}"'

    study, findings = read(rule, {"a.xml": CVAT.replace("POINTS", "")})

    assert points_of(study) == [
        ("1", 1, "a", "liver", 10.0, 20.0, True),
        ("1", 1, "a", "liver", 12.5, 30.0, True),
        ("1", 1, "a", "liver", 60.0, 70.0, False),
    ]
    assert checks(findings) == []
    bad = CVAT.replace("POINTS", '<points label="liver" points="1,2;oops"/>')
    study, findings = read(rule, {"a.xml": bad})
    assert checks(findings) == ["not-a-number"]
    assert len(study.points) == 4


def test_a_later_round_replaces_points(make_config, write):
    write("r1/a.csv", table("p,1,a,liver,1,2,30,40,,,", "p,1,a,liver,,,,,20,30,"))
    write("r2/a.csv", table("p,1,a,liver,1,2,30,40,,,", "p,1,a,liver,,,,,22,33,"))
    both = TABLE.replace('"a.csv"', '"r1/a.csv"').replace(
        "[annotations.columns]", 'rounds = ["r1", "r2"]\n[annotations.columns]'
    )
    rounds, _ = read_rounds(make_config(both, LABELS))

    study, _ = merge_rounds(rounds)

    assert points_of(study) == [("p", 1, "a", "liver", 22.0, 33.0, True)]
    assert study.points["point"].tolist() == [0]


LABELS = """
[study]
name = "s"
[labels]
liver = { name = "liver", value = 1 }
"""


def test_points_are_written_where_a_format_holds_them_and_else_said_to_be_lost(read, tmp_path):
    rows = [
        "p,1,a,liver,1,2,30,40,,,",
        "p,1,a,liver,,,,,20,30,false",
        "p,1,b,liver,,,,,20,30,",
        "p,2,b,,,,,,,,",
    ]
    study, _ = read(TABLE, {"a.csv": table(*rows)})

    for name in ("yolo", "coco", "voc"):
        lost = convert(study, name, tmp_path / name)
        assert [one.value for one in lost if one.check == "points-lost"] == [2.0]

    for name in ("table", "labelstudio", "cvat"):
        lost = convert(study, name, tmp_path / name)
        assert {one.check for one in lost} <= {"opened-lost"}
        again, _ = read_study(load_config(tmp_path / name / "study.toml"))
        assert points_of(again) == points_of(study)
        np.testing.assert_allclose(again.boxes[BOX], study.boxes[BOX])
        assert states(again) == states(study)


def fused(*boxes, label="liver"):
    rows = [("p", 1, label, *box) for box in boxes]
    return pd.DataFrame(rows, columns=["case", "slice", "label", *BOX])


def drawn(*points, label="liver"):
    rows = [("p", 1, label, *point) for point in points]
    return pd.DataFrame(rows, columns=["case", "slice", "label", "x", "y", "positive"])


def test_a_point_belongs_to_the_boxes_that_hold_it():
    boxes = fused((0, 0, 10, 10), (5, 5, 20, 20), (50, 50, 60, 60))
    points = drawn((7, 7, True), (2, 2, True), (30, 30, True), (30, 31, False))

    table_, unused = with_points(boxes, points)

    near = (30.0, 31.0, False)
    assert table_["rater_points"].tolist() == [
        ((7.0, 7.0, True), (2.0, 2.0, True), near),
        ((7.0, 7.0, True), near),
        (near,),
    ]
    assert unused[["x", "y"]].to_numpy().tolist() == [[30, 30]]


def test_a_point_of_another_label_or_slice_belongs_to_no_box():
    points = pd.concat([drawn((5, 5, False), label="spleen"), drawn((5, 5, True)).assign(slice=2)])

    table_, unused = with_points(fused((0, 0, 10, 10)), points)

    assert table_["rater_points"].tolist() == [()]
    assert len(unused) == 2


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans()), max_size=12))
def test_every_point_is_used_or_said_to_be_unused(points):
    boxes = fused((0, 0, 10, 10), (5, 5, 20, 20))
    table_, unused = with_points(boxes, drawn(*points))

    used = {point for row in table_["rater_points"] for point in row}
    assert used.isdisjoint(set(unused[["x", "y", "positive"]].itertuples(index=False, name=None)))
    every = {(float(x), float(y), p) for x, y, p in points}
    left = {(float(x), float(y), bool(p)) for x, y, p in unused[["x", "y", "positive"]].to_numpy()}
    assert used | left == every


@pytest.mark.parametrize("again", [True, False])
def test_points_of_a_returned_package_replace_the_earlier_ones(read, tmp_path, monkeypatch, again):
    rows = ["p,1,a,liver,1,2,30,40,,,", "p,1,a,liver,,,,,20,30,"]
    study, _ = read(TABLE, {"a.csv": table(*rows)})
    folder = tmp_path / "returned"
    folder.mkdir()
    study.readings.to_csv(folder / "readings.csv", index=False)
    study.boxes.to_csv(folder / "boxes.csv", index=False)
    if again:
        study.points.assign(x=25.0).to_csv(folder / "points.csv", index=False)
    place = SimpleNamespace(case="p", slice=1, height=100, width=200)
    one = SimpleNamespace(task=SimpleNamespace(round=2, slices=[place]), returned=(folder,))
    monkeypatch.setattr(sent, "sent_packages", lambda _: [one])

    back = sent.returned_rounds(None, study)
    merged, _ = merge_rounds([Round(1, study), *back])

    assert merged.points["x"].tolist() == ([25.0] if again else [])
    assert (folder / "points.csv" in sent.returned_files(None)) is again


def test_init_names_the_columns_of_points_and_labels_that_only_points_have(write, tmp_path):
    rows = ["p,1,a,liver,1,2,30,40,,,", "p,1,a,spleen,,,,,50,60,false"]
    write("a.csv", table(*rows))

    guess = guess_study(tmp_path)

    assert {name: guess.columns[name] for name in ("point_x", "point_y", "positive")} == {
        "point_x": "point_x",
        "point_y": "point_y",
        "positive": "positive",
    }
    assert list(guess.labels) == ["liver", "spleen"]


def test_a_column_positive_is_nothing_without_points(write, tmp_path):
    write("a.csv", "case,slice,label,x0,y0,x1,y1,positive\np,1,liver,1,2,30,40,1\n")

    assert "positive" not in guess_study(tmp_path).columns


SCRIBBLED = f'{TABLE}\nscribble = "scribble"'


def scribbled(*rows):
    return "\n".join([",".join([*COLUMNS, "scribble"]), *rows]) + "\n"


def lines_of(study):
    found = study.points.groupby(["slice", "rater", "label", "scribble"], sort=False)
    return {key: list(map(tuple, one[["x", "y"]].to_numpy().tolist())) for key, one in found}


def test_rows_of_one_scribble_are_the_corners_of_a_line(read):
    rows = [
        "p,1,a,liver,1,2,30,40,,,,",
        *["p,1,a,liver,,,,,20,30,,w", "p,1,a,liver,,,,,25,30,,w", "p,1,a,liver,,,,,20,30,,w"],
        *["p,1,a,liver,,,,,50,60,0,v", "p,1,a,liver,,,,,55,60,0,v"],
        "p,1,a,liver,,,,,7,8,,alone",
    ]
    study, findings = read(SCRIBBLED, {"a.csv": scribbled(*rows)})

    assert lines_of(study) == {
        (1, "a", "liver", "1"): [(20, 30), (25, 30), (20, 30)],  # it may come back
        (1, "a", "liver", "2"): [(50, 60), (55, 60)],
        (1, "a", "liver", ""): [(7, 8)],
    }
    assert study.points["positive"].tolist() == [True, True, True, False, False, True]
    assert checks(findings) == []


@pytest.mark.parametrize(
    ("corner", "check"), [("25,x", "not-a-number"), ("250,30", "point-outside-image")]
)
def test_of_a_scribble_with_a_bad_corner_nothing_is_left(read, corner, check):
    rows = ["p,1,a,liver,1,2,30,40,,,,", "p,1,a,liver,,,,,20,30,,w", "p,1,a,liver,,,,,3,4,,v"]
    rows += [f"p,1,a,liver,,,,,{corner},,w", "p,1,a,liver,,,,,5,6,,v"]
    study, findings = read(SCRIBBLED, {"a.csv": scribbled(*rows)})

    assert lines_of(study) == {(1, "a", "liver", "1"): [(3, 4), (5, 6)]}
    assert checks(findings) == [check]
    assert findings[0].source == "a.csv:5"
    assert len(study.boxes) == 1


def test_polylines_of_cvat_are_scribbles(read):
    rule = 'format = "cvat"\npath = "{rater}.xml"\nimage = "p{case}_{slice}"'
    line = '<polyline label="liver" points="1,2;3,4;5,2">SAID</polyline>'
    said = '<attribute name="positive">false</attribute>'

    study, findings = read(rule, {"a.xml": CVAT.replace("POINTS", line.replace("SAID", said))})

    assert lines_of(study)[1, "a", "liver", "1"] == [(1, 2), (3, 4), (5, 2)]
    assert not study.points["positive"].iloc[-1]
    assert checks(findings) == []
    bad = CVAT.replace("POINTS", '<polyline label="liver" points="1,2;oops;5,2"/>')
    study, findings = read(rule, {"a.xml": bad})
    assert checks(findings) == ["not-a-number"]
    assert set(study.points["scribble"]) == {""}


VECTOR = {"vertices": [{"x": 5, "y": 50}, {"x": 10, "y": 60}], "vectorlabels": ["liver"]}


def test_a_line_of_label_studio_is_a_scribble(read):
    line = region(id="k", type="vectorlabels", value=VECTOR)
    task = {"data": {"image": "p1_1.png"}, "annotations": [annotation(5, region(), line)]}
    study, findings = read(STUDIO, {"all.json": [task]})
    assert lines_of(study) == {(1, "5", "liver", "1"): [(10, 50), (20, 60)]}
    assert checks(findings) == []

    task["annotations"] = [annotation(5, line)]
    study, findings = read(STUDIO, {"all.json": [task]})
    assert states(study) == {"1/1/5": "opened"}
    assert checks(findings) == ["shape-not-a-box"]
    assert "1 scribble" in findings[0].message

    bad = VECTOR | {"vertices": [{"x": 5, "y": 50}, {"x": "far"}]}
    task["annotations"] = [annotation(5, region(), line | {"value": bad})]
    study, findings = read(STUDIO, {"all.json": [task]})
    assert study.points.empty
    assert checks(findings) == ["not-a-number"]


def test_scribbles_are_written_and_read_again(read, tmp_path):
    rows = ["p,1,a,liver,1,2,30,40,,,,", "p,1,a,liver,,,,,7,8,,"]
    rows += [
        f"p,1,{who},liver,,,,,{x},30,{said},w" for who, said in (("a", 0), ("b", 1)) for x in (2, 9)
    ]
    study, _ = read(SCRIBBLED, {"a.csv": scribbled(*rows)})

    for name in ("table", "labelstudio", "cvat"):
        lost = convert(study, name, tmp_path / name)
        assert {one.check for one in lost} <= {"opened-lost"}
        again, _ = read_study(load_config(tmp_path / name / "study.toml"))
        assert lines_of(again) == lines_of(study)
        assert points_of(again) == points_of(study)


def test_a_scribble_belongs_to_the_boxes_that_hold_half_of_it():
    boxes = fused((0, 0, 10, 10), (8, 0, 30, 10))
    line = drawn((5, 5, True), (9, 5, True), (20, 5, True)).assign(scribble="1", rater="a")
    beside = drawn((50, 5, False), (60, 5, False)).assign(scribble="2", rater="a")
    far = drawn((1, 5, True), (60, 5, True), (61, 5, True)).assign(scribble="3", rater="a")

    table_, unused = with_points(boxes, pd.concat([line, beside, far]))

    whole, off = (
        tuple((float(x), 5.0, on) for x in xs) for xs, on in (((5, 9, 20), True), ((50, 60), False))
    )
    assert table_["rater_scribbles"].tolist() == [(whole, off), (whole, off)]
    assert table_["rater_points"].tolist() == [(), ()]
    assert unused["scribble"].tolist() == ["3", "3", "3"]
