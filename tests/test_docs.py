"""The documentation: its tutorial runs, and its pages are whole."""

import importlib
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from crowdqc.schema import TABLES
from tests.commands import call

DOCS = Path(__file__).parents[1] / "docs"


def commands(page: Path) -> list[list[str]]:
    """Words of each command in the shell blocks of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    called = commands(DOCS / "tutorial.md")
    said = {}
    for program, *words in called:
        assert program == "crowdqc"
        result = call(*words)
        assert result.exit_code == 0, (words, result.output)
        said.setdefault(words[0], result.output)

    assert len(called) > 8
    verdicts = dict(re.findall(r"^ +(\w+) .* (pass|watch|fail) *$", said["agree"], re.MULTILINE))
    assert verdicts["careless"] == verdicts["shifted"] == "reject"
    assert verdicts["swapping"] == "reject"
    assert verdicts["skipping"] == "review"
    assert verdicts["steady"] == "accept"
    gaps = re.findall(r"^ +\w+ +\w+ +(\w+) +partial", said["complete"], re.MULTILINE)
    assert max(set(gaps), key=gaps.count) == "skipping"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_of_the_pages_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    targets = [t.partition("#")[0] for t in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)]

    made = {"api/index.rst"}
    gone = [t for t in targets if t not in made and not (page.parent / t).exists()]
    assert gone == []


def test_every_room_has_a_page():
    rooms = runpy.run_path(str(DOCS / "api.py"))["ROOMS"]
    shown = {module for _, modules in rooms.values() for module in modules}
    packages = {f"crowdqc.{path.parent.name}" for path in DOCS.parent.glob("crowdqc/*/__init__.py")}

    assert packages - {"crowdqc.cli", "crowdqc.stages"} <= shown


def test_the_functions_on_the_way_of_a_box_exist():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\| \d+ \|.*`([\w.]+):(\w+)` \|$", page, re.MULTILINE)

    assert 8 <= len(steps) <= 12
    assert [f"{m}:{n}" for m, n in steps if not callable(_named(m, n))] == []


def _named(module: str, name: str) -> object:
    return getattr(importlib.import_module(module), name, None)


def test_the_drawing_shows_every_room():
    made = runpy.run_path(str(DOCS / "drawing.py"))
    drawing = (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8")

    rooms = [room for layer in made["layers"]() for room in layer]
    assert [room for room in rooms if f">{room}<" not in drawing] == [], "run: python docs/make.py"


def test_the_site_is_built_without_a_warning(tmp_path: Path):
    pytest.importorskip("myst_parser", reason="the extra 'docs' is not installed")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, tmp_path / "html"]

    done = subprocess.run(words, cwd=DOCS.parent, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "api" / "agreement.html").exists()


def test_every_column_of_masks_has_its_equation():
    text = (DOCS / "measures.md").read_text(encoding="utf-8")
    section = text.partition("## `masks.csv`")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))

    columns = {column.name for column in TABLES["masks"]}
    assert columns - {"case", "slice", "label"} == named
