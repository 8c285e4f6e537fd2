"""What others named reaches terminals, reports and spreadsheets as text, and as nothing else."""

import csv
import io
import json
import re

import pandas as pd
import pytest

from crowdqc.cli.output import print_table, write_out
from crowdqc.text import plain_cell
from samgen.weights import find_weights
from tests.commands import call
from tests.studies import write_study

EVIL = "\x1b[2J\x9b31m\u202egnp.\u2066x"
NAME = "\u202egnp.\u2066x"
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def study(tmp_path):
    """Raters, cases, classes and keys whose names are orders to a terminal."""
    raters = [f"a{NAME}", "=1+1", "b"]
    bad = {("b", 5): f"9 {EVIL}\n"}
    draw = lambda rater, _, k: bad.get((rater, k), f"0 .{3 + min(len(rater), 5)} .3 .2 .2\n")  # noqa: E731
    study = write_study(tmp_path, raters=raters, slices=6, lines=draw, cases=(f"1{NAME}",))
    (tmp_path / "boxes" / "classes.txt").write_text(f"{EVIL}\nb\n", encoding="utf-8")
    return study


@pytest.mark.parametrize(
    "words",
    [
        ("check", "-v"),
        ("check", "--format", "json"),
        ("agree", "-v"),
        ("complete", "--todo"),
        ("fuse", "--next-raters"),
        ("gate", "-v"),
        ("gate", "--format", "github"),
        ("gate", "--format", "junit"),
        ("gate", "--explain", "study"),
        ("run", "-v"),
    ],
)
def test_no_order_to_a_terminal_is_shown(study, words):
    result = call(words[0], study, *words[1:])

    assert result.exit_code in {0, 3}, result.stderr
    assert not OBEYED.findall(result.output.replace("\n", ""))


def test_no_order_to_a_terminal_is_in_a_text_report(study):
    assert call("report", study, "--format", "md").exit_code == 0

    assert not OBEYED.findall((study.parent / "out" / "report.md").read_text(encoding="utf-8"))


def test_a_key_of_a_study_file_is_shown_escaped(study):
    study.write_text(study.read_text(encoding="utf-8") + '"\\u001b[2J\\u202e" = 1\n')

    result = call("check", study)

    assert result.exit_code == 2
    assert not OBEYED.findall(result.output)
    assert r"\x1b[2J\u202e" in result.stderr


@pytest.mark.parametrize(
    "words", [(EVIL,), ("check", EVIL), ("compare", EVIL, EVIL), ("weights", EVIL)]
)
def test_what_click_quotes_is_shown_escaped(words):
    result = call(*words)

    assert result.exit_code == 2
    assert not OBEYED.findall(result.output.replace("\n", ""))


def test_a_model_is_named_without_orders_to_the_terminal(tmp_path, caplog):
    path = tmp_path / f"{NAME}\x1b[2J.pth"
    path.write_bytes(b"x")

    find_weights(str(path))

    assert "is not a published checkpoint" in caplog.text
    assert not OBEYED.findall(caplog.text.replace("\n", ""))


def test_json_says_the_same_with_what_is_hidden_escaped(capsys):
    write_out(pd.DataFrame({"name": [EVIL]}), "json")

    text = capsys.readouterr().out
    assert not OBEYED.findall(text)
    assert json.loads(text) == [{"name": EVIL}]


def test_a_spreadsheet_gets_no_formula_and_loses_nothing(capsys):
    frame = pd.DataFrame({"name": ["=1+1", "'=2", "a"], "value": [-1.5, 0.0, 2.0]})

    write_out(frame, "spreadsheet")
    guarded = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    write_out(frame, "csv")
    plain = list(csv.reader(io.StringIO(capsys.readouterr().out)))

    assert [row[0] for row in guarded] == ["name", "'=1+1", "''=2", "a"]
    assert [row[1] for row in guarded] == ["value", "-1.5", "0.0", "2.0"]
    assert [[plain_cell(cell) for cell in row] for row in guarded] == plain


def test_markup_in_names_is_text(capsys):
    print_table(pd.DataFrame({"[link=http://x]a[/link]": ["[red]b[/red]"]}), "[bold]c[/bold]")

    shown = capsys.readouterr().out
    for text in ("[link=http://x]a[/link]", "[red]b[/red]", "[bold]c[/bold]"):
        assert text in shown
