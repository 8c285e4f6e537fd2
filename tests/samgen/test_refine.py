import tracemalloc

import numpy as np
import pytest

from samgen.refine import refine
from samgen.settings import VolumeSettings
from samgen.slices import ObjectMask
from samgen.volume3d import smooth_slices

REGION = (slice(2, 14), slice(3, 15))


def drawn(mask, probability=0.9, region=REGION):
    return ObjectMask(region, np.where(mask, probability, 0.05), {"entropy": 0.3})


def square(row=3, column=3, side=6):
    mask = np.zeros((12, 12), bool)
    mask[row : row + side, column : column + side] = True
    return mask


def never(k, box, spread):
    raise AssertionError((k, box, spread))


def refined(items, slices=None, *, redraw=never, spacing_mm=2.0, **settings):
    numbers = list(range(len(items))) if slices is None else slices
    wanted = VolumeSettings(**settings)
    return refine(numbers, items, spacing_mm=spacing_mm, settings=wanted, redraw=redraw)


def whole(item, shape=(20, 20)):
    """Probabilities on the whole picture."""
    plane = np.zeros(shape)
    plane[item.region] = item.mean
    return plane


def test_nothing_asked_for_is_nothing_done():
    items = [drawn(square(row)) for row in (2, 3, 3)]

    for before, after in zip(items, refined(items), strict=True):
        np.testing.assert_array_equal(whole(after), whole(before).astype(np.float32))
        assert after.measures == {
            "entropy": 0.3,
            "reprompted": False,
            "removed_px": 0,
            "filled_px": 0,
        }


def test_probabilities_are_smoothed_where_the_organ_goes_on_only():
    items = [drawn(square(column=5 if k in (9, 17) else 3)) for k in range(19)]
    stack = np.stack([item.mean for item in items])

    together = refined(items, smooth_mm=2.0)
    apart = refined(items, slices=[*range(17), 30, 31], smooth_mm=2.0)

    expected = smooth_slices(stack.astype(np.float32), spacing_mm=2.0, sigma_mm=2.0)
    assert abs(expected[9] - stack[9]).max() > 0.2
    for item, mean in zip(together, expected, strict=True):
        np.testing.assert_allclose(whole(item)[REGION], mean, atol=1e-6)
    for k in (0, 16, 17, 18):  # ends, and a run of two, which has no middle
        np.testing.assert_allclose(whole(apart[k])[REGION], stack[k], atol=1e-6)


def test_a_short_organ_is_smoothed_less():
    items = [drawn(square(column=5 if k == 3 else 3)) for k in range(8)]
    stack = np.stack([item.mean for item in items]).astype(np.float32)

    result = refined(items, smooth_mm=2.0)

    expected = smooth_slices(stack, spacing_mm=2.0, sigma_mm=8 * 2.0 / 16)
    assert abs(expected[3] - stack[3]).max() > 0.1
    np.testing.assert_allclose([whole(item)[REGION] for item in result], expected, atol=1e-6)


def test_an_organ_may_move_out_of_the_box_of_its_slice():
    aside = (slice(2, 14), slice(7, 19))
    items = [drawn(square(), region=aside if k == 8 else REGION) for k in range(17)]

    middle = refined(items, smooth_mm=2.0)[8]

    stack = np.stack([whole(item) for item in items]).astype(np.float32)
    expected = smooth_slices(stack, spacing_mm=2.0, sigma_mm=2.0)[8]
    likely = expected > 0.011
    np.testing.assert_allclose(whole(middle)[likely], expected[likely], atol=1e-6)
    assert middle.region[1] == slice(3, 19)


def test_islands_become_unsure_background_and_are_counted():
    with_island = square(side=4)
    with_island[11, 10:12] = True
    items = [drawn(square(side=4)), drawn(with_island), drawn(square(side=4))]

    result = refined(items, remove_islands=True)

    assert [item.measures["removed_px"] for item in result] == [0, 2, 0]
    np.testing.assert_array_equal(whole(result[1]) > 0.5, whole(items[0]) > 0.5)
    assert (result[1].mean == 0.5).sum() == 2


def test_an_organ_on_both_sides_of_a_gap_is_one():
    items = [drawn(square()), drawn(square()), drawn(square())]

    result = refined(items, slices=[1, 2, 9], remove_islands=True)

    assert [item.measures["removed_px"] for item in result] == [0, 0, 0]


def test_holes_are_filled_so_that_another_organ_keeps_its_place():
    hollow = square()
    hollow[5, 5] = False
    items = [drawn(square()), drawn(hollow), drawn(square())]

    result = refined(items, fill_holes=True)

    assert [item.measures["filled_px"] for item in result] == [0, 1, 0]
    assert 0.5 < whole(result[1])[7, 8] < 0.5001
    np.testing.assert_array_equal(whole(result[1]) > 0.5, whole(items[0]) > 0.5)


def test_a_slice_that_disagrees_is_asked_again_between_its_neighbours():
    items = [drawn(square(3, 3)), drawn(square(0, 0)), drawn(square(5, 3)), drawn(square(5, 3))]
    asked = []

    def redraw(k, box, spread):
        asked.append((k, box.tolist(), spread.tolist()))
        return drawn(square(4, 3))

    result = refined(items, slices=[4, 5, 6, 7], reprompt=True, redraw=redraw)

    # Masks of the neighbours: columns 6 to 12 of the picture, rows 5 to 11 and 7 to 13.
    assert asked == [(5, [6, 6, 12, 12], [0, 1, 0, 1])]
    assert [item.measures["reprompted"] for item in result] == [False, True, False, False]
    np.testing.assert_array_equal(whole(result[1]) > 0.5, whole(drawn(square(4, 3))) > 0.5)


def test_the_second_answer_counts_only_if_it_agrees_better():
    items = [drawn(square(3, 3)), drawn(square(1, 1)), drawn(square(3, 3))]

    result = refined(items, reprompt=True, redraw=lambda *_: drawn(square(0, 0)))

    assert not result[1].measures["reprompted"]
    np.testing.assert_array_equal(whole(result[1]) > 0.5, whole(items[1]) > 0.5)


@pytest.mark.parametrize("slices", [[0, 2, 3], [0, 1, 3]])
def test_slices_with_a_gap_beside_them_are_not_asked_again(slices):
    items = [drawn(square(3, 3)), drawn(square(0, 0)), drawn(square(3, 3))]

    refined(items, slices=slices, reprompt=True)


def test_memory_is_that_of_one_organ():
    side, n = 160, 40
    region = (slice(100, 100 + side), slice(100, 100 + side))
    mean = np.full((side, side), 0.9, np.float32)
    items = [ObjectMask(region, mean, {}) for _ in range(n)]
    tracemalloc.start()
    refined(items, smooth_mm=2.0, remove_islands=True, fill_holes=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak <= 13 * n * side**2
