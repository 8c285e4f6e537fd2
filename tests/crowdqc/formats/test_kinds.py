"""Kinds of files that tools really export, and what must not go wrong with them in silence."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowdqc.findings import InputError, Severity
from crowdqc.formats import annotation_files
from crowdqc.formats.guess import guess_study, render_study

LABELS = '[study]\nname = "s"\n[labels]\nliver = { name = "liver", value = 1 }\n'
SPLEEN = LABELS + 'spleen = { name = "spleen", value = 2 }\n'
LINE = "0 .5 .5 .2 .2\n"


def checks(findings):
    return sorted(finding.check for finding in findings)


def states(study):
    rows = study.readings[["case", "slice", "rater", "state"]].itertuples(index=False, name=None)
    return {f"{case}/{k}/{rater}": state for case, k, rater, state in rows}


def coco(*names, rater=None, category="liver", **more):
    """COCO of one box on each of the images of these names."""
    images = [
        {"id": k, "file_name": name, "height": 100, "width": 200} for k, name in enumerate(names)
    ]
    boxes = [
        {"id": k, "image_id": k, "category_id": 1, "bbox": [1, 2, 20, 30], **more}
        | ({} if rater is None else {"rad_id": rater})
        for k in range(len(names))
    ]
    return {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": category}]}


# Label Studio ----------------------------------------------------------------------------------


def region(**more):
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}
    sizes = {"original_width": 200, "original_height": 100}
    value |= {"rectanglelabels": ["liver"]}
    return {"id": "r", "type": "rectanglelabels", **sizes, "value": value, **more}


def annotation(who, *results, day=1, cancelled=False, **more):
    when = f"2024-01-{day:02}T10:00:00Z"
    return {"completed_by": who, "result": list(results), "was_cancelled": cancelled} | {
        "updated_at": when, "id": day, **more
    }  # fmt: skip


STUDIO = 'format = "labelstudio"\npath = "all.json"\nimage = "p{case}_{slice}"'


def test_the_newest_annotation_that_was_submitted_counts(read):
    skipped = annotation(5, region(), cancelled=True, day=9)
    first, last = annotation(5, day=2), annotation(5, region(), day=3)
    only_skipped = annotation(6, region(), cancelled=True)
    task = {"data": {"image": "p1_1.png"}, "annotations": [skipped, last, first, only_skipped]}

    study, findings = read(STUDIO, {"all.json": [task]})

    assert states(study) == {"1/1/5": "boxed", "1/1/6": "opened"}
    assert study.boxes["source"].tolist() == ["all.json:task 0, annotation 1, result 0"]
    assert checks(findings) == ["annotation-superseded"] * 2
    assert {finding.severity for finding in findings} == {Severity.NOTE}


def test_an_image_that_was_annotated_in_two_exports_has_one_reading(read):
    old = [{"data": {"image": "p1_1.png"}, "annotations": [annotation(5, region(), day=1)]}]
    new = [{"data": {"image": "p1_1.png"}, "annotations": [annotation(5, day=2)]}]

    study, findings = read(STUDIO.replace("all", "*"), {"a.json": new, "b.json": old})

    assert states(study) == {"1/1/5": "reviewed_empty"}
    assert checks(findings) == ["annotation-superseded", "image-size-guessed"]


BRUSH = {"format": "rle", "rle": [0], "brushlabels": ["liver"]}
POLYGON = {"points": [[10, 10], [30, 10], [20, 40]], "polygonlabels": ["liver"]}
ELLIPSE = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["liver"]}
POINT = {"x": 5, "y": 5, "width": 0.5, "keypointlabels": ["liver"]}


@pytest.mark.parametrize("value", [BRUSH, POLYGON, ELLIPSE, POINT])
@pytest.mark.parametrize("minimal", [False, True])
def test_a_shape_of_label_studio_leaves_its_slice_open(read, value, minimal):
    one = annotation(5, region(type="x", value=value))
    task = {"data": {"image": "p1_1.png"}, "annotations": [one]}
    row = {"image": "p1_1.png", "annotator": 5, "annotation_id": 1, "label": [value]}

    study, findings = read(STUDIO, {"all.json": [row if minimal else task]})

    assert states(study) == {"1/1/5": "opened"}
    assert (
        checks(findings) == ["image-size-guessed", "shape-not-a-box"]
        if minimal
        else ["shape-not-a-box"]
    )


@pytest.mark.parametrize(
    ("value", "box"),
    [(POLYGON, [20, 10, 60, 40]), (ELLIPSE, [80, 30, 120, 70])],
)
def test_the_box_round_a_shape_is_taken_on_request(read, value, box):
    task = {"data": {"image": "p1_1.png"}, "annotations": [annotation(5, region(value=value))]}

    study, findings = read(STUDIO + '\nshapes = "box"', {"all.json": [task]})

    assert study.boxes[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == [box]
    assert findings == []


def test_shape_and_label_may_be_results_of_their_own(read):
    shape = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}
    results = [
        region(type="rectangle", value=shape),
        region(type="labels", value={**shape, "labels": ["liver"]}),
        region(type="choices", value={**shape, "choices": ["clear"]}),
    ]
    task = {"data": {"image": "p1_1.png"}, "annotations": [annotation(5, *results)]}

    study, findings = read(STUDIO, {"all.json": [task]})

    assert study.boxes["label"].tolist() == ["liver"]
    assert findings == []


@pytest.mark.parametrize(("labeled", "state"), [({}, "opened"), ({"is_labeled": False}, "opened")])
def test_a_task_without_annotation_was_not_seen_to_be_empty(read, labeled, state):
    done = {"data": {"image": "p1_1.png"}, "annotations": [annotation(5, region())]}
    bare = {"data": {"image": "p1_2.png", "height": 100, "width": 200}, "annotations": []}

    study, _ = read(STUDIO, {"all.json": [done, {**bare, **labeled}]})

    assert states(study)["1/2/5"] == state


@pytest.mark.parametrize(
    ("data", "case"),
    [
        ({"image": "/image1"}, "image1"),
        ({"image": "https://h/instances/42"}, "42"),
        ({"image": "https://h/a/x.png?sig=a/b.c"}, "x"),
        ({"image": "https://h/render?file=x.png"}, "x"),
        ({"doctor": "A. Smith", "report": "r.pdf", "scan": "s3://b/x.PNG"}, "x"),
        ({"report": "https://h/r.pdf", "author": "A. Smith"}, None),
    ],
)
def test_only_what_names_an_image_is_taken_for_its_name(read, data, case):
    tasks = [{"data": data, "annotations": [annotation(5, region())]}]
    good = {"data": {"image": "good.png"}, "annotations": [annotation(5, region())]}

    study, findings = read(
        'format = "labelstudio"\npath = "all.json"', {"all.json": [*tasks, good]}
    )

    assert set(study.cases) == {"good"} | ({case} if case else set())
    assert checks(findings) == ([] if case else ["image-name"])


# CVAT ------------------------------------------------------------------------------------------


def cvat(*images, meta=""):
    return f"<annotations><meta>{meta}</meta>{''.join(images)}</annotations>"


def cvat_image(k, inner="", task=""):
    return f'<image id="{k}" name="p1/{k}.png" width="200" height="100" {task}>{inner}</image>'


CVAT_BOX = '<box label="liver" xtl="10" ytl="10" xbr="30" ybr="30"/>'
CVAT = 'format = "cvat"\npath = "a.xml"\nrater = "x"\nimage = "{case}/{slice}.png"'
SHAPES = {
    "polygon": 'points="10,10;30,10;20,40"',
    "polyline": 'points="10,10;30,10"',
    "points": 'points="10,10"',
    "mask": 'rle="1, 2" left="10" top="10" width="20" height="30"',
    "ellipse": 'cx="20" cy="25" rx="10" ry="15"',
    "cuboid": 'xtl1="1"',
}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("taken", [False, True])
def test_a_shape_of_cvat_leaves_its_slice_open_or_gives_its_box(read, kind, taken):
    text = cvat(cvat_image(0, f'<{kind} label="liver" {SHAPES[kind]}/>'), cvat_image(1, CVAT_BOX))
    more = '\nshapes = "box"' if taken else ""

    study, findings = read(CVAT + more, {"a.xml": text})

    boxed = taken and kind in {"polygon", "mask", "ellipse"}
    assert states(study)["p1/0/x"] == ("boxed" if boxed else "opened")
    assert checks(findings) == ([] if boxed else ["shape-not-a-box"])
    if boxed:
        assert study.boxes.loc[0, ["x0", "y0", "x1", "y1"]].tolist() == [10, 10, 30, 40]


def test_a_label_of_which_all_was_refused_is_not_missed(read):
    polygon = '<polygon label="spleen" points="1,1;9,1;9,9"/>'

    study, _ = read(CVAT, {"a.xml": cvat(cvat_image(0, CVAT_BOX + polygon))})

    assert study.readings[["state", "labels"]].to_numpy().tolist() == [["boxed", "liver"]]


@pytest.mark.parametrize(
    ("rule", "state"), [("infer", "opened"), ("nothing", "reviewed_empty"), ("unread", "opened")]
)
def test_empty_file_says_what_the_rest_of_an_unfinished_job_means(read, rule, state):
    text = cvat(cvat_image(0, CVAT_BOX), cvat_image(1), cvat_image(2, CVAT_BOX), cvat_image(3))

    study, _ = read(CVAT + f'\nempty_file = "{rule}"', {"a.xml": text})

    assert states(study)["p1/3/x"] == state
    assert states(study)["p1/1/x"] == ("opened" if rule == "unread" else "reviewed_empty")


def test_who_did_a_segment_or_a_task_of_a_project_is_read_and_its_owner_is_not(read):
    person = "<{0}><username>{1}</username></{0}>"
    segment = f"<segments><segment><start>0</start><stop>0</stop>{person.format('assignee', 'ann')}"
    one = f"<task><id>7</id>{person.format('owner', 'boss')}{segment}</segment></segments></task>"
    two = f"<task><id>8</id>{person.format('assignee', 'bob')}</task>"
    images = [
        cvat_image(0, CVAT_BOX, 'task_id="7"'),
        cvat_image(1, CVAT_BOX, 'task_id="7"'),
        cvat_image(2, CVAT_BOX, 'task_id="8"'),
    ]
    text = cvat(*images, meta=f"<project><tasks>{one}{two}</tasks></project>")

    study, _ = read(CVAT, {"a.xml": text})

    assert states(study) == {f"p1/{k}/{who}": "boxed" for k, who in enumerate(["ann", "x", "bob"])}


# COCO ------------------------------------------------------------------------------------------

COCO = 'format = "coco"\npath = "{rater}.json"\nimage = "{case}_{slice}.png"'
RLE = {"size": [100, 200], "counts": [1010, 20, 18970]}


@pytest.mark.parametrize(
    ("more", "box"),
    [
        ({"iscrowd": 1}, [1, 2, 21, 32]),
        ({"segmentation": RLE, "bbox": None}, [10, 10, 11, 30]),
        ({"segmentation": [[5, 6, 15, 6, 10, 16]], "bbox": None}, [5, 6, 15, 16]),
    ],
)
def test_masks_and_polygons_of_coco(read, more, box):
    files = {"a.json": coco("p_1.png", **more)}
    study, findings = read(COCO, files)
    assert (states(study), checks(findings)) == ({"p/1/a": "opened"}, ["shape-not-a-box"])

    study, findings = read(COCO + '\nshapes = "box"', files)
    assert study.boxes[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == [box]
    assert findings == []


def test_two_images_that_the_pattern_merges_are_told_with_the_pattern_to_blame(read):
    study, findings = read(COCO, {"a.json": coco("x/p_1.png", "y/p_1.png")})

    assert len(study.boxes) == 1
    assert checks(findings) == ["images-merged"]
    assert "[annotations] image tell them apart" in findings[0].message


@pytest.mark.parametrize("key", ["rad_id", "annotator_id", "Labeled By", "user_name", "worker_id"])
def test_raters_in_records_win_over_batches_in_paths(read, key):
    files = {f"batch{k}.json": coco(f"p_{k}.png", f"p_{k}.png", rater=None) for k in (1, 2)}
    for data in files.values():
        del data["images"][1]
        for who, box in zip(("R1", "R2"), data["annotations"], strict=True):
            box.update({key: who, "image_id": 0})

    study, findings = read(COCO, files)

    assert sorted(states(study)) == ["p/1/R1", "p/1/R2", "p/2/R1", "p/2/R2"]
    assert checks(findings) == ["rater-differs"]


def test_a_number_that_everybody_has_names_nobody(read):
    files = {f"{who}.json": coco("p_1.png", rater=1) for who in ("ann", "bob")}

    study, findings = read(COCO, files)

    assert study.raters == ["ann", "bob"]
    assert checks(findings) == ["rater-differs"]


# Class lists and names of labels ---------------------------------------------------------------

YOLO = 'format = "yolo"\npath = "{rater}/{case}.txt"\nsize = [100, 200]'


@pytest.mark.parametrize(
    "name", ["classes.txt", "obj.names", "_darknet.labels", "dataset.yaml", "notes.json"]
)
def test_a_class_list_of_any_name_is_followed_and_never_read_as_a_slice(read, name):
    text = "liver\nspleen\n"
    if name.endswith(".yaml"):
        text = "names: [liver, spleen]"
    if name.endswith(".json"):
        text = json.dumps({"categories": [{"id": 0, "name": "Liver"}, {"id": 1, "name": "spleen"}]})
    labels = SPLEEN.replace("liver =", "1 =").replace("spleen =", "0 =")

    study, findings = read(YOLO, {f"a/{name}": text, "a/p.txt": LINE + "2 .5 .5 .1 .1\n"}, labels)

    assert (study.cases, study.boxes["label"].tolist()) == (["p"], ["liver"])
    assert checks(findings) == ["class-list-differs", "unknown-class"]


def test_a_number_is_the_same_class_however_it_is_written(start):
    lines = ["1 .5 .5 .2 .2\n", "1.0 .5 .5 .2 .2\n", "01 .5 .5 .2 .2\n", "1.000e+00 .5 .5 .2 .2\n"]
    files = {f"{who}/p1-1.txt": line for who, line in zip("abcd", lines, strict=True)}

    study, findings, guess = start({**files, "classes.txt": "spleen\nliver\n"})

    assert guess.labels == {"1": "liver"}
    assert (len(study.boxes), findings) == (4, [])


def test_names_of_labels_that_are_spelled_alike_are_one(start):
    names = ["left kidney", "Left_Kidney ", "LEFT-KIDNEY"]
    files = {f"{k}.json": coco("p1/slice_1.png", category=name) for k, name in zip("abc", names)}  # noqa: B905

    study, findings, guess = start(files)

    assert (study.labels, len(study.boxes)) == (("left_kidney",), 3)
    assert "are taken for one label" in guess.remarks[0]
    assert checks(findings) == ["label-spelled"]


# Names of files --------------------------------------------------------------------------------


def every(name, *parts):
    return [name.format(*values) for values in itertools.product(*parts)]


@pytest.mark.parametrize(
    ("names", "n_cases", "n_readings"),
    [
        (every("{}/P{}/{}/00{}.txt", "ab", "12", ("art", "ven"), "12"), 4, 16),
        (every("site{0}/P{0}{1}/{2}/{3}.txt", "12", "12", ("ann", "bob"), "12"), 4, 16),
        ([f"{r}/0f6142f{h}-p1_00{h}.txt" for r in "ab" for h in (1, 2)], 1, 4),
        (every("{}/p1_00{}_png.rf.0a{}b1c2d3e4f5.txt", "ab", "12", "7"), 1, 4),
        ([f"{r}/1.2.840.99999.2.55.{k}.txt" for r in "ab" for k in (601, 602)], 2, 4),
        ([f"{r}/{name}.txt" for r in "ab" for name in ("R\u00f6ntgen (2)", "a.b.c", "x")], 3, 6),
        ([f"{r}/frame_{k:06}.txt" for r in "ab" for k in (1, 2)], 1, 4),
    ],
    ids=["phases", "sites", "uploads", "Roboflow", "UIDs", "no numbers", "slices only"],
)  # fmt: skip
def test_init_reads_all_that_it_saw(start, names, n_cases, n_readings):
    study, findings, _ = start(dict.fromkeys(names, LINE))

    assert (len(study.cases), len(study.readings), len(study.raters)) == (n_cases, n_readings, 2)
    assert findings == []


@pytest.mark.parametrize(
    ("files", "n_cases"),
    [
        ({f"{r}.json": ["1.2.840.9.55.601", "1.2.840.9.55.602"] for r in "ab"}, 2),
        ({f"{r}.json": ["image.webp.jpg", "R\u00f6 (2).png", "a.b.png"] for r in "ab"}, 3),
        ({"a.json": ["i/821822e5-p1_1.png"], "b.json": ["i/0f6142fb-p1_1.png"]}, 1),
        ({f"{r}.json": ["p1_1.PNG", "p1_2.jpg"] for r in "ab"}, 1),
        ({f"{r}_{p}.json": ["frame_1.png", "frame_2.png"] for r in "ab" for p in ("p1", "p2")}, 2),
        ({f"{r}.json": ["s1/x1/1.png", "s1/x2/1.png", "s2/x1/1.png"] for r in "ab"}, 3),
    ],
    ids=["UIDs", "no numbers", "uploads", "endings", "a file a scan", "nested"],
)
def test_init_reads_all_images_that_it_saw(start, files, n_cases):
    study, findings, _ = start({name: coco(*images) for name, images in files.items()})

    assert (len(study.cases), len(study.raters), findings) == (n_cases, 2, [])
    assert len(study.boxes) == sum(map(len, files.values()))


def test_batches_with_raters_in_the_records_are_one_study(start):
    files = {f"batch{k}.json": coco(f"p1_{k}.png", rater="R1") for k in (1, 2)}
    files["batch2.json"] = coco("p1_2.png", rater="R2")

    study, _, guess = start(files)

    assert (guess.path, study.raters) == ("batch*.json", ["R1", "R2"])


def test_what_a_pattern_leaves_is_told(start, read):
    _, findings, guess = start({"a/p1-1.txt": LINE, "b/p1-1.txt": LINE, "b/overview.txt": LINE})
    assert "1 of 3 files do not fit 'path'" in " ".join(guess.remarks)

    path = 'format = "yolo"\npath = "{rater}/art/{slice}.txt"\nsize = [9, 9]'
    files = {"a/art/1.txt": LINE, "a/ven/1.txt": LINE}
    _, findings = read(path, files, LABELS.replace("liver =", "0 ="))
    assert "file-not-in-pattern" in checks(findings)


SCAN = """<LidcReadMessage><readingSession><unblindedReadNodule><roi>
<imageZposition>1</imageZposition><inclusion>TRUE</inclusion>{}</roi></unblindedReadNodule>
</readingSession></LidcReadMessage>"""
EDGE = "<edgeMap><xCoord>{}</xCoord><yCoord>{}</yCoord></edgeMap>"
NODULE = SCAN.format("".join(EDGE.format(x, y) for x, y in [(1, 1), (9, 1), (9, 9)]))


def test_a_folder_of_lidc_scans_is_no_rater(start):
    files = {"157/068.xml": NODULE, "157/069.xml": NODULE, "185/068.xml": NODULE}

    study, findings, _ = start(files, "size = [64, 64]")

    assert study.cases == ["157_068", "157_069", "185_068"]
    assert checks(findings) == ["no-image-shared"]


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


def test_a_yolo_polygon_is_refused_or_gives_its_box(read):
    labels = LABELS.replace("liver =", "0 =")
    files = {"a/p.txt": "0 .1 .2 .5 .2 .3 .6\n"}
    study, findings = read(YOLO, files, labels)
    assert (states(study), checks(findings)) == ({"p/0/a": "opened"}, ["field-count"])

    study, _ = read(YOLO + '\nshapes = "box"', files, labels)
    assert study.boxes[["x0", "y0", "x1", "y1"]].to_numpy() == pytest.approx(
        np.array([[20, 20, 100, 60]])
    )


def test_results_and_hidden_files_are_not_guessed_from(start, write):
    write("out/crowdqc.json", "{}")
    write("out/consensus/p1-1.txt", LINE)
    write("a/._p1-1.txt", b"\x00\x05")

    study, findings, guess = start({"a/p1-1.txt": LINE, "b/p1-1.txt": LINE})

    assert (guess.path, study.raters, findings) == ("{rater}/{case}-{slice}.txt", ["a", "b"], [])


def test_class_lists_are_inputs(read, make_config, tmp_path):
    labels = LABELS.replace("liver =", "0 =")
    read(YOLO, {"a/p.txt": LINE, "a/classes.txt": "liver\n"}, labels)

    names = annotation_files(make_config(YOLO, labels))

    assert {Path(name).name for name in names} == {"p.txt", "classes.txt"}


# Images and sizes ------------------------------------------------------------------------------


def test_boxes_are_in_the_picture_as_it_is_shown(read, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / "p.jpg", exif=turned)
    images = '\n[images]\npath = "{case}.jpg"\npicture = "identity"'
    labels = LABELS.replace("liver =", "0 =")

    study, _ = read(YOLO.replace("\nsize = [100, 200]", "") + images, {"a/p.txt": LINE}, labels)

    assert study.images[["height", "width"]].to_numpy().tolist() == [[200, 100]]
    assert study.boxes[["x0", "y0"]].to_numpy().tolist() == [[40, 80]]


def table(rows, **more):
    lines = "".join(f"p{k},{who},{x0},{y0},{x1},{y1}\n" for k, who, x0, y0, x1, y1 in rows)
    names = "case,rater,x0,y0,x1,y1"
    columns = ", ".join(f'{name} = "{name}"' for name in names.split(","))
    return (
        f'format = "table"\npath = "t.csv"\ncolumns = {{ {columns} }}\nsize = [100, 200]',
        {"t.csv": f"{names}\n{lines}"},
        LABELS,
    )


EXCHANGED = "image-size-exchanged"


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        ([(k, who, 1, 1, 9, 9) for k in range(9) for who in "ab"], "boxes-in-a-corner"),
        ([(k, w, 1, 1, 99, 90 + 60 * (k > 1)) for k in range(9) for w in "ab"], EXCHANGED),
        ([(k, "a", x, 1, 199, 99) for k in range(9) for x in (1, 50)], "boxes-of-one-rater"),
        ([(k, who, k, 1, 199, 99) for k, who in enumerate("abcd")], "no-image-shared"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_noticed(read, rows, check):
    _, findings = read(*table(rows))

    assert check in checks(findings)


def test_names_that_differ_by_a_prefix_are_told(read):
    files = {"a.json": coco("x9-p_1.png"), "b.json": coco("y7-p_1.png")}

    _, findings = read(COCO, files)

    assert "as 'x9-' does: put *" in findings[0].message


# Findings and limits ---------------------------------------------------------------------------


def test_very_many_notes_of_a_kind_stay_notes(read):
    twice = [annotation(5, region(), day=day % 28 + 1, id=day) for day in range(1, 1100)]
    task = {"data": {"image": "p1_1.png"}, "annotations": twice}

    _, findings = read(STUDIO, {"all.json": [task]})

    assert {finding.severity for finding in findings} == {Severity.NOTE}
    assert len(findings) == 1001
    assert findings[-1].message.startswith("all.json: and 98 more")
    assert findings[-1].case == "1"


@pytest.mark.parametrize(
    ("annotations", "file", "data", "says"),
    [
        (CVAT, "a.xml", cvat(cvat_image(0, "<x/>" * 4_500_000)), "an element of more than"),
        (YOLO, "a/data.yaml", "a: &a [x]\nnames: [*a, *a]\n", "repeats parts by aliases"),
    ],
    ids=["a large element", "aliases"],
)
def test_small_files_that_would_fill_memory_are_refused(read, annotations, file, data, says):
    files = {file: data, "a/p.txt": LINE, "b.xml": cvat(cvat_image(0, CVAT_BOX))}

    _, findings = read(
        annotations.replace("a.xml", "*.xml"), files, LABELS.replace("liver =", "0 =")
    )

    assert any(says in finding.message for finding in findings)


def test_rows_beyond_the_limit_are_refused_with_the_key_that_raises_it(read):
    annotations, files, labels = table([(k, "a", 1, 1, 9, 9) for k in range(9)])

    with pytest.raises(InputError, match=r"more than 5 rows.*\[limits\] rows"):
        read(annotations + "\n[limits]\nrows = 5", files, labels)


def test_a_file_outside_the_folder_of_the_study_is_not_quoted(read, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "p.txt"
    secret.write_text("root:x:0:0 secret\n" + LINE)
    path = f'format = "yolo"\npath = "{secret.parent}/{{case}}.txt"\nrater = "a"\nsize = [9, 9]'

    _, findings = read(path, {}, LABELS.replace("liver =", "0 ="))
    assert "secret" not in findings[0].message

    columns = 'columns = { case = "c", rater = "r", x0 = "a", y0 = "b", x1 = "d", y1 = "e" }'
    with pytest.raises(InputError) as refused:
        read(f'format = "table"\npath = "{secret}"\n{columns}', {}, LABELS)
    assert "secret" not in str(refused.value)
