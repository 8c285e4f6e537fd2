"""Calibration of the risk: against a known model, and against statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import logit

from crowdqc.risk import calibrate, cross_validate


def scored(seed=0, n=400):
    """Signals of which the truth is a known logistic model."""
    rng = np.random.default_rng(seed)
    support, extent = rng.uniform(0.1, 0.95, n), rng.uniform(0.1, 0.95, n)
    label = rng.choice(["a", "b"], n)
    score = (
        3 - 2 * np.log(support / (1 - support)) - np.log(extent / (1 - extent)) - 4 * (label == "b")
    )
    wrong = rng.random(n) < 1 / (1 + np.exp(-score))
    table = pd.DataFrame({"support": support, "extent": extent, "label": label})
    table["case"] = rng.choice(list("wxyz"), n)
    return table, np.where(wrong, 0.2, 0.9), 1 / (1 + np.exp(-score))


def test_calibration_finds_the_probability():
    table, dice, probability = scored(n=4000)

    found = calibrate(table, dice).predict(table)

    assert np.abs(found - probability).mean() < 0.02


def test_calibration_is_the_minimum_that_statsmodels_finds():
    table, dice, _ = scored()
    model = calibrate(table, dice)
    seen = [logit(table["support"]), logit(table["extent"])]
    seen += [table["label"] == label for label in model.labels]
    x = sm.add_constant((np.column_stack(seen) - model.mean) / model.scale)
    fit = sm.GLM((dice < 0.5).astype(float), x, family=sm.families.Binomial())
    n, penalty = len(x), np.r_[0, np.full(x.shape[1] - 1, model.penalty)]
    oracle = fit.fit_regularized(alpha=penalty / n, L1_wt=0.0).params

    assert np.r_[model.intercept, model.weights] == pytest.approx(oracle, abs=1e-3)


def test_cross_validation_never_saw_the_case():
    table, dice, _ = scored()
    spoilt = np.where(table["case"] == "w", 1.1 - dice, dice)

    honest, tempted = cross_validate(table, dice), cross_validate(table, spoilt)

    assert honest[table["case"] == "w"] == pytest.approx(tempted[table["case"] == "w"])
    assert honest[table["case"] == "x"] != pytest.approx(tempted[table["case"] == "x"])


def test_a_label_that_was_not_calibrated_has_no_intercept():
    table, dice, _ = scored()
    model = calibrate(table, dice)

    known, unknown = (logit(model.predict(table.assign(label=name))) for name in ("a", "c"))
    intercept = known - unknown
    assert intercept == pytest.approx(np.full(400, intercept[0]))
    assert abs(intercept[0]) > 0.1


@pytest.mark.parametrize("dice", [np.full(400, 0.9), np.full(400, 0.1), np.full(400, np.nan)])
def test_calibration_needs_good_and_bad_masks(dice):
    with pytest.raises(ValueError, match="'dice' must"):
        calibrate(scored()[0], dice)


def test_where_only_one_case_has_wrong_masks_its_risk_is_not_known():
    table, dice, _ = scored()
    dice = np.where(table["case"] == "w", dice, 0.9)

    risk = cross_validate(table, dice)

    assert np.isnan(risk[table["case"] == "w"]).all()
    assert np.isfinite(risk[table["case"] != "w"]).all()
