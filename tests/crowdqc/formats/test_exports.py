"""Exports of many tools as they come: what is read, and what is refused by name."""

import json

import pytest

from crowdqc.findings import InputError
from tests.crowdqc.formats.exported import (
    CVAT,
    CVAT_BOX,
    LINE,
    STUDIO,
    annotation,
    checks,
    coco,
    cvat,
    cvat_image,
    region,
    states,
)

HEAD = "image,annotator,label,xmin,ymin,xmax,ymax\n"


def task(image, *annotations):
    return {"data": {"image": image}, "annotations": list(annotations)}


# Names -----------------------------------------------------------------------------------------


def test_projects_of_label_studio_hold_the_same_images(start):
    files = {
        f"{who}.json": [task(f"/data/upload/{k}/{k}a1b2c3d-p1_{s}.png", annotation(k, region()))
                        for s in (1, 2)]
        for k, who in ((3, "ann"), (4, "bob"))
    }  # fmt: skip

    study, findings, guess = start(files)

    assert guess.image == "p{case}_{slice}.png"
    assert sorted(states(study)) == [f"1/{s}/{who}" for s in (1, 2) for who in ("ann", "bob")]
    assert checks(findings) == ["rater-differs"]


def test_what_roboflow_puts_behind_names_is_no_part_of_them(start):
    files = {
        f"{who}/{split}/_annotations.coco.json": coco(f"ct_{k:03}_png.rf.{k}{who[0]}9f8e7d6c.jpg")
        for who in ("ann", "bea")
        for k, split in enumerate(("train", "valid"))
    }

    study, findings, guess = start(files)

    assert guess.path == "{rater}/*/_annotations.coco.json"
    assert (study.cases, study.raters, findings) == (["000", "001"], ["ann", "bea"], [])


def test_ids_of_coco_may_be_texts(read):
    data = coco("p_1.png")
    data["annotations"][0] |= {"image_id": "0", "category_id": "1"}

    study, findings = read('format = "coco"\npath = "{rater}.json"', {"a.json": data})

    assert (study.boxes["label"].tolist(), findings) == (["liver"], [])


def test_a_pattern_that_reads_little_is_not_written(start):
    study, _, guess = start({f"{who}.json": coco("p1/-1.png", "p1/2.png") for who in "ab"})

    assert guess.image is None
    assert len(study.readings) == 4


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (["p{0}_00{1}_reader{2}"], "labels/p{{case}}_{{slice}}_{{rater}}.txt"),
        (["reader{2}-p{0}_00{1}"], "labels/{{rater}}-p{{case}}_{{slice}}.txt"),
    ],
)
def test_raters_may_stand_in_the_names_of_files(start, names, path):
    every = [(p, s, r) for p in (1, 2) for s in (1, 2) for r in (1, 2)]
    files = {f"labels/{names[0].format(*one)}.txt": LINE for one in every}

    study, findings, guess = start(files)

    assert guess.path == path.format()
    assert (study.raters, len(study.readings), findings) == (["reader1", "reader2"], 8, [])


def test_a_word_that_may_be_a_rater_is_asked_for(start):
    files = {f"p{p}_00{s}_{r}.txt": LINE for p in (1, 2) for s in (1, 2) for r in ("eva", "jan")}

    _, _, guess = start(files)

    assert guess.more == [
        "# Are eva, jan raters? Then end 'path' with p{case}_{slice}_{rater}.txt, and drop 'rater'."
    ]


def test_files_at_another_depth_are_told_by_init_and_by_check(start):
    files = {f"{who}/p1_{k}.txt": LINE for who in ("ann", "bob") for k in (1, 2)}

    _, findings, guess = start({**files, "cem/second/p1_1.txt": LINE})

    assert "1 of 5 files do not fit 'path'" in guess.remarks[0]
    assert checks(findings) == ["file-not-in-pattern"]
    assert "1 file: cem/second/p1_1.txt" in findings[0].message


def test_files_that_a_pattern_of_any_ending_leaves_are_told(read):
    files = {"a/p_1.TXT": LINE, "b k/p_1.txt": LINE, "cem/deep/p-1.txt": LINE, "cem/p.png": "x"}
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.*"\nsize = [100, 200]'

    _, findings = read(text, files)

    (told,) = [one for one in findings if one.check == "file-not-in-pattern"]
    assert "1 file: cem/deep/p-1.txt" in told.message
    assert told.source == "cem/deep/p-1.txt"


@pytest.mark.parametrize(("n", "check"), [(2, "file-not-in-pattern"), (4, "files-not-in-pattern")])
def test_a_rater_whose_files_are_named_otherwise_is_more_than_a_note(read, n, check):
    files = {f"{who}/p_{k}.txt": LINE for who in ("a", "b") for k in range(9)}
    files |= {f"cem/P {k}.txt": LINE for k in range(n)}
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.txt"\nsize = [100, 200]'

    _, findings = read(text, files)

    told = next(one for one in findings if "not-in-pattern" in one.check)
    assert (told.check, told.value) == (check, n)


def test_tables_beside_one_that_is_named_are_no_annotations(start, write, tmp_path):
    head = "case,slice,rater,label,x0,y0,x1,y1\n"
    rows = "".join(f"1,1,{who},liver,1,1,9,9\n" for who in ("ann", "bob"))
    for k in range(5):
        write(f"ages{k}.csv", "case,age\n1,44\n")

    _, findings, _ = start({"boxes.csv": head + rows})

    assert "files-not-in-pattern" not in checks(findings)


def test_a_class_list_beside_the_files_is_not_told_as_left_out(read):
    files = {"a/p_1.txt": LINE, "a/classes.txt": "liver\n", "a/train.txt": "data/p_1.png\n"}
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.txt"\nsize = [100, 200]'

    _, findings = read(text, files)

    told = [one.message for one in findings if one.check == "file-not-in-pattern"]
    assert len(told) == 1
    assert "1 file: a/train.txt" in told[0]


def test_an_empty_log_makes_no_yolo_of_other_files(start):
    _, _, guess = start({"a.json": coco("p_1.png"), "err.txt": ""})

    assert guess.format == "coco"


def test_files_of_another_format_are_told(start):
    files = {"a.json": coco("p_1.png"), "b.json": coco("p_1.png"), "c.xml": cvat(cvat_image(1))}

    _, _, guess = start(files)

    said = " ".join(guess.remarks)
    assert "1 file of another format, CVAT for images XML, will not be read" in said


# Boxes -----------------------------------------------------------------------------------------


def test_whole_turns_leave_a_box_upright(read):
    value = region()["value"]
    turned = [annotation(5, region(value={**value, "rotation": r}), day=1) for r in (360, 0)]
    tasks = [task(f"p1_{k}.png", one) for k, one in enumerate(turned)]
    tasks.append(task("p1_9.png", annotation(5, region(value={**value, "rotation": 359.5}))))

    study, findings = read(STUDIO, {"all.json": tasks})

    assert (len(study.boxes), checks(findings)) == (2, ["box-rotated"])


def test_tags_of_images_are_told(read):
    text = cvat(cvat_image(0, CVAT_BOX), cvat_image(1, '<tag label="empty" source="manual"/>'))

    study, findings = read(CVAT, {"a.xml": text})

    assert states(study)["p1/1/x"] == "opened"
    note = next(one for one in findings if one.check == "answer-not-used")
    assert "1 tag of images" in note.message
    assert "empty_file" in note.message


@pytest.mark.parametrize(
    ("line", "check", "says"),
    [
        ("0 .5 .5 .2 .2 .91", "field-count", "A confidence is none of them"),
        ("0 .5 .5 .2 .2 .3 .3", "field-count", "shapes is 'box'"),
        ("0 50 50 20 20", "box-outside-image", "fractions of the image, up to 1, not px"),
    ],
)
def test_remedies_of_yolo_fit_the_fault(read, line, check, says):
    text = 'format = "yolo"\npath = "{rater}/{case}.txt"\nsize = [100, 200]'
    labels = '[study]\nname = "s"\n[labels]\n0 = { name = "liver", value = 1 }\n'

    _, findings = read(text, {"a/p.txt": f"{LINE}{line}\n"}, labels)

    assert checks(findings) == [check]
    assert says in findings[0].message


def test_classes_of_yolo_may_be_names(start):
    _, findings, guess = start({f"{who}/p1_1.txt": "liver .5 .5 .2 .2\n" for who in "ab"})

    assert (guess.labels, findings) == ({"liver": "liver"}, [])


# Tables ----------------------------------------------------------------------------------------


def test_two_raters_with_a_table_each_are_not_several_objects(start):
    row = "p1_1.png,liver,1,2,30,40\n"
    files = {f"{who}.csv": f"image,class,xmin,ymin,xmax,ymax\n{row}" for who in ("ann", "bob")}

    study, _, guess = start(files)

    assert guess.several == set()
    assert study.single == {"liver"}


@pytest.mark.parametrize("column", ["annotatorName", "rater_initials", "user email"])
def test_what_stands_behind_the_name_of_a_column_of_raters_does_not_matter(start, column):
    rows = "".join(f"p{k},{who},liver,1,2,30,40\n" for k in range(3) for who in "AB")

    study, _, guess = start({"a.csv": HEAD.replace("annotator", column) + rows})

    assert guess.columns["rater"] == column
    assert study.raters == ["A", "B"]


def test_where_a_column_may_name_raters_no_label_is_taken_for_several_objects(start):
    rows = "".join(f"p{k},{who},liver,1,2,30,{who}\n" for k in range(3) for who in (40, 41))

    _, _, guess = start({"a.csv": HEAD.replace("annotator", "doctor") + rows})

    assert guess.more[0].startswith("# Does 'doctor' say who drew?")
    assert guess.several == set()


def test_a_table_without_a_header_may_begin_with_the_label(start):
    files = {f"{who}.csv": "liver,12,30,40,25,p1_1.png,200,100\n" for who in ("ann", "bob")}

    study, _, guess = start(files)

    assert guess.columns["label"] == 1
    assert guess.columns["image"] == 6
    assert (study.cases, study.labels) == (["p1"], ("liver",))


def test_boxes_as_fractions_are_told(read):
    columns = {"case": "image", "rater": "annotator", "x0": "xmin", "y0": "ymin", "x1": "xmax"}
    columns |= {"y1": "ymax", "label": "label"}
    text = ", ".join(f'{ours} = "{name}"' for ours, name in columns.items())
    rows = "".join(f"p,{who},liver,.1,.2,.5,.9\n" for who in "ab")

    _, findings = read(f'format = "table"\npath = "a.csv"\ncolumns = {{ {text} }}',
                       {"a.csv": HEAD + rows})  # fmt: skip

    assert "boxes-in-a-corner" in checks(findings)
    assert "as fractions of an image do" in findings[-1].message


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("via.csv", 'filename,region_shape_attributes\np.png,"{""x"":1}"\n', "VIA. Export JSON"),
        ("ls.csv", 'image,annotator,label\np.png,1,"[{""x"":1}]"\n', "'label' holds JSON"),
        ("a.tsv", HEAD.replace(",", "\t"), "commas between its columns; got tabs"),
        ("a.csv", HEAD.encode("utf-16"), "Save it as UTF-8"),
        ("a.csv", HEAD.encode() + "p,Jürgen,liver,1,1,2,2\n".encode("latin-1"), "Save it as UTF-8"),
    ],
)
def test_tables_that_are_not_read_say_why(start, name, data, says):
    with pytest.raises(InputError, match=says):
        start({name: data})


def test_json_with_a_mark_of_byte_order_is_read(start):
    data = b"\xef\xbb\xbf" + json.dumps(coco("p1_1.png", "p1_2.png")).encode()

    study, findings, _ = start({"a.json": data, "b.json": data})

    assert (len(study.boxes), findings) == (4, [])
