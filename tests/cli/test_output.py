"""Tables for people: nothing wider than the terminal, no name in two parts."""

import subprocess
import sys

import pandas as pd
import pytest

from crowdqc.cli.output import print_table
from crowdqc.findings import Reason, Where
from crowdqc.judge.text import shortened


@pytest.fixture
def printed(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")

    def call(**columns):
        print_table(pd.DataFrame(columns), "Title")
        return capsys.readouterr().out

    return call


def test_long_prose_wraps_and_names_stay_whole(printed):
    text = printed(
        case=["abdomen1"], label=["left_adrenal_gland"], rater=["somebody_else"], n_slices=[12],
        gaps=["3-5 10-12 " * 12], truncated=["low high"], reasons=["a gap is not good " * 10],
    )  # fmt: skip

    assert max(map(len, text.splitlines())) <= 80
    assert "left_adrenal_gland" in text
    assert "somebody_else" in text
    assert "slices" in text


def test_a_name_longer_than_the_terminal_is_folded_not_cut(printed):
    name = "x" * 100

    text = printed(rater=[name], n=[1])

    assert max(map(len, text.splitlines())) <= 80
    assert text.count("x") == 100


def test_a_heading_wider_than_its_cells_is_set_in_two_lines(printed):
    text = printed(rater=["a"], extra_rate=[0.5])

    assert "extra rate" not in text
    assert "extra" in text


def test_reasons_say_what_happened_and_how_many_more_there_are():
    rule = {"op": "<", "because": "a slice has no box; redraw it. Now"}
    reasons = [
        Reason(measure="n", value=0.0, limit=1.0, where=Where(case="1", label="liver"), **rule),
        Reason(measure="organ-gap", because="no box. Draw it.", where=Where(case="1", rater="a")),
        Reason(measure="coverage", limit=1.0, **rule),
        Reason(measure="n", value=0.0, limit=1.0, **rule),
        Reason(measure="n", value=0.0, limit=2.0, **rule),
    ]

    assert shortened(reasons, Where(case="1")) == (
        "liver: n 0 < 1; rater a: no box, though the organ goes on; coverage is not known; "
        "and 2 more"
    )


def test_a_faulty_study_file_is_refused_before_pandas_is_loaded(tmp_path):
    (tmp_path / "study.toml").write_text("[study]\nnam = 1\n", encoding="utf-8")
    code = (
        "import sys\n"
        "from crowdqc.cli import main\n"
        "try: main(['check', sys.argv[1]])\n"
        "except SystemExit as end: print(end.code, 'pandas' in sys.modules)\n"
    )

    for name in ("study.toml", "none.toml"):
        words = [sys.executable, "-c", code, str(tmp_path / name)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "2 False", done.stderr
        assert name in done.stderr


def test_what_a_rule_asks_of_a_check_is_said_in_the_words_of_the_check():
    one = {"measure": "findings:organ-gap", "value": 2.0, "op": ">", "because": "gaps"}

    assert shortened([Reason(**one, limit=0.0)], Where()) == "no box, though the organ goes on"
    assert shortened([Reason(**one, limit=1.0)], Where()) == "findings:organ-gap 2 > 1"
