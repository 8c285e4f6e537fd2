import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.audit import MARGIN, box_grades, same_boxes
from crowdqc.geometry import paired_iou
from crowdqc.review.queue import make_queue
from crowdqc.store import Store
from tests.commands import call
from tests.crowdqc.audit.audited import grade, listed, manifest, write_audited
from tests.studies import TABLE, write_boxes

KEY = ["case", "slice", "label", "object"]
EDGES = ["x0", "y0", "x1", "y1"]
SLICES, CASES = 30, [f"{k:02d}" for k in range(8)]
TRUE, ELSEWHERE = (5, 5, 25, 25), (18, 18, 38, 38)
HEADER = "decision,unit,case,slice,label,object,x0,y0,x1,y1,reviewer\n"
GRADED_HEADER = "decision,unit,case,slice,label,object,grade,x0,y0,x1,y1,reviewer\n"
edges = st.tuples(*[st.floats(0, 20) for _ in range(4)]).map(
    lambda box: (box[0], box[1], box[0] + box[2] + 1, box[1] + box[3] + 1)
)


def units(*boxes):
    frame = pd.DataFrame(boxes, columns=EDGES, dtype=float)
    return frame.assign(case="1", slice=range(len(boxes)), label="liver", object=0)


@given(edges, edges, edges, st.floats(0.1, 0.9))
def test_a_box_that_is_wrong_now_was_graded_as_wrong_unless_it_has_moved(then, now, true, below):
    decided = units(true).assign(real=True, conflict=False, reviewers="eva")
    bad = box_grades(units(then), decided, below=below)["bad"].iloc[0]
    same = same_boxes(units(then), units(now))[0]
    wrong_now = paired_iou(np.array([now]), np.array([true]))[0] < below
    assert bad or not same or not wrong_now


def test_nothing_and_conflicts_are_bad_and_what_was_not_decided_has_no_grade():
    table = units(TRUE, TRUE, TRUE, TRUE)
    decided = units(TRUE, TRUE, ELSEWHERE).assign(
        real=[True, False, True], conflict=[True, False, False], reviewers="eva"
    )
    assert box_grades(table, decided, below=0.5)["bad"].tolist() == [1, 1, 1]
    good = units(TRUE).assign(real=True, conflict=False, reviewers="eva")
    assert box_grades(table, good, below=0.5)[[*KEY, "bad"]].to_numpy().tolist() == [
        ["1", 0, "liver", 0, 0]
    ]


@pytest.mark.parametrize(("more", "bad"), [(0.0, 0), (MARGIN / 2, 0), (1.3 * MARGIN, 1)])
def test_a_grade_holds_for_the_box_that_was_shown(more, bad):
    nothing = units().assign(real=True, conflict=False, reviewers="")
    shown = units((5, 5, 25, 25 + 20 * more)).assign(grade="good", reviewers="eva")
    found = box_grades(units(TRUE), nothing, shown, below=0.5)
    assert found["bad"].tolist() == [bad]


def test_boxes_that_moved_or_are_new_are_not_the_same():
    near = (5, 5, 25, 25 + 20 * MARGIN / 2)
    now = units(TRUE, near, (5, 5, 25, 27), TRUE)
    assert same_boxes(units(TRUE, TRUE, TRUE), now).tolist() == [True, True, False, False]


def write_study(folder, *, bad=("02", "07")):
    """240 boxes of two raters, who drew those of slices 3 to 5 of some cases elsewhere."""
    rows = [
        (case, k, rater, "liver", x0 + more, y0, x1 + more, y1)
        for case in CASES
        for k in range(SLICES)
        for rater, more in (("ada", k % 2), ("bob", k % 3 / 2))
        for x0, y0, x1, y1 in [ELSEWHERE if is_bad(case, k, bad) else TRUE]
    ]
    return write_boxes(folder, rows, text=TABLE.replace('"small"', '"small"\nseed = 3'))


def is_bad(case, k, bad=("02", "07")):
    return case in bad and 3 <= k <= 5


def decide(folder, rows, *, nothing=False, by="eva"):
    path = folder / "decisions.csv"
    text = path.read_text("utf-8") if path.exists() else HEADER
    for row in rows.itertuples():
        box = ",,," if nothing else ",".join(map(str, TRUE))
        word = "nothing" if nothing else "draw"
        text += f"{word},box,{row.case},{row.slice},liver,{row.object},{box},{by}\n"
    path.write_text(text, "utf-8")


def decide_until_reached(folder, study):
    for rounds in range(20):
        result = call("audit", study, "--boxes")
        assert result.exit_code == 0, result.output
        if "That is what was wanted" in result.output:
            return rounds
        decide(folder, listed(folder))
    raise AssertionError(result.output)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    study = write_study(folder)
    begun = call("audit", study, "--boxes")
    rounds = decide_until_reached(folder, study)
    call("gate", study)
    return folder, study, begun, rounds


def test_boxes_are_audited_until_the_bound_is_reached_and_the_gate_certifies(audited):
    folder, _, begun, rounds = audited
    assert "Nothing is known yet of how many of 240 boxes are bad" in begun.output
    assert rounds >= 1
    table = pd.read_csv(folder / "out" / "audit.csv", dtype={"case": str})
    assert (table["unit"] == "box").all()
    assert table[EDGES].notna().all(axis=None)
    graded = table[table["graded"]]
    wrong = [is_bad(case, k) for case, k in zip(graded["case"], graded["slice"], strict=True)]
    assert graded["bad"].astype(bool).tolist() == wrong
    found = manifest(folder)["certificate"]
    assert (found["unit"], found["reached"], found["lapsed"]) == ("box", True, "")
    assert found["bad_share_high"] <= 0.05
    assert found["graders"] == ["eva"]
    assert set(found["hashes"]) == {"boxes", "audit.csv", "decisions.csv"}
    assert found["n_accepted"] == 240  # what was found bad was drawn anew
    assert found["n_bad_accepted"] == found["n_unknown"] == 0
    assert {part["part"] for part in found["parts"]} >= {"label"}


def test_the_queue_of_the_review_is_what_the_audit_asks_for(audited):
    store = Store.found(audited[0] / "out")
    tables = {name: store.read(name) for name in ("consensus", "audit")}
    queue = make_queue(tables, order="audit")
    assert (queue["unit"] == "box").all()
    assert (queue["object"] == 0).all()
    assert len(queue) == (tables["audit"]["role"] != "").sum()


def test_a_certificate_of_boxes_lapses_where_raters_draw_anew(audited, tmp_path):
    folder = shutil.copytree(audited[0], tmp_path / "copy")
    study, boxes = folder / "study.toml", folder / "boxes.csv"
    boxes.write_text("\n".join(boxes.read_text("utf-8").splitlines()[:-1]) + "\n", "utf-8")
    call("gate", study)
    found = manifest(folder)["certificate"]
    assert (found["lapsed"], found["bad_share_high"]) == ("changed", None)
    assert "boxes have changed" in call("audit", study, "--boxes").output


def test_boxes_of_nothing_are_taken_out(tmp_path):
    study = write_study(tmp_path, bad=())
    call("audit", study, "--boxes")
    some = listed(tmp_path)
    decide(tmp_path, some.iloc[:3], nothing=True)
    decide(tmp_path, some.iloc[3:])
    call("audit", study)  # goes on with what there is
    call("gate", study)
    found = manifest(tmp_path)["certificate"]
    assert found["n_bad"] == 3
    assert found["n_accepted"] == 237


def test_masks_and_boxes_are_audited_side_by_side(tmp_path):
    study = write_audited(tmp_path)
    call("audit", study)
    rows = {"mask": listed(tmp_path)}
    begun = call("audit", study, "--boxes", "--confidence", "0.98")
    assert begun.exit_code == 0, begun.output
    assert "audit of masks is under way, too" in begun.output
    assert "with confidence 0.93" in begun.output
    now = listed(tmp_path)
    rows["box"] = now[now["unit"] == "box"]
    pd.testing.assert_frame_equal(  # that of masks is as it was
        now.loc[now["unit"] == "mask", KEY].reset_index(drop=True), rows["mask"][KEY]
    )
    queue = make_queue({"audit": Store.found(tmp_path / "out").read("audit")}, order="audit")
    assert queue["unit"].value_counts().to_dict() == {unit: len(of) for unit, of in rows.items()}
    grade(tmp_path, rows["mask"])
    for row in rows["box"].itertuples():
        grade_box(tmp_path, row, "good")
    call("audit", study)  # goes on with the masks
    call("audit", study, "--boxes", "--confidence", "0.98")
    call("gate", study)
    masks, boxes = (manifest(tmp_path)[name] for name in ("certificate", "certificate_boxes"))
    assert (masks["unit"], boxes["unit"]) == ("mask", "box")
    assert (masks["confidence"], boxes["confidence"]) == (0.95, 0.98)
    assert masks["joint_confidence"] == boxes["joint_confidence"] == 0.93
    assert [masks["n_graded"], boxes["n_graded"]] == [len(rows["mask"]), len(rows["box"])]
    call("report", study, "--format", "md")
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "Bad masks left" in text
    assert "Bad boxes left" in text
    call("audit", study, "--boxes", "--restart")
    table = pd.read_csv(tmp_path / "out" / "audit.csv", dtype={"case": str})
    graded = table[table["graded"] & table["role"].notna()]
    assert graded.groupby("unit").size()["mask"] == len(rows["mask"])


def grade_box(folder, row, word, *, box=None, by="eva", decision="grade"):
    """A row of decisions.csv that grades a fused box; `box` is the one that was shown, or drawn."""
    path = folder / "decisions.csv"
    text = path.read_text("utf-8") if path.exists() else GRADED_HEADER
    names = text.splitlines()[0].split(",")
    values = {
        "decision": decision,
        "unit": "box",
        "case": row.case,
        "slice": row.slice,
        "label": row.label,
        "object": row.object,
        "grade": word,
        "reviewer": by,
        **dict(zip(EDGES, box or (), strict=False)),
    }
    path.write_text(text + ",".join(str(values.get(name, "")) for name in names) + "\n", "utf-8")


def test_a_fused_box_that_is_graded_stays_or_is_left_out(tmp_path):
    study = write_study(tmp_path, bad=())
    call("audit", study, "--boxes")
    good, bad, moved, *_ = listed(tmp_path).itertuples()
    grade_box(tmp_path, good, "usable", box=(good.x0, good.y0, good.x1, good.y1))
    grade_box(tmp_path, bad, "bad")
    grade_box(tmp_path, moved, "good", box=(moved.x0 + 2, moved.y0, moved.x1 + 2, moved.y1))
    call("audit", study)
    table = pd.read_csv(tmp_path / "out" / "audit.csv", dtype={"case": str}).set_index(KEY)
    graded = [table.loc[tuple(row[name] for name in KEY), "bad"] for row in as_dicts(good, bad)]
    assert graded == [0, 1]
    assert table.loc[tuple(as_dicts(moved)[0][name] for name in KEY), "bad"] == 1  # another box
    call("gate", study)
    found = manifest(tmp_path)
    assert [(one["case"], one["slice"]) for one in found["units"]["box"]] == [(bad.case, bad.slice)]
    assert found["certificate"]["n_accepted"] == 239
    kept = {(one["case"], one["slice"]) for one in found["prompts"]}
    assert (bad.case, bad.slice) not in kept
    assert (good.case, good.slice) in kept
    grade_box(tmp_path, bad, "", box=TRUE, decision="draw")  # an expert's own takes its place
    call("gate", study)
    assert manifest(tmp_path)["certificate"]["n_accepted"] == 240


def as_dicts(*rows):
    return [row._asdict() for row in rows]


def test_grades_of_boxes_lead_to_a_certificate(tmp_path):
    study = write_study(tmp_path)
    for _ in range(20):
        result = call("audit", study, "--boxes")
        if "That is what was wanted" in result.output:
            break
        for row in listed(tmp_path).itertuples():
            grade_box(tmp_path, row, "bad" if is_bad(row.case, row.slice) else "good")
    call("gate", study)
    found = manifest(tmp_path)["certificate"]
    assert found["reached"]
    assert found["n_accepted"] == 240 - found["n_bad"]  # nobody drew them anew
    assert found["graders"] == ["eva"]


@pytest.mark.parametrize(
    ("grades", "drawn", "bad"),
    [
        (["good"], None, 0),
        (["usable"], None, 0),
        (["bad"], None, 1),
        (["good"], ELSEWHERE, 1),  # the worse counts
        (["bad"], TRUE, 1),
        (["good"], TRUE, 0),
    ],
)
def test_what_is_said_of_a_box_adds_up_to_the_worst(grades, drawn, bad):
    table = units(TRUE)
    decided = units(*([drawn] if drawn else [])).assign(real=True, conflict=False, reviewers="eva")
    said = units(*[(np.nan,) * 4] * len(grades)).assign(grade=grades, reviewers="bob")
    found = box_grades(table, decided, said, below=0.5)
    assert found["bad"].tolist() == [bad]
    assert found["reviewers"].tolist() == ["eva, bob" if drawn else "bob"]
