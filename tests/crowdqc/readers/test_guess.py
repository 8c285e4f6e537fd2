import gzip
import json

import pytest

from crowdqc.config import load_config
from crowdqc.findings import InputError
from crowdqc.readers import read_study
from crowdqc.readers.guess import guess_study, render_study


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["img0001-slice080.txt", "img0002-slice081.txt"], "img{case}-slice{slice}.txt"),
        (["ann/p1_001.txt", "ann/p2_002.txt", "bob/p1_001.txt"], "{rater}/p{case}_{slice}.txt"),
        (["a/p1/001.txt", "a/p2/002.txt", "b/p1/001.txt"], "{rater}/{case}/{slice}.txt"),
        (["p1/001.txt", "p2/002.txt"], "{case}/{slice}.txt"),
        (["smith-x-01.txt", "jones-02.txt"], "{case}-{slice}.txt"),
        (["photo1.txt", "photo2.txt"], "photo{case}.txt"),
        (["ann/p1-1.txt", "ann/p1-2.txt", "bob/p1-1.txt"], "{rater}/p{case}-{slice}.txt"),
    ],
)
def test_names_of_files_become_a_pattern(write, tmp_path, names, pattern):
    for name in names:
        write(name, "0 .5 .5 .1 .1\n")
    write("classes.txt", "spleen\n")

    guess = guess_study(tmp_path)

    assert guess.path == pattern
    assert guess.labels == {"0": "spleen"}


def test_the_file_that_is_written_can_be_read(write, tmp_path):
    write("ann/p1_001.txt", "0 .5 .5 .1 .1\n5 .5 .5 .1 .1\n")
    write("bob/p1_001.txt", "")
    text = render_study(guess_study(tmp_path), name="mine").replace("# size ", "size ")
    write("study.toml", text)

    study, _ = read_study(load_config(tmp_path / "study.toml"))

    assert study.raters == ["ann", "bob"]
    assert study.labels == ("label_0", "label_5")


def test_a_table_is_recognised_by_its_columns(write, tmp_path):
    text = "Image_ID,worker,xmin,ymin,xmax,ymax,organ\n1,w,0,0,2,2,liver left\n"
    write("boxes.csv.gz", gzip.compress(text.encode()))
    write("study.toml", render_study(guess_study(tmp_path), name="mine"))

    study, _ = read_study(load_config(tmp_path / "study.toml"))

    assert study.labels == ("liver_left",)
    assert study.boxes[["case", "rater"]].to_numpy().tolist() == [["1", "w"]]


def test_volumes_are_found(write, tmp_path):
    write("boxes/a/img1-slice1.txt", "0 .5 .5 .1 .1\n")
    write("images/img1.nii.gz", b"")
    write("images/img2.nii.gz", b"")

    assert guess_study(tmp_path).image_path == "images/img{case}.nii.gz"


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_a_folder_without_annotations_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()

    with pytest.raises(InputError, match=name):
        guess_study(tmp_path / name)


# JSON and XML ----------------------------------------------------------------------------------

CVAT = """<annotations><meta><task><labels><label><name>liver</name></label></labels></task></meta>
<image id="0" name="img{case}-slice003.png" width="9" height="9">
<box label="liver" xtl="1" ytl="1" xbr="4" ybr="5"/></image></annotations>"""
VOC = """<annotation><object><name>left kidney</name><bndbox><xmin>{x}</xmin><ymin>2</ymin>
<xmax>4</xmax><ymax>5</ymax></bndbox></object></annotation>"""
POINTS = [(1, 1), (5, 7)]
EDGES = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in POINTS)
LIDC = f"""<LidcReadMessage xmlns="http://www.nih.gov"><readingSession><unblindedReadNodule><roi>
<imageZposition>1</imageZposition>{EDGES}</roi></unblindedReadNodule></readingSession>
</LidcReadMessage>"""
COCO = {
    "images": [
        {"id": k, "file_name": f"ct/img{k}-slice00{k}.png", "height": 9, "width": 9} for k in (1, 2)
    ],
    "categories": [{"id": 1, "name": "spleen"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}],
}
BOX = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ['a "b"']}
TASKS = [
    {
        "data": {"image": f"/data/upload/1/0a1b2c3d-img{k}-slice{k}.png"},
        "annotations": [
            {
                "completed_by": 7,
                "result": [
                    {
                        "type": "rectanglelabels",
                        "value": BOX,
                        "original_width": 9,
                        "original_height": 9,
                    }
                ],
            }
        ],
    }
    for k in (1, 2)
]


@pytest.mark.parametrize(
    ("files", "format", "path", "rater"),
    [
        (
            {"a/instances.json": COCO, "b/instances.json": COCO},
            "coco",
            "{rater}/instances.json",
            "a",
        ),
        ({"all.json": COCO, "package.json": {"name": "x"}}, "coco", "all.json", "all"),
        ({"export.json": TASKS}, "labelstudio", "export.json", "7"),
        (
            {"a.xml": CVAT.format(case=1), "b.xml": CVAT.format(case=2)},
            "cvat",
            "{rater}.xml",
            "a",
        ),
        (
            {
                "ann/img1-slice0.xml": VOC.format(x=0),
                "ann/img1-slice1.xml": VOC.format(x=1),
                "bob/img1-slice1.xml": VOC.format(x=1),
            },
            "voc",
            "{rater}/img{case}-slice{slice}.xml",
            "ann",
        ),
        ({"158.xml": LIDC, "159.xml": LIDC}, "lidc", "{case}.xml", "1"),
    ],
    ids=["coco a rater", "coco", "labelstudio", "cvat", "voc", "lidc"],
)
def test_the_format_is_recognised_and_the_study_file_reads_it(
    write, tmp_path, files, format, path, rater
):
    for name, data in files.items():
        write(name, data if isinstance(data, str) else json.dumps(data))

    guess = guess_study(tmp_path)

    assert (guess.format, guess.path) == (format, path)
    write("study.toml", render_study(guess, name="mine"))
    study, _ = read_study(load_config(tmp_path / "study.toml"))
    assert len(study.boxes) > 0
    assert study.raters[0] == rater


def test_where_voc_begins_to_count_is_left_to_be_said(write, tmp_path):
    write("1.xml", VOC.format(x=1))

    assert "# first_pixel = 1" in render_study(guess_study(tmp_path), name="mine")


def test_a_folder_of_other_things_is_refused(write, tmp_path):
    write("a.xml", "<svg/>")
    write("b.json", "[1]")
    write("c.xml", "<!DOCTYPE a []><annotations/>")

    with pytest.raises(InputError, match="no annotations that are known"):
        guess_study(tmp_path)
