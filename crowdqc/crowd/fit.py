"""One model of raters and objects together: who is reliable, what exists, where its edges are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import expit

from crowdqc.arrays import Floats, Ints, pairs_within
from crowdqc.crowd.decided import decided_edges, decided_existence
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.crowd.edges import Edges, EdgeSettings, size_of
from crowdqc.crowd.evidence import Evidence, evidence
from crowdqc.crowd.existence import Existence, ExistenceSettings
from crowdqc.crowd.gold import calibrated, with_gold, with_settled
from crowdqc.crowd.grid import common_rounding
from crowdqc.crowd.reliability import answers, false_share, reliability, right_boxes
from crowdqc.crowd.shared import shared_error
from crowdqc.crowd.spared import fit_completed
from crowdqc.crowd.sums import total
from crowdqc.crowd.wrong import by_size, chance_wrong
from crowdqc.geometry import paired_iou
from crowdqc.matching import Matched


@dataclass(frozen=True)
class CrowdSettings:
    """Settings of the model of the crowd.

    Parameters
    ----------
    existence : ExistenceSettings
        Which objects exist.
    edges : EdgeSettings
        Where they are.
    iou : float
        IoU with the truth from which a box counts as right in `reliability`.
    prior_boxes : float
        How many boxes of an average rater the prior on `reliability` is worth.
    level : float
        Coverage of intervals.
    """

    existence: ExistenceSettings = field(default_factory=ExistenceSettings)
    edges: EdgeSettings = field(default_factory=EdgeSettings)
    iou: float = 0.5
    prior_boxes: float = 2.0
    level: float = 0.95


@dataclass(frozen=True)
class Crowd:
    """What is known of the raters (R) and the objects (O) of a matched study.

    Parameters
    ----------
    raters : tuple of str
        ``matched.people``, in the order of the arrays below.
    reliability, reliability_low, reliability_high : ndarray, shape (R,)
        Expected F1 against the truth at IoU `CrowdSettings.iou`, in [0, 1], and its interval.
        Where boxes should lie is judged by the other raters only, those of the own group left
        out; shrunk towards the average for raters with few boxes; nan for a rater whose objects
        nobody else was asked for.
    n_judged : ndarray, shape (R,)
        Cases that this rests on; blocks of ten slices in a study of fewer than five cases.
    detection : ndarray, shape (R,)
        Probability that a rater draws an average real object.
    false_rate, false_low, false_high : ndarray, shape (R,)
        Share of the rater's boxes that show nothing real, in [0, 1], and its interval; nan as in
        `reliability`.
    bias, sd : ndarray, shape (R, 4)
        Bias and spread of each edge ``x0, y0, x1, y1``, as a share of the object's width (x)
        or height (y), shrunk for raters with few boxes.
    sd_label, n_label : ndarray, shape (R, L)
        Spread of each rater for each label, the quadratic mean over edges, and the boxes that
        it rests on; nan where there is none.
    group : ndarray of int64, shape (R,)
        Raters of one number copy or collude, and are one voice.
    dependence : ndarray, shape (R, R)
        How far two raters are one voice, in [0, 1].
    exists : ndarray, shape (O,)
        Probability that the object exists.
    box, spread : ndarray, shape (O, 4)
        Estimated true box, and the standard deviation of where each edge lies, in px, the error
        that all raters share included.
    located : ndarray, shape (O,)
        Probability that an object which exists is where its box is, and not where some of its
        boxes lie apart.
    expected_error : ndarray, shape (O,)
        One less the expected IoU of the box with the truth, in [0, 1], the chance that it does
        not exist, or lies elsewhere, included; nan where `spread` is.
    wrong : ndarray, shape (O,)
        Probability that the IoU of the box with the truth is below 0.5, or nothing is there; nan
        where `spread` is.
    astray : ndarray, shape (N,)
        Probability that a drawn box lies elsewhere than its object.
    voice : ndarray, shape (N,)
        What each drawn box counts among those of its object, in (0, 1].
    weight : ndarray, shape (N,)
        Share that each drawn box has in the box of its object, 0 to 1.
    difficulty : ndarray, shape (O,)
        Factor of the raters' spread on each object.
    invention : ndarray, shape (R,)
        Probability that a rater joins in an average temptation, which others draw, too.
    slips : ndarray, shape (R,)
        Boxes of nothing that a rater draws alone, beyond what is usual, for each object that it
        was asked for.
    hits : ndarray, shape (N,)
        For each drawn box, the probability that it shows something real at that IoU, judged
        by the other raters only.
    wanted : ndarray, shape (A,)
        For each question of the evidence, the probability that its object exists, judged by
        the other raters only.
    freedom : float
        Degrees of freedom of the noise of edges: few mean heavy tails.
    shared : float
        Standard deviation of the error that all raters share, as a share of a rater's own.
    calibration : str
        What the shared error rests on: ``gold`` or ``prior``.
    evidence : Evidence
        What the model was fitted to.
    """

    raters: tuple[str, ...]
    reliability: Floats
    reliability_low: Floats
    reliability_high: Floats
    n_judged: Ints
    detection: Floats
    false_rate: Floats
    false_low: Floats
    false_high: Floats
    bias: Floats
    sd: Floats
    sd_label: Floats
    n_label: Ints
    group: Ints
    dependence: Floats
    exists: Floats
    box: Floats
    spread: Floats
    located: Floats
    expected_error: Floats
    wrong: Floats
    astray: Floats
    voice: Floats
    weight: Floats
    difficulty: Floats
    invention: Floats
    slips: Floats
    hits: Floats
    wanted: Floats
    freedom: float
    shared: float
    calibration: str
    evidence: Evidence


def fit(
    matched: Matched,
    settings: CrowdSettings | None = None,
    *,
    gold: pd.DataFrame | None = None,
    settled: pd.DataFrame | None = None,
) -> Crowd:
    """Fit the model to a matched study.

    Parameters
    ----------
    matched : Matched
        Objects and who was asked for them.
    settings : CrowdSettings, optional
        None: the defaults.
    gold : DataFrame, optional
        True boxes, as in `crowdqc.crowd.with_gold`.
    settled : DataFrame, optional
        Single objects that are known, as in `crowdqc.crowd.with_settled`.

    Returns
    -------
    Crowd
        What is known of raters and objects.
    """
    data = evidence(matched)
    if gold is not None and len(gold):
        data = with_gold(data, matched, gold)
    if settled is not None and len(settled):
        data = with_settled(data, matched, settled)
    return fit_evidence(data, raters=matched.people, settings=settings)


def fit_evidence(
    data: Evidence,
    *,
    raters: tuple[str, ...] | None = None,
    settings: CrowdSettings | None = None,
) -> Crowd:
    """As `fit`, from arrays.

    Parameters
    ----------
    data : Evidence
        Boxes, objects and who was asked.
    raters : tuple of str, optional
        Names of the raters. None: their numbers.
    settings : CrowdSettings, optional
        None: the defaults.

    Returns
    -------
    Crowd
        What is known of raters and objects.
    """
    settings = settings or CrowdSettings()
    edges = fit_edges(data, settings.edges)
    existence = fit_completed(data, settings.existence, edges.dependence)
    existence = decided_existence(data, existence, edges.voice)
    shared = shared_error(data, edges)
    edges = by_size(data, decided_edges(data, edges, shared))
    voices = np.bincount(data.object, edges.voice, data.n_objects)[:, None]
    each = voices * edges.spread**2
    rounded = common_rounding(each, data.grid) * (1 - 1 / np.maximum(voices, 1))
    common = shared**2 * each + rounded
    edges, spread = calibrated(data, edges, np.sqrt(edges.spread**2 + common))
    overlaps = [
        right_boxes(data, edges, iou=settings.iou, shared=part) for part in (common, rounded)
    ]
    prior, level = settings.prior_boxes, settings.level
    worst, best_case = (
        reliability(data, edges, overlap=met, exists=there, prior=prior, level=level, shared=shared)
        for met, there in zip(overlaps, _believed(data, existence, shared), strict=True)
    )
    hits = existence.without[answers(data)] * (overlaps[0] + overlaps[1]) / 2
    false = false_share(data, edges, hits=hits, prior=prior, level=level)
    located = _located_boxes(data, edges)
    gold = np.isfinite(data.gold).any()
    own = spread if gold else np.sqrt(edges.spread**2 + rounded)
    return Crowd(
        raters=raters or tuple(map(str, range(data.n_raters))),
        reliability=(worst.value + best_case.value) / 2,
        reliability_low=worst.low,
        reliability_high=best_case.high,
        n_judged=worst.n,
        detection=existence.detection,
        false_rate=false.value,
        false_low=false.low,
        false_high=false.high,
        bias=edges.bias,
        sd=edges.sd,
        sd_label=edges.sd_label,
        n_label=_boxes_of_labels(data, edges),
        group=edges.dependence.groups(),
        dependence=edges.dependence.table(),
        exists=existence.probability,
        box=edges.box,
        spread=spread,
        located=located,
        expected_error=_expected_error(existence.probability * located, spread, edges),
        wrong=chance_wrong(data, edges, existence, located=located, spreads=(own, spread)),
        astray=edges.astray,
        voice=edges.voice,
        weight=edges.weight,
        difficulty=edges.difficulty,
        invention=existence.invention,
        slips=existence.slips,
        hits=hits,
        wanted=existence.without,
        freedom=edges.freedom,
        shared=shared,
        calibration="gold" if gold else "prior",
        evidence=data,
    )


def _believed(data: Evidence, existence: Existence, shared: float) -> tuple[Floats, Floats]:
    """Probability that the object of each answer counts as real, (A,), at worst and at best.

    A rater's own vote counts as far as the rater is believed: judged without it, good raters
    would be blamed for inventions of others and lose boxes that one other drew. Where errors are
    shared votes are, too, and at worst the own one does not count.
    """
    best = existence.probability[data.asked_object]
    worst = best + min(shared, 1.0) ** 2 * (existence.without - best)
    weight = np.where(data.drew, 1.0, existence.weight[data.asked_object])
    return weight * worst, weight * best


def _located_boxes(data: Evidence, edges: Edges, *, iou: float = 0.3) -> Floats:
    """Probability that objects are where their boxes are, and not with those that lie apart, (O,).

    If any boxes are astray, raters whose boxes overlap the fused one by `iou` are right and all
    others astray, or those are right who overlap one of the boxes that lie apart: boxes at two
    other places do not speak for one another. With nobody near it, the box is nowhere. Boxes that
    lie apart as unsteady hands draw are not astray, and no other place.
    """
    if not len(data.boxes):
        return np.zeros(data.n_objects)
    n, of = data.n_objects, data.object
    near = paired_iou(data.boxes, edges.box[of]) >= iou
    sure = edges.voice * (np.log1p(-edges.rate) - np.log(edges.rate))[data.rater]
    far = np.flatnonzero(~near)
    a, b = (far[rows] for rows in pairs_within(of[far]))
    alike = paired_iou(data.boxes[a], data.boxes[b]) >= iou
    place = sure + total(a, alike * sure[b], len(sure)) + total(b, alike * sure[a], len(sure))
    rival, astray = np.zeros(n), np.zeros(n)
    np.maximum.at(rival, of[far], place[far])
    np.maximum.at(astray, of[far], edges.astray[far])
    count = total(of, near, n)
    here = np.where(count > 0, expit(total(of, near * sure, n) - rival), 0.0)
    astray += total(of, near * edges.astray, n) / np.maximum(count, 1)
    located: Floats = 1 - np.minimum(astray, 1) * (1 - here)
    return located


def _expected_error(exists: Floats, spread: Floats, edges: Edges) -> Floats:
    """One less the expected IoU of the box, taken to exist, (O,).

    To first order an edge that is off by d px costs ``|d| / width`` (or height) of IoU.
    """
    off = (2 / np.pi) ** 0.5 * (spread / size_of(edges.box)).sum(axis=1)
    error: Floats = 1 - exists * (1 - np.minimum(off, 1.0))
    return error


def _boxes_of_labels(data: Evidence, edges: Edges) -> Ints:
    """Number of boxes of each rater and label that another rater drew, too, (R, L)."""
    n, labels = edges.sd_label.shape
    cell = data.rater * labels + data.label[data.object]
    count = np.bincount(cell, data.n_boxes[data.object] > 1, n * labels)
    return count.astype(np.int64).reshape(n, labels)
