"""Raters who are not independent, and what must not change by them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.crowd import Evidence, fit_evidence
from crowdqc.crowd.dependence import likeness
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.crowd.edges import EdgeSettings
from crowdqc.fusion import fuse
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from crowdqc.schema import BOX
from tests.crowdqc.crowds import crowd_study

few = settings(max_examples=8, deadline=None)


def drawn(rng, hands, *, n=120, miss=0.05, whole=False):
    """Evidence of raters whose edges scatter by `hands` (a share of the size each), and truth."""
    low = rng.uniform(20, 200, (n, 2))
    side = rng.uniform(30, 120, (n, 2))
    truth = np.hstack([low, low + side])
    size, r = np.hstack([side, side]), len(hands)
    boxes = truth[:, None] + size[:, None] * np.array(hands)[:, None] * rng.normal(size=(n, r, 4))
    boxes = boxes.round() if whole else boxes
    drew = rng.random((n, r)) >= miss
    drew[~drew.any(axis=1), 0] = True
    return evidence_of(boxes, drew), truth


def evidence_of(boxes, drew):
    """Evidence of boxes (objects, raters, 4), all raters asked for all objects."""
    n, r = drew.shape
    of, who = np.nonzero(drew)
    asked = np.indices(drew.shape).reshape(2, -1)
    return Evidence(
        boxes=boxes[of, who],
        object=of,
        rater=who,
        asked_object=asked[0],
        asked_rater=asked[1],
        drew=drew.ravel(),
        place=np.arange(n),
        label=np.arange(n) % 3,
        case=np.arange(n) // 15,
        plane=np.arange(n) % 15,
        n_objects=n,
        n_raters=r,
    )


def with_copy(data, of, *, nudge=0.0, rng=None):
    """The evidence with one more rater, who hands in what `of` drew, moved by `nudge` px."""
    drew = data.drew.reshape(data.n_objects, data.n_raters)
    boxes = np.zeros((*drew.shape, 4))
    boxes[data.object, data.rater] = data.boxes
    copy = boxes[:, [of]]
    if nudge:
        copy = copy + rng.normal(0, nudge, copy.shape)
    boxes = np.concatenate([boxes, copy], axis=1)
    return evidence_of(boxes, np.column_stack([drew, drew[:, of]]))


hands = st.lists(st.sampled_from([0.02, 0.03, 0.05, 0.08]), min_size=4, max_size=6)


@few
@given(st.integers(0, 10**6), hands)
def test_an_exact_copy_changes_nothing(seed, sds):
    rng = np.random.default_rng(seed)
    data, _ = drawn(rng, sds)
    copied = int(rng.integers(len(sds)))

    alone, both = fit_evidence(data), fit_evidence(with_copy(data, copied))

    n = len(sds)
    assert both.group[n] == both.group[copied]
    np.testing.assert_allclose(both.box, alone.box, atol=1e-6)
    np.testing.assert_allclose(both.exists, alone.exists, atol=1e-6)
    np.testing.assert_allclose(both.spread, alone.spread, atol=1e-6)
    np.testing.assert_allclose(both.reliability[:n], alone.reliability, atol=1e-6)
    assert both.reliability[n] == pytest.approx(both.reliability[copied], abs=1e-9)


@few
@given(st.integers(0, 10**6), hands)
def test_a_nudged_copy_changes_next_to_nothing(seed, sds):
    rng = np.random.default_rng(seed)
    data, _ = drawn(rng, sds)
    copied = int(rng.integers(len(sds)))

    alone, both = fit_evidence(data), fit_evidence(with_copy(data, copied, nudge=0.4, rng=rng))

    n = len(sds)
    size = np.tile(alone.box[:, 2:] - alone.box[:, :2], 2)
    assert both.group[n] == both.group[copied]
    assert (np.abs(both.box - alone.box) / size).mean() < 0.01
    np.testing.assert_allclose(both.exists, alone.exists, atol=0.01)
    np.testing.assert_allclose(both.reliability[:n], alone.reliability, atol=0.01)


@pytest.mark.parametrize("whole", [False, True], ids=["anywhere", "on whole pixels"])
@pytest.mark.parametrize("seed", range(4))
def test_a_copy_is_one_voice_in_the_consensus(seed, whole):
    study, _ = crowd_study(seed, sd=[2.0] * 5, things=60)
    boxes = study.boxes.assign(**study.boxes[BOX].round()) if whole else study.boxes
    more = boxes[boxes["rater"] == "r4"].assign(rater="r5")
    read = study.readings[study.readings["rater"] == "r4"].assign(rater="r5")
    plain = dataclasses.replace(study, boxes=boxes)
    both = dataclasses.replace(
        study,
        boxes=pd.concat([boxes, more.assign(box=more["box"] + 10**4)], ignore_index=True),
        readings=pd.concat([study.readings, read], ignore_index=True),
    )

    one, two = fuse(match(plain)), fuse(match(both))

    assert two["support"].tolist() == one["support"].tolist()
    assert two["n_raters"].tolist() == one["n_raters"].tolist()
    assert two["raters"].str.contains("r4 r5").mean() > 0.9
    np.testing.assert_allclose(two[BOX], one[BOX], atol=1e-6)
    np.testing.assert_allclose(two["score"], one["score"], atol=1e-6)


varied = st.lists(st.sampled_from([0.01, 0.03, 0.1, 0.3]), min_size=3, max_size=7)


def groups(data):
    found = fit_edges(data, EdgeSettings()).dependence
    return found, found.groups()


@pytest.mark.parametrize("raters", [4, 5, 7])
@pytest.mark.parametrize("seed", range(5))
def test_two_who_hand_in_the_same_wrong_boxes_are_found(seed, raters):
    """Their errors are far larger than those of the honest, and shared to a pixel."""
    rng = np.random.default_rng(seed)
    data, truth = drawn(rng, [0.03] * (raters - 2), miss=0)
    drew = np.ones((data.n_objects, raters), bool)
    boxes = np.empty((*drew.shape, 4))
    boxes[:, :-2] = data.boxes.reshape(data.n_objects, -1, 4)
    size = np.tile(truth[:, 2:] - truth[:, :2], 2)
    wrong = truth + size * (0.15 * rng.normal(size=truth.shape) + 0.1)
    boxes[:, -2:] = wrong[:, None] + rng.normal(0, 0.7, (len(wrong), 2, 4))

    found, group = groups(evidence_of(boxes, drew))

    assert list(zip(found.first, found.second, strict=True)) == [(raters - 2, raters - 1)]
    assert found.share[0] > 0.95
    assert len(set(group[:-2])) == raters - 2
    fused = fit_evidence(evidence_of(boxes, drew))
    assert np.abs((fused.box - truth) / size).mean() < 0.02
    assert fused.reliability[:-2].min() > fused.reliability[-2:].max()


@few
@given(
    st.integers(0, 10**6), st.lists(st.sampled_from([0.01, 0.03, 0.1, 0.3]), min_size=3, max_size=7)
)
def test_the_honest_are_not_taken_for_copies_beside_whoever(seed, sds):
    """Precise ones beside sloppy ones: their nearness is what they vary by."""
    data, _ = drawn(np.random.default_rng(seed), sds)
    found, _ = groups(data)
    assert not (found.share > 0.3).any()


@few
@given(st.integers(0, 10**6))
def test_two_conventions_are_not_two_copies(seed):
    """Two sites of three raters, one of which draws a tenth wider on every side."""
    rng = np.random.default_rng(seed)
    data, truth = drawn(rng, [0.03] * 6, miss=0)
    size = np.tile(truth[:, 2:] - truth[:, :2], 2)[data.object]
    wide = (data.rater >= 3)[:, None] * 0.1 * size * np.array([-1, -1, 1, 1])
    found, _ = groups(dataclasses.replace(data, boxes=data.boxes + wide))
    assert not (found.share > 0.3).any()


@few
@given(st.integers(0, 10**6), hands)
def test_exchanging_raters_changes_nothing(seed, sds):
    rng = np.random.default_rng(seed)
    data = with_copy(drawn(rng, sds)[0], 0, nudge=0.4, rng=rng)
    order = rng.permutation(data.n_raters)
    drew = data.drew.reshape(data.n_objects, -1)
    boxes = np.zeros((*drew.shape, 4))
    boxes[data.object, data.rater] = data.boxes

    one, two = fit_evidence(data), fit_evidence(evidence_of(boxes[:, order], drew[:, order]))

    np.testing.assert_allclose(two.box, one.box, atol=1e-6)
    np.testing.assert_allclose(two.reliability, one.reliability[order], atol=1e-6)


@few
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_one_box_more_moves_the_other_boxes_a_little_only(seed, raters):
    """Whoever lacks the box: of two raters, one of whom draws 30 % too large, too."""
    rng = np.random.default_rng(seed)
    data, truth = drawn(rng, [0.02] * raters, n=60, miss=0)
    size = np.tile(truth[:, 2:] - truth[:, :2], 2)
    wide = 0.15 * np.array([-1, -1, 1, 1]) * size
    boxes = data.boxes.reshape(60, raters, 4)
    boxes[:, -1] += wide
    whole = fit_evidence(evidence_of(boxes, np.ones((60, raters), bool))).box
    for lacks in (0, raters - 1):
        drew = np.ones((60, raters), bool)
        drew[0, lacks] = False
        less = fit_evidence(evidence_of(boxes, drew)).box
        assert (np.abs(less - whole)[1:] / size[1:]).max() < 0.03


@few
@given(st.integers(0, 10**6), st.sampled_from([3, 4, 6]))
def test_a_box_far_away_does_not_pull(seed, raters):
    rng = np.random.default_rng(seed)
    data, _ = drawn(rng, [0.02] * raters, n=40, miss=0)
    boxes = data.boxes.reshape(40, raters, 4).copy()
    boxes[3, 0] += 300
    drew = np.ones((40, raters), bool)
    without = drew.copy()
    without[3, 0] = False
    found = fit_evidence(evidence_of(boxes, drew))
    least = fit_evidence(evidence_of(boxes, without)).box
    assert np.abs(found.box - least)[3].max() < 1
    assert found.astray[(found.evidence.object == 3) & (found.evidence.rater == 0)] > 0.9


@pytest.mark.parametrize("flood", [20, 300, 10_000])
def test_a_flood_of_one_rater_changes_nothing_of_the_others(flood):
    rng = np.random.default_rng(0)
    data, _ = drawn(rng, [0.03] * 3, n=60, miss=0.03)
    boxes = np.zeros((60, 3, 4))
    boxes[data.object, data.rater] = data.boxes
    drew = data.drew.reshape(60, 3)
    low = rng.uniform(0, 400, (flood, 2))
    more = np.zeros((flood, 3, 4))
    more[:, 2] = np.hstack([low, low + 9])
    alone = np.tile([False, False, True], (flood, 1))

    calm = fit_evidence(data)
    found = fit_evidence(evidence_of(np.concatenate([boxes, more]), np.vstack([drew, alone])))

    two = drew.sum(axis=1) > 1
    np.testing.assert_allclose(found.exists[:60][two], calm.exists[two], atol=0.01)
    assert found.exists[60:].max() < 0.05
    assert found.reliability[:2].min() > 0.85
    assert found.reliability[2] < 0.9


@pytest.mark.parametrize("n_raters", [2, 3, 5])
@pytest.mark.parametrize("nudge", [0.0, 0.2], ids=["equal", "within a fifth of a pixel"])
def test_a_crowd_that_agrees_as_a_whole_is_no_group_of_copiers(n_raters, nudge):
    rng = np.random.default_rng(0)
    data, _ = drawn(rng, [0.03], miss=0.0)
    for _ in range(n_raters - 1):
        data = with_copy(data, 0, nudge=nudge, rng=rng)

    crowd = fit_evidence(data)

    assert len(set(crowd.group)) == n_raters
    assert (crowd.exists > 0.95).all()
    assert (crowd.expected_error < 0.1).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_on_one_of_few_slices_leaves_the_others_reliable(seed):
    """Five slices, on one of which the third of three good raters adds 20 small boxes."""
    rng = np.random.default_rng(seed)
    boxes = np.zeros((25, 3, 4))
    boxes[:5] = np.array([205.0, 207, 307, 309]) + rng.normal(0, 2, (5, 3, 4))
    low = rng.uniform(0, 500, (20, 2))
    boxes[5:, 2] = np.hstack([low, low + 5])
    drew = np.ones((25, 3), bool)
    drew[5:, :2] = False
    place = np.append(np.arange(5), np.full(20, 2))
    data = dataclasses.replace(evidence_of(boxes, drew), place=place, plane=place)

    found = fit_evidence(data)

    assert found.exists[:5].min() > 0.99
    assert found.exists[5:].max() < 0.05
    assert found.reliability[:2].min() > 0.93
    assert found.reliability[2] < 0.5


def test_raters_at_two_other_places_do_not_speak_for_one_another():
    rng = np.random.default_rng(2)
    data, _ = drawn(rng, [0.02] * 4, miss=0.0)
    boxes = data.boxes.reshape(data.n_objects, 4, 4).copy()
    lost = rng.random(data.n_objects) < 0.3  # there, two lie apart, each somewhere else
    boxes[lost, 2] += 150
    boxes[lost, 3] -= 150
    astray = dataclasses.replace(data, boxes=boxes.reshape(-1, 4))

    located = fit_evidence(astray).located

    assert (located[lost] > 0.8).all()


def test_what_an_unsteady_hand_draws_is_no_other_place():
    """Boxes that lie apart as one of the two draws anyway say nothing of where the object is."""
    rng = np.random.default_rng(4)
    data, truth = drawn(rng, [0.02, 0.25], miss=0.0)
    found = fit_evidence(data)
    boxes = data.boxes.reshape(-1, 2, 4)
    apart = paired_iou(boxes[:, 0], boxes[:, 1]) < 0.3

    assert apart.sum() >= 5
    assert (paired_iou(found.box[apart], truth[apart]) > 0.3).mean() > 0.8
    assert np.median(found.located[apart]) > 0.8


# What is compared on few places


def test_likeness_is_the_correlation_within_runs():
    """A run's errors have .3 of their variance in common: the intraclass correlation."""
    rng = np.random.default_rng(0)
    run = np.repeat(np.arange(800), 5)
    error = 0.3**0.5 * rng.normal(size=(800, 4))[run] + 0.7**0.5 * rng.normal(size=(4000, 4))
    assert likeness(run, error) == pytest.approx(0.3, abs=0.03)
    assert likeness(run, rng.normal(size=(4000, 4))) < 0.03


def test_likeness_by_hand():
    """One run of two, whose mean product is 0.5 of the variance, and one prior of ten others."""
    error = np.array([[1.0], [1.0], [-1.0], [-1.0]]) * np.ones(4)
    alone = likeness(np.arange(4), error)
    assert alone == 0
    assert likeness(np.array([0, 0, 1, 1]), error) == pytest.approx(2 / 12)
    assert likeness(np.array([0, 1, 0, 1]), error) == 0  # unlike: never below 0


def test_errors_that_are_alike_in_one_image_make_nobody_dependent():
    """Forty raters of whom any two share at most an image or two, with many objects in each."""
    rng = np.random.default_rng(1)
    images, things, n = 60, 12, 40
    reads = np.array([rng.permutation(n)[:8] for _ in range(images)])
    low, side = (
        rng.uniform(20, 400, (images * things, 2)),
        rng.uniform(30, 120, (images * things, 2)),
    )
    truth = np.hstack([low, low + side])
    size = np.hstack([side, side])
    habit = rng.normal(0, 0.08, (images, n, 4))
    image = np.arange(len(truth)) // things
    error = habit[image] + rng.normal(0, 0.03, (len(truth), n, 4))
    drew = np.zeros((len(truth), n), bool)
    drew[np.arange(len(truth))[:, None], reads[image]] = rng.random((len(truth), 8)) < 0.9
    boxes = truth[:, None] + size[:, None] * error
    data = evidence_of(boxes, drew)
    asked = np.zeros_like(drew)
    asked[np.arange(len(truth))[:, None], reads[image]] = True
    kept = asked.ravel()
    data = dataclasses.replace(
        data,
        asked_object=data.asked_object[kept],
        asked_rater=data.asked_rater[kept],
        drew=data.drew[kept],
        label=np.zeros(len(truth), np.int64),
        case=image,
        plane=np.zeros(len(truth), np.int64),
    )
    found = fit_edges(data, EdgeSettings()).dependence
    assert (found.share > 0.3).sum() == 0
