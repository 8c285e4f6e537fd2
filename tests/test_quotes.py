"""No message quotes a line of a file that a study leads to outside its own folder."""

import pytest

from tests.commands import call
from tests.studies import TINY, write_study

LINES = "root:x:0:0:root:/root:/bin/bash\ndaemon 5 s3cret 7 8\n0 .3 .3 s3cret .2\n"
TABLE = TINY.replace('"yolo"', '"table"').replace("boxes/{rater}/{case}-{slice}.txt", "b.csv")
COLUMNS = 'rater = "r"\ncolumns = { case = "c", slice = "s", label = "l", x0 = "a", y0 = "b", '
COLUMNS += 'x1 = "d", y1 = "e" }\n'


@pytest.fixture
def private(tmp_path_factory):
    path = tmp_path_factory.mktemp("home") / "passwd"
    path.write_text(LINES)
    return path


@pytest.fixture
def study(tmp_path):
    draw = lambda rater, *_: f"0 .{30 + ord(rater)} .3 .2 .2\n"  # noqa: E731
    return write_study(tmp_path, raters="ab", slices=6, lines=draw)


def told(study, *commands):
    results = [call(command, study, "-v") for command in commands]
    written = [path.read_text(encoding="utf-8") for path in study.parent.rglob("out/*.jsonl")]
    return "".join([*(result.output for result in results), *written])


@pytest.mark.parametrize("name", ["boxes/a/1-3.txt", "boxes/classes.txt", "boxes/a/data.yaml"])
def test_a_file_behind_a_link_is_not_quoted(study, private, name):
    (study.parent / name).unlink(missing_ok=True)
    (study.parent / name).symlink_to(private)

    text = told(study, "check")

    assert "s3cret" not in text
    assert "root:" not in text


def test_a_file_outside_is_not_quoted_but_its_lines_are_named(study, private):
    (study.parent / "boxes" / "a" / "1-3.txt").unlink()
    (study.parent / "boxes" / "a" / "1-3.txt").symlink_to(private)

    text = told(study, "check")

    assert "boxes/a/1-3.txt:1" in text
    assert "not quoted: the file lies outside the study's folder" in text


@pytest.mark.parametrize("lines", [LINES, "c,s,l,a,b,d,s3cret\n", "s3cret,s3cret\n"])
def test_a_table_behind_a_link_is_not_quoted(study, private, lines):
    private.write_text(lines)
    study.write_text(TABLE + COLUMNS)
    (study.parent / "b.csv").symlink_to(private)

    text = told(study, "check")

    assert "b.csv: has no column" in text or "b.csv: two columns" in text
    assert "s3cret" not in text
    assert "root:" not in text


def test_what_lies_in_the_study_is_quoted(study):
    (study.parent / "boxes" / "a" / "1-3.txt").write_text("0 .3 .3 hello .2\n")

    assert "hello" in told(study, "check")


@pytest.mark.parametrize("outside", [True, False])
def test_a_table_of_what_was_shown_is_quoted_only_from_the_study(study, tmp_path_factory, outside):
    place = tmp_path_factory.mktemp("home") if outside else study.parent
    header = "case,slice,label,rater,x0,y0,x1,y1\n"
    (place / "shown.csv").write_text(f"{header}1,s3cret,l,a,5,5,9,9\n", encoding="utf-8")
    study.write_text(
        study.read_text("utf-8") + f"[fuse]\nshown = '{place / 'shown.csv'}'\n", "utf-8"
    )

    result = call("fuse", study)

    assert result.exit_code == 2
    assert "shown.csv:2" in result.output.replace("\n", "")
    assert ("s3cret" in result.output) is not outside
