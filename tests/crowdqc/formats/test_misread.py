"""Files that can be read as something that they do not say, or by half: each is told."""

import itertools
import json

import numpy as np
import pytest

from crowdqc.findings import InputError
from crowdqc.formats.guess import guess_study
from tests.crowdqc.formats.exported import LABELS, STUDIO, annotation, checks, coco, region

ONE = LABELS.replace("liver =", "0 =")
BOXES = [(x, y, x + 40, y + 30) for x, y in itertools.product((20, 60, 90), (10, 30, 50, 65))]
"""Corners in pictures of 100 rows and 150 columns."""


def yolo(*values):
    return " ".join(["0", *(f"{value:.4f}" for value in np.divide(values, [150, 100] * 2))])


def as_sizes(x0, y0, x1, y1):
    return yolo((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)


@pytest.mark.parametrize(("write_box", "told"), [(yolo, True), (as_sizes, False)])
def test_corners_in_the_place_of_sizes_are_noticed(read, write_box, told):
    files = {f"{who}/p_{k}.txt": write_box(*box) for who in "ab" for k, box in enumerate(BOXES)}
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.txt"\nsize = [100, 150]'

    _, findings = read(text, files, ONE)

    assert ("corners-as-sizes" in checks(findings)) == told


def test_large_boxes_beyond_an_image_are_no_corners(read):
    files = {f"a/p_{k}.txt": yolo(80 + k, 50, 145, 95) for k in range(12)}
    files["a/p_1.txt"] = yolo(120, 50, 100, 20)
    text = 'format = "yolo"\npath = "{rater}/p_{slice}.txt"\nsize = [100, 150]'

    _, findings = read(text, files, ONE)

    assert "box-outside-image" in checks(findings)
    assert "corners-as-sizes" not in checks(findings)


def test_predictions_alone_are_no_readings(read):
    task = {"data": {"image": "p1_1.png"}, "annotations": [], "predictions": [{"result": []}]}

    with pytest.raises(InputError, match="predictions of models, alone in 1 task"):
        read(STUDIO, {"all.json": [task]})


def test_exports_of_old_versions_of_label_studio_are_known(write, tmp_path):
    task = {"data": {"image": "p_1.png"}, "completions": [annotation(1, region())]}
    write("all.json", json.dumps([task]))

    assert guess_study(tmp_path).format == "labelstudio"


def test_a_region_of_an_image_of_unknown_size_says_what_is_missing(read):
    bare = {key: value for key, value in region().items() if not key.startswith("original")}
    task = {"data": {"image": "p1_1.png"}, "annotations": [annotation(1, bare)]}

    _, findings = read(STUDIO, {"all.json": [task]})

    assert "original_width is missing. Percent are no px without it" in findings[0].message


def test_categories_without_names_are_asked_for(write, tmp_path):
    data = coco("p_1.png")
    del data["categories"]
    write("ann.json", json.dumps(data))

    guess = guess_study(tmp_path)

    assert guess.labels == {"1": "1"}
    assert any("write names of labels" in one for one in guess.remarks)


def test_what_is_of_no_known_format_says_what_would_be(write, tmp_path):
    write("notes.json", json.dumps({"shapes": []}))

    with pytest.raises(InputError, match="a table with the columns case, slice, rater, label"):
        guess_study(tmp_path)
