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


def test_every_number_that_the_authors_printed_comes_out(ours):
    paper = read_paper(PAPER)

    table = judge(ours, paper.published)

    assert len(table) == 39
    assert list(table.loc[~table["match"], "row"]) == []


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

    counted, complete, others = check_annotations(annotated, BTCV)

    assert (counted.verdict, counted.found) == ("holds", "75 of 75 counts are the same.")
    assert "1 (0002) has no empty slice inside an organ, the others 153" in complete.found
    assert "The least is spleen of 0029: 1 box." in complete.found
    assert others.found.startswith("Prompts of 23 volumes were released; 8 of them")


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
    assert page.count("**match**") == html.count(">match<") == 39
    assert "MISMATCH" not in page + html
    assert page.count("| in part |") == 4
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
