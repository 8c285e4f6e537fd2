"""What pairs tell apart: against graphs whose smallest eigenvalues are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.crowd import pairs
from crowdqc.crowd.pairs import unresolved


def share(edges, n, *, each=30, beside=0):
    """What is left open where each edge stands for so many objects, and more are drawn."""
    first, second = np.repeat(np.array(edges).reshape(-1, 2), each, axis=0).T
    drawn = np.bincount(np.append(first, second), minlength=n) + float(beside)
    return unresolved(first, second, np.ones(len(first)), drawn=drawn)


def ring(n):
    return [(i, (i + 1) % n) for i in range(n)]


def complete(n):
    return [(i, j) for i in range(n) for j in range(i)]


@pytest.mark.parametrize(
    ("edges", "n", "expected"),
    [
        ([(0, 1)], 2, 1.0),  # one pair
        ([(0, i) for i in range(1, 9)], 9, 1.0),  # one who reads all
        (ring(8), 8, 1.0),  # two sides
        (ring(9), 9, 1 - 10 * (1 + np.cos(8 * np.pi / 9))),
        (ring(5), 5, 0.0),
        (complete(3), 3, 0.0),
        (complete(25), 25, 0.0),
    ],
)
def test_share_of_known_graphs(edges, n, expected):
    assert share(edges, n) == pytest.approx(np.full(n, expected))


def test_objects_of_three_tell_apart_what_pairs_do_not():
    assert share([(0, 1)], 2, beside=1) == pytest.approx([1 - 10 / 31] * 2)
    assert share([(0, 1)], 2, beside=60) == pytest.approx([0, 0])


def test_each_part_is_judged_by_itself_and_who_has_no_pair_not_at_all():
    found = share([(0, 1), *[(i + 2, j + 2) for i, j in complete(3)]], 6)

    assert found == pytest.approx([1, 1, 0, 0, 0, 0])
    assert unresolved(*(np.zeros(0, int),) * 2, np.zeros(0), drawn=np.ones(2)).tolist() == [0, 0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(4, 12))
def test_many_raters_are_as_few(seed, n):
    rng = np.random.default_rng(seed)
    edges = [edge for edge in complete(n) if rng.random() < 0.7] or [(0, 1)]
    dense = share(edges, n)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_DENSE", 3)
        assert share(edges, n) == pytest.approx(dense, abs=1e-8)
    order = rng.permutation(n)
    moved = share([(order[i], order[j]) for i, j in edges], n)
    assert moved[order] == pytest.approx(dense, abs=1e-8)
