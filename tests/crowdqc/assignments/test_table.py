import pytest

from crowdqc.assignments import read_assignments
from crowdqc.assignments.table import write_assignments
from crowdqc.config import load_config
from crowdqc.findings import InputError
from tests.studies import TINY

SECTION = '[assignments]\npath = "assignments.csv"\n'


def config_of(folder, text, more=""):
    (folder / "study.toml").write_text(TINY + SECTION + more, encoding="utf-8")
    (folder / "assignments.csv").write_text(text, encoding="utf-8")
    return load_config(folder / "study.toml")


def test_reads_what_is_there_and_fills_in_the_rest(tmp_path):
    config = config_of(tmp_path, "rater,case\nann,0001\n bob , 2 \n\n")

    table = read_assignments(config)

    assert table[["rater", "case", "label", "slices", "due", "round", "line"]].values.tolist() == [
        ["ann", "0001", "", "", "", 1, 2],
        ["bob", "2", "", "", "", 1, 3],
    ]


def test_columns_come_in_any_order_and_slices_as_ranges(tmp_path):
    text = "case,slices,rater,due,round,label\n1,7 5 6 9-10,ann,2026-12-01,2,liver spleen\n"

    row = read_assignments(config_of(tmp_path, text)).iloc[0]

    assert (row.slices, row.due, row["round"], row.label) == (
        "5-7 9-10", "2026-12-01", 2, "liver spleen",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rater;case\n", r"assignments\.csv: must have commas"),
        ("rater\nann\n", r"assignments\.csv:1: the first line must name"),
        ("rater,case,organ\n", "may name label, slices, due and round"),
        ("rater,case\nann\n", r"assignments\.csv:2: has 1 cells; the first line 2"),
        ("rater,case\n,1\n", r"assignments\.csv:2: 'rater' must be filled in"),
        ("rater,case,label\nann,1,livr\n", r":2: .*'livr'. Did you mean 'liver'"),
        ("rater,case,slices\nann,1,5-3\n", r":2: 'slices' must be such as .* got '5-3'"),
        ("rater,case,slices\nann,1,x\n", "'slices' must be"),
        ("rater,case,slices\nann,1,0-999999999\n", "'slices' must be"),
        ("rater,case,due\nann,1,24.12.2026\n", r":2: 'due' must be a date .* got '24.12.2026'"),
        ("rater,case,due\nann,1,2026-02-30\n", "'due' must be a date"),
        ("rater,case,round\nann,1,0\n", "'round' must be a whole number"),
        ("rater,case\nann,1\nbob,1\nann,1\n", r":4: .* case '1' in round 1 already, on line 2"),
        ("rater,case,slices\nann,1,1-5\nann,1,5-9\n", r":3: rater 'ann' has case '1' .* line 2"),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_line(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        read_assignments(config_of(tmp_path, text))


def test_all_faults_are_told_at_once(tmp_path):
    with pytest.raises(InputError) as told:
        read_assignments(config_of(tmp_path, "rater,case,due\nann,,x\n,2,\n"))

    assert len(str(told.value).splitlines()) == 3


def test_other_slices_labels_and_rounds_of_a_case_are_not_the_same_twice(tmp_path):
    text = "rater,case,label,slices,round\nann,1,liver,,1\nann,1,spleen,,1\nann,1,liver,3,2\n"

    assert len(read_assignments(config_of(tmp_path, text))) == 3


def test_a_name_that_is_not_among_the_raters_is_refused_with_the_nearest(tmp_path):
    config = config_of(tmp_path, "rater,case\nanm,1\n", 'raters = ["ann", "bob"]\n')

    with pytest.raises(InputError, match=r"got 'anm'\. Did you mean 'ann'"):
        read_assignments(config)


def test_a_table_that_is_not_there_says_how_to_make_it(tmp_path):
    config = config_of(tmp_path, "")
    (tmp_path / "assignments.csv").unlink()

    with pytest.raises(InputError, match=r"is not there .* crowdqc assign"):
        read_assignments(config)


def test_a_table_that_is_there_is_not_overwritten_and_rows_are_added_behind_it(tmp_path):
    text = "rater,case,label,slices,due,round\nann,1,,,,"
    config = config_of(tmp_path, text)
    table = read_assignments(config)
    path = tmp_path / "assignments.csv"

    with pytest.raises(InputError, match="is there already"):
        write_assignments(path, table)
    write_assignments(path, table.assign(rater="bob"), after=text)

    assert path.read_text(encoding="utf-8") == f"{text}\nbob,1,,,,1\n"


def test_a_pipe_is_refused(tmp_path):
    import os

    config = config_of(tmp_path, "")
    (tmp_path / "assignments.csv").unlink()
    os.mkfifo(tmp_path / "assignments.csv")

    with pytest.raises(InputError, match="pipe or a device"):
        read_assignments(config)


@pytest.mark.parametrize("text", ["secret-word\n", "rater,case,due\nann,1,secret-word\n"])
def test_a_file_outside_of_the_folder_is_not_quoted(tmp_path, text):
    (tmp_path / "inner").mkdir()
    config = config_of(tmp_path / "inner", "")
    (tmp_path / "inner" / "assignments.csv").unlink()
    (tmp_path / "outer.csv").write_text(text)
    (tmp_path / "inner" / "assignments.csv").symlink_to(tmp_path / "outer.csv")

    with pytest.raises(InputError) as told:
        read_assignments(config)

    assert "secret-word" not in str(told.value)
