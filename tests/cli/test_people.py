"""Verdicts on people, from a table of boxes to the gate, its reasons and the report."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from crowdqc.schema import BOX
from tests.commands import call
from tests.studies import COLUMNS, TABLE, write_boxes

THINGS = TABLE.replace("value = 1 }", "value = 1, single = false }")


def drawn(*, scales, n=40, sees=(), seed=0):
    """One thing on each of `n` pictures by raters of these scales; `sees`, who draws another."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        for r, scale in enumerate(scales):
            x, y = 100 + rng.normal(0, 0.8, 2)
            half = 30 * scale + rng.normal(0, 0.6, 2)
            rows.append(
                (
                    f"c{k:02d}",
                    0,
                    f"r{r}",
                    "liver",
                    x - half[0],
                    y - half[1],
                    x + half[0],
                    y + half[1],
                )
            )
            if f"r{r}" in sees:
                low = rng.uniform(160, 220, 2)
                rows.append((f"c{k:02d}", 0, f"r{r}", "liver", *low, *(low + 15)))
    return rows


def judged(folder, rows, text=TABLE):
    study = write_boxes(folder, rows, text)
    result = call("gate", study, "-q")
    assert result.exit_code == 0, result.stderr
    manifest = json.loads((folder / "out" / "manifest.json").read_text(encoding="utf-8"))
    return study, manifest, pd.read_csv(folder / "out" / "raters.csv").set_index("rater")


def test_who_draws_what_others_do_not_is_to_be_looked_at_with_five_places(tmp_path):
    study, manifest, raters = judged(tmp_path, drawn(scales=[1] * 5, sees=["r0"]), THINGS)

    verdicts = {one["rater"]: one["verdict"] for one in manifest["raters"]}
    assert verdicts == {"r0": "review", **dict.fromkeys(["r1", "r2", "r3", "r4"], "accept")}
    assert json.loads(raters.loc["r0", "faults"]) == ["rater-adds"]
    told = call("gate", study, "--explain", "rater:r0", "--format", "json", "-q").stdout
    (why,) = [row["because"] for row in json.loads(told) if row["asked"] == "rater-adds"]
    assert "either careful or inventing" in why
    places = re.findall(r"case c\d\d, slice 0, liver", why)
    assert len(set(places)) == 5
    assert call("report", study, "-q").exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(place in page for place in places)


@pytest.mark.parametrize("n", [3, 19])
def test_nobody_is_rejected_on_fewer_than_twenty_comparisons(tmp_path, n):
    rows = pd.DataFrame(drawn(scales=[1] * 4, n=n), columns=COLUMNS)
    bad = rows["rater"] == "r3"
    rows.loc[bad, BOX] = rows.loc[bad, BOX] + 150
    _, manifest, raters = judged(tmp_path, rows)

    assert raters.loc["r3", "n_compared"] < 40
    assert {one["verdict"] for one in manifest["raters"]} <= {"accept", "review"}


def test_two_conventions_are_no_fault_of_anybody_and_the_study_is_to_be_looked_at(tmp_path):
    _, manifest, raters = judged(tmp_path, drawn(scales=[0.93] * 3 + [1.07] * 3))

    assert set(raters["verdict"]) == {"accept"}
    assert manifest["verdict"] == "review"
    assert [reason["measure"] for reason in manifest["reasons"]] == ["conventions-differ"]
    (text,) = [reason["because"] for reason in manifest["reasons"]]
    assert "r0, r1, r2 are tight, those of r3, r4, r5 are loose" in text
