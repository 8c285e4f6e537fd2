"""Boxes round masks, against counted pixels of random masks packed as the tools pack them."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crowdqc.formats.shapes import box_of_brush, box_of_ellipse, box_of_points, box_of_runs

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))


def counted(mask):
    """``x0, y0, x1, y1`` of the pixels that are set."""
    rows, columns = np.nonzero(mask)
    return None if not len(rows) else [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def runs_of(values, first):
    """Lengths of runs that alternate, the first of them of `first` (perhaps 0 long)."""
    runs = [(value, len(list(group))) for value, group in groupby(values)]
    return [n for _, n in ([] if not runs or runs[0][0] == first else [(first, 0)]) + runs]


def as_text(counts):
    """Runs packed as COCO packs them (rleToString of its mask API)."""
    text = ""
    for i, count in enumerate(counts):
        x = count - (counts[i - 2] if i > 2 else 0)
        more = True
        while more:
            bits = x & 31
            x >>= 5
            more = x != -1 if bits & 16 else x != 0
            text += chr((bits | 32 * more) + 48)
    return text


def as_brush(mask):
    """Bytes of a mask as Label Studio packs red, green, blue and alpha."""
    values = np.repeat(np.where(mask, 255, 0).ravel(), 4).tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    for value, group in groupby(values):
        bits += f"1{3:02b}{len(list(group)) - 1:016b}{value:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


@given(mask=MASKS)
def test_the_box_of_a_mask_is_that_of_its_pixels(mask):
    counts = runs_of(mask.T.ravel().tolist(), first=False)
    size = list(mask.shape)

    assert box_of_runs(counts, size) == counted(mask)
    assert box_of_runs(as_text(counts), size) == counted(mask)
    assert box_of_brush(as_brush(mask), mask.shape[1], mask.shape[0]) == counted(mask)


@given(
    rle=st.lists(st.integers(-1, 300), max_size=30) | st.none() | st.text(max_size=9),
    size=st.lists(st.integers(-1, 20), max_size=3) | st.none(),
)
def test_what_is_no_mask_has_no_box(rle, size):
    for box in (box_of_runs(rle, size), box_of_brush(rle, 3, 3)):
        assert box is None or len(box) == 4


@given(degrees=st.floats(-360, 360), a=st.floats(0.1, 50), b=st.floats(0.1, 50))
def test_the_box_of_an_ellipse_touches_it(degrees, a, b):
    angle = np.linspace(0, 2 * np.pi, 20_001)
    turn = np.deg2rad(degrees)
    x = a * np.cos(angle) * np.cos(turn) - b * np.sin(angle) * np.sin(turn)
    y = a * np.cos(angle) * np.sin(turn) + b * np.sin(angle) * np.cos(turn)

    box = box_of_ellipse((0.0, 0.0), (a, b), degrees)

    assert box == pytest.approx([x.min(), y.min(), x.max(), y.max()], abs=1e-3)


@pytest.mark.parametrize("points", [[], [(1, 1), (2, 2)], [(1, 1), (2, "x"), (3, 3)]])
def test_what_is_no_polygon_has_no_box(points):
    assert box_of_points([x for x, _ in points], [y for _, y in points]) is None
