"""Layouts of packages against what the tools document that they read."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from crowdqc.packages.write import Material, write_package
from crowdqc.report.slice_files import VolumeSlices
from crowdqc.schema import BOX, Study

SIZE = 64


@pytest.fixture
def make(tmp_path):
    """Writes a package of two slices, one of them with a box, in some layout."""
    boxes = pd.DataFrame(
        [("c 1", 0, "ann", "liver", 8.0, 16.0, 24.0, 48.0)],
        columns=["case", "slice", "rater", "label", *BOX],
    ).assign(box=0)
    images = pd.DataFrame({"case": "c 1", "slice": [0, 1], "height": SIZE, "width": SIZE})
    readings = pd.DataFrame(
        {"case": "c 1", "slice": [0, 1], "rater": "ann", "state": ["boxed", "opened"]}
    )
    study = Study("s", ("liver", "spleen"), images, readings, boxes)
    tasks = pd.DataFrame(
        {"rater": "ann", "case": "c 1", "slice": [0, 1], "label": "liver", "task": "extend",
         "prefill": "own"}
    )  # fmt: skip

    class Nothing(VolumeSlices):
        def __init__(self):
            self.problems = []

        def grey(self, *_):
            return None

    def write(layout):
        material = Material(
            study, pd.DataFrame(columns=["case", "slice", "label", *BOX], dtype=object),
            layout, 2, "", lambda _: Nothing(), {}, lambda *_: ("<html></html>", []),
        )  # fmt: skip
        write_package(tmp_path / layout, tasks, material)
        return tmp_path / layout

    return write


def test_cvat_finds_what_its_documentation_names(make):
    """https://docs.cvat.ai/docs/manual/advanced/xml_format: CVAT for images 1.1."""
    folder = make("cvat")

    root = ET.parse(folder / "annotations.xml").getroot()  # noqa: S314 - our own file
    assert root.tag == "annotations"
    assert root.findtext("version") == "1.1"
    assert [one.text for one in root.iterfind("meta/task/labels/label/name")] == ["liver", "spleen"]
    images = root.findall("image")
    assert [set(one.attrib) for one in images] == [{"id", "name", "width", "height"}] * 2
    assert [one.get("id") for one in images] == ["0", "1"]
    for one in images:
        assert (folder / "images" / one.get("name")).is_file()
    (box,) = images[0].findall("box")
    assert {"label", "occluded", "source", "xtl", "ytl", "xbr", "ybr", "z_order"} <= set(box.attrib)
    corners = [float(box.get(name)) for name in ("xtl", "ytl", "xbr", "ybr")]
    assert corners == [8.0, 16.0, 24.0, 48.0]
    assert images[1].findall("box") == []


def test_label_studio_finds_tasks_predictions_and_a_labeling_interface(make):
    """https://labelstud.io/guide/tasks and .../predictions, and the tag RectangleLabels."""
    folder = make("labelstudio")

    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    view = ET.parse(folder / "config.xml").getroot()  # noqa: S314 - our own file
    assert view.find("Image").get("value") == "$image"
    assert view.find("RectangleLabels").get("toName") == view.find("Image").get("name")
    assert [one.get("value") for one in view.iter("Label")] == ["liver", "spleen"]
    assert all(set(task["data"]) >= {"image"} for task in tasks)
    (prediction,) = tasks[0]["predictions"]
    (region,) = prediction["result"]
    names = (region["from_name"], region["to_name"])
    assert names == (view.find("RectangleLabels").get("name"), view.find("Image").get("name"))
    value = region["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == [12.5, 25.0, 25.0, 50.0]
    assert "predictions" not in tasks[1]
    name = tasks[0]["data"]["image"].rpartition("/")[2].replace("%20", " ")
    assert (folder / "images" / name).is_file()


def test_coco_holds_the_lists_and_keys_of_its_format(make):
    """https://cocodataset.org/#format-data: object detection."""
    folder = make("coco")

    data = json.loads(
        (folder / "annotations" / "instances_default.json").read_text(encoding="utf-8")
    )
    assert {"images", "annotations", "categories"} <= set(data)
    assert all({"id", "file_name", "width", "height"} <= set(one) for one in data["images"])
    assert [(one["id"], one["name"]) for one in data["categories"]] == [(1, "liver"), (2, "spleen")]
    (one,) = data["annotations"]
    assert {"id", "image_id", "category_id", "bbox", "area", "iscrowd"} <= set(one)
    assert (one["bbox"], one["area"]) == ([8.0, 16.0, 16.0, 32.0], 512.0)
    assert "rater_id" not in one


def test_yolo_has_a_label_beside_each_picture_that_has_a_box(make):
    """https://docs.ultralytics.com/datasets/detect: images/ and labels/ with the same names."""
    folder = make("yolo")

    labels = {one.stem for one in (folder / "labels").iterdir()}
    images = {one.stem for one in (folder / "images").iterdir()}
    assert labels < images
    line = (folder / "labels" / f"{labels.pop()}.txt").read_text(encoding="utf-8").split()
    assert line[0] == "0"
    np.testing.assert_allclose([float(v) for v in line[1:]], [0.25, 0.5, 0.25, 0.5])
    assert (folder / "classes.txt").read_text(encoding="utf-8") == "liver\nspleen\n"
    assert (folder / "class_list.txt").read_text(encoding="utf-8") == "liver\nspleen\n"
