"""Files in the layouts that COCO tools, CVAT and Label Studio write, made by hand."""

import json

import pytest

from crowdqc.findings import InputError, Severity
from crowdqc.formats import read_study

IMAGE = 'image = "img{case}-slice{slice}.png"\n'
EDGES = ["x0", "y0", "x1", "y1"]


def states(study):
    return {(r.case, r.slice, r.rater): r.state for r in study.readings.itertuples()}


def checks(findings):
    return [finding.check for finding in findings]


@pytest.fixture
def read(make_config, write):
    """Read files (name -> text or JSON) as the study file's ``[annotations]`` says."""

    def read(annotations, files):
        for name, data in files.items():
            write(name, data if isinstance(data, str | bytes) else json.dumps(data))
        return read_study(make_config(annotations))

    return read


# COCO ------------------------------------------------------------------------------------------


def coco(annotations, images=None, categories=None):
    image = {"id": 11, "file_name": "ct/img1-slice007.png", "height": 100, "width": 200}
    spleen, liver = {"id": 1, "name": "spleen"}, {"id": 2, "name": "Liver"}
    return {
        "images": images or [image],
        "categories": categories or [spleen, liver],
        "annotations": annotations,
    }


def drawn(**more):
    return {"id": 1, "image_id": 11, "category_id": 2, "bbox": [10, 20, 30, 40.5], **more}


COCO = f'format = "coco"\npath = "{{rater}}.json"\n{IMAGE}'
COCO_ONE = f'format = "coco"\npath = "all.json"\n{IMAGE}'


def test_coco_of_one_rater_a_file(read):
    study, findings = read(COCO, {"ann.json": coco([drawn()]), "bob.json": coco([])})

    box = study.boxes.iloc[0]
    assert (box.case, box.slice, box.rater, box.label) == ("1", 7, "ann", "liver")
    assert box[EDGES].tolist() == [10, 20, 40, 60.5]
    assert box.source == "ann.json:annotations[0]"
    assert study.images.loc[0, ["height", "width"]].tolist() == [100, 200]
    assert states(study) == {("1", 7, "ann"): "boxed", ("1", 7, "bob"): "opened"}
    assert checks(findings) == ["case-only-opened"]


@pytest.mark.parametrize("key", ["rater_id", "rater", "annotator", "rad_id"])
def test_coco_that_names_raters(read, key):
    image = {"id": 11, "file_name": "img1-slice7.png", "height": 100, "width": 200}
    image["rater_list"] = [3, 4]

    study, findings = read(COCO_ONE, {"all.json": coco([drawn(**{key: 3})], [image])})

    assert states(study) == {("1", 7, "3"): "boxed", ("1", 7, "4"): "reviewed_empty"}
    assert findings == []


def test_coco_as_cvat_writes_it(read):
    extra = {"attributes": {"occluded": False, "rotation": 0.0}, "segmentation": [], "iscrowd": 0}

    study, findings = read(COCO, {"ann.json": coco([drawn(**extra)])})

    assert len(study.boxes) == 1
    assert findings == []


@pytest.mark.parametrize(
    ("annotation", "check"),
    [
        (drawn(bbox=None), "box-unfit"),
        (drawn(bbox=[1, 2, 3]), "box-unfit"),
        (drawn(bbox=[1, 2, "3", 4]), "box-unfit"),
        (drawn(bbox=[1, 2, True, 4]), "box-unfit"),
        (drawn(bbox=[1, 2, 10**400, 4]), "box-not-finite"),
        (drawn(bbox=[1, 2, 0, 4]), "box-empty"),
        (drawn(bbox=[1, 2, 500, 4]), "box-outside-image"),
        (drawn(attributes={"rotation": 30.0}), "box-unfit"),
        (drawn(category_id=9), "unknown-class"),
        (drawn(category_id=[2]), "unknown-class"),
        (drawn(image_id=12), "image-id"),
        (drawn(image_id={}), "image-id"),
        ("x", "not-a-record"),
        (drawn(iscrowd=1), "shape-not-a-box"),
    ],
)
def test_an_unsound_annotation_is_a_finding_and_the_rest_is_kept(read, annotation, check):
    study, findings = read(COCO, {"ann.json": coco([drawn(), annotation])})

    assert checks(findings) == [check]
    assert len(study.boxes) == 1


@pytest.mark.parametrize(
    ("image", "check"),
    [
        ({"id": 11, "file_name": "img1-slice07.png"}, "image-id"),
        ({"id": None, "file_name": "img1-slice07.png"}, "image-id"),
        ({"id": 12, "file_name": "photo.png"}, "image-name"),
        ({"id": 12, "file_name": "img" + "1" * 2000 + "-slice1.png"}, "image-name"),
        ({"id": 12, "file_name": "img1-slice99999999999.png"}, "slice-number"),
        ({"id": 12, "file_name": "img1-slice8.png", "height": 1e10, "width": 5}, "image-size"),
        ({"id": 12, "file_name": "img1-slice8.png", "height": "x", "width": 5}, "image-size"),
        ({"id": 12, "file_name": "other/img1-slice7.png"}, "images-merged"),
    ],
)
def test_an_unsound_image_is_a_finding_and_the_rest_is_kept(read, image, check):
    good = {"id": 11, "file_name": "img1-slice007.png", "height": 100, "width": 200}

    study, findings = read(COCO, {"ann.json": coco([drawn()], [good, image])})

    assert checks(findings) == [check]
    assert len(study.boxes) == 1


@pytest.mark.parametrize(
    "data",
    ["[]", "{}", '{"images": 3}', "[" * 100_000, b"\xff\xfe{}", '{"images": [], ', "1" * 9999],
)
def test_what_is_no_coco_is_refused(read, data):
    _, findings = read(COCO, {"ann.json": coco([drawn()]), "bad.json": data})

    assert "file-unreadable" in checks(findings)


def test_nobody_drew_it(read):
    with pytest.raises(InputError, match="no reading at all"):
        read(COCO_ONE, {"all.json": coco([drawn()])})


def test_a_picture_of_another_size_is_another_picture(read):
    other = {"id": 11, "file_name": "img1-slice7.png", "height": 50, "width": 100}

    study, findings = read(
        COCO, {"ann.json": coco([drawn()]), "bob.json": coco([drawn()], [other])}
    )

    assert study.raters == ["ann"]
    assert checks(findings) == ["image-size-differs"]
    assert "50 rows and 100 columns, but it has 100 and 200" in findings[0].message


def test_classes_are_known_by_their_names_whatever_their_ids(read):
    other = [{"id": 1, "name": "liver"}, {"id": 2, "name": "SPLEEN"}]

    study, findings = read(
        COCO, {"ann.json": coco([drawn()]), "bob.json": coco([drawn()], categories=other)}
    )

    assert dict(zip(study.boxes["rater"], study.boxes["label"], strict=True)) == {
        "ann": "liver",
        "bob": "spleen",
    }
    assert findings == []


# CVAT ------------------------------------------------------------------------------------------

CVAT = f'format = "cvat"\npath = "{{rater}}.xml"\n{IMAGE}'
BOX = '<box label="spleen" source="manual" occluded="0" xtl="10.5" ytl="20" xbr="30" ybr="40.25"'


def cvat(*images, meta=""):
    body = "\n".join(images)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>{meta}</meta>\n{body}\n</annotations>\n'  # noqa: E501


def cvat_image(slice_, inner=""):
    return f'<image id="{slice_}" name="img1-slice{slice_}.png" width="200" height="100">{inner}</image>'  # noqa: E501


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("", "opened"),
        ("<state>completed</state>", "reviewed_empty"),
        ("<status>validation</status>", "reviewed_empty"),
        ("<state>in progress</state>", "opened"),
    ],
)
def test_cvat_images_without_boxes_are_reviewed_where_the_job_is_done(read, status, state):
    meta = f"<job><id>4</id>{status}</job>"
    text = cvat(cvat_image(3, BOX + ' z_order="0">\n</box>'), cvat_image(4), meta=meta)

    study, findings = read(CVAT, {"ann.xml": text})

    box = study.boxes.iloc[0]
    assert (box.case, box.slice, box.rater, box.label) == ("1", 3, "ann", "spleen")
    assert box[EDGES].tolist() == [10.5, 20, 30, 40.25]
    assert box.source == "ann.xml:5, shape 1"
    assert states(study) == {("1", 3, "ann"): "boxed", ("1", 4, "ann"): state}
    assert checks(findings) == ([] if status else ["empty-file-inferred"])


def test_cvat_names_the_assignee_of_a_job(read):
    meta = "<job><id>4</id><assignee><username>ann</username><email/></assignee></job>"
    text = cvat(cvat_image(3, BOX + "/>"), meta=meta)

    study, _ = read(CVAT.replace("{rater}", "job"), {"job.xml": text})

    assert study.raters == ["ann"]


@pytest.mark.parametrize(
    ("shape", "check", "state"),
    [
        (BOX + ' rotation="15.5"/>', "box-rotated", "opened"),
        (BOX.replace("30", "x") + "/>", "not-a-number", "opened"),
        (BOX.replace("30", "10.5") + "/>", "box-empty", "opened"),
        (BOX.replace("spleen", "gut") + "/>", "unknown-class", "opened"),
        ('<polygon label="spleen" points="1,2;3,4;5,6"/>', "shape-not-a-box", "opened"),
    ],
)
def test_cvat_shapes_that_are_no_upright_boxes(read, shape, check, state):
    study, findings = read(CVAT, {"ann.xml": cvat(cvat_image(3, shape))})

    assert checks(findings) == [check]
    assert states(study) == {("1", 3, "ann"): state}


def test_cvat_for_video_is_told_how_to_export(read):
    text = cvat(cvat_image(3), '<track id="0" label="spleen"><box frame="0"/></track>')

    _, findings = read(CVAT, {"ann.xml": text})

    assert "track-not-read" in checks(findings)
    assert "CVAT for images" in findings[0].message


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotations>&a;</annotations>'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "DTD"),
        (OUTSIDE, "DTD"),
        ("<annotations>" + "<a>" * 1000, "more than 50 deep"),
        ("<annotation/>", "begins with <annotation>"),
        ("<annotations><image>", "not XML"),
        ("", "not XML"),
        ('<?xml version="1.0" encoding="nonsense"?><annotations/>', "not XML"),
        (b"\x00\xff\xfe", "not XML"),
    ],
    ids=["laughs", "outside", "deep", "root", "cut", "empty", "encoding", "bytes"],
)
def test_xml_that_harms_or_is_none_is_refused(read, text, says):
    good = cvat(cvat_image(3, BOX + "/>"))
    _, findings = read(CVAT, {"ann.xml": good, "bad.xml": text})

    assert checks(findings) == ["file-unreadable"]
    assert says in findings[0].message


# Label Studio ----------------------------------------------------------------------------------

STUDIO = f'format = "labelstudio"\npath = "all.json"\n{IMAGE}'


def result(**more):
    value = {"x": 5, "y": 20, "width": 15, "height": 40, "rotation": 0}
    value |= {"rectanglelabels": ["spleen"], **more}
    return {
        "type": "rectanglelabels",
        "original_width": 200,
        "original_height": 100,
        "value": value,
    }


def task(*annotations, image="/data/upload/1/0a1b2c3d-img1-slice7.png"):
    return {"id": 1, "data": {"image": image}, "annotations": list(annotations)}


def test_label_studio_percent_and_states(read):
    tasks = [
        task(
            {"completed_by": 1, "was_cancelled": False, "result": [result()]},
            {"completed_by": {"id": 2, "email": "bob@x.org"}, "result": []},
            {"completed_by": 3, "was_cancelled": True, "result": []},
        )
    ]

    study, findings = read(STUDIO, {"all.json": tasks})

    assert study.boxes.loc[0, EDGES].tolist() == [10, 20, 40, 60]
    assert study.boxes.loc[0, "source"] == "all.json:task 0, annotation 0, result 0"
    assert states(study) == {
        ("1", 7, "1"): "boxed",
        ("1", 7, "3"): "opened",
        ("1", 7, "bob@x.org"): "reviewed_empty",
    }
    assert study.images.loc[0, ["height", "width"]].tolist() == [100, 200]
    assert findings == []


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/3/deadbeef-img1-slice7.png",
        "/data/local-files/?d=ct/img1-slice7.png",
        "https://x.org/a%20b/img1-slice7.png?token=1",
        "s3://bucket/img1-slice7.png",
        "img1-slice7.png",
    ],
)
def test_label_studio_finds_the_name_in_a_url(read, image):
    study, _ = read(
        STUDIO, {"all.json": [task({"completed_by": 1, "result": [result()]}, image=image)]}
    )

    assert states(study) == {("1", 7, "1"): "boxed"}


@pytest.mark.parametrize(
    ("more", "check"),
    [
        ({"rotation": 12.5}, "box-rotated"),
        ({"rectanglelabels": []}, "unknown-class"),
        ({"rectanglelabels": ["spleen", "liver"]}, "unknown-class"),
        ({"rectanglelabels": ["gut"]}, "unknown-class"),
        ({"width": None}, "not-a-number"),
        ({"width": -5}, "box-empty"),
        ({"x": 99}, "box-outside-image"),
        ({"x": float("nan")}, "box-not-finite"),
    ],
)
def test_label_studio_boxes_that_are_not_sound(read, more, check):
    annotation = {"completed_by": 1, "result": [result(), result(x=1), result(**more)]}

    study, findings = read(STUDIO, {"all.json": [task(annotation)]})

    assert checks(findings) == [check]
    assert len(study.boxes) == 2


def test_label_studio_results_that_are_no_boxes_are_counted(read):
    annotation = {
        "completed_by": 1,
        "result": [{"type": "choices", "value": {}}, {"type": "brushlabels"}],
    }
    tasks = [task(annotation, {"completed_by": 2, "result": [result()]})]

    study, findings = read(STUDIO, {"all.json": tasks})

    assert checks(findings) == ["answer-not-used", "shape-not-a-box"]
    assert states(study)["1", 7, "1"] == "opened"


def test_label_studio_json_min(read):
    box = {"x": 5, "y": 20, "width": 15, "height": 40, "rotation": 0, "rectanglelabels": ["liver"]}
    box |= {"original_width": 200, "original_height": 100}
    rows = [
        {"image": "img1-slice7.png", "id": 1, "label": [box], "annotator": 1, "annotation_id": 5},
        {"image": "img1-slice7.png", "id": 1, "annotator": "bob@x.org", "annotation_id": 6},
    ]

    study, findings = read(STUDIO, {"all.json": rows})

    assert study.boxes.loc[0, EDGES].tolist() == [10, 20, 40, 60]
    assert states(study) == {("1", 7, "1"): "boxed", ("1", 7, "bob@x.org"): "reviewed_empty"}
    assert findings == []


def test_label_studio_one_person_twice_on_one_image(read):
    annotation = {"completed_by": 1, "result": [result()]}

    study, findings = read(STUDIO, {"all.json": [task(annotation, annotation)]})

    assert len(study.boxes) == 1
    assert set(checks(findings)) == {"slice-twice"}
    assert findings[0].severity is Severity.REJECT


@pytest.mark.parametrize("data", ["{}", "[1]", '[{"annotations": 3}]', '[{"data": {"image": 3}}]'])
def test_what_is_no_label_studio_is_refused(read, data):
    with pytest.raises(InputError, match="no reading at all"):
        read(STUDIO, {"all.json": data})


# Names -----------------------------------------------------------------------------------------


def test_names_that_would_leave_the_folder_are_refused(read):
    image = {"id": 1, "file_name": "..png", "height": 9, "width": 9}
    text = COCO_ONE.replace(IMAGE, "")
    good = {"id": 2, "file_name": "a.png", "height": 9, "width": 9, "rater_list": ["../../x", "a"]}

    study, findings = read(text, {"all.json": coco([], [good, image | {"rater_list": ["a"]}])})

    assert checks(findings) == ["name-unfit", "name-unfit"]
    assert study.cases == ["a"]
    assert study.raters == ["a"]


def test_letters_that_look_alike_are_shown_apart(read):
    whos = ("Am\u00e9lie", "Ame\u0301lie")  # as Linux and as macOS name a folder

    _, findings = read(COCO, {f"{who}.json": coco([drawn()]) for who in whos})

    (told,) = [one.message for one in findings if one.check == "names-alike"]
    assert "'Am\\xe9lie'" in told
    assert "'Ame\\u0301lie'" in told
    assert "Unicode" in told


def test_names_that_differ_in_case_only_are_told(read):
    images = [
        {"id": i, "file_name": f"{name}.png", "height": 9, "width": 9, "rater_list": ["Ann", "ann"]}
        for i, name in enumerate(["p1", "P1"])
    ]

    study, findings = read(COCO_ONE.replace(IMAGE, ""), {"all.json": coco([], images)})

    assert checks(findings) == ["names-alike", "names-alike"]
    assert study.raters == ["Ann", "ann"]


# LIDC ------------------------------------------------------------------------------------------

NODULE = '[study]\nname = "s"\n[labels]\n0 = { name = "lesion", value = 1 }\n'
LIDC = 'format = "lidc"\npath = "{case}.xml"\nsize = [512, 512]\nrater_scope = "case"\n'


def roi(z, points, inclusion="TRUE"):
    edges = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points
    )
    return (
        f"<roi><imageZposition>{z}</imageZposition><imageSOP_UID>1.2</imageSOP_UID>"
        f"<inclusion>{inclusion}</inclusion>{edges}</roi>"
    )


def lidc(*sessions):
    """A scan: for each session a list of nodules, each a list of rois."""
    parts = []
    for nodules in sessions:
        inner = "".join(
            f"<unblindedReadNodule><noduleID>{k}</noduleID>{''.join(rois)}</unblindedReadNodule>"
            for k, rois in enumerate(nodules)
        )
        more = "<nonNodule><locus><xCoord>1</xCoord></locus></nonNodule>"
        parts.append(f"<readingSession><annotationVersion/>{inner}{more}</readingSession>")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<LidcReadMessage uid="1.3" '
        'xmlns="http://www.nih.gov"><ResponseHeader/>' + "".join(parts) + "</LidcReadMessage>"
    )


@pytest.fixture
def read_lidc(make_config, write):
    def read_lidc(text, annotations=LIDC, **more):
        write("p1.xml", text)
        return read_study(make_config(annotations, **{"labels": NODULE, **more}))

    return read_lidc


RING = [(10, 20), (14, 24), (12, 28), (10, 24)]


def test_lidc_outlines_become_boxes_of_what_they_enclose(read_lidc):
    first = [[roi(-125.0, RING), roi(-122.5, RING)], [roi(-122.5, [(99, 99)])]]
    second = [[roi(-117.5, RING), roi(-117.5, RING, "FALSE")]]
    study, findings = read_lidc(lidc(first, second, []))

    assert study.boxes[["slice", "rater"]].to_numpy().tolist() == [[0, "1"], [1, "1"], [3, "2"]]
    # Pixels 11 to 13 and 21 to 27 lie inside the ring.
    assert study.boxes[EDGES].iloc[0].tolist() == [11, 21, 14, 28]
    assert set(study.boxes["label"]) == {"lesion"}
    assert states(study)["p1", 0, "3"] == states(study)["p1", 3, "1"] == "reviewed_empty"
    messages = " ".join(f.message for f in findings)
    assert "3 non-nodule marks" in messages
    assert "1 single-point mark" in messages
    assert "1 exclusion outline" in messages


def test_lidc_positions_that_fit_no_steps_are_told(read_lidc):
    rois = [[roi(z, RING) for z in (0, 2, 5)]]

    study, findings = read_lidc(lidc(rois))

    assert study.boxes["slice"].tolist() == [0, 1, 2]
    assert "slice-position" in checks(findings)


@pytest.mark.parametrize("points", [[("x", 1), (2, 3)], [(1, 1), (1, 5)], []])
def test_lidc_outlines_that_enclose_nothing_are_refused(read_lidc, points):
    rois = [[roi(0, RING), roi(1, points)]]

    study, findings = read_lidc(lidc(rois))

    assert len(study.boxes) == 1
    assert [f.severity for f in findings if f.check in {"not-a-number", "box-empty"}]


def test_lidc_slices_cannot_be_laid_on_images(read_lidc):
    with pytest.raises(InputError, match="do not number slices"):
        read_lidc(lidc([]), LIDC + '[images]\npath = "{case}.nii.gz"\n')


def test_lidc_chest_x_rays_are_something_else(read_lidc):
    with pytest.raises(InputError, match="<IdriReadMessage>, not with <LidcReadMessage>"):
        read_lidc(lidc([]).replace("LidcRead", "IdriRead"))


def test_lidc_readers_are_not_the_same_in_two_scans(read_lidc):
    with pytest.raises(InputError, match="rater_scope = 'case'"):
        read_lidc(lidc([]), LIDC.replace('"case"', '"study"'))


def test_a_task_of_several_pages_is_refused_for_what_it_is(make_config, write):
    pages = {"data": {"pages": ["p1-1.png", "p1-2.png"]}, "annotations": [{"result": []}]}
    write("all.json", json.dumps([pages]))

    with pytest.raises(InputError, match="task 0, annotation 0: no image is named, as for tasks"):
        read_study(make_config(STUDIO))
