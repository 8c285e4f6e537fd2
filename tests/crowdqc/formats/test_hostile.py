"""Broken and hostile input: it ends in a finding or an `InputError`, soon and in little memory."""

import contextlib
import gzip
import json
import os
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowdqc.config import load_config
from crowdqc.findings import InputError, dump_findings
from crowdqc.formats import read_study
from crowdqc.formats.guess import guess_study

YOLO = 'format = "yolo"\npath = "{rater}/img{case}-slice{slice}.txt"\nsize = [100, 200]\n'
TABLE = (
    'format = "table"\npath = "%s"\nrater = "a"\nsize = [100, 200]\n'
    'columns = { case = "case", x0 = "x0", y0 = "y0", x1 = "x1", y1 = "y1", label = "label" }'
)
HEADLESS = 'format = "table"\npath = "b.csv"\nrater = "a"\nsize = [9, 9]\ncolumns = { case = 1, '
HEADLESS += "x0 = 2, y0 = 3, x1 = 4, y1 = 5, label = 6 }"
HEAD = "case,x0,y0,x1,y1,label\n"
LINE = "0 .5 .5 .2 .2\n"
FORMATS = {
    "coco": ("all.json", 'format = "coco"\npath = "all.json"\n'),
    "labelstudio": ("all.json", 'format = "labelstudio"\npath = "all.json"\n'),
    "cvat": ("all.xml", 'format = "cvat"\npath = "all.xml"\nrater = "a"\n'),
    "voc": ("p.xml", 'format = "voc"\npath = "{case}.xml"\nrater = "a"\nfirst_pixel = 0\n'),
}


@pytest.fixture
def peak():
    """Peak of memory that Python takes in a test, in MiB."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()


# Files -----------------------------------------------------------------------------------------


def test_what_is_no_file_is_not_opened(make_config, write, tmp_path):
    write("a/img1-slice0.txt", LINE)
    os.mkfifo(tmp_path / "a" / "img1-slice1.txt")
    (tmp_path / "a" / "img1-slice2.txt").mkdir()
    (tmp_path / "a" / "img1-slice3.txt").symlink_to("/dev/zero")
    (tmp_path / "a" / "img1-slice4.txt").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)

    study, _ = read_study(make_config(YOLO))

    assert study.readings["slice"].tolist() == [0]


def test_a_fifo_is_no_table(make_config, tmp_path):
    os.mkfifo(tmp_path / "b.csv")

    with pytest.raises(InputError, match="no such file"):
        read_study(make_config(TABLE % "b.csv"))


def test_a_file_name_that_is_no_text(make_config, write, tmp_path):
    write("a/img1-slice0.txt", LINE)
    with open(os.fsencode(tmp_path) + b"/a/img\xff-slice0.txt", "w") as file:  # noqa: PTH123
        file.write(LINE)

    study, findings = read_study(make_config(YOLO))

    assert study.cases == ["1"]
    assert [finding.check for finding in findings] == ["name-unfit"]
    dump_findings(findings).encode()


def test_a_slice_number_that_no_volume_has(make_config, write):
    write("a/img1-slice0.txt", LINE)
    write(f"a/img1-slice{'9' * 100}.txt", LINE)

    study, findings = read_study(make_config(YOLO))

    assert len(study.readings) == 1
    assert [finding.check for finding in findings] == ["slice-number"]


def test_a_file_of_bad_lines_alone(make_config, write, peak):
    write("a/img1-slice0.txt", "x\n" * 50_000)

    _, findings = read_study(make_config(YOLO))

    assert [finding.check for finding in findings[1000:]] == ["more-lines"]
    assert peak() < 30


def test_a_file_that_is_too_large(make_config, write):
    write("a/img1-slice0.txt", LINE)
    write("a/img1-slice1.txt", b" " * 10_000_001)

    _, findings = read_study(make_config(YOLO))

    assert "more than 10000000 bytes" in findings[0].message


def test_very_many_boxes_that_break_one_rule(make_config, write, peak):
    write("a/img1-slice0.txt", LINE * 5_000)

    study, findings = read_study(make_config(YOLO))

    assert len(study.boxes) == 1
    assert len(findings) == 1000
    assert peak() < 30


# Tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"\0" * 50_000_000),
        gzip.compress(HEAD.encode() + b"," * 5_000_000),
        gzip.compress(HEAD.encode())[:20],
        gzip.compress(HEAD.encode() * 9)[:-12] + b"x" * 12,
        b"\x1f\x8b\x08" + b"\xff" * 50,
    ],
    ids=["one long line", "one long row", "cut off", "wrong sum", "no gzip"],
)
def test_a_packed_table_that_is_none(make_config, write, data, peak):
    write("b.csv.gz", data)

    with pytest.raises(InputError, match=r"b\.csv\.gz"):
        read_study(make_config(TABLE % "b.csv.gz"))
    assert peak() < 50


@pytest.mark.parametrize("header", [True, False])
def test_a_table_of_very_many_columns(make_config, write, header):
    head = HEAD.strip() if header else "p,1,2,3,4,spleen"
    write("b.csv", head + "".join(f",{n}" for n in range(100_000)) + "\n")
    columns = TABLE % "b.csv" if header else HEADLESS

    with pytest.raises(InputError, match=r"b\.csv: has 100006 columns, more than 1000"):
        read_study(make_config(columns))


def test_a_box_of_endless_size_is_refused_without_a_warning(make_config, write):
    write(
        "b.csv",
        "case,x0,y0,box_width,box_height,label\n" + "p,1,2,3,4,spleen\np,-inf,2,inf,4,spleen\n",
    )
    columns = (TABLE % "b.csv").replace(
        'x1 = "x1", y1 = "y1"', 'box_width = "box_width", box_height = "box_height"'
    )

    study, findings = read_study(make_config(columns))

    assert len(study.boxes) == 1
    assert findings


def test_a_packed_mask_of_one_endless_number(make_config, write):
    segmentation = {"size": [1000, 1000], "counts": "o" * 3_000_000 + "0"}
    image = {"id": 1, "file_name": "a-0.png", "height": 1000, "width": 1000}
    shape = {"image_id": 1, "category_id": 1, "segmentation": segmentation, "rater_id": "r"}
    kinds = [{"id": 1, "name": "spleen"}]
    record = {"images": [image], "categories": kinds, "annotations": [{"id": 1, **shape}]}
    write("all.json", json.dumps(record))
    config = make_config(FORMATS["coco"][1] + 'shapes = "box"\n')
    began = time.process_time()

    with contextlib.suppress(InputError):
        read_study(config)

    assert time.process_time() - began < 5


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 30_000, "[[1]" * 5_000])
def test_a_class_list_of_lists_in_lists(make_config, write, text):
    write("a/img1-slice0.txt", LINE)
    write("a/data.yaml", f"names: {text}")
    began = time.process_time()

    _, findings = read_study(make_config(YOLO))

    assert "class-list-unreadable" in {finding.check for finding in findings}
    assert time.process_time() - began < 5


def test_a_box_that_reaches_beyond_all_images(make_config, write):
    write("b.csv", HEAD + "p,1,2,3,4,spleen\n" + f"p,1,2,1{'0' * 300},4,spleen\n")

    study, findings = read_study(make_config((TABLE % "b.csv").replace("size = [100, 200]\n", "")))

    assert len(study.boxes) == 1
    assert study.images["width"].max() <= 1_000_000
    assert any("1e+300" in finding.message or "outside" in finding.check for finding in findings)


def test_a_table_of_bad_rows_alone(make_config, write, peak):
    write("b.csv", HEAD + "p,1,2,3,4,spleen\n" + "x\n" * 50_000)

    _, findings = read_study(make_config(TABLE % "b.csv"))

    assert len(findings) == 1001
    assert peak() < 30


def test_guessing_looks_at_broken_files_too(write, tmp_path):
    write("b.csv.gz", b"\x1f\x8b\x08" + b"\xff" * 50)

    with pytest.raises(InputError, match=r"b\.csv\.gz: cannot be read"):
        guess_study(tmp_path)


# Any bytes, any structure ----------------------------------------------------------------------

KEYS = [
    *("images", "annotations", "categories", "id", "image_id", "category_id", "bbox", "name"),
    *("file_name", "height", "width", "rater_id", "rater_list", "iscrowd", "attributes"),
    *("rotation", "data", "image", "completed_by", "was_cancelled", "result", "value", "type"),
    *("x", "y", "rectanglelabels", "original_width", "original_height", "annotator", "email"),
]
leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**400, -(2**63), 1e308]),
    st.floats(),
    st.sampled_from(["", "spleen", "a.png", "../a.png", "\ud800.png", "rectanglelabels"]),
)
trees = st.recursive(
    leaf,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)


def read_or_refuse(config):
    """Read a study; whatever comes of it can be written down."""
    try:
        study, findings = read_study(config)
    except InputError as error:
        str(error).encode()
        return
    dump_findings(findings).encode()
    for table in (study.images, study.readings, study.boxes):
        table.to_csv().encode()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=100) | st.text(max_size=50).map(lambda text: text.encode("utf-8")))
def test_no_bytes_break_a_reader(name, make_config, write, data):
    file, annotations = FORMATS[name]
    write(file, data)

    read_or_refuse(make_config(annotations))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=trees
    | st.fixed_dictionaries(
        {"images": trees, "annotations": trees},
        optional={"categories": trees},
    )
    | st.lists(st.fixed_dictionaries({"data": trees, "annotations": trees}), max_size=3)
)
def test_no_tree_breaks_a_json_reader(make_config, write, tree):
    for name in ("coco", "labelstudio"):
        file, annotations = FORMATS[name]
        write(file, json.dumps(tree))
        read_or_refuse(make_config(annotations))


# Study files -----------------------------------------------------------------------------------

STUDY = '[study]\nname = "s"\n[labels]\n0 = { name = "spleen", value = 1 }\n[annotations]\n'


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 20_000,
        "a = " + "9" * 5000,
        STUDY + YOLO.replace("100", "10_000_000_000"),
        STUDY + YOLO.replace("100", "-1"),
        STUDY + YOLO + "spacing = [nan, 1, 1]",
        STUDY + YOLO + "spacing = [inf, 1, 1]",
        STUDY + YOLO + "spacing = [0, 1, 1]",
        STUDY.replace('"s"', '"../s"') + YOLO,
        STUDY.replace('"s"', '".."') + YOLO,
        STUDY.replace("spleen", "..") + YOLO,
        STUDY.replace("spleen", "s" * 200) + YOLO,
        b"\xff\xfe\x00",
        "",
    ],
)
def test_a_study_file_that_harms_is_refused(write, text):
    path = write("study.toml", text)

    with pytest.raises(InputError) as caught:
        load_config(path)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("path", ["a\\u0000b/{case}.txt", "{case}{case}{rater}.txt", "/", "", "{}"])
def test_a_path_that_is_none_is_refused(make_config, path):
    with pytest.raises(InputError):
        read_study(make_config(f'format = "yolo"\npath = "{path}"\nsize = [9, 9]\n'))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60), place=st.integers(0, 200))
def test_no_text_in_a_study_file_breaks_it(write, text, place):
    whole = STUDY + YOLO
    path = write("study.toml", (whole[:place] + text + whole[place:]).encode("utf-8"))
    write("a/img1-slice0.txt", LINE)

    try:
        config = load_config(path)
    except InputError as error:
        str(error).encode()
        return
    read_or_refuse(config)
