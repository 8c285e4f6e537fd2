"""Estimation of `crowdqc.crowd.existence`: objects and raters in turn, by different votes."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import expit, roots_hermitenorm, wrightomega

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd.dependence import Dependence, Mates
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.existence import Existence, ExistenceSettings
from crowdqc.crowd.sums import sums, total
from crowdqc.crowd.votes import distinct, rows_of

_LURED = -1.0
"""Greatest log odds that a rater draws a temptation: what most draw is no temptation to them."""
_MEET = np.log(0.07)
"""Log probability that slips of two raters in one place meet, where a place may hold several; where
it holds one object at most, all of its boxes are taken for that one."""
_TEMPTATIONS = 0.3
"""Temptations for each drawn object in the first step. EM finds its way from many to few; from few
on, it may stay with taking them for real objects that are hard to see."""
_OUTLYING = 2.75, 0.2
"""Times the others' rate of slips, and slips on top, from which a rater's slips are an outlier."""


def fit_existence(
    evidence: Evidence, settings: ExistenceSettings, dependence: Dependence | None = None
) -> Existence:
    """Estimate objects and raters by EM, each step one Newton step for every rater.

    Parameters
    ----------
    evidence : Evidence
        Boxes of R raters, joined to O objects, and what was asked.
    settings : ExistenceSettings
        Priors and when to stop.
    dependence : Dependence, optional
        Raters whose errors are alike; none if `None`.

    References
    ----------
    .. [1] A. P. Dawid, A. M. Skene, "Maximum likelihood estimation of observer error-rates
       using the EM algorithm", Applied Statistics 28(1), 1979. :doi:`10.2307/2346806`
    .. [2] S. Branson, G. Van Horn, P. Perona, "Lean crowdsourcing: combining humans and
       machines in an online system", CVPR 2017. :doi:`10.1109/CVPR.2017.647`
    """
    none = np.zeros(0, np.int64)
    dependence = dependence or Dependence(none, none, np.zeros(0), evidence.n_raters)
    votes, same, times = distinct(evidence)
    rows = rows_of(votes, same, evidence)
    hard, tempting = (
        ExistenceFit(votes, times, settings=settings, dependence=dependence, tempting=tempting).run(
            same, rows
        )
        for tempting in (False, True)
    )
    found = Existence(*((a + b) / 2 for a, b in zip(hard, tempting, strict=True)))
    rest = np.maximum(1 - found.probability, np.maximum(found.slip, 1e-300))
    return dataclasses.replace(found, slip=found.slip / rest)


def drawn_of_real(
    evidence: Evidence, settings: ExistenceSettings, dependence: Dependence, *, tempting: bool
) -> tuple[Floats, float]:
    """How much raters draw of what exists, in one reading of what only some of them drew.

    Parameters
    ----------
    evidence, settings, dependence
        As of `fit_existence`.
    tempting : bool
        Whether it is the reading in which what few draw is tempting, and not hard to see.

    Returns
    -------
    detection : ndarray, shape (R,)
        Probability that a rater draws a real object, those that nobody drew among them.
    spread : float
        Standard deviation of difficulty.
    """
    votes, _, times = distinct(evidence)
    fit = ExistenceFit(votes, times, settings=settings, dependence=dependence, tempting=tempting)
    for _ in range(settings.steps):
        fit.step()
    return fit.average()[0], float(fit.spread[0])


class ExistenceFit:
    """EM on the different votes (O of them, with A answers), by raters (R) and nodes (Q).

    `spared` answers (A,) were not asked for, as the object was shown as done: they say nothing of
    it, but it would have been met by them.
    """

    def __init__(
        self,
        votes: Evidence,
        times: Ints,
        *,
        settings: ExistenceSettings,
        dependence: Dependence,
        tempting: bool,
        spared: Bools | None = None,
    ) -> None:
        self.votes, self.settings = votes, settings
        self.varies = settings.usual[0] if tempting else settings.spread[0]
        self.most = settings.usual[1] if tempting else np.inf
        self.worth = settings.slips_worth[tempting]
        self.of, self.who = votes.asked_object, votes.asked_rater
        self.mates: Mates = dependence.mates(self.of, self.who)
        self.voice = self.mates.voice(len(self.of))
        self.told = np.ones(len(self.of)) if spared is None else (~spared).astype(np.float64)
        asked = total(self.of, self.voice * self.told, votes.n_objects)
        self.times = times * (asked > 1 + 1e-9)  # one rater alone tells nothing of itself
        many = (self.times * (asked > 3 - 1e-9)).sum() / max(self.times.sum(), 1)
        self.slips_spread = float(np.interp(many, (0, 1), settings.slips_spread))
        node, weight = roots_hermitenorm(settings.nodes)
        self.node, self.log_weight = node, np.log(weight / weight.sum())
        self.shift = np.zeros((2, votes.n_raters))
        self.mean = np.array(settings.drawn)
        self.spread = np.array([self.varies, settings.spread[1]])
        self.rate = np.array([settings.rates[0], _TEMPTATIONS])
        self.asked = np.bincount(self.who, self.times[self.of], votes.n_raters)
        weight = np.bincount(self.who, self.voice * self.times[self.of], votes.n_raters)
        self.rater_voice = weight / np.maximum(self.asked, 1)
        self.usual_slips = np.zeros(votes.n_raters)
        self.meet = np.where(votes.single, 0.0, _MEET)
        never = np.log(1e-12)
        self.known = np.stack([np.where(votes.real == kind, never, 0.0) for kind in (0, 1)])
        self.drawn = self.voice * votes.drew
        self.n_drew = total(self.of, self.drawn, votes.n_objects)
        self.single = votes.drew & (self.n_drew <= 1 + 1e-9)[self.of]
        self.counts = self.counted(settings.objects)
        self.flood = self.times - self.counted(1.0)
        over = (self.times - self.counts)[self.of] * self.single
        over = total(self.who, over, votes.n_raters)
        over = np.maximum(over, many * self._outlying())
        self.slips = settings.slips + over / (self._unflooded() + settings.objects)

    def run(self, same: Ints, rows: Ints) -> tuple[Floats, ...]:
        """The fields of `Existence`, for objects with the votes `same` and answers `rows`.

        The last one is the probability of slips, whether or not the object exists.
        """
        for _ in range(self.settings.steps):
            self.step()
        weight = 1 - self.flood / np.maximum(self.times, 1)
        chances = self.average()
        known = self.real[same], self.without()[rows]
        return *known, *chances, self.slips, weight[same], self.slip[same]

    def counted(self, beyond: float) -> Floats:
        """How often each kind of vote counts, (O,): what one rater draws alone, not without end.

        However many boxes a rater draws alone, they say no more of the others than as many as
        the rater shares with others do, and `beyond` that.
        """
        n, times = self.votes.n_raters, self.times[self.of]
        alone = np.bincount(self.who, times * self.single, n)
        common = np.bincount(self.who, times * (self.votes.drew & ~self.single), n)
        share = np.minimum(1.0, (common + beyond) / np.maximum(alone, 1e-9))
        least = np.ones(self.votes.n_objects)
        np.minimum.at(least, self.of[self.single], share[self.who[self.single]])
        return self.times * least

    def _outlying(self) -> Floats:
        """What raters draw alone beyond what is no outlier among the others, (R,).

        Of two raters that says nothing: one may draw what the other misses.
        """
        room, voice = self._unflooded(), self.rater_voice
        alone = np.bincount(self.who, self.times[self.of] * self.single, len(room))
        rest = voice @ alone - voice * alone
        rest /= np.maximum(voice @ room - voice * room, 1e-9)
        over: Floats = np.maximum(alone - _OUTLYING[0] * rest * room - _OUTLYING[1], 0)
        return over

    def step(self) -> None:
        """Probabilities of objects, then rates of raters."""
        odds = self._odds()
        self.each = (self.voice * self.told)[:, None] * _log_votes(odds, self.votes.drew)
        rate = self.log_weight + np.log(self.rate)[:, None, None]
        self.joint = self._per_object(self.each) + rate + self.known[:, :, None]
        kinds = np.logaddexp.reduce(self.joint, axis=2)
        slip = self._slip(self._sums(self.drawn * self._slip_rates()), self.n_drew, self.meet)
        slip = slip + self.known[1]
        whole = np.logaddexp(np.logaddexp.reduce(kinds, axis=0), slip)
        self.posterior = np.exp(self.joint - whole[:, None])
        self.real = self.posterior[0].sum(axis=1)
        drawn = self.posterior * self.counts[:, None]
        skipped = self.voice[:, None] * _log_votes(odds, np.zeros_like(self.votes.drew))
        skipped = np.exp(self._per_object(skipped) + rate) * self.counts[:, None]
        self.slip = np.exp(slip - whole)
        self._learn_slips(self.slip * self.times)
        self._newton(odds, drawn, skipped)
        self._learn(drawn.sum(axis=(1, 2)), skipped.sum(axis=(1, 2)))

    def without(self) -> Floats:
        """Probability that objects exist without the vote of each answer and its mates, (A,)."""
        kind, rows, node = self.each.shape
        flat = self.each.transpose(1, 0, 2).reshape(rows, kind * node)
        gone = (flat + self.mates.sums(flat)).reshape(rows, kind, node).transpose(1, 0, 2)
        kinds = np.logaddexp.reduce(self.joint[:, self.of] - gone, axis=2)
        own = self._slip_rates()
        drawn = np.stack([self.drawn, self.drawn * own], axis=1)
        gone = drawn + self.mates.sums(drawn)
        every = sums(self.of, drawn, self.votes.n_objects)
        left = np.maximum(every[self.of] - gone, [0, -np.inf])
        rates = np.where(left[:, 0] > 1e-6, left[:, 1], own)
        slip = self._slip(rates, left[:, 0], self.meet[self.of])
        known: Floats = expit(kinds[0] - np.logaddexp(kinds[1], slip))
        return known

    def average(self) -> tuple[Floats, Floats]:
        """Probability that a rater draws, over all difficulties, (R,) of either kind."""
        odds = self.mean[:, None, None] + self.shift[:, :, None]
        odds = odds + self.spread[:, None, None] * self.node
        mean = expit(odds) @ np.exp(self.log_weight)
        return mean[0], mean[1]

    def _slip_rates(self) -> Floats:
        """Log rate of slips of each answer, (A,); beyond 1 only for what one rater drew alone.

        However many slips a rater has, another's slip meets one of them at most.
        """
        rate = np.log(self.slips)[self.who]
        rates: Floats = np.where(self.single, rate, np.minimum(rate, 0.0))
        return rates

    def _slip(self, rate: Floats, n_drew: Floats, meet: Floats) -> Floats:
        """Log probability of slips that have these log rates together, and meet."""
        slip: Floats = rate + np.maximum(n_drew - 1, 0) * meet
        return slip

    def _sums(self, values: Floats) -> Floats:
        """Sum of the answers (A,) of each object, (O,)."""
        return total(self.of, values, self.votes.n_objects)

    def _learn_slips(self, slips: Floats) -> None:
        """Rates of slips from the objects (O,) that each rater draws alone, held to the usual.

        They are rates for each object of no flood: a flood must not water down its own. An
        outlier adds little to the usual rate, and is hardly held to it.
        """
        n, voice = self.votes.n_raters, self.rater_voice
        top = np.bincount(self.who, slips[self.of] * self.single, n)
        others = self._unflooded()
        count, room = voice * self.usual_slips, voice * others
        rest = self._usual_rate(count.sum() - count, room.sum() - room)
        most = _OUTLYING[0] * rest * others + _OUTLYING[1]
        self.usual_slips = np.minimum(top, most)
        usual = self._usual_rate(voice @ self.usual_slips, room.sum())
        worth = self.worth * most / np.maximum(top, most)
        self.slips = (top + worth) / (others + worth / usual)

    def _usual_rate(self, count: Floats, room: Floats) -> Floats:
        """Likeliest rate of events of which `count` were met in `room`, its logarithm being normal.

        It solves ``count - room rate = log(rate / prior) / spread^2``.
        """
        room = np.maximum(room, 1e-9) * self.slips_spread**2
        known = self.slips_spread**2 * count + np.log(self.settings.slips * room)
        rate: Floats = wrightomega(known).real / room
        return rate

    def _unflooded(self) -> Floats:
        """Number of objects of no flood that each rater was asked for, (R,)."""
        return self.asked - total(self.who, self.flood[self.of], len(self.asked))

    def _learn(self, drawn: Floats, skipped: Floats) -> None:
        """Rates of real objects and temptations, drawn or skipped by all; mean skill."""
        settings, n = self.settings, self.counts.sum()
        met = n - skipped / self.rate
        self.rate = (drawn + settings.objects * np.array(settings.rates)) / (met + settings.objects)
        weight = self.rater_voice * (self.asked > 0)
        tight = (settings.raters[0] / 1.5) ** 2
        moved = weight @ self.shift[0] + tight * (settings.drawn[0] - self.mean[0])
        self.mean[0] += moved / (weight.sum() + tight)

    def _odds(self) -> Floats:
        """Log odds that the asked rater draws, (2, A, Q)."""
        base = self.mean[:, None, None] + self.shift[:, self.who, None]
        odds: Floats = base + self.spread[:, None, None] * self.node
        return odds

    def _per_object(self, each: Floats) -> Floats:
        """Sum of the rows (2, A, Q) of each object, (2, O, Q)."""
        if self.votes.n_objects == 0:
            return np.zeros((2, 0, each.shape[2]))
        start = np.searchsorted(self.of, np.arange(self.votes.n_objects))
        total: Floats = np.add.reduceat(each, start, axis=1)
        return total

    def _newton(self, odds: Floats, drawn: Floats, skipped: Floats) -> None:
        """One step towards the best skill and lure of every rater, and spread of difficulty.

        `drawn` are the objects (2, O, Q) that somebody drew, `skipped` those that nobody drew.
        """
        chance = expit(odds)
        every = drawn[:, self.of] * self.told[:, None] + skipped[:, self.of]
        slope = drawn[:, self.of] * self.votes.drew[:, None] - every * chance
        curve = every * chance * (1 - chance)
        for kind in (0, 1):
            tight = self.settings.raters[kind] ** -2
            gain = np.bincount(self.who, slope[kind].sum(axis=1), self.votes.n_raters)
            bend = np.bincount(self.who, curve[kind].sum(axis=1), self.votes.n_raters)
            step = (gain - tight * self.shift[kind]) / (bend + tight)
            self.shift[kind] += np.clip(step, -1.0, 1.0)
        self.shift[1] = np.minimum(self.shift[1], _LURED - self.mean[1])
        wide, tight = self.spread[0], self.settings.log_spread**-2
        gain = wide * (self.voice @ slope[0] @ self.node)
        gain -= tight * np.log(wide / self.varies)
        bend = wide**2 * (self.voice @ curve[0] @ self.node**2) + tight
        wide *= np.exp(np.clip(gain / bend, -0.3, 0.3))
        self.spread[0] = min(wide, self.most)


def _log_votes(odds: Floats, drew: Bools) -> Floats:
    """Log probability of what the asked rater did, (2, A, Q)."""
    sign = np.where(drew, -1.0, 1.0)[None, :, None]
    votes: Floats = -np.logaddexp(0.0, sign * odds)
    return votes
