"""What README and the reports claim, against the result files in reports/data."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
DATA = ROOT / "reports" / "data"
SECTION = "What it showed so far"


@pytest.fixture(scope="module")
def benchmark():
    """A module of the folder benchmarks, which is no package."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "benchmarks"))


def claims():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    return " ".join(re.sub(r"\]\([^)]*\)", "]", section).split())


def printed(pattern):
    """Numbers of the groups of a pattern in README's claims, as they are printed."""
    found = re.search(pattern, claims())
    assert found, f"README no longer says: {pattern}"
    return [text.replace(",", "") for text in found.groups()]


def as_printed(text, value):
    """A value with as many digits, and the sign, of a printed number."""
    digits = len(text.partition(".")[2])
    return f"{value:{'+' if text[0] in '+-' else ''}.{digits}f}"


def check(pattern, *values):
    texts = printed(pattern)
    assert texts == [as_printed(text, value) for text, value in zip(texts, values, strict=True)]


@pytest.mark.parametrize("name", ["hippocampus", "bu_bil", "adapt"])
def test_a_page_says_what_its_result_files_hold(benchmark, name):
    page = benchmark(f"{name}_report").page(DATA)

    assert (ROOT / "reports" / f"{name}.md").read_text(encoding="utf-8") == page


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 30), st.floats(-1, 1))
def test_an_interval_over_draws_and_cases_moves_with_its_values(seed, draws, cases, by):
    sys.path.insert(0, str(ROOT / "benchmarks"))
    crossed_interval = importlib.import_module("draws").crossed_interval
    values = np.random.default_rng(seed).normal(size=(draws, cases))

    mean, low, high = crossed_interval(values)

    assert low < mean < high
    assert crossed_interval(values + by) == pytest.approx((mean + by, low + by, high + by))
    assert crossed_interval(-values) == pytest.approx((-mean, -high, -low))
    one = crossed_interval(values[:1])
    assert one[0] == pytest.approx(values[0].mean())


def test_a_unit_of_work_is_done_once_and_appears_whole(benchmark, tmp_path):
    draws = benchmark("draws")
    frame = pd.DataFrame({"case": ["01"], "dice": [0.5]})
    calls = []

    def make():
        calls.append(1)
        return frame

    first = draws.Units(tmp_path).get("part/unit", make)
    again = draws.Units(tmp_path).get("part/unit", make)

    assert calls == [1]
    assert first.equals(frame)
    assert again.equals(frame)
    with pytest.raises(draws.OutOfTimeError):
        draws.Units(tmp_path, minutes=0).get("part/other", make)
    assert [path.name for path in (tmp_path / "part").iterdir()] == ["unit.csv"]


NUMBER = r"([+-]?[\d.,]*\d)"
INTERVAL = rf"{NUMBER} \({NUMBER} to {NUMBER}\)"


def test_readme_says_of_the_crowd_study_what_was_measured():
    found = pd.read_csv(DATA / "btcv.csv").set_index("number")["value"]

    check(
        rf"of the {NUMBER} volumes used as fully annotated, one has no empty slice inside an "
        rf"organ; {NUMBER} slices to draw again",
        found["volumes_complete"],
        found["gap_slices"],
    )
    assert found["volumes_without_gap"] == 1
    names = ["coverage_dice_r", "coverage_dice_r_low", "coverage_dice_r_high", "runs"]
    check(rf"r = {NUMBER}, 95 % interval {NUMBER} to {NUMBER}, {NUMBER} runs", *found[names])
    names = ["sam_auc", "sam_bad", "sam_masks", "sam_bad_in_two_cases", "medsam_auc"]
    check(
        rf"area under the ROC curve {NUMBER} for SAM's \({NUMBER} bad of {NUMBER}, {NUMBER} of "
        rf"them in two cases\); {NUMBER} for MedSAM's",
        *found[names],
    )


def test_readme_says_of_filtering_what_was_measured(benchmark):
    page, interval = benchmark("hippocampus_report"), benchmark("draws").crossed_interval
    masks, networks = (
        page.read_unit(DATA / "hippocampus_masks.csv"),
        page.read_networks(DATA / "hippocampus_networks.csv"),
    )
    nnunet = page.read_networks(DATA / "hippocampus_nnunet.csv")
    dose, (main, second) = page.MAIN[0], list(page.CONTRASTS)[:2]
    of = {name: page.mask_matrix(masks, dose, f"dice_{name}") for name in ("edges", "mean")}

    assert dose == ("noticed", 2, 2)
    fused = interval(of["edges"] - of["mean"])
    check(rf"all boxes by {NUMBER} Dice \(95 % interval {NUMBER} to {NUMBER}\)", *fused)
    gate = interval(page.gate_change(masks, dose, "edges"))
    trained = page.contrast(networks, dose, main)
    check(
        rf"nnU-Net trained on them: {NUMBER} \({NUMBER} to {NUMBER};",
        *page.contrast(nnunet, dose, second),
    )
    check(
        rf"on top: {INTERVAL} for masks, {INTERVAL} for nnU-Net, {INTERVAL} for a small",
        *(*gate, *page.contrast(nnunet, dose, main), *trained),
    )


def test_readme_says_of_a_real_crowd_what_was_measured(benchmark):
    page, photographs = benchmark("bu_bil_report"), benchmark("photographs")
    masks, labels = (page.read(DATA / f"bu_bil_{name}.csv") for name in ("masks", "photographs"))
    three = masks[(masks["workers"] == 3) & masks["edges"].notna()]

    def change(raters, title):
        a, b = photographs.SIDES[title]
        of = labels[labels["raters"] == raters]
        found = photographs.f1(of, a) - photographs.f1(of, b)
        return found[0], *np.quantile(found[1:], [0.025, 0.975])

    outlines, boxes = three["majority"].mean(), three["edges"].mean()
    bad = 100 * (three["edges"] < page.BAD).mean()
    check(
        rf"a Dice of {NUMBER} to gold, the embedded model of single slices on their boxes {NUMBER}"
        rf" \({NUMBER} %",
        *(outlines, boxes, bad),
    )
    held = 100 * (three["kept"] == 0).mean()
    check(rf"gate withholds {NUMBER} %", held)
    check(rf"under the ROC curve of {NUMBER}\.", page.roc_area(three))
    of = page.read(DATA / "bu_bil_nnunet.csv").groupby("arm")["dice"].mean()
    check(
        rf"nnU-Net \(five folds, one training\) reaches {NUMBER} .*, {NUMBER} on the majority "
        rf"of their outlines, {NUMBER} on gold",
        *(of["edges"], of["majority"], of["gold"]),
    )
    fused = [change(n, "default - median, gate off") for n in (9, 3)]
    gate = change(9, "default, gate on - off")
    check(
        rf"F1 at IoU 0.5: {INTERVAL} with all raters \(about nine\), {INTERVAL} with three; .* "
        rf"\({NUMBER} \({NUMBER} to {NUMBER}\) with nine\)",
        *(*fused[0], *fused[1], *gate),
    )


def test_every_measured_number_of_readme_is_compared():
    """What is left once the numbers above are taken out counts people, images and files."""
    left = re.findall(r"\d\.\d+", claims())

    assert len(left) == 38
