"""The interval of a share, against the same computed one rater at a time."""

import math

import numpy as np
import pytest
from scipy import stats

from crowdqc.crowd.reliability import _LENT, _interval


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
