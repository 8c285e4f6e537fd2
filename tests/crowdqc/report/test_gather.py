"""What a report says, for whatever stages have been run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdqc.config import load_config
from crowdqc.findings import Finding, InputError, Severity
from crowdqc.report import gather, render
from crowdqc.report.content import Interval, Link, Table, TableColumn
from crowdqc.schema import TABLES
from crowdqc.store import Store

from .results_folder import Spec, because, write_results

COMMANDS = {
    "raters": "agree",
    "pairs": "agree",
    "agreement": "agree",
    "completeness": "complete",
    "fusion": "fuse",
    "gate": "gate",
    "masks": "masks",
    "effect": "evaluate",
    "findings": "check",
}


def test_without_results_every_section_names_its_command(folder: Path):
    content = gather(Store(folder, "nothing"))

    assert {s.key: s.missing for s in content.sections if s.missing} == COMMANDS
    assert content.headline == "Not judged yet"
    assert [step.what for step in content.steps] == ["Run crowdqc run"]
    assert "Not done yet: Read and validate the annotations; Measure" in content.steps[0].why
    assert "Not judged yet" in render(content)


@pytest.mark.parametrize("left_out", ["agree", "fuse", "complete", "gate", "masks", "compare"])
def test_any_stage_may_be_absent(folder: Path, left_out: str):
    spec = Spec(n_cases=2)
    store = write_results(folder, replace(spec, stages=tuple(set(spec.stages) - {left_out})))

    page = render(gather(store), charts=False)

    assert "</html>" in page


def test_what_blocks_comes_first(store: Store):
    steps = gather(store).steps

    assert [step.section for step in steps[:3]] == ["findings", "raters", "completeness"]
    assert steps[0].what == "Correct 17 faults in the annotation files"
    assert steps[1].what == "Train careless and skipping again, or invite others"
    assert steps[2].what == "Have 1 missing organ drawn in 0001"
    assert [step.status for step in steps] == sorted(step.status for step in steps)


def test_the_verdict_is_the_gates(store: Store):
    content = gather(store)

    assert (content.verdict, content.headline) == ("reject", "Rejected: not ready for training")
    assert content.lead == "2 of 5 raters and 5 of 6 cases are accepted."


def test_raters_who_need_attention_come_first(store: Store):
    section = gather(store).section("raters")

    assert [row[0].text for row in section.tables[0].rows] == [
        "careless",
        "skipping",
        "shifted",
        *sorted(["amy", "ben"], key=lambda r: _agreement(store, r)),
    ]
    assert section.lead[0] == "2 of 5 raters are accepted."


def _agreement(store: Store, rater: str) -> float:
    table = store.read("raters").set_index("rater")
    return float(table.loc[rater, "agreement"])


def test_raters_who_never_met_are_not_called_bad(folder: Path):
    store = write_results(folder, Spec(n_cases=2))
    raters = store.read("raters")
    unknown = ["agreement", "agreement_low", "agreement_high", "shift_x", "shift_y", "size_ratio"]
    raters[unknown] = np.nan
    store.write("raters", raters.assign(reasons=because("no slice was read by two raters")))

    content = gather(store)

    assert "raters could not be compared with one another" in content.lead
    assert content.section("raters").lead == (
        "No rater can be compared with another: no slice was read by two raters.",
    )
    assert "No rater can be compared" in render(content, charts=False)


def test_bias_is_drawn_to_one_scale(store: Store):
    cards = {card.rater: card for card in gather(store).section("raters").view.cards}
    shifted, other = cards["shifted"].drawing, cards["amy"].drawing

    assert shifted.times == other.times
    assert (shifted.x, shifted.width) == pytest.approx((80 + 20, 80))
    assert shifted.y == pytest.approx(30 + 20 * 2.5 / 5.04)
    assert "5.0 px to the right, 2.5 px down" in cards["shifted"].sentences[0]


def test_an_arrow_for_each_edge_that_goes_elsewhere(store: Store):
    cards = {card.rater: card for card in gather(store).section("raters").view.cards}

    assert cards["amy"].drawing.arrows == ""
    assert cards["careless"].drawing.arrows.count("M") == 2  # left and right edge, outwards
    assert cards["shifted"].drawing.arrows.count("M") == 4
    assert cards["shifted"].edges == (
        "Left edge 5.0 px to the right, upper edge 2.5 px down, right edge 5.0 px to the right, "
        "lower edge 2.5 px down."
    )


def test_scorecards_show_what_lies_behind_the_schema(store: Store):
    content = gather(store)
    table = next(t for t in content.section("raters").tables if t.name == "raters_further")
    rows = {row["rater"]: row for row in table.records()}
    card = next(c for c in content.section("raters").view.cards if c.rater == "careless")

    assert rows["careless"]["faults"] == "drifts, scatters"
    assert rows["careless"]["drift"] == pytest.approx(-0.12)
    assert rows["careless"]["adjusted_low"] == pytest.approx(0.57)
    assert rows["careless"]["gold_f1"] == pytest.approx(0.61)
    assert rows["amy"]["gold_f1"] is None
    assert "gold_iou" not in rows["amy"]  # nobody has it: no column
    assert card.faults == ("drifts", "scatters")
    assert "Boxes get worse on the way: IoU 0.12 from first to last." in card.sentences


def test_scorecards_without_further_columns_have_one_table(folder: Path):
    store = write_results(folder, Spec(stages=("check", "agree")))
    table = store.read("raters").assign(faults="")
    known = [column.name for column in TABLES["raters"] if not column.extra]
    store.write("raters", table[known].drop(columns="faults"))

    section = gather(store).section("raters")

    assert [t.name for t in section.tables] == ["raters", "raters_further"]
    assert [c.name for c in section.tables[1].columns] == ["rater", "reliability", "weight"]


def test_the_work_list_is_in_the_report(store: Store):
    tables = {t.name: t for t in gather(store).section("completeness").tables}
    table = tables["todo"]
    first = next(table.records())
    asked = [record["n_tasks"] for record in tables["todo_by_rater"].records()]

    assert sum(asked) == len(table.rows)
    assert asked == sorted(asked, reverse=True)
    assert len(table.rows) == len(store.read("todo"))
    assert table.choose == "rater"
    assert (first["task"], first["slices"], first["n_slices"]) == ("draw", "7, 9\u201311", 4)
    assert first["why"] == "no box, though the organ goes on; much shorter than usual"


def test_masks_whose_licence_is_not_allowed_any_more_are_said_not_to_be_used(folder: Path):
    store = write_results(folder, Spec(n_cases=2))
    store.write("masks", store.read("masks").assign(licence="CC-BY-SA-4.0"))
    file = folder / "study.toml"
    study = '[study]\nname = "trial"\n[labels]\n0 = { name = "liver", value = 1 }\n'

    def said(masks: str) -> str:
        file.write_text(
            f'{study}[annotations]\nformat = "yolo"\npath = "{{rater}}/{{case}}"\n{masks}'
        )
        return " ".join(gather(store, load_config(file)).section("masks").lead)

    assert "does not allow CC-BY-SA-4.0 ([masks] allow_licences)" in said("")
    assert "does not allow" not in said('[masks]\nallow_licences = ["CC-BY-SA-4.0"]\n')


def test_trained_models_are_compared_beside_masks(folder: Path):
    spec = Spec(stages=(*Spec().stages, "train"))
    section = gather(write_results(folder, spec)).section("effect")

    assert [pair.key for pair in section.view] == ["effect", "effect_models"]
    names = ["comparison", "scores", "model_comparison", "model_scores"]
    assert [table.name for table in section.tables] == names
    assert any("Of the trained models, filtered scores" in text for text in section.lead)


def test_a_difference_that_could_not_be_seen_says_so(folder: Path):
    store = write_results(folder, Spec())
    table = store.read("comparison").assign(p=0.4, detectable=0.05)
    store.write("comparison", table)

    said = " ".join(gather(store).section("effect").lead)

    assert "A difference below 0.050 would probably not have been seen" in said


def test_cases_and_their_chart_show_one_measure(store: Store):
    section = gather(store).section("agreement")
    table = next(t for t in section.tables if t.name == "agreement_by_case")

    assert table.columns[2].title == section.view.title


def test_absolute_paths_are_taken_out(folder: Path):
    store = write_results(folder, Spec(n_cases=2, stages=("check",)))
    messages = [
        f"{folder}/boxes.csv: is damaged.",
        "/home/jane.doe/study/img1.txt: is empty.",
        r"C:\Users\jane\img1.txt: is empty.",
        "../../../home/jane.doe/img.txt is empty; ratio in mm/px",
    ]
    found = [Finding(check="c", severity=Severity.REVIEW, message=text) for text in messages]
    store.write_findings("check", found)

    content = gather(store)
    said = [row[2] for row in content.section("findings").tables[0].rows]

    assert said == [
        "boxes.csv: is damaged.",
        "…/img1.txt: is empty.",
        "…/img1.txt: is empty.",
        "…/img.txt is empty; ratio in mm/px",
    ]
    page = render(content)
    assert str(folder) not in page
    assert "jane" not in page


def test_a_damaged_manifest_is_refused(folder: Path):
    store = write_results(folder, Spec(n_cases=2, stages=("check",)))
    store.write_text("manifest.json", "{")

    with pytest.raises(InputError, match=r"manifest\.json is not JSON .* Run the stage"):
        gather(store)


def test_the_matrix_has_a_cell_for_each_case_and_organ(store: Store):
    view = gather(store).section("completeness").view

    assert len(view.rows) == 6
    assert {len(row.cells) for row in view.rows} == {5}
    spleen = next(c for c in view.rows[0].cells if c.label == "spleen")
    assert (spleen.state, spleen.word) == ("missing", "missing")
    assert spleen.strip.paths["drawn"] == ""
    assert spleen.strip.paths["missing"].count("M") == 5


def test_every_gap_is_told(store: Store):
    table = store.read("completeness")
    view = gather(store).section("completeness").view
    drawn = sum(c.strip.paths["gaps"].count("M") for row in view.rows for c in row.cells)
    runs = sum(
        1
        for text in table["gap_slices"]
        for k in set(map(int, text.split()))
        if k - 1 not in set(map(int, text.split()))
    )

    assert drawn == runs > 0


def test_pair_matrix_is_symmetric(store: Store):
    (matrix,) = gather(store).section("pairs").view
    values = np.array(matrix.values)

    assert np.isnan(np.diag(values)).all()
    np.testing.assert_array_equal(values, values.T)
    pairs = store.read("measurements").query("measure == 'pair_iou'")
    assert np.nansum(values) == pytest.approx(2 * pairs["value"].sum())


def test_no_consensus_is_listed(folder: Path):
    store = write_results(folder, Spec(n_cases=2))
    consensus = store.read("consensus")
    consensus.loc[:2, "state"] = "no_consensus"
    store.write("consensus", consensus)

    section = gather(store).section("fusion")

    assert section.status == "review"
    assert [len(t.rows) for t in section.tables if t.name == "no_consensus"] == [3]


def test_a_comparison_that_could_not_be_tested_says_why(folder: Path):
    store = write_results(folder, Spec(n_cases=2))
    comparison = store.read("comparison").assign(p=np.nan, why="fewer than 6 pairs")
    store.write("comparison", comparison)

    assert gather(store).section("effect").lead[1] == (
        "Wilcoxon gives no p value: fewer than 6 pairs."
    )


def test_tables_become_flat_records():
    columns = (
        TableColumn("rater", "Rater"),
        TableColumn("iou", "IoU", "interval"),
        TableColumn("n", "n"),
    )
    rows = ((Link("amy", "rater-1"), Interval(0.5, 0.4, float("nan")), 3),)

    (record,) = Table("t", "T", columns, rows).records()

    assert record == {"rater": "amy", "iou": 0.5, "iou_low": 0.4, "iou_high": None, "n": 3}
    assert json.dumps(record)


def test_a_stage_that_one_side_lacks_is_no_difference(store: Store, tmp_path: Path):
    stages = ("check", "agree", "fuse")
    other = write_results(tmp_path / "out", Spec(stages=stages))

    tables = gather(store, other=other).section("side_by_side").tables
    counts = {row["what"]: row for row in tables[0].records()}

    assert counts["Boxes"]["difference"] == 0
    assert counts["Masks"]["this"] > 0
    assert counts["Masks"]["other"] is counts["Masks"]["difference"] is None
    assert counts["Slices in gaps"]["other"] is None


def test_an_absent_organ_is_nothing_to_do(folder: Path):
    store = write_results(folder, Spec(n_cases=2))
    table = store.read("completeness")
    gone = (table["case"] == "0001") & (table["label"] == "spleen")
    nothing = {"first": np.nan, "last": np.nan, "n_gaps": 0, "gap_slices": "", "truncated": ""}
    absent = table[gone].assign(state="absent", **nothing)
    store.write("completeness", pd.concat([table[~gone], absent]))

    content = gather(store)
    section = content.section("completeness")
    row = next(row for row in section.view.rows if row.case == "0001")
    cell = next(cell for cell in row.cells if cell.label == "spleen")

    assert (cell.state, cell.word) == ("absent", "absent")
    assert cell.strip.paths["absent"].count("M") == len(row.raters) == 5
    assert cell.strip.paths["missing"] == ""
    assert "5 runs were read and found to hold no such organ." in section.lead
    listed = next(t for t in section.tables if t.name == "completeness")
    assert [c.kind for c in listed.columns if c.name == "reasons"] == ["text"]
    assert all(record["state"] != "absent" for record in listed.records())
    assert not any("missing organ" in step.what for step in content.steps)


def test_lanes_have_the_names_of_their_raters(store: Store):
    page = render(gather(store), charts=False)
    row = gather(store).section("completeness").view.rows[0]

    assert row.raters == ("amy", "ben", "careless", "shifted", "skipping")
    names = "".join(f'<li title="{rater}">{rater}</li>' for rater in row.raters)
    assert page.count(names) == 6
