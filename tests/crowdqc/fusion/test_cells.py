import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.fusion.cells import cut_planes, groups_of_equal_size, patterns


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_cells_share_out_the_plane_and_know_who_covers_them(seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(-2, 8, (6, 2))
    boxes = np.hstack([low, low + rng.uniform(1, 6, (6, 2))])
    who, plane = rng.integers(0, 3, 6), rng.integers(0, 2, 6)

    cells = cut_planes(boxes, rater=who, plane=plane, shape=(2, 10, 12), raters=3)

    assert np.bincount(cells.plane, cells.area, 2) == pytest.approx(120)
    assert (cells.area > 0).all()
    centre = (cells.box[:, :2] + cells.box[:, 2:]) / 2
    for r in range(3):
        for z in range(2):
            mine = boxes[(who == r) & (plane == z)]
            at = centre[cells.plane == z][:, None]
            covered = ((mine[:, :2] < at) & (at < mine[:, 2:])).all(axis=2).any(axis=1)
            np.testing.assert_array_equal(cells.votes[cells.plane == z, r], covered)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 10**6))
def test_patterns_are_the_different_rows(columns, rows, seed):
    table = np.random.default_rng(seed).integers(0, 5, (rows, columns))

    first, pattern = patterns(table.T)

    np.testing.assert_array_equal(table[first][pattern], table)
    assert len(first) == len(np.unique(table, axis=0))


def test_groups_hold_every_row_once():
    ids = np.array([3, 0, 3, 1, 3, 1])
    found = {
        int(i): rows.tolist()
        for of, table in groups_of_equal_size(ids, 5)
        for i, rows in zip(of, table, strict=True)
    }
    assert found == {0: [1], 1: [3, 5], 2: [], 3: [0, 2, 4], 4: []}
