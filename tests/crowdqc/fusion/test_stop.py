import itertools

import numpy as np
import pandas as pd
import pytest

import crowdqc
from crowdqc.crowd import evidence, fit, without_shown
from crowdqc.fusion import Stopping, budget, forecast, stopping
from crowdqc.fusion.ask import chance_below, expected_error
from crowdqc.fusion.stop import _steps


def drawn(n_cases=6, raters=4, *, miss=0.15, noise=2.0, seed=0):
    """A matched study of raters who miss some of the objects, and differ."""
    rng, rows = np.random.default_rng(seed), []
    for case in range(n_cases):
        for k in range(4):
            for one in range(2):
                x0, y0 = 20 + 60 * one + rng.normal(0, 5), 30 + rng.normal(0, 5)
                for rater in range(raters):
                    if rng.random() < miss:
                        continue
                    edges = np.array([x0, y0, x0 + 30, y0 + 24]) + rng.normal(0, noise, 4)
                    rows.append((f"{case}", k, f"r{rater}", "nodule", *edges))
    columns = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
    study = crowdqc.Study.from_boxes(pd.DataFrame(rows, columns=columns), single=())
    return crowdqc.match(study)


@pytest.fixture(scope="module")
def matched():
    return drawn()


def test_forecast_is_the_mean_over_all_that_raters_may_draw(matched):
    crowd = fit(matched)
    after, boxes = forecast(crowd, 3)
    read = crowd.evidence.asked_rater
    real, false = crowd.detection[read].mean(), crowd.invention[read].mean()
    edges = [forecast_edges(crowd, more) for more in range(4)]
    total = 0.0
    for draws in itertools.product((True, False), repeat=3):
        seen = np.prod([real if drew else 1 - real for drew in draws])
        invented = np.prod([false if drew else 1 - false for drew in draws])
        chance = crowd.exists * seen + (1 - crowd.exists) * invented
        total = total + chance * expected_error(crowd.exists * seen / chance, edges[sum(draws)])
    assert after[3] == pytest.approx(np.minimum(total, after[2]))
    assert (np.diff(after, axis=0) <= 0).all()
    assert ((after >= 0) & (after <= 1)).all()
    assert boxes == pytest.approx(crowd.exists * real + (1 - crowd.exists) * false)


def test_chance_of_a_wrong_box_is_that_of_drawn_errors():
    rng = np.random.default_rng(0)
    spread = np.array([[0.1, 0.15, 0.1, 0.2], [0.02, 0.02, 0.03, 0.02], [0.3, 0.3, 0.3, 0.3]])
    off = np.abs(rng.normal(size=(100_000, 3, 4)) * spread).sum(axis=2)
    # a sum of four is skew, and is taken to be normal
    assert chance_below(spread, 0.5) == pytest.approx((off > 0.5).mean(axis=0), abs=0.04)


def forecast_edges(crowd, more):
    """Expected error of the edges alone, from the definition: precisions add up."""
    size = np.hstack([crowd.box[:, 2:] - crowd.box[:, :2]] * 2)
    average = np.sqrt((crowd.sd[crowd.evidence.rater] ** 2).mean(axis=0))
    spread = average * crowd.difficulty[:, None]
    voices = np.bincount(crowd.evidence.object, crowd.voice, len(size))[:, None]
    common = crowd.shared**2
    own = (crowd.spread / size) ** 2 / (1 + common * voices)
    then = (1 / (1 / own + more / spread**2)) * (1 + common * (voices + more))
    then = np.minimum(np.sqrt(then), crowd.spread / size)
    return np.minimum(np.sqrt(2 / np.pi) * then.sum(axis=1), 1)


@pytest.mark.parametrize("seed", range(20))
def test_steps_are_the_best_that_so_many_boxes_can_do(seed):
    rng = np.random.default_rng(seed)
    n, ahead = 3, 3
    after = np.minimum.accumulate(rng.random((ahead + 1, n)), axis=0)
    boxes = rng.random(n) + 0.2
    steps = _steps(after, boxes)
    assert (np.diff(steps["gain"]) <= 1e-12).all()
    spent = steps["boxes"].cumsum()
    left = after[0].sum() - (steps["gain"] * steps["boxes"]).cumsum()
    plans = [
        (np.array(more) @ boxes, after[list(more), range(n)].sum())
        for more in itertools.product(range(ahead + 1), repeat=n)
    ]
    for boxes_spent, error in zip(spent, left, strict=True):
        best = min(error for cost, error in plans if cost <= boxes_spent + 1e-9)
        assert error == pytest.approx(best)


def test_budget_is_spent_on_what_gains_most(matched):
    table = budget(matched, most=20)
    assert table["n_boxes"].is_monotonic_increasing
    assert table["n_boxes"].iloc[-1] <= 20
    assert table["expected_error"].is_monotonic_decreasing
    assert table["gain"].iloc[1:].is_monotonic_decreasing
    assert pd.isna(table["case"].iloc[0])
    fallen = (table["gain"] * table["n_boxes"].diff()).iloc[1:].sum() / len(matched.objects)
    drop = table["expected_error"].iloc[0] - table["expected_error"].iloc[-1]
    assert fallen == pytest.approx(drop)
    assert len(budget(matched, most=0)) == 1


def test_states_follow_from_gain_and_error(matched):
    table = stopping(matched)
    assert set(table["state"]) <= {"ask", "stop", "expert"}
    assert ((table["state"] == "ask") == (table["gain"] >= Stopping().gain)).all()
    rest = table[table["state"] != "ask"]
    assert ((rest["state"] == "expert") == (rest["wrong"] > Stopping().wrong)).all()
    assert table["error_high"].between(0, 1).all()
    assert (table["wrong_left"] >= 0).all()
    assert (stopping(matched, Stopping(gain=1e-12))["state"] == "ask").mean() > 0.9
    alone = table[table["n_raters"] == 1].groupby(["case", "slice"]).size()
    new = table.groupby(["case", "slice"])["new"].first()
    assert new.loc[alone.index].to_numpy() == pytest.approx((alone.to_numpy() + 0.5) / 4)
    assert (new.drop(alone.index) == 0.125).all()
    asked = table.groupby(["case", "slice"])["state"].agg(lambda state: (state == "ask").any())
    read = table.groupby(["case", "slice"])["read"].first()
    assert (read == (asked | (new >= Stopping().new))).all()
    assert (stopping(matched, Stopping(gain=9))["state"] != "ask").all()


def test_nothing_is_known_without_two_raters():
    table = stopping(drawn(n_cases=1, raters=1))
    assert table["gain"].isna().all()
    assert (table["state"] == "ask").all()


def test_who_was_shown_an_object_as_done_does_not_count_as_asked(matched):
    crowd = fit(matched)
    drawn = matched.boxes.merge(matched.objects[["object", "n_asked"]], on="object")
    of = matched.objects.loc[crowd.evidence.n_boxes == 3].iloc[0]
    who = set(matched.people) - set(drawn.loc[drawn["object"] == of["object"], "rater"])
    box = crowd.box[of["object"]]
    shown = pd.DataFrame([{**of[["case", "slice", "label"]], "rater": min(who)}])
    shown[["x0", "y0", "x1", "y1"]] = box
    before, after = evidence(matched), without_shown(evidence(matched), matched, shown)
    assert (before.n_asked - after.n_asked).tolist() == [
        int(k == of["object"]) for k in range(before.n_objects)
    ]
    assert after.n_boxes.tolist() == before.n_boxes.tolist()
    fused = crowdqc.fuse(matched, shown=shown)
    assert fused["n_raters"].iloc[of["object"]] == 3
    drew = shown.assign(rater=drawn.loc[drawn["object"] == of["object"], "rater"].iloc[0])
    assert len(without_shown(before, matched, drew).drew) == len(before.drew)


@pytest.mark.parametrize("wrong", [{"gain": 0}, {"wrong": 1}, {"ahead": 0}, {"level": 1}])
def test_a_rule_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="out of range"):
        Stopping(**wrong)
