"""The EM of existence against the same written as loops: an object, rater and node at a time."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.optimize import brentq

from crowdqc.crowd import ExistenceSettings
from crowdqc.crowd.dependence import Dependence
from crowdqc.crowd.existence_fit import fit_existence
from tests.crowdqc.crowd.test_crowd import votes

LURED, MEET, NEVER = -1.0, math.log(0.07), math.log(1e-12)
KINDS = (0, 1)


def chance(odds):
    return 1 / (1 + math.exp(-odds))


def log_sum(values):
    return math.log(sum(map(math.exp, values)))


class Loops:
    """`table` has for each object what each asked rater did; `share` what two raters share."""

    def __init__(self, table, real, *, share, settings, tempting, single=()):
        self.table, self.real, self.share = table, real, share
        self.settings, self.most = settings, settings.usual[1] if tempting else math.inf
        self.worth, self.meet = (
            settings.slips_worth[tempting],
            [0.0 if o in single else MEET for o in range(len(table))],
        )
        self.raters = sorted({rater for row in table for rater in row})
        node, weight = np.polynomial.hermite_e.hermegauss(settings.nodes)
        self.nodes = list(zip(node, weight / weight.sum(), strict=True))
        self.shift = [dict.fromkeys(self.raters, 0.0) for _ in KINDS]
        self.mean, self.spread = list(settings.drawn), list(settings.spread)
        if tempting:
            self.spread[0] = settings.usual[0]
        self.varies = self.spread[0]
        self.rate = [settings.rates[0], 0.3]
        self.voice = [
            {r: 1 / (1 + sum(share[r, s] for s in row if s != r)) for r in row} for row in table
        ]
        self.times = [float(sum(voice.values()) > 1 + 1e-9) for voice in self.voice]
        many = sum(
            t
            for t, voice in zip(self.times, self.voice, strict=True)
            if sum(voice.values()) > 3 - 1e-9
        )
        low, high = settings.slips_spread
        self.slips_spread = low + (high - low) * many / max(sum(self.times), 1)
        self.n_drew = [
            sum(voice[r] for r in row if row[r])
            for row, voice in zip(table, self.voice, strict=True)
        ]
        self.alone = [
            {r for r in row if row[r]} if drew <= 1 + 1e-9 else set()
            for row, drew in zip(table, self.n_drew, strict=True)
        ]
        self.counts = self.counted(settings.objects)
        self.flood = [t - c for t, c in zip(self.times, self.counted(1.0), strict=True)]
        self.usual_slips = dict.fromkeys(self.raters, 0.0)
        share_of_many = many / max(sum(self.times), 1)
        outlying = self.outlying()
        over = {
            r: max(
                sum(self.times[o] - self.counts[o] for o in self.every() if r in self.alone[o]),
                share_of_many * outlying[r],
            )
            for r in self.raters
        }
        self.slips = {
            r: settings.slips + over[r] / (self.room(r) + settings.objects) for r in self.raters
        }

    def every(self, rater=None):
        """Objects that a rater was asked for, or all."""
        return [o for o, row in enumerate(self.table) if rater is None or rater in row]

    def counted(self, beyond):
        counts = list(self.times)
        for r in self.raters:
            mine = [o for o in self.every(r) if self.table[o][r]]
            alone = sum(self.times[o] for o in mine if r in self.alone[o])
            common = sum(self.times[o] for o in mine if r not in self.alone[o])
            share = min(1.0, (common + beyond) / max(alone, 1e-9))
            for o in mine:
                if r in self.alone[o]:
                    counts[o] = min(counts[o], self.times[o] * share)
        return counts

    def outlying(self):
        alone = {
            r: sum(self.times[o] for o in self.every() if r in self.alone[o]) for r in self.raters
        }
        over = {}
        for r in self.raters:
            rest = [(self.rater_voice(s), s) for s in self.raters if s != r]
            rate = sum(v * alone[s] for v, s in rest) / max(
                sum(v * self.room(s) for v, s in rest), 1e-9
            )
            over[r] = max(alone[r] - 2.75 * rate * self.room(r) - 0.2, 0)
        return over

    def room(self, rater):
        return sum(self.times[o] - self.flood[o] for o in self.every(rater))

    def odds(self, kind, rater, node):
        return self.mean[kind] + self.shift[kind][rater] + self.spread[kind] * node

    def votes(self, kind, rater, node, *, drew):
        p = chance(self.odds(kind, rater, node))
        return math.log(p if drew else 1 - p)

    def slip_rate(self, o, rater):
        rate = math.log(self.slips[rater])
        return rate if rater in self.alone[o] else min(rate, 0.0)

    def step(self):
        self.joint, self.each, slipped, drawn, skipped = [], [], [], {}, {}
        self.found = []
        for o, row in enumerate(self.table):
            voice, known = self.voice[o], [0.0, 0.0]
            if self.real[o] is not None:
                known[self.real[o]] = NEVER
            joint = {}
            for kind in KINDS:
                for q, (node, weight) in enumerate(self.nodes):
                    prior = math.log(weight * self.rate[kind])
                    seen = sum(voice[r] * self.votes(kind, r, node, drew=row[r]) for r in row)
                    joint[kind, q] = seen + prior + known[kind]
                    none = sum(voice[r] * self.votes(kind, r, node, drew=0) for r in row)
                    skipped[kind, o, q] = math.exp(none + prior) * self.counts[o]
            slip = sum(voice[r] * self.slip_rate(o, r) for r in row if row[r])
            slip += max(self.n_drew[o] - 1, 0) * self.meet[o] + known[1]
            whole = log_sum([*joint.values(), slip])
            for (kind, q), value in joint.items():
                drawn[kind, o, q] = math.exp(value - whole) * self.counts[o]
            self.found.append(sum(math.exp(joint[0, q] - whole) for q in range(len(self.nodes))))
            self.joint.append(joint)
            slipped.append(math.exp(slip - whole) * self.times[o])
        self.before = [list(self.mean), [dict(s) for s in self.shift], list(self.spread)]
        self.learn_slips(slipped)
        self.newton(drawn, skipped)
        self.learn(drawn, skipped)

    def rater_voice(self, r):
        asked = sum(self.times[o] for o in self.every(r))
        return sum(self.voice[o][r] * self.times[o] for o in self.every(r)) / max(asked, 1)

    def learn_slips(self, slipped):
        voice = {r: self.rater_voice(r) for r in self.raters}
        room = {r: self.room(r) for r in self.raters}
        top = {r: sum(slipped[o] for o in self.every(r) if r in self.alone[o]) for r in self.raters}
        most = {}
        for r in self.raters:
            others = [s for s in self.raters if s != r]
            count = sum(voice[s] * self.usual_slips[s] for s in others)
            rest = self.usual_rate(count, sum(voice[s] * room[s] for s in others))
            most[r] = 2.75 * rest * room[r] + 0.2
        self.usual_slips = {r: min(top[r], most[r]) for r in self.raters}
        usual = self.usual_rate(
            sum(voice[r] * self.usual_slips[r] for r in self.raters),
            sum(voice[r] * room[r] for r in self.raters),
        )
        for r in self.raters:
            held = self.worth * most[r] / max(top[r], most[r])
            self.slips[r] = (top[r] + held) / (room[r] + held / usual)

    def usual_rate(self, count, room):
        """Where the log of a Poisson likelihood times a log-normal prior is greatest."""
        low = math.log(self.settings.slips)
        spread = self.slips_spread**2

        def slope(log_rate):
            return count - room * math.exp(log_rate) - (log_rate - low) / spread

        return math.exp(brentq(slope, low - 200, low + 200, xtol=1e-14, rtol=1e-14))

    def newton(self, drawn, skipped):
        settings, slope, curve = self.settings, {}, {}
        for kind in KINDS:
            for r in self.raters:
                for o in self.every(r):
                    for q, (node, _) in enumerate(self.nodes):
                        p = chance(self.odds(kind, r, node))
                        all_of_it = drawn[kind, o, q] + skipped[kind, o, q]
                        slope[kind, r, o, q] = drawn[kind, o, q] * self.table[o][r] - all_of_it * p
                        curve[kind, r, o, q] = all_of_it * p * (1 - p)
        wide, tight = self.spread[0], settings.log_spread**-2
        gain, bend = -tight * math.log(wide / self.varies), tight
        for (kind, r, o, q), value in slope.items():
            if kind == 0:
                node, voice = self.nodes[q][0], self.voice[o][r]
                gain += wide * voice * value * node
                bend += wide**2 * voice * curve[0, r, o, q] * node**2
        self.spread[0] = min(wide * math.exp(min(max(gain / bend, -0.3), 0.3)), self.most)
        for kind in KINDS:
            held = settings.raters[kind] ** -2
            for r in self.raters:
                mine = [key for key in slope if key[:2] == (kind, r)]
                up = sum(slope[key] for key in mine) - held * self.shift[kind][r]
                move = up / (sum(curve[key] for key in mine) + held)
                self.shift[kind][r] += min(max(move, -1.0), 1.0)
        for r in self.raters:
            self.shift[1][r] = min(self.shift[1][r], LURED - self.mean[1])

    def learn(self, drawn, skipped):
        settings, n = self.settings, sum(self.counts)
        for kind in KINDS:
            seen, unseen = (
                sum(value for key, value in of.items() if key[0] == kind) for of in (drawn, skipped)
            )
            met = n - unseen / self.rate[kind]
            prior = settings.objects
            self.rate[kind] = (seen + prior * settings.rates[kind]) / (met + prior)
        weight = {r: self.rater_voice(r) for r in self.raters}
        tight = (settings.raters[0] / 1.5) ** 2
        moved = sum(weight[r] * self.shift[0][r] for r in self.raters)
        moved += tight * (settings.drawn[0] - self.mean[0])
        self.mean[0] += moved / (sum(weight.values()) + tight)

    def without(self, o, rater):
        """Probability without the vote of a rater, and, as far as it is theirs, of the mates."""
        row, voice = self.table[o], self.voice[o]
        gone = {r: self.share[rater, r] for r in row if r != rater} | {rater: 1.0}
        mean, shift, spread = self.before
        left = []
        for kind in KINDS:
            terms = []
            for q, (node, _) in enumerate(self.nodes):
                less = 0.0
                for r, part in gone.items():
                    p = chance(mean[kind] + shift[kind][r] + spread[kind] * node)
                    less += part * voice[r] * math.log(p if row[r] else 1 - p)
                terms.append(self.joint[o][kind, q] - less)
            left.append(log_sum(terms))
        drew = max(sum(voice[r] * (1 - gone[r]) for r in row if row[r]), 0.0)
        rate = self.slip_rate(o, rater)
        if drew > 1e-6:
            rate = sum(voice[r] * (1 - gone[r]) * self.slip_rate(o, r) for r in row if row[r])
        slip = rate + max(drew - 1, 0) * self.meet[o]
        return 1 / (1 + math.exp(log_sum([left[1], slip]) - left[0]))

    def average(self, kind):
        return [
            sum(weight * chance(self.odds(kind, r, node)) for node, weight in self.nodes)
            for r in self.raters
        ]


def crowd(seed, *, flood):
    """Votes of five raters, some not asked; the last draws `flood` things alone."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0.8, 1.5, 24)
    table = (rng.random((24, 5)) < 1 / (1 + np.exp(-hard))[:, None]).astype(int)
    table[rng.random((24, 5)) < 0.15] = -1
    table[0] = [1, -1, -1, -1, -1]
    table[1], table[2] = [1, 1, 0, 0, -1], [0, 0, 0, 0, 1]
    alone = np.tile([0, 0, 0, 0, 1], (flood, 1))
    return np.vstack([table[(table == 1).any(axis=1)], alone])


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("flood", [0, 40])
def test_existence_is_that_of_loops(steps, flood):
    table = crowd(steps, flood=flood)
    settings = ExistenceSettings(
        steps=steps, usual=(0.25, 0.9), nodes=5, objects=4.0, spread=(0.3, 0.7), log_spread=5.0
    )
    real = [None] * len(table)
    real[3], real[4], real[5] = 1, 0, 1
    single = (1, 6, 7, 8)
    data = dataclasses.replace(
        votes(table),
        real=np.array([np.nan if of is None else float(of) for of in real]),
        gold=np.full((len(table), 4), np.nan),
        single=np.isin(np.arange(len(table)), single),
    )
    share = {(r, s): 0.0 for r in range(5) for s in range(5)}
    share[0, 1] = share[1, 0] = 0.6
    pair = Dependence(np.array([0]), np.array([1]), np.array([0.6]), 5)

    found = fit_existence(data, settings, pair)

    rows = [{r: int(v) for r, v in enumerate(row) if v >= 0} for row in table]
    readings = []
    for tempting in (False, True):
        loops = Loops(rows, real, share=share, settings=settings, tempting=tempting, single=single)
        for _ in range(steps):
            loops.step()
        readings.append(loops)
    hard, tempting = readings
    asked = list(zip(data.asked_object, data.asked_rater, strict=True))
    for name, of in {
        "probability": lambda it: it.found,
        "without": lambda it: [it.without(o, r) for o, r in asked],
        "detection": lambda it: it.average(0),
        "invention": lambda it: it.average(1),
        "slips": lambda it: list(it.slips.values()),
        "weight": lambda it: [
            1 - flood / max(t, 1) for flood, t in zip(it.flood, it.times, strict=True)
        ],
    }.items():
        expected = (np.array(of(hard)) + np.array(of(tempting))) / 2
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-7, atol=1e-9)


def test_settings_are_those_of_the_documentation():
    """The table of docs/method.md: what is taken for usual before anything was drawn."""
    found = ExistenceSettings()
    assert found.drawn == (1.0, -2.5)
    assert (found.spread, found.log_spread, found.usual) == ((1.0, 0.7), 0.5, (0.4, 1.25))
    assert (found.raters, found.rates, found.objects) == ((1.0, 0.5), (0.6, 0.02), 10.0)
    assert (found.slips, found.slips_spread, found.slips_worth) == (0.003, (1.0, 2.0), (0.7, 2.0))
