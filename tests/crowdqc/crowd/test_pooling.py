"""How much units differ: against SciPy's F distribution, and against planted variances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from crowdqc.crowd import EdgeSettings
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.crowd.pooling import USUAL_BOXES, likely_boxes
from tests.crowdqc.crowd.test_crowd import planted

NORMAL = 4.0
"""Degrees of freedom of the mean square of a box with normal errors."""


def scattered(prior, n, *, boxes, seed=0):
    """Mean squares of the edges of `boxes` boxes each, from variances that a prior scatters."""
    rng = np.random.default_rng(seed)
    variance = 4 * prior / rng.chisquare(4 * prior, n)
    return variance * rng.chisquare(4 * boxes) / (4 * boxes)


@pytest.mark.parametrize("prior", [0.5, 2.0, 20.0])
def test_planted_strengths_are_found(prior):
    boxes = np.random.default_rng(1).integers(2, 9, 5000).astype(float)

    found = likely_boxes(scattered(prior, 5000, boxes=boxes), boxes, per_box=NORMAL)

    assert found == pytest.approx(prior, rel=0.1)


def test_equal_variances_are_held_together():
    boxes = np.full(5000, 5.0)
    square = np.random.default_rng(0).chisquare(20, 5000) / 20

    assert likely_boxes(square, boxes, per_box=NORMAL) > 50


def test_the_strength_is_the_mode_of_its_posterior():
    boxes = np.random.default_rng(2).integers(2, 6, 40).astype(float)
    square, per_box = scattered(3.0, 40, boxes=boxes), 6.4
    tried = np.geomspace(0.1, 64, 5000)
    fit = [
        stats.f.logpdf(square, per_box * boxes, per_box * m).sum()
        + stats.norm.logpdf(np.log(m), np.log(USUAL_BOXES), 1)
        for m in tried
    ]

    found = likely_boxes(square, boxes, per_box=per_box)

    assert found == pytest.approx(tried[np.argmax(fit)], rel=0.02)


def test_nothing_leaves_what_was_believed_beforehand():
    assert likely_boxes(np.zeros(0), np.zeros(0), per_box=6.4) == pytest.approx(USUAL_BOXES)


@settings(max_examples=50, deadline=None)
@given(
    arrays(float, st.integers(1, 30), elements=st.floats(0, 1e6)),
    st.floats(4, 15),
    st.integers(0, 2**32 - 1),
)
def test_the_order_of_units_does_not_matter(square, per_box, seed):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(1.01, 9, len(square))
    order = rng.permutation(len(square))

    found = likely_boxes(square, boxes, per_box=per_box)

    assert 0.05 < found < 130
    again = likely_boxes(square[order], boxes[order], per_box=per_box)
    assert again == pytest.approx(found, rel=1e-6)


def test_spreads_hold_on_easy_and_on_hard_objects():
    """Objects four times as hard as others: one common prior of 64 boxes would hold less."""
    data, truth = planted(3, sd=np.full((6, 4), 0.02), bias=np.zeros((6, 4)), n=600)
    hard = np.random.default_rng(4).lognormal(sigma=0.7, size=600)
    of = data.object
    data.boxes[:] = truth[of] + (data.boxes - truth[of]) * hard[of, None]
    hardest = hard > np.quantile(hard, 0.75)

    held = {}
    for boxes in (None, 64.0):
        found = fit_edges(data, EdgeSettings(object_boxes=boxes))
        off = np.abs(found.box - truth) / found.spread
        held[boxes] = [(off[part] < 1.96).mean() for part in (hardest, ~hardest)]

    assert min(held[None]) > 0.9
    assert held[64.0][0] < held[None][0] - 0.05
