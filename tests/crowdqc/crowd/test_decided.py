"""What decisions say of other objects: much where the crowd cannot tell, else nothing."""

import dataclasses

import numpy as np
import pytest

from crowdqc.crowd import EdgeSettings, Evidence, evidence, fit_evidence
from crowdqc.crowd.decided import common_offset, decided_edges
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from tests.crowdqc.crowds import crowd_study


def decided_on(seed, rows, **hands):
    """A crowd before and after decisions on the objects of some slices: data, truth, both fits."""
    study, truth = crowd_study(seed, **hands)
    data = evidence(match(study))
    true = truth[data.plane]
    near = paired_iou(fit_evidence(data).box, true) >= 0.3
    known = np.isin(data.plane, rows)
    after = dataclasses.replace(
        data,
        decided=np.where(known, near, np.nan),
        settled=np.where((known & near)[:, None], true, np.nan),
    )
    return data, true, fit_evidence(data), fit_evidence(after), ~known & near


def overlap(crowd, true, rows):
    return paired_iou(crowd.box[rows], true[rows]).mean()


def test_of_two_raters_decisions_tell_who_is_right_everywhere():
    _, true, before, after, rest = decided_on(
        0, range(0, 120, 3), sd=[2, 2], bias=[0, 8], things=120
    )

    assert overlap(after, true, rest) > overlap(before, true, rest) + 0.05


def test_of_two_raters_the_one_who_scatters_counts_less():
    _, true, before, after, rest = decided_on(1, range(0, 120, 3), sd=[2, 9], things=120)

    assert after.sd[1].mean() > 1.5 * after.sd[0].mean()
    assert overlap(after, true, rest) > overlap(before, true, rest) + 0.01


def test_a_loose_habit_of_all_is_taken_from_all():
    _, true, before, after, rest = decided_on(2, range(0, 120, 3), sd=[2] * 4, bias=6, things=120)

    assert overlap(after, true, rest) > overlap(before, true, rest) + 0.05


def test_how_much_of_what_one_draws_alone_is_there_is_learned():
    data, true, before, after, _ = decided_on(
        3, range(0, 120, 3), sd=[2, 2], miss=[0.02, 0.3], extra=[0.5, 0], things=120, single=False
    )
    alone = (data.n_boxes == 1) & (data.plane % 3 > 0)
    alone &= np.isin(np.arange(data.n_objects), data.object[data.rater == 0])
    share = (paired_iou(before.box[alone], true[alone]) >= 0.3).mean()

    assert 0.3 < share < 0.6
    assert abs(before.exists[alone].mean() - share) > 0.2
    assert abs(after.exists[alone].mean() - share) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_where_the_crowd_knows_better_hardly_anything_moves(seed):
    _, true, before, after, rest = decided_on(seed, range(0, 60, 2), sd=[2, 2, 3, 3, 4])

    assert abs(overlap(after, true, rest) - overlap(before, true, rest)) < 0.005
    np.testing.assert_allclose(after.exists[rest], before.exists[rest], atol=1e-6)


def test_without_decisions_nothing_moves():
    _, _, before, after, _ = decided_on(4, [], sd=[2, 2, 3])

    np.testing.assert_array_equal(after.box, before.box)
    np.testing.assert_array_equal(after.exists, before.exists)


def test_an_offset_that_may_be_chance_is_none():
    rng = np.random.default_rng(0)
    spread = np.full((40, 4), 0.05)
    noise = rng.normal(0, 0.05, (40, 4))
    case = np.arange(40)

    assert np.abs(common_offset(noise, spread, case)).max() < 0.02
    assert common_offset(noise + 0.1, spread, case) == pytest.approx(np.full(4, 0.1), abs=0.03)
    assert (common_offset(noise + 0.1, spread, case % 3) == 0).all()


def test_what_a_rater_draws_beside_decided_boxes_is_learned_of_the_rater():
    """By hand: the mean of four boxes, held to none by the five that the other shares, and ten."""
    edges, moved = shifted([6.0, 6, 6, 25, 6])

    own = np.mean([0.06, 0.06, 0.06, 0.09]) * 4 / (4 + 5 + 10)  # the last is clipped at 3 spreads
    assert moved.bias[0] == pytest.approx(np.full(4, own))
    assert moved.bias[1] == pytest.approx(np.zeros(4))
    weight = 1 / ((4 + 4 + 4 + 9) / (21 / 8) + 10), 1 / 10  # over the usual square, and ten boxes
    before, after = 6 / 2, weight[0] * (6 - 100 * own) / sum(weight)
    assert moved.box[4] == pytest.approx(edges.box[4] + after - before)


def shifted(px):
    """Two raters of five objects of 100 px, the first of whom is `px` off; four are decided on."""
    truth = np.tile([100.0, 100, 200, 200], (5, 1))
    off = np.array([px, np.zeros(5)])
    boxes = np.concatenate([truth + row[:, None] for row in off])
    of, who = np.tile(np.arange(5), 2), np.repeat([0, 1], 5)
    asked = np.lexsort((who, of))
    data = Evidence(
        boxes=boxes,
        object=of,
        rater=who,
        asked_object=of[asked],
        asked_rater=who[asked],
        drew=np.ones(10, bool),
        place=np.arange(5),
        label=np.zeros(5, np.int64),
        case=np.zeros(5, np.int64),
        plane=np.zeros(5, np.int64),
        n_objects=5,
        n_raters=2,
        settled=np.where(np.arange(5)[:, None] < 4, truth, np.nan),
        decided=np.where(np.arange(5) < 4, 1.0, np.nan),
    )
    edges = fit_edges(dataclasses.replace(data, settled=truth * np.nan), EdgeSettings())
    edges = dataclasses.replace(
        edges,
        box=truth,
        bias=np.zeros((2, 4)),
        scale=np.full((10, 4), 0.03),
        trust=np.ones((10, 4)),
        voice=np.ones(10),
        spread=np.ones((5, 4)),
    )
    return edges, decided_edges(data, edges, 0.0)
