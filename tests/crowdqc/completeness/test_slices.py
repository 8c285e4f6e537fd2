"""Slices as people write them: what is in a row is said by its ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.completeness.slices import from_ranges, in_ranges, to_ranges


@pytest.mark.parametrize(
    ("slices", "said"),
    [("", ""), ("7", "7"), ("3 4 5 10", "3-5 10"), ("1 3", "1 3"), ("8 9", "8-9")],
)
def test_slices_in_a_row(slices, said):
    assert in_ranges(slices) == said


@given(st.sets(st.integers(0, 60)))
def test_ranges_read_back(slices):
    assert from_ranges(to_ranges(slices)) == sorted(slices)
