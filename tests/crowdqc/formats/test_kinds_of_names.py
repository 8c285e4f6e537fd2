"""Names of files, classes and labels as tools write them."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from crowdqc.formats import annotation_files
from tests.crowdqc.formats.exported import LABELS, LINE, SPLEEN, YOLO, checks, coco, states

# Class lists and names of labels ---------------------------------------------------------------


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
