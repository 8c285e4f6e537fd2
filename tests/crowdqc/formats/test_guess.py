import contextlib
import gzip
import json

import pytest

from crowdqc.config import load_config
from crowdqc.findings import InputError
from crowdqc.formats import read_study
from crowdqc.formats.guess import guess_study, render_study
from crowdqc.formats.name_patterns import stem_pattern


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
        (["a/slice_1.txt", "a/slice_2.txt", "b/slice_1.txt"], "{rater}/slice_{slice}.txt"),
        (["train/p1_1.txt", "val/p2_2.txt", "train/p2_3.txt"], "*/p{case}_{slice}.txt"),
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


def test_the_window_is_that_of_an_image_and_masks_of_experts_are_named(tmp_path, write):
    for case in (1, 2):
        write(f"boxes/a/img{case}-slice3.txt", "0 .5 .5 .1 .1\n")
        write(f"scans/img{case}.nii.gz", b"")
    write("expert masks/img1.nii.gz", b"")

    guess = guess_study(tmp_path, suit_window=lambda path: f"window = {path.parent.name}")

    assert guess.image_path == "scans/img{case}.nii.gz"
    assert guess.window == "window = scans"
    assert any("such as expert masks/img1.nii.gz" in one for one in guess.remarks)


@pytest.mark.parametrize(
    ("image", "pattern"),
    [
        ("images/c7.nii.gz", "images/c{case}.nii.gz"),
        ("imagesTr/liver_7_0000.nii.gz", "imagesTr/liver_{case}_0000.nii.gz"),
        ("sub-7/anat/sub-7_T1w.nii", "sub-{case}/anat/sub-{case}_T1w.nii"),
        ("dicom/c7/001.dcm", "dicom/c{case}/"),
        ("dicom/c7/IM1", "dicom/c{case}/"),
        ("images/c77.nii.gz", None),
    ],
)
def test_an_image_is_found_by_the_case_in_its_name(write, tmp_path, image, pattern):
    for k in (1, 2):
        write(f"c7_{k}.txt", "0 .5 .5 .1 .1\n")
    write(image, b"" if "." in image else bytes(128) + b"DICM")

    guess = guess_study(tmp_path, suit_window=lambda _: "window = {}")

    assert guess.image_path == pattern
    assert any("fill in" in one for one in guess.remarks) == (pattern is None)


def test_a_file_of_frames_for_each_case_is_no_series_of_slices(write, tmp_path):
    for case in (7, 8):
        write(f"c{case}_1.txt", "0 .5 .5 .1 .1\n")
        write(f"dicom/c{case}_ct.dcm", b"")

    assert guess_study(tmp_path).image_path == "dicom/c{case}_ct.dcm"


@pytest.mark.parametrize("name", ["ground_truth", "GT", "gold standard", "gunter"])
def test_a_gold_standard_among_the_raters_is_noticed(write, tmp_path, name):
    for folder in (name, "ann", "bob"):
        write(f"{folder}/p1_1.txt", "0 .5 .5 .1 .1\n")
    write("t/boxes.csv", f"case,rater,label,x0,y0,x1,y1\np,{name},liver,1,2,3,4\n")
    said = [guess_study(tmp_path / one) for one in (".", "t")]

    told = [any("[truth] with rater = '" in remark for remark in one.remarks) for one in said]

    assert told == [name != "gunter"] * 2


def test_masks_that_come_first_by_name_are_not_taken_for_images(write, tmp_path):
    for case in (1, 2):
        write(f"boxes/a/img{case}-slice3.txt", "0 .5 .5 .1 .1\n")
        write(f"volumes/img{case}.nii.gz", b"")
        write(f"gt/img{case}.nii.gz", b"")

    guess = guess_study(tmp_path, is_mask=lambda path: path.parent.name == "gt")

    assert guess.image_path == "volumes/img{case}.nii.gz"
    assert any("such as gt/img1.nii.gz" in one for one in guess.remarks)


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

    guess = guess_study(tmp_path)

    assert "# first_pixel = 1" in render_study(guess, name="mine")
    assert "fill in" in guess.remarks[-1]


def test_a_folder_of_other_things_is_refused(write, tmp_path):
    write("a.xml", "<svg/>")
    write("b.json", "[1]")
    write("c.xml", "<!DOCTYPE a []><annotations/>")

    with pytest.raises(InputError, match="no annotations that are known"):
        guess_study(tmp_path)


def task_of(*names):
    """COCO of one box on each of the images of these names."""
    images = [{"id": k, "file_name": name, "height": 9, "width": 9} for k, name in enumerate(names)]
    boxes = [
        {"id": k, "image_id": k, "category_id": 1, "bbox": [1, 1, 2, 2]} for k in range(len(names))
    ]
    return json.dumps({**COCO, "images": images, "annotations": boxes})


@pytest.mark.parametrize(
    ("names", "slices"),
    [
        (["p1/001.png", "p1/002.png", "p2/001.png"], [("p1", 1), ("p1", 2), ("p2", 1)]),
        (["p1/slice_001.png", "p1/slice_002.png"], [("p1", 1), ("p1", 2)]),
        (["train/1-1.png", "val/2-1.png"], [("1-1", 0), ("2-1", 0)]),
    ],
    ids=["folders", "one folder", "splits"],
)
def test_a_case_may_be_the_folder_of_an_image(write, tmp_path, names, slices):
    write("all.json", task_of(*names))
    guess = guess_study(tmp_path)
    write("study.toml", render_study(guess, name="mine"))

    study, findings = read_study(load_config(tmp_path / "study.toml"))

    assert list(zip(study.boxes["case"], study.boxes["slice"], strict=True)) == slices
    assert findings == []
    assert ("each image is a case" in " ".join(guess.remarks)) == (slices[0][1] == 0)


def test_the_splits_of_a_coco_data_set_are_one_study(write, tmp_path):
    for k, split in enumerate(("train2017", "val2017")):
        write(f"annotations/instances_{split}.json", task_of(f"{k}.png"))

    guess = guess_study(tmp_path)
    write("study.toml", render_study(guess, name="mine"))
    study, _ = read_study(load_config(tmp_path / "study.toml"))

    assert guess.path == "annotations/instances_*.json"
    assert (study.cases, study.raters) == (["0", "1"], ["all"])


@pytest.mark.parametrize(
    ("names", "path", "cases"),
    [
        (["train/p1-1", "val/p2-1", "test/p3-2"], "*/p{case}-{slice}.txt", ["1", "2", "3"]),
        (["train/0001", "train/0002", "valid/0001"], "{case}/{slice}.txt", ["train", "valid"]),
        (["a/train/1-1", "a/val/2-2", "b/train/1-1", "b/val/2-2"], None, ["1", "2"]),
    ],
    ids=["numbered through", "numbered anew", "of two raters"],
)
def test_splits_are_read_as_one_study(write, tmp_path, names, path, cases):
    for name in names:
        write(f"{name}.txt", "0 .5 .5 .1 .1\n")

    guess = guess_study(tmp_path)
    text = render_study(guess, name="mine").replace("# size ", "size ")
    write("study.toml", text)
    study, _ = read_study(load_config(tmp_path / "study.toml"))

    assert guess.path == (path or "{rater}/*/{case}-{slice}.txt")
    assert (len(study.boxes), study.cases) == (len(names), cases)


def test_classes_have_the_names_of_data_yaml_whatever_follows_them(write, tmp_path):
    write("data.yaml", "names: {0: spleen, 1: left kidney, 2: unused}\n")
    write("labels/train/p1-1.txt", "0 .5 .5 .1 .1 0.93\n1 .1 .1 .2 .1 .2 .2\n")

    guess = guess_study(tmp_path)

    assert guess.labels == {"0": "spleen", "1": "left_kidney"}
    assert guess.remarks[0].startswith("2 of 2 lines with other than 5 fields")


def test_files_without_a_box_make_a_study_file_that_can_be_read(write, tmp_path):
    write("p1-1.txt", "")
    guess = guess_study(tmp_path)
    write("study.toml", render_study(guess, name="mine"))

    assert "No box was found" in guess.remarks[0]
    assert load_config(tmp_path / "study.toml").label_names == ("label_0",)


def test_a_text_beside_annotations_does_not_make_them_yolo(write, tmp_path):
    write("licence.txt", "You may use these data as you like.\n")
    write("all.json", task_of("p1-1.png", "p2-2.png"))

    assert guess_study(tmp_path).format == "coco"


def test_of_several_tables_that_of_boxes_is_read(write, tmp_path):
    write("ages.csv", "case,age\n1,50\n")
    write("broken.csv.gz", "no gzip")
    write("boxes.csv", "case,rater,x0,y0,x1,y1\n1,w,0,0,2,2\n")

    guess = guess_study(tmp_path)

    assert guess.path == "boxes.csv"
    assert "Tables that are not read: ages.csv, broken.csv.gz." in guess.remarks


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_table_of_a_spreadsheet_is_refused_with_what_to_do(write, tmp_path, mark, name):
    write("boxes.csv", f"\ufeffcase{mark}rater{mark}x0\r\n1{mark}w{mark}1,5\r\n")

    with pytest.raises(InputError, match=f"commas between its columns; got {name}.*Save it"):
        guess_study(tmp_path)


def test_several_objects_on_a_slice_are_seen_in_a_table(write, tmp_path):
    rows = [
        f"{case},{rater},{label},{x},0,{x + 5},5"
        for case in "12" for rater in "ab" for label, n in (("liver", 1), ("node", 2))
        for x in range(n)
    ]  # fmt: skip
    write("boxes.csv", "\n".join(["case,rater,label,x0,y0,x1,y1", *rows, "3,a,liver,,,,"]) + "\n")
    write("study.toml", render_study(guess_study(tmp_path), name="mine"))

    labels = load_config(tmp_path / "study.toml").labels

    assert {name: label.single for name, label in labels.items()} == {"liver": True, "node": False}


def test_two_scans_of_a_patient_are_two_cases(write, tmp_path):
    write("boxes.csv", "patient_id,scan_id,rater,x0,y0,x1,y1\np,1,a,0,0,2,2\np,2,a,0,0,2,2\n")

    assert guess_study(tmp_path).columns["case"] == "scan_id"


def test_a_name_of_very_many_digits_is_looked_at_once():
    assert stem_pattern(["1" * 200_000 + "x", "a_" + "2" * 200_000 + "y", "b"]) == "{case}"


@pytest.mark.parametrize("wrong", [5, "x", {"a": 1}, None, True])
@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_coco_file_whose_lists_are_none_is_no_traceback(tmp_path, key, wrong):
    whole = {"images": [], "annotations": [], "categories": []} | {key: wrong}
    (tmp_path / "a.json").write_text(json.dumps(whole), encoding="utf-8")
    with contextlib.suppress(InputError):
        guess_study(tmp_path)
