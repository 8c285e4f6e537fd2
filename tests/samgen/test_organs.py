"""The embedded model of volumes along given boxes: histograms that lean on others, its views."""

import numpy as np
import pytest

from samgen.organs import draw_again, draw_organ, organ_of, tidied
from samgen.settings import IntensitySettings, VolumeModelSettings
from samgen.tissues import region_with_margin
from tests.samgen.test_intensity3d import organ, tight


def looked_at(grey, boxes, slices=None, **volume):
    boxes = np.array(boxes)
    _, rows, columns = grey.shape
    settings = IntensitySettings()
    return organ_of(
        grey.astype(np.float32),
        boxes,
        regions=[region_with_margin(box, (rows, columns), settings) for box in boxes],
        slices=np.arange(len(boxes)) if slices is None else np.array(slices),
        spacing_mm=2.0,
        settings=settings,
        volume=VolumeModelSettings(**volume),
    )


def scene(value=135, n=6, noise=12, seed=0):
    """Discs in noise, the same on all slices, and their boxes."""
    rows, columns = np.indices((60, 60))
    disc = (rows - 29.5) ** 2 + (columns - 29.5) ** 2 < 15**2
    grey = np.random.default_rng(seed).normal(90, noise, (n, 60, 60))
    grey[:, disc] += value - 90
    return grey.clip(0, 255), disc, np.tile([14.5, 14.5, 44.5, 44.5], (n, 1))


def test_histograms_count_what_lies_round_each_box():
    grey, _, boxes = scene(n=2)
    boxes[1] = [2, 2, 10, 12]
    found = looked_at(grey, boxes)

    for k, box in enumerate(boxes):
        part = grey[k][region_with_margin(box, (60, 60), IntensitySettings())].astype(np.float32)
        expected = np.bincount(np.rint(part / 2).astype(int).ravel(), minlength=128)
        np.testing.assert_array_equal(found.total[k], expected)


def test_a_slice_whose_grey_values_say_nothing_leans_on_the_others():
    grey, disc, boxes = scene(noise=4)
    flat = np.rint(grey).copy()
    flat[3, disc] = np.random.default_rng(1).normal(112, 22, disc.sum())  # half organ, half not

    def dice(**volume):
        seen = looked_at(flat, boxes, **volume)
        mask = tidied(seen, draw_organ(seen).belongs)[3] > 0.5
        return 2 * (mask & disc).sum() / (mask.sum() + disc.sum())

    assert dice() > 0.95
    assert dice() > dice(pooled=0.0, coupling_mm=1e-3) + 0.01


def test_neighbours_beyond_a_gap_say_nothing():
    grey, _, boxes = scene()
    grey[3:] = 90

    apart = draw_organ(
        looked_at(grey, boxes, [0, 1, 2, 7, 8, 9], pooled=0.0, judged_together=0.0)
    ).belongs
    together = draw_organ(looked_at(grey, boxes, pooled=0.0, judged_together=0.0)).belongs

    assert np.abs(apart[2] - together[2]).max() > 1e-3  # beside slice 3, or not
    np.testing.assert_allclose(apart[0], together[0], atol=0.05)


@pytest.mark.parametrize("value", [40, 135, 220])
def test_dark_and_bright_organs_are_drawn_and_nothing_lies_outside_the_box(value):
    grey, disc, boxes = scene(value)
    seen = looked_at(grey, boxes)

    found = draw_organ(seen).belongs

    masks = tidied(seen, found) > 0.5
    assert all(2 * (one & disc).sum() / (one.sum() + disc.sum()) > 0.95 for one in masks)
    assert not found[:, :14].any()
    assert not found[:, :, 45:].any()


def test_drawing_again_along_the_same_edges_changes_little_and_along_others_follows_them():
    volume, mask = organ()
    boxes = tight(mask)
    grey = volume.pictures[list(boxes)]
    seen = looked_at(grey, list(boxes.values()))
    found = draw_organ(seen).belongs

    same = draw_again(seen, found, 2)
    narrow = [box + np.array([4, 0, 0, 0]) for box in boxes.values()]
    moved = draw_again(looked_at(grey, narrow), found, 2)

    assert ((same > 0.5) != (found > 0.5)).mean() < 0.01
    for plane, box in zip(moved, narrow, strict=True):
        assert not plane[:, : int(box[0])].any()
