"""The documentation: its tutorial runs, and its pages are whole."""

import importlib
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import crowdqc
from crowdqc.cli import COMMANDS
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
    verdicts = dict(
        re.findall(r"^ +(\w+) .* (accept|review|reject) *$", said["agree"], re.MULTILINE)
    )
    assert verdicts["careless"] == verdicts["shifted"] == "reject"
    assert verdicts["swapping"] == "reject"
    assert verdicts["skipping"] == "accept"
    assert verdicts["steady"] == "accept"
    gaps = re.findall(r"^ +\w+ +\w+ +(\w+) +partial", said["complete"], re.MULTILINE)
    assert max(set(gaps), key=gaps.count) == "skipping"


def test_the_page_about_an_audit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    call("demo", tmp_path / "demo")
    monkeypatch.chdir(tmp_path / "demo")
    for program, *words in commands(DOCS / "howto" / "audit.md"):
        assert program == "crowdqc"
        assert call(*words).exit_code in {0, 3}, words

    assert (tmp_path / "demo" / "out" / "audit.csv").is_file()
    text = (DOCS / "howto" / "audit.md").read_text(encoding="utf-8")
    rule = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "demo" / "policy.toml").write_text(rule[1], encoding="utf-8")
    study = tmp_path / "demo" / "study.toml"
    with study.open("a", encoding="utf-8") as file:
        file.write('[gate]\npolicy = "policy.toml"\n')
    assert call("gate", study).exit_code in {0, 3}


def test_a_picture_of_the_gallery_is_what_comes_out_today(tmp_path: Path):
    gallery = runpy.run_path(str(DOCS / "gallery.py"))
    entry = next(one for one in gallery["ENTRIES"] if one.check == "run-truncated")

    picture, said = gallery["draw"](gallery["make"](tmp_path, entry.fault), entry)

    assert picture == (DOCS / "images/gallery/run-truncated.svg").read_text(encoding="utf-8")
    assert f"`run-truncated`: {said}" in (DOCS / "gallery.md").read_text(encoding="utf-8")
    drawn = {path.stem for path in (DOCS / "images/gallery").glob("*.svg")}
    assert drawn == {"landing", *(one.check for one in gallery["ENTRIES"])}


PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("howto/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_of_the_pages_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    targets = [t.partition("#")[0] for t in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)]

    made = {"api/index.rst", "../api/index.rst"}
    gone = [t for t in targets if t not in made and not (page.parent / t).exists()]
    assert gone == []


def test_links_to_the_web_are_whole_addresses():
    """Whether they are there is for whoever has a network: nothing is fetched."""
    texts = [page.read_text(encoding="utf-8") for page in (*PAGES, DOCS.parent / "README.md")]
    found = {link for text in texts for link in re.findall(r"\]\((https?:[^)]*)\)", text)}

    assert found
    for link in found:
        parts = urlsplit(link)
        assert parts.scheme == "https", link
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), link
        assert not re.search(r"[\s<>\"]", link), link


def python_blocks(page: Path) -> str:
    """The Python code of a page."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def test_numbers_of_the_readme_stand_in_the_reports_that_it_names():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    claims = readme.partition("What it showed so far")[2].partition("\n## ")[0]
    for claim in claims.split("\n- ")[1:]:
        reports = [DOCS.parent / name for name in re.findall(r"\]\((reports/[^)]+)\)", claim)]
        # What they quote from others, too.
        texts = " ".join(file.read_text(encoding="utf-8") for file in _beside(reports))
        numbers = re.findall(r"[-+]?\d+\.\d{2,}|\d,\d{3}", claim)
        assert len(numbers) > 3
        assert [number for number in numbers if number not in texts] == []


def test_the_table_of_the_readme_has_every_command_once():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n## Commands\n")[2].partition("\n\n`")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    assert sorted(re.findall(r"`([a-z]+)`", " ".join(cells))) == sorted(COMMANDS)


def _beside(reports: list[Path]) -> list[Path]:
    """Reports, and those of the same study."""
    return [
        file for one in reports for file in one.parent.glob(f"{one.stem.partition('_')[0]}*.md")
    ]


def test_the_python_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)

    exec(compile(python_blocks(DOCS / "python.md"), "python.md", "exec"), {})  # noqa: S102

    assert "['ann', 'bob', 'cem'] ['1', '2']" in capsys.readouterr().out


def test_the_example_of_an_audit_says_what_it_prints(capsys):
    page = DOCS / "audit.md"
    exec(compile(python_blocks(page), "audit.md", "exec"), {})  # noqa: S102
    shown = re.findall(r"^```text\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert capsys.readouterr().out == "".join(shown)


def test_the_python_block_of_the_readme_runs(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    crowdqc.example_boxes().to_csv("boxes.csv", index=False)
    code = python_blocks(DOCS.parent / "README.md")

    exec(compile(code, "README.md", "exec"), {})  # noqa: S102

    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    assert "review" in capsys.readouterr().out


def test_every_public_name_has_an_entry():
    pages = runpy.run_path(str(DOCS / "api.py"))["PAGES"]
    shown = [name for _, names in pages.values() for name in names]

    assert sorted(shown) == sorted(crowdqc.__all__)


def test_the_functions_on_the_way_of_a_box_exist():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\| \d+ \|.*`([\w.]+):(\w+)` \|$", page, re.MULTILINE)

    assert 8 <= len(steps) <= 12
    assert [f"{m}:{n}" for m, n in steps if not callable(_named(m, n))] == []


def _named(module: str, name: str) -> object:
    return getattr(importlib.import_module(module), name, None)


def test_the_drawing_and_the_table_show_every_room():
    made = runpy.run_path(str(DOCS / "drawing.py"))
    drawing = (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8")

    rooms = [room for layer in made["layers"]() for room in layer]
    assert [room for room in rooms if f">{room}<" not in drawing] == [], "run: python docs/make.py"
    table = re.findall(
        r"^\| (`.*?) \|", (DOCS / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(rooms) <= set(re.findall(r"`(\w+)`", " ".join(table)))


def test_the_site_is_built_without_a_warning(tmp_path: Path):
    pytest.importorskip("myst_parser", reason="the extra 'docs' is not installed")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, tmp_path / "html"]

    done = subprocess.run(words, cwd=DOCS.parent, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "api" / "raters.html").exists()


def test_every_column_of_masks_has_its_equation():
    text = (DOCS / "measures.md").read_text(encoding="utf-8")
    section = text.partition("## `masks.csv`")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))

    columns = {column.name for column in TABLES["masks"]}
    assert columns - {"case", "slice", "label"} == named
