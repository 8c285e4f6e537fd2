"""Intervals and errors: by formulas, by simulation, and the mixed model by statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from crowdqc.agreement.mixed import adjust_scores
from crowdqc.agreement.ratios import clustered_ratio
from crowdqc.agreement.resample import PRIOR_DF, case_weights, clusters, ratio, statistic_interval


def test_the_ratio_is_that_of_the_sums():
    ratio = clustered_ratio(
        np.array([1.0, 0, 3, np.nan]),
        np.array([2.0, 2, 4, 1]),
        rater=np.array([0, 0, 1, 1]),
        cluster=np.array([0, 1, 0, 1]),
        n_raters=3,
    )

    assert ratio.value[:2].tolist() == [0.25, 0.75]
    assert np.isnan(ratio.value[2])
    assert ratio.n.tolist() == [2, 1, 0]
    assert ratio.df.tolist() == [2, 1, 1]  # own clusters less one, and the one that all lend


def test_many_clusters_give_the_error_of_the_mean():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 1, (400, 5)) + rng.normal(0, 2, (400, 1))
    ratio = clustered_ratio(
        x.ravel(),
        np.ones(2000),
        rater=np.zeros(2000, int),
        cluster=np.repeat(np.arange(400), 5),
        n_raters=1,
    )

    assert ratio.error[0] == pytest.approx(x.mean(axis=1).std(ddof=1) / 20, rel=1e-9)
    assert ratio.df[0] == 399 + PRIOR_DF


def test_bounds_for_all_raters_hold_for_all_in_nineteen_of_twenty_studies():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        cluster, rater = np.tile(np.arange(6), 8), np.repeat(np.arange(8), 6)
        ratio = clustered_ratio(
            rng.normal(0, 1, 48), np.ones(48), rater=rater, cluster=cluster, n_raters=8
        )
        low, high = ratio.bounds(0.95)
        held += ((low < 0) & (high > 0)).all()

    assert held / 300 > 0.93


def test_a_rater_with_one_cluster_borrows_the_spread_of_the_others():
    rng = np.random.default_rng(2)
    rater = np.array([*np.repeat(np.arange(5), 10), 5])
    cluster = np.array([*np.tile(np.arange(10), 5), 0])
    ratio = clustered_ratio(
        rng.normal(0, 3, 51), np.ones(51), rater=rater, cluster=cluster, n_raters=6
    )

    assert ratio.error[5] == pytest.approx(3, rel=0.3)
    assert ratio.df[5] == PRIOR_DF


def test_nobody_with_two_clusters_means_no_bounds():
    ratio = clustered_ratio(
        np.ones(2), np.ones(2), rater=np.arange(2), cluster=np.zeros(2, int), n_raters=2
    )

    assert np.isnan(ratio.error).all()
    assert np.isnan(ratio.bounds(0.95)).all()


def test_percentile_intervals_cover_the_mean():
    rng = np.random.default_rng(3)
    top = rng.normal(1, 1, (200, 3))
    bottom = np.ones((200, 3))
    top[1:, 2] = bottom[1:, 2] = 0
    weights = case_weights(200, n_resamples=2000, rng=rng)

    low, high = statistic_interval(ratio, [top, bottom], weights, level=0.95)

    half = 1.96 / np.sqrt(200)
    assert high[:2] - low[:2] == pytest.approx(2 * half, rel=0.15)
    assert np.isnan(low[2])  # one case with a denominator


def test_few_cases_are_cut_into_blocks_of_slices():
    case, plane = np.repeat([0, 1], 20), np.tile(np.arange(20), 2)
    few, unit = clusters(case, plane)

    assert (len(np.unique(few)), unit) == (4, "blocks of 10 slices")
    assert clusters(np.arange(5), np.zeros(5, int))[1] == "cases"


def test_the_mixed_model_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    rater, case = rng.integers(0, 6, 300), rng.integers(0, 40, 300)
    score = rng.normal(0, 0.3, 6)[rater] + rng.normal(0, 0.5, 40)[case] + rng.normal(0, 0.4, 300)
    frame = pd.DataFrame({"y": score, "r": rater, "c": case})
    fitted = smf.mixedlm("y ~ 0 + C(r)", frame, groups="c").fit(reml=True)

    ours = adjust_scores(score, rater, case, n_raters=7)

    assert ours.value[:6] == pytest.approx(fitted.params[:6].to_numpy(), abs=1e-5)
    assert ours.error[:6] == pytest.approx(fitted.bse[:6].to_numpy(), rel=1e-2)
    assert ours.between_cases == pytest.approx(fitted.cov_re.iloc[0, 0], rel=1e-3)
    assert ours.residual == pytest.approx(fitted.scale, rel=1e-3)
    assert np.isnan(ours.value[6])


def test_who_got_the_hard_cases_is_not_punished():
    rng = np.random.default_rng(4)
    hard = np.r_[np.zeros(10), np.full(10, -0.4)]
    rater = np.repeat([0, 1, 2], [20, 10, 10])
    case = np.r_[np.arange(20), np.arange(10), np.arange(10, 20)]
    score = 0.8 + hard[case] + rng.normal(0, 0.02, 40)

    ours = adjust_scores(score, rater, case, n_raters=3)

    assert score[rater == 2].mean() < score[rater == 1].mean() - 0.3
    assert ours.value[2] == pytest.approx(ours.value[1], abs=0.05)


def test_the_less_is_known_the_more_a_rater_is_shrunk():
    rng = np.random.default_rng(5)
    rater = np.r_[np.repeat(np.arange(6), 30), 6]
    case = np.r_[np.tile(np.arange(30), 6), 0]
    score = np.linspace(0.5, 0.9, 7)[rater] + rng.normal(0, 0.1, 181)

    ours = adjust_scores(score, rater, case, n_raters=7)
    moved = np.abs(ours.shrunk - ours.value)

    assert moved[6] > 5 * moved[:6].max()
    assert (ours.shrunk_error <= ours.error).all()


def test_one_score_each_tells_nothing():
    ours = adjust_scores(np.array([0.5, 0.9]), np.arange(2), np.zeros(2, int), n_raters=2)

    assert np.isnan(ours.shrunk).all()


@pytest.mark.parametrize("n_cases", [3, 5, 8, 15, 30])
def test_intervals_hold_where_cases_differ_in_hardness(n_cases):
    rng = np.random.default_rng(n_cases)
    studies = 400
    hard = np.exp(rng.normal(0, 0.5, (n_cases, studies)))
    n = rng.integers(20, 60, (n_cases, studies)).astype(float)
    missed = rng.binomial(n.astype(int), np.clip(0.1 * hard, 0, 1)).astype(float)
    truth = np.clip(0.1 * np.exp(rng.normal(0, 0.5, 10**6)), 0, 1).mean()
    weights = case_weights(n_cases, n_resamples=400, rng=rng)

    low, high = statistic_interval(ratio, [missed, n], weights, level=0.95)

    assert 0.88 <= ((low <= truth) & (truth <= high)).mean() <= 0.99


def test_two_cases_make_a_wider_interval_than_eight():
    rng = np.random.default_rng(0)
    wider, held = [], []
    for _ in range(1000):
        n = np.full((8, 2), 40.0)
        n[2:, 0] = 0
        right = rng.binomial(n.astype(int), np.clip(rng.normal(0.85, 0.06, n.shape), 0, 1))
        weights = case_weights(8, n_resamples=1, rng=rng)
        low, high = statistic_interval(
            ratio, [right.astype(float), n], weights, level=0.95, alike=np.zeros(2, int)
        )
        wider.append(high[0] - low[0] > high[1] - low[1])
        held.append((low <= 0.85) & (high >= 0.85))

    assert np.mean(wider) >= 0.95
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("n_cases", [3, 5, 8, 12])
def test_raters_with_spreads_of_their_own_are_held_though_they_lend(n_cases):
    rng = np.random.default_rng(n_cases)
    spread = np.tile([0.03, 0.05, 0.08], 400)
    value = rng.normal(0.8, spread, (n_cases, len(spread)))
    weights = case_weights(n_cases, n_resamples=1, rng=rng)

    low, high = statistic_interval(
        ratio,
        [value, np.ones_like(value)],
        weights,
        level=0.95,
        alike=np.repeat(np.arange(400), 3),
    )

    held = ((low <= 0.8) & (high >= 0.8)).reshape(400, 3).mean(axis=0)
    assert 0.93 <= held.mean() <= 0.98
    assert held.min() >= 0.85


def test_near_one_an_interval_is_skew_and_ends_before_it():
    value = np.array([[0.97], [0.99], [0.99], [0.85]])

    low, high = statistic_interval(ratio, [value, np.ones_like(value)], np.ones((1, 4)), level=0.95)

    assert 1 > high[0] > 0.95
    assert 0.95 - low[0] > 2 * (high[0] - 0.95)


def test_what_all_cases_agree_on_has_an_interval_of_no_width():
    value = np.ones((5, 1))

    low, high = statistic_interval(ratio, [value, value], np.ones((1, 5)), level=0.95)

    assert (low[0], high[0]) == (1.0, 1.0)


def test_what_is_alone_borrows_nothing():
    value = np.array([[0.5, 0.2], [0.7, 0.9], [0.6, 0.4]])
    alone, alike = (
        statistic_interval(
            ratio,
            [value, np.ones_like(value)],
            np.ones((1, 3)),
            level=0.95,
            alike=groups,
            bounded=False,
        )
        for groups in (None, np.arange(2))
    )

    np.testing.assert_array_equal(alone, alike)
    half = stats.t.ppf(0.975, 2) * value.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose((alone[1] - alone[0]) / 2, half)
