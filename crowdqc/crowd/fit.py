"""One model of raters and objects together: who is reliable, what exists, where its edges are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crowdqc.arrays import Floats
from crowdqc.crowd.edges import Edges, EdgeSettings, fit_edges
from crowdqc.crowd.evidence import Evidence, evidence
from crowdqc.crowd.existence import Existence, ExistenceSettings, fit_existence
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
    """

    existence: ExistenceSettings = field(default_factory=ExistenceSettings)
    edges: EdgeSettings = field(default_factory=EdgeSettings)
    iou: float = 0.5
    prior_boxes: float = 2.0


@dataclass(frozen=True)
class Crowd:
    """What is known of the raters (R) and the objects (O) of a matched study.

    Parameters
    ----------
    raters : tuple of str
        ``matched.people``, in the order of the arrays below.
    reliability : ndarray, shape (R,)
        Expected F1 against the truth at IoU `CrowdSettings.iou`, in [0, 1], judged by the
        other raters only and shrunk towards the average for raters with few boxes; nan for
        a rater whose objects nobody else was asked for.
    detection, false_rate : ndarray, shape (R,)
        Probability that a rater draws an average real object; share of the rater's boxes
        that show nothing real, in [0, 1], nan as in `reliability`.
    bias, sd : ndarray, shape (R, 4)
        Bias and spread of each edge ``x0, y0, x1, y1``, as a share of the object's width (x)
        or height (y), shrunk for raters with few boxes.
    exists : ndarray, shape (O,)
        Probability that the object exists.
    box, spread : ndarray, shape (O, 4)
        Estimated true box, and the standard deviation of where each edge lies, in px.
    weight : ndarray, shape (N,)
        Share that each drawn box has in the box of its object, 0 to 1.
    difficulty : ndarray, shape (O,)
        Factor of the raters' spread on each object.
    invention : ndarray, shape (R,)
        Probability that a rater joins in an average invention of others.
    hits : ndarray, shape (N,)
        For each drawn box, the probability that it shows something real at that IoU, judged
        by the other raters only.
    wanted : ndarray, shape (A,)
        For each question of the evidence, the probability that its object exists, judged by
        the other raters only.
    evidence : Evidence
        What the model was fitted to.
    """

    raters: tuple[str, ...]
    reliability: Floats
    detection: Floats
    false_rate: Floats
    bias: Floats
    sd: Floats
    exists: Floats
    box: Floats
    spread: Floats
    weight: Floats
    difficulty: Floats
    invention: Floats
    hits: Floats
    wanted: Floats
    evidence: Evidence


def fit(matched: Matched, settings: CrowdSettings | None = None) -> Crowd:
    """Fit the model to a matched study.

    Parameters
    ----------
    matched : Matched
        Objects and who was asked for them.
    settings : CrowdSettings, optional
        None: the defaults.

    Returns
    -------
    Crowd
    """
    return fit_evidence(evidence(matched), raters=matched.people, settings=settings)


def fit_evidence(
    data: Evidence,
    *,
    raters: tuple[str, ...] | None = None,
    settings: CrowdSettings | None = None,
) -> Crowd:
    """As `fit`, from arrays; raters without names are called by their numbers."""
    settings = settings or CrowdSettings()
    existence = fit_existence(data, settings.existence)
    edges = fit_edges(data, settings.edges)
    hits = _hits(data, existence, edges, iou=settings.iou)
    judged = data.n_asked[data.object] > 1
    drawn = np.bincount(data.rater, judged, data.n_raters).astype(np.float64)
    right = np.bincount(data.rater, judged * hits, data.n_raters).astype(np.float64)
    return Crowd(
        raters=raters or tuple(map(str, range(data.n_raters))),
        reliability=_reliability(data, hits, existence.without, prior=settings.prior_boxes),
        detection=existence.detection,
        false_rate=_shrunk(drawn - right, drawn, settings.prior_boxes),
        bias=edges.bias,
        sd=edges.sd,
        exists=existence.probability,
        box=edges.box,
        spread=edges.spread,
        weight=edges.weight,
        difficulty=edges.difficulty,
        invention=existence.invention,
        hits=hits,
        wanted=existence.without,
        evidence=data,
    )


def _hits(data: Evidence, existence: Existence, edges: Edges, *, iou: float) -> Floats:
    """Probability that each box is right, judged without it."""
    own = np.flatnonzero(data.drew)  # rows of the evidence and boxes in one order
    without = np.empty(len(data.boxes))
    without[np.lexsort((data.rater, data.object))] = existence.without[own]
    known = np.isfinite(edges.without).all(axis=1)
    known &= (edges.without[:, 2:] > edges.without[:, :2]).all(axis=1)
    right = np.full(len(data.boxes), 1.0)
    right[known] = paired_iou(data.boxes[known], edges.without[known]) >= iou
    hits: Floats = without * right
    return hits


def _reliability(data: Evidence, hits: Floats, wanted: Floats, *, prior: float) -> Floats:
    """F1 = 2 TP / (drawn + wanted), shrunk towards what everybody reached at those places."""
    place, n_places = data.place, int(data.place.max(initial=-1)) + 1
    judged = data.n_asked > 1
    rows, boxes = judged[data.asked_object], judged[data.object]
    who = np.concatenate([data.rater[boxes], data.asked_rater[rows]])
    where = place[np.concatenate([data.object[boxes], data.asked_object[rows]])]
    outcome = np.concatenate([np.ones(boxes.sum()), wanted[rows]])
    pair, at = np.unique(where * data.n_raters + who, return_inverse=True)
    right = np.bincount(at[: boxes.sum()], 2 * hits[boxes], len(pair))
    outcomes = np.bincount(at, outcome, len(pair))
    rater, where = pair % data.n_raters, pair // data.n_raters
    everybody = [np.bincount(where, of, n_places)[where] for of in (right, outcomes)]
    usual = np.bincount(rater, outcomes * everybody[0] / everybody[1], data.n_raters)
    own, total = (np.bincount(rater, of, data.n_raters) for of in (right, outcomes))
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = (own + 2 * prior * usual / total) / (total + 2 * prior)
    return share


def _shrunk(top: Floats, total: Floats, prior: float) -> Floats:
    """Share of each, shrunk towards everybody's; nan where there is nothing at all."""
    with np.errstate(invalid="ignore", divide="ignore"):
        everybody = top.sum() / total.sum()
        share: Floats = (top + prior * everybody) / (total + prior)
    return np.where(total > 0, share, np.nan)
