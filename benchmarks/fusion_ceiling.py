"""What `edges` could reach on the crowd with gold if it knew what only gold knows.

Each row changes one thing of the default fusion, with gold in hindsight or of the other half of
the images only, and leaves all else.
"""

import dataclasses
import functools
import itertools

import numpy as np
from fusion_sets import RESAMPLES, counts, f1s
from scipy.optimize import linear_sum_assignment

from crowdqc.crowd import fit, size_of
from crowdqc.crowd.sums import sums
from crowdqc.fusion import fuse
from crowdqc.geometry import paired_iou, pairwise_iou
from crowdqc.matching import match
from tests.crowdqc.gold import BOX, gold_study

SAME = 0.3
"""IoU with a fused box from which a gold box is the object that it shows."""
SPLITS = 10
SPLIT = f"the same from the other half, mean of {SPLITS} splits"
OTHERS = "median", "mean", "wbf", "staple"
PRIORS = 0.0, 2.0, 10.0
"""Boxes of the average rater that a rater's spread and bias, known from gold, are held to."""


@dataclasses.dataclass(frozen=True)
class Known:
    """The default fusion, and what gold knows of it."""

    study: object
    gold: object
    found: object
    crowd: object
    box: np.ndarray
    kept: np.ndarray
    true: np.ndarray
    real: np.ndarray

    def count(self, box, kept):
        """Counts of each image, of boxes (O, 4) of which some are kept."""
        table = self.found.assign(**dict(zip(BOX, box.T, strict=True)))[kept]
        return counts(table, self.gold, self.study.cases)


def ceiling(data):
    """Prints the table."""
    study, gold = gold_study(data)
    matched = match(study)
    known = look_up(study, gold, matched)
    before = known.count(known.box, known.kept)
    pick = np.random.default_rng(0).integers(0, len(before), (RESAMPLES, len(before)))
    print("| what is known | F1@.5 | change (SE) | F1@.75 | change (SE) |\n" + "|---" * 5 + "|")
    for name, table in variants(known, matched):
        value, error = f1s(table), (f1s(table[pick]) - f1s(before[pick])).std(axis=0)
        change = value - f1s(before)
        cells = [f"{value[k]:.4f} | {change[k]:+.4f} ({error[k]:.4f})" for k in (0, 1)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def look_up(study, gold, matched):
    found = fuse(matched)
    box = found[BOX].to_numpy()
    true = np.full(box.shape, np.nan)
    boxes = {case: of[BOX].to_numpy(float) for case, of in gold.groupby("case")}
    for case, rows in found.groupby("case").indices.items():
        overlap = pairwise_iou(box[rows], boxes.get(case, np.zeros((0, 4))))
        i, j = linear_sum_assignment(overlap, maximize=True)
        same = overlap[i, j] >= SAME
        true[rows[i[same]]] = boxes[case][j[same]] if same.any() else np.zeros((0, 4))
    kept = (found["state"] != "no_consensus").to_numpy()
    real = np.isfinite(true[:, 0])
    return Known(study, gold, found, fit(matched), box, kept, true, real)


def variants(known, matched):
    """Name and counts of each row."""
    box, kept = known.box, known.kept
    yield "nothing (as shipped)", known.count(box, kept)
    yield from thresholds(known)
    yield "which objects exist", known.count(box, known.real)
    yield from offsets(known)
    for method in OTHERS:
        other = fuse(matched, method=method)[BOX].to_numpy()
        yield f"nothing; edges by `{method}`, same objects", known.count(other, kept)
    for prior, bias in itertools.product(PRIORS, (False, True)):
        what = "spread and bias" if bias else "spread"
        fused = functools.partial(weighted, known, prior=prior, bias=bias)
        yield f"{what} of each rater, prior of {prior:g} boxes", known.count(fused(), kept)
        tables = [crossed(known, fused, half) for half in halves(known)]
        yield SPLIT, np.mean(tables, axis=0)
    yield "which rater's box is best", known.count(best_box(known), kept)
    yield "all edges", known.count(np.where(known.real[:, None], known.true, box), kept)


def thresholds(known):
    """The best threshold of the score for either F1, in hindsight."""
    score = known.found["score"].to_numpy()
    levels = np.linspace(0.05, 0.95, 19)
    tables = np.array([known.count(known.box, known.kept & (score >= level)) for level in levels])
    for k, name in enumerate(("F1@.5", "F1@.75")):
        best = f1s(tables)[:, k].argmax()
        yield f"best threshold of the score for {name}: {levels[best]:.2f}", tables[best]
        picked = [chosen(tables, one, k=k) for one in halves(known)]
        yield SPLIT, np.mean(picked, axis=0)


def halves(known):
    """A random half of the images, as flags, `SPLITS` times."""
    rng, n = np.random.default_rng(0), len(known.study.cases)
    return [rng.permutation(n) < n // 2 for _ in range(SPLITS)]


def chosen(tables, one, *, k):
    """Counts of each image with the level (first axis) that is best on the other half."""
    best = [f1s(tables[:, of])[:, k].argmax() for of in (one, ~one)]
    return np.where(one[:, None], tables[best[1]], tables[best[0]])


def offsets(known):
    """One offset of each edge, from all gold and from that of the other half of the images."""
    size, cases = size_of(known.box), np.asarray(known.study.cases)
    use = known.kept & known.real
    error = (known.box - np.where(use[:, None], known.true, known.box)) / size
    every = known.count(known.box - np.median(error[use], axis=0) * size, known.kept)
    yield "one offset of each edge, share of size", every
    tables = []
    for half in halves(known):
        one = known.found["case"].isin(cases[half]).to_numpy()
        moved = known.box.copy()
        for mine, other in ((one, ~one), (~one, one)):
            moved[mine] -= (np.median(error[use & other], axis=0) * size)[mine]
        tables.append(known.count(moved, known.kept))
    yield SPLIT, np.mean(tables, axis=0)


def crossed(known, fused, half):
    """Counts where raters are known from the half of the images that is not fused."""
    one = known.found["case"].isin(np.asarray(known.study.cases)[half]).to_numpy()
    box = np.where(one[:, None], fused(use=~one), fused(use=one))
    return known.count(box, known.kept)


def weighted(known, *, prior, bias, use=True):
    """Means with weights that each rater's distance from gold gives, on the objects to use."""
    data, crowd = known.crowd.evidence, known.crowd
    of, who, n = data.object, data.rater, data.n_raters
    size = size_of(known.box)[of]
    rows = np.flatnonzero((known.real & use)[of] & (crowd.astray < 0.5))
    error = np.clip((data.boxes[rows] - known.true[of[rows]]) / size[rows], -0.5, 0.5)
    count = np.bincount(who[rows], minlength=n)[:, None]

    def mean(values, usual):
        summed = sums(who[rows], values, n)
        return (summed + prior * usual) / np.maximum(count + prior, 1e-9)

    usual = np.square(error).mean(axis=0)
    variance = np.where(count + prior > 0, mean(np.square(error), usual), usual) + 1e-6
    off = mean(error, 0.0) * bias
    weight = (crowd.voice * (1 - crowd.astray))[:, None] / variance[who]
    drawn = data.boxes - off[who] * size
    return sums(of, weight * drawn, data.n_objects) / sums(of, weight, data.n_objects)


def best_box(known):
    """Of each object in gold the drawn box that overlaps it best."""
    data, box = known.crowd.evidence, known.box.copy()
    rows = np.flatnonzero(known.real[data.object])
    overlap = paired_iou(data.boxes[rows], known.true[data.object[rows]])
    rows = rows[np.argsort(overlap, kind="stable")]
    box[data.object[rows]] = data.boxes[rows]  # the best one is written last
    return box
