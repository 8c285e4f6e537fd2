"""How many raters a slice needs, and how many slices a rater: from a study or a pilot.

Boxes are simulated from what the study's own raters do (each rater's biases, spread, misses and
inventions, how hard objects are, and the error that all share) and fused as the study will fuse
them, existence and all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from scipy.special import expit, logit

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import leave_one_out
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd import Crowd, Evidence, fit
from crowdqc.findings import InputError
from crowdqc.fusion import ConsensusRule, decide, load_method
from crowdqc.geometry import paired_iou
from crowdqc.matching import Matched

UNKNOWN = (
    "No object was drawn by two raters, so that nothing is known of how they differ. "
    "Let two or more raters draw the same slices of a few cases first, as a pilot."
)
_SAME = 0.3
"""IoU with the fused box from which a drawn one supports it."""
_LOGISTIC = (16 * 3**0.5 / (15 * np.pi)) ** 2
"""Variance of a normal distribution over that of the logistic one that it stands for."""
_EQUAL = 1e-3
"""Difference of two shares of pairs that is none."""
_LEAST = 1e-3
"""Least width of a simulated box, as a share of the object's."""


@dataclass(frozen=True)
class Components:
    """What makes boxes differ, as estimated from a study.

    Parameters
    ----------
    bias, sd : ndarray, shape (R, 4)
        Bias and spread of each rater and edge ``x0, y0, x1, y1``, as a share of the object's
        width or height.
    detection : ndarray, shape (R,)
        Probability that a rater draws an average real object.
    share : ndarray, shape (R,)
        Share of all readings that a rater did; sums to 1.
    invented : ndarray, shape (R,)
        Boxes of nothing that a rater draws for each real object that it was asked for.
    difficulty : ndarray, shape (O,)
        Factor of the raters' spread on objects that several drew.
    freedom : float
        Degrees of freedom of the noise of edges.
    shared : float
        Standard deviation of the error that all raters share, as a share of their own.
    size : float
        Median width of an object in px.
    between_cases, within_cases : float
        Variance of one rater's agreement (IoU with the others) between cases, and between
        the objects of a case.
    per_case, per_slice : float
        Objects that a rater meets in a case, and on a slice.
    visibility : float
        Standard deviation, between objects, of the log odds that a rater draws them: what one
        misses, others are likely to miss, too.
    """

    bias: Floats
    sd: Floats
    detection: Floats
    share: Floats
    invented: Floats
    difficulty: Floats
    freedom: float
    shared: float
    size: float
    between_cases: float
    within_cases: float
    per_case: float
    per_slice: float
    visibility: float = 0.0


def estimate_components(matched: Matched) -> Components:
    """What makes boxes differ in a study, from the objects that several raters drew.

    Raises
    ------
    InputError
        If no object was drawn by two raters: then nothing can be estimated, and a pilot is needed.
    """
    crowd = fit(matched)
    shared = crowd.evidence.n_boxes > 1
    if not shared.any():
        raise InputError(UNKNOWN)
    known = np.isfinite(crowd.detection) & np.isfinite(crowd.sd).all(axis=1)
    asked = np.bincount(crowd.evidence.asked_rater, minlength=len(crowd.raters)).astype(np.float64)
    share = np.where(known, asked, 0.0)
    between, within = _agreement_variance(matched)
    slices = matched.asked.drop_duplicates(["case", "slice", "person"])
    cases = matched.asked.drop_duplicates(["case", "person"])
    return Components(
        bias=crowd.bias[known],
        sd=crowd.sd[known],
        detection=crowd.detection[known],
        share=share[known] / share.sum(),
        invented=_invented(crowd)[known],
        difficulty=crowd.difficulty[shared],
        freedom=crowd.freedom,
        shared=crowd.shared,
        size=float(np.median(crowd.box[:, 2] - crowd.box[:, 0])),
        between_cases=between,
        within_cases=within,
        per_case=len(matched.boxes) / len(cases),
        per_slice=len(matched.boxes) / len(slices),
        visibility=_visibility(crowd),
    )


def plan_raters(
    components: Components,
    *,
    rng: np.random.Generator,
    largest: int = 9,
    method: str = "edges",
    rule: ConsensusRule | None = None,
    objects: int = 2000,
) -> pd.DataFrame:
    """What a consensus of 1, 2, ... raters per slice is worth.

    Parameters
    ----------
    components : Components
        From `estimate_components`.
    rng : Generator
        Draws raters and their errors. The same errors are used for every number of raters.
    largest : int
        Largest number of raters. Where it is more than the study has, others like them join.
    method : str
        Fusion method, as in the study file.
    rule : ConsensusRule, optional
        What makes an object usable, as in the study file. None: the defaults of `fuse`.
    objects : int
        Objects that are simulated.

    Returns
    -------
    DataFrame
        ``n_raters``; ``iou``, the mean IoU of the fused box with the truth where an object is
        usable, and ``iou_worst``, its 10th percentile; ``found``, the share of real objects that
        are usable, of those that somebody of the study drew: what all overlook is not known;
        ``score``, the mean IoU with 0 for an object that is not; and ``gain``, of the
        score over one rater fewer.

    Raises
    ------
    ValueError
        If `largest` or `objects` is below 1.
    InputError
        If the method is not known.
    """
    if largest < 1 or objects < 1:
        raise ValueError(f"'largest' and 'objects' must be 1 or more; got {largest}, {objects}.")
    chosen, rule = load_method(method), rule or ConsensusRule()
    drawn = _draw(components, largest, objects, rng=rng)
    rows = []
    for n in range(1, largest + 1):
        data, truth, number = drawn.first(n)
        fused = chosen(data)
        usable = decide(data, fused, chosen, iou=_SAME, rule=rule)[3] & (number < objects)
        iou = paired_iou(fused.box[usable], truth[number[usable]]) if usable.any() else np.zeros(0)
        worst = float(np.quantile(iou, 0.1)) if len(iou) else np.nan
        mean = float(iou.mean()) if len(iou) else np.nan
        rows.append((n, mean, worst, float(usable.sum() / objects), float(iou.sum() / objects)))
    table = pd.DataFrame(rows, columns=["n_raters", "iou", "iou_worst", "found", "score"])
    return table.assign(gain=table["score"].diff())


def raters_needed(table: pd.DataFrame, target: float, *, measure: str = "iou") -> int | None:
    """Fewest raters in a table of `plan_raters` with which a measure stays at a target or above.

    None where even the most are too few.

    Parameters
    ----------
    table : DataFrame
        By ascending number of raters.
    target : float
        Wanted value.
    measure : str
        Column of `table`, of which more is better.
    """
    reached = (table[measure] >= target).to_numpy()
    stays = np.logical_and.accumulate(reached[::-1])[::-1]
    return int(table["n_raters"].iloc[int(stays.argmax())]) if stays.any() else None


def plan_slices(
    components: Components,
    *,
    widths: tuple[float, ...] = (0.1, 0.05, 0.025),
    level: float = 0.95,
) -> pd.DataFrame:
    """How much a rater must read for the rater's agreement to be known.

    Parameters
    ----------
    components : Components
        From `estimate_components`.
    widths : tuple of float
        Wanted half widths of the interval of the agreement, in IoU.
    level : float
        Coverage of the interval.

    Returns
    -------
    DataFrame
        ``half_width, n_cases, n_slices``: cases of the usual number of objects, and slices in
        them, rounded up. Slices of the same case tell less than as many of other cases.
    """
    z = scipy.stats.norm.ppf((1 + level) / 2)
    per_case = max(components.per_case, 1.0)
    variance = components.between_cases + components.within_cases / per_case
    slices = per_case / max(components.per_slice, 1e-9)
    rows = []
    for width in widths:
        n_cases = max(2, int(np.ceil(variance * (z / width) ** 2)))
        rows.append((width, n_cases, int(np.ceil(n_cases * slices))))
    return pd.DataFrame(rows, columns=["half_width", "n_cases", "n_slices"])


def _invented(crowd: Crowd) -> Floats:
    """Boxes of nothing for each real object that raters were asked for, (R,)."""
    data = crowd.evidence
    real = np.bincount(data.asked_rater, crowd.wanted, data.n_raters)
    own = np.flatnonzero(data.drew)
    false = np.bincount(data.asked_rater[own], 1 - crowd.wanted[own], data.n_raters)
    return np.asarray(false / np.maximum(real, 1.0))


def _visibility(crowd: Crowd) -> float:
    """Spread of the log odds that objects are drawn, from how often two raters both draw one.

    Objects count as they exist, and pairs of raters who depend on one another less.
    """
    data, nodes = crowd.evidence, np.linspace(-3, 3, 61)
    weight = np.exp(-np.square(nodes) / 2)
    asked, drew = data.n_asked.astype(np.float64), data.n_boxes.astype(np.float64)
    pairs = crowd.exists * asked * (asked - 1)
    if pairs.sum() <= 0:
        return 0.0
    one = float((crowd.exists * drew * (asked - 1)).sum() / pairs.sum())
    both = float((crowd.exists * drew * (drew - 1)).sum() / pairs.sum())
    spreads = np.linspace(0, 4, 41)
    chance = _marginal(np.array([one]), spreads[:, None, None], nodes)[:, 0]
    expected = (np.square(chance) * weight).sum(axis=1) / weight.sum()
    return float(spreads[min(int((expected < both - _EQUAL).sum()), len(spreads) - 1)])


def _marginal(mean: Floats, spread: Floats, nodes: Floats) -> Floats:
    """Chances, (..., R, Q), at nodes of a normal distribution of log odds, whose mean is (R,)."""
    odds = logit(np.clip(mean, 1e-6, 1 - 1e-6))[:, None] * np.sqrt(1 + _LOGISTIC * spread**2)
    chance: Floats = expit(odds + spread * nodes)
    return chance


def _seen(components: Components, objects: Floats) -> Floats:
    """Probability that each rater draws each object, (O, R), of which this is how visible it is."""
    return _marginal(components.detection, np.array(components.visibility), objects).T


@dataclass(frozen=True)
class _Drawn:
    """Simulated boxes (M objects, n raters): the real objects first, then what is invented."""

    truth: Floats
    boxes: Floats
    who: Ints
    drew: Bools
    per_case: int

    def first(self, n: int) -> tuple[Evidence, Floats, Ints]:
        """What the first n raters of each object drew, the truth, and the objects' numbers."""
        some = np.flatnonzero(self.drew[:, :n].any(axis=1))
        drew, who = self.drew[some, :n], self.who[some, :n]
        order = np.argsort(who, axis=1)
        drew, who = np.take_along_axis(drew, order, 1), np.take_along_axis(who, order, 1)
        boxes = np.take_along_axis(self.boxes[some, :n], order[..., None], 1)
        of, column = np.nonzero(drew)
        zero = np.zeros(len(some), np.int64)
        data = Evidence(
            boxes=boxes[of, column],
            object=of,
            rater=who[of, column],
            asked_object=np.repeat(np.arange(len(some)), n),
            asked_rater=who.ravel(),
            drew=drew.ravel(),
            place=np.arange(len(some)),
            label=zero,
            case=some // self.per_case,
            plane=zero,
            n_objects=len(some),
            n_raters=int(self.who.max()) + 1,
        )
        return data, self.truth, some


def _draw(
    components: Components, n_raters: int, objects: int, *, rng: np.random.Generator
) -> _Drawn:
    """Boxes of `n_raters` raters on each object, and boxes of nothing."""
    n_own, share = len(components.share), components.share
    more = rng.choice(n_own, max(n_raters - n_own, 0), p=share)
    pool = np.concatenate([np.arange(n_own), more])  # others like them, where there are too few
    chance = np.log(np.maximum(share[pool], 1e-12))
    false = rng.poisson(objects * float(share @ components.invented))
    who = np.argsort(-(chance + rng.gumbel(size=(objects + false, len(pool)))), axis=1)
    who = who[:, :n_raters]
    hard = rng.choice(components.difficulty, objects + false)[:, None, None]
    sd, size = components.sd[pool][who], components.size
    usual = np.maximum(sd, 1e-9) ** -2
    common = components.shared * usual.mean(axis=1, keepdims=True) ** -0.5 * hard
    error = components.bias[pool][who] + common * rng.standard_normal((objects + false, 1, 4))
    error = error + sd * hard * rng.standard_t(components.freedom, sd.shape)
    truth = np.tile(np.array([0.0, 0.0, 1.0, 1.0]) * size, (objects + false, 1))
    boxes = truth[:, None] + error * size
    high = np.maximum(boxes[..., 2:], boxes[..., :2] + _LEAST * size)
    drew = (
        rng.random(who.shape)
        < _seen(components, rng.standard_normal(len(who)))[np.arange(len(who))[:, None], pool[who]]
    )
    invented = np.maximum(components.invented[pool][who[objects:]], 1e-12)
    inventor = (invented / invented.sum(axis=1, keepdims=True)).cumsum(axis=1)
    drew[objects:] = False
    column = (inventor < rng.random((false, 1))).sum(axis=1)
    drew[objects + np.arange(false), np.minimum(column, n_raters - 1)] = True
    per_case = max(1, round(components.per_case))
    return _Drawn(truth, np.concatenate([boxes[..., :2], high], axis=-1), who, drew, per_case)


def _agreement_variance(matched: Matched) -> tuple[float, float]:
    """Variance of a rater's agreement between cases and within, by analysis of variance."""
    drawn = to_drawn(matched)
    items = leave_one_out(drawn)
    place_case = matched.objects.drop_duplicates("place").set_index("place")["case"]
    case = pd.factorize(place_case.reindex(drawn.place[items.object]))[0]
    cell = items.rater * (int(case.max(initial=0)) + 1) + case
    known, of = np.unique(cell, return_inverse=True)
    rater = known // (int(case.max(initial=0)) + 1)
    n = np.bincount(of).astype(np.float64)
    mean = np.bincount(of, items.iou) / n
    own = np.bincount(rater, n * mean) / np.maximum(np.bincount(rater, n), 1)
    inside = float(np.sum((items.iou - mean[of]) ** 2))
    outside = float(np.sum(n * (mean - own[rater]) ** 2))
    free = len(items.iou) - len(known)
    within = inside / free if free > 0 else 0.0
    spare = len(known) - len(np.unique(rater))
    per_rater = np.maximum(np.bincount(rater, n), 1)
    usual = float(n.sum() - (np.bincount(rater, n**2) / per_rater).sum())
    between = max((outside - spare * within) / usual, 0.0) if usual > 0 and spare > 0 else 0.0
    return between, within
