"""Tails of edges and of boxes: against SciPy's densities, and crowds whose tails are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_t, t

from crowdqc.crowd import fit_evidence, median_boxes
from crowdqc.crowd.student import Tails, likely_tails, log_student
from crowdqc.geometry import paired_iou
from tests.crowdqc.crowd.test_wrong import drawn


@given(st.lists(st.floats(-30, 30), min_size=4, max_size=4), st.floats(1, 60))
@settings(max_examples=60, deadline=None)
def test_the_density_of_a_box_is_that_of_students_t_of_four(error, freedom):
    expected = multivariate_t(np.zeros(4), np.eye(4), df=freedom).logpdf(error)
    assert log_student(np.sum(np.square(error)), freedom, n=4) == pytest.approx(expected, abs=1e-6)


def errors(kind, freedom, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    size = (n, 4) if kind == "edge" else (n, 1)
    return rng.standard_normal((n, 4)) / np.sqrt(rng.chisquare(freedom, size) / freedom)


@pytest.mark.parametrize("kind", ["edge", "box"])
@pytest.mark.parametrize("freedom", [1.5, 2.5])
def test_tails_are_found_where_they_are(kind, freedom):
    found = likely_tails(errors(kind, freedom) ** 2, np.ones(4000))
    assert found.share == pytest.approx(float(kind == "box"), abs=1e-6)
    assert getattr(found, kind) == pytest.approx(freedom, rel=0.15)
    assert found.freedom == pytest.approx(getattr(found, kind), rel=1e-3)


def test_the_share_grows_with_what_boxes_ask_for():
    found = [likely_tails(errors("box", free) ** 2, np.ones(4000)).share for free in (2, 4, 5, 9)]
    assert found[0] == 1 > found[1] > found[2] > found[3] == 0


def test_of_normal_errors_hardly_any_is_distrusted():
    found = likely_tails(np.random.default_rng(0).standard_normal((4000, 4)) ** 2, np.ones(4000))
    assert found.freedom > 30
    assert found.known > 0.93
    assert found.trust(np.full((1, 4), 9.0)).min() > 0.7


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_two_readings_are_averaged(share):
    tails, square = Tails(3.0, 5.0, share), np.array([[0.0, 1.0, 4.0, 25.0]])
    edge, box = 4 / (3 + square), np.full((1, 4), 9 / 35)
    assert tails.trust(square) == pytest.approx((1 - share) * edge + share * box)
    apart = t(3).logpdf(np.sqrt(square)).sum()
    together = multivariate_t(np.zeros(4), np.eye(4), df=5).logpdf(np.sqrt(square[0]))
    assert tails.log_density(square) == pytest.approx((1 - share) * apart + share * together)


@pytest.mark.parametrize(("kind", "freedom"), [("edge", 3.0), ("box", 3.0)])
def test_the_mean_square_of_a_box_varies_as_it_says(kind, freedom):
    square = errors(kind, freedom, n=400_000) ** 2
    tails = Tails(freedom, freedom, float(kind == "box"))
    mean = (tails.trust(square) * square).mean(axis=1)
    assert mean.mean() == pytest.approx(1, rel=0.01)
    assert 2 / mean.var() == pytest.approx(tails.per_box, rel=0.02)


def test_who_draws_whole_boxes_without_care_now_and_then_moves_no_fused_box():
    rng = np.random.default_rng(0)
    side = rng.uniform(20, 80, (300, 2))
    true = np.hstack([np.full((300, 2), 100.0), 100 + side])
    mood = np.exp(rng.normal(0, 0.9, (300, 5, 1)))
    error = rng.standard_normal((300, 5, 4)) * 0.03 * np.hstack([side, side])[:, None] * mood
    boxes = true[:, None] + error
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + 1)
    data = drawn(boxes, np.ones((300, 5), bool))

    crowd = fit_evidence(data)

    median = median_boxes(data.boxes, data.object, data.n_objects)
    gain = paired_iou(crowd.box, true) - paired_iou(median, true)
    assert gain.mean() > 0.005
    assert 0.9 <= (np.abs(crowd.box - true) <= 1.96 * crowd.spread).mean() <= 0.99
