import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crowdqc.files import sha256
from crowdqc.findings import InputError
from crowdqc.packages.task_file import read_task_file
from tests.commands import call
from tests.crowdqc.packages.raters import LABELS, SIZE, draw, work_on, write_study

LAYOUTS = ("yolo", "cvat", "coco", "labelstudio")


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The first round, judged once; tests work on copies of it."""
    study = write_study(tmp_path_factory.mktemp("judged") / "study")
    assert call("gate", study).exit_code == 0
    return study.parent


@pytest.fixture
def study(judged, tmp_path):
    """A copy of the judged study."""
    shutil.copytree(judged, tmp_path / "study")
    return tmp_path / "study" / "study.toml"


def packages(study, *words):
    result = call("tasks", study, "--trust-results", *words)
    assert result.exit_code == 0, result.output
    return study.parent / "packages" / "round2"


def hashes(folder):
    files = (one for one in sorted(folder.rglob("*")) if one.is_file())
    return {one.relative_to(folder).as_posix(): sha256(one) for one in files}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packages_made_twice_are_alike(study, layout):
    first = hashes(packages(study, "--to", layout))
    shutil.rmtree(study.parent / "packages")

    assert hashes(packages(study, "--to", layout)) == first


def test_what_was_sent_is_not_sent_again_until_it_is_asked_for(study):
    packages(study)

    idle = call("tasks", study)
    again = call("tasks", study, "--again", "--rater", "swaps")

    assert idle.exit_code == 0
    assert "There is nothing to do" in idle.stderr
    assert not (study.parent / "packages" / "round3").exists() or again.exit_code == 0
    assert [one.name for one in (study.parent / "packages" / "round3").iterdir()] == ["swaps"]


def test_pictures_are_those_of_the_study(study):
    package = packages(study, "--rater", "swaps") / "swaps"
    task = json.loads((package / "task.json").read_text(encoding="utf-8"))

    for one in task["slices"]:
        name = f"{one['case']}-slice{one['slice']:03d}.png"
        original = study.parent / "pictures" / name
        assert (package / "images" / one["image"]).read_bytes() == original.read_bytes()
    assert task["pictures"] == "images"
    assert task["files"].keys() == hashes(package).keys() - {"task.json"}


def test_without_images_a_canvas_says_so(study):
    text = (
        study.read_text(encoding="utf-8")
        .replace('[images]\npath = "pictures/{case}-slice{slice}.png"\n', "")
        .replace("[images]", "")
    )
    study.write_text(text.replace('format = "yolo"', f'format = "yolo"\nsize = [{SIZE}, {SIZE}]'))

    package = packages(study, "--rater", "swaps") / "swaps"

    task = json.loads((package / "task.json").read_text(encoding="utf-8"))
    picture = np.asarray(Image.open(package / "images" / task["slices"][0]["image"]))
    assert task["pictures"] == "canvas"
    assert picture.shape == (SIZE, SIZE)
    assert picture[60, 60] == 128
    assert "no pictures to print" in (package / "feedback.html").read_text(encoding="utf-8")


def coco(package, drawn):
    path = package / "annotations" / "instances_default.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    ids = {one["file_name"]: one["id"] for one in data["images"]}
    names = {one["name"]: one["id"] for one in data["categories"]}
    data["annotations"] = [
        {
            "id": n, "image_id": ids[image], "category_id": names[label], "iscrowd": 0,
            "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0),
        }
        for n, (image, label, x0, y0, x1, y1) in enumerate(rows(drawn))
    ]  # fmt: skip
    path.write_text(json.dumps(data))


def cvat(package, drawn):
    path = package / "annotations.xml"
    tree = ET.parse(path)  # noqa: S314 - our own file
    for image in tree.getroot().iter("image"):
        for box in list(image):
            image.remove(box)
        for label, (x0, y0, x1, y1) in drawn[image.get("name")]:
            corners = zip(("xtl", "ytl", "xbr", "ybr"), map(repr, (x0, y0, x1, y1)), strict=True)
            ET.SubElement(image, "box", {"label": label, "occluded": "0", **dict(corners)})
    tree.getroot().find("meta/task/state").text = "completed"
    tree.write(path)


def labelstudio(package, drawn):
    tasks = json.loads((package / "tasks.json").read_text(encoding="utf-8"))
    for task in tasks:
        image = task["data"]["image"].rpartition("/")[2]
        task["data"]["image"] = f"/data/upload/3/0a1b2c3d-{image}"  # as an upload renames it
        task["annotations"] = [{"completed_by": 1, "result": [
            {"type": "rectanglelabels", "original_width": SIZE, "original_height": SIZE,
             "value": {"x": 100 * x0 / SIZE, "y": 100 * y0 / SIZE, "rotation": 0,
                       "width": 100 * (x1 - x0) / SIZE, "height": 100 * (y1 - y0) / SIZE,
                       "rectanglelabels": [label]}}
            for label, (x0, y0, x1, y1) in drawn[image]]}]  # fmt: skip
    (package / "project-1-at-2026.json").write_text(json.dumps(tasks))


def rows(drawn):
    return [(image, label, *box) for image, lines in drawn.items() for label, box in lines]


PLAYERS = {"coco": coco, "cvat": cvat, "labelstudio": labelstudio}


@pytest.mark.parametrize("layout", list(PLAYERS))
def test_a_round_trip_through_each_layout_loses_nothing(study, tmp_path, layout):
    sent = packages(study, "--to", layout, "--rater", "swaps") / "swaps"
    back = tmp_path / "back"
    shutil.copytree(sent, back)
    task = json.loads((back / "task.json").read_text(encoding="utf-8"))
    drawn = {
        one["image"]: [
            (label, box.tolist())
            for label, box in draw("swaps", one["case"], one["slice"], mended=True)
            if label in one["labels"]
        ]
        for one in task["slices"]
    }
    PLAYERS[layout](back, drawn)

    result = call("receive", study, back, "--empty", "nothing")

    assert result.exit_code == 0, result.output
    kept = study.parent / "packages" / "round2-returned" / "swaps" / "1"
    boxes = pd.read_csv(kept / "boxes.csv")
    expected = sorted(
        (one["case"], one["slice"], label, *np.round(box, 6))
        for one in task["slices"]
        for label, box in drawn[one["image"]]
    )
    columns = ["case", "slice", "label", "x0", "y0", "x1", "y1"]
    found = boxes[columns].round(6).itertuples(index=False, name=None)
    assert sorted(found) == expected
    assert len(pd.read_csv(kept / "readings.csv")) == len(task["slices"])
    assert set(pd.read_csv(kept / "readings.csv")["rater"]) == {"swaps"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prefilled_boxes_read_back_as_they_are(study, tmp_path, layout):
    """What is prefilled comes back through the same reader; Label Studio has it as predictions."""
    from crowdqc.config import load_config
    from crowdqc.formats import read_with
    from crowdqc.packages.receive import Terms, _annotations_of, _config_of, _images, _with_names

    package = packages(study, "--to", layout, "--prefill", "own", "--rater", "large") / "large"
    task = read_task_file(package)
    if layout == "labelstudio":
        tasks = json.loads((package / "tasks.json").read_text(encoding="utf-8"))
        n = sum(len(one["predictions"][0]["result"]) for one in tasks if "predictions" in one)
    else:
        path, _ = _annotations_of(package, task)
        config = _config_of(load_config(study), package, task, path=path, terms=Terms("nothing"))
        prepare = lambda draft: (  # noqa: E731
            _with_names(draft, task, []), _images(draft, task, package, unasked=False),
        )  # fmt: skip
        n = len(read_with(config, prepare)[0].boxes)
    boxes = pd.read_csv(study.parent / "out" / "boxes.csv")
    mine = boxes[boxes["rater"] == "large"].set_index(["case", "slice", "label"]).index
    asked = [(one.case, one.slice, label) for one in task.slices for label in one.labels]
    assert n == len(mine.intersection(asked)) > 0


@pytest.fixture
def returned(study, tmp_path):
    """A package of `stops` that was worked on, and its study."""
    back = tmp_path / "back"
    shutil.copytree(packages(study, "--rater", "stops") / "stops", back)
    work_on(back)
    return study, back


def test_a_package_that_comes_back_twice_is_refused_and_nothing_is_lost(returned):
    study, back = returned
    assert call("receive", study, back).exit_code == 0

    twice = call("receive", study, back)
    again = call("receive", study, back, "--again")

    assert twice.exit_code == 2
    assert "has come back already" in twice.stderr
    assert again.exit_code == 0
    kept = study.parent / "packages" / "round2-returned" / "stops"
    assert sorted(one.name for one in kept.iterdir()) == ["1", "2"]


def test_slices_that_were_not_asked_for_are_refused_unless_told(returned):
    study, back = returned
    (back / "labels" / "c2-slice0077.txt").write_text("0 0.5 0.5 0.2 0.2\n")

    refused = call("receive", study, back)
    taken = call("receive", study, back, "--unasked")

    assert refused.exit_code == 2
    assert "1 slice that slices.csv does not ask for: c2-slice0077" in refused.stderr
    assert taken.exit_code == 0


def test_pictures_that_an_upload_renamed_are_known_again(returned):
    study, back = returned
    for one in (back / "labels").iterdir():
        one.rename(one.with_name(f"0a1b2c3d-{one.name}"))

    result = call("receive", study, back)

    assert result.exit_code == 0
    assert "came back under another name" in result.stderr


def test_names_that_say_nothing_are_refused(returned):
    study, back = returned
    for n, one in enumerate(sorted((back / "labels").iterdir())):
        one.rename(one.with_name(f"frame_{n:06d}.txt"))

    result = call("receive", study, back)

    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_labels_that_were_not_asked_for_are_left_out_and_told(study, tmp_path):
    back = tmp_path / "back"
    shutil.copytree(packages(study, "--rater", "swaps") / "swaps", back)
    task = work_on(back)
    one = task["slices"][0]
    path = back / "labels" / one["image"].replace(".png", ".txt")
    others = [n for n, name in enumerate(LABELS) if name not in one["labels"]]
    path.write_text(path.read_text(encoding="utf-8") + f"{others[0]} 0.5 0.5 0.2 0.2\n")

    result = call("receive", study, back)

    assert "1 box of labels that were not asked for" in result.stderr


def test_a_package_of_another_study_is_refused(returned):
    study, back = returned
    study.write_text(
        study.read_text(encoding="utf-8").replace('name = "abdomen"', 'name = "thorax"')
    )

    result = call("receive", study, back)

    assert result.exit_code == 2
    assert "is a package of the study 'abdomen', not of 'thorax'" in result.stderr


def test_what_was_never_sent_from_here_is_refused(returned):
    study, back = returned
    shutil.rmtree(study.parent / "packages")

    result = call("receive", study, back)

    assert result.exit_code == 2
    assert "is no package that was sent from here" in result.stderr


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: (p / "task.json").unlink(), "holds no task.json"),
        (lambda p: (p / "task.json").write_text("{"), "is not JSON"),
        (lambda p: (p / "task.json").write_text("[]"), "is no task file"),
        (
            lambda p: (p / "task.json").write_text(
                (p / "task.json").read_text(encoding="utf-8").replace('"round": 2', '"round": 7')
            ),
            "was changed since",
        ),
        (lambda p: shutil.rmtree(p / "labels"), "holds no annotations"),
        (
            lambda p: (p / "task.json").unlink() or (p / "task.json").symlink_to("/etc/hosts"),
            "symbolic link",
        ),
    ],
    ids=["gone", "broken", "other", "changed", "nothing drawn", "link"],
)
def test_what_is_no_package_is_refused(returned, damage, says):
    study, back = returned
    damage(back)

    result = call("receive", study, back)

    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_a_package_on_which_nothing_was_done_is_refused(study, tmp_path):
    back = tmp_path / "back"
    shutil.copytree(packages(study, "--rater", "swaps") / "swaps", back)

    result = call("receive", study, back)

    assert result.exit_code == 2
    assert "nothing was drawn or changed" in result.stderr


def test_pictures_that_come_back_changed_are_told(returned):
    study, back = returned
    picture = next((back / "images").iterdir())
    Image.open(picture).resize((60, 60)).save(picture)

    assert "1 picture came back changed" in call("receive", study, back).stderr


def test_a_rater_or_a_layout_that_is_not_known_is_refused(study):
    assert "rater must be one of" in call("tasks", study, "--rater", "nobody").stderr
    assert "layout must be one of" in call("tasks", study, "--to", "lidc").stderr


def test_cells_of_the_list_are_no_formulas_and_paths_stay_inside(tmp_path):
    """A rater and a case whose names are nasty."""
    from tests.studies import TINY

    text = TINY.replace('format = "yolo"\npath = "boxes/{rater}/{case}-{slice}.txt"',
                        'format = "table"\npath = "boxes.csv"')  # fmt: skip
    text += "[annotations.columns]\n" + "".join(
        f'{name} = "{name}"\n'
        for name in ("case", "slice", "rater", "label", "x0", "y0", "x1", "y1")
    )
    lines = ["case,slice,rater,label,x0,y0,x1,y1"]
    for rater in ("a:b", "bob", "cem"):
        for k in range(6):
            if not (rater == "a:b" and k == 3):
                lines.append(f"=1+1,{k},{rater},liver,10,10,40,40")
            lines.append(f"=1+1,{k},{rater},spleen,60,60,80,80")
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "study.toml").write_text(text)

    result = call("tasks", tmp_path / "study.toml")

    assert result.exit_code == 0, result.output
    folders = list((tmp_path / "packages" / "round2").iterdir())
    raters = {read_task_file(one).rater: one for one in folders}
    assert raters["a:b"].name == "a_b"
    assert "'=1+1" in (raters["a:b"] / "slices.csv").read_text(encoding="utf-8")


def test_a_task_file_says_the_same_when_read(study):
    package = packages(study, "--rater", "stops") / "stops"

    task = read_task_file(package)

    assert task.to_json() == (package / "task.json").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="holds no task"):
        read_task_file(package / "images")
