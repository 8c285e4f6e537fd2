"""The report in forms other than a page, and two folders of results side by side."""

import csv
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from crowdqc.findings import InputError
from crowdqc.report import gather, render, to_csv, to_json, to_markdown
from crowdqc.report.agreement import GROUPS
from crowdqc.report.content import ReportContent, ReportSection
from crowdqc.schema import MEASURES
from crowdqc.store import Store

from .results_folder import Spec, write_results

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def content(store: Store) -> ReportContent:
    return gather(store)


def tables(content: ReportContent):
    return [table for section in content.sections for table in section.tables]


def test_json_holds_every_row_of_every_table(content: ReportContent):
    record = json.loads(to_json(content))

    rows = {table["name"]: table["rows"] for part in record["sections"] for table in part["tables"]}
    assert rows == {table.name: list(table.records()) for table in tables(content)}
    assert record["verdict"] == content.verdict
    assert [step["what"] for step in record["next"]] == [step.what for step in content.steps]


def test_csv_holds_every_row_of_every_table(content: ReportContent):
    files = to_csv(content)

    assert set(files) == {f"{t.name}.csv" for t in tables(content)} | {"next.csv", "facts.csv"}
    for table in tables(content):
        rows = list(csv.DictReader(io.StringIO(files[f"{table.name}.csv"])))
        wanted = [
            {name: "" if value is None else str(value) for name, value in record.items()}
            for record in table.records()
        ]
        assert rows == wanted, table.name


def test_markdown_has_a_row_of_as_many_cells_for_each_row(content: ReportContent):
    lines = to_markdown(content).splitlines()

    for table in tables(content):
        start = next(k for k, line in enumerate(lines) if line == f"### {table.caption}") + 2
        rows = lines[start : start + 2 + len(table.rows)]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(table.columns) + 1}
        assert lines[start + len(rows)] == ""


def test_markdown_escapes_names(folder: Path):
    store = write_results(folder, Spec(raters=("a|b", HOSTILE, "c_d_e"), n_cases=2))

    text = to_markdown(gather(store))

    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "a\\|b" in text
    assert "c\\_d\\_e" in text


def test_all_forms_are_the_same_each_time(store: Store, content: ReportContent):
    for form in (to_markdown, to_json, to_csv):
        assert form(gather(store)) == form(content)


@pytest.fixture(scope="module")
def contrast(store: Store, tmp_path_factory: pytest.TempPathFactory) -> ReportSection:
    """This study of 6 cases and 5 raters beside one of 4 cases and 4 raters, one of them new."""
    spec = Spec(study="before", n_cases=4, raters=("amy", "ben", "careless", "new"), seed=5)
    other = write_results(tmp_path_factory.mktemp("before") / "out", spec)
    return gather(store, other=Store.found(other.folder)).section("side_by_side")


def rows_of(section: ReportSection, name: str):
    return list(next(t for t in section.tables if t.name == f"other-{name}").records())


def test_counts_of_both_and_their_difference(contrast: ReportSection):
    counts = {row["what"]: row for row in rows_of(contrast, "counts")}

    assert counts["Cases"] == {"what": "Cases", "this": 6, "other": 4, "difference": 2.0}
    assert counts["Raters"] == {"what": "Raters", "this": 5, "other": 4, "difference": 1.0}


def test_a_rater_of_one_side_stands_beside_nothing(contrast: ReportSection):
    raters = {row["rater"]: row for row in rows_of(contrast, "raters")}

    assert set(raters) == {"amy", "ben", "careless", "shifted", "skipping", "new"}
    assert raters["new"]["value"] is None
    assert raters["new"]["change"] is None
    both = raters["amy"]
    assert both["change"] == pytest.approx(both["value"] - both["value_other"])


def test_verdicts_that_differ_stand_first(contrast: ReportSection):
    differ = [row["verdict"] != row["verdict_other"] for row in rows_of(contrast, "verdicts")]

    assert differ == sorted(differ, reverse=True)


def test_completeness_is_the_share_of_runs_that_were_read(store: Store, contrast: ReportSection):
    table = store.read("completeness")
    runs = table[(table["label"] == "spleen") & (table["state"] != "unread")]

    (row,) = [row for row in rows_of(contrast, "completeness") if row["label"] == "spleen"]

    assert row["complete"] == pytest.approx((runs["state"] == "complete").sum() / len(runs))
    assert row["gaps"] == runs["n_gaps"].sum()


def test_a_study_beside_itself_differs_in_nothing(store: Store):
    section = gather(store, other=store).section("side_by_side")

    assert {row["difference"] for row in rows_of(section, "counts")} == {0.0}
    assert {row["change"] for row in rows_of(section, "agreement")} <= {0.0, None}
    assert section.lead[1].startswith("None of ")


def test_every_id_of_a_page_with_two_studies_is_unique(store: Store):
    page = render(gather(store, other=store), charts=False)

    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert 'id="side_by_side"' in page


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no results of crowdqc"):
        Store.found(tmp_path)


def test_lengths_do_not_share_a_scale_with_agreement(folder: Path):
    store = write_results(folder, Spec(n_cases=2))
    table = store.read("measurements")
    ends = pd.DataFrame(
        [
            {"measure": "first_slice_error", "label": label, "value": 2.5, "n": 4, "unit": "mm"}
            for label in ("", "spleen")
        ]
    )
    store.write("measurements", pd.concat([table, ends], ignore_index=True))

    section = gather(store).section("agreement")

    rows = {t.name: list(t.records()) for t in section.tables}
    assert [row["label"] for row in rows["agreement_ends"]] == ["spleen", "all"]
    assert "First slice" not in {row["measure"] for row in rows["agreement"]}
    assert "first_slice_error" not in rows["agreement_by_label"][0]
    assert next(t for t in section.tables if t.name == "agreement_ends").caption.endswith("mm")


def test_csv_of_a_report_holds_no_formula_and_markdown_no_control(folder: Path):
    content = gather(write_results(folder, Spec(n_cases=2, raters=("=1+1", "b\x1b[2J"))))

    names = {row["rater"] for row in csv.DictReader(io.StringIO(to_csv(content)["raters.csv"]))}

    assert "'=1+1" in names
    assert "\x1b" not in to_markdown(content)


def test_measures_by_organ_are_in_the_table_of_their_declared_group(folder: Path):
    names = ["f1", "alpha_box_if_read", "icc_x0", "of_another_package"]
    store = write_results(folder, Spec(n_cases=2))
    rows = [{"measure": name, "label": "spleen", "value": 0.5, "n": 4} for name in names]
    store.write("measurements", pd.DataFrame(rows))

    section = gather(store).section("agreement")

    measured = [table for table in section.tables if table.name != "grras"]
    titles = {t.name: [column.name for column in t.columns][1:] for t in measured}
    assert titles == {
        "agreement_by_label": ["f1"],
        "agreement_if_read": ["alpha_box_if_read"],
        "agreement_icc": ["icc_x0"],
        "agreement_other": ["of_another_package"],
    }
    assert {column.group for column in MEASURES.values()} <= set(GROUPS)
