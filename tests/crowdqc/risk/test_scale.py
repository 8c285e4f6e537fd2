import numpy as np
import pandas as pd
import pytest

from crowdqc.risk import STATED, Scale, dice_interval, fit_scale


def test_nothing_graded_is_the_stated_scale_and_few_grades_move_it_little():
    assert fit_scale(np.zeros(0), np.zeros(0)) == STATED
    one = fit_scale(np.array([0.9]), np.array([0.0]))
    assert abs(one.intercept - STATED.intercept) < 1
    assert one.probability(np.array([0.5]))[0] < STATED.probability(np.array([0.5]))[0]


def test_many_grades_give_the_true_scale():
    rng, true = np.random.default_rng(0), Scale(-1.0, 1.2)
    risk = rng.random(20_000)
    found = fit_scale(risk, (rng.random(20_000) < true.probability(risk)).astype(float))
    assert (found.intercept, found.slope) == pytest.approx((-1.0, 1.2), abs=0.1)


def test_probability_keeps_the_order_and_what_is_not_known():
    chance = STATED.probability(np.array([0.0, 0.3, 0.9, 1.0, np.nan]))
    assert (np.diff(chance[:4]) > 0).all()
    assert 0 <= chance[0] < chance[3] <= 1
    assert np.isnan(chance[4])


def masks(cases, rng):
    """Masks of many cases, the Dice of which follows the support, with an effect of the case."""
    n = 40
    support = rng.uniform(0.3, 0.97, cases * n)
    shift = np.repeat(rng.normal(0, 0.02, cases), n)
    dice = np.clip(support + shift - rng.exponential(0.05, cases * n), 0, 1)
    table = pd.DataFrame(
        {
            "case": np.repeat([f"{k}" for k in range(cases)], n),
            "label": np.tile(["a", "b"], cases * n // 2),
            "risk_free": 1 - support,
            "support": support,
            **dict.fromkeys(("extent", "z_dice", "box_iou", "agreement", "box_fill"), np.nan),
            "area_mm2": 100.0,
        }
    )
    return table, dice


def test_intervals_hold_for_new_cases_and_are_narrower_than_one_for_all():
    covered, narrower = [], []
    for seed in range(8):
        table, dice = masks(18, np.random.default_rng(seed))
        scored = table["case"].isin([str(k) for k in range(8)]).to_numpy()
        low, high = dice_interval(table, np.where(scored, dice, np.nan))
        assert ((low >= 0) & (low <= high) & (high <= 1)).all()
        covered.append(((dice >= low) & (dice <= high))[~scored].mean())
        narrower.append((high - low)[~scored].mean() / np.ptp(np.quantile(dice, [0.05, 0.95])))
    assert 0.85 < np.mean(covered) < 0.95
    assert np.mean(narrower) < 2 / 3


@pytest.mark.parametrize("scored", [0, 1])
def test_no_interval_from_fewer_than_two_cases(scored):
    table, dice = masks(4, np.random.default_rng(0))
    known = table["case"].isin([str(k) for k in range(scored)])
    low, high = dice_interval(table, np.where(known, dice, np.nan))
    assert np.isnan(low).all()
    assert np.isnan(high).all()
