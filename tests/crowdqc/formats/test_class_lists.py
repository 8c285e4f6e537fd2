"""YOLO trees with a class list beside them: OpenLabeling, Ultralytics, CVAT, Label Studio."""

import pytest

from crowdqc.findings import Severity
from crowdqc.formats import read_study

RATERS = 'format = "yolo"\npath = "{rater}/labels/img{case}-slice{slice}.txt"\nsize = [100, 200]'
LINE = "0 .5 .5 .2 .2\n"


@pytest.fixture
def label_of(make_config, write):
    """Label that class 0 has when this class list lies in rater b's folder, and the findings."""

    def label_of(name, text):
        write("a/labels/img1-slice0.txt", LINE)
        write("b/labels/img1-slice0.txt", LINE)
        write(f"b/{name}", text)
        study, findings = read_study(make_config(RATERS))
        labels = dict(zip(study.boxes["rater"], study.boxes["label"], strict=True))
        assert labels["a"] == "spleen"
        return labels["b"], findings

    return label_of


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "Liver\nspleen\n"),
        ("class_list.txt", "liver\r\nspleen"),
        ("obj.names", "liver\nspleen"),
        ("data.yaml", "path: .\nnc: 2\nnames: [liver, spleen]\n"),
        ("data.yaml", "names:\n  0: liver\n  1: spleen\n"),
        ("labels/classes.txt", "liver\nspleen\n"),
    ],
)
def test_the_list_of_those_who_drew_is_followed_and_the_difference_told(label_of, name, text):
    label, findings = label_of(name, text)

    differ = [f for f in findings if f.check == "class-list-differs"]
    assert label == "liver"
    assert [f.severity for f in differ] == [Severity.REVIEW]
    assert "0 is 'liver', in [labels] 'spleen'" in differ[0].message


def test_a_list_that_agrees_is_not_mentioned(label_of):
    assert label_of("data.yaml", "names: [Spleen, LIVER]") == ("spleen", [])


def test_a_list_is_followed_for_every_id_or_for_none(make_config, write):
    write("a/labels/img1-slice0.txt", LINE + LINE.replace("0", "1", 1))
    write("a/classes.txt", "aorta\nliver\n")
    write("b/labels/img1-slice0.txt", LINE)
    write("b/classes.txt", "aorta\n")

    study, findings = read_study(make_config(RATERS))

    assert study.boxes[["rater", "label"]].to_numpy().tolist() == [["a", "liver"], ["b", "spleen"]]
    assert "a/labels/img1-slice0.txt:1: class '0' is not in a/classes.txt" in findings[-1].message
    assert "None of its names is a label, so it is not followed." in findings[1].message


@pytest.mark.parametrize(
    "text",
    [
        "names: {",
        "- 1",
        "names: 3",
        "[" * 5000,
        "!!python/object/apply:os.system [ls]",
        b"\xff\xff",
    ],
)
def test_a_list_that_cannot_be_read_is_told(label_of, text):
    label, findings = label_of("data.yaml", text)

    assert label == "spleen"
    assert [f.check for f in findings] == ["class-list-unreadable"]


def test_an_id_that_only_the_list_knows_is_read_by_its_name(make_config, write):
    write("a/labels/img1-slice0.txt", LINE.replace("0", "5", 1))
    write("a/classes.txt", "\n\n\n\n\nliver\n")

    study, findings = read_study(make_config(RATERS))

    assert study.boxes["label"].tolist() == ["liver"]
    assert "5 is 'liver', in [labels] nothing" in findings[0].message
