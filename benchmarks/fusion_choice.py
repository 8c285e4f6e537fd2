"""Which setting of ``edges`` the crowd with gold chooses, and what the choice is worth.

The rule: of all settings, those qualify that are nowhere told from the best, neither at IoU 0.5
nor at 0.75 (less than two standard errors of the difference behind it, over images); of these
the middle one is taken, from which the others are the fewest steps of the grid away. Settings
that differ by luck alone qualify together, and the middle of them is least due to luck.
"""

import itertools

import numpy as np
from fusion_sets import counts, f1s

from crowdqc.crowd import (
    CrowdSettings,
    EdgeSettings,
    ExistenceSettings,
    evidence,
    fit_evidence,
)
from crowdqc.matching import match
from tests.crowdqc.gold import BOX, gold_study

GRID = {
    "match iou": (0.2, 0.25, 0.3, 0.35, 0.4),
    "drawn": ((1.0, -3.0), (1.0, -2.5), (1.5, -3.0), (1.5, -2.5)),
    "spread": ((1.0, 0.7), (1.5, 0.7), (1.5, 1.0), (2.0, 1.0)),
    "raters": ((0.5, 0.5), (1.0, 0.5)),
    "freedom": (4.0, 8.0, 16.0),
}
"""Match IoU; mean log odds to draw a real object and an invention; SD of difficulty and appeal;
SD of skill and fancy; degrees of freedom of the edges."""
DEFAULT = (0.3, (1.0, -3.0), (1.5, 0.7), (1.0, 0.5), 8.0)
FOLDS, TIMES = 5, 20


def choose(data):
    study, gold = gold_study(data)
    settings = list(itertools.product(*GRID.values()))
    steps = np.array(list(itertools.product(*(range(len(axis)) for axis in GRID.values()))))
    tables = np.array([of for iou in GRID["match iou"] for of in score(study, gold, iou)])
    chosen, qualified = middle(tables, steps)
    found = f1s(tables)
    print(f"{len(settings)} settings: {', '.join(GRID)}")
    print(f"F1@0.5 and F1@0.75 of all: mean {found.mean(axis=0).round(4)}", end="")
    print(f", least {found.min(axis=0).round(4)}, greatest {found.max(axis=0).round(4)}")
    print(f"qualified: {len(qualified)}, mean {found[qualified].mean(axis=0).round(4)}")
    print(f"chosen: {settings[chosen]} {found[chosen].round(4)}")
    print(f"the default: {DEFAULT} {found[settings.index(DEFAULT)].round(4)}")
    held, picks = cross_validate(tables, steps)
    print(
        f"the same rule on {FOLDS - 1} of {FOLDS} folds of the images, scored on the other", end=""
    )
    print(f", {TIMES} times: {held.mean(axis=0).round(4)} (SD {held.std(axis=0).round(4)})")
    for index in np.argsort(-picks, kind="stable")[:5]:
        print(f"  taken {picks[index]} times: {settings[index]}")


def score(study, gold, iou):
    """Counts per image (images, 4) of every setting with this IoU of the matching."""
    matched = match(study, iou=iou)
    rows = evidence(matched)
    two = rows.n_boxes >= 2
    for drawn, spread, raters, freedom in itertools.product(*list(GRID.values())[1:]):
        existence = ExistenceSettings(drawn=drawn, spread=spread, raters=raters)
        edges = EdgeSettings(freedom=freedom)
        crowd = fit_evidence(rows, settings=CrowdSettings(existence, edges))
        frame = matched.objects[["case"]].copy()
        frame[BOX] = crowd.box
        yield counts(frame[two & (crowd.exists >= 0.5)], gold, study.cases)


def middle(tables, steps):
    """The setting that the rule takes, and those that qualify, from counts (S, images, 4)."""
    found, n = f1s(tables), tables[..., 2:].sum(axis=-1, keepdims=True)
    part = (2 * tables[..., :2] - found[:, None] * n) / n.sum(axis=1, keepdims=True)
    behind = np.zeros(len(tables))
    for k in (0, 1):
        best = found[:, k].argmax()
        error = np.sqrt(((part[best, :, k] - part[:, :, k]) ** 2).sum(axis=1))
        gap = found[best, k] - found[:, k]
        ratio = np.divide(gap, error, out=np.zeros_like(gap), where=gap > 0)
        behind = np.maximum(behind, ratio)
    qualified = np.flatnonzero(behind <= max(2.0, behind.min()))
    apart = np.abs(steps[qualified, None] - steps[qualified]).sum(axis=2).mean(axis=1)
    return qualified[apart.argmin()], qualified


def cross_validate(tables, steps):
    """F1 on images that the choice has not seen (times, 2), and how often each was taken."""
    images = tables.shape[1]
    held, picks = [], np.zeros(len(tables), int)
    for seed in range(TIMES):
        order = np.random.default_rng(seed).permutation(images)
        total = np.zeros((1, 4))
        for fold in range(FOLDS):
            test = order[fold::FOLDS]
            taken, _ = middle(tables[:, np.setdiff1d(order, test)], steps)
            picks[taken] += 1
            total += tables[taken, test].sum(axis=0)
        held.append(f1s(total))
    return np.array(held), picks
