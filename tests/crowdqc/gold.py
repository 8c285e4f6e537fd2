"""The crowd boxes with a gold standard, and how they are scored: one-to-one at an IoU."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from crowdqc.geometry import pairwise_iou
from crowdqc.schema import Study

BOX = ["x0", "y0", "x1", "y1"]


def gold_study(data):
    folder = data / "crowd_boxes_gold"
    boxes = pd.read_csv(folder / "boxes.csv", dtype={"item": str}).rename(columns={"item": "case"})
    gold = pd.read_csv(folder / "gold.csv", dtype={"item": str}).rename(columns={"item": "case"})
    images = boxes[["case"]].drop_duplicates().assign(slice=0, height=2000, width=2000)
    readings = boxes[["case", "rater"]].drop_duplicates().assign(slice=0, state="boxed")
    boxes = boxes.assign(slice=0, label="thing", box=range(len(boxes)))
    return Study("gold", ("thing",), images, readings, boxes), gold


def hits(found, gold, iou):
    """Number of one-to-one pairs with at least `iou`, as many as possible."""
    if len(found) == 0 or len(gold) == 0:
        return 0
    overlap = pairwise_iou(found, gold)
    rows, columns = linear_sum_assignment((overlap >= iou) + 1e-3 * overlap, maximize=True)
    return int((overlap[rows, columns] >= iou).sum())


def f1(found, gold, iou):
    """F1 pooled over all images."""
    theirs = dict(iter(gold.groupby("case")))
    none = gold.iloc[:0]
    right = sum(hits(f[BOX], theirs.get(c, none)[BOX], iou) for c, f in found.groupby("case"))
    return 2 * right / (len(found) + len(gold))


def f1_of_raters(study, gold):
    """F1@0.5 of each rater over the images it read, and how many these are."""
    rows = []
    drawn = dict(iter(study.boxes.groupby(["case", "rater"])))
    theirs = dict(iter(gold.groupby("case")))
    for case, rater in study.readings[["case", "rater"]].itertuples(index=False):
        mine = drawn[case, rater][BOX].to_numpy()
        true = theirs[case][BOX].to_numpy() if case in theirs else np.zeros((0, 4))
        rows.append((rater, hits(mine, true, 0.5), len(mine) + len(true)))
    table = pd.DataFrame(rows, columns=["rater", "right", "total"]).groupby("rater")
    return pd.DataFrame(
        {"f1": 2 * table["right"].sum() / table["total"].sum(), "images": table.size()}
    )
