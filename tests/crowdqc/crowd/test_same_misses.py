"""Raters who miss the same: against a loop over pairs, copies with moved boxes, and habits."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.crowd import fit_evidence
from crowdqc.crowd.same_misses import _BEGINS, _CERTAIN, _SAME, same_misses
from tests.crowdqc.crowd.test_wrong import drawn


def answers(drew, *, boxes=None):
    """Evidence of objects (O, R) on the slices of ten organs, which all raters were asked for."""
    n, raters = drew.shape
    if boxes is None:
        boxes = np.tile([100.0, 100, 140, 150], (n, raters, 1))
    number = np.arange(n)
    return dataclasses.replace(drawn(boxes, drew), case=number // 20, plane=number % 20)


def by_loops(drew):
    """Share of each pair of raters who were all asked for everything."""
    n, raters = drew.shape
    expected, found = {}, {}
    for a, b in itertools.combinations(range(raters), 2):
        others = [r for r in range(raters) if r not in (a, b)]
        runs = {}
        for o in range(n):
            if drew[o, others].all():
                runs.setdefault(o // 10, []).append((drew[o, a], drew[o, b]))
        runs = [
            run
            for run in runs.values()
            if all(sum(one) > len(run) / 2 for one in zip(*run, strict=True))
        ]
        rows = [row for run in runs for row in run]
        if not rows:
            continue
        p, q = np.mean(rows, axis=0)
        apart = p * (1 - q) + q * (1 - p)
        expected[a, b] = sum(1 - (1 - apart) ** len(run) for run in runs)
        found[a, b] = sum(any(x != y for x, y in run) for run in runs)
    usual = [found[pair] / expected[pair] for pair in expected if expected[pair] >= 1]
    usual = np.clip(np.median(usual), _SAME, 1)
    share = {}
    for pair, one in expected.items():
        ratio = one * (usual - _SAME) + found[pair] * np.log(_SAME / usual) - np.log(len(expected))
        part = np.clip((ratio - _BEGINS) / (_CERTAIN - _BEGINS), 0, 1)
        share[pair] = part**2 * (3 - 2 * part)
    return share


def slips(seed, *, raters=5, n=400, miss=0.06, copy=None):
    rng = np.random.default_rng(seed)
    drew = rng.random((n, raters)) >= miss
    if copy is not None:
        differ = rng.random(n) < copy
        drew[:, -1] = np.where(differ, drew[:, -1], drew[:, -2])
    return drew[drew.any(axis=1)]


@pytest.mark.parametrize("copy", [None, 0.0, 0.15])
@pytest.mark.parametrize("raters", [3, 5])
def test_shares_are_those_of_a_loop_over_pairs(raters, copy):
    drew = slips(1, raters=raters, copy=copy)
    code, share = same_misses(answers(drew))
    expected = by_loops(drew)
    assert [divmod(int(one), raters) for one in code] == sorted(expected)
    np.testing.assert_allclose(share, [expected[pair] for pair in sorted(expected)], atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("raters", [3, 4, 6])
def test_who_misses_the_same_is_one_voice_and_nobody_else(seed, raters):
    code, share = same_misses(answers(slips(seed, raters=raters, copy=0.0)))
    pair = code == (raters - 2) * raters + raters - 1
    assert share[pair] > 0.9
    assert (share[~pair] == 0).all()


@given(st.integers(0, 10_000), st.floats(0.01, 0.4), st.integers(2, 7))
@settings(max_examples=40, deadline=None)
def test_of_raters_who_slip_apart_none_depends_on_another(seed, miss, raters):
    _, share = same_misses(answers(slips(seed, miss=miss, raters=raters, n=200)))
    assert (share == 0).all()


def test_two_who_skip_the_same_ends_by_habit_are_two():
    drew = slips(0)
    drew[:, 3:] &= (np.arange(len(drew)) % 20 > 3)[:, None]
    assert (same_misses(answers(drew))[1] == 0).all()


def test_a_copy_with_boxes_moved_by_much_leaves_reliability_and_existence():
    rng = np.random.default_rng(2)
    drew = slips(2, copy=0.0)
    alone = rng.random(len(drew)) < 0.03  # what only the two drew, the one and its copy
    drew[alone] = [False, False, False, True, True]
    error = rng.standard_normal((*drew.shape, 4)) * 1.5
    error[:, 4] = error[:, 3] + rng.standard_normal((len(drew), 4)) * 4
    crowd = fit_evidence(answers(drew, boxes=np.array([100.0, 100, 140, 150]) + error))
    assert crowd.group.tolist() == [0, 1, 2, 3, 3]
    assert crowd.exists[alone].max() < 0.3
    true = 2 * drew[~alone].sum(axis=0) / (drew.sum(axis=0) + (~alone).sum())
    assert (crowd.reliability_low <= true + 0.01).all()
    assert (true <= crowd.reliability_high + 0.01).all()
