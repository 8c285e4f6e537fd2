import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.completeness import Orientation, Settings, assess, todo
from crowdqc.completeness.assess import FAR
from crowdqc.completeness.expected import expected_by_raters
from crowdqc.completeness.runs import find_runs
from crowdqc.config import load_config
from crowdqc.findings import Severity
from crowdqc.formats import read_study
from crowdqc.stages.images import known_images
from tests.crowdqc.completeness.organs import LABELS, PLACES, at, drawn, organ, study

RATERS = ("r0", "r1", "r2")


def checks(findings):
    return {finding.check for finding in findings if finding.severity is not Severity.NOTE}


def run(table, case="0002", label="left_kidney", rater="r0"):
    return next(table[at(table, case, label, rater)].itertuples())


@pytest.mark.parametrize("raters", [("r0",), RATERS])
def test_a_complete_study_has_no_findings(raters):
    table, findings = assess(study(drawn(raters=raters)))

    assert findings == []
    assert len(table) == 5 * len(LABELS) * len(raters)
    assert set(table["state"]) == {"complete"}
    assert (table["faults"] == "").all()


def lose_slices(boxes):
    """Slices 30 to 32 of one organ."""
    return boxes[~(at(boxes) & boxes["slice"].between(30, 32))]


def lose_a_slice_of_all(boxes):
    """Slice 45 of case 0002, on which liver, spleen and left kidney lie."""
    return boxes[~((boxes["case"] == "0002") & (boxes["slice"] == 45))]


def end_at_full_size(boxes):
    return boxes[~(at(boxes) & (boxes["slice"] > 40))]


def end_together(boxes):
    """Everything above slice 44 of a case, where all four organs go on."""
    return boxes[~((boxes["case"] == "0002") & (boxes["slice"] > 44))]


def keep_one_slice(boxes):
    return boxes[~at(boxes) | (boxes["slice"] == 38)]


def drop_an_organ(boxes):
    return boxes[~at(boxes)]


def draw_twice(boxes):
    again = boxes[at(boxes) & boxes["slice"].between(38, 39)]
    corners = ["x0", "y0", "x1", "y1"]
    return pd.concat([boxes, again.assign(**{c: again[c] + 3 for c in corners})])


def jump(boxes):
    stray = at(boxes) & (boxes["slice"] == 38)
    return boxes.assign(x0=boxes["x0"] - 200 * stray, x1=boxes["x1"] - 200 * stray)


def swap(boxes):
    other = {"left_kidney": "right_kidney", "right_kidney": "left_kidney"}
    mine = (boxes["case"] == "0002") & (boxes["rater"] == "r0") & boxes["label"].isin(other)
    return boxes.assign(label=boxes["label"].where(~mine, boxes["label"].map(other)))


FAULTS = {
    "organ-gap": lose_slices,
    "slice-lost": lose_a_slice_of_all,
    "run-truncated": end_at_full_size,
    "organ-missing": drop_an_organ,
    "double-box": draw_twice,
    "box-jump": jump,
    "labels-swapped": swap,
}


@pytest.mark.parametrize(("check", "fault"), FAULTS.items())
@pytest.mark.parametrize("raters", [("r0",), RATERS])
def test_a_fault_makes_exactly_its_finding(check, fault, raters):
    boxes = drawn(raters=raters)
    mine = boxes["rater"] == "r0"
    faulty = pd.concat([fault(boxes[mine]), boxes[~mine]])

    table, findings = assess(study(faulty))

    assert checks(findings) == {check}
    assert {(f.case, f.rater) for f in findings} == {("0002", "r0")}
    named = {f.label for f in findings}
    assert "left_kidney" in named or check == "slice-lost"
    assert check in run(table).faults or check == "slice-lost"


@pytest.mark.parametrize("check", ["slice-lost", "labels-swapped"])
def test_a_case_is_one_unit_where_each_organ_has_a_rater_of_its_own(check):
    boxes = FAULTS[check](drawn())
    shared = study(boxes.assign(rater="of_" + boxes["label"]))
    asked = shared.readings["rater"].str.removeprefix("of_")

    _, findings = assess(dataclasses.replace(shared, readings=shared.readings.assign(labels=asked)))

    assert checks(findings) == {check}


@pytest.mark.parametrize(
    ("fault", "slices"),
    [
        (lose_slices, "30-32"),
        (lose_a_slice_of_all, "45"),
        (end_at_full_size, "41-50"),
        (draw_twice, "38-39"),
        (jump, "38"),
        (drop_an_organ, "26-50"),
    ],
)
def test_a_finding_says_which_slices_to_draw_again(fault, slices):
    _, findings = assess(study(fault(drawn())))

    assert {finding.slices for finding in findings} == {slices}
    assert all(slices in finding.message for finding in findings)


def test_a_gap_is_told_apart_from_a_lost_slice():
    boxes = lose_a_slice_of_all(drawn())
    boxes = boxes[~(at(boxes) & (boxes["slice"] == 40))]

    row = run(assess(study(boxes))[0])

    assert (row.n_gaps, row.gap_slices, row.lost_slices) == (2, "40 45", "45")
    assert (row.state, row.coverage) == ("partial", pytest.approx(23 / 25))


def test_many_labels_that_end_on_one_slice_are_truncated():
    table, findings = assess(study(end_together(drawn())))

    ended = table[(table["case"] == "0002") & (table["last"] == 44)]
    assert set(ended["label"]) == set(LABELS)
    assert set(ended["truncated"]) == {"high"}
    told = [f.message for f in findings if f.check == "run-truncated"]
    assert len(told) == 4
    assert all("many labels end here" in message for message in told)


def test_one_slice_of_an_organ_is_not_an_organ():
    table, findings = assess(study(keep_one_slice(drawn())))

    assert "single-slice" in checks(findings)
    assert run(table).state == "partial"


def test_a_short_run_in_the_middle_of_nowhere_is_found_by_its_length():
    boxes = drawn()
    boxes = boxes[~((boxes["case"] == "0002") & (boxes["label"] != "liver"))]
    boxes = boxes[~at(boxes, label="liver") | boxes["slice"].between(46, 50)]

    table, findings = assess(study(boxes))

    assert "run-short" in checks(findings)
    assert run(table, label="liver").length_ratio == pytest.approx(5 / 31)


def test_others_say_where_a_run_should_end():
    boxes = drawn(raters=RATERS)
    boxes = boxes[~(at(boxes) & (boxes["slice"] < 29))]

    table, findings = assess(study(boxes))

    row = run(table)
    assert (row.truncated, row.ends) == ("low", "26-50")
    assert row.coverage == pytest.approx(22 / 25)
    assert checks(findings) == {"run-truncated"}


def test_one_slice_less_than_the_others_is_a_matter_of_taste():
    boxes = drawn(raters=RATERS)
    boxes = boxes[~(at(boxes) & (boxes["slice"] < 27))]

    assert assess(study(boxes))[1] == []
    assert checks(assess(study(boxes), Settings(beyond=1))[1]) == {"run-truncated"}


def test_a_case_that_was_only_opened_is_unread():
    table, findings = assess(study(drawn(cases=3), opened=["0009"]))

    unread = table[table["case"] == "0009"]
    assert set(unread["state"]) == {"unread"}
    assert [f.check for f in findings] == ["case-unread"]
    assert set(table.loc[table["case"] != "0009", "state"]) == {"complete"}


def test_with_a_rater_for_each_label_a_case_without_its_box_is_missing():
    boxes = drawn(cases=2)
    boxes = boxes.assign(rater=boxes["label"].map({label: f"of_{label}" for label in LABELS}))
    boxes = boxes[~at(boxes, "0001", "spleen", "of_spleen")]
    made = study(boxes)
    readings = made.readings.assign(
        labels=made.readings["rater"].str.removeprefix("of_"),
        state=np.where(made.readings["rater"] == "of_spleen", "opened", "reviewed_empty"),
    )

    table, _ = assess(dataclasses.replace(made, readings=readings))

    assert run(table, "0001", "spleen", "of_spleen").state == "missing"


def test_what_may_repeat_may_be_absent():
    boxes = drawn()[lambda b: ~at(b)]

    table, findings = assess(study(boxes, single=["liver"]))

    assert findings == []
    assert run(table).state == "absent"


def test_of_an_organ_that_other_cases_have_nothing_is_covered_where_it_is_missing():
    table, _ = assess(study(drop_an_organ(drawn())))

    assert run(table).state == "missing"
    assert run(table).coverage == 0.0


def test_nothing_is_expected_of_an_organ_that_the_readers_of_a_case_saw_to_be_absent():
    """Nor more of it, where one of them drew it: others who looked did not see it."""
    boxes = drawn(raters=RATERS)
    gone = boxes[~((boxes["case"] == "0002") & (boxes["label"] == "left_kidney"))]
    alone = pd.concat([gone, boxes[at(boxes, rater="r1")].iloc[:2]])

    for left, inventor in ((gone, None), (alone, "r1")):
        table, findings = assess(study(left))
        for rater in RATERS:
            found = run(table, rater=rater)
            assert found.state == ("complete" if rater == inventor else "absent")
            assert found.slices_expected == (2 if rater == inventor else 0)
            assert np.isnan(found.coverage) or rater == inventor
        assert findings == []


@pytest.mark.parametrize("far", [-9, 15])
def test_one_box_far_away_does_not_make_a_run_longer(far):
    boxes = drawn()
    mine = boxes[at(boxes)]
    end = mine.iloc[0 if far < 0 else -1]
    stray = pd.DataFrame([{**end.to_dict(), "slice": end["slice"] + far}])

    table, findings = assess(study(pd.concat([boxes, stray], ignore_index=True)))

    found = run(table)
    assert found.slices_expected == len(mine)
    assert found.coverage == 1.0
    assert found.n_gaps == abs(far) - 1
    assert "organ-gap" in checks(findings)


def test_things_may_lie_anywhere_but_none_is_left_out_in_its_middle():
    """Organs, of which some have a gap, end early or jump, taken for things like nodules."""
    boxes = jump(end_at_full_size(lose_slices(drawn())))
    other = at(boxes, label="liver") & (boxes["slice"] >= 50)
    boxes.loc[other, ["x0", "x1"]] += 250.0  # another thing, some slices after the first
    boxes = boxes[~(at(boxes, label="liver") & boxes["slice"].between(46, 49))]

    table, findings = assess(study(boxes, single=()))

    assert [(f.check, f.label, f.slices) for f in findings] == [
        ("organ-gap", "left_kidney", "30-32")
    ]
    assert run(table, label="liver").coverage == 1.0


def test_things_do_not_say_where_organs_end():
    boxes = drawn(labels=LABELS[:3])
    rng = np.random.default_rng(0)
    stray = boxes.iloc[:60].assign(label="liver", slice=rng.permutation(60))
    alone, _ = assess(study(boxes, labels=LABELS[:3]))

    together, _ = assess(study(pd.concat([boxes, stray]), single=LABELS[:3]))

    organs = together[together["label"] != "liver"].reset_index(drop=True)
    pd.testing.assert_frame_equal(organs, alone)


def test_a_label_that_nobody_uses():
    _, findings = assess(study(drawn(labels=LABELS[:3])))

    assert "label-unused" in checks(findings)
    assert {f.label for f in findings if f.check == "label-unused"} == {"liver"}


def test_a_label_that_one_rater_never_uses():
    boxes = drawn(raters=RATERS)
    boxes = boxes[(boxes["rater"] != "r1") | (boxes["label"] != "spleen")]

    _, findings = assess(study(boxes))

    assert [(f.rater, f.label) for f in findings if f.check == "label-unused"] == [("r1", "spleen")]


SIDES = {"spleen": "left", "left_kidney": "left", "right_kidney": "right", "liver": "right"}


@pytest.mark.parametrize(("axis", "wrong"), [("L", False), ("R", True)])
def test_the_spleen_is_on_the_left_of_the_patient(axis, wrong):
    made = study(drawn(cases=1))

    _, findings = assess(made, orientation=Orientation(SIDES, {"0000": axis}))

    assert checks(findings) == ({"wrong-side"} if wrong else set())
    assert {f.label for f in findings} == (set(LABELS) if wrong else set())


def test_swapped_kidneys_lie_on_the_wrong_side_even_in_a_single_case():
    boxes = drawn(cases=1)
    other = {"left_kidney": "right_kidney", "right_kidney": "left_kidney"}
    made = study(boxes.assign(label=boxes["label"].map(lambda name: other.get(name, name))))

    _, findings = assess(made, orientation=Orientation(SIDES, {"0000": "L"}))

    assert {f.label for f in findings} == set(other)


def test_another_class_index_for_a_whole_run_is_found_beside_other_raters():
    boxes = drawn(raters=RATERS)
    wrong = boxes.assign(label=boxes["label"].where(~at(boxes, label="spleen"), "liver"))
    wrong = wrong[
        ~((wrong["label"] == "liver") & (boxes["label"] == "liver") & at(wrong, label="liver"))
    ]

    _, findings = assess(study(wrong))

    assert {f.label for f in findings if f.check == "labels-swapped"} == {"liver"}


def begin_volume_at(boxes, first, case="0002"):
    """A study of which one volume begins at a slice."""
    made = study(boxes[(boxes["case"] != case) | (boxes["slice"] >= first)])
    cut = {
        name: (table := getattr(made, name))[(table["case"] != case) | (table["slice"] >= first)]
        for name in ("images", "readings")
    }
    return dataclasses.replace(made, **cut)


def test_where_the_volume_begins_no_run_is_truncated():
    table, findings = assess(begin_volume_at(drawn(), 35))

    assert {f.check for f in findings} <= {"cut-by-volume"}
    assert set(table["truncated"]) == {""}


def test_an_organ_that_leaves_the_volume_is_a_note():
    _, findings = assess(begin_volume_at(drawn(), 42))

    cut = [f for f in findings if f.label == "left_kidney"]
    assert [(f.check, f.severity) for f in cut] == [("cut-by-volume", Severity.NOTE)]


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 24), min_size=1, max_size=12))
def test_gaps_are_the_slices_inside_a_run_without_a_box(lost):
    boxes = drawn(cases=1, labels=("left_kidney",))
    kept = [k for k in range(25) if k not in lost]
    if not kept:
        return
    boxes = boxes[boxes["slice"].isin([22 + k for k in kept])]

    row = run(assess(study(boxes, labels=("left_kidney",)))[0], "0000")

    inside = [22 + k for k in lost if min(kept) < k < max(kept)]
    assert [int(k) for k in row.gap_slices.split()] == sorted(inside)
    assert row.n_gaps == len(inside)
    if (np.diff(kept) <= FAR).all():
        assert row.coverage == pytest.approx(len(kept) / (max(kept) - min(kept) + 1))


def test_the_order_of_the_rows_does_not_matter():
    boxes = swap(lose_slices(drawn(raters=RATERS)))
    table, findings = assess(study(boxes))
    shuffled = boxes.sample(frac=1, random_state=1)

    again, found = assess(study(shuffled))

    pd.testing.assert_frame_equal(again, table)
    assert found == findings


def test_btcv_has_169_gaps_and_its_unread_cases_are_neither_missing_nor_complete(data, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    config = load_config(Path(__file__).parents[3] / "configs" / "btcv.toml")
    made, _ = read_study(config, known_images(config))
    table, findings = assess(made)

    gaps = table.groupby("label")["n_gaps"].sum().to_dict()
    assert gaps == {"aorta": 92, "liver": 53, "spleen": 12, "left_kidney": 6, "right_kidney": 6}
    unread = {"0003", "0006", "0008", "0022", "0035", "0037"}
    assert set(table.loc[table["case"].isin(unread), "state"]) == {"unread"}
    assert set(table.loc[table["state"] == "unread", "case"]) == unread
    hidden = table[(table["case"] == "0029") & table["label"].isin(["spleen", "liver"])]
    assert set(hidden["state"]) == {"partial"}
    assert set(hidden["n_slices"]) == {1, 5}
    named = {f.case for f in findings if f.check == "organ-missing"}
    assert named == {"0010", "0023", "0024", "0026", "0032", "0036"}


def test_a_slice_on_which_there_is_one_organ_only_is_missed_and_not_lost():
    boxes = lose_slices(drawn(labels=("left_kidney",)))

    _, findings = assess(study(boxes, labels=("left_kidney",)))

    assert [f.check for f in findings] == ["organ-gap"]


def end_flat(boxes, case="0002"):
    """The left kidney keeps the size of its middle up to where it ends anyway."""
    corners = ["x0", "y0", "x1", "y1"]
    flat = at(boxes, case) & (boxes["slice"] > 40)
    middle = boxes.loc[at(boxes, case) & (boxes["slice"] == 38), corners].to_numpy()[0]
    return boxes.assign(**{c: boxes[c].where(~flat, middle[k]) for k, c in enumerate(corners)})


def test_an_organ_that_ends_flat_where_the_other_cases_end_is_whole():
    assert assess(study(end_flat(drawn())))[1] == []


def test_without_other_organs_to_align_by_a_flat_end_is_suspicious():
    boxes = end_flat(drawn(labels=("left_kidney",)))

    _, findings = assess(study(boxes, labels=("left_kidney",)))

    assert [f.check for f in findings] == ["run-truncated"]
    assert "full size" in findings[0].message


@pytest.mark.parametrize(("cut", "truncated"), [(0, False), (6, True)])
def test_organs_that_taper_off_on_one_slice_met_by_chance(cut, truncated):
    labels = LABELS[:3]
    boxes = pd.concat(
        [
            organ(label, shift=60 - PLACES[label][2] - PLACES[label][5]).assign(
                case="0000", rater="r0"
            )
            for label in labels
        ]
    )
    boxes = boxes[boxes["slice"] <= 60 - cut]

    _, findings = assess(study(boxes, labels=labels))

    assert checks(findings) == ({"run-truncated"} if truncated else set())


def expected_of(boxes, case, label, rater, n_readers):
    """By definition: slices that more than half of the *other* readers drew."""
    organ = boxes[(boxes["case"] == case) & (boxes["label"] == label)]
    others = organ[organ["rater"] != rater]
    votes = others.groupby("slice")["rater"].nunique()
    return set(votes.index[votes > (n_readers - 1) / 2]), set(
        organ.loc[organ["rater"] == rater, "slice"]
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_what_a_run_should_hold_is_said_by_the_others_alone(seed, n_raters):
    raters = [f"r{k}" for k in range(n_raters)]
    boxes = drawn(cases=1, raters=raters, labels=LABELS[:2])
    rng = np.random.default_rng(seed)
    boxes = boxes[rng.random(len(boxes)) < 0.6].reset_index(drop=True)
    runs = find_runs(study(boxes, labels=LABELS[:2]))
    found = pd.concat([runs.table, expected_by_raters(runs)], axis=1)

    for row in found.itertuples():
        expected, own = expected_of(boxes, row.case, row.label, row.rater, n_raters)
        assert (row.n_expected, row.n_hit) == (len(expected), len(expected & own))
        assert expected == set() or (row.expected_first, row.expected_last) == (
            min(expected),
            max(expected),
        )


def keep(study, rows):
    """The study with some of its readings, and the boxes on them."""
    readings = study.readings[rows]
    key = ["case", "slice", "rater"]
    boxes = study.boxes.merge(readings[key], on=key)
    return dataclasses.replace(study, readings=readings, boxes=boxes)


def test_who_was_dealt_single_slices_lacks_none_of_the_others():
    whole = study(drawn(raters=[f"r{k}" for k in range(8)]))
    rng = np.random.default_rng(0)
    table, findings = assess(keep(whole, rng.random(len(whole.readings)) < 0.3))

    assert findings == []
    assert table["coverage"].dropna().eq(1).all()
    assert set(table["state"]) <= {"complete", "absent"}


def test_who_was_dealt_single_slices_still_misses_what_the_others_drew_there():
    whole = study(drawn(raters=[f"r{k}" for k in range(8)]))
    rng = np.random.default_rng(0)
    dealt = keep(whole, rng.random(len(whole.readings)) < 0.4)
    skips = (dealt.boxes["rater"] == "r0") & (rng.random(len(dealt.boxes)) < 0.5)
    table, _ = assess(dataclasses.replace(dealt, boxes=dealt.boxes[~skips]))

    mine = table[(table["rater"] == "r0") & (table["slices_expected"] > 0)]
    share = (mine["coverage"] * mine["slices_expected"]).sum() / mine["slices_expected"].sum()
    assert share == pytest.approx(0.5, abs=0.12)


def test_a_lost_file_of_a_whole_case_is_still_a_gap():
    whole = study(drawn(raters=RATERS))
    lost = (whole.readings["case"] == "0002") & (whole.readings["rater"] == "r0")
    lost &= whole.readings["slice"].between(40, 42)
    _, findings = assess(keep(whole, ~lost))

    assert checks(findings) == {"slice-lost"}


@pytest.mark.parametrize(("raters", "state"), [(("r0",), "missing"), (("r0", "r1"), "absent")])
def test_an_organ_that_several_agree_is_not_there_is_absent(raters, state):
    boxes = drawn(raters=raters)
    boxes = boxes[~((boxes["case"] == "0002") & (boxes["label"] == "left_kidney"))]
    table, findings = assess(study(boxes))

    assert run(table).state == state
    assert checks(findings) == ({"organ-missing"} if state == "missing" else set())


def test_one_of_four_who_invents_an_organ_makes_the_others_miss_nothing():
    raters = ("r0", "r1", "r2", "r3")
    boxes = drawn(raters=raters)
    gone = (boxes["case"] == "0002") & (boxes["label"] == "left_kidney")
    boxes = boxes[~gone | ((boxes["rater"] == "r3") & (boxes["slice"] == 36))]
    table, _ = assess(study(boxes))

    assert [run(table, rater=rater).state for rater in raters[:3]] == ["absent"] * 3


def test_labels_that_most_cases_do_not_show_are_said_once():
    boxes = drawn(cases=6, raters=("r0", "r1"))
    rare = boxes[(boxes["case"] == "0000") & (boxes["label"] == "liver")]
    more = [rare.assign(label=f"rare{k}", case=f"{k:04d}") for k in range(6)]
    labels = (*LABELS, *(f"rare{k}" for k in range(6)))
    table, findings = assess(study(pd.concat([boxes, *more]), labels=labels))

    assert len(table) == 6 * 2 * len(LABELS) + 6 * 2
    notes = [one for one in findings if one.check == "labels-rare"]
    assert [one.value for one in notes] == [6.0]


def test_without_spacing_lengths_are_compared_in_slices():
    whole = study(keep_one_slice(drawn(cases=8)))
    blind = dataclasses.replace(whole, images=whole.images.assign(spacing_z=np.nan))
    table, findings = assess(blind)

    assert run(table).state == "partial"
    assert {one.check for one in findings} >= {"single-slice", "spacing-unknown"}


@pytest.mark.parametrize("read", [True, False])
def test_one_slice_that_all_drew_of_a_long_organ_is_not_complete(read):
    boxes = drawn(cases=8, raters=RATERS)
    whole = study(boxes[~((boxes["case"] == "0002") & (boxes["slice"] != 38))])
    if not read:  # nothing is known of the other slices of the case
        kept = [
            frame[(frame["case"] != "0002") | (frame["slice"] == 38)]
            for frame in (whole.images, whole.readings)
        ]
        whole = dataclasses.replace(whole, images=kept[0], readings=kept[1])

    table, findings = assess(whole)

    short = table[table["state"] != "complete"]
    assert set(short["case"]) == {"0002"}
    assert set(short["rater"]) == set(RATERS)
    assert "single-slice" in checks(findings)


def test_boxes_that_the_others_contradict_are_named_with_their_slices():
    boxes = drawn(raters=RATERS)
    wrong = at(boxes, label="liver") & boxes["slice"].between(45, 48)
    boxes.loc[wrong, "x1"] = boxes.loc[wrong, "x0"] + 0.3 * (
        boxes.loc[wrong, "x1"] - boxes.loc[wrong, "x0"]
    )
    table, findings = assess(study(boxes))

    (one,) = [one for one in findings if one.check == "box-contradicted"]
    assert (one.rater, one.label, one.slices, one.value) == ("r0", "liver", "45-48", 4.0)
    (task,) = todo(table, findings).itertuples()
    assert (task.rater, task.task, task.slices) == ("r0", "check", "45-48")
