"""The 15 items of GRRAS: what results say, and what only the study file can."""

import pandas as pd
import pytest

from crowdqc.config import Publication
from crowdqc.findings import Finding
from crowdqc.report.grras import grras_table
from crowdqc.report.results import Results, StageFinding


def results(findings=(), **said):
    readings = pd.DataFrame(
        [("a", k, rater, "", "boxed", "", 1.0) for k in range(3) for rater in "xyz"[: k + 1]],
        columns=["case", "slice", "rater", "labels", "state", "time", "seconds"],
    )
    images = pd.DataFrame({"case": ["a"] * 3, "slice": range(3)})
    return Results(
        study="s",
        labels=("liver", "spleen"),
        tables={"readings": readings, "images": images},
        findings=tuple(StageFinding("agree", finding) for finding in findings),
        manifest={},
        stages=(),
        files=(),
        version="0",
        publication=Publication(**said),
    )


def test_results_and_study_file_answer_the_items():
    table = grras_table(results(platform="OpenLabeling", demographics="Students"))

    texts = {number: text for number, _, text in table.rows}
    assert list(texts) == list(range(1, 16))
    assert texts[2] == "Boxes of liver, spleen, drawn in OpenLabeling"
    assert texts[4] == texts[12] == "Students"
    assert texts[6].startswith("3 raters, 1 case, 3 slices. Missing: [publication]")
    assert "read by 1 to 3 raters (median 2)" in texts[11]


@pytest.mark.parametrize("key", ["subjects", "demographics", "sampling", "sample_size", "protocol"])
def test_what_only_people_know_is_asked_for_by_its_key(key):
    empty = [text for _, _, text in grras_table(results()).rows]
    filled = [text for _, _, text in grras_table(results(**{key: "as written"})).rows]

    asked = f"Missing: [publication] {key} in the study file."
    assert any(asked in text for text in empty)
    assert not any(asked in text for text in filled)
    assert any("as written" in text for text in filled)


def test_raters_who_copy_are_named_where_independence_is_asked():
    copied = Finding(check="boxes-copied", message="m", rater="y")
    text = grras_table(results([copied])).rows[8][2]
    assert text.startswith("Not all: y draw")
    assert "No sign of copying" in grras_table(results()).rows[8][2]
