"""Pipes and devices in place of files: no command hangs or takes all memory, each says which."""

import os
import signal

import pytest

from tests.commands import call
from tests.studies import TINY, write_study

SECONDS = 60
TABLE = TINY.replace('"yolo"', '"table"').replace("boxes/{rater}/{case}-{slice}.txt", "b.csv")
COLUMNS = 'rater = "r"\ncolumns = { case = "c", slice = "s", label = "l", x0 = "a", y0 = "b", '
COLUMNS += 'x1 = "d", y1 = "e" }\n'
NAMES = {
    "coco": "b.json",
    "labelstudio": "b.json",
    "cvat": "b.xml",
    "voc": "b.xml",
    "lidc": "b.xml",
}


@pytest.fixture(autouse=True)
def in_time():
    def stop(*_):
        raise TimeoutError("a command hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["pipe", "zero", "folder"])
def special(request):
    """Put something that is no regular file at a path."""

    def make(path):
        path.unlink(missing_ok=True)
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "folder":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero")

    return make


@pytest.fixture
def study(tmp_path):
    draw = lambda rater, *_: f"0 .{30 + ord(rater)} .3 .2 .2\n"  # noqa: E731
    return write_study(tmp_path, raters="ab", slices=6, lines=draw)


def ended(result):
    assert result.exit_code in {0, 2, 3}, result.output
    assert not isinstance(result.exception, TimeoutError)


@pytest.mark.parametrize("form", ["table", *NAMES])
def test_annotations(study, special, form):
    name = NAMES.get(form, "b.csv")
    text = TABLE + COLUMNS
    if form != "table":
        text = text.replace('"table"', f'"{form}"').replace("b.csv", name)
        text = text.replace(COLUMNS, {"voc": 'rater = "r"\nfirst_pixel = 0\n'}.get(form, ""))
    study.write_text(text)
    special(study.parent / name)

    ended(call("check", study))


@pytest.mark.parametrize("name", ["boxes/a/1-3.txt", "boxes/classes.txt", "boxes/data.yaml"])
def test_files_of_raters(study, special, name):
    special(study.parent / name)

    ended(call("check", study))


@pytest.mark.parametrize("name", ["1-0.png", "1.nii.gz", "1.nii", "1.nrrd", "1.mha"])
def test_images(study, special, name):
    pattern = name.replace("1", "{case}").replace("-0", "-{slice}")
    text = study.read_text(encoding="utf-8").replace("size = [100, 100]\n", "")
    study.write_text(f'{text}[images]\npath = "{pattern}"\n')
    special(study.parent / name)

    ended(call("check", study))


def test_a_series(study, special):
    text = study.read_text(encoding="utf-8").replace("size = [100, 100]\n", "")
    study.write_text(f'{text}[images]\npath = "{{case}}/"\n')
    (study.parent / "1").mkdir()
    special(study.parent / "1" / "a.dcm")

    ended(call("check", study))


@pytest.mark.parametrize("key", ["[gate]\npolicy", "[truth]\nboxes", "[truth]\npath"])
def test_files_that_a_study_names(study, special, key):
    name = "x-{case}.nii.gz" if key.endswith("path") else "x.csv"
    study.write_text(f'{study.read_text(encoding="utf-8")}{key} = "{name}"\n')
    special(study.parent / name.replace("{case}", "1"))

    ended(call("run", study))


@pytest.mark.parametrize(
    "words", [("gate", "--against"), ("risk", "--scores"), ("report", "--compare")]
)
def test_files_of_the_command_line(study, special, words):
    special(study.parent / "x")

    ended(call(words[0], study, words[1], study.parent / "x"))


def test_compared_files(study, special):
    special(study.parent / "x.csv")

    ended(call("compare", study.parent / "x.csv", study.parent / "x.csv", "--on", "a"))


@pytest.mark.parametrize(
    "name", ["manifest.json", "boxes.csv", "findings.jsonl", "crowdqc.json", "risk.csv", ".lock"]
)
def test_results(study, special, name):
    assert call("gate", study).exit_code in {0, 3}
    special(study.parent / "out" / name)

    for command in ("gate", "report"):
        ended(call(command, study))


def test_a_folder_that_is_guessed_at(study, special):
    study.unlink()
    special(study.parent / "boxes" / "a" / "classes.txt")
    special(study.parent / "boxes" / "a" / "1-3.txt")

    ended(call("init", study.parent / "boxes"))
