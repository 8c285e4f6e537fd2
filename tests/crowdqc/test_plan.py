"""Plans, against the whole thing simulated and against what must hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from crowdqc.findings import InputError
from crowdqc.fusion import ConsensusRule, fuse
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from crowdqc.plan import Components, estimate_components, plan_raters, plan_slices, raters_needed
from crowdqc.schema import Study
from crowdqc.stages.plan import _condition
from tests.crowdqc.agreement.organs import organ_study
from tests.crowdqc.crowds import BOX, crowd_study

PILOT = {"sd": [4.0] * 5, "bias": [2, -2, 0, 1, -1], "miss": 0.15}


def components(**fields):
    given = {
        "bias": np.zeros((2, 4)),
        "sd": np.full((2, 4), 0.05),
        "detection": np.ones(2),
        "share": np.full(2, 0.5),
        "invented": np.zeros(2),
        "difficulty": np.ones(3),
        "freedom": 30.0,
        "shared": 0.0,
        "size": 100.0,
        "between_cases": 0.0,
        "within_cases": 0.01,
        "per_case": 100.0,
        "per_slice": 5.0,
    }
    return Components(**{**given, **fields})


@pytest.fixture(scope="module")
def curve():
    study, _ = crowd_study(0, **PILOT, things=120)
    found = dataclasses.replace(estimate_components(match(study)), shared=0.0)  # none is drawn
    table = plan_raters(
        found,
        rng=np.random.default_rng(0),
        method="median",
        rule=ConsensusRule(quorum=0.5, min_raters=1),
    )
    return table.set_index("n_raters")


@pytest.mark.parametrize("n", [1, 3, 5, 9])
def test_a_pilot_of_five_raters_foretells_the_consensus_of_others(curve, n):
    bias = np.random.default_rng(0).choice(PILOT["bias"], 9)
    study, truth = crowd_study(1, sd=[4.0] * 9, bias=bias, miss=0.15, things=300)
    chosen = study.boxes[study.boxes["rater"].isin([f"r{k}" for k in range(n)])]
    boxes = chosen.groupby("slice")[BOX]
    enough = boxes.size() >= np.ceil(n / 2)
    median = boxes.median()[enough]

    iou = paired_iou(median.to_numpy(), truth[median.index]).mean()

    assert curve.loc[n, "iou"] == pytest.approx(iou, abs=0.02)
    assert curve.loc[n, "found"] == pytest.approx(enough.sum() / 300, abs=0.05)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_plan_speaks_of_the_fusion_that_will_be_used(n):
    """Of five raters, one of them careless: n who are dealt to each slice, fused by default."""
    sd, miss = [2.0, 2.0, 3.0, 2.5, 9.0], [0.05, 0.1, 0.05, 0.2, 0.3]
    pilot, _ = crowd_study(0, sd=sd, miss=miss, things=150)
    study, truth = crowd_study(1, sd=sd, miss=miss, things=300)
    rng = np.random.default_rng(2)
    dealt = {(z, f"r{r}") for z in range(300) for r in rng.permutation(5)[:n]}

    def kept(frame):
        return frame[[place in dealt for place in zip(frame["slice"], frame["rater"], strict=True)]]

    study = dataclasses.replace(study, boxes=kept(study.boxes), readings=kept(study.readings))
    found = fuse(match(study))
    usable = found[found["state"].isin(["agreed", "single"])]
    iou = paired_iou(usable[BOX].to_numpy(), truth[usable["slice"]]).mean()

    components = dataclasses.replace(estimate_components(match(pilot)), shared=0.0)
    table = plan_raters(components, rng=rng, largest=5).set_index("n_raters")

    assert table.loc[n, "iou"] == pytest.approx(iou, abs=0.02)
    assert table.loc[n, "found"] == pytest.approx(len(usable) / 300, abs=0.04)
    low, high = table.loc[n, ["found_low", "found_high"]]
    assert low <= len(usable) / 300 <= high + 0.02


def test_more_raters_never_place_edges_worse(curve):
    assert curve["iou"].diff().dropna().min() > 0
    assert (curve["score"] <= curve["iou"]).all()


def test_perfect_raters_need_no_company():
    table = plan_raters(components(sd=np.zeros((2, 4))), rng=np.random.default_rng(0), objects=50)

    np.testing.assert_allclose(table[["iou", "found", "score"]], 1, atol=1e-9)
    assert raters_needed(table, 1 - 1e-9) == 1


def test_a_bias_that_all_share_is_not_averaged_away():
    wide = np.tile([-0.1, 0.0, 0.1, 0.0], (2, 1))
    table = plan_raters(
        components(bias=wide, sd=np.zeros((2, 4))), rng=np.random.default_rng(0), objects=50
    )

    assert table["iou"].to_numpy() == pytest.approx(1 / 1.2)


def test_a_quorum_of_one_half_finds_as_the_binomial_says():
    table = plan_raters(
        components(detection=np.full(2, 0.6)),
        rng=np.random.default_rng(0),
        method="median",
        rule=ConsensusRule(quorum=0.5, min_raters=1),
        objects=20000,
    )

    assert table["found"].iloc[0] == pytest.approx(0.6, abs=0.02)
    assert table["found"].iloc[1] == pytest.approx(1 - 0.4**2, abs=0.02)  # one of two
    assert table["found"].iloc[2] == pytest.approx(0.6**3 + 3 * 0.6**2 * 0.4, abs=0.02)  # two


@pytest.mark.parametrize(
    ("scores", "target", "expected"),
    [([0.7, 0.9, 0.95], 0.9, 2), ([0.9, 0.7, 0.95], 0.9, 3), ([0.1, 0.2, 0.3], 0.9, None)],
    ids=["reached and kept", "lost again", "never"],
)
def test_raters_needed_is_the_number_from_which_the_target_is_kept(scores, target, expected):
    table = pd.DataFrame({"n_raters": [1, 2, 3], "score": scores})

    assert raters_needed(table, target, measure="score") == expected


def test_slices_follow_from_the_variances():
    table = plan_slices(components(between_cases=0.01, within_cases=0.01), widths=(0.05,))

    # 1.96 ** 2 * (0.01 + 0.01 / 100) / 0.05 ** 2 = 15.5 cases of 100 / 5 = 20 slices
    assert table.iloc[0].tolist() == [0.05, 16, 320]


def test_a_study_without_a_slice_read_twice_needs_a_pilot():
    with pytest.raises(InputError, match="pilot"):
        estimate_components(match(organ_study({"a": {}}, cases=1)))


@pytest.mark.parametrize("wrong", [{"largest": 0}, {"objects": 0}])
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        plan_raters(components(), rng=np.random.default_rng(0), **wrong)


@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0])
def test_what_one_misses_others_miss_too(spread):
    rng = np.random.default_rng(0)
    n, raters = 3000, 4
    odds = 1.0 + spread * rng.standard_normal(n)
    drew = rng.random((raters, n)) < 1 / (1 + np.exp(-odds))
    study = study_of(drew, seed=0)

    found = estimate_components(match(study))
    plan = plan_raters(found, rng=rng, largest=3, method="median", rule=ConsensusRule(0.5, 1))

    assert found.visibility == pytest.approx(spread, abs=0.7)  # what nobody saw is not counted
    seen = drew.any(axis=0)
    for k in (1, 3):
        votes = drew[:k].sum(axis=0)
        assert plan["found"][k - 1] == pytest.approx((2 * votes >= k)[seen].mean(), abs=0.07)


def study_of(drew, *, seed):
    """A study of raters who drew (R, N) objects, one a slice, with an error of a pixel."""
    rng = np.random.default_rng(seed)
    rater, row = np.nonzero(drew)
    low = rng.uniform(20, 100, (drew.shape[1], 2))
    boxes = np.hstack([low, low + 40])[row] + rng.normal(0, 1, (len(row), 4))
    frame = pd.DataFrame(boxes, columns=BOX)
    frame = frame.assign(case="c", slice=row, rater=[f"r{r}" for r in rater], label="organ")
    read = pd.DataFrame({"case": "c", "slice": np.tile(np.arange(drew.shape[1]), len(drew))})
    read["rater"] = np.repeat([f"r{r}" for r in range(len(drew))], drew.shape[1])
    read["state"] = np.where(drew.ravel(), "boxed", "reviewed_empty")
    return Study.from_boxes(frame, readings=read, shape=(200, 200), single=["organ"])


@pytest.mark.parametrize("raters", [2, 4])
@pytest.mark.parametrize("spread", [0.0, 2.5])
def test_what_is_found_of_all_that_is_there_lies_in_the_interval(raters, spread):
    """Objects that nobody drew count: of hard ones there are many, and no box knows of them."""
    rng = np.random.default_rng(raters)
    odds = 1.5 + spread * rng.standard_normal(400)
    drew = rng.random((raters, 400)) < 1 / (1 + np.exp(-odds))

    found = estimate_components(match(study_of(drew, seed=0)))
    assert found.readings[0].visibility >= found.readings[1].visibility
    rule = ConsensusRule(min_raters=1)
    plan = plan_raters(found, rng=rng, largest=2, method="median", rule=rule, objects=1000)

    chance = 1 / (1 + np.exp(-odds))
    truth = np.array([chance.mean(), 1 - ((1 - chance) ** 2).mean()])
    assert (plan["found_low"] <= truth).all()
    assert (truth <= plan["found_high"] + 0.01).all()
    assert (plan["found_low"] <= plan["found"]).all()
    assert (plan["found"] <= plan["found_high"]).all()
    np.testing.assert_allclose(plan["score_low"], plan["iou"] * plan["found_low"])


@pytest.mark.parametrize(("raters", "drawn"), [(2, 0.99), (5, 0.85)])
def test_where_raters_miss_little_or_apart_from_one_another_what_is_found_is_known(raters, drawn):
    drew = np.random.default_rng(0).random((raters, 300)) < drawn

    found = estimate_components(match(study_of(drew, seed=0)))
    plan = plan_raters(found, rng=np.random.default_rng(0), largest=3, objects=600)

    assert (plan["found_high"] - plan["found_low"]).max() < 0.15


def test_a_plan_says_how_far_what_is_found_is_known():
    table = pd.DataFrame({"n_raters": [1, 2], "found_low": [0.5, 0.9], "found_high": [0.9, 0.95]})

    assert "50% to 90%" in _condition(table, 1)
    assert "expert" in _condition(table, 1)
    assert "expert" not in _condition(table, 2)
