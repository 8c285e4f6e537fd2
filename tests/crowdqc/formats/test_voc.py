"""Pascal VOC files in the layouts of OpenLabeling, LabelImg and the standard, made by hand."""

import pytest

from crowdqc.findings import InputError
from crowdqc.formats import read_study

VOC = 'format = "voc"\npath = "{rater}/img{case}-slice{slice}.xml"\nfirst_pixel = 0\n'
EDGES = ["x0", "y0", "x1", "y1"]


def voc(*objects, width=200, height=100):
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    body = f"<folder>in</folder><filename>a.png</filename>{size}{''.join(objects)}"
    return f"<annotation>{body}\n</annotation>"


def one(name="spleen", xmin=10, ymin=20, xmax=30, ymax=40):
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"\n<object><name>{name}</name><pose>Unspecified</pose><bndbox>{box}</bndbox></object>"


@pytest.mark.parametrize(("first", "corners"), [(0, [10, 20, 30, 40]), (1, [9, 19, 30, 40])])
def test_pixels_are_numbered_as_the_study_says(make_config, write, first, corners):
    write("ann/img1-slice7.xml", voc(one()))

    text = VOC.replace("first_pixel = 0", f"first_pixel = {first}")
    study, findings = read_study(make_config(text))

    box = study.boxes.iloc[0]
    assert (box.case, box.slice, box.rater, box.label) == ("1", 7, "ann", "spleen")
    assert box[EDGES].tolist() == corners
    assert box.source == "ann/img1-slice7.xml:2"
    assert study.images.loc[0, ["height", "width"]].tolist() == [100, 200]
    assert findings == []


def test_pixel_numbering_must_be_said(make_config, write):
    write("ann/img1-slice7.xml", voc(one()))

    with pytest.raises(InputError, match=r"'annotations.first_pixel' must say"):
        read_study(make_config(VOC.replace("first_pixel = 0", "")))


def test_files_without_objects_are_empty_files(make_config, write):
    for slice_, objects in enumerate([[one()], [], [one()], []]):
        write(f"ann/img1-slice{slice_}.xml", voc(*objects))

    study, _ = read_study(make_config(VOC))

    assert study.readings["state"].tolist() == ["boxed", "reviewed_empty", "boxed", "opened"]


@pytest.mark.parametrize(("said", "state"), [("yes", "reviewed_empty"), ("no", "opened")])
def test_an_empty_file_that_is_verified_was_read(make_config, write, said, state):
    verified = f'<annotation verified="{said}">'
    write("ann/img1-slice0.xml", voc().replace("<annotation>", verified))
    write("ann/img1-slice1.xml", voc(one()).replace("<annotation>", verified))
    write("ann/img1-slice2.xml", voc(one("who")).replace("<annotation>", verified))

    study, _ = read_study(make_config(VOC + 'empty_file = "unread"\n'))

    assert study.readings["state"].tolist() == [state, "boxed", "opened"]


@pytest.mark.parametrize(
    ("bad", "check"),
    [
        (one("gut"), "unknown-class"),
        (one(xmin="ten"), "not-a-number"),
        (one(xmin=""), "not-a-number"),
        (one(xmin="nan"), "box-not-finite"),
        (one(xmin=30), "box-empty"),
        (one(xmax=300), "box-outside-image"),
        ("<object><name>spleen</name><robndbox/></object>", "box-rotated"),
        ("<object><name>spleen</name></object>", "box-unfit"),
    ],
)
def test_an_unsound_object_is_a_finding_and_the_rest_is_kept(make_config, write, bad, check):
    write("ann/img1-slice7.xml", voc(one(), bad))

    study, findings = read_study(make_config(VOC))

    assert [finding.check for finding in findings] == [check]
    assert len(study.boxes) == 1


def test_raters_may_be_given_by_label(make_config, write):
    write("ann/img1-slice7.xml", voc(one(), one("liver")))
    text = VOC.replace("{rater}", "ann") + 'rater_of = { spleen = "A", liver = "B" }\n'

    study, findings = read_study(make_config(text))

    assert dict(zip(study.boxes["label"], study.boxes["rater"], strict=True)) == {
        "liver": "B",
        "spleen": "A",
    }
    assert study.images.loc[0, ["height", "width"]].tolist() == [100, 200]
    assert findings == []


def test_a_size_of_zero_is_not_said(make_config, write):
    write("ann/img1-slice7.xml", voc(one(), width=0, height=0))
    write("ann/img1-slice8.xml", voc(one()))

    study, findings = read_study(make_config(VOC))

    assert study.images["width"].tolist() == [200, 200]
    assert [finding.check for finding in findings] == ["image-size-guessed"]


def test_one_empty_file_without_a_size(make_config, write):
    write("ann/img1-slice7.xml", "<annotation/>")

    study, findings = read_study(make_config(VOC))

    assert study.readings["state"].tolist() == ["opened"]
    assert {f.check for f in findings} == {"image-size-guessed", "case-only-opened"}


def test_of_very_many_bad_objects_the_rest_is_a_number(make_config, write):
    write("ann/img1-slice7.xml", voc(*[one("gut")] * 1010))

    _, findings = read_study(make_config(VOC))

    assert [finding.check for finding in findings] == ["unknown-class"] * 1000 + ["more-lines"]
    assert findings[-1].message.startswith("ann/img1-slice7.xml: left out: 10 more lines")
