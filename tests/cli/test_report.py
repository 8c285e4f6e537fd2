"""``crowdqc report`` in its forms, on a small folder of results."""

import json
from pathlib import Path

import pytest

from tests.commands import call
from tests.studies import write_study

STUDY = """
[study]
name = "{name}"
[labels]
0 = {{ name = "spleen", value = 1 }}
[annotations]
format = "yolo"
path = "boxes/{{rater}}/{{case}}-{{slice}}.txt"
size = [100, 100]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two raters, one case, one organ; both raters draw."""
    x = {"a": 0.3, "b": 0.31}
    return write_study(
        tmp_path_factory.mktemp("tiny"),
        raters=x,
        slices=4,
        lines=lambda rater, *_: f"0 {x[rater]} .3 .2 .2\n",
        text=STUDY.format(name="tiny"),
    )


@pytest.mark.parametrize("form", ["html", "md", "json", "csv"])
def test_the_path_of_the_report_is_the_result(study, form):
    result = call("report", study, "--format", form, "--no-charts")

    assert result.exit_code == 0, result.stderr
    path = Path(result.stdout.strip())
    assert path == study.parent / "out" / ("report" if form == "csv" else f"report.{form}")
    assert path.stat().st_size if path.is_file() else (path / "raters.csv").is_file()


def test_without_charts_the_page_is_small(study):
    page = Path(call("report", study, "--no-charts").stdout.strip())

    assert page.stat().st_size < 1e6
    assert 'id="plotly"' not in page.read_text(encoding="utf-8")


def test_two_folders_of_results_side_by_side(study, tmp_path):
    other = tmp_path / "before"
    assert call("report", study, "--out", other, "--no-charts").exit_code == 0

    result = call("report", study, "--format", "json", "--compare", other)

    record = json.loads(Path(result.stdout.strip()).read_text(encoding="utf-8"))
    (section,) = [part for part in record["sections"] if part["key"] == "side_by_side"]
    assert section["title"].endswith("/before")
    (counts,) = [table for table in section["tables"] if table["name"] == "other-counts"]
    assert {row["difference"] for row in counts["rows"]} == {0}


def test_a_page_with_other_options_is_not_taken_for_a_changed_file(study):
    assert call("run", study).exit_code in {0, 3}
    assert call("report", study, "--no-charts").exit_code == 0

    result = call("report", study)

    assert "SHA-256" not in result.stderr
    assert call("report", study).stderr == result.stderr


def test_a_folder_to_compare_with_that_is_none(study, tmp_path):
    result = call("report", study, "--compare", tmp_path)

    assert result.exit_code == 2
    assert "holds no results of crowdqc" in result.stderr


def test_a_form_that_is_none(study):
    assert call("report", study, "--format", "pdf").exit_code == 2
