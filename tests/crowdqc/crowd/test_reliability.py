"""Reliability and its interval, against the same computed one rater and one answer at a time."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crowdqc.crowd import fit
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.crowd.edges import EdgeSettings
from crowdqc.crowd.evidence import evidence
from crowdqc.crowd.existence import ExistenceSettings
from crowdqc.crowd.existence_fit import fit_existence
from crowdqc.crowd.fit import _believed
from crowdqc.crowd.reliability import (
    _DRAWN,
    _LENT,
    _interval,
    _together,
    _usual,
    answers,
    clusters,
    reliability,
)
from crowdqc.matching import match
from crowdqc.schema import BOX, Study
from tests.crowdqc.crowds import crowd_study


def by_hand(rows, usual, prior, *, doubt, voice, level, drawn):
    """`value, low, high, n` of each rater, from rows of rater, cluster, top and bottom."""
    n = len(usual)
    values, counts, weights, own = [], [], [], []
    for rater in range(n):
        mine = [row for row in rows if row[0] == rater]
        weight = sum(bottom for *_, bottom in mine)
        value = (sum(top for *_, top, _ in mine) + prior * usual[rater]) / (weight + prior)
        clusters = {}
        for _, cluster, top, bottom in mine:
            above, below = clusters.get(cluster, (0.0, 0.0))
            clusters[cluster] = above + top, below + bottom
        count = sum(below > 0 for _, below in clusters.values())
        square = sum((above - value * below) ** 2 for above, below in clusters.values())
        own.append(square * count / (count - 1) / weight if count > 1 else 0.0)
        values.append(value), counts.append(count), weights.append(weight)
    free = [max(count - 1, 0) for count in counts]
    lent = sum(o * f * v for o, f, v in zip(own, free, voice, strict=True))
    pooled = lent / max(sum(f * v for f, v in zip(free, voice, strict=True)), 1.0)
    found = []
    for rater in range(n):
        spread = (own[rater] * free[rater] + pooled * _LENT) / (free[rater] + _LENT)
        mean = (values[rater] * weights[rater] + 1) / (weights[rater] + 2)
        variance = drawn * max(spread, mean * (1 - mean)) * weights[rater] + doubt[rater]
        t = stats.t.ppf((1 + level) / 2, free[rater] + _LENT)
        reach = t * math.sqrt(variance) / weights[rater]
        low, high = values[rater] - reach, values[rater] + reach
        low, high = low - max(high - 1, 0), high + max(-low, 0)
        found.append((values[rater], min(max(low, 0), 1), min(max(high, 0), 1), counts[rater]))
    return np.array(found)


@pytest.mark.parametrize("right", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_interval_is_that_of_one_rater_at_a_time(seed, right):
    rng = np.random.default_rng(seed)
    who, cluster = rng.integers(0, 4, 120), rng.integers(0, 6, 120)
    who[-1], cluster[who == 3] = 3, 0  # one has a single case
    bottom = rng.uniform(0.2, 1, 120)
    top = bottom * (rng.random(120) < right)
    usual, doubt = np.full(4, 0.6), rng.uniform(0, 2, 4)
    voice = np.array([1.0, 0.5, 0.5, 1.0])
    words = {"doubt": doubt, "voice": voice, "level": 0.9, "drawn": 0.7}

    found = _interval((top, bottom, usual, 3.0), who=who, cluster=cluster, **words)

    rows = list(zip(who, cluster, top, bottom, strict=True))
    expected = by_hand(rows, usual, 3.0, **words)
    got = np.column_stack([found.value, found.low, found.high, found.n])
    np.testing.assert_allclose(got, expected)


def one_answer_at_a_time(data, overlap, exists, shared):
    """Rows for `by_hand`, and the doubt of each rater, of raters who are all independent."""
    asked = np.bincount(data.asked_object, minlength=data.n_objects)
    of_box = {(o, r): k for k, (o, r) in enumerate(zip(data.object, data.rater, strict=True))}
    drawer = {o: [r for p, r in of_box if p == o] for o in range(data.n_objects)}
    place, rows, parts = clusters(data), [], []
    for a, (o, r) in enumerate(zip(data.asked_object, data.asked_rater, strict=True)):
        if asked[o] < 2:
            continue
        box = of_box.get((o, r))
        met = 0.0 if box is None else overlap[box]
        rows.append((r, place[o], 2 * exists[a] * met, (box is not None) + exists[a]))
        parts.append((r, o, exists[a], met))
    doubt = []
    for rater in range(data.n_raters):
        mine = [row for row in rows if row[0] == rater]
        value = sum(row[2] for row in mine) / sum(row[3] for row in mine)
        together, variance = {}, 0.0
        for r, o, p, met in parts:
            if r != rater:
                continue
            variance += p * met * 4 * (1 - met)
            own = p * (1 - p) * (2 * met - value) ** 2
            if drawer[o] == [rater]:
                own = p * (1 - p) * 4
            if len(drawer[o]) <= max(asked[o] / 2, 1):
                few = tuple(drawer[o])
                together[few] = together.get(few, 0.0) + math.sqrt(own)
            else:
                variance += own
        doubt.append(variance + sum(one**2 for one in together.values()))
    return rows, doubt, _DRAWN + (1 - _DRAWN) * shared**2


@pytest.mark.parametrize("n", [3, 4, 5])
def test_reliability_is_that_of_one_answer_at_a_time(n):
    sd, extra = [2, 3, 5, 2, 4][:n], [0.1, 0.3, 0.0, 0.1, 0.2][:n]
    study, _ = crowd_study(4, sd=sd, miss=0.4, extra=extra, things=25)
    data = evidence(match(study))
    edges = fit_edges(data, EdgeSettings())
    rng = np.random.default_rng(0)
    overlap, exists = rng.random(len(data.boxes)), rng.random(len(data.drew))
    assert not edges.dependence.table().any(where=~np.eye(n, dtype=bool))

    found = reliability(
        data, edges, overlap=overlap, exists=exists, prior=2.0, level=0.9, shared=0.5
    )

    rows, doubt, drawn = one_answer_at_a_time(data, overlap, exists, 0.5)
    who, of = data.asked_rater, data.asked_object
    met = np.zeros(len(who))
    met[answers(data)] = overlap
    usual = _usual(
        data, who, of, right=2 * exists * met, outcome=data.drew + exists, voice=np.ones(n)
    )
    words = {"doubt": doubt, "voice": np.ones(n), "level": 0.9, "drawn": drawn}
    expected = by_hand(rows, usual, 4.0, **words)
    got = np.column_stack([found.value, found.low, found.high, found.n])
    np.testing.assert_allclose(got, expected)


def test_the_row_of_each_box_among_the_answers_is_that_of_its_rater_and_object():
    study, _ = crowd_study(2, sd=[2] * 4, miss=0.3, things=20)
    data = evidence(match(study))

    row = answers(data)

    assert data.drew[row].all()
    assert len(set(row)) == data.drew.sum()
    np.testing.assert_array_equal(data.asked_rater[row], data.rater)
    np.testing.assert_array_equal(data.asked_object[row], data.object)


def test_what_the_same_few_drew_alone_stands_or_falls_together():
    who = np.array([0, 0, 0, 1, 1])
    few = np.array([2, 2, -1, 2, 0])

    variance = _together(who, np.array([1.0, 4.0, 9.0, 1.0, 4.0]), 3, few=few)

    np.testing.assert_allclose(variance, [(1 + 2) ** 2 + 9, 1 + 4, 0])


def test_raters_who_see_what_is_there_are_not_blamed_for_the_inventions_of_another():
    gone, held = [], []
    for seed in range(6):
        study, truth = crowd_study(
            seed, sd=[2.0] * 4, miss=0.1, extra=[0.02, 0.05, 0.05, 0.5], things=80
        )
        crowd = fit(match(study))
        for rater, *found in zip(
            crowd.raters,
            crowd.reliability,
            crowd.reliability_low,
            crowd.reliability_high,
            strict=True,
        ):
            mine = study.boxes[study.boxes["rater"] == rater]
            off = np.abs(mine[BOX].to_numpy() - truth[mine["slice"]]).max(axis=1)
            true = 2 * (off < 20).sum() / (len(mine) + len(truth))
            gone.append(true - found[0])
            held.append(found[1] <= true <= found[2])

    assert abs(np.mean(gone)) < 0.006
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize(("shared", "own_votes"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.0), (2.0, 0.0)])
def test_at_worst_own_votes_count_as_far_as_errors_are_not_shared(shared, own_votes):
    study, _ = crowd_study(3, sd=[2] * 4, miss=0.2, extra=[0.0, 0.1, 0.1, 0.6], things=30)
    data = evidence(match(study))
    weight = np.random.default_rng(0).random(data.n_objects)
    existence = replace(fit_existence(data, ExistenceSettings()), weight=weight)

    worst, best = _believed(data, existence, shared)

    every, weight = existence.probability[data.asked_object], weight[data.asked_object]
    weight[data.drew] = 1.0  # a flood is held against who drew it, not against the others
    np.testing.assert_allclose(best, weight * every)
    mixed = own_votes * every + (1 - own_votes) * existence.without
    np.testing.assert_allclose(worst, weight * mixed)


def test_who_sees_what_others_skip_is_not_known_to_invent():
    rng, boxes, readings = np.random.default_rng(3), [], []
    for z in range(40):
        for i in range(6):
            centre, half = np.array([60 + 120 * (i % 3), 60 + 120 * (i // 3)]), rng.uniform(15, 30)
            chance = 0.93 if rng.random() < 0.7 else 0.15
            for r in range(5):
                if rng.random() < (0.95 if r == 0 else chance):
                    edges = np.r_[centre - half, centre + half] + rng.normal(0, 1.5, 4)
                    boxes.append((f"c{z // 4}", z % 4, f"r{r}", "thing", *edges))
        readings += [(f"c{z // 4}", z % 4, f"r{r}", "boxed") for r in range(5)]
    frame = pd.DataFrame(boxes, columns=["case", "slice", "rater", "label", *BOX])
    read = pd.DataFrame(readings, columns=["case", "slice", "rater", "state"])

    crowd = fit(match(Study.from_boxes(frame, readings=read, shape=(600, 600))))

    n = (frame["rater"] == "r0").sum()
    assert crowd.reliability_high[0] >= 2 * n / (n + 240)


def test_if_the_same_two_of_five_draw_the_ends_either_they_or_the_others_may_be_right():
    rng, boxes = np.random.default_rng(0), []
    for z in range(200):
        for r in range(5):
            if rng.random() > 0.03 and (z % 7 > 1 or r > 2):  # two slices of seven are ends
                edges = np.array([100, 100, 140, 150]) + rng.normal(0, 1.5, 4)
                boxes.append((f"c{z // 20}", z % 20, f"r{r}", "thing", *edges))
    frame = pd.DataFrame(boxes, columns=["case", "slice", "rater", "label", *BOX])
    read = [(f"c{z // 20}", z % 20, f"r{r}", "boxed") for z in range(200) for r in range(5)]
    read = pd.DataFrame(read, columns=["case", "slice", "rater", "state"])

    crowd = fit(match(Study.from_boxes(frame, readings=read, shape=(300, 300))))

    drawn = frame["rater"].value_counts().sort_index().to_numpy()
    number = 20 * frame["case"].str[1:].astype(int) + frame["slice"]
    met = frame.loc[number % 7 > 1, "rater"].value_counts().sort_index().to_numpy()
    for true in (2 * drawn / (drawn + 200), 2 * met / (drawn + 142)):
        assert (crowd.reliability_low <= true).all()
        assert (true <= crowd.reliability_high).all()
