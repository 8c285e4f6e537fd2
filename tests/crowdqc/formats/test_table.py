import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowdqc.findings import InputError, Severity
from crowdqc.formats import read_study, read_truth_boxes

COLUMNS = 'columns = { case = "item", rater = "who", x0 = "l", y0 = "t", x1 = "r", y1 = "b"%s }'
ONE_LABEL = '[study]\nname = "s"\n[labels]\ncar = { name = "car", value = 1, single = false }'
HEAD = "item,who,l,t,r,b\n"


@pytest.fixture
def read(make_config, write):
    def read(text, more="", name="boxes.csv", labels=ONE_LABEL, extra="size = [100, 200]\n"):
        write(name, text)
        annotations = f'format = "table"\npath = "{name}"\n{COLUMNS % more}\n{extra}'
        return read_study(make_config(annotations, labels=labels))

    return read


def test_rows_are_boxes_and_a_row_without_a_box_is_an_empty_reading(read):
    study, findings = read(HEAD + "p1,w1,1,2,3.5,4\np1,w2,,,,\n")

    assert study.boxes[["case", "slice", "rater", "label"]].to_numpy().tolist() == [
        ["p1", 0, "w1", "car"]
    ]
    assert study.boxes.loc[0, ["x0", "y0", "x1", "y1"]].tolist() == [1.0, 2.0, 3.5, 4.0]
    assert study.boxes.loc[0, "source"] == "boxes.csv:2"
    assert dict(zip(study.readings["rater"], study.readings["state"], strict=True)) == {
        "w1": "boxed",
        "w2": "reviewed_empty",
    }
    assert findings == []


def test_a_table_of_empty_readings_alone(read):
    study, findings = read(HEAD + "p1,w1,,,,\n")

    assert study.readings["state"].tolist() == ["reviewed_empty"]
    assert len(study.boxes) == 0
    assert findings == []


def test_a_compressed_table_with_a_bom_and_crlf(read):
    data = ("\ufeff" + HEAD + "p1,w1,1,2,3,4\n").replace("\n", "\r\n").encode()

    study, findings = read(gzip.compress(data), name="boxes.csv.gz")

    assert len(study.boxes) == 1
    assert findings == []


def test_slices_and_labels_and_sizes_may_be_columns(read):
    text = "item,who,l,t,r,b,k,organ,h,w\np1,w1,1,2,3,4,12,liver,50,60\n"
    more = ', slice = "k", label = "organ", height = "h", width = "w"'
    labels = ONE_LABEL.replace("car", "liver") + '\n1 = { name = "gut", value = 2 }'

    study, _ = read(text, more=more, labels=labels, extra="")

    assert study.boxes.loc[0, ["slice", "label"]].tolist() == [12, "liver"]
    assert study.images.loc[0, ["height", "width"]].tolist() == [50, 60]


@pytest.mark.parametrize(
    ("row", "check", "says"),
    [
        ("p1,w1,1,2,3", "field-count", "has 5 fields; the first line names 6"),
        ("p1,w1,1,two,3,4", "not-a-number", "y0 is 'two'"),
        ("p1,w1,1,,3,4", "not-a-number", "y0 is ''"),
        ("p1,w1,1,1_0,3,4", "not-a-number", "y0 is '1_0'"),
        ("p1,w1,1,nan,3,4", "box-not-finite", "not finite"),
        ("p1,w1,1,2,3,-inf", "box-not-finite", "not finite"),
        ("p1,w1,3,2,3,4", "box-empty", "no area"),
        ("p1,w1,5,2,3,4", "box-empty", "no area"),
        ("p1,w1,5,2,300,4", "box-outside-image", "reaches beyond"),
        (",w1,1,2,3,4", "name-missing", "no case"),
        ("p1,,1,2,3,4", "name-missing", "no rater"),
        ("p1,w0,10,20,30,40", "box-twice", "second time"),
    ],
)
def test_a_malformed_row_is_a_finding_and_the_rest_is_kept(read, row, check, says):
    study, findings = read(HEAD + f"p1,w0,10,20,30,40\n{row}\n")

    assert [(f.check, f.severity, f.source) for f in findings] == [
        (check, Severity.REJECT, "boxes.csv:3")
    ]
    assert says in findings[0].message
    assert len(study.boxes) == 1


@pytest.mark.parametrize("slice_", ["1.5", "-1", "nan", "1e30", "x", ""])
def test_a_slice_must_be_a_whole_number(read, slice_):
    text = f"item,who,l,t,r,b,k\np1,w1,1,2,3,4,{slice_}\np1,w1,1,2,3,4,0\n"

    study, findings = read(text, more=', slice = "k"')

    assert [f.check for f in findings] == ["not-a-number"]
    assert len(study.boxes) == 1


def test_an_unknown_label_is_a_finding(read):
    _, findings = read(
        "item,who,l,t,r,b,organ\np1,w1,1,2,3,4,gut\np1,w1,1,2,3,4,car\n", more=', label = "organ"'
    )

    assert [f.check for f in findings] == ["unknown-class"]


def test_without_any_size_it_is_taken_from_the_boxes_and_said(read):
    study, findings = read(HEAD + "p1,w1,1,2,30.5,40\n", extra="")

    assert study.images.loc[0, ["height", "width"]].tolist() == [40, 31]
    assert [f.check for f in findings] == ["image-size-guessed"]


def test_rows_may_be_chosen(read):
    text = HEAD.replace("\n", ",set\n") + "p1,w1,1,2,3,4,4\np2,w1,1,2,3,4,5\n"

    study, _ = read(text, extra='size = [100, 200]\nkeep = { set = "5" }\n')

    assert study.cases == ["p2"]


@pytest.mark.parametrize(
    ("text", "more", "says"),
    [
        ("", "", "is empty"),
        ("a,b\n1,2\n", "", "has no column 'item'; it has a, b"),
        ("item,item\n1,2\n", "", "Rename one of them"),
        (HEAD + '"p1', "", "is not CSV"),
        (HEAD, ', sloce = "item"', "'columns' has 'sloce'"),
        (b"\xff\xff", "", "not UTF-8"),
        (HEAD, "", "no reading at all"),
        (HEAD.replace(",", ";") + "p1;w1;1,5;2;3;4", "", "commas between its .*; got semicolons"),
        (HEAD + ",w1,1,2,3,4", "", "no reading at all.*has no case"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(read, text, more, says):
    with pytest.raises(InputError, match=f"(?s){says}"):
        read(text, more=more)


def test_a_gzip_file_that_is_cut_off(read):
    data = gzip.compress((HEAD + "p1,w1,1,2,3,4\n" * 50).encode())[:-20]

    with pytest.raises(InputError, match="cannot be read"):
        read(data, name="boxes.csv.gz")


def test_a_label_column_is_needed_where_there_are_several(read):
    with pytest.raises(InputError, match="names no column 'label'"):
        read(HEAD + "p1,w1,1,2,3,4\n", labels=ONE_LABEL + '\n1 = { name = "gut", value = 2 }')


def test_one_rater_may_be_the_truth(make_config, write):
    write("boxes.csv", HEAD + "p1,w1,1,2,3,4\np1,gold,1,2,3,5\n")
    annotations = f'format = "table"\npath = "boxes.csv"\n{COLUMNS % ""}\nsize = [9, 9]\n'

    study, _ = read_study(make_config(annotations + '[truth]\nrater = "gold"', labels=ONE_LABEL))

    assert study.raters == ["w1"]


def test_truth_boxes_are_a_table_of_their_own(make_config, write):
    write("boxes.csv", HEAD + "p1,w1,1,2,3,4\n")
    write("gold.csv", "item,l,t,r,b\np1,1,2,3,5\n")
    annotations = (
        f'format = "table"\npath = "boxes.csv"\n{COLUMNS % ""}\n[truth]\nboxes = "gold.csv"'
    )

    truth, findings = read_truth_boxes(make_config(annotations, labels=ONE_LABEL))

    assert truth.to_numpy().tolist() == [["p1", 0, "car", 1.0, 2.0, 3.0, 5.0]]
    assert findings == []


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(st.text(max_size=5), min_size=6, max_size=6), max_size=4))
def test_no_row_can_break_the_reader(read, rows):
    body = "".join(",".join('"' + c.replace('"', '""') + '"' for c in row) + "\n" for row in rows)

    study, _ = read(HEAD + "p1,w0,10,20,30,40\n" + body)

    assert len(study.boxes) >= 1


def test_real_crowds_are_read(data, make_config):
    columns = COLUMNS % ""
    for ours, theirs in zip("ltrb", ["x0", "y0", "x1", "y1"], strict=True):
        columns = columns.replace(f'"{ours}"', f'"{theirs}"')
    path = f'format = "table"\npath = "{data}/crowd_boxes_gold/boxes.csv"\n'

    study, findings = read_study(
        make_config(path + columns.replace('"who"', '"rater"'), labels=ONE_LABEL)
    )

    assert len(study.boxes) == 3742
    assert len(study.cases) == 100
    assert [f.check for f in findings] == ["image-size-guessed"]


def test_lidc_is_read_with_readers_that_differ_from_case_to_case(data, make_config):
    columns = ", ".join(f'{name} = "{name}"' for name in ("x0", "y0", "x1", "y1"))
    config = make_config(
        f'format = "table"\npath = "{data}/lidc/reader_boxes.csv.gz"\nrater_scope = "case"\n'
        'columns = { case = "scan_id", slice = "slice_index", rater = "reader_session", '
        f"{columns} }}\nsize = [512, 512]",
        labels=ONE_LABEL,
    )

    study, findings = read_study(config)

    with gzip.open(data / "lidc" / "reader_boxes.csv.gz") as file:
        rows = sum(1 for _ in file) - 1
    left_out = sum(finding.severity is Severity.REJECT for finding in findings)
    assert len(study.boxes) + left_out == rows
    assert study.rater_scope == "case"
    assert set(study.raters) == {"0", "1", "2", "3"}
