"""A format of another package: found, guessed, read, written and named in messages."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from crowdqc import plugins
from crowdqc.config import load_config
from crowdqc.findings import InputError
from crowdqc.formats import read_study
from crowdqc.formats.conversion import convert
from crowdqc.formats.guess import guess_study, render_study
from tests.packages import install

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"


@pytest.fixture
def via(tmp_path_factory, monkeypatch):
    """The package of the documentation, installed."""
    section = PAGE.read_text(encoding="utf-8").partition("## A format")[2].partition("\n## ")[0]
    pyproject, code = re.findall(r"```(?:toml|python)\n(.*?)```", section, re.DOTALL)
    folder = tmp_path_factory.mktemp("site-packages")
    install(folder, tomllib.loads(pyproject)["project"], code)
    monkeypatch.syspath_prepend(str(folder))
    plugins._registered.cache_clear()
    yield code
    plugins._registered.cache_clear()


def project(*boxes, name="p1-slice3.png", shape="rect"):
    regions = [
        {
            "shape_attributes": dict(
                zip(("name", "x", "y", "width", "height"), (shape, *box), strict=True)
            ),
            "region_attributes": {"label": "liver"},
        }
        for box in boxes
    ]
    return json.dumps({f"{name}-1": {"filename": name, "size": -1, "regions": regions}})


def test_a_format_of_a_plugin_is_guessed_read_and_written(via, write, tmp_path):
    write("a.json", project((1, 2, 3, 4)))
    write("b.json", project((1, 2, 4, 4), (9, 9, 1, 1)))
    guess = guess_study(tmp_path)
    write("study.toml", render_study(guess, name="mine").replace("# size ", "size "))

    study, findings = read_study(load_config(tmp_path / "study.toml"))
    losses = convert(study, "via", tmp_path / "new")
    again, _ = read_study(load_config(tmp_path / "new" / "study.toml"))

    assert (guess.format, guess.path) == ("via", "{rater}.json")
    assert [*study.boxes[["rater", "x1", "y1"]].itertuples(index=False, name=None)] == [
        ("a", 4, 6), ("b", 5, 6), ("b", 10, 10)
    ]  # fmt: skip
    assert findings == losses == []
    assert again.boxes.equals(study.boxes.assign(source=again.boxes["source"]))


def test_what_a_plugin_refuses_is_a_finding(via, write, make_config):
    write("a.json", project((1, 2, 3, 4), shape="circle"))

    study, findings = read_study(
        make_config(
            'format = "via"\npath = "{rater}.json"\nimage = "{case}-slice{slice}"\nsize = [9, 9]'
        )
    )

    assert study.readings["state"].tolist() == ["opened"]
    assert findings[0].check == "shape-not-a-box"


def test_the_example_is_short(via):
    assert len(via.splitlines()) < 60


def test_what_is_registered_must_be_a_format(via, tmp_path, make_config, monkeypatch):
    monkeypatch.setattr("crowdqc_via.FORMAT", "no format", raising=True)

    with pytest.raises(
        InputError, match=r"'via' of 'crowdqc.formats' must be a crowdqc.formats.Format; got str"
    ):
        read_study(make_config('format = "via"\npath = "x.json"'))


def test_names_of_formats_are_told(via, make_config):
    with pytest.raises(
        InputError,
        match=r"format must be one of coco, cvat, .*, via, .*; got 'vai'.*Did you mean 'via'",
    ):
        make_config('format = "vai"\npath = "x.json"')
