"""Files that can be read as something that they do not say, or by half: each is told."""

import itertools
import json
import re

import numpy as np
import pytest

from crowdqc.findings import InputError
from crowdqc.formats.guess import guess_study
from tests.crowdqc.formats.exported import LABELS, STUDIO, annotation, checks, coco, region

BY_RATER = 'format = "coco"\npath = "{rater}.json"\nimage = "{case}_{slice}.png"'
ONE = LABELS.replace("liver =", "0 =")
BOXES = [(x, y, x + 40, y + 30) for x, y in itertools.product((20, 60, 90), (10, 30, 50, 65))]
"""Corners in pictures of 100 rows and 150 columns."""


def yolo(*values):
    return " ".join(["0", *(f"{value:.4f}" for value in np.divide(values, [150, 100] * 2))])


def as_sizes(x0, y0, x1, y1):
    return yolo((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)


@pytest.mark.parametrize(("write_box", "told"), [(yolo, True), (as_sizes, False)])
def test_corners_in_the_place_of_sizes_are_noticed(read, write_box, told):
    files = {f"{who}/p_{k}.txt": write_box(*box) for who in "ab" for k, box in enumerate(BOXES)}
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.txt"\nsize = [100, 150]'

    _, findings = read(text, files, ONE)

    assert ("corners-as-sizes" in checks(findings)) == told


def test_large_boxes_beyond_an_image_are_no_corners(read):
    files = {f"a/p_{k}.txt": yolo(80 + k, 50, 145, 95) for k in range(12)}
    files["a/p_1.txt"] = yolo(120, 50, 100, 20)
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.txt"\nsize = [100, 150]'

    _, findings = read(text, files, ONE)

    assert "box-outside-image" in checks(findings)
    assert "corners-as-sizes" not in checks(findings)


def test_predictions_alone_are_no_readings(read):
    task = {"data": {"image": "p1_1.png"}, "annotations": [], "predictions": [{"result": []}]}

    with pytest.raises(InputError, match="predictions of models, alone in 1 task"):
        read(STUDIO, {"all.json": [task]})


def test_exports_of_old_versions_of_label_studio_are_known(write, tmp_path):
    task = {"data": {"image": "p_1.png"}, "completions": [annotation(1, region())]}
    write("all.json", json.dumps([task]))

    assert guess_study(tmp_path).format == "labelstudio"


def test_a_region_of_an_image_of_unknown_size_says_what_is_missing(read):
    bare = {key: value for key, value in region().items() if not key.startswith("original")}
    task = {"data": {"image": "p1_1.png"}, "annotations": [annotation(1, bare)]}

    _, findings = read(STUDIO, {"all.json": [task]})

    assert "original_width is missing. Percent are no px without it" in findings[0].message


def test_categories_without_names_are_asked_for(write, tmp_path):
    data = coco("p_1.png")
    del data["categories"]
    write("ann.json", json.dumps(data))

    guess = guess_study(tmp_path)

    assert guess.labels == {"1": "1"}
    assert any("write names of labels" in one for one in guess.remarks)


def test_what_is_of_no_known_format_says_what_would_be(write, tmp_path):
    write("notes.json", json.dumps({"shapes": []}))

    with pytest.raises(InputError, match="a table with the columns case, slice, rater, label"):
        guess_study(tmp_path)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["b.zip"], "b.zip is not looked into. Unpack it"),
        (["c/b.tar.gz", "c/d.ZIP"], "c/b.tar.gz is not looked into, like 1 other file of its kind"),
        (["boxes.xlsx"], "Save its sheet as CSV"),
    ],
)
def test_init_names_what_it_cannot_look_into(write, tmp_path, names, says):
    for name in names:
        write(name, b"PK")

    with pytest.raises(InputError, match=re.escape(says)):
        guess_study(tmp_path)

    write("a/p_1.txt", as_sizes(*BOXES[0]))
    assert any(says in remark for remark in guess_study(tmp_path).remarks)


@pytest.mark.parametrize(
    ("day", "pattern"),
    [
        (lambda who, case: 5 + 2 * case + "ab".index(who), "{rater}/*/p{case}_{slice}.txt"),
        (lambda who, _: 5 + "ab".index(who), "{rater}/*/p{case}_{slice}.txt"),
        (lambda *_: 5, "{rater}/2024-01-05/p{case}_{slice}.txt"),
    ],
    ids=["a day for each case", "a day for each rater", "one day"],
)
def test_days_on_which_people_drew_are_no_cases(write, tmp_path, day, pattern):
    for who, case, k in itertools.product("ab", (1, 2), range(3)):
        write(f"{who}/2024-01-{day(who, case):02}/p{case}_{k}.txt", as_sizes(*BOXES[0]))

    guess = guess_study(tmp_path)

    assert guess.path == pattern


def test_days_on_which_a_case_recurs_are_asked_about(write, tmp_path):
    for who, day, k in itertools.product("ab", ("20240105", "20240309"), range(3)):
        write(f"{who}/{day}/p1_{k}.txt", as_sizes(*BOXES[0]))

    guess = guess_study(tmp_path)

    assert guess.path.startswith("{rater}/{case")
    assert any("20240105 is read as a part of the case" in one for one in guess.remarks)


@pytest.mark.parametrize("word", ["", "NA", "nan", "NULL", "None", "#N/A"])
def test_what_programs_write_into_empty_cells_is_nothing_there(read, write, tmp_path, word):
    rows = [f"p,{k},{who},liver,1,2,90,80\n" for who in "ab" for k in range(3)]
    empty = [f"p,7,{who},{word},{word},{word},{word},{word}\n" for who in "ab"]

    study, findings = read(TABLE, {"all.csv": "".join([f"{HEAD}\n", *rows, *empty])})

    assert study.readings.set_index(["slice", "rater"])["state"].loc[7].eq("reviewed_empty").all()
    assert checks(findings) == []
    assert list(guess_study(tmp_path).labels) == ["liver"]


def test_tables_that_were_joined_end_to_end_are_read(read, tmp_path):
    one = f"{HEAD}\np,1,a,liver,1,2,90,80\n"

    study, findings = read(TABLE, {"all.csv": one + one.replace(",a,", ",b,")})

    assert len(study.boxes) == 2
    assert [(f.check, f.source) for f in findings] == [("header-repeated", "all.csv:3")]
    assert list(guess_study(tmp_path).labels) == ["liver"]


def test_a_title_above_the_names_of_columns_is_named(write, tmp_path):
    write("all.csv", f"# exported by a tool\n{HEAD}\np,1,a,liver,1,2,90,80\n")

    with pytest.raises(InputError, match=r"got '# exported by a tool'. Take out what stands above"):
        guess_study(tmp_path)

    write("a/p-1.txt", "0 0.5 0.5 0.2 0.2\n")
    write("b/p-1.txt", "0 0.5 0.5 0.2 0.2\n")
    guess = guess_study(tmp_path)
    assert guess.format == "yolo"
    assert any("Take out what stands above" in remark for remark in guess.remarks)


@pytest.mark.parametrize(("n_odd", "told"), [(0, 0), (1, 1), (2, 1), (3, 0)])
def test_slices_of_another_size_than_their_case_are_told(read, n_odd, told):
    made = coco_of(sizes(CORNERS))
    for image in made["images"][:n_odd]:
        image |= {"height": 512, "width": 512}

    _, findings = read(BY_RATER, {"a.json": made})

    odd = [one for one in findings if one.check == "slice-size-odd"]
    assert len(odd) == told
    assert all(one.value == n_odd and "first 0, with 512 rows" in one.message for one in odd)


# What was done to one rater's files only -------------------------------------------------------

HEAD = "case,slice,rater,label,x0,y0,x1,y1"
COLUMNS = ", ".join(f'{name} = "{name}"' for name in HEAD.split(","))
TABLE = f'format = "table"\npath = "*.csv"\nsize = [100, 150]\ncolumns = {{ {COLUMNS} }}'
CORNERS = np.array(BOXES, dtype=float)


def coco_of(corners, *, category="liver"):
    """COCO of a box on each of twelve slices, with these four numbers."""
    made = coco(*[f"p_{k}.png" for k in range(len(corners))], category=category)
    for image, one, four in zip(made["images"], made["annotations"], corners, strict=True):
        image |= {"height": 100, "width": 150}
        one["bbox"] = four.tolist()
    return made


def sizes(corners):
    return np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])


def labels_of(*names):
    lines = [f'{name} = {{ name = "{name}", value = {k} }}' for k, name in enumerate(names, 1)]
    return "\n".join(['[study]\nname = "s"\n[labels]', *lines])


@pytest.mark.parametrize(
    ("numbers", "check"),
    [(CORNERS, "corners-as-sizes"), (sizes(CORNERS) / ([150, 100] * 2), "boxes-in-a-corner")],
    ids=["corners", "fractions"],
)
def test_files_of_one_rater_that_say_something_else_name_the_rater(read, numbers, check):
    files = {f"{who}.json": coco_of(sizes(CORNERS)) for who in "ac"}

    _, findings = read(BY_RATER, {**files, "b.json": coco_of(numbers)})

    assert {one.rater for one in findings if one.check == check} == {"b"}


def test_labels_in_the_language_of_each_rater_are_noticed_and_may_be_joined(read):
    names = {"a": "liver", "b": "Leber", "c": "foie"}
    files = {f"{who}.json": coco_of(sizes(CORNERS), category=names[who]) for who in names}

    _, findings = read(BY_RATER, files, labels_of("liver", "Leber", "foie"))

    (told,) = [one for one in findings if one.check == "labels-named-apart"]
    assert "Leber (b), foie (c), liver (a)" in told.message
    assert 'also = ["Leber"]' in told.message

    joined = labels_of("liver").replace(" }", ', also = ["Leber", "FOIE"] }')
    study, findings = read(BY_RATER, files, joined)

    assert study.boxes.groupby("rater").size().to_dict() == dict.fromkeys("abc", len(CORNERS))
    assert not {"labels-named-apart", "unknown-class"} & set(checks(findings))


def test_labels_that_are_divided_among_raters_are_not_one(read):
    away = np.add(CORNERS, [60, 0, 60, 0])
    files = {"a.json": coco_of(sizes(CORNERS)), "b.json": coco_of(sizes(away), category="spleen")}

    _, findings = read(BY_RATER, files, labels_of("liver", "spleen"))

    assert "labels-named-apart" not in checks(findings)


@pytest.mark.parametrize(
    ("cases", "check"),
    [
        ({"a": "0007", "b": "7"}, "names-alike"),
        ({"a": "p07", "b": "p7"}, "names-alike"),
        ({"a": "202401150001", "b": "2.02401E+11"}, "names-rewritten"),
        ({"a": "3-4", "b": "04-Mar"}, "names-rewritten"),
        ({"a": "p10", "b": "p100"}, None),
        ({"a": "04-Mar", "b": "05-Mar"}, None),
    ],
)
def test_cases_that_a_spreadsheet_renamed_are_told(read, cases, check):
    files = {
        f"{who}.csv": f"{HEAD}\n" + "".join(f"{case},{k},{who},liver,1,2,90,80\n" for k in range(3))
        for who, case in cases.items()
    }

    _, findings = read(TABLE, files)

    assert {"names-alike", "names-rewritten"} & set(checks(findings)) == ({check} - {None})


def test_a_label_may_have_further_ids(read):
    labels = ONE.replace("value = 1 }", 'value = 1, also = ["7"] }')
    files = {
        "a/p_1.txt": as_sizes(*BOXES[0]),
        "b/p_1.txt": as_sizes(*BOXES[0]).replace("0", "7", 1),
    }
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.txt"\nsize = [100, 150]'

    study, findings = read(text, files, labels)

    assert study.boxes["label"].nunique() == 1
    assert "unknown-class" not in checks(findings)


@pytest.mark.parametrize("also", ["spleen", "2"])
def test_names_of_two_labels_must_differ(make_config, also):
    labels = labels_of("liver").replace(" }", f', also = ["{also}"] }}')
    labels += '\n2 = { name = "spleen", value = 2 }'

    with pytest.raises(InputError, match=f"what stands in 'also' must differ.*: {also}"):
        make_config(BY_RATER, labels)
