"""Types and small kernels of arrays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.arrays import pairs_within


@given(st.lists(st.integers(-2, 4), max_size=12))
def test_pairs_of_a_group_are_those_of_two_loops(groups):
    first, second = pairs_within(np.array(groups, np.int64))

    every = [(i, j) for j in range(len(groups)) for i in range(j) if groups[i] == groups[j]]
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == sorted(every)
