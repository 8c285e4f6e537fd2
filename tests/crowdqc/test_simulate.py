"""Simulated raters draw what their faults say, and what is written is what is read."""

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure, morphology

from crowdqc.config import FaultyRater, Simulate, load_config
from crowdqc.findings import InputError
from crowdqc.formats import read_study
from crowdqc.formats.slices import write_slices
from crowdqc.geometry import paired_iou
from crowdqc.simulate import (
    draw,
    label_boxes,
    make_abdomen,
    paper_boxes,
    simulate_study,
    tight_boxes,
    true_drawing,
)
from crowdqc.simulate.abdomen import LABELS, SIDES
from crowdqc.simulate.demo import RATERS, is_demo, make_demo
from crowdqc.simulate.faults import skipped_runs

NAMES = ("spleen", "liver")
EDGES = ["x0", "y0", "x1", "y1"]
masks = hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))


@pytest.fixture
def stack():
    """Twelve slices; the spleen on 2..9 moves one px a slice, the liver on 4..7 stays."""
    stack = np.zeros((12, 60, 80), dtype=np.uint16)
    for plane in range(2, 10):
        stack[plane, 10:22, 10 + plane : 26 + plane] = 1
    stack[4:8, 30:50, 40:70] = 300
    return stack


LABEL_VALUES = {"spleen": 1, "liver": 300}


def drawn(stack, seed=0, **faults):
    true = true_drawing(stack, LABEL_VALUES)
    rater = FaultyRater(**{"noise": 0.0, **faults})
    rng = np.random.default_rng(seed)
    return true, draw(true, rater, names=NAMES, size=stack.shape[1:], rng=rng)


@settings(max_examples=40)
@given(masks)
def test_a_tight_box_is_regionprops_bounding_box(mask):
    boxes = tight_boxes(mask)

    if not mask.any():
        assert boxes.shape == (0, 4)
        return
    top, left, bottom, right = measure.regionprops(mask.astype(np.uint8))[0].bbox
    assert boxes.tolist() == [[left, top, right, bottom]]


@settings(max_examples=40)
@given(masks)
def test_paper_boxes_are_those_of_the_mask_dilated_by_two_px(mask):
    # Any pixel of the mask in the 5x5 window gives at least 1/25 = 0.04 > 0.01.
    near = morphology.dilation(mask, np.ones((5, 5), dtype=bool))
    regions = measure.regionprops(measure.label(near, connectivity=1))
    expected = [[r.bbox[1], r.bbox[0], r.bbox[3], r.bbox[2]] for r in regions]

    assert sorted(paper_boxes(mask).tolist()) == sorted(expected)


def test_paper_boxes_of_an_integer_mask_are_not_lost_to_integer_arithmetic():
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[8:10, 8:10] = 1

    assert paper_boxes(mask).tolist() == [[6, 6, 12, 12]]


def test_label_boxes_name_their_slices():
    stack = np.zeros((5, 9, 9), dtype=np.uint16)
    stack[1, 2, 3] = stack[3, 4:6, 4:7] = 300

    planes, boxes = label_boxes(stack, 300)

    assert planes.tolist() == [1, 3]
    assert boxes.tolist() == [[3, 2, 4, 3], [4, 4, 7, 6]]


def test_a_rater_without_faults_draws_the_truth(stack):
    true, got = drawn(stack)

    assert got.read.all()
    assert len(got.boxes) == 8 + 4
    order = np.lexsort((true.labels, true.planes))
    np.testing.assert_array_equal(got.boxes, true.boxes[order])


def test_shift_and_scale_move_every_box_alike(stack):
    _, exact = drawn(stack)
    _, shifted = drawn(stack, shift=(3.0, -2.0))
    _, grown = drawn(stack, scale=1.5)

    np.testing.assert_allclose(shifted.boxes - exact.boxes, [[3, -2, 3, -2]] * 12)
    extent = (grown.boxes[:, 2:] - grown.boxes[:, :2]) / (exact.boxes[:, 2:] - exact.boxes[:, :2])
    np.testing.assert_allclose(extent, 1.5)
    np.testing.assert_allclose(grown.boxes.sum(axis=1), exact.boxes.sum(axis=1))


def test_noise_has_the_standard_deviation_that_it_says():
    stack = np.zeros((400, 100, 100), dtype=np.uint8)
    stack[:, 40:60, 30:70] = 1
    true = true_drawing(stack, {"spleen": 1})
    rng = np.random.default_rng(1)

    got = draw(true, FaultyRater(noise=2.0), names=("spleen",), size=(100, 100), rng=rng)

    error = got.boxes - true.boxes
    # 400 draws: the standard error of an SD is 2 / sqrt(800) = 0.07, of a mean 0.1.
    np.testing.assert_allclose(error.std(axis=0), 2.0, atol=0.3)
    np.testing.assert_allclose(error.mean(axis=0), 0.0, atol=0.4)


def test_missing_everything_keeps_the_readings(stack):
    _, got = drawn(stack, miss=1.0)

    assert got.read.all()
    assert len(got.boxes) == 0


def test_skipped_slices_have_neither_reading_nor_box(stack):
    _, got = drawn(stack, skip=0.5)

    assert got.read.sum() == 6
    assert got.read[got.planes].all()


@settings(max_examples=50)
@given(st.integers(1, 60), st.floats(0, 1), st.integers(0, 9))
def test_as_many_slices_are_skipped_as_the_share_says(n, share, seed):
    assert skipped_runs(n, share, rng=np.random.default_rng(seed)).sum() == round(share * n)


def test_swapping_exchanges_the_names_and_nothing_else(stack):
    _, exact = drawn(stack)
    _, got = drawn(stack, swap=("spleen", "liver"))

    for label in (0, 1):
        np.testing.assert_array_equal(
            got.boxes[got.labels == label], exact.boxes[exact.labels == 1 - label]
        )


def test_extra_boxes_touch_nothing_that_is_there(stack):
    true, got = drawn(stack, extra=2.0)

    added = [
        (plane, box)
        for plane, box in zip(got.planes, got.boxes, strict=True)
        if not (true.boxes[true.planes == plane] == box).all(axis=1).any()
    ]
    assert 10 < len(added) < 40  # 24 expected
    for plane, box in added:
        taken = true.boxes[true.planes == plane]
        assert not paired_iou(np.repeat([box], len(taken), axis=0), taken).any()


def test_giving_up_leaves_out_the_last_slices_of_each_label(stack):
    _, got = drawn(stack, stop=0.25)

    assert got.planes[got.labels == 0].tolist() == [2, 3, 4, 5, 6, 7]
    assert got.planes[got.labels == 1].tolist() == [4, 5, 6]


def test_holding_copies_a_box_to_the_next_slices(stack):
    _, got = drawn(stack, hold=3)

    left = got.boxes[got.labels == 0, 0]
    assert left.tolist() == [12, 12, 12, 15, 15, 15, 18, 18]


def test_an_omitted_label_is_never_drawn(stack):
    _, got = drawn(stack, omit=["liver"])

    assert set(got.labels) == {0}


@settings(max_examples=25)
@given(
    st.floats(0, 30),
    st.floats(-200, 200),
    st.floats(-200, 200),
    st.floats(0.01, 20),
    st.integers(0, 9),
)
def test_boxes_stay_inside_the_image_and_have_a_size(noise, dx, dy, scale, seed):
    stack = np.zeros((3, 40, 50), dtype=np.uint8)
    stack[:, :12, 35:] = 1
    true = true_drawing(stack, {"spleen": 1})
    faults = FaultyRater(noise=noise, shift=(dx, dy), scale=scale)

    boxes = draw(
        true, faults, names=("spleen",), size=(40, 50), rng=np.random.default_rng(seed)
    ).boxes

    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [50, 40]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1 - 1e-9).all()


@pytest.mark.parametrize("fault", [{"miss": 0.5}, {"skip": 0.5}, {"stop": 0.5}])
def test_one_more_fault_does_not_change_the_others(stack, fault):
    _, noisy = drawn(stack, noise=2.0)
    _, both = drawn(stack, noise=2.0, **fault)

    assert 0 < len(both.boxes) < len(noisy.boxes)
    for box in both.boxes:
        assert (noisy.boxes == box).all(axis=1).any()


@pytest.fixture
def study(stack):
    raters = {
        "exact": FaultyRater(noise=0.0),
        "skips": FaultyRater(skip=0.5),
        "misses": FaultyRater(miss=0.5),
    }
    return simulate_study(
        [("c1", stack), ("c2", stack[::-1])],
        name="trial",
        labels=LABEL_VALUES,
        simulate=Simulate(raters=raters),
        seed=3,
    )


def test_a_study_says_what_was_read_and_what_was_empty(study):
    counts = study.readings.groupby("rater").size()

    assert counts.to_dict() == {"exact": 24, "misses": 24, "skips": 12}
    exact = study.readings.query("rater == 'exact' and case == 'c1'")
    assert (exact["state"] == "boxed").tolist() == [2 <= k < 10 for k in range(12)]
    assert study.labels == NAMES


def test_what_a_rater_draws_does_not_depend_on_the_others(study, stack):
    alone = simulate_study(
        [("c2", stack[::-1])],
        name="trial",
        labels=LABEL_VALUES,
        simulate=Simulate(raters={"misses": FaultyRater(miss=0.5)}),
        seed=3,
    )

    there = study.boxes.query("rater == 'misses' and case == 'c2'")
    assert there[EDGES].to_numpy().tolist() == alone.boxes[EDGES].to_numpy().tolist()


def test_cases_are_dealt_evenly_to_some_of_the_raters(stack):
    raters = {name: FaultyRater() for name in "abcde"}
    study = simulate_study(
        ((f"c{number}", stack) for number in range(15)),
        name="trial",
        labels=LABEL_VALUES,
        simulate=Simulate(raters=raters, raters_per_case=2),
        seed=3,
    )

    who = study.readings.groupby("case")["rater"].unique().map(frozenset)
    assert {len(hand) for hand in who} == {2}
    assert {name: sum(name in hand for hand in who) for name in raters} == dict.fromkeys(raters, 6)
    assert len(set(who)) > 5  # not the same two together again and again


def test_written_files_read_as_the_study_that_was_written(study, tmp_path):
    write_slices(study, tmp_path / "boxes", ids={"spleen": "0", "liver": "7"})
    (tmp_path / "study.toml").write_text(
        """
        [study]
        name = "trial"
        [labels]
        0 = { name = "spleen", value = 1 }
        7 = { name = "liver", value = 2 }
        [annotations]
        format = "yolo"
        path = "boxes/{rater}/{case}-slice{slice}.txt"
        size = [60, 80]
        empty_file = "nothing"
        """
    )

    read, findings = read_study(load_config(tmp_path / "study.toml"))

    assert findings == []
    key = ["case", "slice", "rater", "label"]
    got, wanted = (frame.sort_values(key, ignore_index=True) for frame in (read.boxes, study.boxes))
    assert got[key].equals(wanted[key])
    np.testing.assert_allclose(got[EDGES], wanted[EDGES], atol=1e-5)
    key = ["case", "slice", "rater", "state"]
    assert set(map(tuple, read.readings[key].to_numpy())) == set(
        map(tuple, study.readings[key].to_numpy())
    )


def test_an_abdomen_looks_like_one():
    abdomen = make_abdomen(np.random.default_rng(5))
    density, mask = abdomen.density, abdomen.mask
    middle = mask.shape[2] / 2

    assert density[0, 0, 0] < -900  # air beside the body
    for label, value in LABELS.items():
        organ = mask == value
        assert measure.label(organ).max() == 1
        assert 80 < density[organ].mean() < 200  # soft tissue with contrast medium
        side = "left" if np.argwhere(organ)[:, 2].mean() > middle else "right"
        assert SIDES.get(label, side) == side
    height = {label: np.argwhere(mask == value)[:, 0].mean() for label, value in LABELS.items()}
    assert height["liver"] > height["right_kidney"]
    assert height["spleen"] > height["left_kidney"]


def test_abdomens_differ_with_the_seed_and_only_with_it():
    one, same, other = (make_abdomen(np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert (one.density == same.density).all()
    assert (one.mask == same.mask).all()
    assert (one.mask != other.mask).any()


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_demo_is_the_same_twice_and_can_be_read(tmp_path):
    file = make_demo(tmp_path / "one", seed=4)
    make_demo(tmp_path / "two", seed=4)

    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    config = load_config(file)
    assert config.study.seed == 4
    assert config.simulate.raters == RATERS
    assert {label.name: label.value for label in config.labels.values()} == LABELS
    assert {x.name: x.side for x in config.labels.values() if x.side} == SIDES
    assert set(Path(config.resolve("boxes")).iterdir()) == {
        config.resolve(f"boxes/{rater}") for rater in RATERS
    }


def test_the_demo_overwrites_nothing(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(InputError, match="not an empty folder"):
        make_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_only_what_the_demo_made_is_taken_for_a_demo(tmp_path):
    demo, own, link = tmp_path / "demo", tmp_path / "own", tmp_path / "link"
    file = make_demo(demo)
    link.symlink_to(demo)
    for folder in (own / "boxes", own / "images"):
        folder.mkdir(parents=True)
    (own / "study.toml").write_text(
        file.read_text(encoding="utf-8")
    )  # begun with the demo's study file

    assert [is_demo(folder) for folder in (demo, own, link, tmp_path)] == [True, *[False] * 3]
    file.write_text(file.read_text(encoding="utf-8").replace('name = "demo"', 'name = "mine"'))
    assert not is_demo(demo)
