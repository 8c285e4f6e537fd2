"""The default fusion less the median on every set of real data, as shipped and not rounded."""

import numpy as np
import pandas as pd
from calibration import masks
from fusion_sets import RESAMPLES, bil, counts, f1s, interval, leave_out, lidc, pedestrians

from crowdqc.crowd import evidence
from crowdqc.fusion import fuse, load_method
from crowdqc.fusion.table import VAGUE, rounded
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from tests.crowdqc.gold import BOX, gold_study

METHODS = "edges", "median"
SHIPPED, EXACT = " (as shipped)", ", not rounded"


def rows(data):
    """Prints a row for each set and score; intervals over cases (images)."""
    print("| set | score | cases | default | median | difference | 95 % |\n" + "|---" * 7 + "|")
    photographs(data)
    for name, matched, gold in single(data):
        with_gold(name, matched, gold)
    for name, study in (("LIDC", lidc(data)), ("pedestrians", pedestrians(data))):
        held_out(name, study)


def single(data):
    """The sets of BU-BIL: name, matched study, and the gold box of each image."""
    for name, study, gold in bil(data):
        yield f"BU-BIL {name}", match(study), gold
    matched, parts = masks(data / "bu_bil_masks" / "set1")
    yield "BU-BIL 1, from masks", matched, pd.concat(parts)


def photographs(data):
    study, gold = gold_study(data)
    matched = match(study)
    tables = []
    for method in METHODS:
        found = fuse(matched, method=method)
        tables.append(counts(found[found["state"] == "agreed"], gold, study.cases))
    pick = np.random.default_rng(0).integers(0, len(study.cases), (RESAMPLES, len(study.cases)))
    values, drawn = ([f1s(table[of]) for table in tables] for of in (slice(None), pick))
    ends = np.quantile(drawn[0] - drawn[1], [0.025, 0.975], axis=0)
    for k, score in enumerate(("F1@.5", "F1@.75")):
        pair = values[0][k], values[1][k]
        change = pair[0] - pair[1], *ends[:, k]
        print_row(["photographs", score, len(study.cases)], pair, change)


def with_gold(name, matched, gold):
    """IoU of the fused box with gold."""
    for grid, whole in ((SHIPPED, None), (EXACT, False)):
        means = []
        for method in METHODS:
            found = fuse(matched, method=method, whole_pixels=whole).drop_duplicates("case")
            found = found[found["case"].isin(gold.index)]
            iou = paired_iou(found[BOX], gold.loc[found["case"], BOX])
            means.append(pd.Series(iou, found["case"].to_numpy()))
        print_means(name, f"IoU{grid}", means)


def held_out(name, study):
    """IoU of the fused box of the others with the box of a rater who was left out."""
    found = left_out(study, {method: load_method(method) for method in METHODS})
    for grid in (SHIPPED, EXACT):
        means = [found[method + grid].groupby(level=0).mean() for method in METHODS]
        print_means(name, f"IoU{grid}", means)


def left_out(study, methods):
    """IoU of each left-out box by method, fused edges as shipped and not rounded, by case."""
    matched = match(study)
    data, case = evidence(matched), matched.objects["case"].to_numpy()
    values = {}
    for fold in range(4):
        rest, held, objects = leave_out(data, fold)
        for method, run in methods.items():
            fused = run(rest)
            whole = rounded(fused.box, but=fused.spread >= VAGUE)
            shipped = whole if data.whole_pixels else fused.box
            for grid, edges in ((SHIPPED, shipped), (EXACT, fused.box)):
                iou = pd.Series(paired_iou(data.boxes[held], edges), case[objects])
                values.setdefault(method + grid, []).append(iou)
    return {key: pd.concat(of) for key, of in values.items()}


def print_means(name, score, means):
    default, median = means
    change = interval(default - median)
    print_row([name, score, len(default)], (default.mean(), median.mean()), change)


def print_row(cells, pair, change):
    value, low, high = change
    cells = [*map(str, cells), *(f"{one:.4f}" for one in pair)]
    cells += [f"{value:+.4f}", f"{low:+.4f} to {high:+.4f}"]
    print("| " + " | ".join(cells) + " |", flush=True)
