"""Raters who copied a part: found by how near they lie, and nobody else with them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crowdqc.agreement import review_raters
from crowdqc.agreement.copies import NEAR, part_copies
from crowdqc.crowd import fit_evidence
from crowdqc.findings import from_cell
from crowdqc.matching import match
from tests.crowdqc.agreement.organs import BOX, organ_study, slices_of
from tests.crowdqc.crowd.test_dependence import drawn, evidence_of


def partly_copied(seed, *, share, nudge=0.0, whole=False, raters=5):
    """Raters of whom the last copied, on some of the slices, what the one before drew."""
    rng = np.random.default_rng(seed)
    data, _ = drawn(rng, [0.03] * raters, n=150, miss=0.0)
    boxes = data.boxes.reshape(150, raters, 4).copy()
    copied = rng.random(150) < share
    boxes[copied, -1] = boxes[copied, -2] + rng.normal(0, nudge, (copied.sum(), 4))
    boxes = boxes.round() if whole else boxes
    return evidence_of(boxes, np.ones((150, raters), bool)), copied


@pytest.mark.parametrize("whole", [False, True], ids=["anywhere", "on whole pixels"])
@pytest.mark.parametrize(("share", "nudge"), [(1 / 3, 0.0), (1 / 3, 0.4), (0.2, 0.4)])
def test_who_copied_a_part_is_found_and_how_much(share, nudge, whole):
    data, copied = partly_copied(0, share=share, nudge=nudge, whole=whole)
    found = part_copies(fit_evidence(data))
    guilty = (found.first == 3) & (found.second == 4)
    assert found.gain[guilty] > (40 if whole else 60)
    assert found.gain[~guilty].max() < 10
    assert found.share[guilty] == pytest.approx(copied.mean(), abs=0.15)
    mine = found.pair == np.flatnonzero(guilty)[0]
    likely = found.object[mine][np.argsort(-found.ratio[mine])][:10]
    assert copied[likely].mean() >= 0.9


@pytest.mark.parametrize("seed", range(6))
def test_raters_who_err_apart_gain_nothing(seed):
    data, _ = partly_copied(seed, share=0.0, raters=4 + seed % 3, whole=seed % 2 == 1)
    assert part_copies(fit_evidence(data)).gain.max() < 10


def test_who_gets_worse_copies_from_nobody():
    """At first a rater who tires is as near to the others as they are to one another."""
    rng = np.random.default_rng(0)
    data, truth = drawn(rng, [0.02] * 5, n=150, miss=0.0)
    size = np.tile(truth[:, 2:] - truth[:, :2], 2)[data.object]
    tired = (data.rater == 4)[:, None] * np.linspace(0, 0.2, 150)[data.object, None]
    boxes = data.boxes + tired * size * rng.normal(size=data.boxes.shape)
    assert part_copies(fit_evidence(dataclasses.replace(data, boxes=boxes))).gain.max() < 10


@pytest.mark.parametrize("whole", [False, True], ids=["anywhere", "on whole pixels"])
def test_the_ratio_of_a_slice_is_that_of_the_two_densities(whole):
    data, _ = partly_copied(3, share=0.3, nudge=0.4, raters=3, whole=whole)
    crowd = fit_evidence(data)
    found = part_copies(crowd)
    row = int(np.flatnonzero(found.object == 7)[1])
    a, b = (int(side[found.pair[row]]) for side in (found.first, found.second))
    one, other = (data.boxes[(data.object == 7) & (data.rater == r)][0] for r in (a, b))
    size = np.tile(crowd.box[7, 2:] - crowd.box[7, :2], 2)
    own = [crowd.sd_label[r, data.label[7]] * crowd.difficulty[7] for r in (a, b)]
    apart, bias = (one - other) / size, crowd.bias[a] - crowd.bias[b]
    steady = min(own) * 2**0.5
    px = (whole / 6) ** 0.5 / size  # two roundings
    copied = stats.norm.logpdf(apart, scale=np.hypot(NEAR * steady, px))
    hands = np.maximum(
        *(
            stats.t.logpdf(apart, crowd.freedom, loc=bias, scale=np.hypot(scale, px))
            for scale in (np.hypot(*own), steady)
        )
    )
    assert found.ratio[row] == pytest.approx(np.maximum(copied - hands, -3).sum())
    assert (found.n == 150).all()


def test_a_rater_alone_copies_from_nobody():
    data, _ = drawn(np.random.default_rng(0), [0.03], n=10)
    found = part_copies(fit_evidence(data))
    assert len(found.gain) == len(found.ratio) == 0


@pytest.mark.parametrize("nudge", [0.0, 0.4])
def test_both_of_the_pair_are_named_and_nobody_else(nudge):
    raters = {f"r{k}": {"noise": 1.5} for k in range(5)}
    study = organ_study(raters, seed=4, alter={"r4": slices_of("r0", 1 / 3, px=nudge)})

    found = review_raters(match(study))

    faults = found.raters.set_index("rater")["faults"].map(from_cell)
    named = {rater for rater, of in faults.items() if {"raters-dependent", "boxes-copied"} & {*of}}
    assert named == {"r0", "r4"}


def taken_by_turns(mine, everything, rng):
    """The boxes of one of four others on each slice, moved a little."""
    turn = everything[["case", "slice"]].drop_duplicates()
    turn = turn.assign(rater=rng.choice([f"r{k}" for k in range(4)], len(turn)))
    taken = everything.merge(turn).assign(rater=mine["rater"].iloc[0])
    return taken.assign(**(taken[BOX] + rng.normal(0, 0.3, (len(taken), 4))))


def half_taken_from_the_first(later):
    """In one half of the cases, the boxes of the first rater, moved a little."""

    def change(mine, everything, rng):
        half = (mine["case"] >= "0003") == later
        theirs = everything[
            (everything["rater"] == "r0") & ((everything["case"] >= "0003") == later)
        ]
        moved = theirs[BOX] + rng.normal(0, 0.3, (len(theirs), 4))
        return pd.concat([mine[~half], theirs.assign(rater=mine["rater"].iloc[0], **moved)])

    return change


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        ({"r4": taken_by_turns}, {"r4"}),
        (
            {"r3": half_taken_from_the_first(False), "r4": half_taken_from_the_first(True)},
            {"r0", "r3", "r4"},
        ),
    ],
    ids=["one copies from each of four", "two copy from one"],
)
def test_who_takes_each_slice_from_another_of_several_is_named_and_not_these(alter, named):
    study = organ_study({f"r{k}": {"noise": 1.5} for k in range(5)}, seed=4, alter=alter)

    found = review_raters(match(study)).raters.set_index("rater")["faults"].map(from_cell)

    assert {rater for rater, of in found.items() if "raters-dependent" in of} == named
