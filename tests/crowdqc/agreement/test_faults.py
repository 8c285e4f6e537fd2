"""Named faults: those that were planted are named, and clean raters are left alone."""

import dataclasses

import numpy as np
import pytest

from crowdqc.agreement import review_raters
from crowdqc.agreement.speed import seconds_per_box
from crowdqc.findings import from_cell
from crowdqc.matching import match
from tests.crowdqc.agreement.organs import (
    BOX,
    GOOD,
    NONE,
    constant,
    copy_of,
    guessed,
    organ_study,
    review,
    shuffled,
    some,
    swapped,
    tired,
    whole_image,
)

KIDNEYS = ("right_kidney", "left_kidney")

PLANTED = [
    ("rater-scatters", [{"noise": 3.5}, {"noise": 5.0}, {"noise": 8.0}]),
    ("rater-shifts", [{"shift": (5, 0)}, {"shift": (0, -8)}, {"shift": (-12, 6)}]),
    ("boxes-too-large", [{"scale": 1.17}, {"scale": 1.3}, {"scale": 1.6}]),
    ("boxes-too-small", [{"scale": 0.84}, {"scale": 0.75}, {"scale": 0.6}]),
    ("rater-misses", [{"miss": 0.2}, {"miss": 0.35}, {"stop": 0.4}]),
    ("rater-adds", [{"extra": 1.2}, {"extra": 2.0}, {"extra": 4.0}]),
    ("labels-swapped", [{"swap": KIDNEYS}]),
    ("rater-misses", [{"omit": ["aorta"]}]),
    ("boxes-repeated", [{"hold": h, "noise": 0.0} for h in (2, 3, 6)]),
]
ALTERED = [
    ("boxes-copied", [some(0.6, copy_of("good1")), copy_of("good1")]),
    ("boxes-whole-image", [some(share, whole_image) for share in (0.3, 0.5, 1.0)]),
    ("boxes-constant", [constant]),
    ("boxes-guessed", [shuffled("case", "label"), guessed]),
    ("labels-swapped", [swapped(share) for share in (0.3, 0.6)]),
    ("rater-drifts", [tired(px) for px in (12, 24)]),
    ("boxes-astray", [some(share, guessed) for share in (0.3, 0.5, 0.8)]),
]


def check(found, fault, innocent=("good0", "good2", "good3")):
    raters = found.raters.set_index("rater")
    assert fault in from_cell(raters.loc["bad", "faults"])
    assert raters.loc["bad", "verdict"] in ("review", "reject")
    assert raters.loc["bad", "reasons"]
    assert (raters.loc[list(innocent), "verdict"] == "accept").all()
    named = [f for f in found.findings if f.check == fault and f.rater == "bad"]
    assert named
    assert named[0].limit is not None
    assert named[0].examples[0].case.startswith("000")


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [(fault, wrong) for fault, strengths in PLANTED for wrong in strengths],
    ids=str,
)
def test_a_planted_fault_is_named(fault, wrong):
    check(review({**GOOD, "bad": {"noise": 1.5, **wrong}}, seed=11), fault)


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        pytest.param(fault, change, id=f"{fault}-{strength}")
        for fault, strengths in ALTERED
        for strength, change in enumerate(strengths)
    ],
)
def test_boxes_that_nobody_drew_by_looking_are_named(fault, change):
    check(review({**GOOD, "bad": {"noise": 1.5}}, seed=12, alter={"bad": change}), fault)


def test_whole_pixels_that_all_draw_alike_are_no_copies():
    def whole(mine, everything, rng):
        edges = ["x0", "y0", "x1", "y1"]
        return mine.assign(**{edge: mine[edge].round() for edge in edges})

    names = {name: {"noise": 0.15} for name in "abcd"}
    found = review(names, alter=dict.fromkeys(names, whole))
    pairs = found.raters["faults"]

    assert found.raters["agreement"].min() > 0.97
    assert (pairs == "").all()


def test_swapped_kidneys_are_called_that():
    found = review({**GOOD, "bad": {"noise": 1.5, "swap": KIDNEYS}})
    reasons = found.raters.set_index("rater").loc["bad", "reasons"]

    assert "swaps left_kidney and right_kidney (100% of their boxes)" in reasons


def test_a_label_called_another_is_not_a_swap():
    def rename(mine, everything, rng):
        return mine.assign(label=mine["label"].replace("spleen", "liver"))

    found = review({**GOOD, "bad": {"noise": 1.5, "omit": ["liver"]}}, alter={"bad": rename})
    row = found.raters.set_index("rater").loc["bad"]

    assert "labels-confused" in row["faults"]
    assert "calls spleen liver (100% of them)" in row["reasons"]


def test_who_tires_drifts():
    def tire(mine, everything, rng):
        late = mine["case"].astype(int).to_numpy() / 11
        edges = ["x0", "y0", "x1", "y1"]
        sign = np.array([-1.0, -1.0, 1.0, 1.0])
        worse = late[:, None] * 15 * sign
        return mine.assign(**dict(zip(edges, (mine[edges].to_numpy() + worse).T, strict=True)))

    found = review({**GOOD, "bad": {"noise": 1.5}}, alter={"bad": tire}, cases=12)
    raters = found.raters.set_index("rater")

    assert "rater-drifts" in raters.loc["bad", "faults"]
    assert raters.loc["bad", "drift"] < -0.2
    assert raters["drift"].drop("bad").abs().max() < 0.1


def test_time_orders_the_session_where_readings_have_one():
    study = organ_study({**GOOD}, cases=6, slices=12)
    backwards = study.readings.assign(time=-np.arange(len(study.readings), dtype=float))
    other = type(study)(
        study.name, study.labels, study.images, backwards, study.boxes, single=study.single
    )

    plain, turned = (
        review_raters(match(s), resampling=NONE).raters["drift"] for s in (study, other)
    )

    assert plain.to_numpy() == pytest.approx(-turned.to_numpy(), abs=1e-9)
    assert plain.abs().max() > 0


@pytest.mark.parametrize(
    ("step", "expected"),
    [(2.0, True), (30.0, False), (0.0, False)],
    ids=["half a second a box", "seconds a box", "files copied in one go"],
)
def test_who_draws_faster_than_anybody_can_look_is_named(step, expected):
    study = organ_study(GOOD, cases=2, slices=16)
    hasty = (study.readings["rater"] == "good2").to_numpy()
    order = np.arange(len(study.readings), dtype=float)
    time = np.where(hasty, step * np.cumsum(hasty), 60.0 * order)
    timed = type(study)(
        study.name, study.labels, study.images, study.readings.assign(time=time), study.boxes,
        single=study.single,
    )  # fmt: skip
    found = review_raters(match(timed), resampling=NONE)
    raters = found.raters.set_index("rater")

    assert ("rater-too-fast" in raters.loc["good2", "faults"]) is expected
    assert (raters["faults"].drop("good2") == "").all()
    assert all(len(f.examples) == 5 for f in found.findings)


def test_seconds_that_the_tool_took_itself_count_before_times():
    study = organ_study(GOOD, cases=2, slices=16)
    boxes = study.boxes.groupby(["case", "slice", "rater"]).size().rename("n")
    drawn = study.readings.join(boxes, on=["case", "slice", "rater"])
    hasty = drawn["rater"] == "good2"
    late = (drawn["case"] == "0001") & (drawn["slice"] >= 10)
    readings = study.readings.assign(
        seconds=(np.where(hasty, 0.4, 5.0) * drawn["n"]).where(~late),
        time=10.0 * np.arange(len(drawn)),
    )
    timed = dataclasses.replace(study, readings=readings)
    each = seconds_per_box(match(timed))
    raters = review_raters(match(timed), resampling=NONE).raters.set_index("rater")

    assert raters.loc["good2", "faults"] == '["rater-too-fast"]'
    assert (raters["faults"].drop("good2") == "").all()
    fast = each[(each["person"] == 2) & (each["each"] < 1)]
    assert fast["each"].to_numpy() == pytest.approx(0.4)
    assert 0 < len(fast) < (each["person"] == 2).sum()


def test_an_organ_that_stays_where_it_is_makes_no_guesses():
    def still(mine, everything, rng):
        middle = mine.groupby(["case", "label"])[BOX].transform("mean")
        return mine.assign(**{edge: middle[edge] + rng.normal(0, 0.5, len(mine)) for edge in BOX})

    found = review(GOOD, alter=dict.fromkeys(GOOD, still))

    assert (found.raters["faults"] == "").all()


@pytest.mark.parametrize("raters", ["ab", "abcd"])
def test_a_small_thing_that_stays_where_it_is_makes_no_guesses(raters):
    """Raters scatter more than it moves: no slice fits better than another."""

    def still(mine, everything, rng):
        low = np.array([50.0, 60.0, 62.0, 72.0])
        return mine.assign(
            **dict(zip(BOX, (low + rng.normal(0, 1, (len(mine), 4))).T, strict=True))
        )

    found = review({name: {} for name in raters}, alter=dict.fromkeys(raters, still))

    assert not found.raters["faults"].str.contains("boxes-guessed").any()
    assert (found.raters["agreement"] > 0.5).all()


def test_many_who_guess_are_named_still():
    crowd = {"good1": {}, "bad1": {}, "bad2": {}, "bad3": {}}

    found = review(crowd, alter=dict.fromkeys(["bad1", "bad2", "bad3"], guessed))

    raters = found.raters.set_index("rater")
    assert raters.loc[["bad1", "bad2", "bad3"], "faults"].str.contains("boxes-guessed").all()


def test_clean_raters_are_left_alone():
    flagged = 0
    for seed in range(20):
        found = review({name: {"noise": 2.0} for name in "abcd"}, seed=1000 + seed, slices=12)
        flagged += (found.raters["verdict"] != "accept").any() or bool(found.findings)

    assert flagged <= 1


def test_a_biased_rater_does_not_make_the_two_others_look_biased():
    found = review(
        {"a": {"noise": 1.0}, "b": {"noise": 1.0}, "bad": {"noise": 1.0, "shift": (9, 0)}}
    )
    raters = found.raters.set_index("rater")

    assert raters.loc["bad", "faults"] == '["rater-shifts"]'
    assert raters.loc["bad", "shift_x"] == pytest.approx(9, abs=1.5)
    assert raters.loc[["a", "b"], "shift_x"].abs().max() < 1.5
