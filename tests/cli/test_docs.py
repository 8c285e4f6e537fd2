import runpy
from pathlib import Path

import pytest

from crowdqc.cli import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["cli.md", "study-file.md", "policy-names.md"])
def test_pages_say_what_the_code_says(page):
    made = runpy.run_path(str(DOCS / "make.py"))["PAGES"][page]()

    assert (DOCS / page).read_text(encoding="utf-8") == made, "run: python docs/make.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    assert f"## crowdqc {name}\n" in (DOCS / "cli.md").read_text(encoding="utf-8")
