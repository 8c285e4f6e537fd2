"""How likely a fused box is wrong: against other ways to work it out, and crowds with a truth."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_t

from crowdqc.crowd import EdgeSettings, Evidence, ExistenceSettings, fit_evidence
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.crowd.existence_fit import fit_existence
from crowdqc.crowd.wrong import (
    _contrasts,
    _log_contrasts,
    agreed_existence,
    by_size,
    chance_off,
    size_factors,
)
from crowdqc.geometry import paired_iou

UNIT = np.array([0.0, 0.0, 1.0, 1.0])


def drawn(boxes, drew, *, label=None):
    """Evidence of objects (O, R, 4), all of which all raters were asked for."""
    n, raters = drew.shape
    of, who = np.nonzero(drew)
    return Evidence(
        boxes=boxes[of, who],
        object=of,
        rater=who,
        asked_object=np.repeat(np.arange(n), raters),
        asked_rater=np.tile(np.arange(raters), n),
        drew=drew.ravel(),
        place=np.arange(n),
        label=np.zeros(n, int) if label is None else label,
        case=np.arange(n) // 10,
        plane=np.arange(n),
        n_objects=n,
        n_raters=raters,
    )


def crowd(seed, *, n=120, raters=4, sd=0.04, px=0.0, sides=(20, 60)):
    """A crowd whose hands err by a share of the size and by some px; and the true boxes."""
    rng = np.random.default_rng(seed)
    side = rng.uniform(*sides, (n, 2))
    true = np.hstack([np.full((n, 2), 100.0), 100 + side])
    error = np.hypot(sd * np.hstack([side, side]), px)[:, None]
    boxes = true[:, None] + rng.standard_normal((n, raters, 4)) * error
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + 0.5)
    return drawn(boxes, np.ones((n, raters), bool)), true


@pytest.mark.parametrize("spread", [(0.1,) * 4, (0.3, 0.02, 0.1, 0.2), (0.5,) * 4, (0.05, 1, 1, 0)])
def test_chance_of_a_bad_box_is_that_of_drawn_errors(spread):
    error = np.random.default_rng(1).standard_normal((40_000, 4)) * spread
    boxes = UNIT + error
    sound = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    overlap = np.zeros(len(boxes))
    overlap[sound] = paired_iou(boxes[sound], np.tile(UNIT, (int(sound.sum()), 1)))

    assert chance_off(np.tile(UNIT, (1, 1)), np.array([spread])) == pytest.approx(
        (overlap < 0.5).mean(), abs=0.02
    )


def test_on_whole_pixels_box_and_truth_are_rounded():
    box, spread = np.array([[10.3, 20.0, 13.4, 23.0]]), np.full((1, 4), 0.45)
    error = np.random.default_rng(1).standard_normal((40_000, 4)) * spread
    truth = np.round(box + error)
    sound = (truth[:, 2:] > truth[:, :2]).all(axis=1)
    overlap = np.zeros(len(truth))
    fused = np.tile(np.round(box), (int(sound.sum()), 1))
    overlap[sound] = paired_iou(truth[sound], fused)

    found = chance_off(box, spread, whole=True)

    assert found == pytest.approx((overlap < 0.5).mean(), abs=0.03)
    assert found > chance_off(box, spread) + 0.05


@settings(max_examples=25)
@given(st.lists(st.floats(0.0, 0.6), min_size=4, max_size=4), st.floats(1.0, 2.0))
def test_a_box_with_wider_edges_is_not_less_likely_bad(spread, wider):
    spreads = np.array([spread, np.multiply(spread, wider)])
    narrow, wide = chance_off(np.tile(UNIT, (2, 1)), spreads)

    assert 0 <= narrow <= wide + 0.01 <= 1.01


def test_where_nothing_is_known_of_the_edges_nothing_is_known_of_the_box():
    chance = chance_off(np.tile(UNIT, (2, 1)), np.array([[np.nan] * 4, [0.0] * 4]))

    assert np.isnan(chance[0])
    assert chance[1] == 0


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 5), st.integers(0, 50), st.sampled_from([1.0, 8.0, 64.0]))
def test_density_of_boxes_is_that_of_their_contrasts(raters, seed, freedom):
    data, _ = crowd(seed, n=3, raters=raters)
    edges = fit_edges(data, EdgeSettings())
    assume((edges.voice == 1).all())  # of so few objects some boxes lie alike by chance
    rows = np.arange(len(data.boxes))
    scale = np.random.default_rng(seed).uniform(0.02, 0.3, (len(rows), 4))
    found = _log_contrasts(*_contrasts(data, edges, rows, scale=scale), freedom=freedom)

    basis = np.linalg.svd(np.ones((1, raters)))[2][1:]  # of what is the same wherever they lie
    size = np.tile(edges.box[:, 2:] - edges.box[:, :2], 2)
    for k in range(3):
        mine = data.object == k
        place = data.boxes[mine] / size[k] - edges.bias[data.rater[mine]]
        flat = (basis @ place).T.ravel()
        shape = np.zeros((len(flat), len(flat)))
        for edge in range(4):
            part = slice(edge * (raters - 1), (edge + 1) * (raters - 1))
            shape[part, part] = basis @ np.diag(scale[mine][:, edge] ** 2) @ basis.T
        expected = multivariate_t(np.zeros(len(flat)), shape, df=freedom).logpdf(flat)
        # the basis has another unit of volume, the same for all densities of so many boxes
        assert found[k] + 2 * np.log(raters) == pytest.approx(expected, abs=1e-6)


def factors(data):
    """Factors of the variance of edges where the objects' own difficulty is not known."""
    edges = fit_edges(data, EdgeSettings())
    return size_factors(data, edges, edges.scale / edges.difficulty[data.object][:, None])


def test_small_objects_are_worse_for_hands_with_an_error_in_px():
    data, true = crowd(3, n=400, sd=0.02, px=1.0, sides=(4, 80))
    side = np.tile(true[:, 2:] - true[:, :2], 2)
    variance = 0.02**2 + side**-2.0

    factor = factors(data)

    ratio = np.log(factor / variance)
    assert np.ptp(np.log(variance)) > 4
    assert ratio.std() < 0.45
    assert factor.mean() == pytest.approx(1, abs=0.2)


def test_hands_that_err_in_proportion_have_no_factor():
    data, _ = crowd(4, n=400, sd=0.04, px=0.0, sides=(10, 80))

    factor = factors(data)

    assert np.abs(np.log(factor)).max() < 0.3


def test_without_two_raters_on_an_object_there_is_no_factor():
    boxes = np.tile(UNIT * 10, (4, 2, 1))
    data = drawn(boxes, np.array([[True, False], [False, True]] * 2))

    assert (factors(data) == 1).all()
    assert np.isnan(fit_evidence(data).wrong).all()


def inventors(apart, seed=0):
    """Five raters who miss and invent, and two of them in one place, `apart` px off each."""
    rng = np.random.default_rng(seed)
    boxes = UNIT * 40 + rng.standard_normal((121, 5, 4))
    drew = rng.random((121, 5)) < 0.75
    drew[np.arange(60), np.arange(60) % 5] = True
    drew[60:120] = np.eye(5, dtype=bool)[np.arange(60) % 5]  # boxes of nothing
    drew[120] = [True, True, False, False, False]
    boxes[120, 0] += apart * np.array([1, 1, 1, 0.5])
    boxes[120, 1] -= apart * np.array([0, 0.5, 1, 1])
    return drawn(boxes, drew)


def test_boxes_of_two_inventors_that_lie_apart_are_wrong():
    near, far = (fit_evidence(inventors(apart)) for apart in (0, 6))

    assert near.exists[120] == pytest.approx(far.exists[120], abs=0.05)
    assert far.wrong[120] > near.wrong[120] + 0.2
    assert far.wrong[120] > 0.5
    assert near.wrong[120] < 0.5
    assert (near.wrong >= 1 - near.exists * near.located - 1e-9).all()


def test_spreads_of_small_and_of_large_objects_hold_alike():
    data, true = crowd(3, n=400, sd=0.02, px=1.0, sides=(8, 80))
    plain = fit_edges(data, EdgeSettings())
    sized = by_size(data, plain)
    np.testing.assert_array_equal(sized.box, plain.box)
    held, lowest = [], []
    for found in (plain, sized):
        held.append(np.abs(found.box - true) <= 1.96 * found.spread)
        lowest.append(held[-1][found.spread <= np.quantile(found.spread, 0.2)].mean())

    assert held[1].mean() == pytest.approx(0.95, abs=0.03)
    assert lowest[1] > max(0.83, lowest[0] + 0.03)


def test_of_two_who_lie_apart_one_who_often_strays_makes_no_object_doubtful():
    rng = np.random.default_rng(2)
    boxes = UNIT * 40 + rng.standard_normal((120, 3, 4))
    drew = rng.random((120, 3)) < 0.95
    drew[:, 2] = True
    boxes[:30, 2] += 25.0
    drew[:10, 1] = False
    drew[:10, 0] = True  # there, one is right, and the one who strays is astray
    found = fit_evidence(drawn(boxes, drew))

    assert found.exists[:10].min() > 0.95
    assert found.wrong[:10].max() < 0.3


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 30), st.floats(0, 10))
def test_how_boxes_lie_never_makes_an_object_likelier(seed, apart):
    data = inventors(apart, seed)
    edges = fit_edges(data, EdgeSettings())
    existence = fit_existence(data, ExistenceSettings(), edges.dependence)

    after = agreed_existence(data, edges, existence)
    assert (after <= existence.probability + 1e-12).all()
    assert ((existence.slip >= 0) & (existence.slip <= 1)).all()

    none = dataclasses.replace(existence, slip=np.zeros(data.n_objects))
    after = agreed_existence(data, edges, none)
    np.testing.assert_allclose(after, existence.probability, atol=1e-9)  # all are temptations


def test_a_copy_of_a_rater_changes_nothing():
    data = inventors(4)
    rows = np.flatnonzero(data.rater == 4)
    asked = np.flatnonzero(data.asked_rater == 4)
    order = np.argsort(np.r_[data.asked_object, data.asked_object[asked]], kind="stable")
    copied = dataclasses.replace(
        data,
        boxes=np.vstack([data.boxes, data.boxes[rows]]),
        object=np.r_[data.object, data.object[rows]],
        rater=np.r_[data.rater, np.full(len(rows), 5)],
        asked_object=np.r_[data.asked_object, data.asked_object[asked]][order],
        asked_rater=np.r_[data.asked_rater, np.full(len(asked), 5)][order],
        drew=np.r_[data.drew, data.drew[asked]][order],
        n_raters=6,
    )

    np.testing.assert_allclose(fit_evidence(copied).wrong, fit_evidence(data).wrong, atol=1e-6)


def test_about_as_many_boxes_are_wrong_as_is_said():
    said, wrong = [], []
    for seed in range(4):
        data, true = crowd(seed, n=150, raters=5, sd=0.03, px=2.0, sides=(3, 60))
        found = fit_evidence(data)
        said.append(found.wrong)
        wrong.append(paired_iou(found.box, true) < 0.5)
    said, wrong = np.concatenate(said), np.concatenate(wrong)

    assert wrong.sum() / 4 < said.sum() < wrong.sum() * 4
    assert said[wrong].mean() > 10 * said[~wrong].mean()
