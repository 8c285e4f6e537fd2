import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.text import (
    for_spreadsheets,
    names_cell,
    names_of,
    plain_cell,
    spreadsheet_cell,
    visible,
)

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "\uff1d1+1"]


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text):
    shown = visible(text)

    kept = {"\t", "\n"}
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c not in kept]
    assert not [c for c in shown if unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE"}]
    assert not [c for c in shown if unicodedata.bidirectional(c) in {"PDF", "LRI", "RLI", "FSI"}]
    assert visible(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_people_write_stays_as_it_is(text):
    assert visible(text) == text


@pytest.mark.parametrize("text", FORMULAS)
def test_no_formula_is_left(text):
    assert spreadsheet_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["-1", "+1.5e-3", "-.5", "-", "12%", "", "a=b", "img-1", "'tis"])
def test_numbers_and_names_stay_as_they_are(text):
    assert spreadsheet_cell(text) == text


@given(st.text("'=+-@a1\t\uff0b", max_size=6) | st.text(max_size=6))
def test_nothing_is_lost(text):
    guarded = spreadsheet_cell(text)

    assert plain_cell(guarded) == text
    assert guarded == text or guarded.startswith("'")


def test_tables_are_guarded_with_their_headings():
    frame = pd.DataFrame({"=x": ["=1", "a"], "n": [-1.5, 2.0]})

    guarded = for_spreadsheets(frame)

    assert list(guarded) == ["'=x", "n"]
    assert guarded["'=x"].tolist() == ["'=1", "a"]
    assert guarded["n"].tolist() == [-1.5, 2.0]


@given(st.lists(st.text(min_size=1) | st.text("ab '", min_size=1)))
def test_names_in_one_cell_can_be_told_apart(names):
    assert names_of(names_cell(names)) == names
