"""What we write, read by datumaro, supervision and Label Studio: the same boxes.

Each test is skipped where its reader is not installed.

The corners were also read once with datumaro 1.13.12 and are pinned in `test_pinned`.
"""

import json
import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from crowdqc.formats import load_format
from crowdqc.formats.conversion import convert
from crowdqc.formats.output import Output
from crowdqc.schema import Study

EDGES = ["x0", "y0", "x1", "y1"]
BOXES = [("p-slice0000", "spleen", 1.5, 2, 30, 40), ("q-slice0001", "liver", 10, 20, 33.25, 44)]


@pytest.fixture
def study():
    rows = [(name[0], int(name[-1]), label, *corners) for name, label, *corners in BOXES]
    boxes = pd.DataFrame(rows, columns=["case", "slice", "label", *EDGES])
    places = boxes[["case", "slice"]]
    return Study(
        name="s",
        labels=("spleen", "liver"),
        images=places.assign(height=100, width=200),
        readings=places.assign(rater="ann", labels="", state="boxed"),
        boxes=boxes.assign(box=range(2), rater="ann", source=""),
    )


@pytest.fixture
def pictures(tmp_path):
    """Make the pictures that datumaro wants to see beside annotations."""

    def pictures(folder):
        folder.mkdir(parents=True)
        for name, *_ in BOXES:
            Image.new("L", (200, 100)).save(folder / f"{name}.png")

    return pictures


def datumaro_boxes(path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dm = pytest.importorskip("datumaro")
        dataset = dm.Dataset.import_from(str(path), kind)
        names = dataset.categories()[dm.AnnotationType.label]
        return sorted(
            (item.id, names[one.label].name, *one.points)
            for item in dataset
            for one in item.annotations
            if one.type == dm.AnnotationType.bbox
        )


def same(found, expected):
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [x for row in found for x in row[2:]] == pytest.approx(
        [x for row in expected for x in row[2:]], abs=0.01
    )  # datumaro rounds to 1/100 px


def test_coco_as_datumaro_reads_it(study, pictures, tmp_path):
    convert(study, "coco", tmp_path / "new")
    pictures(tmp_path / "new" / "images" / "default")

    same(datumaro_boxes(tmp_path / "new", "coco"), BOXES)


def test_cvat_as_datumaro_reads_it(study, pictures, tmp_path):
    convert(study, "cvat", tmp_path / "new")
    pictures(tmp_path / "new" / "images")

    same(datumaro_boxes(tmp_path / "new", "cvat"), BOXES)


def test_voc_as_datumaro_reads_it(study, tmp_path):
    convert(study, "voc", tmp_path / "new")
    dataset = tmp_path / "dataset"
    shutil.copytree(tmp_path / "new" / "ann", dataset / "Annotations")
    names = "".join(f"{name}\n" for name, *_ in BOXES)
    (dataset / "ImageSets" / "Main").mkdir(parents=True)
    (dataset / "ImageSets" / "Main" / "default.txt").write_text(names)
    labels = "# label:color_rgb:parts:actions\nspleen:1,0,0::\nliver:2,0,0::\n"
    (dataset / "labelmap.txt").write_text(labels)

    # datumaro takes the numbers as they stand, where the standard counts pixels from 1
    shifted = [(name, label, x0 + 1, y0 + 1, x1, y1) for name, label, x0, y0, x1, y1 in BOXES]
    same(datumaro_boxes(dataset, "voc"), shifted)


def test_yolo_as_datumaro_reads_it(study, pictures, tmp_path):
    convert(study, "yolo", tmp_path / "new")
    dataset = tmp_path / "dataset"
    shutil.copytree(tmp_path / "new" / "labels" / "ann", dataset / "labels" / "train")
    pictures(dataset / "images" / "train")
    text = (tmp_path / "new" / "data.yaml").read_text(encoding="utf-8")
    (dataset / "data.yaml").write_text(text.replace("images\n", "images/train\n"))

    same(datumaro_boxes(dataset, "yolo"), BOXES)


def test_yolo_as_supervision_reads_it(study, pictures, tmp_path):
    convert(study, "yolo", tmp_path / "new")
    pictures(tmp_path / "images")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sv = pytest.importorskip("supervision")
        dataset = sv.DetectionDataset.from_yolo(
            images_directory_path=str(tmp_path / "images"),
            annotations_directory_path=str(tmp_path / "new" / "labels" / "ann"),
            data_yaml_path=str(tmp_path / "new" / "data.yaml"),
        )
        found = sorted(
            (path.rpartition("/")[2][:-4], dataset.classes[key], *corners)
            for path, _, boxes in dataset
            for corners, key in zip(boxes.xyxy.tolist(), boxes.class_id, strict=True)
        )
    same(found, BOXES)


def test_pinned(study, tmp_path):
    """The numbers in the files from which datumaro 1.13.12 read the boxes above."""
    convert(study, "coco", tmp_path / "coco")
    convert(study, "yolo", tmp_path / "yolo")
    convert(study, "voc", tmp_path / "voc")
    convert(study, "cvat", tmp_path / "cvat")

    coco = json.loads(
        (tmp_path / "coco/annotations/instances_default.json").read_text(encoding="utf-8")
    )
    assert [one["bbox"] for one in coco["annotations"]] == [[1.5, 2, 28.5, 38], [10, 20, 23.25, 24]]
    yolo = (tmp_path / "yolo/labels/ann/p-slice0000.txt").read_text(encoding="utf-8")
    assert [float(word) for word in yolo.split()] == pytest.approx([0, 0.07875, 0.21, 0.1425, 0.38])
    voc = (tmp_path / "voc/ann/p-slice0000.xml").read_text(encoding="utf-8")
    assert "<xmin>2.5</xmin>" in voc
    assert "<xmax>30.0</xmax>" in voc
    assert 'xtl="1.5" ytl="2.0" xbr="30.0" ybr="40.0"' in (tmp_path / "cvat/ann.xml").read_text(
        encoding="utf-8"
    )


@pytest.fixture
def label_studio(tmp_path):
    """The SDK's view of our files: whether a task is one, and the boxes of its converter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
        from label_studio_sdk.converter import Converter

    def read(config, path):
        tasks = json.loads(path.read_text(encoding="utf-8"))
        valid = interface(config)
        for task in tasks:
            assert valid.validate_task({"data": task["data"]})
            for one in (*task["annotations"], *task.get("predictions", [])):
                assert valid.validate_prediction(one, return_errors=True) == []
        converter = Converter(config, str(tmp_path), download_resources=False)
        output = tmp_path / "coco"
        converter.convert_to_coco(str(path), str(output), is_dir=False)
        coco = json.loads((output / "result.json").read_text(encoding="utf-8"))
        names = {one["id"]: one["name"] for one in coco["categories"]}
        images = {
            one["id"]: Path(one["file_name"]).stem.rpartition("__")[2] for one in coco["images"]
        }
        return sorted(
            (images[one["image_id"]], names[one["category_id"]], x, y, x + w, y + h)
            for one in coco["annotations"]
            for x, y, w, h in [one["bbox"]]
        )

    return read


def test_label_studio_as_its_sdk_reads_it(study, label_studio, tmp_path):
    convert(study, "labelstudio", tmp_path / "new")
    labels = "".join(f'<Label value="{name}"/>' for name in study.labels)
    config = (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image">{labels}</RectangleLabels></View>'
    )

    same(label_studio(config, tmp_path / "new" / "annotations.json"), BOXES)


def package(study, kind, folder):
    """What a package of tasks has of annotations, with boxes to start from."""
    (folder / "images").mkdir(parents=True)
    form = load_format(kind)
    output = Output(
        study,
        kind,
        empty_files=form.one_file_per_slice,
        says_opened=True,
        says_size=form.says_size,
        pictures=True,
    )
    for name, *_ in BOXES:
        Image.new("L", (200, 100)).save(folder / "images" / f"{name}.png")
    form.package(output, folder)
    return folder


@pytest.mark.parametrize("kind", ["coco", "cvat"])
def test_packages_as_datumaro_reads_them(study, kind, tmp_path):
    folder = package(study, kind, tmp_path / "package")

    same(datumaro_boxes(folder, kind), BOXES)


def test_packages_as_label_studio_reads_them(study, label_studio, tmp_path):
    folder = package(study, "labelstudio", tmp_path / "package")
    config = (folder / "config.xml").read_text(encoding="utf-8")

    label_studio(config, folder / "tasks.json")
    (tasks,) = [json.loads((folder / "tasks.json").read_text(encoding="utf-8"))]
    assert [len(task["predictions"][0]["result"]) for task in tasks] == [1, 1]
