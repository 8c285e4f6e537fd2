import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crowdqc import plugins
from crowdqc.crowd import Evidence, fit_evidence
from crowdqc.fusion import load_method
from crowdqc.fusion.methods import majority, mean, median, simple, wbf
from crowdqc.fusion.staple import staple
from crowdqc.geometry import pairwise_iou

METHODS = {name: load_method(name) for name in plugins.names("crowdqc.fusion")}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def drawn(boxes, *, of=None, rater=None):
    """Evidence of boxes of which all raters were asked for all objects."""
    boxes = np.asarray(boxes, float)
    of = np.zeros(len(boxes), np.int64) if of is None else np.asarray(of)
    rater = np.arange(len(boxes)) if rater is None else np.asarray(rater)
    n_objects, n_raters = of.max() + 1, rater.max() + 1
    drew = np.zeros((n_objects, n_raters), bool)
    drew[of, rater] = True
    asked = np.indices(drew.shape).reshape(2, -1)
    return Evidence(
        boxes=boxes,
        object=of,
        rater=rater,
        asked_object=asked[0],
        asked_rater=asked[1],
        drew=drew.ravel(),
        place=np.arange(n_objects),
        label=np.zeros(n_objects, np.int64),
        case=np.arange(n_objects),
        plane=np.zeros(n_objects, np.int64),
        n_objects=int(n_objects),
        n_raters=int(n_raters),
    )


def some_crowd(seed, *, raters=5, objects=6, noise=2.0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(50, 150, (objects, 2))
    truth = np.hstack([low, low + rng.uniform(20, 60, (objects, 2))])
    of, rater = np.nonzero(rng.random((objects, raters)) < 0.8)
    of, rater = np.append(of, np.arange(objects)), np.append(rater, np.full(objects, raters))
    return drawn(truth[of] + np.clip(rng.normal(0, noise, (len(of), 4)), -9, 9), of=of, rater=rater)


@every_method
def test_one_rater_is_the_identity(method):
    boxes = [[1, 2, 5, 8], [3, 3, 9, 4.5]]
    fused = method(drawn(boxes, of=[0, 1], rater=[0, 0]))
    np.testing.assert_allclose(fused.box, boxes)
    assert np.isnan(fused.spread).all()


@every_method
def test_raters_who_agree_are_believed(method):
    fused = method(drawn([[1, 2, 5, 8]] * 4))
    np.testing.assert_allclose(fused.box, [[1, 2, 5, 8]], atol=1e-6)
    assert fused.score[0] > 0.9


def hands_count(method, *data):
    """Whether a pair may be one voice, which is measured by what a hand can draw (0.5 px)."""
    return method is METHODS["edges"] and any(fit_evidence(one).dependence.any() for one in data)


@every_method
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-40, 40), scale=st.floats(0.2, 5))
@example(seed=3146, shift=0.0, scale=0.5)
def test_fusion_moves_with_the_boxes(method, seed, shift, scale):
    data = some_crowd(seed)
    other = dataclasses.replace(data, boxes=data.boxes * scale + shift)
    fused, moved = method(data), method(other)
    px, share, score = (
        (0.1, 0.02, 0.005) if hands_count(method, data, other) else (1e-5, 1e-4, 1e-9)
    )
    np.testing.assert_allclose(moved.box, fused.box * scale + shift, atol=px * max(scale, 1))
    np.testing.assert_allclose(moved.spread, fused.spread * scale, rtol=share)
    np.testing.assert_allclose(moved.score, fused.score, atol=score)


@every_method
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_and_numbers_of_raters_do_not_matter(method, seed):
    data = some_crowd(seed)
    rng = np.random.default_rng(seed)
    order, number = rng.permutation(len(data.boxes)), rng.permutation(data.n_raters)
    other = drawn(data.boxes[order], of=data.object[order], rater=number[data.rater[order]])
    fused, again = method(data), method(other)
    np.testing.assert_allclose(again.box, fused.box, atol=1e-5)
    np.testing.assert_allclose(again.score, fused.score, atol=1e-9)


@every_method
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_fused_box_lies_in_the_hull(method, seed):
    data = some_crowd(seed, noise=1.0)
    fused = method(data)
    slack = 1.0 if method is METHODS["edges"] else 1e-9  # it takes out the bias of raters
    for k in range(data.n_objects):
        mine = data.boxes[data.object == k]
        assert (fused.box[k] >= mine.min(axis=0) - slack).all()
        assert (fused.box[k] <= mine.max(axis=0) + slack).all()
        assert (fused.box[k, :2] < fused.box[k, 2:]).all()


@every_method
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_boxes_that_hardly_overlap_make_a_box_all_the_same(method, seed):
    rng = np.random.default_rng(seed)
    of, rater = np.nonzero(rng.random((40, 4)) < 0.7)
    of = np.unique(of, return_inverse=True)[1]
    low = rng.uniform(0, 400, (len(of), 2))
    boxes = np.hstack([low, low + np.exp(rng.normal(2, 1.5, (len(of), 2)))])

    fused = method(drawn(boxes, of=of, rater=rater))

    assert (fused.box[:, :2] < fused.box[:, 2:]).all()


def test_median_and_mean_by_hand():
    data = drawn([[0, 0, 10, 10], [1, 0, 10, 12], [8, 3, 13, 20]])
    np.testing.assert_allclose(median(data).box, [[1, 0, 10, 12]])
    np.testing.assert_allclose(mean(data).box, [[3, 1, 11, 14]])
    np.testing.assert_allclose(mean(data).spread[0, 0], np.std([0, 1, 8], ddof=1) / 3**0.5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_majority_is_the_box_round_the_painted_majority(seed, raters):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 8, (raters, 2))
    boxes = np.hstack([low, low + rng.integers(6, 14, (raters, 2))])
    votes = np.zeros((24, 24))
    for x0, y0, x1, y1 in boxes:
        votes[y0:y1, x0:x1] += 1
    rows, columns = np.nonzero(votes > raters / 2)

    fused = majority(drawn(boxes)).box[0]

    if len(rows) == 0:
        np.testing.assert_allclose(fused, np.median(boxes, axis=0))
    else:
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(fused, expected)


def simple_by_painting(boxes):
    """SIMPLE written out on painted pixels: five votes, each without who was worst before."""
    masks = np.zeros((len(boxes), 30, 30), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True

    def vote(weight):
        rows, columns = np.nonzero(np.tensordot(weight, masks, 1) > weight.sum() / 2 + 1e-12)
        if len(rows) == 0:
            return np.median(boxes, axis=0)
        return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])

    weight = np.ones(len(boxes))
    for _ in range(5):
        agreement = pairwise_iou(boxes, vote(weight)[None])[:, 0]
        kept = agreement[weight > 0]
        limit = kept.mean() - kept.std()
        weight = np.where((weight > 0) & (agreement >= limit - 1e-9), agreement, 0)
    return vote(weight)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_simple_is_what_it_says_on_pixels(seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(2, 9, (5, 2))
    boxes = np.hstack([low, low + rng.integers(8, 16, (5, 2))])
    np.testing.assert_allclose(simple(drawn(boxes)).box[0], simple_by_painting(boxes))


def test_simple_leaves_out_the_box_that_disagrees():
    good = [[10, 10, 30, 30], [11, 10, 30, 31], [10, 11, 31, 30]]
    with_bad = simple(drawn([*good, [22, 22, 60, 60]]))
    np.testing.assert_allclose(with_bad.box, simple(drawn(good)).box)


def test_wbf_weighs_raters_by_their_agreement():
    """Rater 2 is off everywhere, so that the mean is nearer to the others than a plain one."""
    rng = np.random.default_rng(0)
    truth = np.tile([20.0, 20, 60, 60], (30, 1))
    boxes, of, rater = [], [], []
    for r, noise in enumerate([0.5, 0.5, 12.0]):
        boxes.append(truth + np.clip(rng.normal(0, noise, truth.shape), -18, 18))
        of.append(np.arange(30))
        rater.append(np.full(30, r))
    data = drawn(np.vstack(boxes), of=np.concatenate(of), rater=np.concatenate(rater))
    assert np.abs(wbf(data).box - truth).mean() < np.abs(mean(data).box - truth).mean()


def test_staple_keeps_what_is_more_likely_than_not():
    """Three of four cover the right half too: equal raters, so the majority decides."""
    data = drawn([[0, 0, 20, 10]] * 3 + [[0, 0, 10, 10]])
    np.testing.assert_allclose(staple(data).box, [[0, 0, 20, 10]])
    data = drawn([[0, 0, 20, 10]] + [[0, 0, 10, 10]] * 3)
    np.testing.assert_allclose(staple(data).box, [[0, 0, 10, 10]])


def test_staple_trusts_the_raters_who_are_right_elsewhere():
    """Two sloppy raters against one and a half good ones on the last object."""
    rng = np.random.default_rng(1)
    boxes, of, rater = [], [], []
    for k in range(40):
        for r in range(5):
            wide = 8.0 if r >= 3 else 0.0
            out = rng.uniform(0.5, 1) * wide
            boxes.append([20 - out, 20 - out, 60 + out, 60 + out])
            of.append(k)
            rater.append(r)
    for r, box in ((0, [20, 20, 60, 60]), (3, [12, 12, 68, 68]), (4, [12, 12, 68, 68])):
        boxes.append(box)
        of.append(40)
        rater.append(r)
    fused = staple(drawn(boxes, of=of, rater=rater))
    np.testing.assert_allclose(fused.box[40], [20, 20, 60, 60])
