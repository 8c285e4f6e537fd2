"""Kinds of files that tools really export, and what must not go wrong with them in silence."""

import numpy as np
import pytest
from PIL import Image

from crowdqc.findings import InputError, Severity
from tests.crowdqc.formats.exported import (
    BRUSH,
    CVAT,
    CVAT_BOX,
    ELLIPSE,
    LABELS,
    LINE,
    POINT,
    POLYGON,
    SHAPES,
    STUDIO,
    YOLO,
    annotation,
    checks,
    coco,
    cvat,
    cvat_image,
    region,
    states,
)

# Label Studio ----------------------------------------------------------------------------------


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
