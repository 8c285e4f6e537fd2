"""The page itself: whole, safe, the same each time, and readable."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import plotly.graph_objects as go
import pytest

from crowdqc.completeness import worklist
from crowdqc.findings import check_info
from crowdqc.report import gather, render
from crowdqc.report.content import Interval, TableColumn
from crowdqc.report.figures import figures
from crowdqc.report.render import cell, interval_bar, sort_key
from crowdqc.store import Store

from .results_folder import Spec, write_results

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(store: Store) -> str:
    return render(gather(store))


def scripts(page: str) -> list[tuple[str, str]]:
    return re.findall(r"<script([^>]*)>(.*?)</script>", page, flags=re.DOTALL)


def shown(page: str) -> str:
    """Text that people read."""
    page = re.sub(r"<(script|style|template).*?</\1>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_same_results_give_the_same_page(store: Store, page: str):
    assert render(gather(store)) == page


def test_nothing_is_loaded_from_elsewhere(page: str):
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)

    assert not re.search(r"""(src|href)=["'](?!#|data:image/png)""", outside)
    assert "@import" not in outside
    assert "url(" not in outside


def test_the_policy_allows_exactly_our_scripts(page: str):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    allowed = re.findall(r"sha256-([^']+)", html.unescape(policy))
    texts = [text for attributes, text in scripts(page) if "application/json" not in attributes]

    digests = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts]

    assert sorted(digests) == sorted(allowed)
    assert len(digests) == 2
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_there_are_no_inline_handlers(page: str):
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)

    assert not re.search(r"<[^>]+\son\w+=", outside)


def test_names_are_escaped_everywhere(folder: Path):
    spec = Spec(n_cases=2, raters=(HOSTILE, "b"), labels=("liver",), n_findings=300)
    page = render(gather(write_results(folder, spec)))

    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page
    (data,) = (text for attributes, text in scripts(page) if "application/json" in attributes)
    assert "<" not in data
    assert HOSTILE in json.loads(data)["texts"]


def test_people_do_not_read_long_numbers(page: str):
    assert not re.findall(r"\d\.\d{4,}", shown(page))
    assert not re.search(r"\bnan\b", shown(page))


def test_each_id_is_there_once_and_each_link_leads_to_one(folder: Path):
    spec = Spec(n_cases=2, raters=tuple(f"r{i}" for i in range(30)), labels=("liver",))
    page = render(gather(write_results(folder, spec)), charts=False)
    page = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)

    ids = re.findall(r'\sid="([^"]+)"', page)

    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


def test_without_charts_it_is_small(store: Store, page: str):
    small = render(gather(store), charts=False)

    assert len(small) < 500_000
    assert 4_000_000 < len(page) < 10_000_000
    assert "plotly.js" not in small
    assert 'data-chart="' not in small


def test_plotly_accepts_the_charts(store: Store):
    charts = figures(gather(store))

    assert set(charts) == {"agreement", "masks", "effect"}
    for chart in charts.values():
        go.Figure(chart)


def test_many_raters_get_a_heat_map(folder: Path):
    spec = Spec(n_cases=2, raters=tuple(f"r{i}" for i in range(30)), labels=("liver",))

    charts = figures(gather(write_results(folder, spec)))

    matrix = charts["pairs-pair_iou"]["data"][0]["z"]
    assert len(matrix) == 30
    go.Figure(charts["pairs-pair_iou"])


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1840, "count", "1,840"),
        (0.123456789, "number", "0.12"),
        (float("nan"), "number", "–"),
        (4.04, "px", "+4.04"),
        (-0.001, "px", "0.00"),
        (0.637, "percent", "64 %"),
        (0.00004, "p", "<0.001"),
        ("no_consensus", "state", "no consensus"),
        ("reject", "verdict", "reject"),
        ("", "verdict", "not judged"),
        (Interval(0.5, 0.4, 0.6), "interval", "0.50 (0.40 to 0.60)"),
        (Interval(0.5, float("nan"), float("nan")), "interval", "0.50"),
        (("a", "b"), "reasons", "a; b"),
    ],
)
def test_values_are_written_for_people(value: object, kind: str, text: str):
    assert cell(value, TableColumn("x", "X", kind)) == text


def test_verdicts_sort_by_how_bad_they_are():
    column = TableColumn("verdict", "Verdict", "verdict")
    keys = [int(sort_key(v, column)) for v in ("reject", "review", "accept")]

    assert keys == sorted(keys)
    assert len(set(keys)) == 3


def test_a_bar_lies_where_its_numbers_lie():
    bar = interval_bar(Interval(0.25, 0.0, 0.5), (-1.0, 1.0))

    assert (bar.left, bar.width, bar.point, bar.zero) == (50.0, 25.0, 62.5, 50.0)
    assert interval_bar(Interval(float("nan"), 0.0, 1.0), (0.0, 1.0)) is None


def test_every_explanation_stands_on_the_page(store: Store):
    content = gather(store)
    page = html.unescape(render(content, charts=False))
    tables = [table for section in content.sections for table in section.tables]
    explained = [
        column.note
        for table in tables
        for column in table.columns
        if column.note and any(record[column.name] is not None for record in table.records())
    ]
    explained += [meaning for table in tables for _, meaning in table.notes]

    assert len(explained) > 20
    assert [note for note in explained if f"<dd>{note}.</dd>" not in page] == []


def test_every_reason_of_the_work_list_has_words():
    assert [name for name in worklist.TASKS if not check_info(name).about] == []
