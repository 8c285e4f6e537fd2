import gzip

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
