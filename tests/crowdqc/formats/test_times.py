"""Times of readings: what a format says, and what times of files are worth."""

import json
import os

import numpy as np
import pytest

from crowdqc.config import load_config
from crowdqc.findings import InputError
from crowdqc.formats import read_study
from crowdqc.formats.times import moment

YOLO = 'format = "yolo"\npath = "boxes/{rater}/img{case}-slice{slice}.txt"\nsize = [100, 200]\n'
NOON = 1_714_564_800  # 2024-05-01 12:00 UTC


@pytest.fixture
def read_written(make_config, write):
    """Read files of raters, each a number of seconds (`pace`) after the one before."""

    def read(paces, *, n=20, empty=0):
        for rater, pace in paces.items():
            for k in range(n + empty):
                text = "0 .5 .5 .2 .2\n" if k < n else ""
                path = write(f"boxes/{rater}/img1-slice{k:03d}.txt", text)
                when = int((NOON + pace * k * (k < n)) * 1e9)
                os.utime(path, ns=(when, when))
        return read_study(make_config(YOLO + "file_times = true"))

    return read


def notes(findings):
    return [f for f in findings if f.check == "file-times-not-believed"]


def test_files_written_at_the_pace_of_work_say_when_slices_were_read(read_written):
    study, findings = read_written({"a": 8.0, "b": 20.0, "c": 0.4})
    times = study.readings.set_index(["rater", "slice"])["time"]

    assert notes(findings) == []
    assert times["a", 3] - times["a", 2] == pytest.approx(8, abs=1e-3)
    assert times["c", 3] - times["c", 2] == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize(
    "paces",
    [
        {"a": 0.0, "b": 0.0, "c": 0.0},
        {"a": 0.0005, "b": 0.001, "c": 0.002},
        {"a": 0.3, "b": 0.3, "c": 0.4},
        {"a": 9.0, "b": 0.3, "c": 0.3, "d": 8.0},
        {"a": 9.0, "b": 0.3},
        {"a": 9.0},
    ],
    ids=["to the second", "clone", "slow download", "half of them", "one of two", "alone"],
)
def test_files_that_may_have_been_copied_say_nothing(read_written, paces):
    study, findings = read_written(paces)

    assert "time" not in study.readings
    assert len(notes(findings)) == 1
    assert "may have been copied" in notes(findings)[0].message


def test_a_fresh_copy_of_the_folder_accuses_nobody(make_config, write, tmp_path):
    for rater in "abc":
        for k in range(30):
            write(f"boxes/{rater}/img1-slice{k:03d}.txt", "0 .5 .5 .2 .2\n")
    study, findings = read_study(make_config(YOLO + "file_times = true"))

    assert "time" not in study.readings
    assert len(notes(findings)) == 1


def test_one_whose_files_a_program_wrote_is_told_and_has_no_times(read_written):
    study, findings = read_written({"a": 8.0, "b": 20.0, "c": 0.01})
    times = study.readings.groupby("rater")["time"]

    assert times.count().to_dict() == {"a": 20, "b": 20, "c": 0}
    assert [(f.rater, f.unit) for f in notes(findings)] == [("c", "s")]


def test_empty_files_which_tools_write_by_themselves_have_no_time(read_written):
    study, _ = read_written({"a": 8.0, "b": 20.0}, n=12, empty=30)

    assert study.readings.groupby("rater")["time"].count().tolist() == [12, 12]


def test_without_being_asked_for_no_time_of_a_file_is_read(make_config, write):
    write("boxes/a/img1-slice1.txt", "0 .5 .5 .2 .2\n")
    study, _ = read_study(make_config(YOLO))

    assert list(study.readings.columns) == ["case", "slice", "rater", "labels", "state"]


@pytest.mark.parametrize(
    "annotations",
    [
        'format = "yolo"\npath = "img{case}-slice{slice}.txt"\nrater = "a"',
        'format = "coco"\npath = "{rater}.json"',
    ],
    ids=["nobody in the path", "one file of many slices"],
)
def test_times_of_files_that_are_not_of_one_reading_are_refused(make_config, annotations):
    with pytest.raises(InputError, match="file_times"):
        read_study(make_config(f"{annotations}\nfile_times = true"))


STUDIO = 'format = "labelstudio"\npath = "all.json"\nimage = "img{case}-slice{slice}.png"\n'


@pytest.mark.parametrize("minimal", [False, True], ids=["JSON", "JSON-MIN"])
def test_label_studio_says_when_and_how_long(make_config, write, minimal):
    box = {"x": 10, "y": 10, "width": 20, "height": 20, "original_width": 100}
    box |= {"original_height": 80, "rotation": 0}
    said = {"updated_at": "2024-05-01T12:00:00.000000Z", "lead_time": 3.25}
    if minimal:
        shape = {**box, "rectanglelabels": ["liver"]}
        task = {"image": "img1-slice7.png", "annotator": 5, "label": [shape], **said}
    else:
        value = {**box, "rectanglelabels": ["liver"]}
        result = {"type": "rectanglelabels", "value": value, **box}
        one = {"completed_by": 5, "result": [result], **said}
        task = {"data": {"image": "img1-slice7.png"}, "annotations": [one]}
    write("all.json", json.dumps([task]))
    study, _ = read_study(make_config(STUDIO))

    assert study.readings.loc[0, ["time", "seconds"]].tolist() == [NOON, 3.25]


TABLE = (
    'format = "table"\npath = "boxes.csv"\nsize = [100, 200]\ncolumns = { case = "c", rater = "r", '
    'label = "l", x0 = "x0", y0 = "y0", x1 = "x1", y1 = "y1", time = "t", seconds = "s" }'
)


def test_a_table_says_when_and_how_long(make_config, write):
    rows = [
        "c,r,l,x0,y0,x1,y1,t,s",
        "1,a,liver,1,1,9,9,2024-05-01T12:00:00,4.5",
        "1,a,spleen,1,1,9,9,2024-05-01 12:00:02+00:00,4.5",
        "2,a,liver,1,1,9,9,,",
        "3,a,liver,1,1,9,9,noon,2",
    ]
    write("boxes.csv", "\n".join(rows) + "\n")
    study, findings = read_study(make_config(TABLE))

    assert study.readings["time"].tolist() == pytest.approx([NOON + 2, np.nan, np.nan], nan_ok=True)
    assert study.readings["seconds"].tolist() == pytest.approx([4.5, np.nan, 2], nan_ok=True)
    assert [f.check for f in findings] == ["time-unknown"]
    assert "boxes.csv:5: time is 'noon'" in findings[0].message
    assert len(study.boxes) == 4


@pytest.mark.parametrize("text", ["", "noon", "inf", "nan", "2024-13-01", None, "9" * 400])
def test_what_is_no_moment(text):
    assert moment(text) is None


def test_times_survive_the_folder_of_results(read_written, tmp_path):
    from crowdqc.store import Store

    study, _ = read_written({"a": 8.0, "b": 20.0}, n=12, empty=3)
    store = Store(tmp_path / "out", "s")
    store.write("readings", study.readings)

    assert store.read("readings").equals(study.readings)
    assert load_config(tmp_path / "study.toml").annotations.file_times
