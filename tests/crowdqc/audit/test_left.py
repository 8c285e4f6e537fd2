import itertools

import numpy as np
import pytest

from crowdqc.audit import Sample, bad_left
from crowdqc.audit.choose import Design, draw_order, gradings_missing, next_round
from crowdqc.audit.expect import Units, probabilities
from crowdqc.audit.size import Goal


def sample(truth, *, graded, frame, order=None, planned=5):
    order = np.arange(len(truth)) if order is None else np.asarray(order)
    bad = np.where(graded, np.asarray(truth, float), np.nan)
    return Sample(bad, order, np.asarray(frame, bool), planned)


def test_bound_of_what_is_left_holds_by_enumeration_whatever_was_taken_out_before():
    """Two riskiest graded, then draws from the rest, one part, all positions of two bad ones."""
    n, alpha = 6, 0.3
    frame = np.arange(n) >= 2
    part = np.arange(n) % 2 == 0
    for bad in itertools.combinations(range(n), 3):
        truth = np.isin(np.arange(n), bad)
        failed = {"all": 0, "part": 0}
        orders = list(itertools.permutations(range(2, n)))
        for drawn in orders:
            order = np.zeros(n, np.int64)
            order[list(drawn)] = np.arange(n - 2)
            graded = ~frame | (order < 3)
            now = sample(truth, graded=graded, frame=frame, order=order, planned=3)
            for name, inside in (("all", np.ones(n, bool)), ("part", part)):
                left = bad_left(now, inside, alpha=alpha)
                failed[name] += left.bad_high < (truth & ~graded & inside).sum()
        assert max(failed.values()) <= alpha * len(orders)


def test_draws_count_up_to_the_first_that_was_not_graded():
    graded = [1, 1, 0, 1, 1, 0]
    left = bad_left(sample([0] * 6, graded=graded, frame=[1] * 6), np.ones(6, bool), alpha=0.05)
    assert (left.n_graded, left.n_drawn, left.bad_high) == (4, 2, 2)


def test_bad_ones_found_are_taken_out():
    truth, graded = [1, 0, 0, 0], [1, 1, 1, 1]
    left = bad_left(sample(truth, graded=graded, frame=[0, 1, 1, 1]), np.ones(4, bool), alpha=0.05)
    assert (left.n, left.n_bad, left.bad_high, left.share) == (3, 1, 0, 0.0)


def test_what_was_neither_drawn_nor_graded_counts_as_bad():
    left = bad_left(
        sample([0] * 4, graded=[0, 1, 1, 1], frame=[0, 1, 1, 1]), np.ones(4, bool), alpha=0.05
    )
    assert left.bad_high == 1


def test_empty_part():
    left = bad_left(sample([0] * 3, graded=[1] * 3, frame=[1] * 3), np.zeros(3, bool), alpha=0.05)
    assert (left.n, left.bad_high, left.share) == (0, 0, 0.0)


def test_draw_order_is_a_permutation_that_hangs_on_seed_and_names_only():
    keys = [f"case {k}" for k in range(50)]
    order = draw_order(keys, 1)
    assert sorted(order) == list(range(50))
    assert (draw_order(keys[::-1], 1)[::-1] == order).all()
    assert (draw_order(keys, 2) != order).any()


def units(risk, bad=None, run=None):
    n = len(risk)
    return Units(
        np.asarray(risk, float),
        np.zeros(n, np.int64) if run is None else np.asarray(run),
        np.arange(n),
        np.full(n, np.nan) if bad is None else np.asarray(bad, float),
    )


def test_neighbours_of_a_bad_unit_are_expected_to_be_bad():
    bad = [np.nan] * 6
    free = probabilities(units([0.4] * 6, bad))
    bad[2] = 1.0
    chance = probabilities(units([0.4] * 6, bad))
    assert chance[2] == 1.0
    assert chance[1] > chance[5] > free[5]
    apart = probabilities(units([0.4] * 6, bad, run=[0, 1, 2, 3, 4, 5]))
    assert chance[1] > apart[1]


def test_risk_that_is_not_known_is_of_no_harm():
    assert np.isfinite(probabilities(units([np.nan] * 3))).all()
    assert probabilities(units([])).shape == (0,)


def design(n, **changes):
    start = {
        "goal": Goal(0.05, 0.95),
        "order": draw_order(map(str, range(n)), 0),
        "frame": np.zeros(n, bool),
        "listed": np.zeros(n, bool),
        "planned": 0,
    }
    return Design(**start | changes)


def test_riskiest_are_graded_first_where_that_saves_gradings():
    risk = np.full(800, 0.02)
    risk[100:140] = 0.95
    first = next_round(units(risk), design(800))
    assert set(first.risky) <= set(range(100, 140))
    assert not len(first.random)
    assert first.planned == 0


def test_random_draws_begin_where_nothing_is_risky_and_come_in_the_order_of_the_seed():
    plan = design(800)
    first = next_round(units(np.full(800, 0.02)), plan)
    assert not len(first.risky)
    assert len(first.random) == first.planned > 50
    assert (np.diff(plan.order[first.random]) > 0).all()
    assert plan.order[first.random].max() == first.planned - 1
    assert first.frame.all()


def test_nothing_new_while_risky_ones_wait():
    plan = design(10, listed=np.arange(10) < 2)
    more = next_round(units([0.9] * 10), plan)
    assert not len(more.risky)
    assert not len(more.random)


def test_more_draws_where_those_planned_were_not_enough():
    n, listed = 800, np.arange(800) < 100
    bad = np.where(listed, 0.0, np.nan)
    bad[:100:10] = 1.0
    plan = design(n, order=np.arange(n), frame=np.ones(n, bool), listed=listed, planned=100)
    more = next_round(units(np.full(n, 0.1), bad, run=np.arange(n)), plan)
    assert list(more.random) == list(range(100, 125))
    assert more.planned == 100


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_anything_to_audit(n):
    assert sum(gradings_missing(units([0.5] * n), design(n))) <= n
