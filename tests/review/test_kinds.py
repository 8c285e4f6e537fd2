"""The page for other kinds of studies: photographs, lesions; 1280 x 720 px and keys only."""

import itertools

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.commands import call
from tests.niftis import save
from tests.review.conftest import IMAGES, press
from tests.review.test_page import saved, text
from tests.studies import TABLE, write_boxes

THINGS = [(20, 20, 60, 70), (80, 30, 120, 60), (30, 90, 50, 110)]
FEW = (100, 90, 130, 110)
"""What only one of four raters draws."""


def several(label):
    return TABLE.replace('name = "liver"', f'name = "{label}", single = false')


def rows(label, places, rng):
    return [
        (case, k, rater, label, *np.round(thing + rng.normal(0, 1, 4), 1))
        for (case, k), rater in itertools.product(places, "abcd")
        for thing in (*THINGS, *([FEW] if rater == "d" else []))
    ]


def photographs(folder):
    """Two photographs in colour, three things on each that all draw, and one that one draws."""
    rng = np.random.default_rng(0)
    for case in ("p1", "p2"):
        pixels = rng.integers(90, 160, (120, 160, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{case}.png")
    table = several("thing") + '[images]\npath = "{case}.png"\n'
    return write_boxes(folder, rows("thing", [("p1", 0), ("p2", 0)], rng), text=table)


def lesions(folder):
    """A volume of six slices; three lesions on each that all draw, and one that one draws."""
    rng = np.random.default_rng(1)
    volume = np.full((120, 160, 6), 40.0)
    for x0, y0, x1, y1 in (*THINGS, FEW):
        volume[y0:y1, x0:x1] = 160
    save(folder / "1.nii.gz", volume)
    table = several("lesion") + IMAGES
    return write_boxes(folder, rows("lesion", [("1", k) for k in range(6)], rng), text=table)


@pytest.fixture
def small(page):
    """A page of 1280 x 720 px."""
    size = {"width": 1280, "height": 720, "deviceScaleFactor": 1, "mobile": False}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    return page


def outside(page):
    """Names of what cannot be seen whole without scrolling the page."""
    return page.run(
        "[...document.querySelectorAll('#actions button, header, #slice')].filter((e) => {"
        "const r = e.getBoundingClientRect();"
        "return r.bottom > innerHeight + 1 || r.right > innerWidth + 1; }).map((e) => e.id)"
    )


def used_of(study, label, n_places):
    """Number of fused boxes that are used at each place, after fusing again."""
    assert call("fuse", study, "-q").exit_code == 0
    consensus = pd.read_csv(study.parent / "out" / "consensus.csv", dtype={"case": str})
    used = consensus[(consensus["state"] == "agreed") & (consensus["label"] == label)]
    assert len(used.groupby(["case", "slice"])) == n_places
    return used.groupby(["case", "slice"]).size()


def test_photographs_are_decided_on_with_keys_only(small, reviewed, tmp_path):
    study = photographs(tmp_path)
    site = reviewed(study, order="single")
    first = site.session.item(0)

    assert outside(small) == []
    assert text(small, "where") == "slice 0 of 0 to 0"
    assert small.run("document.getElementById('planes').hidden")
    assert small.run("document.querySelector('#scroll button').hidden")
    press(small, "n", 1)
    press(small, "r", 2)
    table = saved(small, site, 2)

    assert first["picture"]
    assert table["decision"].tolist() == ["nothing", "real"]
    assert table["object"].notna().all()
    assert small.logged == []
    counts = used_of(study, "thing", 2)
    assert sorted(counts) == [3, 4]  # of two lone boxes one is nothing, the other is real


def test_one_of_several_lesions_is_decided_on(small, reviewed, tmp_path):
    study = lesions(tmp_path)
    site = reviewed(study, order="single")
    item = site.session.item(0)

    assert outside(small) == []
    assert not small.run("document.getElementById('planes').hidden")
    assert "1 of 4 raters" in text(small, "why")
    small.type("ArrowDown")
    small.until("document.getElementById('where').textContent.includes('asked about is')")
    small.type("Home")
    small.until("document.getElementById('where').textContent.includes(' of 0 to 5')")
    small.type("e")
    small.type("ArrowRight", modifiers=8)
    small.type("Enter")
    row = saved(small, site, 1).iloc[0]

    assert (row["decision"], row["slice"], row["object"]) == ("draw", item["slice"], item["object"])
    assert row["x1"] == pytest.approx(item["box"][2] + 1, abs=0.02)
    assert row["x0"] == pytest.approx(item["box"][0], abs=0.02)
    assert small.logged == []
    counts = used_of(study, "lesion", 6)
    assert counts.xs(item["slice"], level="slice").tolist() == [4]
    assert sorted(counts) == [3, 3, 3, 3, 3, 4]


def test_everything_can_be_reached_with_tab(small, reviewed, tmp_path):
    reviewed(photographs(tmp_path))

    reached = set()
    for _ in range(60):
        small.press("Tab")
        reached.add(small.run("document.activeElement.dataset.do || document.activeElement.id"))

    assert {"slice", "help", "accept", "nothing", "real", "edit", "skip", "undo"} <= reached
