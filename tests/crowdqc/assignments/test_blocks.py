import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.assignments.blocks import deal, join
from crowdqc.findings import InputError


def pairs(design):
    return design.shared[np.triu_indices(design.reads.shape[1], 1)]


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(1, 8), st.integers(0, 9))
def test_every_case_is_read_as_often_as_asked_and_loads_differ_by_one(n, raters, k, seed):
    k = min(k, raters)

    reads = deal(n, raters, k, rng=np.random.default_rng(seed)).reads

    assert (reads.sum(axis=1) == k).all()
    assert np.ptp(reads.sum(axis=0)) <= 1


@pytest.mark.parametrize(("v", "k", "shared"), [(7, 3, 1), (13, 4, 1), (6, 2, None)], ids=str)
def test_designs_that_can_be_balanced_are(v, k, shared):
    """Projective planes of order 2 and 3, and all pairs of six."""
    n = 15 if v == 6 else v

    design = deal(n, v, k, rng=np.random.default_rng(0))

    assert set(pairs(design)) == {shared or 1}


def test_a_design_that_is_hard_to_find_is_near():
    """The biplane of order 3: eleven blocks of five, every two share two."""
    shared = pairs(deal(11, 11, 5, rng=np.random.default_rng(0)))

    assert set(shared) <= {1, 2, 3}


def test_the_same_seed_deals_alike():
    a, b = (deal(20, 6, 3, rng=np.random.default_rng(3)).reads for _ in range(2))

    assert (a == b).all()


def test_a_difference_that_can_be_seen_is_that_of_the_paired_t_test():
    """n = 34 pairs see half a standard deviation: G*Power 3.1, means, two dependent groups."""
    design = deal(34, 2, 2, rng=np.random.default_rng(0))

    assert design.least_shared == 34
    assert design.detectable == pytest.approx(0.495, abs=0.005)


def test_more_raters_for_a_case_than_there_are_is_refused():
    with pytest.raises(InputError, match="raters_per_case is 4, and there are 3 raters"):
        deal(5, 3, 4, rng=np.random.default_rng(0))


@settings(max_examples=20)
@given(st.integers(0, 20), st.integers(0, 5))
def test_who_joins_shares_cases_with_everybody_where_that_can_be(n, seed):
    reads = deal(20, 5, 3, rng=np.random.default_rng(seed)).reads

    chosen = join(reads, n, rng=np.random.default_rng(seed))

    assert len(set(chosen)) == n
    assert n < 4 or reads[chosen].any(axis=0).all()
