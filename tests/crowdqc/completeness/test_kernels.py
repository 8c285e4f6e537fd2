import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crowdqc.completeness import labels
from crowdqc.completeness.contradiction import contradicted
from crowdqc.completeness.ends import end_sizes, run_medians, shared_ends, usual_sizes
from crowdqc.completeness.expected import usual_lengths
from crowdqc.completeness.extent import (
    expected_ends,
    presence,
    reference_ends,
    spread_of_ends,
)
from crowdqc.completeness.labels import (
    ALIKE,
    APART,
    FEWEST,
    Organs,
    drawn_as_another,
    swapped_pairs,
)
from crowdqc.completeness.position import jumps, wrong_side

ENDS = np.array([[0.0, 50], [30, 80], [60, 90]])  # three labels, mm
SHIFTS = np.array([0.0, 13, -40, 7, 100])
COHORT = ENDS + SHIFTS[:, None, None]


def test_other_cases_say_where_a_missing_label_is():
    ends = COHORT.copy()
    ends[2, 1] = np.nan

    expected = expected_ends(reference_ends(ends))

    assert expected == pytest.approx(COHORT)


def test_one_label_alone_aligns_nothing():
    ends = COHORT.copy()
    ends[2, 1:] = np.nan

    assert np.isnan(reference_ends(ends)[2]).all()


def test_a_case_is_no_reference_of_itself_and_its_fault_not_expected():
    ends = COHORT.copy()
    ends[2, 0, 1] -= 30

    expected = expected_ends(reference_ends(ends))

    assert expected[2, 0, 1] == pytest.approx(COHORT[2, 0, 1])


def test_two_references_are_too_few():
    assert np.isnan(expected_ends(reference_ends(COHORT[:3]))).all()
    assert np.isfinite(expected_ends(reference_ends(COHORT[:4]))).all()


def test_many_cases_are_aligned_by_few_references():
    ends = ENDS + np.linspace(0, 90, 200)[:, None, None]

    references = reference_ends(ends)

    assert references.shape == (200, 3, 50, 2)
    assert expected_ends(references) == pytest.approx(ends)


@given(hnp.arrays(float, (5,), elements=st.floats(-500, 500)))
def test_expectation_moves_with_the_patient(shift):
    ends = COHORT + np.random.default_rng(0).normal(0, 3, COHORT.shape)
    moved = ends + shift[:, None, None]

    difference = expected_ends(reference_ends(moved)) - expected_ends(reference_ends(ends))

    assert difference == pytest.approx(np.broadcast_to(shift[:, None, None], ends.shape), abs=1e-6)


def test_the_spread_is_the_standard_deviation_of_gaussian_ends():
    rng = np.random.default_rng(1)
    ends = ENDS.repeat(5, axis=0) + rng.normal(0, 60, (80, 1, 1)) + rng.normal(0, 6, (80, 15, 2))

    # The median of 50 references has an error of its own; alignment takes a part away.
    assert spread_of_ends(ends, reference_ends(ends)) == pytest.approx(6, rel=0.1)


def test_without_ends_there_is_no_spread():
    assert np.isnan(spread_of_ends(COHORT[:2], reference_ends(COHORT[:2])))


def test_presence_is_the_share_of_cases():
    ends = np.array([[0.0, 100], [0, 100], [0, 50], [0, 50], [np.nan, np.nan]])

    share = presence(np.array([-60.0, 25, 75, 160]), ends, spread=1.0)

    assert share == pytest.approx([0, 1, 0.5, 0], abs=1e-6)


@pytest.mark.parametrize("spread", [np.nan, 0.0])
def test_presence_without_a_spread_is_not_known(spread):
    assert np.isnan(presence(np.array([1.0]), COHORT[:, 0], spread=spread)).all()


@settings(max_examples=50)
@given(st.lists(st.lists(st.floats(-9, 9) | st.just(np.nan), max_size=6), min_size=1, max_size=5))
def test_run_medians_are_numpys(runs):
    values = np.array([value for run in runs for value in run], dtype=float)
    starts = np.cumsum([0, *map(len, runs)])
    finite = [[value for value in run if not np.isnan(value)] for run in runs]
    expected = [np.median(run) if run else np.nan for run in finite]

    assert run_medians(values, starts) == pytest.approx(expected, nan_ok=True)


def test_a_run_of_four_has_no_middle():
    sizes = end_sizes(np.array([1.0, 2, 2, 1, 1, 2, 2, 2, 3]), np.array([0, 4, 9]))

    assert np.isnan(sizes[0]).all()
    assert sizes[1].tolist() == [0.5, 1.5]


def test_usual_ends_are_those_of_the_other_cases():
    sizes = np.array([[0.1, 9], [0.2, 1], [0.3, 1], [0.9, 1]])

    usual = usual_sizes(sizes, np.zeros(4, int), np.arange(4))

    assert usual[3].tolist() == [0.2, 1]
    assert usual[0].tolist() == [0.3, 1]


def test_in_few_cases_the_other_end_says_what_is_usual():
    usual = usual_sizes(np.array([[0.1, 0.9], [0.2, 0.8]]), np.zeros(2, int), np.arange(2))

    assert usual.tolist() == [[0.9, 0.1], [0.8, 0.2]]


def test_raters_of_a_case_count_once_in_what_is_usual():
    sizes = np.array([[0.9, 0]] * 5 + [[0.1, 0], [0.2, 0], [0.3, 0]])

    usual = usual_sizes(sizes, np.zeros(8, int), np.array([0] * 5 + [1, 2, 3]))

    assert usual[0, 0] == 0.2
    assert usual[5, 0] == 0.3


def test_raters_of_one_label_share_no_end():
    ends, cases = np.array([7, 7, 7, 7]), np.array([0, 0, 0, 1])

    assert shared_ends(ends, cases, np.array([0, 0, 1, 1])).tolist() == [2, 2, 2, 1]


@given(st.lists(st.floats(1, 9), min_size=1, max_size=8))
def test_usual_lengths_leave_the_case_itself_out(lengths):
    ends = np.zeros((len(lengths), 1, 2))
    ends[:, 0, 1] = lengths

    found = usual_lengths(ends)[:, 0]

    for k in range(len(lengths)):
        others = lengths[:k] + lengths[k + 1 :]
        expected = np.median(others) if len(others) >= 3 else np.nan
        assert found[k] == pytest.approx(expected, nan_ok=True)


def stack(*places, size=10.0):
    """Boxes of one size at these places along x."""
    x = np.array(places, dtype=float)
    return np.column_stack([x, 0 * x, x + size, 0 * x + size])


@pytest.mark.parametrize(
    ("places", "jumped"),
    [
        ([0, 1, 2, 3, 4, 5], []),
        ([0, 1, 90, 3, 4, 5], [2]),
        ([0, 1, 90, 91, 4, 5, 6], [2, 3]),
        ([90, 1, 2, 3, 4, 5], [0]),
        ([0, 1, 2, 90, 91, 92, 93, 94], [0, 1, 2]),
        ([0, 6, 12, 18, 24, 30], []),
        ([0, 1, 2, 12, 13, 14], []),
    ],
    ids=["steady", "one", "two", "the first", "the smaller part", "moving", "touching"],
)
def test_boxes_that_jump(places, jumped):
    boxes = stack(*places)

    found = jumps(boxes, np.arange(len(boxes)), np.array([0, len(boxes)]))

    assert np.flatnonzero(found).tolist() == jumped


def test_a_jump_across_a_long_gap_is_none():
    found = jumps(stack(0, 1, 2, 90), np.array([0, 1, 2, 9]), np.array([0, 4]))

    assert not found.any()


def test_runs_do_not_mix():
    found = jumps(stack(0, 1, 2, 90, 91, 92), np.array([0, 1, 2, 3, 4, 5]), np.array([0, 3, 6]))

    assert not found.any()


def test_the_place_of_a_tip_is_uncertain():
    boxes = stack(0, 0, 0, 0, 0)
    boxes[0] = [30, 0, 33, 3]

    assert not jumps(boxes, np.arange(5), np.array([0, 5])).any()


def units(*rows):
    """Centres along x of labels, one row a unit."""
    x = np.array(rows, dtype=float)
    return np.stack([x, 0 * x, 0 * x], axis=-1)


def pairs(centres, size=4.0):
    return swapped_pairs(organs(centres, np.where(np.isnan(centres), np.nan, size)))


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_the_same_however_many_are_held_at_a_time(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    x = rng.permuted(np.tile(np.arange(5.0) * 9, (6, 1)), axis=1)
    x[:4] = np.arange(5.0) * 9
    x[rng.random(x.shape) < 0.1] = np.nan
    together = pairs(units(*x))

    monkeypatch.setattr(labels, "BLOCK", 1)

    assert pairs(units(*x)) == together


def organs(centres, sizes):
    """Arrays (U, L, 3) as a list of what is there."""
    unit, label = np.nonzero(np.isfinite(centres).all(axis=-1))
    return Organs(unit, label, centres[unit, label], sizes[unit, label])


def as_another(centres, case_of_unit):
    found = organs(centres, np.full_like(centres, 9.0))
    return drawn_as_another(found, case_of_unit[found.unit])


def flipped_by_definition(centres, sizes):
    """Furthest axis on which each two labels of a unit lie the other way round, (U, L, L)."""
    apart = (centres[:, :, None] - centres[:, None]) / (sizes[:, :, None] + sizes[:, None])
    area = 0.25 * np.log2(sizes[..., 0] * sizes[..., 1])
    relation = np.concatenate([apart, (area[:, :, None] - area[:, None])[..., None]], axis=-1)
    furthest = np.zeros(relation.shape[:3])
    for unit, a, b, axis in np.ndindex(relation.shape):
        mine, rest = relation[unit, a, b, axis], np.delete(relation[:, a, b, axis], unit)
        rest = rest[np.isfinite(rest)]
        against = (rest < -APART).sum() if mine > APART else (rest > APART).sum()
        if abs(mine) > APART and len(rest) >= FEWEST and against >= max(ALIKE * len(rest), FEWEST):
            furthest[unit, a, b] = max(furthest[unit, a, b], abs(mine))
    return furthest


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_swapped_labels_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 4, (8, 4, 3)) + np.arange(4)[:, None] * 12
    centres[rng.random((8, 4)) < 0.2] = np.nan
    swap = rng.integers(8)
    centres[swap] = centres[swap, rng.permutation(4)]
    sizes = np.where(np.isnan(centres), np.nan, rng.uniform(4, 12, centres.shape))
    furthest, expected = flipped_by_definition(centres, sizes), []
    for unit in range(8):
        rest = np.triu(furthest[unit])
        while rest.any():
            a, b = np.unravel_index(rest.argmax(), rest.shape)
            expected.append((unit, int(a), int(b)))
            rest[[a, b]] = 0
            rest[:, [a, b]] = 0

    assert swapped_pairs(organs(centres, sizes)) == expected


def test_two_labels_that_changed_places():
    centres = units([0, 20, 40], [1, 21, 42], [0, 19, 40], [0, 22, 41], [40, 20, 0])

    assert pairs(centres) == [(4, 0, 2)]


def test_with_two_others_there_is_no_telling():
    assert pairs(units([0, 9], [0, 9], [9, 0])) == []
    assert pairs(units([0, 9], [0, 9], [0, 9], [9, 0])) == [(3, 0, 1)]


def test_labels_that_overlap_have_no_order():
    assert pairs(units([0, 1], [0, 1], [0, 1], [0, 1], [1, 0])) == []


def test_a_majority_in_the_wrong_order_is_no_order():
    assert pairs(units([0, 9], [0, 9], [9, 0], [9, 0], [9, 0])) == []


def test_labels_of_very_different_size_are_told_apart_where_they_overlap():
    centres = units(*[[0, 0]] * 4)
    sizes = np.full_like(centres, 4.0)
    sizes[:3, 0], sizes[3, 1] = 40, 40

    assert swapped_pairs(organs(centres, sizes)) == [(3, 0, 1)]


def test_a_label_that_is_not_there_is_no_swap():
    assert pairs(units([0, 9], [0, 9], [0, 9], [np.nan, 0])) == []


def test_a_label_drawn_for_another_is_found_by_the_other_raters():
    centres = units([0, 20], [0, 20], [0, 20], [20, np.nan])

    assert as_another(centres, np.zeros(4, int)) == [(3, 0, 1)]


def test_other_cases_do_not_say_where_an_organ_lies():
    centres = units([0, 20], [0, 20], [0, 20], [20, 0])

    assert as_another(centres, np.arange(4)) == []


def test_a_box_beside_the_organ_is_not_another_organ():
    centres = units([0, 20], [0, 20], [0, 20], [6, 20])

    assert as_another(centres, np.zeros(4, int)) == []


@pytest.mark.parametrize(
    ("x", "wrong"),
    [
        ([300, 100], [False, False]),
        ([100, 300], [True, True]),
        ([260, 100], [False, False]),
        ([np.nan, 300], [False, True]),
        ([240, np.nan], [False, False]),
    ],
    ids=["right", "swapped", "midline between them", "one alone", "near the middle"],
)
def test_sides(x, wrong):
    found = wrong_side(np.array(x, float), np.array([1.0, -1]), middle=256, width=512)

    assert found.tolist() == wrong


def test_an_unsteady_hand_jumps_only_where_it_is_unusual():
    places = [0, 7, 0, 7, 0, 7, 0, 7, 0]
    boxes = stack(*places)

    assert not jumps(boxes, np.arange(9), np.array([0, 9])).any()


def tube(seed, hand=2.0, n=28):
    """A slowly moving tube of 12 x 12 px, drawn by an unsteady hand."""
    edges = np.array([109.0, 91, 121, 103]) + np.arange(n)[:, None] * [0.1, 0.3, 0.1, 0.3]
    return edges + np.random.default_rng(seed).normal(0, hand, (n, 4)).clip(-2 * hand, 2 * hand)


@pytest.mark.parametrize("seed", range(5))
def test_two_wrong_boxes_in_a_row_of_an_unsteady_hand_are_named_and_no_other(seed):
    boxes = tube(seed, hand=1.0)
    boxes[13] = [108.7, 97, 117.3, 98.8]  # a sliver
    boxes[14] = [107.3, 106.7, 122.3, 112.4]  # half as high, and too low

    found = np.flatnonzero(jumps(boxes, np.arange(28), np.array([0, 28])))

    assert found.tolist() == [13, 14]


def test_an_unsteady_hand_alone_hardly_ever_jumps():
    """A hand of 2 px on a tube of 12 px: one run in a hundred at most is asked about."""
    boxes = np.concatenate([tube(seed) for seed in range(1000)])
    starts = np.arange(1001) * 28

    found = jumps(boxes, np.tile(np.arange(28), 1000), starts)

    assert np.add.reduceat(found, starts[:-1]).astype(bool).mean() < 0.01


def test_a_hand_as_unsteady_as_the_others_is_not_contradicted():
    """IoU with the median of two others is 0.39, their own with one another 0.5."""
    boxes = np.array([[111.9, 102.1, 127.5, 110.2], [108.4, 98.1, 121.6, 113.9]])
    boxes = np.vstack([boxes, [112.0, 97.6, 124.6, 111.6]])

    assert not contradicted(boxes, np.zeros(3, int)).any()


def test_a_box_elsewhere_is_contradicted_by_two_that_agree():
    boxes = np.array([[0.0, 0, 12, 12], [2, 0, 14, 12], [9, 8, 21, 20]])

    assert contradicted(boxes, np.zeros(3, int)).tolist() == [False, False, True]
