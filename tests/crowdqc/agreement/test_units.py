"""Alpha for boxes: equal to that of kalos, and as it must be by hand."""

import numpy as np
import pytest

from crowdqc.agreement import Resampling, measure_agreement
from crowdqc.agreement.arrays import to_units
from crowdqc.agreement.linkage import link_boxes
from crowdqc.agreement.units import confusions, image_alpha, vitality
from crowdqc.geometry import pairwise_iou
from crowdqc.matching import match
from tests.crowdqc.agreement.organs import BOX, organ_study

NONE = Resampling(n=0)
# kalos 0.8.0, calculate_iaa(method="greedy", "bbox_iou_similarity", "category_lenient", 0.5)
# on `study()`; `test_kalos_itself_agrees` makes them anew where kalos is installed.
KALOS = {"mean": 0.6108260010088898, "global": 0.5979979268025092}
VITALITY = {
    "a": 0.11374079817091043,
    "b": -0.048356354969169235,
    "c": -0.17283754191124556,
    "d": 0.10865958761555672,
}


def study():
    """Every slice read by four raters: one misses, one swaps and adds, one draws too large."""
    swap = ("right_kidney", "left_kidney")
    return organ_study(
        {
            "a": {"noise": 1.5},
            "b": {"noise": 3, "miss": 0.2},
            "c": {"noise": 1, "swap": swap, "extra": 0.3},
            "d": {"noise": 2, "scale": 1.2},
        },
        seed=3,
        cases=3,
    )


@pytest.fixture(scope="module")
def table():
    return measure_agreement(match(study()), resampling=NONE)


def value(table, measure, **where):
    rows = table[table["measure"] == measure]
    for key in ("case", "label", "rater"):
        rows = rows[rows[key] == where.get(key, "")]
    return rows["value"].item()


def test_alpha_is_that_of_kalos(table):
    assert value(table, "alpha_box_mean") == pytest.approx(KALOS["mean"], abs=1e-9)
    assert value(table, "alpha_box") == pytest.approx(KALOS["global"], abs=1e-9)
    for rater, expected in VITALITY.items():
        assert value(table, "vitality", rater=rater) == pytest.approx(expected, abs=1e-9)


def test_kalos_itself_agrees(table):
    core = pytest.importorskip("kalos.iaa.core", reason="kalos is no dependency: an oracle only")
    drawn, raters = study(), list("abcd")
    boxes = dict(iter(drawn.boxes.groupby(["case", "slice"])))
    data, number = {}, 0
    for image, place in enumerate(drawn.images[["case", "slice"]].itertuples(index=False)):
        by_rater = {rater: [] for rater in raters}
        for box in boxes.get(tuple(place), drawn.boxes[:0]).itertuples():
            number += 1
            corner = [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
            label = drawn.labels.index(box.label)
            entry = {"id": number, "rater_id": box.rater, "category_id": label, "bbox": corner}
            by_rater[box.rater].append(entry)
        data[image] = {"rater_list": raters, "annotations_by_rater": by_rater}
    names = dict(enumerate(drawn.labels))
    how = ("greedy", "bbox_iou_similarity", "category_lenient", 0.5, False, False, False, raters)

    mean, everything, *_ = core.calculate_iaa(data, names, *how)

    assert value(table, "alpha_box_mean") == pytest.approx(mean, abs=1e-9)
    assert value(table, "alpha_box") == pytest.approx(everything, abs=1e-9)


def one_image(*drawn):
    """Units of one image that raters a, b, ... read: lists of (label, x0)."""
    faults = {chr(97 + r): {"miss": 1.0} for r in range(len(drawn))}
    empty = organ_study(faults, cases=1, slices=8)

    def rows(mine, everything, rng):
        return everything.iloc[:0]

    boxes = [
        {"rater": chr(97 + r), "label": label, "x0": x, "y0": 0.0, "x1": x + 10, "y1": 10.0}
        for r, some in enumerate(drawn)
        for label, x in some
    ]
    frame = empty.boxes.reindex(range(len(boxes))).assign(case="0000", slice=0, source="")
    for column in ("rater", "label", *BOX):
        frame[column] = [box[column] for box in boxes]
    study = type(empty)(
        "one", empty.labels, empty.images[:1], empty.readings[empty.readings["slice"] == 0],
        frame.assign(box=range(len(frame))),
    )  # fmt: skip
    return to_units(match(study), iou=0.5)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([[("liver", 0.0)], [("liver", 1.0)]], 1.0),
        ([[], []], 1.0),
        ([[("liver", 0.0)], []], 0.0),
        # two units of pairs (liver liver), (spleen absent): Do 2/4; De (4*3-2*1)/(4*3) = 10/12
        ([[("liver", 0.0), ("spleen", 90.0)], [("liver", 0.0)]], 1 - (2 / 4) / (10 / 12)),
        ([[("liver", 0.0)], [("spleen", 0.0)]], 0.0),
    ],
    ids=["same", "nothing", "one drew", "one of two", "labels differ"],
)
def test_images_by_hand(drawn, expected):
    assert image_alpha(one_image(*drawn), 1)[0] == pytest.approx(expected)


def test_a_rater_who_was_not_asked_is_not_absent():
    units = one_image([("liver", 0.0)], [("liver", 0.0)], [])
    asked = units.rater < 2

    fewer = type(units)(
        units.unit[asked], units.rater[asked], units.value[asked], units.box[asked],
        units.image, units.n_labels,
    )  # fmt: skip

    assert image_alpha(units, 1)[0] < 1
    assert image_alpha(fewer, 1)[0] == 1


def test_empty_slices_of_raters_with_a_label_each_are_no_agreement():
    units = one_image([], [])
    alone = organ_study({"a": {"miss": 1.0}, "b": {"miss": 1.0}}, cases=1, slices=8)
    labels = np.where(alone.readings["rater"] == "a", "liver", "spleen")
    alone = type(alone)(
        "alone", alone.labels, alone.images, alone.readings.assign(labels=labels), alone.boxes
    )

    assert image_alpha(units, 1)[0] == 1
    assert np.isnan(image_alpha(to_units(match(alone), iou=0.5), 8)).all()


def test_without_a_rater_means_as_if_the_rater_was_never_asked():
    units = to_units(match(study()), iou=0.5)
    gains = vitality(units, 4)
    for rater in range(4):
        rest = units.rater != rater
        totals = np.bincount(units.unit[rest])
        assert totals.max() == 3
    # the raters who disagree make alpha lower, the others higher
    assert (gains[[1, 2]] < 0).all()
    assert (gains[[0, 3]] > 0).all()


def test_boxes_of_one_label_are_linked_before_better_overlaps_of_others():
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10]])
    rater, label = np.array([0, 1, 1]), np.array([4, 3, 4])

    unit = link_boxes(boxes, image=np.zeros(3, int), rater=rater, label=label, iou=0.5)

    assert unit[0] == unit[2] != unit[1]


def test_two_boxes_of_one_rater_are_never_one_unit():
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 30, (60, 2))
    boxes = np.hstack([low, low + rng.uniform(20, 30, (60, 2))])
    image, rater = rng.integers(0, 3, 60), rng.integers(0, 5, 60)

    unit = link_boxes(boxes, image=image, rater=rater, label=np.zeros(60, int), iou=0.3)

    assert len(set(zip(unit, rater, strict=True))) == 60
    assert all(len(set(image[unit == u])) == 1 for u in unit)


def test_confusions_need_two_others_who_agree():
    drawn = [[("liver", 0.0)], [("liver", 0.0)], [("spleen", 0.0)]]
    units = one_image(*drawn)

    rows, label = confusions(units)

    assert units.rater[rows].tolist() == [2]
    assert label.tolist() == [3]  # liver
    assert len(confusions(one_image(*drawn[1:]))[0]) == 0


@pytest.mark.parametrize("seed", range(6))
def test_linking_in_rounds_is_linking_one_pair_after_the_other(seed):
    rng = np.random.default_rng(seed)
    n = 70
    low = rng.integers(0, 12, (n, 2)).astype(float)  # whole numbers: many ties
    boxes = np.hstack([low, low + rng.integers(8, 14, (n, 2))])
    image, rater, label = rng.integers(0, 3, n), rng.integers(0, 90, n) % 7, rng.integers(0, 2, n)
    rater[::9] += 64  # more raters than one word of bits holds
    pairs = []
    for i in range(n):
        for j in range(i + 1, n):
            score = pairwise_iou(boxes[[i]], boxes[[j]])[0, 0]
            if image[i] == image[j] and rater[i] != rater[j] and score >= 0.4:
                raters = sorted((rater[i], rater[j]))
                pairs.append((-(score + (label[i] == label[j])), *raters, i, j))
    unit = {k: {k} for k in range(n)}
    for *_, i, j in sorted(pairs):
        if unit[i] is not unit[j]:
            both = unit[i] | unit[j]
            if len({rater[k] for k in both}) == len(both):
                for k in both:
                    unit[k] = both

    found = link_boxes(boxes, image=image, rater=rater, label=label, iou=0.4)

    assert {frozenset(np.flatnonzero(found == u).tolist()) for u in np.unique(found)} == {
        frozenset(one) for one in unit.values()
    }


def test_images_may_be_linked_in_batches(monkeypatch):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 40, (500, 2))
    boxes = np.hstack([corner, corner + rng.uniform(5, 30, (500, 2))])
    image, rater, label = (rng.integers(0, n, 500) for n in (9, 4, 3))
    known = {"image": image, "rater": rater, "label": label, "iou": 0.5}
    whole = link_boxes(boxes, **known)

    monkeypatch.setattr("crowdqc.agreement.linkage.PAIRS_MAX", 1000)
    parts = link_boxes(boxes, **known)

    assert len(set(zip(whole, parts, strict=True))) == len(set(whole)) == len(set(parts))
