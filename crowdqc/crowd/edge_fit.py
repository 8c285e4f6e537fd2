"""Estimation of `crowdqc.crowd.edges`: boxes, raters and objects in turn, in memory for many boxes.

What is of the size of all boxes decides how much memory a study takes: these arrays are filled anew
in each step, and what is worked out on the way is worked out for some rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crowdqc.arrays import Floats, numbered, pairs_within
from crowdqc.crowd.dependence import HAND, Dependence, find_dependence
from crowdqc.crowd.edges import Edges, EdgeSettings, size_of
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.grid import common_rounding, of_hand
from crowdqc.crowd.medians import median_boxes, middle, uncrossed
from crowdqc.crowd.pairs import unresolved
from crowdqc.crowd.pooling import USUAL_BOXES, likely_boxes
from crowdqc.crowd.student import SAMPLE, Tails, likely_tails
from crowdqc.crowd.sums import blocks, sums, total
from crowdqc.geometry import paired_iou

_LEAST = 1e-8
"""Least variance, as a share of size: raters who agree to the pixel are not perfect."""
_USUAL = 0.65, 0.935
"""Quantile of absolute distances that is taken for usual, and its value for normal ones."""
_ELSEWHERE = -4 * np.log(10.0)
"""Log density of a box that lies elsewhere: its edges may be off by five sizes either way."""
_ELSEWHERE_IOU = 0.3
"""IoU with the box of a reviewer below which a box lies elsewhere."""
_PAIR = 0.5
"""Boxes that the prior of a rater counts for each box with one other voice beside it, where nothing
tells their variances apart: of two only the sum is seen, and half of what is told is missing."""


def fit_edges(evidence: Evidence, settings: EdgeSettings) -> Edges:
    """Estimate boxes, raters and objects in turn, from the median box on.

    Parameters
    ----------
    evidence : Evidence
        Boxes of R raters, joined to O objects.
    settings : EdgeSettings
        Priors and when to stop.

    References
    ----------
    .. [1] S. K. Warfield, K. H. Zou, W. M. Wells, "Validation of image segmentation by
       estimating rater bias and variance", Phil. Trans. R. Soc. A 366, 2008.
       :doi:`10.1098/rsta.2008.0040`
    .. [2] K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust statistical modeling using
       the t distribution", JASA 84(408), 1989. :doi:`10.1080/01621459.1989.10478852`
    """
    return _Fit(evidence, settings).run()


class _Fit:
    """EM on one study; arrays have a row for each box (N), object (O), rater (R) or cell (C)."""

    def __init__(self, evidence: Evidence, settings: EdgeSettings) -> None:
        self.evidence, self.settings = evidence, settings
        self.of, self.who = evidence.object, evidence.rater
        self.label = evidence.label[self.of] if len(self.of) else self.of
        self.n_labels = int(evidence.label.max(initial=0)) + 1
        self.cells, self.cell = numbered(self.who * self.n_labels + self.label)
        self.settled = np.flatnonzero(~np.isnan(evidence.settled[self.of, 0]))
        self.truth = evidence.settled[self.of[self.settled]]
        self.off = paired_iou(evidence.boxes[self.settled], self.truth) < _ELSEWHERE_IOU
        self.bias = np.zeros((evidence.n_raters, 4))
        self.factor = np.ones(evidence.n_raters)
        self.difficulty = np.ones(evidence.n_objects)
        self.object_boxes = settings.object_boxes or USUAL_BOXES
        self.tails = Tails(settings.freedom or 6.0, 6.0)
        self.voice = np.ones(len(self.of))
        self.miss, self.trust, self.weight, self.without, self.error_without, self.error = (
            np.empty(evidence.boxes.shape) for _ in range(6)
        )
        self.paired = np.zeros(len(self.of))
        self.apart: Floats | None = None
        self.near, self.alone = np.empty(len(self.of)), np.empty(len(self.of), bool)
        none = np.zeros(0, np.int64)
        self.dependence = Dependence(none, none, np.zeros(0), evidence.n_raters)
        self.mates = self.dependence.mates(self.of, self.who)
        self._start()

    def _depend(self) -> None:
        """Find who depends on whom, and start again with what their voices count."""
        rows, unit = np.flatnonzero(self.astray < 0.5), self.sd[self.cell]
        self.dependence = find_dependence(
            self.evidence, self.away, unit=unit, size=self.size[self.of], rows=rows
        )
        del unit
        self.mates = self.dependence.mates(self.of, self.who)
        if len(self.mates.first):
            self.voice = self.mates.voice(len(self.of))
            self._start()
        del self.away

    def run(self) -> Edges:
        if not self.shared.any():
            return self._unknown()
        self._depend()
        for step in range(self.settings.steps):
            self._locate()
            estimate = step % 4 == 3
            self._weigh(estimate=estimate)
            self._bias()
            self._scales(estimate=estimate)
        self._locate()
        return self._found()

    def _begin(self) -> Floats:
        """Median boxes, and distances from them less the raters' bias (N, 4)."""
        data = self.evidence
        self.median = median_boxes(data.boxes, self.of, data.n_objects, weight=self.voice)
        self.box, self.size = self.median, size_of(self.median)
        voices = total(self.of, self.voice, data.n_objects)
        self.shared = (voices > 1 + 1e-9)[self.of].astype(np.float64)[:, None]
        self.paired = self._pairs(voices)
        for rows in self._blocks():
            of = self.of[rows]
            self.miss[rows] = (data.boxes[rows] - self.median[of]) / self.size[of]
        count = total(self.who, self.shared[:, 0], data.n_raters)[:, None]
        some = np.flatnonzero(self.shared[:, 0])
        bias = np.nan_to_num(median_boxes(self.miss[some], self.who[some], data.n_raters))
        away = self.miss.copy()
        for rows in self._blocks():
            away[rows] -= (bias * count / (count + self.settings.bias_boxes))[self.who[rows]]
        return away

    def _pairs(self, voices: Floats) -> Floats:
        """Boxes that the prior counts for each box of an object with two voices, (N,)."""
        pair = (self.shared[:, 0] > 0) & (voices <= 2 + 1e-9)[self.of]
        drawn = total(self.who, self.shared[:, 0] * self.voice, self.evidence.n_raters)
        rows = np.flatnonzero(pair)
        first, second = (rows[of] for of in pairs_within(self.of[rows]))
        weight = self.voice[first] * self.voice[second] * (1 - self.mates.between(first, second))
        share = unresolved(self.who[first], self.who[second], weight, drawn=drawn)
        return _PAIR * pair * share[self.who]

    def _units(self, miss: Floats) -> Floats:
        """The usual distance of labels and edges, (L, 4): a robust quantile.

        No less than a careful hand: of copies of one another, most distances are none.
        """
        rows = np.flatnonzero(self.shared[:, 0])
        far, label, voice = np.abs(miss[rows]), self.label[rows], self.voice[rows]
        every = median_boxes(far, np.zeros_like(label), 1, weight=voice, share=_USUAL[0])
        own = median_boxes(far, label, self.n_labels, weight=voice, share=_USUAL[0])
        n = total(label, voice, self.n_labels)[:, None]
        square = (n * np.nan_to_num(own) ** 2 + np.nan_to_num(every) ** 2) / (n + 1)
        usual = np.maximum(np.sqrt(square) / _USUAL[1] + 1e-4, HAND[1])
        tool = median_boxes(self._tool(slice(None))[rows], label, self.n_labels)
        return np.hypot(usual, np.sqrt(np.nan_to_num(tool)))

    def _blocks(self) -> Iterator[slice]:
        """Some rows at a time."""
        return blocks(len(self.of))

    def _locate(self) -> None:
        """Boxes from what raters drew, and boxes without each rater."""
        n, drawn = self.evidence.n_objects, self.error  # which is not needed until it is new
        for rows in self._blocks():
            size = self.size[self.of[rows]]
            variance = self._scale(rows) * size**2
            self.weight[rows] = self.voice[rows, None] * self.trust[rows] / variance
            drawn[rows] = self.evidence.boxes[rows] - self.bias[self.who[rows]] * size
            drawn[rows] *= self.weight[rows]
        top, self.total = sums(self.of, drawn, n), sums(self.of, self.weight, n)
        self.box = uncrossed(top / self.total, self.median)
        self.size = size_of(self.box)
        others, weights = self.mates.sums(drawn), self.mates.sums(self.weight)
        for rows in self._blocks():
            of = self.of[rows]
            rest = np.maximum(self.total[of] - self.weight[rows] - weights[rows], 0)
            known = (self.shared[rows] > 0) & (rest > 1e-9 * self.total[of])
            left = top[of] - drawn[rows] - others[rows]
            with np.errstate(invalid="ignore", divide="ignore"):
                self.without[rows] = np.where(known, left / rest, np.nan)
                self.error_without[rows] = np.where(known, rest**-0.5, np.nan)
            self.miss[rows] = (self.evidence.boxes[rows] - self.box[of]) / self.size[of]

    def _start(self) -> None:
        """Trust by the distance from the median box, which one box far away does not move."""
        self.away = self._begin()
        self.sd = self._units(self.away)[self.cells % self.n_labels]
        self.rate = np.full(self.evidence.n_raters, self.settings.astray)
        for rows in self._blocks():
            unit = self.sd[self.cell[rows]]
            self.away[rows] /= unit
            variance = unit**2 + self._tool(rows)
            square = self.miss[rows] ** 2 / variance
            self._measure(rows, square, square, variance=variance)
        self._trust()

    def _weigh(self, *, estimate: bool) -> None:
        """How far each edge is trusted, whether a box is astray, and how heavy tails are."""
        if estimate and self.settings.freedom is None:
            some = slice(None, None, max(1, len(self.of) // SAMPLE))
            square, _ = self._off(some)
            known = self.voice[some] * (1 - self.astray[some]) * np.isfinite(square).all(axis=1)
            self.tails = likely_tails(np.where(known[:, None] > 0, square, 1.0), known)
        grid = self.evidence.grid
        for rows in self._blocks():
            of, (square, variance) = self.of[rows], self._off(rows)
            error = (self.miss[rows] - self.bias[self.who[rows]]) ** 2
            size, scale = self.size[of], self._scale(rows)
            error += 1 / (self.total[of] * size**2)  # the truth is not certain
            error += common_rounding(scale * size**2, grid) / size**2
            self.error[rows] = of_hand(error, self._tool(rows), scale=scale) if grid else error
            self._measure(rows, square, error / scale, variance=variance)
        self._trust()

    def _scale(self, rows: slice) -> Floats:
        """Variance of what the rater of a box draws of such an object."""
        scale: Floats = (self.sd[self.cell[rows]] * self.difficulty[self.of[rows], None]) ** 2
        return scale + self._tool(rows)

    def _tool(self, rows: slice) -> Floats:
        """Variance of what the lines of a grid add, as a share of size."""
        if not self.evidence.grid:
            return np.broadcast_to(0.0, self.miss[rows].shape)
        return (self.evidence.grid / self.size[self.of[rows]]) ** 2 / 12

    def _off(self, rows: slice) -> tuple[Floats, Floats]:
        """How far boxes lie from what the others drew: squares, over their variances; and these."""
        size = self.size[self.of[rows]]
        off = (self.evidence.boxes[rows] - self.without[rows]) / size - self.bias[self.who[rows]]
        usual = self._scale(rows) if self.apart is None else self.apart[rows] + self._tool(rows)
        variance = usual + (self.error_without[rows] / size) ** 2
        return off**2 / variance, variance

    def _measure(self, rows: slice, apart: Floats, square: Floats, *, variance: Floats) -> None:
        """Trust from squared errors, and how likely boxes lie so far from the others."""
        alone = ~np.isfinite(apart).all(axis=1) | (self.shared[rows, 0] == 0)
        near = self.tails.log_density(np.where(alone[:, None], 1.0, apart))
        near -= np.log(np.where(alone[:, None], 1.0, variance)).sum(axis=1) / 2
        self.alone[rows], self.near[rows] = alone, near
        self.trust[rows] = self.tails.trust(square)

    def _trust(self) -> None:
        """Which boxes are astray, and trust in the others, from what was measured of all."""
        near, alone = self.near, self.alone
        rate = np.log(self.rate)[self.who]
        own = self.voice * rate
        others = total(self.of, own, self.evidence.n_objects)[self.of] - own
        others = np.minimum(others - self.mates.sums(own[:, None])[:, 0], -1e-3)
        good = np.logaddexp(near + np.log1p(-np.exp(others)), others + _ELSEWHERE)
        odds = rate - np.log1p(-self.rate)[self.who] + _ELSEWHERE - good
        self.astray = np.where(alone, 0.0, 1 / (1 + np.exp(-np.clip(odds, -50, 50))))
        self.astray[self.settled] = self.off  # a reviewer has seen which boxes are of the object
        alone[self.settled] = False
        self.trust *= np.maximum(1 - self.astray, 1e-6)[:, None]
        prior, n = self.settings.astray_boxes, self.evidence.n_raters
        top = np.bincount(self.who, ~alone * self.astray, n) + prior * self.settings.astray
        self.rate = np.clip(top / (np.bincount(self.who, ~alone, n) + prior), 1e-4, 0.9)

    def _bias(self) -> None:
        """Bias of raters: the mean of what they miss by, from that of the median rater on.

        The truth is only known as well as raters agree on it, so that a bias which all share
        cannot be seen; the median is what a few biased raters cannot move. All raters count
        alike there, however much they drew, but for those who drew next to nothing.
        """
        n = self.evidence.n_raters
        prior, weighed, top = (np.empty((n, 4)) for _ in range(3))
        tool = self._tool(slice(None))
        for edge in range(4):
            scale = (self.sd[self.cell, edge] * self.difficulty[self.of]) ** 2 + tool[:, edge]
            weight = self.shared[:, 0] * self.trust[:, edge] / scale
            prior[:, edge] = np.bincount(self.who, self.shared[:, 0] / scale, n)
            weighed[:, edge] = np.bincount(self.who, weight, n)
            top[:, edge] = np.bincount(self.who, weight * self.miss[:, edge], n)
        count = np.bincount(self.who, self.shared[:, 0], n)[:, None]
        total = weighed + self.settings.bias_boxes * prior / np.maximum(count, 1)
        with np.errstate(invalid="ignore"):
            bias = np.nan_to_num(top / total)
        voice = np.bincount(self.who, self.voice * self.shared[:, 0], n)
        known = voice / (count[:, 0] + 2)
        usual = [middle(edge, known) for edge in bias.T]
        self.bias = np.where(count > 0, bias - np.array(usual), 0.0)

    def _scales(self, *, estimate: bool) -> None:
        """Spread of labels, raters and of raters for labels, and difficulty of objects."""
        data, settings = self.evidence, self.settings
        here = (self.shared * (1 - self.astray)[:, None])[:, 0]
        voice = self.voice * here
        self.apart = plain = np.empty_like(self.error) if self.apart is None else self.apart
        for rows in self._blocks():
            self.error[rows] = self.shared[rows] * self.trust[rows] * self.error[rows]
            plain[rows] = self.error[rows] / self.difficulty[self.of[rows], None] ** 2
        label = self._labels(plain, voice)
        own = np.empty(len(here))
        for rows in self._blocks():
            own[rows] = (plain[rows] / label[self.label[rows]]).mean(axis=1)
        pairs = here * self.paired
        known = total(self.who, pairs, data.n_raters) + settings.rater_boxes
        drawn = total(self.who, here, data.n_raters) + known
        self.factor = (total(self.who, own, data.n_raters) + known) / drawn
        prior = label[self.cells % self.n_labels] * self.factor[self.cells // self.n_labels, None]
        top = sums(self.cell, plain, len(self.cells))
        n = np.bincount(self.cell, here)[:, None]
        boxes = np.bincount(self.cell, pairs)[:, None] + settings.cell_boxes
        self.sd = np.sqrt((top + boxes * prior) / (n + boxes) + _LEAST)
        less = (self.factor * drawn)[self.who] - own
        less = np.maximum(less / (drawn[self.who] - here), 1e-3)
        hard = self._difficulties(voice, estimate=estimate)
        for rows in self._blocks():
            cell, prior = self.cell[rows], label[self.label[rows]] * less[rows, None]
            apart = top[cell] - plain[rows] + boxes[cell] * prior
            apart = apart / (n[cell] - here[rows, None] + boxes[cell])
            self.apart[rows] = np.maximum(apart, _LEAST) * hard[rows, None]

    def _labels(self, plain: Floats, voice: Floats) -> Floats:
        """Mean of squared errors of each label, (L, 4), held to that of all."""
        factor, count = self.factor[self.who], total(self.label, voice, self.n_labels)[:, None]
        every = [
            np.bincount(self.label, voice * plain[:, edge] / factor, self.n_labels)
            for edge in range(4)
        ]
        top = np.stack(every, axis=1)
        everyone = (top.sum(axis=0) + _LEAST) / (np.tile(count, 4).sum(axis=0) + 1e-9)
        label: Floats = (top + everyone) / (count + 1)
        return label

    def _difficulties(self, voice: Floats, *, estimate: bool) -> Floats:
        """Difficulty of objects; and, squared and judged without it, that of each box's, (N,)."""
        n = self.evidence.n_objects
        precise = np.empty(len(voice))
        for rows in self._blocks():
            precise[rows] = (self.error[rows] / self.sd[self.cell[rows]] ** 2).mean(axis=1)
        precise *= self.voice
        whole, voices = total(self.of, precise, n), total(self.of, voice, n)
        if estimate and self.settings.object_boxes is None:
            some = np.flatnonzero(voices > 2 + 1e-9)  # two apart: a hard object, or a tail
            mean = whole[some] / voices[some]
            self.object_boxes = likely_boxes(mean, voices[some], per_box=self.tails.per_box)
        whole, voices = whole + self.object_boxes, voices + self.object_boxes
        self.difficulty = np.sqrt(whole / voices)
        own = np.stack([precise, voice], axis=1)
        own = own + self.mates.sums(own)
        hard: Floats = (whole[self.of] - own[:, 0]) / (voices[self.of] - own[:, 1])
        return hard

    def _found(self) -> Edges:
        self.without[self.settled], self.error_without[self.settled] = self.truth, 1e-6
        n, labels = self.evidence.n_raters, self.n_labels
        count = np.bincount(self.cell)[:, None]
        square = sums(self.cells // labels, count * self.sd**2, n)
        of_rater = np.bincount(self.cells // labels, count[:, 0], n)[:, None]
        sd_label = np.full((n, labels), np.nan)
        sd_label[self.cells // labels, self.cells % labels] = np.sqrt((self.sd**2).mean(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(square / of_rater)
        weight, scale = np.empty(len(self.of)), self.error
        for rows in self._blocks():
            weight[rows] = (self.weight[rows] / self.total[self.of[rows]]).mean(axis=1)
            scale[rows] = np.sqrt(self._scale(rows))
        return Edges(
            box=self.box,
            spread=(self.tails.known * self.total) ** -0.5,
            without=self.without,
            error_without=self.error_without,
            weight=weight,
            astray=self.astray,
            scale=scale,
            trust=self.trust,
            rate=self.rate,
            difficulty=self.difficulty,
            bias=self.bias,
            sd=sd,
            sd_label=sd_label,
            freedom=self.tails.freedom,
            voice=self.voice,
            dependence=self.dependence,
        )

    def _unknown(self) -> Edges:
        """What is known where no object was drawn twice: nothing of the raters."""
        n, n_raters = len(self.of), self.evidence.n_raters
        return Edges(
            box=self.box,
            spread=np.full_like(self.box, np.nan),
            without=np.full((n, 4), np.nan),
            error_without=np.full((n, 4), np.nan),
            weight=np.ones(n),
            astray=np.zeros(n),
            scale=np.full((n, 4), np.nan),
            trust=np.ones((n, 4)),
            rate=self.rate,
            difficulty=np.ones(len(self.box)),
            bias=np.full((n_raters, 4), np.nan),
            sd=np.full((n_raters, 4), np.nan),
            sd_label=np.full((n_raters, self.n_labels), np.nan),
            freedom=self.tails.freedom,
            voice=self.voice,
            dependence=self.dependence,
        )
