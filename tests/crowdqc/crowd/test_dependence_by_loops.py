"""Who depends on whom, against the same written as loops over pairs of raters."""

import itertools
import math

import numpy as np
import pytest

from crowdqc.crowd.dependence import Dependence, find_dependence
from tests.crowdqc.crowd.test_dependence import evidence_of

FOUR = range(4)
NORMAL = 2.198
"""Mean over median of a squared normal value: 1 / 0.4549."""


def by_loops(data, away, *, unit, size, rows):
    """Share of each pair of raters who drew something in common."""
    couples = {}
    for o in range(data.n_objects):
        for i, j in itertools.combinations([i for i in rows if data.object[i] == o], 2):
            key = tuple(sorted((int(data.rater[i]), int(data.rater[j]))))
            couples.setdefault(key, []).append((i, j))
    run = {i: stretch(data, data.object[i]) for i in rows}
    alike = likeness([(data.rater[i], run[i]) for i in rows], [away[i] for i in rows])
    variance, floor, worth = {}, {}, {}
    for key, boxes in couples.items():
        square = [(away[i][e] - away[j][e]) ** 2 for i, j in boxes for e in FOUR]
        variance[key] = NORMAL * float(np.median(square))
        if data.whole_pixels:
            px = [1 / (unit[i][e] * size[i][e]) ** 2 for i, _ in boxes for e in FOUR]
            variance[key] += sum(px) / len(px) / 6
        hand = [
            2 * ((0.5 / size[i][e]) ** 2 + 0.01**2) / unit[i][e] ** 2
            for i, _ in boxes
            for e in FOUR
        ]
        floor[key] = sum(hand) / len(hand)
        count = {}
        for i, _ in boxes:
            count[run[i]] = count.get(run[i], 0) + 1
        worth[key] = sum(m / (1 + (m - 1) * alike) for m in count.values())
    common = in_common(variance, worth, floor)
    share = {}
    for key, part in common.items():
        x = min(max((part - 0.4) / 0.4, 0), 1)
        share[key] = x * x * (3 - 2 * x)
    return share


def stretch(data, o):
    return int(data.case[o]), int(data.label[o]), int(data.plane[o]) // 10


def likeness(run, error):
    """Mean product of errors of one run, over their mean square; ten errors say none are alike."""
    error = np.clip(np.array(error), -3, 3)
    error = error - error.mean(axis=0)
    top = bottom = 0.0
    for key in set(run):
        mine = [row for row, of in zip(error, run, strict=True) if of == key]
        n = len(mine)
        if n > 1:
            products = [float(a @ b) / 4 for a, b in itertools.permutations(mine, 2)]
            top += (n - 1) * sum(products) / len(products)
            bottom += n - 1
    found = top / (bottom + 10) / max(float(np.mean(error**2)), 1e-12)
    return min(max(found, 0.0), 1.0)


def in_common(variance, worth, floor):
    raters = sorted({r for key in variance for r in key})
    usual = float(np.median(list(variance.values()))) / 2 + 1e-12
    of = {r: [key for key in variance if r in key] for r in raters}
    own = {
        r: max(float(np.median([variance[key] for key in of[r]])) / 2, 1e-6 * usual) for r in raters
    }
    plain = {key: worth[key] * (v / (v + floor[key] + 1e-12)) ** 2 for key, v in variance.items()}
    for step in range(300):
        expected = {(a, b): own[a] + own[b] for a, b in variance}
        weight = {}
        for key, v in variance.items():
            missing = min(max(v / expected[key], 0), 1) if step > 200 else 1.0
            weight[key] = plain[key] * missing**2 / expected[key]
        prior, new = 2.0 * 0.1 / usual, {}
        for r in raters:
            top = sum(weight[key] * variance[key] / expected[key] for key in of[r])
            bottom = sum(weight[key] for key in of[r])
            new[r] = own[r] * math.sqrt((top + prior * usual / own[r]) / (bottom + prior))
        own = {
            r: min(
                new[r],
                *((math.sqrt(new[other(key, r)]) + math.sqrt(variance[key])) ** 2 for key in of[r]),
            )
            for r in raters
        }
    found = {}
    for (a, b), v in variance.items():
        key = a, b
        expected = max(own[a] + own[b], 0.05**2 * floor[key])
        chance = math.sqrt(1 + 2 * math.log(len(variance)))
        likely = v * math.exp(chance * math.sqrt(1.35 / worth[key]))
        likely = (worth[key] * likely + 2.0 * expected) / (worth[key] + 2.0)
        found[key] = min(max(1 - likely / expected, 0), 1)
    return found


def other(key, rater):
    return key[0] if key[1] == rater else key[1]


@pytest.mark.parametrize("whole", [False, True], ids=["anywhere", "on whole pixels"])
@pytest.mark.parametrize("tie", [0.0, 0.62, 0.72])
def test_dependence_is_that_of_loops(tie, whole):
    """Two pairs of seven share part of their errors, and errors of one image are alike."""
    rng = np.random.default_rng(int(100 * tie))
    n, hands = 150, np.array([0.03, 0.03, 0.02, 0.05, 0.1, 0.06, 0.06])
    side = rng.uniform(30, 120, (n, 2))
    size = np.hstack([side, side])
    error = rng.normal(size=(n, 7, 4)) + 0.4 * rng.normal(size=(10, 7, 4))[np.arange(n) // 15]
    for one, other_one, part in ((0, 1, tie), (5, 6, tie - 0.05 if tie else 0.0)):
        error[:, other_one] = part**0.5 * error[:, one] + (1 - part) ** 0.5 * error[:, other_one]
    low = rng.uniform(20, 200, (n, 2))
    truth = np.hstack([low, low + side])
    boxes = truth[:, None] + size[:, None] * hands[:, None] * error
    boxes = boxes.round() if whole else boxes
    data = evidence_of(boxes, rng.random((n, 7)) < 0.8)
    wide = size[data.object]
    unit = np.where(data.label[data.object][:, None] > 0, 0.04, 0.03) * np.ones(4)
    away = (data.boxes - truth[data.object]) / wide / unit
    rows = np.flatnonzero(rng.random(len(away)) < 0.95)

    found = find_dependence(data, away, unit=unit, size=wide, rows=rows)

    expected = by_loops(data, away, unit=unit, size=wide, rows=rows)
    tied = {key: share for key, share in expected.items() if share > 0}
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == sorted(tied)
    np.testing.assert_allclose(found.share, [tied[key] for key in pairs], rtol=1e-6)
    assert bool(tie) == bool(pairs)


def test_voices_of_rows_raters_and_groups_by_hand():
    """Rater 0 shares .6 with 1 and .2 with 2; 3 stands alone; 2 did not draw the second object."""
    found = Dependence(np.array([0, 0]), np.array([1, 2]), np.array([0.6, 0.2]), 4)
    objects, rater = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([3, 1, 0, 2, 1, 0, 3])

    mates = found.mates(objects, rater)

    voice = [1, 1 / 1.6, 1 / 1.8, 1 / 1.2, 1 / 1.6, 1 / 1.6, 1]
    np.testing.assert_allclose(mates.voice(7), voice)
    values = np.column_stack([np.arange(7.0), np.ones(7)])
    by_hand = [0, 0.6 * 2, 0.6 * 1 + 0.2 * 3, 0.2 * 2, 0.6 * 5, 0.6 * 4, 0]
    np.testing.assert_allclose(mates.sums(values)[:, 0], by_hand)
    np.testing.assert_allclose(found.rater_voice(), [1 / 1.8, 1 / 1.6, 1 / 1.2, 1])
    table = np.zeros((4, 4))
    table[0, 1] = table[1, 0] = 0.6
    table[0, 2] = table[2, 0] = 0.2
    np.testing.assert_array_equal(found.table(), table)
    groups = found.groups()
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
