import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.fusion import Prior, staple_boxes, staple_labels, staple_masks


def draw(seed, *, raters=4, planes=3, size=40, noise=3):
    """Integer boxes of raters round one thing per plane, some missing, some twice."""
    rng = np.random.default_rng(seed)
    boxes, rater, plane = [], [], []
    for z in range(planes):
        thing = np.array([10, 12, 26, 30])
        for r in range(raters):
            for _ in range(rng.choice([0, 1, 1, 1, 2])):
                box = np.clip(thing + rng.integers(-noise, noise + 1, 4), 0, size)
                boxes.append(box)
                rater.append(r)
                plane.append(z)
    return np.array(boxes, float).reshape(-1, 4), np.array(rater), np.array(plane)


def paint(boxes, rater, plane, *, raters, shape):
    masks = np.zeros((raters, *shape), dtype=bool)
    for (x0, y0, x1, y1), r, z in zip(boxes.astype(int), rater, plane, strict=True):
        masks[r, z, y0:y1, x0:x1] = True
    return masks


def itk(masks):
    images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    found = SimpleITK.STAPLEImageFilter()
    found.SetForegroundValue(1)
    posterior = SimpleITK.GetArrayFromImage(found.Execute(images))
    return posterior, np.array(found.GetSensitivity()), np.array(found.GetSpecificity())


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_boxes_give_the_posterior_of_simpleitk(seed):
    boxes, rater, plane = draw(seed)
    shape = (3, 40, 40)
    read = np.ones((4, 3), bool)
    masks = paint(boxes, rater, plane, raters=4, shape=shape)
    posterior, sensitivity, specificity = itk(masks)

    found = staple_boxes(boxes, rater=rater, plane=plane, shape=shape, read=read)

    for z in range(3):
        np.testing.assert_allclose(found.probability(z), posterior[z], atol=1e-6)
    drew = masks.any(axis=(1, 2, 3))
    np.testing.assert_allclose(found.sensitivity[drew], sensitivity[drew], atol=1e-6)
    np.testing.assert_allclose(found.specificity, specificity, atol=1e-6)
    assert found.converged


def test_many_raters_as_simpleitk():
    boxes, rater, plane = draw(1, raters=70, planes=1)
    masks = paint(boxes, rater, plane, raters=70, shape=(1, 40, 40))
    found = staple_boxes(boxes, rater=rater, plane=plane, shape=(1, 40, 40))
    np.testing.assert_allclose(found.probability(0), itk(masks)[0][0], atol=1e-6)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_masks_of_any_form_as_simpleitk(seed):
    rng = np.random.default_rng(seed)
    truth = np.zeros((24, 24), bool)
    truth[6:16, 5:18] = True
    masks = truth ^ (rng.random((5, 24, 24)) < rng.uniform(0.02, 0.2, (5, 1, 1)))
    posterior, sensitivity, specificity = itk(masks)

    found = staple_masks(masks)

    np.testing.assert_allclose(found.probability(0), posterior, atol=1e-6)
    np.testing.assert_allclose(found.sensitivity, sensitivity, atol=1e-6)
    np.testing.assert_allclose(found.specificity, specificity, atol=1e-6)


def test_posterior_by_hand():
    """Patterns 111, 110 and 000 on 4, 2 and 10 pixels: EM written out with loops."""
    counts = {(1, 1, 1): 4, (1, 1, 0): 2, (0, 0, 0): 10}
    weight = {votes: sum(votes) / 3 for votes in counts}
    total = sum(counts.values())
    before = sum(n * weight[v] for v, n in counts.items()) / total
    for _ in range(200):
        p, q = [], []
        for r in range(3):
            inside = sum(n * weight[v] for v, n in counts.items())
            outside = sum(n * (1 - weight[v]) for v, n in counts.items())
            p.append(sum(n * weight[v] * v[r] for v, n in counts.items()) / inside)
            q.append(sum(n * (1 - weight[v]) * (1 - v[r]) for v, n in counts.items()) / outside)
        for votes in counts:
            a, b = before, 1 - before
            for r, vote in enumerate(votes):
                a *= p[r] if vote else 1 - p[r]
                b *= 1 - q[r] if vote else q[r]
            weight[votes] = a / (a + b)
    masks = np.zeros((3, 4, 4), bool)
    masks[:, 0] = True
    masks[:2, 1, :2] = True

    found = staple_masks(masks)

    assert found.probability(0)[0, 0] == pytest.approx(weight[1, 1, 1], abs=1e-6)
    assert found.probability(0)[1, 0] == pytest.approx(weight[1, 1, 0], abs=1e-6)
    np.testing.assert_allclose(found.sensitivity, p, atol=1e-6)
    np.testing.assert_allclose(found.specificity, q, atol=1e-6)
    assert found.prevalence == pytest.approx(before)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_halves_of_pixels_are_pixels_of_a_finer_image(seed):
    boxes, rater, plane = draw(seed, planes=2)
    fine = staple_boxes(boxes, rater=rater, plane=plane, shape=(2, 40, 40))
    coarse = staple_boxes(boxes / 2, rater=rater, plane=plane, shape=(2, 20, 20))

    np.testing.assert_allclose(coarse.sensitivity, fine.sensitivity, atol=1e-9)
    means = fine.probability(1).reshape(20, 2, 20, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse.probability(1), means, atol=1e-9)


def test_margin_is_a_region_of_interest():
    boxes, rater, plane = draw(3, planes=1)
    masks = paint(boxes, rater, plane, raters=4, shape=(1, 40, 40))
    everyone = np.ones((4, 1), bool)
    hull = np.zeros((1, 40, 40), bool)
    x0, y0 = boxes[:, :2].min(axis=0).astype(int) - 2
    x1, y1 = boxes[:, 2:].max(axis=0).astype(int) + 2
    hull[0, y0:y1, x0:x1] = True

    arguments = {"rater": rater, "plane": plane, "shape": (1, 40, 40), "read": everyone}
    found = staple_boxes(boxes, **arguments, margin=2)
    expected = staple_masks(masks, region=hull)

    np.testing.assert_allclose(found.probability(0), expected.probability(0), atol=1e-9)
    np.testing.assert_allclose(found.specificity, expected.specificity, atol=1e-9)
    whole = staple_boxes(boxes, **arguments)
    assert found.specificity.mean() < whole.specificity.mean()
    assert found.probability(0)[0, 0] == 0


def test_planes_that_a_rater_did_not_read_do_not_count_against_it():
    box = [10, 10, 20, 20]
    boxes, rater, plane = [box] * 5, [0, 1, 2, 0, 1], [0, 0, 0, 1, 1]
    read = [[True, True], [True, True], [True, False]]

    found = staple_boxes(boxes, rater=rater, plane=plane, shape=(2, 30, 30), read=read)
    punished = staple_boxes(boxes, rater=rater, plane=plane, shape=(2, 30, 30))

    assert found.sensitivity[2] == pytest.approx(1)
    assert punished.sensitivity[2] == pytest.approx(0.5)


def test_prior_holds_raters_with_little_to_show():
    boxes, rater, plane = draw(5, planes=1)
    strong = Prior(hits=9e9, misses=1e9, rejects=8e9, extras=2e9)
    found = staple_boxes(boxes, rater=rater, plane=plane, shape=(1, 40, 40), prior=strong)
    np.testing.assert_allclose(found.sensitivity, 0.9, atol=1e-6)
    np.testing.assert_allclose(found.specificity, 0.8, atol=1e-6)


def test_degenerate_cases_have_a_rule():
    nothing = staple_masks(np.zeros((3, 4, 4), bool))
    assert not nothing.probability(0).any()
    assert np.isnan(nothing.sensitivity).all()
    assert (nothing.specificity == 1).all()
    everything = staple_masks(np.ones((3, 4, 4), bool))
    assert (everything.probability(0) == 1).all()
    assert np.isnan(everything.specificity).all()
    alone = np.zeros((1, 4, 4), bool)
    alone[0, 1:3, 1:3] = True
    np.testing.assert_allclose(staple_masks(alone).probability(0), alone[0], atol=1e-12)
    no_boxes = staple_boxes(np.zeros((0, 4)), rater=[], plane=[], shape=(2, 5, 5), read=[[1, 1]])
    assert not no_boxes.probability(1).any()
    cropped = staple_boxes(
        np.zeros((0, 4)), rater=[], plane=[], shape=(2, 5, 5), read=[[1, 1]], margin=1
    )
    assert not cropped.probability(0).any()


@pytest.mark.parametrize("second", [[14, 10, 24, 20], [10, 10, 20, 24], [30, 30, 40, 42]])
def test_of_two_raters_a_prior_believes_what_both_marked(second):
    good = Prior(hits=80, misses=20, rejects=80, extras=20)
    boxes = [[10, 10, 20, 20], second]
    found = staple_boxes(boxes, rater=[0, 1], plane=[0, 0], shape=(1, 64, 64), prior=good)
    votes = np.zeros((64, 64), int)
    for x0, y0, x1, y1 in boxes:
        votes[y0:y1, x0:x1] += 1
    probability = found.probability(0)
    assert probability[votes == 2].min(initial=1) > 0.98
    assert probability[votes == 1].max() < 0.27


def test_boxes_beyond_the_image_are_cut_off():
    found = staple_boxes([[-5, -5, 4, 4]], rater=[0], plane=[0], shape=(1, 8, 8))
    assert found.probability(0).sum() == pytest.approx(16)


def test_it_stops_when_told():
    boxes, rater, plane = draw(2)
    masks = paint(boxes, rater, plane, raters=4, shape=(3, 40, 40))
    found = staple_masks(masks, max_iter=2)
    assert found.n_iter == 2
    assert not found.converged


def test_two_labels_are_plain_staple():
    boxes, rater, plane = draw(7)
    masks = paint(boxes, rater, plane, raters=4, shape=(3, 40, 40))
    probability, confusion = staple_labels(masks.astype(int), labels=2)
    found = staple_masks(masks)
    np.testing.assert_allclose(probability[1, 2], found.probability(2), atol=1e-12)
    np.testing.assert_allclose(confusion[:, 1, 1], found.sensitivity, atol=1e-12)


def test_planted_confusion_is_recovered():
    rng = np.random.default_rng(0)
    truth = rng.choice(3, size=20000, p=[0.5, 0.3, 0.2])
    planted = np.stack(
        [np.full((3, 3), (1 - a) / 2) + np.eye(3) * (1.5 * a - 0.5) for a in (0.9, 0.8, 0.7, 0.85)]
    )
    maps = np.stack(
        [(rng.random((20000, 1)) > p[truth].cumsum(axis=1)).sum(axis=1) for p in planted]
    )

    probability, confusion = staple_labels(np.minimum(maps, 2), labels=3)

    np.testing.assert_allclose(confusion, planted, atol=0.04)
    assert (probability.argmax(axis=0) == truth).mean() > 0.93


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rater": [0]}, r"'rater' must have one value per box, shape \(2,\)"),
        ({"plane": [0, 0.5]}, "'plane' must hold whole numbers"),
        ({"plane": [0, 3]}, "below 2 and 1; got 1 and 3"),
        ({"read": [[True]]}, "below 1 and 1; got 1 and 0"),
        ({"read": [True]}, r"'read' must have shape \(R, 1\)"),
    ],
)
def test_bad_boxes_are_named(change, says):
    arguments = {"rater": [0, 1], "plane": [0, 0], "shape": (1, 5, 5)} | change
    with pytest.raises(ValueError, match=says):
        staple_boxes([[0, 0, 1, 1]] * 2, **arguments)


def test_bad_masks_are_named():
    with pytest.raises(ValueError, match=r"'masks' must have shape \(R"):
        staple_masks(np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match=r"'region' must have shape \(4, 4\); got \(2, 2\)"):
        staple_masks(np.zeros((2, 4, 4), bool), region=np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="labels below 2; got 2"):
        staple_labels([[0, 2]], labels=2)
