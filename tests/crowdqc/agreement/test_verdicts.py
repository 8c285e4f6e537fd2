"""Whom scorecards name, and whom not: kinds of crowds that once blamed the wrong ones."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.agreement import review_raters
from crowdqc.agreement.rater_data import reached
from crowdqc.agreement.reference import _without
from crowdqc.judge import judge_raters
from crowdqc.matching import match
from crowdqc.schema import Study
from tests.crowdqc.agreement.organs import BOX, GOOD, NONE, organ_study

ORGAN = "spleen"
THREE = {"a": {"noise": 1.5}, "b": {"noise": 1.5}, "c": {"noise": 1.5}}


def reviewed(faults, **fields):
    found = review_raters(match(organ_study(faults, **fields)), resampling=NONE)
    judged = judge_raters(found.raters, found.findings).set_index("rater")
    noticed = {finding.check for finding in found.findings if finding.rater is None}
    return judged, noticed


def named(judged):
    return set(judged.index[(judged["faults"] != "") | (judged["verdict"] != "accept")])


def far_off(share):
    def move(boxes, _, rng):
        slices = boxes[["case", "slice"]].drop_duplicates()
        lost = slices[rng.random(len(slices)) < share]
        out, far = (
            boxes.copy(),
            pd.MultiIndex.from_frame(boxes[["case", "slice"]]).isin(pd.MultiIndex.from_frame(lost)),
        )
        out.loc[far, ["x0", "x1"]] += np.where(out.loc[far, "x0"] < 120, 90, -90)[:, None]
        return out

    return move


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_of_three_the_one_who_is_astray_is_named_and_not_the_two_who_agree(share):
    judged, _ = reviewed(THREE, alter={"c": far_off(share)})

    assert named(judged) == {"c"}
    assert "boxes-astray" in judged.loc["c", "faults"]
    assert judged["agreement"].idxmin() == "c"


@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_two_raters_alone_are_told_on_what_they_differ_and_neither_is_accused(scale):
    judged, noticed = reviewed({"a": {"noise": 1.5}, "b": {"noise": 1.5, "scale": scale}})

    assert named(judged) == set()
    assert noticed == (set() if scale == 1 else {"raters-disagree"})


def test_of_two_raters_alone_the_unsteady_hand_is_named():
    judged, noticed = reviewed({"a": {"noise": 1.0}, "b": {"noise": 8.0}})

    assert named(judged) == {"b"}
    assert noticed == {"raters-disagree"}


def interpolated(boxes, _, rng):
    """Every sixth box of a run 25 % too large, and what lies between on straight lines."""
    runs = []
    for _, run in boxes.groupby(["case", "label"], sort=False):
        edges = run[BOX].to_numpy()
        side = np.tile(edges[:, 2:] - edges[:, :2], 2)
        edges = edges + 0.125 * side * np.array([-1, -1, 1, 1])
        key = np.unique([*range(0, len(run), 6), len(run) - 1])
        lines = [np.interp(range(len(run)), key, edge[key]) for edge in edges.T]
        runs.append(run.assign(**dict(zip(BOX, lines, strict=True))))
    return pd.concat(runs)


def of_one_place(boxes, _, rng):
    """The mean box of a run on all of its slices: steady, and not drawn by looking."""
    mean = boxes.groupby(["case", "label"])[BOX].transform("mean")
    return boxes.assign(**(mean + rng.normal(0, 0.5, mean.shape)))


@pytest.mark.parametrize("alter", [interpolated, of_one_place])
def test_who_is_steadier_than_the_organ_does_not_make_the_other_unsteady(alter):
    hands = {"a": {"noise": 3.0}, "b": {"noise": 0.5}}
    judged, noticed = reviewed(hands, alter={"b": alter})

    assert named(judged) == set()
    assert noticed == {"raters-disagree"}


def test_two_conventions_are_nobodys_fault():
    tight, loose = ({"noise": 1.5, "scale": scale} for scale in (0.9, 1.12))
    judged, noticed = reviewed({"a": tight, "b": tight, "c": tight, "d": loose, "e": loose})

    assert named(judged) == set()
    assert noticed == {"conventions-differ"}


def longer(boxes, *_):
    """The right edge of one organ a quarter of its width too far right."""
    mine, out = boxes["label"] == ORGAN, boxes.copy()
    out.loc[mine, "x1"] += 0.25 * (out["x1"] - out["x0"])[mine]
    return out


def unsteady(boxes, _, rng):
    """The edges of one organ anywhere near where they belong."""
    mine, out = boxes["label"] == ORGAN, boxes.copy()
    sides = np.tile(out.loc[mine, BOX[2:]].to_numpy() - out.loc[mine, BOX[:2]].to_numpy(), 2)
    out.loc[mine, BOX] += np.clip(rng.normal(0, 0.15, sides.shape), -0.4, 0.4) * sides
    return out


FIVE = {name: {"noise": 1.5} for name in "abcde"}


def test_two_conventions_at_one_edge_of_one_organ_are_nobodys_fault():
    study = organ_study(FIVE, alter={"d": longer, "e": longer})
    found = review_raters(match(study), resampling=NONE)
    [about] = [one for one in found.findings if one.rater is None]

    assert named(judge_raters(found.raters, found.findings).set_index("rater")) == set()
    assert about.check == "conventions-differ"
    assert f"right edge of {ORGAN}" in about.message
    assert "d, e further right" in about.message


@pytest.mark.parametrize(
    ("alter", "check", "words"),
    [
        (longer, "rater-shifts", f"draws the right edge of {ORGAN}"),
        (unsteady, "rater-scatters", f"of {ORGAN}"),
    ],
)
def test_who_is_off_at_one_organ_is_told_how_and_shown_that_organ(alter, check, words):
    study = organ_study(FIVE, alter={"e": alter})
    found = review_raters(match(study), resampling=NONE)
    [fault] = [one for one in found.findings if one.rater is not None]

    assert (fault.rater, fault.check) == ("e", check)
    assert words in fault.message
    assert {place.label for place in fault.examples} == {ORGAN}


def pushed(boxes, *_):
    """All boxes by as many px, which is a larger share of a small organ."""
    return boxes.assign(**(boxes[BOX] + [4.0, -3.0, 4.0, -3.0]))


def test_one_who_scatters_and_one_who_shifts_hold_to_no_convention():
    judged, noticed = reviewed(FIVE | {"d": {"noise": 14.0}}, alter={"e": pushed})

    assert named(judged) == {"d", "e"}
    assert noticed == set()


def test_who_is_better_than_all_others_makes_none_of_them_bad():
    judged, _ = reviewed({"a": {"noise": 0.3}, "b": {"noise": 3.0}, "c": {"noise": 3.0}})

    assert named(judged) == set()


def test_what_all_find_hard_is_no_rater_fault():
    judged, _ = reviewed({name: {"noise": 2.0, "miss": 0.25} for name in "abcd"})

    assert named(judged) == set()


def test_nobody_is_rejected_on_fewer_than_twenty_comparisons():
    study = organ_study(THREE, cases=1, slices=12, alter={"c": far_off(1.0)})
    few = study.boxes.groupby("rater", group_keys=False).head(10)
    small = Study(study.name, study.labels, study.images, study.readings, few, single=study.single)
    found = review_raters(match(small), resampling=NONE)
    judged = judge_raters(found.raters, found.findings)

    assert (judged["n_compared"] < 20).all()
    assert "reject" not in set(judged["verdict"])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sums_without_a_group_are_those_of_the_rest(seed):
    rng = np.random.default_rng(seed)
    n, objects, groups = 30, 5, 4
    of, group, values = (
        rng.integers(objects, size=n),
        rng.integers(groups, size=n),
        rng.random((n, 2)),
    )
    wanted = rng.integers(objects, size=12), rng.integers(groups, size=12)

    found = _without(values, (of, group), wanted)

    for row, one, mine in zip(found, *wanted, strict=True):
        assert row == pytest.approx(values[(of == one) & (group != mine)].sum(axis=0))


@pytest.mark.parametrize(
    ("values", "best"),
    [([0.2, 0.03, 0.2, 0.04, 0.2], 0.04), ([0.01, 0.05, 0.05], 0.05), ([0.3], 0.3)],
    ids=["most are bad", "one is better than all", "one"],
)
def test_what_can_be_done_is_what_the_better_third_does(values, best):
    assert reached(np.array(values)) == best


def test_good_raters_pass():
    judged, noticed = reviewed(GOOD)

    assert named(judged) == set() == noticed


def test_who_draws_small_organs_is_not_held_against_who_draws_large_ones():
    """An edge that is off by as many px is a larger share of a small organ."""
    labels = dict.fromkeys("abc", "liver spleen") | dict.fromkeys("def", "aorta right_kidney")
    study = organ_study({rater: {"noise": 2.0} for rater in labels}, cases=10)
    boxes = study.boxes
    mine = [row.label in labels[row.rater] for row in boxes.itertuples()]
    asked = study.readings.assign(labels=study.readings["rater"].map(labels))
    study = dataclasses.replace(study, boxes=boxes[mine], readings=asked)

    assert review_raters(match(study), resampling=NONE).findings == []
