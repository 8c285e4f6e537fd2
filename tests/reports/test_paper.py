"""The crowd study, recomputed."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.findings import InputError
from reports.paper.boxplots import box_plot
from reports.paper.claims import check_annotations, check_bound
from reports.paper.file import Annotations, Bound, Published, read_paper, read_printed
from reports.paper.page import explain_mismatches
from reports.paper.reproduce import main
from reports.paper.scores import Pairing, read_pairings
from reports.paper.tables import clustered_half_width, judge, measure

REPORTS = Path(__file__).parents[2] / "reports"
PAPER = REPORTS / "paper" / "paper.toml"
BTCV = REPORTS.parent / "configs" / "btcv.toml"
ODD = "[[published]]\ntable = 't'\ncolumn = 'A'\nsource = 's'\nprinted.liver = 'about'"
VOLUMES = np.array(["a", "a", "b", "c"], dtype=object)


@pytest.fixture(scope="module")
def pairings(data):
    return read_pairings(data / "btcv_crowd" / "results")


@pytest.fixture(scope="module")
def ours(pairings):
    return measure(pairings)


def pairing(row="liver", *, a=(0.9, 0.8, 0.7, 0.2), b=(0.8, 0.7, 0.5, 0.1)):
    return Pairing("made", row, ("A", "B"), a=np.array(a), b=np.array(b), volumes=VOLUMES)


def said(values, *, table="made", column="A"):
    return Published(table=table, column=column, source="a test", printed=values)


def row_of(table, name, row):
    return table[(table["table"] == name) & (table["row"] == row)].iloc[0]


def test_what_the_notebook_printed_comes_out_and_of_the_paper_all_but_ten_values(ours):
    paper = read_paper(PAPER)

    table = judge(ours, paper.published)

    notebook = table["source"].str.contains("ipynb")
    assert (int(notebook.sum()), len(table)) == (36, 145)
    assert table.loc[notebook, "match"].all()
    assert len(explain_mismatches(table, paper.remark)) == 10


def test_each_table_of_the_paper_was_typed_in_whole():
    published = read_paper(PAPER).published

    for n, table in enumerate(("volumes", "slices", "nnunet_15", "nnunet_11"), start=2):
        mine = [one for one in published if one.source == f"the paper, Table {n}"]
        assert {one.table for one in mine} == {table}
        assert [len(one.printed) for one in mine] == [5, 5, 5]


def test_a_value_that_does_not_come_out_needs_a_remark(ours):
    paper = read_paper(PAPER)
    table = judge(ours, paper.published)

    with pytest.raises(InputError, match=r"odd: .*left kidney"):
        explain_mismatches(table, paper.remark[1:])


def test_what_the_summary_says_of_organs_holds(ours):
    gains = ours[ours["table"] == "filtering"].set_index("row")["p"]
    trained = ours[ours["table"].isin(["nnunet_11", "nnunet_15"]) & (ours["row"] != "mean")]

    assert gains.round(3)[["aorta", "liver", "mean"]].tolist() == [0.055, 0.055, 0.008]
    assert (trained["p"] >= 0.001).sum() == 3
    assert row_of(ours, "msd_nnunet", "MSD spleen")["p"] == pytest.approx(0.004, abs=5e-4)


@pytest.mark.parametrize(
    ("printed", "value", "ci", "match"),
    [
        ("0.80", 0.7987, 0.0, True),
        ("0.80", 0.7949, 0.0, False),
        ("0.80 ± 0.05", 0.7987, 0.0451, True),
        ("0.80 +- 0.04", 0.7987, 0.0451, False),
        ("<0.001", 0.0009, np.nan, True),
        ("<0.001", 0.0043, np.nan, False),
        ("5.718e-07", 5.7178e-07, np.nan, True),
        ("5.718e-07", 5.7e-07, np.nan, False),
        ("0.8650", 0.865, np.nan, True),
    ],
)
def test_a_number_agrees_where_it_rounds_to_every_printed_digit(printed, value, ci, match):
    assert read_printed(printed).agrees(value, ci) is match


@given(st.floats(0, 1), st.integers(1, 8))
def test_a_number_agrees_with_its_own_print(value, digits):
    assert read_printed(f"{value:.{digits}f}").agrees(value)


def test_judge_names_what_does_not_match():
    table = judge(measure([pairing()]), [said({"liver": "0.65"}), said({"liver": "0.70"})])

    assert list(table["match"]) == [True, False]


@pytest.mark.parametrize(
    "published",
    [
        said({"spleen": "0.5"}),
        said({"liver": "0.5"}, column="C"),
        said({"liver": "0.5"}, table="other"),
    ],
)
def test_a_value_without_a_counterpart_is_refused(published):
    with pytest.raises(InputError, match="must name a number that is recomputed"):
        judge(measure([pairing()]), [published])


def test_table_3_averages_over_slices_with_all_five_organs(ours, data):
    mean = row_of(ours, "slices", "mean")
    slices = pd.read_csv(data / "btcv_crowd/results/BTCV/slice_dice.csv")
    whole = slices.dropna().groupby(["path", "slice_idx"]).size()

    assert mean["n"] == (whole == 2).sum() == 75
    assert mean["n_volumes"] == 8


def test_not_every_p_is_below_0_001(ours):
    bound = Bound(text="all", source="abstract", tables=["msd_nnunet"], below=0.001)

    checked = check_bound(ours, bound)

    assert checked.verdict == "in part"
    assert "1 of 2 are below 0.001; not: MSD spleen p = 0.0043" in checked.found


@pytest.mark.parametrize(("below", "verdict"), [(1.0, "holds"), (1e-9, "does not hold")])
def test_a_bound_holds_or_not(ours, below, verdict):
    bound = Bound(text="x", source="y", tables=["msd_nnunet"], below=below)

    assert check_bound(ours, bound).verdict == verdict


def test_counts_and_complete_cases_are_checked(data, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    annotated = read_paper(PAPER).annotated

    counted, complete, others, totals, missing, pace = check_annotations(annotated, BTCV)

    assert (counted.verdict, counted.found) == ("holds", "75 of 75 counts are the same.")
    assert "1 (0002) has no empty slice inside an organ, the others 153" in complete.found
    assert "The least is spleen of 0029: 1 box." in complete.found
    assert others.found.startswith("Prompts of 23 volumes were released; 8 of them")
    assert totals.found.startswith("1,823 boxes on 634 slices are of the 15 training volumes")
    assert "spleen 3 (0010, 0023, 0024)" in missing.found
    assert missing.verdict == totals.verdict == "in part"
    assert "are 1014 slices, and 1011 slices of the 15 volumes have a file" in pace.found


def test_a_bound_may_be_one_from_below(ours):
    bound = Bound(text="alike", source="y", tables=["volumes"], at_least=0.05)

    assert check_bound(ours, bound).found == "6 of 6 are at least 0.05."
    with pytest.raises(ValueError, match="either 'below' or 'at_least'"):
        Bound(text="x", source="y", tables=[], below=1.0, at_least=0.05)


def test_the_gate_keeps_good_masks_and_rejects_bad_ones_from_boxes_alone(pages):
    """Numbers of the page are those of its tables."""
    page = (pages / "paper.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| 00")]
    kept = [row for row in rows if row[6] == "kept"]
    verdicts = r"^\| (accept|review|reject) \| (\d+) \| ([\d.]+) \| (\d+) \|$"
    masks = re.findall(verdicts, page, re.MULTILINE)

    assert len(rows) == 15
    assert f"keeps {len(kept)} of the 15 volumes, the paper kept 11" in page
    assert {row[0] for row in rows if row[1] == "kept"} - {row[0] for row in kept} == {
        *("0021", "0029", "0030")
    }
    assert sum(int(n) for _, n, _, _ in masks) == 55
    for verdict, n, dice, _ in masks:
        assert f"{verdict} {dice} (n = {n})" in page
    mean = np.mean([float(row[7]) for row in kept])
    assert f"and {mean:.3f} in the gate's" in page


def test_a_wrong_count_is_named(data, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    wrong = Annotations(
        study="", source="", labels=["spleen"], boxes={"0001": [35]}, complete=["0001"]
    )

    counted = check_annotations(wrong, BTCV)[0]

    assert counted.verdict == "does not hold"
    assert "0001 spleen: 35 printed, 36 found" in counted.found


def test_clustered_half_width_is_the_papers_where_every_value_is_a_volume_of_its_own():
    values = np.array([0.4, 0.7, 0.9])

    alone = clustered_half_width(values, np.array(["a", "b", "c"], dtype=object))

    assert alone == pytest.approx(1.96 * values.std() / np.sqrt(3))


def test_clustered_half_width_does_not_shrink_with_copies():
    values, volumes = np.array([0.4, 0.7, 0.9]), np.array(["a", "b", "c"], dtype=object)

    once, thrice = (clustered_half_width(values.repeat(k), volumes.repeat(k)) for k in (1, 3))

    assert thrice == pytest.approx(once)


def test_a_box_plot_shows_median_quartiles_and_what_lies_beyond():
    values = (0.5, 0.6, 0.7, 0.8, 0.9, 0.0)
    shown = Pairing(
        "t", "liver", ("A", "B"), a=np.array(values), b=np.array(values), volumes=VOLUMES
    )

    svg = ET.fromstring(box_plot([shown], [0.0004], title="a < b"))  # noqa: S314

    names = [element.tag.rpartition("}")[2] for element in svg.iter()]
    texts = [element.text for element in svg.iter() if element.tag.endswith("}text")]
    assert svg.get("aria-label") == "a < b"
    assert "p < .001" in texts
    assert names.count("circle") == 2  # the 0.0 of each side
    # Dice 0 to 1 on 220 px below 40 px: the quartiles 0.525 and 0.775 are at 144.5 and 89.5.
    boxes = [e for e in svg.iter() if e.tag.endswith("}rect") and e.get("width") == "30"]
    assert [(e.get("y"), e.get("height")) for e in boxes] == [("89.5", "55.0")] * 2


@pytest.fixture(scope="module")
def pages(data, tmp_path_factory):
    """Folder of the pages as the command writes them."""
    place = tmp_path_factory.mktemp("paper")
    text = PAPER.read_text(encoding="utf-8")
    text = text.replace('".."', '"made"')
    text = text.replace('"../../configs/btcv.toml"', f'"{BTCV}"')
    (place / "paper.toml").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROWDQC_DATA", str(data))
        assert main([str(place / "paper.toml")]) == 0
    return place / "made"


def test_the_pages_hold_every_table_figure_and_claim(pages):
    page, html = ((pages / f"paper.{kind}").read_text("utf-8") for kind in ("md", "html"))

    pictures = re.findall(r"\]\((images/paper-.*?\.svg)\)", page)
    assert len(pictures) == html.count("<svg") == 9
    assert all((pages / picture).exists() for picture in pictures)
    assert all(f"Table {n}." in page and f"Table {n}." in html for n in (2, 3, 4, 5))
    assert page.count("**match**") == html.count(">match<")
    assert page.count("**MISMATCH**") == html.count(">MISMATCH<") == 10
    assert page.count("| in part |") == 7
    assert "p &lt; 0.001, all" in html  # texts of the file are escaped


@pytest.mark.parametrize("name", ["paper.md", "paper.html", "images/paper-filtering.svg"])
def test_the_pages_in_the_repository_are_what_the_command_writes(pages, name):
    kept = REPORTS / name

    assert (pages / name).read_text("utf-8") == kept.read_text("utf-8")


def test_counts_must_fit_their_labels():
    with pytest.raises(ValueError, match="a count for each of 'labels'"):
        Annotations(study="", source="", labels=["a"], boxes={"1": [1, 2]}, complete=[])


@pytest.mark.parametrize(
    "text",
    [
        "results = 3",
        "results = 'x'\nout = 'y'\nodd = 1",
        "results = [",
        "results = 'x'\nout = 'y'\n" + ODD,
    ],
)
def test_a_malformed_file_exits_2(tmp_path, text):
    path = tmp_path / "paper.toml"
    path.write_text(text)

    assert main([str(path)]) == 2


def test_missing_scores_exit_2(tmp_path):
    path = tmp_path / "paper.toml"
    path.write_text("results = 'nowhere'\nout = 'out'\n")

    assert main([str(path)]) == 2
