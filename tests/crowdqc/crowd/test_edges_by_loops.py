"""The EM of edges against the same written as loops over boxes, and who depends on whom, too."""

import dataclasses
import math
from unittest import mock

import numpy as np
import pytest
from scipy.special import gammaln

from crowdqc.crowd import EdgeSettings
from crowdqc.crowd.dependence import Dependence
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.crowd.pairs import unresolved
from tests.crowdqc.crowd.test_dependence import evidence_of

ELSEWHERE = -4 * math.log(10)
SAME_PLACE, LEAST = 0.3, 1e-8
FOUR = range(4)


def quantile(values, weight, share=0.5):
    """The value with this share of the weight below, or the middle between two."""
    order = sorted(range(len(values)), key=lambda k: values[k])
    reached, total = 0.0, sum(weight)
    ends = []
    for limit in (share - 1e-9, share + 1e-9):
        reached, last = 0.0, order[-1]
        for k in order:
            reached += weight[k] / total
            if reached >= limit:
                last = k
                break
        ends.append(values[last])
    return sum(ends) / 2


def central(values, weight):
    """Mean over the weight from .4 to .6, in the order of the values."""
    total, reached, top, bottom = sum(weight), 0.0, 0.0, 0.0
    if total <= 0:
        return 0.0
    for k in sorted(range(len(values)), key=lambda k: values[k]):
        low, reached = reached, reached + weight[k] / total
        part = min(max(reached, 0.4), 0.6) - min(max(low, 0.4), 0.6)
        top, bottom = top + part * values[k], bottom + part
    return top / bottom


def sides(box):
    wide, high = max(box[2] - box[0], 1e-6), max(box[3] - box[1], 1e-6)
    return [wide, high, wide, high]


def overlap(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return both / (sum(area) - both)


def student(square, freedom):
    half = (freedom + 1) / 2
    constant = gammaln(half) - gammaln(freedom / 2) - math.log(freedom * math.pi) / 2
    return constant - half * math.log(1 + square / freedom)


class Loops:
    """Of one label or two; `share` is what two raters share."""

    def __init__(self, data, settings, share):
        self.data, self.set, self.share = data, settings, share
        self.n, self.free = range(len(data.boxes)), settings.freedom
        self.of, self.who = list(data.object), list(data.rater)
        self.label = [int(data.label[o]) for o in self.of]
        self.objects, self.raters = range(data.n_objects), range(data.n_raters)
        self.labels = range(int(data.label.max()) + 1)
        self.own = {o: [i for i in self.n if self.of[i] == o] for o in self.objects}
        self.by = {r: [i for i in self.n if self.who[i] == r] for r in self.raters}
        self.factor = dict.fromkeys(self.raters, 1.0)
        self.hard = dict.fromkeys(self.objects, 1.0)
        self.bias = {r: [0.0] * 4 for r in self.raters}
        self.apart = None
        self.voice = [1 / (1 + sum(self.mates(i).values())) for i in self.n]
        self.start()

    def mates(self, i):
        """Boxes of the same object by raters who share errors with this one's."""
        others = [j for j in self.own[self.of[i]] if j != i]
        return {j: self.share.get(frozenset({self.who[i], self.who[j]}), 0.0) for j in others}

    def box_of(self, i):
        return self.data.boxes[i]

    def start(self):
        data = self.data
        self.median = {
            o: [
                quantile([self.box_of(i)[e] for i in mine], [self.voice[i] for i in mine])
                for e in FOUR
            ]
            for o, mine in self.own.items()
        }
        self.box = dict(self.median)
        voices = {o: sum(self.voice[j] for j in mine) for o, mine in self.own.items()}
        self.shared = [voices[o] > 1 + 1e-9 for o in self.of]
        two = {o for o in self.objects if 1 + 1e-9 < voices[o] <= 2 + 1e-9}
        drawn = [sum(self.voice[i] for i in self.by[r] if self.shared[i]) for r in self.raters]
        pairs = [(i, j) for o in two for i in self.own[o] for j in self.own[o] if i < j]
        weight = [self.voice[i] * self.voice[j] * (1 - self.mates(i).get(j, 0)) for i, j in pairs]
        of = np.array([(self.who[i], self.who[j]) for i, j in pairs], int).reshape(-1, 2).T
        share = unresolved(*of, np.array(weight), drawn=np.array(drawn))
        self.paired = [share[self.who[i]] / 2 * (self.of[i] in two) for i in self.n]
        self.size = [sides(self.median[o]) for o in self.of]
        self.miss = [
            [(self.box_of(i)[e] - self.median[self.of[i]][e]) / self.size[i][e] for e in FOUR]
            for i in self.n
        ]
        away = [list(row) for row in self.miss]
        for r in self.raters:
            rows = [i for i in self.by[r] if self.shared[i]]
            for e in FOUR if rows else ():
                off = quantile([self.miss[i][e] for i in rows], [1.0] * len(rows))
                off *= len(rows) / (len(rows) + self.set.bias_boxes)
                for i in self.by[r]:
                    away[i][e] -= off
        unit = {label: self.unit(away, label) for label in self.labels}
        self.sd = {(r, g): list(unit[g]) for r in self.raters for g in self.labels}
        self.rate = dict.fromkeys(self.raters, self.set.astray)
        square = [[(self.miss[i][e] / self.sd_of(i)[e]) ** 2 for e in FOUR] for i in self.n]
        variance = [[sd**2 for sd in self.sd_of(i)] for i in self.n]
        self.believe(square, square, variance)
        assert data.n_objects

    def sd_of(self, i):
        return self.sd[self.who[i], self.label[i]]

    def unit(self, away, label):
        found = []
        rows = [i for i in self.n if self.shared[i]]
        mine = [i for i in rows if self.label[i] == label]
        for e in FOUR:
            every, own = (
                quantile([abs(away[i][e]) for i in some], [self.voice[i] for i in some], 0.65)
                if some
                else 0.0
                for some in (rows, mine)
            )
            n = sum(self.voice[i] for i in mine)
            usual = math.sqrt((n * own**2 + every**2) / (n + 1))
            found.append(max(usual / 0.935 + 1e-4, 0.01))
        return found

    def locate(self):
        self.weight, self.total, self.top = {}, {}, {}
        for o, mine in self.own.items():
            size = sides(self.box[o])
            for e in FOUR:
                for i in mine:
                    scale = self.sd_of(i)[e] * self.hard[o] * size[e]
                    self.weight[i, e] = self.voice[i] * self.trust[i][e] / scale**2
                self.top[o, e] = sum(self.weight[i, e] * self.drawn(i, e, size) for i in mine)
                self.total[o, e] = sum(self.weight[i, e] for i in mine)
            self.left_out(o, size)
            box = [self.top[o, e] / self.total[o, e] for e in FOUR]
            for low, high in ((0, 2), (1, 3)):
                if box[high] <= box[low]:
                    box[low], box[high] = self.median[o][low], self.median[o][high]
            self.box[o] = box
        self.size = [sides(self.box[o]) for o in self.of]
        self.miss = [
            [(self.box_of(i)[e] - self.box[self.of[i]][e]) / self.size[i][e] for e in FOUR]
            for i in self.n
        ]

    def drawn(self, i, e, size):
        return self.box_of(i)[e] - self.bias[self.who[i]][e] * size[e]

    def left_out(self, o, size):
        self.without = getattr(self, "without", {})
        self.doubt = getattr(self, "doubt", {})
        for i in self.own[o]:
            gone = self.mates(i) | {i: 1.0}
            for e in FOUR:
                rest = self.total[o, e] - sum(p * self.weight[j, e] for j, p in gone.items())
                rest = max(rest, 0.0)
                known = self.shared[i] and rest > 1e-9 * self.total[o, e]
                top = self.top[o, e] - sum(
                    p * self.weight[j, e] * self.drawn(j, e, size) for j, p in gone.items()
                )
                self.without[i, e] = top / rest if known else math.nan
                self.doubt[i, e] = rest**-0.5 if known else math.nan

    def weigh(self):
        square, error, variance = [], [], []
        for i in self.n:
            hard, bias = self.hard[self.of[i]], self.bias[self.who[i]]
            rows = [[], [], []]
            for e in FOUR:
                scale = (self.sd_of(i)[e] * hard) ** 2
                off = (self.box_of(i)[e] - self.without[i, e]) / self.size[i][e] - bias[e]
                usual = scale if self.apart is None else self.apart[i][e]
                rows[0].append(usual + (self.doubt[i, e] / self.size[i][e]) ** 2)
                rows[1].append(off**2 / rows[0][e])
                truth = 1 / (self.total[self.of[i], e] * self.size[i][e] ** 2)
                rows[2].append((self.miss[i][e] - bias[e]) ** 2 + truth)
            variance.append(rows[0])
            square.append(rows[1])
            error.append(rows[2])
        self.error = error
        plain = [
            [error[i][e] / (self.sd_of(i)[e] * self.hard[self.of[i]]) ** 2 for e in FOUR]
            for i in self.n
        ]
        self.believe(square, plain, variance)

    def believe(self, apart, square, variance):
        """Who is astray, given all the others, and how far each edge is trusted."""
        settled = self.data.settled
        self.astray, lonely = [], []
        for i in self.n:
            o, rate = self.of[i], math.log(self.rate[self.who[i]])
            alone = not self.shared[i] or not all(map(math.isfinite, apart[i]))
            near = sum(
                student(1.0 if alone else apart[i][e], self.free)
                - math.log(1.0 if alone else variance[i][e]) / 2
                for e in FOUR
            )
            mates = self.mates(i)
            others = sum(
                self.voice[j] * math.log(self.rate[self.who[j]]) * (1 - mates[j]) for j in mates
            )
            others = min(others, -1e-3)
            good = np.logaddexp(near + math.log1p(-math.exp(others)), others + ELSEWHERE)
            odds = rate - math.log1p(-self.rate[self.who[i]]) + ELSEWHERE - good
            astray = 0.0 if alone else 1 / (1 + math.exp(-min(max(odds, -50), 50)))
            if np.isfinite(settled[o]).all():
                astray = float(overlap(self.box_of(i), settled[o]) < SAME_PLACE)
                alone = False
            self.astray.append(astray)
            lonely.append(alone)
        self.trust = [
            [
                (self.free + 1) / (self.free + square[i][e]) * max(1 - self.astray[i], 1e-6)
                for e in FOUR
            ]
            for i in self.n
        ]
        for r in self.raters:
            rows = [i for i in self.by[r] if not lonely[i]]
            top = sum(self.astray[i] for i in rows) + self.set.astray_boxes * self.set.astray
            self.rate[r] = min(max(top / (len(rows) + self.set.astray_boxes), 1e-4), 0.9)

    def biases(self):
        found, count, known = {}, {}, []
        for r in self.raters:
            rows = [i for i in self.by[r] if self.shared[i]]
            count[r], found[r] = len(rows), [0.0] * 4
            known.append(sum(self.voice[i] for i in rows) / (len(rows) + 2))
            for e in FOUR if rows else ():
                scale = [(self.sd_of(i)[e] * self.hard[self.of[i]]) ** -2 for i in rows]
                weight = [s * self.trust[i][e] for s, i in zip(scale, rows, strict=True)]
                top = sum(w * self.miss[i][e] for w, i in zip(weight, rows, strict=True))
                prior = self.set.bias_boxes * sum(scale) / len(rows)
                found[r][e] = top / (sum(weight) + prior)
        usual = [central([found[r][e] for r in self.raters], known) for e in FOUR]
        self.bias = {
            r: [found[r][e] - usual[e] if count[r] else 0.0 for e in FOUR] for r in self.raters
        }

    def scales(self):
        here = [self.shared[i] * (1 - self.astray[i]) for i in self.n]
        voice = [self.voice[i] * here[i] for i in self.n]
        error = [
            [self.shared[i] * self.trust[i][e] * self.error[i][e] for e in FOUR] for i in self.n
        ]
        plain = [[x / self.hard[self.of[i]] ** 2 for x in error[i]] for i in self.n]
        label = self.label_variance(voice, plain)
        own = [sum(plain[i][e] / label[self.label[i]][e] for e in FOUR) / 4 for i in self.n]
        pairs = [self.paired[i] * here[i] for i in self.n]
        boxes = {r: self.set.rater_boxes + sum(pairs[i] for i in self.by[r]) for r in self.raters}
        drawn = {r: sum(here[i] for i in self.by[r]) + boxes[r] for r in self.raters}
        whole = {r: sum(own[i] for i in self.by[r]) + boxes[r] for r in self.raters}
        self.factor = {r: whole[r] / drawn[r] for r in self.raters}
        self.apart = [[0.0] * 4 for _ in self.n]
        top, n, held = {}, {}, {}
        for r, g in self.sd:
            rows = [i for i in self.by[r] if self.label[i] == g]
            held[r, g] = self.set.cell_boxes + sum(pairs[i] for i in rows)
            n[r, g] = sum(here[i] for i in rows)
            top[r, g] = [sum(plain[i][e] for i in rows) for e in FOUR]
            self.sd[r, g] = [
                math.sqrt(
                    (top[r, g][e] + held[r, g] * label[g][e] * self.factor[r])
                    / (n[r, g] + held[r, g])
                    + LEAST
                )
                for e in FOUR
            ]
        precise = [
            self.voice[i] * sum(error[i][e] / self.sd_of(i)[e] ** 2 for e in FOUR) / 4
            for i in self.n
        ]
        rows = self.set.object_boxes
        whole_o = {o: sum(precise[i] for i in mine) + rows for o, mine in self.own.items()}
        voices = {o: sum(voice[i] for i in mine) + rows for o, mine in self.own.items()}
        self.hard = {o: math.sqrt(whole_o[o] / voices[o]) for o in self.objects}
        for i in self.n:
            r, g, o = self.who[i], self.label[i], self.of[i]
            less = max((whole[r] - own[i]) / (drawn[r] - here[i]), 1e-3)
            gone = self.mates(i) | {i: 1.0}
            hard = whole_o[o] - sum(p * precise[j] for j, p in gone.items())
            hard /= voices[o] - sum(p * voice[j] for j, p in gone.items())
            for e in FOUR:
                part = top[r, g][e] - plain[i][e] + held[r, g] * label[g][e] * less
                part /= n[r, g] - here[i] + held[r, g]
                self.apart[i][e] = max(part, LEAST) * hard

    def label_variance(self, voice, plain):
        top, count = {}, {}
        for g in self.labels:
            rows = [i for i in self.n if self.label[i] == g]
            count[g] = sum(voice[i] for i in rows)
            top[g] = [
                sum(voice[i] * plain[i][e] / self.factor[self.who[i]] for i in rows) for e in FOUR
            ]
        every = [
            (sum(top[g][e] for g in self.labels) + LEAST) / (sum(count.values()) + 1e-9)
            for e in FOUR
        ]
        return {g: [(top[g][e] + every[e]) / (count[g] + 1) for e in FOUR] for g in self.labels}


def crowd(seed):
    """Twelve objects of two labels, drawn by four raters; one box far away, one drawn alone."""
    rng = np.random.default_rng(seed)
    low, side = rng.uniform(20, 200, (12, 2)), rng.uniform(30, 120, (12, 2))
    truth = np.hstack([low, low + side])
    size = np.hstack([side, side])
    hands = np.array([0.02, 0.04, 0.05, 0.1])[:, None]
    boxes = truth[:, None] + size[:, None] * (hands * rng.normal(size=(12, 4, 4)) + 0.02)
    boxes[3, 2] += 90
    boxes[4, 1] += [25, 0, 25, 0]
    for o, r, far in ((6, 0, 0.2), (7, 1, 0.3), (8, 2, 0.2)):  # may be astray, or may not
        boxes[o, r] += far * size[o]
    drew = rng.random((12, 4)) < 0.85
    drew[3], drew[4], drew[5] = True, True, [False, True, False, False]
    drew[6:9] = True
    drew[~drew.any(axis=1), 0] = True
    data = dataclasses.replace(evidence_of(boxes, drew), label=np.arange(12) % 2)
    return data, truth


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("pair", [0.0, 0.5], ids=["apart", "two share half"])
def test_edges_are_those_of_loops(steps, pair):
    data, truth = crowd(steps)
    settled = np.full((12, 4), np.nan)
    settled[4] = truth[4]
    data = dataclasses.replace(data, settled=settled, decided=np.full(12, np.nan))
    settings = EdgeSettings(
        freedom=5.0, steps=steps, bias_boxes=3.0, cell_boxes=2.0, object_boxes=5.0
    )
    tied = [np.array([0]), np.array([1]), np.array([pair])] if pair else [np.zeros(0, int)] * 3
    loops = Loops(data, settings, {frozenset({0, 1}): pair})
    for _ in range(steps):
        loops.locate()
        loops.weigh()
        loops.biases()
        loops.scales()
    loops.locate()

    with mock.patch("crowdqc.crowd.edge_fit.find_dependence", return_value=Dependence(*tied, 4)):
        found = fit_edges(data, settings)

    rows, objects = loops.n, loops.objects
    free = [i for i in rows if loops.of[i] != 4]
    known = 6.0 / 8.0  # a Student value with five degrees of freedom tells less
    expected = {
        "box": [loops.box[o] for o in objects],
        "spread": [[(known * loops.total[o, e]) ** -0.5 for e in FOUR] for o in objects],
        "weight": [
            sum(loops.weight[i, e] / loops.total[loops.of[i], e] for e in FOUR) / 4 for i in rows
        ],
        "astray": loops.astray,
        "scale": [[sd * loops.hard[loops.of[i]] for sd in loops.sd_of(i)] for i in rows],
        "trust": loops.trust,
        "rate": [loops.rate[r] for r in loops.raters],
        "difficulty": [loops.hard[o] for o in objects],
        "bias": [loops.bias[r] for r in loops.raters],
        "voice": loops.voice,
        "sd": [
            [
                math.sqrt(sum(loops.sd_of(i)[e] ** 2 for i in loops.by[r]) / len(loops.by[r]))
                for e in FOUR
            ]
            for r in loops.raters
        ],
        "sd_label": [
            [math.sqrt(sum(sd**2 for sd in loops.sd[r, g]) / 4) for g in loops.labels]
            for r in loops.raters
        ],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(
            getattr(found, name), np.array(value), rtol=1e-6, atol=1e-9, err_msg=name
        )
    for name, of in (("without", loops.without), ("error_without", loops.doubt)):
        value = np.array([[of[i, e] for e in FOUR] for i in free])
        np.testing.assert_allclose(getattr(found, name)[free], value, rtol=1e-6, err_msg=name)
    seen = [i for i in rows if loops.of[i] == 4]
    np.testing.assert_array_equal(found.without[seen], truth[[4] * len(seen)])
