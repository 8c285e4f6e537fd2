"""Where the true edges are: each rater's bias and spread per edge, and how hard each object is.

Rater r draws edge e of object o, of label l, at ``truth + size * (bias_re + noise)``, where `size`
is the object's width for x edges and its height for y edges, and the noise has a Student
distribution of scale ``sd_rle * difficulty_o``, or the box lies elsewhere altogether. The spread of
a rater for a label is held towards what the rater and the label are apart; the freedom of the
noise is estimated. Raters of one group share a voice, see `crowdqc.crowd.dependence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Floats
from crowdqc.crowd.dependence import HAND, Dependence, find_dependence
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.medians import median_boxes, middle
from crowdqc.crowd.student import likely_freedom, log_student
from crowdqc.crowd.sums import sums, total
from crowdqc.geometry import paired_iou

_LEAST = 1e-8
"""Least variance, as a share of size: raters who agree to the pixel are not perfect."""
_USUAL = 0.65, 0.935
"""Quantile of absolute distances that is taken for usual, and its value for normal ones."""
_ELSEWHERE = -4 * np.log(10.0)
"""Log density of a box that lies elsewhere: its edges may be off by five sizes either way."""
_ELSEWHERE_IOU = 0.3
"""IoU with the box of a reviewer below which a box lies elsewhere."""


@dataclass(frozen=True)
class EdgeSettings:
    """Settings of the model.

    Parameters
    ----------
    freedom : float, optional
        Degrees of freedom of the Student noise; few mean heavy tails. None: estimated.
    rater_boxes, cell_boxes : float
        How many boxes the prior on a rater's spread is worth, and that on its spread for a label.
    bias_boxes : float
        How many boxes the prior on a rater's bias (none) is worth.
    object_boxes : float
        How many boxes the prior on an object's difficulty is worth.
    astray : float
        Share of boxes that lie elsewhere, beforehand; worth `astray_boxes` boxes of a rater.
    steps : int
        Steps of EM.
    """

    freedom: float | None = None
    rater_boxes: float = 5.0
    cell_boxes: float = 10.0
    bias_boxes: float = 10.0
    object_boxes: float = 5.0
    astray: float = 0.01
    astray_boxes: float = 10.0
    steps: int = 20


@dataclass(frozen=True)
class Edges:
    """True edges, and how raters draw them.

    Parameters
    ----------
    box : ndarray, shape (O, 4)
        Estimated true box in px.
    spread : ndarray, shape (O, 4)
        Standard deviation of where the true edge lies, in px, as far as raters err apart from
        one another; nan where no object of the study was drawn by two raters.
    without, error_without : ndarray, shape (N, 4)
        The box of a drawn box's object, estimated without it and without what raters drew who
        depend on its rater, and the standard deviation of that; nan where there is nothing else.
    weight : ndarray, shape (N,)
        Share that each drawn box has in the box of its object, mean over edges.
    astray : ndarray, shape (N,)
        Probability that a drawn box lies elsewhere.
    scale, trust : ndarray, shape (N, 4)
        Spread of the rater of each box for its label and object, as a share of size; and how far
        each edge is trusted, from almost 0 to a little over 1.
    rate : ndarray, shape (R,)
        Share of boxes of each rater that lie elsewhere.
    difficulty : ndarray, shape (O,)
        Factor of the raters' spread on this object; 1 where it was drawn once.
    bias, sd : ndarray, shape (R, 4)
        Of each rater and edge, as a share of the object's width (x) or height (y); nan where
        no object of the study was drawn by two raters.
    sd_label : ndarray, shape (R, L)
        Spread of each rater for each label, the quadratic mean over edges.
    freedom : float
        Degrees of freedom of the noise.
    voice : ndarray, shape (N,)
        What each box counts among those of its object.
    dependence : Dependence
        Raters who share their errors.
    """

    box: Floats
    spread: Floats
    without: Floats
    error_without: Floats
    weight: Floats
    astray: Floats
    scale: Floats
    trust: Floats
    rate: Floats
    difficulty: Floats
    bias: Floats
    sd: Floats
    sd_label: Floats
    freedom: float
    voice: Floats
    dependence: Dependence


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
        self.cells, self.cell = np.unique(
            self.who * self.n_labels + self.label, return_inverse=True
        )
        self.settled = np.flatnonzero(~np.isnan(evidence.settled[self.of, 0]))
        self.truth = evidence.settled[self.of[self.settled]]
        self.off = paired_iou(evidence.boxes[self.settled], self.truth) < _ELSEWHERE_IOU
        self.bias = np.zeros((evidence.n_raters, 4))
        self.factor = np.ones(evidence.n_raters)
        self.difficulty = np.ones(evidence.n_objects)
        self.freedom = settings.freedom or 6.0
        self.apart: Floats | None = None
        self.voice = np.ones(len(self.of))
        none = np.zeros(0, np.int64)
        self.dependence = Dependence(none, none, np.zeros(0), evidence.n_raters)
        self.mates = self.dependence.mates(self.of, self.who)
        self._start()

    def _depend(self) -> None:
        """Find who depends on whom, and start again with what their voices count."""
        rows, unit = np.flatnonzero(self.astray < 0.5), self.sd[self.cell]
        self.dependence = find_dependence(
            self.evidence, self.away, unit=unit, size=self.size, rows=rows
        )
        self.mates = self.dependence.mates(self.of, self.who)
        if len(self.mates.first):
            self.voice = self.mates.voice(len(self.of))
            self._start()

    def run(self) -> Edges:
        if not self.shared.any():
            return self._unknown()
        self._depend()
        for step in range(self.settings.steps):
            self._locate()
            self._weigh(estimate=step % 4 == 3)
            self._bias()
            self._scales()
        self._locate()
        return self._found()

    def _begin(self) -> Floats:
        """Median boxes, and distances from them less the raters' bias (N, 4)."""
        data = self.evidence
        self.median = median_boxes(data.boxes, self.of, data.n_objects, weight=self.voice)
        self.box, self.size = self.median, size_of(self.median)[self.of]
        voices = total(self.of, self.voice, data.n_objects)
        self.shared = (voices > 1 + 1e-9)[self.of].astype(np.float64)[:, None]
        self.miss = (data.boxes - self.median[self.of]) / self.size
        count = total(self.who, self.shared[:, 0], data.n_raters)[:, None]
        rows = np.flatnonzero(self.shared[:, 0])
        bias = np.nan_to_num(median_boxes(self.miss[rows], self.who[rows], data.n_raters))
        return self.miss - (bias * count / (count + self.settings.bias_boxes))[self.who]

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
        return np.maximum(np.sqrt(square) / _USUAL[1] + 1e-4, HAND[1])

    def _locate(self) -> None:
        """Boxes from what raters drew, and boxes without each rater."""
        size = size_of(self.box)[self.of]
        scale = self.sd[self.cell] * self.difficulty[self.of, None] * size
        self.weight = self.voice[:, None] * self.trust / scale**2
        drawn = self.evidence.boxes - self.bias[self.who] * size
        n = self.evidence.n_objects
        top, self.total = sums(self.of, self.weight * drawn, n), sums(self.of, self.weight, n)
        self.box = _uncrossed(top / self.total, self.median)
        mates = self.mates.sums(np.hstack([self.weight * drawn, self.weight]))
        self.rest = np.maximum(self.total[self.of] - self.weight - mates[:, 4:], 0)
        known = (self.shared > 0) & (self.rest > 1e-9 * self.total[self.of])
        left = top[self.of] - self.weight * drawn - mates[:, :4]
        with np.errstate(invalid="ignore", divide="ignore"):
            self.without = np.where(known, left / self.rest, np.nan)
            self.error_without = np.where(known, self.rest**-0.5, np.nan)
        self.size = size_of(self.box)[self.of]
        self.miss = (self.evidence.boxes - self.box[self.of]) / self.size

    def _start(self) -> None:
        """Trust by the distance from the median box, which one box far away does not move."""
        miss = self._begin()
        self.sd = self._units(miss)[self.cells % self.n_labels]
        self.away = miss / self.sd[self.cell]
        self.rate = np.full(self.evidence.n_raters, self.settings.astray)
        square = self.miss**2 / self.sd[self.cell] ** 2
        self._trust(square, square, variance=self.sd[self.cell] ** 2)

    def _weigh(self, *, estimate: bool) -> None:
        """How far each edge is trusted, whether a box is astray, and how heavy tails are."""
        scale = (self.sd[self.cell] * self.difficulty[self.of, None]) ** 2
        off = (self.evidence.boxes - self.without) / self.size - self.bias[self.who]
        usual = scale if self.apart is None else self.apart
        variance = usual + (self.error_without / self.size) ** 2
        square = off**2 / variance
        known = self.voice[:, None] * (1 - self.astray)[:, None] * np.isfinite(square)
        if estimate and self.settings.freedom is None:
            self.freedom = likely_freedom(np.where(known > 0, square, 1.0), known)
        self.error = (self.miss - self.bias[self.who]) ** 2
        self.error += 1 / (self.total[self.of] * self.size**2)  # the truth is not certain
        self._trust(square, self.error / scale, variance=variance)

    def _trust(self, apart: Floats, square: Floats, *, variance: Floats) -> None:
        """Trust from squared errors, and astray boxes from how far they lie from the others."""
        alone = ~np.isfinite(apart).all(axis=1) | (self.shared[:, 0] == 0)
        near = log_student(np.where(alone[:, None], 1.0, apart), self.freedom)
        near = (near - np.log(np.where(alone[:, None], 1.0, variance)) / 2).sum(axis=1)
        rate = np.log(self.rate)[self.who]
        own = self.voice * rate
        others = total(self.of, own, self.evidence.n_objects)[self.of] - own
        others = np.minimum(others - self.mates.sums(own[:, None])[:, 0], -1e-3)
        good = np.logaddexp(near + np.log1p(-np.exp(others)), others + _ELSEWHERE)
        odds = rate - np.log1p(-self.rate)[self.who] + _ELSEWHERE - good
        self.astray = np.where(alone, 0.0, 1 / (1 + np.exp(-np.clip(odds, -50, 50))))
        self.astray[self.settled] = self.off  # a reviewer has seen which boxes are of the object
        alone[self.settled] = False
        trust = (self.freedom + 1) / (self.freedom + square)
        self.trust = trust * np.maximum(1 - self.astray, 1e-6)[:, None]
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
        scale = (self.sd[self.cell] * self.difficulty[self.of, None]) ** 2
        weight = self.shared * self.trust / scale
        prior = self.settings.bias_boxes * sums(self.who, self.shared / scale, n)
        count = np.bincount(self.who, self.shared[:, 0], n)[:, None]
        total = sums(self.who, weight, n) + prior / np.maximum(count, 1)
        with np.errstate(invalid="ignore"):
            bias = np.nan_to_num(sums(self.who, weight * self.miss, n) / total)
        voice = np.bincount(self.who, self.voice * self.shared[:, 0], n)
        known = voice / (count[:, 0] + 2)
        usual = [middle(edge, known) for edge in bias.T]
        self.bias = np.where(count > 0, bias - np.array(usual), 0.0)

    def _scales(self) -> None:
        """Spread of labels, raters and of raters for labels, and difficulty of objects."""
        data, settings = self.evidence, self.settings
        here = self.shared * (1 - self.astray)[:, None]
        voice = self.voice[:, None] * here
        error = self.shared * self.trust * self.error
        plain = error / self.difficulty[self.of, None] ** 2
        factor = self.factor[self.who, None]
        count = sums(self.label, np.tile(voice, 4), self.n_labels)
        top = sums(self.label, voice * plain / factor, self.n_labels)
        everyone = (top.sum(axis=0) + _LEAST) / (count.sum(axis=0) + 1e-9)
        label = (top + everyone) / (count + 1)
        own = (plain / label[self.label]).mean(axis=1)
        drawn = total(self.who, here[:, 0], data.n_raters) + settings.rater_boxes
        self.factor = (total(self.who, own, data.n_raters) + settings.rater_boxes) / drawn
        prior = label[self.cells % self.n_labels] * self.factor[self.cells // self.n_labels, None]
        top = sums(self.cell, plain, len(self.cells))
        n = np.bincount(self.cell, here[:, 0])[:, None]
        rows = settings.cell_boxes
        self.sd = np.sqrt((top + rows * prior) / (n + rows) + _LEAST)
        less = (self.factor * drawn)[self.who] - own
        less = np.maximum(less / (drawn[self.who] - here[:, 0]), 1e-3)
        prior = label[self.label] * less[:, None]
        apart = (top[self.cell] - plain + rows * prior) / (n[self.cell] - here + rows)
        precise = (error / self.sd[self.cell] ** 2).mean(axis=1) * self.voice
        rows = settings.object_boxes
        whole = total(self.of, precise, data.n_objects) + rows
        voices = total(self.of, voice[:, 0], data.n_objects) + rows
        self.difficulty = np.sqrt(whole / voices)
        own = np.stack([precise, voice[:, 0]], axis=1)
        own = own + self.mates.sums(own)
        hard = (whole[self.of] - own[:, 0]) / (voices[self.of] - own[:, 1])
        self.apart = np.maximum(apart, _LEAST) * hard[:, None]  # judged without the box itself

    def _found(self) -> Edges:
        self.without[self.settled], self.error_without[self.settled] = self.truth, 1e-6
        freedom = self.freedom
        known = (freedom + 1) / (freedom + 3)  # a Student value tells less
        n, labels = self.evidence.n_raters, self.n_labels
        count = np.bincount(self.cell)[:, None]
        square = sums(self.cells // labels, count * self.sd**2, n)
        of_rater = np.bincount(self.cells // labels, count[:, 0], n)[:, None]
        sd_label = np.full((n, labels), np.nan)
        sd_label[self.cells // labels, self.cells % labels] = np.sqrt((self.sd**2).mean(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(square / of_rater)
        return Edges(
            box=self.box,
            spread=(known * self.total) ** -0.5,
            without=self.without,
            error_without=self.error_without,
            weight=(self.weight / self.total[self.of]).mean(axis=1),
            astray=self.astray,
            scale=self.sd[self.cell] * self.difficulty[self.of, None],
            trust=self.trust,
            rate=self.rate,
            difficulty=self.difficulty,
            bias=self.bias,
            sd=sd,
            sd_label=sd_label,
            freedom=freedom,
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
            freedom=self.freedom,
            voice=self.voice,
            dependence=self.dependence,
        )


def _uncrossed(box: Floats, median: Floats) -> Floats:
    """Boxes (O, 4) with the median's edges where two opposite ones have crossed.

    Edges are estimated one by one, from boxes that may hardly overlap; medians never cross.
    """
    crossed = box[:, 2:] <= box[:, :2]
    return np.where(np.hstack([crossed, crossed]), median, box)


def size_of(box: Floats) -> Floats:
    """Width for x edges and height for y edges, (O, 4), never nothing."""
    size = np.maximum(box[:, 2:] - box[:, :2], 1e-6)
    return np.hstack([size, size])
