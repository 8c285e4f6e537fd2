"""How many raters a slice needs, and how many slices a rater: from a study or a pilot.

Consensus boxes are simulated from what the study's own raters do: each rater's biases, spread
and misses, and how hard the objects are. What all raters do wrong alike cannot be seen in
their boxes, so a plan speaks of the distance to what many such raters would agree on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import leave_one_out
from crowdqc.arrays import Bools, Floats
from crowdqc.crowd import EdgeSettings, fit
from crowdqc.findings import InputError
from crowdqc.geometry import paired_iou
from crowdqc.matching import Matched

_UNIT = np.array([0.0, 0.0, 1.0, 1.0])
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
    difficulty : ndarray, shape (O,)
        Factor of the raters' spread on objects that several drew.
    between_cases, within_cases : float
        Variance of one rater's agreement (IoU with the others) between cases, and between
        the objects of a case.
    per_case, per_slice : float
        Objects that a rater meets in a case, and on a slice.
    """

    bias: Floats
    sd: Floats
    detection: Floats
    share: Floats
    difficulty: Floats
    between_cases: float
    within_cases: float
    per_case: float
    per_slice: float


def estimate_components(matched: Matched) -> Components:
    """What makes boxes differ in a study, from the objects that several raters drew.

    Raises
    ------
    InputError
        If no object was drawn by two raters: then nothing can be said, and a pilot is needed.
    """
    crowd = fit(matched)
    shared = crowd.evidence.n_boxes > 1
    if not shared.any():
        raise InputError(
            "No object was drawn by two raters, so that nothing is known of how they differ. "
            "Let two or more raters draw the same slices of a few cases first, as a pilot."
        )
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
        difficulty=crowd.difficulty[shared],
        between_cases=between,
        within_cases=within,
        per_case=len(matched.boxes) / len(cases),
        per_slice=len(matched.boxes) / len(slices),
    )


def plan_raters(
    components: Components,
    *,
    rng: np.random.Generator,
    largest: int = 9,
    quorum: float = 0.5,
    objects: int = 4000,
) -> pd.DataFrame:
    """What a consensus of 1, 2, ... raters per slice is worth.

    Parameters
    ----------
    components : Components
        From `estimate_components`.
    rng : Generator
        Draws raters and their errors. The same errors are used for every number of raters.
    largest : int
        Largest number of raters.
    quorum : float
        Share of the raters who must have drawn an object, in (0, 1].
    objects : int
        Objects that are simulated.

    Returns
    -------
    DataFrame
        ``n_raters``; ``iou``, the mean IoU of the median box with the truth where an object is
        found, and ``iou_worst``, its 10th percentile; ``found``, the share of real objects that
        reach the quorum; ``score``, the mean IoU with 0 for an object that is not found; and
        ``gain``, of the score over one rater fewer.

    Raises
    ------
    ValueError
        If `largest` or `objects` is below 1, or `quorum` not in (0, 1].
    """
    if largest < 1 or objects < 1:
        raise ValueError(f"'largest' and 'objects' must be 1 or more; got {largest}, {objects}.")
    if not 0 < quorum <= 1:
        raise ValueError(f"'quorum' must be above 0 and at most 1; got {quorum}.")
    boxes, drew = _draw(components, largest, objects, rng=rng)
    rows = []
    for n in range(1, largest + 1):
        votes = drew[:, :n].sum(axis=1)
        found = votes >= max(1, int(np.ceil(quorum * n - 1e-9)))
        iou = _consensus_iou(boxes[found, :n], drew[found, :n])
        score = float(iou.sum() / objects)
        worst = float(np.quantile(iou, 0.1)) if len(iou) else np.nan
        mean = float(iou.mean()) if len(iou) else np.nan
        rows.append((n, mean, worst, float(found.mean()), score))
    table = pd.DataFrame(rows, columns=["n_raters", "iou", "iou_worst", "found", "score"])
    return table.assign(gain=table["score"].diff())


def raters_needed(table: pd.DataFrame, target: float, *, measure: str = "iou") -> int | None:
    """Fewest raters in a table of `plan_raters` with which `measure` stays at `target` or above.

    None where even the most are too few.
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
    z = stats.norm.ppf((1 + level) / 2)
    per_case = max(components.per_case, 1.0)
    variance = components.between_cases + components.within_cases / per_case
    slices = per_case / max(components.per_slice, 1e-9)
    rows = []
    for width in widths:
        n_cases = max(2, int(np.ceil(variance * (z / width) ** 2)))
        rows.append((width, n_cases, int(np.ceil(n_cases * slices))))
    return pd.DataFrame(rows, columns=["half_width", "n_cases", "n_slices"])


def _draw(
    components: Components, n_raters: int, objects: int, *, rng: np.random.Generator
) -> tuple[Floats, Bools]:
    """Boxes of `n_raters` raters on each object (objects, n_raters, 4), and which were drawn."""
    who = rng.choice(len(components.share), (objects, n_raters), p=components.share)
    hard = rng.choice(components.difficulty, objects)[:, None, None]
    noise = rng.standard_t(EdgeSettings().freedom, (objects, n_raters, 4))
    boxes = _UNIT + components.bias[who] + components.sd[who] * hard * noise
    high = np.maximum(boxes[..., 2:], boxes[..., :2] + _LEAST)
    drew = rng.random((objects, n_raters)) < components.detection[who]
    return np.concatenate([boxes[..., :2], high], axis=-1), drew


def _consensus_iou(boxes: Floats, drew: Bools) -> Floats:
    """IoU of the median of the drawn boxes with the truth, for each object."""
    if not len(boxes):
        return np.zeros(0)
    median = np.nanmedian(np.where(drew[..., None], boxes, np.nan), axis=1)
    low = median[:, :2]
    high = np.maximum(median[:, 2:], low + _LEAST)
    return paired_iou(np.hstack([low, high]), np.tile(_UNIT, (len(median), 1)))


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
