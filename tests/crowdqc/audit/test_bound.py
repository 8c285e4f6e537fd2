import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from crowdqc.audit import Goal, Spending, draws_needed, upper_bound


@pytest.mark.parametrize(("n", "planned", "alpha"), [(7, 4, 0.2), (8, 6, 0.1), (8, 2, 0.3)])
def test_bound_ever_fails_with_at_most_alpha_by_enumeration(n, planned, alpha):
    spending = Spending(planned, alpha)
    for true in range(n + 1):
        failed = total = 0
        for bad in itertools.combinations(range(n), true):
            order = np.isin(np.arange(n), bad)  # all orders are equally likely
            looks = [upper_bound(order[:k], population=n, spending=spending) for k in range(n + 1)]
            failed += min(looks) < true
            total += 1
        assert failed <= alpha * total + 1e-9


def test_one_planned_look_is_nearly_the_exact_bound():
    n, population = 59, 10_000
    exact = next(m for m in range(population) if hypergeom.cdf(0, population, m, n) <= 0.05) - 1
    found = upper_bound([False] * n, population=population, spending=Spending(n, 0.05))
    assert exact <= found <= 1.05 * exact


def test_all_drawn_leaves_no_doubt():
    bad = np.arange(30) % 7 == 0
    assert upper_bound(bad, population=30, spending=Spending(10, 0.05)) == bad.sum()


def test_nothing_drawn_says_nothing():
    assert upper_bound([], population=12, spending=Spending(5, 0.05)) == 12


def test_more_draws_than_units_are_refused():
    with pytest.raises(ValueError, match="at most 2 draws; got 3"):
        upper_bound([True] * 3, population=2, spending=Spending(5, 0.05))


@pytest.mark.parametrize(("planned", "alpha"), [(0, 0.05), (5, 0.0), (5, 1.0)])
def test_impossible_spending_is_refused(planned, alpha):
    with pytest.raises(ValueError, match="'planned' must be 1 or more"):
        Spending(planned, alpha)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), max_size=25), st.integers(0, 40), st.integers(1, 40))
def test_bound_lies_between_what_is_known_and_never_rises(bad, rest, planned):
    population, spending = len(bad) + rest, Spending(planned, 0.1)
    looks = [
        upper_bound(bad[:k], population=population, spending=spending) for k in range(len(bad) + 1)
    ]
    assert sum(bad) <= looks[-1] <= population - (len(bad) - sum(bad))
    assert all(b <= a for a, b in itertools.pairwise(looks))


def test_large_population_is_bounded_a_little_higher_only():
    bad = [False] * 200
    small, large = (
        upper_bound(bad, population=n, spending=Spending(200, 0.05)) for n in (4_000, 80_000)
    )
    assert small / 4_000 <= large / 80_000 + 0.001 <= small / 4_000 + 0.003


def test_spending_rises_to_alpha():
    spent = Spending(10, 0.05).by(np.arange(1, 100_000))
    assert (np.diff(spent) >= 0).all()
    assert spent[-1] == pytest.approx(0.05, abs=1e-5)
    assert spent[-1] <= 0.05


def test_draws_that_are_planned_reach_the_goal_as_often_as_they_should():
    rng, goal = np.random.default_rng(3), Goal(0.1, 0.9)
    frame, bad, known = 400, 12, 50
    n = draws_needed(bad, frame=frame, known=known, goal=goal)
    assert 20 < n < 100
    reached = 0
    for _ in range(200):
        drawn = rng.permutation(np.arange(frame) < bad)[:n]
        high = upper_bound(drawn, population=frame, spending=Spending(n, goal.alpha))
        reached += (high - drawn.sum()) <= goal.limit * (frame + known - drawn.sum())
    assert reached >= 140


@pytest.mark.parametrize(
    ("expected", "frame", "known", "n"),
    [(0.0, 0, 10, 0), (0.0, 5, 500, 0), (300.0, 300, 0, 300)],
)
def test_draws_where_none_or_all_are_needed(expected, frame, known, n):
    assert draws_needed(expected, frame=frame, known=known, goal=Goal(0.05, 0.95)) == n


@pytest.mark.parametrize(("limit", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.05, 1.0)])
def test_impossible_goal_is_refused(limit, confidence):
    with pytest.raises(ValueError, match="must be in"):
        Goal(limit, confidence)
