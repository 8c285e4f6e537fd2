import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from crowdqc.geometry import pairwise_iou
from crowdqc.matching import match, match_boxes
from crowdqc.matching.kernel import EXACT, linked_pairs
from crowdqc.schema import Study


def crowd(seed, *, raters, things, noise=3.0, size=120.0):
    """Boxes of noisy raters who each miss some of the things in one image."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, size, (things, 2))
    truth = np.hstack([corner, corner + rng.uniform(20, 40, (things, 2))])
    boxes, who = [], []
    for rater in range(raters):
        seen = truth[rng.random(things) < 0.8]
        boxes.append(seen + np.clip(rng.normal(0, noise, seen.shape), -9, 9))
        who += [rater] * len(seen)
    return np.vstack(boxes), np.array(who)


def score(boxes, ids, iou):
    """The objective, by its definition: the sum over pairs of one object of IoU - iou."""
    gains = pairwise_iou(boxes, boxes) - iou
    upper = np.triu(ids[:, None] == ids[None, :], 1)
    return gains[upper].sum()


def divisions(n):
    """Every division of n things, by recursion."""
    if n == 0:
        yield []
        return
    for rest in divisions(n - 1):
        for part in range(max(rest, default=-1) + 2):
            yield [*rest, part]


def allowed(who, ids):
    return len(set(zip(who, ids, strict=True))) == len(who)


def best_score(boxes, who, iou):
    every = (np.array(ids) for ids in divisions(len(boxes)))
    return max(score(boxes, ids, iou) for ids in every if allowed(who, ids))


def same_partition(a, b):
    return np.array_equal(a[:, None] == a[None, :], b[:, None] == b[None, :])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.4, 0.6]))
def test_small_groups_are_solved_exactly(seed, iou):
    boxes, who = crowd(seed, raters=4, things=2, noise=6, size=25)

    ids = match_boxes(boxes, image=np.zeros(len(boxes)), rater=who, iou=iou)

    assert allowed(who, ids)
    assert score(boxes, ids, iou) == pytest.approx(best_score(boxes, who, iou), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_two_raters_get_the_best_assignment_at_any_size(seed):
    boxes, who = crowd(seed, raters=2, things=14, noise=6, size=60)
    gains = np.clip(pairwise_iou(boxes[who == 0], boxes[who == 1]) - 0.4, 0, None)
    best = gains[linear_sum_assignment(gains, maximize=True)].sum()

    ids = match_boxes(boxes, image=np.zeros(len(boxes)), rater=who, iou=0.4)

    assert score(boxes, ids, 0.4) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_large_groups_beat_plain_linkage_and_no_rater_can_gain(seed):
    boxes, who = crowd(seed, raters=8, things=12, noise=5, size=80)
    ids = match_boxes(boxes, image=np.zeros(len(boxes)), rater=who, iou=0.4)
    assert allowed(who, ids)
    assert np.bincount(ids).max() <= 8
    value = score(boxes, ids, 0.4)
    for row in range(len(boxes)):
        for part in range(ids.max() + 2):
            moved = ids.copy()
            moved[row] = part
            assert not allowed(who, moved) or score(boxes, moved, 0.4) <= value + 1e-6


def test_search_finds_the_best_or_nearly_where_both_can_be_tried(monkeypatch):
    found = []
    for seed in range(30):
        boxes, who = crowd(seed, raters=4, things=2, noise=6, size=25)
        exact = match_boxes(boxes, image=np.zeros(len(boxes)), rater=who, iou=0.4)
        monkeypatch.setattr("crowdqc.matching.kernel.EXACT", 1)
        searched = match_boxes(boxes, image=np.zeros(len(boxes)), rater=who, iou=0.4)
        monkeypatch.setattr("crowdqc.matching.kernel.EXACT", EXACT)
        assert score(boxes, searched, 0.4) <= score(boxes, exact, 0.4) + 1e-6
        found.append(score(boxes, searched, 0.4) >= 0.98 * score(boxes, exact, 0.4))

    assert np.mean(found) >= 0.9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(seed, shuffler):
    boxes, who = crowd(seed, raters=6, things=5, noise=5, size=50)
    image = np.arange(len(boxes)) % 2
    order = np.array(shuffler.sample(range(len(boxes)), len(boxes)))

    ids = match_boxes(boxes, image=image, rater=who, iou=0.4)
    shuffled = match_boxes(boxes[order], image=image[order], rater=who[order], iou=0.4)

    np.testing.assert_array_equal(shuffled, ids[order])
    assert set(ids) == set(range(ids.max() + 1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-50, 50), st.floats(0.1, 10))
def test_objects_ignore_shift_and_scale(seed, shift, scale):
    boxes, who = crowd(seed, raters=5, things=4)
    image = np.zeros(len(boxes))

    ids = match_boxes(boxes, image=image, rater=who, iou=0.4)
    moved = match_boxes(boxes * scale + shift, image=image, rater=who, iou=0.4)

    assert same_partition(ids, moved)


def test_image_label_and_rater_keep_boxes_apart():
    box = [[0, 0, 9, 9]] * 2
    for image, label, rater in (([0, 1], [0, 0], [0, 1]), ([0, 0], [0, 1], [0, 1])):
        assert match_boxes(box, image=image, label=label, rater=rater).tolist() == [0, 1]
    assert len(set(match_boxes(box, image=[0, 0], rater=[3, 3]))) == 2
    assert match_boxes(box, image=["a", "a"], rater=["x", "y"]).tolist() == [0, 0]


def test_iou_of_the_threshold_links():
    boxes = [[0, 0, 10, 4], [0, 0, 10, 10]]  # IoU exactly 0.4
    assert match_boxes(boxes, image=[0, 0], rater=[0, 1], iou=0.4).tolist() == [0, 0]
    assert match_boxes(boxes, image=[0, 0], rater=[0, 1], iou=0.41).tolist() == [0, 1]


def test_one_box_does_not_chain_two_objects():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10], [8, 0, 18, 10]]
    ids = match_boxes(boxes, image=[0] * 5, rater=range(5), iou=0.4)
    assert ids[0] == ids[1] != ids[3] == ids[4]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.9))
def test_the_sweep_finds_all_pairs_above_the_threshold(seed, iou):
    """Against all pairs; one box in three is cut from another's end, so that one axis decides."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (24, 2))
    boxes = np.hstack([low, low + rng.uniform(4, 40, (24, 2))])
    cut = boxes[:8].copy()
    cut[:, 0] = cut[:, 2] - (cut[:, 2] - cut[:, 0]) * np.minimum(iou * rng.uniform(1, 1.1, 8), 1)
    boxes[8:16] = cut
    place, person = rng.integers(0, 2, 24), rng.integers(0, 3, 24)
    order = np.lexsort((boxes[:, 0], place))
    boxes, place, person = boxes[order], place[order], person[order]
    may = (place[:, None] == place) & (person[:, None] != person)
    expected = np.argwhere(np.triu(may & (pairwise_iou(boxes, boxes) >= iou), 1))

    first, second = linked_pairs(boxes, place, person, iou=iou)

    assert sorted(zip(first, second, strict=True)) == sorted(map(tuple, expected))


def test_no_boxes():
    assert match_boxes(np.zeros((0, 4)), image=[], rater=[], single=[]).shape == (0,)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": [0]}, r"'image' must have one value per box, shape \(2,\); got \(1,\)"),
        ({"label": [0]}, "'label' must have one value"),
        ({"single": [True]}, r"'single' must have shape \(2,\)"),
        ({"iou": 0.0}, "'iou' must be between 0 and 1; got 0.0"),
        ({"boxes": [[1, 0, 0, 1]] * 2}, "2 of 2 boxes"),
    ],
)
def test_bad_input_is_named(change, says):
    arguments = {"boxes": [[0, 0, 1, 1]] * 2, "image": [0, 0], "rater": [0, 1]} | change
    with pytest.raises(ValueError, match=says):
        match_boxes(arguments.pop("boxes"), **arguments)


# Labels of which a slice holds one object


def test_single_boxes_are_one_object_wherever_they_are():
    boxes = [[0, 0, 9, 9], [50, 50, 59, 59], [0, 0, 9, 9]]
    one = match_boxes(boxes, image=[0, 0, 1], rater=[0, 1, 0], single=[True] * 3)
    assert one.tolist() == [0, 0, 1]


def test_second_box_of_a_rater_is_an_object_of_its_own():
    right, left, far = [0, 0, 9, 9], [50, 0, 59, 9], [90, 0, 99, 9]
    boxes = [right, left, right, far, left, right]
    rater = [0, 0, 1, 2, 3, 3]

    ids = match_boxes(boxes, image=[0] * 6, rater=rater, single=[True] * 6)

    assert ids.tolist() == [0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("near", [0, 1], ids=["the left one", "the right one"])
def test_of_two_boxes_of_a_rater_the_one_that_overlaps_the_object_joins_it(near):
    """Neither overlaps it by the threshold; one touches it."""
    organ = [50, 0, 60, 10]
    touching, apart = [([42, 0, 52, 10], [90, 0, 99, 9]), ([58, 0, 68, 10], [0, 0, 9, 9])][near]
    boxes, rater = [organ, organ, apart, touching], [0, 1, 2, 2]

    ids = match_boxes(boxes, image=[0] * 4, rater=rater, single=[True] * 4)

    assert ids[3] == ids[0] == ids[1] != ids[2]


# Tables


def make_study(**changes):
    images = pd.DataFrame({"case": ["c1", "c2"], "slice": [3, 3], "height": 64, "width": 64})
    readings = pd.DataFrame(
        [
            ("c1", 3, "a", "", "boxed"),
            ("c1", 3, "b", "", "boxed"),
            ("c1", 3, "d", "spleen", "reviewed_empty"),
            ("c1", 3, "e", "", "opened"),
            ("c2", 3, "a", "", "boxed"),
        ],
        columns=["case", "slice", "rater", "labels", "state"],
    )
    boxes = pd.DataFrame(
        [
            (7, "c1", 3, "a", "spleen", 0, 0, 10, 10),
            (8, "c1", 3, "b", "spleen", 40, 0, 50, 10),
            (9, "c1", 3, "b", "lesion", 1, 0, 10, 10),
            (5, "c2", 3, "a", "spleen", 1, 0, 10, 10),
        ],
        columns=["box", "case", "slice", "rater", "label", "x0", "y0", "x1", "y1"],
    )
    fields = {"single": frozenset({"spleen"})} | changes
    return Study("t", ("lesion", "spleen"), images, readings, boxes, **fields)


def test_match_counts_who_was_asked():
    matched = match(make_study())

    assert matched.boxes["object"].tolist() == [1, 1, 0, 2]
    assert matched.boxes["box"].tolist() == [7, 8, 9, 5]
    assert matched.objects.drop(columns="place").to_numpy().tolist() == [
        [0, "c1", 3, "lesion", 1, 2],
        [1, "c1", 3, "spleen", 2, 3],
        [2, "c2", 3, "spleen", 1, 1],
    ]
    assert matched.people == ("a", "b", "d")
    assert (matched.asked["state"] != "opened").all()


def test_opened_readings_count_when_asked_to():
    objects = match(make_study(), opened=True).objects
    assert objects["n_asked"].tolist() == [3, 4, 1]


def test_labels_that_repeat_are_matched_by_overlap():
    assert match(make_study(single=frozenset())).boxes["object"].nunique() == 4


def test_rater_of_two_cases_is_two_people_when_the_study_says_so():
    matched = match(make_study(rater_scope="case"))

    assert matched.people == ("c1/a", "c1/b", "c1/d", "c2/a")
    assert [matched.people[p] for p in matched.boxes["person"]] == ["c1/a", "c1/b", "c1/b", "c2/a"]


def test_places_agree_between_the_frames():
    matched = match(make_study())
    key = ["case", "slice", "label"]
    names = matched.asked.drop_duplicates("place").set_index("place")[key]
    for frame in (matched.boxes, matched.objects):
        np.testing.assert_array_equal(names.loc[frame["place"]].to_numpy(), frame[key].to_numpy())


def test_study_without_boxes():
    study = make_study()
    bare = Study("t", study.labels, study.images, study.readings, study.boxes.iloc[:0])
    matched = match(bare)
    assert len(matched.objects) == 0
    assert len(matched.asked) == 7
