import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samgen.volume3d import z_dice


@given(hnp.arrays(bool, st.tuples(st.integers(1, 5), st.just(2), st.just(3))))
def test_z_dice_is_the_mean_over_neighbours_counted_one_by_one(masks):
    for k, dice in enumerate(z_dice(masks)):
        neighbours = [masks[n] for n in (k - 1, k + 1) if 0 <= n < len(masks) and masks[n].any()]
        values = [2 * (masks[k] & m).sum() / (masks[k].sum() + m.sum()) for m in neighbours]
        expected = np.mean(values) if values and masks[k].any() else math.nan
        assert dice == pytest.approx(expected, nan_ok=True)


def test_the_slice_that_differs_from_both_neighbours_stands_out():
    masks = np.zeros((5, 8, 8), bool)
    masks[:, 2:6, 2:6] = True
    masks[2] = np.roll(masks[2], 3, axis=1)

    assert np.argmin(z_dice(masks)) == 2
