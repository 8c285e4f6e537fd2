"""Every promise of the safety page names tests, and these exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    line
    for line in (ROOT / "docs" / "safety.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and line.count(" | ") == 1 and not line.startswith("| promise |")
]


def test_the_page_makes_promises():
    assert len(ROWS) > 25


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_every_promise_names_tests_that_exist(row):
    names = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)

    assert names
    for file, test in names:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert f"\ndef {test}(" in text, f"{file} has no {test}"
