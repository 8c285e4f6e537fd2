"""What makes the boxes of a study's raters differ, and how much of what is there they see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import leave_one_out
from crowdqc.arrays import Bools, Floats
from crowdqc.crowd import Crowd, ExistenceSettings, fit
from crowdqc.crowd.dependence import Dependence
from crowdqc.crowd.existence_fit import drawn_of_real
from crowdqc.findings import InputError
from crowdqc.matching import Matched

UNKNOWN = (
    "No object was drawn by two raters, so that nothing is known of how they differ. "
    "Let two or more raters draw the same slices of a few cases first, as a pilot."
)
_LOGISTIC = (16 * 3**0.5 / (15 * np.pi)) ** 2
"""Variance of a normal distribution over that of the logistic one that it stands for."""
_EQUAL = 1e-3
"""Difference of two shares of pairs that is none."""
_VOICES, _FEWEST = 4, 20
"""Raters of an object, and such objects, from which the boxes tell how differently visible objects
are; the prior holds below."""
_FIXED = 1e-3
"""Standard deviation of a log that is given; 1 over the objects that a given rate is worth."""
_EVEN = 0.5, 1.25
"""Visibility at which objects begin to be so different that some may be seen by nobody, and at
which they are as different as the prior allows."""


@dataclass(frozen=True)
class Reading:
    """How much raters see of what is there, in one reading of their boxes.

    Parameters
    ----------
    detection : ndarray, shape (R,)
        Probability that a rater draws a real object.
    visibility : float
        Standard deviation, between objects, of the log odds of that.
    """

    detection: Floats
    visibility: float


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
    readings : tuple of Reading
        The least and the most that raters may see of what is there, as far as boxes tell.
    n_objects : float
        Real objects that the study rests on.
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
    readings: tuple[Reading, ...] = ()
    n_objects: float = 0.0


def estimate_components(matched: Matched) -> Components:
    """What makes boxes differ in a study, from the objects that several raters drew.

    Parameters
    ----------
    matched : Matched
        The study.

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
        readings=_readings(crowd, known),
        n_objects=float(crowd.exists.sum()),
    )


def _readings(crowd: Crowd, known: Bools) -> tuple[Reading, Reading]:
    """The least and the most that raters see, by the model of existence.

    Whether what few drew is hard to see or is nothing, and what else nobody drew, the votes hardly
    tell. At least raters see what they do if difficulty is as different as its prior allows at
    most (97.5 %), where four raters or more do not show that it is not; of fewer raters what one
    alone drew is real, too. And at most if it varies no more than is usual, as in the reading in
    which what few draw is nothing; of fewer raters, as little as its prior allows.
    """
    data, settings = crowd.evidence, ExistenceSettings()
    first, second = np.nonzero(np.triu(crowd.dependence, 1))
    tied = Dependence(first, second, crowd.dependence[first, second], data.n_raters)
    reach, usual = float(np.exp(1.96 * settings.log_spread)), settings.usual[1]
    most = settings.spread[0] * reach
    hardest = replace(settings, log_spread=_FIXED)
    if (data.n_asked >= _VOICES).sum() >= _FEWEST:
        most *= float(np.clip((_visibility(crowd) - _EVEN[0]) / (_EVEN[1] - _EVEN[0]), 0, 1))
    else:
        hardest = replace(hardest, slips_spread=(_FIXED, _FIXED), slips_worth=(1 / _FIXED,) * 2)
        usual = settings.spread[0] / reach
    hard = easy = drawn_of_real(
        data, replace(settings, usual=(settings.usual[0], usual)), tied, tempting=True
    )
    if most > easy[1]:
        hardest = replace(hardest, spread=(most, settings.spread[1]))
        hard = drawn_of_real(data, hardest, tied, tempting=False)
    low, high = (Reading(chance[known], spread) for chance, spread in (hard, easy))
    return low, high


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
    chance = marginal(np.array([one]), spreads[:, None, None], nodes)[:, 0]
    expected = (np.square(chance) * weight).sum(axis=1) / weight.sum()
    return float(spreads[min(int((expected < both - _EQUAL).sum()), len(spreads) - 1)])


def marginal(mean: Floats, spread: Floats, nodes: Floats) -> Floats:
    """Chances, (..., R, Q), at nodes of a normal distribution of log odds, whose mean is (R,).

    Parameters
    ----------
    mean : ndarray, shape (R,)
        Mean chances.
    spread : ndarray
        Standard deviations of log odds, of a shape that the result begins with.
    nodes : ndarray, shape (Q,)
        In standard deviations.
    """
    odds = logit(np.clip(mean, 1e-6, 1 - 1e-6))[:, None] * np.sqrt(1 + _LOGISTIC * spread**2)
    chance: Floats = expit(odds + spread * nodes)
    return chance


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
